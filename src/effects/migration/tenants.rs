//! Tenants of a collection that is migrated: kept from coming by themselves, woken for the freeze, and put back to rest.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::collection::migration::{Journal, Tenants};
use elysia_core::collection::recreate::{
    TenantState, creates_tenants, with_tenant_creation_of, without_tenant_creation,
};
use elysia_weaviate::{ActivityStatus, Client, SchemaRead, Tenant, WeaviateError};
use serde_json::{Value, json};

use super::super::{EffectError, proof, replicas, weaviate};

/// The tenants of a class, as the leader knows them; none when the class is gone.
pub async fn tenants(client: &Client, class: &str) -> Result<Vec<TenantState>, WeaviateError> {
    match client.tenants(class).await {
        Ok(tenants) => Ok(proof::tenant_states(tenants)),
        Err(WeaviateError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Keeps writing from creating and waking tenants of this class.
pub async fn hold_tenants(client: &Client, class: &str) -> Result<(), EffectError> {
    put(client, class, without_tenant_creation).await?;
    tracing::info!(collection = class, "writing creates and wakes no tenants");
    Ok(())
}

/// Lets writing create and wake tenants of this class as before; of one that is gone there is nothing to do.
pub async fn release_tenants(client: &Client, class: &str, tenancy: &Value) -> Result<(), EffectError> {
    let before = json!({"multiTenancyConfig": tenancy});
    put(client, class, |live| with_tenant_creation_of(live, &before)).await?;
    tracing::info!(collection = class, "writing creates and wakes tenants as before");
    Ok(())
}

async fn put(client: &Client, class: &str, change: impl Fn(&Value) -> Value) -> Result<(), EffectError> {
    let read = async || {
        let live = client.class(class, SchemaRead::Leader).await;
        live.map_err(EffectError::weaviate(format!("read collection {class}")))
    };
    let Some(live) = read().await? else { return Ok(()) };
    let wanted = change(&live);
    if wanted == live {
        return Ok(());
    }
    let Err(failed) = weaviate::update_class(client, class, &live, &wanted).await else { return Ok(()) };
    // While a tenant is read-only the servers answer 422, and change the schema all the same (1.35.2, 1.38.2).
    match read().await? {
        Some(live) if change(&live) == live => Ok(()),
        _ => Err(failed),
    }
}

/// Wakes these tenants.
pub async fn wake_tenants(client: &Client, class: &str, names: &[String]) -> Result<(), EffectError> {
    let hot = |name: &String| Tenant { name: name.clone(), activity_status: ActivityStatus::Hot };
    let tenants: Vec<Tenant> = names.iter().map(hot).collect();
    let what = format!("wake {} tenants of {class}", tenants.len());
    client.update_tenants(class, &tenants).await.map_err(EffectError::weaviate(what))?;
    tracing::info!(collection = class, tenants = tenants.len(), "woke tenants for the freeze");
    Ok(())
}

/// Puts those of these tenants to rest that are there and awake: somebody may have deleted one meanwhile.
pub async fn rest_tenants(client: &Client, class: &str, names: &[String]) -> Result<(), EffectError> {
    let wanted: BTreeSet<&String> = names.iter().collect();
    let there = tenants(client, class).await.map_err(EffectError::weaviate(format!("list the tenants of {class}")))?;
    let awake = there.into_iter().filter(|tenant| tenant.is_hot() && wanted.contains(&tenant.name));
    let awake: Vec<String> = awake.map(|tenant| tenant.name).collect();
    if awake.is_empty() {
        return Ok(());
    }
    replicas::cool_tenants(client, class, &awake).await?;
    tracing::info!(collection = class, tenants = awake.len(), "put tenants back to rest");
    Ok(())
}

/// The last look before the switch: the tenants are those of the freeze, all of them awake and read-only at every node, and
/// writing creates none. The answer is why not.
pub(super) async fn not_frozen(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    held: &Tenants,
) -> Result<Option<String>, WeaviateError> {
    let Some(roll) = &held.roll else { return Ok(Some("which tenants there were is not known".to_owned())) };
    for (node, client) in nodes {
        let class = weaviate::local_class(client, &journal.from).await?;
        if class.is_none_or(|class| creates_tenants(&class)) {
            return Ok(Some(format!("writing creates or wakes tenants, as {node} says")));
        }
        let frozen: BTreeSet<String> = proof::read_only_shards(client, &journal.from).await?.into_iter().collect();
        // Listed after the node was asked: a tenant that came meanwhile is not among those that are read-only.
        let there = tenants(client, &journal.from).await?;
        if let Some(open) = there.iter().find(|tenant| !frozen.contains(&tenant.name)) {
            return Ok(Some(format!("tenant {} is not read-only at {node}", open.name)));
        }
    }
    Ok(roll.broken(&tenants(client, &journal.from).await?))
}

/// What is left of a freeze whose object is gone, done step by step; the answer is whether all of it is done.
pub async fn release(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    held: &Tenants,
    has_switched: bool,
) -> Result<bool, EffectError> {
    let from = journal.from.as_str();
    if has_switched {
        for class in [journal.to.as_str(), from] {
            rest_tenants(client, class, held.at_rest()).await?;
        }
        return Ok(true);
    }
    if let Some(before) = &journal.read_only_before {
        let mut own: BTreeSet<String> = BTreeSet::new();
        let mut unseen = None;
        for (node, client) in nodes {
            let what = format!("read which tenants of {from} are read-only at {node}");
            match proof::read_only_shards(client, from).await.map_err(EffectError::weaviate(what)) {
                Ok(frozen) => own.extend(frozen),
                Err(error) => unseen = Some(error),
            }
        }
        let own: Vec<String> = own.into_iter().filter(|tenant| !before.contains(tenant)).collect();
        if !own.is_empty() {
            weaviate::set_read_only(client, from, &own, false).await?;
            return Ok(false);
        }
        // A node that stays away must not keep the writers of the others waiting; it is looked at again before the end.
        if let Some(error) = unseen {
            return Err(error);
        }
    }
    rest_tenants(client, from, held.at_rest()).await?;
    if let Some(tenancy) = &held.tenancy {
        release_tenants(client, from, tenancy).await?;
    }
    Ok(true)
}
