//! A node of an external cluster is gone for ever. Taken out of the list of nodes, its replicas are copied to others by
//! an approved plan, the dead ones are taken away, and it leaves RAFT; no object is lost.

use std::sync::Arc;

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{NODES, Stage, collection, on_a_thread, version};

/// Objects of the class.
const OBJECTS: u32 = 300;

#[tokio::test]
async fn a_node_that_is_gone_for_ever_is_replaced() {
    let stage = Stage::set("replacement").await;
    let options = ServersOptions {
        version: version(),
        nodes: NODES + 1,
        host: NODE_ADDRESS.to_owned(),
        ..ServersOptions::default()
    };
    let servers = Arc::new(on_a_thread(move || Servers::start(options).unwrap()).await);
    let mut manifest = servers.manifest("search").unwrap();
    manifest["spec"]["verify"] = json!({"interval": "10s"});
    stage.apply::<WeaviateCluster>(manifest.clone()).await;
    stage.cluster_is_ready("search").await;
    let schema =
        json!({"shardingConfig": {"desiredCount": 4}, "properties": [{"name": "title", "dataType": ["text"]}]});
    stage.apply::<ElysiaCollection>(collection("articles", "Articles", &schema)).await;
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    let lab = servers.clone();
    let (wanted, victim) = on_a_thread(move || {
        let wanted = lab.put_objects("w-0", "Articles", 0..OBJECTS, Consistency::All).unwrap();
        let victim = lab.names().into_iter().rfind(|name| name != "w-0").unwrap();
        lab.kill(&victim).unwrap();
        (wanted, victim)
    })
    .await;

    // A person says that it will not come back.
    let nodes = manifest["spec"]["external"]["nodes"].as_array().unwrap();
    let left: Vec<&Value> = nodes.iter().filter(|node| node["name"] != json!(victim)).collect();
    let patch = json!({"spec": {"external": {"nodes": left}}});
    let api = stage.api::<WeaviateCluster>();
    api.patch("search", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let object = stage.collection_says("articles", "Stalled", "True", "NeedsApproval").await;
    assert_eq!(object.status.unwrap().plan.unwrap().action, "Replace");
    let lab = servers.clone();
    let before = on_a_thread(move || lab.sharding_state("w-0", "Articles").unwrap().unwrap()).await;
    assert!(before.values().any(|replicas| replicas.contains(&victim)), "{before:?}");

    stage.approve_shown("articles").await;
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    let lab = servers.clone();
    on_a_thread(move || {
        for node in lab.running() {
            let shards = lab.sharding_state(&node, "Articles").unwrap().unwrap();
            assert!(
                shards.values().all(|replicas| replicas.len() == NODES && !replicas.contains(&victim)),
                "{shards:?}"
            );
            assert_eq!(lab.ids(&node, "Articles", None).unwrap().ids, wanted, "{node} lists other objects");
            let (_, statistics) = lab.get(&node, "/v1/cluster/statistics").unwrap();
            assert!(!statistics["statistics"].to_string().contains(&format!("\"id\":\"{victim}\"")), "{statistics}");
        }
    })
    .await;
    stage.strike().await;
    drop(servers);
}
