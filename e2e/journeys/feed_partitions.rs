//! A feed that three pods share: one of them is killed, their Job is deleted, and together they count each line once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use elysia_api::index_source::{Counts, RunState};
use elysia_api::{ElysiaCollection, IndexSource, IndexSourceStatus, names};
use elysia_e2e::ground::{self, NODE_ADDRESS};
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::json;
use uuid::Uuid;

use crate::feed::notes;
use crate::feed_s3::{BUCKET, client, put};
use crate::support::{PATIENCE, Stage, is, on_a_thread};

/// Documents, each with four lines.
const DOCUMENTS: usize = 4_000;
/// Repos among which they are spread.
const REPOS: usize = 97;
/// Lines in all.
const LINES: i64 = 16_000;
const PARTITIONS: usize = 3;

/// Adds, modifies and renames every document, then deletes every other one, and the ids that are there at the end.
fn feed() -> (String, Vec<Uuid>) {
    let (mut text, mut alive) = (String::new(), BTreeSet::new());
    for number in 0..DOCUMENTS {
        let repo = format!("repo-{}", number % REPOS);
        let (path, moved) = (format!("{number}.md"), format!("{number}-moved.md"));
        writeln!(text, r#"{{"repo":"{repo}","op":"add","path":"{path}","content":"{}"}}"#, "x".repeat(60)).unwrap();
        writeln!(text, r#"{{"repo":"{repo}","op":"modify","path":"{path}","content":"y"}}"#).unwrap();
        writeln!(text, r#"{{"repo":"{repo}","op":"rename","path":"{path}","new_path":"{moved}"}}"#).unwrap();
        if number % 2 == 0 {
            writeln!(text, r#"{{"repo":"{repo}","op":"delete","path":"{moved}"}}"#).unwrap();
        } else {
            writeln!(text, r#"{{"repo":"{repo}","op":"modify","path":"{moved}","content":"z"}}"#).unwrap();
            alive.insert(Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notes{repo}:{moved}").as_bytes()));
        }
    }
    (text, alive.into_iter().collect())
}

fn expected() -> Counts {
    let documents = i64::try_from(DOCUMENTS).unwrap();
    let (added, renamed) = (documents, documents);
    let deleted = documents / 2 + documents % 2;
    let modified = documents + documents / 2;
    Counts { lines: LINES, added, modified, deleted, renamed, unchanged: 0, rejected: 0 }
}

async fn status(stage: &Stage) -> Option<IndexSourceStatus> {
    stage.api::<IndexSource>().get("shared").await.unwrap().status
}

/// Waits until so many lines of the present run are counted or, as it may be over before that is seen, it is at its end:
/// the operator tells what the workers wrote, and it may be killed by another journey meanwhile.
async fn under_way(stage: &Stage, lines: i64) {
    let found = stage
        .wait(&format!("{lines} lines of a run"), PATIENCE, async || {
            let status = status(stage).await?;
            let run = status.run?;
            // What is counted before it begins is the run's before.
            let has_begun = run.started_at.is_some() && run.state != RunState::Pending;
            (has_begun && status.counts?.lines >= lines).then_some(run.state)
        })
        .await;
    if found != RunState::Running {
        stage.say(&format!("the run was over before it was seen: {found:?}"));
    }
}

/// Pods that may write, by their completion index.
async fn pods(stage: &Stage) -> BTreeMap<String, Vec<String>> {
    let workers = ListParams::default().labels(names::FEED_LABEL);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in stage.api::<Pod>().list(&workers).await.unwrap() {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        if !["Succeeded", "Failed"].contains(&phase.as_str()) {
            let index = pod.labels()["batch.kubernetes.io/job-completion-index"].clone();
            found.entry(index).or_default().push(pod.name_any());
        }
    }
    found
}

/// Waits for the end, and sees to it that no two pods ever share an index.
async fn ended(stage: &Stage, run: &str) -> IndexSourceStatus {
    stage
        .wait("the run to end", PATIENCE, async || {
            for (index, pods) in pods(stage).await {
                assert_eq!(pods.len(), 1, "two pods of partition {index}: {pods:?}");
            }
            let status = status(stage).await?;
            let counts = status.counts.clone()?;
            let Counts { lines, added, modified, deleted, renamed, unchanged, rejected } = counts;
            assert_eq!(lines, added + modified + deleted + renamed + unchanged + rejected, "{counts:?}");
            let is_it = status.run.as_ref().is_some_and(|present| present.id != run);
            (is_it && is(&status.conditions, "CaughtUp", "True")).then_some(status)
        })
        .await
}

/// How often each reason was told of the feed.
async fn told(stage: &Stage) -> BTreeMap<String, i32> {
    let mut told = BTreeMap::new();
    for event in stage.api::<Event>().list(&ListParams::default()).await.unwrap() {
        if event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some("shared") {
            let times = event.series.as_ref().map_or(1, |series| series.count);
            *told.entry(event.reason.unwrap_or_default()).or_default() += times;
        }
    }
    told
}

/// The numbers that the operators export.
async fn metrics(stage: &Stage) -> String {
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), ground::NAMESPACE);
    let mut text = String::new();
    for pod in api.list(&ListParams::default()).await.unwrap() {
        let Some(address) = pod.status.and_then(|status| status.pod_ip) else { continue };
        let url = format!("http://{address}:8080/metrics");
        let asked = move || ureq::get(&url).call().map(|mut answer| answer.body_mut().read_to_string().unwrap());
        text += &on_a_thread(asked).await.unwrap_or_default();
    }
    text
}

#[tokio::test]
async fn three_pods_share_a_feed_and_count_each_line_once() {
    let stage = Stage::set("feed-partitions").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;
    let (text, alive) = feed();
    put(&client(&server), "history.jsonl", &text).await;
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": "shared"},
            "spec": {
                "clusterRef": {"name": "search"},
                "collection": "Notes",
                "source": {"s3": {
                    "bucket": BUCKET, "endpoint": server.endpoint(), "credentialsSecretRef": {"name": "bucket-key"},
                }},
                "partitions": PARTITIONS,
                // Small batches, so that there is time to kill something.
                "batch": {"objects": 50},
            },
        }))
        .await;

    // One pod is killed in the middle.
    under_way(&stage, 1_000).await;
    let victims = pods(&stage).await;
    assert!(victims.len() <= PARTITIONS, "{victims:?}");
    if let Some((index, pods)) = victims.first_key_value() {
        let killed = stage.api::<Pod>().delete(&pods[0], &DeleteParams::default().grace_period(1)).await.is_ok();
        stage.say(&format!("killed partition {index}: {killed}"));
    }
    let status = ended(&stage, "").await;
    assert_eq!(status.counts, Some(expected()));
    let partitions = status.partitions.unwrap();
    assert_eq!((partitions.total, partitions.succeeded), (3, 3), "{partitions:?}");
    assert!(partitions.slowest.iter().all(|partition| partition.lines > 0), "{partitions:?}");
    assert_eq!(partitions.slowest.iter().map(|partition| partition.lines).sum::<i64>(), LINES);
    nodes.assert_all_hold("Notes", &alive).await;
    let job = stage.api::<Job>().list(&ListParams::default()).await.unwrap().items.remove(0);
    assert_eq!(job.spec.and_then(|spec| spec.completions), Some(3));
    for index in 0..3 {
        stage.api::<ConfigMap>().get(&names::partition_ledger("shared", index)).await.unwrap();
    }
    // The Event comes after the status, and the operator that exports numbers may be a new one.
    let reasons = stage
        .wait("the end to be told", PATIENCE, async || {
            let reasons = told(&stage).await;
            reasons.contains_key("RunSucceeded").then_some(reasons)
        })
        .await;
    assert_eq!((reasons.get("RunStarted"), reasons.get("RunSucceeded")), (Some(&1), Some(&1)), "{reasons:?}");
    let wanted = format!(r#"outcome="added"}} {DOCUMENTS}"#);
    stage
        .wait("the numbers to be exported", PATIENCE, async || {
            let text = metrics(&stage).await;
            let is_it = |line: &str| line.contains(r#"name="shared""#) && line.ends_with(&wanted);
            text.lines().any(is_it).then_some(())
        })
        .await;

    // The Job of another run is deleted by hand: the next one begins when its last pod is gone.
    let first = status.run.unwrap().id;
    stage.annotate::<IndexSource>("shared", names::RUN_NOW_ANNOTATION, "again").await;
    stage.wait("the other run", PATIENCE, async || (self::status(&stage).await?.run?.id != first).then_some(())).await;
    under_way(&stage, 1).await;
    let second = self::status(&stage).await.unwrap().run.unwrap();
    stage.api::<Job>().delete(&second.job.unwrap(), &DeleteParams::background()).await.unwrap();
    stage.say("deleted the Job");
    let status = ended(&stage, &first).await;
    assert_eq!(status.counts, Some(expected()));
    nodes.assert_all_hold("Notes", &alive).await;

    // Another number of pods is another run.
    let patch = json!({"spec": {"partitions": 2}});
    stage.api::<IndexSource>().patch("shared", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let status = ended(&stage, &second.id).await;
    assert_eq!((status.counts, status.partitions.unwrap().total), (Some(expected()), 2));
    nodes.assert_all_hold("Notes", &alive).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
