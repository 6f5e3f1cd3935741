//! What one look at a feed gives.

use std::collections::BTreeMap;

use elysia_api::index_source::{CheckpointStatus, Counts, DeadLetter, Lag, PartitionsStatus, RunState, Throughput};
use jiff::Timestamp;

use super::{Content, FailedRun, FeedSpec, Guarded};
use crate::collection::ClusterSight;
use crate::sight::Sight;

/// Everything that one look at a feed gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The cluster.
    pub cluster: ClusterSight,
    /// Whether the collection exists.
    pub collection: Sight<bool>,
    /// Whether the ledger's object is there: notes stand on it.
    pub keeps_notes: bool,
    /// Whether an object is missing that a ledger stands on.
    pub lacks_ledger: bool,
    /// The run whose Job failed and whose worker did not say so itself, as it is noted there.
    pub failed: Option<FailedRun>,
    /// The pattern of the cluster that protects the collection's name.
    pub protection: Option<String>,
    /// What the source holds; `Seen(Err)`: what it names does not exist.
    pub content: Sight<Result<Content, String>>,
    /// What the worker wrote; `Seen(None)` before the first run.
    pub ledger: Sight<Option<LedgerView>>,
    /// The Jobs of the feed.
    pub jobs: Vec<JobView>,
    /// The time for which the present run is meant, as it stands beside the ledger.
    pub intent: Option<Timestamp>,
    /// The time of the look.
    pub now: Timestamp,
}

impl Observed {
    /// Whether a worker of this feed stays and looks again and again.
    pub fn stays(&self, spec: &FeedSpec) -> bool {
        let content = self.content.seen().and_then(|content| content.as_ref().ok());
        content.is_some_and(|content| spec.watches(content).is_some())
    }
}

/// What matters of a Job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: JobState,
    /// Whether it watches: it ends when it is ended, or after its time.
    pub watches: bool,
    /// Since when it is there without a pod that runs; `None` while one runs.
    pub idle_since: Option<Timestamp>,
}

/// How a Job stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobState {
    /// Its pods run or wait to.
    Active,
    /// It ended well.
    Succeeded,
    /// It was given up, and why.
    Failed(String),
}

/// What a worker wrote into the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerView {
    /// The run it speaks about.
    pub run: String,
    /// How the run stands.
    pub state: RunState,
    /// Why it failed.
    pub message: Option<String>,
    /// What the guard over deletes counted.
    pub guarded: Option<Guarded>,
    /// Whether another worker would fail alike.
    pub is_permanent: bool,
    /// Of a run with several partitions.
    pub partitions: Option<PartitionsStatus>,
    /// Lines that are new and wait for more.
    pub put_off: Option<PutOff>,
    /// When every line was last dealt with, of a feed that goes on from run to run.
    pub caught_up_at: Option<Timestamp>,
    /// Lines and what became of them.
    pub counts: Counts,
    /// Troubles by category.
    pub errors: BTreeMap<String, i64>,
    /// How far it came.
    pub checkpoint: CheckpointStatus,
    /// How fast it is.
    pub throughput: Throughput,
    /// Time of all confirmed calls together, in milliseconds.
    pub call_milliseconds: i64,
    /// What is left to be read.
    pub lag: Option<Lag>,
    /// The worker's circuit breaker while it is open.
    pub breaker: Option<OpenCircuit>,
    /// The request to carry rejected lines out again that was dealt with last.
    pub replayed: Option<String>,
    /// The first rejected lines.
    pub dead_letters: Vec<DeadLetter>,
    /// When the run started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Lines that are new, and too few for a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PutOff {
    /// How many.
    pub lines: i64,
    /// How many it takes.
    pub least: i64,
}

/// A worker leaves the collection alone for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenCircuit {
    /// Since when.
    pub since: Timestamp,
    /// Calls in a row that failed.
    pub failures: i64,
    /// What the call met that opened it.
    pub message: String,
}
