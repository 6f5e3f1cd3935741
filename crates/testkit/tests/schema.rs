//! The simulated server answers what real ones answered, and the operator's plan does on it what it says.

#![allow(clippy::unwrap_used, reason = "tests")]

mod pairs;

use std::fs;
use std::path::Path;

use elysia_core::version::ServerVersion;
use elysia_testkit::weaviate::{SchemaServer, VERSIONS};
use serde_json::Value;

/// What modules fill in of their own is not simulated: of these blocks only what was sent is compared.
const OF_MODULES: [&str; 2] = ["moduleConfig", "vectorizer"];

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
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
        (one, other) if one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one == other) => {
            None
        }
        _ => Some(format!("{path}: simulated {simulated}, recorded {recorded}")),
    }
}

#[test]
fn the_simulation_creates_what_real_servers_created() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/fixtures");
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
