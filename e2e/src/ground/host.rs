//! Whether this machine can be ground, and what works where it cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const ELSEWHERE: &str = "on any other Kubernetes, use:\n    cargo xtask demo --context NAME --image IMAGE";

/// Fails with the way that works elsewhere, unless this is Linux with Debian's packages, and we are root.
pub(crate) fn check() -> Result<()> {
    let refusal = if cfg!(not(target_os = "linux")) {
        Some("the ground needs Linux: it runs a kubelet and containers on this machine itself")
    } else if !Path::new("/usr/bin/apt-get").exists() {
        Some("the ground needs Debian: etcd, containerd and runc come from its packages (no apt-get here)")
    } else if !rustix::process::geteuid().is_root() {
        Some("the ground needs root: it makes network interfaces, mounts and cgroups (try again with sudo)")
    } else {
        None
    };
    match refusal {
        Some(reason) => bail!("{reason}\n{ELSEWHERE}"),
        None => Ok(()),
    }
}

/// Runs a command to its end and returns what it printed; its error output is the error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{} {}", command.get_program().display(), arguments(command));
    let output = command.output().with_context(|| format!("failed to start `{shown}`"))?;
    ensure!(
        output.status.success(),
        "`{shown}` ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn arguments(command: &Command) -> String {
    command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The program as the ground's servers see it: Debian's folders first, whatever the caller's `PATH` says.
pub(crate) fn program(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// The last lines of a log: what a person wants to see of a server that died.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all = text.lines().collect::<Vec<_>>();
    all[all.len().saturating_sub(lines)..].join("\n")
}
