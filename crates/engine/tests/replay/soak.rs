//! A thousand kills and more, at random moments of larger feeds: `cargo xtask soak feeds`.
//!
//! The feeds are what a producer writes: a path is added before it is anything else, and only what is there is renamed.
//! Such a feed may be read again from its beginning over whatever an earlier reading left, and comes to the same: so a
//! ledger that is lost costs time and nothing else.

use std::collections::BTreeSet;
use std::time::Instant;

use elysia_engine::memory::Fuse;
use elysia_engine::window::WindowLimits;
use serde_json::json;

use crate::oracle::{Line, Oracle, Shape};
use crate::random::Random;
use crate::world::World;

/// Kills in all; `ELYSIA_SOAK_KILLS` asks for more.
const KILLS: usize = 1_000;
/// Lines of one feed.
const LINES: usize = 300;
/// Paths that a feed knows: few enough to meet often, many enough for several windows in flight.
const PATHS: u64 = 40;
/// Most kills of one feed.
const KILLS_OF_ONE: u64 = 6;

fn one_of(random: &mut Random, paths: &BTreeSet<String>) -> Option<String> {
    let count = u64::try_from(paths.len()).unwrap();
    let at = usize::try_from(random.below(count.max(1))).unwrap();
    paths.iter().nth(at).cloned()
}

fn producer(random: &mut Random) -> Vec<Line> {
    let mut there = BTreeSet::new();
    let mut lines = Vec::new();
    while lines.len() < LINES {
        let fresh = format!("p{}", random.below(PATHS));
        let words = usize::try_from(random.below(12)).unwrap();
        let text = format!("text {} {}", random.below(1_000), "of words ".repeat(words));
        let line = match (random.below(10), one_of(random, &there)) {
            (0, _) => Line::Malformed,
            (1 | 2, Some(path)) => Line::modify(&path, &text),
            (3, Some(path)) => Line::describe(&path, &text),
            (4, Some(path)) => {
                there.remove(&path);
                Line::delete(&path)
            }
            (5 | 6, Some(path)) if path != fresh => {
                there.remove(&path);
                there.insert(fresh.clone());
                Line::rename(&path, &fresh)
            }
            _ => {
                there.insert(fresh.clone());
                Line::add(&fresh, &text)
            }
        };
        lines.push(line);
    }
    lines
}

#[test]
#[ignore = "long: `cargo xtask soak feeds`"]
fn a_thousand_kills_and_lost_ledgers() {
    let wanted = std::env::var("ELYSIA_SOAK_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let started = Instant::now();
    let (mut kills, mut feeds, mut lost, mut lines) = (0, 0_u64, 0, 0);
    let mut most_calls = 0;
    while kills < wanted {
        feeds += 1;
        let mut random = Random::of(feeds);
        let feed = producer(&mut random);
        let cut = usize::try_from(random.below(u64::try_from(feed.len()).unwrap())).unwrap();
        let files = [feed[..cut].to_vec(), feed[cut..].to_vec()];
        let most = usize::try_from(1 + random.below(40)).unwrap();
        let limits = WindowLimits { lines: most, ..WindowLimits::default() };
        // Every other feed is cut, into a few chunks for each text.
        let chunks = (feeds % 2 == 0).then(|| (usize::try_from(3 + random.below(20)).unwrap(), 1));
        let shape = Shape { limits, chunks };
        let oracle = Oracle::replay(shape, &[], &feed);
        let effects = {
            let fuse = Fuse::none();
            World::new(&[], &files, shape).worker(&fuse, feeds).unwrap();
            fuse.spent()
        };
        let mut world = World::new(&[], &files, shape);
        for kill in 0..=random.below(KILLS_OF_ONE) {
            if world.worker(&Fuse::after(random.below(effects)), random.below(u64::MAX)).is_ok() {
                break;
            }
            kills += 1;
            world.check_history().unwrap();
            world.check_chunks().unwrap();
            // One in five feeds loses its ledger, in the middle.
            if feeds % 5 == 0 && kill == 1 {
                world = world.without_ledger();
                lost += 1;
            }
        }
        world.worker(&Fuse::none(), random.below(u64::MAX)).unwrap();
        world.check(&oracle).unwrap_or_else(|error| panic!("feed {feeds}: {error}"));
        most_calls = most_calls.max(world.sink.most_calls());
        lines += feed.len();
    }
    assert!(most_calls > 1, "nothing was in flight together: this proves little");
    let figures = json!({
        "name": "feeds", "simulated": {
            "kills": kills, "feeds": feeds, "lines": lines, "lostLedgers": lost, "mostCallsAtOnce": most_calls,
            "seconds": started.elapsed().as_secs_f64(),
        },
    });
    if let Some(file) = std::env::var_os("ELYSIA_SOAK_FIGURES") {
        std::fs::write(file, figures.to_string()).unwrap();
    }
}
