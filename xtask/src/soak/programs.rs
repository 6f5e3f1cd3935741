//! The programs that soaks run: what was compiled for this very run, and nothing that lay there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo};
use elysia_e2e::servers::Servers;
use serde_json::Value;

/// The plug-in.
pub(super) const PLUG_IN: &str = "kubectl-elysia";
/// The operator, whose workers are the same binary.
pub(super) const OPERATOR: &str = "elysia-operator";
/// Names a folder with the programs, which are not compiled then.
pub(super) const GIVEN: &str = "ELYSIA_SOAK_BINARIES";

/// Has the kernel end the program that `setpriv` becomes.
const TIED: [&str; 2] = ["--pdeathsig", "KILL"];

/// A folder with the programs of one soak.
pub(super) struct Programs {
    binaries: PathBuf,
}

impl Programs {
    /// Compiles these programs and keeps copies below `folder`: who builds meanwhile, perhaps with another profile or in
    /// another checkout with the same target folder, must not change what a soak of hours runs. Without optimisation,
    /// with every check of the compiler.
    pub(super) fn compile(paths: &Paths, folder: &Path, names: &[&str]) -> Result<Self> {
        if let Some(given) = std::env::var_os(GIVEN) {
            return Ok(Self { binaries: PathBuf::from(given) });
        }
        let mut command = cargo(paths);
        // The whole workspace in one go: a package by itself would have its dependencies compiled anew, with other
        // features.
        command.args(["build", "--workspace"]);
        command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
        for name in names {
            command.args(["--bin", name]);
        }
        let output = command.output().context("failed to start cargo")?;
        ensure!(output.status.success(), "{} do not compile", names.join(" and "));
        let binaries = folder.join("programs");
        fs::create_dir_all(&binaries).with_context(|| format!("failed to make {}", binaries.display()))?;
        for name in names {
            let built = built(&output.stdout, name).with_context(|| format!("cargo names no program {name}"))?;
            let copy = binaries.join(name);
            // Not over what is there: that may run.
            let _ = fs::remove_file(&copy);
            fs::copy(&built, &copy).with_context(|| format!("failed to copy {}", built.display()))?;
        }
        Ok(Self { binaries })
    }

    /// One of the programs. It ends with the thread that starts it, which is that of the soak: a restore that went on
    /// alone would write into the servers that the next soak has at the same addresses.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(TIED).arg(self.binaries.join(name)).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    /// The plug-in, which reaches these servers by their addresses if it is to reach any.
    pub(super) fn plug_in(&self, servers: Option<&Servers>, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(PLUG_IN);
        command.args(arguments);
        if let Some(servers) = servers {
            command.args(["--url", &servers.rest("w-0")?, "--grpc", &servers.grpc("w-0")?]);
        }
        Ok(command)
    }
}

/// Where cargo says that it put the program.
fn built(messages: &[u8], name: &str) -> Option<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// What a command of the plug-in that must succeed tells as JSON.
pub(super) fn told(mut command: Command) -> Result<Value> {
    let output = command.args(["--output", "json"]).output().context("failed to start the plug-in")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    let words = command.get_args().skip(TIED.len()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    ensure!(output.status.success(), "{words}: {}: {problem}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{words} printed no JSON; it said: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_is_where_cargo_says() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"kubectl-elysia"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/debug/other"}
no JSON
{"reason":"compiler-artifact","target":{"name":"kubectl-elysia"},"executable":"/t/debug/kubectl-elysia"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(built(messages, PLUG_IN), Some(PathBuf::from("/t/debug/kubectl-elysia")));
        assert_eq!(built(messages, OPERATOR), None);
    }
}
