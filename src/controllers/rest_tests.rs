//! At rest: what two hours of rounds write.

use std::collections::BTreeMap;

use elysia_api::{ElysiaCollection, WeaviateCluster};
use serde_json::json;

use super::fixture::{NAMESPACE, NODES, World, advance, manifest};

/// Seconds between two rounds: the interval of a cluster when nothing is said.
const INTERVAL: i64 = 60;
const HOUR: i64 = 3600;

/// Lines of the transcript by the object that they write, Events by the word that they begin with.
fn writes(transcript: &str) -> BTreeMap<String, Vec<String>> {
    let mut writes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in transcript.lines().filter(|line| !line.contains("/v1/")) {
        let path = line.split(' ').nth(1).unwrap_or_default().trim_end_matches("/status");
        writes.entry(path.to_owned()).or_default().push(line.to_owned());
    }
    writes
}

/// One collection that was asked to be compared every hour, and its cluster, which is probed every hour; both came to
/// rest.
async fn resting() -> World {
    let mut world = World::start().await;
    world.seed_external(&NODES);
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["metadata"]["creationTimestamp"] = "2027-01-15T07:00:00Z".into();
        object["spec"]["verify"] = json!({"data": {"schedule": {"cron": "0 * * * *"}, "sampleSize": 5}});
    });
    world.cluster("search").await.unwrap();
    world.api.seed::<ElysiaCollection>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": NAMESPACE, "creationTimestamp": "2027-01-15T07:00:00Z"},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "replication": {"factor": 3},
            "schema": {"properties": [{"name": "title", "dataType": ["text"]}]},
        },
    })));
    // How the shards are spread is looked at every ten minutes, and the collection is new.
    for _ in 0..15 {
        world.cluster("search").await.unwrap();
        world.collection("articles").await.unwrap();
        advance(INTERVAL);
    }
    world.transcript();
    world
}

#[tokio::test]
async fn two_hours_at_rest_write_each_object_once_an_hour_at_most() {
    let mut world = resting().await;
    let (mut compared, mut probed) = (Vec::new(), Vec::new());
    for hour in 0..2 {
        for _ in 0..HOUR / INTERVAL {
            world.cluster("search").await.unwrap();
            world.collection("articles").await.unwrap();
            advance(INTERVAL);
        }
        let transcript = world.transcript();
        let writes = writes(&transcript);
        // Events count as writes; at rest there is none.
        assert!(!writes.contains_key("events"), "hour {hour}:\n{transcript}");
        for (object, lines) in &writes {
            assert!(lines.len() <= 1, "hour {hour}: {object} was written {} times:\n{transcript}", lines.len());
        }
        let status = world.get::<ElysiaCollection>("articles").status.unwrap();
        compared.push(status.verification.expect("not compared").at);
        probed.push(world.get::<WeaviateCluster>("search").status.unwrap().probe.expect("not probed").at);
    }
    // It was really looked at meanwhile.
    assert!(compared[0] < compared[1] && probed[0] < probed[1], "{compared:?} {probed:?}");
}

#[tokio::test]
async fn two_hours_at_rest_without_a_schedule_write_nothing() {
    let mut world = resting().await;
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["spec"].as_object_mut().unwrap().remove("verify");
    });
    for _ in 0..2 {
        world.cluster("search").await.unwrap();
        world.collection("articles").await.unwrap();
        advance(INTERVAL);
    }
    world.transcript();
    for _ in 0..2 * HOUR / INTERVAL {
        world.cluster("search").await.unwrap();
        world.collection("articles").await.unwrap();
        advance(INTERVAL);
    }
    assert_eq!(world.transcript(), "");
}

#[tokio::test]
async fn a_server_that_keeps_its_own_setting_is_asked_again_and_told_of_once() {
    let mut world = resting().await;
    world.weaviate.edit_class("Articles", |class| class["description"] = "theirs".into());
    world.weaviate.keep("description");
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["schema"]["description"] = "ours".into();
    });
    let mut events = 0;
    for _ in 0..2 * HOUR / INTERVAL {
        world.collection("articles").await.unwrap();
        advance(INTERVAL);
        events += world.transcript().lines().filter(|line| line.contains(" events ")).count();
    }
    assert!((1..=6).contains(&events), "{events} events");
    assert!(world.weaviate.transcript().iter().filter(|call| call.starts_with("PUT")).count() > 100, "not asked again");
}

#[tokio::test]
async fn the_gauges_of_the_last_object_of_a_kind_go_with_it() {
    let mut world = resting().await;
    let context = world.shared();
    let series = || {
        context.stores.forget_gone(&context.metrics);
        let text = context.metrics.text((context.now)());
        let count = |name: &str| text.lines().filter(|line| line.contains(&format!(r#"name="{name}""#))).count();
        (count("search"), count("articles"))
    };
    let (cluster, collection) = series();
    assert!(cluster >= 3 && collection >= 10, "{cluster} {collection}");
    world.api.remove::<ElysiaCollection>(NAMESPACE, "articles");
    // No round of its kind comes any more; what the watches brought is enough.
    world.cluster("search").await.unwrap();
    assert_eq!(series(), (cluster, 0));
}
