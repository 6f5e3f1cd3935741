//! Transcripts of collections that begin with a backup.

use elysia_api::{CollectionBackup, CollectionRestore};
use elysia_testkit::kubernetes::Fate;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use super::*;
use crate::worker::jobs::work::BackupJob;

const RESTORE: &str = "articles-bootstrap";

/// `articles` begins with the newest run of the policy `nightly`.
fn beginning() -> ElysiaCollection {
    let mut object = declared("articles", &json!({}), 3);
    object.spec.restore_from =
        serde_json::from_value(json!({"backupRef": {"name": "nightly"}, "run": "latest"})).unwrap();
    object
}

async fn world() -> World {
    let world = World::with_cluster().await;
    world.api.seed::<CollectionBackup>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": NAMESPACE},
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "backups"}}},
    })));
    world.api.seed(&beginning());
    world
}

impl World {
    /// The restore's controller and its worker have come so far.
    fn restore_says(&self, phase: &str, began: bool, message: &str) {
        let stalled = phase == "Failed";
        let condition = |kind: &str, status: bool| {
            json!({
                "type": kind, "status": if status { "True" } else { "False" }, "reason": "R", "message": message,
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            })
        };
        let mut conditions = vec![condition("Ready", phase == "Succeeded")];
        conditions.extend(stalled.then(|| condition("Stalled", true)));
        let started = began.then_some("2027-01-15T08:00:00Z");
        self.api.edit::<CollectionRestore>(NAMESPACE, RESTORE, |object| {
            object["status"] = json!({"phase": phase, "startedAt": started, "run": "r1", "conditions": conditions});
        });
    }

    /// The worker writes its ledger.
    fn ledger_says(&self, stage: &str, has_begun: bool) {
        let restore = elysia_core::restore::RestoreSpec::validate(&self.get::<CollectionRestore>(RESTORE)).unwrap();
        let ledger = json!({
            "receipt": restore.receipt(), "order": "o", "run": "r1", "stage": stage, "hasBegun": has_begun,
            "startedAt": "2027-01-15T08:00:00Z", "updatedAt": "2027-01-15T08:00:00Z",
        });
        let name = format!("{RESTORE}-restored");
        if self.api.object::<ConfigMap>(NAMESPACE, &name).is_none() {
            self.api.seed::<ConfigMap>(&manifest(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
            })));
        }
        self.api.edit::<ConfigMap>(NAMESPACE, &name, |config| {
            config["data"] = json!({crate::worker::LEDGER_KEY: ledger.to_string()});
        });
    }

    /// Somebody deletes the class.
    async fn remove_class(&self) {
        let address = self.weaviate.address("w-0").parse().unwrap();
        Client::new(options(address)).unwrap().delete_class("Articles").await.unwrap();
        self.transcript();
    }

    fn restored_class(&self) {
        self.weaviate.seed_class(&json!({
            "class": "Articles",
            "replicationConfig": {"factor": 3, "deletionStrategy": "TimeBasedResolution", "asyncEnabled": true},
        }));
    }

    fn lose_status(&mut self) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            drop(object.as_object_mut().unwrap().remove("status"));
        });
        self.restart();
    }

    fn bootstrapped(&self) -> String {
        let bootstrap = self.articles().status.unwrap().bootstrap;
        bootstrap.map_or_else(|| "-".to_owned(), |bootstrap| format!("{:?}", bootstrap.phase))
    }

    fn left_out(&self) -> Vec<String> {
        let jobs = self.api.objects::<Job>();
        let job = serde_json::to_value(jobs.last().expect("a Job of the policy")).unwrap();
        let text = job.pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
        let job: BackupJob = serde_json::from_str(text).unwrap();
        job.left_out.into_iter().map(|(name, why)| format!("{name}: {why}")).collect()
    }
}

#[tokio::test]
async fn it_is_restored_then_kept_as_any_other_and_never_restored_again() {
    let mut world = world().await;
    assert_snapshot!(world.round().await, @r"
    POST collectionrestores/articles-bootstrap
    PATCH elysiacollections/articles/status Ready=False Restoring
    POST events Normal BootstrapBegun
    ");
    let made: CollectionRestore = world.get(RESTORE);
    assert_eq!(made.metadata.owner_references.unwrap()[0].name, "articles");
    assert_eq!((made.spec.into.as_deref(), made.spec.replication_factor), (Some("Articles"), Some(3)));
    for (phase, began) in [("Pending", false), ("Running", false), ("Running", true)] {
        world.restore_says(phase, began, "Job j is at it");
        world.round().await;
        assert_eq!((world.bootstrapped().as_str(), world.weaviate.class("Articles")), ("Restoring", None));
        world.restart();
    }
    // Half of it is there: nobody compares it, copies it or changes a setting.
    world.weaviate.seed_class(&json!({"class": "Articles", "description": "half"}));
    world.round().await;
    assert_snapshot!(world.conditions(), @r"
    Ready=False Restoring: CollectionRestore articles-bootstrap: Job j is at it
    Available=False Restoring: CollectionRestore articles-bootstrap: Job j is at it
    SchemaInSync=False Restoring: CollectionRestore articles-bootstrap: Job j is at it
    ReplicasInSync=False Restoring: CollectionRestore articles-bootstrap: Job j is at it
    Reconciling=True Restoring: CollectionRestore articles-bootstrap: Job j is at it
    ");
    world.remove_class().await;
    world.restored_class();
    world.restore_says("Succeeded", true, "it is there");
    world.round().await;
    world.round().await;
    assert!(world.is_ready(), "{}", world.conditions());
    assert_eq!(world.bootstrapped(), "Done");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.round().await, "");
    }
    // Somebody deletes the class: it is neither brought back nor made empty, whatever else is lost.
    world.remove_class().await;
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False CollectionGone
    POST events Warning CollectionGone
    ");
    world.lose_status();
    world.round().await;
    assert!(world.conditions().starts_with("Ready=False CollectionGone"), "{}", world.conditions());
    world.ledger_says("Done", true);
    world.api.remove::<CollectionRestore>(NAMESPACE, RESTORE);
    world.lose_status();
    world.round().await;
    assert_eq!((world.bootstrapped().as_str(), world.weaviate.class("Articles")), ("Done", None));
    assert!(world.api.object::<CollectionRestore>(NAMESPACE, RESTORE).is_none());
    // Without `restoreFrom` it is declared as any other.
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        drop(object["spec"].as_object_mut().unwrap().remove("restoreFrom"));
    });
    world.round().await;
    assert!(world.weaviate.class("Articles").is_some());
    assert_eq!(world.bootstrapped(), "-");
}

#[tokio::test]
async fn a_collection_that_is_there_is_kept_and_nothing_is_restored() {
    let mut world = world().await;
    world.restored_class();
    let told = world.round().await;
    assert!(told.contains("POST events Normal BootstrapSkipped"), "{told}");
    world.round().await;
    assert!(world.is_ready(), "{}", world.conditions());
    advance(3600);
    assert_eq!((world.round().await.as_str(), world.bootstrapped().as_str()), ("", "Skipped"));
    assert!(world.api.objects::<CollectionRestore>().is_empty());
}

#[tokio::test]
async fn a_failed_restore_asks_a_person_and_a_deleted_one_goes_on() {
    let mut world = world().await;
    world.round().await;
    world.restore_says("Failed", false, "the backup is damaged");
    assert_snapshot!(world.round().await, @r"
    PATCH elysiacollections/articles/status Ready=False RestoreStalled
    POST events Warning RestoreStalled
    ");
    let conditions = world.conditions();
    assert!(conditions.contains("Stalled=True RestoreStalled: CollectionRestore articles-bootstrap: the backup is damaged. To give the backup up"), "{conditions}");
    assert_eq!(world.weaviate.class("Articles"), None);
    // Deleted when it had written half: it is made again, and goes on by its receipt.
    world.weaviate.seed_class(&json!({"class": "Articles"}));
    world.restore_says("Running", true, "half");
    world.ledger_says("Writing", true);
    world.api.remove::<CollectionRestore>(NAMESPACE, RESTORE);
    world.lose_status();
    let told = world.round().await;
    assert!(told.starts_with("POST collectionrestores/articles-bootstrap"), "{told}");
    assert_eq!(world.bootstrapped(), "Restoring");
}

#[tokio::test]
async fn a_restore_of_that_name_that_is_not_ours_is_left_alone() {
    let mut world = world().await;
    world.api.seed::<CollectionRestore>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": RESTORE, "namespace": NAMESPACE},
        "spec": {"clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"}, "collection": "Other"},
    })));
    world.round().await;
    let conditions = world.conditions();
    assert!(conditions.contains("CollectionRestore articles-bootstrap exists and is not ours"), "{conditions}");
    assert!(conditions.contains("Stalled=True"), "{conditions}");
    assert_eq!(world.weaviate.class("Articles"), None);
}

#[tokio::test]
async fn a_backup_leaves_it_out_until_it_is_done() {
    let mut world = world().await;
    // Before anything was looked at.
    world.backup("nightly").await.unwrap();
    assert_eq!(world.left_out(), ["Articles: CollectionRestore articles-bootstrap into it is not finished"]);
    for job in world.api.objects::<Job>() {
        world.api.remove::<Job>(NAMESPACE, &job.metadata.name.unwrap());
    }
    world.round().await;
    world.restore_says("Failed", false, "the store is gone");
    world.round().await;
    world.backup("nightly").await.unwrap();
    assert_eq!(world.left_out().len(), 1, "nothing was written, and it is not what it is to be");
    for job in world.api.objects::<Job>() {
        world.api.remove::<Job>(NAMESPACE, &job.metadata.name.unwrap());
    }
    world.restored_class();
    world.restore_says("Succeeded", true, "done");
    world.round().await;
    world.backup("nightly").await.unwrap();
    assert_eq!(world.left_out(), Vec::<String>::new());
}

/// Killed at any write, before or after it: one restore is made, and the collection is never created.
#[tokio::test]
async fn killed_at_any_write_it_makes_one_restore_and_no_class() {
    for fate in [Fate::Hangs, Fate::HangsAfter] {
        let mut at = 1;
        loop {
            let mut world = world().await;
            world.fuse.set(at, fate);
            world
                .or_crash(async |world| {
                    for _ in 0..3 {
                        let _ = world.collection("articles").await;
                    }
                    if world.api.object::<CollectionRestore>(NAMESPACE, RESTORE).is_some() {
                        world.restore_says("Running", true, "half");
                        world.weaviate.seed_class(&json!({"class": "Articles"}));
                    }
                    let _ = world.collection("articles").await;
                })
                .await;
            let writes = world.fuse.writes();
            for _ in 0..3 {
                world.collection("articles").await.unwrap();
            }
            assert_eq!(world.api.objects::<CollectionRestore>().len(), 1, "killed at write {at}");
            let story = world.transcript();
            assert!(!story.contains("POST /v1/schema at"), "killed at write {at}: {story}");
            if writes < at {
                break;
            }
            at += 1;
        }
        assert!(at > 2, "nothing was killed");
    }
}

#[tokio::test]
async fn deleted_with_its_data_the_restore_is_ended_before_the_class() {
    let mut world = world().await;
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["deletionPolicy"] = "Delete".into();
    });
    world.round().await;
    world.restore_says("Running", true, "half");
    world.weaviate.seed_class(&json!({"class": "Articles"}));
    world.round().await;
    world.api.seed::<Pod>(&manifest(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "worker", "namespace": NAMESPACE, "labels": {elysia_api::names::RESTORE_LABEL: RESTORE}},
        "spec": {"containers": []}, "status": {"phase": "Running"},
    })));
    world.api.delete::<ElysiaCollection>(NAMESPACE, "articles");
    let told = world.round().await;
    assert!(told.starts_with("DELETE collectionrestores/articles-bootstrap"), "{told}");
    assert!(world.weaviate.class("Articles").is_some(), "its worker may still write");
    world.round().await;
    assert!(world.weaviate.class("Articles").is_some(), "its pod is there");
    world.api.edit::<Pod>(NAMESPACE, "worker", |pod| pod["status"]["phase"] = "Failed".into());
    world.round().await;
    assert!(world.weaviate.class("Articles").is_none());
    assert!(world.api.object::<ElysiaCollection>(NAMESPACE, "articles").is_none());
}
