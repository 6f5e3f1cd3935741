//! Collections that lead to one another, by the kinds: backed up together, restored beside themselves and again after all of
//! them were deleted. What a restore leads to and is not there is told before the first write; of two that lead to one
//! another the first waits for the second; in the end every node keeps every reference in its order, also to what is gone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elysia_api::backup::BackupState;
use elysia_api::restore::RestorePhase;
use elysia_api::{CollectionBackup, CollectionRestore, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_weaviate::{Client as Weaviate, Consistency, NewReference, Page, SchemaRead};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use object_store::ObjectStore as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backup::{BUCKET, client, policy};
use crate::backup_chosen::manifest;
use crate::backup_native::said;
use crate::support::{NODES, Nodes, PATIENCE, Stage, on_a_thread};

/// Leads to [`PLACES`], to itself, and to [`AUTHORS`].
const ARTICLES: &str = "Articles";
const ARTICLE_COUNT: u32 = 90;
/// Leads back to [`ARTICLES`].
const AUTHORS: &str = "Authors";
const AUTHOR_COUNT: u32 = 30;
/// Leads nowhere.
const PLACES: &str = "Places";
const PLACE_COUNT: u32 = 20;
const COUNTS: [(&str, u32); 3] = [(ARTICLES, ARTICLE_COUNT), (AUTHORS, AUTHOR_COUNT), (PLACES, PLACE_COUNT)];

/// Number of an object that never was.
const GONE: u32 = 10_000;

/// Every property that is a reference.
const REFERENCES: [&str; 4] = ["at", "next", "by", "wrote"];

/// More than a collection has objects: one page is all of it.
const PAGE: usize = 200;

/// Time in which nodes hear of a property, or the last replica of a write that the majority has confirmed: half a second when
/// measured, and this is a busy machine.
const HEARD: Duration = Duration::from_secs(30);

/// Of each object, and of each of its properties that is a reference, the beacons in their order.
type Leads = BTreeMap<Uuid, BTreeMap<String, Vec<String>>>;

/// As [`Nodes::write`] makes them.
fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

fn ids(count: u32) -> Vec<Uuid> {
    (0..count).map(id).collect()
}

fn beacon(class: &str, number: u32) -> String {
    format!("weaviate://localhost/{class}/{}", id(number))
}

/// The references of one object of a collection, which may have come back as `own`.
fn references(class: &str, own: &str, number: u32) -> Vec<(&'static str, String)> {
    match class {
        ARTICLES => {
            let next = ("next", beacon(own, (number * 7 + 1) % ARTICLE_COUNT));
            let mut all = vec![next, ("at", beacon(PLACES, number % PLACE_COUNT))];
            if number.is_multiple_of(7) {
                // In the midst of others, and a server does not ask whether it is there.
                all.extend([("at", beacon(PLACES, GONE)), ("at", beacon(PLACES, number % 3))]);
            }
            if number.is_multiple_of(3) {
                // One of them twice, and in no order of ids.
                all.extend([number + 5, number + 2, number + 5].map(|by| ("by", beacon(AUTHORS, by % AUTHOR_COUNT))));
            }
            all
        }
        AUTHORS => (0..number % 4).map(|at| ("wrote", beacon(ARTICLES, (number * 13 + at) % ARTICLE_COUNT))).collect(),
        _ => Vec::new(),
    }
}

/// What a collection has to lead to that is called `own` by now.
fn leads(class: &str, own: &str, count: u32) -> Leads {
    let of = |number: u32| {
        let mut lists = BTreeMap::<String, Vec<String>>::new();
        for (property, beacon) in references(class, own, number) {
            lists.entry(property.to_owned()).or_default().push(beacon);
        }
        (id(number), lists)
    };
    (0..count).map(of).collect()
}

/// What the objects of a collection lead to as this node has it: it holds every shard, and lists its own replicas.
async fn kept(client: &Weaviate, class: &str) -> Result<Leads, String> {
    let page = Page { class, tenant: None, after: None, limit: PAGE };
    let found =
        client.page_references(page, &REFERENCES.map(str::to_owned)).await.map_err(|error| error.to_string())?;
    let beacons = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten();
        all.map(|reference| reference["beacon"].as_str().unwrap_or("no beacon").to_owned()).collect()
    };
    let lists = |properties: BTreeMap<String, Value>| -> BTreeMap<String, Vec<String>> {
        let lists = properties.into_iter().map(|(property, list)| (property, beacons(&list)));
        lists.filter(|(_, beacons)| !beacons.is_empty()).collect()
    };
    Ok(found.into_iter().map(|(id, kept)| (id, lists(kept.properties))).collect())
}

/// The first thing that a node has otherwise.
async fn difference(nodes: &Nodes, class: &str, wanted: &Leads) -> Option<String> {
    for (node, client) in &nodes.clients {
        let found = match kept(client, class).await {
            Ok(found) => found,
            Err(error) => return Some(format!("{node}: {error}")),
        };
        let ids: BTreeSet<&Uuid> = found.keys().chain(wanted.keys()).collect();
        if let Some(id) = ids.into_iter().find(|id| found.get(*id) != wanted.get(*id)) {
            let (is, should) = (found.get(id), wanted.get(id));
            return Some(format!("{node}: {id} of {class} leads to {is:?} instead of {should:?}"));
        }
    }
    None
}

/// Waits until every node has these objects, and each leads where it should and nowhere else. A restore is done when a
/// majority has confirmed its writes.
async fn every_node_keeps(stage: &Stage, nodes: &Nodes, class: &str, own: &str, count: u32) {
    let wanted = leads(class, own, count);
    let last = RefCell::new(String::new());
    stage
        .wait(&format!("every node to keep what {own} leads to"), HEARD, async || {
            let Some(difference) = difference(nodes, own, &wanted).await else { return Some(()) };
            if last.replace(difference.clone()) != difference {
                stage.say(&difference);
            }
            None
        })
        .await;
    nodes.come_to_hold(own, &ids(count)).await;
}

/// The properties of a class with their types, as this node acts by them.
async fn types(client: &Weaviate, class: &str) -> BTreeMap<String, Value> {
    let class = client.class(class, SchemaRead::Local).await.unwrap().unwrap_or_default();
    let properties = class["properties"].as_array().into_iter().flatten();
    properties.map(|it| (it["name"].as_str().unwrap().to_owned(), it["dataType"].clone())).collect()
}

async fn fill(stage: &Stage, nodes: &Nodes) {
    let reference = |name: &str, target: &str| json!({"name": name, "dataType": [target]});
    let factor = i64::try_from(NODES).unwrap();
    nodes.create(PLACES, 1, factor).await;
    nodes.create(AUTHORS, 2, factor).await;
    let articles = json!({
        "class": ARTICLES, "vectorizer": "none",
        "shardingConfig": {"desiredCount": 3}, "replicationConfig": {"factor": NODES},
        "properties": [
            {"name": "title", "dataType": ["text"]},
            reference("at", PLACES), reference("next", ARTICLES), reference("by", AUTHORS),
        ],
    });
    nodes.first().create_class(&articles).await.unwrap();
    // A class cannot lead to one that is not there: this closes the circle.
    nodes.first().add_property(AUTHORS, &reference("wrote", ARTICLES)).await.unwrap();
    stage
        .wait("every node to know the property", HEARD, async || {
            for client in nodes.clients.values() {
                if !types(client, AUTHORS).await.contains_key("wrote") {
                    return None;
                }
            }
            Some(())
        })
        .await;
    for (class, count) in COUNTS {
        nodes.fill(class, count).await;
        let all: Vec<_> = (0..count)
            .flat_map(|number| references(class, class, number).into_iter().map(move |it| (number, it)))
            .collect();
        let new = all.iter().map(|(number, (property, beacon))| NewReference { id: id(*number), property, beacon });
        let new: Vec<_> = new.collect();
        let refused = nodes.first().add_references(class, None, &new, Consistency::All).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

fn restore(name: &str, collection: &str, into: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": collection, "into": into,
        },
    })
}

/// Objects and digest of each collection of a run.
async fn contents(store: &AmazonS3, run: Option<&str>) -> BTreeMap<String, [Value; 2]> {
    let manifest = manifest(store, run.unwrap()).await;
    let notes = manifest["collections"].as_array().unwrap().iter();
    notes
        .map(|note| (note["name"].as_str().unwrap().to_owned(), ["objects", "digest"].map(|key| note[key].clone())))
        .collect()
}

async fn receipts(store: &AmazonS3) -> usize {
    let found: Vec<_> = store.list(Some(&Path::from("search/restores"))).try_collect().await.unwrap();
    found.len()
}

/// Under other names, beside what is there: what led to the collection itself leads to the new one, everything else leads
/// where it led.
async fn beside_themselves(stage: &Stage, nodes: &Nodes) {
    let [articles, authors] = ["ArticlesAgain", "AuthorsAgain"];
    stage.apply::<CollectionRestore>(restore("articles-again", ARTICLES, articles)).await;
    stage.apply::<CollectionRestore>(restore("authors-again", AUTHORS, authors)).await;
    for (name, count) in [("articles-again", ARTICLE_COUNT), ("authors-again", AUTHOR_COUNT)] {
        let status = stage.restored(name, RestorePhase::Succeeded).await;
        assert_eq!(status.objects.unwrap().written, i64::from(count));
    }
    every_node_keeps(stage, nodes, ARTICLES, articles, ARTICLE_COUNT).await;
    every_node_keeps(stage, nodes, AUTHORS, authors, AUTHOR_COUNT).await;
    every_node_keeps(stage, nodes, ARTICLES, ARTICLES, ARTICLE_COUNT).await;
    let mut wanted = types(nodes.first(), ARTICLES).await;
    wanted.insert("next".to_owned(), json!([articles]));
    for client in nodes.clients.values() {
        assert_eq!(types(client, articles).await, wanted);
    }
}

/// Nothing of it is there any more. Of a circle the first one waits for the second, and goes on by itself.
async fn after_they_were_deleted(stage: &Stage, nodes: &Nodes, store: &AmazonS3) {
    let before = receipts(store).await;
    for class in ["ArticlesAgain", "AuthorsAgain", ARTICLES, AUTHORS, PLACES] {
        nodes.first().delete_class(class).await.unwrap();
    }

    // What it leads to and is not there stands in its way; what leads back to it does not, for that could not be first either.
    stage.apply::<CollectionRestore>(restore("articles", ARTICLES, ARTICLES)).await;
    let blocked = said(&stage.restored("articles", RestorePhase::Failed).await);
    let words =
        "Blocked: nothing was written: property `at` leads to collection Places, which is not there: restore it first";
    assert!(blocked.starts_with(words) && !blocked.contains("`by`"), "{blocked}");
    assert_eq!(receipts(store).await, before, "it has not begun");
    for client in nodes.clients.values() {
        assert!(client.class(ARTICLES, SchemaRead::Local).await.unwrap().is_none(), "nothing was written");
    }
    stage.apply::<CollectionRestore>(restore("places", PLACES, PLACES)).await;
    stage.restored("places", RestorePhase::Succeeded).await;

    // The next words of the message: a new value of the annotation.
    stage.annotate::<CollectionRestore>("articles", names::RUN_NOW_ANNOTATION, "1").await;
    let api = stage.api::<CollectionRestore>();
    let told = stage
        .wait("articles to wait for authors", PATIENCE, async || {
            let status = api.get("articles").await.unwrap().status?;
            Some(said(&status)).filter(|told| told.contains("waits for collection"))
        })
        .await;
    assert!(told.contains("all objects are written, and property `by` waits for collection Authors"), "{told}");
    assert!(!types(nodes.first(), ARTICLES).await.contains_key("by"), "it is added behind the objects");
    nodes.come_to_hold(ARTICLES, &ids(ARTICLE_COUNT)).await;
    stage.apply::<CollectionRestore>(restore("authors", AUTHORS, AUTHORS)).await;
    for name in ["authors", "articles"] {
        stage.restored(name, RestorePhase::Succeeded).await;
    }
}

#[tokio::test]
async fn collections_that_lead_to_one_another() {
    let stage = Stage::set("backup-references").await;
    let nodes = stage.cluster("search").await;
    fill(&stage, &nodes).await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;

    let mut nightly = policy("nightly", &server);
    nightly["spec"]["collections"] = json!(COUNTS.map(|(class, _)| class));
    stage.apply::<CollectionBackup>(nightly).await;
    let first = stage.backed_up("nightly", None).await.run.unwrap();
    let count: u32 = COUNTS.iter().map(|(_, count)| count).sum();
    assert_eq!((first.state, first.objects), (BackupState::Succeeded, i64::from(count)), "{first:?}");
    let was = contents(&store, first.id.as_deref()).await;
    let mut wanted = BTreeMap::new();
    for (class, count) in COUNTS {
        every_node_keeps(&stage, &nodes, class, class, count).await;
        wanted.insert(class, types(nodes.first(), class).await);
    }

    beside_themselves(&stage, &nodes).await;
    after_they_were_deleted(&stage, &nodes, &store).await;
    for (class, count) in COUNTS {
        every_node_keeps(&stage, &nodes, class, class, count).await;
        for client in nodes.clients.values() {
            assert_eq!(types(client, class).await, wanted[class]);
        }
    }

    // Backed up again it is the same, by the digest of all that is in it.
    stage.annotate::<CollectionBackup>("nightly", names::RUN_NOW_ANNOTATION, "again").await;
    let again = stage.backed_up("nightly", Some("again")).await.run.unwrap();
    assert_eq!(again.state, BackupState::Succeeded, "{again:?}");
    assert_ne!(again.id, first.id);
    assert_eq!(contents(&store, again.id.as_deref()).await, was);
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
