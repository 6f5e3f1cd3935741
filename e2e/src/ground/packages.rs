//! What Debian packages is installed, never built.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::host::run;
use super::progress::{elapsed, say};

const PACKAGES: [&str; 9] = [
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "etcd-server",
    "iproute2",
    "kmod",
    "nftables",
    "procps",
    "runc",
];

/// The services that the packages would run beside ours.
const SERVICES: [&str; 2] = ["containerd", "etcd"];

/// Installs what is missing, without letting Debian start its own etcd and containerd.
pub(crate) fn ensure_installed() -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    say(format!("installing {} …", missing.join(", ")));
    let guard = NoServices::new()?;
    apt(&["update", "--quiet"])?;
    let mut install = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)?;
    drop(guard);
    disable_services(&missing);
    say(format!("installed {} packages in {}", missing.len(), elapsed(started)));
    Ok(())
}

fn missing() -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(PACKAGES)
        .output()
        .context("failed to start `dpkg-query`")?;
    Ok(missing_in(&String::from_utf8_lossy(&output.stdout)))
}

fn missing_in(listing: &str) -> Vec<&'static str> {
    let installed = listing.lines().filter_map(|line| line.strip_suffix(" installed")).collect::<BTreeSet<_>>();
    PACKAGES.into_iter().filter(|package| !installed.contains(package)).collect()
}

fn apt(arguments: &[&str]) -> Result<()> {
    run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// A package that is enabled starts at the next boot, and would then hold the ports. Only what was installed just now
/// is disabled: a service that was there before is somebody's.
fn disable_services(installed: &[&str]) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for service in SERVICES {
        if installed.iter().any(|package| package.starts_with(service)) {
            let _ = Command::new("systemctl").args(["disable", "--now", service]).output();
        }
    }
}

/// Debian asks this file before a package starts a service; 101 means no.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("failed to write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_package_is_missing() {
        let all = PACKAGES.map(|package| format!("{package} installed\n")).concat();
        assert!(missing_in(&all).is_empty());
        assert_eq!(missing_in(&all.replace("runc installed", "runc config-files")), ["runc"]);
    }
}
