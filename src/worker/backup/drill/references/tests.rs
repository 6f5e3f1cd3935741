//! What comes back of references over a store and a cluster in memory, which is as strict about them as servers are, and
//! where a Weaviate says that they may lead.

use elysia_core::backup::ledger::DrilledCollection;
use elysia_engine::backup::manifest::{Manifest, Owner};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{Progress, RestoreError};
use elysia_engine::backup::write::{self, Writer};
use elysia_engine::memory::FixedClock;
use elysia_engine::object::{Object, Vectors};
use elysia_engine::retry::{Retry, Stop};
use elysia_testkit::weaviate::FakeWeaviate;
use serde_json::json;
use uuid::Uuid;

use super::super::memory::MemoryGround;
use super::super::{Closeness, Ended, Removed, Scratch, WeaviateGround, remove};
use super::*;
use crate::worker::backup::ways::ways;
use crate::worker::work::Endpoints;

const OBJECTS: u128 = 7;

fn beacon(class: &str, id: u128) -> Value {
    json!({"beacon": format!("weaviate://localhost/{class}/{}", Uuid::from_u128(id))})
}

fn person(tenants: bool) -> MemoryClass {
    let schema = json!({"class": "Person", "properties": [], "multiTenancyConfig": {"enabled": tenants}});
    MemoryClass { schema, ..MemoryClass::default() }
}

/// `Articles`, whose references lead to persons who are not there, to one another, twice to the same, and to both kinds.
fn articles(tenants: bool) -> MemoryClass {
    let object = |number: u128| {
        let next = (number + 1) % OBJECTS;
        let properties = json!({
            "title": format!("{number}"), "by": [beacon("Person", 90), beacon("Person", 90), beacon("Person", 91)],
            "next": [beacon("Articles", next)], "about": [beacon("Articles", number), beacon("Person", 92)],
            "none": [],
        });
        let id = Uuid::from_u128(number);
        (id, Object { id, properties: properties.as_object().unwrap().clone(), vectors: Vectors::new() })
    };
    let property = |name: &str, types: &[&str]| json!({"name": name, "dataType": types});
    let (tenant, activity) = if tenants { ("acme", "HOT") } else { ("", "") };
    MemoryClass {
        schema: json!({
            "class": "Articles", "multiTenancyConfig": {"enabled": tenants}, "vectorIndexConfig": {},
            "properties": [
                property("title", &["text"]), property("by", &["Person"]), property("next", &["Articles"]),
                property("about", &["Articles", "Person"]), property("none", &["Articles"]),
            ],
        }),
        tenants: tenants.then(|| (tenant.to_owned(), activity.to_owned())).into_iter().collect(),
        objects: [(tenant.to_owned(), (0..OBJECTS).map(object).collect())].into(),
        ..MemoryClass::default()
    }
}

struct Bench {
    store: MemoryStore,
    manifest: Manifest,
    ground: MemoryGround,
}

impl Bench {
    /// A run of `Articles`, and a ground that is another cluster, where there is what is named.
    async fn new(tenants: bool, there: &MemoryCluster, meddle: fn(&MemoryCluster, &str)) -> Self {
        let (store, source) = (MemoryStore::default(), MemoryCluster::new(10, 1));
        source.set("Articles", articles(tenants));
        source.set("Person", person(false));
        let owner = Owner { cluster: "search".to_owned(), policy: "nightly".to_owned() };
        let order = write::Order {
            retry: Retry { attempts: 1, ..Retry::default() },
            ..write::Order::new("1".to_owned(), owner, vec!["Articles".to_owned()])
        };
        let (clock, stop, progress) = (FixedClock::default(), Stop::default(), write::Progress::default());
        let writer =
            Writer { store: &store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order };
        let manifest = writer.write().await.unwrap();
        Self { store, manifest, ground: MemoryGround { meddle, ..MemoryGround::new(there.clone()) } }
    }

    async fn with<T>(&self, work: impl AsyncFnOnce(&Rehearsal<'_, MemoryStore, MemoryGround>) -> T) -> T {
        let (stop, progress) = (Stop::default(), Progress::default());
        work(&Rehearsal {
            store: &self.store,
            ground: &self.ground,
            manifest: &self.manifest,
            key: None,
            factor: Some(1),
            closeness: Closeness { sample: 100, searches: 0, minimum_overlap: 0 },
            retry: Retry { attempts: 1, ..Retry::default() },
            stop: &stop,
            progress: &progress,
        })
        .await
    }

    /// What is found, and what is left out.
    async fn drill(&self) -> (DrilledCollection, BTreeSet<String>) {
        let scratch = Scratch::new("Articles", "nightly", "0123456789ab");
        self.with(async |rehearsal| {
            let found = rehearsal.collection("Articles", &scratch).await.unwrap();
            let class = self.ground.cluster.get(&scratch.name).unwrap().schema;
            let there: BTreeSet<String> = class["properties"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["name"].as_str().unwrap().to_owned())
                .collect();
            let all = ["title", "by", "next", "about", "none"].map(str::to_owned);
            let left_out = all.into_iter().filter(|name| !there.contains(name)).collect();
            let removed = remove(&self.ground, &scratch, rehearsal.retry).await.unwrap();
            assert_eq!(removed, Removed::Deleted);
            (found, left_out)
        })
        .await
    }
}

/// A cluster in which there are these.
fn there(classes: &[(&str, MemoryClass)]) -> MemoryCluster {
    let cluster = MemoryCluster::new(10, 1);
    for (name, class) in classes {
        cluster.set(name, class.clone());
    }
    cluster
}

#[tokio::test]
async fn references_are_restored_and_compared_where_they_can_lead_to_what_they_led_to() {
    let aliased = there(&[("People", person(false))]);
    aliased.set_alias("Person", "People");
    for (what, tenants, cluster, left_out) in [
        ("in the cluster itself", false, there(&[("Articles", articles(false)), ("Person", person(false))]), vec![]),
        ("only what they lead to is there", false, there(&[("Person", person(false))]), vec![]),
        ("nothing is there", false, there(&[]), vec!["about", "by"]),
        ("there are tenants where they lead to", false, there(&[("Person", person(true))]), vec!["about", "by"]),
        ("an alias is no class", false, aliased, vec!["about", "by"]),
        ("there are tenants", true, there(&[("Person", person(false))]), vec!["about", "by", "next", "none"]),
    ] {
        let before = (cluster.get("Articles").map(|it| it.objects), cluster.get("Person").map(|it| it.objects));
        let bench = Bench::new(tenants, &cluster, |_, _| {}).await;
        let (found, missing) = bench.drill().await;
        assert_eq!((found.problem, found.found), (None, i64::try_from(OBJECTS).unwrap()), "{what}");
        assert_eq!(missing.iter().map(String::as_str).collect::<Vec<_>>(), left_out, "{what}");
        let after = (cluster.get("Articles").map(|it| it.objects), cluster.get("Person").map(|it| it.objects));
        assert_eq!(before, after, "{what}");
    }
}

/// Changes the references of every object of a scratch collection.
fn meddle(cluster: &MemoryCluster, name: &str, change: impl Fn(&mut Vec<Value>), property: &str) {
    let mut class = cluster.get(name).unwrap();
    for object in class.objects.values_mut().flat_map(|objects| objects.values_mut()) {
        let Some(list) = object.properties.get_mut(property).and_then(Value::as_array_mut) else { continue };
        change(list);
    }
    cluster.set(name, class);
}

#[tokio::test]
async fn a_reference_that_does_not_come_back_as_it_was_fails_the_drill() {
    type Meddle = fn(&MemoryCluster, &str);
    let lost: Meddle = |cluster, name| meddle(cluster, name, |list| drop(list.pop()), "by");
    let turned: Meddle = |cluster, name| meddle(cluster, name, |list| list.reverse(), "about");
    let strayed: Meddle = |cluster, name| {
        // Out of the scratch collection, into the one that is backed up.
        let own = format!("/{name}/");
        meddle(
            cluster,
            name,
            |list| {
                for reference in list {
                    let led = reference["beacon"].as_str().unwrap().to_owned();
                    assert!(led.contains(&own), "{led}");
                    reference["beacon"] = led.replace(&own, "/Articles/").into();
                }
            },
            "next",
        );
    };
    for (what, meddle) in [("one is lost", lost), ("another order", turned), ("elsewhere", strayed)] {
        let cluster = there(&[("Articles", articles(false)), ("Person", person(false))]);
        let bench = Bench::new(false, &cluster, meddle).await;
        let (found, _) = bench.drill().await;
        assert_eq!(found.differing, i64::try_from(OBJECTS).unwrap(), "{what}");
        let problem = found.problem.unwrap();
        assert!(problem.contains("7 of 7 objects are there, and they are others"), "{what}: {problem}");
    }
}

/// What is refused since a collection went meanwhile says nothing of the run.
#[tokio::test]
async fn a_target_that_goes_meanwhile_is_no_fault_of_the_run() {
    let cluster = there(&[("Person", person(false))]);
    let bench = Bench::new(false, &cluster, |_, _| {}).await;
    let unlinked = || RestoreError::Unlinked { id: Uuid::nil(), reason: "no class Person".to_owned() };
    bench
        .with(async |rehearsal| {
            let led = rehearsal.led("Articles", &articles(false).schema).await.unwrap();
            assert_eq!((led.left_out.len(), &led.targets), (0, &BTreeSet::from(["Person".to_owned()])));
            let ended = rehearsal.unrestored(unlinked(), "Articles", &led).await.unwrap();
            assert!(matches!(ended, Ended::Bad(_)));
            cluster.delete("Person").unwrap();
            let ended = rehearsal.unrestored(unlinked(), "Articles", &led).await.unwrap();
            let Ended::Undone(failure) = ended else { panic!("it is told as a fault of the run") };
            assert!(!failure.is_permanent && failure.message.contains("collection Person"), "{failure}");
        })
        .await;
}

#[tokio::test]
async fn a_weaviate_says_where_references_may_lead() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Person"}));
    weaviate.seed_class(&json!({"class": "Place", "multiTenancyConfig": {"enabled": true}}));
    let alias = json!({"alias": "Humans", "class": "Person"}).to_string();
    assert_eq!(weaviate.ask("w-0", "POST", "/v1/aliases", alias.as_bytes()).unwrap().0, 200);
    let endpoints = Endpoints { rest: weaviate.address("w-0"), grpc: weaviate.address("w-0"), nodes: Vec::new() };
    let ground = WeaviateGround::new(&ways(&endpoints, None).unwrap()).await;
    let bench = Bench::new(false, &there(&[]), |_, _| {}).await;
    let (stop, progress) = (Stop::default(), Progress::default());
    let rehearsal = Rehearsal {
        store: &bench.store,
        ground: &ground,
        manifest: &bench.manifest,
        key: None,
        factor: None,
        closeness: Closeness { sample: 1, searches: 0, minimum_overlap: 0 },
        retry: Retry { attempts: 1, ..Retry::default() },
        stop: &stop,
        progress: &progress,
    };
    let property = |name: &str, target: &str| json!({"name": name, "dataType": [target]});
    let class = json!({"class": "Articles", "properties": [
        property("person", "Person"), property("place", "Place"), property("human", "Humans"),
        property("nobody", "Nobody"), property("own", "Articles"),
    ]});
    let led = rehearsal.led("Articles", &class).await.unwrap();
    assert_eq!(led.left_out.iter().map(String::as_str).collect::<Vec<_>>(), ["human", "nobody", "place"]);
    assert_eq!(led.targets, BTreeSet::from(["Person".to_owned()]));
    assert_eq!(weaviate.transcript(), ["POST /v1/aliases at w-0"], "nothing is written but the alias of this test");
}
