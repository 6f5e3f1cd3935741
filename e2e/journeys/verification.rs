//! `kubectl elysia health --data`: what one replica lacks is found, by id and at each node, and nothing is repaired by
//! the looking.

use elysia_api::ElysiaCollection;
use elysia_weaviate::Consistency;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::{Stage, collection};

#[tokio::test]
async fn an_object_that_one_replica_lacks_is_found() {
    let stage = Stage::set("verification").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &json!({}))).await;
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    // Nothing heals it by itself, so that the report can be compared with what is really there.
    let class = json!({
        "class": "Loose",
        "vectorizer": "none",
        "shardingConfig": {"desiredCount": 1},
        "replicationConfig": {"factor": 3, "asyncEnabled": false, "deletionStrategy": "TimeBasedResolution"},
        "properties": [{"name": "title", "dataType": ["text"]}],
    });
    nodes.first().create_class(&class).await.unwrap();
    nodes.write("Loose", None, 0..50, Consistency::All).await;
    let check = ["health", "--data", "--collection", "Loose", "--sample-size", "200", "-o", "json"];
    let (code, text) = stage.plug_in(&check).await;
    assert_eq!(code, 0, "{text}");
    for every in [&["health", "--cluster"][..], &["health", "--cluster", "--quick"], &["health", "--data"]] {
        let (code, text) = stage.plug_in(every).await;
        assert_eq!(code, 0, "{every:?}: {text}");
    }

    // Written while one node is away: acknowledged by the other two.
    let away = nodes.clients.keys().next_back().unwrap().clone();
    stage.api::<Pod>().delete(&away, &DeleteParams::default().grace_period(0)).await.unwrap();
    nodes.write("Loose", None, 50..60, Consistency::Quorum).await;
    stage.cluster_is_ready("search").await;
    let nodes = stage.nodes("search").await;
    let listed = nodes.ids("Loose").await;
    let lacking = 60 - listed[&away].len();
    println!("   {away} lacks {lacking} of 60");
    assert!(lacking > 0, "the node got everything: this shows nothing");

    let (code, text) = stage.plug_in(&check).await;
    assert_eq!(code, 1, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let found = &report["data"]["Loose"];
    assert_eq!((&found["sampled"], &found["missing"]), (&json!(60), &json!(lacking)), "{text}");
    assert!(found["findings"].as_array().unwrap().iter().all(|one| one["nodes"] == json!([away])), "{text}");
    // Looking repaired nothing.
    assert_eq!(nodes.ids("Loose").await, listed);
    stage.strike().await;
}
