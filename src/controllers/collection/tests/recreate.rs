//! Recreation of an empty collection: in order, once, and only with an approval. Its files have what may come up.

mod clear;
mod guards;
mod invalid;
mod orphans;
mod refused;
mod swept;
mod tenants;
mod voided;

use elysia_api::ElysiaCollection;
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::super::super::cluster::HOLDS_AUTO_SCHEMA_OFF;
use super::super::super::fixture::{NAMESPACE, NODES, Rounds, World, advance};
use super::declared;
use crate::runtime::patience::options;

/// Rounds of a recreation. A fault may cost the time that writes in flight are waited out once more.
const ROUNDS: Rounds = Rounds { undisturbed: 20, each_fault: 10 };

/// Rounds without a write after which nothing is left to do: nothing here is waited for so long, a quarter of an hour, in
/// silence.
const SILENT: usize = 30;

/// An empty class with an immutable setting that differs from the declared one, and auto-schema off.
async fn differs() -> World {
    let world = World::with_cluster().await;
    differs_in(&world);
    world
}

fn differs_in(world: &World) {
    world.api.seed(&declared("articles", &json!({"vectorizer": "text2vec-openai"}), 3));
    world.weaviate.auto_schema(false);
    world.weaviate.seed_class(&json!({
        "class": "Articles", "replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 3},
    }));
}

/// The same, looked at and approved by a person.
async fn approved() -> World {
    let mut world = differs().await;
    world.round().await;
    world.approve();
    world
}

/// Approved, and carried out so far that the next round proves and deletes.
async fn before_the_proof() -> World {
    let mut world = approved().await;
    while !world.is_at("Delete") {
        round_or_crash(&mut world).await;
    }
    world.transcript();
    world
}

/// One round that may hang at a write: then the operator dies and is started again.
async fn round_or_crash(world: &mut World) {
    world.or_crash(async |world| drop(world.collection("articles").await)).await;
    advance(30);
}

/// What was written apart from statuses and Events.
fn steps(written: &str) -> String {
    let lines: Vec<&str> =
        written.lines().filter(|line| !line.contains("/status") && !line.contains("events")).collect();
    lines.join("\n")
}

impl World {
    fn approve(&self) {
        let hash = self.articles().status.unwrap().plan.unwrap().hash;
        self.annotate::<ElysiaCollection>("articles", "elysia.dev/approve", &hash);
    }

    /// Rounds until nothing is left to do, and all that was written.
    async fn rest(&mut self) -> String {
        let mut silent = 0;
        for _ in 0..ROUNDS.with(1) + SILENT {
            let before = self.fuse.writes();
            round_or_crash(self).await;
            silent = if self.fuse.writes() == before { silent + 1 } else { 0 };
            if silent == SILENT {
                return self.transcript();
            }
        }
        panic!("it does not come to rest: {}\n{}", self.conditions(), self.transcript());
    }

    /// Whether a journal stands at this cursor.
    fn is_at(&self, cursor: &str) -> bool {
        let wanted = format!(r#""cursor": "{cursor}""#);
        let text = |config: &ConfigMap| config.data.as_ref()?.get("journal.json").cloned();
        self.api.objects::<ConfigMap>().iter().filter_map(text).any(|text| text.contains(&wanted))
    }

    /// Whether a journal holds auto-schema off, by the label that the cluster's rounds look for.
    fn holds_auto_schema_off(&self) -> bool {
        let label = |config: &ConfigMap| config.metadata.labels.as_ref()?.get(HOLDS_AUTO_SCHEMA_OFF).cloned();
        self.api.objects::<ConfigMap>().iter().filter_map(label).any(|holds| holds == "true")
    }

    /// Name of the one journal.
    fn journal(&self) -> String {
        let configs: Vec<ConfigMap> = self.api.objects();
        let names: Vec<String> = configs.into_iter().filter_map(|config| config.metadata.name).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    /// Whether any node answers that a shard is read-only.
    async fn is_frozen_anywhere(&self) -> bool {
        for node in NODES {
            let address = self.weaviate.address(node).parse().unwrap();
            let client = elysia_weaviate::Client::new(options(address)).unwrap();
            let shards = client.shard_statuses("Articles").await.unwrap();
            if shards.iter().any(|shard| shard.status == elysia_weaviate::ShardStatus::ReadOnly) {
                return true;
            }
        }
        false
    }
}

#[tokio::test]
async fn without_an_approval_nothing_happens() {
    let mut world = differs().await;
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    POST events Warning DriftFound
    POST events Warning NeedsApproval
    ");
    assert_snapshot!(world.conditions(), @r#"
    Ready=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=859777be74c7 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    Available=True AsDeclared: the collection serves
    SchemaInSync=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=859777be74c7 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Stalled=True NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=859777be74c7 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    "#);
    assert_snapshot!(world.articles().status.unwrap().plan.unwrap().steps.join("\n"), @r"
    keep the live schema in ConfigMap articles-journal-00000003
    switch auto-schema off and see it off at 3 nodes
    make 3 shards of Articles read-only and see it at 3 nodes
    wait 120 s for writes in flight
    list the ids of Articles at each of 3 nodes, twice, and stop if there is any
    delete Articles
    wait until Articles is gone at 3 nodes
    create Articles as declared, with factor 3
    see Articles at 3 nodes and set auto-schema back
    ");
    world.round().await;
    world.annotate::<ElysiaCollection>("articles", "elysia.dev/approve", "000000000000");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.round().await, "");
    }
}

#[tokio::test]
async fn an_approved_plan_is_carried_out_once_and_the_journal_comes_first() {
    let mut world = approved().await;
    world.transcript();
    assert_snapshot!(world.rest().await, @r"
    POST configmaps/articles-journal-00000003 AutoSchemaOff
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal ApprovalConsumed
    POST events Normal RecreationBegun
    PUT configmaps/articles-journal-00000003 Freeze
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT configmaps/articles-journal-00000003 Settle
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT configmaps/articles-journal-00000003 Delete
    PATCH elysiacollections/articles/status Ready=False Recreating
    DELETE /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 WaitGone
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal CollectionDeleted
    PUT configmaps/articles-journal-00000003 Create
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Verify
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal Created
    PUT configmaps/articles-journal-00000003 Done
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal Recreated
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal AsDeclared
    ");
    assert!(world.is_ready(), "{}", world.conditions());
    let class = world.weaviate.class("Articles").unwrap();
    assert_eq!((&class["vectorizer"], &class["replicationConfig"]["factor"]), (&json!("text2vec-openai"), &json!(3)));
    let journal: ConfigMap = world.get(&world.journal());
    assert_eq!(journal.metadata.owner_references, None);
    let text = &journal.data.unwrap()["journal.json"];
    assert!(text.contains(r#""vectorizer": "none""#), "the class as it was is kept: {text}");
    // At rest, and the approval is inert.
    advance(3600);
    assert_eq!(world.rest().await, "");
}

#[tokio::test]
async fn the_same_approval_does_not_serve_a_second_time() {
    let mut world = approved().await;
    world.rest().await;
    world.weaviate.seed_class(&json!({
        "class": "Articles", "replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 3},
    }));
    assert!(!world.rest().await.contains("DELETE"));
    assert!(world.conditions().contains("NeedsApproval"), "{}", world.conditions());
}

#[tokio::test]
async fn a_factor_that_the_cluster_cannot_hold_is_found_before_the_delete() {
    let mut world = approved().await;
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["replication"]["factor"] = 4.into();
    });
    world.transcript();
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    POST events Warning InvalidSpec
    ");
    let status = world.articles().status.unwrap();
    assert_eq!(status.plan, None, "there is nothing to approve");
    let schema = status.conditions.iter().find(|condition| condition.type_ == "SchemaInSync").unwrap();
    assert_snapshot!(schema.message, @"vectorizer cannot be changed on an existing collection; replication.factor 4 needs as many nodes, the cluster has 3; lower it");
    assert_eq!(world.rest().await, "");
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "none");
}

#[tokio::test]
async fn an_object_that_loses_its_claim_in_the_middle_ends_what_it_began() {
    for cursor in ["Freeze", "Settle", "Delete", "WaitGone", "Create", "Verify"] {
        let mut world = World::with_cluster().await;
        let other = |collection: &str| {
            let mut other = declared("older", &json!({}), 3);
            other.spec.collection = collection.to_owned();
            other
        };
        // Older, and of another collection for now.
        world.api.seed(&other("Others"));
        differs_in(&world);
        world.round().await;
        world.approve();
        while !world.is_at(cursor) {
            round_or_crash(&mut world).await;
        }
        world.api.edit::<ElysiaCollection>(NAMESPACE, "older", |older| older["spec"]["collection"] = "Articles".into());
        assert!(world.holds_auto_schema_off(), "{cursor}");
        let transcript = world.rest().await;
        assert!(world.is_at("Done"), "{cursor}\n{transcript}");
        assert!(!world.holds_auto_schema_off(), "{cursor}\n{transcript}");
        assert!(!world.is_frozen_anywhere().await, "{cursor}\n{transcript}");
        assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai", "{cursor}");
        let conditions = world.conditions();
        assert!(conditions.starts_with("Ready=False Conflict"), "{cursor}\n{conditions}");
    }
}
