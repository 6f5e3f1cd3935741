//! Backups into Google Cloud Storage by the kinds, at a private address: a Secret that is no key and one that is not let in
//! are told as what they are, then runs are written, retired, read from a laptop, and restored as they were.
//!
//! The server speaks Google's XML API over fake-gcs-server (`e2e/gcs`), and `cargo xtask test` builds it before. Azure's
//! emulator needs Node, which no journey does: `cargo xtask soak stores`.

use std::process::{Command, Stdio};

use elysia_api::backup::{BackupState, CollectionBackupStatus};
use elysia_api::restore::RestorePhase;
use elysia_api::{CollectionBackup, CollectionRestore, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::stores::GcsServer;
use elysia_weaviate::{Consistency, SchemaRead};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::backup::BUCKET;
use crate::backup_native::said;
use crate::support::{PATIENCE, Stage, is, on_a_thread, plug_in_path};

/// Objects when the first run is made, and more of them for the second.
const OBJECTS: u32 = 200;
const MORE: u32 = 30;

/// Of what is in every key file and in no message.
const SECRET: &str = "PRIVATE KEY";

fn store(server: &GcsServer, secret: &str) -> Value {
    json!({"gcs": {
        "bucket": BUCKET, "prefix": "search", "endpoint": server.endpoint(), "credentialsSecretRef": {"name": secret},
    }})
}

fn restore(name: &str, from: &Value, into: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"clusterRef": {"name": "search"}, "from": from, "collection": "Articles", "into": into},
    })
}

/// A Secret as `kubectl create secret generic NAME --from-file=serviceAccountKey` makes it, or changes it.
async fn secret(stage: &Stage, name: &str, text: &str) {
    let key = ByteString(text.as_bytes().to_vec());
    let data = json!({names::GCS_SERVICE_ACCOUNT_KEY: key});
    stage.apply::<Secret>(json!({"metadata": {"name": name}, "data": data})).await;
}

/// Waits until the policy needs a person for this reason, and is not Ready for the same: what it says.
async fn stalls(stage: &Stage, reason: &str) -> (CollectionBackupStatus, String) {
    let api = stage.api::<CollectionBackup>();
    stage
        .wait(&format!("the policy to stall for {reason}"), PATIENCE, async || {
            let status = api.get("nightly").await.unwrap().status?;
            let of = |kind: &str, value: &str| {
                let mut all = status.conditions.iter();
                all.find(|it| it.type_ == kind && it.status == value && it.reason == reason)
                    .map(|it| it.message.clone())
            };
            let message = of("Stalled", "True").filter(|_| of("Ready", "False").is_some())?;
            Some((status, message))
        })
        .await
}

/// The laptop of a person: the plug-in with a key file, and no custom resource.
struct Laptop<'a> {
    stage: &'a Stage,
    server: &'a GcsServer,
}

impl Laptop<'_> {
    /// What the plug-in says of `gs://backups/PREFIX` on stdout and stderr, and its exit code.
    async fn says(&self, arguments: &[&str], prefix: &str, is_known: bool) -> (i32, String, String) {
        let mut command = Command::new(plug_in_path());
        command.args(arguments).args(["--store", &format!("gs://{BUCKET}/{prefix}")]);
        command.args(["--endpoint", self.server.endpoint(), "--namespace", &self.stage.namespace]);
        let file = if is_known { self.server.known() } else { self.server.unknown() };
        command.env("GOOGLE_APPLICATION_CREDENTIALS", file).env("NO_COLOR", "1").stdin(Stdio::null());
        let output = on_a_thread(move || command.output().unwrap()).await;
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code().unwrap_or(-1), stdout, stderr)
    }

    async fn told(&self, arguments: &[&str], prefix: &str) -> Value {
        let (code, text, problem) = self.says(&[arguments, &["--output", "json"]].concat(), prefix, true).await;
        assert_eq!(code, 0, "{arguments:?}: {text}{problem}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Objects of the one collection of a run, and the digest of all that is in it.
    async fn contents(&self, run: &str, prefix: &str) -> [Value; 2] {
        let manifest = self.told(&["catalog", "show", run], prefix).await;
        ["objects", "digest"].map(|key| manifest["collections"][0][key].clone())
    }
}

/// A Secret that holds no key, then one with the key of an account that is not let in: nothing is written, and each is told.
async fn keys_that_open_nothing(stage: &Stage, server: &GcsServer) {
    secret(stage, "google-key", "hush").await;
    stage
        .apply::<CollectionBackup>(json!({
            "metadata": {"name": "nightly"},
            "spec": {
                "clusterRef": {"name": "search"}, "collections": ["Articles"], "store": store(server, "google-key"),
                "retention": {"last": 1},
            },
        }))
        .await;
    let (_, told) = stalls(stage, "StoreMissing").await;
    assert!(told.contains("key serviceAccountKey of Secret google-key: no JSON") && !told.contains("hush"), "{told}");
    let jobs = ListParams::default().labels(names::BACKUP_LABEL);
    assert!(stage.api::<Job>().list(&jobs).await.unwrap().items.is_empty(), "a pod would find nothing else");

    let unknown = std::fs::read_to_string(server.unknown()).unwrap();
    secret(stage, "google-key", &unknown).await;
    let (status, told) = stalls(stage, "RunFailed").await;
    assert!(
        told.contains("the key is not accepted") && told.contains("correct serviceAccountKey in the Secret"),
        "{told}"
    );
    assert!(told.contains(server.endpoint()) && !told.contains(SECRET), "{told}");
    let run = status.run.unwrap();
    assert_eq!((run.state, run.objects, status.runs.len()), (BackupState::Failed, 0, 0), "{:?}", run.message);
    let laptop = Laptop { stage, server };
    let (code, _, told) = laptop.says(&["backup", "ls"], "search", false).await;
    assert!(code == 1 && told.contains("the key is not accepted") && !told.contains(SECRET), "{code}: {told}");
}

/// Two runs, of which one is kept: the id of that one.
async fn runs_are_written(stage: &Stage) -> String {
    stage.annotate::<CollectionBackup>("nightly", names::RUN_NOW_ANNOTATION, "mended").await;
    let first = stage.backed_up("nightly", Some("mended")).await;
    let run = first.run.clone().unwrap();
    assert_eq!((run.state, run.objects), (BackupState::Succeeded, i64::from(OBJECTS)), "{:?}", first.conditions);
    assert!(is(&first.conditions, "Ready", "True") && is(&first.conditions, "Verified", "True"));
    let nodes = stage.nodes("search").await;
    nodes.write("Articles", None, OBJECTS..OBJECTS + MORE, Consistency::All).await;
    stage.annotate::<CollectionBackup>("nightly", names::RUN_NOW_ANNOTATION, "again").await;
    let second = stage.backed_up("nightly", Some("again")).await;
    let next = second.run.clone().unwrap();
    assert_eq!(
        (next.state, next.objects),
        (BackupState::Succeeded, i64::from(OBJECTS + MORE)),
        "{:?}",
        second.conditions
    );
    assert!(is(&second.conditions, "Verified", "True"), "{:?}", second.conditions);
    assert_ne!(next.id, run.id);
    next.id.unwrap()
}

#[tokio::test]
async fn a_backup_into_a_bucket_of_google() {
    let stage = Stage::set("backup-google").await;
    let server = on_a_thread(|| GcsServer::start(NODE_ADDRESS, &[BUCKET], None).unwrap()).await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 3).await;
    nodes.fill("Articles", OBJECTS).await;
    keys_that_open_nothing(&stage, &server).await;
    secret(&stage, "google-key", &std::fs::read_to_string(server.known()).unwrap()).await;
    let run = runs_are_written(&stage).await;

    // Straight from the laptop: the one that is kept, and that it is sound.
    let laptop = Laptop { stage: &stage, server: &server };
    for verb in [["catalog", "list"], ["backup", "ls"]] {
        let listed = laptop.told(&verb, "search").await;
        let runs = listed["runs"].as_array().unwrap();
        assert!(runs.len() == 1 && runs[0]["id"] == json!(run) && runs[0]["state"] == "Complete", "{listed}");
        assert!(runs[0]["verifiedAt"].is_string(), "{listed}");
    }
    let (code, text, problem) = laptop.says(&["backup", "verify", "latest"], "search", true).await;
    assert!(code == 0 && text.contains("sound"), "{text}{problem}");

    // Another key in another Secret reads nothing, and writes nothing.
    secret(&stage, "wrong-key", &std::fs::read_to_string(server.unknown()).unwrap()).await;
    let from = json!({"store": store(&server, "wrong-key"), "run": "latest"});
    stage.apply::<CollectionRestore>(restore("locked-out", &from, "Never")).await;
    let told = said(&stage.restored("locked-out", RestorePhase::Failed).await);
    assert!(
        told.starts_with("Blocked: ") && told.contains("the key is not accepted") && !told.contains(SECRET),
        "{told}"
    );
    assert!(nodes.first().class("Never", SchemaRead::Leader).await.unwrap().is_none());

    // Into another collection, which is the same by the digest of all that is in it.
    let from = json!({"backupRef": {"name": "nightly"}, "run": "latest"});
    stage.apply::<CollectionRestore>(restore("back", &from, "Restored")).await;
    let status = stage.restored("back", RestorePhase::Succeeded).await;
    assert_eq!((status.run.as_ref(), status.objects.unwrap().written), (Some(&run), i64::from(OBJECTS + MORE)));
    let ids = nodes.ids("Articles").await.into_values().next().unwrap();
    assert_eq!(ids.len(), usize::try_from(OBJECTS + MORE).unwrap());
    nodes.come_to_hold("Restored", &ids).await;
    let made = laptop.told(&["backup", "create", "Restored"], "by-hand").await;
    let again = laptop.contents(made["id"].as_str().unwrap(), "by-hand").await;
    assert_eq!(again, laptop.contents(&run, "search").await);
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
