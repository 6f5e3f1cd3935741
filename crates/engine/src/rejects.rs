//! Rejected lines, kept so that they can be read, and carried out again once what refused them was mended.
//!
//! A line may be carried out late only if no later line was carried out for the same document meanwhile: it would put an
//! older state over a newer one. Who reads the lines in their order knows that, and marks such a line as superseded in
//! the very write of the ledger that counts the later line. So it is known whatever became of the files since.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rejection::DeadLetter;

/// How many rejected lines a ledger keeps, the last ones: more than a person reads, and a schema that lacks a property
/// is noticed before.
pub const REJECTS: usize = 1_000;

/// Bytes of all of them together, as they are written: they are a part of every write of the ledger, and twice of one
/// whose window is half done. Beside the records of a thousand files (up to 370 KB, and those that end in the window once
/// more) that stays within the 768 KiB that a worker writes into a `ConfigMap`.
pub const REJECTS_BYTES: usize = 64 << 10;

/// One rejected line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    /// Its number among all rejected lines since the counts began, from 1. It keeps it when it is rejected once more.
    #[serde(default)]
    pub number: u64,
    /// Where it stands, and what is wrong with it.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// The documents that it would change; none where the line cannot be read as a change at all, and stays what it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Uuid>,
    /// Whether a later line was carried out for one of its documents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_superseded: bool,
}

impl Reject {
    /// Whether it may be carried out late.
    pub fn can_be_replayed(&self) -> bool {
        !self.is_superseded && !self.documents.is_empty()
    }

    fn bytes(&self) -> usize {
        // What cannot be written has no size, and the ledger's own write says so.
        serde_json::to_string(self).map_or(0, |text| text.len() + 1)
    }
}

/// The last rejected lines, in the order of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rejects {
    /// Lines that were ever rejected since the counts began.
    pub seen: u64,
    /// The last of them that were not carried out since, by their numbers.
    pub lines: Vec<Reject>,
}

impl Rejects {
    /// Whether nothing was rejected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the last of so many lines that were rejected for the first time, and those that keep their number.
    pub(crate) fn add(&mut self, rejects: Vec<Reject>, fresh: u64) {
        let kept = rejects.iter().filter(|reject| reject.number == 0).count() as u64;
        let mut number = self.seen + fresh.saturating_sub(kept);
        self.seen += fresh;
        for mut reject in rejects {
            if reject.number == 0 {
                number += 1;
                reject.number = number;
            }
            self.lines.push(reject);
        }
        self.lines.sort_by_key(|reject| reject.number);
        keep_last(&mut self.lines);
    }

    /// Takes these out.
    pub(crate) fn take(&mut self, numbers: &BTreeSet<u64>) -> Vec<Reject> {
        let (taken, left) =
            std::mem::take(&mut self.lines).into_iter().partition(|reject| numbers.contains(&reject.number));
        self.lines = left;
        taken
    }

    /// A later line was carried out for a document of each of these.
    pub(crate) fn supersede(&mut self, numbers: &[u64]) {
        for reject in self.lines.iter_mut().filter(|reject| numbers.contains(&reject.number)) {
            reject.is_superseded = true;
        }
    }

    /// Those that came before the last line which was carried out for one of their documents. A line of the feed comes
    /// after all of them; one that was carried out again has its number.
    pub(crate) fn superseded_by(&self, last: &BTreeMap<Uuid, u64>) -> Vec<u64> {
        let is_before = |reject: &Reject, document| last.get(document).is_some_and(|last| reject.number < *last);
        let earlier = self.lines.iter().filter(|reject| {
            !reject.is_superseded && reject.documents.iter().any(|document| is_before(reject, document))
        });
        earlier.map(|reject| reject.number).collect()
    }

    /// A file has another name from now on.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        for reject in self.lines.iter_mut().filter(|reject| reject.letter.file == from) {
            to.clone_into(&mut reject.letter.file);
        }
    }
}

/// Drops the first ones until both bounds hold.
pub(crate) fn keep_last(rejects: &mut Vec<Reject>) {
    let mut bytes = 0;
    let fits = rejects.iter().rev().take(REJECTS).take_while(|reject| {
        bytes += reject.bytes();
        bytes <= REJECTS_BYTES
    });
    let fits = fits.count();
    rejects.drain(..rejects.len() - fits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::category::Category;

    fn reject(line: u64, document: u128, reason: &str) -> Reject {
        let letter = DeadLetter {
            file: "a".to_owned(),
            line,
            offset: 0,
            length: 9,
            category: Category::Validation,
            reason: reason.to_owned(),
        };
        Reject { number: 0, letter, documents: vec![Uuid::from_u128(document)], is_superseded: false }
    }

    fn numbers(rejects: &Rejects) -> Vec<(u64, u64)> {
        rejects.lines.iter().map(|reject| (reject.number, reject.letter.line)).collect()
    }

    #[test]
    fn the_last_ones_are_kept_under_their_numbers() {
        let mut rejects = Rejects::default();
        rejects.add(vec![reject(1, 1, "")], 1);
        // Of seven the first five did not fit.
        rejects.add(vec![reject(7, 7, ""), reject(8, 8, "")], 7);
        assert_eq!((rejects.seen, numbers(&rejects)), (8, vec![(1, 1), (7, 7), (8, 8)]));
        let mut again = rejects.take(&[1].into());
        again[0].letter.reason = "still".to_owned();
        rejects.add(again, 0);
        assert_eq!((rejects.seen, numbers(&rejects)), (8, vec![(1, 1), (7, 7), (8, 8)]));
        assert_eq!(rejects.lines[0].letter.reason, "still");
        let many = REJECTS as u64 + 5;
        rejects.add((0..many).map(|line| reject(line, 1, "")).collect(), many);
        assert_eq!(
            (rejects.lines.len(), rejects.lines[0].number),
            (REJECTS.min(rejects.lines.len()), 8 + many + 1 - rejects.lines.len() as u64)
        );
        rejects.add((0..many).map(|line| reject(line, 1, &"x".repeat(400))).collect(), many);
        let bytes = serde_json::to_string(&rejects.lines).unwrap().len();
        assert!(bytes <= REJECTS_BYTES + 2 && bytes > REJECTS_BYTES - 600, "{bytes}");
    }

    #[test]
    fn a_later_line_supersedes_what_is_before_it() {
        let mut rejects = Rejects::default();
        rejects.add(vec![reject(1, 1, ""), reject(2, 2, ""), reject(3, 1, "")], 3);
        let last = |documents: &[(u128, u64)]| {
            documents.iter().map(|(document, number)| (Uuid::from_u128(*document), *number)).collect()
        };
        assert_eq!(rejects.superseded_by(&last(&[(1, u64::MAX)])), [1, 3]);
        assert_eq!(rejects.superseded_by(&last(&[(1, 3)])), [1], "the third comes after");
        assert_eq!(rejects.superseded_by(&last(&[(1, 3), (2, 1)])), [1], "each document has its own last line");
        rejects.supersede(&[1]);
        assert_eq!(rejects.superseded_by(&last(&[(1, u64::MAX)])), [3]);
        assert_eq!(rejects.lines.iter().map(Reject::can_be_replayed).collect::<Vec<_>>(), [false, true, true]);
    }
}
