//! Nodes that will never come back: others get their replicas, then they leave the collection and RAFT, by an approved plan.

use elysia_api::collection::ShardReplicas;
use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::super::copies::Replica;
use super::super::super::observed::{OperationState, Stage};
use super::super::super::repair::{self, Action, Journal};
use super::super::super::schema;
use super::super::{Part, Planner, RECHECK_LATER, Removal, Step};
use super::removing::REMOVALS;
use crate::sight::Sight;

impl Planner<'_> {
    /// Nodes that hold replicas and will never come back.
    pub(super) fn replace(&mut self, class: &Value, placement: &[ShardReplicas], gone: &[String]) -> Part {
        let names = gone.join(", ");
        let what = format!("{names} holds replicas, is not alive and not one of the cluster's nodes any more");
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::NodeGone, format!("{what}; {wait}"));
        }
        let members = self.members();
        let lost = placement.iter().find(|shard| !shard.replicas.iter().any(|node| members.contains(node)));
        if let Some(lost) = lost {
            let message = format!(
                "{what}; no living node holds shard {}: its only data were at {}. Bring that node back, or restore the collection from a backup",
                lost.shard,
                lost.replicas.join(", ")
            );
            return Part::Stuck(Reason::SourceLost, message);
        }
        if i64::try_from(members.len()).is_ok_and(|members| members < self.spec.factor) {
            let message = format!(
                "{what}; {} replicas need as many nodes, and {} are left: add a node to the cluster, or lower replication.factor to {}",
                self.spec.factor,
                members.len(),
                members.len()
            );
            return Part::Stuck(Reason::NodeGone, message);
        }
        let victims = placement
            .iter()
            .flat_map(|shard| {
                let dead = shard.replicas.iter().filter(|node| gone.contains(node));
                dead.map(|node| Replica { shard: shard.shard.clone(), node: node.clone() })
            })
            .collect();
        self.offer(class, placement, Action::Replace, victims, gone, &what)
    }

    pub(super) fn replacing(&mut self, class: &Value, placement: &[ShardReplicas], journal: &Journal) -> Part {
        let text = format!(
            "replicas of {} are made elsewhere; status.replication.progress says how far it is",
            journal.gone.join(", ")
        );
        let members = self.members();
        if let Some(back) =
            journal.gone.iter().find(|node| members.contains(node) || self.observed.nodes.contains(node))
        {
            return self.end(journal, Some(format!("{back} is there again")));
        }
        let missing = self.missing(class, placement, &journal.gone);
        if !missing.copies.is_empty() {
            self.copy(class, placement, &missing);
            return Part::Working(Reason::NodeGone, text);
        }
        if missing.full.is_some() || missing.unavailable > 0 {
            let why = missing.full.map_or_else(
                || "tenants that are offloaded cannot be copied: activate them".to_owned(),
                |(node, words)| format!("{node} has no room: {words}; enlarge its volume or add a node"),
            );
            return Part::Stuck(Reason::NoRoom, why);
        }
        let operations = self.observed.operations.seen().cloned().unwrap_or_default();
        let active: Vec<_> = operations.iter().filter(|operation| operation.state == OperationState::Active).collect();
        if active.iter().any(|operation| operation.stage != Stage::Integrating) {
            return Part::Working(Reason::NodeGone, text);
        }
        if !active.is_empty() {
            // 1.38: the new replicas serve, and their copies end when the dead one has left RAFT (`weaviate-lab` §4).
            return self.out_of_raft(journal, &text);
        }
        if let Some(part) = self.cool(class, placement, &[]) {
            return part;
        }
        if self.is_busy() {
            return Part::Working(Reason::NodeGone, text);
        }
        let named = |victim: &&Replica| {
            placement.iter().any(|shard| shard.shard == victim.shard && shard.replicas.contains(&victim.node))
        };
        let dead: Vec<Replica> = placement
            .iter()
            .flat_map(|shard| {
                let dead = shard.replicas.iter().filter(|node| journal.gone.contains(node));
                dead.map(|node| Replica { shard: shard.shard.clone(), node: node.clone() })
            })
            .collect();
        let needed = usize::try_from(self.spec.factor).unwrap_or(usize::MAX).max(1);
        for victim in dead.iter().filter(named).take(REMOVALS) {
            let keepers = repair::keepers(placement, victim, &members);
            if keepers.len() < needed {
                continue;
            }
            self.steps.push(Step::RemoveReplica(Removal {
                victim: victim.clone(),
                keepers,
                compared: false,
                tenant: schema::is_multi_tenant(class),
                needed,
            }));
        }
        if dead.is_empty() { self.out_of_raft(journal, &text) } else { Part::Working(Reason::NodeGone, text) }
    }

    /// The last step of a replacement: the dead node leaves RAFT, when no class needs it there.
    fn out_of_raft(&mut self, journal: &Journal, text: &str) -> Part {
        self.recheck = Some(RECHECK_LATER);
        let raft = match &self.observed.repair.raft {
            Some(Sight::Seen(raft)) => raft,
            Some(Sight::Unseen(blindness)) => {
                return Part::Working(Reason::NodeGone, format!("{text}; {}", blindness.message));
            }
            None => return Part::Working(Reason::NodeGone, text.to_owned()),
        };
        let Some(node) = journal.gone.iter().find(|node| raft.contains(node)) else {
            if self.is_busy() {
                return Part::Working(Reason::NodeGone, text.to_owned());
            }
            return self.end(journal, None);
        };
        match &self.observed.repair.blocked {
            Some(Sight::Seen(None)) => {}
            Some(Sight::Seen(Some(why))) => {
                return Part::Stuck(Reason::NodeGone, format!("{node} cannot be taken out of RAFT yet: {why}"));
            }
            Some(Sight::Unseen(blindness)) => {
                let message = format!("whether {node} may leave RAFT could not be told: {}", blindness.message);
                return Part::Working(Reason::NodeGone, message);
            }
            None => return Part::Working(Reason::NodeGone, text.to_owned()),
        }
        if self.observed.repair.data_ports.is_empty() {
            let message = format!(
                "{node} is still a member of RAFT, and no node's data port is known: set spec.external.nodes[].dataUrl of the WeaviateCluster, or run at a living node: curl --request POST http://NODE:DATA_PORT/v1/cluster/remove --data '{{\"node\":\"{node}\"}}'"
            );
            return Part::Stuck(Reason::NodeGone, message);
        }
        self.steps.push(Step::RemoveMember(node.clone()));
        Part::Working(Reason::NodeGone, format!("{node} is taken out of RAFT"))
    }
}
