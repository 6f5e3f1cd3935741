//! Jobs whose runs the servers write themselves: a fake of them, and a store in memory into which the test puts what they
//! would write.

use std::time::Duration;

use elysia_core::backup::ledger::{BackupLedger, Stage};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION, Manifest, Owner};
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::ports::Store as _;
use elysia_engine::retry::Stop;
use elysia_testkit::weaviate::{FakeWeaviate, Fault};
use serde_json::{Value, json};

use super::backup::{self, Hands};
use super::board::MemoryBoard;
use super::work::BackupJob;
use crate::worker::LEDGER_KEY;
use crate::worker::backup::Failure;
use crate::worker::backup::native::Pace;
use crate::worker::backup::ways::{Ways, ways};
use crate::worker::work::{Endpoints, NodeEndpoints};

mod restores;

const NOBODY: &str = "http://127.0.0.1:1";
const ORDER: &str = "0123456789ab";

fn owner() -> Owner {
    Owner { cluster: "ai/search (c)".to_owned(), policy: "ai/nightly (u)".to_owned() }
}

fn place() -> Value {
    json!({"s3": {"bucket": "b", "prefix": "p"}})
}

fn job(edit: impl FnOnce(&mut Value)) -> BackupJob {
    let mut job = json!({
        "backup": {
            "namespace": "ai", "name": "nightly", "uid": "u", "run": "", "owner": owner(),
            "collections": ["Articles"], "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "store": place(),
            "patience": {"attempts": 1},
        },
        "native": {"compressionLevel": "BestSpeed", "cpuPercentage": 20},
        "order": ORDER, "ledger": "nightly-backups", "maxShrink": 50, "verify": true, "deadlineSeconds": 86400,
    });
    edit(&mut job);
    serde_json::from_value(job).unwrap()
}

struct Bench {
    weaviate: FakeWeaviate,
    store: MemoryStore,
    board: MemoryBoard,
    stop: Stop,
    ways: Ways,
    pace: Pace,
}

impl Bench {
    async fn new() -> Self {
        let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
        weaviate.backup_module(true);
        weaviate.seed_class(&json!({"class": "Articles"}));
        weaviate.seed_shard("Articles", "s", &["w-0"]);
        let rest = weaviate.address("w-0");
        let node = NodeEndpoints { name: "w-0".to_owned(), rest: rest.clone(), grpc: NOBODY.to_owned() };
        let ways = ways(&Endpoints { rest, grpc: NOBODY.to_owned(), nodes: vec![node] }, None).unwrap();
        let soon = Duration::from_millis(5);
        // What is waited for in vain is told by the test that does.
        let late = Duration::from_secs(600);
        Self {
            weaviate,
            store: MemoryStore::default(),
            board: MemoryBoard::default(),
            stop: Stop::default(),
            ways,
            pace: Pace { look: soon, glance: soon, unseen: late, cancel: late },
        }
    }

    fn hands(&self) -> Hands<'_, MemoryStore, MemoryBoard> {
        Hands { store: &self.store, ways: &self.ways, board: &self.board, stop: &self.stop, key: None, pace: self.pace }
    }

    fn ledger(&self) -> BackupLedger {
        serde_json::from_str(&self.board.0.lock().unwrap()[LEDGER_KEY]).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        let lines = self.weaviate.transcript().into_iter();
        lines.filter(|line| line.contains("/backups")).map(|line| line.replace(" at w-0", "")).collect()
    }

    /// The one run that is begun.
    async fn begun(&self) -> String {
        loop {
            if let Some(run) = self.store.folders(layout::RUNS).await.unwrap().pop() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_asked(&self, what: &str) {
        while !self.asked().iter().any(|line| line.starts_with(what)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What the servers leave in the store, with this status.
    fn write(&self, run: &str, status: &str) {
        let id = layout::native_id(run);
        let global = json!({
            "id": id, "status": status, "serverVersion": "1.38.2", "error": "",
            "nodes": {"w-0": {"classes": ["Articles"], "status": status, "error": ""}},
        });
        for (below, bytes) in [
            ("backup_config.json", global.to_string()),
            ("w-0/backup.json", "{}".to_owned()),
            ("w-0/Articles/chunk-1", "objects".to_owned()),
        ] {
            let key = layout::in_run(run, &format!("{}/{below}", layout::native(&id)));
            self.store.tamper(&key, Some(bytes.into_bytes()));
        }
    }

    /// The servers take the backup up and end it well.
    async fn serve(&self) {
        self.until_asked("POST /v1/backups/s3").await;
        let run = self.begun().await;
        self.write(&run, "STARTED");
        self.write(&run, "SUCCESS");
        self.weaviate.end_backup("SUCCESS", "");
    }

    async fn back_up(&self, job: &BackupJob) -> Result<(), Failure> {
        backup::run(job, &self.hands()).await
    }

    /// A run that is there.
    async fn with_run() -> (Self, String) {
        let bench = Self::new().await;
        let job = job(|_| {});
        let (done, ()) = tokio::join!(bench.back_up(&job), bench.serve());
        done.unwrap();
        let run = bench.begun().await;
        (bench, run)
    }
}

#[tokio::test]
async fn the_servers_are_asked_once_and_their_files_are_a_run() {
    let (bench, run) = Bench::with_run().await;
    let ledger = bench.ledger();
    let attempt = ledger.attempt.unwrap();
    assert_eq!((attempt.stage, attempt.trouble), (Stage::Done, None));
    assert_eq!((ledger.totals.runs, ledger.totals.verified, ledger.runs[0].bytes), (1, 1, 7));
    assert!(run.ends_with(ORDER) && run.contains('Z'), "{run}");
    let manifest: Manifest =
        serde_json::from_slice(&bench.store.files()[&layout::in_run(&run, layout::MANIFEST)]).unwrap();
    let native = manifest.native.unwrap();
    assert_eq!((native.id, native.nodes), (run.to_lowercase(), vec!["w-0".to_owned()]));
    // Whatever is lost, the order is done.
    bench.board.0.lock().unwrap().clear();
    bench.back_up(&job(|_| {})).await.unwrap();
    assert_eq!(bench.asked(), ["POST /v1/backups/s3"]);
}

/// What it is, how it comes about, the collections, the words, and whether a person is needed.
type Way = (&'static str, &'static dyn Fn(&FakeWeaviate), Value, &'static str, bool);

#[tokio::test]
async fn what_stands_in_the_way_is_told_before_any_call() {
    let cases: [Way; 5] = [
        (
            "no module",
            &|it| it.backup_module(false),
            json!(["Articles"]),
            "servers without module backup-s3: w-0",
            true,
        ),
        ("no such collection", &|_| {}, json!(["Others"]), "there is no collection Others", true),
        (
            "a node that is away",
            &|it| it.seed_shard("Articles", "t", &["w-0", "w-9"]),
            json!(["Articles"]),
            "are away: w-9",
            false,
        ),
        (
            "offloaded tenants",
            &|it| {
                it.seed_class(&json!({"class": "Notes", "multiTenancyConfig": {"enabled": true}}));
                it.seed_tenant("Notes", "acme", "FROZEN");
            },
            json!(["Notes"]),
            "silently leave out and restore empty: acme",
            true,
        ),
        ("nothing at all", &|_| {}, json!([]), "no collection to back up", true),
    ];
    for (what, spoil, collections, words, is_permanent) in cases {
        let bench = Bench::new().await;
        spoil(&bench.weaviate);
        let failed = bench.back_up(&job(|job| job["backup"]["collections"] = collections)).await.unwrap_err();
        assert!(
            failed.message.starts_with("nothing was begun: ") && failed.message.contains(words),
            "{what}: {failed}"
        );
        assert_eq!(failed.is_permanent, is_permanent, "{what}");
        assert_eq!(bench.asked(), [""; 0], "{what}");
        assert_eq!(bench.store.files().len(), 0, "{what}: nothing was written");
    }
}

#[tokio::test]
async fn tenants_that_are_left_out_knowingly_are_counted() {
    let bench = Bench::new().await;
    bench.weaviate.seed_class(&json!({"class": "Notes", "multiTenancyConfig": {"enabled": true}}));
    bench.weaviate.seed_tenant("Notes", "acme", "FROZEN");
    let job = job(|job| {
        job["backup"]["collections"] = json!(["Articles", "Notes"]);
        job["backup"]["how"] = json!({"cold": "Skip"});
    });
    let failed = async {
        let (done, ()) = tokio::join!(bench.back_up(&job), bench.serve());
        done.unwrap_err()
    };
    // The fake's files are of Articles alone: a collection of which no node took anything is no backup of it.
    let failed = failed.await;
    assert!(failed.message.contains("lacks collection Notes"), "{failed}");
}

#[tokio::test]
async fn a_failure_of_the_servers_is_told_in_their_words_and_the_next_attempt_is_another_backup() {
    let bench = Bench::new().await;
    let job = job(|_| {});
    let fail = async {
        bench.until_asked("POST /v1/backups/s3").await;
        bench.write(&bench.begun().await, "FAILED");
        bench.weaviate.end_backup("FAILED", "node \"w-0\": no space left");
    };
    let (failed, ()) = tokio::join!(bench.back_up(&job), fail);
    let failed = failed.unwrap_err();
    assert!(failed.message.contains("no space left") && !failed.is_permanent, "{failed}");
    let first = bench.begun().await;
    // Ids begin with the second in which they are made.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = async {
        while bench.store.folders(layout::RUNS).await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        while bench.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.write(&bench.begun().await, "SUCCESS");
        bench.weaviate.end_backup("SUCCESS", "");
    };
    let (done, ()) = tokio::join!(bench.back_up(&job), again);
    done.unwrap();
    assert_ne!(bench.ledger().runs[0].id, first);
    assert_eq!(bench.asked(), ["POST /v1/backups/s3", "POST /v1/backups/s3"]);
}

#[tokio::test]
async fn a_worker_that_comes_after_one_that_died_goes_on_with_its_backup() {
    let bench = Bench::new().await;
    let job = job(|_| {});
    {
        let dies = bench.back_up(&job);
        tokio::pin!(dies);
        tokio::select! {
            done = &mut dies => panic!("{done:?}"),
            () = async {
                bench.until_asked("POST /v1/backups/s3").await;
                bench.write(&bench.begun().await, "STARTED");
            } => {}
        }
    }
    let run = bench.begun().await;
    // It is done while nobody watches, and the server that knew is restarted: the store says so.
    bench.write(&run, "SUCCESS");
    bench.weaviate.end_backup("SUCCESS", "");
    bench.back_up(&job).await.unwrap();
    assert_eq!(
        (bench.asked(), bench.ledger().runs[0].id.as_str()),
        (vec!["POST /v1/backups/s3".to_owned()], run.as_str())
    );
}

#[tokio::test]
async fn a_worker_that_died_before_it_asked_is_made_up_for_under_the_same_id() {
    let bench = Bench::new().await;
    let run = format!("20260501T030000Z-{ORDER}");
    let begun = json!({"format": FORMAT, "version": FORMAT_VERSION, "owner": owner(), "at": jiff::Timestamp::now()});
    bench.store.tamper(&layout::in_run(&run, layout::BEGUN), Some(begun.to_string().into_bytes()));
    let job = job(|_| {});
    let (done, ()) = tokio::join!(bench.back_up(&job), bench.serve());
    done.unwrap();
    assert_eq!(bench.ledger().runs[0].id, run);
}

#[tokio::test]
async fn at_its_deadline_it_is_cancelled_and_waited_for() {
    let mut bench = Bench::new().await;
    let job = job(|_| {});
    let late = async {
        bench.until_asked("POST /v1/backups/s3").await;
        bench.write(&bench.begun().await, "STARTED");
        bench.stop.set();
    };
    let (failed, ()) = tokio::join!(bench.back_up(&job), late);
    let failed = failed.unwrap_err();
    assert!(failed.message.contains("was cancelled"), "{failed}");
    let asked = bench.asked();
    assert!(asked.len() == 2 && asked[1].starts_with("DELETE /v1/backups/s3/"), "{asked:?}");
    assert!(!bench.store.files().keys().any(|key| key.ends_with(layout::MANIFEST)));
    // One that goes on all the same is told, and not waited for without end.
    bench = Bench::new().await;
    bench.weaviate.hang_backups(true);
    bench.pace.cancel = Duration::from_millis(50);
    let late = async {
        bench.until_asked("POST /v1/backups/s3").await;
        bench.write(&bench.begun().await, "STARTED");
        bench.stop.set();
    };
    let (failed, ()) = tokio::join!(bench.back_up(&job), late);
    let failed = failed.unwrap_err();
    assert!(failed.message.contains("it was not: the servers call it STARTED"), "{failed}");
}

#[tokio::test]
async fn servers_that_write_elsewhere_are_stopped_at_once() {
    let mut bench = Bench::new().await;
    bench.weaviate.deaf_to_places(true);
    let failed = bench.back_up(&job(|_| {})).await.unwrap_err();
    assert!(failed.is_permanent && failed.message.contains("s3://default/default/"), "{failed}");
    assert!(bench.asked()[1].starts_with("DELETE "), "{:?}", bench.asked());
    // And so are those whose bucket is on another server: there is nothing in ours.
    bench = Bench::new().await;
    bench.pace.unseen = Duration::from_millis(50);
    let failed = bench.back_up(&job(|_| {})).await.unwrap_err();
    assert!(failed.is_permanent && failed.message.contains("BACKUP_S3_ENDPOINT"), "{failed}");
    assert!(bench.asked()[1].starts_with("DELETE "), "{:?}", bench.asked());
}

#[tokio::test]
async fn while_another_backup_runs_nothing_is_begun() {
    let bench = Bench::new().await;
    bench.weaviate.seed_backup("s3://theirs/nightly/theirs", "TRANSFERRING");
    let failed = bench.back_up(&job(|_| {})).await.unwrap_err();
    assert!(!failed.is_permanent && failed.message.contains("backup theirs already in progress"), "{failed}");
    assert!(!bench.store.files().keys().any(|key| key.ends_with(layout::MANIFEST)));
}

#[tokio::test]
async fn a_run_is_retired_with_every_file_of_the_servers_and_no_other() {
    let (bench, first) = Bench::with_run().await;
    let next = job(|job| {
        job["order"] = json!("ba9876543210");
        job["retention"] = json!({"last": 1});
    });
    let serve = async {
        while bench.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let runs = bench.store.folders(layout::RUNS).await.unwrap();
        let run = runs.into_iter().find(|run| run.ends_with("ba9876543210")).unwrap();
        bench.write(&run, "SUCCESS");
        bench.weaviate.end_backup("SUCCESS", "");
    };
    let (done, ()) = tokio::join!(bench.back_up(&next), serve);
    done.unwrap();
    let attempt = bench.ledger().attempt.unwrap();
    assert_eq!((attempt.retired, attempt.trouble), (vec![first.clone()], None));
    let left = bench.store.files();
    assert!(!left.keys().any(|key| key.contains(&first) || key.contains(&first.to_lowercase())), "{:?}", left.keys());
    assert!(left.keys().any(|key| key.contains("/native/")), "{:?}", left.keys());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_again() {
    let bench = Bench::new().await;
    let job = job(|_| {});
    let serve = async {
        bench.until_asked("POST /v1/backups/s3").await;
        bench.weaviate.fault("w-0", Some(Fault::Status(500)));
        // More than once: it is not given up after the first.
        while bench.weaviate.refused() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.weaviate.fault("w-0", None);
        bench.write(&bench.begun().await, "SUCCESS");
        bench.weaviate.end_backup("SUCCESS", "");
    };
    let (done, ()) = tokio::join!(bench.back_up(&job), serve);
    done.unwrap();
}
