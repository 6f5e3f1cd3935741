//! What is looked at before a collection is deleted and made again, and while it is.

use std::collections::BTreeMap;

use elysia_api::WeaviateCluster;
use elysia_core::cluster::{ClusterSpec, Kind};
use elysia_core::collection::recreate::{Journal, Look, Target, TenantState, Wants, unprovable};
use elysia_core::collection::{CollectionSpec, Observed, schema};
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_weaviate::{Client, WeaviateError};
use futures::future::join_all;
use kube::core::ResourceExt as _;

use super::super::connect::{ClusterClients, sight};
use crate::effects::{proof, weaviate};

/// The servers of a cluster, as a journal names them.
pub(in crate::controllers) fn target(cluster: &WeaviateCluster, spec: &ClusterSpec) -> Target {
    let mut addresses = vec![spec.rest()];
    // Pods come back with other addresses; of what the spec names each one counts.
    if let Kind::External(external) = &spec.kind {
        addresses.extend(external.nodes.iter().map(|node| format!("{}={}", node.name, node.url)));
    }
    Target { cluster: spec.name.clone(), uid: cluster.uid().unwrap_or_default(), addresses }
}

/// The first node that lists an object. That none does is known only when every holder of a replica was asked, and
/// every tenant.
pub(super) async fn holder(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    observed: &Observed,
) -> Sight<Option<String>> {
    let class = observed.class.seen().and_then(Option::as_ref);
    let tenants = if class.is_some_and(schema::is_multi_tenant) {
        match tenants(clients, &spec.collection).await {
            Sight::Seen(tenants) => Some(tenants),
            Sight::Unseen(blindness) => return Sight::Unseen(blindness),
        }
    } else {
        None
    };
    if let Some(why) = tenants.as_deref().and_then(unprovable) {
        return Sight::unseen(BlindnessKind::Unsupported, why);
    }
    let placement = observed.placement.seen().into_iter().flatten();
    let stranger = placement.flat_map(|shard| &shard.replicas).find(|node| !observed.nodes.contains(node));
    let mut unseen = None;
    for node in &observed.nodes {
        let Some(client) = clients.nodes.get(node) else {
            unseen = Some(format!("{node} has no address"));
            continue;
        };
        match proof::lists_nothing(client, &spec.collection, tenants.as_deref()).await {
            Ok(true) => {}
            Ok(false) => return Sight::Seen(Some(node.clone())),
            Err(error) => unseen = Some(crate::effects::chain(&error)),
        }
    }
    if let Some(node) = stranger {
        return Sight::unseen(BlindnessKind::Failed, format!("{node} holds a replica and has no address of its own"));
    }
    match (unseen, observed.nodes.is_empty()) {
        (Some(message), _) => Sight::unseen(BlindnessKind::Unreachable, message),
        (None, true) => Sight::unseen(
            BlindnessKind::Unsupported,
            "the WeaviateCluster names no node addresses (spec.external.nodes), so no replica can be asked by itself",
        ),
        (None, false) => Sight::Seen(None),
    }
}

/// What the present step wants to know.
pub(super) async fn look(spec: &CollectionSpec, clients: &ClusterClients, observed: &Observed, wants: Wants) -> Look {
    let collection = spec.collection.as_str();
    let mut look = Look::default();
    if wants.auto_schema {
        look.auto_schema =
            ask(clients, Client::auto_schema_probe).await.into_iter().map(|(node, on)| (node, on.flatten())).collect();
    }
    if wants.read_only {
        look.read_only = read_only(clients, collection).await;
    }
    if wants.local {
        look.local = ask(clients, |node| weaviate::local_class(node, collection)).await;
    }
    let class = observed.class.seen().and_then(Option::as_ref);
    if wants.tenants && class.is_some_and(schema::is_multi_tenant) {
        look.tenants = Some(tenants(clients, collection).await);
    }
    if wants.aliases {
        look.aliases = Some(aliases(clients, collection).await);
    }
    if wants.alias_targets {
        let journal = observed.journal.seen().and_then(Option::as_ref);
        look.alias_targets = alias_targets(clients, journal).await;
    }
    look
}

/// The tenants, as the leader knows them.
pub(in crate::controllers) async fn tenants(clients: &ClusterClients, collection: &str) -> Sight<Vec<TenantState>> {
    sight(clients.common.tenants(collection).await).map(proof::tenant_states)
}

/// The aliases of a collection. A server from before there were any does not know the path.
async fn aliases(clients: &ClusterClients, collection: &str) -> Sight<Vec<String>> {
    match clients.common.aliases(collection).await {
        Err(error) if error.is_not_found() => Sight::Seen(Vec::new()),
        answer => sight(answer),
    }
}

async fn alias_targets(
    clients: &ClusterClients,
    journal: Option<&Journal>,
) -> BTreeMap<String, Option<Option<String>>> {
    let names = journal.map(|journal| journal.aliases.as_slice()).unwrap_or_default();
    let answers = names.iter().map(|name| {
        let target = clients.common.alias(name);
        async move { (name.clone(), target.await.ok()) }
    });
    join_all(answers).await.into_iter().collect()
}

/// The shards that are read-only, at each node; `None` when that node could not be asked.
pub(in crate::controllers) async fn read_only(
    clients: &ClusterClients,
    collection: &str,
) -> BTreeMap<String, Option<Vec<String>>> {
    ask(clients, |node| proof::read_only_shards(node, collection)).await
}

/// Each node's answer; `None` when it could not be asked.
async fn ask<'a, T, F>(clients: &'a ClusterClients, question: impl Fn(&'a Client) -> F) -> BTreeMap<String, Option<T>>
where
    F: Future<Output = Result<T, WeaviateError>>,
{
    let answers = clients.nodes.iter().map(|(name, node)| {
        let answer = question(node);
        async move { (name.clone(), answer.await.ok()) }
    });
    join_all(answers).await.into_iter().collect()
}
