//! `index status`: how feeds stand, from the operator's status.

use std::fmt::Write as _;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::IndexSource;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::{CheckpointStatus, Counts, IndexSourceStatus, Lag, PartitionsStatus, RunState};
use elysia_core::condition;
use jiff::Timestamp;
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::super::client::Reader;
use super::super::columns::{self, UNKNOWN, or_unknown};
use super::super::health::duration::age;
use super::super::printer::{HEADING, Printer, paint, plain};
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, Target, encode};
use super::find;

/// Partitions that are named: a person reads the first few.
const PARTITIONS_NAMED: usize = 3;

/// Arguments of `index status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// IndexSource; all of them when left out
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One feed, as its status says it. What the operator has not said yet is absent, never zero.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    namespace: String,
    name: String,
    collection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    /// Condition `Ready`: its value and its reason.
    ready: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<CheckpointStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<PartitionsStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_lines: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip)]
    started: Option<Timestamp>,
    #[serde(skip)]
    finished: Option<Timestamp>,
}

impl Standing {
    pub(super) fn of(feed: &IndexSource) -> Self {
        let status = current(feed);
        let ready = status.and_then(|status| condition::find(&status.conditions, ConditionType::Ready));
        let run = status.and_then(|status| status.run.as_ref());
        Self {
            namespace: feed.namespace().unwrap_or_default(),
            name: feed.name_any(),
            collection: feed.spec.collection.clone(),
            state: run.map(|run| run.state),
            ready: ready.map_or_else(|| "Unknown".to_owned(), |ready| format!("{}/{}", ready.status, ready.reason)),
            message: ready
                .map_or_else(|| "the operator has not looked at it yet".to_owned(), |ready| ready.message.clone()),
            counts: status.and_then(|status| status.counts.clone()),
            checkpoint: status.and_then(|status| status.checkpoint.clone()),
            lag: status.and_then(|status| status.lag.clone()),
            partitions: status.and_then(|status| status.partitions.clone()),
            waiting_lines: status.and_then(|status| status.waiting_lines),
            run: run.map(|run| run.id.clone()),
            job: run.and_then(|run| run.job.clone()),
            started: run.and_then(|run| run.started_at.as_ref()).map(|time| time.0),
            finished: run.and_then(|run| run.finished_at.as_ref()).map(|time| time.0),
        }
    }

    /// Lines in each second of the run so far; `None` where that cannot be said.
    fn rate(&self, now: Timestamp) -> Option<f64> {
        let lines = u32::try_from(self.counts.as_ref()?.lines).ok()?;
        let seconds = self.finished.unwrap_or(now).duration_since(self.started?).as_secs_f64();
        (seconds >= 1.0).then(|| f64::from(lines) / seconds)
    }

    fn exit(&self) -> Exit {
        match self.ready.split('/').next() {
            Some("True") => Exit::Healthy,
            // Under way is no fault.
            Some("False") if self.is_moving() => Exit::Healthy,
            Some("False") => Exit::Fault,
            _ => Exit::Unknown,
        }
    }

    fn is_moving(&self) -> bool {
        matches!(self.state, Some(RunState::Pending | RunState::Running))
    }
}

pub(super) async fn run(args: &StatusArgs, target: &Target, reader: Reader, printer: Printer) -> Result<Exit, Stop> {
    let feeds = match &args.name {
        Some(name) => vec![find::one(&Session::new(reader, target, printer)?, name).await?],
        None => find::all(target, &reader, printer).await?,
    };
    let standings: Vec<Standing> = feeds.iter().map(Standing::of).collect();
    let now = Timestamp::now();
    let text = match (args.output, &args.name) {
        (Output::Table, Some(_)) => standings.iter().map(|standing| whole(standing, now)).collect(),
        (Output::Table, None) if standings.is_empty() => String::new(),
        (Output::Table, None) => table(&standings, now),
        (output, _) => encode(&standings, output)?,
    };
    printer.data(&text)?;
    if standings.is_empty() {
        printer.note("there is no IndexSource\n");
    }
    let exits: Vec<Exit> = standings.iter().map(Standing::exit).collect();
    let worst = [Exit::Fault, Exit::Unknown].into_iter().find(|exit| exits.contains(exit));
    Ok(worst.unwrap_or(Exit::Healthy))
}

/// A line for each feed.
pub(super) fn table(standings: &[Standing], now: Timestamp) -> String {
    let head = ["NAMESPACE", "NAME", "COLLECTION", "RUN", "LINES", "REJECTED", "LINES/S", "READY", "STARTED"];
    let rows: Vec<Vec<String>> = standings
        .iter()
        .map(|standing| {
            vec![
                standing.namespace.clone(),
                standing.name.clone(),
                standing.collection.clone(),
                standing.state.map_or_else(|| "-".to_owned(), |state| format!("{state:?}")),
                or_unknown(standing.counts.as_ref().map(|counts| counts.lines)),
                or_unknown(standing.counts.as_ref().map(|counts| counts.rejected)),
                standing.rate(now).map_or_else(|| UNKNOWN.to_owned(), |rate| format!("{rate:.0}")),
                standing.ready.clone(),
                standing.started.map_or_else(|| "-".to_owned(), |started| age(started, now)),
            ]
        })
        .collect();
    columns::render(&head, &rows)
}

/// All that is known of one feed.
pub(super) fn whole(standing: &Standing, now: Timestamp) -> String {
    let title = format!("{}/{} into {}", standing.namespace, standing.name, standing.collection);
    let mut text = format!("{}\n", paint(HEADING, &plain(&title)));
    let mut say = |what: &str, value: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "{what:<11}{}", plain(value)).ok();
    };
    say("ready", &format!("{}: {}", standing.ready, standing.message));
    if let (Some(run), Some(state)) = (&standing.run, standing.state) {
        let job = standing.job.as_ref().map(|job| format!(", Job {job}")).unwrap_or_default();
        say("run", &format!("{run}, {state:?}{job}"));
    }
    if let Some(counts) = &standing.counts {
        let Counts { lines, added, modified, deleted, renamed, unchanged, rejected } = counts;
        say(
            "lines",
            &format!(
                "{lines} = {added} added + {modified} modified + {deleted} deleted + {renamed} renamed + {unchanged} unchanged + {rejected} rejected"
            ),
        );
        if *rejected > 0 {
            say("", &format!("why: kubectl elysia index errors {} -n {}", standing.name, standing.namespace));
        }
    }
    if let Some(rate) = standing.rate(now) {
        say("rate", &format!("{rate:.0} lines in each second"));
    }
    if let Some(CheckpointStatus { file, offset, files_done }) = &standing.checkpoint {
        let at = file.as_ref().map(|file| format!(", {offset} bytes of {file}")).unwrap_or_default();
        say("done", &format!("{files_done} files{at}"));
    }
    if let Some(Lag { files, bytes }) = standing.lag.as_ref().filter(|lag| lag.files > 0) {
        say("left", &format!("{files} files, {bytes} bytes"));
    }
    if let Some(waiting) = standing.waiting_lines {
        say("waiting", &format!("{waiting} new lines, fewer than minChanges"));
    }
    if let Some(partitions) = &standing.partitions {
        say("partitions", &shares(partitions));
    }
    if let Some(started) = standing.started {
        say("started", &format!("{} ago", age(started, now)));
    }
    if let Some(finished) = standing.finished {
        say("finished", &format!("{} ago", age(finished, now)));
    }
    text
}

/// How many partitions are done, and the few that are furthest behind.
fn shares(partitions: &PartitionsStatus) -> String {
    let PartitionsStatus { total, succeeded, slowest } = partitions;
    let behind = slowest.iter().filter(|one| one.state != RunState::Succeeded).take(PARTITIONS_NAMED);
    let behind = behind.map(|one| format!("; {} is {:?} with {} lines", one.index, one.state, one.lines));
    format!("{succeeded} of {total} are done{}", behind.collect::<String>())
}

/// The status of the feed, if it is of the present spec: one of an older spec says nothing of this one.
pub(super) fn current(feed: &IndexSource) -> Option<&IndexSourceStatus> {
    feed.status.as_ref().filter(|status| status.observed_generation == feed.metadata.generation)
}
