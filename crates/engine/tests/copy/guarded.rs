//! What is never removed, and what stands in the way.

use elysia_engine::copy::state::Holding;
use elysia_engine::copy::{Blocker, CopyError, Order};
use elysia_engine::memory::Fuse;
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
async fn what_a_person_filled_since_is_not_taken_for_what_was_made_for_it() {
    let made = Order { is_made: true, ..last("last") };
    // Nothing says that this copy wrote what is there: its state was never written, or is lost.
    let world = World::new(5, &[]);
    target(&world, &[77]);
    let before = world.contents("B");
    let blockers = blocked(world.copy(&made).await.unwrap_err());
    assert_eq!(blockers, [Blocker::Occupied { into: "B".to_owned(), tenant: None }]);
    assert_eq!((world.contents("B"), world.lock().removed.len()), (before, 0));
    // A class that a person approved to be written over is.
    let state = world.copy(&Order { may_hold: true, ..made.clone() }).await.unwrap();
    assert!(state.compared.unwrap().is_same());
    assert_eq!(world.lock().removed, [id(77).to_string()]);
    // One that was made anew while it is copied is known by its identity.
    let world = World::new(5, &[]);
    target(&world, &[]);
    world.copy(&Order { is_made: true, ..order("open") }).await.unwrap();
    world.make_anew("B");
    target_holds(&world, 77);
    let blockers = blocked(world.copy(&made).await.unwrap_err());
    assert_eq!(blockers, [Blocker::MadeAnew { collection: "B".to_owned(), cluster: "here".to_owned() }]);
    assert!(world.contents("B")[""].contains_key(&id(77)));
}

fn target_holds(world: &World, number: u8) {
    let mut inner = world.lock();
    let class = inner.classes.get_mut("B").unwrap();
    class.objects.entry(String::new()).or_default().insert(id(number), (object(number, 9), 0));
}

#[tokio::test]
async fn what_is_written_by_an_alias_that_was_moved_to_the_target_stays() {
    let world = World::new(9, &[]);
    world.copy(&order("open")).await.unwrap();
    world.lock().classes.get_mut("B").unwrap().aliases.push("Live".to_owned());
    target_holds(&world, 77);
    let in_use = [Blocker::InUse { collection: "B".to_owned(), alias: "Live".to_owned() }];
    assert_eq!(blocked(world.copy(&last("last")).await.unwrap_err()), in_use);
    // It is moved in the middle: after each call of the copier, once.
    let mut has_stopped = 0;
    for call in 1..200 {
        let world = World::new(9, &[]);
        world.copy(&order("open")).await.unwrap();
        let first = world.lock().calls;
        world.writes([Act::Switch { alias: "Live", id: 77 }], first + call);
        match world.copy(&last("last")).await {
            Ok(_) => {
                // Between the last look and the end nothing is removed.
                let is_switched = !world.class("B").aliases.is_empty();
                assert!(!is_switched || world.contents("B")[""].contains_key(&id(77)), "{call}");
                if !is_switched {
                    break;
                }
            }
            Err(error) => {
                assert_eq!(blocked(error), in_use, "{call}");
                assert!(world.contents("B")[""].contains_key(&id(77)), "{call}");
                has_stopped += 1;
            }
        }
        assert_eq!(world.lock().removed, [""; 0], "{call}");
    }
    assert!(has_stopped > 3, "{has_stopped}");
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
async fn what_servers_do_not_answer_or_take_as_it_is_is_not_copied() {
    let plain = || class("A", false);
    let expiring = |filters: bool| {
        let mut class = plain();
        class["objectTtlConfig"] = json!({"enabled": true, "filterExpiredObjects": filters});
        class
    };
    let with = |property: serde_json::Value| {
        let mut class = plain();
        class["properties"].as_array_mut().unwrap().push(property);
        class
    };
    let numbers = json!([{"name": "latitude", "dataType": ["number"]}, {"name": "longitude", "dataType": ["number"]}]);
    let place = json!({"name": "place", "dataType": ["object"], "nestedProperties": numbers});
    let hash = || json!({"name": "photo", "dataType": ["blobHash"]});
    let drop = || vec![elysia_engine::backup::transform::Step::Drop { property: "photo".to_owned() }];
    for (source, made, transform, wanted) in [
        (expiring(true), None, vec![], Some("A cannot be copied: its servers leave expired objects out")),
        (expiring(true), Some(expiring(true)), vec![], Some("A cannot be copied: its servers")),
        (plain(), Some(expiring(true)), vec![], Some("B cannot be copied: its servers leave expired objects out")),
        (expiring(false), None, vec![], None),
        (with(place), None, vec![], Some("A cannot be copied: property `place` is object with latitude, longitude")),
        (with(hash()), None, vec![], Some("A cannot be copied: property `photo` is blobHash")),
        (with(hash()), None, drop(), None),
    ] {
        let what = format!("{source} {made:?}");
        let world = World::new(3, &[]);
        world.lock().classes.get_mut("A").unwrap().schema = source;
        let order = Order { class: made, transform, ..order("open") };
        let Some(wanted) = wanted else {
            world.copy(&order).await.unwrap();
            continue;
        };
        let blockers = blocked(world.copy(&order).await.unwrap_err());
        let words: Vec<String> = blockers.iter().map(ToString::to_string).collect();
        assert!(words.len() == 1 && words[0].starts_with(wanted), "{what}: {words:?}");
        assert!(!world.lock().classes.contains_key("B") && world.states.files().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn the_state_of_another_copy_is_not_gone_on_with() {
    let world = World::new(3, &[]);
    world.copy(&order("open")).await.unwrap();
    let other = Order { into: "C".to_owned(), ..order("open") };
    let blockers = blocked(world.copy(&other).await.unwrap_err());
    assert!(matches!(&blockers[..], [Blocker::OtherCopy { into, .. }] if into == "B"), "{blockers:?}");
}

#[tokio::test]
async fn what_is_made_after_the_servers_refused_it_is_somebody_elses() {
    // The note that it will be made goes when it is not made.
    let world = World::new(5, &[("t1", "HOT")]);
    world.lock().refuses_classes = true;
    world.copy(&order("open")).await.unwrap_err();
    assert!(world.states.files().is_empty(), "{:?}", world.states.files());
    // A person makes it; an application fills one tenant and puts another to rest.
    world.lock().refuses_classes = false;
    let filled = [("mine".to_owned(), [(id(77), (object(77, 9), 0))].into())].into();
    let tenants = [("cold".to_owned(), "COLD".to_owned()), ("mine".to_owned(), "HOT".to_owned())].into();
    let class = Class { schema: class("B", true), objects: filled, tenants, ..Class::default() };
    world.lock().classes.insert("B".to_owned(), class);
    let before = world.contents("B");
    let blockers = blocked(world.copy(&order("open")).await.unwrap_err());
    assert_eq!(blockers, [Blocker::Occupied { into: "B".to_owned(), tenant: Some("mine".to_owned()) }]);
    assert_eq!((world.contents("B"), world.lock().removed.len()), (before, 0));
}

#[tokio::test]
async fn a_note_that_it_will_be_made_does_not_make_a_filled_one_its_own() {
    let world = World::new(5, &[("t1", "HOT")]);
    // Killed right after the note: nothing of the target is there yet.
    let mut calls = 1;
    while world.states.files().is_empty() {
        world.with_fuse(&Fuse::after(calls)).copy(&order("open")).await.unwrap_err();
        calls += 1;
    }
    assert!(!world.lock().classes.contains_key("B"));
    let tenants = [("cold".to_owned(), "COLD".to_owned())].into();
    let class = Class { schema: class("B", true), tenants, ..Class::default() };
    world.lock().classes.insert("B".to_owned(), class);
    let blockers = blocked(world.copy(&order("open")).await.unwrap_err());
    assert_eq!(blockers, [Blocker::Occupied { into: "B".to_owned(), tenant: Some("cold".to_owned()) }]);
    assert!(world.class("B").tenants.contains_key("cold"));
}
