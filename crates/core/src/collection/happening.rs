//! What happened to a collection in a round, for its Events, its metrics and its audit: a happening is told once, a state
//! is told by conditions.
//!
//! Most of it follows from the steps that were really carried out. Only what nobody does, and what shows in two looks
//! alone (settings that differ, a rival that is gone), is found by comparing the status before with the one after.

use elysia_api::collection::{DataVerification, DriftEntry, ElysiaCollectionStatus, Verdict};
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::observed::{Observed, Operation, OperationState};
use super::plan::{PATIENCE, Plan, Step};
use super::recreate::{Cursor, Journal, Purpose};
use super::repair;
use super::schema;
use super::spec::CollectionSpec;
use crate::condition;
use crate::verification::look::{self, Ended};

/// Things that one message names: the note of an Event has 1,023 bytes, and a person reads the first few.
const NAMED: usize = 5;

/// Longest text that is taken over from a server or a person into a message, in bytes.
const WORDS_BYTES: usize = 400;

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// The collection was created.
    Created,
    /// Declared settings were written to the server.
    SettingsPutBack,
    /// The factor of the class was raised or lowered.
    FactorSet,
    /// Settings differ that did not differ before.
    DriftFound,
    /// Settings that differed do not differ any more.
    DriftGone,
    /// A plan is shown and waits for its approval.
    NeedsApproval,
    /// An approval was taken up into a journal, and serves no more.
    ApprovalConsumed,
    /// Copies of replicas were started.
    CopiesStarted,
    /// Copies of replicas have ended, and their records were deleted.
    CopiesEnded,
    /// Copies of replicas were cancelled or given up.
    CopiesFailed,
    /// Records of copies were dropped whose nodes are gone.
    CopyRecordsDropped,
    /// Tenants that were woken for their copies were put back to rest.
    TenantsRested,
    /// Replicas were taken away.
    ReplicasRemoved,
    /// A dead node was taken out of RAFT.
    MemberRemoved,
    /// An approved repair has reached its end.
    RepairEnded,
    /// An approved repair was stopped.
    RepairStopped,
    /// A recreation was begun.
    RecreationBegun,
    /// A recreation was stopped by what was seen.
    RecreationVoided,
    /// The collection was recreated.
    Recreated,
    /// A recreation that was stopped is over; the shards are writable.
    RecreationEnded,
    /// An approved plan was called off by a person.
    RolledBack,
    /// The server refused the new settings, and the old collection is there again.
    OldCollectionBack,
    /// Emptying was begun.
    ClearBegun,
    /// Emptying was stopped by what was seen.
    ClearVoided,
    /// The collection was emptied.
    Cleared,
    /// A request to empty the collection was refused.
    ClearRefused,
    /// Emptying that was stopped is over; the shards are writable.
    ClearEnded,
    /// The class was deleted at the servers.
    CollectionDeleted,
    /// A comparison of sampled objects found nothing wrong.
    Verified,
    /// A comparison of sampled objects found something wrong.
    ObjectsDiffer,
    /// No older resource claims the collection any more.
    ConflictWon,
    /// The collection is not changed although it differs: protected, with data, or forbidden by the spec.
    Refused,
    /// A journal whose object is gone was brought to its end.
    OrphanEnded,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 33] = [
        Self::Created,
        Self::SettingsPutBack,
        Self::FactorSet,
        Self::DriftFound,
        Self::DriftGone,
        Self::NeedsApproval,
        Self::ApprovalConsumed,
        Self::CopiesStarted,
        Self::CopiesEnded,
        Self::CopiesFailed,
        Self::CopyRecordsDropped,
        Self::TenantsRested,
        Self::ReplicasRemoved,
        Self::MemberRemoved,
        Self::RepairEnded,
        Self::RepairStopped,
        Self::RecreationBegun,
        Self::RecreationVoided,
        Self::Recreated,
        Self::RecreationEnded,
        Self::RolledBack,
        Self::OldCollectionBack,
        Self::ClearBegun,
        Self::ClearVoided,
        Self::Cleared,
        Self::ClearRefused,
        Self::ClearEnded,
        Self::CollectionDeleted,
        Self::Verified,
        Self::ObjectsDiffer,
        Self::ConflictWon,
        Self::Refused,
        Self::OrphanEnded,
    ];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::SettingsPutBack => "SettingsPutBack",
            Self::FactorSet => "FactorSet",
            Self::DriftFound => "DriftFound",
            Self::DriftGone => "DriftGone",
            Self::NeedsApproval => "NeedsApproval",
            Self::ApprovalConsumed => "ApprovalConsumed",
            Self::CopiesStarted => "CopiesStarted",
            Self::CopiesEnded => "CopiesEnded",
            Self::CopiesFailed => "CopiesFailed",
            Self::CopyRecordsDropped => "CopyRecordsDropped",
            Self::TenantsRested => "TenantsRested",
            Self::ReplicasRemoved => "ReplicasRemoved",
            Self::MemberRemoved => "MemberRemoved",
            Self::RepairEnded => "RepairEnded",
            Self::RepairStopped => "RepairStopped",
            Self::RecreationBegun => "RecreationBegun",
            Self::RecreationVoided => "RecreationVoided",
            Self::Recreated => "Recreated",
            Self::RecreationEnded => "RecreationEnded",
            Self::RolledBack => "RolledBack",
            Self::OldCollectionBack => "OldCollectionBack",
            Self::ClearBegun => "ClearBegun",
            Self::ClearVoided => "ClearVoided",
            Self::Cleared => "Cleared",
            Self::ClearRefused => "ClearRefused",
            Self::ClearEnded => "ClearEnded",
            Self::CollectionDeleted => "CollectionDeleted",
            Self::Verified => "Verified",
            Self::ObjectsDiffer => "ObjectsDiffer",
            Self::ConflictWon => "ConflictWon",
            Self::Refused => "Refused",
            Self::OrphanEnded => "OrphanEnded",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        matches!(
            self,
            Self::DriftFound
                | Self::NeedsApproval
                | Self::CopiesFailed
                | Self::CopyRecordsDropped
                | Self::RepairStopped
                | Self::RecreationVoided
                | Self::OldCollectionBack
                | Self::ClearVoided
                | Self::ClearRefused
                | Self::ObjectsDiffer
                | Self::Refused
        )
    }

    /// What was being done, in one word: the `action` of an Event.
    pub fn action(self) -> &'static str {
        match self {
            Self::Created | Self::SettingsPutBack | Self::DriftFound | Self::DriftGone | Self::Refused => "Schema",
            Self::FactorSet
            | Self::CopiesStarted
            | Self::CopiesEnded
            | Self::CopiesFailed
            | Self::CopyRecordsDropped
            | Self::TenantsRested
            | Self::ReplicasRemoved
            | Self::MemberRemoved
            | Self::RepairEnded
            | Self::RepairStopped => "Repair",
            Self::NeedsApproval | Self::ApprovalConsumed => "Approve",
            Self::RecreationBegun
            | Self::RecreationVoided
            | Self::Recreated
            | Self::RecreationEnded
            | Self::RolledBack
            | Self::OldCollectionBack
            | Self::OrphanEnded => "Recreate",
            Self::ClearBegun | Self::ClearVoided | Self::Cleared | Self::ClearRefused | Self::ClearEnded => "Clear",
            Self::CollectionDeleted => "Delete",
            Self::Verified | Self::ObjectsDiffer => "Verify",
            Self::ConflictWon => "Claim",
        }
    }

    /// The reasons of Ready that say the same: while this is told, a transition to them is not.
    fn covers(self) -> &'static [Reason] {
        match self {
            Self::Created => &[Reason::Creating],
            Self::SettingsPutBack | Self::DriftFound => &[Reason::SchemaDrift],
            Self::NeedsApproval => &[Reason::NeedsApproval],
            Self::ApprovalConsumed => &[Reason::Removing, Reason::NodeGone, Reason::Rebuilding],
            Self::CopiesStarted => &[Reason::Copying],
            Self::RecreationBegun => &[Reason::Recreating],
            Self::ClearBegun => &[Reason::Clearing],
            Self::ClearRefused => &[Reason::ClearRefused],
            _ => &[],
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening {
    /// What.
    pub what: Happened,
    /// To how many things.
    pub count: u64,
    /// For people; bounded.
    pub message: String,
}

impl Happening {
    /// One happening.
    pub fn new(what: Happened, message: impl Into<String>) -> Self {
        Self { what, count: 1, message: message.into() }
    }

    fn many(what: Happened, things: &[String], message: impl FnOnce(&str) -> String) -> Option<Self> {
        (!things.is_empty()).then(|| Self { what, count: number(things.len()), message: message(&named(things)) })
    }
}

/// Whether a transition of Ready to this reason is already told by one of these.
pub fn says(happenings: &[Happening], reason: &str) -> bool {
    happenings.iter().any(|happening| {
        happening.what.as_str() == reason || happening.what.covers().iter().any(|covered| covered.as_str() == reason)
    })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The first few of these and how many more there are.
fn named(things: &[String]) -> String {
    let first = things.iter().take(NAMED).map(|thing| words(thing)).collect::<Vec<_>>().join(", ");
    match things.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn words(text: &str) -> String {
    condition::clipped_to_bytes(text, WORDS_BYTES)
}

fn plural(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// One round: what it began with, and what it was to do.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// The spec.
    pub spec: &'a CollectionSpec,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was to be done.
    pub plan: &'a Plan,
    /// The status before it.
    pub before: &'a ElysiaCollectionStatus,
    /// The time.
    pub now: Timestamp,
}

impl Round<'_> {
    /// Whether the server takes these settings and keeps its own all the same: they are put again at every interval,
    /// and that is no news.
    fn is_resisted(&self, paths: &[String]) -> bool {
        let old = |entry: &DriftEntry| self.now.duration_since(entry.since.0) >= PATIENCE;
        let covers =
            |entry: &DriftEntry, path: &str| path == entry.path || path.starts_with(&format!("{}.", entry.path));
        let drift = &self.before.drift;
        let mut old = drift.iter().filter(|entry| entry.verdict == Verdict::Revert && old(entry)).peekable();
        old.peek().is_some() && paths.iter().all(|path| old.clone().any(|entry| covers(entry, path)))
    }
}

/// What the steps amount to that were carried out, in their order; those of one kind are one happening.
pub fn of_steps(done: &[Step], round: &Round<'_>) -> Vec<Happening> {
    let Round { spec, observed, plan, .. } = *round;
    let collection = &spec.collection;
    let journal = observed.journal.seen().and_then(Option::as_ref);
    let under_journal = journal.is_some_and(|journal| !journal.cursor.is_over());
    let operations = observed.operations.seen().map(Vec::as_slice).unwrap_or_default();
    let operation = |id: &str| operations.iter().find(|operation| operation.id == id);
    let mut told = Vec::new();
    let (mut properties, mut started, mut ended, mut failed, mut dropped, mut rested, mut removed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for step in done {
        match step {
            Step::CreateClass(class) => {
                let message = format!("created collection {collection} with factor {}", schema::class_factor(class));
                told.push(Happening::new(Happened::Created, message));
            }
            Step::AddProperty(property) => {
                properties.push(format!("properties.{}", property["name"].as_str().unwrap_or_default()));
            }
            // Switching the creation of tenants off and back on is a part of what the journal tells.
            Step::UpdateClass { .. } if under_journal => {}
            Step::UpdateClass { base, class } => told.extend(updated(base, class, round)),
            Step::Copy(copy) => started.push(format!("{} from {} to {}", copy.shard, copy.source, copy.target)),
            Step::ForgetOperation(id) => match operation(id) {
                Some(operation) if operation.state == OperationState::Ready => ended.push(place(operation)),
                Some(operation) => failed.push(trouble(operation)),
                None => {}
            },
            Step::DropOperation(id) => dropped.push(operation(id).map_or_else(|| id.clone(), place)),
            Step::CoolTenants(tenants) => rested.extend(tenants.iter().cloned()),
            Step::RemoveReplica(removal) => {
                removed.push(format!("{} at {}", removal.victim.shard, removal.victim.node));
            }
            Step::RemoveMember(node) => {
                told.push(Happening::new(Happened::MemberRemoved, format!("took the dead node {node} out of RAFT")));
            }
            Step::WriteRepair(next) => {
                told.extend(repair_journal(observed.repair.journal.seen().and_then(Option::as_ref), next, spec));
            }
            Step::WriteJournal(next) => told.extend(recreate_journal(journal, next, spec)),
            Step::ProveAndDelete(journal) => {
                let message = format!("deleted collection {collection}, by plan {}; it is created again", journal.hash);
                told.push(Happening::new(Happened::CollectionDeleted, message));
            }
            Step::SetReadOnly { .. } | Step::CreateTenants(_) => {}
        }
    }
    let by = plan.shown.as_ref().map_or_else(String::new, |shown| format!(", by plan {}", shown.hash));
    let copies = |count| plural(count, "copy", "copies");
    let groups = [
        Happening::many(Happened::SettingsPutBack, &properties, |names| format!("put back: {names}")),
        Happening::many(Happened::CopiesEnded, &ended, |names| format!("{} ended: {names}", copies(ended.len()))),
        Happening::many(Happened::CopiesFailed, &failed, |names| {
            format!("{} given up, others are made where they are missing: {names}", copies(failed.len()))
        }),
        Happening::many(Happened::CopyRecordsDropped, &dropped, |names| {
            format!("dropped the records of {} that nobody was there to end: {names}", copies(dropped.len()))
        }),
        Happening::many(Happened::CopiesStarted, &started, |names| {
            format!("started {}{by}: {names}", copies(started.len()))
        }),
        Happening::many(Happened::TenantsRested, &rested, |names| {
            format!("put {} back to rest: {names}", plural(rested.len(), "tenant", "tenants"))
        }),
        Happening::many(Happened::ReplicasRemoved, &removed, |names| {
            format!("took {} away{by}: {names}", plural(removed.len(), "replica", "replicas"))
        }),
    ];
    told.extend(groups.into_iter().flatten());
    told
}

fn place(operation: &Operation) -> String {
    format!("{} from {} to {}", operation.shard, operation.source, operation.target)
}

fn trouble(operation: &Operation) -> String {
    match &operation.error {
        Some(error) => format!("{} ({error})", place(operation)),
        None => place(operation),
    }
}

fn updated(base: &Value, class: &Value, round: &Round<'_>) -> Option<Happening> {
    let paths = changed(base, class);
    let (before, after) = (schema::class_factor(base), schema::class_factor(class));
    if before == after {
        let count = number(paths.len());
        return (!round.is_resisted(&paths))
            .then(|| Happening { count, ..Happening::new(Happened::SettingsPutBack, put(&paths)) });
    }
    let collection = &round.spec.collection;
    let others: Vec<String> = paths.into_iter().filter(|path| path != "replicationConfig.factor").collect();
    let also = if others.is_empty() { String::new() } else { format!("; {}", put(&others)) };
    let message = format!("set the factor of class {collection} from {before} to {after}{also}");
    Some(Happening::new(Happened::FactorSet, message))
}

fn put(paths: &[String]) -> String {
    // Of a change in form only nothing is named: the server spells some settings in its own way.
    if paths.is_empty() { "put back: the class as declared".to_owned() } else { format!("put back: {}", named(paths)) }
}

/// Paths of the settings that are not the same in both; properties by their names.
pub fn changed(before: &Value, after: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(before, after, "", &mut paths);
    paths
}

fn compare(before: &Value, after: &Value, path: &str, paths: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&value(one), &value(other), &below(key), paths);
            }
        }
        (Value::Array(one), Value::Array(other)) if by_name(one).zip(by_name(other)).is_some() => {
            let (one, other) = (by_name(one).unwrap_or_default(), by_name(other).unwrap_or_default());
            compare(&Value::Object(one), &Value::Object(other), path, paths);
        }
        (one, other) if one == other => {}
        _ => paths.push(path.to_owned()),
    }
}

fn by_name(list: &[Value]) -> Option<serde_json::Map<String, Value>> {
    list.iter().map(|entry| Some((entry.get("name")?.as_str()?.to_owned(), entry.clone()))).collect()
}

fn approved_by(spec: &CollectionSpec) -> String {
    let by = spec.approved_by.as_deref().map(|name| format!(" by {}", words(name)));
    by.unwrap_or_default()
}

fn repair_journal(
    before: Option<&repair::Journal>,
    next: &repair::Journal,
    spec: &CollectionSpec,
) -> Option<Happening> {
    let same = before.filter(|before| before.hash == next.hash && before.attempts == next.attempts);
    let (action, hash) = (next.action.as_str(), &next.hash);
    match same {
        None => {
            let what = plural(next.victims.len(), "replica goes", "replicas go");
            let message = format!("the approval of plan {hash}{} was taken up: {action}, {what}", approved_by(spec));
            Some(Happening::new(Happened::ApprovalConsumed, message))
        }
        Some(before) if next.over && !before.over => Some(match &next.stopped {
            None => Happening::new(Happened::RepairEnded, format!("{action} has reached its end, plan {hash}")),
            Some(why) => {
                let message = format!("{action} was stopped, plan {hash}: {}", words(why));
                Happening::new(Happened::RepairStopped, message)
            }
        }),
        Some(_) => None,
    }
}

/// What a journal tells that was written over the one before.
fn recreate_journal(before: Option<&Journal>, next: &Journal, spec: &CollectionSpec) -> Vec<Happening> {
    let (collection, hash) = (&next.collection, &next.hash);
    if let Some(refusal) = &next.clear_refused
        && before.and_then(|before| before.clear_refused.as_ref()) != Some(refusal)
    {
        let message = format!("{collection} is not emptied, request {}: {}", refusal.request, words(&refusal.why));
        return vec![Happening::new(Happened::ClearRefused, message)];
    }
    let why = || next.stopped.as_deref().map(words).unwrap_or_default();
    let is_clear = matches!(next.purpose, Purpose::Clear(_));
    let either = |clear, recreate| if is_clear { clear } else { recreate };
    let Some(before) = before.filter(|before| before.hash == next.hash && before.attempts == next.attempts) else {
        let kept = format!("ConfigMap {} keeps the schema as it was", spec.journal());
        return match &next.purpose {
            Purpose::Clear(request) => vec![Happening::new(
                Happened::ClearBegun,
                format!(
                    "begins to empty {collection}, at most {} objects, request {}; {kept}",
                    request.count, request.request
                ),
            )],
            Purpose::Recreate => {
                let message = format!("the approval of plan {hash}{} was taken up: Recreate", approved_by(spec));
                let begun = format!("begins to recreate {collection}, plan {hash}; {kept}");
                vec![
                    Happening::new(Happened::ApprovalConsumed, message),
                    Happening::new(Happened::RecreationBegun, begun),
                ]
            }
        };
    };
    let told = match (before.cursor, next.cursor) {
        (before, Cursor::Thaw) if before != Cursor::Thaw => {
            if spec.rollback.as_deref() == Some(hash) {
                Happening::new(
                    Happened::RolledBack,
                    format!("plan {hash} was called off; {collection} was not deleted"),
                )
            } else {
                let what = either(Happened::ClearVoided, Happened::RecreationVoided);
                Happening::new(what, format!("plan {hash} is stopped: {}", why()))
            }
        }
        (before, Cursor::Done) if !before.is_over() => match &next.stopped {
            None => {
                let done = if is_clear { "emptied" } else { "recreated" };
                let message = format!("{collection} was {done}, plan {hash}");
                Happening::new(either(Happened::Cleared, Happened::Recreated), message)
            }
            Some(_) => Happening::new(
                Happened::OldCollectionBack,
                format!("{collection} is there again with its old settings, plan {hash}: {}", why()),
            ),
        },
        (before, Cursor::Stopped) if !before.is_over() => {
            let what = either(Happened::ClearEnded, Happened::RecreationEnded);
            Happening::new(what, format!("plan {hash} is over and the shards of {collection} are writable: {}", why()))
        }
        _ => return Vec::new(),
    };
    vec![told]
}

/// What shows only in two looks.
pub fn of_looks(after: &ElysiaCollectionStatus, round: &Round<'_>) -> Vec<Happening> {
    let Round { spec, plan, before, .. } = *round;
    let mut told = Vec::new();
    let is_drift = |verdict: Verdict| verdict != Verdict::Adopt;
    if plan.compared {
        let missing_in = |one: &ElysiaCollectionStatus, other: &ElysiaCollectionStatus, shown: bool| -> Vec<String> {
            let drift = one.drift.iter().filter(|entry| is_drift(entry.verdict));
            drift
                .filter(|entry| !other.drift.iter().any(|found| found.path == entry.path && is_drift(found.verdict)))
                .map(|entry| if shown { format!("{} ({:?})", entry.path, entry.verdict) } else { entry.path.clone() })
                .collect()
        };
        let (found, gone) = (missing_in(after, before, true), missing_in(before, after, false));
        told.extend(Happening::many(Happened::DriftFound, &found, |names| format!("not as declared: {names}")));
        told.extend(Happening::many(Happened::DriftGone, &gone, |names| format!("as declared again: {names}")));
    }
    if let Some(shown) = after.plan.as_ref().filter(|plan| plan.waiting_for.is_some()) {
        let earlier = before.plan.as_ref().filter(|plan| plan.waiting_for.is_some());
        if earlier.is_none_or(|earlier| earlier.hash != shown.hash) {
            let destructive = if shown.destructive { "; it removes or overwrites something" } else { "" };
            let message = format!(
                "plan {} waits for approval: {}, {}{destructive}. Look: kubectl elysia repair plan {name}. Approve: kubectl elysia repair approve {name}",
                shown.hash,
                shown.action,
                plural(usize::try_from(shown.total_steps).unwrap_or_default(), "step", "steps"),
                name = spec.name
            );
            told.push(Happening::new(Happened::NeedsApproval, message));
        }
    }
    let reason = |status: &ElysiaCollectionStatus, kind| {
        condition::find(&status.conditions, kind).map(|condition| condition.reason.clone())
    };
    let is_conflict = |reason: &Option<String>| reason.as_deref() == Some(Reason::Conflict.as_str());
    if is_conflict(&reason(before, ConditionType::Ready)) && !is_conflict(&reason(after, ConditionType::Ready)) {
        let message = format!("no older resource claims collection {} any more; it is this one's now", spec.collection);
        told.push(Happening::new(Happened::ConflictWon, message));
    }
    // A refusal that Ready does not show, because something else is worse.
    let ready = reason(after, ConditionType::Ready);
    for kind in [ConditionType::SchemaInSync, ConditionType::ReplicasInSync] {
        let Some(now) = condition::find(&after.conditions, kind).filter(|now| now.status == "False") else { continue };
        let is_refusal = REFUSALS.iter().any(|refusal| refusal.as_str() == now.reason);
        if is_refusal && Some(&now.reason) != ready.as_ref() && reason(before, kind).as_ref() != Some(&now.reason) {
            told.push(Happening::new(Happened::Refused, format!("{}: {}", now.reason, now.message)));
        }
    }
    told
}

/// Reasons for which nothing is done although something differs.
const REFUSALS: [Reason; 10] = [
    Reason::Protected,
    Reason::RefusedHasData,
    Reason::RefusedNotProvablyEmpty,
    Reason::RecreateOff,
    Reason::CopyOff,
    Reason::CopyUnsupported,
    Reason::FactorFixed,
    Reason::NoRoom,
    Reason::SourceLost,
    Reason::TenantsUnavailable,
];

/// What the end of a comparison amounts to. One that was asked for by nobody and finds what the last one found is no
/// happening: on a schedule it would be told for ever.
pub fn of_verification(before: Option<&DataVerification>, ended: &Ended) -> Option<Happening> {
    let report = &ended.report;
    let faults = |report: &DataVerification| (report.missing, report.different, report.orphaned);
    if ended.request.run_now.is_none() && before.is_some_and(|before| faults(before) == faults(report)) {
        return None;
    }
    let (sampled, unread) = (report.sampled, report.unread);
    Some(if look::is_clean(report) {
        let unread = if unread > 0 { format!("; {unread} could not be read everywhere") } else { String::new() };
        Happening::new(Happened::Verified, format!("{sampled} sampled objects: none is wrong at any replica{unread}"))
    } else {
        let message = format!(
            "of {sampled} sampled objects {} are missing at a replica, {} differ, {} are held by a minority, {unread} could not be read",
            report.missing, report.different, report.orphaned
        );
        Happening::new(Happened::ObjectsDiffer, message)
    })
}

/// A repair that ended in this round: the word of its plan, and how long it took since it was first told.
pub fn repaired(
    before: &ElysiaCollectionStatus,
    after: &ElysiaCollectionStatus,
    now: Timestamp,
) -> Option<(&'static str, SignedDuration)> {
    let begun = before.replication.as_ref()?.progress.as_ref()?;
    let replication = after.replication.as_ref()?;
    // Not seen is not ended.
    if replication.progress.is_some() || replication.lowest? < replication.desired {
        return None;
    }
    let action = before.plan.as_ref().map(|plan| plan.action.as_str());
    let known = ["Remove", "Replace", "Rebuild"].into_iter().find(|known| Some(*known) == action);
    Some((known.unwrap_or("Copy"), now.duration_since(begun.since.0)))
}

#[cfg(test)]
#[path = "happening_tests.rs"]
mod tests;
