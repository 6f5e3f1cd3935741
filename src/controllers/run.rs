//! Starts the caches and the controllers.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster, names};
use elysia_core::cluster::judge;
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::Api;
use kube::core::{PartialObjectMeta, ResourceExt as _};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Shared, Stores};
use super::{ReconcileError, backoff, backup, cluster, collection, feed, restore, watch};
use crate::effects::chain;
use crate::runtime::readiness::Readiness;

/// Objects of one kind that are reconciled at the same time. Enough that one slow cluster does not hold up the others,
/// few enough that a start with a thousand objects does not flood the API server.
const CONCURRENCY: u16 = 16;

/// The namespaces whose objects are watched and reconciled.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// Every one.
    #[default]
    All,
    /// This one alone.
    Namespace(String),
}

impl Scope {
    /// The scope that a setting names; all namespaces when it is absent or empty, as a chart's value is.
    pub fn of(namespace: Option<String>) -> Self {
        namespace.filter(|name| !name.is_empty()).map_or(Self::All, Self::Namespace)
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(name) => Api::namespaced(client.clone(), name),
        }
    }
}

/// A cache that is kept filled by a task of its own until stopped.
fn cache<K>(api: Api<K>, config: watcher::Config, stop: &CancellationToken) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api, config).default_backoff().reflect(writer).applied_objects();
    let stop = stop.clone();
    tokio::spawn(async move {
        let watch = stream.for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::warn!(kind = %K::kind(&()), error = chain(&error), "watch failed; it is tried again");
            }
            ready(())
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch => {}
        }
    });
    reader
}

/// Starts the caches. They are filled on a standby as well, so that it can take over at once.
pub fn start_caches(client: &Client, scope: &Scope, readiness: &Readiness, stop: &CancellationToken) -> Stores {
    let pods = watcher::Config::default().labels(names::CLUSTER_LABEL);
    let stores = Stores {
        clusters: cache(scope.api(client), watcher::Config::default(), stop),
        collections: cache(scope.api(client), watcher::Config::default(), stop),
        feeds: cache(scope.api(client), watcher::Config::default(), stop),
        backups: cache(scope.api(client), watcher::Config::default(), stop),
        restores: cache(scope.api(client), watcher::Config::default(), stop),
        pods: cache(scope.api(client), pods, stop),
    };
    for what in CACHES {
        readiness.wait_for(what);
    }
    stores
}

/// Names of the caches, as `/readyz` tells them.
const CACHES: [&str; 6] = [
    "cache of WeaviateClusters",
    "cache of ElysiaCollections",
    "cache of IndexSources",
    "cache of CollectionBackups",
    "cache of CollectionRestores",
    "cache of pods",
];

/// Waits until every cache is filled, or until stopped: whether they are.
///
/// The only one who waits for them: a store wakes one waiter.
pub async fn caches_are_filled(stores: &Stores, readiness: &Readiness, stop: &CancellationToken) -> bool {
    let [clusters, collections, feeds, backups, restores, pods] = CACHES;
    let all = async {
        futures::join!(
            filled(clusters, &stores.clusters, readiness),
            filled(collections, &stores.collections, readiness),
            filled(feeds, &stores.feeds, readiness),
            filled(backups, &stores.backups, readiness),
            filled(restores, &stores.restores, readiness),
            filled(pods, &stores.pods, readiness),
        )
    };
    tokio::select! {
        () = stop.cancelled() => false,
        outcome = all => outcome == (true, true, true, true, true, true),
    }
}

async fn filled<K>(what: &'static str, store: &Store<K>, readiness: &Readiness) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let filled = store.wait_until_ready().await.is_ok();
    if filled {
        readiness.is_there(what);
    }
    filled
}

/// Runs the controllers until stopped.
pub async fn run(context: Shared, scope: Scope, stop: CancellationToken) {
    futures::join!(
        drive("WeaviateCluster", clusters(&context, &scope, &stop)),
        drive("ElysiaCollection", collections(&context, &scope, &stop)),
        drive("IndexSource", feeds(&context, &scope, &stop)),
        drive("CollectionBackup", backups(&context, &scope, &stop)),
        drive("CollectionRestore", restores(&context, &scope, &stop)),
    );
}

type Outcome<K> = Result<(ObjectRef<K>, Action), kube::runtime::controller::Error<ReconcileError, watcher::Error>>;

async fn drive<K>(kind: &'static str, outcomes: impl Stream<Item = Outcome<K>>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    outcomes
        .for_each(|outcome| {
            match outcome {
                // A failed round was told by the error policy, which knows the object; an object that is not found was
                // deleted between the event and the round.
                Ok(_)
                | Err(
                    kube::runtime::controller::Error::ReconcilerFailed(..)
                    | kube::runtime::controller::Error::ObjectNotFound(_),
                ) => {}
                Err(error) => tracing::warn!(kind, error = chain(&error), "controller error"),
            }
            ready(())
        })
        .await;
}

/// Runs one round and counts it.
async fn counted<K>(
    kind: &'static str,
    context: &Shared,
    round: impl Future<Output = Result<K, ReconcileError>>,
) -> Result<K, ReconcileError> {
    let started = Instant::now();
    let outcome = round.await;
    let word = if outcome.is_ok() { "ok" } else { "error" };
    context.metrics.round(kind, word, started.elapsed());
    outcome
}

/// Logs the error and comes back later; each further error of the object comes later still.
fn after_error<K>(object: &K, error: &ReconcileError, context: &Context) -> Action
where
    K: Resource<DynamicType = ()>,
{
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let failures = context.failed(&key);
    tracing::warn!(
        kind = %K::kind(&()), object = key, failures, reason = error.reason(), error = chain(error), "reconcile failed"
    );
    Action::requeue(backoff(failures))
}

fn config() -> kube::runtime::controller::Config {
    kube::runtime::controller::Config::default().concurrency(CONCURRENCY)
}

/// Objects whose spec or annotations changed, or that are being deleted: not every status that was just written.
fn changed<K>(api: Api<K>, stop: &CancellationToken) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let stream =
        watcher(api, watcher::Config::default()).default_backoff().reflect(writer).applied_objects().predicate_filter(
            predicates::generation.combine(predicates::annotations),
            kube::runtime::PredicateConfig::default(),
        );
    Controller::for_stream(stream, reader).with_config(config()).graceful_shutdown_on(stop.clone().cancelled_owned())
}

fn labelled(label: &str) -> watcher::Config {
    watcher::Config::default().labels(label)
}

/// The object that the label of this one names, in its own namespace.
fn named_by_label<K, O>(label: &'static str) -> impl Fn(O) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
    O: Resource,
{
    move |object| {
        let name = object.labels().get(label)?;
        Some(ObjectRef::new(name).within(&object.namespace()?))
    }
}

fn clusters(
    context: &Shared,
    scope: &Scope,
    stop: &CancellationToken,
) -> impl Stream<Item = Outcome<WeaviateCluster>> + use<> {
    let client = &context.kube;
    changed(scope.api(client), stop)
        .watches(
            scope.api::<Pod>(client),
            labelled(names::CLUSTER_LABEL),
            named_by_label::<WeaviateCluster, _>(names::CLUSTER_LABEL),
        )
        .watches(
            scope.api::<StatefulSet>(client),
            labelled(names::CLUSTER_LABEL),
            named_by_label::<WeaviateCluster, _>(names::CLUSTER_LABEL),
        )
        .watches(
            scope.api::<Deployment>(client),
            labelled(names::CLUSTER_LABEL),
            named_by_label::<WeaviateCluster, _>(names::CLUSTER_LABEL),
        )
        // The journals: a recreation holds auto-schema off from one moment to the next.
        .watches(
            scope.api::<ConfigMap>(client),
            labelled(names::CLUSTER_LABEL),
            named_by_label::<WeaviateCluster, _>(names::CLUSTER_LABEL),
        )
        .run(
            |object, context: Arc<Context>| async move {
                counted("WeaviateCluster", &context, cluster::reconcile(object, context.clone())).await
            },
            |object, error, context| after_error(object.as_ref(), error, &context),
            context.clone(),
        )
}

fn collections(
    context: &Shared,
    scope: &Scope,
    stop: &CancellationToken,
) -> impl Stream<Item = Outcome<ElysiaCollection>> + use<> {
    let client = &context.kube;
    let migration = names::MIGRATION_LABEL;
    let store = context.stores.collections.clone();
    let written = store.clone();
    let restores = watcher(scope.api::<CollectionRestore>(client), watcher::Config::default()).default_backoff();
    let clusters = watcher(scope.api::<WeaviateCluster>(client), watcher::Config::default()).default_backoff();
    changed(scope.api(client), stop)
        // With each collection that is made the measures of its cluster move: a round for all of them each time would
        // grow with the square of their number.
        .watches_stream(watch::moved(clusters, judge::relied_on), move |cluster| {
            let (namespace, name) = (cluster.namespace(), cluster.name_any());
            store
                .state()
                .into_iter()
                .filter(|object| object.namespace() == namespace && object.spec.cluster_ref.name == name)
                .map(|object| ObjectRef::from_obj(object.as_ref()))
                .collect::<Vec<_>>()
        })
        // A collection that begins with a backup waits for the restore that it made.
        .watches_stream(watch::moved(restores, told), |restore| {
            let kind = ElysiaCollection::kind(&());
            let owner =
                restore.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == kind)?;
            Some(ObjectRef::new(&owner.name).within(&restore.namespace()?))
        })
        // What a feed has written shows in the number of objects.
        .watches(scope.api::<IndexSource>(client), watcher::Config::default(), move |feed| {
            written
                .state()
                .into_iter()
                .filter(|object| {
                    object.namespace() == feed.namespace()
                        && object.spec.cluster_ref == feed.spec.cluster_ref
                        && (object.spec.collection == feed.spec.collection
                            || object.spec.migration.as_ref().is_some_and(|of| of.alias == feed.spec.collection))
                })
                .map(|object| ObjectRef::from_obj(object.as_ref()))
                .collect::<Vec<_>>()
        })
        .watches(scope.api::<Job>(client), labelled(migration), named_by_label::<ElysiaCollection, _>(migration))
        .watches(scope.api::<ConfigMap>(client), labelled(migration), named_by_label::<ElysiaCollection, _>(migration))
        .run(
            |object, context: Arc<Context>| async move {
                counted("ElysiaCollection", &context, collection::reconcile(object, context.clone())).await
            },
            |object, error, context| after_error(object.as_ref(), error, &context),
            context.clone(),
        )
}

/// What a restore tells of itself.
fn told(restore: &CollectionRestore) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().map(|one| format!("{}={}: {}", one.type_, one.status, one.message));
    format!("{:?} {}", status.phase, conditions.collect::<Vec<_>>().join("\n"))
}

fn feeds(
    context: &Shared,
    scope: &Scope,
    stop: &CancellationToken,
) -> impl Stream<Item = Outcome<IndexSource>> + use<> {
    let client = &context.kube;
    let store = context.stores.feeds.clone();
    changed(scope.api(client), stop)
        .watches(
            scope.api::<Job>(client),
            labelled(names::FEED_LABEL),
            named_by_label::<IndexSource, _>(names::FEED_LABEL),
        )
        .watches(
            scope.api::<ConfigMap>(client),
            labelled(names::FEED_LABEL),
            named_by_label::<IndexSource, _>(names::FEED_LABEL),
        )
        // A changed ConfigMap of a user carries no label of ours, so names are compared; only metadata is watched.
        .watches(scope.api::<PartialObjectMeta<ConfigMap>>(client), watcher::Config::default(), move |config| {
            let (namespace, name) = (config.namespace(), config.name_any());
            store
                .state()
                .into_iter()
                .filter(|feed| {
                    feed.namespace() == namespace
                        && feed.spec.source.config_map.as_ref().is_some_and(|source| source.name == name)
                })
                .map(|feed| ObjectRef::from_obj(feed.as_ref()))
                .collect::<Vec<_>>()
        })
        .run(
            |object, context: Arc<Context>| async move {
                counted("IndexSource", &context, feed::reconcile(object, context.clone())).await
            },
            |object, error, context| after_error(object.as_ref(), error, &context),
            context.clone(),
        )
}

fn backups(
    context: &Shared,
    scope: &Scope,
    stop: &CancellationToken,
) -> impl Stream<Item = Outcome<CollectionBackup>> + use<> {
    let client = &context.kube;
    let label = names::BACKUP_LABEL;
    changed(scope.api(client), stop)
        .watches(scope.api::<Job>(client), labelled(label), named_by_label::<CollectionBackup, _>(label))
        .watches(scope.api::<ConfigMap>(client), labelled(label), named_by_label::<CollectionBackup, _>(label))
        .run(
            |object, context: Arc<Context>| async move {
                counted("CollectionBackup", &context, backup::reconcile(object, context.clone())).await
            },
            |object, error, context| after_error(object.as_ref(), error, &context),
            context.clone(),
        )
}

fn restores(
    context: &Shared,
    scope: &Scope,
    stop: &CancellationToken,
) -> impl Stream<Item = Outcome<CollectionRestore>> + use<> {
    let client = &context.kube;
    let label = names::RESTORE_LABEL;
    changed(scope.api(client), stop)
        .watches(scope.api::<Job>(client), labelled(label), named_by_label::<CollectionRestore, _>(label))
        .watches(scope.api::<ConfigMap>(client), labelled(label), named_by_label::<CollectionRestore, _>(label))
        .run(
            |object, context: Arc<Context>| async move {
                counted("CollectionRestore", &context, restore::reconcile(object, context.clone())).await
            },
            |object, error, context| after_error(object.as_ref(), error, &context),
            context.clone(),
        )
}
