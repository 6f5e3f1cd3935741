//! What clients were told, and so what has to be there at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use uuid::Uuid;

/// An object of a collection.
pub(crate) type Key = (String, Uuid);

/// Everything that was acknowledged.
#[derive(Default)]
pub(crate) struct Oracle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Objects whose write was acknowledged at QUORUM and whose deletion was never asked for, with their title.
    stored: BTreeMap<Key, String>,
    /// Objects whose deletion was asked for: they may be there or not.
    deleted: BTreeSet<Key>,
    acknowledged: u64,
    failed: u64,
}

/// Numbers for the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) deleted: usize,
    pub(crate) stored: usize,
}

impl Oracle {
    /// A write was acknowledged.
    pub(crate) fn stored(&self, key: Key, title: String) {
        let mut state = self.state.lock().unwrap();
        state.acknowledged += 1;
        if !state.deleted.contains(&key) {
            state.stored.insert(key, title);
        }
    }

    /// A write was not acknowledged: the object may be there or not.
    pub(crate) fn failed(&self) {
        self.state.lock().unwrap().failed += 1;
    }

    /// Picks an object to delete, by a number: from now on nobody expects it.
    pub(crate) fn take(&self, number: usize) -> Option<Key> {
        let mut state = self.state.lock().unwrap();
        let number = number % state.stored.len().max(1);
        let key = state.stored.keys().nth(number)?.clone();
        state.stored.remove(&key);
        state.deleted.insert(key.clone());
        Some(key)
    }

    /// All that has to be there.
    pub(crate) fn expected(&self) -> Vec<(Key, String)> {
        self.state.lock().unwrap().stored.iter().map(|(key, title)| (key.clone(), title.clone())).collect()
    }

    pub(crate) fn tally(&self) -> Tally {
        let state = self.state.lock().unwrap();
        Tally {
            acknowledged: state.acknowledged,
            failed: state.failed,
            deleted: state.deleted.len(),
            stored: state.stored.len(),
        }
    }
}
