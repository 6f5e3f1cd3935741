//! The fake cluster, seen through the client that the operator uses.

use elysia_testkit::weaviate::{FakeWeaviate, Fault};
use elysia_weaviate::{
    Client, ClientOptions, Consistency, NewReference, Page, ReplicationState, SchemaRead, ShardStatus, WeaviateError,
};
use serde_json::json;
use uuid::Uuid;

const NODES: [&str; 3] = ["w-0", "w-1", "w-2"];

async fn cluster() -> (FakeWeaviate, Vec<Client>) {
    let fake = FakeWeaviate::start(&NODES).await.expect("a fake cluster");
    let client = |node: &&str| Client::new(ClientOptions::new(fake.address(node).parse().expect("an address")));
    let clients = NODES.iter().map(client).collect::<Result<_, _>>().expect("clients");
    (fake, clients)
}

#[tokio::test]
async fn a_class_is_copied_and_then_its_factor_raised() {
    let (fake, nodes) = cluster().await;
    let class = json!({ "class": "Articles", "shardingConfig": { "desiredCount": 1 } });
    nodes[0].create_class(&class).await.expect("created");
    fake.seed_objects("Articles", "shard0", "w-0", (1..=5).map(Uuid::from_u128));

    let mut live = nodes[0].class("Articles", SchemaRead::Leader).await.expect("an answer").expect("it exists");
    live["replicationConfig"]["factor"] = json!(3);
    let early = nodes[0].update_class("Articles", &live).await.expect_err("no replicas yet");
    assert!(early.to_string().contains("not enough replicas in shard"), "{early}");

    for target in ["w-1", "w-2"] {
        nodes[0].copy_replica("Articles", "shard0", "w-0", target).await.expect("a copy");
    }
    fake.fault("w-2", Some(Fault::Missing));
    (0..5).for_each(|_| fake.advance());
    let operations = nodes[0].replication_operations(Some("Articles")).await.expect("operations");
    assert!(operations.iter().all(|operation| operation.state == ReplicationState::Integrating), "w-2 is missing");
    let conflict = nodes[0].delete_replication_operation(operations[0].id).await;
    assert!(matches!(conflict, Err(WeaviateError::Conflict { .. })), "{conflict:?}");

    fake.fault("w-2", None);
    fake.advance();
    nodes[0].update_class("Articles", &live).await.expect("the factor rises");
    for operation in operations {
        nodes[0].delete_replication_operation(operation.id).await.expect("deleted");
    }
    let digests = futures::future::join_all(nodes.iter().map(|node| node.replica_digest("Articles", None))).await;
    let digests = digests.into_iter().collect::<Result<Vec<_>, _>>().expect("digests");
    assert!(digests[0].count == 5 && digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let refused = nodes[0].remove_replica("Articles", "shard0", "w-2").await.expect_err("below the factor");
    assert!(refused.to_string().contains("minimum replication factor 3"), "{refused}");
}

#[tokio::test]
async fn a_node_is_asked_without_a_network_as_over_one() {
    let (fake, nodes) = cluster().await;
    let class = json!({ "class": "Articles" }).to_string();
    let (status, body) = fake.ask("w-0", "POST", "/v1/schema", class.as_bytes()).expect("an answer");
    assert!(status == 200 && body.contains(r#""class":"Articles""#), "{body}");
    assert!(nodes[1].class("Articles", SchemaRead::Local).await.expect("an answer").is_some());
    assert_eq!(fake.transcript(), ["POST /v1/schema at w-0"]);
    fake.fault("w-0", Some(Fault::Status(503)));
    assert_eq!(fake.ask("w-0", "GET", "/v1/meta?x=y", b"").expect("an answer").0, 503);
    assert_eq!(fake.refused(), 1);
    fake.close("w-0").await;
    assert_eq!(fake.ask("w-0", "GET", "/v1/meta", b""), None);
}

#[tokio::test]
async fn nodes_come_and_go() {
    let (fake, nodes) = cluster().await;
    assert_eq!(nodes[0].nodes().await.expect("nodes").len(), 3);
    fake.close("w-1").await;
    let closed = nodes[1].ready().await.expect_err("nobody listens");
    assert!(matches!(closed, WeaviateError::Unreachable { .. }), "{closed:?}");
    fake.open("w-1").await.expect("it listens again");
    assert!(nodes[1].ready().await.expect("an answer"));

    fake.fault("w-2", Some(Fault::Missing));
    assert_eq!(nodes[0].nodes().await.expect("nodes").len(), 2);
    let statistics = nodes[0].statistics().await.expect("statistics");
    let members = statistics.nodes[0].raft.as_ref().expect("raft").members.len();
    assert_eq!((statistics.nodes.len(), members, statistics.synchronized), (2, 3, false));
    fake.fault("w-0", Some(Fault::Status(500)));
    nodes[0].nodes().await.expect_err("a fault");
    fake.fault("w-0", Some(Fault::NotReady));
    assert!(!nodes[0].ready().await.expect("an answer"));
}

#[tokio::test]
async fn a_frozen_class_takes_nothing_until_a_restart() {
    let (fake, nodes) = cluster().await;
    let class = json!({ "class": "Articles", "replicationConfig": { "factor": 3 } });
    nodes[0].create_class(&class).await.expect("created");
    for shard in nodes[0].shard_statuses("Articles").await.expect("shards") {
        nodes[0].set_shard_status("Articles", &shard.name, ShardStatus::ReadOnly).await.expect("frozen");
    }
    let frozen = |shards: Vec<elysia_weaviate::ShardInfo>| shards.iter().all(|it| it.status == ShardStatus::ReadOnly);
    assert!(frozen(nodes[2].shard_statuses("Articles").await.expect("shards")));
    fake.restart("w-2");
    assert!(!frozen(nodes[2].shard_statuses("Articles").await.expect("shards")));
    assert!(frozen(nodes[1].shard_statuses("Articles").await.expect("shards")));
}

#[tokio::test]
async fn switches() {
    let (fake, nodes) = cluster().await;
    assert_eq!(nodes[0].auto_schema_probe().await.expect("an answer"), Some(true));
    fake.auto_schema(false);
    assert_eq!(nodes[0].auto_schema_probe().await.expect("an answer"), Some(false));
    fake.replica_movement(false);
    let off = nodes[0].sharding_state("Articles").await.expect_err("501");
    assert!(matches!(off, WeaviateError::NotSupported { .. }), "{off:?}");
    assert_eq!(fake.transcript(), ["POST /v1/objects at w-0", "POST /v1/objects at w-0"]);
}

/// As recorded on 1.38.2.
#[tokio::test]
async fn references_are_added_behind_one_another_whatever_they_lead_to() {
    let (fake, nodes) = cluster().await;
    let node = &nodes[0];
    let class = |name: &str, to: &str| {
        let properties = json!([{ "name": "by", "dataType": [to] }]);
        json!({ "class": name, "shardingConfig": { "desiredCount": 1 }, "properties": properties })
    };
    let early = node.create_class(&class("Books", "People")).await.expect_err("nobody is there");
    assert!(early.to_string().contains("reference property to nonexistent class"), "{early}");
    node.create_class(&class("People", "People")).await.expect("it leads to itself");
    node.create_class(&class("Books", "People")).await.expect("created");
    let bad =
        node.add_property("Books", &json!({ "name": "in", "dataType": ["Shelves"] })).await.expect_err("no class");
    assert!(bad.to_string().contains("invalid dataType: [Shelves]"), "{bad}");
    let book = Uuid::from_u128(1);
    fake.seed_objects("Books", "shard0", "w-0", [book].into_iter());

    let beacon = |class: &str, number: u128| format!("weaviate://localhost/{class}/{}", Uuid::from_u128(number));
    let [one, other, nowhere] = [beacon("People", 7), beacon("People", 8), beacon("Shelves", 7)];
    let new = |id, beacon| NewReference { id, property: "by", beacon };
    let added = [new(book, &other), new(book, &one), new(book, &other), new(book, &nowhere), new(Uuid::nil(), &one)];
    let refused = node.add_references("Books", None, &added, Consistency::Quorum).await.expect("an answer");
    let told: Vec<_> = refused.iter().map(|error| (error.index, error.message.as_str())).collect();
    assert_eq!(told[0], (3, "target class \"Books\" not found in schema"));
    assert_eq!((told[1].0, told[1].1.starts_with("ref batch: object with id")), (4, true));
    let page = Page { class: "Books", tenant: None, after: None, limit: 10 };
    let listed = node.page_references(page, &["by".to_owned()]).await.expect("a page");
    let found =
        node.object_references("Books", None, book, &["by".to_owned()], Consistency::Quorum).await.expect("an answer");
    assert_eq!(found.as_ref(), listed.get(&book));
    let kept = found.expect("it is there").properties["by"].clone();
    let beacons: Vec<_> = kept.as_array().expect("a list").iter().map(|it| it["beacon"].clone()).collect();
    assert_eq!(beacons, [&other, &one, &other].map(|beacon| json!(beacon)), "in their order, and one twice");
    assert_eq!(kept[1]["href"], format!("/v1/objects/People/{}", Uuid::from_u128(7)));
}
