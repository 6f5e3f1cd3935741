//! Transcripts of rounds over restores.

use elysia_api::{CollectionBackup, CollectionRestore, WeaviateCluster};
use elysia_core::restore::ledger::{Guarded, RestoreLedger, Stage};
use elysia_weaviate::Client;
use insta::assert_snapshot;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde_json::json;

use super::super::fixture::{NAMESPACE, World, advance, manifest, now, shown};
use crate::runtime::patience::options;
use crate::worker::LEDGER_KEY;
use crate::worker::jobs::work::RestoreJob;

fn restore(name: &str) -> CollectionRestore {
    manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": "Restored", "conflict": "Overwrite",
        },
    }))
}

async fn world() -> World {
    let world = World::with_cluster().await;
    world.api.seed::<CollectionBackup>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": NAMESPACE},
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "backups"}}},
    })));
    world.api.seed(&restore("back"));
    world
}

impl World {
    async fn back(&mut self) -> String {
        self.restore("back").await.unwrap();
        self.transcript()
    }

    fn restore_conditions(&self) -> String {
        shown(&self.get::<CollectionRestore>("back").status.unwrap_or_default().conditions)
    }

    fn restore_jobs(&self) -> Vec<String> {
        self.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect()
    }

    fn told_restore(&self, job: &str) -> RestoreJob {
        let job = serde_json::to_value(self.get::<Job>(job)).unwrap();
        let text = job.pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
        serde_json::from_str(text).unwrap()
    }

    /// The worker of this Job writes how it stands.
    fn worker_says(&self, job: &str, stage: Stage) {
        let work = self.told_restore(job);
        let guarded = Guarded { run: "r1".to_owned(), tenant: None, protection: None, since: now() };
        let ledger = RestoreLedger {
            receipt: work.known_as,
            order: work.order,
            run_now: work.run_now,
            run: Some("r1".to_owned()),
            passed_over: None,
            stage,
            total: 9,
            done: if stage == Stage::Done { 9 } else { 4 },
            written: if stage == Stage::Done { 9 } else { 4 },
            skipped: 0,
            unchanged: 0,
            merged: 0,
            unselected: 0,
            unconverted: 0,
            dropped: 0,
            aliases: None,
            pace: None,
            has_begun: matches!(stage, Stage::Writing | Stage::Done),
            started_at: now(),
            updated_at: now(),
            finished_at: (stage == Stage::Done).then(now),
            message: (stage == Stage::Failed).then(|| "nothing was written: the backup is damaged".to_owned()),
            is_permanent: false,
            guarded: (stage == Stage::Waiting).then_some(guarded),
            approved: None,
            profile: None,
        };
        self.api.edit::<ConfigMap>(NAMESPACE, "back-restored", |config| {
            config["data"] = json!({LEDGER_KEY: serde_json::to_string(&ledger).unwrap()});
        });
        let how = match stage {
            Stage::Looking | Stage::Writing => return,
            Stage::Waiting | Stage::Done | Stage::Gone => "Complete",
            Stage::Failed => "Failed",
        };
        self.api.edit::<Job>(NAMESPACE, job, |job| {
            job["status"] = json!({"conditions": [{"type": how, "status": "True"}]});
        });
    }
}

#[tokio::test]
async fn it_is_done_once() {
    let mut world = world().await;
    let told = world.back().await;
    let job = world.restore_jobs()[0].clone();
    assert_snapshot!(told.replace(&job, "JOB"), @r"
    POST configmaps/back-restored
    PATCH serviceaccounts/back-restore apply
    PATCH roles/back-restore apply
    PATCH rolebindings/back-restore apply
    POST jobs/JOB
    PATCH collectionrestores/back/status Ready=False Running
    POST events Normal RestoreStarted
    ");
    let work = world.told_restore(&job);
    let uid = world.get::<WeaviateCluster>("search").metadata.uid.unwrap();
    assert_eq!((work.restore.target, work.protection), (format!("ai/search ({uid})"), None));
    assert_eq!(
        (work.restore.run.as_str(), work.restore.into.as_str(), work.keeps_receipt),
        ("latest", "Restored", false)
    );
    world.worker_says(&job, Stage::Writing);
    assert_snapshot!(world.back().await, @"PATCH collectionrestores/back/status Ready=False Running");
    world.worker_says(&job, Stage::Done);
    world.weaviate.seed_class(&json!({"class": "Restored"}));
    assert_snapshot!(world.back().await, @r"
    PATCH collectionrestores/back/status Ready=True Restored
    POST events Normal RestoreSucceeded
    ");
    assert_snapshot!(world.restore_conditions(), @"Ready=True Restored: Articles of run r1 is in Restored: 9 objects written, 0 left as they were, 0 merged");
    // The Job is cleared away, the status is lost: nothing runs twice.
    world.api.remove::<Job>(NAMESPACE, &job);
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        drop(object.as_object_mut().unwrap().remove("status"));
    });
    world.restart();
    world.back().await;
    // The object is deleted and made again: the ledger has no owner, and stays.
    world.api.remove::<CollectionRestore>(NAMESPACE, "back");
    world.api.seed(&restore("back"));
    world.back().await;
    assert_eq!(world.restore_jobs(), Vec::<String>::new());
    assert!(world.restore_conditions().starts_with("Ready=True Restored"), "{}", world.restore_conditions());
    advance(3600);
    assert_eq!(world.back().await, "");
    // Somebody deletes the collection: that is told, and nothing is done.
    let address = world.weaviate.address("w-0").parse().unwrap();
    Client::new(options(address)).unwrap().delete_class("Restored").await.unwrap();
    world.transcript();
    assert_snapshot!(world.back().await, @r"
    PATCH collectionrestores/back/status Ready=True CollectionGone
    POST events Normal CollectionGone
    ");
    assert_eq!(world.restore_jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn over_objects_it_waits_for_one_approval() {
    let mut world = world().await;
    world.back().await;
    let first = world.restore_jobs()[0].clone();
    assert_eq!(world.told_restore(&first).approval, None);
    world.worker_says(&first, Stage::Waiting);
    assert_snapshot!(world.back().await, @r"
    PATCH collectionrestores/back/status Ready=False NeedsApproval
    POST events Warning NeedsApproval
    ");
    let hash = world.get::<CollectionRestore>("back").status.unwrap().plan.unwrap().hash;
    world.annotate::<CollectionRestore>("back", "elysia.dev/approve", &hash);
    world.back().await;
    let second = world.restore_jobs().into_iter().find(|job| *job != first).unwrap();
    let approval = world.told_restore(&second).approval.unwrap();
    assert_eq!((approval.hash, approval.run.as_str()), (hash, "r1"));
    world.weaviate.seed_class(&json!({"class": "Restored"}));
    world.worker_says(&second, Stage::Done);
    world.back().await;
    assert!(world.restore_conditions().starts_with("Ready=True Restored"), "{}", world.restore_conditions());
    assert_eq!(world.restore_jobs().len(), 2);
}

#[tokio::test]
async fn one_that_cannot_begin_says_every_blocker_and_waits_for_a_word() {
    let mut world = world().await;
    world.back().await;
    let job = world.restore_jobs()[0].clone();
    world.worker_says(&job, Stage::Failed);
    assert_snapshot!(world.back().await, @r"
    PATCH collectionrestores/back/status Ready=False Blocked
    POST events Warning RestoreFailed
    ");
    assert_eq!(world.back().await, "");
    world.annotate::<CollectionRestore>("back", "elysia.dev/run-now", "1");
    world.back().await;
    assert_eq!(world.restore_jobs().len(), 2);
}

#[tokio::test]
async fn without_its_policy_it_waits_and_of_two_the_older_goes_first() {
    let mut world = world().await;
    world.api.remove::<CollectionBackup>(NAMESPACE, "nightly");
    world.back().await;
    assert!(world.restore_conditions().contains("Stalled=True BackupMissing: CollectionBackup nightly does not exist"));
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        object["spec"]["from"] = json!({"store": {"s3": {"bucket": "b"}}, "run": "latest"});
    });
    let mut younger = restore("younger");
    younger.spec.from = world.get::<CollectionRestore>("back").spec.from;
    advance(10);
    world.api.seed(&younger);
    world.restore("younger").await.unwrap();
    let status = world.get::<CollectionRestore>("younger").status.unwrap();
    assert!(shown(&status.conditions).contains("CollectionRestore back into Restored is older"), "{status:?}");
    assert_eq!(world.restore_jobs(), Vec::<String>::new());
    world.back().await;
    assert_eq!(world.restore_jobs().len(), 1);
}

#[tokio::test]
async fn a_volume_is_only_read_and_the_receipt_is_kept_with_the_ledger() {
    let mut world = world().await;
    world.api.seed::<PersistentVolumeClaim>(&manifest(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk", "namespace": NAMESPACE},
    })));
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        object["spec"]["from"] = json!({"store": {"volume": {"claimName": "disk"}}, "run": "r1"});
    });
    world.back().await;
    let job = world.restore_jobs()[0].clone();
    assert!(world.told_restore(&job).keeps_receipt);
    let pod = world.get::<Job>(&job).spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].volume_mounts.as_ref().unwrap()[0].read_only, Some(true));
}

/// Work of somebody else that is under way.
fn at_work(name: &str, label: (&str, &str)) -> Job {
    manifest(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": "elysia-backup", label.0: label.1},
        },
    }))
}

#[tokio::test]
async fn it_waits_for_a_backup_and_for_any_restore_that_is_at_work() {
    let mut world = world().await;
    world.api.seed(&at_work("nightly-1", ("elysia.dev/collection-backup", "nightly")));
    world.back().await;
    assert!(
        world.restore_conditions().contains("Job nightly-1 backs cluster search up"),
        "{}",
        world.restore_conditions()
    );
    assert_eq!(world.restore_jobs(), ["nightly-1"]);
    world.api.remove::<Job>(NAMESPACE, "nightly-1");
    // A younger one began before.
    advance(10);
    world.api.seed(&restore("younger"));
    world.api.seed(&at_work("younger-1", ("elysia.dev/collection-restore", "younger")));
    world.back().await;
    assert!(
        world.restore_conditions().contains("CollectionRestore younger into Restored"),
        "{}",
        world.restore_conditions()
    );
    // It was deleted, and its Job goes on: into which collection nobody says any more.
    world.api.remove::<CollectionRestore>(NAMESPACE, "younger");
    world.back().await;
    assert!(world.restore_conditions().contains("CollectionRestore younger"), "{}", world.restore_conditions());
    assert_eq!(world.restore_jobs(), ["younger-1"]);
    world.api.remove::<Job>(NAMESPACE, "younger-1");
    world.back().await;
    assert_eq!(world.restore_jobs().len(), 1);
}

#[tokio::test]
async fn what_a_restore_chooses_reaches_its_worker_and_its_secrets_only_as_references() {
    let mut world = world().await;
    let secret = |name: &str, data: serde_json::Value| -> Secret {
        manifest(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data,
        }))
    };
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["encryption"] = json!({"keySecretRef": {"name": "backup-key", "key": "key"}});
    });
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        object["spec"]["select"] = json!({"tenants": ["acme"], "filter": "lang = 'en'"});
        object["spec"]["transform"] = json!([
            {"drop": {"property": "draft"}},
            {"mask": {"property": "mail", "how": {"hash": {"saltSecretRef": {"name": "salts", "key": "mail"}}}}},
        ]);
        object["spec"]["skipSchema"] = json!(true);
        object["spec"]["aliases"] = json!("Restore");
    });
    // Each is asked for by name before there is a Job.
    for (missing, seed) in [
        (
            "Secret backup-key does not exist",
            secret("backup-key", json!({"key": format!("{}MAo=", "MDAw".repeat(21))})),
        ),
        ("Secret salts does not exist", secret("salts", json!({"other": "eA=="}))),
        ("Secret salts has no key mail", secret("salts", json!({"mail": "c2VjcmV0IHNhbHQ="}))),
    ] {
        world.back().await;
        let shown = world.restore_conditions();
        assert!(shown.contains(&format!("Stalled=True SecretMissing: {missing}")), "{shown}");
        assert_eq!(world.restore_jobs(), Vec::<String>::new());
        world.api.remove::<Secret>(NAMESPACE, seed.metadata.name.as_deref().unwrap());
        world.api.seed(&seed);
    }
    world.back().await;
    let job = world.restore_jobs()[0].clone();
    let work = world.told_restore(&job);
    assert_eq!((work.chosen.skip_schema, work.chosen.transform.len()), (true, 2));
    assert_eq!(work.chosen.aliases, Some(true));
    assert!(work.chosen.select.takes_tenant("acme") && !work.chosen.select.takes_tenant("other"));
    let job = serde_json::to_value(world.get::<Job>(&job)).unwrap();
    let environment = job.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    for (variable, name, key) in
        [("ELYSIA_ENCRYPTION_KEY", "backup-key", "key"), ("ELYSIA_MASK_SALT_2", "salts", "mail")]
    {
        let found = environment.iter().find(|found| found["name"] == variable).unwrap();
        assert_eq!(found["valueFrom"], json!({"secretKeyRef": {"name": name, "key": key}}));
    }
    assert!(!job.to_string().contains("secret salt") && !job.to_string().contains(&"0".repeat(32)), "{job}");
}

#[tokio::test]
async fn a_selection_that_cannot_be_understood_is_told_before_there_is_a_job() {
    let mut world = world().await;
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        object["spec"]["transform"] = json!([{"where": {"filter": "lang = 'en' and"}}]);
    });
    world.back().await;
    let shown = world.restore_conditions();
    assert!(shown.contains("Stalled=True InvalidSpec: spec.transform[0].where.filter: column"), "{shown}");
    assert_eq!(world.restore_jobs(), Vec::<String>::new());
    world.api.edit::<CollectionRestore>(NAMESPACE, "back", |object| {
        object["spec"]["transform"] = json!([{"script": {"source": "object.title =\n  ;"}}]);
    });
    world.back().await;
    let shown = world.restore_conditions();
    assert!(shown.contains("Stalled=True InvalidSpec: spec.transform[0].script.source: line 2, column 3: "), "{shown}");
    assert_eq!(world.restore_jobs(), Vec::<String>::new());
}
