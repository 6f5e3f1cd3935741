//! The three answers to "is it well?".

use std::fmt;

use serde::Serialize;

/// Whether something is well. Ordered from good to bad: the worst of many is their maximum.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As declared.
    Healthy,
    /// Nobody knows. Never taken for healthy, for empty or for zero.
    Unknown,
    /// Known not to be as declared.
    Fault,
}

impl Verdict {
    /// The worst of many; of none, healthy.
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Healthy)
    }

    /// What a command that found this ends with: any definite fault 1, else anything unknown 2, else 0.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Fault => 1,
            Self::Unknown => 2,
        }
    }

    /// The word as it stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
