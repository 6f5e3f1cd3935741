//! Random definitions: one of a few bases, changed in some places.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

/// What is declared, what is live, and by what the two are judged.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) wanted: Value,
    pub(super) live: Value,
    pub(super) policy: Value,
    /// Which of the recorded versions.
    pub(super) server: usize,
    /// Whether the operator knows the version.
    pub(super) knows_version: bool,
}

fn bases() -> Vec<Value> {
    let properties = json!([
        {"name": "title", "dataType": ["text"]},
        {"name": "count", "dataType": ["int"]},
        {"name": "born", "dataType": ["date"]},
        {"name": "box", "dataType": ["object"], "nestedProperties": [{"name": "lid", "dataType": ["text"]}]},
    ]);
    let legacy =
        |kind: &str| json!({"class": "A", "properties": properties, "vectorizer": "none", "vectorIndexType": kind});
    let named = |kind: &str| {
        json!({
            "class": "A", "properties": properties,
            "vectorConfig": {"v": {"vectorizer": {"none": {}}, "vectorIndexType": kind}},
        })
    };
    let mut tenants = legacy("hnsw");
    tenants["multiTenancyConfig"] = json!({"enabled": true});
    vec![legacy("hnsw"), legacy("flat"), legacy("dynamic"), named("hnsw"), named("flat"), named("dynamic"), tenants]
}

/// Places and values; `@` is the vector index, wherever it is.
fn edits() -> Vec<(&'static str, Value)> {
    let text = |name: &str| json!({"name": name, "dataType": ["text"]});
    vec![
        ("description", json!("one")),
        ("description", json!("two")),
        ("description", json!("")),
        ("invertedIndexConfig.bm25.b", json!(0.5)),
        ("invertedIndexConfig.bm25.k1", json!(1.300_000_01)),
        ("invertedIndexConfig.cleanupIntervalSeconds", json!(120)),
        ("invertedIndexConfig.stopwords.preset", json!("none")),
        ("invertedIndexConfig.stopwords.additions", json!(["star", "the"])),
        ("invertedIndexConfig.stopwords.additions", json!(["comet", "star"])),
        ("invertedIndexConfig.stopwords.additions", json!([])),
        ("invertedIndexConfig.stopwords.removals", json!(["a"])),
        ("invertedIndexConfig.indexTimestamps", json!(true)),
        ("invertedIndexConfig.indexNullState", json!(true)),
        ("invertedIndexConfig.indexPropertyLength", json!(false)),
        ("invertedIndexConfig.usingBlockMaxWAND", json!(true)),
        ("invertedIndexConfig.stopwordPresets", json!({"fr": ["le", "la"]})),
        ("objectTtlConfig", json!({"enabled": true, "deleteOn": "born", "defaultTtl": 3600})),
        ("objectTtlConfig", json!({"enabled": true, "deleteOn": "_creationTimeUnix", "defaultTtl": 60})),
        ("multiTenancyConfig.autoTenantCreation", json!(true)),
        ("multiTenancyConfig.autoTenantActivation", json!(true)),
        ("shardingConfig.desiredCount", json!(2)),
        ("moduleConfig.generative-openai", json!({"model": "gpt-4"})),
        ("moduleConfig.generative-openai", json!({"model": "gpt-4o"})),
        ("moduleConfig.generative-cohere", json!({})),
        ("moduleConfig.reranker-cohere", json!({"model": "rerank-english-v3.0"})),
        ("properties.+", text("extra")),
        ("properties.+", text("Other")),
        ("properties.+", json!({"name": "price", "dataType": ["number"], "indexRangeFilters": true})),
        ("properties.+", json!({"name": "where", "dataType": ["geoCoordinates"]})),
        ("properties.+", json!({"name": "code", "dataType": ["string"], "tokenization": "word"})),
        ("properties.title.description", json!("a title")),
        ("properties.title.description", json!("a headline")),
        ("properties.title.tokenization", json!("field")),
        ("properties.title.indexSearchable", json!(true)),
        ("properties.title.indexFilterable", json!(false)),
        ("properties.title.textAnalyzer", json!({"asciiFold": true})),
        ("properties.title.keywords", json!([1])),
        ("properties.count.indexRangeFilters", json!(true)),
        ("properties.box.nestedProperties.lid.description", json!("covers it")),
        ("properties.box.nestedProperties.lid.tokenization", json!("field")),
        ("properties.box.nestedProperties.+", text("key")),
        ("vectorConfig.w", json!({"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"})),
        (
            "vectorConfig.w",
            json!({"vectorizer": {"none": {}}, "vectorIndexType": "flat", "vectorIndexConfig": {"distance": "dot"}}),
        ),
        ("brandNew", json!({"setting": 1})),
        ("@.distance", json!("dot")),
        ("@.ef", json!(64)),
        ("@.ef", json!(-1)),
        ("@.dynamicEfMin", json!(50)),
        ("@.flatSearchCutoff", json!(1000)),
        ("@.filterStrategy", json!("sweeping")),
        ("@.filterStrategy", json!("acorn")),
        ("@.vectorCacheMaxObjects", json!(1000)),
        ("@.maxConnections", json!(16)),
        ("@.efConstruction", json!(64)),
        ("@.skip", json!(true)),
        ("@.bq.enabled", json!(true)),
        ("@.pq.enabled", json!(true)),
        ("@.pq.segments", json!(4)),
        ("@.sq.enabled", json!(true)),
        ("@.sq.rescoreLimit", json!(30)),
        ("@.rq.enabled", json!(true)),
        ("@.rq.bits", json!(1)),
        ("@.bq.rescoreLimit", json!(30)),
        ("@.threshold", json!(5000)),
        ("@.hnsw.ef", json!(64)),
        ("@.hnsw.bq.enabled", json!(true)),
        ("@.hnsw.maxConnections", json!(16)),
        ("@.flat.vectorCacheMaxObjects", json!(1000)),
    ]
}

fn rules() -> Vec<Value> {
    [
        "description",
        "*",
        "vectorConfig.*.vectorIndexConfig.ef",
        "vectorIndexConfig",
        "properties.title",
        "invertedIndexConfig.*",
    ]
    .iter()
    .flat_map(|path| ["Revert", "Adopt", "Report"].map(|action| json!({"path": path, "action": action})))
    .collect()
}

/// Puts the value at the place; a place that is not there stays so.
fn set(target: &mut Value, path: &[&str], value: &Value) {
    match (path, target) {
        ([], target) => *target = value.clone(),
        (["+"], Value::Array(list)) if !list.iter().any(|one| one["name"] == value["name"]) => list.push(value.clone()),
        ([name, rest @ ..], Value::Array(list)) => {
            if let Some(one) = list.iter_mut().find(|one| one["name"] == *name) {
                set(one, rest, value);
            }
        }
        ([key, rest @ ..], Value::Object(map)) => set(map.entry(*key).or_insert(json!({})), rest, value),
        (_, _) => {}
    }
}

fn edited(base: usize, choices: &[usize]) -> Value {
    static BASES: LazyLock<Vec<Value>> = LazyLock::new(bases);
    static EDITS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(edits);
    let mut class = BASES[base].clone();
    let index =
        if class.get("vectorConfig").is_some() { "vectorConfig.v.vectorIndexConfig" } else { "vectorIndexConfig" };
    for choice in choices {
        let (place, value) = &EDITS[*choice];
        let place = place.replace('@', index);
        set(&mut class, &place.split('.').collect::<Vec<_>>(), value);
    }
    class
}

/// Mostly two of one base: what was declared, and what became of it.
pub(super) fn pair() -> impl Strategy<Value = Pair> {
    let base = 0..bases().len();
    let choices = || prop::collection::vec(0..edits().len(), 0..7);
    let policy = prop::collection::vec(prop::sample::select(rules()), 0..2);
    let other = prop_oneof![9 => Just(None), 1 => base.clone().prop_map(Some)];
    (base, other, choices(), choices(), policy, 0..4_usize, prop::bool::weighted(0.8)).prop_map(
        |(base, other, wanted, live, policy, server, knows_version)| Pair {
            wanted: edited(base, &wanted),
            live: edited(other.unwrap_or(base), &live),
            policy: policy.into(),
            server,
            knows_version,
        },
    )
}
