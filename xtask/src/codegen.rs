//! `codegen`: what is generated from the kinds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use elysia_e2e::ground::{Paths, cargo};

/// Where generated files are, from the checkout's root. Everything in a folder is generated.
const GENERATED: [&str; 3] = ["crds", "charts/elysia-operator/templates/crds", "docs/reference.md"];

#[derive(Args)]
pub(crate) struct CodegenArguments {
    /// Fails if anything would change, and changes nothing
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(arguments: &CodegenArguments) -> Result<()> {
    let paths = Paths::from_environment();
    if !arguments.check {
        return generate(&paths, &paths.checkout);
    }
    let fresh = paths.target.join("codegen");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).context("failed to empty target/codegen")?;
    }
    generate(&paths, &fresh)?;
    let mut stale = Vec::new();
    for place in GENERATED {
        for file in files(&fresh.join(place))?.into_iter().chain(files(&paths.checkout.join(place))?) {
            let relative = file.strip_prefix(&fresh).or_else(|_| file.strip_prefix(&paths.checkout))?.to_owned();
            let same = fs::read(fresh.join(&relative)).ok() == fs::read(paths.checkout.join(&relative)).ok();
            if !same && !stale.contains(&relative) {
                stale.push(relative);
            }
        }
    }
    if !stale.is_empty() {
        let list = stale.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        bail!("{list}: not what the kinds give; run `cargo xtask codegen`");
    }
    Ok(())
}

fn generate(paths: &Paths, root: &Path) -> Result<()> {
    let mut command = cargo(paths);
    command.args(["run", "--quiet", "--package", "elysia-api", "--example", "codegen", "--"]).arg(root);
    ensure!(command.status().context("failed to start cargo")?.success(), "the generator failed");
    Ok(())
}

fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    if !place.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(place).with_context(|| format!("failed to list {}", place.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
