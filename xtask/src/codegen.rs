//! `codegen`: what is generated from the kinds.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct CodegenArguments {
    /// Fails if anything would change, and changes nothing
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(_arguments: &CodegenArguments) -> Result<()> {
    bail!("not built yet")
}
