//! Restore drills among the work of a policy: when one is due, and how it stands.
//!
//! A drill waits for everything else: a run that is due goes first, and after a run that failed there is no drill, so that
//! what a person must see of the run stays to be seen. It moves Running, never Ready, until it finds something.

use elysia_api::backup::DrillState;
use elysia_api::condition::{ConditionType, Reason};
use jiff::Timestamp;

use super::ledger::{Attempt, BackupLedger, DrillNote, RunNote, Stage};
use super::standing::{self, standing};
use super::work::{Work, noted, work};
use super::{BackupSpec, Intent, Observed, Plan, RECHECK_AT_REST, RECHECK_LATER, Step, Task, waits_since};
use crate::condition::{self, Finding};
use crate::feed::JobState;
use crate::schedule::is_of_the_future;

/// The time for which a drill is to be started now, as nothing else is.
pub(super) fn due(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> Option<Timestamp> {
    let drill = spec.drill.as_ref()?;
    // Without a good run there is nothing to drill. A ledger that was lost is made anew by the next run.
    if !may_follow(spec, observed, ledger) || ledger.runs.iter().all(RunNote::is_suspect) {
        return None;
    }
    let time = drill.timetable.due(served(observed).unwrap_or(spec.created), observed.now)?;
    // The note of what was served may be lost, and the verdict not.
    let is_done = ledger.last_drill.as_ref().is_some_and(|last| last.order == spec.drilling(time));
    (!is_done).then_some(time)
}

/// The time of the drills' schedule that was served last, if that is known. What a clock noted that was ahead is not served.
fn served(observed: &Observed) -> Option<Timestamp> {
    let served = observed.intent.as_ref()?.drilled?;
    (!is_of_the_future(served, observed.now)).then_some(served)
}

/// Whether the last work lets a drill follow: a run that is done, or a drill that is over.
fn may_follow(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> bool {
    let Some(last) = &observed.intent else { return true };
    let stage = ledger.attempt.as_ref().filter(|attempt| attempt.order == last.order).map(|attempt| attempt.stage);
    stage == Some(Stage::Done) || (spec.is_drill(last) && is_over(spec, observed, ledger))
}

/// Whether the drill that is meant came to an end, good or bad; what is no drill is none that waits.
pub(super) fn is_over(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> bool {
    let Some(last) = observed.intent.as_ref().filter(|last| spec.is_drill(last)) else { return true };
    let own = ledger.attempt.as_ref().filter(|attempt| attempt.order == last.order);
    let name = spec.job(&last.order);
    let has_failed = observed.jobs.iter().any(|job| job.name == name && matches!(job.state, JobState::Failed(_)));
    own.is_some_and(|own| matches!(own.stage, Stage::Done | Stage::Failed))
        || has_failed
        || noted(observed, &last.order).is_some()
}

/// How the drill stands that is meant now; its Job is made if it is not there.
pub(super) fn current(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, intent: Intent) -> Plan {
    let name = spec.job(&intent.order);
    let own = ledger.attempt.as_ref().filter(|attempt| attempt.order == intent.order);
    match work(spec, observed, own, &intent.order) {
        Work::Done => standing(spec, observed, ledger),
        Work::Failed { why, has_job: _ } => {
            unfinished(spec, observed, ledger, why.unwrap_or("its worker did not say why"))
        }
        Work::Lost { why, step } => Plan { step, ..unfinished(spec, observed, ledger, why) },
        Work::UnderWay { step } => Plan { step, ..running(spec, observed, ledger, own, &name) },
        // It was meant, and is not any more.
        Work::Absent if spec.drill.is_none() => standing(spec, observed, ledger),
        Work::Absent => {
            if let Some(plan) = obstacle(spec, observed, ledger, &intent) {
                return plan;
            }
            let mut plan = running(spec, observed, ledger, own, &name);
            plan.step = Some(Step::Start { intent, task: Task::Drill });
            plan
        }
    }
}

fn running(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, own: Option<&Attempt>, name: &str) -> Plan {
    let mut message = own.map_or_else(
        || format!("Job {name} is starting, a restore drill"),
        |own| {
            let run = own.run.as_deref().unwrap_or("the newest good run");
            format!("Job {name} {} with {run}: {} objects restored so far", own.stage.as_str(), own.objects)
        },
    );
    if let Some(why) = own.filter(|own| own.stage == Stage::Failed).and_then(|own| own.message.as_deref()) {
        message = format!("Job {name} tries again, its last worker ended: {why}");
    }
    let mut plan = standing(spec, observed, ledger);
    plan.findings.push(Finding::holds(ConditionType::Running, Reason::Running, message));
    plan.recheck = Some(RECHECK_LATER);
    plan
}

/// Nothing is known of the run, and a person should see why.
fn unfinished(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, why: &str) -> Plan {
    let mut plan = standing(spec, observed, ledger);
    let is_bad = plan.findings.iter().any(|finding| finding.kind == ConditionType::Stalled);
    if !is_bad {
        let message =
            format!("the restore drill could not be done: {why}; the runs are as they were. {}", by_hand(spec));
        plan.findings.retain(|finding| finding.kind == ConditionType::Verified);
        plan.findings.insert(0, Finding::fails(ConditionType::Ready, Reason::DrillUnfinished, message.clone()));
        plan.findings.push(Finding::holds(ConditionType::Stalled, Reason::DrillUnfinished, message));
    }
    plan.recheck = Some(RECHECK_AT_REST);
    plan
}

/// What keeps a drill from starting. The policy stands as it did, since its runs do.
fn obstacle(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, intent: &Intent) -> Option<Plan> {
    let (reason, message, needs_a_person) = observed.obstacle(spec, &Task::Drill)?;
    let since = match (&spec.drill, intent.drilled) {
        (Some(drill), Some(due)) => waits_since(&drill.timetable, served(observed).unwrap_or(due), due),
        (None, Some(_)) | (_, None) => spec.created,
    };
    let is_late = observed.now.duration_since(since) > spec.deadline;
    let mut plan = standing(spec, observed, ledger);
    let is_bad = plan.findings.iter().any(|finding| finding.kind == ConditionType::Stalled);
    let message = format!("a restore drill is due and cannot begin: {message}");
    if is_bad {
        // What is wrong already is worse than what is late.
    } else if needs_a_person || is_late {
        plan.findings.retain(|finding| finding.kind == ConditionType::Verified);
        plan.findings.insert(0, Finding::fails(ConditionType::Ready, reason, message.clone()));
        plan.findings.push(Finding::holds(ConditionType::Stalled, reason, message));
    } else {
        plan.findings.push(Finding::holds(ConditionType::Reconciling, reason, message));
    }
    plan.recheck = Some(RECHECK_LATER);
    Some(plan)
}

/// The last drill, if it found something else than was backed up.
pub(super) fn failed(ledger: &BackupLedger) -> Option<&DrillNote> {
    ledger.last_drill.as_ref().filter(|drill| drill.has_failed())
}

/// In words.
pub(super) fn found(drill: &DrillNote) -> String {
    let why = drill.message.as_deref().unwrap_or("something else was restored than was backed up");
    format!("run {} did not survive its restore drill of {}: {why}", drill.run, condition::whole_seconds(drill.at))
}

/// What a person does about it.
pub(super) fn next(spec: &BackupSpec) -> String {
    format!(
        "Nothing older is retired. Look at it, then make another run: kubectl annotate --overwrite collectionbackup {} --namespace {} elysia.dev/run-now=$(date +%s); {}",
        spec.name,
        spec.namespace,
        by_hand(spec)
    )
}

fn by_hand(spec: &BackupSpec) -> String {
    format!(
        "To drill at once: kubectl elysia backup verify latest --drill --policy '{}/{} ({})' --store STORE",
        spec.namespace, spec.name, spec.uid
    )
}

/// What is said of drills where everything else is well.
pub(super) fn words(ledger: &BackupLedger) -> Option<String> {
    if let Some(undone) = &ledger.undone_drill {
        return Some(format!("the last restore drill could not be done: {}", undone.message));
    }
    let drill = ledger.last_drill.as_ref().filter(|drill| drill.state == DrillState::Passed)?;
    let at = condition::whole_seconds(drill.at);
    Some(format!("run {} survived its restore drill of {at}, {} objects", drill.run, drill.objects))
}

/// Scratch collections that are left while nobody is at work.
pub(super) fn leavings(observed: &Observed, ledger: &BackupLedger) -> Option<String> {
    let is_busy = observed.jobs.iter().any(|job| job.state == JobState::Active);
    let left = ledger.scratch.first().filter(|_| !is_busy)?;
    let of = |cluster: &str| cluster.split(" (").next().unwrap_or_default().to_owned();
    Some(format!(
        "{} scratch collections of a drill that was cut off are left, {} in {}: the next Job there deletes them",
        ledger.scratch.len(),
        left.name,
        of(&left.cluster)
    ))
}

/// The finding of Verified that a drill brings, if it brings one.
pub(super) fn verified(ledger: &BackupLedger) -> Option<Finding> {
    let kind = ConditionType::Verified;
    if let Some(drill) = failed(ledger) {
        return Some(Finding::fails(kind, Reason::DrillFailed, found(drill)));
    }
    let run = ledger.runs.first()?;
    let drill = ledger.last_drill.as_ref().filter(|drill| drill.has_passed() && drill.run == run.id)?;
    let at = condition::whole_seconds(drill.at);
    let message = format!("run {} was restored by a drill at {at} and is what was backed up", run.id);
    Some(Finding::holds(kind, Reason::Verified, message))
}

/// Ready after a drill that found something else.
pub(super) fn findings(spec: &BackupSpec, drill: &DrillNote) -> Vec<Finding> {
    standing::stalled(Reason::DrillFailed, format!("{}. {}", found(drill), next(spec)))
}
