//! The ports of backups in memory: real, small, and able to fail at a chosen effect. An effect is a file that is put or
//! removed, a class or tenant that is made, woken or put to rest, and each single object that is written.

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::filter::Times;
use super::manifest::{ReplicasNote, SourceNote};
use super::ports::{Described, Got, Mode, ObjectSource, Page, Put, Store, Stretch, TenantState};
use crate::category::Category;
use crate::memory::Fuse;
use crate::object::{Object, Vector};
use crate::ports::{PortError, Refusal};
use crate::vectorizers::computed_vectors;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(message: String) -> PortError {
    PortError { category: Category::FileSystem, retryable: false, message }
}

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    fuse: Fuse,
    is_read_only: bool,
    is_append_only: bool,
    most: Option<u64>,
    silent: Option<String>,
}

impl MemoryStore {
    /// The same store as another worker sees it.
    #[must_use]
    pub fn with_fuse(&self, fuse: Fuse) -> Self {
        Self { fuse, ..self.clone() }
    }

    /// The same store for somebody who may only read.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { is_read_only: true, ..self.clone() }
    }

    /// The same store for somebody who may write and not delete.
    #[must_use]
    pub fn append_only(&self) -> Self {
        Self { is_append_only: true, ..self.clone() }
    }

    /// The same store with room for this many bytes in all.
    #[must_use]
    pub fn with_room(&self, bytes: u64) -> Self {
        Self { most: Some(bytes), ..self.clone() }
    }

    /// The same store, which does not answer about keys that end so.
    #[must_use]
    pub fn silent_about(&self, key: &str) -> Self {
        Self { silent: Some(key.to_owned()), ..self.clone() }
    }

    /// All files.
    pub fn files(&self) -> BTreeMap<String, Bytes> {
        lock(&self.files).clone()
    }

    /// Changes a file behind everybody's back; `None` removes it.
    pub fn tamper(&self, key: &str, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => drop(lock(&self.files).insert(key.to_owned(), bytes.into())),
            None => drop(lock(&self.files).remove(key)),
        }
    }
}

impl Store for MemoryStore {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        if self.is_read_only {
            return Err(refuse(format!("{key}: the store is read-only")));
        }
        self.fuse.burn()?;
        let mut files = lock(&self.files);
        if mode == Mode::Create && files.contains_key(key) {
            return Ok(Put::Exists);
        }
        let size: u64 = files.values().map(|file| file.len() as u64).sum::<u64>() + bytes.len() as u64;
        if self.most.is_some_and(|most| size > most) {
            return Err(refuse(format!("{key}: no space left")));
        }
        files.insert(key.to_owned(), bytes);
        drop(files);
        // The worker that dies at this very moment has written, and never learns of it.
        self.fuse.alive()?;
        Ok(Put::Written)
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.fuse.alive()?;
        if self.silent.as_ref().is_some_and(|silent| key.ends_with(silent)) {
            return Err(PortError { retryable: true, ..refuse(format!("{key}: the store does not answer")) });
        }
        Ok(match lock(&self.files).get(key) {
            None => Got::Absent,
            Some(bytes) if bytes.len() as u64 > most => Got::TooLarge(bytes.len() as u64),
            Some(bytes) => Got::Bytes(bytes.clone()),
        })
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.fuse.alive()?;
        let below = format!("{folder}/");
        let files = lock(&self.files);
        let names = files.keys().filter_map(|key| key.strip_prefix(&below)?.split_once('/'));
        Ok(names.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        self.fuse.alive()?;
        let below = format!("{folder}/");
        Ok(lock(&self.files).keys().filter(|key| key.starts_with(&below)).take(most).cloned().collect())
    }

    async fn room(&self) -> Result<Option<u64>, PortError> {
        let used: u64 = lock(&self.files).values().map(|file| file.len() as u64).sum();
        Ok(self.most.map(|most| most.saturating_sub(used)))
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        if self.is_read_only || self.is_append_only {
            return Err(refuse("nothing may be removed from the store".to_owned()));
        }
        for key in keys {
            self.fuse.burn()?;
            lock(&self.files).remove(key);
        }
        self.fuse.alive()
    }
}

/// A class, the activity of its tenants, and its objects by tenant and id.
#[derive(Clone, Debug, Default)]
pub struct MemoryClass {
    /// Weaviate's own JSON.
    pub schema: Value,
    /// Tenants that there are.
    pub tenants: BTreeMap<String, String>,
    /// Objects; those of no tenant under the empty name.
    pub objects: BTreeMap<String, BTreeMap<Uuid, Object>>,
    /// What tells it from another class of its name.
    pub number: u64,
}

/// A cluster in memory: what is read and what is written.
#[derive(Clone, Debug, Default)]
pub struct MemoryCluster {
    classes: Arc<Mutex<BTreeMap<String, MemoryClass>>>,
    fuse: Fuse,
    name: String,
    page: usize,
    slices: usize,
    nodes: usize,
    is_partly_known: bool,
    made: Arc<AtomicU64>,
    version: Option<String>,
    modules: Option<Vec<String>>,
    unhealthy: usize,
    aliases: Arc<Mutex<BTreeMap<String, String>>>,
    frozen: Vec<String>,
    refuses_classes: bool,
    preempting: Option<MemoryClass>,
    has_asked: Arc<AtomicBool>,
    computed: Arc<AtomicU64>,
    is_module_down: bool,
}

/// When an object was made and changed, as this cluster tells it: a day after 2024 began for each of its id's last byte.
pub fn times_of(id: Uuid) -> Times {
    let day = |number: i64| Timestamp::from_second(FIRST_DAY + number * SECONDS_OF_A_DAY).unwrap_or_default();
    let number = i64::from(id.as_bytes()[15]);
    Times { created: day(number), updated: day(number + 1) }
}

/// 2024-01-01.
const FIRST_DAY: i64 = 1_704_067_200;

const SECONDS_OF_A_DAY: i64 = 86_400;

impl MemoryCluster {
    /// One that answers pages of this many objects, in so many stretches.
    pub fn new(page: usize, slices: usize) -> Self {
        Self { page, slices, nodes: 3, ..Self::default() }
    }

    /// The same cluster as another worker sees it.
    #[must_use]
    pub fn with_fuse(&self, fuse: Fuse) -> Self {
        Self { fuse, ..self.clone() }
    }

    /// The same cluster with so many nodes.
    #[must_use]
    pub fn with_nodes(&self, nodes: usize) -> Self {
        Self { nodes, ..self.clone() }
    }

    /// The same cluster, not every node of which can be asked.
    #[must_use]
    pub fn partly_known(&self) -> Self {
        Self { is_partly_known: true, ..self.clone() }
    }

    /// The same cluster with servers of this version.
    #[must_use]
    pub fn with_version(&self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self.clone() }
    }

    /// The same cluster with servers that have these modules.
    #[must_use]
    pub fn with_modules(&self, modules: &[&str]) -> Self {
        Self { modules: Some(modules.iter().map(|&module| module.to_owned()).collect()), ..self.clone() }
    }

    /// The same cluster, of whose nodes so many are not healthy.
    #[must_use]
    pub fn with_unhealthy(&self, unhealthy: usize) -> Self {
        Self { unhealthy, ..self.clone() }
    }

    /// The same cluster, in whose collections shards of these names are read-only.
    #[must_use]
    pub fn with_frozen(&self, shards: &[&str]) -> Self {
        Self { frozen: shards.iter().map(|&shard| shard.to_owned()).collect(), ..self.clone() }
    }

    /// The same cluster, which refuses every class.
    #[must_use]
    pub fn refusing_classes(&self) -> Self {
        Self { refuses_classes: true, ..self.clone() }
    }

    /// The same cluster, in which nothing comes of the first attempt to make a class, and this one is there at the second:
    /// somebody else's, which the client takes for its own.
    #[must_use]
    pub fn preempting(&self, class: MemoryClass) -> Self {
        Self { preempting: Some(class), has_asked: Arc::default(), ..self.clone() }
    }

    /// The same cluster, where the modules that compute vectors do not answer.
    #[must_use]
    pub fn with_modules_down(&self) -> Self {
        Self { is_module_down: true, ..self.clone() }
    }

    /// How many vectors modules were asked for.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// As it is written: with a vector for each that the class has a module for and that it does not bring itself.
    fn with_vectors(&self, schema: &Value, object: &Object) -> Result<Object, Refusal> {
        let mut object = object.clone();
        for (vector, module) in computed_vectors(schema) {
            if object.vectors.contains_key(&vector) {
                continue;
            }
            self.computed.fetch_add(1, Ordering::Relaxed);
            if self.is_module_down {
                // As 1.38.2 says it of one object of a batch, whose others it takes.
                let message = format!("failed to vectorize batch of objects: connection to {module} API failed");
                return Err(Refusal { id: object.id, error: refuse(message) });
            }
            object.vectors.insert(vector, Vector::Single(vec![1.0, 0.0, 0.5]));
        }
        Ok(object)
    }

    /// Lets an alias lead to a collection.
    pub fn set_alias(&self, alias: &str, collection: &str) {
        lock(&self.aliases).insert(alias.to_owned(), collection.to_owned());
    }

    /// Where aliases lead.
    pub fn aliases(&self) -> BTreeMap<String, String> {
        lock(&self.aliases).clone()
    }

    /// This cluster's collection of that name, to be restored into.
    #[must_use]
    pub fn collection(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// Makes or changes a class.
    pub fn set(&self, name: &str, class: MemoryClass) {
        lock(&self.classes).insert(name.to_owned(), class);
    }

    /// A class as it is.
    pub fn get(&self, name: &str) -> Option<MemoryClass> {
        lock(&self.classes).get(name).cloned()
    }

    /// Deletes a class; one that is not there is no error.
    pub fn delete(&self, name: &str) -> Result<(), PortError> {
        self.fuse.burn()?;
        lock(&self.classes).remove(name);
        self.fuse.alive()
    }

    /// The names of all classes.
    pub fn names(&self) -> Vec<String> {
        lock(&self.classes).keys().cloned().collect()
    }

    fn with<T>(&self, change: impl FnOnce(&mut MemoryClass) -> T) -> Result<T, PortError> {
        self.fuse.alive()?;
        let mut classes = lock(&self.classes);
        classes.get_mut(&self.name).map(change).ok_or_else(|| refuse(format!("no class {}", self.name)))
    }
}

fn states(class: &MemoryClass) -> Vec<TenantState> {
    let state = |(name, activity): (&String, &String)| TenantState { name: name.clone(), activity: activity.clone() };
    class.tenants.iter().map(state).collect()
}

impl ObjectSource for MemoryCluster {
    async fn about(&self) -> Result<SourceNote, PortError> {
        Ok(SourceNote { weaviate: "1.38.2".to_owned(), nodes: 0 })
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.fuse.alive()?;
        Ok(lock(&self.classes).get(collection).map(|class| Described {
            schema: class.schema.clone(),
            aliases: (self.aliases().into_iter())
                .filter_map(|(alias, leads_to)| (leads_to == collection).then_some(alias))
                .collect(),
            tenants: (class.schema["multiTenancyConfig"]["enabled"] == true).then(|| states(class)),
        }))
    }

    async fn slices(&self, _collection: &str, _tenant: Option<&str>) -> Result<usize, PortError> {
        Ok(self.slices)
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        let class = self.collection(stretch.collection);
        class.with(|class| {
            let tenant = stretch.tenant.unwrap_or_default();
            if class.tenants.get(tenant).is_some_and(|activity| activity != "HOT") {
                return Err(refuse(format!("tenant {tenant} is not active")));
            }
            let all = class.objects.get(tenant).into_iter().flatten();
            let within = all
                .map(|(_, object)| object)
                .filter(|object| stretch.after.is_none_or(|after| object.id > after))
                .filter(|object| stretch.until.is_none_or(|until| object.id < until));
            let objects: Vec<Object> = within.take(self.page.max(1)).cloned().collect();
            let times = objects.iter().map(|object| times_of(object.id)).collect();
            let replicas = ReplicasNote { compared: true, ..ReplicasNote::default() };
            Ok(Page { objects, times, replicas, ..Page::default() })
        })?
    }

    fn tells_times(&self) -> bool {
        true
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        self.fuse.burn()?;
        let activity = if awake { "HOT" } else { "COLD" };
        self.collection(collection).with(|class| drop(class.tenants.insert(tenant.to_owned(), activity.to_owned())))
    }
}
