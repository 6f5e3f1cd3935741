//! How a live class differs from the declared settings, and what follows for each difference.
//!
//! ```text
//! differences ─▶ compare     which declared settings are not live; what the server fills in or counts is its own
//!             └▶ verdict     what follows from each: the measured table (mutability), softened by spec.driftPolicy
//! reverted    ─▶ revert      the body of the PUT that puts the mutable ones back
//! ```
//!
//! Only what the spec says is compared. What a server does with a setting was measured at real servers of four
//! versions (`mutability`), and a hundred definitions of Weaviate's own documentation and clients, with what those
//! servers answered to them, are in `fixtures/`.

mod compare;
mod mutability;
mod revert;
mod verdict;

use elysia_api::collection::{DriftRule, Verdict};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::version::ServerVersion;

pub(super) use compare::property_name;
pub use mutability::{MEASURED, Mutability, TABLE};
pub use revert::reverted;

/// Longest value that is shown of a setting, in characters.
const SHOWN_LIMIT: usize = 120;

/// By what a difference is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure<'a> {
    /// Version of the servers; `None`: not known, the most careful verdict of all measured versions is taken.
    pub version: Option<ServerVersion>,
    /// `spec.driftPolicy`.
    pub policy: &'a [DriftRule],
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where: names of settings, properties and vectors.
    pub path: Vec<String>,
    /// Value on the server; `None` when there is none.
    pub live: Option<Value>,
    /// Declared value; `Null` when nothing is declared.
    pub wanted: Value,
    /// What follows.
    pub verdict: Verdict,
    /// Why nothing is put back, for a person; empty when something is.
    #[serde(skip)]
    pub because: &'static str,
}

impl Difference {
    /// The path as a person writes it.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// Whether the difference is a property that the class lacks.
    pub fn is_new_property(&self) -> bool {
        self.path.len() == 2 && self.path[0] == "properties" && self.live.is_none()
    }
}

/// The value as it is shown in a status.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_LIMIT {
        return text;
    }
    let mut short: String = text.chars().take(SHOWN_LIMIT - 1).collect();
    short.push('…');
    short
}

/// Every difference, the worst first, those of one verdict by their paths.
pub fn differences(wanted: &Map<String, Value>, live: &Value, measure: &Measure<'_>) -> Vec<Difference> {
    let mut found: Vec<Difference> = compare::gaps(wanted, live)
        .into_iter()
        .filter_map(|gap| {
            let (mut verdict, mut because) = verdict::of(&gap, live, measure)?;
            if verdict == Verdict::Revert && verdict::excludes_another(&gap, wanted) {
                (verdict, because) = (Verdict::Report, "several are declared of which Weaviate takes one");
            }
            Some(Difference { path: gap.path, live: gap.live, wanted: gap.wanted, verdict, because })
        })
        .collect();
    found.extend(undeclared(wanted, live, "properties"));
    found.extend(undeclared(wanted, live, "vectorConfig"));
    found.sort_by(|one, other| (one.verdict, &one.path).cmp(&(other.verdict, &other.path)));
    found
}

/// Properties or vectors that the class has beside those that are declared: auto-schema adds them, and clients do. They
/// stay. One entry for all of them, by name, so that it changes when one is added and at no other time; none where
/// nothing of the kind is declared, since then nobody meant the list to be whole.
fn undeclared(wanted: &Map<String, Value>, live: &Value, kind: &str) -> Option<Difference> {
    let declared = compare::names(wanted.get(kind)?);
    let mut others: Vec<String> =
        compare::names(live.get(kind)?).into_iter().filter(|name| !declared.contains(name)).collect();
    if declared.is_empty() || others.is_empty() {
        return None;
    }
    others.sort();
    Some(Difference {
        path: vec![kind.to_owned()],
        live: Some(others.into()),
        wanted: Value::Null,
        verdict: Verdict::Adopt,
        because: "these are not declared; they stay",
    })
}

/// The factor that a class declares; a class without the block has 1.
pub fn class_factor(class: &Value) -> i64 {
    class.pointer("/replicationConfig/factor").and_then(Value::as_i64).unwrap_or(1).max(1)
}

/// Whether the class keeps a shard for each tenant.
pub fn is_multi_tenant(class: &Value) -> bool {
    class.pointer("/multiTenancyConfig/enabled").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
