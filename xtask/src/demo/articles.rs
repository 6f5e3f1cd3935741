//! A collection that an application made before the operator knew of it, with real texts in it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::replay::{Replay, document_id};
use super::rest::{Objects, Rest};
use super::stage::Stage;
use super::steps::tell;

pub(super) const CLASS: &str = "Articles";

/// Makes the class with one replica of each shard, unless it is there, and writes the texts of a real repository;
/// returns all that it holds then.
pub(super) fn write(stage: &Stage, histories: &[PathBuf]) -> Result<Objects> {
    let rest = Rest::connect(stage, "service/search")?;
    if let Some(class) = rest.get(&format!("/v1/schema/{CLASS}"))? {
        tell(format!("{CLASS} is there already, with factor {}", class["replicationConfig"]["factor"]));
    } else {
        rest.post("/v1/schema", &class())?;
        tell(format!("POST /v1/schema: {CLASS}, three shards, factor 1"));
    }
    let written = texts(histories)?;
    rest.write(CLASS, &written)?;
    let objects = rest.list(CLASS)?;
    let lost = written.iter().filter(|(id, properties)| objects.get(id) != Some(properties)).count();
    ensure!(lost == 0, "Weaviate did not store {lost} of {} objects of {CLASS} as they were written", written.len());
    tell(format!("POST /v1/batch/objects: {} text files of a real repository", written.len()));
    tell(format!("GET /v1/objects: {CLASS} holds {} objects", objects.len()));
    Ok(objects)
}

/// The text files of the first repository, as its last commit left them.
fn texts(histories: &[PathBuf]) -> Result<Objects> {
    let mut replay = Replay::default();
    for history in histories.iter().take(1) {
        replay.file(history)?;
    }
    let article = |((repo, path), properties): (&(String, String), &Map<String, Value>)| {
        let article = Map::from_iter([("title".into(), json!(path)), ("body".into(), properties["content"].clone())]);
        (document_id(CLASS, repo, path), article)
    };
    Ok(replay.documents.iter().map(article).collect())
}

/// What `examples/collection.yaml` declares, but for the factor.
fn class() -> Value {
    json!({
        "class": CLASS,
        "vectorizer": "none",
        "properties": [{"name": "title", "dataType": ["text"]}, {"name": "body", "dataType": ["text"]}],
        "shardingConfig": {"desiredCount": 3},
        "replicationConfig": {"factor": 1},
    })
}
