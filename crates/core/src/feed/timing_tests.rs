//! Pictures of feeds that go on from run to run, and what follows.

use elysia_api::common::{S3Store, Schedule};
use elysia_api::condition::ConditionType;
use elysia_api::index_source::Chunking;

use super::super::tests::{ledger, seen, spec};
use super::super::{JobView, Unmapped};
use super::*;
use crate::sight::Sight;

fn at(text: &str) -> Timestamp {
    format!("2026-05-01T{text}Z").parse().unwrap()
}

fn bucket() -> Content {
    let store = S3Store { bucket: "feeds".to_owned(), ..S3Store::default() };
    Content::S3 { store, pattern: "*.jsonl".to_owned() }
}

fn nightly() -> FeedSpec {
    let schedule = Schedule { cron: "0 3 * * *".to_owned(), time_zone: None, starting_deadline: None, suspend: false };
    FeedSpec { when: When::Schedule(Box::new(Timetable::parse(&schedule).unwrap())), created: at("00:00:00"), ..spec() }
}

fn watching() -> FeedSpec {
    FeedSpec { when: When::Watch(WATCH_INTERVAL), ..spec() }
}

struct Picture {
    spec: FeedSpec,
    observed: Observed,
}

impl Picture {
    fn new(spec: FeedSpec, now: &str) -> Self {
        let mut observed = seen(None, Vec::new());
        observed.content = Sight::Seen(Ok(bucket()));
        observed.now = at(now);
        Self { spec, observed }
    }

    /// A run was meant for this time; its ledger and its Job.
    fn meant(mut self, time: &str, state: Option<RunState>, job: Option<JobState>) -> Self {
        let run = self.spec.run_for(&bucket(), at(time));
        self.observed.intent = Some(at(time));
        self.observed.ledger = Sight::Seen(state.map(|state| ledger(&run, state, 0)));
        let watches = self.spec.watches(&bucket()).is_some();
        self.observed.jobs = job
            .map(|state| JobView { name: self.spec.job(&run), state, watches, idle_since: None })
            .into_iter()
            .collect();
        self
    }

    fn permanent(mut self) -> Self {
        if let Sight::Seen(Some(ledger)) = &mut self.observed.ledger {
            ledger.is_permanent = true;
        }
        self
    }

    /// Step and conditions in one line.
    fn told(&self) -> String {
        let plan = super::super::plan(&self.spec, &self.observed);
        let step = match &plan.step {
            None => "rest".to_owned(),
            Some(Step::StartRun { run, intent, .. }) => {
                let meant = intent.or(self.observed.intent).unwrap();
                assert_eq!(*run, self.spec.run_for(&bucket(), meant), "the run is the one that is written down");
                intent.map_or_else(|| "make".to_owned(), |time| format!("mean {}", &time.to_string()[11..19]))
            }
            Some(Step::EndJob { .. }) => "end".to_owned(),
            Some(Step::ForgetJob { .. }) => "forget".to_owned(),
            Some(Step::NoteFailure(_)) => "note".to_owned(),
            Some(Step::MakeLedgers) => "make ledgers".to_owned(),
        };
        let shown = [ConditionType::Ready, ConditionType::CaughtUp, ConditionType::Running, ConditionType::Stalled];
        let shown = shown.iter().filter_map(|kind| plan.findings.iter().find(|finding| finding.kind == *kind));
        let shown = shown.map(|finding| format!("{}={} {}", finding.kind, finding.value.as_str(), finding.reason));
        format!("{step}: {}", shown.collect::<Vec<_>>().join(", "))
    }
}

#[test]
fn a_schedule_starts_each_run_once_and_never_moves_ready() {
    let active = || Some(JobState::Active);
    let idle = "Ready=True Scheduled, CaughtUp=False Scheduled";
    let at_it = "Ready=True Scheduled, CaughtUp=False Running, Running=True Running";
    let done = "Ready=True Scheduled, CaughtUp=True Complete";
    let new = |now| Picture::new(nightly(), now);
    assert_eq!(new("02:59:59").told(), format!("rest: {idle}"));
    assert_eq!(new("03:00:00").told(), format!("mean 03:00:00: {at_it}"));
    assert_eq!(new("11:00:00").told(), format!("mean 03:00:00: {at_it}"), "missed, and made up for");
    // Written down, and the operator died.
    assert_eq!(new("03:00:01").meant("03:00:00", None, None).told(), format!("make: {at_it}"));
    assert_eq!(new("03:00:02").meant("03:00:00", None, active()).told(), format!("rest: {at_it}"));
    assert_eq!(new("03:00:03").meant("03:00:00", Some(RunState::Running), active()).told(), format!("rest: {at_it}"));
    let ended = |job| new("03:10:00").meant("03:00:00", Some(RunState::Succeeded), job).told();
    assert_eq!(ended(Some(JobState::Succeeded)), format!("rest: {done}"));
    assert_eq!(ended(None), format!("rest: {done}"), "its Job was cleared away");
    // A run that takes a day: the next one waits, and what was missed is one run.
    let mut long = new("04:00:00").meant("03:00:00", Some(RunState::Running), active());
    long.observed.now += SignedDuration::from_hours(72);
    assert_eq!(long.told(), format!("rest: {at_it}"));
    long.observed.jobs.clear();
    let plan = super::super::plan(&long.spec, &long.observed);
    assert!(
        matches!(plan.step, Some(Step::StartRun { intent: Some(time), .. }) if time.to_string().starts_with("2026-05-04T03"))
    );
    assert_eq!(plan.next_run.unwrap().to_string(), "2026-05-05T03:00:00Z");
}

#[test]
fn a_run_of_a_schedule_that_failed_needs_a_person_only_if_the_next_would_fail_alike() {
    let failed = || {
        Picture::new(nightly(), "03:10:00").meant(
            "03:00:00",
            Some(RunState::Failed),
            Some(JobState::Failed("x".into())),
        )
    };
    assert_eq!(failed().told(), "rest: Ready=False RunFailed, CaughtUp=False RunFailed");
    assert_eq!(
        failed().permanent().told(),
        "rest: Ready=False RunFailed, CaughtUp=False RunFailed, Stalled=True RunFailed"
    );
}

#[test]
fn one_worker_watches_and_another_takes_its_place() {
    let new = |now| Picture::new(watching(), now);
    let at_it = "Ready=True Watching, CaughtUp=False Running, Running=True Running";
    let done = "Ready=True Watching, CaughtUp=True Complete";
    assert_eq!(new("01:00:00").told(), format!("mean 01:00:00: {at_it}"));
    let meant = |now, state, job| new(now).meant("01:00:00", state, job);
    assert_eq!(meant("01:00:01", None, None).told(), format!("make: {at_it}"));
    assert_eq!(meant("01:00:05", Some(RunState::Running), Some(JobState::Active)).told(), format!("rest: {at_it}"));
    let watches = meant("01:30:00", Some(RunState::Succeeded), Some(JobState::Active));
    assert_eq!(watches.told(), format!("rest: {done}"));
    let over = meant("02:00:00", Some(RunState::Succeeded), Some(JobState::Succeeded));
    assert_eq!(over.told(), format!("mean 02:00:00: {at_it}"));
    assert_eq!(
        meant("02:00:00", Some(RunState::Succeeded), None).told(),
        format!("make: {done}"),
        "somebody deleted it"
    );
    // Other settings: the old one is ended first, and is waited for.
    let mut other = meant("01:30:00", Some(RunState::Succeeded), Some(JobState::Active));
    other.spec.effort.parallelism = Some(1);
    assert_eq!(other.told(), format!("end: {at_it}"));
    other.observed.jobs.clear();
    assert!(other.told().starts_with("make: "), "{}", other.told());
    // A server that was away for long: after a while it is tried again.
    let failed = |now| meant(now, Some(RunState::Failed), Some(JobState::Failed("x".into())));
    assert_eq!(failed("01:01:00").told(), "rest: Ready=False RunFailed, CaughtUp=False RunFailed");
    assert_eq!(failed("01:05:00").told(), format!("mean 01:05:00: {at_it}"));
    let cleared = |now| meant(now, Some(RunState::Failed), None).told();
    assert_eq!(cleared("01:01:00"), "rest: Ready=False RunFailed, CaughtUp=False RunFailed");
    assert_eq!(cleared("09:00:00"), format!("mean 09:00:00: {at_it}"), "the record of its Job was cleared away");
    let stuck = "rest: Ready=False RunFailed, CaughtUp=False RunFailed, Stalled=True RunFailed";
    assert_eq!(meant("09:00:00", Some(RunState::Failed), None).permanent().told(), stuck);
    assert_eq!(failed("09:00:00").permanent().told(), stuck);
}

#[test]
fn what_would_index_otherwise_begins_anew_and_what_would_not_goes_on() {
    let basis = |spec: FeedSpec| spec.basis(&bucket()).unwrap();
    let one = basis(watching());
    assert_eq!(one, basis(nightly()), "schedule or watch");
    assert_eq!(one, basis(FeedSpec { run_now: Some("1".to_owned()), max_rejected: Some(1), ..watching() }));
    assert_ne!(one, basis(FeedSpec { unmapped: Unmapped::Drop, ..watching() }));
    let cut = |size| basis(FeedSpec { chunking: Some(Chunking { size, overlap: None }), ..watching() });
    assert_ne!(one, cut(1000));
    assert_ne!(cut(1000), cut(1001));
    assert_ne!(one, basis(FeedSpec { restart: Some("1".to_owned()), ..watching() }));
    assert_ne!(one, basis(FeedSpec { collection: "B".to_owned(), ..watching() }));
    assert_eq!(spec().basis(&bucket()), None);
}

#[test]
fn what_becomes_of_files_is_another_worker_that_watches_and_no_other_run() {
    let volume = |processed: serde_json::Value| {
        let source = serde_json::json!({"volume": {"claimName": "files", "processed": processed}});
        serde_json::from_value(source).unwrap()
    };
    let run = |spec: FeedSpec| {
        let content = Content::Volume { claim: "files".to_owned(), path: String::new(), pattern: "*".to_owned() };
        (spec.basis(&content), spec.run_for(&content, at("03:00:00")))
    };
    let plain = |spec: FeedSpec| run(FeedSpec { source: volume(serde_json::json!(null)), ..spec });
    let renamed =
        |spec: FeedSpec| run(FeedSpec { source: volume(serde_json::json!({"rename": {"suffix": ".done"}})), ..spec });
    assert_eq!(plain(nightly()), renamed(nightly()));
    assert_eq!(plain(watching()).0, renamed(watching()).0);
    assert_ne!(plain(watching()).1, renamed(watching()).1);
    // As the release before this field was made it: an upgrade of the operator ends no worker.
    assert_eq!(plain(watching()).1, run(watching()).1);
}

#[test]
fn a_worker_that_watches_is_ended_by_whatever_it_was_not_told() {
    let watched =
        || Picture::new(watching(), "01:30:00").meant("01:00:00", Some(RunState::Succeeded), Some(JobState::Active));
    let mut protected = watched();
    protected.observed.protection = Some("Handbook*".to_owned());
    assert!(protected.told().starts_with("end: "), "{}", protected.told());
    protected.observed.jobs.clear();
    assert!(protected.told().starts_with("rest: Ready=False InvalidSpec"), "{}", protected.told());
    for when in [When::Once, nightly().when] {
        let mut picture = watched();
        picture.spec.when = when;
        assert!(picture.told().starts_with("end: "), "{}", picture.told());
    }
}

#[test]
fn a_suspended_schedule_starts_nothing_whatever_else_is_changed() {
    let mut picture = Picture::new(nightly(), "11:00:00").meant("03:00:00", Some(RunState::Succeeded), None);
    let schedule = Schedule { cron: "0 3 * * *".to_owned(), time_zone: None, starting_deadline: None, suspend: true };
    picture.spec.when = When::Schedule(Box::new(Timetable::parse(&schedule).unwrap()));
    picture.spec.unmapped = Unmapped::Drop;
    assert!(picture.told().starts_with("rest: "), "{}", picture.told());
}

#[test]
fn a_paused_feed_starts_and_ends_nothing() {
    let paused = FeedSpec { paused: true, ..nightly() };
    assert!(Picture::new(paused, "11:00:00").told().starts_with("rest: "));
}

#[test]
fn a_feed_that_may_have_to_wait_for_a_person_is_refused() {
    let guarded = FeedSpec { delete_guard: Some(super::super::Limits::default()), ..nightly() };
    assert!(Picture::new(guarded, "03:00:00").told().starts_with("rest: Ready=False InvalidSpec"));
    let mut picture = Picture::new(watching(), "03:00:00");
    picture.observed.protection = Some("by its name".to_owned());
    assert!(picture.told().starts_with("rest: Ready=False InvalidSpec"), "{}", picture.told());
}

#[test]
fn what_nobody_looks_at_is_not_known() {
    let told = |idle_since: Option<&str>| {
        let mut picture =
            Picture::new(watching(), "03:10:00").meant("03:00:00", Some(RunState::Succeeded), Some(JobState::Active));
        picture.observed.jobs[0].idle_since = idle_since.map(at);
        picture.told()
    };
    let caught_up = "rest: Ready=True Watching, CaughtUp=True Complete";
    assert_eq!(told(None), caught_up);
    assert_eq!(told(Some("03:09:01")), caught_up, "its pod may be starting");
    assert_eq!(told(Some("03:09:00")), "rest: Ready=True Watching, CaughtUp=Unknown Unknown");
}

#[test]
fn too_few_changes_wait_and_are_no_fault() {
    let put_off = |mut picture: Picture| {
        if let Sight::Seen(Some(ledger)) = &mut picture.observed.ledger {
            ledger.put_off = Some(PutOff { lines: 3, least: 10 });
        }
        picture
    };
    let waits = "CaughtUp=False TooFewChanges";
    for job in [Some(JobState::Succeeded), None] {
        let picture = Picture::new(nightly(), "03:10:00").meant("03:00:00", Some(RunState::Skipped), job);
        assert_eq!(put_off(picture).told(), format!("rest: Ready=True Scheduled, {waits}"));
    }
    let picture =
        Picture::new(watching(), "03:10:00").meant("03:00:00", Some(RunState::Skipped), Some(JobState::Active));
    let picture = put_off(picture);
    assert_eq!(picture.told(), format!("rest: Ready=True Watching, {waits}"));
    let plan = super::super::plan(&picture.spec, &picture.observed);
    let message = &plan.findings.iter().find(|finding| finding.kind == ConditionType::CaughtUp).unwrap().message;
    assert!(message.starts_with("3 new lines wait: minChanges is 10"), "{message}");
}

#[test]
fn min_changes_ends_only_a_worker_that_was_told_otherwise() {
    let run = |min_changes| FeedSpec { min_changes, ..watching() }.run_for(&bucket(), at("03:00:00"));
    assert_ne!(run(None), run(Some(1)));
    assert_ne!(run(Some(2)), run(Some(1)));
    let run = |min_changes| FeedSpec { min_changes, ..nightly() }.run_for(&bucket(), at("03:00:00"));
    assert_eq!(run(None), run(Some(1)));
}

#[test]
fn a_job_that_failed_without_a_word_is_known_to_have_failed_when_it_is_cleared_away() {
    let cleared = |spec: FeedSpec, now: &str| {
        let mut picture = Picture::new(spec, now).meant("03:00:00", None, None);
        let run = picture.spec.run_for(&bucket(), at("03:00:00"));
        picture.observed.failed = Some(super::super::FailedRun { run, message: "backoff".to_owned() });
        picture.told()
    };
    let failed = Picture::new(nightly(), "03:10:00").meant("03:00:00", None, Some(JobState::Failed("x".into())));
    assert_eq!(failed.told(), "note: Ready=False RunFailed, CaughtUp=False RunFailed, Stalled=True RunFailed");
    assert_eq!(
        cleared(nightly(), "05:00:00"),
        "rest: Ready=False RunFailed, CaughtUp=False RunFailed, Stalled=True RunFailed"
    );
    // Somebody deleted it by hand: the next one is made in its time, not at once, and not never.
    assert_eq!(cleared(watching(), "03:01:00"), "rest: Ready=False RunFailed, CaughtUp=False RunFailed");
    assert!(cleared(watching(), "03:06:00").starts_with("mean 03:06:00"));
}
