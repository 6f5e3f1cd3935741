//! An object that is deleted in the middle of its recreation: the cluster's rounds leave the collection there.

use elysia_api::ElysiaCollection;
use elysia_testkit::kubernetes::Fate;
use elysia_testkit::weaviate::Fault;
use k8s_openapi::api::events::v1::Event;

use super::super::super::super::fixture::{NAMESPACE, NODES, World, advance};
use super::tenants::{TENANTS, check_tenants, tenants_approved};
use super::{approved, round_or_crash};

const CURSORS: [&str; 7] = ["AutoSchemaOff", "Freeze", "Settle", "Delete", "WaitGone", "Create", "Verify"];

/// Its object is deleted when the journal stands at this cursor; the cluster's rounds after that.
async fn deleted_at(world: &mut World, cursor: &str, fault: Option<(usize, Fate)>) -> String {
    while !world.is_at(cursor) {
        round_or_crash(world).await;
    }
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    world.transcript();
    if let Some((at, fate)) = fault {
        world.fuse.set(at, fate);
    }
    rounds(world).await
}

/// Two minutes of the cluster's rounds, and what they wrote.
async fn rounds(world: &mut World) -> String {
    for _ in 0..12 {
        world.or_crash(async |world| drop(world.cluster("search").await)).await;
        advance(10);
    }
    world.transcript()
}

async fn check_left_there(world: &World, written: &str, what: &str) {
    assert!(!written.contains("DELETE"), "{what}\n{written}");
    assert!(world.weaviate.class("Articles").is_some(), "{what}\n{written}");
    assert!(!world.is_frozen_anywhere().await, "{what}: a shard stayed read-only\n{written}");
    assert!(world.is_at("Stopped") && !world.holds_auto_schema_off(), "{what}\n{written}");
}

#[tokio::test]
async fn an_object_that_is_deleted_at_any_step_leaves_its_collection_there_and_writable() {
    for cursor in CURSORS {
        let mut world = approved().await;
        let written = deleted_at(&mut world, cursor, None).await;
        check_left_there(&world, &written, cursor).await;
        let vectorizer = if cursor == "Verify" { "text2vec-openai" } else { "none" };
        assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], vectorizer, "{cursor}\n{written}");
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_leaves_the_tenants_there_whatever_breaks() {
    for cursor in ["TenantCreationOff", "Settle", "WaitGone", "CreateTenants"] {
        for fault in [None, Some((1, Fate::Hangs)), Some((2, Fate::HangsAfter)), Some((2, Fate::FailsAfter(500)))] {
            let mut world = tenants_approved().await;
            let written = deleted_at(&mut world, cursor, fault).await;
            let what = format!("{cursor} {fault:?}");
            check_left_there(&world, &written, &what).await;
            check_tenants(&world, &TENANTS, &what, &written);
        }
    }
}

/// Whether any node has a shard or tenant that is read-only, whether or not it can be asked.
fn is_frozen(world: &World) -> bool {
    let shards = ["shard0", "shard1", "shard2"].iter().chain(&TENANTS);
    shards.into_iter().any(|shard| NODES.iter().any(|node| world.weaviate.is_read_only("Articles", shard, node)))
}

/// What the cluster's Events say.
fn told(world: &World) -> String {
    let notes = world.api.objects::<Event>().into_iter().filter_map(|event| event.note);
    notes.collect::<Vec<_>>().join("\n")
}

/// The object is deleted when the journal stands at this cursor, and `w-2` is away by then.
async fn deleted_without_a_node(world: &mut World, cursor: &str, is_member: bool) -> String {
    while !world.is_at(cursor) {
        round_or_crash(world).await;
    }
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    world.transcript();
    world.weaviate.close("w-2").await;
    if !is_member {
        world.weaviate.fault("w-2", Some(Fault::Missing));
    }
    rounds(world).await
}

#[tokio::test]
async fn a_node_that_is_away_keeps_nobody_waiting() {
    for cursor in CURSORS {
        let mut world = approved().await;
        let written = deleted_without_a_node(&mut world, cursor, false).await;
        assert!(!written.contains("DELETE"), "{cursor}\n{written}");
        assert!(world.weaviate.class("Articles").is_some() && !is_frozen(&world), "{cursor}\n{written}");
        assert!(world.is_at("Stopped") && !world.holds_auto_schema_off(), "{cursor}\n{written}");
        let is_unseen = told(&world).contains("its shards were made writable, which was not seen at w-2");
        // Of what was not frozen yet nothing has to be seen.
        assert_eq!(is_unseen, cursor != "AutoSchemaOff", "{cursor}: {}", told(&world));
    }
}

#[tokio::test]
async fn a_node_that_is_away_keeps_no_tenants_away() {
    for cursor in ["TenantCreationOff", "Freeze", "Settle", "Delete", "WaitGone", "CreateTenants"] {
        for fault in [None, Some((1, Fate::Hangs)), Some((2, Fate::HangsAfter)), Some((2, Fate::FailsAfter(500)))] {
            let what = format!("{cursor} {fault:?}");
            let mut world = tenants_approved().await;
            while !world.is_at(cursor) {
                round_or_crash(&mut world).await;
            }
            if let Some((at, fate)) = fault {
                world.fuse.set(at, fate);
            }
            let written = deleted_without_a_node(&mut world, cursor, false).await;
            check_tenants(&world, &TENANTS, &what, &written);
            assert!(!is_frozen(&world), "{what}\n{written}");
            assert!(world.is_at("Stopped") && !world.holds_auto_schema_off(), "{what}\n{written}");
        }
    }
}

/// The others still see it: it may tell yet.
#[tokio::test]
async fn a_node_that_does_not_answer_has_its_time_and_everybody_else_gets_theirs_back() {
    for cursor in ["TenantCreationOff", "Settle", "Delete", "WaitGone"] {
        let mut world = tenants_approved().await;
        let written = deleted_without_a_node(&mut world, cursor, true).await;
        check_tenants(&world, &TENANTS, cursor, &written);
        assert!(!is_frozen(&world), "{cursor}\n{written}");
        assert_eq!(world.holds_auto_schema_off(), cursor != "TenantCreationOff", "{cursor}\n{written}");
        // At rest until then.
        assert_eq!(rounds(&mut world).await, "", "{cursor}");
        advance(300);
        let written = rounds(&mut world).await;
        assert!(world.is_at("Stopped") && !world.holds_auto_schema_off(), "{cursor}\n{written}");
    }
}

#[tokio::test]
async fn a_shard_that_cannot_be_made_writable_keeps_no_other_read_only() {
    let mut world = approved().await;
    while !world.is_at("Settle") {
        round_or_crash(&mut world).await;
    }
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    world.transcript();
    world.fuse.set(1, Fate::Fails(500));
    drop(world.cluster("search").await);
    let is_frozen = |shard| NODES.iter().any(|node| world.weaviate.is_read_only("Articles", shard, node));
    assert_eq!(["shard0", "shard1", "shard2"].map(is_frozen), [true, false, false], "{}", world.transcript());
    let written = rounds(&mut world).await;
    check_left_there(&world, &written, "").await;
}
