//! A small API server on a port of this machine: what is read, and what is said when it cannot be.

use std::time::Duration;

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use elysia_api::WeaviateCluster;
use serde_json::{Value, json};

use super::*;

/// How long a server is waited for that never answers.
const PATIENCE: Duration = Duration::from_millis(500);

const CLUSTERS: &str = "/apis/elysia.dev/v1alpha1/namespaces/search/weaviateclusters";

/// The address of a server with these routes.
async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn reader(routes: Router) -> Reader {
    reader_of(&serve(routes).await, REQUEST_TIMEOUT)
}

fn reader_of(address: &str, timeout: Duration) -> Reader {
    Reader::new(Config::new(address.parse().unwrap()), timeout).unwrap()
}

fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": name, "namespace": "search"},
        "spec": {"external": {"url": "http://weaviate:8080"}},
    })
}

fn list(items: &[Value], token: &str) -> Value {
    json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateClusterList",
        "metadata": {"continue": token}, "items": items,
    })
}

fn refusal(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Json<Value>) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason,
        "message": message,
    });
    (code, Json(status))
}

async fn why(reader: &Reader) -> (String, String) {
    match reader.list::<WeaviateCluster>(Some("search")).await {
        Sighted::Unreadable(unread) => (unread.message, unread.next),
        Sighted::Seen(seen) => panic!("{seen:?}"),
    }
}

#[tokio::test]
async fn every_page_is_read_and_an_odd_object_hides_no_other() {
    async fn page(RawQuery(query): RawQuery) -> Json<Value> {
        let mut odd = cluster("odd");
        odd["status"] = json!({"phase": "Levitating"});
        let is_second = query.is_some_and(|query| query.contains("continue=second"));
        Json(if is_second { list(&[cluster("b")], "") } else { list(&[cluster("a"), odd], "second") })
    }
    let reader = reader(Router::new().route(CLUSTERS, get(page))).await;
    let Sighted::Seen(objects) = reader.list::<WeaviateCluster>(Some("search")).await else { panic!("unreadable") };
    let names: Vec<_> = objects
        .into_iter()
        .map(|object| object.map_or_else(|odd| format!("{}?", odd.name), |it| it.metadata.name.unwrap()))
        .collect();
    assert_eq!(names, ["a", "odd?", "b"]);
}

#[tokio::test]
async fn refusals_are_named() {
    let answer = |code, reason: &'static str, message: &'static str| {
        reader(Router::new().fallback(move || async move { refusal(code, reason, message) }))
    };
    let (message, next) = why(&answer(StatusCode::FORBIDDEN, "Forbidden", "no").await).await;
    let lacking = "your account lacks the verb `list` on `weaviateclusters.elysia.dev` in namespace search";
    assert_eq!(message, format!("forbidden: {lacking}"));
    assert_eq!(next, "kubectl auth can-i list weaviateclusters.elysia.dev -n search");

    let (message, _) = why(&answer(StatusCode::NOT_FOUND, "NotFound", "404 page not found").await).await;
    assert_eq!(message, "the API server does not know `weaviateclusters.elysia.dev`: is the chart installed?");
    let (message, _) = why(&answer(StatusCode::UNAUTHORIZED, "Unauthorized", "no").await).await;
    assert_eq!(message, "the API server refused the credentials");
    let (message, _) = why(&answer(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd is gone").await).await;
    assert_eq!(message, "etcd is gone");
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_an_answer() {
    let absent = Router::new().fallback(|| async { refusal(StatusCode::NOT_FOUND, "NotFound", "leases not found") });
    assert_eq!(reader(absent).await.lease("elysia-system").await, Sighted::Seen(None));
}

#[tokio::test]
async fn a_dead_server_is_noticed_in_bounded_time() {
    let silent = serve(Router::new().fallback(std::future::pending::<StatusCode>)).await;
    let (message, next) = why(&reader_of(&silent, PATIENCE)).await;
    assert_eq!(
        (message.as_str(), next.as_str()),
        ("the API server did not answer within 500ms", "kubectl cluster-info")
    );

    let (message, _) = why(&reader_of("http://127.0.0.1:1", REQUEST_TIMEOUT)).await;
    assert!(message.starts_with("the API server cannot be asked: "), "{message}");
    assert!(message.contains("refused"), "{message}");
}
