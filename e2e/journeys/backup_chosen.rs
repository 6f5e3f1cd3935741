//! A policy that chooses: a filter, runs that build on one another, a key; and a restore that takes some of it and makes
//! something else of that. Also the person's words for it: a schedule, an approval, and what `health` shows. And a policy of
//! all collections on a volume, one of which leads to another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use elysia_api::backup::BackupState;
use elysia_api::restore::RestorePhase;
use elysia_api::{CollectionBackup, CollectionRestore, names};
use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_weaviate::{Consistency, NewReference, Object, ReadFrom, SchemaRead};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use object_store::ObjectStoreExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backup::{BUCKET, client, manifests, policy};
use crate::feed_volume::claimed_folder;
use crate::support::{Nodes, PATIENCE, Stage, is, on_a_thread, plug_in_path};

/// A key as `openssl rand -hex 32` makes it.
const KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// The manifest of a run.
pub(crate) async fn manifest(store: &AmazonS3, run: &str) -> Value {
    let path = Path::from(format!("search/runs/{run}/manifest.json"));
    serde_json::from_slice(&store.get(&path).await.unwrap().bytes().await.unwrap()).unwrap()
}

async fn plug_in(stage: &Stage, arguments: &[&str], typed: &str) -> (i32, String) {
    let mut command = std::process::Command::new(plug_in_path());
    command.args(arguments).args(["--namespace", &stage.namespace]);
    let typed = typed.to_owned();
    on_a_thread(move || {
        use std::io::Write as _;
        use std::process::Stdio;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8(text).unwrap())
    })
    .await
}

/// All collections to a volume: one leads to another, by a reference that comes back; a third is excluded. A restore reads the
/// volume.
async fn of_all_on_a_volume(stage: &Stage, nodes: &Nodes) {
    nodes.create("Scratch", 1, 3).await;
    let linked = json!({
        "class": "Linked", "vectorizer": "none", "replicationConfig": {"factor": 3},
        "properties": [{"name": "of", "dataType": ["Articles"]}],
    });
    nodes.first().create_class(&linked).await.unwrap();
    let article = nodes.ids("Articles").await.into_values().flatten().next().unwrap();
    let [here, gone] = [article, Uuid::from_u128(1)].map(|id| format!("weaviate://localhost/Articles/{id}"));
    let object = Object {
        id: Uuid::from_u128(7),
        class: "Linked".to_owned(),
        tenant: None,
        last_update_time: None,
        properties: serde_json::Map::new(),
        vector: None,
        vectors: BTreeMap::new(),
    };
    nodes.first().create_object(&object, Consistency::All).await.unwrap();
    // A server asks for no target.
    let references = [&gone, &here].map(|beacon| NewReference { id: object.id, property: "of", beacon });
    let refused = nodes.first().add_references("Linked", None, &references, Consistency::All).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let folder = claimed_folder(stage, "runs").await.join("search");
    fs::create_dir(&folder).unwrap();
    // The worker is another user than the one who made it.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    stage
        .apply::<CollectionBackup>(json!({
            "metadata": {"name": "on-disk"},
            "spec": {
                "clusterRef": {"name": "search"}, "exclude": ["Scra*"], "compression": "Auto",
                "store": {"volume": {"claimName": "runs", "path": "search"}},
            },
        }))
        .await;
    let status = stage.backed_up("on-disk", None).await;
    let run = status.run.clone().unwrap();
    assert_eq!((run.state, run.left_out), (BackupState::Succeeded, 0), "{run:?}");
    let text = fs::read_to_string(folder.join(format!("runs/{}/manifest.json", run.id.unwrap()))).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = manifest["collections"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert!(names.contains(&json!("Articles")) && !names.contains(&json!("Scratch")), "{names:?}");
    stage
        .apply::<CollectionRestore>(json!({
            "metadata": {"name": "linked"},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "on-disk"}, "run": "latest"},
                "collection": "Linked", "into": "LinkedAgain",
            },
        }))
        .await;
    stage.restored("linked", RestorePhase::Succeeded).await;
    let of = ["of".to_owned()];
    let found = nodes.first().object_references("LinkedAgain", None, object.id, &of, Consistency::Quorum).await;
    let found = found.unwrap().unwrap().properties["of"].clone();
    let beacons: Vec<_> = found.as_array().unwrap().iter().map(|it| it["beacon"].clone()).collect();
    assert_eq!(beacons, [json!(gone), json!(here)], "in their order, and also to what is not there");
    stage
        .apply::<CollectionRestore>(json!({
            "metadata": {"name": "from-disk"},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "on-disk"}, "run": "latest"},
                "collection": "Articles", "into": "FromDisk",
            },
        }))
        .await;
    let restored = stage.restored("from-disk", RestorePhase::Succeeded).await;
    assert_eq!(restored.objects.unwrap().written, 65);
    let ids = nodes.ids("Articles").await.into_values().next().unwrap();
    nodes.come_to_hold("FromDisk", &ids).await;
}

#[tokio::test]
async fn a_chosen_backup_and_what_is_made_of_it() {
    let stage = Stage::set("backup-chosen").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 3).await;
    nodes.fill("Articles", 60).await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let store = client(&server);
    let data = json!({names::S3_ACCESS_KEY_ID: ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY});
    stage.apply::<Secret>(json!({"metadata": {"name": "bucket-key"}, "stringData": data})).await;

    // A filter that cannot be read, then a key that is not there: told, and nothing is written.
    let mut chosen = policy("nightly", &server);
    chosen["spec"]["filter"] = json!("title like ");
    chosen["spec"]["incremental"] = json!({"fullEvery": 3});
    chosen["spec"]["encryption"] = json!({"keySecretRef": {"name": "backup-key", "key": "key"}});
    stage.apply::<CollectionBackup>(chosen.clone()).await;
    let api = stage.api::<CollectionBackup>();
    let stalls = async |reason: &str| {
        let what = format!("the policy to stall for {reason}");
        stage
            .wait(&what, PATIENCE, async || {
                let conditions = api.get("nightly").await.unwrap().status?.conditions;
                conditions.into_iter().find(|it| it.type_ == "Stalled" && it.reason == reason).map(|it| it.message)
            })
            .await
    };
    let told = stalls("InvalidSpec").await;
    assert!(told.contains("spec.filter: column "), "{told}");
    chosen["spec"]["filter"] = json!("title like 'title 1*'");
    stage.apply::<CollectionBackup>(chosen).await;
    stalls("SecretMissing").await;
    assert!(manifests(&store).await.is_empty());

    // With the key there is one run, of what is meant, which nobody reads without it.
    stage.apply::<Secret>(json!({"metadata": {"name": "backup-key"}, "stringData": {"key": format!("{KEY}\n")}})).await;
    let first = stage.backed_up("nightly", None).await;
    let run = first.run.clone().unwrap();
    assert_eq!((run.state, run.objects), (BackupState::Succeeded, 11), "{:?}", first.conditions);
    assert!(is(&first.conditions, "Verified", "True"), "{:?}", first.conditions);
    let whole = manifest(&store, run.id.as_deref().unwrap()).await;
    assert!(whole["encryption"]["key"].is_string() && whole.get("base").is_none(), "{whole}");
    assert!(!whole.to_string().contains("title 1"), "the filter is no secret's place: {whole}");

    // The next one holds what is new.
    nodes.write("Articles", None, 100..105, Consistency::All).await;
    stage.annotate::<CollectionBackup>("nightly", names::RUN_NOW_ANNOTATION, "1").await;
    let second = stage.backed_up("nightly", Some("1")).await;
    let next = second.run.clone().unwrap();
    assert_eq!((next.state, next.objects), (BackupState::Succeeded, 16), "{:?}", second.conditions);
    let built = manifest(&store, next.id.as_deref().unwrap()).await;
    assert_eq!(built["base"][0]["run"], json!(run.id.unwrap()));
    assert_eq!(built["collections"][0]["written"]["objects"], 5, "{built}");

    // Some of it, made into something else, by the key of the policy.
    let restore = |name: &str, edit: &dyn Fn(&mut Value)| {
        let mut restore = json!({
            "metadata": {"name": name},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
                "collection": "Articles", "into": "Chosen",
                "select": {"filter": "title != 'title 11'"},
                "transform": [
                    {"rename": {"from": "title", "to": "headline"}},
                    {"mask": {"property": "headline", "how": {"keepLast": {"characters": 2}}}},
                    {"script": {"source": "object.headline += if id.len() == 36 { \"!\" } else { \"?\" };"}},
                ],
            },
        });
        edit(&mut restore);
        restore
    };
    // Where no class is to be made there is none, and nothing is written.
    let bare = restore("bare", &|restore| restore["spec"]["skipSchema"] = json!(true));
    stage.apply::<CollectionRestore>(bare).await;
    let blocked = stage.restored("bare", RestorePhase::Failed).await;
    assert!(blocked.conditions.iter().any(|it| it.message.contains("there is no collection Chosen")), "{blocked:?}");
    stage.apply::<CollectionRestore>(restore("chosen", &|_| {})).await;
    let status = stage.restored("chosen", RestorePhase::Succeeded).await;
    assert_eq!(status.objects.unwrap().written, 15);
    let class = nodes.first().class("Chosen", SchemaRead::Leader).await.unwrap().unwrap();
    assert_eq!(class["properties"][0]["name"], "headline");
    let object =
        nodes.first().object("Chosen", None, Uuid::from_u128(105), ReadFrom::Replicas(Consistency::All), false).await;
    assert_eq!(object.unwrap().unwrap().properties["headline"], json!("*******04!"));
    assert_eq!(nodes.ids("Chosen").await.values().map(Vec::len).max(), Some(15));

    // Over objects a person approves it with a command; without the key nobody could.
    let over = restore("over", &|restore| restore["spec"]["conflict"] = json!("Overwrite"));
    stage.apply::<CollectionRestore>(over).await;
    let plan = stage.restored("over", RestorePhase::NeedsApproval).await.plan.unwrap();
    let (code, text) = plug_in(&stage, &["health"], "").await;
    assert!(code == 1 && text.contains("NeedsApproval") && text.contains("nightly"), "{text}");
    let approve = ["repair", "approve", "restore/over", "--wait"];
    let (code, text) = plug_in(&stage, &approve, &format!("{}\n", plan.hash)).await;
    assert_eq!(code, 0, "{text}");
    stage.restored("over", RestorePhase::Succeeded).await;
    let keyless = restore("keyless", &|restore| {
        let spec = &mut restore["spec"];
        spec["from"] = json!({"store": policy("x", &server)["spec"]["store"], "run": "latest"});
        spec["into"] = json!("Keyless");
    });
    stage.apply::<CollectionRestore>(keyless).await;
    let blocked = stage.restored("keyless", RestorePhase::Failed).await;
    assert!(blocked.conditions.iter().any(|it| it.message.contains("is encrypted with key")), "{blocked:?}");

    // The person's words: a schedule is set by a command, and nothing else of the policy changes.
    let (code, text) =
        plug_in(&stage, &["backup", "schedule", "nightly", "--daily", "03:00", "--retain", "9"], "").await;
    assert_eq!(code, 0, "{text}");
    let object = stage
        .wait("the schedule", PATIENCE, async || {
            let object = api.get("nightly").await.unwrap();
            object.status.as_ref()?.next_run.as_ref()?;
            Some(object)
        })
        .await;
    assert_eq!(object.spec.schedule.map(|schedule| schedule.cron).as_deref(), Some("0 3 * * *"));
    assert_eq!(object.spec.retention.and_then(|retention| retention.last), Some(9));
    assert_eq!(object.spec.incremental.map(|incremental| incremental.full_every), Some(3));
    let refused = api
        .patch("nightly", &PatchParams::default(), &Patch::Merge(json!({"spec": {"mode": "SchemaOnly"}})))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("mode: SchemaOnly writes no objects"), "{refused}");
    of_all_on_a_volume(&stage, &nodes).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}
