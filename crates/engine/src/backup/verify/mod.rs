//! Reads a run back: is everything there, is it what was written, and does it say what the manifest says?

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::Serialize;
use uuid::Uuid;

use super::columns::Columns;
use super::digest::Contents;
use super::layout;
use super::manifest::{
    CollectionNote, DataFormat, FORMAT, FORMAT_VERSION, FileNote, Index, Manifest, Marker, Owner, Part, TenantNote,
    Verified,
};
use super::part::{MOST_PART_BYTES, open};
use super::ports::{Got, Mode, Store};
use super::stored::{self, StoredError, document};
use super::write::beside;
use crate::checkpoint::Digest;
use crate::ports::{Clock, PortError};

/// Parts that are read at once; each is held whole.
const READS: usize = 2;

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Every file is there and has its hash.
    Hashes,
    /// And every object is read: counts, order, and the digests of objects.
    Objects,
}

/// What is wrong. Each fault has its own word.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "camelCase")]
pub enum Fault {
    /// No run of that id.
    #[error("run {run} has no manifest: it was cut off, or never begun")]
    NoManifest {
        /// Which.
        run: String,
    },
    /// The manifest, or an index, is not to be read.
    #[error("{reason}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// The manifest is of another run.
    #[error("the manifest in the folder of {run} is that of run {says}")]
    WrongManifest {
        /// Whose folder it is.
        run: String,
        /// What it says.
        says: String,
    },
    /// A file is not there.
    #[error("{key} is missing")]
    Missing {
        /// Which.
        key: String,
    },
    /// A file is too short or too long.
    #[error("{key} has {found} bytes, not {wanted}: it is cut off, or was written over")]
    Size {
        /// Which.
        key: String,
        /// As the manifest or the index says.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// A file of the right size with other bytes.
    #[error("{key} has other bytes than were written: {found} instead of {wanted}")]
    Changed {
        /// Which.
        key: String,
        /// Its hash, as the manifest or the index says.
        wanted: Digest,
        /// As it is.
        found: Digest,
    },
    /// A part that has its hash and cannot be read.
    #[error("{key} cannot be read: {reason}")]
    Undecodable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// A part with more or fewer objects than the index says.
    #[error("{key} has {found} objects, not {wanted}")]
    Count {
        /// Which.
        key: String,
        /// As the index says.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// A part with as many objects, which are others.
    #[error("{key} holds other objects, properties or vectors than were read")]
    Objects {
        /// Which.
        key: String,
    },
    /// A part whose ids are not ascending, or not within its bounds.
    #[error("{key}: object {id} is out of order")]
    Order {
        /// Which.
        key: String,
        /// The first such object.
        id: Uuid,
    },
    /// A tenant whose parts are not listed, or hold something else than the tenant had.
    #[error("collection {collection}: the parts of tenant {tenant} hold {found} objects, not {wanted}")]
    Tenant {
        /// Of which collection.
        collection: String,
        /// Which.
        tenant: String,
        /// As the index says of the tenant.
        wanted: u64,
        /// As its parts say.
        found: u64,
    },
    /// A part of a tenant that the index does not know.
    #[error("collection {collection}: {key} belongs to tenant {tenant}, which is not listed")]
    UnknownTenant {
        /// Of which collection.
        collection: String,
        /// Which.
        tenant: String,
        /// The part.
        key: String,
    },
    /// An index whose parts are not what the manifest says of the collection.
    #[error("collection {collection}: the index lists {found}, the manifest says {wanted}")]
    Totals {
        /// Which.
        collection: String,
        /// As the manifest says.
        wanted: String,
        /// As the index adds up to.
        found: String,
    },
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

    fn join(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.faults.extend(other.faults);
        self.faults.truncate(MOST_FAULTS);
    }

    fn of(fault: Fault) -> Self {
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
    let manifest = match manifest(store, run).await? {
        Ok(manifest) => manifest,
        Err(fault) => return Ok(Findings::of(fault)),
    };
    let mut findings = Findings::default();
    for collection in &manifest.collections {
        findings.join(verify_collection(store, &manifest, collection, depth, told).await?);
    }
    Ok(findings)
}

/// The manifest of a run, or what is wrong with it.
pub async fn manifest<S: Store>(store: &S, run: &str) -> Result<Result<Manifest, Fault>, PortError> {
    let key = layout::in_run(run, layout::MANIFEST);
    Ok(match stored::read::<Manifest, _>(store, &key).await {
        Ok(None) => Err(Fault::NoManifest { run: run.to_owned() }),
        Ok(Some((manifest, _))) if manifest.run != run => {
            Err(Fault::WrongManifest { run: run.to_owned(), says: manifest.run })
        }
        Ok(Some((manifest, _))) => Ok(manifest),
        Err(StoredError::Port(error)) => return Err(error),
        Err(error) => Err(Fault::Unreadable { key, reason: error.to_string() }),
    })
}

/// One collection of a run.
pub async fn verify_collection<S: Store>(
    store: &S,
    manifest: &Manifest,
    note: &CollectionNote,
    depth: Depth,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, PortError> {
    verify_parts(store, manifest, note, depth, &|_| true, told).await
}

/// The same, of those parts alone that are chosen.
pub async fn verify_parts<S: Store>(
    store: &S,
    manifest: &Manifest,
    note: &CollectionNote,
    depth: Depth,
    chosen: &(dyn Fn(&Part) -> bool + Sync),
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, PortError> {
    let index = match index(store, &manifest.run, note).await? {
        Ok(index) => index,
        Err(fault) => return Ok(Findings::of(fault)),
    };
    let mut findings = Findings { files: 1, bytes: note.index.bytes, ..Findings::default() };
    findings.faults.extend(disagreements(note, &index));
    let columns = Arc::new(index.columns.clone());
    let read = |part: Part| {
        let columns = columns.clone();
        async move {
            let found = look(store, &manifest.run, manifest.data, &columns, &part, depth).await;
            told(&part);
            found
        }
    };
    let parts = index.parts.into_iter().filter(|part| chosen(part));
    let mut reads = stream::iter(parts).map(read).buffered(READS);
    while let Some(found) = reads.next().await {
        findings.join(found?);
    }
    Ok(findings)
}

/// The index of a collection, or what is wrong with it.
pub async fn index<S: Store>(store: &S, run: &str, note: &CollectionNote) -> Result<Result<Index, Fault>, PortError> {
    let bytes = match file(store, run, &note.index).await? {
        Ok(bytes) => bytes,
        Err(fault) => return Ok(Err(fault)),
    };
    Ok(stored::parse::<Index>(&note.index.key, &bytes)
        .map_err(|error| Fault::Unreadable { key: note.index.key.clone(), reason: error.to_string() }))
}

/// A file whose bytes are what the note says, or what is wrong with it.
pub async fn file<S: Store>(store: &S, run: &str, note: &FileNote) -> Result<Result<Bytes, Fault>, PortError> {
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
    let bytes = found.clone();
    let sha256 = beside(move || Digest::of(&bytes)).await?;
    if sha256 != note.sha256 {
        return Ok(Err(Fault::Changed { key, wanted: note.sha256, found: sha256 }));
    }
    Ok(Ok(found))
}

/// What does not add up, without a look at any part.
fn disagreements(note: &CollectionNote, index: &Index) -> Vec<Fault> {
    let mut faults = Vec::new();
    let collection = || note.name.clone();
    let mut all = Contents::default();
    let mut by_tenant: BTreeMap<&str, Contents> = BTreeMap::new();
    let known: BTreeMap<&str, &TenantNote> =
        index.tenants.iter().flatten().map(|tenant| (tenant.name.as_str(), tenant)).collect();
    for part in &index.parts {
        all.join(&part.contents);
        let Some(tenant) = part.tenant.as_deref() else { continue };
        by_tenant.entry(tenant).or_default().join(&part.contents);
        if !known.contains_key(tenant) {
            let (tenant, key) = (tenant.to_owned(), part.file.key.clone());
            faults.push(Fault::UnknownTenant { collection: collection(), tenant, key });
        }
    }
    for (name, tenant) in &known {
        let found = by_tenant.get(name).copied().unwrap_or_default();
        let wanted = tenant.contents.unwrap_or_default();
        if found != wanted {
            let (tenant, wanted, found) = ((*name).to_owned(), wanted.objects, found.objects);
            faults.push(Fault::Tenant { collection: collection(), tenant, wanted, found });
        }
    }
    let tenants = |count: Option<usize>| count.map(|count| format!(" in {count} tenants")).unwrap_or_default();
    let found = index.tenants.as_ref().map(Vec::len);
    if all != note.contents || found != note.tenants || index.parts.len() != note.parts || index.collection != note.name
    {
        let wanted = format!("{}{} in {} parts", note.contents, tenants(note.tenants), note.parts);
        let found = format!("{all}{} in {} parts of {}", tenants(found), index.parts.len(), index.collection);
        faults.push(Fault::Totals { collection: collection(), wanted, found });
    }
    faults
}

async fn look<S: Store>(
    store: &S,
    run: &str,
    data: DataFormat,
    columns: &Arc<Columns>,
    part: &Part,
    depth: Depth,
) -> Result<Findings, PortError> {
    let bytes = match file(store, run, &part.file).await? {
        Ok(bytes) => bytes,
        Err(fault) => return Ok(Findings::of(fault)),
    };
    let mut findings = Findings { files: 1, bytes: part.file.bytes, ..Findings::default() };
    if depth == Depth::Objects {
        let (columns, part) = (columns.clone(), part.clone());
        let (objects, fault) = beside(move || decode(bytes, data, &columns, &part)).await?;
        findings.objects = objects;
        findings.faults.extend(fault);
    }
    Ok(findings)
}

fn decode(bytes: Bytes, data: DataFormat, columns: &Arc<Columns>, part: &Part) -> (u64, Option<Fault>) {
    let key = || part.file.key.clone();
    let undecodable = |error: &dyn fmt::Display| Fault::Undecodable { key: key(), reason: error.to_string() };
    let groups = match open(bytes, data, columns) {
        Ok(groups) => groups,
        Err(error) => return (0, Some(undecodable(&error))),
    };
    let (mut contents, mut last) = (Contents::default(), None);
    for group in groups {
        let objects = match group {
            Ok(objects) => objects,
            Err(error) => return (contents.objects, Some(undecodable(&error))),
        };
        for object in &objects {
            let is_out = last.is_some_and(|last| object.id <= last) || object.id < part.first || object.id > part.last;
            if is_out {
                return (contents.objects, Some(Fault::Order { key: key(), id: object.id }));
            }
            last = Some(object.id);
            contents.add(object);
        }
    }
    let fault = if contents.objects == part.contents.objects {
        (contents != part.contents).then(|| Fault::Objects { key: key() })
    } else {
        Some(Fault::Count { key: key(), wanted: part.contents.objects, found: contents.objects })
    };
    (contents.objects, fault)
}

/// Notes beside a run that it was read back, for retention. Only its owner may.
pub async fn record<S: Store, C: Clock>(store: &S, run: &str, owner: &Owner, clock: &C) -> Result<bool, StoredError> {
    let marker = stored::read::<Marker, _>(store, layout::OWNER).await?;
    if marker.is_none_or(|(marker, _)| marker.owner != *owner) {
        return Ok(false);
    }
    let key = layout::in_run(run, layout::MANIFEST);
    let found = stored::read::<Manifest, _>(store, &key).await?;
    let (_, bytes) = found.ok_or(StoredError::Missing(key))?;
    let verified =
        Verified { format: FORMAT.to_owned(), version: FORMAT_VERSION, at: clock.now(), manifest: Digest::of(&bytes) };
    let key = layout::in_run(run, layout::VERIFIED);
    store.put(&key, document(&verified), Mode::Overwrite).await?;
    Ok(true)
}
