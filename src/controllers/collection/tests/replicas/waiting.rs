//! Approved plans that take replicas away and have to wait for others: what people say meanwhile is heard.

use elysia_api::{ElysiaCollection, WeaviateCluster, names};
use elysia_testkit::kubernetes::KubernetesApi;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::super::super::super::fixture::{NAMESPACE, NODES, World};
use super::super::declared;
use super::{gone, one_shard};

const TAKES_AWAY: [&str; 2] = ["POST /v1/replication/scale", "POST /v1/cluster/remove"];

fn edit(api: &KubernetesApi, change: impl FnOnce(&mut Value)) {
    api.edit::<ElysiaCollection>(NAMESPACE, "articles", change);
}

fn pause(api: &KubernetesApi) {
    edit(api, |object| object["metadata"]["annotations"][names::PAUSED_ANNOTATION] = "true".into());
}

impl World {
    /// Whether the journal of an approved plan stands and is not over.
    fn is_repairing(&self) -> bool {
        let text = |config: &ConfigMap| config.data.as_ref()?.get("journal.json").cloned();
        self.api.objects::<ConfigMap>().iter().filter_map(text).any(|text| text.contains(r#""over":false"#))
    }
}

/// Approved, and its journal written: the next round takes a replica away.
async fn approved() -> World {
    let mut world = one_shard(&NODES, 3, 1).await;
    world.story(3, 1, false).await;
    let hash = world.articles().status.unwrap().plan.unwrap().hash;
    world.annotate::<ElysiaCollection>("articles", names::APPROVE_ANNOTATION, &hash);
    for _ in 0..5 {
        if world.is_repairing() && world.weaviate.class("Articles").unwrap()["replicationConfig"]["factor"] == json!(1)
        {
            break;
        }
        world.round().await;
    }
    assert!(world.is_repairing(), "{}", world.conditions());
    world
}

#[tokio::test]
async fn what_is_said_while_it_waits_keeps_the_replica() {
    type Meddling = (&'static str, fn(&KubernetesApi));
    let meddlings: [Meddling; 8] = [
        ("paused", pause),
        ("gone", |api| api.remove::<ElysiaCollection>(NAMESPACE, "articles")),
        ("being deleted", |api| {
            edit(api, |object| object["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z".into());
        }),
        ("made anew", |api| {
            api.remove::<ElysiaCollection>(NAMESPACE, "articles");
            api.seed(&declared("articles", &json!({}), 1));
        }),
        ("another factor", |api| edit(api, |object| object["spec"]["replication"]["factor"] = 3.into())),
        ("invalid", |api| edit(api, |object| object["spec"]["schema"]["class"] = "Others".into())),
        ("no cluster", |api| api.remove::<WeaviateCluster>(NAMESPACE, "search")),
        ("no journal", |api| {
            for config in api.objects::<ConfigMap>() {
                api.remove::<ConfigMap>(NAMESPACE, &config.metadata.name.unwrap());
            }
        }),
    ];
    for (what, meddle) in meddlings {
        let mut world = approved().await;
        let written = world.while_it_waits(meddle).await.unwrap();
        assert!(!TAKES_AWAY.iter().any(|call| written.contains(call)), "{what}\n{written}");
        assert_eq!(world.weaviate.holds("Articles")["shard0"].len(), 3, "{what}\n{written}");
    }
}

/// Comparing what the replicas list may take minutes as well.
#[tokio::test]
async fn what_is_said_while_it_compares_keeps_the_replica() {
    let mut world = approved().await;
    let api = world.api.clone();
    world.fuse.watch(move |line| {
        if line.starts_with("GET /v1/objects") {
            pause(&api);
        }
    });
    let written = world.round().await;
    assert!(!TAKES_AWAY.iter().any(|call| written.contains(call)), "{written}");
    assert!(world.conditions().contains("elysia.dev/paused was set"), "{}", world.conditions());
    assert_eq!(world.weaviate.holds("Articles")["shard0"].len(), 3, "{written}");
}

#[tokio::test]
async fn paused_it_rests_and_goes_on_afterwards_without_its_annotation() {
    let mut world = approved().await;
    world.while_it_waits(pause).await.unwrap();
    let story = world.story(5, 60, false).await;
    assert!(!TAKES_AWAY.iter().any(|call| story.contains(call)), "{story}");
    assert!(world.conditions().contains("Stalled=True Paused"), "{}", world.conditions());
    edit(&world.api, |object| object["metadata"]["annotations"] = json!({}));
    let story = world.story(12, 1, false).await;
    assert_eq!(story.matches(TAKES_AWAY[0]).count(), 2, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
}

#[tokio::test]
async fn nobody_who_says_nothing_holds_it_up() {
    let mut world = approved().await;
    let written = world.while_it_waits(|_| {}).await.unwrap();
    assert!(written.contains(TAKES_AWAY[0]), "{written}");
}

#[tokio::test]
async fn a_dead_node_stays_in_raft_while_it_is_paused() {
    let mut world = gone(&["w-0", "w-2"], 2).await;
    world.cluster("search").await.unwrap();
    let mut story = String::new();
    for _ in 0..30 {
        // Whichever of its calls it is about to make.
        if let Some(written) = world.while_it_waits(pause).await {
            assert!(!TAKES_AWAY.iter().any(|call| written.contains(call)), "{written}");
            edit(&world.api, |object| object["metadata"]["annotations"].as_object_mut().unwrap().clear());
            let written = world.round().await;
            assert!(TAKES_AWAY.iter().any(|call| written.contains(call)), "{written}");
            story.push_str(&written);
        }
        story.push_str(&world.story(1, 1, true).await);
    }
    assert_eq!(story.matches(TAKES_AWAY[1]).count(), 1, "{story}");
    assert!(world.is_ready(), "{}", world.conditions());
}
