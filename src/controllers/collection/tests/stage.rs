//! The collection controller against real servers, without Kubernetes: for staging what a fake cannot show.
//!
//! `ELYSIA_STAGE` names a file with JSON: `nodes` as in `spec.external.nodes`, `collections` as name and spec. It is read
//! again in each round, so whoever stages something changes it: other nodes, another factor, `restart` (any new number: the
//! operator forgets everything), `approve`, `limits`, `stop`. What is written and what the conditions say is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use elysia_api::condition::ConditionType;
use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::condition;
use jiff::Timestamp;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::super::super::fixture::{NAMESPACE, World, manifest, set_clock};

fn script() -> Option<Value> {
    let path = std::env::var("ELYSIA_STAGE").ok()?;
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Applies what the script declares now.
fn declare(world: &World, script: &Value) {
    let nodes = &script["nodes"];
    let spec = json!({
        "external": {"url": nodes[0]["url"], "grpc": "http://127.0.0.1:1", "nodes": nodes},
        "repair": {"copiesPerCluster": script["limits"][0].as_i64().unwrap_or(6),
                   "copiesPerNode": script["limits"][1].as_i64().unwrap_or(3)},
    });
    if world.api.object::<WeaviateCluster>(NAMESPACE, "search").is_none() {
        world.api.seed::<WeaviateCluster>(&manifest(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "search", "namespace": NAMESPACE}, "spec": spec,
        })));
    } else {
        world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| object["spec"] = spec);
    }
    for (name, spec) in script["collections"].as_object().into_iter().flatten() {
        if world.api.object::<ElysiaCollection>(NAMESPACE, name).is_none() {
            world.api.seed::<ElysiaCollection>(&manifest(json!({
                "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
            })));
        } else {
            world.api.edit::<ElysiaCollection>(NAMESPACE, name, |object| object["spec"] = spec.clone());
        }
    }
}

/// What a person would see of a collection.
fn picture(object: &ElysiaCollection) -> String {
    let status = object.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, ConditionType::Ready);
    let ready = ready.map_or_else(String::new, |ready| format!("{} {}: {}", ready.status, ready.reason, ready.message));
    let replication = status.replication.unwrap_or_default();
    let progress = replication.progress.map_or_else(String::new, |progress| {
        format!(" | {}/{} done, {} run", progress.done, progress.total, progress.running)
    });
    let cooling = if replication.cooling.is_empty() {
        String::new()
    } else {
        format!(" | cooling {}", replication.cooling.len())
    };
    let proved = replication.proved.map_or_else(String::new, |proof| {
        format!(" | proved {} {}", proof.objects, proof.digest.get(..8).unwrap_or_default())
    });
    format!("{ready}{progress}{cooling}{proved}")
}

#[tokio::test]
#[ignore = "needs real servers; ELYSIA_STAGE names the script"]
async fn stage() {
    let mut world = World::start().await;
    let began = std::time::Instant::now();
    let (mut shown, mut restarts) = (BTreeMap::new(), Value::Null);
    let mut looks: BTreeMap<String, std::time::Instant> = BTreeMap::new();
    while let Some(script) = script() {
        if script["stop"] == true {
            return;
        }
        set_clock(Timestamp::now().as_second());
        declare(&world, &script);
        if restarts != script["restart"] {
            if !restarts.is_null() {
                world.restart();
            }
            restarts = script["restart"].clone();
        }
        world.cluster("search").await.expect("a round over the cluster");
        for name in script["collections"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if looks.get(name).is_some_and(|next| std::time::Instant::now() < *next) {
                continue;
            }
            let action = world.collection(name).await.expect("a round over the collection");
            let object: ElysiaCollection = world.get(name);
            // What stands still is looked at every two seconds instead of every minute.
            let soon = if action == Action::await_change() { 2 } else { 1 };
            looks.insert(name.clone(), std::time::Instant::now() + Duration::from_secs(soon));
            let plan = object.status.as_ref().and_then(|status| status.plan.clone());
            if let Some(plan) = plan.filter(|plan| plan.waiting_for.is_some() && script["approve"] == true) {
                println!(
                    "{:6.1} {name} APPROVES {} {} {:?}",
                    began.elapsed().as_secs_f32(),
                    plan.action,
                    plan.hash,
                    plan.steps
                );
                world.annotate::<ElysiaCollection>(name, "elysia.dev/approve", &plan.hash);
            }
            let now = picture(&object);
            if shown.get(name) != Some(&now) {
                println!("{:6.1} {name} {now}", began.elapsed().as_secs_f32());
                shown.insert(name.clone(), now);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
