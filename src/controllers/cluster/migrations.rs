//! Migrations whose object is gone in the middle of the switch: the class that is live must not stay read-only.

use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::happening::{Happened, Happening};
use elysia_core::collection::migration::{Journal, Phase};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::audit::Trail;
use super::super::collection::migration::{HOLDS_READ_ONLY, write_at};
use super::super::collection::notebook::Place;
use super::super::collection::{emptiness, open};
use super::super::context::Context;
use crate::effects::{EffectError, migration as effects, weaviate};

/// The journals of migrations in the middle of their switch whose objects are gone.
pub(super) async fn orphans(spec: &ClusterSpec, context: &Context) -> Result<Vec<ConfigMap>, ReconcileError> {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let selector = format!("{}={},{HOLDS_READ_ONLY}=true", names::CLUSTER_LABEL, spec.name);
    let journals = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(ReconcileError::read(format!("the journals of migrations in {}", spec.name)))?;
    Ok(journals.items.into_iter().filter(|config| !has_object(config, context)).collect())
}

fn has_object(config: &ConfigMap, context: &Context) -> bool {
    let name = config.name_any();
    context.stores.collections.state().into_iter().any(|object| {
        object.namespace() == config.namespace()
            && object.metadata.deletion_timestamp.is_none()
            && names::migration_journal(&object.name_any(), &object.uid().unwrap_or_default()) == name
    })
}

/// Does the next act for each of them: thaws, and when that is seen writes the journal as ended.
pub(super) async fn end(
    journals: &[ConfigMap],
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<(), EffectError> {
    for config in journals {
        let name = config.name_any();
        let text = config.data.as_ref().and_then(|data| data.get(names::JOURNAL_KEY)).map(String::as_str);
        let Some(journal) = text.and_then(|text| serde_json::from_str::<Journal>(text).ok()) else {
            return Err(EffectError::Refused(format!(
                "ConfigMap {name} holds no journal and its object is gone; make its collection writable and delete it by hand"
            )));
        };
        if let Err(why) = journal.is_of(&emptiness::target(cluster, spec), &name) {
            tracing::warn!(journal = name, why, "a journal is of other servers");
            continue;
        }
        let _alone = context.destructive.lock().await;
        let clients = open(cluster, spec, context).await.map_err(EffectError::Refused)?;
        let read = format!("read alias {}", journal.alias);
        let alias = clients.common.alias(&journal.alias).await.map_err(EffectError::weaviate(read))?;
        // After the switch the old class stays read-only: nobody uses it.
        let has_switched = alias.as_ref() == Some(&journal.to);
        if let Some(held) = &journal.tenants {
            context.must_lead()?;
            let released = effects::release(&clients.common, &clients.nodes, &journal, held, has_switched).await;
            let trail = Trail::of_cluster(cluster, &journal.from, Some(&journal.hash), context);
            let named = [journal.from.clone()];
            let is_done = *released.as_ref().unwrap_or(&false);
            trail.after("release_tenants", &named, released.map(drop))?;
            if !is_done {
                continue;
            }
        }
        let shards =
            if journal.read_only_before.is_some() && !has_switched { journal.own_shards() } else { Vec::new() };
        if !shards.is_empty() {
            let seen = emptiness::read_only(&clients, &journal.from).await;
            let is_frozen = seen.values().flatten().flatten().any(|shard| shards.contains(shard));
            if is_frozen {
                context.must_lead()?;
                let thawed = weaviate::set_read_only(&clients.common, &journal.from, &shards, false).await;
                let trail = Trail::of_cluster(cluster, &journal.from, Some(&journal.hash), context);
                trail.after("set_writable", &shards, thawed)?;
                continue;
            }
            if spec.node_names().iter().any(|node| !matches!(seen.get(node), Some(Some(_)))) {
                continue;
            }
        }
        let object = config.labels().get(names::COLLECTION_LABEL).cloned().unwrap_or_default();
        let place = Place { namespace: &spec.namespace, name: &name, cluster: &spec.name, object: &object };
        let (phase, live) = if has_switched { (Phase::Kept, &journal.to) } else { (Phase::Stopped, &journal.from) };
        let stopped = Some("its ElysiaCollection was deleted".to_owned());
        let ended = Journal { stopped, ..journal.at(phase, (context.now)()) };
        write_at(&place, &ended, config.resource_version(), context).await?;
        let message = format!(
            "ElysiaCollection {object} was deleted in the middle of a migration; collection {live} is live and writable"
        );
        context.tell_happenings(cluster, &[Happening::new(Happened::OrphanEnded, message)]).await;
    }
    Ok(())
}
