//! Rounds over an object that is being deleted, and the finalizer that makes them happen.

use std::collections::BTreeMap;

use elysia_api::collection::{DeletionPolicy, ElysiaCollectionStatus};
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::{ElysiaCollection, WeaviateCluster, names};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::deletion::{self, ClusterFate, Decision, Look, Outcome};
use elysia_core::collection::happening::{Happened, Happening};
use elysia_core::collection::migration::Live;
use elysia_core::collection::{CollectionSpec, claims as core_claims};
use elysia_core::condition::{self, Finding};
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_weaviate::{NodeStatus, ReplicationState, SchemaRead};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::ResourceExt as _;
use kube::runtime::controller::Action;

use super::super::audit::Trail;
use super::super::connect::{ClusterClients, sight};
use super::super::context::Context;
use super::super::{ReconcileError, requeue};
use super::{bootstrap, claims, fresh, journal, migration, observe};
use crate::effects::finalizer::set_finalizer;
use crate::effects::{EffectError, chain, kubernetes, migration as effects, weaviate};

/// The reason of a cluster that sleeps, as its conditions say it.
const HIBERNATED: &str = "Hibernated";

/// How soon to look again at an object that changed while its finalizer was written.
pub(super) const AFTER_CONFLICT: SignedDuration = deletion::RECHECK;

/// How often the nodes are asked in one round whether a deleted collection is gone. Those that follow apply a delete a
/// few milliseconds after the call returns; a further round costs ten calls.
const ASKED_AFTER_DELETE: usize = 3;

/// Keeps the finalizer as the spec asks for it; whether it is so. `conflict`: whether an older resource claims the
/// collection.
pub(super) async fn keep_finalizer(
    object: &ElysiaCollection,
    spec: &CollectionSpec,
    conflict: bool,
    context: &Context,
) -> Result<bool, EffectError> {
    let has_it = is_held(object);
    let cluster = observe::cluster_of(&spec.namespace, &spec.cluster, context).is_some();
    let wanted = deletion::wants_finalizer(spec.deletion_policy, conflict, cluster, has_it);
    match set_finalizer(&context.kube, object, names::COLLECTION_FINALIZER, wanted).await {
        Ok(_) => Ok(true),
        // The cache is a moment behind.
        Err(EffectError::Changed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_held(object: &ElysiaCollection) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == names::COLLECTION_FINALIZER)
}

/// One round over an object that is being deleted.
pub(super) async fn reconcile(object: &ElysiaCollection, context: &Context) -> Result<Action, ReconcileError> {
    if !is_held(object) {
        return Ok(Action::await_change());
    }
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let (mut look, clients) = look(object, context).await;
    let mut decision = deletion::decide(&look);
    if decision == Decision::Delete {
        let (last, clients) = match delete(object, context).await {
            Ok(Some(deleted)) => deleted,
            // The next round says what came of it.
            Ok(None) => return Ok(requeue(deletion::RECHECK, &key)),
            Err(error) => {
                context.metrics.failed_step("ElysiaCollection", error.reason());
                tracing::warn!(object = key, error = error.chain(), "a collection could not be deleted");
                let message = format!("it is tried again: {}", error.chain());
                report(object, &message, context).await?;
                return Ok(requeue(deletion::RECHECK_LATER, &key));
            }
        };
        look = last;
        let message = format!("deleted collection {}, as deletionPolicy says", look.collection);
        context.tell_happenings(object, &[Happening::new(Happened::CollectionDeleted, message)]).await;
        look.class = Sight::Seen(false);
        for _ in 0..ASKED_AFTER_DELETE {
            look.nodes = nodes(&look.collection, &clients).await;
            decision = deletion::decide(&look);
            if let Decision::Release(outcome) = decision {
                drop_alias(object, &look.collection, &outcome, Some(&clients), context).await?;
                return release(object, (&look.collection, &outcome), &key, true, context).await;
            }
        }
    }
    match decision {
        Decision::Release(outcome) => {
            drop_alias(object, &look.collection, &outcome, clients.as_ref(), context).await?;
            release(object, (&look.collection, &outcome), &key, false, context).await
        }
        Decision::Hold { message, recheck } => {
            report(object, &message, context).await?;
            context.succeeded(&key);
            Ok(requeue(recheck, &key))
        }
        Decision::EndRestore { name, uid } => {
            kubernetes::delete_restore(&context.kube, &object.namespace().unwrap_or_default(), &name, &uid).await?;
            let message = format!("CollectionRestore {name}, which fills the collection, is ended first");
            report(object, &message, context).await?;
            context.succeeded(&key);
            Ok(requeue(deletion::RECHECK, &key))
        }
        // Not of a class that was deleted just now.
        Decision::Delete => Ok(requeue(deletion::RECHECK_LATER, &key)),
    }
}

/// `told`: whether an Event of this round said already what became of the collection.
async fn release(
    object: &ElysiaCollection,
    (collection, outcome): (&str, &Outcome),
    key: &str,
    told: bool,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let message = outcome.message(collection);
    if !told {
        // First, so that a crash tells it twice and not never.
        context.tell(object, outcome.reason(), matches!(outcome, Outcome::Kept(_)), "Delete", &message).await;
    }
    match set_finalizer(&context.kube, object, names::COLLECTION_FINALIZER, false).await {
        Ok(_) => {}
        Err(EffectError::Changed(_)) => return Ok(requeue(deletion::RECHECK, key)),
        Err(error) => return Err(error.into()),
    }
    tracing::info!(object = key, outcome = message, "let the object go");
    context.metrics.deletion(outcome);
    context.succeeded(key);
    Ok(Action::await_change())
}

/// Deletes the class, and gives the look after which it did. The field `deletionPolicy: Delete` is what names it (design, law 2).
/// `None`: that does not hold any more.
async fn delete(object: &ElysiaCollection, context: &Context) -> Result<Option<(Look, ClusterClients)>, EffectError> {
    // No proof, thaw or create of a recreation runs beside it.
    let _alone = context.destructive.lock().await;
    // That may have taken minutes, in which a person may have thought better of it or a backup begun.
    let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
    let Some(object) = fresh::object(&namespace, &object.name_any(), &uid, context).await? else { return Ok(None) };
    let (look, clients) = look(&object, context).await;
    let (Decision::Delete, Some(clients)) = (deletion::decide(&look), clients) else { return Ok(None) };
    let leads = || context.leading.is_certain();
    let deleted = weaviate::delete_class(&clients.common, &look.collection, leads).await;
    Trail::of_deletion(&object, context).after("delete_class", &[], deleted)?;
    Ok(Some((look, clients)))
}

/// The alias of a migration goes with the class that was live, and after it: until then it says which one that is. A class
/// that is kept for going back stays; it is not the declared one any more.
async fn drop_alias(
    object: &ElysiaCollection,
    collection: &str,
    outcome: &Outcome,
    clients: Option<&ClusterClients>,
    context: &Context,
) -> Result<(), EffectError> {
    let (Some(migration), Outcome::Deleted, Some(clients)) = (&object.spec.migration, outcome, clients) else {
        return Ok(());
    };
    let target = clients.common.alias(&migration.alias).await;
    let target = target.map_err(EffectError::weaviate(format!("read alias {}", migration.alias)))?;
    if target.as_deref() != Some(collection) {
        return Ok(());
    }
    context.must_lead()?;
    let deleted = effects::delete_alias(&clients.common, &migration.alias).await;
    Trail::of_deletion(object, context).after("delete_alias", std::slice::from_ref(&migration.alias), deleted)
}

async fn look(object: &ElysiaCollection, context: &Context) -> (Look, Option<ClusterClients>) {
    let unasked = || BlindnessKind::Failed;
    let collection = object.spec.collection.clone();
    let since = object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let mut look = Look {
        policy: object.spec.deletion_policy,
        invalid: None,
        paused: object.annotations().get(names::PAUSED_ANNOTATION).map(String::as_str) == Some("true"),
        cluster: ClusterFate::There,
        terminating: Sight::Seen(false),
        rival: None,
        protection: None,
        class: Sight::unseen(unasked(), "not asked"),
        restore: Sight::unseen(unasked(), "not asked"),
        journal: Sight::unseen(unasked(), "not asked"),
        busy: Sight::unseen(unasked(), "not asked"),
        nodes: BTreeMap::new(),
        waited: since.map(|since| (context.now)().duration_since(since)).unwrap_or_default(),
        collection,
    };
    if look.policy == DeletionPolicy::Retain {
        return (look, None);
    }
    let mut spec = match CollectionSpec::validate(object) {
        Ok(spec) => spec,
        Err(message) => {
            look.invalid = Some(message);
            return (look, None);
        }
    };
    look.rival = claims::rival(object, &spec.collection, None, context);
    look.terminating = terminating(&spec.namespace, context).await;
    // What follows from it cannot be taken back.
    let cluster = match fresh::cluster(&spec, context).await {
        Ok(Some(cluster)) => cluster,
        Ok(None) => {
            look.cluster = ClusterFate::Missing;
            return (look, None);
        }
        Err(error) => {
            look.class = Sight::unseen(BlindnessKind::Failed, error.chain());
            return (look, None);
        }
    };
    look.cluster = fate(&cluster);
    let cluster_spec = match ClusterSpec::validate(&cluster) {
        Ok(cluster_spec) => cluster_spec,
        Err(error) => {
            look.class = Sight::unseen(BlindnessKind::Failed, format!("WeaviateCluster {}: {error}", spec.cluster));
            return (look, None);
        }
    };
    look.protection = cluster_spec.protection(&spec.collection).map(str::to_owned);
    if look.cluster != ClusterFate::There {
        return (look, None);
    }
    let clients = match observe::open(&cluster, &cluster_spec, context).await {
        Ok(clients) => clients,
        Err(message) => {
            look.class = Sight::unseen(BlindnessKind::Failed, message);
            return (look, None);
        }
    };
    match migration::resolve(&spec, &clients, context).await.2 {
        Live::Class(class) => spec.collection = class,
        Live::Unseen(kind, why) => {
            look.class = Sight::unseen(kind, why);
            return (look, Some(clients));
        }
        Live::Unclear(why) => {
            look.class = Sight::unseen(BlindnessKind::Failed, why);
            return (look, Some(clients));
        }
    }
    look.collection.clone_from(&spec.collection);
    // By the name that is declared it was asked already; either protects the class.
    look.protection = look.protection.take().or_else(|| cluster_spec.protection(&spec.collection).map(str::to_owned));
    look.journal =
        journal::read(&spec, context).await.0.map(|journal| journal.is_some_and(|journal| !journal.cursor.is_over()));
    // Before the class: one that is seen afterwards and then deleted is made by nobody again.
    look.restore = bootstrap::restoring(object, context).await;
    look.class = observe::exists(&clients.common, &spec.collection).await;
    match look.class {
        Sight::Seen(true) => {
            look.busy = busy(&spec.collection, &clients).await;
            // The rival may be one who means the very same collection through another cluster.
            let placement = sight(clients.common.sharding_state(&spec.collection).await);
            let identity = placement
                .seen()
                .and_then(Option::as_ref)
                .and_then(|state| core_claims::identity(&observe::placement(state)));
            look.rival = claims::rival(object, &spec.collection, identity, context);
        }
        Sight::Seen(false) => look.nodes = nodes(&spec.collection, &clients).await,
        Sight::Unseen(_) => {}
    }
    (look, Some(clients))
}

fn fate(cluster: &WeaviateCluster) -> ClusterFate {
    if cluster.metadata.deletion_timestamp.is_some() {
        return ClusterFate::Deleting;
    }
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let sleeps = condition::find(conditions, ConditionType::Ready).is_some_and(|ready| ready.reason == HIBERNATED);
    if sleeps { ClusterFate::Hibernated } else { ClusterFate::There }
}

async fn terminating(namespace: &str, context: &Context) -> Sight<bool> {
    let api: Api<Namespace> = Api::all(context.kube.clone());
    match api.get(namespace).await {
        Ok(namespace) => Sight::Seen(namespace.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            let message = format!("Namespace {namespace} could not be read: {}", chain(&error));
            Sight::unseen(BlindnessKind::Failed, message)
        }
    }
}

/// A backup or a copy that runs.
async fn busy(collection: &str, clients: &ClusterClients) -> Sight<Option<String>> {
    let (backup, operations) =
        futures::join!(clients.common.backup_in_progress(), clients.common.replication_operations(Some(collection)));
    match sight(backup) {
        Sight::Seen(Some(false)) => {}
        Sight::Seen(Some(true)) => return Sight::Seen(Some("a backup runs".to_owned())),
        Sight::Seen(None) => return Sight::unseen(BlindnessKind::Failed, "the servers do not list their backups"),
        Sight::Unseen(blindness) => return Sight::Unseen(blindness),
    }
    let copies = match sight(operations) {
        Sight::Seen(operations) => operations.iter().filter(|operation| is_active(&operation.state)).count(),
        // Servers that cannot copy copy nothing.
        Sight::Unseen(blindness) if blindness.kind == BlindnessKind::Unsupported => 0,
        Sight::Unseen(blindness) => return Sight::Unseen(blindness),
    };
    Sight::Seen((copies > 0).then(|| format!("{copies} copies of replicas run")))
}

fn is_active(state: &ReplicationState) -> bool {
    !matches!(state, ReplicationState::Ready | ReplicationState::Cancelled)
}

/// Whether each living node has the class still.
async fn nodes(collection: &str, clients: &ClusterClients) -> BTreeMap<String, Option<bool>> {
    let members = sight(clients.common.nodes().await);
    let lives = |name: &str| match &members {
        Sight::Seen(members) => {
            members.iter().filter(|member| NodeStatus::is_healthy(member)).any(|member| member.name == name)
        }
        Sight::Unseen(_) => true,
    };
    let asked = clients.nodes.iter().filter(|(name, _)| lives(name)).map(async |(name, client)| {
        let there = client.class(collection, SchemaRead::Local).await.ok().map(|class| class.is_some());
        (name.clone(), there)
    });
    join_all(asked).await.into_iter().collect()
}

/// Tells in the status what the object waits for.
async fn report(object: &ElysiaCollection, message: &str, context: &Context) -> Result<(), ReconcileError> {
    let before = object.status.clone().unwrap_or_default();
    let status = status(object, &before, message, (context.now)());
    kubernetes::report(&context.kube, object, object.status.as_ref(), &status).await?;
    context.tell_transition(object, &before.conditions, &status.conditions).await;
    Ok(())
}

fn status(
    object: &ElysiaCollection,
    before: &ElysiaCollectionStatus,
    message: &str,
    now: Timestamp,
) -> ElysiaCollectionStatus {
    let findings = [
        Finding::fails(ConditionType::Ready, Reason::Deleting, message),
        Finding::holds(ConditionType::Reconciling, Reason::Deleting, message),
    ];
    let replaced =
        [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::as_str);
    let mut conditions = condition::merge(&before.conditions, &findings, object.metadata.generation, now);
    let others = before.conditions.iter().filter(|condition| !replaced.contains(&condition.type_.as_str()));
    conditions.extend(others.cloned());
    ElysiaCollectionStatus { observed_generation: object.metadata.generation, plan: None, conditions, ..before.clone() }
}
