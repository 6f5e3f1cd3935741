//! What a migration writes to Weaviate, each after a last look of its own.

use std::collections::BTreeMap;

use elysia_core::collection::migration::Journal;
use elysia_weaviate::{Client, WeaviateError};

use super::{EffectError, proof};

/// Makes an alias.
pub async fn make_alias(client: &Client, alias: &str, class: &str) -> Result<(), EffectError> {
    let what = format!("make alias {alias} of {class}");
    client.create_alias(alias, class).await.map_err(EffectError::weaviate(what))?;
    tracing::info!(alias, class, "made an alias");
    Ok(())
}

/// Switches the alias, if right now it leads to the old class, every shard of that is read-only at every node, and this
/// operator leads. Nothing comes between the last look and the switch.
pub async fn switch_alias(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    restarted: impl Fn() -> Vec<String>,
    leads: impl Fn() -> bool,
) -> Result<(), EffectError> {
    let Journal { alias, from, to, shards, .. } = journal;
    let what = format!("let alias {alias} lead to {to}");
    let changed = |why: String| Err(EffectError::Changed(format!("{what}: {why}")));
    match client.alias(alias).await.map_err(EffectError::weaviate(what.clone()))? {
        Some(class) if class == *from => {}
        // An earlier call whose answer was lost.
        Some(class) if class == *to => return Ok(()),
        _ => return changed("it leads elsewhere by now".to_owned()),
    }
    if nodes.is_empty() || shards.is_empty() {
        return Err(EffectError::Refused(format!("{what}: which shards of {from} are read-only cannot be seen")));
    }
    for (node, client) in nodes {
        let frozen = proof::read_only_shards(client, from).await.map_err(EffectError::weaviate(what.clone()))?;
        if let Some(shard) = shards.iter().find(|shard| !frozen.contains(shard)) {
            return changed(format!("shard {shard} is not read-only at {node}"));
        }
    }
    if let Some(node) = restarted().first() {
        return changed(format!("{node} restarted meanwhile"));
    }
    if !leads() {
        return Err(EffectError::NotLeading);
    }
    client.switch_alias(alias, to).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(alias, from, to, hash = journal.hash, approved_by = journal.approved_by, "switched an alias");
    Ok(())
}

/// Deletes the class that was migrated from, if right now the alias leads to the new one, and it is the very class that was
/// frozen before the switch: the names of its shards, which the servers drew when it was made, are the journal's.
pub async fn remove_former(client: &Client, journal: &Journal, leads: impl Fn() -> bool) -> Result<(), EffectError> {
    let Journal { alias, from, to, shards, .. } = journal;
    let what = format!("delete {from}, which was migrated to {to}");
    let refused = |why: &str| Err(EffectError::Refused(format!("{what}: {why}; it is left to a person")));
    let error = |error: WeaviateError| EffectError::weaviate(what.clone())(error);
    if client.alias(alias).await.map_err(error)?.as_ref() != Some(to) {
        return refused("the alias leads elsewhere");
    }
    if !client.aliases(from).await.map_err(error)?.is_empty() {
        return refused("another alias leads to it");
    }
    let Some(state) = client.sharding_state(from).await.map_err(error)? else {
        return Err(EffectError::Changed(format!("{what}: it is gone")));
    };
    let mut there: Vec<&String> = state.shards.iter().map(|shard| &shard.shard).collect();
    let mut known: Vec<&String> = shards.iter().collect();
    there.sort();
    known.sort();
    if there != known || known.is_empty() {
        return refused("it is not the class that was migrated from");
    }
    if !leads() {
        return Err(EffectError::NotLeading);
    }
    client.delete_class(from).await.map_err(error)?;
    tracing::warn!(collection = from, to, hash = journal.hash, "deleted the class that was migrated from");
    Ok(())
}

/// Removes the alias of a collection that was deleted with its object.
pub async fn delete_alias(client: &Client, alias: &str) -> Result<(), EffectError> {
    client.delete_alias(alias).await.map_err(EffectError::weaviate(format!("delete alias {alias}")))?;
    tracing::warn!(alias, "deleted an alias with its object, as deletionPolicy says");
    Ok(())
}
