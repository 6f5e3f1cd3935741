//! `kubectl elysia`: parse, fetch, judge, print, exit code.
//!
//! Judging is `elysia_core::health`, which reads the statuses that the controllers write; printing is [`printer`] and
//! nobody else.

mod audit;
mod backup;
mod client;
mod collection;
mod columns;
mod completion;
#[cfg(test)]
mod documents_tests;
mod forward;
mod health;
mod index;
mod migrate;
mod owner;
mod printer;
mod repair;
mod session;
#[cfg(test)]
mod tests;
mod version;
mod way;
mod why;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand, ValueEnum};
use elysia_core::health::Verdict;

use printer::Printer;

/// Ask about Weaviate clusters, their collections, their feeds and their backups
#[derive(Debug, Parser)]
#[command(name = "kubectl-elysia", bin_name = "kubectl elysia", version, color = ColorChoice::Auto)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 healthy or done, 1 a definite fault, 2 something is unknown, 64 wrong usage")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to colour the output; `auto` colours on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is everything as declared? Clusters, nodes, collections, feeds and the operator itself
    Health(health::HealthArgs),
    /// Why is an object as it is? From its condition down to the cause, and the next step
    Why(why::WhyArgs),
    /// Plans that repair collections: show, approve, call off, and bring a schema back
    Repair(repair::RepairArgs),
    /// Migrate a collection with its objects to other settings, behind an alias
    #[command(arg_required_else_help = true)]
    Migrate(migrate::MigrateArgs),
    /// Collections: list, look into, declare, delete, clear
    #[command(visible_alias = "col", arg_required_else_help = true)]
    Collection(collection::CollectionArgs),
    /// Feeds and their files
    #[command(arg_required_else_help = true)]
    Index(index::IndexArgs),
    /// Backups: make, list, verify and delete runs in a bucket or a directory
    #[command(arg_required_else_help = true)]
    Backup(backup::BackupArgs),
    /// Put a collection of a backup back, under its name or another
    #[command(arg_required_else_help = true)]
    Restore(Box<backup::RestoreArgs>),
    /// Runs of backups: `backup` under an older name
    #[command(arg_required_else_help = true)]
    Catalog(backup::CatalogArgs),
    /// Who did what: Events about clusters, collections and feeds
    Audit(audit::AuditArgs),
    /// Versions of this plug-in, of the operator and of the kinds that are served
    Version(version::VersionArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
}

/// Which Kubernetes cluster, and where in it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes options")]
struct Target {
    /// Namespace to look at; the one of the context when left out
    #[arg(short, long, global = true, value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,
    /// Look at all namespaces, whatever `--namespace` says
    #[arg(short = 'A', long, global = true)]
    all_namespaces: bool,
    /// Context of the kubeconfig; the current one when left out
    #[arg(long, global = true, value_parser = NonEmptyStringValueParser::new())]
    context: Option<String>,
    /// Kubeconfig file; `$KUBECONFIG` or `~/.kube/config` when left out
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace that the operator runs in
    #[arg(long, global = true, value_name = "NAMESPACE", default_value = "elysia-system")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    operator_namespace: String,
}

impl Target {
    /// The namespace to look at; `None` for all of them.
    fn namespace(&self, reader: &client::Reader) -> Option<String> {
        let of_context = || reader.default_namespace.clone();
        (!self.all_namespaces).then(|| self.namespace.clone().unwrap_or_else(of_context))
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// How to print: a table for people, the others for programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
    Yaml,
}

/// What the process ends with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Everything is as declared; or the command did what it was asked.
    Healthy,
    /// At least one definite fault.
    Fault,
    /// No definite fault, and something could not be known.
    Unknown,
    /// The command line made no sense. Not 2, as clap has it: that would be taken for unknown.
    Usage,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Healthy => Verdict::Healthy.exit_code(),
            Self::Fault => Verdict::Fault.exit_code(),
            Self::Unknown => Verdict::Unknown.exit_code(),
            Self::Usage => EX_USAGE,
        }
    }
}

/// `EX_USAGE` of sysexits.h.
const EX_USAGE: u8 = 64;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Healthy => Self::Healthy,
            Verdict::Fault => Self::Fault,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

/// Runs the command that these arguments spell.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return answer_parser(&error),
    };
    let printer = Printer::new(cli.color);
    let done = match &cli.command {
        Command::Health(args) => health::run(args, &cli.target, printer).await,
        Command::Why(args) => why::run(args, &cli.target, printer).await,
        Command::Repair(args) => repair::run(args, &cli.target, printer).await,
        Command::Migrate(args) => migrate::run(args, &cli.target, printer).await,
        Command::Collection(args) => collection::run(args, &cli.target, printer).await,
        Command::Index(args) => index::run(args, &cli.target, printer).await,
        Command::Backup(args) => backup::run(args, &cli.target, printer).await,
        Command::Restore(args) => backup::restore(args, &cli.target, printer).await,
        Command::Catalog(args) => backup::catalog(args, &cli.target, printer).await,
        Command::Audit(args) => audit::run(args, &cli.target, printer).await,
        Command::Version(args) => version::run(args, &cli.target, printer).await,
        Command::Completion(args) => completion::run(args, &mut Cli::command(), printer),
    };
    done.unwrap_or_else(|error| {
        printer.complain(&format!("cannot write the output: {error}"));
        Exit::Unknown
    })
}

/// Says on stderr why the program cannot run at all.
pub fn refuse(message: &str) -> ExitCode {
    Printer::new(Color::Auto).complain(message);
    Exit::Unknown.into()
}

/// Help and version are answers; everything else that the parser says is a complaint.
fn answer_parser(error: &clap::Error) -> Exit {
    let printer = Printer::new(Color::Auto);
    let text = error.render().ansi().to_string();
    let exit = exit_of_parser(error);
    if exit == Exit::Usage {
        printer.note(&text);
        return exit;
    }
    match printer.data(&text) {
        Ok(()) => exit,
        Err(_) => Exit::Unknown,
    }
}

fn exit_of_parser(error: &clap::Error) -> Exit {
    if error.use_stderr() { Exit::Usage } else { Exit::Healthy }
}

/// Writes a value as the program that asked wants it.
fn encode<T: serde::Serialize>(value: &T, output: Output) -> io::Result<String> {
    match output {
        Output::Yaml => serde_yaml::to_string(value).map_err(io::Error::other),
        Output::Json | Output::Table => {
            let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
            Ok(text + "\n")
        }
    }
}
