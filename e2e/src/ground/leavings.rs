//! What a ground leaves on the machine, however it ended: found by what it is, not by what was remembered of it.
//!
//! The same search serves three times: `up` removes what an earlier run left, `down` removes the running ground, and
//! `down` then proves that nothing is left.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use super::network;
use super::paths::Paths;
use super::process;

/// The cgroup above all pods, in every hierarchy.
pub(crate) const CGROUP: &str = "elysia-ground";

/// What of the state survives `down`: images, which are the same every time.
const KEPT: &str = "containerd";

/// The servers: only these are ended for having our folder in their arguments. An editor or a pager with a log of ours
/// open is nobody's leaving.
const SERVERS: [&str; 9] = [
    "containerd",
    "containerd-shim-runc-v2",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "runc",
];

/// The kernel takes down network namespaces and cgroups in its own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// One thing that is ours. The order is the order of removal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Leaving {
    /// A process: number and program.
    Process(i32, String),
    /// The innermost first.
    Mount(Reverse<PathBuf>),
    Interface(String),
    /// An nft table: family and name.
    Table(String, String),
    Cgroup(PathBuf),
    /// A file in a folder that others use as well.
    File(PathBuf),
    /// Settings of the kernel that are not as they were.
    Settings,
    /// A file or folder of our own state.
    State(PathBuf),
}

impl Leaving {
    /// Processes first, then mounts, then all that is independent of each other, and our own records last.
    fn barrier(&self) -> u8 {
        match self {
            Self::Process(..) => 0,
            Self::Mount(_) => 1,
            Self::Interface(_) | Self::Table(..) | Self::Cgroup(_) | Self::File(_) => 2,
            Self::Settings | Self::State(_) => 3,
        }
    }
}

impl fmt::Display for Leaving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid, program) => write!(formatter, "process {pid} ({program})"),
            Self::Mount(Reverse(path)) => write!(formatter, "mount {}", path.display()),
            Self::Interface(name) => write!(formatter, "network interface {name}"),
            Self::Table(family, name) => write!(formatter, "nft table {family} {name}"),
            Self::Cgroup(path) => write!(formatter, "cgroup {}", path.display()),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Settings => write!(formatter, "kernel settings"),
            Self::State(path) => write!(formatter, "state {}", path.display()),
        }
    }
}

/// Everything of ours that is on the machine now, in the order in which it is removed.
pub(crate) fn find(paths: &Paths) -> BTreeSet<Leaving> {
    let mut found = BTreeSet::new();
    found.extend(processes(paths));
    found.extend(mounts(paths).into_iter().map(Reverse).map(Leaving::Mount));
    found.extend(cgroups().into_iter().map(Leaving::Cgroup));
    found.extend(shared_files(paths).into_iter().map(Leaving::File));
    found.extend(network::interfaces().into_iter().map(Leaving::Interface));
    found.extend(network::tables().into_iter().map(|(family, name)| Leaving::Table(family, name)));
    let state = fs::read_dir(&paths.state).into_iter().flatten().flatten();
    for entry in state.filter(|entry| entry.file_name() != KEPT) {
        let is_settings = entry.file_name().to_string_lossy().starts_with("settings-before");
        found.insert(if is_settings { Leaving::Settings } else { Leaving::State(entry.path()) });
    }
    found
}

/// Removes all of it, and returns what would not go.
pub(crate) fn remove(paths: &Paths) -> BTreeSet<Leaving> {
    let started = Instant::now();
    loop {
        let found = find(paths);
        if found.is_empty() || started.elapsed() > PATIENCE {
            return found;
        }
        // Each kind waits until the one before it is gone: a process may mount and write again while it lives, and
        // whoever deletes a folder deletes what is mounted in it.
        let barrier = found.iter().map(Leaving::barrier).min();
        for leaving in found.iter().filter(|leaving| Some(leaving.barrier()) == barrier) {
            remove_one(paths, leaving);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn remove_one(paths: &Paths, leaving: &Leaving) {
    match leaving {
        Leaving::Process(pid, _) => process::kill(*pid, Signal::KILL),
        Leaving::Mount(Reverse(path)) => drop(unmount(path.as_path(), UnmountFlags::DETACH)),
        Leaving::Interface(name) => network::delete_interface(name),
        Leaving::Table(family, name) => network::delete_table(family, name),
        Leaving::Cgroup(path) => remove_cgroup(path),
        Leaving::Settings => network::restore_settings(paths),
        Leaving::State(path) if path.is_dir() => drop(fs::remove_dir_all(path)),
        Leaving::File(path) | Leaving::State(path) => drop(fs::remove_file(path)),
    }
}

/// Recorded processes, servers that name our folder, and whatever runs in the pods' cgroup.
fn processes(paths: &Paths) -> Vec<Leaving> {
    let recorded = process::recorded(paths).into_iter().filter(process::Identity::is_alive);
    let mut found = recorded.map(|identity| identity.pid).collect::<BTreeSet<_>>();
    found.extend(all_processes().into_iter().filter(|pid| is_our_server(paths, *pid)));
    found.extend(cgroups().iter().flat_map(|cgroup| members(cgroup)).filter(|pid| process::runs(*pid)));
    found.into_iter().map(|pid| Leaving::Process(pid, program_of(pid))).collect()
}

fn all_processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

fn is_our_server(paths: &Paths, pid: i32) -> bool {
    let program = program_of(pid);
    if !SERVERS.contains(&program.as_str()) || !process::runs(pid) {
        return false;
    }
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    names_folder(&String::from_utf8_lossy(&arguments), &paths.state)
}

fn program_of(pid: i32) -> String {
    let link = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.trim_end_matches(" (deleted)").to_owned()
}

/// Whether an argument names something in just this folder, and not in another that begins with its name.
fn names_folder(arguments: &str, folder: &Path) -> bool {
    arguments.contains(&format!("{}/", folder.display()))
}

/// Mounts in our state folder, from the outermost to the innermost.
fn mounts(paths: &Paths) -> Vec<PathBuf> {
    mounts_under(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), &paths.state)
}

/// The mount points below a folder, by `/proc/self/mountinfo`.
pub(crate) fn mounts_under(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let point = |line: &str| line.split(' ').nth(4).map(|path| PathBuf::from(path.replace("\\040", " ")));
    mountinfo.lines().filter_map(point).filter(|path| path != folder && path.starts_with(folder)).collect()
}

/// Our cgroup in every hierarchy, version 1 and 2, where it exists.
fn cgroups() -> Vec<PathBuf> {
    hierarchies().into_iter().map(|hierarchy| hierarchy.join(CGROUP)).filter(|path| path.exists()).collect()
}

fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let point = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then(|| PathBuf::from(path))
    };
    mounts.lines().filter_map(point).collect()
}

/// Makes the cgroup that the kubelet expects to be there already.
pub(crate) fn make_cgroup() -> Result<()> {
    for hierarchy in hierarchies() {
        let cgroup = hierarchy.join(CGROUP);
        fs::create_dir_all(&cgroup).with_context(|| format!("failed to make {}", cgroup.display()))?;
        // A cpuset of version 1 begins empty, and nothing runs in an empty one.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(hierarchy.join(file)) {
                fs::write(cgroup.join(file), all.trim())?;
            }
        }
    }
    Ok(())
}

fn members(cgroup: &Path) -> Vec<i32> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut members = own.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>();
    members.extend(children(cgroup).iter().flat_map(|child| self::members(child)));
    members
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// From the innermost outwards: a cgroup with children cannot be removed.
fn remove_cgroup(cgroup: &Path) {
    for child in children(cgroup) {
        remove_cgroup(&child);
    }
    let _ = fs::remove_dir(cgroup);
}

/// Ours in folders that no configuration moves: results of network plug-ins, sockets of shims, links to logs, the
/// socket of device plug-ins.
fn shared_files(paths: &Paths) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        if names_folder(&String::from_utf8_lossy(&text), &paths.state) {
            found.push(entry.path());
        }
    }
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&paths.state)) {
            found.push(entry.path());
        }
    }
    // Of our kubelet, if one ran: another's would have failed beside it.
    let devices = PathBuf::from("/var/lib/kubelet/device-plugins/kubelet.sock");
    if paths.state.join("kubelet").exists() && devices.exists() {
        found.push(devices);
    }
    let shims = paths.state.join("containerd-state/io.containerd.runtime.v2.task/k8s.io");
    for entry in fs::read_dir(shims).into_iter().flatten().flatten() {
        let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
        let socket = PathBuf::from(address.trim().trim_start_matches("unix://"));
        if socket.starts_with("/run/containerd/s") && socket.exists() {
            found.push(socket);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_folder_with_the_same_beginning_is_not_ours() {
        let folder = Path::new("/var/lib/ground");
        assert!(names_folder("--config=/var/lib/ground/kubelet.json", folder));
        assert!(!names_folder("--config=/var/lib/ground-two/kubelet.json", folder));
        assert!(!names_folder("/var/lib/ground", folder));
    }

    #[test]
    fn mounts_are_found_below_our_folder_only() {
        let mountinfo = "1 2 8:1 / / rw - ext4 /dev/a rw\n\
                         3 1 0:9 / /var/lib/ground/a\\040b rw - tmpfs tmpfs rw\n\
                         4 1 0:9 / /var/lib/ground-two/a rw - tmpfs tmpfs rw\n";
        assert_eq!(mounts_under(mountinfo, Path::new("/var/lib/ground")), [PathBuf::from("/var/lib/ground/a b")]);
    }

    #[test]
    fn processes_go_first_and_inner_mounts_before_outer_ones() {
        let all = BTreeSet::from([
            Leaving::State("/state".into()),
            Leaving::Mount(Reverse("/a".into())),
            Leaving::Mount(Reverse("/a/b".into())),
            Leaving::Interface("elysia0".into()),
            Leaving::Process(7, "etcd".into()),
        ]);
        let order = all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let wanted = ["process 7 (etcd)", "mount /a/b", "mount /a", "network interface elysia0", "state /state"];
        assert_eq!(order, wanted);
        assert!(all.iter().map(Leaving::barrier).is_sorted());
    }
}
