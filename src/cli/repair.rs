//! `kubectl elysia repair`: the plans of collections, feeds, backups and restores. Nothing here repairs: the operator does, when a plan is approved.

mod act;
mod find;
mod journal;
mod show;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::client::Reader;
use super::health::duration;
use super::printer::Printer;
use super::session::{self, Session, Stop};
use super::{Exit, Output, Target};
use find::{Asked, Kind};

pub(super) use act::changed;

/// Arguments of `repair`.
#[derive(Debug, clap::Args)]
pub(super) struct RepairArgs {
    #[command(subcommand)]
    command: RepairCommand,
}

#[derive(Debug, Subcommand)]
enum RepairCommand {
    /// Show what the operator would do, and what it waits for
    Plan(PlanArgs),
    /// Approve the plan of a collection, a feed, a backup or a restore, after showing it
    Approve(ApproveArgs),
    /// Call off an approved plan, or propose the settings from before it
    Rollback(RollbackArgs),
    /// Print the schema that was kept before a collection was recreated
    RestoreSchema(RestoreSchemaArgs),
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// Whose, as `NAME`, `collection/NAME`, `feed/NAME`, `backup/NAME` or `restore/NAME`; all that have a plan when left
    /// out
    #[arg(value_name = "NAME", value_parser = Asked::parse)]
    name: Option<Asked>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// How a change is made.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Change {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Let the API server check it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change the object here although a GitOps tool owns it
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct ApproveArgs {
    /// Whose, as `NAME`, `collection/NAME`, `feed/NAME`, `backup/NAME` or `restore/NAME`
    #[arg(value_name = "NAME", value_parser = Asked::parse)]
    name: Asked,
    /// Approve only the plan with this hash
    #[arg(long, value_name = "HASH", value_parser = NonEmptyStringValueParser::new())]
    hash: Option<String>,
    #[command(flatten)]
    change: Change,
    /// Wait until it is carried out
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    timeout: Duration,
}

#[derive(Debug, clap::Args)]
struct RollbackArgs {
    /// ElysiaCollection
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, clap::Args)]
struct RestoreSchemaArgs {
    /// ElysiaCollection; it may be gone
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// How to print: JSON unless YAML is asked for
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Approves the plan of a collection, as `repair approve` does, if it has this hash.
pub(super) async fn approve_migration(
    name: &str,
    hash: Option<String>,
    change: &Change,
    session: &Session,
) -> Result<Exit, Stop> {
    let args = ApproveArgs {
        name: Asked { kind: Some(Kind::Collection), name: name.to_owned() },
        hash,
        change: change.clone(),
        wait: false,
        timeout: Duration::ZERO,
    };
    act::approve(&args, session).await
}

pub(super) async fn run(args: &RepairArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let done = match Reader::connect(target).await {
        Ok(reader) => dispatch(args, target, reader, printer).await,
        Err(unread) => Err(unread.into()),
    };
    session::end(done, printer)
}

async fn dispatch(args: &RepairArgs, target: &Target, reader: Reader, printer: Printer) -> Result<Exit, Stop> {
    // Plans of all namespaces can be shown; everything else is about one object.
    let session = |reader| Session::new(reader, target, printer);
    match &args.command {
        RepairCommand::Plan(args) => show::run(args, target, &reader, printer).await,
        RepairCommand::Approve(args) => act::approve(args, &session(reader)?).await,
        RepairCommand::Rollback(args) => act::rollback(args, &session(reader)?).await,
        RepairCommand::RestoreSchema(args) => journal::print(args, &session(reader)?).await,
    }
}
