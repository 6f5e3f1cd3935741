//! What a run holds, what it builds on, and with what it is encrypted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::SecretKeyReference;

/// The longest filter: far more than people write, and the work of a Job, an environment variable, has room for it.
pub const MOST_FILTER_LETTERS: u32 = 4096;

/// What a run holds of its collections.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// Schema, tenants and objects with all their vectors.
    #[default]
    Full,
    /// Schema, and the names of tenants and aliases: no objects.
    SchemaOnly,
}

/// What a run asks of the replicas of an object beside the one that it reads.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ReplicaComparison {
    /// Everything: ids, times of the last change, properties and vectors. What differs is counted and named, and the newest
    /// state is written. Servers read and send every object once for each of its replicas.
    #[default]
    Contents,
    /// Ids and times of the last change, a tenth of the bytes; where those differ, the contents. Replicas that hold
    /// different contents under the same time are not told apart.
    Stamps,
    /// Nothing: objects come from one replica, and what that one lacks is missing in the run without a word.
    None,
}

/// Runs that write only what is not in the run before them.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Incremental {
    /// Of so many runs the first is whole, and the others build on it one after the other. A restore reads them all, and
    /// a damaged one damages those behind it. A whole one is also written when the newest run is Suspect, leaves a
    /// collection out, was written with another filter or key, or cannot be read.
    #[schemars(range(min = 2, max = 31))]
    pub full_every: i32,
}

/// With what runs are encrypted.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// A key of a Secret in the same namespace, whose text is that of the plug-in's `--key-file`: 32 random bytes, as 64
    /// hexadecimal digits or in base64 (`openssl rand -hex 32`). Keep a copy elsewhere: whoever loses it loses the runs.
    /// A key may be exchanged for another; runs that were written with the former are read with the former.
    pub key_secret_ref: SecretKeyReference,
}
