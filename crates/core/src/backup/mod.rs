//! `CollectionBackup`: which run is due, and how the policy stands.
//!
//! ```text
//! Observed (ledger, Jobs, intent, cluster, store) ─▶ plan ─▶ one Step, findings
//!                                                           worker ─▶ suspicion, retention
//! ```
//!
//! What a Job is made for, an [`Intent`], stands beside the ledger before the Job is made, and names the work by the
//! policy's uid and its cause. The run's id in the store carries that name: a status, a Job or a ledger that is lost
//! makes nothing twice, because the worker finds the run of its order in the store.

mod drill;
pub mod happening;
pub mod ledger;
pub mod native;
mod observed;
mod report;
pub mod room;
mod spec;
mod standing;
pub mod suspicion;
mod work;

use std::collections::BTreeMap;

use elysia_api::backup::{BackupRun, BackupState};
use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};

use crate::condition::{self, Finding};
use crate::feed::{FailedRun, JobState};
use crate::schedule::{Timetable, is_of_the_future};
use crate::sight::Sight;
use ledger::{Attempt, BackupLedger, Stage};
pub use observed::Observed;
pub use report::{invalid, status};
pub use spec::{
    BackupSpec, DEADLINE, DrillSpec, Intent, MINIMUM_OVERLAP, MOST_CHAIN, SAMPLE, SEARCHES, bounded, deadline, zone,
};
use standing::{accepted, standing, waits_for_run};
use work::{Work, work};

/// How soon to look again when something outside has to change first, or while a run is under way.
pub const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(5);

/// How long after a run for which there was no room it is looked again: somebody has to make a volume larger or to remove
/// runs, and a look is a Job.
const ROOM_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// How soon a policy at rest is looked at again.
const RECHECK_AT_REST: SignedDuration = SignedDuration::from_secs(60);

/// What to do with a policy now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The one step, if any.
    pub step: Option<Step>,
    /// When to look again; `None`: at the cluster's interval.
    pub recheck: Option<SignedDuration>,
    /// What the conditions say.
    pub findings: Vec<Finding>,
    /// The run under way, or the last one that was begun.
    pub run: Option<BackupRun>,
    /// A Suspect run that waits for a person.
    pub shown: Option<PlanStatus>,
    /// When the next run is due.
    pub next_run: Option<Timestamp>,
    /// Whether the work that is meant is a drill: it says nothing of the run that was begun last.
    pub is_drill: bool,
    /// When the next drill is due.
    pub next_drill: Option<Timestamp>,
}

/// One step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Make the account, the ledger and the Job of this work, whatever of them is missing.
    Start {
        /// What it is for, to be written down first.
        intent: Intent,
        /// What it does.
        task: Task,
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

/// What a Job does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// Writes a run, verifies it, and retires what is to be retired.
    Run {
        /// Collections that are left out, and why.
        left_out: BTreeMap<String, String>,
    },
    /// Notes in the store that a person accepts this Suspect run and those before it, then retires.
    Accept {
        /// The run.
        run: String,
    },
    /// Restores the newest good run into scratch collections and compares them with it.
    Drill,
}

/// The plan for this look.
pub fn plan(spec: &BackupSpec, observed: &Observed) -> Plan {
    let mut plan = decide(spec, observed);
    let is_at_work = observed.jobs.iter().any(|job| job.state == JobState::Active);
    if plan.step.is_none() && is_at_work && observed.lacks_ledger() {
        plan.step = Some(Step::MakeLedger);
    }
    plan.next_run = spec.timetable.as_ref().and_then(|timetable| timetable.next(observed.now));
    plan.next_drill = spec.drill.as_ref().and_then(|drill| drill.timetable.next(observed.now));
    let until = |next: Timestamp| next.duration_since(observed.now) + SignedDuration::from_secs(1);
    plan.recheck =
        plan.recheck.into_iter().chain([plan.next_run, plan.next_drill].into_iter().flatten().map(until)).min();
    if spec.paused {
        plan.step = None;
        plan.findings
            .retain(|finding| !finding.kind.present_only_while_true() || finding.kind == ConditionType::Running);
        let message = "elysia.dev/paused is true: no run is started";
        plan.findings.push(Finding::holds(ConditionType::Stalled, Reason::Paused, message));
    }
    plan
}

fn decide(spec: &BackupSpec, observed: &Observed) -> Plan {
    let ledger = match &observed.ledger {
        // Without the ledger nothing is known of what was done: nothing is started.
        Sight::Unseen(blindness) => {
            let unknown = |kind| Finding::unknown(kind, Reason::Unknown, &blindness.message);
            return at_rest(vec![unknown(ConditionType::Ready), unknown(ConditionType::Verified)], Some(RECHECK_LATER));
        }
        Sight::Seen(ledger) => ledger.clone().unwrap_or_default(),
    };
    let Some((intent, task)) = wanted(spec, observed, &ledger) else {
        return waits_for_run(spec, observed, &ledger);
    };
    current(spec, observed, &ledger, intent, task)
}

/// What is meant now: what was meant last, unless there is a new cause and nothing is at work.
fn wanted(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> Option<(Intent, Task)> {
    let run = || Task::Run { left_out: observed.left_out(spec) };
    let last = observed.intent.clone();
    let is_busy = observed.jobs.iter().any(|job| job.state == JobState::Active);
    let Intent { order: _, due, run_now, drilled } = last.clone().unwrap_or_default();
    // A time that a clock noted which was ahead is not served. Whatever is done anew for it goes by its order, and the worker
    // finds the run of that in the store.
    let [due, mut drilled] = [due, drilled].map(|time| time.filter(|time| !is_of_the_future(*time, observed.now)));
    if !is_busy {
        if !drill::is_over(spec, observed, ledger) {
            // Whatever takes the place of a drill that was not done leaves it due.
            drilled = None;
        }
        if let Some((hash, accepted)) = accepted(spec, ledger) {
            let order = spec.accepting(&hash);
            if last.as_ref().is_none_or(|last| last.order != order) {
                return Some((Intent { order, due, run_now, drilled }, Task::Accept { run: accepted }));
            }
        }
        if let Some(word) = spec.run_now.as_ref().filter(|word| run_now.as_ref() != Some(word)) {
            return Some((Intent { order: spec.now(word), due, run_now: Some(word.clone()), drilled }, run()));
        }
        if let Some(timetable) = &spec.timetable
            && let Some(time) = timetable.due(due.unwrap_or(spec.created), observed.now)
        {
            return Some((Intent { order: spec.at(time), due: Some(time), run_now, drilled }, run()));
        }
        if let Some(time) = drill::due(spec, observed, ledger) {
            return Some((Intent { order: spec.drilling(time), due, run_now, drilled: Some(time) }, Task::Drill));
        }
    }
    match (last, &spec.timetable) {
        (Some(last), _) => {
            let task = match accepted(spec, ledger) {
                Some((hash, run)) if spec.accepting(&hash) == last.order => Task::Accept { run },
                _ if spec.is_drill(&last) => Task::Drill,
                _ => run(),
            };
            Some((last, task))
        }
        (None, None) => Some((Intent { order: spec.once(), due: None, run_now: None, drilled: None }, run())),
        (None, Some(_)) => None,
    }
}

/// How the work stands that is meant now; its Job is made if it is not there.
fn current(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, intent: Intent, task: Task) -> Plan {
    if task == Task::Drill {
        let mut plan = drill::current(spec, observed, ledger, intent);
        plan.is_drill = true;
        return plan;
    }
    let name = spec.job(&intent.order);
    let own = ledger.attempt.as_ref().filter(|attempt| attempt.order == intent.order);
    match work(spec, observed, own, &intent.order) {
        Work::Done => done(spec, observed, ledger, own),
        Work::Failed { why, has_job } => {
            let mut plan = failed(spec, observed, ledger, own, why.unwrap_or("the run failed"));
            if own.is_some_and(|own| own.lacks_room && observed.now.duration_since(own.updated_at) >= ROOM_AGAIN) {
                plan.step = if has_job {
                    Some(Step::ForgetJob { name })
                } else {
                    observed.obstacle(spec, &task).is_none().then_some(Step::Start { intent, task })
                };
            }
            plan
        }
        Work::Lost { why, step } => Plan { step, ..failed(spec, observed, ledger, own, why) },
        Work::UnderWay { step } => Plan { step, ..running(spec, observed, ledger, own, &name) },
        Work::Absent => {
            if let Some(plan) = obstacle(spec, observed, ledger, &intent, &task) {
                return plan;
            }
            let mut plan = running(spec, observed, ledger, own, &name);
            plan.step = Some(Step::Start { intent, task });
            plan
        }
    }
}

/// What keeps work from starting.
fn obstacle(
    spec: &BackupSpec,
    observed: &Observed,
    ledger: &BackupLedger,
    intent: &Intent,
    task: &Task,
) -> Option<Plan> {
    let (reason, message, needs_a_person) = observed.obstacle(spec, task)?;
    let finding = Finding::fails(ConditionType::Ready, reason, message.clone());
    // Nothing was ever served, or nobody knows what was: then it has waited since the last time at least.
    let served = observed.intent.as_ref().map_or(Some(spec.created), |last| last.due);
    let is_late = spec.timetable.as_ref().is_some_and(|timetable| {
        let since = intent.due.map_or(spec.created, |due| waits_since(timetable, served.unwrap_or(due), due));
        observed.now.duration_since(since) > spec.deadline
    });
    let kind = if needs_a_person || is_late { ConditionType::Stalled } else { ConditionType::Reconciling };
    let mut findings = vec![finding, standing::verified(ledger)];
    findings.push(Finding::holds(kind, reason, message));
    Some(at_rest(findings, Some(RECHECK_LATER)))
}

/// Since when work waits that is due for this time, its last: since the first time of its schedule that came after the one
/// which was served last. The last one moves on with every time that passes.
fn waits_since(timetable: &Timetable, served: Timestamp, due: Timestamp) -> Timestamp {
    timetable.next(served).map_or(due, |first| first.min(due))
}

/// The first time of the schedule that has come since the last good run, or since the policy was made; where every time has
/// a good run after it the last one that has come. While it is suspended, and before its first time, there is none.
pub fn due(spec: &BackupSpec, last_success: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let timetable = spec.timetable.as_ref()?;
    let latest = timetable.latest(now).filter(|latest| *latest > spec.created)?;
    let served = last_success.map_or(spec.created, |last| last.max(spec.created));
    Some(waits_since(timetable, served, latest))
}

fn at_rest(findings: Vec<Finding>, recheck: Option<SignedDuration>) -> Plan {
    Plan { step: None, recheck, findings, run: None, shown: None, next_run: None, is_drill: false, next_drill: None }
}

fn done(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, own: Option<&Attempt>) -> Plan {
    let mut plan = standing(spec, observed, ledger);
    plan.run = own.map(|own| of_attempt(own, ledger, None));
    plan
}

fn running(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, own: Option<&Attempt>, name: &str) -> Plan {
    let mut message = own.map_or_else(
        || format!("Job {name} is starting"),
        |own| format!("Job {name} {}: {} objects, {} bytes so far", own.stage.as_str(), own.objects, own.bytes),
    );
    if let Some(why) = own.filter(|own| own.stage == Stage::Failed).and_then(|own| own.message.as_deref()) {
        message = format!("Job {name} tries again, its last worker ended: {why}");
    }
    let mut plan = standing(spec, observed, ledger);
    if spec.timetable.is_none() {
        // Until its one run is there the policy is not as declared.
        plan.findings.retain(|finding| finding.kind == ConditionType::Verified);
        plan.findings.insert(0, Finding::fails(ConditionType::Ready, Reason::Running, message.clone()));
        plan.findings.push(Finding::holds(ConditionType::Reconciling, Reason::Running, message.clone()));
    }
    plan.findings.push(Finding::holds(ConditionType::Running, Reason::Running, message));
    plan.recheck = Some(RECHECK_LATER);
    let unheard = || unheard(BackupState::Pending, Some(name));
    plan.run = Some(own.map_or_else(unheard, |own| of_attempt(own, ledger, Some(name))));
    plan
}

/// A run that is not there. With a schedule the next time brings the next one; what needs a person is said.
fn failed(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger, own: Option<&Attempt>, message: &str) -> Plan {
    let is_strangers = own.is_some_and(|own| own.is_strangers);
    let lacks_room = own.is_some_and(|own| own.lacks_room);
    let reason = match (is_strangers, lacks_room) {
        (true, _) => Reason::NotOwner,
        (_, true) => Reason::NoRoom,
        _ => Reason::RunFailed,
    };
    let again = format!(
        "kubectl annotate --overwrite collectionbackup {} --namespace {} elysia.dev/run-now=$(date +%s)",
        spec.name, spec.namespace
    );
    let text = if is_strangers {
        format!("{message}. Give this policy a prefix of its own; whoever owns this one may restore from it")
    } else if lacks_room {
        format!(
            "{message}; earlier runs are as they were. Make the volume larger, or remove runs: kubectl elysia backup rm; within an hour it is looked again, or at once: {again}"
        )
    } else {
        format!("the run failed: {message}; earlier runs are as they were. Mend the cause, then run it again: {again}")
    };
    let mut plan = standing(spec, observed, ledger);
    plan.findings.retain(|finding| finding.kind == ConditionType::Verified);
    plan.findings.insert(0, Finding::fails(ConditionType::Ready, reason, text.clone()));
    // Also with a schedule, whose next run may mend it: until then nobody is at work on it, and a person is asked.
    plan.findings.push(Finding::holds(ConditionType::Stalled, reason, text));
    let run = own.map_or_else(|| unheard(BackupState::Failed, None), |own| of_attempt(own, ledger, None));
    plan.run = Some(BackupRun { state: BackupState::Failed, message: Some(condition::clipped(message)), ..run });
    plan.recheck = Some(RECHECK_AT_REST);
    plan
}

/// A run of which no worker has said anything.
fn unheard(state: BackupState, job: Option<&str>) -> BackupRun {
    BackupRun {
        id: None,
        state,
        job: job.map(str::to_owned),
        objects: 0,
        bytes: 0,
        progress: None,
        started_at: None,
        finished_at: None,
        verified_at: None,
        left_out: 0,
        message: None,
    }
}

/// The run of this work, as the status has it.
fn of_attempt(own: &Attempt, ledger: &BackupLedger, job: Option<&str>) -> BackupRun {
    let note = ledger.runs.iter().find(|note| Some(&note.id) == own.run.as_ref());
    if let Some(note) = note.filter(|_| own.stage == Stage::Done) {
        let mut run = report::of_note(note);
        run.message = run.message.or_else(|| own.trouble.as_deref().map(condition::clipped));
        return run;
    }
    let state = match own.stage {
        Stage::Writing | Stage::Verifying | Stage::Retiring | Stage::Drilling => BackupState::Running,
        // An acceptance has no run of its own.
        Stage::Done => BackupState::Succeeded,
        Stage::Failed if job.is_some() => BackupState::Running,
        Stage::Failed => BackupState::Failed,
    };
    BackupRun {
        id: own.run.clone(),
        state,
        job: job.map(str::to_owned),
        objects: own.objects,
        bytes: own.bytes,
        progress: None,
        started_at: Some(report::time(own.started_at)),
        finished_at: None,
        verified_at: None,
        left_out: 0,
        message: own.message.as_deref().map(condition::clipped),
    }
}

#[cfg(test)]
mod drill_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod tests;
