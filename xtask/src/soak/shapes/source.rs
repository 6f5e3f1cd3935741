//! What is backed up: collections with every type of data and vector that the product supports, written to real servers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use elysia_e2e::servers::{Consistency, Servers};
use serde_json::{Value, json};

use super::linked::{self, LINKED, PERSON, ROOMS};
use super::objects;

/// Every type of property, and named vectors.
pub(super) const EVERYTHING: &str = "Everything";
/// The vector without a name.
pub(super) const LEGACY: &str = "Legacy";
/// The vector without a name, and a named one that was added later.
pub(super) const MIXED: &str = "Mixed";
/// Tenants.
pub(super) const TENANTED: &str = "Tenanted";
/// All of them.
pub(super) const COLLECTIONS: [&str; 7] = [EVERYTHING, LEGACY, MIXED, TENANTED, LINKED, PERSON, ROOMS];
/// Leads to [`EVERYTHING`].
pub(super) const ALIAS: &str = "Whatever";

/// Objects of each collection without tenants: pages, batches and stretches enough, and a minute to read from every
/// replica one by one.
const OBJECTS: [(&str, u32); 3] = [(EVERYTHING, 3_000), (LEGACY, 500), (MIXED, 500)];
/// Tenants with their objects; those that rest do so before they are backed up.
const TENANTS: [(&str, u32, Activity); 6] = [
    ("acme", 150, Activity::Hot),
    ("bolt", 150, Activity::Hot),
    ("crux", 1, Activity::Hot),
    ("dune", 0, Activity::Hot),
    ("echo", 150, Activity::Cold),
    ("foxtrot", 0, Activity::Cold),
];
/// Objects in one batch: a megabyte, with their vectors.
const BATCH: usize = 200;

/// Whether a tenant can be asked.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Activity {
    Hot,
    Cold,
}

/// Makes and fills the collections. Every tenant is awake: [`rest`] puts some of them to rest.
pub(super) fn fill(servers: &Servers, factor: usize) -> Result<()> {
    for class in [everything(factor), legacy(LEGACY, factor), legacy(MIXED, factor), tenanted(factor)] {
        servers.create_class("w-0", &class)?;
    }
    add_named_vector(servers)?;
    for (class, count) in OBJECTS {
        let all = (0..count).map(|number| match class {
            EVERYTHING => objects::everything(class, number),
            LEGACY => objects::legacy(class, number),
            _ => objects::mixed(class, number),
        });
        put(servers, &all.collect::<Vec<_>>())?;
    }
    let names = TENANTS.map(|(name, ..)| json!({"name": name}));
    servers.post("w-0", &format!("/v1/schema/{TENANTED}/tenants"), &json!(names))?;
    for (tenant, count, _) in TENANTS {
        put(servers, &(0..count).map(|number| objects::tenanted(TENANTED, tenant, number)).collect::<Vec<_>>())?;
    }
    linked::fill(servers, factor)?;
    servers.post("w-0", "/v1/aliases", &json!({"alias": ALIAS, "class": EVERYTHING})).map(drop)
}

/// Puts the tenants to rest that are to be backed up so.
pub(super) fn rest(servers: &Servers) -> Result<()> {
    let resting = TENANTS.into_iter().filter(|(.., activity)| *activity == Activity::Cold);
    let order = resting.map(|(name, ..)| json!({"name": name, "activityStatus": "COLD"})).collect::<Vec<_>>();
    servers.put("w-0", &format!("/v1/schema/{TENANTED}/tenants"), &json!(order)).map(drop)
}

/// The tenants of a collection and whether they can be asked, in the server's words; `None` where there are no tenants.
pub(super) fn tenants(servers: &Servers, collection: &str) -> Result<Option<BTreeMap<String, String>>> {
    if class(servers, collection)?["multiTenancyConfig"]["enabled"] != true {
        return Ok(None);
    }
    let (status, body) = servers.get("w-0", &format!("/v1/schema/{collection}/tenants"))?;
    let list = body.as_array().with_context(|| format!("the tenants of {collection}: {status} {body}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Some(list.iter().map(|tenant| (text(&tenant["name"]), text(&tenant["activityStatus"]))).collect()))
}

/// A class as the servers say it.
pub(super) fn class(servers: &Servers, collection: &str) -> Result<Value> {
    let (status, body) = servers.get("w-0", &format!("/v1/schema/{collection}"))?;
    anyhow::ensure!(status == 200, "the class {collection}: {status} {body}");
    Ok(body)
}

pub(super) fn put(servers: &Servers, objects: &[Value]) -> Result<()> {
    objects.chunks(BATCH).try_for_each(|batch| servers.put_batch("w-0", batch, Consistency::All))
}

fn everything(factor: usize) -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    let nested = json!([
        {"name": "name", "dataType": ["text"]},
        {"name": "size", "dataType": ["int"]},
        {"name": "when", "dataType": ["date"]},
        {"name": "ids", "dataType": ["uuid[]"]},
        {"name": "inner", "dataType": ["object"], "nestedProperties": [
            {"name": "weight", "dataType": ["number"]},
            {"name": "marks", "dataType": ["boolean[]"]},
        ]},
    ]);
    let vector = |index: &str, settings: Value| json!({"vectorizer": {"none": {}}, "vectorIndexType": index, "vectorIndexConfig": settings});
    json!({
        "class": EVERYTHING,
        "description": "every type of data; \"quoted\", and ünïcödé",
        "replicationConfig": {"factor": factor, "asyncEnabled": true, "deletionStrategy": "TimeBasedResolution"},
        "shardingConfig": {"desiredCount": 3},
        "invertedIndexConfig": {
            "indexNullState": true, "indexPropertyLength": true, "indexTimestamps": true,
            "bm25": {"k1": 1.3, "b": 0.6}, "stopwords": {"preset": "none", "additions": ["elysia"]},
        },
        "properties": [
            {"name": "title", "dataType": ["text"], "tokenization": "field", "description": "not in words"},
            {"name": "tags", "dataType": ["text[]"], "tokenization": "whitespace", "indexSearchable": false},
            property("count", "int"), property("counts", "int[]"),
            {"name": "ratio", "dataType": ["number"], "indexRangeFilters": true}, property("ratios", "number[]"),
            property("flag", "boolean"), property("flags", "boolean[]"),
            property("at", "date"), property("dates", "date[]"),
            property("key", "uuid"), property("keys", "uuid[]"),
            property("place", "geoCoordinates"), property("phone", "phoneNumber"), property("picture", "blob"),
            {"name": "detail", "dataType": ["object"], "nestedProperties": nested},
            {"name": "details", "dataType": ["object[]"], "nestedProperties": nested},
            // Called as the column of a vector is.
            property("vector_small", "text"),
        ],
        "vectorConfig": {
            "small": vector("hnsw", json!({"distance": "cosine", "efConstruction": 64})),
            "wide": vector("flat", json!({"distance": "l2-squared"})),
            "many": vector("hnsw", json!({"distance": "dot", "multivector": {"enabled": true}})),
        },
    })
}

fn legacy(name: &str, factor: usize) -> Value {
    json!({
        "class": name, "vectorizer": "none",
        "replicationConfig": {"factor": factor, "asyncEnabled": true},
        "shardingConfig": {"desiredCount": 3},
        "vectorIndexType": "hnsw", "vectorIndexConfig": {"distance": "dot"},
        "properties": [{"name": "title", "dataType": ["text"]}],
    })
}

fn tenanted(factor: usize) -> Value {
    json!({
        "class": TENANTED,
        "replicationConfig": {"factor": factor, "asyncEnabled": true},
        "multiTenancyConfig": {"enabled": true, "autoTenantActivation": false, "autoTenantCreation": false},
        "properties": [{"name": "title", "dataType": ["text"]}, {"name": "count", "dataType": ["int"]}],
        "vectorConfig": {"small": {"vectorizer": {"none": {}}, "vectorIndexType": "flat"}},
    })
}

/// A class that has the vector without a name gets a named one beside it: no class can be made so at once.
fn add_named_vector(servers: &Servers) -> Result<()> {
    let mut class = class(servers, MIXED)?;
    class["vectorConfig"] = json!({
        "added": {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": {"distance": "l2-squared"}},
    });
    servers.put("w-0", &format!("/v1/schema/{MIXED}"), &class).map(drop)
}
