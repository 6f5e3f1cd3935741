//! `kubectl elysia backup`, `restore` and `catalog`: runs in a store, straight, without any custom resource; but for
//! `backup schedule`, which makes one.

mod abandon;
mod address;
mod bar;
mod base;
mod cleanup;
mod create;
mod drill;
mod keys;
#[cfg(test)]
mod laptop_tests;
mod look;
mod place;
mod remove;
mod restore;
mod schedule;
#[cfg(test)]
mod tests;
mod verify;

use std::io;

use super::printer::Printer;
use super::session::{self, Stop};
use super::{Exit, Target};
use crate::worker::backup::Failure;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Back collections up from here: one run
    Create(Box<create::CreateArgs>),
    /// Back collections up at times: makes or changes a `CollectionBackup`
    Schedule(Box<schedule::ScheduleArgs>),
    /// List the runs of a store
    #[command(visible_alias = "list")]
    Ls(look::LsArgs),
    /// One run in detail
    Show(look::ShowArgs),
    /// Is a run what was written? Reads all of it back, or restores it and compares
    Verify(Box<verify::VerifyArgs>),
    /// Delete runs
    Rm(remove::RmArgs),
    /// Delete runs by rules; says what it would do, and does it with --yes
    Cleanup(Box<cleanup::CleanupArgs>),
    /// Give up a restore that was cut off, so that its collection is backed up again
    Abandon(Box<abandon::AbandonArgs>),
}

/// Arguments of `catalog`: the same commands under an older name.
#[derive(Debug, clap::Args)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    command: Catalog,
}

#[derive(Debug, clap::Subcommand)]
enum Catalog {
    /// As `backup ls`
    #[command(visible_alias = "ls")]
    List(look::LsArgs),
    /// As `backup show`
    Show(look::ShowArgs),
    /// As `backup verify`
    Verify(Box<verify::VerifyArgs>),
    /// As `backup cleanup`
    Cleanup(Box<cleanup::CleanupArgs>),
}

pub(super) use self::bar::bar;
pub(super) use self::create::interrupted;
pub(super) use self::place::{open as open_store, own_receipts};
/// Arguments of `restore`.
pub(super) use self::restore::RestoreArgs;

pub(super) async fn run(args: &BackupArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let done = match &args.command {
        Command::Create(args) => create::run(args, target, printer).await,
        Command::Schedule(args) => schedule::run(args, target, printer).await,
        Command::Ls(args) => look::ls(args, printer).await,
        Command::Show(args) => look::show(args, printer).await,
        Command::Verify(args) => verify::run(args, target, printer).await,
        Command::Rm(args) => remove::run(args, printer).await,
        Command::Cleanup(args) => cleanup::run(args, printer).await,
        Command::Abandon(args) => abandon::run(args, printer).await,
    };
    session::end(done, printer)
}

pub(super) async fn catalog(args: &CatalogArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let done = match &args.command {
        Catalog::List(args) => look::ls(args, printer).await,
        Catalog::Show(args) => look::show(args, printer).await,
        Catalog::Verify(args) => verify::run(args, target, printer).await,
        Catalog::Cleanup(args) => cleanup::run(args, printer).await,
    };
    session::end(done, printer)
}

pub(super) async fn restore(args: &RestoreArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    session::end(restore::run(args, target, printer).await, printer)
}

/// What a failure is for a person: a definite no, or something that may be otherwise in a minute.
pub(super) fn stopped(failure: &Failure, next: &str) -> Stop {
    if failure.is_permanent {
        Stop::refused(failure.message.clone(), next)
    } else {
        Stop::unknown(failure.message.clone(), next)
    }
}
