//! Jobs over a store in memory. The run of each is written by the engine over a cluster in memory before the Job looks;
//! nobody listens where Weaviate would be, so that a Job that asks it has begun what was done already.

use std::collections::BTreeMap;

use elysia_core::backup::ledger::{BackupLedger, Stage};
use elysia_core::restore::ledger::{RestoreLedger, Stage as RestoreStage};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, FORMAT, FORMAT_VERSION, Owner};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Mode, Store as _};
use elysia_engine::backup::restore::{Conflict, State};
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
use super::{backup, restore};
use crate::worker::LEDGER_KEY;
use crate::worker::backup::ways::{Ways, ways};
use crate::worker::work::Endpoints;

/// An address where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

fn owner() -> Owner {
    Owner { cluster: "ai/search (c)".to_owned(), policy: "ai/nightly (u)".to_owned() }
}

fn at(address: &str) -> Ways {
    ways(&Endpoints { rest: address.to_owned(), grpc: NOBODY.to_owned(), nodes: Vec::new() }, None).unwrap()
}

/// A run of this id with so many objects in each of these collections.
async fn write(store: &MemoryStore, run: &str, collections: &[(&str, u32)]) {
    let cluster = MemoryCluster::new(10, 1);
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
    let order = Order {
        run: run.to_owned(),
        owner: owner(),
        collections: collections.iter().map(|(name, _)| (*name).to_owned()).collect(),
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
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), Progress::default());
    let writer = Writer { store, source: &cluster, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap();
}

fn backup_job(order: &str, edit: impl FnOnce(&mut Value)) -> BackupJob {
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

struct Bench {
    store: MemoryStore,
    board: MemoryBoard,
    stop: Stop,
    ways: Ways,
}

impl Bench {
    fn new() -> Self {
        Self { store: MemoryStore::default(), board: MemoryBoard::default(), stop: Stop::default(), ways: at(NOBODY) }
    }

    fn hands(&self) -> Hands<'_, MemoryStore, MemoryBoard> {
        Hands { store: &self.store, ways: &self.ways, board: &self.board, stop: &self.stop }
    }

    fn text(&self) -> String {
        self.board.0.lock().unwrap()[LEDGER_KEY].clone()
    }

    async fn backup(&self, job: &BackupJob) -> BackupLedger {
        backup::run(job, &self.hands()).await.unwrap();
        serde_json::from_str(&self.text()).unwrap()
    }

    async fn restore(&self, job: &RestoreJob) -> Result<RestoreLedger, String> {
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
        assert_eq!((attempt.stage, attempt.trouble), (Stage::Done, None));
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

fn restore_job(edit: impl FnOnce(&mut Value)) -> RestoreJob {
    let mut job = json!({
        "restore": {
            "namespace": "ai", "name": "back", "uid": "r", "run": "latest", "collection": "Articles", "into": "Back",
            "conflict": Conflict::Fail, "receipt": "receipt1", "target": "ai/search",
            "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "store": {"folder": "/nowhere"},
            "patience": {"attempts": 1},
        },
        "order": "o1", "ledger": "back-restored", "deadlineSeconds": 86400,
    });
    edit(&mut job);
    serde_json::from_value(job).unwrap()
}

fn receipt(state: State) -> Vec<u8> {
    let receipt = json!({
        "format": FORMAT, "version": FORMAT_VERSION, "run": "20260501T030000Z-aaaa", "collection": "Articles",
        "into": "Back", "target": "ai/search", "conflict": Conflict::Fail, "state": state,
        "startedAt": "2026-05-01T04:00:00Z", "updatedAt": "2026-05-01T04:01:00Z",
        "counts": {"written": 9, "skipped": 0, "merged": 0}, "done": [],
    });
    serde_json::to_vec(&receipt).unwrap()
}

#[tokio::test]
async fn a_receipt_that_is_done_ends_the_work_whatever_became_of_the_collection() {
    for (is_there, stage) in [(true, RestoreStage::Done), (false, RestoreStage::Gone)] {
        let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
        if is_there {
            weaviate.seed_class(&json!({"class": "Back"}));
        }
        let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
        // A newer run is there by now: the receipt's counts, and no run is looked for.
        write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 1)]).await;
        let key = layout::receipt("receipt1");
        bench.store.put(&key, receipt(State::Done).into(), Mode::Create).await.unwrap();
        let ledger = bench.restore(&restore_job(|_| {})).await.unwrap();
        assert_eq!((ledger.stage, ledger.written, ledger.run.as_deref()), (stage, 9, Some("20260501T030000Z-aaaa")));
        let writes = weaviate.transcript().into_iter().filter(|line| !line.contains("GET"));
        assert_eq!(writes.collect::<Vec<_>>(), Vec::<String>::new(), "nothing was written");
    }
}

#[tokio::test]
async fn a_store_without_a_run_is_told() {
    let bench = Bench::new();
    let failed = bench.restore(&restore_job(|_| {})).await.unwrap_err();
    assert!(failed.contains("no run that is complete"), "{failed}");
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.stage, ledger.has_begun, ledger.is_permanent), (RestoreStage::Failed, false, true));
}

#[tokio::test]
async fn a_receipt_on_the_board_is_that_of_this_restore_alone() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Back"}));
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    let text = String::from_utf8(receipt(State::Done)).unwrap();
    bench.board.0.lock().unwrap().insert("receipt.json".to_owned(), text);
    let job = |into: &str| {
        restore_job(|job| {
            job["keepsReceipt"] = json!(true);
            job["restore"]["into"] = json!(into);
        })
    };
    assert_eq!(bench.restore(&job("Back")).await.unwrap().stage, RestoreStage::Done);
    let failed = bench.restore(&job("Elsewhere")).await.unwrap_err();
    assert!(failed.contains("no run that is complete"), "{failed}");
}

#[tokio::test]
async fn over_objects_nothing_is_written_before_a_word_and_the_word_is_used_up_first() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Back"}));
    weaviate.seed_shard("Back", "s", &["w-0"]);
    weaviate.seed_objects("Back", "s", "w-0", [Uuid::from_u128(1)]);
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    let job = |run: Option<&str>| {
        restore_job(|job| {
            job["restore"]["conflict"] = json!(Conflict::Overwrite);
            job["approval"] = json!(run.map(|run| json!({"hash": "0123456789ab", "run": run})));
        })
    };
    let writes = || weaviate.transcript().into_iter().filter(|line| !line.contains("GET")).collect::<Vec<_>>();
    let asks = bench.restore(&job(None)).await.unwrap();
    let found = asks.guarded.clone().unwrap();
    assert_eq!(
        (asks.stage, asks.has_begun, found.run.as_str()),
        (RestoreStage::Waiting, false, "20260501T030000Z-aaaa")
    );
    // A newer run is there by now: what is shown is another plan; and found again, it is the same one.
    let again = bench.restore(&job(None)).await.unwrap();
    assert_eq!(again.guarded, asks.guarded);
    let other = bench.restore(&job(Some("20260401T030000Z-0000"))).await.unwrap_err();
    assert!(other.contains("no run 20260401T030000Z-0000"), "{other}");
    assert_eq!(writes(), Vec::<String>::new());
    assert!(!bench.store.files().keys().any(|key| key.starts_with(layout::RESTORES)));
    // Nobody listens where objects would go: the word is used up all the same, and a receipt says that it began.
    bench.restore(&job(Some("20260501T030000Z-aaaa"))).await.unwrap_err();
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.stage, ledger.has_begun), (RestoreStage::Failed, true));
    assert_eq!(ledger.approved.as_deref(), Some("0123456789ab"));
    // So the next attempt needs no word.
    bench.restore(&job(None)).await.unwrap_err();
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.stage, ledger.has_begun), (RestoreStage::Failed, true));
}
