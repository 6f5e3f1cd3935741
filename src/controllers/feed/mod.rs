//! Keeps an IndexSource indexed: one Job for each run, its outcome read from the ledger.

pub(in crate::controllers) mod job;
pub(in crate::controllers) mod jobs;
mod ledgers;
pub(in crate::controllers) mod observe;

use std::sync::Arc;

use elysia_api::{IndexSource, names};
use elysia_core::feed::happening::{self, Marks};
use elysia_core::feed::{self, FeedSpec, Plan, Step};
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

use super::context::Shared;
use super::{ReconcileError, requeue};
use crate::effects::{EffectError, kubernetes};

/// One round. Never waits: waiting is a requeue.
pub async fn reconcile(object: Arc<IndexSource>, context: Shared) -> Result<Action, ReconcileError> {
    if object.metadata.deletion_timestamp.is_some() {
        // No finalizer: Jobs and ledger go with their owner, what was indexed stays.
        return Ok(Action::await_change());
    }
    let now = (context.now)();
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let before = context.told(&object);
    let before = before.unwrap_or_else(|| Marks::of(&object.status.clone().unwrap_or_default()));
    let (status, ledger, happenings, action, acted) = match FeedSpec::validate(&object) {
        Err(message) => (feed::invalid(&object, &message, now), None, Vec::new(), Action::await_change(), Ok(())),
        Ok(spec) => {
            let scene = observe::observe(&spec, &context, now).await?;
            let plan = feed::plan(&spec, &scene.observed);
            let acted = act(&plan, &spec, &scene, &object, &context).await;
            let failure = acted.as_ref().err().map(EffectError::chain);
            let status = feed::status(&object, &spec, &scene.observed, &plan, failure.as_deref(), now);
            let ledger = scene.observed.ledger.seen().cloned().flatten();
            let stays = scene.observed.stays(&spec);
            let happenings = happening::happened(&spec, stays, &before, &status, now);
            (status, ledger, happenings, requeue(plan.recheck.unwrap_or(scene.interval), &key), acted)
        }
    };
    context.metrics.feed(&object, &status, ledger.as_ref());
    kubernetes::report(&context.kube, object.as_ref(), object.status.as_ref(), &status).await?;
    context.tell_feed(&object, &happenings, &before, &status).await;
    acted?;
    context.succeeded(&key);
    Ok(action)
}

async fn act(
    plan: &Plan,
    spec: &FeedSpec,
    scene: &observe::Scene,
    owner: &IndexSource,
    context: &Shared,
) -> Result<(), EffectError> {
    let (run, source, guard, intent, replay) = match &plan.step {
        None => return Ok(()),
        Some(Step::EndJob { name }) => return kubernetes::end_job(&context.kube, &spec.namespace, name).await,
        Some(Step::ForgetJob { name }) => return kubernetes::forget_job(&context.kube, &spec.namespace, name).await,
        Some(Step::MakeLedgers) => {
            for ledger in job::empty_ledgers(spec) {
                kubernetes::create_once_owned(&context.kube, ledger, owner).await?;
            }
            return Ok(());
        }
        Some(Step::NoteFailure(failed)) => {
            let note = serde_json::to_string(failed).map_err(|error| EffectError::Refused(error.to_string()))?;
            return annotate(spec, context, names::FAILED_ANNOTATION, Some(&note)).await;
        }
        Some(Step::StartRun { run, content, guard, intent, replay }) => {
            (run, content, guard.as_ref(), intent, replay.as_deref())
        }
    };
    let Some(target) = &scene.target else {
        return Err(EffectError::Refused("the cluster has no address that a Job could use".to_owned()));
    };
    let former = ledgers::former(spec, context).await?;
    let given = job::Given { run, content: source, guard, replay, former: &former, target };
    let job::Objects { account, role, binding, ledgers: own, job } =
        job::objects(spec, given, &context.worker).map_err(EffectError::Refused)?;
    let client = &context.kube;
    // Nothing is written if one of the names is somebody else's: an account must not get the rights of another.
    let account = kubernetes::may_apply(client, account, owner).await?;
    let role = kubernetes::may_apply(client, role, owner).await?;
    let binding = kubernetes::may_apply(client, binding, owner).await?;
    if replay.is_none() {
        ledgers::void_others(spec, context).await?;
    }
    // The ledger before the account that may write it, the account before the pods that run under it.
    for ledger in own {
        kubernetes::create_once_owned(client, ledger, owner).await?;
    }
    // No Job is at work now. Once this is written, the run it speaks of is made sooner or later, and no other.
    if let Some(time) = intent {
        annotate(spec, context, names::INTENT_ANNOTATION, Some(&time.to_string())).await?;
    }
    // Another attempt is what it is: its own outcome counts.
    if scene.observed.failed.is_some() && replay.is_none() {
        annotate(spec, context, names::FAILED_ANNOTATION, None).await?;
    }
    account.apply().await?;
    role.apply().await?;
    binding.apply().await?;
    kubernetes::create_once_owned(client, job, owner).await?;
    Ok(())
}

/// Notes something on the ledger's object, or takes the note away.
async fn annotate(spec: &FeedSpec, context: &Shared, key: &str, value: Option<&str>) -> Result<(), EffectError> {
    let name = job::notes(spec);
    kubernetes::annotate_config_map(&context.kube, &spec.namespace, &name, key, value).await
}

#[cfg(test)]
mod tests;
