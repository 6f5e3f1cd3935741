//! Repair of replicas: what is missing, dead, too much, incomplete, stuck or without room.

mod waiting;

use elysia_api::ElysiaCollection;
use elysia_testkit::weaviate::Fault;
use serde_json::json;

use super::super::super::fixture::{NODES, World, advance};
use super::{declared, ids, world};

impl World {
    /// Rounds, while the servers go on and time passes; everything that was written. Plans are approved when asked for.
    async fn story(&mut self, rounds: usize, seconds: i64, approve: bool) -> String {
        let mut story = String::new();
        for _ in 0..rounds {
            story.push_str(&self.round().await);
            story.push('\n');
            let plan = self.articles().status.and_then(|status| status.plan);
            if let Some(plan) = plan.filter(|plan| approve && plan.waiting_for.is_some()) {
                self.annotate::<ElysiaCollection>("articles", "elysia.dev/approve", &plan.hash);
            }
            self.weaviate.advance();
            advance(seconds);
        }
        story
    }

    fn reason(&self) -> String {
        let conditions = self.conditions();
        conditions.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(':').to_owned()
    }
}

/// Objects at each replica, of the worst and of the best.
fn spread(world: &World) -> (usize, usize) {
    let holds = world.weaviate.holds("Articles");
    let counts = holds.values().flat_map(|replicas| replicas.values().copied());
    (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0))
}

async fn one_shard(replicas: &[&str], class_factor: i64, factor: i32) -> World {
    let world = world(json!({}), factor).await;
    world.weaviate.seed_class(
        &json!({"class": "Articles", "shardingConfig": {"desiredCount": 1}, "replicationConfig": {"factor": class_factor}}),
    );
    world.weaviate.seed_shard("Articles", "shard0", replicas);
    for node in replicas {
        world.weaviate.seed_objects("Articles", "shard0", node, ids(5));
    }
    world
}

#[tokio::test]
async fn tenants_are_copied_cold_ones_rest_again_and_offloaded_ones_are_named() {
    let mut world = world(json!({"multiTenancyConfig": {"enabled": true}}), 2).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "multiTenancyConfig": {"enabled": true}}));
    for (tenant, activity) in [("cold", "COLD"), ("frozen", "FROZEN"), ("hot", "HOT")] {
        world.weaviate.seed_shard("Articles", tenant, &["w-0"]);
        world.weaviate.seed_objects("Articles", tenant, "w-0", ids(3));
        world.weaviate.seed_tenant("Articles", tenant, activity);
    }
    let story = world.story(30, 1, false).await;
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 2, "{story}");
    assert_eq!(story.matches("PUT /v1/schema/Articles/tenants").count(), 1, "{story}");
    assert_eq!(world.weaviate.tenant("Articles", "cold").as_deref(), Some("COLD"));
    assert_eq!(world.reason(), "TenantsUnavailable", "{}", world.conditions());
    assert!(world.articles().status.unwrap().replication.unwrap().cooling.is_empty());
    // The tenant is activated: its copy follows, the factor, and the comparison.
    world.weaviate.seed_tenant("Articles", "frozen", "HOT");
    world.story(15, 61, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert!(world.conditions().contains("3 tenants have 2 replicas"), "{}", world.conditions());
}

#[tokio::test]
async fn a_cold_tenant_rests_again_after_a_crash_at_each_round() {
    let mut world = world(json!({"multiTenancyConfig": {"enabled": true}}), 2).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "multiTenancyConfig": {"enabled": true}}));
    world.weaviate.seed_shard("Articles", "cold", &["w-0"]);
    world.weaviate.seed_tenant("Articles", "cold", "COLD");
    for _ in 0..20 {
        world.restart();
        world.story(1, 1, false).await;
    }
    assert_eq!(world.weaviate.tenant("Articles", "cold").as_deref(), Some("COLD"));
    assert!(world.is_ready(), "{}", world.conditions());
}

#[tokio::test]
async fn replicas_that_are_too_many_go_when_approved_one_after_another() {
    let mut world = one_shard(&NODES, 3, 1).await;
    let before = world.story(3, 1, false).await;
    assert!(!before.contains("scale"), "{before}");
    assert_eq!(world.reason(), "NeedsApproval");
    let story = world.story(12, 1, true).await;
    assert_eq!(story.matches("POST /v1/replication/scale").count(), 2, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
    assert_eq!(world.weaviate.holds("Articles")["shard0"].len(), 1);
    // The approval was used: the same again is not done by it.
    world.weaviate.seed_shard("Articles", "shard0", &NODES);
    let again = world.story(4, 1, false).await;
    assert!(!again.contains("scale"), "{again}");
}

#[tokio::test]
async fn a_replica_with_objects_that_others_lack_is_not_taken_away() {
    let mut world = one_shard(&NODES, 2, 2).await;
    // Each of them has one that nobody else has, so whichever is picked is needed.
    for (at, node) in NODES.iter().enumerate() {
        let own = uuid::Uuid::from_u128(100 + at as u128);
        world.weaviate.seed_objects("Articles", "shard0", node, [own]);
    }
    let story = world.story(8, 1, true).await;
    assert!(!story.contains("scale"), "{story}");
    assert!(world.conditions().contains("lacks at least"), "{}", world.conditions());
    assert_eq!(world.weaviate.holds("Articles")["shard0"].len(), 3);
}

#[tokio::test]
async fn an_operator_that_leads_no_more_takes_no_replica_away() {
    let mut world = one_shard(&NODES, 3, 1).await;
    world.story(3, 1, false).await;
    assert_eq!(world.reason(), "NeedsApproval");
    world.shared().leading.is_over();
    let story = world.story(8, 1, true).await;
    assert!(!story.contains("scale"), "{story}");
    assert_eq!(world.weaviate.holds("Articles")["shard0"].len(), 3);
}

#[tokio::test]
async fn removal_goes_on_after_a_crash_at_each_round() {
    let mut world = one_shard(&NODES, 3, 1).await;
    for _ in 0..14 {
        world.restart();
        world.story(1, 1, true).await;
    }
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
}

/// `w-2` is dead and a person has taken it out of the cluster's nodes.
async fn gone(replicas: &[&str], factor: i32) -> World {
    let world = one_shard(replicas, i64::from(factor), factor).await;
    world.weaviate.fault("w-2", Some(Fault::Missing));
    world.seed_external(&["w-0", "w-1"]);
    world
}

#[tokio::test]
async fn a_node_that_is_gone_is_replaced_and_leaves_raft() {
    let mut world = gone(&["w-0", "w-2"], 2).await;
    world.cluster("search").await.unwrap();
    let before = world.story(3, 1, false).await;
    assert!(!before.contains("replicate"), "nothing before the approval: {before}");
    assert!(world.conditions().contains("must never come back"), "{}", world.conditions());
    let story = world.story(20, 1, true).await;
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 1, "{story}");
    assert_eq!(story.matches("POST /v1/cluster/remove").count(), 1, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
    assert_eq!(world.weaviate.holds("Articles")["shard0"].keys().collect::<Vec<_>>(), ["w-0", "w-1"]);
}

#[tokio::test]
async fn a_gone_node_that_holds_the_only_data_of_another_class_stays_in_raft() {
    let mut world = gone(&["w-0", "w-2"], 2).await;
    world.weaviate.seed_class(&json!({"class": "Other", "shardingConfig": {"desiredCount": 1}}));
    world.weaviate.seed_shard("Other", "only", &["w-2"]);
    world.weaviate.seed_objects("Other", "only", "w-2", ids(7));
    world.cluster("search").await.unwrap();
    let story = world.story(20, 1, true).await;
    assert!(!story.contains("cluster/remove"), "{story}");
    assert!(world.conditions().contains("shard only of Other has no living replica"), "{}", world.conditions());
    assert_eq!(world.weaviate.holds("Other")["only"]["w-2"], 7);
}

#[tokio::test]
async fn without_a_free_node_it_says_what_is_missing_and_a_lower_factor_helps() {
    let mut world = gone(&NODES, 3).await;
    world.cluster("search").await.unwrap();
    world.story(2, 1, true).await;
    assert!(
        world.conditions().contains("add a node to the cluster, or lower replication.factor to 2"),
        "{}",
        world.conditions()
    );
    world.api.edit::<ElysiaCollection>("ai", "articles", |object| object["spec"]["replication"]["factor"] = 2.into());
    world.story(20, 1, true).await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.weaviate.holds("Articles")["shard0"].keys().collect::<Vec<_>>(), ["w-0", "w-1"]);
}

#[tokio::test]
async fn the_only_data_at_a_gone_node_is_lost_and_nothing_is_done() {
    let mut world = gone(&["w-2"], 1).await;
    world.cluster("search").await.unwrap();
    let story = world.story(4, 1, true).await;
    assert_eq!(world.reason(), "SourceLost", "{}", world.conditions());
    assert!(!story.contains("POST /v1"), "{story}");
}

#[tokio::test]
async fn a_replica_whose_disk_was_replaced_is_found_waited_for_and_made_anew() {
    let mut world = one_shard(&NODES, 3, 3).await;
    world.story(3, 1, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
    world.weaviate.wipe("Articles", "w-1");
    world.story(2, 60, false).await;
    assert_eq!(world.reason(), "ReplicasDiffer", "{}", world.conditions());
    assert!(world.articles().status.unwrap().replication.unwrap().differ_since.is_some());
    world.story(6, 60, false).await;
    assert_eq!(world.reason(), "NeedsApproval", "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().plan.unwrap().action, "Rebuild");
    let story = world.story(25, 1, true).await;
    assert_eq!(story.matches("POST /v1/replication/scale").count(), 1, "{story}");
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 1, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
}

#[tokio::test]
async fn a_rebuild_goes_on_after_a_crash_at_each_round() {
    let mut world = one_shard(&NODES, 3, 3).await;
    world.story(3, 1, false).await;
    world.weaviate.wipe("Articles", "w-1");
    world.story(8, 60, false).await;
    for _ in 0..40 {
        world.restart();
        world.story(1, 1, true).await;
    }
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
}

#[tokio::test]
async fn a_replica_that_heals_by_itself_is_left_alone() {
    let mut world = one_shard(&NODES, 3, 3).await;
    world.story(3, 1, false).await;
    world.weaviate.wipe("Articles", "w-1");
    world.story(3, 60, true).await;
    world.weaviate.seed_objects("Articles", "shard0", "w-1", ids(5));
    let story = world.story(2, 30, true).await;
    assert!(!story.contains("scale"), "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.articles().status.unwrap().replication.unwrap().differ_since, None);
}

#[tokio::test]
async fn one_replica_with_a_new_disk_is_never_called_healthy() {
    let mut world = one_shard(&["w-1"], 1, 1).await;
    world.api.edit::<ElysiaCollection>("ai", "articles", |object| {
        object["status"] = json!({"objects": {"count": 5, "at": "2027-01-15T07:00:00Z", "source": "aggregate"}});
    });
    world.story(2, 60, false).await;
    world.weaviate.fault("w-1", Some(Fault::Missing));
    world.story(1, 60, false).await;
    world.weaviate.fault("w-1", None);
    world.weaviate.wipe("Articles", "w-1");
    world.story(3, 60, false).await;
    assert_eq!(world.reason(), "SourceLost", "{}", world.conditions());
    // What was there stays known: neither the round without the node nor the empty disk takes its place.
    assert_eq!(world.articles().status.unwrap().objects.map(|objects| objects.count), Some(5));
}

#[tokio::test]
async fn a_target_without_room_is_left_for_another_and_named_when_there_is_none() {
    let mut world = one_shard(&["w-0"], 1, 2).await;
    world.weaviate.full("w-1", true);
    world.story(20, 1, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.weaviate.holds("Articles")["shard0"].keys().collect::<Vec<_>>(), ["w-0", "w-2"]);

    let mut world = one_shard(&["w-0"], 1, 3).await;
    world.weaviate.full("w-1", true);
    world.story(20, 1, false).await;
    assert_eq!(world.reason(), "NoRoom", "{}", world.conditions());
    assert!(world.conditions().contains("w-1 has no room"), "{}", world.conditions());
    world.weaviate.full("w-1", false);
    world.story(20, 60, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
}

#[tokio::test]
async fn left_over_operations_are_dealt_with_and_somebodys_move_is_not_touched() {
    let mut world = one_shard(&["w-0", "w-1"], 2, 2).await;
    world.weaviate.seed_operation("Articles", ["shard0", "w-0", "nobody"], "COPY", "REGISTERED");
    world.weaviate.seed_operation("Articles", ["shard0", "w-0", "w-1"], "COPY", "CANCELLED");
    let story = world.story(3, 10, false).await;
    assert_eq!(story.matches("DELETE /v1/replication/replicate").count(), 1, "{story}");
    let story = world.story(9, 60, false).await;
    assert!(story.contains("DELETE /v1/replication/replicate"), "{story}");
    assert_eq!(story.matches("POST /v1/replication/replicate/force-delete").count(), 1, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());

    world.weaviate.seed_operation("Articles", ["shard0", "w-0", "w-2"], "MOVE", "DEHYDRATING");
    let story = world.story(5, 300, false).await;
    assert!(!story.contains("/v1/replication"), "{story}");
}

#[tokio::test]
async fn limits_hold_for_all_collections_together() {
    let mut world = world(json!({}), 3).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 9}}));
    world.weaviate.seed_class(&json!({"class": "Other", "shardingConfig": {"desiredCount": 3}}));
    world.weaviate.seed_operation("Other", ["shard0", "w-0", "w-1"], "COPY", "HYDRATING");
    let story = world.round().await;
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 5, "{story}");
}

#[tokio::test]
async fn many_copies_are_few_writes() {
    let mut world = world(json!({}), 2).await;
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 60}}));
    let story = world.story(90, 1, false).await;
    let writes = story.matches("PATCH elysiacollections").count();
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 60, "{story}");
    assert!(writes <= 16, "{writes} writes in 90 s");
    assert!(world.is_ready(), "{}", world.conditions());
}

#[tokio::test]
async fn a_source_that_dies_is_left_for_another() {
    let mut world = one_shard(&["w-0", "w-1"], 2, 3).await;
    world.weaviate.seed_operation("Articles", ["shard0", "gone", "w-2"], "COPY", "REGISTERED");
    // The fake goes on by itself; only the round after the patience is looked at.
    world.round().await;
    advance(300);
    let story = world.round().await;
    assert!(story.contains("DELETE /v1/replication/replicate"), "{story}");
}

#[tokio::test]
async fn two_declared_names_never_share_a_journal() {
    let world = World::with_cluster().await;
    let one = world.api.seed(&declared("articles", &json!({}), 1));
    let uid = one.metadata.uid.unwrap();
    assert_ne!(elysia_api::names::journal("articles", &uid), elysia_api::names::repair_journal("articles", &uid));
}

#[tokio::test]
async fn a_copy_that_fails_for_ever_is_made_anew_from_another_source() {
    let mut world = one_shard(&["w-0", "w-1"], 2, 3).await;
    // As 1.38.2 said it after w-0 was killed in the middle of copies.
    world.weaviate.spoil("w-0", Some("open changelog /data/articles/shard0/154.log: file exists"));
    let story = world.story(3, 10, false).await;
    assert_eq!(story.matches("/v1/replication/replicate at").count(), 1, "{story}");
    assert_eq!(world.weaviate.operations(), ["shard0:w-0→w-2:HYDRATING"]);
    assert!(world.conditions().contains("the servers say: open changelog"), "{}", world.conditions());
    let story = world.story(6, 10, false).await;
    assert!(!story.contains("DELETE"), "it has its time: {story}");
    let story = world.story(2, 10, false).await;
    assert_eq!(story.matches("DELETE /v1/replication/replicate").count(), 1, "{story}");
    assert_eq!(world.weaviate.operations(), ["shard0:w-1→w-2:HYDRATING"]);
    world.story(10, 1, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(spread(&world), (5, 5));
}

#[tokio::test]
async fn of_somebody_elses_cluster_the_node_that_hangs_is_named_and_gets_no_further_copies() {
    let mut world = one_shard(&["w-0"], 1, 3).await;
    world.weaviate.seed_shard("Articles", "shard1", &["w-0", "w-2"]);
    world.weaviate.hang("w-1");
    let story = world.story(40, 10, false).await;
    assert_eq!(story.matches("DELETE /v1/replication/replicate").count(), 3, "{story}");
    assert!(
        world.conditions().contains("Stalled=True CopyStuck: w-1 has not deleted the copy of shard shard0"),
        "{}",
        world.conditions()
    );
    assert!(world.conditions().contains("Restart the server w-1"), "{}", world.conditions());
    assert_eq!(world.weaviate.operations(), ["shard0:w-0→w-1:REGISTERED!", "shard1:w-2→w-1:REGISTERED!"]);
    // At rest, however long that takes, and after a restart of the operator as well.
    world.restart();
    let story = world.story(30, 60, false).await;
    assert!(!story.contains("/v1/"), "{story}");
    // A person restarts the server.
    world.weaviate.restart("w-1");
    world.story(20, 10, false).await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.weaviate.operations(), Vec::<String>::new());
}
