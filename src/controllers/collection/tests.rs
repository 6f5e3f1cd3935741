//! Transcripts of rounds over collections.

mod bootstrap;
mod deletion;
mod migration;
mod recreate;
mod replicas;
mod stage;
mod verify;

use std::pin::pin;
use std::time::Duration;

use elysia_api::ElysiaCollection;
use elysia_api::condition::ConditionType;
use elysia_core::condition;
use elysia_testkit::kubernetes::KubernetesApi;
use elysia_weaviate::Client;
use insta::assert_snapshot;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::effects::EffectError;
use crate::effects::weaviate::update_class;
use crate::runtime::patience::options;

use super::super::fixture::{NAMESPACE, NODES, World, advance, manifest, shown};

/// `articles` declares the collection Articles of the cluster `search`.
fn declared(name: &str, schema: &Value, factor: i32) -> ElysiaCollection {
    manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "schema": schema,
            "replication": {"factor": factor},
        },
    }))
}

/// A world in which the collection is declared like this.
async fn world(schema: Value, factor: i32) -> World {
    let world = World::with_cluster().await;
    world.api.seed(&declared("articles", &schema, factor));
    world
}

fn ids(count: u128) -> impl Iterator<Item = Uuid> {
    (1..=count).map(Uuid::from_u128)
}

impl World {
    /// One round and what it wrote.
    async fn round(&mut self) -> String {
        self.collection("articles").await.unwrap();
        self.transcript()
    }

    /// A round while something else deletes or thaws, and what it wrote; `None` when it did not have to wait for that. `meddle`: what
    /// people do while it waits.
    async fn while_it_waits(&mut self, meddle: impl FnOnce(&KubernetesApi)) -> Option<String> {
        let (context, api) = (self.shared(), self.api.clone());
        let alone = context.destructive.lock().await;
        {
            let mut round = pin!(self.collection("articles"));
            // However far it comes until then: it acts on what it took from the cache.
            if tokio::time::timeout(Duration::from_millis(500), &mut round).await.is_ok() {
                return None;
            }
            meddle(&api);
            drop(alone);
            // Without an object the status of the round goes nowhere.
            drop(round.await);
        }
        Some(self.transcript())
    }

    fn articles(&self) -> ElysiaCollection {
        self.get("articles")
    }

    fn conditions(&self) -> String {
        shown(&self.articles().status.unwrap_or_default().conditions)
    }

    fn is_ready(&self) -> bool {
        condition::is_true(&self.articles().status.unwrap_or_default().conditions, ConditionType::Ready)
    }
}

#[tokio::test]
async fn a_missing_class_is_created_compared_and_left_alone() {
    let mut world = world(json!({"properties": [{"name": "title", "dataType": ["text"]}]}), 3).await;
    assert_snapshot!(world.round().await, @r"
    POST /v1/schema at w-0
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal Created
    POST events Normal AsDeclared
    ");
    assert_snapshot!(world.conditions(), @r"
    Ready=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Available=True AsDeclared: the collection serves
    SchemaInSync=True AsDeclared: every declared setting is live
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    ");
    // Told in the same words from the round of the proof on.
    assert_eq!(world.round().await, "");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.round().await, "");
    }
    world.restart();
    assert_eq!(world.round().await, "");
}

#[tokio::test]
async fn missing_replicas_are_copied_then_the_factor_raised_then_compared() {
    let mut world = world(json!({}), 3).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 1}}));
    world.weaviate.seed_objects("Articles", "shard0", "w-0", ids(5));
    let mut story = Vec::new();
    for _ in 0..12 {
        let written = world.round().await;
        story.push(if written.is_empty() { "(nothing)".to_owned() } else { written });
        story.push("--".to_owned());
        world.weaviate.advance();
        advance(1);
    }
    assert_snapshot!(story.join("\n"), @r"
    POST /v1/replication/replicate at w-0
    POST /v1/replication/replicate at w-0
    PATCH elysiacollections/articles/status Ready=False Copying
    POST events Normal CopiesStarted
    --
    (nothing)
    --
    (nothing)
    --
    PATCH elysiacollections/articles/status Ready=False Copying
    --
    DELETE /v1/replication/replicate/e1e10000-0000-4000-8000-000000000001 at w-0
    DELETE /v1/replication/replicate/e1e10000-0000-4000-8000-000000000002 at w-0
    PATCH elysiacollections/articles/status Ready=False ReplicasBehind
    POST events Normal CopiesEnded
    POST events Normal ReplicasBehind
    --
    PUT /v1/schema/Articles at w-0
    PATCH elysiacollections/articles/status Ready=False ReplicasBehind
    POST events Normal FactorSet
    --
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal AsDeclared
    --
    (nothing)
    --
    (nothing)
    --
    (nothing)
    --
    (nothing)
    --
    (nothing)
    --
    ");
    assert_snapshot!(world.conditions(), @r"
    Ready=True AsDeclared: 1 shards have 3 replicas; when compared, 3 nodes listed the same 5 objects
    Available=True AsDeclared: the collection serves
    SchemaInSync=True AsDeclared: every declared setting is live
    ReplicasInSync=True AsDeclared: 1 shards have 3 replicas; when compared, 3 nodes listed the same 5 objects
    ");
    let status = world.articles().status.unwrap();
    assert_eq!(status.objects.unwrap().count, 5);
    let replication = status.replication.unwrap();
    assert_eq!((replication.lowest, replication.class_factor), (Some(3), Some(3)));
    assert_eq!(replication.proved.unwrap().objects, 5);
    world.round().await;
    advance(3600);
    assert_eq!(world.round().await, "");
}

#[tokio::test]
async fn copying_goes_on_after_a_crash_at_each_round_without_a_second_copy() {
    let mut world = world(json!({}), 3).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 2}}));
    let mut story = String::new();
    for _ in 0..16 {
        world.restart();
        story.push_str(&world.round().await);
        world.weaviate.advance();
        advance(1);
    }
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 4, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
}

#[tokio::test]
async fn a_mutable_setting_is_put_back_and_nothing_else_moves() {
    let schema = json!({"description": "ours", "properties": [
        {"name": "title", "dataType": ["text"]}, {"name": "body", "dataType": ["text"]},
    ]});
    let mut world = world(schema, 1).await;
    world.weaviate.seed_class(&json!({
        "class": "Articles", "description": "theirs", "extra": {"kept": true},
        "properties": [{"name": "title", "dataType": ["text"]}, {"name": "theirs", "dataType": ["text"]}],
    }));
    assert_snapshot!(world.round().await, @r"
    POST /v1/schema/Articles/properties at w-0
    PATCH elysiacollections/articles/status Ready=False SchemaDrift
    POST events Warning DriftFound
    POST events Normal SettingsPutBack
    ");
    assert_snapshot!(world.round().await, @r"
    PUT /v1/schema/Articles at w-0
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal DriftGone
    POST events Normal SettingsPutBack
    POST events Normal AsDeclared
    ");
    assert_eq!(world.round().await, "");
    let class = world.weaviate.class("Articles").unwrap();
    assert_eq!((&class["description"], &class["extra"]["kept"]), (&json!("ours"), &json!(true)));
    assert_eq!(class["properties"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_change_by_somebody_else_in_between_voids_the_put() {
    let world = world(json!({}), 1).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "description": "seen"}));
    let base = world.weaviate.class("Articles").unwrap();
    let mut wanted = base.clone();
    wanted["description"] = json!("ours");
    // Between the look and the step somebody adds a property.
    let address = world.weaviate.address("w-0").parse().unwrap();
    let client = Client::new(options(address)).unwrap();
    client.add_property("Articles", &json!({"name": "theirs", "dataType": ["text"]})).await.unwrap();

    let voided = update_class(&client, "Articles", &base, &wanted).await;
    assert!(matches!(voided, Err(EffectError::Changed(_))), "{voided:?}");
    assert!(!world.weaviate.transcript().iter().any(|call| call.starts_with("PUT")));
    let live = world.weaviate.class("Articles").unwrap();
    assert_eq!((&live["description"], &live["properties"][0]["name"]), (&json!("seen"), &json!("theirs")));

    // From what the server says now it is put, with the other's property in it.
    let mut wanted = live.clone();
    wanted["description"] = json!("ours");
    update_class(&client, "Articles", &live, &wanted).await.unwrap();
    let live = world.weaviate.class("Articles").unwrap();
    assert_eq!((&live["description"], &live["properties"][0]["name"]), (&json!("ours"), &json!("theirs")));
}

#[tokio::test]
async fn a_class_with_objects_and_a_wrong_setting_is_refused_and_not_touched() {
    let mut world = world(json!({"vectorizer": "text2vec-openai"}), 1).await;
    world.weaviate.seed_class(&json!({"class": "Articles"}));
    world.weaviate.seed_objects("Articles", "shard1", "w-1", ids(1));
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False RefusedHasData
    POST events Warning DriftFound
    POST events Warning RefusedHasData
    ");
    assert_snapshot!(world.conditions(), @r"
    Ready=False RefusedHasData: vectorizer cannot be changed on an existing collection, and w-0 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    Available=True AsDeclared: the collection serves
    SchemaInSync=False RefusedHasData: vectorizer cannot be changed on an existing collection, and w-0 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    ReplicasInSync=True AsDeclared: 3 shards have 1 replica
    Stalled=True RefusedHasData: vectorizer cannot be changed on an existing collection, and w-0 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    ");
    // An approval of whatever hash changes nothing.
    world.annotate::<ElysiaCollection>("articles", "elysia.dev/approve", "000000000000");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.round().await, "");
    }
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "none");
}

#[tokio::test]
async fn an_unreachable_cluster_is_unknown_and_nothing_is_done() {
    let mut world = world(json!({}), 1).await;
    world.round().await;
    for node in NODES {
        world.weaviate.close(node).await;
    }
    world.round().await;
    let conditions = world.conditions();
    assert!(conditions.starts_with("Ready=Unknown Unreachable"), "{conditions}");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.round().await, "");
    }
    for node in NODES {
        world.weaviate.open(node).await.unwrap();
    }
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    PATCH events Normal AsDeclared
    ");
}

#[tokio::test]
async fn a_server_that_answers_with_errors_is_unknown_and_no_class_is_created() {
    let mut world = world(json!({}), 1).await;
    for node in NODES {
        world.weaviate.fault(node, Some(elysia_testkit::weaviate::Fault::Status(500)));
    }
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=Unknown Unknown
    POST events Warning Unknown
    ");
    assert_eq!(world.round().await, "");
}

#[tokio::test]
async fn a_cluster_that_is_not_whole_is_waited_for() {
    let mut world = world(json!({}), 1).await;
    world.weaviate.close("w-2").await;
    world.cluster("search").await.unwrap();
    world.transcript();
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False ClusterNotReady
    POST events Normal ClusterNotReady
    ");
    assert_eq!(world.round().await, "");
    assert_eq!(world.weaviate.class("Articles"), None);
}

#[tokio::test]
async fn of_two_that_claim_one_collection_the_older_keeps_it() {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("older", &json!({"description": "older"}), 1));
    world.api.seed(&declared("newer", &json!({"description": "newer"}), 1));
    for name in ["newer", "older", "newer", "older", "newer", "older"] {
        world.collection(name).await.unwrap();
    }
    assert_snapshot!(world.transcript(), @r"
    PATCH elysiacollections/newer/status Ready=False Conflict
    POST events Warning Conflict
    POST /v1/schema at w-0
    PATCH elysiacollections/older/status Ready=True AsDeclared
    POST events Normal Created
    POST events Normal AsDeclared
    PATCH elysiacollections/newer/status Ready=False Conflict
    ");
    assert_snapshot!(shown(&world.get::<ElysiaCollection>("newer").status.unwrap().conditions), @r"
    Ready=False Conflict: ElysiaCollection ai/older is older and claims collection Articles of search as well; delete one of the two, the collection stays
    Available=False Conflict: ElysiaCollection ai/older is older and claims collection Articles of search as well; delete one of the two, the collection stays
    SchemaInSync=False Conflict: ElysiaCollection ai/older is older and claims collection Articles of search as well; delete one of the two, the collection stays
    ReplicasInSync=False Conflict: ElysiaCollection ai/older is older and claims collection Articles of search as well; delete one of the two, the collection stays
    Stalled=True Conflict: ElysiaCollection ai/older is older and claims collection Articles of search as well; delete one of the two, the collection stays
    ");
    assert_eq!(world.weaviate.class("Articles").unwrap()["description"], "older");

    world.api.remove::<ElysiaCollection>(NAMESPACE, "older");
    world.collection("newer").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PUT /v1/schema/Articles at w-0
    PATCH elysiacollections/newer/status Ready=True AsDeclared
    POST events Normal ConflictWon
    POST events Normal SettingsPutBack
    POST events Normal AsDeclared
    ");
}

#[tokio::test]
async fn a_paused_collection_is_looked_at_and_not_touched() {
    let mut world = world(json!({}), 1).await;
    world.annotate::<ElysiaCollection>("articles", "elysia.dev/paused", "true");
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False Creating
    POST events Warning Creating
    ");
    assert_eq!(world.round().await, "");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_stops_everything() {
    let mut world = world(json!({}), 1).await;
    world.api.fail_next("GET", "configmaps/articles-journal", 500);
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=Unknown Unknown
    POST events Warning Unknown
    ");
    assert_eq!(world.weaviate.class("Articles"), None);
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_an_error_and_the_next_round_writes_it() {
    let mut world = world(json!({}), 1).await;
    world.api.fail_next("PATCH", "elysiacollections/articles", 500);
    world.collection("articles").await.expect_err("no status");
    assert_snapshot!(world.transcript(), @r"
    POST /v1/schema at w-0
    PATCH elysiacollections/articles/status Ready=True AsDeclared → 500
    POST events Normal Created
    ");
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal AsDeclared
    ");
}
