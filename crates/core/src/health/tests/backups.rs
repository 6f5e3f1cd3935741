//! Backups and restores.

use super::super::{of_backup, of_restore};
use super::*;

fn backup(lines: &[&str], spec: &Value, status: &Value) -> CollectionBackup {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {
            "name": "nightly", "namespace": "search", "generation": 1, "creationTimestamp": "2026-11-01T00:00:00Z",
        },
        "spec": {"clusterRef": {"name": "wiki"}, "store": {"s3": {"bucket": "b"}}},
        "status": {"observedGeneration": 1, "conditions": conditions(lines)},
    });
    for (part, edit) in [("spec", spec), ("status", status)] {
        object[part].as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
    }
    serde_json::from_value(object).unwrap()
}

fn restore(lines: &[&str], status: &Value) -> CollectionRestore {
    let mut whole = json!({"observedGeneration": 1, "conditions": conditions(lines)});
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": "back", "namespace": "search", "generation": 1},
        "spec": {
            "clusterRef": {"name": "wiki"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": "Restored",
        },
        "status": whole,
    }))
    .unwrap()
}

#[test]
fn backups_that_failed_are_suspect_or_not_read_back() {
    let good = ["Ready=True Scheduled", "Verified=True Verified"];
    let nightly = json!({"schedule": {"cron": "0 3 * * *"}});
    let of = |day: &str| json!({"lastSuccess": format!("{day}T03:04:00Z")});
    // It is the 21st, noon: a run that was due at 7 o'clock may still be at it, one of 3 o'clock should be over.
    let later = json!({"schedule": {"cron": "0 7 * * *"}});
    for (what, lines, spec, status, verdict, warned, next) in [
        ("good", &good[..], nightly.clone(), of("2026-11-21"), "healthy healthy Scheduled", "", ""),
        (
            "may be at it",
            &good,
            later,
            json!({"lastSuccess": "2026-11-20T07:04:00Z"}),
            "healthy healthy Scheduled",
            "",
            "",
        ),
        ("late", &good, nightly.clone(), of("2026-11-20"), "healthy healthy Scheduled", "late: a run was due at", ""),
        ("none", &good, nightly.clone(), json!({}), "healthy healthy Scheduled", "there is none", ""),
        (
            "suspended",
            &good,
            json!({"schedule": {"cron": "0 3 * * *", "suspend": true}}),
            of("2026-11-01"),
            "healthy healthy Scheduled",
            "",
            "",
        ),
        (
            "leaves something out",
            &good,
            nightly.clone(),
            json!({"lastSuccess": "2026-11-21T03:04:00Z", "runs": [
                {"id": "r1", "state": "Succeeded", "leftOut": 2, "message": "Old is left out: why"},
            ]}),
            "healthy healthy Scheduled",
            "run r1 leaves out 2 collections: Old is left out: why",
            "",
        ),
        ("once", &["Ready=True Complete"], json!({}), json!({}), "healthy healthy Complete", "", ""),
        (
            "not read back",
            &["Ready=True Scheduled", "Verified=False NotVerified"],
            nightly.clone(),
            of("2026-11-21"),
            "healthy healthy Scheduled",
            "-",
            "",
        ),
        (
            "not to be read back",
            &["Ready=True Complete", "Verified=False NotVerified"],
            json!({"verify": {"afterRun": false}}),
            json!({}),
            "healthy healthy Complete",
            "",
            "",
        ),
        (
            "older ones are suspect",
            &good,
            nightly.clone(),
            json!({"lastSuccess": "2026-11-21T03:04:00Z", "totals": {"runs": 9, "bytes": 1, "verified": 9, "suspect": 2}}),
            "healthy healthy Scheduled",
            "2 of 9 runs are Suspect",
            "",
        ),
        (
            "suspect",
            &["Ready=False Suspect", "Stalled=True Suspect"],
            nightly.clone(),
            json!({"lastSuccess": "2026-11-21T03:04:00Z", "totals": {"runs": 9, "bytes": 1, "verified": 9, "suspect": 1}}),
            "fault stalled Suspect",
            "",
            "kubectl elysia repair plan backup/nightly -n search",
        ),
        (
            "failed",
            &["Ready=False RunFailed", "Stalled=True RunFailed"],
            nightly.clone(),
            json!({"lastSuccess": "2026-11-21T03:04:00Z", "run": {"state": "Failed", "job": "nightly-1"}}),
            "fault stalled RunFailed",
            "",
            "kubectl logs job/nightly-1 -n search",
        ),
        (
            "waits",
            &["Ready=False ClusterNotReady", "Reconciling=True ClusterNotReady"],
            nightly.clone(),
            of("2026-11-21"),
            "fault fault ClusterNotReady",
            "",
            "kubectl elysia health wiki -n search -v",
        ),
    ] {
        let mut standing = of_backup(&backup(lines, &spec, &status), now());
        // The words of conditions are empty here.
        standing.warnings.iter_mut().filter(|warning| warning.is_empty()).for_each(|empty| *empty = "-".to_owned());
        assert_eq!(said(&standing), verdict, "{what}");
        let warnings = standing.warnings.join("; ");
        assert!(warnings.contains(warned) && warnings.is_empty() == warned.is_empty(), "{what}: {warnings}");
        assert_eq!(standing.next.unwrap_or_default(), next, "{what}");
    }
}

#[test]
fn restores_that_wait_or_failed() {
    for (lines, verdict, next) in [
        (&["Ready=True Restored"][..], "healthy healthy Restored", ""),
        (
            &["Ready=False Running", "Reconciling=True Running"],
            "fault working Running",
            "kubectl describe crst back -n search",
        ),
        (
            &["Ready=False NeedsApproval", "Stalled=True NeedsApproval"],
            "fault stalled NeedsApproval",
            "kubectl elysia repair plan restore/back -n search",
        ),
        (
            &["Ready=False Conflict", "Reconciling=True Conflict"],
            "fault fault Conflict",
            "kubectl describe crst back -n search",
        ),
        (
            &["Ready=False RunFailed", "Stalled=True RunFailed"],
            "fault stalled RunFailed",
            "kubectl logs job/back-1 -n search",
        ),
    ] {
        let standing = of_restore(&restore(lines, &json!({"job": "back-1"})));
        assert_eq!(
            (said(&standing).as_str(), standing.next.as_deref().unwrap_or_default()),
            (verdict, next),
            "{lines:?}"
        );
    }
}

#[test]
fn backups_and_restores_belong_to_their_cluster_and_count() {
    let failed = restore(&["Ready=False Blocked", "Stalled=True Blocked"], &json!({}));
    let seen_all = Sightings {
        backups: seen(&[backup(&["Ready=True Complete"], &json!({}), &json!({}))]),
        restores: seen(&[failed]),
        ..well()
    };
    let report = judge(&seen_all, now());
    assert_eq!((report.verdict, report.backups().count(), report.restores().count()), (Verdict::Fault, 1, 1));
    assert_eq!(report.findings()[0].subject, "restore search/back");
    assert_eq!(judge(&Sightings { backups: unreadable(), ..well() }, now()).verdict, Verdict::Unknown);
    let silent = judge(&Sightings { lease: Sighted::Seen(None), restores: seen(&[]), ..seen_all.clone() }, now());
    assert_eq!(silent.backups().next().unwrap().standing.verdict, Verdict::Unknown, "a good word of long ago");
    let lost = Sightings { clusters: seen(&[]), ..seen_all };
    assert_eq!(judge(&lost, now()).backups().next().unwrap().standing.reason, "ClusterMissing");
    let whys = why(&report, Some("restore"), "back");
    let chain: Vec<_> = whys[0].chain.iter().map(|link| link.subject.as_str()).collect();
    assert_eq!(chain, ["restore search/back", "backup search/nightly", "cluster search/wiki"]);
    assert_eq!(whys[0].cause.as_deref(), Some("restore search/back"));
}
