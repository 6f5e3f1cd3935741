//! What has become of `spec.restoreFrom`: the CollectionRestore that the object made, and what its worker left behind.

use elysia_api::collection::ElysiaCollectionStatus;
use elysia_api::restore::RestorePhase;
use elysia_api::{CollectionRestore, ElysiaCollection, names};
use elysia_core::collection::CollectionSpec;
use elysia_core::collection::bootstrap::{self, Look, RestoreView};
use elysia_core::collection::deletion::Restoring;
use elysia_core::sight::{BlindnessKind, Sight};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::super::context::Context;
use super::super::store_jobs;
use crate::effects::chain;

/// One look. Where the cache has no restore the API server is asked: on its word alone a class that is there counts as
/// one that no restore has made.
pub(super) async fn look(spec: &CollectionSpec, before: &ElysiaCollectionStatus, context: &Context) -> Look {
    let name = bootstrap::restore_name(&spec.name);
    let view = |restore: &CollectionRestore| RestoreView::of(restore, &spec.uid);
    let cached = context.stores.restores.get(&ObjectRef::<CollectionRestore>::new(&name).within(&spec.namespace));
    if let Some(view) = cached.as_deref().and_then(view) {
        return Look { restore: Sight::Seen(Some(view)), ..Look::default() };
    }
    if !bootstrap::asks(spec, before) {
        return Look::default();
    }
    match live(&spec.namespace, &name, context).await {
        Ok(found) => {
            if let Some(view) = found.as_ref().and_then(view) {
                return Look { restore: Sight::Seen(Some(view)), ..Look::default() };
            }
            let ledger = names::restore_ledger(&name);
            let ledger = store_jobs::beside(&spec.namespace, &ledger, &spec.uid, context).await.ledger;
            let cluster = super::observe::cluster_of(&spec.namespace, &spec.cluster, context);
            Look { ledger, cluster_uid: cluster.and_then(|cluster| cluster.uid()), ..Look::default() }
        }
        Err(message) => Look { restore: Sight::unseen(BlindnessKind::Failed, message), ..Look::default() },
    }
}

async fn live(namespace: &str, name: &str, context: &Context) -> Result<Option<CollectionRestore>, String> {
    let api: Api<CollectionRestore> = Api::namespaced(context.kube.clone(), namespace);
    api.get_opt(name).await.map_err(|error| format!("CollectionRestore {name} could not be read: {}", chain(&error)))
}

/// The restore that fills a collection whose object is being deleted, as long as it or its pods may write.
pub(super) async fn restoring(object: &ElysiaCollection, context: &Context) -> Sight<Option<Restoring>> {
    let has_bootstrap = object.status.as_ref().is_some_and(|status| status.bootstrap.is_some());
    if object.spec.restore_from.is_none() && !has_bootstrap {
        return Sight::Seen(None);
    }
    let namespace = object.namespace().unwrap_or_default();
    let name = bootstrap::restore_name(&object.name_any());
    let found = match live(&namespace, &name, context).await {
        Ok(found) => found,
        Err(message) => return Sight::unseen(BlindnessKind::Failed, message),
    };
    let is_ours = |restore: &&CollectionRestore| RestoreView::of(restore, &object.uid().unwrap_or_default()).is_some();
    let is_done = |restore: &CollectionRestore| {
        restore.status.as_ref().and_then(|status| status.phase) == Some(RestorePhase::Succeeded)
    };
    if let Some(restore) = found.as_ref().filter(is_ours).filter(|restore| !is_done(restore)) {
        let uid = restore.uid().filter(|_| restore.metadata.deletion_timestamp.is_none());
        return Sight::Seen(Some(Restoring { name, uid }));
    }
    // Its Jobs went with it; their pods end when they have ended.
    let pods: Api<Pod> = Api::namespaced(context.kube.clone(), &namespace);
    let label = format!("{}={name}", names::RESTORE_LABEL);
    match pods.list(&ListParams::default().labels(&label)).await {
        Ok(pods) if pods.items.iter().any(may_write) => Sight::Seen(Some(Restoring { name, uid: None })),
        Ok(_) => Sight::Seen(None),
        Err(error) => {
            let message = format!("the pods of CollectionRestore {name} could not be listed: {}", chain(&error));
            Sight::unseen(BlindnessKind::Failed, message)
        }
    }
}

fn may_write(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}
