//! The lines of the audit, as they stand in the log.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use elysia_api::names::{APPROVE_ANNOTATION, APPROVED_BY_ANNOTATION};
use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::super::fixture::{NAMESPACE, World, advance, manifest};
use super::*;

/// The documentation of the audit.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md");

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What this thread logs. Each test has its own.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BYTES.with_borrow_mut(|all| all.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of this thread.
struct Log;

impl Log {
    /// Written as the operator writes it where no terminal is. For the whole process: a subscriber of one thread alone
    /// misses what another thread was first to log.
    fn start() -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            tracing_subscriber::fmt()
                .with_env_filter("elysia_audit=info")
                .with_writer(|| Writer)
                .json()
                .flatten_event(true)
                .init();
        });
        BYTES.take();
        Self
    }

    /// The lines of the audit since the last time.
    #[allow(clippy::unused_self, reason = "a log has to be started to be read")]
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(BYTES.take()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "elysia_audit").collect()
    }

    /// What was done and what came of it.
    fn story(&self) -> String {
        let lines = self.lines();
        let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let lines =
            lines.iter().map(|line| format!("{} {} {}", word(line, "verb"), word(line, "outcome"), word(line, "what")));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

fn declared(schema: &Value, factor: i32) -> ElysiaCollection {
    manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": NAMESPACE, "managedFields": [
            {"manager": "argocd-controller", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
             "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:collection": {}, "f:deletionPolicy": {}}}},
            {"manager": "elysia-plugin", "operation": "Apply", "time": "2026-01-02T00:00:00Z",
             "fieldsType": "FieldsV1",
             "fieldsV1": {"f:metadata": {"f:annotations": {"f:elysia.dev/approve": {}}}}},
        ]},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "schema": schema,
            "replication": {"factor": factor},
        },
    }))
}

async fn world(schema: Value, factor: i32) -> World {
    let world = World::with_cluster().await;
    world.api.seed(&declared(&schema, factor));
    world
}

#[tokio::test]
async fn a_line_says_who_what_and_what_came_of_it() {
    let mut world = world(json!({}), 3).await;
    let log = Log::start();
    world.collection("articles").await.unwrap();
    let mut lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0]["timestamp"] = "(time)".into();
    assert_snapshot!(serde_json::to_string_pretty(&lines[0]).unwrap(), @r#"
    {
      "cluster": "search",
      "collection": "Articles",
      "count": 1,
      "kind": "ElysiaCollection",
      "level": "INFO",
      "message": "changed",
      "name": "articles",
      "namespace": "ai",
      "operator": "elysia-operator",
      "outcome": "done",
      "spec_manager": "argocd-controller",
      "target": "elysia_audit",
      "timestamp": "(time)",
      "uid": "00000003-0000-4000-8000-000000000000",
      "verb": "create_class",
      "what": ""
    }
    "#);
    for _ in 0..3 {
        advance(60);
        world.collection("articles").await.unwrap();
    }
    assert!(log.lines().is_empty(), "at rest nothing is changed");
}

#[tokio::test]
async fn every_field_and_verb_is_documented_and_nothing_else() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let rows = |head: &str| -> Vec<String> {
        let part = text.split(head).nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
    };
    let mut verbs = rows("## Verbs");
    let mut known = VERBS.map(str::to_owned).to_vec();
    verbs.sort();
    known.sort();
    assert_eq!(verbs, known);

    // A step of an approved plan that fails has all of them.
    let mut world = approved().await;
    let log = Log::start();
    // The first write is the journal.
    world.fuse.set(1, Fate::Fails(422));
    for _ in 0..8 {
        let _ = world.collection("articles").await;
        advance(1);
    }
    let lines = log.lines();
    let failed = lines.iter().find(|line| line["outcome"] != "done").expect("nothing failed");
    let mut fields: Vec<String> = failed.as_object().unwrap().keys().cloned().collect();
    fields.retain(|field| !["timestamp", "level", "target", "message"].contains(&field.as_str()));
    let mut documented = rows("## Fields");
    fields.sort();
    documented.sort();
    assert_eq!(documented, fields, "{failed:#}");
}

/// An empty class whose immutable setting differs, with the plan approved.
async fn approved() -> World {
    let mut world = world(json!({"vectorizer": "text2vec-openai"}), 3).await;
    world.weaviate.auto_schema(false);
    world.weaviate.seed_class(&json!({
        "class": "Articles", "vectorizer": "none", "replicationConfig": {"factor": 3},
    }));
    for _ in 0..5 {
        world.collection("articles").await.unwrap();
    }
    let object: ElysiaCollection = world.get("articles");
    let hash = object.status.unwrap().plan.expect("no plan").hash;
    world.annotate::<ElysiaCollection>("articles", APPROVED_BY_ANNOTATION, "alice");
    world.annotate::<ElysiaCollection>("articles", APPROVE_ANNOTATION, &hash);
    world
}

#[tokio::test]
async fn an_approved_recreation_is_told_step_by_step_on_the_word_of_its_approver() {
    let mut world = approved().await;
    let log = Log::start();
    let mut lines = Vec::new();
    for _ in 0..40 {
        world.collection("articles").await.unwrap();
        advance(20);
        lines.extend(log.lines());
    }
    let story: Vec<String> = lines
        .iter()
        .map(|line| {
            format!("{} {} {}", line["verb"], line["outcome"], line["what"]).replace('"', "").trim_end().to_owned()
        })
        .collect();
    assert_snapshot!(story.join("\n"), @r"
    write_journal done AutoSchemaOff
    write_journal done Freeze
    set_read_only done shard0 shard1 shard2
    write_journal done Settle
    write_journal done Delete
    delete_class done
    write_journal done WaitGone
    write_journal done Create
    create_class done
    write_journal done Verify
    write_journal done Done
    ");
    let hash = &lines[0]["plan"];
    for line in &lines {
        assert_eq!((&line["plan"], line["action"].as_str()), (hash, Some("Recreate")), "{line}");
        assert_eq!(
            (line["approved_by"].as_str(), line["asked_manager"].as_str()),
            (Some("alice"), Some("elysia-plugin"))
        );
    }
}

#[tokio::test]
async fn what_becomes_of_a_write_is_told_as_far_as_it_is_known() {
    for (fate, outcome) in
        [(Fate::Fails(422), "refused"), (Fate::Fails(500), "unknown"), (Fate::FailsAfter(500), "unknown")]
    {
        let mut world = world(json!({}), 3).await;
        let log = Log::start();
        world.fuse.set(1, fate);
        let _ = world.collection("articles").await;
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{fate:?} {lines:#?}");
        assert_eq!((&lines[0]["verb"], &lines[0]["outcome"]), (&json!("create_class"), &json!(outcome)), "{fate:?}");
        assert!(lines[0]["error"].as_str().is_some_and(|error| !error.is_empty()), "{fate:?}");
    }
}

#[tokio::test]
async fn a_collection_that_goes_with_its_object_is_told_on_the_word_of_the_policy() {
    let mut world = world(json!({}), 3).await;
    world
        .api
        .edit::<ElysiaCollection>(NAMESPACE, "articles", |object| object["spec"]["deletionPolicy"] = "Delete".into());
    for _ in 0..3 {
        world.collection("articles").await.unwrap();
    }
    world.api.delete::<ElysiaCollection>(NAMESPACE, "articles");
    let log = Log::start();
    world.collection("articles").await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let words = ["verb", "outcome", "asked_manager"].map(|key| lines[0][key].as_str().unwrap_or_default());
    assert_eq!(words, ["delete_class", "done", "argocd-controller"]);
    assert!(lines[0].get("approved_by").is_none());
}

#[tokio::test]
async fn the_probe_of_a_cluster_is_told_too() {
    let mut world = World::with_cluster().await;
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
        object["metadata"]["creationTimestamp"] = "2027-01-15T07:00:00Z".into();
        object["spec"]["verify"] = json!({"data": {"schedule": {"cron": "0 * * * *"}}});
    });
    let log = Log::start();
    for _ in 0..2 {
        advance(3600);
        world.cluster("search").await.unwrap();
    }
    assert_snapshot!(log.story(), @r"
    create_class done
    put_object done
    ");
}
