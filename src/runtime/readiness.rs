//! What the operator still waits for before it can work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The names of what is waited for; empty when ready. Shared by whoever waits and the probe that tells it.
#[derive(Clone, Default)]
pub struct Readiness {
    waiting: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Readiness {
    /// Something has to be waited for.
    pub fn wait_for(&self, what: &'static str) {
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.insert(what);
        }
    }

    /// It is there.
    pub fn is_there(&self, what: &'static str) {
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.remove(what);
        }
    }

    /// What is still waited for.
    pub fn waiting(&self) -> Vec<&'static str> {
        self.waiting
            .lock()
            .map_or_else(|_| vec!["a lock that a panic left behind"], |waiting| waiting.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_nothing_is_waited_for() {
        let readiness = Readiness::default();
        readiness.wait_for("cache of WeaviateClusters");
        assert_eq!(readiness.waiting(), ["cache of WeaviateClusters"]);
        readiness.is_there("cache of WeaviateClusters");
        assert!(readiness.waiting().is_empty());
    }
}
