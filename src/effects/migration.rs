//! What a migration writes to Weaviate, each after a last look of its own.

mod tenants;

pub use tenants::{hold_tenants, release, release_tenants, rest_tenants, tenants, wake_tenants};

use std::collections::BTreeMap;

use elysia_core::collection::migration::{Journal, are_the_same};
use elysia_weaviate::{Client, ReplicationState, WeaviateError};

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
    if nodes.is_empty() || (shards.is_empty() && journal.tenants.is_none()) {
        return Err(EffectError::Refused(format!("{what}: which shards of {from} are read-only cannot be seen")));
    }
    if let Some(held) = &journal.tenants {
        let open = tenants::not_frozen(client, nodes, journal, held).await;
        if let Some(why) = open.map_err(EffectError::weaviate(what.clone()))? {
            return changed(why);
        }
    }
    for (node, client) in nodes.iter().filter(|_| journal.tenants.is_none()) {
        let frozen = proof::read_only_shards(client, from).await.map_err(EffectError::weaviate(what.clone()))?;
        if let Some(shard) = shards.iter().find(|shard| !frozen.contains(shard)) {
            return changed(format!("shard {shard} is not read-only at {node}"));
        }
    }
    // Journals of older releases do not say which class was compared.
    if !journal.to_shards.is_empty() {
        let there = shard_names(client, to).await.map_err(EffectError::weaviate(what.clone()))?;
        if !are_the_same(&journal.to_shards, &there) {
            return changed(format!("{to} was made anew after both classes were compared"));
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

/// The names of a class's shards, which the servers drew when it was made; none when it is not there.
pub async fn shard_names(client: &Client, class: &str) -> Result<Vec<String>, WeaviateError> {
    let state = client.sharding_state(class).await?;
    Ok(state.map(|state| state.shards.into_iter().map(|shard| shard.shard).collect()).unwrap_or_default())
}

/// Whether both classes of a way back are those of the switch: of one that was made anew the copy would take what it lacks
/// for deleted, and remove it from the other.
pub async fn are_of_the_switch(client: &Client, journal: &Journal) -> Result<(), EffectError> {
    for (class, known) in [(&journal.from, &journal.shards), (&journal.to, &journal.kept_shards)] {
        let what = format!("read the shards of {class}");
        let there = shard_names(client, class).await.map_err(EffectError::weaviate(what))?;
        if !are_the_same(known, &there) {
            return Err(EffectError::Refused(format!(
                "{} is not copied back to {}: {class} was made anew since the switch",
                journal.from, journal.to
            )));
        }
    }
    Ok(())
}

/// Deletes the class that was migrated from, if right now the alias leads to the new one, and both are the very classes of
/// the switch: the names of their shards, which the servers drew when they were made, are the journal's. What was written to
/// it since, what a backup or a copy reads, and what a node cannot be seen to refuse writes to, stays. Whether references lead to
/// it is looked at before: here is not known which classes are those of drills.
pub async fn remove_former(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    leads: impl Fn() -> bool,
) -> Result<(), EffectError> {
    let Journal { alias, from, to, shards, .. } = journal;
    let what = format!("delete {from}, which was migrated to {to}");
    let refused = |why: &str| Err(EffectError::Refused(format!("{what}: {why}; it is left to a person")));
    let error = |error: WeaviateError| EffectError::weaviate(what.clone())(error);
    if journal.tenants.is_some() {
        return refused("a collection with tenants is not known again for certain");
    }
    if client.alias(alias).await.map_err(error)?.as_ref() != Some(to) {
        return refused("the alias leads elsewhere");
    }
    if !client.aliases(from).await.map_err(error)?.is_empty() {
        return refused("another alias leads to it");
    }
    let later = |why: &str| Err(EffectError::Changed(format!("{what}: {why}; it is tried again")));
    match client.backup_in_progress().await.map_err(error)? {
        Some(false) => {}
        Some(true) => return later("a backup runs"),
        None => return later("the servers do not list their backups"),
    }
    match client.replication_operations(Some(from)).await {
        Ok(operations) => {
            let is_over =
                |state: &ReplicationState| matches!(state, ReplicationState::Ready | ReplicationState::Cancelled);
            if operations.iter().any(|operation| !is_over(&operation.state)) {
                return later("copies of its replicas run");
            }
        }
        // Servers that cannot copy copy nothing.
        Err(WeaviateError::NotSupported { .. }) => {}
        Err(failed) => return Err(error(failed)),
    }
    if nodes.is_empty() {
        return refused("whether it is read-only cannot be seen");
    }
    for (node, client) in nodes {
        let frozen = proof::read_only_shards(client, from).await.map_err(error)?;
        if let Some(shard) = shards.iter().find(|shard| !frozen.contains(shard)) {
            return later(&format!("shard {shard} is not read-only at {node}"));
        }
    }
    let counted = client.object_count(from).await.map_err(error)?;
    let counted =
        counted.map_err(|why| EffectError::Changed(format!("{what}: its objects were not counted: {why}")))?;
    match journal.compared {
        Some(compared) if i64::try_from(counted) == Ok(compared) => {}
        Some(compared) => {
            return refused(&format!("it has {counted} objects, and {compared} when both classes were compared"));
        }
        None => return refused("it was opened for writing after both classes were compared"),
    }
    let there = shard_names(client, from).await.map_err(error)?;
    if there.is_empty() {
        return Err(EffectError::Changed(format!("{what}: it is gone")));
    }
    if !are_the_same(shards, &there) {
        return refused("it is not the class that was migrated from");
    }
    // Last: the alias says no more than a name, and without its objects nothing may go.
    if !are_the_same(&journal.to_shards, &shard_names(client, to).await.map_err(error)?) {
        return refused(&format!("{to} was made anew since the switch, and may lack what it has"));
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
