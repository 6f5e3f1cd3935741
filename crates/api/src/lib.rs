//! The kinds of `elysia.dev/v1alpha1`: specs, statuses and the rules that the API server enforces.
//!
//! This crate knows no client and does no I/O; `elysia-core` decides over these types and the plug-in prints them.
//! Field documentation becomes the manual page that `kubectl explain` shows, so it is written for users.

#![allow(unreachable_pub, reason = "the schema derive emits private copies of public structs")]
#![allow(clippy::duplicated_attributes, reason = "several printer columns of one type are no mistake")]

pub mod backup;
pub mod cluster;
pub mod collection;
pub mod common;
pub mod condition;
pub mod index_source;
pub mod names;
pub mod processed;
pub mod progress;
pub mod restore;
pub mod rules;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::json;

pub use backup::{CollectionBackup, CollectionBackupSpec, CollectionBackupStatus};
pub use cluster::{WeaviateCluster, WeaviateClusterSpec, WeaviateClusterStatus};
pub use collection::{ElysiaCollection, ElysiaCollectionSpec, ElysiaCollectionStatus};
pub use index_source::{IndexSource, IndexSourceSpec, IndexSourceStatus};
pub use restore::{CollectionRestore, CollectionRestoreSpec, CollectionRestoreStatus};
pub use rules::Rules;

/// API group of every kind.
pub const GROUP: &str = "elysia.dev";
/// The only served version; v1 will be this one renamed.
pub const VERSION: &str = "v1alpha1";

/// What `status.observedGeneration` says until the operator has looked: no generation is negative.
pub const NOT_OBSERVED: i64 = -1;

/// Entries that a list in a status may hold: worst first, totals beside it.
///
/// 20 because a person reads no more, and because a status must stay under 32 KiB with 50,000 tenants.
pub const STATUS_LIST_LIMIT: usize = 20;

/// Every definition in the order in which they are installed.
///
/// A spec without `default:`: a server that writes into a user's spec makes GitOps tools see a difference for ever. Defaults
/// are applied when a spec is read, and each field's description says them.
///
/// The status has one: until the operator has looked, no condition is there, and kstatus takes an object without any for
/// current. A generation that was never observed is what it waits for, so Flux and kpt wait from the first moment on.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        WeaviateCluster::crd(),
        ElysiaCollection::crd(),
        IndexSource::crd(),
        CollectionBackup::crd(),
        CollectionRestore::crd(),
    ];
    for version in definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            remove_defaults(schema);
            if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
                status.default = Some(JSON(json!({"observedGeneration": NOT_OBSERVED})));
            }
        }
    }
    definitions
}

fn remove_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(remove_defaults);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        remove_defaults(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        remove_defaults(values);
    }
}
