//! What is seen of the servers and of collections before the servers are asked for a backup or a restore.

use std::collections::BTreeMap;

use elysia_core::backup::native::{CollectionSeen, NodeSeen, Servers, left_out};
use elysia_core::cluster::BACKUP_MODULE;
use elysia_engine::backup::native::Held;
use elysia_engine::backup::ports::{Described, ObjectSource as _, TenantState};
use elysia_weaviate::WeaviateError;
use futures::future::try_join_all;

use super::failed;
use crate::worker::backup::failure::Failure;
use crate::worker::backup::source::WeaviateSource;
use crate::worker::backup::ways::Ways;
use crate::worker::backup::work::CompareWork;

/// Every node, and whether it has the module.
pub(super) async fn servers(ways: &Ways) -> Result<Servers, Failure> {
    let nodes = ways.common.nodes().await.map_err(|error| failed(&error))?;
    let mut servers = Servers::default();
    for node in nodes {
        let seen = NodeSeen { is_healthy: node.is_healthy(), version: node.version.clone(), has_module: None };
        servers.nodes.insert(node.name, seen);
    }
    let ask = |name: &String, client: &elysia_weaviate::Client| {
        let (name, client) = (name.clone(), client.clone());
        async move { Ok::<_, WeaviateError>((name, client.meta().await?.modules.contains_key(BACKUP_MODULE))) }
    };
    let asked = try_join_all(ways.nodes.iter().map(|node| ask(&node.name, &node.client))).await;
    for (name, has) in asked.map_err(|error| failed(&error))? {
        if let Some(node) = servers.nodes.get_mut(&name) {
            node.has_module = Some(has);
        }
    }
    if ways.nodes.is_empty() {
        // One of them answers: what it lacks, a backup lacks.
        let has = ways.common.meta().await.map_err(|error| failed(&error))?.modules.contains_key(BACKUP_MODULE);
        let is_only = servers.nodes.len() == 1;
        for node in servers.nodes.values_mut() {
            node.has_module = (is_only || !has).then_some(has);
        }
    }
    // Only of its default place and only of backups: what this does not see, the servers say when they are asked.
    servers.is_busy = ways.common.backup_in_progress().await.map_err(|error| failed(&error))? == Some(true);
    Ok(servers)
}

/// A collection, as it is before the backup.
pub(super) struct Seen {
    pub(super) described: Described,
    pub(super) collection: CollectionSeen,
}

/// Each collection; `None` for what is not there.
pub(super) async fn collections(ways: &Ways, names: &[String]) -> Result<BTreeMap<String, Option<Seen>>, Failure> {
    let source = WeaviateSource::new(ways.clone(), CompareWork::None);
    let mut found = BTreeMap::new();
    for name in names {
        let seen = match source.describe(name).await? {
            Some(described) => Some(Seen { collection: seen(ways, name, &described).await?, described }),
            None => None,
        };
        found.insert(name.clone(), seen);
    }
    Ok(found)
}

async fn seen(ways: &Ways, name: &str, described: &Described) -> Result<CollectionSeen, Failure> {
    let is = |test: fn(&TenantState) -> bool| {
        let tenants = described.tenants.iter().flatten().filter(|tenant| test(tenant));
        tenants.map(|tenant| tenant.name.clone()).collect::<Vec<_>>()
    };
    let holders = match ways.common.sharding_state(name).await {
        Ok(state) => state.into_iter().flat_map(|state| state.shards).flat_map(|shard| shard.replicas).collect(),
        // Without replica movement only those that live say what they hold.
        Err(WeaviateError::NotSupported { .. }) => {
            let nodes = ways.common.node_shards(Some(name)).await.map_err(|error| failed(&error))?;
            nodes.into_iter().filter(|node| !node.shards.is_empty()).map(|node| node.name).collect()
        }
        Err(error) => return Err(failed(&error)),
    };
    Ok(CollectionSeen {
        holders,
        cold: is(TenantState::is_cold),
        frozen: is(|tenant| !tenant.is_awake() && !tenant.is_cold()),
    })
}

/// What the catalogue says of each collection.
pub(super) async fn held(
    ways: &Ways,
    servers: &Servers,
    seen: BTreeMap<String, Option<Seen>>,
) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::new();
    for (name, seen) in seen {
        let Some(Seen { described, collection }) = seen else { continue };
        let (objects, is_estimated) = match &described.tenants {
            None => counted(ways, &name).await?,
            Some(_) => (estimated(ways, &name).await?, true),
        };
        let Described { schema, aliases, tenants } = described;
        let left_out = left_out(servers, &collection).len();
        let holders = collection.holders;
        held.push(Held { name, schema, aliases, tenants, holders, left_out, objects, is_estimated });
    }
    Ok(held)
}

/// Objects, and whether that is no number to compare others with.
pub(super) async fn counted(ways: &Ways, name: &str) -> Result<(u64, bool), Failure> {
    match ways.common.object_count(name).await.map_err(|error| failed(&error))? {
        Ok(count) => Ok((count, false)),
        Err(_) => Ok((estimated(ways, name).await?, true)),
    }
}

/// As many as the nodes say that their shards hold: late by up to a minute, and none of a tenant at rest.
async fn estimated(ways: &Ways, name: &str) -> Result<u64, Failure> {
    let mut shards: BTreeMap<String, u64> = BTreeMap::new();
    for node in ways.common.node_shards(Some(name)).await.map_err(|error| failed(&error))? {
        for shard in node.shards.into_iter().filter(|shard| shard.class == name) {
            let count = u64::try_from(shard.object_count).unwrap_or_default();
            let most = shards.entry(shard.name).or_default();
            *most = count.max(*most);
        }
    }
    Ok(shards.values().sum())
}
