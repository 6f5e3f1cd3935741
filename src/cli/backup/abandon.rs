//! `backup abandon`: gives up a restore that was cut off and that nobody goes on with. Until then its collection is in no
//! backup, and the run that it reads stays.

use elysia_engine::backup::catalogue;
use elysia_engine::backup::layout;
use elysia_engine::backup::ports::Store as _;
use elysia_engine::backup::restore::{Receipt, State};
use elysia_engine::backup::stored::StoredError;
use jiff::Timestamp;

use super::place::{PolicyArgs, StoreArgs, is_own};
use super::stopped;
use crate::cli::Exit;
use crate::cli::columns::{self, UNKNOWN};
use crate::cli::health::duration::age;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::{Stop, demand};
use crate::worker::backup::Failure;

/// Arguments of `backup abandon`.
#[derive(Debug, clap::Args)]
pub(super) struct AbandonArgs {
    /// Id of the restore's receipt; when left out, all that are not over are listed
    #[arg(value_name = "RESTORE")]
    restore: Option<String>,
    /// Do not ask for the restore's id
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// A receipt with its id, or why it cannot be read.
pub(super) type Found = (String, Result<Receipt, StoredError>);

pub(super) async fn run(args: &AbandonArgs, printer: Printer) -> Result<Exit, Stop> {
    let store = args.store.open_there()?;
    let next = format!("kubectl elysia backup abandon {}", args.store.again());
    let asked = catalogue::receipts(&store).await;
    let found = asked.map_err(|error| stopped(&Failure::from(error), "check the store's address and key"))?;
    let Some(id) = &args.restore else {
        let open: Vec<&Found> = found.iter().filter(|(_, receipt)| is_open(receipt.as_ref().ok())).collect();
        if open.is_empty() {
            printer.note(&format!("every restore that has a receipt in {} is over\n", args.store.store));
            return Ok(Exit::Healthy);
        }
        printer.data(&table(&open, Timestamp::now()))?;
        return Ok(Exit::Healthy);
    };
    let Some((id, receipt)) = found.iter().find(|(found, _)| found == id) else {
        return Err(Stop::refused(format!("{} has no receipt {id}; nothing was deleted", args.store.store), next));
    };
    if !is_open(receipt.as_ref().ok()) {
        let message =
            format!("restore {id} is over, and its receipt keeps it from being done twice; nothing was deleted");
        return Err(Stop::refused(message, next));
    }
    // Nobody but this person has receipts in their own folder, which has no owner.
    if !is_own(&args.store.work()?) {
        args.policy.owner(&store, &args.store).await?;
    }
    printer.note(&warning(id, receipt, Timestamp::now()));
    if !args.yes {
        demand(printer, &format!("Type the restore's id, {id}, to give it up: "), id)?;
    }
    // To type it takes its time, and somebody may go on with it meanwhile.
    let asked = catalogue::receipts(&store).await;
    let again = asked.map_err(|error| stopped(&Failure::from(error), &next))?;
    if let Some(why) = moved_on(receipt, again.iter().find(|(found, _)| found == id).map(|(_, receipt)| receipt)) {
        return Err(Stop::refused(format!("restore {id} {why}; nothing was deleted"), next));
    }
    let removed = store.remove(&[layout::receipt(id)]).await;
    removed.map_err(|error| stopped(&Failure::from(error), &next))?;
    printer.note(&format!("restore {id} given up\n"));
    Ok(Exit::Healthy)
}

/// Whether it is not over; what cannot be read may not be.
fn is_open(receipt: Option<&Receipt>) -> bool {
    receipt.is_none_or(|receipt| receipt.state == State::Running)
}

/// What became of a restore since it was shown, if anything did.
pub(super) fn moved_on(
    shown: &Result<Receipt, StoredError>,
    now: Option<&Result<Receipt, StoredError>>,
) -> Option<&'static str> {
    match (shown, now) {
        (_, None) => Some("has no receipt any more"),
        (Ok(shown), Some(Ok(now))) if shown == now => None,
        (Err(_), Some(Err(_))) => None,
        (_, Some(Ok(now))) if now.state == State::Done => Some("is over by now"),
        (_, Some(_)) => Some("is under way: its receipt was written anew meanwhile. End its worker first"),
    }
}

pub(super) fn table(found: &[&Found], now: Timestamp) -> String {
    let row = |(id, receipt): &&Found| match receipt {
        Ok(receipt) => vec![
            id.clone(),
            receipt.run.clone(),
            receipt.collection.clone(),
            receipt.into.clone(),
            if receipt.has_written() { "yes" } else { "no" }.to_owned(),
            format!("{} ago", age(receipt.updated_at, now)),
            receipt.target.clone(),
        ],
        Err(_) => [id.as_str()].into_iter().chain([UNKNOWN; 6]).map(str::to_owned).collect(),
    };
    let head = ["RESTORE", "RUN", "COLLECTION", "INTO", "WRITTEN", "LAST HEARD OF", "CLUSTER"];
    columns::render(&head, &found.iter().map(row).collect::<Vec<_>>())
}

/// What a person should know before.
pub(super) fn warning(id: &str, receipt: &Result<Receipt, StoredError>, now: Timestamp) -> String {
    let mut lines = vec![format!("This gives up restore {}:", plain(id))];
    match receipt {
        Ok(receipt) => {
            let Receipt { run, collection, into, target, updated_at, .. } = receipt;
            lines.push(format!("  of           {} of run {}", plain(collection), plain(run)));
            lines.push(format!("  into         {} of {}", plain(into), plain(target)));
            lines.push(format!(
                "  heard of     {} ago; a worker that is at it has to be ended first",
                age(*updated_at, now)
            ));
            if receipt.has_written() {
                lines.push(
                    "  written      objects, which stay: the collection may be half of what it was to be".to_owned(),
                );
            }
            lines.push(format!(
                "  from now on  {} is backed up as it is, and run {} may be retired",
                plain(into),
                plain(run)
            ));
        }
        Err(error) => lines.push(format!("  it cannot be read: {}", plain(&error.to_string()))),
    }
    lines.join("\n") + "\n"
}
