//! Trying again: exponential backoff with full jitter, a bounded number of times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::warn;

use crate::category::Tally;
use crate::ports::{Clock, PortError};

/// How long and how often a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

impl Default for Retry {
    /// About a minute of waiting on average, two at most: a node's restart or a new leader fits, a lost cluster is
    /// left to the Job's next pod.
    fn default() -> Self {
        Self { attempts: 12, base: Duration::from_millis(200), cap: Duration::from_secs(20) }
    }
}

impl Retry {
    /// How long to wait after this many failures: anything up to the exponential bound, so that many workers do not
    /// come back together.
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let bound = self.base.checked_mul(doubled).map_or(self.cap, |bound| bound.min(self.cap));
        bound.mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// A wish to stop, seen by a run between two windows and while it waits.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    set: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Asks the run to stop.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether it was asked to.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        let notified = self.0.notify.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}

/// With what a failed call is met.
pub(crate) struct Patience<'a, C> {
    pub(crate) retry: Retry,
    pub(crate) clock: &'a C,
    pub(crate) stop: &'a Stop,
}

/// Tries a call until it succeeds, fails for good, or was tried often enough. Every failure is tallied. A stop ends the
/// waiting: the last failure is answered then.
pub(crate) async fn with_retry<T, C: Clock>(
    patience: &Patience<'_, C>,
    errors: &mut Tally,
    mut call: impl AsyncFnMut() -> Result<T, PortError>,
) -> Result<T, PortError> {
    let Patience { retry, clock, stop } = patience;
    let mut failures = 0;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failures += 1;
        errors.count(error.category);
        if !error.retryable || failures >= retry.attempts || stop.is_set() {
            return Err(error);
        }
        let delay = retry.delay(failures, clock.chance());
        warn!(%error, category = %error.category, failures, ?delay, "call failed, trying again");
        tokio::select! {
            () = clock.sleep(delay) => {}
            () = stop.wait() => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_down_to_nothing() {
        let retry = Retry::default();
        let longest = |failures| retry.delay(failures, 1.0).as_millis();
        assert_eq!((1..=9).map(longest).collect::<Vec<_>>(), [200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000]);
        assert_eq!(longest(u32::MAX), 20000);
        assert_eq!(retry.delay(5, 0.0), Duration::ZERO);
        assert_eq!(retry.delay(5, 0.5), Duration::from_millis(1600));
    }
}
