//! A cluster that the operator only knows: its servers run outside of Kubernetes, and a collection on them is brought to
//! three replicas all the same.

use std::sync::Arc;

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use serde_json::json;

use crate::support::{NODES, Stage, collection, on_a_thread, version};

/// Objects of the class that somebody made by hand.
const OBJECTS: u32 = 300;

#[tokio::test]
async fn servers_outside_of_kubernetes_are_repaired() {
    let stage = Stage::set("external").await;
    // The deployed operator, in its pod, reaches this machine by the node's address.
    let options =
        ServersOptions { version: version(), nodes: NODES, host: NODE_ADDRESS.to_owned(), ..ServersOptions::default() };
    let servers = Arc::new(on_a_thread(move || Servers::start(options).unwrap()).await);
    let lab = servers.clone();
    let wanted = on_a_thread(move || {
        let class = json!({
            "class": "Articles",
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": 3},
            "replicationConfig": {"factor": 1},
            "properties": [{"name": "title", "dataType": ["text"]}],
        });
        lab.create_class("w-0", &class).unwrap();
        lab.put_objects("w-1", "Articles", 0..OBJECTS, Consistency::All).unwrap()
    })
    .await;

    let mut manifest = servers.manifest("search").unwrap();
    manifest["spec"]["verify"] = json!({"interval": "10s"});
    stage.apply::<WeaviateCluster>(manifest).await;
    stage.cluster_is_ready("search").await;
    stage.apply::<ElysiaCollection>(collection("articles", "Articles", &json!({}))).await;
    let object = stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    let replication = object.status.unwrap().replication.unwrap();
    assert_eq!((replication.lowest, replication.class_factor, replication.behind_total), (Some(3), Some(3), 0));

    let lab = servers.clone();
    on_a_thread(move || {
        for node in lab.names() {
            assert_eq!(lab.ids(&node, "Articles", None).unwrap().ids, wanted, "{node} lists other objects");
            let shards = lab.sharding_state(&node, "Articles").unwrap().unwrap();
            assert_eq!(shards.len(), 3);
            assert!(shards.values().all(|replicas| replicas.len() == NODES), "{shards:?}");
        }
    })
    .await;
    // Objects of the kinds go before their servers: a collection whose servers are gone would wait for them.
    stage.strike().await;
    drop(servers);
}
