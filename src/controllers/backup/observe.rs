//! What a look at a policy gives.

use std::collections::BTreeMap;

use elysia_api::restore::RestorePhase;
use elysia_api::{CollectionRestore, names};
use elysia_core::backup::{BackupSpec, Observed};
use jiff::Timestamp;
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::context::Context;
use super::super::feed::jobs;
use super::super::store_jobs::{self, Beside, Way};

/// What was seen, and where a worker would read.
pub(super) struct Scene {
    pub(super) observed: Observed,
    pub(super) way: Way,
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
    let observed = Observed {
        cluster: way.cluster.clone(),
        store: store_jobs::store(&spec.namespace, &spec.store, context).await,
        ledger,
        keeps_notes,
        failed,
        intent: intent.and_then(|intent| serde_json::from_str(&intent).ok()),
        jobs,
        restoring: restoring(spec, context),
        now,
    };
    Ok(Scene { observed, way })
}

/// Collections into which a restore writes that is not finished.
fn restoring(spec: &BackupSpec, context: &Context) -> BTreeMap<String, String> {
    let is_here = |restore: &CollectionRestore| {
        restore.namespace().as_deref() == Some(&spec.namespace) && restore.spec.cluster_ref.name == spec.cluster
    };
    let restores = context.stores.restores.state();
    let unfinished = restores.iter().filter(|restore| is_here(restore) && is_unfinished(restore));
    unfinished.map(|restore| (into(restore), restore.name_any())).collect()
}

/// The collection that a restore writes.
pub(in crate::controllers) fn into(restore: &CollectionRestore) -> String {
    restore.spec.into.clone().unwrap_or_else(|| restore.spec.collection.clone())
}

/// Whether the collection may be half of what it is to be. A restore that waits for a person has written nothing, and
/// one that failed has not, unless it says when it began.
pub(in crate::controllers) fn is_unfinished(restore: &CollectionRestore) -> bool {
    if restore.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Some(status) = &restore.status else { return true };
    match status.phase {
        None | Some(RestorePhase::Pending | RestorePhase::Running) => true,
        Some(RestorePhase::Failed) => status.started_at.is_some(),
        Some(RestorePhase::Succeeded | RestorePhase::NeedsApproval) => false,
    }
}
