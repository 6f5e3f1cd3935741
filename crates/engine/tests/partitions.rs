//! One feed among several workers: whatever happens to each of them, together they count and write what one would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::category::Category;
use elysia_engine::counts::Counts;
use elysia_engine::flight::FlightLimits;
use elysia_engine::identity::document_id;
use elysia_engine::ledger::{Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::pace::BatchLimits;
use elysia_engine::partition::{Partition, finish_former};
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;
use proptest::prelude::*;

const COLLECTION: &str = "Articles";

/// A collection and a feed.
struct World {
    source: MemorySource,
    sink: MemorySink,
}

impl World {
    fn of(text: &str) -> Self {
        Self { source: MemorySource::of("feed.jsonl", text), sink: MemorySink::default() }
    }

    fn worker(&self, store: &MemoryLedger, partition: Option<Partition>, fuse: &Fuse) -> Result<Ledger, RunError> {
        let text = |name: &str| (name.to_owned(), DataType::parse("text"));
        let settings = Settings {
            run: format!("of {}", partition.map_or(1, |partition| partition.count)),
            collection: COLLECTION.to_owned(),
            mapping: Mapping::new(["repo", "path", "content"].map(text), Unmapped::Reject).unwrap(),
            computed_vectors: [].into(),
            max_rejected: None,
            guard: None,
            skip_unchanged: false,
            partition,
            follow: None,
            window: WindowLimits { lines: 3, ..WindowLimits::default() },
            flight: FlightLimits::default(),
            batch: BatchLimits { objects: 2, ..BatchLimits::default() },
            retry: Retry::default(),
            breaker: BreakerPolicy::default(),
        };
        let (sink, store) = (self.sink.with_fuse(fuse.clone()), store.with_fuse(fuse.clone()));
        let ports = Ports { source: &self.source, sink: &sink, store: &store, clock: &FixedClock::default() };
        block_on(run(&settings, &ports, &Stop::default()))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn line() -> impl Strategy<Value = String> {
    let repo = || proptest::sample::select(vec!["one", "two", "three", "four", "five"]);
    let path = || proptest::sample::select(vec!["a", "b", "c"]);
    let change = |op: &'static str| {
        (repo(), path()).prop_map(move |(repo, path)| {
            format!(r#"{{"repo":"{repo}","op":"{op}","path":"{path}","content":"{op} {path}"}}"#)
        })
    };
    prop_oneof![
        4 => change("add"),
        3 => change("modify"),
        2 => (repo(), path()).prop_map(|(repo, path)| format!(r#"{{"repo":"{repo}","op":"delete","path":"{path}"}}"#)),
        4 => (repo(), path(), path()).prop_map(|(repo, path, new_path)| {
            format!(r#"{{"repo":"{repo}","op":"rename","path":"{path}","new_path":"{new_path}"}}"#)
        }),
        1 => Just("nonsense".to_owned()),
        1 => Just(r#"{"repo":"one","op":"fly","path":"a"}"#.to_owned()),
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Law 8 holds for the sum, killed or not.
    #[test]
    fn together_they_do_what_one_does(
        lines in proptest::collection::vec(line(), 0..40),
        count in 2_u32..6,
        kills in proptest::collection::vec((0_u32..6, 0_u64..20), 0..8),
    ) {
        let text = lines.join("\n");
        let alone = World::of(&text);
        let whole = alone.worker(&MemoryLedger::default(), None, &Fuse::none()).unwrap();
        let world = World::of(&text);
        let stores = (0..count).map(|_| MemoryLedger::default()).collect::<Vec<_>>();
        for (index, effects) in kills {
            let index = index % count;
            let store = &stores[usize::try_from(index).unwrap()];
            let _ = world.worker(store, Partition::new(index, count), &Fuse::after(effects));
        }
        let (mut counts, mut errors) = (Counts::default(), 0);
        for (index, store) in (0..count).zip(&stores) {
            let ledger = world.worker(store, Partition::new(index, count), &Fuse::none()).unwrap();
            prop_assert_eq!(ledger.state, State::Succeeded);
            prop_assert!(ledger.counts.is_balanced());
            prop_assert_eq!(ledger.partition, Partition::new(index, count));
            counts.add(&ledger.counts);
            errors += ledger.errors.of(Category::Validation);
        }
        prop_assert_eq!(counts, whole.counts);
        prop_assert_eq!(errors, whole.errors.of(Category::Validation));
        prop_assert_eq!(world.sink.objects(), alone.sink.objects());
    }
}

fn add(repo: &str, path: &str) -> String {
    format!("{{\"repo\":\"{repo}\",\"op\":\"add\",\"path\":\"{path}\",\"content\":\"x\"}}\n")
}

fn rename(repo: &str, path: &str, new_path: &str) -> String {
    format!("{{\"repo\":\"{repo}\",\"op\":\"rename\",\"path\":\"{path}\",\"new_path\":\"{new_path}\"}}\n")
}

/// A worker of one is killed between its puts and the deletes of what it renamed away; then the feed is divided.
#[test]
fn what_another_division_left_half_done_is_finished_once_and_first() {
    let old = document_id(COLLECTION, "one", "a");
    let killed = |effects| {
        let before = World::of(&add("one", "a"));
        before.worker(&MemoryLedger::default(), None, &Fuse::none()).unwrap();
        let world = World { sink: before.sink, ..World::of(&rename("one", "a", "b")) };
        let store = MemoryLedger::default();
        let _ = world.worker(&store, None, &Fuse::after(effects));
        (world, store)
    };
    let is_half_done = |(world, store): &(World, MemoryLedger)| {
        store.ledger().is_some_and(|ledger| ledger.pending.is_some()) && world.sink.objects().contains_key(&old)
    };
    let (world, store) = (0..9).map(killed).find(is_half_done).unwrap();
    let clock = FixedClock::default();
    let finish = |partition| {
        block_on(finish_former(partition, COLLECTION, &world.sink, &store, &clock, &Stop::default())).unwrap()
    };
    assert!(finish(None), "the same division goes on by itself");
    assert!(store.ledger().unwrap().pending.is_some());
    assert!(!finish(Partition::new(1, 2)), "the others wait");
    assert!(world.sink.objects().contains_key(&old));
    assert!(finish(Partition::new(0, 2)));
    assert!(!world.sink.objects().contains_key(&old));
    assert!(store.ledger().unwrap().pending.is_none());
    assert!(finish(Partition::new(1, 2)));
}
