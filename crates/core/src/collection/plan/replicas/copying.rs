//! Missing replicas are copied: within limits, cold tenants put back to rest afterwards.

use std::collections::BTreeSet;

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::{CopyPolicy, ShardReplicas};
use elysia_api::condition::Reason;
use jiff::SignedDuration;
use serde_json::Value;

use super::super::super::copies::{self, Copy, Ground};
use super::super::super::observed::OperationState;
use super::super::super::repair::Activity;
use super::super::super::schema;
use super::super::super::spec::CollectionSpec;
use super::super::shown::{approval_command, shown_plan};
use super::super::{Part, Planner, RECHECK, RECHECK_LATER, Step};
use super::operations::is_no_space;
use super::{Progress, pace};
use crate::fingerprint;
use crate::sight::Sight;

/// Tenants that are woken for their copies at the same time. They are remembered in the status until they rest again.
const COOLING: usize = STATUS_LIST_LIMIT;

/// How long servers may copy for a raised factor before they are asked again.
const RAISES: SignedDuration = SignedDuration::from_secs(600);

/// What is missing, and what keeps some of it from being copied.
pub(super) struct Missing {
    /// Copies that are to be made.
    pub(super) copies: Vec<Copy>,
    /// Shards whose tenants are offloaded.
    pub(super) unavailable: usize,
    /// A node without room that is in the way, and the server's words: without it nothing is left to do.
    pub(super) full: Option<(String, String)>,
}

impl Planner<'_> {
    pub(super) fn missing(&self, class: &Value, placement: &[ShardReplicas], gone: &[String]) -> Missing {
        let members = self.members();
        let operations = self.observed.operations.seen().cloned().unwrap_or_default();
        let mut words = self.observed.repair.full.clone();
        for operation in operations.iter().filter(|operation| operation.state == OperationState::Active) {
            if let Some(error) = operation.error.as_ref().filter(|error| is_no_space(error)) {
                words.insert(operation.target.clone(), error.clone());
            }
        }
        let mut full: BTreeSet<String> = words.keys().cloned().collect();
        full.extend(self.hung());
        let nobody = BTreeSet::new();
        let ground = |full| Ground {
            placement,
            operations: &operations,
            members: &members,
            gone,
            full,
            avoided: &self.observed.repair.avoided,
            factor: self.spec.factor,
        };
        let all = copies::missing(&ground(&full));
        let stopped = if all.is_empty() { copies::missing(&ground(&nobody)) } else { Vec::new() };
        let full = stopped.first().and_then(|copy| words.get_key_value(&copy.target));
        let full = full.map(|(node, words)| (node.clone(), words.clone()));
        let mut away: BTreeSet<&str> = BTreeSet::new();
        let mut wanted = Vec::new();
        for copy in &all {
            match self.activity(class, &copy.shard) {
                Some(Activity::Hot | Activity::Cold) => wanted.push(copy.clone()),
                Some(Activity::Away) => drop(away.insert(&copy.shard)),
                // Made or deleted since: the next look knows.
                None => {}
            }
        }
        Missing { copies: wanted, unavailable: away.len(), full }
    }

    pub(super) fn behind(&mut self, class: &Value, placement: &[ShardReplicas], behind: i64) -> Part {
        let factor = self.spec.factor;
        let summary = format!("{behind} of {} shards have fewer than {factor} replicas", placement.len());
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{summary}; {wait}"));
        }
        if let Some(problem) = self.too_few(self.members().len()) {
            return Part::Stuck(Reason::InvalidSpec, format!("{summary}; {problem}"));
        }
        if !self.copies() || self.raising_copies(class, placement) {
            return self.without_copies(class, &summary);
        }
        if let Sight::Unseen(blindness) = &self.observed.operations {
            self.recheck = Some(RECHECK_LATER);
            return Part::Unknown(Reason::Unknown, format!("{summary}; {}", blindness.message));
        }
        if let Some(why) = self.without_tenants(class) {
            return Part::Working(Reason::ReplicasBehind, format!("{summary}; {why}"));
        }
        let missing = self.missing(class, placement, &[]);
        let hash = copy_hash(self.spec, placement, self.behind_since());
        match self.spec.copy {
            CopyPolicy::Off => {
                Part::Stuck(Reason::CopyOff, format!("{summary}; repair.copy is Off: set it to Auto or Approve"))
            }
            CopyPolicy::Approve if !self.approves(&hash) => {
                self.show_copies(&hash, &missing.copies, true);
                let message = format!("{summary}; approve the copies: {}", approval_command(&self.spec.name, &hash));
                Part::Stuck(Reason::NeedsApproval, message)
            }
            CopyPolicy::Auto | CopyPolicy::Approve => {
                self.show_copies(&hash, &missing.copies, false);
                if let Some(part) = self.cannot_copy(&missing, placement, &summary) {
                    self.cool(class, placement, &missing.copies);
                    return part;
                }
                self.copy(class, placement, &missing);
                Part::Working(Reason::Copying, self.copying_text())
            }
        }
    }

    /// The same words through the whole of a repair: how far it is stands in `status.replication.progress`.
    fn copying_text(&self) -> String {
        let errors = self.observed.operations.seen().into_iter().flatten();
        let trouble = errors.filter(|operation| operation.state == OperationState::Active);
        let trouble = trouble.filter_map(|operation| operation.error.as_ref()).find(|error| !is_no_space(error));
        let trouble = trouble.map_or_else(String::new, |error| format!("; the servers say: {error}"));
        format!(
            "missing replicas are being copied until every shard has {}; status.replication.progress says how far it is{trouble}",
            self.spec.factor
        )
    }

    /// Why there is nothing to copy although replicas are missing and no copy runs.
    fn cannot_copy(&mut self, missing: &Missing, placement: &[ShardReplicas], summary: &str) -> Option<Part> {
        if !missing.copies.is_empty() || self.active() > 0 {
            return None;
        }
        if let Some((node, words)) = &missing.full {
            let message = format!(
                "{summary}; {node} has no room for another replica, and no other node is free: {words}. Enlarge its volume, delete what is not needed, or add a node; it is tried again every 10 minutes"
            );
            return Some(Part::Stuck(Reason::NoRoom, message));
        }
        if missing.unavailable > 0 {
            let message = format!(
                "{summary}; {} of them are tenants that are offloaded and cannot be copied: activate them (PUT /v1/schema/{}/tenants with HOT), or lower replication.factor",
                missing.unavailable, self.spec.collection
            );
            return Some(Part::Stuck(Reason::TenantsUnavailable, message));
        }
        let members = self.members();
        let lost = placement.iter().find(|shard| !shard.replicas.iter().any(|node| members.contains(node)))?;
        let message = format!(
            "{summary}; no living node holds shard {}, it was at {}: there is nothing to copy from. Bring that node back, or restore the collection from a backup",
            lost.shard,
            lost.replicas.join(", ")
        );
        Some(Part::Stuck(Reason::SourceLost, message))
    }

    /// Starts as many of the missing copies as may run now.
    pub(super) fn copy(&mut self, class: &Value, placement: &[ShardReplicas], missing: &Missing) {
        let operations = self.observed.operations.seen().cloned().unwrap_or_default();
        self.cool(class, placement, &missing.copies);
        // A tenant is woken only when the status of a round before says that it has to rest again.
        let remembered = self.cooling_before();
        // The record of an ended copy has to be gone before the next one of that shard (`weaviate-lab` §7).
        let ended: BTreeSet<&str> = operations
            .iter()
            .filter(|operation| operation.state != OperationState::Active || operation.dropping)
            .map(|operation| operation.shard.as_str())
            .collect();
        let candidates = missing.copies.iter().filter(|copy| {
            !ended.contains(copy.shard.as_str())
                && (self.activity(class, &copy.shard) != Some(Activity::Cold) || remembered.contains(&copy.shard))
        });
        let Some(running) = &self.observed.repair.running else {
            self.recheck = Some(RECHECK_LATER);
            return;
        };
        let now = copies::within(candidates, running, self.observed.repair.limits);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let active = self.active();
        self.progress = Some(Progress {
            left: count(missing.copies.len()).saturating_add(count(active)),
            running: count(active + now.len()),
        });
        self.steps.extend(now.into_iter().map(Step::Copy));
        self.recheck = Some(pace(placement));
    }

    fn cooling_before(&self) -> Vec<String> {
        self.before.replication.as_ref().map(|replication| replication.cooling.clone()).unwrap_or_default()
    }

    /// Puts tenants back to rest that were woken for a copy, and picks the next to be woken. `None` when there are none.
    ///
    /// While an operation of a tenant runs 1.35 ignores it and 1.38 refuses it (`weaviate-lab` §5).
    pub(super) fn cool(&mut self, class: &Value, placement: &[ShardReplicas], missing: &[Copy]) -> Option<Part> {
        let before = self.cooling_before();
        let cold = |planner: &Self, shard: &str| planner.activity(class, shard) == Some(Activity::Cold);
        let mut next: Vec<String> = Vec::new();
        for copy in missing {
            if before.len() + next.len() < COOLING
                && cold(self, &copy.shard)
                && !before.contains(&copy.shard)
                && !next.contains(&copy.shard)
            {
                next.push(copy.shard.clone());
            }
        }
        if before.is_empty() && next.is_empty() {
            return None;
        }
        if let Some(why) = self.without_tenants(class) {
            return Some(Part::Working(Reason::Copying, format!("tenants that were woken have to rest again; {why}")));
        }
        let busy: BTreeSet<&str> =
            self.observed.operations.seen().into_iter().flatten().map(|operation| operation.shard.as_str()).collect();
        let to_come: BTreeSet<&str> = missing.iter().map(|copy| copy.shard.as_str()).collect();
        let (mut rest, mut cooling) = (Vec::new(), Vec::new());
        for tenant in before {
            let activity = self.activity(class, &tenant);
            if busy.contains(tenant.as_str()) || to_come.contains(tenant.as_str()) {
                cooling.push(tenant);
            } else if activity == Some(Activity::Hot) {
                rest.push(tenant.clone());
                cooling.push(tenant);
            }
        }
        cooling.extend(next);
        if !rest.is_empty() {
            self.steps.push(Step::CoolTenants(rest));
        }
        let is_over = cooling.is_empty();
        self.cooling = Some(cooling);
        if is_over {
            return None;
        }
        self.recheck = Some(RECHECK.max(pace(placement)));
        Some(Part::Working(Reason::Copying, "tenants that were woken for their copies are put back to rest".to_owned()))
    }

    /// Servers without calls for copies copy by themselves when the factor of the class is raised: 1.31.0 had every
    /// object at each of three nodes when the PUT came back. What is written meanwhile is missing at the new replicas until
    /// asynchronous replication has healed it, and at none of the old ones.
    ///
    /// A class that declares the factor already, and whose shards lack replicas all the same, can only be made anew.
    fn without_copies(&mut self, class: &Value, summary: &str) -> Part {
        let version = self.observed.version.map_or_else(String::new, |version| format!(" {version}"));
        let what = if self.copies() {
            format!("{summary}; after copies Weaviate{version} would refuse to raise the factor")
        } else {
            format!("{summary}; Weaviate{version} has no calls that copy replicas (1.32 and newer have)")
        };
        if schema::class_factor(class) < self.spec.factor {
            let hash = fingerprint::short(&("Copy", &self.spec.uid, self.spec.factor, self.behind_since()));
            let waits = self.spec.copy == CopyPolicy::Approve && !self.approves(&hash);
            if self.spec.copy == CopyPolicy::Off {
                return Part::Stuck(Reason::CopyOff, format!("{what}; repair.copy is Off: set it to Auto or Approve"));
            }
            let step = format!("raise the factor of the class to {}, for which the servers copy", self.spec.factor);
            self.shown = Some(shown_plan(&hash, "Copy", false, vec![step], waits));
            if waits {
                let message =
                    format!("{what}; approve that the factor is raised: {}", approval_command(&self.spec.name, &hash));
                return Part::Stuck(Reason::NeedsApproval, message);
            }
            let message = format!("{what}; they copy by themselves while the factor is raised to {}", self.spec.factor);
            // The PUT ends when everything is copied, which may be long after we stopped waiting for it.
            let raised = self.observed.repair.raised;
            self.recheck = Some(RECHECK_LATER);
            if raised.is_none_or(|raised| self.now.duration_since(raised) > RAISES) {
                self.put_factor(class, self.spec.factor);
            }
            return Part::Working(Reason::Copying, message);
        }
        match &self.observed.holder {
            Some(Sight::Seen(None)) if !schema::is_multi_tenant(class) && self.observed.protection.is_none() => {
                self.recreate(class, &[], &what)
            }
            _ => {
                let message = format!(
                    "{what}, and only an empty collection that is not protected can be made anew: upgrade Weaviate, or create another collection with factor {} and import the objects into it",
                    self.spec.factor
                );
                Part::Stuck(Reason::CopyUnsupported, message)
            }
        }
    }

    fn show_copies(&mut self, hash: &str, missing: &[Copy], waits: bool) {
        let total = missing.len();
        let shown = missing.iter().take(STATUS_LIST_LIMIT);
        let mut steps: Vec<String> = shown
            .map(|copy| format!("copy shard {} from {} to {}", copy.shard, copy.source, copy.target))
            .chain([
                format!("raise the factor of the class to {}", self.spec.factor),
                "compare the ids at every node".to_owned(),
            ])
            .collect();
        let hidden = total.saturating_sub(STATUS_LIST_LIMIT);
        steps.truncate(STATUS_LIST_LIMIT.max(total.min(STATUS_LIST_LIMIT) + 2));
        let mut plan = shown_plan(hash, "Copy", false, steps, waits);
        plan.total_steps = plan.total_steps.saturating_add(i64::try_from(hidden).unwrap_or(i64::MAX));
        self.shown = Some(plan);
    }
}

fn copy_hash(spec: &CollectionSpec, placement: &[ShardReplicas], since: i64) -> String {
    // The shards without their replicas, which change with every copy.
    let shards: Vec<&str> = placement.iter().map(|shard| shard.shard.as_str()).collect();
    fingerprint::short(&("Copy", &spec.uid, spec.factor, since, shards))
}
