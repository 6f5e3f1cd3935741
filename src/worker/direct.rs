//! A run without a Job and without Kubernetes: what the plug-in does from a person's own machine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use elysia_engine::ledger::Ledger;
use elysia_engine::ports::{LedgerStore, PortError, SaveError, Stored};
use elysia_engine::retry::Stop;
use elysia_engine::run::RunError;
use elysia_weaviate::Client;
use tokio::sync::watch;

use super::file_ledger::FileLedger;
use super::index::index_feed;
use super::work::IndexWork;

/// Runs a feed here and now, or goes on with it where `work.ledger_file` says. Without such a file only this process
/// knows how far it is. `told` has the ledger as it was written last.
pub(crate) async fn index_here(
    work: IndexWork,
    client: Client,
    nodes: Vec<Client>,
    stop: &Stop,
    told: &watch::Sender<Option<Ledger>>,
) -> Result<Ledger, RunError> {
    if let Some(file) = work.ledger_file.clone() {
        let store = Told { inner: FileLedger::new(file), told };
        return index_feed(work, client, nodes, &store, stop).await;
    }
    let store = Told { inner: Unkept::default(), told };
    index_feed(work, client, nodes, &store, stop).await
}

/// A ledger that tells what is written to it.
struct Told<'a, L> {
    inner: L,
    told: &'a watch::Sender<Option<Ledger>>,
}

impl<L: LedgerStore> LedgerStore for Told<'_, L> {
    async fn load(&self) -> Result<Stored, PortError> {
        self.inner.load().await
    }

    async fn save(&self, ledger: &Ledger, version: &str) -> Result<String, SaveError> {
        let saved = self.inner.save(ledger, version).await?;
        self.told.send_replace(Some(ledger.clone()));
        Ok(saved)
    }
}

/// A ledger that ends with the process.
#[derive(Default)]
struct Unkept {
    state: Mutex<(u64, Option<Ledger>)>,
}

impl Unkept {
    fn lock(&self) -> MutexGuard<'_, (u64, Option<Ledger>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerStore for Unkept {
    async fn load(&self) -> Result<Stored, PortError> {
        let state = self.lock();
        Ok(Stored { ledger: state.1.clone(), version: state.0.to_string() })
    }

    async fn save(&self, ledger: &Ledger, version: &str) -> Result<String, SaveError> {
        let mut state = self.lock();
        if state.0.to_string() != version {
            return Err(SaveError::Conflict);
        }
        *state = (state.0 + 1, Some(ledger.clone()));
        Ok(state.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_told_and_kept_for_this_process() {
        let (told, hears) = watch::channel(None);
        let store = Told { inner: Unkept::default(), told: &told };
        let empty = store.load().await.unwrap();
        assert_eq!(empty.ledger, None);
        let ledger = Ledger::begin("run", "Articles", Timestamp::UNIX_EPOCH);
        let version = store.save(&ledger, &empty.version).await.unwrap();
        assert_eq!(store.save(&ledger, &empty.version).await, Err(SaveError::Conflict));
        assert_eq!(store.load().await.unwrap(), Stored { ledger: Some(ledger.clone()), version });
        assert_eq!(*hears.borrow(), Some(ledger));
    }
}
