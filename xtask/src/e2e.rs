//! `e2e`: journeys against the running ground.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct E2eArguments {
    /// Runs only the journeys whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(_arguments: &E2eArguments) -> Result<()> {
    bail!("not built yet")
}
