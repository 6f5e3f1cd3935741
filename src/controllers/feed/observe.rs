//! What a look at a feed gives.

use std::collections::BTreeMap;

use elysia_api::index_source::{CheckpointStatus, Counts, DeadLetter, RunState, S3Source, Throughput};
use elysia_api::names;
use elysia_core::cluster::{ClusterSpec, judge};
use elysia_core::collection::ClusterSight;
use elysia_core::feed::{
    Content, FailedRun, FeedSpec, Guarded, JobState, JobView, LedgerView, Limits, Observed, OpenCircuit,
};
use elysia_core::fingerprint;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_engine::category::Category;
use elysia_engine::ledger::{FailureReason, Ledger, State, Traffic};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::collection::{cluster_of, exists, open};
use super::super::context::Context;
use crate::effects::chain;

/// Where a worker finds the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// REST address.
    pub(super) rest: String,
    /// gRPC address.
    pub(super) grpc: String,
    /// Name, REST and gRPC address of each node, where they are known: the worker writes to all of them.
    pub(super) nodes: Vec<(String, String, String)>,
    /// Secret and key of the API key; `None` when the servers ask for none.
    pub(super) api_key: Option<(String, String)>,
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
    let jobs = jobs(spec, context).await?;
    let Beside { ledger, intent, keeps_notes, failed } = ledger(spec, context).await;
    let mut observed = Observed {
        cluster: ClusterSight::Missing,
        collection: Sight::unseen(BlindnessKind::Failed, "not asked"),
        keeps_notes,
        failed,
        protection: None,
        content: content(spec, context).await,
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
        Ok(clients) => exists(&clients.common, &spec.collection).await,
        Err(message) => Sight::unseen(BlindnessKind::Failed, message),
    };
    let target = cluster_spec.grpc().map(|grpc| Target {
        rest: cluster_spec.rest(),
        grpc,
        nodes: cluster_spec.node_endpoints(),
        api_key: names::api_key_secret(&cluster),
    });
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
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.kube.clone(), &spec.namespace);
    match api.get_opt(&source.claim_name).await {
        Ok(Some(_)) => Sight::Seen(Ok(Content::Volume {
            claim: source.claim_name.clone(),
            path: source.path.clone(),
            pattern: source.pattern.clone(),
        })),
        Ok(None) => Sight::Seen(Err(format!("PersistentVolumeClaim {} does not exist; create it", source.claim_name))),
        Err(error) => unreadable("PersistentVolumeClaim", &source.claim_name, &error),
    }
}

/// What is in a bucket only a worker sees; that it will find its key is seen here, for a pod without it never starts.
async fn bucket(spec: &FeedSpec, source: &S3Source, context: &Context) -> Sight<Result<Content, String>> {
    let objects = Content::S3 { store: source.store.clone(), pattern: source.pattern.clone() };
    let Some(reference) = &source.store.credentials_secret_ref else { return Sight::Seen(Ok(objects)) };
    let api: Api<Secret> = Api::namespaced(context.kube.clone(), &spec.namespace);
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
        None => Sight::Seen(Ok(objects)),
    }
}

fn unreadable<T>(kind: &str, name: &str, error: &kube::Error) -> Sight<T> {
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

/// The ledger and what stands beside it.
struct Beside {
    ledger: Sight<Option<LedgerView>>,
    /// The time for which the present run is meant.
    intent: Option<Timestamp>,
    keeps_notes: bool,
    failed: Option<FailedRun>,
}

async fn ledger(spec: &FeedSpec, context: &Context) -> Beside {
    let name = names::ledger(&spec.name);
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let config = match api.get_opt(&name).await {
        Ok(config) => config,
        Err(error) => {
            let ledger = unreadable("ConfigMap", &name, &error);
            return Beside { ledger, intent: None, keeps_notes: false, failed: None };
        }
    };
    let note = |key: &str| config.as_ref().and_then(|config| config.annotations().get(key));
    let intent = note(names::INTENT_ANNOTATION).and_then(|time| time.parse().ok());
    let failed = note(names::FAILED_ANNOTATION).and_then(|note| serde_json::from_str(note).ok());
    Beside { intent, keeps_notes: config.is_some(), failed, ledger: ledger_in(spec, &name, config) }
}

fn ledger_in(spec: &FeedSpec, name: &str, config: Option<ConfigMap>) -> Sight<Option<LedgerView>> {
    // What a deleted object of this name left goes with its worker: to go on with it would be to write beside it.
    if config.as_ref().is_some_and(|config| is_of_another(config.metadata.owner_references.as_deref(), spec)) {
        let message = format!("the ledger of the former IndexSource {} is still being removed", spec.name);
        return Sight::unseen(BlindnessKind::Failed, message);
    }
    let text = config.and_then(|config| config.data?.remove(crate::worker::LEDGER_KEY));
    match text.as_deref() {
        None | Some("") => Sight::Seen(None),
        Some(text) => match serde_json::from_str::<Ledger>(text) {
            Ok(ledger) => Sight::Seen(Some(view(&ledger))),
            Err(error) => Sight::unseen(
                BlindnessKind::Failed,
                format!("ConfigMap {name} holds no ledger ({error}); delete it to begin anew"),
            ),
        },
    }
}

/// Whether the controller is another object, such as a former one of the same name.
fn is_of_another(owners: Option<&[OwnerReference]>, spec: &FeedSpec) -> bool {
    owners.unwrap_or_default().iter().any(|owner| owner.controller == Some(true) && owner.uid != spec.uid)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn view(ledger: &Ledger) -> LedgerView {
    let counts = &ledger.counts;
    let current = ledger.checkpoint.current.as_ref();
    LedgerView {
        run: ledger.run.clone(),
        state: match ledger.state {
            State::Running => RunState::Running,
            State::Waiting => RunState::Waiting,
            State::Succeeded => RunState::Succeeded,
            State::Failed => RunState::Failed,
        },
        message: ledger.message.clone(),
        guarded: ledger.guarded.map(guarded),
        is_permanent: ledger.reason.is_some_and(FailureReason::is_permanent),
        caught_up_at: ledger.followed.as_ref().and_then(|followed| followed.caught_up_at),
        counts: Counts {
            lines: number(counts.lines),
            added: number(counts.added),
            modified: number(counts.modified),
            deleted: number(counts.deleted),
            renamed: number(counts.renamed),
            unchanged: number(counts.unchanged),
            rejected: number(counts.rejected),
        },
        errors: Category::ALL
            .into_iter()
            .map(|category| (category.as_str().to_owned(), number(ledger.errors.of(category))))
            .filter(|(_, count)| *count > 0)
            .collect(),
        checkpoint: CheckpointStatus {
            file: current.map(|position| position.file.clone()),
            offset: current.map_or(0, |position| number(position.offset)),
            files_done: number(ledger.checkpoint.files),
        },
        throughput: throughput(ledger),
        breaker: ledger.breaker.as_ref().map(|breaker| OpenCircuit {
            since: breaker.since,
            failures: i64::from(breaker.failures),
            message: breaker.message.clone(),
        }),
        replayed: ledger.replayed.as_ref().map(|replayed| replayed.word.clone()),
        dead_letters: ledger.dead_letters.iter().map(dead_letter).collect(),
        started_at: ledger.started_at,
        finished_at: ledger.finished_at,
    }
}

fn throughput(ledger: &Ledger) -> Throughput {
    let Traffic { calls, objects, milliseconds, failed, batch_objects, in_flight } = ledger.traffic;
    let elapsed = ledger.updated_at.duration_since(ledger.started_at).as_millis();
    // Of less than a second nothing can be said.
    let per_second = |count: u64| if elapsed < 1_000 { 0 } else { i128::from(count) * 1_000 / elapsed };
    Throughput {
        lines_per_second: i64::try_from(per_second(ledger.counts.lines)).unwrap_or(i64::MAX),
        calls: number(calls),
        objects: number(objects),
        call_milliseconds: number(milliseconds.checked_div(calls).unwrap_or_default()),
        failed_calls: number(failed),
        batch_objects: number(batch_objects),
        parallelism: number(in_flight),
    }
}

fn guarded(guarded: elysia_engine::guard::Guarded) -> Guarded {
    let elysia_engine::guard::Guarded { content, deletes, objects, limits, since, approved: _ } = guarded;
    let limits = Limits { objects: limits.objects, percent: limits.percent };
    Guarded { content: content.to_string(), deletes, objects, limits, since }
}

fn dead_letter(letter: &elysia_engine::rejection::DeadLetter) -> DeadLetter {
    DeadLetter {
        file: letter.file.clone(),
        line: number(letter.line),
        offset: number(letter.offset),
        length: number(letter.length),
        category: letter.category.as_str().to_owned(),
        reason: letter.reason.clone(),
    }
}

async fn jobs(spec: &FeedSpec, context: &Context) -> Result<Vec<JobView>, ReconcileError> {
    let api: Api<Job> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let selector = format!("{}={}", names::FEED_LABEL, spec.name);
    let jobs = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(ReconcileError::read(format!("the Jobs of {}", spec.name)))?;
    let mut jobs: Vec<JobView> = jobs.items.iter().filter_map(|job| job_view(job, spec)).collect();
    jobs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(jobs)
}

/// The Job as this feed sees it. One of a former object of the same name writes the same collection, so it is waited for
/// like one of an earlier run; once it has ended it says nothing about this feed.
fn job_view(job: &Job, spec: &FeedSpec) -> Option<JobView> {
    let name = job.name_any();
    let watches = job.labels().contains_key(names::WATCH_LABEL);
    if job.owner_references().iter().any(|owner| owner.uid == spec.uid) {
        return Some(JobView { name, state: job_state(job), watches });
    }
    let pods = job.status.as_ref();
    let pods = pods.map_or(0, |status| status.active.unwrap_or_default() + status.terminating.unwrap_or_default());
    let is_at_work = job_state(job) == JobState::Active || pods > 0;
    is_at_work.then_some(JobView { name, state: JobState::Active, watches })
}

fn job_state(job: &Job) -> JobState {
    // It is there until its pods are gone.
    if job.metadata.deletion_timestamp.is_some() {
        return JobState::Active;
    }
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    for condition in conditions.iter().filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Complete" => return JobState::Succeeded,
            "Failed" => {
                let message = condition.message.clone().unwrap_or_else(|| "its pods failed".to_owned());
                return JobState::Failed(format!("Job {}: {message}", job.name_any()));
            }
            _ => {}
        }
    }
    JobState::Active
}

#[cfg(test)]
mod tests {
    use elysia_api::IndexSource;
    use serde_json::{Value, json};

    use super::*;

    fn spec() -> FeedSpec {
        let feed: IndexSource = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
            "metadata": {"name": "docs", "namespace": "n", "uid": "new"},
            "spec": {"clusterRef": {"name": "w"}, "collection": "A", "source": {"configMap": {"name": "lines"}}},
        }))
        .unwrap();
        FeedSpec::validate(&feed).unwrap()
    }

    fn owners(uid: &str) -> Value {
        json!([{"apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource", "name": "docs", "uid": uid, "controller": true}])
    }

    #[test]
    fn a_worker_of_a_former_object_of_the_name_is_waited_for() {
        let view = |uid: &str, status: Value| {
            let metadata = json!({"name": "docs-1", "ownerReferences": owners(uid)});
            let job: Job = serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap();
            job_view(&job, &spec()).map(|view| view.state)
        };
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}], "terminating": 1});
        assert_eq!(view("new", json!({})), Some(JobState::Active));
        assert_eq!(view("new", complete.clone()), Some(JobState::Succeeded));
        assert_eq!(view("old", json!({"active": 1})), Some(JobState::Active));
        assert_eq!(view("old", json!({})), Some(JobState::Active), "not started yet");
        assert_eq!(view("old", failed), Some(JobState::Active), "a pod of it still ends");
        assert_eq!(view("old", complete), None);
    }

    #[test]
    fn a_ledger_of_a_former_object_of_the_name_is_not_gone_on_with() {
        let is_of_another = |owners: Value| {
            let owners: Vec<OwnerReference> = serde_json::from_value(owners).unwrap();
            is_of_another(Some(&owners), &spec())
        };
        assert!(is_of_another(owners("old")));
        assert!(!is_of_another(owners("new")));
        assert!(!is_of_another(json!([])));
    }
}
