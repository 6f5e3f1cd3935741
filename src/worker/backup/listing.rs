//! Lists of runs: what their owner noted of them, as far as that is stamped, and the runs themselves otherwise.
//!
//! ```text
//! folders of runs ┐
//! stamps          ┼─▶ stamped, and as the stamp says ─▶ the entry
//! catalogue.json  ┘   anything else                  ─▶ manifest.json, verified.json, judged.json, drilled.json
//! ```
//!
//! Only people's lists go by it. What deletes, restores or compares reads the runs ([`super::runs`]), and takes no [`Row`].

use std::collections::BTreeMap;

use elysia_engine::backup::catalogue::{self, MOST_RUNS};
use elysia_engine::backup::layout::CATALOGUE_FILE;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION, Owner};
use elysia_engine::backup::ports::{Mode, Store};
use elysia_engine::backup::{retire, stamp, stored};
use elysia_engine::checkpoint::Digest;
use elysia_engine::ports::PortError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::runs::{RunState, RunSummary, read};

/// Bytes of `catalogue.json`: ten thousand runs of one collection, or a thousand of a hundred. What somebody put there may
/// take twenty times as much memory, and a worker has 256 MiB. Runs beyond are read, the oldest.
const MOST_BYTES: u64 = 4 << 20;

/// Stamps that are listed: one for each run, and some that somebody else put there.
const MOST_STAMPS: usize = 2 * MOST_RUNS;

/// Runs that are stamped at once: each takes some small requests.
const AT_ONCE: usize = 32;

type Stamps = BTreeMap<String, Vec<String>>;

/// A run as it is listed. Nothing is decided by it: it may be hearsay.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Row(RunSummary);

impl Row {
    /// What is said of the run.
    pub(crate) fn told(&self) -> &RunSummary {
        &self.0
    }
}

/// `catalogue.json`.
#[derive(Deserialize, Serialize)]
struct Noted {
    format: String,
    version: u32,
    runs: Vec<RunSummary>,
}

/// Every run of a store, the newest first.
pub(crate) async fn list<S: Store>(store: &S) -> Result<Vec<Row>, Failure> {
    let (names, stamps, noted) = futures::join!(names(store), stamps(store), noted(store));
    let names = names?;
    let mut known = believed(noted, &stamps);
    let unknown: Vec<String> = names.iter().filter(|run| !known.contains_key(*run)).cloned().collect();
    known.extend(by_id(read(store, unknown).await?));
    Ok(names.iter().filter_map(|run| known.remove(run).map(Row)).collect())
}

/// The same, each of them read now.
pub(crate) async fn reread<S: Store>(store: &S) -> Result<Vec<Row>, Failure> {
    Ok(read(store, names(store).await?).await?.into_iter().map(Row).collect())
}

/// What is read to note it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// What is not noted: after a change by a person, who waits for it.
    Changed,
    /// Everything: what was changed behind the owner's back is found.
    All,
}

/// Notes for lists what the runs say. Only their owner does: elsewhere nothing happens.
pub(crate) async fn note<S: Store>(store: &S, owner: &Owner, reading: Reading) -> Result<(), Failure> {
    if retire::owner(store).await?.as_ref() != Some(owner) {
        return Ok(());
    }
    let (names, stamps, noted) = futures::join!(names(store), stamps(store), noted(store));
    let names = names?;
    let mut known = match reading {
        Reading::Changed => believed(noted.clone(), &stamps),
        Reading::All => BTreeMap::new(),
    };
    let unknown: Vec<String> = names.iter().filter(|run| !known.contains_key(*run)).cloned().collect();
    let settled = stream::iter(read(store, unknown).await?).map(|run| settle(store, run, &stamps)).buffered(AT_ONCE);
    let settled: Vec<Option<RunSummary>> = settled.try_collect().await?;
    known.extend(by_id(settled.into_iter().flatten().collect()));
    let runs: Vec<RunSummary> = names.iter().filter_map(|run| known.remove(run)).collect();
    let runs = as_many_as_fit(runs, MOST_BYTES);
    if runs != noted {
        let noted = Noted { format: FORMAT.to_owned(), version: FORMAT_VERSION, runs };
        let bytes = serde_json::to_vec(&noted).map_err(|error| Failure::permanent(error.to_string()))?;
        store.put(CATALOGUE_FILE, bytes.into(), Mode::Overwrite).await?;
    }
    // Of runs that are gone; one that was begun since the names were listed is read once more than needed.
    for run in stamps.keys().filter(|run| !names.contains(run)) {
        stamp::void(store, run).await?;
    }
    Ok(())
}

/// Stamps a run, if it is one and still says the same afterwards.
async fn settle<S: Store>(store: &S, run: RunSummary, stamps: &Stamps) -> Result<Option<RunSummary>, PortError> {
    let found = stamps.get(&run.id).map(Vec::as_slice).unwrap_or_default();
    let is_sound = run.state == RunState::Complete && run.problem.is_none();
    let entry = digest(&run);
    if is_sound && *found == [entry.to_string()] {
        return Ok(Some(run));
    }
    if !found.is_empty() {
        stamp::void(store, &run.id).await?;
    }
    if !is_sound {
        return Ok(None);
    }
    stamp::set(store, &run.id, &entry).await?;
    let again = read(store, vec![run.id.clone()]).await;
    if again.as_ref().is_ok_and(|again| again.as_slice() == std::slice::from_ref(&run)) {
        return Ok(Some(run));
    }
    stamp::void(store, &run.id).await?;
    again.map(|_| None)
}

async fn names<S: Store>(store: &S) -> Result<Vec<String>, PortError> {
    let mut names = catalogue::names(store).await?;
    names.truncate(MOST_RUNS);
    Ok(names)
}

/// None where they cannot be had: the runs can be read all the same.
async fn stamps<S: Store>(store: &S) -> Stamps {
    stamp::all(store, MOST_STAMPS).await.unwrap_or_default()
}

/// None where it cannot be read, whatever it is: the runs can.
async fn noted<S: Store>(store: &S) -> Vec<RunSummary> {
    match stored::read_within::<Noted, _>(store, CATALOGUE_FILE, MOST_BYTES).await {
        Ok(Some((noted, _))) => noted.runs,
        Ok(None) | Err(_) => Vec::new(),
    }
}

/// Entries that a stamp names, and no other stamp beside it.
fn believed(noted: Vec<RunSummary>, stamps: &Stamps) -> BTreeMap<String, RunSummary> {
    let is_stamped = |run: &RunSummary| match stamps.get(&run.id).map(Vec::as_slice) {
        Some([only]) => *only == digest(run).to_string(),
        Some(_) | None => false,
    };
    by_id(noted.into_iter().filter(is_stamped).collect())
}

/// SHA-256 of an entry as the file has it. One with fields of a newer version comes out otherwise, and is not believed.
fn digest(run: &RunSummary) -> Digest {
    // Nothing of it has keys that are no texts, which is all that JSON cannot hold.
    Digest::of(&serde_json::to_vec(run).unwrap_or_default())
}

fn by_id(runs: Vec<RunSummary>) -> BTreeMap<String, RunSummary> {
    runs.into_iter().map(|run| (run.id.clone(), run)).collect()
}

/// The first ones.
fn as_many_as_fit(mut runs: Vec<RunSummary>, most: u64) -> Vec<RunSummary> {
    /// What stands around the entries.
    const HEAD: u64 = 128;
    let mut left = most.saturating_sub(HEAD);
    let fits = |run: &RunSummary| {
        let bytes = serde_json::to_vec(run).map_or(0, |bytes| bytes.len() as u64 + 1);
        let rest = left.checked_sub(bytes);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let count = runs.iter().map(fits).take_while(|fits| *fits).count();
    runs.truncate(count);
    runs
}

#[cfg(test)]
mod tests;
