//! `e2e`: journeys against the running ground.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use elysia_e2e::ground::{Ground, Paths, cargo};

#[derive(Args)]
pub(crate) struct E2eArguments {
    /// Runs only the journeys whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(arguments: &E2eArguments) -> Result<()> {
    let ground =
        Ground::running().context("journeys need a ground: run `cargo xtask up` and `cargo xtask deploy` first")?;
    journeys(ground.paths(), arguments.filter.as_deref())
}

/// Runs journeys one after another: each has the two cores for itself, so that its times mean something.
pub(crate) fn journeys(paths: &Paths, filter: Option<&str>) -> Result<()> {
    let mut command = cargo(paths);
    command.args(["test", "--package", "elysia-e2e", "--test", "journeys", "--"]);
    command.args(["--test-threads=1", "--nocapture"]);
    command.args(filter);
    command.env("KUBECONFIG", paths.kubeconfig());
    command.env("KUBECTL_ELYSIA", paths.target.join("debug/kubectl-elysia"));
    ensure!(command.status().context("failed to start cargo")?.success(), "a journey failed");
    Ok(())
}
