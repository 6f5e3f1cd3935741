//! `backup rm`: deletes runs that are named.

use elysia_engine::backup::layout;
use elysia_engine::backup::retire::remove_run;

use super::bar::size;
use super::look::one;
use super::place::{PolicyArgs, StoreArgs};
use super::stopped;
use crate::cli::Exit;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::{Stop, demand};
use crate::worker::backup::{Failure, RunState, RunSummary};

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
    let store = args.store.open()?;
    let owner = args.policy.owner(&store, &args.store).await?;
    for run in &args.runs {
        let seen = one(&store, run).await;
        printer.note(&warning(&seen, &args.store.store));
        if !args.yes {
            demand(printer, &format!("Type the run's id, {run}, to delete it: "), run)?;
        }
        let next = format!("kubectl elysia backup ls {}", args.store.again());
        let files = remove_run(&store, run, &owner).await.map_err(|error| stopped(&Failure::from(error), &next))?;
        printer.note(&format!("run {run} deleted, {files} files\n"));
    }
    Ok(Exit::Healthy)
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
    lines.join("\n") + "\n"
}
