//! References are copied in their order, whoever is killed, and those to the collection itself lead to the copy.

use std::collections::BTreeMap;

use elysia_engine::backup::transform::Step;
use elysia_engine::copy::{Blocker, CopyError, Order};
use elysia_engine::memory::Fuse;
use elysia_engine::object::Object;
use elysia_engine::retry::Retry;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Act, Fate, World, id, last, order};

/// What `B` should hold.
fn wanted(world: &World) -> BTreeMap<String, BTreeMap<Uuid, Object>> {
    let mut all = world.contents("A");
    for object in all.values_mut().flat_map(BTreeMap::values_mut) {
        let Some(list) = object.properties.get_mut("toA") else { continue };
        let beacon = list[0]["beacon"].as_str().unwrap().replace("/A/", "/B/");
        *list = json!([{ "beacon": beacon }]);
    }
    all
}

fn acts() -> Vec<Act> {
    let put = |id, content| Act::PutLinked { id, content };
    vec![put(1, 100), Act::Delete { tenant: "", id: 2 }, put(30, 3), put(3, 101), put(4, 50), put(4, 51)]
}

#[tokio::test]
async fn killed_at_any_call_every_reference_is_there_once() {
    let mut ended = false;
    for calls in 0..2000 {
        let world = World::linked(7);
        world.writes(acts(), 3);
        let killed = world.with_fuse(&Fuse::after(calls)).copy(&order("open")).await;
        world.copy(&order("open")).await.unwrap();
        world.writes_the_rest();
        let killed_last = world.with_fuse(&Fuse::after(calls / 2)).copy(&last("last")).await;
        let state = world.copy(&last("last")).await.unwrap();
        assert!(state.compared.unwrap().is_same(), "killed after {calls} calls");
        assert_eq!(world.contents("B"), wanted(&world), "killed after {calls} calls");
        if killed.is_ok() && killed_last.is_ok() {
            ended = true;
            break;
        }
    }
    assert!(ended, "no number of calls was enough");
}

#[tokio::test]
async fn the_class_leads_to_the_copy_where_it_led_to_itself() {
    let world = World::linked(3);
    world.copy(&order("open")).await.unwrap();
    let properties = world.class("B").schema["properties"].clone();
    let types: Vec<&Value> = properties.as_array().unwrap().iter().map(|it| &it["dataType"]).collect();
    assert_eq!(types, [&json!(["text"]), &json!(["int"]), &json!(["P"]), &json!(["B"])]);
}

#[tokio::test]
async fn a_class_that_leads_nowhere_is_not_made() {
    let world = World::linked(3);
    world.lock().classes.remove("P");
    let CopyError::Blocked(blockers) = world.copy(&order("open")).await.unwrap_err() else { panic!("not blocked") };
    let nowhere = Blocker::LeadsNowhere { property: "toP".to_owned(), to: "P".to_owned(), cluster: "here".to_owned() };
    assert_eq!(blockers, [nowhere]);
    let without = [Step::Drop { property: "toP".to_owned() }].to_vec();
    world.copy(&Order { transform: without, ..order("open") }).await.unwrap();
}

/// An old object that the target lacks is found by stamps, and by them alone its references would be forgotten.
#[tokio::test]
async fn killed_while_it_catches_up_it_leaves_no_object_without_references() {
    for calls in 0..200 {
        let world = World::linked(7);
        world.copy(&order("open")).await.unwrap();
        world.lock().now += 3_600_000;
        world.lock().classes.get_mut("B").unwrap().objects.get_mut("").unwrap().remove(&id(3));
        let killed = world.with_fuse(&Fuse::after(calls)).copy(&order("again")).await;
        world.copy(&order("again")).await.unwrap();
        assert_eq!(world.contents("B"), wanted(&world), "killed after {calls} calls");
        if killed.is_ok() {
            return;
        }
    }
    panic!("no number of calls was enough");
}

#[tokio::test]
async fn what_an_earlier_call_still_does_is_seen() {
    for fate in [Fate::Late, Fate::NotFound] {
        let world = World::linked(7);
        world.lock().fates.push_back(fate);
        let retry = Retry { attempts: 4, ..Retry::default() };
        world.copy(&Order { retry, lanes: 1, ..order("open") }).await.unwrap();
        assert_eq!(world.contents("B"), wanted(&world), "{fate:?}");
    }
}

#[tokio::test]
async fn what_a_replica_holds_otherwise_is_written_anew_and_compared_once_more() {
    let world = World::linked(7);
    world.copy(&order("open")).await.unwrap();
    world.lock().unlike.insert(id(3));
    let state = world.copy(&last("last")).await.unwrap();
    assert!(state.compared.unwrap().is_same() && world.lock().unlike.is_empty());
    assert_eq!(world.contents("B"), wanted(&world));
}
