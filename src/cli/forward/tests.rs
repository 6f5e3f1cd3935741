//! A fake API server, fake Weaviate nodes, and a port-forward that leads from the one to the other.

use elysia_testkit::kubernetes::KubernetesApi;
use elysia_testkit::weaviate::FakeWeaviate;
use elysia_weaviate::SchemaRead;
use serde_json::{Value, json};

use super::*;

fn reader(api: &KubernetesApi) -> Reader {
    Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT)
}

fn seed<K>(api: &KubernetesApi, value: Value) -> K
where
    K: kube::Resource<DynamicType = ()> + serde::Serialize + serde::de::DeserializeOwned,
{
    api.seed::<K>(&serde_json::from_value(value).unwrap())
}

fn managed(api: &KubernetesApi, name: &str) -> WeaviateCluster {
    seed(
        api,
        json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": name, "namespace": "search"},
            "spec": {"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "1Gi"}}},
        }),
    )
}

fn secret(api: &KubernetesApi, name: &str) {
    // "key" in base64.
    let value = json!({"metadata": {"name": name, "namespace": "search"}, "data": {"apiKey": "a2V5"}});
    seed::<Secret>(api, value);
}

fn pod(api: &KubernetesApi, name: &str, phase: &str, ready: &str) {
    let value = json!({
        "metadata": {"name": name, "namespace": "search", "labels": {"elysia.dev/cluster": "wiki"}},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    });
    seed::<Pod>(api, value);
}

/// Leads to the fake node that has the pod's name.
fn to_fake(fake: &FakeWeaviate, nodes: &[&str]) -> Dial {
    let addresses: BTreeMap<String, String> =
        nodes.iter().map(|node| ((*node).to_owned(), fake.address(node).replace("http://", ""))).collect();
    Arc::new(move |pod, port| {
        let address = addresses.get(&pod).cloned();
        Box::pin(async move {
            assert_eq!(port, REST_PORT);
            let address = address.ok_or_else(|| no_stream("search", &pod, "no such pod"))?;
            match TcpStream::connect(&address).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                Err(error) => Err(no_stream("search", &pod, &error.to_string())),
            }
        })
    })
}

fn refuses(status: u16) -> Dial {
    Arc::new(move |pod, _| {
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let error = kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status));
        Box::pin(async move { Err(unforwarded("search", &pod, &error)) })
    })
}

fn said<T: fmt::Debug>(answer: Result<T, Unread>) -> String {
    let Unread { message, next } = answer.unwrap_err();
    format!("{message}\n{next}")
}

#[tokio::test]
async fn a_managed_cluster_is_asked_through_its_pods() {
    let nodes = ["wiki-0", "wiki-1", "wiki-2"];
    let fake = FakeWeaviate::start(&nodes).await.unwrap();
    fake.seed_class(&json!({"class": "Articles"}));
    let api = KubernetesApi::new();
    let object = managed(&api, "wiki");
    secret(&api, "wiki-auth");
    // Not ready, and yet a node that can be asked; one that does not run has no address.
    pod(&api, "wiki-0", "Running", "False");
    pod(&api, "wiki-1", "Running", "True");
    pod(&api, "wiki-2", "Pending", "False");
    pod(&api, "wiki-elysia-x", "Running", "True");

    let opened = open_by(&reader(&api), object, &to_fake(&fake, &nodes)).await.unwrap();
    assert_eq!(opened.version, "1.38.2");
    assert_eq!(opened.nodes.keys().collect::<Vec<_>>(), ["wiki-0", "wiki-1"]);
    assert_eq!(opened.common.address(), opened.nodes["wiki-1"].address());
    for client in opened.nodes.values().chain([&opened.common]) {
        assert!(client.class("Articles", SchemaRead::Local).await.unwrap().is_some());
        assert!(client.has_grpc());
    }

    // A pod that goes is named, with the way to look at it.
    fake.close("wiki-0").await;
    let error = opened.nodes["wiki-0"].ready().await.unwrap_err();
    let text = opened.explain("wiki-0", &error);
    assert!(text.contains("no port of pod wiki-0 could be forwarded"), "{text}");

    // Nobody listens any more once it is dropped.
    let address = opened.common.address().replace("http://", "");
    drop(opened);
    let closed = async { while TcpStream::connect(&address).await.is_ok() {} };
    tokio::time::timeout(REQUEST_TIMEOUT, closed).await.expect("the listener outlived its cluster");
}

#[tokio::test]
async fn a_ready_pod_that_does_not_answer_hides_no_other() {
    let nodes = ["wiki-0", "wiki-1", "wiki-2"];
    let fake = FakeWeaviate::start(&nodes).await.unwrap();
    let api = KubernetesApi::new();
    let object = managed(&api, "wiki");
    secret(&api, "wiki-auth");
    pod(&api, "wiki-0", "Running", "True");
    pod(&api, "wiki-1", "Running", "False");
    fake.close("wiki-0").await;
    let opened = open_by(&reader(&api), object, &to_fake(&fake, &nodes)).await.unwrap();
    assert_eq!(opened.common.address(), opened.nodes["wiki-1"].address());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let api = KubernetesApi::new();
    let reader = reader(&api);
    let open = async |dial: &Dial| said(open_by(&reader, managed(&api, "wiki"), dial).await);
    let forbidden = refuses(403);

    insta::assert_snapshot!(open(&forbidden).await, @r"
    Secret wiki-auth with the API key does not exist in namespace search
    kubectl get secret wiki-auth -n search
    ");
    api.fail_next("GET", "secrets/wiki-auth", 403);
    insta::assert_snapshot!(open(&forbidden).await, @r"
    forbidden: your account lacks the verb `get` on `secrets/wiki-auth` in namespace search
    kubectl auth can-i get secrets/wiki-auth -n search
    ");
    secret(&api, "wiki-auth");
    insta::assert_snapshot!(open(&forbidden).await, @r"
    no pod of cluster wiki is running
    kubectl get pods -n search -l elysia.dev/cluster=wiki
    ");
    pod(&api, "wiki-0", "Running", "True");
    insta::assert_snapshot!(open(&forbidden).await, @r"
    forbidden: your account lacks the verbs `get` and `create` on `pods/portforward` in namespace search
    kubectl auth can-i create pods --subresource=portforward -n search
    ");
    insta::assert_snapshot!(open(&refuses(500)).await, @r"
    no port of pod wiki-0 could be forwarded: failed to upgrade to a WebSocket connection: failed to switch protocol: 500 Internal Server Error
    kubectl port-forward -n search pod/wiki-0 8080
    ");
}

#[tokio::test]
async fn the_only_cluster_needs_no_name() {
    let api = KubernetesApi::new();
    let reader = reader(&api);
    let name = async |name: Option<&str>| choose(&reader, "search", name).await.map(|cluster| cluster.name_any());

    insta::assert_snapshot!(said(name(None).await), @r"
    no WeaviateCluster in namespace search
    kubectl get weaviateclusters -n search
    ");
    managed(&api, "wiki");
    assert_eq!(name(None).await.unwrap(), "wiki");
    managed(&api, "shop");
    insta::assert_snapshot!(said(name(None).await), @r"
    namespace search has several clusters: shop, wiki; name one
    add --cluster shop
    ");
    assert_eq!(name(Some("wiki")).await.unwrap(), "wiki");
    insta::assert_snapshot!(said(name(Some("wike")).await), @r"
    no WeaviateCluster wike in namespace search
    kubectl get weaviateclusters -n search
    ");
    insta::assert_snapshot!(said(open(&reader, "search", "wike").await), @r"
    no WeaviateCluster wike in namespace search
    kubectl get weaviateclusters -n search
    ");
}

#[tokio::test]
async fn an_external_cluster_is_asked_at_its_own_addresses() {
    let fake = FakeWeaviate::start(&["a", "b"]).await.unwrap();
    let api = KubernetesApi::new();
    let external = |url: &str| {
        json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "far", "namespace": "search"},
            "spec": {"external": {"url": url, "nodes": [
                {"name": "a", "url": fake.address("a")}, {"name": "b", "url": fake.address("b")},
            ]}},
        })
    };
    seed::<WeaviateCluster>(&api, external(&fake.address("a")));
    let opened = open(&reader(&api), "search", "far").await.unwrap();
    assert_eq!(opened.nodes["b"].address(), fake.address("b"));

    api.remove::<WeaviateCluster>("search", "far");
    seed::<WeaviateCluster>(&api, external("http://127.0.0.1:1"));
    let text = said(open(&reader(&api), "search", "far").await);
    assert!(text.starts_with("cluster far cannot be asked from here: GET /v1/meta at http://127.0.0.1:1"), "{text}");
    assert!(text.ends_with("curl -i http://127.0.0.1:1/v1/.well-known/ready"), "{text}");
}
