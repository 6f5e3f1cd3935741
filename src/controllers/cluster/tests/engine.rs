//! A node of a managed cluster whose replication engine hangs is restarted: once, in a cluster that is well, and whatever
//! becomes of the operator meanwhile.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_testkit::kubernetes::Fate;
use elysia_testkit::weaviate::Fault;
use insta::assert_snapshot;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::core::ResourceExt as _;
use serde_json::json;
use uuid::Uuid;

use super::super::super::fixture::{NAMESPACE, NODES, World, advance, manifest, now, shown};

/// Seconds between two rounds.
const PACE: i64 = 30;
/// Rounds after which every story has ended: the patience with a copy that is not taken up, with one that is not
/// deleted, the restart, the copies, and what a crash adds to each.
const ROUNDS: usize = 40;

/// A managed cluster of the nodes `w-0` to `w-2`, all well, and a collection of which only `w-0` has a replica.
async fn managed_world() -> World {
    let mut world = World::start().await;
    world.redirect(
        (0..NODES.len())
            .map(|node| (format!("http://10.0.0.{node}:8080"), node))
            .chain([(format!("http://w.{NAMESPACE}.svc:8080"), 0)]),
    );
    world.api.seed::<WeaviateCluster>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": NAMESPACE},
        "spec": {"managed": {
            "version": "1.38.2", "replicas": 3, "storage": {"size": "10Gi"}, "auth": {"anonymous": true},
        }},
    })));
    for _ in 0..4 {
        world.cluster("w").await.unwrap();
        world.kubelet().await;
    }
    assert_eq!(world.ready(), "Ready=True AsDeclared: 3 of 3 nodes are ready");
    world.api.seed::<ElysiaCollection>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "w"}, "collection": "Articles", "schema": {}, "replication": {"factor": 3},
        },
    })));
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 1}}));
    world.weaviate.seed_objects("Articles", "shard0", "w-0", (1..=5).map(Uuid::from_u128));
    world.transcript();
    world
}

impl World {
    /// What Kubernetes does between two rounds: a pod that is not there is made, and its server started.
    async fn kubelet(&mut self) {
        self.api.edit::<StatefulSet>(NAMESPACE, "w", |set| {
            set["status"] = json!({
                "replicas": 3, "observedGeneration": set["metadata"]["generation"], "updateRevision": "1",
            });
        });
        let started = now().to_string();
        for (at, node) in NODES.iter().enumerate() {
            if self.api.object::<Pod>(NAMESPACE, node).is_some() {
                continue;
            }
            self.weaviate.restart(node);
            self.weaviate.fault(node, None);
            self.weaviate.open(node).await.unwrap();
            self.api.seed::<Pod>(&manifest(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": node, "namespace": NAMESPACE,
                    "labels": {
                        "elysia.dev/cluster": "w", "app.kubernetes.io/component": "server",
                        "controller-revision-hash": "1",
                    },
                },
                "status": {
                    "podIP": format!("10.0.0.{at}"),
                    "containerStatuses": [{
                        "name": "weaviate", "ready": true, "image": "w", "imageID": "w", "restartCount": 0,
                        "state": {"running": {"startedAt": started}},
                    }],
                },
            })));
        }
    }

    fn ready(&self) -> String {
        let status = self.get::<WeaviateCluster>("w").status.unwrap_or_default();
        shown(&status.conditions).lines().next().unwrap_or_default().to_owned()
    }

    fn uid(&self, node: &str) -> Option<String> {
        self.api.object::<Pod>(NAMESPACE, node).and_then(|pod| pod.uid())
    }

    /// A round over the cluster and, if there is one, the collection, in which the operator may die; and the servers go on.
    async fn both(&mut self) {
        let collection = self.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_some();
        self.or_crash(async |world| {
            let _ = world.cluster("w").await;
            if collection {
                let _ = world.collection("articles").await;
            }
        })
        .await;
        for node in NODES {
            if self.uid(node).is_none() {
                self.weaviate.fault(node, Some(Fault::Missing));
                self.weaviate.close(node).await;
            }
        }
        self.weaviate.advance();
        advance(PACE);
    }

    /// The same, until all is well or nothing more happens; how often pods were made anew.
    async fn heals(&mut self) -> usize {
        let mut made = 0;
        for _ in 0..ROUNDS {
            let before: Vec<_> = NODES.iter().map(|node| self.uid(node)).collect();
            self.both().await;
            made += NODES.iter().zip(&before).filter(|(node, before)| self.uid(node) != **before).count();
            if NODES.iter().any(|node| self.uid(node).is_none()) {
                // One more round sees it away.
                self.both().await;
                self.kubelet().await;
            }
            if self.ready().starts_with("Ready=True") && self.is_at_rest() {
                break;
            }
        }
        made
    }

    /// Nothing is left to copy or to delete.
    fn is_at_rest(&self) -> bool {
        let collection = self.api.object::<ElysiaCollection>(NAMESPACE, "articles");
        self.weaviate.operations().is_empty() && (collection.is_none() || self.collection_is_ready())
    }

    fn collection_is_ready(&self) -> bool {
        let status = self.get::<ElysiaCollection>("articles").status.unwrap_or_default();
        shown(&status.conditions).starts_with("Ready=True")
    }
}

#[tokio::test]
async fn a_node_whose_engine_hangs_is_restarted_and_the_copies_go_on() {
    let mut world = managed_world().await;
    world.weaviate.hang("w-1");
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        world.both().await;
        let ready = world.ready();
        if told.last() != Some(&ready) {
            told.push(ready);
        }
        if world.uid("w-1").is_none() {
            world.both().await;
            told.push(world.ready());
            world.kubelet().await;
        }
        if world.collection_is_ready() {
            break;
        }
    }
    assert_snapshot!(world.transcript(), @r"
    POST /v1/replication/replicate at w-0
    POST /v1/replication/replicate at w-0
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Normal CopiesStarted
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH elysiacollections/articles/status Ready=False Copying
    DELETE /v1/replication/replicate/e1e10000-0000-4000-8000-000000000002 at w-0
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Normal CopiesEnded
    PATCH elysiacollections/articles/status Ready=False Copying
    DELETE /v1/replication/replicate/e1e10000-0000-4000-8000-000000000001 at w-0
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Warning CopiesFailed
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH weaviateclusters/w/status Ready=False CopyStuck
    POST events Normal CopyStuck
    PATCH elysiacollections/articles/status Ready=False CopyStuck
    POST events Normal CopyStuck
    DELETE pods/w-1
    POST events Warning CopyStuck
    PATCH elysiacollections/articles/status Ready=False CopyStuck
    PATCH weaviateclusters/w/status Ready=False NodesMissing
    POST events Normal NodesMissing
    PATCH elysiacollections/articles/status Ready=False ReplicasBehind
    POST events Normal ReplicasBehind
    PATCH weaviateclusters/w/status Ready=True AsDeclared
    PATCH events Normal AsDeclared
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Normal Copying
    POST /v1/replication/replicate at w-0
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Normal CopiesStarted
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH elysiacollections/articles/status Ready=False Copying
    PATCH elysiacollections/articles/status Ready=False Copying
    DELETE /v1/replication/replicate/e1e10000-0000-4000-8000-000000000003 at w-0
    PATCH elysiacollections/articles/status Ready=False ReplicasBehind
    POST events Normal CopiesEnded
    POST events Normal ReplicasBehind
    PUT /v1/schema/Articles at w-0
    PATCH elysiacollections/articles/status Ready=False ReplicasBehind
    POST events Normal FactorSet
    PATCH weaviateclusters/w/status Ready=True AsDeclared
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal AsDeclared
    ");
    assert_snapshot!(told.join("\n"), @r"
    Ready=True AsDeclared: 3 of 3 nodes are ready
    Ready=False CopyStuck: the replication engine of w-1 hangs: it has not deleted operation e1e10000-0000-4000-8000-000000000001 for more than 60 s, and no replica is copied to it; its pod is restarted
    Ready=False NodesMissing: 2 of 3 nodes are ready; w-1: its pod does not exist; the operator restarted w-1, whose replication engine hung
    Ready=True AsDeclared: 3 of 3 nodes are ready
    ");
    assert!(world.collection_is_ready());
    let status = world.get::<WeaviateCluster>("w").status.unwrap();
    assert_eq!(status.hung_engine, None);
    assert_eq!(status.engine_restart.unwrap().node, "w-1");
    assert!(world.shared().metrics.text(now()).contains(r#"elysia_node_restarts_total{cause="engine"} 1"#));
    assert_eq!(world.weaviate.holds("Articles")["shard0"].values().copied().collect::<Vec<_>>(), [5, 5, 5]);
}

/// The same cluster, and somebody's copy that `w-1` was asked to delete and does not.
async fn hanging() -> World {
    let world = managed_world().await;
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    world.weaviate.hang("w-1");
    let id = world.weaviate.seed_operation("Articles", ["shard0", "w-0", "w-1"], "COPY", "REGISTERED");
    world.weaviate.delete_operation(id);
    world
}

/// A crash, or an answer that does not come, at every write of the story.
#[tokio::test]
async fn whenever_the_operator_dies_the_node_is_restarted_once() {
    for fate in [Fate::Hangs, Fate::HangsAfter, Fate::Fails(500), Fate::FailsAfter(500)] {
        let mut blown = Vec::new();
        loop {
            let mut world = hanging().await;
            world.fuse.set(blown.len() + 1, fate);
            let made = world.heals().await;
            let Some(line) = world.fuse.line() else { break };
            let what = format!("{fate:?} at write {}: {line}\n{}", blown.len() + 1, world.transcript());
            assert_eq!(made, 1, "{what}");
            assert!(world.ready().starts_with("Ready=True"), "{} {what}", world.ready());
            assert_eq!(world.weaviate.operations(), Vec::<String>::new(), "{what}");
            blown.push(line);
        }
        assert!(blown.iter().any(|line| line.contains("pods/w-1")), "{blown:?}");
        assert!(blown.len() >= 4, "{blown:?}");
    }
}

#[tokio::test]
async fn an_operator_that_dies_in_every_round_restarts_it_once_all_the_same() {
    let mut world = hanging().await;
    // Who forgets when it saw the operation first never sees it long enough; what the status says is not forgotten.
    while world.get::<WeaviateCluster>("w").status.unwrap().hung_engine.is_none() {
        world.both().await;
    }
    let mut made = 0;
    for _ in 0..6 {
        world.restart();
        let before = world.uid("w-1");
        world.both().await;
        made += usize::from(world.uid("w-1") != before);
        world.kubelet().await;
    }
    assert_eq!(made, 1);
    assert!(world.ready().starts_with("Ready=True"), "{}", world.ready());
}

#[tokio::test]
async fn a_paused_cluster_and_one_that_is_not_well_restart_nothing() {
    let mut world = hanging().await;
    world.annotate::<WeaviateCluster>("w", "elysia.dev/paused", "true");
    assert_eq!(world.heals().await, 0);
    let hung = world.get::<WeaviateCluster>("w").status.unwrap().hung_engine.unwrap();
    assert_eq!(hung.waiting_for.as_deref(), Some("waiting: elysia.dev/paused is true"));
    world.annotate::<WeaviateCluster>("w", "elysia.dev/paused", "false");
    world.weaviate.fault("w-2", Some(Fault::NotReady));
    assert_eq!(world.heals().await, 0);
    world.weaviate.fault("w-2", None);
    assert_eq!(world.heals().await, 1);
}

#[tokio::test]
async fn the_only_replica_of_another_collection_is_not_taken_down() {
    let mut world = managed_world().await;
    world.weaviate.seed_class(&json!({"class": "Other", "shardingConfig": {"desiredCount": 1}}));
    world.weaviate.seed_shard("Other", "only", &["w-1"]);
    world.weaviate.hang("w-1");
    assert_eq!(world.heals().await, 0);
    assert!(world.ready().contains("the only living replica of a shard of Other"), "{}", world.ready());
    let conditions = shown(&world.get::<ElysiaCollection>("articles").status.unwrap().conditions);
    assert!(conditions.contains("Stalled=True CopyStuck: w-1 has not deleted"), "{conditions}");
    assert!(conditions.contains("kubectl delete pod --namespace ai w-1"), "{conditions}");
    // A person finds it acceptable.
    world.api.remove::<Pod>(NAMESPACE, "w-1");
    world.both().await;
    world.kubelet().await;
    assert_eq!(world.heals().await, 0);
    assert!(world.collection_is_ready());
}

#[tokio::test]
async fn a_restart_that_does_not_help_is_not_repeated() {
    let mut world = hanging().await;
    let mut made = 0;
    for _ in 0..ROUNDS {
        let before = world.uid("w-1");
        world.both().await;
        made += usize::from(world.uid("w-1") != before);
        if world.uid("w-1").is_none() {
            world.kubelet().await;
            world.weaviate.hang("w-1");
        }
    }
    assert_eq!(made, 1);
    assert!(world.ready().contains("which did not help"), "{}", world.ready());
}
