//! `e2e`: journeys against the running ground.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use elysia_e2e::ground::{Ground, Paths, build_object_servers, cargo};

#[derive(Args)]
pub(crate) struct E2eArguments {
    /// Runs only the journeys whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(arguments: &E2eArguments) -> Result<()> {
    let ground =
        Ground::running().context("journeys need a ground: run `cargo xtask up` and `cargo xtask deploy` first")?;
    build_object_servers()?;
    journeys(ground.paths(), arguments.filter.as_deref())
}

/// Journeys that run at once: most of each is waiting. Those that need the ground to themselves say so
/// (`e2e/journeys/turns.rs`).
const BESIDE_EACH_OTHER: &str = "--test-threads=2";

/// Runs the journeys whose name contains `filter`, or all.
pub(crate) fn journeys(paths: &Paths, filter: Option<&str>) -> Result<()> {
    let mut command = cargo(paths);
    command.args(["test", "--workspace", "--test", "journeys", "--"]);
    command.args([BESIDE_EACH_OTHER, "--nocapture"]);
    command.args(filter);
    command.env("KUBECONFIG", paths.kubeconfig());
    command.env("KUBECTL_ELYSIA", paths.target.join("debug/kubectl-elysia"));
    ensure!(command.status().context("failed to start cargo")?.success(), "a journey failed");
    Ok(())
}
