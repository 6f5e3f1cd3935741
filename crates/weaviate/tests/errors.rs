//! Every failure says what, where, in whose words, and whether again can help.

mod common;

use std::time::Duration;

use common::{VERSIONS, client, replaying, replying};
use elysia_weaviate::{
    Client, ClientOptions, Consistency, ErrorCategory, Feature, MESSAGE_BYTES, Page, ShardStatus, WeaviateError,
};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn failed(version: &str, name: &str) -> WeaviateError {
    replaying(version, name).await.1.create_class(&json!({})).await.expect_err(name)
}

#[tokio::test]
async fn recorded_refusals() {
    for version in VERSIONS {
        for (name, wanted, retryable, category) in [
            ("denied", "Denied", false, ErrorCategory::Weaviate),
            ("anonymous", "Denied", false, ErrorCategory::Weaviate),
            ("create-class-exists", "Invalid", false, ErrorCategory::Validation),
            ("create-class-invalid", "Invalid", false, ErrorCategory::Validation),
            ("raise-factor-too-early", "Invalid", false, ErrorCategory::Validation),
            ("remove-below-factor", "Server", true, ErrorCategory::Weaviate),
            ("object-node-unknown", "Server", true, ErrorCategory::Weaviate),
            ("class-missing", "NotFound", false, ErrorCategory::Weaviate),
            ("tenants-none", "Invalid", false, ErrorCategory::Validation),
            ("list-cold", "Invalid", false, ErrorCategory::Validation),
        ] {
            let error = failed(version, name).await;
            let variant = format!("{error:?}");
            assert!(variant.starts_with(wanted), "{version} {name}: {variant}");
            assert_eq!((error.retryable(), error.category()), (retryable, category), "{version} {name}");
        }
    }
}

#[tokio::test]
async fn a_frozen_shard_is_read_only_on_1_38_and_short_of_replicas_on_1_35() {
    let error = failed("1.38.2", "write-read-only").await;
    assert!(matches!(error, WeaviateError::ReadOnly { .. }) && !error.retryable(), "{error:?}");
    let error = failed("1.35.2", "write-read-only").await;
    assert!(matches!(error, WeaviateError::Server { .. }) && error.retryable(), "{error:?}");
}

#[tokio::test]
async fn no_leader_is_not_a_wrong_key() {
    for status in [403, 422, 500] {
        let body = json!({ "error": [{ "message": "failed to execute query: leader not found" }] });
        let error = replying(status, &body).await.1.classes().await.expect_err("no leader");
        assert!(matches!(error, WeaviateError::NoLeader { .. }) && error.retryable(), "{error:?}");
    }
    for name in ["no-leader-sharding-state", "no-leader-delete"] {
        let error = failed("1.38.2", name).await;
        assert!(matches!(error, WeaviateError::NoLeader { .. }), "{name}: {error:?}");
    }
    let error = replying(403, &json!({ "error": [{ "message": "rbac: forbidden" }] })).await.1.classes().await;
    assert!(matches!(error, Err(WeaviateError::Denied { status: 403, .. })), "{error:?}");
}

#[tokio::test]
async fn replica_movement_may_be_off() {
    let error = replaying("1.38.2", "movement-disabled").await.1.sharding_state("Articles").await.expect_err("501");
    assert!(matches!(error, WeaviateError::NotSupported { what: Feature::ReplicaMovement, .. }), "{error:?}");
    assert!(!error.retryable());
}

#[tokio::test]
async fn statuses() {
    for (status, wanted, category) in [
        (409, "Conflict", ErrorCategory::Weaviate),
        (429, "RateLimited", ErrorCategory::RateLimit),
        (503, "Server", ErrorCategory::Weaviate),
        (504, "Timeout", ErrorCategory::Timeout),
    ] {
        let error = replying(status, &Value::Null).await.1.meta().await.expect_err("a failure");
        assert!(format!("{error:?}").starts_with(wanted), "{status}: {error:?}");
        assert!(error.retryable());
        assert_eq!(error.category(), category);
    }
    let memory = json!({ "error": [{ "message": "put object: not enough memory" }] });
    let error = replying(500, &memory).await.1.meta().await.expect_err("memory");
    assert_eq!(error.category(), ErrorCategory::Memory);
}

#[tokio::test]
async fn nobody_there() {
    let error = client("http://127.0.0.1:1").meta().await.expect_err("nobody listens");
    assert!(matches!(error, WeaviateError::Unreachable { .. }) && error.retryable(), "{error:?}");
    assert_eq!(error.to_string(), "GET /v1/meta at http://127.0.0.1:1: cannot connect");

    let options = ClientOptions::new("http://127.0.0.1:1".parse().expect("an address"));
    let client = Client::new(options.grpc("http://127.0.0.1:1".parse().expect("an address"))).expect("a client");
    let page = Page { class: "Articles", tenant: None, after: None, limit: 1 };
    let error = client.fetch_page(page, &elysia_weaviate::Selection::all(), false, Consistency::One).await;
    let error = error.expect_err("nobody listens");
    assert!(matches!(error, WeaviateError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn no_answer_in_time() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(5));
    Mock::given(any()).respond_with(slow).mount(&server).await;
    let mut options = ClientOptions::new(server.uri().parse().expect("an address"));
    options.call_timeout = Duration::from_millis(50);
    let error = Client::new(options).expect("a client").live().await.expect_err("too slow");
    assert!(matches!(error, WeaviateError::Timeout { .. }) && error.category() == ErrorCategory::Timeout, "{error:?}");
}

#[tokio::test]
async fn nothing_secret_is_said() {
    let server = MockServer::start().await;
    let long = "x".repeat(10 * MESSAGE_BYTES);
    Mock::given(any()).respond_with(ResponseTemplate::new(500).set_body_string(long)).mount(&server).await;
    let address = server.uri().replace("http://", "http://user:hidden@");
    let client = client(&address);
    let error = client.set_shard_status("Articles", "s", ShardStatus::ReadOnly).await.expect_err("500");
    for text in [format!("{client:?}"), error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("very-secret") && !text.contains("hidden"), "{text}");
        assert!(text.len() < 2 * MESSAGE_BYTES, "{} bytes", text.len());
    }
}

#[test]
fn options_are_checked() {
    for address in ["ftp://a", "data:text/plain,a"] {
        let error = Client::new(ClientOptions::new(address.parse().expect("a url"))).expect_err(address);
        assert!(matches!(error, WeaviateError::Options { .. }));
    }
}
