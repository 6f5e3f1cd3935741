//! `IndexSource`: a feed of JSONL change files that is kept indexed into one collection.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::collection::PlanStatus;
use crate::common::{ClusterReference, Empty, S3Store, Schedule};
use crate::processed::Processed;

mod chunking;
mod effort;
mod progress;

pub use chunking::Chunking;
pub use effort::{Batch, CircuitBreaker, Retry};
pub use progress::{Lag, PartitionStatus, PartitionsStatus};

/// A feed of JSONL change files that is kept indexed into one collection.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "elysia.dev",
    version = "v1alpha1",
    kind = "IndexSource",
    namespaced,
    status = "IndexSourceStatus",
    derive = "PartialEq",
    shortname = "isrc",
    category = "elysia",
    cel,
    doc = "A feed of JSONL change files that is kept indexed into one collection.",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name must have at most 40 characters: Jobs and the ledger are named after it"),
    validation = Rule::new("!has(self.spec.deleteGuard) || !has(self.spec.run) || !(has(self.spec.run.schedule) || has(self.spec.run.watch))")
        .message("deleteGuard cannot wait for a person in a feed with run.schedule or run.watch yet: use run.once"),
    validation = Rule::new("!has(self.spec.minChanges) || (has(self.spec.run) && (has(self.spec.run.schedule) || has(self.spec.run.watch)))")
        .message("minChanges is for run.schedule and run.watch: every other run reads all from the beginning"),
    validation = Rule::new("!has(self.spec.partitions) || self.spec.partitions == 1 || (!has(self.spec.deleteGuard) && (!has(self.spec.run) || !(has(self.spec.run.schedule) || has(self.spec.run.watch))))")
        .message("several partitions go with runs that read all: neither run.schedule nor run.watch nor deleteGuard"),
    validation = Rule::new("!has(oldSelf.spec.chunking) || has(self.spec.chunking)")
        .message("chunking cannot be taken away: chunks would be left behind; set chunking.size to 16777216 for documents of one chunk"),
    validation = Rule::new("!has(self.spec.source.volume) || !has(self.spec.source.volume.processed) || (has(self.spec.run) && (has(self.spec.run.schedule) || has(self.spec.run.watch)))")
        .message("source.volume.processed is for run.schedule and run.watch: every other run reads all files from the beginning"),
    printcolumn(name = "Collection", type_ = "string", json_path = ".spec.collection"),
    printcolumn(name = "Lines", type_ = "integer", json_path = ".status.counts.lines"),
    printcolumn(name = "Rejected", type_ = "integer", json_path = ".status.counts.rejected"),
    printcolumn(name = "CaughtUp", type_ = "string", json_path = ".status.conditions[?(@.type==\"CaughtUp\")].status"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Plan", type_ = "string", priority = 1, json_path = ".status.plan.hash"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct IndexSourceSpec {
    /// The cluster that holds the collection. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef cannot be changed; create another IndexSource"))]
    pub cluster_ref: ClusterReference,
    /// Name of the collection in Weaviate. It must exist; an ElysiaCollection makes it. Cannot be changed.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("collection cannot be changed; create another IndexSource"))]
    pub collection: String,
    /// Where the lines come from.
    pub source: Source,
    /// When a run starts. Left out: once for each content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// How many lines must be new for a run to read them, of a feed with `run.schedule` or `run.watch`; 1 when left out.
    /// Fewer wait, uncounted and unread, for a look that finds as many: CaughtUp is False (`TooFewChanges`) meanwhile, and
    /// `status.waitingLines` says how many. A new value of `elysia.dev/run-now` reads them at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_changes: Option<i32>,
    /// How lines become objects.
    #[serde(default)]
    pub mapping: Mapping,
    /// Whether and how texts are cut into chunks, each an object of its own; left out: one object for each document. The
    /// document's own object has the first chunk and, in the int property `chunks`, their number; number `n` of the others
    /// is the object uuid5(document id, `n`), with the document's other properties, and `n` in the int property `chunk`.
    /// `mapping.properties` gives both other names. Deletes and renames take the chunks along. Changed, it starts a new
    /// run, and documents are cut anew as its lines bring their texts. Cannot be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunking: Option<Chunking>,
    /// Rejected lines at which a run fails. Any number is allowed when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_rejected: Option<i64>,
    /// How many documents a run may delete without a person's word. Before its first write a run counts the documents
    /// that are there and that the lines delete, also those that a rename brings to the deleted path and those that are
    /// added again later. Are there more, it writes nothing and waits: `status.plan` shows the number and a hash, which
    /// `elysia.dev/approve` approves, once, for this content and no more deletes. What a run on a volume appends to the
    /// files meanwhile is left for the next run. Left out: any number; in a protected collection
    /// (`protectedCollections` of the WeaviateCluster) none. It starts no run by itself; a waiting run is counted again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_guard: Option<DeleteGuard>,
    /// Whether lines that would leave their document exactly as it is are found, counted as `unchanged`, and not written;
    /// `false` when left out. What an `add` or `modify` replaces is then read first, by id and from a majority of
    /// replicas, and compared property by property and vector by vector. Worth it where Weaviate computes vectors, which
    /// are kept then, and where most lines change nothing; otherwise reading costs more than writing. It starts no run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_unchanged: bool,
    /// Workers that share the lines of a run, each in a pod of its own; 1 when left out. Each reads all lines and deals with
    /// those whose repo's sha256 says so, so that the order of changes of one path holds; with a single repo one worker
    /// does all. What they count is added up. The number is fixed for a run: another one is another run. It goes with
    /// runs that read all, and not with `deleteGuard`. `maxRejected` holds for each worker, and for all of them together
    /// when the last one has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub partitions: Option<i32>,
    /// Batches under way at once, at most; 6 when left out. Fewer go out while the servers are slow or short of memory.
    /// Like `batch`, `retry` and `circuitBreaker` it changes no outcome: it starts no run, and takes effect with the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub parallelism: Option<i32>,
    /// How large one batch may grow.
    #[serde(default, skip_serializing_if = "Batch::is_default")]
    pub batch: Batch,
    /// How a failed call is tried again: exponential backoff with full jitter.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// When the collection is left alone for a while because one call after the other failed.
    #[serde(default, skip_serializing_if = "CircuitBreaker::is_default")]
    pub circuit_breaker: CircuitBreaker,
}

/// How many documents a run may delete without a person's word. Both numbers hold where both are given.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("has(self.objects) || has(self.percent)")
    .message("deleteGuard needs objects, percent or both; leave it out to allow any number"))]
#[serde(rename_all = "camelCase")]
pub struct DeleteGuard {
    /// Documents; 0 asks about every delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub objects: Option<i64>,
    /// Of a hundred objects that the collection has before the run. A collection that cannot be counted allows no delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
}

/// Where the lines come from: exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.volume), has(self.s3)].exists_one(there, there)")
    .message("exactly one of source.configMap, source.volume and source.s3 must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Keys of a ConfigMap, each one a file. `kubectl apply` stops at 256 KiB, the object at 1 MiB: more belongs on a
    /// volume or into a bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
    /// Files on a PersistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSource>,
    /// Objects in a bucket, of S3 or a server that speaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
}

/// Keys of a ConfigMap in the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Keys in the order in which they are read; all keys in the order of their names when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$")))]
    pub keys: Vec<String>,
}

/// Files on a PersistentVolumeClaim in the same namespace, read in the order of their names.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSource {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Folder on the volume; its top when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 1024),
        regex(pattern = r"^([^/.]|[^/.][^/]*|\.[^/.][^/]*)?(/([^/.]|[^/.][^/]*|\.[^/.][^/]*))*$")
    )]
    pub path: String,
    /// Which files, e.g. `*.jsonl` (the default). A `*` matches inside one name, `**` across folders.
    #[serde(default = "default_pattern")]
    #[schemars(length(min = 1, max = 256))]
    pub pattern: String,
    /// What becomes of a file once every line of it is counted, of a feed with `run.schedule` or `run.watch`. Left out: it
    /// stays where it is. With it the volume is mounted for writing. A file that grew or changed behind its last line, or
    /// whose last line is not whole, stays until that is counted as well. Write a file under a name that begins with a
    /// dot and rename it when it is complete: what is written to a file that is processed is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed: Option<Processed>,
}

/// Objects in a bucket, read in the order of their keys.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Source {
    /// Where they are.
    #[serde(flatten)]
    pub store: S3Store,
    /// Which objects below `prefix`, e.g. `*.jsonl` (the default). A `*` matches inside one part of a key, `**` across
    /// slashes. Empty objects are left out.
    #[serde(default = "default_pattern")]
    #[schemars(length(min = 1, max = 256))]
    pub pattern: String,
}

fn default_pattern() -> String {
    "*.jsonl".to_owned()
}

/// When a run starts, and what it reads: at most one of `once`, `schedule` and `watch`.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(
    validation = Rule::new("[has(self.once), has(self.schedule), has(self.watch)].filter(there, there).size() <= 1")
        .message("at most one of run.once, run.schedule and run.watch may be set"),
    validation = Rule::new("!has(self.rewritten) || has(self.schedule) || has(self.watch)")
        .message("run.rewritten is for run.schedule and run.watch: every other run reads all from the beginning")
)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Once for each content of a ConfigMap, once for each spec of a volume or bucket; `elysia.dev/run-now` starts one
    /// more. Each run reads all from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once: Option<Empty>,
    /// At these times. Each run reads what came since the last one: new files, and what files grew by. One run at a time;
    /// what was missed is made up for by one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// As soon as there is something new. A worker stays and looks again and again; of a ConfigMap, the operator sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// What happens when the indexed part of a file was rewritten or cut off and is under no other name either;
    /// `Refuse` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
}

/// How a worker watches a volume or a bucket.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// Time between two looks, e.g. `10s` (the default); at least one second. Each look lists all files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}(s|m)$"))]
    pub interval: Option<String>,
}

/// What happens to a file whose indexed part was rewritten or cut off.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Rewritten {
    /// The run fails before it reads anything.
    #[default]
    Refuse,
    /// It is read from its beginning, like a new one.
    ReadAgain,
}

/// How lines become objects.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.properties) || self.properties.all(key, size(key) >= 1 && size(key) <= 256 && self.properties[key].matches('^[_A-Za-z][_0-9A-Za-z]{0,230}$'))")
        .message("mapping.properties: a value must be the name of a property, a key not longer than 256 characters"),
    validation = Rule::new("!has(self.properties) || self.properties.all(key, self.properties.exists_one(other, self.properties[other] == self.properties[key]))")
        .message("mapping.properties: two keys must not be one property")
)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// Properties that do not have the name of what they hold: from `repo`, `path`, `content` or a metadata key (with
    /// `chunking` also from `chunks` and `chunk`) to a property of the collection, e.g. `{content: body, author: writtenBy}`.
    /// What is not named here goes to the property of its own name. At most 50.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "property_names")]
    pub properties: BTreeMap<String, String>,
    /// What happens to a line with a metadata key that the collection has no property for.
    #[serde(default)]
    pub unmapped: Unmapped,
}

/// The bounds let the API server bound what the rules about it cost.
fn property_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 231},
    })
}

/// What happens to a line with a metadata key that the collection has no property for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Unmapped {
    /// The line is rejected; also when left out.
    #[default]
    Reject,
    /// The key is left out.
    Drop,
}

/// What the operator saw of the feed. A cache: the ledger ConfigMap `NAME-ledger` is what counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexSourceStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Lines of the present run and what became of them; with a schedule or a watch, of all runs since the feed began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Rejected lines and failed calls by category: network, weaviate, fileSystem, rateLimit, memory, encoding,
    /// timeout, validation, unknown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, i64>,
    /// How far the present run came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// How fast the present run is, and what it costs the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    /// What of the files that were listed last is left to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// The present or last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// Its partitions, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<PartitionsStatus>,
    /// Deletes that wait for a person's word: the run begins when its hash is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The first rejected lines; at most 20. `counts.rejected` is the total.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_letter: Vec<DeadLetter>,
    /// When the next run is due, of a feed with a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// Lines that are new and wait for as many as `minChanges` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_lines: Option<i64>,
    /// When every line was last dealt with, of a feed with a schedule or a watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<Time>,
    /// Value of `elysia.dev/run-now` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<String>,
    /// Ready, CaughtUp; CircuitClosed once a worker has begun; Running, Reconciling and Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// `lines = added + modified + deleted + renamed + unchanged + rejected`, always.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Lines dealt with.
    pub lines: i64,
    /// Objects added.
    pub added: i64,
    /// Objects modified.
    pub modified: i64,
    /// Objects deleted.
    pub deleted: i64,
    /// Objects renamed.
    pub renamed: i64,
    /// Lines that changed nothing, proved by a comparison with what was stored; see `skipUnchanged`.
    pub unchanged: i64,
    /// Lines that could not be dealt with.
    pub rejected: i64,
}

/// How far a run came.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// File that is being read; absent when all are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Bytes of that file that are done.
    pub offset: i64,
    /// Files that are done.
    pub files_done: i64,
}

/// How fast a run is, and what it costs the servers. `objects / calls` tells what batches save; lines that changed the
/// same path shortly one after another are one object.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// Lines in each second, from the run's start to the last write of its ledger, waits for another worker included.
    pub lines_per_second: i64,
    /// Bytes of the lines that were dealt with.
    #[serde(default)]
    pub bytes: i64,
    /// Calls that wrote objects and were confirmed.
    pub calls: i64,
    /// Objects in them.
    pub objects: i64,
    /// How long such a call took on average, in milliseconds; several are under way at once.
    pub call_milliseconds: i64,
    /// Calls that failed.
    pub failed_calls: i64,
    /// Objects of a batch, at most, at present: grown and shrunk by what the servers answer.
    pub batch_objects: i64,
    /// Batches under way, at most, at present.
    pub parallelism: i64,
}

/// One run of a feed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Identifies the run; made from the content, the spec and `elysia.dev/run-now`.
    pub id: String,
    /// How it stands.
    pub state: RunState,
    /// The Job that does the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When the worker started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the worker ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RunState {
    /// The Job is made, no worker has reported yet.
    Pending,
    /// A worker is at it.
    Running,
    /// Nothing was written: it would delete more than `deleteGuard` allows, and waits for an approval.
    Waiting,
    /// Fewer lines were new than `minChanges` asks for: they wait.
    Skipped,
    /// Every line was dealt with.
    Succeeded,
    /// It ended before the last line.
    Failed,
}

/// A line that could not be dealt with.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// File that the line stands in.
    pub file: String,
    /// Number of the line, from 1.
    pub line: i64,
    /// Byte at which the line starts.
    pub offset: i64,
    /// Length of the line in bytes.
    pub length: i64,
    /// Kind of trouble, as in `errors`.
    pub category: String,
    /// What is wrong and what to do next.
    pub reason: String,
}
