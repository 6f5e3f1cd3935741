//! Numbers for Prometheus. Counters carry only labels from closed sets; gauges that describe one object carry its
//! namespace and name and go with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elysia_api::cluster::{ProbeReport, WeaviateClusterStatus};
use elysia_api::collection::ElysiaCollectionStatus;
use elysia_api::index_source::IndexSourceStatus;
use elysia_api::{ElysiaCollection, IndexSource, WeaviateCluster};
use elysia_core::condition;
use kube::core::{Resource, ResourceExt as _};
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// All numbers of the operator. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    failed_steps: IntCounterVec,
    leader: IntGauge,
    ready: IntGaugeVec,
    nodes: IntGaugeVec,
    replicas: IntGaugeVec,
    behind: IntGaugeVec,
    lines: GaugeVec,
    lag: GaugeVec,
    /// Namespace and name of every object that has gauges, by kind.
    known: Mutex<BTreeSet<(&'static str, String, String)>>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let object = ["namespace", "name"];
        let inner = Inner {
            reconciles: IntCounterVec::new(
                Opts::new("elysia_reconcile_total", "Rounds by kind and outcome."),
                &["kind", "outcome"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("elysia_reconcile_duration_seconds", "Time of a round in seconds.")
                    .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]),
                &["kind"],
            )?,
            failed_steps: IntCounterVec::new(
                Opts::new("elysia_failed_steps_total", "Steps of plans that failed, by kind and reason."),
                &["kind", "reason"],
            )?,
            leader: IntGauge::new("elysia_leader", "1 while this operator leads.")?,
            ready: IntGaugeVec::new(
                Opts::new("elysia_ready", "Condition Ready of an object: 1 True, 0 False, -1 unknown."),
                &["kind", "namespace", "name"],
            )?,
            nodes: IntGaugeVec::new(
                Opts::new("elysia_cluster_nodes", "Nodes of a cluster, by wanted and ready."),
                &["namespace", "name", "which"],
            )?,
            replicas: IntGaugeVec::new(
                Opts::new(
                    "elysia_collection_replicas",
                    "Replicas of a collection's worst shard, by wanted and lowest.",
                ),
                &["namespace", "name", "which"],
            )?,
            behind: IntGaugeVec::new(
                Opts::new("elysia_collection_shards_behind", "Shards with fewer replicas than wanted."),
                &object,
            )?,
            lines: GaugeVec::new(
                Opts::new("elysia_feed_lines", "Lines of a feed's present run, by outcome."),
                &["namespace", "name", "outcome"],
            )?,
            lag: GaugeVec::new(
                Opts::new(
                    "elysia_replication_lag_seconds",
                    "Time until the slowest replica had what was written at QUORUM, by the last probe.",
                ),
                &object,
            )?,
            registry,
            known: Mutex::default(),
        };
        let Inner {
            registry,
            reconciles,
            seconds,
            failed_steps,
            leader,
            ready,
            nodes,
            replicas,
            behind,
            lines,
            lag,
            known: _,
        } = &inner;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(failed_steps.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(nodes.clone()))?;
        registry.register(Box::new(replicas.clone()))?;
        registry.register(Box::new(behind.clone()))?;
        registry.register(Box::new(lines.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
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

    /// Tells whether this operator leads.
    pub fn leads(&self, leads: bool) {
        self.inner.leader.set(i64::from(leads));
    }

    /// Gauges of a cluster.
    pub fn cluster(&self, object: &WeaviateCluster, status: &WeaviateClusterStatus) {
        let (namespace, name) = self.know("WeaviateCluster", object, &status.conditions);
        let (ready, wanted) = status
            .nodes_ready
            .as_deref()
            .and_then(|text| text.split_once('/'))
            .map_or((0, 0), |(ready, wanted)| (ready.parse().unwrap_or(0), wanted.parse().unwrap_or(0)));
        self.inner.nodes.with_label_values(&[&namespace, &name, &"ready".to_owned()]).set(ready);
        self.inner.nodes.with_label_values(&[&namespace, &name, &"wanted".to_owned()]).set(wanted);
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

    /// Gauges of a collection.
    pub fn collection(&self, object: &ElysiaCollection, status: &ElysiaCollectionStatus) {
        let (namespace, name) = self.know("ElysiaCollection", object, &status.conditions);
        let Some(replication) = &status.replication else {
            return;
        };
        let gauge = |which: &str| self.inner.replicas.with_label_values(&[&namespace, &name, &which.to_owned()]);
        gauge("wanted").set(replication.desired);
        match replication.lowest {
            Some(lowest) => gauge("lowest").set(lowest),
            // Unknown is not zero: the series goes.
            None => drop(self.inner.replicas.remove_label_values(&[&namespace, &name, &"lowest".to_owned()])),
        }
        self.inner.behind.with_label_values(&[&namespace, &name]).set(replication.behind_total);
    }

    /// Gauges of a feed.
    pub fn feed(&self, object: &IndexSource, status: &IndexSourceStatus) {
        let (namespace, name) = self.know("IndexSource", object, &status.conditions);
        let Some(counts) = &status.counts else { return };
        for (outcome, count) in [
            ("added", counts.added),
            ("modified", counts.modified),
            ("deleted", counts.deleted),
            ("renamed", counts.renamed),
            ("unchanged", counts.unchanged),
            ("rejected", counts.rejected),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 lines are out of reach")]
            self.inner.lines.with_label_values(&[&namespace, &name, &outcome.to_owned()]).set(count as f64);
        }
    }

    fn know<K: Resource<DynamicType = ()>>(
        &self,
        kind: &'static str,
        object: &K,
        conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    ) -> (String, String) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let value = match condition::find(conditions, elysia_api::condition::ConditionType::Ready) {
            Some(ready) if ready.status == "True" => 1,
            Some(ready) if ready.status == "False" => 0,
            _ => -1,
        };
        self.inner.ready.with_label_values(&[&kind.to_owned(), &namespace, &name]).set(value);
        if let Ok(mut known) = self.inner.known.lock() {
            known.insert((kind, namespace.clone(), name.clone()));
        }
        (namespace, name)
    }

    /// Drops the gauges of every object of this kind that is not among those that exist.
    pub fn forget_gone(&self, kind: &'static str, exists: impl Fn(&str, &str) -> bool) {
        let Ok(mut known) = self.inner.known.lock() else {
            return;
        };
        known.retain(|(of, namespace, name)| {
            if *of != kind || exists(namespace, name) {
                return true;
            }
            self.forget(kind, namespace, name);
            false
        });
    }

    fn forget(&self, kind: &'static str, namespace: &str, name: &str) {
        let Inner { ready, nodes, replicas, behind, lines, lag, .. } = self.inner.as_ref();
        // A series that was never set is not there to be removed, which is no error.
        let _ = ready.remove_label_values(&[kind, namespace, name]);
        match kind {
            "WeaviateCluster" => {
                let _ = lag.remove_label_values(&[namespace, name]);
                for which in ["ready", "wanted"] {
                    let _ = nodes.remove_label_values(&[namespace, name, which]);
                }
            }
            "ElysiaCollection" => {
                let _ = behind.remove_label_values(&[namespace, name]);
                for which in ["lowest", "wanted"] {
                    let _ = replicas.remove_label_values(&[namespace, name, which]);
                }
            }
            _ => ["added", "modified", "deleted", "renamed", "unchanged", "rejected"].iter().for_each(|outcome| {
                let _ = lines.remove_label_values(&[namespace, name, outcome]);
            }),
        }
    }
}
