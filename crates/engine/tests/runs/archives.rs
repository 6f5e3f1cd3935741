//! Feeds that are stored compressed: offsets are those of their text, and damage is told.

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use elysia_engine::checkpoint::Digest;
use elysia_engine::ledger::FailureReason;
use elysia_engine::memory::{Fuse, MemorySource};
use tokio::io::AsyncReadExt as _;

use super::{Scene, add, block_on};

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    block_on(GzipEncoder::new(text.as_bytes()).read_to_end(&mut stored)).unwrap();
    stored
}

fn zstd(text: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    block_on(ZstdEncoder::new(text.as_bytes()).read_to_end(&mut stored)).unwrap();
    stored
}

#[test]
fn a_compressed_feed_killed_anywhere_goes_on_at_the_offset_of_its_text() {
    let lines = ["a", "b", "c", "d"].map(add);
    let text = lines.concat();
    let plain = Scene { window_lines: Some(1), ..Scene::of(&text) };
    let effects = {
        let fuse = Fuse::none();
        plain.run(&fuse).unwrap();
        fuse.spent()
    };
    let wanted = plain.store.ledger().unwrap();
    let (first, second) = (&text[..70], &text[70..]);
    for stored in [gzip(&text), [gzip(first), gzip(second)].concat(), [zstd(first), zstd(second)].concat()] {
        for kill in 1..effects {
            let mut scene = Scene { window_lines: Some(1), ..Scene::of("") };
            scene.source = MemorySource::of("feed.jsonl", stored.clone());
            scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(&stored));
            scene.run(&Fuse::after(kill)).unwrap_err();
            // Stored in another way meanwhile, it is the same text.
            if kill % 2 == 0 {
                scene.source = MemorySource::of("feed.jsonl", zstd(&text));
            }
            scene.run(&Fuse::none()).unwrap();
            let ledger = scene.store.ledger().unwrap();
            assert_eq!((ledger.counts, ledger.checkpoint), (wanted.counts, wanted.checkpoint.clone()), "{kill}");
            assert_eq!(scene.sink.objects(), plain.sink.objects());
        }
    }
}

#[test]
fn a_damaged_archive_fails_the_run_behind_what_could_be_read_of_it() {
    let text = ["a", "b", "c"].map(add).concat();
    let (first, second) = (&text[..60], &text[60..]);
    let whole = [gzip(first), gzip(second)].concat();
    let cut = whole.len() - 3;
    let mut scene = Scene { window_lines: Some(1), ..Scene::of("") };
    scene.source = MemorySource::of("feed.jsonl", &whole[..cut]);
    let (reason, message) = scene.fails();
    assert_eq!(reason, FailureReason::FileDamaged);
    assert!(reason.is_permanent());
    let expected = format!("the gzip archive ends in its midst at byte {cut} of the file: copy it again as a whole");
    assert_eq!(message, format!("feed.jsonl: {expected}"));
    let ledger = scene.store.ledger().unwrap();
    assert!(ledger.counts.added < 3 && ledger.counts.is_balanced(), "{:?}", ledger.counts);
    assert_eq!(ledger.counts.rejected, 0, "half a line is no line");
    scene.source = MemorySource::of("feed.jsonl", whole);
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 3, "the whole archive goes on where it broke");
}

#[test]
fn what_a_file_must_be_is_said_of_its_stored_bytes() {
    let stored = gzip(&add("a"));
    let mut scene = Scene::of("");
    scene.source = MemorySource::of("feed.jsonl", stored.clone());
    scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(add("a").as_bytes()));
    assert_eq!(scene.fails().0, FailureReason::ContentChanged);
    scene.source.expected.insert("feed.jsonl".to_owned(), Digest::of(&stored));
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.added, 1);
}
