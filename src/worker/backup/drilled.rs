//! What a restore drill found of a run, beside it in the store: retention goes by it, whatever becomes of the ledger.

use elysia_core::backup::ledger::DrillNote;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION, Manifest};
use elysia_engine::backup::ports::{Mode, Store};
use elysia_engine::backup::stamp;
use elysia_engine::backup::stored::{self, StoredError};
use elysia_engine::ports::PortError;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Instead of what is wrong, of a run that is encrypted.
const SEALED: &str =
    "something else was restored than was backed up; the run is encrypted, so the store does not say what";

/// `drilled.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Drilled {
    format: String,
    version: u32,
    #[serde(flatten)]
    note: DrillNote,
}

/// What was found of a run, if it was drilled. One that says nothing is not one that is not there.
pub(crate) async fn of_run<S: Store>(
    store: &S,
    run: &str,
) -> Result<Result<Option<DrillNote>, StoredError>, PortError> {
    match stored::read::<Drilled, _>(store, &layout::in_run(run, layout::DRILLED)).await {
        Ok(found) => Ok(Ok(found.map(|(drilled, _)| drilled.note))),
        Err(StoredError::Port(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// Notes it, for the owner of the prefix alone: who calls this has looked. Of an encrypted run it says nothing of an object,
/// which the servers' words may.
pub(crate) async fn record<S: Store>(store: &S, manifest: &Manifest, note: &DrillNote) -> Result<(), Failure> {
    let mut note = note.clone();
    if manifest.encryption.is_some() {
        let problems = note.collections.iter_mut().filter_map(|row| row.problem.as_mut());
        for problem in problems.chain(note.message.as_mut()) {
            SEALED.clone_into(problem);
        }
    }
    let drilled = Drilled { format: FORMAT.to_owned(), version: FORMAT_VERSION, note };
    let bytes = serde_json::to_vec_pretty(&drilled).map_err(|error| Failure::permanent(error.to_string()))?;
    let run = &drilled.note.run;
    let key = layout::in_run(run, layout::DRILLED);
    stamp::changing(store, run, store.put(&key, bytes.into(), Mode::Overwrite)).await?;
    Ok(())
}

/// Whether nothing older than a run may be retired for its drill: it failed, and no newer run has passed one since. They
/// come with the newest first.
pub(crate) fn stops<'a>(runs: impl IntoIterator<Item = Option<&'a DrillNote>>) -> Vec<bool> {
    let mut has_passed = false;
    let stops = |note: Option<&DrillNote>| {
        has_passed |= note.is_some_and(DrillNote::has_passed);
        !has_passed && note.is_some_and(DrillNote::has_failed)
    };
    runs.into_iter().map(stops).collect()
}

#[cfg(test)]
mod tests {
    use elysia_api::backup::DrillState;

    use super::*;

    fn note(state: DrillState) -> DrillNote {
        DrillNote {
            order: "o".to_owned(),
            run: "r".to_owned(),
            at: "2026-05-01T04:00:00Z".parse().unwrap(),
            state,
            objects: 3,
            overlap: Some(97),
            collections: Vec::new(),
            total_collections: 1,
            message: None,
        }
    }

    #[test]
    fn a_failed_drill_stops_retention_until_a_newer_run_passes_one() {
        use DrillState::{Failed, Passed};
        for (newest_first, stopped) in [
            (vec![None, None], vec![false, false]),
            (vec![None, Some(Failed), None], vec![false, true, false]),
            (vec![Some(Passed), Some(Failed)], vec![false, false]),
            (vec![Some(Failed), Some(Passed)], vec![true, false]),
        ] {
            let notes: Vec<_> = newest_first.iter().map(|state| state.map(note)).collect();
            assert_eq!(stops(notes.iter().map(Option::as_ref)), stopped, "{newest_first:?}");
        }
    }
}
