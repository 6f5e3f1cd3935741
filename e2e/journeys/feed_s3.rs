//! A feed from a bucket: its key, a worker and a server that are killed, an object that is replaced.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use elysia_api::{ElysiaCollection, IndexSource, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::feed::notes;
use crate::support::{PATIENCE, Stage, is, on_a_thread};

pub(crate) const BUCKET: &str = "feeds";

/// Lines of the large object: it takes a worker some seconds with the small batches that the feed asks for.
const LINES: usize = 12_000;
/// Lines of the small one, which is read before it.
const FEW: i64 = 10;
/// Lines of both.
const TOTAL: i64 = 12_010;
/// Runs that are begun until one is met in its midst: one that is looked at too late is over already.
const ATTEMPTS: usize = 5;

pub(crate) fn client(server: &S3Server) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(server.endpoint());
    let builder = builder.with_access_key_id(ACCESS_KEY_ID).with_secret_access_key(SECRET_ACCESS_KEY);
    builder.with_client_options(ClientOptions::new().with_allow_http(true)).build().unwrap()
}

pub(crate) async fn put(store: &AmazonS3, key: &str, text: &str) {
    store.put(&Path::from(key), text.as_bytes().to_vec().into()).await.unwrap();
}

pub(crate) fn adds(prefix: &str, count: usize, content: &str) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, r#"{{"repo":"r","op":"add","path":"{prefix}{number}","content":"{content}"}}"#).unwrap();
    }
    text
}

/// What Weaviate's own clients compute.
pub(crate) fn ids(paths: impl IntoIterator<Item = String>) -> Vec<Uuid> {
    let id = |path: String| Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}").as_bytes());
    paths.into_iter().map(id).collect::<BTreeSet<_>>().into_iter().collect()
}

async fn secret(stage: &Stage, secret_access_key: &str) {
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: secret_access_key});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;
}

/// The present run and the lines that are counted in it, by the worker's own ledger: the status tells them later, and while no
/// operator runs much later.
async fn counted(stage: &Stage) -> Option<(String, i64)> {
    let ledger = stage.api::<ConfigMap>().get_opt(&names::ledger("bucket")).await.unwrap()?;
    let ledger: Value = serde_json::from_str(ledger.data?.get("ledger.json")?).ok()?;
    Some((ledger["run"].as_str()?.to_owned(), ledger["counts"]["lines"].as_i64()?))
}

/// Waits until a run is in the large object; whether much of that is left. It may be over before it is seen.
async fn is_in_its_midst(stage: &Stage, former: Option<&str>) -> bool {
    let begun = async || {
        let (run, lines) = counted(stage).await?;
        (Some(run.as_str()) != former && lines > FEW).then_some(lines)
    };
    let lines = stage.wait("the first windows", PATIENCE, begun).await;
    stage.say(&format!("{lines} lines are counted"));
    lines < TOTAL / 2
}

/// Kills server and worker in the midst of a run; gives the server back, which is gone.
async fn killed_in_its_midst(stage: &Stage, mut server: S3Server) -> S3Server {
    let mut former = None;
    for attempt in 1..=ATTEMPTS {
        let is_seen = is_in_its_midst(stage, former.as_deref()).await;
        server = on_a_thread(move || {
            server.kill().unwrap();
            server
        })
        .await;
        stage.say("killed the S3 server");
        stage.kill_pods(names::FEED_LABEL).await;
        let (run, lines) = counted(stage).await.unwrap();
        if is_seen && lines < TOTAL {
            return server;
        }
        server = restarted(server).await;
        stage.feed_ended("bucket").await;
        former = Some(run);
        run_now(stage, &format!("attempt {attempt}")).await;
    }
    panic!("every run was over before anything was killed");
}

async fn restarted(mut server: S3Server) -> S3Server {
    on_a_thread(move || {
        server.restart().unwrap();
        server
    })
    .await
}

/// Replaces what is done already in the midst of a run.
async fn replaced_in_its_midst(stage: &Stage, store: &AmazonS3) {
    for attempt in 1..=ATTEMPTS {
        let former = counted(stage).await.map(|(run, _)| run);
        run_now(stage, &format!("again {attempt}")).await;
        if is_in_its_midst(stage, former.as_deref()).await {
            put(store, "wiki/a.jsonl", &adds("c", 10, &format!("content {attempt}"))).await;
            let status = stage.feed_ended("bucket").await.status.unwrap();
            if is(&status.conditions, "Stalled", "True") {
                return;
            }
        }
        stage.feed_ended("bucket").await;
    }
    panic!("every run was over before anything was replaced");
}

async fn says(stage: &Stage, condition: &str, words: &str) {
    let api = stage.api::<IndexSource>();
    stage
        .wait(&format!("{condition} to say: {words}"), PATIENCE, async || {
            let status = api.get("bucket").await.unwrap().status?;
            let found = |seen: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                seen.type_ == condition && seen.message.contains(words)
            };
            status.conditions.iter().any(found).then_some(())
        })
        .await;
}

async fn run_now(stage: &Stage, value: &str) {
    stage.annotate::<IndexSource>("bucket", names::RUN_NOW_ANNOTATION, value).await;
    let api = stage.api::<IndexSource>();
    stage
        .wait("the run to begin", PATIENCE, async || {
            (api.get("bucket").await.unwrap().status?.last_handled.as_deref() == Some(value)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_feed_from_a_bucket() {
    let stage = Stage::set("feed-s3").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    put(&store, "wiki/a.jsonl", &adds("a", 10, "first")).await;
    put(&store, "wiki/b.jsonl", &adds("b", LINES, "first")).await;
    put(&store, "wiki/read me.txt", "no feed").await;
    put(&store, "wikipedia.jsonl", "not below the prefix").await;
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": "bucket"},
            "spec": {
                "clusterRef": {"name": "search"},
                "collection": "Notes",
                "source": {"s3": {
                    "bucket": BUCKET, "prefix": "wiki", "endpoint": server.endpoint(),
                    "credentialsSecretRef": {"name": "bucket-key"},
                }},
                "parallelism": 1,
                "batch": {"objects": 50},
            },
        }))
        .await;
    says(&stage, "Stalled", "Secret bucket-key does not exist").await;
    secret(&stage, "not-the-key").await;
    says(&stage, "Running", "correct secretAccessKey in the Secret").await;
    secret(&stage, SECRET_ACCESS_KEY).await;

    let server = killed_in_its_midst(&stage, server).await;
    says(&stage, "Running", &format!("at {}", server.endpoint())).await;
    let server = restarted(server).await;
    let status = stage.feed_ended("bucket").await.status.unwrap();
    assert!(is(&status.conditions, "Ready", "True"), "{:?}", status.conditions);
    let counts = status.counts.unwrap();
    let sum = counts.added + counts.modified + counts.deleted + counts.renamed + counts.unchanged + counts.rejected;
    assert_eq!((counts.lines, sum, counts.rejected), (TOTAL, TOTAL, 0), "{counts:?}");
    let all =
        |count: usize| (0..10).map(|number| format!("a{number}")).chain((0..count).map(|number| format!("b{number}")));
    nodes.assert_all_hold("Notes", &ids(all(LINES))).await;

    // What is done is replaced in the middle of a run: nothing of it is taken for read.
    replaced_in_its_midst(&stage, &store).await;
    says(&stage, "Stalled", "wiki/a.jsonl was replaced while it was read").await;
    run_now(&stage, "once more").await;
    let status = stage.feed_ended("bucket").await.status.unwrap();
    assert!(is(&status.conditions, "Ready", "True"), "{:?}", status.conditions);
    let all = all(LINES).chain((0..10).map(|number| format!("c{number}")));
    nodes.assert_all_hold("Notes", &ids(all)).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
