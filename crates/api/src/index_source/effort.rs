//! How hard a worker tries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How large one batch may grow. It begins at half and finds its size by how long calls take and what fails.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Objects; 500 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub objects: Option<i32>,
    /// Bytes, about; 4194304 (4 MiB) when left out. An object that is larger goes alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_536, max = 16_777_216))]
    pub bytes: Option<i32>,
}

/// How a failed call is tried again.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts of one call, the first one included; 12 when left out. After the last one the worker ends, and the Job
    /// starts another, which goes on from the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max: Option<i32>,
    /// The longest wait after the first failure, e.g. `200ms` (the default). It doubles with each failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}(ms|s|m)$"))]
    pub base: Option<String>,
    /// The longest wait of all, e.g. `20s` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}(ms|s|m)$"))]
    pub cap: Option<String>,
}

/// When the collection is left alone for a while.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Failures in a row at which nobody calls any more; 5 when left out. Calls that fail together count once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub failures: Option<i32>,
    /// How long nobody calls, e.g. `30s` (the default); then one call tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}(ms|s|m)$"))]
    pub cooldown: Option<String>,
}

impl Batch {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Retry {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl CircuitBreaker {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
