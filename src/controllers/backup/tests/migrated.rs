//! Policies that name a collection of which another class is live by now.

use elysia_api::{CollectionBackup, ElysiaCollection};
use elysia_core::backup::ledger::Stage;
use serde_json::json;

use super::super::super::fixture::{NAMESPACE, manifest};
use super::world;

/// An ElysiaCollection of `Articles` whose alias leads to this class.
fn migrated(namespace: &str, cluster: &str, live: Option<&str>) -> ElysiaCollection {
    manifest(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": namespace},
        "spec": {
            "clusterRef": {"name": cluster}, "collection": "Articles", "replication": {"factor": 1},
            "migration": {"alias": "LiveArticles"},
        },
        "status": {"live": live},
    }))
}

#[tokio::test]
async fn a_run_has_what_is_live_in_the_place_of_what_was_migrated() {
    for (namespace, cluster, live, wanted) in [
        (NAMESPACE, "search", Some("Articles_2"), ["Articles_2", "Notes"]),
        (NAMESPACE, "search", Some("Articles"), ["Articles", "Notes"]),
        (NAMESPACE, "search", None, ["Articles", "Notes"]),
        (NAMESPACE, "other", Some("Articles_2"), ["Articles", "Notes"]),
        ("others", "search", Some("Articles_2"), ["Articles", "Notes"]),
    ] {
        let mut world = world().await;
        world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
            object["spec"]["collections"] = json!(["Articles", "Notes"]);
        });
        world.api.seed(&migrated(namespace, cluster, live));
        let told = world.nightly().await;
        let job = world.backup_jobs()[0].clone();
        let work = world.told_backup(&job);
        assert_eq!(work.backup.collections.unwrap(), wanted, "{namespace} {cluster} {live:?}");
        // Nobody's spec is touched, only what is said of it.
        let is_of_spec = |line: &str| line.contains("collectionbackups/nightly") && !line.contains("/status");
        assert!(!told.lines().any(is_of_spec), "{told}");
        let declared = world.get::<CollectionBackup>("nightly").spec.collections;
        assert_eq!(declared, ["Articles", "Notes"]);
        world.end_backup(&job, Stage::Done, |_| {});
        world.nightly().await;
        let said = "Articles was migrated: Articles_2 is live and backed up in its place";
        let shown = world.backup_conditions();
        assert_eq!(shown.contains(said), wanted[0] == "Articles_2", "{shown}");
        // Going back, or on, makes no run of its own.
        world
            .api
            .edit::<ElysiaCollection>(namespace, "articles", |object| object["status"] = json!({"live": "Articles_3"}));
        world.nightly().await;
        assert_eq!(world.backup_jobs(), [job]);
    }
}
