//! Writes a run: parts first, the indexes of their collections then, the manifest last. Whatever happens before the
//! manifest is there, there is no run; once it is there, everything that it names is.
//!
//! What a run contains while others write: every object that was there when reading began and was neither changed nor
//! deleted until it ended, as it was; of an object that was changed meanwhile one of its states; an object that was
//! added or deleted meanwhile, or not. There is no one moment that all objects are of. A class that was changed
//! meanwhile ends the run without a manifest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use uuid::Uuid;

use super::columns::{Columns, Unwritable};
use super::digest::Contents;
use super::layout;
use super::manifest::{
    Begun, CollectionNote, DataFormat, FORMAT, FORMAT_VERSION, FileNote, Index, Manifest, Marker, Owner, Part,
    ReplicasNote, TenantNote,
};
use super::part::{EncodeError, Finished, PartWriter};
use super::ports::{Described, Got, Mode, ObjectSource, Page, Put, Store, Stretch, TenantState};
use super::stored::{self, StoredError, document};
use crate::checkpoint::Digest;
use crate::ports::{Clock, PortError};
use crate::retry::{Faults, Patience, Retry, Stop, with_retry};

/// Stretches that are read at once, unless it is said otherwise. Each holds a part, at most 32 MiB, and a page.
pub const LANES: usize = 4;

/// What becomes of tenants that are at rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cold {
    /// They end the run before anything is written.
    Refuse,
    /// They are woken, read, and put back to rest.
    Wake,
    /// They are left out, and the run says so.
    Skip,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Order {
    /// The run's id.
    pub run: String,
    /// Who writes it.
    pub owner: Owner,
    /// The collections, by name.
    pub collections: Vec<String>,
    /// How parts are written.
    pub data: DataFormat,
    /// What becomes of tenants that are at rest.
    pub cold: Cold,
    /// Stretches that are read at once.
    pub lanes: usize,
    /// With what failed calls are met.
    pub retry: Retry,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The prefix is somebody else's.
    #[error("the prefix belongs to {owner}, not to {asked}: use another prefix, or say whose it is")]
    NotOwner {
        /// Whose it is.
        owner: Box<Owner>,
        /// Who asked.
        asked: Box<Owner>,
    },
    /// There is a run of that id, or the beginning of one.
    #[error("run {0} was begun before")]
    RunExists(String),
    /// A name that no class has.
    #[error("there is no collection {0}")]
    NoCollection(String),
    /// A collection that cannot be written.
    #[error("collection {collection}: {source}")]
    Unwritable {
        /// Which.
        collection: String,
        /// Why.
        source: Unwritable,
    },
    /// Tenants whose objects cannot be read as they are.
    #[error(
        "collection {collection}: {count} tenants are not active ({}): wake them, have them woken for the run, or leave \
         them out", .first.join(", ")
    )]
    Asleep {
        /// Of which collection.
        collection: String,
        /// How many.
        count: usize,
        /// The first of them.
        first: Vec<String>,
    },
    /// The class is not what it was when reading began.
    #[error("collection {0} was changed while it was read: its parts do not fit together; begin another run")]
    Changed(String),
    /// The source broke its promise.
    #[error("collection {collection}: object {id} does not come after the one before it")]
    Disorder {
        /// Of which collection.
        collection: String,
        /// The object.
        id: Uuid,
    },
    /// An object that cannot be written.
    #[error("collection {collection}: an object cannot be written")]
    Encode {
        /// Of which collection.
        collection: String,
        /// Why.
        source: EncodeError,
    },
    /// A file of the store is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It was asked to stop.
    #[error("stopped as asked; there is no run")]
    Stopped,
}

/// How far a run is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Objects that were read.
    pub objects: AtomicU64,
    /// Bytes of parts that were written.
    pub bytes: AtomicU64,
}

/// Names of tenants that a message has at most.
const NAMED: usize = 5;

/// What a run is written with.
pub struct Writer<'a, S, O, C> {
    /// Where to.
    pub store: &'a S,
    /// Where from.
    pub source: &'a O,
    /// The time.
    pub clock: &'a C,
    /// Ends it early, without a run.
    pub stop: &'a Stop,
    /// How far it is.
    pub progress: &'a Progress,
    /// What is to be written.
    pub order: &'a Order,
}

/// A collection that is read.
struct Reading<'a> {
    name: &'a str,
    columns: Arc<Columns>,
}

/// What was read of one stretch.
#[derive(Default)]
struct Read {
    parts: Vec<Part>,
    replicas: ReplicasNote,
}

impl<S: Store, O: ObjectSource, C: Clock> Writer<'_, S, O, C> {
    /// Writes the run.
    pub async fn write(&self) -> Result<Manifest, WriteError> {
        let started_at = self.clock.now();
        // Everything that can be refused is refused before the first write.
        let mut described = Vec::new();
        for name in &self.order.collections {
            described.push((name, self.describe(name).await?));
        }
        self.own(started_at).await?;
        let begun = Begun {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            owner: self.order.owner.clone(),
            at: started_at,
        };
        if self.put(layout::BEGUN, document(&begun), Mode::Create).await? == Put::Exists {
            return Err(WriteError::RunExists(self.order.run.clone()));
        }
        let mut collections = Vec::new();
        for (name, (described, columns)) in described {
            collections.push(self.collection(name, described, columns).await?);
        }
        collections.sort_by(|one, other| one.name.cmp(&other.name));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            run: self.order.run.clone(),
            owner: self.order.owner.clone(),
            started_at,
            finished_at: self.clock.now(),
            source: self.call(async || self.source.about().await).await?,
            tool: concat!("elysia-operator ", env!("CARGO_PKG_VERSION")).to_owned(),
            data: self.order.data,
            collections,
        };
        self.alive()?;
        let bytes = document(&manifest);
        // An answer that was lost is no failure, so this may find its own manifest.
        if self.put(layout::MANIFEST, bytes.clone(), Mode::Create).await? == Put::Exists {
            let key = layout::in_run(&self.order.run, layout::MANIFEST);
            let got = self.call(async || self.store.get(&key, bytes.len() as u64).await).await?;
            if got != Got::Bytes(bytes) {
                return Err(WriteError::RunExists(self.order.run.clone()));
            }
        }
        Ok(manifest)
    }

    /// The prefix is ours, or becomes ours.
    async fn own(&self, now: Timestamp) -> Result<(), WriteError> {
        let owner = &self.order.owner;
        let marker = Marker { format: FORMAT.to_owned(), version: FORMAT_VERSION, owner: owner.clone(), since: now };
        let put = self.call(async || self.store.put(layout::OWNER, document(&marker), Mode::Create).await).await?;
        if put == Put::Written {
            return Ok(());
        }
        let found = self.call(async || Ok(stored::read::<Marker, _>(self.store, layout::OWNER).await)).await??;
        match found {
            Some((marker, _)) if marker.owner == *owner => Ok(()),
            Some((marker, _)) => {
                Err(WriteError::NotOwner { owner: Box::new(marker.owner), asked: Box::new(owner.clone()) })
            }
            None => Err(StoredError::Missing(layout::OWNER.to_owned()).into()),
        }
    }

    async fn describe(&self, name: &str) -> Result<(Described, Columns), WriteError> {
        let found = self.call(async || self.source.describe(name).await).await?;
        let described = found.ok_or_else(|| WriteError::NoCollection(name.to_owned()))?;
        let columns = Columns::of_class(&described.schema)
            .map_err(|source| WriteError::Unwritable { collection: name.to_owned(), source })?;
        let is_unreadable = |tenant: &&TenantState| match self.order.cold {
            Cold::Refuse => !tenant.is_awake(),
            Cold::Wake => !tenant.is_awake() && !tenant.is_cold(),
            Cold::Skip => false,
        };
        let asleep: Vec<_> = described.tenants.iter().flatten().filter(is_unreadable).collect();
        if asleep.is_empty() {
            return Ok((described, columns));
        }
        Err(WriteError::Asleep {
            collection: name.to_owned(),
            count: asleep.len(),
            first: asleep.iter().take(NAMED).map(|tenant| format!("{} is {}", tenant.name, tenant.activity)).collect(),
        })
    }

    async fn collection(&self, name: &str, was: Described, columns: Columns) -> Result<CollectionNote, WriteError> {
        let reading = Reading { name, columns: Arc::new(columns) };
        let mut index = Index {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            collection: name.to_owned(),
            schema: was.schema,
            aliases: was.aliases,
            columns: (*reading.columns).clone(),
            tenants: None,
            parts: Vec::new(),
        };
        let mut replicas = ReplicasNote { compared: true, ..ReplicasNote::default() };
        match was.tenants {
            None => {
                let read = self.objects(&reading, None).await?;
                index.parts = read.parts;
                replicas.join(read.replicas);
            }
            Some(tenants) => {
                let notes = index.tenants.insert(Vec::new());
                for tenant in tenants {
                    let (note, read) = self.tenant(&reading, tenant).await?;
                    notes.push(note);
                    index.parts.extend(read.parts);
                    replicas.join(read.replicas);
                }
            }
        }
        self.unchanged(name, &index).await?;

        let mut contents = Contents::default();
        index.parts.iter().for_each(|part| contents.join(&part.contents));
        let bytes = document(&index);
        let key = layout::index(name);
        let note = FileNote { key: key.clone(), bytes: bytes.len() as u64, sha256: Digest::of(&bytes) };
        self.put(&key, bytes, Mode::Overwrite).await?;
        Ok(CollectionNote {
            name: name.to_owned(),
            contents,
            parts: index.parts.len(),
            bytes: index.parts.iter().map(|part| part.file.bytes).sum(),
            tenants: index.tenants.as_ref().map(Vec::len),
            left_out: index.tenants.iter().flatten().filter(|tenant| tenant.contents.is_none()).count(),
            replicas,
            index: note,
        })
    }

    /// The class must be what the parts were written by. Its settings may have changed, its properties and vectors not.
    async fn unchanged(&self, name: &str, index: &Index) -> Result<(), WriteError> {
        let now = self.call(async || self.source.describe(name).await).await?;
        let columns = now.and_then(|now| Columns::of_class(&now.schema).ok());
        if columns.as_ref() == Some(&index.columns) { Ok(()) } else { Err(WriteError::Changed(name.to_owned())) }
    }

    async fn tenant(&self, reading: &Reading<'_>, tenant: TenantState) -> Result<(TenantNote, Read), WriteError> {
        let is_woken = tenant.is_cold() && self.order.cold == Cold::Wake;
        if !tenant.is_awake() && !is_woken {
            let note = TenantNote { name: tenant.name, activity: tenant.activity, contents: None };
            let read = Read { replicas: ReplicasNote { compared: true, ..ReplicasNote::default() }, ..Read::default() };
            return Ok((note, read));
        }
        let name = tenant.name.as_str();
        if is_woken {
            self.call(async || self.source.set_awake(reading.name, name, true).await).await?;
        }
        let read = self.objects(reading, Some(name)).await;
        if is_woken {
            // Also when reading failed.
            self.call(async || self.source.set_awake(reading.name, name, false).await).await?;
        }
        let read = read?;
        let mut contents = Contents::default();
        read.parts.iter().for_each(|part| contents.join(&part.contents));
        Ok((TenantNote { name: tenant.name, activity: tenant.activity, contents: Some(contents) }, read))
    }

    /// All objects of one tenant, several stretches at once.
    async fn objects(&self, reading: &Reading<'_>, tenant: Option<&str>) -> Result<Read, WriteError> {
        let slices = self.call(async || self.source.slices(reading.name, tenant).await).await?.clamp(1, MOST_SLICES);
        let lanes = (0..slices).map(|slice| self.stretch(reading, tenant, slice, slices));
        let reads: Vec<Read> = stream::iter(lanes).buffered(self.order.lanes.max(1)).try_collect().await?;
        let mut all = Read { replicas: ReplicasNote { compared: true, ..ReplicasNote::default() }, ..Read::default() };
        for read in reads {
            all.parts.extend(read.parts);
            all.replicas.join(read.replicas);
        }
        Ok(all)
    }

    async fn stretch(
        &self,
        reading: &Reading<'_>,
        tenant: Option<&str>,
        slice: usize,
        slices: usize,
    ) -> Result<Read, WriteError> {
        let mut read = Read { replicas: ReplicasNote { compared: true, ..ReplicasNote::default() }, ..Read::default() };
        let (mut after, until) = bounds(slice, slices);
        let mut part = None;
        loop {
            self.alive()?;
            let stretch = Stretch { collection: reading.name, tenant, slice, after, until };
            let Page { objects, replicas } = self.call(async || self.source.page(stretch).await).await?;
            read.replicas.join(replicas);
            let Some(last) = objects.last().map(|object| object.id) else { break };
            for (before, object) in std::iter::once(after).chain(objects.iter().map(|it| Some(it.id))).zip(&objects) {
                if before.is_some_and(|before| object.id <= before) || until.is_some_and(|until| object.id >= until) {
                    return Err(WriteError::Disorder { collection: reading.name.to_owned(), id: object.id });
                }
            }
            self.progress.objects.fetch_add(objects.len() as u64, Ordering::Relaxed);
            after = Some(last);
            let filled = self.append(reading, part.take(), objects).await?;
            if filled.is_full() {
                self.close(reading, tenant, slice, filled, &mut read.parts).await?;
            } else {
                part = Some(filled);
            }
        }
        if let Some(part) = part {
            self.close(reading, tenant, slice, part, &mut read.parts).await?;
        }
        Ok(read)
    }

    /// Encoding takes milliseconds for a page: it is done beside the threads that wait for answers.
    async fn append(
        &self,
        reading: &Reading<'_>,
        part: Option<PartWriter>,
        objects: Vec<crate::object::Object>,
    ) -> Result<PartWriter, WriteError> {
        let (data, columns) = (self.order.data, reading.columns.clone());
        let encode = move || {
            let mut part = part.map_or_else(|| PartWriter::new(data, &columns), Ok)?;
            objects.iter().try_for_each(|object| part.push(object))?;
            Ok(part)
        };
        beside(encode).await?.map_err(|source| unencoded(reading, source))
    }

    async fn close(
        &self,
        reading: &Reading<'_>,
        tenant: Option<&str>,
        slice: usize,
        part: PartWriter,
        parts: &mut Vec<Part>,
    ) -> Result<(), WriteError> {
        let finished = beside(move || {
            let finished = part.finish()?;
            Ok(finished.map(|finished| (Digest::of(&finished.bytes), finished)))
        });
        let finished = finished.await?.map_err(|source| unencoded(reading, source))?;
        let Some((sha256, Finished { bytes, contents, first, last })) = finished else { return Ok(()) };
        let key = layout::part(reading.name, tenant, slice, parts.len(), self.order.data);
        let size = bytes.len() as u64;
        self.put(&key, bytes.into(), Mode::Overwrite).await?;
        self.progress.bytes.fetch_add(size, Ordering::Relaxed);
        let file = FileNote { key, bytes: size, sha256 };
        parts.push(Part { tenant: tenant.map(str::to_owned), file, contents, first, last });
        Ok(())
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, WriteError> {
        let key = layout::in_run(&self.order.run, key);
        Ok(self.call(async || self.store.put(&key, bytes.clone(), mode).await).await?)
    }

    fn alive(&self) -> Result<(), WriteError> {
        if self.stop.is_set() { Err(WriteError::Stopped) } else { Ok(()) }
    }

    async fn call<T>(&self, call: impl AsyncFnMut() -> Result<T, PortError>) -> Result<T, PortError> {
        let faults = Faults::default();
        let patience =
            Patience { retry: self.order.retry, clock: self.clock, stop: self.stop, faults: &faults, breaker: None };
        with_retry(&patience, call).await
    }
}

fn unencoded(reading: &Reading<'_>, source: EncodeError) -> WriteError {
    WriteError::Encode { collection: reading.name.to_owned(), source }
}

/// The most stretches: an id's first byte tells them apart.
pub const MOST_SLICES: usize = 256;

/// Where a stretch begins and ends: its share of all ids. `None` is the lowest, and beyond the highest.
fn bounds(slice: usize, slices: usize) -> (Option<Uuid>, Option<Uuid>) {
    let share = |slice: usize| {
        let part = u128::MAX / slices.max(1) as u128 * slice as u128;
        Uuid::from_u128(part)
    };
    let after = (slice > 0).then(|| Uuid::from_u128(share(slice).as_u128() - 1));
    (after, (slice + 1 < slices).then(|| share(slice + 1)))
}

/// Runs what takes long beside the threads that wait for answers.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PortError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| PortError {
        category: crate::category::Category::Unknown,
        retryable: false,
        message: format!("a thread ended: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_meet_and_leave_nothing_out() {
        for slices in [1, 2, 3, 16, 256] {
            let all: Vec<_> = (0..slices).map(|slice| bounds(slice, slices)).collect();
            assert_eq!((all[0].0, all[slices - 1].1), (None, None));
            for pair in all.windows(2) {
                let (end, begin) = (pair[0].1.unwrap().as_u128(), pair[1].0.unwrap().as_u128());
                assert_eq!(end, begin + 1);
            }
        }
    }
}
