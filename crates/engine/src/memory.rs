//! Every port in memory: real, small, and able to fail at a chosen moment.
//!
//! A [`Fuse`] is shared by the ports of one worker. Every effect on the world is one step: each single object that is
//! put or deleted, and each write of the ledger. When the fuse blows, the worker is dead: that effect and all calls
//! after it fail, and what was done before stays done, as after a `kill -9`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::category::Category;
use crate::checkpoint::Digest;
use crate::ledger::Ledger;
use crate::object::Object;
use crate::ports::{Clock, FileEntry, LedgerStore, PortError, Refusal, SaveError, Sink, Source, Stored};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blows after a number of effects, once and for all.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Arc<Mutex<FuseState>>);

#[derive(Debug, Default)]
struct FuseState {
    left: Option<u64>,
    spent: u64,
}

impl Fuse {
    /// Never blows.
    pub fn none() -> Self {
        Self::default()
    }

    /// Blows at the effect after this many.
    pub fn after(effects: u64) -> Self {
        Self(Arc::new(Mutex::new(FuseState { left: Some(effects), spent: 0 })))
    }

    /// How many effects went through.
    pub fn spent(&self) -> u64 {
        lock(&self.0).spent
    }

    /// One effect, if the worker still lives.
    pub fn burn(&self) -> Result<(), PortError> {
        let mut state = lock(&self.0);
        match &mut state.left {
            Some(0) => return Err(dead()),
            Some(left) => *left -= 1,
            None => {}
        }
        state.spent += 1;
        Ok(())
    }

    /// What reads: it fails once the worker is dead, and is no effect.
    pub(crate) fn alive(&self) -> Result<(), PortError> {
        if lock(&self.0).left == Some(0) { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> PortError {
    PortError { category: Category::Unknown, retryable: false, message: "the worker was killed".to_owned() }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    /// Their bytes by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What they must be, where that is fixed.
    pub expected: BTreeMap<String, Digest>,
    /// Whether it has versions, as an object store has.
    pub has_versions: bool,
    /// Where reading began of the files that were opened, in their order.
    pub opened: Arc<Mutex<Vec<(String, u64)>>>,
}

impl MemorySource {
    /// One file.
    pub fn of(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { files: BTreeMap::from([(name.to_owned(), bytes.into())]), ..Self::default() }
    }

    fn opened_at(&self, name: &str, offset: u64) -> Result<Cursor<Vec<u8>>, PortError> {
        let missing =
            || PortError { category: Category::FileSystem, retryable: false, message: format!("{name}: no such file") };
        let bytes = self.files.get(name).ok_or_else(missing)?;
        lock(&self.opened).push((name.to_owned(), offset));
        Ok(Cursor::new(
            usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default().to_vec(),
        ))
    }
}

impl Source for MemorySource {
    type Reader = Cursor<Vec<u8>>;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        let entry = |(name, bytes): (&String, &Vec<u8>)| FileEntry {
            name: name.clone(),
            size: bytes.len() as u64,
            version: self.has_versions.then(|| Digest::of(bytes).to_string()),
            expected: self.expected.get(name).copied(),
        };
        Ok(self.files.iter().map(entry).collect())
    }

    async fn open(&self, file: &FileEntry) -> Result<Self::Reader, PortError> {
        self.opened_at(&file.name, 0)
    }

    async fn open_at(&self, file: &FileEntry, offset: u64) -> Result<Option<Self::Reader>, PortError> {
        if self.has_versions { self.opened_at(&file.name, offset).map(Some) } else { Ok(None) }
    }
}

/// Decides whether an object is refused, and why.
pub type Refuse = fn(&Object) -> Option<PortError>;

/// A collection in memory. It panics when two calls write one object at the same time.
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    objects: Arc<Mutex<BTreeMap<Uuid, Object>>>,
    failures: Arc<Mutex<Vec<PortError>>>,
    refuse: Option<Refuse>,
    shuffle: u64,
    dither: Dither,
    written: Arc<Mutex<Written>>,
    fuse: Fuse,
}

/// Which objects are being written, and what that showed.
#[derive(Debug, Default)]
struct Written {
    now: BTreeSet<Uuid>,
    calls: usize,
    most_calls: usize,
}

/// Yields to other calls now and then, as waiting for an answer does; how often depends on a number alone.
#[derive(Clone, Debug, Default)]
struct Dither(Option<Arc<Mutex<u64>>>);

impl Dither {
    async fn wait(&self) {
        let Some(state) = &self.0 else { return };
        let turns = {
            let mut state = lock(state);
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *state >> 61
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

/// One call that writes these objects: no other may, at the same time.
struct Writing<'a> {
    written: &'a Mutex<Written>,
    ids: Vec<Uuid>,
}

impl<'a> Writing<'a> {
    /// # Panics
    /// When one of the objects is being written already: then their order is anybody's guess.
    fn begin(written: &'a Mutex<Written>, ids: Vec<Uuid>) -> Self {
        let mut state = lock(written);
        for id in &ids {
            assert!(state.now.insert(*id), "two calls write object {id} at the same time");
        }
        state.calls += 1;
        state.most_calls = state.most_calls.max(state.calls);
        drop(state);
        Self { written, ids }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.written);
        state.calls -= 1;
        for id in &self.ids {
            state.now.remove(id);
        }
    }
}

impl MemorySink {
    /// The same collection as another worker sees it: what is refused stays, the fuse is new.
    #[must_use]
    pub fn with_fuse(&self, fuse: Fuse) -> Self {
        Self { fuse, ..self.clone() }
    }

    /// Refuses objects by this rule.
    #[must_use]
    pub fn refusing(self, refuse: Refuse) -> Self {
        Self { refuse: Some(refuse), ..self }
    }

    /// Carries batches out in an order that depends on this number, as replicas do: so a fuse that blows in the middle
    /// of one leaves any part of it done.
    #[must_use]
    pub fn shuffled(self, shuffle: u64) -> Self {
        Self { shuffle, ..self }
    }

    /// Answers its calls in an order that depends on this number: several are under way at once then.
    #[must_use]
    pub fn dithered(self, seed: u64) -> Self {
        Self { dither: Dither(Some(Arc::new(Mutex::new(seed)))), ..self }
    }

    /// How many calls that write were ever under way at once.
    pub fn most_calls(&self) -> usize {
        lock(&self.written).most_calls
    }

    /// The next calls fail with these errors, the last first.
    pub fn fail_next(&self, errors: impl IntoIterator<Item = PortError>) {
        lock(&self.failures).extend(errors);
    }

    /// What is stored.
    pub fn objects(&self) -> BTreeMap<Uuid, Object> {
        lock(&self.objects).clone()
    }

    /// Stores an object directly.
    pub fn insert(&self, object: Object) {
        lock(&self.objects).insert(object.id, object);
    }

    fn begin_call(&self) -> Result<(), PortError> {
        self.fuse.alive()?;
        lock(&self.failures).pop().map_or(Ok(()), Err)
    }

    fn order(&self, id: Uuid) -> u64 {
        let (high, low) = id.as_u64_pair();
        (high ^ low ^ self.shuffle).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

impl Sink for MemorySink {
    async fn fetch(&self, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.dither.wait().await;
        self.begin_call()?;
        let objects = lock(&self.objects);
        Ok(ids.iter().collect::<BTreeSet<_>>().into_iter().filter_map(|id| objects.get(id).cloned()).collect())
    }

    async fn present(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        Ok(self.fetch(ids).await?.into_iter().map(|object| object.id).collect())
    }

    async fn count(&self, numbered: Option<&str>) -> Result<Option<u64>, PortError> {
        self.begin_call()?;
        let is_document =
            |object: &&Object| numbered.is_none_or(|property| object.properties.get(property) == Some(&0.into()));
        Ok(Some(lock(&self.objects).values().filter(is_document).count() as u64))
    }

    async fn put(&self, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        let _writing = Writing::begin(&self.written, objects.iter().map(|object| object.id).collect());
        self.dither.wait().await;
        self.begin_call()?;
        let mut refusals = Vec::new();
        let mut ordered = objects.to_vec();
        ordered.sort_by_key(|object| self.order(object.id));
        for object in ordered {
            if let Some(error) = self.refuse.and_then(|refuse| refuse(object)) {
                refusals.push(Refusal { id: object.id, error });
                continue;
            }
            self.dither.wait().await;
            self.fuse.burn()?;
            lock(&self.objects).insert(object.id, object.clone());
        }
        self.dither.wait().await;
        Ok(refusals)
    }

    async fn delete(&self, ids: &[Uuid]) -> Result<(), PortError> {
        let _writing = Writing::begin(&self.written, ids.to_vec());
        self.dither.wait().await;
        self.begin_call()?;
        let mut ordered = ids.to_vec();
        ordered.sort_by_key(|id| self.order(*id));
        for id in ordered {
            self.dither.wait().await;
            self.fuse.burn()?;
            lock(&self.objects).remove(&id);
        }
        Ok(())
    }
}

/// A ledger in memory, kept as the text that a real store would keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger {
    stored: Arc<Mutex<(Option<String>, u64)>>,
    failures: Arc<Mutex<Vec<SaveError>>>,
    history: Arc<Mutex<Vec<Ledger>>>,
    dither: Dither,
    fuse: Fuse,
}

impl MemoryLedger {
    /// The same ledger as another worker sees it.
    #[must_use]
    pub fn with_fuse(&self, fuse: Fuse) -> Self {
        Self { fuse, ..self.clone() }
    }

    /// Answers after a while that depends on this number, while other calls go on.
    #[must_use]
    pub fn dithered(self, seed: u64) -> Self {
        Self { dither: Dither(Some(Arc::new(Mutex::new(seed)))), ..self }
    }

    /// The next writes fail with these errors, the last first, **after** they were done: the answer was lost.
    pub fn lose_next(&self, errors: impl IntoIterator<Item = SaveError>) {
        lock(&self.failures).extend(errors);
    }

    /// Somebody else touches the object that holds the ledger.
    pub fn touch(&self) {
        lock(&self.stored).1 += 1;
    }

    /// Somebody else writes the ledger.
    pub fn overwrite(&self, ledger: &Ledger) {
        let mut stored = lock(&self.stored);
        *stored = (serde_json::to_string(ledger).ok(), stored.1 + 1);
    }

    /// Every ledger that was ever written.
    pub fn history(&self) -> Vec<Ledger> {
        lock(&self.history).clone()
    }

    /// What is stored.
    pub fn ledger(&self) -> Option<Ledger> {
        lock(&self.stored).0.as_ref().and_then(|text| serde_json::from_str(text).ok())
    }
}

impl LedgerStore for MemoryLedger {
    async fn load(&self) -> Result<Stored, PortError> {
        self.fuse.alive()?;
        Ok(Stored { ledger: self.ledger(), version: lock(&self.stored).1.to_string() })
    }

    async fn save(&self, ledger: &Ledger, version: &str) -> Result<String, SaveError> {
        self.dither.wait().await;
        self.fuse.burn()?;
        let mut stored = lock(&self.stored);
        if stored.1.to_string() != version {
            return Err(SaveError::Conflict);
        }
        let text = serde_json::to_string(ledger).map_err(|error| PortError {
            category: Category::Encoding,
            retryable: false,
            message: error.to_string(),
        })?;
        *stored = (Some(text), stored.1 + 1);
        lock(&self.history).push(ledger.clone());
        // The worker that dies at this very moment has written, and never learns of it.
        self.fuse.alive()?;
        lock(&self.failures).pop().map_or(Ok(stored.1.to_string()), Err)
    }
}

/// A clock that stands still: waiting takes no time, and chance is always the same.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock {
    /// The time.
    pub now: Timestamp,
    /// Every random number.
    pub chance: f64,
}

impl Default for FixedClock {
    fn default() -> Self {
        Self { now: Timestamp::UNIX_EPOCH, chance: 0.5 }
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn sleep(&self, _duration: Duration) {}

    fn chance(&self) -> f64 {
        self.chance
    }
}
