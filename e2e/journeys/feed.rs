//! A feed with bad lines: they are told with their numbers, and everything else is indexed.

use std::collections::BTreeMap;

use elysia_api::{ElysiaCollection, IndexSource};
use elysia_weaviate::{Consistency, ReadFrom};
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use serde_json::json;
use uuid::Uuid;

use crate::support::{PATIENCE, Stage, collection, is};

const FEED: &str = r#"{"repo":"r","op":"add","path":"a.md","content":"alpha","metadata":{"author":"ann"}}
{"repo":"r","op":"add","path":"b.md","content_base64":"YmV0YQ=="}
this is not JSON
{"repo":"r","op":"add","path":"c.md"}
{"repo":"r","op":"fly","path":"d.md","content":"x"}
{"repo":"r","op":"modify","path":"a.md","content":"alpha 2"}
{"repo":"r","op":"rename","path":"b.md","new_path":"e.md"}
{"repo":"r","op":"rename","path":"nowhere.md","new_path":"f.md"}
{"repo":"r","op":"add","path":"g.md","content":"gamma"}
{"repo":"r","op":"delete","path":"g.md"}
{"repo":"r","op":"add","path":"h.md","content":"x","metadata":{"unknown":"key"}}
{"repo":"r","op":"delete","path":"never-there.md"}
"#;

/// What Weaviate's own clients compute: `uuid5(NAMESPACE_DNS, Collection + repo + ":" + path)`.
fn id(path: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}").as_bytes())
}

pub(crate) fn notes() -> serde_json::Value {
    let property = |name: &str| json!({"name": name, "dataType": ["text"]});
    collection(
        "notes",
        "Notes",
        &json!({
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": 3},
            "properties": [property("repo"), property("path"), property("content"), property("author")],
        }),
    )
}

#[tokio::test]
async fn bad_lines_are_told_and_the_rest_is_indexed() {
    let stage = Stage::set("feed").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    stage.config_map("lines", &BTreeMap::from([("changes.jsonl".to_owned(), FEED.to_owned())])).await;
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

    let feed = stage.feed_ended("lines").await;
    let status = feed.status.unwrap();
    assert!(is(&status.conditions, "Ready", "True"), "{:?}", status.conditions);
    let counts = status.counts.unwrap();
    assert_eq!(
        (
            counts.lines,
            counts.added,
            counts.modified,
            counts.deleted,
            counts.renamed,
            counts.unchanged,
            counts.rejected
        ),
        (12, 3, 1, 2, 1, 0, 5)
    );
    let lines: Vec<i64> = status.dead_letter.iter().map(|letter| letter.line).collect();
    assert_eq!(lines, [3, 4, 5, 8, 11], "{:?}", status.dead_letter);
    assert!(status.dead_letter.iter().all(|letter| !letter.reason.is_empty() && letter.file.contains("changes.jsonl")));

    let mut expected = vec![id("a.md"), id("e.md")];
    expected.sort();
    nodes.assert_all_hold("Notes", &expected).await;
    let read = async |path: &str| {
        let from = ReadFrom::Replicas(Consistency::All);
        nodes.first().object("Notes", None, id(path), from, false).await.unwrap().unwrap().properties
    };
    let modified = read("a.md").await;
    assert_eq!((modified["content"].as_str(), modified["author"].as_str()), (Some("alpha 2"), Some("ann")));
    let renamed = read("e.md").await;
    assert_eq!((renamed["content"].as_str(), renamed["path"].as_str()), (Some("beta"), Some("e.md")));

    // The same content starts no second run, whatever happens to the object.
    let jobs = async || stage.api::<Job>().list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(jobs().await, 1);
    stage.annotate::<IndexSource>("lines", "example.org/note", "touched").await;
    stage.feed_ended("lines").await;
    assert_eq!(jobs().await, 1);

    // Other content starts one by itself.
    let more = format!("{FEED}{}\n", r#"{"repo":"r","op":"add","path":"z.md","content":"omega"}"#);
    stage.config_map("lines", &BTreeMap::from([("changes.jsonl".to_owned(), more)])).await;
    stage
        .wait("the second run to end", PATIENCE, async || {
            let status = stage.api::<IndexSource>().get("lines").await.unwrap().status?;
            (is(&status.conditions, "CaughtUp", "True") && status.counts?.lines == 13).then_some(())
        })
        .await;
    expected.push(id("z.md"));
    expected.sort();
    nodes.assert_all_hold("Notes", &expected).await;
    stage.strike().await;
}
