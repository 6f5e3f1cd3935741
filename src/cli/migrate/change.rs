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
use super::{RollbackArgs, UpArgs, get, journal, versions};

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

/// The change of a spec, by its paths: a merge would keep settings that are declared no more.
pub(super) fn patch(object: &ElysiaCollection, schema: Option<&Map<String, Value>>, version: Version<'_>) -> Value {
    const PATH: &str = "/spec/migration/schemaVersion";
    let has_version = object.spec.migration.as_ref().is_some_and(|migration| migration.schema_version.is_some());
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": object.uid()})];
    operations.extend(schema.map(|schema| json!({"op": "add", "path": "/spec/schema", "value": schema})));
    match version {
        Version::Named(Some(version)) => operations.push(json!({"op": "add", "path": PATH, "value": version})),
        Version::Named(None) if has_version => operations.push(json!({"op": "remove", "path": PATH})),
        Version::Named(None) | Version::Kept => {}
    }
    Value::Array(operations)
}

pub(super) async fn up(args: &UpArgs, session: &Session) -> Result<Exit, Stop> {
    if args.approve {
        return repair::approve_migration(&args.name, &args.change, session).await;
    }
    let object = get(session, &args.name).await?;
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
    /// Nothing can or need be done.
    Nothing(String),
}

pub(super) fn way(journal: Option<&Journal>) -> Way {
    let Some(journal) = journal else {
        return Way::Nothing("nothing of it was migrated, so there is nothing to go back to".to_owned());
    };
    match journal.phase {
        Phase::Kept if !journal.transform.is_empty() => Way::Nothing(format!(
            "objects were transformed on the way to {}, and to copy them back would take from {} what only it still has. To have it live as it was at the switch, without anything that was written since, let the alias lead there: PUT /v1/aliases/{} with {{\"class\": \"{}\"}}",
            journal.to, journal.from, journal.alias, journal.from
        )),
        Phase::Kept => {
            let mut schema = journal.former_schema.as_object().cloned().unwrap_or_default();
            schema.remove("class");
            schema.remove("replicationConfig");
            Way::DeclareFormer(schema, journal.former_version.clone())
        }
        Phase::Over => Way::Nothing(format!(
            "{} is gone, so there is nothing to go back to; declare its settings (migrate status -o json has them) to migrate anew",
            journal.from
        )),
        Phase::Verify => Way::Nothing("the alias was just switched; ask again in a moment".to_owned()),
        Phase::Stopped | Phase::Thaw => Way::Nothing(format!("it was stopped already; {} is live", journal.from)),
        Phase::Approve | Phase::Create | Phase::Copy | Phase::Freeze | Phase::Settle | Phase::Final | Phase::Switch => {
            Way::CallOff
        }
    }
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

pub(super) async fn rollback(args: &RollbackArgs, session: &Session) -> Result<Exit, Stop> {
    let object = get(session, &args.name).await?;
    let journal = journal(session, &object).await?;
    let steps = usize::from(args.steps);
    let way = way(journal.as_ref());
    let is_called_off = steps == 1 && way == Way::CallOff;
    if !is_called_off && (steps > 1 || !object.spec.migrations.is_empty()) {
        let back = versions::back(&object, journal.as_ref(), steps);
        let (patch, words) = back.map_err(|why| why.stop(&object, session))?;
        session.printer.note(&words);
        return declare(&object, patch, &args.change, session).await;
    }
    match way {
        Way::Nothing(why) => {
            session.printer.note(&format!("{why}\n"));
            Ok(Exit::Healthy)
        }
        Way::CallOff => {
            let hash = journal.map(|journal| journal.hash).unwrap_or_default();
            session.printer.note(&format!(
                "the switch {hash} is called off; the collection stays as it is. The copy goes on until the spec asks for the live settings again\n"
            ));
            let patch = json!({"metadata": {"annotations": {ROLLBACK_ANNOTATION: hash}}});
            repair::changed(&object.into(), &args.change, session, Patch::Merge(patch), &args.name).await?;
            Ok(Exit::Healthy)
        }
        Way::DeclareFormer(schema, version) => {
            session.printer.note(&journal.as_ref().map(back_words).unwrap_or_default());
            let patch = patch(&object, Some(&schema), Version::Named(version.as_deref()));
            declare(&object, patch, &args.change, session).await
        }
    }
}
