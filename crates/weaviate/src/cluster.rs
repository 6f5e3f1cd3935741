//! Health, nodes and RAFT.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Client, ID_RESPONSE_BYTES};
use crate::error::WeaviateError;
use crate::rest::{Rest, or_default};

/// `GET /v1/meta`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Meta {
    /// The server's version, e.g. `1.38.2`.
    pub version: String,
    /// The address that the node believes to have, e.g. `http://[::]:8080`. Not its name.
    #[serde(default)]
    pub hostname: String,
    /// Modules that are on, by name, with what they say about themselves.
    #[serde(default, deserialize_with = "or_default")]
    pub modules: BTreeMap<String, Value>,
}

/// One node of `GET /v1/nodes`. Only **live gossip members** are listed: a node that died is absent, not unhealthy
/// (usecases/schema/handler.go, `AllNames`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The node's name: RAFT id, pod name, name in sharding states.
    pub name: String,
    /// `HEALTHY`, `UNHEALTHY`, `UNAVAILABLE` or `TIMEOUT`.
    #[serde(default)]
    pub status: String,
    /// The server's version.
    #[serde(default)]
    pub version: String,
    /// `ReadWrite`, `ReadOnly`, `WriteOnly` or `ScaleOut`; empty where the server does not say.
    #[serde(default)]
    pub operational_mode: String,
    /// Absent where the server does not say.
    #[serde(default)]
    stats: Option<NodeStats>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
struct NodeStats {
    #[serde(default)]
    shard_count: u64,
}

impl NodeStatus {
    /// Whether the node calls itself healthy.
    pub fn is_healthy(&self) -> bool {
        self.status == "HEALTHY"
    }

    /// Shards on this node; `None` when the server did not say, as it does not in the minimal output of
    /// [`Client::nodes`] (seen on 1.35.2 and 1.38.2).
    pub fn shard_count(&self) -> Option<u64> {
        self.stats.as_ref().map(|stats| stats.shard_count)
    }
}

/// `GET /v1/cluster/statistics`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Statistics {
    /// What each live node says.
    #[serde(rename = "statistics", deserialize_with = "or_default")]
    pub nodes: Vec<NodeStatistics>,
    /// All healthy with the same applied index at that instant; flaps while the schema is written.
    #[serde(default)]
    pub synchronized: bool,
}

/// One node's view of RAFT.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "the server's own flags, one by one")]
pub struct NodeStatistics {
    /// The node's name.
    pub name: String,
    /// `HEALTHY` and its relatives.
    #[serde(default)]
    pub status: String,
    /// Whether it may vote.
    #[serde(default)]
    pub is_voter: bool,
    /// The name of the leader that it follows; empty when it knows none.
    #[serde(default)]
    pub leader_id: String,
    /// Its store answers.
    #[serde(default)]
    pub ready: bool,
    /// Its RAFT store is open.
    #[serde(default)]
    pub open: bool,
    /// Its database is loaded.
    #[serde(default)]
    pub db_loaded: bool,
    /// Absent while it is starting.
    #[serde(default)]
    pub raft: Option<Raft>,
}

/// The RAFT part. The server sends numbers as strings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Raft {
    /// `Leader`, `Follower`, `Candidate` or `Shutdown`.
    #[serde(default)]
    pub state: String,
    /// Election term.
    #[serde(default, deserialize_with = "lenient::number")]
    pub term: Option<u64>,
    /// Last entry that was applied.
    #[serde(default, deserialize_with = "lenient::number")]
    pub applied_index: Option<u64>,
    /// The configuration: every member, **also dead ones**.
    #[serde(default, rename = "latestConfiguration", deserialize_with = "or_default")]
    pub members: Vec<RaftMember>,
}

/// A member of the RAFT configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct RaftMember {
    /// The node's name.
    pub id: String,
    /// Its RAFT address.
    #[serde(default)]
    pub address: String,
    /// 0 is a voter, 1 is not.
    #[serde(default)]
    suffrage: u64,
}

impl RaftMember {
    /// Whether it may vote.
    pub fn is_voter(&self) -> bool {
        self.suffrage == 0
    }
}

#[derive(Deserialize)]
struct VerboseNodes {
    #[serde(default, deserialize_with = "or_default")]
    nodes: Vec<VerboseNode>,
}

#[derive(Deserialize)]
struct VerboseNode {
    #[serde(default, deserialize_with = "or_default")]
    shards: Vec<VerboseShard>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerboseShard {
    name: String,
    #[serde(default)]
    number_of_replicas: i64,
}

#[derive(Deserialize)]
struct Nodes {
    #[serde(default, deserialize_with = "or_default")]
    nodes: Vec<NodeStatus>,
}

impl Client {
    /// `GET /v1/.well-known/live`: the process answers.
    pub async fn live(&self) -> Result<(), WeaviateError> {
        self.done(Rest::get(&[".well-known", "live"])).await
    }

    /// `GET /v1/.well-known/ready`. Also true on a wiped node for the seconds before it has the schema (lab 0.11).
    pub async fn ready(&self) -> Result<bool, WeaviateError> {
        let answer = self.answer(Rest::get(&[".well-known", "ready"])).await?;
        match answer.status {
            200..300 => Ok(true),
            503 => Ok(false),
            _ => Err(answer.into_error()),
        }
    }

    /// `GET /v1/meta`.
    pub async fn meta(&self) -> Result<Meta, WeaviateError> {
        self.json(Rest::get(&["meta"])).await
    }

    /// `GET /v1/nodes?output=minimal`, sorted by name. Fails as a whole for some seconds after a node died, until
    /// gossip drops it (lab 0.10).
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, WeaviateError> {
        let Nodes { mut nodes } = self.json(Rest::get(&["nodes"]).query("output", "minimal")).await?;
        nodes.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(nodes)
    }

    /// Replicas of shards on each live node, by `GET /v1/nodes?output=verbose`. The answer describes every shard (about
    /// 250 bytes each, 1.38.2), so with very many tenants it is [`WeaviateError::TooLarge`] and not read.
    pub async fn shard_counts(&self) -> Result<BTreeMap<String, u64>, WeaviateError> {
        let rest = Rest::get(&["nodes"]).query("output", "verbose").limit(ID_RESPONSE_BYTES);
        let Nodes { nodes } = self.json(rest).await?;
        Ok(nodes.into_iter().filter_map(|node| node.shard_count().map(|count| (node.name, count))).collect())
    }

    /// Replicas of each shard of a class as the nodes count them (`GET /v1/nodes/{class}?output=verbose`): without replica
    /// movement all that can be had. `numberOfReplicas` counts those of dead nodes too (adapters/repos/db/nodes.go).
    pub async fn counted_replicas(&self, class: &str) -> Result<BTreeMap<String, i64>, WeaviateError> {
        let verbose: VerboseNodes = self.json(Rest::get(&["nodes", class]).query("output", "verbose")).await?;
        let shards = verbose.nodes.into_iter().flat_map(|node| node.shards);
        Ok(shards.map(|shard| (shard.name, shard.number_of_replicas)).collect())
    }

    /// `GET /v1/cluster/statistics`, sorted by name.
    pub async fn statistics(&self) -> Result<Statistics, WeaviateError> {
        let mut statistics: Statistics = self.json(Rest::get(&["cluster", "statistics"])).await?;
        statistics.nodes.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(statistics)
    }
}

/// Numbers that come as numbers or as text.
mod lenient {
    use serde::{Deserialize, Deserializer};
    use serde_json::Value;

    pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }
}
