//! `deletionPolicy: Delete`: the class goes with its object, at every node; and what cannot be deleted any more holds
//! nobody up: a namespace that goes takes all of it along.

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::SchemaRead;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::{Nodes, PATIENCE, Stage, collection};

fn deleted_with_its_object(name: &str, class: &str) -> Value {
    let mut object = collection(name, class, &json!({"properties": [{"name": "title", "dataType": ["text"]}]}));
    object["spec"]["deletionPolicy"] = json!("Delete");
    object
}

async fn gone_everywhere(nodes: &Nodes, class: &str) -> Option<()> {
    for client in nodes.clients.values() {
        if client.class(class, SchemaRead::Local).await.ok()?.is_some() {
            return None;
        }
    }
    Some(())
}

#[tokio::test]
async fn the_class_goes_with_its_object_when_that_is_declared() {
    let stage = Stage::set("deletion").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(deleted_with_its_object("notes", "Notes")).await;
    stage.apply::<ElysiaCollection>(deleted_with_its_object("other", "Other")).await;
    let object = stage.collection_says("notes", "Ready", "True", "AsDeclared").await;
    assert_eq!(object.metadata.finalizers.unwrap_or_default(), [names::COLLECTION_FINALIZER]);
    stage.collection_says("other", "Ready", "True", "AsDeclared").await;
    nodes.fill("Notes", 20).await;
    let others = nodes.fill("Other", 20).await;

    let api = stage.api::<ElysiaCollection>();
    api.delete("notes", &DeleteParams::default()).await.unwrap();
    stage.wait("notes to go", PATIENCE, async || api.get_opt("notes").await.unwrap().is_none().then_some(())).await;
    stage.wait("its class to be gone at every node", PATIENCE, async || gone_everywhere(&nodes, "Notes").await).await;
    nodes.assert_all_hold("Other", &others).await;

    // Taken back in time, the data stay.
    let patch = json!({"spec": {"deletionPolicy": "Retain"}});
    api.patch("other", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await.unwrap();
    stage
        .wait("the finalizer to go", PATIENCE, async || {
            api.get("other").await.unwrap().metadata.finalizers.is_none_or(|all| all.is_empty()).then_some(())
        })
        .await;
    api.delete("other", &DeleteParams::default()).await.unwrap();
    nodes.assert_all_hold("Other", &others).await;

    // The namespace goes at once with everything in it: no servers are left that could be asked.
    stage.apply::<ElysiaCollection>(deleted_with_its_object("last", "Last")).await;
    stage.collection_says("last", "Ready", "True", "AsDeclared").await;
    stage.strike().await;
}
