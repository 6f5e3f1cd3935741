//! Writes to Weaviate: one function for each kind of step.

use elysia_core::collection::copies::Copy;
use elysia_core::collection::recreate::TenantState;
use elysia_weaviate::{ActivityStatus, Client, SchemaRead, ShardStatus, Tenant, WeaviateError};
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

/// Deletes the collection with all its objects, because the object that owns it says so and is being deleted.
pub async fn delete_class(client: &Client, collection: &str, leads: impl Fn() -> bool) -> Result<(), EffectError> {
    if !leads() {
        return Err(EffectError::NotLeading);
    }
    let what = format!("delete collection {collection}");
    client.delete_class(collection).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(collection, "deleted a collection with its object, as deletionPolicy says");
    Ok(())
}

/// Makes these shards read-only, or writable again. One that is gone is passed over. One that cannot be made writable, as where
/// its node is away, keeps no other from it: the first such error is given when all were tried.
pub async fn set_read_only(
    client: &Client,
    collection: &str,
    shards: &[String],
    read_only: bool,
) -> Result<(), EffectError> {
    let wanted = if read_only { ShardStatus::ReadOnly } else { ShardStatus::Ready };
    let word = if read_only { "read-only" } else { "writable" };
    let mut failed = None;
    for shard in shards {
        match client.set_shard_status(collection, shard, wanted.clone()).await {
            Err(WeaviateError::NotFound { .. }) if !read_only => {}
            answer => {
                let answer =
                    answer.map_err(EffectError::weaviate(format!("make shard {shard} of {collection} {word}")));
                match answer {
                    Err(error) if !read_only && is_of_a_shard(&error) => {
                        failed.get_or_insert(error);
                    }
                    answer => answer?,
                }
            }
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    tracing::info!(collection, read_only, shards = shards.len(), "set shard status");
    Ok(())
}

/// Whether an error is what a server said of the one shard that it was asked for, as after RAFT had taken the order: not that
/// nobody was reached, or that nobody leads.
pub fn is_of_a_shard(error: &EffectError) -> bool {
    let EffectError::Weaviate { source, .. } = error else { return false };
    matches!(source.as_ref(), WeaviateError::Server { .. } | WeaviateError::Invalid { .. })
}

/// Creates tenants. One that is there already stays as it is.
pub async fn create_tenants(client: &Client, collection: &str, tenants: &[TenantState]) -> Result<(), EffectError> {
    let tenants: Vec<Tenant> = tenants
        .iter()
        .map(|tenant| Tenant {
            name: tenant.name.clone(),
            activity_status: ActivityStatus::from(tenant.status.clone()),
        })
        .collect();
    let what = format!("create {} tenants of {collection}", tenants.len());
    client.create_tenants(collection, &tenants).await.map_err(EffectError::weaviate(what))?;
    tracing::info!(collection, tenants = tenants.len(), "created tenants");
    Ok(())
}

/// The class as this node itself has it.
pub async fn local_class(node: &Client, collection: &str) -> Result<Option<Value>, WeaviateError> {
    node.class(collection, SchemaRead::Local).await
}
