//! Carries a CollectionRestore out: one Job, its outcome read from the ledger. What was done once is known by the receipt
//! beside the backup.

pub(in crate::controllers) mod chosen;
mod observe;
mod work;

use std::sync::Arc;

use elysia_api::{CollectionRestore, names};
use elysia_core::restore::happening;
use elysia_core::restore::{self, Plan, RestoreSpec, Step};
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

use super::context::{Shared, Told};
use super::{ReconcileError, requeue, store_jobs};
use crate::effects::{EffectError, kubernetes};

/// One round. Never waits: waiting is a requeue.
pub async fn reconcile(object: Arc<CollectionRestore>, context: Shared) -> Result<Action, ReconcileError> {
    if object.metadata.deletion_timestamp.is_some() {
        // No finalizer: its Jobs go with it. What was restored stays, and so does the ledger.
        return Ok(Action::await_change());
    }
    let now = (context.now)();
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let before = object.status.clone().unwrap_or_default();
    let checked = RestoreSpec::validate(&object).and_then(|spec| chosen::chosen(&spec).map(|_| spec));
    let (status, ledger, action, acted) = match checked {
        Err(message) => (restore::invalid(&object, &message, now), None, Action::await_change(), Ok(())),
        Ok(spec) => {
            let scene = observe::observe(&spec, &context, now).await?;
            let plan = restore::plan(&spec, &scene.observed);
            let acted = act(&plan, &spec, &scene, &object, &context).await;
            let failure = acted.as_ref().err().map(EffectError::chain);
            let status = restore::status(&object, &spec, &scene.observed, &plan, failure.as_deref(), now);
            // One of another restore under the name says nothing of this one.
            let ledger = scene.observed.ledger.seen().cloned().flatten();
            let ledger = ledger.filter(|ledger| ledger.receipt == spec.receipt());
            (status, ledger, requeue(plan.recheck.unwrap_or(scene.way.interval), &key), acted)
        }
    };
    context.metrics.restore(&object, &status, ledger.as_ref());
    kubernetes::report(&context.kube, object.as_ref(), object.status.as_ref(), &status).await?;
    let happenings = happening::happened(&before, &status);
    context.metrics.restores_happened(&happenings);
    let told = happenings.iter().map(|happening| Told {
        reason: happening.what.as_str(),
        warns: happening.what.warns(),
        action: "Restore",
        message: &happening.message,
    });
    let is_said = |reason: &str| happening::says(&happenings, reason);
    context.tell_all(object.as_ref(), told, &before.conditions, &status.conditions, is_said).await;
    acted?;
    context.succeeded(&key);
    Ok(action)
}

async fn act(
    plan: &Plan,
    spec: &RestoreSpec,
    scene: &observe::Scene,
    owner: &CollectionRestore,
    context: &Shared,
) -> Result<(), EffectError> {
    let ledger = names::restore_ledger(&spec.name);
    let (order, approval) = match &plan.step {
        None => return Ok(()),
        Some(Step::ForgetJob { name }) => return kubernetes::forget_job(&context.kube, &spec.namespace, name).await,
        Some(Step::MakeLedger) => {
            return kubernetes::create_once(&context.kube, &work::holder(spec).empty_ledger()).await.map(drop);
        }
        Some(Step::NoteFailure(failed)) => {
            return store_jobs::note_failure(&spec.namespace, &ledger, failed, context).await;
        }
        Some(Step::Start { order, approval }) => (order, approval.as_ref()),
    };
    let (Some(target), Some(store)) = (&scene.way.target, &scene.store) else {
        return Err(EffectError::Refused("the cluster or the store has no address that a Job could use".to_owned()));
    };
    let from = work::From { store, key: scene.key.as_ref(), target };
    let objects = work::objects(spec, order, approval, &from, &scene.way, context).map_err(EffectError::Refused)?;
    store_jobs::make(objects, owner, false, None, scene.observed.failed.is_some(), context).await
}

#[cfg(test)]
mod tests;
