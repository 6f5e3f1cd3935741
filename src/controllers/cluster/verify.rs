//! What is looked at in a cluster less often than in every round: how the shards are spread, the collections that Elysia
//! made for itself, and, by `verify.data`, whether what is written comes back.

use std::collections::BTreeMap;
use std::sync::Mutex;

use elysia_api::WeaviateCluster;
use elysia_api::cluster::{Distribution, WeaviateClusterStatus};
use elysia_api::condition::ConditionType;
use elysia_api::names::PROBE_COLLECTION;
use elysia_core::cluster::{ClusterSpec, Kind, judge, probe};
use elysia_core::collection::schema;
use elysia_core::{condition, recommendations};
use elysia_weaviate::{Client, SchemaRead};
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;

use super::super::audit::Trail;
use super::super::collection::open;
use super::super::context::Context;
use crate::effects;

/// Time between two looks at how the shards are spread: the answer names every shard.
const DISTRIBUTION: SignedDuration = SignedDuration::from_mins(10);

/// When each cluster was looked at so, by its uid. Losing it costs one more look.
#[derive(Default)]
pub(in crate::controllers) struct Looked(Mutex<BTreeMap<String, Timestamp>>);

impl Looked {
    /// Whether it is time, and if so it is not for a while.
    fn is_due(&self, uid: &str, now: Timestamp) -> bool {
        let Ok(mut looked) = self.0.lock() else { return false };
        let due = looked.get(uid).is_none_or(|at| now.duration_since(*at) >= DISTRIBUTION);
        if due {
            looked.insert(uid.to_owned(), now);
        }
        due
    }
}

/// Adds to the status what is looked at only now and then.
pub(super) async fn verify(
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    status: &mut WeaviateClusterStatus,
    may_write: bool,
    context: &Context,
) {
    let before = cluster.status.clone().unwrap_or_default();
    let now = (context.now)();
    // What was seen stays until it is looked at again.
    for node in &mut status.nodes {
        let earlier = before.nodes.iter().find(|earlier| earlier.name == node.name);
        node.shards = node.shards.or(earlier.and_then(|earlier| earlier.shards));
    }
    let trouble = judge::is_fit(Some(status)).err();
    let since = cluster.creation_timestamp().map_or(now, |time| time.0);
    let data = spec.verify_data.as_ref();
    let probes = may_write && data.is_some_and(|data| probe::is_due(data, before.probe.as_ref(), since, now));
    let looks = context.looked.is_due(&cluster.uid().unwrap_or_default(), now);
    let mut why_not = None;
    if trouble.is_none() && (probes || looks) {
        match open(cluster, spec, context).await {
            Ok(clients) => {
                if looks {
                    distribution(&clients.common, status).await;
                    status.recommendations = system_collections(&clients.common, spec, status.nodes.len()).await;
                }
                if probes {
                    why_not = write_and_read(&clients.common, &clients.nodes, cluster, status, context).await;
                }
            }
            Err(message) => why_not = Some(message),
        }
    }
    context.metrics.probe(cluster, status.probe.as_ref());
    let waits = trouble.map(|trouble| format!("written and read back when the cluster is well again: {trouble}"));
    let why_not = why_not.or(waits.filter(|_| status.probe.is_none()));
    if data.is_none() {
        status.probe = None;
    }
    status.conditions.retain(|condition| condition.type_ != ConditionType::DataVerified.as_str());
    if let Some(finding) = probe::finding(data.is_some(), status.probe.as_ref(), why_not.as_deref()) {
        let added = condition::merge(&before.conditions, &[finding], cluster.metadata.generation, now);
        status.conditions.extend(added);
    }
}

/// How many replicas each node holds; absent when the servers do not say.
async fn distribution(client: &Client, status: &mut WeaviateClusterStatus) {
    let Ok(counts) = client.shard_counts().await else {
        status.distribution = None;
        status.nodes.iter_mut().for_each(|node| node.shards = None);
        return;
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for node in &mut status.nodes {
        node.shards = counts.get(&node.name).copied().map(number);
    }
    let spread = counts.values().min().zip(counts.values().max());
    status.distribution = spread.map(|(fewest, most)| Distribution {
        replicas: number(counts.values().sum()),
        fewest: number(*fewest),
        most: number(*most),
    });
}

/// What is to be said of the collections that Elysia made for itself. Those that are not there are not wrong.
async fn system_collections(client: &Client, spec: &ClusterSpec, nodes: usize) -> Vec<String> {
    let mut factors = Vec::new();
    for name in recommendations::SYSTEM_COLLECTIONS {
        if let Ok(Some(class)) = client.class(name, SchemaRead::Leader).await {
            factors.push((name.to_owned(), schema::class_factor(&class)));
        }
    }
    let minimum = match &spec.kind {
        Kind::Managed(managed) => i64::from(managed.minimum_replication_factor),
        Kind::External(_) => 1,
    };
    recommendations::of_system_collections(&factors, nodes, minimum)
}

/// The probe; why there is no answer, if there is none.
async fn write_and_read(
    common: &Client,
    nodes: &BTreeMap<String, Client>,
    cluster: &WeaviateCluster,
    status: &mut WeaviateClusterStatus,
    context: &Context,
) -> Option<String> {
    let members = status.nodes.len();
    let trail = Trail::of_cluster(cluster, PROBE_COLLECTION, None, context);
    match effects::probe::ensure_class(common, members).await {
        Ok(false) => {}
        made => {
            // Its shard is being placed; the next round writes.
            return trail.after("create_class", &[], made).err().map(|error| error.chain());
        }
    }
    let read_back = effects::probe::write_and_read(common, nodes).await;
    match trail.after("put_object", &[], read_back) {
        Ok(lags) => {
            status.probe = Some(probe::report(&lags, (context.now)()));
            None
        }
        Err(error) => Some(error.chain()),
    }
}
