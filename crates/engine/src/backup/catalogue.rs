//! The store is the catalogue: whoever can read it can list, show, verify and restore.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::layout;
use super::manifest::{Begun, Manifest, Verified};
use super::ports::Store;
use super::restore::{Receipt, State as Restored};
use super::stored::{self, StoredError};
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// Manifests that are asked for at once: they are small, and a store answers each after some milliseconds.
const READS: usize = 32;

/// Runs that are listed, the newest: far more than any retention keeps.
pub const MOST_RUNS: usize = 10_000;

/// A folder below `runs`.
#[derive(Debug)]
pub struct Entry {
    /// The run's id.
    pub run: String,
    /// What it is.
    pub state: State,
}

/// What a folder below `runs` is.
#[derive(Debug)]
pub enum State {
    /// A run.
    Run {
        /// What it says.
        manifest: Box<Manifest>,
        /// That it was read back, if this very manifest was.
        verified: Option<Verified>,
        /// Why nobody can tell whether it was read back: its note is there and says nothing.
        doubt: Option<StoredError>,
    },
    /// The beginning of one: it was cut off, or is under way.
    Unfinished(Option<Begun>),
    /// Something that is there and cannot be read.
    Unreadable(StoredError),
}

/// Every run, the newest first. A store that cannot be asked about one of them is an error: what is not known is not
/// absent.
pub async fn list<S: Store>(store: &S) -> Result<Vec<Entry>, PortError> {
    let mut runs = store.folders(layout::RUNS).await?;
    // Their ids begin with their times.
    runs.sort_by(|one, other| other.cmp(one));
    runs.truncate(MOST_RUNS);
    let look = |run: String| async move {
        let state = look(store, &run).await?;
        Ok(Entry { run, state })
    };
    stream::iter(runs).map(look).buffered(READS).try_collect().await
}

/// One of them.
pub async fn look<S: Store>(store: &S, run: &str) -> Result<State, PortError> {
    let key = |key| layout::in_run(run, key);
    let manifest = match answered(stored::read::<Manifest, _>(store, &key(layout::MANIFEST)).await)? {
        Ok(found) => found,
        Err(error) => return Ok(State::Unreadable(error)),
    };
    let Some((manifest, bytes)) = manifest else {
        let begun = answered(stored::read::<Begun, _>(store, &key(layout::BEGUN)).await)?;
        return Ok(State::Unfinished(begun.ok().flatten().map(|(begun, _)| begun)));
    };
    let verified = answered(stored::read::<Verified, _>(store, &key(layout::VERIFIED)).await)?;
    let (verified, doubt) = match verified {
        Ok(verified) => (verified.map(|(verified, _)| verified), None),
        Err(error) => (None, Some(error)),
    };
    // A note about another manifest says nothing of this one.
    let verified = verified.filter(|verified| verified.manifest == Digest::of(&bytes));
    Ok(State::Run { manifest: Box::new(manifest), verified, doubt })
}

/// Tells what the store has not answered from what it has, and that is wrong.
fn answered<T>(read: Result<T, StoredError>) -> Result<Result<T, StoredError>, PortError> {
    match read {
        Err(StoredError::Port(error)) => Err(error),
        read => Ok(read),
    }
}

/// Receipts that are looked at: far more than restores that anybody keeps.
const MOST_RECEIPTS: usize = 10_000;

/// The receipts of restores below a prefix, with their ids, and what cannot be read of them.
pub async fn receipts<S: Store>(store: &S) -> Result<Vec<(String, Result<Receipt, StoredError>)>, PortError> {
    let keys = store.files(layout::RESTORES, MOST_RECEIPTS).await?;
    let look = |key: String| async move {
        let id = key.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        let Some(id) = id else { return Ok(None) };
        let read = answered(stored::read::<Receipt, _>(store, &key).await)?;
        Ok(read.map(|found| found.map(|(receipt, _)| receipt)).transpose().map(|receipt| (id.to_owned(), receipt)))
    };
    let found: Vec<_> = stream::iter(keys).map(look).buffered(READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Collections of this cluster that a restore writes into, or did after this moment, each with the receipt's id.
pub async fn restored<S: Store>(
    store: &S,
    cluster: &str,
    since: Timestamp,
) -> Result<BTreeMap<String, String>, PortError> {
    // A restore knows the cluster by its name alone, an owner may tell its uid as well: `NAME (UID)`.
    let is_here =
        |target: &str| cluster.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("));
    let is_meant = |receipt: &Receipt| {
        is_here(&receipt.target) && (receipt.state == Restored::Running || receipt.updated_at > since)
    };
    let found = receipts(store).await?.into_iter();
    let found = found.filter_map(|(id, receipt)| Some((id, receipt.ok().filter(is_meant)?)));
    Ok(found.map(|(id, receipt)| (receipt.into, id)).collect())
}

/// The run that is meant: this one, or with `latest` the newest that has a manifest.
pub async fn find<S: Store>(store: &S, run: &str) -> Result<Option<Manifest>, StoredError> {
    let runs = if run == LATEST {
        let mut runs = store.folders(layout::RUNS).await?;
        runs.sort_by(|one, other| other.cmp(one));
        runs
    } else {
        vec![run.to_owned()]
    };
    for run in runs.iter().filter(|run| layout::is_run_id(run)) {
        let key = layout::in_run(run, layout::MANIFEST);
        if let Some((manifest, _)) = stored::read::<Manifest, _>(store, &key).await? {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Instead of a run's id: the newest.
pub const LATEST: &str = "latest";
