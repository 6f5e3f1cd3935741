//! Writes a run: parts first, the indexes of their collections then, the manifest last. Whatever happens before the
//! manifest is there, there is no run; once it is there, everything that it names is.
//!
//! What a run contains while others write: every object that was there when reading began and was neither changed nor
//! deleted until it ended, as it was; of an object that was changed meanwhile one of its states; an object that was
//! added or deleted meanwhile, or not. There is no one moment that all objects are of. A class that was changed
//! meanwhile ends the run without a manifest.
//!
//! A run that builds on another reads every object as well, and writes those alone that are not what the base has; what
//! vanished is listed, and a roll says whose parts hold what lives ([`super::roll`]). What was chosen by a filter and
//! what not is the same everywhere: what is not meant is not there.

mod base;
mod error;
mod lane;
mod lanes;
mod objects;
mod tenants;
mod woken;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

pub use error::WriteError;
use lanes::Lanes;
pub use woken::{Woken, put_back, woken};

use super::catalogue;
use super::columns::Columns;
use super::filter::{Expression, Filter};
use super::layout;
use super::level::Level;
use super::manifest::{
    BaseNote, Begun, DOCUMENT_BYTES, DataFormat, FORMAT, FORMAT_VERSION, FileNote, FilterNote, MOST_BASES, Manifest,
    Marker, Owner, RunMode,
};
use super::opened::Chain;
use super::patient::Patient;
use super::ports::{Described, Got, Mode, ObjectSource, Put, Store, TenantState};
use super::seal::{Key, SealError, Sealer};
use super::stages::StageTime;
use super::stored::{self, StoredError, document};
use crate::checkpoint::Digest;
use crate::ports::{Clock, PortError};
use crate::retry::{Retry, Stop, patiently};

/// Stretches that are read at once, unless it is said otherwise. Each holds a part, 16 MiB, and a page.
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
    /// Whether these are all that there are: one that cannot be written is then left out and named, and the others are
    /// written. One that was asked for by name ends the run.
    pub is_all: bool,
    /// How parts are written.
    pub data: DataFormat,
    /// How hard parts are compressed.
    pub level: Level,
    /// What is held of the collections.
    pub mode: RunMode,
    /// Which objects are meant; `None`: all.
    pub filter: Option<Expression>,
    /// The run to build on; `None`: this one stands for itself.
    pub base: Option<String>,
    /// What parts and indexes are encrypted with; `None`: nothing.
    pub key: Option<Key>,
    /// What becomes of tenants that are at rest.
    pub cold: Cold,
    /// Stretches that are read at once.
    pub lanes: usize,
    /// With what failed calls are met.
    pub retry: Retry,
}

impl Order {
    /// A full run of these collections as Parquet, with everything as is usual.
    pub fn new(run: String, owner: Owner, collections: Vec<String>) -> Self {
        Self {
            run,
            owner,
            collections,
            is_all: false,
            data: DataFormat::Parquet,
            level: Level::Usual,
            mode: RunMode::Full,
            filter: None,
            base: None,
            key: None,
            cold: Cold::Refuse,
            lanes: LANES,
            retry: Retry::default(),
        }
    }
}

/// What the manifest says of a filter.
pub fn filter_note(filter: &Expression, key: Option<&Key>) -> FilterNote {
    let text = filter.to_string();
    match key {
        None => FilterNote { digest: Digest::of(text.as_bytes()), text: Some(text) },
        Some(key) => FilterNote { digest: key.mark(&text), text: None },
    }
}

/// How far a run is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Objects that were read.
    pub objects: AtomicU64,
    /// Objects that there are, for whoever shows how far it is; 0: not known. Whoever counted them sets it.
    pub total: AtomicU64,
    /// Bytes of parts that were written.
    pub bytes: AtomicU64,
    /// About the bytes of the objects that were read.
    pub read_bytes: AtomicU64,
    /// Time of waiting for pages.
    pub reading: StageTime,
    /// Time of choosing, encoding and encrypting.
    pub encoding: StageTime,
    /// Time of waiting for the store.
    pub writing: StageTime,
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
    filter: Option<Arc<Filter>>,
}

/// A run that is being written.
struct Job<'a, 'b, S, O, C> {
    writer: &'a Writer<'b, S, O, C>,
    sealer: Option<Arc<Sealer>>,
    base: Option<Chain>,
    lanes: Lanes,
}

impl<S: Store, O: ObjectSource, C: Clock> Writer<'_, S, O, C> {
    /// Writes the run.
    pub async fn write(&self) -> Result<Manifest, WriteError> {
        let started_at = self.clock.now();
        let order = self.order;
        // Everything that can be refused is refused before the first write.
        order.level.check(order.data)?;
        let (described, lacks) = self.described().await?;
        let sealer = order.key.as_ref().map(|key| Sealer::new(key, &order.run)).transpose()?.map(Arc::new);
        let base = self.base().await?;
        let job = Job { writer: self, sealer, lanes: Lanes::new(order.lanes, base.as_ref(), self.stop), base };
        self.own(started_at).await?;
        let base = job.base.as_ref().map(noted).unwrap_or_default();
        let begun = Begun {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            owner: order.owner.clone(),
            at: started_at,
            base: base.iter().map(|base| base.run.clone()).collect(),
        };
        let begun = document(&begun);
        self.create(layout::BEGUN, &begun).await?;
        let mut collections = job.collections(described).await?;
        // What a restore wrote into meanwhile is half of one state and half of another.
        let cluster = &order.owner.cluster;
        let restored = catalogue::restored(&self.patient(), cluster, started_at).await?;
        collections.retain(|note| !restored.contains_key(&note.name));
        if let (true, Some(first)) = (collections.is_empty(), order.collections.first()) {
            // It would count as a run, and hold nothing.
            let why = restored.get(first).map(catalogue::Restoring::why).unwrap_or_default();
            return Err(WriteError::Restored { collection: first.clone(), why });
        }
        collections.sort_by(|one, other| one.name.cmp(&other.name));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            run: order.run.clone(),
            owner: order.owner.clone(),
            started_at,
            finished_at: self.clock.now(),
            source: self.call(async || self.source.about().await).await?,
            tool: concat!("elysia-operator ", env!("CARGO_PKG_VERSION")).to_owned(),
            data: order.data,
            mode: order.mode,
            filter: order.filter.as_ref().map(|filter| filter_note(filter, order.key.as_ref())),
            base,
            encryption: order.key.as_ref().map(Key::note),
            native: None,
            lacks,
            collections,
        };
        self.alive()?;
        // Whoever removed it in the meantime has taken parts away, or will.
        if self.get(&order.run, layout::BEGUN, begun.len() as u64).await? != Got::Bytes(begun) {
            return Err(WriteError::Removed(order.run.clone()));
        }
        for base in &manifest.base {
            match self.get(&base.run, layout::MANIFEST, DOCUMENT_BYTES).await? {
                Got::Bytes(bytes) if Digest::of(&bytes) == base.manifest => {}
                _ => return Err(WriteError::BaseRemoved(base.run.clone())),
            }
        }
        self.create(layout::MANIFEST, &document(&manifest)).await?;
        Ok(manifest)
    }

    /// Writes a file of the run that nobody else has written.
    async fn create(&self, key: &str, bytes: &Bytes) -> Result<(), WriteError> {
        // An answer that was lost is no failure, so this may find its own file.
        if self.put(key, bytes.clone(), Mode::Create).await? == Put::Exists
            && self.get(&self.order.run, key, bytes.len() as u64).await? != Got::Bytes(bytes.clone())
        {
            return Err(WriteError::RunExists(self.order.run.clone()));
        }
        Ok(())
    }

    async fn get(&self, run: &str, key: &str, most: u64) -> Result<Got, WriteError> {
        let key = layout::in_run(run, key);
        Ok(self.call(async || self.store.get(&key, most).await).await?)
    }

    /// The run to build on, with those that it builds on itself.
    async fn base(&self) -> Result<Option<Chain>, WriteError> {
        let Some(run) = &self.order.base else { return Ok(None) };
        let refuse = |reason: String| WriteError::Base { run: run.clone(), reason };
        if !layout::is_run_id(run) {
            return Err(refuse("this is no run's id".to_owned()));
        }
        let key = self.order.key.as_ref();
        let chain = Chain::open(&self.patient(), run, key).await?.map_err(|fault| refuse(fault.to_string()))?;
        let manifest = &chain.own().manifest;
        let filter = self.order.filter.as_ref().map(|filter| filter_note(filter, key).digest);
        let reason = if manifest.owner != self.order.owner {
            format!("it belongs to {}", manifest.owner)
        } else if manifest.mode != RunMode::Full || self.order.mode != RunMode::Full {
            "a run without objects neither builds on another nor is built on".to_owned()
        } else if manifest.filter.as_ref().map(|filter| filter.digest) != filter {
            "it was written with another filter".to_owned()
        } else if manifest.encryption != key.map(Key::note) {
            "it was encrypted with another key, or not".to_owned()
        } else if chain.runs().len() > MOST_BASES {
            format!("it builds on {MOST_BASES} others already")
        } else {
            return Ok(Some(chain));
        };
        Err(refuse(reason))
    }

    /// The prefix is ours, or becomes ours.
    async fn own(&self, now: Timestamp) -> Result<(), WriteError> {
        let owner = &self.order.owner;
        let marker = Marker { format: FORMAT.to_owned(), version: FORMAT_VERSION, owner: owner.clone(), since: now };
        self.call(async || self.store.put(layout::OWNER, document(&marker), Mode::Create).await).await?;
        // Read back whatever the answer is: who writes here goes by what the store holds, not by what it said.
        let found = stored::read::<Marker, _>(&self.patient(), layout::OWNER).await?;
        match found {
            Some((marker, _)) if marker.owner == *owner => Ok(()),
            Some((marker, _)) => {
                Err(WriteError::NotOwner { owner: Box::new(marker.owner), asked: Box::new(owner.clone()) })
            }
            None => Err(StoredError::Missing(layout::OWNER.to_owned()).into()),
        }
    }

    /// The collections that are written, and those of all that cannot be, with why.
    async fn described(&self) -> Result<(Vec<(Reading<'_>, Described)>, BTreeMap<String, String>), WriteError> {
        let (mut described, mut lacks, mut first) = (Vec::new(), BTreeMap::new(), None);
        for name in &self.order.collections {
            match self.describe(name).await {
                Ok(found) => described.push(found),
                Err(error) => {
                    let why = error.of_its_class(self.order.cold).filter(|_| self.order.is_all);
                    let Some(why) = why else { return Err(error) };
                    lacks.insert(name.clone(), why);
                    first.get_or_insert(error);
                }
            }
        }
        // A run of nothing at all would be taken for a good one.
        match first {
            Some(error) if described.is_empty() => Err(error),
            _ => Ok((described, lacks)),
        }
    }

    async fn describe<'a>(&self, name: &'a str) -> Result<(Reading<'a>, Described), WriteError> {
        let found = self.call(async || self.source.describe(name).await).await?;
        let described = found.ok_or_else(|| WriteError::NoCollection(name.to_owned()))?;
        let is_full = self.order.mode == RunMode::Full;
        let columns = match Columns::of_class(&described.schema) {
            Ok(columns) => columns,
            // Without objects nothing needs a column.
            Err(_) if !is_full => Columns::default(),
            Err(why) => return Err(WriteError::Unwritable { collection: name.to_owned(), why }),
        };
        let has_times = self.source.tells_times();
        let filter = self.order.filter.as_ref().map(|filter| filter.check(&described.schema, has_times)).transpose();
        let filter = filter.map_err(|source| WriteError::Filter { collection: name.to_owned(), source })?;
        let is_unreadable = |tenant: &&TenantState| match self.order.cold {
            Cold::Refuse => !tenant.is_awake(),
            Cold::Wake => !tenant.is_awake() && !tenant.is_cold(),
            Cold::Skip => false,
        };
        let asleep: Vec<_> = described.tenants.iter().flatten().filter(is_unreadable).collect();
        if asleep.is_empty() || !is_full {
            let reading = Reading { name, columns: Arc::new(columns), filter: filter.map(Arc::new) };
            return Ok((reading, described));
        }
        Err(WriteError::Asleep {
            collection: name.to_owned(),
            count: asleep.len(),
            first: asleep.iter().take(NAMED).map(|tenant| format!("{} is {}", tenant.name, tenant.activity)).collect(),
        })
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, WriteError> {
        let key = layout::in_run(&self.order.run, key);
        Ok(self.call(async || self.store.put(&key, bytes.clone(), mode).await).await?)
    }

    fn alive(&self) -> Result<(), WriteError> {
        if self.stop.is_set() { Err(WriteError::Stopped) } else { Ok(()) }
    }

    async fn call<T>(&self, call: impl AsyncFnMut() -> Result<T, PortError>) -> Result<T, PortError> {
        patiently((self.order.retry, self.clock, self.stop), call).await
    }

    /// The store for what asks it several times: each of the calls is tried.
    fn patient(&self) -> Patient<'_, S, C> {
        Patient::new(self.store, (self.order.retry, self.clock, self.stop))
    }
}

impl<S: Store, O: ObjectSource, C: Clock> Job<'_, '_, S, O, C> {
    /// Writes a file of the run, encrypted where that was asked for.
    async fn file(&self, key: String, bytes: Vec<u8>) -> Result<FileNote, WriteError> {
        let (with, name) = (self.sealer.clone(), key.clone());
        let work = beside(move || {
            let bytes = match with {
                Some(sealer) => sealer.seal(&name, bytes)?,
                None => bytes,
            };
            Ok::<_, SealError>((Digest::of(&bytes), bytes))
        });
        let Writer { clock, progress, .. } = self.writer;
        let (sha256, bytes) = progress.encoding.of(*clock, work).await??;
        let size = bytes.len() as u64;
        progress.writing.of(*clock, self.writer.put(&key, bytes.into(), Mode::Overwrite)).await?;
        progress.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(FileNote { key, bytes: size, sha256 })
    }
}

/// What the manifest says of the runs that are built on.
fn noted(chain: &Chain) -> Vec<BaseNote> {
    let note = |run: &super::opened::OpenRun| BaseNote { run: run.manifest.run.clone(), manifest: run.sha256 };
    chain.runs().iter().map(note).collect()
}

/// The most stretches: an id's first byte tells them apart.
pub const MOST_SLICES: usize = 256;

/// Where a stretch begins and ends: its share of all ids. `None` is the lowest, and beyond the highest.
pub(crate) fn bounds(slice: usize, slices: usize) -> (Option<Uuid>, Option<Uuid>) {
    let share = |slice: usize| {
        let part = u128::MAX / slices.max(1) as u128 * slice as u128;
        Uuid::from_u128(part)
    };
    let after = (slice > 0).then(|| Uuid::from_u128(share(slice).as_u128() - 1));
    (after, (slice + 1 < slices).then(|| share(slice + 1)))
}

/// Threads for what takes long beside those that wait for answers: enough for every lane to encode while the store's files
/// are written. What one of them has allocated and another freed comes back only when it is its turn again, so with as many
/// threads as tokio makes (512) memory grew with the time that a backup took: in `soak backup-scale`, at 100 GB, to 290 MiB,
/// and with these to 178.
pub const THREADS_BESIDE: usize = 2 * LANES;

/// Runs what takes long beside the threads that wait for answers ([`THREADS_BESIDE`]).
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PortError> {
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
