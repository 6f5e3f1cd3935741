//! Transcripts of rounds over feeds.

mod once;
mod partitions;

use elysia_api::IndexSource;
use elysia_engine::checkpoint::Digest;
use elysia_engine::guard::{Guarded, Limits};
use elysia_engine::ledger::Ledger;
use insta::assert_snapshot;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, ServiceAccount};
use serde_json::json;

use crate::worker::work::{DeleteGuardWork, IndexWork};

mod later;

use super::super::fixture::{NAMESPACE, World, advance, manifest, shown};

fn lines(text: &str) -> ConfigMap {
    manifest(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lines", "namespace": NAMESPACE},
        "data": {"changes.jsonl": text},
    }))
}

/// A feed whose source is there, and whose collection is not.
async fn without_collection() -> World {
    let world = World::with_cluster().await;
    world.api.seed(&lines("{}\n"));
    world.api.seed::<IndexSource>(&manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
        "metadata": {"name": "docs", "namespace": NAMESPACE},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "source": {"configMap": {"name": "lines"}},
        },
    })));
    world
}

async fn world() -> World {
    let world = without_collection().await;
    world.weaviate.seed_class(&json!({"class": "Articles"}));
    world
}

impl World {
    async fn docs(&mut self) -> String {
        self.feed("docs").await.unwrap();
        self.transcript()
    }

    fn feed_conditions(&self) -> String {
        shown(&self.get::<IndexSource>("docs").status.unwrap_or_default().conditions)
    }

    fn jobs(&self) -> Vec<String> {
        self.api.objects::<Job>().into_iter().filter_map(|job| job.metadata.name).collect()
    }

    /// The worker of this Job writes that its run succeeded.
    fn succeed(&self, job: &str) {
        let run = job.trim_start_matches("docs-");
        let mut ledger = Ledger::begin(run, "Articles", Timestamp::from_second(1_800_000_000).unwrap());
        ledger.counts.lines = 1;
        ledger.counts.added = 1;
        ledger.succeed(Timestamp::from_second(1_800_000_060).unwrap());
        let text = serde_json::to_string(&ledger).unwrap();
        self.api.edit::<ConfigMap>(NAMESPACE, "docs-ledger", |config| {
            config["data"] = json!({crate::worker::LEDGER_KEY: text});
        });
        self.end_job(job, "Complete", "");
    }

    /// The worker of this Job counts, and finds too many deletes.
    fn wait(&self, job: &str, deletes: u64) {
        let run = job.trim_start_matches("docs-");
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let mut ledger = Ledger::begin(run, "Articles", at);
        ledger.guarded = Some(Guarded {
            content: Digest::of(b"lines"),
            deletes,
            objects: Some(9),
            limits: Limits { objects: Some(1), percent: None },
            approved: false,
            since: at,
        });
        ledger.wait(at);
        let text = serde_json::to_string(&ledger).unwrap();
        self.api.edit::<ConfigMap>(NAMESPACE, "docs-ledger", |config| {
            config["data"] = json!({crate::worker::LEDGER_KEY: text});
        });
        self.end_job(job, "Complete", "");
    }

    /// What the one Job's worker is told of the guard.
    fn told_of_the_guard(&self) -> String {
        let jobs = serde_json::to_value(self.api.objects::<Job>()).unwrap();
        let text = jobs[0].pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
        let work: IndexWork = serde_json::from_str(text).unwrap();
        let DeleteGuardWork { objects, percent, approval } = work.delete_guard.unwrap();
        format!("{objects:?} {percent:?} {:?}", approval.map(|approval| approval.deletes))
    }

    fn end_job(&self, job: &str, how: &str, message: &str) {
        self.api.edit::<Job>(NAMESPACE, job, |job| {
            job["status"] = json!({"conditions": [{"type": how, "status": "True", "message": message}]});
        });
    }
}

#[tokio::test]
async fn a_run_gets_its_objects_in_order_and_only_once() {
    let mut world = world().await;
    assert_snapshot!(world.docs().await, @r"
    POST configmaps/docs-ledger
    PATCH serviceaccounts/docs-index apply
    PATCH roles/docs-index apply
    PATCH rolebindings/docs-index apply
    POST jobs/docs-bc52af17ca87
    PATCH indexsources/docs/status Ready=False Running
    POST events Normal RunStarted
    ");
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=False Running: Job docs-bc52af17ca87 is starting
    CaughtUp=False Running: Job docs-bc52af17ca87 is starting
    Running=True Running: Job docs-bc52af17ca87 is starting
    Reconciling=True Running: Job docs-bc52af17ca87 is starting
    ");
    for _ in 0..3 {
        advance(60);
        assert_eq!(world.docs().await, "");
    }
    world.restart();
    assert_eq!(world.docs().await, "");
    assert_eq!(world.api.objects::<ServiceAccount>().len(), 1);
}

#[tokio::test]
async fn a_feed_that_is_done_is_at_rest() {
    let mut world = world().await;
    world.docs().await;
    world.succeed(&world.jobs()[0]);
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=True Complete
    POST events Normal RunSucceeded
    ");
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=True Complete: 1 lines
    CaughtUp=True Complete: 1 lines
    CircuitClosed=True CircuitClosed: calls succeed
    ");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.docs().await, "");
    }
}

#[tokio::test]
async fn deletes_above_the_guard_wait_for_their_hash_and_are_approved_once() {
    let mut world = world().await;
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| docs["spec"]["deleteGuard"] = json!({"objects": 1}));
    world.docs().await;
    assert_eq!(world.told_of_the_guard(), "Some(1) None None");
    let job = world.jobs()[0].clone();
    world.wait(&job, 5);
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=False NeedsApproval
    POST events Warning NeedsApproval
    ");
    let hash = |world: &World| world.get::<IndexSource>("docs").status.unwrap().plan.unwrap().hash;
    let first = hash(&world);
    // A lost status, a Job that was cleared away: it waits all the same.
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| drop(docs.as_object_mut().unwrap().remove("status")));
    world.api.remove::<Job>(NAMESPACE, &job);
    world.restart();
    world.docs().await;
    assert_eq!((hash(&world), world.jobs().len()), (first.clone(), 0));
    world.annotate::<IndexSource>("docs", "elysia.dev/approve", &first);
    world.docs().await;
    assert_eq!((world.jobs(), world.told_of_the_guard()), (vec![job.clone()], "Some(1) None Some(5)".to_owned()));
    assert!(world.get::<IndexSource>("docs").status.unwrap().plan.is_none());
    // It finds more than was approved: another hash, and the old approval is none.
    world.wait(&job, 6);
    world.docs().await;
    let second = hash(&world);
    assert_ne!(first, second);
    assert_eq!(world.docs().await, "");
    world.annotate::<IndexSource>("docs", "elysia.dev/approve", &second);
    world.docs().await;
    assert_eq!(world.jobs(), Vec::<String>::new(), "the ended Job goes first");
    world.docs().await;
    assert_eq!(world.told_of_the_guard(), "Some(1) None Some(6)");
    world.succeed(&job);
    world.docs().await;
    assert!(world.feed_conditions().starts_with("Ready=True Complete"));
}

/// Workers may not make it, and none of them can work without it.
#[tokio::test]
async fn a_ledger_that_is_deleted_under_a_worker_is_made_anew() {
    let mut world = world().await;
    world.docs().await;
    world.api.remove::<ConfigMap>(NAMESPACE, "docs-ledger");
    let transcript = world.docs().await;
    assert!(transcript.contains("POST configmaps/docs-ledger"), "{transcript}");
    assert!(!transcript.contains("POST jobs"), "{transcript}");
    assert!(!world.docs().await.contains("POST"), "once is enough");
}

#[tokio::test]
async fn a_lost_status_starts_no_second_job() {
    let mut world = world().await;
    world.docs().await;
    world.succeed(&world.jobs()[0]);
    world.docs().await;
    let before = world.get::<IndexSource>("docs").status;
    // The Job is cleared away after its time, then the status goes, as after a restore of the manifests.
    world.api.remove::<Job>(NAMESPACE, &world.jobs()[0]);
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| drop(docs.as_object_mut().unwrap().remove("status")));
    world.restart();
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=True Complete
    POST events Normal RunSucceeded
    ");
    assert_eq!(world.jobs(), Vec::<String>::new());
    let after = world.get::<IndexSource>("docs").status;
    assert_eq!(after.unwrap().counts, before.unwrap().counts);
}

#[tokio::test]
async fn changed_content_is_another_run_and_waits_for_the_one_at_work() {
    let mut world = world().await;
    world.docs().await;
    let first = world.jobs();
    world.api.seed(&lines("{}\n{}\n"));
    assert_snapshot!(world.docs().await, @"PATCH indexsources/docs/status Ready=False Running");
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=False Running: Job docs-bc52af17ca87 of an earlier run is still at it; one run at a time
    CaughtUp=False Running: Job docs-bc52af17ca87 of an earlier run is still at it; one run at a time
    Reconciling=True Running: Job docs-bc52af17ca87 of an earlier run is still at it; one run at a time
    ");
    assert_eq!(world.jobs(), first);
    world.succeed(&world.jobs()[0]);
    assert_snapshot!(world.docs().await, @r"
    POST configmaps/docs-ledger → 409
    POST jobs/docs-e37895a911fa
    PATCH indexsources/docs/status Ready=False Running
    POST events Normal RunStarted
    ");
    assert_eq!(world.jobs().len(), 2);
    assert_eq!(world.docs().await, "");
}

/// The run's Job of the first time has ended and the ledger speaks of another run, so the Job has to go first: the run
/// has its name.
#[tokio::test]
async fn content_that_comes_back_is_indexed_again_in_place_of_its_ended_job() {
    let mut world = world().await;
    world.docs().await;
    let first = world.jobs()[0].clone();
    world.succeed(&first);
    world.docs().await;
    world.api.seed(&lines("{}\n{}\n"));
    world.docs().await;
    let second = world.jobs().into_iter().find(|job| *job != first).unwrap();
    world.succeed(&second);
    world.docs().await;
    world.transcript();
    world.api.seed(&lines("{}\n"));
    assert_snapshot!(world.docs().await, @r"
    DELETE jobs/docs-bc52af17ca87
    PATCH indexsources/docs/status Ready=False Running
    PATCH events Normal RunStarted
    ");
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=False Running: Job docs-bc52af17ca87 is starting
    CaughtUp=False Running: Job docs-bc52af17ca87 is starting
    Running=True Running: Job docs-bc52af17ca87 is starting
    Reconciling=True Running: Job docs-bc52af17ca87 is starting
    ");
    assert_eq!(world.jobs(), [second]);
    world.restart();
    assert_snapshot!(world.docs().await, @r"
    POST configmaps/docs-ledger → 409
    POST jobs/docs-bc52af17ca87
    ");
    // At work, it is neither deleted nor started again.
    assert_eq!(world.docs().await, "");
    world.succeed(&first);
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=True Complete
    POST events Normal RunSucceeded
    ");
    for _ in 0..3 {
        advance(3600);
        assert_eq!(world.docs().await, "");
    }
    assert_eq!(world.jobs().len(), 2);
}

#[tokio::test]
async fn an_ended_job_that_could_not_be_deleted_is_deleted_in_the_next_round() {
    let mut world = world().await;
    world.docs().await;
    let first = world.jobs()[0].clone();
    world.succeed(&first);
    world.api.seed(&lines("{}\n{}\n"));
    world.docs().await;
    let second = world.jobs().into_iter().find(|job| *job != first).unwrap();
    world.succeed(&second);
    world.api.seed(&lines("{}\n"));
    world.api.fail_next("DELETE", "jobs", 500);
    world.feed("docs").await.expect_err("the Job is there still");
    world.restart();
    world.docs().await;
    assert_eq!(world.jobs(), [second]);
    world.docs().await;
    assert_eq!(world.jobs().len(), 2);
    assert_eq!(world.docs().await, "");
}

#[tokio::test]
async fn a_missing_collection_is_waited_for() {
    let mut world = without_collection().await;
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=False CollectionMissing
    POST events Normal CollectionMissing
    ");
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=False CollectionMissing: collection Articles does not exist; declare it with an ElysiaCollection
    CaughtUp=False CollectionMissing: collection Articles does not exist; declare it with an ElysiaCollection
    Reconciling=True CollectionMissing: collection Articles does not exist; declare it with an ElysiaCollection
    ");
    assert_eq!(world.docs().await, "");
    world.weaviate.seed_class(&json!({"class": "Articles"}));
    world.docs().await;
    assert_eq!(world.jobs().len(), 1);
}

#[tokio::test]
async fn a_missing_source_is_told_and_nothing_is_made() {
    let mut world = world().await;
    world.api.remove::<ConfigMap>(NAMESPACE, "lines");
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=False SourceMissing
    POST events Warning SourceMissing
    ");
    assert_eq!(world.docs().await, "");
}

#[tokio::test]
async fn the_key_of_a_bucket_is_named_in_the_job_and_nowhere_told() {
    let mut world = world().await;
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| {
        docs["spec"]["source"] = json!({"s3": {
            "bucket": "feeds", "prefix": "wiki", "endpoint": "http://s3:7070", "credentialsSecretRef": {"name": "key"},
        }});
    });
    world.docs().await;
    assert_snapshot!(world.feed_conditions(), @r"
    Ready=False SourceMissing: Secret key does not exist; create it with the keys accessKeyId and secretAccessKey
    CaughtUp=False SourceMissing: Secret key does not exist; create it with the keys accessKeyId and secretAccessKey
    Stalled=True SourceMissing: Secret key does not exist; create it with the keys accessKeyId and secretAccessKey
    ");
    let secret = |data: serde_json::Value| {
        manifest::<Secret>(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": NAMESPACE}, "data": data,
        }))
    };
    world.api.seed(&secret(json!({"accessKeyId": "SFVTSA=="})));
    world.docs().await;
    assert!(world.feed_conditions().contains("Secret key has no key secretAccessKey; add it"));
    assert_eq!(world.jobs(), Vec::<String>::new());
    world.api.seed(&secret(json!({"accessKeyId": "SFVTSA==", "secretAccessKey": "SFVTSA=="})));
    world.docs().await;
    let job = world.api.objects::<Job>().remove(0);
    let text = serde_json::to_string(&job).unwrap();
    assert!(!text.contains("HUSH") && !text.contains("SFVTSA"), "{text}");
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.volumes.unwrap_or_default(), []);
    let variables = pod.containers[0].env.clone().unwrap();
    let from = |name: &str| {
        let variable = variables.iter().find(|variable| variable.name == name).unwrap();
        let key = variable.value_from.clone().unwrap().secret_key_ref.unwrap();
        (key.name, key.key, key.optional)
    };
    let key = |key: &str, optional| ("key".to_owned(), key.to_owned(), Some(optional));
    assert_eq!(from("ELYSIA_S3_ACCESS_KEY_ID"), key("accessKeyId", false));
    assert_eq!(from("ELYSIA_S3_SECRET_ACCESS_KEY"), key("secretAccessKey", false));
    assert_eq!(from("ELYSIA_S3_SESSION_TOKEN"), key("sessionToken", true));
}

/// The feed with a schedule that is due, on a volume.
async fn scheduled() -> World {
    let world = world().await;
    world.api.seed::<PersistentVolumeClaim>(&manifest(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "files", "namespace": NAMESPACE},
    })));
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| {
        docs["spec"]["source"] = json!({"volume": {"claimName": "files"}});
        docs["spec"]["run"] = json!({"schedule": {"cron": "* * * * *"}});
    });
    advance(60);
    world
}

#[tokio::test]
async fn what_a_run_is_meant_for_is_written_before_its_job_and_no_loss_starts_it_twice() {
    let mut world = scheduled().await;
    assert_snapshot!(world.docs().await, @r"
    POST configmaps/docs-ledger
    PATCH configmaps/docs-ledger merge
    PATCH serviceaccounts/docs-index apply
    PATCH roles/docs-index apply
    PATCH rolebindings/docs-index apply
    POST jobs/docs-9aee1eded791
    PATCH indexsources/docs/status Ready=True Scheduled
    POST events Normal RunStarted
    POST events Normal Scheduled
    ");
}

#[tokio::test]
async fn a_scheduled_run_that_the_api_server_cuts_short_is_made_once() {
    for (method, part) in
        [("POST", "docs-ledger"), ("PATCH", "docs-ledger"), ("POST", "jobs"), ("PATCH", "indexsources")]
    {
        let mut world = scheduled().await;
        world.api.fail_next(method, part, 500);
        world.feed("docs").await.expect_err(part);
        world.restart();
        world.docs().await;
        let first = world.jobs();
        assert_eq!(first.len(), 1, "{part}");
        world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| drop(docs.as_object_mut().unwrap().remove("status")));
        world.restart();
        world.docs().await;
        assert_eq!(world.jobs(), first, "{part}");
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_starts_nothing() {
    let mut world = world().await;
    world.api.fail_next("GET", "docs-ledger", 500);
    assert_snapshot!(world.docs().await, @r"
    PATCH indexsources/docs/status Ready=Unknown Unknown
    POST events Warning Unknown
    ");
    assert_eq!(world.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_the_api_server_cuts_short_is_finished_by_the_next_round() {
    let parts = [
        ("POST", "docs-ledger"),
        ("PATCH", "serviceaccounts"),
        ("PATCH", "roles"),
        ("PATCH", "rolebindings"),
        ("POST", "jobs"),
        ("PATCH", "indexsources"),
    ];
    for (method, part) in parts {
        let mut world = world().await;
        world.api.fail_next(method, part, 500);
        world.feed("docs").await.expect_err(part);
        world.restart();
        world.docs().await;
        assert_eq!(world.docs().await, "", "{part}");
        assert_eq!(world.jobs().len(), 1, "{part}");
    }
}

#[tokio::test]
async fn a_run_that_failed_stays_failed_until_it_is_run_again() {
    let mut world = world().await;
    world.docs().await;
    world.end_job(&world.jobs()[0], "Failed", "BackoffLimitExceeded");
    assert_snapshot!(world.docs().await, @r"
    PATCH configmaps/docs-ledger merge
    PATCH indexsources/docs/status Ready=False RunFailed
    POST events Warning RunFailed
    ");
    assert_eq!(world.docs().await, "");
    world.annotate::<IndexSource>("docs", "elysia.dev/run-now", "1");
    world.docs().await;
    assert_eq!(world.jobs().len(), 2);
    assert_eq!(world.docs().await, "");
}
