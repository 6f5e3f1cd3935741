//! Shapes that several kinds share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The WeaviateCluster, in the same namespace, that the object belongs to.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// Name of a WeaviateCluster in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A folder of a bucket in an object store that speaks S3. One shape for every kind.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Store {
    /// Name of the bucket. It must exist.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9][-._A-Za-z0-9]*$"))]
    pub bucket: String,
    /// Folder in the bucket, such as `exports/wiki`; its top when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512), regex(pattern = r"^([^/]+(/[^/]+)*)?$"))]
    pub prefix: String,
    /// Address of the server, e.g. `https://minio.storage.svc:9000`; Amazon's own of the region when left out. With
    /// `http://` everything but the secret key travels in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^/?#@\s]+/?$"))]
    pub endpoint: Option<String>,
    /// Region of the bucket; `us-east-1` when left out, which most servers other than Amazon's are content with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-A-Za-z0-9]+$"))]
    pub region: Option<String>,
    /// Secret with the keys `accessKeyId` and `secretAccessKey`, and `sessionToken` where they are temporary. Left out:
    /// requests are not signed, for buckets that anybody may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
    /// Certificates of authorities, in PEM, that may have signed the server's, e.g. `{name: minio-ca, key: ca.crt}`. They
    /// are trusted beside those of the system. Left out: those alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyReference>,
}

/// Says nothing; present means yes.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Empty {}

/// The part of a managed server's volume that is set at creation.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of each node's volume, e.g. `10Gi`. Cannot be changed yet.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"))]
    pub size: String,
    /// StorageClass of the volumes; the cluster's default class when left out. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// When something is done again and again. One shape for every kind.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Five fields as crontab(5) has them: minute, hour, day of month, month, day of week, e.g. `0 3 * * *`.
    #[schemars(length(min = 9, max = 128), regex(pattern = r"^\s*[^\s@]\S*(\s+\S+){4}\s*$"))]
    pub cron: String,
    /// Time zone of the schedule as the IANA database names it, e.g. `Europe/Rome`; UTC when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// How late a start may be, e.g. `15m`; one that is later is left out. Any lateness when left out; what was missed
    /// several times is done once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*[smh]$"))]
    pub starting_deadline: Option<String>,
    /// Nothing is started while true.
    #[serde(default)]
    pub suspend: bool,
}
