//! What a run and a restore say that they took.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::restore::{self, Conflict};
use elysia_engine::backup::write::Progress;
use elysia_engine::ports::Clock;
use jiff::Timestamp;

use super::world::{cluster, objects, order, restore_order, restore_with, write_with};

/// Each look is a second later than the one before.
#[derive(Default)]
struct Seconds(AtomicI64);

impl Clock for Seconds {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).unwrap_or_default()
    }

    async fn sleep(&self, _: Duration) {}

    fn chance(&self) -> f64 {
        0.5
    }
}

#[tokio::test]
async fn bytes_and_times_of_every_stage_are_told() {
    let (store, source, clock) = (MemoryStore::default(), cluster(30), Seconds::default());
    let (progress, mut order) = (Progress::default(), order("one", DataFormat::Parquet));
    order.collections = vec!["Articles".to_owned()];
    let manifest = write_with(&store, &source, &order, (&clock, &progress)).await.unwrap();
    let bytes = objects(0..30).values().map(|object| object.bytes() as u64).sum::<u64>();
    assert_eq!(progress.read_bytes.load(Ordering::Relaxed), bytes);
    assert!(progress.bytes.load(Ordering::Relaxed) >= manifest.bytes());
    let times = [&progress.reading, &progress.encoding, &progress.writing];
    assert!(times.iter().all(|time| time.milliseconds() >= 1000), "{progress:?}");

    let (progress, target) = (restore::Progress::default(), cluster(0).collection("Copy"));
    let order = restore_order("Articles", "Copy", Conflict::Fail);
    restore_with(&store, &target, &order, (&clock, &progress)).await.unwrap();
    assert_eq!(progress.read_bytes.load(Ordering::Relaxed), manifest.bytes());
    assert_eq!(progress.written_bytes.load(Ordering::Relaxed), bytes);
    let times = [&progress.fetching, &progress.decoding, &progress.writing];
    assert!(times.iter().all(|time| time.milliseconds() >= 1000), "{progress:?}");
}
