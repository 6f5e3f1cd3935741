//! What a person at a keyboard meets: a name that is mistyped, a key that is missing, Ctrl-C, and somebody else at the same work.

use clap::Parser as _;
use elysia_api::backup::DrillState;
use elysia_core::backup::ledger::DrillNote;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION};
use elysia_engine::backup::restore::{Conflict, Receipt, State};
use elysia_engine::backup::stored::StoredError;
use elysia_engine::backup::verify::{Fault, Findings};
use elysia_engine::retry::Stop as Halt;

use super::super::printer::Printer;
use super::super::session::Stop;
use super::super::{Color, Exit};
use super::abandon;
use super::create::asks_again;
use super::look::Asked;
use super::place::StoreArgs;
use super::restore::consent::fills;
use super::tests::{at, receipt, summary};
use super::verify::{still_noted, unread};
use crate::worker::backup::RunSummary;
use crate::worker::jobs::judged::Judged;

#[test]
fn a_restore_that_went_on_while_its_id_was_typed_is_not_given_up() {
    let unread = || Err(StoredError::Missing("restores/c.json".to_owned()));
    let later = || Receipt { updated_at: at("2026-11-29T16:21:53Z"), ..receipt(true) };
    let done = || Receipt { state: State::Done, ..later() };
    for (what, shown, now, why) in [
        ("as it was", Ok(receipt(true)), Some(Ok(receipt(true))), None),
        ("unreadable as it was", unread(), Some(unread()), None),
        ("somebody goes on with it", Ok(receipt(true)), Some(Ok(later())), Some("is under way")),
        ("it can be read by now", unread(), Some(Ok(later())), Some("is under way")),
        ("it is done", Ok(receipt(true)), Some(Ok(done())), Some("is over by now")),
        ("somebody gave it up", Ok(receipt(true)), None, Some("has no receipt any more")),
    ] {
        let found = abandon::moved_on(&shown, now.as_ref());
        assert_eq!(found.is_some(), why.is_some(), "{what}");
        assert!(found.is_none_or(|found| found.starts_with(why.unwrap_or_default())), "{what}: {found:?}");
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once_whatever_the_first_one_met() {
    let (halt, printer) = (Halt::default(), Printer::new(Color::Never));
    assert!(asks_again(&halt, printer) && halt.is_set());
    // The first one may have come while a collection was restored, and the second comes while its scratch collection goes.
    assert!(!asks_again(&halt, printer));
}

/// Whoever lacks the key has read nothing, and knows of no damage.
#[test]
fn a_run_whose_key_is_missing_is_not_called_damaged() {
    let of = |faults: Vec<Fault>| unread(&Findings { faults, ..Findings::default() });
    let key = || Fault::NoKey { run: "r".to_owned(), wanted: "f00".to_owned() };
    let lost = Fault::Missing { key: "data/part".to_owned() };
    assert_eq!(of(vec![key()]).unwrap(), "nothing is known of it: run r is encrypted with key f00: give that key");
    assert_eq!((of(vec![]), of(vec![key(), lost])), (None, None));
}

#[test]
fn a_run_that_was_damaged_once_is_said_to_stay_noted_so() {
    let judged = |damaged: bool| -> Judged {
        let note = serde_json::json!({
            "format": FORMAT, "version": FORMAT_VERSION, "at": "2026-11-29T00:00:00Z", "isDamaged": damaged,
        });
        serde_json::from_value(note).unwrap()
    };
    let place = place("/backups");
    assert_eq!(still_noted("r", &judged(false), &place), "");
    let told = still_noted("r", &judged(true), &place);
    assert!(told.ends_with("until it is removed: kubectl elysia backup rm r --store /backups\n"), "{told}");
}

#[derive(clap::Parser)]
struct Place {
    #[command(flatten)]
    store: StoreArgs,
}

fn place(store: &str) -> StoreArgs {
    Place::try_parse_from(["ls", "--store", store]).unwrap().store
}

/// A name that was mistyped is no store without runs.
#[test]
fn a_directory_that_is_not_there_is_told_by_what_reads_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let there = folder.path().to_str().unwrap().to_owned();
    assert!(place(&there).open_there().is_ok());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for missing in [format!("{there}/missing"), file.to_str().unwrap().to_owned()] {
        let Err(Stop::Said { exit, message, .. }) = place(&missing).open_there() else { panic!("{missing} is opened") };
        assert_eq!((exit, message), (Exit::Fault, format!("there is no directory {missing}")));
        assert!(place(&missing).open().is_ok(), "a run may be the first one");
    }
}

/// As the operator asks before it does.
#[test]
fn nothing_is_put_into_a_protected_collection_that_is_there_unless_that_is_said() {
    for (conflict, asks) in
        [(Conflict::Fail, false), (Conflict::Skip, true), (Conflict::Overwrite, true), (Conflict::Merge, true)]
    {
        assert_eq!(fills(conflict, false, false), asks, "{conflict:?}");
        assert!(!fills(conflict, true, false), "it is made by this restore: {conflict:?}");
        assert!(!fills(conflict, false, true), "it goes on: {conflict:?}");
    }
}

fn drilled(run: RunSummary, state: DrillState) -> RunSummary {
    let note = DrillNote {
        order: "o".to_owned(),
        run: run.id.clone(),
        at: at("2026-11-30T04:00:00Z"),
        state,
        objects: 3,
        overlap: None,
        distance: None,
        collections: Vec::new(),
        total_collections: 1,
        message: None,
    };
    RunSummary { drilled: Some(note), ..run }
}

/// Notes for lists do not say what was found of a run: whoever asks for that has the runs read.
#[test]
fn a_run_that_failed_its_drill_is_no_verified_one() {
    let all = [Asked::Complete, Asked::Verified, Asked::Suspect, Asked::Unfinished, Asked::Unreadable];
    assert_eq!(all.map(Asked::is_judged), [false, true, true, false, false]);
    let unread = RunSummary { verified_at: None, ..summary() };
    for (run, states) in [
        (drilled(summary(), DrillState::Failed), [Asked::Complete, Asked::Suspect]),
        (drilled(summary(), DrillState::Passed), [Asked::Complete, Asked::Verified]),
        (drilled(unread, DrillState::Passed), [Asked::Complete, Asked::Verified]),
    ] {
        let found: Vec<Asked> = all.into_iter().filter(|state| state.is(&run)).collect();
        assert_eq!(found, states, "{run:?}");
    }
}
