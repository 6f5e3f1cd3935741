use elysia_api::collection::{DataVerification, ShardReplicas};
use jiff::{SignedDuration, Timestamp};

use super::sample::{self, Listed};
use super::*;
use crate::schedule::Timetable;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn shards(text: &str) -> Vec<ShardReplicas> {
    let shard = |(number, nodes): (usize, &str)| ShardReplicas {
        shard: format!("s{number}"),
        replicas: nodes.split(',').map(str::to_owned).collect(),
    };
    text.split(' ').enumerate().map(shard).collect()
}

/// `a=1 b=- c=? d=s0`: holds version 1, lacks it, says nothing, is not of the shard s0.
fn reading(text: &str) -> Reading {
    let answer = |word: &str| match word {
        "-" => Answer::Absent,
        "?" => Answer::Silent,
        shard if shard.starts_with('s') => Answer::NotHere { shard: shard.to_owned() },
        version => Answer::Held { digest: version.to_owned(), updated: version.parse().ok() },
    };
    let answers = text.split(' ').map(|pair| pair.split_once('=').unwrap());
    let answers = answers.map(|(node, word)| (node.to_owned(), answer(word))).collect();
    Reading { key: ObjectKey { tenant: None, id: "id".to_owned() }, answers }
}

const OLD: Option<ServerVersion> = Some(ServerVersion::minor(35));
const NEW: Option<ServerVersion> = Some(ServerVersion::minor(38));

fn nodes(names: &str) -> Vec<String> {
    names.split_terminator(',').map(str::to_owned).collect()
}

#[test]
fn objects_of_nodes_that_hold_every_shard() {
    use Verdict::{Different, Gone, Missing, Orphaned, Same, Unread};
    let cases = [
        ("a,b,c", "a=1 b=1 c=1", Same(3)),
        ("a,b,c", "a=1 b=1 c=-", Missing(nodes("c"))),
        ("a,b,c", "a=1 b=- c=-", Orphaned(nodes("a"))),
        ("a,b,c", "a=- b=- c=-", Gone),
        ("a,b,c", "a=1 b=1 c=2", Different(nodes("c"))),
        ("a,b,c", "a=1 b=1 c=?", Unread(nodes("c"))),
        ("a,b,c", "a=1 b=2 c=?", Unread(nodes("c"))),
        // Held by one, lacked by one, the third does not say: it may be the majority.
        ("a,b,c", "a=1 b=- c=?", Missing(nodes("b"))),
        ("a,b,c", "a=- b=- c=?", Unread(nodes("c"))),
        ("a,b,c", "a=1 b=2 c=3", Different(nodes("a,b"))),
        // Of two, half is a majority: what is lost would be worse than what is left over.
        ("a,b", "a=1 b=-", Missing(nodes("b"))),
        // The newer one is right.
        ("a,b", "a=1 b=2", Different(nodes("a"))),
        ("a", "a=1", Same(1)),
        ("a,b,c,d,e", "a=1 b=1 c=- d=- e=-", Orphaned(nodes("a,b"))),
        ("a,b,c,d,e", "a=1 b=1 c=1 d=- e=-", Missing(nodes("d,e"))),
    ];
    for version in [OLD, NEW, None] {
        for (placement, answers, verdict) in &cases {
            let shards = shards(placement);
            assert_eq!(judge(&reading(answers), Placement::new(&shards, version)), *verdict, "{placement}: {answers}");
        }
    }
}

#[test]
fn objects_whose_shard_follows_from_who_answers() {
    use Verdict::{Different, Gone, Missing, Same, Unread};
    let three = "a,b b,c a,c";
    let cases = [
        // 1.38: whoever is not of the shard says nothing in time, or names the shard after a long time.
        (three, NEW, "a=1 b=1 c=?", Same(2)),
        (three, NEW, "a=1 b=1 c=s0", Same(2)),
        (three, NEW, "a=1 b=- c=?", Missing(nodes("b"))),
        (three, NEW, "a=1 b=- c=s0", Missing(nodes("b"))),
        (three, NEW, "a=1 b=2 c=?", Different(nodes("a"))),
        (three, NEW, "a=- b=- c=?", Gone),
        // Two that do not answer: one of them is a holder in trouble.
        (three, NEW, "a=1 b=? c=?", Unread(nodes("b"))),
        (three, NEW, "a=1 b=? c=s0", Unread(nodes("b"))),
        // 1.35: whoever is not of the shard says 404, like one that lacks the object.
        (three, OLD, "a=1 b=1 c=-", Same(2)),
        (three, OLD, "a=1 b=2 c=-", Different(nodes("a"))),
        (three, OLD, "a=- b=- c=-", Gone),
        // Missing for certain, and where cannot be known: at b or at c.
        (three, OLD, "a=1 b=- c=-", Missing(nodes(""))),
        (three, None, "a=1 b=- c=-", Missing(nodes(""))),
        // With only one shard at a it is known.
        ("a,b b,c", OLD, "a=1 b=- c=-", Missing(nodes("b"))),
        // It may be of the shard with one replica: no alarm.
        ("a,b a", OLD, "a=1 b=-", Same(1)),
        ("a,b a", NEW, "a=1 b=-", Missing(nodes("b"))),
        // At both and of no shard of both: the placement changed meanwhile.
        ("a,b c,d", NEW, "a=1 b=1 c=1 d=1", Unread(nodes(""))),
    ];
    for (placement, version, answers, verdict) in cases {
        let shards = shards(placement);
        assert_eq!(judge(&reading(answers), Placement::new(&shards, version)), verdict, "{placement}: {answers}");
    }
}

#[test]
fn an_object_of_a_tenant_is_of_the_tenants_shard() {
    let shards = shards("a,b b,c");
    let mut reading = reading("a=1 b=-");
    reading.key.tenant = Some("s0".to_owned());
    let placement = Placement::new(&shards, OLD);
    assert_eq!(judge(&reading, placement), Verdict::Missing(nodes("b")));
    assert_eq!(placement.nodes_to_ask(&reading.key).into_iter().collect::<Vec<_>>(), ["a", "b"]);
    reading.key.tenant = Some("gone".to_owned());
    assert_eq!(judge(&reading, placement), Verdict::Unread(nodes("")));
}

#[test]
fn only_uneven_placements_need_guesses() {
    for (placement, uneven) in [("a,b,c", false), ("a,b,c c,b,a", false), ("a,b b,c", true), ("a a,b", true)] {
        assert_eq!(Placement::new(&shards(placement), NEW).is_uneven(), uneven, "{placement}");
    }
}

fn listed(ids: &str, full: bool) -> Listed {
    Listed { ids: ids.split_terminator(' ').map(str::to_owned).collect(), full }
}

fn chosen(lists: &[(&str, &str, bool)], limit: usize) -> String {
    let lists = lists.iter().map(|(node, ids, full)| ((*node).to_owned(), listed(ids, *full))).collect();
    let keys = sample::choose(&[(None, lists)], limit);
    keys.into_iter().map(|key| key.id).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_only_one_node_lists_is_looked_at_first() {
    assert_eq!(chosen(&[("a", "1 2 3 4", true), ("b", "1 2 4 5", true)], 9), "3 1 2 4 5");
    assert_eq!(chosen(&[("a", "1 2 3 4", true), ("b", "1 2 4 5", true)], 3), "3 1 4");
    // Beyond the end of a full page nothing is suspicious; a page that is not full is the end.
    assert_eq!(chosen(&[("a", "1 2", true), ("b", "1 2 3", false)], 9), "1 2 3");
    assert_eq!(chosen(&[("a", "1 2", false), ("b", "1 2 3", false)], 9), "3 1 2");
    assert_eq!(chosen(&[("a", "", false), ("b", "1 2 3", true)], 9), "1 2 3");
    assert_eq!(chosen(&[], 9), "");
}

#[test]
fn tenants_are_drawn() {
    let hot: Vec<String> = (0..30).map(|number| format!("t{number}")).collect();
    let dice: Vec<u64> = (0..30).rev().collect();
    let drawn = sample::tenants(&hot, &dice);
    assert_eq!((drawn.len(), drawn[0].as_str(), drawn[19].as_str()), (20, "t29", "t10"));
    assert_eq!(sample::places(100, 1), 10);
    assert_eq!(sample::places(100, 20), 1);
    assert_eq!(sample::places(3, 1), 3);
    assert_eq!(sample::page_size(100, 10), 10);
    assert_eq!(sample::page_size(1, 10), 1);
}

fn named_reading(id: &str, answers: &str) -> Reading {
    let mut reading = reading(answers);
    reading.key.id = id.to_owned();
    reading
}

fn three() -> Vec<ShardReplicas> {
    shards("a,b,c")
}

/// Object and answers, of each round.
type Rounds<'a> = &'a [&'a [(&'a str, &'a str)]];

/// A comparison of these rounds; each round's readings must be of what the look asks for.
fn compare(rounds: Rounds<'_>) -> DataVerification {
    let shards = three();
    let placement = Placement::new(&shards, NEW);
    let readings = |round: &[(&str, &str)]| round.iter().map(|(id, answers)| named_reading(id, answers)).collect();
    let mut now = at(0);
    let mut outcome = Look::begin(Request::default(), readings(rounds[0]), None, placement, now);
    for round in &rounds[1..] {
        let Outcome::Again(look) = outcome else { panic!("ended early: {outcome:?}") };
        assert!(look.next() > now);
        now = look.next();
        outcome = look.again(readings(round), placement, now);
    }
    match outcome {
        Outcome::Ended(ended) => ended.report,
        Outcome::Again(look) => panic!("not ended: {look:?}"),
    }
}

fn told(report: &DataVerification) -> String {
    let findings = report.findings.iter().map(|one| format!("{} {} {}", one.id, one.what, one.nodes.join(",")));
    let findings = findings.collect::<Vec<_>>().join("; ");
    let DataVerification { sampled, missing, orphaned, different, unread, .. } = report;
    format!("{sampled}: {missing} missing, {orphaned} orphaned, {different} different, {unread} unread [{findings}]")
}

#[test]
fn what_stays_wrong_is_reported() {
    let wrong: &[_] = &[("1", "a=1 b=1 c=-"), ("2", "a=1 b=- c=-"), ("3", "a=1 b=1 c=2"), ("4", "a=1 b=1 c=?")];
    let first: Vec<_> = wrong.iter().copied().chain([("5", "a=1 b=1 c=1")]).collect();
    assert_eq!(
        told(&compare(&[&first, wrong, wrong])),
        "5: 1 missing, 1 orphaned, 1 different, 1 unread [1 missing c; 3 different c; 2 orphaned a; 4 unread c]"
    );
}

#[test]
fn what_a_writer_was_at_is_no_alarm() {
    let cases: [(Rounds<'_>, &str); 5] = [
        // Nothing wrong: one round is enough.
        (&[&[("1", "a=1 b=1 c=1")]], "1: 0 missing, 0 orphaned, 0 different, 0 unread []"),
        // Written everywhere by the second round.
        (&[&[("1", "a=1 b=1 c=-")], &[("1", "a=1 b=1 c=1")]], "1: 0 missing, 0 orphaned, 0 different, 0 unread []"),
        // Deleted everywhere by the third.
        (
            &[&[("1", "a=1 b=1 c=-")], &[("1", "a=1 b=- c=-")], &[("1", "a=- b=- c=-")]],
            "1: 0 missing, 0 orphaned, 0 different, 0 unread []",
        ),
        // Updated again and again, caught in the middle each time.
        (
            &[&[("1", "a=2 b=1 c=1")], &[("1", "a=3 b=3 c=2")], &[("1", "a=5 b=4 c=4")]],
            "1: 0 missing, 0 orphaned, 0 different, 1 unread [1 unread ]",
        ),
        // Not read in the last round.
        (
            &[&[("1", "a=1 b=1 c=-")], &[("1", "a=1 b=1 c=-")], &[]],
            "1: 0 missing, 0 orphaned, 0 different, 1 unread [1 unread ]",
        ),
    ];
    for (rounds, words) in cases {
        assert_eq!(told(&compare(rounds)), words, "{rounds:?}");
    }
}

fn report(missing: i64, second: i64) -> DataVerification {
    let mut report = compare(&[&[("1", "a=1 b=1 c=1")]]);
    report.missing = missing;
    report.at.0 = at(second);
    report
}

#[test]
fn objects_are_compared_when_it_is_time() {
    let hourly = Timetable::parse(&elysia_api::common::Schedule {
        cron: "0 * * * *".to_owned(),
        time_zone: None,
        starting_deadline: None,
        suspend: false,
    })
    .unwrap();
    // 1,800,000,000 is a full hour.
    let clean = report(0, 10);
    let bad = report(1, 10);
    let asked = |word: &str| Some(Request { run_now: Some(word.to_owned()) });
    let due = |timetable: Option<&Timetable>, asked, handled, before, second| {
        due(timetable, asked, handled, before, at(-1800), at(second))
    };
    assert_eq!(due(None, None, None, None, 5000), None);
    assert_eq!(due(Some(&hourly), None, None, None, -60), None);
    assert_eq!(due(Some(&hourly), None, None, None, 0), Some(Request::default()));
    assert_eq!(due(Some(&hourly), None, None, Some(&clean), 3599), None);
    assert_eq!(due(Some(&hourly), None, None, Some(&clean), 3600), Some(Request::default()));
    // Faults are looked at again before the hour, also without a schedule.
    assert_eq!(due(Some(&hourly), None, None, Some(&bad), 900), None);
    assert_eq!(due(Some(&hourly), None, None, Some(&bad), 910), Some(Request::default()));
    assert_eq!(due(None, None, None, Some(&bad), 910), Some(Request::default()));
    // Each value of the annotation asks once.
    assert_eq!(due(None, Some("x"), None, Some(&clean), 11), asked("x"));
    assert_eq!(due(None, Some("x"), Some("x"), Some(&clean), 11), None);
    assert_eq!(due(None, Some("y"), Some("x"), Some(&clean), 11), asked("y"));
}

#[test]
fn what_the_condition_says() {
    let words = |finding: Option<crate::condition::Finding>| {
        finding.map_or("-".to_owned(), |one| format!("{} {}: {}", one.value.as_str(), one.reason, one.message))
    };
    assert_eq!(words(look::finding(None, false, None, "articles")), "-");
    assert_eq!(
        words(look::finding(None, true, None, "articles")),
        "Unknown Unknown: objects were not compared yet; verify.data of the WeaviateCluster says when"
    );
    assert_eq!(
        words(look::finding(Some(&report(0, 0)), true, None, "articles")),
        "True Verified: 1 sampled objects are the same at each of 3 replicas"
    );
    let mut bad = report(2, 0);
    bad.tenants_asleep = Some(4);
    assert_eq!(
        words(look::finding(Some(&bad), true, None, "articles")),
        "False ObjectsDiffer: of 1 sampled objects 2 are missing at a replica, 0 differ, 0 are held by a minority; 4 tenants are not HOT and were not looked at; see them: kubectl elysia health --data --collection articles"
    );
    let mut unread = report(0, 0);
    unread.unread = 3;
    assert_eq!(
        words(look::finding(Some(&unread), true, None, "articles")),
        "Unknown Unknown: of 1 sampled objects 3 could not be read at every replica"
    );
}

#[test]
fn a_report_names_no_more_than_a_status_holds() {
    let shards = three();
    let placement = Placement::new(&shards, NEW);
    let readings = |count: usize| (0..count).map(|id| named_reading(&format!("{id:04}"), "a=1 b=1 c=-")).collect();
    let Outcome::Again(look) = Look::begin(Request::default(), readings(1002), None, placement, at(0)) else {
        panic!("ended");
    };
    assert_eq!(look.suspects().count(), look::SUSPECT_LIMIT);
    let Outcome::Again(look) = look.again(readings(1000), placement, at(5)) else { panic!("ended") };
    let Outcome::Ended(ended) = look.again(readings(1000), placement, at(35)) else { panic!("not ended") };
    assert_eq!((ended.report.missing, ended.report.unread, ended.report.findings.len()), (1000, 2, 20));
    assert_eq!(look::named(&ended.report)[19].id, "0019");
    assert_eq!(SignedDuration::from_secs(35), look::PAUSES[0] + look::PAUSES[1]);
}
