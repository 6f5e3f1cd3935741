//! Runs that would delete too much.

use elysia_engine::checkpoint::{Checkpoint, Digest};
use elysia_engine::counts::Counts;
use elysia_engine::feed::{Feed, FeedError};
use elysia_engine::guard::{Approval, Guard, Limits, count};
use elysia_engine::ledger::State;
use elysia_engine::memory::{Fuse, MemorySource};

use super::changed::Growing;
use super::{Scene, add, block_on};

fn delete(path: &str) -> String {
    format!("{{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"{path}\"}}\n")
}

/// A collection with these documents, and a feed that may delete so many of them.
fn guarded(documents: &[&str], text: &str, limits: Limits) -> Scene {
    let scene =
        Scene { name: Some("before"), ..Scene::of(&documents.iter().map(|path| add(path)).collect::<String>()) };
    scene.run(&Fuse::none()).unwrap();
    let guard = Some(Guard { limits, approval: None });
    Scene { source: MemorySource::of("feed.jsonl", text), guard, name: None, ..scene }
}

fn objects(most: u64) -> Limits {
    Limits { objects: Some(most), percent: None }
}

#[test]
fn a_run_that_would_delete_too_much_waits_with_the_number_and_writes_nothing() {
    let text =
        add("new") + delete("a").as_str() + delete("b").as_str() + delete("unknown").as_str() + delete("new").as_str();
    let mut scene = guarded(&["a", "b", "c"], &text, objects(1));
    let before = scene.sink.objects();
    let ledger = scene.run(&Fuse::none()).unwrap();
    let waiting = ledger.guarded.unwrap();
    assert_eq!((ledger.state, waiting.deletes, waiting.objects), (State::Waiting, 2, Some(3)));
    assert_eq!((ledger.counts, scene.sink.objects()), (Counts::default(), before));
    // Whoever looks again sees the same.
    assert_eq!(scene.run(&Fuse::none()).unwrap().guarded, Some(waiting));
    // An approval of another content, or of fewer, is none.
    let approve = |content, deletes| Some(Guard { limits: objects(1), approval: Some(Approval { content, deletes }) });
    for (content, deletes) in [(Digest::of(b"other"), 2), (waiting.content, 1)] {
        scene.guard = approve(content, deletes);
        assert_eq!(scene.run(&Fuse::none()).unwrap().state, State::Waiting);
    }
    scene.guard = approve(waiting.content, 2);
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.state, ledger.counts.deleted, scene.sink.objects().len()), (State::Succeeded, 4, 1));
    assert!(ledger.guarded.unwrap().approved);
}

#[test]
fn what_may_be_deleted_is_deleted_and_a_share_is_one_of_the_collection() {
    let percent = |percent| Limits { objects: None, percent: Some(percent) };
    for (limits, expected) in [
        (objects(0), State::Waiting),
        (objects(2), State::Succeeded),
        (percent(49), State::Waiting),
        (percent(50), State::Succeeded),
        (Limits { percent: Some(49), ..objects(2) }, State::Waiting),
    ] {
        let scene =
            guarded(&["a", "b", "c", "d"], &(delete("a") + delete("b").as_str() + delete("b").as_str()), limits);
        let ledger = scene.run(&Fuse::none()).unwrap();
        assert_eq!(ledger.state, expected, "{limits:?}");
        assert_eq!(scene.sink.objects().len(), if expected == State::Waiting { 4 } else { 2 }, "{limits:?}");
    }
    // A history that adds what it deletes takes nothing away, however often it is read.
    let scene =
        guarded(&["a"], &(add("b") + delete("b").as_str() + add("c").as_str() + delete("c").as_str()), objects(0));
    assert_eq!(scene.run(&Fuse::none()).unwrap().state, State::Succeeded);
}

#[test]
fn a_run_killed_anywhere_waits_or_goes_on_as_if_it_had_not_been() {
    let text = delete("a") + add("x").as_str() + delete("b").as_str() + add("y").as_str() + delete("c").as_str();
    for (most, state, left) in [(3, State::Succeeded, 2), (2, State::Waiting, 3)] {
        let scene = || Scene { window_lines: Some(1), ..guarded(&["a", "b", "c"], &text, objects(most)) };
        let fuse = Fuse::none();
        scene().run(&fuse).unwrap();
        for effect in 0..fuse.spent() {
            let scene = scene();
            scene.run(&Fuse::after(effect)).unwrap_err();
            let ledger = scene.run(&Fuse::none()).unwrap();
            assert_eq!((ledger.state, scene.sink.objects().len()), (state, left), "killed at {effect}");
            assert_eq!(ledger.counts.lines, if state == State::Waiting { 0 } else { 5 });
        }
    }
}

#[test]
fn a_file_that_grew_under_a_run_is_counted_with_what_was_deleted_before() {
    let text = delete("a") + add("x").as_str() + delete("b").as_str();
    let killed = || {
        let scene =
            Scene { window_lines: Some(1), windows: Some(1), ..guarded(&["a", "b", "c", "d"], &text, objects(2)) };
        // Claims the ledger, counts, deletes one, and counts that.
        scene.run(&Fuse::after(4)).unwrap_err();
        assert_eq!(scene.store.ledger().unwrap().counts.deleted, 1);
        scene
    };
    let scene = killed();
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.deleted, 2, "as before");
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", text.clone() + delete("c").as_str());
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.state, ledger.guarded.unwrap().deletes), (State::Waiting, 4), "two, and what is left of three");
    assert_eq!(scene.sink.objects().len(), 3);
    let approval = Approval { content: ledger.guarded.unwrap().content, deletes: 4 };
    scene.guard = Some(Guard { approval: Some(approval), ..scene.guard.unwrap() });
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.state, ledger.counts.lines, scene.sink.objects().len()), (State::Succeeded, 4, 2));
}

#[test]
fn what_was_appended_since_deletes_were_counted_is_left_for_the_next_run() {
    let (first, rest) = (add("a"), delete("b"));
    let grows = Growing { chunks: vec![first.clone(), rest] };
    let counted = block_on(count(&MemorySource::of("feed.jsonl", first), "Articles")).unwrap();
    let mut feed = block_on(Feed::resume(&grows, &Checkpoint::default(), Some(counted.extents.clone()))).unwrap();
    assert_eq!(block_on(feed.next()).unwrap().unwrap().line.number, 1);
    assert!(block_on(feed.next()).unwrap().is_none());
    let other = MemorySource::of("feed.jsonl", add("b"));
    let mut feed = block_on(Feed::resume(&other, &Checkpoint::default(), Some(counted.extents.clone()))).unwrap();
    // Before the first of its lines is carried out.
    assert!(matches!(block_on(feed.next()), Err(FeedError::ChangedSinceCounted { .. })));
    let none = MemorySource::default();
    let gone = block_on(Feed::resume(&none, &Checkpoint::default(), Some(counted.extents)));
    assert!(matches!(gone, Err(FeedError::ChangedSinceCounted { .. })));
}
