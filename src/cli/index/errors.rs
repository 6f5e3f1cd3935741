//! `index errors`: what was rejected, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::IndexSource;
use elysia_api::index_source::DeadLetter;
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::super::columns;
use super::super::printer::plain;
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, encode};
use super::{find, status};

/// Arguments of `index errors`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing was rejected, 1 something was, 2 it is not known, 64 wrong usage")]
pub(super) struct ErrorsArgs {
    /// IndexSource
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Numbers by category alone
    #[arg(long, conflicts_with = "recent")]
    summary: bool,
    /// Only the last lines that the status has
    #[arg(long, value_name = "NUMBER")]
    recent: Option<usize>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// What went wrong in the present run.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Errors {
    /// Rejected lines in all.
    rejected: i64,
    /// Rejected lines and failed calls by category.
    categories: BTreeMap<String, i64>,
    /// The lines that the status has.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<DeadLetter>>,
}

impl Errors {
    /// `None` while the operator has counted nothing.
    pub(super) fn of(feed: &IndexSource, args: &ErrorsArgs) -> Option<Self> {
        let status = status::current(feed)?;
        let letters = &status.dead_letter;
        let first = args.recent.map_or(0, |recent| letters.len().saturating_sub(recent));
        Some(Self {
            rejected: status.counts.as_ref()?.rejected,
            categories: status.errors.clone(),
            lines: (!args.summary).then(|| letters[first..].to_vec()),
        })
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
    let Some(errors) = Errors::of(&feed, args) else {
        let next = format!("kubectl elysia index status {} -n {}", feed.name_any(), session.namespace);
        return Err(Stop::unknown(format!("no run of {} was counted yet", feed.name_any()), next));
    };
    let text = if args.output == Output::Table { errors.text() } else { encode(&errors, args.output)? };
    session.printer.data(&text)?;
    if errors.rejected == 0 {
        session.printer.note("no line was rejected\n");
    }
    Ok(if errors.rejected == 0 { Exit::Healthy } else { Exit::Fault })
}
