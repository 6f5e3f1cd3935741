//! A class that no server makes at once is made in two steps.

mod common;

use common::client;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A server that has this class from the start, or once it is made; what is asked of it is recorded.
async fn serving(class: &Value) -> MockServer {
    let server = MockServer::start().await;
    for (verb, place) in [("POST", "/v1/schema"), ("GET", "/v1/schema/Mixed"), ("PUT", "/v1/schema/Mixed")] {
        let answer = ResponseTemplate::new(200).set_body_json(class);
        Mock::given(method(verb)).and(path(place)).respond_with(answer).mount(&server).await;
    }
    server
}

/// What was sent: the verb, and the body.
async fn sent(server: &MockServer) -> Vec<(String, Value)> {
    let requests = server.received_requests().await.expect("requests are recorded");
    let body = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
    requests.iter().map(|request| (request.method.to_string(), body(&request.body))).collect()
}

#[tokio::test]
async fn named_vectors_beside_the_one_without_a_name_are_added_afterwards() {
    // What the server says besides is put back as it is.
    let made = json!({"class": "Mixed", "vectorIndexConfig": {"ef": -1}, "sharding": 3});
    let server = serving(&made).await;
    let wanted =
        json!({"class": "Mixed", "vectorIndexConfig": {}, "vectorConfig": {"added": {"vectorIndexType": "hnsw"}}});
    client(&server.uri()).create_class(&wanted).await.expect("two steps");
    let mut put = made.clone();
    put["vectorConfig"] = wanted["vectorConfig"].clone();
    assert_eq!(
        sent(&server).await,
        [
            ("POST".to_owned(), json!({"class": "Mixed", "vectorIndexConfig": {}})),
            ("GET".to_owned(), Value::Null),
            ("PUT".to_owned(), put),
        ]
    );
}

#[tokio::test]
async fn any_other_class_is_made_at_once() {
    for class in [
        json!({"class": "Mixed", "vectorIndexConfig": {}}),
        json!({"class": "Mixed", "vectorIndexConfig": {}, "vectorConfig": {}}),
        json!({"class": "Mixed", "vectorConfig": {"own": {}}}),
    ] {
        let server = serving(&class).await;
        client(&server.uri()).create_class(&class).await.expect("one step");
        assert_eq!(sent(&server).await, [("POST".to_owned(), class)]);
    }
}

#[tokio::test]
async fn vectors_that_are_there_are_left_alone() {
    let there =
        json!({"class": "Mixed", "vectorIndexConfig": {}, "vectorConfig": {"added": {"vectorIndexType": "flat"}}});
    let server = serving(&there).await;
    let wanted = json!({"class": "Mixed", "vectorConfig": {"added": {"vectorIndexType": "hnsw"}}});
    client(&server.uri()).add_named_vectors(&wanted).await.expect("nothing to do");
    assert_eq!(sent(&server).await, [("GET".to_owned(), Value::Null)]);
}
