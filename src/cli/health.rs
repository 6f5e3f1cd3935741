//! `kubectl elysia health`.

pub(super) mod checks;
mod details;
pub(super) mod duration;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_core::health::{Report, Scope, Sighted, Sightings, judge};
use jiff::Timestamp;

use super::client::Reader;
use super::printer::{Printer, can_redraw};
use super::{Exit, Output, Target, encode};
pub(super) use duration::parse as duration;
use table::View;

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// WeaviateCluster to look at; all in the namespace when left out
    #[arg(value_name = "CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
    /// Say more: conditions with their age, versions and shards of nodes, shards behind, drift, plans, rejected lines
    #[arg(short, long)]
    verbose: bool,
    /// How to print; programs get everything, with and without `-v`
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    /// Look again and again until Ctrl-C; the exit code is that of the last look
    #[arg(short, long)]
    watch: bool,
    /// Time between two looks, at least 1s
    #[arg(long, requires = "watch", value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    interval: Duration,
    #[command(flatten)]
    checks: checks::CheckArgs,
}

/// Looks once, or until somebody has seen enough.
pub(super) async fn run(args: &HealthArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    if args.checks.any() {
        return checks::run(args, target, printer).await;
    }
    if args.watch {
        return watch(args, target, printer).await;
    }
    let report = look(args, target, &mut None).await;
    printer.data(&render(args, target, &report)?)?;
    Ok(report.verdict.into())
}

async fn watch(args: &HealthArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let enough = tokio::signal::ctrl_c();
    tokio::pin!(enough);
    let redraws = args.output == Output::Table && can_redraw();
    let mut reader = None;
    let mut last: Option<Report> = None;
    loop {
        let report = tokio::select! {
            report = look(args, target, &mut reader) => report,
            _ = &mut enough => break,
        };
        let is_news = last.as_ref().is_none_or(|last| !last.says_the_same_as(&report));
        let text = if redraws || is_news { Some(block(args, target, &report)?) } else { None };
        last = Some(report);
        let is_read = match text {
            Some(text) if redraws => printer.redraw(&text)?,
            Some(text) => printer.block(&text)?,
            None => true,
        };
        if !is_read {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            _ = &mut enough => break,
        }
    }
    Ok(last.map_or(Exit::Unknown, |report| report.verdict.into()))
}

/// One look. The reader is kept for the next one; where it could not be made it is tried again.
async fn look(args: &HealthArgs, target: &Target, reader: &mut Option<Reader>) -> Report {
    let sightings = match reader.take() {
        Some(kept) => Ok(kept),
        None => Reader::connect(target).await,
    };
    let sightings = match sightings {
        Ok(connected) => {
            let sightings = read(args, target, &connected).await;
            *reader = Some(connected);
            sightings
        }
        Err(unread) => Sightings {
            scope: scope(args, target, None),
            operator_namespace: target.operator_namespace.clone(),
            lease: Sighted::Unreadable(unread.clone()),
            clusters: Sighted::Unreadable(unread.clone()),
            collections: Sighted::Unreadable(unread.clone()),
            feeds: Sighted::Unreadable(unread.clone()),
            backups: Sighted::Unreadable(unread.clone()),
            restores: Sighted::Unreadable(unread),
        },
    };
    judge(&sightings, Timestamp::now())
}

async fn read(args: &HealthArgs, target: &Target, reader: &Reader) -> Sightings {
    sightings(scope(args, target, Some(reader)), target, reader).await
}

/// Reads everything in this scope that a verdict may depend on.
pub(super) async fn sightings(scope: Scope, target: &Target, reader: &Reader) -> Sightings {
    let namespace = scope.namespace.as_deref();
    let (lease, clusters, collections, feeds, backups, restores) = futures::join!(
        reader.lease(&target.operator_namespace),
        reader.list(namespace),
        reader.list(namespace),
        reader.list(namespace),
        reader.list(namespace),
        reader.list(namespace),
    );
    let operator_namespace = target.operator_namespace.clone();
    Sightings { scope, operator_namespace, lease, clusters, collections, feeds, backups, restores }
}

fn scope(args: &HealthArgs, target: &Target, reader: Option<&Reader>) -> Scope {
    let of_context = || reader.map(|reader| reader.default_namespace.clone());
    let namespace = if target.all_namespaces { None } else { target.namespace.clone().or_else(of_context) };
    Scope { namespace, cluster: args.cluster.clone() }
}

/// One of many reports: programs must see where it ends, people when it was made.
fn block(args: &HealthArgs, target: &Target, report: &Report) -> io::Result<String> {
    Ok(match args.output {
        Output::Table => {
            let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ");
            format!("{now}\n\n{}\n", render(args, target, report)?)
        }
        Output::Json => serde_json::to_string(report).map_err(io::Error::other)? + "\n",
        Output::Yaml => format!("---\n{}", render(args, target, report)?),
    })
}

fn render(args: &HealthArgs, target: &Target, report: &Report) -> io::Result<String> {
    let view = View { verbose: args.verbose, all_namespaces: target.all_namespaces, now: Timestamp::now() };
    match args.output {
        Output::Table => Ok(table::render(report, &view)),
        output => encode(report, output),
    }
}
