//! `soak`: the long tests.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct SoakArguments {
    /// Which one
    name: String,
}

pub(crate) fn run(_arguments: &SoakArguments) -> Result<()> {
    bail!("not built yet")
}
