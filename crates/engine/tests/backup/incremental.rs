//! Runs that build on others: what they write, what they stand for, and what becomes of them when something breaks.

use std::collections::BTreeMap;

use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Index, MOST_BASES, Manifest};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{Blocker, Conflict, RestoreError, State};
use elysia_engine::backup::verify::{Depth, Fault, verify};
use elysia_engine::backup::write::{Order, WriteError};
use elysia_engine::checkpoint::Digest;
use elysia_engine::memory::Fuse;
use elysia_engine::object::Object;
use serde_json::json;

use super::world::{cluster, object, order, owner, restore, restore_order, sound, words, write};

/// Changes, adds and removes objects of a collection and tenant.
fn change(cluster: &MemoryCluster, name: &str, tenant: &str, change: impl FnOnce(&mut BTreeMap<uuid::Uuid, Object>)) {
    let mut class = cluster.get(name).unwrap();
    change(class.objects.get_mut(tenant).unwrap());
    cluster.set(name, class);
}

/// Day after day: some change, some come, some go.
fn live(cluster: &MemoryCluster, day: u32) {
    for (name, tenant) in [("Articles", ""), ("Notes", "cold"), ("Notes", "warm")] {
        change(cluster, name, tenant, |objects| {
            let ids: Vec<_> = objects.keys().copied().collect();
            for (number, id) in ids.iter().enumerate() {
                let number = u32::try_from(number).unwrap();
                if (number + day).is_multiple_of(7) {
                    objects.remove(id);
                } else if (number + day).is_multiple_of(5) {
                    let changed = objects.get_mut(id).unwrap();
                    changed.properties.insert("title".to_owned(), json!(format!("day {day}")));
                }
            }
            for new in 0..3 {
                let new = object(1_000 * day + new);
                objects.insert(new.id, new);
            }
        });
    }
}

fn on(run: &str, base: &str, data: DataFormat) -> Order {
    Order { base: Some(base.to_owned()), ..order(run, data) }
}

/// A full run, and three that build on it, in formats by turns; what was there at each of them.
async fn chain() -> (MemoryStore, Vec<MemoryCluster>) {
    let (store, source) = (MemoryStore::default(), cluster(60));
    let mut states = Vec::new();
    for day in 0..4_u32 {
        if day > 0 {
            live(&source, day);
        }
        let data =
            [DataFormat::Parquet, DataFormat::JsonlZstd, DataFormat::JsonlLz4, DataFormat::Parquet][day as usize];
        let mut order = order(&day.to_string(), data);
        order.base = day.checked_sub(1).map(|base| base.to_string());
        write(&store, &source, &order).await.unwrap();
        let frozen = cluster(0);
        for name in ["Articles", "Notes"] {
            frozen.set(name, source.get(name).unwrap());
        }
        states.push(frozen);
    }
    (store, states)
}

fn manifest(store: &MemoryStore, run: &str) -> Manifest {
    serde_json::from_slice(&store.files()[&layout::in_run(run, layout::MANIFEST)]).unwrap()
}

fn index(store: &MemoryStore, run: &str, collection: &str) -> Index {
    serde_json::from_slice(&store.files()[&layout::in_run(run, &layout::index(collection))]).unwrap()
}

#[tokio::test]
async fn every_run_of_a_chain_is_restored_as_it_was() {
    let (store, states) = chain().await;
    for (day, state) in states.iter().enumerate() {
        let run = day.to_string();
        assert_eq!(sound(&store, &run).await.faults, vec![], "run {run}");
        assert_eq!(manifest(&store, &run).base.len(), day);
        for collection in ["Articles", "Notes"] {
            store.tamper("restores/r.json", None);
            let target = MemoryCluster::new(5, 1);
            let order = elysia_engine::backup::restore::Order {
                run: run.clone(),
                ..restore_order(collection, "Copy", Conflict::Fail)
            };
            restore(&store, &target, &order).await.unwrap();
            let (found, wanted) = (target.get("Copy").unwrap(), state.get(collection).unwrap());
            assert_eq!(found.objects, wanted.objects, "run {run}, {collection}");
            assert_eq!(found.tenants, wanted.tenants);
        }
    }
}

#[tokio::test]
async fn only_what_changed_is_written_and_what_vanished_is_listed() {
    let (store, states) = chain().await;
    for day in 1..4 {
        let note = manifest(&store, &day.to_string()).collection("Articles").unwrap().clone();
        let (was, is) = (states[day - 1].get("Articles").unwrap(), states[day].get("Articles").unwrap());
        let (was, is) = (&was.objects[""], &is.objects[""]);
        let changed = is.iter().filter(|(id, object)| was.get(id) != Some(object)).count() as u64;
        let gone: Vec<_> = was.keys().filter(|id| !is.contains_key(id)).map(ToString::to_string).collect();
        assert!(changed > 3 && changed < is.len() as u64 && !gone.is_empty());
        assert_eq!((note.contents.objects, note.written.unwrap().objects), (is.len() as u64, changed));
        assert_eq!(note.gone, gone.len() as u64);
        let listed = index(&store, &day.to_string(), "Articles").gone;
        let listed = listed.iter().map(|part| store.files()[&layout::in_run(&day.to_string(), &part.file.key)].clone());
        let listed: Vec<String> = listed
            .flat_map(|bytes| String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(listed, gone);
    }
    // Nothing changed: nothing is written but the roll.
    let source = &states[3];
    let same = write(&store, source, &on("4", "3", DataFormat::Parquet)).await.unwrap();
    let note = same.collection("Articles").unwrap();
    assert_eq!((note.parts, note.gone, note.written.unwrap().objects), (0, 0, 0));
    assert_eq!(note.contents, manifest(&store, "3").collection("Articles").unwrap().contents);
    assert!(sound(&store, "4").await.is_sound());
}

#[tokio::test]
async fn collections_and_tenants_that_come_and_go() {
    let (store, source) = (MemoryStore::default(), cluster(30));
    let mut first = order("one", DataFormat::Parquet);
    first.collections = vec!["Articles".to_owned()];
    write(&store, &source, &first).await.unwrap();
    // `Notes` was not in the base: all of it is written.
    let second = write(&store, &source, &on("two", "one", DataFormat::Parquet)).await.unwrap();
    let notes = second.collection("Notes").unwrap();
    assert_eq!(notes.written, Some(notes.contents));
    // A tenant goes, and one comes.
    let mut class = source.get("Notes").unwrap();
    class.tenants.remove("cold");
    class.objects.remove("cold");
    class.tenants.insert("new".to_owned(), "HOT".to_owned());
    class.objects.insert("new".to_owned(), class.objects["warm"].clone());
    source.set("Notes", class.clone());
    let third = write(&store, &source, &on("three", "two", DataFormat::Parquet)).await.unwrap();
    assert_eq!(third.collection("Notes").unwrap().contents.objects, 30);
    for run in ["two", "three"] {
        assert_eq!(sound(&store, run).await.faults, vec![]);
    }
    let order = elysia_engine::backup::restore::Order {
        run: "three".to_owned(),
        ..restore_order("Notes", "Copy", Conflict::Fail)
    };
    let target = MemoryCluster::new(5, 1);
    restore(&store, &target, &order).await.unwrap();
    assert_eq!(target.get("Copy").unwrap().objects, class.objects);
}

#[tokio::test]
async fn what_cannot_be_built_on_is_refused_before_anything_is_written() {
    let (store, states) = chain().await;
    let source = &states[3];
    let refused = async |change: &dyn Fn(&mut Order)| {
        let mut order = on("next", "3", DataFormat::Parquet);
        change(&mut order);
        let before = store.files();
        let error = write(&store, source, &order).await.unwrap_err();
        assert_eq!(store.files(), before);
        assert!(matches!(error, WriteError::Base { .. }), "{error}");
        error.to_string()
    };
    for (words, change) in [
        ("no manifest", (&|order: &mut Order| order.base = Some("none".to_owned())) as &dyn Fn(&mut Order)),
        ("no run's id", &|order| order.base = Some("../3".to_owned())),
        ("another filter", &|order| order.filter = Some("count > 1".parse().unwrap())),
        ("another key", &|order| order.key = Some([1; 32].into())),
        ("without objects", &|order| order.mode = elysia_engine::backup::manifest::RunMode::SchemaOnly),
        ("belongs to nightly", &|order| order.owner = owner("other")),
    ] {
        let told = refused(change).await;
        assert!(told.contains(words), "{told}");
    }
    // A chain does not grow for ever.
    let (store, source) = (MemoryStore::default(), cluster(3));
    write(&store, &source, &order("0", DataFormat::JsonlZstd)).await.unwrap();
    for run in 1..=MOST_BASES {
        let order = on(&run.to_string(), &(run - 1).to_string(), DataFormat::JsonlZstd);
        write(&store, &source, &order).await.unwrap();
    }
    let last = MOST_BASES.to_string();
    assert!(sound(&store, &last).await.is_sound());
    let error = write(&store, &source, &on("beyond", &last, DataFormat::JsonlZstd)).await.unwrap_err();
    assert!(error.to_string().contains("builds on 30 others already"), "{error}");
}

#[tokio::test]
async fn faults_of_a_chain_have_their_words() {
    let (whole, _) = chain().await;
    let files = whole.files();
    let key = |run: &str, name: &str| layout::in_run(run, name);
    let own = index(&whole, "3", "Articles");
    let base = index(&whole, "0", "Articles");
    let flip = |key: &str| {
        let mut bytes = files[key].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let roll = key("3", &own.roll[0].file.key);
    let gone = key("3", &own.gone[0].file.key);
    let part = key("0", &base.parts[0].file.key);
    let manifest = key("1", layout::MANIFEST);
    let mut other: Manifest = serde_json::from_slice(&files[&manifest]).unwrap();
    other.tool = "another".to_owned();
    for (file, bytes, word) in [
        (&roll, flip(&roll), "changed"),
        (&roll, None, "missing"),
        (&gone, flip(&gone), "changed"),
        (&gone, None, "missing"),
        (&part, flip(&part), "changed"),
        (&part, None, "missing"),
        (&manifest, None, "baseMissing"),
        (&manifest, Some(serde_json::to_vec(&other).unwrap()), "baseChanged"),
    ] {
        whole.tamper(file, bytes);
        assert_eq!(words(&whole, "3").await, [word], "{file}");
        // A restore of it does not begin.
        let target = cluster(0);
        let order = elysia_engine::backup::restore::Order {
            run: "3".to_owned(),
            ..restore_order("Articles", "Copy", Conflict::Fail)
        };
        let error = restore(&whole, &target, &order).await.unwrap_err();
        let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
        assert!(blockers.iter().all(|it| matches!(it, Blocker::Damaged { .. })), "{blockers:?}");
        assert!(target.get("Copy").is_none());
        whole.tamper(file, Some(files[file].to_vec()));
        assert_eq!(words(&whole, "3").await, [""; 0], "{file}");
    }
}

/// Writes a file of the newest run's roll anew, with every hash right: only the parts can tell.
#[tokio::test]
async fn a_roll_that_names_what_no_part_holds_is_found() {
    for (word, change) in [
        // Another holder; another object's digest; a place that no base has.
        ("roll", (&|bytes: &mut Vec<u8>| bytes[48] = (bytes[48] + 1) % 4) as &dyn Fn(&mut Vec<u8>)),
        ("objects", &|bytes: &mut Vec<u8>| bytes[16] ^= 1),
        ("order", &|bytes: &mut Vec<u8>| bytes[48] = 9),
        ("undecodable", &|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1)),
    ] {
        let (store, _) = chain().await;
        let mut own = index(&store, "3", "Articles");
        let name = own.roll[0].file.key.clone();
        let mut bytes = store.files()[&layout::in_run("3", &name)].to_vec();
        change(&mut bytes);
        own.roll[0].file.bytes = bytes.len() as u64;
        own.roll[0].file.sha256 = Digest::of(&bytes);
        store.tamper(&layout::in_run("3", &name), Some(bytes));
        super::faults::put_index_of(&store, "3", "Articles", &own);
        let found = verify(&store, "3", Depth::Objects, &|_| {}).await.unwrap().faults;
        assert_eq!(words(&store, "3").await, [word], "{found:?}");
        assert!(found.iter().all(|fault| !matches!(fault, Fault::Changed { .. })));
    }
}

#[tokio::test]
async fn an_incremental_run_killed_at_any_effect_is_whole_or_none_and_the_base_stays() {
    let (mut whole, mut none) = (0, 0);
    for effects in 0.. {
        let (store, source) = (MemoryStore::default(), cluster(40));
        write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
        live(&source, 1);
        let (wanted, fuse) = (source.get("Articles").unwrap().objects[""].len() as u64, Fuse::after(effects));
        let next = on("two", "one", DataFormat::Parquet);
        let done = write(&store.with_fuse(fuse.clone()), &source.with_fuse(fuse), &next).await;
        let findings = sound(&store, "two").await;
        match findings.faults.as_slice() {
            [] => {
                whole += 1;
                assert_eq!(manifest(&store, "two").collection("Articles").unwrap().contents.objects, wanted);
            }
            [Fault::NoManifest { .. }] => none += 1,
            faults => panic!("killed after {effects} effects: {faults:?}"),
        }
        assert!(sound(&store, "one").await.is_sound());
        // The next one goes its way, on the base that there is.
        write(&store, &source, &on("three", "one", DataFormat::Parquet)).await.unwrap();
        assert_eq!(sound(&store, "three").await.faults, vec![]);
        if done.is_ok() {
            break;
        }
    }
    assert!(whole >= 1 && none >= 12, "{whole} whole, {none} none");
}

#[tokio::test]
async fn a_restore_of_a_chain_killed_at_any_effect_is_resumed_to_the_same_end() {
    let (store, states) = chain().await;
    let wanted = states[3].get("Notes").unwrap();
    for conflict in [Conflict::Fail, Conflict::Overwrite] {
        let order =
            elysia_engine::backup::restore::Order { run: "3".to_owned(), ..restore_order("Notes", "Copy", conflict) };
        for effects in 0.. {
            store.tamper(&order.receipt, None);
            let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
            let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
            let receipt = restore(&store, &target, &order).await.unwrap_or_else(|error| panic!("{effects}: {error}"));
            assert_eq!(receipt.state, State::Done);
            let found = target.get("Copy").unwrap();
            assert_eq!(found.objects, wanted.objects, "{conflict:?}, killed after {effects} effects");
            assert_eq!(found.tenants, wanted.tenants, "{conflict:?}, killed after {effects} effects");
            if first.is_ok() {
                break;
            }
        }
    }
}
