//! Pictures of feeds and what follows from them.

use elysia_api::common::SecretReference;
use elysia_api::index_source::{CheckpointStatus, ConfigMapSource, Throughput};
use serde_json::json;

use super::*;
use crate::sight::BlindnessKind;

pub(super) fn spec() -> FeedSpec {
    FeedSpec {
        namespace: "n".to_owned(),
        name: "f".to_owned(),
        uid: "u".to_owned(),
        cluster: "w".to_owned(),
        collection: "A".to_owned(),
        source: Source {
            config_map: Some(ConfigMapSource { name: "lines".to_owned(), keys: Vec::new() }),
            ..Source::default()
        },
        properties: BTreeMap::new(),
        unmapped: Unmapped::Reject,
        chunking: None,
        max_rejected: None,
        delete_guard: None,
        skip_unchanged: false,
        partitions: 1,
        effort: Effort::default(),
        approve: None,
        when: When::Once,
        min_changes: None,
        rewritten: Rewritten::Refuse,
        created: Timestamp::UNIX_EPOCH,
        restart: None,
        run_now: None,
        replay: None,
        paused: false,
    }
}

pub(super) fn content(hash: &str) -> Content {
    Content::ConfigMap { name: "lines".to_owned(), files: vec![("a.jsonl".to_owned(), hash.to_owned())] }
}

pub(super) fn ledger(run: &str, state: RunState, rejected: i64) -> LedgerView {
    LedgerView {
        run: run.to_owned(),
        state,
        message: None,
        guarded: None,
        is_permanent: false,
        partitions: None,
        put_off: None,
        caught_up_at: None,
        counts: Counts { lines: 5, added: 5 - rejected, rejected, ..Counts::default() },
        errors: BTreeMap::new(),
        checkpoint: CheckpointStatus::default(),
        throughput: Throughput::default(),
        call_milliseconds: 0,
        lag: None,
        breaker: None,
        replayed: None,
        dead_letters: Vec::new(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: None,
    }
}

pub(super) fn seen(ledger: Option<LedgerView>, jobs: Vec<JobView>) -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        collection: Sight::Seen(true),
        keeps_notes: true,
        lacks_ledger: false,
        failed: None,
        protection: None,
        content: Sight::Seen(Ok(content("1"))),
        ledger: Sight::Seen(ledger),
        jobs,
        intent: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Lets the judges of GitOps see what follows.
fn record(spec: &FeedSpec, observed: &Observed, plan: &Plan) {
    let feed: IndexSource = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
        "metadata": {
            "name": "f", "namespace": "n", "generation": 1,
            "annotations": {"elysia.dev/paused": spec.paused.to_string()},
        },
        "spec": {"clusterRef": {"name": "w"}, "collection": "A", "source": {"configMap": {"name": "lines"}}},
    }))
    .unwrap();
    let status = status(&feed, spec, observed, plan, None, Timestamp::UNIX_EPOCH);
    elysia_testkit::conditions::record(&IndexSource { status: Some(status), ..feed });
}

fn check(spec: &FeedSpec, observed: &Observed, expected: &str) {
    let plan = plan(spec, observed);
    record(spec, observed, &plan);
    let ready = &plan.findings[0];
    let step = match &plan.step {
        None => "",
        Some(Step::NoteFailure(_)) => " note",
        Some(_) => " start",
    };
    assert_eq!(format!("{} {}{step}", ready.value.as_str(), ready.reason), expected, "{:?}", plan.findings);
}

#[test]
fn a_run_is_started_once_for_each_content() {
    let spec = spec();
    let run = spec.run_id(&content("1"));
    let job = |state| vec![JobView { name: spec.job(&run), state, watches: false, idle_since: None }];
    check(&spec, &seen(None, vec![]), "False Running start");
    check(&spec, &seen(None, job(JobState::Active)), "False Running");
    check(&spec, &seen(Some(ledger(&run, RunState::Running, 0)), job(JobState::Active)), "False Running");
    check(&spec, &seen(Some(ledger(&run, RunState::Succeeded, 0)), job(JobState::Succeeded)), "True Complete");
    check(&spec, &seen(Some(ledger(&run, RunState::Succeeded, 0)), vec![]), "True Complete");
    check(&spec, &seen(Some(ledger(&run, RunState::Succeeded, 2)), vec![]), "True CompleteWithRejects");
    check(&spec, &seen(Some(ledger("older", RunState::Succeeded, 0)), vec![]), "False Running start");
    let back = seen(Some(ledger("later", RunState::Succeeded, 0)), job(JobState::Succeeded));
    assert_eq!(plan(&spec, &back).step, Some(Step::ForgetJob { name: spec.job(&run) }));
}

#[test]
fn a_job_that_was_lost_is_made_again_and_one_that_failed_is_not() {
    let spec = spec();
    let run = spec.run_id(&content("1"));
    let failed = vec![JobView {
        name: spec.job(&run),
        state: JobState::Failed("backoff".to_owned()),
        watches: false,
        idle_since: None,
    }];
    check(&spec, &seen(Some(ledger(&run, RunState::Running, 0)), vec![]), "False Running start");
    check(&spec, &seen(Some(ledger(&run, RunState::Running, 0)), failed.clone()), "False RunFailed note");
    check(&spec, &seen(Some(ledger(&run, RunState::Failed, 0)), failed), "False RunFailed");
    check(&spec, &seen(Some(ledger(&run, RunState::Failed, 0)), vec![]), "False RunFailed");
}

#[test]
fn a_run_whose_job_failed_before_its_worker_wrote_is_not_made_again_when_the_job_is_cleared_away() {
    let spec = spec();
    let run = spec.run_id(&content("1"));
    let job = JobView {
        name: spec.job(&run),
        state: JobState::Failed("backoff".to_owned()),
        watches: false,
        idle_since: None,
    };
    let failed = FailedRun { run: run.clone(), message: "backoff".to_owned() };
    for ledger in [None, Some(ledger("older", RunState::Succeeded, 0)), Some(ledger(&run, RunState::Running, 0))] {
        let mut observed = seen(ledger, vec![job.clone()]);
        let noted = plan(&spec, &observed);
        assert_eq!(noted.step, Some(Step::NoteFailure(failed.clone())));
        observed.failed = Some(failed.clone());
        check(&spec, &observed, "False RunFailed");
        observed.jobs.clear();
        check(&spec, &observed, "False RunFailed");
        assert_eq!(plan(&spec, &observed).findings, noted.findings, "as long as nothing else changes");
        observed.failed = Some(FailedRun { run: "another".to_owned(), ..failed.clone() });
        check(&spec, &observed, "False Running start");
    }
    // Without an object to note it on there is nothing that could be noted.
    let lost = Observed { keeps_notes: false, ..seen(None, vec![job]) };
    check(&spec, &lost, "False RunFailed");
}

#[test]
fn a_ledger_that_is_deleted_under_a_worker_is_made_anew() {
    let spec = spec();
    let name = spec.job(&spec.run_id(&content("1")));
    for (state, step) in [(JobState::Active, Some(Step::MakeLedgers)), (JobState::Succeeded, None)] {
        let job = JobView { name: name.clone(), state, watches: false, idle_since: None };
        let lost = Observed { keeps_notes: false, lacks_ledger: true, ..seen(None, vec![job]) };
        let made = plan(&spec, &lost).step.filter(|step| *step == Step::MakeLedgers);
        assert_eq!(made, step);
        let paused = FeedSpec { paused: true, ..spec.clone() };
        assert_eq!(plan(&paused, &lost).step, None);
        let there = Observed { lacks_ledger: false, ..lost };
        assert_ne!(plan(&spec, &there).step, Some(Step::MakeLedgers));
    }
}

#[test]
fn run_now_and_a_changed_rule_make_another_run() {
    let run = spec().run_id(&content("1"));
    assert_eq!(run, spec().run_id(&content("1")));
    assert_ne!(run, spec().run_id(&content("2")));
    assert_ne!(run, FeedSpec { run_now: Some("1".to_owned()), ..spec() }.run_id(&content("1")));
    assert_ne!(run, FeedSpec { max_rejected: Some(0), ..spec() }.run_id(&content("1")));
    assert_ne!(run, FeedSpec { unmapped: Unmapped::Drop, ..spec() }.run_id(&content("1")));
    let cut = |overlap| FeedSpec { chunking: Some(Chunking { size: 1000, overlap }), ..spec() }.run_id(&content("1"));
    assert_ne!(run, cut(None));
    assert_ne!(cut(None), cut(Some(100)));
    let effort = Effort { parallelism: Some(3), ..Effort::default() };
    let delete_guard = Some(Limits { objects: Some(0), percent: None });
    assert_eq!(run, FeedSpec { delete_guard, skip_unchanged: true, effort, ..spec() }.run_id(&content("1")));
    let properties = BTreeMap::from([("content".to_owned(), "body".to_owned())]);
    assert_ne!(run, FeedSpec { properties, ..spec() }.run_id(&content("1")));
    let divided = |partitions| FeedSpec { partitions, ..spec() }.run_id(&content("1"));
    assert_eq!(run, divided(1));
    assert_ne!(divided(2), run);
    assert_ne!(divided(2), divided(3));
}

#[test]
fn nothing_starts_before_everything_is_there() {
    let spec = spec();
    let mut observed = seen(None, vec![]);
    observed.collection = Sight::Seen(false);
    check(&spec, &observed, "False CollectionMissing");
    observed.cluster = ClusterSight::Unfit("c is away".to_owned());
    check(&spec, &observed, "False ClusterNotReady");
    observed.cluster = ClusterSight::Missing;
    check(&spec, &observed, "False ClusterMissing");
    observed.content = Sight::Seen(Err("ConfigMap lines does not exist".to_owned()));
    check(&spec, &observed, "False SourceMissing");
    observed.ledger = Sight::unseen(BlindnessKind::Failed, "500");
    observed.content = Sight::Seen(Ok(content("1")));
    check(&spec, &observed, "Unknown Unknown");
    let other = vec![JobView { name: "f-older".to_owned(), state: JobState::Active, watches: false, idle_since: None }];
    check(&spec, &seen(None, other), "False Running");
    check(&FeedSpec { paused: true, ..spec }, &seen(None, vec![]), "False Running");
}

#[test]
fn the_way_to_a_bucket_is_no_part_of_the_run_but_the_bucket_is() {
    let store = |bucket: &str, region: Option<&str>, secret: Option<&str>| S3Store {
        bucket: bucket.to_owned(),
        prefix: "wiki".to_owned(),
        endpoint: None,
        region: region.map(str::to_owned),
        credentials_secret_ref: secret.map(|name| SecretReference { name: name.to_owned() }),
        ca_secret_ref: secret
            .map(|name| elysia_api::common::SecretKeyReference { name: name.to_owned(), key: "ca.crt".to_owned() }),
    };
    let id = |store: S3Store| spec().run_id(&Content::S3 { store, pattern: "*.jsonl".to_owned() });
    let one = id(store("one", None, None));
    assert_eq!(one, id(store("one", Some("eu-west-1"), Some("key"))));
    assert_ne!(one, id(store("two", None, None)));
}

#[test]
fn what_ended_the_last_worker_is_told_while_another_goes_on() {
    let run = spec().run_id(&content("1"));
    let failed = LedgerView { message: Some("access is denied".to_owned()), ..ledger(&run, RunState::Failed, 0) };
    let job = JobView { name: spec().job(&run), state: JobState::Active, watches: false, idle_since: None };
    let plan = plan(&spec(), &seen(Some(failed), vec![job]));
    assert_eq!(plan.step, None);
    assert!(plan.findings[0].message.ends_with("and another one goes on: access is denied"), "{:?}", plan.findings);
}

#[test]
fn an_open_circuit_is_told_while_its_worker_runs() {
    let spec = spec();
    let run = spec.run_id(&content("1"));
    let job = |state| vec![JobView { name: spec.job(&run), state, watches: false, idle_since: None }];
    let told = |state, breaker: bool, jobs| {
        let mut ledger = ledger(&run, state, 0);
        ledger.breaker = breaker.then(|| OpenCircuit {
            since: Timestamp::UNIX_EPOCH,
            failures: 5,
            message: "connection refused".to_owned(),
        });
        let observed = seen(Some(ledger), jobs);
        let plan = plan(&spec, &observed);
        record(&spec, &observed, &plan);
        let circuit = plan.findings.into_iter().find(|finding| finding.kind == ConditionType::CircuitClosed);
        circuit.map(|finding| (finding.value.as_str(), finding.message))
    };
    let open = "5 calls in a row failed; it is tried again after the cooldown. The last: connection refused";
    for (state, breaker, jobs, expected) in [
        (RunState::Running, true, job(JobState::Active), ("False", open)),
        (RunState::Running, false, job(JobState::Active), ("True", "calls succeed")),
        (RunState::Succeeded, false, job(JobState::Succeeded), ("True", "calls succeed")),
    ] {
        let (value, message) = told(state, breaker, jobs).unwrap();
        assert_eq!((value, message.as_str()), expected, "{state:?} {breaker}");
    }
    // Its worker is gone: nobody knows whether the next one can call.
    assert_eq!(told(RunState::Failed, true, vec![]), None);
    let unseen = plan(&spec, &seen(None, vec![]));
    assert!(unseen.findings.iter().all(|finding| finding.kind != ConditionType::CircuitClosed));
}

#[test]
fn partitions_together_may_reject_no_more_than_one_worker_may() {
    let spec = FeedSpec { partitions: 3, max_rejected: Some(2), ..spec() };
    let run = spec.run_id(&content("1"));
    check(&spec, &seen(Some(ledger(&run, RunState::Succeeded, 2)), vec![]), "True CompleteWithRejects");
    check(&spec, &seen(Some(ledger(&run, RunState::Succeeded, 3)), vec![]), "False RunFailed");
}

#[test]
fn partitions_do_not_begin_where_deletes_may_need_a_persons_word() {
    let mut observed = seen(None, vec![]);
    observed.protection = Some("A*".to_owned());
    check(&FeedSpec { partitions: 2, ..spec() }, &observed, "False InvalidSpec");
}

#[test]
fn another_number_of_partitions_waits_for_the_run_at_work() {
    let former = FeedSpec { partitions: 2, ..spec() };
    let name = former.job(&former.run_id(&content("1")));
    let job = vec![JobView { name, state: JobState::Active, watches: false, idle_since: None }];
    check(&FeedSpec { partitions: 3, ..spec() }, &seen(None, job), "False Running");
    check(&FeedSpec { partitions: 3, ..spec() }, &seen(None, vec![]), "False Running start");
}
