//! Gauges of collections.

use elysia_api::collection::{ElysiaCollectionStatus, Verdict};
use prometheus::IntGaugeVec;

use super::families::{Families, Made, set};
use super::{OBJECT, number};

/// What a comparison counts.
const COMPARED: [&str; 5] = ["sampled", "missing", "different", "orphaned", "unread"];
/// Verdicts on settings that differ.
const VERDICTS: [(Verdict, &str); 4] = [
    (Verdict::Recreate, "Recreate"),
    (Verdict::Revert, "Revert"),
    (Verdict::Report, "Report"),
    (Verdict::Adopt, "Adopt"),
];

pub(super) struct CollectionGauges {
    replicas: IntGaugeVec,
    behind: IntGaugeVec,
    objects: IntGaugeVec,
    drift: IntGaugeVec,
    /// Of the moment of the scrape.
    pub(super) plan_age: IntGaugeVec,
    plan_waits: IntGaugeVec,
    copies_running: IntGaugeVec,
    verified_at: IntGaugeVec,
    compared: IntGaugeVec,
}

impl CollectionGauges {
    pub(super) fn make(make: &mut Families) -> Made<Self> {
        let of_object = |label| ["namespace", "name", label];
        Ok(Self {
            replicas: make.gauge(
                "elysia_collection_replicas",
                "Replicas of a collection's worst shard, by wanted and lowest.",
                &of_object("which"),
            )?,
            behind: make.gauge(
                "elysia_collection_shards_behind",
                "Shards with fewer replicas than wanted.",
                &OBJECT,
            )?,
            objects: make.gauge("elysia_collection_objects", "Objects, when they could be counted.", &OBJECT)?,
            drift: make.gauge(
                "elysia_collection_drift_entries",
                "Settings that differ, by verdict; at most 20 of an object in all.",
                &of_object("verdict"),
            )?,
            plan_age: make.gauge(
                "elysia_collection_plan_age_seconds",
                "Time since the present plan was first shown.",
                &OBJECT,
            )?,
            plan_waits: make.gauge(
                "elysia_collection_plan_waiting",
                "1 while a plan waits for its approval.",
                &OBJECT,
            )?,
            copies_running: make.gauge(
                "elysia_collection_copies_running",
                "Copies of replicas that run, those of other people included.",
                &OBJECT,
            )?,
            verified_at: make.gauge(
                "elysia_collection_verification_timestamp_seconds",
                "When the last comparison of sampled objects ended.",
                &OBJECT,
            )?,
            compared: make.gauge(
                "elysia_collection_verification_objects",
                "Objects of the last comparison, by sampled, missing, different, orphaned and unread.",
                &of_object("which"),
            )?,
        })
    }

    /// Unknown is not zero: what is not known has no series.
    pub(super) fn set(&self, namespace: &str, name: &str, status: &ElysiaCollectionStatus, copies: Option<usize>) {
        let replication = status.replication.as_ref();
        let seen = replication.filter(|replication| replication.lowest.is_some());
        set(&self.replicas, &[namespace, name, "wanted"], replication.map(|replication| replication.desired));
        set(&self.replicas, &[namespace, name, "lowest"], seen.and_then(|replication| replication.lowest));
        set(&self.behind, &[namespace, name], seen.map(|replication| replication.behind_total));
        set(&self.objects, &[namespace, name], status.objects.as_ref().map(|objects| objects.count));
        for (verdict, word) in VERDICTS {
            let count = status.drift.iter().filter(|entry| entry.verdict == verdict).count();
            set(&self.drift, &[namespace, name, word], Some(number(count)));
        }
        let plan = status.plan.as_ref();
        if plan.is_none_or(|plan| plan.since.is_none()) {
            set(&self.plan_age, &[namespace, name], None);
        }
        let waits = plan.is_some_and(|plan| plan.waiting_for.is_some());
        set(&self.plan_waits, &[namespace, name], Some(i64::from(waits)));
        set(&self.copies_running, &[namespace, name], copies.map(number));
        let report = status.verification.as_ref();
        set(&self.verified_at, &[namespace, name], report.map(|report| report.at.0.as_second()));
        let counts =
            report.map(|report| [report.sampled, report.missing, report.different, report.orphaned, report.unread]);
        for (at, which) in COMPARED.iter().enumerate() {
            set(&self.compared, &[namespace, name, which], counts.map(|counts| counts[at]));
        }
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        for gauge in
            [&self.behind, &self.objects, &self.plan_age, &self.plan_waits, &self.copies_running, &self.verified_at]
        {
            set(gauge, &[namespace, name], None);
        }
        for which in ["lowest", "wanted"] {
            set(&self.replicas, &[namespace, name, which], None);
        }
        for (_, verdict) in VERDICTS {
            set(&self.drift, &[namespace, name, verdict], None);
        }
        for which in COMPARED {
            set(&self.compared, &[namespace, name, which], None);
        }
    }
}
