//! What is told of a round, as tables.

use std::collections::BTreeSet;

use elysia_api::ElysiaCollection;
use elysia_api::collection::{DataVerification, PlanStatus, RepairProgress, ReplicationStatus, ShardReplicas};
use elysia_api::condition::ConditionType;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::super::copies::{Copy, Replica};
use super::super::observed::{ClusterSight, Operation, OperationState};
use super::super::plan::Step;
use super::super::recreate::{ClearRefusal, ClearRequest, Cursor, Journal, Purpose, TenantState};
use super::super::repair::{self, Removal};
use super::*;
use crate::condition::{Finding, Value as Holds};
use crate::sight::Sight;
use crate::verification::look::{Ended, Request};

#[path = "happening_look_tests.rs"]
mod looks;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn spec() -> CollectionSpec {
    let object: ElysiaCollection = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "a", "namespace": "n", "uid": "0123456789",
                     "annotations": {"elysia.dev/approved-by": "alice"}},
        "spec": {"clusterRef": {"name": "w"}, "collection": "A"},
    }))
    .unwrap();
    CollectionSpec::validate(&object).unwrap()
}

fn observed() -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        members: Sight::Seen(Vec::new()),
        class: Sight::Seen(None),
        placement: Sight::Seen(Vec::new()),
        operations: Sight::Seen(Vec::new()),
        journal: Sight::Seen(None),
        repair: repair::Look::default(),
        ..Observed::unasked()
    }
}

fn plan() -> Plan {
    Plan {
        steps: Vec::new(),
        recheck: None,
        findings: Vec::new(),
        shown: None,
        drift: Vec::new(),
        compared: true,
        proved: None,
        progress: None,
        cooling: Vec::new(),
        differ: false,
        unproved: false,
        keep_count: false,
    }
}

fn told(happenings: &[Happening]) -> Vec<String> {
    happenings.iter().map(|one| format!("{} {}: {}", one.what.as_str(), one.count, one.message)).collect()
}

fn of(done: &[Step], observed: &Observed, before: &ElysiaCollectionStatus) -> Vec<String> {
    let (spec, plan) = (spec(), plan());
    told(&of_steps(done, &Round { spec: &spec, observed, plan: &plan, before, now: at(1000) }))
}

#[test]
fn names_are_unique_and_all_of_them_are_listed() {
    let names: BTreeSet<&str> = Happened::ALL.iter().map(|what| what.as_str()).collect();
    assert_eq!(names.len(), Happened::ALL.len());
    for what in Happened::ALL {
        // The API server's own bounds.
        assert!(what.as_str().len() <= 128 && !what.action().is_empty());
    }
}

#[test]
fn many_copies_of_one_round_are_one_happening() {
    let copies: Vec<Step> = (0..7)
        .map(|at| Step::Copy(Copy { shard: format!("s{at}"), source: "a".to_owned(), target: "b".to_owned() }))
        .collect();
    assert_eq!(
        of(&copies, &observed(), &ElysiaCollectionStatus::default()),
        [
            "CopiesStarted 7: started 7 copies: s0 from a to b, s1 from a to b, s2 from a to b, s3 from a to b, s4 from a to b and 2 more"
        ]
    );
}

#[test]
fn ended_copies_are_told_by_how_they_ended() {
    let operation = |id: &str, state, error: Option<&str>| Operation {
        id: id.to_owned(),
        shard: format!("s{id}"),
        source: "a".to_owned(),
        target: "b".to_owned(),
        state,
        error: error.map(str::to_owned),
        ..Operation::default()
    };
    let mut observed = observed();
    observed.operations = Sight::Seen(vec![
        operation("1", OperationState::Ready, None),
        operation("2", OperationState::Ready, None),
        operation("3", OperationState::Cancelled, None),
        operation("4", OperationState::Active, Some("no space left on device")),
        operation("5", OperationState::Active, None),
    ]);
    let forget = |id: &str| Step::ForgetOperation(id.to_owned());
    let steps =
        [forget("1"), forget("2"), forget("3"), forget("4"), Step::DropOperation("5".to_owned()), forget("unknown")];
    assert_eq!(
        of(&steps, &observed, &ElysiaCollectionStatus::default()),
        [
            "CopiesEnded 2: 2 copies ended: s1 from a to b, s2 from a to b",
            "CopiesFailed 2: 2 copies given up, others are made where they are missing: s3 from a to b, s4 from a to b (no space left on device)",
            "CopyRecordsDropped 1: dropped the records of 1 copy that nobody was there to end: s5 from a to b",
        ]
    );
}

#[test]
fn what_a_put_changed_is_named_by_its_paths() {
    let base = json!({"description": "theirs", "replicationConfig": {"factor": 1},
        "properties": [{"name": "title", "description": "x"}, {"name": "body"}], "list": [1]});
    let class = json!({"description": "ours", "replicationConfig": {"factor": 3, "asyncEnabled": true},
        "properties": [{"name": "title", "description": "y"}, {"name": "body"}], "list": [2]});
    assert_eq!(
        changed(&base, &class),
        [
            "description",
            "list",
            "properties.title.description",
            "replicationConfig.asyncEnabled",
            "replicationConfig.factor"
        ]
    );
    let put = |base: &Value, class: &Value| Step::UpdateClass { base: base.clone(), class: class.clone() };
    let before = ElysiaCollectionStatus::default();
    let removal = |shard: &str| {
        Step::RemoveReplica(Removal {
            victim: Replica { shard: shard.to_owned(), node: "c".to_owned() },
            keepers: Vec::new(),
            compared: true,
            tenant: false,
            needed: 1,
        })
    };
    let table = [
        (
            vec![put(&base, &class)],
            "FactorSet 1: set the factor of class A from 1 to 3; put back: description, list, properties.title.description, replicationConfig.asyncEnabled",
        ),
        (vec![put(&json!({"a": 1}), &json!({"a": 2}))], "SettingsPutBack 1: put back: a"),
        (
            vec![Step::AddProperty(json!({"name": "p"})), Step::AddProperty(json!({"name": "q"}))],
            "SettingsPutBack 2: put back: properties.p, properties.q",
        ),
        (vec![Step::CreateClass(class.clone())], "Created 1: created collection A with factor 3"),
        (vec![removal("s"), removal("t")], "ReplicasRemoved 2: took 2 replicas away: s at c, t at c"),
        (vec![Step::RemoveMember("z".to_owned())], "MemberRemoved 1: took the dead node z out of RAFT"),
        (vec![Step::CoolTenants(vec!["t".to_owned()])], "TenantsRested 1: put 1 tenant back to rest: t"),
    ];
    for (steps, expected) in table {
        assert_eq!(of(&steps, &observed(), &before), [expected]);
    }
    let silent = [
        Step::SetReadOnly { read_only: true, shards: vec!["s".to_owned()] },
        Step::CreateTenants(vec![TenantState { name: "t".to_owned(), status: "HOT".to_owned() }]),
    ];
    assert!(of(&silent, &observed(), &before).is_empty());
}

#[test]
fn a_setting_that_the_server_keeps_as_it_is_is_not_told_for_ever() {
    let put = [Step::UpdateClass { base: json!({"a": {"b": 1}}), class: json!({"a": {"b": 2}}) }];
    for (since, path, verdict, is_told) in [
        (1000, "a.b", Verdict::Revert, true),
        (881, "a.b", Verdict::Revert, true),
        (880, "a.b", Verdict::Revert, false),
        (1, "a", Verdict::Revert, false),
        (1, "a.c", Verdict::Revert, true),
        (1, "a.b", Verdict::Report, true),
    ] {
        let before =
            ElysiaCollectionStatus { drift: vec![entry(path, verdict, since)], ..ElysiaCollectionStatus::default() };
        assert_eq!(!of(&put, &observed(), &before).is_empty(), is_told, "{since} {path} {verdict:?}");
    }
}

fn entry(path: &str, verdict: Verdict, since: i64) -> DriftEntry {
    DriftEntry { path: path.to_owned(), live: None, wanted: None, verdict, since: Time(at(since)) }
}

fn journal(cursor: Cursor) -> Journal {
    Journal {
        hash: "h1".to_owned(),
        approved_by: None,
        attempts: 1,
        purpose: Purpose::Recreate,
        target: None,
        collection: "A".to_owned(),
        live_schema: json!({}),
        wanted_schema: json!({}),
        placement: vec![ShardReplicas { shard: "s".to_owned(), replicas: Vec::new() }],
        tenants: None,
        aliases: Vec::new(),
        read_only_before: Vec::new(),
        frozen_since: None,
        cursor,
        since: at(0),
        stopped: None,
        cleared: Vec::new(),
        clear_refused: None,
    }
}

#[test]
fn a_journal_tells_its_beginning_its_turns_and_its_end() {
    let stopped = |cursor| Journal { stopped: Some("w-1 lists objects".to_owned()), ..journal(cursor) };
    let clear = Purpose::Clear(ClearRequest { count: 5, request: "r".to_owned() });
    let cleared = |journal: Journal| Journal { purpose: clear.clone(), ..journal };
    let another = Journal { hash: "h0".to_owned(), ..journal(Cursor::Done) };
    let refusal = ClearRefusal { request: "r".to_owned(), why: "it is protected".to_owned() };
    let refused = Journal { clear_refused: Some(refusal), ..journal(Cursor::Done) };
    let begun = [
        "ApprovalConsumed 1: the approval of plan h1 by alice was taken up: Recreate",
        "RecreationBegun 1: begins to recreate A, plan h1; ConfigMap a-journal-01234567 keeps the schema as it was",
    ];
    let table: Vec<(Option<Journal>, Journal, Vec<&str>)> = vec![
        (None, journal(Cursor::AutoSchemaOff), begun.to_vec()),
        (Some(another), journal(Cursor::AutoSchemaOff), begun.to_vec()),
        (Some(journal(Cursor::AutoSchemaOff)), journal(Cursor::Freeze), vec![]),
        (Some(journal(Cursor::Settle)), journal(Cursor::Delete), vec![]),
        (
            Some(journal(Cursor::Delete)),
            stopped(Cursor::Thaw),
            vec!["RecreationVoided 1: plan h1 is stopped: w-1 lists objects"],
        ),
        (Some(stopped(Cursor::Thaw)), stopped(Cursor::TenantCreationBack), vec![]),
        (
            Some(stopped(Cursor::Thaw)),
            stopped(Cursor::Stopped),
            vec!["RecreationEnded 1: plan h1 is over and the shards of A are writable: w-1 lists objects"],
        ),
        (Some(journal(Cursor::Verify)), journal(Cursor::Done), vec!["Recreated 1: A was recreated, plan h1"]),
        (
            Some(journal(Cursor::Verify)),
            stopped(Cursor::Done),
            vec!["OldCollectionBack 1: A is there again with its old settings, plan h1: w-1 lists objects"],
        ),
        (
            None,
            cleared(journal(Cursor::AutoSchemaOff)),
            vec![
                "ClearBegun 1: begins to empty A, at most 5 objects, request r; ConfigMap a-journal-01234567 keeps the schema as it was",
            ],
        ),
        (
            Some(cleared(journal(Cursor::Delete))),
            cleared(stopped(Cursor::Thaw)),
            vec!["ClearVoided 1: plan h1 is stopped: w-1 lists objects"],
        ),
        (
            Some(cleared(journal(Cursor::Verify))),
            cleared(journal(Cursor::Done)),
            vec!["Cleared 1: A was emptied, plan h1"],
        ),
        (
            Some(journal(Cursor::Done)),
            refused.clone(),
            vec!["ClearRefused 1: A is not emptied, request r: it is protected"],
        ),
        (Some(refused.clone()), refused, vec![]),
    ];
    for (before, next, expected) in table {
        let mut observed = observed();
        observed.journal = Sight::Seen(before.clone());
        let done = [Step::WriteJournal(Box::new(next.clone()))];
        let told = of(&done, &observed, &ElysiaCollectionStatus::default());
        assert_eq!(told, expected, "{:?} → {:?}", before.map(|before| before.cursor), next.cursor);
    }
}

#[test]
fn a_person_who_calls_a_plan_off_is_told_apart_from_what_was_seen() {
    let (mut spec, mut observed, plan) = (spec(), observed(), plan());
    spec.rollback = Some("h1".to_owned());
    observed.journal = Sight::Seen(Some(journal(Cursor::Settle)));
    let done = [Step::WriteJournal(Box::new(journal(Cursor::Thaw)))];
    let before = ElysiaCollectionStatus::default();
    let round = Round { spec: &spec, observed: &observed, plan: &plan, before: &before, now: at(0) };
    assert_eq!(told(&of_steps(&done, &round)), ["RolledBack 1: plan h1 was called off; A was not deleted"]);
}

#[test]
fn tenancy_that_a_journal_switches_is_no_drift() {
    let mut observed = observed();
    observed.journal = Sight::Seen(Some(journal(Cursor::TenantCreationOff)));
    let put = [Step::UpdateClass { base: json!({"a": 1}), class: json!({"a": 2}) }];
    assert!(of(&put, &observed, &ElysiaCollectionStatus::default()).is_empty());
}

#[test]
fn a_repair_tells_its_beginning_and_its_end() {
    let base = repair::Journal {
        hash: "r1".to_owned(),
        attempts: 1,
        action: repair::Action::Remove,
        target: None,
        collection: "A".to_owned(),
        factor: 2,
        victims: vec![Replica { shard: "s".to_owned(), node: "c".to_owned() }],
        gone: Vec::new(),
        cursor: 0,
        removed: false,
        since: at(0),
        over: false,
        stopped: None,
    };
    let table = [
        (
            None,
            base.clone(),
            vec!["ApprovalConsumed 1: the approval of plan r1 by alice was taken up: Remove, 1 replica goes"],
        ),
        (Some(base.clone()), base.next(at(1)), vec![]),
        (Some(base.clone()), base.ended(None, at(1)), vec!["RepairEnded 1: Remove has reached its end, plan r1"]),
        (
            Some(base.clone()),
            base.ended(Some("c is away".to_owned()), at(1)),
            vec!["RepairStopped 1: Remove was stopped, plan r1: c is away"],
        ),
    ];
    for (before, next, expected) in table {
        let mut observed = observed();
        observed.repair.journal = Sight::Seen(before);
        let done = [Step::WriteRepair(Box::new(next))];
        assert_eq!(of(&done, &observed, &ElysiaCollectionStatus::default()), expected);
    }
}

#[test]
fn a_repair_has_ended_when_its_replicas_are_seen_to_be_there() {
    let status = |progress: bool, lowest: Option<i64>, action: &str| ElysiaCollectionStatus {
        replication: Some(ReplicationStatus {
            desired: 3,
            lowest,
            progress: progress.then(|| RepairProgress {
                since: Time(at(100)),
                total: 2,
                done: 0,
                running: 2,
                estimated_end: None,
            }),
            ..ReplicationStatus::default()
        }),
        plan: Some(PlanStatus {
            hash: String::new(),
            action: action.to_owned(),
            destructive: false,
            steps: Vec::new(),
            total_steps: 0,
            waiting_for: None,
            since: None,
        }),
        ..ElysiaCollectionStatus::default()
    };
    let table = [
        (status(true, Some(1), "Copy"), status(false, Some(3), ""), Some("Copy")),
        (status(true, Some(1), "Rebuild"), status(false, Some(3), ""), Some("Rebuild")),
        (status(true, Some(1), "Else"), status(false, Some(3), ""), Some("Copy")),
        (status(true, Some(1), "Copy"), status(true, Some(2), ""), None),
        (status(true, Some(1), "Copy"), status(false, Some(2), ""), None),
        (status(true, Some(1), "Copy"), status(false, None, ""), None),
        (status(false, Some(3), "Copy"), status(false, Some(3), ""), None),
    ];
    for (before, after, expected) in table {
        let ended = repaired(&before, &after, at(160));
        assert_eq!(ended, expected.map(|action| (action, SignedDuration::from_secs(60))));
    }
}

#[test]
fn a_message_fits_into_a_note() {
    let long = "x".repeat(5000);
    let names: Vec<String> = (0..100).map(|at| format!("{long}{at}")).collect();
    let copies: Vec<Step> = names
        .iter()
        .map(|shard| Step::Copy(Copy { shard: shard.clone(), source: "a".to_owned(), target: "b".to_owned() }))
        .collect();
    let told = of(&copies, &observed(), &ElysiaCollectionStatus::default());
    // The publisher cuts at 1,023 bytes; here it is only bounded.
    assert!(told[0].len() < 3000, "{}", told[0].len());
}

/// The rows of the table of Events.
#[test]
fn every_happening_is_documented_and_nothing_else() {
    let text = include_str!("../../../../docs/events.md");
    let (text, _) = text.split_once("## What happened to a feed").unwrap();
    let rows: Vec<(String, bool)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[0].trim_end_matches('`').to_owned(), cells[1] == "Warning")
        })
        .collect();
    let known: Vec<(String, bool)> = Happened::ALL.map(|what| (what.as_str().to_owned(), what.warns())).to_vec();
    assert_eq!(rows, known);
}
