//! Jobs over a store in memory. The run of each is written by the engine over a cluster in memory before the Job looks;
//! nobody listens where Weaviate would be, so that a Job that asks it has begun what was done already.

use std::collections::BTreeMap;

use elysia_core::backup::ledger::{BackupLedger, Stage};
use elysia_core::restore::ledger::RestoreLedger;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, FORMAT, FORMAT_VERSION, Owner};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Mode, Store as _};
use elysia_engine::backup::restore::{Conflict, State};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::write::{Cold, Order, Progress, Writer};
use elysia_engine::memory::FixedClock;
use elysia_engine::object::Object;
use elysia_engine::retry::{Retry, Stop};
use elysia_testkit::weaviate::FakeWeaviate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::backup::Hands;
use super::board::MemoryBoard;
use super::work::{BackupJob, RestoreJob};
use super::{backup, comparing, judged, restore};
use crate::worker::LEDGER_KEY;
use crate::worker::backup::native::Pace;
use crate::worker::backup::ways::{Ways, ways};
use crate::worker::work::Endpoints;

/// An address where nobody listens.
pub(super) const NOBODY: &str = "http://127.0.0.1:1";

pub(super) fn owner() -> Owner {
    Owner { cluster: "ai/search (c)".to_owned(), policy: "ai/nightly (u)".to_owned() }
}

pub(super) fn at(address: &str) -> Ways {
    ways(&Endpoints { rest: address.to_owned(), grpc: NOBODY.to_owned(), nodes: Vec::new() }, None).unwrap()
}

/// A run of this id with so many objects in each of these collections.
pub(super) async fn write(store: &MemoryStore, run: &str, collections: &[(&str, u32)]) {
    write_as(store, run, collections, |_| {}).await;
}

/// The same of another order.
pub(super) async fn write_as(
    store: &MemoryStore,
    run: &str,
    collections: &[(&str, u32)],
    edit: impl FnOnce(&mut Order),
) {
    let cluster = MemoryCluster::new(10, 1);
    cluster.set_alias("Live", "Aliased");
    cluster.set_alias("Papers", "Aliased");
    for (name, objects) in collections {
        let object = |number: u32| {
            let id = Uuid::from_u128(u128::from(number) + 1);
            (id, Object { id, properties: serde_json::Map::new(), vectors: BTreeMap::new() })
        };
        let class = MemoryClass {
            schema: json!({"class": name, "properties": [], "vectorIndexConfig": {}}),
            objects: [(String::new(), (0..*objects).map(object).collect())].into(),
            ..MemoryClass::default()
        };
        cluster.set(name, class);
    }
    let mut order = Order {
        run: run.to_owned(),
        owner: owner(),
        collections: collections.iter().map(|(name, _)| (*name).to_owned()).collect(),
        is_all: false,
        data: DataFormat::JsonlZstd,
        cold: Cold::Refuse,
        level: elysia_engine::backup::level::Level::default(),
        mode: elysia_engine::backup::manifest::RunMode::Full,
        filter: None,
        base: None,
        key: None,
        lanes: 1,
        retry: Retry { attempts: 1, ..Retry::default() },
    };
    edit(&mut order);
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), Progress::default());
    let writer = Writer { store, source: &cluster, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap();
}

pub(super) fn backup_job(order: &str, edit: impl FnOnce(&mut Value)) -> BackupJob {
    let mut job = json!({
        "backup": {
            "namespace": "ai", "name": "nightly", "uid": "u", "run": "", "owner": owner(),
            "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "store": {"folder": "/nowhere"},
            "patience": {"attempts": 1},
        },
        "order": order, "ledger": "nightly-backups", "maxShrink": 50, "verify": true, "deadlineSeconds": 86400,
    });
    edit(&mut job);
    serde_json::from_value(job).unwrap()
}

pub(super) struct Bench {
    pub(super) store: MemoryStore,
    pub(super) board: MemoryBoard,
    pub(super) stop: Stop,
    pub(super) ways: Ways,
    pub(super) key: Option<Key>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (store, board, stop) = (MemoryStore::default(), MemoryBoard::default(), Stop::default());
        Self { store, board, stop, ways: at(NOBODY), key: None }
    }

    pub(super) fn hands(&self) -> Hands<'_, MemoryStore, MemoryBoard> {
        let Self { store, ways, board, stop, key } = self;
        Hands { store, ways, board, stop, key: key.as_ref(), pace: Pace::USUAL }
    }

    pub(super) fn text(&self) -> String {
        self.board.0.lock().unwrap()[LEDGER_KEY].clone()
    }

    pub(super) async fn backup(&self, job: &BackupJob) -> BackupLedger {
        backup::run(job, &self.hands()).await.unwrap();
        serde_json::from_str(&self.text()).unwrap()
    }

    pub(super) async fn restore(&self, job: &RestoreJob) -> Result<RestoreLedger, String> {
        restore::run(job, &self.hands()).await.map_err(|failure| failure.message)?;
        Ok(serde_json::from_str(&self.text()).unwrap())
    }
}

#[tokio::test]
async fn the_run_of_an_order_is_found_and_not_written_twice() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    for _ in 0..2 {
        let ledger = bench.backup(&backup_job("aaaa", |_| {})).await;
        let attempt = ledger.attempt.unwrap();
        assert_eq!((attempt.stage, attempt.trouble, attempt.profile), (Stage::Done, None, None));
        assert_eq!((ledger.runs.len(), ledger.totals.runs, ledger.totals.verified), (1, 1, 1));
        assert_eq!((ledger.runs[0].objects, ledger.runs[0].suspect.len()), (9, 0));
        assert_eq!(ledger.last_verified, ledger.runs[0].verified_at);
        assert!(ledger.last_success.is_some());
        // The ledger is lost, and any later work writes it anew.
        bench.board.0.lock().unwrap().clear();
    }
    assert_eq!(bench.store.folders(layout::RUNS).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_without_a_run_asks_the_cluster_and_its_failure_is_told() {
    let bench = Bench::new();
    let failed = backup::run(&backup_job("aaaa", |_| {}), &bench.hands()).await.unwrap_err();
    assert!(!failed.is_permanent, "nobody listened: {failed}");
    let ledger: BackupLedger = serde_json::from_str(&bench.text()).unwrap();
    let attempt = ledger.attempt.unwrap();
    assert_eq!((attempt.stage, attempt.message), (Stage::Failed, Some(failed.message)));
}

#[tokio::test]
async fn a_strangers_place_is_left_alone() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    let stranger = backup_job("aaaa", |job| job["backup"]["owner"]["policy"] = json!("ai/other (v)"));
    let failed = backup::run(&stranger, &bench.hands()).await.unwrap_err();
    assert!(failed.is_permanent && failed.message.contains("ai/nightly (u) of ai/search (c)"), "{failed}");
    let ledger: BackupLedger = serde_json::from_str(&bench.text()).unwrap();
    assert!(ledger.attempt.unwrap().is_strangers);
    assert_eq!(ledger.runs, []);
}

#[tokio::test]
async fn a_run_that_shrank_is_suspect_stops_retention_and_can_be_accepted() {
    let bench = Bench::new();
    let keep_one = |order: &str| backup_job(order, |job| job["retention"] = json!({"last": 1}));
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9), ("Notes", 3)]).await;
    bench.backup(&keep_one("aaaa")).await;
    write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 9), ("Notes", 3)]).await;
    let ledger = bench.backup(&keep_one("bbbb")).await;
    assert_eq!(ledger.attempt.unwrap().retired, ["20260501T030000Z-aaaa"]);
    write(&bench.store, "20260503T030000Z-cccc", &[("Articles", 2)]).await;
    let ledger = bench.backup(&keep_one("cccc")).await;
    assert_eq!((ledger.attempt.unwrap().retired, ledger.totals.suspect), (vec![], 1));
    assert_eq!(ledger.runs[0].suspect.len(), 2, "{:?}", ledger.runs[0].suspect);
    // The one after it is compared with the last good one, not with it.
    write(&bench.store, "20260504T030000Z-dddd", &[("Articles", 2)]).await;
    let ledger = bench.backup(&keep_one("dddd")).await;
    assert_eq!((ledger.totals.runs, ledger.totals.suspect), (3, 2));
    let accept = backup_job("eeee", |job| {
        job["accept"] = json!("20260504T030000Z-dddd");
        job["retention"] = json!({"last": 1});
    });
    let ledger = bench.backup(&accept).await;
    assert_eq!((ledger.totals.runs, ledger.totals.suspect), (1, 0));
    assert_eq!(ledger.attempt.unwrap().retired, ["20260502T030000Z-bbbb", "20260503T030000Z-cccc"]);
}

#[tokio::test]
async fn a_run_that_nobody_compared_is_compared_by_the_next_job_and_counts_as_good_no_longer() {
    // Its worker died before it had compared it, on its last attempt; or a person wrote it for this policy.
    let unread = |order: &str| {
        backup_job(order, |job| {
            job["retention"] = json!({"last": 1});
            job["verify"] = json!(false);
        })
    };
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 900), ("Notes", 3)]).await;
    bench.backup(&unread("aaaa")).await;
    write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 10)]).await;
    write(&bench.store, "20260502T120000Z", &[("Articles", 890), ("Notes", 3)]).await;
    write(&bench.store, "20260503T030000Z-cccc", &[("Articles", 10), ("Notes", 3)]).await;
    let ledger = bench.backup(&unread("cccc")).await;
    let suspect: Vec<usize> = ledger.runs.iter().map(|run| run.suspect.len()).collect();
    assert_eq!(suspect, [1, 0, 2, 0], "{:?}", ledger.runs);
    assert_eq!(ledger.runs[0].suspect[0].split(':').next(), Some("collection Articles has 10 objects and had 890"));
    let attempt = ledger.attempt.unwrap();
    assert_eq!((attempt.retired, attempt.trouble), (Vec::<String>::new(), None));
    assert_eq!(ledger.last_success, Some(ledger.runs[1].finished_at));
}

#[tokio::test]
async fn a_run_that_the_store_does_not_list_yet_is_looked_for_again() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    let shelf = judged::shelf(&bench.store, &owner()).await.unwrap();
    assert_eq!(comparing::written_is_listed(&shelf, "20260501T030000Z-aaaa"), Ok(()));
    let failed = comparing::written_is_listed(&shelf, "20260502T030000Z-bbbb").unwrap_err();
    assert!(!failed.is_permanent && failed.message.contains("20260502T030000Z-bbbb"), "{failed}");
}

#[tokio::test]
async fn what_is_left_out_makes_no_suspect_and_is_no_measure() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9), ("Notes", 3)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 9)]).await;
    let ledger = bench.backup(&backup_job("bbbb", |job| job["leftOut"] = json!({"Notes": "is restored"}))).await;
    assert_eq!((ledger.totals.suspect, ledger.runs[0].left_out.len()), (0, 1));
    write(&bench.store, "20260503T030000Z-cccc", &[("Articles", 9)]).await;
    let ledger = bench.backup(&backup_job("cccc", |_| {})).await;
    assert_eq!(ledger.runs[0].suspect, ["it lacks collection Notes, of which the run before it had 3 objects"]);
}

#[tokio::test]
async fn a_run_that_is_not_what_was_written_is_told_and_nobody_can_accept_it() {
    let bench = Bench::new();
    let run = "20260501T030000Z-aaaa";
    write(&bench.store, run, &[("Articles", 9)]).await;
    let key = layout::in_run(run, "data/Articles/part-00-00000.jsonl.zst");
    bench.store.put(&key, "flipped".into(), Mode::Overwrite).await.unwrap();
    let ledger = bench.backup(&backup_job("aaaa", |_| {})).await;
    assert!(ledger.runs[0].is_damaged && ledger.runs[0].verified_at.is_none());
    assert!(ledger.runs[0].suspect[0].contains("part-00-00000"), "{:?}", ledger.runs[0].suspect);
    assert_eq!((ledger.last_success, ledger.last_verified), (None, None));
    let ledger = bench.backup(&backup_job("bbbb", |job| job["accept"] = json!(run))).await;
    assert!(ledger.runs[0].is_damaged);
}

#[tokio::test]
async fn a_beginning_goes_when_nobody_can_write_it_any_more() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    let begun = |at: jiff::Timestamp| {
        let begun = json!({"format": FORMAT, "version": FORMAT_VERSION, "owner": owner(), "at": at});
        serde_json::to_vec(&begun).unwrap()
    };
    let now = jiff::Timestamp::now();
    for (run, hours) in [("old", 26), ("young", 20)] {
        let key = layout::in_run(run, layout::BEGUN);
        let at = now - jiff::SignedDuration::from_hours(hours);
        bench.store.put(&key, begun(at).into(), Mode::Create).await.unwrap();
    }
    bench.backup(&backup_job("aaaa", |_| {})).await;
    assert_eq!(bench.store.folders(layout::RUNS).await.unwrap(), ["20260501T030000Z-aaaa", "young"]);
}

/// The receipt of a restore of this run into this collection of the cluster that is backed up.
pub(super) fn running(run: &str, into: &str) -> Vec<u8> {
    let mut text: Value = serde_json::from_slice(&receipt(State::Running)).unwrap();
    text["run"] = json!(run);
    text["into"] = json!(into);
    text["target"] = json!("ai/search");
    serde_json::to_vec(&text).unwrap()
}

/// Four runs, of which a policy that keeps one would keep the last.
pub(super) async fn four(bench: &Bench) -> [&'static str; 4] {
    let runs = ["20260501T030000Z-aaaa", "20260502T030000Z-bbbb", "20260503T030000Z-cccc", "20260504T030000Z-dddd"];
    for run in runs {
        write(&bench.store, run, &[("Articles", 9), ("Notes", 3)]).await;
        bench.backup(&backup_job(run.split_once('-').unwrap().1, |_| {})).await;
    }
    runs
}

pub(super) fn keep_one(order: &str) -> BackupJob {
    backup_job(order, |job| job["retention"] = json!({"last": 1}))
}

#[tokio::test]
async fn what_could_not_be_read_is_neither_absent_nor_good() {
    let bench = Bench::new();
    let runs = four(&bench).await;
    for name in [layout::VERIFIED, layout::MANIFEST, "judged.json"] {
        let key = layout::in_run(runs[1], name);
        // The store does not answer: the Job is tried again, and nothing goes.
        let silent = bench.store.silent_about(&key);
        let Bench { ways, board, stop, .. } = &bench;
        let hands = Hands { store: &silent, ways, board, stop, key: None, pace: Pace::USUAL };
        let failed = backup::run(&keep_one("dddd"), &hands).await.unwrap_err();
        assert!(!failed.is_permanent, "{failed}");
        assert_eq!(bench.store.folders(layout::RUNS).await.unwrap(), runs, "{name}");
    }
    for name in [layout::VERIFIED, "judged.json"] {
        let bench = Bench::new();
        let runs = four(&bench).await;
        bench.store.tamper(&layout::in_run(runs[1], name), Some(b"{".to_vec()));
        let ledger = bench.backup(&keep_one("dddd")).await;
        let attempt = ledger.attempt.unwrap();
        assert_eq!((attempt.stage, attempt.retired, attempt.trouble), (Stage::Done, vec![runs[2].to_owned()], None));
        assert_eq!((ledger.totals.suspect, ledger.runs[1].is_damaged), (1, true), "{name}");
        assert!(ledger.runs[1].suspect[0].contains(name), "{:?}", ledger.runs[1].suspect);
        // And nobody accepts what they cannot read.
        let accept = backup_job("eeee", |job| job["accept"] = json!(runs[3]));
        assert_eq!(bench.backup(&accept).await.totals.suspect, 1);
    }
    bench.store.tamper(&layout::in_run(runs[1], layout::MANIFEST), Some(b"{".to_vec()));
    let attempt = bench.backup(&keep_one("dddd")).await.attempt.unwrap();
    let trouble = attempt.trouble.unwrap();
    assert!(attempt.retired.is_empty() && trouble.contains(runs[1]), "{trouble}");
}

#[tokio::test]
async fn the_run_that_an_unfinished_restore_reads_stays() {
    let bench = Bench::new();
    let runs = four(&bench).await;
    let key = layout::receipt("receipt1");
    bench.store.put(&key, running(runs[1], "Back").into(), Mode::Create).await.unwrap();
    let ledger = bench.backup(&keep_one("dddd")).await;
    assert_eq!(ledger.attempt.unwrap().retired, [runs[0], runs[2]]);
    bench.store.tamper(&key, Some(b"{".to_vec()));
    let attempt = bench.backup(&keep_one("dddd")).await.attempt.unwrap();
    assert!(attempt.retired.is_empty() && attempt.trouble.unwrap().contains("receipt1"));
    bench.store.tamper(&key, None);
    assert_eq!(bench.backup(&keep_one("dddd")).await.attempt.unwrap().retired, [runs[1]]);
}

#[tokio::test]
async fn the_run_of_its_own_order_stays_and_a_wrong_clock_retires_nothing() {
    let bench = Bench::new();
    let runs = four(&bench).await;
    // This order's run is not the newest by the clocks of those who wrote them.
    let attempt = bench.backup(&keep_one("bbbb")).await.attempt.unwrap();
    assert_eq!(attempt.retired, [runs[0], runs[2]]);
    let key = layout::in_run(runs[3], layout::MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&bench.store.files()[&key]).unwrap();
    manifest["finishedAt"] = json!(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2));
    bench.store.tamper(&key, Some(serde_json::to_vec(&manifest).unwrap()));
    // Its hash is another now, so it was not verified: what is asked is not to be read back.
    let job = backup_job("bbbb", |job| {
        job["retention"] = json!({"last": 1});
        job["verify"] = json!(false);
    });
    write(&bench.store, "20260505T030000Z-eeee", &[("Articles", 9), ("Notes", 3)]).await;
    let attempt = bench.backup(&job).await.attempt.unwrap();
    let trouble = attempt.trouble.unwrap();
    assert!(attempt.retired.is_empty() && trouble.contains("clock") && trouble.contains(runs[3]), "{trouble}");
}

#[tokio::test]
async fn a_run_that_leaves_something_out_stops_retention_until_a_newer_one_has_it() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9), ("Notes", 3)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    for (run, order) in [("20260502T030000Z-bbbb", "bbbb"), ("20260503T030000Z-cccc", "cccc")] {
        write(&bench.store, run, &[("Articles", 9)]).await;
        let job = backup_job(order, |job| {
            job["leftOut"] = json!({"Notes": "is restored"});
            job["retention"] = json!({"last": 1});
            job["verify"] = json!(false);
        });
        let ledger = bench.backup(&job).await;
        assert_eq!((ledger.attempt.unwrap().retired, ledger.totals.suspect), (vec![], 0), "{run}");
    }
    write(&bench.store, "20260504T030000Z-dddd", &[("Articles", 9), ("Notes", 3)]).await;
    let ledger = bench.backup(&keep_one("dddd")).await;
    assert_eq!(ledger.totals.runs, 1);
}

#[tokio::test]
async fn what_a_restore_writes_into_is_left_out_and_said() {
    let bench = Bench::new();
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9), ("Notes", 3)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    let key = layout::receipt("receipt1");
    bench.store.put(&key, running("20260501T030000Z-aaaa", "Notes").into(), Mode::Create).await.unwrap();
    // The engine leaves it out as it does with what was read already.
    write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 9), ("Notes", 3)]).await;
    let ledger = bench.backup(&backup_job("bbbb", |_| {})).await;
    let why = "restore receipt1 of run 20260501T030000Z-aaaa wrote into it, was heard of last at 2026-05-01T04:01:00Z and is not over: let it go on, or give it up: kubectl elysia backup abandon receipt1";
    assert_eq!(ledger.runs[0].left_out.get("Notes").map(String::as_str), Some(why));
    // Nobody may ever hear of it otherwise.
    assert_eq!(ledger.runs[0].suspect, [format!("it lacks collection Notes: {why}")]);
    assert_eq!(ledger.last_success, Some(ledger.runs[1].finished_at));
    // And the Job does not even ask for it.
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Articles"}));
    weaviate.seed_class(&json!({"class": "Notes"}));
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..bench };
    let names = backup::collections(&backup_job("cccc", |_| {}), &bench.hands()).await.unwrap();
    assert_eq!(names, ["Articles"]);
    // That the operator knows of it is told there.
    write(&bench.store, "20260503T030000Z-dddd", &[("Articles", 9), ("Notes", 3)]).await;
    let job =
        backup_job("dddd", |job| job["leftOut"] = json!({"Notes": "CollectionRestore back into it is not finished"}));
    assert_eq!(bench.backup(&job).await.runs[0].suspect, Vec::<String>::new());
    // It is over meanwhile, and the next run has the collection.
    let mut done: Value = serde_json::from_slice(&running("20260501T030000Z-aaaa", "Notes")).unwrap();
    (done["state"], done["updatedAt"]) = (json!(State::Done), json!("2099-01-01T00:00:00Z"));
    bench.store.tamper(&key, Some(serde_json::to_vec(&done).unwrap()));
    write(&bench.store, "20260504T030000Z-eeee", &[("Articles", 9), ("Notes", 3)]).await;
    let ledger = bench.backup(&backup_job("eeee", |_| {})).await;
    let why = ledger.runs[0].left_out.get("Notes").map(String::as_str);
    assert_eq!((ledger.runs[0].suspect.len(), why), (0, Some("restore receipt1 wrote into it meanwhile")));
}

pub(super) fn restore_job(edit: impl FnOnce(&mut Value)) -> RestoreJob {
    let mut job = json!({
        "restore": {
            "namespace": "ai", "name": "back", "uid": "r", "run": "latest", "collection": "Articles", "into": "Back",
            "conflict": Conflict::Fail, "receipt": "receipt1", "target": "ai/search (c)",
            "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "store": {"folder": "/nowhere"},
            "patience": {"attempts": 1},
        },
        "knownAs": "known1", "order": "o1", "ledger": "back-restored", "deadlineSeconds": 86400,
    });
    edit(&mut job);
    serde_json::from_value(job).unwrap()
}

pub(super) fn receipt(state: State) -> Vec<u8> {
    let receipt = json!({
        "format": FORMAT, "version": FORMAT_VERSION, "run": "20260501T030000Z-aaaa", "collection": "Articles",
        "into": "Back", "target": "ai/search (c)", "conflict": Conflict::Fail, "state": state,
        "startedAt": "2026-05-01T04:00:00Z", "updatedAt": "2026-05-01T04:01:00Z",
        "counts": {"written": 9, "skipped": 0, "merged": 0}, "done": [],
    });
    serde_json::to_vec(&receipt).unwrap()
}
