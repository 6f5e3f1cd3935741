//! A spec that does not hold any more in the midst of a recreation, or of emptying: nobody is to wait for a person to mend it.

use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_testkit::kubernetes::Fate;
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::controller::Action;
use serde_json::Value;

use super::super::super::super::fixture::{NAMESPACE, World};
use super::tenants::{TENANTS, check_tenants, tenants_approved};
use super::voided::check_untouched;
use super::{approved, round_or_crash, steps};

const BEFORE_THE_DELETE: [&str; 4] = ["AutoSchemaOff", "Freeze", "Settle", "Delete"];
const AFTER_THE_DELETE: [&str; 3] = ["WaitGone", "Create", "Verify"];

fn contradict(world: &World) {
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["schema"]["class"] = "Others".into();
    });
}

fn mend(world: &World) {
    world.api.edit::<ElysiaCollection>(NAMESPACE, "articles", |object| {
        object["spec"]["schema"].as_object_mut().unwrap().remove("class");
    });
}

/// Rounds until the journal stands there, then the contradiction.
async fn contradicted_at(world: &mut World, cursor: &str) {
    while !world.is_at(cursor) {
        round_or_crash(world).await;
    }
    contradict(world);
    world.transcript();
}

/// Rounds over the contradiction: what they wrote, and what the conditions said in them.
async fn rounds(world: &mut World) -> (String, String) {
    let mut told = String::new();
    for _ in 0..12 {
        round_or_crash(world).await;
        told.push_str(&world.conditions());
        told.push('\n');
    }
    (world.transcript(), told)
}

fn check_told(told: &str, said: &str, what: &str) {
    let conditions =
        told.lines().filter(|line| ["Ready=", "Stalled=", "Available="].iter().any(|it| line.starts_with(it)));
    for line in conditions {
        assert!(
            line.starts_with("Ready=False InvalidSpec") || line.starts_with("Stalled=True InvalidSpec"),
            "{what}: {line}"
        );
    }
    assert!(told.contains(said), "{what}\n{told}");
}

/// Over, nothing held, and at rest.
async fn check_over(world: &mut World, cursor: &str, what: &str) {
    assert!(world.is_at(cursor) && !world.holds_auto_schema_off(), "{what}: {}", world.conditions());
    assert_eq!(world.articles().status.unwrap().plan, None, "{what}: there is nothing under way");
    assert_eq!(world.collection("articles").await.unwrap(), Action::await_change(), "{what}");
}

#[tokio::test]
async fn what_has_not_deleted_yet_is_called_off() {
    for cursor in BEFORE_THE_DELETE {
        let mut world = approved().await;
        contradicted_at(&mut world, cursor).await;
        let (written, told) = rounds(&mut world).await;
        check_untouched(&world, &written, cursor).await;
        check_told(&told, "Articles was about to be recreated; that is called off meanwhile, plan ", cursor);
        check_over(&mut world, "Stopped", cursor).await;
        // Mended, it needs another approval, and says why the last attempt was stopped.
        mend(&world);
        assert!(!steps(&world.rest().await).contains("/v1/"), "{cursor}");
        assert!(world.conditions().contains("The last attempt was stopped: the spec is not valid"), "{cursor}");
        world.approve();
        let written = world.rest().await;
        assert!(world.is_at("Done") && world.is_ready(), "{cursor}\n{written}");
    }
}

#[tokio::test]
async fn what_has_deleted_makes_the_class_that_was_approved() {
    for cursor in AFTER_THE_DELETE {
        let mut world = approved().await;
        contradicted_at(&mut world, cursor).await;
        let (written, told) = rounds(&mut world).await;
        assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai", "{cursor}\n{written}");
        let said = "Articles was deleted to be recreated and is made again meanwhile, as plan ";
        check_told(&told, said, cursor);
        check_over(&mut world, "Done", cursor).await;
        mend(&world);
        assert!(!steps(&world.rest().await).contains("/v1/schema"), "{cursor}");
        assert!(world.is_ready(), "{cursor}: {}", world.conditions());
    }
}

#[tokio::test]
async fn every_step_of_it_is_told() {
    let mut world = approved().await;
    contradicted_at(&mut world, "Settle").await;
    assert_snapshot!(rounds(&mut world).await.0, @r"
    PUT configmaps/articles-journal-00000003 Thaw (the spec is not valid any more: 1 validation error(s):
      - spec: spec.schema.class must equal spec.collection, or be left out)
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    POST events Warning RecreationVoided
    POST events Warning InvalidSpec
    PUT /v1/schema/Articles/shards/shard0 at w-0
    PUT /v1/schema/Articles/shards/shard1 at w-0
    PUT /v1/schema/Articles/shards/shard2 at w-0
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    PUT configmaps/articles-journal-00000003 Stopped (the spec is not valid any more: 1 validation error(s):
      - spec: spec.schema.class must equal spec.collection, or be left out)
    POST events Normal RecreationEnded
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    ");
    let mut world = approved().await;
    contradicted_at(&mut world, "WaitGone").await;
    assert_snapshot!(rounds(&mut world).await.0, @r"
    PUT configmaps/articles-journal-00000003 Create
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    POST events Warning InvalidSpec
    POST /v1/schema at w-0
    PUT configmaps/articles-journal-00000003 Verify
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    POST events Normal Created
    PUT configmaps/articles-journal-00000003 Done
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    POST events Normal Recreated
    PATCH elysiacollections/articles/status Ready=False InvalidSpec
    ");
}

/// Tenants and what makes them are there again, whatever breaks.
#[tokio::test]
async fn so_it_is_with_tenants() {
    let faults = [None, Some((1, Fate::Hangs)), Some((2, Fate::HangsAfter)), Some((3, Fate::FailsAfter(500)))];
    for (cursor, ends) in [
        ("TenantCreationOff", "Stopped"),
        ("Freeze", "Stopped"),
        ("Settle", "Stopped"),
        ("Delete", "Stopped"),
        ("WaitGone", "Done"),
        ("Create", "Done"),
        ("CreateTenants", "Done"),
    ] {
        for fault in faults {
            let what = format!("{cursor} {fault:?}");
            let mut world = tenants_approved().await;
            contradicted_at(&mut world, cursor).await;
            if let Some((at, fate)) = fault {
                world.fuse.set(at, fate);
            }
            let (written, _) = rounds(&mut world).await;
            assert!(!world.is_frozen_anywhere().await, "{what}\n{written}");
            check_tenants(&world, &TENANTS, &what, &written);
            let vectorizer = if ends == "Done" { "text2vec-openai" } else { "none" };
            assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], vectorizer, "{what}\n{written}");
            check_over(&mut world, ends, &what).await;
        }
    }
}

#[tokio::test]
async fn so_it_is_with_a_collection_that_is_being_emptied() {
    for (cursor, ends, said) in [
        ("Settle", "Stopped", "Articles was about to be emptied; that is called off meanwhile, plan "),
        ("WaitGone", "Done", "Articles was deleted to be emptied and is made again meanwhile, as plan "),
    ] {
        let mut world = super::clear::asked().await;
        contradicted_at(&mut world, cursor).await;
        let (written, told) = rounds(&mut world).await;
        check_told(&told, said, cursor);
        assert!(world.weaviate.class("Articles").is_some() && !world.is_frozen_anywhere().await, "{cursor}\n{written}");
        let left = world.weaviate.holds("Articles").values().flat_map(|held| held.values().copied()).max();
        assert_eq!(left > Some(0), ends == "Stopped", "{cursor}: {left:?}\n{written}");
        check_over(&mut world, ends, cursor).await;
    }
}

#[tokio::test]
async fn a_cluster_that_is_away_meanwhile_is_asked_again() {
    let mut world = approved().await;
    contradicted_at(&mut world, "Settle").await;
    world.api.remove::<WeaviateCluster>(NAMESPACE, "search");
    assert_ne!(world.collection("articles").await.unwrap(), Action::await_change());
    assert!(world.conditions().contains("waiting for the cluster to answer"), "{}", world.conditions());
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_looked_at_again() {
    let mut world = approved().await;
    contradicted_at(&mut world, "Settle").await;
    let journal = world.journal();
    let text = |world: &World| world.get::<ConfigMap>(&journal).data.unwrap()["journal.json"].clone();
    let kept = text(&world);
    let put = |world: &World, text: &str| {
        world.api.edit::<ConfigMap>(NAMESPACE, &journal, |config| config["data"]["journal.json"] = Value::from(text));
    };
    put(&world, "no journal");
    assert_ne!(world.collection("articles").await.unwrap(), Action::await_change());
    let conditions = world.conditions();
    let said = "whether the collection is being deleted and made again is not known: ConfigMap ";
    assert!(conditions.contains(said), "{conditions}");
    put(&world, &kept);
    let (written, _) = rounds(&mut world).await;
    check_untouched(&world, &written, "").await;
    check_over(&mut world, "Stopped", "").await;
}

#[tokio::test]
async fn of_an_object_that_never_held_nothing_is_asked_of_the_servers() {
    let mut world = super::differs().await;
    contradict(&world);
    let asked = std::sync::Arc::new(std::sync::Mutex::new(0));
    let counter = std::sync::Arc::clone(&asked);
    world.fuse.watch(move |_| *counter.lock().unwrap() += 1);
    assert_eq!(world.collection("articles").await.unwrap(), Action::await_change());
    assert_eq!(*asked.lock().unwrap(), 0);
}
