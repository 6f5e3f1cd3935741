//! Where the replicas are, and copying them. Everything here needs `REPLICA_MOVEMENT_ENABLED=true` on the asked node;
//! otherwise it is [`WeaviateError::NotSupported`].

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::{Rest, or_default};

/// Where the replicas of one class are, as RAFT knows it. Names dead nodes too, until somebody removes them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ShardingState {
    /// The class.
    pub collection: String,
    /// Its shards, sorted by name.
    #[serde(default, deserialize_with = "or_default")]
    pub shards: Vec<ShardReplicas>,
}

/// One shard.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ShardReplicas {
    /// Its name; in a multi-tenant class the tenant's.
    pub shard: String,
    /// The nodes that hold it, sorted.
    #[serde(default, deserialize_with = "or_default")]
    pub replicas: Vec<String>,
}

/// The id of a replication operation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One COPY or MOVE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplicationOperation {
    /// Its id.
    pub id: OperationId,
    /// The class.
    pub collection: String,
    /// The shard.
    pub shard: String,
    /// The node that is copied from.
    pub source: String,
    /// The node that is copied to. Not checked by the server: a name that nobody has stays REGISTERED for ever.
    pub target: String,
    /// COPY or MOVE.
    pub kind: ReplicationKind,
    /// How far it is.
    pub state: ReplicationState,
    /// What went wrong in this state so far, newest last. The server tries again by itself.
    pub errors: Vec<String>,
    /// The replica is in the sharding state already: neither cancel nor delete works until READY.
    pub uncancelable: bool,
    /// Somebody cancelled it, and it has not stopped yet.
    pub scheduled_for_cancel: bool,
    /// Somebody deleted it, and it has not stopped yet.
    pub scheduled_for_delete: bool,
}

/// What an operation does to its source.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(from = "String")]
pub enum ReplicationKind {
    /// Keeps the source.
    Copy,
    /// Deletes the source afterwards. Loses acknowledged writes of a factor-1 shard (lab 0.3): never started from here.
    Move,
    /// A kind that this client does not know.
    Unknown(String),
}

impl From<String> for ReplicationKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "COPY" => Self::Copy,
            "MOVE" => Self::Move,
            _ => Self::Unknown(text),
        }
    }
}

/// How far an operation is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(from = "String")]
pub enum ReplicationState {
    /// Waits for its target to take it up.
    Registered,
    /// Copies files.
    Hydrating,
    /// Catches up with writes.
    Finalizing,
    /// 1.38: waits for **every** member of RAFT (lab 0.4). The replica serves already.
    Integrating,
    /// MOVE only: takes the source away.
    Dehydrating,
    /// Done.
    Ready,
    /// Stopped, by a person or after fifty errors.
    Cancelled,
    /// A state that this client does not know: not done, not failed.
    Unknown(String),
}

impl From<String> for ReplicationState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "REGISTERED" => Self::Registered,
            "HYDRATING" => Self::Hydrating,
            "FINALIZING" => Self::Finalizing,
            "INTEGRATING" => Self::Integrating,
            "DEHYDRATING" => Self::Dehydrating,
            "READY" => Self::Ready,
            "CANCELLED" => Self::Cancelled,
            _ => Self::Unknown(text),
        }
    }
}

impl ReplicationState {
    /// Nothing will happen to it any more: its record can be, and should be, deleted (lab 7).
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ready | Self::Cancelled)
    }
}

impl fmt::Display for ReplicationState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Registered => "REGISTERED",
            Self::Hydrating => "HYDRATING",
            Self::Finalizing => "FINALIZING",
            Self::Integrating => "INTEGRATING",
            Self::Dehydrating => "DEHYDRATING",
            Self::Ready => "READY",
            Self::Cancelled => "CANCELLED",
            Self::Unknown(text) => text,
        })
    }
}

/// What `GET /v1/replication/replicate/{id}` sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationAnswer {
    id: OperationId,
    collection: String,
    shard: String,
    source_node: String,
    target_node: String,
    #[serde(rename = "type")]
    kind: ReplicationKind,
    #[serde(default)]
    uncancelable: bool,
    #[serde(default)]
    scheduled_for_cancel: bool,
    #[serde(default)]
    scheduled_for_delete: bool,
    status: StatusAnswer,
}

#[derive(Deserialize)]
struct StatusAnswer {
    state: ReplicationState,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<ErrorAnswer>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    message: String,
}

impl From<OperationAnswer> for ReplicationOperation {
    fn from(answer: OperationAnswer) -> Self {
        let errors = answer.status.errors;
        Self {
            id: answer.id,
            collection: answer.collection,
            shard: answer.shard,
            source: answer.source_node,
            target: answer.target_node,
            kind: answer.kind,
            state: answer.status.state,
            errors: errors.into_iter().map(|error| crate::words::bounded(error.message)).collect(),
            uncancelable: answer.uncancelable,
            scheduled_for_cancel: answer.scheduled_for_cancel,
            scheduled_for_delete: answer.scheduled_for_delete,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardingStateAnswer {
    sharding_state: ShardingState,
}

#[derive(Deserialize)]
struct Created {
    id: OperationId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scaled {
    #[serde(default)]
    operation_ids: Option<Vec<OperationId>>,
}

impl Client {
    /// `GET /v1/replication/sharding-state?collection=`, read through the leader; shards and replicas sorted. `None`
    /// when there is no such class (an alias is none either).
    pub async fn sharding_state(&self, name: &str) -> Result<Option<ShardingState>, WeaviateError> {
        let rest = Rest::get(&["replication", "sharding-state"]).query("collection", name);
        let answer: Option<ShardingStateAnswer> = self.optional(rest).await?;
        Ok(answer.map(|ShardingStateAnswer { mut sharding_state }| {
            sharding_state.shards.sort_by(|left, right| left.shard.cmp(&right.shard));
            sharding_state.shards.iter_mut().for_each(|shard| shard.replicas.sort());
            sharding_state
        }))
    }

    /// `POST /v1/replication/replicate` with COPY. The server accepts the same copy twice: list first.
    pub async fn copy_replica(
        &self,
        collection: &str,
        shard: &str,
        source: &str,
        target: &str,
    ) -> Result<OperationId, WeaviateError> {
        let body = json!({
            "collection": collection, "shard": shard, "sourceNode": source, "targetNode": target, "type": "COPY",
        });
        let rest = Rest::new(Method::POST, &["replication", "replicate"]).body(&body);
        self.json::<Created>(rest).await.map(|created| created.id)
    }

    /// `GET /v1/replication/replicate/{id}`; `None` when it is gone.
    pub async fn replication_operation(&self, id: OperationId) -> Result<Option<ReplicationOperation>, WeaviateError> {
        let id = id.to_string();
        let answer: Option<OperationAnswer> = self.optional(Rest::get(&["replication", "replicate", &id])).await?;
        Ok(answer.map(ReplicationOperation::from))
    }

    /// `GET /v1/replication/replicate/list?collection=`, sorted by shard and target; finished records too. `None` lists
    /// the operations of every class.
    pub async fn replication_operations(
        &self,
        collection: Option<&str>,
    ) -> Result<Vec<ReplicationOperation>, WeaviateError> {
        let rest = Rest::get(&["replication", "replicate", "list"]).maybe("collection", collection);
        let answers: Vec<OperationAnswer> = self.list(rest).await?;
        let mut operations = answers.into_iter().map(ReplicationOperation::from).collect::<Vec<_>>();
        operations.sort_by(|left, right| {
            let key = |operation: &ReplicationOperation| {
                (operation.collection.clone(), operation.shard.clone(), operation.target.clone(), operation.id)
            };
            key(left).cmp(&key(right))
        });
        Ok(operations)
    }

    /// `DELETE /v1/replication/replicate/{id}`: cancels and forgets, some seconds later (lab 1). A success too when it is
    /// unknown; [`WeaviateError::Conflict`] when it can no longer be cancelled and is not done.
    pub async fn delete_replication_operation(&self, id: OperationId) -> Result<(), WeaviateError> {
        self.done(Rest::new(Method::DELETE, &["replication", "replicate", &id.to_string()])).await
    }

    /// `POST /v1/replication/replicate/{id}/cancel`: the record stays, CANCELLED.
    pub async fn cancel_replication_operation(&self, id: OperationId) -> Result<(), WeaviateError> {
        self.done(Rest::new(Method::POST, &["replication", "replicate", &id.to_string(), "cancel"])).await
    }

    /// `POST /v1/replication/replicate/force-delete` with this one id: drops the record, and nothing cleans up. Without an
    /// id the server would drop the records of **all** operations.
    pub async fn drop_replication_operation(&self, id: OperationId) -> Result<(), WeaviateError> {
        let body = json!({ "id": id.to_string() });
        self.done(Rest::new(Method::POST, &["replication", "replicate", "force-delete"]).body(&body)).await
    }

    /// `POST /v1/cluster/remove`: takes a node out of RAFT. Only for a client of a node's **data port**, which asks for no
    /// key. It is a success as well when nobody has that name, and on 1.38 it changes shards of every class
    /// (`weaviate-lab` §0.5).
    pub async fn remove_member(&self, node: &str) -> Result<(), WeaviateError> {
        let body = json!({ "node": node });
        self.done(Rest::new(Method::POST, &["cluster", "remove"]).body(&body)).await
    }

    /// `POST /v1/replication/scale` with a plan of our own that only removes: the one public way to take a replica away.
    /// The server refuses it while an operation of the class runs, and below the class's factor; both as 500.
    pub async fn remove_replica(&self, collection: &str, shard: &str, node: &str) -> Result<(), WeaviateError> {
        let mut actions = Map::new();
        actions.insert(shard.to_owned(), json!({ "removeNodes": [node], "addNodes": {} }));
        let body = json!({
            "planId": Uuid::new_v4(), "collection": collection, "shardScaleActions": Value::Object(actions),
        });
        let rest = Rest::new(Method::POST, &["replication", "scale"]).body(&body);
        let Scaled { operation_ids } = self.json(rest).await?;
        tracing::debug!(collection, shard, node, operations = ?operation_ids, "replica removed");
        Ok(())
    }
}
