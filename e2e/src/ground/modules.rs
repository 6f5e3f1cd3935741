//! The parts that are built: which Go module, which flags, which binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::host::run;
use super::paths::Paths;
use super::progress::say;

/// The oldest Weaviate that the ground builds by name: the oldest that the operator supports.
const OLDEST_WEAVIATE: (u32, u32) = (1, 31);

/// One Go module whose `tool` directives name what is built from it.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// Names its folders and its log.
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
    /// What a person reads while it is built.
    pub(crate) title: String,
    /// What `go build` makes: the tools, or the module itself where it has none.
    target: &'static str,
    ldflags: String,
    pub(crate) binaries: &'static [&'static str],
    /// How long it takes on two cores with nothing compiled yet.
    pub(crate) usual: Duration,
}

impl Module {
    pub(crate) fn kubernetes(paths: &Paths) -> Result<Self> {
        let folder = paths.modules().join("kubernetes");
        let version = required_version(&folder, "k8s.io/kubernetes")?;
        let minor = version.split('.').nth(1).unwrap_or_default().to_owned();
        // Without these it calls itself v0.0.0, and clients refuse it.
        let package = "-X k8s.io/component-base/version.git";
        let ldflags = format!("{package}Version={version} {package}Major=1 {package}Minor={minor}");
        let binaries =
            &["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"];
        let title = format!("kubernetes {version} ({} binaries)", binaries.len());
        let name = "kubernetes".to_owned();
        Ok(Self { name, folder, version, title, target: "tool", ldflags, binaries, usual: minutes(8) })
    }

    pub(crate) fn coredns(paths: &Paths) -> Result<Self> {
        let folder = paths.modules().join("coredns");
        let version = required_version(&folder, "github.com/coredns/coredns")?;
        Ok(Self::tool("coredns", folder, &version, &["coredns"], 3))
    }

    pub(crate) fn helm(paths: &Paths) -> Result<Self> {
        let folder = paths.modules().join("helm");
        let version = required_version(&folder, "helm.sh/helm/v3")?;
        let ldflags = format!("-X helm.sh/helm/v3/internal/version.version={version}");
        Ok(Self { ldflags, ..Self::tool("helm", folder, &version, &["helm"], 2) })
    }

    /// A server that speaks S3, over a folder.
    pub(crate) fn versitygw(paths: &Paths) -> Result<Self> {
        let folder = paths.modules().join("versitygw");
        let version = required_version(&folder, "github.com/versity/versitygw")?;
        Ok(Self::tool("versitygw", folder, &version, &["versitygw"], 3))
    }

    /// Our own thirty lines, without any dependency.
    pub(crate) fn pause(paths: &Paths) -> Self {
        Self { target: ".", ..Self::tool("pause", paths.pause_source(), "1", &["pause"], 1) }
    }

    /// What GitOps tools say of objects: see its own text.
    pub(crate) fn judge(paths: &Paths) -> Self {
        Self { target: ".", ..Self::tool("judge", paths.judge_source(), "1", &["judge"], 1) }
    }

    /// Prometheus' engine over the chart's alerts: see its own text.
    pub(crate) fn alerts(paths: &Paths) -> Self {
        Self { target: ".", ..Self::tool("alerts", paths.alerts_source(), "1", &["alerts"], 2) }
    }

    /// A server of Google Cloud Storage's XML API: see its own text.
    pub(crate) fn gcs(paths: &Paths) -> Self {
        Self { target: ".", ..Self::tool("gcs", paths.gcs_source(), "1", &["gcs"], 2) }
    }

    /// A Weaviate version: pinned in the repository, or else pinned in the cache from its first use on.
    pub(crate) fn weaviate(paths: &Paths, version: &str) -> Result<Self> {
        check_weaviate_version(version)?;
        let name = format!("weaviate-{version}");
        let pinned = paths.modules().join(&name);
        let folder = if pinned.exists() { pinned } else { unpinned_weaviate(paths, &name, version)? };
        Ok(Self::tool(&name, folder, version, &["weaviate-server"], 3))
    }

    fn tool(name: &str, folder: PathBuf, version: &str, binaries: &'static [&'static str], usual: u64) -> Self {
        let title = if name.ends_with(version) { name.replace('-', " ") } else { format!("{name} {version}") };
        let (name, version, ldflags) = (name.to_owned(), version.to_owned(), String::new());
        Self { name, folder, version, title, target: "tool", ldflags, binaries, usual: minutes(usual) }
    }

    /// One set of flags for all: another flag compiles every package again. The paths of this machine are trimmed, so
    /// that the same sources give the same bytes everywhere.
    pub(crate) fn arguments(&self, output: &Path) -> Vec<String> {
        let ldflags = format!("-ldflags=-s -w {}", self.ldflags);
        let fixed = ["build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", ldflags.trim_end()];
        let mut arguments = fixed.map(str::to_owned).to_vec();
        arguments.extend(["-o".to_owned(), format!("{}/", output.display()), self.target.to_owned()]);
        arguments
    }

    /// What the build depends on, besides the compiler.
    pub(crate) fn inputs(&self) -> Result<String> {
        let mut text = self.arguments(Path::new("OUTPUT")).join("\n");
        for file in ["go.mod", "go.sum", "main.go"] {
            let path = self.folder.join(file);
            if path.exists() {
                text.push_str(
                    &fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?,
                );
            }
        }
        Ok(text)
    }

    /// A `go` command in this module's folder, with nothing of the caller's own Go settings.
    pub(crate) fn go(&self, go: &Path) -> Command {
        go_command(go, &self.folder)
    }
}

pub(crate) fn go_command(go: &Path, folder: &Path) -> Command {
    let mut command = Command::new(go);
    command.current_dir(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
    command
}

/// The Go compiler: from `PATH`, or where its own installation puts it.
pub(crate) struct Compiler {
    pub(crate) path: PathBuf,
    /// Its version and platform: what it makes depends on both.
    pub(crate) version: String,
}

impl Compiler {
    pub(crate) fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).collect::<Vec<_>>();
        folders.extend(["/usr/local/go/bin".into(), "/usr/lib/go/bin".into()]);
        let Some(path) = folders.iter().map(|folder| folder.join("go")).find(|go| go.is_file()) else {
            bail!("Kubernetes and Weaviate are built by Go, and there is no `go` on the PATH: install Go 1.26 or newer")
        };
        let version = run(go_command(&path, Path::new("/")).arg("version"))?;
        Ok(Self { path, version })
    }
}

/// The folder of a dependency of one of the pinned modules: downloaded, checked against its `go.sum`, and read-only.
pub fn downloaded(paths: &Paths, module: &str, dependency: &str) -> Result<PathBuf> {
    let folder = paths.modules().join(module);
    let mut command = go_command(&Compiler::find()?.path, &folder);
    let answer = run(command.args(["mod", "download", "-json", dependency]))?;
    let answer: serde_json::Value = serde_json::from_str(&answer).context("`go mod download` printed no JSON")?;
    let place = answer["Dir"].as_str().with_context(|| format!("`go mod download` has no folder for {dependency}"))?;
    Ok(place.into())
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn required_version(folder: &Path, module: &str) -> Result<String> {
    let path = folder.join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    version_in(&text, module).with_context(|| format!("{} does not require {module}", path.display()))
}

fn version_in(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        let version = line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next()?;
        version.starts_with('v').then(|| version.to_owned())
    })
}

fn check_weaviate_version(version: &str) -> Result<()> {
    let numbers = version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().unwrap_or_default();
    ensure!(numbers.len() == 3, "`{version}` is no version of Weaviate: say it as 1.38.2");
    ensure!((numbers[0], numbers[1]) >= OLDEST_WEAVIATE, "Weaviate {version} is older than 1.31, the oldest supported");
    Ok(())
}

/// Made whole under another name and then renamed, so that a killed run leaves no half of a module.
fn unpinned_weaviate(paths: &Paths, name: &str, version: &str) -> Result<PathBuf> {
    let folder = paths.cache.join("modules").join(name);
    say(format!("{name} is not pinned in this repository: its checksums are kept in {}", folder.display()));
    if folder.exists() {
        return Ok(folder);
    }
    let partial = paths.cache.join("modules").join(format!(".{name}.partial"));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let go = Compiler::find()?.path;
    let module = format!("elysia.dev/ground/{name}");
    run(go_command(&go, &partial).args(["mod", "init", &module]))?;
    let tool = format!("github.com/weaviate/weaviate/cmd/weaviate-server@v{version}");
    run(go_command(&go, &partial).args(["get", "-tool", &tool]))?;
    run(go_command(&go, &partial).args(["mod", "tidy"]))?;
    fs::rename(&partial, &folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_version_is_found_in_a_line_and_in_a_block() {
        assert_eq!(version_in("require a.b/c v1.2.3\n", "a.b/c").as_deref(), Some("v1.2.3"));
        assert_eq!(version_in("require (\n\ta.b/c v1.2.3 // indirect\n)", "a.b/c").as_deref(), Some("v1.2.3"));
        assert_eq!(version_in("tool (\n\ta.b/c/cmd\n)\nrequire a.b/cd v1.0.0", "a.b/c"), None);
    }

    #[test]
    fn versions_of_weaviate_are_whole_and_not_too_old() {
        assert!(check_weaviate_version("1.31.0").is_ok());
        assert!(check_weaviate_version("1.30.9").is_err());
        assert!(check_weaviate_version("1.38").is_err());
        assert!(check_weaviate_version("latest").is_err());
    }
}
