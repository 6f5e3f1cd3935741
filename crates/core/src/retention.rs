//! Which runs of a backup are kept, and which are retired. Pure: runs, rules and the time are arguments.
//!
//! A rule that names a number keeps runs; `max_age` alone takes some of those away again. Three things outrank every
//! rule, because a store that retired them could hold nothing to restore from:
//!
//! - the newest run stays;
//! - the newest run that was verified stays;
//! - a Suspect run stays, and so does everything older: what is missing from it may be nowhere else.
//!
//! So does a run that somebody needs at this moment, and the last one that holds a collection which newer ones lack; and a run that is kept keeps those that it builds on: without them it is none.

pub mod breadth;
pub mod build_on;
pub mod shrink;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How long runs are kept. Without any rule all of them are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// This many of the newest runs.
    pub last: Option<u32>,
    /// The newest run of each of the last so many days that have one.
    pub daily: Option<u32>,
    /// The same for weeks, which begin on Monday.
    pub weekly: Option<u32>,
    /// The same for months.
    pub monthly: Option<u32>,
    /// No run that is older, whatever the rules above keep. Alone: every run that is younger.
    pub max_age: Option<SignedDuration>,
}

/// A run as far as its retention is concerned. A run that has no manifest is none.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the run")]
pub struct Run {
    /// Its id.
    pub id: String,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// Whether it lacks what the run before it had.
    pub is_suspect: bool,
    /// Whether it was verified, and nothing was found.
    pub is_verified: bool,
    /// Whether somebody needs it at this moment, as a restore that reads it does.
    pub is_in_use: bool,
    /// Whether newer runs lack a collection that it holds, since that cannot be written any more.
    pub is_last_holder: bool,
    /// The runs that it builds on, the nearest first; none: it stands for itself.
    pub bases: Vec<String>,
}

/// Why a run is kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// There is no rule that would retire anything.
    NoRule,
    /// It is the newest run.
    Newest,
    /// It is the newest run that was verified.
    LastVerified,
    /// It is Suspect, or older than one that is.
    Suspect,
    /// It is one of the last so many.
    Last,
    /// It is its day's.
    Daily,
    /// It is its week's.
    Weekly,
    /// It is its month's.
    Monthly,
    /// It is younger than `max_age`, the only rule.
    Young,
    /// A run that is kept builds on it.
    Base,
    /// Somebody needs it at this moment.
    InUse,
    /// It is the last run that holds a collection which newer ones lack, since it cannot be written any more.
    LastHolder,
    /// A run is far younger than now: a clock is wrong, and no age can be told.
    Clock,
}

impl Why {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no rule",
            Self::Newest => "newest",
            Self::LastVerified => "last verified",
            Self::Suspect => "suspect",
            Self::Last => "last",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Young => "young",
            Self::Base => "base",
            Self::InUse => "in use",
            Self::LastHolder => "last holder",
            Self::Clock => "clock",
        }
    }
}

/// What becomes of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The run.
    pub id: String,
    /// Why it stays; none of these: it is retired.
    pub kept: BTreeSet<Why>,
}

impl Decision {
    /// Whether it goes.
    pub fn is_retired(&self) -> bool {
        self.kept.is_empty()
    }
}

/// How far clocks may differ.
pub const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// The run that is younger than now by more than clocks differ: this clock is wrong, or that of its writer was.
pub fn of_the_future(runs: &[Run], now: Timestamp) -> Option<&Run> {
    let newest = runs.iter().max_by_key(|run| run.finished_at)?;
    (newest.finished_at.duration_since(now) > SKEW).then_some(newest)
}

/// One decision for each run, the newest first. Days, weeks and months are those of `zone`. A run that is younger than
/// now counts as one of this moment; when it is so by more than an hour, nothing is retired.
pub fn decide(runs: &[Run], rules: &Retention, zone: &TimeZone, now: Timestamp) -> Vec<Decision> {
    let is_clock_wrong = of_the_future(runs, now).is_some();
    let of_now = |run: &Run| Run { finished_at: run.finished_at.min(now), ..run.clone() };
    let runs: Vec<Run> = runs.iter().map(of_now).collect();
    let mut runs: Vec<&Run> = runs.iter().collect();
    runs.sort_by(|one, other| (other.finished_at, &other.id).cmp(&(one.finished_at, &one.id)));
    let mut kept = by_rules(&runs, rules, zone, now);

    let mut keep = |at: usize, why: Why| kept[at].extend([why]);
    if !runs.is_empty() {
        keep(0, Why::Newest);
    }
    if let Some(verified) = runs.iter().position(|run| run.is_verified && !run.is_suspect) {
        keep(verified, Why::LastVerified);
    }
    if let Some(suspect) = runs.iter().position(|run| run.is_suspect) {
        (suspect..runs.len()).for_each(|at| keep(at, Why::Suspect));
    }
    for (at, run) in runs.iter().enumerate() {
        if run.is_in_use {
            keep(at, Why::InUse);
        }
        if run.is_last_holder {
            keep(at, Why::LastHolder);
        }
        if is_clock_wrong {
            keep(at, Why::Clock);
        }
    }
    // A base is older than what builds on it, so one way through them is enough; but who wrote the runs had a clock.
    loop {
        let needed: BTreeSet<&String> =
            runs.iter().zip(&kept).filter(|(_, kept)| !kept.is_empty()).flat_map(|(run, _)| &run.bases).collect();
        let mut is_settled = true;
        for (run, kept) in runs.iter().zip(&mut kept) {
            if needed.contains(&run.id) {
                is_settled &= !kept.is_empty();
                kept.insert(Why::Base);
            }
        }
        if is_settled {
            break;
        }
    }
    runs.iter().zip(kept).map(|(run, kept)| Decision { id: run.id.clone(), kept }).collect()
}

/// What the rules alone keep.
fn by_rules(runs: &[&Run], rules: &Retention, zone: &TimeZone, now: Timestamp) -> Vec<BTreeSet<Why>> {
    let Retention { last, daily, weekly, monthly, max_age } = *rules;
    let mut kept = vec![BTreeSet::new(); runs.len()];
    let numbered = [last, daily, weekly, monthly].iter().any(Option::is_some);
    if !numbered {
        let why = if max_age.is_some() { Why::Young } else { Why::NoRule };
        for kept in &mut kept {
            kept.insert(why);
        }
    }
    let most = |rule: Option<u32>| usize::try_from(rule.unwrap_or(0)).unwrap_or(usize::MAX);
    kept.iter_mut().take(most(last)).for_each(|kept| kept.extend([Why::Last]));
    for (rule, why, period) in [
        (daily, Why::Daily, day as fn(&Run, &TimeZone) -> (i16, i16)),
        (weekly, Why::Weekly, week),
        (monthly, Why::Monthly, month),
    ] {
        // The newest run of a period is met first; a period that has no run does not count.
        let mut newest: BTreeMap<(i16, i16), usize> = BTreeMap::new();
        for (at, run) in runs.iter().enumerate() {
            newest.entry(period(run, zone)).or_insert(at);
        }
        newest.values().rev().take(most(rule)).for_each(|at| kept[*at].extend([why]));
    }
    if let Some(max_age) = max_age {
        for (run, kept) in runs.iter().zip(&mut kept) {
            if now.duration_since(run.finished_at) > max_age {
                kept.clear();
            }
        }
    }
    kept
}

fn day(run: &Run, zone: &TimeZone) -> (i16, i16) {
    let date = zone.to_datetime(run.finished_at).date();
    (date.year(), date.day_of_year())
}

fn week(run: &Run, zone: &TimeZone) -> (i16, i16) {
    let week = zone.to_datetime(run.finished_at).date().iso_week_date();
    (week.year(), i16::from(week.week()))
}

fn month(run: &Run, zone: &TimeZone) -> (i16, i16) {
    let date = zone.to_datetime(run.finished_at).date();
    (date.year(), i16::from(date.month()))
}

#[cfg(test)]
mod tests;
