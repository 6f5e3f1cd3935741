//! What a copy has done, kept where whoever comes next finds it: it goes on from there, and does nothing twice.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Order;
use crate::backup::manifest::{FORMAT, FORMAT_VERSION};
use crate::backup::ports::{Mode, Store};
use crate::backup::stored::document;
use crate::backup::transform::{Select, identity};
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// Tenants that are told of which differ.
pub const TOLD_TENANTS: usize = 20;

/// What was dealt with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Tally {
    /// Objects of the source that were looked at.
    pub read: u64,
    /// Written to the target.
    pub written: u64,
    /// Removed from the target.
    pub removed: u64,
    /// Left in the target, since it was there before the copy, though the source does not have them.
    pub left: u64,
    /// Objects of the source, as the transformation leaves them; where contents are compared.
    pub source: u64,
    /// Objects of the target; likewise.
    pub target: u64,
    /// Ids that differ; likewise.
    pub differing: u64,
}

impl Tally {
    /// With what another one counted.
    pub fn join(&mut self, other: Self) {
        let Self { read, written, removed, left, source, target, differing } = other;
        self.read += read;
        self.written += written;
        self.removed += removed;
        self.left += left;
        self.source += source;
        self.target += target;
        self.differing += differing;
    }
}

/// What a pass over the source does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Kind {
    /// Writes every object, whatever the target has.
    First,
    /// Writes what was changed since the last pass began, or is missing, and removes what vanished.
    Stamps,
    /// The same by comparing contents.
    Contents,
    /// Compares contents, and changes nothing.
    Compare,
}

/// How far one stretch is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which stretch.
    pub slice: usize,
    /// The last id that is dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Uuid>,
    /// Whether all of it is.
    #[serde(default)]
    pub is_done: bool,
    /// What was dealt with.
    #[serde(default)]
    pub tally: Tally,
}

/// A pass that is under way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// What it does.
    pub kind: Kind,
    /// When it began: whatever was confirmed before is seen by it.
    pub began_at: Timestamp,
    /// Objects that the source had, about.
    #[serde(default)]
    pub total: u64,
    /// Into how many stretches a collection without tenants is cut.
    pub slices: usize,
    /// All tenants up to this one are dealt with. They are in the order of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<String>,
    /// Stretches that were begun and are not covered by that.
    #[serde(default)]
    pub at: Vec<Position>,
    /// What was dealt with in the tenants that are passed.
    #[serde(default)]
    pub tally: Tally,
    /// Tenants that differ, the worst first; at most [`TOLD_TENANTS`].
    #[serde(default)]
    pub differing: Vec<Row>,
}

impl Pass {
    /// What was dealt with so far.
    pub fn all(&self) -> Tally {
        let mut all = self.tally;
        self.at.iter().for_each(|position| all.join(position.tally));
        all
    }

    pub(super) fn position(&mut self, tenant: Option<&str>, slice: usize) -> &mut Position {
        let found = self.at.iter().position(|it| it.tenant.as_deref() == tenant && it.slice == slice);
        let at = found.unwrap_or_else(|| {
            let tenant = tenant.map(str::to_owned);
            self.at.push(Position { tenant, slice, after: None, is_done: false, tally: Tally::default() });
            self.at.len() - 1
        });
        &mut self.at[at]
    }

    /// A tenant is dealt with, and so are all before it.
    pub(super) fn pass(&mut self, tenant: &str) {
        self.passed = Some(tenant.to_owned());
        let Some(at) = self.at.iter().position(|it| it.tenant.as_deref() == Some(tenant)) else { return };
        let Tally { source, target, differing, .. } = self.at[at].tally;
        self.tally.join(self.at.swap_remove(at).tally);
        if differing > 0 {
            self.differing.push(Row { tenant: tenant.to_owned(), source, target, differing });
            self.differing
                .sort_by(|one, other| other.differing.cmp(&one.differing).then(one.tenant.cmp(&other.tenant)));
            self.differing.truncate(TOLD_TENANTS);
        }
    }
}

/// A tenant that differs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub tenant: String,
    /// Objects of the source.
    pub source: u64,
    /// Objects of the target.
    pub target: u64,
    /// Ids that differ.
    pub differing: u64,
}

/// What a comparison of all objects gave.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Objects of the source, as the transformation leaves them.
    pub source: u64,
    /// Objects of the target.
    pub target: u64,
    /// Ids that differ.
    pub differing: u64,
    /// When it began.
    pub at: Timestamp,
    /// Tenants that differ, the worst first; at most [`TOLD_TENANTS`].
    #[serde(default)]
    pub tenants: Vec<Row>,
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.differing == 0 && self.source == self.target
    }
}

/// Whose the target is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Holding {
    /// There is none, as far as was looked; this copy is about to make it.
    Absent,
    /// It was made for this copy: whatever is in it is the copy's own.
    Own,
    /// It was there before, and empty: it is written to, and nothing is ever removed from it.
    Found,
}

/// A copy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// What every file of ours says.
    pub format: String,
    /// Its version.
    pub version: u32,
    /// Names the copy.
    pub copy: String,
    /// The collection that is read.
    pub from: String,
    /// Where.
    pub source: String,
    /// The collection that is written.
    pub into: String,
    /// Where.
    pub target: String,
    /// What tells its transformations from others; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformation: Option<Digest>,
    /// Whose the target is.
    pub holding: Holding,
    /// What tells the source from one that is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The same of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_identity: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// What it was asked under last.
    pub order: String,
    /// Passes that were begun under that, comparisons not counted.
    #[serde(default)]
    pub order_passes: u32,
    /// Whether that is done.
    #[serde(default)]
    pub order_is_done: bool,
    /// Comparisons of that.
    #[serde(default)]
    pub order_comparisons: u32,
    /// Passes that were begun, comparisons not counted.
    #[serde(default)]
    pub passes: u32,
    /// Written by whole passes.
    #[serde(default)]
    pub written: u64,
    /// Removed by whole passes.
    #[serde(default)]
    pub removed: u64,
    /// What the last whole pass had to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// Objects that the last whole pass had to leave in the target.
    #[serde(default)]
    pub left: u64,
    /// Objects of the source that the transformation left out, as the last pass counted that read all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// When the last whole pass began: whatever was written to the source before is in the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_to: Option<Timestamp>,
    /// The pass that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// What the last comparison gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Comparison>,
    /// Tenants of the source that this copy has woken and not put back to rest yet.
    #[serde(default)]
    pub woken: BTreeSet<String>,
}

impl State {
    pub(super) fn begin(order: &Order, now: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            copy: order.copy.clone(),
            from: order.from.clone(),
            source: order.source.clone(),
            into: order.into.clone(),
            target: order.target.clone(),
            transformation: identity(&Select::default(), &order.transform),
            holding: Holding::Absent,
            source_identity: None,
            target_identity: None,
            started_at: now,
            updated_at: now,
            order: order.order.clone(),
            order_passes: 0,
            order_is_done: false,
            order_comparisons: 0,
            passes: 0,
            written: 0,
            removed: 0,
            behind: None,
            left: 0,
            left_out: None,
            caught_up_to: None,
            pass: None,
            compared: None,
            woken: BTreeSet::new(),
        }
    }

    /// Whether it is of this very copy. Addresses may change while a cluster stays the same one.
    pub(super) fn is_of(&self, order: &Order) -> bool {
        self.from == order.from
            && self.into == order.into
            && self.transformation == identity(&Select::default(), &order.transform)
    }

    /// Takes up another order. A comparison under way is not gone on with: what it has compared may have changed since.
    pub(super) fn go_on(&mut self, order: &Order) {
        if self.order == order.order {
            return;
        }
        self.order.clone_from(&order.order);
        (self.order_passes, self.order_comparisons, self.order_is_done) = (0, 0, false);
        self.compared = None;
        // A first pass keeps what it has copied. Any other is begun again, so that this order has a whole one of its own.
        if let Some(pass) = self.pass.take_if(|pass| pass.kind != Kind::First) {
            let Tally { written, removed, .. } = pass.all();
            self.written += written;
            self.removed += removed;
        }
    }

    /// Objects of this pass that were dealt with.
    pub fn now(&self) -> Tally {
        self.pass.as_ref().map(Pass::all).unwrap_or_default()
    }
}

pub(super) async fn save<R: Store>(states: &R, key: &str, state: &State) -> Result<(), PortError> {
    states.put(key, document(state), Mode::Overwrite).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_tenants_are_told_and_the_cursor_stays_short() {
        let mut pass = Pass {
            kind: Kind::Compare,
            began_at: Timestamp::UNIX_EPOCH,
            total: 0,
            slices: 1,
            passed: None,
            at: Vec::new(),
            tally: Tally::default(),
            differing: Vec::new(),
        };
        for number in 0..50_u64 {
            let name = format!("t{number:02}");
            pass.position(Some(&name), 0).tally = Tally { source: 9, target: 9, differing: number, ..Tally::default() };
            pass.pass(&name);
        }
        assert_eq!((pass.at.len(), pass.differing.len(), pass.all().differing), (0, TOLD_TENANTS, 49 * 50 / 2));
        assert_eq!((pass.differing[0].tenant.as_str(), pass.passed.as_deref()), ("t49", Some("t49")));
    }
}
