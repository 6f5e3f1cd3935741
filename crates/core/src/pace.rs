//! How fast long work goes, from what its worker says.

use elysia_api::progress::WorkProgress;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A worker says how far it is every ten seconds. Of one that was silent for so long nobody knows how fast it is.
const SILENT: SignedDuration = SignedDuration::from_secs(60);

/// What a worker says.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pace {
    /// Objects that were dealt with.
    pub done: i64,
    /// Objects that there are, if that is known.
    pub total: Option<i64>,
    /// Bytes that were dealt with.
    pub bytes: i64,
    /// Bytes that there are, if that is known.
    pub total_bytes: Option<i64>,
    /// Objects in each second lately.
    pub objects_per_second: Option<i64>,
}

impl Pace {
    /// What a status says of it, where the worker said so at `at`.
    pub fn told(&self, at: Timestamp, now: Timestamp) -> WorkProgress {
        let Self { done, total, bytes, total_bytes, objects_per_second } = *self;
        let rate = objects_per_second.filter(|rate| *rate > 0 && now.duration_since(at) <= SILENT);
        // More than were counted is no end in sight: others write meanwhile.
        let left = total.map(|total| total.saturating_sub(done)).filter(|left| *left > 0);
        let seconds_left = rate.zip(left).map(|(rate, left)| left / rate + i64::from(left % rate > 0));
        WorkProgress { done, total, bytes, total_bytes, objects_per_second: rate, seconds_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rate, and seconds left, of so many of so many.
    fn told(done: i64, total: Option<i64>, rate: Option<i64>, age: i64) -> (Option<i64>, Option<i64>) {
        let pace = Pace { done, total, objects_per_second: rate, ..Pace::default() };
        let at = Timestamp::UNIX_EPOCH;
        let WorkProgress { objects_per_second, seconds_left, .. } = pace.told(at, at + SignedDuration::from_secs(age));
        (objects_per_second, seconds_left)
    }

    #[test]
    fn what_is_left_is_told_only_where_it_is_known() {
        assert_eq!(told(100, Some(1000), Some(90), 5), (Some(90), Some(10)));
        assert_eq!(told(100, Some(1001), Some(90), 5), (Some(90), Some(11)), "never too soon");
        assert_eq!(told(100, None, Some(90), 5), (Some(90), None), "nobody counted");
        assert_eq!(told(1000, Some(1000), Some(90), 5), (Some(90), None));
        assert_eq!(told(1200, Some(1000), Some(90), 5), (Some(90), None), "others write meanwhile");
        assert_eq!(told(100, Some(1000), None, 5), (None, None), "it has just begun");
        assert_eq!(told(100, Some(1000), Some(0), 5), (None, None), "nothing moves");
        assert_eq!(told(100, Some(1000), Some(90), 61), (None, None), "the worker is silent");
    }
}
