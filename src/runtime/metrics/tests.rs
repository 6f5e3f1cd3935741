//! What is told of objects, and that the documentation lists it.

use std::collections::BTreeSet;

use elysia_api::index_source::{CheckpointStatus, Counts, Lag, RunState, Throughput};
use elysia_core::feed::PutOff;
use serde_json::json;

use super::*;

/// The documentation of the metrics.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
/// The alerts of the chart.
const RULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/elysia-operator/templates/prometheusrule.yaml");

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn collection(status: serde_json::Value) -> ElysiaCollection {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let mut status = status;
    status["conditions"] =
        json!([condition("Ready", "False", "NeedsApproval"), condition("Stalled", "True", "NeedsApproval")]);
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "collection": "Articles"},
        "status": status,
    }))
    .unwrap()
}

/// The series of one object, as they are scraped.
fn series(metrics: &Metrics, now: Timestamp) -> Vec<String> {
    metrics.text(now).lines().filter(|line| line.contains(r#"name="articles""#)).map(str::to_owned).collect()
}

fn told(metrics: &Metrics, object: &ElysiaCollection, copies: Option<usize>) {
    metrics.collection(object, object.status.as_ref().unwrap(), copies);
}

#[test]
fn a_collection_has_its_series_and_they_go_with_it() {
    let metrics = Metrics::new().unwrap();
    let object = collection(json!({
        "objects": {"count": 1250, "at": "2026-01-01T00:00:00Z", "source": "ids"},
        "replication": {"desired": 3, "lowest": 1, "behindTotal": 2},
        "drift": [
            {"path": "a", "verdict": "Recreate", "since": "2026-01-01T00:00:00Z"},
            {"path": "b", "verdict": "Adopt", "since": "2026-01-01T00:00:00Z"},
            {"path": "c", "verdict": "Adopt", "since": "2026-01-01T00:00:00Z"},
        ],
        "plan": {"hash": "h", "action": "Recreate", "destructive": true, "totalSteps": 9, "waitingFor": "approval",
                 "since": "1970-01-01T00:01:40Z"},
        "verification": {"at": "1970-01-01T00:00:50Z", "sampled": 100, "replicas": 3, "missing": 2, "orphaned": 0,
                         "different": 1, "unread": 0},
    }));
    told(&metrics, &object, Some(4));
    insta::assert_snapshot!(series(&metrics, at(160)).join("\n"), @r#"
    elysia_collection_copies_running{name="articles",namespace="ai"} 4
    elysia_collection_drift_entries{name="articles",namespace="ai",verdict="Adopt"} 2
    elysia_collection_drift_entries{name="articles",namespace="ai",verdict="Recreate"} 1
    elysia_collection_drift_entries{name="articles",namespace="ai",verdict="Report"} 0
    elysia_collection_drift_entries{name="articles",namespace="ai",verdict="Revert"} 0
    elysia_collection_objects{name="articles",namespace="ai"} 1250
    elysia_collection_plan_age_seconds{name="articles",namespace="ai"} 60
    elysia_collection_plan_waiting{name="articles",namespace="ai"} 1
    elysia_collection_replicas{name="articles",namespace="ai",which="lowest"} 1
    elysia_collection_replicas{name="articles",namespace="ai",which="wanted"} 3
    elysia_collection_shards_behind{name="articles",namespace="ai"} 2
    elysia_collection_verification_objects{name="articles",namespace="ai",which="different"} 1
    elysia_collection_verification_objects{name="articles",namespace="ai",which="missing"} 2
    elysia_collection_verification_objects{name="articles",namespace="ai",which="orphaned"} 0
    elysia_collection_verification_objects{name="articles",namespace="ai",which="sampled"} 100
    elysia_collection_verification_objects{name="articles",namespace="ai",which="unread"} 0
    elysia_collection_verification_timestamp_seconds{name="articles",namespace="ai"} 50
    elysia_ready{kind="ElysiaCollection",name="articles",namespace="ai"} 0
    elysia_stalled{kind="ElysiaCollection",name="articles",namespace="ai",reason="NeedsApproval"} 1
    "#);
    metrics.forget_gone("ElysiaCollection", |_, _| true);
    assert_eq!(series(&metrics, at(160)).len(), 19);
    metrics.forget_gone("WeaviateCluster", |_, _| false);
    assert_eq!(series(&metrics, at(160)).len(), 19);
    metrics.forget_gone("ElysiaCollection", |namespace, name| (namespace, name) != ("ai", "articles"));
    assert_eq!(series(&metrics, at(170)), Vec::<String>::new());
}

#[test]
fn what_is_not_known_any_more_has_no_series() {
    let metrics = Metrics::new().unwrap();
    let known = collection(json!({
        "objects": {"count": 5, "at": "2026-01-01T00:00:00Z", "source": "ids"},
        "replication": {"desired": 3, "lowest": 3, "behindTotal": 0},
        "plan": {"hash": "h", "action": "Copy", "destructive": false, "totalSteps": 1, "since": "1970-01-01T00:01:40Z"},
    }));
    told(&metrics, &known, Some(0));
    let mut unknown = collection(json!({"replication": {"desired": 3}}));
    unknown.status.as_mut().unwrap().conditions.retain(|condition| condition.type_ == "Ready");
    told(&metrics, &unknown, None);
    let left = series(&metrics, at(160));
    for gone in ["copies_running", "objects{", "plan_age", "lowest", "shards_behind", "stalled", "verification"] {
        assert!(!left.iter().any(|line| line.contains(gone)), "{gone}: {left:#?}");
    }
    assert!(left.iter().any(|line| line.contains("wanted") && line.ends_with(" 3")), "{left:#?}");
}

#[test]
fn another_reason_takes_the_place_of_the_one_before() {
    let metrics = Metrics::new().unwrap();
    let mut object = collection(json!({}));
    told(&metrics, &object, None);
    for condition in &mut object.status.as_mut().unwrap().conditions {
        condition.reason = "Protected".to_owned();
    }
    told(&metrics, &object, None);
    let stalled: Vec<String> =
        series(&metrics, at(0)).into_iter().filter(|line| line.starts_with("elysia_stalled")).collect();
    assert_eq!(stalled.len(), 1, "{stalled:?}");
    assert!(stalled[0].contains("Protected"), "{stalled:?}");
}

fn feed(collection: &str, conditions: &serde_json::Value) -> IndexSource {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
        "metadata": {"name": "articles", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "collection": collection, "source": {"configMap": {"name": "lines"}}},
        "status": {"conditions": conditions, "run": {"id": "1", "state": "Running"}},
    }))
    .unwrap()
}

fn condition(kind: &str, status: &str, since: &str) -> serde_json::Value {
    json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": since})
}

fn ledger() -> LedgerView {
    LedgerView {
        run: "1".to_owned(),
        state: RunState::Running,
        message: None,
        guarded: None,
        is_permanent: false,
        partitions: None,
        put_off: Some(PutOff { lines: 5, least: 9 }),
        caught_up_at: Some(at(77)),
        counts: Counts { lines: 9, added: 4, modified: 2, deleted: 1, renamed: 1, unchanged: 0, rejected: 1 },
        errors: BTreeMap::from([("network".to_owned(), 3)]),
        checkpoint: CheckpointStatus::default(),
        throughput: Throughput {
            lines_per_second: 3,
            bytes: 4_096,
            calls: 12,
            objects: 600,
            call_milliseconds: 125,
            failed_calls: 3,
            batch_objects: 250,
            parallelism: 4,
        },
        call_milliseconds: 1_500,
        lag: Some(Lag { files: 2, bytes: 900 }),
        breaker: None,
        replayed: None,
        dead_letters: Vec::new(),
        started_at: at(0),
        finished_at: None,
    }
}

#[test]
fn a_feed_has_its_series_and_they_go_with_it() {
    let metrics = Metrics::new().unwrap();
    let conditions = json!([
        condition("Ready", "True", "1970-01-01T00:00:00Z"),
        condition("CaughtUp", "False", "1970-01-01T00:01:40Z"),
        condition("CircuitClosed", "False", "1970-01-01T00:01:50Z"),
    ]);
    let object = feed("Articles", &conditions);
    metrics.feed(&object, object.status.as_ref().unwrap(), Some(&ledger()));
    let told = series(&metrics, at(160));
    let told = told.iter().map(|line| line.replace(r#"name="articles",namespace="ai""#, "…"));
    let told = told.filter(|line| !line.contains("_errors") || !line.ends_with(" 0")).collect::<Vec<_>>();
    insta::assert_snapshot!(told.join("\n"), @r#"
    elysia_feed_batch_objects{collection="Articles",…} 250
    elysia_feed_batches_in_flight{collection="Articles",…} 4
    elysia_feed_behind_seconds{collection="Articles",…} 60
    elysia_feed_bytes{collection="Articles",…} 4096
    elysia_feed_call_objects{collection="Articles",…} 600
    elysia_feed_call_seconds{collection="Articles",…} 1.5
    elysia_feed_calls{collection="Articles",…,outcome="confirmed"} 12
    elysia_feed_calls{collection="Articles",…,outcome="failed"} 3
    elysia_feed_circuit_open{collection="Articles",…} 1
    elysia_feed_errors{category="network",collection="Articles",…} 3
    elysia_feed_lag_bytes{collection="Articles",…} 900
    elysia_feed_lag_files{collection="Articles",…} 2
    elysia_feed_lines{collection="Articles",…,outcome="added"} 4
    elysia_feed_lines{collection="Articles",…,outcome="deleted"} 1
    elysia_feed_lines{collection="Articles",…,outcome="modified"} 2
    elysia_feed_lines{collection="Articles",…,outcome="rejected"} 1
    elysia_feed_lines{collection="Articles",…,outcome="renamed"} 1
    elysia_feed_lines{collection="Articles",…,outcome="unchanged"} 0
    elysia_feed_state{collection="Articles",…,state="Failed"} 0
    elysia_feed_state{collection="Articles",…,state="Pending"} 0
    elysia_feed_state{collection="Articles",…,state="Running"} 1
    elysia_feed_state{collection="Articles",…,state="Skipped"} 0
    elysia_feed_state{collection="Articles",…,state="Succeeded"} 0
    elysia_feed_state{collection="Articles",…,state="Waiting"} 0
    elysia_feed_success_timestamp_seconds{collection="Articles",…} 77
    elysia_feed_waiting_lines{collection="Articles",…} 5
    elysia_ready{kind="IndexSource",…} 1
    "#);
    // Not known any more, it has none of its ledger.
    metrics.feed(&object, object.status.as_ref().unwrap(), None);
    assert!(!metrics.text(at(160)).contains("elysia_feed_lines{"));
    // Another object of the name writes another collection.
    let other = feed("Notes", &conditions);
    metrics.feed(&other, other.status.as_ref().unwrap(), Some(&ledger()));
    assert!(!metrics.text(at(160)).contains("Articles"));
    metrics.forget_gone("IndexSource", |_, _| false);
    assert_eq!(series(&metrics, at(170)), Vec::<String>::new());
}

#[test]
fn a_feed_is_behind_since_it_was_caught_up_last() {
    let metrics = Metrics::new().unwrap();
    let behind = |status: &str, since: &str, now: i64| {
        let object = feed("Articles", &json!([condition("CaughtUp", status, since)]));
        metrics.feed(&object, object.status.as_ref().unwrap(), None);
        let told = series(&metrics, at(now)).into_iter().find(|line| line.contains("behind")).unwrap();
        told.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(behind("False", "1970-01-01T00:00:10Z", 30), "20");
    assert_eq!(behind("Unknown", "1970-01-01T00:00:40Z", 50), "40");
    assert_eq!(behind("True", "1970-01-01T00:01:00Z", 70), "0");
    assert_eq!(behind("False", "1970-01-01T00:01:20Z", 90), "10");
}

#[test]
fn happenings_are_counted_by_their_outcome() {
    let metrics = Metrics::new().unwrap();
    let many = |what, count| Happening { count, ..Happening::new(what, "") };
    metrics.happened(&[
        many(Happened::CopiesStarted, 7),
        many(Happened::CopiesEnded, 4),
        many(Happened::CopiesFailed, 2),
        many(Happened::CopyRecordsDropped, 1),
        many(Happened::ReplicasRemoved, 3),
        many(Happened::RecreationVoided, 1),
        many(Happened::Verified, 1),
    ]);
    metrics.deletion(&Outcome::Kept(String::new()));
    metrics.repaired("Copy", SignedDuration::from_secs(90));
    let text = metrics.text(at(0));
    for line in [
        "elysia_collection_copies_started_total 7",
        r#"elysia_collection_copies_ended_total{outcome="done"} 4"#,
        r#"elysia_collection_copies_ended_total{outcome="failed"} 2"#,
        r#"elysia_collection_copies_ended_total{outcome="dropped"} 1"#,
        "elysia_collection_replicas_removed_total 3",
        r#"elysia_collection_recreations_total{outcome="voided"} 1"#,
        r#"elysia_collection_recreations_total{outcome="recreated"} 0"#,
        r#"elysia_collection_deletions_total{outcome="kept"} 1"#,
        r#"elysia_collection_repair_duration_seconds_bucket{action="Copy",le="300"} 1"#,
        r#"elysia_collection_repair_duration_seconds_sum{action="Copy"} 90"#,
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
    }
}

/// The rows of the first table of the document.
fn documented() -> Vec<Family> {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `elysia_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help] = cells.as_slice() else { panic!("four columns are needed: {row}") };
        let kinds = ["gauge", "counter", "histogram"];
        Family {
            name: format!("elysia_{}", name.trim_end_matches('`')),
            kind: kinds.into_iter().find(|known| known == kind).unwrap_or_else(|| panic!("no such type: {kind}")),
            labels: labels.replace('`', ""),
            help: (*help).to_owned(),
        }
    })
    .collect()
}

#[test]
fn every_metric_has_a_line_in_the_documentation_and_every_line_a_metric() {
    let made: BTreeSet<Family> = Metrics::new().unwrap().inner.families.iter().cloned().collect();
    let documented: BTreeSet<Family> = documented().into_iter().collect();
    let row =
        |family: &&Family| format!("| `{}` | {} | {} | {} |", family.name, family.kind, family.labels, family.help);
    let missing: Vec<String> = made.difference(&documented).map(|family| row(&family)).collect();
    let stale: Vec<String> = documented.difference(&made).map(|family| row(&family)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing:\n{}\nstale:\n{}", missing.join("\n"), stale.join("\n"));
}

#[test]
fn each_alert_has_its_runbook() {
    let rule = std::fs::read_to_string(RULE).unwrap();
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let alerts: Vec<&str> = rule.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 6, "{alerts:?}");
    for alert in alerts {
        assert!(document.contains(&format!("### {alert}\n")), "{alert} has no section in docs/metrics.md");
    }
    assert_eq!(rule.matches("- alert: ").count(), rule.matches("runbook: docs/metrics.md#").count());
}
