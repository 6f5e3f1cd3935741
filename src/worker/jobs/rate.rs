//! How fast work goes: over the last minute, so that it follows the work, and does not jump with each page.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use elysia_core::pace::Pace;

/// As far back as is looked.
const LATELY: Duration = Duration::from_secs(60);

/// How far the work was, lately.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes how far the work is now; answers objects in each second since the first that is remembered. The first time
    /// there is none: what an earlier worker had done is counted at once, and is no speed of this one.
    pub(super) fn note(&mut self, done: u64) -> Option<i64> {
        let now = Instant::now();
        self.0.push_back((now, done));
        while self.0.len() > 2 && self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > LATELY) {
            self.0.pop_front();
        }
        let (at, before) = self.0.front()?;
        let millis = u64::try_from(now.duration_since(*at).as_millis()).ok().filter(|millis| *millis > 0)?;
        i64::try_from(done.saturating_sub(*before).saturating_mul(1000) / millis).ok()
    }
}

/// What the ledger says. A number that is 0 is not known.
pub(super) fn pace(rate: &mut Rate, (done, total): (u64, u64), (bytes, total_bytes): (u64, u64)) -> Pace {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let known = |count: u64| (count > 0).then(|| number(count));
    Pace {
        done: number(done),
        total: known(total),
        bytes: number(bytes),
        total_bytes: known(total_bytes),
        objects_per_second: rate.note(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_minute_counts_and_what_was_done_before_does_not() {
        let mut rate = Rate::default();
        assert_eq!(rate.note(1_000_000), None, "an earlier worker's");
        for second in 1..=10 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert_eq!(rate.note(1_000_000 + second * 500), Some(50));
        }
        for _ in 0..6 {
            tokio::time::advance(Duration::from_secs(10)).await;
            rate.note(1_005_000);
        }
        assert_eq!(rate.note(1_005_000), Some(0), "nothing moved for a minute");
        let told = pace(&mut rate, (7, 0), (9, 0));
        assert_eq!((told.done, told.total, told.bytes, told.total_bytes), (7, None, 9, None));
    }
}
