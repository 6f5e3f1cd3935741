//! `kubectl elysia index`: feeds and their files.

mod validate;

use std::io;

use super::printer::Printer;
use super::{Exit, Target};

/// Arguments of `index`.
#[derive(Debug, clap::Args)]
pub(super) struct IndexArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Are these files feeds? Reads every line as a run would, asks no cluster and changes nothing
    Validate(validate::ValidateArgs),
}

pub(super) async fn run(args: &IndexArgs, _target: &Target, printer: Printer) -> io::Result<Exit> {
    match &args.command {
        Command::Validate(args) => validate::run(args, printer).await,
    }
}
