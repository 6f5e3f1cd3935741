//! Lists are quick, and say what the runs say, whatever becomes of the notes.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use elysia_core::retention::Retention;
use elysia_engine::backup::layout::{self, in_run};
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::ports::{Got, Put};
use elysia_engine::backup::verify::record;
use elysia_engine::memory::{FixedClock, Fuse};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::runs::runs;
use super::super::store::{AnyStore, in_memory, open};
use super::super::work::StoreWork;
use super::super::{retire as retire_runs, retirement};
use super::*;

/// What a list of stamped runs asks for: folders, stamps, notes.
const QUICK: usize = 3;
/// And of each run that is read: manifest, verified, judged, drilled.
const READS_OF_A_RUN: usize = 4;

fn owner(policy: &str) -> Owner {
    Owner { cluster: "search".to_owned(), policy: policy.to_owned() }
}

fn id(number: usize) -> String {
    format!("2026{:02}{:02}T030000Z-{number:04x}", number / 25 % 12 + 1, number % 25 + 1)
}

fn manifest(run: &str, objects: usize) -> Value {
    json!({
        "format": FORMAT, "version": FORMAT_VERSION, "run": run, "owner": owner("nightly"),
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
        "source": {"weaviate": "1.38.2", "nodes": 3}, "tool": "t", "data": "parquet",
        "collections": [{
            "name": "Articles", "objects": objects, "digest": "0".repeat(64), "parts": 1, "bytes": 7,
            "replicas": {"compared": true, "differing": 0},
            "index": {"key": "index/Articles.json", "bytes": 1, "sha256": "0".repeat(64)},
        }],
    })
}

async fn put<S: Store>(store: &S, key: &str, value: &Value) {
    store.put(key, value.to_string().into(), Mode::Overwrite).await.unwrap();
}

/// A place with so many runs, with parts.
async fn place<S: Store>(store: &S, count: usize) {
    let marker = json!({
        "format": FORMAT, "version": FORMAT_VERSION, "owner": owner("nightly"), "since": "2026-01-01T00:00:00Z",
    });
    put(store, layout::OWNER, &marker).await;
    for number in 0..count {
        let run = id(number);
        put(store, &in_run(&run, "data/Articles/part-00-00000.parquet"), &json!("x")).await;
        put(store, &in_run(&run, layout::MANIFEST), &manifest(&run, number)).await;
    }
}

/// Counts what is asked of a store, and changes a run in the very moment in which it is stamped.
struct Watched<'a, S> {
    store: &'a S,
    asked: AtomicUsize,
    meddler: Option<String>,
}

impl<'a, S: Store> Watched<'a, S> {
    fn new(store: &'a S) -> Self {
        Self { store, asked: AtomicUsize::new(0), meddler: None }
    }

    /// What is listed, and after how many requests.
    async fn listed(&self) -> (Vec<Row>, usize) {
        let rows = list(self).await.unwrap();
        (rows, self.asked.swap(0, Ordering::Relaxed))
    }

    fn count(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S: Store> Store for Watched<'_, S> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.count();
        if let Some(run) = self.meddler.as_ref().filter(|run| key.starts_with(&layout::stamps(run))) {
            record(self.store, run, &owner("nightly"), &FixedClock::default()).await.unwrap();
        }
        self.store.put(key, bytes, mode).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.count();
        self.store.get(key, most).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.count();
        self.store.folders(folder).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        self.count();
        self.store.files(folder, most).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.count();
        self.store.remove(keys).await
    }
}

/// The truth, and that a list tells it; the requests that it took.
async fn truly_listed<S: Store>(store: &S) -> (Vec<Row>, usize) {
    let truth = reread(store).await.unwrap();
    let (rows, asked) = Watched::new(store).listed().await;
    assert_eq!(rows.iter().map(said).collect::<Vec<_>>(), truth.iter().map(said).collect::<Vec<_>>());
    (rows, asked)
}

/// A row as people get it.
fn said(row: &Row) -> String {
    serde_json::to_string(row).unwrap()
}

async fn noted_place(count: usize) -> MemoryStore {
    let store = MemoryStore::default();
    place(&store, count).await;
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    store
}

async fn is_quick<S: Store>(store: &S, count: usize) {
    place(store, count).await;
    let (rows, asked) = truly_listed(store).await;
    assert_eq!(rows.len(), count);
    assert!(asked <= QUICK + READS_OF_A_RUN * count, "{asked}");
    note(store, &owner("nightly"), Reading::All).await.unwrap();
    let (rows, asked) = truly_listed(store).await;
    assert_eq!((rows.len(), asked), (count, QUICK));
    // Nothing changed, so nothing is written again.
    let watched = Watched::new(store);
    note(&watched, &owner("nightly"), Reading::Changed).await.unwrap();
    assert_eq!(watched.asked.into_inner(), QUICK + 1, "and the owner");
}

#[tokio::test]
async fn a_thousand_runs_are_three_requests() {
    is_quick(&MemoryStore::default(), 1000).await;
    is_quick(&in_memory("team/backups"), 1000).await;
    let folder = tempfile::TempDir::new().unwrap();
    let folder: AnyStore = open(&StoreWork::Folder(folder.path().join("b").display().to_string())).unwrap();
    // Each of its files is brought to the disk.
    is_quick(&folder, 20).await;
}

#[tokio::test]
async fn what_its_owner_changes_is_read_and_nothing_else() {
    let store = noted_place(50).await;
    record(&store, &id(7), &owner("nightly"), &FixedClock::default()).await.unwrap();
    let (rows, asked) = truly_listed(&store).await;
    assert_eq!((rows.len(), asked), (50, QUICK + READS_OF_A_RUN));
    assert_eq!(rows.iter().filter(|row| row.told().verified_at.is_some()).count(), 1);
    // One that is new, and one that is under way: of that one its beginning is looked for as well.
    put(&store, &in_run("20270101T000000Z-aaaa", layout::MANIFEST), &manifest("20270101T000000Z-aaaa", 3)).await;
    put(&store, &in_run("20270102T000000Z-bbbb", "data/x"), &json!(1)).await;
    let (rows, asked) = truly_listed(&store).await;
    assert_eq!((rows.len(), asked), (52, QUICK + 2 * READS_OF_A_RUN + 3));
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    assert_eq!(truly_listed(&store).await.1, QUICK + 3, "what is no run is never noted");
}

#[tokio::test]
async fn a_run_that_is_taken_away_is_gone_wherever_that_was_cut_off() {
    let whole = noted_place(5).await.files();
    for effects in 0.. {
        let store = MemoryStore::default();
        for (key, bytes) in &whole {
            store.tamper(key, Some(bytes.to_vec()));
        }
        let cut = retire::remove_run(&store.with_fuse(Fuse::after(effects)), &id(2), &owner("nightly")).await;
        let (rows, _) = truly_listed(&store).await;
        let found = rows.iter().find(|row| row.told().id == id(2)).map(|row| row.told().state);
        if store.files().contains_key(&in_run(&id(2), layout::MANIFEST)) {
            assert_eq!(found, Some(RunState::Complete));
        } else {
            assert_ne!(found, Some(RunState::Complete), "no manifest, no run");
        }
        if cut.is_ok() {
            assert_eq!((rows.len(), effects > 2), (4, true));
            break;
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_good_costs_time_alone() {
    let store = noted_place(20).await;
    let good = store.files()[CATALOGUE_FILE].to_vec();
    let changed = |edit: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&good).unwrap();
        edit(&mut value);
        value.to_string().into_bytes()
    };
    let everything = QUICK + READS_OF_A_RUN * 20;
    let too_large = usize::try_from(MOST_BYTES).unwrap() + 1;
    for (what, bytes, wanted) in [
        ("missing", None, everything),
        ("cut off", Some(good[..good.len() / 2].to_vec()), everything),
        ("of a newer version", Some(changed(&|it| it["version"] = json!(99))), everything),
        ("something else", Some(b"[]".to_vec()), everything),
        ("too large", Some(changed(&|it| it["pad"] = json!("x".repeat(too_large)))), everything),
        ("of other numbers", Some(changed(&|it| it["runs"][3]["objects"] = json!(7))), QUICK + READS_OF_A_RUN),
        (
            "of one run fewer",
            Some(changed(&|it| drop(it["runs"].as_array_mut().unwrap().pop()))),
            QUICK + READS_OF_A_RUN,
        ),
        ("as it was", Some(good.clone()), QUICK),
    ] {
        store.tamper(CATALOGUE_FILE, bytes);
        assert_eq!(truly_listed(&store).await.1, wanted, "{what}");
    }
    // A slower writer puts back what it had read before a change.
    record(&store, &id(7), &owner("nightly"), &FixedClock::default()).await.unwrap();
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    store.tamper(CATALOGUE_FILE, Some(good));
    assert_eq!(truly_listed(&store).await.1, QUICK + READS_OF_A_RUN);
    // The next one mends it.
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    assert_eq!(truly_listed(&store).await.1, QUICK);
}

#[tokio::test]
async fn stamps_that_are_no_good_cost_time_alone() {
    let store = noted_place(10).await;
    let stamp_of = |number: usize| {
        let folder = layout::stamps(&id(number));
        store.files().into_keys().find(|key| key.starts_with(&folder)).unwrap()
    };
    store.tamper(&stamp_of(1), None);
    store.tamper(&layout::stamp(&id(2), "a-second-one"), Some(Vec::new()));
    store.tamper("catalogue/stray", Some(Vec::new()));
    assert_eq!(truly_listed(&store).await.1, QUICK + 2 * READS_OF_A_RUN);
    // Of a run that is gone: it is in the file, has a stamp, and is not listed.
    for key in store.files().into_keys().filter(|key| key.starts_with(&in_run(&id(3), ""))) {
        store.tamper(&key, None);
    }
    let (rows, _) = truly_listed(&store).await;
    assert!(rows.len() == 9 && rows.iter().all(|row| row.told().id != id(3)));
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    assert_eq!(truly_listed(&store).await.1, QUICK);
    assert!(!store.files().keys().any(|key| key.starts_with(&layout::stamps(&id(3)))), "it is swept up");
}

#[tokio::test]
async fn a_run_that_changes_while_it_is_stamped_is_read() {
    let store = MemoryStore::default();
    place(&store, 5).await;
    let meddled = Watched { meddler: Some(id(3)), ..Watched::new(&store) };
    note(&meddled, &owner("nightly"), Reading::Changed).await.unwrap();
    let (rows, asked) = truly_listed(&store).await;
    assert_eq!(rows.iter().filter(|row| row.told().verified_at.is_some()).count(), 1);
    assert_eq!(asked, QUICK + READS_OF_A_RUN);
}

#[tokio::test]
async fn what_somebody_changed_behind_the_owners_back_is_found_by_the_next_run_of_the_policy() {
    let store = noted_place(5).await;
    store.tamper(&in_run(&id(1), layout::MANIFEST), None);
    store.tamper(&in_run(&id(2), layout::MANIFEST), Some(manifest(&id(2), 999).to_string().into_bytes()));
    let objects = |rows: Vec<Row>| rows.iter().map(|row| row.told().objects).sum::<u64>();
    assert_eq!(objects(list(&store).await.unwrap()), 10, "hearsay");
    assert_eq!(objects(reread(&store).await.unwrap()), 3 + 4 + 999);
    note(&store, &owner("nightly"), Reading::All).await.unwrap();
    truly_listed(&store).await;
}

#[tokio::test]
async fn a_stranger_lists_and_writes_nothing() {
    let store = noted_place(5).await;
    store.tamper(CATALOGUE_FILE, None);
    let before = store.files();
    note(&store, &owner("weekly"), Reading::All).await.unwrap();
    assert_eq!(store.files(), before);
    truly_listed(&store.read_only()).await;
    // Nor does anybody where nobody is the owner.
    store.tamper(layout::OWNER, None);
    note(&store, &owner("nightly"), Reading::All).await.unwrap();
    assert_eq!(store.files().len() + 1, before.len());
}

#[tokio::test]
async fn where_nothing_can_be_deleted_a_changed_run_is_read() {
    let store = noted_place(5).await.append_only();
    record(&store, &id(2), &owner("nightly"), &FixedClock::default()).await.unwrap();
    note(&store, &owner("nightly"), Reading::Changed).await.unwrap();
    assert_eq!(truly_listed(&store).await.1, QUICK + READS_OF_A_RUN);
}

/// Whoever may write into the bucket makes lists say anything, and retention goes by the runs all the same.
#[tokio::test]
async fn retention_believes_no_note() {
    let store = noted_place(6).await;
    let verdicts = async || {
        let rules = Retention { last: Some(2), ..Retention::default() };
        let found = runs(&store).await.unwrap();
        retirement(found, &owner("nightly"), &rules, None, &TimeZone::UTC, "2026-02-01T00:00:00Z".parse().unwrap())
    };
    let truth = verdicts().await;
    let mut forged: Value = serde_json::from_slice(&store.files()[CATALOGUE_FILE]).unwrap();
    for run in forged["runs"].as_array_mut().unwrap() {
        let id = run["id"].as_str().unwrap().to_owned();
        for key in store.files().into_keys().filter(|key| key.starts_with(&layout::stamps(&id))) {
            store.tamper(&key, None);
        }
        run["finishedAt"] = json!("1990-01-01T00:00:00Z");
        run["objects"] = json!(0);
        let entry: RunSummary = serde_json::from_value(run.clone()).unwrap();
        stamp::set(&store, &id, &digest(&entry)).await.unwrap();
    }
    store.tamper(CATALOGUE_FILE, Some(forged.to_string().into_bytes()));
    assert!(list(&store).await.unwrap().iter().all(|row| row.told().objects == 0), "lists believe it");
    let found = verdicts().await;
    assert_eq!(found, truth, "the truth");
    let going = found.iter().filter(|verdict| verdict.is_retired()).count();
    assert_eq!(retire_runs(&store, &owner("nightly"), &found).await.unwrap().runs.len(), going);
    assert_eq!(going, 4);
}

#[test]
fn the_file_holds_the_newest_that_fit() {
    let runs: Vec<RunSummary> = (0..9).map(|number| RunSummary::empty(id(number), RunState::Complete)).collect();
    let each = serde_json::to_vec(&runs[0]).unwrap().len() as u64 + 1;
    for (most, count) in [(0, 0), (128 + 3 * each, 3), (127 + 3 * each, 2), (MOST_BYTES, 9)] {
        assert_eq!(as_many_as_fit(runs.clone(), most), runs[..count]);
    }
}
