//! `kubectl elysia collection`: what lives on the servers and what is declared, side by side; and the few changes that
//! a person makes by hand.

mod catalogue;
mod change;
mod clear;
mod create;
mod health;
mod look;
pub(in crate::cli) mod migrate;
mod optimize;
mod remove;
mod stats;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use super::client::Reader;
use super::printer::Printer;
use super::session::{self, Session, Stop};
use super::{Exit, Target};

/// Arguments of `collection`.
#[derive(Debug, clap::Args)]
pub(super) struct CollectionArgs {
    #[command(subcommand)]
    command: Command,
    /// WeaviateCluster; the only one in the namespace when left out
    #[arg(long, global = true, value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List collections: those on the servers and those that are declared
    Ls(look::LsArgs),
    /// One collection in detail
    Show(look::ShowArgs),
    /// Objects, shards and answering times at each node
    Stats(stats::StatsArgs),
    /// Is the collection well? Exit codes as of `kubectl elysia health`
    Health(health::HealthArgs),
    /// Advice about settings; nothing is changed
    Optimize(optimize::OptimizeArgs),
    /// Declare a collection: creates an ElysiaCollection
    Create(create::CreateArgs),
    /// Delete collections with all their objects
    Rm(remove::RmArgs),
    /// Copy a collection into another one, here or in another cluster, while others write to it
    Migrate(Box<migrate::MigrateArgs>),
    /// Delete all objects of a collection and keep its settings and tenants
    Clear(clear::ClearArgs),
}

/// How a change is made.
#[derive(Clone, Debug, clap::Args)]
struct ChangeArgs {
    /// Say what would be done, and let the API server check it; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = super::health::duration)]
    timeout: Duration,
}

/// How a deletion is allowed.
#[derive(Clone, Debug, clap::Args)]
struct ConsentArgs {
    /// Do not ask for the number of objects
    #[arg(short, long)]
    yes: bool,
    /// Act on a protected collection; needs the verb `override-protection` on `elysiacollections.elysia.dev`
    #[arg(long)]
    override_protection: bool,
    /// Act although Argo CD or Flux owns the object, which will put it back
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: &CollectionArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    if let Command::Migrate(migrate) = &args.command {
        // It may need no Kubernetes.
        return session::end(migrate::migrate(migrate, args.cluster.as_deref(), target, printer).await, printer);
    }
    let done = match Reader::connect(target).await {
        Ok(reader) => match Session::new(reader, target, printer) {
            Ok(session) => dispatch(args, &session, target).await,
            Err(stop) => Err(stop),
        },
        Err(unread) => Err(unread.into()),
    };
    session::end(done, printer)
}

async fn dispatch(args: &CollectionArgs, session: &Session, target: &Target) -> Result<Exit, Stop> {
    let cluster = args.cluster.as_deref();
    match &args.command {
        Command::Ls(args) => look::ls(args, session, cluster).await,
        Command::Show(args) => look::show(args, session, cluster).await,
        Command::Stats(args) => stats::stats(args, session, cluster).await,
        Command::Health(args) => health::health(args, session, cluster).await,
        Command::Optimize(args) => optimize::optimize(args, session, cluster).await,
        Command::Create(args) => create::create(args, session, cluster).await,
        Command::Rm(args) => remove::rm(args, session, cluster).await,
        Command::Clear(args) => clear::clear(args, session, cluster).await,
        Command::Migrate(args) => migrate::migrate(args, cluster, target, session.printer).await,
    }
}
