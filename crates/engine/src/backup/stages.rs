//! Where the time of a backup or restore goes, so that a person sees what holds it up: the servers, the processor, or the
//! store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ports::Clock;

/// Time of one stage, of all lanes together: four that wait beside each other for a second have waited four.
#[derive(Debug, Default)]
pub struct StageTime(AtomicU64);

impl StageTime {
    /// Does the work and adds what it took. Two looks at the clock are nothing beside a page, a part or a batch.
    pub async fn of<T>(&self, clock: &impl Clock, work: impl Future<Output = T>) -> T {
        let began = clock.now();
        let done = work.await;
        // A clock that was set back says nothing of the work.
        let took = u64::try_from(clock.now().duration_since(began).as_micros()).unwrap_or(0);
        self.0.fetch_add(took, Ordering::Relaxed);
        done
    }

    /// What it comes to, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1000
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    /// Each look is so many milliseconds later than the one before.
    struct Stepping(AtomicI64, i64);

    impl Clock for Stepping {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.fetch_add(self.1, Ordering::Relaxed)).unwrap_or_default()
        }

        async fn sleep(&self, _: Duration) {}

        fn chance(&self) -> f64 {
            0.5
        }
    }

    #[tokio::test]
    async fn what_works_took_is_added_and_a_clock_that_was_set_back_adds_nothing() {
        let time = StageTime::default();
        let clock = Stepping(AtomicI64::new(0), 250);
        assert_eq!(time.of(&clock, async { 7 }).await, 7);
        time.of(&clock, async {}).await;
        assert_eq!(time.milliseconds(), 500);
        time.of(&Stepping(AtomicI64::new(90_000), -60_000), async {}).await;
        assert_eq!(time.milliseconds(), 500);
    }
}
