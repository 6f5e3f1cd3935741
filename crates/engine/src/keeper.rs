//! Keeps the ledger: every write is confirmed before the run goes on, and a lost answer is looked after.

use std::cell::Cell;

use crate::category::Category;
use crate::ledger::{LEDGER_VERSION, Ledger};
use crate::ports::{Clock, LedgerStore, PortError, SaveError};
use crate::retry::{Patience, with_retry};

/// The ledger in memory and what is known of its stored twin.
pub(crate) struct Keeper<'a, L, C> {
    store: &'a L,
    patience: Patience<'a, C>,
    /// What the next write stores.
    pub(crate) ledger: Ledger,
    saved: Option<Ledger>,
    version: String,
}

impl<'a, L: LedgerStore, C: Clock> Keeper<'a, L, C> {
    /// Reads the ledger; one that is not there yet begins with this run.
    pub(crate) async fn load(
        store: &'a L,
        patience: Patience<'a, C>,
        run: &str,
        collection: &str,
    ) -> Result<Self, PortError> {
        let stored = with_retry(&patience, async || store.load().await).await?;
        let saved = stored.ledger;
        if let Some(found) = saved.as_ref().filter(|ledger| ledger.version != LEDGER_VERSION) {
            let message = format!("the ledger has version {}, this worker knows {LEDGER_VERSION}", found.version);
            return Err(PortError { category: Category::Validation, retryable: false, message });
        }
        let ledger = saved.clone().unwrap_or_else(|| Ledger::begin(run, collection, patience.clock.now()));
        Ok(Self { store, patience, ledger, saved, version: stored.version })
    }

    /// Whether there was a ledger.
    pub(crate) fn is_stored(&self) -> bool {
        self.saved.is_some()
    }

    /// Writes the ledger if it says anything else than what is stored.
    pub(crate) async fn save_if_changed(&mut self) -> Result<(), PortError> {
        let now = self.saved.as_ref().map_or(self.ledger.updated_at, |saved| saved.updated_at);
        let same = Ledger { updated_at: now, ..self.ledger.clone() };
        if self.saved.as_ref() == Some(&same) {
            self.ledger = same;
            return Ok(());
        }
        self.save().await
    }

    /// Writes the ledger. After an error it is not known whether it was written: nothing may follow that relies on it.
    pub(crate) async fn save(&mut self) -> Result<(), PortError> {
        self.ledger.updated_at = self.patience.clock.now();
        // What this write itself meets is counted by the next one.
        self.ledger.errors.add(&self.patience.faults.take());
        let version = Cell::new(self.version.clone());
        let attempt = async || self.attempt(&version).await;
        let written = with_retry(&self.patience, attempt).await;
        self.version = version.into_inner();
        written?;
        self.saved = Some(self.ledger.clone());
        Ok(())
    }

    async fn attempt(&self, version: &Cell<String>) -> Result<(), PortError> {
        // Twice: a conflict may only mean that somebody touched a label, or that the answer to our own write was lost.
        for _ in 0..2 {
            let expected = version.take();
            version.set(expected.clone());
            match self.store.save(&self.ledger, &expected).await {
                Ok(next) => {
                    version.set(next);
                    return Ok(());
                }
                Err(SaveError::Failed(error)) => return Err(error),
                Err(SaveError::Conflict) => {}
            }
            let stored = self.store.load().await?;
            version.set(stored.version);
            if stored.ledger.as_ref() == Some(&self.ledger) {
                return Ok(());
            }
            if stored.ledger != self.saved {
                let message = "the ledger was written by another worker: this one stops".to_owned();
                return Err(PortError { category: Category::Unknown, retryable: false, message });
            }
        }
        let message = "the ledger's object changes faster than it can be written".to_owned();
        Err(PortError { category: Category::Unknown, retryable: true, message })
    }
}
