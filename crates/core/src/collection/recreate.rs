//! Recreation of an empty collection: a journal, a cursor, and at each step its own precondition.
//!
//! The order follows `weaviate-lab` §6 and §12: auto-schema off at every node, no tenants created by writing, every
//! shard read-only at every node, what was in flight waited out, the ids of each replica listed empty twice, the delete
//! at once, the class gone everywhere, the create, its tenants, the look at each node. Whatever cannot be shown stops it
//! before the delete and thaws. Emptying a collection that a person asked to be emptied goes the same way, with a count
//! in the place of the empty lists.

mod journal;
mod orphan;
mod proof;

use std::collections::BTreeMap;

use elysia_api::collection::Verdict;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{self, Measure};
use crate::sight::Sight;

pub use journal::{
    CLEARED_KEPT, ClearRefusal, ClearRequest, JOURNAL_BYTES, Journal, MOST_TENANTS, Purpose, Target, TenantState,
    creatable, creates_tenants, is_of, unprovable, with_tenant_creation_of, without_tenant_creation,
};
pub use orphan::{ORPHANED, OrphanAct, OrphanLook, next_for_orphan};
pub use proof::{COUNT_HOLDS, Evidence, PROOF_HOLDS, proof};

/// Writes in flight when the shards were frozen are over by then: the commit of a write already prepared does not look
/// at the shard's status (`weaviate-lab` §12). The servers are run with `--write-timeout=60s`, and a batch of the gRPC
/// stream has 90 s (`weaviate.md` §4).
pub const SETTLE: SignedDuration = SignedDuration::from_secs(120);

/// How long a step may wait for its precondition before the recreation is stopped. A kubelet may take more than a
/// minute to hand a changed ConfigMap to a pod.
pub const STEP_PATIENCE: SignedDuration = SignedDuration::from_secs(300);

/// How far a recreation is. Each name says what is being done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Cursor {
    /// Auto-schema is switched off and seen to be off at every node.
    AutoSchemaOff,
    /// Creating and waking tenants by writing is switched off, and seen to be off at every node. Before the freeze:
    /// Weaviate answers 422 to the update of a class with a read-only shard (1.35.2, 1.38.2).
    TenantCreationOff,
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
    /// Its tenants are created.
    CreateTenants,
    /// Every node has the new collection, and its aliases lead to it.
    Verify,
    /// It was stopped before the delete: the shards are made writable again.
    Thaw,
    /// The shards are writable again; tenants are created and woken by writing as before.
    TenantCreationBack,
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
        matches!(self, Self::WaitGone | Self::Create | Self::CreateTenants | Self::Verify)
    }
}

/// What the present step wants to know; each part is asked only by the step that needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Whether auto-schema is on, at each node; `None` when that node could not be asked or did not say.
    pub auto_schema: BTreeMap<String, Option<bool>>,
    /// The shards that are read-only, at each node; `None` when that node could not be asked.
    pub read_only: BTreeMap<String, Option<Vec<String>>>,
    /// The class as each node itself has it; the outer `None` when that node could not be asked.
    pub local: BTreeMap<String, Option<Option<Value>>>,
    /// The tenants, of a class with tenancy.
    pub tenants: Option<Sight<Vec<TenantState>>>,
    /// Aliases that lead to the collection.
    pub aliases: Option<Sight<Vec<String>>>,
    /// Where each alias of the journal leads; the outer `None` when that could not be asked.
    pub alias_targets: BTreeMap<String, Option<Option<String>>>,
}

/// What the journal's present step asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "one for each part of the look")]
pub struct Wants {
    /// [`Look::auto_schema`].
    pub auto_schema: bool,
    /// [`Look::read_only`].
    pub read_only: bool,
    /// [`Look::local`].
    pub local: bool,
    /// [`Look::tenants`].
    pub tenants: bool,
    /// [`Look::aliases`].
    pub aliases: bool,
    /// [`Look::alias_targets`].
    pub alias_targets: bool,
}

impl Wants {
    /// What a new journal is written from.
    pub fn of_a_beginning() -> Self {
        Self { tenants: true, aliases: true, ..Self::default() }
    }
}

/// What the step at this cursor has to look at.
pub fn wants(cursor: Cursor) -> Wants {
    match cursor {
        Cursor::AutoSchemaOff => Wants { auto_schema: true, read_only: true, ..Wants::default() },
        Cursor::TenantCreationOff => Wants { local: true, read_only: true, ..Wants::default() },
        Cursor::Freeze | Cursor::Settle | Cursor::Thaw => Wants { read_only: true, ..Wants::default() },
        Cursor::WaitGone => Wants { local: true, ..Wants::default() },
        Cursor::CreateTenants => Wants { tenants: true, ..Wants::default() },
        Cursor::Verify => Wants { local: true, alias_targets: true, ..Wants::default() },
        Cursor::Delete | Cursor::Create | Cursor::TenantCreationBack | Cursor::Done | Cursor::Stopped => {
            Wants::default()
        }
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
    /// Write this journal; nothing else happens before it is written.
    Write(Box<Journal>),
    /// Put the class in this form; what creates and wakes tenants differs.
    PutTenancy(Value),
    /// Make every shard read-only.
    Freeze,
    /// Make the shards writable again that this journal froze.
    Thaw,
    /// Gather the evidence, and if it is a proof, delete at once.
    ProveAndDelete,
    /// Create the class.
    Create,
    /// Create these tenants.
    CreateTenants(Vec<TenantState>),
    /// Nothing now; what is waited for.
    Wait(String),
}

/// The next act, from what was seen.
pub fn next(journal: &Journal, class: &Sight<Option<Value>>, nodes: &[String], look: &Look, now: Timestamp) -> Act {
    let Some(class) = class.seen() else {
        return Act::Wait("the cluster to answer".to_owned());
    };
    Stand { journal, class: class.as_ref(), nodes, look, now }.next()
}

fn advance(cursor: Cursor) -> Act {
    Act::Move { cursor, stopped: None }
}

fn stop(why: String) -> Act {
    Act::Move { cursor: Cursor::Thaw, stopped: Some(why) }
}

/// Where a journal stands, and what is around it.
struct Stand<'a> {
    journal: &'a Journal,
    class: Option<&'a Value>,
    nodes: &'a [String],
    look: &'a Look,
    now: Timestamp,
}

impl Stand<'_> {
    fn next(&self) -> Act {
        match (self.class, self.journal.cursor) {
            // Somebody deleted it meanwhile: nothing is left to prove, and the rest is to make it again.
            (None, cursor) if cursor < Cursor::WaitGone => advance(Cursor::WaitGone),
            (Some(class), Cursor::AutoSchemaOff) => self.auto_schema_off(class),
            (Some(class), Cursor::TenantCreationOff) => self.tenant_creation_off(class),
            (_, Cursor::Freeze) => self.freeze(),
            (_, Cursor::Settle) => self.settle(),
            (_, Cursor::Delete) => Act::ProveAndDelete,
            (class, Cursor::WaitGone) => self.wait_gone(class),
            (Some(class), Cursor::Create) => self.came_back(class),
            (None, Cursor::Create) if self.is_late() => self
                .journal
                .with_old_schema("it was not created in all this time", self.now)
                .map_or(Act::Create, |old| Act::Write(Box::new(old))),
            (None, Cursor::Create) => Act::Create,
            // Deleted by somebody else after it was created: once more.
            (None, Cursor::CreateTenants | Cursor::Verify) => advance(Cursor::Create),
            (Some(class), Cursor::CreateTenants) => self.create_tenants(class),
            (Some(_), Cursor::Verify) => self.verify(),
            (class, Cursor::Thaw) => self.thaw(class),
            (class, Cursor::TenantCreationBack) => self.tenant_creation_back(class),
            (_, _) => Act::Wait(String::new()),
        }
    }

    fn is_late(&self) -> bool {
        self.now.duration_since(self.journal.since) > STEP_PATIENCE
    }

    fn auto_schema_off(&self, class: &Value) -> Act {
        match self.nodes.iter().find(|node| self.look.auto_schema.get(*node) != Some(&Some(false))) {
            None if schema::is_multi_tenant(class) => advance(Cursor::TenantCreationOff),
            None => self.begin_freeze(),
            Some(node) if self.is_late() => stop(format!("auto-schema could not be seen to be off at {node}")),
            Some(node) => Act::Wait(format!("auto-schema to be off at {node}")),
        }
    }

    fn tenant_creation_off(&self, class: &Value) -> Act {
        let off =
            |node: &&String| matches!(self.look.local.get(*node), Some(Some(Some(local))) if !creates_tenants(local));
        match self.nodes.iter().find(|node| !off(node)) {
            None => self.begin_freeze(),
            Some(node) if self.is_late() => stop(format!("writing still creates or wakes tenants at {node}")),
            Some(_) if creates_tenants(class) => Act::PutTenancy(without_tenant_creation(class)),
            Some(node) => Act::Wait(format!("writing to create no tenants at {node}")),
        }
    }

    /// Which shards are read-only already is written down before the first is made so.
    fn begin_freeze(&self) -> Act {
        if let Some(node) = self.nodes.iter().find(|node| !matches!(self.look.read_only.get(*node), Some(Some(_)))) {
            if self.is_late() {
                return stop(format!("{node} did not say which shards are read-only"));
            }
            return Act::Wait(format!("{node} to say which shards are read-only"));
        }
        // At every node: a person's word reaches each replica, a full disk makes read-only what is on it, and the server
        // itself does so again.
        let before = |shard: &String| self.look.read_only.values().flatten().all(|shards| shards.contains(shard));
        let mut shards = self.journal.shards();
        shards.retain(before);
        let next = self.journal.at(Cursor::Freeze, self.now);
        Act::Write(Box::new(Journal { read_only_before: shards, frozen_since: None, ..next }))
    }

    /// The first node at which a shard of the journal is not read-only, or not known to be.
    fn not_frozen(&self) -> Option<&String> {
        let shards = self.journal.shards();
        self.nodes.iter().find(|node| match self.look.read_only.get(*node) {
            Some(Some(frozen)) => shards.iter().any(|shard| !frozen.contains(shard)),
            _ => true,
        })
    }

    fn freeze(&self) -> Act {
        // Without tenants a class has no shard, and none comes: that is what creating tenants was switched off for.
        if self.journal.placement.is_empty() && self.journal.tenants.is_none() {
            return stop("the placement of its shards is not known".to_owned());
        }
        match self.not_frozen() {
            None => {
                let next = self.journal.at(Cursor::Settle, self.now);
                Act::Write(Box::new(Journal { frozen_since: Some(self.now), ..next }))
            }
            Some(node) if self.is_late() => stop(format!("the shards did not become read-only at {node}")),
            Some(_) => Act::Freeze,
        }
    }

    fn settle(&self) -> Act {
        match self.not_frozen() {
            Some(node) => stop(format!("a shard at {node} became writable again; the node may have restarted")),
            None if self.now.duration_since(self.journal.since) >= SETTLE => advance(Cursor::Delete),
            // Without the seconds that have passed: they would be a write of the status each.
            None => Act::Wait(format!("writes in flight to end, {} s in all", SETTLE.as_secs())),
        }
    }

    fn wait_gone(&self, class: Option<&Value>) -> Act {
        // Back while auto-schema is off: a person or another program made it, and theirs is not touched.
        if let Some(class) = class {
            return self.came_back(class);
        }
        match self.nodes.iter().find(|node| !matches!(self.look.local.get(*node), Some(Some(None)))) {
            None => advance(Cursor::Create),
            Some(node) => Act::Wait(format!("the collection to be gone at {node}")),
        }
    }

    fn create_tenants(&self, class: &Value) -> Act {
        let wanted = self.journal.tenants_of(class);
        match &self.look.tenants {
            _ if wanted.is_empty() => advance(Cursor::Verify),
            Some(Sight::Seen(there)) => match self.journal.missing_tenants(class, there) {
                missing if missing.is_empty() => advance(Cursor::Verify),
                missing => Act::CreateTenants(missing),
            },
            _ => Act::Wait("the tenants to be listed".to_owned()),
        }
    }

    fn verify(&self) -> Act {
        let unseen = self.nodes.iter().find(|node| !matches!(self.look.local.get(*node), Some(Some(Some(_)))));
        if let Some(node) = unseen {
            return Act::Wait(format!("the new collection to be seen at {node}"));
        }
        // One that leads elsewhere by now, or is gone, was changed by a person meanwhile.
        let unasked = |alias: &&String| !matches!(self.look.alias_targets.get(*alias), Some(Some(_)));
        match self.journal.aliases.iter().find(unasked) {
            Some(alias) if !self.is_late() => Act::Wait(format!("alias {alias} to be seen")),
            _ => advance(Cursor::Done),
        }
    }

    fn thaw(&self, class: Option<&Value>) -> Act {
        match thawed(self.journal, self.nodes, &self.look.read_only) {
            Thawed::Yes if class.is_some_and(|class| self.tenancy_differs(class)) => {
                Act::Move { cursor: Cursor::TenantCreationBack, stopped: self.journal.stopped.clone() }
            }
            Thawed::Yes => self.stopped(),
            Thawed::No => Act::Thaw,
            Thawed::Unknown(node) => Act::Wait(format!("{node} to answer, so that its shards are seen to be writable")),
        }
    }

    fn tenancy_differs(&self, class: &Value) -> bool {
        tenancy_back(self.journal, class).is_some()
    }

    fn tenant_creation_back(&self, class: Option<&Value>) -> Act {
        let back = class.and_then(|class| tenancy_back(self.journal, class));
        back.map_or_else(|| self.stopped(), Act::PutTenancy)
    }

    fn stopped(&self) -> Act {
        Act::Move { cursor: Cursor::Stopped, stopped: self.journal.stopped.clone() }
    }

    /// A class is there after the delete. If it is the wanted one, ours or not, the work is done; another one is left
    /// alone.
    fn came_back(&self, class: &Value) -> Act {
        let wanted = self.journal.wanted_schema.as_object().cloned().unwrap_or_default();
        let settings = wanted.into_iter().filter(|(key, _)| key != "replicationConfig").collect();
        let ours = schema::differences(&settings, class, &Measure::default())
            .iter()
            .all(|difference| !matches!(difference.verdict, Verdict::Recreate | Verdict::Revert));
        if ours {
            return advance(after_create(self.journal));
        }
        // By way of the thaw: if it is the old one after all, its shards may still be read-only.
        stop("somebody else created the collection after the delete, with other settings; it was left alone".to_owned())
    }
}

/// What follows on the create.
pub fn after_create(journal: &Journal) -> Cursor {
    if journal.tenants_of(&journal.wanted_schema).is_empty() { Cursor::Verify } else { Cursor::CreateTenants }
}

/// The class with the tenancy of the journal's; `None` when it has it, or never lost it.
fn tenancy_back(journal: &Journal, class: &Value) -> Option<Value> {
    let both = journal.tenants.is_some() && schema::is_multi_tenant(class);
    let back = with_tenant_creation_of(class, &journal.live_schema);
    (both && creates_tenants(&journal.live_schema) && back != *class).then_some(back)
}

/// Whether the shards that a journal froze are writable.
enum Thawed<'a> {
    Yes,
    No,
    /// This node did not say.
    Unknown(&'a String),
}

fn thawed<'a>(journal: &Journal, nodes: &'a [String], read_only: &BTreeMap<String, Option<Vec<String>>>) -> Thawed<'a> {
    let shards = journal.own_shards();
    let frozen = |frozen: &Vec<String>| frozen.iter().any(|shard| shards.contains(shard));
    if nodes.iter().any(|node| matches!(read_only.get(node), Some(Some(shards)) if frozen(shards))) {
        return Thawed::No;
    }
    nodes.iter().find(|node| !matches!(read_only.get(*node), Some(Some(_)))).map_or(Thawed::Yes, Thawed::Unknown)
}

#[cfg(test)]
#[path = "recreate_tests.rs"]
mod tests;
