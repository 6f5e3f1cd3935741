//! Recreations whose spec does not hold any more.

use super::super::super::recreate::{ClearRequest, Purpose};
use super::*;

/// The plan of a journal that stands at this cursor, while the spec does not hold.
fn planned_invalid(journal: Journal, observed: Observed) -> Result<Plan, String> {
    let spec = CollectionSpec::of_invalid_recreation(&object(&immutable()), &journal, "it contradicts itself");
    let observed = Observed { journal: Sight::Seen(Some(journal)), ..observed };
    plan_of_invalid(&spec, &observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_spec_that_does_not_hold_any_more_calls_off_what_has_not_deleted_and_carries_on_what_has() {
    let there = || seen(Some(class(1)), "a", "b");
    let gone = || {
        let local = nodes().into_iter().map(|node| (node, Some(None))).collect();
        Observed { recreate: Look { local, ..Look::default() }, ..seen(None, "", "") }
    };
    let unseen =
        || Observed { class: Sight::unseen(BlindnessKind::Unreachable, "connection refused"), ..seen(None, "", "") };
    let clear = Purpose::Clear(ClearRequest { count: 5, request: "r".to_owned() });
    for (cursor, is_there, is_gone) in [
        (Cursor::AutoSchemaOff, "journal Thaw", "journal WaitGone"),
        (Cursor::TenantCreationOff, "journal Thaw", "journal WaitGone"),
        (Cursor::Freeze, "journal Thaw", "journal WaitGone"),
        (Cursor::Settle, "journal Thaw", "journal WaitGone"),
        (Cursor::Delete, "journal Thaw", "journal WaitGone"),
        // Somebody else made another one meanwhile.
        (Cursor::WaitGone, "journal Thaw", "journal Create"),
        (Cursor::Create, "journal Thaw", "create 3, journal Verify"),
    ] {
        for (purpose, reason) in [(Purpose::Recreate, "Recreating"), (clear.clone(), "Clearing")] {
            let journal = || Journal {
                wanted_schema: json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 3}}),
                purpose: purpose.clone(),
                ..at(cursor)
            };
            let made = |observed| picture(&planned_invalid(journal(), observed).unwrap());
            assert_eq!(made(there()), format!("False {reason} [{is_there}]"), "{cursor:?}");
            assert_eq!(made(gone()), format!("False {reason} [{is_gone}]"), "{cursor:?}");
            if cursor != Cursor::WaitGone {
                assert_eq!(made(unseen()), format!("False {reason} []"), "{cursor:?}");
            }
        }
    }
    let made = planned_invalid(at(Cursor::Settle), there()).unwrap();
    let Step::WriteJournal(next) = &made.steps[0] else { panic!("no journal: {}", picture(&made)) };
    assert_eq!(next.stopped.as_deref(), Some("the spec is not valid any more: it contradicts itself"));
}

#[test]
fn nothing_else_is_done_while_the_spec_does_not_hold() {
    let refused = |cursor| planned_invalid(at(cursor), seen(Some(class(1)), "a", "b")).unwrap_err();
    assert_eq!(refused(Cursor::Stopped), "it has ended meanwhile");
    assert_eq!(refused(Cursor::Done), "it has ended meanwhile");
    let spec = CollectionSpec::of_invalid_recreation(&object(&immutable()), &at(Cursor::Settle), "no");
    let observed = Observed { journal: Sight::unseen(BlindnessKind::Failed, "503"), ..seen(Some(class(1)), "a", "b") };
    let made = plan_of_invalid(&spec, &observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(made.unwrap_err(), "503");
}

/// Every rule that does not hold may be named, and the journal has to fit into its ConfigMap still.
#[test]
fn a_long_reason_is_cut() {
    let journal = at(Cursor::Settle);
    let why = "ä".repeat(5000);
    let spec = CollectionSpec::of_invalid_recreation(&object(&immutable()), &journal, &why);
    let told = called_off(&spec, None, &journal).unwrap();
    assert!(told.starts_with("the spec is not valid any more: ä") && told.len() < 1100, "{}", told.len());
}
