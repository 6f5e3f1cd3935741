//! Recreation of an empty collection: the plan that waits for its approval, and the journal that is worked off.

use elysia_api::collection::{ElysiaCollectionStatus, RecreatePolicy, ShardReplicas, Verdict};
use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::observed::{ClusterSight, Observed};
use super::super::recreate::{self, Act, Cursor, Journal};
use super::super::schema::Difference;
use super::super::spec::CollectionSpec;
use super::shown::{findings, shown_plan};
use super::{Part, Plan, Planner, RECHECK, Step};
use crate::fingerprint;
use crate::sight::Sight;

impl Planner<'_> {
    pub(super) fn recreate(&mut self, class: &Value, drift: &[Difference], what: &str) -> Part {
        // What could not be created again must not be deleted. While a node is away its number says nothing.
        if self.observed.cluster == ClusterSight::Fit
            && let Some(problem) = self.observed.members.seen().and_then(|members| self.too_few(members.len()))
        {
            return Part::Stuck(Reason::InvalidSpec, format!("{what}; {problem}"));
        }
        let placement = self.observed.placement.seen().cloned().unwrap_or_default();
        let last = self.observed.journal.seen().and_then(Option::as_ref);
        let attempts = last.map_or(0, |journal| journal.attempts);
        let since = first_seen(drift, self.before).unwrap_or(self.now.as_second());
        let hash = recreate_hash(self.spec, class, drift, &placement, since, attempts);
        let stopped = last
            .and_then(|journal| journal.stopped.as_ref())
            .map_or_else(String::new, |why| format!(" The last attempt was stopped: {why}."));
        let approved = self.approves(&hash);
        self.shown =
            Some(shown_plan(&hash, "Recreate", true, recreate_steps(self.spec, self.observed, &placement), !approved));
        if !approved {
            let message = format!(
                "{what}; it lists no objects and can be recreated.{stopped} Look at status.plan, then: kubectl annotate --overwrite elysiacollection {} elysia.dev/approve={hash}",
                self.spec.name
            );
            return Part::Stuck(Reason::NeedsApproval, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::Recreating, format!("approved; {wait}"));
        }
        self.recheck = Some(RECHECK);
        self.steps.push(Step::WriteJournal(Box::new(Journal {
            hash,
            attempts: attempts + 1,
            collection: self.spec.collection.clone(),
            live_schema: class.clone(),
            wanted_schema: self.spec.class(),
            placement,
            cursor: Cursor::AutoSchemaOff,
            since: self.now,
            stopped: None,
        })));
        Part::Working(Reason::Recreating, "approved; the journal is written first".to_owned())
    }

    /// Why an approved plan may not go on, asked until the delete; after it, only going on gives the collection back.
    fn called_off(&self, journal: &Journal) -> Option<String> {
        if journal.cursor > Cursor::Delete {
            return None;
        }
        if journal.collection != self.spec.collection {
            return Some(format!("the journal speaks of another collection, {}", journal.collection));
        }
        if self.spec.paused {
            return Some("elysia.dev/paused was set".to_owned());
        }
        if self.spec.recreate == RecreatePolicy::Off {
            return Some("repair.recreate was set to Off".to_owned());
        }
        self.observed.protection.as_ref().map(|pattern| format!("{pattern} protects the collection now"))
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

    pub(super) fn recreating(mut self, journal: &Journal) -> Plan {
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
                self.steps.push(Step::WriteJournal(Box::new(Journal {
                    cursor,
                    stopped,
                    since: self.now,
                    ..journal.clone()
                })));
            }
            Act::MakeOld(old) => self.steps.push(Step::WriteJournal(old)),
            Act::Freeze => self.steps.push(Step::SetReadOnly(true)),
            Act::Thaw => self.steps.push(Step::SetReadOnly(false)),
            Act::ProveAndDelete => self.steps.push(Step::ProveAndDelete(Box::new(journal.clone()))),
            Act::Create => {
                self.steps.push(Step::CreateClass(journal.wanted_schema.clone()));
                self.steps.push(Step::WriteJournal(Box::new(Journal {
                    cursor: Cursor::Verify,
                    since: self.now,
                    ..journal.clone()
                })));
            }
            Act::Wait(what) => message = format!("{message}: waiting for {what}"),
        }
        let placement = &journal.placement;
        let steps = recreate_steps(self.spec, self.observed, placement);
        self.shown = Some(shown_plan(&journal.hash, "Recreate", true, steps, false));
        let available = !journal.cursor.is_past_delete();
        let part = Part::Working(Reason::Recreating, message);
        let findings = findings(&part, &part, available.then_some("the collection is there"));
        self.finish(findings, Vec::new())
    }
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

fn recreate_steps(spec: &CollectionSpec, observed: &Observed, placement: &[ShardReplicas]) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    vec![
        format!("keep the live schema in ConfigMap {}", spec.journal()),
        format!("switch auto-schema off and see it off at {nodes} nodes"),
        format!("make {} shards of {collection} read-only and see it at {nodes} nodes", placement.len()),
        format!("wait {} s for writes in flight", recreate::SETTLE.as_secs()),
        format!("list the ids of {collection} at each of {nodes} nodes, twice, and stop if there is any"),
        format!("delete {collection}"),
        format!("wait until {collection} is gone at {nodes} nodes"),
        format!("create {collection} as declared, with factor {}", spec.factor),
        format!("see {collection} at {nodes} nodes and set auto-schema back"),
    ]
}
