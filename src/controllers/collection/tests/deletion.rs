//! Deletion of an object: what becomes of its collection, after a fault at every write too.

use elysia_api::{ElysiaCollection, WeaviateCluster, names};
use elysia_testkit::kubernetes::Fate;
use elysia_testkit::weaviate::Fault;
use insta::assert_snapshot;
use serde_json::json;

use super::super::super::fixture::{NAMESPACE, NODES, World, advance};
use super::{declared, ids};

/// `articles`, which owns its collection and says `Delete`, at rest.
async fn owned() -> World {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("articles", &json!({}), 3));
    world.says("articles", "Delete");
    for _ in 0..3 {
        world.round().await;
    }
    assert!(world.is_held("articles"), "{}", world.conditions());
    world
}

impl World {
    fn says(&self, name: &str, policy: &str) {
        self.api.edit::<ElysiaCollection>(NAMESPACE, name, |object| object["spec"]["deletionPolicy"] = policy.into());
    }

    fn try_get(&self, name: &str) -> Option<ElysiaCollection> {
        self.api.object(NAMESPACE, name)
    }

    fn is_held(&self, name: &str) -> bool {
        let finalizers = self.try_get(name).and_then(|object| object.metadata.finalizers).unwrap_or_default();
        finalizers.iter().any(|finalizer| finalizer == names::COLLECTION_FINALIZER)
    }

    fn delete(&self, name: &str) {
        self.api.delete::<ElysiaCollection>(NAMESPACE, name);
    }

    /// Rounds over `name`, and over the cluster, until it is gone: what was written, and the seconds that it took.
    async fn until_gone(&mut self, name: &str) -> (String, i64) {
        let mut seconds = 0;
        while self.try_get(name).is_some() {
            assert!(seconds <= 3700, "it hangs: {}", self.conditions());
            self.round_or_crash(name).await;
            // The servers' clients try again by the real clock, so not each of many rounds is played.
            let step = if seconds < 50 { 5 } else { 110 };
            advance(step);
            seconds += step;
        }
        (self.transcript(), seconds)
    }

    /// One round that may hang at a write: then the operator dies and is started again. Errors are what the test wants.
    async fn round_or_crash(&mut self, name: &str) {
        self.or_crash(async |world| drop(world.collection(name).await)).await;
    }

    fn has_class(&self) -> bool {
        self.weaviate.class("Articles").is_some()
    }
}

#[tokio::test]
async fn an_operator_that_leads_no_more_deletes_nothing() {
    let mut world = owned().await;
    world.delete("articles");
    world.shared().leading.is_over();
    for _ in 0..3 {
        world.round_or_crash("articles").await;
        advance(5);
    }
    assert!(!world.transcript().contains("DELETE"));
    assert!(world.has_class() && world.is_held("articles"));
}

#[tokio::test]
async fn the_finalizer_comes_with_delete_and_goes_with_retain() {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("articles", &json!({}), 1));
    world.round().await;
    assert!(!world.is_held("articles"));
    world.says("articles", "Delete");
    assert!(world.round().await.starts_with("PATCH elysiacollections/articles merge"), "not held");
    assert!(world.is_held("articles"));
    let before = world.articles();
    advance(3600);
    assert_eq!(world.round().await, "");
    // The finalizers of others stay.
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["metadata"]["finalizers"] = json!(["theirs/a", names::COLLECTION_FINALIZER, "theirs/b"]);
    });
    world.says("articles", "Retain");
    world.round().await;
    let after = world.articles();
    assert_eq!(after.metadata.finalizers.unwrap(), ["theirs/a", "theirs/b"]);
    assert_eq!(after.spec.schema, before.spec.schema);
}

#[tokio::test]
async fn a_finalizer_is_not_put_on_what_changed_meanwhile() {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("articles", &json!({}), 1));
    world.says("articles", "Delete");
    world.api.fail_next("PATCH", "elysiacollections/articles", 409);
    world.round().await;
    assert!(!world.is_held("articles"));
    world.round().await;
    assert!(world.is_held("articles"));
}

#[tokio::test]
async fn delete_deletes_the_class_and_waits_until_it_is_gone() {
    let mut world = owned().await;
    world.weaviate.seed_objects("Articles", "shard0", "w-0", ids(5));
    world.delete("articles");
    assert!(world.try_get("articles").is_some(), "it is held");
    assert_snapshot!(world.until_gone("articles").await.0, @r"
    DELETE /v1/schema/Articles at w-0
    POST events Normal CollectionDeleted
    PATCH elysiacollections/articles merge
    ");
    assert!(!world.has_class());
}

#[tokio::test]
async fn retain_keeps_the_class_also_when_it_was_delete_until_now() {
    let mut world = owned().await;
    world.delete("articles");
    world.says("articles", "Retain");
    let (transcript, _) = world.until_gone("articles").await;
    assert!(!transcript.contains("DELETE"), "{transcript}");
    assert!(world.has_class());
}

/// A round may wait for minutes until nothing else proves, deletes or thaws: what it saw before that does not count.
#[tokio::test]
async fn what_comes_to_speak_against_it_after_the_look_keeps_the_class_as_well() {
    for what in ["Retain", "paused", "protected", "made anew"] {
        let mut world = owned().await;
        world.delete("articles");
        let (api, mut asked) = (world.api.clone(), 0);
        world.fuse.watch(move |line| {
            asked += usize::from(line.starts_with("GET /v1/replication/replicate"));
            if asked != 1 {
                return;
            }
            asked += 1;
            match what {
                "Retain" => api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
                    object["spec"]["deletionPolicy"] = "Retain".into();
                }),
                "paused" => api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
                    object["metadata"]["annotations"][names::PAUSED_ANNOTATION] = "true".into();
                }),
                "protected" => api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| {
                    object["spec"]["protectedCollections"] = json!(["Art*"]);
                }),
                _ => {
                    api.remove::<ElysiaCollection>(NAMESPACE, "articles");
                    api.seed(&declared("articles", &json!({}), 3));
                }
            }
        });
        world.round_or_crash("articles").await;
        assert!(world.has_class(), "{what}: {}", world.transcript());
        if what != "made anew" {
            let (transcript, seconds) = world.until_gone("articles").await;
            assert!(!transcript.contains("DELETE") && seconds == 5, "{what}: {seconds} s {transcript}");
        }
        assert!(world.has_class(), "{what}");
    }
}

#[tokio::test]
async fn what_speaks_against_it_keeps_the_data_and_lets_the_object_go_at_once() {
    for what in ["cluster gone", "cluster deleted", "namespace deleted", "protected", "rival", "paused", "hibernated"] {
        let mut world = owned().await;
        let cluster = |world: &World, change: &dyn Fn(&mut serde_json::Value)| {
            world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |object| change(object));
        };
        match what {
            "cluster gone" => world.api.remove::<WeaviateCluster>(NAMESPACE, "search"),
            "cluster deleted" => {
                cluster(&world, &|object| object["metadata"]["finalizers"] = json!(["theirs/a"]));
                world.api.delete::<WeaviateCluster>(NAMESPACE, "search");
            }
            "namespace deleted" => world.api.seed_namespace(NAMESPACE, true),
            "protected" => cluster(&world, &|object| object["spec"]["protectedCollections"] = json!(["Art*"])),
            "rival" => drop(world.api.seed(&declared("another", &json!({}), 3))),
            "paused" => world.annotate::<ElysiaCollection>("articles", names::PAUSED_ANNOTATION, "true"),
            _ => cluster(&world, &|object| {
                for condition in object["status"]["conditions"].as_array_mut().unwrap() {
                    condition["reason"] = "Hibernated".into();
                }
            }),
        }
        world.delete("articles");
        let (transcript, seconds) = world.until_gone("articles").await;
        let expected = "POST events Warning DeletionRefused\nPATCH elysiacollections/articles merge";
        assert_eq!((transcript.as_str(), seconds), (expected, 5), "{what}");
        assert!(world.has_class(), "{what}");
    }
}

#[tokio::test]
async fn servers_that_cannot_be_asked_hold_it_for_ten_minutes() {
    let mut world = owned().await;
    for node in NODES {
        world.weaviate.close(node).await;
    }
    world.delete("articles");
    world.round().await;
    assert!(
        world.conditions().starts_with("Ready=False Deleting: the servers cannot be asked"),
        "{}",
        world.conditions()
    );
    let (_, seconds) = world.until_gone("articles").await;
    assert!((600..=720).contains(&seconds), "{seconds}");
    for node in NODES {
        world.weaviate.open(node).await.unwrap();
    }
    assert!(world.has_class());
}

#[tokio::test]
async fn servers_that_refuse_the_delete_hold_it_for_an_hour() {
    let mut world = owned().await;
    world.delete("articles");
    // The wire refuses each write to Weaviate; reads are answered.
    let mut seconds = 0;
    while world.try_get("articles").is_some() {
        if seconds < 3600 {
            world.fuse.set(1, Fate::Fails(500));
        }
        world.round_or_crash("articles").await;
        advance(600);
        seconds += 600;
        assert!(seconds <= 4800, "it hangs: {}", world.conditions());
    }
    assert!(world.has_class());
    assert!(seconds >= 3600, "{seconds}");
}

#[tokio::test]
async fn a_copy_that_runs_is_waited_for() {
    let mut world = owned().await;
    world.weaviate.seed_class(&json!({"class": "Articles", "shardingConfig": {"desiredCount": 1}}));
    world.round().await;
    world.delete("articles");
    world.round().await;
    let conditions = world.conditions();
    assert!(conditions.contains("copies of replicas run; the collection is deleted after that"), "{conditions}");
    assert!(world.has_class());
    for _ in 0..4 {
        world.weaviate.advance();
    }
    world.until_gone("articles").await;
    assert!(!world.has_class());
}

#[tokio::test]
async fn one_that_never_owned_it_deletes_nothing() {
    let mut world = owned().await;
    world.api.seed(&declared("newer", &json!({}), 3));
    world.says("newer", "Delete");
    world.collection("newer").await.unwrap();
    assert!(!world.is_held("newer"));
    world.delete("newer");
    assert!(world.try_get("newer").is_none());
    assert!(world.has_class());
    // And the owner still does.
    world.delete("articles");
    world.until_gone("articles").await;
    assert!(!world.has_class());
}

#[tokio::test]
async fn a_collection_that_is_handed_over_is_the_others_from_then_on() {
    let mut world = owned().await;
    world.api.seed(&declared("heir", &json!({}), 3));
    world.says("heir", "Delete");
    world.delete("articles");
    world.until_gone("articles").await;
    assert!(world.has_class());
    world.collection("heir").await.unwrap();
    assert!(world.is_held("heir"));
    world.delete("heir");
    world.until_gone("heir").await;
    assert!(!world.has_class());
}

#[tokio::test]
async fn a_node_that_is_away_does_not_hold_it() {
    let mut world = owned().await;
    world.weaviate.close("w-2").await;
    world.delete("articles");
    let (_, seconds) = world.until_gone("articles").await;
    assert!(seconds <= 720, "{seconds}");
    assert!(!world.has_class());
}

#[tokio::test]
async fn servers_that_answer_with_errors_are_not_taken_for_servers_without_the_class() {
    let mut world = owned().await;
    for node in NODES {
        world.weaviate.fault(node, Some(Fault::Status(500)));
    }
    world.delete("articles");
    for _ in 0..5 {
        world.round_or_crash("articles").await;
    }
    assert!(world.try_get("articles").is_some());
    for node in NODES {
        world.weaviate.fault(node, None);
    }
    world.until_gone("articles").await;
    assert!(!world.has_class());
}

#[tokio::test]
async fn after_a_fault_at_any_write_the_class_goes_and_then_the_object() {
    for fate in [Fate::Fails(500), Fate::Fails(409), Fate::FailsAfter(500), Fate::Hangs, Fate::HangsAfter] {
        // Two writes, and a third that must not come.
        for at in if fate == Fate::Fails(409) { 1..=3 } else { 1..=2 } {
            let mut world = World::with_cluster().await;
            world.api.seed(&declared("articles", &json!({}), 3));
            world.says("articles", "Delete");
            for _ in 0..3 {
                world.round().await;
            }
            world.fuse.set(at, fate);
            world.delete("articles");
            let (transcript, seconds) = world.until_gone("articles").await;
            assert!(!world.has_class(), "{fate:?} at {at}: {transcript}");
            assert!(seconds <= 60, "{fate:?} at {at}: {seconds} s");
            // Never the other way round: the object goes only after a look that found the class gone.
            let deleted = transcript.find("DELETE /v1/schema/Articles").expect("no delete");
            let merged = transcript.rfind("PATCH elysiacollections/articles merge").expect("not let go");
            assert!(deleted < merged, "{fate:?} at {at}: {transcript}");
            if at > 2 {
                assert_eq!(world.fuse.line(), None, "there is a third write by now; test it");
            }
        }
    }
}

#[tokio::test]
async fn two_clusters_that_stand_for_the_same_servers_are_one() {
    let mut world = owned().await;
    // The same servers under another name, and the same collection declared once more.
    world.api.edit::<WeaviateCluster>(NAMESPACE, "search", |_| {});
    let mut other: WeaviateCluster = world.get("search");
    other.metadata = kube::core::ObjectMeta {
        name: Some("again".to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..kube::core::ObjectMeta::default()
    };
    // By other addresses: only what the servers say of themselves is left to know them by.
    if let Some(external) = other.spec.external.as_mut() {
        external.url = external.url.replace("127.0.0.1", "localhost");
        for node in &mut external.nodes {
            node.url = node.url.replace("127.0.0.1", "localhost");
        }
    }
    world.api.seed(&other);
    world.cluster("again").await.unwrap();
    let mut claim = declared("twin", &json!({"description": "theirs"}), 3);
    claim.spec.cluster_ref.name = "again".to_owned();
    world.api.seed(&claim);
    world.says("twin", "Delete");
    world.transcript();
    world.collection("twin").await.unwrap();
    assert_snapshot!(world.transcript(), @r"
    PATCH elysiacollections/twin/status Ready=False Conflict
    POST events Warning Conflict
    ");
    assert!(!world.is_held("twin"));
    // Nor is it deleted with the other while this one claims it.
    world.delete("articles");
    world.until_gone("articles").await;
    assert!(world.has_class());
}
