//! The chart's alerts, evaluated by Prometheus' own engine over series that are made up.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::build::ensure_built;
use super::modules::{Compiler, Module};
use super::paths::Paths;

/// Any that the chart takes: Helm by itself takes itself for one of long ago.
const KUBERNETES: &str = "1.34.4";

/// What Prometheus makes of them.
#[derive(Clone, Debug, Deserialize)]
pub struct Alerts {
    /// Those that there are, by name.
    pub alerts: Vec<String>,
    /// What it cannot read: a rule, an expression.
    pub faults: Vec<String>,
    /// Of each case the labels that fire.
    pub firing: Vec<Vec<Value>>,
}

/// Asks a question as `e2e/alerts` reads it. Its program is built unless it is in the cache.
pub fn evaluate_alerts(paths: &Paths, question: &Value) -> Result<Alerts> {
    let program = ensure_built(paths, &Compiler::find()?, &Module::alerts(paths))?.path("alerts");
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to start what evaluates alerts")?;
    let text = question.to_string();
    let mut input = child.stdin.take().context("what evaluates alerts has no input")?;
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("failed to wait for what evaluates alerts")?;
    let written = writer.join();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
    ensure!(matches!(written, Ok(Ok(()))), "what evaluates alerts did not read the question");
    serde_json::from_slice(&output.stdout).context("what evaluates alerts printed no JSON")
}

/// One template of the chart, as Helm renders it with these settings. Helm is built unless it is in the cache.
pub fn rendered(paths: &Paths, settings: &str, template: &str) -> Result<String> {
    let helm = ensure_built(paths, &Compiler::find()?, &Module::helm(paths)?)?.path("helm");
    let mut command = Command::new(helm);
    command.args(["template", "elysia-operator"]).arg(paths.checkout.join("charts/elysia-operator"));
    command.args(["--kube-version", KUBERNETES, "--set", settings, "--show-only", template]);
    let output = command.output().context("failed to start helm")?;
    ensure!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    String::from_utf8(output.stdout).context("helm printed no text")
}
