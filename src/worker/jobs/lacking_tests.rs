//! Runs of all collections that lack one, since it cannot be written or is excluded; and stores without room for a run.

use elysia_core::backup::ledger::{BackupLedger, Stage, TOLD_RUNS};
use elysia_engine::backup::layout;
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::ports::Store as _;
use elysia_testkit::weaviate::FakeWeaviate;
use serde_json::{Value, json};

use super::backup;
use super::tests::{Bench, at, backup_job, write};
use super::work::BackupJob;

/// What the engine writes into the manifest of a run of all that lacks these.
fn lacks(store: &MemoryStore, run: &str, names: &[&str]) {
    let key = layout::in_run(run, layout::MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&store.files()[&key]).unwrap();
    for name in names {
        manifest["lacks"][*name] = json!("its vectors are made of its references");
    }
    store.tamper(&key, Some(serde_json::to_vec(&manifest).unwrap()));
}

fn keep_one(order: &str) -> BackupJob {
    backup_job(order, |job| job["retention"] = json!({"last": 1}))
}

const RUNS: [&str; 5] = [
    "20260501T030000Z-aaaa",
    "20260502T030000Z-bbbb",
    "20260503T030000Z-cccc",
    "20260504T030000Z-dddd",
    "20260505T030000Z-eeee",
];

fn order(run: &str) -> &str {
    run.split_once('-').unwrap().1
}

#[tokio::test]
async fn the_last_run_that_holds_what_newer_ones_lack_stays_and_no_other_does() {
    let bench = Bench::new();
    let mut retired = Vec::new();
    for (at, run) in RUNS.into_iter().enumerate() {
        let lacks_notes = at >= 2;
        let all = [("Articles", 9), ("Notes", 3)];
        write(&bench.store, run, &all[..if lacks_notes { 1 } else { 2 }]).await;
        if lacks_notes {
            lacks(&bench.store, run, &["Notes"]);
        }
        let ledger = bench.backup(&keep_one(order(run))).await;
        // It says so, and is a good run for the rest.
        let said = ledger.runs[0].words_left_out();
        assert_eq!(said.is_some(), lacks_notes, "{run}: {said:?}");
        assert_eq!((ledger.totals.suspect, ledger.runs[0].suspect.len()), (0, 0), "{run}");
        let attempt = ledger.attempt.unwrap();
        assert_eq!(attempt.trouble, None, "{run}");
        retired.extend(attempt.retired);
    }
    // The second is the last that holds Notes. What lacks it goes by the rules, however many nights that goes on.
    assert_eq!(retired, [RUNS[0], RUNS[2], RUNS[3]]);
    // Once it can be written again nothing is kept for it.
    write(&bench.store, "20260506T030000Z-ffff", &[("Articles", 9), ("Notes", 3)]).await;
    let ledger = bench.backup(&keep_one("ffff")).await;
    assert_eq!(ledger.attempt.unwrap().retired, [RUNS[1], RUNS[4]]);
}

#[tokio::test]
async fn what_no_run_ever_held_keeps_nothing() {
    let bench = Bench::new();
    for (run, gone) in RUNS.into_iter().zip([&[][..], &RUNS[..1], &RUNS[1..2], &RUNS[2..3], &RUNS[3..4]]) {
        write(&bench.store, run, &[("Articles", 9)]).await;
        lacks(&bench.store, run, &["Linked", "Old"]);
        let ledger = bench.backup(&keep_one(order(run))).await;
        assert_eq!(ledger.attempt.unwrap().retired, gone, "{run}");
        assert_eq!(
            ledger.runs[0].words_left_out().as_deref(),
            Some("Linked is left out: its vectors are made of its references; 1 more are left out as well")
        );
    }
}

#[tokio::test]
async fn what_a_run_lacks_is_no_measure_and_the_rest_of_it_is() {
    let bench = Bench::new();
    write(&bench.store, RUNS[0], &[("Articles", 90), ("Notes", 3)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    write(&bench.store, RUNS[1], &[("Articles", 80)]).await;
    lacks(&bench.store, RUNS[1], &["Notes"]);
    bench.backup(&backup_job("bbbb", |_| {})).await;
    write(&bench.store, RUNS[2], &[("Articles", 10)]).await;
    lacks(&bench.store, RUNS[2], &["Notes"]);
    let ledger = bench.backup(&backup_job("cccc", |_| {})).await;
    let told = "collection Articles has 10 objects and had 80: 88 % less, more than the 50 % of maxShrink";
    assert_eq!(ledger.runs[0].suspect, [told]);
}

#[tokio::test]
async fn what_was_left_out_and_is_lost_afterwards_is_missed_and_its_last_holder_stays() {
    let all = [("Articles", 9), ("Notes", 1000)];
    for (what, found, told) in [
        ("it is gone", &all[..1], "it lacks collection Notes, of which the run before it had 1000 objects"),
        (
            "it is back with a part",
            &[("Articles", 9), ("Notes", 10)],
            "collection Notes has 10 objects and had 1000: 99 % less, more than the 50 % of maxShrink",
        ),
    ] {
        let bench = Bench::new();
        write(&bench.store, RUNS[0], &all).await;
        bench.backup(&keep_one("aaaa")).await;
        write(&bench.store, RUNS[1], &all[..1]).await;
        lacks(&bench.store, RUNS[1], &["Notes"]);
        let ledger = bench.backup(&keep_one("bbbb")).await;
        assert_eq!((ledger.totals.suspect, ledger.attempt.unwrap().retired), (0, vec![]), "{what}");
        for run in &RUNS[2..] {
            write(&bench.store, run, found).await;
            let ledger = bench.backup(&keep_one(order(run))).await;
            assert_eq!(ledger.runs[0].suspect, [told], "{what}, {run}");
        }
        let left = bench.store.folders(layout::RUNS).await.unwrap();
        assert!(left.contains(&RUNS[0].to_owned()), "{what}: {left:?}");
        // A person says that this is as it should be, and nobody asks again.
        let accept = backup_job("ffff", |job| {
            job["accept"] = json!(RUNS[4]);
            job["retention"] = json!({"last": 2});
        });
        assert_eq!(bench.backup(&accept).await.totals.suspect, 0, "{what}");
        let next = "20260507T030000Z-gggg";
        write(&bench.store, next, found).await;
        assert_eq!(bench.backup(&keep_one("gggg")).await.totals.suspect, 0, "{what}");
    }
}

#[tokio::test]
async fn what_was_taken_out_for_a_while_is_not_missed_and_is_compared_when_it_is_back() {
    let naming = |order: &str, names: &Value| backup_job(order, |job| job["backup"]["collections"] = names.clone());
    let (both, one) = (json!(["Articles", "Notes"]), json!(["Articles"]));
    for (what, back, suspect) in [
        ("as it was", ("Notes", 900), vec![]),
        (
            "with a part",
            ("Notes", 10),
            vec!["collection Notes has 10 objects and had 1000: 99 % less, more than the 50 % of maxShrink"],
        ),
    ] {
        let bench = Bench::new();
        write(&bench.store, RUNS[0], &[("Articles", 9), ("Notes", 1000)]).await;
        bench.backup(&naming("aaaa", &both)).await;
        for run in &RUNS[1..3] {
            write(&bench.store, run, &[("Articles", 9)]).await;
            assert_eq!(bench.backup(&naming(order(run), &one)).await.totals.suspect, 0, "{what}, {run}");
        }
        write(&bench.store, RUNS[3], &[("Articles", 9), back]).await;
        assert_eq!(bench.backup(&naming("dddd", &both)).await.runs[0].suspect, suspect, "{what}");
    }
}

#[tokio::test]
async fn what_is_excluded_is_not_asked_for_and_not_missed() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    for name in ["Articles", "Notes", "NotesOld", "Scratch"] {
        weaviate.seed_class(&json!({"class": name}));
    }
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    let excluding = |order: &str| {
        backup_job(order, |job| {
            job["backup"]["exclude"] = json!(["Notes*", "Scratch"]);
            job["retention"] = json!({"last": 1});
        })
    };
    assert_eq!(backup::collections(&excluding("aaaa"), &bench.hands()).await.unwrap(), ["Articles"]);
    write(&bench.store, RUNS[0], &[("Articles", 9), ("Notes", 3)]).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    write(&bench.store, RUNS[1], &[("Articles", 9)]).await;
    let ledger = bench.backup(&excluding("bbbb")).await;
    assert_eq!((ledger.totals.suspect, ledger.runs[0].count_left_out()), (0, 0));
    assert_eq!(ledger.attempt.unwrap().retired, [RUNS[0]], "nobody expects it any more");
}

/// A job of these collections alone, so that no server is asked for their names.
fn naming(order: &str) -> BackupJob {
    backup_job(order, |job| {
        job["backup"]["collections"] = json!(["Articles"]);
        job["backup"]["how"] = json!({"data": "jsonlZstd"});
    })
}

#[tokio::test]
async fn without_room_nothing_is_written_and_the_numbers_are_told() {
    let bench = Bench::new();
    write(&bench.store, RUNS[0], &[("Articles", 9)]).await;
    bench.backup(&naming("aaaa")).await;
    let files = bench.store.files();
    let used: u64 = files.values().map(|file| file.len() as u64).sum();
    let with_room = async |room: u64| {
        let tight = Bench { store: bench.store.with_room(used + room), ..Bench::new() };
        let failed = backup::run(&naming("bbbb"), &tight.hands()).await.unwrap_err();
        let ledger: BackupLedger = serde_json::from_str(&tight.text()).unwrap();
        (failed, ledger.attempt.unwrap())
    };
    let (failed, attempt) = with_room(1 << 20).await;
    assert!(failed.is_permanent && failed.message.contains("has 1 MiB free, and it would take 16 MiB"), "{failed}");
    assert_eq!((attempt.stage, attempt.lacks_room, attempt.run), (Stage::Failed, true, None));
    assert_eq!(bench.store.files(), files);
    // With room it goes on, to servers that nobody is.
    let (failed, attempt) = with_room(1 << 30).await;
    assert!(!failed.is_permanent && !attempt.lacks_room, "{failed}");
}

#[tokio::test]
async fn where_nobody_knows_how_much_there_is_the_run_begins_and_says_so() {
    let tight = Bench { store: MemoryStore::default().with_room(1 << 20), ..Bench::new() };
    let failed = backup::run(&naming("aaaa"), &tight.hands()).await.unwrap_err();
    assert!(!failed.is_permanent, "{failed}");
    let ledger: BackupLedger = serde_json::from_str(&tight.text()).unwrap();
    let trouble = ledger.attempt.unwrap().trouble.unwrap();
    assert_eq!(trouble, "nobody knows how large the run will be; the volume has 1 MiB free");
    assert_eq!(tight.store.folders(layout::RUNS).await.unwrap(), [""; 0]);
}

/// A ConfigMap has 1 MiB at most, and nobody reads the tenth of that.
const LEDGER_BYTES: usize = 100_000;

#[tokio::test]
async fn the_ledger_of_a_thousand_collections_stays_small_whatever_its_runs_lack() {
    let bench = Bench::new();
    // As long as Weaviate lets them be, nearly.
    let names: Vec<String> = (0..1_000).map(|number| format!("A{number:0>229}")).collect();
    let all: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    write(&bench.store, "20260501T030000Z-aaaa", &all).await;
    let ledger = bench.backup(&backup_job("aaaa", |_| {})).await;
    assert_eq!((ledger.runs[0].objects, ledger.totals.verified), (1_000, 1));
    let left_out: Value = names[1..500].iter().map(|name| (name.clone(), json!("is restored"))).collect();
    for number in 0..TOLD_RUNS {
        let order = format!("b{number}");
        write(&bench.store, &format!("20260502T0300{number:02}Z-{order}"), &all[..1]).await;
        let ledger = bench.backup(&backup_job(&order, |job| job["leftOut"] = left_out.clone())).await;
        assert_eq!((ledger.runs[0].total_left_out, ledger.runs[0].is_suspect()), (499, true));
    }
    let bytes = bench.text().len();
    assert!(bytes <= LEDGER_BYTES, "{bytes} bytes");
}
