//! An object that is deleted in the middle of its recreation: the cluster's rounds leave the collection there.

use elysia_api::ElysiaCollection;
use elysia_testkit::kubernetes::Fate;

use super::super::super::super::fixture::{NAMESPACE, World, advance};
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
