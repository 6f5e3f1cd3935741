//! Collections with tenants: each step of the freeze, and everything that a tenant may do meanwhile.

use super::*;
use crate::collection::migration::tenants::{AT_ONCE, Roll, Tenants};

const NAMES: [&str; 3] = ["s", "t", "u"];

fn class_of(name: &str, vectorizer: &str) -> Value {
    json!({
        "class": name, "vectorizer": vectorizer,
        "multiTenancyConfig": {"enabled": true, "autoTenantCreation": true, "autoTenantActivation": false},
        "replicationConfig": {"factor": 1, "deletionStrategy": "TimeBasedResolution"},
    })
}

fn spec() -> Value {
    json!({
        "schema": {"vectorizer": "text2vec-openai", "multiTenancyConfig": {"enabled": true}},
        "replication": {"factor": 1}, "migration": {"alias": "Live", "rollbackWindow": "1h"},
    })
}

fn states(of: &[(&str, &str)]) -> Vec<TenantState> {
    let state = |(name, status): &(&str, &str)| TenantState { name: (*name).to_owned(), status: (*status).to_owned() };
    of.iter().map(state).collect()
}

fn hot() -> Vec<TenantState> {
    states(&NAMES.map(|name| (name, "HOT")))
}

/// `u` was at rest when the roll was called.
fn roll() -> Roll {
    Roll::of(&states(&[("s", "HOT"), ("t", "HOT"), ("u", "COLD")]))
}

fn held(roll: Option<Roll>) -> Tenants {
    Tenants { tenancy: Some(class_of("A", "none")["multiTenancyConfig"].clone()), roll }
}

/// A journal of a collection with tenants, all of whose roll is called from the freeze on.
fn tenanted(phase: Phase) -> Journal {
    let journal = Journal {
        former_schema: class_of("A", "none"),
        wanted_schema: class_of("A_2", "text2vec-openai"),
        shards: Vec::new(),
        to_shards: Vec::new(),
        tenants: Some(if phase.is_frozen() { held(Some(roll())) } else { Tenants::default() }),
        ..journal(phase)
    };
    Journal { hash: journal.hash_of(UID), ..journal }
}

/// All awake, all read-only everywhere, and writing creates none.
fn seen_of(journal: Option<Journal>) -> Observed {
    let mut observed = looked(journal);
    let frozen: Vec<String> = NAMES.map(str::to_owned).to_vec();
    let look = observed.migration.as_mut().unwrap();
    let live = match &look.alias {
        Sight::Seen(Some(name)) => name.clone(),
        _ => "A".to_owned(),
    };
    look.read_only = nodes().into_iter().map(|node| (node, Some(frozen.clone()))).collect();
    look.makes_tenants = nodes().into_iter().map(|node| (node, Some(false))).collect();
    look.tenants = ["A", "A_2"].into_iter().map(|class| (class.to_owned(), Sight::Seen(hot()))).collect();
    if let Some((name, Sight::Seen(Some(other)))) = &mut look.other {
        *other = class_of(name, if *name == "A" { "none" } else { "text2vec-openai" });
    }
    observed.class = Sight::Seen(Some(class_of(&live, if live == "A" { "none" } else { "text2vec-openai" })));
    observed.recreate.tenants = Some(Sight::Seen(hot()));
    observed
}

fn check_tenants(what: &str, observed: &Observed, expected: &str) -> Plan {
    let plan = planned(&spec(), observed, &[]);
    assert_eq!(picture(&plan), expected, "{what}: {:?}", plan.findings);
    plan
}

fn changed(journal: Journal, change: impl FnOnce(&mut Look)) -> Observed {
    let mut observed = seen_of(Some(journal));
    change(observed.migration.as_mut().unwrap());
    observed
}

fn tenants_are(look: &mut Look, class: &str, tenants: Vec<TenantState>) {
    look.tenants.insert(class.to_owned(), Sight::Seen(tenants));
}

/// What this node says of writing.
fn says_creates(look: &mut Look, node: &str, creates: Option<bool>) {
    look.makes_tenants.insert(node.to_owned(), creates);
}

#[test]
fn it_begins_unless_tenancy_changes_or_a_tenant_can_neither_be_read_nor_frozen() {
    let plan = check_tenants("it begins", &seen_of(None), "False Migrating [journal Create]");
    let Step::Migration(act) = &plan.steps[0] else { panic!("{:?}", plan.steps) };
    let Act::Write(written) = act.as_ref() else { panic!("{act:?}") };
    assert_eq!((&written.tenants, written.shards.len()), (&Some(Tenants::default()), 0));
    for (what, tenants, expected) in [
        ("one rests", Some(Sight::Seen(states(&[("s", "COLD")]))), "False Migrating [journal Create]"),
        ("one is offloaded", Some(Sight::Seen(states(&[("s", "FROZEN")]))), "False MigrationBlocked []"),
        ("they are not seen", Some(Sight::unseen(BlindnessKind::Unreachable, "no")), "Unknown Unknown []"),
        ("they were not asked for", None, "Unknown Unknown []"),
    ] {
        let mut observed = seen_of(None);
        // Those at rest are not proved to be empty, nor to be not.
        observed.holder = Some(Sight::unseen(BlindnessKind::Unsupported, "at rest"));
        observed.recreate.tenants = tenants;
        check_tenants(what, &observed, expected);
    }
    let mut none = seen_of(None);
    none.class = Sight::Seen(Some(json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 1}})));
    let plan = check_tenants("it gets tenants", &none, "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains("which tenant an object is to be of"), "{:?}", plan.findings[0]);
    let mut without = spec();
    without["schema"]["multiTenancyConfig"]["enabled"] = json!(false);
    let plan = planned(&without, &seen_of(None), &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains("two of them may have objects of one id"), "{:?}", plan.findings[0]);
}

#[test]
fn the_plan_says_what_becomes_of_tenants() {
    let plan = planned(&spec(), &seen_of(Some(tenanted(Phase::Copy))), &[]);
    let steps = plan.shown.unwrap().steps;
    for wanted in [
        "let writing create and wake no tenants of A, and wake those that are at rest",
        "put the tenants that were at rest back to rest",
        "keep A until a person deletes it",
    ] {
        assert!(steps.iter().any(|step| step == wanted), "{steps:?}");
    }
}

#[test]
fn approved_it_notes_how_tenants_are_created_before_anything_is_changed() {
    let journal = tenanted(Phase::Copy);
    let done = |tenants: Vec<TenantState>| {
        let mut observed = changed(journal.clone(), |look| {
            look.ledger = Sight::Seen(Some(says(&journal, CopyStage::Done)));
        });
        observed.recreate.tenants = Some(Sight::Seen(tenants));
        planned(&spec(), &observed, &[("elysia.dev/approve", &journal.hash)])
    };
    let plan = done(hot());
    assert_eq!(picture(&plan), "False Migrating [journal Freeze]");
    let Step::Migration(act) = &plan.steps[0] else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!(written.tenants, Some(held(None)));
    assert_eq!(picture(&done(states(&[("s", "HOT"), ("t", "OFFLOADING")]))), "False MigrationBlocked []");
}

#[test]
fn the_freeze_step_by_step() {
    let fresh = || Journal {
        tenants: Some(held(None)),
        read_only_before: None,
        freezing_since: None,
        frozen_since: None,
        ..tenanted(Phase::Freeze)
    };
    let creates = |look: &mut Look| says_creates(look, "b", Some(true));
    check_tenants("writing creates", &changed(fresh(), creates), "False Migrating [hold A]");
    let blind = changed(fresh(), |look| says_creates(look, "b", None));
    check_tenants("a node does not say whether it does", &blind, "False Migrating []");
    let unseen = changed(fresh(), |look| drop(look.tenants.remove("A")));
    check_tenants("tenants are not seen", &unseen, "False Migrating []");
    // Somebody's read-only tenant is noted, and stays so; of which rest the roll tells. Only then is one woken.
    let called = changed(fresh(), |look| {
        tenants_are(look, "A", states(&[("s", "HOT"), ("t", "HOT"), ("u", "COLD")]));
        look.read_only.values_mut().for_each(|frozen| *frozen = Some(vec!["t".to_owned()]));
    });
    let plan = check_tenants("the roll is called", &called, "False Migrating [journal Freeze]");
    let Step::Migration(act) = &plan.steps[0] else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!(written.tenants, Some(held(Some(roll()))));
    assert_eq!(written.read_only_before, Some(vec!["t".to_owned()]));
    assert_eq!((written.freezing_since, written.shards.len()), (Some(at(NOW)), 0));
    let offloaded = changed(fresh(), |look| tenants_are(look, "A", states(&[("s", "FROZEN")])));
    check_tenants("one was offloaded meanwhile", &offloaded, "False Migrating [journal Thaw!]");

    let freezing = || tenanted(Phase::Freeze);
    let resting = changed(freezing(), |look| {
        tenants_are(look, "A", states(&[("s", "HOT"), ("t", "HOT"), ("u", "COLD")]));
    });
    check_tenants("who rests is woken", &resting, "False Migrating [wake u of A]");
    let open = changed(freezing(), |look| drop(look.read_only.insert("b".to_owned(), Some(vec!["s".to_owned()]))));
    check_tenants("who is awake is made read-only", &open, "False Migrating [A t+u read-only true]");
    check_tenants("all are", &seen_of(Some(freezing())), "False Migrating [journal Settle]");
    for (what, tenants) in [
        ("one came", states(&[("s", "HOT"), ("t", "HOT"), ("u", "HOT"), ("v", "HOT")])),
        ("one went", states(&[("s", "HOT"), ("t", "HOT")])),
        ("one that was awake rests", states(&[("s", "COLD"), ("t", "HOT"), ("u", "HOT")])),
    ] {
        let observed = changed(freezing(), |look| tenants_are(look, "A", tenants));
        check_tenants(what, &observed, "False Migrating [journal Thaw!]");
    }
    // Waits no longer than a while, and longer for more of them.
    let late = |tenants: usize, seconds: i64| {
        let states: Vec<TenantState> =
            (0..tenants).map(|number| TenantState { name: format!("t{number}"), status: "HOT".to_owned() }).collect();
        let journal = Journal { since: at(NOW - seconds), tenants: Some(held(Some(Roll::of(&states)))), ..freezing() };
        changed(journal, |look| {
            tenants_are(look, "A", states);
            look.read_only.values_mut().for_each(|frozen| *frozen = Some(Vec::new()));
        })
    };
    let many = planned(&spec(), &late(2000, 100), &[]);
    let Step::Migration(act) = &many.steps[0] else { panic!() };
    assert!(matches!(act.as_ref(), Act::SetReadOnly { shards, .. } if shards.len() == AT_ONCE), "{act:?}");
    check_tenants("it takes too long", &late(3, 100), "False Migrating [journal Thaw!]");
}

#[test]
fn no_tenant_comes_goes_rests_or_thaws_unseen_before_the_switch() {
    for phase in [Phase::Settle, Phase::Final, Phase::Switch] {
        let stopped = |what: &str, change: fn(&mut Look)| {
            let observed = changed(tenanted(phase), change);
            check_tenants(&format!("{phase:?}: {what}"), &observed, "False Migrating [journal Thaw!]");
        };
        stopped("one came", |look| tenants_are(look, "A", [hot(), states(&[("v", "HOT")])].concat()));
        stopped("one went", |look| tenants_are(look, "A", states(&[("s", "HOT"), ("t", "HOT")])));
        stopped("another one of the number", |look| {
            tenants_are(look, "A", states(&[("s", "HOT"), ("t", "HOT"), ("v", "HOT")]));
        });
        stopped("one rests", |look| tenants_are(look, "A", states(&[("s", "HOT"), ("t", "HOT"), ("u", "COLD")])));
        // Put to rest and woken again between two looks.
        stopped("one is writable", |look| {
            look.read_only.insert("c".to_owned(), Some(vec!["s".to_owned(), "t".to_owned()]));
        });
        stopped("writing creates them", |look| says_creates(look, "a", Some(true)));
        stopped("a node restarted", |look| look.restarted.push("b".to_owned()));
        // What is not seen is not broken, and goes no further.
        for change in [
            (|look: &mut Look| drop(look.tenants.remove("A"))) as fn(&mut Look),
            |look| says_creates(look, "b", None),
            |look| drop(look.read_only.insert("b".to_owned(), None)),
        ] {
            let journal = Journal { since: at(NOW) - SETTLE, ..tenanted(phase) };
            let plan = planned(&spec(), &changed(journal, change), &[]);
            let shown = picture(&plan);
            assert!(!shown.contains("switch") && !shown.contains("journal"), "{phase:?}: {shown}");
        }
    }
    check_tenants("the switch", &seen_of(Some(tenanted(Phase::Switch))), "False Migrating [switch]");
}

#[test]
fn what_was_woken_rests_again_after_the_switch_and_after_a_thaw() {
    let plan = check_tenants(
        "switched",
        &seen_of(Some(tenanted(Phase::Verify))),
        "False Migrating [rest u of A_2, rest u of A, journal Kept]",
    );
    let Step::Migration(act) = plan.steps.last().unwrap() else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert!(written.strayed.is_empty() && written.to_shards.is_empty(), "{written:?}");
    let unseen = changed(tenanted(Phase::Verify), |look| drop(look.tenants.remove("A")));
    check_tenants("not seen", &unseen, "False Migrating []");

    let frozen = seen_of(Some(tenanted(Phase::Thaw)));
    check_tenants("read-only", &frozen, "False Migrating [A s+t+u read-only false]");
    let before = Journal { read_only_before: Some(vec!["t".to_owned()]), ..tenanted(Phase::Thaw) };
    check_tenants("what somebody made so stays", &seen_of(Some(before)), "False Migrating [A s+u read-only false]");
    let open = |journal: Journal| {
        changed(journal, |look| look.read_only.values_mut().for_each(|frozen| *frozen = Some(Vec::new())))
    };
    check_tenants(
        "writable",
        &open(tenanted(Phase::Thaw)),
        "False Migrating [rest u of A, release A true, journal Copy]",
    );
    let plan = planned(&spec(), &open(tenanted(Phase::Thaw)), &[]);
    let Step::Migration(act) = plan.steps.last().unwrap() else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!(written.tenants, Some(Tenants::default()), "the next attempt calls them anew");
    // Stopped before the roll was called: nothing was woken, but writing may create none.
    let early = Journal { tenants: Some(held(None)), read_only_before: None, ..tenanted(Phase::Thaw) };
    check_tenants("early", &seen_of(Some(early)), "False Migrating [release A true, journal Copy]");
    let away = changed(tenanted(Phase::Thaw), |look| {
        look.read_only.values_mut().for_each(|frozen| *frozen = Some(Vec::new()));
        look.read_only.insert("c".to_owned(), None);
    });
    check_tenants("a node is away", &away, "False Migrating []");
}

#[test]
fn a_tenant_that_came_at_the_moment_of_the_switch_is_told_of_until_the_old_class_is_gone() {
    let late = changed(tenanted(Phase::Verify), |look| {
        tenants_are(look, "A", [hot(), states(&[("v", "HOT")])].concat());
    });
    let plan = planned(&spec(), &late, &[]);
    let Step::Migration(act) = plan.steps.last().unwrap() else { panic!() };
    let Act::Write(kept) = act.as_ref() else { panic!() };
    assert_eq!((kept.phase, kept.strayed.as_slice()), (Phase::Kept, &["v".to_owned()][..]));
    let plan = check_tenants("told", &seen_of(Some((**kept).clone())), "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains("1 tenants, v among them"), "{:?}", plan.findings[0]);
    let gone = changed((**kept).clone(), |look| look.other = Some(("A".to_owned(), Sight::Seen(None))));
    check_tenants("a person dealt with it", &gone, "True AsDeclared [journal Over]");
}

#[test]
fn a_kept_class_with_tenants_is_a_persons_and_its_settings_come_back_in_another_class() {
    let old = Journal { switched_at: Some(at(NOW - 7200)), ..tenanted(Phase::Kept) };
    let plan = check_tenants("its window is over", &seen_of(Some(old.clone())), "True AsDeclared []");
    assert!(plan.findings.iter().any(|finding| finding.message.contains("DELETE /v1/schema/A")), "{:?}", plan.findings);
    // The former settings are declared again: nothing is copied back into what is kept.
    let mut former = spec();
    former["schema"]["vectorizer"] = json!("none");
    let back = changed(old, |look| look.other = Some(("A_3".to_owned(), Sight::Seen(None))));
    let plan = planned(&former, &back, &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Create]", "{:?}", plan.findings);
    let Step::Migration(act) = &plan.steps[0] else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!(
        (written.from.as_str(), written.to.as_str(), written.is_rollback, written.kept_shards.len()),
        ("A_2", "A_3", false, 0)
    );
    assert_eq!(written.history.len(), 1);
}

#[test]
fn nobody_is_told_to_delete_a_class_with_tenants_to_which_the_alias_was_let_lead_back() {
    let mut former = spec();
    former["schema"]["vectorizer"] = json!("none");
    let over = Journal { switched_at: Some(at(NOW - 7200)), ..tenanted(Phase::Kept) };
    let strayed = Journal { strayed: vec!["v".to_owned()], ..over.clone() };
    for (what, journal) in [("its window is over", over), ("tenants strayed", strayed)] {
        let other = migrations::other("A", "A", Some(&journal), false);
        let mut observed = changed(journal, |look| {
            look.alias = Sight::Seen(Some("A".to_owned()));
            look.other = Some((other.clone(), Sight::Seen((other == "A").then(|| class_of("A", "none")))));
        });
        observed.class = Sight::Seen(Some(class_of("A", "none")));
        let plan = planned(&former, &observed, &[]);
        assert_eq!(picture(&plan), "True AsDeclared []", "{what}: {:?}", plan.findings);
        let deletes = plan.findings.iter().any(|finding| finding.message.contains("DELETE"));
        assert!(!deletes, "{what}: {:?}", plan.findings);
    }
}

#[test]
fn the_journal_of_very_many_tenants_fits_into_a_config_map() {
    let tenant = |number: usize| TenantState {
        name: format!("{number:064}"),
        status: if number.is_multiple_of(10) { "COLD" } else { "HOT" }.to_owned(),
    };
    let many: Vec<TenantState> = (0..migrations::tenants::MOST_TENANTS).map(tenant).collect();
    assert_eq!(migrations::tenants::obstacle(&many), None);
    let journal = Journal { tenants: Some(held(Some(Roll::of(&many)))), ..tenanted(Phase::Freeze) };
    let bytes = serde_json::to_string_pretty(&journal).unwrap().len();
    assert!(bytes < 200_000, "{bytes}");
}
