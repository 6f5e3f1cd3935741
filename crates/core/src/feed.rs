//! `IndexSource`: which run is due, and how the feed stands.

use std::collections::BTreeMap;

use elysia_api::IndexSource;
use elysia_api::collection::PlanStatus;
use elysia_api::common::S3Store;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::{Chunking, Counts, Rewritten, RunState, RunStatus, Source, Unmapped};
use elysia_api::{Rules as _, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::ResourceExt as _;
use serde::{Serialize as _, Serializer};

use crate::collection::ClusterSight;
use crate::condition::{self, Finding};
use crate::fingerprint;
use crate::sight::Sight;

mod effort;
mod failure;
pub mod guard;
pub mod happening;
mod observed;
pub mod partitions;
mod replay;
mod report;
mod timing;

pub use effort::Effort;
pub use failure::FailedRun;
use failure::{failed_unsaid, noted};
pub use guard::{Approval, Guard, Guarded, Limits};
pub use observed::{JobState, JobView, LedgerView, Observed, OpenCircuit, PutOff};
pub use report::{invalid, status};
pub use timing::When;

/// How soon to look again when something outside has to change first.
pub const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(5);

/// A checked spec and what else the object itself says.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedSpec {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Identity of the object.
    pub uid: String,
    /// Name of the WeaviateCluster.
    pub cluster: String,
    /// Name of the collection in Weaviate.
    pub collection: String,
    /// Where the lines come from.
    pub source: Source,
    /// Properties that do not have the name of their line field or metadata key.
    pub properties: BTreeMap<String, String>,
    /// What happens to a metadata key without a property.
    pub unmapped: Unmapped,
    /// How texts are cut.
    pub chunking: Option<Chunking>,
    /// Rejected lines at which a run fails.
    pub max_rejected: Option<i64>,
    /// How many documents a run may delete without approval, as declared. No part of a run's id.
    pub delete_guard: Option<Limits>,
    /// Whether lines that change nothing are found and not written. No part of a run's id.
    pub skip_unchanged: bool,
    /// Workers that share the lines of a run.
    pub partitions: u32,
    /// How hard a worker tries. No part of a run's id: it changes no outcome.
    pub effort: Effort,
    /// When runs start.
    pub when: When,
    /// Lines that must be new for a run to read them. No part of a run's id.
    pub min_changes: Option<i64>,
    /// Whether a rewritten file is read again.
    pub rewritten: Rewritten,
    /// When the object was made.
    pub created: Timestamp,
    /// Value of `elysia.dev/restart`.
    pub restart: Option<String>,
    /// Value of `elysia.dev/run-now`.
    pub run_now: Option<String>,
    /// Value of `elysia.dev/replay`. No part of a run's id.
    pub replay: Option<String>,
    /// Value of `elysia.dev/approve`.
    pub approve: Option<String>,
    /// Whether `elysia.dev/paused` is `"true"`.
    pub paused: bool,
}

impl FeedSpec {
    /// Checks the spec of an object; the error says which rule does not hold.
    pub fn validate(feed: &IndexSource) -> Result<Self, String> {
        feed.check_rules().map_err(|errors| errors.to_string())?;
        let spec = &feed.spec;
        let annotation = |key: &str| feed.annotations().get(key).cloned();
        Ok(Self {
            namespace: feed.namespace().unwrap_or_default(),
            name: feed.name_any(),
            uid: feed.uid().unwrap_or_default(),
            cluster: spec.cluster_ref.name.clone(),
            collection: spec.collection.clone(),
            source: spec.source.clone(),
            properties: spec.mapping.properties.clone(),
            unmapped: spec.mapping.unmapped,
            chunking: spec.chunking,
            max_rejected: spec.max_rejected,
            delete_guard: spec.delete_guard.as_ref().map(Limits::of),
            skip_unchanged: spec.skip_unchanged,
            partitions: spec.partitions.and_then(|partitions| u32::try_from(partitions).ok()).unwrap_or(1),
            effort: Effort::of(spec)?,
            approve: annotation(names::APPROVE_ANNOTATION),
            when: When::of(spec)?,
            min_changes: spec.min_changes.map(i64::from),
            rewritten: spec.run.as_ref().and_then(|run| run.rewritten).unwrap_or_default(),
            created: feed.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            restart: annotation(names::RESTART_ANNOTATION),
            run_now: annotation(names::RUN_NOW_ANNOTATION),
            replay: annotation(names::REPLAY_ANNOTATION),
            paused: annotation(names::PAUSED_ANNOTATION).as_deref() == Some("true"),
        })
    }

    /// Identifies the run over this content. A run's id is made from all that would make its outcome another one, so
    /// that a lost status fires nothing twice.
    pub fn run_id(&self, content: &Content) -> String {
        let unmapped = matches!(self.unmapped, Unmapped::Drop);
        let parts = (&self.uid, &self.cluster, &self.collection, unmapped, self.max_rejected, &self.run_now);
        // What is not said counts for nothing: an upgrade of the operator starts no run.
        match (&self.chunking, self.partitions) {
            (None, ..=1) if self.properties.is_empty() => fingerprint::short(&(parts, content)),
            (None, ..=1) => fingerprint::short(&(parts, content, &self.properties)),
            (Some(chunking), ..=1) => fingerprint::short(&(parts, content, &self.properties, chunking)),
            (chunking, partitions) => fingerprint::short(&(parts, content, &self.properties, chunking, partitions)),
        }
    }

    /// Name of the Job of a run.
    pub fn job(&self, run: &str) -> String {
        format!("{}-{run}", self.name)
    }
}

/// What the source holds.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub enum Content {
    /// Keys of a ConfigMap with the SHA-256 of each, in the order in which they are read.
    ConfigMap {
        /// Name of the ConfigMap.
        name: String,
        /// Key and SHA-256 of its content.
        files: Vec<(String, String)>,
    },
    /// Files on a volume, which only a worker can read.
    Volume {
        /// Name of the PersistentVolumeClaim.
        claim: String,
        /// Folder on it.
        path: String,
        /// Which files.
        pattern: String,
    },
    /// Objects in a bucket, which only a worker can list.
    S3 {
        /// Where they are.
        #[serde(serialize_with = "identity")]
        store: S3Store,
        /// Which objects.
        pattern: String,
    },
}

/// What makes a folder of a bucket this one and no other. Region, key and authorities are only the way to it.
fn identity<S: Serializer>(store: &S3Store, serializer: S) -> Result<S::Ok, S::Error> {
    let S3Store { bucket, prefix, endpoint, region: _, credentials_secret_ref: _, ca_secret_ref: _ } = store;
    (endpoint, bucket, prefix).serialize(serializer)
}

/// What to do with a feed now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The one step, if any.
    pub step: Option<Step>,
    /// When to look again; `None`: at the cluster's interval.
    pub recheck: Option<SignedDuration>,
    /// What the conditions say.
    pub findings: Vec<Finding>,
    /// The present or last run.
    pub run: Option<RunStatus>,
    /// Deletes that wait for approval.
    pub shown: Option<PlanStatus>,
    /// When the next one is due.
    pub next_run: Option<Timestamp>,
}

/// One step.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Delete an ended Job, so that its run can be made again under the same name.
    ForgetJob {
        /// Name of the Job.
        name: String,
    },
    /// Make the account, the ledger and the Job of this run, whatever of them is missing.
    StartRun {
        /// The run's id.
        run: String,
        /// The content it is made for.
        content: Content,
        /// How many documents it may delete, and what a person approved.
        guard: Option<Guard>,
        /// The time for which it is meant, to be written down first; `None` where it is already, or where none is needed.
        intent: Option<Timestamp>,
        /// The request to carry rejected lines out again, instead of reading on.
        replay: Option<String>,
    },
    /// Make the objects of ledgers that are missing, empty: somebody deleted one under a worker. Workers may not make them,
    /// and without it each of them fails. The next one begins anew, which costs time and nothing else.
    MakeLedgers,
    /// Note that a run's Job failed, where that outlives the Job.
    NoteFailure(FailedRun),
    /// End a Job that watches, so that another can take its place.
    EndJob {
        /// Name of the Job.
        name: String,
    },
}

/// The plan for this look.
pub fn plan(spec: &FeedSpec, observed: &Observed) -> Plan {
    let mut plan = decide(spec, observed);
    plan.step = plan.step.or_else(|| replay::forget(spec, observed));
    let is_at_work = observed.jobs.iter().any(|job| job.state == JobState::Active);
    if plan.step.is_none() && is_at_work && observed.lacks_ledger {
        plan.step = Some(Step::MakeLedgers);
    }
    plan.findings.extend(circuit(&plan, observed));
    if spec.paused {
        plan.step = None;
        plan.findings
            .retain(|finding| !finding.kind.present_only_while_true() || finding.kind == ConditionType::Running);
        let message = "elysia.dev/paused is true: no run is started";
        plan.findings.push(Finding::holds(ConditionType::Stalled, Reason::Paused, message));
    }
    plan
}

/// Whether the worker of the plan's run can work; `None` before it has said anything.
fn circuit(plan: &Plan, observed: &Observed) -> Option<Finding> {
    let run = plan.run.as_ref()?;
    let ledger = observed.ledger.seen()?.as_ref().filter(|ledger| ledger.run == run.id)?;
    let kind = ConditionType::CircuitClosed;
    // A worker that is gone waits for nothing, and whether the next one could call is not known.
    if ledger.breaker.is_some() && run.state != RunState::Running {
        return None;
    }
    Some(match &ledger.breaker {
        None => Finding::holds(kind, Reason::CircuitClosed, "calls succeed"),
        Some(OpenCircuit { failures, message, .. }) => {
            let text =
                format!("{failures} calls in a row failed; it is tried again after the cooldown. The last: {message}");
            Finding::fails(kind, Reason::CircuitOpen, text)
        }
    })
}

fn decide(spec: &FeedSpec, observed: &Observed) -> Plan {
    let content = match &observed.content {
        Sight::Unseen(blindness) => {
            return waits(Finding::unknown(ConditionType::Ready, Reason::Unknown, &blindness.message));
        }
        Sight::Seen(Err(missing)) => {
            return stuck(Finding::fails(ConditionType::Ready, Reason::SourceMissing, missing));
        }
        Sight::Seen(Ok(content)) => content,
    };
    let ledger = match &observed.ledger {
        // Without the ledger nothing is known of what was done: nothing is started.
        Sight::Unseen(blindness) => {
            return waits(Finding::unknown(ConditionType::Ready, Reason::Unknown, &blindness.message));
        }
        Sight::Seen(ledger) => ledger.as_ref(),
    };
    if let Some(plan) = replay::decide(spec, observed, content, ledger) {
        return plan;
    }
    if let Some(plan) = timing::end_other_watch(spec, observed, content) {
        return plan;
    }
    if spec.when != When::Once {
        return timing::decide(spec, observed, content, ledger);
    }
    if spec.partitions > 1 && guard::limits(spec, observed).is_some() {
        let why = observed.protection.as_deref().unwrap_or("deleteGuard");
        let message = format!(
            "deletes may need a person's word ({why}), and partitions cannot wait for one together: leave spec.partitions out"
        );
        return stuck(Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message));
    }
    let run = spec.run_id(content);
    let ledger = ledger.filter(|ledger| ledger.run == run);
    let name = spec.job(&run);
    let job = observed.jobs.iter().find(|job| job.name == name);
    match (ledger, job.map(|job| &job.state)) {
        (Some(ledger), _) if ledger.state == RunState::Succeeded => match too_many_rejected(spec, ledger) {
            Some(message) => failed(spec, &name, Some(ledger), &run, &message),
            None => complete(&name, ledger),
        },
        (Some(ledger), None | Some(JobState::Failed(_))) if ledger.state == RunState::Failed => {
            let message = ledger.message.clone().unwrap_or_else(|| "the run failed".to_owned());
            failed(spec, &name, Some(ledger), &run, &message)
        }
        (Some(ledger), None | Some(JobState::Succeeded)) if ledger.state == RunState::Waiting => {
            guard::waiting(spec, observed, content, ledger, job)
        }
        (ledger, Some(JobState::Failed(message))) => failed_unsaid(spec, observed, &name, ledger, &run, message),
        // Its outcome was written over by a later run: this content came back.
        (None, Some(JobState::Succeeded)) => {
            let mut plan = running(&name, None, &run);
            plan.step = Some(Step::ForgetJob { name });
            plan
        }
        (ledger, Some(JobState::Active | JobState::Succeeded)) => running(&name, ledger, &run),
        (ledger, None) => match noted(observed, &run) {
            Some(message) => failed(spec, &name, ledger, &run, message),
            None => start(spec, observed, content, ledger, None),
        },
    }
}

/// Each of several partitions has held its own number of rejected lines against the limit; here it is their sum.
fn too_many_rejected(spec: &FeedSpec, ledger: &LedgerView) -> Option<String> {
    let (rejected, most) = (ledger.counts.rejected, spec.max_rejected?);
    (spec.partitions > 1 && rejected > most).then(|| {
        format!(
            "{rejected} lines were rejected by all partitions together, more than the {most} that maxRejected allows"
        )
    })
}

fn start(
    spec: &FeedSpec,
    observed: &Observed,
    content: &Content,
    ledger: Option<&LedgerView>,
    approval: Option<Approval>,
) -> Plan {
    if let Some(plan) = obstacle(spec, observed, content) {
        return plan;
    }
    let run = spec.run_id(content);
    let mut plan = running(&spec.job(&run), ledger, &run);
    let guard = guard::limits(spec, observed).map(|limits| Guard { limits, approval });
    plan.step = Some(Step::StartRun { run, content: content.clone(), guard, intent: None, replay: None });
    plan
}

/// What keeps a run from starting.
fn obstacle(spec: &FeedSpec, observed: &Observed, content: &Content) -> Option<Plan> {
    if let Some(other) = observed.jobs.iter().find(|job| job.state == JobState::Active) {
        let message = format!("Job {} of an earlier run is still at it; one run at a time", other.name);
        return Some(waits(Finding::fails(ConditionType::Ready, Reason::Running, message)));
    }
    match &observed.cluster {
        ClusterSight::Missing => {
            let message = format!("WeaviateCluster {} does not exist in this namespace", spec.cluster);
            return Some(stuck(Finding::fails(ConditionType::Ready, Reason::ClusterMissing, message)));
        }
        ClusterSight::Unfit(why) => {
            let message = format!("waiting for cluster {}: {why}", spec.cluster);
            return Some(waits(Finding::fails(ConditionType::Ready, Reason::ClusterNotReady, message)));
        }
        ClusterSight::Fit => {}
    }
    match &observed.collection {
        Sight::Seen(true) => {}
        Sight::Seen(false) => {
            let message = format!("collection {} does not exist; declare it with an ElysiaCollection", spec.collection);
            return Some(waits(Finding::fails(ConditionType::Ready, Reason::CollectionMissing, message)));
        }
        Sight::Unseen(blindness) => {
            return Some(waits(Finding::unknown(ConditionType::Ready, Reason::Unknown, &blindness.message)));
        }
    }
    if matches!(content, Content::ConfigMap { files, .. } if files.is_empty()) {
        let findings = vec![
            Finding::holds(ConditionType::Ready, Reason::NoChanges, "the ConfigMap holds no lines"),
            Finding::holds(ConditionType::CaughtUp, Reason::NoChanges, "there is nothing to index"),
        ];
        return Some(Plan { step: None, recheck: None, findings, run: None, shown: None, next_run: None });
    }
    None
}

fn run_status(name: &str, ledger: Option<&LedgerView>, run: &str, state: RunState, message: Option<&str>) -> RunStatus {
    let time = |time: Timestamp| Time(condition::whole_seconds(time));
    RunStatus {
        id: run.to_owned(),
        state,
        job: Some(name.to_owned()),
        started_at: ledger.map(|ledger| time(ledger.started_at)),
        finished_at: ledger.and_then(|ledger| ledger.finished_at).map(time),
        message: message.map(condition::clipped),
    }
}

fn complete(name: &str, ledger: &LedgerView) -> Plan {
    let Counts { lines, rejected, .. } = ledger.counts;
    let (reason, message) = if rejected > 0 {
        (Reason::CompleteWithRejects, format!("{lines} lines, {rejected} of them rejected; status.deadLetter says why"))
    } else {
        (Reason::Complete, format!("{lines} lines"))
    };
    let findings = vec![
        Finding::holds(ConditionType::Ready, reason, message.clone()),
        Finding::holds(ConditionType::CaughtUp, reason, message),
    ];
    let run = run_status(name, Some(ledger), &ledger.run, RunState::Succeeded, None);
    Plan { step: None, recheck: None, findings, run: Some(run), shown: None, next_run: None }
}

fn running(name: &str, ledger: Option<&LedgerView>, run: &str) -> Plan {
    let mut message = ledger.map_or_else(
        || format!("Job {name} is starting"),
        |ledger| format!("Job {name} has dealt with {} lines", ledger.counts.lines),
    );
    if let Some(ledger) = ledger.filter(|ledger| ledger.state == RunState::Failed) {
        let why = ledger.message.as_deref().unwrap_or("it failed");
        message = format!("{message}; its last worker ended, and another one goes on: {why}");
    }
    // A first run moves Ready as well: until it is done the collection is not as declared.
    let findings = vec![
        Finding::fails(ConditionType::Ready, Reason::Running, message.clone()),
        Finding::fails(ConditionType::CaughtUp, Reason::Running, message.clone()),
        Finding::holds(ConditionType::Running, Reason::Running, message.clone()),
        Finding::holds(ConditionType::Reconciling, Reason::Running, message),
    ];
    let state = if ledger.is_some() { RunState::Running } else { RunState::Pending };
    let run = run_status(name, ledger, run, state, None);
    Plan { step: None, recheck: Some(RECHECK_LATER), findings, run: Some(run), shown: None, next_run: None }
}

fn failed(spec: &FeedSpec, name: &str, ledger: Option<&LedgerView>, run: &str, message: &str) -> Plan {
    let text = format!(
        "{message}; nothing after the checkpoint was indexed. Mend the cause, then change the content or run it again: kubectl annotate --overwrite indexsource {} elysia.dev/run-now=$(date +%s)",
        spec.name
    );
    let findings = vec![
        Finding::fails(ConditionType::Ready, Reason::RunFailed, text.clone()),
        Finding::fails(ConditionType::CaughtUp, Reason::RunFailed, text.clone()),
        Finding::holds(ConditionType::Stalled, Reason::RunFailed, text),
    ];
    let run = run_status(name, ledger, run, RunState::Failed, Some(message));
    Plan { step: None, recheck: None, findings, run: Some(run), shown: None, next_run: None }
}

/// Ready as found; nothing can start before something outside changes, which it may do by itself.
fn waits(ready: Finding) -> Plan {
    let mut findings = vec![ready.clone()];
    findings.push(Finding { kind: ConditionType::CaughtUp, ..ready.clone() });
    if ready.value == condition::Value::False {
        findings.push(Finding::holds(ConditionType::Reconciling, ready.reason, ready.message));
    }
    Plan { step: None, recheck: Some(RECHECK_LATER), findings, run: None, shown: None, next_run: None }
}

/// Ready as found; nothing can start before a person changes something.
fn stuck(ready: Finding) -> Plan {
    let findings = vec![
        ready.clone(),
        Finding { kind: ConditionType::CaughtUp, ..ready.clone() },
        Finding::holds(ConditionType::Stalled, ready.reason, ready.message),
    ];
    Plan { step: None, recheck: Some(RECHECK_LATER), findings, run: None, shown: None, next_run: None }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
