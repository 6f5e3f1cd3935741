//! An adversary writes, deletes, makes drift, approves everything and kills operator and nodes, while repairs and
//! recreations run. At the end every object that a client was told is stored at QUORUM, and that nobody deleted, is
//! there.

use std::time::{Duration, Instant};

use elysia_api::ElysiaCollection;
use elysia_weaviate::{Consistency, ReadFrom};
use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::ResourceExt as _;
use serde_json::json;

use crate::adversary::{self, CLUSTER, World};
use crate::support::{Stage, is};

/// How long the adversary works, in minutes, unless `ELYSIA_SOAK_MINUTES` says otherwise.
const MINUTES: u64 = 30;
/// Writers at the same time.
const WRITERS: usize = 3;
/// Time for what is under way to settle: a recreation takes three minutes, and more when it was killed in between.
const SETTLE: Duration = Duration::from_secs(20 * 60);
/// Objects that are read at the same time.
const READS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half an hour; run by `cargo xtask soak collections`"]
async fn collections() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let minutes = number("ELYSIA_SOAK_MINUTES").unwrap_or(MINUTES);
    let seed = number("ELYSIA_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{minutes} minutes, ELYSIA_SOAK_SEED={seed}");
    let stage = Stage::set("soak-collections").await;
    stage.declare_cluster(CLUSTER).await;
    stage.cluster_is_ready(CLUSTER).await;
    let world = World::new(stage, seed).await;

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        tasks.spawn(adversary::write(world.clone()));
    }
    tasks.spawn(adversary::delete(world.clone()));
    tasks.spawn(adversary::drift(world.clone()));
    tasks.spawn(adversary::kill(world.clone()));
    let approver = tokio::spawn(adversary::approve(world.clone()));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60 * minutes) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
            Some(ended) = tasks.join_next() => panic!("the adversary gave up: {ended:?}"),
        }
        println!("{} min: {:?} {:?}", started.elapsed().as_secs() / 60, world.oracle.tally(), world.counts());
    }
    tasks.shutdown().await;

    settle(&world).await;
    approver.abort();
    let lost = missing(&world).await;
    let tally = world.oracle.tally();
    println!("{tally:?} {:?}", world.counts());
    if let Ok(path) = std::env::var("ELYSIA_SOAK_FIGURES") {
        let figures = json!({
            "name": "collections", "minutes": minutes, "seed": seed, "acknowledged": tally.acknowledged,
            "failed": tally.failed, "deleted": tally.deleted, "expected": tally.stored, "missing": lost.len(),
            "counts": world.counts(),
        });
        std::fs::write(path, figures.to_string()).unwrap();
    }
    assert!(
        lost.is_empty(),
        "{} objects were acknowledged and are gone: {:?}",
        lost.len(),
        &lost[..lost.len().min(20)]
    );
    world.stage.strike().await;
}

/// Waits until the cluster is whole and every collection as declared, or waiting for a person with a reason.
async fn settle(world: &adversary::Shared) {
    world.stage.cluster_is_ready(CLUSTER).await;
    world.find_nodes().await;
    let api = world.stage.api::<ElysiaCollection>();
    world
        .stage
        .wait("every collection to settle", SETTLE, async || {
            let objects = api.list(&ListParams::default()).await.ok()?;
            let restless: Vec<String> = objects
                .iter()
                .filter(|object| {
                    let status = object.status.as_ref();
                    let settled = status.is_some_and(|status| {
                        status.observed_generation == object.metadata.generation
                            && (is(&status.conditions, "Ready", "True") || is(&status.conditions, "Stalled", "True"))
                    });
                    let waits =
                        status.and_then(|status| status.plan.as_ref()).is_some_and(|plan| plan.waiting_for.is_some());
                    !settled || waits
                })
                .map(kube::ResourceExt::name_any)
                .collect();
            restless.is_empty().then_some(())
        })
        .await;
    for object in api.list(&ListParams::default()).await.unwrap() {
        let conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        for condition in conditions.iter().filter(|condition| condition.type_ == "Ready") {
            println!("{}: {} {}", object.name_any(), condition.status, condition.reason);
        }
    }
}

/// The objects that have to be there and are not, read at ALL. What one node does not have is asked of the others too:
/// an address may by now be somebody else's.
async fn missing(world: &adversary::Shared) -> Vec<String> {
    world.find_nodes().await;
    let clients: Vec<_> = world.clients().into_values().collect();
    let expected = world.oracle.expected();
    println!("looking at {} objects", expected.len());
    futures::stream::iter(expected.into_iter().enumerate())
        .map(|(number, ((class, id), title))| {
            let clients = &clients;
            async move {
                let mut answers = Vec::new();
                for turn in 0..clients.len() {
                    let client = &clients[(number + turn) % clients.len()];
                    let from = ReadFrom::Replicas(Consistency::All);
                    match client.object(&class, None, id, from, false).await {
                        Ok(Some(object)) if object.properties.get("title") == Some(&json!(title)) => return None,
                        Ok(Some(_)) => answers.push("another title".to_owned()),
                        Ok(None) => answers.push("gone".to_owned()),
                        Err(error) => answers.push(error.to_string()),
                    }
                }
                Some(format!("{class}/{id}: {}", answers.join(", ")))
            }
        })
        .buffer_unordered(READS)
        .filter_map(|lost| async { lost })
        .collect()
        .await
}
