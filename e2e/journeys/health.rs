//! `kubectl elysia health` as a pipeline uses it: 0 all well, 1 a fault, 2 unknown.

use std::time::Duration;

use elysia_api::{ElysiaCollection, names};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Stage, collection};

const OPERATOR_NAMESPACE: &str = "elysia-system";

/// Time in which health names a node that was lost: what is promised.
const NAMED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_three_exit_codes() {
    let stage = Stage::set_alone("health").await;
    stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(collection("articles", "Articles", &json!({"vectorizer": "none"}))).await;
    stage.collection_says("articles", "Ready", "True", "").await;
    stage.plug_in_exits(&["health"], 0, PATIENCE).await;

    // A node goes: 1, and it is named.
    stage.api::<Pod>().delete("search-1", &DeleteParams::default()).await.unwrap();
    let text = stage.plug_in_exits(&["health"], 1, NAMED).await;
    assert!(text.contains("search-1"), "{text}");
    // It comes back: 0 again.
    stage.plug_in_exits(&["health"], 0, PATIENCE).await;

    // For programs.
    let (code, text) = stage.plug_in(&["health", "--output", "json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, report["exitCode"].as_i64()), (0, Some(0)), "{text}");

    // The operator goes: nothing is known any more.
    scale(&stage, 0).await;
    let text = stage.plug_in_exits(&["health"], 2, PATIENCE).await;
    assert!(text.to_lowercase().contains("operator"), "{text}");
    scale(&stage, 1).await;
    stage.plug_in_exits(&["health"], 0, PATIENCE).await;
    stage.strike().await;
}

async fn scale(stage: &Stage, replicas: i32) {
    let api: Api<Deployment> = Api::namespaced(stage.client.clone(), OPERATOR_NAMESPACE);
    let patch = json!({"spec": {"replicas": replicas}});
    api.patch(names::OPERATOR_MANAGER, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}
