//! `index errors`: what was rejected, and why.
//!
//! The status has the first twenty rejected lines, the ledger the last thousand. What a person has seen he can have
//! hidden: the plug-in writes down how far the counts were, on the IndexSource and under a name that only it uses. The
//! counts themselves stay what they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::IndexSource;
use elysia_api::index_source::DeadLetter;
use elysia_api::names::ERRORS_SEEN_ANNOTATION;
use elysia_engine::category::Category;
use elysia_engine::ledger::Ledger;
use jiff::Timestamp;
use kube::core::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::super::columns;
use super::super::printer::plain;
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, encode};
use super::mark::{self, Mark};
use super::{find, ledger, status};

/// Lines that are shown where nothing else is said: as many as a status has.
const SHOWN: usize = 20;

/// Arguments of `index errors`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing was rejected, 1 something was, 2 it is not known, 64 wrong usage")]
pub(super) struct ErrorsArgs {
    /// IndexSource
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Numbers by category alone
    #[arg(long, conflicts_with_all = ["recent", "all"])]
    summary: bool,
    /// Only the last lines; five when no number is said
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "5", conflicts_with = "all")]
    recent: Option<usize>,
    /// All lines that the ledger has, also those that were hidden by `--reset`
    #[arg(long)]
    all: bool,
    /// Hide what was rejected until now: from then on only what comes after it is shown. Counts, conditions and the
    /// feed itself stay as they are
    #[arg(long, conflicts_with_all = ["summary", "recent", "all"])]
    reset: bool,
    /// With `--reset`: let the API server check it, and hide nothing
    #[arg(long, requires = "reset")]
    dry_run: bool,
    /// With `--reset`: although a GitOps tool owns the object
    #[arg(long, requires = "reset")]
    force: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// How far the counts were when a person had seen them.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
struct Seen {
    /// Since when the ledger counted that they speak of: of one that began anew they say nothing.
    since: Option<Timestamp>,
    /// The number of the last rejected line.
    number: u64,
    /// Rejected lines.
    rejected: u64,
    /// Faults by category.
    errors: BTreeMap<String, u64>,
}

impl Seen {
    fn now(ledger: &Ledger) -> Self {
        let errors =
            Category::ALL.into_iter().map(|category| (category.as_str().to_owned(), ledger.errors.of(category)));
        Self {
            since: Some(counting_since(ledger)),
            number: ledger.rejects.seen,
            rejected: ledger.counts.rejected,
            errors: errors.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// What was written down of this ledger; nothing where it began anew since.
    fn of(feed: &IndexSource, ledger: &Ledger) -> Self {
        let text = feed.annotations().get(ERRORS_SEEN_ANNOTATION);
        let seen = text.and_then(|text| serde_json::from_str::<Self>(text).ok()).unwrap_or_default();
        if seen.since == Some(counting_since(ledger)) { seen } else { Self::default() }
    }
}

fn counting_since(ledger: &Ledger) -> Timestamp {
    ledger.counting_since.unwrap_or(ledger.started_at)
}

/// What went wrong.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Errors {
    /// Rejected lines in all.
    rejected: i64,
    /// Rejected lines and failed calls by category.
    categories: BTreeMap<String, i64>,
    /// The lines that are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<DeadLetter>>,
    /// Of all lines that the ledger has, those that may be carried out again.
    replayable: usize,
    /// Rejected lines that were hidden.
    hidden: u64,
}

impl Errors {
    /// From the ledger; from the status alone where there is none. `None` while nothing was counted.
    pub(super) fn of(feed: &IndexSource, ledger: Option<&Ledger>, args: &ErrorsArgs) -> Option<Self> {
        let mut errors = match ledger {
            Some(ledger) => Self::of_ledger(feed, ledger, args),
            None => Self::of_status(feed)?,
        };
        if let Some(lines) = &mut errors.lines {
            match args.recent {
                Some(recent) => drop(lines.drain(..lines.len().saturating_sub(recent))),
                None if args.all => {}
                None => lines.truncate(SHOWN),
            }
        }
        if args.summary {
            errors.lines = None;
        }
        Some(errors)
    }

    fn of_status(feed: &IndexSource) -> Option<Self> {
        let status = status::current(feed)?;
        Some(Self {
            rejected: status.counts.as_ref()?.rejected,
            categories: status.errors.clone(),
            lines: Some(status.dead_letter.clone()),
            replayable: 0,
            hidden: 0,
        })
    }

    fn of_ledger(feed: &IndexSource, ledger: &Ledger, args: &ErrorsArgs) -> Self {
        let seen = if args.all { Seen::default() } else { Seen::of(feed, ledger) };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let kept = &ledger.rejects.lines;
        let lines = if kept.is_empty() && seen == Seen::default() {
            // A worker of a former release wrote it, which kept the first ones only.
            ledger.dead_letters.iter().map(ledger::dead_letter).collect::<Vec<_>>()
        } else {
            let fresh = kept.iter().filter(|reject| reject.number > seen.number);
            fresh.map(|reject| ledger::dead_letter(&reject.letter)).collect()
        };
        let counted = ledger.counts.rejected.saturating_sub(seen.rejected);
        let categories = Category::ALL.into_iter().map(|category| {
            let before = seen.errors.get(category.as_str()).copied().unwrap_or_default();
            (category.as_str().to_owned(), number(ledger.errors.of(category).saturating_sub(before)))
        });
        Self {
            rejected: number(counted.max(lines.len() as u64)),
            categories: categories.filter(|(_, count)| *count > 0).collect(),
            lines: Some(lines),
            replayable: kept.iter().filter(|reject| reject.can_be_replayed()).count(),
            hidden: seen.rejected.min(ledger.counts.rejected),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if !self.categories.is_empty() {
            let mut rows: Vec<_> = self.categories.iter().collect();
            rows.sort_by_key(|(category, count)| (-**count, (*category).clone()));
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|(category, count)| vec![category.clone(), count.to_string()]).collect();
            text += &columns::render(&["CATEGORY", "COUNT"], &rows);
        }
        let Some(lines) = &self.lines else { return text };
        for letter in lines {
            let DeadLetter { file, line, category, reason, .. } = letter;
            // Writing to a String cannot fail.
            writeln!(text, "{}:{line}: {category}: {}", plain(file), plain(reason)).ok();
        }
        let shown = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        if self.rejected > shown {
            writeln!(text, "and {} more", self.rejected - shown).ok();
        }
        text
    }
}

pub(super) async fn run(args: &ErrorsArgs, session: &Session) -> Result<Exit, Stop> {
    let feed = find::one(session, &args.name).await?;
    let name = feed.name_any();
    let ledger = match ledger::of(session, &feed).await {
        Ok(ledger) => ledger,
        Err(stop) if args.reset || args.all => return Err(stop),
        Err(_) => {
            session.printer.note("note: the ledger cannot be read; what is shown is what the status has\n");
            None
        }
    };
    let unknown = || {
        let next = format!("kubectl elysia index status {name} -n {}", session.namespace);
        Stop::unknown(format!("no run of {name} was counted yet"), next)
    };
    if args.reset && feed.spec.partitions.is_some_and(|partitions| partitions > 1) {
        let next = format!("kubectl elysia index errors {name} -n {} --all", session.namespace);
        return Err(Stop::refused(
            "the partitions of a feed number their rejected lines each for itself: none can be hidden",
            next,
        ));
    }
    if args.reset {
        return reset(args, session, &feed, &ledger.ok_or_else(unknown)?).await;
    }
    let errors = Errors::of(&feed, ledger.as_ref(), args).ok_or_else(unknown)?;
    let text = if args.output == Output::Table { errors.text() } else { encode(&errors, args.output)? };
    session.printer.data(&text)?;
    let namespace = &session.namespace;
    if errors.hidden > 0 {
        session.printer.note(&format!("{} rejected lines were hidden by --reset; --all shows them\n", errors.hidden));
    }
    if errors.replayable > 0 {
        session.printer.note(&format!(
            "{} may be carried out again, once mended: kubectl elysia index replay {name} -n {namespace}\n",
            errors.replayable
        ));
    }
    if errors.rejected == 0 {
        session.printer.note("no line was rejected\n");
    }
    Ok(if errors.rejected == 0 { Exit::Healthy } else { Exit::Fault })
}

async fn reset(args: &ErrorsArgs, session: &Session, feed: &IndexSource, ledger: &Ledger) -> Result<Exit, Stop> {
    let seen = Seen::now(ledger);
    let value = serde_json::to_string(&seen).map_err(std::io::Error::from)?;
    let mark = Mark {
        key: ERRORS_SEEN_ANNOTATION,
        value: &value,
        change: ("ErrorsSeen", "ErrorsSeenFailed", "index errors --reset"),
        note: format!("hid {} rejected lines", seen.rejected),
        force: args.force,
        dry_run: args.dry_run,
    };
    if let Some(exit) = mark::write(session, feed, mark).await? {
        return Ok(exit);
    }
    session.printer.note(&format!("{} rejected lines are hidden from now on; --all shows them\n", seen.rejected));
    Ok(Exit::Healthy)
}
