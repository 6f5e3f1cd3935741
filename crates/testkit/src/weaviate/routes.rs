//! Which path is which call.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::answers;
use super::backups;
use super::references;
use super::state::{Fault, Reply, State, refusal};

/// A test that sends more has gone wrong.
const BODY_BYTES: usize = 1 << 20;

/// One request at one node.
pub(super) struct Asked<'a> {
    pub(super) node: &'a str,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Asked<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(super) async fn answer(node: String, state: Arc<Mutex<State>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    let (status, body) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        reply(&mut state, &node, &head.method, &head.uri, &bytes)
    };

    // Each answer closes its connection, so that a closed node is really gone.
    let response =
        Response::builder().status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let response = response.header(header::CONNECTION, "close").header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    response.body(body).unwrap_or_default()
}

/// What this node answers, and what comes of it.
pub(super) fn reply(state: &mut State, node: &str, method: &Method, uri: &Uri, body: &[u8]) -> Reply {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let asked = Asked { node, query: query.into_owned().collect(), body };
    let segments = uri.path().trim_start_matches("/v1/").split('/').collect::<Vec<_>>();
    if method != Method::GET {
        state.transcript.push(format!("{method} {} at {node}", uri.path()));
    }
    match state.faults.get(node).copied() {
        Some(Fault::Status(status)) => {
            state.refused += 1;
            refusal(status, "fault of the fake")
        }
        _ => route(state, method, &segments, &asked),
    }
}

fn route(state: &mut State, method: &Method, segments: &[&str], asked: &Asked<'_>) -> Reply {
    match (method.as_str(), segments) {
        ("GET", [".well-known", "live"]) => (200, None),
        ("GET", [".well-known", "ready"]) => match state.faults.get(asked.node) {
            Some(Fault::NotReady) => (503, None),
            _ => (200, None),
        },
        ("GET", ["meta"]) => {
            let modules = if state.backups.has_module { json!({"backup-s3": {}}) } else { json!({}) };
            (200, Some(json!({ "hostname": "http://[::]:8080", "modules": modules, "version": answers::VERSION })))
        }
        ("GET", ["nodes"]) => answers::nodes(state, asked),
        ("GET", ["nodes", class]) => answers::node_shards(state, class),
        ("POST", ["graphql"]) => answers::aggregate(state, asked),
        ("GET", ["cluster", "statistics"]) => answers::statistics(state),
        ("POST", ["cluster", "remove"]) => state.remove_member(asked.body["node"].as_str().unwrap_or_default()),
        (verb, ["backups", rest @ ..]) => backups::answer(state, verb, rest, asked),
        ("GET", ["aliases"]) => answers::aliases(state, asked.query("class")),
        ("GET", ["aliases", name]) => answers::alias(state, name),
        ("POST", ["aliases"]) => state.make_alias(&asked.body),
        ("PUT", ["aliases", name]) => state.switch_alias(name, &asked.body),
        ("DELETE", ["aliases", name]) => match state.aliases.remove(*name) {
            Some(_) => (204, None),
            None => (404, None),
        },
        (_, ["schema", rest @ ..]) => schema(state, method, rest, asked),
        (_, ["replication", ..]) if !state.replica_movement => (501, None),
        (_, ["replication", rest @ ..]) => replication(state, method, rest, asked),
        ("POST", ["batch", "objects"]) => answers::batch(state, &asked.body),
        ("POST", ["batch", "references"]) => references::batch(state, &asked.body),
        ("POST", ["objects"]) => state.write(&asked.body),
        ("GET", ["objects"]) => answers::objects(state, asked),
        ("GET", ["objects", class, id]) => answers::object(state, asked, class, id),
        _ => (404, None),
    }
}

fn schema(state: &mut State, method: &Method, segments: &[&str], asked: &Asked<'_>) -> Reply {
    match (method.as_str(), segments) {
        ("GET", []) => {
            (200, Some(json!({ "classes": state.classes.values().map(|class| &class.body).collect::<Vec<_>>() })))
        }
        ("POST", []) => state.create(&asked.body),
        // An alias answers with the class behind it.
        ("GET", [name]) => match state.classes.get(state.aliases.get(*name).map_or(*name, String::as_str)) {
            Some(class) => (200, Some(class.body.clone())),
            None => (404, None),
        },
        ("PUT", [name]) => state.update(name, &asked.body),
        ("DELETE", [name]) => {
            state.classes.remove(*name);
            state.operations.retain(|operation| operation.collection != *name);
            (200, None)
        }
        ("POST", [name, "properties"]) => answers::add_property(state, name, &asked.body),
        ("GET", [name, "shards"]) => answers::shards(state, asked, name),
        ("PUT", [name, "shards", shard]) => answers::set_status(state, name, shard, &asked.body),
        ("GET", [name, "tenants"]) => answers::tenants(state, name),
        ("POST", [name, "tenants"]) => answers::set_tenants(state, name, &asked.body, true),
        ("PUT", [name, "tenants"]) => answers::set_tenants(state, name, &asked.body, false),
        _ => (404, None),
    }
}

fn replication(state: &mut State, method: &Method, segments: &[&str], asked: &Asked<'_>) -> Reply {
    match (method.as_str(), segments) {
        ("GET", ["sharding-state"]) => answers::sharding_state(state, asked.query("collection").unwrap_or_default()),
        ("POST", ["scale"]) => state.scale(&asked.body),
        ("POST", ["replicate"]) => state.copy(&asked.body),
        ("POST", ["replicate", "force-delete"]) => state.force_delete(&asked.body),
        ("GET", ["replicate", "list"]) => answers::operations(state, asked.query("collection")),
        ("GET", ["replicate", id]) => answers::operation(state, id),
        ("POST", ["replicate", id, "cancel"]) => answers::cancel(state, id, false),
        ("DELETE", ["replicate", id]) => answers::cancel(state, id, true),
        _ => (404, None),
    }
}
