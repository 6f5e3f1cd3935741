//! The official Python client, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The client and what it needs but does not name.
const REQUIREMENTS: [&str; 2] = ["weaviate-client==4.20.5", "packaging==25.0"];

/// A Python that has the client.
pub(super) struct Python {
    program: PathBuf,
}

impl Python {
    /// Makes the environment, or takes the one that is there.
    pub(super) fn prepare(target: &Path) -> Result<Self> {
        let home = target.join("bench/python");
        let program = home.join("bin/python");
        let done = home.join("requirements.txt");
        let wanted = REQUIREMENTS.join("\n");
        if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
            return Ok(Self { program });
        }
        finished(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        finished(
            Command::new(&program)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(REQUIREMENTS),
        )?;
        std::fs::write(done, wanted)?;
        Ok(Self { program })
    }

    /// Runs a script and reads what it printed as JSON.
    pub(super) fn run(&self, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command
            .args(["-W", "ignore", "-c", script])
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::inherit());
        let output = command.output().context("failed to start Python")?;
        ensure!(output.status.success(), "the Python side failed");
        serde_json::from_slice(&output.stdout).context("the Python side printed no JSON")
    }

    /// Version of the client.
    pub(super) fn version() -> &'static str {
        REQUIREMENTS[0]
    }
}

fn finished(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("failed to start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}
