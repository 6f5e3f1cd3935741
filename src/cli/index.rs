//! `kubectl elysia index`: feeds and their files.

mod errors;
mod find;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use std::io;

use super::client::Reader;
use super::printer::Printer;
use super::session::{self, Session, Stop};
use super::{Exit, Target};

/// Arguments of `index`.
#[derive(Debug, clap::Args)]
pub(super) struct IndexArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// How do the feeds stand? Lines, what became of them, and how far the run is
    Status(status::StatusArgs),
    /// What was rejected, where it stands, and why
    Errors(errors::ErrorsArgs),
    /// Have the operator run a feed once more
    Run(start::RunArgs),
    /// Are these files feeds? Reads every line as a run would, asks no cluster and changes nothing
    Validate(validate::ValidateArgs),
}

pub(super) async fn run(args: &IndexArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    session::end(dispatch(&args.command, target, printer).await, printer)
}

async fn dispatch(command: &Command, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    match command {
        // Asks no cluster, so it needs no kubeconfig.
        Command::Validate(args) => Ok(validate::run(args, printer).await?),
        Command::Status(args) => status::run(args, target, Reader::connect(target).await?, printer).await,
        Command::Errors(args) => errors::run(args, &connect(target, printer).await?).await,
        Command::Run(args) => start::run(args, &connect(target, printer).await?).await,
    }
}

async fn connect(target: &Target, printer: Printer) -> Result<Session, Stop> {
    Session::new(Reader::connect(target).await?, target, printer)
}
