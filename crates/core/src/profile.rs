//! What the work of a worker took, as it says in its ledger: where the time went, how much went through, and how much
//! memory it needed.

use serde::{Deserialize, Serialize};

/// What a backup or a restore took. Times are of all lanes together, so they may be more than the work lasted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkProfile {
    /// Bytes that were read: about those of the objects from the cluster, or those of parts from the store.
    pub read_bytes: i64,
    /// Bytes that were written: those of files to the store, or about those of the objects to the cluster.
    pub written_bytes: i64,
    /// Milliseconds of reading from the cluster, or of fetching from the store.
    pub reading_milliseconds: i64,
    /// Milliseconds of encoding, or of decoding: what the processor does.
    pub converting_milliseconds: i64,
    /// Milliseconds of writing to the store, or to the cluster.
    pub writing_milliseconds: i64,
    /// The most memory that the worker's process had; absent where the machine does not say it.
    pub peak_memory_bytes: Option<i64>,
    /// The most that it may have; absent where there is no limit.
    pub memory_limit_bytes: Option<i64>,
}
