//! One controller a kind; each is observe → plan → act → report → requeue.

mod audit;
pub mod backup;
pub mod cluster;
pub mod collection;
pub mod connect;
pub mod context;
pub mod feed;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod rest_tests;
pub mod restore;
pub mod run;
mod store_jobs;
mod store_place;
mod watch;

pub use context::Context;

use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;

use crate::effects::EffectError;

/// First pause after an error, doubled for each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after an error: an object is looked at again within a minute of the cause being gone.
const BACKOFF_LONGEST: Duration = Duration::from_secs(60);

/// What ended a round before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A write that did not happen.
    #[error("reconcile failed")]
    Effect(#[from] EffectError),
    /// A read from Kubernetes that did not happen.
    #[error("failed to read {what}")]
    Read {
        /// What was read.
        what: String,
        /// The API server's words.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ReconcileError {
    /// Wraps a failed read.
    pub fn read(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        |source| Self::Read { what: what.into(), source: Box::new(source) }
    }

    /// Bounded and stable: the `reason` label of a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Effect(effect) => effect.reason(),
            Self::Read { .. } => "read",
        }
    }
}

/// Requeue after this time, spread by the object's own name so that a thousand objects do not come at once.
fn requeue(after: SignedDuration, key: &str) -> Action {
    let after = Duration::try_from(after).unwrap_or(BACKOFF_LONGEST);
    // A tenth to a fifth earlier, never later: "noticed within one interval" is a promise, and a round takes its time.
    let spread = key.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 100;
    Action::requeue(after.saturating_sub(after * (100 + spread) / 1000))
}

/// The pause after the n-th error in a row.
fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(2u32.saturating_pow(failures.min(10))).min(BACKOFF_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(backoff(0), Duration::from_secs(1));
        assert_eq!(backoff(3), Duration::from_secs(8));
        assert_eq!(backoff(99), Duration::from_secs(60));
    }

    #[test]
    fn a_requeue_comes_early_never_late() {
        for key in ["a", "namespace/name", "x".repeat(200).as_str()] {
            let action = format!("{:?}", requeue(SignedDuration::from_secs(60), key));
            let early = format!("{:?}", Action::requeue(Duration::from_secs(60)));
            assert!(action <= early || action.len() < early.len(), "{action} {early}");
        }
    }
}
