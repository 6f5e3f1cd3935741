//! Reads a run back: is everything there, is it what was written, and does it say what the manifest says?

mod collection;
pub mod compare;
pub mod drill;
mod fault;

pub use fault::Fault;

pub(super) use collection::Look;

use super::layout;
use super::manifest::{FORMAT, FORMAT_VERSION, Manifest, Marker, Owner, Part, Verified};
use super::native;
use super::opened::Chain;
use super::ports::{Mode, Store};
use super::seal::Key;
use super::stamp;
use super::stored::{self, StoredError, document};
use crate::checkpoint::Digest;
use crate::ports::{Clock, PortError};

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Every file is there and has its hash.
    Hashes,
    /// And every object is read: counts, order, and the digests of objects. Of a backup that the servers wrote themselves
    /// nobody here can read any: there it is as far as hashes go.
    Objects,
}

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Files that were compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were read; 0 where only hashes were asked for.
    pub objects: u64,
    /// What is wrong; at most [`MOST_FAULTS`].
    pub faults: Vec<Fault>,
}

/// Faults that are told: where there are so many, the next one tells nothing new.
pub const MOST_FAULTS: usize = 100;

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn join(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.faults.extend(other.faults);
        self.faults.truncate(MOST_FAULTS);
    }

    pub(super) fn of(fault: Fault) -> Self {
        Self { faults: vec![fault], ..Self::default() }
    }
}

/// Reads a run back. `Err` = the store could not be asked, which says nothing about the run. `told` hears of each part.
pub async fn verify<S: Store>(
    store: &S,
    run: &str,
    depth: Depth,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, PortError> {
    verify_with(store, run, None, depth, told).await
}

/// The same, of a run that may be encrypted. Of one that builds on others those are read as well, as far as they have its
/// collections.
pub async fn verify_with<S: Store>(
    store: &S,
    run: &str,
    key: Option<&Key>,
    depth: Depth,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, PortError> {
    let chain = match Chain::open(store, run, key).await? {
        Ok(chain) => chain,
        Err(Fault::Native { .. }) => return native::verify(store, run, None).await,
        Err(fault) => return Ok(Findings::of(fault)),
    };
    let mut findings = Findings::default();
    for note in &chain.own().manifest.collections {
        let indexes = match chain.indexes(store, &note.name).await? {
            Ok(indexes) => indexes,
            Err(fault) => {
                findings.join(Findings::of(fault));
                continue;
            }
        };
        let look = Look { store, chain: &chain, note, indexes: &indexes, depth };
        findings.join(look.all(&|_, _| true, told).await?);
    }
    Ok(findings)
}

/// Notes beside a run that it was read back, for retention. Only its owner may.
pub async fn record<S: Store, C: Clock>(store: &S, run: &str, owner: &Owner, clock: &C) -> Result<bool, StoredError> {
    let marker = stored::read::<Marker, _>(store, layout::OWNER).await?;
    if marker.is_none_or(|(marker, _)| marker.owner != *owner) {
        return Ok(false);
    }
    let key = layout::in_run(run, layout::MANIFEST);
    let found = stored::read::<Manifest, _>(store, &key).await?;
    let (manifest, bytes) = found.ok_or(StoredError::Missing(key))?;
    if manifest.native.is_some_and(|native| !native.hashed) {
        // That files have their sizes says nothing of what is in them.
        return Ok(false);
    }
    let verified =
        Verified { format: FORMAT.to_owned(), version: FORMAT_VERSION, at: clock.now(), manifest: Digest::of(&bytes) };
    let key = layout::in_run(run, layout::VERIFIED);
    stamp::changing(store, run, store.put(&key, document(&verified), Mode::Overwrite)).await?;
    Ok(true)
}
