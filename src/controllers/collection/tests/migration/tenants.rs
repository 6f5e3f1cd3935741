//! Collections with tenants are migrated, whatever breaks, and every tenant is as active after it as it was before.

use std::collections::BTreeMap;

use elysia_testkit::weaviate::Fault;

use super::*;

const TENANTS: [(&str, &str); 3] = [("t1", "HOT"), ("t2", "HOT"), ("t3", "COLD")];

fn class(vectorizer: &str) -> Value {
    json!({
        "class": "Articles", "vectorizer": vectorizer, "replicationConfig": {"factor": 3},
        "multiTenancyConfig": {"enabled": true, "autoTenantCreation": true, "autoTenantActivation": true},
    })
}

fn settings(vectorizer: &str) -> Value {
    let mut settings = class(vectorizer);
    settings.as_object_mut().unwrap().remove("replicationConfig");
    settings.as_object_mut().unwrap().remove("class");
    settings
}

/// Three tenants with objects, one of them at rest, and an alias.
async fn tenanted(migration: &Value) -> World {
    let mut world = World::with_cluster().await;
    world.weaviate.seed_class(&class("none"));
    for (tenant, status) in TENANTS {
        world.weaviate.seed_tenant("Articles", tenant, status);
        for node in NODES {
            world.weaviate.seed_objects("Articles", tenant, node, ids(5));
        }
    }
    world.api.seed(&declared("articles", &settings("none"), 3));
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| object["spec"]["migration"] = migration.clone());
    for _ in 0..3 {
        world.round().await;
        advance(1);
    }
    world
}

impl World {
    fn declare_tenanted(&self, vectorizer: &str) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schema"] = settings(vectorizer);
        });
    }

    /// What a worker does about tenants: the target has those of the source, as active as they are there. In the last pass all
    /// of them are awake.
    fn mirror(&self) {
        let Some(journal) = self.migration_journal() else { return };
        let (from, to) = (journal["from"].as_str().unwrap(), journal["to"].as_str().unwrap());
        let copies = matches!(journal["phase"].as_str(), Some("Copy" | "Final"));
        if !copies || self.weaviate.class(to).is_none() {
            return;
        }
        for (tenant, status) in self.weaviate.tenants(from) {
            self.weaviate.seed_tenant(to, &tenant, &status);
        }
    }

    async fn step_tenanted(&mut self) {
        self.mirror();
        self.step().await;
    }

    async fn until_tenanted(&mut self, phase: &str) {
        for _ in 0..ROUNDS.with(1) {
            if self.phase() == phase {
                return;
            }
            self.step_tenanted().await;
            self.approve_migration();
        }
        panic!("{phase} does not come: {} {}", self.phase(), self.conditions());
    }

    fn has_frozen_tenants(&self, class: &str) -> bool {
        TENANTS.iter().any(|(tenant, _)| NODES.iter().any(|node| self.weaviate.is_read_only(class, tenant, node)))
    }

    fn creates(&self, class: &str) -> bool {
        self.weaviate.class(class).unwrap()["multiTenancyConfig"]["autoTenantCreation"] == json!(true)
    }
}

fn as_before() -> BTreeMap<String, String> {
    TENANTS.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect()
}

fn check_switched(world: &World, what: &str) {
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_2"), "{what}");
    assert_eq!(world.weaviate.tenants("Articles_2"), as_before(), "{what}");
    assert_eq!(world.weaviate.tenants("Articles"), as_before(), "{what}: the old class rests as before, too");
    assert_eq!(world.weaviate.ids("Articles_2"), five(), "{what}");
    assert_eq!(world.weaviate.ids("Articles"), five(), "{what}");
    assert!(!world.has_frozen_tenants("Articles_2"), "{what}");
    assert!(world.creates("Articles_2") && !world.creates("Articles"), "{what}");
}

#[tokio::test]
async fn a_collection_with_tenants_is_migrated_and_everything_in_its_order() {
    let mut world = tenanted(&manual()).await;
    world.declare_tenanted("text2vec-openai");
    world.until_tenanted("Copy").await;
    for _ in 0..4 {
        world.step_tenanted().await;
    }
    world.transcript();
    assert!(world.approve_migration(), "{}", world.conditions());
    for _ in 0..20 {
        world.step_tenanted().await;
    }
    let story = world.transcript();
    let lines = story.lines().filter(|line| !line.contains("/status") && !line.contains("events"));
    let jobs: Vec<String> = world.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect();
    let told = lines.collect::<Vec<_>>().join("\n");
    let told = jobs.iter().fold(told, |story, job| story.replace(job, "JOB"));
    assert_snapshot!(told);
    check_switched(&world, &story);
    assert!(world.is_ready(), "{}", world.conditions());
    // Much later the old class is a person's to delete.
    world.transcript();
    advance(100 * 3600);
    world.step_tenanted().await;
    assert!(!world.transcript().contains("/v1/"));
    assert!(world.weaviate.class("Articles").is_some());
    assert!(world.conditions().contains("DELETE /v1/schema/Articles"), "{}", world.conditions());
}

/// The whole story, with a fault at each write in it.
async fn switched_whatever_breaks(fate: Fate) -> usize {
    let begin = async || {
        let world = tenanted(&json!({"alias": "Live", "approval": "Auto"})).await;
        world.declare_tenanted("text2vec-openai");
        world
    };
    let play = async |world: &mut World, rounds: usize| {
        world.until_kept(rounds, async |world| world.step_tenanted().await).await;
    };
    let check = async |world: &World, transcript: &str, what: &str| {
        let what = format!("{what}\n{transcript}");
        check_switched(world, &what);
        assert!(!transcript.contains("DELETE"), "{what}");
    };
    at_every_write(fate, ROUNDS, begin, play, check).await.len()
}

#[tokio::test]
async fn a_crash_before_any_write_leaves_every_tenant_as_it_was() {
    assert!(switched_whatever_breaks(Fate::Hangs).await > 20);
}

#[tokio::test]
async fn a_crash_after_any_write_leaves_every_tenant_as_it_was() {
    assert!(switched_whatever_breaks(Fate::HangsAfter).await > 20);
}

#[tokio::test]
async fn any_write_that_fails_leaves_every_tenant_as_it_was() {
    assert!(switched_whatever_breaks(Fate::Fails(500)).await > 20);
}

#[tokio::test]
async fn any_write_whose_answer_is_lost_leaves_every_tenant_as_it_was() {
    assert!(switched_whatever_breaks(Fate::FailsAfter(500)).await > 20);
}

#[tokio::test]
async fn a_tenant_that_comes_or_rests_during_the_freeze_stops_it_and_everything_is_as_before() {
    for phase in ["Settle", "Final", "Switch"] {
        for (tenant, status) in [("t9", "HOT"), ("t1", "COLD")] {
            let mut world = tenanted(&manual()).await;
            world.declare_tenanted("text2vec-openai");
            world.until_tenanted(phase).await;
            assert!(world.has_frozen_tenants("Articles") && !world.creates("Articles"), "{phase}");
            world.weaviate.seed_tenant("Articles", tenant, status);
            for _ in 0..8 {
                world.step_tenanted().await;
            }
            let what = format!("{phase} {tenant}: {}", world.conditions());
            assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"), "{what}");
            assert!(!world.has_frozen_tenants("Articles") && world.creates("Articles"), "{what}");
            assert_eq!(world.weaviate.tenants("Articles")["t3"], "COLD", "{what}");
            assert!(world.conditions().contains("The last attempt was stopped"), "{what}");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_during_the_freeze_leaves_its_tenants_as_they_were() {
    for phase in ["Freeze", "Settle", "Final", "Switch"] {
        for fault in [None, Some((1, Fate::HangsAfter)), Some((2, Fate::Hangs)), Some((4, Fate::FailsAfter(500)))] {
            let mut world = tenanted(&manual()).await;
            world.declare_tenanted("text2vec-openai");
            world.until_tenanted(phase).await;
            world.step_tenanted().await;
            world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
            if let Some((at, fate)) = fault {
                world.fuse.set(at, fate);
            }
            for _ in 0..12 {
                world.or_crash(async |world| drop(world.cluster("search").await)).await;
                advance(10);
            }
            let what = format!("{phase} {fault:?}\n{}", world.transcript());
            let live = world.weaviate.alias("Live").unwrap();
            assert!(!world.has_frozen_tenants(&live) && world.creates(&live), "{what}");
            assert_eq!(world.weaviate.tenants("Articles"), as_before(), "{what}");
            assert_eq!(world.weaviate.ids("Articles"), five(), "{what}");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_while_a_node_is_away_leaves_its_tenants_writable_at_once() {
    let mut world = tenanted(&manual()).await;
    world.declare_tenanted("text2vec-openai");
    world.until_tenanted("Settle").await;
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    world.weaviate.fault("w-2", Some(Fault::Status(500)));
    for _ in 0..4 {
        drop(world.cluster("search").await);
        advance(10);
    }
    assert!(!world.has_frozen_tenants("Articles"), "{}", world.transcript());
    assert_eq!(world.phase(), "Settle", "not over before every node was seen");
    world.weaviate.fault("w-2", None);
    for _ in 0..4 {
        drop(world.cluster("search").await);
        advance(10);
    }
    assert!(!world.has_frozen_tenants("Articles") && world.creates("Articles"), "{}", world.transcript());
    assert_eq!(world.weaviate.tenants("Articles"), as_before());
    assert_eq!(world.phase(), "Stopped");
}

#[tokio::test]
async fn its_former_settings_come_back_in_another_class_with_everything_that_was_written_since() {
    let mut world = tenanted(&manual()).await;
    world.declare_tenanted("text2vec-openai");
    world.until_tenanted("Kept").await;
    for node in NODES {
        world.weaviate.seed_objects("Articles_2", "t1", node, [Uuid::from_u128(77)]);
    }
    let before = world.weaviate.ids("Articles");
    world.declare_tenanted("none");
    world.until_tenanted("Copy").await;
    world.until_tenanted("Kept").await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_3"));
    assert!(world.weaviate.ids("Articles_3").contains(&Uuid::from_u128(77)));
    assert_eq!(world.weaviate.ids("Articles"), before, "nothing is written to what was kept before");
    assert_eq!(world.weaviate.tenants("Articles_3"), as_before());
}
