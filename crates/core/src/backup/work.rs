//! How a piece of work stands, a run or a drill: what its worker said of it, and what its Job says.

use super::ledger::{Attempt, Stage};
use super::{BackupSpec, Observed, Step};
use crate::condition;
use crate::feed::{FailedRun, JobState};

/// How a piece of work stands.
pub(super) enum Work<'a> {
    /// It is done, as its worker said.
    Done,
    /// It failed, as its worker said; why, if it said that. The Job may still be there.
    Failed { why: Option<&'a str>, has_job: bool },
    /// It failed, and only its Job says so, or what was noted of one. The step notes it, where that is still to be done.
    Lost { why: &'a str, step: Option<Step> },
    /// A Job is at it. The step forgets one that is over and whose worker left no word: its ledger was lost, and what it did
    /// is in the store, where the next Job of this name finds it.
    UnderWay { step: Option<Step> },
    /// Nobody is at it.
    Absent,
}

/// How the work of this order stands; `own` is what its worker wrote.
pub(super) fn work<'a>(spec: &BackupSpec, observed: &'a Observed, own: Option<&'a Attempt>, order: &str) -> Work<'a> {
    let name = spec.job(order);
    let job = observed.jobs.iter().find(|job| job.name == name).map(|job| &job.state);
    let noted = noted(observed, order);
    match (own.map(|own| own.stage), job) {
        (Some(Stage::Done), None | Some(JobState::Succeeded | JobState::Failed(_))) => Work::Done,
        (Some(Stage::Failed), None | Some(JobState::Failed(_))) => {
            Work::Failed { why: own.and_then(|own| own.message.as_deref()), has_job: job.is_some() }
        }
        (_, Some(JobState::Failed(why))) => {
            let note = || FailedRun { run: order.to_owned(), message: condition::clipped(why) };
            let is_to_be_noted = observed.keeps_notes && noted.is_none();
            Work::Lost { why, step: is_to_be_noted.then(|| Step::NoteFailure(note())) }
        }
        (_, Some(JobState::Succeeded)) => Work::UnderWay { step: Some(Step::ForgetJob { name }) },
        (_, Some(JobState::Active)) => Work::UnderWay { step: None },
        (_, None) => noted.map_or(Work::Absent, |why| Work::Lost { why, step: None }),
    }
}

/// Why this work failed, if only its Job said so.
pub(super) fn noted<'a>(observed: &'a Observed, order: &str) -> Option<&'a str> {
    observed.failed.as_ref().filter(|failed| failed.run == order).map(|failed| failed.message.as_str())
}
