//! What became of the lines. Law: `lines` is always the sum of the six others.

use serde::{Deserialize, Serialize};

use crate::window::Outcome;

/// How many lines were read, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Lines that are not blank.
    pub lines: u64,
    /// Documents put as a whole.
    pub added: u64,
    /// Documents changed, or made by a modify of an unknown path.
    pub modified: u64,
    /// Documents deleted, or not there to begin with.
    pub deleted: u64,
    /// Documents moved to another path.
    pub renamed: u64,
    /// Lines proved, by a comparison with what is stored, to change nothing.
    pub unchanged: u64,
    /// Lines that were not indexed; each has a reason.
    pub rejected: u64,
}

impl Counts {
    /// Counts one line by what became of it.
    pub fn count(&mut self, outcome: &Outcome) {
        self.lines += 1;
        let slot = match outcome {
            Outcome::Added => &mut self.added,
            Outcome::Modified => &mut self.modified,
            Outcome::Deleted => &mut self.deleted,
            Outcome::Renamed => &mut self.renamed,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Rejected(_) => &mut self.rejected,
        };
        *slot += 1;
    }

    /// Adds what another window counted.
    pub fn add(&mut self, other: &Self) {
        let Self { lines, added, modified, deleted, renamed, unchanged, rejected } = other;
        self.lines += lines;
        self.added += added;
        self.modified += modified;
        self.deleted += deleted;
        self.renamed += renamed;
        self.unchanged += unchanged;
        self.rejected += rejected;
    }

    /// Whether the law holds: every line became exactly one thing.
    pub fn is_balanced(&self) -> bool {
        let Self { lines, added, modified, deleted, renamed, unchanged, rejected } = self;
        *lines == added + modified + deleted + renamed + unchanged + rejected
    }
}
