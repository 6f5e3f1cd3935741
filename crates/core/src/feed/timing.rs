//! Feeds that go on from run to run: on a schedule, or as soon as there is something new.
//!
//! A run is meant for a time, and that time stands beside the ledger before its Job is made. So a status, a Job or an
//! operator that is lost starts nothing twice, and a run that was meant and not made is made.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::{IndexSourceSpec, RunState};
use elysia_api::processed::Processed;
use jiff::{SignedDuration, Timestamp};

use super::effort::wait;
use super::failure::{failed_unsaid, noted};
use super::{
    Content, Effort, FeedSpec, Finding, JobState, JobView, LedgerView, Observed, Plan, PutOff, RECHECK_LATER, Step,
    failed, guard, obstacle, run_status, stuck,
};
use crate::condition::Value;
use crate::fingerprint;
use crate::schedule::Timetable;

/// Time between two looks of a worker that watches, when the feed says none.
const WATCH_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The longest time between two looks.
const WATCH_INTERVAL_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// How long after a failure that may pass by itself a worker watches again: its Job had ten pods for it already.
const WATCH_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// How long a Job that watches may be without a pod that runs before nobody knows any more whether something is new. A
/// pod is there within seconds, unless its image is far away.
const IDLE: SignedDuration = SignedDuration::from_mins(1);

/// How soon a feed at rest is looked at again.
const RECHECK_AT_REST: SignedDuration = SignedDuration::from_secs(30);

/// When the runs of a feed start.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once for each content.
    Once,
    /// At these times.
    Schedule(Box<Timetable>),
    /// As soon as there is something new, looked for this often.
    Watch(SignedDuration),
}

impl When {
    pub(super) fn of(spec: &IndexSourceSpec) -> Result<Self, String> {
        let Some(run) = &spec.run else { return Ok(Self::Once) };
        if let Some(schedule) = &run.schedule {
            let timetable = Timetable::parse(schedule).map_err(|error| format!("spec.run.schedule.{error}"))?;
            return Ok(Self::Schedule(Box::new(timetable)));
        }
        let Some(watch) = &run.watch else { return Ok(Self::Once) };
        let Some(text) = &watch.interval else { return Ok(Self::Watch(WATCH_INTERVAL)) };
        match wait(text) {
            Some(interval) if interval <= WATCH_INTERVAL_LIMIT => Ok(Self::Watch(interval)),
            _ => Err(format!("spec.run.watch.interval: {text} is no time such as 10s, or longer than a day")),
        }
    }
}

impl FeedSpec {
    /// What the records of files are made under: with any of it changed, everything is to be read again. `None` for a
    /// feed whose every run reads all.
    pub fn basis(&self, content: &Content) -> Option<String> {
        if self.when == When::Once {
            return None;
        }
        let unmapped = matches!(self.unmapped, super::Unmapped::Drop);
        let parts = (&self.uid, &self.cluster, &self.collection, unmapped, &self.properties, &self.restart);
        let basis = match content {
            Content::ConfigMap { name, .. } => {
                let keys = self.source.config_map.as_ref().map(|source| &source.keys);
                fingerprint::short(&(parts, name, keys))
            }
            Content::Volume { .. } | Content::S3 { .. } => fingerprint::short(&(parts, content)),
        };
        Some(match &self.chunking {
            None => basis,
            Some(chunking) => fingerprint::short(&(basis, chunking)),
        })
    }

    /// How often a worker looks that stays; `None` where it goes when all is read. What is in a ConfigMap the operator
    /// sees itself.
    pub fn watches(&self, content: &Content) -> Option<SignedDuration> {
        match (&self.when, content) {
            (When::Watch(interval), Content::Volume { .. } | Content::S3 { .. }) => Some(*interval),
            _ => None,
        }
    }

    /// What becomes of files once they are counted. It changes no outcome, so it is no part of a basis.
    pub fn processed(&self) -> Option<&Processed> {
        self.source.volume.as_ref()?.processed.as_ref()
    }

    /// Identifies the run that is meant for this time.
    fn run_for(&self, content: &Content, time: Timestamp) -> String {
        let (basis, time, now) = (self.basis(content), time.as_second(), &self.run_now);
        match self.watches(content) {
            // Whatever a worker that stays was told when it began.
            Some(interval) => {
                let Effort { parallelism, batch_objects, batch_bytes, attempts, breaker_failures, .. } = self.effort;
                let times =
                    [self.effort.retry_base, self.effort.retry_cap, self.effort.breaker_cooldown, Some(interval)];
                let times = times.map(|time| time.map(|time| time.as_millis()));
                let effort = (parallelism, batch_objects, batch_bytes, attempts, breaker_failures, times);
                let manner = (matches!(self.rewritten, super::Rewritten::ReadAgain), self.skip_unchanged);
                let parts = ("watch", basis, time, now, effort, self.max_rejected, manner);
                match (self.min_changes, self.processed()) {
                    // As before there were any: an upgrade of the operator ends no worker.
                    (None, None) => fingerprint::short(&parts),
                    (least, processed) => fingerprint::short(&(&parts, least, processed)),
                }
            }
            None => fingerprint::short(&("schedule", basis, time, now)),
        }
    }
}

/// Ends a worker that watches and is not meant any more: it would go on reading and deleting as it was told once.
pub(super) fn end_other_watch(spec: &FeedSpec, observed: &Observed, content: &Content) -> Option<Plan> {
    let is_meant = guard::limits(spec, observed).is_none() && spec.watches(content).is_some();
    let meant = observed.intent.filter(|_| is_meant).map(|time| spec.job(&spec.run_for(content, time)));
    let is_other = |job: &&JobView| job.state == JobState::Active && job.watches && Some(&job.name) != meant.as_ref();
    let other = observed.jobs.iter().find(is_other)?;
    let message = format!("Job {} is being ended: it watches as the feed was declared before", other.name);
    let mut plan = standing(spec, &other.name, None, "", (Reason::Watching, message));
    plan.step = Some(Step::EndJob { name: other.name.clone() });
    Some(plan)
}

/// The plan of a feed that goes on from run to run.
pub(super) fn decide(spec: &FeedSpec, observed: &Observed, content: &Content, ledger: Option<&LedgerView>) -> Plan {
    if guard::limits(spec, observed).is_some() {
        let why = observed.protection.as_deref().filter(|_| spec.delete_guard.is_none());
        let why = why
            .map_or_else(|| "spec.deleteGuard is set".to_owned(), |why| format!("the collection is protected ({why})"));
        let message = format!(
            "{why}, so deletes may need a person's word, for which a feed with run.schedule or run.watch cannot wait yet: use run.once"
        );
        return stuck(Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message));
    }
    match &spec.when {
        When::Schedule(timetable) => scheduled(spec, timetable, observed, content, ledger),
        When::Watch(_) if spec.watches(content).is_some() => {
            doubt_idle(watched(spec, observed, content, ledger), observed)
        }
        When::Watch(_) | When::Once => {
            let run = fingerprint::short(&("content", spec.basis(content), content, &spec.run_now));
            let message = "a changed ConfigMap starts a run";
            current(spec, observed, content, ledger, run, (Reason::Watching, message.to_owned()), None)
        }
    }
}

fn scheduled(
    spec: &FeedSpec,
    timetable: &Timetable,
    observed: &Observed,
    content: &Content,
    ledger: Option<&LedgerView>,
) -> Plan {
    let next = timetable.next(observed.now);
    let message = next.map_or_else(
        || "run.schedule.suspend is true: no run starts".to_owned(),
        |next| format!("the next run is due at {next}"),
    );
    let ready = (Reason::Scheduled, message);
    let is_busy = observed.jobs.iter().any(|job| job.state == JobState::Active);
    let due = timetable.due(observed.intent.unwrap_or(spec.created), observed.now).filter(|_| !is_busy);
    let mut plan = match (due, observed.intent) {
        (Some(due), _) => current(spec, observed, content, ledger, spec.run_for(content, due), ready, Some(due)),
        (None, Some(time)) => current(spec, observed, content, ledger, spec.run_for(content, time), ready, None),
        (None, None) => {
            let findings = vec![
                Finding::holds(ConditionType::Ready, ready.0, ready.1.clone()),
                Finding::fails(ConditionType::CaughtUp, ready.0, ready.1),
            ];
            Plan { step: None, recheck: None, findings, run: None, shown: None, next_run: None }
        }
    };
    if next.is_none() && matches!(plan.step, Some(Step::StartRun { .. })) {
        // Suspended: whatever was changed meanwhile is for the time after.
        plan.step = None;
    }
    plan.next_run = next;
    let until = next.map(|next| next.duration_since(observed.now) + SignedDuration::from_secs(1));
    plan.recheck = plan.recheck.into_iter().chain(until).chain([RECHECK_AT_REST]).min();
    plan
}

fn watched(spec: &FeedSpec, observed: &Observed, content: &Content, ledger: Option<&LedgerView>) -> Plan {
    let begin = |ledger| {
        let run = spec.run_for(content, observed.now);
        let ready = (Reason::Watching, format!("Job {} looks for what is new", spec.job(&run)));
        current(spec, observed, content, ledger, run, ready, Some(observed.now))
    };
    let Some(time) = observed.intent else { return begin(ledger) };
    let run = spec.run_for(content, time);
    let name = spec.job(&run);
    let own = ledger.filter(|ledger| ledger.run == run);
    let job = observed.jobs.iter().find(|job| job.name == name).map(|job| &job.state);
    let ready = (Reason::Watching, format!("Job {name} looks for what is new"));
    match job {
        // Its time was over: the next one goes on.
        Some(JobState::Succeeded) => begin(ledger),
        // The record of a Job that was given up is cleared away after a while.
        Some(JobState::Failed(_)) | None
            if !own.is_some_and(|own| own.is_permanent)
                && (job.is_some()
                    || own.is_some_and(|own| own.state == RunState::Failed)
                    || noted(observed, &run).is_some()) =>
        {
            let since = own.and_then(|own| own.finished_at).unwrap_or(time).max(time);
            if observed.now.duration_since(since) >= WATCH_AGAIN {
                return begin(ledger);
            }
            let mut plan = current(spec, observed, content, ledger, run, ready, None);
            plan.findings.retain(|finding| finding.kind != ConditionType::Stalled);
            plan.recheck = Some(RECHECK_AT_REST);
            plan
        }
        _ => current(spec, observed, content, ledger, run, ready, None),
    }
}

/// While no pod looks, nobody knows whether something is new.
fn doubt_idle(mut plan: Plan, observed: &Observed) -> Plan {
    let job = plan.run.as_ref().and_then(|run| run.job.as_deref());
    let job = observed.jobs.iter().find(|other| Some(other.name.as_str()) == job);
    let since = job.and_then(|job| job.idle_since).filter(|since| observed.now.duration_since(*since) >= IDLE);
    let (Some(job), Some(_)) = (job, since) else { return plan };
    let is_caught_up = |finding: &&mut Finding| finding.kind == ConditionType::CaughtUp && finding.value == Value::True;
    if let Some(finding) = plan.findings.iter_mut().find(is_caught_up) {
        let message = format!(
            "no pod of Job {name} runs, so nobody looks for what is new: kubectl describe pod --selector batch.kubernetes.io/job-name={name}",
            name = job.name
        );
        *finding = Finding::unknown(ConditionType::CaughtUp, Reason::Unknown, message);
    }
    plan
}

/// How the run stands that is meant now; it is made if it is not there.
fn current(
    spec: &FeedSpec,
    observed: &Observed,
    content: &Content,
    ledger: Option<&LedgerView>,
    run: String,
    ready: (Reason, String),
    intent: Option<Timestamp>,
) -> Plan {
    let name = spec.job(&run);
    let own = ledger.filter(|ledger| ledger.run == run);
    let job = observed.jobs.iter().find(|job| job.name == name).map(|job| &job.state);
    let stays = spec.watches(content).is_some();
    match (own, job) {
        (Some(own), None) if matches!(own.state, RunState::Succeeded | RunState::Skipped) && !stays => {
            standing(spec, &name, Some(own), &run, ready)
        }
        (Some(own), None | Some(JobState::Failed(_))) if own.state == RunState::Failed => {
            let why = own.message.clone().unwrap_or_else(|| "the run failed".to_owned());
            ended_badly(spec, &name, own, &run, &why)
        }
        (_, Some(JobState::Failed(why))) => failed_unsaid(spec, observed, &name, own, &run, why),
        // Its outcome was written over by a later run: this content came back, or the ledger was lost.
        (None, Some(JobState::Succeeded)) => {
            let mut plan = standing(spec, &name, None, &run, ready);
            plan.step = Some(Step::ForgetJob { name });
            plan
        }
        (_, Some(JobState::Active | JobState::Succeeded)) => standing(spec, &name, own, &run, ready),
        (_, None) => {
            if let Some(why) = noted(observed, &run) {
                return failed(spec, &name, own, &run, why);
            }
            if let Some(plan) = obstacle(spec, observed, content) {
                return plan;
            }
            let mut plan = standing(spec, &name, own, &run, ready);
            plan.recheck = Some(RECHECK_LATER);
            plan.step = Some(Step::StartRun { run, content: content.clone(), guard: None, intent, replay: None });
            plan
        }
    }
}

/// A run that could not go on. Where the next one may, nobody is needed.
fn ended_badly(spec: &FeedSpec, name: &str, own: &LedgerView, run: &str, why: &str) -> Plan {
    let mut plan = failed(spec, name, Some(own), run, why);
    if !own.is_permanent && matches!(spec.when, When::Schedule(_)) {
        plan.findings.retain(|finding| finding.kind != ConditionType::Stalled);
    }
    plan
}

/// Ready whatever the run does, which moves CaughtUp and Running.
fn standing(spec: &FeedSpec, name: &str, own: Option<&LedgerView>, run: &str, ready: (Reason, String)) -> Plan {
    let (reason, message) = ready;
    let mut findings = vec![Finding::holds(ConditionType::Ready, reason, message)];
    let mut recheck = Some(RECHECK_LATER);
    let state = own.map_or(RunState::Pending, |own| own.state);
    match own {
        Some(own) if state == RunState::Succeeded => {
            let rejected = own.counts.rejected;
            let (reason, rejects) = if rejected > 0 {
                (Reason::CompleteWithRejects, format!(", {rejected} of them rejected"))
            } else {
                (Reason::Complete, String::new())
            };
            let text = format!("{} lines since the feed began{rejects}", own.counts.lines);
            findings.push(Finding::holds(ConditionType::CaughtUp, reason, text));
            recheck = Some(RECHECK_AT_REST);
        }
        Some(own) if state == RunState::Skipped => {
            let PutOff { lines, least } = own.put_off.clone().unwrap_or(PutOff { lines: 0, least: 0 });
            let text = format!(
                "{lines} new lines wait: minChanges is {least}. Read them now: kubectl annotate --overwrite indexsource {feed} elysia.dev/run-now=$(date +%s)",
                feed = spec.name
            );
            findings.push(Finding::fails(ConditionType::CaughtUp, Reason::TooFewChanges, text));
            recheck = Some(RECHECK_AT_REST);
        }
        own => {
            let mut text = own.map_or_else(
                || format!("Job {name} is starting"),
                |own| format!("Job {name} is at it: {} lines since the feed began", own.counts.lines),
            );
            if let Some(why) = own.filter(|_| state == RunState::Failed).and_then(|own| own.message.as_deref()) {
                text = format!("{text}; its last worker ended, and another one goes on: {why}");
            }
            findings.push(Finding::fails(ConditionType::CaughtUp, Reason::Running, text.clone()));
            findings.push(Finding::holds(ConditionType::Running, Reason::Running, text));
        }
    }
    let state = if state == RunState::Failed { RunState::Running } else { state };
    Plan {
        step: None,
        recheck,
        findings,
        run: Some(run_status(name, own, run, state, None)),
        shown: None,
        next_run: None,
    }
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
