//! Runs that are taken away: by their owner, whole, and after any crash.

use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::retire::{RetireError, remove_run, remove_runs};
use elysia_engine::backup::write::Order;
use elysia_engine::memory::Fuse;

use super::world::{cluster, order, owner, sound, write};

async fn two_runs() -> MemoryStore {
    let store = MemoryStore::default();
    for run in ["one", "two"] {
        write(&store, &cluster(60), &order(run, DataFormat::Parquet)).await.unwrap();
    }
    store
}

fn of_run(store: &MemoryStore, run: &str) -> usize {
    let below = layout::in_run(run, "");
    store.files().keys().filter(|key| key.starts_with(&below)).count()
}

#[tokio::test]
async fn nothing_but_the_run_goes() {
    let store = two_runs().await;
    // A run whose name begins like the one that goes.
    write(&store, &cluster(10), &order("one-2", DataFormat::JsonlZstd)).await.unwrap();
    let files = of_run(&store, "one") as u64;
    assert_eq!(remove_run(&store, "one", &owner("nightly")).await.unwrap(), files);
    assert_eq!(of_run(&store, "one"), 0);
    for run in ["two", "one-2"] {
        assert!(sound(&store, run).await.is_sound(), "{run}");
    }
    assert!(store.files().contains_key(layout::OWNER));
    assert!(matches!(remove_run(&store, "one", &owner("nightly")).await, Err(RetireError::NoRun(_))));
}

#[tokio::test]
async fn what_another_run_builds_on_stays_until_both_go() {
    let store = MemoryStore::default();
    let cluster = cluster(60);
    write(&store, &cluster, &order("one", DataFormat::Parquet)).await.unwrap();
    let two = Order { base: Some("one".to_owned()), ..order("two", DataFormat::Parquet) };
    write(&store, &cluster, &two).await.unwrap();
    let before = store.files();
    let needed = remove_run(&store, "one", &owner("nightly")).await;
    assert!(matches!(needed, Err(RetireError::Needed { .. })), "{needed:?}");
    assert_eq!(store.files(), before);
    let both = ["one".to_owned(), "two".to_owned()];
    let mut told = Vec::new();
    remove_runs(&store, &both, &owner("nightly"), &mut |run, _| told.push(run.to_owned())).await.unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(catalogue::list(&store).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_stranger_removes_nothing() {
    let store = two_runs().await;
    let before = store.files();
    assert!(matches!(remove_run(&store, "one", &owner("weekly")).await, Err(RetireError::NotOwner { .. })));
    for run in ["", "..", "one/..", "one/data"] {
        assert!(matches!(remove_run(&store, run, &owner("nightly")).await, Err(RetireError::NoRunId(_))), "{run}");
    }
    assert_eq!(store.files(), before);
    store.tamper(layout::OWNER, None);
    assert!(matches!(remove_run(&store, "one", &owner("nightly")).await, Err(RetireError::NoOwner)));
    store.tamper(layout::OWNER, Some(b"{".to_vec()));
    assert!(matches!(remove_run(&store, "one", &owner("nightly")).await, Err(RetireError::Stored(_))));
    assert_eq!(store.files().len(), before.len());
}

#[tokio::test]
async fn whenever_it_is_killed_there_is_no_half_run_and_the_next_one_ends_it() {
    let effects = of_run(&two_runs().await, "one") as u64;
    for after in 0..=effects {
        let store = two_runs().await;
        let killed = remove_run(&store.with_fuse(Fuse::after(after)), "one", &owner("nightly")).await;
        assert!(killed.is_err(), "{after}");
        let state = catalogue::look(&store, "one").await.unwrap();
        match after {
            0 => assert!(sound(&store, "one").await.is_sound()),
            // It is no run any more, and says whose it was.
            _ if after < effects => assert!(matches!(state, State::Unfinished(Some(_))), "{after}: {state:?}"),
            _ => assert_eq!(of_run(&store, "one"), 0),
        }
        if after < effects {
            remove_run(&store, "one", &owner("nightly")).await.unwrap();
        }
        assert_eq!(of_run(&store, "one"), 0, "{after}");
        assert!(sound(&store, "two").await.is_sound(), "{after}");
    }
}

#[tokio::test]
async fn nothing_goes_while_a_manifest_cannot_be_read_but_that_run() {
    let store = two_runs().await;
    let whole = store.files();
    // It may build on the other.
    store.tamper(&layout::in_run("two", layout::MANIFEST), Some(b"{".to_vec()));
    let before = store.files();
    let refused = remove_run(&store, "one", &owner("nightly")).await.unwrap_err();
    assert!(matches!(&refused, RetireError::Unreadable { run, .. } if run == "two"), "{refused}");
    assert_eq!(store.files(), before);
    remove_run(&store, "two", &owner("nightly")).await.unwrap();
    remove_run(&store, "one", &owner("nightly")).await.unwrap();
    // A store that does not answer is no store without manifests.
    for (key, bytes) in whole {
        store.tamper(&key, Some(bytes.to_vec()));
    }
    let silent = store.silent_about(&layout::in_run("two", layout::MANIFEST));
    let refused = remove_run(&silent, "one", &owner("nightly")).await;
    assert!(matches!(refused, Err(RetireError::Port(_))), "{refused:?}");
    assert!(sound(&store, "one").await.is_sound());
}

#[tokio::test]
async fn a_note_that_was_not_read_is_not_one_that_is_not_there() {
    let store = two_runs().await;
    let key = layout::in_run("one", layout::VERIFIED);
    let look = async |store: &MemoryStore| catalogue::look(store, "one").await;
    assert!(matches!(look(&store).await, Ok(State::Run { verified: None, doubt: None, .. })));
    store.tamper(&key, Some(b"{".to_vec()));
    assert!(matches!(look(&store).await, Ok(State::Run { verified: None, doubt: Some(_), .. })));
    for silent in [layout::VERIFIED, layout::MANIFEST] {
        let silent = store.silent_about(silent);
        assert!(look(&silent).await.is_err_and(|error| error.retryable));
        assert!(catalogue::list(&silent).await.is_err());
    }
}
