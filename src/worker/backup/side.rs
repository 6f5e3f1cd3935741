//! A cluster as one side of a live copy: read by stamps and by ids, as well as page by page, and cleared of what the other
//! side has no more.

use std::collections::BTreeSet;

use elysia_engine::backup::ports::Stretch;
use elysia_engine::checkpoint::Digest;
use elysia_engine::copy::ports::{Mirror, Side};
use elysia_engine::object::Object;
use elysia_engine::ports::PortError;
use elysia_weaviate::{Client, Consistency, SchemaRead, WeaviateError};
use futures::future::try_join_all;
use jiff::Timestamp;
use uuid::Uuid;

use super::linked::{self, Absent, Unlisted};
use super::paging::Whole;
use super::replicas::{self, Listing};
use super::source::{Class, WeaviateSource, later, times, whole};
use super::target::WeaviateTarget;
use crate::worker::sink::{WeaviateSink, port};

/// Objects of one delete: the server takes 10,000, and a call should be over soon.
const DELETED: usize = 500;

impl Side for WeaviateSource {
    async fn stamps(&self, stretch: Stretch<'_>) -> Result<Vec<(Uuid, Timestamp)>, PortError> {
        let class = self.class(stretch.collection).await?;
        let sides = self.sides(&class, stretch.tenant, stretch.slice);
        let mut stretch = stretch;
        loop {
            let listings = self.listed(&class, stretch, &sides, Whole::None).await?;
            let reach = replicas::reach(&listings);
            let (mut seen, _) = replicas::judge(listings, reach, &[], stretch.tenant);
            seen.retain(|seen| stretch.until.is_none_or(|until| seen.object.id < until));
            match reach {
                Some(reach) if seen.is_empty() && stretch.until.is_none_or(|until| reach < until) => {
                    stretch.after = Some(reach);
                }
                _ => return seen.iter().map(|seen| Ok((seen.object.id, times(seen)?.updated))).collect(),
            }
        }
    }

    async fn whole(&self, collection: &str, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        let class = self.class(collection).await?;
        let sides = self.sides(&class, tenant, 0);
        let mut out = Vec::with_capacity(ids.len());
        let mut left: Vec<&[Uuid]> = vec![ids];
        while let Some(some) = left.pop() {
            if some.is_empty() {
                continue;
            }
            self.witness(&sides).await?;
            let asked =
                sides.nodes.iter().map(|(node, client)| with_ids(node, client, (collection, tenant), some, &class));
            match try_join_all(asked).await {
                Ok(listings) => {
                    self.witness(&sides).await?;
                    let (seen, _) = replicas::judge(listings, None, &[], tenant);
                    out.extend(seen.into_iter().map(|seen| seen.object));
                }
                // Large objects come in small answers.
                Err(Unlisted::Weaviate(WeaviateError::TooLarge { .. })) if some.len() > 1 => {
                    let (one, other) = some.split_at(some.len() / 2);
                    left.extend([one, other]);
                }
                Err(Unlisted::Weaviate(error)) => return Err(port(&error)),
                Err(Unlisted::Port(error)) => return Err(error),
            }
        }
        Ok(out)
    }

    async fn aliases(&self, collection: &str) -> Result<Vec<String>, PortError> {
        self.leading_to(collection).await
    }

    async fn present(&self, collection: &str, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        let ways = self.ways();
        let sink = WeaviateSink::new(ways.common.clone(), ways.clients(), collection, Consistency::Quorum);
        sink.present_in(tenant, ids).await
    }

    /// Shards have names that are drawn when the class is made. Those of tenants are the tenants' own.
    async fn identity(&self, collection: &str) -> Result<Option<String>, PortError> {
        let found = class_identity(&self.ways().common, collection).await.map_err(|error| port(&error))?;
        found.ok_or_else(|| later(format!("there is no collection {collection}")))
    }

    async fn count(&self, collection: &str) -> Result<Option<u64>, PortError> {
        let counted = self.ways().common.object_count(collection).await.map_err(|error| port(&error))?;
        Ok(counted.ok())
    }
}

/// What one node has of these ids.
async fn with_ids(
    node: &str,
    client: &Client,
    (collection, tenant): (&str, Option<&str>),
    ids: &[Uuid],
    class: &Class,
) -> Result<Listing, Unlisted> {
    let Class { selection, references, .. } = class;
    let seen = if references.is_empty() {
        let found = client.fetch_selected(collection, tenant, ids, selection, true, Consistency::One).await?;
        found.into_iter().map(|fetched| whole(fetched, true)).collect()
    } else {
        linked::with_ids(client, (collection, tenant), ids, selection, references, Absent::AtOnce).await?
    };
    Ok(Listing { node: node.to_owned(), seen, is_full: false })
}

/// What tells a class from others of its name; `None` when there is none of the name, `Some(None)` where nothing does.
pub(super) async fn class_identity(common: &Client, name: &str) -> Result<Option<Option<String>>, WeaviateError> {
    let Some(class) = common.class(name, SchemaRead::Leader).await? else { return Ok(None) };
    if class["multiTenancyConfig"]["enabled"] == true {
        return Ok(Some(None));
    }
    let names = shard_names(common, name).await?;
    if names.is_empty() {
        return Ok(Some(None));
    }
    let names = names.into_iter().collect::<Vec<_>>().join("/");
    Ok(Some(Some(Digest::of(names.as_bytes()).to_string())))
}

async fn shard_names(common: &Client, collection: &str) -> Result<BTreeSet<String>, WeaviateError> {
    match common.sharding_state(collection).await {
        Ok(state) => Ok(state.into_iter().flat_map(|state| state.shards).map(|shard| shard.shard).collect()),
        // Without replica movement the living nodes are asked, of which one may be away: too few names are no identity.
        Err(WeaviateError::NotSupported { .. }) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

impl Mirror for WeaviateTarget {
    async fn remove(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<(), PortError> {
        for ids in ids.chunks(DELETED) {
            self.sink().delete_in(tenant, ids).await?;
        }
        Ok(())
    }

    async fn remove_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        let (ways, name) = self.place();
        ways.common.delete_tenants(name, tenants).await.map_err(|error| port(&error))
    }

    async fn sees_every_node(&self) -> Result<bool, PortError> {
        let (ways, _) = self.place();
        let nodes = ways.common.nodes().await.map_err(|error| port(&error))?;
        Ok(nodes.iter().all(|node| ways.nodes.iter().any(|way| way.name == node.name)))
    }
}
