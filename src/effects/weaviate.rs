//! Writes to Weaviate: one function for each kind of step.

use std::collections::BTreeMap;
use std::time::Instant;

use elysia_core::collection::copies::Copy;
use elysia_core::collection::recreate::{self, Evidence, Journal};
use elysia_weaviate::{Client, Page, SchemaRead, ShardStatus, WeaviateError};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::Value;

use super::EffectError;

/// Creates the class.
pub async fn create_class(client: &Client, class: &Value) -> Result<(), EffectError> {
    let name = class.get("class").and_then(Value::as_str).unwrap_or_default();
    client.create_class(class).await.map_err(EffectError::weaviate(format!("create collection {name}")))?;
    tracing::info!(collection = name, "created collection");
    Ok(())
}

/// Adds a property.
pub async fn add_property(client: &Client, collection: &str, property: &Value) -> Result<(), EffectError> {
    let what = format!("add property {} to collection {collection}", property["name"]);
    client.add_property(collection, property).await.map_err(EffectError::weaviate(what))
}

/// Puts the class, if the server still says `base`. Weaviate knows no versions: the last PUT wins, so between the look
/// and the PUT there should be as little time as can be.
pub async fn update_class(client: &Client, collection: &str, base: &Value, class: &Value) -> Result<(), EffectError> {
    let what = format!("update collection {collection}");
    let live = client.class(collection, SchemaRead::Leader).await.map_err(EffectError::weaviate(what.clone()))?;
    if live.as_ref() != Some(base) {
        return Err(EffectError::Changed(format!("collection {collection} was changed by somebody else meanwhile")));
    }
    client.update_class(collection, class).await.map_err(EffectError::weaviate(what))?;
    tracing::info!(collection, "updated collection");
    Ok(())
}

/// Starts the copy of one replica.
pub async fn copy(client: &Client, collection: &str, copy: &Copy) -> Result<(), EffectError> {
    let Copy { shard, source, target } = copy;
    let what = format!("copy shard {shard} of {collection} from {source} to {target}");
    let id = client.copy_replica(collection, shard, source, target).await.map_err(EffectError::weaviate(what))?;
    tracing::info!(collection, shard, source, target, operation = %id, "started copy");
    Ok(())
}

/// Makes every shard of the collection read-only, or writable again.
pub async fn set_read_only(client: &Client, collection: &str, read_only: bool) -> Result<(), EffectError> {
    let what = || format!("make the shards of {collection} {}", if read_only { "read-only" } else { "writable" });
    let wanted = if read_only { ShardStatus::ReadOnly } else { ShardStatus::Ready };
    let shards = client.shard_statuses(collection).await.map_err(EffectError::weaviate(what()))?;
    for shard in shards {
        client
            .set_shard_status(collection, &shard.name, wanted.clone())
            .await
            .map_err(EffectError::weaviate(what()))?;
    }
    tracing::info!(collection, read_only, "set shard status");
    Ok(())
}

/// Deletes the collection with all its objects, because the object that owns it says so and is being deleted.
pub async fn delete_class(client: &Client, collection: &str, leads: impl Fn() -> bool) -> Result<(), EffectError> {
    if !leads() {
        return Err(EffectError::Changed("another operator may lead by now".to_owned()));
    }
    let what = format!("delete collection {collection}");
    client.delete_class(collection).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(collection, "deleted a collection with its object, as deletionPolicy says");
    Ok(())
}

/// Gathers the evidence, and if it is a proof, deletes the collection at once. The error says what was missing.
///
/// Nothing comes between the last look and the delete: neither a write to Kubernetes nor another look.
pub async fn prove_and_delete(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    restarted: Vec<String>,
    leads: impl Fn() -> bool,
) -> Result<(), EffectError> {
    let started = Instant::now();
    let mut evidence = evidence(client, nodes, journal).await;
    evidence.restarted = restarted;
    evidence.took = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
    if !leads() {
        return Err(EffectError::Changed("another operator may lead by now".to_owned()));
    }
    recreate::proof(&evidence).map_err(EffectError::Refused)?;
    let collection = &journal.collection;
    let what = format!("delete the empty collection {collection}");
    client.delete_class(collection).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(collection, hash = journal.hash, "deleted a collection that was proved empty, by an approved plan");
    Ok(())
}

async fn evidence(client: &Client, nodes: &BTreeMap<String, Client>, journal: &Journal) -> Evidence {
    let collection = journal.collection.as_str();
    let placement = client.sharding_state(collection).await.ok().flatten();
    let mut holders: Vec<String> = journal.placement.iter().flat_map(|shard| shard.replicas.iter().cloned()).collect();
    holders.sort();
    holders.dedup();
    let shards: Vec<String> = journal.placement.iter().map(|shard| shard.shard.clone()).collect();
    let placement_unchanged = placement.is_some_and(|live| {
        live.shards.len() == journal.placement.len()
            && live.shards.iter().zip(&journal.placement).all(|(live, before)| {
                let mut replicas = before.replicas.clone();
                replicas.sort();
                live.shard == before.shard && live.replicas == replicas
            })
    });
    let operations = client.replication_operations(Some(collection)).await.ok();
    let backup_running = client.backup_in_progress().await.ok().flatten();
    // The order is the proof: frozen, empty, empty, still frozen.
    let frozen_before = ask(nodes, |node| is_frozen(node, collection, &shards)).await;
    let empty_first = ask(nodes, |node| lists_nothing(node, collection)).await;
    let empty_second = ask(nodes, |node| lists_nothing(node, collection)).await;
    let auto_schema_off = ask(nodes, async |node| node.auto_schema_probe().await.map(|on| on == Some(false))).await;
    let frozen_after = ask(nodes, |node| is_frozen(node, collection, &shards)).await;
    Evidence {
        holders,
        empty: [empty_first, empty_second],
        frozen: [frozen_before, frozen_after],
        auto_schema_off,
        nodes: nodes.keys().cloned().collect(),
        operations: operations.map(|operations| operations.len()),
        placement_unchanged,
        backup_running,
        restarted: Vec::new(),
        took: SignedDuration::ZERO,
    }
}

/// The nodes that answered yes. One that could not be asked did not.
async fn ask<'a, F>(nodes: &'a BTreeMap<String, Client>, question: impl Fn(&'a Client) -> F) -> Vec<String>
where
    F: Future<Output = Result<bool, WeaviateError>>,
{
    let answers = join_all(nodes.iter().map(|(name, node)| {
        let answer = question(node);
        async move { (name, answer.await) }
    }))
    .await;
    answers.into_iter().filter(|(_, answer)| matches!(answer, Ok(true))).map(|(name, _)| name.clone()).collect()
}

/// Whether every one of these shards is read-only at this node.
pub async fn is_frozen(node: &Client, collection: &str, shards: &[String]) -> Result<bool, WeaviateError> {
    let live = node.shard_statuses(collection).await?;
    Ok(!shards.is_empty()
        && shards
            .iter()
            .all(|shard| live.iter().any(|live| live.name == *shard && live.status == ShardStatus::ReadOnly)))
}

/// Whether any of these shards is read-only at this node; none is where the collection is gone.
///
/// Not the opposite of [`is_frozen`]: between the two lies a thaw that was cut off.
pub async fn is_frozen_in_part(node: &Client, collection: &str, shards: &[String]) -> Result<bool, WeaviateError> {
    match node.shard_statuses(collection).await {
        Ok(live) => Ok(live.iter().any(|live| shards.contains(&live.name) && live.status == ShardStatus::ReadOnly)),
        Err(WeaviateError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether this node's own list of ids is empty.
pub async fn lists_nothing(node: &Client, collection: &str) -> Result<bool, WeaviateError> {
    let page = Page { class: collection, tenant: None, after: None, limit: 1 };
    Ok(node.list_ids(page).await?.is_empty())
}

/// The class as this node itself has it.
pub async fn local_class(node: &Client, collection: &str) -> Result<Option<Value>, WeaviateError> {
    node.class(collection, SchemaRead::Local).await
}
