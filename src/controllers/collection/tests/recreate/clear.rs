//! `elysia.dev/clear`: a person's command, carried out once, and never beyond the number that was typed.

use elysia_api::ElysiaCollection;
use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use serde_json::json;

use super::super::super::super::fixture::{NAMESPACE, World, advance};
use super::super::{declared, ids};
use super::swept::recreated_from;
use super::{before_the_proof, round_or_crash};
use crate::runtime::patience::options;

/// A class with five objects at each node, as declared.
async fn filled() -> World {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("articles", &json!({"description": "declared"}), 3));
    world.weaviate.auto_schema(false);
    world.weaviate.seed_class(&json!({
        "class": "Articles", "description": "declared", "extra": "kept",
        "replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 1},
    }));
    for node in super::NODES {
        world.weaviate.seed_objects("Articles", "shard0", node, ids(5));
    }
    world.round().await;
    world
}

fn ask(world: &World, request: &str) {
    world.annotate::<ElysiaCollection>("articles", "elysia.dev/clear", request);
}

pub(super) async fn asked() -> World {
    let world = filled().await;
    ask(&world, "5/first");
    world.transcript();
    world
}

async fn count(world: &World) -> usize {
    let mut most = 0;
    for node in super::NODES {
        let address = world.weaviate.address(node).parse().unwrap();
        let client = elysia_weaviate::Client::new(options(address)).unwrap();
        let page = elysia_weaviate::Page { class: "Articles", tenant: None, after: None, limit: 100 };
        most = most.max(client.list_ids(page).await.unwrap().len());
    }
    most
}

async fn check_cleared(world: &World, written: &str, what: &str) {
    assert_eq!(written.matches("DELETE /v1/schema/Articles").count(), 1, "{what}\n{written}");
    assert_eq!(count(world).await, 0, "{what}\n{written}");
    assert_eq!(world.weaviate.class("Articles").unwrap()["extra"], "kept", "{what}: as it was, not as declared");
    assert!(world.is_at("Done") && world.is_ready(), "{what}\n{}\n{written}", world.conditions());
}

#[tokio::test]
async fn it_is_deleted_and_created_as_it_was_once() {
    let mut world = asked().await;
    let written = world.rest().await;
    assert_snapshot!(super::steps(&written), @r"
    POST configmaps/articles-journal-00000003 AutoSchemaOff
    PUT configmaps/articles-journal-00000003 Freeze
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT configmaps/articles-journal-00000003 Settle
    PUT configmaps/articles-journal-00000003 Delete
    DELETE /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 WaitGone
    PUT configmaps/articles-journal-00000003 Create
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Verify
    PUT configmaps/articles-journal-00000003 Done
    ");
    check_cleared(&world, &written, "").await;
    assert_eq!(world.articles().status.unwrap().last_handled.unwrap().clear.as_deref(), Some("first"));
    // Written to again, with the annotation still there, the status lost and the operator started anew.
    world.weaviate.seed_objects("Articles", "shard0", "w-0", ids(2));
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| object["status"] = json!({}));
    world.restart();
    advance(3600);
    assert!(!world.rest().await.contains("/v1/schema"));
    // An older request that comes back is dealt with as well.
    ask(&world, "5/second");
    world.rest().await;
    ask(&world, "5/first");
    assert!(!world.rest().await.contains("/v1/schema"));
}

#[tokio::test]
async fn one_object_more_than_was_typed_stops_it_and_is_told_with_the_number() {
    let mut world = filled().await;
    ask(&world, "4/first");
    world.transcript();
    let written = world.rest().await;
    assert!(!written.contains("DELETE"), "{written}");
    assert_eq!(count(&world).await, 5);
    assert!(!world.is_frozen_anywhere().await);
    let conditions = world.conditions();
    assert!(conditions.contains("Stalled=True ClearRefused"), "{conditions}");
    assert!(conditions.contains("w-0 lists 5 objects, more than the 4 that were to be removed"), "{conditions}");
    assert!(!world.rest().await.contains("/v1/schema"), "once");
    // The annotation taken away, all is well.
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["metadata"]["annotations"].as_object_mut().unwrap().remove("elysia.dev/clear");
    });
    world.rest().await;
    assert!(world.is_ready(), "{}", world.conditions());
}

/// `kubectl replace --force`, or whoever makes the object anew with the annotations of the old one.
#[tokio::test]
async fn an_annotation_that_came_with_the_object_empties_nothing_and_a_later_one_does() {
    let mut world = filled().await;
    let written_at = |world: &World, request: &str, time: &str| {
        ask(world, request);
        world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["metadata"]["managedFields"] = json!([{
                "manager": "kubectl", "operation": "Update", "apiVersion": "elysia.dev/v1alpha1", "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {"f:elysia.dev/clear": {}}}},
            }]);
        });
    };
    let created = world.articles().metadata.creation_timestamp.unwrap().0.to_string();
    written_at(&world, "5/first", &created);
    world.transcript();
    let written = world.rest().await;
    assert!(!written.contains("/v1/schema"), "{written}");
    let conditions = world.conditions();
    assert!(conditions.contains("Stalled=True ClearRefused"), "{conditions}");
    assert!(conditions.contains("the annotation came with the object"), "{conditions}");
    // Somebody applies the manifest with another setting: the entry is younger, the request is what it was.
    written_at(&world, "5/first", "2026-02-01T00:00:00Z");
    assert!(!world.rest().await.contains("/v1/schema"));
    written_at(&world, "5/second", "2026-02-01T00:00:00Z");
    let written = world.rest().await;
    check_cleared(&world, &written, "a later one").await;
}

#[tokio::test]
async fn a_word_that_cannot_be_read_is_a_message() {
    for text in ["", "5", "five/first", "5/", "-5/first"] {
        let mut world = filled().await;
        ask(&world, text);
        world.transcript();
        let written = world.rest().await;
        assert!(!written.contains("/v1/schema") && !written.contains("configmaps"), "{text}\n{written}");
        let conditions = world.conditions();
        assert!(conditions.contains("ClearRefused") && conditions.contains("COUNT/REQUEST"), "{text}\n{conditions}");
    }
}

#[tokio::test]
async fn a_protected_name_is_refused_once_and_cleared_with_the_override() {
    let mut world = filled().await;
    world.api.edit::<elysia_api::WeaviateCluster>(NAMESPACE, "search", |cluster| {
        cluster["spec"]["protectedCollections"] = json!(["Art*"]);
    });
    ask(&world, "5/first");
    world.transcript();
    let written = world.rest().await;
    assert!(!written.contains("/v1/schema"), "{written}");
    assert!(world.conditions().contains("Art* protects the collection"), "{}", world.conditions());
    // The refused request stays refused; another one is carried out.
    world.annotate::<ElysiaCollection>("articles", "elysia.dev/override-protection", "true");
    assert!(!world.rest().await.contains("/v1/schema"));
    ask(&world, "5/second");
    let written = world.rest().await;
    check_cleared(&world, &written, "override").await;
}

#[tokio::test]
async fn without_addresses_of_the_nodes_nothing_is_counted_and_nothing_deleted() {
    let mut world = filled().await;
    world.api.edit::<elysia_api::WeaviateCluster>(NAMESPACE, "search", |cluster| {
        cluster["spec"]["external"].as_object_mut().unwrap().remove("nodes");
    });
    world.cluster("search").await.unwrap();
    ask(&world, "5/first");
    world.transcript();
    let written = world.rest().await;
    assert!(!written.contains("/v1/schema"), "{written}");
    assert!(world.conditions().contains("no node addresses"), "{}", world.conditions());
}

#[tokio::test]
async fn a_tenant_that_is_asleep_is_not_counted_and_refuses_it() {
    let mut world = super::tenants::tenants_differ(&[("t1", "HOT"), ("t2", "COLD")]).await;
    ask(&world, "5/first");
    let written = world.rest().await;
    assert!(!written.contains("/v1/schema"), "{written}");
    assert_eq!(world.weaviate.tenants("Articles")["t2"], "COLD");
}

#[tokio::test]
async fn the_tenants_of_a_cleared_collection_are_created_again() {
    let mut world = super::tenants::tenants_differ(&[("t1", "HOT"), ("t2", "HOT")]).await;
    for node in super::NODES {
        world.weaviate.seed_objects("Articles", "t1", node, ids(3));
        world.weaviate.seed_objects("Articles", "t2", node, ids(2));
    }
    ask(&world, "4/first");
    let written = world.rest().await;
    assert!(!written.contains("DELETE"), "{written}");
    ask(&world, "5/second");
    let written = world.rest().await;
    assert_eq!(written.matches("DELETE /v1/schema/Articles").count(), 1, "{written}");
    super::tenants::check_tenants(&world, &["t1", "t2"], "cleared", &written);
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "none", "as it was, not as declared");
}

#[tokio::test]
async fn a_request_to_clear_waits_until_a_recreation_is_over() {
    let mut world = before_the_proof().await;
    ask(&world, "0/first");
    round_or_crash(&mut world).await;
    assert!(world.is_at("WaitGone"));
    let written = world.rest().await;
    assert!(world.is_ready(), "{}\n{written}", world.conditions());
}

#[tokio::test]
async fn it_is_carried_out_once_whatever_breaks() {
    for fate in [Fate::Hangs, Fate::HangsAfter, Fate::Fails(500), Fate::FailsAfter(500)] {
        let blown = recreated_from(asked, fate, |_| {}, check_cleared).await;
        assert!(blown.len() > 13, "{blown:#?}");
    }
}
