//! What a look at a feed gives.

use std::collections::BTreeMap;

use elysia_api::common::SecretReference;
use elysia_api::index_source::S3Source;
use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::{ClusterSpec, judge};
use elysia_core::collection::ClusterSight;
use elysia_core::feed::{Content, FeedSpec, Observed};
use elysia_core::fingerprint;
use elysia_core::sight::{BlindnessKind, Sight};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::Api;

use super::super::ReconcileError;
use super::super::collection::{class_of, cluster_of, open};
use super::super::context::Context;
use super::super::store_place::authorities;
use super::ledgers::Beside;
use super::{jobs, ledgers};
use crate::effects::chain;

/// Where a worker finds the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::controllers) struct Target {
    /// REST address.
    pub(in crate::controllers) rest: String,
    /// gRPC address.
    pub(in crate::controllers) grpc: String,
    /// Name, REST and gRPC address of each node, where they are known: the worker writes to all of them.
    pub(in crate::controllers) nodes: Vec<(String, String, String)>,
    /// Secret and key of the API key; `None` when the servers ask for none.
    pub(in crate::controllers) api_key: Option<(String, String)>,
}

impl Target {
    /// Of this cluster; `None` when it has no gRPC address.
    pub(in crate::controllers) fn of(cluster: &WeaviateCluster, spec: &ClusterSpec) -> Option<Self> {
        spec.grpc().map(|grpc| Self {
            rest: spec.rest(),
            grpc,
            nodes: spec.node_endpoints(),
            api_key: names::api_key_secret(cluster),
        })
    }
}

/// What was seen, and where a worker would write.
pub(super) struct Scene {
    /// What was seen.
    pub(super) observed: Observed,
    /// Where a worker finds the cluster; `None` when it has no gRPC address.
    pub(super) target: Option<Target>,
    /// Time between two looks.
    pub(super) interval: SignedDuration,
}

/// One look.
pub(super) async fn observe(spec: &FeedSpec, context: &Context, now: Timestamp) -> Result<Scene, ReconcileError> {
    // The Jobs before the ledger: a worker writes the ledger before it ends, so a Job seen to have ended has its outcome
    // in a ledger that is read afterwards.
    let jobs = jobs::jobs(spec, context).await?;
    let held = content(spec, context).await;
    let Beside { ledger, intent, keeps_notes, lacks_ledger, failed } = ledgers::observe(spec, &held, context).await;
    let mut observed = Observed {
        cluster: ClusterSight::Missing,
        collection: Sight::unseen(BlindnessKind::Failed, "not asked"),
        keeps_notes,
        lacks_ledger,
        failed,
        protection: None,
        content: held,
        ledger,
        jobs,
        intent,
        now,
    };
    let interval = elysia_core::cluster::spec::DEFAULT_INTERVAL;
    let Some(cluster) = cluster_of(&spec.namespace, &spec.cluster, context) else {
        return Ok(Scene { observed, target: None, interval });
    };
    observed.cluster = match judge::is_fit(cluster.status.as_ref()) {
        Ok(()) => ClusterSight::Fit,
        Err(why) => ClusterSight::Unfit(why),
    };
    let cluster_spec = match ClusterSpec::validate(&cluster) {
        Ok(cluster_spec) => cluster_spec,
        Err(error) => {
            observed.cluster = ClusterSight::Unfit(error.to_string());
            return Ok(Scene { observed, target: None, interval });
        }
    };
    observed.protection = cluster_spec.protection(&spec.collection).map(str::to_owned);
    observed.collection = match open(&cluster, &cluster_spec, context).await {
        Ok(clients) => {
            let class = class_of(&clients.common, &spec.collection).await;
            // A protected collection is protected by its other name as well.
            let target = class.seen().and_then(Option::as_deref).and_then(|class| cluster_spec.protection(class));
            observed.protection = observed.protection.or_else(|| target.map(str::to_owned));
            class.map(|class| class.is_some())
        }
        Err(message) => Sight::unseen(BlindnessKind::Failed, message),
    };
    let target = Target::of(&cluster, &cluster_spec);
    if target.is_none() {
        observed.cluster =
            ClusterSight::Unfit("it has no gRPC address; set spec.external.grpc of the WeaviateCluster".to_owned());
    }
    Ok(Scene { observed, target, interval: cluster_spec.interval })
}

async fn content(spec: &FeedSpec, context: &Context) -> Sight<Result<Content, String>> {
    if let Some(source) = &spec.source.config_map {
        let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
        return match api.get_opt(&source.name).await {
            Ok(Some(config)) => Sight::Seen(files(&config, &source.name, &source.keys)),
            Ok(None) => Sight::Seen(Err(format!("ConfigMap {} does not exist; create it", source.name))),
            Err(error) => unreadable("ConfigMap", &source.name, &error),
        };
    }
    if let Some(source) = &spec.source.s3 {
        return bucket(spec, source, context).await;
    }
    let Some(source) = &spec.source.volume else {
        return Sight::Seen(Err("spec.source names nothing".to_owned()));
    };
    let found = has_volume(&spec.namespace, &source.claim_name, context).await;
    found.map(|found| {
        found.map(|()| Content::Volume {
            claim: source.claim_name.clone(),
            path: source.path.clone(),
            pattern: source.pattern.clone(),
        })
    })
}

/// What is in a bucket only a worker sees; that it will find its key is seen here, for a pod without it never starts.
async fn bucket(spec: &FeedSpec, source: &S3Source, context: &Context) -> Sight<Result<Content, String>> {
    let objects = Content::S3 { store: source.store.clone(), pattern: source.pattern.clone() };
    match authorities(&spec.namespace, source.store.ca_secret_ref.as_ref(), context).await {
        Sight::Seen(Ok(())) => {}
        missing => return missing.map(|found| found.map(|()| objects)),
    }
    let Some(reference) = &source.store.credentials_secret_ref else { return Sight::Seen(Ok(objects)) };
    has_key(&spec.namespace, reference, context).await.map(|found| found.map(|()| objects))
}

/// Whether a Secret has the key of an object store.
pub(in crate::controllers) async fn has_key(
    namespace: &str,
    reference: &SecretReference,
    context: &Context,
) -> Sight<Result<(), String>> {
    let api: Api<Secret> = Api::namespaced(context.kube.clone(), namespace);
    let secret = match api.get_opt(&reference.name).await {
        Ok(secret) => secret,
        Err(error) => return unreadable("Secret", &reference.name, &error),
    };
    let wanted = [names::S3_ACCESS_KEY_ID, names::S3_SECRET_ACCESS_KEY];
    let Some(secret) = secret else {
        let keys = wanted.join(" and ");
        return Sight::Seen(Err(format!("Secret {} does not exist; create it with the keys {keys}", reference.name)));
    };
    let keys = secret.data.unwrap_or_default();
    match wanted.into_iter().find(|key| keys.get(*key).is_none_or(|value| value.0.is_empty())) {
        Some(key) => Sight::Seen(Err(format!("Secret {} has no key {key}; add it", reference.name))),
        None => Sight::Seen(Ok(())),
    }
}

/// Whether there is a volume of this name.
pub(in crate::controllers) async fn has_volume(
    namespace: &str,
    claim: &str,
    context: &Context,
) -> Sight<Result<(), String>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.kube.clone(), namespace);
    match api.get_opt(claim).await {
        Ok(Some(_)) => Sight::Seen(Ok(())),
        Ok(None) => Sight::Seen(Err(format!("PersistentVolumeClaim {claim} does not exist; create it"))),
        Err(error) => unreadable("PersistentVolumeClaim", claim, &error),
    }
}

pub(in crate::controllers) fn unreadable<T>(kind: &str, name: &str, error: &kube::Error) -> Sight<T> {
    Sight::unseen(BlindnessKind::Failed, format!("{kind} {name} could not be read: {}", chain(error)))
}

/// The files of a ConfigMap and the hash of each; `Err` names a key that is not there.
fn files(config: &ConfigMap, name: &str, keys: &[String]) -> Result<Content, String> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for (key, text) in config.data.iter().flatten() {
        found.insert(key, fingerprint::of_bytes(text.as_bytes()));
    }
    for (key, bytes) in config.binary_data.iter().flatten() {
        found.insert(key, fingerprint::of_bytes(&bytes.0));
    }
    let files = if keys.is_empty() {
        found.into_iter().map(|(key, hash)| (key.to_owned(), hash)).collect()
    } else {
        keys.iter()
            .map(|key| match found.get(key.as_str()) {
                Some(hash) => Ok((key.clone(), hash.clone())),
                None => {
                    Err(format!("ConfigMap {name} has no key {key}; add it or remove it from source.configMap.keys"))
                }
            })
            .collect::<Result<Vec<_>, String>>()?
    };
    Ok(Content::ConfigMap { name: name.to_owned(), files })
}
