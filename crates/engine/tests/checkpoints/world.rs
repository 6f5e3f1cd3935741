//! Files that change behind a feed, and a ledger store that looks at each write whether it tells the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::category::Category;
use elysia_engine::flight::FlightLimits;
use elysia_engine::follow::{Follow, Rewritten};
use elysia_engine::identity::document_id;
use elysia_engine::ledger::Ledger;
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::pace::BatchLimits;
use elysia_engine::ports::{LedgerStore, PortError, SaveError, Sink as _, Stored};
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;
use serde_json::Value;
use uuid::Uuid;

const COLLECTION: &str = "Articles";
const REPO: &str = "r";

/// Files, a collection and a ledger that outlive workers.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) source: MemorySource,
    pub(crate) sink: MemorySink,
    pub(crate) store: MemoryLedger,
    pub(crate) run: String,
    pub(crate) is_followed: bool,
    /// Lines of a window, at most.
    pub(crate) window: usize,
    /// The number of the next line: no two lines are the same.
    next: usize,
    /// Lines that a ledger told as indexed while they were not confirmed.
    lies: Arc<Mutex<Vec<String>>>,
}

/// An answer that did not come; another attempt may help.
pub(crate) fn unreachable() -> PortError {
    PortError { category: Category::Network, retryable: true, message: "no connection".to_owned() }
}

impl World {
    pub(crate) fn new(window: usize, has_versions: bool, is_followed: bool) -> Self {
        Self {
            source: MemorySource { has_versions, ..MemorySource::default() },
            sink: MemorySink::default(),
            store: MemoryLedger::default(),
            run: "first".to_owned(),
            is_followed,
            window,
            next: 0,
            lies: Arc::default(),
        }
    }

    /// So many lines at the end of a file; one in four is malformed, and as unlike all others.
    pub(crate) fn append(&mut self, file: &str, lines: usize) {
        for _ in 0..lines {
            let number = self.next;
            self.next += 1;
            let line = match number % 4 {
                3 => format!("bad {number}\n"),
                _ => format!("{{\"repo\":\"{REPO}\",\"op\":\"add\",\"path\":\"{number}\",\"content\":\"x\"}}\n"),
            };
            self.file(file).extend(line.as_bytes());
        }
    }

    pub(crate) fn file(&mut self, file: &str) -> &mut Vec<u8> {
        self.source.files.entry(file.to_owned()).or_default()
    }

    /// A worker that dies after so many effects, with calls that fail before others do not.
    pub(crate) fn worker(&self, fuse: &Fuse, seed: u64, failures: usize) -> Result<Ledger, RunError> {
        self.sink.fail_next(vec![unreachable(); failures]);
        let sink = self.sink.with_fuse(fuse.clone()).shuffled(seed).dithered(seed);
        let store = Witness {
            store: self.store.with_fuse(fuse.clone()).dithered(!seed),
            sink: &self.sink,
            files: &self.source.files,
            lies: &self.lies,
        };
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &FixedClock::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(run(&self.settings(), &ports, &Stop::default()));
        // Those that nobody met are not the next worker's.
        while runtime.block_on(self.sink.count(None)).is_err() {}
        outcome
    }

    fn settings(&self) -> Settings {
        let text = |name: &str| (name.to_owned(), DataType::parse("text"));
        Settings {
            run: self.run.clone(),
            collection: COLLECTION.to_owned(),
            mapping: Mapping::new(["repo", "path", "content"].map(text), Unmapped::Reject).unwrap(),
            computed_vectors: [].into(),
            max_rejected: None,
            guard: None,
            skip_unchanged: false,
            partition: None,
            follow: self.is_followed.then(|| Follow {
                basis: "basis".to_owned(),
                rewritten: Rewritten::Refuse,
                min_changes: None,
                run_now: None,
            }),
            window: WindowLimits { lines: self.window, ..WindowLimits::default() },
            flight: FlightLimits { windows: 3, ..FlightLimits::default() },
            batch: BatchLimits { objects: 2, in_flight: 3, ..BatchLimits::default() },
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        }
    }

    /// What ledgers told as indexed while it was not; of files that nobody changed.
    pub(crate) fn lies(&self) -> Vec<String> {
        self.lies.lock().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> BTreeSet<Uuid> {
        self.sink.objects().into_keys().collect()
    }
}

/// Lines that are not blank.
pub(crate) fn lines(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64
}

/// The documents of which a text tells.
pub(crate) fn documents(text: &[u8]) -> BTreeSet<Uuid> {
    let path = |line: &[u8]| Some(serde_json::from_slice::<Value>(line).ok()?["path"].as_str()?.to_owned());
    text.split(|byte| *byte == b'\n').filter_map(path).map(|path| document_id(COLLECTION, REPO, &path)).collect()
}

/// Looks at what is about to be written: each line before the checkpoint must be confirmed by then.
struct Witness<'a> {
    store: MemoryLedger,
    sink: &'a MemorySink,
    files: &'a BTreeMap<String, Vec<u8>>,
    lies: &'a Mutex<Vec<String>>,
}

impl Witness<'_> {
    fn indexed(&self, ledger: &Ledger) -> Vec<u8> {
        let mut text = Vec::new();
        let mut take = |file: &str, offset: u64| {
            let bytes = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
            text.extend(&bytes[..bytes.len().min(usize::try_from(offset).unwrap())]);
        };
        if let Some(followed) = &ledger.followed {
            followed.files.iter().for_each(|(file, record)| take(file, record.offset));
        } else {
            let done = usize::try_from(ledger.checkpoint.files).unwrap();
            self.files.keys().take(done).for_each(|file| take(file, u64::MAX));
        }
        ledger.checkpoint.current.iter().for_each(|position| take(&position.file, position.offset));
        text
    }
}

impl LedgerStore for Witness<'_> {
    async fn load(&self) -> Result<Stored, PortError> {
        self.store.load().await
    }

    async fn save(&self, ledger: &Ledger, version: &str) -> Result<String, SaveError> {
        let stored: BTreeSet<Uuid> = self.sink.objects().into_keys().collect();
        let missing = documents(&self.indexed(ledger)).difference(&stored).count();
        if missing > 0 || !ledger.counts.is_balanced() {
            let Ledger { checkpoint, counts, .. } = ledger;
            self.lies.lock().unwrap().push(format!("{missing} lines are missing at {checkpoint:?}, {counts:?}"));
        }
        self.store.save(ledger, version).await
    }
}
