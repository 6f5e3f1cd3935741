//! containerd of our own: its socket, root and state in our folder, its images kept from one `up` to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::host::{program, run};
use super::image::ImageRecipe;
use super::network::configuration;
use super::paths::Paths;
use super::process::Servers;

const NAME: &str = "containerd";
const START: Duration = Duration::from_secs(20);

/// The sandbox image, in our own name: no registry is ever asked.
pub(crate) const PAUSE_IMAGE: &str = "elysia.dev/ground-pause:1";

/// An image together with what it was made from, so that the same is not imported twice.
pub(crate) struct Wanted {
    pub(crate) recipe: ImageRecipe,
    /// Changes when, and only when, the image's content does.
    pub(crate) key: String,
}

/// Brings containerd into the state in which the kubelet may use it: no container of an earlier ground, every wanted
/// image there. Both are done while the part that serves the kubelet is off: it then knows all images from its first
/// moment and never hears of containers whose processes are long gone.
pub(crate) fn start(paths: &Paths, servers: &Servers<'_>, wanted: &[Wanted]) -> Result<()> {
    for working_folder in ["io.containerd.runtime.v2.task", "io.containerd.grpc.v1.cri"] {
        let _ = fs::remove_dir_all(root(paths).join(working_folder));
    }
    run_server(paths, servers, false)?;
    forget_containers(paths)?;
    import_missing(paths, wanted)?;
    servers.stop(NAME)?;
    run_server(paths, servers, true)
}

fn root(paths: &Paths) -> PathBuf {
    paths.state.join("containerd")
}

fn run_server(paths: &Paths, servers: &Servers<'_>, serves_kubelet: bool) -> Result<()> {
    let file = paths.state.join("containerd.toml");
    fs::create_dir_all(root(paths))?;
    fs::write(&file, settings(paths, serves_kubelet)).with_context(|| format!("failed to write {}", file.display()))?;
    let socket = paths.containerd_socket();
    let _ = fs::remove_file(&socket);
    servers.start(NAME, &program(NAME), &["--config".into(), file.display().to_string()])?;
    servers.wait_for(NAME, START, || Ok(UnixStream::connect(&socket).is_ok().then_some(())))
}

fn settings(paths: &Paths, serves_kubelet: bool) -> String {
    let path = |name: &str| paths.state.join(name).display().to_string();
    let disabled = if serves_kubelet { "" } else { r#""io.containerd.grpc.v1.cri", "# };
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [{disabled}"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  stream_server_address = "127.0.0.1"
  # Lowering a score needs SYS_RESOURCE, which a machine of a build system may lack: no sandbox would ever start.
  restrict_oom_score_adj = true
  # Everything under one folder, so that `down` finds it.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{runc}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"#,
        root = root(paths).display(),
        state = path("containerd-state"),
        socket = paths.containerd_socket().display(),
        opt = path("containerd-opt"),
        runc = path("runc"),
        cni = configuration(paths).display(),
    )
}

fn ctr(paths: &Paths) -> Command {
    let mut command = Command::new(program("ctr"));
    command.arg("--address").arg(paths.containerd_socket()).args(["--namespace", "k8s.io"]);
    command
}

/// Containers whose processes died with an earlier ground, the file systems they wrote into, and the operator's images
/// from earlier working trees: the next one is made after this.
fn forget_containers(paths: &Paths) -> Result<()> {
    let listing = run(ctr(paths).args(["containers", "list", "--quiet"]))?;
    let containers = listing.split_whitespace().collect::<Vec<_>>();
    if !containers.is_empty() {
        run(ctr(paths).args(["containers", "delete"]).args(containers))?;
    }
    let listing = run(ctr(paths).args(["images", "list"]))?;
    let old = old_images(&listing);
    if !old.is_empty() {
        run(ctr(paths).args(["images", "delete"]).args(old))?;
    }
    // The only call that waits until what nothing refers to is off the disk.
    let lease = run(ctr(paths).args(["leases", "create"]))?;
    run(ctr(paths).args(["leases", "delete", "--sync", lease.trim()])).map(drop)
}

/// The operator's images, and the names that the kubelet's interface gives to every image besides its own
/// (`sha256:…`): such a name alone would keep half a gigabyte for ever.
fn old_images(listing: &str) -> Vec<&str> {
    let images = listing.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.nth(1)?))
    });
    let images = images.collect::<Vec<_>>();
    let is_ours = |name: &str| name.contains(&format!("/{}:dev-", super::operator::REPOSITORY));
    let is_nameless = |name: &str| name.starts_with("sha256:");
    let kept = images.iter().filter(|(name, _)| !is_ours(name) && !is_nameless(name));
    let kept = kept.map(|(_, digest)| *digest).collect::<BTreeSet<_>>();
    let is_old = |(name, digest): &&(&str, &str)| is_ours(name) || is_nameless(name) && !kept.contains(digest);
    images.iter().filter(is_old).map(|(name, _)| *name).collect()
}

/// What was imported, by name: kept beside the images themselves.
fn imported(paths: &Paths) -> BTreeMap<String, String> {
    let text = fs::read(imported_file(paths)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn imported_file(paths: &Paths) -> PathBuf {
    root(paths).join("imported.json")
}

/// Imports what containerd does not have in just this content; says whether there was anything.
pub(crate) fn import_missing(paths: &Paths, wanted: &[Wanted]) -> Result<bool> {
    let mut imported_any = false;
    let known = imported(paths);
    let present = run(ctr(paths).args(["images", "list", "--quiet"]))?;
    for image in wanted {
        let name = &image.recipe.name;
        if known.get(name) == Some(&image.key) && is_listed(&present, name) {
            continue;
        }
        let archive = tempfile::Builder::new().prefix("image-").suffix(".tar").tempfile_in(&paths.state)?;
        image.recipe.write(archive.path())?;
        import(paths, archive.path(), name)?;
        record(paths, name, &image.key)?;
        imported_any = true;
    }
    Ok(imported_any)
}

/// Imports a docker-archive file and checks that the image is there under its name.
fn import(paths: &Paths, archive: &Path, name: &str) -> Result<()> {
    run(ctr(paths).args(["images", "import"]).arg(archive))?;
    let present = run(ctr(paths).args(["images", "list", "--quiet"]))?;
    ensure!(is_listed(&present, name), "containerd imported no {name}; it has:\n{present}");
    Ok(())
}

fn record(paths: &Paths, name: &str, key: &str) -> Result<()> {
    let mut known = imported(paths);
    known.insert(name.to_owned(), key.to_owned());
    fs::write(imported_file(paths), serde_json::to_vec_pretty(&known)?).context("failed to record an imported image")
}

/// containerd completes a short name with the host that it would ask; what follows is the name as it was given.
fn is_listed(listing: &str, name: &str) -> bool {
    let ends_with_it = |line: &str| line.strip_suffix(name).is_some_and(|host| host.is_empty() || host.ends_with('/'));
    listing.lines().any(ends_with_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_under_its_completed_name() {
        let listing = "elysia.dev/ground-pause:1\nhost.example/library/elysia-operator:dev-1\nsha256:12\n";
        assert!(is_listed(listing, "elysia-operator:dev-1"));
        assert!(is_listed(listing, "elysia.dev/ground-pause:1"));
        assert!(!is_listed(listing, "operator:dev-1"));
    }
}
