//! How far long work is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far work is, how fast it goes and how long it takes from here on. What is not known is absent.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkProgress {
    /// Objects that were dealt with.
    pub done: i64,
    /// Objects that there are; absent where nobody can say, as of tenants that are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Bytes of parts that were written, or of parts that are restored whole.
    pub bytes: i64,
    /// Bytes of all parts that are restored; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<i64>,
    /// Objects in each second, over the last minute; absent in the first seconds, and when nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects_per_second: Option<i64>,
    /// Seconds until all objects are dealt with, if it goes on at that rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
}
