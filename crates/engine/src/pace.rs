//! How large batches are and how many are in flight: more while the server keeps up, half when it does not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::category::Category;
use crate::ports::PortError;

/// What batches may grow to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Objects of one batch.
    pub objects: usize,
    /// Bytes of one batch: large enough that the call is not the cost, small enough that sending it again is cheap.
    pub bytes: usize,
    /// Batches in flight.
    pub in_flight: usize,
}

impl Default for BatchLimits {
    /// Measured on three nodes with factor 3: 500 objects are within 5 % of the best rate, in calls of a second and a
    /// half; beyond four batches in flight nothing is gained on two processors.
    fn default() -> Self {
        Self { objects: 500, bytes: 4 << 20, in_flight: 6 }
    }
}

/// The smallest batch: below it the call is the cost, and a server that cannot take it can take nothing.
const LEAST_OBJECTS: usize = 10;

/// Batches begin at this part of the most, so that a weak server is not asked for the most at once.
const BEGIN: usize = 2;

/// Grown by this after a full batch that was quick: a short feed must not be over before it has found its pace.
const GROWTH: usize = 2;

/// A call that takes less may be larger.
const QUICK: Duration = Duration::from_secs(2);

/// A call that takes longer must be smaller: a client gives up after 15 s, and what is repeated after a lost answer is
/// a batch.
const SLOW: Duration = Duration::from_secs(6);

/// The pace as numbers: what decides, without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    objects: usize,
    slots: usize,
    used: usize,
    /// Confirmed batches since the slots last changed.
    confirmed: usize,
    /// What was sent since it was asked last.
    sent: Sent,
}

/// Calls that wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) calls: u64,
    pub(crate) objects: u64,
    pub(crate) time: Duration,
    pub(crate) failed: u64,
}

impl State {
    fn confirmed(&mut self, limits: &BatchLimits, objects: usize, took: Duration) {
        self.sent.calls += 1;
        self.sent.objects += objects as u64;
        self.sent.time += took;
        if took > SLOW {
            return self.overloaded();
        }
        // What is sent is cut into equal batches, so a full one has more than half of the most.
        if took < QUICK && objects > self.objects / 2 {
            self.objects = self.objects.saturating_mul(GROWTH).min(limits.objects);
        }
        self.confirmed += 1;
        if self.confirmed >= self.slots && self.slots < limits.in_flight {
            self.slots += 1;
            self.confirmed = 0;
        }
    }

    fn overloaded(&mut self) {
        self.objects = (self.objects / 2).max(LEAST_OBJECTS.min(self.objects));
        self.slots = (self.slots / 2).max(1);
        self.confirmed = 0;
    }
}

/// The pace of all calls that write.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: BatchLimits,
    state: Mutex<State>,
    freed: Notify,
}

/// One call's place among those in flight; free again when it is dropped.
pub(crate) struct Turn<'a>(&'a Pace);

impl Pace {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        let limits = BatchLimits {
            objects: limits.objects.max(1),
            bytes: limits.bytes.max(1),
            in_flight: limits.in_flight.max(1),
        };
        let objects = (limits.objects / BEGIN).max(1);
        let state = State { objects, slots: limits.in_flight, used: 0, confirmed: 0, sent: Sent::default() };
        Self { limits, state: Mutex::new(state), freed: Notify::new() }
    }

    /// Objects of a batch, at present.
    pub(crate) fn objects(&self) -> usize {
        self.lock().objects
    }

    /// Bytes of a batch.
    pub(crate) fn bytes(&self) -> usize {
        self.limits.bytes
    }

    /// Waits for a place among the calls in flight.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            if self.take() {
                return Turn(self);
            }
            freed.await;
        }
    }

    fn take(&self) -> bool {
        let mut state = self.lock();
        let is_free = state.used < state.slots;
        state.used += usize::from(is_free);
        is_free
    }

    /// A batch was confirmed.
    pub(crate) fn confirmed(&self, objects: usize, took: Duration) {
        self.lock().confirmed(&self.limits, objects, took);
    }

    /// A call failed. Only what another pace would help against slows it down.
    pub(crate) fn failed(&self, error: &PortError) {
        self.lock().sent.failed += 1;
        if matches!(error.category, Category::RateLimit | Category::Memory | Category::Timeout) {
            self.lock().overloaded();
        }
    }

    /// Batches in flight, at most, at present.
    pub(crate) fn slots(&self) -> usize {
        self.lock().slots
    }

    /// What was sent since this was asked last.
    pub(crate) fn take_sent(&self) -> Sent {
        std::mem::take(&mut self.lock().sent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().used -= 1;
        // All of them: slots may have become more than one is free for.
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits { objects: 400, bytes: 1 << 20, in_flight: 4 };

    fn state(pace: &Pace) -> (usize, usize) {
        let state = *pace.lock();
        (state.objects, state.slots)
    }

    fn error(category: Category) -> PortError {
        PortError { category, retryable: true, message: "told so".to_owned() }
    }

    #[test]
    fn it_grows_by_steps_and_halves() {
        let pace = Pace::new(LIMITS);
        assert_eq!(state(&pace), (200, 4));
        pace.confirmed(100, Duration::from_millis(300));
        assert_eq!(state(&pace), (200, 4), "a small batch proves nothing about larger ones");
        pace.confirmed(101, Duration::from_secs(3));
        assert_eq!(state(&pace), (200, 4), "neither quick nor slow");
        pace.confirmed(101, Duration::from_millis(300));
        assert_eq!(state(&pace), (400, 4), "a full batch that was quick");
        pace.confirmed(400, Duration::from_secs(7));
        assert_eq!(state(&pace), (200, 2), "slow");
        for category in Category::ALL {
            pace.failed(&error(category));
        }
        assert_eq!(state(&pace), (25, 1), "three of the nine are about the pace");
        pace.failed(&error(Category::Memory));
        pace.failed(&error(Category::Memory));
        assert_eq!(state(&pace), (10, 1), "there is a least");
        for _ in 0..100 {
            pace.confirmed(400, Duration::ZERO);
        }
        assert_eq!(state(&pace), (400, 4), "and a most");
    }

    #[test]
    fn what_was_sent_is_told_once() {
        let pace = Pace::new(LIMITS);
        pace.confirmed(200, Duration::from_millis(300));
        pace.confirmed(50, Duration::from_millis(100));
        pace.failed(&error(Category::Network));
        let sent = Sent { calls: 2, objects: 250, time: Duration::from_millis(400), failed: 1 };
        assert_eq!((pace.take_sent(), pace.take_sent(), pace.slots()), (sent, Sent::default(), 4));
    }

    #[test]
    fn the_least_of_limits_is_one() {
        let pace = Pace::new(BatchLimits { objects: 0, bytes: 0, in_flight: 0 });
        assert_eq!(state(&pace), (1, 1));
        pace.failed(&error(Category::Timeout));
        assert_eq!((state(&pace), pace.bytes()), ((1, 1), 1));
    }

    #[tokio::test]
    async fn there_are_as_many_turns_as_slots() {
        let pace = Pace::new(BatchLimits { in_flight: 2, ..LIMITS });
        let (first, _second) = (pace.turn().await, pace.turn().await);
        assert!(!pace.take());
        drop(first);
        let _third = pace.turn().await;
        assert!(!pace.take());
    }
}
