//! Whatever a writer does meanwhile and whenever the copier is killed: once the writer has stopped, a final order ends with
//! two equal sides, and says so.

use elysia_engine::backup::transform::Step;
use elysia_engine::copy::Order;
use elysia_engine::memory::Fuse;
use proptest::prelude::*;
use serde_json::json;

use super::world::{Act, World, last, order};

const TENANTS: [&str; 4] = ["a", "b", "c", "new"];

fn writes(tenants: bool) -> impl Strategy<Value = Vec<Act>> {
    // Clocks are off by less than the margin.
    let tenant = move |at: usize| if tenants { TENANTS[at] } else { "" };
    let put = (0..4_usize, any::<u8>(), any::<u8>(), -200..200_i64);
    let put = put.prop_map(move |(at, id, content, skew)| Act::Put { tenant: tenant(at), id: id % 24, content, skew });
    let delete = (0..4_usize, any::<u8>()).prop_map(move |(at, id)| Act::Delete { tenant: tenant(at), id: id % 24 });
    let of_tenants = (0..3_usize, 1..4_usize).prop_map(move |(what, at)| match what {
        _ if !tenants => Act::Delete { tenant: "", id: 0 },
        0 => Act::AddTenant { tenant: TENANTS[at] },
        1 => Act::RemoveTenant { tenant: TENANTS[at] },
        _ => Act::Rest { tenant: TENANTS[at] },
    });
    proptest::collection::vec(prop_oneof![6 => put, 4 => delete, 1 => of_tenants], 0..60)
}

/// Carries an order out, killed after each of these numbers of calls.
async fn carry_out(world: &World, order: &Order, kills: &[u64]) {
    for kill in kills {
        let fuse = Fuse::after(*kill);
        // A tenant that is removed under the copier may end an attempt as well.
        drop(world.with_fuse(&fuse).copy(order).await);
    }
}

/// The order without kills. What somebody removes under the copier may end an attempt: the Job's next pod goes on.
async fn finish(world: &World, order: &Order) {
    for _ in 0..100 {
        if world.copy(order).await.is_ok() {
            return;
        }
    }
    panic!("never done: {:?}", world.copy(order).await);
}

/// The answer is how many objects a transformation left out.
fn run(world: &World, kills: &[u64], last_kills: &[u64], transform: &[Step]) -> Option<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let open = Order { transform: transform.to_vec(), ..order("open") };
        carry_out(world, &open, kills).await;
        finish(world, &open).await;
        world.writes_the_rest();
        let last = Order { transform: transform.to_vec(), ..last("last") };
        carry_out(world, &last, last_kills).await;
        finish(world, &last).await;
        let state = world.copy(&last).await.unwrap();
        let compared = state.compared.unwrap();
        assert!(compared.is_same(), "{compared:?}");
        assert_eq!(state.woken, std::collections::BTreeSet::new());
        state.left_out
    })
}

fn kills() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0..120_u64, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_are_equal_in_the_end(
        count in 0..24_u8, acts in writes(false), every in 1..5_u32, kills in kills(), last_kills in kills(),
        tells_times: bool,
    ) {
        let world = World::new(count, &[]);
        let world = if tells_times { world } else { world.without_times() };
        world.writes(acts, every);
        run(&world, &kills, &last_kills, &[]);
        prop_assert_eq!(world.contents("B"), world.contents("A"));
    }

    #[test]
    fn and_so_are_all_tenants(
        count in 0..8_u8, acts in writes(true), every in 1..5_u32, kills in kills(), last_kills in kills(),
    ) {
        let world = World::new(count, &[("a", "HOT"), ("b", "COLD"), ("c", "HOT")]);
        world.writes(acts, every);
        run(&world, &kills, &last_kills, &[]);
        prop_assert_eq!(world.contents("B"), world.contents("A"));
        prop_assert_eq!(world.class("B").tenants, world.class("A").tenants);
    }

    #[test]
    fn and_so_is_what_a_transformation_makes_of_it(
        count in 0..24_u8, acts in writes(false), every in 1..5_u32, kills in kills(), last_kills in kills(),
    ) {
        let world = World::new(count, &[]);
        world.writes(acts, every);
        let steps: Vec<Step> = serde_json::from_value(json!([
            {"rename": {"from": "text", "to": "body"}}, {"where": {"filter": "n < 128"}},
        ])).unwrap();
        let left_out = run(&world, &kills, &last_kills, &steps);
        let mut wanted = world.contents("A");
        let all: usize = wanted.values().map(std::collections::BTreeMap::len).sum();
        for objects in wanted.values_mut() {
            objects.retain(|_, object| object.properties["n"].as_u64().unwrap() < 128);
            for object in objects.values_mut() {
                let text = object.properties.remove("text").unwrap();
                object.properties.insert("body".to_owned(), text);
            }
        }
        let kept: usize = wanted.values().map(std::collections::BTreeMap::len).sum();
        prop_assert_eq!(left_out, Some((all - kept) as u64));
        wanted.retain(|_, objects| !objects.is_empty());
        prop_assert_eq!(world.contents("B"), wanted);
    }

    #[test]
    fn and_so_is_what_a_script_makes_of_it(
        count in 0..24_u8, acts in writes(false), every in 1..5_u32, kills in kills(), last_kills in kills(),
        leaves_out: bool,
    ) {
        let world = World::new(count, &[]);
        world.writes(acts, every);
        let source = "object.text = object.text.to_upper() + \" of \" + object.n; object.n = if object.n < 9 { () } else { object.n / 2 };
            object.n == () || object.n < 64";
        let ends = if leaves_out { "" } else { "; true" };
        let steps: Vec<Step> = serde_json::from_value(json!([
            {"script": {"source": format!("{source}{ends}"), "leavesOut": leaves_out}},
        ])).unwrap();
        let left_out = run(&world, &kills, &last_kills, &steps);
        let mut wanted = world.contents("A");
        let all: usize = wanted.values().map(std::collections::BTreeMap::len).sum();
        for objects in wanted.values_mut() {
            objects.retain(|_, object| !leaves_out || object.properties["n"].as_u64().unwrap() / 2 < 64);
            for object in objects.values_mut() {
                let number = object.properties.remove("n").unwrap().as_u64().unwrap();
                let text = object.properties["text"].as_str().unwrap().to_uppercase();
                object.properties.insert("text".to_owned(), format!("{text} of {number}").into());
                if number >= 9 {
                    object.properties.insert("n".to_owned(), (number / 2).into());
                }
            }
        }
        let kept: usize = wanted.values().map(std::collections::BTreeMap::len).sum();
        if leaves_out {
            prop_assert_eq!(left_out, Some((all - kept) as u64));
        }
        wanted.retain(|_, objects| !objects.is_empty());
        prop_assert_eq!(world.contents("B"), wanted);
    }
}
