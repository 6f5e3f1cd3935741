//! One comparison from its beginning to its report. It takes several rounds, and between them nobody waits: the state
//! is a value that the caller keeps, and whose loss costs no more than beginning again.

use std::collections::BTreeMap;

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::{DataFinding, DataVerification};
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Answer, ObjectKey, Placement, Reading, Verdict, judge};
use crate::condition::{Finding, whole_seconds};
use crate::schedule::Timetable;

/// Pauses after which what was not the same is read again. A write at QUORUM reaches the last replica within
/// milliseconds, and async replication of 1.38 fills a replica that came back within half a minute
/// (`weaviate-lab` §3); what was deleted or written meanwhile is not counted.
pub const PAUSES: [SignedDuration; 2] = [SignedDuration::from_secs(5), SignedDuration::from_secs(30)];

/// How long a report with faults stands before what it names is looked at again, whatever the schedule: what was healed
/// should not stay an alarm until next month.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// Suspects that are kept from one round to the next. Where more objects are wrong than this, the count says so and it
/// needs no more names.
pub const SUSPECT_LIMIT: usize = 1000;

/// Why a comparison is made now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// The value of `elysia.dev/run-now` that asks for it; `None`: the schedule does, or an earlier report.
    pub run_now: Option<String>,
}

/// Whether objects are to be compared now, and for whom.
pub fn due(
    timetable: Option<&Timetable>,
    run_now: Option<&str>,
    handled: Option<&str>,
    before: Option<&DataVerification>,
    wanted_since: Timestamp,
    now: Timestamp,
) -> Option<Request> {
    if let Some(asked) = run_now.filter(|asked| Some(*asked) != handled) {
        return Some(Request { run_now: Some(asked.to_owned()) });
    }
    let served = before.map_or(wanted_since, |before| before.at.0);
    let scheduled = timetable.and_then(|timetable| timetable.due(served, now)).is_some();
    let suspicious = before.is_some_and(|before| !is_clean(before) && now.duration_since(before.at.0) >= LOOK_AGAIN);
    (scheduled || suspicious).then(Request::default)
}

/// Whether nothing was wrong. What could not be read is not wrong.
pub fn is_clean(report: &DataVerification) -> bool {
    report.missing + report.orphaned + report.different == 0
}

/// The objects that a report names: the next comparison reads them first, so that chance cannot hide them.
pub fn named(report: &DataVerification) -> Vec<ObjectKey> {
    let key = |finding: &DataFinding| ObjectKey { tenant: finding.tenant.clone(), id: finding.id.clone() };
    report.findings.iter().map(key).collect()
}

/// A comparison under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// For whom.
    pub request: Request,
    sampled: usize,
    replicas: usize,
    asleep: Option<i64>,
    suspects: BTreeMap<ObjectKey, Suspect>,
    /// Wrong at first sight and too many to keep.
    overflow: usize,
    round: usize,
    next: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
struct Suspect {
    answers: BTreeMap<String, Answer>,
    verdict: Verdict,
    /// Whether nothing about it changed between the last two rounds.
    steady: bool,
}

/// What follows from a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Read the suspects again, not before this time.
    Again(Box<Look>),
    /// It is over.
    Ended(Ended),
}

/// The end of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// For whom it was made.
    pub request: Request,
    /// What it gave.
    pub report: DataVerification,
}

impl Look {
    /// The first round: everything that was sampled. `asleep`: tenants that were not looked at.
    pub fn begin(
        request: Request,
        readings: Vec<Reading>,
        asleep: Option<i64>,
        placement: Placement<'_>,
        now: Timestamp,
    ) -> Outcome {
        let mut look = Self {
            request,
            sampled: 0,
            replicas: 0,
            asleep,
            suspects: BTreeMap::new(),
            overflow: 0,
            round: 0,
            next: now,
        };
        for reading in readings {
            look.sampled += 1;
            match judge(&reading, placement) {
                Verdict::Same(replicas) => look.replicas = look.replicas.max(replicas),
                Verdict::Gone => {}
                _ if look.suspects.len() >= SUSPECT_LIMIT => look.overflow += 1,
                verdict => {
                    look.replicas = look.replicas.max(answered(&reading));
                    let suspect = Suspect { answers: reading.answers, verdict, steady: false };
                    look.suspects.insert(reading.key, suspect);
                }
            }
        }
        look.after_round(now)
    }

    /// When the next round may begin.
    pub fn next(&self) -> Timestamp {
        self.next
    }

    /// The objects of the next round.
    pub fn suspects(&self) -> impl Iterator<Item = &ObjectKey> {
        self.suspects.keys()
    }

    /// A further round: the suspects, read again. One that could not be read at all this time stays what it was, and
    /// is not steady.
    pub fn again(mut self, readings: Vec<Reading>, placement: Placement<'_>, now: Timestamp) -> Outcome {
        let mut read: BTreeMap<ObjectKey, Reading> =
            readings.into_iter().map(|reading| (reading.key.clone(), reading)).collect();
        let before = std::mem::take(&mut self.suspects);
        for (key, mut suspect) in before {
            let Some(reading) = read.remove(&key) else {
                suspect.steady = false;
                self.suspects.insert(key, suspect);
                continue;
            };
            match judge(&reading, placement) {
                Verdict::Same(_) | Verdict::Gone => {}
                verdict => {
                    // The answers carry digest and last update: whoever wrote in between shows in them.
                    let steady = reading.answers == suspect.answers && verdict == suspect.verdict;
                    self.suspects.insert(key, Suspect { answers: reading.answers, verdict, steady });
                }
            }
        }
        self.round += 1;
        self.after_round(now)
    }

    fn after_round(mut self, now: Timestamp) -> Outcome {
        match PAUSES.get(self.round) {
            Some(pause) if !self.suspects.is_empty() => {
                self.next = now.checked_add(*pause).unwrap_or(now);
                Outcome::Again(Box::new(self))
            }
            _ => {
                let report = self.report(now);
                Outcome::Ended(Ended { request: self.request, report })
            }
        }
    }

    fn report(&self, now: Timestamp) -> DataVerification {
        let mut findings = Vec::new();
        let (mut missing, mut orphaned, mut different, mut unread) = (0, 0, 0, 0);
        for (key, suspect) in &self.suspects {
            let (rank, what, nodes) = match &suspect.verdict {
                // Written all the while: nothing is known of it.
                _ if !suspect.steady => (3, "unread", &Vec::new()),
                Verdict::Missing(nodes) => (0, "missing", nodes),
                Verdict::Different(nodes) => (1, "different", nodes),
                Verdict::Orphaned(nodes) => (2, "orphaned", nodes),
                Verdict::Unread(nodes) => (3, "unread", nodes),
                Verdict::Same(_) | Verdict::Gone => continue,
            };
            match rank {
                0 => missing += 1,
                1 => different += 1,
                2 => orphaned += 1,
                _ => unread += 1,
            }
            let finding = DataFinding {
                id: key.id.clone(),
                tenant: key.tenant.clone(),
                what: what.to_owned(),
                nodes: nodes.clone(),
            };
            findings.push((rank, finding));
        }
        // Stable: within one rank they stay in the order of tenant and id.
        findings.sort_by_key(|(rank, _)| *rank);
        DataVerification {
            at: Time(whole_seconds(now)),
            sampled: number(self.sampled),
            replicas: number(self.replicas),
            missing,
            orphaned,
            different,
            unread: unread + number(self.overflow),
            tenants_asleep: self.asleep.filter(|asleep| *asleep > 0),
            findings: findings.into_iter().take(STATUS_LIST_LIMIT).map(|(_, finding)| finding).collect(),
        }
    }
}

fn answered(reading: &Reading) -> usize {
    reading.answers.values().filter(|answer| matches!(answer, Answer::Held { .. } | Answer::Absent)).count()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The condition that a report amounts to; `None` when nobody asked for one.
///
/// `why_not`: why nothing is compared at present.
pub fn finding(
    report: Option<&DataVerification>,
    asked: bool,
    why_not: Option<&str>,
    collection: &str,
) -> Option<Finding> {
    let kind = ConditionType::DataVerified;
    let Some(report) = report else {
        return asked.then(|| {
            let message =
                why_not.unwrap_or("objects were not compared yet; verify.data of the WeaviateCluster says when");
            Finding::unknown(kind, Reason::Unknown, message)
        });
    };
    let sampled = report.sampled;
    let asleep = report
        .tenants_asleep
        .map_or_else(String::new, |asleep| format!("; {asleep} tenants are not HOT and were not looked at"));
    if !is_clean(report) {
        let message = format!(
            "of {sampled} sampled objects {} are missing at a replica, {} differ, {} are held by a minority{asleep}; see them: kubectl elysia health --data --collection {collection}",
            report.missing, report.different, report.orphaned
        );
        return Some(Finding::fails(kind, Reason::ObjectsDiffer, message));
    }
    if report.unread > 0 {
        let message =
            format!("of {sampled} sampled objects {} could not be read at every replica{asleep}", report.unread);
        return Some(Finding::unknown(kind, Reason::Unknown, message));
    }
    if sampled == 0 {
        let message = format!("no object was found to compare{asleep}");
        return Some(Finding::holds(kind, Reason::Verified, message));
    }
    let message = format!("{sampled} sampled objects are the same at each of {} replicas{asleep}", report.replicas);
    Some(Finding::holds(kind, Reason::Verified, message))
}
