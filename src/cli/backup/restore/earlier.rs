//! What restores before this one left.

use elysia_engine::backup::restore::{Receipt, State};

use crate::cli::session::Stop;
use crate::worker::backup::work::RestoreWork;

/// What is done is not done again, and nobody is told that a collection was restored which is not there any more: somebody
/// has deleted it, or these are other servers at the address at which it was done.
pub(super) fn is_still_there(work: &RestoreWork, is_there: bool) -> Result<(), Stop> {
    if is_there {
        return Ok(());
    }
    let RestoreWork { collection, into, receipt, target, .. } = work;
    Err(Stop::refused(
        format!(
            "{collection} was restored into {into} of {target} before, as receipt {receipt} says, and there is no collection {into} now; nothing was changed"
        ),
        "to restore it again: --receipt NEW-ID",
    ))
}

/// `latest` may mean another run than when a restore was cut off: what that one left is no beginning of this one.
pub(super) fn is_first(work: &RestoreWork, receipts: impl IntoIterator<Item = Receipt>) -> Result<(), Stop> {
    let RestoreWork { run, collection, into, target, .. } = work;
    let is_other = |receipt: &Receipt| {
        receipt.state == State::Running && receipt.target == *target && receipt.into == *into && receipt.run != *run
    };
    let Some(other) = receipts.into_iter().find(is_other) else { return Ok(()) };
    Err(Stop::refused(
        format!(
            "a restore of run {} into {into} is not over, and the latest run is {run} by now; nothing was changed",
            other.run
        ),
        format!(
            "to go on with it, the same command with {} in the place of latest; to begin with {collection} of another run, name that run",
            other.run
        ),
    ))
}

#[cfg(test)]
mod tests {
    use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION};
    use serde_json::{Value, json};

    use super::*;

    const OLDER: &str = "20261128T161553Z-003f";
    const NEWER: &str = "20261129T161553Z-0001";

    fn work() -> RestoreWork {
        serde_json::from_value(json!({
            "run": NEWER, "collection": "A", "into": "B", "conflict": "Fail", "receipt": "abc", "target": "ai/search",
            "endpoints": {"rest": "", "grpc": ""}, "store": {"folder": "/backups"},
        }))
        .unwrap()
    }

    fn receipt(edit: &Value) -> Receipt {
        let mut receipt = json!({
            "format": FORMAT, "version": FORMAT_VERSION, "run": OLDER, "collection": "A", "into": "B",
            "target": "ai/search", "conflict": "Fail", "state": "Running", "done": [],
            "startedAt": "2026-11-29T16:15:53Z", "updatedAt": "2026-11-29T16:20:53Z",
            "counts": {"written": 9, "skipped": 0, "merged": 0},
        });
        receipt.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        serde_json::from_value(receipt).unwrap()
    }

    fn said(done: Result<(), Stop>) -> Option<String> {
        match done {
            Ok(()) => None,
            Err(Stop::Said { message, next, .. }) => Some(format!("{message} | {next}")),
            Err(Stop::Output(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn the_latest_run_is_not_restored_over_the_beginning_of_another() {
        let of = |edits: &[Value]| said(is_first(&work(), edits.iter().map(receipt)));
        assert_eq!(of(&[]), None);
        for (what, edit) in [
            ("the same run, which it goes on with", json!({"run": NEWER})),
            ("one that is over", json!({"state": "Done"})),
            ("another cluster", json!({"target": "ai/other"})),
            ("another collection", json!({"into": "C"})),
        ] {
            assert_eq!(of(&[edit]), None, "{what}");
        }
        let told = of(&[json!({"state": "Done"}), json!({})]).unwrap();
        assert!(
            told.starts_with(&format!(
                "a restore of run {OLDER} into B is not over, and the latest run is {NEWER} by now"
            )),
            "{told}"
        );
        assert!(told.contains(&format!("the same command with {OLDER} in the place of latest")), "{told}");
    }

    #[test]
    fn a_collection_that_is_gone_is_not_called_restored() {
        assert_eq!(said(is_still_there(&work(), true)), None);
        let told = said(is_still_there(&work(), false)).unwrap();
        assert!(
            told.contains("there is no collection B now; nothing was changed | to restore it again: --receipt NEW-ID"),
            "{told}"
        );
    }
}
