//! Killed at any effect: either a whole run or none; a restore that is begun again ends as one that was never cut off.

use elysia_engine::backup::catalogue::{State, list};
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{Conflict, State as Restored};
use elysia_engine::memory::Fuse;

use super::world::{cluster, order, restore, restore_order, sound, write};

#[tokio::test]
async fn a_backup_killed_at_any_effect_is_a_whole_run_or_none() {
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
            // The next run goes its way.
            let next = write(&store, &cluster(60), &order("two", data)).await.unwrap();
            assert_eq!(next.objects(), 110);
            assert!(sound(&store, "two").await.is_sound());
            if done.is_ok() {
                break;
            }
        }
        assert!(whole >= 1 && none >= 8, "{whole} whole, {none} none");
    }
}

#[tokio::test]
async fn a_restore_killed_at_any_effect_is_resumed_to_the_same_end() {
    let store = MemoryStore::default();
    let source = cluster(40);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let wanted = source.get("Notes").unwrap();
    for conflict in [Conflict::Fail, Conflict::Skip, Conflict::Overwrite, Conflict::Merge] {
        let order = restore_order("Notes", "Copy", conflict);
        for effects in 0.. {
            store.tamper(&order.receipt, None);
            let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
            let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
            let receipt = restore(&store, &target, &order).await.unwrap();
            assert_eq!(receipt.state, Restored::Done);
            let found = target.get("Copy").unwrap();
            assert_eq!(found.objects, wanted.objects, "{conflict:?}, killed after {effects} effects");
            assert_eq!(found.tenants, wanted.tenants, "{conflict:?}, killed after {effects} effects");
            // Never twice.
            target.set("Copy", elysia_engine::backup::memory::MemoryClass::default());
            assert_eq!(restore(&store, &target, &order).await.unwrap(), receipt);
            assert!(target.get("Copy").unwrap().objects.is_empty());
            if first.is_ok() {
                break;
            }
        }
    }
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
