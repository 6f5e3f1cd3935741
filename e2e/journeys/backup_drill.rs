//! Restore drills on real servers: a good one verifies a run that was not read back, one whose worker is killed leaves
//! nothing behind, and a run that does not come back as it was is said loudly until a good drill.

use elysia_api::backup::{BackupDrill, CollectionBackupStatus, DrillState};
use elysia_api::{CollectionBackup, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use object_store::ObjectStoreExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore as _};
use serde_json::json;

use crate::support::{PATIENCE, Stage, is, on_a_thread};

const BUCKET: &str = "drills";

/// Objects of the collection.
const OBJECTS: u32 = 400;

fn client(server: &S3Server) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(server.endpoint());
    let builder = builder.with_access_key_id(ACCESS_KEY_ID).with_secret_access_key(SECRET_ACCESS_KEY);
    builder.with_client_options(ClientOptions::new().with_allow_http(true)).build().unwrap()
}

impl Stage {
    async fn policy(&self) -> CollectionBackupStatus {
        self.api::<CollectionBackup>().get("nightly").await.unwrap().status.unwrap_or_default()
    }

    /// Waits for a drill that ended after this time.
    async fn drilled(&self, after: Option<&Time>, state: DrillState) -> BackupDrill {
        self.wait(&format!("a drill to be {state:?}"), PATIENCE, async || {
            let drill = self.policy().await.last_drill?;
            (drill.state == state && after.is_none_or(|after| drill.at.0 > after.0)).then_some(drill)
        })
        .await
    }

    /// Stops drills, so that what is looked at does not change meanwhile, or lets them go on.
    async fn suspend_drills(&self, suspend: bool) {
        let drill = json!({"schedule": {"cron": "* * * * *", "suspend": suspend}});
        let patch = Patch::Merge(json!({"spec": {"verify": {"drill": drill}}}));
        self.api::<CollectionBackup>().patch("nightly", &PatchParams::default(), &patch).await.unwrap();
        if suspend {
            self.wait("the policy to be at rest", PATIENCE, async || {
                let object = self.api::<CollectionBackup>().get("nightly").await.unwrap();
                let status = object.status?;
                // What the operator says of the spec before may be followed by one more drill.
                let is_heard = status.observed_generation == object.metadata.generation;
                (is_heard && !is(&status.conditions, "Running", "True")).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_run_is_drilled_on_a_schedule() {
    let stage = Stage::set("backup-drill").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 3).await;
    let ids = nodes.fill("Articles", OBJECTS).await;
    let scratch = async || {
        let classes = nodes.first().classes().await.unwrap();
        let named = classes.iter().filter_map(|class| class["class"].as_str().map(str::to_owned));
        named.filter(|name| name.contains("_drill_")).collect::<Vec<_>>()
    };
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;

    // One run, not read back, of all collections; a drill each minute.
    let policy = json!({
        "metadata": {"name": "nightly"},
        "spec": {
            "clusterRef": {"name": "search"},
            "store": {"s3": {
                "bucket": BUCKET, "prefix": "search", "endpoint": server.endpoint(),
                "credentialsSecretRef": {"name": "bucket-key"},
            }},
            "verify": {"afterRun": false, "drill": {"schedule": {"cron": "* * * * *"}}},
        },
    });
    stage.apply::<CollectionBackup>(policy).await;
    let drill = stage.drilled(None, DrillState::Passed).await;
    assert_eq!(drill.objects, i64::from(OBJECTS), "{drill:?}");
    let status = stage.policy().await;
    assert!(is(&status.conditions, "Verified", "True") && is(&status.conditions, "Ready", "True"), "{status:?}");
    assert_eq!(status.run.and_then(|run| run.id), drill.run);
    nodes.come_to_hold("Articles", &ids).await;

    // Its worker is killed as soon as there is a scratch collection; the next attempt clears it away.
    let before = drill.at;
    let seen = stage.wait("a scratch collection", PATIENCE, async || scratch().await.into_iter().next()).await;
    stage.say(&format!("seen {seen}"));
    stage.kill_pods(names::BACKUP_LABEL).await;
    stage.drilled(Some(&before), DrillState::Passed).await;
    stage.suspend_drills(true).await;
    assert_eq!(scratch().await, Vec::<String>::new());
    nodes.come_to_hold("Articles", &ids).await;

    // A part of the run rots in the bucket.
    let before = stage.policy().await.last_drill.unwrap().at;
    let parts: Vec<_> = store.list(Some(&Path::from("search/runs"))).try_collect().await.unwrap();
    let part = parts.into_iter().map(|it| it.location).find(|key| key.to_string().contains("/data/Articles/")).unwrap();
    store.put(&part, vec![0_u8; 64].into()).await.unwrap();
    stage.suspend_drills(false).await;
    let drill = stage.drilled(Some(&before), DrillState::Failed).await;
    assert!(drill.message.as_ref().is_some_and(|message| message.contains("Articles")), "{drill:?}");
    let status = stage.policy().await;
    for (kind, value) in [("Ready", "False"), ("Verified", "False"), ("Stalled", "True")] {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind);
        let told = condition.map(|condition| (condition.status.as_str(), condition.reason.as_str()));
        assert_eq!(told, Some((value, "DrillFailed")), "{kind}");
    }

    // Another run, and its drill, end it.
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::RUN_NOW_ANNOTATION: "again"}}}));
    stage.api::<CollectionBackup>().patch("nightly", &PatchParams::default(), &patch).await.unwrap();
    stage.drilled(Some(&drill.at), DrillState::Passed).await;
    stage
        .wait("the policy to be well again", PATIENCE, async || {
            let status = stage.policy().await;
            (is(&status.conditions, "Ready", "True") && is(&status.conditions, "Verified", "True")).then_some(())
        })
        .await;
    stage.suspend_drills(true).await;
    assert_eq!(scratch().await, Vec::<String>::new());
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
