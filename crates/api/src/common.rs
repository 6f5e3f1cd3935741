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
