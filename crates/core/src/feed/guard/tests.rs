//! Pictures of a run that would delete too much.

use super::super::tests as pictures;
use super::*;
use crate::feed::{JobState, plan};

const DECLARED: Limits = Limits { objects: Some(10), percent: None };

fn spec(delete_guard: Option<Limits>) -> FeedSpec {
    FeedSpec { delete_guard, ..pictures::spec() }
}

fn content() -> Content {
    pictures::content("1")
}

fn guarded(limits: Limits) -> Guarded {
    let content = "cafe".to_owned();
    Guarded { content, deletes: 12, objects: Some(40), limits, since: Timestamp::UNIX_EPOCH }
}

fn ledger(spec: &FeedSpec, state: RunState, guarded: Guarded) -> LedgerView {
    LedgerView { guarded: Some(guarded), ..pictures::ledger(&spec.run_id(&content()), state, 0) }
}

fn seen(ledger: Option<LedgerView>, job: Option<JobState>, protection: Option<&str>) -> Observed {
    let name = spec(None).job(&spec(None).run_id(&content()));
    let jobs = job.map(|state| JobView { name, state, watches: false, idle_since: None }).into_iter().collect();
    Observed { protection: protection.map(str::to_owned), ..pictures::seen(ledger, jobs) }
}

/// The reason of Ready, and what is done.
fn decided(spec: &FeedSpec, observed: &Observed) -> String {
    let plan = plan(spec, observed);
    let step = match &plan.step {
        None => String::new(),
        Some(Step::ForgetJob { .. }) => " forget".to_owned(),
        Some(Step::EndJob { .. }) => " end".to_owned(),
        Some(Step::NoteFailure(_)) => " note".to_owned(),
        Some(Step::MakeLedgers) => " make ledgers".to_owned(),
        Some(Step::StartRun { guard: None, .. }) => " start".to_owned(),
        Some(Step::StartRun { guard: Some(Guard { limits, approval }), .. }) => {
            format!(" start {limits:?} {:?}", approval.as_ref().map(|approval| approval.deletes))
        }
    };
    format!("{}{step}", plan.findings[0].reason)
}

#[test]
fn what_holds_is_declared_or_nothing_in_a_protected_collection() {
    let none = seen(None, None, None);
    assert_eq!(decided(&spec(None), &none), "Running start");
    let declared = "Running start Limits { objects: Some(10), percent: None } None";
    assert_eq!(decided(&spec(Some(DECLARED)), &none), declared);
    let protected = seen(None, None, Some("ELYSIA_*"));
    assert_eq!(decided(&spec(None), &protected), "Running start Limits { objects: Some(0), percent: None } None");
    assert_eq!(decided(&spec(Some(DECLARED)), &protected), declared);
}

#[test]
fn a_run_waits_until_its_own_hash_is_approved() {
    let spec = spec(Some(DECLARED));
    let waiting = || Some(ledger(&spec, RunState::Waiting, guarded(DECLARED)));
    let shown = plan(&spec, &seen(waiting(), Some(JobState::Succeeded), None));
    let status = shown.shown.unwrap();
    assert_eq!((shown.step, shown.run.unwrap().state), (None, RunState::Waiting));
    assert_eq!(
        status.steps,
        ["delete 12 documents of 40 objects in collection A, more than the 10 that deleteGuard allows"]
    );
    let reasons = shown.findings.iter().take(3).map(|finding| format!("{}={}", finding.kind, finding.reason));
    assert_eq!(reasons.collect::<Vec<_>>(), ["Ready=NeedsApproval", "CaughtUp=NeedsApproval", "Stalled=NeedsApproval"]);
    assert!(shown.findings[0].message.contains("kubectl elysia repair approve feed/f"));
    let approve = |hash: &str| FeedSpec { approve: Some(hash.to_owned()), ..spec.clone() };
    let approved = approve(&status.hash);
    let begins = "Running start Limits { objects: Some(10), percent: None } Some(12)";
    for (spec, job, expected) in [
        (&approve("other"), None, "NeedsApproval"),
        (&approved, Some(JobState::Active), "Running"),
        (&approved, Some(JobState::Succeeded), "Running forget"),
        (&approved, None, begins),
        (&approved, Some(JobState::Failed("evicted".to_owned())), "RunFailed note"),
    ] {
        assert_eq!(decided(spec, &seen(waiting(), job.clone(), None)), expected, "{job:?}");
    }
    // Another number, another content, another run, another object, found at another time: other hashes.
    let other =
        |guarded: Guarded| decided(&approved, &seen(Some(ledger(&spec, RunState::Waiting, guarded)), None, None));
    assert_eq!(other(guarded(DECLARED)), begins);
    for another in [
        Guarded { deletes: 13, ..guarded(DECLARED) },
        Guarded { deletes: 11, ..guarded(DECLARED) },
        Guarded { content: "beef".to_owned(), ..guarded(DECLARED) },
        Guarded { since: Timestamp::from_second(1).unwrap(), ..guarded(DECLARED) },
    ] {
        assert_eq!(other(another), "NeedsApproval");
    }
    let of_another = FeedSpec { uid: "v".to_owned(), ..approved.clone() };
    let ledger = ledger(&of_another, RunState::Waiting, guarded(DECLARED));
    assert_eq!(decided(&of_another, &seen(Some(ledger), None, None)), "NeedsApproval");
}

#[test]
fn another_guard_lets_a_waiting_run_count_again() {
    let spec = spec(Some(Limits { objects: Some(12), percent: None }));
    let waiting = || Some(ledger(&spec, RunState::Waiting, guarded(DECLARED)));
    assert_eq!(decided(&spec, &seen(waiting(), Some(JobState::Succeeded), None)), "Running forget");
    let begins = "Running start Limits { objects: Some(12), percent: None } None";
    assert_eq!(decided(&spec, &seen(waiting(), None, None)), begins);
    let spec = self::spec(None);
    assert_eq!(decided(&spec, &seen(waiting(), None, None)), "Running start");
    let paused = FeedSpec { paused: true, ..spec };
    assert_eq!(plan(&paused, &seen(waiting(), None, None)).step, None);
}

#[test]
fn what_is_shown_says_against_what() {
    let text = |limits: Limits, declared: bool, objects| {
        let spec = spec(declared.then_some(limits));
        let guarded = Guarded { objects, ..guarded(limits) };
        let observed = seen(Some(ledger(&spec, RunState::Waiting, guarded)), None, Some("ELYSIA_*"));
        plan(&spec, &observed).shown.unwrap().steps[0].clone()
    };
    let percent = |objects| Limits { objects, percent: Some(5) };
    assert!(
        text(percent(None), true, None)
            .ends_with("of an unknown number of objects in collection A, more than the 5 % that deleteGuard allows")
    );
    assert!(text(percent(Some(3)), true, Some(9)).ends_with("more than the 3 and 5 % that deleteGuard allows"));
    let protected = Limits { objects: Some(0), percent: None };
    assert!(text(protected, false, Some(9)).ends_with("more than 0, as ELYSIA_* protects it"));
}
