//! Migrations: every phase, and everything that can come up in it.

mod kept;
mod tenants;
mod transform;

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
        to_shards: if phase == Phase::Kept { vec!["s".to_owned(), "t".to_owned()] } else { Vec::new() },
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
        ..Look::default()
    };
    Observed {
        holder: Some(Sight::Seen(Some("b".to_owned()))),
        version: Some(ServerVersion::minor(38)),
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
            "a reference",
            change(|seen| {
                let mut class = class(1);
                class["properties"] = json!([{"name": "of", "dataType": ["B"]}]);
                seen.class = Sight::Seen(Some(class));
            }),
            "False MigrationBlocked []",
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
