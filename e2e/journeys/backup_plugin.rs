//! Backups from a person's own machine, to a bucket and to a directory: everything comes back as it was, damage is found,
//! what is killed goes on, and nobody deletes what is not theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_weaviate::{ActivityStatus, Consistency, Object, SchemaRead, Tenant};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::{NODES, Nodes, PATIENCE, Stage, on_a_thread, plug_in_path};

const BUCKET: &str = "backups";
/// Objects of the collection whose restore is killed: it takes some seconds.
const MANY: u32 = 6_000;
/// Restores that are begun until one is killed in its midst: one that is looked at too late is over already.
const ATTEMPTS: u32 = 5;
/// Objects of each tenant.
const OF_TENANT: u32 = 40;

/// A collection of every kind of property and vector.
fn every() -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    let nested = json!([
        property("name", "text"), property("at", "date"), property("numbers", "number[]"),
        {"name": "deep", "dataType": ["object"], "nestedProperties": [property("whole", "int")]},
    ]);
    let mut properties: Vec<Value> = [
        "text",
        "text[]",
        "int",
        "int[]",
        "number",
        "number[]",
        "boolean",
        "boolean[]",
        "date",
        "date[]",
        "uuid",
        "uuid[]",
        "geoCoordinates",
        "phoneNumber",
        "blob",
    ]
    .iter()
    .map(|kind| property(&kind.replace("[]", "s"), kind))
    .collect();
    properties.push(json!({"name": "object", "dataType": ["object"], "nestedProperties": nested}));
    properties.push(json!({"name": "objects", "dataType": ["object[]"], "nestedProperties": nested}));
    let none = json!({"none": {}});
    json!({
        "class": "Every",
        "properties": properties,
        "replicationConfig": {"factor": NODES},
        "shardingConfig": {"desiredCount": 2},
        "vectorConfig": {
            "one": {"vectorizer": none, "vectorIndexType": "hnsw"},
            "many": {"vectorizer": none, "vectorIndexType": "hnsw", "vectorIndexConfig": {"multivector": {"enabled": true}}},
        },
    })
}

/// What stands in the objects: everything, nothing, and what is easily lost.
fn rows() -> Vec<Value> {
    let inner = json!({"name": "n", "at": "2026-11-29T16:15:53.123456789Z", "numbers": [0.1, 3], "deep": {"whole": 7}});
    vec![
        json!({
            "text": "a \u{e4} \" \n", "texts": ["a", ""], "int": -42, "ints": [1, 2], "number": 0.1, "numbers": [1e300, 3, -2.5],
            "boolean": true, "booleans": [true, false], "date": "2026-11-29T16:15:53.123456789Z",
            "dates": ["2026-11-29T16:15:53+02:00", "1969-01-01T00:00:00Z"], "uuid": Uuid::from_u128(5), "uuids": [Uuid::nil()],
            "geoCoordinates": {"latitude": 52.393_27, "longitude": 4.837_426}, "blob": "AAECAwQFBgc=",
            "phoneNumber": {"input": "020 1234567", "defaultCountry": "nl"}, "object": inner, "objects": [inner, {}],
        }),
        json!({}),
        json!({"text": "", "texts": [], "int": 0, "ints": [], "number": 0, "numbers": [], "boolean": false, "dates": []}),
        json!({"int": 9_007_199_254_740_993_i64, "number": 1e-320, "date": "2026-11-29T16:15:53.5+05:30"}),
        json!({"object": {}, "objects": []}),
    ]
}

fn vector(number: u32, length: u32) -> Vec<f32> {
    (0..length).map(|place| f32::from(u16::try_from((number * 31 + place * 7) % 1009).unwrap()) / 509.0 - 1.0).collect()
}

/// Ids that stretches share, and the lowest and the highest that there can be.
fn id(number: u32) -> Uuid {
    match number {
        0 => Uuid::nil(),
        1 => Uuid::max(),
        number => Uuid::from_u128((u128::from(number.wrapping_mul(0x9E37_79B9)) << 96) | u128::from(number)),
    }
}

fn object(class: &str, number: u32, properties: Value) -> Object {
    let Value::Object(properties) = properties else { panic!("properties are an object") };
    Object {
        id: id(number),
        class: class.to_owned(),
        tenant: None,
        last_update_time: None,
        properties,
        vector: None,
        vectors: BTreeMap::new(),
    }
}

async fn fill(nodes: &Nodes) {
    let client = nodes.first();
    client.create_class(&every()).await.unwrap();
    for (number, row) in rows().into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let mut object = object("Every", number, row);
        if number != 1 {
            object.vectors.insert("one".to_owned(), json!(vector(number, 8)));
        }
        if number % 2 == 0 {
            object.vectors.insert("many".to_owned(), json!([vector(number, 4), vector(number + 1, 4)]));
        }
        client.create_object(&object, Consistency::All).await.unwrap();
    }
    let tenanted = json!({
        "class": "Tenanted", "vectorizer": "none", "multiTenancyConfig": {"enabled": true},
        "replicationConfig": {"factor": NODES}, "properties": [{"name": "title", "dataType": ["text"]}],
    });
    client.create_class(&tenanted).await.unwrap();
    let tenant = |name: &str, activity_status| Tenant { name: name.to_owned(), activity_status };
    let tenants = ["cold", "empty", "warm"].map(|name| tenant(name, ActivityStatus::Hot));
    client.create_tenants("Tenanted", &tenants).await.unwrap();
    for name in ["cold", "warm"] {
        nodes.write("Tenanted", Some(name), 0..OF_TENANT, Consistency::All).await;
    }
    client.update_tenants("Tenanted", &[tenant("cold", ActivityStatus::Cold)]).await.unwrap();
}

/// Many objects in few calls.
async fn fill_many(nodes: &Nodes) {
    nodes.create("Many", 1, i64::try_from(NODES).unwrap()).await;
    let address = format!("{}/v1/batch/objects?consistency_level=ALL", nodes.first().address().trim_end_matches('/'));
    for begin in (0..MANY).step_by(1000) {
        let row = |number: u32| {
            let properties =
                Map::from_iter([("title".to_owned(), json!(format!("title {number} {}", "word ".repeat(40))))]);
            json!({"class": "Many", "id": id(number), "properties": properties, "vector": vector(number, 32)})
        };
        let body = json!({"objects": (begin..begin + 1000).map(row).collect::<Vec<_>>()});
        let (address, key) = (address.clone(), format!("Bearer {}", nodes.key));
        on_a_thread(move || ureq::post(&address).header("Authorization", &key).send_json(&body).unwrap()).await;
    }
}

fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(plug_in_path());
    command.args(arguments).args(["--namespace", &stage.namespace]).env("NO_COLOR", "1");
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    command.stdin(Stdio::null());
    command
}

/// What the plug-in said on stdout, on stderr, and its exit code.
async fn plug_in(stage: &Stage, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(stage, arguments);
    let output = on_a_thread(move || command.output().unwrap()).await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    println!("   {}: {:?}", arguments.join(" "), output.status.code());
    (output.status.code().unwrap_or(-1), stdout, stderr)
}

async fn told(stage: &Stage, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["-o", "json"]].concat();
    let (code, text, problem) = plug_in(stage, &arguments).await;
    assert_eq!(code, 0, "{text}{problem}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a run says of a collection: its objects and the digest of all that is in them.
async fn contents(stage: &Stage, place: &[&str], run: &str, collection: &str) -> (u64, String) {
    let manifest = told(stage, &[&["backup", "show", run], place].concat()).await;
    let note = manifest["collections"].as_array().unwrap().iter().find(|note| note["name"] == collection).unwrap();
    (note["objects"].as_u64().unwrap(), note["digest"].as_str().unwrap().to_owned())
}

async fn backed_up(stage: &Stage, place: &[&str], more: &[&str]) -> String {
    let made = told(stage, &[&["backup", "create"], more, place].concat()).await;
    made["id"].as_str().unwrap().to_owned()
}

fn first_part(root: &Path) -> PathBuf {
    let mut folders = vec![root.to_owned()];
    let mut parts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap().to_string_lossy().starts_with("part-") {
                parts.push(path);
            }
        }
    }
    parts.sort();
    parts.remove(0)
}

#[tokio::test]
async fn a_backup_from_here_comes_back_as_it_was() {
    let stage = Stage::set("backup-plugin").await;
    let nodes = stage.cluster("search").await;
    fill(&nodes).await;
    let server = on_a_thread(|| S3Server::start(NODE_ADDRESS, &[BUCKET]).unwrap()).await;
    let endpoint = server.endpoint();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("runs-of-a-person");
    let (bucket, directory_text) = (format!("s3://{BUCKET}/shop"), directory.to_str().unwrap().to_owned());
    let places: [(&[&str], &str); 2] =
        [(&["--store", &bucket, "--endpoint", &endpoint], "parquet"), (&["--store", &directory_text], "jsonl")];

    for (place, format) in places {
        // A tenant at rest is named, and nothing is begun.
        let (code, _, text) = plug_in(&stage, &[&["backup", "create", "--format", format], place].concat()).await;
        assert!(code == 1 && text.contains("cold is COLD"), "{code} {text}");
        let run = backed_up(&stage, place, &["Every", "Tenanted", "--format", format, "--cold", "wake"]).await;
        let tenants = nodes.first().tenants("Tenanted").await.unwrap();
        let cold = tenants.iter().find(|tenant| tenant.name == "cold").unwrap();
        assert_eq!(cold.activity_status, ActivityStatus::Cold, "it is put back to rest");
        let manifest = told(&stage, &[&["backup", "show", &run], place].concat()).await;
        for note in manifest["collections"].as_array().unwrap() {
            assert_eq!(note["replicas"]["compared"], true, "{note}");
            assert_eq!(note["replicas"]["differing"], 0, "{note}");
        }
        assert_eq!(contents(&stage, place, &run, "Every").await.0, u64::try_from(rows().len()).unwrap());
        let (code, text, _) = plug_in(&stage, &[&["backup", "verify", "latest"], place].concat()).await;
        assert!(code == 0 && text.contains("sound"), "{text}");
        let listed = told(&stage, &[&["backup", "ls"], place].concat()).await;
        assert!(listed["runs"][0]["verifiedAt"].is_string(), "{listed}");

        // Into other names, with fewer replicas: a backup of that has the same digests.
        for (name, into) in [("Every", format!("EveryFrom{format}")), ("Tenanted", format!("TenantedFrom{format}"))] {
            let restore = ["restore", &run, name, "--into", &into, "--factor", "1"];
            let (code, text, problem) = plug_in(&stage, &[&restore, place].concat()).await;
            assert_eq!(code, 0, "{text}{problem}");
            let again = backed_up(&stage, place, &[&into, "--policy", "by-hand", "--cold", "wake"]).await;
            let wanted = contents(&stage, place, &run, name).await;
            assert_eq!(contents(&stage, place, &again, &into).await, wanted, "{into}");
            // Done is done; and what has objects is not written into unless that is said.
            let (code, _, text) = plug_in(&stage, &[&restore, place].concat()).await;
            assert!(code == 0 && text.contains("restored into"), "{text}");
            let fail = ["restore", &run, name, "--into", &into, "--receipt", "another"];
            let (code, _, text) = plug_in(&stage, &[&fail, place].concat()).await;
            assert!(code == 1 && text.contains("has objects already"), "{text}");
            let overwrite = ["restore", &run, name, "--into", &into, "--conflict", "overwrite"];
            let (code, _, text) = plug_in(&stage, &[&overwrite, place].concat()).await;
            // A tenant at rest is not looked into, so nobody can say how much would be written over.
            let why =
                if name == "Every" { "nobody answered" } else { "is COLD: activate it first; nothing was changed" };
            assert!(code == 1 && text.contains(why), "{text}");
        }
    }
    damage_is_found(&stage, &directory, places[1].0).await;
    others_delete_nothing(&stage, places[0].0).await;
    killed_goes_on(&stage, &nodes, places[0].0).await;
    on_a_thread(move || drop(server)).await;
    stage.strike().await;
}

async fn damage_is_found(stage: &Stage, directory: &Path, place: &[&str]) {
    let part = first_part(directory);
    let whole = std::fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&part, &flipped).unwrap();
    let run = part.strip_prefix(directory.join("runs")).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
    let name = part.file_name().unwrap().to_str().unwrap();
    let (code, text, _) = plug_in(stage, &[&["backup", "verify", &run], place].concat()).await;
    assert!(code == 1 && text.contains(name), "{text}");
    let collection = part.strip_prefix(directory.join("runs").join(&run).join("data")).unwrap();
    let collection = collection.iter().next().unwrap().to_str().unwrap().to_owned();
    let restore = ["restore", &run, &collection, "--into", "Damaged"];
    let (code, _, text) = plug_in(stage, &[&restore, place].concat()).await;
    assert!(code == 1 && text.contains(name) && text.contains("nothing was changed"), "{text}");
    std::fs::write(&part, whole).unwrap();
    let (code, text, _) = plug_in(stage, &[&["backup", "verify", &run], place].concat()).await;
    assert_eq!(code, 0, "{text}");
}

async fn others_delete_nothing(stage: &Stage, place: &[&str]) {
    let before = told(stage, &[&["backup", "ls"], place].concat()).await["runs"].as_array().unwrap().len();
    assert!(before >= 3);
    let (code, _, text) =
        plug_in(stage, &[&["backup", "rm", "latest-is-none", "--yes", "--policy", "nightly"], place].concat()).await;
    assert!(code == 1 && text.contains("belongs to by-hand"), "{text}");
    let keep = ["backup", "cleanup", "--keep-last", "1", "--max-shrink", "100"];
    let dry = told(stage, &[&keep[..], place].concat()).await;
    assert_eq!(dry["done"], false, "{dry}");
    let oldest = dry["runs"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let (code, _, text) = plug_in(stage, &[&["backup", "rm", &oldest], place].concat()).await;
    assert!(code == 1 && text.contains("nobody answered"), "{text}");
    let (code, _, text) = plug_in(stage, &[&["backup", "rm", &oldest, "--yes"], place].concat()).await;
    assert_eq!(code, 0, "{text}");
    let after = told(stage, &[&["backup", "ls"], place].concat()).await["runs"].as_array().unwrap().len();
    assert_eq!(after, before - 1);
}

/// Killed without a word in the middle: the class is half full, a backup of it is refused, and the same command ends it.
async fn killed_goes_on(stage: &Stage, nodes: &Nodes, place: &[&str]) {
    fill_many(nodes).await;
    let run = backed_up(stage, place, &["Many"]).await;
    let wanted = contents(stage, place, &run, "Many").await;
    assert_eq!(wanted.0, u64::from(MANY));
    let mut half = String::new();
    for attempt in 1.. {
        assert!(attempt <= ATTEMPTS, "every restore was over before it was killed");
        half = format!("Half{attempt}");
        let restore = [&["restore", &run, "Many", "--into", &half], place].concat();
        if killed_in_its_midst(stage, nodes, &restore, &half).await {
            break;
        }
    }
    let restore = [&["restore", &run, "Many", "--into", &half], place].concat();
    let (code, _, text) = plug_in(stage, &[&["backup", "create", &half], place].concat()).await;
    assert!(code == 1 && text.contains("half restored"), "{text}");
    let (code, text, problem) = plug_in(stage, &restore).await;
    assert_eq!(code, 0, "{text}{problem}");
    let again = backed_up(stage, place, &[&half]).await;
    assert_eq!(contents(stage, place, &again, &half).await, wanted);
}

/// Begins a restore into this class and kills it when some objects are there; whether some were missing.
async fn killed_in_its_midst(stage: &Stage, nodes: &Nodes, restore: &[&str], into: &str) -> bool {
    let mut child = command(stage, restore).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    stage
        .wait("the restore to get on", PATIENCE, async || {
            nodes.first().class(into, SchemaRead::Leader).await.ok()??;
            (nodes.first().object_count(into).await.ok()?.ok()? >= 500).then_some(())
        })
        .await;
    child.kill().unwrap();
    // One that had ended by itself has a code, and is done for good.
    let is_over = child.wait().unwrap().code().is_some();
    !is_over && nodes.first().object_count(into).await.unwrap().unwrap() < u64::from(MANY)
}
