//! Where runs live.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{S3Store, SecretKeyReference, SecretReference};

/// Where runs live: exactly one of the four.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.s3), has(self.gcs), has(self.azure), has(self.volume)].exists_one(there, there)")
    .message("exactly one of store.s3, store.gcs, store.azure and store.volume must be set"))]
#[serde(rename_all = "camelCase")]
pub struct BackupStore {
    /// A folder of a bucket, of S3 or a server that speaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,
    /// A folder of a bucket of Google Cloud Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsStore>,
    /// A folder of a container of Azure Blob Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureStore>,
    /// A folder on a PersistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStore>,
}

/// A folder of a bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcsStore {
    /// Name of the bucket. It must exist.
    #[schemars(length(min = 3, max = 222), regex(pattern = r"^[a-z0-9][-._a-z0-9]*$"))]
    pub bucket: String,
    /// Folder in the bucket, such as `exports/wiki`; its top when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512), regex(pattern = r"^([^/]+(/[^/]+)*)?$"))]
    pub prefix: String,
    /// Address of the server, for a private endpoint or an emulator; `https://storage.googleapis.com` when left out. With
    /// `http://` everything travels in the clear, the token that opens the bucket as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^/?#@\s]+/?$"))]
    pub endpoint: Option<String>,
    /// Secret with the key `serviceAccountKey`: the JSON key file of a service account, as `gcloud iam service-accounts
    /// keys create` writes it. Left out: requests are not signed, for buckets that anybody may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
    /// Certificates of authorities, in PEM, that may have signed the server's. They are trusted beside those of the
    /// system. Left out: those alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyReference>,
}

/// A folder of a container of Azure Blob Storage.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureStore {
    /// Name of the storage account.
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$"))]
    pub account: String,
    /// Name of the container. It must exist.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^([a-z0-9]+(-[a-z0-9]+)*|\$root)$"))]
    pub container: String,
    /// Folder in the container, such as `exports/wiki`; its top when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512), regex(pattern = r"^([^/]+(/[^/]+)*)?$"))]
    pub prefix: String,
    /// Address of the blob service, e.g. `https://ACCOUNT.blob.core.usgovcloudapi.net` of another cloud, or with the
    /// account behind it where the server wants it there, as `http://azurite:10000/ACCOUNT` of an emulator;
    /// `https://ACCOUNT.blob.core.windows.net` when left out. With `http://` everything but the account key travels in
    /// the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^/?#@\s]+(/[a-z0-9]+)?/?$"))]
    pub endpoint: Option<String>,
    /// Secret with one of the keys `accountKey`, a key of the account, and `sasToken`, a shared access signature of the
    /// container or the account. Left out: requests are not signed, for containers that anybody may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
    /// Certificates of authorities, in PEM, that may have signed the server's. They are trusted beside those of the
    /// system. Left out: those alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyReference>,
}

impl BackupStore {
    /// Certificates of authorities beside those of the system; a volume has none.
    pub fn ca_secret_ref(&self) -> Option<&SecretKeyReference> {
        let s3 = self.s3.as_ref().and_then(|s3| s3.ca_secret_ref.as_ref());
        let gcs = self.gcs.as_ref().and_then(|gcs| gcs.ca_secret_ref.as_ref());
        let azure = self.azure.as_ref().and_then(|azure| azure.ca_secret_ref.as_ref());
        s3.or(gcs).or(azure)
    }
}

/// A folder on a PersistentVolumeClaim in the same namespace. Backups write it, restores only read it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStore {
    /// Name of the PersistentVolumeClaim. It must exist.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Folder on the volume; its top when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 512),
        regex(pattern = r"^([^/.]|[^/.][^/]*|\.[^/.][^/]*)?(/([^/.]|[^/.][^/]*|\.[^/.][^/]*))*$")
    )]
    pub path: String,
}
