//! From the freeze to the switch, and back where something comes up.

use super::*;

#[test]
fn nothing_is_switched_before_everything_is_frozen_settled_and_the_same() {
    let frozen = |phase: Phase| looked(Some(journal(phase)));
    let open = |_: &Journal, look: &mut Look| look.read_only.values_mut().for_each(|shards| *shards = Some(Vec::new()));
    let fresh = Journal { read_only_before: None, freezing_since: None, ..journal(Phase::Freeze) };
    told(&with(fresh.clone(), open), "False Migrating [journal Freeze]");
    told(
        &with(fresh, |_, look| {
            look.read_only.insert("b".to_owned(), None);
        }),
        "False Migrating []",
    );
    told(&with(journal(Phase::Freeze), open), "False Migrating [A s+t read-only true]");
    told(&frozen(Phase::Freeze), "False Migrating [journal Settle]");
    told(&frozen(Phase::Settle), "False Migrating []");
    let settled = Journal { since: at(NOW) - SETTLE, ..journal(Phase::Settle) };
    told(&looked(Some(settled.clone())), "False Migrating [journal Final]");
    told(
        &with(settled, |_, look| {
            look.read_only.insert("b".to_owned(), None);
        }),
        "False Migrating []",
    );
    told(&frozen(Phase::Final), "False Migrating [copy A→A_2 2]");
    let done = |differing: Option<i64>| {
        with(journal(Phase::Final), |journal, look| {
            let compared = differing.and_then(compared);
            look.ledger = Sight::Seen(Some(CopyLedger { compared, ..says(journal, CopyStage::Done) }));
        })
    };
    told(&done(Some(0)), "False Migrating [journal Switch]");
    told(&done(Some(1)), "False Migrating [journal Thaw!]");
    told(&done(None), "False Migrating [journal Thaw!]");
    told(&frozen(Phase::Switch), "False Migrating [switch]");
    told(
        &with(journal(Phase::Switch), |_, look| look.alias = Sight::Seen(Some("A_2".to_owned()))),
        "False Migrating [journal Verify]",
    );
    told(&frozen(Phase::Verify), "False Migrating [journal Kept]");
    told(
        &with(journal(Phase::Verify), |_, look| {
            look.alias_at.insert("b".to_owned(), Some(Some("A".to_owned())));
        }),
        "False Migrating []",
    );
    // Not what an earlier order said.
    told(
        &with(journal(Phase::Final), |journal, look| {
            let copy = Journal { phase: Phase::Copy, ..journal.clone() };
            look.ledger = Sight::Seen(Some(CopyLedger { compared: compared(0), ..says(&copy, CopyStage::Done) }));
        }),
        "False Migrating [copy A→A_2 2]",
    );
}

#[test]
fn whatever_comes_up_before_the_switch_thaws() {
    let stops = |what: &str, observed: &Observed, annotations: &[(&str, &str)]| {
        let plan = planned(&manual(), observed, annotations);
        let picture = picture(&plan);
        assert!(picture.contains("journal Thaw!"), "{what}: {picture} {:?}", plan.findings);
        assert!(!picture.contains("switch"), "{what}: {picture}");
    };
    for phase in [Phase::Freeze, Phase::Settle, Phase::Final, Phase::Switch] {
        let journal = journal(phase);
        let name = phase.as_str();
        stops(name, &looked(Some(journal.clone())), &[("elysia.dev/paused", "true")]);
        stops(name, &looked(Some(journal.clone())), &[(names::ROLLBACK_ANNOTATION, &journal.hash)]);
        stops(name, &with(journal.clone(), |_, look| look.alias = Sight::Seen(Some("A_3".to_owned()))), &[]);
        stops(name, &with(journal.clone(), |_, look| look.other = Some(("A_2".to_owned(), Sight::Seen(None)))), &[]);
        stops(
            name,
            &with(journal.clone(), |_, look| look.other = Some(("A_2".to_owned(), Sight::Seen(Some(class(1)))))),
            &[],
        );
        let late = Journal {
            freezing_since: Some(at(NOW) - migrations::FROZEN_AT_MOST - SignedDuration::from_secs(1)),
            ..journal.clone()
        };
        stops(name, &looked(Some(late)), &[]);
        let protected = Observed { protection: Some("A*".to_owned()), ..looked(Some(journal.clone())) };
        stops(name, &protected, &[]);
        stops(name, &with(journal.clone(), |_, look| look.alias = Sight::Seen(Some("B".to_owned()))), &[]);
        let claimed = Observed { conflict: Some("n/older".to_owned()), ..looked(Some(journal.clone())) };
        stops(name, &claimed, &[]);
        if phase != Phase::Freeze {
            let thawed =
                |_: &Journal, look: &mut Look| drop(look.read_only.insert("b".to_owned(), Some(vec!["s".to_owned()])));
            stops(name, &with(journal.clone(), thawed), &[]);
            stops(name, &with(journal, |_, look| look.restarted = vec!["b".to_owned()]), &[]);
        }
    }
    let slow = Journal { since: at(NOW - 61), ..journal(Phase::Freeze) };
    stops(
        "not read-only for long",
        &with(slow, |_, look| drop(look.read_only.insert("b".to_owned(), Some(Vec::new())))),
        &[],
    );
    let nowhere = Journal { shards: Vec::new(), ..journal(Phase::Freeze) };
    stops("no shards", &looked(Some(nowhere)), &[]);
    // A copy that fails is tried again while there is time; one that always will is not.
    let failed = |is_permanent: bool, since: i64| {
        let journal = Journal { since: at(NOW - since), ..journal(Phase::Final) };
        with(journal, |journal, look| {
            let finished_at = Some(at(NOW - since));
            look.ledger =
                Sight::Seen(Some(CopyLedger { finished_at, is_permanent, ..says(journal, CopyStage::Failed) }));
        })
    };
    stops("for good", &failed(true, 1), &[]);
    told(&failed(false, 1), "False Migrating []");
    told(&failed(false, 31), "False Migrating [journal Final]");
    // A Job that is at work is ended with it.
    let working = with(journal(Phase::Final), |journal, look| {
        look.jobs = Sight::Seen(vec![job(journal, JobState::Active)]);
        look.restarted = vec!["b".to_owned()];
    });
    told(&working, "False Migrating [journal Thaw!, end job]");
}

/// The plan while the spec does not hold.
fn planned_invalid(phase: Phase, change: impl FnOnce(&Journal, &mut Look)) -> Result<Plan, String> {
    let journal = journal(phase);
    let mut spec = CollectionSpec::of_invalid(&object(&manual()), &journal, "it contradicts itself");
    journal.live().clone_into(&mut spec.collection);
    plan_of_invalid(&spec, &with(journal, change), &ElysiaCollectionStatus::default(), at(NOW))
}

#[test]
fn a_spec_that_does_not_hold_any_more_thaws_and_what_was_switched_goes_on() {
    for (phase, expected) in [
        (Phase::Freeze, "False Migrating [journal Thaw!]"),
        (Phase::Settle, "False Migrating [journal Thaw!]"),
        (Phase::Final, "False Migrating [journal Thaw!]"),
        (Phase::Switch, "False Migrating [journal Thaw!]"),
        (Phase::Verify, "False Migrating [journal Kept]"),
        (Phase::Thaw, "False Migrating [A s+t read-only false]"),
    ] {
        let plan = planned_invalid(phase, |_, _| {}).unwrap();
        assert_eq!(picture(&plan), expected, "{phase:?}");
    }
    let switched = |_: &Journal, look: &mut Look| look.alias = Sight::Seen(Some("A_2".to_owned()));
    assert_eq!(
        picture(&planned_invalid(Phase::Switch, switched).unwrap()),
        "False Migrating [journal Verify]",
        "an operator that died right after the switch"
    );
    assert!(planned_invalid(Phase::Copy, |_, _| {}).is_err(), "nothing is frozen");
    let blind = |_: &Journal, look: &mut Look| look.alias = Sight::unseen(BlindnessKind::Unreachable, "no way");
    assert_eq!(planned_invalid(Phase::Freeze, blind).unwrap_err(), "no way");
}

#[test]
fn approved_it_waits_for_replicas_that_may_lack_what_others_deleted() {
    let of_factor = |factor: u32, replicas: Option<Sight<BTreeMap<String, ReplicaView>>>| {
        let mut spec = manual();
        spec["replication"] = json!({"factor": factor});
        let mut observed =
            with(journal(Phase::Copy), |journal, look| look.ledger = Sight::Seen(Some(says(journal, CopyStage::Done))));
        observed.class = Sight::Seen(Some(class(3)));
        observed.placement = Sight::Seen(vec![shard("s", "abc"), shard("t", "abc")]);
        observed.replicas = replicas;
        planned(&spec, &observed, &[(names::APPROVE_ANNOTATION, &journal(Phase::Copy).hash)])
    };
    let of = |replicas| of_factor(3, replicas);
    for replicas in [None, Some(lists([9, 9, 8])), Some(Sight::unseen(BlindnessKind::Unreachable, "no"))] {
        let plan = of(replicas);
        assert!(picture(&plan).ends_with("[]"), "{}", picture(&plan));
        let waits =
            plan.findings.iter().any(|finding| finding.message.contains("approved, and its replicas come first"));
        assert!(waits, "{:?}", plan.findings);
    }
    let plan = of(Some(lists([9, 9, 9])));
    assert!(picture(&plan).ends_with("[journal Freeze]"), "{} {:?}", picture(&plan), plan.findings);
    // Of replicas that wait for a person it waits for that person, and does not go on by itself.
    let fewer = of_factor(1, Some(lists([9, 9, 9])));
    let reasons: Vec<Reason> = fewer.findings.iter().map(|finding| finding.reason).collect();
    assert!(reasons.contains(&Reason::NeedsApproval) && !reasons.contains(&Reason::Migrating), "{:?}", fewer.findings);
}

#[test]
fn thawing_ends_when_every_node_says_so_and_another_approval_is_asked_for() {
    let thaw = || journal(Phase::Final).thawing("they differ", at(NOW - 10));
    told(&looked(Some(thaw())), "False Migrating [A s+t read-only false]");
    let open = |_: &Journal, look: &mut Look| look.read_only.values_mut().for_each(|shards| *shards = Some(Vec::new()));
    told(&with(thaw(), open), "False Migrating [journal Copy!]");
    told(
        &with(thaw(), |journal, look| {
            open(journal, look);
            look.read_only.insert("b".to_owned(), None);
        }),
        "False Migrating []",
    );
    // What somebody had made read-only before stays so.
    let before = Journal { read_only_before: Some(vec!["s".to_owned()]), ..thaw() };
    told(&looked(Some(before.clone())), "False Migrating [A t read-only false]");
    told(
        &with(before, |_, look| look.read_only.values_mut().for_each(|shards| *shards = Some(vec!["s".to_owned()]))),
        "False Migrating [journal Copy!]",
    );
    // Nothing was frozen yet: nothing is thawed.
    told(&looked(Some(Journal { read_only_before: None, ..thaw() })), "False Migrating [journal Copy!]");
}
