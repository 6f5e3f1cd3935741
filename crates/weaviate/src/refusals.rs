//! Whom the refusals of a batch speak for.
//!
//! A server groups a batch by shard and puts each shard's errors back by position. Where a shard of factor 1 cannot be
//! written it makes **one** error for all that was sent to it, so that one item is answered as refused and the others as
//! written, of which none is. Seen on 1.38.2 of a shard that was set read-only, by REST and gRPC, and by source so:
//!
//! - read-only: `adapters/repos/db/shard_write_batch_objects.go`, `PutObjectBatch`, and `shard_write_batch_references.go`,
//!   `AddReferencesBatch`. A shard that cannot be loaded: the same calls of `shard_lazyloader.go`. In every version before
//!   1.38.10 (server commit c5212c83ec), and in 1.39.0. Another node that is asked for the shard passes the one error on
//!   (`adapters/clients/remote_index.go`, `adapters/handlers/rest/clusterapi/shared/indices_payloads.go`).
//! - the shard cannot be opened on the node that is asked: `index.go`, `putObjectBatch`; objects only, before 1.38.8.
//! - a panic at one shard: there as well and as long. As many errors as its objects, at the first places of the batch
//!   whoever is there.
//!
//! Shards of a greater factor answer for each item (`usecases/replica/replicator.go`), and so do validations.

use std::collections::BTreeSet;

use crate::grpc::ObjectError;
use crate::words;

/// What of a batch of so many items has to count as refused, ascending: where one refusal is a shard's, everything that was
/// not refused by itself is, with the same words. Part of it may have been written, when it went to another shard: which
/// does not stand in the answer.
pub(crate) fn of_all(mut refused: Vec<ObjectError>, count: usize) -> Vec<ObjectError> {
    let shards = refused.iter().find(|refusal| words::is_of_shard(&refusal.message));
    if let Some(message) = shards.map(|refusal| refusal.message.clone()) {
        let named: BTreeSet<usize> = refused.iter().map(|refusal| refusal.index).collect();
        let others = (0..count).filter(|index| !named.contains(index));
        refused.extend(others.map(|index| ObjectError { index, message: message.clone() }));
    }
    refused.sort_by_key(|refusal| refusal.index);
    refused
}

#[cfg(test)]
mod tests {
    use elysia_testkit::grpc::GrpcServer;
    use prost::Message;
    use serde_json::{Map, Value, json};
    use uuid::Uuid;
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::client::{Client, ClientOptions};
    use crate::grpc::{BatchDeleteOutcome, BatchObject, Vectors};
    use crate::objects::Consistency;
    use crate::references::NewReference;

    // Written down once more, so that a wrong number of a field is not wrong on both sides.

    #[derive(Clone, Message, PartialEq)]
    struct ObjectsReply {
        #[prost(message, repeated, tag = "2")]
        errors: Vec<ErrorOfOne>,
    }

    #[derive(Clone, Message, PartialEq)]
    struct ErrorOfOne {
        #[prost(int32, tag = "1")]
        index: i32,
        #[prost(string, tag = "2")]
        error: String,
    }

    #[derive(Clone, Message, PartialEq)]
    struct DeleteReply {
        #[prost(int64, tag = "2")]
        failed: i64,
        #[prost(int64, tag = "3")]
        matches: i64,
        #[prost(int64, tag = "4")]
        successful: i64,
    }

    const COUNT: usize = 4;
    const FROZEN: &str = "store is read-only due to: manually set by user";
    const UNLOADED: &str = "Unable to load shard XyZ: init shard: no space left on device";
    const WRONG: &str = "invalid integer property 'whole'";
    const REPLICAS: &str = "cannot achieve consistency level \"QUORUM\": not enough replicas";

    /// Places, and words with which they are refused.
    type Items = Vec<(usize, &'static str)>;

    /// What servers answer to a batch of four, and what became of its items.
    fn table() -> Vec<(&'static str, Items, Items)> {
        let all = |message| (0..COUNT).map(|index| (index, message)).collect::<Vec<_>>();
        vec![
            ("all written", vec![], vec![]),
            ("one wrong object is one", vec![(2, WRONG)], vec![(2, WRONG)]),
            (
                "one shard has too few replicas, which names each",
                vec![(0, REPLICAS), (3, REPLICAS)],
                vec![(0, REPLICAS), (3, REPLICAS)],
            ),
            ("read-only: one for the shard", vec![(0, FROZEN)], all(FROZEN)),
            ("read-only: the shard's first item is not the batch's", vec![(1, FROZEN)], all(FROZEN)),
            ("read-only: each is named since 1.38.10", all(FROZEN), all(FROZEN)),
            ("not loaded: one for the shard", vec![(3, UNLOADED)], all(UNLOADED)),
            (
                "a wrong one keeps its own words",
                vec![(2, WRONG), (0, FROZEN)],
                vec![(0, FROZEN), (1, FROZEN), (2, WRONG), (3, FROZEN)],
            ),
            (
                "two shards: who is in which is unknown",
                vec![(0, UNLOADED), (2, FROZEN)],
                vec![(0, UNLOADED), (1, UNLOADED), (2, FROZEN), (3, UNLOADED)],
            ),
        ]
    }

    fn named(refusals: &[ObjectError]) -> Vec<(usize, &str)> {
        refusals.iter().map(|refusal| (refusal.index, refusal.message.as_str())).collect()
    }

    #[tokio::test]
    async fn of_objects_all_count_as_refused_for_whom_a_shard_may_speak() {
        let ids = (0..COUNT as u128).map(Uuid::from_u128);
        let object = |id| BatchObject {
            id,
            class: "Articles".to_owned(),
            tenant: None,
            properties: Map::new(),
            vectors: Vectors::default(),
        };
        let objects: Vec<BatchObject> = ids.map(object).collect();
        for (case, answered, wanted) in table() {
            let error = |(index, error): (usize, &str)| {
                let index = i32::try_from(index).expect("a small number");
                ErrorOfOne { index, error: error.to_owned() }
            };
            let reply = ObjectsReply { errors: answered.into_iter().map(error).collect() };
            let (client, _server) = replying(reply.encode_to_vec()).await;
            let outcome = client.batch_objects(&objects, Consistency::Quorum).await.expect("an answer");
            assert_eq!(named(&outcome.errors), wanted, "{case}");
        }
    }

    #[tokio::test]
    async fn of_references_all_count_as_refused_for_whom_a_shard_may_speak() {
        let beacon = "weaviate://localhost/Articles/00000000-0000-0000-0000-000000000009";
        let reference = |id| NewReference { id: Uuid::from_u128(id), property: "of", beacon };
        let references: Vec<NewReference<'_>> = (0..COUNT as u128).map(reference).collect();
        for (case, answered, wanted) in table() {
            let result = |index| match answered.iter().find(|(at, _)| *at == index) {
                Some((_, message)) => json!({ "status": "FAILED", "errors": { "error": [{ "message": message }] } }),
                None => json!({ "status": "SUCCESS" }),
            };
            let body: Value = (0..COUNT).map(|index| json!({ "result": result(index) })).collect();
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
            let client = Client::new(ClientOptions::new(server.uri().parse().expect("an address"))).expect("a client");
            let refused = client.add_references("Articles", None, &references, Consistency::Quorum).await;
            assert_eq!(named(&refused.expect("an answer")), wanted, "{case}");
        }
    }

    #[tokio::test]
    async fn of_deletes_what_was_found_and_not_deleted_has_failed() {
        for (case, [matches, successful, failed], wanted) in [
            ("nothing was there", [0, 0, 0], [0, 0, 0]),
            ("all deleted", [9, 9, 0], [9, 9, 0]),
            ("each is named", [9, 4, 5], [9, 4, 5]),
            ("read-only: one for the shard", [9, 0, 1], [9, 0, 9]),
            ("read-only: one for the shard beside another", [9, 4, 1], [9, 4, 5]),
            ("a panic leaves a shard out", [9, 4, 0], [9, 4, 5]),
        ] {
            let reply = DeleteReply { failed, matches, successful }.encode_to_vec();
            let (client, _server) = replying(reply).await;
            let outcome = client.batch_delete_ids("Articles", None, &[Uuid::nil()], Consistency::Quorum).await;
            let [matches, successful, failed] = wanted;
            assert_eq!(outcome.expect("an answer"), BatchDeleteOutcome { matches, successful, failed }, "{case}");
        }
    }

    async fn replying(reply: Vec<u8>) -> (Client, GrpcServer) {
        let server = GrpcServer::start(move |_| Ok(reply.clone())).await.expect("a port");
        let rest = "http://127.0.0.1:1".parse().expect("an address");
        let options = ClientOptions::new(rest).grpc(server.address().parse().expect("an address"));
        (Client::new(options).expect("a client"), server)
    }
}
