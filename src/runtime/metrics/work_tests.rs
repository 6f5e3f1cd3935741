//! What is told of the work of backups and restores.

use elysia_api::backup::CollectionBackupStatus;
use elysia_api::restore::CollectionRestoreStatus;
use elysia_api::{CollectionBackup, CollectionRestore};
use elysia_core::backup::happening as backup;
use elysia_core::backup::ledger::BackupLedger;
use elysia_core::restore::happening as restore;
use elysia_core::restore::ledger::RestoreLedger;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Metrics;

fn profile() -> Value {
    json!({"readBytes": 9000, "writtenBytes": 2500, "readingMilliseconds": 1500, "convertingMilliseconds": 250,
           "writingMilliseconds": 4000, "peakMemoryBytes": 90, "memoryLimitBytes": 100})
}

/// Series whose name begins so, without namespace and name.
fn series(metrics: &Metrics, begin: &str) -> Vec<String> {
    let text = metrics.text(Timestamp::UNIX_EPOCH);
    let lines = text.lines().filter(|line| line.starts_with(begin));
    lines.map(|line| line.replace(r#"name="nightly",namespace="ai""#, "…").replace(begin, "")).collect()
}

#[test]
fn where_the_time_of_a_backup_went_is_told_until_it_is_not_known() {
    let metrics = Metrics::new().unwrap();
    let object: CollectionBackup = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "store": {"volume": {"claimName": "backups", "path": "x"}}},
    }))
    .unwrap();
    let status = CollectionBackupStatus::default();
    let ledger = |profile: Value| -> BackupLedger {
        serde_json::from_value(json!({"attempt": {
            "order": "a", "stage": "Done", "startedAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            "profile": profile,
        }}))
        .unwrap()
    };
    metrics.backup(&object, &status, Some(&ledger(profile())), None);
    assert_eq!(
        series(&metrics, "elysia_backup_stage_seconds"),
        [r#"{…,stage="encoding"} 0.25"#, r#"{…,stage="reading"} 1.5"#, r#"{…,stage="writing"} 4"#]
    );
    assert_eq!(
        series(&metrics, "elysia_backup_moved_bytes"),
        [r#"{direction="read",…} 9000"#, r#"{direction="written",…} 2500"#]
    );
    assert_eq!(
        series(&metrics, "elysia_backup_worker_memory_bytes"),
        [r#"{…,which="limit"} 100"#, r#"{…,which="peak"} 90"#]
    );
    // A run that the servers wrote, or one that an earlier worker wrote: nothing is known of it.
    metrics.backup(&object, &status, Some(&ledger(Value::Null)), None);
    for begin in ["elysia_backup_stage_seconds", "elysia_backup_moved_bytes", "elysia_backup_worker_memory_bytes"] {
        assert_eq!(series(&metrics, begin), Vec::<String>::new());
    }
    metrics.backup(&object, &status, Some(&ledger(profile())), None);
    metrics.forget_gone("CollectionBackup", |_, _| false);
    assert_eq!(series(&metrics, "elysia_backup_stage_seconds"), Vec::<String>::new());
}

#[test]
fn the_time_to_recovery_is_told_of_a_restore_that_is_done() {
    let metrics = Metrics::new().unwrap();
    let object: CollectionRestore = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": "nightly", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "x"}, "run": "latest"},
                 "collection": "Articles"},
    }))
    .unwrap();
    let ledger: RestoreLedger = serde_json::from_value(json!({
        "receipt": "r", "order": "a", "stage": "Done", "startedAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z", "profile": profile(),
    }))
    .unwrap();
    let status = |phase: &str| -> CollectionRestoreStatus {
        serde_json::from_value(json!({
            "phase": phase, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:30Z",
        }))
        .unwrap()
    };
    metrics.restore(&object, &status("Succeeded"), Some(&ledger));
    assert_eq!(series(&metrics, "elysia_restore_duration_seconds"), ["{…} 90"]);
    assert_eq!(
        series(&metrics, "elysia_restore_stage_seconds"),
        [r#"{…,stage="decoding"} 0.25"#, r#"{…,stage="fetching"} 1.5"#, r#"{…,stage="writing"} 4"#]
    );
    metrics.restore(&object, &status("Failed"), None);
    assert_eq!(series(&metrics, "elysia_restore_duration_seconds"), Vec::<String>::new());
    assert_eq!(series(&metrics, "elysia_restore_stage_seconds"), Vec::<String>::new());
}

#[test]
fn every_run_that_ends_counts_under_one_outcome() {
    let metrics = Metrics::new().unwrap();
    assert_eq!(series(&metrics, "elysia_backup_runs_ended_total").len(), 3, "they are there before they count");
    let happened = backup::Happened::ALL.map(|what| backup::Happening { what, message: String::new() });
    metrics.backups_happened(&happened);
    assert_eq!(
        series(&metrics, "elysia_backup_runs_ended_total"),
        [r#"{outcome="failed"} 1"#, r#"{outcome="succeeded"} 1"#, r#"{outcome="suspect"} 2"#]
    );
    let happened = restore::Happened::ALL.map(|what| restore::Happening { what, message: String::new() });
    metrics.restores_happened(&happened);
    assert_eq!(
        series(&metrics, "elysia_restores_ended_total"),
        [r#"{outcome="failed"} 1"#, r#"{outcome="succeeded"} 1"#]
    );
}
