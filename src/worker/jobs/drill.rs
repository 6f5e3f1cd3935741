//! The Job of a restore drill, and what every Job of a policy does about the leavings of one that was cut off.
//!
//! ```text
//! sweep: what the ledger names in this cluster, if it bears the mark ─▶ deleted, taken off the ledger
//! each collection of the newest good run:
//!   ledger names the scratch collection ─▶ restored, compared ─▶ deleted ─▶ taken off the ledger
//! the verdict into the store (drilled.json), then into the ledger
//! ```
//!
//! Killed at any point, the next attempt sweeps and begins again: what counts is noted when all of it is over.

use std::sync::atomic::Ordering;

use elysia_api::backup::DrillState;
use elysia_core::backup::ledger::{
    BackupLedger, DrillNote, DrilledCollection, MOST_SCRATCH, ScratchNote, Stage, TOLD_COLLECTIONS, UndoneDrill,
};
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::restore::Progress;
use elysia_engine::ports::Clock as _;
use jiff::Timestamp;
use tracing::{info, warn};

use super::backup::{Hands, TOLD_EVERY, tell, trouble};
use super::board::{Board, save};
use super::judged::{Known, Shelf};
use super::work::{BackupJob, DrillWork};
use crate::worker::backup::drill::{Closeness, Ground, Rehearsal, Removed, Scratch, remove};
use crate::worker::backup::{Failure, drilled, retry};
use crate::worker::clock::SystemClock;

/// The verdict over all collections, the worst first.
pub(crate) fn verdict(order: &str, run: &str, at: Timestamp, mut rows: Vec<DrilledCollection>) -> DrillNote {
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let objects = rows.iter().fold(0, |sum: i64, row| sum.saturating_add(row.found));
    let overlap = rows.iter().filter_map(|row| row.overlap).min();
    // All have one digit before the point and six behind it.
    let distance = rows.iter().filter_map(|row| row.distance.clone()).max();
    let missing = |row: &DrilledCollection| row.wanted.abs_diff(row.found);
    rows.sort_by(|one, other| {
        let worse = |row: &DrilledCollection| (row.problem.is_some(), missing(row), row.differing);
        worse(other).cmp(&worse(one)).then_with(|| one.name.cmp(&other.name))
    });
    let bad = rows.iter().filter(|row| row.problem.is_some()).count();
    let message = rows.first().and_then(|row| Some((row, row.problem.as_ref()?))).map(|(row, problem)| {
        let more = if bad > 1 { format!("; and {} of {total} collections more", bad - 1) } else { String::new() };
        format!("{}: {problem}{more}", row.name)
    });
    rows.truncate(TOLD_COLLECTIONS);
    DrillNote {
        order: order.to_owned(),
        run: run.to_owned(),
        at,
        state: if bad == 0 { DrillState::Passed } else { DrillState::Failed },
        objects,
        overlap,
        distance,
        collections: rows,
        total_collections: total,
        message,
    }
}

/// The cluster that the Job works with.
fn here(job: &BackupJob) -> &str {
    job.drill.as_ref().map_or(&job.backup.owner.cluster, |drill| &drill.cluster)
}

fn scratch_of(job: &BackupJob, note: &ScratchNote) -> Scratch {
    Scratch { name: note.name.clone(), policy: job.backup.owner.policy.clone(), order: note.order.clone() }
}

/// Deletes what a drill that was cut off left in this cluster: what the ledger names, and of that what bears the drill's
/// own mark. Only a drill must not go on before that is done.
pub(super) async fn sweep<S: Store, B: Board, G: Ground>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ground: &G,
    ledger: &mut BackupLedger,
) -> Result<(), Failure> {
    let is_here = |note: &&ScratchNote| note.cluster == here(job);
    let left: Vec<ScratchNote> = ledger.scratch.iter().filter(is_here).cloned().collect();
    for note in left {
        match remove(ground, &scratch_of(job, &note), retry(job.backup.patience)).await {
            Ok(removed) => {
                ledger.scratch.retain(|other| *other != note);
                match removed {
                    Removed::Nothing => {}
                    Removed::Deleted => info!(collection = note.name, "deleted what a drill had left"),
                    Removed::Strange => stays(ledger, &note.name),
                }
                save(hands.board, ledger).await?;
            }
            Err(failure) if job.drill.is_some() => return Err(failure),
            Err(failure) => {
                // The next Job deletes it.
                warn!(%failure, collection = note.name, "failed to delete what a drill had left");
                trouble(ledger, format!("{}, left by a drill, was not deleted: {failure}", note.name));
            }
        }
    }
    Ok(())
}

/// Somebody else's collection has the name of a scratch collection.
fn stays(ledger: &mut BackupLedger, name: &str) {
    trouble(ledger, format!("collection {name} is there and is no drill's: it stays"));
}

/// Drills the newest good run.
pub(super) async fn drill<S: Store, B: Board, G: Ground>(
    job: &BackupJob,
    work: &DrillWork,
    hands: &Hands<'_, S, B>,
    ground: &G,
    ledger: &mut BackupLedger,
    shelf: &mut Shelf,
) -> Result<(), Failure> {
    // Of a run without a collection nothing could come back otherwise.
    let is_fit = |known: &&mut Known| !known.is_suspect() && !known.manifest.collections.is_empty();
    let Some(known) = shelf.runs.iter_mut().find(is_fit) else {
        return Err(Failure::permanent("there is no good run to drill; see: kubectl elysia backup ls"));
    };
    let run = known.manifest.run.clone();
    tell(ledger, |attempt| (attempt.stage, attempt.run) = (Stage::Drilling, Some(run.clone())));
    save(hands.board, ledger).await?;
    let progress = Progress::default();
    let rehearsal = Rehearsal {
        store: hands.store,
        ground,
        manifest: &known.manifest,
        key: hands.key,
        factor: work.factor.map(u64::from),
        closeness: Closeness {
            sample: u64::from(work.sample),
            searches: usize::try_from(work.searches).unwrap_or(usize::MAX),
            minimum_overlap: work.minimum_overlap,
        },
        retry: retry(job.backup.patience),
        stop: hands.stop,
        progress: &progress,
    };
    let mut rows = Vec::new();
    for note in &known.manifest.collections {
        if hands.stop.is_set() {
            return Err(Failure { message: "stopped as asked".to_owned(), is_permanent: false });
        }
        rows.push(collection(job, work, hands, &rehearsal, ledger, &note.name).await?);
    }
    let note = verdict(&job.order, &run, SystemClock.now(), rows);
    info!(run, state = ?note.state, objects = note.objects, "drilled");
    drilled::record(hands.store, &known.manifest, &note).await?;
    known.drilled = Some(note.clone());
    (ledger.last_drill, ledger.undone_drill) = (Some(note), None);
    Ok(())
}

/// One collection, with its scratch collection in the ledger for as long as it may be there.
async fn collection<S: Store, B: Board, G: Ground>(
    job: &BackupJob,
    work: &DrillWork,
    hands: &Hands<'_, S, B>,
    rehearsal: &Rehearsal<'_, S, G>,
    ledger: &mut BackupLedger,
    name: &str,
) -> Result<DrilledCollection, Failure> {
    let scratch = Scratch::new(name, &job.backup.owner.policy, &job.order);
    let note = ScratchNote { name: scratch.name.clone(), order: scratch.order.clone(), cluster: work.cluster.clone() };
    ledger.scratch.push(note.clone());
    while ledger.scratch.len() > MOST_SCRATCH {
        let forgotten = ledger.scratch.remove(0);
        warn!(collection = forgotten.name, cluster = forgotten.cluster, "forgotten: its cluster was never asked again");
    }
    save(hands.board, ledger).await?;
    let found = {
        let looking = rehearsal.collection(name, &scratch);
        tokio::pin!(looking);
        loop {
            tokio::select! {
                done = &mut looking => break done,
                () = tokio::time::sleep(TOLD_EVERY) => {
                    let objects = rehearsal.progress.objects.load(Ordering::Relaxed);
                    tell(ledger, |attempt| attempt.objects = i64::try_from(objects).unwrap_or(i64::MAX));
                    if let Err(error) = save(hands.board, ledger).await {
                        warn!(%error, "the ledger does not say how far the drill is");
                    }
                }
            }
        }
    };
    match remove(rehearsal.ground, &scratch, rehearsal.retry).await {
        Ok(removed) => {
            ledger.scratch.retain(|other| *other != note);
            if removed == Removed::Strange && found.is_ok() {
                stays(ledger, &scratch.name);
            }
            let saved = save(hands.board, ledger).await;
            let found = found?;
            saved.map(|()| found)
        }
        Err(failure) => {
            // The ledger names it still: the next Job deletes it.
            let found = found?;
            warn!(%failure, collection = found.name, "failed to delete a scratch collection");
            Err(failure)
        }
    }
}

/// Notes that a drill could not be done.
pub(super) fn undone(ledger: &mut BackupLedger, order: &str, message: &str) {
    let run = ledger.attempt.as_ref().and_then(|attempt| attempt.run.clone());
    let (order, message) = (order.to_owned(), message.to_owned());
    ledger.undone_drill = Some(UndoneDrill { order, run, at: SystemClock.now(), message });
}

/// The worker before this one may have died in a drill without a word.
pub(super) fn abandoned(ledger: &mut BackupLedger, order: &str) {
    let Some(attempt) = &ledger.attempt else { return };
    if attempt.stage == Stage::Drilling && attempt.order != order {
        ledger.undone_drill = Some(UndoneDrill {
            order: attempt.order.clone(),
            run: attempt.run.clone(),
            at: attempt.updated_at,
            message: "its Job ended without a word".to_owned(),
        });
    }
}

/// What the store says of drills: the last of those that stop retention, and without one the last of all. So a failed one is
/// told until that run or a newer one passes, whatever older runs are drilled meanwhile. A verdict outlives the run that it
/// is of, unless that was a bad one and a person took the run away.
pub(super) fn summarize(ledger: &mut BackupLedger, shelf: &Shelf) {
    let told = ledger.last_drill.take();
    let is_there = |drill: &DrillNote| shelf.runs.iter().any(|known| known.manifest.run == drill.run);
    let told = told.filter(|drill| drill.has_passed() || is_there(drill));
    // Where the store has lost its note of a run, the ledger's is as good.
    let of_run =
        |known: &Known| known.drilled.clone().or_else(|| told.clone().filter(|drill| drill.run == known.manifest.run));
    let notes: Vec<Option<DrillNote>> = shelf.runs.iter().map(of_run).collect();
    let stops = drilled::stops(notes.iter().map(Option::as_ref));
    let stopping = notes.iter().zip(stops).filter_map(|(note, stops)| note.as_ref().filter(|_| stops));
    let stopping = stopping.max_by_key(|drill| drill.at).cloned();
    let last = notes.into_iter().flatten().chain(told).max_by_key(|drill| drill.at);
    // A drill was done since, be it of another run.
    let is_older = |undone: &UndoneDrill| last.as_ref().is_some_and(|last| last.at >= undone.at);
    if ledger.undone_drill.as_ref().is_some_and(is_older) {
        ledger.undone_drill = None;
    }
    ledger.last_drill = stopping.or(last);
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::judged;
    use super::super::tests::{Bench, owner, write};
    use super::*;

    /// What a drill found of a run at this time.
    pub(in super::super) fn drill_note(run: &str, at: &str, state: DrillState) -> DrillNote {
        let row = DrilledCollection {
            problem: (state == DrillState::Failed).then(|| "it lacks objects".to_owned()),
            ..DrilledCollection::default()
        };
        verdict(&format!("order of {at}"), run, at.parse().unwrap(), vec![row])
    }

    #[tokio::test]
    async fn a_failed_drill_yields_to_a_good_one_of_that_run_or_a_newer_one_alone() {
        use DrillState::{Failed, Passed};
        let bench = Bench::new();
        let runs = ["20260501T030000Z-aaaa", "20260502T030000Z-bbbb", "20260503T030000Z-cccc"];
        for run in runs {
            write(&bench.store, run, &[("Articles", 9)]).await;
        }
        // The note of a run in the store, the ledger's, and the one that is told then: the run, the hour, what was found.
        for (what, store, told, expected) in [
            ("nothing", vec![], None, None),
            ("one", vec![(1, 4, Failed)], None, Some((1, 4, Failed))),
            ("an older run survived since", vec![(1, 4, Failed), (0, 5, Passed)], None, Some((1, 4, Failed))),
            ("a newer run did", vec![(1, 4, Failed), (2, 5, Passed)], None, Some((2, 5, Passed))),
            ("the run itself did", vec![(1, 5, Passed)], Some((1, 4, Failed)), Some((1, 5, Passed))),
            ("the store has lost it", vec![(0, 5, Passed)], Some((1, 4, Failed)), Some((1, 4, Failed))),
            ("two failed", vec![(0, 5, Failed), (1, 4, Failed)], None, Some((0, 5, Failed))),
            ("an older run failed since", vec![(2, 4, Passed), (1, 5, Failed)], None, Some((1, 5, Failed))),
            ("all survived", vec![(2, 4, Passed), (0, 5, Passed)], None, Some((0, 5, Passed))),
        ] {
            let note = |(run, hour, state): (usize, u32, DrillState)| {
                drill_note(runs[run], &format!("2026-05-09T0{hour}:00:00Z"), state)
            };
            let mut shelf = judged::shelf(&bench.store, &owner()).await.unwrap();
            for drilled in store.into_iter().map(note) {
                let known = shelf.runs.iter_mut().find(|known| known.manifest.run == drilled.run).unwrap();
                known.drilled = Some(drilled);
            }
            let undone = UndoneDrill {
                order: "o".to_owned(),
                run: None,
                at: "2026-05-09T04:30:00Z".parse().unwrap(),
                message: "no room".to_owned(),
            };
            let is_last = shelf.runs.iter().filter_map(|known| known.drilled.as_ref()).all(|it| it.at < undone.at);
            let mut ledger =
                BackupLedger { last_drill: told.map(note), undone_drill: Some(undone), ..BackupLedger::default() };
            summarize(&mut ledger, &shelf);
            assert_eq!(ledger.last_drill, expected.map(note), "{what}");
            assert_eq!(ledger.undone_drill.is_some(), is_last, "{what}");
        }
    }
}
