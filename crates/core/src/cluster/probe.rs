//! A written object that must come back from each of its replicas, in a collection of the operator's own.
//!
//! The collection is made only when `verify.data` asks for it, has one shard of at most three replicas, and holds one
//! object, written over each time: it does not grow, and nobody else's data is touched. Its name is protected.

use std::collections::BTreeMap;
use std::time::Duration;

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::cluster::ProbeReport;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names::PROBE_COLLECTION;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::spec::VerifyData;
use crate::condition::{Finding, whole_seconds};

/// Id of the one object.
pub const OBJECT: &str = "e1751ac7-1b0b-4e00-8000-000000000001";

/// Property that holds the present word.
pub const PROPERTY: &str = "written";

/// How long the last replica may take. A write at QUORUM reaches it within milliseconds, or, when it was away for that
/// moment, only with the next repair.
pub const BOUND: Duration = Duration::from_secs(3);

/// Most replicas of the one object.
const FACTOR: usize = 3;

/// How long a failed probe stands before it is made again, whatever the schedule.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// The class in a cluster of so many nodes.
pub fn class(nodes: usize) -> Value {
    json!({
        "class": PROBE_COLLECTION,
        "description": "One object that the Elysia operator writes and reads back; see verify.data of the WeaviateCluster",
        "vectorizer": "none",
        "properties": [{ "name": PROPERTY, "dataType": ["text"] }],
        "shardingConfig": { "desiredCount": 1 },
        "replicationConfig": { "factor": nodes.clamp(1, FACTOR) },
    })
}

/// Whether it is time.
pub fn is_due(data: &VerifyData, before: Option<&ProbeReport>, wanted_since: Timestamp, now: Timestamp) -> bool {
    let served = before.map_or(wanted_since, |before| before.at.0);
    let failed = before.is_some_and(|before| !before.succeeded && now.duration_since(before.at.0) >= AGAIN);
    failed || data.timetable.due(served, now).is_some()
}

/// What the probe gave: how long each replica took, `None` for one that never had it or could not be asked.
pub fn report(lags: &BTreeMap<String, Option<Duration>>, now: Timestamp) -> ProbeReport {
    let failed: Vec<String> = lags.iter().filter(|(_, lag)| lag.is_none()).map(|(node, _)| node.clone()).collect();
    let slowest = lags.values().flatten().max().and_then(|lag| i64::try_from(lag.as_millis()).ok());
    let succeeded = failed.is_empty() && !lags.is_empty();
    ProbeReport {
        at: Time(whole_seconds(now)),
        succeeded,
        lag_milliseconds: slowest.filter(|_| succeeded),
        failed: failed.into_iter().take(STATUS_LIST_LIMIT).collect(),
    }
}

/// What the condition `DataVerified` of the cluster says; `None` when nobody asked.
pub fn finding(asked: bool, report: Option<&ProbeReport>, trouble: Option<&str>) -> Option<Finding> {
    let kind = ConditionType::DataVerified;
    if !asked {
        return None;
    }
    let finding = match (trouble, report) {
        (Some(trouble), _) => Finding::unknown(kind, Reason::Unknown, trouble),
        (None, None) => Finding::unknown(kind, Reason::Unknown, "nothing was written and read back yet"),
        (None, Some(report)) if report.succeeded => Finding::holds(
            kind,
            Reason::Verified,
            format!("an object written to {PROBE_COLLECTION} came back from every replica"),
        ),
        (None, Some(report)) => Finding::fails(
            kind,
            Reason::ObjectsDiffer,
            format!(
                "an object written to {PROBE_COLLECTION} did not come back within {} s from {}; look at that node: kubectl elysia health --cluster",
                BOUND.as_secs(),
                if report.failed.is_empty() { "any replica".to_owned() } else { report.failed.join(", ") }
            ),
        ),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Timetable;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn lags(nodes: &[(&str, Option<u64>)]) -> BTreeMap<String, Option<Duration>> {
        nodes.iter().map(|(node, lag)| ((*node).to_owned(), lag.map(Duration::from_millis))).collect()
    }

    #[test]
    fn the_slowest_replica_is_the_lag() {
        let good = report(&lags(&[("a", Some(3)), ("b", Some(12))]), at(0));
        assert_eq!((good.succeeded, good.lag_milliseconds, good.failed.len()), (true, Some(12), 0));
        let bad = report(&lags(&[("a", Some(3)), ("b", None)]), at(0));
        assert_eq!((bad.succeeded, bad.lag_milliseconds, bad.failed), (false, None, vec!["b".to_owned()]));
        assert!(!report(&lags(&[]), at(0)).succeeded, "nobody asked is no success");
    }

    #[test]
    fn a_failed_probe_is_made_again_soon() {
        let schedule = elysia_api::common::Schedule {
            cron: "0 * * * *".to_owned(),
            time_zone: None,
            starting_deadline: None,
            suspend: false,
        };
        let data = VerifyData { timetable: Timetable::parse(&schedule).unwrap(), sample_size: 1 };
        let good = report(&lags(&[("a", Some(3))]), at(10));
        let bad = report(&lags(&[("a", None)]), at(10));
        assert!(is_due(&data, None, at(-60), at(0)));
        assert!(!is_due(&data, None, at(1), at(2)));
        assert!(!is_due(&data, Some(&good), at(0), at(3599)));
        assert!(is_due(&data, Some(&good), at(0), at(3600)));
        assert!(!is_due(&data, Some(&bad), at(0), at(309)));
        assert!(is_due(&data, Some(&bad), at(0), at(310)));
    }

    #[test]
    fn the_factor_is_that_of_the_nodes_up_to_three() {
        let factors = [1, 2, 3, 9].map(|nodes| class(nodes)["replicationConfig"]["factor"].as_i64().unwrap());
        assert_eq!(factors, [1, 2, 3, 3]);
    }
}
