//! Carries out the steps of a plan, in order, and stops at the first that fails.

use elysia_api::condition::Reason;
use elysia_core::collection::judge::Failure;
use elysia_core::collection::recreate::{Cursor, Journal, SETTLE};
use elysia_core::collection::{CollectionSpec, Plan, Step, schema};
use elysia_weaviate::WeaviateError;

use super::super::context::Shared;
use super::observe::Scene;
use super::{journal, repair};
use crate::controllers::connect::started_after;
use crate::effects::{EffectError, proof, replicas, weaviate};

pub(super) async fn act(
    plan: &Plan,
    spec: &CollectionSpec,
    scene: &Scene,
    context: &Shared,
) -> Result<(), EffectError> {
    if plan.steps.is_empty() {
        return Ok(());
    }
    let Some(clients) = &scene.clients else {
        return Err(EffectError::Refused("the cluster cannot be asked, so nothing is done".to_owned()));
    };
    let (common, collection) = (&clients.common, spec.collection.as_str());
    for step in &plan.steps {
        match step {
            Step::CreateClass(class) => {
                if let Err(error) = weaviate::create_class(common, class).await {
                    // Not as after other refusals: until the next round there is no collection.
                    return if make_old_again(&error, spec, scene, context).await? { Ok(()) } else { Err(error) };
                }
            }
            Step::AddProperty(property) => weaviate::add_property(common, collection, property).await?,
            Step::UpdateClass { base, class } => {
                if schema::class_factor(class) > schema::class_factor(base) {
                    context.repairs.raises(spec, (context.now)());
                }
                weaviate::update_class(common, collection, base, class).await?;
            }
            Step::Copy(copy) => weaviate::copy(common, collection, copy).await?,
            Step::ForgetOperation(id) => replicas::forget_operation(common, id).await?,
            Step::DropOperation(id) => replicas::drop_operation(common, id).await?,
            Step::CoolTenants(tenants) => replicas::cool_tenants(common, collection, tenants).await?,
            Step::RemoveReplica(removal) => {
                // Nothing else that takes data away runs beside it, and nobody else may lead by now.
                let _alone = context.destructive.lock().await;
                if !context.leading.is_certain() {
                    return Err(EffectError::Changed("another operator may lead by now".to_owned()));
                }
                replicas::remove_replica(common, &clients.nodes, collection, removal).await?;
            }
            Step::RemoveMember(node) => {
                let _alone = context.destructive.lock().await;
                if !context.leading.is_certain() {
                    return Err(EffectError::Changed("another operator may lead by now".to_owned()));
                }
                replicas::remove_member(common, &clients.data, node).await?;
            }
            Step::WriteRepair(journal) => repair::write(spec, journal, scene.repair_version.clone(), context).await?,
            Step::WriteJournal(journal) => {
                journal::write(spec, journal, scene.journal_version.clone(), context).await?;
            }
            Step::SetReadOnly { read_only, shards } => {
                let _alone = context.destructive.lock().await;
                weaviate::set_read_only(common, collection, shards, *read_only).await?;
            }
            Step::CreateTenants(tenants) => weaviate::create_tenants(common, collection, tenants).await?,
            Step::ProveAndDelete(journal) => {
                // Nothing else thaws or creates in between.
                let _alone = context.destructive.lock().await;
                let restarted = || restarted(journal, spec, context);
                let leads = || context.leading.is_certain();
                let deleted = proof::prove_and_delete(common, &clients.nodes, journal, restarted, leads).await;
                if let Err(EffectError::NotLeading) = deleted {
                    return deleted;
                }
                let next = after_proof(journal, deleted.as_ref().err(), (context.now)());
                journal::write(spec, &next, scene.journal_version.clone(), context).await?;
            }
        }
    }
    Ok(())
}

/// After a recreation's delete the collection must come back, if not with the new settings then with the old ones:
/// whether the next round creates those.
async fn make_old_again(
    error: &EffectError,
    spec: &CollectionSpec,
    scene: &Scene,
    context: &Shared,
) -> Result<bool, EffectError> {
    let EffectError::Weaviate { source, .. } = error else { return Ok(false) };
    let journal = scene.observed.journal.seen().and_then(Option::as_ref);
    if let (WeaviateError::Invalid { message, .. }, Some(journal)) = (source.as_ref(), journal)
        && let Some(next) = journal.with_old_schema(message, (context.now)())
    {
        context.metrics.failed_step("ElysiaCollection", error.reason());
        tracing::warn!(collection = next.collection, error = error.chain(), "the old collection is made again");
        journal::write(spec, &next, scene.journal_version.clone(), context).await?;
        return Ok(true);
    }
    Ok(false)
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
