//! Rejected lines that a person wants carried out again.
//!
//! A Job of its own does it, named after the request, while no other worker of the feed is at work: there is one ledger,
//! and one writer. What it is told is the request's word; that it is done stands in the ledger, so a request is dealt
//! with once, whatever becomes of Job and status.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::RunState;

use super::{
    Content, FeedSpec, Finding, JobState, JobView, LedgerView, Observed, Plan, RECHECK_LATER, Step, obstacle,
    run_status,
};
use crate::fingerprint;

impl FeedSpec {
    /// Name of the Job that deals with this request.
    pub fn replay_job(&self, word: &str) -> String {
        self.job(&fingerprint::short(&("replay", &self.uid, word)))
    }
}

/// What the request asks for now; `None` where there is none that is not dealt with, or nobody can.
pub(super) fn decide(
    spec: &FeedSpec,
    observed: &Observed,
    content: &Content,
    ledger: Option<&LedgerView>,
) -> Option<Plan> {
    let (word, ledger) = (spec.replay.as_ref()?, ledger?);
    if ledger.replayed.as_ref() == Some(word) {
        return None;
    }
    let name = spec.replay_job(word);
    let message = format!("Job {name} carries rejected lines out again");
    let mut plan = at_it(ledger, &name, &message);
    match observed.jobs.iter().find(|job| job.name == name).map(|job| &job.state) {
        Some(JobState::Active) => return Some(plan),
        // Whoever asked sees that it is not done, and why; another word asks once more.
        Some(JobState::Failed(_) | JobState::Succeeded) => return None,
        None => {}
    }
    let others = observed.jobs.iter().filter(|job| job.state == JobState::Active).collect::<Vec<_>>();
    match others.iter().find(|job| job.watches) {
        Some(watch) => plan.step = Some(Step::EndJob { name: watch.name.clone() }),
        // It ends by itself.
        None if !others.is_empty() => return None,
        None if obstacle(spec, observed, content).is_some() => return None,
        None => {
            plan.step = Some(Step::StartRun {
                run: ledger.run.clone(),
                content: content.clone(),
                guard: None,
                intent: None,
                replay: Some(word.clone()),
            });
        }
    }
    Some(plan)
}

/// The Job of a request that was dealt with has no time after which it is cleared away: one that failed must not be made
/// again by that. So it goes when its outcome is known.
pub(super) fn forget(spec: &FeedSpec, observed: &Observed) -> Option<Step> {
    let word = spec.replay.as_ref()?;
    let ledger = observed.ledger.seen()?.as_ref()?;
    let name = spec.replay_job(word);
    let is_over = |job: &&JobView| job.name == name && job.state == JobState::Succeeded;
    let is_done = ledger.replayed.as_ref() == Some(word) && observed.jobs.iter().any(|job| is_over(&job));
    is_done.then_some(Step::ForgetJob { name })
}

/// Ready as it was: what was dealt with stays dealt with, and what failed stays failed.
fn at_it(ledger: &LedgerView, name: &str, message: &str) -> Plan {
    let ready = match ledger.state {
        RunState::Succeeded | RunState::Skipped => Finding::holds(ConditionType::Ready, Reason::Running, message),
        RunState::Pending | RunState::Running | RunState::Waiting | RunState::Failed => {
            Finding::fails(ConditionType::Ready, Reason::Running, message)
        }
    };
    let findings = vec![
        ready,
        Finding::fails(ConditionType::CaughtUp, Reason::Running, message),
        Finding::holds(ConditionType::Running, Reason::Running, message),
    ];
    let run = run_status(name, Some(ledger), &ledger.run, RunState::Running, None);
    Plan { step: None, recheck: Some(RECHECK_LATER), findings, run: Some(run), shown: None, next_run: None }
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::super::tests::{content, ledger, seen, spec};
    use super::*;

    fn told(observed: &Observed) -> String {
        let spec = FeedSpec { replay: Some("w".to_owned()), ..spec() };
        match plan(&spec, observed).step {
            None => "rest".to_owned(),
            Some(Step::StartRun { run, replay, .. }) => format!("start {run} {replay:?}"),
            Some(Step::EndJob { name }) => format!("end {name}"),
            Some(step) => format!("{step:?}"),
        }
    }

    #[test]
    fn a_request_is_dealt_with_once_and_by_nobody_else_at_the_same_time() {
        let run = spec().run_id(&content("1"));
        let own = spec().replay_job("w");
        let job = |name: &str, state, watches| JobView { name: name.to_owned(), state, watches, idle_since: None };
        let done = || ledger(&run, RunState::Succeeded, 2);
        let looks = |jobs| told(&seen(Some(done()), jobs));
        let start = format!("start {run} Some(\"w\")");
        assert_eq!(looks(vec![]), start);
        assert_eq!(looks(vec![job("f-old", JobState::Succeeded, false)]), start);
        assert_eq!(looks(vec![job("f-other", JobState::Active, false)]), "rest", "it is waited for");
        assert_eq!(looks(vec![job("f-watch", JobState::Active, true)]), "end f-watch");
        for state in [JobState::Active, JobState::Succeeded, JobState::Failed("x".to_owned())] {
            assert_eq!(looks(vec![job(&own, state, false)]), "rest");
        }
        let dealt_with = LedgerView { replayed: Some("w".to_owned()), ..done() };
        assert_eq!(told(&seen(Some(dealt_with), vec![])), "rest");
        let dealt_with = LedgerView { replayed: Some("w".to_owned()), ..done() };
        let ended = |state| told(&seen(Some(dealt_with.clone()), vec![job(&own, state, false)]));
        assert_eq!(ended(JobState::Succeeded), format!("ForgetJob {{ name: \"{own}\" }}"));
        assert_eq!(ended(JobState::Failed("x".to_owned())), "rest");
        let before = LedgerView { replayed: Some("v".to_owned()), ..done() };
        assert_eq!(told(&seen(Some(before), vec![])), start);
        assert_eq!(told(&seen(None, vec![])), format!("start {run} None"), "nothing was rejected yet");
        let mut observed = seen(Some(done()), vec![]);
        observed.cluster = super::super::ClusterSight::Missing;
        assert_eq!(told(&observed), "rest");
    }
}
