//! One feed among several workers: each reads all lines and deals with its own.
//!
//! A line belongs to the partition that its repo's sha256 says, so that changes of one path, and both paths of a rename,
//! are one worker's. What is no line of any repo belongs to partition 0. Every line belongs to exactly one partition, so
//! what the partitions count adds up to what one worker would have counted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::commit::Committer;
use crate::keeper::Keeper;
use crate::pace::{BatchLimits, Pace};
use crate::ports::{Clock, LedgerStore, Sink};
use crate::retry::{Faults, Patience, Retry, Stop};
use crate::run::{RunError, ledger_failed};
use crate::tail::PIECES;

/// Lines of other partitions after which a window ends however few lines it has: a checkpoint moves on with it, so that
/// a worker with little to do does not read everything again after a kill.
pub(crate) const PASSED_OVER: u64 = 100_000;

/// One worker's share of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Which, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl Partition {
    /// A share; `None` where there is no such one.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Whether lines of this repo are its own; `None`: of a line that names none.
    pub fn owns(&self, repo: Option<&str>) -> bool {
        let Some(repo) = repo else { return self.index == 0 };
        let digest: [u8; 32] = Sha256::digest(repo).into();
        let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = digest;
        let number = u64::from_be_bytes([first, second, third, fourth, fifth, sixth, seventh, eighth]);
        number % u64::from(self.count.max(1)) == u64::from(self.index)
    }
}

/// Whether this ledger is of another division of the feed and holds deletes that are still to be done.
fn is_left_over<L: LedgerStore, C: Clock>(
    keeper: &Keeper<'_, L, C>,
    ours: Option<Partition>,
    collection: &str,
) -> bool {
    let count = |partition: Option<Partition>| partition.map_or(1, |partition| partition.count);
    let ledger = &keeper.ledger;
    ledger.collection == collection && count(ledger.partition) != count(ours) && ledger.pending.is_some()
}

/// Finishes what a worker of another division of the feed left half done, before anybody writes what it would delete.
/// Only one worker does: the first partition. The answer is whether nothing is left over.
pub async fn finish_former<K: Sink, L: LedgerStore, C: Clock>(
    ours: Option<Partition>,
    collection: &str,
    sink: &K,
    former: &L,
    clock: &C,
    stop: &Stop,
) -> Result<bool, RunError> {
    let faults = Faults::default();
    let patience = Patience { retry: Retry::default(), clock, stop, faults: &faults, breaker: None };
    let keeper = Keeper::load(former, patience, "", collection).await;
    let mut keeper = keeper.map_err(|error| ledger_failed(&error, stop))?;
    if !is_left_over(&keeper, ours, collection) {
        return Ok(true);
    }
    if ours.is_some_and(|ours| ours.index != 0) {
        return Ok(false);
    }
    let Some(pending) = keeper.ledger.pending.take() else { return Ok(true) };
    let pace = Pace::new(BatchLimits::default());
    let patience = Patience { retry: Retry::default(), clock, stop, faults: &faults, breaker: None };
    let committer = Committer {
        sink,
        patience,
        pace: &pace,
        computed_vectors: &BTreeSet::new(),
        // It deletes, and makes nothing.
        cutting: None,
        pieces: Semaphore::new(PIECES),
    };
    committer.delete_documents(&pending.gone()).await?;
    // Its window is counted nowhere: the run that comes reads all lines from the beginning.
    keeper.save().await.map_err(|error| ledger_failed(&error, stop))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repo_is_of_one_partition_and_what_is_of_none_of_the_first() {
        let repos = (0..500).map(|number| format!("repo-{number}")).collect::<Vec<_>>();
        for count in [1, 2, 3, 64] {
            let partitions = (0..count).map(|index| Partition::new(index, count).unwrap()).collect::<Vec<_>>();
            for repo in repos.iter().map(String::as_str).map(Some).chain([None]) {
                let owners = partitions.iter().filter(|partition| partition.owns(repo)).collect::<Vec<_>>();
                assert_eq!(owners.len(), 1, "{repo:?} of {count}");
                assert!(repo.is_some() || owners[0].index == 0);
            }
            let shares = partitions.iter().map(|one| repos.iter().filter(|repo| one.owns(Some(repo))).count());
            assert!(shares.min() > Some(0), "{count}");
        }
        assert_eq!(Partition::new(3, 3), None);
        assert_eq!(Partition::new(0, 0), None);
    }

    /// Counts of a run are those of its division: another rule would be another division of the same number.
    #[test]
    fn the_rule_stays_as_it_is() {
        for (repo, index, count) in [("notebook", 5, 7), ("notebook", 1, 3), ("a", 4, 7), ("a", 1, 3)] {
            assert!(Partition::new(index, count).unwrap().owns(Some(repo)), "{repo} of {count}");
        }
    }
}
