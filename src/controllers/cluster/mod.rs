//! Brings a WeaviateCluster nearer to its spec.

mod observe;
mod orphans;

pub(in crate::controllers) use observe::HOLDS_AUTO_SCHEMA_OFF;

use std::sync::Arc;

use elysia_api::WeaviateCluster;
use elysia_core::cluster::{self, ClusterSpec, Plan, Step, judge};
use kube::core::ResourceExt as _;
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
            let observed = observe::observe(&spec, &cluster, &context).await?;
            let journals = orphans::active_journals(&spec, &context).await?;
            let plan = cluster::plan(&spec, &observed, !journals.is_empty(), now);
            let acted = if is_paused(&cluster) {
                Ok(())
            } else {
                let ended = orphans::end(&journals, &spec, &cluster, &context).await;
                act(&plan, &spec, &cluster, &context).await.and(ended)
            };
            let status = judge::status(&cluster, &spec, &observed, now);
            // A journal that is not over may lose its object at any moment.
            let recheck = if journals.is_empty() { plan.recheck } else { plan.recheck.min(cluster::plan::RECHECK) };
            (status, requeue(recheck, &key), acted)
        }
    };
    context.metrics.cluster(&cluster, &status);
    kubernetes::report(&context.kube, cluster.as_ref(), cluster.status.as_ref(), &status).await?;
    context.tell_transition(cluster.as_ref(), &before.conditions, &status.conditions).await;
    acted?;
    context.succeeded(&key);
    Ok(action)
}

fn is_paused(cluster: &WeaviateCluster) -> bool {
    cluster.annotations().get(elysia_api::names::PAUSED_ANNOTATION).map(String::as_str) == Some("true")
}

async fn act(plan: &Plan, spec: &ClusterSpec, owner: &WeaviateCluster, context: &Shared) -> Result<(), EffectError> {
    let client = &context.kube;
    for step in &plan.steps {
        match step {
            Step::CreateSecret { name } => {
                kubernetes::create_api_key(client, &spec.namespace, name, &spec.name).await?;
            }
            Step::Apply(objects) => {
                let cluster::desired::Objects {
                    runtime_config,
                    service,
                    nodes_service,
                    stateful_set,
                    disruption_budget,
                } = objects.as_ref().clone();
                // Settings and addresses before pods: none must start with yesterday's file or without a name.
                kubernetes::apply(client, runtime_config, Some(owner)).await?;
                kubernetes::apply(client, nodes_service, Some(owner)).await?;
                kubernetes::apply(client, service, Some(owner)).await?;
                kubernetes::apply(client, stateful_set, Some(owner)).await?;
                kubernetes::apply(client, disruption_budget, Some(owner)).await?;
            }
            Step::ApplyElysia(objects) => {
                let (deployment, service) = objects.as_ref().clone();
                kubernetes::apply(client, deployment, Some(owner)).await?;
                kubernetes::apply(client, service, Some(owner)).await?;
            }
            Step::RestartAlone { pod, uid } => kubernetes::restart_pod(client, &spec.namespace, pod, uid).await?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
