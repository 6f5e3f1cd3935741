//! What servers of 1.38.2 leave in a bucket, catalogued, verified and taken away.

use std::sync::atomic::AtomicU64;

use serde_json::json;

use super::*;
use crate::backup::catalogue::{self, State};
use crate::backup::layout;
use crate::backup::manifest::{Manifest, Owner, SourceNote};
use crate::backup::memory::MemoryStore;
use crate::backup::opened::Chain;
use crate::backup::ports::{Store as _, TenantState};
use crate::backup::retire::remove_run;
use crate::backup::verify::{self, Depth, Fault};
use crate::memory::FixedClock;
use crate::ports::Clock as _;

const RUN: &str = "20261129T161553Z-0123456789ab";
const ID: &str = "20261129t161553z-0123456789ab";

fn owner(policy: &str) -> Owner {
    Owner { cluster: "search".to_owned(), policy: policy.to_owned() }
}

fn order() -> NativeOrder {
    NativeOrder { run: RUN.to_owned(), id: ID.to_owned(), owner: owner("nightly") }
}

fn held(name: &str) -> Held {
    Held {
        name: name.to_owned(),
        schema: json!({"class": name}),
        aliases: Vec::new(),
        tenants: (name == "Notes").then(|| vec![TenantState { name: "acme".to_owned(), activity: "COLD".to_owned() }]),
        holders: std::iter::once("w-0".to_owned()).collect(),
        left_out: 0,
        objects: 9,
        is_estimated: name == "Notes",
    }
}

fn key(below: &str) -> String {
    layout::in_run(RUN, &format!("native/{ID}/{below}"))
}

/// What the servers write, with this status.
fn written(store: &MemoryStore, status: &str) {
    let nodes = json!({
        "w-0": {"classes": ["Articles", "Notes"], "status": status, "error": ""},
        "w-1": {"classes": ["Articles"], "status": status, "error": ""},
        "w-2": {"classes": null, "status": status, "error": ""},
    });
    let global = json!({
        "startedAt": "2026-11-29T16:15:54.1Z", "completedAt": "0001-01-01T00:00:00Z", "id": ID, "nodes": nodes,
        "node_mapping": null, "status": status, "version": "2.1", "serverVersion": "1.38.2", "leader": "w-0",
        "error": "", "preCompressionSizeBytes": 0, "compressionType": "zstd", "baseBackupId": "",
    });
    for (below, bytes) in [
        ("backup_config.json", global.to_string()),
        ("w-0/backup.json", "{}".to_owned()),
        ("w-0/Articles/chunk-1", "one".to_owned()),
        ("w-0/Notes/chunk-1", "three".to_owned()),
        ("w-1/backup.json", "{}".to_owned()),
        ("w-1/Articles/chunk-1", "seven".to_owned()),
        ("w-1/Articles/chunk-2", String::new()),
        ("access-check", String::new()),
    ] {
        store.tamper(&key(below), Some(bytes.into_bytes()));
    }
}

async fn catalogued(store: &MemoryStore, hash: bool, collections: &[Held]) -> Result<Manifest, NativeError> {
    let order = order();
    let now = FixedClock::default().now();
    let begun_at = claim(store, &order, now).await?;
    let descriptor = describe(store, RUN, ID).await?.unwrap().unwrap();
    assert!(descriptor.is_success());
    let read = AtomicU64::new(0);
    let source = SourceNote { weaviate: descriptor.server_version.clone(), nodes: 2 };
    let (order, descriptor) = (&order, &descriptor);
    Catalogue { store, order, begun_at, descriptor, collections, source, hash, read: &read }.write(now).await
}

#[tokio::test]
async fn what_the_servers_wrote_is_a_run_with_every_file() {
    let store = MemoryStore::default();
    written(&store, "SUCCESS");
    let manifest = catalogued(&store, true, &[held("Notes"), held("Articles")]).await.unwrap();
    let native = manifest.native.clone().unwrap();
    assert_eq!((native.id.as_str(), native.nodes, native.hashed), (ID, vec!["w-0".to_owned(), "w-1".to_owned()], true));
    let told: Vec<_> = manifest.collections.iter().map(|note| (note.name.as_str(), note.parts, note.bytes)).collect();
    assert_eq!(told, [("Articles", 3, 8), ("Notes", 1, 5)]);
    assert!(manifest.is_counted("Articles") && !manifest.is_counted("Notes"));
    // Written again by a worker that comes later it is the same.
    assert_eq!(catalogued(&store, true, &[held("Notes"), held("Articles")]).await.unwrap(), manifest);
    let seen = catalogue::list(&store).await.unwrap();
    assert!(matches!(&seen[..], [catalogue::Entry { state: State::Run { .. }, .. }]));
    let findings = verify::verify(&store, RUN, Depth::Objects, &|_| {}).await.unwrap();
    assert_eq!((findings.faults.len(), findings.files, findings.objects), (0, 9, 0));
    let of_notes = verify(&store, RUN, Some("Notes")).await.unwrap();
    assert_eq!((of_notes.faults.len(), of_notes.files), (0, 5), "its index, its file, and what belongs to all");
}

#[tokio::test]
async fn damage_is_found_by_hash_and_without_one_by_size() {
    for (hash, found) in [(true, "changed"), (false, "nothing")] {
        let store = MemoryStore::default();
        written(&store, "SUCCESS");
        catalogued(&store, hash, &[held("Articles")]).await.unwrap();
        let faults = async || verify(&store, RUN, None).await.unwrap().faults;
        store.tamper(&key("w-0/Articles/chunk-1"), Some(b"eno".to_vec()));
        match (&faults().await[..], found) {
            ([], "nothing") | ([Fault::Changed { .. }], "changed") => {}
            (faults, _) => panic!("{faults:?}"),
        }
        assert_eq!(verify_sizes(&store, RUN).await.unwrap().faults, []);
        assert_eq!(verify(&store, RUN, Some("Notes")).await.unwrap().faults, [], "another collection's is none of its");
        store.tamper(&key("w-0/Articles/chunk-1"), Some(b"on".to_vec()));
        assert!(matches!(faults().await[..], [Fault::Size { wanted: 3, found: 2, .. }]));
        store.tamper(&key("w-0/Articles/chunk-1"), None);
        assert!(matches!(faults().await[..], [Fault::Missing { .. }]));
        assert!(matches!(verify_sizes(&store, RUN).await.unwrap().faults[..], [Fault::Missing { .. }]));
        let index = layout::in_run(RUN, "index/Articles.json");
        store.tamper(&index, Some(b"{}".to_vec()));
        assert_eq!(faults().await.len(), 2);
        // Only what was read for its hash is noted as verified.
        let noted = verify::record(&store, RUN, &owner("nightly"), &FixedClock::default()).await.unwrap();
        assert_eq!(noted, hash);
    }
}

/// What it is, how it comes about, and the words.
type Spoilt = (&'static str, &'static dyn Fn(&MemoryStore), &'static str);

#[tokio::test]
async fn what_is_not_whole_in_this_store_is_no_run() {
    let cases: [Spoilt; 4] = [
        (
            "a node's files are elsewhere",
            &|store| {
                for below in ["w-1/backup.json", "w-1/Articles/chunk-1", "w-1/Articles/chunk-2"] {
                    store.tamper(&key(below), None);
                }
            },
            "of node w-1 the store has nothing",
        ),
        ("a node did not end", &|store| store.tamper(&key("w-0/backup.json"), None), "of node w-0 the store has no"),
        (
            "another's run",
            &|store| {
                let begun = json!({"format": "elysia-backup", "version": 1, "owner": owner("weekly"), "at": "2026-11-29T00:00:00Z"});
                store.tamper(&layout::in_run(RUN, layout::BEGUN), Some(begun.to_string().into_bytes()));
            },
            "is there already",
        ),
        (
            "another's place",
            &|store| {
                let marker = json!({"format": "elysia-backup", "version": 1, "owner": owner("weekly"), "since": "2026-11-29T00:00:00Z"});
                store.tamper(layout::OWNER, Some(marker.to_string().into_bytes()));
            },
            "belongs to weekly of search",
        ),
    ];
    for (what, spoil, words) in cases {
        let store = MemoryStore::default();
        written(&store, "SUCCESS");
        spoil(&store);
        let error = catalogued(&store, true, &[held("Articles")]).await.unwrap_err();
        assert!(error.to_string().contains(words), "{what}: {error}");
        assert!(!store.files().contains_key(&layout::in_run(RUN, layout::MANIFEST)), "{what}");
    }
    let store = MemoryStore::default();
    written(&store, "SUCCESS");
    let error = catalogued(&store, true, &[held("Others")]).await.unwrap_err();
    assert!(error.to_string().contains("lacks collection Others"), "{error}");
    let mut skipped = held("Notes");
    skipped.holders.insert("w-1".to_owned());
    let error = catalogued(&store, true, &[skipped]).await.unwrap_err();
    assert!(error.to_string().contains("nothing of collection Notes at node w-1"), "{error}");
}

#[tokio::test]
async fn a_descriptor_is_read_where_it_lies_and_a_half_written_one_is_no_answer() {
    let store = MemoryStore::default();
    assert_eq!(describe(&store, RUN, ID).await.unwrap(), Ok(None));
    written(&store, "STARTED");
    let descriptor = describe(&store, RUN, ID).await.unwrap().unwrap().unwrap();
    assert!(!descriptor.is_success() && descriptor.has("Notes") && !descriptor.has("Others"));
    assert_eq!(descriptor.node_names(), ["w-0", "w-1"]);
    store.tamper(&key("backup_config.json"), Some(b"{\"id\": ".to_vec()));
    assert!(describe(&store, RUN, ID).await.unwrap().is_err());
}

#[tokio::test]
async fn it_goes_as_a_whole_and_nothing_else_goes() {
    let store = MemoryStore::default();
    written(&store, "SUCCESS");
    catalogued(&store, true, &[held("Articles")]).await.unwrap();
    store.tamper("runs/20261128T000000Z-0000/native/other/backup_config.json", Some(b"{}".to_vec()));
    store.tamper(&format!("elsewhere/{ID}/backup_config.json"), Some(b"{}".to_vec()));
    let stranger = remove_run(&store, RUN, &owner("weekly")).await;
    assert!(stranger.is_err());
    remove_run(&store, RUN, &owner("nightly")).await.unwrap();
    let left: Vec<String> = store.files().into_keys().collect();
    assert_eq!(
        left,
        [
            format!("elsewhere/{ID}/backup_config.json"),
            "owner.json".to_owned(),
            "runs/20261128T000000Z-0000/native/other/backup_config.json".to_owned(),
        ]
    );
    assert_eq!(store.folders(layout::RUNS).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_looks_for_objects_is_told_where_to_go() {
    let store = MemoryStore::default();
    written(&store, "SUCCESS");
    catalogued(&store, true, &[held("Articles")]).await.unwrap();
    let fault = Chain::open(&store, RUN, None).await.unwrap().unwrap_err();
    let text = fault.to_string();
    assert!(text.contains("Weaviate's own backup, of nodes w-0, w-1") && text.contains("CollectionRestore"), "{text}");
}

#[test]
fn a_file_belongs_to_the_collection_whose_folder_it_is_in() {
    let of = |key: &str| {
        let file = NativeFile { key: key.to_owned(), bytes: 0, sha256: None };
        file.collection().map(str::to_owned)
    };
    assert_eq!(of("native/id/w-0/Articles/chunk-1").as_deref(), Some("Articles"));
    for shared in ["native/id/backup_config.json", "native/id/w-0/backup.json"] {
        assert_eq!(of(shared), None, "{shared}");
    }
}
