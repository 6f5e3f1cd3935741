//! A journal whose object was deleted in the middle: the collection is left there and writable, with its tenants.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Cursor, Journal, STEP_PATIENCE, TenantState, tenancy_back};
use crate::sight::Sight;

/// Why such a journal is stopped. One that has this word was marked: the thaw of its shards was sent after the last freeze.
pub const ORPHANED: &str = "its ElysiaCollection was deleted";

/// What is left to do for a journal whose object is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum OrphanAct {
    /// Create the collection as it was: deleting an object deletes no collection.
    CreateOld,
    /// Create the tenants that it had.
    CreateTenants(Vec<TenantState>),
    /// Make the shards writable again that the journal froze.
    Thaw {
        /// Those that a living node holds.
        shards: Vec<String>,
        /// Is written once that was sent.
        marked: Option<Box<Journal>>,
    },
    /// Put the class in this form: tenants are created and woken by writing as before.
    PutTenancy(Value),
    /// Write the journal as ended.
    End {
        /// Nodes at which the shards were not seen to be writable.
        unseen: Vec<String>,
    },
    /// Nothing now; what is waited for.
    Wait(String),
}

/// What is looked at for a journal whose object is gone.
#[derive(Clone, Copy, Debug)]
pub struct OrphanLook<'a> {
    /// The class as the leader has it.
    pub class: &'a Sight<Option<Value>>,
    /// Nodes with an address of their own.
    pub nodes: &'a [String],
    /// Members that are alive.
    pub members: &'a Sight<Vec<String>>,
    /// The shards that are read-only, at each node; `None` when that node could not be asked.
    pub read_only: &'a BTreeMap<String, Option<Vec<String>>>,
    /// The tenants, of a class with tenancy.
    pub tenants: &'a Sight<Vec<TenantState>>,
}

impl OrphanLook<'_> {
    /// Whether a node is alive, or may be.
    fn may_live(&self, node: &String) -> bool {
        self.members.seen().is_none_or(|members| members.contains(node))
    }

    /// Whether a shard can be made writable: it is held by a living node, and no tenant at rest, which is writable when it wakes
    /// and would be woken by the question.
    fn can_be_thawed(&self, journal: &Journal, shard: &String) -> bool {
        let at_rest = |tenants: &Vec<TenantState>| tenants.iter().any(|it| it.name == *shard && !it.is_hot());
        let is_held = |replicas: &Vec<String>| replicas.iter().any(|node| self.may_live(node));
        let placed = journal.placement.iter().find(|placed| placed.shard == *shard);
        placed.is_some_and(|placed| is_held(&placed.replicas)) && !self.tenants.seen().is_some_and(at_rest)
    }

    /// Nodes at which one of these shards is not seen to be writable.
    fn unseen(&self, shards: &[String]) -> Vec<String> {
        let is_seen = |node: &&String| match self.read_only.get(*node) {
            Some(Some(read_only)) => !read_only.iter().any(|shard| shards.contains(shard)),
            _ => shards.is_empty(),
        };
        self.nodes.iter().filter(|node| !is_seen(node)).cloned().collect()
    }
}

/// The next act for a journal whose object was deleted in the middle: whatever it was at, the collection is left there and
/// writable, with its tenants.
///
/// Nothing of it waits for a node that is away. What that remembers of the freeze is gone when it starts again; one that was only
/// cut off is sent the thaw by RAFT, after the freeze, as the others were.
pub fn next_for_orphan(journal: &Journal, look: &OrphanLook<'_>, now: Timestamp) -> OrphanAct {
    let class = match look.class {
        Sight::Unseen(_) => return OrphanAct::Wait("the cluster to answer".to_owned()),
        Sight::Seen(None) => return OrphanAct::CreateOld,
        Sight::Seen(Some(class)) => class,
    };
    // Before that nothing was frozen, and what is read-only is a person's.
    let own = if journal.cursor < Cursor::Freeze { Vec::new() } else { journal.own_shards() };
    if let Some(thaw) = thaw(journal, &own, look, now) {
        return thaw;
    }
    if !journal.tenants_of(class).is_empty() {
        let Sight::Seen(there) = look.tenants else {
            return OrphanAct::Wait("the tenants to be listed".to_owned());
        };
        let missing = journal.missing_tenants(class, there);
        if !missing.is_empty() {
            return OrphanAct::CreateTenants(missing);
        }
    }
    if let Some(class) = tenancy_back(journal, class) {
        return OrphanAct::PutTenancy(class);
    }
    let unseen = look.unseen(&own);
    // A living one may tell yet. One that never does must not keep auto-schema off for everybody.
    match unseen.iter().find(|node| look.may_live(node)) {
        Some(node) if !is_late(journal, now) => {
            OrphanAct::Wait(format!("{node} to answer, so that its shards are seen to be writable"))
        }
        _ => OrphanAct::End { unseen },
    }
}

fn is_late(journal: &Journal, now: Timestamp) -> bool {
    now.duration_since(journal.since) > STEP_PATIENCE
}

/// The thaw: once without having seen that it is needed, because a node that was not seen may need it, and as long as a node says
/// that it is.
fn thaw(journal: &Journal, own: &[String], look: &OrphanLook<'_>, now: Timestamp) -> Option<OrphanAct> {
    let shards: Vec<String> = own.iter().filter(|shard| look.can_be_thawed(journal, shard)).cloned().collect();
    if shards.is_empty() {
        return None;
    }
    let is_marked = journal.stopped.as_deref() == Some(ORPHANED);
    let may_be_frozen =
        matches!(journal.cursor, Cursor::Freeze | Cursor::Settle | Cursor::Delete | Cursor::Thaw) && !is_marked;
    let is_frozen = look.read_only.values().flatten().flatten().any(|shard| shards.contains(shard));
    // A server whose disk is full makes them read-only again, each time.
    let gives_up = is_marked && is_late(journal, now);
    (may_be_frozen || (is_frozen && !gives_up)).then(|| {
        let marked = Journal { stopped: Some(ORPHANED.to_owned()), ..journal.at(Cursor::Thaw, now) };
        OrphanAct::Thaw { shards, marked: (!is_marked).then(|| Box::new(marked)) }
    })
}
