//! Journals whose object is gone: an ElysiaCollection has no finalizer, so it may be deleted in the middle of its
//! recreation. The collection must not stay deleted or frozen, nor auto-schema off, and none of it waits for a node that is away.

use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::happening::{self, Happened, Happening};
use elysia_core::collection::recreate::{self, ORPHANED, OrphanAct, OrphanLook};
use elysia_core::collection::{Cursor, Journal};
use elysia_core::sight::Sight;
use elysia_weaviate::{NodeStatus, SchemaRead};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::audit::Trail;
use super::super::collection::journal;
use super::super::collection::notebook::Place;
use super::super::collection::{emptiness, open};
use super::super::connect::sight;
use super::super::context::Context;
use super::HOLDS_AUTO_SCHEMA_OFF;
use crate::effects::{EffectError, weaviate};

/// The journals of this cluster that are not over; while there is one, auto-schema is held off. One that speaks of other
/// servers holds nothing here: nothing of it is done.
pub(super) async fn active_journals(
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<Vec<ConfigMap>, ReconcileError> {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let selector = format!("{}={},{HOLDS_AUTO_SCHEMA_OFF}=true", names::CLUSTER_LABEL, spec.name);
    let journals = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(ReconcileError::read(format!("the journals of {}", spec.name)))?;
    let target = emptiness::target(cluster, spec);
    let is_here = |config: &ConfigMap| match parse(config) {
        Some(journal) => journal
            .is_of(&target, &config.name_any())
            .inspect_err(|why| tracing::warn!(journal = config.name_any(), why, "a journal is of other servers"))
            .is_ok(),
        // Nobody knows what it is at.
        None => true,
    };
    Ok(journals.items.into_iter().filter(is_here).collect())
}

fn parse(config: &ConfigMap) -> Option<Journal> {
    serde_json::from_str(config.data.as_ref()?.get(names::JOURNAL_KEY)?).ok()
}

/// Does the next act for every journal whose object is gone.
pub(super) async fn end(
    journals: &[ConfigMap],
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<(), EffectError> {
    for config in journals.iter().filter(|config| !has_object(config, context)) {
        let Some(journal) = parse(config) else {
            return Err(EffectError::Refused(format!(
                "ConfigMap {} holds no journal and its object is gone; delete it by hand",
                config.name_any()
            )));
        };
        end_one(config, &journal, spec, cluster, context).await?;
    }
    Ok(())
}

/// Does the next act for one journal.
async fn end_one(
    config: &ConfigMap,
    journal: &Journal,
    spec: &ClusterSpec,
    cluster: &WeaviateCluster,
    context: &Context,
) -> Result<(), EffectError> {
    let _alone = context.destructive.lock().await;
    let clients = open(cluster, spec, context).await.map_err(EffectError::Refused)?;
    let (common, collection) = (&clients.common, journal.collection.as_str());
    let class = sight(common.class(collection, SchemaRead::Leader).await);
    let members = sight(common.nodes().await)
        .map(|members| members.into_iter().filter(NodeStatus::is_healthy).map(|member| member.name).collect());
    let read_only = emptiness::read_only(&clients, collection).await;
    let tenants = match journal.tenants {
        Some(_) => emptiness::tenants(&clients, collection).await,
        None => Sight::Seen(Vec::new()),
    };
    let look = OrphanLook {
        class: &class,
        nodes: &spec.node_names(),
        members: &members,
        read_only: &read_only,
        tenants: &tenants,
    };
    let trail = Trail::of_cluster(cluster, collection, Some(&journal.hash), context);
    match recreate::next_for_orphan(journal, &look, (context.now)()) {
        OrphanAct::CreateOld => {
            let created = weaviate::create_class(common, &recreate::creatable(&journal.live_schema)).await;
            trail.after("create_class", &[], created)
        }
        OrphanAct::CreateTenants(tenants) => {
            let names: Vec<String> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
            let created = weaviate::create_tenants(common, collection, &tenants).await;
            trail.after("create_tenants", &names, created)
        }
        OrphanAct::Thaw { shards, marked } => {
            let thawed = weaviate::set_read_only(common, collection, &shards, false).await;
            let thawed = trail.after("set_writable", &shards, thawed);
            // What RAFT has taken reaches every node that holds the shard, also where the one that answered could not ask it.
            let is_sent = thawed.as_ref().err().is_none_or(weaviate::is_of_a_shard);
            if let (true, Some(marked)) = (is_sent, marked) {
                write(config, &marked, spec, context).await?;
            }
            thawed
        }
        OrphanAct::PutTenancy(put) => {
            let base = class.seen().cloned().flatten().unwrap_or_default();
            let paths = happening::changed(&base, &put);
            let updated = weaviate::update_class(common, collection, &base, &put).await;
            trail.after("update_class", &paths, updated)
        }
        OrphanAct::End { unseen } => {
            let stopped = Some(ORPHANED.to_owned());
            let ended = Journal { stopped, ..journal.at(Cursor::Stopped, (context.now)()) };
            write(config, &ended, spec, context).await?;
            let message = ended_in_words(&object_of(config), journal, &unseen);
            context.tell_happenings(cluster, &[Happening::new(Happened::OrphanEnded, message)]).await;
            Ok(())
        }
        OrphanAct::Wait(what) => {
            tracing::debug!(journal = config.name_any(), what, "a journal without its object waits");
            Ok(())
        }
    }
}

async fn write(
    config: &ConfigMap,
    journal: &Journal,
    spec: &ClusterSpec,
    context: &Context,
) -> Result<(), EffectError> {
    let (name, object) = (config.name_any(), object_of(config));
    let place = Place { namespace: &spec.namespace, name: &name, cluster: &spec.name, object: &object };
    journal::write_at(&place, journal, config.resource_version(), context).await
}

fn object_of(config: &ConfigMap) -> String {
    config.labels().get(names::COLLECTION_LABEL).cloned().unwrap_or_default()
}

fn ended_in_words(object: &str, journal: &Journal, unseen: &[String]) -> String {
    let Journal { hash, collection, .. } = journal;
    let what = if unseen.is_empty() {
        format!("collection {collection} is there and writable")
    } else {
        let nodes = unseen.join(", ");
        format!(
            "collection {collection} is there, and its shards were made writable, which was not seen at {nodes}: a server that still refuses writes to them when it is back does so until it is restarted"
        )
    };
    format!("ElysiaCollection {object} was deleted in the middle of plan {hash}; {what}")
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
