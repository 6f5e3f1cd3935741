//! Weaviate's own backup: what stands in its way before the servers are asked for anything, and what to make of what they
//! say while it runs.
//!
//! What the servers do not say beforehand they say hours later, or never: that a tenant was left out, that a node did not
//! answer, that the node which coordinated the backup has died and nobody ends it (`weaviate` §5). So everything that can
//! be known is looked at first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use serde_json::Value;

use crate::cluster::BACKUP_MODULE;
use crate::version::ServerVersion;

/// The first minor version of line 1 whose backups hold tenants that are at rest.
const COLD_SINCE: u32 = 37;

/// Names that one message has at most.
const NAMED: usize = 5;

/// How long nothing may change in the store before a backup whose coordinator was away counts as one that nobody ends.
/// A server writes files of hundreds of MiB, which are not seen before they are whole: half an hour is one of 64 GiB at
/// 36 MiB/s.
pub const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// What was seen of the servers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Servers {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NodeSeen>,
    /// Whether a backup of somebody else runs, as far as the servers list them.
    pub is_busy: bool,
}

/// A node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeSeen {
    /// Whether it calls itself healthy.
    pub is_healthy: bool,
    /// Its version; empty where it does not say.
    pub version: String,
    /// Whether it has the module; `None` where it was not asked at an address of its own.
    pub has_module: Option<bool>,
}

/// A collection that is to be backed up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CollectionSeen {
    /// The nodes that hold any of its replicas.
    pub holders: BTreeSet<String>,
    /// Tenants at rest (`COLD`).
    pub cold: Vec<String>,
    /// Tenants that are offloaded or on their way (`FROZEN`, `FREEZING`, `UNFREEZING`).
    pub frozen: Vec<String>,
}

/// Something that stands in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// Servers without the module.
    NoModule {
        /// Which.
        nodes: Vec<String>,
    },
    /// Nodes that hold something and do not live.
    NodesAway {
        /// Of which collection.
        collection: String,
        /// Which.
        nodes: Vec<String>,
    },
    /// A collection that is not there.
    NoCollection {
        /// Which.
        collection: String,
    },
    /// Nothing to back up.
    NoCollections,
    /// Another backup runs.
    Busy,
    /// Tenants that the servers would silently leave out, and that would be restored empty.
    LeftOut {
        /// Of which collection.
        collection: String,
        /// How many.
        count: usize,
        /// The first of them.
        tenants: Vec<String>,
        /// The oldest version of the servers.
        version: String,
    },
    /// A server that runs an older version than the one that wrote the backup.
    Older {
        /// Which.
        node: String,
        /// Its version.
        found: String,
        /// The version of the backup.
        wrote: String,
    },
    /// Nodes of the backup that the cluster does not have.
    NoSuchNodes {
        /// Which.
        nodes: Vec<String>,
        /// Those that there are.
        found: Vec<String>,
    },
    /// The collection, or an alias of its name, is there.
    Exists {
        /// Which.
        collection: String,
    },
    /// Another number than that of the class in the backup.
    Fixed {
        /// The field.
        field: &'static str,
        /// What is counted.
        what: &'static str,
        /// What is asked for.
        asked: u64,
        /// What the class has; `None` where the backup does not say.
        held: Option<u64>,
    },
    /// Something that a restore of files cannot do.
    Unable {
        /// The field.
        field: &'static str,
        /// What it would be.
        what: &'static str,
    },
}

impl Obstacle {
    /// Whether it stands there until a person does something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::NodesAway { .. } | Self::Busy)
    }
}

fn some(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text += ", …";
    }
    text
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule { nodes } => write!(
                formatter,
                "servers without module {BACKUP_MODULE}: {}; set spec.managed.backup.s3 of the WeaviateCluster and restart its pods, or ENABLE_MODULES={BACKUP_MODULE} and BACKUP_S3_BUCKET of servers that somebody else runs",
                some(nodes)
            ),
            Self::NodesAway { collection, nodes } => write!(
                formatter,
                "collection {collection} has replicas on nodes that are away: {}; every one of them takes part in the backup",
                some(nodes)
            ),
            Self::NoCollection { collection } => write!(formatter, "there is no collection {collection}"),
            Self::NoCollections => write!(formatter, "there is no collection to back up"),
            Self::Busy => {
                write!(formatter, "the servers are at another backup, and do one at a time; see: GET /v1/backups/s3")
            }
            Self::LeftOut { collection, count, tenants, version } => write!(
                formatter,
                "collection {collection} has {count} tenants that servers of {version} silently leave out and restore empty: {}; wake them, or leave them out knowingly by coldTenants: Skip, or back up by engine: Portable",
                some(tenants)
            ),
            Self::Older { node, found, wrote } => write!(
                formatter,
                "node {node} runs {found}, and {wrote} wrote the backup: files go back to servers of that version or a newer one"
            ),
            Self::NoSuchNodes { nodes, found } => write!(
                formatter,
                "the backup holds files of nodes {}, and the cluster has {}: restore into one that has nodes of these names; a run of engine: Portable goes anywhere",
                some(nodes),
                some(found)
            ),
            Self::Exists { collection } => write!(
                formatter,
                "{collection} exists, and files are put back only where there is nothing of that name, not even an empty collection: delete it first, or restore a run of engine: Portable beside it"
            ),
            Self::Fixed { field, what, asked, held: Some(held) } => write!(
                formatter,
                "{field}: the backup has {held} {what}, and {asked} are asked for: Weaviate's own backup cannot change that; ask for {held}, or restore a run of engine: Portable"
            ),
            Self::Fixed { field, what, asked, held: None } => write!(
                formatter,
                "{field}: {asked} {what} are asked for, and the backup does not say how many it has: leave it out, or restore a run of engine: Portable"
            ),
            Self::Unable { field, what } => write!(
                formatter,
                "{field}: Weaviate's own backup cannot {what}; leave it out, or restore a run of engine: Portable"
            ),
        }
    }
}

/// All obstacles as one text.
pub fn told(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What stands in the way of a backup of these collections; `None` for one that is not there. `skip`: what is left out
/// was asked for.
pub fn before_backup(
    servers: &Servers,
    collections: &BTreeMap<String, Option<CollectionSeen>>,
    skip: bool,
) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = modules(servers).into_iter().collect();
    if collections.is_empty() {
        obstacles.push(Obstacle::NoCollections);
    }
    for (name, seen) in collections {
        let collection = name.clone();
        let Some(seen) = seen else {
            obstacles.push(Obstacle::NoCollection { collection });
            continue;
        };
        let is_away = |node: &&String| servers.nodes.get(*node).is_none_or(|node| !node.is_healthy);
        let nodes: Vec<String> = seen.holders.iter().filter(is_away).cloned().collect();
        if !nodes.is_empty() {
            obstacles.push(Obstacle::NodesAway { collection: collection.clone(), nodes });
        }
        let left_out = left_out(servers, seen);
        if !left_out.is_empty() && !skip {
            let version = oldest(servers).map_or_else(|| "an unknown version".to_owned(), |(_, text)| text);
            let count = left_out.len();
            let tenants = left_out.into_iter().take(NAMED + 1).collect();
            obstacles.push(Obstacle::LeftOut { collection, count, tenants, version });
        }
    }
    if servers.is_busy {
        obstacles.push(Obstacle::Busy);
    }
    obstacles
}

/// Tenants that servers of this version leave out of a backup.
pub fn left_out(servers: &Servers, seen: &CollectionSeen) -> Vec<String> {
    let takes_cold = oldest(servers).is_some_and(|(version, _)| version >= (1, COLD_SINCE));
    let cold = if takes_cold { &[][..] } else { &seen.cold };
    cold.iter().chain(&seen.frozen).cloned().collect()
}

/// A restore of files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// The collection in the backup.
    pub collection: String,
    /// What it is to become.
    pub into: String,
    /// Whether objects are to be written over or beside others.
    pub merges: bool,
    /// Replicas that are asked for.
    pub factor: Option<u64>,
    /// Shards that are asked for.
    pub shards: Option<u64>,
    /// What the class in the backup has of them.
    pub held: Held,
    /// The nodes that wrote the backup.
    pub nodes: Vec<String>,
    /// The version of the servers that wrote it.
    pub version: String,
}

/// Replicas and shards of a class in a backup.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Replicas of each shard.
    pub factor: u64,
    /// Shards, where the class says how many.
    pub shards: Option<u64>,
    /// Whether each tenant is a shard: then nobody chooses how many there are.
    pub has_tenants: bool,
}

impl Held {
    /// Of a class, the server's own JSON.
    pub fn of(class: &Value) -> Self {
        Self {
            factor: class["replicationConfig"]["factor"].as_u64().unwrap_or(1).max(1),
            shards: class["shardingConfig"]["desiredCount"].as_u64().filter(|count| *count > 0),
            has_tenants: class["multiTenancyConfig"]["enabled"] == true,
        }
    }

    /// Numbers that are asked for and are not these. Who declares a collection always asks for replicas: what equals the
    /// backup asks for no change.
    fn fixed(self, factor: Option<u64>, shards: Option<u64>) -> impl Iterator<Item = Obstacle> {
        let fixed = |field, what, asked: Option<u64>, held: Option<u64>| {
            let asked = asked.filter(|_| asked != held)?;
            Some(Obstacle::Fixed { field, what, asked, held })
        };
        let shards = shards.filter(|_| !self.has_tenants);
        let both = [
            fixed("replicationFactor", "replicas", factor, Some(self.factor)),
            fixed("shards", "shards", shards, self.shards),
        ];
        both.into_iter().flatten()
    }
}

/// What stands in the way of putting files back. `exists`: whether anything of the name is there.
pub fn before_restore(servers: &Servers, wanted: &Wanted, exists: bool) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let unable = [
        (wanted.into != wanted.collection, "into", "give a collection another name"),
        (wanted.merges, "conflict", "be put over or beside objects"),
    ];
    obstacles
        .extend(unable.into_iter().filter(|(is, ..)| *is).map(|(_, field, what)| Obstacle::Unable { field, what }));
    obstacles.extend(wanted.held.fixed(wanted.factor, wanted.shards));
    obstacles.extend(modules(servers));
    let is_missing = |node: &&String| !servers.nodes.contains_key(*node);
    let nodes: Vec<String> = wanted.nodes.iter().filter(is_missing).cloned().collect();
    if !nodes.is_empty() {
        let found = servers.nodes.keys().cloned().collect();
        obstacles.push(Obstacle::NoSuchNodes { nodes, found });
    }
    if let Some(wrote) = numbers(&wanted.version) {
        let older = servers.nodes.iter().find(|(_, node)| numbers(&node.version).is_some_and(|found| found < wrote));
        obstacles.extend(older.map(|(name, node)| Obstacle::Older {
            node: name.clone(),
            found: node.version.clone(),
            wrote: wanted.version.clone(),
        }));
    }
    if exists {
        obstacles.push(Obstacle::Exists { collection: wanted.into.clone() });
    }
    if servers.is_busy {
        obstacles.push(Obstacle::Busy);
    }
    obstacles
}

fn modules(servers: &Servers) -> Option<Obstacle> {
    let lacks = |(name, node): (&String, &NodeSeen)| (node.has_module == Some(false)).then(|| name.clone());
    let nodes: Vec<String> = servers.nodes.iter().filter_map(lacks).collect();
    (!nodes.is_empty()).then_some(Obstacle::NoModule { nodes })
}

/// Major and minor number.
fn numbers(version: &str) -> Option<(u32, u32)> {
    ServerVersion::parse(version).map(|version| (version.major, version.minor))
}

/// The lowest version, as numbers and as it is written; `None` where any of them is not to be read.
fn oldest(servers: &Servers) -> Option<((u32, u32), String)> {
    let read = |node: &NodeSeen| Some((numbers(&node.version)?, node.version.clone()));
    servers.nodes.values().map(read).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// What is said of a backup that is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watched {
    /// What the server that coordinates it says; `None` where it could not be asked, or knows of none.
    pub word: Option<Word>,
    /// Whether the store has the servers' own word that it is complete.
    pub is_whole: bool,
    /// Whether the server that coordinates it may have died: it did not answer once, or another worker began this.
    pub was_away: bool,
    /// For how long nothing has changed in the store.
    pub quiet: SignedDuration,
}

/// A server's word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// It is under way.
    Running,
    /// It is complete.
    Success,
    /// It failed, and why.
    Failed(String),
    /// It was cancelled.
    Canceled,
}

/// What to make of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Look again.
    Wait,
    /// Write it down.
    Complete,
    /// It is none, and why; the next attempt is another backup.
    Over(String),
    /// It is cancelled, since nobody ends it.
    GiveUp(String),
}

/// What to make of what is said.
pub fn judge(watched: &Watched) -> Verdict {
    let Watched { word, is_whole, was_away, quiet } = watched;
    match word {
        // The word comes before the file that says so: only what the store holds is a backup.
        Some(Word::Success) | None if *is_whole => Verdict::Complete,
        Some(Word::Failed(why)) => Verdict::Over(format!("the servers say that it failed: {why}")),
        Some(Word::Canceled) => Verdict::Over("the servers say that it was cancelled".to_owned()),
        Some(Word::Success | Word::Running) | None if *was_away && *quiet >= QUIET => Verdict::GiveUp(format!(
            "nothing changed in the store for {} minutes, and the node that coordinated the backup was away: nobody ends it",
            quiet.as_mins()
        )),
        Some(Word::Success | Word::Running) | None => Verdict::Wait,
    }
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
