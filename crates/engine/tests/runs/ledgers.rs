//! Ledgers that another hand writes meanwhile, and what is told in them before a run begins.

use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::memory::{FixedClock, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::ports::{FileEntry, PortError, Source};
use elysia_engine::retry::Stop;
use elysia_engine::run::{Ports, RunError, refuse, run};

use super::{Scene, add, block_on};

/// A source that does something to the ledger whenever a file is opened: another hand, in the middle of a run.
struct Meddler {
    files: MemorySource,
    meddle: Box<dyn Fn() + Sync>,
}

impl Source for Meddler {
    type Reader = <MemorySource as Source>::Reader;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        self.files.list().await
    }

    async fn open(&self, file: &FileEntry) -> Result<Self::Reader, PortError> {
        (self.meddle)();
        self.files.open(file).await
    }
}

fn run_meddled(store: &MemoryLedger, meddle: impl Fn() + Sync + 'static) -> Result<Ledger, RunError> {
    let source = Meddler { files: MemorySource::of("feed.jsonl", add("a")), meddle: Box::new(meddle) };
    let (sink, clock) = (MemorySink::default(), FixedClock::default());
    let ports = Ports { source: &source, sink: &sink, store, clock: &clock };
    block_on(run(&Scene::default().settings(), &ports, &Stop::default()))
}

#[test]
fn a_ledger_whose_object_was_touched_is_still_written() {
    let store = MemoryLedger::default();
    let touched = store.clone();
    run_meddled(&store, move || touched.touch()).unwrap();
}

#[test]
fn a_ledger_that_another_worker_writes_is_left_to_it() {
    let store = MemoryLedger::default();
    let foreign = store.clone();
    let meddle = move || {
        // No runtime within a runtime: the ledger in memory never waits.
        let mut stored = foreign.ledger().unwrap();
        stored.counts.lines = 7;
        stored.counts.rejected = 7;
        foreign.overwrite(&stored);
    };
    let RunError::Failed { reason, message } = run_meddled(&store, meddle).unwrap_err() else { panic!("stopped") };
    assert_eq!(reason, FailureReason::LedgerFailed);
    assert!(message.contains("another worker"), "{message}");
    assert_eq!(store.ledger().unwrap().counts.lines, 7);
}

#[test]
fn a_run_that_cannot_begin_is_told_in_the_ledger() {
    let store = MemoryLedger::default();
    let error = RunError::failed(FailureReason::CollectionUnfit, "no property `repo`");
    let told = block_on(refuse("first", "Articles", &store, &FixedClock::default(), error.clone()));
    assert_eq!(told, error);
    let ledger = store.ledger().unwrap();
    assert_eq!((ledger.state, ledger.reason), (State::Failed, Some(FailureReason::CollectionUnfit)));
}
