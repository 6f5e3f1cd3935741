//! `deploy`: the working tree's operator into a cluster.

use anyhow::Result;
use clap::Args;
use elysia_e2e::ground::{DeployTarget, deploy};

#[derive(Args)]
pub(crate) struct DeployArguments {
    /// A context of your kubeconfig instead of the ground
    #[arg(long)]
    context: Option<String>,
    /// An image that the cluster can pull instead of one made from the working tree
    #[arg(long)]
    image: Option<String>,
    /// Compile it as a release is; takes minutes the first time
    #[arg(long, conflicts_with = "image")]
    release: bool,
}

pub(crate) fn run(arguments: &DeployArguments) -> Result<()> {
    let target = DeployTarget {
        context: arguments.context.clone(),
        image: arguments.image.clone(),
        optimised: arguments.release,
    };
    deploy(&target).map(drop)
}
