//! A feed that goes on from run to run, over files that grow, are rotated and are rewritten.

use elysia_engine::checkpoint::Digest;
use elysia_engine::ledger::{FailureReason, State};
use elysia_engine::memory::Fuse;
use elysia_engine::run::RunError;
use proptest::prelude::*;

use super::worker;
use super::world::{World, documents, lines};

/// What happens to files between two workers.
#[derive(Clone, Debug)]
enum Change {
    Append(&'static str, usize),
    /// The file gets a name that nobody had, and its own name goes to so many new lines.
    Rotate(&'static str, usize),
    /// A byte of what is indexed.
    Rewrite(&'static str),
    /// The last byte of what is indexed is gone, with all behind it.
    CutOff(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let file = || proptest::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        5 => (file(), 1_usize..4).prop_map(|(file, lines)| Change::Append(file, lines)),
        2 => (file(), 0_usize..3).prop_map(|(file, lines)| Change::Rotate(file, lines)),
        1 => file().prop_map(Change::Rewrite),
        1 => file().prop_map(Change::CutOff),
    ]
}

/// How much of a file is indexed; nothing when it was rotated since, and its name is another file's.
fn indexed(world: &World, file: &str) -> usize {
    let (Some(ledger), Some(bytes)) = (world.store.ledger(), world.source.files.get(file)) else { return 0 };
    let left = ledger.checkpoint.current.filter(|position| position.file == file);
    let left = left.map(|position| (position.offset, position.sha256));
    let record = ledger.followed.and_then(|mut followed| followed.files.remove(file));
    let (offset, sha256) = left.or(record.map(|record| (record.offset, record.sha256))).unwrap_or_default();
    let offset = usize::try_from(offset).unwrap();
    let is_this = bytes.get(..offset).is_some_and(|indexed| Digest::of(indexed) == sha256);
    if is_this { offset } else { 0 }
}

impl Change {
    /// Whether a look must refuse the files now.
    fn apply(&self, world: &mut World, day: usize) -> bool {
        match *self {
            Self::Append(file, lines) => {
                world.append(file, lines);
                false
            }
            Self::Rotate(file, lines) => {
                if let Some(bytes) = world.source.files.remove(file) {
                    world.source.files.insert(format!("{file}.{day}"), bytes);
                    world.append(file, lines);
                }
                false
            }
            Self::Rewrite(file) => {
                let end = indexed(world, file);
                if end > 0 {
                    world.file(file)[end / 2] ^= 1;
                }
                end > 0
            }
            Self::CutOff(file) => {
                let end = indexed(world, file);
                if end > 0 {
                    world.file(file).truncate(end - 1);
                }
                end > 0
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_read_once_and_nothing_that_was_rewritten(
        window in 1_usize..4,
        has_versions in any::<bool>(),
        days in proptest::collection::vec((worker(), change(), any::<bool>()), 1..9),
    ) {
        let mut world = World::new(window, has_versions, true);
        world.append("a", 2);
        for (day, ((kill, seed, failures), change, is_new)) in days.into_iter().enumerate() {
            if is_new {
                world.run = format!("of day {day}");
            }
            let intact = world.source.files.clone();
            let before = (world.store.ledger(), world.sink.objects());
            if change.apply(&mut world, day) {
                let refused = world.worker(&Fuse::none(), seed, failures);
                let Err(RunError::Failed { reason, .. }) = refused else {
                    return Err(TestCaseError::fail(format!("{change:?} was not noticed: {refused:?}")));
                };
                prop_assert_eq!(reason, FailureReason::FileRewritten, "{:?}", change);
                prop_assert_eq!(world.store.ledger().unwrap().counts, before.0.unwrap().counts);
                prop_assert_eq!(world.sink.objects(), before.1);
                world.source.files = intact;
            }
            drop(world.worker(&Fuse::after(kill), seed, failures));
        }
        let ledger = world.worker(&Fuse::none(), 7, 0).unwrap();
        prop_assert_eq!(ledger.state, State::Succeeded);
        let text = world.source.files.values().flatten().copied().collect::<Vec<_>>();
        prop_assert_eq!(ledger.counts.lines, lines(&text));
        prop_assert_eq!(world.ids(), documents(&text));
    }
}
