//! The audit: one line in the log after each change of a Weaviate server, with who had it made as far as the cluster tells.
//!
//! The lines have a target of their own, so that they can be told apart, kept longer and sent elsewhere. Fields and their
//! meaning are promised by `docs/audit.md`; a test compares both.

use elysia_api::{ElysiaCollection, WeaviateCluster, names};
use elysia_core::collection::Step;
use elysia_core::collection::migration::Act;
use elysia_core::condition::clipped_to_bytes;
use elysia_core::provenance::manager;
use elysia_weaviate::WeaviateError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Resource;
use kube::core::ResourceExt as _;

use super::context::Context;
use crate::effects::EffectError;

/// Longest text of an error or an approver in a line, in bytes: a line should stay one packet of a log collector.
const WORDS_BYTES: usize = 1024;

/// Every verb, as `docs/audit.md` lists them.
const VERBS: [&str; 24] = [
    "create_class",
    "start_restore",
    "add_property",
    "update_class",
    "delete_class",
    "copy_replica",
    "delete_copy",
    "drop_copy_record",
    "remove_replica",
    "remove_member",
    "set_read_only",
    "set_writable",
    "create_tenants",
    "hold_tenants",
    "release_tenants",
    "wake_tenants",
    "rest_tenants",
    "put_object",
    "make_alias",
    "switch_alias",
    "delete_alias",
    "start_copy",
    "end_copy",
    "write_journal",
];

/// What was done about which object, on whose word.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    kind: String,
    namespace: String,
    name: String,
    uid: String,
    cluster: String,
    collection: String,
    operator: String,
    /// Who wrote the spec last.
    spec_manager: Option<String>,
    /// Who wrote what asked for it: an annotation, or `spec.deletionPolicy`.
    asked_manager: Option<String>,
    /// Whom that annotation names.
    approved_by: Option<String>,
    plan: Option<String>,
    action: Option<String>,
}

/// One change.
struct Change<'a> {
    /// One of a closed set.
    verb: &'static str,
    /// On how many things.
    count: usize,
    /// On which: names, never values.
    what: String,
    /// Why it was not made, or may not have been.
    error: Option<&'a EffectError>,
}

impl Trail {
    /// Of a collection. `plan`: hash and action of the plan whose steps follow.
    pub(super) fn of_collection(object: &ElysiaCollection, plan: Option<(&str, &str)>, context: &Context) -> Self {
        let fields = object.managed_fields();
        let annotation = |key: &str| manager(fields, &["metadata", "annotations", key]).map(str::to_owned);
        // Emptying is asked for by an annotation of its own, which names nobody.
        let is_clear = plan.is_some_and(|(_, action)| action == "Clear");
        let key = if is_clear { names::CLEAR_ANNOTATION } else { names::APPROVE_ANNOTATION };
        let asked =
            plan.filter(|(hash, _)| is_clear || object.annotations().get(key).is_some_and(|value| value == hash));
        let approved_by = object.annotations().get(names::APPROVED_BY_ANNOTATION);
        Self {
            cluster: object.spec.cluster_ref.name.clone(),
            collection: object.spec.collection.clone(),
            asked_manager: asked.and_then(|_| annotation(key)),
            approved_by: asked.and(approved_by).map(|name| clipped_to_bytes(name, WORDS_BYTES)),
            plan: plan.map(|(hash, _)| hash.to_owned()),
            action: plan.map(|(_, action)| action.to_owned()),
            ..Self::of(object, fields, context)
        }
    }

    /// Of a collection that is deleted with its object.
    pub(super) fn of_deletion(object: &ElysiaCollection, context: &Context) -> Self {
        Self {
            asked_manager: manager(object.managed_fields(), &["spec", "deletionPolicy"]).map(str::to_owned),
            ..Self::of_collection(object, None, context)
        }
    }

    /// Of a cluster's own doings in a collection.
    pub(super) fn of_cluster(
        object: &WeaviateCluster,
        collection: &str,
        plan: Option<&str>,
        context: &Context,
    ) -> Self {
        Self {
            cluster: object.name_any(),
            collection: collection.to_owned(),
            plan: plan.map(str::to_owned),
            ..Self::of(object, object.managed_fields(), context)
        }
    }

    fn of<K: Resource<DynamicType = ()>>(object: &K, fields: &[ManagedFieldsEntry], context: &Context) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            operator: context.instance.clone(),
            spec_manager: manager(fields, &["spec"]).map(str::to_owned),
            ..Self::default()
        }
    }

    /// Writes the line of a step.
    pub(super) fn step(&self, step: &Step, error: Option<&EffectError>) {
        let (verb, count, what) = words(step);
        self.record(&Change { verb, count, what, error });
    }

    /// Writes the line of a change, and hands on what became of it.
    pub(super) fn after<T>(
        &self,
        verb: &'static str,
        names: &[String],
        result: Result<T, EffectError>,
    ) -> Result<T, EffectError> {
        let (count, what) = (names.len().max(1), some(names));
        self.record(&Change { verb, count, what, error: result.as_ref().err() });
        result
    }

    /// Writes the line.
    fn record(&self, change: &Change<'_>) {
        let Self { kind, namespace, name, uid, cluster, collection, operator, .. } = self;
        debug_assert!(VERBS.contains(&change.verb), "{} is not documented", change.verb);
        tracing::info!(
            target: "elysia_audit",
            verb = change.verb,
            outcome = outcome(change.error),
            error = change.error.map(|error| clipped_to_bytes(&error.chain(), WORDS_BYTES)),
            kind,
            namespace,
            name,
            uid,
            cluster,
            collection,
            count = change.count,
            what = change.what,
            plan = self.plan,
            action = self.action,
            approved_by = self.approved_by,
            asked_manager = self.asked_manager,
            spec_manager = self.spec_manager,
            operator,
            "changed"
        );
    }
}

/// What became of a change: `done`; `refused`, the server said no; `not_done`, it was never sent; `unknown`, no answer
/// came and it may have been made.
fn outcome(error: Option<&EffectError>) -> &'static str {
    match error {
        None => "done",
        Some(EffectError::Changed(_) | EffectError::NotLeading | EffectError::Refused(_)) => "not_done",
        Some(EffectError::Weaviate { source, .. }) => match source.as_ref() {
            WeaviateError::Options { .. } | WeaviateError::Unreachable { .. } => "not_done",
            error if error.retryable() => "unknown",
            _ => "refused",
        },
        Some(EffectError::Kubernetes { source, .. }) => match source.as_ref() {
            kube::Error::Api(status) if (400..500).contains(&status.code) => "refused",
            _ => "unknown",
        },
    }
}

/// Verb, number and names of a step.
fn words(step: &Step) -> (&'static str, usize, String) {
    match step {
        Step::CreateClass(_) => ("create_class", 1, String::new()),
        Step::StartRestore(restore) => {
            ("start_restore", 1, restore.metadata.name.as_deref().unwrap_or_default().to_owned())
        }
        Step::AddProperty(property) => ("add_property", 1, property["name"].as_str().unwrap_or_default().to_owned()),
        Step::UpdateClass { base, class } => {
            let paths = elysia_core::collection::happening::changed(base, class);
            ("update_class", paths.len(), some(&paths))
        }
        Step::Copy(copy) => ("copy_replica", 1, format!("{} from {} to {}", copy.shard, copy.source, copy.target)),
        Step::ForgetOperation(id) => ("delete_copy", 1, id.clone()),
        Step::DropOperation(id) => ("drop_copy_record", 1, id.clone()),
        Step::CoolTenants(tenants) => ("rest_tenants", tenants.len(), some(tenants)),
        Step::RemoveReplica(removal) => {
            ("remove_replica", 1, format!("{} at {}", removal.victim.shard, removal.victim.node))
        }
        Step::RemoveMember(node) => ("remove_member", 1, node.clone()),
        Step::SetReadOnly { read_only, shards } => {
            (if *read_only { "set_read_only" } else { "set_writable" }, shards.len(), some(shards))
        }
        Step::CreateTenants(tenants) => {
            let tenants: Vec<String> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
            ("create_tenants", tenants.len(), some(&tenants))
        }
        Step::ProveAndDelete(_) => ("delete_class", 1, String::new()),
        Step::WriteRepair(journal) => ("write_journal", 1, journal.action.as_str().to_owned()),
        Step::WriteJournal(journal) => ("write_journal", 1, format!("{:?}", journal.cursor)),
        Step::Migration(act) => words_of_migration(act),
    }
}

/// Verb, number and names of an act of a migration. The class is named: it need not be the one that the object declares.
fn words_of_migration(act: &Act) -> (&'static str, usize, String) {
    match act {
        Act::Write(journal) => ("write_journal", 1, journal.phase.as_str().to_owned()),
        Act::MakeAlias { alias, class } => ("make_alias", 1, format!("{alias} to {class}")),
        Act::CreateTarget(class) => ("create_class", 1, class["class"].as_str().unwrap_or_default().to_owned()),
        Act::AddProperty { class, property } => {
            ("add_property", 1, format!("{} of {class}", property["name"].as_str().unwrap_or_default()))
        }
        Act::SetReadOnly { class, read_only, shards } => {
            let verb = if *read_only { "set_read_only" } else { "set_writable" };
            (verb, shards.len(), format!("{} of {class}", some(shards)))
        }
        Act::HoldTenants(class) => ("hold_tenants", 1, class.clone()),
        Act::ReleaseTenants { class, .. } => ("release_tenants", 1, class.clone()),
        Act::WakeTenants { class, tenants } => ("wake_tenants", tenants.len(), format!("{} of {class}", some(tenants))),
        Act::RestTenants { class, tenants } => ("rest_tenants", tenants.len(), format!("{} of {class}", some(tenants))),
        Act::Copy(journal) => ("start_copy", 1, format!("{} to {}", journal.from, journal.to)),
        Act::EndJob(name) => ("end_copy", 1, name.clone()),
        Act::Switch(journal) => ("switch_alias", 1, format!("{} to {}", journal.alias, journal.to)),
        Act::RemoveFormer(journal) => ("delete_class", 1, journal.from.clone()),
    }
}

/// The first few of these names.
fn some(names: &[String]) -> String {
    /// A class may have thousands of tenants.
    const NAMED: usize = 20;
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" ");
    let text = if names.len() > NAMED { format!("{first} …") } else { first };
    clipped_to_bytes(&text, WORDS_BYTES)
}

#[cfg(test)]
mod tests;
