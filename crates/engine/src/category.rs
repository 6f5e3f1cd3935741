//! The nine kinds of fault, and how often each was seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of fault stopped a line or a call. Bounded and stable: the status, the metrics' label and the dead
/// letters all use these nine words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Category {
    /// No connection, or it broke.
    Network,
    /// Weaviate answered with an error of its own.
    Weaviate,
    /// A file could not be listed, opened or read.
    FileSystem,
    /// The server asked for a slower pace.
    RateLimit,
    /// The server or the worker is short of memory.
    Memory,
    /// Bytes that are no UTF-8, no base64, or hold a NUL.
    Encoding,
    /// No answer in time.
    Timeout,
    /// The line or the object breaks a rule.
    Validation,
    /// None of the others.
    Unknown,
}

impl Category {
    /// All nine, in the order of the status.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Weaviate,
        Self::FileSystem,
        Self::RateLimit,
        Self::Memory,
        Self::Encoding,
        Self::Timeout,
        Self::Validation,
        Self::Unknown,
    ];

    /// The word used in status, metrics and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Weaviate => "weaviate",
            Self::FileSystem => "fileSystem",
            Self::RateLimit => "rateLimit",
            Self::Memory => "memory",
            Self::Encoding => "encoding",
            Self::Timeout => "timeout",
            Self::Validation => "validation",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How often each kind of fault was seen: every rejected line once, and every call that failed, also when a later
/// attempt succeeded. So the sum may exceed the number of rejected lines, and never falls short of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<Category, u64>);

impl Tally {
    /// Counts one more fault.
    pub fn count(&mut self, category: Category) {
        *self.0.entry(category).or_default() += 1;
    }

    /// Takes one fault back.
    pub(crate) fn uncount(&mut self, category: Category) {
        if let Some(seen) = self.0.get_mut(&category) {
            *seen -= 1;
            if *seen == 0 {
                self.0.remove(&category);
            }
        }
    }

    /// How many faults of this kind were seen.
    pub fn of(&self, category: Category) -> u64 {
        self.0.get(&category).copied().unwrap_or_default()
    }

    /// Adds what another tally counted.
    pub fn add(&mut self, other: &Self) {
        for (category, seen) in &other.0 {
            *self.0.entry(*category).or_default() += seen;
        }
    }

    /// The sum over all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
