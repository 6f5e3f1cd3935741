//! Who did what: Events that the plug-in writes of its own changes, and `kubectl elysia audit`, which lists them beside
//! the operator's.

use std::io;

use elysia_api::GROUP;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;

use super::client::{Question, Reader};
use super::printer::Printer;
use super::session::{Session, Stop};
use super::{Exit, Output, Target, columns, encode};

/// Who writes, in Events of the plug-in.
const CONTROLLER: &str = "elysia.dev/kubectl-elysia";
/// Longest note and longest instance that the API server takes.
const NOTE_BYTES: usize = 1024;
const INSTANCE_BYTES: usize = 128;

/// What no Event can tell.
const UNKNOWN: &str = "note: WHO wrote the Event. On whose word the operator acted stands in its log (target elysia_audit), as far as the\n\
    cluster tells; the person behind it only the API server's audit log knows, and an Event may be lost: docs/audit.md\n";

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// Name of an object; all of the namespace when left out
    name: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One change.
pub(super) struct Change<'a> {
    /// `Removed`, `Cleared`, `Created`; with `Failed` behind it when it did not come off.
    pub(super) reason: &'a str,
    /// The command.
    pub(super) action: &'a str,
    /// What was done, and what came of it.
    pub(super) note: String,
    pub(super) failed: bool,
}

/// Writes an Event about the object, as far as the user may.
pub(super) async fn record<K>(session: &Session, object: &K, user: Option<&str>, change: Change<'_>)
where
    K: Resource<DynamicType = ()>,
{
    let now = Timestamp::now();
    let name = object.meta().name.clone().unwrap_or_default();
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{}", uuid::Uuid::new_v4().simple())),
            namespace: Some(session.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        regarding: Some(ObjectReference { namespace: Some(session.namespace.clone()), ..object.object_ref(&()) }),
        reason: Some(change.reason.to_owned()),
        action: Some(change.action.to_owned()),
        note: Some(cut(&change.note, NOTE_BYTES)),
        type_: Some(if change.failed { "Warning" } else { "Normal" }.to_owned()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(cut(user.unwrap_or("unknown"), INSTANCE_BYTES)),
        ..Event::default()
    };
    let api: Api<Event> = session.api();
    let written = session.reader.within(api.create(&PostParams::default(), &event)).await;
    if !matches!(written, Ok(Ok(_))) {
        session.printer.note("note: this change stands in no Event: your account may not create them\n");
    }
}

fn cut(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    text[..end].to_owned()
}

/// One line of the audit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    time: String,
    who: String,
    kind: String,
    name: String,
    what: String,
    outcome: String,
    message: String,
}

pub(super) async fn run(args: &AuditArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let done = match Reader::connect(target).await {
        Ok(reader) => match Session::new(reader, target, printer) {
            Ok(session) => list(args, &session).await,
            Err(stop) => Err(stop),
        },
        Err(unread) => Err(unread.into()),
    };
    super::session::end(done, printer)
}

async fn list(args: &AuditArgs, session: &Session) -> Result<Exit, Stop> {
    let entries = read(session, args.name.as_deref()).await?;
    let text = match args.output {
        Output::Table if entries.is_empty() => {
            "no Events; Kubernetes keeps them for an hour unless it was told otherwise\n".to_owned()
        }
        Output::Table => table(&entries),
        output => encode(&entries, output)?,
    };
    session.printer.data(&text)?;
    if args.output == Output::Table {
        session.printer.note(UNKNOWN);
    }
    Ok(Exit::Healthy)
}

pub(super) async fn read(session: &Session, name: Option<&str>) -> Result<Vec<Entry>, Stop> {
    let api: Api<Event> = session.api();
    let question = Question::new::<Event>("list", Some(&session.namespace));
    let events = session.reader.ask(&question, api.list(&ListParams::default())).await?;
    let ours = |event: &Event| {
        let regarding = event.regarding.as_ref();
        regarding.is_some_and(|regarding| {
            let group = regarding.api_version.as_deref().unwrap_or_default();
            group.starts_with(GROUP) && name.is_none_or(|name| regarding.name.as_deref() == Some(name))
        })
    };
    Ok(in_order(events.into_iter().filter(ours).collect()))
}

/// Oldest first, by the microsecond: the steps of one round lie within one second.
fn in_order(mut events: Vec<Event>) -> Vec<Entry> {
    events.sort_by_key(last_seen);
    events.into_iter().map(entry).collect()
}

/// When it happened, of a series for the last time.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let made = event.creation_timestamp().map(|time| time.0);
    series.or(first).or(old).or(made)
}

fn entry(event: Event) -> Entry {
    let time = last_seen(&event);
    let times = event.series.as_ref().map_or(1, |series| series.count);
    let note = event.note.unwrap_or_default();
    let controller = event.reporting_controller.unwrap_or_default();
    let instance = event.reporting_instance.unwrap_or_default();
    let who = if controller == CONTROLLER { instance } else { controller };
    let regarding = event.regarding.unwrap_or_default();
    Entry {
        time: time.map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default(),
        who,
        kind: regarding.kind.unwrap_or_default(),
        name: regarding.name.unwrap_or_default(),
        what: event.reason.unwrap_or_default(),
        outcome: if event.type_.as_deref() == Some("Warning") { "trouble" } else { "fine" }.to_owned(),
        message: if times > 1 { format!("{note} ({times} times)") } else { note },
    }
}

pub(super) fn table(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        vec![
            entry.time.clone(),
            entry.who.clone(),
            format!("{}/{}", entry.kind.to_lowercase(), entry.name),
            entry.what.clone(),
            entry.outcome.clone(),
            entry.message.clone(),
        ]
    };
    let head = ["TIME", "WHO", "OBJECT", "WHAT", "OUTCOME", "MESSAGE"];
    columns::render(&head, &entries.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(time: &str, reason: &str, more: &serde_json::Value) -> Event {
        let mut event = json!({
            "metadata": {"name": reason}, "eventTime": time, "reason": reason, "type": "Normal",
            "note": "a note", "reportingController": "elysia-operator", "reportingInstance": "elysia-operator-0",
            "regarding": {"kind": "ElysiaCollection", "name": "articles", "apiVersion": "elysia.dev/v1alpha1"},
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn the_steps_of_one_second_stand_in_their_order() {
        let series = json!({"series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:09.000000Z"}});
        let plugin = json!({"reportingController": CONTROLLER, "reportingInstance": "alice", "type": "Warning"});
        let entries = in_order(vec![
            event("2026-01-01T00:00:00.300000Z", "CollectionDeleted", &json!({})),
            event("2026-01-01T00:00:00.100000Z", "DriftFound", &series),
            event("2026-01-01T00:00:00.200000Z", "ApprovalConsumed", &json!({})),
            event("2026-01-01T00:00:01.000000Z", "ClearedFailed", &plugin),
        ]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&table(&entries)).to_string(), @r"
        TIME                   WHO               OBJECT                      WHAT                OUTCOME   MESSAGE
        2026-01-01 00:00:00Z   elysia-operator   elysiacollection/articles   ApprovalConsumed    fine      a note
        2026-01-01 00:00:00Z   elysia-operator   elysiacollection/articles   CollectionDeleted   fine      a note
        2026-01-01 00:00:01Z   alice             elysiacollection/articles   ClearedFailed       trouble   a note
        2026-01-01 00:00:09Z   elysia-operator   elysiacollection/articles   DriftFound          fine      a note (3 times)
        ");
    }
}
