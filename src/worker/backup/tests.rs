//! Retention over a store in memory, and attempts at one run.

use std::collections::BTreeMap;

use elysia_core::retention::Retention;
use elysia_engine::backup::manifest::{DataFormat, FORMAT, FORMAT_VERSION, Manifest};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::stamp;
use elysia_engine::checkpoint::Digest;
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::object::Object;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::*;

fn owner(policy: &str) -> Owner {
    Owner { cluster: "search".to_owned(), policy: policy.to_owned() }
}

fn cluster(objects: u32) -> MemoryCluster {
    let cluster = MemoryCluster::new(10, 1);
    let object = |number: u32| {
        let id = Uuid::from_u128(u128::from(number) + 1);
        (id, Object { id, properties: serde_json::Map::new(), vectors: BTreeMap::new() })
    };
    let class = MemoryClass {
        schema: json!({"class": "A", "properties": [], "vectorIndexConfig": {}}),
        objects: [(String::new(), (0..objects).map(object).collect())].into(),
        ..MemoryClass::default()
    };
    cluster.set("A", class);
    cluster
}

async fn write(store: &MemoryStore, run: &str, policy: &str, objects: u32) -> Result<Manifest, write::WriteError> {
    let order = write::Order {
        data: DataFormat::JsonlZstd,
        lanes: 1,
        retry: Retry { attempts: 1, ..Retry::default() },
        ..write::Order::new(run.to_owned(), owner(policy), vec!["A".to_owned()])
    };
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), write::Progress::default());
    let source = cluster(objects);
    Writer { store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order }.write().await
}

fn last(number: u32) -> Retention {
    Retention { last: Some(number), ..Retention::default() }
}

async fn verdicts(store: &MemoryStore, asked: &Owner, rules: &Retention, now: Timestamp) -> Vec<Verdict> {
    retirement(runs(store).await.unwrap(), asked, rules, Some(50), &TimeZone::UTC, now)
}

fn told(verdicts: &[Verdict]) -> Vec<String> {
    verdicts.iter().map(|verdict| format!("{}: {}", verdict.run.id, verdict.kept.join(", "))).collect()
}

#[tokio::test]
async fn what_goes_is_ours_and_old_and_nothing_else() {
    let store = MemoryStore::default();
    let now = FixedClock::default().now();
    for run in ["1", "2", "3", "4"] {
        write(&store, run, "nightly", 10).await.unwrap();
    }
    // Cut off before its manifest.
    write(&store.with_fuse(Fuse::after(3)), "5", "nightly", 10).await.unwrap_err();
    // What cannot be read may build on any of them.
    store.tamper("runs/6/manifest.json", Some(b"{".to_vec()));
    let seen = verdicts(&store, &owner("nightly"), &last(2), now).await;
    let all = ["6: unreadable", "5: may be under way", "4: suspect, last", "3: suspect", "2: suspect", "1: suspect"];
    assert_eq!(told(&seen), all);
    store.tamper("runs/6/manifest.json", None);
    let seen = verdicts(&store, &owner("nightly"), &last(2), now).await;
    assert_eq!(told(&seen), ["5: may be under way", "4: newest, last", "3: last", "2: ", "1: "]);
    let later = now.checked_add(SignedDuration::from_hours(24 * 8)).unwrap();
    let seen = verdicts(&store, &owner("nightly"), &last(2), later).await;
    assert_eq!(told(&seen)[0], "5: ");

    let strange = verdicts(&store, &owner("weekly"), &last(1), later).await;
    assert!(strange.iter().all(|verdict| !verdict.is_retired()), "{strange:?}");
    assert!(retire(&store, &owner("weekly"), &seen).await.is_err_and(|failure| failure.is_permanent));
    assert_eq!(runs(&store).await.unwrap().len(), 5);

    let retired = retire(&store, &owner("nightly"), &seen).await.unwrap();
    assert_eq!(retired.runs.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{retired:?}");
    let left: Vec<_> = runs(&store).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(left, ["4", "3"]);
}

#[tokio::test]
async fn what_is_built_on_stays_and_goes_last() {
    let store = MemoryStore::default();
    let now = FixedClock::default().now();
    let build = async |store: &MemoryStore, run: &str, base: Option<&str>| {
        let order = write::Order {
            base: base.map(str::to_owned),
            retry: Retry { attempts: 1, ..Retry::default() },
            ..write::Order::new(run.to_owned(), owner("nightly"), vec!["A".to_owned()])
        };
        let (clock, stop, progress) = (FixedClock::default(), Stop::default(), write::Progress::default());
        let source = cluster(10);
        Writer { store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order }.write().await
    };
    for (run, base) in [("1", None), ("2", Some("1")), ("3", Some("2")), ("4", None), ("5", None)] {
        build(&store, run, base).await.unwrap();
    }
    let seen = verdicts(&store, &owner("nightly"), &last(3), now).await;
    assert_eq!(told(&seen), ["5: newest, last", "4: last", "3: last", "2: base", "1: base"]);
    // One that is under way needs its base as well: 3 was read, and 6 has not ended.
    build(&store.with_fuse(Fuse::after(2)), "6", Some("3")).await.unwrap_err();
    let seen = verdicts(&store, &owner("nightly"), &last(2), now).await;
    assert_eq!(told(&seen)[3..], ["3: base", "2: base", "1: base"]);
    store.tamper("runs/6/begun.json", None);
    let seen = verdicts(&store, &owner("nightly"), &last(2), now).await;
    let retired = retire(&store, &owner("nightly"), &seen).await.unwrap();
    assert_eq!(retired.runs[..3], ["3", "2", "1"]);
}

#[tokio::test]
async fn retention_stops_at_a_run_that_shrank() {
    let store = MemoryStore::default();
    for (run, objects) in [("1", 100), ("2", 100), ("3", 49), ("4", 49), ("5", 49)] {
        write(&store, run, "nightly", objects).await.unwrap();
    }
    let seen = verdicts(&store, &owner("nightly"), &last(1), FixedClock::default().now()).await;
    assert_eq!(told(&seen), ["5: newest, last", "4: ", "3: suspect", "2: suspect", "1: suspect"]);
    let why = seen[2].suspect.as_deref();
    assert_eq!(why, Some("collection A has 49 objects, and had 100 in run 2"));
}

#[tokio::test]
async fn the_last_verified_run_stays_while_no_fuller_one_is_verified() {
    let store = MemoryStore::default();
    let order = write::Order {
        filter: Some("id is not null".parse().unwrap()),
        retry: Retry { attempts: 1, ..Retry::default() },
        ..write::Order::new("1".to_owned(), owner("nightly"), vec!["A".to_owned()])
    };
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), write::Progress::default());
    let source = cluster(10);
    let writer =
        Writer { store: &store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap();
    assert!(verify_written(&store, "1", None, &owner("nightly")).await.unwrap().is_sound());
    for run in ["2", "3"] {
        write(&store, run, "nightly", 10).await.unwrap();
    }
    let now = FixedClock::default().now();
    let seen = async || told(&verdicts(&store, &owner("nightly"), &last(1), now).await);
    assert_eq!(seen().await, ["3: newest, last", "2: ", "1: last verified"]);
    assert!(verify_written(&store, "2", None, &owner("nightly")).await.unwrap().is_sound());
    assert_eq!(seen().await, ["3: newest, last", "2: last verified", "1: "]);
}

#[tokio::test]
async fn an_attempt_goes_under_an_id_of_its_own_and_a_run_that_is_there_is_done() {
    let store = MemoryStore::default();
    let next = async |policy: &str| match attempt(&store, "r", &owner(policy)).await {
        Ok(Attempt::Next(run)) => run,
        Ok(Attempt::Done(manifest)) => format!("done as {}", manifest.run),
        Err(failure) => failure.message,
    };
    assert_eq!(next("nightly").await, "r");
    write(&store.with_fuse(Fuse::after(2)), "r", "nightly", 10).await.unwrap_err();
    assert_eq!(next("nightly").await, "r-2");
    write(&store, "r-2", "nightly", 10).await.unwrap();
    assert_eq!(next("nightly").await, "done as r-2");
    assert_eq!(next("weekly").await, "run r-2 is there, and is that of nightly of search");
    assert!(attempt(&store, "../r", &owner("nightly")).await.is_err());
}

#[tokio::test]
async fn cleanup_goes_by_what_the_policys_worker_found() {
    let store = MemoryStore::default();
    for (run, objects) in [("1", 100), ("2", 100), ("3", 49), ("4", 49)] {
        write(&store, run, "nightly", objects).await.unwrap();
    }
    let found = |run: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let mut judged = json!({"format": FORMAT, "version": FORMAT_VERSION, "at": "2026-11-29T00:00:00Z"});
        edit(&mut judged);
        store.tamper(&format!("runs/{run}/judged.json"), Some(judged.to_string().into_bytes()));
    };
    let now = FixedClock::default().now();
    let seen = async || told(&verdicts(&store, &owner("nightly"), &last(1), now).await);
    assert_eq!(seen().await, ["4: newest, last", "3: suspect", "2: suspect", "1: suspect"]);
    found("3", &|judged| {
        judged["suspect"] = json!(["it shrank"]);
        judged["isAccepted"] = json!(true);
    });
    assert_eq!(seen().await, ["4: newest, last", "3: ", "2: ", "1: "], "a person accepted it");
    found("3", &|judged| judged["isDamaged"] = json!(true));
    assert_eq!(seen().await, ["4: newest, last", "3: suspect", "2: suspect", "1: suspect"]);
    found("3", &|_| {});
    found("2", &|judged| judged["suspect"] = json!(["it lacks collection B"]));
    assert_eq!(seen().await, ["4: newest, last", "3: ", "2: suspect", "1: suspect"]);
    found("2", &|judged| judged["leftOut"] = json!({"A": "is restored"}));
    assert_eq!(
        seen().await,
        ["4: newest, last", "3: ", "2: suspect", "1: suspect"].map(str::to_owned)[..2]
            .iter()
            .cloned()
            .chain(["2: ".to_owned(), "1: ".to_owned()])
            .collect::<Vec<_>>(),
        "3 is whole and has it"
    );
    found("2", &|judged| judged["leftOut"] = json!({"B": "is restored"}));
    assert_eq!(seen().await, ["4: newest, last", "3: ", "2: ", "1: "], "no older one has it");
    store.tamper("runs/3/judged.json", Some(b"{".to_vec()));
    assert_eq!(seen().await, ["4: newest, last", "3: suspect", "2: suspect", "1: suspect"]);
    store.tamper("runs/3/judged.json", None);
    store.tamper("runs/3/verified.json", Some(b"{".to_vec()));
    assert_eq!(seen().await, ["4: newest, last", "3: suspect", "2: suspect", "1: suspect"]);
}

#[tokio::test]
async fn a_run_that_its_owner_finds_damaged_is_noted_so_and_is_no_verified_one_any_more() {
    let part = |store: &MemoryStore, run: &str| {
        let files = store.files();
        let folder = format!("runs/{run}/data/");
        files.into_keys().find(|key| key.starts_with(&folder)).unwrap()
    };
    let judged = |store: &MemoryStore, run: &str| store.files().get(&format!("runs/{run}/judged.json")).cloned();
    let now = FixedClock::default().now();
    for depth in [Depth::Objects, Depth::Hashes] {
        let store = MemoryStore::default();
        for run in ["1", "2", "3"] {
            write(&store, run, "nightly", 10).await.unwrap();
        }
        for run in ["1", "2"] {
            let findings = verify(&store, run, Depth::Objects, Some(&owner("nightly")), &|_| {}).await.unwrap();
            assert!(findings.is_sound() && judged(&store, run).is_none());
        }
        let seen = async || told(&verdicts(&store, &owner("nightly"), &last(1), now).await);
        assert_eq!(seen().await, ["3: newest, last", "2: last verified", "1: "]);
        let rotten = part(&store, "2");
        store.tamper(&rotten, Some(b"rot".to_vec()));
        // Whoever owns nothing there notes nothing.
        for stranger in [None, Some(owner("weekly"))] {
            let findings = verify(&store, "2", depth, stranger.as_ref(), &|_| {}).await.unwrap();
            assert!(!findings.is_sound() && judged(&store, "2").is_none(), "{stranger:?}");
        }
        stamp::set(&store, "2", &Digest::of(b"what lists said of it before")).await.unwrap();
        let findings = verify(&store, "2", depth, Some(&owner("nightly")), &|_| {}).await.unwrap();
        assert!(!findings.is_sound());
        assert_eq!(stamp::all(&store, 10).await.unwrap().len(), 0, "lists read it again");
        let all = runs(&store).await.unwrap();
        let verified: Vec<_> = all.iter().map(|run| (run.id.as_str(), run.verified_at.is_some())).collect();
        assert_eq!(verified, [("3", false), ("2", false), ("1", true)]);
        let why = &all[1].judged.as_ref().unwrap().suspect;
        assert!(why[0].contains("data/"), "{why:?}");
        assert_eq!(seen().await, ["3: newest, last", "2: suspect", "1: last verified, suspect"]);
        assert_eq!(latest::latest(&store, now).await.unwrap().manifest.run, "3");
        store.tamper("runs/3/manifest.json", None);
        assert_eq!(latest::latest(&store, now).await.unwrap().manifest.run, "1", "the damaged one is passed over");
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_and_a_run_that_is_not_over_are_no_damage() {
    let (store, nightly) = (MemoryStore::default(), owner("nightly"));
    let order = write::Order {
        key: Some(Key::from([1; 32])),
        retry: Retry { attempts: 1, ..Retry::default() },
        ..write::Order::new("1".to_owned(), nightly.clone(), vec!["A".to_owned()])
    };
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), write::Progress::default());
    let source = cluster(10);
    let writer =
        Writer { store: &store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap();
    write(&store.with_fuse(Fuse::after(3)), "2", "nightly", 10).await.unwrap_err();
    let other = Key::from([2; 32]);
    for (run, key) in [("1", None), ("1", Some(&other)), ("2", None), ("3", None)] {
        let findings = verify_sealed(&store, run, key, Depth::Objects, Some(&nightly), &|_| {}).await.unwrap();
        assert!(!findings.is_sound(), "{run}");
        assert!(!store.files().contains_key(&format!("runs/{run}/judged.json")), "{run}");
    }
}
