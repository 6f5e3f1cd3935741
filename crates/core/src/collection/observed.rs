//! What a look at a collection gave.

use std::collections::BTreeMap;

use elysia_api::collection::ShardReplicas;
use serde_json::Value;

use super::recreate::Journal;
use crate::sight::{BlindnessKind, Sight};
use crate::version::ServerVersion;

/// Whether the cluster is there and fit for work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClusterSight {
    /// No such WeaviateCluster.
    Missing,
    /// It is there, but something is wrong with it; it may still be read.
    Unfit(String),
    /// Every member is alive and all agree.
    Fit,
}

/// Everything that one look at a collection gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The cluster.
    pub cluster: ClusterSight,
    /// Version of the servers, the lowest when they differ; `None` when it is not known: then the most careful way is taken.
    pub version: Option<ServerVersion>,
    /// The servers, as a journal names them; `None` when there is no cluster.
    pub target: Option<super::recreate::Target>,
    /// The pattern that protects the collection from being recreated.
    pub protection: Option<String>,
    /// An older object that claims the same collection.
    pub conflict: Option<String>,
    /// Nodes with an address of their own.
    pub nodes: Vec<String>,
    /// Members that are alive.
    pub members: Sight<Vec<String>>,
    /// The class as the leader has it; `Seen(None)` when there is none.
    pub class: Sight<Option<Value>>,
    /// Where the replicas are; `Unseen` as well when there is no class.
    pub placement: Sight<Vec<ShardReplicas>>,
    /// Copies that the servers know of.
    pub operations: Sight<Vec<Operation>>,
    /// Number of objects, if it was asked for.
    pub count: Option<Sight<i64>>,
    /// What each node lists at its own address, if it was asked for.
    pub replicas: Option<Sight<BTreeMap<String, ReplicaView>>>,
    /// The first node that lists an object, if it was asked for; `Seen(None)` when no node lists any.
    pub holder: Option<Sight<Option<String>>>,
    /// The journal of an approved plan.
    pub journal: Sight<Option<Journal>>,
    /// What the present step of the journal wants to know.
    pub recreate: super::recreate::Look,
    /// What became of `restoreFrom` so far.
    pub bootstrap: super::bootstrap::Look,
    /// What the repair of replicas wants to know.
    pub repair: super::repair::Look,
    /// What the migration wants to know; `None` where none is declared.
    pub migration: Option<Box<super::migration::Look>>,
}

impl Observed {
    /// Before anything was asked: nothing is known, and nothing is taken for empty.
    pub fn unasked() -> Self {
        fn not_asked<T>() -> Sight<T> {
            Sight::unseen(BlindnessKind::Failed, "not asked")
        }
        Self {
            cluster: ClusterSight::Missing,
            version: None,
            target: None,
            protection: None,
            conflict: None,
            nodes: Vec::new(),
            members: not_asked(),
            class: not_asked(),
            placement: not_asked(),
            operations: not_asked(),
            count: None,
            replicas: None,
            holder: None,
            journal: not_asked(),
            recreate: super::recreate::Look::default(),
            bootstrap: super::bootstrap::Look::default(),
            repair: super::repair::Look { journal: not_asked(), ..super::repair::Look::default() },
            migration: None,
        }
    }
}

/// What one node lists at its own address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReplicaView {
    /// Number of ids.
    pub count: i64,
    /// SHA-256 over the sorted ids.
    pub digest: String,
}

/// A copy, or somebody's move, of one replica.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// The shard.
    pub shard: String,
    /// The node that gives the replica.
    pub source: String,
    /// The node that gets the replica.
    pub target: String,
    /// How far it is.
    pub state: OperationState,
    /// Where it is while it is active.
    pub stage: Stage,
    /// Whether it takes the replica away from its source. None of ours does.
    pub moves: bool,
    /// Whether somebody asked already for its record to be deleted, or, of an active one, for it to be cancelled.
    pub dropping: bool,
    /// What the server says went wrong so far.
    pub error: Option<String>,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OperationState {
    /// It runs, or waits to.
    #[default]
    Active,
    /// The replica is there and serves.
    Ready,
    /// It was given up.
    Cancelled,
}

/// Where an active copy is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stage {
    /// Its target has not taken it up.
    Registered,
    /// Files are copied.
    #[default]
    Copying,
    /// Writes are caught up with.
    Finalizing,
    /// The replica is there and serves; every member of RAFT has yet to say so (`weaviate-lab` §0.4).
    Integrating,
}
