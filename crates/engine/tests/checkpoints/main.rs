//! Tries to break checkpoints: files of any lines, workers that are killed anywhere, and files that are appended to,
//! rewritten, cut off, rotated, replaced and joined by others between them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod followed;
mod resumed;
mod world;

use elysia_engine::checkpoint::{Checkpoint, Digest, Position, chain_name};
use elysia_engine::counts::Counts;
use elysia_engine::ledger::{Delta, Ledger};
use elysia_engine::memory::Fuse;
use jiff::Timestamp;
use proptest::prelude::*;

use world::World;

/// When a worker dies, in which order things are done, and how many calls fail before.
fn worker() -> impl Strategy<Value = (u64, u64, usize)> {
    (0_u64..25, any::<u64>(), 0_usize..4)
}

/// A checkpoint of a few: those of one number are equal.
fn checkpoint(number: u64) -> Checkpoint {
    let position = Position {
        file: format!("file-{}", number % 2),
        offset: number,
        line: number / 3,
        sha256: Digest::of(&[1]),
        ..Position::default()
    };
    let names = if number.is_multiple_of(5) { Digest::default() } else { chain_name(Digest::default(), "a", None) };
    Checkpoint { files: number % 3, names, current: (!number.is_multiple_of(4)).then_some(position) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever is in flight, fails and is killed: a ledger that says so is written only behind what it says.
    #[test]
    fn no_checkpoint_is_before_what_is_confirmed(
        files in proptest::collection::vec(0_usize..9, 1..4),
        window in 1_usize..4,
        is_followed in any::<bool>(),
        workers in proptest::collection::vec(worker(), 0..5),
    ) {
        let mut world = World::new(window, false, is_followed);
        for (number, lines) in files.into_iter().enumerate() {
            world.append(&format!("file-{number}"), lines);
        }
        for (kill, seed, failures) in workers {
            drop(world.worker(&Fuse::after(kill), seed, failures));
        }
        let ledger = world.worker(&Fuse::none(), 1, 0).unwrap();
        prop_assert_eq!(world.lies(), Vec::<String>::new());
        let text = world.source.files.values().flatten().copied().collect::<Vec<_>>();
        prop_assert_eq!(ledger.counts.lines, world::lines(&text));
        prop_assert_eq!(world.ids(), world::documents(&text));
    }

    /// Windows that join are counted; one that does not changes nothing, however near it is.
    #[test]
    fn what_does_not_join_is_refused(steps in proptest::collection::vec((0_u64..12, 0_u64..12), 1..30)) {
        let mut ledger = Ledger::begin("run", "Articles", Timestamp::UNIX_EPOCH);
        ledger.checkpoint = checkpoint(0);
        for (from, to) in steps {
            let before = ledger.clone();
            let counts = Counts { lines: 1, added: 1, ..Counts::default() };
            let (from, to) = (checkpoint(from), checkpoint(to));
            let joins = from == before.checkpoint;
            let delta = Delta { from, to: to.clone(), counts, ..Delta::default() };
            prop_assert_eq!(ledger.apply(delta).is_ok(), joins);
            if joins {
                prop_assert_eq!(&ledger.checkpoint, &to);
                prop_assert_eq!(ledger.counts.lines, before.counts.lines + 1);
            } else {
                prop_assert_eq!(ledger, before.clone());
                ledger = before;
            }
        }
    }

    /// Two lists of names have one chain only when they are one list.
    #[test]
    fn the_chain_is_of_these_names_alone(
        one in proptest::collection::vec("[ab]{1,2}", 0..5), other in proptest::collection::vec("[ab]{1,2}", 0..5),
    ) {
        let chain = |names: &[String]| names.iter().fold(Digest::default(), |chain, name| chain_name(chain, name, None));
        prop_assert_eq!(chain(&one) == chain(&other), one == other);
    }
}
