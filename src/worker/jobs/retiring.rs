//! What a policy's Job takes away once its run is there.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::backup::ledger::BackupLedger;
use elysia_core::backup::zone;
use elysia_core::retention::{Run, SKEW, decide, of_the_future};
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::retire::{RetireError, remove_run, remove_runs};
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
    let going: BTreeSet<&str> =
        decisions.iter().filter(|decision| decision.is_retired()).map(|decision| decision.id.as_str()).collect();
    let mut refused = None;
    for chain in chains(&runs, &going) {
        if hands.stop.is_set() {
            return Err(Failure { message: "stopped as asked".to_owned(), is_permanent: false });
        }
        let mut gone = Vec::new();
        let removed = remove_runs(hands.store, &chain, owner, &mut |run, _| gone.push(run.to_owned())).await;
        shelf.runs.retain(|known| !gone.contains(&known.manifest.run));
        tell(ledger, |attempt| attempt.retired.extend(gone));
        refused = refused.or(refusal(removed)?);
    }
    let deadline = i64::try_from(job.deadline_seconds).map_or(SignedDuration::MAX, SignedDuration::from_secs);
    let old = deadline.saturating_add(ABANDONED_AFTER);
    for (run, since) in std::mem::take(&mut shelf.unfinished) {
        if now.duration_since(since) > old && is_unfinished(hands.store, &run).await? {
            let removed = remove_run(hands.store, &run, owner).await;
            if removed.is_ok() {
                info!(run, "removed what was begun and never finished");
            }
            refused = refused.or(refusal(removed)?);
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Runs that go, those together that build on one another: the engine takes them away from the newest on, and none alone on
/// which another builds. The oldest first: whatever stops this, the newer ones are there.
fn chains(runs: &[Run], going: &BTreeSet<&str>) -> Vec<Vec<String>> {
    let mut chains: Vec<(Timestamp, BTreeSet<&str>)> = Vec::new();
    for run in runs.iter().filter(|run| going.contains(run.id.as_str())) {
        let mut newest = run.finished_at;
        let named = run.bases.iter().chain([&run.id]).map(String::as_str);
        let mut chain: BTreeSet<&str> = named.filter(|run| going.contains(run)).collect();
        chains.retain(|(at, other)| {
            let is_apart = chain.is_disjoint(other);
            if !is_apart {
                newest = newest.max(*at);
                chain.extend(other);
            }
            is_apart
        });
        chains.push((newest, chain));
    }
    chains.sort();
    chains.into_iter().map(|(_, chain)| chain.into_iter().map(str::to_owned).collect()).collect()
}

/// What keeps a run from going that keeps no other; anything else ends retirement.
fn refusal(removed: Result<u64, RetireError>) -> Result<Option<Failure>, Failure> {
    match removed {
        Ok(_) => Ok(None),
        Err(error @ (RetireError::Needed { .. } | RetireError::NoRun(_))) => Ok(Some(error.into())),
        Err(
            error @ (RetireError::NotOwner { .. }
            | RetireError::NoOwner
            | RetireError::NoRunId(_)
            | RetireError::Unreadable { .. }
            | RetireError::Stored(_)
            | RetireError::Port(_)),
        ) => Err(error.into()),
    }
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
