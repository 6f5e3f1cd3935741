//! What the nodes list is compared; what stays different is made anew.

use elysia_api::collection::{ElysiaCollectionStatus, Proof, ShardReplicas};
use elysia_api::condition::Reason;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::super::super::copies::Replica;
use super::super::super::observed::Observed;
use super::super::super::repair::{self, Action, HEALS};
use super::super::super::schema;
use super::super::super::spec::CollectionSpec;
use super::super::{Part, Planner, RECHECK, RECHECK_DIFFERENT, RECHECK_LATER};
use crate::condition::whole_seconds;
use crate::fingerprint;
use crate::sight::Sight;

/// How long after a difference was found asynchronous replication is switched on again where it is off.
const SWITCHES_ON: SignedDuration = SignedDuration::from_secs(60);

/// Whether the replicas have to be compared again: they were never, they moved, or something happened since that says
/// that the comparison of before is worth nothing.
pub(in super::super) fn needs_proof(
    spec: &CollectionSpec,
    observed: &Observed,
    placement: &[ShardReplicas],
    before: &ElysiaCollectionStatus,
) -> bool {
    let replication = before.replication.as_ref();
    let proved = replication.and_then(|replication| replication.proved.as_ref());
    spec.factor > 1
        && !observed.nodes.is_empty()
        && (voided(observed, before).is_some()
            || replication.is_some_and(|replication| replication.differ_since.is_some())
            || proved.is_none_or(|proof| proof.placement != fingerprint::of(&placement)))
}

/// Why the proof of before says nothing any more.
fn voided(observed: &Observed, before: &ElysiaCollectionStatus) -> Option<String> {
    if let Some(why) = &observed.repair.voided {
        return Some(why.clone());
    }
    let proved = before.replication.as_ref()?.proved.as_ref()?;
    let verification = before.verification.as_ref()?;
    (verification.at.0 > proved.at.0 && verification.missing > 0)
        .then(|| format!("a comparison of sampled objects found {} missing", verification.missing))
}

impl Planner<'_> {
    pub(super) fn proof(&mut self, class: &Value, placement: &[ShardReplicas]) -> Part {
        let shards = placement.len();
        let factor = self.spec.factor;
        let what = if schema::is_multi_tenant(class) { "tenants" } else { "shards" };
        if factor <= 1 {
            return self.single(shards, what);
        }
        if self.observed.nodes.is_empty() {
            return Part::InSync(format!(
                "{shards} {what} have {factor} replicas; not compared: no node has an address of its own"
            ));
        }
        if !needs_proof(self.spec, self.observed, placement, self.before) {
            return Part::InSync(proved_text(shards, what, factor, self.proof_before()));
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
        let same = first.filter(|first| views.all(|view| view == *first));
        // While writers are at work the lists are never the same: they are made one after another. What one node lists and
        // another does not was asked for by id, and if it is there the replicas are as complete as equal lists show.
        let complete = || lists.values().max_by_key(|view| view.count).filter(|_| self.none_lacks_any(lists.len()));
        if let Some(view) = same.or_else(complete) {
            let proof = Proof {
                at: Time(whole_seconds(self.now)),
                objects: view.count,
                nodes: i64::try_from(lists.len()).unwrap_or(i64::MAX),
                digest: view.digest.clone(),
                placement: fingerprint::of(&placement),
            };
            let text = proved_text(shards, what, factor, Some(&proof));
            self.proved = Some(proof);
            return Part::InSync(text);
        }
        self.different(class, placement)
    }

    /// Whether each of so many nodes has everything that any other lists, as far as was asked for by id: all of it.
    fn none_lacks_any(&self, nodes: usize) -> bool {
        let Some(Sight::Seen(gaps)) = &self.observed.repair.gaps else { return false };
        gaps.len() == nodes && gaps.values().all(|gap| gap.missing == 0)
    }

    /// The lists differ. What is still missing when it is asked for by id is missing; the rest was written or deleted
    /// while the lists were made.
    fn different(&mut self, class: &Value, placement: &[ShardReplicas]) -> Part {
        self.recheck = Some(RECHECK_DIFFERENT);
        let gaps = match &self.observed.repair.gaps {
            Some(Sight::Seen(gaps)) => gaps.clone(),
            Some(Sight::Unseen(blindness)) => {
                let message =
                    format!("the nodes list different objects, and which could not be told: {}", blindness.message);
                return Part::Working(Reason::ReplicasDiffer, message);
            }
            None => {
                let message =
                    "the nodes list different objects; writers may be at work, it is compared again".to_owned();
                return Part::Working(Reason::ReplicasDiffer, message);
            }
        };
        let lacking: Vec<String> = gaps
            .iter()
            .filter(|(_, gap)| gap.missing > 0)
            .map(|(node, gap)| format!("{node} lacks at least {}", gap.missing))
            .collect();
        if lacking.is_empty() {
            let message = "the nodes list different objects, and not every node was asked for what it lacks; it is compared again";
            return Part::Working(Reason::ReplicasDiffer, message.to_owned());
        }
        self.differ = true;
        let since = self.before.replication.as_ref().and_then(|replication| replication.differ_since.as_ref());
        let since = since.map_or(self.now, |since| since.0);
        // 1.35 heals nothing while this is off, and a raised factor alone leaves it off (`weaviate-lab` §0.8). Servers with
        // ASYNC_REPLICATION_DISABLED go on saying that it is off (seen on 1.38.2): it is tried at the beginning only.
        if class.pointer("/replicationConfig/asyncEnabled") == Some(&Value::Bool(false))
            && self.now.duration_since(since) < SWITCHES_ON
            && self.waits_for_cluster().is_none()
        {
            self.put_factor(class, self.spec.factor);
            self.recheck = Some(RECHECK_LATER);
            let message = format!("replicas differ ({}); asynchronous replication is switched on", lacking.join(", "));
            return Part::Working(Reason::ReplicasDiffer, message);
        }
        let what = format!("replicas differ ({})", lacking.join(", "));
        if self.now.duration_since(since) < HEALS {
            let message = format!(
                "{what}; the servers compare and heal them by themselves, which is waited for {} s",
                HEALS.as_secs()
            );
            return Part::Working(Reason::ReplicasDiffer, message);
        }
        let nodes = match repair::incomplete(&gaps) {
            Ok(nodes) => nodes,
            Err(why) => {
                let message = format!(
                    "replicas differ and have not healed: {why}; nothing is taken away. Look at the servers' logs for asynchronous replication, or compare by hand"
                );
                return Part::Stuck(Reason::ReplicasDiffer, message);
            }
        };
        let victims: Vec<Replica> = nodes
            .iter()
            .flat_map(|node| {
                placement
                    .iter()
                    .filter(|shard| shard.replicas.contains(node))
                    .map(|shard| Replica { shard: shard.shard.clone(), node: node.clone() })
            })
            .collect();
        self.offer(
            class,
            placement,
            Action::Rebuild,
            victims,
            &[],
            &format!("{what} and have not healed by themselves"),
        )
    }

    /// One replica of each shard: there is nothing to compare with, and nothing to heal from.
    fn single(&mut self, shards: usize, what: &str) -> Part {
        let remembered = self.before.objects.as_ref().map(|objects| objects.count);
        let counted = self.observed.count.as_ref().and_then(Sight::seen).copied();
        let told =
            self.before.conditions.iter().any(|condition| {
                condition.type_ == "ReplicasInSync" && condition.reason == Reason::SourceLost.as_str()
            });
        let dealt_with = self.spec.run_now.is_some()
            && self.spec.run_now != self.before.last_handled.as_ref().and_then(|handled| handled.run_now.clone());
        if let (Some(remembered), Some(counted)) = (remembered, counted)
            && counted < remembered
            && !dealt_with
            && let Some(why) =
                self.observed.repair.voided.clone().or_else(|| told.then(|| "a node came back".to_owned()))
        {
            self.keep_count = true;
            let message = format!(
                "{why}, and {counted} objects are left of {remembered}: with one replica of each shard an empty disk cannot be healed. Restore the collection from a backup; if the objects were deleted on purpose: kubectl annotate --overwrite elysiacollection {} elysia.dev/run-now=$(date +%s)",
                self.spec.name
            );
            return Part::Stuck(Reason::SourceLost, message);
        }
        Part::InSync(format!("{shards} {what} have 1 replica"))
    }

    fn proof_before(&self) -> Option<&Proof> {
        self.before.replication.as_ref()?.proved.as_ref()
    }
}

/// The same words in the round of the proof and in every one after it, so that nothing is written at rest. What was written
/// or deleted while the nodes listed is told as they all have it.
fn proved_text(shards: usize, what: &str, factor: i64, proof: Option<&Proof>) -> String {
    let (objects, nodes) = proof.map_or((0, 0), |proof| (proof.objects, proof.nodes));
    if what == "tenants" {
        let compared = shards.min(repair::COMPARED_TENANTS);
        return format!(
            "{shards} tenants have {factor} replicas; of at most {compared} active tenants that were compared, {nodes} nodes listed the same {objects} objects"
        );
    }
    format!("{shards} shards have {factor} replicas; when compared, {nodes} nodes listed the same {objects} objects")
}
