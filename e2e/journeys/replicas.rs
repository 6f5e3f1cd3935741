//! Replicas of tenants, replicas that have to go, and a node that comes back with an empty disk.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_weaviate::{ActivityStatus, Consistency, Tenant};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{NODES, Nodes, PATIENCE, Stage, collection};

/// Tenants of the journey; the first two are at rest.
const TENANTS: u32 = 6;

/// Objects of each tenant.
const OBJECTS: u32 = 10;

fn tenants(activity: impl Fn(u32) -> ActivityStatus) -> Vec<Tenant> {
    (0..TENANTS).map(|at| Tenant { name: format!("t{at}"), activity_status: activity(at) }).collect()
}

fn rests(at: u32) -> ActivityStatus {
    if at < 2 { ActivityStatus::Cold } else { ActivityStatus::Hot }
}

async fn at_rest(nodes: &Nodes) -> Vec<String> {
    let tenants = nodes.first().tenants("Tenants").await.unwrap();
    let cold = tenants.into_iter().filter(|tenant| tenant.activity_status == ActivityStatus::Cold);
    let mut names: Vec<String> = cold.map(|tenant| tenant.name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_tenant_gets_its_replicas_and_those_at_rest_rest_again() {
    let stage = Stage::set("tenants").await;
    let nodes = stage.cluster("search").await;
    let class = json!({
        "class": "Tenants",
        "vectorizer": "none",
        "multiTenancyConfig": {"enabled": true},
        "replicationConfig": {"factor": 1},
        "properties": [{"name": "title", "dataType": ["text"]}],
    });
    nodes.first().create_class(&class).await.unwrap();
    nodes.first().create_tenants("Tenants", &tenants(|_| ActivityStatus::Hot)).await.unwrap();
    let mut ids = Vec::new();
    for at in 0..TENANTS {
        let range = at * OBJECTS..(at + 1) * OBJECTS;
        ids.push(nodes.write("Tenants", Some(&format!("t{at}")), range, Consistency::All).await);
    }
    nodes.first().update_tenants("Tenants", &tenants(rests)[..2]).await.unwrap();

    let schema = json!({"multiTenancyConfig": {"enabled": true}});
    stage.apply::<ElysiaCollection>(collection("tenants", "Tenants", &schema)).await;
    stage.collection_says("tenants", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Tenants", NODES).await;
    assert_eq!(at_rest(&nodes).await, ["t0", "t1"]);
    // Awake, they are whole as well.
    nodes.first().update_tenants("Tenants", &tenants(|_| ActivityStatus::Hot)[..2]).await.unwrap();
    for (at, ids) in ids.iter().enumerate() {
        for (node, list) in nodes.ids_of("Tenants", Some(&format!("t{at}"))).await {
            assert_eq!(&list, ids, "{node} lists other objects of t{at}");
        }
    }
    stage.strike().await;
}

#[tokio::test]
async fn what_has_to_go_waits_for_approval_and_an_empty_disk_is_filled_again() {
    let stage = Stage::set("replicas").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &json!({}))).await;
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    let ids = nodes.fill("Notes", 200).await;
    nodes.assert_all_hold("Notes", &ids).await;

    // The disk of one node is lost with everything on it.
    let claim = format!("data-{}", victim(&nodes));
    stage.api::<PersistentVolumeClaim>().delete(&claim, &DeleteParams::default()).await.unwrap();
    let lost = stage.api::<Pod>().get(&victim(&nodes)).await.unwrap().metadata.uid;
    let now = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete(&victim(&nodes), &now).await.unwrap();
    stage
        .wait("the node to come back with an empty disk", PATIENCE, async || {
            let pod = stage.api::<Pod>().get_opt(&victim(&nodes)).await.unwrap()?;
            let ready = pod.status?.conditions?.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
            (pod.metadata.uid != lost && ready).then_some(())
        })
        .await;
    let nodes = stage.nodes("search").await;
    stage
        .wait("every node to list every object again", PATIENCE, async || {
            nodes.ids("Notes").await.values().all(|list| *list == ids).then_some(())
        })
        .await;
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Notes", NODES).await;

    // A lower factor is a plan. Nothing goes before a person has said so.
    let patch = json!({"spec": {"replication": {"factor": 1}}});
    let api = stage.api::<ElysiaCollection>();
    api.patch("notes", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let object = stage.collection_says("notes", "Stalled", "True", "NeedsApproval").await;
    assert_eq!(object.status.unwrap().plan.unwrap().action, "Remove");
    nodes.assert_replicated("Notes", NODES).await;
    let (code, text) = stage.plug_in(&["repair", "approve", "notes", "--yes", "--wait"]).await;
    assert_eq!(code, 0, "{text}");
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Notes", 1).await;
    let mut listed: Vec<_> = nodes.ids("Notes").await.into_values().flatten().collect();
    listed.sort();
    listed.dedup();
    assert_eq!(listed, ids);
    stage.cluster_is_ready("search").await;
    assert!(stage.api::<WeaviateCluster>().get("search").await.unwrap().status.is_some());
    stage.strike().await;
}

/// The node whose disk is lost: the last one, so that the first one, which answers for all, stays.
fn victim(nodes: &Nodes) -> String {
    nodes.clients.keys().next_back().unwrap().clone()
}
