//! Which runs lack what the run before them had. Pure, as all of this.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Run;
use crate::backup::suspicion::shrank;

/// A run as far as its size is concerned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sized {
    /// Its id.
    pub id: String,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// Objects of each of its collections.
    pub collections: BTreeMap<String, u64>,
    /// Collections that it lacks since they cannot be written, and that says so.
    pub lacks: BTreeSet<String>,
    /// Whether it was verified, and nothing was found.
    pub is_verified: bool,
    /// What it was to hold, e.g. by which filter: only runs that were to hold the same are compared.
    pub choice: String,
    /// The runs that it builds on.
    pub bases: Vec<String>,
}

/// What a run lacks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Shrunk {
    /// A collection is not in it.
    #[error("collection {collection} of run {before} is not in it")]
    Missing {
        /// Which.
        collection: String,
        /// The run before.
        before: String,
    },
    /// A collection has far fewer objects.
    #[error("collection {collection} has {objects} objects, and had {had} in run {before}")]
    Fewer {
        /// Which.
        collection: String,
        /// As many as it has.
        objects: u64,
        /// As many as it had.
        had: u64,
        /// The run before.
        before: String,
    },
}

/// Of each collection the last run that says something of it: which, and how many objects that had.
type Before<'a> = BTreeMap<&'a String, (&'a String, u64)>;

/// What a run lacks of those before it: a collection, or more than `max_shrink` percent of the objects of one. Without
/// `max_shrink` only collections are missed.
fn shrunk(before: &Before<'_>, run: &Sized, max_shrink: Option<u8>) -> Option<Shrunk> {
    // What a run says itself that it lacks is no sign of a loss.
    let compared = before.iter().filter(|(name, _)| !run.lacks.contains(**name));
    compared.into_iter().find_map(|(name, (before, had))| {
        let (name, before) = (*name, (*before).clone());
        let Some(objects) = run.collections.get(name) else {
            return Some(Shrunk::Missing { collection: name.clone(), before });
        };
        let is_fewer = shrank(*had, *objects) > max_shrink?;
        is_fewer.then(|| Shrunk::Fewer { collection: name.clone(), objects: *objects, had: *had, before })
    })
}

/// The runs as retention sees them, the oldest first, each with what it lacks of the one before it that was to hold the
/// same: of a run with a filter fewer objects say nothing beside one without.
pub fn judged(runs: &[Sized], max_shrink: Option<u8>) -> Vec<(Run, Option<Shrunk>)> {
    let mut runs: Vec<&Sized> = runs.iter().collect();
    runs.sort_by(|one, other| (one.finished_at, &one.id).cmp(&(other.finished_at, &other.id)));
    let mut before: BTreeMap<&str, Before<'_>> = BTreeMap::new();
    let mut out = Vec::with_capacity(runs.len());
    for run in runs {
        let before = before.entry(&run.choice).or_default();
        let shrunk = shrunk(before, run, max_shrink);
        // Of what it lacks since that cannot be written, the run before it goes on speaking.
        before.retain(|name, _| run.lacks.contains(*name));
        before.extend(run.collections.iter().map(|(name, objects)| (name, (&run.id, *objects))));
        let Sized { id, finished_at, is_verified, bases, .. } = run.clone();
        let is_suspect = shrunk.is_some();
        let run = Run { id, finished_at, is_suspect, is_verified, is_in_use: false, is_last_holder: false, bases };
        out.push((run, shrunk));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: i64, collections: &[(&str, u64)]) -> Sized {
        Sized {
            id: number.to_string(),
            finished_at: Timestamp::from_second(number).unwrap(),
            collections: collections.iter().map(|(name, objects)| ((*name).to_owned(), *objects)).collect(),
            lacks: BTreeSet::new(),
            is_verified: false,
            choice: String::new(),
            bases: Vec::new(),
        }
    }

    fn told(runs: &[Sized], max_shrink: Option<u8>) -> Vec<String> {
        let judged = judged(runs, max_shrink);
        assert!(judged.iter().all(|(run, shrunk)| run.is_suspect == shrunk.is_some()));
        judged.into_iter().map(|(_, shrunk)| shrunk.map_or_else(String::new, |it| it.to_string())).collect()
    }

    #[test]
    fn a_run_is_compared_with_the_one_before_it() {
        let runs = [
            run(4, &[("A", 50), ("B", 1)]),
            run(1, &[("A", 100)]),
            run(2, &[("A", 90), ("B", 1)]),
            run(3, &[("A", 89)]),
        ];
        let missing = "collection B of run 2 is not in it";
        assert_eq!(told(&runs, None), ["", "", missing, ""]);
        let fewer = "collection A has 50 objects, and had 89 in run 3";
        assert_eq!(told(&runs, Some(10)), ["", "", missing, fewer]);
        assert_eq!(told(&runs, Some(100)), ["", "", missing, ""]);
    }

    #[test]
    fn the_bound_itself_is_allowed() {
        let runs = [run(1, &[("A", 100)]), run(2, &[("A", 90)]), run(3, &[("A", 0)]), run(4, &[("A", 0)])];
        assert_eq!(told(&runs, Some(10))[1], "");
        assert!(told(&runs, Some(9))[1].contains("90 objects"));
        assert!(told(&runs, Some(0))[2].contains("0 objects"));
        assert_eq!(told(&runs, Some(0))[3], "", "nothing cannot shrink");
    }

    #[test]
    fn what_a_run_says_itself_that_it_lacks_is_not_missed() {
        let lacking = Sized { lacks: BTreeSet::from(["B".to_owned()]), ..run(2, &[("A", 9)]) };
        let runs = [run(1, &[("A", 10), ("B", 1)]), lacking, run(3, &[("B", 1)])];
        assert_eq!(told(&runs, Some(50)), ["", "", "collection A of run 2 is not in it"]);
    }

    #[test]
    fn what_a_run_says_itself_that_it_lacks_is_missed_when_it_is_gone_afterwards() {
        let lacking = |number| Sized { lacks: BTreeSet::from(["B".to_owned()]), ..run(number, &[("A", 9)]) };
        let gone = [run(1, &[("A", 10), ("B", 1000)]), lacking(2), lacking(3), run(4, &[("A", 9)])];
        assert_eq!(told(&gone, Some(50)), ["", "", "", "collection B of run 1 is not in it"]);
        let back = [run(1, &[("A", 10), ("B", 1000)]), lacking(2), run(3, &[("A", 9), ("B", 10)])];
        assert_eq!(told(&back, Some(50))[2], "collection B has 10 objects, and had 1000 in run 1");
    }

    #[test]
    fn like_is_compared_with_like() {
        let chosen = |number, choice: &str, objects| Sized {
            choice: choice.to_owned(),
            bases: vec!["0".to_owned()],
            ..run(number, &[("A", objects)])
        };
        let runs = [chosen(1, "", 100), chosen(2, "new", 3), chosen(3, "", 99), chosen(4, "new", 1)];
        assert_eq!(told(&runs, Some(10)), ["", "", "", "collection A has 1 objects, and had 3 in run 2"]);
        assert_eq!(judged(&runs, None)[0].0.bases, ["0"]);
    }
}
