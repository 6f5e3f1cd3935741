//! Recreation of an empty collection: a journal, a cursor, and at each step its own precondition.
//!
//! The order follows `weaviate-lab` §6 and §12: auto-schema off at every node, every shard read-only at every node,
//! what was in flight waited out, the ids of each replica listed empty twice, the delete at once, the class gone
//! everywhere, the create, the look at each node. Whatever cannot be shown stops it before the delete and thaws.

use std::collections::BTreeMap;

use elysia_api::collection::{ShardReplicas, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{self, Measure};
use crate::sight::Sight;

/// Writes in flight when the shards were frozen are over by then: the commit of a write already prepared does not look
/// at the shard's status (`weaviate-lab` §12). The servers are run with `--write-timeout=60s`, and a batch of the gRPC
/// stream has 90 s (`weaviate.md` §4).
pub const SETTLE: SignedDuration = SignedDuration::from_secs(120);

/// Longest time from the first look of the proof to the delete. An operator that was held up in between proves nothing
/// any more: another one may have thawed the shards meanwhile.
pub const PROOF_HOLDS: SignedDuration = SignedDuration::from_secs(10);

/// How long a step may wait for its precondition before the recreation is stopped. A kubelet may take more than a
/// minute to hand a changed ConfigMap to a pod.
pub const STEP_PATIENCE: SignedDuration = SignedDuration::from_secs(300);

/// How far a recreation is. Each name says what is being done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Cursor {
    /// Auto-schema is switched off and seen to be off at every node.
    AutoSchemaOff,
    /// Every shard is made read-only and seen to be so at every node.
    Freeze,
    /// What was in flight is waited out.
    Settle,
    /// Emptiness is proved at each node, twice, and the collection deleted at once.
    Delete,
    /// The collection is gone at every node.
    WaitGone,
    /// The collection is created.
    Create,
    /// Every node has the new collection.
    Verify,
    /// It was stopped before the delete: the shards are made writable again.
    Thaw,
    /// Ended: the new collection is there; with a reason why it was stopped, the old one made again from the journal.
    Done,
    /// Ended: the old collection is there, untouched.
    Stopped,
}

impl Cursor {
    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Stopped)
    }

    /// Whether the delete may have happened already.
    pub fn is_past_delete(self) -> bool {
        matches!(self, Self::WaitGone | Self::Create | Self::Verify)
    }
}

/// What is written down before the first destructive step, and all that is needed to go on after any crash.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Hash of the approved plan.
    pub hash: String,
    /// Number of recreations of this object, this one included. Part of the next plan's hash, so that one approval
    /// serves one plan.
    pub attempts: i64,
    /// Name of the collection.
    pub collection: String,
    /// The class as it was, from the server.
    pub live_schema: Value,
    /// The class as it will be.
    pub wanted_schema: Value,
    /// Where the replicas were.
    pub placement: Vec<ShardReplicas>,
    /// How far it is.
    pub cursor: Cursor,
    /// Since when it is there.
    pub since: Timestamp,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Journal {
    /// The journal after the server refused for good to create the wanted class: the old one is made again, so that
    /// nobody is left without the collection. `None` when it is the old one already that is refused.
    pub fn with_old_schema(&self, refusal: &str, now: Timestamp) -> Option<Self> {
        (self.cursor == Cursor::Create && self.wanted_schema != self.live_schema).then(|| Self {
            wanted_schema: self.live_schema.clone(),
            stopped: Some(format!(
                "the server refused the new settings, so the old collection was made again: {refusal}"
            )),
            since: now,
            ..self.clone()
        })
    }
}

/// What the present step wants to know; each part is asked only by the step that needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Whether auto-schema is on, at each node; `None` when that node could not be asked or did not say.
    pub auto_schema: BTreeMap<String, Option<bool>>,
    /// Whether every shard is read-only, at each node; at [`Cursor::Thaw`] whether any is. `None` when that node could
    /// not be asked.
    pub frozen: BTreeMap<String, Option<bool>>,
    /// The class as each node itself has it; the outer `None` when that node could not be asked.
    pub local: BTreeMap<String, Option<Option<Value>>>,
}

/// What was gathered right before the delete, at each node's own address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Evidence {
    /// The nodes that hold a replica.
    pub holders: Vec<String>,
    /// Nodes whose list was empty, in the first and in the second round; a node that could not be asked is in neither.
    pub empty: [Vec<String>; 2],
    /// Nodes at which every shard was read-only before the first round, and after the second. A restart thaws a shard,
    /// so a node that restarted in between is missing here.
    pub frozen: [Vec<String>; 2],
    /// Nodes at which auto-schema was off after the second round.
    pub auto_schema_off: Vec<String>,
    /// The nodes that were to be asked.
    pub nodes: Vec<String>,
    /// Copies of the collection that the servers know of; `None` when they could not say.
    pub operations: Option<usize>,
    /// Whether the placement was still the journal's.
    pub placement_unchanged: bool,
    /// Whether a backup may be running; `None` when the servers could not say.
    pub backup_running: Option<bool>,
    /// Nodes whose server was started after the freeze. A disk may have been replaced, and the freeze replayed.
    pub restarted: Vec<String>,
    /// Time from the first look to the last.
    pub took: SignedDuration,
}

/// Whether the collection is proved empty; the error says what is missing.
pub fn proof(evidence: &Evidence) -> Result<(), String> {
    let Evidence {
        holders,
        empty,
        frozen,
        auto_schema_off,
        nodes,
        operations,
        placement_unchanged,
        backup_running,
        restarted,
        took,
    } = evidence;
    if let Some(node) = restarted.first() {
        return Err(format!("{node} restarted after the shards were made read-only"));
    }
    if *took > PROOF_HOLDS {
        return Err(format!("looking took {} s; what was seen first may no longer hold", took.as_secs()));
    }
    if let Some(holder) = holders.iter().find(|holder| !nodes.contains(holder)) {
        return Err(format!("{holder} holds a replica and has no address of its own"));
    }
    if nodes.is_empty() {
        return Err("no node has an address of its own".to_owned());
    }
    for node in nodes {
        if !frozen.iter().all(|round| round.contains(node)) {
            return Err(format!("not every shard was read-only at {node}; it may have restarted"));
        }
        if !empty.iter().all(|round| round.contains(node)) {
            return Err(format!("{node} lists objects, or could not be asked"));
        }
        if !auto_schema_off.contains(node) {
            return Err(format!("auto-schema is not off at {node}: a writer would bring the collection back"));
        }
    }
    match (operations, backup_running) {
        (Some(0), Some(false)) => {}
        (Some(0), Some(true)) => return Err("a backup is running".to_owned()),
        (Some(0), None) => {
            return Err("the servers could not say whether a backup is running".to_owned());
        }
        (Some(_), _) => return Err("copies of the collection are under way".to_owned()),
        (None, _) => {
            return Err("the servers could not say whether copies are under way".to_owned());
        }
    }
    if *placement_unchanged { Ok(()) } else { Err("the placement changed since the plan was approved".to_owned()) }
}

/// What the journal's present step asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// [`Look::auto_schema`].
    pub auto_schema: bool,
    /// [`Look::frozen`].
    pub frozen: bool,
    /// [`Look::local`].
    pub local: bool,
}

/// What the step at this cursor has to look at.
pub fn wants(cursor: Cursor) -> Wants {
    match cursor {
        Cursor::AutoSchemaOff => Wants { auto_schema: true, ..Wants::default() },
        Cursor::Freeze | Cursor::Settle | Cursor::Thaw => Wants { frozen: true, ..Wants::default() },
        Cursor::WaitGone | Cursor::Verify => Wants { local: true, ..Wants::default() },
        Cursor::Delete | Cursor::Create | Cursor::Done | Cursor::Stopped => Wants::default(),
    }
}

/// The next act of a recreation.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Write the journal with this cursor; nothing else happens before it is written.
    Move {
        /// The next cursor.
        cursor: Cursor,
        /// Why it is stopped.
        stopped: Option<String>,
    },
    /// Make every shard read-only.
    Freeze,
    /// Make every shard writable again.
    Thaw,
    /// Gather the evidence, and if it is a proof, delete at once.
    ProveAndDelete,
    /// Create the class.
    Create,
    /// Write the journal so that the old collection is made again.
    MakeOld(Box<Journal>),
    /// Nothing now; what is waited for.
    Wait(String),
}

/// The next act, from what was seen.
pub fn next(journal: &Journal, class: &Sight<Option<Value>>, nodes: &[String], look: &Look, now: Timestamp) -> Act {
    let waited = now.duration_since(journal.since);
    let advance = |cursor| Act::Move { cursor, stopped: None };
    let stop = |why: String| Act::Move { cursor: Cursor::Thaw, stopped: Some(why) };
    let Some(class) = class.seen() else {
        return Act::Wait("the cluster to answer".to_owned());
    };
    // Somebody deleted it meanwhile: nothing is left to prove, and the rest is to make it again.
    if class.is_none() && journal.cursor < Cursor::WaitGone {
        return advance(Cursor::WaitGone);
    }
    match journal.cursor {
        Cursor::AutoSchemaOff => match not_yet(nodes, &look.auto_schema, false) {
            None => advance(Cursor::Freeze),
            Some(node) if waited > STEP_PATIENCE => stop(format!("auto-schema could not be seen to be off at {node}")),
            Some(node) => Act::Wait(format!("auto-schema to be off at {node}")),
        },
        Cursor::Freeze => match not_yet(nodes, &look.frozen, true) {
            None => advance(Cursor::Settle),
            Some(node) if waited > STEP_PATIENCE => stop(format!("the shards did not become read-only at {node}")),
            Some(_) => Act::Freeze,
        },
        Cursor::Settle => match not_yet(nodes, &look.frozen, true) {
            Some(node) => stop(format!("a shard at {node} became writable again; the node may have restarted")),
            None if waited >= SETTLE => advance(Cursor::Delete),
            // Without the seconds that have passed: they would be a write of the status each.
            None => Act::Wait(format!("writes in flight to end, {} s in all", SETTLE.as_secs())),
        },
        Cursor::Delete => Act::ProveAndDelete,
        Cursor::WaitGone => {
            // Back while auto-schema is off: a person or another program made it, and theirs is not touched.
            if let Some(class) = class {
                return came_back(journal, class);
            }
            match nodes.iter().find(|node| !matches!(look.local.get(*node), Some(Some(None)))) {
                None => advance(Cursor::Create),
                Some(node) => Act::Wait(format!("the collection to be gone at {node}")),
            }
        }
        Cursor::Create => match class {
            None if waited > STEP_PATIENCE => journal
                .with_old_schema("it was not created in all this time", now)
                .map_or(Act::Create, |old| Act::MakeOld(Box::new(old))),
            None => Act::Create,
            Some(class) => came_back(journal, class),
        },
        Cursor::Verify => {
            let missing = nodes.iter().find(|node| !matches!(look.local.get(*node), Some(Some(Some(_)))));
            match missing {
                None => advance(Cursor::Done),
                Some(node) => Act::Wait(format!("the new collection to be seen at {node}")),
            }
        }
        Cursor::Thaw => match not_yet(nodes, &look.frozen, false) {
            None => Act::Move { cursor: Cursor::Stopped, stopped: journal.stopped.clone() },
            Some(_) if any_frozen(nodes, &look.frozen) => Act::Thaw,
            Some(node) => Act::Wait(format!("{node} to answer, so that its shards are seen to be writable")),
        },
        Cursor::Done | Cursor::Stopped => Act::Wait(String::new()),
    }
}

/// What is left to do for a journal whose object is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum OrphanAct {
    /// Create the collection as it was: deleting an object deletes no collection.
    CreateOld,
    /// Make every shard writable again.
    Thaw,
    /// Write the journal as ended.
    End,
    /// Nothing can be told now.
    Wait,
}

/// The next act for a journal whose object was deleted in the middle: whatever it was at, the collection is left there
/// and writable. `frozen`: whether any shard is read-only, at each node.
pub fn next_for_orphan(
    class: &Sight<Option<Value>>,
    nodes: &[String],
    frozen: &BTreeMap<String, Option<bool>>,
) -> OrphanAct {
    match class {
        Sight::Unseen(_) => OrphanAct::Wait,
        Sight::Seen(None) => OrphanAct::CreateOld,
        Sight::Seen(Some(_)) => match not_yet(nodes, frozen, false) {
            None => OrphanAct::End,
            Some(_) if any_frozen(nodes, frozen) => OrphanAct::Thaw,
            Some(_) => OrphanAct::Wait,
        },
    }
}

fn any_frozen(nodes: &[String], frozen: &BTreeMap<String, Option<bool>>) -> bool {
    nodes.iter().any(|node| frozen.get(node) == Some(&Some(true)))
}

/// The first node that does not say `wanted`.
fn not_yet<'a>(nodes: &'a [String], seen: &BTreeMap<String, Option<bool>>, wanted: bool) -> Option<&'a String> {
    nodes.iter().find(|node| seen.get(*node) != Some(&Some(wanted)))
}

/// A class is there after the delete. If it is the wanted one, ours or not, the work is done; another one is left alone.
fn came_back(journal: &Journal, class: &Value) -> Act {
    let wanted = journal.wanted_schema.as_object().cloned().unwrap_or_default();
    let settings = wanted.into_iter().filter(|(key, _)| key != "replicationConfig").collect();
    let ours = schema::differences(&settings, class, &Measure::default())
        .iter()
        .all(|difference| !matches!(difference.verdict, Verdict::Recreate | Verdict::Revert));
    if ours {
        return Act::Move { cursor: Cursor::Verify, stopped: None };
    }
    // By way of the thaw: if it is the old one after all, its shards may still be read-only.
    Act::Move {
        cursor: Cursor::Thaw,
        stopped: Some(
            "somebody else created the collection after the delete, with other settings; it was left alone".to_owned(),
        ),
    }
}

#[cfg(test)]
#[path = "recreate_tests.rs"]
mod tests;
