//! An object whose spec does not hold: nothing is done for it, unless a migration is in the middle of its switch. That one is
//! ended, because nobody can write to the live class meanwhile, and nothing else would ever make it writable again.

use elysia_api::collection::ElysiaCollectionStatus;
use elysia_api::{ElysiaCollection, names};
use elysia_core::collection::happening::{self, Happening, Round};
use elysia_core::collection::migration::Journal;
use elysia_core::collection::{self, CollectionSpec, judge};
use elysia_core::sight::Sight;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::audit::Trail;
use super::super::context::Shared;
use super::{AFTER_FAILURE, AFTER_REFUSAL, act, notebook, observe};

/// What came of a round.
pub(super) struct Told {
    /// What is said of the object.
    pub(super) status: ElysiaCollectionStatus,
    /// When to look again; `None`: when the object changes.
    pub(super) recheck: Option<SignedDuration>,
    /// What happened.
    pub(super) happenings: Vec<Happening>,
}

/// One round. `why`: which rule of the spec does not hold.
pub(super) async fn round(
    object: &ElysiaCollection,
    why: &str,
    now: Timestamp,
    context: &Shared,
) -> Result<Told, ReconcileError> {
    let quiet =
        |message: &str, recheck| Told { status: judge::invalid(object, message, now), recheck, happenings: Vec::new() };
    if object.spec.migration.is_none() {
        return Ok(quiet(why, None));
    }
    let name = names::migration_journal(&object.name_any(), &object.uid().unwrap_or_default());
    let (journal, _) = notebook::read::<Journal>(&object.namespace().unwrap_or_default(), &name, context).await;
    match journal {
        Sight::Seen(Some(journal)) if journal.phase.is_frozen() => end(object, &journal, why, context).boxed().await,
        Sight::Seen(_) => Ok(quiet(why, None)),
        Sight::Unseen(blindness) => {
            let message = format!("{why}; whether a migration holds back writes is not known: {}", blindness.message);
            Ok(quiet(&message, Some(AFTER_REFUSAL)))
        }
    }
}

/// Observe, plan, act and report of a migration that is ended: before the switch the old class is made writable again, after
/// it the rest is done.
async fn end(
    object: &ElysiaCollection,
    journal: &Journal,
    why: &str,
    context: &Shared,
) -> Result<Told, ReconcileError> {
    let mut spec = CollectionSpec::of_invalid(object, journal, why);
    let before = object.status.clone().unwrap_or_default();
    let scene = observe::observe(&mut spec, object, context).boxed().await?;
    let now = (context.now)();
    let tell = |message: &str| {
        let message = format!("{why}; a migration of {} is ended meanwhile: {message}", journal.from);
        judge::invalid_amid_switch(object, (&spec, &scene.observed), &message, now)
    };
    let plan = match collection::plan_of_invalid(&spec, &scene.observed, &before, now) {
        Ok(plan) => plan,
        Err(message) => {
            let status = tell(&format!("it may be read-only, and {message}"));
            return Ok(Told { status, recheck: Some(AFTER_FAILURE), happenings: Vec::new() });
        }
    };
    let shown = plan.shown.as_ref().map(|shown| (shown.hash.as_str(), shown.action.as_str()));
    let trail = Trail::of_collection(object, shown, context);
    let acted = act::act(&plan, (object, &spec), &scene, &trail, context).boxed().await;
    let round = Round { spec: &spec, observed: &scene.observed, plan: &plan, before: &before, now };
    let happenings = happening::of_steps(&acted.done, &round);
    let (message, recheck) = match &acted.error {
        None => (plan.findings.first().map(|finding| finding.message.clone()).unwrap_or_default(), plan.recheck),
        Some(error) => {
            context.metrics.failed_step("ElysiaCollection", error.reason());
            tracing::warn!(object = object.name_any(), error = error.chain(), "a step failed");
            (error.chain(), Some(AFTER_FAILURE))
        }
    };
    Ok(Told { status: tell(&message), recheck: recheck.or(Some(AFTER_FAILURE)), happenings })
}
