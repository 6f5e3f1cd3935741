//! The status of a policy.

use elysia_api::CollectionBackup;
use elysia_api::backup::{BackupRun, BackupState, BackupTotals, CollectionBackupStatus};
use elysia_api::condition::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger::{RunNote, TOLD_RUNS, Totals};
use super::{BackupSpec, Observed, Plan};
use crate::condition::{self, Finding};

pub(super) fn time(time: Timestamp) -> Time {
    Time(condition::whole_seconds(time))
}

/// A run of the store, as the status has it.
pub(super) fn of_note(note: &RunNote) -> BackupRun {
    let said = if note.is_suspect() {
        Some(note.suspect.join("; "))
    } else {
        let why = |(name, why): (&String, &String)| format!("{name} is left out: {why}");
        note.left_out.iter().next().map(why)
    };
    BackupRun {
        id: Some(note.id.clone()),
        state: if note.is_suspect() { BackupState::Suspect } else { BackupState::Succeeded },
        job: None,
        objects: note.objects,
        bytes: note.bytes,
        started_at: Some(time(note.started_at)),
        finished_at: Some(time(note.finished_at)),
        verified_at: note.verified_at.map(time),
        message: said.as_deref().map(condition::clipped),
    }
}

/// The status that follows.
pub fn status(
    backup: &CollectionBackup,
    spec: &BackupSpec,
    observed: &Observed,
    plan: &Plan,
    failure: Option<&str>,
    now: Timestamp,
) -> CollectionBackupStatus {
    let before = backup.status.clone().unwrap_or_default();
    let mut findings = plan.findings.clone();
    if let Some(failure) = failure {
        let is_touched =
            |finding: &&mut Finding| !matches!(finding.kind, ConditionType::Running | ConditionType::Verified);
        for finding in findings.iter_mut().filter(is_touched) {
            failure.clone_into(&mut finding.message);
        }
    }
    let mut status = CollectionBackupStatus {
        observed_generation: backup.metadata.generation,
        run: plan.run.clone(),
        plan: plan.shown.clone(),
        next_run: plan.next_run.map(time),
        last_handled: observed
            .intent
            .as_ref()
            .and_then(|intent| intent.run_now.clone())
            .or_else(|| spec.run_now.clone()),
        conditions: condition::merge(&before.conditions, &findings, backup.metadata.generation, now),
        ..before
    };
    if let Some(ledger) = observed.ledger.seen().and_then(Option::as_ref) {
        let Totals { runs, bytes, verified, suspect } = ledger.totals;
        status.runs = ledger.runs.iter().take(TOLD_RUNS).map(of_note).collect();
        status.totals = Some(BackupTotals { runs, bytes, verified, suspect });
        status.last_success = ledger.last_success.map(time);
        status.last_verified = ledger.last_verified.map(time);
    }
    status
}

/// The status of a policy whose spec cannot be honoured.
pub fn invalid(backup: &CollectionBackup, message: &str, now: Timestamp) -> CollectionBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    let findings = [
        Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message),
        Finding::holds(ConditionType::Stalled, Reason::InvalidSpec, message),
    ];
    status.observed_generation = backup.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, backup.metadata.generation, now);
    status
}
