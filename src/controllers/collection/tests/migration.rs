//! Migrations: in order, after a crash at every write, back again, and against whatever comes up.

mod invalid;
mod kept;
mod tenants;
mod versions;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use elysia_api::{ElysiaCollection, WeaviateCluster, names};
use elysia_core::copy::ledger::{Compared, CopyLedger, Stage};
use elysia_testkit::kubernetes::{Fate, KubernetesApi};
use insta::assert_snapshot;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::super::fixture::{NAMESPACE, NODES, Rounds, World, advance, at_every_write, now};
use super::{declared, ids};
use crate::worker::LEDGER_KEY;
use crate::worker::backup::drill::Scratch;
use crate::worker::copy::work::CopyWork;

/// Rounds of a migration. A fault in the freeze may undo it: what was frozen is thawed, and writes in flight, 120 s or four
/// rounds, are waited out once more.
const ROUNDS: Rounds = Rounds { undisturbed: 30, each_fault: 15 };

const SHARDS: [&str; 3] = ["shard0", "shard1", "shard2"];

/// Articles with five objects, and an alias that is declared.
async fn aliased(migration: &Value) -> World {
    let mut world = World::with_cluster().await;
    world.weaviate.seed_class(&json!({
        "class": "Articles", "replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 3},
    }));
    for node in NODES {
        world.weaviate.seed_objects("Articles", "shard0", node, ids(5));
    }
    world.api.seed(&declared("articles", &json!({}), 3));
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| object["spec"]["migration"] = migration.clone());
    for _ in 0..3 {
        world.round().await;
        advance(1);
    }
    world
}

fn manual() -> Value {
    json!({"alias": "Live", "rollbackWindow": "72h", "schemaVersion": "2"})
}

impl World {
    fn declare(&self, vectorizer: Option<&str>) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schema"] = vectorizer.map_or_else(|| json!({}), |name| json!({"vectorizer": name}));
        });
    }

    /// The worker of each Job does its work; what it says is what a real one says.
    fn copy(&self) {
        for job in self.api.objects::<Job>() {
            let name = job.metadata.name.clone().unwrap();
            if job.status.is_some() {
                continue;
            }
            let job = serde_json::to_value(job).unwrap();
            let text = job.pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
            let work: CopyWork = serde_json::from_str(text).unwrap();
            // What is in a class that nothing was copied into yet is this copy's only where a person approved the way back.
            let is_rollback = self.migration_journal().is_some_and(|journal| journal["isRollback"] == true);
            assert_eq!((work.is_made, work.may_hold), (true, is_rollback), "{}", work.into);
            self.weaviate.copy_objects(&work.from, &work.into);
            let differing = self.spoilt();
            let compared = work.is_final.then(|| Compared {
                source: 5,
                target: 5,
                differing,
                sampled: 5,
                is_same: differing == 0,
                at: now(),
                tenants: Vec::new(),
            });
            let ledger = CopyLedger {
                copy: work.copy,
                order: work.order,
                stage: Stage::Done,
                pass: 2,
                total: 5,
                done: 5,
                written: 5,
                removed: 0,
                behind: Some(0),
                left_out: None,
                caught_up_to: Some(now()),
                compared,
                has_begun: true,
                started_at: now(),
                updated_at: now(),
                finished_at: Some(now()),
                message: None,
                is_permanent: false,
            };
            self.api.edit::<ConfigMap>(NAMESPACE, "articles-copied", |config| {
                config["data"] = json!({LEDGER_KEY: serde_json::to_string(&ledger).unwrap()});
            });
            self.api.edit::<Job>(NAMESPACE, &name, |job| {
                job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            });
        }
    }

    /// Objects that the worker is to find different.
    fn spoilt(&self) -> i64 {
        i64::from(self.articles().metadata.annotations.is_some_and(|notes| notes.contains_key("test/differs")))
    }

    fn approve_migration(&self) -> bool {
        let plan = self.articles().status.and_then(|status| status.plan);
        let Some(plan) = plan.filter(|plan| plan.action == "Migrate" && plan.waiting_for.is_some()) else {
            return false;
        };
        self.annotate::<ElysiaCollection>("articles", names::APPROVE_ANNOTATION, &plan.hash);
        true
    }

    /// A round, in which the operator may die, and the work of a Job that it made.
    async fn step(&mut self) {
        self.or_crash(async |world| drop(world.collection("articles").await)).await;
        self.copy();
        advance(30);
    }

    /// Rounds until the journal stands in this phase.
    async fn until(&mut self, phase: &str) {
        for _ in 0..ROUNDS.with(1) {
            if self.phase() == phase {
                return;
            }
            self.step().await;
            self.approve_migration();
        }
        panic!("{phase} does not come: {} {}", self.phase(), self.conditions());
    }

    /// Rounds until the new class is live. A fault during the freeze may stop it; then a person is asked.
    async fn until_kept(&mut self, rounds: usize, round: impl AsyncFn(&mut Self)) {
        for _ in 0..rounds {
            round(self).await;
            self.approve_migration();
            if self.phase() == "Kept" && self.is_ready() {
                return;
            }
        }
        panic!("it is not kept after {rounds} rounds: {} {}\n{}", self.phase(), self.conditions(), self.transcript());
    }

    fn migration_journal(&self) -> Option<Value> {
        let configs: Vec<ConfigMap> = self.api.objects();
        let journals = configs.iter().filter(|config| config.metadata.name.as_deref().unwrap().contains("-migration-"));
        let mut texts = journals.filter_map(|config| config.data.as_ref()?.get(names::JOURNAL_KEY).cloned());
        texts.next_back().map(|text| serde_json::from_str(&text).unwrap())
    }

    fn phase(&self) -> String {
        self.migration_journal().map(|journal| journal["phase"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    fn is_frozen(&self, class: &str) -> bool {
        SHARDS.iter().any(|shard| NODES.iter().any(|node| self.weaviate.is_read_only(class, shard, node)))
    }
}

fn five() -> BTreeSet<Uuid> {
    ids(5).collect()
}

#[tokio::test]
async fn a_collection_with_objects_is_migrated_once_and_everything_in_its_order() {
    let mut world = aliased(&manual()).await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"));
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().live.as_deref(), Some("Articles"));
    world.transcript();
    world.declare(Some("text2vec-openai"));
    for _ in 0..8 {
        world.step().await;
    }
    let story = world.transcript();
    let jobs: Vec<String> = world.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect();
    assert_eq!(jobs.len(), 1);
    assert_snapshot!(story.replace(&jobs[0], "JOB"), @r"
    POST configmaps/articles-migration-00000003 Create
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST events Warning DriftFound
    POST events Normal MigrationBegun
    POST /v1/schema at w-0
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST events Normal Created
    PUT configmaps/articles-migration-00000003 Copy
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST configmaps/articles-copied
    PATCH serviceaccounts/articles-copy apply
    PATCH roles/articles-copy apply
    PATCH rolebindings/articles-copy apply
    POST jobs/JOB
    PATCH elysiacollections/articles/status Ready=False Migrating
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    POST events Warning NeedsApproval
    ");
    assert_snapshot!(world.articles().status.unwrap().plan.unwrap().steps.join("\n"), @r"
    create Articles_2 with the declared settings
    copy the objects of Articles to Articles_2, and catch up
    make Articles read-only and see it at 3 nodes; writers get errors from here on
    wait 120 s for writes in flight
    copy what is left, and compare every object of Articles and Articles_2; stop if any differs
    let alias Live lead to Articles_2, and see it at 3 nodes; writers go on from here
    keep Articles, read-only, for 72 hours, then delete it with its objects
    ");
    assert!(world.conditions().contains("Stalled=True NeedsApproval"), "{}", world.conditions());
    assert!(world.conditions().contains("Available=True"), "{}", world.conditions());

    assert!(world.approve_migration());
    for _ in 0..16 {
        world.step().await;
    }
    let story = world.transcript();
    let jobs: Vec<String> = world.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect();
    let story = jobs.iter().fold(story, |story, job| story.replace(job, "JOB"));
    assert_snapshot!(story, @r"
    PUT configmaps/articles-migration-00000003 Freeze
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST events Normal ApprovalConsumed
    POST events Normal WritesHeld
    PUT configmaps/articles-migration-00000003 Freeze
    PATCH elysiacollections/articles/status Ready=False Migrating
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PUT configmaps/articles-migration-00000003 Settle
    PATCH elysiacollections/articles/status Ready=False Migrating
    PUT configmaps/articles-migration-00000003 Final
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST configmaps/articles-copied → 409
    POST jobs/JOB
    PATCH elysiacollections/articles/status Ready=False Migrating
    PUT configmaps/articles-migration-00000003 Switch
    PUT /v1/aliases/Live at w-0
    PATCH elysiacollections/articles/status Ready=False Migrating
    PUT configmaps/articles-migration-00000003 Verify
    PATCH elysiacollections/articles/status Ready=False Migrating
    POST events Normal Migrated
    PUT configmaps/articles-migration-00000003 Kept
    PATCH elysiacollections/articles/status Ready=False Migrating
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal DriftGone
    PATCH events Normal AsDeclared
    ");
    assert!(world.is_ready(), "{}", world.conditions());
    check_migrated(&world, &story, "");
    let status = world.articles().status.unwrap();
    assert_eq!(status.live.as_deref(), Some("Articles_2"));
    let migration = status.migration.unwrap();
    assert_eq!((migration.phase.as_str(), migration.schema_version.as_deref()), ("Kept", Some("2")));
    assert!(migration.rollback_until.is_some());
    // At rest.
    advance(3600);
    world.step().await;
    assert_eq!(world.transcript(), "");
    // Which class is live is known on, also while nobody can be asked: backups go by it.
    world.api.remove::<WeaviateCluster>(NAMESPACE, "search");
    world.step().await;
    assert!(!world.is_ready());
    assert_eq!(world.articles().status.unwrap().live.as_deref(), Some("Articles_2"));
}

/// The new class is live with every object; the old one is there, and nothing was switched before it was the same.
fn check_migrated(world: &World, transcript: &str, what: &str) {
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_2"), "{what}\n{transcript}");
    let switches = transcript.lines().filter(|line| line.starts_with("PUT /v1/aliases/Live")).count();
    assert!(switches <= 2, "{what}: a lost answer may make it two\n{transcript}");
    assert!(!transcript.contains("DELETE /v1/schema"), "{what}\n{transcript}");
    assert_eq!(world.weaviate.class("Articles_2").unwrap()["vectorizer"], "text2vec-openai", "{what}");
    assert_eq!(world.weaviate.ids("Articles_2"), five(), "{what}");
    assert_eq!(world.weaviate.ids("Articles"), five(), "{what}");
    assert!(world.is_frozen("Articles") && !world.is_frozen("Articles_2"), "{what}\n{transcript}");
    assert_eq!(world.phase(), "Kept", "{what}\n{transcript}");
}

/// The whole story, with a fault at each write in it.
async fn migrated_whatever_breaks(fate: Fate) -> usize {
    let begin = async || {
        let world = aliased(&json!({"alias": "Live", "approval": "Auto"})).await;
        world.declare(Some("text2vec-openai"));
        world
    };
    let play =
        async |world: &mut World, rounds: usize| world.until_kept(rounds, async |world| world.step().await).await;
    let check = async |world: &World, transcript: &str, what: &str| check_migrated(world, transcript, what);
    at_every_write(fate, ROUNDS, begin, play, check).await.len()
}

#[tokio::test]
async fn a_crash_before_any_write_ends_in_one_migration() {
    assert!(migrated_whatever_breaks(Fate::Hangs).await > 20);
}

#[tokio::test]
async fn a_crash_after_any_write_ends_in_one_migration() {
    assert!(migrated_whatever_breaks(Fate::HangsAfter).await > 20);
}

#[tokio::test]
async fn any_write_that_fails_ends_in_one_migration() {
    assert!(migrated_whatever_breaks(Fate::Fails(500)).await > 20);
}

#[tokio::test]
async fn any_write_whose_answer_is_lost_ends_in_one_migration() {
    assert!(migrated_whatever_breaks(Fate::FailsAfter(500)).await > 20);
}

#[tokio::test]
async fn classes_that_differ_are_not_switched_and_the_old_one_is_thawed() {
    let mut world = aliased(&json!({"alias": "Live", "approval": "Auto"})).await;
    world.declare(Some("text2vec-openai"));
    world.annotate::<ElysiaCollection>("articles", "test/differs", "yes");
    for _ in 0..25 {
        world.step().await;
    }
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"));
    assert!(!world.is_frozen("Articles"));
    assert!(!world.transcript().contains("PUT /v1/aliases"));
    let conditions = world.conditions();
    assert!(conditions.contains("NeedsApproval") && conditions.contains("are not the same: 1 of 5"), "{conditions}");
    // Not again and again: a person is asked.
    for _ in 0..5 {
        world.step().await;
    }
    assert!(!world.transcript().contains("shards"), "frozen once more");
}

#[tokio::test]
async fn paused_in_the_middle_of_the_freeze_it_thaws_and_goes_on_only_with_another_approval() {
    for phase in ["Freeze", "Settle", "Final", "Switch"] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until(phase).await;
        world.annotate::<ElysiaCollection>("articles", names::PAUSED_ANNOTATION, "true");
        for _ in 0..6 {
            world.step().await;
        }
        assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"), "{phase}");
        assert!(!world.is_frozen("Articles"), "{phase}: {}", world.transcript());
        assert_eq!(world.phase(), "Copy", "{phase}");
        world.transcript();
        advance(3600);
        world.step().await;
        assert!(!world.transcript().contains("/v1/"), "{phase}");
    }
}

#[tokio::test]
async fn a_node_that_restarts_while_it_is_frozen_stops_it() {
    for phase in ["Settle", "Final", "Switch"] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until(phase).await;
        // In memory only: a restart thaws.
        for shard in SHARDS {
            world.weaviate.seed_writable("Articles", shard, "w-1");
        }
        world.step().await;
        assert_eq!(world.phase(), "Thaw", "{phase}");
        assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"), "{phase}");
    }
}

#[tokio::test]
async fn it_goes_back_with_everything_that_was_written_since() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    for node in NODES {
        world.weaviate.seed_objects("Articles_2", "shard0", node, [Uuid::from_u128(77)]);
    }
    world.declare(Some("none"));
    world.step().await;
    world.step().await;
    assert_eq!(world.phase(), "Approve");
    assert!(world.articles().status.unwrap().plan.unwrap().destructive);
    assert!(world.is_frozen("Articles"), "nothing is touched before it is approved");
    assert!(world.approve_migration());
    world.until("Copy").await;
    world.until("Kept").await;
    assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"));
    assert!(world.weaviate.ids("Articles").contains(&Uuid::from_u128(77)));
    assert!(!world.is_frozen("Articles") && world.is_frozen("Articles_2"));
    world.step().await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().live.as_deref(), Some("Articles"));
    assert!(!world.transcript().contains("DELETE /v1/schema"));
}

#[tokio::test]
async fn the_old_class_goes_after_its_window_and_no_other_of_its_name() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.transcript();
    advance(71 * 3600);
    world.step().await;
    assert!(world.weaviate.class("Articles").is_some());
    advance(3600);
    world.step().await;
    assert!(world.transcript().contains("DELETE /v1/schema/Articles at"));
    assert!(world.weaviate.class("Articles").is_none());
    world.step().await;
    assert_eq!((world.phase().as_str(), world.weaviate.alias("Live").as_deref()), ("Over", Some("Articles_2")));

    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.weaviate.remove_class("Articles");
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 1}}));
    advance(73 * 3600);
    world.step().await;
    assert!(world.weaviate.class("Articles").is_some(), "it is another one: its shards are others");
}

/// The cache of the operator is a moment behind, and the old class may be what somebody has just decided to need.
#[tokio::test]
async fn what_is_said_in_the_last_moment_keeps_the_old_class() {
    type Meddling = (&'static str, fn(&KubernetesApi));
    fn edit(api: &KubernetesApi, change: impl FnOnce(&mut Value)) {
        api.edit::<ElysiaCollection>(NAMESPACE, "articles", change);
    }
    let meddlings: [Meddling; 5] = [
        ("nothing", |_| {}),
        ("paused", |api| {
            edit(api, |object| object["metadata"]["annotations"] = json!({names::PAUSED_ANNOTATION: "true"}));
        }),
        ("a longer window", |api| edit(api, |object| object["spec"]["migration"]["rollbackWindow"] = "100h".into())),
        ("no window", |api| {
            edit(api, |object| drop(object["spec"]["migration"].as_object_mut().unwrap().remove("rollbackWindow")));
        }),
        ("gone", |api| api.remove::<ElysiaCollection>(NAMESPACE, "articles")),
    ];
    for (what, meddle) in meddlings {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until("Kept").await;
        advance(73 * 3600);
        let (api, is_said) = (world.api.clone(), AtomicBool::new(false));
        world.fuse.watch(move |_| {
            if !is_said.swap(true, Ordering::Relaxed) {
                meddle(&api);
            }
        });
        world.step().await;
        assert_eq!(world.weaviate.class("Articles").is_none(), what == "nothing", "{what}");
    }
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Kept").await;
    world.weaviate.seed_class(&json!({"class": "Books", "properties": [{"name": "of", "dataType": ["Articles"]}]}));
    advance(73 * 3600);
    world.step().await;
    assert!(world.weaviate.class("Articles").is_some(), "references lead to it");
    assert!(world.conditions().contains("references of Books.of lead to it"), "{}", world.conditions());
    // Those of a drill's class are gone when it is.
    world.weaviate.remove_class("Books");
    let scratch = Scratch::new("Books", "ai/nightly (u)", "0123456789ab");
    world.weaviate.seed_class(&json!({
        "class": scratch.name, "description": scratch.mark(),
        "properties": [{"name": "of", "dataType": ["Articles"]}],
    }));
    advance(3600);
    world.step().await;
    world.step().await;
    assert!(world.weaviate.class("Articles").is_none(), "{}", world.conditions());
}

/// The plan waits for days, and its approval is of what was seen then.
#[tokio::test]
async fn a_class_that_leads_to_the_live_one_by_now_keeps_it_writable() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    for _ in 0..6 {
        world.step().await;
    }
    assert!(world.conditions().contains("NeedsApproval"), "{}", world.conditions());
    world.weaviate.seed_class(&json!({"class": "Books", "properties": [{"name": "of", "dataType": ["Articles"]}]}));
    assert!(world.approve_migration());
    for _ in 0..4 {
        world.step().await;
    }
    assert!(!world.is_frozen("Articles"));
    assert_eq!((world.phase().as_str(), world.weaviate.alias("Live").as_deref()), ("Copy", Some("Articles")));
    let conditions = world.conditions();
    assert!(conditions.contains("Stalled=True MigrationBlocked"), "{conditions}");
    assert!(conditions.contains("references of Books.of lead to class Articles"), "{conditions}");
    world.weaviate.remove_class("Books");
    world.until_kept(ROUNDS.with(1), async |world| world.step().await).await;
}

/// The journal names what is made, and would be of a class that the servers refuse for ever.
#[tokio::test]
async fn nothing_is_begun_into_a_class_that_leads_to_none() {
    let mut world = aliased(&manual()).await;
    let lead_to = |world: &World, to: &str| {
        world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schema"] =
                json!({"vectorizer": "text2vec-openai", "properties": [{"name": "by", "dataType": [to]}]});
        });
    };
    world.weaviate.seed_class(&json!({"class": "People", "multiTenancyConfig": {"enabled": true}}));
    for (to, why) in [
        ("Authors", "lead to class Authors, and there is no class of that name"),
        // An alias is no class.
        ("Live", "lead to class Live, and there is no class of that name"),
        ("People", "lead to class People, which has tenants"),
    ] {
        lead_to(&world, to);
        world.step().await;
        assert!(world.migration_journal().is_none(), "{to}");
        let conditions = world.conditions();
        assert!(conditions.contains("MigrationBlocked") && conditions.contains(why), "{to}: {conditions}");
    }
    world.weaviate.seed_class(&json!({"class": "Authors"}));
    lead_to(&world, "Authors");
    world.step().await;
    assert!(world.migration_journal().is_some(), "{}", world.conditions());
}

#[tokio::test]
async fn an_alias_of_somebody_else_and_a_class_of_the_next_name_are_left_alone() {
    let mut world = aliased(&manual()).await;
    world.weaviate.seed_class(&json!({"class": "Theirs"}));
    world.weaviate.seed_alias("Live", "Theirs");
    world.declare(Some("text2vec-openai"));
    world.transcript();
    for _ in 0..3 {
        world.step().await;
    }
    assert!(!world.transcript().contains("/v1/"));
    assert!(world.conditions().contains("Stalled=True MigrationBlocked"), "{}", world.conditions());

    world.weaviate.seed_alias("Live", "Articles");
    world.weaviate.seed_class(&json!({"class": "Articles_2"}));
    for _ in 0..3 {
        world.step().await;
    }
    assert!(!world.transcript().contains("/v1/"));
    assert!(world.conditions().contains("there is a class Articles_2 already"), "{}", world.conditions());
}

#[tokio::test]
async fn an_object_that_is_deleted_while_it_is_frozen_leaves_its_collection_writable() {
    for phase in ["Freeze", "Settle", "Final", "Switch"] {
        for fault in [None, Some((1, Fate::HangsAfter)), Some((2, Fate::Hangs)), Some((4, Fate::FailsAfter(500)))] {
            let mut world = aliased(&manual()).await;
            world.declare(Some("text2vec-openai"));
            world.until(phase).await;
            world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
            if let Some((at, fate)) = fault {
                world.fuse.set(at, fate);
            }
            for _ in 0..6 {
                world.or_crash(async |world| drop(world.cluster("search").await)).await;
                advance(10);
            }
            assert!(!world.is_frozen("Articles"), "{phase} {fault:?}\n{}", world.transcript());
            assert_eq!(world.phase(), "Stopped", "{phase} {fault:?}");
            assert!(world.weaviate.class("Articles").is_some());
        }
    }
}

#[tokio::test]
async fn deletion_takes_the_live_class_and_its_alias_and_no_more() {
    for fault in [None, Some((1, Fate::HangsAfter)), Some((2, Fate::Hangs)), Some((2, Fate::HangsAfter))] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until("Kept").await;
        world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["deletionPolicy"] = "Delete".into();
        });
        world.step().await;
        world.step().await;
        world.api.delete::<ElysiaCollection>(NAMESPACE, "articles");
        if let Some((at, fate)) = fault {
            world.fuse.set(at, fate);
        }
        for _ in 0..20 {
            if world.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_none() {
                break;
            }
            world.or_crash(async |world| drop(world.collection("articles").await)).await;
            advance(5);
        }
        assert!(world.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_none(), "{fault:?}");
        assert_eq!(world.weaviate.class("Articles_2"), None, "{fault:?}");
        assert_eq!(world.weaviate.alias("Live"), None, "{fault:?}");
        assert!(world.weaviate.class("Articles").is_some(), "{fault:?}: it is kept");
    }
}
