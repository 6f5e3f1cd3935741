//! A client for Weaviate, for an operator: bound to **one** address, never retrying, every error knowing whether
//! trying again can help.
//!
//! Facts come from the server's own source (module `github.com/weaviate/weaviate`, 1.35.2 and 1.38.2; paths in the
//! documentation are relative to it) and from measurements ("lab", `weaviate-lab.md`).
//!
//! | call | path | safe to send again after a lost answer |
//! |---|---|---|
//! | [`Client::live`], [`Client::ready`] | `GET /v1/.well-known/live`, `ready` | yes |
//! | [`Client::meta`], [`Client::nodes`], [`Client::shard_counts`], [`Client::statistics`] | `GET /v1/meta`, `nodes`, `cluster/statistics` | yes |
//! | [`Client::node_shards`] | `GET /v1/nodes?output=verbose` | yes |
//! | [`Client::classes`], [`Client::class`] | `GET /v1/schema`, `schema/{class}` | yes |
//! | [`Client::create_class`] | `POST /v1/schema` | yes: the second is `Invalid` ("already exists"); then [`Client::add_named_vectors`] |
//! | [`Client::add_named_vectors`] | `GET`, `PUT /v1/schema/{class}` | yes, unless somebody else wrote between: the last wins |
//! | [`Client::update_class`] | `PUT /v1/schema/{class}` | yes, unless somebody else wrote between: the last wins |
//! | [`Client::add_property`] | `POST /v1/schema/{class}/properties` | yes: the second is `Invalid`, or a success when it follows at once |
//! | [`Client::delete_class`] | `DELETE /v1/schema/{class}` | **no**: the name may belong to a new class by now |
//! | [`Client::shard_statuses`], [`Client::tenant_shard_status`], [`Client::tenants`], [`Client::tenant`] | `GET /v1/schema/{class}/shards`, `tenants` | yes |
//! | [`Client::set_shard_status`] | `PUT /v1/schema/{class}/shards/{shard}` | yes |
//! | [`Client::create_tenants`], [`Client::update_tenants`] | `POST`, `PUT /v1/schema/{class}/tenants` | yes |
//! | [`Client::aliases`], [`Client::alias`] | `GET /v1/aliases?class=`, `aliases/{alias}` | yes |
//! | [`Client::local_alias`] | `GET /v1/schema/{alias}` | yes |
//! | [`Client::create_alias`] | `POST /v1/aliases` | yes: the second is `Invalid` |
//! | [`Client::switch_alias`], [`Client::delete_alias`] | `PUT`, `DELETE /v1/aliases/{alias}` | yes, unless somebody else moved it meanwhile |
//! | [`Client::sharding_state`] | `GET /v1/replication/sharding-state` | yes |
//! | [`Client::copy_replica`] | `POST /v1/replication/replicate` | **no**: the server accepts the same copy twice; list first |
//! | [`Client::replication_operation`], [`Client::replication_operations`] | `GET /v1/replication/replicate/{id}`, `list` | yes |
//! | [`Client::cancel_replication_operation`], [`Client::delete_replication_operation`] | `POST …/{id}/cancel`, `DELETE …/{id}` | yes |
//! | [`Client::remove_replica`] | `POST /v1/replication/scale` | **no**: look at the sharding state first |
//! | [`Client::list_ids`], [`Client::list_objects`], [`Client::replica_digest`], [`Client::object_digest`] | `GET /v1/objects?class&after` | yes |
//! | [`Client::object`] | `GET /v1/objects/{class}/{id}` | yes; QUORUM and ALL repair what they read |
//! | [`Client::page_references`], [`Client::object_references`] | `GET /v1/objects?class&after`, `objects/{class}/{id}` | yes |
//! | [`Client::add_references`] | `POST /v1/batch/references` | **no**: they would be there twice; look first |
//! | [`Client::object_at`] | `GET /v1/objects/{class}/{id}?node_name=` | yes; repairs nothing |
//! | [`Client::put_object`] | `POST /v1/batch/objects` | yes: it is written over |
//! | [`Client::create_object`] | `POST /v1/objects` | yes: the second is `Invalid` ("already exists") |
//! | [`Client::object_count`], [`Client::object_count_where`] | `POST /v1/graphql` | yes |
//! | [`Client::auto_schema_probe`] | `POST /v1/objects` of what can never be stored | yes |
//! | [`Client::backups`], [`Client::backup_in_progress`] | `GET /v1/backups/{backend}` | yes |
//! | [`Client::create_backup`] | `POST /v1/backups/{backend}` | yes, with the same id: the second is `Invalid` ("already exists" or "already in progress") |
//! | [`Client::backup_standing`], [`Client::restore_standing`] | `GET /v1/backups/{backend}/{id}`, `…/restore` | yes |
//! | [`Client::cancel_backup`], [`Client::cancel_restore`] | `DELETE /v1/backups/{backend}/{id}`, `…/restore` | yes |
//! | [`Client::restore_backup`] | `POST /v1/backups/{backend}/{id}/restore` | **no**: look whether its classes are there first |
//! | [`Client::batch_objects`], [`Client::send_batch`] | gRPC `BatchObjects` | yes: every object carries its id, and is overwritten |
//! | [`Client::batch_delete_ids`] | gRPC `BatchDelete` | yes, unless an id was written again meanwhile |
//! | [`Client::fetch_by_ids`], [`Client::fetch_selected`], [`Client::fetch_page`], [`Client::nearest`] | gRPC `Search` | yes |
//!
//! **No call is retried inside.** A reconciler requeues, a worker has its own patience; a client that retries by itself
//! would multiply both. `retryable` of an error and the last column of this table are what they decide by.

mod aggregate;
mod alias;
mod backup;
mod client;
mod cluster;
mod compare;
mod digest;
mod error;
mod grpc;
mod objects;
mod probe;
mod references;
mod refusals;
mod replica;
mod replication;
mod rest;
mod schema;
mod shards;
mod words;

pub use backup::{BackupEntry, BackupName, BackupOptions, BackupPhase, BackupStanding};
pub use client::{
    CALL_TIMEOUT, CONNECT_TIMEOUT, Client, ClientOptions, ID_RESPONSE_BYTES, ONE_ID_RESPONSE_BYTES, RESPONSE_BYTES,
};
pub use cluster::{Meta, NodeStatistics, NodeStatus, Raft, RaftMember, Statistics};
pub use compare::{Lacking, compare_ids};
pub use digest::{ID_PAGE, OBJECT_PAGE, ReplicaDigest};
pub use error::{BoxError, Call, ErrorCategory, Feature, MESSAGE_BYTES, WeaviateError};
pub use grpc::{
    BatchDeleteOutcome, BatchEncoder, BatchObject, BatchOutcome, EncodedBatch, FetchedObject, GRPC_MESSAGE_BYTES,
    NamedVector, Nearest, ObjectError, ObjectRef, Selection, VectorRef, Vectors,
};
pub use objects::{Consistency, Object, Page, ReadFrom};
pub use references::{KeptReferences, NewReference};
pub use replica::AtReplica;
pub use replication::{
    OperationId, ReplicationKind, ReplicationOperation, ReplicationState, ShardReplicas, ShardingState,
};
pub use schema::{ActivityStatus, SchemaRead, ShardInfo, ShardStatus, Tenant, has_named_vectors};
pub use shards::{HeldShard, NodeShards};
