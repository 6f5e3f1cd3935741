//! A lab: real Weaviate servers as processes of this machine, without Kubernetes, for staging faults.
//!
//! ```text
//! Servers::start ─▶ ports      a block of ports and a folder that no other lab has
//!                   settings   what a server is told: as our managed pods are
//!                   process    children that end with us, also when we are killed
//!                   rest       what a test asks and tells one node
//! outlive                      a lab for people, that stays when its command has ended
//! ```
//!
//! Every method blocks; a journey calls them by `spawn_blocking`. A lab ends with its value, and so do its data; when
//! that happens in a panic, the servers' logs stay and their folder is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::{DEFAULT_WEAVIATE, Paths, say, tail, wait_for, wait_for_every, weaviate_server};

mod outlive;
mod ports;
pub(crate) mod process;
mod questions;
mod rest;
mod settings;

pub use self::outlive::{LabRecord, RecordedNode, down, labs, up};
pub use self::ports::{MOST_NODES, Ports};
pub use self::rest::{Consistency, Listing, object_id};

use self::ports::{Block, remove_folder};
use self::rest::Rest;
use self::settings::{OVERRIDES, Settings};

/// Time in which servers become ready: 6-9 s when measured (`weaviate-lab` §11), more on a busy machine.
const READY: Duration = Duration::from_secs(90);
/// Between two looks at servers that start: each asks every node several questions.
const POLL: Duration = Duration::from_millis(250);
/// Time that a server gets to end in good order: the grace period of a managed pod.
const GRACE: Duration = Duration::from_secs(120);

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct ServersOptions {
    /// Version of Weaviate; built if it is not in the cache.
    pub version: String,
    /// Servers at the start; at most [`MOST_NODES`] may ever be.
    pub nodes: usize,
    /// Address at which REST listens. With [`crate::ground::NODE_ADDRESS`] pods of the ground reach the servers. gRPC
    /// has no such setting and listens everywhere; what the nodes say to each other stays on 127.0.0.1.
    pub host: String,
    /// Whether replicas may be copied and moved.
    pub replica_movement: bool,
    /// Variables of every server, stronger than ours.
    pub environment: BTreeMap<String, String>,
    /// Where data lie.
    pub data: Data,
}

impl Default for ServersOptions {
    fn default() -> Self {
        Self {
            version: DEFAULT_WEAVIATE.to_owned(),
            nodes: 3,
            host: "127.0.0.1".to_owned(),
            replica_movement: true,
            environment: BTreeMap::new(),
            data: Data::Folders,
        }
    }
}

/// Where the nodes' data lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// A folder for each node.
    Folders,
    /// One node has a file system in memory, so small that it can be filled; needs root.
    SmallDisk {
        /// Name of the node.
        node: String,
        /// Size of its disk.
        mebibytes: u32,
    },
}

/// How long the processes live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// As long as the value, and never longer than this process.
    Ours,
    /// Until somebody ends them.
    TheirOwn,
}

/// Running servers.
#[derive(Debug)]
pub struct Servers {
    options: ServersOptions,
    binary: PathBuf,
    life: Life,
    block: Block,
    logs: PathBuf,
    rest: Rest,
    /// By number. A node that is down has no child.
    nodes: Mutex<Vec<Option<Child>>>,
}

impl Servers {
    /// Starts the servers and waits until they are ready.
    pub fn start(options: ServersOptions) -> Result<Self> {
        Self::begin(options, Life::Ours)
    }

    fn begin(options: ServersOptions, life: Life) -> Result<Self> {
        ensure!((1..=MOST_NODES).contains(&options.nodes), "a lab has 1 to {MOST_NODES} nodes, not {}", options.nodes);
        // Said here: the servers would only be found not to answer.
        TcpListener::bind((options.host.as_str(), 0))
            .with_context(|| format!("this machine has no address {}; is the ground up?", options.host))?;
        let binary = weaviate_server(&options.version)?;
        let block = Block::take()?;
        let logs = lab_folder().join("log").join(block.label());
        fs::create_dir_all(&logs).with_context(|| format!("failed to make {}", logs.display()))?;
        let mut empty = Vec::new();
        empty.resize_with(options.nodes, || None);
        let servers = Self { options, binary, life, block, logs, rest: Rest::new(), nodes: Mutex::new(empty) };
        servers.set_auto_schema(true)?;
        let begun = servers.begin_all().and_then(|()| servers.wait_ready());
        begun.with_context(|| servers.keep_logs())?;
        Ok(servers)
    }

    fn begin_all(&self) -> Result<()> {
        if let Data::SmallDisk { node, mebibytes } = &self.options.data {
            let folder = self.data(self.number(node)?);
            fs::create_dir_all(&folder)?;
            let size = std::ffi::CString::new(format!("size={mebibytes}m"))?;
            mount("tmpfs", &folder, "tmpfs", MountFlags::empty(), Some(size.as_c_str()))
                .with_context(|| format!("failed to mount a small disk at {}; that needs root", folder.display()))?;
        }
        (0..self.options.nodes).try_for_each(|number| self.start_number(number))
    }

    /// Waits until every running node is ready and sees exactly the running nodes, all healthy, and one of them leads.
    pub fn wait_ready(&self) -> Result<()> {
        let running = self.running();
        wait_for_every(POLL, &format!("{} to be ready", running.join(", ")), READY, || {
            self.check()?;
            Ok(self.is_complete(&running).then_some(()))
        })
        .with_context(|| format!("the servers' logs are in {}", self.logs.display()))
    }

    fn is_complete(&self, running: &[String]) -> bool {
        let wanted = running.iter().cloned().collect::<BTreeSet<_>>();
        let each_sees_all = running.iter().all(|node| {
            let Ok(rest) = self.rest(node) else { return false };
            let sees_all = |seen: BTreeMap<String, String>| {
                seen.values().all(|status| status == "HEALTHY") && seen.into_keys().collect::<BTreeSet<_>>() == wanted
            };
            self.rest.is_ready(&rest) && self.rest.nodes(&rest).is_some_and(sees_all)
        });
        each_sees_all && self.leader().is_some_and(|leader| wanted.contains(&leader))
    }

    /// The node that leads RAFT, if exactly one says so of itself.
    pub fn leader(&self) -> Option<String> {
        let rest = self.rest(self.running().first()?).ok()?;
        let states = self.rest.raft_states(&rest)?;
        let mut leaders = states.into_iter().filter(|(_, state)| state == "Leader").map(|(node, _)| node);
        leaders.next().filter(|_| leaders.next().is_none())
    }

    /// Ends a node at once, as a lost machine does.
    pub fn kill(&self, node: &str) -> Result<()> {
        let number = self.number(node)?;
        if let Some(mut child) = self.lock()[number].take() {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("failed to kill {node}"))?;
        }
        Ok(())
    }

    /// Ends a node in good order, as Kubernetes ends a pod.
    pub fn stop(&self, node: &str) -> Result<()> {
        let number = self.number(node)?;
        let mut nodes = self.lock();
        let Some(child) = nodes[number].as_mut() else { return Ok(()) };
        kill_process(Pid::from_child(child), Signal::TERM).with_context(|| format!("failed to stop {node}"))?;
        // On an error the child stays: it ends with the lab.
        wait_for(&format!("{node} to end"), GRACE, || Ok(child.try_wait()?.map(drop)))?;
        nodes[number] = None;
        Ok(())
    }

    /// Starts a node that is down, with the data that it had; does not wait for it.
    pub fn start_node(&self, node: &str) -> Result<()> {
        self.start_number(self.number(node)?)
    }

    /// Removes the data of a node that is down: its volume is lost.
    pub fn wipe(&self, node: &str) -> Result<()> {
        let number = self.number(node)?;
        let nodes = self.lock();
        ensure!(nodes[number].is_none(), "{node} runs: kill or stop it before its data go");
        let folder = self.data(number);
        // What it contains, and not itself: it may be a disk.
        for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
            let path = entry?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("failed to remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Starts one more node, which joins the others; returns its name and does not wait for it.
    pub fn add(&self) -> Result<String> {
        let number = {
            let mut nodes = self.lock();
            ensure!(nodes.len() < MOST_NODES, "a lab has room for {MOST_NODES} nodes");
            nodes.push(None);
            nodes.len() - 1
        };
        self.start_number(number)?;
        Ok(settings::name(number))
    }

    /// Switches auto-schema; the servers read it within a second or two. Wait for its effect, never for a time.
    pub fn set_auto_schema(&self, enabled: bool) -> Result<()> {
        let (file, partial) = (self.block.folder.join(OVERRIDES), self.block.folder.join("overrides.partial"));
        fs::write(&partial, format!("autoschema_enabled: {enabled}\n"))?;
        // Whole or not at all: the servers may read at any moment.
        fs::rename(&partial, &file).with_context(|| format!("failed to write {}", file.display()))
    }

    /// Names of all nodes that ever were, down or not.
    pub fn names(&self) -> Vec<String> {
        (0..self.lock().len()).map(settings::name).collect()
    }

    /// Names of the nodes that run.
    pub fn running(&self) -> Vec<String> {
        let nodes = self.lock();
        (0..nodes.len()).filter(|number| nodes[*number].is_some()).map(settings::name).collect()
    }

    /// Fails with the end of its log if a node ended by itself.
    pub fn check(&self) -> Result<()> {
        for (number, child) in self.lock().iter_mut().enumerate() {
            if let Some(status) = child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let (name, log) = (settings::name(number), self.log(number));
                bail!("{name} ended with {status}; the end of {}:\n{}", log.display(), tail(&log, 15));
            }
        }
        Ok(())
    }

    fn start_number(&self, number: usize) -> Result<()> {
        let mut nodes = self.lock();
        ensure!(nodes[number].is_none(), "{} runs already", settings::name(number));
        let data = self.data(number);
        fs::create_dir_all(&data).with_context(|| format!("failed to make {}", data.display()))?;
        let log = self.log(number);
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("failed to write {}", log.display()))?;
        let settings = Settings {
            voters: settings::voters(self.options.nodes),
            replica_movement: self.options.replica_movement,
            overrides: self.block.folder.join(OVERRIDES).display().to_string(),
            environment: &self.options.environment,
        };
        let mut command = match self.life {
            Life::Ours => process::tied(&self.binary),
            Life::TheirOwn => process::free(&self.binary),
        };
        command
            .args(settings::arguments(&self.options.host, self.block.ports(number)))
            .env_clear()
            .envs(settings.environment(number, &data.display().to_string(), |other| self.block.ports(other)))
            .current_dir(&data)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        nodes[number] = Some(process::spawn(command)?);
        Ok(())
    }

    fn number(&self, node: &str) -> Result<usize> {
        let count = self.lock().len();
        let found = (0..count).find(|number| settings::name(*number) == node);
        found.with_context(|| format!("the lab has no node {node}: there are {}", self.names().join(", ")))
    }

    fn data(&self, number: usize) -> PathBuf {
        self.block.folder.join(settings::name(number))
    }

    fn log(&self, number: usize) -> PathBuf {
        self.logs.join(format!("{}.log", settings::name(number)))
    }

    /// Another lab of this process may take the same block, and with it the name of its logs.
    fn keep_logs(&self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut kept = self.logs.with_extension(format!("failed-{}", now.as_millis()));
        if fs::rename(&self.logs, &kept).is_err() {
            kept.clone_from(&self.logs);
        }
        format!("the servers' logs are kept in {}", kept.display())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Child>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.lock().iter_mut().flatten() {
            let _ = child.kill();
        }
        for child in self.lock().iter_mut().flatten() {
            let _ = child.wait();
        }
        if std::thread::panicking() {
            say(self.keep_logs());
        } else {
            let _ = fs::remove_dir_all(&self.logs);
        }
        if let Err(error) = remove_folder(&self.block.folder) {
            say(format!("the lab left something: {error:#}"));
        }
    }
}

/// Where labs keep their logs and records.
fn lab_folder() -> PathBuf {
    Paths::from_environment().target.join("lab")
}
