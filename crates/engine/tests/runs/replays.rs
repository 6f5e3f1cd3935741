//! Rejected lines that are carried out again, once the collection has what they need.

use super::archives::gzip;
use super::*;
use elysia_engine::chunk::Chunking;
use elysia_engine::identity::document_id;
use elysia_engine::ledger::Replayed;
use elysia_engine::object::Object;
use elysia_engine::ports::LedgerStore as _;
use elysia_engine::rejects::Reject;
use elysia_engine::replay::replay;
use serde_json::Value;

fn line(op: &str, path: &str, more: &str) -> String {
    format!("{{\"repo\":\"r\",\"op\":\"{op}\",\"path\":\"{path}\"{more}}}\n")
}

/// Metadata for which the collection has no property at first.
const BY_ANN: &str = ",\"metadata\":{\"author\":\"ann\"}";

impl Scene {
    fn mended(&self) -> Settings {
        let text = |name: &str| (name.to_owned(), DataType::parse("text"));
        let number = |name: &str| (name.to_owned(), DataType::parse("int"));
        let texts = ["repo", "path", "content", "author"].map(text);
        let properties = texts.into_iter().chain(["chunks", "chunk"].map(number));
        let chunking = self.chunks.map(|(size, overlap)| Chunking::new(size, overlap));
        let mapping = Mapping::with_chunking(properties, Unmapped::Reject, &BTreeMap::new(), chunking).unwrap();
        Settings { mapping, ..self.settings() }
    }

    fn replay(&self, word: &str, fuse: &Fuse) -> Result<Ledger, RunError> {
        let (sink, store) = (self.sink.with_fuse(fuse.clone()), self.store.with_fuse(fuse.clone()));
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &FixedClock::default() };
        block_on(replay(&self.mended(), &ports, word, &Stop::default()))
    }

    fn replayed(&self, word: &str) -> (u64, u64, u64, u64, u64) {
        let ledger = self.replay(word, &Fuse::none()).unwrap();
        assert!(ledger.counts.is_balanced(), "{:?}", ledger.counts);
        assert_eq!(ledger.errors.total(), ledger.counts.rejected);
        let Replayed { indexed, rejected, superseded, unreadable, missing, word: _ } = ledger.replayed.unwrap();
        (indexed, rejected, superseded, unreadable, missing)
    }

    /// Paths, contents and authors.
    fn stored(&self) -> Vec<String> {
        let text = |object: &Object, name: &str| match object.properties.get(name) {
            Some(value) => value.as_str().unwrap().to_owned(),
            None => "-".to_owned(),
        };
        let shown = |object: &Object| ["path", "content", "author"].map(|name| text(object, name)).join(" ");
        let mut shown = self.sink.objects().values().map(shown).collect::<Vec<_>>();
        shown.sort();
        shown
    }
}

#[test]
fn what_was_rejected_is_carried_out_once_and_nothing_newer_is_overwritten() {
    let content = |text: &str| format!(",\"content\":\"{text}\"{BY_ANN}");
    let text = [
        line("add", "a", &content("first")),
        line("modify", "a", &content("second")),
        add("b"),
        "nonsense\n".to_owned(),
        line("add", "b", &content("never")),
        line("add", "c", &content("old")),
        add("c"),
        line("rename", "nowhere", ",\"new_path\":\"d\""),
    ];
    for lines in [1, 3, 100] {
        let scene = Scene { window_lines: Some(lines), ..Scene::of(&text.concat()) };
        let ledger = scene.run(&Fuse::none()).unwrap();
        assert_eq!((ledger.counts.lines, ledger.counts.added, ledger.counts.rejected), (8, 2, 6));
        assert_eq!(
            ledger.rejects.lines.iter().map(|reject| reject.letter.line).collect::<Vec<_>>(),
            [1, 2, 4, 5, 6, 8]
        );
        // `b` has the older state until then, and no later line was rejected for it: its own line comes after.
        assert_eq!(scene.replayed("one"), (3, 1, 1, 1, 0));
        assert_eq!(scene.stored(), ["a second ann", "b never ann", "c x -"]);
        let ledger = scene.store.ledger().unwrap();
        let counts = ledger.counts;
        assert_eq!((counts.lines, counts.added, counts.modified, counts.rejected), (8, 4, 1, 3));
        let left = ledger.rejects.lines.iter().map(|reject| (reject.number, reject.letter.line));
        assert_eq!(left.collect::<Vec<_>>(), [(3, 4), (5, 6), (6, 8)], "they keep their numbers");
        assert_eq!(ledger.dead_letters.len(), 3);
        // Asked for once, done once; and a run that is done stays done.
        let before = scene.store.ledger();
        scene.replay("one", &Fuse::none()).unwrap();
        assert_eq!(scene.store.ledger(), before);
        assert_eq!(scene.run(&Fuse::none()).unwrap().state, State::Succeeded);
        assert_eq!(scene.replayed("two"), (0, 1, 1, 1, 0));
    }
}

#[test]
fn a_line_that_is_not_where_it_was_is_left_alone() {
    let line = line("add", "a", &format!(",\"content\":\"x\"{BY_ANN}"));
    for other in [
        String::new(),
        add("z") + line.as_str(),
        line.replace("\"a\"", "\"b\""),
        format!("\n{line}"),
        line[..30].to_owned(),
    ] {
        let mut scene = Scene::of(&line);
        scene.run(&Fuse::none()).unwrap();
        scene.source = MemorySource::of("feed.jsonl", other.clone());
        assert_eq!(scene.replayed("one"), (0, 0, 0, 0, 1), "{other}");
        scene.source = MemorySource::default();
        assert_eq!(scene.replayed("two"), (0, 0, 0, 0, 1));
        assert_eq!(scene.stored(), Vec::<String>::new());
        scene.source = MemorySource::of("feed.jsonl", line.clone());
        assert_eq!(scene.replayed("three"), (1, 0, 0, 0, 0));
    }
}

#[test]
fn a_text_that_is_cut_is_cut_when_it_is_carried_out_again() {
    let text = line("add", "a", &format!(",\"content\":\"0123456789\"{BY_ANN}"));
    let scene = Scene { chunks: Some((4, 0)), ..Scene::of(&text) };
    scene.run(&Fuse::none()).unwrap();
    assert_eq!(scene.replayed("one"), (1, 0, 0, 0, 0));
    let head = document_id("Articles", "r", "a");
    let stored = scene.sink.objects();
    let numbers = |object: &Object| ["chunks", "chunk"].map(|name| object.properties.get(name).and_then(Value::as_u64));
    assert_eq!((stored.len(), numbers(&stored[&head])), (3, [Some(3), Some(0)]));
    // What deletes it afterwards finds all of it.
    let gone = Scene { source: MemorySource::of("feed.jsonl", line("delete", "a", "")), name: Some("then"), ..scene };
    gone.run(&Fuse::none()).unwrap();
    assert_eq!(gone.sink.objects().len(), 0);
}

#[test]
fn a_line_that_was_rejected_twice_at_one_place_is_carried_out_once() {
    let scene = Scene::of(&line("add", "a", &format!(",\"content\":\"x\"{BY_ANN}")));
    let mut ledger = scene.run(&Fuse::none()).unwrap();
    // As a rewritten file leaves it that was read again: the line was counted both times.
    let again = ledger.rejects.lines[0].clone();
    ledger.rejects.lines.push(Reject { number: 2, ..again });
    ledger.rejects.seen = 2;
    ledger.counts.lines = 2;
    ledger.counts.rejected = 2;
    ledger.errors.count(Category::Validation);
    let store = MemoryLedger::default();
    let version = block_on(store.load()).unwrap().version;
    block_on(store.save(&ledger, &version)).unwrap();
    let scene = Scene { store, ..scene };
    assert_eq!(scene.replayed("one"), (1, 0, 1, 0, 0));
    let counts = scene.store.ledger().unwrap().counts;
    assert_eq!((counts.lines, counts.added, counts.rejected), (2, 1, 1));
}

/// Every line is rejected; replayed, and killed at every moment in turn, they come to what a run comes to that never
/// rejected them.
#[test]
fn killed_anywhere_a_replay_comes_to_what_the_lines_say() {
    let mut text = String::new();
    for path in ["a", "b", "c"] {
        text += &line("add", path, &format!(",\"content\":\"1\"{BY_ANN}"));
        text += &line("modify", path, &format!(",\"content\":\"2\"{BY_ANN}"));
        text += &line("rename", path, &format!(",\"new_path\":\"{path}{path}\"{BY_ANN}"));
        text += &line("add", path, &format!(",\"content\":\"3\"{BY_ANN}"));
        text += &line("rename", "nowhere", &format!(",\"new_path\":\"{path}\"{BY_ANN}"));
    }
    let wanted = {
        let scene = Scene { window_lines: Some(2), ..Scene::of(&text) };
        let ports =
            Ports { source: &scene.source, sink: &scene.sink, store: &scene.store, clock: &FixedClock::default() };
        let ledger = block_on(run(&scene.mended(), &ports, &Stop::default())).unwrap();
        (scene.sink.objects(), ledger.counts)
    };
    for lines in [1, 2, 7] {
        for kill in 0..60 {
            let scene = Scene { window_lines: Some(lines), ..Scene::of(&text) };
            assert_eq!(scene.run(&Fuse::none()).unwrap().counts.rejected, 15);
            // Twice, at another moment of what is left.
            let _ = scene.replay("one", &Fuse::after(kill));
            let _ = scene.replay("one", &Fuse::after(kill / 2 + 1));
            assert_eq!(
                scene.replayed("one"),
                (12, 3, 0, 0, 0),
                "killed after {kill} effects, what came of it is told whole"
            );
            assert_eq!(scene.sink.objects(), wanted.0, "killed after {kill} effects, {lines} lines in a window");
            assert_eq!(scene.store.ledger().unwrap().counts, wanted.1, "killed after {kill} effects");
            assert!(scene.store.history().iter().all(|ledger| ledger.counts.is_balanced()));
        }
    }
}

#[test]
fn a_request_that_was_dealt_with_is_known_to_the_next_run_as_well() {
    let scene = Scene::of("nonsense\n");
    scene.run(&Fuse::none()).unwrap();
    assert_eq!(scene.replayed("one"), (0, 0, 0, 1, 0));
    let other = Settings { run: "other".to_owned(), ..scene.settings() };
    let ports = Ports { source: &scene.source, sink: &scene.sink, store: &scene.store, clock: &FixedClock::default() };
    let ledger = block_on(run(&other, &ports, &Stop::default())).unwrap();
    assert_eq!((ledger.rejects.seen, ledger.replayed.unwrap().word), (1, "one".to_owned()));
}

/// Two documents in one window, each with a line that was rejected before the other's.
#[test]
fn what_a_replayed_line_supersedes_is_told_document_by_document() {
    let wrong = ",\"content\":\"x\",\"metadata\":{\"author\":\"ann\",\"nobody knows\":1}";
    let right = format!(",\"content\":\"x\"{BY_ANN}");
    let text = [
        line("add", "a", &right),
        line("add", "b", wrong),
        line("add", "b", &right),
        line("add", "a", wrong),
        line("add", "c", wrong),
    ];
    let scene = Scene::of(&text.concat());
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.rejected, 5);
    assert_eq!(scene.replayed("one"), (2, 3, 0, 0, 0));
    let left = scene.store.ledger().unwrap().rejects.lines;
    let left = left.iter().map(|reject| (reject.letter.line, reject.is_superseded)).collect::<Vec<_>>();
    assert_eq!(left, [(2, true), (4, false), (5, false)], "line 4 comes after what was carried out for its document");
}

#[test]
fn a_line_before_the_carried_one_is_superseded_by_it_in_whatever_window() {
    let text = [
        line("add", "b", ",\"content\":\"x\",\"metadata\":{\"odd\":1}"),
        line("add", "b", &format!(",\"content\":\"x\"{BY_ANN}")),
    ];
    for lines in [1, 5] {
        let scene = Scene { window_lines: Some(lines), ..Scene::of(&text.concat()) };
        scene.run(&Fuse::none()).unwrap();
        assert_eq!(scene.replayed("one"), (1, 1, 0, 0, 0));
        assert!(scene.store.ledger().unwrap().rejects.lines[0].is_superseded, "{lines} lines in a window");
    }
}

#[test]
fn a_damaged_file_costs_its_own_lines() {
    let of = |paths: &[&str]| {
        let lines = paths.iter().map(|path| line("add", path, &format!(",\"content\":\"{path}\"{BY_ANN}")));
        gzip(&lines.collect::<String>())
    };
    let files = [("a", of(&["1"])), ("b", of(&["2", "3"])), ("c", of(&["4"]))];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    let mut scene =
        Scene { source: MemorySource { files: files.clone().into(), ..MemorySource::default() }, ..Scene::default() };
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.rejected, 4);
    let bytes = scene.source.files.get_mut("b").unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    assert_eq!(scene.replayed("one"), (2, 0, 0, 0, 2));
    assert_eq!(scene.stored(), ["1 1 ann", "4 4 ann"]);
    scene.source.files = files.into();
    assert_eq!(scene.replayed("two"), (2, 0, 0, 0, 0));
}
