//! Killed at every single call, the copy ends as one that was never cut off.

use elysia_engine::copy::state::Holding;
use elysia_engine::memory::Fuse;

use super::world::{Act, World, last, order};

fn acts() -> Vec<Act> {
    let put = |id, content| Act::Put { tenant: "warm", id, content, skew: -60 };
    vec![
        put(1, 100),
        Act::Delete { tenant: "warm", id: 2 },
        put(30, 1),
        put(3, 101),
        Act::Delete { tenant: "warm", id: 30 },
    ]
}

#[tokio::test]
async fn killed_at_any_call_it_goes_on_to_the_same_end() {
    let mut ended = false;
    for calls in 0..2000 {
        let world = World::new(7, &[("cold", "COLD"), ("warm", "HOT")]);
        world.writes(acts(), 3);
        let killed = world.with_fuse(&Fuse::after(calls)).copy(&order("open")).await;
        let state = world.copy(&order("open")).await.unwrap();
        assert_eq!(state.holding, Holding::Own, "killed after {calls} calls");
        world.writes_the_rest();
        let state = world.copy(&last("last")).await.unwrap();
        assert!(state.compared.unwrap().is_same(), "killed after {calls} calls");
        assert_eq!(world.contents("B"), world.contents("A"), "killed after {calls} calls");
        let rest = |name: &str| world.class(name).tenants["cold"].clone();
        assert_eq!((rest("A"), rest("B")), ("COLD".to_owned(), "COLD".to_owned()), "killed after {calls} calls");
        if killed.is_ok() {
            ended = true;
            break;
        }
    }
    assert!(ended, "no number of calls was enough");
}

#[tokio::test]
async fn what_is_done_is_not_done_again() {
    let world = World::new(9, &[]);
    world.copy(&order("open")).await.unwrap();
    let done = world.copy(&last("last")).await.unwrap();
    let calls = world.lock().calls;
    assert_eq!(world.copy(&last("last")).await.unwrap(), done);
    let looked = world.lock().calls - calls;
    assert!(looked <= 4, "{looked} calls");
    assert_eq!((done.written, done.removed, done.behind), (9, 0, Some(0)));
}

#[tokio::test]
async fn a_later_order_writes_what_was_written_lately_alone() {
    let world = World::new(24, &[]);
    world.copy(&order("open")).await.unwrap();
    // An hour later everything that was copied is old.
    world.lock().now += 3_600_000;
    world.writes([Act::Put { tenant: "", id: 5, content: 200, skew: 0 }], 1);
    world.writes_the_rest();
    let state = world.copy(&order("again")).await.unwrap();
    assert_eq!((state.behind, state.written, state.passes), (Some(0), 25, 4));
    assert_eq!(world.contents("B"), world.contents("A"));
}
