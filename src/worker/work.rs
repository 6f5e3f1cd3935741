//! What the operator tells a worker. No secrets: whoever may read the Job reads this.

use std::collections::BTreeMap;
use std::path::PathBuf;

use elysia_engine::checkpoint::Digest;
use elysia_engine::guard::Approval;
use elysia_engine::partition::Partition;
use elysia_engine::retry::OUTAGE;
use serde::{Deserialize, Serialize};

/// One index run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexWork {
    /// Namespace of the feed and of its ledger.
    pub namespace: String,
    /// Name of the `IndexSource`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The run. The same one goes on where it stopped, another one begins anew.
    pub run: String,
    /// `ConfigMap` that holds the ledger. It exists already: the worker may get, update and patch this one alone.
    #[serde(default)]
    pub ledger: String,
    /// A file that holds the ledger instead: then no Kubernetes is asked.
    #[serde(default)]
    pub ledger_file: Option<PathBuf>,
    /// The collection, as Weaviate spells it.
    pub collection: String,
    /// Where Weaviate is.
    pub endpoints: Endpoints,
    /// Where the files are.
    pub source: SourceWork,
    /// Properties that do not have the name of their line field or metadata key.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// What becomes of metadata that the collection has no property for.
    #[serde(default)]
    pub unmapped: UnmappedWork,
    /// How texts are cut; not at all when absent.
    #[serde(default)]
    pub chunking: Option<ChunkingWork>,
    /// How many lines may be rejected; any number when absent.
    #[serde(default)]
    pub max_rejected: Option<u64>,
    /// How many documents may be deleted without a person's word; any number when absent.
    #[serde(default)]
    pub delete_guard: Option<DeleteGuardWork>,
    /// Whether lines that change nothing are found, counted so, and not written.
    #[serde(default)]
    pub skip_unchanged: bool,
    /// Workers that share the lines; each has a ledger of its own then, the name above and its index. One when absent.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// Which of them this one is: its pod says so.
    #[serde(skip)]
    pub partition: Option<Partition>,
    /// `ConfigMap`s with ledgers of another division of the feed, where deletes may be left to do: finished first.
    #[serde(default)]
    pub former_ledgers: Vec<String>,
    /// For a feed that goes on from run to run; absent where each run reads all.
    #[serde(default)]
    pub follow: Option<FollowWork>,
    /// The request to carry rejected lines out again, instead of reading on.
    #[serde(default)]
    pub replay: Option<String>,
    /// How many replicas must confirm.
    #[serde(default)]
    pub consistency: ConsistencyWork,
    /// How much is sent at once.
    #[serde(default)]
    pub pace: PaceWork,
    /// With what failures are met.
    #[serde(default)]
    pub patience: PatienceWork,
}

/// How a feed goes on from run to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowWork {
    /// Under another one everything is read again.
    pub basis: String,
    /// Whether a rewritten file is read again, instead of failing the run.
    #[serde(default)]
    pub reread_rewritten: bool,
    /// Time between two looks of a worker that stays; absent: it looks once.
    #[serde(default)]
    pub watch_seconds: Option<u64>,
    /// How many lines must be new for a run to read them; one when absent.
    #[serde(default)]
    pub min_changes: Option<u64>,
    /// A person's wish for a run, whatever is new: followed once.
    #[serde(default)]
    pub run_now: Option<String>,
}

/// How texts are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkingWork {
    /// Characters of a chunk, at most.
    pub size: usize,
    /// Characters that it has in common with the one before it, at most.
    #[serde(default)]
    pub overlap: Option<usize>,
}

/// Addresses of Weaviate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// REST.
    pub rest: String,
    /// gRPC.
    pub grpc: String,
    /// Each node's own addresses: data go to all of them by turns. Empty where they are not known; then all goes to the
    /// addresses above.
    #[serde(default)]
    pub nodes: Vec<NodeEndpoints>,
}

/// Addresses of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEndpoints {
    /// Its name, as Weaviate says it.
    pub name: String,
    /// REST.
    pub rest: String,
    /// gRPC.
    pub grpc: String,
}

/// How many documents may be deleted without a person's word. Both numbers hold where both are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteGuardWork {
    /// Documents.
    pub objects: Option<u64>,
    /// Of a hundred objects in the collection.
    pub percent: Option<u8>,
    /// What a person approved.
    pub approval: Option<Approval>,
}

/// How much is sent at once; what is left out is the worker's to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PaceWork {
    /// Batches in flight, at most.
    pub parallelism: Option<usize>,
    /// Objects of one batch, at most.
    pub batch_objects: Option<usize>,
    /// Bytes of one batch, at most.
    pub batch_bytes: Option<usize>,
}

/// With what failures are met; what is left out is the worker's to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PatienceWork {
    /// Attempts of one call.
    pub attempts: Option<u32>,
    /// The longest first wait, in milliseconds.
    pub base_milliseconds: Option<u64>,
    /// The longest wait of all, in milliseconds.
    pub cap_milliseconds: Option<u64>,
    /// How long a call is tried in any case, however many attempts that are, in milliseconds.
    pub outage_milliseconds: Option<u64>,
    /// Failures in a row at which the circuit breaker opens.
    pub breaker_failures: Option<u32>,
    /// How long it stays open, in milliseconds.
    pub breaker_cooldown_milliseconds: Option<u64>,
}

impl PatienceWork {
    /// That of a Job, which nobody watches: it waits for what is away, unless it was said how often a call is tried.
    pub(crate) fn through_outages(self) -> Self {
        if self.attempts.is_some() || self.outage_milliseconds.is_some() {
            return self;
        }
        Self { outage_milliseconds: u64::try_from(OUTAGE.as_millis()).ok(), ..self }
    }
}

/// Where the files are: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceWork {
    /// Mounted `ConfigMap`s.
    ConfigMaps(Vec<ConfigMapWork>),
    /// A mounted volume.
    Volume(VolumeWork),
    /// Files of this machine in the order in which they are read, `-` for standard input: a run without a Job.
    Here(Vec<String>),
    /// A folder of a bucket.
    S3(S3Work),
}

impl SourceWork {
    /// Whether files leave their place once they are dealt with.
    pub fn is_processed(&self) -> bool {
        match self {
            Self::Volume(volume) => volume.processed.is_some(),
            Self::ConfigMaps(_) | Self::Here(_) | Self::S3(_) => false,
        }
    }
}

/// A mounted `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapWork {
    /// Its name.
    pub name: String,
    /// Where it is mounted.
    pub mount_path: String,
    /// Its files in the order in which they are read.
    pub files: Vec<FileWork>,
}

/// One file of a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileWork {
    /// Its key.
    pub path: String,
    /// The content for which this run was made; any other is refused.
    pub sha256: Digest,
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeWork {
    /// Where it is mounted.
    pub mount_path: String,
    /// Folder on it, or one file; its top when empty.
    #[serde(default)]
    pub path: String,
    /// Which files below the folder: `*` within a name, `**` across folders.
    pub pattern: String,
    /// Whether the feed goes on from run to run: then there may be no file yet, and a file has a version.
    #[serde(default)]
    pub is_followed: bool,
    /// What becomes of a file once every line of it is counted; absent: it stays.
    #[serde(default)]
    pub processed: Option<ProcessedWork>,
}

/// What becomes of a file on a volume once every line of it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProcessedWork {
    /// This is put behind its name.
    Rename {
        /// Such as `.processed`.
        suffix: String,
    },
    /// It goes into this folder of the volume.
    Move {
        /// From the top of the volume.
        path: String,
    },
}

/// A folder of a bucket. The key is not here: it comes in environment variables of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Work {
    /// The bucket.
    pub bucket: String,
    /// Folder in it; its top when empty.
    #[serde(default)]
    pub prefix: String,
    /// Which objects below the folder: `*` within a part of the key, `**` across slashes.
    pub pattern: String,
    /// Where the server is; Amazon's own of the region when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether requests go unsigned.
    #[serde(default)]
    pub anonymous: bool,
    /// Certificates of authorities, in PEM, beside those of the system; a worker has them from its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Whether the feed goes on from run to run: then there may be no object yet.
    #[serde(default)]
    pub is_followed: bool,
}

/// What becomes of metadata that the collection has no property for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnmappedWork {
    /// The line is rejected.
    #[default]
    Reject,
    /// The key is left out.
    Drop,
}

/// How many replicas must confirm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConsistencyWork {
    /// One.
    One,
    /// The majority.
    #[default]
    Quorum,
    /// All.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_json_is_understood() {
        let text = serde_json::json!({
            "namespace": "shop", "name": "feed", "uid": "u", "run": "r1", "ledger": "feed-ledger",
            "collection": "Articles",
            "endpoints": {"rest": "http://search:8080", "grpc": "http://search:50051"},
            "source": {"configMaps": [{"name": "c", "mountPath": "/feed", "files": [
                {"path": "a.jsonl", "sha256": Digest::default()}]}]},
            "unmapped": "Drop", "maxRejected": null, "chunking": {"size": 1000},
        });
        let work: IndexWork = serde_json::from_value(text).unwrap();
        assert_eq!(
            (work.unmapped, work.max_rejected, work.consistency),
            (UnmappedWork::Drop, None, ConsistencyWork::Quorum)
        );
        assert_eq!(work.chunking, Some(ChunkingWork { size: 1000, overlap: None }));
        assert_eq!((work.endpoints.nodes, work.pace.parallelism, work.patience.attempts), (vec![], None, None));
        let volume = serde_json::json!({"volume": {"mountPath": "/feed", "path": "", "pattern": "*.jsonl"}});
        assert!(matches!(serde_json::from_value(volume).unwrap(), SourceWork::Volume(_)));
    }
}
