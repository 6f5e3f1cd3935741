//! Three nodes from nothing to one RAFT cluster without a hand, also when all pods start in the same second.

use elysia_api::WeaviateCluster;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams};

use crate::support::{COLD_START, NODES, PATIENCE, Stage};

#[tokio::test]
async fn three_nodes_start_and_start_again_together() {
    let stage = Stage::set_alone("cold-start").await;
    stage.declare_cluster("search").await;
    stage.cluster_is_ready_within("search", COLD_START).await;
    let nodes = stage.nodes("search").await;
    assert_eq!(nodes.clients.len(), NODES);

    let status = stage.api::<WeaviateCluster>().get("search").await.unwrap().status.unwrap();
    assert_eq!(status.nodes_ready.as_deref(), Some("3/3"));
    let leaders = status.nodes.iter().filter(|node| node.raft.as_deref() == Some("Leader")).count();
    assert_eq!(leaders, 1, "{:?}", status.nodes);
    let statistics = nodes.first().statistics().await.unwrap();
    for node in &statistics.nodes {
        assert_eq!(node.raft.as_ref().unwrap().members.len(), NODES, "{node:?}");
    }
    assert!(stage.api::<PodDisruptionBudget>().get_opt("search").await.unwrap().is_some());

    // A key is asked for by default.
    let address = nodes.first().address();
    let stranger = elysia_weaviate::Client::new(elysia_weaviate::ClientOptions::new(address.parse().unwrap())).unwrap();
    assert!(stranger.classes().await.is_err(), "a stranger may read the schema");

    // A power cut: every pod goes in the same second.
    let before: Vec<String> = uids(&stage).await;
    let now = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete_collection(&now, &ListParams::default()).await.unwrap();
    stage
        .wait("all pods to be new", PATIENCE, async || {
            let after = uids(&stage).await;
            (after.len() == NODES && after.iter().all(|uid| !before.contains(uid))).then_some(())
        })
        .await;
    // By the servers' own word first: the status may still speak of the pods that are gone.
    stage
        .wait("all pods to be ready", COLD_START, async || {
            let pods = stage.api::<Pod>().list(&ListParams::default()).await.unwrap();
            let ready = pods.into_iter().filter(is_ready).count();
            (ready == NODES).then_some(())
        })
        .await;
    stage.cluster_is_ready("search").await;
    stage.strike().await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn uids(stage: &Stage) -> Vec<String> {
    let pods = stage.api::<Pod>().list(&ListParams::default()).await.unwrap();
    pods.into_iter().filter_map(|pod| pod.metadata.uid).collect()
}
