//! A backup to a bucket and its restore: exactly one run, equal objects, an owner, kills in the middle, nothing twice.

use elysia_api::backup::{BackupState, CollectionBackupStatus};
use elysia_api::restore::{CollectionRestoreStatus, RestorePhase};
use elysia_api::{CollectionBackup, CollectionRestore, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use futures::TryStreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore as _};
use serde_json::{Value, json};

use crate::operator_killed::kill_operator;
use crate::support::{PATIENCE, Stage, is, on_a_thread};

pub(crate) const BUCKET: &str = "backups";

/// Objects of the collection.
const OBJECTS: u32 = 400;

pub(crate) fn client(server: &S3Server) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(server.endpoint());
    let builder = builder.with_access_key_id(ACCESS_KEY_ID).with_secret_access_key(SECRET_ACCESS_KEY);
    builder.with_client_options(ClientOptions::new().with_allow_http(true)).build().unwrap()
}

/// Keys of manifests below the prefix: the runs that exist.
pub(crate) async fn manifests(store: &AmazonS3) -> Vec<String> {
    let prefix = Path::from("search/runs");
    let found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
    let keys = found.into_iter().map(|found| found.location.to_string());
    keys.filter(|key| key.ends_with("/manifest.json")).collect()
}

pub(crate) fn policy(name: &str, server: &S3Server) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"},
            "collections": ["Articles"],
            "store": {"s3": {
                "bucket": BUCKET, "prefix": "search", "endpoint": server.endpoint(),
                "credentialsSecretRef": {"name": "bucket-key"},
            }},
        },
    })
}

fn restore(name: &str, into: &str, conflict: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": into, "conflict": conflict,
        },
    })
}

impl Stage {
    /// Waits until a policy is at rest: nothing is under way, and its status speaks of `run_now`.
    pub(crate) async fn backed_up(&self, name: &str, run_now: Option<&str>) -> CollectionBackupStatus {
        let api = self.api::<CollectionBackup>();
        self.wait(&format!("backup {name} to end"), PATIENCE, async || {
            let object = api.get(name).await.unwrap();
            let status = object.status.clone()?;
            let is_current = status.observed_generation == object.metadata.generation
                && run_now.is_none_or(|word| status.last_handled.as_deref() == Some(word));
            let has_ended =
                !is(&status.conditions, "Running", "True") && !is(&status.conditions, "Reconciling", "True");
            (is_current && has_ended && status.run.is_some()).then_some(status)
        })
        .await
    }

    pub(crate) async fn restored(&self, name: &str, phase: RestorePhase) -> CollectionRestoreStatus {
        let api = self.api::<CollectionRestore>();
        self.wait(&format!("restore {name} to be {phase:?}"), PATIENCE, async || {
            let status = api.get(name).await.unwrap().status?;
            (status.phase == Some(phase)).then_some(status)
        })
        .await
    }

    /// Waits until a restore is under way or, as it may be over before it is seen, done: then whoever is killed is killed
    /// too late, and it says so.
    pub(crate) async fn restore_begins(&self, name: &str) {
        let api = self.api::<CollectionRestore>();
        let begun = async || {
            let phase = api.get(name).await.unwrap().status?.phase?;
            matches!(phase, RestorePhase::Running | RestorePhase::Succeeded).then_some(phase)
        };
        let phase = self.wait(&format!("restore {name} to begin"), PATIENCE, begun).await;
        if phase == RestorePhase::Succeeded {
            self.say(&format!("restore {name} was over before it was seen"));
        }
    }

    /// Takes the status away and what the operator remembers, as after a restore of the manifests.
    pub(crate) async fn wipe(&self, name: &str, label: &str) {
        self.api::<Job>()
            .delete_collection(&DeleteParams::background(), &ListParams::default().labels(label))
            .await
            .unwrap();
        let patch = Patch::Merge(json!({"status": null}));
        if label == names::BACKUP_LABEL {
            self.api::<CollectionBackup>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        } else {
            self.api::<CollectionRestore>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        }
        self.say(&format!("wiped the status of {name}"));
    }
}

#[tokio::test]
async fn a_backup_and_its_restore() {
    let stage = Stage::set("backup").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 3).await;
    let ids = nodes.fill("Articles", OBJECTS).await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;

    // One run, also when operator and worker are killed as it begins.
    stage.apply::<CollectionBackup>(policy("nightly", &server)).await;
    let jobs = ListParams::default().labels(names::BACKUP_LABEL);
    stage
        .wait("the Job", PATIENCE, async || {
            let jobs = stage.api::<Job>().list(&jobs).await.unwrap().items;
            (!jobs.is_empty()).then_some(())
        })
        .await;
    kill_operator(&stage).await;
    stage.kill_pods(names::BACKUP_LABEL).await;
    let status = stage.backed_up("nightly", None).await;
    let run = status.run.clone().unwrap();
    assert_eq!((run.state, run.objects), (BackupState::Succeeded, i64::from(OBJECTS)), "{:?}", status.conditions);
    assert!(is(&status.conditions, "Ready", "True") && is(&status.conditions, "Verified", "True"));
    assert_eq!(manifests(&store).await.len(), 1, "a run exists when its manifest does, and there is one");

    // Nothing runs twice, whatever is lost.
    stage.wipe("nightly", names::BACKUP_LABEL).await;
    stage.backed_up("nightly", None).await;
    kill_operator(&stage).await;
    let again = stage.backed_up("nightly", None).await;
    assert_eq!(again.run.unwrap().id, run.id);
    assert_eq!(manifests(&store).await.len(), 1);

    // Another policy on the same prefix.
    stage.apply::<CollectionBackup>(policy("stranger", &server)).await;
    let status = stage.backed_up("stranger", None).await;
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled");
    assert_eq!(stalled.map(|stalled| stalled.reason.as_str()), Some("NotOwner"), "{:?}", status.conditions);
    assert_eq!(manifests(&store).await.len(), 1);

    // All objects are gone; they come back under another name, though worker and operator are killed.
    nodes.first().delete_class("Articles").await.unwrap();
    stage.apply::<CollectionRestore>(restore("back", "Restored", "Fail")).await;
    stage.restore_begins("back").await;
    kill_operator(&stage).await;
    stage.kill_pods(names::RESTORE_LABEL).await;
    let status = stage.restored("back", RestorePhase::Succeeded).await;
    assert_eq!(status.objects.unwrap().done, i64::from(OBJECTS));
    nodes.come_to_hold("Restored", &ids).await;

    // It never runs twice.
    nodes.first().delete_class("Restored").await.unwrap();
    stage.wipe("back", names::RESTORE_LABEL).await;
    stage.restored("back", RestorePhase::Succeeded).await;
    assert!(nodes.first().class("Restored", elysia_weaviate::SchemaRead::Leader).await.unwrap().is_none());

    // Over objects it asks first.
    nodes.create("Articles", 3, 3).await;
    nodes.fill("Articles", 3).await;
    stage.apply::<CollectionRestore>(restore("over", "Articles", "Overwrite")).await;
    let plan = stage.restored("over", RestorePhase::NeedsApproval).await.plan.unwrap();
    assert_eq!(nodes.ids("Articles").await.values().map(Vec::len).max(), Some(3), "nothing was written");
    let annotations = json!({names::APPROVE_ANNOTATION: plan.hash, names::APPROVED_BY_ANNOTATION: stage.user().await});
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    stage.api::<CollectionRestore>().patch("over", &PatchParams::default(), &patch).await.unwrap();
    stage.restored("over", RestorePhase::Succeeded).await;
    nodes.come_to_hold("Articles", &ids).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
