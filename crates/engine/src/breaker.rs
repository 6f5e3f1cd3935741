//! A circuit breaker: after several failures in a row nobody calls for a while, then one call tries.
//!
//! ```text
//!            failures in a row                 cooldown is over
//! closed ───────────────────────▶ open ───────────────────────▶ one call
//!   ▲                              ▲ ▲                           │    │
//!   │                              │ └───────────────────────────┘    │
//!   └──────────────────────────────┼── it succeeded      it failed    │
//!                                  └──────────────────────────────────┘
//! ```
//!
//! Calls that fail together count once: a failure counts when no other was counted since its call began. So how many
//! are in flight makes no difference.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::warn;

use crate::ledger::OpenBreaker;
use crate::ports::{Clock, PortError};
use crate::rejection::{REASON_BYTES, one_line};
use crate::retry::Stop;

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row at which it opens.
    pub failures: u32,
    /// How long nobody calls then.
    pub cooldown: Duration,
}

impl Default for BreakerPolicy {
    /// Five failures with the waits between them are a few seconds: a node that restarts does not open it, a cluster
    /// that is gone does.
    fn default() -> Self {
        Self { failures: 5, cooldown: Duration::from_secs(30) }
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<OpenBreaker>,
    /// A call waits to try, or tries.
    probing: bool,
}

/// What a call must show when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    failures: u32,
}

/// The breaker of all calls to the collection.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: Mutex<State>,
    /// For calls that wait.
    eased: Notify,
    /// For whoever writes it down.
    turned: Notify,
}

impl Breaker {
    /// As the last worker left it: where it was open, the first call has the cooldown before it.
    pub(crate) fn new(policy: BreakerPolicy, open: Option<OpenBreaker>) -> Self {
        let failures = open.as_ref().map_or(0, |open| open.failures);
        let state = Mutex::new(State { failures, open, probing: false });
        Self { policy, state, eased: Notify::new(), turned: Notify::new() }
    }

    /// Waits until a call may go; `None` when a stop came first.
    pub(crate) async fn pass<C: Clock>(&self, clock: &C, stop: &Stop) -> Option<Pass> {
        loop {
            let eased = self.eased.notified();
            let (is_mine, failures) = {
                let mut state = self.lock();
                if state.open.is_none() {
                    return Some(Pass { failures: state.failures });
                }
                let is_mine = !state.probing;
                state.probing = true;
                (is_mine, state.failures)
            };
            if is_mine {
                tokio::select! {
                    () = clock.sleep(self.policy.cooldown) => return Some(Pass { failures }),
                    () = stop.wait() => {
                        self.lock().probing = false;
                        self.eased.notify_waiters();
                        return None;
                    }
                }
            }
            tokio::select! {
                () = eased => {}
                () = stop.wait() => return None,
            }
        }
    }

    /// A call succeeded.
    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        state.failures = 0;
        if state.open.take().is_some() {
            state.probing = false;
            drop(state);
            self.eased.notify_waiters();
            self.turned.notify_one();
        }
    }

    /// A call failed in a way that another attempt may overcome.
    pub(crate) fn failed(&self, pass: Pass, error: &PortError, now: Timestamp) {
        let mut state = self.lock();
        if pass.failures != state.failures {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        if let Some(open) = &mut state.open {
            open.failures = failures;
            state.probing = false;
            drop(state);
            self.eased.notify_waiters();
        } else if failures >= self.policy.failures {
            warn!(%error, failures, cooldown = ?self.policy.cooldown, "circuit breaker opens");
            let message = one_line(&error.message, REASON_BYTES);
            state.open = Some(OpenBreaker { since: now, failures, category: error.category, message });
            drop(state);
            self.turned.notify_one();
        }
    }

    /// What the ledger shall say.
    pub(crate) fn open(&self) -> Option<OpenBreaker> {
        self.lock().open.clone()
    }

    /// Waits until it opened or closed.
    pub(crate) async fn turned(&self) {
        self.turned.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::category::Category;
    use crate::memory::FixedClock;

    fn error() -> PortError {
        PortError { category: Category::Network, retryable: true, message: "no connection".to_owned() }
    }

    async fn pass(breaker: &Breaker) -> Pass {
        breaker.pass(&FixedClock::default(), &Stop::default()).await.unwrap()
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerPolicy { failures: 3, ..BreakerPolicy::default() }, None)
    }

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_closes_by_one_success() {
        let breaker = breaker();
        for failed in [true, true, false, true, true] {
            let pass = pass(&breaker).await;
            if failed {
                breaker.failed(pass, &error(), Timestamp::UNIX_EPOCH);
            } else {
                breaker.succeeded();
            }
            assert_eq!(breaker.open(), None);
        }
        breaker.failed(pass(&breaker).await, &error(), Timestamp::UNIX_EPOCH);
        let open = breaker.open().unwrap();
        assert_eq!((open.failures, open.category, open.message.as_str()), (3, Category::Network, "no connection"));
        breaker.failed(pass(&breaker).await, &error(), Timestamp::UNIX_EPOCH);
        assert_eq!(breaker.open().unwrap().failures, 4, "the call that tried failed too");
        pass(&breaker).await;
        breaker.succeeded();
        assert_eq!(breaker.open(), None);
        breaker.turned().await;
    }

    #[tokio::test]
    async fn calls_that_fail_together_count_once() {
        let breaker = breaker();
        let together = [pass(&breaker).await, pass(&breaker).await, pass(&breaker).await, pass(&breaker).await];
        for pass in together {
            breaker.failed(pass, &error(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!((breaker.open(), breaker.lock().failures), (None, 1));
    }

    #[tokio::test]
    async fn one_call_tries_and_the_others_wait_for_it() {
        let breaker = Breaker::new(
            BreakerPolicy { failures: 1, ..BreakerPolicy::default() },
            Some(OpenBreaker {
                since: Timestamp::UNIX_EPOCH,
                failures: 1,
                category: Category::Network,
                message: String::new(),
            }),
        );
        let (clock, stop) = (FixedClock::default(), Stop::default());
        let first = pass(&breaker).await;
        let mut second = Box::pin(breaker.pass(&clock, &stop));
        tokio::select! {
            biased;
            _ = &mut second => panic!("it went while the first tries"),
            () = tokio::task::yield_now() => {}
        }
        breaker.failed(first, &error(), Timestamp::UNIX_EPOCH);
        second.await.unwrap();
        let mut third = Box::pin(breaker.pass(&clock, &stop));
        tokio::select! {
            biased;
            _ = &mut third => panic!("it went while the second tries"),
            () = tokio::task::yield_now() => {}
        }
        stop.set();
        assert!(third.await.is_none());
    }
}
