//! What a look at a collection gives.

mod replicas;

pub(in crate::controllers) use replicas::operation;

use elysia_api::collection::{ElysiaCollectionStatus, ShardReplicas};
use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::cluster::{ClusterSpec, judge};
use elysia_core::collection::migration::{Live, live_amid_switch, versions};
use elysia_core::collection::repair::Look as RepairLook;
use elysia_core::collection::{ClusterSight, CollectionSpec, Observed, claims as core_claims, questions};
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_core::version::ServerVersion;
use elysia_weaviate::{Client, SchemaRead, ShardingState, WeaviateError};
use futures::FutureExt as _;
use jiff::SignedDuration;
use serde_json::Value;

use super::super::ReconcileError;
use super::super::connect::{ClusterClients, Key, sight};
use super::super::context::Context;
use super::{bootstrap, claims, emptiness, journal, migration, repair};

/// What was seen, and the clients to act with.
pub(super) struct Scene {
    /// What was seen.
    pub(super) observed: Observed,
    /// Clients of the cluster; `None` when it cannot be asked.
    pub(super) clients: Option<ClusterClients>,
    /// Time between two looks.
    pub(super) interval: SignedDuration,
    /// resourceVersion of the journal; `None` when there is none.
    pub(super) journal_version: Option<String>,
    /// resourceVersion of the journal of a repair; `None` when there is none.
    pub(super) repair_version: Option<String>,
    /// resourceVersion of the journal of a migration; `None` when there is none.
    pub(super) migration_version: Option<String>,
}

/// One look: first what every look takes, then what the first look makes worth asking.
///
/// `spec` gets the class that is live, where an alias says which one it is, and the version of the settings that is next, where
/// it has several.
pub(super) async fn observe(
    spec: &mut CollectionSpec,
    object: &ElysiaCollection,
    context: &Context,
) -> Result<Scene, ReconcileError> {
    let (journal, journal_version) = journal::read(spec, context).await;
    let (repair_journal, repair_version) = repair::read(spec, context).await;
    let observed = Observed {
        journal,
        repair: RepairLook { journal: repair_journal, ..RepairLook::default() },
        ..Observed::unasked()
    };
    let interval = elysia_core::cluster::spec::DEFAULT_INTERVAL;
    let (clients, migration_version) = (None, None);
    let scene = Scene { observed, clients, interval, journal_version, repair_version, migration_version };
    look_around(spec, object, scene, context).await
}

/// A look right after steps that wrote no journal: only this operator writes them, so they are what they were.
pub(super) async fn observe_again(
    spec: &mut CollectionSpec,
    object: &ElysiaCollection,
    before: Scene,
    context: &Context,
) -> Result<Scene, ReconcileError> {
    let repair = RepairLook { journal: before.observed.repair.journal, ..RepairLook::default() };
    let observed = Observed { journal: before.observed.journal, repair, ..Observed::unasked() };
    look_around(spec, object, Scene { observed, ..before }, context).await
}

/// Fills in everything but the journals.
async fn look_around(
    spec: &mut CollectionSpec,
    object: &ElysiaCollection,
    journals: Scene,
    context: &Context,
) -> Result<Scene, ReconcileError> {
    let Scene { mut observed, journal_version, repair_version, .. } = journals;
    observed.conflict = claims::older(object, &spec.collection, None, context);
    let before = object.status.clone().unwrap_or_default();
    observed.bootstrap = bootstrap::look(spec, &before, context).await;
    let scene = |observed, clients, interval, migration_version| Scene {
        observed,
        clients,
        interval,
        journal_version: journal_version.clone(),
        repair_version: repair_version.clone(),
        migration_version,
    };
    let interval = elysia_core::cluster::spec::DEFAULT_INTERVAL;
    let Some(cluster) = cluster(spec, context) else {
        return Ok(scene(observed, None, interval, None));
    };
    observed.cluster = match judge::is_fit(cluster.status.as_ref()) {
        Ok(()) => ClusterSight::Fit,
        Err(why) => ClusterSight::Unfit(why),
    };
    let version = cluster.status.as_ref().and_then(|status| status.version.as_deref());
    observed.version = version.and_then(ServerVersion::parse);
    let cluster_spec = match ClusterSpec::validate(&cluster) {
        Ok(cluster_spec) => cluster_spec,
        Err(error) => {
            observed.cluster = ClusterSight::Unfit(error.to_string());
            observed.class = Sight::unseen(BlindnessKind::Failed, error.to_string());
            return Ok(scene(observed, None, interval, None));
        }
    };
    observed.target = Some(emptiness::target(&cluster, &cluster_spec));
    // A person protects the collection by the name that is declared, whichever class is live.
    let protection = |name: &str| cluster_spec.protection(name).map(str::to_owned);
    observed.protection = protection(&spec.declared).or_else(|| protection(&spec.collection));
    let clients = match open(&cluster, &cluster_spec, context).await {
        Ok(clients) => clients,
        Err(message) => {
            observed.class = Sight::unseen(BlindnessKind::Failed, message);
            return Ok(scene(observed, None, cluster_spec.interval, None));
        }
    };
    observed.nodes = cluster_spec.node_names();
    let (migrating, migration_version, live) = migration::resolve(spec, &clients, context).await;
    observed.migration = migrating;
    let live = match (&observed.migration, &spec.migration) {
        (Some(look), Some(wanted)) => live_amid_switch(&spec.declared, &wanted.alias, look),
        (None, _) | (_, None) => live,
    };
    let Live::Class(live) = live else {
        // Of which class anything could be asked is not known.
        return Ok(scene(observed, Some(clients), cluster_spec.interval, migration_version));
    };
    spec.collection = live;
    observed.protection = observed.protection.take().or_else(|| protection(&spec.collection));
    look(spec, &clients, &mut observed).await;
    if let Some(migrating) = &mut observed.migration {
        migrating.versions = versions::declare(spec, &observed.class, migrating, &before, observed.version);
        let live = (&observed.class, observed.version);
        migration::look(spec, object, &clients, context, live, migrating).boxed().await;
        let other = migrating.other.as_ref().and_then(|(name, _)| protection(name));
        observed.protection = observed.protection.take().or(other);
    }
    // Only by the collection itself those are known who mean it through another WeaviateCluster.
    let identity = observed.placement.seen().and_then(|placement| core_claims::identity(placement));
    observed.conflict = claims::older(object, &spec.collection, identity, context);
    replicas::look(spec, &cluster, &clients, &before, context, &mut observed).boxed().await;
    look_closer(spec, &clients, &before, context, &mut observed).boxed().await;
    Ok(scene(observed, Some(clients), cluster_spec.interval, migration_version))
}

/// The WeaviateCluster of a spec, from the cache.
pub(in crate::controllers) fn cluster_of(
    namespace: &str,
    name: &str,
    context: &Context,
) -> Option<std::sync::Arc<WeaviateCluster>> {
    let reference = kube::runtime::reflector::ObjectRef::new(name).within(namespace);
    context.stores.clusters.get(&reference)
}

fn cluster(spec: &CollectionSpec, context: &Context) -> Option<std::sync::Arc<WeaviateCluster>> {
    cluster_of(&spec.namespace, &spec.cluster, context)
}

/// Clients of a cluster for work, or why there are none.
pub(in crate::controllers) async fn open(
    cluster: &WeaviateCluster,
    spec: &ClusterSpec,
    context: &Context,
) -> Result<ClusterClients, String> {
    match context.connections.api_key(&context.kube, cluster, (context.now)()).await {
        Key::None => context.connections.open(spec, &context.stores, None, false),
        Key::Some(key) => context.connections.open(spec, &context.stores, Some(&key), false),
        Key::NoSecret(message) | Key::Unreadable(message) => Err(message),
    }
}

async fn look(spec: &CollectionSpec, clients: &ClusterClients, observed: &mut Observed) {
    let common = &clients.common;
    let collection = spec.collection.as_str();
    let (members, class, placement, operations, count) = futures::join!(
        common.nodes(),
        common.class(collection, SchemaRead::Leader),
        common.sharding_state(collection),
        // Those of every class: limits hold for all of them together.
        common.replication_operations(None),
        common.object_count(collection),
    );
    observed.members = sight(members).map(|members| {
        let mut names: Vec<String> =
            members.into_iter().filter(elysia_weaviate::NodeStatus::is_healthy).map(|member| member.name).collect();
        names.sort();
        names
    });
    observed.class = sight(class);
    observed.placement = match sight(placement) {
        Sight::Seen(Some(state)) => Sight::Seen(self::placement(&state)),
        Sight::Seen(None) => Sight::unseen(BlindnessKind::Failed, "the servers know no placement of the collection"),
        Sight::Unseen(blindness) => Sight::Unseen(blindness),
    };
    replicas::operations(spec, sight(operations), observed);
    let exists = matches!(observed.class, Sight::Seen(Some(_)));
    observed.count = exists.then(|| match sight(count) {
        Sight::Seen(Ok(count)) => Sight::Seen(i64::try_from(count).unwrap_or(i64::MAX)),
        Sight::Seen(Err(message)) => Sight::unseen(BlindnessKind::Failed, message),
        Sight::Unseen(blindness) => Sight::Unseen(blindness),
    });
}

/// Where the replicas are, as the core counts them.
pub(super) fn placement(state: &ShardingState) -> Vec<ShardReplicas> {
    let shards = state.shards.iter();
    shards.map(|shard| ShardReplicas { shard: shard.shard.clone(), replicas: shard.replicas.clone() }).collect()
}

async fn look_closer(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    before: &ElysiaCollectionStatus,
    context: &Context,
    observed: &mut Observed,
) {
    let asked = questions(spec, observed, before);
    replicas::look_closer(spec, clients, asked, context, observed).await;
    if asked.holder {
        observed.holder = Some(emptiness::holder(spec, clients, observed).await);
    }
    observed.recreate = emptiness::look(spec, clients, observed, asked.recreate).await;
}

/// The name of the class that a feed writes to: what it names, or where that alias leads; `None` when there is neither.
pub(in crate::controllers) async fn class_of(client: &Client, name: &str) -> Sight<Option<String>> {
    match client.class(name, SchemaRead::Leader).await {
        Err(WeaviateError::IsAlias { target, .. }) => Sight::Seen(Some(target)),
        answer => sight(answer).map(|class| class.map(|_| name.to_owned())),
    }
}

/// The class as JSON, for whoever only wants to know whether it is there.
pub(in crate::controllers) async fn exists(client: &Client, collection: &str) -> Sight<bool> {
    let class: Sight<Option<Value>> = sight(client.class(collection, SchemaRead::Leader).await);
    class.map(|class| class.is_some())
}
