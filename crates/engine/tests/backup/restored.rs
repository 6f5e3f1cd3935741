//! What a restore makes of what it finds.

use bytes::Bytes;
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::backup::restore::{
    Blocker, Conflict, Counts, Order as RestoreOrder, Progress, RestoreError, Restorer, contents, preflight,
};
use elysia_engine::backup::write::{Cold, Order, WriteError};
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::ports::{Clock as _, PortError};
use elysia_engine::retry::Stop;
use serde_json::{Value, json};

use super::world::{class, cluster, object, objects, order, restore, restore_order, write};

async fn backed_up() -> (MemoryStore, MemoryCluster) {
    let (store, source) = (MemoryStore::default(), cluster(30));
    write(&store, &source, &order("one", DataFormat::JsonlGzip)).await.unwrap();
    (store, source)
}

/// `Copy` with an object that the backup has otherwise, and one that it lacks.
fn taken() -> MemoryCluster {
    let target = cluster(0);
    let mut other = object(3);
    other.properties.insert("title".to_owned(), "mine".into());
    other.properties.remove("count");
    other.properties.insert("own".to_owned(), "kept".into());
    let mut objects = objects(100..101);
    objects.insert(other.id, other);
    let objects = [(String::new(), objects)].into();
    target.set("Copy", MemoryClass { schema: class("Copy", false), objects, ..MemoryClass::default() });
    target
}

#[tokio::test]
async fn conflicts_end_as_they_were_asked_to() {
    let (store, source) = backed_up().await;
    let wanted = source.get("Articles").unwrap().objects[""].clone();
    for (conflict, counts, title, own) in [
        (Conflict::Skip, Counts { written: 29, skipped: 1, merged: 0, ..Counts::default() }, "mine", true),
        (Conflict::Overwrite, Counts { written: 30, skipped: 0, merged: 0, ..Counts::default() }, "number 3", false),
        (Conflict::Merge, Counts { written: 29, skipped: 0, merged: 1, ..Counts::default() }, "number 3", true),
    ] {
        store.tamper("restores/r.json", None);
        let target = taken();
        let receipt = restore(&store, &target, &restore_order("Articles", "Copy", conflict)).await.unwrap();
        assert_eq!(receipt.counts, counts, "{conflict:?}");
        let found = target.get("Copy").unwrap().objects[""].clone();
        assert_eq!(found.len(), 31, "what only the target has stays");
        let third = &found[&object(3).id];
        assert_eq!((&third.properties["title"], third.properties.contains_key("own")), (&json!(title), own));
        let others = found.iter().filter(|(id, _)| **id != object(3).id && **id != object(100).id);
        assert!(others.clone().all(|(id, object)| wanted[id] == *object), "{conflict:?}");
    }
}

#[tokio::test]
async fn overwrite_leaves_untouched_what_is_equal() {
    let (store, source) = backed_up().await;
    let order = restore_order("Articles", "Copy", Conflict::Overwrite);
    let target = taken();
    restore(&store, &target, &order).await.unwrap();
    let mut class = target.get("Copy").unwrap();
    let objects = class.objects.get_mut("").unwrap();
    objects.get_mut(&object(4).id).unwrap().properties.insert("title".to_owned(), "theirs".into());
    objects.get_mut(&object(5).id).unwrap().vectors.clear();
    objects.get_mut(&object(6).id).unwrap().properties.insert("nothing".to_owned(), serde_json::Value::Null);
    objects.remove(&object(7).id);
    target.set("Copy", class);
    store.tamper("restores/r.json", None);
    let receipt = restore(&store, &target, &order).await.unwrap();
    assert_eq!(receipt.counts, Counts { written: 3, unchanged: 27, ..Counts::default() });
    let found = target.get("Copy").unwrap().objects[""].clone();
    let others = source.get("Articles").unwrap().objects[""].clone();
    assert!(others.iter().filter(|(id, _)| **id != object(6).id).all(|(id, object)| found[id] == *object));
}

#[tokio::test]
async fn every_blocker_is_named_and_nothing_is_written() {
    let (store, _) = backed_up().await;
    let blocked = async |target: &MemoryCluster, order| {
        let error = restore(&store, target, &order).await.unwrap_err();
        let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
        let words = |blocker: &Blocker| serde_json::to_value(blocker).unwrap()["blocker"].as_str().unwrap().to_owned();
        assert!(!store.files().contains_key("restores/r.json"));
        blockers.iter().map(words).collect::<Vec<_>>()
    };
    let order = |collection: &str| restore_order(collection, "Copy", Conflict::Fail);
    assert_eq!(blocked(&taken(), order("Articles")).await, ["notEmpty"]);
    assert_eq!(blocked(&taken(), order("Notes")).await, ["tenancy"]);
    assert_eq!(blocked(&taken(), order("Nothing")).await, ["noCollection"]);
    let mut many = order("Articles");
    many.factor = Some(3);
    assert_eq!(blocked(&cluster(0).with_nodes(2), many).await, ["tooFewNodes"]);

    let target = taken();
    let mut changed = target.get("Copy").unwrap();
    changed.schema["properties"][1]["dataType"] = json!(["number"]);
    changed.schema["properties"].as_array_mut().unwrap().remove(0);
    changed.schema["vectorConfig"] = json!({"other": {}});
    target.set("Copy", changed);
    let mut found = blocked(&target, order("Articles")).await;
    found.sort();
    assert_eq!(found, ["notEmpty", "property", "property", "vector"]);

    let target = cluster(30);
    let order = restore_order("Notes", "Notes", Conflict::Overwrite);
    assert_eq!(blocked(&target, order).await, ["asleep"]);
}

#[tokio::test]
async fn what_the_servers_lack_is_named_before_the_first_write() {
    let store = MemoryStore::default();
    let source = cluster(30);
    let mut articles = source.get("Articles").unwrap();
    articles.schema["vectorConfig"]["title"]["vectorizer"] = json!({"text2vec-ollama": {}});
    source.set("Articles", articles);
    write(&store, &source, &order("one", DataFormat::JsonlGzip)).await.unwrap();
    let mut three = restore_order("Articles", "Copy", Conflict::Fail);
    three.factor = Some(3);
    let skip = restore_order("Articles", "Copy", Conflict::Skip);
    let aliased = cluster(0);
    aliased.set_alias("Copy", "Gone");
    for (target, order, words, is_passing) in [
        (cluster(0).with_modules(&["text2vec-ollama"]), &skip, None, false),
        (cluster(0).with_modules(&["generative-openai"]), &three, Some("needs module text2vec-ollama"), false),
        (cluster(0).with_unhealthy(1), &three, Some("node-0 of 3 are not"), true),
        (aliased, &three, Some("Copy is an alias, which leads to Gone"), false),
        (taken().with_frozen(&["s1", "s2"]), &skip, Some("2 shards of Copy are read-only, s1 among them"), false),
    ] {
        store.tamper("restores/r.json", None);
        let before = target.get("Copy").map(|class| class.objects);
        let Some(words) = words else {
            restore(&store, &target, order).await.unwrap();
            continue;
        };
        let error = restore(&store, &target, order).await.unwrap_err();
        let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
        let [blocker] = blockers.as_slice() else { panic!("{blockers:?}") };
        assert!(blocker.to_string().contains(words), "{blocker}");
        assert_eq!(blocker.is_passing(), is_passing, "{blocker}");
        assert_eq!(target.get("Copy").map(|class| class.objects), before);
        assert!(!store.files().contains_key("restores/r.json"), "{blocker}");
    }
    // Of tenants only those that are written have to be writable.
    let target = cluster(0);
    target.set("Copy", MemoryClass { schema: class("Copy", true), ..MemoryClass::default() });
    for (frozen, is_blocked) in [("warm", true), ("nobody", false)] {
        store.tamper("restores/r.json", None);
        let order = restore_order("Notes", "Copy", Conflict::Fail);
        let done = restore(&store, &target.with_frozen(&[frozen]), &order).await;
        assert_eq!(done.is_err(), is_blocked, "{frozen}: {done:?}");
    }
}

#[tokio::test]
async fn a_run_of_which_restores_leave_nothing_is_none() {
    let (store, source) = backed_up().await;
    // Killed after its first object.
    let (target, fuse) = (cluster(0), Fuse::after(4));
    let restoring = restore_order("Articles", "Articles", Conflict::Skip);
    let restoring = RestoreOrder { target: "search".to_owned(), ..restoring };
    target.delete("Articles").unwrap();
    restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &restoring).await.unwrap_err();
    let noted = String::from_utf8(store.files()[&restoring.receipt].to_vec()).unwrap();
    assert!(noted.contains("\"hasWritten\": true"), "{noted}");
    let alone = Order { collections: vec!["Articles".to_owned()], ..order("two", DataFormat::Parquet) };
    let refused = write(&store, &source, &alone).await.unwrap_err();
    assert!(matches!(&refused, WriteError::Restored { collection, .. } if collection == "Articles"), "{refused}");
    assert!(refused.to_string().ends_with("kubectl elysia backup abandon r"), "{refused}");
    assert!(!store.files().contains_key("runs/two/manifest.json"));
    // The other collection is there all the same.
    let run = write(&store, &source, &order("three", DataFormat::Parquet)).await.unwrap();
    assert_eq!(run.collections.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(), ["Notes"]);
    // Of a restore that has written nothing there is nothing to leave out.
    let text = noted.replace("\"hasWritten\": true", "\"hasWritten\": false");
    store.tamper(&restoring.receipt, Some(text.into_bytes()));
    assert_eq!(write(&store, &source, &order("four", DataFormat::Parquet)).await.unwrap().collections.len(), 2);
}

/// One replica lost its volume, and the load balancer answers with that one: it lists nothing.
#[tokio::test]
async fn a_collection_of_which_not_every_node_can_be_asked_is_not_empty() {
    let (store, _) = backed_up().await;
    let empty = || MemoryClass { schema: class("Copy", false), ..MemoryClass::default() };
    for (conflict, must_be_empty, is_blocked) in [
        (Conflict::Fail, false, true),
        (Conflict::Overwrite, true, true),
        (Conflict::Overwrite, false, false),
        (Conflict::Skip, false, false),
    ] {
        store.tamper("restores/r.json", None);
        let target = cluster(0).partly_known();
        target.set("Copy", empty());
        let mut order = restore_order("Articles", "Copy", conflict);
        order.must_be_empty = must_be_empty;
        match restore(&store, &target, &order).await {
            Err(RestoreError::Blocked(blockers)) if is_blocked => {
                assert_eq!(blockers, [Blocker::NotProvedEmpty { into: "Copy".to_owned() }], "{conflict:?}");
                assert!(target.get("Copy").unwrap().objects.is_empty());
                assert!(!store.files().contains_key(&order.receipt));
            }
            done => assert!(done.is_ok() && !is_blocked, "{conflict:?}: {done:?}"),
        }
    }
    // Nothing has to be proved of a collection that is not there, nor of one whose nodes answer.
    for target in [cluster(0).partly_known(), cluster(0)] {
        store.tamper("restores/r.json", None);
        restore(&store, &target, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_class_that_it_made_itself_each_object_is_asked_for_where_not_every_node_can_be() {
    let (store, _) = backed_up().await;
    let order = restore_order("Articles", "Copy", Conflict::Fail);
    let mut target = MemoryCluster::new(5, 1);
    // Killed right behind the class, before the note that it writes into it.
    for effects in 0.. {
        store.tamper(&order.receipt, None);
        let fuse = Fuse::after(effects);
        restore(&store.with_fuse(fuse.clone()), &target.with_fuse(fuse), &order).await.unwrap_err();
        if target.get("Copy").is_some() {
            break;
        }
    }
    target = target.partly_known().collection("Copy");
    let looked = async || preflight(&store, &store, &target, &order, FixedClock::default().now()).await.unwrap();
    let found = looked().await;
    assert_eq!((found.is_guarded, found.blockers), (true, vec![]));
    // Nothing says that the class is its own.
    let mut receipt: Value = serde_json::from_slice(&store.files()[&order.receipt]).unwrap();
    assert_eq!((&receipt["makesClass"], &receipt["hasWritten"]), (&json!(true), &json!(false)));
    receipt.as_object_mut().unwrap().remove("makesClass");
    store.tamper(&order.receipt, Some(receipt.to_string().into_bytes()));
    let found = looked().await;
    assert_eq!((found.is_guarded, found.blockers), (false, vec![Blocker::NotProvedEmpty { into: "Copy".to_owned() }]));
}

#[tokio::test]
async fn a_class_that_the_servers_refuse_leaves_nothing_half_done() {
    let (store, _) = backed_up().await;
    let target = cluster(0).refusing_classes();
    let error = restore(&store, &target, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap_err();
    assert!(error.to_string().contains("nothing was written: the servers refuse the class"), "{error}");
    assert!(target.get("Copy").is_none() && !store.files().contains_key("restores/r.json"));
}

#[tokio::test]
async fn a_receipt_of_another_restore_is_not_gone_on_with() {
    let (store, _) = backed_up().await;
    restore(&store, &cluster(0), &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap();
    let error = restore(&store, &cluster(0), &restore_order("Articles", "Other", Conflict::Fail)).await.unwrap_err();
    assert!(error.to_string().contains("the receipt is that of another restore"), "{error}");
}

#[tokio::test]
async fn tenants_at_rest_are_woken_left_out_or_refused_as_was_asked() {
    let source = cluster(30);
    let run = async |cold| {
        let store = MemoryStore::default();
        let order = Order { cold, ..order("one", DataFormat::Parquet) };
        let written = write(&store, &source, &order).await;
        assert_eq!(source.get("Notes").unwrap().tenants["cold"], "COLD");
        (store, written)
    };
    let (store, refused) = run(Cold::Refuse).await;
    assert!(matches!(refused, Err(WriteError::Asleep { count: 1, .. })), "{refused:?}");
    assert!(store.files().is_empty());

    let (_, woken) = run(Cold::Wake).await;
    assert_eq!(woken.unwrap().collection("Notes").unwrap().contents.objects, 10 + 15);

    let (store, skipped) = run(Cold::Skip).await;
    let manifest = skipped.unwrap();
    let note = manifest.collection("Notes").unwrap();
    assert_eq!((note.contents.objects, note.left_out), (15, 1));
    let error = restore(&store, &cluster(0), &restore_order("Notes", "Copy", Conflict::Fail)).await.unwrap_err();
    assert!(error.to_string().contains("1 tenants were left out"), "{error}");
}

#[tokio::test]
async fn what_is_restored_is_what_was_read() {
    let (store, source) = backed_up().await;
    let target = cluster(0);
    restore(&store, &target, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap();
    let (was, is) =
        (contents(&source, "Articles", None).await.unwrap(), contents(&target, "Copy", None).await.unwrap());
    assert_eq!((was.objects, was), (30, is));
    let made = target.get("Copy").unwrap().schema;
    assert_eq!((&made["class"], &made["replicationConfig"]["factor"]), (&json!("Copy"), &json!(1)));
}

/// A store during whose reading of parts somebody meddles with the cluster.
struct Meddled<'a, F> {
    store: &'a MemoryStore,
    meddle: F,
}

impl<F: Fn() + Sync> Store for Meddled<'_, F> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.store.put(key, bytes, mode).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        if key.contains("part-") {
            (self.meddle)();
        }
        self.store.get(key, most).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.store.folders(folder).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        Store::files(self.store, folder, most).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.store.remove(keys).await
    }
}

#[tokio::test]
async fn a_class_that_is_made_while_parts_are_hashed_is_seen_before_the_first_write() {
    let (store, _) = backed_up().await;
    for (conflict, must_be_empty) in [(Conflict::Fail, false), (Conflict::Overwrite, true), (Conflict::Skip, true)] {
        let target = cluster(0);
        let meddled = Meddled { store: &store, meddle: || target.set("Copy", taken().get("Copy").unwrap()) };
        let mut order = restore_order("Articles", "Copy", conflict);
        order.must_be_empty = must_be_empty;
        let (clock, stop, progress, into) =
            (FixedClock::default(), Stop::default(), Progress::default(), target.collection("Copy"));
        let restorer = Restorer {
            store: &meddled,
            receipts: &store,
            target: &into,
            clock: &clock,
            stop: &stop,
            progress: &progress,
            order: &order,
        };
        let error = restorer.restore().await.unwrap_err();
        let RestoreError::Blocked(blockers) = error else { panic!("{error}") };
        assert!(matches!(blockers[..], [Blocker::NotEmpty { .. }]), "{blockers:?}");
        assert_eq!(target.get("Copy").unwrap().objects, taken().get("Copy").unwrap().objects);
        assert!(!store.files().contains_key(&order.receipt));
    }
}
