//! What GitOps tools make of objects: kstatus (Flux, kpt) and Argo CD with the chart's scripts.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::build::ensure_built;
use super::modules::{Compiler, Module};
use super::paths::Paths;

/// What the tools say of one object.
#[derive(Clone, Debug, Deserialize)]
pub struct Judgement {
    /// Current, `InProgress`, Failed or Terminating.
    pub kstatus: String,
    /// Healthy, Progressing, Degraded, Suspended or Unknown.
    pub argo: String,
    /// What Argo CD shows beside it.
    pub message: String,
}

/// Judges whole objects, each as the API server gives it. The judge is built unless it is in the cache.
pub fn judge(paths: &Paths, objects: &[Value]) -> Result<Vec<Judgement>> {
    let judge = ensure_built(paths, &Compiler::find()?, &Module::judge(paths))?.path("judge");
    let scripts = paths.checkout.join("charts/elysia-operator/argocd");
    let mut command = Command::new(judge);
    command.arg(scripts).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to start the judge")?;
    let lines = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut input = child.stdin.take().context("the judge has no input")?;
    // It answers while it reads: written by this thread, more than two pipes hold would stop both.
    let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().context("failed to wait for the judge")?;
    let written = writer.join();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
    ensure!(matches!(written, Ok(Ok(()))), "the judge did not read every object");
    let output = String::from_utf8(output.stdout).context("the judge printed no text")?;
    let read = |line| serde_json::from_str(line).context("the judge printed no JSON");
    let judgements = output.lines().map(read).collect::<Result<Vec<_>>>()?;
    ensure!(judgements.len() == objects.len(), "{} judgements of {} objects", judgements.len(), objects.len());
    Ok(judgements)
}
