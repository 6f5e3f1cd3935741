//! `backup cleanup`: deletes runs by the rules of a policy's retention.

use elysia_core::retention::Retention;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::bar::size;
use super::place::{PolicyArgs, StoreArgs, noted};
use super::stopped;
use crate::cli::columns;
use crate::cli::health::duration::age;
use crate::cli::printer::Printer;
use crate::cli::session::Stop;
use crate::cli::{Exit, Output, encode};
use crate::worker::backup::{Retired, Verdict, retire, retirement, runs};

/// Arguments of `backup cleanup`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("rules").required(true).multiple(true)
    .args(["older_than", "keep_last", "keep_daily", "keep_weekly", "keep_monthly"]))]
#[command(
    after_help = "Whatever the rules say, the newest run stays, the newest that was verified, and a run that lacks what \
    the one before it had, with all that are older"
)]
pub(super) struct CleanupArgs {
    /// Delete runs that are older, e.g. `30d`
    #[arg(long, value_name = "TIME", value_parser = days)]
    older_than: Option<SignedDuration>,
    /// Keep this many of the newest
    #[arg(long, value_name = "NUMBER")]
    keep_last: Option<u32>,
    /// Keep the newest run of each of the last so many days that have one
    #[arg(long, value_name = "NUMBER")]
    keep_daily: Option<u32>,
    /// The same for weeks
    #[arg(long, value_name = "NUMBER")]
    keep_weekly: Option<u32>,
    /// The same for months
    #[arg(long, value_name = "NUMBER")]
    keep_monthly: Option<u32>,
    /// Objects of a hundred that a collection may have lost from one run to the next
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    max_shrink: u8,
    /// Whose days, weeks and months, e.g. `Europe/Amsterdam`
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: TimeZone,
    /// Do it
    #[arg(short, long)]
    yes: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// A time such as `30d`, `12h` or `1d 6h`.
pub(super) fn days(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "write a time such as 30d or 12h".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    // A day has 24 hours here, wherever that is.
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(relative).map_err(|_| wrong())?;
    if duration.is_positive() { Ok(duration) } else { Err("at least something".to_owned()) }
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "write a time zone such as Europe/Amsterdam".to_owned())
}

#[derive(Debug, Serialize)]
struct Told {
    /// Whether anything was done.
    done: bool,
    runs: Vec<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<Retired>,
}

pub(super) async fn run(args: &CleanupArgs, printer: Printer) -> Result<Exit, Stop> {
    let store = args.store.open_there()?;
    let owner = args.policy.owner(&store, &args.store).await?;
    let next = format!("kubectl elysia backup ls {}", args.store.again());
    let found = runs(&store).await.map_err(|failure| stopped(&failure, &next))?;
    let rules = Retention {
        last: args.keep_last,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
        max_age: args.older_than,
    };
    let now = Timestamp::now();
    let verdicts = retirement(found, &owner, &rules, Some(args.max_shrink), &args.time_zone, now);
    if args.output == Output::Table {
        printer.data(&table(&verdicts, now))?;
    }
    let retired = if args.yes {
        Some(retire(&store, &owner, &verdicts).await.map_err(|failure| stopped(&failure, &next))?)
    } else {
        None
    };
    let going = verdicts.iter().filter(|verdict| verdict.is_retired());
    let (count, bytes) = going.fold((0, 0), |(count, bytes), verdict| (count + 1, bytes + verdict.run.bytes));
    match (&retired, args.output) {
        (Some(retired), Output::Table) => {
            printer.note(&format!("{} runs deleted, {} files\n", retired.runs.len(), retired.files));
        }
        (None, Output::Table) if count > 0 => {
            printer.note(&format!("would delete {count} runs, {} (dry run); add --yes to do it\n", size(bytes)));
        }
        (None, Output::Table) => printer.note("nothing would be deleted\n"),
        (_, output) => {
            let told = Told { done: retired.is_some(), runs: verdicts, retired };
            printer.data(&encode(&told, output)?)?;
        }
    }
    if args.yes {
        noted(&store, &owner).await;
    }
    Ok(Exit::Healthy)
}

pub(super) fn table(verdicts: &[Verdict], now: Timestamp) -> String {
    let row = |verdict: &Verdict| {
        let run = &verdict.run;
        let kept =
            if verdict.is_retired() { "delete".to_owned() } else { format!("keep: {}", verdict.kept.join(", ")) };
        let at = run.finished_at.or(run.started_at);
        vec![
            run.id.clone(),
            at.map_or_else(|| "-".to_owned(), |at| format!("{} ago", age(at, now))),
            size(run.bytes),
            kept,
            verdict.suspect.clone().unwrap_or_default(),
        ]
    };
    columns::render(&["RUN", "AGE", "SIZE", "VERDICT", "SUSPECT"], &verdicts.iter().map(row).collect::<Vec<_>>())
}
