//! Brings an ElysiaCollection nearer to its spec.

mod act;
mod claims;
mod deletion;
pub(in crate::controllers) mod emptiness;
pub(in crate::controllers) mod journal;
mod memory;
mod observe;
mod repair;
pub(in crate::controllers) mod verify;

pub use memory::Memory;
pub(in crate::controllers) use observe::{cluster_of, exists, open};

use std::sync::Arc;

use elysia_api::ElysiaCollection;
use elysia_core::collection::{self, CollectionSpec, judge};
use futures::FutureExt as _;
use jiff::SignedDuration;
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

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
    let (status, action) = match CollectionSpec::validate(&object) {
        Err(message) => (judge::invalid(&object, &message, now), Action::await_change()),
        Ok(spec) => {
            let scene = observe::observe(&spec, &object, &context).boxed().await?;
            deletion::keep_finalizer(&object, &spec, scene.observed.conflict.is_some(), &context).boxed().await?;
            // After the look: a time that is written down must not lie before what it stands for was seen.
            let now = (context.now)();
            let plan = collection::plan(&spec, &scene.observed, &before, now);
            let acted = act::act(&plan, &spec, &scene, &context).boxed().await;
            let failure = acted.as_ref().err().map(|error| act::failure(error, &plan));
            let mut status = judge::status(&object, &spec, &scene.observed, &plan, failure.as_ref(), now);
            let verified = verify::verify(&spec, &object, &scene, &context).boxed().await;
            let recheck = match &failure {
                None => plan.recheck.unwrap_or(scene.interval),
                Some(failure) if failure.retryable => AFTER_FAILURE,
                Some(_) => AFTER_REFUSAL.min(scene.interval),
            };
            let recheck = verified.sooner(recheck);
            verify::recommend(&spec, &scene, &mut status).boxed().await;
            verified.tell(&mut status, &before, &object, now);
            if let Err(error) = &acted {
                context.metrics.failed_step("ElysiaCollection", error.reason());
                tracing::warn!(object = key, error = error.chain(), "a step failed");
            }
            (status, requeue(recheck, &key))
        }
    };
    context.metrics.collection(&object, &status);
    kubernetes::report(&context.kube, object.as_ref(), object.status.as_ref(), &status).await?;
    context.tell_transition(object.as_ref(), &before.conditions, &status.conditions).await;
    context.succeeded(&key);
    Ok(action)
}

#[cfg(test)]
mod tests;
