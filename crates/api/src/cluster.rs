//! `WeaviateCluster`: a Weaviate cluster that the operator runs, or one that it only knows.

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{S3Store, Schedule, SecretKeyReference, Storage};

/// A Weaviate cluster, run by the operator (`managed`) or by somebody else (`external`).
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "elysia.dev",
    version = "v1alpha1",
    kind = "WeaviateCluster",
    namespaced,
    status = "WeaviateClusterStatus",
    derive = "PartialEq",
    shortname = "wvc",
    category = "elysia",
    cel,
    doc = "A Weaviate cluster: one that the operator runs (managed) or one that it only knows (external).",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name must have at most 40 characters: pods, Services and volumes are named after it"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodesReady"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.managed) != has(self.external)")
        .message("exactly one of spec.managed and spec.external must be set"),
    validation = Rule::new("has(self.managed) == has(oldSelf.managed)")
        .message("a managed cluster cannot become external, nor the other way round; create another WeaviateCluster")
)]
#[serde(rename_all = "camelCase")]
pub struct WeaviateClusterSpec {
    /// A cluster that the operator runs: StatefulSet, Services, API key, PodDisruptionBudget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// A cluster that somebody else runs. The operator talks to it and changes no pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Names of collections that are never recreated, e.g. `Billing*`. Added to `ELYSIA_*`, `ELYSIACTL_*` and
    /// `*_SYSTEM`, which are always protected. A `*` stands for any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 255)))]
    pub protected_collections: Vec<String>,
    /// How often the cluster and its collections are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// How many replicas are copied at the same time when collections are repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairLimits>,
    /// The Elysia AI service beside the cluster. It is started when the cluster is Ready for the first time, and
    /// without this field there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elysia: Option<Elysia>,
}

/// A cluster that the operator runs.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("!has(self.minimumReplicationFactor) || self.minimumReplicationFactor <= self.replicas")
    .message("minimumReplicationFactor cannot exceed replicas"))]
#[serde(rename_all = "camelCase")]
pub struct Managed {
    /// Version of Weaviate, e.g. `1.38.2`; 1.31 or newer. Pods are not restarted by a change: the condition Ready
    /// says RestartRequired and names them until a person has deleted them one after another.
    #[schemars(length(max = 64), regex(pattern = r"^1\.(3[1-9]|[4-9][0-9])\.[0-9]+$"))]
    pub version: String,
    /// Number of nodes: 1, or 3 and more. Two nodes lose their quorum when either of them goes. Cannot be changed yet.
    #[schemars(range(min = 1, max = 100))]
    #[x_kube(
        validation = Rule::new("self != 2").message("two nodes lose their quorum when one of them goes: use 1, or 3 or more"),
        validation = Rule::new("self == oldSelf").message("replicas cannot be changed yet: shards would have to be moved first")
    )]
    pub replicas: i32,
    /// The volume of each node. Volumes are kept when the WeaviateCluster is deleted.
    #[x_kube(validation = Rule::new("self == oldSelf").message("storage cannot be changed yet"))]
    pub storage: Storage,
    /// Who may talk to the servers. An API key is made and asked for when left out.
    #[serde(default)]
    pub auth: ManagedAuth,
    /// The image of the server; `semitechnologies/weaviate:VERSION` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Processor and memory of each pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Lowest replication factor that the servers accept for a new collection, and what a collection gets whose
    /// creator names none. 1 when left out; at most `replicas`.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub minimum_replication_factor: i32,
    /// Whether writes may create collections and properties that do not exist; yes when left out. Takes effect without a restart.
    #[serde(default = "yes")]
    pub auto_schema: bool,
    /// More environment variables of the server. Those that the operator sets itself cannot be set here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Where the servers may write backups of their own, for a CollectionBackup with `engine: Native`. Like a change of
    /// `env` it takes effect when a pod is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<ManagedBackup>,
}

/// Where the servers may write backups of their own.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.s3)").message("backup needs s3"),
    validation = Rule::new("!has(self.s3) || !has(self.s3.caSecretRef)")
        .message("backup.s3 has no caSecretRef: Weaviate's servers trust the authorities of their own image alone")
)]
#[serde(rename_all = "camelCase")]
pub struct ManagedBackup {
    /// A bucket, by Weaviate's module `backup-s3`. Policies may name other buckets and prefixes of the same server that
    /// the key may write. The Secret is read by the pods themselves; left out, they take the rights of the machine that
    /// they run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,
}

/// Who may talk to the servers of a managed cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("!has(self.anonymous) || !self.anonymous || !has(self.apiKeySecretRef)")
    .message("anonymous and apiKeySecretRef exclude each other"))]
#[serde(rename_all = "camelCase")]
pub struct ManagedAuth {
    /// Anybody who reaches the servers may do everything. For experiments only.
    #[serde(default)]
    pub anonymous: bool,
    /// An API key of your own; otherwise one is made and kept in the Secret `NAME-auth` under `apiKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyReference>,
}

/// A cluster that somebody else runs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.nodes) || self.nodes.all(one, self.nodes.exists_one(other, other.name == one.name))")
        .message("two of the nodes have the same name"),
    validation = Rule::new("!has(self.nodes) || self.nodes.all(one, self.nodes.exists_one(other, other.url == one.url))")
        .message("two of the nodes have the same url: each needs the address of that one node")
)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// REST address of the cluster, e.g. `http://weaviate.search.svc:8080`. Without a user and a password: they would
    /// be shown in the status and in Jobs; an API key belongs into `auth`.
    #[schemars(length(max = 1024), regex(pattern = r"^https?://[^/?#@\s]+$"))]
    pub url: String,
    /// gRPC address, e.g. `http://weaviate-grpc.search.svc:50051`. Feeds need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https?://[^/?#@\s]+$"))]
    pub grpc: Option<String>,
    /// The nodes with each one's own address; no two of the same name or address. Without them no replica can be asked by
    /// itself: nothing is ever proved equal or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub nodes: Vec<ExternalNode>,
    /// The API key, if the servers ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<ExternalAuth>,
}

/// One node of an external cluster.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalNode {
    /// Name of the node as Weaviate's `/v1/nodes` says it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// REST address of this one node.
    #[schemars(length(max = 1024), regex(pattern = r"^https?://[^/?#@\s]+$"))]
    pub url: String,
    /// Address of this node's cluster data port (`CLUSTER_DATA_BIND_PORT`), e.g. `http://10.0.0.5:7101`. Needed only to
    /// take a node that is gone for ever out of RAFT; that port has no authentication, so keep it from everybody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^http://[^/?#@\s]+$"))]
    pub data_url: Option<String>,
}

/// How to authenticate at an external cluster.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// The Secret and key with the API key.
    pub api_key_secret_ref: SecretKeyReference,
}

/// How often things are looked at, and how closely.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Time between two looks at the same object, e.g. `60s` (the default), `5m`. At least `5s`.
    #[serde(default = "sixty_seconds")]
    #[schemars(length(max = 16), regex(pattern = r"^([1-9][0-9]*m|[5-9]s|[1-9][0-9]+s)$"))]
    pub interval: String,
    /// Comparing objects, not only their replicas' places. Nothing of it is done when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<VerifyData>,
}

/// When and how many objects are compared.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyData {
    /// When each collection's objects are compared.
    pub schedule: Schedule,
    /// Objects of each collection that are read from every replica and compared; 100 when left out.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub sample_size: i32,
}

/// How many replicas are copied at the same time. Each copy loads the disk and network of its source and its target.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairLimits {
    /// Copies in the whole cluster at the same time; 6 when left out.
    #[serde(default = "six")]
    #[schemars(range(min = 1, max = 100))]
    pub copies_per_cluster: i32,
    /// Copies to one node at the same time; 3 when left out.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub copies_per_node: i32,
}

impl Default for RepairLimits {
    fn default() -> Self {
        Self { copies_per_cluster: six(), copies_per_node: three() }
    }
}

fn sixty_seconds() -> String {
    "60s".to_owned()
}

fn hundred() -> i32 {
    100
}

fn six() -> i32 {
    6
}

fn three() -> i32 {
    3
}

/// The Elysia AI service. It has no authentication of its own: let nobody reach it who may not read every collection.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elysia {
    /// Image with `elysia-ai` and its spaCy model.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Port of the service; 8000 when left out.
    #[serde(default = "elysia_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Number of pods, 1 when left out. Conversations live in a pod's memory, so the Service keeps a client on its pod.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,
    /// Processor and memory of each pod; the service itself needs about 400 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Models, keys and other settings of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
}

fn one() -> i32 {
    1
}

fn yes() -> bool {
    true
}

fn elysia_port() -> i32 {
    8000
}

/// What the operator saw of the cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeaviateClusterStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// Version that the servers say they run; the lowest when they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Ready nodes of all nodes, e.g. `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes_ready: Option<String>,
    /// The nodes, those in trouble first; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// Members of the servers' own RAFT configuration as `name@address`; at most 20. By them two objects that
    /// stand for the same servers are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raft_members: Vec<String>,
    /// Where clients reach the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// How shards and objects are spread over the nodes; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// What the last write and read of a probe object gave; see `verify.data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeReport>,
    /// A node of a managed cluster that copies no replicas any more, until it is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hung_engine: Option<HungEngine>,
    /// The last node that the operator restarted for that, or is about to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_restart: Option<EngineRestart>,
    /// Advice that is not acted upon; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recommendations: Vec<String>,
    /// Ready, Available, ClusterVerified, `DataVerified`; Reconciling and Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A node whose replication engine hangs: it takes up no copies, and deletes none that it was asked to delete. It serves
/// all the same. Seen on 1.38.2 after another node was killed in the middle of copies.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HungEngine {
    /// Name of the node, and of its pod.
    pub node: String,
    /// The copy that it was asked to delete.
    pub operation: String,
    /// Since when it has been asked, as far as the operator saw it.
    pub since: Time,
    /// Why the operator has not restarted the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Whether it is a person who has to restart it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_person: bool,
}

/// A node that is restarted because its replication engine hung. Written down before its pod is deleted, so that it is
/// done once, whenever the operator dies.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineRestart {
    /// Name of the node, and of its pod.
    pub node: String,
    /// The copy that it did not delete.
    pub operation: String,
    /// uid of the pod that is deleted. As long as the pod has it, it was not.
    pub pod_uid: String,
    /// When that was decided.
    pub at: Time,
}

/// One word for the state of a cluster.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ClusterPhase {
    /// Nodes are coming up for the first time.
    Starting,
    /// Every node is ready and all agree.
    Ready,
    /// It serves, but not all of it is well.
    Degraded,
    /// Nothing answers.
    Unavailable,
}

/// One node as the operator saw it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Name of the node; for managed clusters also of its pod.
    pub name: String,
    /// Whether the node says of itself that it is ready.
    pub ready: bool,
    /// Version that the node runs; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its part in RAFT: Leader, Follower, Candidate, NonVoter; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raft: Option<String>,
    /// Shards on the node; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<i64>,
    /// What keeps the node from being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

/// How evenly the nodes are loaded.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// Replicas of shards in the whole cluster.
    pub replicas: i64,
    /// Replicas at the node with the fewest.
    pub fewest: i64,
    /// Replicas at the node with the most.
    pub most: i64,
}

/// What became of an object that was written and read back at each node, in a collection of the operator's own.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeReport {
    /// When it was written.
    pub at: Time,
    /// Whether every node read back what was written.
    pub succeeded: bool,
    /// The longest time until a node had it, in milliseconds; absent when one never had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_milliseconds: Option<i64>,
    /// The nodes that did not read it back, or could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Where clients reach the cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// REST address.
    pub rest: String,
    /// gRPC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
}
