//! Encrypted runs: read with the key, and with no other.

use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Manifest};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{self, Conflict};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::verify::{Depth, Fault, Findings, verify_with};
use elysia_engine::backup::write::Order;
use elysia_engine::checkpoint::Digest;
use elysia_engine::memory::Fuse;

use super::world::{cluster, order, restore, restore_order, words, write};

fn key(byte: u8) -> Key {
    [byte; 32].into()
}

fn sealed(run: &str, data: DataFormat) -> Order {
    Order { key: Some(key(1)), ..order(run, data) }
}

async fn look(store: &MemoryStore, run: &str, key: Option<&Key>) -> Findings {
    verify_with(store, run, key, Depth::Objects, &|_| {}).await.unwrap()
}

fn restored(collection: &str, key: Option<Key>) -> restore::Order {
    restore::Order { key, ..restore_order(collection, "Copy", Conflict::Fail) }
}

#[tokio::test]
async fn it_is_read_with_its_key_and_with_no_other() {
    for data in [DataFormat::Parquet, DataFormat::JsonlGzip] {
        let (store, source) = (MemoryStore::default(), cluster(40));
        write(&store, &source, &sealed("one", data)).await.unwrap();
        let findings = look(&store, "one", Some(&key(1))).await;
        assert_eq!((findings.faults, findings.objects), (vec![], 40 + 13 + 20));
        assert!(matches!(look(&store, "one", None).await.faults[..], [Fault::NoKey { .. }]));
        let wrong = look(&store, "one", Some(&key(2))).await.faults;
        assert!(matches!(wrong[..], [Fault::WrongKey { .. }]), "{wrong:?}");
        assert!(wrong[0].to_string().contains(&key(1).fingerprint()), "{wrong:?}");

        let target = MemoryCluster::new(5, 1);
        let error = restore(&store, &target, &restored("Notes", None)).await.unwrap_err();
        assert!(error.to_string().contains("give that key"), "{error}");
        let error = restore(&store, &target, &restored("Notes", Some(key(2)))).await.unwrap_err();
        assert!(error.to_string().contains("the key that was given is"), "{error}");
        restore(&store, &target, &restored("Notes", Some(key(1)))).await.unwrap();
        assert_eq!(target.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);
    }
}

#[tokio::test]
async fn the_catalogue_is_read_without_it_and_nothing_else_is() {
    let (store, source) = (MemoryStore::default(), cluster(40));
    let mut order = sealed("one", DataFormat::JsonlZstd);
    order.filter = Some("title != 'number 7'".parse().unwrap());
    write(&store, &source, &order).await.unwrap();
    let runs = catalogue::list(&store).await.unwrap();
    let State::Run { manifest, .. } = &runs[0].state else { panic!("{runs:?}") };
    assert_eq!(manifest.encryption, Some(key(1).note()));
    assert_eq!(manifest.collection("Articles").unwrap().contents.objects, 39);
    for (name, bytes) in store.files() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("title") && !text.contains("number"), "{name} can be read");
        assert!(!bytes.windows(8).any(|window| window == [1; 8]), "{name} has the key");
    }
    let again = sealed("two", DataFormat::JsonlZstd);
    let other = write(&store, &source, &again).await.unwrap();
    assert!(!manifest.is_like(&other), "another filter");
    let same = write(&store, &source, &Order { run: "three".to_owned(), ..order }).await.unwrap();
    assert!(manifest.is_like(&same));
}

#[tokio::test]
async fn exchanged_files_are_found_behind_right_hashes() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    write(&store, &source, &sealed("one", DataFormat::Parquet)).await.unwrap();
    write(&store, &source, &sealed("two", DataFormat::Parquet)).await.unwrap();
    let files = store.files();
    let index = layout::index("Articles");
    // The index of one run in the folder of another, with its hash in the manifest: only the key knows.
    let name = layout::in_run("one", layout::MANIFEST);
    let mut manifest: Manifest = serde_json::from_slice(&files[&name]).unwrap();
    let other = files[&layout::in_run("two", &index)].to_vec();
    let note = manifest.collections.iter_mut().find(|note| note.name == "Articles").unwrap();
    note.index.sha256 = Digest::of(&other);
    note.index.bytes = other.len() as u64;
    store.tamper(&layout::in_run("one", &index), Some(other));
    store.tamper(&name, Some(serde_json::to_vec(&manifest).unwrap()));
    let faults = look(&store, "one", Some(&key(1))).await.faults;
    assert!(matches!(faults[..], [Fault::Forged { .. }]), "{faults:?}");
    assert_eq!(words(&store, "two").await, ["noKey"]);
}

#[tokio::test]
async fn damage_is_found_as_in_any_run() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    write(&store, &source, &sealed("one", DataFormat::Parquet)).await.unwrap();
    let part = store.files().keys().find(|key| key.contains("data/Articles")).unwrap().clone();
    let whole = store.files()[&part].to_vec();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for (bytes, is_word) in [
        (Some(flipped), (|fault: &Fault| matches!(fault, Fault::Changed { .. })) as fn(&Fault) -> bool),
        (Some(whole[1..].to_vec()), |fault| matches!(fault, Fault::Size { .. })),
        (None, |fault| matches!(fault, Fault::Missing { .. })),
    ] {
        store.tamper(&part, bytes);
        let faults = look(&store, "one", Some(&key(1))).await.faults;
        assert!(faults.len() == 1 && is_word(&faults[0]), "{faults:?}");
    }
}

#[tokio::test]
async fn encrypted_chains_killed_at_any_effect_are_whole_or_none() {
    let (mut whole, mut none) = (0, 0);
    for effects in 0.. {
        let (store, source) = (MemoryStore::default(), cluster(20));
        write(&store, &source, &sealed("one", DataFormat::JsonlLz4)).await.unwrap();
        let mut class = source.get("Articles").unwrap();
        class.objects.get_mut("").unwrap().pop_first();
        class.objects.get_mut("").unwrap().extend(super::world::objects(100..105));
        source.set("Articles", class);
        let (next, fuse) =
            (Order { base: Some("one".to_owned()), ..sealed("two", DataFormat::Parquet) }, Fuse::after(effects));
        let done = write(&store.with_fuse(fuse.clone()), &source.with_fuse(fuse), &next).await;
        match look(&store, "two", Some(&key(1))).await.faults.as_slice() {
            [] => whole += 1,
            [Fault::NoManifest { .. }] => none += 1,
            faults => panic!("killed after {effects} effects: {faults:?}"),
        }
        if done.is_ok() {
            let order = restore::Order { run: "two".to_owned(), ..restored("Articles", Some(key(1))) };
            killed_restores(&store, &source, &order).await;
            break;
        }
    }
    assert!(whole >= 1 && none >= 8, "{whole} whole, {none} none");
}

async fn killed_restores(store: &MemoryStore, source: &MemoryCluster, order: &restore::Order) {
    for effects in 0.. {
        store.tamper(&order.receipt, None);
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
        let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), order).await;
        restore(store, &target, order).await.unwrap();
        assert_eq!(target.get("Copy").unwrap().objects, source.get("Articles").unwrap().objects, "{effects} effects");
        if first.is_ok() {
            break;
        }
    }
}
