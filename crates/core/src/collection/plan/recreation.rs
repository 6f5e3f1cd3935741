//! Recreation of an empty collection: the plan that waits for its approval, and the journal that is worked off.

use elysia_api::collection::{ElysiaCollectionStatus, RecreatePolicy, ShardReplicas, Verdict};
use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::observed::{ClusterSight, Observed};
use super::super::recreate::{self, Act, ClearRequest, Cursor, JOURNAL_BYTES, Journal, Look, Purpose, TenantState};
use super::super::schema::{self, Difference};
use super::super::spec::CollectionSpec;
use super::clear::protected_from_clear;
use super::shown::{approval_command, findings, shown_plan};
use super::{Part, Plan, Planner, RECHECK, RECHECK_LATER, Step};
use crate::condition::clipped_to_bytes;
use crate::fingerprint;
use crate::sight::Sight;

/// Longest reason of an invalid spec that is written down, in bytes: it may name every rule that does not hold, and the journal
/// has to fit into its ConfigMap still.
const WORDS_BYTES: usize = 1024;

impl Planner<'_> {
    pub(super) fn recreate(&mut self, class: &Value, drift: &[Difference], what: &str) -> Part {
        // What could not be created again must not be deleted. While a node is away its number says nothing.
        if self.observed.cluster == ClusterSight::Fit
            && let Some(problem) = self.observed.members.seen().and_then(|members| self.too_few(members.len()))
        {
            return Part::Stuck(Reason::InvalidSpec, format!("{what}; {problem}"));
        }
        // The proof before the delete asks for it: a plan that must fail there is none. Servers before 1.32 copy too, and
        // list no copies.
        if let Sight::Unseen(blindness) = &self.observed.operations {
            self.recheck = Some(RECHECK_LATER);
            return Part::Stuck(
                Reason::RefusedNotProvablyEmpty,
                format!("{what}, and whether copies of it are under way cannot be known: {}", blindness.message),
            );
        }
        let placement = self.observed.placement.seen().cloned().unwrap_or_default();
        let last = self.last_journal();
        let attempts = last.map_or(0, |journal| journal.attempts);
        let since = first_seen(drift, self.before).unwrap_or(self.now.as_second());
        let hash = recreate_hash(self.spec, class, drift, &placement, since, attempts);
        let stopped = last
            .filter(|journal| journal.purpose == Purpose::Recreate)
            .and_then(|journal| journal.stopped.as_ref())
            .map_or_else(String::new, |why| format!(" The last attempt was stopped: {why}."));
        let journal = match self.journal(&hash, Purpose::Recreate, class, self.spec.class()) {
            Ok(journal) => journal,
            Err(Hindrance::ForGood(why)) => {
                return Part::Stuck(Reason::RefusedNotProvablyEmpty, format!("{what}, and {why}"));
            }
            Err(Hindrance::ForNow(why)) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Working(Reason::SchemaDrift, format!("{what}; {why}"));
            }
        };
        let called_off = self.spec.rollback.as_deref() == Some(&hash);
        let approved = self.approves(&hash) && !called_off;
        let warning = self.stop_writers(&self.spec.collection).filter(|_| !approved);
        let mut steps: Vec<String> = warning.clone().into_iter().collect();
        steps.extend(recreate_steps(self.spec, self.observed, &journal));
        self.shown = Some(shown_plan(&hash, Purpose::Recreate.action(), true, steps, !approved));
        if called_off {
            let message = format!(
                "{what}; the plan {hash} was called off by elysia.dev/rollback. Remove that annotation to have it back"
            );
            return Part::Stuck(Reason::NeedsApproval, message);
        }
        if !approved {
            let warning = warning.map_or_else(String::new, |why| format!("; {why}"));
            let message = format!(
                "{what}; it lists no objects and can be recreated{warning}.{stopped} Look at status.plan, then: {}",
                approval_command(&self.spec.name, &hash)
            );
            return Part::Stuck(Reason::NeedsApproval, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::Recreating, format!("approved; {wait}"));
        }
        self.recheck = Some(RECHECK);
        self.steps.push(Step::WriteJournal(Box::new(journal)));
        Part::Working(Reason::Recreating, "approved; the journal is written first".to_owned())
    }

    /// The last journal of this object, over or not.
    pub(super) fn last_journal(&self) -> Option<&Journal> {
        self.observed.journal.seen().and_then(Option::as_ref)
    }

    /// The journal that a deletion begins with.
    pub(super) fn journal(
        &self,
        hash: &str,
        purpose: Purpose,
        class: &Value,
        wanted: Value,
    ) -> Result<Journal, Hindrance> {
        let look = &self.observed.recreate;
        let tenants = if schema::is_multi_tenant(class) { Some(tenants(look)?) } else { None };
        let aliases = match &look.aliases {
            Some(Sight::Seen(aliases)) => aliases.clone(),
            Some(Sight::Unseen(blindness)) => return Err(Hindrance::ForNow(blindness.message.clone())),
            None => return Err(Hindrance::ForNow("its aliases are being looked at".to_owned())),
        };
        let last = self.last_journal();
        let journal = Journal {
            hash: hash.to_owned(),
            approved_by: self.spec.approved_by.clone().filter(|_| purpose == Purpose::Recreate),
            attempts: last.map_or(0, |journal| journal.attempts) + 1,
            purpose,
            target: self.observed.target.clone(),
            collection: self.spec.collection.clone(),
            live_schema: class.clone(),
            wanted_schema: wanted,
            placement: self.observed.placement.seen().cloned().unwrap_or_default(),
            tenants,
            aliases,
            read_only_before: Vec::new(),
            frozen_since: None,
            cursor: Cursor::AutoSchemaOff,
            since: self.now,
            stopped: None,
            cleared: last.map_or_else(Vec::new, |journal| journal.cleared.clone()),
            clear_refused: None,
        };
        match journal.bytes() {
            bytes if bytes > JOURNAL_BYTES => Err(Hindrance::ForGood(format!(
                "its journal would take {bytes} bytes, of which {JOURNAL_BYTES} fit into a ConfigMap: fewer tenants or a smaller schema would do"
            ))),
            _ => Ok(journal),
        }
    }

    /// Why an approved plan may not go on, asked until the delete; after it, only going on gives the collection back.
    fn called_off(&self, journal: &Journal) -> Option<String> {
        if journal.cursor > Cursor::Delete {
            return None;
        }
        // Gone already: the answer to the delete, or the cursor after it, may have been lost. While the class is not seen
        // nothing is known, and what was begun waits.
        let is_there = matches!(self.observed.class, Sight::Seen(Some(_)));
        if journal.collection == self.spec.collection && !is_there {
            return None;
        }
        called_off(self.spec, self.observed.protection.as_deref(), journal)
    }

    /// The nodes that have to be seen. Once the collection is deleted, or is being thawed, a node that stays away for
    /// long must not keep everybody else without it: its own memory of the freeze is gone when it comes back.
    fn nodes_to_wait_for(&self, journal: &Journal) -> Vec<String> {
        let nodes = &self.observed.nodes;
        let late = self.now.duration_since(journal.since) > recreate::STEP_PATIENCE;
        match &self.observed.members {
            Sight::Seen(members) if late && journal.cursor > Cursor::Delete => {
                nodes.iter().filter(|node| members.contains(node)).cloned().collect()
            }
            _ => nodes.clone(),
        }
    }

    /// Why nothing of a journal may be done: it speaks of other servers.
    fn elsewhere(&self, journal: &Journal) -> Option<Part> {
        let target = self.observed.target.as_ref()?;
        let message = journal.is_of(target, &self.spec.journal()).err()?;
        Some(Part::Stuck(Reason::JournalElsewhere, message))
    }

    pub(super) fn recreating(mut self, journal: &Journal) -> Plan {
        if let Some(part) = self.elsewhere(journal) {
            self.recheck = Some(RECHECK_LATER);
            return self.only(&part);
        }
        self.recheck = Some(RECHECK);
        let act = if let Some(why) = self.called_off(journal) {
            Act::Move { cursor: Cursor::Thaw, stopped: Some(why) }
        } else {
            let nodes = self.nodes_to_wait_for(journal);
            recreate::next(journal, &self.observed.class, &nodes, &self.observed.recreate, self.now)
        };
        let mut message = format!("{:?}", journal.cursor);
        match act {
            Act::Move { cursor, stopped } => {
                let stopped = stopped.or_else(|| journal.stopped.clone());
                let next = Journal { stopped, ..journal.at(cursor, self.now) };
                self.steps.push(Step::WriteJournal(Box::new(next)));
            }
            Act::Write(next) => self.steps.push(Step::WriteJournal(next)),
            Act::PutTenancy(class) => {
                let base = self.observed.class.seen().cloned().flatten().unwrap_or_default();
                self.steps.push(Step::UpdateClass { base, class });
            }
            Act::Freeze => self.steps.push(Step::SetReadOnly { read_only: true, shards: journal.shards() }),
            Act::Thaw => self.steps.push(Step::SetReadOnly { read_only: false, shards: journal.own_shards() }),
            Act::ProveAndDelete => self.steps.push(Step::ProveAndDelete(Box::new(journal.clone()))),
            Act::Create => {
                self.steps.push(Step::CreateClass(journal.wanted_schema.clone()));
                let next = journal.at(recreate::after_create(journal), self.now);
                self.steps.push(Step::WriteJournal(Box::new(next)));
            }
            Act::CreateTenants(tenants) => self.steps.push(Step::CreateTenants(tenants)),
            Act::Wait(what) => message = format!("{message}: waiting for {what}"),
        }
        let steps = match &journal.purpose {
            Purpose::Recreate => recreate_steps(self.spec, self.observed, journal),
            Purpose::Clear(request) => clear_steps(self.spec, self.observed, journal, request),
        };
        self.shown = Some(shown_plan(&journal.hash, journal.purpose.action(), true, steps, false));
        let available = !journal.cursor.is_past_delete();
        let reason = match journal.purpose {
            Purpose::Recreate => Reason::Recreating,
            Purpose::Clear(_) => Reason::Clearing,
        };
        let part = Part::Working(reason, message);
        let findings = findings(&part, &part, available.then_some("the collection is there"));
        self.finish(findings, Vec::new())
    }
}

/// Why what a journal has begun may not go on to its delete, by what the object and its cluster say now. `protection`: the
/// pattern that protects the collection.
pub fn called_off(spec: &CollectionSpec, protection: Option<&str>, journal: &Journal) -> Option<String> {
    if journal.collection != spec.collection {
        return Some(format!("the journal speaks of another collection, {}", journal.collection));
    }
    if let Some(why) = &spec.invalid {
        return Some(format!("the spec is not valid any more: {}", clipped_to_bytes(why, WORDS_BYTES)));
    }
    if spec.rollback.as_deref() == Some(&journal.hash) {
        return Some("elysia.dev/rollback called it off".to_owned());
    }
    if spec.paused {
        return Some("elysia.dev/paused was set".to_owned());
    }
    match journal.purpose {
        Purpose::Recreate => {
            if spec.recreate == RecreatePolicy::Off {
                return Some("repair.recreate was set to Off".to_owned());
            }
            protection.map(|pattern| format!("{pattern} protects the collection now"))
        }
        Purpose::Clear(_) => protected_from_clear(spec, protection),
    }
}

/// Why no journal is begun.
pub(super) enum Hindrance {
    /// Only a person can change it.
    ForGood(String),
    /// It may be otherwise at the next look.
    ForNow(String),
}

/// The tenants, if a proof can speak of them: each one active, and not too many.
pub(super) fn tenants(look: &Look) -> Result<Vec<TenantState>, Hindrance> {
    let tenants = match &look.tenants {
        Some(Sight::Seen(tenants)) => tenants,
        Some(Sight::Unseen(blindness)) => return Err(Hindrance::ForNow(blindness.message.clone())),
        None => return Err(Hindrance::ForNow("its tenants are being looked at".to_owned())),
    };
    if let Some(why) = recreate::unprovable(tenants) {
        return Err(Hindrance::ForGood(why));
    }
    Ok(tenants.clone())
}

/// Covers the object, when the difference was first seen, the settings as they are and as they will be, the placement,
/// and how often it was done already.
fn recreate_hash(
    spec: &CollectionSpec,
    class: &Value,
    drift: &[Difference],
    placement: &[ShardReplicas],
    since: i64,
    attempts: i64,
) -> String {
    let immutable: Vec<&Difference> =
        drift.iter().filter(|difference| difference.verdict == Verdict::Recreate).collect();
    fingerprint::short(&("Recreate", &spec.uid, since, &immutable, class, spec.class(), placement, attempts))
}

/// The second at which an immutable difference was seen first; `None` when it was not seen before.
fn first_seen(drift: &[Difference], before: &ElysiaCollectionStatus) -> Option<i64> {
    drift
        .iter()
        .filter(|difference| difference.verdict == Verdict::Recreate)
        .filter_map(|difference| {
            let path = difference.dotted();
            before.drift.iter().find(|entry| entry.path == path).map(|entry| entry.since.0.as_second())
        })
        .min()
}

fn recreate_steps(spec: &CollectionSpec, observed: &Observed, journal: &Journal) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    let mut steps = freeze_steps(spec, observed, journal);
    steps.push(format!("list the ids of {collection} at each of {nodes} nodes, twice, and stop if there is any"));
    steps.extend(delete_steps(spec, observed, journal, &format!("as declared, with factor {}", spec.factor)));
    steps
}

pub(super) fn clear_steps(
    spec: &CollectionSpec,
    observed: &Observed,
    journal: &Journal,
    request: &ClearRequest,
) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    let mut steps = freeze_steps(spec, observed, journal);
    let count = request.count;
    steps.push(format!(
        "count the ids of {collection} at each of {nodes} nodes, and stop if any lists more than {count}"
    ));
    steps.extend(delete_steps(spec, observed, journal, "as it was"));
    steps
}

fn freeze_steps(spec: &CollectionSpec, observed: &Observed, journal: &Journal) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    let mut steps = vec![
        format!("keep the live schema in ConfigMap {}", spec.journal()),
        format!("switch auto-schema off and see it off at {nodes} nodes"),
    ];
    if journal.tenants.is_some() {
        steps.push(format!("let writing create and wake no tenants of {collection}, and see it at {nodes} nodes"));
    }
    let shards = journal.placement.len();
    steps.push(format!("make {shards} shards of {collection} read-only and see it at {nodes} nodes"));
    steps.push(format!("wait {} s for writes in flight", recreate::SETTLE.as_secs()));
    steps
}

fn delete_steps(spec: &CollectionSpec, observed: &Observed, journal: &Journal, how: &str) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    let mut steps = vec![
        format!("delete {collection}"),
        format!("wait until {collection} is gone at {nodes} nodes"),
        format!("create {collection} {how}"),
    ];
    match (journal.tenants_of(&journal.wanted_schema).len(), journal.tenants.as_ref().map_or(0, Vec::len)) {
        (0, 0) => {}
        (0, lost) => steps.push(format!("not create its {lost} tenants again: the new collection has no tenancy")),
        (again, _) => steps.push(format!("create its {again} tenants again")),
    }
    let aliases = match journal.aliases.len() {
        0 => String::new(),
        count => format!(" and {count} aliases lead to it"),
    };
    steps.push(format!("see {collection} at {nodes} nodes{aliases} and set auto-schema back"));
    steps
}
