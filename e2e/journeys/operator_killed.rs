//! The operator and the worker are killed in the middle of their work; what they were at is finished all the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use elysia_api::{ElysiaCollection, IndexSource, names};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use uuid::Uuid;

use crate::feed::notes;
use crate::support::{PATIENCE, Stage, collection, is};

/// Kills every pod of the operator at once, as a lost machine does.
pub(crate) async fn kill_operator(stage: &Stage) {
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), "elysia-system");
    api.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await.unwrap();
    stage.say("killed the operator");
}

#[tokio::test]
async fn a_repair_survives_its_operator() {
    let stage = Stage::set("operator-killed").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 1).await;
    let ids = nodes.fill("Articles", 200).await;
    stage.apply::<ElysiaCollection>(collection("articles", "Articles", &json!({}))).await;
    copying(&stage).await;
    kill_operator(&stage).await;
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Articles", 3).await;
    nodes.assert_all_hold("Articles", &ids).await;
    stage.strike().await;
}

/// Waits until the repair is under way or, as it may be over before it is seen, done: then the operator is killed too late.
async fn copying(stage: &Stage) {
    let api = stage.api::<ElysiaCollection>();
    let seen = stage
        .wait("articles to be copied", PATIENCE, async || {
            let conditions = api.get("articles").await.unwrap().status?.conditions;
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (ready.status == "True" || ready.reason == "Copying").then_some(ready.reason)
        })
        .await;
    stage.say(&format!("it says {seen}"));
}

/// Lines of the feed: several windows of the engine, and less than a ConfigMap may hold.
const LINES: usize = 4000;

#[tokio::test]
async fn an_index_run_survives_operator_and_worker() {
    let stage = Stage::set("worker-killed").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    let (text, expected) = feed();
    stage.config_map("lines", &BTreeMap::from([("changes.jsonl".to_owned(), text)])).await;
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": "lines"},
            "spec": {
                "clusterRef": {"name": "search"},
                "collection": "Notes",
                "source": {"configMap": {"name": "lines"}},
            },
        }))
        .await;
    let api = stage.api::<IndexSource>();
    let progressed = async |lines: i64| {
        let status = api.get("lines").await.unwrap().status?;
        (status.counts?.lines >= lines).then_some(())
    };
    stage.wait("the first windows", PATIENCE, async || progressed(1).await).await;
    kill_operator(&stage).await;
    stage.kill_pods(names::FEED_LABEL).await;
    let status = stage.feed_ended("lines").await.status.unwrap();
    assert!(is(&status.conditions, "Ready", "True"), "{:?}", status.conditions);
    let counts = status.counts.unwrap();
    let sum = counts.added + counts.modified + counts.deleted + counts.renamed + counts.unchanged + counts.rejected;
    assert_eq!((counts.lines, sum, counts.rejected), (i64::try_from(LINES).unwrap(), counts.lines, 0), "{counts:?}");
    nodes.assert_all_hold("Notes", &expected).await;
    stage.strike().await;
}

/// Adds, modifies, renames and deletes, and the ids that are there at the end.
fn feed() -> (String, Vec<Uuid>) {
    let mut text = String::new();
    let mut alive = std::collections::BTreeSet::new();
    for number in 0..LINES / 4 {
        let path = |suffix: &str| format!("{number}{suffix}.md");
        writeln!(text, r#"{{"repo":"r","op":"add","path":"{}","content":"{}"}}"#, path(""), "x".repeat(60)).unwrap();
        writeln!(text, r#"{{"repo":"r","op":"modify","path":"{}","content":"y"}}"#, path("")).unwrap();
        writeln!(text, r#"{{"repo":"r","op":"rename","path":"{}","new_path":"{}"}}"#, path(""), path("b")).unwrap();
        if number % 2 == 0 {
            writeln!(text, r#"{{"repo":"r","op":"delete","path":"{}"}}"#, path("b")).unwrap();
        } else {
            writeln!(text, r#"{{"repo":"r","op":"modify","path":"{}","content":"z"}}"#, path("b")).unwrap();
            alive.insert(path("b"));
        }
    }
    let mut ids: Vec<Uuid> =
        alive.iter().map(|path| Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}").as_bytes())).collect();
    ids.sort();
    (text, ids)
}
