//! A feed whose texts are cut: the chunks of a document are where any client computes them, and go where it goes.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::{ElysiaCollection, IndexSource};
use elysia_weaviate::{Consistency, ReadFrom};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Nodes, PATIENCE, Stage, collection, is};

/// Characters of a chunk.
const SIZE: usize = 100;

/// A document without a single blank: it is cut after each hundred characters.
fn text(letter: char, chunks: usize) -> String {
    letter.to_string().repeat(SIZE * chunks)
}

fn line(op: &str, path: &str, more: &Value) -> String {
    let mut line = json!({"repo": "r", "op": op, "path": path});
    for (name, value) in more.as_object().unwrap() {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

/// The objects of a document: itself, and each further chunk.
fn ids(path: &str, chunks: usize) -> Vec<Uuid> {
    let document = Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}").as_bytes());
    let others = (1..chunks).map(|number| Uuid::new_v5(&document, number.to_string().as_bytes()));
    std::iter::once(document).chain(others).collect()
}

fn sorted(documents: &[(&str, usize)]) -> Vec<Uuid> {
    documents.iter().flat_map(|(path, chunks)| ids(path, *chunks)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn feed() -> Value {
    json!({
        "metadata": {"name": "cut"},
        "spec": {
            "clusterRef": {"name": "search"},
            "collection": "Notes",
            "source": {"configMap": {"name": "cut"}},
            "chunking": {"size": SIZE},
            "deleteGuard": {"percent": 50},
        },
    })
}

async fn index(stage: &Stage, text: String, lines: i64) {
    stage.config_map("cut", &BTreeMap::from([("changes.jsonl".to_owned(), text)])).await;
    stage.apply::<IndexSource>(feed()).await;
    let api = stage.api::<IndexSource>();
    stage
        .wait(&format!("{lines} lines to be counted"), PATIENCE, async || {
            let status = api.get("cut").await.unwrap().status?;
            (is(&status.conditions, "CaughtUp", "True") && status.counts?.lines == lines).then_some(())
        })
        .await;
}

async fn read(nodes: &Nodes, id: Uuid) -> serde_json::Map<String, Value> {
    let from = ReadFrom::Replicas(Consistency::All);
    nodes.first().object("Notes", None, id, from, false).await.unwrap().unwrap().properties
}

#[tokio::test]
async fn chunks_go_where_their_document_goes() {
    let stage = Stage::set("feed-chunks").await;
    let nodes = stage.cluster("search").await;
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    let texts = ["repo", "path", "content", "author"].map(|name| property(name, "text"));
    let numbers = ["chunks", "chunk"].map(|name| property(name, "int"));
    let properties = texts.into_iter().chain(numbers).collect::<Vec<_>>();
    let schema = json!({"vectorizer": "none", "properties": properties});
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &schema)).await;
    stage.collection_says("notes", "Ready", "True", "").await;

    let content = |letter, chunks| json!({"content": text(letter, chunks)});
    let begin = ["a", "b", "c", "d"].map(|path| line("add", path, &content('x', 3))).concat();
    index(&stage, begin, 4).await;
    nodes.assert_all_hold("Notes", &sorted(&[("a", 3), ("b", 3), ("c", 3), ("d", 3)])).await;

    // A shorter text, a longer one, a new place, and one of four documents gone: a quarter of them, whatever their chunks.
    let change = [
        line("modify", "a", &content('y', 1)),
        line("modify", "b", &content('z', 5)),
        line("rename", "c", &json!({"new_path": "e", "metadata": {"author": "ann"}})),
        line("delete", "d", &json!({})),
        line("delete", "never-there", &json!({})),
    ];
    index(&stage, change.concat(), 5).await;
    nodes.assert_all_hold("Notes", &sorted(&[("a", 1), ("b", 5), ("e", 3)])).await;
    let last = read(&nodes, ids("b", 5)[4]).await;
    assert_eq!((last["content"].as_str(), last["chunk"].as_i64()), (Some(text('z', 1).as_str()), Some(4)));
    let moved = read(&nodes, ids("e", 3)[2]).await;
    assert_eq!((moved["path"].as_str(), moved["author"].as_str()), (Some("e"), Some("ann")));
    assert_eq!(read(&nodes, ids("b", 5)[0]).await["chunks"].as_i64(), Some(5));

    // Two of three documents are more than half of them, though only four of nine objects.
    let delete = [line("delete", "a", &json!({})), line("delete", "e", &json!({}))].concat();
    stage.config_map("cut", &BTreeMap::from([("changes.jsonl".to_owned(), delete)])).await;
    let api = stage.api::<IndexSource>();
    stage
        .wait("the feed to wait for a person", PATIENCE, async || {
            let plan = api.get("cut").await.unwrap().status?.plan?;
            plan.steps.first().filter(|step| step.contains("delete 2 documents of 3")).cloned()
        })
        .await;
    nodes.assert_all_hold("Notes", &sorted(&[("a", 1), ("b", 5), ("e", 3)])).await;

    // Chunks would be left behind.
    let uncut = Patch::Merge(json!({"spec": {"chunking": null}}));
    let refused = api.patch("cut", &PatchParams::default(), &uncut).await.unwrap_err();
    assert!(refused.to_string().contains("chunking cannot be taken away"), "{refused}");
    stage.strike().await;
}
