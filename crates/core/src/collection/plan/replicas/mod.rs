//! Replicas: missing ones are copied, the factor is raised, what the nodes list is compared; what is too many, dead or
//! incomplete is taken away by an approved plan.

mod copying;
mod operations;
mod proving;
mod removing;
mod replacing;

use elysia_api::collection::ShardReplicas;
use elysia_api::condition::{ConditionType, Reason};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::super::copies;
use super::super::observed::{Observed, OperationState, Stage};
use super::super::repair;
use super::super::schema;
use super::super::spec::CollectionSpec;
use super::{Part, Planner, RECHECK, RECHECK_LATER, Step, has_active_copies};
use crate::condition;
use crate::sight::{BlindnessKind, Sight};
use crate::version::ServerVersion;

pub use operations::is_no_space;
pub(super) use proving::needs_proof;

/// The first servers whose replicas can be copied by the calls that we make. 1.31 has an earlier form of them, with other
/// names of the fields.
const COPIES: ServerVersion = ServerVersion::minor(32);

/// The first servers of which it is not known that they copy by themselves while a class's factor is raised. 1.31.0 and
/// 1.32.0 do, and 1.32.0 refuses to raise it after copies (`scale … create snapshot`), which leaves them a dead end; 1.35.2
/// does not. Between them nothing was measured.
const RAISES_AFTER_COPIES: ServerVersion = ServerVersion::minor(33);

/// The first servers of which replicas can be taken away: 1.32 has neither `/v1/replication/scale` (404), nor lets it a
/// factor be lowered, nor a dead node leave RAFT (measured on 1.32.0 and 1.35.2; which version between is not known).
const REMOVES: ServerVersion = ServerVersion::minor(35);

/// How far the copies of one repair are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Replicas that are still to be made or taken away, those under way included.
    pub left: i64,
    /// Copies that run.
    pub running: i64,
}

/// How soon to look again while copies run: a placement of many shards is some MiB at every look.
fn pace(placement: &[ShardReplicas]) -> SignedDuration {
    let shards = i64::try_from(placement.len()).unwrap_or(i64::MAX);
    RECHECK.max(SignedDuration::from_secs((shards / 5000).min(10)))
}

impl Planner<'_> {
    pub(super) fn replicas(&mut self, class: &Value) -> Part {
        let placement = match &self.observed.placement {
            Sight::Seen(placement) => placement.clone(),
            Sight::Unseen(blindness) if blindness.kind == BlindnessKind::Unsupported => return self.counted(class),
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, blindness.message.clone());
            }
        };
        let stuck = self.operations();
        let part = self.by_placement(class, &placement);
        match (stuck, part) {
            // What does not get on is told even while other copies do.
            (Some(Part::Stuck(reason, message)), Part::Working(_, working)) => {
                Part::Stuck(reason, format!("{message}; {working}"))
            }
            (Some(Part::Working(reason, message)), Part::Working(_, working)) => {
                Part::Working(reason, format!("{message}; {working}"))
            }
            (_, part) => part,
        }
    }

    fn by_placement(&mut self, class: &Value, placement: &[ShardReplicas]) -> Part {
        match &self.observed.repair.journal {
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, blindness.message.clone());
            }
            Sight::Seen(Some(journal)) if !journal.over => {
                let journal = journal.clone();
                return self.repairing(class, placement, &journal);
            }
            Sight::Seen(_) => {}
        }
        let gone = self.gone(placement);
        if !gone.is_empty() {
            return self.replace(class, placement, &gone);
        }
        let (behind, _) = copies::behind(placement, self.spec.factor);
        if behind > 0 {
            return self.behind(class, placement, behind);
        }
        if let Some(part) = self.cool(class, placement, &[]) {
            return part;
        }
        if has_active_copies(self.observed) {
            self.recheck = Some(pace(placement));
            return Part::Working(Reason::Copying, "the last copies are ending".to_owned());
        }
        let (above, _) = copies::above(placement, self.spec.factor);
        if above > 0 {
            return self.remove(class, placement, above);
        }
        if schema::class_factor(class) != self.spec.factor {
            // While records of copies were listed 1.32.0 did not answer a raised factor within 20 s.
            let ended = self.observed.operations.seen().is_some_and(|operations| !operations.is_empty());
            if ended {
                self.recheck = Some(RECHECK);
                let message = "the records of ended copies are being deleted; then the factor of the class is raised";
                return Part::Working(Reason::ReplicasBehind, message.to_owned());
            }
            return self.factor(class);
        }
        self.proof(class, placement)
    }

    /// Nodes that are named, but neither declared nor alive; none while the members are not known.
    fn gone(&self, placement: &[ShardReplicas]) -> Vec<String> {
        let members = self.observed.members.seen();
        members.map_or_else(Vec::new, |members| copies::gone(placement, &self.observed.nodes, members))
    }

    /// Whether the servers can copy at all. Where the version is not known they are asked.
    fn copies(&self) -> bool {
        self.observed.version.is_none_or(|version| version >= COPIES)
    }

    /// Whether the replicas that are missing come by raising the factor of the class.
    fn raising_copies(&self, class: &Value, placement: &[ShardReplicas]) -> bool {
        let live = schema::class_factor(class);
        self.observed.version.is_some_and(|version| version < RAISES_AFTER_COPIES)
            && live < self.spec.factor
            && placement.iter().all(|shard| i64::try_from(shard.replicas.len()).is_ok_and(|replicas| replicas <= live))
    }

    /// Whether the servers can take replicas away.
    fn removes(&self) -> bool {
        self.observed.version.is_none_or(|version| version >= REMOVES)
    }

    /// Servers that do not say where replicas are: all that is known is how many they count.
    fn counted(&mut self, class: &Value) -> Part {
        let how = "replica movement is switched off at the servers (REPLICA_MOVEMENT_ENABLED), so replicas cannot be seen or copied; switch it on at every node";
        let Some(Sight::Seen(counted)) = &self.observed.repair.counted else {
            return Part::Stuck(Reason::CopyUnsupported, how.to_owned());
        };
        let (shards, factor) = (counted.len(), self.spec.factor);
        let short: Vec<String> = counted
            .iter()
            .filter(|(_, replicas)| **replicas < factor)
            .take(3)
            .map(|(shard, replicas)| format!("{shard} has {replicas}"))
            .collect();
        if short.is_empty() && schema::class_factor(class) == factor {
            return Part::InSync(format!(
                "{shards} shards have {factor} replicas as the nodes count them; not compared: replica movement is switched off"
            ));
        }
        let what = if short.is_empty() {
            format!("the class declares factor {}, {factor} is wanted", schema::class_factor(class))
        } else {
            format!("shards have fewer than {factor} replicas ({})", short.join(", "))
        };
        Part::Stuck(Reason::CopyUnsupported, format!("{what}; {how}"))
    }

    pub(super) fn factor(&mut self, class: &Value) -> Part {
        let live = schema::class_factor(class);
        let message = format!("the class declares factor {live}, {} is wanted", self.spec.factor);
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{message}; {wait}"));
        }
        self.recheck = Some(RECHECK);
        self.put_factor(class, self.spec.factor);
        Part::Working(Reason::ReplicasBehind, message)
    }

    /// Puts the class with this factor.
    fn put_factor(&mut self, class: &Value, factor: i64) {
        let mut settings = replication(self.spec);
        settings.insert("factor".to_owned(), json!(factor));
        let body = schema::reverted(class, &[], &settings);
        self.steps.push(Step::UpdateClass { base: class.clone(), class: body });
    }

    /// The second since which the replicas are not in sync: part of the hash, so that an approval holds for the whole
    /// of this repair and for no later one.
    fn behind_since(&self) -> i64 {
        let in_sync = condition::find(&self.before.conditions, ConditionType::ReplicasInSync);
        match in_sync {
            Some(condition) if condition.status == "False" => condition.last_transition_time.0.as_second(),
            _ => self.now.as_second(),
        }
    }

    fn members(&self) -> Vec<String> {
        self.observed.members.seen().cloned().unwrap_or_default()
    }

    /// How awake this tenant is; `None` when it was not seen. A shard of a class without tenants is always hot.
    fn activity(&self, class: &Value, shard: &str) -> Option<repair::Activity> {
        if !schema::is_multi_tenant(class) {
            return Some(repair::Activity::Hot);
        }
        self.observed.repair.tenants.as_ref()?.seen()?.get(shard).copied()
    }

    /// Why the tenants are not known, when they have to be.
    fn without_tenants(&mut self, class: &Value) -> Option<String> {
        if !schema::is_multi_tenant(class) {
            return None;
        }
        match &self.observed.repair.tenants {
            Some(Sight::Seen(_)) => None,
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                Some(blindness.message.clone())
            }
            None => {
                self.recheck = Some(RECHECK);
                Some("the tenants are being looked at".to_owned())
            }
        }
    }

    /// Copies of this collection that run.
    fn active(&self) -> usize {
        let operations = self.observed.operations.seen().into_iter().flatten();
        operations.filter(|operation| operation.state == OperationState::Active).count()
    }
}

/// `replicationConfig` as it is to be, for a class that exists.
pub(super) fn replication(spec: &CollectionSpec) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("factor".to_owned(), json!(spec.factor));
    settings.insert("deletionStrategy".to_owned(), json!(spec.deletion_strategy.as_str()));
    if spec.factor > 1 {
        settings.insert("asyncEnabled".to_owned(), json!(true));
    }
    settings
}

/// What has to be asked for the repair, from a first look.
pub(super) fn wants(
    spec: &CollectionSpec,
    observed: &Observed,
    class: &Value,
    before: &super::ElysiaCollectionStatus,
) -> repair::Wants {
    let Sight::Seen(placement) = &observed.placement else { return repair::Wants::default() };
    let journal = observed.repair.journal.seen().and_then(Option::as_ref).filter(|journal| !journal.over);
    let cooling = before.replication.as_ref().is_some_and(|replication| !replication.cooling.is_empty());
    let short = copies::lowest(placement).is_some_and(|lowest| lowest < spec.factor);
    let more = copies::above(placement, spec.factor).0 > 0;
    let members = observed.members.seen();
    let gone = members.is_some_and(|members| !copies::gone(placement, &observed.nodes, members).is_empty());
    let integrating = observed
        .operations
        .seen()
        .into_iter()
        .flatten()
        .any(|operation| operation.stage == Stage::Integrating && operation.state == OperationState::Active);
    repair::Wants {
        tenants: schema::is_multi_tenant(class) && (cooling || short || more || gone || journal.is_some()),
        raft: integrating || journal.is_some_and(|journal| !journal.gone.is_empty()),
    }
}

/// Whether it matters that the collection is empty: replicas are missing that these servers cannot copy.
pub(super) fn wants_holder(spec: &CollectionSpec, observed: &Observed, placement: &[ShardReplicas]) -> bool {
    observed.version.is_some_and(|version| version < COPIES)
        && copies::lowest(placement).is_some_and(|lowest| lowest < spec.factor)
}
