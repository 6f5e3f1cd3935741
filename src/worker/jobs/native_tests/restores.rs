//! What the servers wrote, put back by them.

use std::time::Duration;

use bytes::Bytes;
use elysia_core::restore::ledger::{RestoreLedger, Stage as RestoreStage};
use elysia_engine::backup::layout;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::backup::restore::{Conflict, Receipt, State};
use elysia_engine::checkpoint::Digest;
use elysia_engine::ports::PortError;
use serde_json::{Value, json};

use super::super::backup::Hands;
use super::super::restore;
use super::super::work::RestoreJob;
use super::{Bench, NOBODY, place};
use crate::worker::LEDGER_KEY;
use crate::worker::backup::Failure;

impl Bench {
    fn restored(&self) -> RestoreLedger {
        serde_json::from_str(&self.board.0.lock().unwrap()[LEDGER_KEY]).unwrap()
    }

    async fn restore(&self, job: &RestoreJob) -> Result<(), Failure> {
        restore::run(job, &self.hands()).await
    }
}

fn restore_job(run: &str, edit: impl FnOnce(&mut Value)) -> RestoreJob {
    let mut job = json!({
        "restore": {
            "namespace": "ai", "name": "back", "uid": "r", "run": run, "collection": "Articles", "into": "Articles",
            "conflict": Conflict::Fail, "receipt": "receipt1", "target": "ai/search (c)",
            "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "store": place(), "patience": {"attempts": 1},
        },
        "knownAs": "known1", "order": "o1", "ledger": "back-restored", "deadlineSeconds": 86400,
    });
    edit(&mut job);
    serde_json::from_value(job).unwrap()
}

#[tokio::test]
async fn files_are_put_back_where_nothing_is_and_only_once() {
    let (bench, _) = Bench::with_run().await;
    let job = restore_job("latest", |_| {});
    let exists = bench.restore(&job).await.unwrap_err();
    assert!(exists.is_permanent && exists.message.contains("Articles exists"), "{exists}");
    assert_eq!(bench.restored().stage, RestoreStage::Failed);
    assert!(!bench.restored().has_begun);
    bench.ways.common.delete_class("Articles").await.unwrap();
    let serve = async {
        while !bench.asked().iter().any(|line| line.ends_with("/restore")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.weaviate.end_restore("SUCCESS", "");
    };
    let (done, ()) = tokio::join!(bench.restore(&job), serve);
    done.unwrap();
    assert_eq!(bench.restored().stage, RestoreStage::Done);
    let receipt: Receipt = serde_json::from_slice(&bench.store.files()[&layout::receipt("receipt1")]).unwrap();
    assert_eq!(receipt.state, State::Done);
    // The collection is gone again: it was done, and is not done twice.
    bench.ways.common.delete_class("Articles").await.unwrap();
    bench.restore(&job).await.unwrap();
    assert_eq!(bench.restored().stage, RestoreStage::Gone);
    assert_eq!(bench.asked().iter().filter(|line| line.ends_with("/restore")).count(), 1);
}

#[tokio::test]
async fn every_blocker_of_a_restore_is_told_before_it() {
    let (bench, run) = Bench::with_run().await;
    bench.ways.common.delete_class("Articles").await.unwrap();
    let all = restore_job(&run, |job| {
        job["restore"]["into"] = json!("Back");
        job["restore"]["conflict"] = json!("Skip");
        job["restore"]["factor"] = json!(2);
        job["restore"]["shards"] = json!(5);
    });
    let failed = bench.restore(&all).await.unwrap_err();
    for words in
        ["into: ", "conflict: ", "replicationFactor: the backup has 1 replicas", "shards: the backup has 1 shards"]
    {
        assert!(failed.message.contains(words), "{words} {failed}");
    }
    let none =
        bench.restore(&restore_job(&run, |job| job["restore"]["collection"] = json!("Others"))).await.unwrap_err();
    assert!(none.message.contains("has no Others; it has Articles"), "{none}");
    let key = layout::in_run(&run, &format!("{}/w-0/Articles/chunk-1", layout::native(&layout::native_id(&run))));
    bench.store.tamper(&key, Some(b"OBJECTS".to_vec()));
    let damaged = bench.restore(&restore_job(&run, |_| {})).await.unwrap_err();
    assert!(damaged.is_permanent && damaged.message.contains("the backup is damaged"), "{damaged}");
    bench.weaviate.backup_module(false);
    let module = bench.restore(&restore_job(&run, |_| {})).await.unwrap_err();
    assert!(module.message.contains("servers without module"), "{module}");
    assert!(!bench.asked().iter().any(|line| line.ends_with("/restore")));
    assert!(!bench.store.files().contains_key(&layout::receipt("receipt1")), "nothing began");
}

/// What an ElysiaCollection with `restoreFrom` always asks for.
#[tokio::test]
async fn the_numbers_of_replicas_and_shards_that_a_backup_has_are_no_change() {
    let (bench, run) = Bench::with_run().await;
    bench.ways.common.delete_class("Articles").await.unwrap();
    let job = restore_job(&run, |job| {
        job["restore"]["factor"] = json!(1);
        job["restore"]["shards"] = json!(1);
    });
    let serve = async {
        while !bench.asked().iter().any(|line| line.ends_with("/restore")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.weaviate.end_restore("SUCCESS", "");
    };
    // Where it is refused nobody is asked.
    let restored = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(bench.restore(&job), serve).0 });
    restored.await.unwrap().unwrap();
    assert_eq!(bench.restored().stage, RestoreStage::Done);
}

#[tokio::test]
async fn a_restore_that_failed_made_nothing_and_a_collection_that_comes_later_is_not_its() {
    let (bench, run) = Bench::with_run().await;
    bench.ways.common.delete_class("Articles").await.unwrap();
    let job = restore_job(&run, |_| {});
    let fail = async {
        while !bench.asked().iter().any(|line| line.ends_with("/restore")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.weaviate.end_restore("FAILED", "could not restore classes");
    };
    let (failed, ()) = tokio::join!(bench.restore(&job), fail);
    assert!(failed.unwrap_err().message.contains("could not restore classes"));
    bench.weaviate.seed_class(&json!({"class": "Articles"}));
    let exists = bench.restore(&job).await.unwrap_err();
    assert!(exists.message.contains("Articles exists"), "{exists}");
}

#[tokio::test]
async fn what_is_there_after_a_worker_died_is_restored_only_if_the_servers_say_so() {
    for (ended, made_by_hand, is_done) in
        [("SUCCESS", false, true), ("FAILED", true, false), ("CANCELED", true, false), ("FAILED", false, false)]
    {
        let (bench, run) = Bench::with_run().await;
        bench.ways.common.delete_class("Articles").await.unwrap();
        let job = restore_job(&run, |_| {});
        let restores = || bench.asked().iter().filter(|line| line.ends_with("/restore")).count();
        let until = async |count| {
            while restores() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        {
            let dies = bench.restore(&job);
            tokio::pin!(dies);
            tokio::select! {
                done = &mut dies => panic!("{done:?}"),
                () = until(1) => {}
            }
        }
        bench.weaviate.end_restore(ended, "");
        if made_by_hand {
            bench.weaviate.seed_class(&json!({"class": "Articles"}));
            let failed = bench.restore(&job).await.unwrap_err();
            assert!(failed.is_permanent, "{ended}: {failed}");
            let words = "Articles is there, and the servers do not say that they restored it";
            assert!(failed.message.contains(words), "{ended}: {failed}");
            assert_eq!((bench.restored().stage, restores()), (RestoreStage::Failed, 1), "{ended}");
            // As it was told to.
            bench.ways.common.delete_class("Articles").await.unwrap();
        }
        let serve = async {
            if !is_done {
                until(2).await;
                bench.weaviate.end_restore("SUCCESS", "");
            }
        };
        let (done, ()) = tokio::join!(bench.restore(&job), serve);
        done.unwrap();
        assert_eq!((bench.restored().stage, restores()), (RestoreStage::Done, if is_done { 1 } else { 2 }), "{ended}");
    }
}

/// While a file is read back, somebody makes a collection.
struct Meanwhile<'a>(&'a Bench);

impl Store for Meanwhile<'_> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.0.store.put(key, bytes, mode).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.0.store.get(key, most).await
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        self.0.weaviate.seed_class(&json!({"class": "Articles"}));
        self.0.store.digest(key).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.0.store.folders(folder).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        Store::files(&self.0.store, folder, most).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.0.store.remove(keys).await
    }
}

#[tokio::test]
async fn a_collection_that_is_made_while_the_files_are_read_back_is_not_restored_into() {
    let (bench, run) = Bench::with_run().await;
    bench.ways.common.delete_class("Articles").await.unwrap();
    let Hands { ways, board, stop, pace, .. } = bench.hands();
    let hands = Hands { store: &Meanwhile(&bench), ways, board, stop, key: None, pace };
    let failed = restore::run(&restore_job(&run, |_| {}), &hands).await.unwrap_err();
    assert!(failed.is_permanent && failed.message.contains("Articles exists"), "{failed}");
    assert!(!bench.asked().iter().any(|line| line.ends_with("/restore")));
    assert!(!bench.store.files().contains_key(&layout::receipt("receipt1")), "nothing began");
}
