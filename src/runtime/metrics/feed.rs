//! Gauges of feeds, from their ledgers: they go back when a feed begins anew, so they are no counters.

use elysia_api::condition::ConditionType;
use elysia_api::index_source::{Counts, IndexSourceStatus, RunState, Throughput};
use elysia_core::condition;
use elysia_core::feed::LedgerView;
use elysia_engine::category::Category;
use jiff::Timestamp;
use prometheus::{GaugeVec, IntGaugeVec};

use super::families::{Families, Made, set};

/// What names a feed: namespace, name and the collection that it writes.
pub(super) type Labels<'a> = [&'a str; 3];

const OBJECT: [&str; 3] = ["namespace", "name", "collection"];

/// Outcomes of lines.
const LINES: [&str; 6] = ["added", "modified", "deleted", "renamed", "unchanged", "rejected"];
/// States of runs.
const STATES: [(RunState, &str); 6] = [
    (RunState::Pending, "Pending"),
    (RunState::Running, "Running"),
    (RunState::Waiting, "Waiting"),
    (RunState::Skipped, "Skipped"),
    (RunState::Succeeded, "Succeeded"),
    (RunState::Failed, "Failed"),
];

/// What is remembered of a feed, for what its gauges say of the moment of the scrape.
pub(super) struct Remembered {
    /// The collection under which its series stand.
    pub(super) collection: String,
    /// Whether it was told if it is caught up.
    is_told: bool,
    behind_since: Option<Timestamp>,
}

impl Remembered {
    /// What is remembered from now on.
    pub(super) fn next(before: Option<&Self>, collection: &str, status: &IndexSourceStatus) -> Self {
        let caught_up = condition::find(&status.conditions, ConditionType::CaughtUp);
        let behind = caught_up.filter(|caught_up| caught_up.status != "True");
        let behind = behind.map(|caught_up| caught_up.last_transition_time.0);
        // Not what is False and then Unknown begins anew, but what was True.
        let earlier = before.and_then(|before| before.behind_since);
        let behind_since = behind.map(|since| earlier.map_or(since, |earlier| earlier.min(since)));
        Self { collection: collection.to_owned(), is_told: caught_up.is_some(), behind_since }
    }
}

pub(super) struct FeedGauges {
    lines: IntGaugeVec,
    bytes: IntGaugeVec,
    errors: IntGaugeVec,
    calls: IntGaugeVec,
    call_seconds: GaugeVec,
    call_objects: IntGaugeVec,
    batch_objects: IntGaugeVec,
    in_flight: IntGaugeVec,
    circuit: IntGaugeVec,
    lag_files: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    behind: IntGaugeVec,
    waiting: IntGaugeVec,
    succeeded_at: IntGaugeVec,
    state: IntGaugeVec,
}

impl FeedGauges {
    pub(super) fn make(make: &mut Families) -> Made<Self> {
        let of_feed = |label| ["namespace", "name", "collection", label];
        Ok(Self {
            lines: make.gauge(
                "elysia_feed_lines",
                "Lines of a feed's present run, by outcome; with a schedule or a watch, since the feed began.",
                &of_feed("outcome"),
            )?,
            bytes: make.gauge("elysia_feed_bytes", "Bytes of these lines.", &OBJECT)?,
            errors: make.gauge(
                "elysia_feed_errors",
                "Rejected lines and failed calls of a feed, by one of the nine categories.",
                &of_feed("category"),
            )?,
            calls: make.gauge(
                "elysia_feed_calls",
                "Calls of a feed that wrote objects, by confirmed and failed; one that is tried again has failed.",
                &of_feed("outcome"),
            )?,
            call_seconds: make.float_gauge(
                "elysia_feed_call_seconds",
                "Time of all confirmed calls of a feed together: by their number it is their mean.",
                &OBJECT,
            )?,
            call_objects: make.gauge(
                "elysia_feed_call_objects",
                "Objects in all confirmed calls of a feed.",
                &OBJECT,
            )?,
            batch_objects: make.gauge(
                "elysia_feed_batch_objects",
                "Objects that a batch of a feed may have at present.",
                &OBJECT,
            )?,
            in_flight: make.gauge(
                "elysia_feed_batches_in_flight",
                "Batches of a feed that may be in flight at present.",
                &OBJECT,
            )?,
            circuit: make.gauge(
                "elysia_feed_circuit_open",
                "1 while a worker leaves the servers alone because one call after the other failed.",
                &OBJECT,
            )?,
            lag_files: make.gauge(
                "elysia_feed_lag_files",
                "Files that were listed last and are not dealt with.",
                &OBJECT,
            )?,
            lag_bytes: make.gauge(
                "elysia_feed_lag_bytes",
                "Bytes of these files, as they are stored, that are not dealt with; a compressed file counts whole.",
                &OBJECT,
            )?,
            behind: make.gauge(
                "elysia_feed_behind_seconds",
                "Time since the condition CaughtUp of a feed was True; 0 while it is.",
                &OBJECT,
            )?,
            waiting: make.gauge(
                "elysia_feed_waiting_lines",
                "Lines of a feed that are new and wait for as many as minChanges asks for.",
                &OBJECT,
            )?,
            succeeded_at: make.gauge(
                "elysia_feed_success_timestamp_seconds",
                "When all lines that were there were last dealt with.",
                &OBJECT,
            )?,
            state: make.gauge(
                "elysia_feed_state",
                "1 for the state of a feed's present or last run.",
                &of_feed("state"),
            )?,
        })
    }

    /// Unknown is not zero: what is not known has no series.
    pub(super) fn set(&self, labels: Labels<'_>, status: &IndexSourceStatus, ledger: Option<&LedgerView>) {
        let state = status.run.as_ref().map(|run| run.state);
        for (of, word) in STATES {
            set(&self.state, &with(labels, word), state.map(|state| i64::from(state == of)));
        }
        let circuit = condition::find(&status.conditions, ConditionType::CircuitClosed);
        set(&self.circuit, &labels, circuit.map(|closed| i64::from(closed.status == "False")));
        let counts = ledger.map(|ledger| outcomes(&ledger.counts));
        for (at, outcome) in LINES.iter().enumerate() {
            set(&self.lines, &with(labels, outcome), counts.map(|counts| counts[at]));
        }
        for category in Category::ALL {
            let of = |ledger: &LedgerView| ledger.errors.get(category.as_str()).copied().unwrap_or_default();
            set(&self.errors, &with(labels, category.as_str()), ledger.map(of));
        }
        let of = |read: fn(&Throughput) -> i64| ledger.map(|ledger| read(&ledger.throughput));
        set(&self.bytes, &labels, of(|throughput| throughput.bytes));
        set(&self.calls, &with(labels, "confirmed"), of(|throughput| throughput.calls));
        set(&self.calls, &with(labels, "failed"), of(|throughput| throughput.failed_calls));
        set(&self.call_objects, &labels, of(|throughput| throughput.objects));
        set(&self.batch_objects, &labels, of(|throughput| throughput.batch_objects));
        set(&self.in_flight, &labels, of(|throughput| throughput.parallelism));
        let lag = ledger.and_then(|ledger| ledger.lag.as_ref());
        set(&self.lag_files, &labels, lag.map(|lag| lag.files));
        set(&self.lag_bytes, &labels, lag.map(|lag| lag.bytes));
        let waiting = |ledger: &LedgerView| ledger.put_off.as_ref().map_or(0, |put_off| put_off.lines);
        set(&self.waiting, &labels, ledger.map(waiting));
        set(&self.succeeded_at, &labels, ledger.and_then(succeeded_at).map(Timestamp::as_second));
        match ledger {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 milliseconds are out of reach")]
            Some(ledger) => {
                self.call_seconds.with_label_values(&labels).set(ledger.call_milliseconds as f64 / 1000.0);
            }
            // One that was never set is not there to be removed, which is no error.
            None => drop(self.call_seconds.remove_label_values(&labels)),
        }
    }

    /// Ages as they are at this moment.
    pub(super) fn age(&self, namespace: &str, name: &str, feed: &Remembered, now: Timestamp) {
        let age = feed.behind_since.map_or(0, |since| now.duration_since(since).as_secs().max(0));
        set(&self.behind, &[namespace, name, &feed.collection], feed.is_told.then_some(age));
    }

    pub(super) fn forget(&self, labels: Labels<'_>) {
        self.set(labels, &IndexSourceStatus::default(), None);
        set(&self.behind, &labels, None);
    }
}

fn with<'a>(labels: Labels<'a>, last: &'a str) -> [&'a str; 4] {
    let [namespace, name, collection] = labels;
    [namespace, name, collection, last]
}

fn outcomes(counts: &Counts) -> [i64; 6] {
    let Counts { lines: _, added, modified, deleted, renamed, unchanged, rejected } = counts;
    [*added, *modified, *deleted, *renamed, *unchanged, *rejected]
}

/// Of a feed that goes on from run to run, when it had caught up; of another one, when its run had.
fn succeeded_at(ledger: &LedgerView) -> Option<Timestamp> {
    ledger.caught_up_at.or_else(|| ledger.finished_at.filter(|_| ledger.state == RunState::Succeeded))
}
