//! Writes to Weaviate that repair replicas, each after a last look of its own.

use std::collections::BTreeMap;

use elysia_core::collection::repair::{ClassPlacement, Gap, Removal, stays_in_raft};
use elysia_weaviate::{
    ActivityStatus, Client, OperationId, ReadFrom, ShardingState, Tenant, WeaviateError, compare_ids,
};
use serde_json::Value;

use super::EffectError;

/// Ids of each replica that are asked for once more when the lists differ.
const ASKED_AGAIN: usize = 100;

fn operation(id: &str) -> Result<OperationId, EffectError> {
    let parsed = id.parse().map_err(|_| EffectError::Refused(format!("{id} is no operation id")))?;
    Ok(OperationId(parsed))
}

/// Deletes the record of a copy, and the copy if it runs.
pub async fn forget_operation(client: &Client, id: &str) -> Result<(), EffectError> {
    let what = format!("delete copy {id}");
    client.delete_replication_operation(operation(id)?).await.map_err(EffectError::weaviate(what))
}

/// Drops the record of a copy that the servers do not delete by themselves.
pub async fn drop_operation(client: &Client, id: &str) -> Result<(), EffectError> {
    let what = format!("drop the record of copy {id}");
    client.drop_replication_operation(operation(id)?).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(operation = id, "dropped the record of a copy that nobody was there to delete");
    Ok(())
}

/// Puts tenants back to rest.
pub async fn cool_tenants(client: &Client, collection: &str, tenants: &[String]) -> Result<(), EffectError> {
    let cold = |name: &String| Tenant { name: name.clone(), activity_status: ActivityStatus::Cold };
    let tenants: Vec<Tenant> = tenants.iter().map(cold).collect();
    let what = format!("put {} tenants of {collection} back to rest", tenants.len());
    client.update_tenants(collection, &tenants).await.map_err(EffectError::weaviate(what))
}

/// Takes one replica away, if right now every other one has its objects and enough of them are alive. `stands`: whether the plan
/// does, asked last, because comparing may take minutes.
pub async fn remove_replica(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    collection: &str,
    removal: &Removal,
    stands: impl AsyncFnOnce() -> Result<(), EffectError>,
) -> Result<(), EffectError> {
    let Removal { victim, keepers, compared, tenant, needed } = removal;
    let what = format!("take the replica of shard {} of {collection} at {} away", victim.shard, victim.node);
    let error = |error| EffectError::weaviate(what.clone())(error);
    let changed = |why: String| Err(EffectError::Changed(format!("{what}: {why}")));
    let state = client.sharding_state(collection).await.map_err(error)?;
    let shard = state.into_iter().flat_map(|state| state.shards).find(|shard| shard.shard == victim.shard);
    let Some(shard) = shard.filter(|shard| shard.replicas.contains(&victim.node)) else {
        return changed("it is not listed any more".to_owned());
    };
    let members = client.nodes().await.map_err(error)?;
    let lives = |node: &String| members.iter().any(|member| member.name == *node && member.is_healthy());
    let left = keepers.iter().filter(|node| shard.replicas.contains(node) && lives(node)).count();
    if left < (*needed).max(1) || left < keepers.len() {
        return changed(format!("{left} living replicas would be left of {needed}"));
    }
    let running = client.replication_operations(Some(collection)).await.map_err(error)?;
    if running.iter().any(|operation| !operation.state.is_final()) {
        return changed("a copy of the collection runs".to_owned());
    }
    if *compared {
        let asked = keepers.iter().chain([&victim.node]);
        let mut clients = BTreeMap::new();
        for node in asked {
            let Some(client) = nodes.get(node) else {
                return Err(EffectError::Refused(format!(
                    "{what}: {node} has no address of its own (spec.external.nodes), so its objects cannot be compared"
                )));
            };
            clients.insert(node.clone(), client.clone());
        }
        let tenant = tenant.then_some(victim.shard.as_str());
        let gaps = gaps(&clients, collection, tenant).await.map_err(error)?;
        let lacking =
            keepers.iter().find_map(|node| gaps.get(node).filter(|gap| gap.missing > 0).map(|gap| (node, gap)));
        if let Some((node, gap)) = lacking {
            return changed(format!("{node} lacks at least {} objects that another replica has", gap.missing));
        }
    } else if lives(&victim.node) {
        return changed(format!("{} is alive", victim.node));
    }
    stands().await?;
    client.remove_replica(collection, &victim.shard, &victim.node).await.map_err(error)?;
    tracing::warn!(collection, shard = victim.shard, node = victim.node, "took a replica away, by an approved plan");
    Ok(())
}

/// What each of these nodes lacks of what another one has: missing in its list, and still missing when it is asked for by
/// itself, while it is there elsewhere. Reads by node repair nothing (`weaviate-lab` §2).
pub async fn gaps(
    nodes: &BTreeMap<String, Client>,
    collection: &str,
    tenant: Option<&str>,
) -> Result<BTreeMap<String, Gap>, WeaviateError> {
    let lists = compare_ids(nodes, collection, tenant, ASKED_AGAIN).await?;
    let mut gaps = BTreeMap::new();
    for (node, lacking) in &lists {
        let mut missing = lacking.total.saturating_sub(u64::try_from(lacking.sample.len()).unwrap_or(u64::MAX));
        for id in &lacking.sample {
            if has(nodes, node, collection, tenant, *id).await? {
                continue;
            }
            for other in nodes.keys().filter(|other| *other != node) {
                if has(nodes, other, collection, tenant, *id).await? {
                    missing += 1;
                    break;
                }
            }
        }
        gaps.insert(node.clone(), Gap { missing: i64::try_from(missing).unwrap_or(i64::MAX) });
    }
    Ok(gaps)
}

async fn has(
    nodes: &BTreeMap<String, Client>,
    node: &str,
    collection: &str,
    tenant: Option<&str>,
    id: uuid::Uuid,
) -> Result<bool, WeaviateError> {
    let Some(client) = nodes.get(node) else { return Ok(false) };
    Ok(client.object(collection, tenant, id, ReadFrom::Node(node), false).await?.is_some())
}

/// Takes a dead node out of RAFT, if right now no class of the servers needs it there. `stands`: whether the plan does, asked last.
pub async fn remove_member(
    client: &Client,
    data: &BTreeMap<String, Client>,
    node: &str,
    stands: impl AsyncFnOnce() -> Result<(), EffectError>,
) -> Result<(), EffectError> {
    let what = format!("take {node} out of RAFT");
    match raft_block(client, &[node.to_owned()]).await {
        Ok(None) => {}
        Ok(Some(why)) => return Err(EffectError::Changed(format!("{what}: {why}"))),
        Err(error) => return Err(EffectError::weaviate(what)(error)),
    }
    let members = client.nodes().await.map_err(EffectError::weaviate(what.clone()))?;
    let living =
        data.iter().find(|(name, _)| members.iter().any(|member| member.name == **name && member.is_healthy()));
    let Some((_, port)) = living else {
        return Err(EffectError::Refused(format!("{what}: no living node's data port is known")));
    };
    stands().await?;
    port.remove_member(node).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(node, "took a dead node out of RAFT, by an approved plan");
    Ok(())
}

/// Why these nodes must not leave RAFT; `None` when they may. Reads the placement of every class.
pub async fn raft_block(client: &Client, gone: &[String]) -> Result<Option<String>, WeaviateError> {
    let members = client.nodes().await?;
    let members: Vec<String> =
        members.into_iter().filter(elysia_weaviate::NodeStatus::is_healthy).map(|member| member.name).collect();
    let classes = placement_of_all(client).await?;
    Ok(gone.iter().find_map(|node| stays_in_raft(node, &classes, &members)))
}

/// Where the shards of every class are: a call for each.
pub async fn placement_of_all(client: &Client) -> Result<Vec<ClassPlacement>, WeaviateError> {
    let mut classes = Vec::new();
    for class in client.classes().await? {
        let name = class.get("class").and_then(Value::as_str).unwrap_or_default().to_owned();
        let state = client.sharding_state(&name).await?;
        let shards = state.map(|ShardingState { shards, .. }| shards).unwrap_or_default();
        let placement = shards
            .into_iter()
            .map(|shard| elysia_api::collection::ShardReplicas { shard: shard.shard, replicas: shard.replicas })
            .collect();
        let factor = elysia_core::collection::schema::class_factor(&class);
        classes.push(ClassPlacement { class: name, factor, placement });
    }
    Ok(classes)
}
