//! What a worker of backups and restores is told. No secrets: whoever may read the Job reads this; keys come in
//! variables of their own, as for feeds.

use elysia_engine::backup::manifest::{DataFormat, Owner};
use elysia_engine::backup::restore::Conflict;
use elysia_engine::backup::write::Cold;
use serde::{Deserialize, Serialize};

use crate::worker::work::{Endpoints, PatienceWork};

/// One run of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupWork {
    /// Namespace of the policy and of its ledger; empty without Kubernetes.
    #[serde(default)]
    pub namespace: String,
    /// Name of the `CollectionBackup`; empty without one.
    #[serde(default)]
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
    /// The run's id in the store, as `layout::run_id` makes it. An attempt that was cut off is not written over: the next
    /// one gets this id with a number behind it. One that has a manifest is done.
    pub run: String,
    /// Whose run it is: the prefix must be theirs.
    pub owner: Owner,
    /// Collections; absent: all there are when it begins.
    #[serde(default)]
    pub collections: Option<Vec<String>>,
    /// Of all of them, those whose names these patterns have are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Where Weaviate is.
    pub endpoints: Endpoints,
    /// Where the run goes.
    pub store: StoreWork,
    /// How objects are read and written.
    #[serde(default)]
    pub how: BackupHow,
    /// With what failures are met.
    #[serde(default)]
    pub patience: PatienceWork,
}

/// How objects are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupHow {
    /// How parts are written.
    pub data: DataFormat,
    /// What becomes of tenants that are at rest.
    pub cold: ColdWork,
    /// What is asked of the other replicas.
    pub compare: CompareWork,
    /// Stretches that are read at once; the engine's own number when absent.
    pub lanes: Option<usize>,
}

impl Default for BackupHow {
    fn default() -> Self {
        Self { data: DataFormat::Parquet, cold: ColdWork::Refuse, compare: CompareWork::default(), lanes: None }
    }
}

/// What becomes of tenants that are at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColdWork {
    /// They end the run before anything is written.
    #[default]
    Refuse,
    /// They are woken, read, and put back to rest.
    Wake,
    /// They are left out, and the run says so.
    Skip,
}

impl From<ColdWork> for Cold {
    fn from(cold: ColdWork) -> Self {
        match cold {
            ColdWork::Refuse => Self::Refuse,
            ColdWork::Wake => Self::Wake,
            ColdWork::Skip => Self::Skip,
        }
    }
}

/// What is asked of replicas beside the one that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareWork {
    /// Ids, times of the last change, properties and vectors: everything is read from every replica.
    #[default]
    Contents,
    /// Ids and times of the last change: what Weaviate itself goes by, and a tenth of the bytes. Where they differ, the
    /// contents are compared.
    Stamps,
    /// Nothing: objects come from one replica, and what that one lacks is missing.
    None,
}

/// Where runs lie: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoreWork {
    /// A folder of a bucket. The key comes in the variables of S3 that feeds use.
    S3(BucketWork),
    /// A folder of a bucket of Google. The key of the service account comes in a variable of its own.
    Gcs(GcsWork),
    /// A folder of a container of Azure. Its key or signature comes in variables of their own.
    Azure(AzureWork),
    /// A folder of this machine, or of a mounted volume.
    Folder(String),
}

impl StoreWork {
    /// The same, whose server's certificate may be signed by these authorities, unless it names some.
    #[must_use]
    pub fn trusting(mut self, pem: Option<String>) -> Self {
        let authorities = match &mut self {
            Self::S3(work) => &mut work.authorities,
            Self::Gcs(work) => &mut work.authorities,
            Self::Azure(work) => &mut work.authorities,
            Self::Folder(_) => return self,
        };
        *authorities = authorities.take().or(pem);
        self
    }
}

/// A folder of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketWork {
    /// The bucket.
    pub bucket: String,
    /// Folder in it; its top when empty.
    #[serde(default)]
    pub prefix: String,
    /// Where the server is; Amazon's own of the region when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether requests go unsigned: a bucket that anybody may read.
    #[serde(default)]
    pub anonymous: bool,
    /// Certificates of authorities, in PEM, beside those of the system; a worker has them from its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// A folder of a bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GcsWork {
    /// The bucket.
    pub bucket: String,
    /// Folder in it; its top when empty.
    #[serde(default)]
    pub prefix: String,
    /// Where the server is; Google's own when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Whether requests go unsigned: a bucket that anybody may read.
    #[serde(default)]
    pub anonymous: bool,
    /// Certificates of authorities, in PEM, beside those of the system; a worker has them from its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// A folder of a container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureWork {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// Folder in it; its top when empty.
    #[serde(default)]
    pub prefix: String,
    /// Where the blob service is; that of Azure's public cloud when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Whether requests go unsigned: a container that anybody may read.
    #[serde(default)]
    pub anonymous: bool,
    /// Certificates of authorities, in PEM, beside those of the system; a worker has them from its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// One restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreWork {
    /// Namespace of the restore and of its ledger; empty without Kubernetes.
    #[serde(default)]
    pub namespace: String,
    /// Name of the `CollectionRestore`; empty without one.
    #[serde(default)]
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
    /// The run's id. `latest` is for people: a restore that is resumed must mean the same run.
    pub run: String,
    /// The collection in it.
    pub collection: String,
    /// The collection that it becomes.
    pub into: String,
    /// What becomes of objects whose ids are taken.
    pub conflict: Conflict,
    /// Replicas of a collection that has to be made.
    #[serde(default)]
    pub factor: Option<u64>,
    /// Shards of a collection that has to be made.
    #[serde(default)]
    pub shards: Option<u64>,
    /// Id of its receipt: the same one goes on where it stopped, and does nothing once it is done.
    pub receipt: String,
    /// Where it goes, for people who read the receipt, and so that no receipt is taken for that of another cluster.
    pub target: String,
    /// Where Weaviate is.
    pub endpoints: Endpoints,
    /// Where the run lies.
    pub store: StoreWork,
    /// Where the receipt lies, for whoever may only read the store; beside the runs when absent.
    #[serde(default)]
    pub receipts: Option<StoreWork>,
    /// With what failures are met.
    #[serde(default)]
    pub patience: PatienceWork,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operators_json_is_understood() {
        let backup: BackupWork = serde_json::from_value(json!({
            "run": "20261129T161553Z-003f",
            "owner": {"cluster": "shop/search", "policy": "u"},
            "endpoints": {"rest": "http://search:8080", "grpc": "http://search:50051"},
            "store": {"s3": {"bucket": "b", "prefix": "p"}},
            "how": {"data": "jsonlZstd", "cold": "Wake"},
        }))
        .unwrap();
        assert_eq!((backup.how.data, backup.how.cold), (DataFormat::JsonlZstd, ColdWork::Wake));
        assert_eq!((backup.how.compare, backup.how.lanes, backup.collections), (CompareWork::Contents, None, None));
        let restore: RestoreWork = serde_json::from_value(json!({
            "run": "r", "collection": "A", "into": "B", "conflict": "Fail", "receipt": "u", "target": "shop/search",
            "endpoints": {"rest": "http://search:8080", "grpc": "http://search:50051"},
            "store": {"folder": "/backups"},
        }))
        .unwrap();
        assert_eq!((restore.store, restore.receipts), (StoreWork::Folder("/backups".to_owned()), None));
        let azure: StoreWork =
            serde_json::from_value(json!({"azure": {"account": "a", "container": "c", "prefix": "p"}})).unwrap();
        let StoreWork::Azure(work) = azure.trusting(Some("PEM".to_owned())) else { panic!("another store") };
        assert_eq!((work.container.as_str(), work.authorities.as_deref()), ("c", Some("PEM")));
    }
}
