//! Trying again: exponential backoff with full jitter, a bounded number of times, and through an outage for a bounded
//! time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
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
    /// How long a call is tried in any case, however many attempts that are, counted from its first failure.
    pub outage: Duration,
}

impl Default for Retry {
    /// About a minute of waiting on average, two at most: a node's restart or a new leader fits, a lost cluster is
    /// left to the Job's next pod.
    fn default() -> Self {
        Self { attempts: 12, base: Duration::from_millis(200), cap: Duration::from_secs(20), outage: Duration::ZERO }
    }
}

/// How long work that nobody watches waits for what was there and is away: a node that reads a large index again when it
/// starts takes minutes, a store that is moved or upgraded as well. What is away for longer somebody has to look at.
pub const OUTAGE: Duration = Duration::from_secs(15 * 60);

/// Attempts of a first call: enough for one that breaks off, in less than a second.
const STRANGERS: u32 = 3;

impl Retry {
    /// Of work at night: what was there and is away is waited for ([`OUTAGE`]), since whatever was done would be lost.
    #[must_use]
    pub fn through_outages(self) -> Self {
        Self { outage: self.outage.max(OUTAGE), ..self }
    }

    /// The same for the first call of something: what never answered may be misconfigured, and that is to be told soon.
    #[must_use]
    pub fn of_strangers(self) -> Self {
        Self { attempts: self.attempts.min(STRANGERS), outage: Duration::ZERO, ..self }
    }

    /// Whether a call that failed so often, for so long, is given up.
    fn is_over(&self, failures: u32, since: Duration) -> bool {
        failures >= self.attempts && since >= self.outage
    }

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

/// Tries a call by itself, until it succeeds, fails for good, or was tried often and long enough. A stop ends the waiting
/// with the last failure. Whoever tries many calls as one is done with them only if none of all fails: try each.
pub async fn patiently<T, C: Clock>(
    (retry, clock, stop): (Retry, &C, &Stop),
    call: impl AsyncFnMut() -> Result<T, PortError>,
) -> Result<T, PortError> {
    let faults = Faults::default();
    with_retry(&Patience { retry, clock, stop, faults: &faults, breaker: None }, call).await
}

/// Tries a call until it succeeds, fails for good, or was tried often and long enough. Every failure is tallied. A stop
/// ends the waiting: the last failure is answered then, or that the breaker is open.
pub(crate) async fn with_retry<T, C: Clock>(
    patience: &Patience<'_, C>,
    mut call: impl AsyncFnMut() -> Result<T, PortError>,
) -> Result<T, PortError> {
    let Patience { retry, clock, stop, faults, breaker } = patience;
    let mut turns = Turns::default();
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
        faults.count(error.category);
        if let (Some(breaker), Some(pass)) = (breaker, pass) {
            breaker.failed(pass, &error, clock.now());
        }
        turns.after(error, (*retry, *clock, stop)).await?;
    }
}

/// As [`patiently`], of calls that hold nothing of their own: what waits for them may be sent to another thread.
pub(crate) async fn each<T, C: Clock, F: Future<Output = Result<T, PortError>>>(
    patience: (Retry, &C, &Stop),
    mut call: impl FnMut() -> F,
) -> Result<T, PortError> {
    let mut turns = Turns::default();
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) => turns.after(error, patience).await?,
        }
    }
}

/// What a call that failed has behind it.
#[derive(Default)]
struct Turns {
    failures: u32,
    waited: Duration,
    first: Option<Timestamp>,
}

impl Turns {
    /// Waits for the next attempt after this failure, or answers it where there is none.
    async fn after<C: Clock>(
        &mut self,
        error: PortError,
        (retry, clock, stop): (Retry, &C, &Stop),
    ) -> Result<(), PortError> {
        self.failures += 1;
        let now = clock.now();
        let first = *self.first.get_or_insert(now);
        // The calls take their time as well. A clock that stands, or is set back, ends the waiting all the same.
        let since = self.waited.max(now.duration_since(first).try_into().unwrap_or_default());
        if !error.retryable || retry.is_over(self.failures, since) || stop.is_set() {
            return Err(error);
        }
        let delay = retry.delay(self.failures, clock.chance());
        self.waited += delay;
        warn!(%error, category = %error.category, failures = self.failures, ?delay, "call failed, trying again");
        tokio::select! {
            () = clock.sleep(delay) => Ok(()),
            () = stop.wait() => Err(error),
        }
    }
}

fn broken() -> PortError {
    let message = "stopped while the circuit breaker was open".to_owned();
    PortError { category: Category::Unknown, retryable: true, message }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

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

    /// Its clock stands: what is waited is what is asked for.
    async fn attempts_of(retry: Retry, retryable: bool) -> (u32, Duration) {
        let (clock, stop, mut attempts) = (Standing::default(), Stop::default(), 0);
        let error = PortError { category: Category::Network, retryable, message: "503".to_owned() };
        let tried = patiently((retry, &clock, &stop), async || {
            attempts += 1;
            Err::<(), _>(error.clone())
        });
        assert_eq!(tried.await, Err(error.clone()));
        (attempts, Duration::from_millis(clock.0.load(Ordering::SeqCst)))
    }

    #[tokio::test]
    async fn an_outage_is_waited_for_and_ends() {
        assert_eq!(attempts_of(Retry::default(), true).await.0, 12);
        let (attempts, waited) = attempts_of(Retry::default().through_outages(), true).await;
        assert!(attempts > 12 && waited >= OUTAGE && waited < OUTAGE + Retry::default().cap, "{attempts}, {waited:?}");
        assert_eq!(attempts_of(Retry::default().through_outages().of_strangers(), true).await.0, 3);
    }

    #[tokio::test]
    async fn what_fails_for_good_is_told_at_once() {
        assert_eq!(attempts_of(Retry::default().through_outages(), false).await, (1, Duration::ZERO));
    }

    #[derive(Default)]
    struct Standing(AtomicU64);

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        async fn sleep(&self, duration: Duration) {
            self.0.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
        }

        fn chance(&self) -> f64 {
            0.5
        }
    }
}
