//! Runs that must fail, and what the ledger says then; runs that go on over days.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod chunks;
mod guard;
mod replays;

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::category::Category;
use elysia_engine::checkpoint::Digest;
use elysia_engine::chunk::Chunking;
use elysia_engine::flight::FlightLimits;
use elysia_engine::guard::Guard;
use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::object::Object;
use elysia_engine::pace::BatchLimits;
use elysia_engine::ports::{FileEntry, PortError, Source};
use elysia_engine::reader::MAX_LINE_BYTES;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, refuse, run};
use elysia_engine::window::WindowLimits;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

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
fn a_file_that_grows_while_it_is_read_is_read_to_the_end_that_was_met() {
    let (first, rest) = (add("a"), add("b") + &add("c"));
    let grows = Growing { chunks: vec![first.clone(), rest[..30].to_owned(), rest[30..].to_owned()] };
    let scene = Scene::default();
    let ports = Ports { source: &grows, sink: &scene.sink, store: &scene.store, clock: &FixedClock::default() };
    let ledger = block_on(run(&scene.settings(), &ports, &Stop::default())).unwrap();
    assert_eq!((ledger.counts.lines, ledger.counts.added), (3, 3));
}

/// A file to which another chunk was appended whenever the last one was read.
struct Growing {
    chunks: Vec<String>,
}

struct GrowingReader(Vec<u8>, Vec<String>);

impl AsyncRead for GrowingReader {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() && !self.1.is_empty() {
            self.0 = self.1.remove(0).into_bytes();
        }
        let count = into.remaining().min(self.0.len());
        let chunk = self.0.drain(..count).collect::<Vec<_>>();
        into.put_slice(&chunk);
        Poll::Ready(Ok(()))
    }
}

impl Source for Growing {
    type Reader = GrowingReader;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        Ok(vec![FileEntry { name: "feed.jsonl".to_owned(), size: 1, version: None, expected: None }])
    }

    async fn open(&self, _: &FileEntry) -> Result<GrowingReader, PortError> {
        Ok(GrowingReader(Vec::new(), self.chunks.clone()))
    }
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
fn other_content_than_the_runs_is_refused_before_the_first_write() {
    let mut scene = Scene::of(&add("a"));
    scene.source.files.insert("other.jsonl".to_owned(), b"other".to_vec());
    scene.source.expected.insert("other.jsonl".to_owned(), Digest::of(b"was this"));
    assert_eq!(scene.fails().0, FailureReason::ContentChanged);
    assert!(scene.sink.objects().is_empty());
}

#[test]
fn a_rewritten_truncated_or_joined_file_is_noticed_by_the_next_worker() {
    let text = [add("a"), add("b"), add("c")].concat();
    // Claims the ledger, puts one object, counts it; then dies.
    let killed = || {
        let scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&text) };
        scene.run(&Fuse::after(3)).unwrap_err();
        assert_eq!(scene.store.ledger().unwrap().counts.added, 1);
        scene
    };
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", text.replace("\"a\"", "\"z\""));
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", "{");
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);
    let mut scene = killed();
    scene.source.files.insert("earlier.jsonl".to_owned(), vec![]);
    assert_eq!(scene.fails().0, FailureReason::FileListChanged);
    let mut scene = killed();
    scene.source = MemorySource::default();
    assert_eq!(scene.fails().0, FailureReason::FileListChanged);
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", text.clone() + &add("d"));
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 4, "what was appended is read");
}

#[test]
fn what_has_a_version_is_read_on_where_it_was_left_and_replacing_it_is_noticed() {
    let text = [add("a"), add("b"), add("c")].concat();
    let killed = || {
        let mut scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&text) };
        scene.source.has_versions = true;
        scene.run(&Fuse::after(3)).unwrap_err();
        scene.source.opened.lock().unwrap().clear();
        scene
    };
    let offset = u64::try_from(add("a").len()).unwrap();
    let opened = |scene: &Scene| scene.source.opened.lock().unwrap().clone();
    let scene = killed();
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 3);
    assert_eq!(opened(&scene), [("feed.jsonl".to_owned(), offset)], "the first line is not read again");
    let put = |scene: &mut Scene, name: &str, text: String| {
        scene.source.files.insert(name.to_owned(), text.into_bytes());
    };
    let mut scene = killed();
    put(&mut scene, "feed.jsonl", text.clone() + &add("d"));
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 4);
    assert_eq!(opened(&scene), [("feed.jsonl".to_owned(), 0)], "another version: its beginning is hashed");
    let mut scene = killed();
    put(&mut scene, "feed.jsonl", text.replace("\"a\"", "\"z\""));
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);

    // Two files; the first is done, the second in its midst.
    let mut scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&add("a")) };
    scene.source.has_versions = true;
    put(&mut scene, "next.jsonl", add("b") + &add("c"));
    scene.run(&Fuse::after(5)).unwrap_err();
    assert_eq!(scene.store.ledger().unwrap().checkpoint.files, 1);
    put(&mut scene, "feed.jsonl", add("A"));
    assert_eq!(scene.fails().0, FailureReason::FileListChanged, "what is done was replaced");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    block_on(GzipEncoder::new(text.as_bytes()).read_to_end(&mut stored)).unwrap();
    stored
}

fn zstd(text: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    block_on(ZstdEncoder::new(text.as_bytes()).read_to_end(&mut stored)).unwrap();
    stored
}

#[test]
fn a_compressed_feed_killed_anywhere_goes_on_at_the_offset_of_its_text() {
    let lines = ["a", "b", "c", "d"].map(add);
    let text = lines.concat();
    let plain = Scene { window_lines: Some(1), ..Scene::of(&text) };
    let effects = {
        let fuse = Fuse::none();
        plain.run(&fuse).unwrap();
        fuse.spent()
    };
    let wanted = plain.store.ledger().unwrap();
    let (first, second) = (&text[..70], &text[70..]);
    for stored in [gzip(&text), [gzip(first), gzip(second)].concat(), [zstd(first), zstd(second)].concat()] {
        for kill in 1..effects {
            let mut scene = Scene { window_lines: Some(1), ..Scene::of("") };
            scene.source = MemorySource::of("feed.jsonl", stored.clone());
            scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(&stored));
            scene.run(&Fuse::after(kill)).unwrap_err();
            // Stored in another way meanwhile, it is the same text.
            if kill % 2 == 0 {
                scene.source = MemorySource::of("feed.jsonl", zstd(&text));
            }
            scene.run(&Fuse::none()).unwrap();
            let ledger = scene.store.ledger().unwrap();
            assert_eq!((ledger.counts, ledger.checkpoint), (wanted.counts, wanted.checkpoint.clone()), "{kill}");
            assert_eq!(scene.sink.objects(), plain.sink.objects());
        }
    }
}

#[test]
fn a_damaged_archive_fails_the_run_behind_what_could_be_read_of_it() {
    let text = ["a", "b", "c"].map(add).concat();
    let (first, second) = (&text[..60], &text[60..]);
    let whole = [gzip(first), gzip(second)].concat();
    let cut = whole.len() - 3;
    let mut scene = Scene { window_lines: Some(1), ..Scene::of("") };
    scene.source = MemorySource::of("feed.jsonl", &whole[..cut]);
    let (reason, message) = scene.fails();
    assert_eq!(reason, FailureReason::FileDamaged);
    assert!(reason.is_permanent());
    let expected = format!("the gzip archive ends in its midst at byte {cut} of the file: copy it again as a whole");
    assert_eq!(message, format!("feed.jsonl: {expected}"));
    let ledger = scene.store.ledger().unwrap();
    assert!(ledger.counts.added < 3 && ledger.counts.is_balanced(), "{:?}", ledger.counts);
    assert_eq!(ledger.counts.rejected, 0, "half a line is no line");
    scene.source = MemorySource::of("feed.jsonl", whole);
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 3, "the whole archive goes on where it broke");
}

#[test]
fn what_a_file_must_be_is_said_of_its_stored_bytes() {
    let stored = gzip(&add("a"));
    let mut scene = Scene::of("");
    scene.source = MemorySource::of("feed.jsonl", stored.clone());
    scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(add("a").as_bytes()));
    assert_eq!(scene.fails().0, FailureReason::ContentChanged);
    scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(&stored));
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 1);
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
