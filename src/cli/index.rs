//! `kubectl elysia index`: feeds and their files.

mod direct;
mod errors;
mod find;
mod ledger;
mod mark;
mod perf;
mod replay;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod tune;
mod validate;
mod watch;

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
    /// Carry rejected lines out again, once what refused them was mended
    Replay(replay::ReplayArgs),
    /// Have the operator run a feed once more; or index files from here: with `--collection`
    Run(start::RunArgs),
    /// Index what comes in on standard input
    Sync(direct::SyncArgs),
    /// Index new files of a folder, and what is appended to them, until Ctrl-C
    Watch(watch::WatchArgs),
    /// How fast are the feeds, what does it cost the servers, and what holds them up?
    Perf(perf::PerfArgs),
    /// Which settings are fastest on this cluster? Tries them with a sample, in a collection of its own
    Tune(tune::TuneArgs),
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
        Command::Perf(args) => perf::run(args, target, Reader::connect(target).await?, printer).await,
        Command::Errors(args) => errors::run(args, &connect(target, printer).await?).await,
        Command::Replay(args) => replay::run(args, &connect(target, printer).await?).await,
        Command::Run(args) => match args.task()? {
            start::Task::Feed(name) => start::run(name, args, &connect(target, printer).await?).await,
            start::Task::Files { files, collection } => {
                direct::run(files, collection, &args.direct, target, printer).await
            }
        },
        Command::Watch(args) => watch::run(args, target, printer).await,
        Command::Tune(args) => tune::run(args, target, printer).await,
        Command::Sync(args) => direct::sync(args, target, printer).await,
    }
}

async fn connect(target: &Target, printer: Printer) -> Result<Session, Stop> {
    Session::new(Reader::connect(target).await?, target, printer)
}
