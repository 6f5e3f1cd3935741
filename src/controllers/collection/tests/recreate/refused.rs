//! New settings that the server refuses when the old collection is gone already: it is made again.

use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use serde_json::json;

use super::super::super::super::fixture::{World, advance};
use super::before_the_proof;
use super::swept::{check_recreated, recreated};

/// The server knows the module no more that the new settings name, and says so only when it is to create the class.
#[tokio::test]
async fn new_settings_that_the_server_refuses_end_with_the_old_collection() {
    let mut world = before_the_proof().await;
    let approved = world.articles().status.unwrap().plan.unwrap().hash;
    world.weaviate.without_module(Some("text2vec-openai"));
    assert_snapshot!(world.rest().await, @r#"
    DELETE /v1/schema/Articles at w-0
    PUT configmaps/articles-journal-00000003 WaitGone
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Normal CollectionDeleted
    PUT configmaps/articles-journal-00000003 Create
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Create (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Verify (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    POST events Normal Created
    PUT configmaps/articles-journal-00000003 Done (the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present)
    PATCH elysiacollections/articles/status Ready=False Recreating
    POST events Warning OldCollectionBack
    PATCH elysiacollections/articles/status Ready=False NeedsApproval
    PATCH events Warning DriftFound
    POST events Warning NeedsApproval
    "#);
    check_old_again(&world, "", "").await;
    let plan = world.articles().status.unwrap().plan.unwrap();
    assert_ne!(plan.hash, approved, "the approval is used up");
    assert_snapshot!(world.conditions().replace(&plan.hash, "(hash)"), @r#"
    Ready=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    Available=True AsDeclared: the collection serves
    SchemaInSync=False NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    ReplicasInSync=True AsDeclared: 3 shards have 3 replicas; when compared, 3 nodes listed the same 0 objects
    Stalled=True NeedsApproval: vectorizer cannot be changed on an existing collection; it lists no objects and can be recreated. The last attempt was stopped: the server refused the new settings, so the old collection was made again: vectorizer: no module with name "text2vec-openai" present. Look at status.plan, then: kubectl elysia repair approve articles, or: kubectl annotate --overwrite elysiacollection articles elysia.dev/approve=(hash) elysia.dev/approved-by="$(kubectl auth whoami --output jsonpath='{.status.userInfo.username}')"
    "#);
    // At rest: the approval still stands on the object, and nothing is tried again.
    advance(3600);
    assert_eq!(world.rest().await, "");
    world.restart();
    assert_eq!(world.rest().await, "");
    // A person may have another try, after having switched the module on.
    world.weaviate.without_module(None);
    world.approve();
    let transcript = world.rest().await;
    check_recreated(&world, &transcript, "the second try");
}

#[tokio::test]
async fn refused_settings_end_with_the_old_collection_whatever_breaks() {
    let refuse = |world: &World| world.weaviate.without_module(Some("text2vec-openai"));
    for fate in [Fate::HangsAfter, Fate::FailsAfter(500)] {
        let blown = recreated(fate, refuse, check_old_again).await;
        assert!(blown.len() > 15, "{blown:#?}");
    }
}

/// The new settings were refused: the old class is there once and writable, and its journal has ended and says why.
async fn check_old_again(world: &World, transcript: &str, what: &str) {
    assert!(transcript.matches("DELETE /v1/schema").count() <= 1, "{what}\n{transcript}");
    let class = world.weaviate.class("Articles").unwrap();
    assert_eq!((&class["vectorizer"], &class["replicationConfig"]["factor"]), (&json!("none"), &json!(3)), "{what}");
    assert!(!world.is_frozen_anywhere().await, "{what}: a shard stayed read-only\n{transcript}");
    assert!(world.is_at("Done"), "{what}\n{transcript}");
    assert!(!world.holds_auto_schema_off(), "{what}\n{transcript}");
    let conditions = world.conditions();
    assert!(conditions.starts_with("Ready=False NeedsApproval"), "{what}\n{conditions}\n{transcript}");
    assert!(conditions.contains(r#"no module with name "text2vec-openai" present"#), "{what}\n{conditions}");
}
