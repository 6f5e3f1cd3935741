//! A collection made with factor 1 behind the operator's back is brought to three replicas with all its data, and again
//! when a person deletes it and makes it anew.

use elysia_api::ElysiaCollection;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{PATIENCE, Stage, collection};

#[tokio::test]
async fn replicas_that_are_missing_are_copied_and_proved() {
    let stage = Stage::set("drift").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 3, 1).await;
    let ids = nodes.fill("Articles", 300).await;

    stage.apply::<ElysiaCollection>(collection("articles", "Articles", &json!({}))).await;
    let object = stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Articles", 3).await;
    nodes.assert_all_hold("Articles", &ids).await;
    let replication = object.status.unwrap().replication.unwrap();
    assert_eq!((replication.lowest, replication.class_factor, replication.behind_total), (Some(3), Some(3), 0));
    assert_eq!(replication.proved.unwrap().objects, 300);
    // A record that is left can keep a server from starting again.
    stage
        .wait("the records of the copies to go", PATIENCE, async || {
            nodes.first().replication_operations(None).await.unwrap().is_empty().then_some(())
        })
        .await;

    // Deleted and made again, empty, at factor 1, without any change of the object.
    // How soon that is seen is a figure of `cargo xtask bench drift`; copies of three shards take 11 s (`weaviate-lab` §1),
    // so that it is not over before anybody looks.
    nodes.replace("Articles", 3, 1).await;
    let object = stage.collection_says("articles", "Ready", "False", "").await;
    assert!(object.status.unwrap().replication.is_some());
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    nodes.assert_replicated("Articles", 3).await;

    // What is missing is created with the declared factor; what a person deleted as well.
    nodes.first().delete_class("Articles").await.unwrap();
    stage
        .wait("the collection to be there again", PATIENCE, async || {
            let sharding = nodes.first().sharding_state("Articles").await.ok()??;
            sharding.shards.iter().all(|shard| shard.replicas.len() == 3).then_some(())
        })
        .await;

    // A second object for the same collection is told so and changes nothing.
    stage.apply::<ElysiaCollection>(collection("second", "Articles", &json!({}))).await;
    stage.collection_says("second", "Stalled", "True", "Conflict").await;

    // Deleting the object deletes no data.
    let ids = nodes.fill("Articles", 10).await;
    stage.api::<ElysiaCollection>().delete("second", &DeleteParams::default()).await.unwrap();
    stage.api::<ElysiaCollection>().delete("articles", &DeleteParams::default()).await.unwrap();
    stage
        .wait("the object to go", PATIENCE, async || {
            stage.api::<ElysiaCollection>().get_opt("articles").await.unwrap().is_none().then_some(())
        })
        .await;
    nodes.assert_all_hold("Articles", &ids).await;
    stage.strike().await;
}
