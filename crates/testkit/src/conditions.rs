//! Every set of conditions that a test saw, kept for the judges of GitOps: `cargo xtask judge` shows each to kstatus and
//! to Argo CD's health check.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, process, thread};

use serde::Serialize;
use serde_json::Value;

/// Keeps an object with its status, once for each set of conditions that differs in more than words: one file under
/// `target/conditions`, named by what is in it, so that tests in many threads and processes do not meet.
///
/// # Panics
/// When the file cannot be written: a set that is lost would be judged by nobody.
pub fn record(object: &impl Serialize) {
    let object = serde_json::to_value(object).unwrap_or_default();
    let folder = folder();
    let file = folder.join(format!("{}-{:016x}.json", text(&object["kind"]), fingerprint(&object)));
    if file.exists() {
        return;
    }
    let partial = folder.join(format!(".{}-{:?}", process::id(), thread::current().id()));
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&partial, object.to_string()))
        .and_then(|()| fs::rename(&partial, &file));
    assert!(written.is_ok(), "{}: {written:?}", file.display());
}

fn folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| manifest.join("../../target"), PathBuf::from);
    target.join("conditions")
}

/// What a judge looks at, without names, messages and times. The hasher's keys are fixed, so two runs agree.
fn fingerprint(object: &Value) -> u64 {
    let metadata = &object["metadata"];
    let mut hasher = DefaultHasher::new();
    text(&object["kind"]).hash(&mut hasher);
    text(&metadata["annotations"]["elysia.dev/paused"]).hash(&mut hasher);
    metadata["deletionTimestamp"].is_null().hash(&mut hasher);
    (metadata["generation"] == object["status"]["observedGeneration"]).hash(&mut hasher);
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        ["type", "status", "reason"].map(|field| text(&condition[field])).hash(&mut hasher);
    }
    hasher.finish()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
