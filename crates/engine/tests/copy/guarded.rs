//! What is never removed, and what stands in the way.

use elysia_engine::copy::state::Holding;
use elysia_engine::copy::{Blocker, CopyError, Order};
use serde_json::json;

use super::world::{Act, Class, World, class, id, last, object, order};

fn blocked(error: CopyError) -> Vec<Blocker> {
    match error {
        CopyError::Blocked(blockers) => blockers,
        error => panic!("{error}"),
    }
}

fn target(world: &World, numbers: &[u8]) {
    let objects = numbers.iter().map(|number| (id(*number), (object(*number, 9), 0))).collect();
    let class = Class { schema: class("B", false), objects: [(String::new(), objects)].into(), ..Class::default() };
    world.lock().classes.insert("B".to_owned(), class);
}

#[tokio::test]
async fn a_collection_with_objects_that_is_not_its_own_is_not_touched() {
    let world = World::new(5, &[]);
    target(&world, &[77]);
    let before = world.contents("B");
    let blockers = blocked(world.copy(&order("open")).await.unwrap_err());
    assert_eq!(blockers, [Blocker::Occupied { into: "B".to_owned(), tenant: None }]);
    assert_eq!(world.contents("B"), before);
    assert!(world.states.files().is_empty());
}

#[tokio::test]
async fn nothing_is_removed_from_a_collection_that_was_there_before() {
    let world = World::new(5, &[]);
    target(&world, &[]);
    assert_eq!(world.copy(&order("open")).await.unwrap().holding, Holding::Found);
    world.writes([Act::Delete { tenant: "", id: 1 }], 1);
    world.writes_the_rest();
    let state = world.copy(&last("last")).await.unwrap();
    let compared = state.compared.unwrap();
    assert_eq!((compared.differing, compared.is_same(), state.left), (1, false, 1));
    assert_eq!(world.lock().removed, Vec::<String>::new());
    assert!(world.contents("B")[""].contains_key(&id(1)));
}

#[tokio::test]
async fn one_that_was_made_for_it_is_its_own() {
    let world = World::new(5, &[]);
    target(&world, &[]);
    let made = |order: Order| Order { is_made: true, ..order };
    world.copy(&made(order("open"))).await.unwrap();
    world.writes([Act::Delete { tenant: "", id: 1 }], 1);
    world.writes_the_rest();
    assert!(world.copy(&made(last("last"))).await.unwrap().compared.unwrap().is_same());
    assert_eq!(world.lock().removed, [id(1).to_string()]);
    world.lock().classes.remove("B");
    let blockers = blocked(world.copy(&made(order("more"))).await.unwrap_err());
    assert_eq!(blockers, [Blocker::Gone { into: "B".to_owned() }]);
}

#[tokio::test]
async fn a_source_that_was_made_anew_empties_nothing() {
    let world = World::new(5, &[]);
    world.copy(&order("open")).await.unwrap();
    world.make_anew("A");
    let blockers = blocked(world.copy(&last("last")).await.unwrap_err());
    assert_eq!(blockers, [Blocker::MadeAnew { collection: "A".to_owned(), cluster: "here".to_owned() }]);
    assert_eq!(world.contents("B")[""].len(), 5);
}

#[tokio::test]
async fn a_source_that_lost_every_tenant_empties_nothing() {
    let world = World::new(5, &[("a", "HOT")]);
    world.copy(&order("open")).await.unwrap();
    world.writes([Act::RemoveTenant { tenant: "a" }], 1);
    world.writes_the_rest();
    let blockers = blocked(world.copy(&last("last")).await.unwrap_err());
    assert_eq!(blockers, [Blocker::NoTenants { collection: "A".to_owned() }]);
    assert_eq!(world.contents("B")["a"].len(), 5);
}

#[tokio::test]
async fn what_a_listing_lacks_is_not_gone() {
    let world = World::new(9, &[]);
    world.copy(&order("open")).await.unwrap();
    world.lock().hidden.extend([id(3), id(4)]);
    let state = world.copy(&order("again")).await.unwrap();
    assert_eq!(state.removed, 0);
    assert_eq!(world.contents("B"), world.contents("A"));
}

#[tokio::test]
async fn every_blocker_is_named_at_once() {
    let world = World::new(1, &[("a", "FROZEN"), ("b", "HOT")]);
    let wrong = Order {
        class: Some(json!({
            "class": "B", "properties": [{"name": "text", "dataType": ["int"]}], "multiTenancyConfig": {"enabled": true},
            "vectorConfig": {"v": {"vectorizer": {"none": {}}}},
        })),
        factor: Some(5),
        ..order("open")
    };
    let words: Vec<String> = blocked(world.copy(&wrong).await.unwrap_err()).iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "1 tenants of A cannot be read, a among them, which is FROZEN: activate them first",
            "5 replicas need 5 nodes, and there are 3: ask for fewer replicas",
            "property `text` is text in the source and int in B: convert or drop it by a transformation",
            "property `n` is int in the source and missing in B: convert or drop it by a transformation",
        ]
    );
    let itself = Order { into: "A".to_owned(), ..order("open") };
    assert_eq!(blocked(world.copy(&itself).await.unwrap_err()), [Blocker::Itself { into: "A".to_owned() }]);
    assert!(!world.lock().classes.contains_key("B"));
}

#[tokio::test]
async fn the_state_of_another_copy_is_not_gone_on_with() {
    let world = World::new(3, &[]);
    world.copy(&order("open")).await.unwrap();
    let other = Order { into: "C".to_owned(), ..order("open") };
    let blockers = blocked(world.copy(&other).await.unwrap_err());
    assert!(matches!(&blockers[..], [Blocker::OtherCopy { into, .. }] if into == "B"), "{blockers:?}");
}
