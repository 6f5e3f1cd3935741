//! The run that `latest` means to a restore: whoever says so has looked at none, and wants what the newest good backup holds.

use elysia_api::restore::{PassedOverRun, PassedOverRuns};
use elysia_core::backup::ledger::DrillNote;
use elysia_core::condition::clipped_to_bytes;
use elysia_core::retention::SKEW;
use elysia_core::retention::breadth::Breadth;
use elysia_engine::backup::catalogue;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::Manifest;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::stored::StoredError;
use jiff::Timestamp;

use super::drilled;
use super::failure::Failure;
use crate::worker::jobs::judged::{self, Judged};

/// Runs that a message names: whoever wants all of them lists the store.
const NAMED: usize = 5;

/// Bytes of what is said of one of them: all of them fit into a status.
const WHY_BYTES: usize = 300;

/// The run that is meant.
#[derive(Debug)]
pub(crate) struct Latest {
    /// It.
    pub(crate) manifest: Manifest,
    /// Newer ones, and why they were passed over.
    pub(crate) passed_over: PassedOverRuns,
}

/// The newest run that is not Suspect, damaged, failed by a drill or of the future. One whose manifest cannot be read is damaged;
/// one that a newer program wrote is not, and ends the search: it would be there for whoever can read it. Where it holds less than an older good one
/// nobody but a person knows which is meant.
pub(crate) async fn latest<S: Store>(store: &S, now: Timestamp) -> Result<Latest, Failure> {
    // Their ids begin with their times.
    let mut runs = store.folders(layout::RUNS).await?;
    runs.sort_by(|one, other| other.cmp(one));
    let mut passed_over = PassedOverRuns::default();
    let mut narrow: Option<Latest> = None;
    for run in runs.iter().filter(|run| layout::is_run_id(run)) {
        let manifest = match catalogue::find(store, run).await {
            Ok(None) => continue,
            Ok(Some(manifest)) => match problem(store, &manifest, now).await? {
                None => manifest,
                Some(problem) => {
                    pass(&mut passed_over, run, &problem);
                    continue;
                }
            },
            Err(error @ (StoredError::Unreadable { .. } | StoredError::TooLarge { .. })) => {
                pass(&mut passed_over, run, &format!("it is damaged: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let breadth = judged::breadth(&manifest);
        match &narrow {
            Some(newer) if breadth > judged::breadth(&newer.manifest) => {
                let newer = &newer.manifest;
                return Err(Failure::permanent(format!(
                    "run {}, the newest good one, holds {}, and run {run} before it {}: name the run that is meant",
                    newer.run,
                    words(judged::breadth(newer)),
                    words(breadth)
                )));
            }
            Some(_) => {}
            None if breadth == Breadth::Everything => return Ok(Latest { manifest, passed_over }),
            None => narrow = Some(Latest { manifest, passed_over: std::mem::take(&mut passed_over) }),
        }
    }
    if let Some(latest) = narrow {
        return Ok(latest);
    }
    let see = "see: kubectl elysia backup ls";
    Err(Failure::permanent(if passed_over.total == 0 {
        format!("the store has no run that is complete; {see}")
    } else {
        format!(
            "the store has no good run; {}. Name a run to restore that one all the same; {see}",
            named(&passed_over).join("; ")
        )
    }))
}

fn pass(passed_over: &mut PassedOverRuns, run: &str, why: &str) {
    passed_over.total += 1;
    if passed_over.runs.len() < NAMED {
        passed_over.runs.push(PassedOverRun { run: run.to_owned(), why: clipped_to_bytes(why, WHY_BYTES) });
    }
}

/// In words, one for each that is named.
pub(crate) fn named(passed_over: &PassedOverRuns) -> Vec<String> {
    passed_over.runs.iter().map(|PassedOverRun { run, why }| format!("run {run}: {why}")).collect()
}

/// Why a run is not taken for one that anybody would restore unseen.
async fn problem<S: Store>(store: &S, manifest: &Manifest, now: Timestamp) -> Result<Option<String>, Failure> {
    if manifest.finished_at.duration_since(now) > SKEW {
        return Ok(Some(format!("it is of {}, and the clock here says {now}", manifest.finished_at)));
    }
    match judged::of_run(store, &manifest.run).await? {
        Err(error) => return Ok(Some(crate::worker::chain(&error))),
        Ok(Some(judged)) if judged.is_suspect() => return Ok(Some(suspicion(&judged))),
        Ok(_) => {}
    }
    Ok(match drilled::of_run(store, &manifest.run).await? {
        Err(error) => Some(crate::worker::chain(&error)),
        Ok(drilled) => drilled.filter(DrillNote::has_failed).map(|drilled| {
            let why = drilled.message.as_deref().unwrap_or("something else was restored");
            format!("its restore drill failed: {why}")
        }),
    })
}

fn suspicion(judged: &Judged) -> String {
    let word = if judged.is_damaged { "damaged" } else { "Suspect" };
    format!("it is {word}: {}", judged.suspect.first().map_or("nobody says why", String::as_str))
}

fn words(breadth: Breadth) -> &'static str {
    match breadth {
        Breadth::Schema => "no objects",
        Breadth::Filtered => "what a filter chose",
        Breadth::Everything => "everything",
    }
}
