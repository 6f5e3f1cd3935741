//! A lab for people: it stays when its command has ended, recorded so that it can be ended for certain.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::ports::{Ports, remove_folder};
use super::{Life, Servers, ServersOptions, lab_folder};
use crate::ground::{Identity, elapsed, kill, say, wait_for};

/// Time in which killed processes are gone.
const GONE: Duration = Duration::from_secs(10);

/// A lab as its record tells it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LabRecord {
    /// Name that its owner gave it.
    pub name: String,
    /// Version of Weaviate.
    pub version: String,
    /// Its servers.
    pub nodes: Vec<RecordedNode>,
    /// Settings that the servers read while running, e.g. `autoschema_enabled: false`.
    pub overrides: PathBuf,
    /// The servers' logs.
    pub logs: PathBuf,
    /// Data and settings; goes with the lab.
    folder: PathBuf,
}

/// One server of a recorded lab.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RecordedNode {
    /// Its name in Weaviate.
    pub name: String,
    /// REST address.
    pub rest: String,
    /// gRPC address.
    pub grpc: String,
    /// Address at which the nodes talk to each other.
    pub data: String,
    /// Every port.
    pub ports: Ports,
    /// The process, for certain: a number alone may belong to a stranger by now.
    process: Identity,
}

impl RecordedNode {
    /// Number of its process.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

/// Starts a lab that stays; `name` is how `down` finds it.
pub fn up(name: &str, options: ServersOptions) -> Result<LabRecord> {
    let file = record_file(name)?;
    if file.exists() {
        bail!(
            "lab {name} is there already: see `cargo xtask lab list`, or end it with `cargo xtask lab down --name {name}`"
        )
    }
    let servers = Servers::begin(options, Life::TheirOwn)?;
    let node = |node: String| {
        Ok(RecordedNode {
            rest: servers.rest(&node)?,
            grpc: servers.grpc(&node)?,
            data: servers.data_url(&node)?,
            ports: servers.ports(&node)?,
            process: Identity::of(&node, i32::try_from(servers.pid(&node)?)?)?,
            name: node,
        })
    };
    let record = LabRecord {
        name: name.to_owned(),
        version: servers.version().to_owned(),
        nodes: servers.names().into_iter().map(node).collect::<Result<_>>()?,
        overrides: servers.block.folder.join(super::OVERRIDES),
        logs: servers.logs.clone(),
        folder: servers.block.folder.clone(),
    };
    let text = serde_json::to_vec_pretty(&record)?;
    fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    // From here on the record knows them; until here an error has ended them.
    std::mem::forget(servers);
    Ok(record)
}

/// Ends a lab and removes its data and logs.
pub fn down(name: &str) -> Result<()> {
    let started = Instant::now();
    let file = record_file(name)?;
    ensure!(file.exists(), "there is no lab {name}: see `cargo xtask lab list`");
    let record = read(&file)?;
    for node in record.nodes.iter().filter(|node| node.is_alive()) {
        kill(node.pid(), Signal::KILL);
    }
    let ended = || Ok(record.nodes.iter().all(|node| !node.is_alive()).then_some(()));
    wait_for(&format!("the servers of lab {name} to end"), GONE, ended)?;
    remove_folder(&record.folder)?;
    let _ = fs::remove_dir_all(&record.logs);
    fs::remove_file(&file).with_context(|| format!("failed to remove {}", file.display()))?;
    say(format!("lab {name} is down ({})", elapsed(started)));
    Ok(())
}

/// Every lab of this checkout that has a record, by name.
pub fn labs() -> Result<Vec<LabRecord>> {
    let Ok(folder) = fs::read_dir(lab_folder()) else { return Ok(Vec::new()) };
    let files =
        folder.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == "json"));
    let mut records = files.map(|file| read(&file)).collect::<Result<Vec<_>>>()?;
    records.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(records)
}

fn read(file: &PathBuf) -> Result<LabRecord> {
    let text = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no record of a lab", file.display()))
}

fn record_file(name: &str) -> Result<PathBuf> {
    let sound = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    ensure!(sound, "`{name}` is no name for a lab: letters, digits and `-`");
    let folder = lab_folder();
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    Ok(folder.join(format!("{name}.json")))
}
