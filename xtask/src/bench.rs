//! `bench`: figures, side by side.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct BenchArguments {
    /// What to measure: index, backup or control
    what: String,
    /// The smallest case: minutes
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(_arguments: &BenchArguments) -> Result<()> {
    bail!("not built yet")
}
