//! The status of a feed.

use elysia_api::IndexSource;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::IndexSourceStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{FeedSpec, Observed, Plan};
use crate::condition;

/// The status that follows.
pub fn status(
    feed: &IndexSource,
    spec: &FeedSpec,
    observed: &Observed,
    plan: &Plan,
    failure: Option<&str>,
    now: Timestamp,
) -> IndexSourceStatus {
    let before = feed.status.clone().unwrap_or_default();
    let mut findings = plan.findings.clone();
    if let Some(failure) = failure {
        for finding in findings.iter_mut().filter(|finding| finding.kind != ConditionType::Running) {
            failure.clone_into(&mut finding.message);
        }
    }
    let mut status = IndexSourceStatus {
        observed_generation: feed.metadata.generation,
        run: plan.run.clone(),
        plan: plan.shown.clone(),
        next_run: plan.next_run.map(|time| Time(condition::whole_seconds(time))),
        last_handled: spec.run_now.clone(),
        conditions: condition::merge(&before.conditions, &findings, feed.metadata.generation, now),
        ..before
    };
    if let Some(ledger) = observed.ledger.seen().and_then(Option::as_ref) {
        status.caught_up_at = ledger.caught_up_at.map(|time| Time(condition::whole_seconds(time)));
        status.counts = Some(ledger.counts.clone());
        status.errors.clone_from(&ledger.errors);
        status.checkpoint = Some(ledger.checkpoint.clone());
        status.throughput = Some(ledger.throughput.clone());
        status.lag.clone_from(&ledger.lag);
        status.partitions.clone_from(&ledger.partitions);
        status.waiting_lines = ledger.put_off.as_ref().map(|put_off| put_off.lines);
        status.dead_letter = ledger.dead_letters.iter().take(elysia_api::STATUS_LIST_LIMIT).cloned().collect();
    }
    status
}

/// The status of a feed whose spec cannot be honoured.
pub fn invalid(feed: &IndexSource, message: &str, now: Timestamp) -> IndexSourceStatus {
    let mut status = feed.status.clone().unwrap_or_default();
    let findings = condition::of_invalid(feed, message);
    status.observed_generation = feed.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, feed.metadata.generation, now);
    status
}
