//! `kubectl elysia health --data`: what one replica lacks is found, by id and at each node, and nothing is repaired by
//! the looking.

use std::sync::Arc;

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use serde_json::{Value, json};

use crate::support::{NODES, PATIENCE, Stage, collection, on_a_thread, version};

/// Objects that are everywhere.
const EVERYWHERE: u32 = 50;
/// All objects: the rest is written while one node is down.
const OBJECTS: u32 = 60;

#[tokio::test]
async fn an_object_that_one_replica_lacks_is_found() {
    let stage = Stage::set("verification").await;
    let options =
        ServersOptions { version: version(), nodes: NODES, host: NODE_ADDRESS.to_owned(), ..ServersOptions::default() };
    let servers = Arc::new(on_a_thread(move || Servers::start(options).unwrap()).await);
    stage.apply::<WeaviateCluster>(servers.manifest("search").unwrap()).await;
    stage.cluster_is_ready("search").await;
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &json!({}))).await;
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    let lab = servers.clone();
    on_a_thread(move || {
        // Nothing heals it by itself, so that the report can be compared with what is really there.
        let class = json!({
            "class": "Loose",
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": 1},
            "replicationConfig": {"factor": 3, "asyncEnabled": false, "deletionStrategy": "TimeBasedResolution"},
            "properties": [{"name": "title", "dataType": ["text"]}],
        });
        lab.create_class("w-0", &class).unwrap();
        lab.put_objects("w-0", "Loose", 0..EVERYWHERE, Consistency::All).unwrap();
    })
    .await;
    let check = ["health", "--data", "--collection", "Loose", "--sample-size", "200", "-o", "json"];
    stage.plug_in_exits(&check, 0, PATIENCE).await;
    for every in [&["health", "--cluster"][..], &["health", "--cluster", "--quick"], &["health", "--data"]] {
        stage.plug_in_exits(every, 0, PATIENCE).await;
    }

    // Written while one node is down: acknowledged by the other two.
    let lab = servers.clone();
    let listed = on_a_thread(move || {
        lab.kill("w-2").unwrap();
        // It may have led, and a write that comes while nobody leads is never answered.
        lab.wait_ready().unwrap();
        lab.put_objects("w-0", "Loose", EVERYWHERE..OBJECTS, Consistency::Quorum).unwrap();
        lab.start_node("w-2").unwrap();
        lab.wait_ready().unwrap();
        lists(&lab)
    })
    .await;
    let lacking = OBJECTS as usize - listed[2].len();
    stage.say(&format!("w-2 lacks {lacking} of {OBJECTS}"));
    assert!(lacking > 0, "the node got everything: this shows nothing");

    let text = stage.plug_in_exits(&check, 1, PATIENCE).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let found = &report["data"]["Loose"];
    assert_eq!((&found["sampled"], &found["missing"]), (&json!(OBJECTS), &json!(lacking)), "{text}");
    assert!(found["findings"].as_array().unwrap().iter().all(|one| one["nodes"] == json!(["w-2"])), "{text}");
    // Looking repaired nothing.
    let lab = servers.clone();
    assert_eq!(on_a_thread(move || lists(&lab)).await, listed);
    stage.strike().await;
    drop(servers);
}

/// What each node lists of the class at its own address.
fn lists(servers: &Servers) -> Vec<Vec<uuid::Uuid>> {
    servers.names().iter().map(|node| servers.ids(node, "Loose", None).unwrap().ids).collect()
}
