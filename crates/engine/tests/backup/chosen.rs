//! What is chosen: by a filter when it is backed up, by a selection when it is restored, and what is made of it.

use elysia_engine::backup::filter::Expression;
use elysia_engine::backup::layout;
use elysia_engine::backup::level::Level;
use elysia_engine::backup::manifest::{DataFormat, Index, RunMode};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore, times_of};
use elysia_engine::backup::restore::{self, Blocker, Conflict, Counts, RestoreError, preflight};
use elysia_engine::backup::write::{Cold, Order, WriteError};
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::ports::Clock as _;
use serde_json::{Value, json};

use super::world::{cluster, id, order, restore, restore_order, sound, write};

fn chosen(collection: &str, select: &Value, transform: &Value) -> restore::Order {
    restore::Order {
        select: serde_json::from_value(select.clone()).unwrap(),
        transform: serde_json::from_value(transform.clone()).unwrap(),
        ..restore_order(collection, "Copy", Conflict::Fail)
    }
}

async fn backed_up() -> (MemoryStore, MemoryCluster) {
    let (store, source) = (MemoryStore::default(), cluster(60));
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    (store, source)
}

fn filter(text: &str) -> Expression {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_filtered_run_holds_what_was_meant_and_says_so() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    let run = Order { filter: Some(filter("count >= 10 AND (count < 20)")), ..order("one", DataFormat::Parquet) };
    let manifest = write(&store, &source, &run).await.unwrap();
    let note = manifest.filter.clone().unwrap();
    assert_eq!(note.text.as_deref(), Some("count >= 10 and count < 20"));
    let counts: Vec<_> = manifest.collections.iter().map(|it| it.contents.objects).collect();
    assert_eq!(counts, [10, 20]);
    assert_eq!(sound(&store, "one").await.faults, vec![]);
    let index: Index =
        serde_json::from_slice(&store.files()[&layout::in_run("one", &layout::index("Articles"))]).unwrap();
    assert_eq!((index.filter, index.dimensions), (note.text, [("title".to_owned(), [8].into())].into()));

    // Like is compared with like: the same filter, however it is written, and no other.
    let again = Order { filter: Some(filter("count >= 10 and count < 20")), ..order("two", DataFormat::Parquet) };
    let again = write(&store, &source, &again).await.unwrap();
    let all = write(&store, &source, &order("three", DataFormat::Parquet)).await.unwrap();
    assert!(manifest.is_like(&again) && !manifest.is_like(&all));

    // By the objects' own times, which the source tells.
    let text = "_creationTime >= '2024-01-11' and _lastUpdateTime < '2024-01-21'";
    let timed = Order { filter: Some(filter(text)), ..order("four", DataFormat::Parquet) };
    let timed = write(&store, &source, &timed).await.unwrap();
    let wanted = (0..60).map(|number| times_of(id(number))).filter(|times| {
        times.created >= "2024-01-11T00:00:00Z".parse().unwrap()
            && times.updated < "2024-01-21T00:00:00Z".parse().unwrap()
    });
    assert_eq!(timed.collection("Articles").unwrap().contents.objects, wanted.count() as u64);

    let wrong = Order { filter: Some(filter("count = 1 and nothing = 2")), ..order("five", DataFormat::Parquet) };
    let error = write(&store, &source, &wrong).await.unwrap_err();
    assert!(matches!(&error, WriteError::Filter { source, .. } if source.column == 15), "{error}");
    assert!(!store.files().keys().any(|key| key.contains("runs/five")));
}

#[tokio::test]
async fn what_leaves_the_filter_is_gone_from_the_next_run() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    let run = |run: &str, base: Option<&str>| Order {
        filter: Some(filter("count < 30")),
        base: base.map(str::to_owned),
        ..order(run, DataFormat::Parquet)
    };
    write(&store, &source, &run("one", None)).await.unwrap();
    let mut class = source.get("Articles").unwrap();
    class.objects.get_mut("").unwrap().get_mut(&id(7)).unwrap().properties.insert("count".to_owned(), json!(70));
    source.set("Articles", class);
    let next = write(&store, &source, &run("two", Some("one"))).await.unwrap();
    let note = next.collection("Articles").unwrap();
    assert_eq!((note.contents.objects, note.gone, note.parts), (29, 1, 0));
    assert!(sound(&store, "two").await.is_sound());
}

#[tokio::test]
async fn selections_are_restored_and_nothing_else() {
    let (store, source) = backed_up().await;
    for (collection, select, written, tenants) in [
        ("Articles", json!({"ids": [id(3), id(7), id(999)]}), 2, vec![]),
        ("Articles", json!({"filter": "count < 10"}), 10, vec![]),
        ("Articles", json!({"properties": ["title", "count"]}), 60, vec![]),
        ("Notes", json!({"tenants": ["warm"]}), 30, vec!["warm"]),
        ("Notes", json!({"tenants": ["cold"], "filter": "count < 3"}), 3, vec!["cold"]),
        ("Notes", json!({"tenants": []}), 0, vec![]),
    ] {
        store.tamper("restores/r.json", None);
        let target = MemoryCluster::new(5, 1);
        let receipt = restore(&store, &target, &chosen(collection, &select, &json!([]))).await.unwrap();
        assert_eq!(receipt.counts.written, written, "{select}");
        let found = target.get("Copy").unwrap();
        assert_eq!(found.tenants.keys().collect::<Vec<_>>(), tenants, "{select}");
        for (tenant, objects) in &found.objects {
            let wanted = &source.get(collection).unwrap().objects[tenant];
            for (id, object) in objects {
                assert_eq!(object.vectors, wanted[id].vectors);
                let same = object.properties.iter().all(|(name, value)| wanted[id].properties[name] == *value);
                assert!(same, "{object:?}");
            }
        }
        if select.get("properties").is_some() {
            assert_eq!(found.schema["properties"].as_array().unwrap().len(), 2);
            assert_eq!(found.objects[""][&id(3)].properties.len(), 2);
        }
    }
}

#[tokio::test]
async fn parts_without_a_selected_id_are_not_needed() {
    let (store, _) = backed_up().await;
    let index: Index =
        serde_json::from_slice(&store.files()[&layout::in_run("one", &layout::index("Articles"))]).unwrap();
    let holds = |part: &elysia_engine::backup::manifest::Part| (part.first..=part.last).contains(&id(3));
    let other = index.parts.iter().find(|part| !holds(part)).unwrap();
    store.tamper(&layout::in_run("one", &other.file.key), None);
    let order = chosen("Articles", &json!({"ids": [id(3)]}), &json!([]));
    assert_eq!(restore(&store, &MemoryCluster::new(5, 1), &order).await.unwrap().counts.written, 1);
    store.tamper("restores/r.json", None);
    let order = chosen("Articles", &json!({}), &json!([]));
    assert!(restore(&store, &MemoryCluster::new(5, 1), &order).await.is_err());
}

#[tokio::test]
async fn transformations_reach_class_and_objects_and_are_resumed_after_any_kill() {
    let (store, _) = backed_up().await;
    let order = chosen(
        "Notes",
        &json!({"filter": "count != 4"}),
        &json!([
            {"rename": {"from": "title", "to": "name"}},
            {"convert": {"property": "count", "to": "text"}},
            {"drop": {"property": "tags"}},
            {"mask": {"property": "name", "how": {"keepLast": {"characters": 2}}}},
            {"script": {"source": "object.count += \"!\"; object.price *= 2;"}},
            {"where": {"filter": "price < 6"}},
        ]),
    );
    let mut wanted = None;
    for effects in 0.. {
        store.tamper(&order.receipt, None);
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
        let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
        let receipt = restore(&store, &target, &order).await.unwrap();
        let found = target.get("Copy").unwrap();
        // Numbers 0 to 20, each seventh part of it below 3, but for number 4.
        assert_eq!(found.objects["cold"].len(), 19, "killed after {effects} effects");
        assert_eq!(receipt.counts.written, 19 + 20);
        assert_eq!(receipt.counts.unselected, 50 - 39);
        let wanted = wanted.get_or_insert_with(|| found.objects.clone());
        assert_eq!(found.objects, *wanted, "killed after {effects} effects");
        if first.is_ok() {
            let third = &found.objects["cold"][&id(3)].properties;
            assert_eq!((&third["name"], &third["count"], third.get("tags")), (&json!("****** 3"), &json!("3!"), None));
            assert_eq!(found.schema["properties"][0]["name"], "name");
            assert_eq!(found.schema["properties"][1]["dataType"], json!(["text"]));
            break;
        }
    }
}

#[tokio::test]
async fn another_selection_does_not_go_on_with_the_receipt() {
    let (store, _) = backed_up().await;
    let target = MemoryCluster::new(5, 1);
    restore(&store, &target, &chosen("Articles", &json!({"filter": "count < 10"}), &json!([]))).await.unwrap();
    for (select, transform) in [
        (json!({}), json!([])),
        (json!({"filter": "count < 11"}), json!([])),
        (json!({"filter": "count < 10"}), json!([{"drop": {"property": "tags"}}])),
    ] {
        let error = restore(&store, &target, &chosen("Articles", &select, &transform)).await.unwrap_err();
        assert!(error.to_string().contains("that of another restore"), "{error}");
    }
    let same = chosen("Articles", &json!({"filter": "(count < 10)"}), &json!([]));
    assert_eq!(restore(&store, &target, &same).await.unwrap().counts.written, 10);
}

async fn blocked(store: &MemoryStore, target: &MemoryCluster, order: &restore::Order) -> Vec<String> {
    let error = restore(store, target, order).await.unwrap_err();
    let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
    assert!(!store.files().contains_key("restores/r.json"));
    let words = |blocker: &Blocker| serde_json::to_value(blocker).unwrap()["blocker"].as_str().unwrap().to_owned();
    blockers.iter().map(words).collect()
}

#[tokio::test]
async fn what_does_not_fit_is_told_before_the_first_write() {
    let (store, _) = backed_up().await;
    let empty = || MemoryCluster::new(5, 1);
    let order = |select: Value, transform: Value| chosen("Notes", &select, &transform);
    let gone = json!([{"drop": {"property": "title"}}, {"rename": {"from": "title", "to": "name"}}, {"drop": {"property": "x"}}]);
    assert_eq!(
        blocked(&store, &empty(), &order(json!({"tenants": ["warm", "none"]}), gone)).await,
        ["unknownTenant", "transform", "transform"]
    );
    let scripts = json!([{"script": {"source": "object.title = now();"}}, {"script": {"source": "object.title ="}}]);
    assert_eq!(blocked(&store, &empty(), &order(json!({}), scripts)).await, ["transform", "transform"]);
    assert_eq!(
        blocked(&store, &empty(), &chosen("Articles", &json!({"tenants": ["a"]}), &json!([]))).await,
        ["unknownTenant"]
    );

    // The target must have what comes out, not what is in the backup.
    let target = empty();
    let mut class = super::world::class("Copy", false);
    class["properties"][0]["name"] = "name".into();
    class["properties"].as_array_mut().unwrap().truncate(1);
    target.set("Copy", elysia_engine::backup::memory::MemoryClass { schema: class, ..Default::default() });
    let renamed = json!([{"rename": {"from": "title", "to": "name"}}]);
    let order = |select: Value, transform: &Value| chosen("Articles", &select, transform);
    assert_eq!(blocked(&store, &target, &order(json!({"properties": ["title"]}), &json!([]))).await, ["property"]);
    assert_eq!(
        blocked(&store, &target, &order(json!({"properties": ["title", "count"]}), &renamed)).await,
        ["property"]
    );
    let done = restore(&store, &target, &order(json!({"properties": ["title"]}), &renamed)).await.unwrap();
    assert_eq!(done.counts, Counts { written: 60, ..Counts::default() });
}

#[tokio::test]
async fn what_servers_would_hash_again_is_told_before_the_first_write() {
    let (store, source) = (MemoryStore::default(), cluster(60));
    let mut articles = source.get("Articles").unwrap();
    let photo = json!({"name": "photo", "dataType": ["blobHash"]});
    articles.schema["properties"].as_array_mut().unwrap().push(photo);
    for object in articles.objects.values_mut().flat_map(|objects| objects.values_mut()) {
        object.properties.insert("photo".to_owned(), json!("9f86d081"));
    }
    source.set("Articles", articles);
    write(&store, &source, &order("one", DataFormat::Parquet)).await.unwrap();
    let empty = || MemoryCluster::new(5, 1);
    let dropped = json!([{"drop": {"property": "photo"}}]);
    let renamed = json!([{"rename": {"from": "photo", "to": "picture"}}]);
    for (select, transform, is_blocked) in [
        (json!({}), json!([]), true),
        (json!({}), renamed, true),
        (json!({}), dropped, false),
        (json!({"properties": ["title"]}), json!([]), false),
    ] {
        store.tamper("restores/r.json", None);
        let order = chosen("Articles", &select, &transform);
        if is_blocked {
            assert_eq!(blocked(&store, &empty(), &order).await, ["hashed"], "{select} {transform}");
        } else {
            assert_eq!(restore(&store, &empty(), &order).await.unwrap().counts.written, 60, "{select} {transform}");
        }
    }
    // Where there are no objects none is hashed.
    let store = MemoryStore::default();
    let schemas = Order { mode: RunMode::SchemaOnly, ..order("one", DataFormat::Parquet) };
    write(&store, &source, &schemas).await.unwrap();
    restore(&store, &empty(), &chosen("Articles", &json!({}), &json!([]))).await.unwrap();
}

#[tokio::test]
async fn other_dimensions_and_older_servers_are_told() {
    let (store, _) = backed_up().await;
    let target = cluster(0);
    let mut class = cluster(3).get("Articles").unwrap();
    for object in class.objects.get_mut("").unwrap().values_mut() {
        object.vectors = [("title".to_owned(), elysia_engine::object::Vector::Single(vec![1.0; 4]))].into();
    }
    target.set("Copy", class);
    let order = restore_order("Articles", "Copy", Conflict::Overwrite);
    assert_eq!(blocked(&store, &target, &order).await, ["dimensions"]);
    let old = MemoryCluster::new(5, 1).with_nodes(3).with_version("1.23.7");
    assert_eq!(blocked(&store, &old, &order).await, ["version"]);
    restore(&store, &MemoryCluster::new(5, 1).with_version("1.38.2"), &order).await.unwrap();
}

#[tokio::test]
async fn values_that_cannot_be_converted_are_counted_or_end_it() {
    let (store, _) = backed_up().await;
    for (on_error, counts) in [
        (json!("SkipObject"), Some(Counts { unconverted: 60, ..Counts::default() })),
        (json!("DropProperty"), Some(Counts { written: 60, dropped: 60, ..Counts::default() })),
        (json!("Fail"), None),
    ] {
        store.tamper("restores/r.json", None);
        let transform = json!([{"convert": {"property": "title", "to": "int", "onError": on_error}}]);
        let restored = restore(&store, &MemoryCluster::new(5, 1), &chosen("Articles", &json!({}), &transform)).await;
        match counts {
            Some(counts) => assert_eq!(restored.unwrap().counts, counts),
            None => assert!(matches!(restored.unwrap_err(), RestoreError::Unconverted(_))),
        }
    }
    for (script, counts) in [
        (json!({"source": "throw 1;", "onError": "SkipObject"}), Counts { unconverted: 60, ..Counts::default() }),
        (json!({"source": "false", "leavesOut": true}), Counts { unselected: 60, ..Counts::default() }),
    ] {
        store.tamper("restores/r.json", None);
        let order = chosen("Articles", &json!({}), &json!([{"script": script}]));
        assert_eq!(restore(&store, &MemoryCluster::new(5, 1), &order).await.unwrap().counts, counts);
    }
}

#[tokio::test]
async fn a_run_without_objects_makes_class_and_tenants() {
    let (store, source) = (MemoryStore::default(), cluster(30));
    // No tenant is woken for it, and none refused.
    let order = Order { mode: RunMode::SchemaOnly, cold: Cold::Refuse, ..order("one", DataFormat::Parquet) };
    let manifest = write(&store, &source, &order).await.unwrap();
    assert_eq!((manifest.objects(), manifest.collection("Notes").unwrap().tenants), (0, Some(2)));
    assert_eq!(sound(&store, "one").await.faults, vec![]);
    let full = write(&store, &source, &super::world::order("two", DataFormat::Parquet)).await.unwrap();
    assert!(!manifest.is_like(&full));

    let order = restore_order("Notes", "Copy", Conflict::Fail);
    let target = MemoryCluster::new(5, 1);
    let found =
        preflight(&store, &store, &target.collection("Copy"), &order, FixedClock::default().now()).await.unwrap();
    assert_eq!((found.blockers, found.tenants), (vec![], vec!["cold".to_owned(), "warm".to_owned()]));
    for effects in 0.. {
        store.tamper(&order.receipt, None);
        let (target, fuse) = (MemoryCluster::new(5, 1), Fuse::after(effects));
        let first = restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await;
        restore(&store, &target, &order).await.unwrap();
        let made = target.get("Copy").unwrap();
        assert_eq!((made.tenants, made.objects.len()), (source.get("Notes").unwrap().tenants, 0), "{effects} effects");
        if first.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn levels_change_sizes_and_nothing_else() {
    let (store, source) = (MemoryStore::default(), cluster(400));
    let mut sizes = Vec::new();
    for (number, level) in [Level::At(1), Level::Auto, Level::At(19)].into_iter().enumerate() {
        let run = number.to_string();
        let written = write(&store, &source, &Order { level, ..order(&run, DataFormat::JsonlZstd) }).await.unwrap();
        assert!(sound(&store, &run).await.is_sound());
        sizes.push(written.bytes());
    }
    assert!(sizes[2] < sizes[1] && sizes[1] < sizes[0], "{sizes:?}");
    let order = Order { level: Level::At(3), ..order("lz4", DataFormat::JsonlLz4) };
    assert!(matches!(write(&store, &source, &order).await, Err(WriteError::Level(_))));
}

#[tokio::test]
async fn where_no_class_is_to_be_made_it_must_be_there() {
    let (store, source) = backed_up().await;
    let order = restore::Order { skip_schema: true, ..chosen("Articles", &json!({"ids": [id(7)]}), &json!([])) };
    let target = MemoryCluster::new(7, 1);
    let blocked = restore(&store, &target, &order).await.unwrap_err();
    let RestoreError::Blocked(blockers) = blocked else { panic!("{blocked}") };
    assert!(matches!(&blockers[..], [Blocker::NoClass { into }] if into == "Copy"), "{blockers:?}");
    assert!(target.get("Copy").is_none(), "nothing was made");
    // What is there is taken, whatever else it has.
    let mut class = source.get("Articles").unwrap();
    class.objects.clear();
    class.schema["class"] = json!("Copy");
    class.schema["description"] = json!("of another hand");
    class.schema["properties"].as_array_mut().unwrap().push(json!({"name": "more", "dataType": ["text"]}));
    target.set("Copy", class.clone());
    let done = restore(&store, &target, &order).await.unwrap();
    assert_eq!((done.counts.written, target.get("Copy").unwrap().schema), (1, class.schema));
}
