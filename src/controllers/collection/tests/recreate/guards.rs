//! What stands between a proof and a delete that must not be: each of these fails when its guard is taken out.

use std::sync::{Arc, Mutex};

use elysia_core::collection::recreate::PROOF_HOLDS;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::super::super::fixture::{NAMESPACE, NODES, World, advance, manifest};
use super::super::{declared, world};
use super::{approved, before_the_proof, round_or_crash};

/// What the proof asks of the nodes last: whether the shards are still read-only.
const LAST_QUESTION: &str = "GET /v1/schema/Articles/shards";

#[tokio::test]
async fn an_operator_that_leads_no_more_after_the_last_look_deletes_nothing_and_writes_nothing() {
    let mut world = before_the_proof().await;
    let context = world.shared();
    let mut asked = 0;
    world.fuse.watch(move |line| {
        asked += usize::from(line == LAST_QUESTION);
        if asked == 2 * NODES.len() {
            context.leading.is_over();
        }
    });
    world.collection("articles").await.unwrap();
    let written = world.transcript();
    assert!(!written.contains("DELETE") && !written.contains("configmaps"), "{written}");
    assert!(world.is_at("Delete"));
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "none");
}

/// What was seen first may no longer hold when the last is seen: of the pause of a machine, say.
#[tokio::test]
async fn a_proof_that_takes_too_long_is_none() {
    let mut world = before_the_proof().await;
    let mut asked = 0;
    world.fuse.watch(move |line| {
        asked += usize::from(line == LAST_QUESTION);
        if asked == 2 * NODES.len() {
            advance(PROOF_HOLDS.as_secs() + 1);
            asked += 1;
        }
    });
    let written = world.rest().await;
    assert!(!written.contains("DELETE"), "{written}");
    assert!(written.contains("Thaw (looking took "), "{written}");
    assert!(world.is_at("Stopped"), "{written}");
}

/// Lines at which nobody held the lock of what proves, deletes or thaws.
fn unlocked(world: &World, matters: fn(&str) -> bool) -> Arc<Mutex<Vec<String>>> {
    let (context, seen) = (world.shared(), Arc::new(Mutex::new(Vec::new())));
    let lines = Arc::clone(&seen);
    world.fuse.watch(move |line| {
        if matters(line) && context.destructive.try_lock().is_ok() {
            lines.lock().unwrap().push(line.to_owned());
        }
    });
    seen
}

#[tokio::test]
async fn nothing_else_thaws_or_creates_from_the_first_look_of_the_proof_to_the_delete() {
    let mut world = before_the_proof().await;
    let unlocked = unlocked(&world, |line| {
        line == LAST_QUESTION || line.starts_with("GET /v1/objects") || line.starts_with("DELETE")
    });
    world.collection("articles").await.unwrap();
    assert!(world.transcript().contains("DELETE /v1/schema/Articles"));
    assert_eq!(*unlocked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_frozen_or_thawed_beside_a_proof() {
    let mut world = approved().await;
    let unlocked = unlocked(&world, |line| line.starts_with("PUT /v1/schema/Articles/shards"));
    while !world.is_at("Settle") {
        round_or_crash(&mut world).await;
    }
    assert!(world.transcript().contains("PUT /v1/schema/Articles/shards"));
    assert_eq!(*unlocked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn the_thaw_for_an_object_that_is_gone_never_runs_beside_a_proof() {
    let mut world = before_the_proof().await;
    world.api.remove::<elysia_api::ElysiaCollection>(NAMESPACE, "articles");
    let unlocked = unlocked(&world, |line| line.starts_with("PUT /v1/schema/Articles/shards"));
    world.cluster("search").await.unwrap();
    assert!(world.transcript().contains("PUT /v1/schema/Articles/shards"));
    assert_eq!(*unlocked.lock().unwrap(), Vec::<String>::new());
}

/// A pod of the cluster whose server has run since then; `None`: it does not run now.
fn pod(name: &str, started: Option<i64>) -> Pod {
    let state = match started {
        Some(second) => json!({"running": {"startedAt": jiff::Timestamp::from_second(second).unwrap().to_string()}}),
        None => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
    };
    manifest(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {
            "elysia.dev/cluster": "search", "app.kubernetes.io/component": "server",
        }},
        "status": {"containerStatuses": [{
            "name": "weaviate", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": state,
        }]},
    }))
}

#[tokio::test]
async fn a_server_that_was_started_after_the_freeze_voids_the_proof_although_all_is_frozen_and_empty() {
    let late = i64::from(u32::MAX);
    for (started, deletes) in [(Some(1_000_000_000), true), (Some(late), false), (None, false)] {
        let mut world = before_the_proof().await;
        world.api.seed(&pod("w-1", started));
        world.collection("articles").await.unwrap();
        let written = world.transcript();
        assert_eq!(written.contains("DELETE /v1/schema/Articles"), deletes, "{started:?}\n{written}");
        if !deletes {
            assert!(written.contains("Thaw (w-1 restarted after the shards were made read-only)"), "{written}");
        }
    }
}

#[tokio::test]
async fn a_class_that_somebody_changes_between_the_look_and_the_put_is_not_overwritten() {
    let mut world = world(json!({"description": "ours"}), 1).await;
    let class = |description: &str| json!({"class": "Articles", "description": description});
    world.weaviate.seed_class(&class("theirs"));
    let weaviate = Arc::clone(&world.weaviate);
    let mut asked = 0;
    world.fuse.watch(move |line| {
        asked += usize::from(line == "GET /v1/schema/Articles");
        if asked == 2 {
            weaviate.seed_class(&class("a third one's"));
            asked += 1;
        }
    });
    let written = world.round().await;
    assert!(!written.contains("PUT /v1/schema"), "{written}");
    assert_eq!(world.weaviate.class("Articles").unwrap()["description"], "a third one's");
    // The next look starts from what is there now.
    assert!(world.round().await.contains("PUT /v1/schema/Articles"));
}

#[tokio::test]
async fn a_journal_of_other_servers_is_worked_off_nowhere_else() {
    for cursor in ["AutoSchemaOff", "Settle", "Delete", "WaitGone"] {
        let mut world = approved().await;
        while !world.is_at(cursor) {
            round_or_crash(&mut world).await;
        }
        world.transcript();
        // The same name leads to other servers now, where nobody approved anything.
        world.api.edit::<elysia_api::WeaviateCluster>(NAMESPACE, "search", |cluster| {
            let nodes = cluster["spec"]["external"]["nodes"].as_array_mut().unwrap();
            nodes[0]["url"] = Value::from(nodes[0]["url"].as_str().unwrap().replace("127.0.0.1", "localhost"));
        });
        let written = world.rest().await;
        assert!(!written.contains("/v1/") && !written.contains("configmaps"), "{cursor}\n{written}");
        let conditions = world.conditions();
        assert!(conditions.contains("Stalled=True JournalElsewhere"), "{cursor}\n{conditions}");
        assert!(conditions.contains("kubectl edit configmap articles-journal"), "{cursor}\n{conditions}");
        world.api.remove::<elysia_api::ElysiaCollection>(NAMESPACE, "articles");
        world.cluster("search").await.unwrap();
        assert!(!world.transcript().contains("/v1/"), "{cursor}: neither when its object is gone");
    }
}

#[tokio::test]
async fn a_plan_is_called_off_by_its_hash_until_the_delete() {
    for cursor in ["AutoSchemaOff", "Freeze", "Settle", "Delete"] {
        let mut world = approved().await;
        while !world.is_at(cursor) {
            round_or_crash(&mut world).await;
        }
        let hash = world.articles().status.unwrap().plan.unwrap().hash;
        world.annotate::<elysia_api::ElysiaCollection>("articles", "elysia.dev/rollback", "000000000000");
        world.annotate::<elysia_api::ElysiaCollection>("articles", "elysia.dev/rollback", &hash);
        world.transcript();
        let written = world.rest().await;
        super::voided::check_untouched(&world, &written, cursor).await;
        assert!(world.is_at("Stopped"), "{cursor}\n{written}");
        let conditions = world.conditions();
        assert!(conditions.contains("stopped: elysia.dev/rollback called it off"), "{cursor}\n{conditions}");
    }
}

/// A round may wait for others and count for minutes after it took the object from its cache.
#[tokio::test]
async fn a_plan_is_called_off_until_the_last_look_is_over() {
    for what in ["elysia.dev/rollback", "Off", "protected", "invalid", "gone"] {
        let mut world = before_the_proof().await;
        let hash = world.articles().status.unwrap().plan.unwrap().hash;
        let (api, mut asked) = (world.api.clone(), 0);
        world.fuse.watch(move |line| {
            asked += usize::from(line == LAST_QUESTION);
            if asked != 2 * NODES.len() {
                return;
            }
            asked += 1;
            let edit = |change: &dyn Fn(&mut Value)| {
                api.edit::<elysia_api::ElysiaCollection>(NAMESPACE, "articles", |object| change(object));
            };
            match what {
                "elysia.dev/rollback" => edit(&|object| object["metadata"]["annotations"][what] = hash.as_str().into()),
                "Off" => edit(&|object| object["spec"]["repair"]["recreate"] = "Off".into()),
                "invalid" => edit(&|object| object["spec"]["schema"]["class"] = "Others".into()),
                "protected" => api.edit::<elysia_api::WeaviateCluster>(NAMESPACE, "search", |cluster| {
                    cluster["spec"]["protectedCollections"] = json!(["Art*"]);
                }),
                _ => api.remove::<elysia_api::ElysiaCollection>(NAMESPACE, "articles"),
            }
        });
        // Without an object the status of the round goes nowhere.
        drop(world.collection("articles").await);
        let written = world.transcript();
        let expected = if what == "gone" { "Settle" } else { "Thaw" };
        assert!(!written.contains("DELETE") && world.is_at(expected), "{what}\n{written}");
        if what != "gone" {
            let written = world.rest().await;
            super::voided::check_untouched(&world, &written, what).await;
        }
    }
}

/// A freeze that waited for others: of an object that is gone by then the shards may have been made writable already, for good.
#[tokio::test]
async fn nothing_is_frozen_for_an_object_that_is_gone_or_has_thought_better_of_it() {
    for what in ["gone", "being deleted", "elysia.dev/paused", "Off"] {
        let mut world = approved().await;
        while !world.is_at("Freeze") {
            round_or_crash(&mut world).await;
        }
        world.transcript();
        let written = world
            .while_it_waits(|api| {
                let edit = |change: &dyn Fn(&mut Value)| {
                    api.edit::<elysia_api::ElysiaCollection>(NAMESPACE, "articles", |object| change(object));
                };
                match what {
                    "gone" => api.remove::<elysia_api::ElysiaCollection>(NAMESPACE, "articles"),
                    "Off" => edit(&|object| object["spec"]["repair"]["recreate"] = "Off".into()),
                    "being deleted" => {
                        edit(&|object| object["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z".into());
                    }
                    _ => edit(&|object| object["metadata"]["annotations"][what] = "true".into()),
                }
            })
            .await
            .unwrap();
        assert!(!written.contains("/v1/schema"), "{what}\n{written}");
        assert!(!world.is_frozen_anywhere().await, "{what}\n{written}");
    }
}

#[tokio::test]
async fn a_plan_that_was_called_off_before_its_approval_does_not_begin() {
    let mut world = approved().await;
    let hash = world.articles().status.unwrap().plan.unwrap().hash;
    world.annotate::<elysia_api::ElysiaCollection>("articles", "elysia.dev/rollback", &hash);
    let written = world.rest().await;
    assert!(!written.contains("/v1/") && !written.contains("configmaps"), "{written}");
    assert!(world.conditions().contains("was called off by elysia.dev/rollback"), "{}", world.conditions());
}

#[tokio::test]
async fn a_journal_that_does_not_fit_is_refused_before_the_first_step() {
    let mut world = World::with_cluster().await;
    world.api.seed(&declared("articles", &json!({"vectorizer": "text2vec-openai"}), 3));
    world.weaviate.auto_schema(false);
    world.weaviate.seed_class(&json!({
        "class": "Articles", "description": "x".repeat(900_000), "replicationConfig": {"factor": 3},
    }));
    world.round().await;
    let conditions = world.conditions();
    assert!(
        conditions.contains("RefusedNotProvablyEmpty") && conditions.contains("of which 900000 fit"),
        "{conditions}"
    );
    assert_eq!(world.articles().status.unwrap().plan, None);
}
