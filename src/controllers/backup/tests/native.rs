//! Policies whose servers back up themselves.

use elysia_api::{CollectionBackup, WeaviateCluster};
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::super::super::fixture::{NAMESPACE, World};
use super::world;
use crate::worker::backup::work::ColdWork;

fn native(world: &World) {
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["engine"] = json!("Native");
        object["spec"]["native"] = json!({"cpuPercentage": 20});
        object["spec"]["verify"] = json!({"afterRun": false});
    });
}

#[tokio::test]
async fn the_worker_is_told_that_the_servers_back_up_themselves() {
    let mut world = world().await;
    native(&world);
    world.nightly().await;
    let job = world.backup_jobs()[0].clone();
    let work = world.told_backup(&job);
    let options = work.native.unwrap();
    assert_eq!((options.cpu_percentage, options.compression_level, work.verify), (Some(20), None, false));
    assert_eq!(work.backup.how.cold, ColdWork::Refuse);
    let limits = world.get::<Job>(&job).spec.unwrap().template.spec.unwrap().containers[0].resources.clone().unwrap();
    assert_eq!(limits.limits.unwrap()["memory"].0, "384Mi", "files pass through in pieces");
    // Those of the operator are told nothing of it.
    let mut world = super::world().await;
    world.nightly().await;
    assert_eq!(world.told_backup(&world.backup_jobs()[0]).native, None);
}

#[tokio::test]
async fn a_managed_cluster_without_the_module_is_told_before_any_job() {
    let mut world = world().await;
    native(&world);
    let managed = |backup: Value| {
        move |object: &mut Value| {
            let spec = json!({"version": "1.38.2", "replicas": 3, "storage": {"size": "1Gi"}, "backup": backup});
            object["spec"] = json!({"managed": spec});
        }
    };
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", managed(Value::Null));
    world.nightly().await;
    let conditions = world.backup_conditions();
    assert!(conditions.contains("Stalled=True StoreMissing: engine: Native needs module backup-s3"), "{conditions}");
    assert!(conditions.contains("set spec.managed.backup.s3"), "{conditions}");
    assert_eq!(world.backup_jobs(), Vec::<String>::new());
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", managed(json!({"s3": {"bucket": "own"}})));
    world.nightly().await;
    assert_eq!(world.backup_jobs().len(), 1);
}
