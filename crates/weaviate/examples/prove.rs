//! Proves the client against a running cluster whose REST is on `BASE+80+node` and gRPC on `BASE+150+node`:
//! `cargo run -p elysia-weaviate --example prove -- BASE KEY`. Makes and deletes the class `ElysiaProof`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

use elysia_weaviate::{
    BatchObject, Client, ClientOptions, Consistency, NamedVector, Page, ReadFrom, SchemaRead, Selection, ShardStatus,
    Vectors,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn Error>>;

const CLASS: &str = "ElysiaProof";
const OBJECTS: u128 = 1200;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let base: u16 = arguments.next().ok_or("BASE is missing")?.parse()?;
    let key = arguments.next().ok_or("KEY is missing")?;
    let mut nodes = vec![];
    for node in 0..3 {
        let url = |port: u16| format!("http://127.0.0.1:{port}").parse();
        let options = ClientOptions::new(url(base + 80 + node)?).grpc(url(base + 150 + node)?);
        nodes.push(Client::new(options.api_key(key.clone().into()))?);
    }
    let first = &nodes[0];

    say(&format!("{:?} ready {}", first.meta().await?, first.ready().await?))?;
    say(&format!("auto-schema {:?}", first.auto_schema_probe().await?))?;
    say(&format!("backup {:?}", first.backup_in_progress().await?))?;
    let statistics = first.statistics().await?;
    say(&format!("synchronized {} raft {:?}", statistics.synchronized, statistics.nodes[0].raft))?;

    first.delete_class(CLASS).await?;
    first.create_class(&class()).await?;
    settle(&nodes, 1).await?;
    batches(first).await?;
    replicate(&nodes).await?;
    compare(&nodes).await?;
    deletions(&nodes).await?;
    freeze(&nodes).await?;
    first.delete_class(CLASS).await?;
    settle(&nodes, 0).await?;
    say("all proved")
}

fn class() -> Value {
    json!({
        "class": CLASS,
        "replicationConfig": { "factor": 1 },
        "shardingConfig": { "desiredCount": 2 },
        "vectorConfig": {
            "one": { "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" },
            "many": { "vectorizer": { "none": {} }, "vectorIndexType": "hnsw",
                      "vectorIndexConfig": { "multivector": { "enabled": true } } },
        },
        "properties": [
            { "name": "text", "dataType": ["text"] }, { "name": "whole", "dataType": ["int"] },
            { "name": "real", "dataType": ["number"] }, { "name": "yes", "dataType": ["boolean"] },
            { "name": "at", "dataType": ["date"] }, { "name": "key", "dataType": ["uuid"] },
            { "name": "blob", "dataType": ["blob"] }, { "name": "place", "dataType": ["geoCoordinates"] },
            { "name": "phone", "dataType": ["phoneNumber"] },
            { "name": "texts", "dataType": ["text[]"] }, { "name": "wholes", "dataType": ["int[]"] },
            { "name": "reals", "dataType": ["number[]"] }, { "name": "flags", "dataType": ["boolean[]"] },
            { "name": "dates", "dataType": ["date[]"] }, { "name": "none", "dataType": ["text[]"] },
            { "name": "nested", "dataType": ["object"], "nestedProperties": [
                { "name": "a", "dataType": ["text"] }, { "name": "list", "dataType": ["int[]"] } ] },
            { "name": "nestedList", "dataType": ["object[]"], "nestedProperties": [
                { "name": "a", "dataType": ["number"] } ] },
        ],
    })
}

fn properties(number: u128) -> Map<String, Value> {
    let value = json!({
        "text": format!("text {number} äß\u{1F600}"), "whole": 9_007_199_254_740_991_i64, "real": 0.1, "yes": true,
        "at": "2026-11-21T10:11:12.123456789Z", "key": Uuid::from_u128(number), "blob": "aGVsbG8=",
        "place": { "latitude": 52.52, "longitude": 13.405 },
        "phone": { "input": "+49 30 901820" },
        "texts": ["a", "b"], "wholes": [1, -2], "reals": [1, 2], "flags": [true, false],
        "dates": ["2026-11-21T00:00:00Z"], "none": [], "nested": { "a": "x", "list": [1, 2] },
        "nestedList": [{ "a": 1.5 }, { "a": 2 }], "absent": null,
    });
    value.as_object().cloned().unwrap_or_default()
}

fn object(number: u128) -> BatchObject {
    let named = BTreeMap::from([
        ("one".to_owned(), NamedVector::Single(vec![0.1, -1.5, 3.25])),
        ("many".to_owned(), NamedVector::Multi(vec![vec![0.1, 0.2], vec![0.3, 0.4]])),
    ]);
    BatchObject {
        id: Uuid::from_u128(number << 64 | 1),
        class: CLASS.to_owned(),
        tenant: None,
        properties: properties(number),
        vectors: Vectors { unnamed: None, named },
    }
}

async fn batches(client: &Client) -> Outcome {
    let mut objects = (0..OBJECTS).map(object).collect::<Vec<_>>();
    let start = Instant::now();
    let outcome = client.batch_objects(&objects, Consistency::Quorum).await?;
    say(&format!("{OBJECTS} objects in {:?}: {outcome:?}", start.elapsed()))?;

    objects.truncate(3);
    objects[1].properties.insert("whole".to_owned(), json!("text"));
    let outcome = client.batch_objects(&objects, Consistency::Quorum).await?;
    for error in &outcome.errors {
        say(&format!("expected: {error:?} retryable {} {}", error.retryable(), error.category()))?;
    }

    let ids = [objects[0].id, Uuid::from_u128(5), objects[2].id];
    let fetched =
        client.fetch_selected(CLASS, None, &ids, &Selection::of_class(&class()), true, Consistency::All).await?;
    say(&format!("{} of 3 fetched", fetched.len()))?;
    let by_rest = client
        .object(CLASS, None, objects[0].id, ReadFrom::Replicas(Consistency::One), true)
        .await?
        .ok_or("no object by REST")?;
    let by_grpc = fetched.iter().find(|object| object.id == by_rest.id).ok_or("no object by gRPC")?;
    let named = by_grpc.vectors.named.iter().map(|(name, vector)| (name.clone(), vector.to_json()));
    let differing = by_rest.properties.iter().filter(|(name, value)| by_grpc.properties.get(*name) != Some(*value));
    for (name, value) in differing {
        say(&format!("REST and gRPC differ in {name}: {value} {:?}", by_grpc.properties.get(name)))?;
    }
    let vectors = named.collect::<BTreeMap<_, _>>();
    say(&format!("vectors equal {}", f32s(&json!(vectors)) == f32s(&json!(by_rest.vectors))))?;
    say(&format!("properties equal {}", by_grpc.properties == by_rest.properties))
}

/// Numbers as f32: REST writes the shortest text of an f32, which as an f64 is another number.
#[allow(clippy::cast_possible_truncation)]
fn f32s(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap_or_default() as f32),
        Value::Array(items) => items.iter().map(f32s).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), f32s(value))).collect(),
        other => other.clone(),
    }
}

async fn replicate(nodes: &[Client]) -> Outcome {
    let first = &nodes[0];
    let state = first.sharding_state(CLASS).await?.ok_or("no sharding state")?;
    let mut operations = vec![];
    for shard in &state.shards {
        for target in ["w-0", "w-1", "w-2"].into_iter().filter(|node| shard.replicas.iter().all(|has| has != node)) {
            operations.push(first.copy_replica(CLASS, &shard.shard, &shard.replicas[0], target).await?);
        }
    }
    let start = Instant::now();
    for id in &operations {
        loop {
            let operation = first.replication_operation(*id).await?.ok_or("operation is gone")?;
            if operation.state.is_final() {
                say(&format!("{} {} after {:?}", operation.shard, operation.state, start.elapsed()))?;
                break;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let mut class = first.class(CLASS, SchemaRead::Leader).await?.ok_or("no class")?;
    class["replicationConfig"]["factor"] = json!(3);
    first.update_class(CLASS, &class).await?;
    for id in operations {
        first.delete_replication_operation(id).await?;
    }
    while !first.replication_operations(Some(CLASS)).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    say(&format!("factor 3: {:?}, records gone after {:?}", first.sharding_state(CLASS).await?, start.elapsed()))
}

async fn compare(nodes: &[Client]) -> Outcome {
    for node in nodes {
        let start = Instant::now();
        let ids = node.replica_digest(CLASS, None).await?;
        let objects = node.object_digest(CLASS, None).await?;
        let page = Page { class: CLASS, tenant: None, after: None, limit: 500 };
        let fetched = node.fetch_page(page, &Selection::of_class(&class()), true, Consistency::One).await?;
        let listed = node.list_ids(page).await?;
        let same = fetched.iter().map(|object| object.id).collect::<Vec<_>>() == listed;
        say(&format!("{}: ids {ids}; whole {objects}; pages equal {same}; {:?}", node.address(), start.elapsed()))?;
    }
    Ok(())
}

async fn deletions(nodes: &[Client]) -> Outcome {
    let ids = (0..10).map(|number| Uuid::from_u128(number << 64 | 1)).chain([Uuid::from_u128(7)]).collect::<Vec<_>>();
    let outcome = nodes[1].batch_delete_ids(CLASS, None, &ids, Consistency::All).await?;
    say(&format!("deleted {outcome:?}"))?;
    for node in nodes {
        say(&format!("{} {}", node.address(), node.replica_digest(CLASS, None).await?))?;
    }
    Ok(())
}

async fn freeze(nodes: &[Client]) -> Outcome {
    for shard in nodes[0].shard_statuses(CLASS).await? {
        nodes[0].set_shard_status(CLASS, &shard.name, ShardStatus::ReadOnly).await?;
    }
    let start = Instant::now();
    for node in nodes {
        while node.shard_statuses(CLASS).await?.iter().any(|shard| shard.status != ShardStatus::ReadOnly) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    say(&format!("frozen everywhere after {:?}", start.elapsed()))?;
    for node in nodes {
        let outcome = node.batch_objects(&[object(5000)], Consistency::One).await;
        say(&format!("gRPC write while frozen: {outcome:?}"))?;
        if let Ok(outcome) = &outcome {
            let read_only = outcome.errors.iter().map(|error| (error.is_read_only(), error.retryable()));
            say(&format!("read-only, retryable: {:?}", read_only.collect::<Vec<_>>()))?;
        }
    }
    Ok(())
}

/// Waits until every node has, or has not, the class.
async fn settle(nodes: &[Client], wanted: usize) -> Outcome {
    for node in nodes {
        while usize::from(node.class(CLASS, SchemaRead::Local).await?.is_some()) != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn say(text: &str) -> Outcome {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
