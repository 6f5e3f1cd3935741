//! Which shards each node holds, as the nodes themselves say it.

use serde::Deserialize;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::{Rest, or_default};

/// The shards of one live node. A node that left gossip is not listed at all.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct NodeShards {
    /// The node's name.
    pub name: String,
    /// `HEALTHY` and its relatives.
    #[serde(default)]
    pub status: String,
    /// The shards on it, sorted.
    #[serde(default, deserialize_with = "or_default")]
    pub shards: Vec<HeldShard>,
}

/// One replica.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "camelCase")]
pub struct HeldShard {
    /// Its class.
    pub class: String,
    /// The shard's name; of a multi-tenant class the tenant's.
    pub name: String,
    /// Objects in flushed segments. Up to a minute late, and 0 for data that is new or not loaded (`weaviate-lab` §0.13):
    /// **0 is not empty**.
    #[serde(default)]
    pub object_count: i64,
    /// `READY`, `INDEXING`, `READONLY`; empty where the server does not say.
    #[serde(default)]
    pub vector_indexing_status: String,
    /// Vectors that wait to be indexed.
    #[serde(default)]
    pub vector_queue_length: i64,
    /// Whether vectors are compressed.
    #[serde(default)]
    pub compressed: bool,
    /// Whether it is in memory; absent where the server does not say.
    #[serde(default)]
    pub loaded: Option<bool>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    nodes: Vec<NodeShards>,
}

impl Client {
    /// `GET /v1/nodes?output=verbose`, or `GET /v1/nodes/{class}?output=verbose`: one call for every shard of the cluster
    /// or of a class; sorted. Without the permission `read_nodes` a class's shards are left out silently.
    pub async fn node_shards(&self, class: Option<&str>) -> Result<Vec<NodeShards>, WeaviateError> {
        let segments: Vec<&str> = std::iter::once("nodes").chain(class).collect();
        let Answer { mut nodes } = self.json(Rest::get(&segments).query("output", "verbose")).await?;
        nodes.sort_by(|left, right| left.name.cmp(&right.name));
        for node in &mut nodes {
            node.shards.sort();
        }
        Ok(nodes)
    }
}
