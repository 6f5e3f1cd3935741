//! Killed at any effect: either a whole run or none; a restore that is begun again ends as one that was never cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use elysia_engine::backup::catalogue::{State, list};
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{self as restoring, Conflict, State as Restored};
use elysia_engine::backup::transform::Step;
use elysia_engine::backup::write::{Order, Woken, put_back, woken};
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::object::{Object, Vector};
use elysia_engine::retry::{Retry, Stop};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{class, cluster, object, objects, order, owner, restore, restore_order, sound, write};
use crate::random::Random;

/// Without any patience.
const ONCE: Retry = Retry { attempts: 1, base: Duration::ZERO, cap: Duration::ZERO, outage: Duration::ZERO };

#[tokio::test]
async fn a_backup_killed_at_any_effect_is_a_whole_run_or_none() {
    let (clock, stop) = (FixedClock::default(), Stop::default());
    let once = (ONCE, &clock, &stop);
    for data in [DataFormat::Parquet, DataFormat::JsonlZstd] {
        let (mut whole, mut none) = (0, 0);
        for effects in 0.. {
            let (store, fuse) = (MemoryStore::default(), Fuse::after(effects));
            let source = cluster(60);
            // Waking a tenant is an effect as well, by the same worker.
            let done = write(&store.with_fuse(fuse.clone()), &source.with_fuse(fuse), &order("one", data)).await;
            let runs = list(&store).await.unwrap();
            match runs.first().map(|entry| &entry.state) {
                Some(State::Run { manifest, .. }) => {
                    whole += 1;
                    assert_eq!(manifest.objects(), 60 + 20 + 30, "killed after {effects} effects");
                    assert_eq!(sound(&store, "one").await.faults, vec![], "killed after {effects} effects");
                }
                None | Some(State::Unfinished(_)) => none += 1,
                Some(State::Unreadable(error)) => panic!("killed after {effects} effects: {error}"),
            }
            // The next run puts back to rest what was left awake, and goes its way.
            for left in woken(&store, &owner("nightly"), once).await.unwrap() {
                put_back(&store, &source, &left, once).await.unwrap();
            }
            let was = cluster(60).get("Notes").unwrap().tenants;
            assert_eq!(source.get("Notes").unwrap().tenants, was, "killed after {effects} effects");
            let next = write(&store, &source, &order("two", data)).await.unwrap();
            assert_eq!(next.objects(), 110);
            assert!(sound(&store, "two").await.is_sound());
            assert_eq!(source.get("Notes").unwrap().tenants, was, "killed after {effects} effects");
            assert!(!store.files().keys().any(|key| key.starts_with("woken/")), "killed after {effects} effects");
            if done.is_ok() {
                break;
            }
        }
        assert!(whole >= 1 && none >= 8, "{whole} whole, {none} none");
    }
}

#[tokio::test]
async fn what_was_left_awake_for_long_or_by_others_stays_so() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    let (clock, stop) = (FixedClock::default(), Stop::default());
    let once = (ONCE, &clock, &stop);
    // Until it is found awake.
    for effects in 0.. {
        if source.get("Notes").unwrap().tenants["cold"] == "HOT" {
            break;
        }
        store.files().into_keys().for_each(|key| store.tamper(&key, None));
        let fuse = Fuse::after(effects);
        write(&store.with_fuse(fuse.clone()), &source.with_fuse(fuse), &order("one", DataFormat::Parquet))
            .await
            .unwrap_err();
    }
    assert_eq!(woken(&store, &owner("other"), once).await.unwrap(), [], "a stranger's business");
    let found = woken(&store, &owner("nightly"), once).await.unwrap();
    let [left] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((left.run.as_str(), left.collection.as_str(), left.tenant.as_str()), ("one", "Notes", "cold"));
    let week = Woken { at: left.at - SignedDuration::from_hours(24 * 8), ..left.clone() };
    assert!(!put_back(&store, &source, &week, once).await.unwrap());
    assert_eq!(source.get("Notes").unwrap().tenants["cold"], "HOT");
    assert_eq!(woken(&store, &owner("nightly"), once).await.unwrap(), [], "and is forgotten");
    assert!(put_back(&store, &source, left, once).await.unwrap());
    assert_eq!(source.get("Notes").unwrap().tenants["cold"], "COLD");
    assert!(!put_back(&store, &source, left, once).await.unwrap(), "it is at rest");
}

#[tokio::test]
async fn a_restore_killed_at_any_effect_is_resumed_to_the_same_end() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let conflicts = [Conflict::Fail, Conflict::Skip, Conflict::Overwrite, Conflict::Merge];
    // Also where only one address is known of the cluster.
    let cases = ["Articles", "Notes"].into_iter().flat_map(|name| conflicts.map(|it| (name, it)));
    for ((name, conflict), is_partly_known) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let wanted = source.get(name).unwrap();
        let order = restore_order(name, "Copy", conflict);
        for effects in 0.. {
            store.tamper(&order.receipt, None);
            let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
            let target = if is_partly_known { target.partly_known() } else { target };
            let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
            let receipt = restore(&store, &target, &order).await.unwrap();
            assert_eq!(receipt.state, Restored::Done);
            let found = target.get("Copy").unwrap();
            assert_eq!(found.objects, wanted.objects, "{conflict:?}, killed after {effects} effects");
            assert_eq!(found.tenants, wanted.tenants, "{conflict:?}, killed after {effects} effects");
            // Never twice.
            target.set("Copy", MemoryClass::default());
            assert_eq!(restore(&store, &target, &order).await.unwrap(), receipt);
            assert!(target.get("Copy").unwrap().objects.is_empty());
            if first.is_ok() {
                break;
            }
        }
    }
}

/// A part is as large as one of these objects.
fn large(number: u32) -> Object {
    let mut random = Random::of(number.into());
    #[expect(clippy::cast_possible_truncation, reason = "any bits do, but those of what is no number")]
    let vector = (0..4_500_000).map(|_| f32::from_bits(random.next() as u32 & !(1 << 30))).collect();
    Object { vectors: [("title".to_owned(), Vector::Single(vector))].into(), ..object(number) }
}

#[tokio::test]
async fn a_restore_killed_between_parts_of_one_stretch_goes_on_with_those_that_are_left() {
    let (store, source) = (MemoryStore::default(), MemoryCluster::new(1, 1));
    let objects: BTreeMap<_, _> = (0..3).map(large).map(|object| (object.id, object)).collect();
    let schema = class("Articles", false);
    source
        .set("Articles", MemoryClass { schema, objects: [(String::new(), objects)].into(), ..MemoryClass::default() });
    let run = Order { collections: vec!["Articles".to_owned()], ..order("one", DataFormat::Parquet) };
    assert_eq!(write(&store, &source, &run).await.unwrap().collections[0].parts, 3);
    let order = restore_order("Articles", "Copy", Conflict::Fail);
    // Receipt, class, receipt, and for each part an object and the receipt: two are noted, and the third is not.
    let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(7));
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
    let receipt: Value = serde_json::from_slice(&store.files()[&order.receipt]).unwrap();
    assert_eq!(receipt["done"].as_array().unwrap().len(), 1, "{receipt}");
    assert_eq!(receipt["done"][0]["parts"], 2, "{receipt}");
    assert_eq!(restore(&store, &target, &order).await.unwrap().counts.written, 3);
    assert_eq!(target.get("Copy").unwrap().objects, source.get("Articles").unwrap().objects);
}

#[tokio::test]
async fn a_restore_whose_collection_is_gone_begins_again() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let order = restore_order("Notes", "Copy", Conflict::Fail);
    let (first, fuse) = (MemoryCluster::new(5, 1), Fuse::after(25));
    restore(&store.with_fuse(fuse.clone()), &first.with_fuse(fuse), &order).await.unwrap_err();
    let receipt = String::from_utf8(store.files()[&order.receipt].to_vec()).unwrap();
    assert!(receipt.contains("part-"), "{receipt}");

    let rebuilt = MemoryCluster::new(5, 1);
    let receipt = restore(&store, &rebuilt, &order).await.unwrap();
    assert_eq!(receipt.counts.written, 33);
    assert_eq!(rebuilt.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);
}

#[tokio::test]
async fn a_class_that_was_made_again_is_not_taken_for_the_one_that_was_written() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let order = restore_order("Notes", "Copy", Conflict::Fail);
    let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(25));
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
    let receipt = String::from_utf8(store.files()[&order.receipt].to_vec()).unwrap();
    assert!(receipt.contains("part-"), "{receipt}");
    let made = target.get("Copy").unwrap();

    // Empty: all of it is written.
    target.set("Copy", MemoryClass { objects: [].into(), ..made.clone() });
    assert_eq!(restore(&store, &target, &order).await.unwrap().counts.written, 33);
    assert_eq!(target.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);

    // With objects of somebody else: they are not the restore's own.
    store.tamper(&order.receipt, Some(receipt.clone().into_bytes()));
    let strange = [("warm".to_owned(), objects(100..101)), ("cold".to_owned(), objects(100..101))];
    target.set("Copy", MemoryClass { objects: strange.into(), ..made.clone() });
    let error = restore(&store, &target, &order).await.unwrap_err().to_string();
    assert!(error.contains("Copy has objects already"), "{error}");

    // One was deleted meanwhile: it is written again, and the others stand in nobody's way.
    store.tamper(&order.receipt, Some(receipt.into_bytes()));
    let mut lacking = made;
    let all = lacking.objects.values_mut().max_by_key(|objects| objects.len()).unwrap();
    all.pop_first();
    target.set("Copy", lacking);
    restore(&store, &target, &order).await.unwrap();
    assert_eq!(target.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);
}

/// The class is deleted and made again while a restore into it is cut off, and somebody else fills it.
#[tokio::test]
async fn what_others_wrote_into_a_class_that_was_made_again_is_not_written_over() {
    let store = MemoryStore::default();
    write(&store, &cluster(40), &order("one", DataFormat::Parquet)).await.unwrap();
    for name in ["Articles", "Notes"] {
        let order = restore_order(name, "Copy", Conflict::Fail);
        store.tamper(&order.receipt, None);
        // Killed within the first part: receipt, class, tenants, receipt, and some objects.
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(8));
        restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
        let noted = String::from_utf8(store.files()[&order.receipt].to_vec()).unwrap();
        assert!(noted.contains("\"hasWritten\": true") && !noted.contains("part-"), "{noted}");
        let made = target.get("Copy").unwrap();
        // A feed knows the same ids, and newer texts.
        let newer = |(id, mut object): (uuid::Uuid, elysia_engine::object::Object)| {
            object.properties.insert("title".to_owned(), "newer".into());
            (id, object)
        };
        let live = || objects(0..30).into_iter().map(newer).collect();
        let tenant = if name == "Notes" { "warm" } else { "" };
        let live = MemoryClass { objects: [(tenant.to_owned(), live())].into(), number: 99, ..made };
        target.set("Copy", live.clone());
        let error = restore(&store, &target, &order).await.unwrap_err().to_string();
        assert!(error.contains("Copy has objects already"), "{name}: {error}");
        let found = target.get("Copy").unwrap().objects;
        assert_eq!(found[tenant], live.objects[tenant], "{name}");
        // Tenants tell no class from another: what is free there is written until that is found.
        assert!(name == "Notes" || found == live.objects, "{name}");
    }
}

/// The same where the first objects of the parts that are done may not be there: they are no proof of anything.
#[tokio::test]
async fn parts_are_not_taken_for_done_in_a_class_that_was_made_again() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    // In an incremental run nearly everything is in its base.
    let second = Order { base: Some("one".to_owned()), ..order("two", DataFormat::Parquet) };
    write(&store, &source, &second).await.unwrap();
    let dropped = vec![Step::Drop { property: "none".to_owned() }];
    for (name, run, transform) in [
        ("Articles", "two", vec![]),
        ("Notes", "two", vec![]),
        ("Articles", "one", dropped.clone()),
        ("Notes", "one", dropped),
    ] {
        for conflict in [Conflict::Fail, Conflict::Skip] {
            let mut order = restore_order(name, "Copy", conflict);
            (order.run, order.transform) = (run.to_owned(), transform.clone());
            let what = format!("{name} of {run} with {} steps, {conflict:?}", transform.len());
            // Every part is done; killed before it could say that it is over.
            let mut effects = 0;
            let (target, made) = loop {
                store.tamper(&order.receipt, None);
                let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
                let ended = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
                assert!(ended.is_err(), "{what}: every part was done, and it was not");
                if let Some(made) = target.get("Copy")
                    && made.objects.values().map(std::collections::BTreeMap::len).sum::<usize>() == whole(&source, name)
                    && String::from_utf8(store.files()[&order.receipt].to_vec()).unwrap().contains("part-")
                {
                    break (target, made);
                }
                effects += 1;
            };
            // As it is it goes on.
            let kept = store.files()[&order.receipt].clone();
            let begun = restore(&store, &target, &order).await.unwrap();
            assert_eq!(
                begun.counts.written + begun.counts.skipped,
                u64::try_from(whole(&source, name)).unwrap(),
                "{what}"
            );
            // Made again, with one object of somebody else.
            store.tamper(&order.receipt, Some(kept.to_vec()));
            let tenant = if name == "Notes" { "warm" } else { "" };
            let other = [(tenant.to_owned(), objects(100..101))].into();
            target.set("Copy", MemoryClass { objects: other, number: 99, ..made });
            let again = restore(&store, &target, &order).await;
            if conflict == Conflict::Fail {
                let error = again.unwrap_err().to_string();
                assert!(error.contains("Copy has objects already"), "{what}: {error}");
            } else {
                again.unwrap();
                let found = target.get("Copy").unwrap();
                let found: usize = found.objects.values().map(std::collections::BTreeMap::len).sum();
                assert_eq!(found, whole(&source, name) + 1, "{what}");
            }
        }
    }
}

fn whole(cluster: &MemoryCluster, name: &str) -> usize {
    cluster.get(name).unwrap().objects.values().map(std::collections::BTreeMap::len).sum()
}

#[tokio::test]
async fn a_restore_that_wrote_nothing_yet_takes_nothing_for_its_own() {
    let store = MemoryStore::default();
    write(&store, &cluster(40), &order("one", DataFormat::Parquet)).await.unwrap();
    let order = restore_order("Articles", "Copy", Conflict::Fail);
    let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(1));
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
    assert!(store.files().contains_key(&order.receipt));
    let strange = MemoryClass {
        schema: class("Copy", false),
        objects: [(String::new(), objects(100..101))].into(),
        ..MemoryClass::default()
    };
    target.set("Copy", strange.clone());
    let error = restore(&store, &target, &order).await.unwrap_err().to_string();
    assert!(error.contains("Copy has objects already"), "{error}");
    assert_eq!(target.get("Copy").unwrap().objects, strange.objects);
    // And nothing is overwritten that nobody knew of when they agreed.
    let mut order = restore_order("Articles", "Copy", Conflict::Overwrite);
    (order.must_be_empty, order.receipt) = (true, "restores/other.json".to_owned());
    let error = restore(&store, &target, &order).await.unwrap_err().to_string();
    assert!(error.contains("Copy has objects already"), "{error}");
    order.must_be_empty = false;
    restore(&store, &target, &order).await.unwrap();
}

/// An object is lost after parts were noted, and the restore that begins again for that is cut off as well, at any effect.
#[tokio::test]
async fn a_restore_that_began_again_does_not_take_what_it_did_before_for_done() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    for (name, tenant) in [("Articles", ""), ("Notes", "cold")] {
        let order = restore_order(name, "Copy", Conflict::Fail);
        let (receipt, mut lacking) = cut_off(&store, &order).await;
        // The beginning of the first part is gone.
        let lost: Vec<_> = lacking.objects[tenant].keys().take(5).copied().collect();
        lacking.objects.get_mut(tenant).unwrap().retain(|id, _| !lost.contains(id));
        for effects in 0.. {
            store.tamper(&order.receipt, Some(receipt.clone()));
            let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
            target.set("Copy", lacking.clone());
            let second = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
            restore(&store, &target, &order).await.unwrap();
            let (found, wanted) = (target.get("Copy").unwrap(), source.get(name).unwrap());
            assert_eq!(found.objects, wanted.objects, "{name}, killed after {effects} effects");
            if second.is_ok() {
                break;
            }
        }
    }
}

/// A restore that noted two parts and was cut off: its receipt, and what is there.
async fn cut_off(store: &MemoryStore, order: &restoring::Order) -> (Vec<u8>, MemoryClass) {
    for effects in 0.. {
        store.tamper(&order.receipt, None);
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
        restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), order).await.unwrap_err();
        let Some(receipt) = store.files().get(&order.receipt).map(|receipt| receipt.to_vec()) else { continue };
        let done: Value = serde_json::from_slice(&receipt).unwrap();
        if done["done"].as_array().is_some_and(|parts| parts.len() >= 2) {
            return (receipt, target.get("Copy").unwrap());
        }
    }
    unreachable!("it is over before it noted two parts")
}

/// Nobody knows whether the first attempt made the class, and meanwhile somebody else did.
#[tokio::test]
async fn a_class_that_another_made_between_two_attempts_is_not_taken_for_ones_own() {
    let store = MemoryStore::default();
    write(&store, &cluster(40), &order("one", DataFormat::Parquet)).await.unwrap();
    let live = |name: &str, tenant: &str| MemoryClass {
        schema: class("Copy", name == "Notes"),
        tenants: if name == "Notes" { [(tenant.to_owned(), "HOT".to_owned())].into() } else { BTreeMap::new() },
        objects: [(tenant.to_owned(), objects(0..1))].into(),
        ..MemoryClass::default()
    };
    for (name, tenant) in [("Articles", ""), ("Notes", "warm")] {
        let order = restoring::Order {
            retry: Retry { attempts: 3, ..Retry::default() },
            ..restore_order(name, "Copy", Conflict::Fail)
        };
        store.tamper(&order.receipt, None);
        let filled = MemoryCluster::new(5, 1).preempting(live(name, tenant));
        let error = restore(&store, &filled, &order).await.unwrap_err().to_string();
        assert!(error.contains("nothing was written") && error.contains("Copy has objects already"), "{name}: {error}");
        assert_eq!(filled.get("Copy").unwrap().objects, live(name, tenant).objects, "{name}");
        // With a schema of its own: a writer's first object makes text of everything.
        store.tamper(&order.receipt, None);
        let mut other = MemoryClass { objects: BTreeMap::new(), ..live(name, tenant) };
        other.schema["properties"][1]["dataType"] = json!(["text"]);
        let other = MemoryCluster::new(5, 1).preempting(other);
        let error = restore(&store, &other, &order).await.unwrap_err().to_string();
        assert!(error.contains("count"), "{name}: {error}");
        // Its own, of which the answer was lost.
        store.tamper(&order.receipt, None);
        let own = MemoryCluster::new(5, 1).preempting(MemoryClass { objects: BTreeMap::new(), ..live(name, tenant) });
        restore(&store, &own, &order).await.unwrap();
    }
}
