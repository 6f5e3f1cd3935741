//! Planted faults: each is found, with its own word. And runs without a fault, of which none is accused.

use std::sync::Arc;

use elysia_engine::backup::digest::Contents;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, HIGHEST_VERSION, Index, Manifest};
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::part::{PartWriter, open};
use elysia_engine::backup::restore::{Blocker, Conflict, RestoreError};
use elysia_engine::backup::verify::{Depth, Fault, verify};
use elysia_engine::backup::write::WriteError;
use elysia_engine::checkpoint::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::world::{cluster, objects, order, owner, restore, restore_order, sound, write};

type Change<'a> = &'a dyn Fn(&mut Value);

const FORMATS: [DataFormat; 4] =
    [DataFormat::Parquet, DataFormat::JsonlZstd, DataFormat::JsonlGzip, DataFormat::JsonlLz4];

async fn written(data: DataFormat) -> MemoryStore {
    let store = MemoryStore::default();
    write(&store, &cluster(60), &order("one", data)).await.unwrap();
    store
}

fn key(key: &str) -> String {
    layout::in_run("one", key)
}

fn bytes(store: &MemoryStore, name: &str) -> Vec<u8> {
    store.files()[&key(name)].to_vec()
}

fn json<T: DeserializeOwned>(store: &MemoryStore, name: &str) -> T {
    serde_json::from_slice(&bytes(store, name)).unwrap()
}

fn put<T: Serialize>(store: &MemoryStore, name: &str, value: &T) {
    store.tamper(&key(name), Some(serde_json::to_vec(value).unwrap()));
}

fn put_index(store: &MemoryStore, collection: &str, index: &Index) {
    put_index_of(store, "one", collection, index);
}

/// An index as somebody would write it who wants the manifest to agree.
pub(crate) fn put_index_of(store: &MemoryStore, run: &str, collection: &str, index: &Index) {
    let bytes = serde_json::to_vec(index).unwrap();
    let name = layout::in_run(run, layout::MANIFEST);
    let mut manifest: Manifest = serde_json::from_slice(&store.files()[&name]).unwrap();
    let note = manifest.collections.iter_mut().find(|note| note.name == collection).unwrap();
    note.index.bytes = bytes.len() as u64;
    note.index.sha256 = Digest::of(&bytes);
    store.tamper(&layout::in_run(run, &layout::index(collection)), Some(bytes));
    store.tamper(&name, Some(serde_json::to_vec(&manifest).unwrap()));
}

async fn words(store: &MemoryStore) -> Vec<String> {
    super::world::words(store, "one").await
}

fn part(store: &MemoryStore) -> String {
    let index: Index = json(store, &layout::index("Articles"));
    index.parts[0].file.key.clone()
}

#[tokio::test]
async fn twenty_good_runs_raise_no_alarm() {
    let store = MemoryStore::default();
    for number in 0..20_u32 {
        let run = format!("run-{number:02}");
        write(&store, &cluster(number * 11), &order(&run, FORMATS[number as usize % 4])).await.unwrap();
        let findings = sound(&store, &run).await;
        assert_eq!(findings.faults, vec![]);
        assert_eq!(findings.objects, u64::from(number * 11 + number * 11 / 3 + number * 11 / 2));
    }
}

#[tokio::test]
async fn damage_to_a_file_is_told_by_its_kind() {
    for data in FORMATS {
        let store = written(data).await;
        let name = part(&store);
        let whole = bytes(&store, &name);
        assert_eq!(words(&store).await, [""; 0]);

        store.tamper(&key(&name), Some(whole[..whole.len() - 1].to_vec()));
        assert_eq!(words(&store).await, ["size"]);
        store.tamper(&key(&name), Some([whole.clone(), vec![0]].concat()));
        assert_eq!(words(&store).await, ["size"]);
        store.tamper(&key(&name), None);
        assert_eq!(words(&store).await, ["missing"]);
        // Every byte counts, wherever it is.
        for at in (0..whole.len()).step_by(whole.len() / 25) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            store.tamper(&key(&name), Some(flipped));
            assert_eq!(words(&store).await, ["changed"], "bit of byte {at}");
        }
        store.tamper(&key(&name), Some(whole));
        assert_eq!(words(&store).await, [""; 0]);
    }
}

/// Rewrites a part, with its size and hash in the index: only the objects themselves can tell.
fn rewrite(store: &MemoryStore, data: DataFormat, change: impl FnOnce(&mut Vec<elysia_engine::object::Object>)) {
    let mut index: Index = json(store, &layout::index("Articles"));
    let columns = Arc::new(index.columns.clone());
    let name = index.parts[0].file.key.clone();
    let groups = open(bytes(store, &name).into(), data, &columns).unwrap();
    let mut all: Vec<_> = groups.flat_map(|group| group.unwrap()).collect();
    change(&mut all);
    let mut writer = PartWriter::new(data, &columns).unwrap();
    for object in &all {
        writer.push(object.clone()).unwrap();
    }
    let finished = writer.finish().unwrap().unwrap();
    index.parts[0].file.bytes = finished.bytes.len() as u64;
    index.parts[0].file.sha256 = Digest::of(&finished.bytes);
    store.tamper(&key(&name), Some(finished.bytes));
    put_index(store, "Articles", &index);
}

#[tokio::test]
async fn objects_that_are_not_what_was_read_are_found_behind_right_hashes() {
    for data in FORMATS {
        let swapped = written(data).await;
        rewrite(&swapped, data, |all| {
            let first = all[0].vectors.clone();
            all[0].vectors = std::mem::replace(&mut all[1].vectors, first);
        });
        assert_eq!(words(&swapped).await, ["objects"]);
        // Hashes alone do not see it.
        assert!(verify(&swapped, "one", Depth::Hashes, &|_| {}).await.unwrap().is_sound());

        let fewer = written(data).await;
        rewrite(&fewer, data, |all| drop(all.pop()));
        assert_eq!(words(&fewer).await, ["count"]);

        let turned = written(data).await;
        rewrite(&turned, data, |all| all.swap(0, 1));
        assert_eq!(words(&turned).await, ["order"]);

        let changed = written(data).await;
        rewrite(&changed, data, |all| drop(all[0].properties.insert("title".to_owned(), "other".into())));
        assert_eq!(words(&changed).await, ["objects"]);
    }
}

#[tokio::test]
async fn no_object_of_such_a_part_is_restored() {
    type Rewrite = fn(&mut Vec<elysia_engine::object::Object>);
    let swap: Rewrite = |all| {
        let first = all[0].vectors.clone();
        all[0].vectors = std::mem::replace(&mut all[1].vectors, first);
    };
    let changes: [(Rewrite, &str); 3] = [
        (swap, "holds other objects, properties or vectors than were read"),
        (|all| drop(all.pop()), "objects, not"),
        (|all| all.swap(0, 1), "is out of order"),
    ];
    for data in FORMATS {
        for (change, words) in changes {
            let store = written(data).await;
            let index: Index = json(&store, &layout::index("Articles"));
            rewrite(&store, data, change);
            let target = cluster(0);
            let order = restore_order("Articles", "Copy", Conflict::Fail);
            let error = restore(&store, &target, &order).await.unwrap_err();
            assert!(matches!(error, RestoreError::Damaged(_)), "{error}");
            assert!(error.to_string().contains(words), "{error}");
            let objects = target.get("Copy").unwrap().objects;
            let first = &index.parts[0];
            let is_of_part = |id: &uuid::Uuid| (first.first..=first.last).contains(id);
            assert!(!objects.values().flatten().any(|(id, _)| is_of_part(id)), "{data:?}: {words}");
        }
    }
}

#[tokio::test]
async fn a_wrong_manifest_is_told_by_what_is_wrong_with_it() {
    let whole: Value = json(&written(DataFormat::Parquet).await, layout::MANIFEST);
    let changes: [(&str, Change); 6] = [
        ("unreadable", &|manifest| manifest["format"] = "other".into()),
        ("unreadable", &|manifest| manifest["version"] = (HIGHEST_VERSION + 1).into()),
        ("unreadable", &|manifest| drop(manifest.as_object_mut().unwrap().remove("owner"))),
        ("wrongManifest", &|manifest| manifest["run"] = "two".into()),
        ("totals", &|manifest| manifest["collections"][0]["objects"] = 59.into()),
        ("totals", &|manifest| manifest["collections"][1]["tenants"] = 1.into()),
    ];
    for (word, change) in changes {
        let store = written(DataFormat::Parquet).await;
        let mut manifest = whole.clone();
        change(&mut manifest);
        put(&store, layout::MANIFEST, &manifest);
        assert_eq!(words(&store).await, [word], "{manifest}");
    }
    let store = written(DataFormat::Parquet).await;
    store.tamper(&key(layout::MANIFEST), Some(b"{".to_vec()));
    assert_eq!(words(&store).await, ["unreadable"]);
    store.tamper(&key(layout::MANIFEST), None);
    assert_eq!(words(&store).await, ["noManifest"]);
}

#[tokio::test]
async fn an_index_that_does_not_add_up_is_told_by_what_is_missing() {
    let store = written(DataFormat::Parquet).await;
    let whole: Index = json(&store, &layout::index("Notes"));
    let changed = |change: &dyn Fn(&mut Index)| {
        let mut index = whole.clone();
        change(&mut index);
        put_index(&store, "Notes", &index);
    };
    // A tenant whose parts are not listed.
    changed(&|index| index.parts.retain(|part| part.tenant.as_deref() != Some("cold")));
    assert_eq!(words(&store).await, ["tenant", "totals"]);
    // One that is gone altogether, though its parts are listed; and one that is gone with them.
    changed(&|index| index.tenants.as_mut().unwrap().retain(|tenant| tenant.name != "cold"));
    assert_eq!(words(&store).await, ["unknownTenant", "totals"]);
    changed(&|index| {
        index.tenants.as_mut().unwrap().retain(|tenant| tenant.name != "cold");
        index.parts.retain(|part| part.tenant.as_deref() != Some("cold"));
    });
    assert_eq!(words(&store).await, ["totals"]);
    // Two parts of two tenants, exchanged.
    changed(&|index| index.parts.iter_mut().for_each(|part| part.tenant = Some("warm".to_owned())));
    assert_eq!(words(&store).await, ["tenant"]);
    // An index that somebody touched.
    put(&store, &layout::index("Notes"), &whole);
    let touched = [bytes(&store, &layout::index("Notes")), b" ".to_vec()].concat();
    changed(&|_| {});
    assert_eq!(words(&store).await, [""; 0]);
    store.tamper(&key(&layout::index("Notes")), Some(touched));
    assert_eq!(words(&store).await, ["size"]);
    store.tamper(&key(&layout::index("Notes")), None);
    assert_eq!(words(&store).await, ["missing"]);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_makes_no_run() {
    let source = cluster(60);
    let read_only = MemoryStore::default();
    let error = write(&read_only.read_only(), &source, &order("one", DataFormat::Parquet)).await.unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(read_only.files().is_empty());

    let small = MemoryStore::default();
    let error = write(&small.with_room(4000), &source, &order("one", DataFormat::Parquet)).await.unwrap_err();
    assert!(error.to_string().contains("no space"), "{error}");
    assert_eq!(words(&small).await, ["noManifest"]);
}

#[tokio::test]
async fn a_stranger_may_read_and_restore_and_never_write() {
    let store = written(DataFormat::Parquet).await;
    let before = store.files();
    let mut stranger = order("two", DataFormat::Parquet);
    stranger.owner = owner("weekly");
    let error = write(&store, &cluster(60), &stranger).await.unwrap_err();
    assert!(matches!(error, WriteError::NotOwner { .. }), "{error}");
    assert_eq!(store.files(), before);
    assert!(words(&store).await.is_empty());
}

#[tokio::test]
async fn a_damaged_part_stops_a_restore_before_its_first_write() {
    let store = written(DataFormat::Parquet).await;
    let index: Index = json(&store, &layout::index("Articles"));
    let last = index.parts.last().unwrap().file.key.clone();
    let mut flipped = bytes(&store, &last);
    flipped[100] ^= 1;
    store.tamper(&key(&last), Some(flipped));
    let target = cluster(0);
    let error = restore(&store, &target, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap_err();
    let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
    assert!(matches!(blockers[..], [Blocker::Damaged { fault: Fault::Changed { .. } }]), "{blockers:?}");
    assert!(target.get("Copy").is_none());
    assert!(!store.files().contains_key("restores/r.json"));
}

#[test]
fn a_digest_tells_whose_vectors_they_are() {
    let mut all: Vec<_> = objects(0..2).into_values().collect();
    let before = Contents::of(&all);
    let first = all[0].vectors.clone();
    all[0].vectors = std::mem::replace(&mut all[1].vectors, first);
    assert_ne!(Contents::of(&all), before);
}
