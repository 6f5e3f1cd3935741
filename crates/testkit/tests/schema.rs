//! The simulated server answers what real ones answered, and the operator's plan does on it what it says.
//!
//! Two tests are ignored because they need a real server of one of the recorded versions, started with what the
//! fixtures name under `needs`, each set to `true`:
//! `ELYSIA_SCHEMA_SERVER=http://127.0.0.1:8080 cargo test -p elysia-testkit --test schema -- --ignored --nocapture`.
//! With `ELYSIA_SCHEMA_RECORD=1` the answers in `crates/core/fixtures/answers` are written anew.

#![allow(clippy::unwrap_used, reason = "tests")]

mod pairs;

use std::fs;
use std::path::{Path, PathBuf};

use elysia_core::collection::schema::{Measure, differences};
use elysia_core::version::ServerVersion;
use elysia_testkit::weaviate::{SchemaServer, VERSIONS};
use elysia_weaviate::{Client, ClientOptions, SchemaRead};
use serde_json::{Value, json};

/// What modules fill in of their own is not simulated: of these blocks only what was sent is compared.
const OF_MODULES: [&str; 2] = ["moduleConfig", "vectorizer"];

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/fixtures")
}

/// The server that `ELYSIA_SCHEMA_SERVER` names, and its version.
fn real_server() -> (tokio::runtime::Runtime, Client, String) {
    let address = std::env::var("ELYSIA_SCHEMA_SERVER").expect("ELYSIA_SCHEMA_SERVER=http://HOST:PORT");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(ClientOptions::new(address.parse().unwrap())).unwrap();
    let version = runtime.block_on(client.meta()).unwrap().version;
    (runtime, client, version)
}

/// Where two classes differ, apart from what modules fill in.
fn gap(path: &str, simulated: &Value, recorded: &Value) -> Option<String> {
    match (simulated, recorded) {
        (Value::Object(one), Value::Object(other)) => one
            .keys()
            .chain(other.keys())
            .filter(|key| !OF_MODULES.contains(&key.as_str()))
            .find_map(|key| gap(&format!("{path}/{key}"), &simulated[key], &recorded[key])),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).find_map(|(one, other)| gap(path, one, other))
        }
        (one, other)
            if one == other
                || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.total_cmp(&other).is_eq()) =>
        {
            None
        }
        _ => Some(format!("{path}: simulated {simulated}, recorded {recorded}")),
    }
}

#[test]
fn the_simulation_creates_what_real_servers_created() {
    let folder = folder();
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder.join("collections")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let fixture = read(&path);
        let since = ServerVersion::parse(fixture["minimumVersion"].as_str().unwrap()).unwrap();
        for version in VERSIONS {
            let server = SchemaServer::new(version);
            if server.version() < since {
                continue;
            }
            let mut recorded = read(&folder.join(format!("answers/{version}/{name}.json")));
            let answer =
                server.create(&fixture["class"]).map_err(|error| format!("{name} {version}: {error}")).unwrap();
            recorded["replicationConfig"] = answer["replicationConfig"].clone();
            wrong.extend(gap("", &answer, &recorded).map(|gap| format!("{name} {version} {gap}")));
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}: {wrong:#?}", wrong.len());
    assert!(compared > 300, "{compared}");
}

#[test]
#[ignore = "needs a real server: ELYSIA_SCHEMA_SERVER names one of the recorded versions"]
fn a_real_server_keeps_every_definition_without_drift() {
    let (runtime, client, version) = real_server();
    let server = ServerVersion::parse(&version).unwrap();
    let (mut kept, mut drift) = (0, Vec::new());
    for entry in fs::read_dir(folder().join("collections")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let fixture = read(&path);
        if ServerVersion::parse(fixture["minimumVersion"].as_str().unwrap()).unwrap() > server {
            continue;
        }
        let class = &fixture["class"];
        let collection = class["class"].as_str().unwrap();
        let referred = fixture["references"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        let referred: Vec<&str> = referred.collect();
        let answer = runtime.block_on(async {
            for name in &referred {
                client.create_class(&json!({"class": name, "vectorizer": "none"})).await.unwrap();
            }
            client.create_class(class).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let answer = client.class(collection, SchemaRead::Leader).await.unwrap().unwrap();
            for name in referred.iter().chain([&collection]) {
                client.delete_class(name).await.unwrap();
            }
            answer
        });
        let mut wanted = class.as_object().unwrap().clone();
        wanted.remove("class");
        let found = differences(&wanted, &answer, &Measure { version: Some(server), policy: &[] });
        drift.extend(found.iter().map(|difference| format!("{name} {}: {difference:?}", difference.dotted())));
        if std::env::var_os("ELYSIA_SCHEMA_RECORD").is_some() {
            fs::write(folder().join(format!("answers/{version}/{name}.json")), format!("{answer}\n")).unwrap();
        }
        kept += 1;
    }
    assert!(drift.is_empty(), "{drift:#?}");
    eprintln!("Weaviate {version}: {kept} definitions kept without drift");
}
