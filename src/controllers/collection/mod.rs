//! Brings an ElysiaCollection nearer to its spec.

mod act;
mod bootstrap;
mod claims;
mod deletion;
pub(in crate::controllers) mod emptiness;
mod fresh;
mod invalid;
pub(in crate::controllers) mod journal;
mod memory;
pub(in crate::controllers) mod migration;
pub(in crate::controllers) mod notebook;
mod observe;
mod repair;
pub(in crate::controllers) mod verify;

pub use memory::Memory;
pub(in crate::controllers) use observe::{class_of, cluster_of, exists, open, operation};

use std::sync::Arc;

use elysia_api::ElysiaCollection;
use elysia_core::collection::happening::{self, Round};
use elysia_core::collection::{self, CollectionSpec, Observed, OperationState, judge};
use futures::FutureExt as _;
use jiff::SignedDuration;
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

use super::audit::Trail;
use super::context::Shared;
use super::{ReconcileError, requeue};
use crate::effects::kubernetes;

/// How soon to look again after a step that the server refused for good: only a change outside can help.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(60);
/// How soon to look again after a step that failed and may work the next time.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(5);

/// One round. Never waits: waiting is a requeue.
pub async fn reconcile(object: Arc<ElysiaCollection>, context: Shared) -> Result<Action, ReconcileError> {
    if object.metadata.deletion_timestamp.is_some() {
        return deletion::reconcile(&object, &context).boxed().await;
    }
    let now = (context.now)();
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let before = object.status.clone().unwrap_or_default();
    let (mut happenings, mut seen, mut copies) = (Vec::new(), Vec::new(), None);
    let (status, action) = match CollectionSpec::validate(&object) {
        Err(message) => {
            let told = invalid::round(&object, &message, now, &context).boxed().await?;
            happenings.extend(told.happenings);
            (told.status, told.recheck.map_or_else(Action::await_change, |recheck| requeue(recheck, &key)))
        }
        Ok(mut spec) => {
            let mut scene = observe::observe(&mut spec, &object, &context).boxed().await?;
            let conflict = scene.observed.conflict.is_some();
            let is_held = deletion::keep_finalizer(&object, &spec, conflict, &context).boxed().await?;
            // After the look: a time that is written down must not lie before what it stands for was seen.
            let mut now = (context.now)();
            let mut plan = collection::plan(&spec, &scene.observed, &before, now);
            let shown = plan.shown.as_ref().map(|shown| (shown.hash.as_str(), shown.action.as_str()));
            let trail = Trail::of_collection(&object, shown, &context);
            let acted = act::act(&plan, (&object, &spec), &scene, &trail, &context).boxed().await;
            let failure = acted.error.as_ref().map(|error| act::failure(error, &plan));
            let round = Round { spec: &spec, observed: &scene.observed, plan: &plan, before: &before, now };
            happenings.extend(happening::of_steps(&acted.done, &round));
            if acted.error.is_none() && collection::over_at_once(&acted.done) {
                // What is over tells nobody that it is under way: one status and one Event instead of two.
                scene = observe::observe_again(&mut spec, &object, scene, &context).boxed().await?;
                now = (context.now)();
                plan = collection::plan(&spec, &scene.observed, &before, now);
            }
            let round = Round { spec: &spec, observed: &scene.observed, plan: &plan, before: &before, now };
            let mut status = judge::status(&object, &spec, &scene.observed, &plan, failure.as_ref(), now);
            copies = running(&scene.observed);
            let verified = verify::verify(&spec, &object, &scene, &context).boxed().await;
            let recheck = match &failure {
                None => plan.recheck.unwrap_or(scene.interval),
                Some(failure) if failure.retryable => AFTER_FAILURE,
                Some(_) => AFTER_REFUSAL.min(scene.interval),
            };
            let recheck = verified.sooner(if is_held { recheck } else { recheck.min(deletion::AFTER_CONFLICT) });
            verify::recommend(&spec, &scene, &mut status).boxed().await;
            seen.extend(happening::of_looks(&status, &round));
            seen.extend(verified.happening(&before));
            verified.tell(&mut status, &before, &object, now);
            if let Some(error) = &acted.error {
                context.metrics.failed_step("ElysiaCollection", error.reason());
                tracing::warn!(object = key, error = error.chain(), "a step failed");
            }
            (status, requeue(recheck, &key))
        }
    };
    context.metrics.collection(&object, &status, copies);
    if let Some((action, took)) = happening::repaired(&before, &status, (context.now)()) {
        context.metrics.repaired(action, took);
    }
    let reported = kubernetes::report(&context.kube, object.as_ref(), object.status.as_ref(), &status).await;
    if let Err(error) = reported {
        // What was seen is seen again in the next round; what was done is not done again.
        context.tell_happenings(object.as_ref(), &happenings).await;
        return Err(error.into());
    }
    // What was found first, then what was done about it.
    seen.append(&mut happenings);
    context.tell_round(object.as_ref(), &seen, &before.conditions, &status.conditions).await;
    context.succeeded(&key);
    Ok(action)
}

/// Copies that run, if the servers say so.
fn running(observed: &Observed) -> Option<usize> {
    let operations = observed.operations.seen()?;
    Some(operations.iter().filter(|operation| operation.state == OperationState::Active).count())
}

#[cfg(test)]
mod tests;
