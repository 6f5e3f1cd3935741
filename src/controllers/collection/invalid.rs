//! An object whose spec does not hold: nothing is done for it, unless something is in its midst that nobody is to wait in. A
//! migration in the middle of its switch is ended, because nobody can write to the live class meanwhile. A recreation, and the
//! emptying of a collection, is called off before its delete and carried on after it, because nobody can write meanwhile, or
//! there is no class, and auto-schema is off for the whole cluster. Nothing else would ever end these.

use elysia_api::collection::ElysiaCollectionStatus;
use elysia_api::{ElysiaCollection, names};
use elysia_core::collection::happening::{self, Happening, Round};
use elysia_core::collection::{self, CollectionSpec, Journal, Observed, Purpose, judge, migration};
use elysia_core::sight::{Blindness, Sight};
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

/// What is ended although the spec does not hold.
enum Begun {
    Recreation(Box<Journal>),
    Migration(Box<migration::Journal>),
}

/// One round. `why`: which rule of the spec does not hold.
pub(super) async fn round(
    object: &ElysiaCollection,
    why: &str,
    now: Timestamp,
    context: &Shared,
) -> Result<Told, ReconcileError> {
    let (message, recheck) = match begun(object, context).await {
        Ok(Some(begun)) => return end(object, &begun, why, context).boxed().await,
        Ok(None) => (why.to_owned(), None),
        Err((what, blindness)) => {
            (format!("{why}; whether {what} is not known: {}", blindness.message), Some(AFTER_REFUSAL))
        }
    };
    Ok(Told { status: judge::invalid(object, &message, now), recheck, happenings: Vec::new() })
}

/// What is to be ended; the error says what of it is not known.
async fn begun(object: &ElysiaCollection, context: &Shared) -> Result<Option<Begun>, (&'static str, Blindness)> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    let recreation = notebook::read::<Journal>(&namespace, &names::journal(&name, &uid), context).await.0;
    // The same order as when the spec holds.
    if let Sight::Seen(Some(journal)) = &recreation
        && !journal.cursor.is_over()
    {
        return Ok(Some(Begun::Recreation(Box::new(journal.clone()))));
    }
    if object.spec.migration.is_some() {
        let place = names::migration_journal(&name, &uid);
        match notebook::read::<migration::Journal>(&namespace, &place, context).await.0 {
            Sight::Seen(Some(journal)) if journal.phase.is_frozen() => {
                return Ok(Some(Begun::Migration(Box::new(journal))));
            }
            Sight::Seen(_) => {}
            Sight::Unseen(blindness) => return Err(("a migration holds back writes", blindness)),
        }
    }
    match recreation {
        Sight::Seen(_) => Ok(None),
        Sight::Unseen(blindness) => Err(("the collection is being deleted and made again", blindness)),
    }
}

impl Begun {
    fn spec(&self, object: &ElysiaCollection, why: &str) -> CollectionSpec {
        match self {
            Self::Recreation(journal) => CollectionSpec::of_invalid_recreation(object, journal, why),
            Self::Migration(journal) => CollectionSpec::of_invalid(object, journal, why),
        }
    }

    fn status(
        &self,
        object: &ElysiaCollection,
        seen: (&CollectionSpec, &Observed),
        (why, message): (&str, &str),
        now: Timestamp,
    ) -> ElysiaCollectionStatus {
        match self {
            Self::Recreation(journal) => {
                let message = format!("{why}; {}: {message}", meanwhile(journal));
                judge::invalid_amid_recreation(object, &message, now)
            }
            Self::Migration(journal) => {
                let message = format!("{why}; a migration of {} is ended meanwhile: {message}", journal.from);
                judge::invalid_amid_switch(object, seen, &message, now)
            }
        }
    }

    /// What people have to fear as long as it cannot be ended.
    fn trouble(&self) -> &'static str {
        match self {
            Self::Recreation(journal) if journal.cursor.is_past_delete() => "it may be away",
            Self::Recreation(_) | Self::Migration(_) => "it may be read-only",
        }
    }
}

/// What becomes of a recreation, or of emptying a collection.
fn meanwhile(journal: &Journal) -> String {
    let Journal { collection, hash, .. } = journal;
    let what = match journal.purpose {
        Purpose::Recreate => "recreated",
        Purpose::Clear(_) => "emptied",
    };
    if journal.cursor.is_past_delete() {
        format!("{collection} was deleted to be {what} and is made again meanwhile, as plan {hash} says")
    } else {
        format!("{collection} was about to be {what}; that is called off meanwhile, plan {hash}")
    }
}

/// Observe, plan, act and report of what is ended.
async fn end(object: &ElysiaCollection, begun: &Begun, why: &str, context: &Shared) -> Result<Told, ReconcileError> {
    let mut spec = begun.spec(object, why);
    let before = object.status.clone().unwrap_or_default();
    let scene = observe::observe(&mut spec, object, context).boxed().await?;
    let now = (context.now)();
    let tell = |message: &str| begun.status(object, (&spec, &scene.observed), (why, message), now);
    let plan = match collection::plan_of_invalid(&spec, &scene.observed, &before, now) {
        Ok(plan) => plan,
        Err(message) => {
            let status = tell(&format!("{}, and {message}", begun.trouble()));
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
