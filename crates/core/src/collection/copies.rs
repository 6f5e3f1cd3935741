//! Which replicas are missing and from where to where they are copied.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::ShardReplicas;
use serde::Serialize;

use super::observed::{Operation, OperationState};

/// Copies of one collection that run at the same time. Six ran together without harm (`weaviate-lab` §1); each one
/// loads disk and network of its target.
pub const COPIES_AT_ONCE: usize = 6;

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

/// Every copy that is missing, beyond those that are under way.
///
/// Targets are the live nodes with the fewest replicas, by name among equals; sources the first live holders. So the
/// same placement gives the same copies. A shard without a live holder gives none: there is nothing to copy from.
pub fn missing(placement: &[ShardReplicas], operations: &[Operation], members: &[String], factor: i64) -> Vec<Copy> {
    let factor = usize::try_from(factor).unwrap_or_default();
    let alive: BTreeSet<&str> = members.iter().map(String::as_str).collect();
    let mut load: BTreeMap<&str, usize> = alive.iter().map(|node| (*node, 0)).collect();
    for node in placement.iter().flat_map(|shard| &shard.replicas) {
        if let Some(load) = load.get_mut(node.as_str()) {
            *load += 1;
        }
    }
    let mut copies = Vec::new();
    for shard in placement {
        let under_way = operations
            .iter()
            .filter(|operation| operation.shard == shard.shard && operation.state == OperationState::Active)
            .map(|operation| operation.target.as_str());
        let mut holders: BTreeSet<&str> = shard.replicas.iter().map(String::as_str).collect();
        let source = holders.iter().copied().find(|holder| alive.contains(holder));
        holders.extend(under_way);
        let Some(source) = source else { continue };
        while holders.len() < factor {
            let Some(target) =
                alive.iter().copied().filter(|node| !holders.contains(node)).min_by_key(|node| (load[node], *node))
            else {
                break;
            };
            holders.insert(target);
            *load.entry(target).or_default() += 1;
            copies.push(Copy { shard: shard.shard.clone(), source: source.to_owned(), target: target.to_owned() });
        }
    }
    copies
}

/// Shards with fewer replicas than wanted, the worst first: all of them as a number, the worst of them as a list.
pub fn behind(placement: &[ShardReplicas], factor: i64) -> (i64, Vec<ShardReplicas>) {
    let factor = usize::try_from(factor).unwrap_or_default();
    let mut behind: Vec<ShardReplicas> =
        placement.iter().filter(|shard| shard.replicas.len() < factor).cloned().collect();
    behind.sort_by(|one, other| (one.replicas.len(), &one.shard).cmp(&(other.replicas.len(), &other.shard)));
    let total = i64::try_from(behind.len()).unwrap_or(i64::MAX);
    behind.truncate(STATUS_LIST_LIMIT);
    (total, behind)
}

/// Replicas of the worst shard; `None` when there is no shard.
pub fn lowest(placement: &[ShardReplicas]) -> Option<i64> {
    placement.iter().map(|shard| i64::try_from(shard.replicas.len()).unwrap_or(i64::MAX)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(picture: &str) -> Vec<ShardReplicas> {
        picture
            .split(' ')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (shard, nodes) = part.split_once(':').unwrap();
                ShardReplicas {
                    shard: shard.to_owned(),
                    replicas: nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect(),
                }
            })
            .collect()
    }

    fn operations(picture: &str) -> Vec<Operation> {
        picture
            .split(' ')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let parts: Vec<&str> = part.split(':').collect();
                Operation {
                    id: part.to_owned(),
                    shard: parts[0].to_owned(),
                    target: parts[1].to_owned(),
                    state: match parts[2] {
                        "active" => OperationState::Active,
                        "ready" => OperationState::Ready,
                        _ => OperationState::Cancelled,
                    },
                    error: None,
                }
            })
            .collect()
    }

    fn check(shards: &str, under_way: &str, members: &str, factor: i64, expected: &str) {
        let members: Vec<String> = members.split(',').map(str::to_owned).collect();
        let text = missing(&placement(shards), &operations(under_way), &members, factor)
            .iter()
            .map(|copy| format!("{}:{}→{}", copy.shard, copy.source, copy.target))
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(text, expected, "{shards} | {under_way} | {members:?} | {factor}");
    }

    #[test]
    fn every_missing_replica_gets_one_copy() {
        check("s:a", "", "a,b,c", 3, "s:a→b s:a→c");
        check("s:a t:b u:c", "", "a,b,c", 2, "s:a→b t:b→a u:c→a");
        check("s:a,b,c", "", "a,b,c", 3, "");
    }

    #[test]
    fn what_is_under_way_is_not_started_again() {
        check("s:a", "s:b:active", "a,b,c", 3, "s:a→c");
        check("s:a", "s:b:active s:c:active", "a,b,c", 3, "");
        check("s:a", "s:b:cancelled", "a,b,c", 2, "s:a→b");
    }

    #[test]
    fn the_dead_neither_give_nor_take() {
        check("s:dead", "", "a,b,c", 3, "");
        check("s:dead,b", "", "a,b,c", 3, "s:b→a");
        check("s:a", "", "a", 3, "");
    }

    #[test]
    fn the_worst_come_first() {
        let (total, worst) = behind(&placement("s:a,b t:a u:a,b,c"), 3);
        assert_eq!(total, 2);
        assert_eq!(worst[0].shard, "t");
        assert_eq!(lowest(&placement("s:a,b t:a")), Some(1));
        assert_eq!(lowest(&[]), None);
    }
}
