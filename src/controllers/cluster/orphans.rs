//! Journals whose object is gone: an ElysiaCollection has no finalizer, so it may be deleted in the middle of its
//! recreation. The collection must not stay deleted or frozen, nor auto-schema off.

use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::recreate::{self, OrphanAct};
use elysia_core::collection::{Cursor, Journal};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::collection::journal::{self, Place};
use super::super::collection::{frozen_in_part, open};
use super::super::connect::sight;
use super::super::context::Context;
use super::HOLDS_AUTO_SCHEMA_OFF;
use crate::effects::{EffectError, weaviate};

/// The journals of this cluster that are not over; while there is one, auto-schema is held off.
pub(super) async fn active_journals(spec: &ClusterSpec, context: &Context) -> Result<Vec<ConfigMap>, ReconcileError> {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let selector = format!("{}={},{HOLDS_AUTO_SCHEMA_OFF}=true", names::CLUSTER_LABEL, spec.name);
    let journals = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(ReconcileError::read(format!("the journals of {}", spec.name)))?;
    Ok(journals.items)
}

/// Does the next act for every journal whose object is gone.
pub(super) async fn end(
    journals: &[ConfigMap],
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<(), EffectError> {
    for config in journals.iter().filter(|config| !has_object(config, context)) {
        let text = config.data.as_ref().and_then(|data| data.get(journal::KEY)).map(String::as_str).unwrap_or_default();
        let Ok(journal) = serde_json::from_str::<Journal>(text) else {
            return Err(EffectError::Refused(format!(
                "ConfigMap {} holds no journal and its object is gone; delete it by hand",
                config.name_any()
            )));
        };
        let _alone = context.destructive.lock().await;
        let clients = open(cluster, spec, context).await.map_err(EffectError::Refused)?;
        let collection = journal.collection.as_str();
        let class = sight(clients.common.class(collection, elysia_weaviate::SchemaRead::Leader).await);
        let shards: Vec<String> = journal.placement.iter().map(|shard| shard.shard.clone()).collect();
        let frozen = frozen_in_part(&clients, collection, &shards).await;
        match recreate::next_for_orphan(&class, &spec.node_names(), &frozen) {
            OrphanAct::CreateOld => weaviate::create_class(&clients.common, &journal.live_schema).await?,
            OrphanAct::Thaw => weaviate::set_read_only(&clients.common, collection, false).await?,
            OrphanAct::End => {
                let name = config.name_any();
                let object = config.labels().get(names::COLLECTION_LABEL).cloned().unwrap_or_default();
                let place = Place { namespace: &spec.namespace, name: &name, cluster: &spec.name, object: &object };
                let stopped = Some("its ElysiaCollection was deleted".to_owned());
                let ended = Journal { cursor: Cursor::Stopped, since: (context.now)(), stopped, ..journal };
                journal::write_at(&place, &ended, config.resource_version(), context).await?;
            }
            OrphanAct::Wait => {}
        }
    }
    Ok(())
}

/// Whether the object of a journal is still there, and is to stay: one that is being deleted goes on with nothing. The journal's name carries its uid: an object made anew under the
/// name is another one.
fn has_object(config: &ConfigMap, context: &Context) -> bool {
    let name = config.name_any();
    context.stores.collections.state().into_iter().any(|object| {
        object.namespace() == config.namespace()
            && object.metadata.deletion_timestamp.is_none()
            && names::journal(&object.name_any(), &object.uid().unwrap_or_default()) == name
    })
}
