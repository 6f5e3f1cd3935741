//! Archives that are followed: one grows by further members, and may be read while it is being copied.

use elysia_engine::ledger::FailureReason;
use elysia_engine::memory::Fuse;
use jiff::SignedDuration;

use super::{Scene, add};

/// One member of an archive.
fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = async_compression::tokio::bufread::GzipEncoder::new(text.as_bytes());
    let mut stored = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut encoder, &mut stored);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reading).unwrap();
    stored
}

#[test]
fn an_archive_that_grew_or_was_left_in_its_midst_is_read_on() {
    for versions in [true, false] {
        let text: String = (0..200).map(|path| add(&format!("p{path}"))).collect();
        let mut scene = Scene::new(versions);
        scene.source.files.insert("a.jsonl".to_owned(), gzip(&text));
        // Far more text than bytes: an offset in the one is behind the end of the other.
        assert!(scene.source.files["a.jsonl"].len() * 4 < text.len());
        scene.run(&Fuse::after(150)).unwrap_err();
        scene.run = "second";
        assert_eq!(scene.lines(), 200);
        scene.source.files.get_mut("a.jsonl").unwrap().extend(gzip(&(add("x") + add("y").as_str())));
        assert_eq!(scene.lines(), 202);
        assert_eq!(scene.sink.objects().len(), 202);
    }
}

#[test]
fn an_archive_that_is_being_copied_is_waited_for_and_one_that_stays_cut_is_damaged() {
    let text: String = (0..500).map(|path| add(&format!("p{path}"))).collect();
    let stored = gzip(&text);
    let mut scene = Scene::new(true);
    scene.put("z.jsonl", &add("z"));
    for cut in [1, 5, 20, stored.len() / 2, stored.len() - 9, stored.len() - 1] {
        scene.source.files.insert("a.jsonl".to_owned(), stored[..cut].to_vec());
        let lines = scene.lines();
        assert!((1..=501).contains(&lines), "cut at {cut}: {lines}, and what is beside it is read");
        scene.now += SignedDuration::from_mins(9);
        assert_eq!(scene.lines(), lines);
    }
    scene.now += SignedDuration::from_mins(2);
    let (reason, message) = scene.fails();
    assert_eq!(reason, FailureReason::FileDamaged);
    assert!(message.contains("a.jsonl: the archive ends in its midst"), "{message}");
    scene.source.files.insert("a.jsonl".to_owned(), stored.clone());
    assert_eq!(scene.lines(), 501);
    // Copied once more over itself, and longer.
    let longer = [stored.clone(), gzip(&add("more"))].concat();
    for cut in [30, stored.len() / 2, stored.len() + 5, longer.len()] {
        scene.source.files.insert("a.jsonl".to_owned(), longer[..cut].to_vec());
        assert_eq!(scene.lines(), if cut == longer.len() { 502 } else { 501 }, "cut at {cut}");
    }
    assert_eq!(scene.sink.objects().len(), 502);
}
