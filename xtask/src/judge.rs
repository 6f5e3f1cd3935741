//! `judge`: every set of conditions that the unit tests made, as kstatus (Flux, kpt) and Argo CD see it.
//!
//! What they should say is worked out here from the conditions alone, by the table in docs/install.md and not by the
//! scripts, so that a mistake in a script, in a set of conditions or in our belief of what kstatus does is a failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use elysia_e2e::ground::{self, Paths};
use serde_json::{Value, json};

/// Kinds of which there must be sets.
const KINDS: [&str; 5] =
    ["WeaviateCluster", "ElysiaCollection", "IndexSource", "CollectionBackup", "CollectionRestore"];

/// Verdicts that the sets of each kind must lead to: less means that tests no longer hand in what they make.
const NEEDED: [(&str, &str); 4] =
    [("Current", "Healthy"), ("Failed", "Degraded"), ("Failed", "Suspended"), ("InProgress", "Progressing")];

/// What a status says before the operator has looked: the API server's default for it, by our definitions.
const NOT_OBSERVED: i64 = -1;

/// Contradictions that are printed; a broken script contradicts everything.
const SHOWN: usize = 10;

fn folder(paths: &Paths) -> PathBuf {
    paths.target.join("conditions")
}

/// Forgets the sets of earlier runs, whose code may be gone.
pub(crate) fn forget(paths: &Paths) -> Result<()> {
    match fs::remove_dir_all(folder(paths)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("failed to forget old conditions"),
        _ => Ok(()),
    }
}

/// Judges what is there and prints how many sets of each kind there were.
pub(crate) fn run(paths: &Paths) -> Result<()> {
    let sets = sets(paths)?;
    let mut objects = Vec::new();
    let mut counts = BTreeMap::new();
    for kind in KINDS {
        objects.push(just_applied(kind));
    }
    for set in &sets {
        *counts.entry(text(&set["kind"]).to_owned()).or_insert(0) += 1;
        objects.extend([set.clone(), changed_since(set), being_deleted(set)]);
    }
    let judgements = ground::judge(paths, &objects)?;
    let mut wrong = Vec::new();
    let mut reached = BTreeMap::new();
    for (object, judgement) in objects.iter().zip(&judgements) {
        let said = (judgement.kstatus.as_str(), judgement.argo.as_str());
        match expected(object) {
            Err(why) => wrong.push(format!("{}\n    {why}", told(object))),
            Ok(expected) if expected != said => {
                let message = &judgement.message;
                wrong.push(format!("{}\n    should be {expected:?}, and is {said:?}: {message}", told(object)));
            }
            Ok(_) => *reached.entry((text(&object["kind"]), said)).or_insert(0) += 1,
        }
    }
    for kind in KINDS {
        println!("{kind}: {} sets of conditions", counts.get(kind).unwrap_or(&0));
        for ((_, (kstatus, argo)), count) in reached.iter().filter(|((of, _), _)| *of == kind) {
            println!("    {kstatus:<12} {argo:<12} {count:>4}");
        }
    }
    for (kind, needed) in KINDS.iter().flat_map(|kind| NEEDED.map(|needed| (kind, needed))) {
        if !reached.contains_key(&(*kind, needed)) {
            wrong.push(format!("no {kind} that is {needed:?}: run `cargo test --workspace` first"));
        }
    }
    if !wrong.is_empty() {
        let shown = wrong[..wrong.len().min(SHOWN)].join("\n");
        bail!("{} contradictions, the first {}:\n{shown}", wrong.len(), wrong.len().min(SHOWN));
    }
    println!("{} objects, no contradiction", objects.len());
    Ok(())
}

fn sets(paths: &Paths) -> Result<Vec<Value>> {
    let folder = folder(paths);
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("no conditions in {}: run `cargo test --workspace` first", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file)?;
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
    };
    files.iter().map(read).collect()
}

/// As the API server gives an object that was made a moment ago.
fn just_applied(kind: &str) -> Value {
    json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "just-applied", "namespace": "n", "generation": 1},
        "status": {"observedGeneration": NOT_OBSERVED},
    })
}

/// The same after a person has changed the spec.
fn changed_since(set: &Value) -> Value {
    let mut set = set.clone();
    set["metadata"]["generation"] = json!(set["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    set
}

fn being_deleted(set: &Value) -> Value {
    let mut set = set.clone();
    set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    set
}

/// What kstatus and Argo CD should say, or which promise of a status the object breaks.
fn expected(object: &Value) -> Result<(&'static str, &'static str), String> {
    let metadata = &object["metadata"];
    let paused = metadata["annotations"]["elysia.dev/paused"] == "true";
    let status = |kind| condition(object, kind).map_or("", |condition| text(&condition["status"]));
    let reason = |kind| condition(object, kind).map_or("", |condition| text(&condition["reason"]));
    if !metadata["deletionTimestamp"].is_null() {
        return Ok(("Terminating", "Progressing"));
    }
    if metadata["generation"] != object["status"]["observedGeneration"] {
        return Ok(("InProgress", if paused { "Suspended" } else { "Progressing" }));
    }
    for kind in ["Reconciling", "Stalled", "Running"] {
        if !matches!(status(kind), "" | "True") {
            return Err(format!("{kind} is {}, and exists only while it is True", status(kind)));
        }
    }
    if paused != (reason("Stalled") == "Paused") {
        return Err("the annotation elysia.dev/paused and Stalled with the reason Paused go together".to_owned());
    }
    match (status("Ready"), status("Stalled"), status("Reconciling")) {
        (_, "True", "True") => Err("it is Stalled and Reconciling at once".to_owned()),
        // A pause says that nothing is done, not that something is wrong.
        (_, "True", _) if paused => Ok(("Failed", "Suspended")),
        ("True", "True", _) => Err("it is Ready and Stalled at once".to_owned()),
        ("True", _, "True") => Err("it is Ready and Reconciling at once".to_owned()),
        (_, "True", _) if reason("Stalled") == "NeedsApproval" => Ok(("Failed", "Suspended")),
        (_, "True", _) => Ok(("Failed", "Degraded")),
        (_, _, "True") => Ok(("InProgress", "Progressing")),
        ("True", ..) => Ok(("Current", "Healthy")),
        // Nothing is known: nobody may take it for healthy, and nobody for broken.
        ("Unknown", ..) => Ok(("InProgress", "Unknown")),
        ("False", ..) => Err("it is not Ready, nobody is at work on it, and nobody is asked to be".to_owned()),
        (other, ..) => Err(format!("Ready is {other:?}")),
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Kind, name and conditions: enough to find the test.
fn told(object: &Value) -> String {
    let metadata = &object["metadata"];
    let mut line = format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]));
    let _ = write!(line, " (generation {}, seen {})", metadata["generation"], object["status"]["observedGeneration"]);
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let [kind, status, reason] = ["type", "status", "reason"].map(|field| text(&condition[field]));
        let _ = write!(line, ", {kind}={status} {reason}");
    }
    line
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(lines: &[&str]) -> Value {
        let condition = |line: &&str| {
            let (condition, reason) = line.split_once(' ').unwrap();
            let (kind, status) = condition.split_once('=').unwrap();
            json!({"type": kind, "status": status, "reason": reason})
        };
        let conditions: Value = lines.iter().map(condition).collect();
        json!({
            "kind": "IndexSource", "metadata": {"name": "f", "namespace": "n", "generation": 3},
            "status": {"observedGeneration": 3, "conditions": conditions},
        })
    }

    #[test]
    fn what_tools_should_say() {
        let check =
            |lines: &[&str], wanted: (&str, &str)| assert_eq!(expected(&object(lines)), Ok(wanted), "{lines:?}");
        check(&["Ready=True AsDeclared"], ("Current", "Healthy"));
        check(&["Ready=False Copying", "Reconciling=True Copying"], ("InProgress", "Progressing"));
        check(&["Ready=False InvalidSpec", "Stalled=True InvalidSpec"], ("Failed", "Degraded"));
        check(&["Ready=False NeedsApproval", "Stalled=True NeedsApproval"], ("Failed", "Suspended"));
        check(&["Ready=Unknown Unknown"], ("InProgress", "Unknown"));
        assert_eq!(expected(&changed_since(&object(&["Ready=True A"]))), Ok(("InProgress", "Progressing")));
        assert_eq!(expected(&being_deleted(&object(&["Ready=True A"]))), Ok(("Terminating", "Progressing")));
        assert_eq!(expected(&just_applied("IndexSource")), Ok(("InProgress", "Progressing")));
    }

    #[test]
    fn what_a_status_may_never_say() {
        for lines in [
            &["Ready=True A", "Stalled=True Conflict"][..],
            &["Ready=True A", "Reconciling=True Copying"],
            &["Ready=False A", "Reconciling=True Copying", "Stalled=True A"],
            &["Ready=False A", "Reconciling=False Copying"],
            &["Ready=False ReplicasBehind"],
            &["Ready=True A", "Stalled=True Paused"],
            &["Available=True A"],
        ] {
            assert!(expected(&object(lines)).is_err(), "{lines:?}");
        }
    }
}
