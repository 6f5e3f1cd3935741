//! `up` and `down`.

use anyhow::Result;
use clap::Args;
use elysia_e2e::ground::{self, Options};

#[derive(Args)]
pub(crate) struct UpArguments {
    /// A version of Weaviate besides 1.38.2; any from 1.31 on, and as often as needed
    #[arg(long = "weaviate", value_name = "VERSION")]
    weaviate: Vec<String>,
}

pub(crate) fn up(arguments: &UpArguments) -> Result<()> {
    let ground = ground::up(&Options { weaviate: arguments.weaviate.clone() })?;
    ground.ensure_operator_image();
    Ok(())
}

pub(crate) fn down() -> Result<()> {
    ground::down()
}
