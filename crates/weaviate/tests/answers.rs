//! Recorded answers of both versions are read as what they mean.

mod common;

use common::{VERSIONS, client, replaying, replying};
use elysia_weaviate::{
    ActivityStatus, BackupName, BackupOptions, BackupPhase, Consistency, ID_RESPONSE_BYTES, OperationId, Page,
    ReadFrom, ReplicationState, SchemaRead, ShardStatus, WeaviateError,
};
use serde_json::json;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn health_nodes_and_raft() {
    for version in VERSIONS {
        assert!(replaying(version, "ready").await.1.ready().await.expect("ready"));
        assert_eq!(replaying(version, "meta").await.1.meta().await.expect("meta").version, version);

        let nodes = replaying(version, "nodes").await.1.nodes().await.expect("nodes");
        assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["w-0", "w-1", "w-2"]);
        assert!(nodes.iter().all(|node| node.is_healthy() && node.version == version && node.shard_count().is_none()));

        let statistics = replaying(version, "statistics").await.1.statistics().await.expect("statistics");
        assert!(statistics.synchronized);
        for node in &statistics.nodes {
            let raft = node.raft.as_ref().expect("raft");
            assert!(node.is_voter && node.ready && node.open && node.db_loaded && !node.leader_id.is_empty());
            assert_eq!((raft.members.len(), raft.members.iter().all(elysia_weaviate::RaftMember::is_voter)), (3, true));
            assert!(raft.term.is_some() && raft.applied_index.is_some());
        }
    }
}

#[tokio::test]
async fn not_ready_is_no_error() {
    assert!(!replying(503, &json!(null)).await.1.ready().await.expect("an answer"));
}

#[tokio::test]
async fn classes_and_aliases() {
    for version in VERSIONS {
        let class = replaying(version, "class").await.1.class("Articles", SchemaRead::Leader).await.expect("a class");
        assert_eq!(class.expect("it exists")["replicationConfig"]["factor"], 3);
        let class = replaying(version, "class").await.1.class("articles", SchemaRead::Local).await.expect("a class");
        assert!(class.is_some(), "Weaviate upper-cases the first letter");
        let missing = replaying(version, "class-missing").await.1.class("Nothing", SchemaRead::Leader).await;
        assert!(missing.expect("an answer").is_none());

        let alias = replaying(version, "class-by-alias").await.1.class("News", SchemaRead::Leader).await;
        let Err(WeaviateError::IsAlias { asked, target, .. }) = alias else { panic!("{alias:?}") };
        assert_eq!((asked.as_str(), target.as_str()), ("News", "Articles"));

        let classes = replaying(version, "schema").await.1.classes().await.expect("classes");
        assert!(classes.is_sorted_by_key(|class| class["class"].as_str().map(str::to_owned)));
        assert!(replaying(version, "schema-empty").await.1.classes().await.expect("none").is_empty());
    }
}

#[tokio::test]
async fn shards_and_tenants() {
    for version in VERSIONS {
        let shards = replaying(version, "shards").await.1.shard_statuses("Articles").await.expect("shards");
        assert!(shards.len() == 2 && shards.iter().all(|shard| shard.status == ShardStatus::Ready));
        let shards = replaying(version, "shards-read-only").await.1.shard_statuses("Frozen").await.expect("shards");
        assert!(shards.len() == 2 && shards.iter().all(|shard| shard.status == ShardStatus::ReadOnly));

        let tenants = replaying(version, "tenants").await.1.tenants("Tenants").await.expect("tenants");
        let tenants = tenants.iter().map(|tenant| (tenant.name.as_str(), &tenant.activity_status)).collect::<Vec<_>>();
        assert_eq!(tenants, [("a", &ActivityStatus::Hot), ("b", &ActivityStatus::Cold)]);
    }
}

#[tokio::test]
async fn sharding_state_is_sorted() {
    for version in VERSIONS {
        let state = replaying(version, "sharding-state").await.1.sharding_state("Articles").await.expect("an answer");
        let state = state.expect("it exists");
        assert!(state.shards.is_sorted_by_key(|shard| &shard.shard));
        assert!(state.shards.iter().all(|shard| shard.replicas == ["w-0", "w-1", "w-2"]));
        let missing = replaying(version, "sharding-state-missing").await.1.sharding_state("Nothing").await;
        assert!(missing.expect("an answer").is_none());
    }
}

#[tokio::test]
async fn operations() {
    let id = OperationId(Uuid::nil());
    for version in VERSIONS {
        replaying(version, "copy").await.1.copy_replica("Copied", "s", "w-0", "w-1").await.expect("an id");
        for (name, state, uncancelable) in [
            ("operation-registered", ReplicationState::Registered, false),
            ("operation-ready", ReplicationState::Ready, true),
        ] {
            let operation = replaying(version, name).await.1.replication_operation(id).await.expect("an answer");
            let operation = operation.expect("it exists");
            assert_eq!((operation.state, operation.uncancelable), (state, uncancelable));
            assert_eq!(operation.collection, "Copied");
        }
        let missing = replaying(version, "operation-missing").await.1.replication_operation(id).await;
        assert!(missing.expect("an answer").is_none());
        let operations = replaying(version, "operations").await.1.replication_operations(Some("Copied")).await;
        assert!(operations.expect("operations").iter().all(|operation| operation.state.is_final()));
        assert!(
            replaying(version, "operations-empty").await.1.replication_operations(None).await.expect("none").is_empty()
        );
    }
}

#[tokio::test]
async fn an_unknown_state_is_neither_done_nor_failed() {
    let (_, mut body) = common::fixture("1.38.2", "operation-ready");
    body["status"]["state"] = json!("CELEBRATING");
    let operation = replying(200, &body).await.1.replication_operation(OperationId(Uuid::nil())).await;
    let state = operation.expect("an answer").expect("it exists").state;
    assert!(!state.is_final());
    assert_eq!(state, ReplicationState::Unknown("CELEBRATING".to_owned()));
}

#[tokio::test]
async fn objects() {
    for version in VERSIONS {
        let page = Page { class: "Articles", tenant: None, after: None, limit: 3 };
        assert_eq!(replaying(version, "objects").await.1.list_ids(page).await.expect("ids").len(), 3);
        let objects = replaying(version, "objects-vectors").await.1.list_objects(page, true).await.expect("objects");
        assert!(objects.iter().all(|object| { object.vector.as_ref().is_some_and(|vector| vector.len() == 3) }));
        assert!(replaying(version, "objects-end").await.1.list_ids(page).await.expect("none").is_empty());

        let read = ReadFrom::Replicas(Consistency::One);
        let object = replaying(version, "object").await.1.object("Articles", None, Uuid::nil(), read, true).await;
        assert_eq!(object.expect("an answer").expect("it exists").properties["size"], 1);
        let missing =
            replaying(version, "object-missing").await.1.object("Articles", None, Uuid::nil(), read, true).await;
        assert!(missing.expect("an answer").is_none());
    }
}

#[tokio::test]
async fn a_cursor_that_goes_back_is_malformed() {
    let list = json!({ "objects": [{ "id": Uuid::from_u128(2) }, { "id": Uuid::from_u128(1) }] });
    let page = Page { class: "Articles", tenant: None, after: None, limit: 3 };
    let listed = replying(200, &list).await.1.list_ids(page).await;
    assert!(matches!(listed, Err(WeaviateError::Malformed { .. })), "{listed:?}");
}

#[tokio::test]
async fn auto_schema_is_known_by_two_texts_alone() {
    for version in VERSIONS {
        assert_eq!(replaying(version, "auto-schema-on").await.1.auto_schema_probe().await.expect("on"), Some(true));
        assert_eq!(replaying(version, "auto-schema-off").await.1.auto_schema_probe().await.expect("off"), Some(false));
    }
    for (status, body) in [
        (422, json!({ "error": [{ "message": "something new" }] })),
        (422, json!({ "error": [{ "message": "class \"Other\" not found in schema" }] })),
        (503, json!(null)),
        (200, json!({})),
    ] {
        assert_eq!(
            replying(status, &body).await.1.auto_schema_probe().await.expect("unknown"),
            None,
            "{status} {body}"
        );
    }
    replaying("1.38.2", "denied").await.1.auto_schema_probe().await.expect_err("a wrong key is an error");
}

#[tokio::test]
async fn backups() {
    let client = replaying("1.38.2", "backups-running").await;
    assert!(!client.1.backups("filesystem").await.expect("backups")[0].is_final());
    let client = replaying("1.38.2", "backups").await;
    assert!(client.1.backups("filesystem").await.expect("backups")[0].is_final());
    for version in VERSIONS {
        let client = replaying(version, "meta").await;
        assert_eq!(client.1.backup_in_progress().await.expect("no backend"), Some(false));
    }
}

const PLACED: BackupName<'_> =
    BackupName { backend: "s3", id: "one", bucket: "backups", path: "policy/runs/R1/native" };

#[tokio::test]
async fn a_backup_of_the_servers_is_begun_watched_and_cancelled() {
    let (_server, client) = replaying("1.38.2", "backup-created").await;
    let begun = client.create_backup(&PLACED, &["Articles".to_owned()], BackupOptions::default()).await.expect("begun");
    assert_eq!(begun.phase, BackupPhase::Running("STARTED".to_owned()));
    assert_eq!(begun.path, "s3://backups/policy/runs/R1/native/one");
    for (answer, phase, words) in [
        ("backup-running", BackupPhase::Running("STARTED".to_owned()), ""),
        ("backup-success", BackupPhase::Success, ""),
        ("backup-canceled", BackupPhase::Canceled, "context canceled"),
    ] {
        let (_server, client) = replaying("1.38.2", answer).await;
        let standing = client.backup_standing(&PLACED).await.expect("an answer").expect("it is there");
        assert_eq!(standing.phase, phase, "{answer}");
        assert!(standing.error.contains(words), "{}", standing.error);
    }
    let (_server, client) = replaying("1.38.2", "backup-missing").await;
    assert_eq!(client.backup_standing(&PLACED).await.expect("an answer"), None);
    // One id serves once, and one backup is at work at a time.
    for (answer, words) in [
        ("backup-exists", "already exists"),
        ("backup-canceled-again", "check if backup"),
        ("backup-busy", "backup one already in progress"),
    ] {
        let (_server, client) = replaying("1.38.2", answer).await;
        let refused = client.create_backup(&PLACED, &[], BackupOptions::default()).await.expect_err("refused");
        assert!(matches!(refused, WeaviateError::Invalid { .. }) && refused.to_string().contains(words), "{refused}");
    }
    let (_server, client) = replaying("1.38.2", "backup-cancel-late").await;
    assert!(matches!(client.cancel_backup(&PLACED).await, Err(WeaviateError::Invalid { .. })));
    replying(204, &json!(null)).await.1.cancel_backup(&PLACED).await.expect("it is asked to stop");
}

#[tokio::test]
async fn a_backup_of_the_servers_is_put_back() {
    let (_server, client) = replaying("1.38.2", "restore-created").await;
    let begun =
        client.restore_backup(&PLACED, &["Articles".to_owned()], BackupOptions::default()).await.expect("begun");
    assert_eq!(begun.phase, BackupPhase::Running("STARTED".to_owned()));
    for (answer, phase, words) in [
        ("restore-running", BackupPhase::Running("TRANSFERRING".to_owned()), ""),
        ("restore-success", BackupPhase::Success, ""),
        ("restore-failed", BackupPhase::Failed, "class name Articles already exists"),
    ] {
        let (_server, client) = replaying("1.38.2", answer).await;
        let standing = client.restore_standing(&PLACED).await.expect("an answer").expect("it is there");
        assert_eq!(standing.phase, phase, "{answer}");
        assert!(standing.error.contains(words), "{}", standing.error);
    }
    let (_server, client) = replaying("1.38.2", "restore-missing").await;
    assert_eq!(client.restore_standing(&PLACED).await.expect("an answer"), None);
}

/// What is asked, letter by letter: servers silently ignore what they do not know.
#[tokio::test]
async fn a_backup_is_asked_for_by_its_place() {
    let (server, client) = replying(200, &json!({"status": "STARTED"})).await;
    let options = BackupOptions { compression: Some("BestSpeed"), cpu_percentage: Some(20) };
    client.create_backup(&PLACED, &["A".to_owned()], options).await.expect("begun");
    client.restore_backup(&PLACED, &["A".to_owned()], options).await.expect("begun");
    client.backup_standing(&PLACED).await.expect("an answer");
    let asked = server.received_requests().await.expect("they are kept");
    let body = |at: usize| serde_json::from_slice::<serde_json::Value>(&asked[at].body).expect("JSON");
    let place = json!({"Bucket": "backups", "Path": "policy/runs/R1/native", "CPUPercentage": 20});
    let mut create = place.clone();
    create["CompressionLevel"] = json!("BestSpeed");
    assert_eq!(body(0), json!({"id": "one", "include": ["A"], "config": create}));
    let mut restore = place;
    (restore["rolesOptions"], restore["usersOptions"]) = (json!("noRestore"), json!("noRestore"));
    assert_eq!(body(1), json!({"include": ["A"], "config": restore}));
    assert_eq!(asked[1].url.path(), "/v1/backups/s3/one/restore");
    assert_eq!(asked[2].url.query(), Some("bucket=backups&path=policy%2Fruns%2FR1%2Fnative"));
}

/// REST sends whole objects where only their ids are wanted.
#[tokio::test]
async fn ids_of_large_objects_are_asked_for_in_smaller_pages() {
    let object = |number: u128| json!({ "id": Uuid::from_u128(number), "class": "A", "properties": {"text": "x".repeat(1 << 20)} });
    let server = MockServer::start().await;
    let page = move |request: &wiremock::Request| {
        let query =
            |name: &str| request.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let after = query("after").and_then(|after| after.parse::<Uuid>().ok()).map_or(0, |after| after.as_u128());
        let limit = query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0);
        let objects = (after + 1..=9).take(limit).map(object).collect::<Vec<_>>();
        ResponseTemplate::new(200).set_body_json(json!({ "objects": objects }))
    };
    Mock::given(any()).respond_with(page).mount(&server).await;
    let client = client(&server.uri());

    let page = Page { class: "A", tenant: None, after: None, limit: 5 };
    let refused = client.list_ids(page).await;
    assert!(matches!(refused, Err(WeaviateError::TooLarge { limit: ID_RESPONSE_BYTES, .. })), "{refused:?}");
    assert_eq!(client.list_ids(Page { limit: 3, ..page }).await.expect("ids").len(), 3);
    assert_eq!(client.list_objects(page, false).await.expect("objects are kept whole").len(), 5);
    assert_eq!(client.replica_digest("A", None).await.expect("a digest").count, 9);
}

#[tokio::test]
async fn one_object_beyond_the_bound_of_a_page_is_walked_over() {
    let text = "x".repeat(ID_RESPONSE_BYTES);
    let body = json!({ "objects": [{ "id": Uuid::from_u128(1), "class": "A", "properties": {"text": text} }] });
    let (_server, client) = replying(200, &body).await;
    let page = Page { class: "A", tenant: None, after: None, limit: 1 };
    assert_eq!(client.list_ids(page).await.expect("an id"), [Uuid::from_u128(1)]);
}
