//! Migrations: every phase, and everything that can come up in it.

mod kept;
mod switching;
mod tenants;
mod transform;
mod versions;

use elysia_api::names;
use jiff::SignedDuration;

use super::super::super::migration::{self as migrations, Act, Journal, Look, Phase};
use super::super::super::recreate::SETTLE;
use super::*;
use crate::copy::ledger::{Compared, CopyLedger, Stage as CopyStage};
use crate::feed::{JobState, JobView};
use crate::version::ServerVersion;

pub(super) fn act(act: &Act) -> String {
    match act {
        Act::Write(journal) => {
            let stopped = journal.stopped.as_ref().map_or("", |_| "!");
            format!("journal {}{stopped}", journal.phase.as_str())
        }
        Act::MakeAlias { alias, class } => format!("alias {alias}→{class}"),
        Act::CreateTarget(class) => format!("create {}", class["class"].as_str().unwrap()),
        Act::AddProperty { class, property } => format!("property {} of {class}", property["name"]),
        Act::SetReadOnly { class, read_only, shards } => format!("{class} {} read-only {read_only}", shards.join("+")),
        Act::HoldTenants(class) => format!("hold {class}"),
        Act::ReleaseTenants { class, tenancy } => format!("release {class} {}", tenancy["autoTenantCreation"]),
        Act::WakeTenants { class, tenants } => format!("wake {} of {class}", tenants.join("+")),
        Act::RestTenants { class, tenants } => format!("rest {} of {class}", tenants.join("+")),
        Act::Copy(journal) => format!("copy {}→{} {}", journal.from, journal.to, journal.pass),
        Act::EndJob(_) => "end job".to_owned(),
        Act::Switch(_) => "switch".to_owned(),
        Act::RemoveFormer(journal) => format!("remove {}", journal.from),
    }
}

const UID: &str = "0123456789";
const NOW: i64 = 100_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn target() -> Value {
    json!({"class": "A_2", "shardingConfig": {"desiredCount": 3}, "replicationConfig": {"factor": 1}})
}

fn journal(phase: Phase) -> Journal {
    let frozen = phase.is_frozen();
    let journal = Journal {
        hash: String::new(),
        attempts: 1,
        target: None,
        alias: "Live".to_owned(),
        from: "A".to_owned(),
        to: "A_2".to_owned(),
        is_rollback: false,
        former_schema: class(1),
        wanted_schema: target(),
        former_version: None,
        schema_version: None,
        approved: frozen,
        approved_by: None,
        phase,
        since: at(NOW - 10),
        begun: at(NOW - 1000),
        pass: 2,
        shards: if frozen { vec!["s".to_owned(), "t".to_owned()] } else { Vec::new() },
        kept_shards: Vec::new(),
        to_shards: if matches!(phase, Phase::Switch | Phase::Verify | Phase::Kept) {
            vec!["s".to_owned(), "t".to_owned()]
        } else {
            Vec::new()
        },
        compared: (phase == Phase::Switch || phase.has_switched()).then_some(9),
        read_only_before: frozen.then(Vec::new),
        freezing_since: frozen.then(|| at(NOW - 10)),
        frozen_since: (phase > Phase::Freeze && frozen).then(|| at(NOW - 10)),
        switched_at: phase.has_switched().then(|| at(NOW - 3000)),
        stopped: None,
        transform: Vec::new(),
        tenants: None,
        strayed: Vec::new(),
        history: Vec::new(),
    };
    Journal { hash: journal.hash_of(UID), ..journal }
}

/// What the worker says of the present order of this journal.
fn says(journal: &Journal, stage: CopyStage) -> CopyLedger {
    let finished = matches!(stage, CopyStage::Done | CopyStage::Failed).then(|| at(NOW - 5));
    CopyLedger {
        copy: journal.copy(UID),
        order: journal.order(UID),
        stage,
        pass: 1,
        total: 9,
        done: 9,
        written: 9,
        removed: 0,
        behind: None,
        left_out: None,
        caught_up_to: None,
        compared: None,
        has_begun: true,
        started_at: at(NOW - 900),
        updated_at: at(NOW - 5),
        finished_at: finished,
        message: (stage == CopyStage::Failed).then(|| "no way".to_owned()),
        is_permanent: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as a ledger has it")]
fn compared(differing: i64) -> Option<Compared> {
    let (source, target, sampled, is_same) = (9, 9 - differing, 9, differing == 0);
    Some(Compared { source, target, differing, sampled, is_same, at: at(NOW - 6), tenants: Vec::new() })
}

fn job(journal: &Journal, state: JobState) -> JobView {
    JobView { name: migrations::job("a", &journal.order(UID)), state, watches: false, idle_since: None }
}

/// A collection with objects and an immutable difference, and a look at its migration.
fn looked(journal: Option<Journal>) -> Observed {
    let frozen = journal.as_ref().map(|journal| journal.shards.clone()).unwrap_or_default();
    let is_rollback = journal.as_ref().is_some_and(|journal| journal.is_rollback);
    let kept = journal.as_ref().map(|journal| journal.kept_shards.clone()).unwrap_or_default();
    let has_switched = journal.as_ref().is_some_and(|journal| journal.phase.has_switched());
    let begins = journal.as_ref().is_none_or(|journal| journal.phase == Phase::Create);
    let other = if journal.as_ref().is_some_and(|journal| journal.phase == Phase::Kept) { "A" } else { "A_2" };
    let look = Look {
        alias: Sight::Seen(Some(if has_switched { "A_2" } else { "A" }.to_owned())),
        other: Some((other.to_owned(), Sight::Seen((!begins).then(|| if other == "A" { class(1) } else { target() })))),
        other_shards: Some(Sight::Seen(if is_rollback { kept } else { frozen.clone() })),
        read_only: nodes().into_iter().map(|node| (node, Some(frozen.clone()))).collect(),
        alias_at: nodes().into_iter().map(|node| (node, Some(Some("A_2".to_owned())))).collect(),
        journal: Sight::Seen(journal),
        ledger: Sight::Seen(None),
        jobs: Sight::Seen(Vec::new()),
        led_from: Some(Sight::Seen(Vec::new())),
        ..Look::default()
    };
    Observed {
        holder: Some(Sight::Seen(Some("b".to_owned()))),
        version: Some(migrations::REFUSES_EACH),
        migration: Some(Box::new(look)),
        ..seen(Some(if has_switched { target() } else { class(1) }), "a", "b")
    }
}

fn declared(migration: &Value) -> Value {
    let mut spec = immutable();
    spec["migration"] = migration.clone();
    spec
}

fn manual() -> Value {
    declared(&json!({"alias": "Live", "rollbackWindow": "1h"}))
}

/// The plan of this look, with this approval, and with the live class in the spec as the controller puts it there.
fn planned(spec: &Value, observed: &Observed, annotations: &[(&str, &str)]) -> Plan {
    let mut object = object(spec);
    for (key, value) in annotations {
        object.metadata.annotations.get_or_insert_default().insert((*key).to_owned(), (*value).to_owned());
    }
    let mut spec = CollectionSpec::validate(&object).unwrap();
    let look = observed.migration.as_ref().unwrap();
    if let migrations::Live::Class(class) = migrations::live("A", "Live", look) {
        spec.collection = class;
    }
    let plan = plan(&spec, observed, &ElysiaCollectionStatus::default(), at(NOW));
    record(&object, observed, &plan);
    plan
}

fn told(observed: &Observed, expected: &str) {
    let plan = planned(&manual(), observed, &[]);
    assert_eq!(picture(&plan), expected, "{:?}", plan.findings);
}

#[expect(clippy::needless_pass_by_value, reason = "tables make it in place")]
fn with(journal: Journal, change: impl FnOnce(&Journal, &mut Look)) -> Observed {
    let mut observed = looked(Some(journal.clone()));
    change(&journal, observed.migration.as_mut().unwrap());
    observed
}

fn look(observed: &mut Observed) -> &mut Look {
    observed.migration.as_mut().unwrap()
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "a table of pictures")]
fn a_migration_begins_with_its_journal_unless_something_is_in_the_way() {
    told(&looked(None), "False Migrating [journal Create]");
    let change = |change: fn(&mut Observed)| {
        let mut observed = looked(None);
        change(&mut observed);
        observed
    };
    for (what, observed, expected) in [
        ("an old server", change(|seen| seen.version = Some(ServerVersion::minor(31))), "False MigrationBlocked []"),
        (
            "a class of that name",
            change(|seen| look(seen).other = Some(("A_2".to_owned(), Sight::Seen(Some(target()))))),
            "False MigrationBlocked []",
        ),
        ("who else claims it", change(|seen| look(seen).rival = Some("n/b".to_owned())), "False MigrationBlocked []"),
        (
            "an alias of somebody else",
            change(|seen| look(seen).alias = Sight::Seen(Some("B".to_owned()))),
            "False MigrationBlocked []",
        ),
        (
            "an alias that is not seen",
            change(|seen| look(seen).alias = Sight::unseen(BlindnessKind::Unreachable, "no")),
            "Unknown Unreachable []",
        ),
        (
            "a journal that is not read",
            change(|seen| look(seen).journal = Sight::unseen(BlindnessKind::Failed, "no")),
            "Unknown Unknown []",
        ),
        (
            "no alias, no journal, and two classes",
            change(|seen| {
                look(seen).alias = Sight::Seen(None);
                look(seen).generations = Some(Sight::Seen(vec!["A".to_owned(), "A_2".to_owned()]));
            }),
            "False MigrationBlocked []",
        ),
        ("protection", change(|seen| seen.protection = Some("A*".to_owned())), "False Protected []"),
        (
            "references to another class",
            change(|seen| {
                let mut class = class(1);
                class["properties"] = json!([{"name": "of", "dataType": ["B"]}]);
                seen.class = Sight::Seen(Some(class));
            }),
            "False Migrating [journal Create]",
        ),
        (
            "references to itself",
            change(|seen| {
                let mut class = class(1);
                class["properties"] = json!([{"name": "of", "dataType": ["A"]}]);
                seen.class = Sight::Seen(Some(class));
            }),
            "False MigrationBlocked []",
        ),
        (
            "references of another class to it",
            change(|seen| look(seen).led_from = Some(Sight::Seen(vec!["B.of".to_owned()]))),
            "False MigrationBlocked []",
        ),
        (
            "classes that are not seen",
            change(|seen| look(seen).led_from = Some(Sight::unseen(BlindnessKind::Failed, "no"))),
            "Unknown Unknown []",
        ),
        (
            "a cluster that is not well",
            change(|seen| seen.cluster = ClusterSight::Unfit("x".to_owned())),
            "False Migrating []",
        ),
        (
            "no alias yet",
            change(|seen| {
                look(seen).alias = Sight::Seen(None);
                look(seen).generations = Some(Sight::Seen(vec!["A".to_owned()]));
            }),
            "False Migrating [journal Create, alias Live→A]",
        ),
    ] {
        let plan = planned(&manual(), &observed, &[]);
        assert_eq!(picture(&plan), expected, "{what}: {:?}", plan.findings);
    }
    // Without the field nothing changes, and paused nothing begins.
    check(&immutable(), &Observed { migration: None, ..looked(None) }, "False RefusedHasData []");
    assert_eq!(picture(&planned(&manual(), &looked(None), &[("elysia.dev/paused", "true")])), "False Migrating []");
}

#[test]
fn the_class_is_made_with_the_properties_of_the_old_one_and_copied() {
    told(&looked(Some(journal(Phase::Create))), "False Migrating [create A_2]");
    let made = |class: Value| {
        with(journal(Phase::Create), |_, look| look.other = Some(("A_2".to_owned(), Sight::Seen(Some(class)))))
    };
    told(&made(target()), "False Migrating [journal Copy]");
    told(&made(class(1)), "False Migrating [journal Stopped!]");
    let mut observed = looked(Some(journal(Phase::Copy)));
    let mut live = class(1);
    live["properties"] = json!([{"name": "late", "dataType": ["text"]}]);
    observed.class = Sight::Seen(Some(live.clone()));
    told(&observed, r#"False Migrating [property "late" of A_2]"#);

    observed = looked(None);
    observed.class = Sight::Seen(Some(live));
    let plan = planned(&manual(), &observed, &[]);
    let Step::Migration(act) = &plan.steps[0] else { panic!("{:?}", plan.steps) };
    let Act::Write(journal) = act.as_ref() else { panic!("{act:?}") };
    assert_eq!(journal.wanted_schema["properties"][0]["name"], "late");
    assert_eq!(
        (&journal.wanted_schema["class"], &journal.wanted_schema["shardingConfig"]["desiredCount"]),
        (&json!("A_2"), &json!(3))
    );
    assert_eq!(journal.former_schema["class"], "A");
}

#[test]
fn the_copy_goes_on_until_it_is_approved() {
    let copying = |change: fn(&Journal, &mut Look)| with(journal(Phase::Copy), change);
    let ledger = |stage: CopyStage| {
        with(journal(Phase::Copy), |journal, look| look.ledger = Sight::Seen(Some(says(journal, stage))))
    };
    told(&copying(|_, _| {}), "False Migrating [copy A→A_2 2]");
    told(&copying(|journal, look| look.jobs = Sight::Seen(vec![job(journal, JobState::Active)])), "False Migrating []");
    told(&ledger(CopyStage::Done), "False NeedsApproval []");
    told(
        &copying(|journal, look| {
            let old = CopyLedger { finished_at: Some(at(NOW - 301)), ..says(journal, CopyStage::Done) };
            look.ledger = Sight::Seen(Some(old));
            let past = Journal { since: at(NOW - 400), ..journal.clone() };
            look.journal = Sight::Seen(Some(past));
        }),
        "False NeedsApproval [journal Copy]",
    );
    // Failed: after a while once more; for good: a person is told, and it is tried again much later.
    told(&ledger(CopyStage::Failed), "False Migrating []");
    let since = |seconds: i64, is_permanent: bool| {
        let journal = Journal { since: at(NOW - seconds), ..journal(Phase::Copy) };
        with(journal, |journal, look| {
            let failed =
                CopyLedger { finished_at: Some(at(NOW - seconds)), is_permanent, ..says(journal, CopyStage::Failed) };
            look.ledger = Sight::Seen(Some(failed));
        })
    };
    told(&since(60, false), "False Migrating [journal Copy]");
    told(&since(60, true), "False MigrationBlocked []");
    told(&since(601, true), "False MigrationBlocked [journal Copy]");
    // A ledger that was lost costs a pass; a Job that is gone as well.
    told(
        &copying(|journal, look| {
            look.jobs = Sight::Seen(vec![job(journal, JobState::Succeeded)]);
            look.journal = Sight::Seen(Some(Journal { since: at(NOW - 60), ..journal.clone() }));
        }),
        "False Migrating [journal Copy]",
    );
    // What another copy says counts for nothing, and while it runs nothing is begun.
    told(
        &copying(|journal, look| {
            look.ledger = Sight::Seen(Some(CopyLedger { copy: "other".to_owned(), ..says(journal, CopyStage::Done) }));
        }),
        "False Migrating [copy A→A_2 2]",
    );
    told(
        &copying(|journal, look| {
            let other = JobView { name: "a-other".to_owned(), ..job(journal, JobState::Active) };
            look.jobs = Sight::Seen(vec![other]);
        }),
        "False Migrating [end job]",
    );
    told(&copying(|_, look| look.ledger = Sight::unseen(BlindnessKind::Failed, "no")), "Unknown Unknown []");
    told(
        &copying(|_, look| look.other = Some(("A_2".to_owned(), Sight::Seen(None)))),
        "False Migrating [journal Create]",
    );
}

#[test]
fn an_approval_serves_one_attempt() {
    let first = journal(Phase::Copy);
    let ready = |journal: &Journal| {
        with(journal.clone(), |journal, look| look.ledger = Sight::Seen(Some(says(journal, CopyStage::Done))))
    };
    let approve = |hash: &str, spec: &Value, journal: &Journal| {
        picture(&planned(spec, &ready(journal), &[(names::APPROVE_ANNOTATION, hash)]))
    };
    assert_eq!(approve(&first.hash, &manual(), &first), "False Migrating [journal Freeze]");
    assert_eq!(approve("000000000000", &manual(), &first), "False NeedsApproval []");
    let automatic = declared(&json!({"alias": "Live", "approval": "Auto"}));
    assert_eq!(approve("", &automatic, &first), "False Migrating [journal Freeze]");

    let second = journal(Phase::Final).thawing("they differ", at(NOW - 20)).again(UID, at(NOW - 10));
    assert_ne!(second.hash, first.hash);
    assert_eq!((second.phase, second.approved, second.pass), (Phase::Copy, false, 3));
    assert_eq!(approve(&first.hash, &manual(), &second), "False NeedsApproval []");
    assert_eq!(
        approve("", &automatic, &second),
        "False NeedsApproval []",
        "a person is asked after an attempt that was stopped"
    );
    assert_eq!(approve(&second.hash, &automatic, &second), "False Migrating [journal Freeze!]");
    let called_off =
        [(names::APPROVE_ANNOTATION, first.hash.as_str()), (names::ROLLBACK_ANNOTATION, first.hash.as_str())];
    assert_eq!(picture(&planned(&manual(), &ready(&first), &called_off)), "False NeedsApproval []");
}

#[test]
fn writers_that_would_be_told_that_they_wrote_are_stopped_by_a_person_first() {
    let first = journal(Phase::Copy);
    let ready = |version: Option<ServerVersion>, replicas: &str| {
        let mut observed =
            with(first.clone(), |journal, look| look.ledger = Sight::Seen(Some(says(journal, CopyStage::Done))));
        observed.version = version;
        observed.placement = Sight::Seen(vec![shard("s", replicas), shard("t", replicas)]);
        observed
    };
    let automatic = declared(&json!({"alias": "Live", "approval": "Auto"}));
    let word = "stop the writers that send batches before you approve: while A is read-only";
    for version in [None, ServerVersion::parse("1.38.9"), Some(ServerVersion::minor(35))] {
        let observed = ready(version, "b");
        let plan = planned(&automatic, &observed, &[]);
        assert_eq!(picture(&plan), "False NeedsApproval []", "{version:?}: {:?}", plan.findings);
        assert!(plan.findings[0].message.contains(word), "{:?}", plan.findings[0]);
        assert!(plan.shown.is_some_and(|shown| shown.waiting_for.is_some() && shown.steps[0].starts_with(word)));
        let approved = planned(&automatic, &observed, &[(names::APPROVE_ANNOTATION, &first.hash)]);
        assert_eq!(picture(&approved), "False Migrating [journal Freeze]", "{version:?}");
    }
    for (version, replicas) in
        [(Some(migrations::REFUSES_EACH), "b"), (ServerVersion::parse("1.39.1"), "b"), (None, "ab")]
    {
        let plan = planned(&automatic, &ready(version, replicas), &[]);
        assert!(plan.shown.is_some_and(|shown| !shown.steps[0].contains("writers")), "{version:?} {replicas}");
        assert!(!plan.findings[0].message.contains(word), "{version:?} {replicas}: {:?}", plan.findings[0]);
    }
}

#[test]
fn what_leads_to_the_class_by_now_keeps_it_from_being_frozen() {
    let first = journal(Phase::Copy);
    for (led_from, expected) in [
        (Some(Sight::Seen(Vec::new())), "False Migrating [journal Freeze]"),
        (Some(Sight::Seen(vec!["Books.of".to_owned()])), "False MigrationBlocked []"),
        (Some(Sight::unseen(BlindnessKind::Failed, "no")), "Unknown Unknown []"),
        (None, "Unknown Unknown []"),
    ] {
        let observed = with(first.clone(), |journal, look| {
            look.ledger = Sight::Seen(Some(says(journal, CopyStage::Done)));
            look.led_from = led_from;
        });
        let plan = planned(&manual(), &observed, &[(names::APPROVE_ANNOTATION, &first.hash)]);
        assert_eq!(picture(&plan), expected, "{:?}", plan.findings);
    }
    // Once it is frozen it is thawed; once it is switched there is nothing to go back to.
    for (phase, expected) in [
        (Phase::Freeze, "False Migrating [journal Thaw!]"),
        (Phase::Settle, "False Migrating [journal Thaw!]"),
        (Phase::Final, "False Migrating [journal Thaw!]"),
        (Phase::Switch, "False Migrating [journal Thaw!]"),
        (Phase::Verify, "False Migrating [journal Kept]"),
    ] {
        let led_from = Some(Sight::Seen(vec!["Books.of".to_owned()]));
        told(&with(journal(phase), |_, look| look.led_from = led_from), expected);
    }
}

#[test]
fn a_class_that_cannot_be_made_and_a_property_that_may_not_come_along_are_told() {
    let mut observed = looked(Some(journal(Phase::Create)));
    look(&mut observed).uncopied = Some("no class Authors".to_owned());
    told(&observed, "False MigrationBlocked []");
    // A client adds it to the live class while that is copied.
    for (to, expected) in [
        ("A", "False MigrationBlocked []"),
        ("A_2", "False MigrationBlocked []"),
        ("B", r#"False Migrating [property "next" of A_2]"#),
    ] {
        let mut observed = looked(Some(journal(Phase::Copy)));
        let mut live = class(1);
        live["properties"] = json!([{"name": "next", "dataType": [to]}]);
        observed.class = Sight::Seen(Some(live));
        told(&observed, expected);
    }
}

#[test]
fn the_spec_may_change_its_mind_until_the_freeze() {
    let running = |observed: &mut Observed| {
        let look = observed.migration.as_mut().unwrap();
        let journal = look.journal.seen().unwrap().clone().unwrap();
        look.jobs = Sight::Seen(vec![job(&journal, JobState::Active)]);
    };
    // Back to what is live.
    let mut observed = looked(Some(journal(Phase::Copy)));
    running(&mut observed);
    let mut back = manual();
    back["schema"] = json!({"shardingConfig": {"desiredCount": 2}});
    let plan = planned(&back, &observed, &[]);
    assert!(picture(&plan).ends_with("[journal Stopped!, end job]"), "{}", picture(&plan));
    // On to something else.
    back["schema"] = json!({"shardingConfig": {"desiredCount": 4}});
    assert_eq!(picture(&planned(&back, &observed, &[])), "False Migrating [journal Stopped!, end job]");
    // What was copied before is gone on with, if it is what is wanted; if not, a person has to say that it may go.
    let stopped = journal(Phase::Copy).called_off("the spec asks for other settings by now", at(NOW - 10));
    told(&looked(Some(stopped.clone())), "False Migrating [journal Create!]");
    assert_eq!(picture(&planned(&back, &looked(Some(stopped)), &[])), "False MigrationBlocked []");
}
