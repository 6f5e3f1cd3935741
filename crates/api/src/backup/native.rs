//! Weaviate's own backup: what may be asked of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked of the servers when they write the backup themselves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NativeOptions {
    /// How hard the servers compress; `Default` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<NativeCompression>,
    /// How many of a hundred parts of each server's processors the backup may take; 50 when left out, as the servers have
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 80))]
    pub cpu_percentage: Option<i32>,
}

/// How hard the servers compress.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum NativeCompression {
    /// As the servers' version has it.
    #[default]
    Default,
    /// Larger and sooner done.
    BestSpeed,
    /// Smaller and later done.
    BestCompression,
}
