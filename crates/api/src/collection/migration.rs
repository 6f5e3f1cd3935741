//! Migrating a collection that holds objects to settings that Weaviate takes at creation only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Schema;
use crate::restore::TransformStep;

/// How the collection is migrated when a setting is changed that Weaviate takes at creation only: into a new class beside
/// it, to which the alias is switched. Readers and writers name the alias, never the class.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// The alias that readers and writers use: an upper-case letter, then letters, digits and `_`. It is made if it is not
    /// there. Its class is `spec.collection` at first, then `COLLECTION_2`, `COLLECTION_3` and so on. Cannot be changed.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("migration.alias cannot be changed: readers and writers use it"))]
    pub alias: String,
    /// Whether the switch waits for a person: `Approve`, also when left out, waits for `elysia.dev/approve`; `Auto` switches
    /// as soon as everything is copied. The class that is left is kept in both cases. After an attempt that was stopped a
    /// person is asked in any case, and before it goes back to a class that is kept; where transformations may leave objects out;
    /// and where a shard has one replica on servers before 1.38.10 or of 1.39.0: these answer a batch that they refuse, while
    /// the shard is read-only, as written but for one object, so that its writers have to be stopped first.
    #[serde(default)]
    pub approval: MigrationApproval,
    /// How long the class that was migrated from is kept, read-only, for going back, e.g. `72h` or `7d`. It is deleted with
    /// its objects after that. When left out it is kept until a person deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,5}[hd]$"))]
    pub rollback_window: Option<String>,
    /// How many classes that were migrated from may be there at a time, 1 to 5; 1 when left out: while one is kept, another
    /// migration waits. With more it begins all the same. Only the last of them is gone back to as it is, is held read-only,
    /// and is deleted when `rollbackWindow` is over; those before it take their disk until a person deletes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub keep: Option<i32>,
    /// A name for these settings, for people and their tools. It is recorded with each migration, and in the description of
    /// the class that is made if `spec.schema` has none, and means nothing to the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub schema_version: Option<String>,
    /// What becomes of the objects on their way into a new class, step by step; at most 50. A property that a step drops or
    /// renames and that the live class still has is a reason to migrate, and so is a type that is declared otherwise; the
    /// other steps are done when something else is one. What is done once is not done again: before the next migration the
    /// steps are removed or changed. A migration that transformed is not gone back from by the operator. Steps that leave
    /// objects out (`where`, `convert` and `script` with `SkipObject`, `script` with `leavesOut`) wait for a person also with
    /// `approval: Auto`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub transform: Vec<TransformStep>,
}

/// One version of the settings, and how objects of the version before it become objects of it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaVersion {
    /// What it is called: letters, digits, `-`, `_` and `.`, at most 63. It is written into the description of the class,
    /// behind what `schema` says there: `schema version 5`, or `Articles of the press (schema version 5)`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[0-9A-Za-z]([-._0-9A-Za-z]*[0-9A-Za-z])?$"))]
    pub version: String,
    /// The whole definition, as `spec.schema` would have it; not what is changed of the version before.
    #[serde(default, skip_serializing_if = "Schema::is_empty")]
    #[x_kube(validation = Rule::new("!has(self.replicationConfig)")
        .message("write replicationConfig as spec.replication"))]
    pub schema: Schema,
    /// What becomes of the objects on their way from the version before, step by step, as `spec.migration.transform` has it;
    /// at most 50. It is done once. Not of the first version, before which there is none. A version that was reached by
    /// these is not gone back from by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub transform: Vec<TransformStep>,
}

/// Whether a switch waits for a person.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum MigrationApproval {
    /// It waits until the plan is approved.
    #[default]
    Approve,
    /// It follows as soon as everything is copied.
    Auto,
}

/// How a migration stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// The class that is, or was, migrated from.
    pub from: String,
    /// The class that it is migrated to.
    pub to: String,
    /// How far it is: Approve, Create, Copy, Freeze, Settle, Final, Switch, Verify, Kept, Over, Thaw, Stopped.
    pub phase: String,
    /// Objects that were dealt with in the present pass; absent when the worker has not said yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<i64>,
    /// Objects that the last whole pass had to write or remove: how far the copy lags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<i64>,
    /// `spec.migration.schemaVersion` when the migration was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Until when the class that was migrated from is kept; absent when no time is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_until: Option<Time>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
