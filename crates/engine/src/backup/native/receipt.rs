//! What says that a restore of a native run is under way or done: the same receipt as that of any other restore.

use jiff::Timestamp;

use crate::backup::ports::Store;
use crate::backup::restore::{Order, Receipt, save};
use crate::ports::PortError;

/// A receipt of a restore that begins.
pub fn begin_receipt(order: &Order, now: Timestamp) -> Receipt {
    Receipt { has_written: Some(true), ..Receipt::begin(order, now) }
}

/// Writes it.
pub async fn save_receipt<R: Store>(receipts: &R, key: &str, receipt: &Receipt) -> Result<(), PortError> {
    save(receipts, key, receipt).await
}
