//! Takes runs away, for their owner alone.
//!
//! The manifest goes first: from then on there is no run, whatever stops this. `begun.json` goes last: what was cut off
//! in the middle still says whose it is and how old, and is taken up by the next retirement.
//!
//! Which runs go is decided elsewhere; here it is only made sure that the prefix is ours, and that nothing else goes.

use super::layout;
use super::manifest::{Begun, Marker, Owner};
use super::ports::Store;
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
    if !layout::is_run_id(run) {
        return Err(RetireError::NoRunId(run.to_owned()));
    }
    check_owner(store, asked).await?;
    let folder = format!("{}/{run}", layout::RUNS);
    if store.files(&folder, 1).await?.is_empty() {
        return Err(RetireError::NoRun(run.to_owned()));
    }
    let manifest = layout::in_run(run, layout::MANIFEST);
    let begun = layout::in_run(run, layout::BEGUN);
    // Counted with the page that it would have come in.
    let mut removed = u64::from(matches!(stored::exists(store, &manifest).await, Ok(true)));
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
    removed += u64::from(matches!(stored::exists(store, &begun).await, Ok(true)));
    store.remove(&[begun]).await?;
    Ok(removed)
}

/// Whether what was begun and never finished may go: it is this owner's, and so old that nobody writes it any more.
pub fn is_abandoned(begun: Option<&Begun>, asked: &Owner, now: jiff::Timestamp) -> bool {
    begun.is_some_and(|begun| begun.owner == *asked && now.duration_since(begun.at) >= ABANDONED)
}

/// No run takes so long that is still alive: a Job is given up long before.
pub const ABANDONED: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
