//! The class that is kept, and what tells both classes from others that were made under their names.

use super::*;

#[test]
fn the_old_class_is_kept_read_only_and_goes_only_while_every_node_says_so() {
    let kept = |switched: i64, answers: [Option<&[&str]>; 3]| {
        let journal = Journal {
            switched_at: Some(at(NOW - switched)),
            shards: vec!["s".to_owned(), "t".to_owned()],
            ..journal(Phase::Kept)
        };
        let observed = with(journal, |_, look| {
            let answers = answers.map(|shards| shards.map(|of| of.iter().map(ToString::to_string).collect()));
            look.read_only = nodes().into_iter().zip(answers).collect();
        });
        picture(&planned(&manual(), &observed, &[])).split_once('[').unwrap().1.to_owned()
    };
    let [all, one, none] = [Some(&["s", "t"][..]), Some(&["s"][..]), Some(&[][..])];
    let again = "A s+t read-only true]";
    for (what, switched, answers, expected) in [
        ("all is well", 60, [all, all, all], "]"),
        ("a node restarted", 60, [all, none, all], again),
        ("one shard", 60, [all, all, one], again),
        ("one restarted, one is away", 60, [none, None, all], again),
        ("one is away", 60, [all, None, all], "]"),
        ("over, and a node restarted", 3600, [all, none, all], again),
        ("over, and one is away", 3600, [all, None, all], "]"),
        ("over", 3600, [all, all, all], "remove A]"),
    ] {
        assert_eq!(kept(switched, answers), expected, "{what}");
    }
    // Also while something else is in the way of going on.
    let mut third = manual();
    third["schema"] = json!({"shardingConfig": {"desiredCount": 5}});
    let restarted = with(Journal { shards: vec!["s".to_owned()], ..journal(Phase::Kept) }, |_, look| {
        look.read_only.insert("b".to_owned(), Some(Vec::new()));
    });
    assert_eq!(picture(&planned(&third, &restarted, &[])), "False MigrationBlocked [A s read-only true]");
    // Another class of its name is not ours to freeze.
    let stranger = with(Journal { shards: vec!["s".to_owned()], ..journal(Phase::Kept) }, |_, look| {
        look.other_shards = Some(Sight::Seen(vec!["x".to_owned()]));
        look.read_only = nodes().into_iter().map(|node| (node, Some(Vec::new()))).collect();
    });
    assert!(picture(&planned(&manual(), &stranger, &[])).ends_with("[]"));
}

#[test]
fn a_person_is_told_why_the_old_class_stays() {
    let kept = Journal { switched_at: Some(at(NOW - 3600)), shards: vec!["s".to_owned()], ..journal(Phase::Kept) };
    let mut observed = looked(Some(kept));
    observed.placement = Sight::Seen(vec![shard("x", "a")]);
    let plan = planned(&manual(), &observed, &[]);
    let told = plan.findings.iter().any(|finding| finding.message.contains("A_2 was made anew since the switch"));
    assert!(told, "{:?}", plan.findings);
}

#[test]
fn a_replica_on_a_node_without_an_address_is_in_the_way() {
    let stray = |mut observed: Observed| {
        observed.placement = Sight::Seen(vec![shard("s", "a"), shard("t", "elsewhere")]);
        picture(&planned(&manual(), &observed, &[(names::APPROVE_ANNOTATION, &journal(Phase::Copy).hash)]))
    };
    assert_eq!(stray(looked(None)), "False MigrationBlocked []");
    // Also when it came there while it was copied.
    let ready =
        with(journal(Phase::Copy), |journal, look| look.ledger = Sight::Seen(Some(says(journal, CopyStage::Done))));
    assert_eq!(stray(ready), "False MigrationBlocked []");
}

#[test]
fn the_new_class_is_known_again_by_its_shards_from_the_switch_on() {
    let written = |observed: &Observed| {
        let plan = planned(&manual(), observed, &[]);
        let Some(Step::Migration(act)) = plan.steps.first() else { return None };
        let Act::Write(journal) = act.as_ref() else { return None };
        Some((**journal).clone())
    };
    let kept = written(&looked(Some(journal(Phase::Verify)))).unwrap();
    assert_eq!((kept.phase, kept.to_shards), (Phase::Kept, vec!["s".to_owned(), "t".to_owned()]));
    // It was made anew between the switch and the look, or an older release did not say which class was compared.
    let anew = Observed { placement: Sight::Seen(vec![shard("x", "a")]), ..looked(Some(journal(Phase::Verify))) };
    assert_eq!(written(&anew).unwrap().to_shards, Vec::<String>::new());
    let old = looked(Some(Journal { to_shards: Vec::new(), ..journal(Phase::Verify) }));
    assert_eq!(written(&old).unwrap().to_shards, Vec::<String>::new());
    let blind =
        Observed { placement: Sight::unseen(BlindnessKind::Unreachable, "no"), ..looked(Some(journal(Phase::Verify))) };
    told(&blind, "False Migrating []");
    // It is gone: whatever is made under its name is another class.
    let gone = Observed { class: Sight::Seen(None), ..blind };
    assert_eq!(written(&gone).unwrap().to_shards, Vec::<String>::new());
    // The alias was deleted before every node was seen to follow it.
    told(
        &with(journal(Phase::Verify), |_, look| {
            look.alias = Sight::Seen(None);
            look.alias_at = nodes().into_iter().map(|node| (node, Some(None))).collect();
        }),
        "False Migrating [alias Live→A_2]",
    );
    // It was let lead back by hand before that; a node that is late to hear of the switch says the same for a moment.
    let verify = |seconds: i64| Journal { since: at(NOW - seconds), ..journal(Phase::Verify) };
    told(&by_hand(verify(10), class(1), true), "False Migrating []");
    let led_back = written(&by_hand(verify(301), class(1), true)).unwrap();
    assert_eq!((led_back.phase, led_back.to_shards), (Phase::Kept, vec![]));
    // How many there were when both were the same.
    let same = with(journal(Phase::Final), |journal, look| {
        look.ledger = Sight::Seen(Some(CopyLedger { compared: compared(0), ..says(journal, CopyStage::Done) }));
    });
    let compared = written(&same).unwrap();
    assert_eq!((compared.compared, compared.to_shards), (Some(9), vec!["s".to_owned(), "t".to_owned()]));
    let mut unseen = same;
    look(&mut unseen).other_shards = Some(Sight::unseen(BlindnessKind::Unreachable, "no"));
    told(&unseen, "False Migrating []");
    // Another attempt compares anew.
    assert!(journal(Phase::Switch).thawing("no", at(NOW)).again(UID, at(NOW)).to_shards.is_empty());
}

#[test]
fn a_class_that_was_made_anew_after_the_comparison_is_not_switched_to() {
    let but = |shards: Sight<Vec<String>>| with(journal(Phase::Switch), |_, look| look.other_shards = Some(shards));
    told(&but(Sight::Seen(vec!["x".to_owned()])), "False Migrating [journal Thaw!]");
    told(&but(Sight::unseen(BlindnessKind::Unreachable, "no")), "False Migrating []");
    told(&but(Sight::Seen(vec!["t".to_owned(), "s".to_owned()])), "False Migrating [switch]");
    // Journals of older releases do not say which class was compared.
    told(&looked(Some(Journal { to_shards: Vec::new(), ..journal(Phase::Switch) })), "False Migrating [switch]");
}

/// A person let the alias lead to this class; the class beside it is the one that the controller looks at.
fn by_hand(journal: Journal, live: Value, begins: bool) -> Observed {
    let name = live["class"].as_str().unwrap().to_owned();
    let other = migrations::other("A", &name, Some(&journal), begins);
    let mut observed = with(journal, |_, look| {
        look.alias = Sight::Seen(Some(name.clone()));
        look.other_shards = Some(Sight::Seen(Vec::new()));
        look.other = Some((other.clone(), Sight::Seen((other == name).then(|| live.clone()))));
    });
    observed.class = Sight::Seen(Some(live));
    observed
}

#[test]
fn nobody_is_told_to_delete_the_class_that_the_alias_leads_to() {
    let kept = || Journal { switched_at: Some(at(NOW - 7200)), shards: vec!["s".to_owned()], ..journal(Phase::Kept) };
    let stopped = || journal(Phase::Copy).called_off("another class is live by now", at(NOW - 10));
    let third = || {
        let mut spec = manual();
        spec["schema"] = json!({"shardingConfig": {"desiredCount": 5}});
        spec
    };
    let automatic = || {
        let mut spec = third();
        spec["migration"] = json!({"alias": "Live", "approval": "Auto", "keep": 3});
        spec
    };
    let check = |what: &str, spec: &Value, observed: &Observed, expected: &str| {
        let plan = planned(spec, observed, &[]);
        assert!(picture(&plan).ends_with(expected), "{what}: {} {:?}", picture(&plan), plan.findings);
        let deletes = plan.findings.iter().any(|finding| finding.message.contains("DELETE"));
        assert!(!deletes, "{what}: {:?}", plan.findings);
        let Some(Step::Migration(act)) = plan.steps.first() else { return };
        let Act::Write(begun) = act.as_ref() else { panic!("{what}: {act:?}") };
        let live = observed.class.seen().unwrap().as_ref().unwrap()["class"].as_str().unwrap();
        assert_eq!((begun.from.as_str(), begun.to.as_str(), begun.is_rollback), (live, "A_3", false), "{what}");
        // What a person did is not undone without a person, also with `approval: Auto`.
        assert!(begun.stopped.as_ref().unwrap().contains("by hand"), "{what}: {:?}", begun.stopped);
    };
    let begins = "[journal Create!]";
    check("back, the settings still declared", &manual(), &by_hand(kept(), class(1), true), begins);
    check("back, and others are declared", &third(), &by_hand(kept(), class(1), true), begins);
    check("with room for more", &automatic(), &by_hand(kept(), class(1), true), begins);
    check("back, and so are the settings", &back(), &by_hand(kept(), class(1), false), "[]");
    check("on before the switch", &third(), &by_hand(stopped(), target(), true), begins);
    check("on, and the settings are those", &manual(), &by_hand(stopped(), target(), false), "[]");
}

#[test]
fn it_does_not_go_back_from_or_to_a_class_that_was_made_anew() {
    let kept = Journal { shards: vec!["s".to_owned()], ..journal(Phase::Kept) };
    let but = |change: fn(&mut Observed)| {
        let mut observed = looked(Some(kept.clone()));
        change(&mut observed);
        picture(&planned(&back(), &observed, &[]))
    };
    assert_eq!(but(|_| {}), "False Migrating [journal Approve]");
    assert_eq!(but(|seen| seen.placement = Sight::Seen(vec![shard("x", "a")])), "False MigrationBlocked []");
    assert_eq!(
        but(|seen| look(seen).other_shards = Some(Sight::Seen(vec!["x".to_owned()]))),
        "False MigrationBlocked []"
    );
    assert_eq!(
        but(|seen| look(seen).other_shards = Some(Sight::unseen(BlindnessKind::Unreachable, "no"))),
        "Unknown Unknown []"
    );
    let unknown = looked(Some(Journal { to_shards: Vec::new(), ..kept.clone() }));
    assert_eq!(picture(&planned(&back(), &unknown, &[])), "False MigrationBlocked []");
}

#[test]
fn the_old_class_goes_when_its_time_is_over_and_only_then() {
    let kept = |switched: i64| Journal {
        switched_at: Some(at(NOW - switched)),
        shards: vec!["s".to_owned()],
        ..journal(Phase::Kept)
    };
    let picture_of = |spec: &Value, observed: &Observed| {
        picture(&planned(spec, observed, &[])).split_once('[').unwrap().1.to_owned()
    };
    assert_eq!(picture_of(&manual(), &looked(Some(kept(3599)))), "]");
    assert_eq!(picture_of(&manual(), &looked(Some(kept(3600)))), "remove A]");
    let forever = declared(&json!({"alias": "Live"}));
    assert_eq!(picture_of(&forever, &looked(Some(kept(1_000_000)))), "]");
    let unless = |change: fn(&mut Observed)| {
        let mut observed = looked(Some(kept(3600)));
        change(&mut observed);
        picture_of(&manual(), &observed)
    };
    assert_eq!(unless(|seen| seen.migration.as_mut().unwrap().rival = Some("n/b".to_owned())), "]");
    assert_eq!(unless(|seen| seen.protection = Some("A*".to_owned())), "]");
    assert_eq!(unless(|seen| seen.cluster = ClusterSight::Unfit("x".to_owned())), "]");
    // Either class is another one by now, or nothing says that it is not.
    assert_eq!(unless(|seen| seen.placement = Sight::Seen(vec![shard("x", "a"), shard("y", "b")])), "]");
    assert_eq!(unless(|seen| seen.placement = Sight::unseen(BlindnessKind::Unreachable, "no")), "]");
    let others = |seen: &mut Observed| {
        seen.migration.as_mut().unwrap().other_shards = Some(Sight::Seen(vec!["x".to_owned()]));
    };
    assert_eq!(unless(others), "]");
    assert_eq!(
        unless(|seen| {
            seen.migration.as_mut().unwrap().other_shards = Some(Sight::unseen(BlindnessKind::Unreachable, "no"));
        }),
        "]"
    );
    let unknown = looked(Some(Journal { to_shards: Vec::new(), ..kept(3600) }));
    assert_eq!(picture_of(&manual(), &unknown), "]");
    // Somebody let the alias lead back: that class is live, and the other one is no rest of a migration.
    assert!(
        !unless(|seen| seen.migration.as_mut().unwrap().alias = Sight::Seen(Some("A".to_owned()))).contains("remove")
    );
    assert_eq!(
        unless(|seen| seen.migration.as_mut().unwrap().other = Some(("A".to_owned(), Sight::Seen(None)))),
        "journal Over]"
    );
    assert!(picture(&planned(&manual(), &looked(Some(kept(3600))), &[("elysia.dev/paused", "true")])).ends_with("[]"));
}

/// The spec declares what the kept class has.
fn back() -> Value {
    let mut spec = manual();
    spec["schema"] = json!({"shardingConfig": {"desiredCount": 2}});
    spec
}

#[test]
fn it_goes_back_to_a_class_that_is_kept_after_an_approval() {
    let kept = Journal { shards: vec!["s".to_owned()], history: Vec::new(), ..journal(Phase::Kept) };
    let plan = planned(&back(), &looked(Some(kept.clone())), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Approve]");
    let Step::Migration(act) = &plan.steps[0] else { panic!("{:?}", plan.steps) };
    let Act::Write(journal) = act.as_ref() else { panic!("{act:?}") };
    assert_eq!((journal.from.as_str(), journal.to.as_str(), journal.is_rollback), ("A_2", "A", true));
    assert!(plan.shown.as_ref().unwrap().destructive, "objects of the kept class are written over");

    let at_phase = |phase: Phase, read_only: &[&str]| {
        let mut observed = looked(Some(Journal { since: at(NOW), phase, ..(**journal).clone() }));
        let look = observed.migration.as_mut().unwrap();
        look.alias = Sight::Seen(Some("A_2".to_owned()));
        look.other = Some(("A".to_owned(), Sight::Seen(Some(class(1)))));
        let read_only: Vec<String> = read_only.iter().map(ToString::to_string).collect();
        look.read_only = nodes().into_iter().map(|node| (node, Some(read_only.clone()))).collect();
        observed.class = Sight::Seen(Some(target()));
        observed
    };
    let picture_at = |phase, read_only: &[&str], annotations: &[(&str, &str)]| {
        picture(&planned(&back(), &at_phase(phase, read_only), annotations))
    };
    assert_eq!(picture_at(Phase::Approve, &["s"], &[]), "False NeedsApproval []");
    // It stays read-only until then.
    assert_eq!(picture_at(Phase::Approve, &[], &[]), "False NeedsApproval [A s read-only true]");
    assert_eq!(
        picture_at(Phase::Approve, &["s"], &[(names::APPROVE_ANNOTATION, &journal.hash)]),
        "False Migrating [journal Create]"
    );
    // Also with `approval: Auto`: it writes over what is kept.
    let mut automatic = back();
    automatic["migration"]["approval"] = json!("Auto");
    let waiting = at_phase(Phase::Approve, &["s"]);
    assert_eq!(picture(&planned(&automatic, &waiting, &[])), "False NeedsApproval []");
    let approved = [(names::APPROVE_ANNOTATION, journal.hash.as_str())];
    assert_eq!(picture(&planned(&automatic, &waiting, &approved)), "False Migrating [journal Create]");
    let called_off = [approved[0], (names::ROLLBACK_ANNOTATION, journal.hash.as_str())];
    assert_eq!(picture(&planned(&automatic, &waiting, &called_off)), "False NeedsApproval []");
    // Either class was made anew, or it is not known: nothing is copied, and nothing removed.
    for phase in [Phase::Approve, Phase::Create, Phase::Copy] {
        let but = |change: fn(&mut Observed)| {
            let mut observed = at_phase(phase, &["s"]);
            change(&mut observed);
            picture(&planned(&back(), &observed, &approved))
        };
        assert_eq!(but(|seen| seen.placement = Sight::Seen(vec![shard("x", "a")])), "False MigrationBlocked []");
        assert_eq!(
            but(|seen| {
                seen.migration.as_mut().unwrap().other_shards = Some(Sight::Seen(vec!["x".to_owned()]));
            }),
            "False MigrationBlocked []"
        );
        assert_eq!(but(|seen| seen.migration.as_mut().unwrap().other_shards = None), "Unknown Unknown []");
    }
    assert_eq!(picture_at(Phase::Create, &["s"], &[]), "False Migrating [A s read-only false]");
    assert_eq!(picture_at(Phase::Create, &[], &[]), "False Migrating [journal Copy]");
    assert_eq!(picture_at(Phase::Copy, &[], &[]), "False Migrating [copy A_2→A 1]");

    // Called off: the way there is what remains, and its old class is kept for as long as before.
    let called_off = journal.called_off("no", at(NOW));
    assert_eq!((called_off.phase, called_off.from.as_str(), called_off.to.as_str()), (Phase::Kept, "A", "A_2"));
    assert_eq!((&called_off.shards, called_off.switched_at), (&kept.shards, kept.switched_at));
    assert_eq!((&called_off.to_shards, called_off.compared), (&kept.to_shards, kept.compared));
    let mut forward = at_phase(Phase::Copy, &[]);
    forward.holder = None;
    assert!(picture(&planned(&manual(), &forward, &[])).ends_with("[journal Kept!]"));
}

#[test]
fn only_one_class_is_kept_at_a_time() {
    let mut third = manual();
    third["schema"] = json!({"shardingConfig": {"desiredCount": 5}});
    let plan = planned(&third, &looked(Some(journal(Phase::Kept))), &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    let mut gone = looked(Some(journal(Phase::Over)));
    gone.migration.as_mut().unwrap().other = Some(("A_3".to_owned(), Sight::Seen(None)));
    assert_eq!(picture(&planned(&third, &gone, &[])), "False Migrating [journal Create]");
}
