//! The Jobs of a feed, and pods that outlive theirs.

use std::collections::BTreeSet;

use elysia_api::names;
use elysia_core::feed::{FeedSpec, JobState, JobView};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::ReconcileError;
use super::super::context::Context;

/// The label by which Kubernetes names the Job on each of its pods.
const JOB_LABEL: &str = "batch.kubernetes.io/job-name";

/// The Jobs of the feed. One that is gone while a pod of it is still there counts as being at work: the pod may write.
pub(super) async fn jobs(spec: &FeedSpec, context: &Context) -> Result<Vec<JobView>, ReconcileError> {
    labelled(&spec.namespace, (names::FEED_LABEL, &spec.name), &spec.uid, context).await
}

/// The Jobs that carry this label with this value, as the object with this uid sees them.
pub(in crate::controllers) async fn labelled(
    namespace: &str,
    (label, name): (&str, &str),
    uid: &str,
    context: &Context,
) -> Result<Vec<JobView>, ReconcileError> {
    let selector = format!("{label}={name}");
    let selected = ListParams::default().labels(&selector);
    let api: Api<Job> = Api::namespaced(context.kube.clone(), namespace);
    let jobs = api.list(&selected).await.map_err(ReconcileError::read(format!("the Jobs of {name}")))?;
    // After the Jobs: a pod is made after its Job, so that none is missed whose Job was not there yet.
    let api: Api<Pod> = Api::namespaced(context.kube.clone(), namespace);
    let pods = api.list(&selected).await.map_err(ReconcileError::read(format!("the pods of {name}")))?;
    Ok(views(&jobs.items, &pods.items, uid))
}

fn views(jobs: &[Job], pods: &[Pod], uid: &str) -> Vec<JobView> {
    let mut left: BTreeSet<String> = pods.iter().filter(|pod| may_write(pod)).map(job_of).collect();
    let mut views: Vec<JobView> = jobs.iter().filter_map(|job| view(job, uid, left.remove(&job.name_any()))).collect();
    let gone = |name| JobView { name, state: JobState::Active, watches: false, idle_since: None };
    views.extend(left.into_iter().map(gone));
    views.sort_by(|one, other| one.name.cmp(&other.name));
    views
}

/// Whether the pod's worker runs, or may begin to.
fn may_write(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

fn job_of(pod: &Pod) -> String {
    pod.labels().get(JOB_LABEL).cloned().unwrap_or_else(|| pod.name_any())
}

/// The Job as this feed sees it. One of a former object of the same name writes the same collection, so it is waited for
/// like one of an earlier run; once it has ended it says nothing about this feed.
fn view(job: &Job, uid: &str, has_pod: bool) -> Option<JobView> {
    let name = job.name_any();
    let watches = job.labels().contains_key(names::WATCH_LABEL);
    let state = if has_pod { JobState::Active } else { state(job) };
    let idle_since = idle_since(job);
    if job.owner_references().iter().any(|owner| owner.uid == uid) {
        return Some(JobView { name, state, watches, idle_since });
    }
    (state == JobState::Active || is_at_work(job)).then_some(JobView {
        name,
        state: JobState::Active,
        watches,
        idle_since,
    })
}

/// Whether a Job may be at work.
pub(in crate::controllers) fn is_at_work(job: &Job) -> bool {
    state(job) == JobState::Active || pods(job.status.as_ref()) > 0
}

fn pods(status: Option<&JobStatus>) -> i32 {
    status.map_or(0, |status| status.active.unwrap_or_default() + status.terminating.unwrap_or_default())
}

fn idle_since(job: &Job) -> Option<Timestamp> {
    let ready = job.status.as_ref().and_then(|status| status.ready).unwrap_or_default();
    let started = job.status.as_ref().and_then(|status| status.start_time.as_ref());
    let since = started.or(job.metadata.creation_timestamp.as_ref()).map(|time| time.0);
    since.filter(|_| ready == 0)
}

fn state(job: &Job) -> JobState {
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

    fn job(uid: &str, status: &Value) -> Job {
        let owners = json!([
            {"apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource", "name": "docs", "uid": uid, "controller": true}
        ]);
        let metadata =
            json!({"name": "docs-1", "ownerReferences": owners, "creationTimestamp": "1970-01-01T00:00:09Z"});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    fn pod(job: &str, phase: &str) -> Pod {
        let metadata = json!({"name": format!("{job}-x"), "labels": {JOB_LABEL: job}});
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
    }

    fn states(jobs: &[Job], pods: &[Pod]) -> Vec<(String, JobState)> {
        views(jobs, pods, &spec().uid).into_iter().map(|view| (view.name, view.state)).collect()
    }

    #[test]
    fn a_worker_of_a_former_object_of_the_name_is_waited_for() {
        let view = |uid: &str, status: Value| states(&[job(uid, &status)], &[]).pop().map(|(_, state)| state);
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
    fn a_pod_that_outlives_its_job_is_at_work() {
        let active = |name: &str| vec![(name.to_owned(), JobState::Active)];
        assert_eq!(states(&[], &[pod("docs-0", "Running")]), active("docs-0"));
        assert_eq!(states(&[], &[pod("docs-0", "Pending")]), active("docs-0"));
        assert_eq!(states(&[], &[pod("docs-0", "Succeeded"), pod("docs-0", "Failed")]), []);
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let ended = job("new", &complete);
        assert_eq!(states(std::slice::from_ref(&ended), &[pod("docs-1", "Running")]), active("docs-1"));
        assert_eq!(states(&[ended], &[pod("docs-1", "Succeeded")]), [("docs-1".to_owned(), JobState::Succeeded)]);
    }

    #[test]
    fn a_job_without_a_pod_that_runs_is_idle_since_its_start() {
        let idle =
            |status: Value| views(&[job("new", &status)], &[], &spec().uid)[0].idle_since.map(Timestamp::as_second);
        assert_eq!(idle(json!({})), Some(9));
        assert_eq!(idle(json!({"active": 1, "startTime": "1970-01-01T00:00:10Z"})), Some(10));
        assert_eq!(idle(json!({"active": 1, "ready": 1, "startTime": "1970-01-01T00:00:10Z"})), None);
    }
}
