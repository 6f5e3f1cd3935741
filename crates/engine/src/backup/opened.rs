//! A run that is read: its manifest, the runs that it builds on, and what opens its files.

use std::sync::Arc;

use bytes::Bytes;

use super::layout;
use super::manifest::{BaseNote, CollectionNote, FileNote, Index, MOST_BASES, Manifest};
use super::part::MOST_PART_BYTES;
use super::ports::{Got, Store};
use super::seal::{ALGORITHM, Key, SealError, Sealer};
use super::stored::{self, StoredError};
use super::verify::Fault;
use super::write::beside;
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// A run that is read.
#[derive(Clone)]
pub struct OpenRun {
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of its manifest.
    pub sha256: Digest,
    sealer: Option<Arc<Sealer>>,
}

impl std::fmt::Debug for OpenRun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OpenRun({} {})", self.manifest.run, self.sha256)
    }
}

impl OpenRun {
    /// Opens a run; answers what is wrong with it instead. Of one that is not encrypted no key is asked.
    pub async fn open<S: Store>(store: &S, run: &str, key: Option<&Key>) -> Result<Result<Self, Fault>, PortError> {
        let name = layout::in_run(run, layout::MANIFEST);
        let (manifest, bytes) = match stored::read::<Manifest, _>(store, &name).await {
            Ok(None) => return Ok(Err(Fault::NoManifest { run: run.to_owned() })),
            Ok(Some((manifest, _))) if manifest.run != run => {
                return Ok(Err(Fault::WrongManifest { run: run.to_owned(), says: manifest.run }));
            }
            Ok(Some(found)) => found,
            Err(StoredError::Port(error)) => return Err(error),
            Err(error) => return Ok(Err(Fault::Unreadable { key: name, reason: error.to_string() })),
        };
        let sealer = sealer(&manifest, key);
        Ok(sealer.map(|sealer| Self { sha256: Digest::of(&bytes), manifest, sealer }))
    }

    /// A file whose bytes are what the note says, opened; or what is wrong with it.
    pub async fn file<S: Store>(&self, store: &S, note: &FileNote) -> Result<Result<Bytes, Fault>, PortError> {
        let bytes = match sealed_file(store, &self.manifest.run, note).await? {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(sealer) = self.sealer.clone() else { return Ok(Ok(bytes)) };
        let key = note.key.clone();
        let opened = beside(move || sealer.open(&key, bytes)).await?;
        Ok(opened.map_err(|_: SealError| Fault::Forged { key: note.key.clone() }))
    }

    /// The index of a collection, or what is wrong with it.
    pub async fn index<S: Store>(&self, store: &S, note: &CollectionNote) -> Result<Result<Index, Fault>, PortError> {
        let unreadable =
            |error: StoredError| Fault::Unreadable { key: note.index.key.clone(), reason: error.to_string() };
        let bytes = self.file(store, &note.index).await?;
        Ok(bytes.and_then(|bytes| stored::parse::<Index>(&note.index.key, &bytes).map_err(unreadable)))
    }
}

fn sealer(manifest: &Manifest, key: Option<&Key>) -> Result<Option<Arc<Sealer>>, Fault> {
    let Some(note) = &manifest.encryption else { return Ok(None) };
    let run = || manifest.run.clone();
    if note.algorithm != ALGORITHM {
        let reason = format!("it is encrypted with {}, which this program does not know", note.algorithm);
        return Err(Fault::Unreadable { key: layout::MANIFEST.to_owned(), reason });
    }
    let Some(key) = key else { return Err(Fault::NoKey { run: run(), wanted: note.key.clone() }) };
    let given = key.fingerprint();
    if given != note.key {
        return Err(Fault::WrongKey { run: run(), wanted: note.key.clone(), given });
    }
    let failed = |error: SealError| Fault::Unreadable { key: layout::MANIFEST.to_owned(), reason: error.to_string() };
    Sealer::new(key, &manifest.run).map(|sealer| Some(Arc::new(sealer))).map_err(failed)
}

/// A file as it lies in the store, whose bytes are what the note says, or what is wrong with it.
async fn sealed_file<S: Store>(store: &S, run: &str, note: &FileNote) -> Result<Result<Bytes, Fault>, PortError> {
    let key = note.key.clone();
    // Longer than it should be is as wrong as shorter, and need not be read.
    let found = match store.get(&layout::in_run(run, &key), note.bytes.min(MOST_PART_BYTES)).await? {
        Got::Absent => return Ok(Err(Fault::Missing { key })),
        Got::TooLarge(found) => return Ok(Err(Fault::Size { key, wanted: note.bytes, found })),
        Got::Bytes(bytes) => bytes,
    };
    if found.len() as u64 != note.bytes {
        return Ok(Err(Fault::Size { key, wanted: note.bytes, found: found.len() as u64 }));
    }
    // The bytes are handed over and back, so that nobody else holds them when they are opened in place.
    let (found, sha256) = beside(move || {
        let sha256 = Digest::of(&found);
        (found, sha256)
    })
    .await?;
    if sha256 != note.sha256 {
        return Ok(Err(Fault::Changed { key, wanted: note.sha256, found: sha256 }));
    }
    Ok(Ok(found))
}

/// A run with all that it builds on: itself first, then its bases, the nearest first.
#[derive(Clone, Debug)]
pub struct Chain {
    runs: Vec<OpenRun>,
}

impl Chain {
    /// Opens a run and its bases; each base must be the very one that was built on.
    pub async fn open<S: Store>(store: &S, run: &str, key: Option<&Key>) -> Result<Result<Self, Fault>, PortError> {
        let own = match OpenRun::open(store, run, key).await? {
            Ok(own) => own,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(native) = &own.manifest.native {
            return Ok(Err(Fault::Native { run: run.to_owned(), nodes: native.nodes.clone() }));
        }
        let bases = own.manifest.base.clone();
        if bases.len() > MOST_BASES {
            let reason = format!("it builds on {} runs, and at most {MOST_BASES} are read", bases.len());
            return Ok(Err(Fault::Unreadable { key: layout::in_run(run, layout::MANIFEST), reason }));
        }
        let mut runs = vec![own];
        for BaseNote { run: base, manifest } in bases {
            match OpenRun::open(store, &base, key).await? {
                Ok(opened) if opened.sha256 == manifest => runs.push(opened),
                Ok(_) => return Ok(Err(Fault::BaseChanged { run: run.to_owned(), base })),
                Err(Fault::NoManifest { .. }) => return Ok(Err(Fault::BaseMissing { run: run.to_owned(), base })),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(Self { runs }))
    }

    /// The run itself.
    pub fn own(&self) -> &OpenRun {
        &self.runs[0]
    }

    /// The run itself, and its bases.
    pub fn runs(&self) -> &[OpenRun] {
        &self.runs
    }

    /// Whether it builds on others.
    pub fn is_incremental(&self) -> bool {
        !self.own().manifest.base.is_empty()
    }

    /// The indexes of a collection: its own first, then those of the bases that have it, with their place in the chain.
    pub async fn indexes<S: Store>(
        &self,
        store: &S,
        collection: &str,
    ) -> Result<Result<Vec<(usize, Index)>, Fault>, PortError> {
        let mut indexes = Vec::new();
        for (place, run) in self.runs.iter().enumerate() {
            let Some(note) = run.manifest.collection(collection) else { continue };
            let mut index = match run.index(store, note).await? {
                Ok(index) => index,
                Err(fault) => return Ok(Err(fault)),
            };
            if place > 0 {
                // The newest roll alone says what lives: of many tenants the others would take much memory for nothing.
                index.roll = Vec::new();
                index.gone = Vec::new();
                index.tenants = None;
            }
            indexes.push((place, index));
        }
        Ok(Ok(indexes))
    }
}

/// How a part is called in receipts and messages: a part of a base with its run.
pub fn part_name(place: usize, run: &str, key: &str) -> String {
    if place == 0 { key.to_owned() } else { layout::in_run(run, key) }
}
