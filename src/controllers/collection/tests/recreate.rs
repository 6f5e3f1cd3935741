//! Recreation of an empty collection: in order, after a crash at every write, and against objects that appear.

mod clear;
mod guards;
mod orphans;
mod tenants;

use elysia_api::ElysiaCollection;
use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::super::super::cluster::HOLDS_AUTO_SCHEMA_OFF;
use super::super::super::fixture::{NAMESPACE, NODES, World, advance, at_every_write};
use super::{declared, ids};
use crate::runtime::patience::options;

/// Rounds after which everything has ended, also after several crashes; most stories come to rest before.
const ROUNDS: usize = 100;

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
        for _ in 0..ROUNDS {
            round_or_crash(self).await;
        }
        self.transcript()
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

/// The end of every story with a crash: recreated exactly once, and nothing was deleted without a journal.
fn check_recreated(world: &World, transcript: &str, what: &str) {
    let lines: Vec<&str> = transcript.lines().collect();
    let at = |part: &str| lines.iter().position(|line| line.contains(part));
    let deletes = lines.iter().filter(|line| line.starts_with("DELETE /v1/schema/Articles")).count();
    assert_eq!(deletes, 1, "{what}\n{transcript}");
    let journal = lines.iter().position(|line| line.starts_with("POST configmaps") && !line.contains("→ nothing"));
    assert!(
        journal < at("PUT /v1/schema/Articles/shards") && journal < at("DELETE /v1/schema"),
        "{what}\n{transcript}"
    );
    assert!(at("DELETE /v1/schema") < at("POST /v1/schema at"), "{what}\n{transcript}");
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai", "{what}");
    assert!(world.is_ready(), "{what}\n{}\n{transcript}", world.conditions());
}

/// Tells the story of an approved recreation with a fault at each write in it; `prepare` changes the world first, right
/// before the proof. Gives the writes.
async fn recreated(fate: Fate, prepare: fn(&World), check: impl AsyncFn(&World, &str, &str)) -> Vec<String> {
    recreated_from(approved, fate, prepare, check).await
}

async fn recreated_from(
    begin: impl AsyncFn() -> World,
    fate: Fate,
    prepare: fn(&World),
    check: impl AsyncFn(&World, &str, &str),
) -> Vec<String> {
    let play = async |world: &mut World| {
        let (mut prepared, mut silent) = (false, false);
        for _ in 0..ROUNDS {
            let before = world.fuse.writes();
            round_or_crash(world).await;
            // Nothing is written while writes in flight are waited out.
            silent = world.fuse.writes() == before && !world.is_at("Settle");
            if silent {
                break;
            }
            // When all shards are frozen and the writes in flight are over.
            if world.is_at("Delete") && !prepared {
                prepare(world);
                prepared = true;
            }
        }
        assert!(silent, "it does not come to rest: {}", world.conditions());
    };
    at_every_write(fate, begin, play, check).await
}

async fn recreated_whatever_breaks(fate: Fate) -> usize {
    let check = async |world: &World, transcript: &str, what: &str| check_recreated(world, transcript, what);
    recreated(fate, |_| {}, check).await.len()
}

#[tokio::test]
async fn a_crash_before_any_write_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::Hangs).await > 15);
}

#[tokio::test]
async fn a_crash_after_any_write_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::HangsAfter).await > 15);
}

#[tokio::test]
async fn any_write_that_fails_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::Fails(500)).await > 15);
}

#[tokio::test]
async fn any_write_whose_answer_is_lost_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::FailsAfter(500)).await > 15);
}

/// A write that was in flight when the shards were frozen and is committed right before the proof.
fn late_objects(world: &World) {
    world.weaviate.seed_objects("Articles", "shard2", "w-1", ids(2));
}

/// Stopped: the old class is there with its objects, and every shard is writable.
async fn check_untouched(world: &World, transcript: &str, what: &str) {
    assert!(!transcript.contains("DELETE /v1/schema"), "{what}\n{transcript}");
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "none", "{what}\n{transcript}");
    assert!(!world.is_frozen_anywhere().await, "{what}: a shard stayed read-only\n{transcript}");
}

#[tokio::test]
async fn objects_that_appear_before_the_delete_stop_it_and_the_shards_are_thawed() {
    let mut world = before_the_proof().await;
    late_objects(&world);
    assert_snapshot!(world.rest().await, @r"
    PUT configmaps/articles-journal-00000003 Thaw (w-1 lists objects, or could not be asked)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Warning RecreationVoided
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT configmaps/articles-journal-00000003 Stopped (w-1 lists objects, or could not be asked)
    POST events Normal RecreationEnded
    PATCH elysiacollections/articles/status Ready=False RefusedHasData
    POST events Warning RefusedHasData
    ");
    check_untouched(&world, "", "").await;
    assert_snapshot!(world.conditions(), @r"
    Ready=False RefusedHasData: vectorizer cannot be changed on an existing collection, and w-1 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    Available=True AsDeclared: the collection serves
    SchemaInSync=False RefusedHasData: vectorizer cannot be changed on an existing collection, and w-1 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Stalled=True RefusedHasData: vectorizer cannot be changed on an existing collection, and w-1 lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec
    ");
    assert_eq!(world.rest().await, "");
}

#[tokio::test]
async fn objects_that_appear_stop_it_also_when_the_operator_dies_at_any_write() {
    for fate in [Fate::Hangs, Fate::HangsAfter] {
        let blown = recreated(fate, late_objects, check_untouched).await;
        assert!(blown.len() > 15, "{blown:#?}");
    }
}

#[tokio::test]
async fn objects_that_appear_stop_it_also_when_any_write_fails() {
    let blown = recreated(Fate::Fails(500), late_objects, check_untouched).await;
    assert!(blown.len() > 15, "{blown:#?}");
}

#[tokio::test]
async fn a_node_that_restarts_before_the_delete_voids_the_proof() {
    let mut world = before_the_proof().await;
    world.weaviate.restart("w-1");
    assert_snapshot!(world.rest().await, @r"
    PUT configmaps/articles-journal-00000003 Thaw (not every shard was read-only at w-1; it may have restarted)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Warning RecreationVoided
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT configmaps/articles-journal-00000003 Stopped (not every shard was read-only at w-1; it may have restarted)
    POST events Normal RecreationEnded
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    POST events Warning NeedsApproval
    ");
    check_untouched(&world, "", "").await;
}

#[tokio::test]
async fn auto_schema_that_stays_on_stops_it_before_anything_is_frozen() {
    let mut world = approved().await;
    world.weaviate.auto_schema(true);
    world.transcript();
    assert_snapshot!(world.rest().await, @r"
    POST configmaps/articles-journal-00000003 AutoSchemaOff
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal ApprovalConsumed
    POST events Normal RecreationBegun
    PATCH elysiacollections/articles/status Ready=False Recreating
    PUT configmaps/articles-journal-00000003 Thaw (auto-schema could not be seen to be off at w-0)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Warning RecreationVoided
    PUT configmaps/articles-journal-00000003 Stopped (auto-schema could not be seen to be off at w-0)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal RecreationEnded
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    POST events Warning NeedsApproval
    ");
    assert_snapshot!(world.conditions(), @r#"
    Ready=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: auto-schema could not be seen to be off at w-0. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=aae5a5aa4b64 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    Available=True AsDeclared: the collection serves
    SchemaInSync=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: auto-schema could not be seen to be off at w-0. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=aae5a5aa4b64 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Stalled=True NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: auto-schema could not be seen to be off at w-0. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=aae5a5aa4b64 elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    "#);
}

#[tokio::test]
async fn a_node_that_is_away_is_not_empty() {
    let mut world = approved().await;
    world.weaviate.close("w-2").await;
    let written = world.rest().await;
    assert!(!written.contains("/v1/schema"), "{written}");
    assert!(world.conditions().contains("RefusedNotProvablyEmpty"), "{}", world.conditions());
}

#[tokio::test]
async fn a_class_that_a_person_deletes_while_it_is_thawed_is_not_waited_for() {
    let mut world = before_the_proof().await;
    late_objects(&world);
    while !world.is_at("Thaw") {
        round_or_crash(&mut world).await;
    }
    let address = world.weaviate.address("w-0").parse().unwrap();
    let person = elysia_weaviate::Client::new(options(address)).unwrap();
    person.delete_class("Articles").await.unwrap();
    world.rest().await;
    assert!(world.is_ready(), "{}", world.conditions());
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

/// The server knows the module no more that the new settings name, and says so only when it is to create the class.
#[tokio::test]
async fn new_settings_that_the_server_refuses_end_with_the_old_collection() {
    let mut world = before_the_proof().await;
    let approved = world.articles().status.unwrap().plan.unwrap().hash;
    world.weaviate.without_module(Some("text2vec-openai"));
    assert_snapshot!(world.rest().await, @r#"
    DELETE /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 WaitGone
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal CollectionDeleted
    PUT configmaps/articles-journal-00000003 Create
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Create (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Verify (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    POST events Normal Created
    PUT configmaps/articles-journal-00000003 Done (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Warning OldCollectionBack
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    PATCH events Warning DriftFound
    POST events Warning NeedsApproval
    "#);
    check_old_again(&world, "", "").await;
    let plan = world.articles().status.unwrap().plan.unwrap();
    assert_ne!(plan.hash, approved, "the approval is used up");
    assert_snapshot!(world.conditions().replace(&plan.hash, "(hash)"), @r#"
    Ready=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    Available=True AsDeclared: the collection serves
    SchemaInSync=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Stalled=True NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    "#);
    // At rest: the approval still stands on the object, and nothing is tried again.
    advance(3600);
    assert_eq!(world.rest().await, "");
    world.restart();
    assert_eq!(world.rest().await, "");
    // A person may have another try, after having switched the module on.
    world.weaviate.without_module(None);
    world.approve();
    let transcript = world.rest().await;
    check_recreated(&world, &transcript, "the second try");
}

#[tokio::test]
async fn refused_settings_end_with_the_old_collection_whatever_breaks() {
    let refuse = |world: &World| world.weaviate.without_module(Some("text2vec-openai"));
    for fate in [Fate::HangsAfter, Fate::FailsAfter(500)] {
        let blown = recreated(fate, refuse, check_old_again).await;
        assert!(blown.len() > 15, "{blown:#?}");
    }
}

/// The new settings were refused: the old class is there once and writable, and its journal has ended and says why.
async fn check_old_again(world: &World, transcript: &str, what: &str) {
    assert!(transcript.matches("DELETE /v1/schema").count() <= 1, "{what}\n{transcript}");
    let class = world.weaviate.class("Articles").unwrap();
    assert_eq!((&class["vectorizer"], &class["replicationConfig"]["factor"]), (&json!("none"), &json!(3)), "{what}");
    assert!(!world.is_frozen_anywhere().await, "{what}: a shard stayed read-only\n{transcript}");
    assert!(world.is_at("Done"), "{what}\n{transcript}");
    assert!(!world.holds_auto_schema_off(), "{what}\n{transcript}");
    let conditions = world.conditions();
    assert!(conditions.starts_with("Ready=False NeedsApproval"), "{what}\n{conditions}\n{transcript}");
    assert!(conditions.contains(r#"no module with name "text2vec-openai" present"#), "{what}\n{conditions}");
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

#[tokio::test]
async fn a_node_that_is_away_while_the_shards_are_thawed_is_waited_for_without_writes() {
    let mut world = before_the_proof().await;
    late_objects(&world);
    while !world.is_at("Thaw") {
        round_or_crash(&mut world).await;
    }
    world.weaviate.close("w-2").await;
    world.transcript();
    assert_snapshot!(world.rest().await, @r"
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PATCH elysiacollections/articles/status Ready=False Recreating
    PATCH elysiacollections/articles/status Ready=False Recreating
    ");
    assert!(world.is_at("Thaw"));
    assert!(world.conditions().contains("w-2 to answer"), "{}", world.conditions());
    assert_eq!(world.rest().await, "");
    world.weaviate.open("w-2").await.unwrap();
    world.rest().await;
    assert!(world.is_at("Stopped"));
    check_untouched(&world, "", "").await;
}
