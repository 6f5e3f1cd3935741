//! Rounds that compare sampled objects.

use elysia_api::WeaviateCluster;
use elysia_api::names::RUN_NOW_ANNOTATION;

use super::*;

const SHARD: &str = "shard0";

/// 20 objects in one shard at three nodes, compared and proved.
async fn compared() -> World {
    let mut world = world(json!({}), 3).await;
    world.weaviate.seed_class(&json!({
        "class": "Articles", "replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 1},
    }));
    for node in NODES {
        world.weaviate.seed_objects("Articles", SHARD, node, ids(20));
    }
    for _ in 0..5 {
        world.round().await;
        if world.is_ready() {
            return world;
        }
        advance(1);
    }
    panic!("not ready: {}", world.conditions())
}

fn ask(world: &World, value: &str) {
    world.annotate::<ElysiaCollection>("articles", RUN_NOW_ANNOTATION, value);
}

/// Rounds until the comparison that was asked for is over.
async fn finish(world: &mut World, value: &str) {
    for _ in 0..5 {
        world.round().await;
        let handled = world.articles().status.unwrap_or_default().last_handled.unwrap_or_default();
        if handled.run_now.as_deref() == Some(value) {
            return;
        }
        advance(30);
    }
    panic!("not compared: {}", world.conditions());
}

fn report(world: &World) -> Value {
    let report = world.articles().status.unwrap_or_default().verification.expect("a report");
    let mut report = serde_json::to_value(report).unwrap();
    report.as_object_mut().unwrap().remove("at");
    report
}

fn verified(world: &World) -> String {
    let conditions = world.articles().status.unwrap_or_default().conditions;
    shown(&conditions.into_iter().filter(|one| one.type_ == "DataVerified").collect::<Vec<_>>())
}

#[tokio::test]
async fn nobody_asks_and_nothing_is_compared() {
    let mut world = compared().await;
    advance(3600);
    assert_eq!(world.round().await, "");
    assert_eq!(verified(&world), "");
}

#[tokio::test]
async fn equal_replicas_take_one_round() {
    let mut world = compared().await;
    ask(&world, "1");
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=True AsDeclared
    POST events Normal Verified
    ");
    assert_snapshot!(verified(&world), @"DataVerified=True Verified: 20 sampled objects are the same at each of 3 replicas");
    assert_eq!(world.round().await, "");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_ids_are_compared_again() {
    let mut world = compared().await;
    let mut sick = ids(20);
    let (missing, different, orphaned) = (sick.next().unwrap(), sick.next().unwrap(), Uuid::from_u128(7777));
    world.weaviate.lose_object("Articles", SHARD, "w-2", missing);
    world.weaviate.seed_properties("Articles", SHARD, "w-1", different, &json!({"title": "else"}));
    world.weaviate.seed_objects("Articles", SHARD, "w-0", [orphaned]);
    ask(&world, "1");
    finish(&mut world, "1").await;
    assert_snapshot!(report(&world), @r#"{"different":1,"findings":[{"id":"00000000-0000-0000-0000-000000000001","nodes":["w-2"],"what":"missing"},{"id":"00000000-0000-0000-0000-000000000002","nodes":["w-1"],"what":"different"},{"id":"00000000-0000-0000-0000-000000001e61","nodes":["w-0"],"what":"orphaned"}],"missing":1,"orphaned":1,"replicas":3,"sampled":21,"unread":0}"#);
    assert_snapshot!(verified(&world), @"DataVerified=False ObjectsDiffer: of 21 sampled objects 1 are missing at a replica, 1 differ, 1 are held by a minority; see them: kubectl elysia health --data --collection articles");
    world.round().await;
    assert!(!world.is_ready(), "{}", world.conditions());
    assert!(world.conditions().contains("ReplicasInSync=False ReplicasDiffer"), "{}", world.conditions());

    // Healed: the next look, without being asked, finds what it named to be well.
    for node in NODES {
        world.weaviate.seed_objects("Articles", SHARD, node, [missing, orphaned]);
    }
    for node in NODES {
        world.weaviate.seed_properties("Articles", SHARD, node, different, &json!({"title": "else"}));
    }
    advance(900);
    world.round().await;
    assert_snapshot!(verified(&world), @"DataVerified=True Verified: 21 sampled objects are the same at each of 3 replicas");
}

#[tokio::test]
async fn a_write_between_two_rounds_is_no_alarm() {
    let mut world = compared().await;
    let id = Uuid::from_u128(5);
    world.weaviate.lose_object("Articles", SHARD, "w-2", id);
    ask(&world, "1");
    assert_eq!(world.round().await, "");
    world.weaviate.seed_objects("Articles", SHARD, "w-2", [id]);
    // Not before its time.
    advance(2);
    assert_eq!(world.round().await, "");
    advance(3);
    world.round().await;
    assert_snapshot!(verified(&world), @"DataVerified=True Verified: 20 sampled objects are the same at each of 3 replicas");
}

#[tokio::test]
async fn a_restart_between_two_rounds_costs_a_sample() {
    let mut world = compared().await;
    world.weaviate.lose_object("Articles", SHARD, "w-2", Uuid::from_u128(5));
    ask(&world, "1");
    world.round().await;
    world.restart();
    finish(&mut world, "1").await;
    assert_eq!(report(&world)["missing"], 1);
}

#[tokio::test]
async fn a_schedule_asks_and_waits_for_a_cluster_that_is_well() {
    let mut world = compared().await;
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["metadata"]["creationTimestamp"] = "2027-01-15T07:00:00Z".into();
    });
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["spec"]["verify"] = json!({"data": {"schedule": {"cron": "0 * * * *"}, "sampleSize": 5}});
    });
    world.weaviate.close("w-2").await;
    world.cluster("search").await.unwrap();
    world.round().await;
    assert_snapshot!(verified(&world), @"DataVerified=Unknown Unknown: objects are compared when the cluster is well again: 2 of 3 nodes answered");
    world.weaviate.open("w-2").await.unwrap();
    world.cluster("search").await.unwrap();
    world.round().await;
    assert_snapshot!(verified(&world), @"DataVerified=True Verified: 5 sampled objects are the same at each of 3 replicas");
    world.transcript();
    advance(60);
    assert_eq!(world.round().await, "");
    advance(3600);
    assert_snapshot!(world.round().await, @"PATCH elysiacollections/articles/status Ready=True AsDeclared");
}

#[tokio::test]
async fn sleeping_tenants_are_left_asleep() {
    let mut world = world(json!({"multiTenancyConfig": {"enabled": true}}), 2).await;
    world.weaviate.seed_class(&json!({
        "class": "Articles", "replicationConfig": {"factor": 2}, "multiTenancyConfig": {"enabled": true},
    }));
    let tenants = json!([{"name": "hot", "activityStatus": "HOT"}, {"name": "cold", "activityStatus": "COLD"}]);
    let answer = post(&world, "/v1/schema/Articles/tenants", &tenants).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.weaviate.seed_shard("Articles", "hot", &["w-0", "w-2"]);
    for node in ["w-0", "w-2"] {
        world.weaviate.seed_objects("Articles", "hot", node, ids(9));
    }
    world.weaviate.lose_object("Articles", "hot", "w-2", Uuid::from_u128(9));
    ask(&world, "1");
    finish(&mut world, "1").await;
    assert_snapshot!(report(&world), @r#"{"different":0,"findings":[{"id":"00000000-0000-0000-0000-000000000009","nodes":["w-2"],"tenant":"hot","what":"missing"}],"missing":1,"orphaned":0,"replicas":2,"sampled":9,"tenantsAsleep":1,"unread":0}"#);
}

/// A write to the fake as somebody else makes it.
async fn post(world: &World, path: &str, body: &Value) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = world.weaviate.address("w-0");
    let host = address.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// On real servers: `ELYSIA_SERVERS` holds the addresses of w-0, w-1 and w-2, which hold a class Articles of factor 3,
/// `ELYSIA_LOOKS` how often it is compared. Time passes here as it does outside.
#[tokio::test]
#[ignore = "needs real servers: ELYSIA_SERVERS=http://…,http://…,http://…"]
async fn real_servers_are_compared() {
    let addresses = std::env::var("ELYSIA_SERVERS").unwrap();
    let addresses: Vec<&str> = addresses.split(',').collect();
    let looks: usize = std::env::var("ELYSIA_LOOKS").map_or(1, |looks| looks.parse().unwrap());
    let mut world = world(json!({}), 3).await;
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        let nodes = NODES.iter().zip(&addresses).map(|(name, url)| json!({"name": name, "url": url}));
        object["spec"]["external"]["nodes"] = nodes.collect();
        object["spec"]["external"]["url"] = addresses[0].into();
        object["spec"]["verify"] = json!({"data": {"schedule": {"cron": "0 0 1 1 *"}, "sampleSize": 200}});
    });
    world.cluster("search").await.unwrap();
    for look in 0..looks {
        let asked = look.to_string();
        ask(&world, &asked);
        let started = std::time::Instant::now();
        loop {
            world.cluster("search").await.unwrap();
            world.round().await;
            let handled = world.articles().status.unwrap_or_default().last_handled.unwrap_or_default();
            if handled.run_now.as_deref() == Some(&asked) {
                break;
            }
            assert!(started.elapsed().as_secs() < 120, "{}", world.conditions());
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            advance(1);
        }
        println!("{look} in {:?}: {}", started.elapsed(), report(&world));
        let cluster: WeaviateCluster = world.get("search");
        let status = cluster.status.unwrap_or_default();
        println!("  distribution {:?} probe {:?}", status.distribution, status.probe);
    }
}
