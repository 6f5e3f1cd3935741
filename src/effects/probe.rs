//! Writes the probe object and waits for it at each of its replicas.
//!
//! What is measured is a matter of milliseconds, so this is the one place that asks again within a round instead of
//! being called again; `probe::BOUND` ends it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use elysia_api::names::PROBE_COLLECTION;
use elysia_core::cluster::probe;
use elysia_weaviate::{AtReplica, Client, Consistency, Object, SchemaRead};
use futures::FutureExt as _;
use uuid::Uuid;

use super::EffectError;
use crate::runtime::patience::patience;

/// Between two questions to a replica that has it not yet.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the probe's collection where there is none; whether it was made.
pub async fn ensure_class(client: &Client, nodes: usize) -> Result<bool, EffectError> {
    let what = || format!("make the collection {PROBE_COLLECTION}");
    let there = client.class(PROBE_COLLECTION, SchemaRead::Leader).await.map_err(EffectError::weaviate(what()))?;
    if there.is_some() {
        return Ok(false);
    }
    client.create_class(&probe::class(nodes)).await.map_err(EffectError::weaviate(what()))?;
    tracing::info!(collection = PROBE_COLLECTION, "created collection");
    Ok(true)
}

/// Writes a word that was never there at QUORUM and looks for it at each replica: how long each took.
pub async fn write_and_read(
    common: &Client,
    nodes: &BTreeMap<String, Client>,
) -> Result<BTreeMap<String, Option<Duration>>, EffectError> {
    let what = || format!("write the probe object of {PROBE_COLLECTION}");
    let placement = common.sharding_state(PROBE_COLLECTION).await.map_err(EffectError::weaviate(what()))?;
    let holders: Vec<String> =
        placement.into_iter().flat_map(|state| state.shards).flat_map(|shard| shard.replicas).collect();
    let id: Uuid = probe::OBJECT.parse().unwrap_or_default();
    let mut object = Object {
        id,
        class: PROBE_COLLECTION.to_owned(),
        tenant: None,
        last_update_time: None,
        properties: serde_json::Map::new(),
        vector: None,
        vectors: BTreeMap::new(),
    };
    object.properties.insert(probe::PROPERTY.to_owned(), Uuid::new_v4().to_string().into());
    let wanted = object.digest();
    common.put_object(&object, Consistency::Quorum).await.map_err(EffectError::weaviate(what()))?;
    let written = Instant::now();
    let mut asked = Vec::new();
    for node in &holders {
        let client = nodes.get(node).unwrap_or(common);
        asked.push(wait_for(client, node, id, &wanted, written).boxed());
    }
    let lags = futures::future::join_all(asked).await;
    Ok(holders.into_iter().zip(lags).collect())
}

async fn wait_for(client: &Client, node: &str, id: Uuid, wanted: &str, written: Instant) -> Option<Duration> {
    let seen = async {
        loop {
            let asked = Instant::now();
            let answer = client.object_at(PROBE_COLLECTION, None, id, node).await;
            if matches!(answer, Ok(AtReplica::Held { digest, .. }) if digest == wanted) {
                // It was there when the question arrived, at the latest.
                return asked.max(written).duration_since(written);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(patience(probe::BOUND), seen).await.ok()
}
