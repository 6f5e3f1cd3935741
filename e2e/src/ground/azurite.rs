//! Azurite, Microsoft's own emulator of Azure Storage. It is a program of Node, which nothing else here needs: the one soak
//! that wants it says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::short_hash;
use super::host::run;
use super::paths::Paths;
use super::progress::say;

/// The script of its blob service, for `node`. Installed by npm, as its lock file says, unless it is in the cache.
pub fn azurite() -> Result<PathBuf> {
    let paths = Paths::from_environment();
    let source = paths.azurite_source();
    let lock = source.join("package-lock.json");
    let pinned = fs::read_to_string(&lock).with_context(|| format!("failed to read {}", lock.display()))?;
    let folder = paths.cache.join("build").join(format!("azurite-{}", short_hash(&pinned)));
    let script = folder.join("node_modules/azurite/dist/src/blob/main.js");
    if script.exists() {
        return Ok(script);
    }
    say("installing Azurite by npm");
    let partial = paths.cache.join("build/.azurite.partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("failed to make {}", partial.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), partial.join(file)).with_context(|| format!("failed to copy {file}"))?;
    }
    // No script of a package is run.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]).current_dir(&partial);
    run(&mut npm).context("Azurite needs Node 20 and npm on the PATH")?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&partial, &folder).with_context(|| format!("failed to name {}", folder.display()))?;
    Ok(script)
}
