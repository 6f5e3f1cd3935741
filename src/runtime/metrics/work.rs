//! Gauges of what the workers of backups and restores took, from their ledgers, and counters of how their work ended.

use elysia_core::backup::happening as backup;
use elysia_core::profile::WorkProfile;
use elysia_core::restore::happening as restore;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::backup::Labels;
use super::families::{Families, Made, set};

/// How runs of backups end.
const RUNS: [&str; 3] = ["succeeded", "suspect", "failed"];
/// How restores end.
const RESTORES: [&str; 2] = ["succeeded", "failed"];

/// What of a profile is told under which word of the third label.
struct Words {
    reading: &'static str,
    converting: &'static str,
    writing: &'static str,
}

const OF_BACKUP: Words = Words { reading: "reading", converting: "encoding", writing: "writing" };
const OF_RESTORE: Words = Words { reading: "fetching", converting: "decoding", writing: "writing" };

/// What the workers of one kind took.
struct ProfileGauges {
    bytes: IntGaugeVec,
    seconds: GaugeVec,
    memory: IntGaugeVec,
    words: Words,
}

pub(super) struct WorkMetrics {
    backups: ProfileGauges,
    restores: ProfileGauges,
    runs_ended: IntCounterVec,
    restores_ended: IntCounterVec,
}

impl WorkMetrics {
    pub(super) fn make(make: &mut Families) -> Made<Self> {
        let with = |label| ["namespace", "name", label];
        let backups = ProfileGauges {
            bytes: make.gauge(
                "elysia_backup_moved_bytes",
                "Bytes that a backup's present or last run took, by read (of objects, about) and written (of files).",
                &with("direction"),
            )?,
            seconds: make.float_gauge(
                "elysia_backup_stage_seconds",
                "Time that a backup's present or last run took, of all lanes together, by reading, encoding and writing.",
                &with("stage"),
            )?,
            memory: make.gauge(
                "elysia_backup_worker_memory_bytes",
                "Memory of the worker of a backup's present or last run, by peak and limit.",
                &with("which"),
            )?,
            words: OF_BACKUP,
        };
        let restores = ProfileGauges {
            bytes: make.gauge(
                "elysia_restore_moved_bytes",
                "Bytes that a restore's worker took, by read (of files) and written (of objects, about).",
                &with("direction"),
            )?,
            seconds: make.float_gauge(
                "elysia_restore_stage_seconds",
                "Time that a restore's worker took, of all batches together, by fetching, decoding and writing.",
                &with("stage"),
            )?,
            memory: make.gauge(
                "elysia_restore_worker_memory_bytes",
                "Memory of a restore's worker, by peak and limit.",
                &with("which"),
            )?,
            words: OF_RESTORE,
        };
        let runs_ended = make.counter(
            "elysia_backup_runs_ended_total",
            "Runs of backups that ended, by succeeded, suspect (also those found damaged) and failed.",
            &["outcome"],
        )?;
        let restores_ended =
            make.counter("elysia_restores_ended_total", "Restores that ended, by succeeded and failed.", &["outcome"])?;
        // There before they count: the first one is seen as an increase.
        for (counter, outcomes) in [(&runs_ended, RUNS.as_slice()), (&restores_ended, RESTORES.as_slice())] {
            for outcome in outcomes {
                counter.with_label_values(&[outcome]);
            }
        }
        Ok(Self { backups, restores, runs_ended, restores_ended })
    }

    pub(super) fn set_backup(&self, labels: Labels<'_>, profile: Option<&WorkProfile>) {
        self.backups.set(labels, profile);
    }

    pub(super) fn set_restore(&self, labels: Labels<'_>, profile: Option<&WorkProfile>) {
        self.restores.set(labels, profile);
    }

    pub(super) fn backups_happened(&self, happenings: &[backup::Happening]) {
        use backup::Happened;
        for happening in happenings {
            let outcome = match happening.what {
                Happened::BackupSucceeded => "succeeded",
                Happened::BackupSuspect | Happened::VerificationFailed => "suspect",
                Happened::BackupFailed => "failed",
                Happened::BackupStarted
                | Happened::CollectionsLeftOut
                | Happened::DrillPassed
                | Happened::DrillFailed
                | Happened::DrillUnfinished
                | Happened::Retired => continue,
            };
            self.runs_ended.with_label_values(&[outcome]).inc();
        }
    }

    pub(super) fn restores_happened(&self, happenings: &[restore::Happening]) {
        use restore::Happened;
        for happening in happenings {
            let outcome = match happening.what {
                Happened::RestoreSucceeded => "succeeded",
                Happened::RestoreFailed => "failed",
                Happened::RestoreStarted | Happened::RunsPassedOver | Happened::NeedsApproval => continue,
            };
            self.restores_ended.with_label_values(&[outcome]).inc();
        }
    }
}

impl ProfileGauges {
    fn set(&self, [namespace, name]: Labels<'_>, profile: Option<&WorkProfile>) {
        let of = |read: fn(&WorkProfile) -> i64| profile.map(read);
        set(&self.bytes, &[namespace, name, "read"], of(|profile| profile.read_bytes));
        set(&self.bytes, &[namespace, name, "written"], of(|profile| profile.written_bytes));
        let Words { reading, converting, writing } = self.words;
        for (word, milliseconds) in [
            (reading, of(|profile| profile.reading_milliseconds)),
            (converting, of(|profile| profile.converting_milliseconds)),
            (writing, of(|profile| profile.writing_milliseconds)),
        ] {
            let labels = [namespace, name, word];
            match milliseconds {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of a bounded work")]
                Some(milliseconds) => self.seconds.with_label_values(&labels).set(milliseconds as f64 / 1000.0),
                // One that was never set is not there to be removed, which is no error.
                None => drop(self.seconds.remove_label_values(&labels)),
            }
        }
        set(&self.memory, &[namespace, name, "peak"], profile.and_then(|profile| profile.peak_memory_bytes));
        set(&self.memory, &[namespace, name, "limit"], profile.and_then(|profile| profile.memory_limit_bytes));
    }
}
