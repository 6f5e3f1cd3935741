//! `index run NAME`: one more run of a feed, by the operator.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::RunState;
use elysia_api::names::RUN_NOW_ANNOTATION;
use elysia_core::condition;
use jiff::Timestamp;

use super::super::Exit;
use super::super::health::duration;
use super::super::session::{Session, Stop};
use super::direct::DirectArgs;
use super::mark::{self, Mark};
use super::{find, status};

/// Arguments of `index run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// IndexSource; with `--collection` files to index from here, `-` for standard input
    #[arg(required = true, value_name = "NAME|FILE", value_parser = NonEmptyStringValueParser::new())]
    names: Vec<String>,
    /// Index files from here into this collection, without an IndexSource
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    #[arg(conflicts_with_all = ["dry_run", "force", "wait"])]
    collection: Option<String>,
    /// Let the API server check it, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Start it here although a GitOps tool owns the object
    #[arg(long)]
    force: bool,
    /// Wait until the run has ended, and tell how far it is
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Longest wait
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "1h", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    pub(super) direct: Box<DirectArgs>,
}

/// What is to run.
#[derive(Debug)]
pub(super) enum Task<'a> {
    /// An IndexSource.
    Feed(&'a str),
    /// Files of this machine.
    Files { files: &'a [String], collection: &'a str },
}

impl RunArgs {
    pub(super) fn task(&self) -> Result<Task<'_>, Stop> {
        match (&self.collection, self.names.as_slice()) {
            (Some(collection), files) => Ok(Task::Files { files, collection }),
            (None, [name]) if self.direct.is_default() => Ok(Task::Feed(name)),
            (None, [name]) => Err(Stop::usage(format!(
                "how to index is said by the IndexSource {name} itself; if {name} is a file, say --collection as well"
            ))),
            (None, names) => Err(Stop::usage(format!(
                "name one IndexSource; if {} are files, say --collection as well",
                names.join(", ")
            ))),
        }
    }
}

pub(super) async fn run(name: &str, args: &RunArgs, session: &Session) -> Result<Exit, Stop> {
    let feed = find::one(session, name).await?;
    let (namespace, printer) = (&session.namespace, session.printer);
    let word = Timestamp::now().to_string();
    let mark = Mark {
        key: RUN_NOW_ANNOTATION,
        value: &word,
        change: ("RunAsked", "RunFailed", "index run"),
        note: format!("asked for a run: {word}"),
        force: args.force,
        dry_run: args.dry_run,
    };
    if let Some(exit) = mark::write(session, &feed, mark).await? {
        return Ok(exit);
    }
    if !args.wait {
        printer.note(&format!("asked for; see: kubectl elysia index status {name} -n {namespace}\n"));
        return Ok(Exit::Healthy);
    }
    let text = ended(name, args, session, &word).await?;
    printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// Waits for the end of the run that this word started: how the feed stands then.
async fn ended(name: &str, args: &RunArgs, session: &Session, word: &str) -> Result<String, Stop> {
    let next = format!("kubectl elysia index status {name} -n {}", session.namespace);
    let mut told = None;
    let look = async || {
        let feed = find::one(session, name).await?;
        let Some(status) = status::current(&feed) else { return Ok(None) };
        // Until it says so it speaks of an earlier run.
        if status.last_handled.as_deref() != Some(word) {
            return Ok(None);
        }
        let lines = status.counts.as_ref().map(|counts| counts.lines);
        match status.run.as_ref().map(|run| (run.state, run.message.clone())) {
            Some((RunState::Succeeded, _)) => Ok(Some(status::whole(&status::Standing::of(&feed), Timestamp::now()))),
            Some((RunState::Failed, message)) => {
                Err(Stop::refused(format!("the run failed: {}", message.unwrap_or_default()), next.clone()))
            }
            Some((state, _)) if told != Some((state, lines)) => {
                told = Some((state, lines));
                session.printer.note(&match (state, lines) {
                    (RunState::Running, Some(lines)) => format!("running, {lines} lines\n"),
                    _ => "starting\n".to_owned(),
                });
                Ok(None)
            }
            // It is not begun: paused, or the cluster is not there.
            None => match condition::find(&status.conditions, ConditionType::Stalled) {
                Some(stalled) => Err(Stop::refused(format!("{}: {}", stalled.reason, stalled.message), next.clone())),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    };
    session.wait("the run to end", &next, args.timeout, look).await
}
