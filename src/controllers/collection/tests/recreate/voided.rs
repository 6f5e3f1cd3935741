//! What stops a recreation before its delete: objects that appear, and what cannot be proved. Everything is thawed again.

use insta::assert_snapshot;

use super::super::super::super::fixture::World;
use super::super::ids;
use super::{approved, before_the_proof, round_or_crash};
use crate::runtime::patience::options;

/// A write that was in flight when the shards were frozen and is committed right before the proof.
pub(super) fn late_objects(world: &World) {
    world.weaviate.seed_objects("Articles", "shard2", "w-1", ids(2));
}

/// Stopped: the old class is there with its objects, and every shard is writable.
pub(super) async fn check_untouched(world: &World, transcript: &str, what: &str) {
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
