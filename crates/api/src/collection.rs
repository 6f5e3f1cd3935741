//! `ElysiaCollection`: one Weaviate collection, kept as declared.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::ClusterReference;

mod bootstrap;
mod migration;
mod verification;

pub use bootstrap::{Bootstrap, BootstrapPhase, BootstrapStatus};
pub use migration::{Migration, MigrationApproval, MigrationStatus, SchemaVersion};
pub use verification::{DataFinding, DataVerification};

/// One collection of a Weaviate cluster: schema, replication, and what may be done when it drifts.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "elysia.dev",
    version = "v1alpha1",
    kind = "ElysiaCollection",
    namespaced,
    status = "ElysiaCollectionStatus",
    derive = "PartialEq",
    shortname = "ecol",
    category = "elysia",
    cel,
    doc = "One collection of a Weaviate cluster: schema, replication, and what may be done when it drifts.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Collection", type_ = "string", json_path = ".spec.collection"),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".status.replication.desired"),
    printcolumn(name = "Lowest", type_ = "integer", json_path = ".status.replication.lowest"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.objects.count"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Plan", type_ = "string", priority = 1, json_path = ".status.plan.hash"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!has(self.schema) || !has(self.schema.class) || self.schema.class == self.collection")
    .message("spec.schema.class must equal spec.collection, or be left out"))]
#[x_kube(validation = Rule::new("!has(self.migration) || self.migration.alias != self.collection")
    .message("spec.migration.alias must not equal spec.collection: Weaviate has one name for both"))]
#[x_kube(validation = Rule::new("!has(self.migration) || size(self.collection) <= 250")
    .message("a collection with spec.migration has a name of at most 250 characters, so that _2, _3, ... fit behind it"))]
#[x_kube(validation = Rule::new("!has(oldSelf.migration) || has(self.migration)")
    .message("spec.migration cannot be removed: the live class may be another one than spec.collection by now"))]
#[x_kube(validation = Rule::new("!has(self.migrations) || has(self.migration)")
    .message("spec.migrations needs spec.migration with an alias"))]
#[x_kube(validation = Rule::new("!has(self.migrations) || !has(self.schema)")
    .message("with spec.migrations each version has its own schema: write spec.schema as the first of them"))]
#[x_kube(validation = Rule::new("!has(self.migrations) || !has(self.migration) || (!has(self.migration.transform) && !has(self.migration.schemaVersion))")
    .message("with spec.migrations the version and its transform are in that list, not in spec.migration"))]
#[x_kube(validation = Rule::new("!has(self.migrations) || self.migrations.all(one, !has(one.schema) || !has(one.schema.class) || one.schema.class == self.collection)")
    .message("class in a schema of spec.migrations must equal spec.collection, or be left out"))]
#[x_kube(validation = Rule::new("!has(self.schemaVersion) || (has(self.migrations) && self.migrations.exists(one, one.version == self.schemaVersion))")
    .message("spec.schemaVersion must be the version of one of spec.migrations"))]
#[serde(rename_all = "camelCase")]
pub struct ElysiaCollectionSpec {
    /// The cluster that holds the collection. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef cannot be changed; create another ElysiaCollection"))]
    pub cluster_ref: ClusterReference,
    /// Name of the collection in Weaviate: an upper-case letter, then letters, digits and `_`. Cannot be changed.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("collection cannot be changed; create another ElysiaCollection"))]
    pub collection: String,
    /// The collection's definition as Weaviate's own documentation writes it. Only what is written here is compared;
    /// everything else is the server's. `class`, if present, equals `collection`. `replicationConfig` belongs in
    /// `replication`.
    #[serde(default, skip_serializing_if = "Schema::is_empty")]
    #[x_kube(validation = Rule::new("!has(self.replicationConfig)")
        .message("write replicationConfig as spec.replication"))]
    pub schema: Schema,
    /// How many copies each shard has.
    #[serde(default)]
    pub replication: Replication,
    /// What happens to the collection when this object is deleted. `Retain`, also when left out, keeps it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What the operator may do when the collection has drifted.
    #[serde(default)]
    pub repair: Repair,
    /// What is done about single settings that differ, instead of what the operator would do by itself. The first rule
    /// whose path matches counts; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub drift_policy: Vec<DriftRule>,
    /// A backup that the collection begins with. While the collection does not exist and never came from there, a
    /// CollectionRestore named `NAME-bootstrap` makes it, with `replication.factor` replicas, and fills it; until that is
    /// done it is neither created empty nor backed up. Afterwards, and for a collection that was there already, it means
    /// nothing: what is restored once is never restored again. It can be taken out, not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("restoreFrom cannot be changed: a collection begins once; take it out, or apply a CollectionRestore"))]
    pub restore_from: Option<Bootstrap>,
    /// How the collection is migrated, with its objects, when a setting is changed that Weaviate takes at creation only.
    /// When left out, such a change of a collection that holds objects is refused. Needs Weaviate 1.32. Cannot be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// The versions of the settings in their order, instead of `schema`; at most 20. The collection is brought from one to the
    /// next, each by a migration with its own plan and approval, or in place where no new class is needed for it. A
    /// collection that does not exist is created with the one that is asked for. The first is what an existing collection
    /// begins with. New ones are added behind the others; those that were passed may be taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        validation = Rule::new("self.all(one, self.exists_one(other, other.version == one.version))")
            .message("each version occurs once"),
        validation = Rule::new("!has(self[0].transform)")
            .message("the first version has no transform: there is none before it"),
        validation = Rule::new("oldSelf.filter(old, self.exists(one, one.version == old.version)).map(old, old.version) == self.filter(one, oldSelf.exists(old, old.version == one.version)).map(one, one.version)")
            .message("the order of the versions cannot be changed"),
        validation = Rule::new("!self.exists(one, oldSelf.exists(old, old.version == one.version)) || self.map(one, oldSelf.exists(old, old.version == one.version) ? 0 : 1).isSorted()")
            .message("a new version is added behind the others")
    )]
    pub migrations: Vec<SchemaVersion>,
    /// The version of `migrations` that the collection is to have; the last one when left out. An earlier one than it has
    /// goes back, where no version on that way had a `transform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub schema_version: Option<String>,
}

/// What is done about the settings at one path when they differ.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftRule {
    /// Path of a setting as `status.drift` shows it, e.g. `invertedIndexConfig.bm25.b`. It also stands for everything
    /// below it; `*` stands for one name, e.g. `vectorConfig.*.vectorIndexConfig.ef`.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^.\s]+(\.[^.\s]+)*$"))]
    pub path: String,
    /// What is done.
    pub action: DriftAction,
}

/// What is done about a setting that differs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DriftAction {
    /// The declared value is put back. Not possible for what Weaviate takes at creation only: that stays `Recreate`.
    Revert,
    /// The live value stays and is as good as declared.
    Adopt,
    /// The live value stays, and the status shows it.
    Report,
}

/// A class definition in Weaviate's own JSON. Unknown fields are passed on, never dropped.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    /// Name of the class; equals `spec.collection`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub class: Option<String>,
    /// Not allowed here: `spec.replication` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub replication_config: Option<serde_json::Value>,
    /// All other settings.
    #[serde(flatten)]
    #[schemars(skip)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl Schema {
    /// Whether nothing at all is declared.
    pub fn is_empty(&self) -> bool {
        self.class.is_none() && self.replication_config.is_none() && self.settings.is_empty()
    }
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// How many copies each shard has, and how they settle their differences.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// Number of replicas of each shard, 1 when left out. At most the number of nodes.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub factor: i32,
    /// What wins when an object was deleted on one replica and lives on another; `TimeBasedResolution` when left out.
    #[serde(default)]
    pub deletion_strategy: DeletionStrategy,
}

impl Default for Replication {
    fn default() -> Self {
        Self { factor: one(), deletion_strategy: DeletionStrategy::default() }
    }
}

fn one() -> i32 {
    1
}

/// What wins when an object was deleted on one replica and lives on another.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionStrategy {
    /// The later of the two.
    #[default]
    TimeBasedResolution,
    /// The deletion.
    DeleteOnConflict,
    /// Nobody: the difference stays.
    NoAutomatedResolution,
}

impl DeletionStrategy {
    /// The name as Weaviate writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimeBasedResolution => "TimeBasedResolution",
            Self::DeleteOnConflict => "DeleteOnConflict",
            Self::NoAutomatedResolution => "NoAutomatedResolution",
        }
    }
}

/// What happens to the collection when its object is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// The collection and its objects stay.
    #[default]
    Retain,
    /// The collection and all its objects are deleted with the object. Not if its name is protected, nor if another
    /// ElysiaCollection claims it.
    Delete,
}

/// What the operator may do when the collection has drifted.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// Copies of missing replicas: at once (`Auto`), when approved (`Approve`), never (`Off`). `Auto` when left
    /// out. A copy removes nothing.
    #[serde(default)]
    pub copy: CopyPolicy,
    /// Deleting and creating a provably empty collection whose immutable setting differs: when approved (`Approve`,
    /// also when left out), never (`Off`).
    #[serde(default)]
    pub recreate: RecreatePolicy,
}

/// When missing replicas are copied.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CopyPolicy {
    /// As soon as they are seen to be missing.
    #[default]
    Auto,
    /// When a person has approved the plan.
    Approve,
    /// Never.
    Off,
}

/// When a provably empty collection is recreated.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RecreatePolicy {
    /// When a person has approved the plan.
    #[default]
    Approve,
    /// Never.
    Off,
}

/// What the operator saw of the collection.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ElysiaCollectionStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of objects; absent when it could not be had: never a guess.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectCount>,
    /// Replicas wanted and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationStatus>,
    /// Settings that differ, worst first; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftEntry>,
    /// What is to be done next, and whether it waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// What became of `restoreFrom`; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapStatus>,
    /// The class that is live, where `spec.migration` is set: the one that the alias leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// How the last migration stands; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationStatus>,
    /// The version of `spec.migrations` that the live class has; absent without that list, and while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// What the last comparison of sampled objects gave; see `verify.data` of the WeaviateCluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<DataVerification>,
    /// Advice that is not acted upon; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recommendations: Vec<String>,
    /// Values of annotations that were dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<CollectionHandled>,
    /// Ready, Available, SchemaInSync, ReplicasInSync, `DataVerified`; Reconciling and Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Values of annotations that were dealt with.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionHandled {
    /// Last word after the slash of `elysia.dev/clear` that was dealt with, carried out or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
    /// Last value of `elysia.dev/run-now`: objects were compared for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_now: Option<String>,
}

/// A number of objects that was really counted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectCount {
    /// Number of objects in one replica of each shard.
    pub count: i64,
    /// When it was counted.
    pub at: Time,
    /// How it was counted: `ids` listed at each replica, or `aggregate`.
    pub source: String,
}

/// Replicas wanted and found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationStatus {
    /// Wanted replicas of each shard.
    pub desired: i64,
    /// Replicas of the worst shard; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest: Option<i64>,
    /// Number of shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<i64>,
    /// The factor that the class itself declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_factor: Option<i64>,
    /// Shards with fewer replicas than wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub behind_total: i64,
    /// The worst of them; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<ShardReplicas>,
    /// Shards with more replicas than wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surplus_total: i64,
    /// The worst of them; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surplus: Vec<ShardReplicas>,
    /// Tenants that were made active for a copy and are put back to rest after it; at most 20 at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cooling: Vec<String>,
    /// How far the present repair is; absent when none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<RepairProgress>,
    /// Since when the replicas at some node have lacked objects or held others; absent when they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differ_since: Option<Time>,
    /// Digest of the names of the shards, which the servers draw at random for each new collection: by it two resources
    /// know that they mean the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// When and how the replicas were last proved equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proof>,
}

/// How far a repair of replicas is.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairProgress {
    /// When it began.
    pub since: Time,
    /// Replicas to be made or removed in all.
    pub total: i64,
    /// Replicas that were made or removed so far.
    pub done: i64,
    /// Copies that run now.
    pub running: i64,
    /// When it will probably be over, going by what was done so far; absent until there is something to go by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_end: Option<Time>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The replicas of one shard.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardReplicas {
    /// Name of the shard; for a multi-tenant collection of the tenant.
    pub shard: String,
    /// Nodes that hold a replica.
    pub replicas: Vec<String>,
}

/// That the ids at every node's own address were the same.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// When it was looked at.
    pub at: Time,
    /// Objects listed at each node.
    pub objects: i64,
    /// Nodes that were asked.
    pub nodes: i64,
    /// SHA-256 over the sorted ids, the same at each node.
    pub digest: String,
    /// Placement that the proof speaks about: SHA-256 over the sharding state.
    pub placement: String,
}

/// One setting that differs.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftEntry {
    /// Path of the setting, e.g. `invertedIndexConfig.bm25.b`.
    pub path: String,
    /// Value on the server; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// Declared value; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What follows from it.
    pub verdict: Verdict,
    /// When it was first seen.
    pub since: Time,
}

/// What follows from a setting that differs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Verdict {
    /// Immutable: only recreating the collection would change it.
    Recreate,
    /// Mutable: the operator puts the declared value back.
    Revert,
    /// A person should know; nothing is done.
    Report,
    /// The live value stays.
    Adopt,
}

/// What is to be done next.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Identifies the plan; `elysia.dev/approve: HASH` approves it.
    pub hash: String,
    /// One word: Create, Update, Copy, Remove, Replace, Rebuild, Recreate, Clear, Migrate.
    pub action: String,
    /// Whether it removes or overwrites something.
    pub destructive: bool,
    /// The steps in order; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Number of all steps.
    pub total_steps: i64,
    /// What the plan waits for; absent when it is being carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When this plan was first shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}
