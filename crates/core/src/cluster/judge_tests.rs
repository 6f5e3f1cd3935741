//! What writes make of a look.

use serde_json::json;

use super::*;

/// The findings of a look at three nodes, all well or with this trouble.
fn look(trouble: Option<Reason>, was_ready: bool) -> Vec<Finding> {
    let standing = Standing {
        ready: 3,
        wanted: 3,
        serves: true,
        trouble: trouble.map(|reason| (reason, "trouble".to_owned())),
        verified: Ok("3 members".to_owned()),
        outdated: Vec::new(),
        stalls: trouble == Some(Reason::RestartRequired),
    };
    findings(&standing, was_ready, None)
}

/// Lets the judges of GitOps see what the object would say.
fn record(findings: &[Finding]) {
    let conditions = condition::merge(&[], findings, Some(1), Timestamp::UNIX_EPOCH);
    elysia_testkit::conditions::record(&json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": "n", "generation": 1},
        "status": {"observedGeneration": 1, "conditions": conditions},
    }));
}

fn shown(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| format!("{:?}={:?} {:?}", finding.kind, finding.value, finding.reason));
    lines.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_look_that_is_older_than_a_write_is_not_praised() {
    const SEEN: &str = "Available=True AsDeclared, ClusterVerified=True AsDeclared";
    let failed = |for_good| Outcome::Failed { message: "no".to_owned(), for_good };
    let outdated = Some(Reason::RestartRequired);
    for (trouble, was_ready, settling, outcome, ready, last) in [
        (None, true, false, Outcome::Unchanged, "Ready=True AsDeclared", None),
        (None, false, false, Outcome::Unchanged, "Ready=True AsDeclared", None),
        (None, true, true, Outcome::Applied, "Ready=False Creating", Some("Reconciling=True Creating")),
        (None, false, true, Outcome::Applied, "Ready=False Creating", Some("Reconciling=True Creating")),
        (None, true, true, Outcome::Unchanged, "Ready=False Creating", Some("Reconciling=True Creating")),
        (
            Some(Reason::NodesMissing),
            false,
            true,
            Outcome::Applied,
            "Ready=False Starting",
            Some("Reconciling=True Starting"),
        ),
        (outdated, true, true, Outcome::Applied, "Ready=False RestartRequired", Some("Stalled=True RestartRequired")),
        (None, true, false, failed(true), "Ready=False InvalidSpec", Some("Stalled=True InvalidSpec")),
        (None, true, false, failed(false), "Ready=False Unknown", Some("Reconciling=True Unknown")),
        (outdated, true, true, failed(true), "Ready=False InvalidSpec", Some("Stalled=True InvalidSpec")),
        (outdated, true, true, failed(false), "Ready=False Unknown", Some("Reconciling=True Unknown")),
    ] {
        let expected = [Some(ready), Some(SEEN), last].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let findings = after_writes(look(trouble, was_ready), &outcome, settling);
        record(&findings);
        assert_eq!(shown(&findings), expected, "{trouble:?} {was_ready} {settling} {outcome:?}");
    }
}

#[test]
fn the_reason_of_a_failure_is_told() {
    let outcome = Outcome::Failed { message: "Service x is not ours".to_owned(), for_good: true };
    let findings = after_writes(look(None, true), &outcome, false);
    assert_eq!(findings[0].message, "Service x is not ours");
    assert_eq!(findings.last().unwrap().message, "Service x is not ours");
}

#[test]
fn measures_move_nobody_who_relies_on_the_cluster() {
    let cluster = |status: serde_json::Value, generation: i64| -> WeaviateCluster {
        let mut object = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "w", "namespace": "n", "uid": "u", "generation": generation},
            "spec": {"external": {"url": "http://w"}},
            "status": {"version": "1.38.2", "nodes": [{"name": "w-0", "ready": true, "shards": 1}]},
        });
        for (key, value) in status.as_object().unwrap() {
            object["status"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    };
    let before = relied_on(&cluster(json!({}), 1));
    for measure in [
        json!({"nodes": [{"name": "w-0", "ready": true, "shards": 2}]}),
        json!({"distribution": {"replicas": 9, "fewest": 1, "most": 5}}),
        json!({"probe": {"at": "2026-01-01T00:00:00Z", "succeeded": true}}),
        json!({"recommendations": ["take more nodes"]}),
    ] {
        assert_eq!(relied_on(&cluster(measure.clone(), 1)), before, "{measure}");
    }
    let verified = json!({"type": "ClusterVerified", "status": "True", "reason": "AsDeclared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    for news in [
        json!({"nodes": [{"name": "w-0", "ready": false, "shards": 1}]}),
        json!({"version": "1.38.3"}),
        json!({"conditions": [verified]}),
        json!({"raftMembers": ["w-0"]}),
        json!({"hungEngine": {"node": "w-0", "operation": "o", "since": "2026-01-01T00:00:00Z", "needsPerson": true}}),
    ] {
        assert_ne!(relied_on(&cluster(news.clone(), 1)), before, "{news}");
    }
    assert_ne!(relied_on(&cluster(json!({}), 2)), before);
}
