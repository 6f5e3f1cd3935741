//! A spec that does not hold any more in the middle of the switch, or an alias that is taken away: nobody is to wait for a
//! person to mend it.

use elysia_api::{ElysiaCollection, names};
use kube::runtime::controller::Action;
use serde_json::json;

use super::super::super::super::fixture::{NAMESPACE, World, advance};
use super::{aliased, manual};

impl World {
    /// Declares a property and drops it in the same breath.
    fn contradict(&self) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schema"]["properties"] = json!([{"name": "title", "dataType": ["text"]}]);
            object["spec"]["migration"]["transform"] = json!([{"drop": {"property": "title"}}]);
        });
    }

    /// Rounds over the contradiction, and what its conditions said in them. While anybody waits it is looked at again.
    async fn rounds_of_invalid(&mut self) -> String {
        let mut told = String::new();
        for _ in 0..8 {
            let action = self.collection("articles").await.unwrap();
            let is_over = ["Copy", "Kept"].contains(&self.phase().as_str());
            assert!(is_over || action != Action::await_change(), "{}: {}", self.phase(), self.conditions());
            told.push_str(&self.conditions());
            self.copy();
            advance(10);
        }
        told
    }
}

#[tokio::test]
async fn a_spec_that_contradicts_itself_in_the_freeze_leaves_the_live_class_writable() {
    for phase in ["Freeze", "Settle", "Final", "Switch"] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until(phase).await;
        world.contradict();
        let told = world.rounds_of_invalid().await;
        assert!(!world.is_frozen("Articles"), "{phase}: {}", world.transcript());
        assert_eq!(world.phase(), "Copy", "{phase}");
        assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles"), "{phase}");
        assert!(told.contains("Articles is ended meanwhile: Articles is made writable again"), "{phase}: {told}");
        assert!(world.conditions().contains("Stalled=True InvalidSpec"), "{phase}: {}", world.conditions());
        assert_eq!(world.collection("articles").await.unwrap(), Action::await_change(), "{phase}");
        // Mended, it goes on where it was, when a person has said so.
        world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
            object["spec"]["schema"] = json!({"vectorizer": "text2vec-openai"});
            object["spec"]["migration"] = manual();
        });
        for _ in 0..3 {
            world.step().await;
        }
        assert!(world.conditions().contains("the spec is not valid any more"), "{phase}: {}", world.conditions());
        assert!(world.approve_migration(), "{phase}: {}", world.conditions());
        world.until("Kept").await;
        assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Articles_2"), "{phase}");
    }
}

#[tokio::test]
async fn a_spec_that_contradicts_itself_after_the_switch_lets_it_come_to_its_end() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Verify").await;
    world.contradict();
    world.rounds_of_invalid().await;
    assert_eq!((world.phase().as_str(), world.weaviate.alias("Live").as_deref()), ("Kept", Some("Articles_2")));
    assert_eq!(world.articles().status.unwrap().live.as_deref(), Some("Articles_2"));
    assert!(!world.is_frozen("Articles_2"));
}

#[tokio::test]
async fn an_alias_that_somebody_takes_away_in_the_freeze_leaves_the_old_class_writable() {
    for phase in ["Freeze", "Settle", "Final", "Switch"] {
        let mut world = aliased(&manual()).await;
        world.declare(Some("text2vec-openai"));
        world.until(phase).await;
        world.weaviate.seed_class(&json!({"class": "Theirs"}));
        world.weaviate.seed_alias("Live", "Theirs");
        for _ in 0..6 {
            world.step().await;
        }
        assert!(!world.is_frozen("Articles"), "{phase}: {}", world.conditions());
        assert!(world.conditions().contains("Stalled=True MigrationBlocked"), "{phase}: {}", world.conditions());
        assert_eq!(world.weaviate.alias("Live").as_deref(), Some("Theirs"), "{phase}");
    }
}

#[tokio::test]
async fn a_cluster_that_is_away_meanwhile_is_asked_again() {
    let mut world = aliased(&manual()).await;
    world.declare(Some("text2vec-openai"));
    world.until("Settle").await;
    world.contradict();
    world.api.remove::<elysia_api::WeaviateCluster>(NAMESPACE, "search");
    let action = world.collection("articles").await.unwrap();
    assert_ne!(action, Action::await_change());
    assert!(world.conditions().contains("it may be read-only"), "{}", world.conditions());
    // Without a migration nothing is asked, and nothing waited for.
    world.annotate::<ElysiaCollection>("articles", names::PAUSED_ANNOTATION, "true");
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["migration"] = serde_json::Value::Null;
        object["spec"]["schema"]["class"] = "Others".into();
    });
    assert_eq!(world.collection("articles").await.unwrap(), Action::await_change());
}
