//! What the worker of a copy says, in a ConfigMap beside the object. It has no owner: what was copied once is known also
//! to an object that is made again under the name. What the worker itself goes on by lies beside it, under another key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Tenants that are told of which are not the same on both sides, the worst first.
pub const TOLD_TENANTS: usize = 20;

/// The ledger of a copy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyLedger {
    /// Id of the copy, the same in all of its orders: a ledger of another copy under the same name says nothing of this
    /// one.
    pub copy: String,
    /// What the worker was asked under.
    pub order: String,
    /// How far it is.
    pub stage: Stage,
    /// Passes over the source that were begun, over all orders. The first one copies everything.
    #[serde(default)]
    pub pass: u32,
    /// Objects that the source had when this pass began, as far as it says.
    #[serde(default)]
    pub total: i64,
    /// Objects of the source that were dealt with in this pass.
    #[serde(default)]
    pub done: i64,
    /// Objects that were written to the target, in all passes.
    #[serde(default)]
    pub written: i64,
    /// Objects that were removed from the target because the source has them no more, in all passes.
    #[serde(default)]
    pub removed: i64,
    /// Objects that the last whole pass had to write or remove: how far the copy lagged. Nothing before the first whole pass,
    /// which counts everything.
    #[serde(default)]
    pub behind: Option<i64>,
    /// Objects of the source that the transformations left out, as the last pass that read all of them counted.
    #[serde(default)]
    pub left_out: Option<i64>,
    /// Every write to the source that was confirmed before this is in the target.
    #[serde(default)]
    pub caught_up_to: Option<Timestamp>,
    /// What a comparison of both sides gave.
    #[serde(default)]
    pub compared: Option<Compared>,
    /// Whether the target is there, and was made for this copy: whatever is in it is the copy's own. Once this is true it
    /// stays so, and only then anything is removed from it.
    #[serde(default)]
    pub has_begun: bool,
    /// When the copy was begun, under whichever order.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// When this order was done.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether another attempt would fail alike until a person changes something.
    #[serde(default)]
    pub is_permanent: bool,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stage {
    /// Everything is looked at before the first write.
    Looking,
    /// Objects are copied, or what was written meanwhile is caught up with.
    Copying,
    /// Both sides are compared, object by object.
    Comparing,
    /// The order is done: the copy lags by [`CopyLedger::behind`] at most, or has been compared.
    Done,
    /// It ended before that.
    Failed,
}

impl Stage {
    /// For people, behind the name of the Job.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Looking => "looks",
            Self::Copying => "copies",
            Self::Comparing => "compares both sides",
            Self::Done => "is done",
            Self::Failed => "has failed",
        }
    }
}

/// What a comparison of both sides gave.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Objects of the source, as the transformation leaves them.
    pub source: i64,
    /// Objects of the target.
    pub target: i64,
    /// Ids that only one side has, or whose properties or vectors differ.
    pub differing: i64,
    /// Ids whose contents were compared: all of them after a final order.
    pub sampled: i64,
    /// Whether every id was compared and none differs.
    pub is_same: bool,
    /// When it began.
    pub at: Timestamp,
    /// Tenants that differ, the worst first; at most [`TOLD_TENANTS`]. None in a collection without tenants.
    #[serde(default)]
    pub tenants: Vec<DifferingTenant>,
}

/// A tenant that is not the same on both sides.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferingTenant {
    /// Its name.
    pub tenant: String,
    /// Objects of the source.
    pub source: i64,
    /// Objects of the target.
    pub target: i64,
    /// Ids that differ.
    pub differing: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_ledger_of_few_words_is_understood() {
        let ledger: CopyLedger = serde_json::from_value(json!({
            "copy": "c", "order": "o", "stage": "Copying",
            "startedAt": "2026-11-30T05:00:00Z", "updatedAt": "2026-11-30T05:00:01Z",
        }))
        .unwrap();
        assert_eq!((ledger.stage, ledger.pass, ledger.behind, ledger.compared), (Stage::Copying, 0, None, None));
        assert!(!ledger.has_begun, "nothing may be removed from a target of which nobody says whose it is");
    }
}
