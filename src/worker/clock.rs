//! The real time, and chance.

use std::time::Duration;

use elysia_engine::ports::Clock;
use jiff::Timestamp;
use uuid::Uuid;

/// The machine's clock.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn chance(&self) -> f64 {
        // The first 32 bits of a random uuid are all random; the version stands further behind.
        let (random, ..) = Uuid::new_v4().as_fields();
        f64::from(random) / 2_f64.powi(32)
    }
}
