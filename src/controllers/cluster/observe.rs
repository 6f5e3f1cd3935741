//! What a look at a cluster gives.

use std::collections::BTreeMap;

use elysia_api::cluster::ClusterPhase;
use elysia_api::condition::ConditionType;
use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::engine::Look;
use elysia_core::cluster::{ClusterSpec, Kind, MemberSight, NodeAnswer, NodeSight, Observed, PodView, StatefulSetView};
use elysia_core::condition;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_weaviate::{Client, NodeStatistics};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerState, PersistentVolumeClaim, Pod};
use kube::api::Api;
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::connect::{self, ClusterClients, Key};
use super::super::context::Context;

/// Label of a journal during whose steps auto-schema is held off.
pub(crate) const HOLDS_AUTO_SCHEMA_OFF: &str = "elysia.dev/holds-auto-schema-off";

/// One look.
pub(super) async fn observe(
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<Observed, ReconcileError> {
    let key = connect::api_key(&context.kube, cluster).await;
    let secret = match &key {
        Key::None | Key::Some(_) => Sight::Seen(true),
        Key::NoSecret(_) => Sight::Seen(false),
        Key::Unreadable(message) => Sight::unseen(BlindnessKind::Failed, message.clone()),
    };
    let usable = match &key {
        Key::None => Some(None),
        Key::Some(key) => Some(Some(key)),
        Key::NoSecret(_) | Key::Unreadable(_) => None,
    };
    let clients = usable.map(|key| context.connections.open(spec, &context.stores, key, true));
    let clients = match clients {
        Some(Ok(clients)) => Ok(clients),
        Some(Err(message)) => Err(message),
        None => Err("there is no API key to ask with".to_owned()),
    };
    let managed = matches!(spec.kind, Kind::Managed(_));
    Ok(Observed {
        stateful_set: if managed { stateful_set(spec, context).await? } else { None },
        pods: if managed { pods(spec, context) } else { BTreeMap::new() },
        nodes: nodes(spec, clients.as_ref()).await,
        members: members(spec, clients.as_ref()).await,
        secret,
        lived_before: was_ready(cluster) || (managed && has_later_volume(spec, context).await?),
        unverified_since: unverified_since(cluster),
        engine: Look::default(),
        elysia_exists: spec.elysia.is_some() && elysia_exists(spec, context).await?,
    })
}

async fn stateful_set(spec: &ClusterSpec, context: &Context) -> Result<Option<StatefulSetView>, ReconcileError> {
    let api: Api<StatefulSet> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let set = api.get_opt(&spec.name).await.map_err(ReconcileError::read(format!("StatefulSet {}", spec.name)))?;
    Ok(set.map(|set| StatefulSetView {
        replicas: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        update_revision: set.status.as_ref().and_then(|status| status.update_revision.clone()),
        pending: set.status.as_ref().and_then(|status| status.observed_generation) < set.metadata.generation,
    }))
}

fn was_ready(cluster: &WeaviateCluster) -> bool {
    let phase = cluster.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(|phase| phase != ClusterPhase::Starting)
}

/// Since when the condition ClusterVerified does not hold.
fn unverified_since(cluster: &WeaviateCluster) -> Option<Timestamp> {
    let conditions = &cluster.status.as_ref()?.conditions;
    let verified = condition::find(conditions, ConditionType::ClusterVerified)?;
    (verified.status != "True").then_some(verified.last_transition_time.0)
}

/// Whether the second node has a volume: there was a cluster of several nodes here before.
async fn has_later_volume(spec: &ClusterSpec, context: &Context) -> Result<bool, ReconcileError> {
    let name = format!("data-{}", names::node(&spec.name, 1));
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let found = api.get_opt(&name).await.map_err(ReconcileError::read(format!("PersistentVolumeClaim {name}")))?;
    Ok(found.is_some())
}

async fn elysia_exists(spec: &ClusterSpec, context: &Context) -> Result<bool, ReconcileError> {
    let name = names::elysia(&spec.name);
    let api: Api<Deployment> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let found = api.get_opt(&name).await.map_err(ReconcileError::read(format!("Deployment {name}")))?;
    Ok(found.is_some())
}

fn pods(spec: &ClusterSpec, context: &Context) -> BTreeMap<String, PodView> {
    connect::pods(spec, &context.stores).into_iter().map(|pod| (pod.name_any(), pod_view(&pod))).collect()
}

fn pod_view(pod: &Pod) -> PodView {
    let status = pod.status.as_ref();
    let container = status
        .and_then(|status| status.container_statuses.as_ref())
        .and_then(|statuses| statuses.iter().find(|status| status.name == "weaviate"));
    let state = container.and_then(|container| container.state.as_ref());
    let started = state.and_then(|state| state.running.as_ref()).and_then(|running| running.started_at.as_ref());
    PodView {
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get("controller-revision-hash").cloned(),
        started: started.map(|time| time.0),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        trouble: state.and_then(trouble).or_else(|| unscheduled(pod)),
    }
}

fn trouble(state: &ContainerState) -> Option<String> {
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        return Some(match &waiting.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason,
        });
    }
    let terminated = state.terminated.as_ref()?;
    let reason = terminated.reason.clone().unwrap_or_default();
    Some(format!("its container ended with code {} {reason}", terminated.exit_code))
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status != "True")?;
    Some(format!("its pod is not scheduled: {}", scheduled.message.clone().unwrap_or_default()))
}

async fn nodes(spec: &ClusterSpec, clients: Result<&ClusterClients, &String>) -> Vec<NodeSight> {
    let names = spec.node_names();
    join_all(names.into_iter().map(async |name| {
        let answer = match clients {
            Err(message) => Sight::unseen(BlindnessKind::Failed, message.clone()),
            Ok(clients) => match clients.nodes.get(&name) {
                Some(client) => ask(&name, client).await,
                None => Sight::unseen(BlindnessKind::Unreachable, "its pod has no address yet"),
            },
        };
        NodeSight { name, answer }
    }))
    .await
}

/// What a node says at its own address. One that says whether it is ready has answered; the rest may be missing.
async fn ask(name: &str, client: &Client) -> Sight<NodeAnswer> {
    let (ready, meta, members, statistics) =
        futures::join!(client.ready(), client.meta(), client.nodes(), client.statistics());
    // `ready` needs no key, so it alone cannot tell that the key is wrong.
    if let Err(error @ elysia_weaviate::WeaviateError::Denied { .. }) = meta {
        return connect::sight(Err(error));
    }
    connect::sight(ready).map(|ready| {
        let statistics = statistics.ok();
        let own = statistics.as_ref().and_then(|all| all.nodes.iter().find(|node| node.name == name));
        NodeAnswer {
            ready,
            version: meta.ok().map(|meta| meta.version),
            members: members.ok().map(|members| {
                let mut names: Vec<String> = members.into_iter().map(|member| member.name).collect();
                names.sort();
                names
            }),
            raft: own
                .and_then(|own| own.raft.as_ref())
                .map(|raft| raft.state.clone())
                .filter(|state| !state.is_empty()),
            leader: own.map(|own| own.leader_id.clone()).filter(|leader| !leader.is_empty()),
            raft_members: own
                .and_then(|own| own.raft.as_ref())
                .map(|raft| raft.members.iter().map(|member| member.id.clone()).collect()),
            raft_addresses: own.map(raft_addresses).unwrap_or_default(),
            shards: None,
        }
    })
}

/// The members in a node's RAFT configuration, each with its address.
fn raft_addresses(node: &NodeStatistics) -> Vec<String> {
    let members = node.raft.iter().flat_map(|raft| &raft.members);
    members.map(|member| format!("{}@{}", member.id, member.address)).collect()
}

/// What the common address says; only asked when no node has an address of its own.
async fn members(spec: &ClusterSpec, clients: Result<&ClusterClients, &String>) -> Sight<MemberSight> {
    if !spec.node_names().is_empty() {
        return Sight::Seen(MemberSight::default());
    }
    let client = match clients {
        Ok(clients) => &clients.common,
        Err(message) => return Sight::unseen(BlindnessKind::Failed, message.clone()),
    };
    let (meta, members, statistics) = futures::join!(client.meta(), client.nodes(), client.statistics());
    let members = match connect::sight(members) {
        Sight::Seen(members) => members,
        Sight::Unseen(blindness) => return Sight::Unseen(blindness),
    };
    let statistics = statistics.map(|statistics| statistics.nodes).unwrap_or_default();
    let raft_addresses = statistics.iter().flat_map(raft_addresses).collect();
    let leader = statistics.into_iter().map(|node| node.leader_id).find(|leader| !leader.is_empty());
    let mut members: Vec<String> = members.into_iter().map(|member| member.name).collect();
    members.sort();
    Sight::Seen(MemberSight { version: meta.ok().map(|meta| meta.version), members, leader, raft_addresses })
}
