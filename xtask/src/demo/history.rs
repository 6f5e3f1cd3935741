//! Change lines made of the commit history of real repositories.
//!
//! The repositories come from a pinned Go module, because a package registry is all that a machine needs to reach.
//! What makes the lines is `examples/git-history/git-history-to-jsonl`, which any user can run on his own repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, downloaded};

use super::steps::tell;

/// What `e2e/ground/modules/git-fixtures/README.md` says of them.
const REPOSITORIES: [Repository; 2] = [
    Repository {
        name: "spinnaker",
        pack: "f2e0a8889a746f7600e07d2246a2e29a72f696be",
        last_commit: "06ce06d0fc49646c4de733c45b7788aabad98a6f",
    },
    Repository {
        name: "rumprun-xen",
        pack: "7861f2632868833a35fe5e4ab94f99638ec5129b",
        last_commit: "3b91e44996ea6ae1276bce1cc44f38701c53ee6f",
    },
];

struct Repository {
    name: &'static str,
    pack: &'static str,
    last_commit: &'static str,
}

/// Writes one file of change lines for each repository, anew each time: it takes less than a look whether it is still right.
pub(super) fn write(paths: &Paths) -> Result<Vec<PathBuf>> {
    let fixtures = downloaded(paths, "git-fixtures", "github.com/go-git/go-git-fixtures/v4")?;
    let folder = paths.target.join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    tell("meanwhile, commit histories of real repositories become change lines:");
    REPOSITORIES.iter().map(|repository| repository.write(paths, &fixtures, &folder)).collect()
}

impl Repository {
    fn write(&self, paths: &Paths, fixtures: &Path, folder: &Path) -> Result<PathBuf> {
        let bare = folder.join(format!("{}.git", self.name));
        git(&bare, Stdio::null(), &["init", "--quiet", "--bare", "."])?;
        let pack = fixtures.join(format!("data/pack-{}.pack", self.pack));
        let pack = File::open(&pack).with_context(|| format!("failed to open {}", pack.display()))?;
        git(&bare, pack.into(), &["index-pack", "--stdin"])?;
        git(&bare, Stdio::null(), &["update-ref", "HEAD", self.last_commit])?;

        let file = folder.join(format!("{}.jsonl", self.name));
        let script = paths.checkout.join("examples/git-history/git-history-to-jsonl");
        tell(format!("$ examples/git-history/git-history-to-jsonl {}.git --output {0}.jsonl", self.name));
        let said = finished(Command::new(&script).arg(&bare).arg("--output").arg(&file))?;
        tell(said);
        finished(Command::new(&script).arg(&bare).arg("--check").arg(&file))?;
        Ok(file)
    }
}

fn git(repository: &Path, input: Stdio, arguments: &[&str]) -> Result<()> {
    fs::create_dir_all(repository)?;
    let mut command = Command::new("git");
    // As in a hook of git: these would lead it to another repository.
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    finished(command.current_dir(repository).args(arguments).stdin(input)).map(drop)
}

/// What a command said on its error output.
fn finished(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("failed to start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    ensure!(output.status.success(), "{program} failed: {}{said}", String::from_utf8_lossy(&output.stdout));
    Ok(said)
}
