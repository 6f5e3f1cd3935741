//! Files that change while they are read, or between a worker and the next one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use elysia_engine::checkpoint::Digest;
use elysia_engine::ledger::FailureReason;
use elysia_engine::memory::{FixedClock, Fuse, MemorySource};
use elysia_engine::ports::{FileEntry, PortError, Source};
use elysia_engine::retry::Stop;
use elysia_engine::run::{Ports, run};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Scene, add, block_on};

#[test]
fn a_file_that_grows_while_it_is_read_is_read_to_the_end_that_was_met() {
    let (first, rest) = (add("a"), add("b") + add("c").as_str());
    let grows = Growing { chunks: vec![first.clone(), rest[..30].to_owned(), rest[30..].to_owned()] };
    let scene = Scene::default();
    let ports = Ports { source: &grows, sink: &scene.sink, store: &scene.store, clock: &FixedClock::default() };
    let ledger = block_on(run(&scene.settings(), &ports, &Stop::default())).unwrap();
    assert_eq!((ledger.counts.lines, ledger.counts.added), (3, 3));
}

/// A file to which another chunk was appended whenever the last one was read.
pub(super) struct Growing {
    pub(super) chunks: Vec<String>,
}

pub(super) struct GrowingReader(Vec<u8>, Vec<String>);

impl AsyncRead for GrowingReader {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() && !self.1.is_empty() {
            self.0 = self.1.remove(0).into_bytes();
        }
        let count = into.remaining().min(self.0.len());
        let chunk = self.0.drain(..count).collect::<Vec<_>>();
        into.put_slice(&chunk);
        Poll::Ready(Ok(()))
    }
}

impl Source for Growing {
    type Reader = GrowingReader;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        Ok(vec![FileEntry { name: "feed.jsonl".to_owned(), size: 1, version: None, expected: None }])
    }

    async fn open(&self, _: &FileEntry) -> Result<GrowingReader, PortError> {
        Ok(GrowingReader(Vec::new(), self.chunks.clone()))
    }
}

#[test]
fn other_content_than_the_runs_is_refused_before_the_first_write() {
    let mut scene = Scene::of(&add("a"));
    scene.source.files.insert("other.jsonl".to_owned(), b"other".to_vec());
    scene.source.expected.insert("other.jsonl".to_owned(), Digest::of(b"was this"));
    assert_eq!(scene.fails().0, FailureReason::ContentChanged);
    assert!(scene.sink.objects().is_empty());
}

#[test]
fn a_rewritten_truncated_or_joined_file_is_noticed_by_the_next_worker() {
    let text = [add("a"), add("b"), add("c")].concat();
    // Claims the ledger, puts one object, counts it; then dies.
    let killed = || {
        let scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&text) };
        scene.run(&Fuse::after(3)).unwrap_err();
        assert_eq!(scene.store.ledger().unwrap().counts.added, 1);
        scene
    };
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", text.replace("\"a\"", "\"z\""));
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", "{");
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);
    let mut scene = killed();
    scene.source.files.insert("earlier.jsonl".to_owned(), vec![]);
    assert_eq!(scene.fails().0, FailureReason::FileListChanged);
    let mut scene = killed();
    scene.source = MemorySource::default();
    assert_eq!(scene.fails().0, FailureReason::FileListChanged);
    let mut scene = killed();
    scene.source = MemorySource::of("feed.jsonl", text.clone() + add("d").as_str());
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 4, "what was appended is read");
}

#[test]
fn what_has_a_version_is_read_on_where_it_was_left_and_replacing_it_is_noticed() {
    let text = [add("a"), add("b"), add("c")].concat();
    let killed = || {
        let mut scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&text) };
        scene.source.has_versions = true;
        scene.run(&Fuse::after(3)).unwrap_err();
        scene.source.opened.lock().unwrap().clear();
        scene
    };
    let offset = u64::try_from(add("a").len()).unwrap();
    let opened = |scene: &Scene| scene.source.opened.lock().unwrap().clone();
    let scene = killed();
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 3);
    assert_eq!(opened(&scene), [("feed.jsonl".to_owned(), offset)], "the first line is not read again");
    let put = |scene: &mut Scene, name: &str, text: String| {
        scene.source.files.insert(name.to_owned(), text.into_bytes());
    };
    let mut scene = killed();
    put(&mut scene, "feed.jsonl", text.clone() + add("d").as_str());
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 4);
    assert_eq!(opened(&scene), [("feed.jsonl".to_owned(), 0)], "another version: its beginning is hashed");
    let mut scene = killed();
    put(&mut scene, "feed.jsonl", text.replace("\"a\"", "\"z\""));
    assert_eq!(scene.fails().0, FailureReason::FileRewritten);

    // Two files; the first is done, the second in its midst.
    let mut scene = Scene { window_lines: Some(1), windows: Some(1), ..Scene::of(&add("a")) };
    scene.source.has_versions = true;
    put(&mut scene, "next.jsonl", add("b") + add("c").as_str());
    scene.run(&Fuse::after(5)).unwrap_err();
    assert_eq!(scene.store.ledger().unwrap().checkpoint.files, 1);
    put(&mut scene, "feed.jsonl", add("A"));
    assert_eq!(scene.fails().0, FailureReason::FileListChanged, "what is done was replaced");
}
