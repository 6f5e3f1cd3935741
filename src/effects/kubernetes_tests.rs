//! Whose an object is, and what a write makes of one that is there.

use elysia_api::WeaviateCluster;
use elysia_testkit::kubernetes::KubernetesApi;
use k8s_openapi::api::core::v1::Service;
use kube::core::Status;

use super::*;

fn reference(name: &str, uid: &str, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: "elysia.dev/v1alpha1".to_owned(),
        kind: "WeaviateCluster".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(controller),
        block_owner_deletion: None,
    }
}

#[test]
fn what_is_not_ours_is_known() {
    let ours = Some(names::OPERATOR_MANAGER);
    for (owners, label, expected) in [
        (vec![reference("w", "1", true)], ours, Holder::Ours),
        (vec![reference("v", "2", false), reference("w", "1", true)], None, Holder::Ours),
        (vec![], ours, Holder::Nobody),
        (vec![reference("v", "2", false)], ours, Holder::Nobody),
        (vec![reference("w", "0", true)], ours, Holder::Former),
        (vec![reference("v", "2", true)], ours, Holder::Stranger),
        (vec![reference("w", "1", false)], None, Holder::Stranger),
        (vec![], Some("Helm"), Holder::Stranger),
        (vec![], None, Holder::Stranger),
    ] {
        let live = ObjectMeta {
            labels: label.map(|label| [(MANAGED_BY_LABEL.to_owned(), label.to_owned())].into()),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        };
        assert_eq!(holder(&live, &reference("w", "1", true)), expected, "{live:?}");
    }
}

#[test]
fn only_a_refusal_is_for_good() {
    for (code, expected) in [(400, true), (403, true), (409, false), (422, true), (429, false), (500, false)] {
        let status = Status::failure("no", "").with_code(code).boxed();
        let error = EffectError::kubernetes("apply Service ai/search")(kube::Error::Api(status));
        assert_eq!(is_for_good(&error), expected, "{code}");
    }
    assert!(is_for_good(&EffectError::Refused(String::new())));
    assert!(!is_for_good(&EffectError::Changed(String::new())));
}

fn owner(uid: &str) -> WeaviateCluster {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": "ai", "uid": uid}, "spec": {},
    }))
    .unwrap()
}

fn service(spec: &Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "w", "namespace": "ai", "labels": {(MANAGED_BY_LABEL): names::OPERATOR_MANAGER}},
        "spec": spec,
    }))
    .unwrap()
}

fn config(labels: &Value, owners: &[OwnerReference]) -> ConfigMap {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "w", "namespace": "ai", "labels": labels, "ownerReferences": owners},
    }))
    .unwrap()
}

async fn apply(api: &KubernetesApi, uid: &str, spec: &Value) -> Result<bool, EffectError> {
    may_apply(&api.client(), service(spec), &owner(uid)).await?.apply().await
}

#[tokio::test]
async fn what_is_wanted_no_more_goes() {
    let api = KubernetesApi::new();
    let whole = json!({"type": "ClusterIP", "selector": {"a": "b"}});
    assert!(apply(&api, "1", &whole).await.unwrap());
    assert!(!apply(&api, "1", &whole).await.unwrap());
    let less = json!({"type": "ClusterIP"});
    assert!(apply(&api, "1", &less).await.unwrap());
    assert!(!apply(&api, "1", &less).await.unwrap());
    let live: Service = api.object("ai", "w").unwrap();
    assert_eq!(live.spec.unwrap().selector, None);
}

#[tokio::test]
async fn only_what_is_ours_is_overwritten() {
    let api = KubernetesApi::new();
    let spec = json!({"type": "ClusterIP"});
    assert!(apply(&api, "1", &spec).await.unwrap());
    // The cluster was made anew, and the garbage collector has not come by yet.
    let error = apply(&api, "2", &spec).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), is_for_good(&error)), ("the former Service w is being removed", false));
    // The cluster was deleted with --cascade=orphan.
    api.edit::<Service>("ai", "w", |service| service["metadata"]["ownerReferences"] = json!([]));
    assert!(apply(&api, "2", &spec).await.unwrap());
    api.edit::<Service>("ai", "w", |service| {
        service["metadata"]["ownerReferences"] = json!([]);
        service["metadata"]["labels"] = json!({});
    });
    api.transcript();
    let error = apply(&api, "2", &spec).await.unwrap_err();
    assert_eq!(error.to_string(), "Service w exists and is not ours; rename one of the two");
    assert!(is_for_good(&error));
    assert_eq!(api.transcript(), "");
}

#[tokio::test]
async fn what_is_made_once_is_this_owners() {
    let ours = json!({(MANAGED_BY_LABEL): names::OPERATOR_MANAGER});
    for (labels, owners, expected) in [
        (&ours, vec![reference("w", "1", true)], Ok(false)),
        (&ours, vec![reference("w", "0", true)], Err("the former ConfigMap w is being removed")),
        (&ours, vec![], Err("ConfigMap w was left behind by an owner that is gone; delete it")),
        (&json!({}), vec![], Err("ConfigMap w exists and is not ours; rename one of the two")),
    ] {
        let api = KubernetesApi::new();
        api.seed(&config(labels, &owners));
        let made = create_once_owned(&api.client(), config(&ours, &[]), &owner("1")).await;
        assert_eq!(made.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{owners:?}");
    }
}
