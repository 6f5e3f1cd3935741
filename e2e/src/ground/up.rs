//! `up` and `down`: the order of things, and the ground as others use it.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::build::{Built, ensure_built, short_hash};
use super::containerd::{self, PAUSE_IMAGE, Wanted};
use super::image::{self, ImageRecipe};
use super::kubectl::Kubectl;
use super::modules::{Compiler, Module};
use super::paths::Paths;
use super::process::{self, Servers};
use super::progress::{elapsed, say, wait_for};
use super::{addons, control_plane, host, leavings, network, node, packages, pki, volumes};

/// The version of Weaviate that `up` brings without being asked.
pub const DEFAULT_WEAVIATE: &str = "1.38.2";

/// A shell for pods that tests make: nothing else on the ground has one.
pub const TOOLS_IMAGE: &str = "elysia.dev/ground-tools:1";

/// How many servers a running ground has.
const SERVERS: usize = 7;

/// A node is given up by Kubernetes after forty seconds, and comes back with the kubelet's next word.
const RECOVERY: Duration = Duration::from_secs(60);

/// What `up` is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Versions of Weaviate besides [`DEFAULT_WEAVIATE`].
    pub weaviate: Vec<String>,
}

/// A running ground.
#[derive(Clone, Debug)]
pub struct Ground {
    paths: Paths,
    record: Record,
}

/// What is known of a running ground without asking it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    /// Of everything it was made from: another checkout may pin other versions.
    fingerprint: String,
    kubectl: PathBuf,
    helm: PathBuf,
}

/// Everything that is built.
struct Parts {
    kubernetes: Built,
    helm: Built,
    images: Vec<Wanted>,
    dns_image: String,
}

/// Brings the ground up, whatever was there before, and returns when the node is Ready and names are answered.
pub fn up(options: &Options) -> Result<Ground> {
    host::check()?;
    let paths = Paths::from_environment();
    let _lock = lock(&paths)?;
    packages::ensure_installed()?;
    let parts = Parts::ensure(&paths, &options.weaviate)?;
    let started = Instant::now();
    let ground = Ground { record: parts.record(&paths), paths };
    if ground.is_healthy(&parts.record(&ground.paths)) {
        containerd::import_missing(&ground.paths, &parts.images)?;
        ground.recycle_volumes()?;
        ground.write_environment()?;
        say(format!("already up ({})", elapsed(started)));
    } else {
        clean_up_before(&ground.paths)?;
        ground.start(&parts, started).with_context(|| {
            format!(
                "the ground did not come up; what its servers said is in {}",
                ground.paths.state.join("log").display()
            )
        })?;
    }
    say(format!("to use it: source {}", ground.paths.environment_file().display()));
    Ok(ground)
}

/// Takes the ground down and proves that nothing of it is left, but the images for the next time.
pub fn down() -> Result<()> {
    host::check()?;
    let paths = Paths::from_environment();
    let _lock = lock(&paths)?;
    let started = Instant::now();
    let before = leavings::find(&paths).len();
    let left = leavings::remove(&paths);
    let _ = fs::remove_dir_all(paths.target.join("ground"));
    if left.is_empty() {
        let what = if before == 0 { "nothing was up".to_owned() } else { format!("down in {}", elapsed(started)) };
        say(format!("{what}: no process, mount, interface, nft table, cgroup or file of the ground is left"));
        return Ok(());
    }
    let list = left.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    bail!("{} leavings of the ground would not go:\n  {list}", left.len())
}

fn clean_up_before(paths: &Paths) -> Result<()> {
    let found = leavings::find(paths).len();
    if found == 0 {
        return Ok(());
    }
    let started = Instant::now();
    let left = leavings::remove(paths);
    if let Some(first) = left.first() {
        bail!("{} leavings of an earlier ground would not go, such as {first}", left.len());
    }
    say(format!("removed {found} leavings of an earlier ground in {}", elapsed(started)));
    Ok(())
}

/// One `up` or `down` at a time on one machine, whichever folders they use: the lock ends with its process, however that
/// ends. The file also names the state folder of the ground that is up, because bridge, tables and cgroups exist once.
fn lock(paths: &Paths) -> Result<File> {
    let path = Path::new("/run/lock/elysia-ground");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.as_mut().map_err(|error| anyhow!("failed to open {}: {error}", path.display()))?;
    if file.try_lock().is_err() {
        say("another `up` or `down` is at work on this machine: waiting for it …");
        file.lock().context("failed to wait for it")?;
    }
    let mut owner = String::new();
    file.read_to_string(&mut owner)?;
    let other = Paths { state: PathBuf::from(&owner), ..paths.clone() };
    if other.state != paths.state && process::recorded(&other).iter().any(process::Identity::is_alive) {
        bail!(
            "a ground is up in {owner}, and a machine has room for one: take it down with ELYSIA_GROUND_STATE={owner}"
        )
    }
    file.rewind()?;
    file.set_len(0)?;
    write!(file, "{}", paths.state.display())?;
    Ok(file.try_clone()?)
}

impl Parts {
    fn ensure(paths: &Paths, more_weaviate: &[String]) -> Result<Self> {
        let go = Compiler::find()?;
        let kubernetes = ensure_built(paths, &go, &Module::kubernetes(paths)?)?;
        let helm = ensure_built(paths, &go, &Module::helm(paths)?)?;
        let pause = ensure_built(paths, &go, &Module::pause(paths))?;
        let dns = Module::coredns(paths)?;
        let dns_image = addons::dns_image(&dns.version);
        let dns = ensure_built(paths, &go, &dns)?;
        let tools = image::tools(TOOLS_IMAGE);
        let mut images = vec![
            wanted(PAUSE_IMAGE, &pause, "pause", "/pause"),
            wanted(&dns_image, &dns, "coredns", "/coredns"),
            Wanted { key: short_hash(&format!("{:?}", tools.entries)), recipe: tools },
        ];
        let mut versions = vec![DEFAULT_WEAVIATE];
        versions.extend(more_weaviate.iter().map(String::as_str));
        for version in versions {
            let weaviate = ensure_built(paths, &go, &Module::weaviate(paths, version)?)?;
            let name = format!("semitechnologies/weaviate:{version}");
            let mut image = wanted(&name, &weaviate, "weaviate-server", "/bin/weaviate");
            // As in the published image: a pod without `args` must find these.
            image.recipe.arguments =
                ["--host", "0.0.0.0", "--port", "8080", "--scheme", "http"].map(str::to_owned).to_vec();
            images.push(image);
        }
        Ok(Self { kubernetes, helm, images, dns_image })
    }

    fn record(&self, paths: &Paths) -> Record {
        let servers = ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet"];
        let mut identity = servers.map(|server| self.kubernetes.hash(server)).join("\n");
        identity.push_str(&self.dns_image);
        identity.push_str(&paths.state.display().to_string());
        let (kubectl, helm) = (self.kubernetes.path("kubectl"), self.helm.path("helm"));
        Record { fingerprint: short_hash(&identity), kubectl, helm }
    }
}

/// The server of this version of Weaviate as a program of this machine: what the ground's image of it runs. Built
/// unless it is in the cache.
pub fn weaviate_server(version: &str) -> Result<PathBuf> {
    let paths = Paths::from_environment();
    let built = ensure_built(&paths, &Compiler::find()?, &Module::weaviate(&paths, version)?)?;
    Ok(built.path("weaviate-server"))
}

/// The server that speaks S3 as a program of this machine. Built unless it is in the cache.
pub fn s3_server() -> Result<PathBuf> {
    let paths = Paths::from_environment();
    let built = ensure_built(&paths, &Compiler::find()?, &Module::versitygw(&paths)?)?;
    Ok(built.path("versitygw"))
}

/// The server that speaks as Google Cloud Storage does. Built unless it is in the cache.
pub fn gcs_server() -> Result<PathBuf> {
    let paths = Paths::from_environment();
    let built = ensure_built(&paths, &Compiler::find()?, &Module::gcs(&paths))?;
    Ok(built.path("gcs"))
}

/// Builds the servers that journeys keep objects on, unless they are in the cache: to compile them takes minutes, which are
/// none of those that a journey may take.
pub fn build_object_servers() -> Result<()> {
    s3_server()?;
    gcs_server().map(drop)
}

fn wanted(name: &str, built: &Built, binary: &str, path: &str) -> Wanted {
    let recipe = ImageRecipe::of_static_binary(name, &built.path(binary), path);
    Wanted { recipe, key: built.hash(binary).to_owned() }
}

impl Ground {
    /// The ground that runs on this machine, for whoever only uses it.
    pub fn running() -> Result<Self> {
        let paths = Paths::from_environment();
        let record = read_record(&paths).ok_or_else(|| anyhow!("the ground is not up: run `cargo xtask up`"))?;
        Ok(Self { paths, record })
    }

    /// Where it is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// kubectl with the administrator's rights.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.record.kubectl.clone(), self.paths.kubeconfig())
    }

    /// A `helm` command that needs only its arguments.
    pub fn helm(&self) -> Command {
        let mut command = Command::new(&self.record.helm);
        command.arg("--kubeconfig").arg(self.paths.kubeconfig());
        command
    }

    /// Imports an image unless it is there in this very content, which `key` stands for; says whether it was imported.
    pub fn import(&self, recipe: &ImageRecipe, key: &str) -> Result<bool> {
        containerd::import_missing(&self.paths, &[Wanted { recipe: recipe.clone(), key: key.to_owned() }])
    }

    /// Empties the volumes whose claims were deleted and offers them again; returns their names.
    pub fn recycle_volumes(&self) -> Result<Vec<String>> {
        volumes::recycle(&self.paths, &self.kubectl())
    }

    /// Every server runs, the API server is ready, the node is Ready, and all was made from the same parts.
    fn is_healthy(&self, wanted: &Record) -> bool {
        let servers = process::recorded(&self.paths);
        let same = read_record(&self.paths).is_some_and(|record| record.fingerprint == wanted.fingerprint);
        let alive = servers.len() == SERVERS && servers.iter().all(process::Identity::is_alive);
        if !same || !alive || !network::is_there() {
            return false;
        }
        // A machine under load answers late, and that is no reason to take a ground with all its data down.
        let kubectl = self.kubectl();
        let dns_is_ready = || addons::dns_is_ready(&kubectl);
        let ready = || Ok((kubectl.is_ready() && kubectl.node_is_ready() && dns_is_ready()).then_some(()));
        wait_for("the running ground", RECOVERY, ready).is_ok()
    }

    fn start(&self, parts: &Parts, started: Instant) -> Result<()> {
        let (paths, kubectl) = (&self.paths, self.kubectl());
        for folder in ["log", "processes"] {
            let folder = paths.state.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        network::check_ports()?;
        pki::write(&paths.pki())?;
        network::prepare(paths)?;
        let servers = Servers::new(paths);
        thread::scope(|scope| {
            let containerd = scope.spawn(|| containerd::start(paths, &servers, &parts.images));
            control_plane::start_api(paths, &servers, &parts.kubernetes, &kubectl)?;
            say(format!("API server ready after {}", elapsed(started)));
            control_plane::start_controllers(paths, &servers, &parts.kubernetes)?;
            let objects = scope.spawn(|| {
                addons::apply(&kubectl, &parts.dns_image)?;
                volumes::create(paths, &kubectl)
            });
            joined(containerd)?;
            node::start(paths, &servers, &parts.kubernetes)?;
            node::wait_until_ready(&servers, &kubectl)?;
            let ready = elapsed(started);
            joined(objects)?;
            addons::wait_for_dns(&servers, &kubectl)?;
            say(format!("node Ready after {ready}, DNS after {}", elapsed(started)));
            anyhow::Ok(())
        })?;
        let record = serde_json::to_vec_pretty(&self.record)?;
        fs::write(record_file(paths), record).context("failed to record the ground")?;
        self.write_environment()
    }

    /// Writes the file that a shell sources, for this checkout.
    pub fn write_environment(&self) -> Result<()> {
        let folder = self.paths.target.join("ground");
        let programs = folder.join("bin");
        fs::create_dir_all(&programs).with_context(|| format!("failed to make {}", programs.display()))?;
        for (name, binary) in [("kubectl", &self.record.kubectl), ("helm", &self.record.helm)] {
            let link = programs.join(name);
            let _ = fs::remove_file(&link);
            symlink(binary, &link).with_context(|| format!("failed to link {}", link.display()))?;
        }
        let image = fs::read_to_string(self.paths.state.join("operator-image")).ok();
        let text = environment(&self.paths, &programs, image.as_deref());
        fs::write(self.paths.environment_file(), text).context("failed to write the env file")
    }
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread of `up` panicked"))?
}

fn record_file(paths: &Paths) -> PathBuf {
    paths.state.join("ground.json")
}

fn read_record(paths: &Paths) -> Option<Record> {
    serde_json::from_slice(&fs::read(record_file(paths)).ok()?).ok()
}

fn environment(paths: &Paths, programs: &Path, image: Option<&str>) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let mut lines = vec![
        format!("export KUBECONFIG={}", quoted(&paths.kubeconfig())),
        format!("export PATH={}:{}:\"$PATH\"", quoted(programs), quoted(&paths.target.join("debug"))),
        format!("export ELYSIA_GROUND_STATE={}", quoted(&paths.state)),
    ];
    lines.extend(image.map(|image| format!("export IMAGE={}", quoted(Path::new(image)))));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_survives_a_quote_in_a_path() {
        let paths = Paths { target: "/it's/target".into(), ..Paths::from_environment() };
        let text = environment(&paths, Path::new("/bin"), Some("elysia-operator:dev-1"));
        assert!(text.contains(r"'/it'\''s/target/debug'"));
        assert!(text.ends_with("export IMAGE='elysia-operator:dev-1'\n"));
    }
}
