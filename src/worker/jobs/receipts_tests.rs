//! What receipts, clocks and the notes beside runs are to Jobs: which collections a run holds, which runs stay, and which is
//! the latest.

use elysia_core::restore::ledger::{RestoreLedger, Stage as RestoreStage};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION, HIGHEST_VERSION, RunMode};
use elysia_engine::backup::ports::Store as _;
use elysia_engine::backup::restore::State;
use elysia_engine::backup::write::Order;
use elysia_testkit::weaviate::FakeWeaviate;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::backup;
use super::tests::{Bench, at, backup_job, four, receipt, restore_job, running, write, write_as};
use crate::worker::backup::latest::{Latest, latest};

/// A restore made its receipt, its class was refused, and a person made and filled the collection by hand.
#[tokio::test]
async fn a_restore_that_was_given_up_takes_its_collection_out_of_no_backup() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Articles"}));
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    let articles = |job: &mut Value| job["backup"]["collections"] = json!(["Articles"]);
    let put = |has_written: bool| {
        let mut text: Value = serde_json::from_slice(&running("20260501T030000Z-aaaa", "Articles")).unwrap();
        text["hasWritten"] = json!(has_written);
        bench.store.tamper(&layout::receipt("receipt1"), Some(serde_json::to_vec(&text).unwrap()));
    };
    put(false);
    assert_eq!(backup::collections(&backup_job("aaaa", articles), &bench.hands()).await.unwrap(), ["Articles"]);
    write(&bench.store, "20260502T030000Z-aaaa", &[("Articles", 9)]).await;
    let ledger = bench.backup(&backup_job("aaaa", articles)).await;
    assert_eq!((ledger.totals.suspect, ledger.runs[0].objects, ledger.runs[0].left_out.len()), (0, 9, 0));
    // Where it did write, there is no run that holds nothing, and the failure says what to do.
    put(true);
    let failed = backup::run(&backup_job("bbbb", articles), &bench.hands()).await.unwrap_err();
    assert!(failed.is_permanent, "{failed}");
    assert!(
        failed.message.starts_with("there is nothing to back up; collection Articles: restore receipt1"),
        "{failed}"
    );
    assert!(failed.message.ends_with("kubectl elysia backup abandon receipt1"), "{failed}");
    assert_eq!(bench.store.folders(layout::RUNS).await.unwrap(), ["20260502T030000Z-aaaa"]);
}

/// From a volume, or into another cluster: the receipt does not lie beside the runs.
#[tokio::test]
async fn the_run_that_a_restore_elsewhere_reads_stays() {
    let bench = Bench::new();
    let runs = four(&bench).await;
    let job = |in_use: &[&str]| {
        backup_job("dddd", |job| {
            job["retention"] = json!({"last": 1});
            job["inUse"] = json!(in_use);
        })
    };
    assert_eq!(bench.backup(&job(&[runs[0]])).await.attempt.unwrap().retired, [runs[1], runs[2]]);
    assert_eq!(bench.backup(&job(&[])).await.attempt.unwrap().retired, [runs[0]]);
}

/// The worker's clock is ahead by more than `maxAge`: what it writes has that time, and all older runs are too old for it.
#[tokio::test]
async fn a_worker_whose_clock_is_ahead_retires_nothing() {
    let bench = Bench::new();
    let runs = four(&bench).await;
    let told = |hours: i64| {
        backup_job("dddd", |job| {
            job["retention"] = json!({"last": 1});
            job["now"] = json!(Timestamp::now() - SignedDuration::from_hours(hours));
        })
    };
    for hours in [24 * 30, 2, -2] {
        let attempt = bench.backup(&told(hours)).await.attempt.unwrap();
        let trouble = attempt.trouble.unwrap();
        assert!(attempt.retired.is_empty() && trouble.contains("one of the clocks is wrong"), "{hours}: {trouble}");
    }
    assert_eq!(bench.backup(&told(0)).await.attempt.unwrap().retired, runs[..3]);
}

/// The first restore of a name ended on a damaged part; the name is applied anew with another run, and then from elsewhere.
#[tokio::test]
async fn a_receipt_on_the_board_blocks_no_other_restore_of_the_name() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    let runs = ["20260501T030000Z-aaaa", "20260502T030000Z-bbbb"];
    for run in runs {
        write(&bench.store, run, &[("Articles", 9)]).await;
    }
    let job = |run: &str, known_as: &str| {
        restore_job(|job| {
            (job["keepsReceipt"], job["knownAs"]) = (json!(true), json!(known_as));
            (job["restore"]["run"], job["restore"]["receipt"]) = (json!(run), json!(known_as));
        })
    };
    let on_board = || bench.board.0.lock().unwrap()["receipt.json"].clone();
    // Receipts of before say not which restore they are of.
    for former in [Some(receipt(State::Running)), None] {
        {
            let mut board = bench.board.0.lock().unwrap();
            match former {
                Some(former) => drop(board.insert("receipt.json".to_owned(), String::from_utf8(former).unwrap())),
                None => drop(board.remove("receipt.json")),
            }
        }
        // Nobody listens where objects would go.
        let failed = bench.restore(&job(runs[1], "second")).await.unwrap_err();
        assert!(!failed.contains("is that of another restore"), "{failed}");
        let receipt: Value = serde_json::from_str(&on_board()).unwrap();
        assert_eq!((&receipt["run"], &receipt["knownAs"]), (&json!(runs[1]), &json!("second")));
    }
    // The same run of another store is another restore: that this one is done says nothing of it.
    let done = on_board().replace("\"Running\"", "\"Done\"");
    bench.board.0.lock().unwrap().insert("receipt.json".to_owned(), done);
    assert_eq!(bench.restore(&job(runs[1], "second")).await.unwrap().stage, RestoreStage::Done);
    bench.restore(&job(runs[1], "third")).await.unwrap_err();
    assert!(on_board().contains("third"), "{}", on_board());
}

/// The run that `latest` restores, or why there is none.
async fn newest(bench: &Bench) -> String {
    let found = latest(&bench.store, Timestamp::now()).await;
    found.map_or_else(|failure| failure.message, |found| found.manifest.run)
}

#[tokio::test]
async fn latest_is_a_good_run_that_holds_everything() {
    let bench = Bench::new();
    assert!(newest(&bench).await.starts_with("the store has no run that is complete"));
    let runs = four(&bench).await;
    assert_eq!(newest(&bench).await, runs[3]);
    // The source was emptied by accident, and the run of that night has nothing.
    write(&bench.store, "20260505T030000Z-eeee", &[("Articles", 0), ("Notes", 0)]).await;
    bench.backup(&backup_job("eeee", |_| {})).await;
    assert_eq!(newest(&bench).await, runs[3]);
    // One is of a clock that is ahead, and one was not what was written.
    let edit = |run: &str, name: &str, edit: &dyn Fn(&mut Value)| {
        let key = layout::in_run(run, name);
        let mut value: Value = serde_json::from_slice(&bench.store.files()[&key]).unwrap();
        edit(&mut value);
        bench.store.tamper(&key, Some(serde_json::to_vec(&value).unwrap()));
    };
    let ahead = json!(Timestamp::now() + SignedDuration::from_hours(2));
    edit(runs[3], layout::MANIFEST, &|manifest| manifest["finishedAt"] = ahead.clone());
    assert_eq!(newest(&bench).await, runs[2]);
    edit(runs[2], "judged.json", &|judged| judged["isDamaged"] = json!(true));
    assert_eq!(newest(&bench).await, runs[1]);
    // Of one nobody can read the manifest; one of a newer format ends the search, for it may be good.
    let manifest = layout::in_run("20260506T030000Z-ffff", layout::MANIFEST);
    bench.store.tamper(&manifest, Some(b"rot".to_vec()));
    let Latest { manifest: found, passed_over } = latest(&bench.store, Timestamp::now()).await.unwrap();
    let named: Vec<&str> = passed_over.runs.iter().map(|passed| passed.run.as_str()).collect();
    let wanted = ["20260506T030000Z-ffff", "20260505T030000Z-eeee", runs[3], runs[2]];
    assert_eq!((found.run.as_str(), passed_over.total, named), (runs[1], 4, wanted.to_vec()));
    let words: Vec<&str> = passed_over.runs.iter().map(|passed| passed.why.as_str()).collect();
    assert!(words[0].starts_with("it is damaged: ") && words[0].contains("cannot be read"), "{words:?}");
    assert!(words[1].starts_with("it is Suspect: ") && words[2].contains("the clock here says"), "{words:?}");
    let newer = json!({"format": FORMAT, "version": HIGHEST_VERSION + 1});
    bench.store.tamper(&manifest, Some(serde_json::to_vec(&newer).unwrap()));
    assert!(newest(&bench).await.contains("use a newer one"));
    bench.store.tamper(&manifest, None);
    // One came back otherwise.
    let drilled = json!({
        "format": FORMAT, "version": FORMAT_VERSION, "order": "o", "run": runs[1], "at": "2026-05-06T00:00:00Z",
        "state": "Failed", "objects": 3, "collections": [], "totalCollections": 1, "message": "3 objects are missing",
    });
    let key = layout::in_run(runs[1], layout::DRILLED);
    bench.store.tamper(&key, Some(serde_json::to_vec(&drilled).unwrap()));
    assert_eq!(newest(&bench).await, runs[0]);
    edit(runs[0], "judged.json", &|judged| judged["isDamaged"] = json!(true));
    let none = newest(&bench).await;
    assert!(none.starts_with("the store has no good run; run 20260505T030000Z-eeee: it is Suspect: "), "{none}");
    assert!(none.contains(&format!("run {}: its restore drill failed: 3 objects are missing", runs[1])), "{none}");

    // What holds less than an older one is not taken for it, and neither is the older one.
    let bench = Bench::new();
    let runs = four(&bench).await;
    let schema = |order: &mut Order| order.mode = RunMode::SchemaOnly;
    write_as(&bench.store, "20260505T030000Z-eeee", &[("Articles", 9), ("Notes", 3)], schema).await;
    let asks = newest(&bench).await;
    let words = format!(
        "run 20260505T030000Z-eeee, the newest good one, holds no objects, and run {} before it everything",
        runs[3]
    );
    assert!(asks.starts_with(&words), "{asks}");
    let bench = Bench::new();
    write_as(&bench.store, "20260505T030000Z-eeee", &[("Articles", 9)], schema).await;
    assert_eq!(newest(&bench).await, "20260505T030000Z-eeee", "there is nothing else");
}

/// And it is what a Job goes by.
#[tokio::test]
async fn a_restore_of_the_latest_run_passes_over_one_that_is_suspect() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, "20260501T030000Z-aaaa", &[("Articles", 9)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    write(&bench.store, "20260502T030000Z-bbbb", &[("Articles", 0)]).await;
    bench.backup(&backup_job("bbbb", |_| {})).await;
    bench.board.0.lock().unwrap().clear();
    bench.restore(&restore_job(|_| {})).await.unwrap_err();
    let ledger: RestoreLedger = serde_json::from_str(&bench.text()).unwrap();
    assert_eq!((ledger.run.as_deref(), ledger.total), (Some("20260501T030000Z-aaaa"), 9));
    let passed_over = ledger.passed_over.unwrap();
    assert_eq!((passed_over.total, passed_over.runs[0].run.as_str()), (1, "20260502T030000Z-bbbb"));
}
