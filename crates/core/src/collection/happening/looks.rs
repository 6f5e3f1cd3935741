//! What shows only in two looks: the status before a round beside the one after it.

use elysia_api::collection::{BootstrapPhase, DataVerification, ElysiaCollectionStatus, Verdict};
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};

use super::{Happened, Happening, Round, plural};
use crate::condition;
use crate::restore::passed_over;
use crate::verification::look::{self, Ended};

/// What shows only in two looks.
pub fn of_looks(after: &ElysiaCollectionStatus, round: &Round<'_>) -> Vec<Happening> {
    let Round { spec, plan, before, .. } = *round;
    let mut told = Vec::new();
    let is_drift = |verdict: Verdict| verdict != Verdict::Adopt;
    if plan.compared {
        let missing_in = |one: &ElysiaCollectionStatus, other: &ElysiaCollectionStatus, shown: bool| -> Vec<String> {
            let drift = one.drift.iter().filter(|entry| is_drift(entry.verdict));
            drift
                .filter(|entry| !other.drift.iter().any(|found| found.path == entry.path && is_drift(found.verdict)))
                .map(|entry| if shown { format!("{} ({:?})", entry.path, entry.verdict) } else { entry.path.clone() })
                .collect()
        };
        let (found, gone) = (missing_in(after, before, true), missing_in(before, after, false));
        told.extend(Happening::many(Happened::DriftFound, &found, |names| format!("not as declared: {names}")));
        told.extend(Happening::many(Happened::DriftGone, &gone, |names| format!("as declared again: {names}")));
    }
    if let Some(shown) = after.plan.as_ref().filter(|plan| plan.waiting_for.is_some()) {
        let earlier = before.plan.as_ref().filter(|plan| plan.waiting_for.is_some());
        if earlier.is_none_or(|earlier| earlier.hash != shown.hash) {
            let destructive = if shown.destructive { "; it removes or overwrites something" } else { "" };
            let message = format!(
                "plan {} waits for approval: {}, {}{destructive}. Look: kubectl elysia repair plan {name}. Approve: kubectl elysia repair approve {name}",
                shown.hash,
                shown.action,
                plural(usize::try_from(shown.total_steps).unwrap_or_default(), "step", "steps"),
                name = spec.name
            );
            told.push(Happening::new(Happened::NeedsApproval, message));
        }
    }
    let reason = |status: &ElysiaCollectionStatus, kind| {
        condition::find(&status.conditions, kind).map(|condition| condition.reason.clone())
    };
    let is_conflict = |reason: &Option<String>| reason.as_deref() == Some(Reason::Conflict.as_str());
    if is_conflict(&reason(before, ConditionType::Ready)) && !is_conflict(&reason(after, ConditionType::Ready)) {
        let message = format!("no older resource claims collection {} any more; it is this one's now", spec.collection);
        told.push(Happening::new(Happened::ConflictWon, message));
    }
    told.extend(of_bootstrap(before, after, &spec.collection));
    // A refusal that Ready does not show, because something else is worse.
    let ready = reason(after, ConditionType::Ready);
    for kind in [ConditionType::SchemaInSync, ConditionType::ReplicasInSync] {
        let Some(now) = condition::find(&after.conditions, kind).filter(|now| now.status == "False") else { continue };
        let is_refusal = REFUSALS.iter().any(|refusal| refusal.as_str() == now.reason);
        if is_refusal && Some(&now.reason) != ready.as_ref() && reason(before, kind).as_ref() != Some(&now.reason) {
            told.push(Happening::new(Happened::Refused, format!("{}: {}", now.reason, now.message)));
        }
    }
    told
}

/// Reasons for which nothing is done although something differs.
const REFUSALS: [Reason; 11] = [
    Reason::Protected,
    Reason::RefusedHasData,
    Reason::RefusedNotProvablyEmpty,
    Reason::RecreateOff,
    Reason::MigrationBlocked,
    Reason::CopyOff,
    Reason::CopyUnsupported,
    Reason::FactorFixed,
    Reason::NoRoom,
    Reason::SourceLost,
    Reason::TenantsUnavailable,
];

/// What the end of a comparison amounts to. One that was asked for by nobody and finds what the last one found is no
/// happening: on a schedule it would be told for ever.
pub fn of_verification(before: Option<&DataVerification>, ended: &Ended) -> Option<Happening> {
    let report = &ended.report;
    let faults = |report: &DataVerification| (report.missing, report.different, report.orphaned);
    if ended.request.run_now.is_none() && before.is_some_and(|before| faults(before) == faults(report)) {
        return None;
    }
    let (sampled, unread) = (report.sampled, report.unread);
    Some(if look::is_clean(report) {
        let unread = if unread > 0 { format!("; {unread} could not be read everywhere") } else { String::new() };
        Happening::new(Happened::Verified, format!("{sampled} sampled objects: none is wrong at any replica{unread}"))
    } else {
        let message = format!(
            "of {sampled} sampled objects {} are missing at a replica, {} differ, {} are held by a minority, {unread} could not be read",
            report.missing, report.different, report.orphaned
        );
        Happening::new(Happened::ObjectsDiffer, message)
    })
}

/// What has become of `restoreFrom` in this round, told once.
fn of_bootstrap(
    before: &ElysiaCollectionStatus,
    after: &ElysiaCollectionStatus,
    collection: &str,
) -> Option<Happening> {
    let now = after.bootstrap.as_ref()?;
    if before.bootstrap.as_ref().is_some_and(|earlier| earlier.phase == now.phase) {
        return None;
    }
    let run = now.run.as_deref().map(|run| format!(" by run {run}")).unwrap_or_default();
    match now.phase {
        BootstrapPhase::Done => {
            let passed_over = now.passed_over.as_ref().and_then(passed_over);
            let passed_over = passed_over.map(|told| format!("; {told}")).unwrap_or_default();
            let message =
                format!("collection {collection} was restored{run}{passed_over}; restoreFrom is never followed again");
            Some(Happening::new(Happened::Bootstrapped, message))
        }
        BootstrapPhase::Skipped => {
            let message = format!(
                "collection {collection} was there before restoreFrom was followed: it is kept as it is, and nothing is restored"
            );
            Some(Happening::new(Happened::BootstrapSkipped, message))
        }
        BootstrapPhase::Pending | BootstrapPhase::Restoring | BootstrapPhase::Stalled => None,
    }
}

/// A repair that ended in this round: the word of its plan, and how long it took since it was first told.
pub fn repaired(
    before: &ElysiaCollectionStatus,
    after: &ElysiaCollectionStatus,
    now: Timestamp,
) -> Option<(&'static str, SignedDuration)> {
    let begun = before.replication.as_ref()?.progress.as_ref()?;
    let replication = after.replication.as_ref()?;
    // Not seen is not ended.
    if replication.progress.is_some() || replication.lowest? < replication.desired {
        return None;
    }
    let action = before.plan.as_ref().map(|plan| plan.action.as_str());
    let known = ["Remove", "Replace", "Rebuild"].into_iter().find(|known| Some(*known) == action);
    Some((known.unwrap_or("Copy"), now.duration_since(begun.since.0)))
}
