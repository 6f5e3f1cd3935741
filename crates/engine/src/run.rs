//! The driver: three hands that work at the same time, in one task.
//!
//! ```text
//! gather ── windows, as soon as they may begin ──▶ carry out: several at once ──▶ settle: in the order of the feed
//!   ▲                                                                                │
//!   └──────────────────────── what is counted keeps nobody waiting ◀─────────────────┘
//! ```
//!
//! Bounds: the windows in flight ([`FlightLimits`]) and one that waits are in memory, with what they build upon and what
//! they become; nothing else. The order of writes is what makes a crash harmless: puts and deletes that a replay would
//! repeat, then (where renames are) what they moved away as pending in the ledger, then those deletes, then one write of
//! the ledger that moves counts and checkpoint together.
//!
//! A failure or a wish to stop lets no further window begin, and all that began are waited for: what was sent must not
//! arrive after what the next worker writes.

use std::collections::BTreeSet;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::info;

use crate::ahead::{Ahead, Next, Parser};
use crate::begin::{begin, begin_to_follow};
use crate::breaker::{Breaker, BreakerPolicy};
use crate::commit::{Carried, Committer};
use crate::feed::{Feed, FeedError, Mark};
use crate::flight::{FlightLimits, Flights};
use crate::follow::Follow;
use crate::guard::{self, Counted, Guard, Guarded};
use crate::keeper::Keeper;
use crate::ledger::{FailureReason, Ledger, State};
use crate::mapping::Mapping;
use crate::pace::{BatchLimits, Pace};
use crate::partition::{PASSED_OVER, Partition};
use crate::ports::{Clock, LedgerStore, PortError, Sink, Source};
use crate::rejection::one_line;
use crate::retry::{Faults, Patience, Retry, Stop};
use crate::settle::{Landing, Reach, Settler};
use crate::tail::PIECES;
use crate::window::{Entry, Window, WindowLimits};

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
    /// How many lines may be rejected; `None` = any number. Exceeded, the run fails. Behind a line that the *server*
    /// refused, windows in flight may be in the collection by then; they are not counted, and replaying them is harmless.
    pub max_rejected: Option<u64>,
    /// How many documents may be deleted without a person's word; `None` = any number.
    pub guard: Option<Guard>,
    /// Whether lines that change nothing are found by comparison with what is stored, counted so, and not written. Then
    /// what an add replaces is read first.
    pub skip_unchanged: bool,
    /// Whose lines are dealt with; `None`: everybody's.
    pub partition: Option<Partition>,
    /// For a feed that goes on from run to run: then a run reads what came since. `None`: it reads all.
    pub follow: Option<Follow>,
    /// How large windows grow.
    pub window: WindowLimits,
    /// How much is in flight.
    pub flight: FlightLimits,
    /// How large batches grow, and how many are under way.
    pub batch: BatchLimits,
    /// How failed calls are tried again.
    pub retry: Retry,
    /// When the collection is left alone for a while.
    pub breaker: BreakerPolicy,
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
            FeedError::ContentChanged { .. }
            | FeedError::ChangedSinceCounted { .. }
            | FeedError::FileReplaced { .. } => FailureReason::ContentChanged,
            FeedError::FileRewritten { .. } => FailureReason::FileRewritten,
            FeedError::FileListChanged { .. } => FailureReason::FileListChanged,
            FeedError::FileDamaged { .. } => FailureReason::FileDamaged,
            FeedError::TooManyFiles { .. } => FailureReason::TooManyFiles,
            FeedError::TwoOfOneName(_) | FeedError::Port(_) => FailureReason::SourceFailed,
        };
        Self::failed(reason, error.to_string())
    }
}

/// Runs a feed to its end, or goes on with it. A run that succeeded before is answered as it is, without a call. A ledger
/// in state [`State::Waiting`] is an end as well: nothing was written, and a person has to approve what would be deleted.
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
    let faults = Faults::default();
    let patience = Patience { retry: settings.retry, clock: ports.clock, stop, faults: &faults, breaker: None };
    let keeper = Keeper::load(ports.store, patience, &settings.run, &settings.collection).await;
    let keeper = keeper.map_err(|error| ledger_failed(&error, stop))?;
    let is_done = keeper.ledger.run == settings.run && keeper.ledger.state == State::Succeeded;
    if is_done && settings.follow.is_none() {
        return Ok(keeper.ledger);
    }
    let abandoned = stop.child();
    let breaker = Breaker::new(settings.breaker, keeper.ledger.breaker.clone());
    let pace = Pace::new(settings.batch);
    let flights = Flights::new(settings.flight);
    let patience = Patience {
        retry: settings.retry,
        clock: ports.clock,
        stop: &abandoned,
        faults: &faults,
        breaker: Some(&breaker),
    };
    let committer = Committer {
        sink: ports.sink,
        patience,
        pace: &pace,
        computed_vectors: &settings.computed_vectors,
        cutting: settings.mapping.cutting().map(AsRef::as_ref),
        pieces: Semaphore::new(PIECES),
    };
    let max_rejected = settings.max_rejected;
    let mut settler =
        Settler { keeper, committer: &committer, flights: &flights, breaker: &breaker, stop, max_rejected };
    let indexer = Indexer { settings, stop, abandoned: &abandoned, committer: &committer, flights: &flights };
    let result = indexer.index(&mut settler, ports.source, ports.clock).await;
    conclude(settler, result, ports.source, ports.clock).await
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
    let faults = Faults::default();
    let patience = Patience { retry: Retry::default(), clock, stop: &stop, faults: &faults, breaker: None };
    let mut keeper = match Keeper::load(store, patience, run, collection).await {
        Ok(keeper) => keeper,
        Err(error) => return ledger_failed(&error, &stop),
    };
    if keeper.ledger.run != run {
        if keeper.ledger.pending.is_some() {
            return error;
        }
        let followed = keeper.ledger.followed.take().filter(|_| keeper.ledger.collection == collection);
        match followed {
            // What it knows of files is needed still.
            Some(followed) => {
                keeper.ledger.followed = Some(followed);
                run.clone_into(&mut keeper.ledger.run);
                keeper.ledger.started_at = clock.now();
            }
            None => keeper.ledger = Ledger::begin_after(run, collection, clock.now(), &keeper.ledger),
        }
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

async fn conclude<S: Source, K: Sink, L: LedgerStore, C: Clock>(
    mut settler: Settler<'_, K, L, C>,
    result: Result<(), RunError>,
    source: &S,
    clock: &C,
) -> Result<Ledger, RunError> {
    match result {
        Ok(()) if settler.ledger().state == State::Waiting => {
            info!(guarded = ?settler.ledger().guarded, "the run waits for an approval");
            Ok(settler.keeper.ledger)
        }
        Ok(()) => {
            let ledger = &mut settler.keeper.ledger;
            // A look that found nothing new is no event.
            if ledger.state != State::Succeeded {
                ledger.succeed(clock.now());
                if let Some(followed) = &mut ledger.followed {
                    followed.is_reading = Some(false);
                    if followed.put_off.is_none() {
                        followed.caught_up_at = ledger.finished_at;
                    }
                }
                info!(counts = ?ledger.counts, "run succeeded");
            }
            settler.save_if_changed().await?;
            settler.put_away(source).await?;
            Ok(settler.keeper.ledger)
        }
        Err(error) => {
            if let RunError::Failed { reason, message } = &error
                && *reason != FailureReason::LedgerFailed
            {
                settler.keeper.ledger.fail(*reason, message.clone(), clock.now());
                settler.save().await?;
            }
            Err(error)
        }
    }
}

struct Indexer<'a, K, C> {
    settings: &'a Settings,
    stop: &'a Stop,
    /// Set with `stop`, and when a window failed: what waits to be tried again is given up.
    abandoned: &'a Stop,
    committer: &'a Committer<'a, K, C>,
    flights: &'a Flights,
}

/// A window on its way to be carried out.
struct Flight {
    window: Window,
    carried: oneshot::Sender<Result<Carried, RunError>>,
}

struct Gathered {
    window: Window,
    end: Mark,
    is_last: bool,
}

impl<K: Sink, C: Clock> Indexer<'_, K, C> {
    async fn index<S: Source, L: LedgerStore>(
        &self,
        settler: &mut Settler<'_, K, L, C>,
        source: &S,
        clock: &C,
    ) -> Result<(), RunError> {
        let feed = match &self.settings.follow {
            None => {
                begin(self.settings, settler, clock).await?;
                let mut extents = None;
                if let Some(guard) = &self.settings.guard {
                    let counted = guard::count(source, &self.settings.collection).await?;
                    if !self.may_delete(guard, &counted, settler, clock).await? {
                        return Ok(());
                    }
                    extents = Some(counted.extents);
                }
                let feed = Feed::resume(source, &settler.ledger().checkpoint, extents).await?;
                settler.keeper.ledger.left = Some(feed.left());
                feed
            }
            Some(follow) => match begin_to_follow(self.settings, follow, settler, source, clock).await? {
                Some(feed) => feed,
                None => return Ok(()),
            },
        };
        let rejected = settler.rejected();
        // As many as may be in flight: then `Flights` alone decides who waits.
        let (flights, to_carry_out) = mpsc::channel(self.settings.flight.windows.max(1));
        let (landings, to_settle) = mpsc::channel(self.settings.flight.windows.max(1));
        let settling = async {
            let settled = settler.settle(to_settle).await;
            if settled.is_err() {
                self.abandoned.set();
            }
            settled
        };
        let (gathered, (), settled) = futures::join!(
            self.gather_all(feed, rejected, flights, landings),
            self.carry_out_all(to_carry_out),
            settling
        );
        // What failed in the feed's order comes first.
        settled.and(gathered)
    }

    /// Whether the run may delete what was counted. Either answer is in the ledger before anything is written.
    async fn may_delete<L: LedgerStore>(
        &self,
        guard: &Guard,
        counted: &Counted,
        settler: &mut Settler<'_, K, L, C>,
        clock: &C,
    ) -> Result<bool, RunError> {
        let ledger = settler.ledger();
        let before = ledger.guarded;
        let is_under_way = ledger.counts.lines > 0;
        if is_under_way && before.is_some_and(|before| before.content == counted.content) {
            // It was allowed before the first write; by now fewer are left to delete.
            return Ok(true);
        }
        // Of files that changed under a run the deletes so far cannot be told from those to come.
        let already = before.filter(|_| is_under_way).map_or(0, |before| before.deletes);
        let limits = guard.limits;
        let mut deletes = counted.most() + already;
        let mut objects = None;
        if deletes > 0 && limits.percent.is_some() {
            objects = self.committer.count().await?;
        }
        if !limits.allow(deletes, objects) {
            deletes = self.committer.present(&counted.documents).await? + counted.beyond + already;
            // For whoever has to decide.
            objects = match objects {
                None => self.committer.count().await?,
                known => known,
            };
        }
        let approved =
            guard.approval.is_some_and(|approval| approval.content == counted.content && deletes <= approval.deletes);
        let content = counted.content;
        let is_allowed = limits.allow(deletes, objects);
        let approved = approved && !is_allowed;
        let guarded = Guarded { content, deletes, objects, limits, approved, since: clock.now() };
        let ledger = &mut settler.keeper.ledger;
        ledger.guarded = Some(guarded.since_before(before.as_ref()));
        if !is_allowed && !approved {
            ledger.wait(clock.now());
        }
        settler.save().await?;
        Ok(is_allowed || approved)
    }

    /// Gathers windows and lets them begin. Returns without an error when somebody else has one to tell.
    async fn gather_all<S: Source>(
        &self,
        feed: Feed<'_, S>,
        mut rejected: u64,
        flights: mpsc::Sender<Flight>,
        landings: mpsc::Sender<Landing>,
    ) -> Result<(), RunError> {
        let Settings { collection, mapping, partition, .. } = self.settings;
        let parser = Parser { collection: collection.clone(), mapping: mapping.clone(), partition: *partition };
        let mut feed = Ahead::new(feed, parser);
        let mut held_over = None;
        let mut finished = 0;
        loop {
            if self.stop.is_set() {
                return Err(RunError::Stopped);
            }
            // Nothing behind the line that is one too many shall be indexed.
            if self.abandoned.is_set() || self.is_too_many(rejected) {
                return Ok(());
            }
            let Gathered { window, end, is_last } = self.gather(&mut feed, &mut held_over, &mut rejected).await?;
            let number = tokio::select! {
                number = self.flights.admit(&window) => number,
                () = self.abandoned.wait() => continue,
            };
            let (sender, carried) = oneshot::channel();
            let files = feed.finished(finished, end.finished);
            finished = end.finished;
            let bytes = window.entries().iter().map(|entry| entry.place.length).sum();
            let reach = Reach { end: end.checkpoint(), finished: files, bytes, left: Some(end.left) };
            let landing = Landing { number, reach, carried };
            let is_closed = landings.send(landing).await.is_err()
                || flights.send(Flight { window, carried: sender }).await.is_err();
            if is_last || is_closed {
                return Ok(());
            }
        }
    }

    /// Carries out windows as they come, each for itself, until there are no more.
    async fn carry_out_all(&self, mut flights: mpsc::Receiver<Flight>) {
        let mut aloft = FuturesUnordered::new();
        let mut is_open = true;
        loop {
            tokio::select! {
                flight = flights.recv(), if is_open => match flight {
                    Some(Flight { window, carried }) => aloft.push(async move {
                        // Nobody may be interested any more.
                        let _ = carried.send(self.committer.carry_out(&window).await);
                    }),
                    None => is_open = false,
                },
                Some(()) = aloft.next() => {}
                else => return,
            }
        }
    }

    async fn gather<S: Source>(
        &self,
        feed: &mut Ahead<'_, S>,
        held_over: &mut Option<Entry>,
        rejected: &mut u64,
    ) -> Result<Gathered, RunError> {
        let mut window = Window::new(self.settings.skip_unchanged).cutting(self.settings.mapping.cutting().cloned());
        if let Some(entry) = held_over.take() {
            *rejected += u64::from(entry.step.is_err());
            window.push(entry);
        }
        let mut passed_over = 0;
        loop {
            let end = feed.mark();
            if self.is_too_many(*rejected) {
                return Ok(Gathered { window, end, is_last: false });
            }
            let entry = match feed.next().await? {
                Next::Line(entry) => entry,
                Next::AnotherPartitions => {
                    passed_over += 1;
                    if passed_over >= PASSED_OVER {
                        return Ok(Gathered { window, end: feed.mark(), is_last: false });
                    }
                    continue;
                }
                Next::End => return Ok(Gathered { window, end: feed.mark(), is_last: true }),
            };
            if !window.admits(&entry, &self.settings.window) {
                *held_over = Some(entry);
                return Ok(Gathered { window, end, is_last: false });
            }
            *rejected += u64::from(entry.step.is_err());
            window.push(entry);
        }
    }

    fn is_too_many(&self, rejected: u64) -> bool {
        self.settings.max_rejected.is_some_and(|most| rejected > most)
    }
}
