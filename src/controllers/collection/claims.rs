//! Who else claims a collection, from the caches.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::claims::{self, Claim, Reach};
use kube::core::ResourceExt as _;

use super::super::context::Context;
use super::observe::cluster_of;

/// The older resource that keeps the collection. `live`: the class that is live, as far as that is known; `identity`: of the
/// collection as it was seen now, if it was.
pub(super) fn older(
    object: &ElysiaCollection,
    live: &str,
    identity: Option<String>,
    context: &Context,
) -> Option<String> {
    let (own, others) = claims_on(object, Some(live), identity, context);
    claims::older(&own, &others)
}

/// Any other resource that claims the collection, or may.
pub(super) fn rival(
    object: &ElysiaCollection,
    live: &str,
    identity: Option<String>,
    context: &Context,
) -> Option<String> {
    let (own, others) = claims_on(object, Some(live), identity, context);
    claims::rival(&own, &others)
}

/// Any other resource that claims a class of this name at the same servers, or may.
pub(super) fn claimant(object: &ElysiaCollection, class: &str, context: &Context) -> Option<String> {
    let mut object = object.clone();
    class.clone_into(&mut object.spec.collection);
    object.status = None;
    let (own, others) = claims_on(&object, None, None, context);
    claims::rival(&own, &others)
}

fn claims_on(
    object: &ElysiaCollection,
    live: Option<&str>,
    identity: Option<String>,
    context: &Context,
) -> (Claim, Vec<Claim>) {
    let mut own = Claim::of(object, None);
    if let Some(live) = live.filter(|live| *live != own.collection) {
        own.live = Some(live.to_owned());
    }
    let same_name: Vec<_> = context
        .stores
        .collections
        .state()
        .into_iter()
        .filter(|other| {
            let other_live = other.status.as_ref().and_then(|status| status.live.as_ref());
            let shares = own.names(&other.spec.collection) || other_live.is_some_and(|live| own.names(live));
            shares && other.uid() != object.uid()
        })
        .collect();
    // Nearly always there is none, and then nobody needs to know where the clusters are.
    let reach = |object: &ElysiaCollection| {
        if same_name.is_empty() {
            return None;
        }
        let namespace = object.namespace().unwrap_or_default();
        cluster_of(&namespace, &object.spec.cluster_ref.name, context).as_deref().and_then(reach)
    };
    own.reach = reach(object);
    own.identity = identity.or(own.identity);
    let others = same_name.iter().map(|other| Claim::of(other, reach(other))).collect();
    (own, others)
}

fn reach(cluster: &WeaviateCluster) -> Option<Reach> {
    let spec = ClusterSpec::validate(cluster).ok()?;
    Some(Reach::of(&spec, cluster.status.as_ref()))
}
