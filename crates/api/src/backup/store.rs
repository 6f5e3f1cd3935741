//! Where runs live.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::S3Store;

/// Where runs live: exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.s3), has(self.volume)].exists_one(there, there)")
    .message("exactly one of store.s3 and store.volume must be set"))]
#[serde(rename_all = "camelCase")]
pub struct BackupStore {
    /// A folder of a bucket, of S3 or a server that speaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,
    /// A folder on a PersistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStore>,
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
