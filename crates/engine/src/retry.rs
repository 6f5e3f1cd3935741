//! Trying again: exponential backoff with full jitter, a bounded number of times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::warn;

use crate::breaker::Breaker;
use crate::category::{Category, Tally};
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
pub struct Stop {
    own: Arc<Signal>,
    above: Option<Arc<Signal>>,
}

#[derive(Debug, Default)]
struct Signal {
    set: AtomicBool,
    notify: Notify,
}

impl Signal {
    fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}

impl Stop {
    /// Asks the run to stop.
    pub fn set(&self) {
        self.own.set.store(true, Ordering::SeqCst);
        self.own.notify.notify_waiters();
    }

    /// Whether it was asked to.
    pub fn is_set(&self) -> bool {
        self.own.is_set() || self.above.as_ref().is_some_and(|above| above.is_set())
    }

    /// One that is set with this one, and by itself. Not for a child's child: one level is all that is needed.
    pub(crate) fn child(&self) -> Self {
        Self { own: Arc::default(), above: Some(self.own.clone()) }
    }

    /// Until it is set.
    pub async fn wait(&self) {
        match &self.above {
            None => self.own.wait().await,
            Some(above) => tokio::select! {
                () = self.own.wait() => {}
                () = above.wait() => {}
            },
        }
    }
}

/// The faults that calls met, until the ledger counts them.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Tally>);

impl Faults {
    pub(crate) fn count(&self, category: Category) {
        self.lock().count(category);
    }

    /// What was met since this was asked last.
    pub(crate) fn take(&self) -> Tally {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With what a failed call is met.
pub(crate) struct Patience<'a, C> {
    pub(crate) retry: Retry,
    pub(crate) clock: &'a C,
    pub(crate) stop: &'a Stop,
    pub(crate) faults: &'a Faults,
    /// For calls that share one.
    pub(crate) breaker: Option<&'a Breaker>,
}

/// Tries a call until it succeeds, fails for good, or was tried often enough. Every failure is tallied. A stop ends the
/// waiting: the last failure is answered then, or that the breaker is open.
pub(crate) async fn with_retry<T, C: Clock>(
    patience: &Patience<'_, C>,
    mut call: impl AsyncFnMut() -> Result<T, PortError>,
) -> Result<T, PortError> {
    let Patience { retry, clock, stop, faults, breaker } = patience;
    let mut failures = 0;
    loop {
        let pass = match breaker {
            Some(breaker) => Some(breaker.pass(*clock, stop).await.ok_or_else(broken)?),
            None => None,
        };
        let error = match call().await {
            Ok(value) => {
                breaker.inspect(|breaker| breaker.succeeded());
                return Ok(value);
            }
            Err(error) => error,
        };
        failures += 1;
        faults.count(error.category);
        if let (Some(breaker), Some(pass)) = (breaker, pass) {
            breaker.failed(pass, &error, clock.now());
        }
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

fn broken() -> PortError {
    let message = "stopped while the circuit breaker was open".to_owned();
    PortError { category: Category::Unknown, retryable: true, message }
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
