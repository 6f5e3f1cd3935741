//! The ledger's side of a run: windows that were carried out, in the order of the feed, become counts and a checkpoint.
//!
//! Whatever several windows did meanwhile, only the next one in the feed can be counted, so the checkpoint never moves
//! over a line that is not confirmed. Windows that are ready together are counted by one write.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::checkpoint::Checkpoint;
use crate::commit::{Carried, Committer};
use crate::flight::Flights;
use crate::follow::Record;
use crate::keeper::Keeper;
use crate::ledger::{DEAD_LETTERS, Delta, FailureReason, Ledger, Pending};
use crate::ports::{Clock, LedgerStore, Sink};
use crate::progress::Left;
use crate::rejects::keep_last;
use crate::retry::Stop;
use crate::run::{RunError, ledger_failed};
use crate::window::Gone;

/// How far the feed is once a window is counted.
pub(crate) struct Reach {
    /// Where the checkpoint is.
    pub(crate) end: Checkpoint,
    /// Files of a followed feed that end in it.
    pub(crate) finished: Vec<(String, Record)>,
    /// Bytes of its lines.
    pub(crate) bytes: u64,
    /// What is left to be read behind it; `None`: as before.
    pub(crate) left: Option<Left>,
}

/// Rejected lines that a window carried out again.
#[derive(Default)]
pub(crate) struct Again {
    /// Their numbers, ascending.
    pub(crate) numbers: Vec<u64>,
    /// Of each document that one of them touched and was not rejected, the last of those.
    pub(crate) last: BTreeMap<Uuid, u64>,
}

/// A window that is being carried out.
pub(crate) struct Landing {
    /// Its number among the flights.
    pub(crate) number: u64,
    /// How far the feed is once it is counted.
    pub(crate) reach: Reach,
    /// What became of it.
    pub(crate) carried: oneshot::Receiver<Result<Carried, RunError>>,
}

/// The ledger and what moves it.
pub(crate) struct Settler<'a, K, L, C> {
    pub(crate) keeper: Keeper<'a, L, C>,
    pub(crate) committer: &'a Committer<'a, K, C>,
    pub(crate) flights: &'a Flights,
    pub(crate) breaker: &'a Breaker,
    pub(crate) stop: &'a Stop,
    pub(crate) max_rejected: Option<u64>,
}

impl<K: Sink, L: LedgerStore, C: Clock> Settler<'_, K, L, C> {
    /// Counts windows as they come, until there are no more or one failed.
    pub(crate) async fn settle(&mut self, mut landings: mpsc::Receiver<Landing>) -> Result<(), RunError> {
        let mut next = None;
        loop {
            let Some(Landing { number, reach, carried }) = self.next_landing(&mut next, &mut landings).await? else {
                return Ok(());
            };
            let carried = self.watching(carried).await?;
            let mut landed = Vec::new();
            self.add(reach, carried.unwrap_or_else(|_| Err(given_up()))?, Again::default()).await?;
            landed.push(number);
            // Whoever is ready as well goes with the same write.
            while let Ok(mut landing) = landings.try_recv() {
                match (&mut landing.carried).now_or_never() {
                    Some(Ok(Ok(carried))) if !self.is_too_many() => {
                        self.add(landing.reach, carried, Again::default()).await?;
                        landed.push(landing.number);
                    }
                    // An error is met in its turn, behind the write of what comes before it.
                    Some(carried) => {
                        let (sender, receiver) = oneshot::channel();
                        let _ = sender.send(carried.unwrap_or_else(|_| Err(given_up())));
                        next = Some(Landing { carried: receiver, ..landing });
                        break;
                    }
                    None => {
                        next = Some(landing);
                        break;
                    }
                }
            }
            self.save().await?;
            self.flights.land(landed);
            self.check_rejected()?;
        }
    }

    async fn next_landing(
        &mut self,
        next: &mut Option<Landing>,
        landings: &mut mpsc::Receiver<Landing>,
    ) -> Result<Option<Landing>, RunError> {
        match next.take() {
            Some(landing) => Ok(Some(landing)),
            None => self.watching(landings.recv()).await,
        }
    }

    /// Waits, and writes down whatever the circuit breaker does meanwhile: while it is open nothing else is written.
    async fn watching<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, RunError> {
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                biased;
                waited = &mut wait => return Ok(waited),
                () = self.breaker.turned() => self.save().await?,
            }
        }
    }

    /// Adds a window to the ledger in memory. What it moved away is deleted, once the stored ledger knows. With numbers
    /// in `again`, its lines are those that were rejected before.
    pub(crate) async fn add(&mut self, reach: Reach, carried: Carried, again: Again) -> Result<(), RunError> {
        let Reach { end: to, finished, bytes, left } = reach;
        let Carried { counts, errors, mut dead_letters, mut rejects, touched, moved } = carried;
        let ledger = &self.keeper.ledger;
        dead_letters.truncate(DEAD_LETTERS.saturating_sub(ledger.dead_letters.len()));
        keep_last(&mut rejects);
        let Again { numbers: replayed, mut last } = again;
        if replayed.is_empty() {
            // Lines of the feed come after all that was rejected.
            last = touched.into_iter().map(|document| (document, u64::MAX)).collect();
        }
        let superseded = ledger.rejects.superseded_by(&last);
        let from = ledger.checkpoint.clone();
        let delta =
            Delta { from, to, counts, errors, dead_letters, bytes, left, finished, rejects, superseded, replayed };
        if moved.is_empty() {
            return self.apply(delta);
        }
        self.keeper.ledger.pending = Some(Pending::new(&moved, delta.clone()));
        self.save().await?;
        self.finish(&moved, delta).await
    }

    /// Carries out the deletes that the ledger holds as pending, if it does.
    pub(crate) async fn finish_pending(&mut self) -> Result<(), RunError> {
        let Some(pending) = self.keeper.ledger.pending.clone() else { return Ok(()) };
        self.finish(&pending.gone(), pending.delta).await
    }

    async fn finish(&mut self, gone: &[Gone], delta: Delta) -> Result<(), RunError> {
        self.committer.delete_documents(gone).await?;
        self.keeper.ledger.pending = None;
        self.apply(delta)
    }

    fn apply(&mut self, delta: Delta) -> Result<(), RunError> {
        let joined = self.keeper.ledger.apply(delta);
        joined.map_err(|error| RunError::failed(FailureReason::LedgerFailed, error.to_string()))
    }

    /// Writes the ledger as it is in memory.
    pub(crate) async fn save(&mut self) -> Result<(), RunError> {
        self.keeper.ledger.breaker = self.breaker.open();
        self.keeper.ledger.add_traffic(self.committer.pace);
        self.keeper.save().await.map_err(|error| ledger_failed(&error, self.stop))
    }

    /// Writes the ledger as it is in memory, if that is anything new.
    pub(crate) async fn save_if_changed(&mut self) -> Result<(), RunError> {
        self.keeper.ledger.breaker = self.breaker.open();
        self.keeper.save_if_changed().await.map_err(|error| ledger_failed(&error, self.stop))
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.keeper.ledger
    }

    /// Fails when more lines were rejected than may be.
    pub(crate) fn check_rejected(&self) -> Result<(), RunError> {
        if !self.is_too_many() {
            return Ok(());
        }
        let (rejected, most) = (self.rejected(), self.max_rejected.unwrap_or_default());
        let message = format!("{rejected} lines were rejected, more than the {most} that maxRejected allows");
        Err(RunError::failed(FailureReason::TooManyRejected, message))
    }

    /// Rejected lines of this run.
    pub(crate) fn rejected(&self) -> u64 {
        let before = self.ledger().followed.as_ref().map_or(0, |followed| followed.rejected_before);
        self.ledger().counts.rejected.saturating_sub(before)
    }

    fn is_too_many(&self) -> bool {
        self.max_rejected.is_some_and(|most| self.rejected() > most)
    }
}

/// Nobody carries the window out any more. Only a defect of ours leads here; the run then fails instead of hanging.
fn given_up() -> RunError {
    RunError::failed(FailureReason::SinkFailed, "a window was given up before it was carried out")
}
