//! `repair approve` and `repair rollback`.

use std::io::{self, BufRead as _};
use std::time::{Duration, Instant};

use elysia_api::ElysiaCollection;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names::{APPROVE_ANNOTATION, APPROVED_BY_ANNOTATION, PLUGIN_MANAGER, ROLLBACK_ANNOTATION};
use elysia_core::collection::{Cursor, Journal};
use elysia_core::condition;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::super::client::{Reader, complaint};
use super::super::owner;
use super::super::printer::{DOUBTFUL, Printer, paint};
use super::super::{Exit, Target};
use super::show::{Planned, whole};
use super::{ApproveArgs, Change, RollbackArgs, Stop, journal};

/// Between two looks while waiting.
const POLL: Duration = Duration::from_secs(2);

pub(super) async fn approve(
    args: &ApproveArgs,
    target: &Target,
    reader: &Reader,
    printer: Printer,
) -> io::Result<Exit> {
    match approved(args, target, reader, printer).await {
        Ok(exit) => exit,
        Err(stop) => Ok(stop.tell(printer)),
    }
}

async fn approved(
    args: &ApproveArgs,
    target: &Target,
    reader: &Reader,
    printer: Printer,
) -> Result<io::Result<Exit>, Stop> {
    let object = get(target, reader, &args.name).await?;
    let Some(planned) = Planned::of(&object).filter(|planned| planned.plan.waiting_for.is_some()) else {
        printer.note(&format!("no plan of {} waits for approval\n", args.name));
        return Ok(Ok(Exit::Healthy));
    };
    let hash = planned.plan.hash.clone();
    if let Some(wanted) = args.hash.as_ref().filter(|wanted| **wanted != hash) {
        return Err(Stop::fault(format!(
            "the plan of {} is {hash} by now, not {wanted}: look at it again: kubectl elysia repair plan {} -n {}",
            args.name, args.name, planned.namespace
        )));
    }
    printer.note(&whole(&planned, Timestamp::now()));
    let user = user(reader).await?;
    let patch = json!({"metadata": {"annotations": {APPROVE_ANNOTATION: hash, APPROVED_BY_ANNOTATION: user}}});
    if !planned.approved && !changed(&object, &args.change, reader, printer, Patch::Merge(patch), &hash).await? {
        return Ok(Ok(Exit::Healthy));
    }
    printer.note(&format!("approved as {user}\n"));
    if args.wait && !args.change.dry_run {
        return Ok(Ok(carried_out(args, target, reader, printer, &hash).await?));
    }
    Ok(Ok(Exit::Healthy))
}

/// Waits until the plan is gone and the object is as declared, or stands still.
async fn carried_out(
    args: &ApproveArgs,
    target: &Target,
    reader: &Reader,
    printer: Printer,
    hash: &str,
) -> Result<Exit, Stop> {
    let started = Instant::now();
    loop {
        let object = get(target, reader, &args.name).await?;
        let status = object.status.clone().unwrap_or_default();
        let waits = status.plan.as_ref().is_some_and(|plan| plan.hash == hash);
        let ready = condition::find(&status.conditions, ConditionType::Ready);
        let stalled = condition::find(&status.conditions, ConditionType::Stalled);
        match (ready, stalled) {
            (Some(ready), None) if ready.status == "True" && !waits => {
                printer.note(&format!("done: {}\n", ready.message));
                return Ok(Exit::Healthy);
            }
            (_, Some(stalled)) if !(waits && stalled.reason == Reason::NeedsApproval.as_str()) => {
                return Err(Stop::fault(format!("{}: {}", stalled.reason, stalled.message)));
            }
            _ => {}
        }
        if started.elapsed() > args.timeout {
            return Err(Stop::unknown(format!(
                "not carried out within {:?}; next: kubectl elysia why {}",
                args.timeout, args.name
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) async fn rollback(
    args: &RollbackArgs,
    target: &Target,
    reader: &Reader,
    printer: Printer,
) -> io::Result<Exit> {
    match rolled_back(args, target, reader, printer).await {
        Ok(exit) => Ok(exit),
        Err(stop) => Ok(stop.tell(printer)),
    }
}

/// What can be rolled back, from the journal.
#[derive(Debug, PartialEq)]
pub(super) enum Way {
    /// The plan is called off before anything is deleted.
    CallOff,
    /// The old settings are declared again; that leads to a plan of its own.
    DeclareOld(Map<String, Value>),
    /// Nothing can or need be done.
    Nothing(&'static str),
}

pub(super) fn way(journal: Option<&Journal>) -> Way {
    let Some(journal) = journal else {
        return Way::Nothing("no plan of it was approved, so there is nothing to roll back");
    };
    match journal.cursor {
        Cursor::Stopped | Cursor::Thaw => Way::Nothing("the plan was stopped before anything was deleted"),
        cursor if cursor.is_over() => {
            let mut schema = journal.live_schema.as_object().cloned().unwrap_or_default();
            schema.remove("class");
            schema.remove("replicationConfig");
            Way::DeclareOld(schema)
        }
        cursor if cursor.is_past_delete() => Way::Nothing(
            "the collection is deleted and is being made again; that has to come to its end first. Ask again when it is Ready",
        ),
        _ => Way::CallOff,
    }
}

async fn rolled_back(args: &RollbackArgs, target: &Target, reader: &Reader, printer: Printer) -> Result<Exit, Stop> {
    let object = get(target, reader, &args.name).await?;
    let namespace = object.namespace().unwrap_or_default();
    let journal = journal::newest(reader, &namespace, &args.name).await?;
    let patch = match way(journal.as_ref()) {
        Way::Nothing(why) => {
            printer.note(&format!("{why}\n"));
            return Ok(Exit::Healthy);
        }
        Way::CallOff => {
            let hash = journal.map(|journal| journal.hash).unwrap_or_default();
            let patch = json!({"metadata": {"annotations": {ROLLBACK_ANNOTATION: hash}}});
            printer.note(&format!("the approved plan {hash} is called off; the collection stays as it is\n"));
            let done = changed(&object, &args.change, reader, printer, Patch::Merge(patch), &args.name).await?;
            if done {
                printer.note(
                    "called off, unless the collection was deleted in this moment; see: kubectl elysia repair plan\n",
                );
            }
            return Ok(Exit::Healthy);
        }
        Way::DeclareOld(schema) => json!([
            {"op": "test", "path": "/metadata/uid", "value": object.uid()},
            {"op": "add", "path": "/spec/schema", "value": schema},
        ]),
    };
    printer.note(&format!(
        "{} was recreated already. Its settings from before are declared again; while it is empty that leads to a plan, which needs an approval of its own\n",
        object.spec.collection
    ));
    let operations = serde_json::from_value(patch).map_err(|error| Stop::unknown(error.to_string()))?;
    if changed(&object, &args.change, reader, printer, Patch::<Value>::Json(operations), &args.name).await? {
        printer.note(&format!("declared; next: kubectl elysia repair plan {} -n {namespace}\n", args.name));
    }
    Ok(Exit::Healthy)
}

async fn get(target: &Target, reader: &Reader, name: &str) -> Result<ElysiaCollection, Stop> {
    let namespace = target.namespace.clone().unwrap_or_else(|| reader.default_namespace.clone());
    let api: Api<ElysiaCollection> = Api::namespaced(reader.client.clone(), &namespace);
    match reader.within(api.get_opt(name)).await.map_err(Stop::unknown)? {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(Stop::fault(format!(
            "there is no ElysiaCollection {name} in namespace {namespace}; next: kubectl get ecol -A"
        ))),
        Err(error) => Err(Stop::unknown(format!(
            "ElysiaCollection {name} cannot be read: {}; next: kubectl auth can-i get ecol -n {namespace}",
            complaint(&error)
        ))),
    }
}

/// Makes the change, after asking; false when somebody else has to make it, or nobody wants it.
async fn changed(
    object: &ElysiaCollection,
    change: &Change,
    reader: &Reader,
    printer: Printer,
    patch: Patch<Value>,
    word: &str,
) -> Result<bool, Stop> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if let Some(tool) = owner::of(&object.metadata).filter(|_| !change.force) {
        let (kind, body) = match &patch {
            Patch::Json(body) => ("json", serde_json::to_string(body)),
            Patch::Merge(body) | Patch::Apply(body) | Patch::Strategic(body) => ("merge", serde_json::to_string(body)),
            _ => ("merge", Ok(String::new())),
        };
        printer.note(&format!(
            "{tool} owns {name} and would undo a change made here. Make it in its repository:\n  kubectl patch ecol {name} -n {namespace} --type {kind} --patch '{}'\nor add --force\n",
            body.unwrap_or_default()
        ));
        return Ok(false);
    }
    if !change.yes && !change.dry_run && !confirmed(printer, word) {
        return Err(Stop::fault("nothing was changed"));
    }
    let mut parameters = PatchParams { field_manager: Some(PLUGIN_MANAGER.to_owned()), ..PatchParams::default() };
    parameters.dry_run = change.dry_run;
    let api: Api<ElysiaCollection> = Api::namespaced(reader.client.clone(), &namespace);
    match reader.within(api.patch(&name, &parameters, &patch)).await.map_err(Stop::unknown)? {
        Ok(_) => {
            if change.dry_run {
                printer.note("dry run: the API server would accept it, and nothing was changed\n");
            }
            Ok(!change.dry_run)
        }
        Err(error) => Err(Stop::fault(format!(
            "{name} was not changed: {}; next: kubectl auth can-i patch ecol/{name} -n {namespace}; an approval needs the verb `approve` as well",
            complaint(&error)
        ))),
    }
}

/// Whether the word was typed. An input that has ended is no.
fn confirmed(printer: Printer, word: &str) -> bool {
    printer.note(&paint(DOUBTFUL, &format!("type {word} to go on: ")));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == word
}

/// The name under which the API server knows the user.
async fn user(reader: &Reader) -> Result<String, Stop> {
    let api: Api<SelfSubjectReview> = Api::all(reader.client.clone());
    let (parameters, review) = (PostParams::default(), SelfSubjectReview::default());
    let answer = reader.within(api.create(&parameters, &review)).await.map_err(Stop::unknown)?;
    let review = answer.map_err(|error| Stop::unknown(format!("who you are is unknown: {}", complaint(&error))))?;
    let name = review.status.and_then(|status| status.user_info).and_then(|info| info.username);
    name.ok_or_else(|| Stop::unknown("the API server did not say who you are; next: kubectl auth whoami"))
}
