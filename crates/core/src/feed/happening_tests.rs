//! Pairs of statuses and what is told of them.

use elysia_api::index_source::RunStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::super::tests::spec;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn condition(kind: ConditionType, status: &str, second: i64) -> Condition {
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: "R".to_owned(),
        message: "told so".to_owned(),
        observed_generation: None,
        last_transition_time: Time(at(second)),
    }
}

/// A status with this run, of which so many lines are counted and rejected.
fn status(id: &str, state: RunState, counts: Option<(i64, i64)>) -> IndexSourceStatus {
    let letter =
        |line| DeadLetter { file: "a".to_owned(), line, category: "validation".to_owned(), ..DeadLetter::default() };
    IndexSourceStatus {
        run: Some(RunStatus {
            id: id.to_owned(),
            state,
            job: Some(format!("f-{id}")),
            started_at: counts.map(|_| Time(at(0))),
            finished_at: None,
            message: (state == RunState::Failed).then(|| "no room".to_owned()),
        }),
        counts: counts.map(|(lines, rejected)| Counts { lines, rejected, ..Counts::default() }),
        dead_letter: (1..=counts.map_or(0, |counts| counts.1)).map(letter).collect(),
        ..IndexSourceStatus::default()
    }
}

fn scheduled() -> FeedSpec {
    // Of a feed that goes on from run to run only that matters here.
    FeedSpec { when: When::Watch(SignedDuration::from_secs(10)), ..spec() }
}

fn told_of(spec: &FeedSpec, stays: bool, before: &IndexSourceStatus, after: &IndexSourceStatus) -> Vec<&'static str> {
    let told = happened(spec, stays, &Marks::of(before), after, at(1_000));
    // Whoever looks again tells nothing, a restarted operator neither.
    assert_eq!(happened(spec, stays, &Marks::of(after), after, at(2_000)), []);
    told.iter().map(|happening| happening.what.as_str()).collect()
}

fn told(before: &IndexSourceStatus, after: &IndexSourceStatus) -> Vec<&'static str> {
    told_of(&spec(), false, before, after)
}

#[test]
fn a_run_is_told_when_it_begins_and_when_it_ends() {
    use RunState::{Failed, Pending, Running, Succeeded, Waiting};
    let none = IndexSourceStatus::default();
    assert_eq!(told(&none, &status("1", Pending, None)), ["RunStarted"]);
    assert_eq!(told(&status("1", Pending, None), &status("1", Running, Some((1, 0)))), [""; 0]);
    assert_eq!(told(&status("1", Running, Some((1, 0))), &status("1", Running, Some((3, 0)))), [""; 0]);
    assert_eq!(told(&status("1", Running, Some((3, 0))), &status("1", Succeeded, Some((3, 0)))), ["RunSucceeded"]);
    assert_eq!(told(&status("1", Running, Some((3, 0))), &status("1", Failed, Some((3, 0)))), ["RunFailed"]);
    assert_eq!(told(&status("1", Succeeded, Some((3, 0))), &status("2", Pending, None)), ["RunStarted"]);
    assert_eq!(told(&status("1", Succeeded, Some((3, 0))), &status("1", Pending, None)), ["RunStarted"], "came back");
    assert_eq!(told(&status("1", Waiting, Some((0, 0))), &status("1", Running, Some((0, 0)))), ["RunStarted"]);
    assert_eq!(told(&status("1", Succeeded, Some((3, 0))), &status("2", Succeeded, Some((1, 0)))), ["RunSucceeded"]);
    assert_eq!(told(&none, &none), [""; 0]);
}

#[test]
fn a_worker_that_stays_is_told_only_when_it_was_long_behind() {
    use RunState::{Failed, Pending, Running, Succeeded};
    let told = |before: &IndexSourceStatus, after: &IndexSourceStatus| told_of(&scheduled(), true, before, after);
    let behind = |since| IndexSourceStatus {
        conditions: vec![condition(ConditionType::CaughtUp, "False", since)],
        ..status("1", Running, Some((3, 0)))
    };
    let caught_up = status("1", Succeeded, Some((3, 0)));
    assert_eq!(told(&IndexSourceStatus::default(), &status("1", Pending, None)), ["RunStarted"]);
    assert_eq!(told(&behind(995), &caught_up), [""; 0]);
    assert_eq!(told(&behind(940), &caught_up), ["CaughtUp"]);
    assert_eq!(told(&caught_up, &behind(1_000)), [""; 0]);
    assert_eq!(told(&caught_up, &status("2", Pending, Some((3, 0)))), [""; 0], "the next Job");
    assert_eq!(told(&behind(1), &status("1", Failed, Some((3, 0)))), ["RunFailed"]);
    assert_eq!(told(&status("1", Failed, Some((3, 0))), &status("2", Pending, Some((3, 0)))), ["RunStarted"]);
}

#[test]
fn the_first_rejected_line_of_a_run_is_told() {
    let of = |id: &str, counts| status(id, RunState::Running, counts);
    assert_eq!(told(&of("1", Some((1, 0))), &of("1", Some((2, 1)))), ["LinesRejected"]);
    assert_eq!(told(&of("1", Some((2, 1))), &of("1", Some((9, 5)))), [""; 0]);
    assert_eq!(told(&of("1", Some((2, 1))), &of("2", Some((2, 1)))), ["RunStarted", "LinesRejected"], "another run");
    // Until a worker of the new run reports, the letters are those of the old one.
    let waits = IndexSourceStatus { run: of("2", None).run, ..of("1", Some((2, 1))) };
    assert_eq!(told(&of("1", Some((2, 1))), &waits), ["RunStarted"]);
    assert_eq!(told(&waits, &of("2", Some((2, 1)))), ["LinesRejected"]);
    let followed = |before: &IndexSourceStatus, after: &IndexSourceStatus| told_of(&scheduled(), true, before, after);
    assert_eq!(followed(&of("1", Some((2, 1))), &of("2", Some((3, 1)))), [""; 0], "the letters stay");
    assert_eq!(followed(&of("1", Some((2, 1))), &of("2", Some((3, 2)))), ["LinesRejected"]);
}

#[test]
fn counts_that_go_back_are_told_where_they_count_the_same() {
    let of = |id: &str, lines| status(id, RunState::Running, Some((lines, 0)));
    assert_eq!(told(&of("1", 9), &of("1", 2)), ["CheckpointLost"]);
    assert_eq!(told(&of("1", 9), &of("2", 2)), ["RunStarted"]);
    let waits = IndexSourceStatus { run: status("2", RunState::Pending, None).run, ..of("1", 9) };
    assert_eq!(told(&waits, &of("2", 2)), [""; 0]);
    assert_eq!(told_of(&scheduled(), true, &of("1", 9), &of("2", 2)), ["CheckpointLost"]);
}

#[test]
fn the_circuit_is_told_when_it_opens_and_when_calls_succeed_again() {
    let of = |closed: &str| IndexSourceStatus {
        conditions: vec![condition(ConditionType::CircuitClosed, closed, 0)],
        ..status("1", RunState::Running, Some((1, 0)))
    };
    let gone = status("1", RunState::Running, Some((1, 0)));
    assert_eq!(told(&of("True"), &of("False")), ["CircuitOpened"]);
    assert_eq!(told(&of("False"), &of("True")), ["CircuitClosed"]);
    assert_eq!(told(&of("False"), &gone), [""; 0]);
    assert_eq!(told(&gone, &of("False")), ["CircuitOpened"]);
}

#[test]
fn each_hash_of_a_plan_is_told_once() {
    let of = |hash: &str| {
        let plan = serde_json::json!({"hash": hash, "action": "Delete", "destructive": true, "totalSteps": 1});
        IndexSourceStatus {
            plan: serde_json::from_value(plan).unwrap(),
            ..status("1", RunState::Waiting, Some((0, 0)))
        }
    };
    assert_eq!(told(&status("1", RunState::Running, Some((0, 0))), &of("a")), ["NeedsApproval"]);
    assert_eq!(told(&of("a"), &of("b")), ["NeedsApproval"]);
}

#[test]
fn a_run_that_is_skipped_is_told_once_until_its_lines_are_read() {
    let skipped = |id: &str, lines| IndexSourceStatus {
        waiting_lines: Some(lines),
        ..status(id, RunState::Skipped, Some((1, 0)))
    };
    let told = |before: &IndexSourceStatus, after: &IndexSourceStatus| told_of(&scheduled(), false, before, after);
    assert_eq!(told(&status("1", RunState::Pending, None), &skipped("1", 3)), ["RunSkipped"]);
    assert_eq!(told(&skipped("1", 3), &skipped("2", 4)), [""; 0]);
    assert_eq!(told(&skipped("2", 4), &status("3", RunState::Succeeded, Some((9, 0)))), ["RunSucceeded"]);
}

/// The rows of the table of Events.
#[test]
fn every_happening_is_documented_and_nothing_else() {
    let text = include_str!("../../../../docs/events.md");
    let (_, text) = text.split_once("## What happened to a feed").unwrap();
    let (text, _) = text.split_once("\n## ").unwrap();
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
