//! Some small files, indexed by workers of which the first two are killed: as if nothing had happened.

use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::counts::Counts;
use elysia_engine::flight::FlightLimits;
use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySink, MemorySource};
use elysia_engine::pace::BatchLimits;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, run};
use elysia_engine::window::WindowLimits;
use serde_json::json;

use super::block_on;
use super::dice::Dice;

/// Documents of a feed: few, so that its lines meet.
const PATHS: [&str; 5] = ["a", "b", "c", "d", "é"];
/// Most lines: a run of them takes well under a millisecond.
const MOST_LINES: usize = 60;

/// A collection and a ledger that outlive workers.
#[derive(Default)]
struct World {
    sink: MemorySink,
    store: MemoryLedger,
}

/// Runs the feed that the bytes tell: once undisturbed, once with two kills.
pub(super) fn check(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let settings = settings(&mut dice);
    let kills = [dice.below(40), dice.below(40)];
    let seeds = [(); 3].map(|()| u64::from(dice.byte()).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut source = MemorySource { has_versions: dice.below(2) == 1, ..MemorySource::default() };
    for (number, file) in files(&mut dice).into_iter().enumerate() {
        source.files.insert(format!("file-{number}"), file);
    }

    let undisturbed = World::default();
    let wanted = undisturbed.worker(&settings, &source, &Fuse::none(), 0);
    let disturbed = World::default();
    for (kill, seed) in kills.into_iter().zip(seeds) {
        drop(disturbed.worker(&settings, &source, &Fuse::after(kill as u64), seed));
        disturbed.check_history();
    }
    let found = disturbed.worker(&settings, &source, &Fuse::none(), seeds[2]);
    disturbed.check_history();
    match (wanted, found) {
        (Ok(wanted), Ok(found)) => {
            assert_eq!((wanted.state, found.state), (State::Succeeded, State::Succeeded));
            assert_eq!(disturbed.sink.objects(), undisturbed.sink.objects());
            assert_eq!(fixed(&settings, &found.counts), fixed(&settings, &wanted.counts));
            assert_eq!(found.checkpoint, wanted.checkpoint);
            assert!(found.pending.is_none());
            assert_eq!(found.counts.lines, lines(&source), "lines that are not blank");
        }
        // Bytes that are told for an archive.
        (Err(RunError::Failed { reason, .. }), Err(RunError::Failed { reason: again, .. })) => {
            assert_eq!((reason, again), (FailureReason::FileDamaged, FailureReason::FileDamaged));
        }
        (wanted, found) => panic!("{wanted:?} undisturbed, {found:?} after kills"),
    }
}

impl World {
    fn worker(&self, settings: &Settings, source: &MemorySource, fuse: &Fuse, seed: u64) -> Result<Ledger, RunError> {
        let sink = self.sink.with_fuse(fuse.clone()).shuffled(seed).dithered(seed);
        let store = self.store.with_fuse(fuse.clone()).dithered(!seed);
        let ports = Ports { source, sink: &sink, store: &store, clock: &FixedClock::default() };
        block_on(run(settings, &ports, &Stop::default()))
    }

    /// Every ledger that was ever written is balanced, and none stands behind the one before it.
    fn check_history(&self) {
        let reached = |ledger: &Ledger| {
            let offset = ledger.checkpoint.current.as_ref().map_or(0, |position| position.offset);
            (ledger.counts.lines, ledger.checkpoint.files, offset)
        };
        let history = self.store.history();
        assert!(history.iter().all(|ledger| ledger.counts.is_balanced()), "lines are the sum of the six others");
        assert!(history.is_sorted_by_key(reached), "a ledger stands behind the one before it");
    }
}

fn settings(dice: &mut Dice<'_>) -> Settings {
    let words = ["repo", "path", "content", "k"].map(|name| (name.to_owned(), DataType::parse("text")));
    Settings {
        run: "first".to_owned(),
        collection: "Articles".to_owned(),
        mapping: Mapping::new(words, Unmapped::Reject).expect("a class that fits"),
        computed_vectors: [].into(),
        max_rejected: None,
        guard: None,
        skip_unchanged: dice.below(2) == 1,
        partition: None,
        follow: None,
        window: WindowLimits { lines: 1 + dice.below(8), reads: 1 + dice.below(4), bytes: 1 << 20 },
        flight: FlightLimits { windows: 1 + dice.below(4), ..FlightLimits::default() },
        batch: BatchLimits { objects: 1 + dice.below(3), in_flight: 1 + dice.below(5), ..BatchLimits::default() },
        retry: Retry::default(),
        breaker: BreakerPolicy::default(),
    }
}

/// With `skip_unchanged` a line that was done before a kill changes nothing after it: it moves to `unchanged`, or from it.
fn fixed(settings: &Settings, counts: &Counts) -> Counts {
    let Counts { added, modified, unchanged, .. } = *counts;
    if settings.skip_unchanged {
        return Counts { added: added + modified + unchanged, modified: 0, unchanged: 0, ..*counts };
    }
    *counts
}

fn lines(source: &MemorySource) -> u64 {
    let lines = source.files.values().map(|file| {
        let text = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
        text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64
    });
    lines.sum()
}

/// Lines that are changes for the most part, and whatever else a file may hold.
fn files(dice: &mut Dice<'_>) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new()];
    for _ in 0..MOST_LINES {
        if dice.is_empty() {
            break;
        }
        let (what, path, text) = (dice.below(10), PATHS[dice.below(PATHS.len())], dice.byte() % 3);
        let change = |op: &str| json!({"repo": "r:1", "op": op, "path": path});
        let line = match what {
            0 | 1 => with(change("add"), "content", text.to_string()),
            2 => with(change("modify"), "content", text.to_string()),
            3 => with(change("modify"), "metadata", json!({"k": text.to_string()})),
            4 => change("delete"),
            5 | 6 => with(change("rename"), "new_path", PATHS[dice.below(PATHS.len())]),
            7 => json!({"repo": "r:1", "op": "upsert"}),
            8 => {
                files.push(Vec::new());
                continue;
            }
            _ => {
                let length = dice.below(20);
                let raw = dice.take(length).to_vec();
                files.iter_mut().last().into_iter().for_each(|file| file.extend(&raw));
                continue;
            }
        };
        let end: &[u8] = if text == 2 { b"\r\n" } else { b"\n" };
        files.iter_mut().last().into_iter().for_each(|file| file.extend([line.to_string().as_bytes(), end].concat()));
    }
    files
}

fn with(mut line: serde_json::Value, name: &str, value: impl Into<serde_json::Value>) -> serde_json::Value {
    line[name] = value.into();
    line
}
