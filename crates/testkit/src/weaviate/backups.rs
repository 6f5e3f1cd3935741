//! The servers' own backups, as far as somebody who drives them sees them. Nothing is written anywhere: where the files
//! would lie, a test puts them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::routes::Asked;
use super::state::{Reply, State, refusal};

/// Backups by their whole address, and restores of them.
#[derive(Debug, Default)]
pub(super) struct Backups {
    /// Whether the servers have the module.
    pub(super) has_module: bool,
    /// Whether they silently ignore where they are told to write, as old ones do.
    pub(super) is_deaf: bool,
    /// Whether a cancelled backup goes on all the same, as one whose coordinator has died.
    pub(super) hangs: bool,
    known: BTreeMap<String, Entry>,
    restores: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    status: String,
    error: String,
    classes: Vec<String>,
}

impl Entry {
    fn started(classes: Vec<String>) -> Self {
        Self { status: "STARTED".to_owned(), error: String::new(), classes }
    }

    fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "STARTED" | "TRANSFERRING" | "TRANSFERRED" | "FINALIZING")
    }
}

impl Backups {
    /// What becomes of the one backup, or with `is_restore` restore, that is under way. Answers its classes.
    pub(super) fn end(&mut self, status: &str, error: &str, is_restore: bool) -> Option<Vec<String>> {
        let entries = if is_restore { &mut self.restores } else { &mut self.known };
        let entry = entries.values_mut().find(|entry| entry.is_running())?;
        (entry.status, entry.error) = (status.to_owned(), error.to_owned());
        Some(entry.classes.clone())
    }

    /// Puts a backup there, past every rule.
    pub(super) fn seed(&mut self, address: &str, status: &str) {
        let entry = Entry { status: status.to_owned(), ..Entry::started(Vec::new()) };
        self.known.insert(address.to_owned(), entry);
    }

    fn address(&self, bucket: Option<&str>, path: Option<&str>, id: &str) -> String {
        let (bucket, path) = if self.is_deaf { (None, None) } else { (bucket, path) };
        format!("s3://{}/{}/{id}", bucket.unwrap_or("default"), path.unwrap_or("default"))
    }
}

fn classes(body: &Value) -> Vec<String> {
    body["include"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn standing(id: &str, address: &str, entry: &Entry) -> Reply {
    let body = json!({
        "backend": "s3", "id": id, "path": address, "status": entry.status, "error": entry.error,
    });
    (200, Some(body))
}

/// `/v1/backups/{backend}` and what is below it.
pub(super) fn answer(state: &mut State, method: &str, segments: &[&str], asked: &Asked<'_>) -> Reply {
    if !state.backups.has_module || segments.first() != Some(&"s3") {
        let backend = segments.first().copied().unwrap_or_default();
        return refusal(
            422,
            format!("no backup backend \"{backend}\": {backend} not found, did you enable the right module?"),
        );
    }
    let placed = |backups: &Backups, id: &str| backups.address(asked.query("bucket"), asked.query("path"), id);
    match (method, &segments[1..]) {
        // Those of its default place alone.
        ("GET", []) => {
            let is_deaf = state.backups.is_deaf;
            let own = state.backups.known.iter().filter(|_| !is_deaf);
            let own = own.filter_map(|(address, entry)| Some((address.strip_prefix("s3://default/default/")?, entry)));
            let listed = own.map(|(id, entry)| json!({ "id": id, "status": entry.status, "classes": entry.classes }));
            (200, Some(listed.collect()))
        }
        ("POST", []) => create(state, asked),
        ("GET", [id]) => {
            let address = placed(&state.backups, id);
            match state.backups.known.get(&address) {
                Some(entry) => standing(id, &address, entry),
                None => refusal(404, format!("coordinator cannot get status: {address}: not found")),
            }
        }
        ("DELETE", [id]) => {
            let address = placed(&state.backups, id);
            let hangs = state.backups.hangs;
            match state.backups.known.get_mut(&address) {
                Some(entry) if entry.status == "SUCCESS" => refusal(422, format!("backup \"{id}\" already succeeded")),
                Some(entry) if entry.is_running() && !hangs => {
                    "CANCELED".clone_into(&mut entry.status);
                    (204, None)
                }
                _ => (204, None),
            }
        }
        ("POST", [id, "restore"]) => restore(state, id, asked),
        ("GET", [id, "restore"]) => {
            let address = placed(&state.backups, id);
            match state.backups.restores.get(&address) {
                Some(entry) => standing(id, &address, entry),
                None => refusal(404, format!("coordinator cannot get status: {address}: not found")),
            }
        }
        ("DELETE", [id, "restore"]) => {
            let address = placed(&state.backups, id);
            if let Some(entry) = state.backups.restores.get_mut(&address).filter(|entry| entry.is_running()) {
                "CANCELED".clone_into(&mut entry.status);
            }
            (204, None)
        }
        _ => (404, None),
    }
}

fn create(state: &mut State, asked: &Asked<'_>) -> Reply {
    let body = &asked.body;
    let id = body["id"].as_str().unwrap_or_default();
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    if id.is_empty() || !id.chars().all(is_plain) {
        return refusal(422, format!("invalid backup id {id}: allowed characters are lowercase, 0-9, _, -"));
    }
    let include = classes(body);
    if let Some(missing) = include.iter().find(|name| !state.classes.contains_key(*name)) {
        return refusal(422, format!("class {missing} doesn't exist"));
    }
    let config = &body["config"];
    let address = state.backups.address(config["Bucket"].as_str(), config["Path"].as_str(), id);
    if state.backups.known.contains_key(&address) {
        return refusal(422, format!("backup \"{id}\" already exists at \"{address}\""));
    }
    if let Some((other, _)) = state.backups.known.iter().find(|(_, entry)| entry.is_running()) {
        let other = other.rsplit('/').next().unwrap_or_default();
        return refusal(422, format!("backup {other} already in progress"));
    }
    let entry = Entry::started(include);
    let reply = standing(id, &address, &entry);
    state.backups.known.insert(address, entry);
    reply
}

fn restore(state: &mut State, id: &str, asked: &Asked<'_>) -> Reply {
    let config = &asked.body["config"];
    let address = state.backups.address(config["Bucket"].as_str(), config["Path"].as_str(), id);
    if !state.backups.known.contains_key(&address) {
        return refusal(404, format!("backup id \"{id}\" does not exist"));
    }
    let entry = Entry::started(classes(&asked.body));
    let reply = standing(id, &address, &entry);
    state.backups.restores.insert(address, entry);
    reply
}
