//! Cross-references: to other collections, to the own one, of several kinds, twice, and to what is gone; of tenants; in
//! circles. What is restored is what was backed up, whenever it was cut off.

use std::collections::BTreeMap;

use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Index, REFERENCES_VERSION};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{self, Blocker, Conflict, RestoreError, State};
use elysia_engine::backup::write::Order;
use elysia_engine::memory::Fuse;
use elysia_engine::object::{Object, Vector};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{id, order, restore, restore_order, sound, write};

/// Objects of each collection.
const COUNT: u32 = 30;
/// An object that is nowhere.
const GONE: u32 = 9_999;

fn to(class: &str, number: u32) -> Value {
    json!({"beacon": format!("weaviate://localhost/{class}/{}", id(number))})
}

fn object(number: u32, properties: &Value) -> (Uuid, Object) {
    let properties = properties.as_object().unwrap().clone();
    let vectors = [("title".to_owned(), Vector::Single(vec![1.0, 2.0]))].into();
    (id(number), Object { id: id(number), properties, vectors })
}

fn class(name: &str, references: &[(&str, &[&str])], has_tenants: bool) -> Value {
    let mut properties = vec![json!({"name": "title", "dataType": ["text"]})];
    properties.extend(references.iter().map(|(name, targets)| json!({"name": name, "dataType": targets})));
    json!({
        "class": name, "properties": properties, "vectorConfig": {"title": {"vectorizer": {"none": {}}}},
        "replicationConfig": {"factor": 3}, "multiTenancyConfig": {"enabled": has_tenants},
    })
}

fn filled(schema: Value, objects: &[(&str, BTreeMap<Uuid, Object>)]) -> MemoryClass {
    let tenants = objects.iter().filter(|(tenant, _)| !tenant.is_empty());
    MemoryClass {
        schema,
        tenants: tenants.map(|(tenant, _)| ((*tenant).to_owned(), "HOT".to_owned())).collect(),
        objects: objects.iter().map(|(tenant, all)| ((*tenant).to_owned(), all.clone())).collect(),
        ..MemoryClass::default()
    }
}

fn all(of: impl Fn(u32) -> Value) -> BTreeMap<Uuid, Object> {
    (0..COUNT).map(|number| object(number, &of(number))).collect()
}

fn next(number: u32) -> u32 {
    (number + 1) % COUNT
}

/// `Books` lead to `People` and to themselves, `People` to `Books`, `Rooms` with tenants to themselves and to `People`.
fn cluster() -> MemoryCluster {
    let cluster = MemoryCluster::new(7, 3);
    let books = class("Books", &[("by", &["People"]), ("about", &["People", "Books"])], false);
    let book = |number: u32| match number % 4 {
        0 => json!({"title": format!("book {number}")}),
        1 => json!({"title": "a", "by": [], "about": [to("Books", number)]}),
        2 => json!({"by": [to("People", GONE), to("People", number), to("People", GONE)]}),
        _ => json!({"by": [to("People", 3)], "about": [to("People", 2), to("Books", next(number)), to("People", 2)]}),
    };
    cluster.set("Books", filled(books, &[("", all(book))]));
    let people = class("People", &[("wrote", &["Books"])], false);
    let person = |number: u32| json!({"title": "p", "wrote": [to("Books", number), to("Books", next(number))]});
    cluster.set("People", filled(people, &[("", all(person))]));
    let rooms = class("Rooms", &[("door", &["Rooms"]), ("of", &["People"])], true);
    let room = |number: u32| json!({"title": "r", "door": [to("Rooms", next(number))], "of": [to("People", number)]});
    cluster.set("Rooms", filled(rooms, &[("east", all(room)), ("west", all(room))]));
    cluster
}

async fn backed_up(data: DataFormat) -> (MemoryStore, MemoryCluster) {
    let (store, source) = (MemoryStore::default(), cluster());
    let collections = ["Books", "People", "Rooms"].map(str::to_owned).to_vec();
    write(&store, &source, &Order { collections, ..order("one", data) }).await.unwrap();
    (store, source)
}

/// One that has these collections of it.
fn with(source: &MemoryCluster, names: &[&str]) -> MemoryCluster {
    let target = MemoryCluster::new(5, 1);
    for name in names {
        target.set(name, source.get(name).unwrap());
    }
    target
}

fn chosen(collection: &str, select: &Value, transform: &Value) -> restore::Order {
    restore::Order {
        select: serde_json::from_value(select.clone()).unwrap(),
        transform: serde_json::from_value(transform.clone()).unwrap(),
        ..restore_order(collection, collection, Conflict::Fail)
    }
}

fn blockers(error: RestoreError) -> Vec<Blocker> {
    let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
    blockers
}

#[tokio::test]
async fn references_come_back_as_they_were_in_every_format() {
    for data in [DataFormat::Parquet, DataFormat::JsonlZstd, DataFormat::JsonlGzip, DataFormat::JsonlLz4] {
        let (store, source) = backed_up(data).await;
        assert!(sound(&store, "one").await.is_sound(), "{data:?}");
        let index = &store.files()[&layout::in_run("one", &layout::index("Books"))];
        let index: Index = serde_json::from_slice(index).unwrap();
        assert_eq!(index.version, REFERENCES_VERSION, "readers of before must not read it");
        let target = with(&source, &["People"]);
        let receipt = restore(&store, &target, &restore_order("Books", "Books", Conflict::Fail)).await.unwrap();
        assert_eq!(receipt.counts.written, u64::from(COUNT));
        assert_eq!(target.get("Books").unwrap().objects, source.get("Books").unwrap().objects, "{data:?}");
        let order = restore_order("Rooms", "Rooms", Conflict::Fail);
        store.tamper(&order.receipt, None);
        restore(&store, &target, &order).await.unwrap();
        assert_eq!(target.get("Rooms").unwrap().objects, source.get("Rooms").unwrap().objects, "{data:?}");
    }
}

#[tokio::test]
async fn what_leads_to_the_collection_itself_leads_to_its_new_name() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let target = with(&source, &["People", "Books"]);
    restore(&store, &target, &restore_order("Books", "Copy", Conflict::Fail)).await.unwrap();
    let copy = target.get("Copy").unwrap();
    assert_eq!(copy.schema["properties"][2]["dataType"], json!(["People", "Copy"]));
    let found = &copy.objects[""][&id(3)].properties;
    assert_eq!(found["about"], json!([to("People", 2), to("Copy", 4), to("People", 2)]));
    assert_eq!(found["by"], json!([to("People", 3)]));
    // And back again it is what it was.
    let next = Order { collections: vec!["Copy".to_owned()], ..order("two", DataFormat::Parquet) };
    write(&store, &target, &next).await.unwrap();
    let back = restore::Order {
        run: "two".to_owned(),
        receipt: "restores/s.json".to_owned(),
        ..restore_order("Copy", "Books", Conflict::Overwrite)
    };
    let receipt = restore(&store, &target, &back).await.unwrap();
    assert_eq!((receipt.counts.unchanged, receipt.counts.written), (u64::from(COUNT), 0));
}

#[tokio::test]
async fn classes_that_lead_to_one_another_are_made_in_either_order() {
    for [first, second] in [["Books", "People"], ["People", "Books"]] {
        let (store, source) = backed_up(DataFormat::Parquet).await;
        let target = MemoryCluster::new(5, 1);
        let order = restore_order(first, first, Conflict::Fail);
        let error = restore(&store, &target, &order).await.unwrap_err();
        assert!(matches!(&error, RestoreError::Waits { class, .. } if class == second), "{error}");
        assert_eq!(target.get(first).unwrap().objects[""].len(), COUNT as usize, "all objects are written");
        let other =
            restore::Order { receipt: "restores/s.json".to_owned(), ..restore_order(second, second, Conflict::Fail) };
        restore(&store, &target, &other).await.unwrap();
        let receipt = restore(&store, &target, &order).await.unwrap();
        assert_eq!((receipt.state, receipt.counts.written), (State::Done, u64::from(COUNT)));
        for name in [first, second] {
            let (found, wanted) = (target.get(name).unwrap(), source.get(name).unwrap());
            assert_eq!(found.objects, wanted.objects, "{name}");
            let count = |class: &MemoryClass| class.schema["properties"].as_array().unwrap().len();
            assert_eq!(count(&found), count(&wanted), "{name}");
        }
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_is_named_before_the_first_write() {
    let (store, _) = backed_up(DataFormat::Parquet).await;
    let target = MemoryCluster::new(5, 1);
    let found = blockers(restore(&store, &target, &restore_order("Rooms", "Rooms", Conflict::Fail)).await.unwrap_err());
    let absent = Blocker::ReferenceTarget { property: "of".to_owned(), class: "People".to_owned(), is_in_run: true };
    assert_eq!(found, [absent], "People need no Rooms: they come first");
    assert!(found[0].to_string().contains("restore it first"), "{}", found[0]);
    assert!(target.names().is_empty());

    // Under another name it is no circle: what leads to Books does not lead to Copy.
    let found = blockers(restore(&store, &target, &restore_order("Books", "Copy", Conflict::Fail)).await.unwrap_err());
    assert_eq!(found.len(), 2, "{found:?}");

    // Without the property nothing is needed.
    let drop = chosen("Rooms", &json!({}), &json!([{"drop": {"property": "of"}}]));
    restore(&store, &target, &drop).await.unwrap();
    let rooms = target.get("Rooms").unwrap();
    assert_eq!(rooms.objects["east"][&id(1)].properties["door"], json!([to("Rooms", 2)]));
    assert!(!rooms.objects["east"][&id(1)].properties.contains_key("of"));
}

#[tokio::test]
async fn a_choice_of_properties_may_leave_references_out_and_steps_may_rename_them() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let target = MemoryCluster::new(5, 1);
    restore(&store, &target, &chosen("Books", &json!({"properties": ["title"]}), &json!([]))).await.unwrap();
    let books = target.get("Books").unwrap();
    assert_eq!(books.schema["properties"].as_array().unwrap().len(), 1);
    assert!(books.objects[""].values().all(|book| book.properties.keys().all(|name| name == "title")));

    let target = with(&source, &["People"]);
    let renamed = chosen("Books", &json!({}), &json!([{"rename": {"from": "by", "to": "author"}}]));
    store.tamper(&renamed.receipt, None);
    restore(&store, &target, &renamed).await.unwrap();
    let book = &target.get("Books").unwrap().objects[""][&id(3)].properties;
    assert_eq!((book.get("by"), &book["author"]), (None, &json!([to("People", 3)])));

    for step in [
        json!({"convert": {"property": "by", "to": "text"}}),
        json!({"mask": {"property": "by", "how": {"redact": {}}}}),
        json!({"set": {"property": "by", "value": ["x"]}}),
        json!({"where": {"filter": "by = 'x'"}}),
    ] {
        let order =
            restore::Order { receipt: "restores/s.json".to_owned(), ..chosen("Books", &json!({}), &json!([step])) };
        let found = blockers(restore(&store, &with(&source, &["People"]), &order).await.unwrap_err());
        assert!(found[0].to_string().contains("`by` is People"), "{step}: {}", found[0]);
    }
}

#[tokio::test]
async fn conflicts_are_about_references_as_well() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    for conflict in [Conflict::Skip, Conflict::Overwrite, Conflict::Merge] {
        let target = with(&source, &["People", "Books"]);
        let mut books = target.get("Books").unwrap();
        // One leads elsewhere, one has a reference that the backup's lacks, one is gone.
        let all = books.objects.get_mut("").unwrap();
        all.get_mut(&id(3)).unwrap().properties.insert("by".to_owned(), json!([to("People", 7), to("People", 7)]));
        all.get_mut(&id(4)).unwrap().properties.insert("by".to_owned(), json!([to("People", GONE)]));
        all.remove(&id(2));
        target.set("Books", books);
        let order = restore_order("Books", "Books", conflict);
        store.tamper(&order.receipt, None);
        restore(&store, &target, &order).await.unwrap();
        let found = target.get("Books").unwrap().objects[""].clone();
        let wanted = source.get("Books").unwrap().objects[""].clone();
        assert_eq!(found[&id(2)], wanted[&id(2)], "{conflict:?}");
        let by = |number| found[&id(number)].properties.get("by").cloned();
        let (of_three, of_four) = match conflict {
            Conflict::Skip => (json!([to("People", 7), to("People", 7)]), Some(json!([to("People", GONE)]))),
            Conflict::Merge => (json!([to("People", 3)]), Some(json!([to("People", GONE)]))),
            Conflict::Overwrite | Conflict::Fail => (json!([to("People", 3)]), None),
        };
        assert_eq!((by(3), by(4)), (Some(of_three), of_four), "{conflict:?}");
        let rest = |all: &BTreeMap<Uuid, Object>| {
            let mut all = all.clone();
            for number in [3, 4] {
                drop(all.remove(&id(number)));
            }
            all
        };
        assert_eq!(rest(&found), rest(&wanted), "{conflict:?}");
    }
    let (target, order) = (with(&source, &["People"]), restore_order("Rooms", "Rooms", Conflict::Overwrite));
    store.tamper(&order.receipt, None);
    let found = blockers(restore(&store, &target, &order).await.unwrap_err());
    assert_eq!(found, [Blocker::ReferencesBehind { into: "Rooms".to_owned() }]);
}

#[tokio::test]
async fn what_servers_refuse_of_a_tenant_is_named_and_the_rest_is_there() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let target = with(&source, &["People"]);
    let mut people = target.get("People").unwrap();
    let person = people.objects.get_mut("").unwrap().remove(&id(5)).unwrap();
    target.set("People", people.clone());
    let order = restore_order("Rooms", "Rooms", Conflict::Fail);
    let error = restore(&store, &target, &order).await.unwrap_err();
    assert!(matches!(&error, RestoreError::Unlinked { id: found, .. } if *found == id(5)), "{error}");
    assert_eq!(target.get("Rooms").unwrap().objects["west"].len(), COUNT as usize);
    // Once it is there the same restore goes on.
    people.objects.get_mut("").unwrap().insert(id(5), person);
    target.set("People", people);
    restore(&store, &target, &order).await.unwrap();
    assert_eq!(target.get("Rooms").unwrap().objects, source.get("Rooms").unwrap().objects);
}

#[tokio::test]
async fn an_incremental_run_writes_what_has_other_references() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let mut books = source.get("Books").unwrap();
    let turned = books.objects.get_mut("").unwrap().get_mut(&id(3)).unwrap();
    turned.properties["about"].as_array_mut().unwrap().reverse();
    turned.properties["about"].as_array_mut().unwrap().pop();
    source.set("Books", books);
    let collections = vec!["Books".to_owned()];
    let next = Order { collections, base: Some("one".to_owned()), ..order("two", DataFormat::Parquet) };
    let manifest = write(&store, &source, &next).await.unwrap();
    assert_eq!(manifest.collections[0].written.unwrap().objects, 1);
    let target = with(&source, &["People"]);
    let order = restore::Order { run: "two".to_owned(), ..restore_order("Books", "Books", Conflict::Fail) };
    restore(&store, &target, &order).await.unwrap();
    assert_eq!(target.get("Books").unwrap().objects, source.get("Books").unwrap().objects);
}

#[tokio::test]
async fn a_restore_killed_at_any_effect_ends_with_the_same_references() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let all = [Conflict::Fail, Conflict::Skip, Conflict::Overwrite, Conflict::Merge];
    let of = |name: &'static str, conflicts: &[Conflict]| conflicts.iter().map(|it| (name, *it)).collect::<Vec<_>>();
    for (name, conflict) in [of("Books", &all), of("Rooms", &all[..1])].concat() {
        let order = restore_order(name, name, conflict);
        for effects in 0.. {
            store.tamper(&order.receipt, None);
            let (target, fuse) = (with(&source, &["People"]), Fuse::after(effects));
            let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
            let receipt = restore(&store, &target, &order).await.unwrap();
            assert_eq!(receipt.state, State::Done);
            let (found, wanted) = (target.get(name).unwrap(), source.get(name).unwrap());
            assert_eq!(found.objects, wanted.objects, "{name}, {conflict:?}, killed after {effects} effects");
            if first.is_ok() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_circle_killed_at_any_effect_is_closed() {
    let (store, source) = backed_up(DataFormat::Parquet).await;
    let books = restore_order("Books", "Books", Conflict::Fail);
    let people =
        restore::Order { receipt: "restores/s.json".to_owned(), ..restore_order("People", "People", Conflict::Fail) };
    for effects in 0.. {
        for order in [&books, &people] {
            store.tamper(&order.receipt, None);
        }
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
        let (dying, also) = (store.with_fuse(fuse.clone()), target.with_fuse(fuse));
        restore(&dying, &also, &books).await.unwrap_err();
        let mut is_over = restore(&dying, &also, &people).await.is_ok();
        is_over &= restore(&dying, &also, &books).await.is_ok();
        // Whoever goes on does so in the same order.
        restore(&store, &target, &books).await.ok();
        restore(&store, &target, &people).await.unwrap();
        restore(&store, &target, &books).await.unwrap();
        for name in ["Books", "People"] {
            let (found, wanted) = (target.get(name).unwrap(), source.get(name).unwrap());
            assert_eq!(found.objects, wanted.objects, "{name}, killed after {effects} effects");
        }
        if is_over {
            break;
        }
    }
}
