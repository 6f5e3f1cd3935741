//! The spec, checked again in the loop and with every default in place.

use elysia_api::ElysiaCollection;
use elysia_api::collection::{Bootstrap, CopyPolicy, DeletionPolicy, DeletionStrategy, DriftRule, RecreatePolicy};
use elysia_api::{Rules as _, names};
use kube::core::{ObjectMeta, ResourceExt as _};
use serde_json::{Map, Value, json};

use super::migration;
use super::recreate::{self, ClearRequest};
use crate::provenance;

/// A checked spec and what else the object itself says.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionSpec {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Identity of the object.
    pub uid: String,
    /// Name of the WeaviateCluster.
    pub cluster: String,
    /// Name of the class in Weaviate that is live: the declared one, until a look at the alias of `migration` says otherwise.
    pub collection: String,
    /// Name of the collection as it is declared.
    pub declared: String,
    /// What `spec.migration` says.
    pub migration: Option<migration::Wanted>,
    /// What `spec.migrations` says; `None` without it.
    pub versions: Option<migration::versions::Versions>,
    /// Declared settings, without `class` and `replicationConfig`. With `versions` those of the version that is asked for,
    /// until a look at the live class says which one is next.
    pub settings: Map<String, Value>,
    /// Replicas of each shard.
    pub factor: i64,
    /// How replicas settle a deletion.
    pub deletion_strategy: DeletionStrategy,
    /// When missing replicas are copied.
    pub copy: CopyPolicy,
    /// When an empty collection is recreated.
    pub recreate: RecreatePolicy,
    /// What becomes of the collection when the object is deleted.
    pub deletion_policy: DeletionPolicy,
    /// What is done about single settings that differ; the first rule that matches counts.
    pub drift_policy: Vec<DriftRule>,
    /// The backup that the collection begins with.
    pub restore_from: Option<Bootstrap>,
    /// Value of `elysia.dev/approve`.
    pub approved: Option<String>,
    /// Value of `elysia.dev/approved-by`.
    pub approved_by: Option<String>,
    /// Value of `elysia.dev/rollback`.
    pub rollback: Option<String>,
    /// Value of `elysia.dev/clear`.
    pub clear: Option<String>,
    /// Whether that value is as old as the object.
    pub clear_came_with_object: bool,
    /// Value of `elysia.dev/run-now`.
    pub run_now: Option<String>,
    /// Whether `elysia.dev/override-protection` is `"true"`.
    pub override_protection: bool,
    /// Whether `elysia.dev/paused` is `"true"`.
    pub paused: bool,
    /// Why the spec of the object does not hold. Then this is what is needed to end what was begun, and nothing else is done.
    pub invalid: Option<String>,
}

impl CollectionSpec {
    /// Checks the spec of an object; the error says which rule does not hold.
    pub fn validate(collection: &ElysiaCollection) -> Result<Self, String> {
        collection.check_rules().map_err(|errors| errors.to_string())?;
        let spec = &collection.spec;
        let annotation = |key: &str| collection.annotations().get(key).cloned();
        let versions = migration::versions::Versions::parse(spec)?;
        let settings: Map<String, Value> = match &versions {
            Some(versions) => versions.target().settings.clone(),
            None => spec.schema.settings.clone().into_iter().collect(),
        };
        let steps = spec.migration.as_ref().map_or(&[][..], |migration| &migration.transform);
        if let Some(why) = migration::transform::contradiction(&settings, steps) {
            return Err(why);
        }
        Ok(Self {
            namespace: collection.namespace().unwrap_or_default(),
            name: collection.name_any(),
            uid: collection.uid().unwrap_or_default(),
            cluster: spec.cluster_ref.name.clone(),
            collection: spec.collection.clone(),
            declared: spec.collection.clone(),
            migration: spec.migration.as_ref().map(migration::Wanted::parse).transpose()?,
            versions,
            settings,
            factor: i64::from(spec.replication.factor),
            deletion_strategy: spec.replication.deletion_strategy,
            copy: spec.repair.copy,
            recreate: spec.repair.recreate,
            deletion_policy: spec.deletion_policy,
            drift_policy: spec.drift_policy.clone(),
            restore_from: spec.restore_from.clone(),
            approved: annotation(names::APPROVE_ANNOTATION),
            approved_by: annotation(names::APPROVED_BY_ANNOTATION),
            rollback: annotation(names::ROLLBACK_ANNOTATION),
            clear: annotation(names::CLEAR_ANNOTATION),
            clear_came_with_object: came_with(&collection.metadata, names::CLEAR_ANNOTATION),
            run_now: annotation(names::RUN_NOW_ANNOTATION),
            override_protection: annotation(names::OVERRIDE_PROTECTION_ANNOTATION).as_deref() == Some("true"),
            paused: annotation(names::PAUSED_ANNOTATION).as_deref() == Some("true"),
            invalid: None,
        })
    }

    /// What of an object whose spec does not hold is needed to end the migration of this journal; everything else as though
    /// it was not declared. `why`: which rule does not hold.
    pub fn of_invalid(collection: &ElysiaCollection, journal: &migration::Journal, why: &str) -> Self {
        let wanted = migration::Wanted {
            alias: journal.alias.clone(),
            transform: journal.transform.clone(),
            ..migration::Wanted::default()
        };
        Self { migration: Some(wanted), ..Self::undeclared(collection, why) }
    }

    /// The same to end what this journal has begun: of the class that it speaks of.
    pub fn of_invalid_recreation(collection: &ElysiaCollection, journal: &recreate::Journal, why: &str) -> Self {
        let class = journal.collection.clone();
        Self { collection: class.clone(), declared: class, ..Self::undeclared(collection, why) }
    }

    fn undeclared(collection: &ElysiaCollection, why: &str) -> Self {
        let spec = &collection.spec;
        Self {
            namespace: collection.namespace().unwrap_or_default(),
            name: collection.name_any(),
            uid: collection.uid().unwrap_or_default(),
            cluster: spec.cluster_ref.name.clone(),
            collection: spec.collection.clone(),
            declared: spec.collection.clone(),
            migration: None,
            versions: None,
            settings: Map::new(),
            factor: i64::from(spec.replication.factor),
            deletion_strategy: spec.replication.deletion_strategy,
            copy: CopyPolicy::Off,
            recreate: RecreatePolicy::Off,
            deletion_policy: DeletionPolicy::Retain,
            drift_policy: Vec::new(),
            restore_from: None,
            approved: None,
            approved_by: None,
            rollback: None,
            clear: None,
            clear_came_with_object: false,
            run_now: None,
            override_protection: false,
            paused: false,
            invalid: Some(why.to_owned()),
        }
    }

    /// The class as it is created.
    ///
    /// `asyncEnabled` is what lets a 1.35 heal replicas by itself; 1.38 does so in any case (`weaviate-lab` §0.8).
    pub fn class(&self) -> Value {
        let mut class = self.settings.clone();
        class.insert("class".to_owned(), json!(self.collection));
        let mut replication = json!({"factor": self.factor, "deletionStrategy": self.deletion_strategy.as_str()});
        if self.factor > 1 {
            replication["asyncEnabled"] = json!(true);
        }
        class.insert("replicationConfig".to_owned(), replication);
        Value::Object(class)
    }

    /// The request to clear that came with the object.
    pub fn came_with_request(&self) -> Option<String> {
        let text = self.clear.as_deref().filter(|_| self.clear_came_with_object)?;
        ClearRequest::parse(text).ok().map(|request| request.request)
    }

    /// What becomes of objects that are migrated.
    pub fn steps(&self) -> &[elysia_api::restore::TransformStep] {
        self.migration.as_ref().map_or(&[], |migration| &migration.transform)
    }

    /// Name of the journal of this object.
    pub fn journal(&self) -> String {
        names::journal(&self.name, &self.uid)
    }

    /// Name of the journal of this object's repairs that take replicas away.
    pub fn repair_journal(&self) -> String {
        names::repair_journal(&self.name, &self.uid)
    }

    /// Name of the journal of this object's migrations.
    pub fn migration_journal(&self) -> String {
        names::migration_journal(&self.name, &self.uid)
    }
}

/// Whether the value of an annotation is as old as its object.
fn came_with(object: &ObjectMeta, annotation: &str) -> bool {
    let path = ["metadata", "annotations", annotation];
    let created = object.creation_timestamp.as_ref().map(|time| time.0);
    created.is_some_and(|created| provenance::is_as_old_as(object.managed_fields.as_deref(), &path, created))
}
