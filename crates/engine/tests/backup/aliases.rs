//! Aliases of a restored collection: made behind its last object, and never taken from where they lead.

use std::collections::BTreeMap;

use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{AliasState, Blocker, Conflict, Order, RestoreError, State};
use elysia_engine::memory::Fuse;
use serde_json::{Value, json};

use super::world::{class, cluster, order, restore, restore_order, write};

async fn backed_up() -> MemoryStore {
    let (store, source) = (MemoryStore::default(), cluster(30));
    source.set_alias("Live", "Articles");
    source.set_alias("Papers", "Articles");
    source.set_alias("Other", "Notes");
    write(&store, &source, &order("one", DataFormat::JsonlZstd)).await.unwrap();
    store
}

fn named(aliases: &[(&str, &str)]) -> BTreeMap<String, String> {
    aliases.iter().map(|(alias, class)| ((*alias).to_owned(), (*class).to_owned())).collect()
}

fn empty() -> MemoryCluster {
    MemoryCluster::new(7, 3)
}

#[tokio::test]
async fn those_that_led_to_it_lead_to_it_again() {
    let store = backed_up().await;
    for (into, aliases, wanted) in [
        ("Articles", true, named(&[("Live", "Articles"), ("Papers", "Articles")])),
        ("Copy", true, named(&[("Live", "Copy"), ("Papers", "Copy")])),
        // What led to it bears its name now.
        ("Live", true, named(&[("Papers", "Live")])),
        ("Articles", false, named(&[])),
    ] {
        store.tamper("restores/r.json", None);
        let target = empty();
        let order = Order { aliases, ..restore_order("Articles", into, Conflict::Fail) };
        let receipt = restore(&store, &target, &order).await.unwrap();
        assert_eq!(target.aliases(), wanted, "{into}");
        let state = if aliases { AliasState::Leads } else { AliasState::Skipped };
        let told = ["Live", "Papers"].map(|alias| (alias.to_owned(), state.clone()));
        assert_eq!(receipt.aliases, told.into(), "{into}");
    }
}

#[tokio::test]
async fn what_others_look_at_stays_and_is_told_before_the_first_write() {
    let store = backed_up().await;
    let target = empty();
    target.set("Newer", MemoryClass { schema: class("Newer", false), ..MemoryClass::default() });
    target.set_alias("Live", "Newer");
    let order = restore_order("Articles", "Articles", Conflict::Fail);
    // Cut off behind its receipt.
    let fuse = Fuse::after(3);
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
    let told: Value = serde_json::from_slice(&store.files()["restores/r.json"]).unwrap();
    let wanted = json!({"Live": {"state": "elsewhere", "collection": "Newer"}, "Papers": {"state": "absent"}});
    assert_eq!(told["aliases"], wanted);

    let receipt = restore(&store, &target, &order).await.unwrap();
    assert_eq!(target.aliases(), named(&[("Live", "Newer"), ("Papers", "Articles")]));
    let elsewhere = AliasState::Elsewhere { collection: "Newer".to_owned() };
    assert_eq!(receipt.aliases["Live"], elsewhere);
    assert_eq!(elsewhere.why_not().as_deref(), Some("it leads to Newer, and stays so"));
}

#[tokio::test]
async fn servers_without_aliases_get_the_objects() {
    let store = backed_up().await;
    let target = empty().with_version("1.31.5");
    let receipt = restore(&store, &target, &restore_order("Articles", "Articles", Conflict::Fail)).await.unwrap();
    assert_eq!((receipt.counts.written, target.aliases().len()), (30, 0));
    let why = receipt.aliases["Live"].why_not().unwrap();
    assert_eq!(why, "servers of version 1.31.5 have no aliases");
}

#[tokio::test]
async fn a_collection_of_its_name_blocks_it_until_objects_are_written() {
    let store = backed_up().await;
    let order = restore_order("Articles", "Articles", Conflict::Fail);
    let other = || MemoryClass { schema: class("Live", false), ..MemoryClass::default() };
    let target = empty();
    target.set("Live", other());
    let error = restore(&store, &target, &order).await.unwrap_err();
    let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
    assert_eq!(blockers, [Blocker::AliasTaken { alias: "Live".to_owned() }]);
    assert!(target.get("Articles").is_none() && !store.files().contains_key("restores/r.json"));
    let without = Order { aliases: false, ..order.clone() };
    assert_eq!(restore(&store, &target, &without).await.unwrap().counts.written, 30);

    // It came while objects were written: nothing is lost by going on, and what could not be made is told.
    store.tamper("restores/r.json", None);
    let (target, fuse) = (empty(), Fuse::after(20));
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
    assert!(!target.get("Articles").unwrap().objects.is_empty());
    target.set("Live", other());
    let receipt = restore(&store, &target, &order).await.unwrap();
    assert_eq!((receipt.state, &receipt.aliases["Live"]), (State::Done, &AliasState::Taken));
    assert_eq!(target.aliases(), named(&[("Papers", "Articles")]));
}

#[tokio::test]
async fn killed_anywhere_they_are_made_behind_the_last_object() {
    let store = backed_up().await;
    let order = restore_order("Articles", "Articles", Conflict::Fail);
    for effects in 0.. {
        store.tamper("restores/r.json", None);
        let (target, fuse) = (empty(), Fuse::after(effects));
        let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
        let objects = target.get("Articles").and_then(|class| class.objects.get("").map(BTreeMap::len)).unwrap_or(0);
        assert!(target.aliases().is_empty() || objects == 30, "{objects} objects after {effects} effects");
        let receipt = restore(&store, &target, &order).await.unwrap();
        assert_eq!((receipt.state, target.aliases().len()), (State::Done, 2), "killed after {effects} effects");
        assert!(receipt.aliases.values().all(|state| *state == AliasState::Leads));
        // Never twice: what a person took away stays away.
        target.set_alias("Live", "Elsewhere");
        assert_eq!(restore(&store, &target, &order).await.unwrap(), receipt);
        assert_eq!(target.aliases()["Live"], "Elsewhere");
        if first.is_ok() {
            break;
        }
    }
}
