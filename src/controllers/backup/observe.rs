//! What a look at a policy gives.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::restore::{LATEST_RUN, RestorePhase};
use elysia_api::{CollectionRestore, ElysiaCollection, names};
use elysia_core::backup::{BackupSpec, Observed};
use elysia_core::collection::bootstrap;
use jiff::Timestamp;
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::context::Context;
use super::super::feed::jobs;
use super::super::store_jobs::{self, Beside, Way};
use super::super::store_place;

/// What was seen, and where a worker would read.
pub(super) struct Scene {
    pub(super) observed: Observed,
    pub(super) way: Way,
    /// Where drills are done, where that is another cluster.
    pub(super) drill_way: Option<Way>,
}

/// One look.
pub(super) async fn observe(spec: &BackupSpec, context: &Context, now: Timestamp) -> Result<Scene, ReconcileError> {
    // The Jobs before the ledger: a worker writes the ledger before it ends, so a Job seen to have ended has its outcome
    // in a ledger that is read afterwards.
    let label = (names::BACKUP_LABEL, spec.name.as_str());
    let jobs = jobs::labelled(&spec.namespace, label, &spec.uid, context).await?;
    let name = names::backup_ledger(&spec.name);
    let Beside { ledger, keeps_notes, failed, intent } =
        store_jobs::beside(&spec.namespace, &name, &spec.uid, context).await;
    let way = store_jobs::way(&spec.namespace, &spec.cluster, context);
    let drill = spec.drill.as_ref().filter(|drill| drill.cluster != spec.cluster);
    let drill_way = drill.map(|drill| store_jobs::way(&spec.namespace, &drill.cluster, context));
    let observed = Observed {
        cluster: way.cluster.clone(),
        drill_cluster: drill_way.as_ref().map(|way| way.cluster.clone()),
        store: store_place::store(&spec.namespace, &spec.store, context).await,
        key: store_jobs::encryption_key(&spec.namespace, spec.key.as_ref(), context).await,
        no_module: way.no_module.clone(),
        ledger,
        keeps_notes,
        failed,
        intent: intent.and_then(|intent| serde_json::from_str(&intent).ok()),
        jobs,
        restoring: restoring(spec, context),
        now,
    };
    Ok(Scene { observed, way, drill_way })
}

/// Collections into which a restore writes that is not finished, or which are to begin with one.
fn restoring(spec: &BackupSpec, context: &Context) -> BTreeMap<String, String> {
    let is_here = |restore: &CollectionRestore| {
        restore.namespace().as_deref() == Some(&spec.namespace) && restore.spec.cluster_ref.name == spec.cluster
    };
    let restores = context.stores.restores.state();
    let unfinished = restores.iter().filter(|restore| is_here(restore) && is_unfinished(restore));
    let begins = |collection: &ElysiaCollection| {
        collection.namespace().as_deref() == Some(&spec.namespace)
            && collection.spec.cluster_ref.name == spec.cluster
            && bootstrap::is_unfinished(collection)
    };
    let collections = context.stores.collections.state();
    let beginning = collections.iter().filter(|collection| begins(collection));
    let beginning = beginning
        .map(|collection| (collection.spec.collection.clone(), bootstrap::restore_name(&collection.name_any())));
    beginning.chain(unfinished.map(|restore| (into(restore), restore.name_any()))).collect()
}

/// Runs that restores read which may still need them. Ids are told apart by the policies' uids, so those of other stores do
/// no harm.
pub(super) fn runs_in_use(context: &Context) -> BTreeSet<String> {
    let restores = context.stores.restores.state();
    let unfinished = restores.iter().filter(|restore| is_unfinished(restore) || waits(restore));
    let runs = unfinished.flat_map(|restore| {
        let found = restore.status.as_ref().and_then(|status| status.run.clone());
        [found, Some(restore.spec.from.run.clone())]
    });
    runs.flatten().filter(|run| run != LATEST_RUN).collect()
}

/// Whether it waits for an approval, which is one of this run.
fn waits(restore: &CollectionRestore) -> bool {
    let phase = restore.status.as_ref().and_then(|status| status.phase);
    restore.metadata.deletion_timestamp.is_none() && phase == Some(RestorePhase::NeedsApproval)
}

/// The classes that are live in the place of those that `ElysiaCollection`s of the policy's cluster declare, by the declared.
pub(super) fn live(spec: &BackupSpec, context: &Context) -> BTreeMap<String, String> {
    let is_here = |collection: &ElysiaCollection| {
        collection.namespace().as_deref() == Some(&spec.namespace) && collection.spec.cluster_ref.name == spec.cluster
    };
    let collections = context.stores.collections.state();
    let here = collections.iter().filter(|collection| is_here(collection));
    // Without `spec.migration` nothing is ever live in the place of what is declared.
    let here = here.filter(|collection| collection.spec.migration.is_some());
    here.filter_map(|collection| {
        let live = collection.status.as_ref()?.live.clone()?;
        Some((collection.spec.collection.clone(), live))
    })
    .collect()
}

/// The collection that a restore writes.
pub(in crate::controllers) fn into(restore: &CollectionRestore) -> String {
    restore.spec.into.clone().unwrap_or_else(|| restore.spec.collection.clone())
}

/// Whether the collection may be half of what it is to be. A restore that failed or waits for a person has written nothing,
/// unless it says when it began.
pub(in crate::controllers) fn is_unfinished(restore: &CollectionRestore) -> bool {
    if restore.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Some(status) = &restore.status else { return true };
    match status.phase {
        None | Some(RestorePhase::Pending | RestorePhase::Running) => true,
        // One that was deleted when it was half done, and applied again, asks anew.
        Some(RestorePhase::Failed | RestorePhase::NeedsApproval) => status.started_at.is_some(),
        Some(RestorePhase::Succeeded) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_half_restored_is_not_finished() {
        for (phase, began, is_half) in [
            ("Pending", false, true),
            ("Running", true, true),
            ("Failed", false, false),
            ("Failed", true, true),
            ("NeedsApproval", false, false),
            ("NeedsApproval", true, true),
            ("Succeeded", true, false),
        ] {
            let restore: CollectionRestore = serde_json::from_value(json!({
                "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore", "metadata": {"name": "back"},
                "spec": {
                    "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
                    "collection": "Articles",
                },
                "status": {"phase": phase, "startedAt": began.then_some("2026-05-01T12:00:00Z")},
            }))
            .unwrap();
            assert_eq!(is_unfinished(&restore), is_half, "{phase} {began}");
        }
    }
}
