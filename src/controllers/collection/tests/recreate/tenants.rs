//! Recreation of a multi-tenant collection.

use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::super::super::super::fixture::{NODES, World};
use super::super::{declared, ids};
use super::round_or_crash;
use super::swept::recreated_from;

pub(super) const TENANTS: [&str; 2] = ["t1", "t2"];

/// A class whose tenants are made and woken by writing.
fn class(vectorizer: &str) -> Value {
    json!({
        "class": "Articles", "vectorizer": vectorizer, "replicationConfig": {"factor": 3},
        "multiTenancyConfig": {"enabled": true, "autoTenantCreation": true, "autoTenantActivation": true},
    })
}

/// An empty multi-tenant class with an immutable setting that differs, and an alias.
pub(super) async fn tenants_differ(tenants: &[(&str, &str)]) -> World {
    let world = World::with_cluster().await;
    let mut declared_class = class("text2vec-openai");
    declared_class.as_object_mut().unwrap().remove("replicationConfig");
    world.api.seed(&declared("articles", &declared_class, 3));
    world.weaviate.auto_schema(false);
    world.weaviate.seed_class(&class("none"));
    for (tenant, status) in tenants {
        world.weaviate.seed_tenant("Articles", tenant, status);
    }
    world.weaviate.seed_alias("News", "Articles");
    world
}

pub(super) async fn tenants_approved() -> World {
    let mut world = tenants_differ(&TENANTS.map(|tenant| (tenant, "HOT"))).await;
    world.round().await;
    world.approve();
    world.transcript();
    world
}

pub(super) fn check_tenants(world: &World, wanted: &[&str], what: &str, written: &str) {
    let tenants = world.weaviate.tenants("Articles");
    assert_eq!(tenants.keys().map(String::as_str).collect::<Vec<_>>(), wanted, "{what}\n{written}");
    let class = world.weaviate.class("Articles").unwrap();
    for key in ["autoTenantCreation", "autoTenantActivation"] {
        assert_eq!(class["multiTenancyConfig"][key], json!(true), "{what}: {key}\n{written}");
    }
}

#[tokio::test]
async fn a_multi_tenant_collection_is_recreated_with_its_tenants() {
    let mut world = tenants_approved().await;
    let written = world.rest().await;
    assert_snapshot!(super::steps(&written), @r"
    POST configmaps/articles-journal-00000003 AutoSchemaOff
    PUT configmaps/articles-journal-00000003 TenantCreationOff
    PUT /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 Freeze
    PUT /v1/schema/Articles/shards/t1 at w-0
    PUT /v1/schema/Articles/shards/t2 at w-0
    PUT configmaps/articles-journal-00000003 Settle
    PUT configmaps/articles-journal-00000003 Delete
    DELETE /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 WaitGone
    PUT configmaps/articles-journal-00000003 Create
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 CreateTenants
    POST /v1/schema/Articles/tenants at w-0
    PUT configmaps/articles-journal-00000003 Verify
    PUT configmaps/articles-journal-00000003 Done
    ");
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai");
    check_tenants(&world, &TENANTS, "recreated", &written);
    assert!(world.is_at("Done"));
}

#[tokio::test]
async fn a_class_without_tenants_is_recreated_too() {
    let mut world = tenants_differ(&[]).await;
    world.round().await;
    world.approve();
    let written = world.rest().await;
    assert!(world.is_at("Done"), "{}\n{written}", world.conditions());
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai");
}

#[tokio::test]
async fn a_tenant_that_cannot_be_seen_is_not_empty() {
    for status in ["COLD", "FROZEN"] {
        let mut world = tenants_differ(&[("t1", "HOT"), ("t2", status)]).await;
        let written = world.rest().await;
        assert!(!written.contains("/v1/"), "{written}");
        let conditions = world.conditions();
        let told = format!("1 of its 2 tenants are not active, so what they hold cannot be seen, e.g. t2 ({status})");
        assert!(conditions.contains("RefusedNotProvablyEmpty") && conditions.contains(&told), "{conditions}");
        assert_eq!(world.weaviate.tenants("Articles")["t2"], status, "it was not woken");
    }
}

#[tokio::test]
async fn an_object_in_one_tenant_at_one_node_refuses_it() {
    let mut world = tenants_differ(&TENANTS.map(|tenant| (tenant, "HOT"))).await;
    world.weaviate.seed_objects("Articles", "t2", "w-1", ids(1));
    // As long as the replicas differ, that comes first.
    world.round().await;
    assert!(world.conditions().contains("ReplicasDiffer"), "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().plan, None);
    for node in ["w-0", "w-2"] {
        world.weaviate.seed_objects("Articles", "t2", node, ids(1));
    }
    world.round().await;
    assert!(world.conditions().contains("RefusedHasData"), "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().plan, None);
}

/// What may happen to the tenants right before the proof; each stops it, and leaves the class as it was.
#[tokio::test]
async fn tenants_that_change_before_the_delete_stop_it() {
    type Change = fn(&World);
    let changes: [(&str, Change); 3] = [
        ("created", |world| world.weaviate.seed_tenant("Articles", "t3", "HOT")),
        ("put to rest", |world| world.weaviate.seed_tenant("Articles", "t1", "COLD")),
        ("filled", |world| world.weaviate.seed_objects("Articles", "t2", "w-2", ids(1))),
    ];
    for (what, change) in changes {
        let mut world = tenants_approved().await;
        while !world.is_at("Delete") {
            round_or_crash(&mut world).await;
        }
        change(&world);
        let written = world.rest().await;
        assert!(!written.contains("DELETE"), "{what}\n{written}");
        assert!(world.is_at("Stopped"), "{what}\n{written}");
        let class = world.weaviate.class("Articles").unwrap();
        assert_eq!(class["vectorizer"], "none", "{what}");
        assert_eq!(class["multiTenancyConfig"]["autoTenantCreation"], json!(true), "{what}\n{written}");
        let frozen =
            NODES.iter().any(|node| TENANTS.iter().any(|it| world.weaviate.is_read_only("Articles", it, node)));
        assert!(!frozen, "{what}\n{written}");
    }
}

#[tokio::test]
async fn a_tenant_that_a_person_made_read_only_stays_so() {
    let mut world = tenants_approved().await;
    for node in NODES {
        world.weaviate.seed_read_only("Articles", "t1", node);
    }
    while !world.is_at("Delete") {
        round_or_crash(&mut world).await;
    }
    world.weaviate.seed_objects("Articles", "t2", "w-0", ids(1));
    let written = world.rest().await;
    assert!(world.is_at("Stopped"), "{written}");
    for node in NODES {
        assert!(world.weaviate.is_read_only("Articles", "t1", node), "{node}\n{written}");
        assert!(!world.weaviate.is_read_only("Articles", "t2", node), "{node}\n{written}");
    }
}

#[tokio::test]
async fn tenants_are_there_again_whatever_breaks() {
    for fate in [Fate::Hangs, Fate::HangsAfter, Fate::Fails(500), Fate::FailsAfter(500)] {
        let blown = recreated_from(
            tenants_approved,
            fate,
            |_| {},
            async |world, written, what| {
                assert_eq!(written.matches("DELETE /v1/schema/Articles").count(), 1, "{what}\n{written}");
                assert_eq!(
                    world.weaviate.class("Articles").unwrap()["vectorizer"],
                    "text2vec-openai",
                    "{what}\n{written}"
                );
                check_tenants(world, &TENANTS, what, written);
                assert!(world.is_at("Done") && !world.holds_auto_schema_off(), "{what}\n{written}");
            },
        );
        let blown = blown.await;
        assert!(blown.len() > 18, "{blown:#?}");
    }
}
