//! The status of a restore.

use elysia_api::CollectionRestore;
use elysia_api::condition::ConditionType;
use elysia_api::restore::{CollectionRestoreStatus, RestorePhase, RestoredObjects};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger::Stage;
use super::{Observed, Plan, RestoreSpec};
use crate::condition;

/// The status that follows.
pub fn status(
    restore: &CollectionRestore,
    spec: &RestoreSpec,
    observed: &Observed,
    plan: &Plan,
    failure: Option<&str>,
    now: Timestamp,
) -> CollectionRestoreStatus {
    let before = restore.status.clone().unwrap_or_default();
    let mut findings = plan.findings.clone();
    if let Some(failure) = failure {
        for finding in findings.iter_mut().filter(|finding| finding.kind != ConditionType::Running) {
            failure.clone_into(&mut finding.message);
        }
    }
    let time = |time: Timestamp| Time(condition::whole_seconds(time));
    let mut status = CollectionRestoreStatus {
        observed_generation: restore.metadata.generation,
        phase: Some(plan.phase),
        job: plan.job.clone(),
        plan: plan.shown.clone(),
        progress: None,
        last_handled: spec.run_now.clone(),
        conditions: condition::merge(&before.conditions, &findings, restore.metadata.generation, now),
        ..before
    };
    let ledger = observed.ledger.seen().and_then(Option::as_ref);
    if let Some(ledger) = ledger.filter(|ledger| spec.is_told_by(ledger, observed.cluster_uid.as_deref())) {
        status.run.clone_from(&ledger.run);
        status.passed_over.clone_from(&ledger.passed_over);
        status.started_at = ledger.has_begun.then_some(ledger.started_at).map(time);
        status.finished_at = ledger.finished_at.map(time);
        status.objects = Some(RestoredObjects {
            total: ledger.total,
            done: ledger.done,
            written: ledger.written,
            skipped: ledger.skipped,
            unchanged: ledger.unchanged,
            merged: ledger.merged,
            unselected: ledger.unselected,
            unconverted: ledger.unconverted,
            dropped_properties: ledger.dropped,
        });
        status.aliases.clone_from(&ledger.aliases);
        if plan.phase == RestorePhase::Running && ledger.stage == Stage::Writing {
            status.progress = ledger.pace.map(|pace| pace.told(ledger.updated_at, now));
        }
    }
    status
}

/// The status of a restore whose spec cannot be honoured.
pub fn invalid(restore: &CollectionRestore, message: &str, now: Timestamp) -> CollectionRestoreStatus {
    let mut status = restore.status.clone().unwrap_or_default();
    let findings = condition::of_invalid(restore, message);
    status.observed_generation = restore.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, restore.metadata.generation, now);
    status
}
