//! A small Kubernetes API server in memory: it keeps objects, versions and field owners, and writes a transcript of
//! what was asked of it. Namespaced kinds only, no watch: whoever needs a cache fills it by hand.

mod apply;
mod asked;
mod server;
mod state;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use state::{Rule, State};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is answered.
    Passes,
    /// Nothing happens, and the answer is this status.
    Fails(u16),
    /// It happens, and yet the answer is this status: the answer was lost on its way.
    FailsAfter(u16),
    /// Nothing happens, and no answer ever comes.
    Hangs,
    /// It happens, and no answer ever comes.
    HangsAfter,
}

/// The API server. Clones are the same server.
#[derive(Clone, Default)]
pub struct KubernetesApi {
    state: Arc<Mutex<State>>,
}

impl KubernetesApi {
    /// A server without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client of it. Needs a runtime of tokio.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(server::Server::new(Arc::clone(&self.state)), "default")
    }

    /// Puts an object there as it is, its status too, and gives it as the server has it then.
    ///
    /// # Panics
    /// When the object is no object: a mistake of the test.
    pub fn seed<K>(&self, object: &K) -> K
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        value["apiVersion"] = K::api_version(&()).into();
        value["kind"] = K::kind(&()).into();
        let namespace = object.meta().namespace.as_deref().unwrap_or("default");
        let path = path::<K>(namespace, object.meta().name.as_deref().unwrap_or_default());
        typed(self.lock().seed(path, value))
    }

    /// An object as it is now.
    ///
    /// # Panics
    /// When it is not of this kind: a mistake of the test.
    pub fn object<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        self.lock().value(&path::<K>(namespace, name)).cloned().map(typed)
    }

    /// Every object of a kind, by namespace and name.
    ///
    /// # Panics
    /// When one is not of this kind: a mistake of the test.
    pub fn objects<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let kind = K::kind(&());
        let plural = format!("/{}/", K::plural(&()));
        self.lock().unseen.retain(|path| !path.contains(&plural));
        self.lock().values().filter(|value| value["kind"] == kind.as_ref()).cloned().map(typed).collect()
    }

    /// Changes an object by another hand, past the transcript.
    ///
    /// # Panics
    /// When there is none: a mistake of the test.
    pub fn edit<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let path = path::<K>(namespace, name);
        let mut state = self.lock();
        let mut value = state.value(&path).cloned().unwrap_or_else(|| panic!("no object {path}"));
        change(&mut value);
        state.unseen.insert(path.clone());
        state.seed(path, value);
    }

    /// Removes an object by another hand, past the transcript.
    pub fn remove<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        self.lock().remove(&path::<K>(namespace, name));
    }

    /// Deletes an object by another hand, past the transcript: one with finalizers stays until they are gone.
    pub fn delete<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        self.lock().end(&path::<K>(namespace, name));
    }

    /// From now on lists that any version will do for answer what there is now: a cache that fell behind.
    pub fn stop_cache(&self) {
        self.lock().stop_cache();
    }

    /// A namespace, by itself; everything else is there without one.
    pub fn seed_namespace(&self, name: &str, terminating: bool) {
        let phase = if terminating { "Terminating" } else { "Active" };
        let mut value = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "status": {"phase": phase},
            "metadata": {"name": name, "uid": format!("of-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
        });
        let mut state = self.lock();
        if terminating {
            value["metadata"]["deletionTimestamp"] = (state.now)().into();
        }
        state.seed(format!("/api/v1/namespaces/{name}"), value);
    }

    /// Takes the time of deletions from this clock, written as in RFC 3339.
    pub fn clock(&self, now: fn() -> String) {
        self.lock().now = now;
    }

    /// Answers the next request of this method whose path contains `part` with this status. Nothing else happens.
    pub fn fail_next(&self, method: &str, part: &str, status: u16) {
        self.rule(method, part, Fate::Fails(status));
    }

    /// Never answers the next request of this method whose path contains `part`. Nothing else happens.
    pub fn hang(&self, method: &str, part: &str) {
        self.rule(method, part, Fate::Hangs);
    }

    /// Decides over each write from now on, by its line in the transcript. It must not call the server itself.
    pub fn decide(&self, fate: impl FnMut(&str) -> Fate + Send + 'static) {
        self.lock().decide = Some(Box::new(fate));
    }

    /// What the transcript says of writes to objects of this kind (`configmaps`), besides the object's name.
    pub fn describe(&self, plural: &str, words: fn(&Value) -> Option<String>) {
        self.lock().words.insert(plural.to_owned(), words);
    }

    /// Keeps the lines of another transcript in this one, in the order in which they came about.
    pub fn beside(&self, lines: impl Fn() -> Vec<String> + Send + 'static) {
        self.lock().beside = Some((Box::new(lines), 0));
    }

    /// Whether reads stand in the transcript as well.
    pub fn tell_reads(&self, tell: bool) {
        self.lock().tell_reads = tell;
    }

    /// One line a write since the last time that this was asked: `PATCH services/search apply`,
    /// `PATCH weaviateclusters/search/status Ready=False Starting`.
    pub fn transcript(&self) -> String {
        self.lock().take_transcript()
    }

    fn rule(&self, method: &str, part: &str, fate: Fate) {
        self.lock().rules.push(Rule { method: method.to_owned(), part: part.to_owned(), fate });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for KubernetesApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KubernetesApi").finish_non_exhaustive()
    }
}

fn path<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> String {
    format!("{}/{name}", K::url_path(&(), Some(namespace)))
}

fn typed<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("an object is not of its kind: {error}"))
}
