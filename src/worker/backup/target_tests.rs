//! How many replicas have to confirm what is written, and in which form objects are read.

use elysia_engine::backup::ports::Target as _;
use elysia_engine::object::{Object, Vectors};
use elysia_testkit::grpc::{Answer, Call, GrpcServer};
use elysia_testkit::weaviate::FakeWeaviate;
use prost::Message;
use serde_json::json;
use uuid::Uuid;

use super::target::WeaviateTarget;
use super::ways::ways;
use crate::worker::work::Endpoints;

/// batch.proto, `BatchObjectsRequest`, without its objects.
#[derive(Clone, Message, PartialEq)]
struct Batch {
    #[prost(int32, optional, tag = "2")]
    consistency_level: Option<i32>,
}

/// batch.proto, `BatchObjectsReply`.
#[derive(Clone, Message, PartialEq)]
struct Reply {
    #[prost(message, repeated, tag = "2")]
    errors: Vec<Refused>,
}

#[derive(Clone, Message, PartialEq)]
struct Refused {
    #[prost(int32, tag = "1")]
    index: i32,
    #[prost(string, tag = "2")]
    error: String,
}

/// base.proto, `ConsistencyLevel`.
const QUORUM: i32 = 2;
const ALL: i32 = 3;

/// What a server says of an object that too few replicas took: 1.38.2, one node of three killed, without the address.
const TOO_FEW: &str =
    "cannot reach enough replicas: required 3 replicas, got 2: replica \"w-2\": connect: connection refused";

fn level(call: &Call) -> i32 {
    Batch::decode(&*call.message).unwrap().consistency_level.unwrap()
}

fn taken() -> Vec<u8> {
    Reply::default().encode_to_vec()
}

fn refused(words: &str) -> Vec<u8> {
    Reply { errors: vec![Refused { index: 0, error: words.to_owned() }] }.encode_to_vec()
}

/// The levels of all batches of two writes of one object, into a class with or without references, and how many objects
/// each of the two was refused.
async fn levels(is_linked: bool, answer: fn(&Call) -> Answer) -> (Vec<i32>, [usize; 2]) {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    let kind = if is_linked { "Authors" } else { "text" };
    weaviate.seed_class(&json!({"class": "Back", "properties": [{"name": "by", "dataType": [kind]}]}));
    let server = GrpcServer::start(answer).await.unwrap();
    let endpoints = Endpoints { rest: weaviate.address("w-0"), grpc: server.address(), nodes: Vec::new() };
    let target = WeaviateTarget::new(ways(&endpoints, None).unwrap(), "Back");
    let object = Object { id: Uuid::from_u128(1), properties: serde_json::Map::new(), vectors: Vectors::new() };
    let mut refusals = [0; 2];
    for refusals in &mut refusals {
        *refusals = target.put(None, &[&object]).await.unwrap().len();
    }
    (server.calls().iter().map(level).collect(), refusals)
}

#[tokio::test]
async fn objects_with_references_are_confirmed_by_every_replica_that_can_be_written_to() {
    assert_eq!(levels(false, |_| Ok(taken())).await, (vec![QUORUM, QUORUM], [0, 0]), "none follows");
    assert_eq!(levels(true, |_| Ok(taken())).await, (vec![ALL, ALL], [0, 0]));
    // One replica does not take it, or takes it again later: it is tried each time.
    let few = |call: &Call| if level(call) == ALL { Ok(refused(TOO_FEW)) } else { Ok(taken()) };
    assert_eq!(levels(true, few).await, (vec![ALL, QUORUM, ALL, QUORUM], [0, 0]));
    // The call fails as a whole: a majority has to do from there on.
    let none = |call: &Call| if level(call) == ALL { Err((13, "no")) } else { Ok(taken()) };
    assert_eq!(levels(true, none).await, (vec![ALL, QUORUM, QUORUM], [0, 0]));
    // What the majority does not take either is told.
    assert_eq!(levels(true, |_| Ok(refused("invalid"))).await, (vec![ALL, QUORUM, ALL, QUORUM], [1, 1]));
}

/// A cluster answers numbers over REST with the shortest digits of their doubles.
#[tokio::test]
async fn objects_are_read_in_the_form_in_which_they_are_backed_up() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    let properties = [property("small", "number"), property("large", "number"), property("whole", "int")];
    weaviate.seed_class(&json!({"class": "Back", "properties": properties}));
    weaviate.seed_shard("Back", "shard0", &["w-0"]);
    let answered = json!({
        "small": 0.900_719_925_474_099_3, "large": 1_000_000_000_000_000_000_i64, "whole": 1_234_567_890_123_456_800_i64,
    });
    weaviate.seed_properties("Back", "shard0", "w-0", Uuid::from_u128(1), &answered);
    let endpoints = Endpoints { rest: weaviate.address("w-0"), grpc: weaviate.address("w-0"), nodes: Vec::new() };
    let target = WeaviateTarget::new(ways(&endpoints, None).unwrap(), "Back");
    let found = target.fetch(None, &[Uuid::from_u128(1)]).await.unwrap();
    assert_eq!(
        serde_json::Value::Object(found[0].properties.clone()),
        json!({"small": 0.900_719_925_474_099_3, "large": 1e18, "whole": 1_234_567_890_123_456_768_i64})
    );
}
