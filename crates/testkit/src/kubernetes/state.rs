//! What the server keeps, and what each verb does with it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Fate;
use super::apply;
use super::asked::{Asked, PatchKind, REVIEWS};
use crate::conditions;

/// In the path of every object of our own group.
const OURS: &str = "/apis/elysia.dev/";

/// The user that every caller is.
const USER: &str = "ann";

/// Status and body of an answer.
pub(super) type Reply = (u16, Value);

/// A fault that is waiting for its request.
pub(super) struct Rule {
    pub(super) method: String,
    pub(super) part: String,
    pub(super) fate: Fate,
}

#[derive(Clone)]
struct Stored {
    value: Value,
    /// What each manager applied last, to the object and to its status.
    applied: BTreeMap<(String, bool), Value>,
}

type Lines = Box<dyn Fn() -> Vec<String> + Send>;
type Decide = Box<dyn FnMut(&str) -> Fate + Send>;

pub(super) struct State {
    objects: BTreeMap<String, Stored>,
    /// What lists that any version will do for are answered from, where the cache has stopped.
    cache: Option<BTreeMap<String, Stored>>,
    /// Objects that another hand changed since all of their kind were listed: what is said of one meanwhile is said of what it
    /// was before.
    pub(super) unseen: BTreeSet<String>,
    transcript: Vec<String>,
    made: u128,
    version: u64,
    pub(super) rules: Vec<Rule>,
    pub(super) decide: Option<Decide>,
    pub(super) words: BTreeMap<String, fn(&Value) -> Option<String>>,
    /// Another transcript, and how many of its lines stand in this one.
    pub(super) beside: Option<(Lines, usize)>,
    pub(super) tell_reads: bool,
    /// The time as the server writes it.
    pub(super) now: fn() -> String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            cache: None,
            unseen: BTreeSet::new(),
            transcript: Vec::new(),
            made: 0,
            version: 0,
            rules: Vec::new(),
            decide: None,
            words: BTreeMap::new(),
            beside: None,
            tell_reads: false,
            now: || "2026-01-01T00:00:00Z".to_owned(),
        }
    }
}

/// A refusal in Kubernetes' shape.
pub(super) fn failure(status: u16, reason: &str, message: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message,
    });
    (status, body)
}

/// Whom it takes every caller for.
fn who(asked: &Asked) -> Value {
    let user = json!({"username": USER, "groups": ["system:authenticated"]});
    json!({"apiVersion": asked.body["apiVersion"], "kind": asked.body["kind"], "metadata": {}, "status": {"userInfo": user}})
}

fn missing(asked: &Asked) -> Reply {
    failure(404, "NotFound", &format!("{} \"{}\" not found", asked.plural, asked.object_name()))
}

fn conflict(asked: &Asked, why: &str) -> Reply {
    let message = format!("Operation cannot be fulfilled on {} \"{}\": {why}", asked.plural, asked.object_name());
    failure(409, "Conflict", &message)
}

impl State {
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        self.objects.get(path).map(|stored| &stored.value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().map(|stored| &stored.value)
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.objects.remove(path);
    }

    pub(super) fn stop_cache(&mut self) {
        self.cache = Some(self.objects.clone());
    }

    pub(super) fn seed(&mut self, path: String, value: Value) -> Value {
        self.store(path, value)
    }

    pub(super) fn take_transcript(&mut self) -> String {
        self.pull();
        std::mem::take(&mut self.transcript).join("\n")
    }

    /// Takes over the new lines of the other transcript.
    fn pull(&mut self) {
        if let Some((lines, taken)) = &mut self.beside {
            let lines = lines();
            self.transcript.extend(lines.iter().skip(*taken).cloned());
            *taken = lines.len();
        }
    }

    /// Writes the line of this request and tells what becomes of it.
    pub(super) fn fate(&mut self, asked: &Asked) -> Fate {
        let line = asked.line(self.words.get(&asked.plural).copied());
        let path = asked.path();
        let rule = self.rules.iter().position(|rule| rule.method == asked.method && path.contains(&rule.part));
        let fate = match (rule, &mut self.decide) {
            (Some(at), _) => self.rules.remove(at).fate,
            (None, Some(decide)) if !asked.is_read() => decide(&line),
            _ => Fate::Passes,
        };
        if asked.is_read() && !self.tell_reads {
            return fate;
        }
        self.pull();
        self.transcript.push(match fate {
            Fate::Passes => line,
            Fate::Fails(status) => format!("{line} → {status}"),
            Fate::FailsAfter(status) => format!("{line} → done, {status}"),
            Fate::Hangs => format!("{line} → nothing"),
            Fate::HangsAfter => format!("{line} → done, no answer"),
        });
        fate
    }

    pub(super) fn answer(&mut self, asked: &Asked) -> Reply {
        let reply = match (asked.method.as_str(), asked.name.is_empty()) {
            ("GET", true) => self.list(asked),
            ("GET", false) => self.value(&asked.path()).map_or_else(|| missing(asked), |value| (200, value.clone())),
            ("POST", true) if asked.plural == REVIEWS => (201, who(asked)),
            ("POST", true) => self.create(asked),
            ("PUT", false) => self.replace(asked),
            ("PATCH", false) => self.patch(asked),
            ("DELETE", false) => self.delete(asked),
            _ => failure(405, "MethodNotAllowed", "the fake does not do that"),
        };
        if !asked.is_read()
            && reply.0 >= 400
            && let Some(line) = self.transcript.last_mut()
        {
            *line = format!("{line} → {}", reply.0);
        }
        reply
    }

    fn list(&self, asked: &Asked) -> Reply {
        let prefix = format!("{}/", asked.kind_path);
        let matches = |value: &Value| {
            asked.labels.iter().all(|(key, label)| value["metadata"]["labels"][key] == Value::String(label.clone()))
        };
        let whole = |value: &Value| value.clone();
        let part = |value: &Value| json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": value["metadata"]});
        let objects = self.cache.as_ref().filter(|_| asked.cached).unwrap_or(&self.objects);
        let found = objects.iter().filter(|(path, stored)| path.starts_with(&prefix) && matches(&stored.value));
        let items =
            found.map(|(_, stored)| if asked.metadata_only { part(&stored.value) } else { whole(&stored.value) });
        let items = items.collect::<Vec<_>>();
        let metadata = json!({"resourceVersion": self.version.to_string()});
        (200, json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}))
    }

    fn create(&mut self, asked: &Asked) -> Reply {
        if self.objects.contains_key(&asked.path()) {
            let message = format!("{} \"{}\" already exists", asked.plural, asked.object_name());
            return failure(409, "AlreadyExists", &message);
        }
        let mut value = asked.body.clone();
        if let Some(value) = value.as_object_mut() {
            value.remove("status");
        }
        (201, self.store(asked.path(), value))
    }

    fn replace(&mut self, asked: &Asked) -> Reply {
        let Some(live) = self.value(&asked.path()).cloned() else {
            return missing(asked);
        };
        let (given, has) = (&asked.body["metadata"]["resourceVersion"], &live["metadata"]["resourceVersion"]);
        if !given.is_null() && given != has {
            return conflict(asked, "the object has been modified");
        }
        let mut value = if asked.status { live.clone() } else { asked.body.clone() };
        value["status"] = if asked.status { asked.body["status"].clone() } else { live["status"].clone() };
        (200, self.store(asked.path(), value))
    }

    fn patch(&mut self, asked: &Asked) -> Reply {
        let live = self.value(&asked.path()).cloned();
        let (uid, version) = (&asked.body["metadata"]["uid"], &asked.body["metadata"]["resourceVersion"]);
        match &live {
            None if asked.patch == PatchKind::Merge || asked.status => return missing(asked),
            None if !uid.is_null() => return conflict(asked, "uid mismatch: no existing object was found"),
            Some(live) if !uid.is_null() && *uid != live["metadata"]["uid"] => {
                return conflict(asked, "uid mismatch");
            }
            Some(live) if !version.is_null() && *version != live["metadata"]["resourceVersion"] => {
                return conflict(asked, "the object has been modified");
            }
            _ => {}
        }
        let before = live.clone().unwrap_or_else(|| json!({"metadata": {}}));
        if let Some(operations) = asked.body.as_array() {
            let mut value = before;
            if !apply::operate(&mut value, operations) {
                return failure(422, "Invalid", "the server rejected our request due to an error in our request");
            }
            return (200, self.store(asked.path(), value));
        }
        let body = writable(&asked.body, asked.status);
        let mut value = before.clone();
        let hand = (asked.manager.clone(), asked.status);
        match asked.patch {
            PatchKind::Merge => apply::merge(&mut value, &body),
            PatchKind::Apply => {
                let stored = self.objects.get(&asked.path());
                let owned = stored.and_then(|stored| stored.applied.get(&hand)).cloned().unwrap_or_default();
                apply::apply(&mut value, &owned, &body);
            }
        }
        if let Some(name) = doubled_port(&value) {
            let message = format!("{} \"{}\" is invalid: duplicate port {name}", asked.plural, asked.object_name());
            return failure(422, "Invalid", &message);
        }
        let status = if live.is_some() { 200 } else { 201 };
        let stored = self.store(asked.path(), value);
        if let Some(stored) = self.objects.get_mut(&asked.path()).filter(|_| asked.patch == PatchKind::Apply) {
            stored.applied.insert(hand, body);
        }
        if asked.status && asked.kind_path.contains(OURS) && !self.unseen.contains(&asked.path()) {
            conditions::record(&stored);
        }
        if is_let_go(&stored) {
            self.remove(&asked.path());
        }
        (status, stored)
    }

    fn delete(&mut self, asked: &Asked) -> Reply {
        let Some(live) = self.value(&asked.path()).cloned() else {
            return missing(asked);
        };
        let wanted = &asked.body["preconditions"];
        for field in ["uid", "resourceVersion"] {
            if !wanted[field].is_null() && wanted[field] != live["metadata"][field] {
                return conflict(asked, "a precondition does not hold");
            }
        }
        self.end(&asked.path());
        (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }

    /// Removes an object that nobody holds; of one with finalizers only the time of its deletion is set.
    pub(super) fn end(&mut self, path: &str) {
        let Some(mut value) = self.value(path).cloned() else { return };
        if value["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            self.remove(path);
        } else if value["metadata"]["deletionTimestamp"].is_null() {
            value["metadata"]["deletionTimestamp"] = (self.now)().into();
            value["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            self.store(path.to_owned(), value);
        }
    }

    /// Stores the object: identity, generation and version are the server's. One that is as it was keeps its version.
    fn store(&mut self, path: String, mut value: Value) -> Value {
        let before = self.value(&path).cloned();
        keep_text(&mut value);
        let metadata = &mut value["metadata"];
        metadata["name"] = path.rsplit('/').next().unwrap_or_default().into();
        metadata["namespace"] = namespace(&path).into();
        if let Some(before) = &before {
            for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
                metadata[field] = before["metadata"][field].clone();
            }
        } else {
            // What brings its identity along takes no number from the others.
            if metadata["uid"].is_null() || metadata["creationTimestamp"].is_null() {
                self.made += 1;
            }
            let seconds = self.made % 60;
            metadata["generation"] = json!(1);
            if metadata["uid"].is_null() {
                // The number stands in front, where names are cut off.
                metadata["uid"] = Uuid::from_u128((self.made << 96) | 0x4000_8000_0000_0000_0000).to_string().into();
            }
            if metadata["creationTimestamp"].is_null() {
                metadata["creationTimestamp"] = format!("2026-01-01T00:{:02}:{seconds:02}Z", self.made / 60).into();
            }
        }
        let value = without_nulls(value);
        if before.as_ref() == Some(&value) {
            return value;
        }
        self.version += 1;
        let mut value = value;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        if let Some(before) = &before
            && (before["spec"] != value["spec"]
                || before["metadata"]["deletionTimestamp"] != value["metadata"]["deletionTimestamp"])
        {
            value["metadata"]["generation"] = json!(before["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        let applied = self.objects.remove(&path).map(|stored| stored.applied).unwrap_or_default();
        self.objects.insert(path, Stored { value: value.clone(), applied });
        value
    }
}

/// Whether an object that is being deleted is held by nobody any more.
fn is_let_go(value: &Value) -> bool {
    let metadata = &value["metadata"];
    !metadata["deletionTimestamp"].is_null() && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
}

fn namespace(path: &str) -> &str {
    path.split('/').skip_while(|segment| *segment != "namespaces").nth(1).unwrap_or_default()
}

/// A name that two ports of a Service have: the one rule of its validation that an apply breaks easily.
fn doubled_port(value: &Value) -> Option<&str> {
    let ports = value.pointer("/spec/ports")?.as_array()?;
    let names: Vec<&str> = ports.iter().filter_map(|port| port["name"].as_str()).collect();
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| *name)
}

/// What a patch may say: the status alone through its own path, all but the status otherwise.
fn writable(body: &Value, status: bool) -> Value {
    if status {
        return json!({"status": body["status"]});
    }
    let mut body = body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("status");
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.retain(|key, _| {
            matches!(key.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences" | "deletionTimestamp")
        });
    }
    body
}

/// A Secret's text is kept as bytes, as by the real server.
fn keep_text(value: &mut Value) {
    let Some(text) = value.as_object_mut().and_then(|value| value.remove("stringData")) else {
        return;
    };
    for (key, text) in text.as_object().into_iter().flatten() {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        value["data"][key] = serde_json::to_value(bytes).unwrap_or_default();
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}
