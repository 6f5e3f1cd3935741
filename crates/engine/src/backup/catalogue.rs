//! The store is the catalogue: whoever can read it can list, show, verify and restore.

use futures::{StreamExt as _, stream};

use super::layout;
use super::manifest::{Begun, Manifest, Verified};
use super::ports::Store;
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
    },
    /// The beginning of one: it was cut off, or is under way.
    Unfinished(Option<Begun>),
    /// Something that cannot be read.
    Unreadable(StoredError),
}

/// Every run, the newest first.
pub async fn list<S: Store>(store: &S) -> Result<Vec<Entry>, PortError> {
    let mut runs = store.folders(layout::RUNS).await?;
    // Their ids begin with their times.
    runs.sort_by(|one, other| other.cmp(one));
    runs.truncate(MOST_RUNS);
    let look = |run: String| async move {
        let state = look(store, &run).await;
        Entry { run, state }
    };
    Ok(stream::iter(runs).map(look).buffered(READS).collect().await)
}

/// One of them.
pub async fn look<S: Store>(store: &S, run: &str) -> State {
    let key = |key| layout::in_run(run, key);
    let manifest = match stored::read::<Manifest, _>(store, &key(layout::MANIFEST)).await {
        Ok(found) => found,
        Err(error) => return State::Unreadable(error),
    };
    let Some((manifest, bytes)) = manifest else {
        let begun = stored::read::<Begun, _>(store, &key(layout::BEGUN)).await;
        return State::Unfinished(begun.ok().flatten().map(|(begun, _)| begun));
    };
    let verified = stored::read::<Verified, _>(store, &key(layout::VERIFIED)).await;
    // A note about another manifest says nothing of this one.
    let is_of_this = |verified: &Verified| verified.manifest == Digest::of(&bytes);
    let verified = verified.ok().flatten().map(|(verified, _)| verified).filter(is_of_this);
    State::Run { manifest: Box::new(manifest), verified }
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
