//! A collection that begins with a backup: restored instead of created empty, once, whoever is killed and whatever is lost.

use elysia_api::backup::BackupState;
use elysia_api::collection::{BootstrapPhase, ElysiaCollectionStatus};
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_weaviate::SchemaRead;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::backup::{BUCKET, policy};
use crate::operator_killed::kill_operator;
use crate::support::{PATIENCE, Stage, is, on_a_thread};

/// Objects of the collection.
const OBJECTS: u32 = 400;

fn articles() -> Value {
    json!({
        "metadata": {"name": "articles"},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "replication": {"factor": 3},
            "restoreFrom": {"backupRef": {"name": "nightly"}, "run": "latest"},
        },
    })
}

fn reason(status: &ElysiaCollectionStatus) -> String {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.reason.clone()).unwrap_or_default()
}

impl Stage {
    async fn begins(&self, what: &str, is_so: impl Fn(&ElysiaCollectionStatus) -> bool) -> ElysiaCollectionStatus {
        let api = self.api::<ElysiaCollection>();
        self.wait(what, PATIENCE, async || api.get("articles").await.unwrap().status.filter(|status| is_so(status)))
            .await
    }

    async fn lose_status(&self) {
        let patch = Patch::Merge(json!({"status": null}));
        self.api::<ElysiaCollection>().patch_status("articles", &PatchParams::default(), &patch).await.unwrap();
        self.say("the status of articles is lost");
    }
}

#[tokio::test]
async fn a_collection_begins_with_a_backup() {
    let stage = Stage::set("bootstrap").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 3).await;
    let ids = nodes.fill("Articles", OBJECTS).await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;
    stage.apply::<CollectionBackup>(policy("nightly", &server)).await;
    let run = stage.backed_up("nightly", None).await.run.unwrap();
    assert_eq!((run.state, run.objects), (BackupState::Succeeded, i64::from(OBJECTS)));

    // The collection is gone, and declared again: operator and worker are killed while it comes back, and the status is lost.
    nodes.first().delete_class("Articles").await.unwrap();
    stage.apply::<ElysiaCollection>(articles()).await;
    let began = stage.begins("articles to be restored", |status| reason(status) == "Restoring").await;
    assert!(is(&began.conditions, "Reconciling", "True"), "{:?}", began.conditions);
    stage
        .wait("the restore", PATIENCE, async || {
            stage.api::<CollectionRestore>().get_opt("articles-bootstrap").await.unwrap().map(drop)
        })
        .await;
    kill_operator(&stage).await;
    stage.kill_pods(names::RESTORE_LABEL).await;
    stage.lose_status().await;
    let is_done = |status: &ElysiaCollectionStatus| {
        status.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.phase == BootstrapPhase::Done)
            && is(&status.conditions, "Ready", "True")
    };
    let status = stage.begins("articles to be Ready", is_done).await;
    assert_eq!(status.bootstrap.unwrap().run, run.id);
    nodes.come_to_hold("Articles", &ids).await;

    // Somebody deletes the class: it is not brought back, also when status and restore are lost.
    nodes.first().delete_class("Articles").await.unwrap();
    stage.begins("articles to be missed", |status| reason(status) == "CollectionGone").await;
    stage.api::<CollectionRestore>().delete("articles-bootstrap", &kube::api::DeleteParams::default()).await.unwrap();
    stage.lose_status().await;
    kill_operator(&stage).await;
    stage.begins("articles to be missed again", |status| reason(status) == "CollectionGone").await;
    assert!(nodes.first().class("Articles", SchemaRead::Leader).await.unwrap().is_none());

    // Without restoreFrom it is declared as any other, and empty.
    let patch = Patch::Merge(json!({"spec": {"restoreFrom": null}}));
    stage.api::<ElysiaCollection>().patch("articles", &PatchParams::default(), &patch).await.unwrap();
    stage
        .begins("articles to be there, empty", |status| {
            is(&status.conditions, "Ready", "True") && status.bootstrap.is_none()
        })
        .await;

    // With it again the collection is there: it is kept as it is.
    nodes.fill("Articles", 3).await;
    stage.apply::<ElysiaCollection>(articles()).await;
    stage
        .begins("restoreFrom to have nothing to do", |status| {
            status.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.phase.is_over())
        })
        .await;
    assert_eq!(nodes.ids("Articles").await.values().map(Vec::len).max(), Some(3));
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
