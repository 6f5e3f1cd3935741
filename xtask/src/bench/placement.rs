//! Which processors servers and clients have. On a machine of two, who reads and computes takes from the servers what they
//! answer with; where a worker runs on another node than they, it does not.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::servers::Servers;

/// Who has which.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Placement {
    /// All of them have all.
    Together,
    /// The servers have one, and whoever is measured another one.
    Apart,
}

impl Placement {
    /// What is written behind a condition.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Together => "",
            Self::Apart => ", servers and client on a processor each",
        }
    }

    /// Moves the servers, this process, and with it every program that it starts from now on.
    pub(super) fn take(self, servers: &Servers) -> Result<()> {
        let processors = processors()?;
        ensure!(self == Self::Together || processors > 1, "two processors are needed to set servers and client apart");
        let all = format!("0-{}", processors - 1);
        let (of_servers, own) = match self {
            Self::Together => (all.as_str(), all.as_str()),
            Self::Apart => ("0", "1"),
        };
        for name in servers.names() {
            bind(servers.pid(&name)?, of_servers)?;
        }
        bind(std::process::id(), own)
    }
}

/// Processors of the machine, whatever this process was bound to.
fn processors() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    Ok(text.lines().filter(|line| line.starts_with("processor")).count().max(1))
}

/// Binds every thread of a process; what it starts later is bound alike.
fn bind(process: u32, processors: &str) -> Result<()> {
    let process = process.to_string();
    let arguments = ["--all-tasks", "--cpu-list", "--pid", processors, &process];
    let status = Command::new("taskset").args(arguments).stdout(Stdio::null()).status().context("no taskset")?;
    ensure!(status.success(), "process {process} was not bound to processor {processors}: {status}");
    Ok(())
}
