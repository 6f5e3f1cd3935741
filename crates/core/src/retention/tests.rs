//! Pictures of a store, newest run first: `v` verified, `s` suspect, `u` in use, `h` last holder, `-` none of these; and what stays of it.

use super::*;

const NOW: &str = "2026-11-29T12:00:00Z";

fn run(at: &str, mark: char) -> Run {
    let finished_at = at.parse().unwrap();
    Run {
        id: at.to_owned(),
        finished_at,
        is_suspect: mark == 's',
        is_verified: mark == 'v',
        is_in_use: mark == 'u',
        is_last_holder: mark == 'h',
        bases: Vec::new(),
    }
}

/// One run a day at 03:00 UTC, back from today.
fn days(marks: &str) -> Vec<Run> {
    let today: Timestamp = "2026-11-29T03:00:00Z".parse().unwrap();
    let at = |age: i64| today - SignedDuration::from_hours(24 * age);
    marks.chars().zip(0..).map(|(mark, age)| run(&at(age).to_string(), mark)).collect()
}

/// `x` for each run that stays, `.` for each that is retired.
fn picture(runs: &[Run], rules: &Retention) -> String {
    picture_in(runs, rules, &TimeZone::UTC)
}

fn picture_in(runs: &[Run], rules: &Retention, zone: &TimeZone) -> String {
    picture_at(runs, rules, zone, NOW)
}

fn picture_at(runs: &[Run], rules: &Retention, zone: &TimeZone, now: &str) -> String {
    let decisions = decide(runs, rules, zone, now.parse().unwrap());
    decisions.iter().map(|decision| if decision.is_retired() { '.' } else { 'x' }).collect()
}

fn last(number: u32) -> Retention {
    Retention { last: Some(number), ..Retention::default() }
}

#[test]
fn rules_keep_what_they_name() {
    let hours = |hours| Some(SignedDuration::from_hours(hours));
    for (rules, wanted) in [
        (Retention::default(), "xxxxxxxxxx"),
        (last(3), "xxx......."),
        (last(0), "x........."),
        (last(99), "xxxxxxxxxx"),
        (Retention { daily: Some(2), ..Retention::default() }, "xx........"),
        // 29 November 2026 is a Sunday: the week before ends seven days earlier.
        (Retention { weekly: Some(2), ..Retention::default() }, "x......x.."),
        (Retention { monthly: Some(2), ..Retention::default() }, "x........."),
        (Retention { last: Some(2), weekly: Some(2), ..Retention::default() }, "xx.....x.."),
        (Retention { max_age: hours(24 * 3), ..Retention::default() }, "xxx......."),
        // An age takes away what a number keeps.
        (Retention { last: Some(5), max_age: hours(24 * 3), ..Retention::default() }, "xxx......."),
        (Retention { last: Some(2), max_age: hours(24 * 3), ..Retention::default() }, "xx........"),
        (Retention { max_age: hours(1), ..Retention::default() }, "x........."),
    ] {
        assert_eq!(picture(&days("----------"), &rules), wanted, "{rules:?}");
    }
}

#[test]
fn the_last_verified_run_stays_whatever_the_rules_say() {
    for (marks, rules, wanted) in [
        ("-----v--v-", last(2), "xx...x...."),
        ("v----v----", last(1), "x........."),
        ("----------", last(1), "x........."),
        (
            "-v--------",
            Retention { max_age: Some(SignedDuration::from_hours(1)), ..Retention::default() },
            "xx........",
        ),
    ] {
        assert_eq!(picture(&days(marks), &rules), wanted, "{marks}");
    }
}

#[test]
fn retention_stops_at_a_suspect_run() {
    for (marks, wanted) in [
        ("s---------", "xxxxxxxxxx"),
        ("----s-----", "x...xxxxxx"),
        ("---------s", "x........x"),
        ("--s---v---", "x.xxxxxxxx"),
        ("-s---s----", "xxxxxxxxxx"),
    ] {
        assert_eq!(picture(&days(marks), &last(1)), wanted, "{marks}");
    }
}

#[test]
fn days_are_those_of_the_zone() {
    // 23:30 and 00:30 in Rome are one day in UTC.
    let runs = [run("2026-11-28T23:30:00Z", '-'), run("2026-11-28T22:30:00Z", '-'), run("2026-11-28T21:30:00Z", '-')];
    let daily = Retention { daily: Some(2), ..Retention::default() };
    assert_eq!(picture(&runs, &daily), "x..");
    assert_eq!(picture_in(&runs, &daily, &TimeZone::get("Europe/Rome").unwrap()), "xx.");
}

#[test]
fn weeks_and_months_reach_over_the_turn_of_the_year() {
    // 31 December 2026 and 1 January 2027 are in one ISO week, in two months.
    let runs = [run("2027-01-01T03:00:00Z", '-'), run("2026-12-31T03:00:00Z", '-'), run("2026-12-27T03:00:00Z", '-')];
    let picture = |rules| picture_at(&runs, &rules, &TimeZone::UTC, "2027-01-02T12:00:00Z");
    assert_eq!(picture(Retention { weekly: Some(3), ..Retention::default() }), "x.x");
    assert_eq!(picture(Retention { monthly: Some(3), ..Retention::default() }), "xx.");
}

#[test]
fn the_order_of_the_catalogue_does_not_show() {
    let mut runs = days("-v-s-v----");
    let wanted = decide(&runs, &last(1), &TimeZone::UTC, NOW.parse().unwrap());
    runs.reverse();
    runs.swap(1, 6);
    assert_eq!(decide(&runs, &last(1), &TimeZone::UTC, NOW.parse().unwrap()), wanted);
    assert_eq!(decide(&[], &last(1), &TimeZone::UTC, NOW.parse().unwrap()), vec![]);
}

/// Runs of days, each of which builds on those before it up to the last full one, `F`.
fn chains(marks: &str) -> Vec<Run> {
    let mut runs = days(&marks.replace(['F', 'i'], "-"));
    let marks: Vec<char> = marks.chars().collect();
    for at in 0..runs.len() {
        let behind = (at..runs.len()).take_while(|at| marks[*at] == 'i').count();
        runs[at].bases = runs[at + 1..].iter().take(behind).map(|run| run.id.clone()).collect();
    }
    runs
}

#[test]
fn what_a_kept_run_builds_on_stays() {
    for (marks, rules, wanted) in [
        ("iiFiiFiiF", last(1), "xxx......"),
        ("iiFiiFiiF", last(4), "xxxxxx..."),
        ("FiiFiiF", last(2), "xxxx..."),
        ("FiiFiiF", last(1), "x......"),
        // Its age does not take a base away from what is kept.
        ("iiiiiF", Retention { max_age: Some(SignedDuration::from_hours(24)), ..Retention::default() }, "xxxxxx"),
        ("iFiF", last(3), "xxxx"),
    ] {
        assert_eq!(picture(&chains(marks), &rules), wanted, "{marks} {rules:?}");
    }
    let decisions = decide(&chains("iF"), &last(1), &TimeZone::UTC, NOW.parse().unwrap());
    assert_eq!(decisions[1].kept, BTreeSet::from([Why::Base]));
}

#[test]
fn a_base_stays_also_when_clocks_were_wrong_and_only_the_nearest_is_named() {
    // The base seems to be newer than what builds on it, and names a base of its own.
    let mut runs = days("----");
    runs[2].bases = vec![runs[1].id.clone()];
    runs[1].bases = vec![runs[3].id.clone()];
    runs[0].bases = vec![runs[2].id.clone()];
    assert_eq!(picture(&runs, &last(1)), "xxxx");
}

#[test]
fn what_is_in_use_stays_with_what_it_builds_on() {
    assert_eq!(picture(&days("---u------"), &last(1)), "x..x......");
    assert_eq!(picture(&days("---h------"), &last(1)), "x..x......");
    let mut runs = chains("FFiiF");
    runs[2].is_in_use = true;
    assert_eq!(picture(&runs, &last(1)), "x.xxx");
}

#[test]
fn a_clock_that_is_wrong_retires_nothing() {
    let max_age = Retention { max_age: Some(SignedDuration::from_hours(1)), ..Retention::default() };
    for (newest, wanted) in [
        ("2026-11-29T12:59:00Z", "x.."),
        ("2026-11-29T13:01:00Z", "xxx"),
        // The worker's clock went back years.
        ("2036-11-29T03:00:00Z", "xxx"),
    ] {
        let runs = [run(newest, '-'), run("2026-11-28T03:00:00Z", '-'), run("2026-11-27T03:00:00Z", '-')];
        assert_eq!(picture(&runs, &last(1)), wanted, "{newest}");
        assert_eq!(picture(&runs, &max_age), wanted, "{newest}");
    }
    // It counts as one of this moment: the one that was finished after it in truth is of the same day.
    let runs = [run("2026-11-29T12:59:00Z", '-'), run("2026-11-29T11:00:00Z", '-'), run("2026-11-28T11:00:00Z", '-')];
    let daily = Retention { daily: Some(2), ..Retention::default() };
    assert_eq!(picture_in(&runs, &daily, &TimeZone::UTC), "x.x");
}
