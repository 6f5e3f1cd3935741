//! `repair approve` and `repair rollback`.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names::{APPROVE_ANNOTATION, APPROVED_BY_ANNOTATION, PLUGIN_MANAGER, ROLLBACK_ANNOTATION};
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource};
use elysia_core::collection::{Cursor, Journal};
use elysia_core::condition;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::super::Exit;
use super::super::client::{Question, complaint};
use super::super::owner;
use super::super::printer::{DOUBTFUL, paint};
use super::super::session::{Session, Stop};
use super::find::{self, Asked, Kind, Owner, Planned};
use super::show::whole;
use super::{ApproveArgs, Change, RollbackArgs, journal};

pub(super) async fn approve(args: &ApproveArgs, session: &Session) -> Result<Exit, Stop> {
    let object = find::owner(session, &args.name).await?;
    let printer = session.printer;
    let Some(planned) = Planned::of(&object).filter(Planned::waits) else {
        printer.note(&format!("no plan of {} waits for approval\n", args.name));
        return Ok(Exit::Healthy);
    };
    let hash = planned.plan.hash.clone();
    if let Some(wanted) = args.hash.as_ref().filter(|wanted| **wanted != hash) {
        return Err(Stop::refused(
            format!("the plan of {} is {hash} by now, not {wanted}: look at it again", args.name),
            format!("kubectl elysia repair plan {} -n {}", args.name, planned.namespace),
        ));
    }
    printer.note(&whole(&planned, Timestamp::now()));
    let user = session.user().await.ok_or_else(|| {
        Stop::unknown("the API server did not say who you are, and an approval carries its name", "kubectl auth whoami")
    })?;
    let patch = json!({"metadata": {"annotations": {APPROVE_ANNOTATION: hash, APPROVED_BY_ANNOTATION: user}}});
    if !planned.approved && !changed(&object, &args.change, session, Patch::Merge(patch), &hash).await? {
        return Ok(Exit::Healthy);
    }
    printer.note(&format!("approved as {user}\n"));
    if args.wait && !args.change.dry_run {
        let message = carried_out(args, planned.kind, session, &hash).await?;
        printer.note(&format!("done: {message}\n"));
    }
    Ok(Exit::Healthy)
}

/// What the API server says of a JSON patch of which a test fails (1.34); what an admission policy refuses has its own words.
const FAILED_TEST: &str = "rejected our request due to an error in our request";

/// Why an object stands still that waits for an approval.
const ASKS: [Reason; 2] = [Reason::NeedsApproval, Reason::Suspect];

/// Waits until the plan is gone and the object is as declared, or stands still; the words of Ready.
async fn carried_out(args: &ApproveArgs, kind: Kind, session: &Session, hash: &str) -> Result<String, Stop> {
    let asked = &Asked { kind: Some(kind), ..args.name.clone() };
    let next = format!("kubectl elysia why {asked} -n {}", session.namespace);
    let look = async || {
        let Owner { plan, conditions, .. } = find::owner(session, asked).await?;
        let waits = plan.as_ref().is_some_and(|plan| plan.hash == hash);
        let ready = condition::find(&conditions, ConditionType::Ready);
        let stalled = condition::find(&conditions, ConditionType::Stalled);
        match (ready, stalled) {
            (Some(ready), None) if ready.status == "True" && !waits => Ok(Some(ready.message.clone())),
            (_, Some(stalled)) if !(waits && ASKS.iter().any(|reason| stalled.reason == reason.as_str())) => {
                Err(Stop::refused(format!("{}: {}", stalled.reason, stalled.message), next.clone()))
            }
            _ => Ok(None),
        }
    };
    session.wait(&format!("plan {hash} to be carried out"), &next, args.timeout, look).await
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

pub(super) async fn rollback(args: &RollbackArgs, session: &Session) -> Result<Exit, Stop> {
    let object = get(session, &args.name).await?;
    let owner = Owner::from(object.clone());
    let printer = session.printer;
    let journal = journal::newest(session, &args.name).await?;
    let patch = match way(journal.as_ref()) {
        Way::Nothing(why) => {
            printer.note(&format!("{why}\n"));
            return Ok(Exit::Healthy);
        }
        Way::CallOff => {
            let hash = journal.map(|journal| journal.hash).unwrap_or_default();
            let patch = json!({"metadata": {"annotations": {ROLLBACK_ANNOTATION: hash}}});
            printer.note(&format!("the approved plan {hash} is called off; the collection stays as it is\n"));
            let done = changed(&owner, &args.change, session, Patch::Merge(patch), &args.name).await?;
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
    let operations = serde_json::from_value(patch).map_err(|error| Stop::unknown(error.to_string(), ""))?;
    if changed(&owner, &args.change, session, Patch::<Value>::Json(operations), &args.name).await? {
        printer.note(&format!("declared; next: kubectl elysia repair plan {} -n {}\n", args.name, session.namespace));
    }
    Ok(Exit::Healthy)
}

async fn get(session: &Session, name: &str) -> Result<ElysiaCollection, Stop> {
    let question = Question::named::<ElysiaCollection>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, session.api::<ElysiaCollection>().get_opt(name)).await?;
    found.ok_or_else(|| {
        let message = format!("there is no ElysiaCollection {name} in namespace {}", session.namespace);
        Stop::refused(message, "kubectl get ecol -A")
    })
}

/// Makes the change, after asking; false when somebody else has to make it, or it was only tried.
pub(in crate::cli) async fn changed(
    object: &Owner,
    change: &Change,
    session: &Session,
    patch: Patch<Value>,
    word: &str,
) -> Result<bool, Stop> {
    let (namespace, name, printer) = (&session.namespace, object.name(), session.printer);
    let short = object.kind.short();
    if let Some(tool) = owner::of(&object.metadata).filter(|_| !change.force) {
        let (kind, body) = match &patch {
            Patch::Json(body) => ("json", serde_json::to_string(body)),
            Patch::Merge(body) | Patch::Apply(body) | Patch::Strategic(body) => ("merge", serde_json::to_string(body)),
            _ => ("merge", Ok(String::new())),
        };
        printer.note(&format!(
            "{tool} owns {name} and would undo a change made here. Make it in its repository:\n  kubectl patch {short} {name} -n {namespace} --type {kind} --patch '{}'\nor add --force\n",
            body.unwrap_or_default()
        ));
        return Ok(false);
    }
    if !change.yes && !change.dry_run {
        session.demand(&paint(DOUBTFUL, &format!("type {word} to go on: ")), word)?;
    }
    let mut parameters = PatchParams { field_manager: Some(PLUGIN_MANAGER.to_owned()), ..PatchParams::default() };
    parameters.dry_run = change.dry_run;
    let next =
        format!("kubectl auth can-i patch {short}/{name} -n {namespace}; an approval needs the verb `approve` as well");
    let sent = async {
        match object.kind {
            Kind::Collection => session.api::<ElysiaCollection>().patch(&name, &parameters, &patch).await.map(drop),
            Kind::Feed => session.api::<IndexSource>().patch(&name, &parameters, &patch).await.map(drop),
            Kind::Backup => session.api::<CollectionBackup>().patch(&name, &parameters, &patch).await.map(drop),
            Kind::Restore => session.api::<CollectionRestore>().patch(&name, &parameters, &patch).await.map(drop),
        }
    };
    let answer = session.reader.within(sent).await;
    let answer = answer.map_err(|message| Stop::unknown(message, next.clone()))?;
    // An admission policy says why in its own words.
    answer.map_err(|error| match &error {
        kube::Error::Api(status) if status.code == 422 && status.message.contains(FAILED_TEST) => Stop::refused(
            format!("{name} was not changed: somebody changed it since it was looked at"),
            "look at it, and run the same command again",
        ),
        error => Stop::refused(format!("{name} was not changed: {}", complaint(error)), next),
    })?;
    if change.dry_run {
        printer.note("dry run: the API server would accept it, and nothing was changed\n");
    }
    Ok(!change.dry_run)
}
