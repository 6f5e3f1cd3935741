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
    // How many there were when both were the same.
    let same = with(journal(Phase::Final), |journal, look| {
        look.ledger = Sight::Seen(Some(CopyLedger { compared: compared(0), ..says(journal, CopyStage::Done) }));
    });
    assert_eq!(written(&same).unwrap().compared, Some(9));
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
