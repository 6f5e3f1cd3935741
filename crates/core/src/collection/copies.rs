//! Which replicas are missing and from where to where they are copied.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::ShardReplicas;
use serde::{Deserialize, Serialize};

use super::observed::{Operation, OperationState};

/// One copy of one replica.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Copy {
    /// The shard.
    pub shard: String,
    /// A node that has it.
    pub source: String,
    /// The node that gets it.
    pub target: String,
}

/// One replica of one shard.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Replica {
    /// The shard.
    pub shard: String,
    /// The node.
    pub node: String,
}

/// Copies that may run at the same time, those of all collections together: each loads disk and network of its nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// In the whole cluster.
    pub cluster: usize,
    /// To one node.
    pub node: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = elysia_api::cluster::RepairLimits::default();
        let number = |limit: i32| usize::try_from(limit).unwrap_or(1);
        Self { cluster: number(limits.copies_per_cluster), node: number(limits.copies_per_node) }
    }
}

/// What copies are chosen from.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Where the replicas are.
    pub placement: &'a [ShardReplicas],
    /// Copies of the collection that the servers know of.
    pub operations: &'a [Operation],
    /// Members that are alive.
    pub members: &'a [String],
    /// Nodes that will never come back: a replica there counts for nothing.
    pub gone: &'a [String],
    /// Nodes that get nothing: they have no room.
    pub full: &'a BTreeSet<String>,
    /// Shards and sources with which a copy went wrong: taken only where there is no other.
    pub avoided: &'a BTreeSet<(String, String)>,
    /// Wanted replicas.
    pub factor: i64,
}

/// Every copy that is missing, beyond those that are under way.
///
/// Targets are the live nodes with the fewest replicas, by name among equals; of the living holders the source is the one
/// that gives least, but one with which a copy of the shard went wrong only if there is no other. So the same placement
/// gives the same copies, and none of the nodes is hammered. A shard without a living holder gives none: there is nothing
/// to copy from.
pub fn missing(ground: &Ground<'_>) -> Vec<Copy> {
    let Ground { placement, operations, members, gone, full, avoided, factor } = *ground;
    let factor = usize::try_from(factor).unwrap_or_default();
    let alive: BTreeSet<&str> = members.iter().map(String::as_str).collect();
    let mut load: BTreeMap<&str, usize> = alive.iter().map(|node| (*node, 0)).collect();
    for node in placement.iter().flat_map(|shard| &shard.replicas) {
        if let Some(load) = load.get_mut(node.as_str()) {
            *load += 1;
        }
    }
    let mut gives: BTreeMap<&str, usize> = BTreeMap::new();
    let mut under_way: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.state == OperationState::Active) {
        *gives.entry(operation.source.as_str()).or_default() += 1;
        under_way.entry(operation.shard.as_str()).or_default().push(operation.target.as_str());
        if let Some(load) = load.get_mut(operation.target.as_str()) {
            *load += 1;
        }
    }
    let mut copies = Vec::new();
    for shard in placement {
        let listed = shard.replicas.iter().map(String::as_str);
        let mut holders: BTreeSet<&str> = listed.filter(|node| !gone.iter().any(|gone| gone == node)).collect();
        let sources: Vec<&str> = holders.iter().copied().filter(|holder| alive.contains(holder)).collect();
        holders.extend(under_way.get(shard.shard.as_str()).into_iter().flatten());
        while holders.len() < factor {
            let failed = |node: &str| avoided.iter().any(|(of, from)| *of == shard.shard && from == node);
            let source =
                sources.iter().copied().min_by_key(|node| (failed(node), gives.get(node).copied().unwrap_or(0), *node));
            let free = alive.iter().copied().filter(|node| !holders.contains(node) && !full.contains(*node));
            let (Some(source), Some(target)) = (source, free.min_by_key(|node| (load[node], *node))) else { break };
            holders.insert(target);
            *load.entry(target).or_default() += 1;
            *gives.entry(source).or_default() += 1;
            copies.push(Copy { shard: shard.shard.clone(), source: source.to_owned(), target: target.to_owned() });
        }
    }
    copies
}

/// Those of the copies that may be started now. `running`: copies to each node that run already, of all collections.
pub fn within<'a>(
    copies: impl IntoIterator<Item = &'a Copy>,
    running: &BTreeMap<String, usize>,
    limits: Limits,
) -> Vec<Copy> {
    let mut running = running.clone();
    let mut total: usize = running.values().sum();
    let mut now = Vec::new();
    for copy in copies {
        if total >= limits.cluster {
            break;
        }
        let at_target = running.entry(copy.target.clone()).or_default();
        if *at_target < limits.node {
            *at_target += 1;
            total += 1;
            now.push(copy.clone());
        }
    }
    now
}

/// Replicas that are more than wanted, and which of them go: of each shard first those of nodes that are not alive, then
/// of the node with the most replicas, then by name.
pub fn surplus(placement: &[ShardReplicas], members: &[String], factor: i64) -> Vec<Replica> {
    let factor = usize::try_from(factor).unwrap_or(usize::MAX).max(1);
    let mut load: BTreeMap<&str, usize> = BTreeMap::new();
    for node in placement.iter().flat_map(|shard| &shard.replicas) {
        *load.entry(node.as_str()).or_default() += 1;
    }
    let mut victims = Vec::new();
    for shard in placement {
        let mut left: Vec<&str> = shard.replicas.iter().map(String::as_str).collect();
        while left.len() > factor {
            let is_alive = |node: &str| members.iter().any(|member| member == node);
            let at = (0..left.len()).max_by_key(|at| {
                let node = left[*at];
                (!is_alive(node), load.get(node).copied().unwrap_or(0), node)
            });
            let Some(at) = at else { break };
            let node = left.remove(at);
            if let Some(load) = load.get_mut(node) {
                *load = load.saturating_sub(1);
            }
            victims.push(Replica { shard: shard.shard.clone(), node: node.to_owned() });
        }
    }
    victims
}

/// Nodes that the placement names, that nobody declares, and that are not alive: a person has said that they are gone.
pub fn gone(placement: &[ShardReplicas], declared: &[String], members: &[String]) -> Vec<String> {
    let named: BTreeSet<&String> = placement.iter().flat_map(|shard| &shard.replicas).collect();
    // Without a declaration nobody has said anything.
    if declared.is_empty() {
        return Vec::new();
    }
    named.into_iter().filter(|node| !declared.contains(node) && !members.contains(node)).cloned().collect()
}

/// Shards with fewer replicas than wanted, the worst first: all of them as a number, the worst of them as a list.
pub fn behind(placement: &[ShardReplicas], factor: i64) -> (i64, Vec<ShardReplicas>) {
    let factor = usize::try_from(factor).unwrap_or_default();
    worst(placement.iter().filter(|shard| shard.replicas.len() < factor), |shard| shard.replicas.len())
}

/// Shards with more replicas than wanted, the worst first: all of them as a number, the worst of them as a list.
pub fn above(placement: &[ShardReplicas], factor: i64) -> (i64, Vec<ShardReplicas>) {
    let factor = usize::try_from(factor).unwrap_or(usize::MAX);
    worst(placement.iter().filter(|shard| shard.replicas.len() > factor), |shard| usize::MAX - shard.replicas.len())
}

fn worst<'a>(
    shards: impl Iterator<Item = &'a ShardReplicas>,
    rank: impl Fn(&ShardReplicas) -> usize,
) -> (i64, Vec<ShardReplicas>) {
    let mut shards: Vec<&ShardReplicas> = shards.collect();
    shards.sort_by(|one, other| (rank(one), &one.shard).cmp(&(rank(other), &other.shard)));
    let total = i64::try_from(shards.len()).unwrap_or(i64::MAX);
    (total, shards.into_iter().take(STATUS_LIST_LIMIT).cloned().collect())
}

/// Replicas of the worst shard; `None` when there is no shard.
pub fn lowest(placement: &[ShardReplicas]) -> Option<i64> {
    placement.iter().map(|shard| i64::try_from(shard.replicas.len()).unwrap_or(i64::MAX)).min()
}

#[cfg(test)]
mod tests;
