//! The same steps of a collection with tenants: writing creates none any more, those that are there are called, woken, made
//! read-only, and none may come, go or rest until the alias is switched.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::super::tenants::{self, AT_ONCE, MOST_AT_REST, Roll, Tenants};
use super::super::{Act, Journal, Phase, STEP_PATIENCE};
use super::{Moved, Stand, write};
use crate::collection::recreate::TenantState;
use crate::sight::Sight;

/// How much longer a step may take for each tenant: waking one, or making it read-only, is a command of its own.
const OF_A_TENANT: SignedDuration = SignedDuration::from_millis(50);

/// Tenants that strayed which the journal names.
const STRAYED: usize = elysia_api::STATUS_LIST_LIMIT;

impl<'a> Stand<'a> {
    fn tenants(&self, class: &str) -> Result<&'a [TenantState], String> {
        match self.look.tenants.get(class) {
            Some(Sight::Seen(tenants)) => Ok(tenants),
            Some(Sight::Unseen(blindness)) => Err(format!("the tenants of {class}: {}", blindness.message)),
            None => Err(format!("the tenants of {class} to be listed")),
        }
    }

    /// Longer than a step of the switch takes that is done for each tenant.
    fn takes_too_long(&self, tenants: usize) -> bool {
        let tenants = i32::try_from(tenants).unwrap_or(i32::MAX);
        let patience = STEP_PATIENCE.saturating_add(OF_A_TENANT.saturating_mul(tenants));
        self.now.duration_since(self.journal.since) > patience
    }

    /// Waits, unless it took too long: then the attempt is stopped.
    fn wait_for(&self, what: String, tenants: usize) -> Moved {
        if self.takes_too_long(tenants) { self.stop(&format!("waited in vain for {what}")) } else { Moved::Wait(what) }
    }

    /// What a node does not say, or the servers, of all that a collection with tenants is frozen by.
    pub(super) fn unseen_of_tenants(&self) -> Option<String> {
        if let Err(what) = self.tenants(&self.journal.from) {
            return Some(what);
        }
        let node = self.nodes.iter().find(|node| !matches!(self.look.makes_tenants.get(*node), Some(Some(_))))?;
        Some(format!("{node} to say whether writing creates tenants"))
    }

    /// Why the freeze does not hold any more, as far as it can be seen.
    pub(super) fn broken_of_tenants(&self, held: &Tenants) -> Option<String> {
        let Some(roll) = &held.roll else { return Some("which tenants there were is not known".to_owned()) };
        if let Some(node) = self.creates_at() {
            return Some(format!("somebody let writing create or wake tenants again, as {node} says"));
        }
        let tenants = self.tenants(&self.journal.from).ok()?;
        if let Some(why) = roll.broken(tenants) {
            return Some(why);
        }
        let (node, tenant) = self.open(tenants)?;
        Some(format!("tenant {tenant} at {node} became writable again; it or the node may have been restarted"))
    }

    /// A node at which writing creates or wakes tenants.
    fn creates_at(&self) -> Option<&'a String> {
        self.nodes.iter().find(|node| self.look.makes_tenants.get(*node) == Some(&Some(true)))
    }

    /// The first of these tenants that a node says is writable.
    fn open(&self, tenants: &'a [TenantState]) -> Option<(&'a String, &'a str)> {
        self.nodes.iter().find_map(|node| {
            let frozen: BTreeSet<&String> = self.look.read_only.get(node)?.as_ref()?.iter().collect();
            let open = tenants.iter().find(|tenant| !frozen.contains(&tenant.name))?;
            Some((node, open.name.as_str()))
        })
    }

    /// Names that are not read-only at every node, in their order.
    fn all_open(&self, tenants: &[TenantState]) -> Vec<String> {
        let frozen: Vec<BTreeSet<&String>> =
            self.look.read_only.values().flatten().map(|frozen| frozen.iter().collect()).collect();
        let is_open = |tenant: &&TenantState| !frozen.iter().all(|frozen| frozen.contains(&tenant.name));
        tenants.iter().filter(is_open).map(|tenant| tenant.name.clone()).collect()
    }

    pub(super) fn freeze_tenants(&self, held: &Tenants) -> Moved {
        let journal = self.journal;
        let from = &journal.from;
        if self.nodes.is_empty() || held.tenancy.is_none() {
            return self.stop("how its tenants are created, or at which nodes they are, is not known");
        }
        if let Some(what) = self.unseen_of_tenants() {
            return self.wait_for(what, 0);
        }
        if self.creates_at().is_some() {
            // First of all: from then on a tenant that comes was created by somebody on purpose.
            if self.takes_too_long(0) {
                return self.stop("writing could not be kept from creating tenants");
            }
            return Moved::Acts(vec![Act::HoldTenants(from.clone())]);
        }
        let tenants = match self.tenants(from) {
            Ok(tenants) => tenants,
            Err(what) => return self.wait_for(what, 0),
        };
        if let Some(node) = self.unseen() {
            return self.wait_for(node, tenants.len());
        }
        let Some(roll) = &held.roll else { return self.call(held, tenants) };
        if !roll.is_of(tenants) {
            let why = roll.broken(tenants);
            return self.stop(&why.unwrap_or_default());
        }
        let resting: Vec<&TenantState> = tenants.iter().filter(|tenant| !tenant.is_hot()).collect();
        let noted: BTreeSet<&String> = roll.at_rest.iter().collect();
        if let Some(other) = resting.iter().find(|tenant| !noted.contains(&tenant.name)) {
            return self.stop(&format!("tenant {} was put to rest ({}) meanwhile", other.name, other.status));
        }
        if !resting.is_empty() {
            if self.takes_too_long(tenants.len()) {
                return self.stop(&format!("{} tenants that were at rest did not wake", resting.len()));
            }
            let names = resting.iter().take(AT_ONCE).map(|tenant| tenant.name.clone()).collect();
            return Moved::Acts(vec![Act::WakeTenants { class: from.clone(), tenants: names }]);
        }
        let mut open = self.all_open(tenants);
        if open.is_empty() {
            return write(Journal { frozen_since: Some(self.now), ..journal.at(Phase::Settle, self.now) });
        }
        if self.takes_too_long(tenants.len()) {
            return self.stop(&format!("{} tenants did not become read-only", open.len()));
        }
        open.truncate(AT_ONCE);
        Moved::Acts(vec![Act::SetReadOnly { class: from.clone(), read_only: true, shards: open }])
    }

    /// Which tenants there are, which of them rest and which are read-only already is written down before the first of them
    /// is woken or made read-only.
    fn call(&self, held: &Tenants, tenants: &[TenantState]) -> Moved {
        if let Some(why) = tenants::obstacle(tenants) {
            return self.stop(&why);
        }
        let frozen: Vec<&Vec<String>> = self.look.read_only.values().flatten().collect();
        let everywhere = |name: &&String| frozen.iter().all(|frozen| frozen.contains(name));
        let before: Vec<String> =
            frozen.first().into_iter().flat_map(|first| first.iter()).filter(everywhere).cloned().collect();
        if before.len() > MOST_AT_REST {
            return self
                .stop(&format!("somebody made {} of its tenants read-only; make them writable first", before.len()));
        }
        let held = Tenants { roll: Some(Roll::of(tenants)), ..held.clone() };
        let next = self.journal.at(Phase::Freeze, self.now);
        let freezing_since = Some(self.now);
        write(Journal { read_only_before: Some(before), freezing_since, tenants: Some(held), ..next })
    }

    /// Every node follows the alias: what was woken rests again, in both classes, and that no tenant came at the very moment
    /// of the switch is looked at.
    pub(super) fn rest_after_switch(&self, held: &Tenants) -> Moved {
        let journal = self.journal;
        let (from, to) = match (self.tenants(&journal.from), self.tenants(&journal.to)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(what), _) | (_, Err(what)) => return Moved::Wait(what),
        };
        let strayed = held.roll.as_ref().map_or_else(Vec::new, |roll| strayed(roll, from, to));
        let mut acts = Vec::new();
        if !held.at_rest().is_empty() {
            for class in [&journal.to, &journal.from] {
                acts.push(Act::RestTenants { class: class.clone(), tenants: held.at_rest().to_vec() });
            }
        }
        acts.push(Act::Write(Box::new(Journal { strayed, ..journal.at(Phase::Kept, self.now) })));
        Moved::Acts(acts)
    }

    /// The live class is gone already: nobody is to wait for it.
    pub(super) fn end_without_live(&self, held: &Tenants) -> Moved {
        let (journal, tenants) = (self.journal, held.at_rest().to_vec());
        let rest = (!tenants.is_empty()).then(|| Act::RestTenants { class: journal.from.clone(), tenants });
        let end = Act::Write(Box::new(journal.at(Phase::Kept, self.now)));
        Moved::Acts(rest.into_iter().chain([end]).collect())
    }

    /// The old class as it was: writable, at rest what was, and created by writing what was.
    pub(super) fn thaw_tenants(&self, held: &Tenants, nodes: &[String]) -> Moved {
        let journal = self.journal;
        let from = &journal.from;
        let mut acts = Vec::new();
        if let Some(before) = &journal.read_only_before {
            let before: BTreeSet<&String> = before.iter().collect();
            let answers = nodes.iter().filter_map(|node| self.look.read_only.get(node).and_then(Option::as_ref));
            let own: BTreeSet<&String> = answers.flatten().filter(|shard| !before.contains(shard)).collect();
            if !own.is_empty() {
                let shards = own.into_iter().take(AT_ONCE).cloned().collect();
                return Moved::Acts(vec![Act::SetReadOnly { class: from.clone(), read_only: false, shards }]);
            }
            if let Some(node) = nodes.iter().find(|node| !matches!(self.look.read_only.get(*node), Some(Some(_)))) {
                return Moved::Wait(format!("{node} to answer, so that its tenants are seen to be writable"));
            }
        }
        if !held.at_rest().is_empty() {
            acts.push(Act::RestTenants { class: from.clone(), tenants: held.at_rest().to_vec() });
        }
        if let Some(tenancy) = &held.tenancy {
            acts.push(Act::ReleaseTenants { class: from.clone(), tenancy: tenancy.clone() });
        }
        acts.push(Act::Write(Box::new(journal.again(&self.spec.uid, self.now))));
        Moved::Acts(acts)
    }
}

/// Tenants of the old class that were not there when it was compared: between the last look and the switch somebody created
/// them. The first few.
fn strayed(roll: &Roll, from: &[TenantState], to: &[TenantState]) -> Vec<String> {
    if roll.is_of(from) {
        return Vec::new();
    }
    let there: BTreeSet<&String> = to.iter().map(|tenant| &tenant.name).collect();
    let only_there = from.iter().filter(|tenant| !there.contains(&tenant.name)).map(|tenant| tenant.name.clone());
    let mut strayed: Vec<String> = only_there.take(STRAYED).collect();
    if strayed.is_empty() && from.len() > roll.count {
        strayed.push("one of a name that both classes have".to_owned());
    }
    strayed
}
