//! kubectl as the ground's own client: the one that people use, so that no second one need be compiled.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::host::run;
use super::network::NODE_NAME;

/// kubectl with the administrator's rights on one cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(binary: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { binary, kubeconfig }
    }

    /// A command that needs only its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--kubeconfig").arg(&self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// What it printed; its error output is the error.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments))
    }

    /// `get … --output=json`, read.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "--output=json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// Sends a manifest on standard input: to `apply --filename=-` and the like.
    pub fn send(&self, arguments: &[&str], manifest: &str) -> Result<()> {
        self.exchange(arguments, manifest).map(drop)
    }

    /// Sends a manifest on standard input, and gives what was printed.
    pub fn exchange(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start kubectl")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(manifest.as_bytes()).context("kubectl read no manifest")?;
        }
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {} failed:\n{complaint}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.run(&["get", "--raw=/readyz", "--request-timeout=2s"]).is_ok()
    }

    pub(crate) fn node_is_ready(&self) -> bool {
        let path = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        self.run(&["get", "node", NODE_NAME, path, "--request-timeout=2s"]).is_ok_and(|status| status == "True")
    }
}
