//! What a waiting person sees, and the one way in which the ground waits.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Short enough that no wait costs a noticeable part of the twenty seconds, long enough to leave the two cores to the
/// servers that are waited for.
const POLL: Duration = Duration::from_millis(75);

/// Says one thing that happened.
pub fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// `4m40s`, `9.8 s`: exact where it is short.
pub fn elapsed(since: Instant) -> String {
    human(since.elapsed())
}

pub(crate) fn human(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!("{}m{:02}s", duration.as_secs() / 60, duration.as_secs() % 60)
}

/// Asks again and again until the probe has an answer; an error of the probe ends the wait at once.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_for_every(POLL, what, limit, probe)
}

/// The same for a probe that costs more than the ground's own: with a pause of its own after each.
pub fn wait_for_every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("waited {} for {what} in vain", human(limit));
        }
        thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        assert_eq!(human(Duration::from_millis(9_840)), "9.8 s");
        assert_eq!(human(Duration::from_secs(280)), "4m40s");
    }

    #[test]
    fn a_wait_ends_with_its_limit() {
        let error = wait_for("nothing", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("for nothing in vain"));
    }
}
