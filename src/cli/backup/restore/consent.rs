//! Whom a restore asks before it changes what is there.

use std::fmt::Write as _;

use elysia_engine::backup::restore::{Conflict, Preflight};
use elysia_weaviate::{Client, SchemaRead};

use super::RestoreArgs;
use crate::cli::client::chain;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::{Stop, demand};
use crate::cli::way::Way;
use crate::worker::backup::work::RestoreWork;

/// What a person agreed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Consent {
    /// That objects which are there change; or nothing of them is changed in this manner.
    ToChanges,
    /// Nobody was asked, since there was nothing that would change: so there must be nothing when it begins. To look at a
    /// large run takes its time, and a writer may have begun meanwhile.
    ToNothing,
}

/// Where nobody is asked: what that stands for.
pub(in super::super) fn unasked(conflict: Conflict, makes_class: bool, has_written: bool) -> Option<Consent> {
    match conflict {
        Conflict::Fail | Conflict::Skip => Some(Consent::ToChanges),
        // One that goes on with what it has written was agreed to when it began.
        Conflict::Overwrite | Conflict::Merge if has_written => Some(Consent::ToChanges),
        Conflict::Overwrite | Conflict::Merge => makes_class.then_some(Consent::ToNothing),
    }
}

/// Whether objects are put into a collection that is there, be it beside others. Into one that is protected nobody puts any
/// unasked, as the operator does not; one that goes on was agreed to when it began.
pub(in super::super) fn fills(conflict: Conflict, makes_class: bool, has_written: bool) -> bool {
    match conflict {
        Conflict::Fail => false,
        Conflict::Skip | Conflict::Overwrite | Conflict::Merge => !makes_class && !has_written,
    }
}

/// Overwriting and merging change what is there: a person who knows how much that is types the number.
pub(super) async fn consent(
    args: &RestoreArgs,
    work: &RestoreWork,
    plan: &Preflight,
    way: &Way,
    printer: Printer,
) -> Result<Consent, Stop> {
    let (makes_class, has_written) = (plan.class.is_some(), plan.receipt.has_written());
    if fills(work.conflict, makes_class, has_written)
        && let Some(pattern) = way.protection(&work.into).filter(|_| !args.override_protection)
    {
        return Err(Stop::refused(
            format!("{} is protected by {pattern}; nothing was changed", work.into),
            "add --override-protection if you are sure",
        ));
    }
    if let Some(consent) = unasked(work.conflict, makes_class, has_written) {
        return Ok(consent);
    }
    let (objects, blind) = count(way, &work.into).await;
    if objects == Some(0) && blind.is_empty() {
        // Where one address is all that is known nothing proves that there are none, and a person would have to name nodes.
        return Ok(if way.nodes.is_empty() { Consent::ToChanges } else { Consent::ToNothing });
    }
    let doing = if work.conflict == Conflict::Merge { "changes" } else { "writes over" };
    let count = objects.map_or_else(|| "an unknown number".to_owned(), |objects| objects.to_string());
    let mut text = format!(
        "This {doing} objects of collection {} whose ids are in the run:\n  objects   {count}\n  cluster   {}\n",
        plain(&work.into),
        plain(&way.address)
    );
    for blind in blind {
        // Writing to a String cannot fail.
        writeln!(text, "  not counted: {}", plain(&blind)).ok();
    }
    printer.note(&text);
    if args.yes {
        return Ok(Consent::ToChanges);
    }
    match objects {
        Some(objects) => {
            let question = format!("Type the number of objects, {objects}, to go on: ");
            demand(printer, &question, &objects.to_string())
        }
        None => demand(printer, &format!("Type the name of the collection, {}, to go on: ", work.into), &work.into),
    }?;
    Ok(Consent::ToChanges)
}

/// Objects at the node with the most: one that lags must not make a collection look smaller than it is.
async fn count(way: &Way, name: &str) -> (Option<u64>, Vec<String>) {
    let clients: Vec<Client> = if way.nodes.is_empty() { vec![way.common.clone()] } else { way.nodes.clone() };
    let (mut most, mut blind) = (None, Vec::new());
    for client in clients {
        match client.object_count(name).await {
            Ok(Ok(objects)) => most = most.max(Some(objects)),
            Ok(Err(why)) => blind.push(format!("{}: {why}", client.address())),
            Err(error) => blind.push(format!("{}: {}", client.address(), chain(&error))),
        }
    }
    if let Ok(Some(class)) = way.common.class(name, SchemaRead::Leader).await
        && class["multiTenancyConfig"]["enabled"] == true
    {
        // A count of all tenants is one of those that are awake.
        blind.push("tenants that are not active".to_owned());
    }
    (most, blind)
}
