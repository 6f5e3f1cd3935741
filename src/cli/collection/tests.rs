//! The commands against a fake API server and a fake Weaviate, with a person who types what the test says.

use clap::Parser as _;
use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_testkit::kubernetes::KubernetesApi;
use elysia_testkit::weaviate::FakeWeaviate;
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::Freshness;
use super::*;
use crate::cli::Cli;
use crate::cli::audit;
use crate::cli::client::REQUEST_TIMEOUT;

struct Ground {
    api: KubernetesApi,
    weaviate: FakeWeaviate,
    files: tempfile::TempDir,
}

impl Ground {
    /// Two nodes, and `Articles` with three objects on both.
    async fn new() -> Self {
        let weaviate = FakeWeaviate::start(&["a", "b"]).await.unwrap();
        let shards = json!({"desiredCount": 1, "actualCount": 1});
        weaviate
            .seed_class(&json!({"class": "Articles", "shardingConfig": shards, "replicationConfig": {"factor": 2}}));
        for node in ["a", "b"] {
            weaviate.seed_objects("Articles", "shard0", node, (1..=3).map(Uuid::from_u128));
        }
        let api = KubernetesApi::new();
        let cluster = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "wiki", "namespace": "search"},
            "spec": {"external": {"url": weaviate.address("a"), "nodes": [
                {"name": "a", "url": weaviate.address("a")}, {"name": "b", "url": weaviate.address("b")},
            ]}},
        });
        api.seed::<WeaviateCluster>(&serde_json::from_value(cluster).unwrap());
        Self { api, weaviate, files: tempfile::tempdir().unwrap() }
    }

    fn declare(&self, name: &str, collection: &str, metadata: &Value) {
        let mut object = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
            "metadata": {"namespace": "search"},
            "spec": {"clusterRef": {"name": "wiki"}, "collection": collection, "replication": {"factor": 2}},
            "status": {
                "observedGeneration": 1,
                "objects": {"count": 3, "at": "2026-01-01T00:00:00Z", "source": "ids"},
                "replication": {"desired": 2, "lowest": 2, "shards": 1},
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "AsDeclared", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        object["metadata"]["name"] = json!(name);
        self.api.seed::<ElysiaCollection>(&serde_json::from_value(object).unwrap());
    }

    fn session(&self, answer: Option<&str>) -> Session {
        let reader = Reader::of(self.api.client(), "search".to_owned(), REQUEST_TIMEOUT);
        Session::answering(reader, "search", answer)
    }

    /// Runs a command; what it ended with, as a word and a message.
    async fn run(&self, line: &str, answer: Option<&str>) -> String {
        let line = line.replace("FILES", &self.files.path().display().to_string());
        let cli = Cli::try_parse_from(["kubectl-elysia", "col"].into_iter().chain(line.split(' '))).unwrap();
        let crate::cli::Command::Collection(args) = &cli.command else { panic!("another command") };
        match dispatch(args, &self.session(answer), &cli.target).await {
            Ok(exit) => format!("{}", exit.code()),
            Err(Stop::Said { exit, message, next }) => {
                let message = message.replace(&self.files.path().display().to_string(), "FILES");
                format!("{}: {message}\n{next}", exit.code())
            }
            Err(Stop::Output(error)) => panic!("{error}"),
        }
    }

    fn events(&self) -> Vec<String> {
        let events = self.api.objects::<Event>();
        events.into_iter().map(|event| format!("{} {}", event.reason.unwrap(), event.note.unwrap())).collect()
    }
}

#[tokio::test]
async fn live_and_declared_stand_side_by_side() {
    let ground = Ground::new().await;
    ground.weaviate.seed_class(&json!({"class": "ELYSIA_CONFIG__", "multiTenancyConfig": {"enabled": true}}));
    ground.declare("articles", "Articles", &json!({"labels": {"argocd.argoproj.io/instance": "shop"}}));
    ground.declare("drafts", "Drafts", &json!({}));
    let session = ground.session(None);
    let opened = session.open(None).await.unwrap();
    let seen = catalogue::read(&session.reader, &opened, Freshness::Latest).await.unwrap();
    let entries = catalogue::join(&seen, &opened.spec);
    let unpainted = |text: String| anstream::adapter::strip_str(&text).to_string();
    insta::assert_snapshot!("ls_table", unpainted(look::list(&entries, false)));
    insta::assert_snapshot!("ls_wide", unpainted(look::list(&entries, true)));
    insta::assert_snapshot!("ls_json", crate::cli::encode(&entries, crate::cli::Output::Json).unwrap());
    for line in ["ls", "ls -o wide", "ls --filter Art*", "ls -o yaml", "show Articles --schema --stats --shards"] {
        assert_eq!(ground.run(line, None).await, "0", "{line}");
    }
    for line in ["show Drafts", "stats Articles", "stats Articles -o json", "optimize Articles --analyze"] {
        assert_eq!(ground.run(line, None).await, "0", "{line}");
    }
    assert_eq!(ground.run("health Articles --detailed", None).await, "0");
    let missing = "1: cluster wiki has no collection Artikel, and none is declared\nkubectl elysia col ls -n search";
    assert_eq!(ground.run("show Artikel", None).await, missing);
}

#[tokio::test]
async fn a_node_that_goes_is_a_fault_of_its_collections() {
    let ground = Ground::new().await;
    ground.weaviate.fault("b", Some(elysia_testkit::weaviate::Fault::Missing));
    assert_eq!(ground.run("health Articles", None).await, "1");
}

#[tokio::test]
async fn only_the_typed_count_removes() {
    let ground = Ground::new().await;
    let refused = "1: that is not 3; nothing was changed\n";
    assert_eq!(ground.run("rm Articles", Some("4")).await, refused);
    assert_eq!(ground.run("rm Articles", Some("yes")).await, refused);
    let silent = "1: nobody answered: type it, pass it on stdin, or use --yes; nothing was changed\n";
    assert_eq!(ground.run("rm Articles", None).await, silent);
    assert_eq!(ground.run("rm Articles --dry-run", None).await, "0");
    assert!(ground.weaviate.class("Articles").is_some());
    assert!(ground.weaviate.transcript().iter().all(|line| line.contains("graphql")));

    assert_eq!(ground.run("rm Articles", Some("3\n")).await, "0");
    assert!(ground.weaviate.class("Articles").is_none());
    assert_eq!(ground.events(), ["Removed collection Articles with 3 objects removed: done"]);
    let lines = audit::read(&ground.session(None), Some("wiki")).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert!(audit::read(&ground.session(None), Some("other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_declared_a_moment_ago_is_not_removed_as_undeclared() {
    let ground = Ground::new().await;
    ground.api.stop_cache();
    ground.declare("articles", "Articles", &json!({}));
    let session = ground.session(None);
    let opened = session.open(None).await.unwrap();
    let cached = catalogue::declared(&session.reader, &opened, Freshness::Cached).await.unwrap();
    assert!(cached.is_empty(), "the cache is behind, or this proves nothing");
    for line in ["rm Articles --yes --timeout 1s", "rm --filter Art* --yes --timeout 1s"] {
        ground.run(line, None).await;
        let object: ElysiaCollection = ground.api.object("search", "articles").unwrap();
        assert_eq!(object.spec.deletion_policy, elysia_api::collection::DeletionPolicy::Delete, "{line}");
        assert!(ground.weaviate.class("Articles").is_some(), "{line}");
        ground.api.edit::<ElysiaCollection>("search", "articles", |object| {
            object["spec"]["deletionPolicy"] = json!("Retain");
        });
    }
    // The operator is asked to clear it; nothing is done straight at the servers.
    ground.run("clear Articles --yes --timeout 1s", None).await;
    let object: ElysiaCollection = ground.api.object("search", "articles").unwrap();
    assert!(object.metadata.annotations.unwrap_or_default().contains_key(elysia_api::names::CLEAR_ANNOTATION));
}

#[tokio::test]
async fn what_is_protected_stays() {
    let ground = Ground::new().await;
    ground.weaviate.seed_class(&json!({"class": "ELYSIA_CONFIG__"}));
    insta::assert_snapshot!(ground.run("rm ELYSIA_CONFIG__ --yes", None).await, @r"
    1: ELYSIA_CONFIG__ is protected by ELYSIA_*; nothing was changed
    add --override-protection if you are sure
    ");
    // The fake does not answer who may do what, and an unknown answer is no.
    insta::assert_snapshot!(ground.run("clear ELYSIA_CONFIG__ --yes --override-protection", None).await, @r"
    1: ELYSIA_CONFIG__ is protected by ELYSIA_*, and your account lacks the verb `override-protection`
    kubectl auth can-i override-protection elysiacollections.elysia.dev -n search
    ");
    assert!(ground.weaviate.class("ELYSIA_CONFIG__").is_some());
}

#[tokio::test]
async fn what_others_own_is_changed_at_its_source() {
    let ground = Ground::new().await;
    ground.declare("articles", "Articles", &json!({"labels": {"argocd.argoproj.io/instance": "shop"}}));
    insta::assert_snapshot!(ground.run("rm Articles --yes", None).await, @r"
    1: elysiacollection articles is owned by Argo CD (shop), which would put it back; nothing was changed
    make this change where it reads the manifest, or add --force
    ");
    assert_eq!(ground.api.transcript(), "");
}

#[tokio::test]
async fn a_declared_collection_is_removed_by_the_operator() {
    let ground = Ground::new().await;
    ground.declare("articles", "Articles", &json!({}));
    ground.api.tell_reads(false);
    // Nobody takes up the policy: the object stays, and so do the data.
    let text = ground.run("rm Articles --yes --timeout 1s", None).await;
    assert!(text.starts_with("2: waited 1s in vain for the operator to take up deletionPolicy: Delete"), "{text}");
    let object: ElysiaCollection = ground.api.object("search", "articles").unwrap();
    assert_eq!(object.spec.deletion_policy, elysia_api::collection::DeletionPolicy::Delete);

    ground.api.edit::<ElysiaCollection>("search", "articles", |value| {
        value["metadata"]["finalizers"] = json!(["elysia.dev/collection"]);
    });
    assert_eq!(ground.run("rm Articles", Some("3")).await, "0");
    // The object stays until the operator has deleted the class and lets go of it.
    let object: ElysiaCollection = ground.api.object("search", "articles").unwrap();
    assert!(object.metadata.deletion_timestamp.is_some());
    // The plug-in itself deletes nothing that is declared.
    assert!(ground.weaviate.class("Articles").is_some());
}

#[tokio::test]
async fn clearing_by_hand_keeps_the_settings() {
    let ground = Ground::new().await;
    let before = ground.weaviate.class("Articles").unwrap();
    assert_eq!(
        ground.run("clear Articles --backup FILES/a.json", Some("2")).await,
        "1: that is not 3; nothing was changed\n"
    );
    assert_eq!(ground.run("clear Articles --backup FILES/a.json", Some("3")).await, "0");
    let mut after = ground.weaviate.class("Articles").unwrap();
    after["shardingConfig"]["actualCount"] = json!(1);
    assert_eq!(before, after);
    assert_eq!(ground.run("clear Articles --yes --backup FILES/b.json", None).await, "0");
    assert_eq!(ground.events().len(), 2);
    // A file of an earlier time is never written over.
    let text = ground.run("clear Articles --yes --backup FILES/a.json", None).await;
    assert!(text.starts_with("1: FILES/a.json cannot be written: "), "{text}");
}

#[tokio::test]
async fn clearing_needs_every_node() {
    let ground = Ground::new().await;
    ground.weaviate.close("b").await;
    let text = ground.run("clear Articles --yes --backup FILES/a.json", None).await;
    assert!(text.starts_with("2: objects of Articles could not all be counted: b: "), "{text}");
    assert!(ground.weaviate.class("Articles").is_some());
}

#[test]
fn a_journal_says_what_became_of_a_request() {
    let outcome = |journal: Value| clear::outcome(&journal.to_string(), "x1");
    assert_eq!(outcome(json!({"cursor": "Freeze"})), None);
    assert_eq!(outcome(json!({"cursor": "Create", "cleared": ["x1"]})), None);
    assert_eq!(outcome(json!({"cursor": "Done", "cleared": ["x0", "x1"]})), Some(Ok(())));
    assert_eq!(outcome(json!({"cursor": "Done", "cleared": ["x0"]})), None);
    let stopped = json!({"cursor": "Stopped", "cleared": ["x1"], "stopped": "objects came"});
    assert_eq!(outcome(stopped), Some(Err("objects came".to_owned())));
    let refused = json!({"cursor": "Done", "clearRefused": {"request": "x1", "why": "too many"}});
    assert_eq!(outcome(refused), Some(Err("too many".to_owned())));
    assert_eq!(clear::outcome("", "x1"), None);
}

#[test]
fn a_manifest_says_what_was_asked_and_no_more() {
    let schema = |value: Value| value.as_object().cloned().unwrap();
    let made =
        create::manifest("My_Docs", "wiki", schema(create::template("standard").unwrap()), None, Some(5)).unwrap();
    insta::assert_snapshot!("create_standard", serde_yaml::to_string(&made).unwrap());
    let from_class = schema(json!({"class": "Docs", "replicationConfig": {"factor": 2}, "vectorizer": "none"}));
    let made = create::manifest("Docs", "wiki", from_class.clone(), None, None).unwrap();
    assert_eq!(made["spec"]["replication"]["factor"], 2);
    assert_eq!(made["spec"]["schema"], json!({"vectorizer": "none"}));
    assert_eq!(
        create::manifest("Docs", "wiki", from_class.clone(), Some(1), None).unwrap()["spec"]["replication"]["factor"],
        1
    );
    for wrong in ["docs", "Do cs", "1Docs", ""] {
        assert!(create::manifest(wrong, "wiki", schema(json!({})), None, None).is_err(), "{wrong}");
    }
    assert!(create::manifest("Other", "wiki", from_class, None, None).is_err());
    for name in ["standard", "vectors", "multi-tenant"] {
        assert!(create::template(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn create_applies_under_the_plug_ins_name() {
    let ground = Ground::new().await;
    assert_eq!(ground.run("create Docs --from-template vectors --replication 2", None).await, "0");
    let object: ElysiaCollection = ground.api.object("search", "docs").unwrap();
    assert_eq!((object.spec.collection.as_str(), object.spec.replication.factor), ("Docs", 2));
    let text = ground.run("create Docs --from-template nothing", None).await;
    assert!(text.starts_with("1: no template and no ConfigMap nothing in namespace search"), "{text}");
}
