//! How an `ElysiaCollection` stands.

use elysia_api::ElysiaCollection;
use elysia_api::collection::{DriftEntry, ElysiaCollectionStatus, PlanStatus, ReplicationStatus, ShardReplicas};
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::{Malformed, Standing, next};

/// One collection.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionReport {
    /// Its namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Name of the collection in Weaviate; empty when the object could not be understood.
    pub collection: String,
    /// Name of its cluster; empty when the object could not be understood.
    pub cluster: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Replicas wanted and found.
    pub replicas: Replicas,
    /// Objects, if they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<i64>,
    /// Settings that differ, worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftEntry>,
    /// What is to be done next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The command that approves the plan, while the plan waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
}

/// Replicas wanted and found. What is absent could not be had.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// Wanted for each shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<i64>,
    /// Found for the worst shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,
    /// Number of shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<i64>,
    /// Shards with fewer replicas than wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<i64>,
    /// The worst of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<ShardReplicas>,
}

/// Judges one collection by its conditions.
pub fn of_collection(collection: &ElysiaCollection) -> Standing {
    let status = collection.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let mut standing = Standing::read(collection, observed, conditions);
    let command = next::for_collection(collection, &standing);
    standing.advise(command);
    standing
}

impl CollectionReport {
    pub(super) fn of(listed: &Result<ElysiaCollection, Malformed>) -> Self {
        let collection = match listed {
            Ok(collection) => collection,
            Err(malformed) => return Self::malformed(malformed),
        };
        let status = collection.status.clone().unwrap_or_default();
        let (namespace, name) = (next::namespace(collection), collection.name_any());
        let approve = waiting(&status).map(|_| next::approve(&namespace, &name));
        Self {
            collection: collection.spec.collection.clone(),
            cluster: collection.spec.cluster_ref.name.clone(),
            standing: of_collection(collection),
            replicas: Replicas::of(status.replication, collection.spec.replication.factor.into()),
            objects: status.objects.map(|objects| objects.count),
            drift: status.drift,
            plan: status.plan,
            approve,
            namespace,
            name,
        }
    }

    fn malformed(object: &Malformed) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            collection: String::new(),
            cluster: String::new(),
            standing: Standing::malformed(object),
            replicas: Replicas::default(),
            objects: None,
            drift: Vec::new(),
            plan: None,
            approve: None,
        }
    }
}

fn waiting(status: &ElysiaCollectionStatus) -> Option<&PlanStatus> {
    status.plan.as_ref().filter(|plan| plan.waiting_for.is_some())
}

impl Replicas {
    fn of(status: Option<ReplicationStatus>, factor: i64) -> Self {
        let Some(status) = status else {
            return Self { wanted: Some(factor), ..Self::default() };
        };
        // `behindTotal` is 0 when it was left out: without a lowest number nothing was counted.
        let behind = status.lowest.map(|_| status.behind_total);
        let mut worst = status.behind;
        worst.sort_by(|left, right| (left.replicas.len(), &left.shard).cmp(&(right.replicas.len(), &right.shard)));
        Self { wanted: Some(status.desired), found: status.lowest, shards: status.shards, behind, worst }
    }
}
