//! What the repair of replicas looks at.

use std::collections::BTreeMap;

use elysia_api::WeaviateCluster;
use elysia_api::cluster::RepairLimits;
use elysia_api::collection::ElysiaCollectionStatus;
use elysia_core::collection::copies::Limits;
use elysia_core::collection::repair::{Activity, COMPARED_TENANTS, Gap, Restarter};
use elysia_core::collection::{
    CollectionSpec, Observed, Operation, OperationState, Questions, ReplicaView, Stage, schema,
};
use elysia_core::fingerprint;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_weaviate::{ActivityStatus, Client, ReplicationKind, ReplicationOperation, ReplicationState, Statistics};
use jiff::Timestamp;

use super::super::super::connect::{ClusterClients, sight, started_after};
use super::super::super::context::Context;
use crate::effects::{proof, replicas as effects};

/// Takes in the operations of all classes: those of this one, and how many run to each node.
pub(super) fn operations(spec: &CollectionSpec, operations: Sight<Vec<ReplicationOperation>>, observed: &mut Observed) {
    if let Sight::Seen(operations) = &operations {
        let mut running: BTreeMap<String, usize> = BTreeMap::new();
        // One that only waits for the members of RAFT loads nothing. Counted, those of one collection could keep another
        // one from the very copies that a dead member's removal waits for (seen on 1.38.2).
        let loads = |operation: &&ReplicationOperation| {
            !operation.state.is_final() && operation.state != ReplicationState::Integrating
        };
        for operation in operations.iter().filter(loads) {
            *running.entry(operation.target.clone()).or_default() += 1;
        }
        observed.repair.running = Some(running);
        for operation in operations.iter().filter(|operation| gets_on(operation)) {
            *observed.repair.busy.entry(operation.target.clone()).or_default() += 1;
        }
    }
    observed.operations = operations.map(|operations| {
        let own = operations.into_iter().filter(|operation| operation.collection == spec.collection);
        own.map(operation).collect()
    });
}

/// Whether it is carried out, as far as can be told.
fn gets_on(operation: &ReplicationOperation) -> bool {
    matches!(operation.state, ReplicationState::Hydrating | ReplicationState::Finalizing)
        && operation.errors.is_empty()
        && !operation.scheduled_for_delete
        && !operation.scheduled_for_cancel
}

/// An operation as the core sees it.
pub(in crate::controllers) fn operation(operation: ReplicationOperation) -> Operation {
    Operation {
        stage: match operation.state {
            ReplicationState::Registered => Stage::Registered,
            ReplicationState::Finalizing => Stage::Finalizing,
            ReplicationState::Integrating => Stage::Integrating,
            _ => Stage::Copying,
        },
        state: match operation.state {
            ReplicationState::Ready => OperationState::Ready,
            ReplicationState::Cancelled => OperationState::Cancelled,
            _ => OperationState::Active,
        },
        id: operation.id.to_string(),
        shard: operation.shard,
        source: operation.source,
        target: operation.target,
        // A kind that is not known may take away as well.
        moves: operation.kind != ReplicationKind::Copy,
        // A cancelled one goes on saying that somebody cancelled it.
        dropping: operation.scheduled_for_delete || (operation.scheduled_for_cancel && !operation.state.is_final()),
        error: operation.errors.last().cloned(),
    }
}

/// What every look takes besides: what is remembered, and whether a proof of before still says something.
pub(super) async fn look(
    spec: &CollectionSpec,
    cluster: &WeaviateCluster,
    clients: &ClusterClients,
    before: &ElysiaCollectionStatus,
    context: &Context,
    observed: &mut Observed,
) {
    let now = (context.now)();
    observed.repair.limits = limits(cluster.spec.repair.as_ref());
    observed.repair.data_ports = clients.data.keys().cloned().collect();
    let operations = observed.operations.seen().cloned().unwrap_or_default();
    if observed.operations.seen().is_some() {
        let members = observed.members.seen().map(Vec::as_slice).unwrap_or_default();
        observed.repair.seen = context.repairs.seen(spec, &operations, members, now);
    }
    observed.repair.avoided = context.repairs.avoided(spec, &operations, now);
    if cluster.spec.managed.is_some() {
        let hung = cluster.status.as_ref().and_then(|status| status.hung_engine.clone());
        observed.repair.restarter = Restarter::Operator(hung);
    }
    observed.repair.full = context.repairs.full(spec, &operations, now);
    observed.repair.raised = context.repairs.raised(spec);
    observed.repair.tells = context.repairs.tells(spec, now);
    observed.repair.voided = voided(spec, cluster, clients, before, context, observed, now).await;
    let is_blind =
        matches!(&observed.placement, Sight::Unseen(blindness) if blindness.kind == BlindnessKind::Unsupported);
    if is_blind && matches!(observed.class, Sight::Seen(Some(_))) {
        observed.repair.counted = Some(sight(clients.common.counted_replicas(&spec.collection).await));
    }
}

fn limits(limits: Option<&RepairLimits>) -> Limits {
    let number = |limit: i32| usize::try_from(limit).unwrap_or(1);
    limits.map_or_else(Limits::default, |limits| Limits {
        cluster: number(limits.copies_per_cluster),
        node: number(limits.copies_per_node),
    })
}

/// Why what was proved or counted before says nothing any more: a server was started since, and its disk may be another.
///
/// Of servers that we do not run the start is not known: one that was seen away and is back counts, and so does one that
/// lists nothing of what it listed.
async fn voided(
    spec: &CollectionSpec,
    cluster: &WeaviateCluster,
    clients: &ClusterClients,
    before: &ElysiaCollectionStatus,
    context: &Context,
    observed: &Observed,
    now: Timestamp,
) -> Option<String> {
    let members = observed.members.seen()?;
    let back = context.repairs.came_back(spec, &observed.nodes, members, now);
    let proved = before.replication.as_ref().and_then(|replication| replication.proved.as_ref());
    let since = proved.map(|proof| proof.at.0).or_else(|| before.objects.as_ref().map(|objects| objects.at.0))?;
    if let Some((node, time)) = back
        && time >= since
    {
        return Some(format!("{node} was away and is back"));
    }
    if cluster.spec.managed.is_some() {
        let late = started_after(since, &spec.namespace, &spec.cluster, context);
        return late.into_iter().find(|node| members.contains(node)).map(|node| format!("{node} was started since"));
    }
    let class = observed.class.seen()?.as_ref()?;
    if proved?.objects == 0 || schema::is_multi_tenant(class) {
        return None;
    }
    for (node, client) in clients.nodes.iter().filter(|(node, _)| members.contains(node)) {
        if proof::lists_nothing(client, &spec.collection, None).await.is_ok_and(|nothing| nothing) {
            return Some(format!("{node} lists no object"));
        }
    }
    None
}

/// What the first look makes worth asking.
pub(super) async fn look_closer(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    asked: Questions,
    context: &Context,
    observed: &mut Observed,
) {
    let collection = spec.collection.as_str();
    let is_multi_tenant =
        observed.class.seen().and_then(Option::as_ref).is_some_and(elysia_core::collection::schema::is_multi_tenant);
    if asked.repair.tenants || (asked.replicas && is_multi_tenant) {
        observed.repair.tenants = Some(sight(clients.common.tenants(collection).await).map(|tenants| {
            let activity = |status: &ActivityStatus| match status {
                ActivityStatus::Hot => Activity::Hot,
                ActivityStatus::Cold => Activity::Cold,
                _ => Activity::Away,
            };
            tenants.into_iter().map(|tenant| (tenant.name, activity(&tenant.activity_status))).collect()
        }));
    }
    if asked.repair.raft {
        observed.repair.raft = Some(sight(clients.common.statistics().await).map(raft_members));
        let journal = observed.repair.journal.seen().and_then(Option::as_ref).filter(|journal| !journal.over);
        if let Some(journal) = journal
            && !journal.gone.is_empty()
        {
            observed.repair.blocked = Some(sight(effects::raft_block(&clients.common, &journal.gone).await));
        }
    }
    if asked.replicas {
        let Ok(_turn) = context.comparisons.acquire().await else {
            observed.replicas = Some(Sight::unseen(BlindnessKind::Failed, "the operator is stopping"));
            return;
        };
        let tenants = if is_multi_tenant { Some(compared_tenants(observed)) } else { None };
        observed.repair.compared = tenants.as_ref().map(Vec::len);
        let lists = lists(spec, clients, &observed.nodes, tenants.as_deref()).await;
        if let Sight::Seen(views) = &lists
            && views.values().any(|view| Some(view) != views.values().next())
        {
            observed.repair.gaps = Some(gaps(spec, clients, &observed.nodes, tenants.as_deref()).await);
        }
        observed.replicas = Some(lists);
    }
}

fn raft_members(statistics: Statistics) -> Vec<String> {
    let raft = statistics.nodes.into_iter().filter_map(|node| node.raft);
    // Followers may be behind: whoever is named by any is still there.
    let mut names: Vec<String> = raft.flat_map(|raft| raft.members).map(|member| member.id).collect();
    names.sort();
    names.dedup();
    names
}

/// The tenants that are compared: active ones, always the same ones of the same tenants. A cold one is not woken.
fn compared_tenants(observed: &Observed) -> Vec<String> {
    let tenants = observed.repair.tenants.as_ref().and_then(Sight::seen);
    let mut hot: Vec<(String, &String)> = tenants
        .into_iter()
        .flatten()
        .filter(|(_, activity)| **activity == Activity::Hot)
        .map(|(tenant, _)| (fingerprint::short(tenant), tenant))
        .collect();
    hot.sort();
    hot.into_iter().take(COMPARED_TENANTS).map(|(_, tenant)| tenant.clone()).collect()
}

fn client<'a>(clients: &'a ClusterClients, node: &str) -> Result<&'a Client, Sight<()>> {
    clients.nodes.get(node).ok_or_else(|| Sight::unseen(BlindnessKind::Unreachable, format!("{node} has no address")))
}

/// What each node lists at its own address, one node after another. All of them, or nothing is known.
async fn lists(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    nodes: &[String],
    tenants: Option<&[String]>,
) -> Sight<BTreeMap<String, ReplicaView>> {
    let mut views = BTreeMap::new();
    for node in nodes {
        let client = match client(clients, node) {
            Ok(client) => client,
            Err(unseen) => return unseen.map(|()| BTreeMap::new()),
        };
        let each: Vec<Option<&str>> =
            tenants.map_or_else(|| vec![None], |tenants| tenants.iter().map(|tenant| Some(tenant.as_str())).collect());
        let (mut count, mut parts) = (0_u64, Vec::with_capacity(each.len()));
        for tenant in each {
            match sight(client.replica_digest(&spec.collection, tenant).await) {
                Sight::Seen(digest) => {
                    count += digest.count;
                    parts.push((tenant.unwrap_or_default().to_owned(), digest.digest));
                }
                Sight::Unseen(blindness) => return Sight::Unseen(blindness),
            }
        }
        let digest = match (tenants, parts.as_slice()) {
            (None, [(_, digest)]) => digest.clone(),
            _ => fingerprint::of(&parts),
        };
        views.insert(node.clone(), ReplicaView { count: i64::try_from(count).unwrap_or(i64::MAX), digest });
    }
    Sight::Seen(views)
}

async fn gaps(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    nodes: &[String],
    tenants: Option<&[String]>,
) -> Sight<BTreeMap<String, Gap>> {
    let asked: BTreeMap<String, Client> = clients
        .nodes
        .iter()
        .filter(|(node, _)| nodes.contains(node))
        .map(|(node, client)| (node.clone(), client.clone()))
        .collect();
    let mut sum: BTreeMap<String, Gap> = BTreeMap::new();
    let each: Vec<Option<&str>> =
        tenants.map_or_else(|| vec![None], |tenants| tenants.iter().map(|tenant| Some(tenant.as_str())).collect());
    for tenant in each {
        match sight(effects::gaps(&asked, &spec.collection, tenant).await) {
            Sight::Seen(gaps) => {
                for (node, gap) in gaps {
                    let entry = sum.entry(node).or_default();
                    entry.missing = entry.missing.saturating_add(gap.missing);
                }
            }
            Sight::Unseen(blindness) => return Sight::Unseen(blindness),
        }
    }
    Sight::Seen(sum)
}
