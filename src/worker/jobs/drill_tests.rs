//! Drills over a store and a cluster in memory: killed at every effect they leave nothing that is not known, and delete
//! nothing but what they made.

use std::collections::BTreeMap;

use elysia_api::backup::DrillState;
use elysia_core::backup::ledger::{BackupLedger, MOST_SCRATCH, ScratchNote, Stage};
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::Store as _;
use elysia_engine::backup::write::{Cold, Order, Progress, Writer};
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::PortError;
use elysia_engine::retry::{Retry, Stop};
use serde_json::{Value, json};
use uuid::Uuid;

use super::backup::{Hands, run_on};
use super::board::{Board, MemoryBoard};
use super::tests::{NOBODY, at, backup_job, owner};
use super::work::BackupJob;
use crate::worker::LEDGER_KEY;
use crate::worker::backup::drill::Scratch;
use crate::worker::backup::drill::memory::MemoryGround;
use crate::worker::backup::native::Pace;

const RUN: &str = "20260501T030000Z-aaaa";

fn objects(count: u32) -> BTreeMap<Uuid, Object> {
    let object = |number: u32| {
        let id = Uuid::from_u128(u128::from(number) + 1);
        #[expect(clippy::cast_precision_loss, reason = "any numbers do")]
        let numbers = vec![1.0, number as f32, 1.0 / (number + 1) as f32];
        let vectors = [(String::new(), Vector::Single(numbers))].into();
        let properties = [("photo".to_owned(), "9f86d081".into())].into_iter().collect();
        (id, Object { id, properties, vectors })
    };
    (0..count).map(object).collect()
}

/// `Articles`, and `Notes` with two tenants, one of them at rest. Of their photos no restore makes what they were.
fn cluster() -> MemoryCluster {
    let cluster = MemoryCluster::new(10, 1);
    let schema = |name: &str, tenants: bool| {
        json!({"class": name, "description": "mine", "vectorIndexConfig": {}, "properties": [{"name": "photo", "dataType": ["blobHash"]}],
            "multiTenancyConfig": {"enabled": tenants}, "objectTtlConfig": {"enabled": true}})
    };
    let articles = MemoryClass {
        schema: schema("Articles", false),
        objects: [(String::new(), objects(12))].into(),
        ..MemoryClass::default()
    };
    let notes = MemoryClass {
        schema: schema("Notes", true),
        tenants: [("cold".to_owned(), "COLD".to_owned()), ("warm".to_owned(), "HOT".to_owned())].into(),
        objects: [("cold".to_owned(), objects(4)), ("warm".to_owned(), objects(6))].into(),
        ..MemoryClass::default()
    };
    cluster.set("Articles", articles);
    cluster.set("Notes", notes);
    cluster
}

async fn write(store: &MemoryStore, cluster: &MemoryCluster, run: &str) {
    let order = Order {
        data: DataFormat::JsonlZstd,
        cold: Cold::Wake,
        lanes: 1,
        retry: Retry { attempts: 1, ..Retry::default() },
        ..Order::new(run.to_owned(), owner(), vec!["Articles".to_owned(), "Notes".to_owned()])
    };
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), Progress::default());
    let writer = Writer { store, source: cluster, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap();
}

fn drill_job(order: &str, edit: impl FnOnce(&mut Value)) -> BackupJob {
    backup_job(order, |job| {
        job["drill"] =
            json!({"cluster": owner().cluster, "sample": 100, "searches": 3, "minimumOverlap": 80, "factor": 1});
        edit(job);
    })
}

/// A board that dies with its worker.
struct FusedBoard<'a>(&'a MemoryBoard, Fuse);

impl Board for FusedBoard<'_> {
    async fn read(&self, key: &str) -> Result<Option<String>, PortError> {
        self.0.read(key).await
    }

    async fn write(&self, key: &str, text: String) -> Result<(), PortError> {
        self.1.burn()?;
        self.0.write(key, text).await
    }
}

struct Bench {
    store: MemoryStore,
    board: MemoryBoard,
    ground: MemoryGround,
}

impl Bench {
    async fn new() -> Self {
        let (store, cluster) = (MemoryStore::default(), cluster());
        write(&store, &cluster, RUN).await;
        Self { store, board: MemoryBoard::default(), ground: MemoryGround::new(cluster) }
    }

    fn ledger(&self) -> BackupLedger {
        let text = self.board.0.lock().unwrap().get(LEDGER_KEY).cloned();
        text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
    }

    fn keep(&self, ledger: &BackupLedger) {
        self.board.0.lock().unwrap().insert(LEDGER_KEY.to_owned(), serde_json::to_string(ledger).unwrap());
    }

    async fn work(&self, job: &BackupJob) -> Result<BackupLedger, String> {
        self.killed(job, &Fuse::none()).await
    }

    async fn killed(&self, job: &BackupJob, fuse: &Fuse) -> Result<BackupLedger, String> {
        let (stop, ways) = (Stop::default(), at(NOBODY));
        let store = self.store.with_fuse(fuse.clone());
        let board = FusedBoard(&self.board, fuse.clone());
        let cluster = self.ground.cluster.with_fuse(fuse.clone());
        let ground = MemoryGround { cluster, meddle: self.ground.meddle, finds: self.ground.finds };
        let hands = Hands { store: &store, ways: &ways, board: &board, stop: &stop, key: None, pace: Pace::USUAL };
        run_on(job, &hands, &ground).await.map_err(|failure| failure.message)?;
        Ok(self.ledger())
    }

    /// The collections that are there, and what the ones that are backed up hold.
    fn scratch(&self) -> Vec<String> {
        let mut names = self.ground.cluster.names();
        names.retain(|name| name.contains("_drill_"));
        names
    }

    fn assert_untouched(&self, what: &str) {
        for name in ["Articles", "Notes"] {
            let (was, is) = (cluster().get(name).unwrap(), self.ground.cluster.get(name).unwrap());
            assert_eq!((was.objects, was.tenants, was.schema), (is.objects, is.tenants, is.schema), "{name}, {what}");
        }
    }
}

#[tokio::test]
async fn a_good_run_survives_its_drill_and_nothing_is_left() {
    let bench = Bench::new().await;
    let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
    let drill = ledger.last_drill.clone().unwrap();
    assert_eq!(
        (drill.state, drill.run.as_str(), drill.objects, drill.overlap),
        (DrillState::Passed, RUN, 22, Some(100))
    );
    assert_eq!((drill.total_collections, drill.message.as_deref()), (2, None));
    let attempt = ledger.attempt.unwrap();
    assert_eq!((attempt.stage, attempt.trouble, attempt.run.as_deref()), (Stage::Done, None, Some(RUN)));
    assert_eq!(
        (ledger.scratch.len(), ledger.last_verified),
        (0, Some(drill.at)),
        "it was not read back, and is verified"
    );
    assert_eq!(bench.scratch(), Vec::<String>::new());
    bench.assert_untouched("after a drill");
    // The ledger is lost, and the next run finds in the store what was found.
    bench.board.0.lock().unwrap().clear();
    let ledger = bench.work(&backup_job("aaaa", |_| {})).await.unwrap();
    assert_eq!(ledger.last_drill, Some(drill));
}

#[tokio::test]
async fn a_drill_that_is_killed_at_any_effect_leaves_nothing_unknown_and_the_next_job_clears_it_away() {
    for next in [drill_job("dddd", |_| {}), drill_job("eeee", |_| {}), backup_job("aaaa", |_| {})] {
        let mut left = 0;
        for effects in 0.. {
            let bench = Bench::new().await;
            let done = bench.killed(&drill_job("dddd", |_| {}), &Fuse::after(effects)).await;
            let known: Vec<String> = bench.ledger().scratch.into_iter().map(|note| note.name).collect();
            let there = bench.scratch();
            assert!(there.iter().all(|name| known.contains(name)), "after {effects} effects: {there:?} {known:?}");
            left += usize::from(!there.is_empty());
            let what = format!("killed after {effects} effects");
            bench.assert_untouched(&what);
            let ledger = bench.work(&next).await.unwrap();
            assert_eq!((bench.scratch(), ledger.scratch.len()), (Vec::new(), 0), "{what}");
            bench.assert_untouched(&what);
            if next.drill.is_some() {
                assert!(ledger.last_drill.unwrap().has_passed(), "{what}");
            }
            if done.is_ok() {
                break;
            }
        }
        assert!(left > 20, "it was hardly ever killed in the midst: {left}");
    }
}

#[tokio::test]
async fn what_bears_no_mark_of_the_drill_is_never_deleted() {
    let bench = Bench::new().await;
    let scratch = Scratch::new("Articles", &owner().policy, "dddd");
    let others = MemoryClass {
        schema: json!({"class": scratch.name, "description": "a person's own", "vectorIndexConfig": {}}),
        objects: [(String::new(), objects(2))].into(),
        ..MemoryClass::default()
    };
    bench.ground.cluster.set(&scratch.name, others.clone());
    let error = bench.work(&drill_job("dddd", |_| {})).await.unwrap_err();
    assert!(error.contains("is no scratch collection of this drill"), "{error}");
    assert_eq!(bench.ground.cluster.get(&scratch.name).unwrap().objects, others.objects);
    let undone = bench.ledger().undone_drill.unwrap();
    assert_eq!((undone.order.as_str(), undone.run.as_deref()), ("dddd", Some(RUN)));
    // Neither if the ledger names it, as when a person made it anew in the place of the drill's.
    let mut ledger = bench.ledger();
    ledger.scratch =
        vec![ScratchNote { name: scratch.name.clone(), order: "dddd".to_owned(), cluster: owner().cluster }];
    bench.keep(&ledger);
    let ledger = bench.work(&backup_job("aaaa", |_| {})).await.unwrap();
    assert_eq!(bench.ground.cluster.get(&scratch.name).unwrap().objects, others.objects);
    assert!(ledger.attempt.unwrap().trouble.unwrap().contains("it stays"));
    assert_eq!(ledger.scratch, []);
}

#[tokio::test]
async fn what_lies_in_another_cluster_is_left_to_whoever_gets_there() {
    let bench = Bench::new().await;
    let elsewhere = |number: usize| ScratchNote {
        name: format!("A_drill_{number}"),
        order: "o".to_owned(),
        cluster: "ai/b (x)".into(),
    };
    bench.keep(&BackupLedger { scratch: (0..MOST_SCRATCH).map(elsewhere).collect(), ..BackupLedger::default() });
    let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
    assert!(ledger.last_drill.unwrap().has_passed());
    assert_eq!(
        ledger.scratch,
        (1..MOST_SCRATCH).map(elsewhere).collect::<Vec<_>>(),
        "bounded: the oldest is forgotten"
    );
}

#[tokio::test]
async fn a_run_that_comes_back_otherwise_is_told_and_stops_retention_until_a_good_drill() {
    let mut bench = Bench::new().await;
    write(&bench.store, &bench.ground.cluster, "20260502T030000Z-bbbb").await;
    bench.work(&backup_job("aaaa", |_| {})).await.unwrap();
    bench.work(&backup_job("bbbb", |_| {})).await.unwrap();
    bench.ground.meddle = |cluster, name| {
        let mut class = cluster.get(name).unwrap();
        class.objects.values_mut().for_each(|objects| drop(objects.pop_first()));
        cluster.set(name, class);
    };
    let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
    let drill = ledger.last_drill.clone().unwrap();
    assert_eq!((drill.state, drill.run.as_str()), (DrillState::Failed, "20260502T030000Z-bbbb"));
    assert_eq!((drill.collections[0].name.as_str(), drill.collections[0].unequal), ("Notes", 2));
    let message = drill.message.unwrap();
    assert!(message.starts_with("Notes: 3 of 4 objects of tenant cold are there, and 1 tenants more"), "{message}");
    assert!(message.ends_with("; and 1 of 2 collections more"), "{message}");
    assert_eq!(ledger.runs[0].verified_at, None, "it does not count as verified");
    assert_eq!((bench.scratch(), ledger.scratch.len()), (Vec::new(), 0));

    // Nothing older is retired, also by a run that is newer.
    write(&bench.store, &bench.ground.cluster, "20260503T030000Z-cccc").await;
    let keep_one = |job: &mut Value| job["retention"] = json!({"last": 1});
    let ledger = bench.work(&backup_job("cccc", keep_one)).await.unwrap();
    assert_eq!((ledger.attempt.unwrap().retired, ledger.totals.runs), (vec![], 3));
    assert!(ledger.last_drill.unwrap().has_failed(), "a run is no drill");
    // What searches find counts as well.
    bench.ground.meddle = |_, _| {};
    bench.ground.finds = 5;
    let ledger = bench.work(&drill_job("eeee", |_| {})).await.unwrap();
    let message = ledger.last_drill.unwrap().message.unwrap();
    assert!(message.contains("less than 80 %"), "{message}");
    bench.ground.finds = usize::MAX;
    let ledger = bench.work(&drill_job("ffff", |_| {})).await.unwrap();
    assert!(ledger.last_drill.unwrap().has_passed());
    let ledger = bench.work(&backup_job("cccc", keep_one)).await.unwrap();
    assert_eq!((ledger.attempt.unwrap().retired.len(), ledger.totals.runs), (2, 1));
    assert!(ledger.last_drill.unwrap().has_passed());
}

#[tokio::test]
async fn a_damaged_run_fails_its_drill_and_one_that_is_taken_away_ends_the_word() {
    let bench = Bench::new().await;
    let part = bench.store.files().into_keys().find(|key| key.contains("data/Notes")).unwrap();
    bench.store.tamper(&part, Some(b"rot".to_vec()));
    let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
    let drill = ledger.last_drill.unwrap();
    assert!(drill.has_failed() && drill.message.as_ref().unwrap().contains("damaged"), "{drill:?}");
    let files: Vec<String> = bench.store.files().into_keys().filter(|key| key.starts_with("runs/")).collect();
    bench.store.remove(&files).await.unwrap();
    write(&bench.store, &bench.ground.cluster, "20260502T030000Z-bbbb").await;
    let ledger = bench.work(&backup_job("bbbb", |_| {})).await.unwrap();
    assert_eq!(ledger.last_drill, None);
}

#[tokio::test]
async fn what_could_not_be_done_says_nothing_of_the_run() {
    let bench = Bench::new().await;
    let error = bench.work(&drill_job("dddd", |job| job["drill"]["factor"] = json!(9))).await.unwrap_err();
    assert!(error.contains("9 replicas need 9 nodes"), "{error}");
    let ledger = bench.ledger();
    assert_eq!((ledger.last_drill, ledger.undone_drill.unwrap().order), (None, "dddd".to_owned()));
    assert_eq!(bench.scratch(), Vec::<String>::new());
    let ledger = bench.work(&drill_job("eeee", |_| {})).await.unwrap();
    assert_eq!(ledger.undone_drill, None);
    // Without a run there is nothing to drill.
    let empty = Bench { store: MemoryStore::default(), ..bench };
    let error = empty.work(&drill_job("ffff", |_| {})).await.unwrap_err();
    assert!(error.contains("no good run"), "{error}");
}

/// Of some of whose objects the vectors were never computed: they were there before the vector was.
fn lacking_cluster() -> MemoryCluster {
    let cluster = cluster();
    let mut class = cluster.get("Articles").unwrap();
    class.schema["vectorizer"] = "text2vec-x".into();
    class.schema["moduleConfig"] = json!({"text2vec-x": {"model": "m"}});
    class.schema["vectorConfig"] = json!({"late": {"vectorizer": {"text2vec-y": {}}, "vectorIndexConfig": {}}});
    let all = class.objects.get_mut("").unwrap();
    all.values_mut().step_by(2).for_each(|object| drop(object.vectors.remove("")));
    let late = |object: &mut Object| object.vectors.insert("late".to_owned(), Vector::Single(vec![0.5, 2.0]));
    all.values_mut().step_by(3).for_each(|object| drop(late(object)));
    cluster.set("Articles", class);
    cluster
}

#[tokio::test]
async fn a_drill_calls_no_module_and_what_lacks_a_vector_lacks_it_after() {
    for cluster in [lacking_cluster(), lacking_cluster().with_modules_down()] {
        let store = MemoryStore::default();
        write(&store, &cluster, RUN).await;
        let bench = Bench { store, board: MemoryBoard::default(), ground: MemoryGround::new(cluster) };
        let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
        let drill = ledger.last_drill.unwrap();
        assert!(drill.has_passed(), "{drill:?}");
        assert_eq!((drill.objects, bench.ground.cluster.computed()), (22, 0));
    }
}

#[tokio::test]
async fn a_scratch_collection_that_became_somebody_elses_stays_and_is_told() {
    let mut bench = Bench::new().await;
    bench.ground.meddle = |cluster, name| {
        let mut class = cluster.get(name).unwrap();
        class.schema["description"] = "mine from now on".into();
        cluster.set(name, class);
    };
    let ledger = bench.work(&drill_job("dddd", |_| {})).await.unwrap();
    let left = bench.scratch();
    assert_eq!((left.len(), ledger.scratch.len()), (2, 0));
    let trouble = ledger.attempt.unwrap().trouble.unwrap();
    assert!(left.iter().all(|name| trouble.contains(&format!("{name} is there and is no drill's"))), "{trouble}");
}
