//! What is said of a drill.

use std::fmt::Write as _;

use elysia_core::backup::ledger::{DrillNote, DrilledCollection};

use crate::cli::Exit;
use crate::cli::columns::{self, UNKNOWN};
use crate::cli::printer::{BAD, GOOD, paint, plain};
use crate::cli::session::Stop;

/// What was found of collections before a drill was cut off.
pub(super) fn so_far(rows: &[DrilledCollection]) -> String {
    rows_of(rows) + "the other collections were not drilled, and nothing is noted beside the run\n"
}

/// A drill that was cut off after a collection did not come back has found a definite fault.
pub(super) fn cut_off(stop: Stop, rows: &[DrilledCollection]) -> Stop {
    match stop {
        Stop::Said { message, next, .. } if rows.iter().any(|row| row.problem.is_some()) => {
            Stop::Said { exit: Exit::Fault, message, next }
        }
        stop => stop,
    }
}

pub(super) fn render(run: &str, note: &DrillNote, collections: &[DrilledCollection]) -> String {
    let word = if note.has_passed() {
        paint(GOOD, "survived its restore drill")
    } else {
        paint(BAD, "did not survive its restore drill")
    };
    rows_of(collections) + format!("run {} {word}\n", plain(run)).as_str()
}

fn rows_of(collections: &[DrilledCollection]) -> String {
    let row = |row: &DrilledCollection| {
        vec![
            row.name.clone(),
            row.wanted.to_string(),
            row.found.to_string(),
            row.unequal.to_string(),
            row.differing.to_string(),
            row.distance.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            row.overlap.map_or_else(|| UNKNOWN.to_owned(), |overlap| format!("{overlap} %")),
        ]
    };
    let head = ["COLLECTION", "OBJECTS", "FOUND", "UNEQUAL", "DIFFERING", "DISTANCE", "NEAREST"];
    let mut text = columns::render(&head, &collections.iter().map(row).collect::<Vec<_>>());
    for (name, problem) in collections.iter().filter_map(|row| Some((&row.name, row.problem.as_ref()?))) {
        // Writing to a String cannot fail.
        writeln!(text, "{}: {}: {}", paint(BAD, "wrong"), plain(name), plain(problem)).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_before_a_drill_was_cut_off_is_told() {
        let row = |name: &str, problem: Option<&str>| DrilledCollection {
            name: name.to_owned(),
            problem: problem.map(str::to_owned),
            ..DrilledCollection::default()
        };
        let (good, bad) = (row("Articles", None), row("Notes", Some("2 of 3 objects are there")));
        for (rows, exit) in [
            (vec![], Exit::Unknown),
            (vec![good.clone()], Exit::Unknown),
            (vec![good.clone(), bad.clone()], Exit::Fault),
        ] {
            let Stop::Said { exit: found, message, .. } = cut_off(Stop::unknown("no route", ""), &rows) else {
                panic!("another end")
            };
            assert_eq!((found, message.as_str()), (exit, "no route"), "{rows:?}");
        }
        let told = anstream::adapter::strip_str(&so_far(&[good, bad])).to_string();
        assert!(told.contains("Articles ") && told.contains("wrong: Notes: 2 of 3 objects are there\n"), "{told}");
        assert!(told.ends_with("nothing is noted beside the run\n"), "{told}");
    }
}
