//! One run over files that change while no worker reads them.

use std::collections::BTreeMap;

use elysia_engine::ledger::{FailureReason, State};
use elysia_engine::memory::Fuse;
use elysia_engine::run::RunError;
use proptest::prelude::*;

use super::worker;
use super::world::{World, documents, lines};

/// What happens to files between two workers.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Append(usize, usize),
    /// A file of another name, in front of the others, among them or behind them.
    Appear(&'static str),
    Vanish(usize),
    /// A digit of a file: lines stay lines, and what is in one of them is another.
    Rewrite(usize, usize),
    /// Whole lines at the end are gone.
    CutOff(usize, usize),
    Replace(usize),
    /// The file has another name, and another file has its name.
    Rotate(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let file = || 0_usize..4;
    prop_oneof![
        2 => Just(Change::Nothing),
        3 => (file(), 1_usize..4).prop_map(|(file, lines)| Change::Append(file, lines)),
        1 => proptest::sample::select(vec!["a", "c", "e", "g"]).prop_map(Change::Appear),
        1 => file().prop_map(Change::Vanish),
        3 => (file(), 0_usize..4).prop_map(|(file, digit)| Change::Rewrite(file, digit)),
        2 => (file(), 0_usize..4).prop_map(|(file, lines)| Change::CutOff(file, lines)),
        2 => file().prop_map(Change::Replace),
        1 => file().prop_map(Change::Rotate),
    ]
}

impl Change {
    fn apply(&self, world: &mut World) {
        let named = |world: &World, file: usize| world.source.files.keys().cycle().nth(file).cloned();
        match *self {
            Self::Nothing => {}
            Self::Appear(name) => world.append(name, 2),
            Self::Append(file, lines) => {
                let Some(name) = named(world, file) else { return };
                world.append(&name, lines);
            }
            Self::Vanish(file) => {
                let Some(name) = named(world, file) else { return };
                world.source.files.remove(&name);
            }
            Self::Rewrite(file, digit) => {
                let Some(name) = named(world, file) else { return };
                let mut digits = world.file(&name).iter_mut().filter(|byte| byte.is_ascii_digit());
                if let Some(byte) = digits.nth(digit) {
                    *byte = b'0' + (*byte - b'0' + 1) % 10;
                }
            }
            Self::CutOff(file, lines) => {
                let Some(name) = named(world, file) else { return };
                let bytes = world.file(&name);
                let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
                let end = ends.collect::<Vec<_>>().into_iter().rev().nth(lines).unwrap_or(0);
                bytes.truncate(end);
            }
            Self::Replace(file) => {
                let Some(name) = named(world, file) else { return };
                world.file(&name).clear();
                world.append(&name, 3);
            }
            Self::Rotate(file) => {
                let Some(name) = named(world, file) else { return };
                let bytes = world.source.files.remove(&name).unwrap();
                world.source.files.insert(format!("{name}.1"), bytes);
                world.append(&name, 1);
            }
        }
    }
}

/// What is indexed, as it was when it was read.
#[derive(Clone, Default)]
struct Known {
    done: Vec<(String, Vec<u8>)>,
    current: Option<(String, Vec<u8>)>,
}

impl Known {
    /// After a worker: what its checkpoint covers of the files as they are now.
    fn learn(&mut self, world: &World) {
        let Some(ledger) = world.store.ledger() else { return };
        let done = usize::try_from(ledger.checkpoint.files).unwrap();
        let files = world.source.files.iter().take(done).skip(self.done.len());
        self.done.extend(files.map(|(name, bytes)| (name.clone(), bytes.clone())));
        self.current = ledger.checkpoint.current.map(|position| {
            let end = usize::try_from(position.offset).unwrap();
            let text = world.source.files[&position.file][..end].to_vec();
            (position.file, text)
        });
    }

    /// Why the next worker must refuse these files; `None` when it may go on.
    fn refusal(&self, files: &BTreeMap<String, Vec<u8>>, has_versions: bool) -> Option<FailureReason> {
        let mut found = files.iter();
        for (name, bytes) in &self.done {
            // Without versions a file that is done is known by its name alone: it is never opened again.
            match found.next() {
                Some((known, now)) if known == name && (!has_versions || now == bytes) => {}
                _ => return Some(FailureReason::FileListChanged),
            }
        }
        let (name, indexed) = self.current.as_ref()?;
        match found.next() {
            Some((found, now)) if found == name => (!now.starts_with(indexed)).then_some(FailureReason::FileRewritten),
            _ => Some(FailureReason::FileListChanged),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_changed_under_a_checkpoint_is_noticed_and_all_else_is_read_once(
        files in proptest::collection::vec(0_usize..7, 1..4),
        window in 1_usize..4,
        has_versions in any::<bool>(),
        days in proptest::collection::vec((worker(), change()), 1..7),
    ) {
        let mut world = World::new(window, has_versions, false);
        for (name, lines) in ["b", "d", "f"].into_iter().zip(files) {
            world.append(name, lines.max(1));
        }
        let mut known = Known::default();
        for ((kill, seed, failures), change) in days {
            let intact = world.source.files.clone();
            change.apply(&mut world);
            let before = (world.store.ledger(), world.sink.objects());
            let refusal = known.refusal(&world.source.files, has_versions);
            if let Some(wanted) = refusal {
                let refused = world.worker(&Fuse::none(), seed, failures);
                let Err(RunError::Failed { reason, .. }) = refused else {
                    return Err(TestCaseError::fail(format!("{change:?} was not noticed: {refused:?}")));
                };
                prop_assert_eq!(reason, wanted, "{:?}", change);
                let (now, then) = (world.store.ledger().unwrap(), before.0.unwrap());
                prop_assert_eq!((now.checkpoint, now.counts), (then.checkpoint, then.counts));
                prop_assert_eq!(world.sink.objects(), before.1);
                // Put back as it was, the run goes on.
                world.source.files = intact;
            }
            drop(world.worker(&Fuse::after(kill), seed, failures));
            known.learn(&world);
            // The one that was killed by its last write is done as well.
            if world.store.ledger().is_some_and(|ledger| ledger.state == State::Succeeded) {
                break;
            }
        }
        let ledger = world.worker(&Fuse::none(), 7, 0).unwrap();
        known.learn(&world);
        let text = known.done.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
        prop_assert_eq!(ledger.counts.lines, lines(&text));
        // What was in flight when a worker died may be there, although the file never held it again.
        prop_assert!(documents(&text).is_subset(&world.ids()));
    }
}
