//! Deletes of a feed that need a person's word: how many are allowed, what is shown, and what an approval lets begin.
//!
//! The worker counts before its first write and ends when there are too many ([`Guarded`] in the ledger). Here that
//! becomes a plan with a hash over the object's uid, the run, the content and the number. The approved run is a Job of
//! its own: it counts again, and begins only if the content is the same and no more would be deleted. That it began is in
//! its ledger, so one approval serves one run.

use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::{DeleteGuard, RunState};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Content, FeedSpec, JobView, LedgerView, Observed, Plan, Step, run_status, start};
use crate::condition::{self, Finding};
use crate::fingerprint;

/// How many documents a run may delete without approval. Both numbers hold where both are there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Documents.
    pub objects: Option<u64>,
    /// Of a hundred objects in the collection.
    pub percent: Option<u8>,
}

impl Limits {
    pub(super) fn of(guard: &DeleteGuard) -> Self {
        Self {
            objects: guard.objects.and_then(|objects| u64::try_from(objects).ok()),
            percent: guard.percent.and_then(|percent| u8::try_from(percent).ok()),
        }
    }
}

/// What a worker counted before its first write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Guarded {
    /// Identifies names and text of all files.
    pub content: String,
    /// Documents that are there and that the lines delete.
    pub deletes: u64,
    /// Objects of the collection, where that could be told.
    pub objects: Option<u64>,
    /// What they were compared with.
    pub limits: Limits,
    /// When this number was found first.
    pub since: Timestamp,
}

/// What a person approved: this content, and no more deletes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approval {
    /// Identifies names and text of all files.
    pub content: String,
    /// As many as were shown.
    pub deletes: u64,
}

/// What a run is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Guard {
    /// What needs no approval.
    pub limits: Limits,
    /// What was approved.
    pub approval: Option<Approval>,
}

/// What holds: what is declared, and nothing at all in a protected collection where nothing is.
pub(super) fn limits(spec: &FeedSpec, observed: &Observed) -> Option<Limits> {
    let none = observed.protection.as_ref().map(|_| Limits { objects: Some(0), percent: None });
    spec.delete_guard.or(none)
}

/// No time goes in but that at which this was found first: a worker that counts the same again finds the same plan.
fn hash(spec: &FeedSpec, run: &str, guarded: &Guarded) -> String {
    let Guarded { content, deletes, since, .. } = guarded;
    fingerprint::short(&("delete", &spec.uid, run, content, deletes, since.as_millisecond()))
}

/// A run that wrote nothing because it would delete too much.
pub(super) fn waiting(
    spec: &FeedSpec,
    observed: &Observed,
    content: &Content,
    ledger: &LedgerView,
    job: Option<&JobView>,
) -> Plan {
    // Only a ledger that somebody wrote by hand lacks it: then it is counted again.
    let Some(guarded) = &ledger.guarded else { return again(spec, observed, content, ledger, job, None) };
    if limits(spec, observed) != Some(guarded.limits) {
        return again(spec, observed, content, ledger, job, None);
    }
    let hash = hash(spec, &ledger.run, guarded);
    if spec.approve.as_deref() == Some(hash.as_str()) {
        let approval = Approval { content: guarded.content.clone(), deletes: guarded.deletes };
        return again(spec, observed, content, ledger, job, Some(approval));
    }
    shown(spec, observed, ledger, guarded, hash)
}

/// Counts again, with or without an approval. The Job that ended has the name of the one that is to come.
fn again(
    spec: &FeedSpec,
    observed: &Observed,
    content: &Content,
    ledger: &LedgerView,
    job: Option<&JobView>,
    approval: Option<Approval>,
) -> Plan {
    let mut plan = start(spec, observed, content, Some(ledger), approval);
    if let (Some(job), Some(_)) = (job, &plan.step) {
        plan.step = Some(Step::ForgetJob { name: job.name.clone() });
    }
    plan
}

fn shown(spec: &FeedSpec, observed: &Observed, ledger: &LedgerView, guarded: &Guarded, hash: String) -> Plan {
    let Guarded { deletes, objects, limits, since, .. } = guarded;
    let collection = &spec.collection;
    let of = objects.map_or_else(|| "an unknown number of".to_owned(), |objects| objects.to_string());
    let allowed = match (limits.objects, limits.percent) {
        (Some(objects), Some(percent)) => format!("{objects} and {percent} %"),
        (None, Some(percent)) => format!("{percent} %"),
        (objects, None) => objects.unwrap_or_default().to_string(),
    };
    let why = match (&spec.delete_guard, &observed.protection) {
        (None, Some(pattern)) => format!("0, as {pattern} protects it"),
        _ => format!("the {allowed} that deleteGuard allows"),
    };
    let step = format!("delete {deletes} documents of {of} objects in collection {collection}, more than {why}");
    let message = format!(
        "the feed would {step}; nothing was written. Look at it: kubectl elysia repair plan feed/{name}; approve it: kubectl elysia repair approve feed/{name}, or: kubectl annotate --overwrite indexsource {name} elysia.dev/approve={hash} elysia.dev/approved-by=\"$(kubectl auth whoami --output jsonpath='{{.status.userInfo.username}}')\"",
        name = spec.name,
    );
    let findings = vec![
        Finding::fails(ConditionType::Ready, Reason::NeedsApproval, message.clone()),
        Finding::fails(ConditionType::CaughtUp, Reason::NeedsApproval, message.clone()),
        Finding::holds(ConditionType::Stalled, Reason::NeedsApproval, message),
    ];
    let plan = PlanStatus {
        waiting_for: Some(format!("approval: elysia.dev/approve={hash}")),
        hash,
        action: "Delete".to_owned(),
        destructive: true,
        steps: vec![step],
        total_steps: 1,
        since: Some(Time(condition::whole_seconds(*since))),
    };
    let run = run_status(&spec.job(&ledger.run), Some(ledger), &ledger.run, RunState::Waiting, None);
    Plan { step: None, recheck: None, findings, run: Some(run), shown: Some(plan), next_run: None }
}

#[cfg(test)]
mod tests;
