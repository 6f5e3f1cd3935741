//! A collection with a wrong immutable setting: refused while it holds objects, also those that are only in memory;
//! recreated when it is truly empty and a person has approved this very plan.

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::SchemaRead;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{Nodes, PATIENCE, Stage, collection};

/// Three shards are declared, the class has one.
fn wanted() -> Value {
    json!({
        "vectorizer": "none",
        "shardingConfig": {"desiredCount": 3},
        "properties": [{"name": "title", "dataType": ["text"]}],
    })
}

async fn live_shards(nodes: &Nodes) -> Option<i64> {
    let class = nodes.first().class("Notes", SchemaRead::Leader).await.ok()??;
    class["shardingConfig"]["desiredCount"].as_i64()
}

#[tokio::test]
async fn what_holds_objects_is_refused_and_what_is_empty_waits_for_approval() {
    let stage = Stage::set("recreate").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Notes", 1, 3).await;
    // Just written: still in the memory of the servers, and their own statistics say 0 for a minute.
    let ids = nodes.fill("Notes", 5).await;
    assert_eq!(nodes.statistics_count("Notes").await, 0, "the objects are flushed already: this shows nothing");
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &wanted())).await;
    stage.collection_says("notes", "Ready", "False", "RefusedHasData").await;
    if nodes.statistics_count("Notes").await > 0 {
        // After a minute, whoever was slow: the operator may have looked before.
        stage.say("the objects were flushed before the refusal was seen");
    }

    // No approval helps, whatever it says.
    let object = stage.api::<ElysiaCollection>().get("notes").await.unwrap();
    assert_eq!(object.status.unwrap().plan, None, "a plan was made for a collection with data");
    stage.approve("notes", "yes").await;
    stage.approve("notes", "0123456789ab").await;
    stage.collection_says("notes", "Stalled", "True", "RefusedHasData").await;
    nodes.assert_all_hold("Notes", &ids).await;
    assert_eq!(live_shards(&nodes).await, Some(1));

    // A person empties it, and keeps the operator from making it meanwhile. Now there is a plan, and it waits.
    stage.annotate::<ElysiaCollection>("notes", names::PAUSED_ANNOTATION, "true").await;
    stage.collection_says("notes", "Stalled", "True", "Paused").await;
    nodes.first().delete_class("Notes").await.unwrap();
    nodes.create("Notes", 1, 3).await;
    stage.annotate::<ElysiaCollection>("notes", names::PAUSED_ANNOTATION, "false").await;
    let object = stage.collection_says("notes", "Stalled", "True", "NeedsApproval").await;
    let plan = object.status.unwrap().plan.unwrap();
    assert!(plan.destructive && plan.waiting_for.is_some(), "{plan:?}");
    stage.approve("notes", "0123456789ab").await;
    stage.collection_says("notes", "Stalled", "True", "NeedsApproval").await;
    assert_eq!(live_shards(&nodes).await, Some(1));

    // Approved by its hash, it is done; the old schema is kept.
    let hash = stage.approve_shown("notes").await;
    stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    assert_eq!(live_shards(&nodes).await, Some(3));
    nodes.assert_replicated("Notes", 3).await;
    let journal = journal(&stage).await;
    assert_eq!(journal["cursor"], "Done");
    assert_eq!(journal["liveSchema"]["shardingConfig"]["desiredCount"], 1);
    assert_eq!(journal["hash"], json!(hash));

    // Auto-schema is back, as the spec says.
    stage
        .wait("auto-schema to be on again", PATIENCE, async || {
            (nodes.first().auto_schema_probe().await.ok()? == Some(true)).then_some(())
        })
        .await;
    stage.strike().await;
}

async fn journal(stage: &Stage) -> Value {
    let selector = ListParams::default().labels(&format!("{}=notes", names::COLLECTION_LABEL));
    let found = stage.api::<ConfigMap>().list(&selector).await.unwrap().items;
    assert_eq!(found.len(), 1);
    serde_json::from_str(&found[0].data.as_ref().unwrap()["journal.json"]).unwrap()
}
