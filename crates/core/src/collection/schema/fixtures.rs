//! What real servers answered to definitions of Weaviate's documentation and clients, compared with what was sent.
//!
//! `fixtures/collections/NAME.json` is the definition and where it is from, `fixtures/answers/VERSION/NAME.json` what a
//! server of that version said of it after the creation. `crates/testkit/tests/schema.rs` asks a
//! real server the same, and records anew.

#![expect(clippy::disallowed_methods, reason = "a table of four hundred rows is kept as files")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{MEASURED, Measure, differences, reverted};
use crate::version::ServerVersion;

/// Fewer means that something was lost.
const LEAST_FIXTURES: usize = 100;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn settings(class: &Value) -> Map<String, Value> {
    let mut settings = class.as_object().unwrap().clone();
    settings.remove("class");
    settings
}

/// Name, version, declared settings, answer.
fn each(mut check: impl FnMut(&str, ServerVersion, &Map<String, Value>, &Value)) -> [usize; MEASURED.len()] {
    let mut counts = [0; MEASURED.len()];
    for entry in fs::read_dir(folder().join("collections")).unwrap() {
        let path = entry.unwrap().path();
        let fixture = read(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let since = ServerVersion::parse(fixture["minimumVersion"].as_str().unwrap()).unwrap();
        assert!(fixture["source"]["commit"].as_str().is_some_and(|commit| commit.len() == 40), "{name} has no source");
        for (at, version) in MEASURED.iter().enumerate().filter(|(_, version)| **version >= since) {
            let answer = read(&folder().join(format!("answers/{version}/{name}.json")));
            check(name, *version, &settings(&fixture["class"]), &answer);
            counts[at] += 1;
        }
    }
    counts
}

#[test]
fn no_answer_of_a_server_differs_from_what_was_declared() {
    let mut false_drift = Vec::new();
    let counts = each(|name, version, wanted, answer| {
        for version in [Some(version), None] {
            let found = differences(wanted, answer, &Measure { version, policy: &[] });
            false_drift.extend(found.iter().map(|difference| {
                let (path, live) = (difference.dotted(), &difference.live);
                format!("{name} {version:?} {path} {:?}: {} is {live:?}", difference.verdict, difference.wanted)
            }));
        }
    });
    assert!(false_drift.is_empty(), "{false_drift:#?}");
    assert!(counts[MEASURED.len() - 1] >= LEAST_FIXTURES, "{counts:?}");
}

#[test]
fn what_the_server_said_is_put_back_as_it_is() {
    each(|name, version, wanted, answer| {
        let found = differences(wanted, answer, &Measure { version: Some(version), policy: &[] });
        let replication = answer["replicationConfig"].as_object().unwrap();
        assert_eq!(reverted(answer, &found, replication), *answer, "{name} {version}");
    });
}
