//! Transcripts of rounds over clusters.

mod engine;

use elysia_api::WeaviateCluster;
use insta::assert_snapshot;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Secret, Service};
use serde_json::json;

use super::super::fixture::{NAMESPACE, NODES, World, advance, manifest, shown};

fn managed() -> WeaviateCluster {
    manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "search", "namespace": NAMESPACE},
        "spec": {"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "10Gi"}}},
    }))
}

async fn new_cluster() -> World {
    let world = World::start().await;
    world.api.seed(&managed());
    world
}

#[tokio::test]
async fn a_new_cluster_gets_its_objects_in_order_and_one_pod_first() {
    let mut world = new_cluster().await;
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    POST secrets/search-auth
    PATCH configmaps/search-runtime apply
    PATCH services/search-nodes apply
    PATCH services/search apply
    PATCH statefulsets/search apply
    PATCH poddisruptionbudgets/search apply
    PATCH weaviateclusters/search/status Ready=False Starting
    POST events Normal Starting
    ");
    let set: StatefulSet = world.get("search");
    assert_eq!(set.spec.unwrap().replicas, Some(1));
    // The status and the Secret: once more each, then rest.
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"PATCH weaviateclusters/search/status Ready=False Starting");
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let mut world = new_cluster().await;
    for _ in 0..3 {
        world.cluster("search").await.unwrap();
    }
    world.transcript();
    for _ in 0..3 {
        advance(60);
        world.cluster("search").await.unwrap();
        assert_eq!(world.transcript(), "");
    }
    world.restart();
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"");
}

#[tokio::test]
async fn the_key_is_made_once_and_never_overwritten() {
    let mut world = new_cluster().await;
    world.cluster("search").await.unwrap();
    let first: Secret = world.get("search-auth");
    world.cluster("search").await.unwrap();
    assert_eq!(world.get::<Secret>("search-auth"), first);
    assert_eq!(first.metadata.owner_references, None);
    assert_eq!(first.data.as_ref().unwrap()["apiKey"].0.len(), 64);

    world.api.edit::<Secret>(NAMESPACE, "search-auth", |secret| secret["data"] = json!({}));
    world.transcript();
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=False SecretMissing
    POST events Warning SecretMissing
    ");
    assert!(world.get::<Secret>("search-auth").data.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn a_service_that_was_edited_by_hand_is_put_back() {
    let mut world = new_cluster().await;
    for _ in 0..3 {
        world.cluster("search").await.unwrap();
    }
    world.transcript();
    let before: Service = world.get("search");
    world.api.edit::<Service>(NAMESPACE, "search", |service| {
        service["spec"]["selector"]["elysia.dev/cluster"] = "other".into();
        service["spec"]["ports"].as_array_mut().unwrap().pop();
        service["metadata"]["labels"]["theirs"] = "stays".into();
    });
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"PATCH services/search apply");
    let after: Service = world.get("search");
    assert_eq!(after.spec, before.spec);
    assert_eq!(after.metadata.labels.unwrap()["theirs"], "stays");
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"");
}

/// Server-side apply merges lists by key: it neither removes a port that another hand added, nor one of which a hand
/// changed the number, and then two ports have one name.
#[tokio::test]
async fn a_list_to_which_another_hand_added_is_put_back_too() {
    let mut world = new_cluster().await;
    for _ in 0..3 {
        world.cluster("search").await.unwrap();
    }
    let before: Service = world.get("search");
    world.transcript();
    world.api.edit::<Service>(NAMESPACE, "search", |service| {
        service["spec"]["ports"].as_array_mut().unwrap().push(json!({"name": "theirs", "port": 9090}));
    });
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH services/search apply
    PATCH services/search merge
    ");
    assert_eq!(world.get::<Service>("search").spec, before.spec);
    world.api.edit::<Service>(NAMESPACE, "search", |service| service["spec"]["ports"][0]["port"] = 8081.into());
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH services/search apply → 422
    PATCH services/search merge
    ");
    assert_eq!(world.get::<Service>("search").spec, before.spec);
    world.cluster("search").await.unwrap();
    assert_eq!(world.transcript(), "");
}

#[tokio::test]
async fn a_round_that_the_api_server_cuts_short_is_finished_by_the_next() {
    let parts =
        ["secrets", "search-runtime", "search-nodes", "services/search", "statefulsets", "poddisruptionbudgets"];
    for part in parts {
        let mut world = new_cluster().await;
        world.api.fail_next(if part == "secrets" { "POST" } else { "PATCH" }, part, 500);
        let error = world.cluster("search").await.expect_err(part);
        assert_eq!(error.reason(), "kubernetes", "{part}");
        world.restart();
        world.cluster("search").await.unwrap();
        world.cluster("search").await.unwrap();
        world.transcript();
        world.cluster("search").await.unwrap();
        assert_eq!(world.transcript(), "", "{part}");
        world.get::<StatefulSet>("search");
        world.get::<Secret>("search-auth");
    }
}

#[tokio::test]
async fn an_external_cluster_is_looked_at_and_nothing_of_it_is_written() {
    let mut world = World::start().await;
    world.seed_external(&NODES);
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=True AsDeclared
    POST events Normal AsDeclared
    ");
    let status = world.get::<WeaviateCluster>("search").status.unwrap();
    assert_snapshot!(shown(&status.conditions), @r"
    Ready=True AsDeclared: 3 of 3 nodes are ready
    Available=True AsDeclared: 3 of 3 nodes serve
    ClusterVerified=True AsDeclared: 3 members see each other, leader w-0
    ");
    advance(3600);
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"");
}

#[tokio::test]
async fn an_external_cluster_that_is_away_from_the_start_comes_to_rest() {
    let mut world = World::start().await;
    world.seed_external(&NODES);
    for node in NODES {
        world.weaviate.close(node).await;
    }
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=False Unreachable
    POST events Normal Unreachable
    ");
    world.cluster("search").await.unwrap();
    assert_eq!(world.transcript(), "");
    for node in NODES {
        world.weaviate.open(node).await.unwrap();
    }
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=True AsDeclared
    POST events Normal AsDeclared
    ");
}

#[tokio::test]
async fn a_lost_node_is_named_and_comes_back() {
    let mut world = World::with_cluster().await;
    world.weaviate.close("w-2").await;
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=False NodesMissing
    POST events Normal NodesMissing
    ");
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"");
    world.weaviate.open("w-2").await.unwrap();
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH weaviateclusters/search/status Ready=True AsDeclared
    PATCH events Normal AsDeclared
    ");
}

/// A managed cluster with the Elysia service beside it. Its pods are not there: no node answers.
async fn with_elysia() -> World {
    let world = World::start().await;
    let mut cluster = managed();
    cluster.spec.elysia = Some(manifest(json!({
        "image": "elysia:1", "env": [{"name": "BASE_MODEL", "value": "small"}],
    })));
    world.api.seed(&cluster);
    world
}

/// The Deployment as an earlier round made it.
fn seed_elysia(world: &World, cluster: &WeaviateCluster) {
    let spec = elysia_core::cluster::ClusterSpec::validate(cluster).unwrap();
    let (mut deployment, _) = elysia_core::cluster::desired::elysia(&spec, spec.elysia.as_ref().unwrap());
    deployment.metadata.owner_references = Some(vec![kube::Resource::controller_owner_ref(cluster, &()).unwrap()]);
    world.api.seed(&deployment);
}

#[tokio::test]
async fn the_elysia_service_is_not_made_before_its_cluster_is_ready() {
    let mut world = with_elysia().await;
    for _ in 0..3 {
        world.cluster("search").await.unwrap();
    }
    let transcript = world.transcript();
    assert!(!transcript.contains("search-elysia"), "{transcript}");
    assert!(world.api.object::<Deployment>(NAMESPACE, "search-elysia").is_none());
}

#[tokio::test]
async fn an_elysia_service_that_was_made_is_kept_as_declared_while_its_cluster_is_away() {
    let mut world = with_elysia().await;
    for _ in 0..3 {
        world.cluster("search").await.unwrap();
    }
    seed_elysia(&world, &world.get("search"));
    world.cluster("search").await.unwrap();
    world.transcript();
    world.cluster("search").await.unwrap();
    assert_eq!(world.transcript(), "");
    let made: Deployment = world.get("search-elysia");
    let container = &made.spec.clone().unwrap().template.spec.unwrap().containers[0];
    let variable = |name: &str| container.env.iter().flatten().find(|variable| variable.name == name).cloned().unwrap();
    assert_eq!(variable("CUSTOM_HTTP_HOST").value.as_deref(), Some("search.ai.svc"));
    assert_eq!(variable("BASE_MODEL").value.as_deref(), Some("small"));
    // By reference, so that the key stands in no object but its Secret.
    let key = variable("WCD_API_KEY");
    assert_eq!((key.value, key.value_from.unwrap().secret_key_ref.unwrap().name), (None, "search-auth".to_owned()));

    world.api.edit::<Deployment>(NAMESPACE, "search-elysia", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs".into();
        object["spec"]["replicas"] = 3.into();
    });
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @"PATCH deployments/search-elysia apply");
    assert_eq!(world.get::<Deployment>("search-elysia").spec, made.spec);

    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["spec"]["elysia"]["image"] = "elysia:2".into();
        object["spec"]["elysia"]["port"] = 9000.into();
    });
    world.cluster("search").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH deployments/search-elysia apply
    PATCH services/search-elysia apply
    PATCH weaviateclusters/search/status Ready=False Starting
    ");
}

#[tokio::test]
async fn a_paused_cluster_leaves_its_elysia_service_alone() {
    let mut world = with_elysia().await;
    world.cluster("search").await.unwrap();
    seed_elysia(&world, &world.get("search"));
    world.cluster("search").await.unwrap();
    world.annotate::<WeaviateCluster>("search", elysia_api::names::PAUSED_ANNOTATION, "true");
    world.cluster("search").await.unwrap();
    world.api.edit::<Deployment>(NAMESPACE, "search-elysia", |object| object["spec"]["replicas"] = 3.into());
    world.transcript();
    world.cluster("search").await.unwrap();
    assert_eq!(world.transcript(), "");
}

#[tokio::test]
async fn a_deployment_of_somebody_else_is_not_taken_over_for_elysia() {
    let mut world = with_elysia().await;
    world.cluster("search").await.unwrap();
    world.api.seed::<Deployment>(&manifest(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "search-elysia", "namespace": NAMESPACE},
        "spec": {"selector": {}, "template": {}},
    })));
    world.transcript();
    let _ = world.cluster("search").await;
    let transcript = world.transcript();
    assert!(!transcript.contains("deployments/search-elysia"), "{transcript}");
    assert!(!transcript.contains("services/search-elysia"), "{transcript}");
    let status = world.get::<WeaviateCluster>("search").status.unwrap();
    assert!(
        shown(&status.conditions).contains("search-elysia exists and is not ours"),
        "{}",
        shown(&status.conditions)
    );
}

/// What is there now, written down so that a change of it is a decision.
#[tokio::test]
async fn an_elysia_service_that_is_declared_no_more_stays_until_a_person_deletes_it() {
    let mut world = with_elysia().await;
    world.cluster("search").await.unwrap();
    seed_elysia(&world, &world.get("search"));
    world.cluster("search").await.unwrap();
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["spec"].as_object_mut().unwrap().remove("elysia");
    });
    world.transcript();
    for _ in 0..2 {
        world.cluster("search").await.unwrap();
    }
    let transcript = world.transcript();
    assert!(!transcript.contains("DELETE"), "{transcript}");
    assert!(world.api.object::<Deployment>(NAMESPACE, "search-elysia").is_some());
}
