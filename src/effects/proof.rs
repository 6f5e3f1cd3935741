//! The proof of emptiness, and the delete that follows on it at once.

use std::collections::BTreeMap;
use std::time::Instant;

use elysia_core::collection::Purpose;
use elysia_core::collection::recreate::{self, COUNT_HOLDS, Evidence, Journal, TenantState};
use elysia_weaviate::{ActivityStatus, Client, Page, SchemaRead, ShardStatus, Tenant, WeaviateError};
use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;

use super::EffectError;

/// Lists of tenants that are asked of one node at the same time. A node answers several hundred a second; more at once
/// only wait there.
const LISTS_AT_ONCE: usize = 8;

/// Gathers the evidence, and if it is a proof, deletes the collection at once. The error says what was missing.
///
/// Nothing comes between the last look and the delete but the question whether a person has called it off meanwhile: gathering
/// may take minutes. How long that takes counts. `restarted` and `leads` ask this process's own memory, and are asked last.
pub async fn prove_and_delete(
    client: &Client,
    nodes: &BTreeMap<String, Client>,
    journal: &Journal,
    goes_on: impl AsyncFnOnce() -> Result<(), EffectError>,
    restarted: impl Fn() -> Vec<String>,
    leads: impl Fn() -> bool,
    stopwatch: fn() -> Instant,
) -> Result<(), EffectError> {
    let started = stopwatch();
    let mut evidence = evidence(client, nodes, journal).await;
    goes_on().await?;
    evidence.restarted = restarted();
    evidence.took = SignedDuration::try_from(stopwatch().duration_since(started)).unwrap_or(SignedDuration::MAX);
    if !leads() {
        return Err(EffectError::NotLeading);
    }
    recreate::proof(&evidence, &journal.purpose).map_err(EffectError::Refused)?;
    let collection = &journal.collection;
    let what = format!("delete the collection {collection}");
    client.delete_class(collection).await.map_err(EffectError::weaviate(what))?;
    tracing::warn!(
        collection,
        hash = journal.hash,
        action = journal.purpose.action(),
        approved_by = journal.approved_by,
        "deleted a collection as its journal says"
    );
    Ok(())
}

async fn evidence(client: &Client, nodes: &BTreeMap<String, Client>, journal: &Journal) -> Evidence {
    let collection = journal.collection.as_str();
    let mut holders: Vec<String> = journal.placement.iter().flat_map(|shard| shard.replicas.iter().cloned()).collect();
    holders.sort();
    holders.dedup();
    let placement_unchanged = placement_unchanged(client, journal).await;
    let operations = client.replication_operations(Some(collection)).await.ok();
    let backup_running = client.backup_in_progress().await.ok().flatten();
    // The order is the proof: the tenants known and frozen, empty, empty, still frozen and the same tenants.
    let tenants_before = tenants_unchanged(client, journal).await;
    let frozen_before = ask(nodes, |node| is_frozen(node, journal)).await;
    let (empty, counted) = match journal.purpose {
        Purpose::Recreate => {
            let first = ask(nodes, |node| lists_nothing(node, collection, journal.tenants.as_deref())).await;
            let second = ask(nodes, |node| lists_nothing(node, collection, journal.tenants.as_deref())).await;
            ([first, second], BTreeMap::new())
        }
        Purpose::Clear(_) => (<[Vec<String>; 2]>::default(), counts(nodes, journal).await),
    };
    let auto_schema_off = ask(nodes, async |node| node.auto_schema_probe().await.map(|on| on == Some(false))).await;
    let tenant_creation_off = ask(nodes, |node| creates_no_tenants(node, journal)).await;
    let tenants_unchanged = tenants_before && tenants_unchanged(client, journal).await;
    let frozen_after = ask(nodes, |node| is_frozen(node, journal)).await;
    Evidence {
        holders,
        empty,
        counted,
        frozen: [frozen_before, frozen_after],
        auto_schema_off,
        tenant_creation_off,
        tenants_unchanged,
        nodes: nodes.keys().cloned().collect(),
        operations: operations.map(|operations| operations.len()),
        placement_unchanged,
        backup_running,
        restarted: Vec::new(),
        took: SignedDuration::ZERO,
    }
}

async fn placement_unchanged(client: &Client, journal: &Journal) -> bool {
    let placement = client.sharding_state(&journal.collection).await.ok().flatten();
    placement.is_some_and(|live| {
        live.shards.len() == journal.placement.len()
            && live.shards.iter().zip(&journal.placement).all(|(live, before)| {
                let mut replicas = before.replicas.clone();
                replicas.sort();
                live.shard == before.shard && live.replicas == replicas
            })
    })
}

/// Whether the tenants are the journal's and all of them can be asked; true for a class without tenancy.
async fn tenants_unchanged(client: &Client, journal: &Journal) -> bool {
    let Some(before) = &journal.tenants else { return true };
    let live = client.tenants(&journal.collection).await.map(tenant_states);
    live.is_ok_and(|live| live == *before && live.iter().all(TenantState::is_hot))
}

async fn creates_no_tenants(node: &Client, journal: &Journal) -> Result<bool, WeaviateError> {
    if journal.tenants.is_none() {
        return Ok(true);
    }
    let class = node.class(&journal.collection, SchemaRead::Local).await?;
    Ok(class.is_some_and(|class| !recreate::creates_tenants(&class)))
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

/// Objects that each node lists; a node that could not be asked, or not in time, is missing.
async fn counts(nodes: &BTreeMap<String, Client>, journal: &Journal) -> BTreeMap<String, i64> {
    let limit = COUNT_HOLDS.unsigned_abs();
    let answers = nodes.iter().map(|(name, node)| {
        let count = tokio::time::timeout(limit, count(node, journal));
        async move { (name.clone(), count.await) }
    });
    let answers = join_all(answers).await.into_iter();
    answers.filter_map(|(name, count)| Some((name, i64::try_from(count.ok()?.ok()?).unwrap_or(i64::MAX)))).collect()
}

async fn count(node: &Client, journal: &Journal) -> Result<u64, WeaviateError> {
    let collection = journal.collection.as_str();
    let Some(tenants) = &journal.tenants else {
        return Ok(node.replica_digest(collection, None).await?.count);
    };
    let counts = tenants.iter().map(|tenant| node.replica_digest(collection, Some(&tenant.name)));
    Ok(some_at_once(counts.collect()).await?.iter().map(|digest| digest.count).sum())
}

/// Whether every shard of the journal is read-only at this node; a class without tenants has none, and so has no other.
async fn is_frozen(node: &Client, journal: &Journal) -> Result<bool, WeaviateError> {
    let (collection, shards) = (&journal.collection, journal.shards());
    let live = node.shard_statuses(collection).await?;
    if shards.is_empty() {
        return Ok(journal.tenants.is_some() && live.is_empty());
    }
    Ok(shards.iter().all(|shard| live.iter().any(|live| live.name == *shard && live.status == ShardStatus::ReadOnly)))
}

/// The shards that are read-only at this node; none where the collection is gone.
///
/// A tenant that is put to rest is writable when it wakes (1.35.2, 1.38.2), so it is none of them; it is not asked for,
/// because that may wake it. With one such tenant 1.38 answers 500 for the whole list.
pub async fn read_only_shards(node: &Client, collection: &str) -> Result<Vec<String>, WeaviateError> {
    let names = |shards: Vec<elysia_weaviate::ShardInfo>| -> Vec<String> {
        shards.into_iter().filter(|shard| shard.status == ShardStatus::ReadOnly).map(|shard| shard.name).collect()
    };
    let error = match node.shard_statuses(collection).await {
        Ok(shards) => return Ok(names(shards)),
        Err(WeaviateError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => error,
    };
    let Ok(tenants) = node.tenants(collection).await else { return Err(error) };
    let awake: Vec<Tenant> =
        tenants.into_iter().filter(|tenant| tenant.activity_status == ActivityStatus::Hot).collect();
    let shards = awake.iter().map(|tenant| node.tenant_shard_status(collection, &tenant.name));
    Ok(names(some_at_once(shards.collect()).await?.into_iter().flatten().collect()))
}

/// Whether this node's own lists of ids are empty: the collection's, or each tenant's.
pub async fn lists_nothing(
    node: &Client,
    collection: &str,
    tenants: Option<&[TenantState]>,
) -> Result<bool, WeaviateError> {
    let Some(tenants) = tenants else {
        return list_is_empty(node, collection, None).await;
    };
    let lists = tenants.iter().map(|tenant| list_is_empty(node, collection, Some(&tenant.name)));
    Ok(some_at_once(lists.collect()).await?.into_iter().all(|empty| empty))
}

/// The answers to questions of which one node is asked a few at the same time; the first error ends it.
async fn some_at_once<T>(
    questions: Vec<impl Future<Output = Result<T, WeaviateError>>>,
) -> Result<Vec<T>, WeaviateError> {
    stream::iter(questions).buffer_unordered(LISTS_AT_ONCE).try_collect().await
}

async fn list_is_empty(node: &Client, class: &str, tenant: Option<&str>) -> Result<bool, WeaviateError> {
    let page = Page { class, tenant, after: None, limit: 1 };
    Ok(node.list_ids(page).await?.is_empty())
}

/// Tenants as plans and journals know them, sorted by name.
pub fn tenant_states(tenants: Vec<Tenant>) -> Vec<TenantState> {
    let mut states: Vec<TenantState> = tenants
        .into_iter()
        .map(|tenant| TenantState { status: tenant.activity_status.as_str().to_owned(), name: tenant.name })
        .collect();
    states.sort();
    states
}
