//! How long runs are kept, and how they are verified.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{ClusterReference, Schedule};

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
    /// Restore drills: the newest good run is restored into scratch collections and compared with what was restored. No
    /// drills when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
}

/// Restore drills. Each restores every collection of the newest good run, one after the other, into a scratch collection
/// named `COLLECTION_drill_ORDER`, counts and compares every object and vector of each tenant, searches, and deletes the
/// scratch collection. The collections that are backed up are not touched, and no tenant of theirs is woken. A scratch
/// collection takes as much room as the collection itself, with all of its tenants active, while its turn lasts.
///
/// A drill that finds something else than what was backed up is said loudly: Verified and Ready are False, reason
/// DrillFailed, until a later drill is good. The run that failed does not count as a verified one, and nothing older is
/// retired meanwhile.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// When drills begin. A run that is due goes first, a drill waits until the last run succeeded, and what was missed
    /// several times is made up for by one drill.
    pub schedule: Schedule,
    /// Objects of each collection that are compared one by one, about, so that a message can say what is wrong; 1000 when
    /// left out. Whether all of them are as they should be is told by counts and sums, whatever is written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub sample: Option<i32>,
    /// Searches in each collection, in its largest tenant; 20 when left out. 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub searches: Option<i32>,
    /// Of a hundred objects that are really the nearest, so many at least must be found by the searches, on average; 80 when
    /// left out. Indexes are approximate, and compressed vectors find less.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub minimum_overlap: Option<i32>,
    /// A WeaviateCluster of the same namespace to drill in; the one that is backed up when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterReference>,
    /// Replicas of scratch collections; as many as the collection had when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replication_factor: Option<i32>,
}

impl Verification {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
