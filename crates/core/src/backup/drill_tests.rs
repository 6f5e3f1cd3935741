//! When a drill begins, what it waits for, and how it is told.

use elysia_api::backup::{BackupState, DrillState};
use elysia_api::condition::{ConditionType, Reason};
use serde_json::json;

use super::happening::{Happened, happened};
use super::ledger::{Attempt, DrillNote, DrilledCollection, ScratchNote, Stage, UndoneDrill};
use super::report::of_note;
use super::tests::{at, attempt, job, ledger, note, observed, policy, shown, started};
use super::{BackupSpec, Intent, Observed, Plan, Step, Task, plan};
use crate::collection::ClusterSight;
use crate::feed::{FailedRun, JobState};
use crate::sight::Sight;

/// A run each night at three, a drill on the first of each month at four.
fn drilled() -> BackupSpec {
    policy(|object| {
        object["spec"]["schedule"] = json!({"cron": "0 3 * * *"});
        object["spec"]["verify"] = json!({"drill": {"schedule": {"cron": "0 4 1 * *"}}});
    })
}

fn verdict(run: &str, order: &str, state: DrillState) -> DrillNote {
    DrillNote {
        order: order.to_owned(),
        run: run.to_owned(),
        at: at("2026-06-01T04:10:00Z"),
        state,
        objects: 3,
        overlap: Some(97),
        distance: None,
        collections: vec![DrilledCollection { name: "Articles".to_owned(), ..DrilledCollection::default() }],
        total_collections: 1,
        message: (state == DrillState::Failed).then(|| "Articles: 2 of 3 objects are there".to_owned()),
    }
}

const NIGHT: &str = "2026-06-01T03:00:00Z";
const TIME: &str = "2026-06-01T04:00:00Z";

/// Tonight's run is done.
fn rested(spec: &BackupSpec, now: &str) -> Observed {
    let mut seen = observed(now);
    let order = spec.at(at(NIGHT));
    seen.ledger = ledger(attempt(&order, Stage::Done), vec![note("r1")]);
    seen.intent =
        Some(Intent { order, due: Some(at(NIGHT)), run_now: None, drilled: Some(at("2026-05-01T04:00:00Z")) });
    seen
}

/// The drill is meant, and its worker wrote this.
fn drilling(spec: &BackupSpec, now: &str, stage: Option<Stage>, last: Option<DrillNote>) -> Observed {
    let mut seen = rested(spec, now);
    let order = spec.drilling(at(TIME));
    let intent = seen.intent.as_mut().unwrap();
    (intent.order, intent.drilled) = (order.clone(), Some(at(TIME)));
    if let Sight::Seen(Some(ledger)) = &mut seen.ledger {
        if let Some(stage) = stage {
            ledger.attempt = Some(attempt(&order, stage));
        }
        ledger.last_drill = last;
    }
    seen
}

fn task(plan: &Plan) -> Option<Task> {
    match &plan.step {
        Some(Step::Start { task, .. }) => Some(task.clone()),
        _ => None,
    }
}

#[test]
fn a_drill_begins_at_its_time_and_a_run_goes_first() {
    let spec = drilled();
    let done = rested(&spec, "2026-06-01T03:59:59Z");
    assert_eq!(plan(&spec, &done).step, None);
    assert_eq!(plan(&spec, &done).next_drill, Some(at(TIME)));

    let first = plan(&spec, &rested(&spec, TIME));
    let intent = started(&first).unwrap();
    assert_eq!((task(&first), intent.drilled, intent.due), (Some(Task::Drill), Some(at(TIME)), Some(at(NIGHT))));
    assert_eq!(shown(&first), "Ready:Scheduled Verified:Verified Running:Running", "it moves Running alone");
    assert!(first.is_drill);

    // Both are due, after a night in which nobody was there.
    let mut late = rested(&spec, "2026-06-02T09:00:00Z");
    let run = plan(&spec, &late);
    assert!(matches!(task(&run), Some(Task::Run { .. })), "{run:?}");
    let intent = started(&run).unwrap();
    late.ledger = ledger(attempt(&intent.order, Stage::Done), vec![note("r2"), note("r1")]);
    late.intent = Some(intent);
    assert_eq!(started(&plan(&spec, &late)).unwrap().drilled, Some(at(TIME)), "and the drill after it");
}

#[test]
fn a_drill_waits_for_what_must_not_be_hidden() {
    type Edit = fn(&mut Observed);
    let spec = drilled();
    let cases: [(&str, Edit); 5] = [
        ("a run that is under way", |seen| {
            let order = seen.intent.clone().unwrap().order;
            seen.jobs = vec![job(&drilled(), &order, JobState::Active)];
            seen.ledger = ledger(attempt(&order, Stage::Writing), vec![note("r0")]);
        }),
        ("a run that failed", |seen| {
            let order = seen.intent.clone().unwrap().order;
            seen.ledger = ledger(attempt(&order, Stage::Failed), vec![note("r0")]);
        }),
        ("a run whose Job failed without a word", |seen| {
            let order = seen.intent.clone().unwrap().order;
            seen.ledger = ledger(attempt("other", Stage::Done), vec![note("r0")]);
            seen.failed = Some(FailedRun { run: order, message: "deadline".to_owned() });
        }),
        ("no run at all", |seen| {
            let order = seen.intent.clone().unwrap().order;
            seen.ledger = ledger(attempt(&order, Stage::Done), vec![]);
        }),
        ("no good run", |seen| {
            let order = seen.intent.clone().unwrap().order;
            let mut suspect = note("r1");
            suspect.suspect = vec!["it lacks collection Notes".to_owned()];
            seen.ledger = ledger(attempt(&order, Stage::Done), vec![suspect]);
        }),
    ];
    for (what, edit) in cases {
        let mut seen = rested(&spec, TIME);
        edit(&mut seen);
        assert_ne!(task(&plan(&spec, &seen)), Some(Task::Drill), "{what}");
    }
}

#[test]
fn a_time_is_served_once_whatever_is_lost() {
    let spec = drilled();
    let order = spec.drilling(at(TIME));
    let done =
        drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Done), Some(verdict("r1", &order, DrillState::Passed)));
    assert_eq!(plan(&spec, &done).step, None);
    // The intent speaks of a run again, and forgot the drill.
    let mut forgot = done;
    let night = spec.at(at(NIGHT));
    forgot.intent = Some(Intent { order: night.clone(), due: Some(at(NIGHT)), run_now: None, drilled: None });
    if let Sight::Seen(Some(ledger)) = &mut forgot.ledger {
        ledger.attempt = Some(attempt(&night, Stage::Done));
    }
    assert_eq!(plan(&spec, &forgot).step, None);
    // One that could not be done is over as well: its next time comes.
    let failed = drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Failed), None);
    assert_eq!(plan(&spec, &failed).step, None);
    let mut later = failed;
    later.now = at("2026-06-02T03:00:00Z");
    let night = started(&plan(&spec, &later)).unwrap();
    assert_eq!((night.due, night.drilled), (Some(later.now), Some(at(TIME))));
}

#[test]
fn a_drill_that_never_began_stays_due_behind_a_run() {
    let spec = drilled();
    let mut seen = drilling(&spec, "2026-06-01T06:00:00Z", None, None);
    seen.cluster = ClusterSight::Unfit("a node is missing".to_owned());
    let waits = plan(&spec, &seen);
    assert_eq!(
        (waits.step.clone(), shown(&waits).as_str()),
        (None, "Ready:Scheduled Verified:Verified Reconciling:ClusterNotReady")
    );
    seen.cluster = ClusterSight::Fit;
    seen.now = at("2026-06-02T03:00:00Z");
    let run = started(&plan(&spec, &seen)).unwrap();
    assert_eq!((run.order.clone(), run.drilled), (spec.at(seen.now), None));
    seen.ledger = ledger(attempt(&run.order, Stage::Done), vec![note("r2")]);
    seen.intent = Some(run);
    assert_eq!(started(&plan(&spec, &seen)).unwrap().drilled, Some(at(TIME)));
    // Nobody drills for a day: a person is asked.
    let mut late = drilling(&spec, "2026-06-01T06:00:00Z", None, None);
    late.cluster = ClusterSight::Missing;
    assert_eq!(shown(&plan(&spec, &late)), "!Ready:ClusterMissing Verified:Verified Stalled:ClusterMissing");
    // The drill was taken out of the spec.
    let without = policy(|object| object["spec"]["schedule"] = json!({"cron": "0 3 * * *"}));
    assert_eq!(shown(&plan(&without, &late)), "Ready:Scheduled Verified:Verified");
}

#[test]
fn a_drill_that_a_clock_noted_which_was_ahead_holds_no_other_up() {
    let spec = drilled();
    let mut seen = rested(&spec, TIME);
    seen.intent.as_mut().unwrap().drilled = Some(at("2026-09-01T04:00:00Z"));
    let intent = started(&plan(&spec, &seen)).unwrap();
    assert_eq!((intent.order, intent.drilled), (spec.drilling(at(TIME)), Some(at(TIME))));
}

#[test]
fn the_cluster_of_the_drill_is_what_it_waits_for() {
    let spec = policy(|object| {
        object["spec"]["schedule"] = json!({"cron": "0 3 * * *"});
        object["spec"]["verify"] = json!({"drill": {"schedule": {"cron": "0 4 1 * *"}, "clusterRef": {"name": "lab"}, "replicationFactor": 1}});
    });
    let drill = spec.drill.clone().unwrap();
    assert_eq!((drill.cluster.as_str(), drill.factor, drill.minimum_overlap), ("lab", Some(1), 80));
    let mut seen = rested(&spec, TIME);
    seen.cluster = ClusterSight::Unfit("it hibernates".to_owned());
    seen.drill_cluster = Some(ClusterSight::Fit);
    assert_eq!(task(&plan(&spec, &seen)), Some(Task::Drill));
    (seen.cluster, seen.drill_cluster) = (ClusterSight::Fit, Some(ClusterSight::Missing));
    let plan = plan(&spec, &seen);
    assert_eq!(plan.step, None);
    assert!(plan.findings[0].message.contains("WeaviateCluster lab does not exist"), "{}", plan.findings[0].message);
}

#[test]
fn what_a_drill_found_is_said_loudly_until_a_good_one() {
    let spec = drilled();
    let order = spec.drilling(at(TIME));
    let bad = || verdict("r1", &order, DrillState::Failed);
    let seen = drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Done), Some(bad()));
    let told = plan(&spec, &seen);
    assert_eq!(shown(&told), "!Ready:DrillFailed !Verified:DrillFailed Stalled:DrillFailed");
    for words in ["2 of 3 objects", "elysia.dev/run-now", "backup verify latest --drill"] {
        assert!(told.findings[0].message.contains(words), "{words}: {}", told.findings[0].message);
    }
    // A good run since does not hide it.
    let mut next = rested(&spec, "2026-06-01T20:00:00Z");
    if let Sight::Seen(Some(ledger)) = &mut next.ledger {
        (ledger.last_drill, ledger.runs) = (Some(bad()), vec![note("r2"), note("r1")]);
    }
    if let Some(intent) = &mut next.intent {
        intent.drilled = Some(at(TIME));
    }
    assert_eq!(shown(&plan(&spec, &next)), "!Ready:DrillFailed !Verified:DrillFailed Stalled:DrillFailed");
    if let Sight::Seen(Some(ledger)) = &mut next.ledger {
        ledger.last_drill = Some(verdict("r2", "by hand", DrillState::Passed));
        ledger.runs[0].verified_at = None;
    }
    let good = plan(&spec, &next);
    assert_eq!(shown(&good), "Ready:Scheduled Verified:Verified", "a drill verifies what was not read back");
    assert!(good.findings[0].message.contains("run r2 survived its restore drill"), "{}", good.findings[0].message);
}

#[test]
fn a_drill_that_could_not_be_done_is_told_and_says_nothing_of_the_run() {
    let spec = drilled();
    let order = spec.drilling(at(TIME));
    let mut seen = drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Failed), None);
    let told = plan(&spec, &seen);
    assert_eq!(shown(&told), "!Ready:DrillUnfinished Verified:Verified Stalled:DrillUnfinished");
    assert!(told.findings[0].message.contains("disk full"), "{}", told.findings[0].message);
    // What failed before stays said.
    if let Sight::Seen(Some(ledger)) = &mut seen.ledger {
        ledger.last_drill = Some(verdict("r1", "earlier", DrillState::Failed));
    }
    assert_eq!(shown(&plan(&spec, &seen)), "!Ready:DrillFailed !Verified:DrillFailed Stalled:DrillFailed");
    // Its Job ended without a word: noted once.
    let mut silent = drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Drilling), None);
    silent.jobs = vec![job(&spec, &order, JobState::Failed("deadline".to_owned()))];
    let first = plan(&spec, &silent);
    let Some(Step::NoteFailure(failed)) = first.step.clone() else { panic!("{first:?}") };
    silent.failed = Some(failed);
    silent.jobs.clear();
    assert_eq!(shown(&plan(&spec, &silent)), "!Ready:DrillUnfinished Verified:Verified Stalled:DrillUnfinished");
    // After the next run it is remembered in words.
    let mut next = rested(&spec, "2026-06-01T20:00:00Z");
    next.intent.as_mut().unwrap().drilled = Some(at(TIME));
    if let Sight::Seen(Some(ledger)) = &mut next.ledger {
        ledger.undone_drill = Some(UndoneDrill { order, run: None, at: at(TIME), message: "no room".to_owned() });
        ledger.scratch =
            vec![ScratchNote { name: "A_drill_o".to_owned(), order: "o".to_owned(), cluster: "ai/lab (u)".to_owned() }];
    }
    let after = plan(&spec, &next);
    assert_eq!(shown(&after), "Ready:Scheduled Verified:Verified");
    for words in ["could not be done: no room", "A_drill_o in ai/lab: the next Job there deletes"] {
        assert!(after.findings[0].message.contains(words), "{words}: {}", after.findings[0].message);
    }
}

#[test]
fn a_drill_leaves_the_status_of_the_last_run_and_is_told_once() {
    let spec = drilled();
    let object = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "b"}}},
    }));
    let mut object: elysia_api::CollectionBackup = object.unwrap();
    let status = |object: &elysia_api::CollectionBackup, seen: &Observed| {
        super::status(object, &spec, seen, &plan(&spec, seen), None, seen.now)
    };
    object.status = Some(status(&object, &rested(&spec, "2026-06-01T03:30:00Z")));
    let before = object.status.clone().unwrap();
    assert_eq!(before.run.as_ref().map(|run| run.state), Some(BackupState::Succeeded));
    let order = spec.drilling(at(TIME));
    let seen = drilling(&spec, "2026-06-01T04:05:00Z", Some(Stage::Drilling), None);
    let under_way = status(&object, &seen);
    assert_eq!((under_way.run.clone(), under_way.last_drill.clone()), (before.run.clone(), None));
    assert_eq!(happened(&before, &under_way, None), []);
    for (state, what) in [(DrillState::Passed, Happened::DrillPassed), (DrillState::Failed, Happened::DrillFailed)] {
        let ended = drilling(&spec, "2026-06-01T05:00:00Z", Some(Stage::Done), Some(verdict("r1", &order, state)));
        let after = status(&object, &ended);
        let told = happened(&under_way, &after, None);
        assert_eq!(told.iter().map(|it| it.what).collect::<Vec<_>>(), [what]);
        assert_eq!(happened(&after, &after, None), []);
        let drill = after.last_drill.unwrap();
        assert_eq!((drill.run.as_deref(), drill.state, drill.objects, drill.overlap), (Some("r1"), state, 3, Some(97)));
    }
    // The operator was away while a run ended and the drill began.
    let mut away = object;
    if let Some(run) = away.status.as_mut().and_then(|status| status.run.as_mut()) {
        run.state = BackupState::Running;
    }
    assert_eq!(status(&away, &seen).run, Some(of_note(&note("r1"))));
}

#[test]
fn a_drill_runs_beside_nothing() {
    let spec = drilled();
    let order = spec.drilling(at(TIME));
    let mut seen = drilling(&spec, "2026-06-02T03:00:00Z", Some(Stage::Drilling), None);
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    let running = plan(&spec, &seen);
    assert_eq!(
        (running.step.clone(), shown(&running).as_str()),
        (None, "Ready:Scheduled Verified:Verified Running:Running")
    );
    let words =
        |plan: &Plan, kind| plan.findings.iter().find(|it| it.kind == kind).map(|it| it.message.clone()).unwrap();
    assert!(words(&running, ConditionType::Running).contains("drills with r1"));
    // A worker that failed is followed by another one of the same Job.
    if let Sight::Seen(Some(ledger)) = &mut seen.ledger {
        ledger.attempt = Some(Attempt { ..attempt(&order, Stage::Failed) });
    }
    assert!(words(&plan(&spec, &seen), ConditionType::Running).contains("tries again"));
    seen.jobs = vec![job(&spec, &order, JobState::Succeeded)];
    if let Sight::Seen(Some(ledger)) = &mut seen.ledger {
        ledger.attempt = None;
    }
    seen.now = at("2026-06-01T05:00:00Z");
    assert_eq!(plan(&spec, &seen).step, Some(Step::ForgetJob { name: spec.job(&order) }), "its ledger was lost");
    assert_eq!(Reason::DrillFailed.as_str(), "DrillFailed");
}
