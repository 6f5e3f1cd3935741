//! The driver: gathers windows, commits them one after the other, and keeps the ledger.
//!
//! Bounds: one window, what it builds upon and what it becomes are in memory, nothing else. The order of writes is what
//! makes a crash harmless: puts, then (where renames are) the pending deletes in the ledger, then deletes, then one
//! write of the ledger that moves counts and checkpoint together.

use std::collections::BTreeSet;

use tracing::info;

use crate::commit::Committer;
use crate::feed::{Feed, FeedError, FeedLine, Mark};
use crate::keeper::Keeper;
use crate::ledger::{FailureReason, Ledger, State};
use crate::line;
use crate::mapping::Mapping;
use crate::ports::{Clock, LedgerStore, PortError, Sink, Source};
use crate::rejection::one_line;
use crate::retry::{Patience, Retry, Stop};
use crate::step::Step;
use crate::window::{Entry, Place, Window, WindowLimits};

/// The longest message of a failure, in bytes: a condition and a termination message hold it.
const MESSAGE_BYTES: usize = 1024;

/// What one run is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The run's name. The same name goes on where it stopped; another one begins anew.
    pub run: String,
    /// The collection, as Weaviate spells it: it is part of every id.
    pub collection: String,
    /// How lines become properties.
    pub mapping: Mapping,
    /// Vectors that the server computes from text, the one without a name under the empty name.
    pub computed_vectors: BTreeSet<String>,
    /// How many lines may be rejected; `None` = any number. Exceeded, the run fails.
    pub max_rejected: Option<u64>,
    /// How large windows grow.
    pub window: WindowLimits,
    /// How failed calls are tried again.
    pub retry: Retry,
}

/// The world.
#[derive(Debug)]
pub struct Ports<'a, S, K, L, C> {
    /// Where lines come from.
    pub source: &'a S,
    /// Where objects go.
    pub sink: &'a K,
    /// Where the ledger lies.
    pub store: &'a L,
    /// Time and chance.
    pub clock: &'a C,
}

/// Why a run did not come to its end. The ledger says the same, where it could be written.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RunError {
    /// It failed; the checkpoint stands.
    #[error("{message}")]
    Failed {
        /// In one word.
        reason: FailureReason,
        /// In a sentence.
        message: String,
    },
    /// It was asked to stop; the next worker goes on from the checkpoint.
    #[error("stopped as asked: the next worker goes on from the checkpoint")]
    Stopped,
}

impl RunError {
    /// It failed for this reason; the message is bounded.
    pub fn failed(reason: FailureReason, message: impl AsRef<str>) -> Self {
        Self::Failed { reason, message: one_line(message.as_ref(), MESSAGE_BYTES) }
    }
}

impl From<FeedError> for RunError {
    fn from(error: FeedError) -> Self {
        let reason = match &error {
            FeedError::ContentChanged { .. } => FailureReason::ContentChanged,
            FeedError::FileRewritten { .. } => FailureReason::FileRewritten,
            FeedError::FileListChanged { .. } => FailureReason::FileListChanged,
            FeedError::FileDamaged { .. } => FailureReason::FileDamaged,
            FeedError::TwoOfOneName(_) | FeedError::Port(_) => FailureReason::SourceFailed,
        };
        Self::failed(reason, error.to_string())
    }
}

/// Runs a feed to its end, or goes on with it. A run that succeeded before is answered as it is, without a call.
pub async fn run<S, K, L, C>(
    settings: &Settings,
    ports: &Ports<'_, S, K, L, C>,
    stop: &Stop,
) -> Result<Ledger, RunError>
where
    S: Source,
    K: Sink,
    L: LedgerStore,
    C: Clock,
{
    let patience = || Patience { retry: settings.retry, clock: ports.clock, stop };
    let keeper = Keeper::load(ports.store, patience(), &settings.run, &settings.collection).await;
    let keeper = keeper.map_err(|error| ledger_failed(&error, stop))?;
    if keeper.ledger.run == settings.run && keeper.ledger.state == State::Succeeded {
        return Ok(keeper.ledger);
    }
    let committer =
        Committer { sink: ports.sink, patience: patience(), keeper, computed_vectors: &settings.computed_vectors };
    let mut indexer = Indexer { settings, stop, committer };
    let result = indexer.index(ports.source, ports.clock).await;
    indexer.conclude(result, ports.clock).await
}

/// Writes into the ledger that a run cannot begin, for the status to tell. A ledger that holds the pending deletes of
/// another run is left alone: they are still needed.
pub async fn refuse<L: LedgerStore, C: Clock>(
    run: &str,
    collection: &str,
    store: &L,
    clock: &C,
    error: RunError,
) -> RunError {
    let RunError::Failed { reason, message } = &error else { return error };
    let stop = Stop::default();
    let patience = Patience { retry: Retry::default(), clock, stop: &stop };
    let mut keeper = match Keeper::load(store, patience, run, collection).await {
        Ok(keeper) => keeper,
        Err(error) => return ledger_failed(&error, &stop),
    };
    if keeper.ledger.run != run {
        if keeper.ledger.pending.is_some() {
            return error;
        }
        keeper.ledger = Ledger::begin(run, collection, clock.now());
    }
    keeper.ledger.fail(*reason, message.clone(), clock.now());
    match keeper.save().await {
        Ok(()) => error,
        Err(failure) => ledger_failed(&failure, &stop),
    }
}

pub(crate) fn ledger_failed(error: &PortError, stop: &Stop) -> RunError {
    if stop.is_set() {
        return RunError::Stopped;
    }
    RunError::failed(FailureReason::LedgerFailed, format!("ledger: {error}"))
}

struct Indexer<'a, K, L, C> {
    settings: &'a Settings,
    stop: &'a Stop,
    committer: Committer<'a, K, L, C>,
}

struct Gathered {
    window: Window,
    end: Mark,
    is_last: bool,
}

impl<K: Sink, L: LedgerStore, C: Clock> Indexer<'_, K, L, C> {
    async fn index<S: Source>(&mut self, source: &S, clock: &C) -> Result<(), RunError> {
        self.begin(clock).await?;
        let mut feed = Feed::resume(source, &self.ledger().checkpoint).await?;
        let mut held_over = None;
        loop {
            self.check_rejected()?;
            if self.stop.is_set() {
                return Err(RunError::Stopped);
            }
            let Gathered { window, end, is_last } = self.gather(&mut feed, &mut held_over).await?;
            self.committer.commit(&window, end.checkpoint()).await?;
            if is_last {
                return self.check_rejected();
            }
        }
    }

    /// Finishes what a crash left half done, and makes the ledger this run's. Its write also shows any other worker
    /// that it is no longer alone.
    async fn begin(&mut self, clock: &C) -> Result<(), RunError> {
        let Settings { run, collection, .. } = self.settings;
        let same_collection = self.ledger().collection == *collection;
        if same_collection {
            self.committer.settle().await?;
        }
        let keeper = &mut self.committer.keeper;
        if same_collection && keeper.ledger.run == *run {
            keeper.ledger.resume();
        } else {
            keeper.ledger = Ledger::begin(run, collection, clock.now());
        }
        info!(%run, %collection, checkpoint = ?keeper.ledger.checkpoint, "run begins");
        self.committer.save().await
    }

    async fn gather<S: Source>(
        &self,
        feed: &mut Feed<'_, S>,
        held_over: &mut Option<Entry>,
    ) -> Result<Gathered, RunError> {
        let mut window = Window::default();
        let mut rejected = self.ledger().counts.rejected;
        if let Some(entry) = held_over.take() {
            rejected += u64::from(entry.step.is_err());
            window.push(entry);
        }
        loop {
            let end = feed.mark();
            // Nothing behind the line that is one too many shall be indexed.
            if self.is_too_many(rejected) {
                return Ok(Gathered { window, end, is_last: false });
            }
            let Some(line) = feed.next().await? else {
                return Ok(Gathered { window, end: feed.mark(), is_last: true });
            };
            let entry = self.entry(line);
            if !window.admits(&entry, &self.settings.window) {
                *held_over = Some(entry);
                return Ok(Gathered { window, end, is_last: false });
            }
            rejected += u64::from(entry.step.is_err());
            window.push(entry);
        }
    }

    fn entry(&self, line: FeedLine) -> Entry {
        let FeedLine { file, line } = line;
        let place = Place { file, line: line.number, offset: line.offset, length: line.length };
        let change = line::read(&line);
        let step = change.and_then(|change| Step::new(&self.settings.collection, &self.settings.mapping, change));
        Entry { place, step }
    }

    async fn conclude(mut self, result: Result<(), RunError>, clock: &C) -> Result<Ledger, RunError> {
        match result {
            Ok(()) => {
                self.committer.keeper.ledger.succeed(clock.now());
                self.committer.save().await?;
                info!(counts = ?self.ledger().counts, "run succeeded");
                Ok(self.committer.keeper.ledger)
            }
            Err(error) => {
                if let RunError::Failed { reason, message } = &error
                    && *reason != FailureReason::LedgerFailed
                {
                    self.committer.keeper.ledger.fail(*reason, message.clone(), clock.now());
                    self.committer.save().await?;
                }
                Err(error)
            }
        }
    }

    fn check_rejected(&self) -> Result<(), RunError> {
        let rejected = self.ledger().counts.rejected;
        if !self.is_too_many(rejected) {
            return Ok(());
        }
        let most = self.settings.max_rejected.unwrap_or_default();
        let message = format!("{rejected} lines were rejected, more than the {most} that maxRejected allows");
        Err(RunError::failed(FailureReason::TooManyRejected, message))
    }

    fn is_too_many(&self, rejected: u64) -> bool {
        self.settings.max_rejected.is_some_and(|most| rejected > most)
    }

    fn ledger(&self) -> &Ledger {
        &self.committer.keeper.ledger
    }
}
