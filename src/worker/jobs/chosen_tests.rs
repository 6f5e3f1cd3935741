//! Jobs of policies that choose: a filter, schemas alone, runs that build on others, keys; and of restores that do.

use elysia_api::backup::DrillState;
use elysia_engine::backup::filter::Expression;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION, RunMode};
use elysia_engine::backup::ports::{Mode, Store as _};
use elysia_engine::backup::restore::{Receipt, State};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::transform::identity;
use serde_json::{Value, json};

use super::base::base;
use super::drill::tests::drill_note;
use super::judged;
use super::tests::{Bench, backup_job, owner, receipt, restore_job, write, write_as};
use super::work::{BackupJob, ChoiceWork};

const BOTH: [(&str, u32); 2] = [("Articles", 9), ("Notes", 3)];

/// One that is true of every object.
fn all() -> Expression {
    "id != '00000000-0000-0000-0000-000000000000'".parse().unwrap()
}

fn key(byte: u8) -> Key {
    Key::from([byte; 32])
}

fn job(order: &str, retention: &Value) -> BackupJob {
    backup_job(order, |job| job["retention"] = retention.clone())
}

fn id(day: u32, order: &str) -> String {
    format!("202605{day:02}T030000Z-{order}")
}

#[tokio::test]
async fn runs_that_hold_less_do_not_shrink_and_take_no_fuller_one_away() {
    let bench = Bench::new();
    let one = json!({"last": 1});
    write(&bench.store, &id(1, "aaaa"), &BOTH).await;
    bench.backup(&job("aaaa", &one)).await;
    // Nothing of this filter is there, and that says nothing beside the whole.
    let few = |order: &mut elysia_engine::backup::write::Order| order.filter = Some("id is null".parse().unwrap());
    write_as(&bench.store, &id(2, "bbbb"), &BOTH, few).await;
    let ledger = bench.backup(&job("bbbb", &one)).await;
    assert_eq!((ledger.totals.suspect, ledger.runs[0].objects), (0, 0), "{:?}", ledger.runs[0]);
    let attempt = ledger.attempt.unwrap();
    assert!(attempt.retired.is_empty() && attempt.trouble.is_none(), "{attempt:?}");
    write_as(&bench.store, &id(3, "cccc"), &BOTH, |order| order.mode = RunMode::SchemaOnly).await;
    let ledger = bench.backup(&job("cccc", &one)).await;
    assert_eq!((ledger.totals.suspect, ledger.attempt.unwrap().retired), (0, vec![id(2, "bbbb")]));
    // The whole again is compared with the whole of before, and stands in for it.
    write(&bench.store, &id(4, "dddd"), &[("Articles", 2), ("Notes", 3)]).await;
    let ledger = bench.backup(&job("dddd", &one)).await;
    assert_eq!(ledger.runs[0].suspect.len(), 1, "{:?}", ledger.runs[0].suspect);
    write(&bench.store, &id(5, "eeee"), &BOTH).await;
    let ledger = bench.backup(&job("eeee", &one)).await;
    assert_eq!((ledger.totals.suspect, ledger.runs[0].suspect.len()), (1, 0));
    let accept = backup_job("ffff", |job| {
        job["accept"] = json!(id(5, "eeee"));
        job["retention"] = one.clone();
    });
    let ledger = bench.backup(&accept).await;
    assert_eq!((ledger.totals.runs, ledger.runs[0].id.clone()), (1, id(5, "eeee")));
}

#[tokio::test]
async fn a_collection_is_missed_whatever_the_filter() {
    let bench = Bench::new();
    write(&bench.store, &id(1, "aaaa"), &BOTH).await;
    bench.backup(&backup_job("aaaa", |_| {})).await;
    write_as(&bench.store, &id(2, "bbbb"), &BOTH[..1], |order| order.filter = Some(all())).await;
    let ledger = bench.backup(&backup_job("bbbb", |_| {})).await;
    assert_eq!(ledger.runs[0].suspect, ["it lacks collection Notes, of which the run before it had 3 objects"]);
}

#[tokio::test]
async fn runs_of_schemas_alone_do_not_make_up_for_what_was_left_out() {
    let bench = Bench::new();
    let one = json!({"last": 1});
    write(&bench.store, &id(1, "aaaa"), &BOTH).await;
    // Not read back, so that it is nothing but its rules that would keep it.
    let unread = |order: &str, left_out: bool| {
        backup_job(order, |job| {
            job["retention"] = one.clone();
            job["verify"] = json!(false);
            job["leftOut"] = if left_out { json!({"Notes": "is restored"}) } else { json!({}) };
        })
    };
    bench.backup(&unread("aaaa", false)).await;
    write(&bench.store, &id(2, "bbbb"), &BOTH[..1]).await;
    assert!(bench.backup(&unread("bbbb", true)).await.attempt.unwrap().retired.is_empty());
    write_as(&bench.store, &id(3, "cccc"), &BOTH, |order| order.mode = RunMode::SchemaOnly).await;
    let ledger = bench.backup(&unread("cccc", false)).await;
    assert!(ledger.attempt.unwrap().retired.is_empty(), "the objects of Notes are in the first run alone");
    write(&bench.store, &id(4, "dddd"), &BOTH).await;
    assert_eq!(bench.backup(&unread("dddd", false)).await.attempt.unwrap().retired.len(), 3);
}

#[tokio::test]
async fn an_encrypted_run_is_read_back_with_its_key_and_not_with_another() {
    for (read_with, is_sound) in [(Some(key(1)), true), (Some(key(2)), false), (None, false)] {
        let bench = Bench { key: read_with.clone(), ..Bench::new() };
        write_as(&bench.store, &id(1, "aaaa"), &BOTH, |order| order.key = Some(key(1))).await;
        let ledger = bench.backup(&backup_job("aaaa", |_| {})).await;
        assert_eq!(ledger.runs[0].verified_at.is_some(), is_sound, "{read_with:?}");
        assert!(!ledger.runs[0].is_damaged, "a key that is not there is no damage: {:?}", ledger.runs[0]);
    }
}

#[tokio::test]
async fn a_run_builds_on_the_newest_that_is_good_and_holds_the_same() {
    let every = |choice: Value| -> ChoiceWork { serde_json::from_value(choice).unwrap() };
    let plain = every(json!({"fullEvery": 3}));
    let filtered = every(json!({"fullEvery": 3, "filter": all()}));
    let bench = Bench::new();
    let newest = async |choice: &ChoiceWork, key: Option<&Key>| {
        base(&judged::shelf(&bench.store, &owner()).await.unwrap(), choice, key)
    };
    assert_eq!(newest(&plain, None).await, None, "there is none");
    write(&bench.store, &id(1, "aaaa"), &BOTH).await;
    assert_eq!(newest(&plain, None).await, None, "nobody has compared it");
    bench.backup(&backup_job("aaaa", |_| {})).await;
    assert_eq!(newest(&plain, None).await, Some(id(1, "aaaa")));
    assert_eq!(newest(&every(json!({})), None).await, None, "nobody asked for it");
    assert_eq!(newest(&filtered, None).await, None, "another filter");
    assert_eq!(newest(&plain, Some(&key(1))).await, None, "another key");
    assert_eq!(newest(&every(json!({"fullEvery": 3, "mode": "SchemaOnly"})), None).await, None);
    for (day, order, base, next) in [(2, "bbbb", id(1, "aaaa"), true), (3, "cccc", id(2, "bbbb"), false)] {
        write_as(&bench.store, &id(day, order), &BOTH, |order| order.base = Some(base)).await;
        bench.backup(&backup_job(order, |_| {})).await;
        assert_eq!(newest(&plain, None).await.is_some(), next, "of three the first stands for itself: {order}");
    }
    // What a run that is kept builds on is kept.
    let ledger = bench.backup(&job("cccc", &json!({"last": 1}))).await;
    assert_eq!((ledger.totals.runs, ledger.attempt.unwrap().retired.len()), (3, 0));
    write(&bench.store, &id(4, "dddd"), &[("Articles", 1), ("Notes", 3)]).await;
    bench.backup(&backup_job("dddd", |_| {})).await;
    assert_eq!(newest(&plain, None).await, None, "the newest is Suspect");
    write_as(&bench.store, &id(5, "eeee"), &BOTH, |order| (order.filter, order.key) = (Some(all()), Some(key(1))))
        .await;
    let sealed = Bench { key: Some(key(1)), ..bench };
    sealed.backup(&backup_job("eeee", |_| {})).await;
    let shelf = judged::shelf(&sealed.store, &owner()).await.unwrap();
    assert_eq!(base(&shelf, &filtered, Some(&key(1))), Some(id(5, "eeee")));
    assert_eq!(base(&shelf, &filtered, Some(&key(2))), None);
}

#[tokio::test]
async fn nothing_is_built_on_a_chain_that_is_damaged_or_failed_its_drill() {
    use DrillState::{Failed, Passed};
    let bench = Bench::new();
    let runs = [id(1, "aaaa"), id(2, "bbbb"), id(3, "cccc")];
    for (run, base) in [(0, None), (1, None), (2, Some(runs[1].clone()))] {
        write_as(&bench.store, &runs[run], &BOTH, |order| order.base = base).await;
        let order = runs[run].split('-').nth(1).unwrap();
        bench.backup(&backup_job(order, |_| {})).await;
    }
    let choice: ChoiceWork = serde_json::from_value(json!({"fullEvery": 7})).unwrap();
    let newest = Some(runs[2].clone());
    for (what, drills, damaged, expected) in [
        ("nothing was drilled", vec![], None, newest.clone()),
        ("it survived", vec![(2, Passed)], None, newest.clone()),
        ("it did not", vec![(2, Failed)], None, None),
        ("its base did not", vec![(1, Failed)], None, None),
        ("its base did not, and it did", vec![(1, Failed), (2, Passed)], None, None),
        ("one did not of which nothing is in it", vec![(0, Failed)], None, newest.clone()),
        ("its base is damaged", vec![], Some(1), None),
        ("another one is damaged", vec![], Some(0), newest),
    ] {
        let mut shelf = judged::shelf(&bench.store, &owner()).await.unwrap();
        let at = |run: usize| shelf.runs.iter().position(|known| known.manifest.run == runs[run]).unwrap();
        let drills: Vec<_> = drills.into_iter().map(|(run, state)| (at(run), state)).collect();
        let damaged = damaged.map(at);
        for (run, state) in drills {
            shelf.runs[run].drilled = Some(drill_note(&shelf.runs[run].manifest.run, "2026-05-09T03:00:00Z", state));
        }
        if let Some(run) = damaged {
            shelf.runs[run].judged.as_mut().unwrap().is_damaged = true;
        }
        assert_eq!(base(&shelf, &choice, None), expected, "{what}");
    }
}

#[tokio::test]
async fn chains_go_as_a_whole_when_the_rules_say_so_and_one_that_may_not_go_keeps_no_other() {
    let bench = Bench::new();
    let orders = ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg", "hhhh", "iiii"];
    let runs: Vec<String> = (1..).zip(orders).map(|(day, order)| id(day, order)).collect();
    // Three nights' runs build on one another, as with `fullEvery: 3`.
    for at in 0..runs.len() {
        let base = (at % 3 > 0).then(|| runs[at - 1].clone());
        write_as(&bench.store, &runs[at], &BOTH, |order| order.base = base).await;
        if at < 6 {
            let attempt = bench.backup(&job(orders[at], &json!({"last": 3}))).await.attempt.unwrap();
            let gone: &[String] = if at == 5 { &[runs[2].clone(), runs[1].clone(), runs[0].clone()] } else { &[] };
            assert_eq!((attempt.retired.as_slice(), attempt.trouble), (gone, None), "{}", runs[at]);
        }
    }
    // Somebody else's run builds on one that is to go, and what was cut off goes all the same.
    let strange = id(10, "jjjj");
    write_as(&bench.store, &strange, &BOTH, |order| order.base = Some(runs[3].clone())).await;
    let key = layout::in_run(&strange, layout::MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&bench.store.files()[&key]).unwrap();
    manifest["owner"]["policy"] = json!("ai/other (v)");
    bench.store.tamper(&key, Some(serde_json::to_vec(&manifest).unwrap()));
    for run in [id(11, "kkkk"), id(12, "llll")] {
        write(&bench.store, &run, &BOTH).await;
    }
    let begun = json!({"format": FORMAT, "version": FORMAT_VERSION, "owner": owner(), "at": "2026-05-01T03:00:00Z"});
    let key = layout::in_run("old", layout::BEGUN);
    bench.store.put(&key, serde_json::to_vec(&begun).unwrap().into(), Mode::Create).await.unwrap();
    let attempt = bench.backup(&job("llll", &json!({"last": 2}))).await.attempt.unwrap();
    assert_eq!(attempt.retired, [runs[8].clone(), runs[7].clone(), runs[6].clone()]);
    let trouble = attempt.trouble.unwrap();
    assert!(trouble.contains(&format!("run {strange} builds on run {}", runs[3])), "{trouble}");
    assert!(!bench.store.folders(layout::RUNS).await.unwrap().contains(&"old".to_owned()));
}

#[tokio::test]
async fn the_last_verified_run_stays_while_no_fuller_one_is_verified() {
    let bench = Bench::new();
    let one = |order: &str, verify: bool| {
        backup_job(order, |job| {
            job["retention"] = json!({"last": 1});
            job["verify"] = json!(verify);
        })
    };
    write_as(&bench.store, &id(1, "aaaa"), &BOTH, |order| order.filter = Some(all())).await;
    bench.backup(&one("aaaa", true)).await;
    // The filter was taken away, and nobody reads these back.
    for (day, order, gone) in [(2, "bbbb", vec![]), (3, "cccc", vec![id(2, "bbbb")])] {
        write(&bench.store, &id(day, order), &BOTH).await;
        let ledger = bench.backup(&one(order, false)).await;
        assert_eq!((ledger.attempt.unwrap().retired, ledger.totals.verified), (gone, 1), "{order}");
    }
    write(&bench.store, &id(4, "dddd"), &BOTH).await;
    let attempt = bench.backup(&one("dddd", true)).await.attempt.unwrap();
    assert_eq!(attempt.retired, [id(1, "aaaa"), id(3, "cccc")]);
}

/// The receipt of a restore that took this.
fn taken(state: State, select: &Value) -> Vec<u8> {
    let mut text: Receipt = serde_json::from_slice(&receipt(state)).unwrap();
    let select = serde_json::from_value(select.clone()).unwrap();
    text.selection = identity(&select, &[]);
    serde_json::to_vec(&text).unwrap()
}

#[tokio::test]
async fn the_receipt_of_a_restore_that_took_something_else_is_not_its_own() {
    let select = json!({"tenants": ["acme"]});
    for (noted, is_own) in [(json!({}), false), (json!({"tenants": ["other"]}), false), (select.clone(), true)] {
        let bench = Bench::new();
        write(&bench.store, "r1", &[("Articles", 9)]).await;
        let key = layout::receipt("receipt1");
        bench.store.put(&key, taken(State::Done, &noted).into(), Mode::Create).await.unwrap();
        let job = restore_job(|job| job["chosen"] = json!({"select": select}));
        let error = bench.restore(&job).await.unwrap_err();
        // Whose receipt is done asks only whether the collection is still there, and nobody listens.
        assert_eq!(error.contains("is that of another restore"), !is_own, "{noted}: {error}");
    }
}
