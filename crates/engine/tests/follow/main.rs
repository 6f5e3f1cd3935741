//! Feeds that go on from run to run: what is new is read, nothing twice, and what was rewritten is noticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod archives;
mod put_off;

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::flight::FlightLimits;
use elysia_engine::follow::{Follow, MAX_FILES, Rewritten};
use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::pace::BatchLimits;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;
use jiff::Timestamp;

fn add(path: &str) -> String {
    format!("{{\"repo\":\"r\",\"op\":\"add\",\"path\":\"{path}\",\"content\":\"x\"}}\n")
}

struct Scene {
    source: MemorySource,
    sink: MemorySink,
    store: MemoryLedger,
    run: &'static str,
    basis: &'static str,
    rewritten: Rewritten,
    max_rejected: Option<u64>,
    min_changes: Option<u64>,
    run_now: Option<&'static str>,
    now: Timestamp,
}

impl Scene {
    fn new(has_versions: bool) -> Self {
        Self {
            source: MemorySource { has_versions, ..MemorySource::default() },
            sink: MemorySink::default(),
            store: MemoryLedger::default(),
            run: "first",
            basis: "basis",
            rewritten: Rewritten::Refuse,
            max_rejected: None,
            min_changes: None,
            run_now: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn put(&mut self, name: &str, text: &str) {
        self.source.files.insert(name.to_owned(), text.as_bytes().to_vec());
    }

    fn append(&mut self, name: &str, text: &str) {
        self.source.files.entry(name.to_owned()).or_default().extend_from_slice(text.as_bytes());
    }

    fn rename(&mut self, from: &str, to: &str) {
        let bytes = self.source.files.remove(from).unwrap();
        self.source.files.insert(to.to_owned(), bytes);
    }

    fn run(&self, fuse: &Fuse) -> Result<Ledger, RunError> {
        let text = |name: &str| (name.to_owned(), DataType::parse("text"));
        let settings = Settings {
            run: self.run.to_owned(),
            collection: "Articles".to_owned(),
            mapping: Mapping::new(["repo", "path", "content"].map(text), Unmapped::Reject).unwrap(),
            computed_vectors: [].into(),
            max_rejected: self.max_rejected,
            guard: None,
            skip_unchanged: false,
            partition: None,
            follow: Some(Follow {
                basis: self.basis.to_owned(),
                rewritten: self.rewritten,
                min_changes: self.min_changes,
                run_now: self.run_now.map(str::to_owned),
            }),
            window: WindowLimits { lines: 1, ..WindowLimits::default() },
            flight: FlightLimits::default(),
            batch: BatchLimits::default(),
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        };
        let (sink, store) = (self.sink.with_fuse(fuse.clone()), self.store.with_fuse(fuse.clone()));
        let clock = FixedClock { now: self.now, ..FixedClock::default() };
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &clock };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(
            &settings,
            &ports,
            &Stop::default(),
        ))
    }

    /// Lines that were ever read, and what was opened for it.
    fn reads(&self) -> (u64, Vec<(String, u64)>) {
        self.source.opened.lock().unwrap().clear();
        let ledger = self.run(&Fuse::none()).unwrap();
        let opened = self.source.opened.lock().unwrap().clone();
        assert_eq!(ledger.state, State::Succeeded);
        let counts = &ledger.counts;
        assert_eq!(counts.lines, counts.added + counts.rejected + counts.deleted + counts.modified + counts.unchanged);
        (counts.lines, opened)
    }

    fn lines(&self) -> u64 {
        self.reads().0
    }

    fn fails(&self) -> (FailureReason, String) {
        let RunError::Failed { reason, message } = self.run(&Fuse::none()).unwrap_err() else { panic!("stopped") };
        (reason, message)
    }
}

#[test]
fn what_is_new_is_read_and_what_is_known_is_not_opened() {
    let mut scene = Scene::new(true);
    scene.put("a.jsonl", &(add("a") + add("b").as_str()));
    scene.put("b.jsonl", &add("c"));
    assert_eq!(scene.lines(), 3);
    let before = scene.store.ledger();
    assert_eq!(scene.reads(), (3, vec![]));
    assert_eq!(scene.store.ledger(), before, "a look that finds nothing writes nothing");
    scene.put("c.jsonl", &add("d"));
    assert_eq!(scene.reads(), (4, vec![("c.jsonl".to_owned(), 0)]));
    scene.append("a.jsonl", &add("e"));
    let (lines, opened) = scene.reads();
    let end = u64::try_from(2 * add("a").len()).unwrap();
    assert_eq!(
        (lines, opened),
        (5, vec![("a.jsonl".to_owned(), 0), ("a.jsonl".to_owned(), end)]),
        "hashed, then read on"
    );
    assert_eq!(scene.sink.objects().len(), 5);
    // Another run of the same feed goes on as well; another basis begins anew.
    scene.run = "second";
    assert_eq!(scene.reads(), (5, vec![]));
    assert_eq!(scene.store.ledger().unwrap().run, "second");
    scene.basis = "another";
    assert_eq!(scene.lines(), 5);
    assert_eq!(scene.store.ledger().unwrap().counts.added, 5);
}

#[test]
fn without_versions_files_are_hashed_and_not_read_again() {
    let mut scene = Scene::new(false);
    scene.put("a.jsonl", &add("a"));
    assert_eq!(scene.lines(), 1);
    assert_eq!(scene.reads(), (1, vec![("a.jsonl".to_owned(), 0)]));
    scene.append("a.jsonl", &add("b"));
    assert_eq!(scene.lines(), 2);
}

#[test]
fn what_was_rewritten_or_cut_off_is_refused_before_anything_is_read() {
    for versions in [true, false] {
        for text in [add("z"), add("z") + add("y").as_str(), "{".to_owned()] {
            let mut scene = Scene::new(versions);
            scene.put("a.jsonl", &(add("a") + add("b").as_str()));
            assert_eq!(scene.lines(), 2);
            scene.put("a.jsonl", &text);
            scene.put("0.jsonl", &add("new"));
            let (reason, message) = scene.fails();
            assert_eq!(reason, FailureReason::FileRewritten);
            assert!(message.starts_with("a.jsonl: the first "), "{message}");
            assert_eq!(scene.store.ledger().unwrap().counts.lines, 2, "nor is the file before it read");
            // What it was is there again.
            scene.put("a.jsonl", &(add("a") + add("b").as_str()));
            assert_eq!(scene.lines(), 3);
            scene.put("a.jsonl", &add("z"));
            scene.rewritten = Rewritten::ReadAgain;
            assert_eq!(scene.lines(), 4);
            let ledger = scene.store.ledger().unwrap();
            assert_eq!(ledger.followed.unwrap().reread, 1);
        }
    }
}

#[test]
fn a_file_that_is_rotated_is_known_under_its_new_name() {
    for versions in [true, false] {
        let mut scene = Scene::new(versions);
        scene.put("log.jsonl", &add("a"));
        assert_eq!(scene.lines(), 1);
        scene.append("log.jsonl", &add("b"));
        scene.rename("log.jsonl", "log.jsonl.1");
        scene.put("log.jsonl", &add("c"));
        assert_eq!(scene.lines(), 3, "b is read behind a, and c of the new file");
        // Twice, so that every file has another one's name.
        scene.rename("log.jsonl.1", "log.jsonl.2");
        scene.rename("log.jsonl", "log.jsonl.1");
        scene.put("log.jsonl", &add("d"));
        assert_eq!(scene.lines(), 4);
        // Copied and cut off.
        let copy = String::from_utf8(scene.source.files["log.jsonl"].clone()).unwrap();
        scene.put("log.jsonl.0", &copy);
        scene.put("log.jsonl", "");
        assert_eq!(scene.lines(), 4);
        scene.append("log.jsonl", &add("e"));
        assert_eq!(scene.lines(), 5);
        assert_eq!(scene.sink.objects().len(), 5);
    }
}

#[test]
fn a_listing_that_was_short_forgets_nothing() {
    let mut scene = Scene::new(true);
    scene.put("a.jsonl", &add("a"));
    scene.put("b.jsonl", &add("b"));
    assert_eq!(scene.lines(), 2);
    let a = scene.source.files.remove("a.jsonl").unwrap();
    assert_eq!(scene.lines(), 2);
    scene.source.files.insert("a.jsonl".to_owned(), a);
    assert_eq!(scene.reads(), (2, vec![]));
}

#[test]
fn a_last_line_that_is_being_written_waits_for_its_end() {
    let mut scene = Scene::new(true);
    let second = add("b");
    let (begin, end) = second.split_at(20);
    scene.put("a.jsonl", &(add("a") + begin));
    assert_eq!(scene.lines(), 1);
    assert_eq!(scene.reads(), (1, vec![]));
    scene.append("a.jsonl", end.trim_end());
    assert_eq!(scene.lines(), 2, "an object that ends is whole without its line break");
    scene.append("a.jsonl", "\nnonsense\n");
    assert_eq!(scene.lines(), 3);
    let ledger = scene.store.ledger().unwrap();
    assert_eq!((ledger.counts.added, ledger.counts.rejected), (2, 1));
    assert_eq!(ledger.dead_letters[0].line, 3, "as an editor counts");
}

#[test]
fn rejected_lines_are_a_runs() {
    let mut scene = Scene::new(true);
    scene.max_rejected = Some(1);
    scene.put("a.jsonl", "bad\n");
    assert_eq!(scene.lines(), 1);
    scene.append("a.jsonl", "bad\n");
    assert_eq!(scene.lines(), 2, "one more of another run");
    assert_eq!(scene.store.ledger().unwrap().dead_letters.len(), 1);
    scene.append("a.jsonl", &format!("bad\nbad\n{}", add("a")));
    assert_eq!(scene.fails().0, FailureReason::TooManyRejected);
    assert_eq!(scene.fails().0, FailureReason::TooManyRejected, "another worker of the same run");
    scene.run = "second";
    assert_eq!(scene.lines(), 5, "a person had it run again");
}

#[test]
fn files_without_number_are_refused_with_the_way_out() {
    let mut scene = Scene::new(true);
    for number in 0..=MAX_FILES {
        scene.put(&format!("{number}.jsonl"), "\n");
    }
    let (reason, message) = scene.fails();
    assert_eq!(reason, FailureReason::TooManyFiles);
    assert!(message.contains("make several feeds"), "{message}");
}

#[test]
fn what_is_gone_longest_makes_room() {
    let mut scene = Scene::new(true);
    for number in 0..MAX_FILES {
        scene.put(&format!("{number:04}.jsonl"), &add(&number.to_string()));
    }
    assert_eq!(scene.lines(), MAX_FILES as u64);
    let gone = |scene: &mut Scene, name: &str| scene.source.files.remove(name).unwrap();
    let first = gone(&mut scene, "0500.jsonl");
    scene.lines();
    let second = gone(&mut scene, "0400.jsonl");
    scene.lines();
    scene.put("new.jsonl", &add("new"));
    assert_eq!(scene.lines(), MAX_FILES as u64 + 1);
    assert_eq!(scene.store.ledger().unwrap().followed.unwrap().files.len(), MAX_FILES, "one made room for one");
    // What went later is known still when it comes back, and what went first is not.
    scene.source.files.insert("0400.jsonl".to_owned(), second);
    assert_eq!(scene.lines(), MAX_FILES as u64 + 1);
    gone(&mut scene, "0400.jsonl");
    scene.source.files.insert("0500.jsonl".to_owned(), first);
    assert_eq!(scene.lines(), MAX_FILES as u64 + 2);
}

#[test]
fn a_run_that_ended_before_it_read_anything_interrupted_nothing() {
    let mut scene = Scene::new(true);
    scene.max_rejected = Some(1);
    scene.put("a.jsonl", &("bad\n".to_owned() + add("a").as_str()));
    assert_eq!(scene.lines(), 2);
    let text = scene.source.files["a.jsonl"].clone();
    scene.put("a.jsonl", "{}");
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);
    scene.source.files.insert("a.jsonl".to_owned(), text);
    scene.append("a.jsonl", "bad\n");
    assert_eq!(scene.lines(), 3, "one rejected line is this run's");
}

/// Several days of a feed, each worker killed at every moment in turn: every line is read once, in the end.
#[test]
fn killed_anywhere_every_line_is_counted_once() {
    let days: [fn(&mut Scene); 4] = [
        |scene| {
            scene.put("a.jsonl", &(add("a") + add("b").as_str()));
            scene.put("b.jsonl", &add("c"));
        },
        |scene| {
            scene.append("b.jsonl", &(add("d") + add("e").as_str()));
            scene.put("0.jsonl", &add("f"));
        },
        |scene| {
            scene.append("a.jsonl", &add("g"));
            scene.rename("b.jsonl", "b.jsonl.1");
            scene.put("b.jsonl", &(add("h") + "bad\n"));
        },
        |_| {},
    ];
    for versions in [true, false] {
        for kill in 1..40 {
            let mut scene = Scene::new(versions);
            for (day, change) in days.iter().enumerate() {
                change(&mut scene);
                scene.run = ["one", "two", "three", "four"][day];
                let fuse = Fuse::after(kill);
                if scene.run(&fuse).is_ok() {
                    continue;
                }
                // Appended to while nobody looks.
                if day == 1 {
                    scene.append("0.jsonl", &add("i"));
                }
                if kill % 2 == 0 {
                    scene.run = "now";
                }
                scene.run(&Fuse::none()).unwrap();
            }
            let late = u64::from(scene.source.files["0.jsonl"].len() > add("f").len());
            let lines = scene.lines();
            assert_eq!(lines, 9 + late, "killed after {kill} effects");
            let ledger = scene.store.ledger().unwrap();
            assert_eq!((ledger.counts.added, ledger.counts.rejected), (8 + late, 1));
            assert_eq!(scene.sink.objects().len() as u64, 8 + late);
        }
    }
}

#[test]
fn what_begins_as_a_file_did_that_is_long_gone_is_another_file() {
    let delete = |path: &str| format!("{{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"{path}\"}}\n");
    let mut scene = Scene::new(true);
    scene.put("day1.jsonl", &add("a"));
    assert_eq!(scene.lines(), 1);
    scene.source.files.clear();
    scene.put("day2.jsonl", &delete("a"));
    assert_eq!(scene.lines(), 2);
    assert_eq!(scene.sink.objects().len(), 0);
    scene.source.files.clear();
    scene.put("day3.jsonl", &add("a"));
    assert_eq!(scene.lines(), 3);
    assert_eq!(scene.sink.objects().len(), 1, "as on the first day");
    // The name that was gone is known all the same.
    scene.put("day1.jsonl", &(add("a") + add("b").as_str()));
    assert_eq!(scene.lines(), 4);
}
