//! `migrate up` and `migrate rollback`: they change what is declared, and the operator does the rest.

use std::io::Read as _;
use std::path::Path;

use elysia_api::ElysiaCollection;
use elysia_api::names::ROLLBACK_ANNOTATION;
use elysia_core::collection::migration::{Journal, Phase};
use kube::api::Patch;
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::super::Exit;
use super::super::repair;
use super::super::session::{Session, Stop};
use super::{MIGRATE, RollbackArgs, UpArgs, get, hand, journal, versions};

/// The settings in a file. Every JSON is YAML.
pub(super) fn schema(path: &Path, collection: &str) -> Result<Map<String, Value>, Stop> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let shown = path.display();
    let text = text.map_err(|error| Stop::unknown(format!("{shown} cannot be read: {error}"), ""))?;
    let mut schema: Map<String, Value> = serde_yaml::from_str(&text)
        .map_err(|error| Stop::refused(format!("{shown} holds no settings: {error}"), ""))?;
    if let Some(class) = schema.remove("class").filter(|class| *class != collection) {
        return Err(Stop::usage(format!("the settings in {shown} are of class {class}, not of {collection}")));
    }
    if schema.remove("replicationConfig").is_some() {
        return Err(Stop::usage(format!("{shown} has replicationConfig: write it as spec.replication of the object")));
    }
    Ok(schema)
}

/// What becomes of the name of the settings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version<'a> {
    /// It stays.
    Kept,
    /// They are called this; `None`: they have none.
    Named(Option<&'a str>),
}

/// What is declared again: settings of before a migration, under their name. Nothing is to become of objects on the way.
fn former(object: &ElysiaCollection, schema: &Map<String, Value>, version: Option<&str>) -> Value {
    let mut patch = patch(object, Some(schema), Version::Named(version));
    let transforms = object.spec.migration.as_ref().is_some_and(|migration| !migration.transform.is_empty());
    if let (true, Some(operations)) = (transforms, patch.as_array_mut()) {
        operations.push(json!({"op": "remove", "path": "/spec/migration/transform"}));
    }
    patch
}

/// That the object is the one that was looked at, with the spec that it had: somebody else may change it meanwhile.
pub(super) fn as_seen(object: &ElysiaCollection) -> Vec<Value> {
    let test = |path: &str, value: Value| json!({"op": "test", "path": path, "value": value});
    let mut operations = vec![test("/metadata/uid", json!(object.uid()))];
    operations.extend(object.metadata.generation.map(|generation| test("/metadata/generation", json!(generation))));
    operations
}

/// The change of a spec, by its paths: a merge would keep settings that are declared no more.
pub(super) fn patch(object: &ElysiaCollection, schema: Option<&Map<String, Value>>, version: Version<'_>) -> Value {
    const PATH: &str = "/spec/migration/schemaVersion";
    let has_version = object.spec.migration.as_ref().is_some_and(|migration| migration.schema_version.is_some());
    let mut operations = as_seen(object);
    operations.extend(schema.map(|schema| json!({"op": "add", "path": "/spec/schema", "value": schema})));
    match version {
        Version::Named(Some(version)) => operations.push(json!({"op": "add", "path": PATH, "value": version})),
        Version::Named(None) if has_version => operations.push(json!({"op": "remove", "path": PATH})),
        Version::Named(None) | Version::Kept => {}
    }
    Value::Array(operations)
}

/// The hash of the switch that waits, if one does. Whoever approves that approves no other plan of the collection.
fn switch(object: &ElysiaCollection, namespace: &str) -> Result<Option<String>, Stop> {
    let plan = object.status.as_ref().and_then(|status| status.plan.as_ref());
    let Some(plan) = plan.filter(|plan| plan.waiting_for.is_some()) else { return Ok(None) };
    if plan.action == MIGRATE {
        return Ok(Some(plan.hash.clone()));
    }
    let name = object.name_any();
    Err(Stop::refused(
        format!("the plan of {name} that waits switches nothing: it is {}, {}", plan.action, plan.hash),
        format!("kubectl elysia repair plan {name} -n {namespace}"),
    ))
}

pub(super) async fn up(args: &UpArgs, session: &Session) -> Result<Exit, Stop> {
    let object = get(session, &args.name).await?;
    if args.approve {
        let hash = switch(&object, &session.namespace)?;
        return repair::approve_migration(&args.name, hash, &args.change, session).await;
    }
    if object.spec.migration.is_none() {
        return Err(Stop::refused(
            format!("{} declares no spec.migration, without which a setting that cannot be changed stays", args.name),
            format!(
                "kubectl explain elysiacollection.spec.migration; then: kubectl edit ecol {} -n {}",
                args.name, session.namespace
            ),
        ));
    }
    if let Some(version) = &args.to {
        let (patch, words) = versions::up(&object, version).map_err(|why| why.stop(&object, session))?;
        session.printer.note(&words);
        return declare(&object, patch, &args.change, session).await;
    }
    if !object.spec.migrations.is_empty() {
        return Err(Stop::refused(
            format!("{} has a list of versions: other settings are a new version behind the others", args.name),
            format!(
                "kubectl edit ecol {} -n {}; then: kubectl elysia migrate up {} --to VERSION",
                args.name, session.namespace, args.name
            ),
        ));
    }
    let schema = args.schema.as_deref().map(|path| schema(path, &object.spec.collection)).transpose()?;
    let version = args.to_version.as_deref().map_or(Version::Kept, |version| Version::Named(Some(version)));
    let patch = patch(&object, schema.as_ref(), version);
    declare(&object, patch, &args.change, session).await
}

async fn declare(
    object: &ElysiaCollection,
    patch: Value,
    change: &repair::Change,
    session: &Session,
) -> Result<Exit, Stop> {
    let name = object.name_any();
    let operations = serde_json::from_value(patch).map_err(|error| Stop::unknown(error.to_string(), ""))?;
    if repair::changed(&object.clone().into(), change, session, Patch::<Value>::Json(operations), &name).await? {
        session
            .printer
            .note(&format!("declared; next: kubectl elysia migrate status {name} -n {}\n", session.namespace));
    }
    Ok(Exit::Healthy)
}

/// What can be rolled back, from the journal.
#[derive(Debug, PartialEq)]
pub(super) enum Way {
    /// The one that runs is called off.
    CallOff,
    /// The former settings are declared again, under their name; the class that has them is kept.
    DeclareFormer(Map<String, Value>, Option<String>),
    /// The same, where a person let the alias lead to that class already.
    DeclareLive(Map<String, Value>, Option<String>),
    /// Nothing can or need be done.
    Nothing(String),
}

/// `live`: the class that the operator saw the alias lead to last; `moved`: the same, where the last migration did not do that.
pub(super) fn way(journal: Option<&Journal>, live: Option<&str>, moved: Option<&str>) -> Way {
    let Some(journal) = journal else {
        return Way::Nothing("nothing of it was migrated, so there is nothing to go back to".to_owned());
    };
    if let Some(live) = moved {
        return way_by_hand(journal, live);
    }
    let Journal { alias, from, to, .. } = journal;
    match journal.phase {
        Phase::Kept if !journal.transform.is_empty() => Way::Nothing(format!(
            "objects were transformed on the way to {to}, and to copy them back would take from {from} what only it still has. To have it live as it was at the switch, without anything that was written since, let the alias lead there: {}",
            hand::put(alias, from)
        )),
        Phase::Kept => {
            let (schema, version) = before(journal);
            Way::DeclareFormer(schema, version)
        }
        Phase::Over => Way::Nothing(format!(
            "{from} is gone, so there is nothing to go back to; declare its settings (migrate status -o json has them) to migrate anew"
        )),
        Phase::Verify if live == Some(from.as_str()) => Way::Nothing(format!(
            "the alias was just switched; ask again in a moment. Where migrate status goes on to show {from} as live, somebody let it lead back: the migration ends a minute after its switch, and the same command declares the settings of {from} then. To have {to} live: {}",
            hand::put(alias, to)
        )),
        Phase::Verify => Way::Nothing("the alias was just switched; ask again in a moment".to_owned()),
        Phase::Stopped | Phase::Thaw => Way::Nothing(format!("it was stopped already; {from} is live")),
        Phase::Approve | Phase::Create | Phase::Copy | Phase::Freeze | Phase::Settle | Phase::Final | Phase::Switch => {
            Way::CallOff
        }
    }
}

/// The same where a person let the alias lead to a class: that one is live, and the operator neither goes on with the
/// migration nor goes back to a class of it.
fn way_by_hand(journal: &Journal, live: &str) -> Way {
    let Journal { alias, from, to, .. } = journal;
    let hand = format!("alias {alias} was let lead to {live} by hand");
    match journal.phase {
        Phase::Kept if live == from => {
            let (schema, version) = before(journal);
            Way::DeclareLive(schema, version)
        }
        // Nothing is copied back, but into a further class, out of whichever is live.
        Phase::Kept if journal.tenants.is_some() && journal.transform.is_empty() => {
            let (schema, version) = before(journal);
            Way::DeclareFormer(schema, version)
        }
        Phase::Kept => {
            // What was transformed is not copied back from there either.
            let whole = if journal.transform.is_empty() {
                format!(
                    ". To go back to it with what was written to {to}, let the alias lead to {to} first: {}",
                    hand::put(alias, to)
                )
            } else {
                String::new()
            };
            Way::Nothing(format!(
                "{hand}, which is neither {from} nor {to}: from there nothing is copied back into {from}. To have {from} live as it was at the switch, without anything that was written since: {}{whole}",
                hand::put(alias, from)
            ))
        }
        Phase::Over => Way::Nothing(format!(
            "{hand}, and {from} is gone, so there is nothing to go back to; declare its settings (migrate status -o json has them) to migrate {live} to them"
        )),
        Phase::Verify => Way::Nothing(format!(
            "{hand} right after it was switched, and the migration waits until it leads to {to}: {}",
            hand::put(alias, to)
        )),
        Phase::Stopped | Phase::Thaw if live == to => Way::Nothing(format!(
            "it was stopped, and {hand}: it is live, and may lack what {from} has. To have {from} live again, without anything that was written to {to} since: {}",
            hand::put(alias, from)
        )),
        Phase::Stopped | Phase::Thaw => Way::Nothing(format!("it was stopped already; {hand}, which is live")),
        Phase::Approve | Phase::Create | Phase::Copy | Phase::Freeze | Phase::Settle | Phase::Final | Phase::Switch => {
            Way::CallOff
        }
    }
}

/// The settings from before a migration, and what they were called.
fn before(journal: &Journal) -> (Map<String, Value>, Option<String>) {
    let mut schema = journal.former_schema.as_object().cloned().unwrap_or_default();
    schema.remove("class");
    schema.remove("replicationConfig");
    (schema, journal.former_version.clone())
}

/// What it means that the settings of the class are declared to which a person let the alias lead back.
pub(super) fn live_words(journal: &Journal) -> String {
    let Journal { alias, from, to, .. } = journal;
    format!(
        "alias {alias} was let lead to {from} by hand, so {from} is live already. Its settings from before the migration are declared again: nothing is copied and nothing is switched, and it is not migrated once more. What was written to {to} is not in {from}; {to} stays until you delete it\n"
    )
}

/// What it means that the former settings are declared again.
pub(super) fn back_words(journal: &Journal) -> String {
    let from = &journal.from;
    if journal.tenants.is_some() {
        return format!(
            "the settings from before are declared again. Nothing is copied back into {from}, because the collection has tenants: a further class is made with these settings and filled from the live one, with what was written since, and is switched to when that is approved, as spec.migration.approval says. {from} stays until you delete it\n"
        );
    }
    format!(
        "the settings from before are declared again. {from} has them and is kept; what was written since is copied to it before the alias leads back, which needs an approval of its own\n"
    )
}

/// What it means that the migration which runs is called off.
pub(super) fn off_words(journal: &Journal, moved: Option<&str>) -> String {
    let Journal { hash, alias, from, .. } = journal;
    match moved {
        None => format!(
            "the switch {hash} is called off; the collection stays as it is. The copy goes on until the spec asks for the live settings again\n"
        ),
        Some(live) => format!(
            "alias {alias} was let lead to {live} by hand: the operator ends the migration of {from} by itself, and {live} stays live. Its plan {hash} is called off all the same\n"
        ),
    }
}

pub(super) async fn rollback(args: &RollbackArgs, session: &Session) -> Result<Exit, Stop> {
    let object = get(session, &args.name).await?;
    if object.spec.migration.is_none() {
        return Err(Stop::refused(
            format!("{} declares no spec.migration, so nothing of it is migrated, and nothing gone back to", args.name),
            format!("kubectl edit ecol {} -n {}", args.name, session.namespace),
        ));
    }
    let journal = journal(session, &object).await?;
    let steps = usize::from(args.steps);
    let moved = journal.as_ref().and_then(|journal| hand::moved(&object, journal));
    let way = way(journal.as_ref(), hand::live(&object), moved);
    let is_called_off = steps == 1 && way == Way::CallOff;
    if !is_called_off && (steps > 1 || !object.spec.migrations.is_empty()) {
        let back = versions::back(&object, journal.as_ref(), steps);
        let (patch, words) = back.map_err(|why| why.stop(&object, session))?;
        session.printer.note(&words);
        return declare(&object, patch, &args.change, session).await;
    }
    let told = |words: fn(&Journal) -> String| session.printer.note(&journal.as_ref().map(words).unwrap_or_default());
    match way {
        Way::Nothing(why) => {
            session.printer.note(&format!("{why}\n"));
            Ok(Exit::Healthy)
        }
        Way::CallOff => {
            let words = journal.as_ref().map(|journal| off_words(journal, moved)).unwrap_or_default();
            session.printer.note(&words);
            let hash = journal.map(|journal| journal.hash).unwrap_or_default();
            let patch = json!({"metadata": {"annotations": {ROLLBACK_ANNOTATION: hash}}});
            if repair::changed(&object.into(), &args.change, session, Patch::Merge(patch), &args.name).await? {
                session.printer.note(&format!(
                    "called off, unless the alias was switched in this moment; see: kubectl elysia migrate status {} -n {}\n",
                    args.name, session.namespace
                ));
            }
            Ok(Exit::Healthy)
        }
        Way::DeclareFormer(schema, version) => {
            told(back_words);
            let patch = former(&object, &schema, version.as_deref());
            declare(&object, patch, &args.change, session).await
        }
        Way::DeclareLive(schema, version) => {
            told(live_words);
            let patch = former(&object, &schema, version.as_deref());
            declare(&object, patch, &args.change, session).await
        }
    }
}
