//! What the worker is told of restores.

use elysia_api::CollectionRestore;
use serde_json::json;

use super::super::super::fixture::{NAMESPACE, manifest, now};
use super::world;

/// The receipt of a restore from a volume lies beside its ledger: the worker of the policy does not see it.
#[tokio::test]
async fn the_worker_is_told_which_runs_restores_read() {
    let mut world = world().await;
    for (name, run, status) in [
        ("half", "latest", json!({"phase": "Failed", "startedAt": "2027-01-15T08:00:00Z", "run": "r1"})),
        ("asks", "latest", json!({"phase": "NeedsApproval", "run": "r2"})),
        ("new", "r3", json!({})),
        ("done", "latest", json!({"phase": "Succeeded", "startedAt": "2027-01-15T08:00:00Z", "run": "r4"})),
        ("refused", "latest", json!({"phase": "Failed", "run": "r5"})),
    ] {
        world.api.seed::<CollectionRestore>(&manifest(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": run},
                "collection": "Articles", "into": name,
            },
            "status": status,
        })));
    }
    world.nightly().await;
    let work = world.told_backup(&world.backup_jobs()[0]);
    assert_eq!(work.in_use.iter().map(String::as_str).collect::<Vec<_>>(), ["r1", "r2", "r3"]);
    assert_eq!(work.now, Some(now()));
}
