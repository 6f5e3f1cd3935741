//! A cluster with a collection of every kind of value, one with tenants, and what it takes to write and restore them.

use std::collections::BTreeMap;

use elysia_engine::backup::manifest::{DataFormat, Manifest, Owner};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{ObjectSource, Store, Target};
use elysia_engine::backup::restore::{self, Conflict, Receipt, RestoreError, Restorer};
use elysia_engine::backup::transform::Select;
use elysia_engine::backup::verify::{Depth, Findings, verify};
use elysia_engine::backup::write::{Cold, Order, Progress, WriteError, Writer};
use elysia_engine::memory::FixedClock;
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::Clock;
use elysia_engine::retry::{Retry, Stop};
use serde_json::{Value, json};
use uuid::Uuid;

/// Ids far apart, so that stretches share them.
pub(crate) fn id(number: u32) -> Uuid {
    Uuid::from_u128((u128::from(number.wrapping_mul(0x9E37_79B9)) << 96) | (u128::from(number) + 1))
}

pub(crate) fn object(number: u32) -> Object {
    let properties = json!({
        "title": format!("number {number}"), "count": number, "price": f64::from(number) / 7.0, "tags": ["a", "b"],
        "at": "2026-11-29T16:15:53.000000001Z", "none": [], "where": {"latitude": 1.5, "longitude": 2},
    });
    #[expect(clippy::cast_precision_loss, reason = "any numbers do")]
    // In all directions: of vectors that are almost parallel each is as near as the other.
    let numbers = (0..8).map(|place| ((number * 8 + place) * 37 % 101) as f32 / 3.0 - 16.0).collect();
    Object {
        id: id(number),
        properties: properties.as_object().unwrap().clone(),
        vectors: [("title".to_owned(), Vector::Single(numbers))].into(),
    }
}

pub(crate) fn class(name: &str, tenants: bool) -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({
        "class": name,
        "properties": [
            property("title", "text"), property("count", "int"), property("price", "number"), property("tags", "text[]"),
            property("at", "date"), property("none", "text[]"), property("where", "geoCoordinates"),
        ],
        "vectorConfig": {"title": {"vectorizer": {"none": {}}}},
        "replicationConfig": {"factor": 3},
        "multiTenancyConfig": {"enabled": tenants},
        "shardingConfig": {"desiredCount": 3, "actualCount": 3},
    })
}

pub(crate) fn objects(numbers: std::ops::Range<u32>) -> BTreeMap<Uuid, Object> {
    numbers.map(object).map(|object| (object.id, object)).collect()
}

/// `Articles` with this many objects, and `Notes` with two tenants, one of them cold.
pub(crate) fn cluster(count: u32) -> MemoryCluster {
    let cluster = MemoryCluster::new(7, 3);
    let articles = MemoryClass {
        schema: class("Articles", false),
        objects: [(String::new(), objects(0..count))].into(),
        ..MemoryClass::default()
    };
    let notes = MemoryClass {
        schema: class("Notes", true),
        tenants: [("cold".to_owned(), "COLD".to_owned()), ("warm".to_owned(), "HOT".to_owned())].into(),
        objects: [("cold".to_owned(), objects(0..count / 3)), ("warm".to_owned(), objects(0..count / 2))].into(),
        ..MemoryClass::default()
    };
    cluster.set("Articles", articles);
    cluster.set("Notes", notes);
    cluster
}

pub(crate) fn owner(policy: &str) -> Owner {
    Owner { cluster: "search".to_owned(), policy: policy.to_owned() }
}

pub(crate) fn order(run: &str, data: DataFormat) -> Order {
    Order {
        run: run.to_owned(),
        owner: owner("nightly"),
        collections: vec!["Articles".to_owned(), "Notes".to_owned()],
        data,
        cold: Cold::Wake,
        lanes: 2,
        retry: Retry { attempts: 1, ..Retry::default() },
        ..Order::new(run.to_owned(), owner("nightly"), Vec::new())
    }
}

pub(crate) async fn write(store: &MemoryStore, cluster: &MemoryCluster, order: &Order) -> Result<Manifest, WriteError> {
    write_with(store, cluster, order, (&FixedClock::default(), &Progress::default())).await
}

/// The same over any ports.
pub(crate) async fn write_with<S: Store, O: ObjectSource, C: Clock>(
    store: &S,
    source: &O,
    order: &Order,
    (clock, progress): (&C, &Progress),
) -> Result<Manifest, WriteError> {
    Writer { store, source, clock, stop: &Stop::default(), progress, order }.write().await
}

pub(crate) async fn sound(store: &MemoryStore, run: &str) -> Findings {
    verify(store, run, Depth::Objects, &|_| {}).await.unwrap()
}

/// The words of a run's faults, each once.
pub(crate) async fn words(store: &MemoryStore, run: &str) -> Vec<String> {
    let faults = sound(store, run).await.faults;
    let mut words: Vec<String> =
        faults.iter().map(|fault| serde_json::to_value(fault).unwrap()["fault"].as_str().unwrap().to_owned()).collect();
    words.dedup();
    words
}

pub(crate) fn restore_order(collection: &str, into: &str, conflict: Conflict) -> restore::Order {
    restore::Order {
        run: "one".to_owned(),
        collection: collection.to_owned(),
        into: into.to_owned(),
        conflict,
        factor: Some(1),
        shards: None,
        skip_schema: false,
        aliases: true,
        select: Select::default(),
        transform: Vec::new(),
        key: None,
        receipt: "restores/r.json".to_owned(),
        target: "here".to_owned(),
        uid: "u".to_owned(),
        approved: None,
        must_be_empty: false,
        retry: Retry { attempts: 1, ..Retry::default() },
    }
}

pub(crate) async fn restore(
    store: &MemoryStore,
    target: &MemoryCluster,
    order: &restore::Order,
) -> Result<Receipt, RestoreError> {
    let target = target.collection(&order.into);
    restore_with(store, &target, order, (&FixedClock::default(), &restore::Progress::default())).await
}

/// The same over any ports, with the receipt beside the runs.
pub(crate) async fn restore_with<S: Store, T: Target, C: Clock>(
    store: &S,
    target: &T,
    order: &restore::Order,
    (clock, progress): (&C, &restore::Progress),
) -> Result<Receipt, RestoreError> {
    Restorer { store, receipts: store, target, clock, stop: &Stop::default(), progress, order }.restore().await
}
