//! How a `CollectionBackup` and a `CollectionRestore` stand.

use elysia_api::backup::{BackupRun, BackupTotals};
use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::restore::{RestorePhase, RestoredObjects};
use elysia_api::{CollectionBackup, CollectionRestore};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::standing::is;
use super::{Malformed, Standing, next};
use crate::backup::deadline;
use crate::condition::find;
use crate::schedule::Timetable;

/// One backup policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of its cluster; empty when the object could not be understood.
    pub cluster: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// When the last run that succeeded was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// Whether the newest run was read back and nothing was wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// The run under way, or the last one that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<BackupRun>,
    /// What the store held when the last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<BackupTotals>,
    /// When the next run is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// A Suspect run that waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// One restore.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the collection that it writes; empty when the object could not be understood.
    pub into: String,
    /// Name of its cluster; likewise.
    pub cluster: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// The policy whose run it restores, where one is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// The run that is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Objects, and what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<RestoredObjects>,
    /// A restore over objects that waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// Judges one policy by its conditions, as of `now`. That its last good run is older than its schedule, and that its newest
/// run was not read back, are warnings: the policy may be as declared all the same.
pub fn of_backup(backup: &CollectionBackup, now: Timestamp) -> Standing {
    let status = backup.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let mut standing = Standing::read(backup, observed, conditions);
    standing.warnings.extend(late(backup, now));
    standing.warnings.extend(unverified(backup, conditions));
    standing.warnings.extend(incomplete(backup));
    let suspect = status.and_then(|status| status.totals.as_ref()).filter(|totals| totals.suspect > 0);
    // Of the newest run Ready itself says it.
    if let Some(totals) = suspect.filter(|_| standing.reason != Reason::Suspect.as_str()) {
        standing.warnings.push(format!(
            "{} of {} runs are Suspect, and nothing older than they are is retired",
            totals.suspect, totals.runs
        ));
    }
    let command = next::for_backup(backup, &standing);
    standing.advise(command);
    standing
}

/// How long after its time a good run is missed, unless its deadline is over sooner: as the alert has it that the chart
/// brings.
const LATE: SignedDuration = SignedDuration::from_hours(6);

/// The last time of the schedule that has no good run after it, when its run should be over.
fn late(backup: &CollectionBackup, now: Timestamp) -> Option<String> {
    let schedule = backup.spec.schedule.as_ref().filter(|schedule| !schedule.suspend)?;
    let created = backup.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let patience = deadline(backup.spec.deadline.as_deref()).ok()?.min(LATE);
    // What was due so long ago must be there by now.
    let due = Timetable::parse(schedule).ok()?.latest(now.checked_sub(patience).ok()?)?;
    let last = backup.status.as_ref().and_then(|status| status.last_success.as_ref()).map(|time| time.0);
    let is_late = due > created && last.is_none_or(|last| last < due);
    let last = last.map_or_else(|| "there is none".to_owned(), |last| format!("the last good one is of {last}"));
    is_late.then(|| format!("late: a run was due at {due}, and {last}"))
}

/// That the newest run leaves collections out, which nobody may find out when they are needed.
fn incomplete(backup: &CollectionBackup) -> Option<String> {
    let run = backup.status.as_ref()?.runs.first().filter(|run| run.left_out > 0)?;
    let id = run.id.as_deref().unwrap_or("of this policy");
    let said = run.message.as_deref().unwrap_or_default();
    Some(format!("run {id} leaves out {} collections: {said}", run.left_out))
}

/// That the newest run was not read back, where that is asked for. One that is not what was written has Ready say so.
fn unverified(backup: &CollectionBackup, conditions: &[Condition]) -> Option<String> {
    let is_asked = backup.spec.verify.after_run.unwrap_or(true);
    let verified = find(conditions, ConditionType::Verified)?;
    let is_told = verified.status == "False" && verified.reason == Reason::NotVerified.as_str();
    (is_asked && is_told).then(|| verified.message.clone())
}

/// Judges one restore by its conditions.
pub fn of_restore(restore: &CollectionRestore) -> Standing {
    let status = restore.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let mut standing = Standing::read(restore, observed, conditions);
    let command = next::for_restore(restore, &standing);
    standing.advise(command);
    standing
}

impl BackupReport {
    pub(super) fn of(listed: &Result<CollectionBackup, Malformed>, now: Timestamp) -> Self {
        let backup = match listed {
            Ok(backup) => backup,
            Err(malformed) => return Self::malformed(malformed),
        };
        let status = backup.status.clone().unwrap_or_default();
        Self {
            namespace: next::namespace(backup),
            name: backup.name_any(),
            cluster: backup.spec.cluster_ref.name.clone(),
            standing: of_backup(backup, now),
            last_success: status.last_success,
            verified: is(&status.conditions, ConditionType::Verified),
            run: status.run,
            totals: status.totals,
            next_run: status.next_run,
            plan: status.plan,
        }
    }

    fn malformed(object: &Malformed) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            cluster: String::new(),
            standing: Standing::malformed(object),
            last_success: None,
            verified: None,
            run: None,
            totals: None,
            next_run: None,
            plan: None,
        }
    }
}

impl RestoreReport {
    pub(super) fn of(listed: &Result<CollectionRestore, Malformed>) -> Self {
        let restore = match listed {
            Ok(restore) => restore,
            Err(malformed) => return Self::malformed(malformed),
        };
        let status = restore.status.clone().unwrap_or_default();
        let spec = &restore.spec;
        Self {
            namespace: next::namespace(restore),
            name: restore.name_any(),
            into: spec.into.clone().unwrap_or_else(|| spec.collection.clone()),
            cluster: spec.cluster_ref.name.clone(),
            standing: of_restore(restore),
            from: spec.from.backup_ref.as_ref().map(|reference| reference.name.clone()),
            phase: status.phase,
            run: status.run,
            objects: status.objects,
            plan: status.plan,
        }
    }

    fn malformed(object: &Malformed) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            into: String::new(),
            cluster: String::new(),
            standing: Standing::malformed(object),
            from: None,
            phase: None,
            run: None,
            objects: None,
            plan: None,
        }
    }
}
