//! A request, taken apart.

use axum::http::request::Parts;
use serde_json::Value;

/// Who one is: a POST of no namespace that changes nothing.
pub(super) const REVIEWS: &str = "selfsubjectreviews";

/// How a PATCH is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PatchKind {
    Apply,
    Merge,
}

/// A request for one kind in one namespace.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path of the kind in its namespace: `/api/v1/namespaces/default/configmaps`.
    pub(super) kind_path: String,
    pub(super) plural: String,
    /// Name in the path; empty for the kind as a whole.
    pub(super) name: String,
    /// The subresource `status`.
    pub(super) status: bool,
    pub(super) manager: String,
    /// Labels that must be equal.
    pub(super) labels: Vec<(String, String)>,
    /// Any version will do: `resourceVersion=0`, which the real server answers from its cache.
    pub(super) cached: bool,
    /// Only the metadata is wanted.
    pub(super) metadata_only: bool,
    pub(super) patch: PatchKind,
    pub(super) body: Value,
}

impl Asked {
    /// `None` when the path is none that this server knows.
    pub(super) fn new(head: &Parts, body: &[u8]) -> Option<Self> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let segments: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        // `api/v1/namespaces/NAMESPACE/KIND/…` or `apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/…`
        let at = match segments.iter().position(|segment| *segment == "namespaces") {
            // `api/v1/namespaces/NAMESPACE` is about the namespace itself.
            Some(namespaces) if segments.len() == namespaces + 2 => namespaces,
            Some(namespaces) => namespaces + 2,
            None if segments.last() == Some(&REVIEWS) => segments.len() - 1,
            None => return None,
        };
        let plural = (*segments.get(at)?).to_owned();
        Some(Self {
            method: head.method.to_string(),
            kind_path: format!("/{}", segments[..=at].join("/")),
            plural,
            name: segments.get(at + 1).map(|name| (*name).to_owned()).unwrap_or_default(),
            status: segments.get(at + 2) == Some(&"status"),
            manager: parameter("fieldManager").unwrap_or_default().to_owned(),
            labels: parameter("labelSelector").map(labels).unwrap_or_default(),
            cached: parameter("resourceVersion") == Some("0"),
            metadata_only: header("accept").contains("PartialObjectMetadata"),
            patch: if header("content-type").contains("apply-patch") { PatchKind::Apply } else { PatchKind::Merge },
            body: serde_json::from_slice(body).unwrap_or_default(),
        })
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == "GET" || self.plural == REVIEWS
    }

    /// Name of the object that it is about; of a POST it stands in the body.
    pub(super) fn object_name(&self) -> &str {
        if self.name.is_empty() { self.body["metadata"]["name"].as_str().unwrap_or_default() } else { &self.name }
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.kind_path, self.object_name())
    }

    /// Its line in the transcript.
    pub(super) fn line(&self, words: Option<fn(&Value) -> Option<String>>) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.plural == "events" {
            // An Event's name holds the real time.
            return format!("{} events {} {}", self.method, text(&self.body["type"]), text(&self.body["reason"]));
        }
        let mut line = format!("{} {}", self.method, self.plural);
        if !self.object_name().is_empty() {
            line = format!("{line}/{}", self.object_name());
        }
        if self.status {
            line.push_str("/status");
        }
        let verb = match (self.method.as_str(), self.patch) {
            ("PATCH", PatchKind::Apply) => "apply",
            ("PATCH", PatchKind::Merge) => "merge",
            _ => "",
        };
        let words = words.and_then(|words| words(&self.body)).or_else(|| self.ready());
        let words = words.unwrap_or_else(|| verb.to_owned());
        format!("{line} {words}").trim_end().to_owned()
    }

    fn ready(&self) -> Option<String> {
        let conditions = self.body["status"]["conditions"].as_array().filter(|_| self.status)?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        Some(format!("Ready={} {}", ready["status"].as_str()?, ready["reason"].as_str()?))
    }
}

fn labels(selector: &str) -> Vec<(String, String)> {
    let parts = selector.split(',').filter_map(|part| part.split_once('='));
    parts.map(|(key, value)| (key.to_owned(), value.trim_start_matches('=').to_owned())).collect()
}
