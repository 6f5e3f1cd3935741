//! `kubectl elysia migrate`: where the migration of a collection stands, whether one is possible, and the spec that asks for
//! one. Nothing here migrates: the operator does, by the spec.

mod change;
mod hand;
mod look;
#[cfg(test)]
mod tests;
mod versions;

use std::io;
use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use elysia_api::{ElysiaCollection, names};
use elysia_core::collection::migration::Journal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;

use super::client::{Question, Reader};
use super::printer::Printer;
use super::repair::Change;
use super::session::{self, Session, Stop};
use super::{Exit, Output, Target};

/// What the operator calls the plan of a migration.
const MIGRATE: &str = "Migrate";

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Where the migration of a collection stands, and what was migrated before
    Status(StatusArgs),
    /// What the declared settings, or those of a file, would change, and whether a migration is possible; changes nothing
    Validate(ValidateArgs),
    /// Declare other settings, from a file, ask for a version of `spec.migrations`, or approve the switch that waits
    Up(UpArgs),
    /// Declare the settings from before the migration again, or an earlier version of `spec.migrations`, or call off the one
    /// that runs
    Rollback(RollbackArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// ElysiaCollection
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct ValidateArgs {
    /// ElysiaCollection
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// File with the settings as Weaviate's documentation writes them, JSON or YAML; `-` for stdin; those of the spec when
    /// left out
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
struct UpArgs {
    /// ElysiaCollection
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// File with the settings as Weaviate's documentation writes them, JSON or YAML; `-` for stdin
    #[arg(long, value_name = "FILE", group = "what")]
    schema: Option<PathBuf>,
    /// What these settings are called from now on
    #[arg(long, value_name = "VERSION", group = "what", value_parser = NonEmptyStringValueParser::new())]
    to_version: Option<String>,
    /// The version of `spec.migrations` that the collection is to have; it is brought there step by step
    #[arg(long, value_name = "VERSION", group = "what", conflicts_with_all = ["schema", "to_version"],
          value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,
    /// Approve the switch that waits
    #[arg(long, group = "what", conflicts_with_all = ["schema", "to_version", "to"])]
    approve: bool,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, clap::Args)]
struct RollbackArgs {
    /// ElysiaCollection
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// How many versions of `spec.migrations` to go back
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    steps: u8,
    #[command(flatten)]
    change: Change,
}

pub(super) async fn run(args: &MigrateArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let done = match Reader::connect(target).await {
        Ok(reader) => dispatch(args, target, reader, printer).await,
        Err(unread) => Err(unread.into()),
    };
    session::end(done, printer)
}

async fn dispatch(args: &MigrateArgs, target: &Target, reader: Reader, printer: Printer) -> Result<Exit, Stop> {
    let session = Session::new(reader, target, printer)?;
    match &args.command {
        MigrateCommand::Status(args) => look::status(args, &session).await,
        MigrateCommand::Validate(args) => look::validate(args, &session).await,
        MigrateCommand::Up(args) => change::up(args, &session).await,
        MigrateCommand::Rollback(args) => change::rollback(args, &session).await,
    }
}

async fn get(session: &Session, name: &str) -> Result<ElysiaCollection, Stop> {
    let question = Question::named::<ElysiaCollection>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, session.api::<ElysiaCollection>().get_opt(name)).await?;
    found.ok_or_else(|| {
        let message = format!("there is no ElysiaCollection {name} in namespace {}", session.namespace);
        Stop::refused(message, "kubectl get ecol -A")
    })
}

/// The journal of an object's migrations; `None` when nothing was ever migrated.
async fn journal(session: &Session, object: &ElysiaCollection) -> Result<Option<Journal>, Stop> {
    let name = names::migration_journal(&object.name_any(), &object.uid().unwrap_or_default());
    let question = Question::named::<ConfigMap>("get", Some(&session.namespace), &name);
    let config = session.reader.ask(&question, session.api::<ConfigMap>().get_opt(&name)).await?;
    let Some(text) = config.and_then(|config| config.data?.remove(names::JOURNAL_KEY)) else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Stop::unknown(format!("ConfigMap {name} holds no journal: {error}"), ""))
}
