//! What a comparison of sampled objects gave.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a comparison of sampled objects at each replica gave.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVerification {
    /// When it ended.
    pub at: Time,
    /// Objects that were looked at.
    pub sampled: i64,
    /// Replicas that were asked for each of them, at most.
    pub replicas: i64,
    /// Objects that a replica lacks which should hold them.
    pub missing: i64,
    /// Objects that only a minority of replicas holds: left over, or not yet everywhere.
    pub orphaned: i64,
    /// Objects whose properties or vectors are not the same everywhere.
    pub different: i64,
    /// Objects that could not be read at some replica, or that were written all the while; nothing is known of them.
    pub unread: i64,
    /// Tenants that are not HOT: they are not woken, and nothing is known of their objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants_asleep: Option<i64>,
    /// The worst of them; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<DataFinding>,
}

/// One object that is not the same at every replica.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFinding {
    /// Id of the object.
    pub id: String,
    /// Its tenant, in a multi-tenant collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What is the matter: `missing`, `orphaned`, `different`, `unread`.
    pub what: String,
    /// The nodes at which it is so.
    pub nodes: Vec<String>,
}
