//! How far a feed is behind its source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of the files that were listed last is not dealt with.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Files that are not finished.
    pub files: i64,
    /// Their bytes as they are stored, without what was read; of a compressed file all, until it is finished.
    pub bytes: i64,
}
