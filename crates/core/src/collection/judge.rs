//! The status of a collection, from a plan and from what became of it.

use elysia_api::collection::{
    CollectionHandled, DriftEntry, ElysiaCollectionStatus, MigrationStatus, ObjectCount, PlanStatus, RepairProgress,
    ReplicationStatus,
};
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::{ElysiaCollection, STATUS_LIST_LIMIT};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observed::{ClusterSight, Observed};
use super::plan::{Plan, Progress};
use super::schema::{self, Difference};
use super::spec::CollectionSpec;
use super::{bootstrap, claims, copies, migration};
use crate::condition::{self, Finding, Value, whole_seconds};
use crate::sight::Sight;

/// A step that failed, as the conditions tell it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What was done, to which thing, and the server's words.
    pub message: String,
    /// Why, for programs.
    pub reason: Reason,
    /// Whether trying again can help.
    pub retryable: bool,
}

/// The status that follows.
pub fn status(
    collection: &ElysiaCollection,
    spec: &CollectionSpec,
    observed: &Observed,
    plan: &Plan,
    failure: Option<&Failure>,
    now: Timestamp,
) -> ElysiaCollectionStatus {
    let before = collection.status.clone().unwrap_or_default();
    let mut findings = plan.findings.clone();
    if let Some(failure) = failure {
        tell_failure(&mut findings, failure);
    }
    if spec.paused {
        let message = "elysia.dev/paused is true: nothing is changed";
        findings.retain(|finding| !finding.kind.present_only_while_true());
        findings.push(Finding::holds(ConditionType::Stalled, Reason::Paused, message));
    }
    ElysiaCollectionStatus {
        observed_generation: collection.metadata.generation,
        objects: objects(&before, observed, plan, now),
        replication: Some(replication(&before, spec, observed, plan, now)),
        drift: if keeps_drift(observed, plan) { before.drift.clone() } else { drift(&before, &plan.drift, now) },
        plan: plan.shown.clone().map(|shown| shown_since(quiet(shown, &before, plan, observed), &before, now)),
        bootstrap: bootstrap::status(spec, observed, &before),
        live: live(&before, spec, observed),
        migration: migrating(&before, spec, observed),
        schema_version: schema_version(&before, spec, observed),
        verification: before.verification.clone(),
        recommendations: before.recommendations.clone(),
        last_handled: handled(&before, spec, observed),
        conditions: condition::merge(&before.conditions, &findings, collection.metadata.generation, now),
    }
}

/// The class that the alias leads to; what was seen last while it is not known.
fn live(before: &ElysiaCollectionStatus, spec: &CollectionSpec, observed: &Observed) -> Option<String> {
    let wanted = spec.migration.as_ref()?;
    // Of a cluster that cannot be asked it is what was seen last: backups and claims go by it.
    let Some(look) = observed.migration.as_ref() else { return before.live.clone() };
    match migration::live(&spec.declared, &wanted.alias, look) {
        migration::Live::Class(class) => Some(class),
        migration::Live::Unseen(..) | migration::Live::Unclear(_) => before.live.clone(),
    }
}

/// The version that the live class has; what was seen last while it is not seen.
fn schema_version(before: &ElysiaCollectionStatus, spec: &CollectionSpec, observed: &Observed) -> Option<String> {
    spec.versions.as_ref()?;
    match observed.migration.as_ref().and_then(|look| look.versions.as_ref()) {
        Some(next) => next.at.clone(),
        None => before.schema_version.clone(),
    }
}

/// How the last migration stands, by its journal; what was seen last while that cannot be read.
fn migrating(before: &ElysiaCollectionStatus, spec: &CollectionSpec, observed: &Observed) -> Option<MigrationStatus> {
    let look = observed.migration.as_ref()?;
    let Sight::Seen(journal) = &look.journal else { return before.migration.clone() };
    let journal = journal.as_ref()?;
    let is_active = journal.phase.is_active();
    let ledger = look.ledger.seen().and_then(Option::as_ref);
    let ledger = ledger.filter(|ledger| is_active && ledger.copy == journal.copy(&spec.uid));
    let window = spec.migration.as_ref().and_then(|wanted| wanted.window);
    // Of a collection with tenants a person deletes it.
    let is_let_go = journal.phase == migration::Phase::Kept && journal.tenants.is_none();
    let kept = is_let_go.then_some(journal.switched_at).flatten();
    let until = kept.zip(window).and_then(|(since, window)| since.checked_add(window).ok());
    Some(MigrationStatus {
        from: journal.from.clone(),
        to: journal.to.clone(),
        phase: journal.phase.as_str().to_owned(),
        objects: ledger.map(|ledger| ledger.done),
        behind: ledger.and_then(|ledger| ledger.behind),
        schema_version: journal.schema_version.clone(),
        rollback_until: until.map(|until| Time(whole_seconds(until))),
        message: journal.stopped.as_deref().map(|why| condition::clipped_to_bytes(why, WORDS_BYTES)),
    })
}

/// Longest reason that is taken over into a status, in bytes: it may be a server's.
const WORDS_BYTES: usize = 1024;

/// The plan as it was told before, while a repair runs and its numbers are not to be told again yet.
fn quiet(shown: PlanStatus, before: &ElysiaCollectionStatus, plan: &Plan, observed: &Observed) -> PlanStatus {
    match &before.plan {
        Some(earlier)
            if plan.progress.is_some()
                && !observed.repair.tells
                && earlier.hash == shown.hash
                && earlier.waiting_for == shown.waiting_for =>
        {
            earlier.clone()
        }
        _ => shown,
    }
}

/// Values of annotations that were dealt with.
fn handled(before: &ElysiaCollectionStatus, spec: &CollectionSpec, observed: &Observed) -> Option<CollectionHandled> {
    let journal = observed.journal.seen().and_then(Option::as_ref);
    let clear = journal.filter(|journal| journal.cursor.is_over()).and_then(|journal| journal.cleared.last()).cloned();
    // Here before the collection is seen: whoever changes the object afterwards makes the annotation younger than the object.
    let clear = clear.or_else(|| spec.came_with_request());
    let Some(clear) = clear else { return before.last_handled.clone() };
    Some(CollectionHandled { clear: Some(clear), ..before.last_handled.clone().unwrap_or_default() })
}

/// The plan with the time at which it was first shown.
fn shown_since(shown: PlanStatus, before: &ElysiaCollectionStatus, now: Timestamp) -> PlanStatus {
    let earlier = before.plan.as_ref().filter(|plan| plan.hash == shown.hash).and_then(|plan| plan.since.clone());
    PlanStatus { since: Some(earlier.unwrap_or_else(|| Time(whole_seconds(now)))), ..shown }
}

/// The status of a collection whose spec cannot be honoured.
pub fn invalid(collection: &ElysiaCollection, message: &str, now: Timestamp) -> ElysiaCollectionStatus {
    let mut status = collection.status.clone().unwrap_or_default();
    let findings = condition::of_invalid(collection, message);
    status.observed_generation = collection.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, collection.metadata.generation, now);
    status
}

/// The same while a migration that was in the middle of its switch is ended: which class is live, and how far that is, goes on
/// to be told.
pub fn invalid_amid_switch(
    collection: &ElysiaCollection,
    (spec, observed): (&CollectionSpec, &Observed),
    message: &str,
    now: Timestamp,
) -> ElysiaCollectionStatus {
    let before = collection.status.clone().unwrap_or_default();
    ElysiaCollectionStatus {
        live: live(&before, spec, observed),
        migration: migrating(&before, spec, observed),
        ..invalid(collection, message, now)
    }
}

/// The same while what deletes the collection and makes it again is ended. Its plan is not shown any more: the message says what
/// is done of it.
pub fn invalid_amid_recreation(collection: &ElysiaCollection, message: &str, now: Timestamp) -> ElysiaCollectionStatus {
    ElysiaCollectionStatus { plan: None, ..invalid(collection, message, now) }
}

fn tell_failure(findings: &mut Vec<Finding>, failure: &Failure) {
    for finding in findings.iter_mut().filter(|finding| {
        matches!(
            finding.kind,
            ConditionType::Ready
                | ConditionType::SchemaInSync
                | ConditionType::ReplicasInSync
                | ConditionType::Reconciling
        ) && finding.value != Value::Unknown
            && !(finding.kind != ConditionType::Reconciling && finding.value == Value::True)
    }) {
        finding.reason = failure.reason;
        finding.message.clone_from(&failure.message);
    }
    if failure.reason == Reason::FactorFixed {
        // The replicas are there, and the class goes on declaring fewer: new tenants would get those.
        findings.retain(|finding| finding.kind != ConditionType::SchemaInSync);
        findings.push(Finding::fails(ConditionType::SchemaInSync, failure.reason, failure.message.clone()));
    }
    if !failure.retryable {
        // What a person has to look at is not as declared, also where the collection itself is.
        let is_ready = |finding: &Finding| finding.kind == ConditionType::Ready && finding.value == Value::True;
        if let Some(ready) = findings.iter_mut().find(|finding| is_ready(finding)) {
            *ready = Finding::fails(ConditionType::Ready, failure.reason, failure.message.clone());
        }
        findings.retain(|finding| finding.kind != ConditionType::Reconciling && finding.kind != ConditionType::Stalled);
        findings.push(Finding::holds(ConditionType::Stalled, failure.reason, failure.message.clone()));
    }
}

fn objects(before: &ElysiaCollectionStatus, observed: &Observed, plan: &Plan, now: Timestamp) -> Option<ObjectCount> {
    if matches!(observed.class, Sight::Seen(None)) {
        return None;
    }
    if plan.keep_count {
        return before.objects.clone();
    }
    let (count, source) = match (&plan.proved, &observed.count) {
        (Some(proof), _) => (proof.objects, "ids"),
        // Of shards whose nodes are away the servers count nothing, without a word (`weaviate-lab` §0.2).
        (None, Some(Sight::Seen(count))) if counts_all(observed) => (*count, "aggregate"),
        // Not seen now: what was seen stays, with the time at which it was.
        (None, _) => return before.objects.clone(),
    };
    match &before.objects {
        // At rest nothing is written, so the time is that of the last change.
        Some(objects) if objects.count == count => Some(objects.clone()),
        _ => Some(ObjectCount { count, at: Time(whole_seconds(now)), source: source.to_owned() }),
    }
}

/// Whether every node that may hold a replica is alive. The status of the cluster may be a round old, so the members of
/// this round have the last word: a 0 that is counted while the only holder is away would hide the loss of its disk.
fn counts_all(observed: &Observed) -> bool {
    let Some(members) = observed.members.seen() else { return false };
    let placement = observed.placement.seen().into_iter().flatten();
    observed.cluster == ClusterSight::Fit
        && observed.nodes.iter().chain(placement.flat_map(|shard| &shard.replicas)).all(|node| members.contains(node))
}

fn replication(
    before: &ElysiaCollectionStatus,
    spec: &CollectionSpec,
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
) -> ReplicationStatus {
    let proved_before = before.replication.as_ref().and_then(|replication| replication.proved.clone());
    let class = observed.class.seen().and_then(Option::as_ref);
    let Some(placement) = observed.placement.seen().filter(|_| class.is_some()) else {
        // A proof is kept while nothing is seen: it says itself of which placement it speaks.
        let proved = if class.is_some() || observed.class.seen().is_none() { proved_before } else { None };
        let identity = before.replication.as_ref().and_then(|replication| replication.identity.clone());
        let identity = identity.filter(|_| !matches!(observed.class, Sight::Seen(None)));
        return ReplicationStatus { desired: spec.factor, proved, identity, ..ReplicationStatus::default() };
    };
    let (behind_total, behind) = copies::behind(placement, spec.factor);
    let (surplus_total, surplus) = copies::above(placement, spec.factor);
    let fingerprint = crate::fingerprint::of(placement);
    let differ_before = before.replication.as_ref().and_then(|replication| replication.differ_since.clone());
    let told = ReplicationStatus {
        desired: spec.factor,
        lowest: copies::lowest(placement),
        shards: i64::try_from(placement.len()).ok(),
        class_factor: class.map(schema::class_factor),
        behind_total,
        behind,
        surplus_total,
        surplus,
        cooling: plan.cooling.clone(),
        progress: plan
            .progress
            .map(|progress| self::progress(progress, before, now))
            // While it waits for a node or for tenants, what was done stays done.
            .or_else(|| before.replication.as_ref().filter(|_| behind_total > 0)?.progress.clone()),
        differ_since: plan.differ.then(|| differ_before.unwrap_or_else(|| Time(whole_seconds(now)))),
        identity: claims::identity(placement),
        // A proof speaks of one placement; of another one it says nothing.
        proved: plan
            .proved
            .clone()
            .or(proved_before.filter(|_| !plan.unproved && !plan.differ))
            .filter(|proof| proof.placement == fingerprint),
    };
    // Many thousands of copies would be as many writes: while a repair runs its numbers are told every few seconds only.
    match &before.replication {
        Some(earlier) if plan.progress.is_some() && earlier.progress.is_some() && !observed.repair.tells => {
            ReplicationStatus {
                lowest: earlier.lowest,
                shards: earlier.shards,
                behind_total: earlier.behind_total,
                behind: earlier.behind.clone(),
                surplus_total: earlier.surplus_total,
                surplus: earlier.surplus.clone(),
                progress: earlier.progress.clone(),
                ..told
            }
        }
        _ => told,
    }
}

/// How far a repair is; its beginning and its size are known to whoever has the status before.
fn progress(seen: Progress, before: &ElysiaCollectionStatus, now: Timestamp) -> RepairProgress {
    let earlier = before.replication.as_ref().and_then(|replication| replication.progress.as_ref());
    let since = earlier.map_or(now, |earlier| earlier.since.0);
    let total = earlier.map_or(seen.left, |earlier| earlier.total.max(earlier.done.saturating_add(seen.left)));
    let done = total.saturating_sub(seen.left);
    let passed = now.duration_since(since).as_secs();
    let estimated_end = (done > 0 && passed > 0)
        .then(|| now.checked_add(SignedDuration::from_secs(passed.saturating_mul(seen.left) / done)).ok())
        .flatten()
        .map(|end| Time(whole_seconds(end)));
    RepairProgress { since: Time(whole_seconds(since)), total, done, running: seen.running, estimated_end }
}

/// Whether what differed before is still all that is known: in this round the settings were not compared. Without it one
/// look that fails would make every difference a new one, and void the hash of the plan that speaks of it.
fn keeps_drift(observed: &Observed, plan: &Plan) -> bool {
    !plan.compared
        && observed.conflict.is_none()
        && observed.cluster != ClusterSight::Missing
        && !matches!(observed.class, Sight::Seen(None))
}

fn drift(before: &ElysiaCollectionStatus, found: &[Difference], now: Timestamp) -> Vec<DriftEntry> {
    found
        .iter()
        .take(STATUS_LIST_LIMIT)
        .map(|difference| {
            let path = difference.dotted();
            let since = before.drift.iter().find(|entry| entry.path == path).map(|entry| entry.since.clone());
            DriftEntry {
                live: difference.live.as_ref().map(schema::shown),
                wanted: (!difference.wanted.is_null()).then(|| schema::shown(&difference.wanted)),
                verdict: difference.verdict,
                since: since.unwrap_or_else(|| Time(whole_seconds(now))),
                path,
            }
        })
        .collect()
}
