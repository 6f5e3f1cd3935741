//! Feeds that go on from run to run: a bucket that is watched, and one on a schedule. Killed, appended to, rewritten.

use std::time::Instant;

use elysia_api::{ElysiaCollection, IndexSource, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ResourceExt;
use serde_json::{Value, json};

use crate::feed::notes;
use crate::feed_s3::{BUCKET, adds, client, ids, put};
use crate::operator_killed::kill_operator;
use crate::support::{Nodes, PATIENCE, Stage, is, on_a_thread};

async fn stage(name: &str) -> (Stage, Nodes, S3Server) {
    let stage = Stage::set(name).await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;
    (stage, nodes, server)
}

async fn declare(stage: &Stage, server: &S3Server, run: Value) {
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": "bucket"},
            "spec": {
                "clusterRef": {"name": "search"},
                "collection": "Notes",
                "source": {"s3": {
                    "bucket": BUCKET, "endpoint": server.endpoint(), "credentialsSecretRef": {"name": "bucket-key"},
                }},
                "run": run,
            },
        }))
        .await;
}

/// Waits until so many lines are counted and nothing is left to do.
async fn caught_up(stage: &Stage, lines: i64) {
    let api = stage.api::<IndexSource>();
    stage
        .wait(&format!("{lines} lines to be counted"), PATIENCE, async || {
            let status = api.get("bucket").await.unwrap().status?;
            let counts = status.counts?;
            let sum =
                counts.added + counts.modified + counts.deleted + counts.renamed + counts.unchanged + counts.rejected;
            assert_eq!(counts.lines, sum, "{counts:?}");
            assert!(counts.lines <= lines, "{counts:?}: something was read twice");
            (is(&status.conditions, "CaughtUp", "True") && counts.lines == lines).then_some(())
        })
        .await;
}

async fn jobs(stage: &Stage) -> Vec<String> {
    stage.api::<Job>().list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn a_bucket_that_is_watched() {
    let (stage, nodes, server) = stage("feed-watch").await;
    let store = client(&server);
    declare(&stage, &server, json!({"watch": {"interval": "1s"}})).await;
    caught_up(&stage, 0).await;
    put(&store, "a.jsonl", &adds("a", 10, "x")).await;
    caught_up(&stage, 10).await;
    let first = jobs(&stage).await;
    assert_eq!(first.len(), 1, "{first:?}");
    // It grows, and others come, while operator and worker are killed.
    put(&store, "a.jsonl", &(adds("a", 10, "x") + adds("b", 5, "x").as_str())).await;
    put(&store, "b.jsonl", &adds("c", 4_000, "x")).await;
    kill_operator(&stage).await;
    stage.kill_pods(names::FEED_LABEL).await;
    caught_up(&stage, 4_015).await;
    let all = || {
        let many = |prefix: &'static str, count: usize| (0..count).map(move |number| format!("{prefix}{number}"));
        many("a", 10).chain(many("b", 5)).chain(many("c", 4_000))
    };
    nodes.assert_all_hold("Notes", &ids(all())).await;
    assert_eq!(jobs(&stage).await, first, "the Job goes on");

    // The status is lost, as with a cluster that is built again from its manifests.
    let lost = json!({"status": null});
    let api = stage.api::<IndexSource>();
    api.patch_status("bucket", &PatchParams::default(), &Patch::Merge(&lost)).await.unwrap();
    caught_up(&stage, 4_015).await;
    assert_eq!(jobs(&stage).await, first);

    // Another setting: another worker takes its place, and reads nothing again.
    declare(&stage, &server, json!({"watch": {"interval": "2s"}})).await;
    stage
        .wait("another worker", PATIENCE, async || {
            let now = jobs(&stage).await;
            (now.len() == 1 && now != first).then_some(())
        })
        .await;
    caught_up(&stage, 4_015).await;

    // What is indexed was rewritten: nothing is read, and a person is asked.
    put(&store, "a.jsonl", &adds("z", 3, "x")).await;
    let status = stage.feed_ended_stalled("bucket").await;
    assert_eq!(status.counts.unwrap().lines, 4_015);
    declare(&stage, &server, json!({"watch": {"interval": "2s"}, "rewritten": "ReadAgain"})).await;
    caught_up(&stage, 4_018).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_bucket_on_a_schedule() {
    let (stage, nodes, server) = stage("feed-schedule").await;
    let store = client(&server);
    put(&store, "a.jsonl", &adds("a", 10, "x")).await;
    declare(&stage, &server, json!({"schedule": {"cron": "* * * * *", "suspend": true}})).await;
    let api = stage.api::<IndexSource>();
    stage
        .wait("the feed to be ready without a run", PATIENCE, async || {
            is(&api.get("bucket").await.unwrap().status?.conditions, "Ready", "True").then_some(())
        })
        .await;
    assert_eq!(jobs(&stage).await, Vec::<String>::new());
    declare(&stage, &server, json!({"schedule": {"cron": "* * * * *"}})).await;
    caught_up(&stage, 10).await;
    let (runs, since) = (jobs(&stage).await.len(), Instant::now());
    kill_operator(&stage).await;
    put(&store, "b.jsonl", &adds("b", 10, "x")).await;
    caught_up(&stage, 20).await;
    // One a minute, however many minutes it took: also for the one that had begun, whose Job may have been late, and for the
    // one that has not ended.
    let minutes = usize::try_from(since.elapsed().as_secs() / 60).unwrap() + 2;
    assert!(jobs(&stage).await.len() <= runs + minutes, "more than one a minute");
    nodes.assert_all_hold("Notes", &ids((0..10).flat_map(|number| [format!("a{number}"), format!("b{number}")]))).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
