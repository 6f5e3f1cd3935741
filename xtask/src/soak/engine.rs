//! Soaks of the engine alone: tests that are ignored because they are long, over ports in memory. They need no ground.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo};

/// How the engine is compiled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Build {
    /// With every check: arithmetic that overflows panics.
    Checked,
    /// As users run it, where a checked one would take hours.
    Release,
}

/// Runs the ignored tests of one file of `crates/engine/tests`, and prints the figures that they write to
/// `target/soak/NAME.json`.
pub(super) fn run(name: &str, test: &str, build: Build) -> Result<()> {
    let paths = Paths::from_environment();
    let folder = paths.target.join("soak");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    let mut command = cargo(&paths);
    command.args(["test", "--package", "elysia-engine", "--test", test]);
    if build == Build::Release {
        command.arg("--release");
    }
    command.args(["--", "--ignored", "--nocapture"]);
    command.env("ELYSIA_SOAK_FIGURES", &file);
    // As the operator's Jobs have it: what was freed is no memory of theirs.
    command.env("MIMALLOC_PURGE_DELAY", "0");
    ensure!(command.status().context("failed to start cargo")?.success(), "the soak {name} failed in the engine");
    println!("{}", fs::read_to_string(&file)?);
    Ok(())
}
