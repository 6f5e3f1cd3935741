//! Runs that must fail, and what the ledger says then; runs that go on over days.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod archives;
mod changed;
mod chunks;
mod guard;
mod ledgers;
mod replays;

use std::collections::BTreeMap;

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::category::Category;
use elysia_engine::chunk::Chunking;
use elysia_engine::flight::FlightLimits;
use elysia_engine::guard::Guard;
use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::object::Object;
use elysia_engine::pace::BatchLimits;
use elysia_engine::ports::PortError;
use elysia_engine::reader::MAX_LINE_BYTES;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;

#[derive(Default)]
struct Scene {
    source: MemorySource,
    sink: MemorySink,
    store: MemoryLedger,
    max_rejected: Option<u64>,
    guard: Option<Guard>,
    window_lines: Option<usize>,
    windows: Option<usize>,
    name: Option<&'static str>,
    chunks: Option<(usize, usize)>,
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn add(path: &str) -> String {
    format!("{{\"repo\":\"r\",\"op\":\"add\",\"path\":\"{path}\",\"content\":\"x\"}}\n")
}

impl Scene {
    fn of(text: &str) -> Self {
        Self { source: MemorySource::of("feed.jsonl", text), ..Self::default() }
    }

    fn settings(&self) -> Settings {
        let text = |name: &str| (name.to_owned(), DataType::parse("text"));
        let number = |name: &str| (name.to_owned(), DataType::parse("int"));
        let properties = ["repo", "path", "content", "k"].map(text).into_iter().chain(["chunks", "chunk"].map(number));
        let chunking = self.chunks.map(|(size, overlap)| Chunking::new(size, overlap));
        let lines = self.window_lines.unwrap_or(WindowLimits::default().lines);
        Settings {
            run: self.name.unwrap_or("first").to_owned(),
            collection: "Articles".to_owned(),
            mapping: Mapping::with_chunking(properties, Unmapped::Reject, &BTreeMap::new(), chunking).unwrap(),
            computed_vectors: [].into(),
            max_rejected: self.max_rejected,
            guard: self.guard,
            skip_unchanged: false,
            partition: None,
            follow: None,
            window: WindowLimits { lines, ..WindowLimits::default() },
            flight: FlightLimits {
                windows: self.windows.unwrap_or(FlightLimits::default().windows),
                ..FlightLimits::default()
            },
            batch: BatchLimits::default(),
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        }
    }

    fn run(&self, fuse: &Fuse) -> Result<Ledger, RunError> {
        let settings = self.settings();
        let (sink, store) = (self.sink.with_fuse(fuse.clone()), self.store.with_fuse(fuse.clone()));
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &FixedClock::default() };
        block_on(run(&settings, &ports, &Stop::default()))
    }

    fn fails(&self) -> (FailureReason, String) {
        let RunError::Failed { reason, message } = self.run(&Fuse::none()).unwrap_err() else { panic!("stopped") };
        let ledger = self.store.ledger().unwrap();
        assert_eq!((ledger.state, ledger.reason, ledger.message), (State::Failed, Some(reason), Some(message.clone())));
        (reason, message)
    }
}

fn fault(category: Category, retryable: bool) -> PortError {
    PortError { category, retryable, message: "told so".to_owned() }
}

#[test]
fn malformed_lines_are_told_by_number_and_the_rest_is_indexed() {
    let scene = Scene::of(&format!("{}nonsense\n\n{}{{\"repo\":\"r\"}}\n", add("a"), add("b")));
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.counts.lines, ledger.counts.added, ledger.counts.rejected), (4, 2, 2));
    assert_eq!(ledger.errors.of(Category::Validation), 2);
    let letters = ledger.dead_letters.iter().map(|letter| (letter.file.as_str(), letter.line, letter.offset));
    assert_eq!(letters.collect::<Vec<_>>(), [("feed.jsonl", 2, 49), ("feed.jsonl", 5, 108)]);
    assert_eq!(ledger.dead_letters[1].reason, "field `path` is missing");
    assert_eq!(scene.sink.objects().len(), 2);
}

#[test]
fn a_hostile_file_costs_only_its_hostile_lines() {
    let good = |path: &str| add(path).trim_end().as_bytes().to_vec();
    let deep = format!(r#"{{"repo":"r","op":"modify","path":"p","metadata":{{"a":{}"#, "[".repeat(1_000_000));
    let lines: [(Vec<u8>, &str); 13] = [
        ([b"\xEF\xBB\xBF".to_vec(), good("mark"), b"\r".to_vec()].concat(), ""),
        (br#"{"repo":"r","op":"delete","path":"p","content":null}"#.to_vec(), ""),
        (b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"gr\xFC\xDF\"}".to_vec(), "byte 36 of the line is not UTF-8"),
        (b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"\0\"}".to_vec(), "byte 34 of the line is NUL"),
        (b"\0".repeat(1000), "byte 0 of the line is NUL"),
        (vec![b'x'; MAX_LINE_BYTES + 1], "the line has 16777218 bytes, more than the 16777216 it may have"),
        (vec![b' '; MAX_LINE_BYTES], ""),
        (br#"{"repo":"r","op":"add","path":"p","op":"delete","content":"x"}"#.to_vec(), "field `op` is there twice"),
        (deep.into_bytes(), "a line may be nested 127 deep"),
        (br#"{"repo":"r","op":"delete","path":"\udead"}"#.to_vec(), "both halves of their pair"),
        ([b"\xEF\xBB\xBF".to_vec(), good("joined")].concat(), "may stand only at the beginning of a file"),
        (good("last but one"), ""),
        (good("last")[..40].to_vec(), "the file ends here without a line break"),
    ];
    let file = lines.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>().join(&b'\n');
    let mut scene = Scene::of("");
    scene.source = MemorySource::of("feed.jsonl", file.clone());
    let ledger = scene.run(&Fuse::none()).unwrap();
    let expected = lines.iter().zip(1_u64..).filter(|((_, reason), _)| !reason.is_empty());
    for (letter, ((line, reason), number)) in ledger.dead_letters.iter().zip(expected.clone()) {
        assert_eq!((letter.file.as_str(), letter.line), ("feed.jsonl", number), "{}", letter.reason);
        assert!(letter.reason.contains(reason), "line {number}\n  found    {}\n  expected {reason}", letter.reason);
        let (begin, end) =
            (usize::try_from(letter.offset).unwrap(), usize::try_from(letter.offset + letter.length).unwrap());
        assert!(file[begin..end].starts_with(line), "offset and length find line {number} again");
    }
    assert_eq!(ledger.counts.rejected, expected.count() as u64);
    assert_eq!((ledger.counts.lines, ledger.counts.added, ledger.counts.deleted), (12, 2, 1), "one line is blank");
}

#[test]
fn only_the_first_dead_letters_are_kept() {
    let scene = Scene { window_lines: Some(7), ..Scene::of(&"nonsense\n".repeat(50)) };
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!(ledger.counts.rejected, 50);
    let lines = ledger.dead_letters.iter().map(|letter| letter.line).collect::<Vec<_>>();
    assert_eq!(lines, (1..=20).collect::<Vec<_>>());
}

#[test]
fn one_rejected_line_too_many_ends_the_run_before_the_line_after_it() {
    let text = format!("{}bad\n{}bad\n{}", add("a"), add("b"), add("c"));
    let scene = Scene { max_rejected: Some(1), ..Scene::of(&text) };
    let (reason, message) = scene.fails();
    assert_eq!(reason, FailureReason::TooManyRejected);
    assert_eq!(message, "2 lines were rejected, more than the 1 that maxRejected allows");
    assert_eq!(scene.sink.objects().len(), 2, "c comes behind the second");
    assert_eq!(scene.fails().0, FailureReason::TooManyRejected, "nor does the next worker go on");
    let scene = Scene { max_rejected: Some(2), ..scene };
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.lines, 5, "it does when more is allowed");
}

#[test]
fn a_collection_that_cannot_be_written_fails_the_run_and_skips_nothing() {
    for (error, attempts) in [(fault(Category::Network, true), 12), (fault(Category::Weaviate, false), 1)] {
        let category = error.category;
        let scene = Scene::of(&add("a"));
        scene.sink.fail_next(vec![error; 100]);
        assert_eq!(scene.fails(), (FailureReason::SinkFailed, "failed to write the collection: told so".to_owned()));
        let ledger = scene.store.ledger().unwrap();
        assert_eq!((ledger.counts.lines, ledger.errors.of(category)), (0, attempts));
    }
}

#[test]
fn a_server_that_takes_no_object_rejects_no_line() {
    fn read_only(object: &Object) -> Option<PortError> {
        (!object.id.is_nil()).then(|| fault(Category::Weaviate, false))
    }
    let scene = Scene::of(&add("a"));
    let scene = Scene { sink: scene.sink.refusing(read_only), ..scene };
    assert_eq!(scene.fails().0, FailureReason::SinkFailed);
    assert_eq!(scene.store.ledger().unwrap().counts.rejected, 0);
}

#[test]
fn windows_of_other_objects_are_in_flight_together_and_counted_in_order() {
    let text = (0..12).map(|number| add(&number.to_string())).collect::<String>();
    for (windows, most_calls) in [(1, 1), (3, 3), (8, 6)] {
        let scene = Scene { window_lines: Some(1), windows: Some(windows), ..Scene::of(&text) };
        let scene = Scene { sink: scene.sink.clone().dithered(7), ..scene };
        scene.run(&Fuse::none()).unwrap();
        assert_eq!(scene.sink.most_calls(), most_calls, "{windows} windows, at most 6 calls");
        let lines = scene.store.history().iter().map(|ledger| ledger.counts.lines).collect::<Vec<_>>();
        assert!(lines.is_sorted() && lines.last() == Some(&12), "{lines:?}");
    }
}

#[test]
fn windows_of_one_object_wait_for_each_other() {
    // The collection in memory panics when two calls write one object at the same time.
    let scene = Scene { window_lines: Some(1), ..Scene::of(&add("a").repeat(9)) };
    let scene = Scene { sink: scene.sink.clone().dithered(7), ..scene };
    scene.run(&Fuse::none()).unwrap();
    assert_eq!(scene.sink.most_calls(), 1);
}

#[test]
fn an_open_circuit_breaker_is_in_the_ledger_until_a_call_succeeds() {
    let scene = Scene::of(&add("a"));
    let scene = Scene { sink: scene.sink.clone().dithered(7), ..scene };
    scene.sink.fail_next(vec![fault(Category::Network, true); 7]);
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.breaker, ledger.errors.of(Category::Network)), (None, 7));
    let history = scene.store.history();
    let open = history.iter().find_map(|ledger| ledger.breaker.as_ref()).unwrap();
    assert_eq!((open.category, open.message.as_str()), (Category::Network, "told so"));
    assert!(open.failures >= BreakerPolicy::default().failures);
    assert!(history.iter().all(|ledger| ledger.counts.is_balanced()));
    // A worker that gives up leaves it open for the next one to see.
    let scene = Scene::of(&add("a"));
    scene.sink.fail_next(vec![fault(Category::Network, true); 100]);
    scene.fails();
    assert_eq!(scene.store.ledger().unwrap().breaker.unwrap().failures, 12);
}

#[test]
fn a_line_over_the_bound_is_rejected() {
    let long = format!("\"{}\"\n", "x".repeat(elysia_engine::reader::MAX_LINE_BYTES));
    let scene = Scene::of(&format!("{}{long}{}", add("a"), add("b")));
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.counts.added, ledger.counts.rejected), (2, 1));
    assert_eq!(ledger.dead_letters[0].length, long.len() as u64);
}

#[test]
fn a_run_of_another_name_begins_anew_and_finishes_what_the_last_one_left() {
    let rename = r#"{"repo":"r","op":"rename","path":"a","new_path":"b"}"#;
    let scene = Scene::of(&format!("{}{rename}\n", add("a")));
    let scene = Scene { window_lines: Some(1), ..scene };
    // Claim, put a, count; put b, write the pending delete of a; then dies.
    scene.run(&Fuse::after(5)).unwrap_err();
    assert!(scene.store.ledger().unwrap().pending.is_some());
    let scene = Scene { name: Some("second"), source: MemorySource::of("feed.jsonl", ""), ..scene };
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.run.as_str(), ledger.counts.lines), ("second", 0));
    assert_eq!(scene.sink.objects().len(), 1, "a is gone");
}
