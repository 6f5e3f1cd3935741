//! Times as people type and read them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Shortest time between two looks: each one is four requests.
const SHORTEST: Duration = Duration::from_secs(1);

/// A time such as `2s`, `1m` or `1m 30s`.
pub(in crate::cli) fn parse(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write a time such as 2s or 1m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if duration >= SHORTEST => Ok(duration),
        _ => Err("at least 1s".to_owned()),
    }
}

/// How long ago, as kubectl writes it: the largest unit that is at least two.
pub(in crate::cli) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs();
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "2", "soon", "-2s", "0s", "500ms"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ages_are_short() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, wanted) in [(-3, "0s"), (5, "5s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")] {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), wanted);
        }
    }
}
