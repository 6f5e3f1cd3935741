//! Gauges of backup policies, from their ledgers, and of restores.

use elysia_api::backup::{BackupState, CollectionBackupStatus, DrillState};
use elysia_api::restore::{CollectionRestoreStatus, RestorePhase};
use elysia_core::backup::ledger::{BackupLedger, RunNote, Totals};
use elysia_core::restore::ledger::RestoreLedger;
use jiff::Timestamp;
use prometheus::IntGaugeVec;

use super::OBJECT;
use super::families::{Families, Made, set};
use super::work::WorkMetrics;

/// What names an object: namespace and name.
pub(super) type Labels<'a> = [&'a str; 2];

/// States of runs.
const STATES: [(BackupState, &str); 5] = [
    (BackupState::Pending, "Pending"),
    (BackupState::Running, "Running"),
    (BackupState::Succeeded, "Succeeded"),
    (BackupState::Suspect, "Suspect"),
    (BackupState::Failed, "Failed"),
];

/// How restore drills end.
const DRILLS: [(DrillState, &str); 3] =
    [(DrillState::Passed, "Passed"), (DrillState::Failed, "Failed"), (DrillState::Unfinished, "Unfinished")];

/// Phases of restores.
const PHASES: [(RestorePhase, &str); 5] = [
    (RestorePhase::Pending, "Pending"),
    (RestorePhase::Running, "Running"),
    (RestorePhase::Succeeded, "Succeeded"),
    (RestorePhase::Failed, "Failed"),
    (RestorePhase::NeedsApproval, "NeedsApproval"),
];

pub(super) struct BackupGauges {
    succeeded_at: IntGaugeVec,
    verified_at: IntGaugeVec,
    due_at: IntGaugeVec,
    drilled_at: IntGaugeVec,
    survived_at: IntGaugeVec,
    drill: IntGaugeVec,
    objects: IntGaugeVec,
    bytes: IntGaugeVec,
    seconds: IntGaugeVec,
    runs: IntGaugeVec,
    left_out: IntGaugeVec,
    stored: IntGaugeVec,
    state: IntGaugeVec,
    phase: IntGaugeVec,
    restored: IntGaugeVec,
    restored_in: IntGaugeVec,
    work: WorkMetrics,
    speed: IntGaugeVec,
    left: IntGaugeVec,
    restore_speed: IntGaugeVec,
    restore_left: IntGaugeVec,
}

impl BackupGauges {
    pub(super) fn make(make: &mut Families) -> Made<Self> {
        let with = |label| ["namespace", "name", label];
        Ok(Self {
            succeeded_at: make.gauge(
                "elysia_backup_success_timestamp_seconds",
                "When the newest good run of a backup was finished.",
                &OBJECT,
            )?,
            verified_at: make.gauge(
                "elysia_backup_verified_timestamp_seconds",
                "When a run of a backup was last read back and found sound.",
                &OBJECT,
            )?,
            due_at: make.gauge(
                "elysia_backup_due_timestamp_seconds",
                "The first time of a backup's schedule that has come since its newest good run; while there is none, the last one that has come.",
                &OBJECT,
            )?,
            drilled_at: make.gauge(
                "elysia_backup_drill_timestamp_seconds",
                "When the last restore drill of a backup ended, however it did.",
                &OBJECT,
            )?,
            survived_at: make.gauge(
                "elysia_backup_drill_success_timestamp_seconds",
                "When the last restore drill of a backup ended, if that was good.",
                &OBJECT,
            )?,
            drill: make.gauge(
                "elysia_backup_drill_state",
                "1 for how the last restore drill of a backup ended.",
                &with("state"),
            )?,
            objects: make.gauge("elysia_backup_objects", "Objects of a backup's newest run.", &OBJECT)?,
            bytes: make.gauge("elysia_backup_bytes", "Bytes of the parts of a backup's newest run.", &OBJECT)?,
            seconds: make.gauge(
                "elysia_backup_duration_seconds",
                "How long a backup's newest run took to be written.",
                &OBJECT,
            )?,
            runs: make.gauge(
                "elysia_backup_runs",
                "Runs that a backup's store holds, by all, verified and suspect.",
                &with("which"),
            )?,
            left_out: make.gauge(
                "elysia_backup_collections_left_out",
                "Collections that a backup's newest run leaves out.",
                &OBJECT,
            )?,
            stored: make.gauge(
                "elysia_backup_stored_bytes",
                "Bytes of all runs that a backup's store holds.",
                &OBJECT,
            )?,
            state: make.gauge(
                "elysia_backup_state",
                "1 for the state of a backup's present or last run.",
                &with("state"),
            )?,
            phase: make.gauge("elysia_restore_phase", "1 for the phase of a restore.", &with("phase"))?,
            restored: make.gauge(
                "elysia_restore_objects",
                "Objects of a restore, by total and done.",
                &with("which"),
            )?,
            restored_in: make.gauge(
                "elysia_restore_duration_seconds",
                "How long a restore took that is done, from its beginning to its last object: the time to recovery.",
                &OBJECT,
            )?,
            work: WorkMetrics::make(make)?,
            speed: make.gauge(
                "elysia_backup_objects_per_second",
                "Objects that a backup's present run reads in each second, over the last minute.",
                &OBJECT,
            )?,
            left: make.gauge(
                "elysia_backup_left_seconds",
                "How long the reading of a backup's present run takes yet at its rate.",
                &OBJECT,
            )?,
            restore_speed: make.gauge(
                "elysia_restore_objects_per_second",
                "Objects that a restore deals with in each second, over the last minute.",
                &OBJECT,
            )?,
            restore_left: make.gauge(
                "elysia_restore_left_seconds",
                "How long a restore takes yet at its rate.",
                &OBJECT,
            )?,
        })
    }

    /// Unknown is not zero: what is not known has no series.
    pub(super) fn set_backup(
        &self,
        labels: Labels<'_>,
        status: &CollectionBackupStatus,
        ledger: Option<&BackupLedger>,
        due: Option<Timestamp>,
    ) {
        let [namespace, name] = labels;
        let state = status.run.as_ref().map(|run| run.state);
        for (of, word) in STATES {
            set(&self.state, &[namespace, name, word], state.map(|state| i64::from(state == of)));
        }
        let progress = status.run.as_ref().and_then(|run| run.progress.as_ref());
        set(&self.speed, &labels, progress.and_then(|progress| progress.objects_per_second));
        set(&self.left, &labels, progress.and_then(|progress| progress.seconds_left));
        let last = status.last_drill.as_ref();
        for (of, word) in DRILLS {
            set(&self.drill, &[namespace, name, word], last.map(|drill| i64::from(drill.state == of)));
        }
        set(&self.drilled_at, &labels, last.map(|drill| drill.at.0.as_second()));
        let passed = ledger.and_then(|ledger| ledger.last_drill.as_ref()).filter(|drill| drill.has_passed());
        set(&self.survived_at, &labels, passed.map(|drill| drill.at.as_second()));
        set(&self.due_at, &labels, due.map(Timestamp::as_second));
        set(&self.succeeded_at, &labels, ledger.and_then(|ledger| ledger.last_success).map(Timestamp::as_second));
        set(&self.verified_at, &labels, ledger.and_then(|ledger| ledger.last_verified).map(Timestamp::as_second));
        let newest = ledger.and_then(|ledger| ledger.runs.first());
        set(&self.objects, &labels, newest.map(|run| run.objects));
        set(&self.bytes, &labels, newest.map(|run| run.bytes));
        set(&self.left_out, &labels, newest.map(RunNote::count_left_out));
        let took = |run: &RunNote| run.finished_at.duration_since(run.started_at).as_secs().max(0);
        set(&self.seconds, &labels, newest.map(took));
        let of = |read: fn(&Totals) -> i64| ledger.map(|ledger| read(&ledger.totals));
        set(&self.runs, &[namespace, name, "all"], of(|totals| totals.runs));
        set(&self.runs, &[namespace, name, "verified"], of(|totals| totals.verified));
        set(&self.runs, &[namespace, name, "suspect"], of(|totals| totals.suspect));
        set(&self.stored, &labels, of(|totals| totals.bytes));
        let attempt = ledger.and_then(|ledger| ledger.attempt.as_ref());
        self.work.set_backup(labels, attempt.and_then(|attempt| attempt.profile.as_ref()));
    }

    pub(super) fn set_restore(
        &self,
        labels: Labels<'_>,
        status: &CollectionRestoreStatus,
        ledger: Option<&RestoreLedger>,
    ) {
        let [namespace, name] = labels;
        for (of, word) in PHASES {
            set(&self.phase, &[namespace, name, word], status.phase.map(|phase| i64::from(phase == of)));
        }
        let objects = status.objects.as_ref();
        set(&self.restored, &[namespace, name, "total"], objects.map(|objects| objects.total));
        set(&self.restored, &[namespace, name, "done"], objects.map(|objects| objects.done));
        let took = status.started_at.as_ref().zip(status.finished_at.as_ref());
        let took = took.filter(|_| status.phase == Some(RestorePhase::Succeeded));
        let took = took.map(|(began, ended)| ended.0.duration_since(began.0).as_secs().max(0));
        set(&self.restored_in, &labels, took);
        let progress = status.progress.as_ref();
        set(&self.restore_speed, &labels, progress.and_then(|progress| progress.objects_per_second));
        set(&self.restore_left, &labels, progress.and_then(|progress| progress.seconds_left));
        self.work.set_restore(labels, ledger.and_then(|ledger| ledger.profile.as_ref()));
    }

    /// What runs and restores came to.
    pub(super) fn work(&self) -> &WorkMetrics {
        &self.work
    }
}
