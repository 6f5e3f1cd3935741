//! A list of versions: one step after the other, each done once whatever breaks, and back again.

use elysia_api::ElysiaCollection;
use elysia_testkit::kubernetes::Fate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::super::super::fixture::{NAMESPACE, NODES, Rounds, World, advance, at_every_write};
use super::{ROUNDS, aliased, five};

/// Rounds of two migrations and of the versions before and between them that need no new class.
const TWO: Rounds = Rounds { undisturbed: 2 * ROUNDS.undisturbed + 12, ..ROUNDS };

/// 2 and 4 need a new class, 3 does not.
fn four() -> Value {
    let title = json!([{"name": "title", "dataType": ["text"]}]);
    json!([
        {"version": "1", "schema": {"vectorizer": "none"}},
        {"version": "2", "schema": {"vectorizer": "text2vec-openai"}},
        {"version": "3", "schema": {"vectorizer": "text2vec-openai", "description": "press", "properties": title}},
        {"version": "4", "schema": {"vectorizer": "text2vec-cohere", "properties": title}},
    ])
}

fn automatic(keep: i32) -> Value {
    json!({"alias": "Live", "approval": "Auto", "keep": keep})
}

async fn listed(migration: &Value, migrations: &Value, target: &str) -> World {
    let world = aliased(migration).await;
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"].as_object_mut().unwrap().remove("schema");
        object["spec"]["migrations"] = migrations.clone();
    });
    world.ask_for(target);
    world.transcript();
    world
}

impl World {
    fn ask_for(&self, version: &str) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schemaVersion"] = version.into();
        });
    }

    fn version(&self) -> Option<String> {
        self.articles().status.and_then(|status| status.schema_version)
    }

    fn description(&self, class: &str) -> Value {
        self.weaviate.class(class).map_or(Value::Null, |class| class["description"].clone())
    }

    /// Rounds until the collection is ready with this version.
    async fn arrive(&mut self, version: &str) {
        self.arrive_within(version, TWO.with(0)).await;
    }

    async fn arrive_within(&mut self, version: &str, rounds: usize) {
        for _ in 0..rounds {
            if self.version().as_deref() == Some(version) && self.is_ready() {
                return;
            }
            self.step().await;
            self.approve_migration();
        }
        panic!("{version} does not come in {rounds} rounds: {:?} {}", self.version(), self.conditions());
    }
}

/// What was done to classes and to the alias, in its order.
fn done(transcript: &str) -> Vec<&str> {
    let of_classes = |line: &&str| {
        line.starts_with("POST /v1/schema")
            || line.starts_with("PUT /v1/aliases")
            || line.starts_with("DELETE /v1/schema")
            || (line.starts_with("PUT /v1/schema") && !line.contains("/shards/"))
    };
    transcript.lines().filter(of_classes).collect()
}

#[tokio::test]
async fn each_version_is_reached_by_a_step_of_its_own() {
    let mut world = listed(&automatic(2), &four(), "4").await;
    world.arrive("4").await;
    let story = world.transcript();
    assert!(world.is_ready(), "{} {story}", world.conditions());
    assert_eq!(
        done(&story),
        [
            "PUT /v1/schema/Articles at w-0",
            "POST /v1/schema at w-0",
            "PUT /v1/aliases/Live at w-0",
            "POST /v1/schema/Articles_2/properties at w-0",
            "PUT /v1/schema/Articles_2 at w-0",
            "POST /v1/schema at w-0",
            "PUT /v1/aliases/Live at w-0",
        ]
    );
    check_arrived(&world, "");
    let journal = world.migration_journal().unwrap();
    assert_eq!((&journal["formerVersion"], &journal["schemaVersion"]), (&json!("3"), &json!("4")));
    assert_eq!(journal["history"][0]["schemaVersion"], "2");
    advance(3600);
    world.step().await;
    assert_eq!(world.transcript(), "", "at rest");
}

/// Every step was done once: each class has its version, and there is no further one.
fn check_arrived(world: &World, what: &str) {
    assert_eq!(world.version().as_deref(), Some("4"), "{what}: {}", world.conditions());
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_3"), "{what}");
    for (class, description) in [
        ("Articles", "schema version 1"),
        ("Articles_2", "press (schema version 3)"),
        ("Articles_3", "schema version 4"),
    ] {
        assert_eq!(world.description(class), description, "{what}");
        assert_eq!(world.weaviate.ids(class), five(), "{what} {class}");
    }
    assert_eq!(world.weaviate.class("Articles_3").unwrap()["vectorizer"], "text2vec-cohere", "{what}");
    assert_eq!(world.weaviate.class("Articles_4"), None, "{what}: a step was done twice");
}

/// The whole way, with a fault at each write in it.
async fn arrives_whatever_breaks(fate: Fate) -> usize {
    let begin = async || listed(&automatic(2), &four(), "4").await;
    let play = async |world: &mut World, rounds: usize| world.arrive_within("4", rounds).await;
    let check = async |world: &World, transcript: &str, what: &str| {
        let what = format!("{what}\n{transcript}");
        check_arrived(world, &what);
        assert!(!transcript.contains("DELETE /v1/schema"), "{what}");
    };
    at_every_write(fate, TWO, begin, play, check).await.len()
}

#[tokio::test]
async fn a_crash_before_any_write_repeats_no_version_and_leaves_none_out() {
    assert!(arrives_whatever_breaks(Fate::Hangs).await > 40);
}

#[tokio::test]
async fn a_crash_after_any_write_repeats_no_version_and_leaves_none_out() {
    assert!(arrives_whatever_breaks(Fate::HangsAfter).await > 40);
}

#[tokio::test]
async fn any_write_whose_answer_is_lost_repeats_no_version_and_leaves_none_out() {
    assert!(arrives_whatever_breaks(Fate::FailsAfter(500)).await > 40);
}

#[tokio::test]
async fn a_collection_that_is_not_there_is_created_with_the_version_that_is_asked_for() {
    let mut world = listed(&automatic(1), &four(), "3").await;
    world.weaviate.remove_class("Articles");
    world.weaviate.seed_alias("Live", "Articles");
    world.arrive("3").await;
    assert_eq!(world.description("Articles"), "press (schema version 3)");
    assert_eq!(world.weaviate.class("Articles_2"), None);
    assert_eq!(world.version().as_deref(), Some("3"));
}

#[tokio::test]
async fn each_step_has_a_plan_of_its_own_and_says_what_follows() {
    let mut world = listed(&json!({"alias": "Live", "keep": 2}), &four(), "4").await;
    let mut hashes = Vec::new();
    for expected in [
        "bring the collection from 1 to schema version 2; then 3, 4, each with a plan of its own",
        "bring the collection from 3 to schema version 4",
    ] {
        let mut waits = None;
        for _ in 0..TWO.with(0) {
            world.step().await;
            let plan = world.articles().status.and_then(|status| status.plan);
            waits = plan.filter(|plan| plan.waiting_for.is_some());
            if waits.is_some() {
                break;
            }
        }
        let plan = waits.unwrap_or_else(|| panic!("no plan: {}", world.conditions()));
        assert_eq!(plan.steps[0], expected);
        assert!(!hashes.contains(&plan.hash), "one approval serves one step");
        hashes.push(plan.hash);
        assert!(world.approve_migration());
    }
    world.arrive("4").await;
    check_arrived(&world, "");
}

#[tokio::test]
async fn the_next_one_waits_for_the_class_that_is_kept_unless_more_may_be_there() {
    let mut world = listed(&json!({"alias": "Live", "approval": "Auto", "rollbackWindow": "72h"}), &four(), "4").await;
    for _ in 0..TWO.with(0) {
        world.step().await;
    }
    assert_eq!(world.version().as_deref(), Some("3"));
    assert!(world.conditions().contains("Articles of the migration before it is still kept"), "{}", world.conditions());
    assert!(!world.transcript().contains("DELETE /v1/schema"));
    advance(73 * 3600);
    world.arrive("4").await;
    assert_eq!(world.version().as_deref(), Some("4"), "{}", world.conditions());
    assert!(world.transcript().contains("DELETE /v1/schema/Articles at"));
    // The declared name is free again, and is taken before any with a number.
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"));
    assert_eq!(world.weaviate.ids("Articles"), five());
}

#[tokio::test]
async fn one_version_back_is_the_class_that_is_kept_with_what_was_written_since() {
    let mut world = listed(&automatic(2), &four(), "4").await;
    world.arrive("4").await;
    for node in NODES {
        world.weaviate.seed_objects("Articles_3", "shard0", node, [Uuid::from_u128(77)]);
    }
    world.transcript();
    world.ask_for("3");
    world.step().await;
    world.step().await;
    assert_eq!(world.phase(), "Approve");
    assert!(world.articles().status.unwrap().plan.unwrap().destructive);
    world.arrive("3").await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_2"), "{}", world.conditions());
    assert!(world.weaviate.ids("Articles_2").contains(&Uuid::from_u128(77)));
    assert!(!done(&world.transcript()).iter().any(|line| line.starts_with("POST") || line.starts_with("DELETE")));
}

#[tokio::test]
async fn several_versions_back_are_one_further_class_with_what_was_written_since() {
    let mut world = listed(&automatic(2), &four(), "4").await;
    world.arrive("4").await;
    for node in NODES {
        world.weaviate.seed_objects("Articles_3", "shard0", node, [Uuid::from_u128(77)]);
    }
    world.ask_for("1");
    for _ in 0..4 {
        world.step().await;
    }
    assert!(world.conditions().contains("Articles, Articles_2 are kept"), "{}", world.conditions());
    assert!(world.conditions().contains("spec.migration.keep is 2"), "{}", world.conditions());
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["migration"]["keep"] = 3.into();
    });
    world.arrive("1").await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_4"), "{}", world.conditions());
    assert_eq!(world.description("Articles_4"), "schema version 1");
    assert!(world.weaviate.ids("Articles_4").contains(&Uuid::from_u128(77)));
    // What was kept is as it was.
    assert_eq!(world.weaviate.ids("Articles"), five());
    assert_eq!(world.weaviate.ids("Articles_2"), five());
}

#[tokio::test]
async fn a_version_that_only_masks_is_told_and_not_passed_over() {
    let mut list = four();
    list[1] = json!({"version": "2", "schema": {"vectorizer": "none"},
                     "transform": [{"mask": {"property": "title", "how": {"redact": {}}}}]});
    let mut world = listed(&automatic(2), &list, "3").await;
    for _ in 0..6 {
        world.step().await;
    }
    assert_eq!(done(&world.transcript()), ["PUT /v1/schema/Articles at w-0"], "the first version is written down");
    assert_eq!(world.version().as_deref(), Some("1"));
    assert!(
        world.conditions().contains("Stalled=True MigrationBlocked: version 2 of spec.migrations"),
        "{}",
        world.conditions()
    );
}

#[tokio::test]
async fn asking_for_the_version_that_is_live_calls_the_step_off() {
    let mut world = listed(&json!({"alias": "Live"}), &four(), "2").await;
    world.until("Copy").await;
    world.ask_for("1");
    for _ in 0..3 {
        world.step().await;
    }
    assert_eq!(world.phase(), "Stopped");
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.version().as_deref(), Some("1"));
}
