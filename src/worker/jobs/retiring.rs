//! What a policy's Job takes away once its run is there.

use std::collections::BTreeMap;

use elysia_core::backup::ledger::BackupLedger;
use elysia_core::backup::zone;
use elysia_core::retention::{Run, SKEW, decide, of_the_future};
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::retire::remove_run;
use elysia_engine::ports::Clock as _;
use jiff::{SignedDuration, Timestamp};
use tracing::info;

use super::backup::{Hands, is_of_order, tell};
use super::board::Board;
use super::judged::{self, Shelf};
use super::work::BackupJob;
use crate::worker::backup::{Failure, drilled, runs_in_use};
use crate::worker::clock::SystemClock;

/// How long after its deadline the beginning of a run is taken for abandoned: whoever wrote it has ended itself by then,
/// whatever its node's clock says.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Takes away what no rule keeps, and what was begun so long ago that nobody writes it any more.
pub(super) async fn retired<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ledger: &mut BackupLedger,
    shelf: &mut Shelf,
) -> Result<(), Failure> {
    let owner = &job.backup.owner;
    let now = SystemClock.now();
    if let Some((run, reason)) = shelf.unreadable.first() {
        // Whatever it holds may be nowhere else, and what it builds on nobody knows.
        let next = "mend it, or remove it with `kubectl elysia backup rm`";
        return Err(Failure::permanent(format!("run {run} cannot be read, so nothing is retired; {next}: {reason}")));
    }
    if let Some(problem) = clocks(job.now, ledger.attempt.as_ref().map(|attempt| attempt.started_at)) {
        return Err(Failure::permanent(problem));
    }
    let mut in_use = runs_in_use(hands.store).await?;
    in_use.extend(job.in_use.iter().cloned());
    let is_own = |run: &str| is_of_order(job, run);
    let stops: BTreeMap<&str, bool> = shelf
        .runs
        .iter()
        .map(|known| known.manifest.run.as_str())
        .zip(drilled::stops(shelf.runs.iter().map(|known| known.drilled.as_ref())))
        .collect();
    let holding: Vec<_> = shelf.runs.iter().map(judged::Known::holding).collect();
    let (lacking, last_holders) = (judged::lacking(&holding), judged::last_holders(&holding));
    let runs: Vec<Run> = shelf
        .runs
        .iter()
        .map(|known| Run {
            id: known.manifest.run.clone(),
            finished_at: known.manifest.finished_at,
            is_suspect: known.is_suspect()
                || lacking.contains_key(&known.manifest.run)
                || stops.get(known.manifest.run.as_str()) == Some(&true),
            is_verified: known.is_verified() && shelf.stands_in(known),
            is_in_use: in_use.contains(&known.manifest.run) || is_own(&known.manifest.run),
            is_last_holder: last_holders.contains(&known.manifest.run),
            bases: known.manifest.base.iter().map(|base| base.run.clone()).collect(),
        })
        .collect();
    if let Some(young) = of_the_future(&runs, now) {
        let message =
            format!("run {} is of {}, and the clock here says {now}: mend the clocks", young.id, young.finished_at);
        return Err(Failure::permanent(message));
    }
    let decisions = decide(&runs, &job.retention.rules(), &zone(job.zone.as_deref()), now);
    // The oldest first: whatever stops this, the newer ones are there.
    for decision in decisions.iter().rev().filter(|decision| decision.is_retired()) {
        if hands.stop.is_set() {
            return Err(Failure { message: "stopped as asked".to_owned(), is_permanent: false });
        }
        remove_run(hands.store, &decision.id, owner).await?;
        shelf.runs.retain(|known| known.manifest.run != decision.id);
        tell(ledger, |attempt| attempt.retired.push(decision.id.clone()));
    }
    let deadline = i64::try_from(job.deadline_seconds).map_or(SignedDuration::MAX, SignedDuration::from_secs);
    let old = deadline.saturating_add(ABANDONED_AFTER);
    for (run, since) in std::mem::take(&mut shelf.unfinished) {
        if now.duration_since(since) > old && is_unfinished(hands.store, &run).await? {
            remove_run(hands.store, &run, owner).await?;
            info!(run, "removed what was begun and never finished");
        }
    }
    Ok(())
}

/// Why runs are not told apart by their age: the worker began long after the operator made its Job, or before it. Either its
/// pod waited, or one of the two clocks is wrong, and what this worker wrote has a wrong time.
fn clocks(told: Option<Timestamp>, begun: Option<Timestamp>) -> Option<String> {
    let (told, begun) = (told?, begun?);
    (begun.duration_since(told).abs() > SKEW).then(|| {
        format!(
            "the operator made this Job at {told} by its clock, and the worker began at {begun} by its own: either its pod waited so long, or one of the clocks is wrong; the next run retires"
        )
    })
}

/// Looked at again: its writer may have finished it meanwhile.
async fn is_unfinished<S: Store>(store: &S, run: &str) -> Result<bool, Failure> {
    Ok(matches!(catalogue::look(store, run).await?, State::Unfinished(_)))
}
