//! What every controller is handed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::IndexSourceStatus;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};
use elysia_core::collection::happening::{self, Happening};
use elysia_core::feed::happening as feed_happening;
use elysia_core::{condition, fingerprint};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};

use super::cluster::engine::Pending;
use super::cluster::verify::Looked;
use super::collection::verify::Looks;
use super::connect::Connections;
use crate::effects::EffectError;
use crate::runtime::leadership::Leading;
use crate::runtime::metrics::Metrics;

/// Comparisons of replicas that run at the same time: one answer of the servers may have some MiB, and the operator is
/// given 128 MiB.
const COMPARISONS: usize = 2;

/// Texts of Events that are remembered, so that one that comes again soon is counted and not written anew. Beyond it all
/// are forgotten, which costs an Event more.
const RECORDERS: usize = 1000;

/// Feeds of which is remembered what was told last. Beyond it all are forgotten, which costs an Event more at most.
const TOLD: usize = 10_000;

/// Longest note of an Event: the API server refuses 1024 bytes and more.
const NOTE_BYTES: usize = 1023;

/// How a feed's Job is run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WorkerImage {
    /// Image of the operator itself, which is the worker's as well.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: String,
}

/// Caches of what the controllers watch.
#[derive(Clone)]
pub struct Stores {
    /// Every WeaviateCluster.
    pub clusters: Store<WeaviateCluster>,
    /// Every ElysiaCollection.
    pub collections: Store<ElysiaCollection>,
    /// Every IndexSource.
    pub feeds: Store<IndexSource>,
    /// Every CollectionBackup.
    pub backups: Store<CollectionBackup>,
    /// Every CollectionRestore.
    pub restores: Store<CollectionRestore>,
    /// Every pod of a managed cluster.
    pub pods: Store<Pod>,
}

impl Stores {
    /// Drops the gauges of objects that are gone. Asked when the numbers are: after the last object of a kind no round of
    /// that kind comes any more.
    pub fn forget_gone(&self, metrics: &Metrics) {
        fn exists<K>(store: &Store<K>, namespace: &str, name: &str) -> bool
        where
            K: Resource<DynamicType = ()> + Clone + 'static,
        {
            store.get(&ObjectRef::new(name).within(namespace)).is_some()
        }
        metrics.forget_gone("WeaviateCluster", |namespace, name| exists(&self.clusters, namespace, name));
        metrics.forget_gone("ElysiaCollection", |namespace, name| exists(&self.collections, namespace, name));
        metrics.forget_gone("IndexSource", |namespace, name| exists(&self.feeds, namespace, name));
        metrics.forget_gone("CollectionBackup", |namespace, name| exists(&self.backups, namespace, name));
        metrics.forget_gone("CollectionRestore", |namespace, name| exists(&self.restores, namespace, name));
    }
}

/// Something that happened, as an Event tells it.
pub struct Told<'a> {
    /// The `reason` of the Event.
    pub reason: &'static str,
    /// Whether a person should look.
    pub warns: bool,
    /// What was being done, in one word.
    pub action: &'static str,
    /// For people.
    pub message: &'a str,
}

/// What every controller is handed.
pub struct Context {
    /// The API server.
    pub kube: Client,
    /// Clients of the Weaviate servers.
    pub connections: Connections,
    /// Caches.
    pub stores: Stores,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// How a feed's Job is run.
    pub worker: WorkerImage,
    /// Tells the time; tests hand in another clock.
    pub now: fn() -> Timestamp,
    /// A clock that only runs forward, whatever is done to the other one; tests hand in another.
    pub stopwatch: fn() -> Instant,
    /// Held by whatever proves, deletes or thaws a collection, so that no two of these run side by side.
    pub destructive: tokio::sync::Mutex<()>,
    /// Comparisons of replicas that run at the same time; each may hold a page of every node.
    pub comparisons: tokio::sync::Semaphore,
    /// When each cluster was looked at closely.
    pub(in crate::controllers) looked: Looked,
    /// Operations that the servers were asked to delete.
    pub(in crate::controllers) pending: Pending,
    /// Comparisons of sampled objects between their rounds.
    pub(in crate::controllers) looks: Looks,
    /// What the repair of replicas remembers from round to round; losing it costs time, never data.
    pub repairs: super::collection::Memory,
    /// Whether this operator still leads for certain.
    pub leading: Leading,
    /// Name of this process, as Events and the audit name it.
    pub(in crate::controllers) instance: String,
    reporter: Reporter,
    recorders: Mutex<BTreeMap<String, Recorder>>,
    /// What was told last of each feed, by its uid: a cache may show an older status than the one that was written.
    told: Mutex<BTreeMap<String, feed_happening::Marks>>,
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Context {
    /// A context.
    pub fn new(
        kube: Client,
        stores: Stores,
        metrics: Metrics,
        worker: WorkerImage,
        now: fn() -> Timestamp,
        stopwatch: fn() -> Instant,
        leading: Leading,
    ) -> Self {
        let reporter = Reporter { controller: "elysia-operator".into(), instance: std::env::var("POD_NAME").ok() };
        Self {
            instance: reporter.instance.clone().unwrap_or_else(|| reporter.controller.clone()),
            reporter,
            recorders: Mutex::default(),
            told: Mutex::default(),
            kube,
            connections: Connections::default(),
            stores,
            metrics,
            worker,
            now,
            stopwatch,
            destructive: tokio::sync::Mutex::new(()),
            comparisons: tokio::sync::Semaphore::new(COMPARISONS),
            looked: Looked::default(),
            pending: Pending::default(),
            looks: Looks::default(),
            repairs: super::collection::Memory::default(),
            leading,
            failures: Mutex::default(),
        }
    }

    /// Counts an error of this object; how many there were in a row before it.
    pub fn failed(&self, key: &str) -> u32 {
        let Ok(mut failures) = self.failures.lock() else {
            return 0;
        };
        let count = failures.entry(key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    /// Forgets the errors of this object.
    pub fn succeeded(&self, key: &str) {
        if let Ok(mut failures) = self.failures.lock() {
            failures.remove(key);
        }
    }

    /// Publishes an Event when the condition Ready changed its value or its reason. Events tell transitions, and one
    /// that cannot be published is only logged: it is not worth repeating a round for.
    pub async fn tell_transition<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        before: &[Condition],
        after: &[Condition],
    ) {
        self.tell_round(object, &[], before, after).await;
    }

    /// Publishes an Event for each of these happenings, and then for a transition of Ready that none of them says.
    pub async fn tell_round<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        happenings: &[Happening],
        before: &[Condition],
        after: &[Condition],
    ) {
        self.tell_happenings(object, happenings).await;
        let then = condition::find(before, ConditionType::Ready);
        let then = then.map(|then| (then.status.as_str(), then.reason.as_str()));
        self.tell_ready(object, then, after, |reason| happening::says(happenings, reason)).await;
    }

    /// What was told last of this feed; `None` after a start.
    pub fn told(&self, feed: &IndexSource) -> Option<feed_happening::Marks> {
        self.told.lock().ok()?.get(feed.metadata.uid.as_deref()?).cloned()
    }

    /// Publishes an Event for each happening of a feed, and then for a transition of Ready that none of them says.
    pub async fn tell_feed(
        &self,
        feed: &IndexSource,
        happenings: &[feed_happening::Happening],
        before: &feed_happening::Marks,
        status: &IndexSourceStatus,
    ) {
        if let (Ok(mut told), Some(uid)) = (self.told.lock(), &feed.metadata.uid) {
            if told.len() >= TOLD {
                told.clear();
            }
            told.insert(uid.clone(), feed_happening::Marks::of(status));
        }
        for feed_happening::Happening { what, message } in happenings {
            self.publish(feed, what.as_str(), what.warns(), what.action(), message).await;
        }
        let then = before.ready.as_ref().map(|(status, reason)| (status.as_str(), reason.as_str()));
        self.tell_ready(feed, then, &status.conditions, |reason| feed_happening::says(happenings, reason)).await;
    }

    /// Publishes an Event for each of these, and then for a transition of Ready that none of them says.
    pub async fn tell_all<'a, K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        told: impl Iterator<Item = Told<'a>>,
        before: &[Condition],
        after: &[Condition],
        is_said: impl Fn(&str) -> bool,
    ) {
        for Told { reason, warns, action, message } in told {
            self.publish(object, reason, warns, action, message).await;
        }
        let then = condition::find(before, ConditionType::Ready);
        let then = then.map(|then| (then.status.as_str(), then.reason.as_str()));
        self.tell_ready(object, then, after, is_said).await;
    }

    /// Publishes an Event when Ready has another value or reason than `then`, unless that is said already.
    async fn tell_ready<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        then: Option<(&str, &str)>,
        after: &[Condition],
        is_said: impl Fn(&str) -> bool,
    ) {
        let Some(now) = condition::find(after, ConditionType::Ready) else { return };
        if then == Some((now.status.as_str(), now.reason.as_str())) || is_said(&now.reason) {
            return;
        }
        let quiet = now.status == "True" || after.iter().any(|condition| condition.type_ == "Reconciling");
        self.publish(object, &now.reason, !quiet, "Reconcile", &now.message).await;
    }

    /// Publishes an Event for each of these, in their order, and counts them.
    pub async fn tell_happenings<K: Resource<DynamicType = ()>>(&self, object: &K, happenings: &[Happening]) {
        self.metrics.happened(happenings);
        for Happening { what, message, .. } in happenings {
            self.publish(object, what.as_str(), what.warns(), what.action(), message).await;
        }
    }

    /// Publishes an Event about something that happened. `action`: what was being done, in one word.
    pub async fn tell<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        reason: Reason,
        warning: bool,
        action: &'static str,
        message: &str,
    ) {
        self.publish(object, reason.as_str(), warning, action, message).await;
    }

    async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        reason: &str,
        warning: bool,
        action: &'static str,
        message: &str,
    ) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(condition::clipped_to_bytes(message, NOTE_BYTES)),
            action: action.to_owned(),
            secondary: None,
        };
        let recorder = self.recorder(object, &event);
        if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(error = crate::effects::chain(&error), reason, "failed to publish an event");
        }
    }
}

impl Context {
    /// Refuses what must not be done by two operators, unless this one leads for certain.
    pub(in crate::controllers) fn must_lead(&self) -> Result<(), EffectError> {
        if self.leading.is_certain() { Ok(()) } else { Err(EffectError::NotLeading) }
    }

    /// The recorder for this event. Each text has its own: within six minutes a recorder makes a series of whatever has
    /// the same reason, and of a series only the first text is ever shown.
    fn recorder<K: Resource<DynamicType = ()>>(&self, object: &K, event: &Event) -> Recorder {
        let key = fingerprint::short(&(object.meta().uid.as_deref(), &event.reason, &event.note));
        let new = || Recorder::new(self.kube.clone(), self.reporter.clone());
        let Ok(mut recorders) = self.recorders.lock() else { return new() };
        if recorders.len() >= RECORDERS {
            recorders.clear();
        }
        recorders.entry(key).or_insert_with(new).clone()
    }
}

/// The context as controllers pass it on.
pub type Shared = Arc<Context>;
