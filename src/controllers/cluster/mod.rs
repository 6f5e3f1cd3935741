//! Brings a WeaviateCluster nearer to its spec.

pub(in crate::controllers) mod engine;
mod migrations;
mod observe;
mod orphans;
pub(in crate::controllers) mod verify;

pub(in crate::controllers) use observe::HOLDS_AUTO_SCHEMA_OFF;

use std::sync::Arc;

use elysia_api::WeaviateCluster;
use elysia_core::cluster::desired::Objects;
use elysia_core::cluster::judge::Outcome;
use elysia_core::cluster::{self, ClusterSpec, Plan, Step, judge};
use kube::Client;
use kube::runtime::controller::Action;

use super::context::Shared;
use super::{ReconcileError, requeue};
use crate::effects::{EffectError, kubernetes};

/// One round. Never waits: waiting is a requeue.
pub async fn reconcile(cluster: Arc<WeaviateCluster>, context: Shared) -> Result<Action, ReconcileError> {
    if cluster.metadata.deletion_timestamp.is_some() {
        // No finalizer: what has an owner goes with it, volumes and keys stay.
        return Ok(Action::await_change());
    }
    let now = (context.now)();
    let key = judge::display_name(&cluster);
    let before = cluster.status.clone().unwrap_or_default();
    let (status, action, acted) = match ClusterSpec::validate(&cluster) {
        Err(error) => (judge::invalid(&cluster, &error.to_string(), now), Action::await_change(), Ok(())),
        Ok(spec) => {
            let mut observed = observe::observe(&spec, &cluster, &context).await?;
            let journals = orphans::active_journals(&spec, &cluster, &context).await?;
            let migrations = migrations::orphans(&spec, &context).await?;
            engine::look(&spec, &cluster, !journals.is_empty(), &context, &mut observed).await;
            let plan = cluster::plan(&spec, &observed, !journals.is_empty(), now);
            let (acted, ended) = if judge::is_paused(&cluster) {
                (Ok(false), Ok(()))
            } else {
                let ended = orphans::end(&journals, &spec, &cluster, &context).await;
                let ended = ended.and(migrations::end(&migrations, &spec, &cluster, &context).await);
                (act(&plan, &spec, &cluster, &context).await, ended)
            };
            let outcome = outcome(&acted);
            let mut status = judge::status(&cluster, &spec, &observed, &outcome, now);
            verify::verify(&spec, &cluster, &mut status, !judge::is_paused(&cluster), &context).await;
            let recheck = match outcome {
                Outcome::Failed { .. } => spec.interval,
                _ if judge::is_settling(&observed, &outcome) => plan.recheck.min(cluster::plan::RECHECK),
                Outcome::Unchanged | Outcome::Applied => plan.recheck,
            };
            // A journal that is not over may lose its object at any moment.
            let recheck = if journals.is_empty() && migrations.is_empty() {
                recheck
            } else {
                recheck.min(cluster::plan::RECHECK)
            };
            (status, requeue(recheck, &key), worth_another_try(acted, &key).and(ended))
        }
    };
    context.metrics.cluster(&cluster, &status);
    kubernetes::report(&context.kube, cluster.as_ref(), cluster.status.as_ref(), &status).await?;
    context.tell_transition(cluster.as_ref(), &before.conditions, &status.conditions).await;
    acted?;
    context.succeeded(&key);
    Ok(action)
}

/// What the status has to say of the writes.
fn outcome(acted: &Result<bool, EffectError>) -> Outcome {
    match acted {
        Ok(false) => Outcome::Unchanged,
        Ok(true) => Outcome::Applied,
        Err(error) => Outcome::Failed { message: words(error), for_good: kubernetes::is_for_good(error) },
    }
}

/// The error for a person: of the API server's answer only what it says.
fn words(error: &EffectError) -> String {
    match error {
        EffectError::Kubernetes { what, source } => match source.as_ref() {
            kube::Error::Api(status) => format!("failed to {what}: {}", status.message),
            _ => error.chain(),
        },
        _ => error.chain(),
    }
}

/// The error if the round is to be repeated soon. For one that stays until a person changes something the status is
/// enough, and a look at each interval.
fn worth_another_try(acted: Result<bool, EffectError>, key: &str) -> Result<(), EffectError> {
    match acted {
        Err(error) if kubernetes::is_for_good(&error) => {
            tracing::warn!(cluster = key, error = error.chain(), "not applied");
            Ok(())
        }
        acted => acted.map(|_| ()),
    }
}

/// Carries out the plan; whether something was applied.
async fn act(plan: &Plan, spec: &ClusterSpec, owner: &WeaviateCluster, context: &Shared) -> Result<bool, EffectError> {
    let client = &context.kube;
    let mut applied = false;
    for step in &plan.steps {
        match step {
            Step::CreateSecret { name } => {
                kubernetes::create_api_key(client, &spec.namespace, name, &spec.name).await?;
            }
            Step::Apply(objects) => applied |= apply_servers(client, objects.as_ref().clone(), owner).await?,
            Step::ApplyElysia(objects) => {
                let (deployment, service) = objects.as_ref().clone();
                let deployment = kubernetes::may_apply(client, deployment, owner).await?;
                let service = kubernetes::may_apply(client, service, owner).await?;
                applied |= deployment.apply().await?;
                applied |= service.apply().await?;
            }
            Step::RestartAlone { pod, uid } => {
                if kubernetes::restart_pod(client, &spec.namespace, pod, uid).await? {
                    tracing::warn!(namespace = spec.namespace, pod, "restarted a node that started alone");
                    context.metrics.restarted_node("alone");
                }
            }
            // A pod that is made anew now might be of a template that was changed in this round.
            Step::RestartHung(_) if applied => {}
            Step::RestartHung(restart) => engine::restart(restart, spec, owner, context).await?,
        }
    }
    Ok(applied)
}

/// Applies what the servers consist of, all of it or, if one of the names is somebody else's, nothing.
async fn apply_servers(client: &Client, objects: Objects, owner: &WeaviateCluster) -> Result<bool, EffectError> {
    let Objects { runtime_config, service, nodes_service, stateful_set, disruption_budget } = objects;
    let runtime_config = kubernetes::may_apply(client, runtime_config, owner).await?;
    let nodes_service = kubernetes::may_apply(client, nodes_service, owner).await?;
    let service = kubernetes::may_apply(client, service, owner).await?;
    let stateful_set = kubernetes::may_apply(client, stateful_set, owner).await?;
    let disruption_budget = kubernetes::may_apply(client, disruption_budget, owner).await?;
    // Settings and addresses before pods: none must start with yesterday's file or without a name.
    let mut applied = runtime_config.apply().await?;
    applied |= nodes_service.apply().await?;
    applied |= service.apply().await?;
    applied |= stateful_set.apply().await?;
    applied |= disruption_budget.apply().await?;
    Ok(applied)
}

#[cfg(test)]
mod tests;
