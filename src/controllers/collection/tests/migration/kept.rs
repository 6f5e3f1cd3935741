//! The class that is kept for going back: what it is kept from, and when it stays although its time is over.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use serde_json::json;
use uuid::Uuid;

use super::super::super::super::fixture::{NAMESPACE, NODES, World, advance};
use super::{aliased, five, manual};

/// Migrated, and then somebody deleted the live class: whatever is made under its name has none of the objects.
async fn with_a_live_class_that_was_made_anew() -> World {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.weaviate.remove_class("Articles_2");
    world.weaviate.seed_class(&json!({
        "class": "Articles_2", "vectorizer": "text2vec-openai", "replicationConfig": {"factor": 3},
        "shardingConfig": {"desiredCount": 5},
    }));
    world.weaviate.seed_alias("Live", "Articles_2");
    world.transcript();
    world
}

#[tokio::test]
async fn the_last_class_that_has_the_objects_stays_after_its_window() {
    let mut world = with_a_live_class_that_was_made_anew().await;
    for _ in 0..4 {
        advance(24 * 3600);
        world.step().await;
    }
    assert!(!world.transcript().contains("DELETE /v1/schema"));
    assert_eq!(world.weaviate.ids("Articles"), five());
    assert!(world.conditions().contains("Articles_2 was made anew since the switch"), "{}", world.conditions());
}

#[tokio::test]
async fn it_does_not_go_back_from_a_class_that_was_made_anew() {
    let mut world = with_a_live_class_that_was_made_anew().await;
    for node in NODES {
        world.weaviate.seed_objects("Articles_2", "shard0", node, [Uuid::from_u128(78)]);
    }
    world.declare(Some("none"));
    for _ in 0..6 {
        world.step().await;
        world.approve_migration();
    }
    assert_eq!(world.weaviate.ids("Articles"), five());
    assert!(world.is_frozen("Articles"), "nothing was opened");
    assert!(world.conditions().contains("Stalled=True MigrationBlocked"), "{}", world.conditions());
    assert!(world.conditions().contains("going back would remove from Articles"), "{}", world.conditions());
}

#[tokio::test]
async fn the_old_class_is_made_read_only_again_after_a_restart_and_stays_if_it_was_written_to() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.transcript();
    world.weaviate.restart("w-1");
    world.step().await;
    assert!(world.transcript().contains("PUT /v1/schema/Articles/shards/shard0"));
    assert!(NODES.iter().all(|node| world.weaviate.is_read_only("Articles", "shard0", node)));
    world.step().await;
    assert_eq!(world.transcript(), "", "at rest");
    // Whoever named the class in between.
    for node in NODES {
        world.weaviate.seed_objects("Articles", "shard0", node, [Uuid::from_u128(77)]);
    }
    advance(73 * 3600);
    world.step().await;
    world.step().await;
    assert!(!world.transcript().contains("DELETE /v1/schema"));
    assert!(world.weaviate.ids("Articles").contains(&Uuid::from_u128(77)));
}

#[tokio::test]
async fn the_old_class_waits_for_a_backup_or_a_copy_that_reads_it() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.weaviate.backup_module(true);
    world.weaviate.seed_backup("s3://default/default/nightly", "TRANSFERRING");
    advance(73 * 3600);
    world.step().await;
    world.step().await;
    assert!(world.weaviate.class("Articles").is_some());
    assert!(world.weaviate.end_backup("SUCCESS", ""));
    let copy = world.weaviate.seed_operation("Articles", ["shard0", "w-0", "w-1"], "COPY", "HYDRATING");
    world.step().await;
    assert!(world.weaviate.class("Articles").is_some(), "a copy of a replica runs");
    world.weaviate.delete_operation(copy);
    world.step().await;
    world.step().await;
    assert!(world.weaviate.class("Articles").is_none(), "{}", world.conditions());
}

#[tokio::test]
async fn a_collection_is_protected_by_its_declared_name_whichever_class_is_live() {
    for pattern in ["Articles", "Articles_2"] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until("Kept").await;
        world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
            object["spec"]["protectedCollections"] = json!([pattern]);
        });
        world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["deletionPolicy"] = "Delete".into();
        });
        advance(73 * 3600);
        world.step().await;
        world.step().await;
        assert!(world.weaviate.class("Articles").is_some(), "{pattern}: it is over, but protected");
        world.api.delete::<ElysiaCollection>(NAMESPACE, "articles");
        for _ in 0..4 {
            if world.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_none() {
                break;
            }
            world.or_crash(async |world| drop(world.collection("articles").await)).await;
            advance(5);
        }
        assert!(world.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_none(), "{pattern}");
        assert!(
            world.weaviate.class("Articles").is_some() && world.weaviate.class("Articles_2").is_some(),
            "{pattern}"
        );
    }
}

#[tokio::test]
async fn a_class_that_a_person_has_let_live_again_is_never_named_for_deletion() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    // As docs/migration.md says. The new settings are still declared.
    world.weaviate.seed_alias("Live", "Articles");
    advance(73 * 3600);
    for _ in 0..8 {
        world.step().await;
        assert!(!world.conditions().contains("DELETE"), "{}", world.conditions());
    }
    let journal = world.migration_journal().unwrap();
    assert_eq!((&journal["from"], &journal["to"]), (&json!("Articles"), &json!("Articles_3")));
    // What a person did is undone by a person only.
    assert!(world.conditions().contains("NeedsApproval"), "{}", world.conditions());
    assert!(world.conditions().contains("was let lead from Articles_2 to Articles by hand"), "{}", world.conditions());
    assert!(world.approve_migration());
    world.until("Kept").await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_3"));
    assert_eq!(world.weaviate.ids("Articles_3"), five());
    assert!(!world.transcript().contains("DELETE /v1/schema"));
}

#[tokio::test]
async fn a_class_that_was_made_anew_right_after_the_switch_is_not_taken_for_the_one_that_was_compared() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Switch").await;
    // The operator switched the alias and died. Somebody deletes the class, and a writer makes it again by the alias.
    world.weaviate.remove_class("Articles_2");
    world.weaviate.seed_class(&json!({
        "class": "Articles_2", "vectorizer": "text2vec-openai", "replicationConfig": {"factor": 3},
        "shardingConfig": {"desiredCount": 5},
    }));
    world.weaviate.seed_alias("Live", "Articles_2");
    world.restart();
    world.until("Kept").await;
    for _ in 0..4 {
        advance(24 * 3600);
        world.step().await;
    }
    assert!(!world.transcript().contains("DELETE /v1/schema"));
    assert_eq!(world.weaviate.ids("Articles"), five());
    assert!(world.conditions().contains("Articles_2 was made anew since the switch"), "{}", world.conditions());
}
