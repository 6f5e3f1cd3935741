//! What a search by a vector sends, and what is read of its answer. The messages are written down here once more, so that
//! a wrong number of a field is not wrong on both sides.

use elysia_testkit::grpc::GrpcServer;
use elysia_weaviate::{Client, ClientOptions, Nearest};
use prost::Message;
use uuid::Uuid;

#[derive(Clone, Message, PartialEq)]
struct Request {
    #[prost(string, tag = "1")]
    collection: String,
    #[prost(string, tag = "10")]
    tenant: String,
    #[prost(uint32, tag = "30")]
    limit: u32,
    #[prost(string, tag = "33")]
    after: String,
    #[prost(message, optional, tag = "43")]
    near_vector: Option<Near>,
}

#[derive(Clone, Message, PartialEq)]
struct Near {
    #[prost(message, optional, tag = "6")]
    targets: Option<Targets>,
    #[prost(message, repeated, tag = "9")]
    vectors: Vec<Vector>,
}

#[derive(Clone, Message, PartialEq)]
struct Targets {
    #[prost(string, repeated, tag = "1")]
    target_vectors: Vec<String>,
}

#[expect(clippy::struct_field_names, reason = "as Weaviate names them")]
#[derive(Clone, Message, PartialEq)]
struct Vector {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "3")]
    vector_bytes: Vec<u8>,
    #[prost(int32, tag = "4")]
    vector_type: i32,
}

#[derive(Clone, Message, PartialEq)]
struct Reply {
    #[prost(message, repeated, tag = "2")]
    results: Vec<Found>,
}

#[derive(Clone, Message, PartialEq)]
struct Found {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
}

#[derive(Clone, Message, PartialEq)]
struct Metadata {
    #[prost(string, tag = "1")]
    id: String,
}

/// Answers searches with these ids.
async fn answering(ids: &[Uuid]) -> (Client, GrpcServer) {
    let found = |id: &Uuid| Found { metadata: Some(Metadata { id: id.to_string() }) };
    let reply = Reply { results: ids.iter().map(found).collect() }.encode_to_vec();
    let server = GrpcServer::start(move |_| Ok(reply.clone())).await.expect("a port");
    let rest = "http://127.0.0.1:1".parse().expect("an address");
    let options = ClientOptions::new(rest).grpc(server.address().parse().expect("an address"));
    (Client::new(options).expect("a client"), server)
}

#[tokio::test]
async fn the_nearest_are_asked_for_by_name_and_tenant() {
    let ids = [Uuid::from_u128(7), Uuid::from_u128(3)];
    for (vector, tenant) in [("title", Some("acme")), ("", None)] {
        let (client, server) = answering(&ids).await;
        let search = Nearest { class: "Notes", tenant, vector, to: &[0.5, -1.0], limit: 10 };
        assert_eq!(client.nearest(search).await.expect("an answer"), ids, "in the order of the answer");
        let calls = server.calls();
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(call.path, "/weaviate.v1.Weaviate/Search");
        let asked = Request::decode(&*call.message).expect("a search");
        assert_eq!((asked.collection.as_str(), asked.limit, asked.after.as_str()), ("Notes", 10, ""));
        assert_eq!(asked.tenant, tenant.unwrap_or_default());
        let near = asked.near_vector.expect("a vector");
        let named = near.targets.map(|targets| targets.target_vectors);
        assert_eq!(named, (!vector.is_empty()).then(|| vec![vector.to_owned()]));
        let [sent] = near.vectors.as_slice() else { panic!("{:?}", near.vectors) };
        let numbers = [0.5_f32.to_le_bytes(), (-1.0_f32).to_le_bytes()].concat();
        assert_eq!((sent.name.as_str(), &sent.vector_bytes, sent.vector_type), (vector, &numbers, 1));
    }
}
