//! A collection, a ledger and a source that outlive workers.

use std::collections::BTreeMap;

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::category::Category;
use elysia_engine::chunk::Chunking;
use elysia_engine::counts::Counts;
use elysia_engine::flight::FlightLimits;
use elysia_engine::identity::document_id;
use elysia_engine::ledger::{Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource, Refuse};
use elysia_engine::object::Object;
use elysia_engine::pace::BatchLimits;
use elysia_engine::ports::PortError;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use uuid::Uuid;

use crate::oracle::{COLLECTION, COMPUTED, Line, Oracle, REPO, Shape};

pub(crate) struct World {
    pub(crate) sink: MemorySink,
    pub(crate) store: MemoryLedger,
    source: MemorySource,
    settings: Settings,
}

/// An answer that did not come; another attempt may help.
pub(crate) fn unreachable() -> PortError {
    PortError { category: Category::Network, retryable: true, message: "no connection".to_owned() }
}

/// Refuses an object by its text, and another by two properties that only together are wrong.
pub(crate) fn refuse_some(object: &Object) -> Option<PortError> {
    let is = |name: &str, text: &str| object.properties.get(name).is_some_and(|value| value == text);
    let refused = is("content", "bad") || (is("k", "bad") && is("l", "2"));
    refused.then(|| PortError { category: Category::Validation, retryable: false, message: "no good".to_owned() })
}

impl World {
    pub(crate) fn new(before: &[Line], files: &[Vec<Line>], shape: Shape) -> Self {
        let sink = MemorySink::default();
        Oracle::replay(shape, before, &[]).objects().into_values().for_each(|object| sink.insert(object));
        let mut source = MemorySource::default();
        for (index, lines) in files.iter().enumerate() {
            // Every other file ends without a line break.
            let mut text = lines.iter().map(Line::text).collect::<Vec<_>>().join("\n");
            if index % 2 == 0 {
                text.push('\n');
            }
            source.files.insert(format!("file-{index}"), text.into_bytes());
        }
        let words = ["repo", "path", "content", "k", "l"].map(|name| (name.to_owned(), DataType::parse("text")));
        let numbers = ["chunks", "chunk"].map(|name| (name.to_owned(), DataType::parse("int")));
        let properties = words.into_iter().chain(numbers);
        let chunking = shape.chunks.map(|(size, overlap)| Chunking::new(size, overlap));
        let settings = Settings {
            run: "first".to_owned(),
            collection: COLLECTION.to_owned(),
            mapping: Mapping::with_chunking(properties, Unmapped::Reject, &BTreeMap::new(), chunking).unwrap(),
            computed_vectors: [COMPUTED.to_owned()].into(),
            max_rejected: None,
            guard: None,
            skip_unchanged: false,
            partition: None,
            follow: None,
            window: shape.limits,
            // Batches of one or two objects, so that a window has several of them in flight.
            flight: FlightLimits { windows: 4, ..FlightLimits::default() },
            batch: BatchLimits { objects: 2, in_flight: 5, ..BatchLimits::default() },
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        };
        Self { sink, store: MemoryLedger::default(), source, settings }
    }

    /// Skips what changes nothing, and computes no vectors.
    pub(crate) fn skipping(self) -> Self {
        let settings = Settings { skip_unchanged: true, computed_vectors: [].into(), ..self.settings };
        Self { settings, ..self }
    }

    pub(crate) fn refusing(self, refuse: Refuse) -> Self {
        Self { sink: self.sink.refusing(refuse), ..self }
    }

    /// The same feed for an empty collection and a ledger that knows another run.
    pub(crate) fn emptied(&self, run: &str) -> Self {
        let settings = Settings { run: run.to_owned(), ..self.settings.clone() };
        Self { sink: MemorySink::default(), store: self.store.clone(), source: self.source.clone(), settings }
    }

    /// The same feed and collection, and nothing known of what was done.
    pub(crate) fn without_ledger(self) -> Self {
        Self { store: MemoryLedger::default(), ..self }
    }

    /// The same feed once more, over what the last run left.
    pub(crate) fn again(&self, run: &str) -> Self {
        Self { sink: self.sink.clone(), ..self.emptied(run) }
    }

    pub(crate) fn worker(&self, fuse: &Fuse, shuffle: u64) -> Result<Ledger, RunError> {
        self.worker_until(fuse, shuffle, &Stop::default())
    }

    pub(crate) fn worker_until(&self, fuse: &Fuse, shuffle: u64, stop: &Stop) -> Result<Ledger, RunError> {
        let sink = self.sink.with_fuse(fuse.clone()).shuffled(shuffle).dithered(shuffle);
        let store = self.store.with_fuse(fuse.clone()).dithered(!shuffle);
        let clock = FixedClock::default();
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &clock };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&self.settings, &ports, stop))
    }

    /// Every chunk is one that a head, or the ledger, says may be there: whatever happened, it can be found and deleted.
    pub(crate) fn check_chunks(&self) -> Result<(), TestCaseError> {
        let objects = self.sink.objects();
        let pending = self.store.ledger().and_then(|ledger| ledger.pending);
        for object in objects.values() {
            let number = object.properties.get("chunk").and_then(Value::as_u64).unwrap_or_default();
            let head = document_id(COLLECTION, REPO, object.properties["path"].as_str().unwrap());
            if number == 0 {
                prop_assert_eq!(object.id, head);
                continue;
            }
            prop_assert_eq!(object.id, Uuid::new_v5(&head, number.to_string().as_bytes()));
            let counted = objects.get(&head).and_then(|head| head.properties["chunks"].as_u64());
            let owed = pending.as_ref().and_then(|pending| pending.chunks.get(&head)).copied();
            prop_assert!(counted.max(owed) > Some(number), "nobody knows of {object:?}");
        }
        Ok(())
    }

    /// The end of a run: what is stored and counted is what the oracle says.
    pub(crate) fn check(&self, oracle: &Oracle) -> Result<(), TestCaseError> {
        self.check_history()?;
        self.check_chunks()?;
        let ledger = self.store.ledger().unwrap();
        prop_assert_eq!(ledger.state, State::Succeeded);
        prop_assert_eq!(&self.sink.objects(), &oracle.objects());
        prop_assert_eq!(ledger.counts, oracle.counts);
        prop_assert_eq!(ledger.dead_letters.len() as u64, ledger.counts.rejected.min(20));
        prop_assert!(ledger.pending.is_none());
        Ok(())
    }

    /// As [`World::check`], when a worker may have been killed: a line that was done then changes nothing, and one whose
    /// successor was done then changes something again. So lines move between `unchanged` and what they were.
    pub(crate) fn check_skipping(&self, oracle: &Oracle) -> Result<(), TestCaseError> {
        self.check_history()?;
        let ledger = self.store.ledger().unwrap();
        prop_assert_eq!(&self.sink.objects(), &oracle.objects());
        let fixed = |counts: &Counts| {
            let puts = counts.added + counts.modified + counts.unchanged;
            (counts.lines, puts, counts.deleted, counts.renamed, counts.rejected)
        };
        prop_assert_eq!(fixed(&ledger.counts), fixed(&oracle.counts));
        Ok(())
    }

    /// Every ledger that was ever written is balanced, and none stands behind the one before it.
    pub(crate) fn check_history(&self) -> Result<(), TestCaseError> {
        let reached = |ledger: &Ledger| {
            let offset = ledger.checkpoint.current.as_ref().map_or(0, |position| position.offset);
            (ledger.counts.lines, ledger.checkpoint.files, offset)
        };
        let history = self.store.history();
        for ledger in &history {
            prop_assert!(ledger.counts.is_balanced(), "{:?}", ledger.counts);
        }
        for pair in history.windows(2).filter(|pair| pair[0].run == pair[1].run) {
            prop_assert!(reached(&pair[0]) <= reached(&pair[1]), "{:?} before {:?}", pair[0], pair[1]);
        }
        Ok(())
    }

    /// The lines without those that the server refused.
    pub(crate) fn without_refused(&self, files: &[Vec<Line>]) -> Vec<Line> {
        let refused = self.store.ledger().unwrap().dead_letters;
        let is_refused = |file: usize, line: usize| {
            refused.iter().any(|letter| {
                letter.file == format!("file-{file}")
                    && letter.line == line as u64 + 1
                    && letter.reason.starts_with("the server refused")
            })
        };
        let kept = |(file, lines): (usize, &Vec<Line>)| {
            let kept = lines.iter().enumerate().filter(|(line, _)| !is_refused(file, *line));
            kept.map(|(_, line)| line.clone()).collect::<Vec<_>>()
        };
        files.iter().enumerate().flat_map(kept).collect()
    }

    pub(crate) fn refused(&self) -> u64 {
        let letters = self.store.ledger().unwrap().dead_letters;
        letters.iter().filter(|letter| letter.reason.starts_with("the server refused")).count() as u64
    }
}
