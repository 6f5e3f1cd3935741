//! `backup rm`: deletes runs that are named.

use std::collections::BTreeSet;

use elysia_engine::backup::layout;
use elysia_engine::backup::retire::remove_run;

use super::bar::size;
use super::look::one;
use super::place::{PolicyArgs, StoreArgs, noted};
use super::stopped;
use crate::cli::Exit;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::{Stop, demand};
use crate::worker::backup::{Failure, RunState, RunSummary, runs};

/// Arguments of `backup rm`.
#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// The runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// Do not ask for the run's id
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &RmArgs, printer: Printer) -> Result<Exit, Stop> {
    if let Some(wrong) = args.runs.iter().find(|run| !layout::is_run_id(run)) {
        return Err(Stop::usage(format!("`{wrong}` is no run's id")));
    }
    let store = args.store.open_there()?;
    let owner = args.policy.owner(&store, &args.store).await?;
    let all = runs(&store).await.map_err(|failure| stopped(&failure, "check the store's address and key"))?;
    for run in &args.runs {
        if let Some(built) = built_on(run, &all, &args.runs) {
            let all = format!("kubectl elysia backup rm {built} {run} {}", args.store.again());
            return Err(Stop::refused(format!("run {built} builds on run {run}, and is none without it"), all));
        }
    }
    for run in in_order(&args.runs, &all) {
        let mut seen = one(&store, run).await;
        seen.is_in_use = all.iter().any(|other| other.id == *run && other.is_in_use);
        printer.note(&warning(&seen, &args.store.store));
        if !args.yes {
            demand(printer, &format!("Type the run's id, {run}, to delete it: "), run)?;
        }
        let next = format!("kubectl elysia backup ls {}", args.store.again());
        let files = remove_run(&store, run, &owner).await.map_err(|error| stopped(&Failure::from(error), &next))?;
        printer.note(&format!("run {run} deleted, {files} files\n"));
    }
    noted(&store, &owner).await;
    Ok(Exit::Healthy)
}

/// A run that builds on this one and is not to go with it.
fn built_on<'a>(run: &str, all: &'a [RunSummary], going: &[String]) -> Option<&'a str> {
    let builds = |other: &&RunSummary| other.bases.iter().any(|base| base == run) && !going.contains(&other.id);
    all.iter().find(builds).map(|other| other.id.as_str())
}

/// What builds on others goes before them.
fn in_order<'a>(going: &'a [String], all: &[RunSummary]) -> Vec<&'a String> {
    let depth = |run: &&String| all.iter().find(|other| other.id == **run).map_or(0, |other| other.bases.len());
    // One that is named twice goes once.
    let going: BTreeSet<&String> = going.iter().collect();
    let mut going: Vec<&String> = going.into_iter().collect();
    going.sort_by_key(|run| std::cmp::Reverse(depth(run)));
    going
}

pub(super) fn warning(run: &RunSummary, store: &str) -> String {
    let mut lines = vec![format!("This deletes run {} in {}:", plain(&run.id), plain(store))];
    match run.state {
        RunState::Complete => {
            lines.push(format!("  objects      {}", run.objects));
            let names: Vec<String> = run.collections.keys().map(|name| plain(name)).collect();
            lines.push(format!("  collections  {}", names.join(", ")));
            lines.push(format!("  size         {}", size(run.bytes)));
            let verified = run.verified_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            lines.push(format!("  verified     {verified}"));
        }
        RunState::Unfinished => {
            lines.push("  it was never finished; a worker that still writes it will fail".to_owned());
        }
        RunState::Unreadable => {
            lines.push(format!("  it cannot be read: {}", plain(run.problem.as_deref().unwrap_or_default())));
        }
    }
    if run.is_in_use {
        lines.push("  in use       a restore that is not over reads it, or one that cannot be read may, and cannot go on without it".to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_on_a_run_goes_before_it_or_keeps_it() {
        let run = |id: &str, bases: &[&str]| RunSummary {
            bases: bases.iter().map(|base| (*base).to_owned()).collect(),
            ..RunSummary::empty(id.to_owned(), RunState::Complete)
        };
        let all = [run("1", &[]), run("2", &["1"]), run("3", &["2", "1"])];
        let going = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(built_on("1", &all, &going(&["1"])), Some("2"));
        assert_eq!(built_on("1", &all, &going(&["1", "2"])), Some("3"));
        assert_eq!(built_on("1", &all, &going(&["1", "2", "3"])), None);
        assert_eq!(built_on("3", &all, &going(&["3"])), None);
        assert_eq!(in_order(&going(&["1", "3", "2"]), &all), ["3", "2", "1"]);
        assert_eq!(in_order(&going(&["2", "1", "2"]), &all), ["2", "1"], "each once");
    }

    #[test]
    fn a_run_that_a_restore_needs_is_said_to_be_one() {
        let run = RunSummary { is_in_use: true, ..RunSummary::empty("1".to_owned(), RunState::Complete) };
        assert!(warning(&run, "s3://b").contains("in use       a restore that is not over reads it"));
        assert!(!warning(&RunSummary { is_in_use: false, ..run }, "s3://b").contains("in use"));
    }
}
