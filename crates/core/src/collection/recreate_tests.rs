//! Proofs that hold and proofs that do not; each step with and without its precondition.

use serde_json::json;

use super::*;

fn nodes() -> Vec<String> {
    vec!["a".to_owned(), "b".to_owned()]
}

fn evidence() -> Evidence {
    Evidence {
        holders: nodes(),
        empty: [nodes(), nodes()],
        frozen: [nodes(), nodes()],
        auto_schema_off: nodes(),
        nodes: nodes(),
        operations: Some(0),
        placement_unchanged: true,
        backup_running: Some(false),
        restarted: Vec::new(),
        took: SignedDuration::from_secs(1),
    }
}

#[test]
fn a_whole_proof_holds() {
    assert_eq!(proof(&evidence()), Ok(()));
}

#[test]
fn every_gap_breaks_the_proof() {
    type Break = fn(&mut Evidence);
    let breaks: [(&str, Break); 14] = [
        ("a restart", |evidence| evidence.restarted.push("a".to_owned())),
        ("a pause", |evidence| evidence.took = SignedDuration::from_secs(11)),
        ("first list not empty", |evidence| evidence.empty[0] = vec!["a".to_owned()]),
        ("second list not empty", |evidence| evidence.empty[1] = vec!["b".to_owned()]),
        ("writable before", |evidence| evidence.frozen[0].clear()),
        ("restarted in between", |evidence| evidence.frozen[1] = vec!["a".to_owned()]),
        ("auto-schema on", |evidence| evidence.auto_schema_off = vec!["a".to_owned()]),
        ("unknown operations", |evidence| evidence.operations = None),
        ("a running copy", |evidence| evidence.operations = Some(1)),
        ("a backup", |evidence| evidence.backup_running = Some(true)),
        ("unknown backup", |evidence| evidence.backup_running = None),
        ("moved", |evidence| evidence.placement_unchanged = false),
        ("a holder without address", |evidence| evidence.holders.push("dead".to_owned())),
        ("nobody to ask", |evidence| {
            evidence.nodes.clear();
            evidence.holders.clear();
        }),
    ];
    for (what, spoil) in breaks {
        let mut evidence = evidence();
        spoil(&mut evidence);
        assert!(proof(&evidence).is_err(), "{what}");
    }
}

fn journal(cursor: Cursor) -> Journal {
    Journal {
        hash: "h".to_owned(),
        attempts: 1,
        collection: "A".to_owned(),
        live_schema: json!({"class": "A", "vectorizer": "old"}),
        wanted_schema: json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 3}}),
        placement: Vec::new(),
        cursor,
        since: Timestamp::UNIX_EPOCH,
        stopped: None,
    }
}

fn all<T: Clone>(value: T) -> BTreeMap<String, T> {
    nodes().into_iter().map(|node| (node, value.clone())).collect()
}

fn check(cursor: Cursor, class: Option<Value>, look: &Look, second: i64, expected: &str) {
    let now = Timestamp::from_second(second).unwrap();
    let text = match next(&journal(cursor), &Sight::Seen(class), &nodes(), look, now) {
        Act::Move { cursor, stopped: None } => format!("{cursor:?}"),
        Act::Move { cursor, stopped: Some(_) } => format!("{cursor:?} stopped"),
        Act::Wait(_) => "wait".to_owned(),
        act => format!("{act:?}!"),
    };
    assert_eq!(text, expected, "{cursor:?} at {second} s");
}

#[test]
fn each_step_waits_for_its_precondition() {
    let old = || Some(json!({"class": "A", "vectorizer": "old"}));
    let look = |auto: Option<bool>, frozen: Option<bool>| Look {
        auto_schema: all(auto),
        frozen: all(frozen),
        local: BTreeMap::new(),
    };
    check(Cursor::AutoSchemaOff, old(), &look(Some(true), None), 1, "wait");
    check(Cursor::AutoSchemaOff, old(), &look(None, None), 1, "wait");
    check(Cursor::AutoSchemaOff, old(), &look(None, None), 301, "Thaw stopped");
    check(Cursor::AutoSchemaOff, old(), &look(Some(false), None), 1, "Freeze");
    check(Cursor::Freeze, old(), &look(None, Some(false)), 1, "Freeze!");
    check(Cursor::Freeze, old(), &look(None, Some(true)), 1, "Settle");
    check(Cursor::Settle, old(), &look(None, Some(true)), 119, "wait");
    check(Cursor::Settle, old(), &look(None, Some(false)), 119, "Thaw stopped");
    check(Cursor::Settle, old(), &look(None, None), 121, "Thaw stopped");
    check(Cursor::Settle, old(), &look(None, Some(true)), 120, "Delete");
    check(Cursor::Delete, old(), &Look::default(), 61, "ProveAndDelete!");
    check(Cursor::Thaw, old(), &look(None, Some(true)), 1, "Thaw!");
    check(Cursor::Thaw, old(), &look(None, Some(false)), 1, "Stopped");
}

#[test]
fn an_object_that_is_gone_leaves_its_collection_there_and_writable() {
    let there = || Sight::Seen(Some(json!({"class": "A"})));
    let blind = Sight::unseen(crate::sight::BlindnessKind::Unreachable, "away");
    let act = |class: &Sight<Option<Value>>, frozen| next_for_orphan(class, &nodes(), &all(frozen));
    assert_eq!(act(&Sight::Seen(None), None), OrphanAct::CreateOld);
    assert_eq!(act(&blind, Some(false)), OrphanAct::Wait);
    assert_eq!(act(&there(), Some(true)), OrphanAct::Thaw);
    assert_eq!(act(&there(), None), OrphanAct::Wait);
    assert_eq!(act(&there(), Some(false)), OrphanAct::End);
}

#[test]
fn after_the_delete_the_collection_is_made_again_whatever_happened() {
    let local = |class: Option<Value>| Look { local: all(Some(class)), ..Look::default() };
    let new = || Some(json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 1}}));
    let other = || Some(json!({"class": "A", "vectorizer": "other"}));
    check(Cursor::Delete, None, &Look::default(), 1, "WaitGone");
    check(Cursor::WaitGone, None, &Look::default(), 1, "wait");
    check(Cursor::WaitGone, None, &local(None), 1, "Create");
    check(Cursor::WaitGone, other(), &local(other()), 1, "Thaw stopped");
    check(Cursor::Create, None, &Look::default(), 1, "Create!");
    check(Cursor::Create, new(), &Look::default(), 1, "Verify");
    check(Cursor::Create, other(), &Look::default(), 1, "Thaw stopped");
    check(Cursor::Verify, new(), &local(None), 1, "wait");
    check(Cursor::Verify, new(), &local(new()), 1, "Done");
}
