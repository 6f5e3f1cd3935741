//! What restores find done, what they need a word for, and what they leave alone.

use elysia_core::restore::ledger::{RestoreLedger, Stage as RestoreStage};
use elysia_engine::backup::layout;
use elysia_engine::backup::ports::{Mode, Store as _};
use elysia_engine::backup::restore::{Conflict, State};
use elysia_testkit::weaviate::FakeWeaviate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tests::{Bench, at, receipt, restore_job, write};
use super::work::RestoreJob;
use crate::worker::LEDGER_KEY;

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

#[tokio::test]
async fn a_receipt_of_another_cluster_is_not_believed() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Back"}));
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    let text = String::from_utf8(receipt(State::Done)).unwrap().replace("ai/search (c)", "ai/search (prod)");
    bench.store.put(&layout::receipt("receipt1"), text.into_bytes().into(), Mode::Create).await.unwrap();
    let failed = bench.restore(&restore_job(|_| {})).await.unwrap_err();
    assert!(failed.contains("is that of another restore"), "{failed}");
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.stage, ledger.is_permanent), (RestoreStage::Failed, true));
}

#[tokio::test]
async fn beside_the_runs_of_another_cluster_nothing_is_written() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    let before = bench.store.files();
    let strange = |job: &mut Value| job["restore"]["target"] = json!("ai/search (staging)");
    bench.restore(&restore_job(strange)).await.unwrap_err();
    assert_eq!(bench.store.files(), before);
    let receipt = bench.board.0.lock().unwrap()["receipt.json"].clone();
    assert!(receipt.contains("ai/search (staging)"), "{receipt}");
}

/// A collection with one object in a cluster of one node, and a run to restore over it.
async fn taken() -> (FakeWeaviate, Bench) {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Back"}));
    weaviate.seed_shard("Back", "s", &["w-0"]);
    weaviate.seed_objects("Back", "s", "w-0", [Uuid::from_u128(1)]);
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    (weaviate, bench)
}

fn over(order: &str, uid: &str, is_approved: bool) -> RestoreJob {
    restore_job(|job| {
        (job["order"], job["restore"]["uid"]) = (json!(order), json!(uid));
        job["restore"]["conflict"] = json!(Conflict::Overwrite);
        let approval = json!({"hash": "0123456789ab", "run": "20260501T030000Z-aaaa"});
        job["approval"] = if is_approved { approval } else { Value::Null };
    })
}

#[tokio::test]
async fn a_word_serves_one_work_of_one_object() {
    let (_weaviate, bench) = taken().await;
    let asks = bench.restore(&over("o1", "r", false)).await.unwrap();
    let since = asks.guarded.unwrap().since;
    bench.restore(&over("o2", "r", true)).await.unwrap_err();
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.approved.as_deref(), ledger.has_begun), (Some("0123456789ab"), true));
    let key = layout::receipt("receipt1");
    let text = String::from_utf8(bench.store.files()[&key].to_vec()).unwrap();
    assert!(text.contains("0123456789ab") && text.contains("\"r\""), "{text}");
    // The same object goes on.
    bench.restore(&over("o3", "r", false)).await.unwrap_err();
    // One that is applied again under the name asks anew.
    let anew = bench.restore(&over("o4", "s", false)).await.unwrap();
    assert_eq!(anew.stage, RestoreStage::Waiting);
    // The receipt is lost: what was used up approves nothing again, and what is found is another finding.
    bench.store.tamper(&key, None);
    let used = RestoreLedger { approved: Some("0123456789ab".to_owned()), ..anew };
    bench.board.0.lock().unwrap().insert(LEDGER_KEY.to_owned(), serde_json::to_string(&used).unwrap());
    let again = bench.restore(&over("o5", "r", true)).await.unwrap();
    assert_eq!((again.stage, again.approved), (RestoreStage::Waiting, None));
    assert!(again.guarded.unwrap().since > since);
}

#[tokio::test]
async fn a_collection_that_cannot_be_asked_or_is_protected_needs_a_word() {
    // Empty, of two nodes whose addresses are not known.
    let weaviate = FakeWeaviate::start(&["w-0", "w-1"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Back"}));
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    assert_eq!(bench.restore(&over("o1", "r", false)).await.unwrap().stage, RestoreStage::Waiting);
    // Empty, at a known node.
    for conflict in [Conflict::Skip, Conflict::Overwrite, Conflict::Merge] {
        let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
        weaviate.seed_class(&json!({"class": "Back"}));
        let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
        write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
        let job = restore_job(|job| {
            job["restore"]["conflict"] = json!(conflict);
            job["protection"] = json!("Ba*");
        });
        let ledger = bench.restore(&job).await.unwrap();
        assert_eq!(ledger.stage, RestoreStage::Waiting, "{conflict:?}");
        assert_eq!(ledger.guarded.unwrap().protection.as_deref(), Some("Ba*"));
    }
}
