//! Are sampled objects the same at every replica? What each replica answered becomes a verdict for each object, and
//! what stays wrong in several rounds becomes a report.
//!
//! ```text
//! sample: lists at each node ─▶ which objects   readings ─▶ judge ─▶ Verdict   ─▶ Look (suspects, rounds) ─▶ report
//! ```
//!
//! Nothing here reads anything, and nothing that is read repairs anything: the shell asks each replica with `node_name`,
//! which is exactly that replica's answer without any effect (`weaviate-lab` §2, measured again on 1.35.2 and 1.38.2).

pub mod look;
pub mod sample;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::collection::ShardReplicas;

use crate::version::ServerVersion;

pub use look::{Ended, Look, Outcome, Request, due};

/// One object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Its tenant, in a multi-tenant collection; the name of its shard as well.
    pub tenant: Option<String>,
    /// Its id, in the usual form of a UUID.
    pub id: String,
}

/// What one node answered for one object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It holds the object.
    Held {
        /// Hash over properties and vectors.
        digest: String,
        /// `lastUpdateTimeUnix`, in milliseconds.
        updated: Option<i64>,
    },
    /// It has no such object.
    Absent,
    /// It holds no replica of the object's shard, whose name it says.
    NotHere {
        /// The shard.
        shard: String,
    },
    /// Nothing that can be used, or nothing in time.
    Silent,
}

/// What every asked node answered for one object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The object.
    pub key: ObjectKey,
    /// The answers by node.
    pub answers: BTreeMap<String, Answer>,
}

/// How one object stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The same at this many replicas.
    Same(usize),
    /// No replica holds it any more.
    Gone,
    /// At least half of the replicas hold it, and these do not.
    Missing(Vec<String>),
    /// Fewer than half of the replicas hold it: these.
    Orphaned(Vec<String>),
    /// It is not the same everywhere; these differ from most, or are older.
    Different(Vec<String>),
    /// Nothing can be said, because these did not answer.
    Unread(Vec<String>),
}

/// Where an object's replicas are, as far as it can be known.
///
/// Weaviate tells nobody which shard an object is in. Where each node holds every shard, or where the shard is the
/// tenant, it is no question. Otherwise it follows from who answers:
///
/// | asked with `node_name`, the node holds | 1.38.2 | 1.35.2 |
/// |---|---|---|
/// | the shard, and the object | 200 | 200 |
/// | the shard, without the object | 404 | 404 |
/// | no replica of the shard | 500 after 5 to 10 s, which names the shard | 404 |
///
/// So on 1.35 a node that lacks the object and one that need not have it say the same.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    shards: &'a [ShardReplicas],
    absence_means_holder: bool,
}

/// First version that was measured to answer 404 only for shards that the node holds.
const TELLS_ABSENCE: ServerVersion = ServerVersion::minor(38);

impl<'a> Placement<'a> {
    /// The placement of a collection. `version`: the lowest of the servers; `None` is treated as an old one.
    pub fn new(shards: &'a [ShardReplicas], version: Option<ServerVersion>) -> Self {
        Self { shards, absence_means_holder: version.is_some_and(|version| version >= TELLS_ABSENCE) }
    }

    /// Every node that holds any shard, sorted.
    pub fn nodes(&self) -> BTreeSet<&'a str> {
        self.shards.iter().flat_map(|shard| &shard.replicas).map(String::as_str).collect()
    }

    /// Whether a node may be asked that need not hold the object: then its silence is to be expected, and is to be
    /// waited for no longer than a healthy node's answer takes.
    pub fn is_uneven(&self) -> bool {
        let all = self.nodes();
        self.shards.iter().any(|shard| nodes_of(shard) != all)
    }

    /// The nodes to ask for an object.
    pub fn nodes_to_ask(&self, key: &ObjectKey) -> BTreeSet<&'a str> {
        match &key.tenant {
            Some(tenant) => self.shards.iter().find(|shard| shard.shard == *tenant).map(nodes_of).unwrap_or_default(),
            None => self.nodes(),
        }
    }

    /// The most replicas that any shard has: with one there is nothing to compare.
    pub fn most_replicas(&self) -> usize {
        self.shards.iter().map(|shard| shard.replicas.len()).max().unwrap_or(0)
    }

    /// The sets of nodes that may be the object's holders.
    fn candidates(&self, reading: &Reading) -> Vec<BTreeSet<&'a str>> {
        let named = reading.answers.values().find_map(|answer| match answer {
            Answer::NotHere { shard } => Some(shard),
            _ => None,
        });
        if let Some(shard) = named.or(reading.key.tenant.as_ref()) {
            return self.shards.iter().filter(|other| other.shard == *shard).map(nodes_of).collect();
        }
        let surely = |answer: &Answer| match answer {
            Answer::Held { .. } => true,
            Answer::Absent => self.absence_means_holder,
            Answer::NotHere { .. } | Answer::Silent => false,
        };
        let mut sets: Vec<BTreeSet<&str>> = self
            .shards
            .iter()
            .map(nodes_of)
            .filter(|holders| {
                reading.answers.iter().all(|(node, answer)| !surely(answer) || holders.contains(node.as_str()))
            })
            .collect();
        sets.sort();
        sets.dedup();
        sets
    }
}

fn nodes_of(shard: &ShardReplicas) -> BTreeSet<&str> {
    shard.replicas.iter().map(String::as_str).collect()
}

/// The verdict on one object.
///
/// Where several shards may be the object's own, it is judged by the one that makes it whole, if there is such a shard;
/// then by one of which too little was seen; and only where every possible shard has a replica without it, it is
/// missing. So what cannot be known is never an alarm.
pub fn judge(reading: &Reading, placement: Placement<'_>) -> Verdict {
    let holding: BTreeSet<&str> = with(reading, |answer| matches!(answer, Answer::Held { .. }));
    let silent: BTreeSet<&str> = with(reading, |answer| matches!(answer, Answer::Silent));
    let candidates = placement.candidates(reading);
    if holding.is_empty() && candidates.iter().any(|holders| holders.is_disjoint(&silent)) {
        return Verdict::Gone;
    }
    if holding.is_empty() {
        return Verdict::Unread(silent.iter().map(|node| (*node).to_owned()).collect());
    }
    let whole = candidates.contains(&holding);
    if !whole {
        // Not seen at any that could explain it: a node that was not asked counts as one that did not answer.
        let unseen = |holders: &BTreeSet<&str>| -> Vec<String> {
            let unseen = holders
                .iter()
                .filter(|node| !matches!(reading.answers.get(**node), Some(Answer::Held { .. } | Answer::Absent)));
            unseen.map(|node| (*node).to_owned()).collect()
        };
        let lacking = |holders: &BTreeSet<&str>| -> BTreeSet<String> {
            let lacks = |node: &&&str| matches!(reading.answers.get(**node), Some(Answer::Absent));
            holders.iter().filter(lacks).map(|node| (*node).to_owned()).collect()
        };
        if let Some(holders) = candidates.iter().find(|holders| lacking(holders).is_empty()) {
            return Verdict::Unread(unseen(holders));
        }
        // Those that lack it whichever of the shards is its own.
        let Some(nodes) = candidates.iter().map(lacking).reduce(|left, right| &left & &right) else {
            return Verdict::Unread(silent.iter().map(|node| (*node).to_owned()).collect());
        };
        let minority = candidates.iter().all(|holders| {
            // What did not answer may hold it.
            let may_hold = holding.len() + unseen(holders).len();
            may_hold * 2 < holders.len()
        });
        return if minority {
            Verdict::Orphaned(holding.iter().map(|node| (*node).to_owned()).collect())
        } else {
            Verdict::Missing(nodes.into_iter().collect())
        };
    }
    match odd_ones(reading) {
        Some(nodes) => Verdict::Different(nodes),
        None => Verdict::Same(holding.len()),
    }
}

fn with(reading: &Reading, what: impl Fn(&Answer) -> bool) -> BTreeSet<&str> {
    reading.answers.iter().filter(|(_, answer)| what(answer)).map(|(node, _)| node.as_str()).collect()
}

/// The nodes whose object is not that of most; of equally many, not the newest. `None` when all are the same.
fn odd_ones(reading: &Reading) -> Option<Vec<String>> {
    let mut versions: BTreeMap<&str, (usize, Option<i64>)> = BTreeMap::new();
    for answer in reading.answers.values() {
        if let Answer::Held { digest, updated } = answer {
            let version = versions.entry(digest).or_default();
            version.0 += 1;
            version.1 = version.1.max(*updated);
        }
    }
    if versions.len() <= 1 {
        return None;
    }
    let (right, _) = versions.iter().max_by_key(|(digest, standing)| (**standing, **digest))?;
    let odd = reading
        .answers
        .iter()
        .filter(|(_, answer)| matches!(answer, Answer::Held { digest, .. } if digest.as_str() != *right));
    Some(odd.map(|(node, _)| node.clone()).collect())
}
