//! The next command to run, for each reason.

use elysia_api::condition::Reason;
use elysia_api::names::PAUSED_ANNOTATION;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};
use kube::core::ResourceExt as _;

use super::Standing;

/// What to do about a cluster.
pub(super) fn for_cluster(cluster: &WeaviateCluster, standing: &Standing) -> String {
    let (namespace, name) = (namespace(cluster), cluster.name_any());
    if standing.is_paused() {
        return unpause("wvc", &namespace, &name);
    }
    let node = cluster.status.iter().flat_map(|status| &status.nodes).find(|node| !node.ready);
    match node {
        // Only a managed cluster's nodes are pods of ours.
        Some(node) if cluster.spec.managed.is_some() => {
            format!("kubectl describe pod {} -n {namespace}", node.name)
        }
        _ => describe("wvc", &namespace, &name),
    }
}

/// What to do about a collection.
pub(super) fn for_collection(collection: &ElysiaCollection, standing: &Standing) -> String {
    let (namespace, name) = (namespace(collection), collection.name_any());
    let reason = standing.reason.as_str();
    if standing.is_paused() {
        return unpause("ecol", &namespace, &name);
    }
    let plan = collection.status.as_ref().and_then(|status| status.plan.as_ref());
    if let Some(plan) = plan.filter(|_| reason == Reason::NeedsApproval.as_str()) {
        return if plan.destructive { self::plan(&namespace, &name) } else { approve(&namespace, &name) };
    }
    match of_cluster_reference(reason, &namespace, &collection.spec.cluster_ref.name) {
        Some(command) => command,
        None => describe("ecol", &namespace, &name),
    }
}

/// What to do about a feed.
pub(super) fn for_feed(feed: &IndexSource, standing: &Standing) -> String {
    let (namespace, name) = (namespace(feed), feed.name_any());
    let reason = standing.reason.as_str();
    if standing.is_paused() {
        return unpause("isrc", &namespace, &name);
    }
    if reason == Reason::NeedsApproval.as_str() {
        return plan(&namespace, &format!("feed/{name}"));
    }
    let run = feed.status.as_ref().and_then(|status| status.run.as_ref());
    if let Some(job) = run.and_then(|run| run.job.as_ref()).filter(|_| reason == Reason::RunFailed.as_str()) {
        return format!("kubectl logs job/{job} -n {namespace}");
    }
    if reason == Reason::SourceMissing.as_str() {
        if let Some(source) = &feed.spec.source.config_map {
            return format!("kubectl get configmap {} -n {namespace}", source.name);
        }
        if let Some(source) = &feed.spec.source.volume {
            return format!("kubectl get pvc {} -n {namespace}", source.claim_name);
        }
    }
    if reason == Reason::CollectionMissing.as_str() {
        return format!("kubectl get ecol -n {namespace}");
    }
    match of_cluster_reference(reason, &namespace, &feed.spec.cluster_ref.name) {
        Some(command) => command,
        None => describe("isrc", &namespace, &name),
    }
}

/// What to do about a backup.
pub(super) fn for_backup(backup: &CollectionBackup, standing: &Standing) -> String {
    let (namespace, name) = (namespace(backup), backup.name_any());
    if standing.is_paused() {
        return unpause("cbak", &namespace, &name);
    }
    if standing.reason == Reason::Suspect.as_str() {
        return plan(&namespace, &format!("backup/{name}"));
    }
    let run = backup.status.as_ref().and_then(|status| status.run.as_ref());
    of_job(standing, &namespace, run.and_then(|run| run.job.as_ref()))
        .or_else(|| of_cluster_reference(&standing.reason, &namespace, &backup.spec.cluster_ref.name))
        .unwrap_or_else(|| describe("cbak", &namespace, &name))
}

/// What to do about a restore.
pub(super) fn for_restore(restore: &CollectionRestore, standing: &Standing) -> String {
    let (namespace, name) = (namespace(restore), restore.name_any());
    if standing.is_paused() {
        return unpause("crst", &namespace, &name);
    }
    if standing.reason == Reason::NeedsApproval.as_str() {
        return plan(&namespace, &format!("restore/{name}"));
    }
    let job = restore.status.as_ref().and_then(|status| status.job.as_ref());
    of_job(standing, &namespace, job)
        .or_else(|| of_cluster_reference(&standing.reason, &namespace, &restore.spec.cluster_ref.name))
        .unwrap_or_else(|| describe("crst", &namespace, &name))
}

fn of_job(standing: &Standing, namespace: &str, job: Option<&String>) -> Option<String> {
    let job = job.filter(|_| standing.reason == Reason::RunFailed.as_str())?;
    Some(format!("kubectl logs job/{job} -n {namespace}"))
}

/// The command that shows a plan.
pub(super) fn plan(namespace: &str, name: &str) -> String {
    format!("kubectl elysia repair plan {name} -n {namespace}")
}

/// The command that approves a plan; it shows it first and asks.
pub(super) fn approve(namespace: &str, name: &str) -> String {
    format!("kubectl elysia repair approve {name} -n {namespace}")
}

fn of_cluster_reference(reason: &str, namespace: &str, cluster: &str) -> Option<String> {
    if reason == Reason::ClusterMissing.as_str() {
        return Some(format!("kubectl get wvc -n {namespace}"));
    }
    let not_ready = reason == Reason::ClusterNotReady.as_str();
    not_ready.then(|| health(namespace, cluster))
}

fn health(namespace: &str, cluster: &str) -> String {
    format!("kubectl elysia health {cluster} -n {namespace} -v")
}

fn unpause(kind: &str, namespace: &str, name: &str) -> String {
    format!("kubectl annotate {kind} {name} -n {namespace} {PAUSED_ANNOTATION}-")
}

fn describe(kind: &str, namespace: &str, name: &str) -> String {
    format!("kubectl describe {kind} {name} -n {namespace}")
}

/// Namespace of an object; every kind here lives in one.
pub(super) fn namespace(object: &impl kube::core::ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}
