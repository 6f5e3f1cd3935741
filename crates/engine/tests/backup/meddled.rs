//! What others do to a store while a run is written, and answers that are lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Manifest};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::backup::restore::{self as restoring, Conflict};
use elysia_engine::backup::retire::remove_run;
use elysia_engine::backup::write::{Order, Progress, WriteError};
use elysia_engine::category::Category;
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::ports::PortError;
use elysia_engine::retry::Retry;

use super::world::{cluster, order, owner, restore, restore_order, restore_with, sound, write, write_with};

/// A store in which something happens behind each file that is put.
struct Meddled<F> {
    store: MemoryStore,
    after: F,
}

impl<F: Fn(&MemoryStore, &str) -> Result<(), PortError> + Sync> Store for Meddled<F> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        let put = self.store.put(key, bytes, mode).await?;
        (self.after)(&self.store, key).map(|()| put)
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.store.get(key, most).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.store.folders(folder).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        Store::files(&self.store, folder, most).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.store.remove(keys).await
    }
}

async fn write_over<F: Fn(&MemoryStore, &str) -> Result<(), PortError> + Sync>(
    store: &MemoryStore,
    source: MemoryCluster,
    order: Order,
    after: F,
) -> Result<Manifest, WriteError> {
    let store = Meddled { store: store.clone(), after };
    write_with(&store, &source, &order, (&FixedClock::default(), &Progress::default())).await
}

#[tokio::test]
async fn a_run_whose_beginning_was_removed_gets_no_manifest() {
    let store = MemoryStore::default();
    let begun = layout::in_run("one", layout::BEGUN);
    let index = layout::in_run("one", &layout::index("Articles"));
    for other in [None, Some(b"of another".to_vec())] {
        let removed = write_over(&store, cluster(60), order("one", DataFormat::Parquet), |store, key| {
            if key == index {
                store.tamper(&begun, other.clone());
            }
            Ok(())
        });
        let removed = removed.await;
        assert!(matches!(removed, Err(WriteError::Removed(_))), "{removed:?}");
        assert!(!store.files().contains_key(&layout::in_run("one", layout::MANIFEST)));
        store.tamper(&begun, None);
    }
}

#[tokio::test]
async fn a_run_whose_base_was_removed_gets_no_manifest() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let two = Order { base: Some("one".to_owned()), ..order("two", DataFormat::Parquet) };
    let index = layout::in_run("two", &layout::index("Notes"));
    let removed = write_over(&store, source.clone(), two, |store, key| {
        if key == index {
            store.tamper(&layout::in_run("one", layout::MANIFEST), None);
        }
        Ok(())
    });
    let removed = removed.await;
    assert!(matches!(removed, Err(WriteError::BaseRemoved(_))), "{removed:?}");
    assert!(!store.files().contains_key(&layout::in_run("two", layout::MANIFEST)));
    // What is left says whose it is, and can be removed.
    remove_run(&store, "two", &owner("nightly")).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_ends_no_run() {
    for lost in
        [layout::OWNER.to_owned(), layout::in_run("one", layout::BEGUN), layout::in_run("one", layout::MANIFEST)]
    {
        let store = MemoryStore::default();
        let first = std::sync::atomic::AtomicBool::new(true);
        let order = Order { retry: Retry { attempts: 3, ..Retry::default() }, ..order("one", DataFormat::Parquet) };
        let done = write_over(&store, cluster(60), order, |_, key| {
            if key == lost && first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                let message = "the answer was lost".to_owned();
                return Err(PortError { category: Category::Network, retryable: true, message });
            }
            Ok(())
        });
        done.await.unwrap_or_else(|error| panic!("{lost}: {error}"));
        assert!(sound(&store, "one").await.is_sound(), "{lost}");
    }
}

#[tokio::test]
async fn a_prefix_that_another_took_at_the_same_moment_is_theirs() {
    let store = MemoryStore::default();
    let theirs = MemoryStore::default();
    let weekly = Order { owner: owner("weekly"), ..order("w", DataFormat::Parquet) };
    write(&theirs, &cluster(10), &weekly).await.unwrap();
    let marker = theirs.files()[layout::OWNER].to_vec();
    let refused = write_over(&store, cluster(60), order("one", DataFormat::Parquet), |store, key| {
        if key == layout::OWNER {
            store.tamper(key, Some(marker.clone()));
        }
        Ok(())
    });
    let refused = refused.await;
    assert!(matches!(refused, Err(WriteError::NotOwner { .. })), "{refused:?}");
    assert_eq!(store.files().len(), 1);
}

#[tokio::test]
async fn what_a_restore_wrote_into_meanwhile_is_left_out() {
    let (runs, source) = (MemoryStore::default(), cluster(60));
    write(&runs, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    // Cut off behind its receipt and some objects.
    for (target, wanted) in [("search", 1), ("search-2", 2), ("elsewhere", 2)] {
        let mut begins = restore_order("Notes", "Notes", Conflict::Fail);
        begins.target = target.to_owned();
        let (copy, fuse) = (MemoryCluster::new(5, 1), Fuse::after(10));
        let place = MemoryStore::default();
        for (key, bytes) in runs.files() {
            place.tamper(&key, Some(bytes.to_vec()));
        }
        restore(&place.with_fuse(fuse.clone()), &copy.with_fuse(fuse), &begins).await.unwrap_err();
        let receipt = place.files()[&begins.receipt].to_vec();
        let index = layout::in_run("two", &layout::index("Articles"));
        let two = Order { owner: owner("nightly"), ..order("two", DataFormat::Parquet) };
        let done = write_over(&runs, source.clone(), two, |store, key| {
            if key == index {
                store.tamper(&begins.receipt, Some(receipt.clone()));
            }
            Ok(())
        });
        assert_eq!(done.await.unwrap().collections.len(), wanted, "{target}");
        runs.tamper(&begins.receipt, None);
        remove_run(&runs, "two", &owner("nightly")).await.unwrap();
    }
}

/// While a restore waits for its next part the class is deleted, and somebody makes one of its name.
#[tokio::test]
async fn a_class_that_is_replaced_under_a_restore_is_not_told_as_restored() {
    let store = MemoryStore::default();
    let source = cluster(60);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    for is_made_again in [true, false] {
        let order = restore_order("Articles", "Copy", Conflict::Fail);
        store.tamper(&order.receipt, None);
        let target = MemoryCluster::new(5, 1);
        let collection = target.collection(&order.into);
        let is_first = AtomicBool::new(true);
        let after = |store: &MemoryStore, key: &str| {
            let has_parts = key == order.receipt && String::from_utf8_lossy(&store.files()[key]).contains("part-");
            if has_parts && is_first.swap(false, Ordering::Relaxed) {
                let made = target.get("Copy").unwrap();
                target.delete("Copy")?;
                if is_made_again {
                    target.set("Copy", MemoryClass { objects: BTreeMap::new(), number: 99, ..made });
                }
            }
            Ok(())
        };
        let meddled = Meddled { store: store.clone(), after };
        let unseen = (&FixedClock::default(), &restoring::Progress::default());
        let error = restore_with(&meddled, &collection, &order, unseen).await.unwrap_err().to_string();
        let words = if is_made_again { "made again" } else { "no class" };
        assert!(error.contains(words), "{error}");
        if is_made_again {
            // What is there now may be anybody's.
            let error = restore_with(&meddled, &collection, &order, unseen).await.unwrap_err().to_string();
            assert!(error.contains("Copy has objects already"), "{error}");
            target.delete("Copy").unwrap();
        }
        let done = restore_with(&meddled, &collection, &order, unseen).await.unwrap();
        assert_eq!(done.counts.written, 60);
        assert_eq!(target.get("Copy").unwrap().objects, source.get("Articles").unwrap().objects);
    }
}
