//! What must not come twice: writers of one document, and Events of one transition.

use k8s_openapi::api::core::v1::Pod;

use super::*;

#[tokio::test]
async fn a_job_that_was_deleted_by_hand_is_made_again_when_its_last_pod_is_gone() {
    let mut world = world().await;
    world.docs().await;
    let job = world.jobs()[0].clone();
    world.api.remove::<Job>(NAMESPACE, &job);
    world.api.seed::<Pod>(&manifest(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "worker", "namespace": NAMESPACE,
            "labels": {"elysia.dev/index-source": "docs", "batch.kubernetes.io/job-name": job},
        },
        "status": {"phase": "Running"},
    })));
    world.restart();
    assert_eq!(world.docs().await, "");
    assert_eq!(world.jobs(), Vec::<String>::new());
    world.api.edit::<Pod>(NAMESPACE, "worker", |pod| pod["status"] = json!({"phase": "Failed"}));
    assert_snapshot!(world.docs().await, @r"
    POST configmaps/docs-ledger → 409
    POST jobs/docs-bc52af17ca87
    ");
}

#[tokio::test]
async fn a_cache_that_lags_tells_nothing_twice() {
    let mut world = world().await;
    let stale = world.get::<IndexSource>("docs");
    world.docs().await;
    let context = world.shared();
    super::super::reconcile(std::sync::Arc::new(stale), context).await.unwrap();
    assert!(!world.transcript().contains("events"));
}
