//! The Kubernetes objects of one run. No client here: what goes in decides what comes out.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::common::SecretReference;
use elysia_api::index_source::{Rewritten, Unmapped};
use elysia_api::names;
use elysia_api::processed::Processed;
use elysia_core::feed::{Content, FeedSpec, Guard};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::super::context::WorkerImage;
use super::super::store_place::trusted;
use super::observe::Target;
use crate::worker;

const MOUNT: &str = "/feed";

/// Pods of one Job that may fail before it is given up. Each goes on from the ledger, so a retry repeats little.
const BACKOFF_LIMIT: i32 = 10;

/// Time that the worker gets to end the window in flight.
const GRACE_SECONDS: i64 = 60;

/// How long an ended Job is kept for its log. The ledger outlives it.
const KEPT_SECONDS: i32 = 3600;

/// The Kubernetes objects of one run.
pub(super) struct Objects {
    /// Account of the worker.
    pub(super) account: ServiceAccount,
    /// What the account may do: its own ledger and nothing else.
    pub(super) role: Role,
    /// Joins the two.
    pub(super) binding: RoleBinding,
    /// Empty ledgers, one for each partition, for the first run.
    pub(super) ledgers: Vec<ConfigMap>,
    /// The work.
    pub(super) job: Job,
}

/// How long a Job may take that carries rejected lines out again, of which there are at most a thousand: the feed waits for
/// it meanwhile, also when no node has room for its pod.
const REPLAY_SECONDS: u32 = 900;

/// What a run is given.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// Its id.
    pub(super) run: &'a str,
    /// The content it is made for.
    pub(super) content: &'a Content,
    /// How many documents it may delete, and what a person approved.
    pub(super) guard: Option<&'a Guard>,
    /// The request to carry rejected lines out again, instead of reading on.
    pub(super) replay: Option<&'a str>,
    /// Ledgers of another division of the feed in which deletes are left to do.
    pub(super) former: &'a [String],
    /// Where it writes.
    pub(super) target: &'a Target,
}

/// Names of the ledgers of a feed.
pub(super) fn ledgers(spec: &FeedSpec) -> Vec<String> {
    if spec.partitions > 1 {
        return (0..spec.partitions).map(|index| names::partition_ledger(&spec.name, index)).collect();
    }
    vec![names::ledger(&spec.name)]
}

/// Name of the ledger on which notes about runs stand.
pub(super) fn notes(spec: &FeedSpec) -> String {
    ledgers(spec).swap_remove(0)
}

/// The objects; the error says what could not be written down.
pub(super) fn objects(spec: &FeedSpec, given: Given<'_>, image: &WorkerImage) -> Result<Objects, String> {
    let run = given.run;
    let account_name = names::worker_account(&spec.name);
    let written = |error: serde_json::Error| format!("the objects of run {run} could not be written down: {error}");
    let account = ServiceAccount { metadata: metadata(spec, account_name.clone()), ..ServiceAccount::default() };
    let role = serde_json::from_value(json!({
        "metadata": metadata(spec, account_name.clone()),
        "rules": [{
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ledgers(spec).iter().chain(given.former).collect::<BTreeSet<_>>(),
            "verbs": ["get", "update", "patch"],
        }],
    }))
    .map_err(written)?;
    let binding = serde_json::from_value(json!({
        "metadata": metadata(spec, account_name.clone()),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account_name},
        "subjects": [{"kind": "ServiceAccount", "name": account_name, "namespace": spec.namespace}],
    }))
    .map_err(written)?;
    let job = job(spec, given, image).map_err(written)?;
    Ok(Objects { account, role, binding, ledgers: empty_ledgers(spec), job })
}

/// The objects of ledgers in which nobody has written yet.
pub(super) fn empty_ledgers(spec: &FeedSpec) -> Vec<ConfigMap> {
    let ledger = |name| ConfigMap { metadata: metadata(spec, name), ..ConfigMap::default() };
    ledgers(spec).into_iter().map(ledger).collect()
}

fn labels(spec: &FeedSpec) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "elysia-index"),
        ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
        (names::FEED_LABEL, spec.name.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn metadata(spec: &FeedSpec, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(spec.namespace.clone()),
        labels: Some(labels(spec)),
        ..ObjectMeta::default()
    }
}

/// What the worker is told. It holds no secret: anybody who may read the Job reads it.
fn work(spec: &FeedSpec, given: Given<'_>) -> Value {
    let Given { run, content, guard, replay, former, target } = given;
    let basis = spec.basis(content);
    let is_followed = basis.is_some();
    let watch = spec.watches(content).map(|interval| interval.as_secs());
    let again = matches!(spec.rewritten, Rewritten::ReadAgain);
    let follow = basis.map(|basis| {
        json!({
            "basis": basis,
            "rereadRewritten": again,
            "watchSeconds": watch,
            "minChanges": spec.min_changes,
            "runNow": spec.run_now,
        })
    });
    let source = match content {
        Content::ConfigMap { name, files } => json!({"configMaps": [{
            "name": name,
            "mountPath": MOUNT,
            "files": files.iter().map(|(path, sha256)| json!({"path": path, "sha256": sha256})).collect::<Vec<_>>(),
        }]}),
        Content::Volume { claim: _, path, pattern } => {
            json!({"volume": {
                "mountPath": MOUNT,
                "path": path,
                "pattern": pattern,
                "isFollowed": is_followed,
                "processed": spec.processed().map(processed),
            }})
        }
        Content::S3 { store, pattern } => json!({"s3": {
            "bucket": store.bucket,
            "prefix": store.prefix,
            "pattern": pattern,
            "endpoint": store.endpoint,
            "region": store.region,
            "anonymous": store.credentials_secret_ref.is_none(),
            "isFollowed": is_followed,
        }}),
    };
    let nodes = target.nodes.iter().map(|(name, rest, grpc)| json!({"name": name, "rest": rest, "grpc": grpc}));
    let nodes = nodes.collect::<Vec<_>>();
    let milliseconds = |time: Option<SignedDuration>| time.and_then(|time| i64::try_from(time.as_millis()).ok());
    json!({
        "namespace": spec.namespace,
        "name": spec.name,
        "uid": spec.uid,
        "run": run,
        "ledger": names::ledger(&spec.name),
        "collection": spec.collection,
        "endpoints": {"rest": target.rest, "grpc": target.grpc, "nodes": nodes},
        "source": source,
        "properties": spec.properties,
        "unmapped": match spec.unmapped { Unmapped::Reject => "Reject", Unmapped::Drop => "Drop" },
        "chunking": spec.chunking,
        "maxRejected": spec.max_rejected,
        "partitions": (spec.partitions > 1).then_some(spec.partitions),
        "formerLedgers": former,
        "follow": follow,
        "replay": replay,
        "deleteGuard": guard.map(|Guard { limits, approval }| json!({
            "objects": limits.objects,
            "percent": limits.percent,
            "approval": approval.as_ref().map(|approval| json!({
                "content": approval.content, "deletes": approval.deletes,
            })),
        })),
        "skipUnchanged": spec.skip_unchanged,
        "pace": {
            "parallelism": spec.effort.parallelism,
            "batchObjects": spec.effort.batch_objects,
            "batchBytes": spec.effort.batch_bytes,
        },
        "patience": {
            "attempts": spec.effort.attempts,
            "baseMilliseconds": milliseconds(spec.effort.retry_base),
            "capMilliseconds": milliseconds(spec.effort.retry_cap),
            "breakerFailures": spec.effort.breaker_failures,
            "breakerCooldownMilliseconds": milliseconds(spec.effort.breaker_cooldown),
        },
    })
}

fn job(spec: &FeedSpec, given: Given<'_>, image: &WorkerImage) -> Result<Job, serde_json::Error> {
    let Given { run, content, target, replay, .. } = given;
    let mut environment = vec![json!({"name": worker::WORK_VARIABLE, "value": work(spec, given).to_string()})];
    if let Some((name, key)) = &target.api_key {
        environment.push(json!({
            "name": worker::API_KEY_VARIABLE,
            "valueFrom": {"secretKeyRef": {"name": name, "key": key}},
        }));
    }
    environment.extend(s3_environment(content));
    // Only who puts files away needs to write.
    let is_read_only = spec.processed().is_none() || replay.is_some();
    let volume = match content {
        Content::ConfigMap { name, .. } => Some(json!({"name": "feed", "configMap": {"name": name}})),
        Content::Volume { claim, .. } => {
            Some(json!({"name": "feed", "persistentVolumeClaim": {"claimName": claim, "readOnly": is_read_only}}))
        }
        Content::S3 { .. } => None,
    };
    let mount = volume.as_ref().map(|_| json!({"name": "feed", "mountPath": MOUNT, "readOnly": is_read_only}));
    let mut metadata = metadata(spec, replay.map_or_else(|| spec.job(run), |word| spec.replay_job(word)));
    if spec.watches(content).is_some() && replay.is_none() {
        metadata.labels.get_or_insert_default().insert(names::WATCH_LABEL.to_owned(), "true".to_owned());
    }
    let mut job = json!({
        "metadata": metadata,
        "spec": {
            "backoffLimit": BACKOFF_LIMIT,
            // A request that failed is not made again by that: its Job stays, and goes when it is dealt with.
            "ttlSecondsAfterFinished": replay.is_none().then_some(KEPT_SECONDS),
            // A pod that may still be writing is waited for, never doubled.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {
                    "containerName": "index", "operator": "In", "values": [worker::EXIT_PERMANENT],
                }},
            ]},
            "template": {
                "metadata": {"labels": labels(spec)},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": names::worker_account(&spec.name),
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
                        "name": "index",
                        "image": image.image,
                        "imagePullPolicy": image.pull_policy,
                        "args": ["worker", "index"],
                        "env": environment,
                        "resources": {
                            "requests": {"cpu": "50m", "memory": "64Mi"},
                            "limits": {"memory": "256Mi"},
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
    });
    if spec.partitions > 1 {
        divide(&mut job["spec"], spec.partitions);
    }
    if replay.is_some() {
        job["spec"]["activeDeadlineSeconds"] = json!(REPLAY_SECONDS);
    }
    serde_json::from_value(job)
}

/// One pod for each partition, all at once. Each partition has its own tries, and one that is given up ends the Job: what
/// the others would still do is done by the next run.
fn divide(spec: &mut Value, partitions: u32) {
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("backoffLimit");
        spec.insert("completionMode".to_owned(), json!("Indexed"));
        spec.insert("completions".to_owned(), json!(partitions));
        spec.insert("parallelism".to_owned(), json!(partitions));
        spec.insert("backoffLimitPerIndex".to_owned(), json!(BACKOFF_LIMIT));
        spec.insert("maxFailedIndexes".to_owned(), json!(0));
    }
}

/// What becomes of a file once every line of it is counted.
fn processed(processed: &Processed) -> Value {
    let Processed { rename, moved } = processed;
    match (rename, moved) {
        (Some(rename), _) => json!({"rename": {"suffix": rename.suffix}}),
        (None, Some(moved)) => json!({"move": {"path": moved.path}}),
        // The rules of the kind do not let it come to that; it stays then.
        (None, None) => Value::Null,
    }
}

/// The key of an object store, from its Secret: the kubelet reads it, the Job only names it.
fn s3_environment(content: &Content) -> Vec<Value> {
    let Content::S3 { store, .. } = content else { return Vec::new() };
    let mut variables = s3_key(store.credentials_secret_ref.as_ref());
    variables.extend(store.ca_secret_ref.as_ref().map(trusted));
    variables
}

/// The variables with the key that this Secret holds.
pub(in crate::controllers) fn s3_key(secret: Option<&SecretReference>) -> Vec<Value> {
    let Some(secret) = secret else { return Vec::new() };
    let from = |variable: &str, key: &str, optional: bool| {
        json!({
            "name": variable,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key, "optional": optional}},
        })
    };
    vec![
        from(worker::S3_ACCESS_KEY_ID_VARIABLE, names::S3_ACCESS_KEY_ID, false),
        from(worker::S3_SECRET_ACCESS_KEY_VARIABLE, names::S3_SECRET_ACCESS_KEY, false),
        from(worker::S3_SESSION_TOKEN_VARIABLE, names::S3_SESSION_TOKEN, true),
    ]
}
