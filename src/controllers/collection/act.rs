//! Carries out the steps of a plan, in order, and stops at the first that fails.

use elysia_api::ElysiaCollection;
use elysia_api::condition::Reason;
use elysia_core::collection::judge::Failure;
use elysia_core::collection::recreate::{Cursor, Journal, SETTLE};
use elysia_core::collection::repair::Journal as RepairJournal;
use elysia_core::collection::{self, CollectionSpec, Plan, Step, schema};
use elysia_core::sight::Sight;
use elysia_weaviate::WeaviateError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;

use super::super::audit::Trail;
use super::super::connect::{ClusterClients, started_after};
use super::super::context::Shared;
use super::observe::Scene;
use super::{fresh, journal, migration, repair};
use crate::effects::{EffectError, kubernetes, proof, replicas, weaviate};

/// What became of the steps of a plan.
#[derive(Debug)]
pub(super) struct Acted {
    /// Steps that were carried out, journals that were written on the way among them.
    pub(super) done: Vec<Step>,
    /// Why the next one was not.
    pub(super) error: Option<EffectError>,
}

pub(super) async fn act(
    plan: &Plan,
    whose: (&ElysiaCollection, &CollectionSpec),
    scene: &Scene,
    trail: &Trail,
    context: &Shared,
) -> Acted {
    let mut done = Vec::new();
    let error = steps(plan, whose, scene, trail, context, &mut done).await.err();
    Acted { done, error }
}

async fn steps(
    plan: &Plan,
    (object, spec): (&ElysiaCollection, &CollectionSpec),
    scene: &Scene,
    trail: &Trail,
    context: &Shared,
    done: &mut Vec<Step>,
) -> Result<(), EffectError> {
    if plan.steps.is_empty() {
        return Ok(());
    }
    let Some(clients) = &scene.clients else {
        return Err(EffectError::Refused("the cluster cannot be asked, so nothing is done".to_owned()));
    };
    for step in &plan.steps {
        match step {
            Step::ProveAndDelete(journal) => {
                // Nothing else thaws or creates in between.
                let _alone = context.destructive.lock().await;
                let restarted = || restarted(journal, spec, context);
                let leads = || context.leading.is_certain();
                let goes_on = async || goes_on(journal, spec, context).await;
                let (common, nodes, stopwatch) = (&clients.common, &clients.nodes, context.stopwatch);
                let deleted =
                    proof::prove_and_delete(common, nodes, journal, goes_on, restarted, leads, stopwatch).await;
                trail.step(step, deleted.as_ref().err());
                if let Err(EffectError::NotLeading) = deleted {
                    return deleted;
                }
                if deleted.is_ok() {
                    done.push(step.clone());
                }
                let next = after_proof(journal, deleted.as_ref().err(), (context.now)());
                done.push(keep(next, spec, scene, trail, context).await?);
            }
            step => {
                let result = carry_out(step, (object, spec), scene, clients, context).await;
                trail.step(step, result.as_ref().err());
                match (step, result) {
                    (_, Ok(())) => done.push(step.clone()),
                    (Step::CreateClass(_), Err(error)) => {
                        // Not as after other refusals: until the next round there is no collection.
                        let Some(next) = make_old_again(&error, scene, context) else { return Err(error) };
                        done.push(keep(next, spec, scene, trail, context).await?);
                        return Ok(());
                    }
                    (_, Err(error)) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// One step that writes nothing but what it says.
async fn carry_out(
    step: &Step,
    (object, spec): (&ElysiaCollection, &CollectionSpec),
    scene: &Scene,
    clients: &ClusterClients,
    context: &Shared,
) -> Result<(), EffectError> {
    let (common, collection) = (&clients.common, spec.collection.as_str());
    match step {
        Step::CreateClass(class) => weaviate::create_class(common, class).await,
        Step::StartRestore(restore) => {
            let owner = OwnerReference {
                api_version: ElysiaCollection::api_version(&()).into_owned(),
                kind: ElysiaCollection::kind(&()).into_owned(),
                name: spec.name.clone(),
                uid: spec.uid.clone(),
                controller: Some(true),
                block_owner_deletion: None,
            };
            kubernetes::create_once_under(&context.kube, (**restore).clone(), owner).await.map(drop)
        }
        Step::AddProperty(property) => weaviate::add_property(common, collection, property).await,
        Step::UpdateClass { base, class } => {
            if schema::class_factor(class) > schema::class_factor(base) {
                context.repairs.raises(spec, (context.now)());
            }
            weaviate::update_class(common, collection, base, class).await
        }
        Step::Copy(copy) => weaviate::copy(common, collection, copy).await,
        Step::ForgetOperation(id) => replicas::forget_operation(common, id).await,
        Step::DropOperation(id) => replicas::drop_operation(common, id).await,
        Step::CoolTenants(tenants) => replicas::cool_tenants(common, collection, tenants).await,
        Step::RemoveReplica(removal) => {
            // Nothing else that takes data away runs beside it.
            let _alone = context.destructive.lock().await;
            let stands = async || removes_still(spec, scene, context).await;
            replicas::remove_replica(common, &clients.nodes, collection, removal, stands).await
        }
        Step::RemoveMember(node) => {
            let _alone = context.destructive.lock().await;
            let stands = async || removes_still(spec, scene, context).await;
            replicas::remove_member(common, &clients.data, node, stands).await
        }
        Step::WriteRepair(journal) => repair::write(spec, journal, scene.repair_version.clone(), context).await,
        Step::WriteJournal(journal) => journal::write(spec, journal, scene.journal_version.clone(), context).await,
        Step::SetReadOnly { read_only, shards } => {
            let _alone = context.destructive.lock().await;
            if *read_only {
                freezes_still(spec, scene, context).await?;
            }
            weaviate::set_read_only(common, collection, shards, *read_only).await
        }
        Step::CreateTenants(tenants) => weaviate::create_tenants(common, collection, tenants).await,
        Step::Migration(act) => {
            migration::act(act, spec, object, scene.migration_version.clone(), clients, context).await
        }
        Step::ProveAndDelete(_) => {
            Err(EffectError::Refused("a delete is not carried out without its proof".to_owned()))
        }
    }
}

/// Writes a journal that follows from what became of a step, and is no step of the plan.
async fn keep(
    next: Journal,
    spec: &CollectionSpec,
    scene: &Scene,
    trail: &Trail,
    context: &Shared,
) -> Result<Step, EffectError> {
    let written = journal::write(spec, &next, scene.journal_version.clone(), context).await;
    let step = Step::WriteJournal(Box::new(next));
    trail.step(&step, written.as_ref().err());
    written.map(|()| step)
}

/// After a recreation's delete the collection must come back, if not with the new settings then with the old ones: the
/// journal by which the next round creates those, if that helps.
fn make_old_again(error: &EffectError, scene: &Scene, context: &Shared) -> Option<Journal> {
    let EffectError::Weaviate { source, .. } = error else { return None };
    let WeaviateError::Invalid { message, .. } = source.as_ref() else { return None };
    let journal = scene.observed.journal.seen().and_then(Option::as_ref)?;
    let next = journal.with_old_schema(message, (context.now)())?;
    context.metrics.failed_step("ElysiaCollection", error.reason());
    tracing::warn!(collection = next.collection, error = error.chain(), "the old collection is made again");
    Some(next)
}

/// Whether an approved delete is still wanted, asked of the API server: the round may have waited for others, and counted for
/// minutes, since it took the object from its cache.
async fn goes_on(journal: &Journal, spec: &CollectionSpec, context: &Shared) -> Result<(), EffectError> {
    let object = fresh::standing(spec, context).await?;
    // One that contradicts itself by now calls it off, as in the next round.
    let now = CollectionSpec::validate(&object)
        .unwrap_or_else(|why| CollectionSpec::of_invalid_recreation(&object, journal, &why));
    // Which class is live was asked of the servers in this round.
    let now = CollectionSpec { collection: spec.collection.clone(), ..now };
    let protection = fresh::protection(&now, context).await?;
    match collection::called_off(&now, protection.as_deref(), journal) {
        Some(why) => Err(EffectError::Refused(why)),
        None => Ok(()),
    }
}

/// Whether what is about to be frozen is still to be deleted: of an object that is gone by now nobody may have been left to make
/// it writable again.
async fn freezes_still(spec: &CollectionSpec, scene: &Scene, context: &Shared) -> Result<(), EffectError> {
    let Some(journal) = scene.observed.journal.seen().and_then(Option::as_ref) else {
        return Err(EffectError::Refused("nothing is frozen without a journal".to_owned()));
    };
    match goes_on(journal, spec, context).await {
        // The next round writes down that it is called off.
        Err(EffectError::Refused(why)) => Err(EffectError::Changed(why)),
        answer => answer,
    }
}

/// Whether an approved plan that takes replicas away still stands, asked of the API server: the round may have waited for others,
/// and compared for minutes. Its approval is in its journal and nowhere else: the annotation is inert by now, and may be gone.
async fn removes_still(spec: &CollectionSpec, scene: &Scene, context: &Shared) -> Result<(), EffectError> {
    let object = fresh::standing(spec, context).await?;
    let now = CollectionSpec::validate(&object).map_err(EffectError::Changed)?;
    let now = CollectionSpec { collection: spec.collection.clone(), ..now };
    if fresh::cluster(&now, context).await?.is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some()) {
        return Err(EffectError::Changed(format!("WeaviateCluster {} is gone or being deleted", spec.cluster)));
    }
    let approved = scene.observed.repair.journal.seen().and_then(Option::as_ref);
    let stands = |journal: &RepairJournal| {
        !journal.over && approved.is_some_and(|approved| approved.is_of_the_same_plan(journal))
    };
    match repair::read(spec, context).await.0 {
        Sight::Seen(Some(journal)) if stands(&journal) => match journal.held_up(&now) {
            Some(why) => Err(EffectError::Changed(why)),
            // Nobody else may lead by now.
            None => context.must_lead(),
        },
        Sight::Seen(_) => Err(EffectError::Changed("the approved plan is over, or its journal is gone".to_owned())),
        Sight::Unseen(blindness) => Err(EffectError::Changed(blindness.message)),
    }
}

/// Servers that were started after the shards were made read-only.
fn restarted(journal: &Journal, spec: &CollectionSpec, context: &Shared) -> Vec<String> {
    // Journals of older releases do not say when.
    let frozen = journal.frozen_since.or_else(|| journal.since.checked_sub(SETTLE).ok()).unwrap_or(journal.since);
    started_after(frozen, &spec.namespace, &spec.cluster, context)
}

/// The journal after the attempt to prove and delete. Whether a delete that failed midway happened is not known here:
/// the cursor stays, and the next look finds the class there or gone.
fn after_proof(journal: &Journal, error: Option<&EffectError>, now: jiff::Timestamp) -> Journal {
    let (cursor, stopped) = match error {
        None => (Cursor::WaitGone, None),
        Some(EffectError::Refused(why)) => (Cursor::Thaw, Some(why.clone())),
        // The servers may still be at it. They stay frozen until that is over, then it is looked at anew.
        Some(
            EffectError::Weaviate { .. }
            | EffectError::Kubernetes { .. }
            | EffectError::Changed(_)
            | EffectError::NotLeading,
        ) => (Cursor::Settle, None),
    };
    Journal { cursor, stopped, since: now, ..journal.clone() }
}

/// A failed step as the conditions tell it.
pub(super) fn failure(error: &EffectError, plan: &Plan) -> Failure {
    let mut failure = error.failure();
    let raises_factor = plan.steps.iter().any(|step| matches!(step, Step::UpdateClass { .. }))
        && plan.findings.iter().any(|finding| finding.reason == Reason::ReplicasBehind);
    failure.reason = match error {
        EffectError::Weaviate { source, .. } => match source.as_ref() {
            WeaviateError::Invalid { .. } if raises_factor => Reason::FactorFixed,
            WeaviateError::NotSupported { .. } => Reason::CopyUnsupported,
            WeaviateError::Denied { .. } => Reason::Unauthorized,
            WeaviateError::Invalid { .. } => Reason::InvalidSpec,
            error if error.retryable() => Reason::Unreachable,
            _ => Reason::Unknown,
        },
        EffectError::Kubernetes { .. }
        | EffectError::Changed(_)
        | EffectError::NotLeading
        | EffectError::Refused(_) => Reason::Unknown,
    };
    failure
}
