//! How long runs are kept, and how they are verified.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long runs are kept. A rule that names a number keeps runs; a run that none of them keeps is retired. `maxAge`
/// takes away what is older, whatever the others keep.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("has(self.last) || has(self.daily) || has(self.weekly) || has(self.monthly) || has(self.maxAge)")
    .message("retention needs at least one of last, daily, weekly, monthly and maxAge; leave it out to keep every run"))]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// This many of the newest runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub last: Option<i32>,
    /// The newest run of each of the last so many days that have one, in the schedule's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub daily: Option<i32>,
    /// The same for weeks, which begin on Monday.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub weekly: Option<i32>,
    /// The same for months.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub monthly: Option<i32>,
    /// No run that is older, e.g. `90d` or `36h`. Alone: every run that is younger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,5}[hd]$"))]
    pub max_age: Option<String>,
}

/// How runs are verified.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether each run is read back from the store when it is written: every file has its hash, and every object its
    /// digest. `true` when left out. It reads as much as was written. With `engine: Native` every file is read for its hash,
    /// which proves nothing of what is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_run: Option<bool>,
}

impl Verification {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
