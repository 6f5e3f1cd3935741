//! `demo`: from a fresh machine to a running cluster.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// A context of your kubeconfig instead of the ground
    #[arg(long)]
    context: Option<String>,
    /// The image of the operator that the cluster can pull
    #[arg(long)]
    image: Option<String>,
}

pub(crate) fn run(_arguments: &DemoArguments) -> Result<()> {
    bail!("not built yet")
}
