//! Who else claims a collection, from the caches.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::claims::{self, Claim, Reach};
use kube::core::ResourceExt as _;

use super::super::context::Context;
use super::observe::cluster_of;

/// The older resource that keeps the collection. `identity`: of the collection as it was seen now, if it was.
pub(super) fn older(object: &ElysiaCollection, identity: Option<String>, context: &Context) -> Option<String> {
    let (own, others) = claims_on(object, identity, context);
    claims::older(&own, &others)
}

/// Any other resource that claims the collection, or may.
pub(super) fn rival(object: &ElysiaCollection, identity: Option<String>, context: &Context) -> Option<String> {
    let (own, others) = claims_on(object, identity, context);
    claims::rival(&own, &others)
}

fn claims_on(object: &ElysiaCollection, identity: Option<String>, context: &Context) -> (Claim, Vec<Claim>) {
    let same_name: Vec<_> = context
        .stores
        .collections
        .state()
        .into_iter()
        .filter(|other| other.spec.collection == object.spec.collection && other.uid() != object.uid())
        .collect();
    // Nearly always there is none, and then nobody needs to know where the clusters are.
    let reach = |object: &ElysiaCollection| {
        if same_name.is_empty() {
            return None;
        }
        let namespace = object.namespace().unwrap_or_default();
        cluster_of(&namespace, &object.spec.cluster_ref.name, context).as_deref().and_then(reach)
    };
    let mut own = Claim::of(object, reach(object));
    own.identity = identity.or(own.identity);
    let others = same_name.iter().map(|other| Claim::of(other, reach(other))).collect();
    (own, others)
}

fn reach(cluster: &WeaviateCluster) -> Option<Reach> {
    let spec = ClusterSpec::validate(cluster).ok()?;
    Some(Reach::of(&spec, cluster.status.as_ref()))
}
