//! What the steps of a round and the change of its journal amount to.

use elysia_api::{CollectionRestore, CollectionRestoreSpec};
use serde_json::Value;

use super::super::observed::{Operation, OperationState};
use super::super::plan::Step;
use super::super::recreate::{Cursor, Journal, Purpose};
use super::super::repair;
use super::super::schema;
use super::super::spec::CollectionSpec;
use super::{Happened, Happening, Round, named, number, plural, words};

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
            Step::StartRestore(restore) => told.push(Happening::new(Happened::BootstrapBegun, begun(restore))),
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
            Step::Migration(act) => {
                let look = observed.migration.as_ref();
                let journal = look.and_then(|look| look.journal.seen()).and_then(Option::as_ref);
                told.extend(super::migration::of_act(act, journal, spec));
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

fn begun(restore: &CollectionRestore) -> String {
    let CollectionRestoreSpec { from, collection, .. } = &restore.spec;
    let name = restore.metadata.name.as_deref().unwrap_or_default();
    format!("CollectionRestore {name} makes the collection from {collection} of run {}", from.run)
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

pub(super) fn approved_by(spec: &CollectionSpec) -> String {
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
