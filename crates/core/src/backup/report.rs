//! The status of a policy.

use elysia_api::CollectionBackup;
use elysia_api::backup::{BackupDrill, BackupRun, BackupState, BackupTotals, CollectionBackupStatus, DrillState};
use elysia_api::condition::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger::{BackupLedger, DrillNote, RunNote, Stage, TOLD_RUNS, Totals};
use super::{BackupSpec, Observed, Plan};
use crate::condition::{self, Finding};

pub(super) fn time(time: Timestamp) -> Time {
    Time(condition::whole_seconds(time))
}

/// A run of the store, as the status has it.
pub(super) fn of_note(note: &RunNote) -> BackupRun {
    let said = if note.is_suspect() { Some(note.suspect.join("; ")) } else { note.words_left_out() };
    BackupRun {
        id: Some(note.id.clone()),
        state: if note.is_suspect() { BackupState::Suspect } else { BackupState::Succeeded },
        job: None,
        objects: note.objects,
        bytes: note.bytes,
        progress: None,
        started_at: Some(time(note.started_at)),
        finished_at: Some(time(note.finished_at)),
        verified_at: note.verified_at.map(time),
        left_out: note.count_left_out(),
        message: said.as_deref().map(condition::clipped),
    }
}

fn has_ended(run: &BackupRun) -> bool {
    !matches!(run.state, BackupState::Pending | BackupState::Running)
}

/// The last drill, as the status has it. One that could not be done does not hide one that failed.
fn last_drill(ledger: &BackupLedger) -> Option<BackupDrill> {
    let last = ledger.last_drill.as_ref();
    if let Some(undone) = ledger.undone_drill.as_ref().filter(|_| !last.is_some_and(DrillNote::has_failed)) {
        return Some(BackupDrill {
            run: undone.run.clone(),
            at: time(undone.at),
            state: DrillState::Unfinished,
            objects: 0,
            overlap: None,
            distance: None,
            message: Some(condition::clipped(&undone.message)),
        });
    }
    last.map(|last| BackupDrill {
        run: Some(last.run.clone()),
        at: time(last.at),
        state: last.state,
        objects: last.objects,
        overlap: last.overlap,
        distance: last.distance.clone(),
        message: last.message.as_deref().map(condition::clipped),
    })
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
        // A drill leaves what is known of the last run, if that had ended before anybody looked.
        run: if plan.is_drill { before.run.clone().filter(has_ended) } else { plan.run.clone() },
        plan: plan.shown.clone(),
        next_run: plan.next_run.map(time),
        next_drill: plan.next_drill.map(time),
        last_handled: observed
            .intent
            .as_ref()
            .and_then(|intent| intent.run_now.clone())
            .or_else(|| spec.run_now.clone()),
        conditions: condition::merge(&before.conditions, &findings, backup.metadata.generation, now),
        ..before
    };
    if let Some(ledger) = observed.ledger.seen().and_then(Option::as_ref) {
        let own = ledger.attempt.as_ref().filter(|own| own.stage == Stage::Writing);
        if let (Some(run), Some(own)) = (&mut status.run, own)
            && (run.state, &run.id) == (BackupState::Running, &own.run)
        {
            run.progress = own.pace.map(|pace| pace.told(own.updated_at, now));
        }
        let Totals { runs, bytes, verified, suspect } = ledger.totals;
        status.runs = ledger.runs.iter().take(TOLD_RUNS).map(of_note).collect();
        status.totals = Some(BackupTotals { runs, bytes, verified, suspect });
        status.last_success = ledger.last_success.map(time);
        status.last_verified = ledger.last_verified.map(time);
        status.last_drill = last_drill(ledger);
        if plan.is_drill && status.run.is_none() {
            status.run = ledger.runs.first().map(of_note);
        }
    }
    status
}

/// The status of a policy whose spec cannot be honoured.
pub fn invalid(backup: &CollectionBackup, message: &str, now: Timestamp) -> CollectionBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    let findings = condition::of_invalid(backup, message);
    status.observed_generation = backup.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, backup.metadata.generation, now);
    status
}
