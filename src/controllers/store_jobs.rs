//! What the Jobs of backups and restores have in common: a store, a cluster, an account for one ledger, a pod.

use std::collections::BTreeMap;

use elysia_api::backup::BackupStore;
use elysia_api::common::SecretKeyReference;
use elysia_api::names;
use elysia_core::cluster::spec::{Kind, MODULES_VARIABLE};
use elysia_core::cluster::{BACKUP_MODULE, ClusterSpec, judge, matches_pattern};
use elysia_core::collection::ClusterSight;
use elysia_core::feed::FailedRun;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_engine::backup::seal::Key;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, EnvVar, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Api;
use kube::core::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::collection::cluster_of;
use super::context::Context;
use super::feed::observe::{Target, unreadable};
use super::store_place;
use crate::effects::{EffectError, kubernetes};
use crate::worker::work::{Endpoints, NodeEndpoints};
use crate::worker::{self, LEDGER_KEY};

/// Where a volume is mounted.
pub(super) const MOUNT: &str = "/backups";

/// Pods of one Job that may fail before it is given up. A backup's begins anew each time, so there are few of them; a
/// restore's goes on from its receipt.
const BACKOFF_LIMIT: i32 = 4;

/// Time that the worker gets to end what is in flight.
const GRACE_SECONDS: i64 = 60;

/// How long an ended Job is kept for its log. The ledger outlives it.
const KEPT_SECONDS: i32 = 3600;

/// Milliseconds for which the allocator of a worker (mimalloc) keeps what was freed. As it is, what a fast worker frees within
/// a tenth of a second is as much as what it holds, and counts as its memory; it is not slower without.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// Memory of a worker without any lane, and of each lane, in MiB: a part of 16 MiB, the objects and columns that go into it,
/// and a page beside it; several times as much where objects are of megabytes each.
const BASE_MEBIBYTES: u32 = 256;
const LANE_MEBIBYTES: u32 = 128;

/// The way to a cluster.
pub(super) struct Way {
    /// The cluster.
    pub(super) cluster: ClusterSight,
    /// Its identity, for who owns a prefix.
    pub(super) uid: String,
    /// Where a worker finds it.
    pub(super) target: Option<Target>,
    /// Time between two looks.
    pub(super) interval: SignedDuration,
    /// The patterns that protect its collections.
    pub(super) protected: Vec<String>,
    /// What its spec lacks for backups of the servers' own; `None` also where the spec says nothing of it.
    pub(super) no_module: Option<String>,
}

impl Way {
    /// The pattern that protects a collection.
    pub(super) fn protection(&self, collection: &str) -> Option<String> {
        self.protected.iter().find(|pattern| matches_pattern(pattern, collection)).cloned()
    }
}

/// Looks for the cluster.
pub(super) fn way(namespace: &str, name: &str, context: &Context) -> Way {
    let mut way = Way {
        cluster: ClusterSight::Missing,
        uid: String::new(),
        target: None,
        interval: elysia_core::cluster::spec::DEFAULT_INTERVAL,
        protected: Vec::new(),
        no_module: None,
    };
    let Some(cluster) = cluster_of(namespace, name, context) else { return way };
    way.uid = cluster.uid().unwrap_or_default();
    let spec = match ClusterSpec::validate(&cluster) {
        Ok(spec) => spec,
        Err(error) => {
            way.cluster = ClusterSight::Unfit(error.to_string());
            return way;
        }
    };
    way.interval = spec.interval;
    way.protected.clone_from(&spec.protected);
    way.no_module = no_module(&spec);
    way.target = Target::of(&cluster, &spec);
    way.cluster = match judge::is_fit(cluster.status.as_ref()) {
        _ if way.target.is_none() => {
            ClusterSight::Unfit("it has no gRPC address; set spec.external.grpc of the WeaviateCluster".to_owned())
        }
        Ok(()) => ClusterSight::Fit,
        Err(why) => ClusterSight::Unfit(why),
    };
    way
}

/// What a managed cluster lacks for backups of the servers' own. Of others only the servers know.
fn no_module(spec: &ClusterSpec) -> Option<String> {
    let Kind::Managed(managed) = &spec.kind else { return None };
    let is_named = |variable: &EnvVar| {
        let modules = variable.value.as_deref().unwrap_or(BACKUP_MODULE);
        variable.name == MODULES_VARIABLE && modules.split(',').any(|module| module.trim() == BACKUP_MODULE)
    };
    if managed.backup.as_ref().is_some_and(|backup| backup.s3.is_some()) || managed.env.iter().any(is_named) {
        return None;
    }
    Some(format!(
        "engine: Native needs module {BACKUP_MODULE} at every server, and cluster {} has none: set spec.managed.backup.s3 of the WeaviateCluster and restart its pods one by one, or use engine: Portable",
        spec.name
    ))
}

/// Whether the key that runs are encrypted with is there, and is one: a worker that finds out only then has failed.
pub(super) async fn encryption_key(
    namespace: &str,
    reference: Option<&SecretKeyReference>,
    context: &Context,
) -> Sight<Result<(), String>> {
    let Some(reference) = reference else { return Sight::Seen(Ok(())) };
    let SecretKeyReference { name, key } = reference;
    secret_text(namespace, reference, context).await.map(|text| match text?.parse::<Key>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("key {key} of Secret {name}: {error}")),
    })
}

/// Whether a text is there.
pub(super) async fn has_text(
    namespace: &str,
    reference: &SecretKeyReference,
    context: &Context,
) -> Sight<Result<(), String>> {
    secret_text(namespace, reference, context).await.map(|text| text.map(drop))
}

/// The text under a key of a Secret, or what is missing.
pub(super) async fn secret_text(
    namespace: &str,
    reference: &SecretKeyReference,
    context: &Context,
) -> Sight<Result<String, String>> {
    let SecretKeyReference { name, key } = reference;
    let api: Api<Secret> = Api::namespaced(context.kube.clone(), namespace);
    let secret = match api.get_opt(name).await {
        Ok(secret) => secret,
        Err(error) => return unreadable("Secret", name, &error),
    };
    let Some(secret) = secret else {
        return Sight::Seen(Err(format!("Secret {name} does not exist; create it with the key {key}")));
    };
    let bytes = secret.data.and_then(|mut data| data.remove(key)).map(|value| value.0).unwrap_or_default();
    if bytes.is_empty() {
        return Sight::Seen(Err(format!("Secret {name} has no key {key}; add it")));
    }
    Sight::Seen(String::from_utf8(bytes).map_err(|_| format!("key {key} of Secret {name} is no text")))
}

/// A cluster as the worker is told of it.
pub(super) fn endpoints(target: &Target) -> Endpoints {
    let node = |(name, rest, grpc): &(String, String, String)| NodeEndpoints {
        name: name.clone(),
        rest: rest.clone(),
        grpc: grpc.clone(),
    };
    Endpoints { rest: target.rest.clone(), grpc: target.grpc.clone(), nodes: target.nodes.iter().map(node).collect() }
}

/// A ledger and what stands beside it.
pub(super) struct Beside<T> {
    /// What the worker wrote.
    pub(super) ledger: Sight<Option<T>>,
    /// Whether the object is there.
    pub(super) keeps_notes: bool,
    /// The work whose Job failed without a word of its worker.
    pub(super) failed: Option<FailedRun>,
    /// What the present work is meant for, as it was written.
    pub(super) intent: Option<String>,
}

/// Looks at a ledger. `uid`: whose it must be, where it has an owner.
pub(super) async fn beside<T: DeserializeOwned>(
    namespace: &str,
    name: &str,
    uid: &str,
    context: &Context,
) -> Beside<T> {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), namespace);
    let nothing = |ledger| Beside { ledger, keeps_notes: false, failed: None, intent: None };
    let config = match api.get_opt(name).await {
        Ok(Some(config)) => config,
        Ok(None) => return nothing(Sight::Seen(None)),
        Err(error) => return nothing(unreadable("ConfigMap", name, &error)),
    };
    if config.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid != uid) {
        let message = format!("the ledger {name} of a former object of the name is still being removed");
        return nothing(Sight::unseen(BlindnessKind::Failed, message));
    }
    let note = |key: &str| config.annotations().get(key).cloned();
    let text = config.data.as_ref().and_then(|data| data.get(LEDGER_KEY)).filter(|text| !text.is_empty());
    Beside {
        // One that cannot be understood is as good as none: the worker makes it anew from the store.
        ledger: Sight::Seen(text.and_then(|text| serde_json::from_str(text).ok())),
        keeps_notes: true,
        failed: note(names::FAILED_ANNOTATION).and_then(|note| serde_json::from_str(&note).ok()),
        intent: note(names::INTENT_ANNOTATION),
    }
}

/// The object that a Job is made for.
pub(super) struct Owner<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// The label that carries its name.
    pub(super) label: &'static str,
    /// Name of the account, the Role and the binding.
    pub(super) account: String,
    /// Name of the ledger.
    pub(super) ledger: String,
}

/// What the Job does.
pub(super) struct Doing<'a> {
    /// Its name.
    pub(super) name: String,
    /// `backup` or `restore`: what the worker is called with, and the name of its container.
    pub(super) command: &'static str,
    /// The variable with the work, and the work.
    pub(super) work: (&'static str, String),
    pub(super) store: &'a BackupStore,
    /// Whether a volume is only read.
    pub(super) is_read_only: bool,
    pub(super) target: &'a Target,
    /// Variables that come from Secrets, beside those of cluster and store.
    pub(super) secrets: Vec<(String, SecretKeyReference)>,
    pub(super) deadline: SignedDuration,
    pub(super) lanes: u32,
}

/// The Kubernetes objects of one piece of work.
pub(super) struct Objects {
    account: ServiceAccount,
    role: Role,
    binding: RoleBinding,
    /// An empty ledger.
    pub(super) ledger: ConfigMap,
    job: Job,
}

impl Owner<'_> {
    fn metadata(&self, name: &str) -> ObjectMeta {
        let labels = [
            ("app.kubernetes.io/name", "elysia-backup"),
            ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
            (self.label, self.name),
        ];
        let labels: BTreeMap<_, _> =
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }
    }

    /// The objects; the error says what could not be written down.
    pub(super) fn objects(&self, doing: &Doing<'_>, context: &Context) -> Result<Objects, String> {
        let written =
            |error: serde_json::Error| format!("the objects of Job {} could not be written down: {error}", doing.name);
        let role = serde_json::from_value(json!({
            "metadata": self.metadata(&self.account),
            "rules": [{
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [self.ledger],
                "verbs": ["get", "update", "patch"],
            }],
        }));
        let binding = serde_json::from_value(json!({
            "metadata": self.metadata(&self.account),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": self.account},
            "subjects": [{"kind": "ServiceAccount", "name": self.account, "namespace": self.namespace}],
        }));
        Ok(Objects {
            account: ServiceAccount { metadata: self.metadata(&self.account), ..ServiceAccount::default() },
            role: role.map_err(written)?,
            binding: binding.map_err(written)?,
            ledger: self.empty_ledger(),
            job: self.job(doing, context).map_err(written)?,
        })
    }

    /// A ledger in which nobody has written yet.
    pub(super) fn empty_ledger(&self) -> ConfigMap {
        ConfigMap { metadata: self.metadata(&self.ledger), ..ConfigMap::default() }
    }

    fn job(&self, doing: &Doing<'_>, context: &Context) -> Result<Job, serde_json::Error> {
        let Doing { name, command, work: (variable, work), store, is_read_only, target, secrets, deadline, lanes } =
            doing;
        let from = |variable: &str, name: &str, key: &str| {
            let reference = json!({"name": name, "key": key});
            json!({"name": variable, "valueFrom": {"secretKeyRef": reference}})
        };
        let mut environment =
            vec![json!({"name": variable, "value": work}), json!({"name": PURGE_DELAY.0, "value": PURGE_DELAY.1})];
        if let Some((name, key)) = &target.api_key {
            environment.push(from(worker::API_KEY_VARIABLE, name, key));
        }
        environment.extend(secrets.iter().map(|(variable, secret)| from(variable, &secret.name, &secret.key)));
        environment.extend(store_place::environment(store));
        let volume = store.volume.as_ref().map(|volume| {
            json!({"name": "store", "persistentVolumeClaim": {"claimName": volume.claim_name, "readOnly": is_read_only}})
        });
        let mount = volume.as_ref().map(|_| json!({"name": "store", "mountPath": MOUNT, "readOnly": is_read_only}));
        let memory = BASE_MEBIBYTES + LANE_MEBIBYTES * lanes;
        serde_json::from_value(json!({
            "metadata": self.metadata(name),
            "spec": {
                "backoffLimit": BACKOFF_LIMIT,
                "activeDeadlineSeconds": deadline.as_secs(),
                "ttlSecondsAfterFinished": KEPT_SECONDS,
                // A pod that may still be writing is waited for, never doubled.
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": {"rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "FailJob", "onExitCodes": {
                        "containerName": command, "operator": "In", "values": [worker::EXIT_PERMANENT],
                    }},
                ]},
                "template": {
                    "metadata": {"labels": self.metadata(name).labels},
                    "spec": {
                        "restartPolicy": "Never",
                        "serviceAccountName": self.account,
                        "terminationGracePeriodSeconds": GRACE_SECONDS,
                        "enableServiceLinks": false,
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 65532,
                            "runAsGroup": 65532,
                            "fsGroup": 65532,
                            "fsGroupChangePolicy": "OnRootMismatch",
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [{
                            "name": command,
                            "image": context.worker.image,
                            "imagePullPolicy": context.worker.pull_policy,
                            "args": ["worker", command],
                            "env": environment,
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "128Mi"},
                                "limits": {"memory": format!("{memory}Mi")},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": false,
                                "readOnlyRootFilesystem": true,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": mount.into_iter().collect::<Vec<_>>(),
                        }],
                        "volumes": volume.into_iter().collect::<Vec<_>>(),
                    },
                },
            },
        }))
    }
}

/// Makes them in their order. `intent`: what is written on the ledger before the Job; `was_noted`: a failure stands on
/// it that speaks of an earlier attempt.
pub(super) async fn make<O: Resource<DynamicType = ()>>(
    objects: Objects,
    owner: &O,
    is_ledger_owned: bool,
    intent: Option<&str>,
    was_noted: bool,
    context: &Context,
) -> Result<(), EffectError> {
    let Objects { account, role, binding, ledger, job } = objects;
    let client = &context.kube;
    // Nothing is written if one of the names is somebody else's: an account must not get the rights of another.
    let account = kubernetes::may_apply(client, account, owner).await?;
    let role = kubernetes::may_apply(client, role, owner).await?;
    let binding = kubernetes::may_apply(client, binding, owner).await?;
    let (namespace, name) = (ledger.namespace().unwrap_or_default(), ledger.name_any());
    // The ledger before the account that may write it, the account before the pods that run under it.
    if is_ledger_owned {
        kubernetes::create_once_owned(client, ledger, owner).await?;
    } else {
        kubernetes::create_once(client, &ledger).await?;
    }
    if let Some(intent) = intent {
        kubernetes::annotate_config_map(client, &namespace, &name, names::INTENT_ANNOTATION, Some(intent)).await?;
    }
    if was_noted {
        kubernetes::annotate_config_map(client, &namespace, &name, names::FAILED_ANNOTATION, None).await?;
    }
    account.apply().await?;
    role.apply().await?;
    binding.apply().await?;
    kubernetes::create_once_owned(client, job, owner).await.map(drop)
}

/// Notes on the ledger that a Job failed.
pub(super) async fn note_failure(
    namespace: &str,
    ledger: &str,
    failed: &FailedRun,
    context: &Context,
) -> Result<(), EffectError> {
    let note = serde_json::to_string(failed).map_err(|error| EffectError::Refused(error.to_string()))?;
    kubernetes::annotate_config_map(&context.kube, namespace, ledger, names::FAILED_ANNOTATION, Some(&note)).await
}

/// How long a Job may take, as its worker is told.
pub(super) fn seconds(deadline: SignedDuration) -> u64 {
    deadline.as_secs().unsigned_abs()
}
