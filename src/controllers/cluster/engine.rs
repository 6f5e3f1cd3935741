//! What shows whether a node's replication engine hangs, and the restart that heals it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use elysia_api::WeaviateCluster;
use elysia_api::cluster::EngineRestart;
use elysia_api::condition::Reason;
use elysia_core::cluster::engine::{self, Look};
use elysia_core::cluster::{ClusterSpec, Kind, Observed, judge};
use elysia_core::collection::{Operation, OperationState};
use elysia_core::sight::Sight;
use elysia_weaviate::Client;
use jiff::Timestamp;
use kube::core::ResourceExt as _;

use super::super::collection::operation;
use super::super::connect::{self, Key, sight};
use super::super::context::Context;
use crate::effects::{EffectError, kubernetes, replicas};

/// When operations that are to be deleted were first seen so, by the uid of their cluster. Losing it costs a minute.
#[derive(Default)]
pub(in crate::controllers) struct Pending(Mutex<BTreeMap<String, BTreeMap<String, Timestamp>>>);

impl Pending {
    /// Since when each of these has been pending; those that are not any more are forgotten.
    fn seen(&self, uid: &str, operations: &[Operation], now: Timestamp) -> BTreeMap<String, Timestamp> {
        let Ok(mut clusters) = self.0.lock() else { return BTreeMap::new() };
        let before = clusters.remove(uid).unwrap_or_default();
        let pending =
            operations.iter().filter(|operation| operation.dropping && operation.state == OperationState::Active);
        let seen: BTreeMap<String, Timestamp> = pending
            .map(|operation| (operation.id.clone(), before.get(&operation.id).copied().unwrap_or(now)))
            .collect();
        if !seen.is_empty() {
            clusters.insert(uid.to_owned(), seen.clone());
        }
        seen
    }
}

/// Adds to the look what shows whether an engine hangs. `under_way`: a plan that a restart would spoil.
pub(super) async fn look(
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    under_way: bool,
    context: &Context,
    observed: &mut Observed,
) {
    // Servers that somebody else runs are somebody else's to restart.
    let Kind::Managed(_) = &spec.kind else { return };
    let before = cluster.status.clone().unwrap_or_default();
    let withheld = if judge::is_paused(cluster) {
        Some("elysia.dev/paused is true".to_owned())
    } else {
        // A replica that was started since voids the proof that a collection is empty.
        under_way.then(|| "a collection is being recreated or cleared".to_owned())
    };
    observed.engine = Look { hung: before.hung_engine, restart: before.engine_restart, withheld, ..Look::default() };
    // A node that answers, not the Service: that may lead to one which is away, and hold up the round.
    let Some(client) = ready_client(spec, cluster, context, observed).await else { return };
    let operations = sight(client.replication_operations(None).await);
    observed.engine.operations = operations.map(|all| all.into_iter().map(operation).collect());
    let now = (context.now)();
    if let Sight::Seen(operations) = &observed.engine.operations {
        observed.engine.seen = context.pending.seen(&cluster.uid().unwrap_or_default(), operations, now);
    }
    if engine::verdict(spec, observed, now).asks {
        observed.engine.placement = Some(sight(replicas::placement_of_all(&client).await));
    }
}

async fn ready_client(
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
    observed: &Observed,
) -> Option<Client> {
    let key = match connect::api_key(&context.kube, cluster).await {
        Key::None => None,
        Key::Some(key) => Some(key),
        Key::NoSecret(_) | Key::Unreadable(_) => return None,
    };
    let clients = context.connections.open(spec, &context.stores, key.as_ref(), true).ok()?;
    let mut ready = observed.nodes.iter().filter(|node| node.answer.seen().is_some_and(|answer| answer.ready));
    ready.find_map(|node| clients.nodes.get(&node.name).cloned())
}

/// Restarts the node whose engine hangs, unless its pod was made anew meanwhile.
pub(super) async fn restart(
    restart: &EngineRestart,
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<(), EffectError> {
    context.must_lead()?;
    let EngineRestart { node, operation, pod_uid, at: _ } = restart;
    if kubernetes::restart_pod(&context.kube, &spec.namespace, node, pod_uid).await? {
        tracing::warn!(namespace = spec.namespace, node, operation, "restarted a node whose replication engine hung");
        context.metrics.restarted_node("engine");
        let message = format!("restarted {node}: its replication engine hung, it did not delete operation {operation}");
        context.tell(cluster, Reason::CopyStuck, true, "RestartNode", &message).await;
    }
    Ok(())
}
