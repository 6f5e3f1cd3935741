//! What the API server says now, for whoever is about to do what cannot be taken back: caches are a moment behind, and a round
//! that waited for others acts on what it saw before.

use std::sync::Arc;

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::CollectionSpec;
use kube::api::Api;
use kube::core::ResourceExt as _;

use super::super::context::Context;
use crate::effects::EffectError;

/// The object, being deleted or not; `None` when it is gone, or another one has its name.
pub(super) async fn object(
    namespace: &str,
    name: &str,
    uid: &str,
    context: &Context,
) -> Result<Option<ElysiaCollection>, EffectError> {
    let api: Api<ElysiaCollection> = Api::namespaced(context.kube.clone(), namespace);
    let object = api.get_opt(name).await.map_err(EffectError::kubernetes(format!("read ElysiaCollection {name}")))?;
    Ok(object.filter(|object| object.uid().as_deref() == Some(uid)))
}

/// The object of a round, unless it is gone by now or being deleted.
pub(super) async fn standing(spec: &CollectionSpec, context: &Context) -> Result<ElysiaCollection, EffectError> {
    let object = object(&spec.namespace, &spec.name, &spec.uid, context).await?;
    object
        .filter(|object| object.metadata.deletion_timestamp.is_none())
        .ok_or_else(|| EffectError::Changed(format!("ElysiaCollection {} is gone or being deleted", spec.name)))
}

/// The cluster of a collection; `None` when there is none.
pub(super) async fn cluster(
    spec: &CollectionSpec,
    context: &Context,
) -> Result<Option<Arc<WeaviateCluster>>, EffectError> {
    let api: Api<WeaviateCluster> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let what = format!("read WeaviateCluster {}", spec.cluster);
    let cluster = api.get_opt(&spec.cluster).await.map_err(EffectError::kubernetes(what))?;
    Ok(cluster.map(Arc::new))
}

/// The pattern that protects the collection, by its declared name or by that of the live class.
pub(super) async fn protection(spec: &CollectionSpec, context: &Context) -> Result<Option<String>, EffectError> {
    let Some(cluster) = cluster(spec, context).await? else {
        return Err(EffectError::Changed(format!("WeaviateCluster {} is gone", spec.cluster)));
    };
    let cluster = ClusterSpec::validate(&cluster)
        .map_err(|error| EffectError::Changed(format!("WeaviateCluster {}: {error}", spec.cluster)))?;
    let protection = |name: &str| cluster.protection(name).map(str::to_owned);
    Ok(protection(&spec.declared).or_else(|| protection(&spec.collection)))
}
