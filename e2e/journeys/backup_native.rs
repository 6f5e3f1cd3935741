//! Weaviate's own backup to a bucket by the same resource: started once though operator and worker are killed, catalogued,
//! retired with all of its files, and put back by the servers; what cannot be is told before anything is asked of them.

use elysia_api::backup::BackupState;
use elysia_api::restore::{CollectionRestoreStatus, RestorePhase};
use elysia_api::{CollectionBackup, CollectionRestore, WeaviateCluster, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_weaviate::SchemaRead;
use futures::TryStreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore as _, ObjectStoreExt as _};
use serde_json::{Value, json};

use crate::operator_killed::kill_operator;
use crate::support::{PATIENCE, Stage, is, on_a_thread, version};

const BUCKET: &str = "backups";

/// Objects of the collection.
const OBJECTS: u32 = 400;

fn client(server: &S3Server) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(server.endpoint());
    let builder = builder.with_access_key_id(ACCESS_KEY_ID).with_secret_access_key(SECRET_ACCESS_KEY);
    builder.with_client_options(ClientOptions::new().with_allow_http(true)).build().unwrap()
}

/// Every key of the bucket.
async fn keys(store: &AmazonS3) -> Vec<String> {
    let found: Vec<_> = store.list(None).try_collect().await.unwrap();
    found.into_iter().map(|found| found.location.to_string()).collect()
}

async fn manifests(store: &AmazonS3) -> Vec<String> {
    keys(store).await.into_iter().filter(|key| key.ends_with("/manifest.json")).collect()
}

fn bucket(server: &S3Server, prefix: &str) -> Value {
    json!({
        "bucket": BUCKET, "prefix": prefix, "endpoint": server.endpoint(),
        "credentialsSecretRef": {"name": "bucket-key"},
    })
}

fn policy(name: &str, server: &S3Server, edit: impl FnOnce(&mut Value)) -> Value {
    let mut policy = json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"}, "collections": ["Articles"], "engine": "Native",
            "native": {"compressionLevel": "BestSpeed"}, "store": {"s3": bucket(server, name)},
        },
    });
    edit(&mut policy["spec"]);
    policy
}

fn restore(name: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut restore = json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "native"}, "run": "latest"},
            "collection": "Articles",
        },
    });
    edit(&mut restore["spec"]);
    restore
}

/// The reason of Ready, and its message.
pub(crate) fn said(status: &CollectionRestoreStatus) -> String {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| format!("{}: {}", ready.reason, ready.message)).unwrap_or_default()
}

#[tokio::test]
async fn the_servers_own_backup_and_its_restore() {
    let stage = Stage::set("backup-native").await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;

    // A cluster whose servers know another place of the bucket: each policy says its own.
    stage
        .apply::<WeaviateCluster>(json!({
            "metadata": {"name": "search"},
            "spec": {
                "managed": {
                    "version": version(), "replicas": 3, "storage": {"size": "1Gi"},
                    "backup": {"s3": bucket(&server, "servers")},
                },
                "verify": {"interval": "10s"},
            },
        }))
        .await;
    stage.cluster_is_ready("search").await;
    let nodes = stage.nodes("search").await;
    assert!(nodes.first().meta().await.unwrap().modules.contains_key("backup-s3"));
    nodes.create("Articles", 3, 3).await;
    let ids = nodes.fill("Articles", OBJECTS).await;

    // What cannot be is told, and nothing is written.
    stage.apply::<CollectionBackup>(policy("missing", &server, |spec| spec["collections"] = json!(["Nothing"]))).await;
    let status = stage.backed_up("missing", None).await;
    let run = status.run.clone().unwrap();
    assert_eq!(run.state, BackupState::Failed);
    assert!(run.message.as_ref().unwrap().contains("nothing was begun: there is no collection Nothing"), "{run:?}");
    assert_eq!(keys(&store).await, Vec::<String>::new());

    // One backup, also when operator and worker are killed as it begins.
    stage.apply::<CollectionBackup>(policy("native", &server, |spec| spec["retention"] = json!({"last": 1}))).await;
    let jobs = ListParams::default().labels(&format!("{}=native", names::BACKUP_LABEL));
    stage
        .wait("the Job", PATIENCE, async || {
            let jobs = stage.api::<Job>().list(&jobs).await.unwrap().items;
            (!jobs.is_empty()).then_some(())
        })
        .await;
    kill_operator(&stage).await;
    stage.kill_pods(&format!("{}=native", names::BACKUP_LABEL)).await;
    let status = stage.backed_up("native", None).await;
    let run = status.run.clone().unwrap();
    assert_eq!((run.state, run.objects), (BackupState::Succeeded, i64::from(OBJECTS)), "{:?}", status.conditions);
    assert!(is(&status.conditions, "Ready", "True") && is(&status.conditions, "Verified", "True"));
    let id = run.id.clone().unwrap();
    let manifest = Path::from(format!("native/runs/{id}/manifest.json"));
    let manifest: Value = serde_json::from_slice(&store.get(&manifest).await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(manifest["native"]["nodes"], json!(["search-0", "search-1", "search-2"]), "{manifest}");
    assert_eq!(manifest["native"]["hashed"], json!(true));
    let below = format!("native/runs/{id}/native/{}/", id.to_lowercase());
    let files: Vec<String> = keys(&store).await.into_iter().filter(|key| key.starts_with(&below)).collect();
    assert!(files.iter().any(|key| key.ends_with("/backup_config.json")), "{files:?}");
    for node in ["search-0", "search-1", "search-2"] {
        assert!(files.iter().any(|key| key.contains(&format!("/{node}/Articles/"))), "{node}: {files:?}");
    }
    assert!(!keys(&store).await.iter().any(|key| key.starts_with("servers/")), "the policy's place, not the servers'");

    // Nothing runs twice, whatever is lost.
    stage.wipe("native", names::BACKUP_LABEL).await;
    let again = stage.backed_up("native", None).await;
    assert_eq!(again.run.unwrap().id, Some(id.clone()));
    assert_eq!(manifests(&store).await.len(), 1);

    // What files cannot do is told before anything is done.
    stage.apply::<CollectionRestore>(restore("there", |_| {})).await;
    let status = stage.restored("there", RestorePhase::Failed).await;
    assert!(said(&status).starts_with("Blocked: nothing was written: Articles exists"), "{}", said(&status));
    stage.apply::<CollectionRestore>(restore("renamed", |spec| spec["into"] = json!("Back"))).await;
    let status = stage.restored("renamed", RestorePhase::Failed).await;
    assert!(
        said(&status).contains("into: Weaviate's own backup cannot give a collection another name"),
        "{}",
        said(&status)
    );

    // The collection is gone, and comes back on every node with every object, though the operator is killed.
    nodes.first().delete_class("Articles").await.unwrap();
    stage.apply::<CollectionRestore>(restore("back", |_| {})).await;
    stage.restore_begins("back").await;
    kill_operator(&stage).await;
    let status = stage.restored("back", RestorePhase::Succeeded).await;
    assert_eq!(status.objects.unwrap().written, i64::from(OBJECTS));
    nodes.come_to_hold("Articles", &ids).await;
    nodes.first().delete_class("Articles").await.unwrap();
    stage.wipe("back", names::RESTORE_LABEL).await;
    stage.restored("back", RestorePhase::Succeeded).await;
    assert!(nodes.first().class("Articles", SchemaRead::Leader).await.unwrap().is_none(), "a restore never runs twice");

    // The next run retires the one before it with every file of the servers, and no other.
    nodes.create("Articles", 3, 3).await;
    nodes.fill("Articles", OBJECTS).await;
    stage.annotate::<CollectionBackup>("native", names::RUN_NOW_ANNOTATION, "again").await;
    let status = stage.backed_up("native", Some("again")).await;
    let next = status.run.unwrap().id.unwrap();
    assert_ne!(next, id);
    let left = keys(&store).await;
    assert!(!left.iter().any(|key| key.contains(&id)), "{left:?}");
    assert!(left.iter().any(|key| key.starts_with(&format!("native/runs/{next}/native/"))), "{left:?}");
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
