//! A cluster and a store of any size, which hold nothing of it.
//!
//! Objects follow from collection, tenant and number, and ids ascend with numbers. So a page is made when it is asked for,
//! and a part is made again, by the engine's own encoder, from what its index says of it: its hash has to be the same.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use elysia_engine::backup::columns::Columns;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Index, ReplicasNote, SourceNote};
use elysia_engine::backup::part::PartWriter;
use elysia_engine::backup::ports::{Described, Got, Mode, ObjectSource, Page, Put, Store, Stretch, TenantState};
use elysia_engine::checkpoint::Digest;
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::PortError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::RUN;
use super::random::Random;

/// Nodes of the cluster.
pub(crate) const NODES: usize = 10;
/// Bytes of vectors of the largest collection.
const LARGE_BYTES: u64 = 100_000_000_000;
/// Collections beside the largest and that of tenants.
const COLLECTIONS: u64 = 998;
/// Objects of each of the small ones.
const SMALL: u64 = 100;
/// Tenants of the collection that has some: as many parts, most of them small.
const TENANTS: u64 = 5_000;
/// Objects of each tenant: a million in all.
const OF_A_TENANT: u64 = 200;
/// Numbers of a vector of the largest, as models in use have them, and of the others.
const DIMENSIONS: u64 = 1_536;
const FEW_DIMENSIONS: u64 = 64;
/// As the worker's pages: of large objects 4 MiB, of small ones a thousand.
const PAGE_BYTES: u64 = 4 << 20;
const PAGE_OBJECTS: u64 = 1_000;
/// As the worker's: a stretch for so many objects, two for each node at most.
const STRETCH_OBJECTS: u64 = 2_000;
const STRETCHES: u64 = 2 * NODES as u64;
/// After so many objects it is said how far it is.
const TOLD_EVERY: u64 = 1_000_000;

/// Which of the collections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Large,
    Tenants,
    Small,
}

impl Kind {
    pub(crate) fn of(collection: &str) -> Self {
        match collection {
            "Large" => Self::Large,
            "Tenants" => Self::Tenants,
            _ => Self::Small,
        }
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    fn dimensions(self) -> u64 {
        if self == Self::Large { DIMENSIONS } else { FEW_DIMENSIONS }
    }

    fn page(self) -> u64 {
        (PAGE_BYTES / (self.dimensions() * 4)).min(PAGE_OBJECTS)
    }
}

/// How much there is.
#[derive(Clone)]
pub(crate) struct Scale {
    large: u64,
    small: u64,
    pub(crate) tenants: usize,
}

impl Scale {
    /// This share of everything.
    pub(crate) fn of(share: u64) -> Self {
        let large = LARGE_BYTES.div_ceil(share * DIMENSIONS * 4);
        let tenants = usize::try_from(TENANTS.div_ceil(share)).unwrap();
        Self { large, small: COLLECTIONS.div_ceil(share), tenants }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let small = (0..self.small).map(|number| format!("Small{number:03}"));
        [Kind::Large.name(), Kind::Tenants.name()].into_iter().chain(small).collect()
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Large => self.large,
            Kind::Tenants => OF_A_TENANT * self.tenants as u64,
            Kind::Small => SMALL,
        }
    }

    pub(crate) fn objects(&self) -> u64 {
        self.names().iter().map(|name| self.count(Kind::of(name))).sum()
    }

    /// Of all vectors.
    pub(crate) fn bytes(&self) -> u64 {
        self.names().iter().map(|name| self.count(Kind::of(name)) * Kind::of(name).dimensions() * 4).sum()
    }

    /// What is read as one: the objects of a tenant, or of a collection.
    fn of_one(&self, kind: Kind) -> u64 {
        if kind == Kind::Tenants { OF_A_TENANT } else { self.count(kind) }
    }

    fn slices(&self, kind: Kind) -> u64 {
        (self.of_one(kind) / STRETCH_OBJECTS).clamp(1, STRETCHES)
    }

    /// Stretches of everything.
    pub(crate) fn stretches(&self) -> u64 {
        let of = |kind: Kind| self.slices(kind) * (self.count(kind) / self.of_one(kind));
        self.names().iter().map(|name| of(Kind::of(name))).sum()
    }

    /// Pages that are full, if all are.
    pub(crate) fn full_pages(&self) -> u64 {
        self.names().iter().map(|name| self.count(Kind::of(name)) / Kind::of(name).page()).sum()
    }

    /// Ids of `count` objects are so far from one another, and the first from none.
    fn step(&self, kind: Kind) -> u128 {
        u128::MAX / (u128::from(self.of_one(kind)) + 1)
    }

    fn id(&self, kind: Kind, number: u64) -> Uuid {
        Uuid::from_u128((u128::from(number) + 1) * self.step(kind))
    }

    /// The first object behind this id.
    fn behind(&self, kind: Kind, id: Uuid) -> u64 {
        u64::try_from(id.as_u128() / self.step(kind)).unwrap()
    }

    /// The first object that has this id, or one behind it.
    fn not_before(&self, kind: Kind, id: Uuid) -> u64 {
        u64::try_from(id.as_u128().div_ceil(self.step(kind)).saturating_sub(1)).unwrap()
    }

    fn object(&self, (collection, tenant): (&str, Option<&str>), number: u64) -> Object {
        let kind = Kind::of(collection);
        let place = collection.bytes().chain(tenant.into_iter().flat_map(str::bytes));
        let seed = place.fold(number, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = Random::of(seed);
        let mark = random.below(1 << 20);
        let numbers = (0..kind.dimensions() / 2).flat_map(|_| {
            let bits = random.next();
            // Halves of it, as numbers between -0.5 and 0.5.
            #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
            let float = |bits: u64| (bits & 0xFF_FFFF) as f32 / (1 << 24) as f32 - 0.5;
            [float(bits >> 40), float(bits >> 8)]
        });
        let mut properties = serde_json::Map::new();
        properties.insert("title".to_owned(), format!("object {number} of {collection}").into());
        properties.insert("number".to_owned(), mark.into());
        let vectors = [("default".to_owned(), Vector::Single(numbers.collect()))].into();
        Object { id: self.id(kind, number), properties, vectors }
    }
}

fn class(collection: &str) -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({
        "class": collection,
        "properties": [property("title", "text"), property("number", "int")],
        "vectorConfig": {"default": {"vectorizer": {"none": {}}}},
        "replicationConfig": {"factor": 3},
        "multiTenancyConfig": {"enabled": Kind::of(collection) == Kind::Tenants},
        "shardingConfig": {"desiredCount": NODES},
    })
}

/// How many of something are under way, and how many were at most.
#[derive(Default)]
pub(crate) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

struct Open<'a>(&'a Gauge);

impl Gauge {
    fn open(&self) -> Open<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Open(self)
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The cluster.
pub(crate) struct Vast {
    scale: Scale,
    pub(crate) pages: AtomicU64,
    objects: AtomicU64,
    pub(crate) open: Gauge,
}

impl Vast {
    pub(crate) fn new(scale: Scale) -> Self {
        Self { scale, pages: AtomicU64::new(0), objects: AtomicU64::new(0), open: Gauge::default() }
    }
}

impl ObjectSource for Vast {
    async fn about(&self) -> Result<SourceNote, PortError> {
        Ok(SourceNote { weaviate: "1.38.2".to_owned(), nodes: NODES })
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        let tenant = |number| TenantState { name: format!("tenant-{number:04}"), activity: "HOT".to_owned() };
        let tenants = (Kind::of(collection) == Kind::Tenants).then(|| (0..self.scale.tenants).map(tenant).collect());
        Ok(Some(Described { schema: class(collection), aliases: Vec::new(), tenants }))
    }

    async fn slices(&self, collection: &str, _: Option<&str>) -> Result<usize, PortError> {
        Ok(usize::try_from(self.scale.slices(Kind::of(collection))).unwrap())
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        let _open = self.open.open();
        self.pages.fetch_add(1, Ordering::Relaxed);
        let (kind, scale) = (Kind::of(stretch.collection), self.scale.clone());
        let begin = stretch.after.map_or(0, |after| scale.behind(kind, after));
        let end = stretch.until.map_or(u64::MAX, |until| scale.not_before(kind, until)).min(scale.of_one(kind));
        let next = end.min(begin + kind.page());
        let (collection, tenant) = (stretch.collection.to_owned(), stretch.tenant.map(str::to_owned));
        // Beside the threads that wait, as an answer that comes from elsewhere.
        let objects = tokio::task::spawn_blocking(move || {
            (begin..next).map(|number| scale.object((&collection, tenant.as_deref()), number)).collect::<Vec<_>>()
        });
        let objects = objects.await.unwrap();
        let count = objects.len() as u64;
        let before = self.objects.fetch_add(count, Ordering::Relaxed);
        if before / TOLD_EVERY < (before + count) / TOLD_EVERY {
            println!("{} objects are read", (before + count) / TOLD_EVERY * TOLD_EVERY);
        }
        let replicas = ReplicasNote { compared: true, ..ReplicasNote::default() };
        Ok(Page { objects, replicas, is_last: next == end, ..Page::default() })
    }

    async fn set_awake(&self, _: &str, _: &str, _: bool) -> Result<(), PortError> {
        Ok(())
    }
}

/// Where a part's objects are made again.
#[derive(Clone)]
struct Place {
    collection: Arc<str>,
    tenant: Option<String>,
    columns: Arc<Columns>,
    begin: u64,
    end: u64,
}

/// The store: documents are kept, also in a folder for whoever comes next; of parts their sizes.
pub(crate) struct Remade {
    scale: Scale,
    folder: PathBuf,
    documents: Mutex<BTreeMap<String, Bytes>>,
    sizes: Mutex<HashMap<String, u64>>,
    places: Mutex<HashMap<String, Place>>,
    requests: AtomicU64,
    open: Gauge,
    parts: Gauge,
    making: tokio::sync::Mutex<()>,
}

impl Remade {
    /// With the documents that lie in this folder.
    pub(crate) fn opened(scale: Scale, folder: &Path) -> Self {
        let (documents, sizes, places) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (open, parts) = (Gauge::default(), Gauge::default());
        let (requests, making) = (AtomicU64::new(0), tokio::sync::Mutex::default());
        let folder = folder.join("documents");
        fs::create_dir_all(&folder).unwrap();
        let store = Self { scale, folder, documents, sizes, places, requests, open, parts, making };
        for file in fs::read_dir(&store.folder).unwrap() {
            let file = file.unwrap();
            let (key, bytes) = (key_of(&file.file_name().into_string().unwrap()), fs::read(file.path()).unwrap());
            store.keep(&key, bytes.into());
        }
        store
    }

    /// Keeps a document, and learns from an index where its parts come from.
    fn keep(&self, key: &str, bytes: Bytes) {
        if key.contains("/index/") {
            self.learn(&bytes);
        }
        self.documents.lock().unwrap().insert(key.to_owned(), bytes);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests at once, at most, since this was asked last.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.open.most.swap(0, Ordering::SeqCst)
    }

    /// Parts that were written at once, at most.
    pub(crate) fn most_parts_at_once(&self) -> u64 {
        self.parts.most()
    }

    /// Bytes of a document of the run.
    pub(crate) fn size(&self, key: &str) -> u64 {
        self.documents.lock().unwrap()[&layout::in_run(RUN, key)].len() as u64
    }

    pub(crate) fn largest_index(&self) -> u64 {
        let documents = self.documents.lock().unwrap();
        let indexes = documents.iter().filter(|(key, _)| key.contains("/index/"));
        indexes.map(|(_, bytes)| bytes.len() as u64).max().unwrap()
    }

    fn begin(&self) -> Open<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.open.open()
    }

    /// Notes where the parts of an index come from.
    fn learn(&self, bytes: &[u8]) {
        let index: Index = serde_json::from_slice(bytes).unwrap();
        let (kind, columns) = (Kind::of(&index.collection), Arc::new(index.columns));
        let collection: Arc<str> = index.collection.into();
        let mut places = self.places.lock().unwrap();
        for part in index.parts {
            let (begin, end) = (self.scale.not_before(kind, part.first), self.scale.behind(kind, part.last));
            assert_eq!(part.contents.objects, end - begin, "{}", part.file.key);
            self.sizes.lock().unwrap().insert(layout::in_run(RUN, &part.file.key), part.file.bytes);
            let (collection, columns) = (collection.clone(), columns.clone());
            let place = Place { collection, tenant: part.tenant, columns, begin, end };
            places.insert(layout::in_run(RUN, &part.file.key), place);
        }
    }

    async fn part(&self, key: &str, most: u64) -> Got {
        let size = self.sizes.lock().unwrap().get(key).copied();
        let Some(size) = size else { return Got::Absent };
        if size > most {
            return Got::TooLarge(size);
        }
        let (place, scale) = (self.places.lock().unwrap()[key].clone(), self.scale.clone());
        // What makes a part again is memory of this process, and none of a worker's: one at a time.
        let _making = self.making.lock().await;
        let made = tokio::task::spawn_blocking(move || {
            let mut part = PartWriter::new(DataFormat::Parquet, &place.columns).unwrap();
            for number in place.begin..place.end {
                part.push(scale.object((&place.collection, place.tenant.as_deref()), number)).unwrap();
            }
            part.finish().unwrap().unwrap().bytes
        });
        Got::Bytes(made.await.unwrap().into())
    }
}

/// Keys as names of files of one folder. No key has the mark that stands for what parts it.
fn name_of(key: &str) -> String {
    key.replace('/', "+")
}

fn key_of(name: &str) -> String {
    name.replace('+', "/")
}

fn is_part(key: &str) -> bool {
    key.contains("/data/")
}

impl Store for Remade {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        let _open = self.begin();
        if is_part(key) {
            let _part = self.parts.open();
            tokio::task::yield_now().await;
            let before = self.sizes.lock().unwrap().insert(key.to_owned(), bytes.len() as u64);
            assert_eq!(before, None, "{key} is written once");
            return Ok(Put::Written);
        }
        if mode == Mode::Create && self.documents.lock().unwrap().contains_key(key) {
            return Ok(Put::Exists);
        }
        fs::write(self.folder.join(name_of(key)), &bytes).unwrap();
        self.keep(key, bytes);
        Ok(Put::Written)
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        let _open = self.begin();
        if is_part(key) {
            return Ok(self.part(key, most).await);
        }
        Ok(match self.documents.lock().unwrap().get(key) {
            None => Got::Absent,
            Some(bytes) if bytes.len() as u64 > most => Got::TooLarge(bytes.len() as u64),
            Some(bytes) => Got::Bytes(bytes.clone()),
        })
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        let _open = self.begin();
        let told = |bytes: &[u8]| (bytes.len() as u64, Digest::of(bytes));
        if is_part(key) {
            let Got::Bytes(bytes) = self.part(key, u64::MAX).await else { return Ok(None) };
            return Ok(Some(told(&bytes)));
        }
        Ok(self.documents.lock().unwrap().get(key).map(|bytes| told(bytes)))
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        let _open = self.begin();
        Ok(if folder == layout::RUNS { vec![RUN.to_owned()] } else { Vec::new() })
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        let _open = self.begin();
        let below = format!("{folder}/");
        let documents = self.documents.lock().unwrap();
        Ok(documents.keys().filter(|key| key.starts_with(&below)).take(most).cloned().collect())
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        let _open = self.begin();
        let mut documents = self.documents.lock().unwrap();
        for key in keys.iter().filter(|key| documents.contains_key(*key)) {
            fs::remove_file(self.folder.join(name_of(key))).unwrap();
        }
        documents.retain(|key, _| !keys.contains(key));
        Ok(())
    }
}
