//! Tries to break the engine's exactness: random feeds, workers killed at every single effect, answers lost, calls
//! failing, objects refused. Whatever happens, the collection and the counts are those of a replay by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod oracle;
#[path = "../support/random.rs"]
mod random;
mod soak;
mod world;

use std::collections::BTreeSet;

use elysia_engine::memory::Fuse;
use elysia_engine::ports::SaveError;
use elysia_engine::retry::Stop;
use elysia_engine::window::WindowLimits;
use proptest::prelude::*;

use oracle::{Line, Oracle, Shape, lines};
use world::{World, refuse_some, unreachable};

/// Every other feed is cut into chunks, none so small that a refused text is more than one.
fn shape() -> impl Strategy<Value = Shape> {
    let chunks = prop_oneof![Just(None), (3_usize..9, 0_usize..4).prop_map(Some)];
    (1_usize..7, 1_usize..4, prop_oneof![Just(1_u64), Just(150), Just(1 << 20)], chunks).prop_map(
        |(lines, reads, bytes, chunks)| {
            let chunks = chunks.map(|(size, overlap)| (size, overlap.min(size / 2)));
            Shape { limits: WindowLimits { lines, bytes, reads }, chunks }
        },
    )
}

/// Lines of a few files, so that windows span them.
fn feed(longest: usize) -> impl Strategy<Value = Vec<Vec<Line>>> {
    proptest::collection::vec(lines(0..longest), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Killed once, at each effect in turn, every run ends as if nothing had happened.
    #[test]
    fn a_kill_at_any_effect_changes_nothing(
        files in feed(9), before in lines(0..4), shape in shape(), shuffle in any::<u64>(),
    ) {
        let oracle = Oracle::replay(shape, &before, &files.concat());
        let effects = {
            let world = World::new(&before, &files, shape);
            let fuse = Fuse::none();
            world.worker(&fuse, shuffle).unwrap();
            world.check(&oracle)?;
            fuse.spent()
        };
        for effect in 0..effects {
            let world = World::new(&before, &files, shape);
            world.worker(&Fuse::after(effect), shuffle).unwrap_err();
            world.check_history()?;
            world.check_chunks()?;
            world.worker(&Fuse::none(), shuffle.rotate_left(7)).unwrap();
            world.check(&oracle)?;
        }
    }

    /// Killed again and again, also while it repairs what the kill before left.
    #[test]
    fn kills_upon_kills_change_nothing(
        files in feed(15),
        before in lines(0..4),
        shape in shape(),
        kills in proptest::collection::vec((0_u64..9, any::<u64>()), 0..12),
    ) {
        let oracle = Oracle::replay(shape, &before, &files.concat());
        let world = World::new(&before, &files, shape);
        for (effects, shuffle) in kills {
            let _ = world.worker(&Fuse::after(effects), shuffle);
            world.check_history()?;
            world.check_chunks()?;
        }
        world.worker(&Fuse::none(), 0).unwrap();
        world.check(&oracle)?;
        // And once more: a run that succeeded does nothing, another run of the same lines ends the same.
        let fuse = Fuse::none();
        world.worker(&fuse, 0).unwrap();
        prop_assert_eq!(fuse.spent(), 0);
    }

    /// Calls that fail and answers that are lost are overcome without a new worker.
    #[test]
    fn failing_calls_and_lost_answers_change_nothing(
        files in feed(9), before in lines(0..4), shape in shape(), failures in 0_usize..10, lost in 0_usize..10,
    ) {
        let oracle = Oracle::replay(shape, &before, &files.concat());
        let world = World::new(&before, &files, shape);
        world.sink.fail_next(vec![unreachable(); failures]);
        world.store.lose_next(vec![SaveError::Failed(unreachable()); lost]);
        world.worker(&Fuse::none(), 0).unwrap();
        world.check(&oracle)?;
    }

    /// What the server refuses is rejected and leaves no trace: the collection is what the other lines make. Killed at
    /// each effect in turn as well.
    #[test]
    fn refused_lines_leave_no_trace(
        files in proptest::collection::vec(lines(0..6), 1..3), shape in shape(), shuffle in any::<u64>(),
    ) {
        let effects = {
            let world = World::new(&[], &files, shape).refusing(refuse_some);
            let fuse = Fuse::none();
            world.worker(&fuse, shuffle).unwrap();
            world.check(&Oracle::replay(shape, &[], &world.without_refused(&files)).rejecting(world.refused()))?;
            fuse.spent()
        };
        for effect in 0..effects {
            let world = World::new(&[], &files, shape).refusing(refuse_some);
            world.worker(&Fuse::after(effect), shuffle).unwrap_err();
            world.worker(&Fuse::none(), shuffle).unwrap();
            world.check(&Oracle::replay(shape, &[], &world.without_refused(&files)).rejecting(world.refused()))?;
        }
    }

    /// What changes nothing is found and not written, and all else is as it would be without looking. Killed at each
    /// effect, lines at most move to or from `unchanged`, and the sum holds.
    #[test]
    fn skipping_what_is_unchanged_changes_nothing_else(
        files in feed(9), before in lines(0..4), shape in shape(), shuffle in any::<u64>(),
    ) {
        let oracle = Oracle::replay_skipping(shape, &before, &files.concat());
        let fuse = Fuse::none();
        let world = World::new(&before, &files, shape).skipping();
        world.worker(&fuse, shuffle).unwrap();
        world.check(&oracle)?;
        let again = world.again("second");
        again.worker(&Fuse::none(), shuffle).unwrap();
        again.check(&oracle.again(&files.concat()))?;
        let oracle = Oracle::replay_skipping(shape, &before, &files.concat());
        for effect in 0..fuse.spent() {
            let world = World::new(&before, &files, shape).skipping();
            world.worker(&Fuse::after(effect), shuffle).unwrap_err();
            world.worker(&Fuse::none(), shuffle.rotate_left(7)).unwrap();
            world.check_skipping(&oracle)?;
        }
    }

    /// The same while the server refuses some: which, depends on what shares a window, so the others are the measure.
    #[test]
    fn skipping_meets_refusals_as_writing_does(
        files in proptest::collection::vec(lines(0..6), 1..3), shape in shape(), shuffle in any::<u64>(),
    ) {
        let new = || World::new(&[], &files, shape).refusing(refuse_some).skipping();
        let oracle = |world: &World| {
            Oracle::replay_skipping(shape, &[], &world.without_refused(&files)).rejecting(world.refused())
        };
        let (world, fuse) = (new(), Fuse::none());
        world.worker(&fuse, shuffle).unwrap();
        world.check(&oracle(&world))?;
        for effect in 0..fuse.spent() {
            let world = new();
            world.worker(&Fuse::after(effect), shuffle).unwrap_err();
            world.worker(&Fuse::none(), shuffle).unwrap();
            world.check_skipping(&oracle(&world))?;
        }
    }

    /// A worker that is asked to stop leaves a checkpoint from which the next one ends the run.
    #[test]
    fn a_stopped_run_goes_on(files in feed(9), shape in shape()) {
        let oracle = Oracle::replay(shape, &[], &files.concat());
        let world = World::new(&[], &files, shape);
        let stop = Stop::default();
        stop.set();
        world.worker_until(&Fuse::none(), 0, &stop).unwrap_err();
        world.worker(&Fuse::none(), 0).unwrap();
        world.check(&oracle)?;
    }

    /// Replaying to the end changes nothing, whatever run it is.
    #[test]
    fn another_run_of_a_feed_ends_the_same(files in feed(9), shape in shape()) {
        let world = World::new(&[], &files, shape);
        world.worker(&Fuse::none(), 0).unwrap();
        let counts = world.store.ledger().unwrap().counts;
        // Renames find their source only when the feed begins where it began: from an empty collection.
        let again = world.emptied("second");
        again.worker(&Fuse::none(), 0).unwrap();
        prop_assert_eq!(again.sink.objects(), world.sink.objects());
        prop_assert_eq!(again.store.ledger().unwrap().counts, counts);
    }

    /// However often a feed is read from its beginning, over documents that it did not add, none is left without text.
    #[test]
    fn reading_again_leaves_no_document_without_content(
        files in feed(9), before in lines(0..6), shape in shape(), shuffle in any::<u64>(),
    ) {
        let mut world = World::new(&before, &files, shape);
        let mut expected = Oracle::replay(shape, &before, &[]);
        for run in ["first", "second", "third"] {
            world.worker(&Fuse::none(), shuffle).unwrap();
            expected = expected.again(&files.concat());
            world.check(&expected)?;
            for object in world.sink.objects().values() {
                prop_assert!(object.properties.contains_key("content"), "{run}: {object:?}");
            }
            world = world.again(&format!("after {run}"));
        }
    }
}

fn killed_at_every_effect(before: &[Line], script: &[Line], shape: Shape) {
    let oracle = Oracle::replay(shape, before, script);
    let files = [script.to_vec()];
    let fuse = Fuse::none();
    World::new(before, &files, shape).worker(&fuse, 0).unwrap();
    for effect in 0..fuse.spent() {
        let world = World::new(before, &files, shape);
        world.worker(&Fuse::after(effect), 1).unwrap_err();
        world.worker(&Fuse::none(), 2).unwrap();
        world.check(&oracle).unwrap_or_else(|error| panic!("{shape:?} {script:?} killed at {effect}: {error}"));
    }
}

/// The interleavings that are known to be delicate, each killed at every effect, for every size of window.
#[test]
fn delicate_interleavings_survive_a_kill_at_every_effect() {
    let before = [Line::add("a", "old text of a"), Line::add("b", "old b")];
    let (add, modify, rename, delete) = (Line::add, Line::modify, Line::rename, Line::delete);
    let describe = Line::describe;
    let scripts = [
        vec![modify("a", "1"), rename("a", "c")],
        vec![rename("a", "c"), add("a", "new")],
        vec![rename("a", "c"), modify("a", "new")],
        vec![add("d", "1"), rename("d", "c"), delete("c")],
        vec![rename("a", "c"), rename("c", "d")],
        vec![rename("a", "c"), rename("b", "a")],
        vec![rename("a", "c"), rename("b", "a"), rename("c", "b")],
        vec![rename("x", "y"), add("x", "new"), rename("x", "z")],
        vec![delete("a"), rename("a", "c"), add("a", "new"), rename("a", "c")],
        vec![rename("a", "b"), delete("a"), add("a", "1"), rename("b", "a")],
        vec![describe("x", "1"), modify("x", "2"), describe("x", "3")],
        vec![describe("x", "1"), rename("x", "y"), modify("y", "2")],
        vec![describe("x", "1"), delete("x"), describe("x", "2"), modify("x", "3")],
        vec![rename("a", "x"), describe("x", "1"), describe("a", "2"), modify("x", "3")],
        vec![modify("a", "1"), rename("a", "b"), modify("b", "2"), rename("b", "a"), modify("a", "3")],
        vec![modify("b", "a long text"), rename("b", "a"), describe("a", "1"), modify("a", "short")],
        vec![rename("a", "b"), modify("b", "longer than before"), delete("b")],
        vec![describe("a", "1"), add("c", "four words and more"), rename("a", "c"), describe("c", "2")],
    ];
    for script in scripts {
        for lines in 1..=script.len() {
            let limits = WindowLimits { lines, ..WindowLimits::default() };
            for chunks in [None, Some((3, 1))] {
                killed_at_every_effect(&before, &script, Shape { limits, chunks });
            }
        }
    }
}

/// The document was there before the feed, so that a second reading finds it renamed away already: what the feed says of
/// the old path must not make another one there, and put that over the renamed one.
#[test]
fn reading_again_keeps_the_content_of_a_renamed_document_that_the_feed_did_not_add() {
    let before = [Line::add("a", "text")];
    let script = vec![Line::describe("a", "1"), Line::rename("a", "b")];
    for lines in 1..=script.len() {
        let shape = Shape::whole(WindowLimits { lines, ..WindowLimits::default() });
        let first = World::new(&before, std::slice::from_ref(&script), shape);
        first.worker(&Fuse::none(), 0).unwrap();
        first.check(&Oracle::replay(shape, &before, &script)).unwrap();
        let objects = first.sink.objects();
        assert_eq!(objects.values().map(|object| &object.properties["content"]).collect::<Vec<_>>(), ["text"]);
        let second = first.again("second");
        second.worker(&Fuse::none(), 0).unwrap();
        assert_eq!(second.sink.objects(), objects);
        let counts = second.store.ledger().unwrap().counts;
        assert_eq!((counts.modified, counts.renamed, counts.rejected), (1, 0, 1));
    }
}

#[test]
fn the_oracle_tells_objects_apart() {
    let shape = Shape::whole(WindowLimits::default());
    let ids = Oracle::replay(shape, &[], &[Line::add("a", "1"), Line::add("b", "1")]);
    assert_eq!(ids.objects().keys().collect::<BTreeSet<_>>().len(), 2);
}
