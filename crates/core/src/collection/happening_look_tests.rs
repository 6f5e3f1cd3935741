//! What is told of a round's looks, as tables.

use super::*;

fn looks(before: &ElysiaCollectionStatus, after: &ElysiaCollectionStatus, compared: bool) -> Vec<String> {
    let (spec, observed, plan) = (spec(), observed(), Plan { compared, ..plan() });
    let round = Round { spec: &spec, observed: &observed, plan: &plan, before, now: at(1000) };
    told(&of_looks(after, &round))
}

#[test]
fn drift_is_told_when_it_comes_and_when_it_goes() {
    let drift = |entries: &[(&str, Verdict)]| ElysiaCollectionStatus {
        drift: entries.iter().map(|(path, verdict)| entry(path, *verdict, 0)).collect(),
        ..ElysiaCollectionStatus::default()
    };
    let (none, one) = (drift(&[]), drift(&[("bm25.b", Verdict::Revert)]));
    let adopted = drift(&[("properties", Verdict::Adopt)]);
    assert_eq!(looks(&none, &one, true), ["DriftFound 1: not as declared: bm25.b (Revert)"]);
    assert_eq!(looks(&one, &one, true), [""; 0]);
    assert_eq!(looks(&one, &none, true), ["DriftGone 1: as declared again: bm25.b"]);
    // Not compared: nothing is known.
    assert_eq!(looks(&one, &none, false), [""; 0]);
    assert_eq!(looks(&none, &adopted, true), [""; 0]);
    assert_eq!(looks(&adopted, &none, true), [""; 0]);
}

#[test]
fn a_plan_is_told_once_for_each_hash() {
    let waits = |hash: &str, waits: bool| ElysiaCollectionStatus {
        plan: Some(PlanStatus {
            hash: hash.to_owned(),
            action: "Recreate".to_owned(),
            destructive: true,
            steps: Vec::new(),
            total_steps: 9,
            waiting_for: waits.then(|| "approval".to_owned()),
            since: None,
        }),
        ..ElysiaCollectionStatus::default()
    };
    let none = ElysiaCollectionStatus::default();
    let message = "NeedsApproval 1: plan h waits for approval: Recreate, 9 steps; it removes or overwrites something. Look: kubectl elysia repair plan a. Approve: kubectl elysia repair approve a";
    assert_eq!(looks(&none, &waits("h", true), true), [message]);
    assert_eq!(looks(&waits("g", true), &waits("h", true), true), [message]);
    assert_eq!(looks(&waits("h", true), &waits("h", true), true), [""; 0]);
    assert_eq!(looks(&none, &waits("h", false), true), [""; 0]);
}

#[test]
fn a_refusal_behind_something_worse_and_a_claim_that_was_won_are_told() {
    let status = |ready, schema| {
        let finding = |kind, reason| Finding::new(kind, Holds::False, reason, "why");
        let findings = [finding(ConditionType::Ready, ready), finding(ConditionType::SchemaInSync, schema)];
        ElysiaCollectionStatus {
            conditions: condition::merge(&[], &findings, None, at(0)),
            ..ElysiaCollectionStatus::default()
        }
    };
    let none = ElysiaCollectionStatus::default();
    let hidden = status(Reason::NodeGone, Reason::RefusedHasData);
    assert_eq!(looks(&none, &hidden, true), ["Refused 1: RefusedHasData: why"]);
    assert_eq!(looks(&hidden, &hidden, true), [""; 0]);
    // The transition of Ready tells it.
    assert_eq!(looks(&none, &status(Reason::Protected, Reason::Protected), true), [""; 0]);
    let lost = status(Reason::Conflict, Reason::Conflict);
    assert_eq!(looks(&none, &lost, true), [""; 0]);
    assert_eq!(
        looks(&lost, &status(Reason::Creating, Reason::Creating), true),
        ["ConflictWon 1: no older resource claims collection A any more; it is this one's now"]
    );
}

#[test]
fn a_comparison_on_a_schedule_is_told_when_it_finds_something_else() {
    let report = |missing, unread| DataVerification {
        at: Time(at(0)),
        sampled: 20,
        replicas: 3,
        missing,
        orphaned: 0,
        different: 0,
        unread,
        tenants_asleep: None,
        findings: Vec::new(),
    };
    let ended = |missing, asked: Option<&str>| Ended {
        request: Request { run_now: asked.map(str::to_owned) },
        report: report(missing, 0),
    };
    let clean = "Verified 1: 20 sampled objects: none is wrong at any replica";
    let sick = "ObjectsDiffer 1: of 20 sampled objects 2 are missing at a replica, 0 differ, 0 are held by a minority, 0 could not be read";
    let table = [
        (None, ended(0, None), Some(clean)),
        (Some(report(0, 3)), ended(0, None), None),
        (Some(report(0, 0)), ended(0, Some("1")), Some(clean)),
        (Some(report(0, 0)), ended(2, None), Some(sick)),
        (Some(report(2, 0)), ended(2, None), None),
        (Some(report(2, 0)), ended(0, None), Some(clean)),
    ];
    for (before, ended, expected) in table {
        let happening = of_verification(before.as_ref(), &ended);
        assert_eq!(happening.map(|one| told(&[one]).remove(0)).as_deref(), expected, "{before:?} {ended:?}");
    }
}

#[test]
fn a_happening_says_what_a_transition_would_say_again() {
    let happenings = [Happening::new(Happened::CopiesStarted, ""), Happening::new(Happened::NeedsApproval, "")];
    for (reason, said) in [("Copying", true), ("NeedsApproval", true), ("AsDeclared", false), ("Creating", false)] {
        assert_eq!(says(&happenings, reason), said, "{reason}");
    }
}
