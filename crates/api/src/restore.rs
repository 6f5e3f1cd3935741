//! `CollectionRestore`: one restore of one run into one collection. It never runs twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::{BackupStore, Encryption};
use crate::collection::PlanStatus;
use crate::common::ClusterReference;
use crate::progress::WorkProgress;

mod select;
mod transform;

pub use select::Select;
pub use transform::{
    Convert, Drop, Hash, How, KeepLast, Mask, OnError, OnFault, Rename, Script, Set, TransformStep, Where,
};

/// Instead of a run's id: the newest run that is complete.
pub const LATEST_RUN: &str = "latest";

/// One restore of one run into one collection. It never runs twice.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "elysia.dev",
    version = "v1alpha1",
    kind = "CollectionRestore",
    namespaced,
    status = "CollectionRestoreStatus",
    derive = "PartialEq",
    shortname = "crst",
    category = "elysia",
    cel,
    doc = "One restore of one run into one collection. It never runs twice.",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name must have at most 40 characters: Jobs and the ledger are named after it"),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("the spec of a restore cannot be changed: it is done once; create another CollectionRestore"),
    printcolumn(name = "Collection", type_ = "string", json_path = ".spec.collection"),
    printcolumn(name = "Into", type_ = "string", json_path = ".spec.into"),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.objects.done"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Plan", type_ = "string", priority = 1, json_path = ".status.plan.hash"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.skipSchema) || !self.skipSchema || (!has(self.replicationFactor) && !has(self.shards))")
        .message("skipSchema makes no collection: replicationFactor and shards do not go with it")
)]
#[serde(rename_all = "camelCase")]
pub struct CollectionRestoreSpec {
    /// The cluster that is restored into; the one that was backed up or any other.
    pub cluster_ref: ClusterReference,
    /// Which run.
    pub from: RestoreFrom,
    /// Name of the collection in the run.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    pub collection: String,
    /// Name of the collection that it becomes; `collection` when left out. It is made when it does not exist, with the
    /// settings that the backup has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    pub into: Option<String>,
    /// What becomes of an object whose id is taken; `Fail` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// Replicas of a collection that has to be made; as many as the backed up one had when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replication_factor: Option<i32>,
    /// Shards of a collection that has to be made and has no tenants; as many as the backed up one had when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub shards: Option<i32>,
    /// What is taken of the collection; everything when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Select>,
    /// What is made of the objects, step by step; at most 50. It is compared with the backup's class before the first
    /// write, and every problem is told. Left out: objects are written as the backup has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub transform: Vec<TransformStep>,
    /// With what the run is encrypted. Left out: with what the policy of `from.backupRef` encrypts its runs now, or with
    /// nothing. Of a run that is not encrypted no key is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The collection is there already and no class is made or changed: where it is not there, nothing is written. Only
    /// what objects need is compared: properties, vectors and whether there are tenants. Missing tenants are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_schema: Option<bool>,
    /// What becomes of the aliases that led to the collection when it was backed up. Left out: `Restore` where the collection
    /// keeps its name and `skipSchema` is not set, else `Skip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<AliasPolicy>,
    /// How long the work may take, e.g. `6h`; `24h` when left out. One that takes longer is ended and has failed; a new
    /// value of `elysia.dev/run-now` goes on where it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}[mh]$"))]
    pub deadline: Option<String>,
}

/// Which run: of a policy, or in a store; exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.backupRef), has(self.store)].exists_one(there, there)")
    .message("exactly one of from.backupRef and from.store must be set"))]
#[serde(rename_all = "camelCase")]
pub struct RestoreFrom {
    /// A CollectionBackup in the same namespace: its store is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupReference>,
    /// A store, whoever wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<BackupStore>,
    /// Id of the run, or `latest`: the newest good one when the restore begins.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_0-9A-Za-z]+$"))]
    pub run: String,
}

/// A CollectionBackup in the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What becomes of an object whose id is taken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Conflict {
    /// There must be none: the collection is absent or empty when the restore begins.
    #[default]
    Fail,
    /// What is there stays.
    Skip,
    /// The backup's takes its place, whole. Into a collection that is not empty it needs an approval.
    Overwrite,
    /// The backup's properties and vectors are written over it; those that only it has stay. Into a collection that is
    /// not empty it needs an approval.
    Merge,
}

/// What becomes of the aliases of a backed up collection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AliasPolicy {
    /// Those that are not there are made behind the last object, and lead to the restored collection. One that leads to
    /// another collection is never changed: `status.aliases` tells of it. A collection that has the name of one blocks the
    /// restore before the first write. Servers below 1.32 have no aliases: that is told as well.
    Restore,
    /// None is made.
    Skip,
}

/// What the operator saw of the restore. A cache: the receipt beside the backup is what counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionRestoreStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// The run that is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Newer runs that were passed over for it, where `run: latest` was asked for; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<PassedOverRuns>,
    /// The Job that does the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Objects of the collection, and what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<RestoredObjects>,
    /// Aliases that led to the collection when it was backed up; absent where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<RestoredAliases>,
    /// How fast it goes and how long it takes yet; only while it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<WorkProgress>,
    /// When it began to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// A restore over objects that waits for a person: it begins when its hash is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Value of `elysia.dev/run-now` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<String>,
    /// Ready; Running, Reconciling and Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Newer runs than the one that is restored. `latest` takes none that is Suspect, damaged, failed its restore drill or lies in
/// the future. What was written since the run that is restored is not restored.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOverRuns {
    /// How many.
    pub total: i64,
    /// The newest of them, at most 5, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<PassedOverRun>,
}

/// A run that was passed over.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOverRun {
    /// Its id.
    pub run: String,
    /// Why, e.g. `it is Suspect: Articles has 3 objects, and had 900`.
    pub why: String,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RestorePhase {
    /// Nothing was written, and nothing is being looked at.
    #[default]
    Pending,
    /// A worker looks, then writes.
    Running,
    /// It is done, for good.
    Succeeded,
    /// It ended before the last object. What was written stays.
    Failed,
    /// Nothing was written: it would write over objects, and waits for an approval.
    NeedsApproval,
}

/// Objects of the collection, and what became of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredObjects {
    /// Objects that the run has of the collection.
    pub total: i64,
    /// Objects that were dealt with.
    pub done: i64,
    /// Written as the backup has them.
    #[serde(default)]
    pub written: i64,
    /// Left as they were.
    #[serde(default)]
    pub skipped: i64,
    /// To be written over, and equal to what was there: left untouched.
    #[serde(default)]
    pub unchanged: i64,
    /// Written over what was there, which kept what only it had.
    #[serde(default)]
    pub merged: i64,
    /// Not selected.
    #[serde(default)]
    pub unselected: i64,
    /// Not written, since a value could not be converted and the step says `SkipObject`.
    #[serde(default)]
    pub unconverted: i64,
    /// Properties, not objects, that were left out because they could not be converted and the step says `DropProperty`.
    #[serde(default)]
    pub dropped_properties: i64,
}

/// Aliases of a backed up collection, and how they stand: first as they were found, in the end as they are.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredAliases {
    /// How many lead to the restored collection.
    pub leading: i64,
    /// How many are still to be made, behind the last object.
    #[serde(default)]
    pub pending: i64,
    /// How many do not lead to it, and are left as they are.
    #[serde(default)]
    pub left: i64,
    /// Of those that are left at most 20, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<LeftAlias>,
}

/// An alias that was left as it is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftAlias {
    /// Its name.
    pub name: String,
    /// Why, e.g. `it leads to Other, and stays so`.
    pub why: String,
}
