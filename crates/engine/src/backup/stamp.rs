//! Stamps: of which runs the owner's notes for lists are still true.
//!
//! ```text
//! catalogue.json               what lists say of each run, in one file
//! catalogue/RUN/HASH           a stamp: the entry of RUN whose SHA-256 is HASH is what the run's files say
//! ```
//!
//! A list of a thousand runs is three requests with them, whatever the number of parts, and some thousands without. They
//! decide nothing: what has exactly one stamp, and an entry that this stamp names, is listed by that entry; anything else
//! is read. So whatever befalls them costs time alone, as long as one thing holds: **a stamp is gone before what a run's
//! files say changes**, and none is set by somebody who read them before that. Hence whoever changes anything voids the
//! stamps before *and* after it ([`changing`]), and whoever sets one reads the run once more afterwards.
//!
//! Left is who dies after stamping what somebody else changed at that moment, before looking again; and who changes files by
//! hand. Lists say so until the next Job of the policy, which reads every run whatever is stamped.
//!
//! The list of all keys would need none of this, and was measured: it has every part in it, a page holds 1000 keys, and a
//! server that keeps what it knows of an object beside its file takes 30 ms of processor for a page.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;

use super::layout;
use super::ports::{Mode, Store};
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// Stamps that are listed and removed at once, as many as an object store answers in one page.
const PAGE: usize = 1000;

/// The name of a stamp that no entry has: beside another it makes both worthless, where nothing may be removed.
const VOID: &str = "void";

/// Stamps of each run, at most so many of all; none of them is believed that is not alone.
pub async fn all<S: Store>(store: &S, most: usize) -> Result<BTreeMap<String, Vec<String>>, PortError> {
    let mut stamps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in store.files(layout::CATALOGUE, most).await? {
        let below = key.strip_prefix(layout::CATALOGUE).and_then(|key| key.strip_prefix('/'));
        if let Some((run, stamp)) = below.and_then(|key| key.split_once('/')) {
            stamps.entry(run.to_owned()).or_default().push(stamp.to_owned());
        }
    }
    Ok(stamps)
}

/// Sets the stamp of a run. Whoever does that looks afterwards whether the run still says the same, and voids it if not.
pub async fn set<S: Store>(store: &S, run: &str, entry: &Digest) -> Result<(), PortError> {
    store.put(&layout::stamp(run, &entry.to_string()), Bytes::new(), Mode::Overwrite).await.map(drop)
}

/// From now on the run is read by whoever lists.
pub async fn void<S: Store>(store: &S, run: &str) -> Result<(), PortError> {
    loop {
        let stamps = store.files(&layout::stamps(run), PAGE).await?;
        if stamps.is_empty() {
            return Ok(());
        }
        if let Err(error) = store.remove(&stamps).await {
            // Some places are written to and never deleted from.
            let made_worthless = store.put(&layout::stamp(run, VOID), Bytes::new(), Mode::Overwrite).await;
            return made_worthless.map(drop).map_err(|_| error);
        }
    }
}

/// Changes what the files of a run say. A stamp that somebody sets meanwhile, of what they read before, goes as well.
pub async fn changing<S: Store, T, E: From<PortError>>(
    store: &S,
    run: &str,
    change: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    void(store, run).await?;
    let changed = change.await;
    // Also where it failed: nobody knows whether it was done.
    let voided = void(store, run).await;
    let changed = changed?;
    voided?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    const MOST: usize = 10;

    async fn stamped() -> MemoryStore {
        let store = MemoryStore::default();
        for run in ["a", "a-2"] {
            set(&store, run, &Digest::of(run.as_bytes())).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn a_change_voids_the_stamps_of_its_run_before_and_after() {
        let store = stamped().await;
        let change = async {
            assert_eq!(all(&store, MOST).await?.into_keys().collect::<Vec<_>>(), ["a-2"], "before");
            set(&store, "a", &Digest::of(b"read before the change")).await
        };
        changing(&store, "a", change).await.unwrap();
        assert_eq!(all(&store, MOST).await.unwrap().into_keys().collect::<Vec<_>>(), ["a-2"], "and after");
    }

    #[tokio::test]
    async fn what_cannot_be_voided_is_not_changed() {
        let store = stamped().await.read_only();
        let change = async { panic!("it was changed") };
        changing::<_, (), PortError>(&store, "a", change).await.unwrap_err();
    }

    #[tokio::test]
    async fn where_nothing_is_removed_a_second_stamp_makes_the_first_worthless() {
        let store = stamped().await;
        void(&store.append_only(), "a").await.unwrap();
        let stamps = all(&store, MOST).await.unwrap();
        assert_eq!((stamps["a"].len(), stamps["a-2"].len()), (2, 1));
    }
}
