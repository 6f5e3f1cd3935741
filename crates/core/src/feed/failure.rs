//! Runs that failed and did not say so themselves: only the Job did, and its record is cleared away after a while.

use serde::{Deserialize, Serialize};

use super::{FeedSpec, LedgerView, Observed, Plan, Step, failed};
use crate::condition;

/// A run whose Job failed. The Job's record is cleared away after a while, and the run is not to be made again by that.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct FailedRun {
    /// The run's id.
    pub run: String,
    /// Why, as the Job had it.
    pub message: String,
}

/// Why this run failed, if only its Job said so.
pub(super) fn noted<'a>(observed: &'a Observed, run: &str) -> Option<&'a str> {
    observed.failed.as_ref().filter(|failed| failed.run == run).map(|failed| failed.message.as_str())
}

/// A run whose Job failed before its worker wrote so: it is noted beside the ledger.
pub(super) fn failed_unsaid(
    spec: &FeedSpec,
    observed: &Observed,
    name: &str,
    ledger: Option<&LedgerView>,
    run: &str,
    message: &str,
) -> Plan {
    let mut plan = failed(spec, name, ledger, run, message);
    if observed.keeps_notes && noted(observed, run).is_none() {
        let message = condition::clipped(message);
        plan.step = Some(Step::NoteFailure(FailedRun { run: run.to_owned(), message }));
    }
    plan
}
