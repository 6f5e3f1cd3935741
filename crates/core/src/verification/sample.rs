//! Which objects are compared. The dice are the caller's: what comes from them are numbers in the arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::ObjectKey;

/// Places in the collection at which a sample begins to read: neighbours by id say less than objects from everywhere,
/// and each place costs one page from each node.
pub const STARTS: usize = 10;

/// Tenants that one look samples. Each costs pages of its own.
pub const TENANTS: usize = 20;

/// Ids that are asked for at each place, so that all places together give the sample.
pub fn page_size(sample: usize, places: usize) -> usize {
    sample.div_ceil(places.max(1)).max(1)
}

/// How many places one tenant, or the whole collection, is read from.
pub fn places(sample: usize, tenants: usize) -> usize {
    let starts = STARTS.min(sample.max(1));
    if tenants <= 1 { starts } else { (starts / tenants).max(1) }
}

/// The tenants that are sampled: those with the lowest numbers of the dice, which has one for each.
pub fn tenants(hot: &[String], dice: &[u64]) -> Vec<String> {
    let mut drawn: Vec<(u64, &String)> = dice.iter().copied().zip(hot).collect();
    drawn.sort();
    drawn.into_iter().take(TENANTS).map(|(_, tenant)| tenant.clone()).collect()
}

/// What one node listed from one place on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Listed {
    /// Ids, ascending.
    pub ids: Vec<String>,
    /// Whether the page was full: what comes after its last id was not listed.
    pub full: bool,
}

/// The objects that are read, at most `limit`: first those in which the lists of one place differ although each of them
/// reaches that far, then the others.
///
/// A node without a replica of a shard lists what another one has; so a difference between lists is a suspicion and
/// nothing more.
pub fn choose(places: &[(Option<String>, BTreeMap<String, Listed>)], limit: usize) -> Vec<ObjectKey> {
    let (mut suspicious, mut ordinary) = (BTreeSet::new(), BTreeSet::new());
    for (tenant, lists) in places {
        let reach = lists.values().filter(|list| list.full).filter_map(|list| list.ids.last()).min();
        let ids: BTreeSet<&String> = lists.values().flat_map(|list| &list.ids).collect();
        for id in ids {
            let reached = reach.is_none_or(|reach| id <= reach);
            let everywhere = lists.values().all(|list| list.ids.binary_search(id).is_ok());
            let key = ObjectKey { tenant: tenant.clone(), id: id.clone() };
            let into = if reached && !everywhere { &mut suspicious } else { &mut ordinary };
            into.insert(key);
        }
    }
    ordinary.retain(|key| !suspicious.contains(key));
    let ordinary = spread(ordinary.into_iter().collect(), limit.saturating_sub(suspicious.len()));
    suspicious.into_iter().chain(ordinary).take(limit).collect()
}

/// As many, from everywhere in the list.
fn spread<T>(items: Vec<T>, wanted: usize) -> Vec<T> {
    let count = items.len();
    if count <= wanted {
        return items;
    }
    let picked: BTreeSet<usize> = (0..wanted).map(|at| at * count / wanted).collect();
    items.into_iter().enumerate().filter(|(at, _)| picked.contains(at)).map(|(_, item)| item).collect()
}
