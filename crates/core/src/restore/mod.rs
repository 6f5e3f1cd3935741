//! `CollectionRestore`: whether it may begin, and how it stands. It never runs twice: its receipt lies beside the backup,
//! and the worker that finds it done does nothing.

pub mod happening;
pub mod ledger;
mod report;
mod spec;

use std::fmt::Write as _;

use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::restore::{Conflict, LeftAlias, PassedOverRun, PassedOverRuns, RestorePhase, RestoredAliases};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::collection::ClusterSight;
use crate::condition::{self, Finding};
use crate::feed::{FailedRun, JobState, JobView};
use crate::sight::Sight;
use ledger::{Guarded, RestoreLedger, Stage};
pub use report::{invalid, status};
pub use spec::{RestoreSpec, makes_aliases};

/// How soon to look again when something outside has to change first, or while it is under way.
const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(5);

/// Everything that one look at a restore gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The cluster.
    pub cluster: ClusterSight,
    /// Identity of the cluster; `None` where there is none.
    pub cluster_uid: Option<String>,
    /// Whether the collection is there; `None` where that was not asked, or not answered. It is asked of a restore that is done.
    pub is_there: Option<bool>,
    /// Whether what the store needs is there; `Seen(Err)` says what is missing.
    pub store: Sight<Result<(), Missing>>,
    /// What the worker wrote; `Seen(None)` before it began.
    pub ledger: Sight<Option<RestoreLedger>>,
    /// Whether the ledger's object is there: notes stand on it.
    pub keeps_notes: bool,
    /// The work whose Job failed and whose worker did not say so itself, as it is noted there.
    pub failed: Option<FailedRun>,
    /// The Jobs of the restore.
    pub jobs: Vec<JobView>,
    /// Another restore into the same collection: an older one that is not finished, or any that is at work.
    pub rival: Option<String>,
    /// A Job that backs the cluster up: half a restore would be taken for all of it.
    pub backing_up: Option<String>,
    /// The time of the look.
    pub now: Timestamp,
}

/// What is missing before anything can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Missing {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// What to do with a restore now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The one step, if any.
    pub step: Option<Step>,
    /// When to look again; `None`: at the cluster's interval.
    pub recheck: Option<SignedDuration>,
    /// What the conditions say.
    pub findings: Vec<Finding>,
    /// How far it is.
    pub phase: RestorePhase,
    /// The Job at work.
    pub job: Option<String>,
    /// What waits for approval.
    pub shown: Option<PlanStatus>,
}

/// One step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Make the account, the ledger and the Job, whatever of them is missing.
    Start {
        /// Names the work.
        order: String,
        /// What a person approved.
        approval: Option<Approval>,
    },
    /// Delete an ended Job, so that its work can be done again under the same name.
    ForgetJob {
        /// Name of the Job.
        name: String,
    },
    /// Make the ledger's object, empty: somebody deleted it under a worker, which may not make it and fails without it.
    MakeLedger,
    /// Note that a Job failed, where that outlives the Job.
    NoteFailure(FailedRun),
}

/// What a person approved: this run, over what is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approval {
    /// The hash.
    pub hash: String,
    /// The run.
    pub run: String,
}

/// The plan for this look.
pub fn plan(spec: &RestoreSpec, observed: &Observed) -> Plan {
    let mut plan = decide(spec, observed);
    let is_at_work = observed.jobs.iter().any(|job| job.state == JobState::Active);
    let lacks_ledger = !observed.keeps_notes && observed.ledger.seen().is_some();
    if plan.step.is_none() && is_at_work && lacks_ledger {
        plan.step = Some(Step::MakeLedger);
    }
    if spec.paused {
        plan.step = None;
        plan.findings
            .retain(|finding| !finding.kind.present_only_while_true() || finding.kind == ConditionType::Running);
        let message = "elysia.dev/paused is true: nothing is started";
        plan.findings.push(Finding::holds(ConditionType::Stalled, Reason::Paused, message));
    }
    plan
}

fn decide(spec: &RestoreSpec, observed: &Observed) -> Plan {
    let ledger = match &observed.ledger {
        Sight::Unseen(blindness) => {
            let unknown = Finding::unknown(ConditionType::Ready, Reason::Unknown, &blindness.message);
            return rests(RestorePhase::Pending, vec![unknown], Some(RECHECK_LATER));
        }
        Sight::Seen(ledger) => {
            ledger.as_ref().filter(|ledger| spec.is_told_by(ledger, observed.cluster_uid.as_deref()))
        }
    };
    let is_busy = |name: &str| observed.jobs.iter().any(|job| job.name == name && job.state == JobState::Active);
    let mut approval = None;
    let mut order = spec.order(None);
    if let Some(ledger) = ledger {
        let is_asked_again = ledger.run_now != spec.run_now;
        match ledger.stage {
            // What was done once is not taken for what is there.
            Stage::Done if observed.is_there == Some(false) => return gone(spec, ledger),
            Stage::Done => return succeeded(spec, ledger),
            Stage::Gone => return gone(spec, ledger),
            Stage::Failed if !is_asked_again && !is_busy(&spec.job(&ledger.order)) => {
                return failed(spec, ledger.has_begun, ledger.message.as_deref().unwrap_or("it failed"));
            }
            Stage::Waiting if !is_asked_again => {
                // Only a ledger that somebody wrote by hand lacks it: then it is looked again.
                if let Some(guarded) = &ledger.guarded {
                    let hash = spec.hash(guarded);
                    // One that was used up approves nothing again.
                    if spec.approve.as_ref() != Some(&hash) || ledger.approved.as_ref() == Some(&hash) {
                        return needs_approval(spec, ledger, guarded, hash);
                    }
                    order = spec.order(Some(&hash));
                    approval = Some(Approval { hash, run: guarded.run.clone() });
                }
            }
            Stage::Looking | Stage::Writing | Stage::Failed if !is_asked_again => order.clone_from(&ledger.order),
            Stage::Looking | Stage::Writing | Stage::Waiting | Stage::Failed => {}
        }
    }
    work(spec, observed, ledger, order, approval)
}

/// How the work of this order stands; its Job is made if it is not there.
fn work(
    spec: &RestoreSpec,
    observed: &Observed,
    ledger: Option<&RestoreLedger>,
    order: String,
    approval: Option<Approval>,
) -> Plan {
    let name = spec.job(&order);
    let own = ledger.filter(|ledger| ledger.order == order);
    let has_begun = ledger.is_some_and(|ledger| ledger.has_begun);
    let noted = observed.failed.as_ref().filter(|failed| failed.run == order);
    match observed.jobs.iter().find(|job| job.name == name).map(|job| &job.state) {
        Some(JobState::Active) => running(&name, own),
        Some(JobState::Succeeded) => {
            let mut plan = running(&name, own);
            plan.step = Some(Step::ForgetJob { name });
            plan
        }
        Some(JobState::Failed(why)) => {
            let mut plan = failed(spec, has_begun, why);
            if observed.keeps_notes && noted.is_none() {
                plan.step = Some(Step::NoteFailure(FailedRun { run: order, message: condition::clipped(why) }));
            }
            plan
        }
        None => {
            if let Some(noted) = noted {
                return failed(spec, has_begun, &noted.message);
            }
            if let Some(plan) = obstacle(spec, observed) {
                return plan;
            }
            let mut plan = running(&name, own);
            plan.step = Some(Step::Start { order, approval });
            plan
        }
    }
}

/// What keeps the work from starting.
fn obstacle(spec: &RestoreSpec, observed: &Observed) -> Option<Plan> {
    let (reason, message, needs_a_person) = why_not(spec, observed)?;
    let is_late = observed.now.duration_since(spec.created) > spec.deadline;
    let kind = if needs_a_person || is_late { ConditionType::Stalled } else { ConditionType::Reconciling };
    let findings =
        vec![Finding::fails(ConditionType::Ready, reason, message.clone()), Finding::holds(kind, reason, message)];
    Some(rests(RestorePhase::Pending, findings, Some(RECHECK_LATER)))
}

fn why_not(spec: &RestoreSpec, observed: &Observed) -> Option<(Reason, String, bool)> {
    if let Some(other) = observed.jobs.iter().find(|job| job.state == JobState::Active) {
        let message = format!("Job {} is still at it; it is waited for", other.name);
        return Some((Reason::Running, message, false));
    }
    match &observed.cluster {
        ClusterSight::Missing => {
            let message = format!("WeaviateCluster {} does not exist in this namespace; create it", spec.cluster);
            return Some((Reason::ClusterMissing, message, true));
        }
        ClusterSight::Unfit(why) => {
            let message = format!(
                "waiting for cluster {0}: {why}; see: kubectl elysia health {0} --namespace {1}",
                spec.cluster, spec.namespace
            );
            return Some((Reason::ClusterNotReady, message, false));
        }
        ClusterSight::Fit => {}
    }
    if let Some(rival) = &observed.rival {
        let message = format!(
            "CollectionRestore {rival} into {} is older or at work, and not finished; it goes first",
            spec.into
        );
        return Some((Reason::Conflict, message, false));
    }
    if let Some(job) = &observed.backing_up {
        let message = format!("Job {job} backs cluster {} up; it is waited for", spec.cluster);
        return Some((Reason::Conflict, message, false));
    }
    match &observed.store {
        Sight::Unseen(blindness) => Some((Reason::Unknown, blindness.message.clone(), false)),
        Sight::Seen(Err(Missing { reason, message })) => Some((*reason, message.clone(), true)),
        Sight::Seen(Ok(())) => None,
    }
}

fn rests(phase: RestorePhase, findings: Vec<Finding>, recheck: Option<SignedDuration>) -> Plan {
    Plan { step: None, recheck, findings, phase, job: None, shown: None }
}

fn running(name: &str, own: Option<&RestoreLedger>) -> Plan {
    let message = match own {
        None => format!("Job {name} is starting"),
        Some(own) => match own.stage {
            Stage::Writing | Stage::Done | Stage::Gone => {
                let passed_over = skipped_runs(own).map(|told| format!("; {told}")).unwrap_or_default();
                format!("Job {name} has dealt with {} of {} objects{passed_over}", own.done, own.total)
            }
            Stage::Looking | Stage::Waiting => format!("Job {name} looks at the backup and at the collection"),
            Stage::Failed => {
                let why = own.message.as_deref().unwrap_or("it failed");
                format!("Job {name} tries again, its last worker ended: {why}")
            }
        },
    };
    let findings = vec![
        Finding::fails(ConditionType::Ready, Reason::Running, message.clone()),
        Finding::holds(ConditionType::Running, Reason::Running, message.clone()),
        Finding::holds(ConditionType::Reconciling, Reason::Running, message),
    ];
    let mut plan = rests(RestorePhase::Running, findings, Some(RECHECK_LATER));
    plan.job = Some(name.to_owned());
    plan
}

fn succeeded(spec: &RestoreSpec, ledger: &RestoreLedger) -> Plan {
    let RestoreLedger { written, skipped, unchanged, merged, unselected, unconverted, dropped, .. } = ledger;
    let run = ledger.run.as_deref().unwrap_or(&spec.from.run);
    let mut message = format!(
        "{} of run {run} is in {}: {written} objects written, {skipped} left as they were, {merged} merged",
        spec.collection, spec.into
    );
    for (count, what) in [
        (unchanged, "equal to what was there"),
        (unselected, "not selected"),
        (unconverted, "left out because a value could not be converted"),
        (dropped, "properties left out because they could not be"),
    ] {
        if *count > 0 {
            // Writing to a String cannot fail.
            write!(message, ", {count} {what}").ok();
        }
    }
    if let Some(aliases) = &ledger.aliases {
        told(&mut message, aliases);
    }
    if let Some(told) = skipped_runs(ledger) {
        write!(message, "; {told}").ok();
    }
    let ready = Finding::holds(ConditionType::Ready, Reason::Restored, message);
    rests(RestorePhase::Succeeded, vec![ready], None)
}

/// That newer runs were passed over: the newest is named here, the next in the status.
fn skipped_runs(ledger: &RestoreLedger) -> Option<String> {
    ledger.passed_over.as_ref().and_then(passed_over)
}

/// The same, for people.
pub fn passed_over(passed_over: &PassedOverRuns) -> Option<String> {
    let PassedOverRuns { total, runs } = passed_over;
    let PassedOverRun { run, why } = runs.first()?;
    let more = if *total > 1 { format!(", and {} more", total - 1) } else { String::new() };
    Some(format!("newer run {run} was passed over, since {why}{more}"))
}

/// What became of aliases. Of those that were left one is named here, the others in the status.
fn told(message: &mut String, aliases: &RestoredAliases) {
    let RestoredAliases { leading, pending: _, left, reasons } = aliases;
    // Writing to a String cannot fail.
    if *leading > 0 {
        write!(message, "; {leading} aliases lead to it").ok();
    }
    if let Some(LeftAlias { name, why }) = reasons.first() {
        let more = if *left > 1 { format!(", and {} more", left - 1) } else { String::new() };
        write!(message, "; alias {name} was left as it is, since {why}{more}").ok();
    }
}

/// It was done once. That the collection is gone may be meant: it is told and nothing is done.
fn gone(spec: &RestoreSpec, ledger: &RestoreLedger) -> Plan {
    let at = ledger.finished_at.map(|at| format!(" at {}", condition::whole_seconds(at))).unwrap_or_default();
    let message = format!(
        "this restore was done{at}, and collection {} does not exist any more. A restore never runs twice: to restore it again, apply this manifest under another metadata.name",
        spec.into
    );
    let ready = Finding::holds(ConditionType::Ready, Reason::CollectionGone, message);
    rests(RestorePhase::Succeeded, vec![ready], None)
}

fn failed(spec: &RestoreSpec, has_begun: bool, why: &str) -> Plan {
    let again = format!(
        "kubectl annotate --overwrite collectionrestore {} --namespace {} elysia.dev/run-now=$(date +%s)",
        spec.name, spec.namespace
    );
    let (reason, text) = if has_begun {
        let text =
            format!("{why}. What was written stays. Mend the cause, then let it go on where it stopped: {again}");
        (Reason::RunFailed, text)
    } else {
        (Reason::Blocked, format!("{why}. Nothing was written. Mend the cause, then try again: {again}"))
    };
    let findings = vec![
        Finding::fails(ConditionType::Ready, reason, text.clone()),
        Finding::holds(ConditionType::Stalled, reason, text),
    ];
    rests(RestorePhase::Failed, findings, None)
}

fn needs_approval(spec: &RestoreSpec, ledger: &RestoreLedger, guarded: &Guarded, hash: String) -> Plan {
    let Guarded { run, tenant, protection, since } = guarded;
    let into = &spec.into;
    let tenant = tenant.as_ref().map(|tenant| format!(" (tenant {tenant} does)")).unwrap_or_default();
    let step = match spec.conflict {
        Conflict::Merge => format!("write {} of run {run} over objects of the same ids in {into}", spec.collection),
        Conflict::Skip => format!("add objects of {} of run {run} to those in {into}", spec.collection),
        Conflict::Overwrite | Conflict::Fail => {
            format!("put {} of run {run} in place of objects of the same ids in {into}", spec.collection)
        }
    };
    let found = match protection {
        Some(pattern) => format!("{into} is protected by {pattern}"),
        None => format!("{into} holds objects{tenant}, or cannot be shown to be empty"),
    };
    // The message ends with a command.
    let passed_over = skipped_runs(ledger).map(|told| format!("{told}; ")).unwrap_or_default();
    let message = format!(
        "{passed_over}{found}, and the restore would {step}; nothing was written. Approve it: kubectl annotate --overwrite collectionrestore {} --namespace {} elysia.dev/approve={hash} elysia.dev/approved-by=\"$(kubectl auth whoami --output jsonpath='{{.status.userInfo.username}}')\"",
        spec.name, spec.namespace,
    );
    let findings = vec![
        Finding::fails(ConditionType::Ready, Reason::NeedsApproval, message.clone()),
        Finding::holds(ConditionType::Stalled, Reason::NeedsApproval, message),
    ];
    let mut plan = rests(RestorePhase::NeedsApproval, findings, None);
    plan.shown = Some(PlanStatus {
        waiting_for: Some(format!("approval: elysia.dev/approve={hash}")),
        hash,
        action: if spec.conflict == Conflict::Skip { "Add" } else { "Overwrite" }.to_owned(),
        destructive: true,
        steps: vec![step],
        total_steps: 1,
        since: Some(Time(condition::whole_seconds(*since))),
    });
    plan
}

#[cfg(test)]
mod tests;
