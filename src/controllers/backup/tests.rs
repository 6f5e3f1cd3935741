//! Transcripts of rounds over backup policies.

use elysia_api::{CollectionBackup, CollectionRestore};
use elysia_core::backup::ledger::{Attempt, BackupLedger, RunNote, Stage, Totals};
use elysia_core::backup::suspicion::MAX_SHRINK;
use elysia_engine::backup::manifest::DataFormat;
use insta::assert_snapshot;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde_json::{Value, json};

use super::super::fixture::{NAMESPACE, World, advance, manifest, now, shown};
use crate::worker::LEDGER_KEY;
use crate::worker::backup::work::StoreWork;
use crate::worker::jobs::work::BackupJob;

fn key() -> Secret {
    manifest(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": NAMESPACE},
        "data": {"accessKeyId": "SFVTSA==", "secretAccessKey": "SFVTSA=="},
    }))
}

/// A policy without a schedule.
async fn world() -> World {
    let world = World::with_cluster().await;
    world.api.seed(&key());
    world.api.seed::<CollectionBackup>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "search"},
            "store": {"s3": {
                "bucket": "backups", "prefix": "search", "endpoint": "http://s3:7070",
                "credentialsSecretRef": {"name": "key"},
            }},
        },
    })));
    world
}

async fn scheduled() -> World {
    let world = world().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["schedule"] = json!({"cron": "* * * * *"});
    });
    advance(60);
    world
}

impl World {
    async fn nightly(&mut self) -> String {
        self.backup("nightly").await.unwrap();
        self.transcript()
    }

    fn backup_conditions(&self) -> String {
        shown(&self.get::<CollectionBackup>("nightly").status.unwrap_or_default().conditions)
    }

    fn backup_jobs(&self) -> Vec<String> {
        self.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect()
    }

    /// What the worker of this Job is told.
    fn told_backup(&self, job: &str) -> BackupJob {
        let job = serde_json::to_value(self.get::<Job>(job)).unwrap();
        let text = job.pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
        serde_json::from_str(text).unwrap()
    }

    /// The worker of this Job writes how it ended.
    fn end_backup(&self, job: &str, stage: Stage, edit: impl FnOnce(&mut BackupLedger)) {
        let text =
            |config: &Value| config.pointer(&format!("/data/{LEDGER_KEY}")).and_then(Value::as_str).map(str::to_owned);
        let order = job.trim_start_matches("nightly-").to_owned();
        self.api.edit::<ConfigMap>(NAMESPACE, "nightly-backups", |config| {
            let mut ledger: BackupLedger =
                text(config).map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
            let run = format!("run-{order}");
            if stage == Stage::Done {
                ledger.runs.insert(0, note(&run));
                ledger.totals = Totals { runs: 1, bytes: 90, verified: 1, suspect: 0 };
                ledger.last_success = Some(now());
                ledger.last_verified = Some(now());
            }
            ledger.attempt = Some(Attempt {
                order: order.clone(),
                run: Some(run),
                stage,
                objects: 9,
                bytes: 90,
                pace: None,
                started_at: now(),
                updated_at: now(),
                message: (stage == Stage::Failed).then(|| "the bucket is read-only".to_owned()),
                is_permanent: false,
                is_strangers: false,
                lacks_room: false,
                retired: Vec::new(),
                trouble: None,
                profile: None,
            });
            edit(&mut ledger);
            config["data"] = json!({LEDGER_KEY: serde_json::to_string(&ledger).unwrap()});
        });
        let how = match stage {
            Stage::Done => "Complete",
            Stage::Failed => "Failed",
            Stage::Writing | Stage::Verifying | Stage::Retiring | Stage::Drilling => return,
        };
        self.api.edit::<Job>(NAMESPACE, job, |job| {
            job["status"] = json!({"conditions": [{"type": how, "status": "True", "message": "BackoffLimitExceeded"}]});
        });
    }
}

mod drill;
mod migrated;
mod native;
mod places;
mod reading;

fn note(id: &str) -> RunNote {
    RunNote {
        id: id.to_owned(),
        objects: 9,
        bytes: 90,
        started_at: Timestamp::from_second(1_800_000_000).unwrap(),
        finished_at: Timestamp::from_second(1_800_000_030).unwrap(),
        verified_at: Some(Timestamp::from_second(1_800_000_040).unwrap()),
        suspect: Vec::new(),
        is_damaged: false,
        left_out: std::collections::BTreeMap::new(),
        total_left_out: 0,
    }
}

fn lose_status(world: &World) {
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        drop(object.as_object_mut().unwrap().remove("status"));
    });
}

#[tokio::test]
async fn a_run_gets_its_objects_in_order_and_only_once() {
    let mut world = world().await;
    let told = world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    assert_snapshot!(told.replace(&job, "JOB"), @r"
    POST configmaps/nightly-backups
    PATCH configmaps/nightly-backups merge
    PATCH serviceaccounts/nightly-backup apply
    PATCH roles/nightly-backup apply
    PATCH rolebindings/nightly-backup apply
    POST jobs/JOB
    PATCH collectionbackups/nightly/status Ready=False Running
    POST events Normal BackupStarted
    ");
    for _ in 0..3 {
        advance(60);
        assert_eq!(world.nightly().await, "");
    }
    world.restart();
    assert_eq!(world.nightly().await, "");
    let work = world.told_backup(&job);
    assert_eq!(
        (work.order.as_str(), work.max_shrink, work.verify),
        (job.trim_start_matches("nightly-"), MAX_SHRINK, true)
    );
    let StoreWork::S3(bucket) = work.backup.store else { panic!("{:?}", work.backup.store) };
    assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str(), bucket.anonymous), ("backups", "search", false));
    assert!(work.backup.owner.policy.starts_with("ai/nightly ("), "{}", work.backup.owner);
}

#[tokio::test]
async fn a_policy_that_is_done_is_at_rest_and_a_lost_status_starts_nothing() {
    let mut world = world().await;
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    world.end_backup(&job, Stage::Writing, |_| {});
    assert_snapshot!(world.nightly().await, @"PATCH collectionbackups/nightly/status Ready=False Running");
    world.end_backup(&job, Stage::Done, |_| {});
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=True Complete
    POST events Normal BackupSucceeded
    ");
    let order = job.trim_start_matches("nightly-");
    assert_snapshot!(world.backup_conditions().replace(order, "ORDER"), @r"
    Ready=True Complete: run run-ORDER has 9 objects in 90 bytes
    Verified=True Verified: run run-ORDER was read back at 2027-01-15T08:00:40Z
    ");
    // The Job is cleared away after its time, then the status goes, as after a restore of the manifests.
    world.api.remove::<Job>(NAMESPACE, &job);
    lose_status(&world);
    world.restart();
    world.nightly().await;
    assert_eq!(world.backup_jobs(), Vec::<String>::new());
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.nightly().await, "");
    }
}

#[tokio::test]
async fn a_run_that_the_api_server_cuts_short_is_finished_by_the_next_round() {
    let parts = [
        ("POST", "nightly-backups"),
        ("PATCH", "nightly-backups"),
        ("PATCH", "serviceaccounts"),
        ("PATCH", "roles"),
        ("PATCH", "rolebindings"),
        ("POST", "jobs"),
        ("PATCH", "collectionbackups"),
    ];
    for (method, part) in parts {
        let mut world = world().await;
        world.api.fail_next(method, part, 500);
        world.backup("nightly").await.expect_err(part);
        world.restart();
        world.nightly().await;
        assert_eq!(world.backup_jobs().len(), 1, "{part}");
        assert_eq!(world.nightly().await, "", "{part}");
    }
}

#[tokio::test]
async fn a_schedule_makes_one_run_for_each_time_and_a_lost_ledger_makes_the_same_again() {
    let mut world = scheduled().await;
    world.nightly().await;
    let first = world.backup_jobs();
    assert_eq!(first.len(), 1);
    assert!(world.backup_conditions().starts_with("Ready=True Scheduled"), "{}", world.backup_conditions());
    advance(300);
    world.nightly().await;
    assert_eq!(world.backup_jobs(), first, "one run at a time");
    world.end_backup(&first[0], Stage::Done, |_| {});
    world.nightly().await;
    let second = world.backup_jobs().into_iter().find(|job| *job != first[0]).expect("what was missed is made up for");
    world.end_backup(&second, Stage::Done, |_| {});
    world.nightly().await;
    assert_eq!(world.backup_jobs().len(), 2, "once");
    // Ledger and status are lost and the Jobs were cleared away: the same work under the same name.
    world.api.remove::<ConfigMap>(NAMESPACE, "nightly-backups");
    world.api.remove::<Job>(NAMESPACE, &first[0]);
    world.api.remove::<Job>(NAMESPACE, &second);
    lose_status(&world);
    world.restart();
    world.nightly().await;
    assert_eq!(world.backup_jobs(), [second]);
}

#[tokio::test]
async fn a_run_that_failed_is_told_and_the_next_time_tries_again() {
    let mut world = scheduled().await;
    world.nightly().await;
    let first = world.backup_jobs()[0].clone();
    world.end_backup(&first, Stage::Failed, |_| {});
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=False RunFailed
    POST events Warning BackupFailed
    ");
    assert!(world.backup_conditions().contains("the bucket is read-only"), "{}", world.backup_conditions());
    // A tool that waits for Ready would wait without end otherwise.
    assert!(world.backup_conditions().contains("Stalled"));
    advance(60);
    world.nightly().await;
    assert_eq!(world.backup_jobs().len(), 2);
}

#[tokio::test]
async fn a_job_that_ended_without_a_word_is_noted_beside_the_ledger() {
    let mut world = world().await;
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    world.api.edit::<Job>(NAMESPACE, &job, |job| {
        job["status"] = json!({"conditions": [{"type": "Failed", "status": "True", "message": "DeadlineExceeded"}]});
    });
    assert_snapshot!(world.nightly().await, @r"
    PATCH configmaps/nightly-backups merge
    PATCH collectionbackups/nightly/status Ready=False RunFailed
    POST events Warning BackupFailed
    ");
    world.api.remove::<Job>(NAMESPACE, &job);
    world.restart();
    assert_eq!(world.nightly().await, "");
    world.annotate::<CollectionBackup>("nightly", "elysia.dev/run-now", "1");
    world.nightly().await;
    assert_eq!(world.backup_jobs().len(), 1);
    assert_eq!(world.nightly().await, "");
}

#[tokio::test]
async fn a_strangers_prefix_stalls() {
    let mut world = world().await;
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    world.end_backup(&job, Stage::Failed, |ledger| {
        if let Some(attempt) = &mut ledger.attempt {
            (attempt.is_strangers, attempt.is_permanent) = (true, true);
            attempt.message = Some("the place belongs to ai/other (v) of ai/search (c)".to_owned());
        }
    });
    world.nightly().await;
    assert_snapshot!(world.backup_conditions(), @r"
    Ready=False NotOwner: the place belongs to ai/other (v) of ai/search (c). Give this policy a prefix of its own; whoever owns this one may restore from it
    Verified=Unknown NoRun: there is no run yet
    Stalled=True NotOwner: the place belongs to ai/other (v) of ai/search (c). Give this policy a prefix of its own; whoever owns this one may restore from it
    ");
}

#[tokio::test]
async fn a_suspect_run_is_accepted_by_its_hash() {
    let mut world = world().await;
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    world.end_backup(&job, Stage::Done, |ledger| ledger.runs[0].suspect = vec!["it lacks collection Notes".to_owned()]);
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=False Suspect
    POST events Warning BackupSuspect
    ");
    let hash = world.get::<CollectionBackup>("nightly").status.unwrap().plan.unwrap().hash;
    world.annotate::<CollectionBackup>("nightly", "elysia.dev/approve", &hash);
    world.nightly().await;
    let accepting = world.backup_jobs().into_iter().find(|other| *other != job).unwrap();
    let run = format!("run-{}", job.trim_start_matches("nightly-"));
    assert_eq!(world.told_backup(&accepting).accept, Some(run));
    world.end_backup(&accepting, Stage::Done, |ledger| {
        ledger.runs.remove(0);
        ledger.runs[0].suspect.clear();
    });
    world.nightly().await;
    assert!(world.backup_conditions().starts_with("Ready=True Complete"), "{}", world.backup_conditions());
    assert_eq!(world.nightly().await, "");
}

#[tokio::test]
async fn a_collection_whose_restore_is_unfinished_is_left_out() {
    let mut world = world().await;
    world.api.seed::<CollectionRestore>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": "back", "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles",
        },
    })));
    world.nightly().await;
    let work = world.told_backup(&world.backup_jobs()[0]);
    assert_eq!(
        work.left_out.into_iter().collect::<Vec<_>>(),
        [("Articles".to_owned(), "CollectionRestore back into it is not finished".to_owned())]
    );
}

#[tokio::test]
async fn a_volume_is_mounted_for_writing_and_a_missing_one_is_told() {
    let mut world = world().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["store"] = json!({"volume": {"claimName": "disk", "path": "weaviate"}});
    });
    world.nightly().await;
    assert!(world.backup_conditions().contains("PersistentVolumeClaim disk does not exist; create it"));
    assert_eq!(world.backup_jobs(), Vec::<String>::new());
    world.api.seed::<PersistentVolumeClaim>(&manifest(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk", "namespace": NAMESPACE},
    })));
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    assert_eq!(world.told_backup(&job).backup.store, StoreWork::Folder("/backups/weaviate".to_owned()));
    let pod = world.get::<Job>(&job).spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].volume_mounts.as_ref().unwrap()[0].read_only, Some(false));
}

#[tokio::test]
async fn no_secret_is_in_a_job_and_a_missing_one_is_told() {
    let mut world = world().await;
    world.api.remove::<Secret>(NAMESPACE, "key");
    world.nightly().await;
    assert!(world.backup_conditions().contains("Stalled=True StoreMissing: Secret key does not exist"));
    world.api.seed(&key());
    world.nightly().await;
    let text = serde_json::to_string(&world.get::<Job>(&world.backup_jobs()[0])).unwrap();
    assert!(!text.contains("HUSH") && !text.contains("SFVTSA"), "{text}");
    assert!(text.contains("ELYSIA_S3_SECRET_ACCESS_KEY"));
}

#[tokio::test]
async fn a_paused_policy_starts_nothing_and_a_ledger_that_cannot_be_read_neither() {
    let mut world = world().await;
    world.annotate::<CollectionBackup>("nightly", "elysia.dev/paused", "true");
    world.nightly().await;
    assert!(world.backup_conditions().contains("Stalled=True Paused"));
    world.annotate::<CollectionBackup>("nightly", "elysia.dev/paused", "false");
    world.api.fail_next("GET", "nightly-backups", 500);
    world.nightly().await;
    assert!(world.backup_conditions().starts_with("Ready=Unknown Unknown"));
    assert_eq!(world.backup_jobs(), Vec::<String>::new());
}

fn encryption_key(text: &str) -> Secret {
    manifest(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backup-key", "namespace": NAMESPACE},
        "data": {"key": text},
    }))
}

/// A key as `openssl rand -hex 32` writes it: 64 hexadecimal digits and a line's end.
fn good_key() -> Secret {
    encryption_key(&format!("{}MAo=", "MDAw".repeat(21)))
}

async fn choosing() -> World {
    let world = world().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        let spec = object["spec"].as_object_mut().unwrap();
        let choice = json!({
            "format": "Jsonl", "compression": "Lz4", "filter": "lang = 'en'", "incremental": {"fullEvery": 7},
            "encryption": {"keySecretRef": {"name": "backup-key", "key": "key"}},
        });
        spec.extend(choice.as_object().unwrap().clone());
    });
    world
}

#[tokio::test]
async fn what_a_policy_chooses_reaches_its_worker_and_its_key_only_as_a_reference() {
    let mut world = choosing().await;
    world.api.seed(&good_key());
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    let work = world.told_backup(&job);
    assert_eq!(work.choice.filter.map(|filter| filter.to_string()).as_deref(), Some("lang = 'en'"));
    assert_eq!((work.choice.full_every, work.backup.how.data), (Some(7), DataFormat::JsonlLz4));
    let job = serde_json::to_value(world.get::<Job>(&job)).unwrap();
    let environment = job.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let key = environment.iter().find(|variable| variable["name"] == "ELYSIA_ENCRYPTION_KEY").unwrap();
    assert_eq!(key["valueFrom"], json!({"secretKeyRef": {"name": "backup-key", "key": "key"}}));
    assert!(!job.to_string().contains(&"0".repeat(32)), "{job}");
}

#[tokio::test]
async fn what_is_wrong_with_filter_or_key_is_told_before_there_is_a_job() {
    for (filter, secret, told) in [
        ("lang = ", Some(good_key()), "InvalidSpec: spec.filter: column"),
        ("lang = 'en' or (draft", Some(good_key()), "InvalidSpec: spec.filter: column"),
        ("draft", None, "SecretMissing: Secret backup-key does not exist"),
        ("draft", Some(encryption_key("bm8ga2V5")), "SecretMissing: key key of Secret backup-key: this is no key"),
    ] {
        let mut world = choosing().await;
        world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| object["spec"]["filter"] = json!(filter));
        if let Some(secret) = &secret {
            world.api.seed(secret);
        }
        world.nightly().await;
        let shown = world.backup_conditions();
        assert!(shown.contains(&format!("Ready=False {told}")), "{filter}: {shown}");
        assert!(shown.contains(&format!("Stalled=True {told}")), "{filter}: {shown}");
        assert_eq!(world.backup_jobs(), Vec::<String>::new(), "{filter}");
        assert!(!shown.contains("no key: bm8") && !shown.contains("is no key: no key"), "{shown}");
    }
}
