//! The version that a line states.

use std::fmt;

use serde::Deserialize;
use serde_json::Number;

use super::FORMAT_VERSION;

/// Any number: what JSON holds to be the same number is the same version, `1.0` too.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct FormatVersion(Number);

impl FormatVersion {
    pub(super) fn is_known(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "versions are small")]
        let known = FORMAT_VERSION as f64;
        self.0.as_f64() == Some(known)
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
