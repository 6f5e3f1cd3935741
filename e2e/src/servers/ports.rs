//! Ports and folders of a lab: a block of a hundred ports, held by a lock that ends with its process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::ground::mounts_under;

/// First port of the first block. Above Kubernetes' own, below those that the kernel gives to clients (from 32768) and
/// below 20000, from where on people take ports by hand.
const FIRST: u16 = 12_000;
/// Ports of one lab.
const BLOCK: u16 = 100;
/// Labs that fit on one machine: up to port 19999.
const BLOCKS: u16 = 80;
/// Ports of one node.
const PER_NODE: u16 = 10;

/// Most nodes that one lab can have in its life. A node's name must not be part of another's: the server finds out by
/// that whether it votes, so `w-10` beside `w-1` would be wrong.
pub const MOST_NODES: usize = (BLOCK / PER_NODE) as usize;

/// Where one node listens.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ports {
    /// REST.
    pub rest: u16,
    /// gRPC.
    pub grpc: u16,
    /// Gossip, by TCP and UDP.
    pub gossip: u16,
    /// What the nodes send each other, and the calls that change the RAFT configuration. The servers take the port
    /// after the gossip's for granted.
    pub data: u16,
    /// RAFT.
    pub raft: u16,
    /// Calls to the RAFT leader. The servers take the port after RAFT's for granted.
    pub raft_rpc: u16,
    /// Go's profiles.
    pub profiling: u16,
    /// Metrics, where `PROMETHEUS_MONITORING_ENABLED` is set.
    pub metrics: u16,
}

/// A block of ports and the folder that goes with it.
#[derive(Debug)]
pub(crate) struct Block {
    base: u16,
    /// Data and settings of this lab; nobody else's.
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl Block {
    /// A block in which nothing listens and that no other lab holds.
    pub(crate) fn take() -> Result<Self> {
        let labs = std::env::temp_dir().join("elysia-lab");
        fs::create_dir_all(&labs).with_context(|| format!("failed to make {}", labs.display()))?;
        for number in 0..BLOCKS {
            let base = FIRST + number * BLOCK;
            let file = labs.join(format!("{base}.lock"));
            let lock = File::create(&file).with_context(|| format!("failed to open {}", file.display()))?;
            // A lab that outlives its command holds no lock, but its servers listen.
            if lock.try_lock().is_err() || !(base..base + BLOCK).all(is_free) {
                continue;
            }
            let dead = format!("{base}-");
            for entry in fs::read_dir(&labs)?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(&dead) {
                    remove_folder(&entry.path())?;
                }
            }
            let folder = labs.join(format!("{base}-{}", std::process::id()));
            fs::create_dir(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
            return Ok(Self { base, folder, _lock: lock });
        }
        bail!("all {BLOCKS} blocks of ports from {FIRST} on are taken: look with `cargo xtask lab list`")
    }

    /// The ports of the node with this number.
    pub(crate) fn ports(&self, node: usize) -> Ports {
        let first = self.base + u16::try_from(node).unwrap_or(u16::MAX).min(BLOCK / PER_NODE - 1) * PER_NODE;
        Ports {
            rest: first,
            grpc: first + 1,
            gossip: first + 2,
            data: first + 3,
            raft: first + 4,
            raft_rpc: first + 5,
            profiling: first + 6,
            metrics: first + 7,
        }
    }

    /// Names the lab's logs: another one for each lab of each process.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.base, std::process::id())
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

/// Removes a lab's folder, and what is mounted in it first.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount in mounts_under(&mounts, folder) {
        unmount(mount.as_path(), UnmountFlags::DETACH)
            .with_context(|| format!("failed to unmount {}", mount.display()))?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labs_of_one_process_share_neither_port_nor_folder() {
        let (one, other) = (Block::take().unwrap(), Block::take().unwrap());
        assert_ne!(one.folder, other.folder);
        let last = one.ports(MOST_NODES - 1);
        let (low, high) = if one.base < other.base { (last, other.ports(0)) } else { (other.ports(9), one.ports(0)) };
        assert!(low.metrics < high.rest, "{low:?} {high:?}");
        for block in [one, other] {
            remove_folder(&block.folder).unwrap();
        }
    }

    #[test]
    fn a_block_in_which_somebody_listens_is_not_taken() {
        let block = Block::take().unwrap();
        let (base, folder) = (block.base, block.folder.clone());
        let stranger = TcpListener::bind(("127.0.0.1", base + 57)).unwrap();
        drop(block);
        let next = Block::take().unwrap();
        assert_ne!(next.base, base);
        // As long as the stranger listens, no other test has this folder's name.
        remove_folder(&folder).unwrap();
        remove_folder(&next.folder).unwrap();
        drop(stranger);
    }

    #[test]
    fn data_follows_gossip_and_calls_follow_raft() {
        let block = Block::take().unwrap();
        let ports = block.ports(3);
        assert_eq!((ports.gossip + 1, ports.raft + 1), (ports.data, ports.raft_rpc));
        remove_folder(&block.folder).unwrap();
    }
}
