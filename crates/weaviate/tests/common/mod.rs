//! Recorded answers of real servers, served again.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::Path;
use std::time::Duration;

use elysia_weaviate::{Client, ClientOptions};
use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The versions that answers were recorded from.
pub(crate) const VERSIONS: [&str; 2] = ["1.35.2", "1.38.2"];

/// One recorded answer.
pub(crate) fn fixture(version: &str, name: &str) -> (u16, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(version).join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recorded: Value = serde_json::from_str(&text).expect("a fixture is JSON");
    let status = recorded["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
    (status, recorded["body"].clone())
}

/// A client of a server that answers everything with this.
pub(crate) async fn replying(status: u16, body: &Value) -> (MockServer, Client) {
    let server = MockServer::start().await;
    let template = ResponseTemplate::new(status);
    let template = if body.is_null() { template } else { template.set_body_json(body) };
    Mock::given(any()).respond_with(template).mount(&server).await;
    let client = client(&server.uri());
    (server, client)
}

/// A client of a server that answers everything with what was recorded.
pub(crate) async fn replaying(version: &str, name: &str) -> (MockServer, Client) {
    let (status, body) = fixture(version, name);
    replying(status, &body).await
}

pub(crate) fn client(address: &str) -> Client {
    let mut options = ClientOptions::new(address.parse().expect("an address"));
    // On a busy machine a late answer is no lost one.
    options.call_timeout = Duration::from_secs(3600);
    Client::new(options.api_key("very-secret".to_owned().into())).expect("a client")
}
