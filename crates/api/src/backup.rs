//! `CollectionBackup`: a backup policy. Its runs live in an object store or on a volume, and their manifests are the
//! catalogue.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collection::PlanStatus;
use crate::common::{ClusterReference, Schedule};
use crate::progress::WorkProgress;

mod contents;
mod native;
mod rules;
mod store;

pub use contents::{Encryption, Incremental, MOST_FILTER_LETTERS, Mode, ReplicaComparison};
pub use native::{NativeCompression, NativeOptions};
pub use rules::{Drill, Retention, Verification};
pub use store::{AzureStore, BackupStore, GcsStore, VolumeStore};

/// A backup policy: what is written, where to, when, how long it is kept and how it is verified.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "elysia.dev",
    version = "v1alpha1",
    kind = "CollectionBackup",
    namespaced,
    status = "CollectionBackupStatus",
    derive = "PartialEq",
    shortname = "cbak",
    category = "elysia",
    cel,
    doc = "A backup policy: what is written, where to, when, how long it is kept and how it is verified.",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name must have at most 40 characters: Jobs and the ledger are named after it"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule.cron"),
    printcolumn(name = "Last success", type_ = "date", json_path = ".status.lastSuccess"),
    printcolumn(name = "Verified", type_ = "string", json_path = ".status.conditions[?(@.type==\"Verified\")].status"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Runs", type_ = "integer", priority = 1, json_path = ".status.totals.runs"),
    printcolumn(name = "Bytes", type_ = "integer", priority = 1, json_path = ".status.totals.bytes"),
    printcolumn(name = "Next", type_ = "string", priority = 1, json_path = ".status.nextRun"),
    printcolumn(name = "Plan", type_ = "string", priority = 1, json_path = ".status.plan.hash"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.compression) || self.compression in ['Zstd', 'Auto'] || (has(self.format) && self.format == 'Jsonl')")
        .message("compression: Gzip and Lz4 go with format: Jsonl; Parquet is compressed with Zstd"),
    validation = Rule::new("!has(self.compressionLevel) || !has(self.compression) || self.compression == 'Zstd' || (self.compression == 'Gzip' && self.compressionLevel <= 9)")
        .message("compressionLevel is 1 to 19 of Zstd and 1 to 9 of Gzip; Lz4 and Auto have none"),
    validation = Rule::new("!has(self.exclude) || size(self.exclude) == 0 || !has(self.collections) || size(self.collections) == 0")
        .message("exclude goes with all collections: leave collections out, or take the name from its list"),
    validation = Rule::new("!has(self.mode) || self.mode != 'SchemaOnly' || (!has(self.filter) && !has(self.incremental))")
        .message("mode: SchemaOnly writes no objects: filter and incremental do not go with it"),
    validation = Rule::new("!has(self.engine) || self.engine != 'Native' || has(self.store.s3)")
        .message("engine: Native goes with store.s3: to a volume Weaviate backs up one node alone, and its modules for Google and Azure the operator does not drive; use engine: Portable"),
    validation = Rule::new("!has(self.engine) || self.engine != 'Native' || (!has(self.format) && !has(self.compression) && !has(self.compressionLevel) && !has(self.parallelism) && !has(self.compare))")
        .message("engine: Native has no format, compression, compressionLevel, parallelism and compare: the servers write files of their own; see native.compressionLevel and native.cpuPercentage"),
    validation = Rule::new("!has(self.engine) || self.engine != 'Native' || (!has(self.mode) && !has(self.filter) && !has(self.incremental) && !has(self.encryption))")
        .message("engine: Native has no mode, filter, incremental and encryption: the servers write whole collections as they are"),
    validation = Rule::new("!has(self.engine) || self.engine != 'Native' || !has(self.coldTenants) || self.coldTenants != 'Wake'")
        .message("coldTenants: Wake goes with engine: Portable; with Native it is Refuse, which is meant when it is left out, or Skip"),
    validation = Rule::new("!has(self.engine) || self.engine != 'Native' || !has(self.verify) || !has(self.verify.drill)")
        .message("engine: Native has no verify.drill: the servers restore a collection under its own name alone"),
    validation = Rule::new("!has(self.native) || (has(self.engine) && self.engine == 'Native')")
        .message("native goes with engine: Native")
)]
#[serde(rename_all = "camelCase")]
pub struct CollectionBackupSpec {
    /// The cluster that is backed up. Cannot be changed: what lies in the store carries its name.
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef cannot be changed; create another CollectionBackup with a prefix of its own"))]
    pub cluster_ref: ClusterReference,
    /// Names of the collections in Weaviate; at most 100. Left out: all that there are when a run begins. A collection
    /// of this list that does not exist ends the run. One into which an unfinished CollectionRestore writes is left out
    /// of the run, and the run says so; one that cannot be written ends it before anything is. In the place of one that
    /// an ElysiaCollection of this namespace declares and has migrated, the class that is live is backed up; the Ready
    /// condition says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$")))]
    pub collections: Vec<String>,
    /// Of all collections, those whose names these are or match are left out, e.g. `Scratch*`: a `*` stands for any run of
    /// characters. It goes with all collections alone; of a list leave them out. What is excluded is not missed in a run,
    /// and older runs that hold it go as `retention` says. An ElysiaCollection that was migrated is excluded by its own
    /// name, and the class that is live in its place with it.
    ///
    /// A collection that cannot be written at all, as its vectors are made of references (`ref2vec-centroid`), its servers do
    /// not answer every object (`objectTtlConfig.filterExpiredObjects`, properties that they take for another type) or it has
    /// offloaded tenants, does not end a run of all collections: it is left out, and condition, Event, health and `runs`
    /// say so. Of each such collection the last run that holds it stays, whatever `retention` says. Exclude it to be done
    /// with that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 255), regex(pattern = r"^[*_0-9A-Za-z]+$")))]
    pub exclude: Vec<String>,
    /// Who writes the backup; `Portable` when left out. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// What is asked of the servers; with `engine: Native` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeOptions>,
    /// How objects are written; `Parquet` when left out. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How parts are compressed; `Zstd` when left out. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How hard parts are compressed: 1 to 19 of `Zstd`, 3 when left out; 1 to 9 of `Gzip`, 6 when left out. `Lz4` has
    /// no levels. Higher ones take several times as long for some percent. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 19))]
    pub compression_level: Option<i32>,
    /// What a run holds; `Full` when left out. Only runs that were to hold the same are compared by `maxShrink`; and
    /// while a run of everything is there, runs of less do not stand in for it: the newest verified run of everything
    /// stays, whatever `retention` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Only objects of which this is true, e.g. `published > '2024-01-01' and lang = 'en'`, as `--filter` of the plug-in
    /// has it: comparisons, `in`, `like`, `is null`, `and`, `or`, `not` on properties, on `id`, `_creationTime` and
    /// `_lastUpdateTime`. A text that cannot be read is told at once, one that does not fit a collection when a run
    /// begins, each with the column where it is wrong; nothing is written then. As with `mode`, only like runs are
    /// compared, and the newest verified run of everything stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MOST_FILTER_LETTERS))]
    pub filter: Option<String>,
    /// Runs write only what is not in the run before them. Left out: each holds everything itself. Every object is read
    /// all the same; what is saved is what is written and kept. Retention keeps what others build on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    /// Runs are encrypted with AES-256-GCM. Left out: they are not. The manifests, which have names of collections,
    /// counts and sizes, can be read without the key. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What becomes of tenants that are at rest (`COLD`); `Wake` when left out, and with `engine: Native` `Refuse`, which
    /// there means those tenants that the servers would silently leave out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_tenants: Option<ColdTenants>,
    /// What is asked of the other replicas of each object; `Contents` when left out. `Stamps` makes a run of a cluster with
    /// several replicas quicker, and does not notice replicas that hold different contents under the same time of the last
    /// change. It takes effect with the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<ReplicaComparison>,
    /// Where runs are written. Bucket, account, container, prefix, claim and path cannot be changed. The first run marks
    /// the place with its owner, this policy of this cluster: any other may read and restore there, and never writes or
    /// deletes.
    #[x_kube(
        validation = Rule::new("has(self.s3) == has(oldSelf.s3) && (!has(self.s3) || (self.s3.bucket == oldSelf.s3.bucket && (has(self.s3.prefix) ? self.s3.prefix : '') == (has(oldSelf.s3.prefix) ? oldSelf.s3.prefix : '')))")
            .message("bucket and prefix of store.s3 cannot be changed; create another CollectionBackup"),
        validation = Rule::new("has(self.gcs) == has(oldSelf.gcs) && (!has(self.gcs) || (self.gcs.bucket == oldSelf.gcs.bucket && (has(self.gcs.prefix) ? self.gcs.prefix : '') == (has(oldSelf.gcs.prefix) ? oldSelf.gcs.prefix : '')))")
            .message("bucket and prefix of store.gcs cannot be changed; create another CollectionBackup"),
        validation = Rule::new("has(self.azure) == has(oldSelf.azure) && (!has(self.azure) || (self.azure.account == oldSelf.azure.account && self.azure.container == oldSelf.azure.container && (has(self.azure.prefix) ? self.azure.prefix : '') == (has(oldSelf.azure.prefix) ? oldSelf.azure.prefix : '')))")
            .message("account, container and prefix of store.azure cannot be changed; create another CollectionBackup"),
        validation = Rule::new("has(self.volume) == has(oldSelf.volume) && (!has(self.volume) || (self.volume.claimName == oldSelf.volume.claimName && (has(self.volume.path) ? self.volume.path : '') == (has(oldSelf.volume.path) ? oldSelf.volume.path : '')))")
            .message("claimName and path of store.volume cannot be changed; create another CollectionBackup")
    )]
    pub store: BackupStore,
    /// When runs begin. Left out: exactly one run; `elysia.dev/run-now` makes one more. One run at a time; what was
    /// missed several times is made up for by one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How long runs are kept. Left out: for ever. Kept whatever is written here: the newest run, the newest verified
    /// one, and every run from a Suspect one backwards, until that is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// By how many of a hundred objects a collection may have shrunk since the last good run; 50 when left out. A run in
    /// which one shrank by more, or that lacks a collection which the run before it had, is Suspect: Ready is False, and
    /// nothing is retired until a person approves it or a person's change is undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_shrink: Option<i32>,
    /// How runs are verified.
    #[serde(default, skip_serializing_if = "Verification::is_default")]
    pub verify: Verification,
    /// How long a run may take, its verification included, e.g. `6h`; `24h` when left out. One that takes longer is
    /// ended and has failed; what it wrote is removed by a later run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}[mh]$"))]
    pub deadline: Option<String>,
    /// Stretches of a collection that are read at once; 4 when left out. Each takes about 100 MiB of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub parallelism: Option<i32>,
}

/// Who writes the backup.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Engine {
    /// The operator's own worker, which reads every object with all its vectors: restored into any cluster, of other
    /// nodes, another name, factor, shard count and version.
    #[default]
    Portable,
    /// Weaviate itself, which copies the files of every replica, indexes and all: the fastest back, and only into a
    /// cluster with nodes of the same names, under the same name, and not older. It needs `store.s3` and the module
    /// `backup-s3` at every server, which a managed cluster gets by `spec.managed.backup.s3`.
    Native,
}

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Format {
    /// Apache Parquet, readable by pandas, DuckDB and others: vectors are lists of float32.
    #[default]
    Parquet,
    /// JSON Lines, one object in each line.
    Jsonl,
}

/// How parts are compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// gzip, for tools that know nothing else.
    Gzip,
    /// lz4: the fastest, and nearly twice the size.
    Lz4,
    /// Zstandard, as hard as the size asks for: what is small harder, what goes on and on faster.
    Auto,
}

/// What becomes of tenants that are at rest.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ColdTenants {
    /// They end the run before anything is written.
    Refuse,
    /// Each is woken, read, and put back to rest. Offloaded ones (`FROZEN`) end the run.
    #[default]
    Wake,
    /// They are left out, the offloaded ones as well, and the run says how many.
    Skip,
}

/// What the operator saw of the policy. A cache: the runs in the store are what counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionBackupStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The run under way, or the last one that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<BackupRun>,
    /// The last runs, the newest first; at most 10. `totals` counts all that the store holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<BackupRun>,
    /// What the store held when the last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<BackupTotals>,
    /// When the last run that succeeded was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// When a run was last verified: read back, or restored by a drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified: Option<Time>,
    /// The last restore drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<BackupDrill>,
    /// A Suspect run that waits for a person: approved, it counts as good, and retention goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// When the next run is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// When the next restore drill is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_drill: Option<Time>,
    /// Value of `elysia.dev/run-now` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<String>,
    /// Ready and Verified; Running, Reconciling and Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What the store held when the last run ended.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupTotals {
    /// Runs.
    pub runs: i64,
    /// Bytes of their parts.
    pub bytes: i64,
    /// Those of the runs that were verified.
    pub verified: i64,
    /// Those of the runs that are Suspect.
    pub suspect: i64,
}

/// One run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRun {
    /// Identifies the run; its folder in the store. Absent until its worker has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How it stands.
    pub state: BackupState,
    /// The Job that does the work, of the run under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Objects that were read.
    #[serde(default)]
    pub objects: i64,
    /// Bytes of parts that were written.
    #[serde(default)]
    pub bytes: i64,
    /// How fast it goes and how long it takes yet; only while objects are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<WorkProgress>,
    /// When reading began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its manifest was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// When it was read back and nothing was wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// Collections that it leaves out; `message` names the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: i64,
    /// Why it is Suspect, why it failed, or what it leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum BackupState {
    /// The Job is made, no worker has reported yet.
    Pending,
    /// A worker reads and writes.
    Running,
    /// Its manifest is there.
    Succeeded,
    /// Its manifest is there, and it lacks what the run before it had, or did not survive its verification.
    Suspect,
    /// There is no run.
    Failed,
}

/// A restore drill.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupDrill {
    /// The run that was restored; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it ended.
    pub at: Time,
    /// How it ended.
    pub state: DrillState,
    /// Objects that were found in the scratch collections.
    #[serde(default)]
    pub objects: i64,
    /// Of a hundred objects that are really the nearest, how many the searches found; the collection with the fewest.
    /// Absent where nothing was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<i32>,
    /// The largest distance of a sampled vector from the one that was backed up, of 1 - cosine, with six decimals, e.g.
    /// `0.000000`; `2.000000` where it is no vector of the same shape. Absent where nothing was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a restore drill ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum DrillState {
    /// What was restored is what was backed up, and is found.
    Passed,
    /// It is not.
    Failed,
    /// It could not be done, which says nothing about the run.
    Unfinished,
}
