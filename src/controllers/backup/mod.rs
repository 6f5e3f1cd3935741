//! Keeps a CollectionBackup: one Job for each run, its outcome read from the ledger. The store itself is read and written
//! by workers alone.

pub(in crate::controllers) mod observe;
mod work;

use std::sync::Arc;

use elysia_api::{CollectionBackup, names};
use elysia_core::backup::happening;
use elysia_core::backup::{self, BackupSpec, Plan, Step, Task};
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

use super::context::{Shared, Told};
use super::{ReconcileError, requeue, store_jobs};
use crate::effects::{EffectError, kubernetes};

/// One round. Never waits: waiting is a requeue.
pub async fn reconcile(object: Arc<CollectionBackup>, context: Shared) -> Result<Action, ReconcileError> {
    if object.metadata.deletion_timestamp.is_some() {
        // No finalizer: Jobs and ledger go with their owner, the runs stay where they are.
        return Ok(Action::await_change());
    }
    let now = (context.now)();
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let before = object.status.clone().unwrap_or_default();
    let checked = BackupSpec::validate(&object).and_then(|spec| work::choice(&spec).map(|_| spec));
    let (status, ledger, due, action, acted) = match checked {
        Err(message) => (backup::invalid(&object, &message, now), None, None, Action::await_change(), Ok(())),
        Ok(spec) => {
            let live = observe::live(&spec, &context);
            let spec = spec.following(&live);
            let scene = observe::observe(&spec, &context, now).await?;
            let plan = backup::plan(&spec, &scene.observed);
            let acted = act(&plan, &spec, &scene, &object, &context).await;
            let failure = acted.as_ref().err().map(EffectError::chain);
            let status = backup::status(&object, &spec, &scene.observed, &plan, failure.as_deref(), now);
            let ledger = scene.observed.ledger.seen().cloned().flatten();
            let due = backup::due(&spec, status.last_success.as_ref().map(|time| time.0), now);
            (status, ledger, due, requeue(plan.recheck.unwrap_or(scene.way.interval), &key), acted)
        }
    };
    context.metrics.backup(&object, &status, ledger.as_ref(), due);
    kubernetes::report(&context.kube, object.as_ref(), object.status.as_ref(), &status).await?;
    let happenings = happening::happened(&before, &status, ledger.as_ref());
    context.metrics.backups_happened(&happenings);
    let told = happenings.iter().map(|happening| Told {
        reason: happening.what.as_str(),
        warns: happening.what.warns(),
        action: "Backup",
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
    spec: &BackupSpec,
    scene: &observe::Scene,
    owner: &CollectionBackup,
    context: &Shared,
) -> Result<(), EffectError> {
    let ledger = names::backup_ledger(&spec.name);
    let (intent, task) = match &plan.step {
        None => return Ok(()),
        Some(Step::ForgetJob { name }) => return kubernetes::forget_job(&context.kube, &spec.namespace, name).await,
        Some(Step::MakeLedger) => {
            let made = kubernetes::create_once_owned(&context.kube, work::holder(spec).empty_ledger(), owner).await;
            return made.map(drop);
        }
        Some(Step::NoteFailure(failed)) => {
            return store_jobs::note_failure(&spec.namespace, &ledger, failed, context).await;
        }
        Some(Step::Start { intent, task }) => (intent, task),
    };
    // A drill has to do with the cluster alone in which it is done.
    let way = scene.drill_way.as_ref().filter(|_| *task == Task::Drill).unwrap_or(&scene.way);
    let Some(target) = &way.target else {
        return Err(EffectError::Refused("the cluster has no address that a Job could use".to_owned()));
    };
    let at = work::At { uid: &scene.way.uid, drill_uid: &way.uid, target };
    let objects = work::objects(spec, intent, task, at, context).map_err(EffectError::Refused)?;
    let note = serde_json::to_string(intent).map_err(|error| EffectError::Refused(error.to_string()))?;
    let was_noted = scene.observed.failed.is_some();
    store_jobs::make(objects, owner, true, Some(&note), was_noted, context).await
}

#[cfg(test)]
mod tests;
