//! What the operator tells a worker. No secrets: whoever may read the Job reads this.

use std::collections::BTreeMap;

use elysia_engine::checkpoint::Digest;
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
    pub ledger: String,
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
    /// How many lines may be rejected; any number when absent.
    #[serde(default)]
    pub max_rejected: Option<u64>,
    /// How many replicas must confirm.
    #[serde(default)]
    pub consistency: ConsistencyWork,
}

/// Addresses of Weaviate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// REST.
    pub rest: String,
    /// gRPC.
    pub grpc: String,
}

/// Where the files are: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceWork {
    /// Mounted `ConfigMap`s.
    ConfigMaps(Vec<ConfigMapWork>),
    /// A mounted volume.
    Volume(VolumeWork),
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
            "unmapped": "Drop", "maxRejected": null,
        });
        let work: IndexWork = serde_json::from_value(text).unwrap();
        assert_eq!(
            (work.unmapped, work.max_rejected, work.consistency),
            (UnmappedWork::Drop, None, ConsistencyWork::Quorum)
        );
        let volume = serde_json::json!({"volume": {"mountPath": "/feed", "path": "", "pattern": "*.jsonl"}});
        assert!(matches!(serde_json::from_value(volume).unwrap(), SourceWork::Volume(_)));
    }
}
