//! A word on an IndexSource, by which a person asks the operator for something, or remembers something.

use elysia_api::IndexSource;
use elysia_api::names::PLUGIN_MANAGER;
use kube::api::{Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::json;

use super::super::Exit;
use super::super::audit::{self, Change};
use super::super::client::complaint;
use super::super::owner;
use super::super::session::{Session, Stop};

/// What is to be written.
pub(super) struct Mark<'a> {
    /// The annotation.
    pub(super) key: &'a str,
    /// Its value.
    pub(super) value: &'a str,
    /// Reason of the Event when it is written, and when it is refused; the command.
    pub(super) change: (&'a str, &'a str, &'a str),
    /// What the Event says.
    pub(super) note: String,
    /// Whether it is written although a GitOps tool owns the object.
    pub(super) force: bool,
    /// Whether it is only checked.
    pub(super) dry_run: bool,
}

/// Writes it. `Some` ends the command: nothing was written, because a tool owns the object, or because it was only tried.
pub(super) async fn write(session: &Session, feed: &IndexSource, mark: Mark<'_>) -> Result<Option<Exit>, Stop> {
    let Mark { key, value, change: (asked, refused, action), note, force, dry_run } = mark;
    let (name, namespace, printer) = (feed.name_any(), &session.namespace, session.printer);
    if let Some(tool) = owner::of(&feed.metadata).filter(|_| !force) {
        let value = json!(value);
        printer.note(&format!(
            "{tool} owns {name} and may undo a change made here. Make it in its repository:\n  {key}: {value}\nor add --force\n"
        ));
        return Ok(Some(Exit::Fault));
    }
    let patch = json!({"metadata": {"uid": feed.metadata.uid, "annotations": {key: value}}});
    let parameters = PatchParams { field_manager: Some(PLUGIN_MANAGER.to_owned()), dry_run, ..PatchParams::default() };
    let api = session.api::<IndexSource>();
    let next = format!("kubectl auth can-i patch indexsource/{name} -n {namespace}");
    let answer = session.reader.within(api.patch(&name, &parameters, &Patch::Merge(patch))).await;
    let answer = answer.map_err(|message| Stop::unknown(message, next.clone()))?;
    let answer = answer.map_err(|error| Stop::refused(format!("{name} was not changed: {}", complaint(&error)), next));
    if !dry_run {
        let failure = answer.as_ref().err().map(|_| "the API server refused it");
        let change = Change {
            reason: if failure.is_some() { refused } else { asked },
            action,
            note: failure.map_or(note, str::to_owned),
            failed: failure.is_some(),
        };
        audit::record(session, feed, session.user().await.as_deref(), change).await;
    }
    answer?;
    if dry_run {
        printer.note("dry run: the API server would accept it, and nothing was started\n");
        return Ok(Some(Exit::Healthy));
    }
    Ok(None)
}
