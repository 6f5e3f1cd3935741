//! Files that leave their place once every line of them is counted: once, whatever is killed, and never with a line
//! that nobody read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Mutex;

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::flight::FlightLimits;
use elysia_engine::follow::{Follow, Rewritten};
use elysia_engine::ledger::{Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink};
use elysia_engine::pace::BatchLimits;
use elysia_engine::ports::{FileEntry, PortError, PutAway, Source};
use elysia_engine::replay::replay;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;

fn add(path: &str) -> String {
    format!("{{\"repo\":\"r\",\"op\":\"add\",\"path\":\"{path}\",\"content\":\"x\"}}\n")
}

/// What a name ends with once its file is put away.
const DONE: &str = ".done";

/// A file of a volume: which one it is, how often it was written, and what is in it.
#[derive(Clone)]
struct Stored {
    number: u64,
    writes: u64,
    bytes: Vec<u8>,
}

impl Stored {
    fn version(&self) -> String {
        format!("{} {}", self.number, self.writes)
    }
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Stored>,
    made: u64,
    /// What somebody appends in the moment before a file is put away.
    late: Option<(String, String)>,
}

/// A volume in memory whose files get `.done` behind their names.
#[derive(Default)]
struct Volume {
    state: Mutex<Disk>,
    fuse: Mutex<Fuse>,
}

impl Volume {
    fn put(&self, name: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let stored = Stored { number: state.made, writes: 0, bytes: text.into() };
        assert!(state.files.insert(name.to_owned(), stored).is_none(), "{name} is there");
    }

    fn append(&self, name: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        let stored = state.files.get_mut(name).unwrap();
        stored.writes += 1;
        stored.bytes.extend_from_slice(text.as_bytes());
    }

    fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }
}

impl Source for Volume {
    type Reader = Cursor<Vec<u8>>;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        let state = self.state.lock().unwrap();
        let here = state.files.iter().filter(|(name, _)| !name.ends_with(DONE));
        let entry = |(name, stored): (&String, &Stored)| FileEntry {
            name: name.clone(),
            size: stored.bytes.len() as u64,
            version: Some(stored.version()),
            expected: None,
        };
        Ok(here.map(entry).collect())
    }

    async fn open(&self, file: &FileEntry) -> Result<Self::Reader, PortError> {
        let state = self.state.lock().unwrap();
        let gone = || PortError {
            category: elysia_engine::category::Category::FileSystem,
            retryable: false,
            message: "gone".to_owned(),
        };
        Ok(Cursor::new(state.files.get(&file.name).ok_or_else(gone)?.bytes.clone()))
    }

    fn puts_away(&self) -> bool {
        true
    }

    async fn destination(&self, file: &str) -> Result<Option<String>, PortError> {
        let state = self.state.lock().unwrap();
        let names = (0..9).map(|number| format!("{file}.{number}.done"));
        let mut free = names.filter(|name| !state.files.contains_key(name));
        Ok(state.files.contains_key(file).then(|| free.next()).flatten())
    }

    async fn put_away(&self, file: &str, version: &str, to: &str) -> Result<PutAway, PortError> {
        self.fuse.lock().unwrap().burn()?;
        let late = self.state.lock().unwrap().late.take();
        if let Some((name, text)) = late {
            self.append(&name, &text);
        }
        let mut state = self.state.lock().unwrap();
        if state.files.get(to).is_some_and(|there| there.version() == version) {
            return Ok(PutAway::Done);
        }
        if state.files.get(file).is_none_or(|here| here.version() != version) {
            return Ok(PutAway::Changed);
        }
        if state.files.contains_key(to) {
            return Ok(PutAway::Occupied);
        }
        let stored = state.files.remove(file).unwrap();
        state.files.insert(to.to_owned(), stored);
        drop(state);
        // Killed right behind it.
        self.fuse.lock().unwrap().burn()?;
        Ok(PutAway::Done)
    }
}

#[derive(Default)]
struct Scene {
    volume: Volume,
    sink: MemorySink,
    store: MemoryLedger,
}

impl Scene {
    fn settings(properties: &[&str]) -> Settings {
        let text = |name: &&str| ((*name).to_owned(), DataType::parse("text"));
        Settings {
            run: "run".to_owned(),
            collection: "Articles".to_owned(),
            mapping: Mapping::new(properties.iter().map(text), Unmapped::Reject).unwrap(),
            computed_vectors: [].into(),
            max_rejected: None,
            guard: None,
            skip_unchanged: false,
            partition: None,
            follow: Some(Follow {
                basis: "basis".to_owned(),
                rewritten: Rewritten::Refuse,
                min_changes: None,
                run_now: None,
            }),
            window: WindowLimits { lines: 2, ..WindowLimits::default() },
            flight: FlightLimits::default(),
            batch: BatchLimits::default(),
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        }
    }

    fn run(&self, fuse: &Fuse) -> Result<Ledger, RunError> {
        *self.volume.fuse.lock().unwrap() = fuse.clone();
        let (sink, store) = (self.sink.with_fuse(fuse.clone()), self.store.with_fuse(fuse.clone()));
        let ports = Ports { source: &self.volume, sink: &sink, store: &store, clock: &FixedClock::default() };
        let settings = Self::settings(&["repo", "path", "content"]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&settings, &ports, &Stop::default()))
    }

    fn replay(&self, properties: &[&str]) -> Ledger {
        *self.volume.fuse.lock().unwrap() = Fuse::none();
        let ports = Ports { source: &self.volume, sink: &self.sink, store: &self.store, clock: &FixedClock::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(replay(&Self::settings(properties), &ports, "word", &Stop::default())).unwrap()
    }

    fn lines(&self) -> u64 {
        let ledger = self.run(&Fuse::none()).unwrap();
        assert_eq!(ledger.state, State::Succeeded);
        assert!(ledger.counts.is_balanced());
        self.store.ledger().unwrap().counts.lines
    }
}

#[test]
fn a_file_leaves_its_place_and_the_next_one_of_its_name_is_another() {
    let scene = Scene::default();
    for round in 1..4 {
        // The same content every day: it was put there to be read.
        scene.volume.put("a.jsonl", &(add("a") + add("b").as_str()));
        assert_eq!(scene.lines(), 2 * round);
        assert!(!scene.volume.names().contains(&"a.jsonl".to_owned()));
        assert_eq!(scene.lines(), 2 * round, "it is not read again");
    }
    assert_eq!(scene.volume.names(), ["a.jsonl.0.done", "a.jsonl.1.done", "a.jsonl.2.done"]);
    let followed = scene.store.ledger().unwrap().followed.unwrap();
    assert_eq!((followed.files.len(), followed.leaving.len(), followed.put_away), (0, 0, 3));
}

#[test]
fn what_is_not_counted_stays() {
    let scene = Scene::default();
    let line = add("b");
    scene.volume.put("a.jsonl", &(add("a") + &line[..20]));
    assert_eq!(scene.lines(), 1);
    assert_eq!(scene.volume.names(), ["a.jsonl"], "its last line is not whole");
    scene.volume.append("a.jsonl", &line[20..]);
    // It grows once more, in the very moment in which it would go.
    scene.volume.state.lock().unwrap().late = Some(("a.jsonl".to_owned(), add("c")));
    assert_eq!(scene.lines(), 2);
    assert_eq!(scene.volume.names(), ["a.jsonl"]);
    assert_eq!(scene.lines(), 3);
    assert_eq!(scene.volume.names(), ["a.jsonl.0.done"]);
}

#[test]
fn killed_anywhere_every_file_goes_once_and_every_line_is_counted_once() {
    for kill in 0..60 {
        let scene = Scene::default();
        for day in ["x", "y", "z"] {
            for file in ["a", "b", "c"] {
                scene.volume.put(
                    &format!("{file}.jsonl"),
                    &(add(&format!("{file}{day}1")) + add(&format!("{file}{day}2")).as_str()),
                );
            }
            if scene.run(&Fuse::after(kill)).is_err() {
                // Another file of a name that is free comes before the next worker looks.
                let free = ["a", "b", "c"].map(|file| format!("{file}.jsonl"));
                let free = free.into_iter().find(|name| !scene.volume.names().contains(name));
                if let (Some(name), "y") = (free, day) {
                    scene.volume.put(&name, &add("extra"));
                }
            }
            scene.run(&Fuse::none()).unwrap();
        }
        let extra = u64::from(scene.sink.objects().len() > 18);
        assert_eq!(scene.lines(), 18 + extra, "killed after {kill} effects");
        assert_eq!(scene.sink.objects().len() as u64, 18 + extra);
        let names = scene.volume.names();
        assert!(names.iter().all(|name| name.ends_with(DONE)), "{names:?}");
        assert_eq!(names.len() as u64, 9 + extra);
    }
}

#[test]
fn a_rejected_line_is_found_where_its_file_is_now() {
    let scene = Scene::default();
    let line = add("a").replace("\"x\"", "\"x\",\"metadata\":{\"author\":\"ann\"}");
    scene.volume.put("a.jsonl", &line);
    assert_eq!(scene.lines(), 1);
    let ledger = scene.store.ledger().unwrap();
    assert_eq!((ledger.dead_letters[0].file.as_str(), ledger.rejects.lines.len()), ("a.jsonl.0.done", 1));
    let ledger = scene.replay(&["repo", "path", "content", "author"]);
    assert_eq!((ledger.counts.added, ledger.counts.rejected, ledger.replayed.unwrap().indexed), (1, 0, 1));
}

#[test]
fn a_rejected_line_is_found_while_its_file_is_on_its_way() {
    let line = add("a").replace("\"x\"", "\"x\",\"metadata\":{\"author\":\"ann\"}");
    let mut moved = 0;
    for kill in 0..20 {
        let scene = Scene::default();
        scene.volume.put("a.jsonl", &line);
        let _ = scene.run(&Fuse::after(kill));
        let is_counted = scene.store.ledger().is_some_and(|ledger| ledger.counts.rejected == 1);
        if !is_counted {
            continue;
        }
        let is_told = scene.store.ledger().unwrap().rejects.lines[0].letter.file.ends_with(DONE);
        moved += usize::from(scene.volume.names() == ["a.jsonl.0.done"] && !is_told);
        let ledger = scene.replay(&["repo", "path", "content", "author"]);
        assert_eq!(ledger.replayed.unwrap().indexed, 1, "killed after {kill} effects");
    }
    assert!(moved > 0, "killed between the move and the ledger");
}

/// `maxRejected` is a run's: what was rejected before it does not count, whatever becomes of it later.
#[test]
fn a_replay_tells_rejected_lines_of_this_run_from_those_before() {
    let with = |path: &str, key: &str| add(path).replace("\"x\"", &format!("\"x\",\"metadata\":{{\"{key}\":\"ann\"}}"));
    for (mended, before, rejected) in [("author", 0, 2), ("editor", 1, 1), ("nothing", 1, 3)] {
        let scene = Scene::default();
        scene.volume.put("a.jsonl", &with("a", "author"));
        scene.lines();
        scene.volume.put("b.jsonl", &(with("b", "editor") + with("c", "editor").as_str()));
        scene.lines();
        let ledger = scene.replay(&["repo", "path", "content", mended]);
        let followed = ledger.followed.unwrap();
        assert_eq!((followed.rejected_before, ledger.counts.rejected), (before, rejected), "{mended} is there now");
    }
}
