//! Numbers for Prometheus. Counters and histograms carry only labels from closed sets; gauges that describe one object
//! carry its namespace and name and go with it. `docs/metrics.md` lists all of them, and a test compares.

mod backup;
mod collection;
mod families;
mod feed;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elysia_api::backup::CollectionBackupStatus;
use elysia_api::cluster::{ProbeReport, WeaviateClusterStatus};
use elysia_api::collection::ElysiaCollectionStatus;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::IndexSourceStatus;
use elysia_api::restore::CollectionRestoreStatus;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};
use elysia_core::backup::ledger::BackupLedger;
use elysia_core::collection::deletion::Outcome;
use elysia_core::collection::happening::{Happened, Happening};
use elysia_core::condition;
use elysia_core::feed::LedgerView;
use elysia_core::restore::ledger::RestoreLedger;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{Resource, ResourceExt as _};
use prometheus::{Encoder as _, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder};

use backup::BackupGauges;
use collection::CollectionGauges;
use families::{Families, Family, set};
use feed::{FeedGauges, Remembered};

/// Labels of a gauge that describes one object.
const OBJECT: [&str; 2] = ["namespace", "name"];

/// Outcomes of copies.
const COPIES: [&str; 3] = ["done", "failed", "dropped"];
/// Outcomes of recreations and of emptying.
const RECREATIONS: [&str; 6] = ["recreated", "cleared", "voided", "clear_voided", "rolled_back", "old_back"];
/// Outcomes of deletions of collections with their objects.
const DELETIONS: [&str; 3] = ["deleted", "kept", "retained"];

/// All numbers of the operator. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    /// What the documentation is compared with.
    families: Vec<Family>,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    failed_steps: IntCounterVec,
    restarts: IntCounterVec,
    leader: IntGaugeVec,
    ready: IntGaugeVec,
    stalled: IntGaugeVec,
    nodes: IntGaugeVec,
    lag: GaugeVec,
    collections: CollectionGauges,
    feeds: FeedGauges,
    backups: BackupGauges,
    copies_started: IntCounterVec,
    copies_ended: IntCounterVec,
    replicas_removed: IntCounterVec,
    repair_seconds: HistogramVec,
    recreations: IntCounterVec,
    deletions: IntCounterVec,
    /// What is remembered of every object that has gauges.
    known: Mutex<BTreeMap<Key, Known>>,
}

/// Kind, namespace and name.
type Key = (&'static str, String, String);

#[derive(Default)]
struct Known {
    /// The reason under which the object counts as stalled.
    stalled: Option<String>,
    /// When its present plan was first shown.
    plan_since: Option<Timestamp>,
    /// What only a feed has.
    feed: Option<Remembered>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let mut make = Families::default();
        let mut inner = Inner {
            reconciles: make.counter(
                "elysia_reconcile_total",
                "Rounds by kind and outcome.",
                &["kind", "outcome"],
            )?,
            seconds: make.histogram(
                "elysia_reconcile_duration_seconds",
                "Time of a round in seconds.",
                &["kind"],
                &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0],
            )?,
            failed_steps: make.counter(
                "elysia_failed_steps_total",
                "Steps of plans that failed, by kind and reason.",
                &["kind", "reason"],
            )?,
            restarts: make.counter(
                "elysia_node_restarts_total",
                "Nodes of managed clusters that the operator restarted: alone, or with a hanging replication engine.",
                &["cause"],
            )?,
            leader: make.gauge("elysia_leader", "1 while this operator leads.", &[])?,
            ready: make.gauge(
                "elysia_ready",
                "Condition Ready of an object: 1 True, 0 False, -1 unknown.",
                &["kind", "namespace", "name"],
            )?,
            stalled: make.gauge(
                "elysia_stalled",
                "1 while the condition Stalled of an object is True, by its reason: a person is needed.",
                &["kind", "namespace", "name", "reason"],
            )?,
            nodes: make.gauge("elysia_cluster_nodes", "Nodes of a cluster, by wanted and ready.", &["namespace", "name", "which"])?,
            lag: make.float_gauge(
                "elysia_replication_lag_seconds",
                "Time until the slowest replica had what was written at QUORUM, by the last probe.",
                &OBJECT,
            )?,
            collections: CollectionGauges::make(&mut make)?,
            feeds: FeedGauges::make(&mut make)?,
            backups: BackupGauges::make(&mut make)?,
            copies_started: make.counter(
                "elysia_collection_copies_started_total",
                "Copies of replicas that were started.",
                &[],
            )?,
            copies_ended: make.counter(
                "elysia_collection_copies_ended_total",
                "Copies of replicas that ended, by done, failed and dropped.",
                &["outcome"],
            )?,
            replicas_removed: make.counter(
                "elysia_collection_replicas_removed_total",
                "Replicas that were taken away by approved plans.",
                &[],
            )?,
            repair_seconds: make.histogram(
                "elysia_collection_repair_duration_seconds",
                "Time of a repair of replicas from its first copy to its last, by the action of its plan.",
                &["action"],
                &[10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0],
            )?,
            recreations: make.counter(
                "elysia_collection_recreations_total",
                "Recreations and emptyings that came to a turn, by recreated, cleared, voided, clear_voided, rolled_back and old_back.",
                &["outcome"],
            )?,
            deletions: make.counter(
                "elysia_collection_deletions_total",
                "Objects with a finalizer that were let go, by what became of the collection: deleted, kept, retained.",
                &["outcome"],
            )?,
            registry: Registry::default(),
            families: Vec::new(),
            known: Mutex::default(),
        };
        (inner.registry, inner.families) = (make.registry, make.made);
        // A counter that is there before it counts lets the first one be seen as an increase.
        let never: [&str; 0] = [];
        inner.copies_started.with_label_values(&never);
        inner.replicas_removed.with_label_values(&never);
        inner.leader.with_label_values(&never);
        for (counter, outcomes) in [
            (&inner.copies_ended, COPIES.as_slice()),
            (&inner.recreations, RECREATIONS.as_slice()),
            (&inner.deletions, DELETIONS.as_slice()),
        ] {
            for outcome in outcomes {
                counter.with_label_values(&[outcome]);
            }
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Everything in Prometheus' text format. Ages are those of this moment.
    pub fn text(&self, now: Timestamp) -> String {
        if let Ok(known) = self.inner.known.lock() {
            for ((_, namespace, name), known) in known.iter() {
                if let Some(since) = known.plan_since {
                    let age = now.duration_since(since).as_secs().max(0);
                    set(&self.inner.collections.plan_age, &[namespace, name], Some(age));
                }
                if let Some(feed) = &known.feed {
                    self.inner.feeds.age(namespace, name, feed, now);
                }
            }
        }
        let mut buffer = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.inner.registry.gather(), &mut buffer) {
            tracing::warn!(error = error.to_string(), "failed to write metrics");
        }
        String::from_utf8_lossy(&buffer).into_owned()
    }

    /// Counts a round.
    pub fn round(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.inner.reconciles.with_label_values(&[kind, outcome]).inc();
        self.inner.seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// Counts a failed step.
    pub fn failed_step(&self, kind: &'static str, reason: &'static str) {
        self.inner.failed_steps.with_label_values(&[kind, reason]).inc();
    }

    /// Counts a node that was restarted: `alone` or `engine`.
    pub fn restarted_node(&self, cause: &'static str) {
        self.inner.restarts.with_label_values(&[cause]).inc();
    }

    /// Tells whether this operator leads.
    pub fn leads(&self, leads: bool) {
        let never: [&str; 0] = [];
        self.inner.leader.with_label_values(&never).set(i64::from(leads));
    }

    /// Counts what happened.
    pub fn happened(&self, happenings: &[Happening]) {
        let never: [&str; 0] = [];
        let Inner { copies_started, copies_ended, replicas_removed, recreations, .. } = self.inner.as_ref();
        for Happening { what, count, .. } in happenings {
            match what {
                Happened::CopiesStarted => copies_started.with_label_values(&never).inc_by(*count),
                Happened::CopiesEnded => copies_ended.with_label_values(&["done"]).inc_by(*count),
                Happened::CopiesFailed => copies_ended.with_label_values(&["failed"]).inc_by(*count),
                Happened::CopyRecordsDropped => copies_ended.with_label_values(&["dropped"]).inc_by(*count),
                Happened::ReplicasRemoved => replicas_removed.with_label_values(&never).inc_by(*count),
                Happened::Recreated => recreations.with_label_values(&["recreated"]).inc(),
                Happened::Cleared => recreations.with_label_values(&["cleared"]).inc(),
                Happened::RecreationVoided => recreations.with_label_values(&["voided"]).inc(),
                Happened::ClearVoided => recreations.with_label_values(&["clear_voided"]).inc(),
                Happened::RolledBack => recreations.with_label_values(&["rolled_back"]).inc(),
                Happened::OldCollectionBack => recreations.with_label_values(&["old_back"]).inc(),
                _ => {}
            }
        }
    }

    /// Takes in how long a repair took that has ended.
    pub fn repaired(&self, action: &'static str, took: SignedDuration) {
        self.inner.repair_seconds.with_label_values(&[action]).observe(took.as_secs_f64());
    }

    /// Counts an object that was let go.
    pub fn deletion(&self, outcome: &Outcome) {
        let word = match outcome {
            Outcome::Deleted => "deleted",
            Outcome::Kept(_) => "kept",
            Outcome::Retained => "retained",
        };
        self.inner.deletions.with_label_values(&[word]).inc();
    }

    /// Gauges of a cluster.
    pub fn cluster(&self, object: &WeaviateCluster, status: &WeaviateClusterStatus) {
        let (namespace, name) = self.know("WeaviateCluster", object, &status.conditions);
        let (ready, wanted) = status
            .nodes_ready
            .as_deref()
            .and_then(|text| text.split_once('/'))
            .map_or((0, 0), |(ready, wanted)| (ready.parse().unwrap_or(0), wanted.parse().unwrap_or(0)));
        self.inner.nodes.with_label_values(&[namespace.as_str(), &name, "ready"]).set(ready);
        self.inner.nodes.with_label_values(&[namespace.as_str(), &name, "wanted"]).set(wanted);
    }

    /// Gauge of a cluster's probe: the series goes when it failed or when there is none.
    pub fn probe(&self, object: &WeaviateCluster, probe: Option<&ProbeReport>) {
        let labels = [object.namespace().unwrap_or_default(), object.name_any()];
        match probe.and_then(|probe| probe.lag_milliseconds) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a bounded wait")]
            Some(lag) => self.inner.lag.with_label_values(&labels).set(lag as f64 / 1000.0),
            None => drop(self.inner.lag.remove_label_values(&labels)),
        }
    }

    /// Gauges of a collection. `copies`: those that run, if that is known.
    pub fn collection(&self, object: &ElysiaCollection, status: &ElysiaCollectionStatus, copies: Option<usize>) {
        let (namespace, name) = self.know("ElysiaCollection", object, &status.conditions);
        self.inner.collections.set(&namespace, &name, status, copies);
        let since = status.plan.as_ref().and_then(|plan| plan.since.as_ref()).map(|since| since.0);
        self.remember(&("ElysiaCollection", namespace, name), |known| known.plan_since = since);
    }

    /// Gauges of a feed. `ledger`: what its workers wrote, if that is known.
    pub fn feed(&self, object: &IndexSource, status: &IndexSourceStatus, ledger: Option<&LedgerView>) {
        let (namespace, name) = self.know("IndexSource", object, &status.conditions);
        let collection = object.spec.collection.as_str();
        let mut former = None;
        self.remember(&("IndexSource", namespace.clone(), name.clone()), |known| {
            let next = Remembered::next(known.feed.as_ref(), collection, status);
            former = known.feed.replace(next).map(|former| former.collection);
        });
        // The name may be another object's by now.
        if let Some(former) = former.filter(|former| former != collection) {
            self.inner.feeds.forget([&namespace, &name, &former]);
        }
        self.inner.feeds.set([&namespace, &name, collection], status, ledger);
    }

    /// Gauges of a backup policy. `ledger`: what its workers wrote, if that is known; `due`: the last time of its schedule.
    pub fn backup(
        &self,
        object: &CollectionBackup,
        status: &CollectionBackupStatus,
        ledger: Option<&BackupLedger>,
        due: Option<Timestamp>,
    ) {
        let (namespace, name) = self.know("CollectionBackup", object, &status.conditions);
        self.inner.backups.set_backup([&namespace, &name], status, ledger, due);
    }

    /// Gauges of a restore. `ledger`: what its worker wrote, if that is known.
    pub fn restore(
        &self,
        object: &CollectionRestore,
        status: &CollectionRestoreStatus,
        ledger: Option<&RestoreLedger>,
    ) {
        let (namespace, name) = self.know("CollectionRestore", object, &status.conditions);
        self.inner.backups.set_restore([&namespace, &name], status, ledger);
    }

    /// Counts runs of backups that ended.
    pub fn backups_happened(&self, happenings: &[elysia_core::backup::happening::Happening]) {
        self.inner.backups.work().backups_happened(happenings);
    }

    /// Counts restores that ended.
    pub fn restores_happened(&self, happenings: &[elysia_core::restore::happening::Happening]) {
        self.inner.backups.work().restores_happened(happenings);
    }

    /// Changes what is remembered of an object that has gauges.
    fn remember(&self, key: &Key, change: impl FnOnce(&mut Known)) {
        if let Ok(mut known) = self.inner.known.lock()
            && let Some(known) = known.get_mut(key)
        {
            change(known);
        }
    }

    fn know<K: Resource<DynamicType = ()>>(
        &self,
        kind: &'static str,
        object: &K,
        conditions: &[Condition],
    ) -> (String, String) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let value = match condition::find(conditions, ConditionType::Ready) {
            Some(ready) if ready.status == "True" => 1,
            Some(ready) if ready.status == "False" => 0,
            _ => -1,
        };
        self.inner.ready.with_label_values(&[kind, &namespace, &name]).set(value);
        let stalled = condition::find(conditions, ConditionType::Stalled).map(|stalled| stalled.reason.clone());
        if let Ok(mut all) = self.inner.known.lock() {
            let known = all.entry((kind, namespace.clone(), name.clone())).or_default();
            if let Some(earlier) = known.stalled.take_if(|earlier| Some(&*earlier) != stalled.as_ref()) {
                set(&self.inner.stalled, &[kind, &namespace, &name, &earlier], None);
            }
            if let Some(reason) = stalled {
                set(&self.inner.stalled, &[kind, &namespace, &name, &reason], Some(1));
                known.stalled = Some(reason);
            }
        }
        (namespace, name)
    }

    /// Drops the gauges of every object of this kind that is not among those that exist.
    pub fn forget_gone(&self, kind: &'static str, exists: impl Fn(&str, &str) -> bool) {
        let Ok(mut known) = self.inner.known.lock() else {
            return;
        };
        known.retain(|(of, namespace, name), known| {
            if *of != kind || exists(namespace, name) {
                return true;
            }
            self.forget(kind, namespace, name, known);
            false
        });
    }

    fn forget(&self, kind: &'static str, namespace: &str, name: &str, known: &Known) {
        let inner = &self.inner;
        set(&inner.ready, &[kind, namespace, name], None);
        if let Some(reason) = &known.stalled {
            set(&inner.stalled, &[kind, namespace, name, reason], None);
        }
        if let Some(feed) = &known.feed {
            inner.feeds.forget([namespace, name, &feed.collection]);
        }
        match kind {
            "WeaviateCluster" => {
                // A series that was never set is not there to be removed, which is no error.
                let _ = inner.lag.remove_label_values(&[namespace, name]);
                for which in ["ready", "wanted"] {
                    set(&inner.nodes, &[namespace, name, which], None);
                }
            }
            "ElysiaCollection" => inner.collections.forget(namespace, name),
            "CollectionBackup" => {
                inner.backups.set_backup([namespace, name], &CollectionBackupStatus::default(), None, None);
            }
            "CollectionRestore" => {
                inner.backups.set_restore([namespace, name], &CollectionRestoreStatus::default(), None);
            }
            _ => {}
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod expressions_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work_tests;
