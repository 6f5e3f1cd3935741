//! Objects that lack a vector which the servers compute.

use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{Conflict, Order as RestoreOrder, RestoreError, preflight};
use elysia_engine::backup::write::Order;
use elysia_engine::vectorizers::without_vectorizers;
use jiff::Timestamp;
use serde_json::json;

use super::world::{cluster, order, restore, restore_order, write};

/// `Articles`, whose vector `title` servers compute, and `late`, which was added last and no object has; two objects are older
/// than `title` as well.
fn lacking(count: u32) -> MemoryCluster {
    let source = cluster(count);
    let mut articles = source.get("Articles").unwrap();
    articles.schema["vectorConfig"]["title"]["vectorizer"] = json!({"text2vec-x": {}});
    articles.schema["vectorConfig"]["late"] = json!({"vectorizer": {"text2vec-y": {}}});
    let objects = articles.objects.get_mut("").unwrap();
    objects.values_mut().take(2).for_each(|object| object.vectors.clear());
    source.set("Articles", articles);
    source
}

#[tokio::test]
async fn a_restore_tells_which_vectors_the_servers_will_compute() {
    let (store, source) = (MemoryStore::default(), lacking(30));
    write(&store, &source, &order("zero", DataFormat::Parquet)).await.unwrap();
    // A run that builds on it counts the objects that it stands for, not only those that it holds.
    let next = Order { base: Some("zero".to_owned()), ..order("one", DataFormat::Parquet) };
    write(&store, &source, &next).await.unwrap();
    for run in ["zero", "one"] {
        let target = MemoryCluster::new(5, 1);
        let order = RestoreOrder { run: run.to_owned(), ..restore_order("Articles", "Copy", Conflict::Fail) };
        let collection = target.collection("Copy");
        let plan = preflight(&store, &store, &collection, &order, Timestamp::UNIX_EPOCH).await.unwrap();
        let told: Vec<String> = plan.computed.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "30 objects have no vector `late` in the backup: module text2vec-y computes it as they are written",
                "2 objects have no vector `title` in the backup: module text2vec-x computes it as they are written",
            ]
        );
        store.tamper("restores/r.json", None);
        restore(&store, &target, &order).await.unwrap();
        assert_eq!(target.computed(), 32, "as many as was said, and of no object that brings its own");
        let down = MemoryCluster::new(5, 1).with_modules_down();
        store.tamper("restores/r.json", None);
        let error = restore(&store, &down, &order).await.unwrap_err();
        assert!(matches!(error, RestoreError::Refused { .. }), "{error}");
        store.tamper("restores/r.json", None);
    }
    // Into a class that computes nothing they come back as they were; one that computes more computes it for all.
    let bare = MemoryCluster::new(5, 1);
    let schema = without_vectorizers(&source.get("Articles").unwrap().schema);
    bare.set("Copy", MemoryClass { schema: schema.clone(), ..MemoryClass::default() });
    restore(&store, &bare, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap();
    assert_eq!(bare.computed(), 0);
    assert_eq!(bare.get("Copy").unwrap().objects, source.get("Articles").unwrap().objects);
    let more = MemoryCluster::new(5, 1);
    let mut schema = schema;
    schema["vectorConfig"]["own"] = json!({"vectorizer": {"text2vec-z": {}}});
    more.set("Copy", MemoryClass { schema, ..MemoryClass::default() });
    store.tamper("restores/r.json", None);
    restore(&store, &more, &restore_order("Articles", "Copy", Conflict::Fail)).await.unwrap();
    assert_eq!(more.computed(), 30);
}
