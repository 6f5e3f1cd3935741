use elysia_api::CollectionBackup;
use elysia_api::backup::{ColdTenants, Engine};
use serde_json::{Value, json};

use super::ledger::{RunNote, Totals};
use super::*;
use crate::collection::ClusterSight;
use crate::condition::Value as Truth;
use crate::feed::JobView;
use crate::sight::BlindnessKind;

/// What is the matter, how that looks, and what the conditions say.
type Case = (&'static str, fn(&mut Observed), &'static str);

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn policy(edit: impl FnOnce(&mut Value)) -> BackupSpec {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {
            "name": "nightly", "namespace": "ai", "uid": "u", "generation": 1, "annotations": {},
            "creationTimestamp": "2026-05-01T12:00:00Z",
        },
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "b", "prefix": "p"}}},
    });
    edit(&mut object);
    let object: CollectionBackup = serde_json::from_value(object).unwrap();
    BackupSpec::validate(&object).unwrap()
}

pub(super) fn once() -> BackupSpec {
    policy(|_| {})
}

pub(super) fn nightly() -> BackupSpec {
    policy(|object| object["spec"]["schedule"] = json!({"cron": "0 3 * * *"}))
}

pub(super) fn observed(now: &str) -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        drill_cluster: None,
        store: Sight::Seen(Ok(())),
        key: Sight::Seen(Ok(())),
        no_module: None,
        ledger: Sight::Seen(None),
        keeps_notes: true,
        failed: None,
        intent: None,
        jobs: Vec::new(),
        restoring: BTreeMap::new(),
        now: at(now),
    }
}

pub(super) fn attempt(order: &str, stage: Stage) -> Attempt {
    Attempt {
        order: order.to_owned(),
        run: Some("r1".to_owned()),
        stage,
        objects: 3,
        bytes: 30,
        pace: None,
        started_at: at("2026-05-02T03:00:01Z"),
        updated_at: at("2026-05-02T03:00:09Z"),
        message: (stage == Stage::Failed).then(|| "disk full".to_owned()),
        is_permanent: false,
        is_strangers: false,
        lacks_room: false,
        retired: Vec::new(),
        trouble: None,
        profile: None,
    }
}

pub(super) fn note(id: &str) -> RunNote {
    RunNote {
        id: id.to_owned(),
        objects: 3,
        bytes: 30,
        started_at: at("2026-05-02T03:00:01Z"),
        finished_at: at("2026-05-02T03:01:00Z"),
        verified_at: Some(at("2026-05-02T03:02:00Z")),
        suspect: Vec::new(),
        is_damaged: false,
        left_out: BTreeMap::new(),
        total_left_out: 0,
    }
}

pub(super) fn ledger(attempt: Attempt, runs: Vec<RunNote>) -> Sight<Option<BackupLedger>> {
    let totals = Totals { runs: 1, bytes: 30, verified: 1, suspect: 0 };
    Sight::Seen(Some(BackupLedger { attempt: Some(attempt), runs, totals, ..BackupLedger::default() }))
}

pub(super) fn job(spec: &BackupSpec, order: &str, state: JobState) -> JobView {
    JobView { name: spec.job(order), state, watches: false, idle_since: None }
}

/// Every condition in a word.
pub(super) fn shown(plan: &Plan) -> String {
    let word = |finding: &Finding| {
        let sign = match finding.value {
            Truth::True => "",
            Truth::False => "!",
            Truth::Unknown => "?",
        };
        format!("{sign}{}:{}", finding.kind, finding.reason)
    };
    plan.findings.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub(super) fn started(plan: &Plan) -> Option<Intent> {
    match &plan.step {
        Some(Step::Start { intent, .. }) => Some(intent.clone()),
        _ => None,
    }
}

#[test]
fn without_a_schedule_there_is_exactly_one_run() {
    let spec = once();
    let mut seen = observed("2026-05-02T12:00:00Z");
    let first = plan(&spec, &seen);
    let intent = started(&first).unwrap();
    assert_eq!(shown(&first), "!Ready:Running ?Verified:NoRun Reconciling:Running Running:Running");
    // The status, the ledger and the intent are lost: the same order again, which the store knows.
    assert_eq!(started(&plan(&spec, &observed("2027-01-01T00:00:00Z"))).unwrap().order, intent.order);
    seen.intent = Some(intent.clone());
    seen.jobs = vec![job(&spec, &intent.order, JobState::Active)];
    assert_eq!(plan(&spec, &seen).step, None);
    seen.ledger = ledger(attempt(&intent.order, Stage::Done), vec![note("r1")]);
    seen.jobs = vec![job(&spec, &intent.order, JobState::Succeeded)];
    for _ in 0..2 {
        let done = plan(&spec, &seen);
        assert_eq!((done.step.clone(), shown(&done).as_str()), (None, "Ready:Complete Verified:Verified"));
        seen.jobs.clear();
        seen.now += SignedDuration::from_hours(1000);
    }
    // Another spec is no reason for another run; a person's word is, once.
    let again = policy(|object| object["metadata"]["annotations"]["elysia.dev/run-now"] = json!("1"));
    let second = started(&plan(&again, &seen)).unwrap();
    assert_eq!(second.run_now.as_deref(), Some("1"));
    assert_ne!(second.order, intent.order);
    seen.intent = Some(second.clone());
    seen.ledger = ledger(attempt(&second.order, Stage::Done), vec![note("r2"), note("r1")]);
    assert_eq!(plan(&again, &seen).step, None);
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let spec = nightly();
    for (what, due, now, expected) in [
        ("made after today's time", None, "2026-05-01T20:00:00Z", None),
        ("the first night", None, "2026-05-02T03:00:00Z", Some("2026-05-02T03:00:00Z")),
        ("served", Some("2026-05-02T03:00:00Z"), "2026-05-02T20:00:00Z", None),
        ("the next night", Some("2026-05-02T03:00:00Z"), "2026-05-03T03:00:05Z", Some("2026-05-03T03:00:00Z")),
        ("missed for a week", Some("2026-05-02T03:00:00Z"), "2026-05-09T10:00:00Z", Some("2026-05-09T03:00:00Z")),
        (
            "a clock that was years ahead",
            Some("2030-05-02T03:00:00Z"),
            "2026-05-09T10:00:00Z",
            Some("2026-05-09T03:00:00Z"),
        ),
        ("one that was, and nothing was due", Some("2026-05-02T03:00:00Z"), "2026-05-01T20:00:00Z", None),
        ("clocks that differ", Some("2026-05-02T03:00:00Z"), "2026-05-02T02:59:00Z", None),
    ] {
        let mut seen = observed(now);
        if let Some(due) = due.map(at) {
            let order = spec.at(due);
            seen.ledger = ledger(attempt(&order, Stage::Done), vec![note("r1")]);
            seen.intent = Some(Intent { order, due: Some(due), run_now: None, drilled: None });
        }
        let plan = plan(&spec, &seen);
        assert_eq!(started(&plan).and_then(|intent| intent.due), expected.map(at), "{what}");
        assert!(plan.findings[0].value == Truth::True, "{what}: a run moves Running, never Ready: {}", shown(&plan));
        assert!(plan.next_run.is_some_and(|next| next > seen.now), "{what}");
    }
}

#[test]
fn one_run_at_a_time_and_none_is_forgotten() {
    let spec = nightly();
    let due = at("2026-05-02T03:00:00Z");
    let mut seen = observed("2026-05-03T04:00:00Z");
    let order = spec.at(due);
    seen.intent = Some(Intent { order: order.clone(), due: Some(due), run_now: None, drilled: None });
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    assert_eq!(plan(&spec, &seen).step, None, "it has been at it for a day");
    seen.jobs.clear();
    seen.ledger = ledger(attempt(&order, Stage::Done), vec![note("r1")]);
    assert_eq!(started(&plan(&spec, &seen)).unwrap().due, Some(at("2026-05-03T03:00:00Z")));
    // A pod that outlives a Job that is gone.
    seen.jobs = vec![job(&spec, "other", JobState::Active)];
    assert_eq!(plan(&spec, &seen).step, None);
}

#[test]
fn run_now_goes_before_the_schedule_also_while_that_is_suspended() {
    let suspended = |word: Option<&str>| {
        policy(|object| {
            object["spec"]["schedule"] = json!({"cron": "0 3 * * *", "suspend": true});
            object["metadata"]["annotations"] = json!({"elysia.dev/run-now": word});
            if word.is_none() {
                object["metadata"]["annotations"] = json!({});
            }
        })
    };
    let mut seen = observed("2026-05-03T04:00:00Z");
    let idle = plan(&suspended(None), &seen);
    assert_eq!((idle.step.clone(), shown(&idle).as_str()), (None, "Ready:Scheduled ?Verified:NoRun"));
    assert!(idle.findings[0].message.contains("suspend"), "{}", idle.findings[0].message);
    let spec = suspended(Some("x"));
    let intent = started(&plan(&spec, &seen)).unwrap();
    assert_eq!((intent.due, intent.run_now.as_deref()), (None, Some("x")));
    seen.intent = Some(intent.clone());
    seen.ledger = ledger(attempt(&intent.order, Stage::Done), vec![note("r1")]);
    assert_eq!(plan(&spec, &seen).step, None, "dealt with once");
    assert_eq!(plan(&suspended(None), &seen).step, None, "taking the annotation away starts nothing");
}

#[test]
fn nothing_starts_while_something_is_unknown_or_missing() {
    let spec = once();
    let cases: [Case; 8] = [
        (
            "no cluster",
            |seen| seen.cluster = ClusterSight::Missing,
            "!Ready:ClusterMissing ?Verified:NoRun Stalled:ClusterMissing",
        ),
        (
            "hibernated, or a node is missing",
            |seen| seen.cluster = ClusterSight::Unfit("it hibernates".to_owned()),
            "!Ready:ClusterNotReady ?Verified:NoRun Reconciling:ClusterNotReady",
        ),
        (
            "no Secret",
            |seen| seen.store = Sight::Seen(Err("Secret k does not exist".to_owned())),
            "!Ready:StoreMissing ?Verified:NoRun Stalled:StoreMissing",
        ),
        (
            "no key to encrypt with",
            |seen| seen.key = Sight::Seen(Err("Secret k has no key key".to_owned())),
            "!Ready:SecretMissing ?Verified:NoRun Stalled:SecretMissing",
        ),
        (
            "a key that could not be read",
            |seen| seen.key = Sight::unseen(BlindnessKind::Failed, "no answer"),
            "!Ready:Unknown ?Verified:NoRun Reconciling:Unknown",
        ),
        (
            "a Secret that could not be read",
            |seen| seen.store = Sight::unseen(BlindnessKind::Failed, "no answer"),
            "!Ready:Unknown ?Verified:NoRun Reconciling:Unknown",
        ),
        (
            "a pod that outlives its Job",
            |seen| {
                let name = "nightly-old".to_owned();
                seen.jobs = vec![JobView { name, state: JobState::Active, watches: false, idle_since: None }];
            },
            "!Ready:Running ?Verified:NoRun Reconciling:Running",
        ),
        (
            "a ledger that could not be read",
            |seen| seen.ledger = Sight::unseen(BlindnessKind::Failed, "no answer"),
            "?Ready:Unknown ?Verified:Unknown",
        ),
    ];
    for (what, edit, expected) in cases {
        let mut seen = observed("2026-05-01T12:00:10Z");
        edit(&mut seen);
        let plan = plan(&spec, &seen);
        assert_eq!((shown(&plan).as_str(), plan.step.clone()), (expected, None), "{what}");
        assert!(plan.recheck.is_some(), "{what}");
    }
    let paused = policy(|object| object["metadata"]["annotations"]["elysia.dev/paused"] = json!("true"));
    let plan = plan(&paused, &observed("2026-05-01T12:00:10Z"));
    assert_eq!(plan.step, None);
    assert!(shown(&plan).ends_with("Stalled:Paused"), "{}", shown(&plan));
}

#[test]
fn a_run_that_cannot_begin_for_its_deadline_needs_a_person() {
    let spec = policy(|object| {
        object["spec"]["schedule"] = json!({"cron": "0 3 * * *"});
        object["spec"]["deadline"] = json!("6h");
    });
    let mut seen = observed("2026-05-02T03:00:10Z");
    seen.cluster = ClusterSight::Unfit("a node is missing".to_owned());
    assert!(shown(&plan(&spec, &seen)).ends_with("Reconciling:ClusterNotReady"));
    seen.now = at("2026-05-02T09:00:01Z");
    assert!(shown(&plan(&spec, &seen)).ends_with("Stalled:ClusterNotReady"));
    seen.cluster = ClusterSight::Fit;
    assert_eq!(started(&plan(&spec, &seen)).unwrap().due, Some(at("2026-05-02T03:00:00Z")), "late, and not left out");
}

#[test]
fn what_cannot_begin_waits_since_the_first_time_that_was_missed() {
    let hourly = |deadline: &str| {
        policy(|object| {
            object["spec"]["schedule"] = json!({"cron": "0 * * * *"});
            object["spec"]["deadline"] = json!(deadline);
        })
    };
    let default = nightly();
    for (what, spec, served, now, is_stalled) in [
        ("for less than its deadline", hourly("6h"), Some("2026-05-02T03:00:00Z"), "2026-05-02T10:00:00Z", false),
        ("for more, and times went by", hourly("6h"), Some("2026-05-02T03:00:00Z"), "2026-05-02T10:00:01Z", true),
        ("for weeks", hourly("6h"), Some("2026-05-02T03:00:00Z"), "2026-05-22T10:30:00Z", true),
        ("from the first time on", hourly("6h"), None, "2026-05-01T19:00:01Z", true),
        ("from the first time on, and not for long", hourly("6h"), None, "2026-05-01T18:59:59Z", false),
        (
            "the next night's time has come",
            default.clone(),
            Some("2026-05-02T03:00:00Z"),
            "2026-05-04T02:59:59Z",
            false,
        ),
        ("and another one", default, Some("2026-05-02T03:00:00Z"), "2026-05-04T03:00:01Z", true),
    ] {
        let mut seen = observed(now);
        seen.cluster = ClusterSight::Unfit("a node is missing".to_owned());
        if let Some(due) = served.map(at) {
            let order = spec.at(due);
            seen.ledger = ledger(attempt(&order, Stage::Done), vec![note("r1")]);
            seen.intent = Some(Intent { order, due: Some(due), run_now: None, drilled: None });
        }
        let plan = plan(&spec, &seen);
        assert_eq!(shown(&plan).ends_with("Stalled:ClusterNotReady"), is_stalled, "{what}: {}", shown(&plan));
    }
}

#[test]
fn the_time_that_is_due_is_the_first_one_without_a_good_run() {
    let hourly = policy(|object| object["spec"]["schedule"] = json!({"cron": "0 * * * *"}));
    let suspended = policy(|object| object["spec"]["schedule"] = json!({"cron": "0 * * * *", "suspend": true}));
    for (what, spec, last_success, now, expected) in [
        ("without a schedule", once(), None, "2026-05-02T12:00:00Z", None),
        ("while it is suspended", suspended, Some("2026-05-02T03:01:00Z"), "2026-05-02T12:00:00Z", None),
        ("before the first time", hourly.clone(), None, "2026-05-01T12:59:59Z", None),
        ("no run ever", hourly.clone(), None, "2026-05-03T12:30:00Z", Some("2026-05-01T13:00:00Z")),
        (
            "every time has its run",
            hourly.clone(),
            Some("2026-05-02T03:01:00Z"),
            "2026-05-02T03:59:00Z",
            Some("2026-05-02T03:00:00Z"),
        ),
        (
            "runs failed for weeks, and times go by",
            hourly.clone(),
            Some("2026-05-02T03:01:00Z"),
            "2026-05-20T12:30:00Z",
            Some("2026-05-02T04:00:00Z"),
        ),
        (
            "a run took longer than an hour",
            hourly,
            Some("2026-05-02T05:10:00Z"),
            "2026-05-02T05:20:00Z",
            Some("2026-05-02T05:00:00Z"),
        ),
        ("nightly", nightly(), Some("2026-05-02T03:01:00Z"), "2026-05-05T12:30:00Z", Some("2026-05-03T03:00:00Z")),
    ] {
        assert_eq!(due(&spec, last_success.map(at), at(now)), expected.map(at), "{what}");
    }
}

#[test]
fn what_failed_stays_failed_until_the_next_time() {
    let spec = nightly();
    let due = at("2026-05-02T03:00:00Z");
    let order = spec.at(due);
    let mut seen = observed("2026-05-02T04:00:00Z");
    seen.intent = Some(Intent { order: order.clone(), due: Some(due), run_now: None, drilled: None });
    seen.ledger = ledger(attempt(&order, Stage::Failed), vec![note("r0")]);
    let plan_now = plan(&spec, &seen);
    assert_eq!(
        (plan_now.step.clone(), shown(&plan_now).as_str()),
        (None, "!Ready:RunFailed Verified:Verified Stalled:RunFailed")
    );
    assert!(plan_now.findings[0].message.contains("disk full"));
    assert_eq!(plan_now.run.unwrap().state, BackupState::Failed);
    // A pod still tries.
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    assert!(shown(&plan(&spec, &seen)).ends_with("Running:Running"));
    seen.jobs.clear();
    seen.now = at("2026-05-03T03:00:00Z");
    assert_eq!(started(&plan(&spec, &seen)).unwrap().due, Some(seen.now));
    // Without a schedule nobody comes but a person.
    let spec = once();
    let order = spec.once();
    seen.intent = Some(Intent { order: order.clone(), due: None, run_now: None, drilled: None });
    seen.ledger = ledger(attempt(&order, Stage::Failed), Vec::new());
    assert_eq!(shown(&plan(&spec, &seen)), "!Ready:RunFailed ?Verified:NoRun Stalled:RunFailed");
}

#[test]
fn a_strangers_prefix_needs_a_person_at_once() {
    let spec = nightly();
    let due = at("2026-05-02T03:00:00Z");
    let order = spec.at(due);
    let mut seen = observed("2026-05-02T04:00:00Z");
    seen.intent = Some(Intent { order: order.clone(), due: Some(due), run_now: None, drilled: None });
    seen.ledger = ledger(Attempt { is_strangers: true, is_permanent: true, ..attempt(&order, Stage::Failed) }, vec![]);
    assert_eq!(shown(&plan(&spec, &seen)), "!Ready:NotOwner ?Verified:NoRun Stalled:NotOwner");
}

#[test]
fn without_room_it_is_looked_again_after_an_hour() {
    let spec = nightly();
    let due = at("2026-05-02T03:00:00Z");
    let order = spec.at(due);
    let name = spec.job(&order);
    let short = Attempt { lacks_room: true, is_permanent: true, run: None, ..attempt(&order, Stage::Failed) };
    let look = |now: &str, has_job: bool, is_missing: bool| {
        let mut seen = observed(now);
        seen.intent = Some(Intent { order: order.clone(), due: Some(due), run_now: None, drilled: None });
        seen.ledger = ledger(short.clone(), vec![]);
        if has_job {
            seen.jobs = vec![job(&spec, &order, JobState::Failed("gave up".to_owned()))];
        }
        if is_missing {
            seen.cluster = ClusterSight::Missing;
        }
        let plan = plan(&spec, &seen);
        assert_eq!(shown(&plan), "!Ready:NoRoom ?Verified:NoRun Stalled:NoRoom", "{now}");
        plan.step
    };
    assert_eq!(look("2026-05-02T03:59:00Z", true, false), None);
    assert_eq!(look("2026-05-02T04:00:09Z", true, false), Some(Step::ForgetJob { name: name.clone() }));
    let Some(Step::Start { intent, .. }) = look("2026-05-02T04:00:09Z", false, false) else {
        panic!("it is not begun")
    };
    assert_eq!(intent.order, order);
    assert_eq!(look("2026-05-02T04:00:09Z", false, true), None, "what keeps any run keeps this one");
}

#[test]
fn a_job_that_failed_without_a_word_is_noted_once() {
    let spec = once();
    let order = spec.once();
    let mut seen = observed("2026-05-02T04:00:00Z");
    seen.intent = Some(Intent { order: order.clone(), due: None, run_now: None, drilled: None });
    seen.jobs = vec![job(&spec, &order, JobState::Failed("deadline".to_owned()))];
    let first = plan(&spec, &seen);
    let Some(Step::NoteFailure(failed)) = first.step.clone() else { panic!("{first:?}") };
    seen.failed = Some(failed);
    assert_eq!(plan(&spec, &seen).step, None);
    seen.jobs.clear();
    let after = plan(&spec, &seen);
    assert_eq!((after.step.clone(), shown(&after)), (None, shown(&first)), "the Job's record was cleared away");
}

#[test]
fn a_ledger_that_is_deleted_under_a_worker_is_made_anew() {
    for spec in [once(), nightly()] {
        let mut seen = observed("2026-05-02T04:00:00Z");
        seen.keeps_notes = false;
        seen.jobs = vec![job(&spec, &spec.once(), JobState::Active)];
        assert_eq!(plan(&spec, &seen).step, Some(Step::MakeLedger));
        seen.ledger = Sight::unseen(crate::sight::BlindnessKind::Failed, "not asked");
        assert_eq!(plan(&spec, &seen).step, None, "what cannot be seen is not missing");
    }
}

#[test]
fn a_lost_ledger_lets_the_job_come_again() {
    let spec = once();
    let order = spec.once();
    let mut seen = observed("2026-05-02T04:00:00Z");
    seen.jobs = vec![job(&spec, &order, JobState::Succeeded)];
    assert_eq!(plan(&spec, &seen).step, Some(Step::ForgetJob { name: spec.job(&order) }));
    seen.jobs.clear();
    assert_eq!(started(&plan(&spec, &seen)).unwrap().order, order);
}

#[test]
fn a_suspect_run_is_accepted_by_its_hash_and_once() {
    let spec = nightly();
    let due = at("2026-05-02T03:00:00Z");
    let order = spec.at(due);
    let mut seen = observed("2026-05-02T04:00:00Z");
    seen.intent = Some(Intent { order: order.clone(), due: Some(due), run_now: None, drilled: None });
    let mut suspect = note("r2");
    suspect.suspect = vec!["it lacks collection Notes".to_owned()];
    seen.ledger = ledger(attempt(&order, Stage::Done), vec![suspect.clone(), note("r1")]);
    let shows = plan(&spec, &seen);
    assert_eq!(
        (shows.step.clone(), shown(&shows).as_str()),
        (None, "!Ready:Suspect Verified:Verified Stalled:Suspect")
    );
    let hash = shows.shown.unwrap().hash;
    let approved = |hash: &str| {
        policy(|object| {
            object["spec"]["schedule"] = json!({"cron": "0 3 * * *"});
            object["metadata"]["annotations"]["elysia.dev/approve"] = json!(hash);
        })
    };
    assert_eq!(plan(&approved("0123456789ab"), &seen).step, None);
    let spec = approved(&hash);
    let Some(Step::Start { intent, task }) = plan(&spec, &seen).step else { panic!("nothing starts") };
    assert_eq!((task, intent.due), (Task::Accept { run: "r2".to_owned() }, Some(due)));
    seen.intent = Some(intent.clone());
    seen.ledger = ledger(attempt(&intent.order, Stage::Done), vec![note("r2"), note("r1")]);
    let after = plan(&spec, &seen);
    assert_eq!((after.step.clone(), shown(&after).as_str()), (None, "Ready:Scheduled Verified:Verified"));
    // The approval stays on the object and is inert: another Suspect run has another hash.
    suspect.id = "r3".to_owned();
    seen.ledger = ledger(attempt(&intent.order, Stage::Done), vec![suspect.clone(), note("r2")]);
    assert_eq!(plan(&spec, &seen).step, None);
    // What is not what was written cannot be accepted.
    suspect.is_damaged = true;
    seen.ledger = ledger(attempt(&intent.order, Stage::Done), vec![suspect]);
    let damaged = plan(&spec, &seen);
    assert_eq!(shown(&damaged), "!Ready:VerificationFailed !Verified:VerificationFailed Stalled:VerificationFailed");
    assert_eq!((damaged.step, damaged.shown), (None, None));
}

#[test]
fn a_collection_that_is_being_restored_is_left_out() {
    let some = policy(|object| object["spec"]["collections"] = json!(["Articles", "Notes"]));
    let one = policy(|object| object["spec"]["collections"] = json!(["Articles"]));
    let mut seen = observed("2026-05-02T04:00:00Z");
    let restores = [("Articles", "back"), ("Others", "elsewhere")];
    seen.restoring = restores.iter().map(|(name, by)| ((*name).to_owned(), (*by).to_owned())).collect();
    let left_out = |spec: &BackupSpec| match plan(spec, &seen).step {
        Some(Step::Start { task: Task::Run { left_out }, .. }) => left_out.into_keys().collect::<Vec<_>>(),
        step => panic!("{step:?}"),
    };
    assert_eq!(left_out(&some), ["Articles"]);
    assert_eq!(left_out(&once()), ["Articles", "Others"]);
    let plan = plan(&one, &seen);
    assert_eq!(plan.step, None);
    assert!(shown(&plan).ends_with("Reconciling:RestoreUnfinished"), "{}", shown(&plan));
}

#[test]
fn the_servers_are_asked_only_where_their_spec_has_the_module() {
    let native = policy(|object| object["spec"]["engine"] = json!("Native"));
    assert_eq!((native.engine, native.cold_tenants), (Engine::Native, ColdTenants::Refuse));
    let mut seen = observed("2026-05-02T04:00:00Z");
    assert!(started(&plan(&native, &seen)).is_some());
    seen.no_module = Some("set spec.managed.backup.s3".to_owned());
    let waits = plan(&native, &seen);
    assert_eq!(
        (waits.step.clone(), shown(&waits).as_str()),
        (None, "!Ready:StoreMissing ?Verified:NoRun Stalled:StoreMissing")
    );
    assert!(started(&plan(&once(), &seen)).is_some(), "nobody else needs it");
}

#[test]
fn how_fast_a_run_goes_is_told_while_it_reads() {
    let spec = once();
    let object: CollectionBackup = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup", "metadata": {"name": "nightly"},
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "b"}}},
    }))
    .unwrap();
    let mut seen = observed("2026-05-02T03:00:12Z");
    let intent = started(&plan(&spec, &seen)).unwrap();
    seen.jobs = vec![job(&spec, &intent.order, JobState::Active)];
    seen.intent = Some(intent.clone());
    for (stage, wanted) in [(Stage::Writing, Some((Some(50), Some(2)))), (Stage::Verifying, None)] {
        let pace = crate::pace::Pace { done: 3, total: Some(93), objects_per_second: Some(50), ..Default::default() };
        seen.ledger = ledger(Attempt { pace: Some(pace), ..attempt(&intent.order, stage) }, vec![]);
        let run = status(&object, &spec, &seen, &plan(&spec, &seen), None, seen.now).run.unwrap();
        assert_eq!(run.progress.map(|told| (told.objects_per_second, told.seconds_left)), wanted, "{stage:?}");
    }
}
