//! Replicas: missing ones are copied, the factor is raised, what the nodes list is compared.

use elysia_api::collection::{CopyPolicy, Proof, ShardReplicas};
use elysia_api::condition::{ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use super::super::copies::{self, COPIES_AT_ONCE, Copy};
use super::super::observed::{ClusterSight, OperationState};
use super::super::schema;
use super::super::spec::CollectionSpec;
use super::shown::shown_plan;
use super::{Part, Planner, RECHECK, RECHECK_DIFFERENT, RECHECK_LATER, Step, has_active_copies, needs_proof};
use crate::condition::{self, whole_seconds};
use crate::fingerprint;
use crate::sight::{BlindnessKind, Sight};

impl Planner<'_> {
    /// A record left in the list can keep a server from starting again (`weaviate-lab` §0.6), so each goes at once.
    pub(super) fn forget_ended_copies(&mut self) {
        if self.observed.cluster != ClusterSight::Fit {
            return;
        }
        for operation in self.observed.operations.seen().into_iter().flatten() {
            if operation.state != OperationState::Active {
                self.steps.push(Step::ForgetOperation(operation.id.clone()));
                self.recheck = Some(RECHECK);
            }
        }
    }

    pub(super) fn replicas(&mut self, class: &Value) -> Part {
        let placement = match &self.observed.placement {
            Sight::Seen(placement) => placement,
            Sight::Unseen(blindness) if blindness.kind == BlindnessKind::Unsupported => {
                let message = "replica movement is switched off at the servers (REPLICA_MOVEMENT_ENABLED), so replicas cannot be seen or copied; switch it on at every node".to_owned();
                return Part::Stuck(Reason::CopyUnsupported, message);
            }
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, blindness.message.clone());
            }
        };
        let (behind, _) = copies::behind(placement, self.spec.factor);
        if behind > 0 {
            return self.behind(class, placement, behind);
        }
        if has_active_copies(self.observed) {
            self.recheck = Some(RECHECK);
            return Part::Working(Reason::Copying, "the last copies are ending".to_owned());
        }
        // Before the factor: lowering it would take from what is there its repair and its new tenants' replicas.
        let most = placement.iter().map(|shard| shard.replicas.len()).max().unwrap_or(0);
        if i64::try_from(most).is_ok_and(|most| most > self.spec.factor) {
            let message = format!(
                "a shard has {most} replicas, {} are declared; removing replicas is not done by this release: raise replication.factor to keep them",
                self.spec.factor
            );
            return Part::Stuck(Reason::TooManyReplicas, message);
        }
        if schema::class_factor(class) != self.spec.factor {
            return self.factor(class);
        }
        self.proof(class, placement)
    }

    fn behind(&mut self, class: &Value, placement: &[ShardReplicas], behind: i64) -> Part {
        let summary = format!("{behind} of {} shards have fewer than {} replicas", placement.len(), self.spec.factor);
        if schema::is_multi_tenant(class) {
            let message = format!(
                "{summary}; tenants are not copied by this release: copy each one with POST /v1/replication/replicate, or lower replication.factor"
            );
            return Part::Stuck(Reason::CopyUnsupported, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{summary}; {wait}"));
        }
        let members = self.observed.members.seen().cloned().unwrap_or_default();
        if let Some(problem) = self.too_few(members.len()) {
            return Part::Stuck(Reason::InvalidSpec, format!("{summary}; {problem}"));
        }
        let operations = match &self.observed.operations {
            Sight::Seen(operations) => operations.clone(),
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, format!("{summary}; {}", blindness.message));
            }
        };
        let missing = copies::missing(placement, &operations, &members, self.spec.factor);
        let active = operations.iter().filter(|operation| operation.state == OperationState::Active).count();
        let ended: Vec<&str> = operations
            .iter()
            .filter(|operation| operation.state != OperationState::Active)
            .map(|operation| operation.shard.as_str())
            .collect();
        let trouble = operations.iter().find_map(|operation| operation.error.as_ref());
        let trouble = trouble.map_or_else(String::new, |error| format!("; the servers say: {error}"));
        let hash = copy_hash(self.spec, placement, self.behind_since());
        match self.spec.copy {
            CopyPolicy::Off => {
                Part::Stuck(Reason::CopyOff, format!("{summary}; repair.copy is Off: set it to Auto or Approve"))
            }
            CopyPolicy::Approve if !self.approves(&hash) => {
                self.show_copies(&hash, &missing, true);
                let message = format!(
                    "{summary}; approve the copies: kubectl annotate --overwrite elysiacollection {} elysia.dev/approve={hash}",
                    self.spec.name,
                );
                Part::Stuck(Reason::NeedsApproval, message)
            }
            CopyPolicy::Auto | CopyPolicy::Approve => {
                self.show_copies(&hash, &missing, false);
                // The record of an ended copy has to be gone before the next one of that shard (`weaviate-lab` §7).
                let now = missing.iter().filter(|copy| !ended.contains(&copy.shard.as_str()));
                let room = COPIES_AT_ONCE.saturating_sub(active);
                self.steps.extend(now.take(room).cloned().map(Step::Copy));
                self.recheck = Some(RECHECK);
                let message = format!("{summary}; {active} copies run, {} wait{trouble}", missing.len());
                Part::Working(Reason::Copying, message)
            }
        }
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

    fn show_copies(&mut self, hash: &str, missing: &[Copy], waits: bool) {
        let steps: Vec<String> = missing
            .iter()
            .map(|copy| format!("copy shard {} from {} to {}", copy.shard, copy.source, copy.target))
            .chain([
                format!("raise the factor of the class to {}", self.spec.factor),
                "compare the ids at every node".to_owned(),
            ])
            .collect();
        self.shown = Some(shown_plan(hash, "Copy", false, steps, waits));
    }

    fn factor(&mut self, class: &Value) -> Part {
        let live = schema::class_factor(class);
        let message = format!("the class declares factor {live}, {} is wanted", self.spec.factor);
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{message}; {wait}"));
        }
        self.recheck = Some(RECHECK);
        let body = schema::reverted(class, &[], &replication(self.spec));
        self.steps.push(Step::UpdateClass { base: class.clone(), class: body });
        Part::Working(Reason::ReplicasBehind, message)
    }

    fn proof(&mut self, class: &Value, placement: &[ShardReplicas]) -> Part {
        let shards = placement.len();
        let factor = self.spec.factor;
        if schema::is_multi_tenant(class) {
            return Part::InSync(format!("{shards} tenants have {factor} replicas; what is in them was not compared"));
        }
        if factor <= 1 {
            return Part::InSync(format!("{shards} shards have 1 replica"));
        }
        if self.observed.nodes.is_empty() {
            return Part::InSync(format!(
                "{shards} shards have {factor} replicas; not compared: no node has an address of its own"
            ));
        }
        if !needs_proof(self.spec, self.observed, class, placement, self.before) {
            return Part::InSync(proved_text(shards, factor, self.proof_before()));
        }
        let lists = match &self.observed.replicas {
            Some(Sight::Seen(lists)) => lists,
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Working(
                    Reason::Proving,
                    format!("the replicas could not be compared: {}", blindness.message),
                );
            }
            None => {
                self.recheck = Some(RECHECK);
                return Part::Working(Reason::Proving, "the replicas are being compared".to_owned());
            }
        };
        let mut views = lists.values();
        let first = views.next();
        if let Some(first) = first
            && views.all(|view| view == first)
        {
            let proof = Proof {
                at: Time(whole_seconds(self.now)),
                objects: first.count,
                nodes: i64::try_from(lists.len()).unwrap_or(i64::MAX),
                digest: first.digest.clone(),
                placement: fingerprint::of(&placement),
            };
            let text = proved_text(shards, factor, Some(&proof));
            self.proved = Some(proof);
            return Part::InSync(text);
        }
        self.recheck = Some(RECHECK_DIFFERENT);
        let counts: Vec<String> = lists.iter().map(|(node, view)| format!("{node} lists {}", view.count)).collect();
        Part::Working(
            Reason::ReplicasDiffer,
            format!(
                "the nodes list different objects ({}); writers may be at work, it is compared again",
                counts.join(", ")
            ),
        )
    }

    fn proof_before(&self) -> Option<&Proof> {
        self.before.replication.as_ref()?.proved.as_ref()
    }
}

/// The same words in the round of the proof and in every one after it, so that nothing is written at rest.
fn proved_text(shards: usize, factor: i64, proof: Option<&Proof>) -> String {
    let (objects, nodes) = proof.map_or((0, 0), |proof| (proof.objects, proof.nodes));
    format!("{shards} shards have {factor} replicas; when compared, {nodes} nodes listed the same {objects} objects")
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

fn copy_hash(spec: &CollectionSpec, placement: &[ShardReplicas], since: i64) -> String {
    // The shards without their replicas, which change with every copy.
    let shards: Vec<&str> = placement.iter().map(|shard| shard.shard.as_str()).collect();
    fingerprint::short(&("Copy", &spec.uid, spec.factor, since, shards))
}
