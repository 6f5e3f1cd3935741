//! How an order of a migration stands, by its worker's word and its Job.

use jiff::Timestamp;

use super::super::spec::CollectionSpec;
use super::{Journal, Look};
use crate::copy::ledger::{CopyLedger, Stage};
use crate::feed::JobState;
use crate::sight::Sight;

/// The name of the Job of an order.
pub fn job(object: &str, order: &str) -> String {
    format!("{object}-{order}")
}

/// How an order stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It could not be seen.
    Unseen(String),
    /// Nobody has begun it.
    NotBegun,
    /// It is under way: what it does.
    Running(String),
    /// The Job of another order still runs, and would write the same ledger.
    Disturbed(String),
    /// It is done; when.
    Done(Box<CopyLedger>),
    /// It ended before that: when, why, and whether another one would fail alike.
    Failed {
        /// When, as far as that is known.
        at: Option<Timestamp>,
        /// Why.
        why: String,
        /// Whether a person has to change something.
        is_permanent: bool,
    },
}

/// How the present order of a journal stands, from what its worker says and its Job.
pub fn standing(journal: &Journal, spec: &CollectionSpec, look: &Look) -> Standing {
    let order = journal.order(&spec.uid);
    let name = job(&spec.name, &order);
    let (jobs, ledger) = match (&look.jobs, &look.ledger) {
        (Sight::Seen(jobs), Sight::Seen(ledger)) => (jobs, ledger.as_ref()),
        (Sight::Unseen(blindness), _) | (_, Sight::Unseen(blindness)) => {
            return Standing::Unseen(blindness.message.clone());
        }
    };
    let job = jobs.iter().find(|job| job.name == name);
    // Also one whose Job is gone while its pod still writes.
    if let Some(running) = jobs.iter().find(|job| job.name != name && job.state == JobState::Active) {
        return Standing::Disturbed(running.name.clone());
    }
    let said = ledger.filter(|ledger| ledger.order == order && ledger.copy == journal.copy(&spec.uid));
    match (said, job) {
        (Some(ledger), _) if ledger.stage == Stage::Done => Standing::Done(Box::new(ledger.clone())),
        (said, Some(job)) if job.state == JobState::Active => Standing::Running(match said {
            Some(ledger) => {
                format!(
                    "Job {name} {}, pass {}: {} of {}",
                    ledger.stage.as_str(),
                    ledger.pass,
                    ledger.done,
                    ledger.total
                )
            }
            None => format!("Job {name} was made"),
        }),
        (Some(ledger), _) => Standing::Failed {
            at: Some(ledger.finished_at.unwrap_or(ledger.updated_at)),
            why: ledger.message.clone().unwrap_or_else(|| format!("Job {name} ended without a word")),
            is_permanent: ledger.is_permanent,
        },
        (None, Some(job)) => Standing::Failed {
            at: None,
            why: match &job.state {
                JobState::Failed(why) => why.clone(),
                _ => format!("Job {name} ended, and its ledger is gone"),
            },
            is_permanent: false,
        },
        (None, None) => Standing::NotBegun,
    }
}
