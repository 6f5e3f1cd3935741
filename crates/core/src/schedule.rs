//! When something that is done again and again is due. Pure: the time is an argument, and the time zones are those that
//! are compiled in, so that a container without a zone database knows them and every machine answers the same.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use elysia_api::common::Schedule;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::retention::SKEW;

/// Fields of a line of crontab(5).
const FIELDS: usize = 5;

/// What is wrong with a schedule. Each message names the field of the spec below the schedule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields; `@daily` and the like are not crontab(5)'s five fields either.
    #[error(
        "cron: {text:?} has {found} fields, not 5: minute, hour, day of month, month, day of week, e.g. \"0 3 * * *\""
    )]
    Fields {
        /// What was written.
        text: String,
        /// Fields in it.
        found: usize,
    },
    /// One of the fields.
    #[error("cron: {text:?}: {reason}")]
    Cron {
        /// What was written.
        text: String,
        /// The parser's words.
        reason: String,
    },
    /// A date that no year has, e.g. 31 February.
    #[error("cron: {0:?} never comes: no year has such a date")]
    Never(String),
    /// A zone that the database does not have.
    #[error("timeZone: {0:?} is not a name of the IANA database, such as Europe/Rome or Etc/UTC")]
    Zone(String),
    /// A time that cannot be read.
    #[error("startingDeadline: {0:?} is not a time such as 90s, 15m or 2h")]
    Deadline(String),
}

/// A schedule that was checked.
///
/// Clocks that are put forward and back: a time of day that a day does not have (02:30 in the hour that is left out)
/// comes at the end of the gap, and one that a day has twice comes once, the first time. What comes every hour or every
/// few minutes goes on through both.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
    deadline: Option<SignedDuration>,
    suspended: bool,
}

impl PartialEq for Timetable {
    fn eq(&self, other: &Self) -> bool {
        (&self.cron, &self.zone, self.deadline, self.suspended)
            == (&other.cron, &other.zone, other.deadline, other.suspended)
    }
}

impl Timetable {
    /// Checks a schedule.
    pub fn parse(schedule: &Schedule) -> Result<Self, ScheduleError> {
        let text = schedule.cron.trim();
        let found = text.split_whitespace().count();
        if found != FIELDS || text.starts_with('@') {
            return Err(ScheduleError::Fields { text: text.to_owned(), found });
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser
            .parse(text)
            .map_err(|error| ScheduleError::Cron { text: text.to_owned(), reason: error.to_string() })?;
        let zone = zone(schedule.time_zone.as_deref())?;
        let deadline = schedule.starting_deadline.as_deref().map(duration).transpose()?;
        let timetable = Self { cron, zone, deadline, suspended: schedule.suspend };
        if timetable.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(ScheduleError::Never(text.to_owned()));
        }
        Ok(timetable)
    }

    /// The time for which something is to be started now; `None` when nothing is due. `served` is when it was done
    /// last, or since when it is wanted. What was missed several times is due once, for the latest of them. A `served` of the
    /// future was noted by a clock that was wrong: it must not keep anything from being done until it has come.
    pub fn due(&self, served: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.suspended {
            return None;
        }
        let latest = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?.timestamp();
        let in_time = self.deadline.is_none_or(|deadline| now.duration_since(latest) <= deadline);
        ((latest > served || is_of_the_future(served, now)) && in_time).then_some(latest)
    }

    /// The last time up to this one, served or not, however late it is; `None` while it is suspended.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        if self.suspended {
            return None;
        }
        Some(self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?.timestamp())
    }

    /// The next time after this one; `None` while it is suspended.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if self.suspended { None } else { self.after(now) }
    }

    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok()?;
        Some(next.timestamp())
    }
}

/// Whether a time lies so far in the future that the clock which noted it was wrong, or this one is.
pub(crate) fn is_of_the_future(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > SKEW
}

/// The zone from the compiled database alone: the machine's own may be absent or of another year.
fn zone(name: Option<&str>) -> Result<TimeZone, ScheduleError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    TimeZoneDatabase::bundled().get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))
}

fn duration(text: &str) -> Result<SignedDuration, ScheduleError> {
    let wrong = || ScheduleError::Deadline(text.to_owned());
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: i64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        's' => Some(number),
        'm' => number.checked_mul(60),
        'h' => number.checked_mul(3600),
        _ => None,
    };
    seconds.filter(|seconds| *seconds > 0).map(SignedDuration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(cron: &str, zone: Option<&str>) -> Schedule {
        Schedule { cron: cron.to_owned(), time_zone: zone.map(str::to_owned), starting_deadline: None, suspend: false }
    }

    fn timetable(cron: &str, zone: &str) -> Timetable {
        Timetable::parse(&schedule(cron, Some(zone))).unwrap()
    }

    #[test]
    fn a_time_is_due_once() {
        let nightly = timetable("0 3 * * *", "Etc/UTC");
        let cases = [
            // Served last, now, due.
            ("2026-05-01T03:00:05Z", "2026-05-01T12:00:00Z", None),
            ("2026-05-01T03:00:05Z", "2026-05-02T02:59:59Z", None),
            ("2026-05-01T03:00:05Z", "2026-05-02T03:00:00Z", Some("2026-05-02T03:00:00Z")),
            ("2026-05-01T03:00:05Z", "2026-05-02T11:00:00Z", Some("2026-05-02T03:00:00Z")),
            // Missed four times, done once.
            ("2026-05-01T03:00:05Z", "2026-05-05T11:00:00Z", Some("2026-05-05T03:00:00Z")),
            ("2026-05-05T11:00:01Z", "2026-05-05T11:00:02Z", None),
            // Clocks differ by minutes.
            ("2026-05-05T03:00:00Z", "2026-05-05T02:30:00Z", None),
            // A clock that was years ahead: nothing would be done until then.
            ("2030-01-01T00:00:00Z", "2026-05-05T11:00:00Z", Some("2026-05-05T03:00:00Z")),
        ];
        for (served, now, due) in cases {
            assert_eq!(nightly.due(at(served), at(now)), due.map(at), "{served} {now}");
        }
    }

    #[test]
    fn what_is_too_late_is_left_out() {
        let mut late = schedule("0 3 * * *", None);
        late.starting_deadline = Some("15m".to_owned());
        let late = Timetable::parse(&late).unwrap();
        let served = at("2026-05-01T03:00:05Z");
        assert_eq!(late.due(served, at("2026-05-02T03:15:00Z")), Some(at("2026-05-02T03:00:00Z")));
        assert_eq!(late.due(served, at("2026-05-02T03:15:01Z")), None);
        assert_eq!(late.next(at("2026-05-02T03:15:01Z")), Some(at("2026-05-03T03:00:00Z")));
    }

    #[test]
    fn nothing_is_due_while_suspended() {
        let mut suspended = schedule("* * * * *", None);
        suspended.suspend = true;
        let suspended = Timetable::parse(&suspended).unwrap();
        assert_eq!(suspended.due(Timestamp::UNIX_EPOCH, at("2026-05-02T03:15:00Z")), None);
        assert_eq!(suspended.next(at("2026-05-02T03:15:00Z")), None);
    }

    /// Every time that is due while a clock walks over these hours in steps of ten minutes.
    fn walked(timetable: &Timetable, from: &str, until: &str) -> Vec<String> {
        let (mut now, until) = (at(from), at(until));
        let mut served = now;
        let mut times = Vec::new();
        while now <= until {
            if let Some(due) = timetable.due(served, now) {
                times.push(due.to_string());
                served = now;
            }
            now += SignedDuration::from_mins(10);
        }
        times
    }

    #[test]
    fn a_time_in_the_hour_that_is_left_out_comes_at_its_end() {
        // Rome goes from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
        let nightly = timetable("30 2 * * *", "Europe/Rome");
        assert_eq!(
            walked(&nightly, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
    }

    #[test]
    fn a_time_in_the_hour_that_comes_twice_comes_once() {
        // Rome goes from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
        let nightly = timetable("30 2 * * *", "Europe/Rome");
        assert_eq!(
            walked(&nightly, "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z"),
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn what_comes_every_half_hour_goes_on_through_both() {
        let often = timetable("*/30 * * * *", "Europe/Rome");
        assert_eq!(walked(&often, "2026-03-28T23:50:00Z", "2026-03-29T03:20:00Z").len(), 7);
        assert_eq!(walked(&often, "2026-10-24T23:50:00Z", "2026-10-25T03:20:00Z").len(), 7);
    }

    #[test]
    fn what_is_due_is_what_was_announced() {
        for zone in ["Etc/UTC", "Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            for cron in ["0 3 * * *", "30 2 * * 0", "15 */6 * * *", "0 0 1 * *", "59 23 31 12 *"] {
                let timetable = timetable(cron, zone);
                let mut now = at("2026-01-01T00:00:00Z");
                for _ in 0..40 {
                    let next = timetable.next(now).unwrap();
                    assert!(next > now, "{zone} {cron} {now}");
                    assert_eq!(timetable.due(now, next), Some(next), "{zone} {cron} {now}");
                    now = next;
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |schedule: &Schedule| Timetable::parse(schedule).unwrap_err().to_string();
        for (cron, words) in [
            ("0 3 * *", "has 4 fields"),
            ("0 0 3 * * *", "has 6 fields"),
            ("@midnight", "has 1 fields"),
            ("61 3 * * *", "cron: \"61 3 * * *\": "),
            ("0 3 * * FOO", "cron: \"0 3 * * FOO\": "),
            ("0 3 31 2 *", "never comes"),
        ] {
            let message = wrong(&schedule(cron, None));
            assert!(message.contains(words), "{cron}: {message}");
        }
        assert!(wrong(&schedule("0 3 * * *", Some("Europe/Roma"))).starts_with("timeZone: \"Europe/Roma\""));
        for deadline in ["", "0s", "-5m", "5d", "5", "é"] {
            let mut schedule = schedule("0 3 * * *", None);
            schedule.starting_deadline = Some(deadline.to_owned());
            assert!(wrong(&schedule).starts_with("startingDeadline: "), "{deadline}");
        }
    }
}
