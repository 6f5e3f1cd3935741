//! How far a feed is behind its source, and its partitions behind each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RunState;

/// What of the files that were listed last is not dealt with.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Files that are not finished.
    pub files: i64,
    /// Their bytes as they are stored, without what was read; of a compressed file all, until it is finished.
    pub bytes: i64,
}

/// The partitions of a run.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionsStatus {
    /// How many there are.
    pub total: i64,
    /// How many of them have dealt with all of their lines.
    pub succeeded: i64,
    /// Those that failed, then the slowest ones; at most 20.
    pub slowest: Vec<PartitionStatus>,
}

/// One partition of a run.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Which, from 0: the completion index of its pod, and the number at the end of its ledger's name.
    pub index: i64,
    /// How it stands.
    pub state: RunState,
    /// Lines of its own that it has dealt with.
    pub lines: i64,
    /// Files that it has read to their ends.
    pub files_done: i64,
}
