//! Collections that cannot be written: of all they are left out and named, and asked for by name they end the run before
//! anything is written.

use elysia_engine::backup::manifest::{DataFormat, Manifest, RunMode};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::write::{Cold, Order, WriteError};
use serde_json::json;

use super::world::{class, cluster, order, sound, write};

/// The cluster of every other test, one whose vectors are made of references, and one of whose tenants one is offloaded.
fn world() -> MemoryCluster {
    let cluster = cluster(30);
    let linked = json!({
        "class": "Linked", "properties": [{"name": "by", "dataType": ["Articles"]}], "vectorizer": "ref2vec-centroid",
    });
    cluster.set("Linked", MemoryClass { schema: linked, ..MemoryClass::default() });
    let tenants = [("far".to_owned(), "FROZEN".to_owned()), ("here".to_owned(), "HOT".to_owned())].into();
    cluster.set("Rooms", MemoryClass { schema: class("Rooms", true), tenants, ..MemoryClass::default() });
    cluster
}

fn of(collections: &[&str], is_all: bool, cold: Cold) -> Order {
    Order {
        collections: collections.iter().map(|name| (*name).to_owned()).collect(),
        is_all,
        cold,
        ..order("one", DataFormat::Parquet)
    }
}

fn names(manifest: &Manifest) -> (Vec<&str>, Vec<&str>) {
    let held = manifest.collections.iter().map(|note| note.name.as_str()).collect();
    (held, manifest.lacks.keys().map(String::as_str).collect())
}

const ALL: [&str; 4] = ["Articles", "Linked", "Notes", "Rooms"];

#[tokio::test]
async fn of_all_what_cannot_be_written_is_left_out_and_named() {
    let store = MemoryStore::default();
    let manifest = write(&store, &world(), &of(&ALL, true, Cold::Wake)).await.unwrap();
    assert_eq!(names(&manifest), (vec!["Articles", "Notes"], vec!["Linked", "Rooms"]));
    assert!(
        manifest.lacks["Linked"].contains("its vectors are made of its references (ref2vec-centroid)"),
        "{:?}",
        manifest.lacks
    );
    assert!(manifest.lacks["Rooms"].contains("1 tenants are offloaded (far is FROZEN)"), "{:?}", manifest.lacks);
    assert!(sound(&store, "one").await.is_sound());
    assert!(store.files().keys().all(|key| !key.contains("Linked") && !key.contains("Rooms")));
}

#[tokio::test]
async fn what_was_asked_for_by_name_ends_the_run_before_anything_is_written() {
    let wanted = |error: &WriteError, name: &str| match error {
        WriteError::Unwritable { collection, .. } | WriteError::Asleep { collection, .. } => collection == name,
        _ => false,
    };
    for (collections, is_all, cold, name) in [
        (&ALL[..], false, Cold::Wake, "Linked"),
        (&["Articles", "Rooms"], false, Cold::Wake, "Rooms"),
        // Who has tenants at rest refused wants to hear of them.
        (&ALL, true, Cold::Refuse, "Notes"),
        // And of a run there must be something.
        (&["Linked", "Rooms"], true, Cold::Wake, "Linked"),
    ] {
        let store = MemoryStore::default();
        let error = write(&store, &world(), &of(collections, is_all, cold)).await.unwrap_err();
        assert!(wanted(&error, name), "{collections:?}: {error}");
        assert!(store.files().is_empty(), "{collections:?}");
    }
}

#[tokio::test]
async fn what_servers_do_not_answer_whole_is_in_no_run_of_objects() {
    let nested = |names: &[&str]| names.iter().map(|name| json!({"name": name, "dataType": ["number"]})).collect();
    let place = |names: &[&str]| {
        let nested: Vec<_> = nested(names);
        json!({"class": "Odd", "properties": [{"name": "place", "dataType": ["object"], "nestedProperties": nested}]})
    };
    let expiring = |filters: bool| {
        let expiry = json!({"enabled": true, "deleteOn": "_creationTimeUnix", "filterExpiredObjects": filters});
        json!({"class": "Odd", "properties": [], "objectTtlConfig": expiry})
    };
    for (schema, why) in [
        (expiring(true), Some("Set filterExpiredObjects to false while it is read")),
        (expiring(false), None),
        (place(&["latitude", "longitude"]), Some("property `place` is object with latitude, longitude")),
        (place(&["latitude", "height"]), None),
    ] {
        let (store, source) = (MemoryStore::default(), cluster(30));
        source.set("Odd", MemoryClass { schema: schema.clone(), ..MemoryClass::default() });
        let odd = ["Articles", "Odd"];
        let manifest = write(&store, &source, &of(&odd, true, Cold::Wake)).await.unwrap();
        let (held, lacks) = names(&manifest);
        let Some(why) = why else {
            assert_eq!((held, lacks), (odd.to_vec(), vec![]), "{schema}");
            continue;
        };
        assert_eq!((held, lacks), (vec!["Articles"], vec!["Odd"]), "{schema}");
        assert!(manifest.lacks["Odd"].contains(why), "{:?}", manifest.lacks);
        let store = MemoryStore::default();
        let error = write(&store, &source, &of(&odd, false, Cold::Wake)).await.unwrap_err();
        assert!(error.to_string().contains("collection Odd: ") && error.to_string().contains(why), "{error}");
        assert!(store.files().is_empty());
        let schemas = Order { mode: RunMode::SchemaOnly, ..of(&odd, true, Cold::Wake) };
        assert_eq!(names(&write(&store, &source, &schemas).await.unwrap()).0, odd);
    }
}

#[tokio::test]
async fn what_needs_no_objects_is_written() {
    let schemas = Order { mode: RunMode::SchemaOnly, ..of(&ALL, true, Cold::Wake) };
    let manifest = write(&MemoryStore::default(), &world(), &schemas).await.unwrap();
    assert_eq!(names(&manifest), (ALL.to_vec(), vec![]));
    // Tenants at rest that are knowingly left out leave their collection in.
    let manifest = write(&MemoryStore::default(), &world(), &of(&ALL, true, Cold::Skip)).await.unwrap();
    assert_eq!(names(&manifest), (vec!["Articles", "Notes", "Rooms"], vec!["Linked"]));
}

#[tokio::test]
async fn a_run_builds_on_one_that_lacked_what_it_holds() {
    let (store, source) = (MemoryStore::default(), world());
    write(&store, &source, &of(&ALL, true, Cold::Wake)).await.unwrap();
    // The offloaded tenant is loaded again.
    let mut rooms = source.get("Rooms").unwrap();
    rooms.tenants.insert("far".to_owned(), "HOT".to_owned());
    source.set("Rooms", rooms);
    let two = Order { run: "two".to_owned(), base: Some("one".to_owned()), ..of(&ALL, true, Cold::Wake) };
    let manifest = write(&store, &source, &two).await.unwrap();
    assert_eq!(names(&manifest), (vec!["Articles", "Notes", "Rooms"], vec!["Linked"]));
    assert!(sound(&store, "two").await.is_sound());
}
