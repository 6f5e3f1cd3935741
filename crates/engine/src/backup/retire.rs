//! Takes runs away, for their owner alone.
//!
//! The manifest goes first: from then on there is no run, whatever stops this. `begun.json` goes last: what was cut off
//! in the middle still says whose it is and how old, and is taken up by the next retirement.
//!
//! Which runs go is decided elsewhere; here it is only made sure that the prefix is ours, and that nothing else goes.

use jiff::Timestamp;

use super::catalogue::{self, Entry, State};
use super::layout;
use super::manifest::{Begun, Marker, Owner};
use super::ports::Store;
use super::stamp;
use super::stored::{self, StoredError};
use crate::ports::PortError;

/// Keys that are listed and removed at once: an object store answers so many in one page and takes so many in one
/// request.
const PAGE: usize = 1000;

/// Why a run was not taken away.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// The prefix is somebody else's.
    #[error("the prefix belongs to {owner}, not to {asked}: only its owner removes runs")]
    NotOwner {
        /// Whose it is.
        owner: Box<Owner>,
        /// Who asked.
        asked: Box<Owner>,
    },
    /// Nobody says whose it is.
    #[error("{} is missing, so nobody may remove runs: is this the prefix of backups?", layout::OWNER)]
    NoOwner,
    /// A name that no run has.
    #[error("`{0}` is no run's id")]
    NoRunId(String),
    /// Another run builds on it.
    #[error("run {by} builds on run {run}: remove that one first, or both")]
    Needed {
        /// Which.
        run: String,
        /// The run that builds on it.
        by: String,
    },
    /// A manifest that may build on what goes.
    #[error(
        "run {run} cannot be read, and may build on others: nothing is removed until it can, or is removed itself: {reason}"
    )]
    Unreadable {
        /// Which.
        run: String,
        /// Why.
        reason: StoredError,
    },
    /// There is nothing of this name.
    #[error("there is no run {0}")]
    NoRun(String),
    /// A file of the store is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Whose prefix it is; `None` when nobody wrote below it yet.
pub async fn owner<S: Store>(store: &S) -> Result<Option<Owner>, StoredError> {
    Ok(stored::read::<Marker, _>(store, layout::OWNER).await?.map(|(marker, _)| marker.owner))
}

/// Whether it is this one's: what is checked before anything is removed.
pub async fn check_owner<S: Store>(store: &S, asked: &Owner) -> Result<(), RetireError> {
    match owner(store).await? {
        Some(owner) if owner == *asked => Ok(()),
        Some(owner) => Err(RetireError::NotOwner { owner: Box::new(owner), asked: Box::new(asked.clone()) }),
        None => Err(RetireError::NoOwner),
    }
}

/// Takes a run away, or what is left of one; answers how many files it had. Repeating it goes on where it was cut off.
pub async fn remove_run<S: Store>(store: &S, run: &str, asked: &Owner) -> Result<u64, RetireError> {
    remove_runs(store, &[run.to_owned()], asked, &mut |_, _| {}).await
}

/// The same of several, the newest first, so that none goes on which one builds that is still there. `told` hears of each
/// and of the number of its files.
pub async fn remove_runs<S: Store>(
    store: &S,
    runs: &[String],
    asked: &Owner,
    told: &mut (dyn FnMut(&str, u64) + Send),
) -> Result<u64, RetireError> {
    if let Some(run) = runs.iter().find(|run| !layout::is_run_id(run)) {
        return Err(RetireError::NoRunId(run.clone()));
    }
    check_owner(store, asked).await?;
    let mut found: Vec<(Timestamp, String)> = Vec::new();
    for Entry { run, state } in catalogue::list(store).await? {
        let is_going = runs.contains(&run);
        match state {
            State::Run { manifest, .. } if is_going => found.push((manifest.finished_at, run)),
            State::Run { manifest, .. } => {
                if let Some(base) = manifest.base.iter().find(|base| runs.contains(&base.run)) {
                    return Err(RetireError::Needed { run: base.run.clone(), by: run });
                }
            }
            State::Unfinished(begun) if is_going => found.push((begun.map(|it| it.at).unwrap_or_default(), run)),
            State::Unreadable(_) if is_going => found.push((Timestamp::default(), run)),
            State::Unreadable(reason) => return Err(RetireError::Unreadable { run, reason }),
            State::Unfinished(_) => {}
        }
    }
    if let Some(run) = runs.iter().find(|run| found.iter().all(|(_, found)| found != *run)) {
        return Err(RetireError::NoRun(run.clone()));
    }
    found.sort_by(|one, other| other.cmp(one));
    let mut files = 0;
    for (_, run) in found {
        let removed = take_away(store, &run).await?;
        told(&run, removed);
        files += removed;
    }
    Ok(files)
}

async fn take_away<S: Store>(store: &S, run: &str) -> Result<u64, PortError> {
    stamp::changing(store, run, take_files(store, run)).await
}

async fn take_files<S: Store>(store: &S, run: &str) -> Result<u64, PortError> {
    let folder = format!("{}/{run}", layout::RUNS);
    let manifest = layout::in_run(run, layout::MANIFEST);
    let begun = layout::in_run(run, layout::BEGUN);
    let mut removed = u64::from(stored::exists(store, &manifest).await?);
    store.remove(&[manifest]).await?;
    loop {
        let mut keys = store.files(&folder, PAGE).await?;
        keys.retain(|key| *key != begun);
        if keys.is_empty() {
            break;
        }
        removed += keys.len() as u64;
        store.remove(&keys).await?;
    }
    removed += u64::from(stored::exists(store, &begun).await?);
    store.remove(&[begun]).await?;
    Ok(removed)
}

/// Whether what was begun and never finished may go: it is this owner's, and so old that nobody writes it any more.
pub fn is_abandoned(begun: Option<&Begun>, asked: &Owner, now: Timestamp) -> bool {
    begun.is_some_and(|begun| begun.owner == *asked && now.duration_since(begun.at) >= ABANDONED)
}

/// No run takes so long that is still alive: a Job is given up long before.
pub const ABANDONED: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
