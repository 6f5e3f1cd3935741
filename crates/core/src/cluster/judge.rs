//! How a cluster stands: phase, nodes, conditions.

use std::collections::BTreeSet;

use elysia_api::cluster::{ClusterPhase, Endpoints, EngineRestart, NodeStatus, WeaviateClusterStatus};
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::{STATUS_LIST_LIMIT, WeaviateCluster, names};
use jiff::Timestamp;
use kube::core::ResourceExt as _;

use super::engine;
use super::observed::{NodeAnswer, NodeSight, Observed};
use super::spec::{ClusterSpec, Kind};
use crate::condition::{self, Finding};
use crate::fingerprint;
use crate::sight::{BlindnessKind, Sight};

/// What the nodes together amount to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Nodes that say they are ready.
    pub ready: usize,
    /// Nodes that should exist.
    pub wanted: usize,
    /// Whether a majority serves under one leader.
    pub serves: bool,
    /// What is wrong, worst first; empty when all is well.
    pub trouble: Option<(Reason, String)>,
    /// Whether all nodes see all members and name one leader; `None` when too little could be seen.
    pub verified: Result<String, (Reason, String)>,
    /// Pods that run an older template.
    pub outdated: Vec<String>,
    /// Whether nothing moves without a person.
    pub stalls: bool,
}

impl Standing {
    /// The same, beside what is known of the nodes' replication engines.
    fn beside(mut self, engine: &engine::Verdict, now: Timestamp) -> Self {
        match &mut self.trouble {
            None => {
                self.trouble = engine.trouble();
                self.stalls = engine.needs_person();
            }
            // Whoever reads that a node is away wants to know that it was the operator who took it down.
            Some((Reason::NodesMissing | Reason::MembersDiffer | Reason::NoLeader, message)) => {
                let recent = |restart: &&EngineRestart| {
                    engine.hung.is_none() && now.duration_since(restart.at.0) < engine::RESTART_TAKES
                };
                if let Some(restart) = engine.restart.as_ref().filter(recent) {
                    let why = format!("the operator restarted {}, whose replication engine hung", restart.node);
                    *message = format!("{message}; {why}");
                }
            }
            Some(_) => {}
        }
        self
    }
}

/// What came of this round's writes. A look is made before them, so that by itself it may praise a spec that was never
/// applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Everything was as wanted already, or nothing was to be done.
    Unchanged,
    /// Something was written; the look is older than that.
    Applied,
    /// A write did not happen.
    Failed {
        /// Why.
        message: String,
        /// Whether trying again is of no use until a person changes something.
        for_good: bool,
    },
}

/// Whether the look is older than what was applied, so that another one must follow soon.
pub fn is_settling(observed: &Observed, outcome: &Outcome) -> bool {
    *outcome == Outcome::Applied || observed.stateful_set.as_ref().is_some_and(|set| set.pending)
}

/// What this look says of the cluster.
pub fn standing(spec: &ClusterSpec, observed: &Observed) -> Standing {
    let wanted = spec.node_names();
    if wanted.is_empty() {
        return standing_without_nodes(observed);
    }
    let ready = observed.nodes.iter().filter(|node| answer(node).is_some_and(|answer| answer.ready)).count();
    let verified = verification(&wanted, observed);
    let leader_known =
        observed.nodes.iter().filter_map(answer).filter(|answer| answer.ready).any(|answer| answer.leader.is_some());
    let serves = ready * 2 > wanted.len() && leader_known;
    let outdated = outdated(observed);
    let trouble = trouble(observed, ready, wanted.len()).or_else(|| verified.as_ref().err().cloned()).or_else(|| {
        (!outdated.is_empty()).then(|| {
            let message = format!(
                "{} run an older template; restart them one at a time, each when the one before is ready again: kubectl delete pod {}",
                outdated.join(", "),
                outdated[0]
            );
            (Reason::RestartRequired, message)
        })
    });
    let stalls = trouble.as_ref().is_some_and(|(reason, _)| *reason == Reason::RestartRequired);
    Standing { ready, wanted: wanted.len(), serves, trouble, verified, outdated, stalls }
}

fn answer(node: &NodeSight) -> Option<&NodeAnswer> {
    node.answer.seen()
}

/// An external cluster whose nodes have no addresses of their own: the common address must do.
fn standing_without_nodes(observed: &Observed) -> Standing {
    match &observed.members {
        Sight::Seen(seen) => {
            let count = seen.members.len();
            let verified = match &seen.leader {
                Some(leader) => {
                    Ok(format!("{count} members, leader {leader}; no node addresses, so none was asked by itself"))
                }
                None => Err((Reason::NoLeader, "no RAFT leader is known".to_owned())),
            };
            let trouble = verified.as_ref().err().cloned();
            Standing {
                ready: count,
                wanted: count,
                serves: trouble.is_none(),
                trouble,
                verified,
                outdated: Vec::new(),
                stalls: false,
            }
        }
        Sight::Unseen(blindness) => {
            let trouble = (reason_of(blindness.kind), blindness.message.clone());
            Standing {
                ready: 0,
                wanted: 0,
                serves: false,
                trouble: Some(trouble.clone()),
                verified: Err(trouble),
                outdated: Vec::new(),
                stalls: false,
            }
        }
    }
}

fn reason_of(kind: BlindnessKind) -> Reason {
    match kind {
        BlindnessKind::Unreachable => Reason::Unreachable,
        BlindnessKind::Unauthorized => Reason::Unauthorized,
        BlindnessKind::Unsupported | BlindnessKind::Failed => Reason::Unknown,
    }
}

fn trouble(observed: &Observed, ready: usize, wanted: usize) -> Option<(Reason, String)> {
    if ready == wanted {
        return None;
    }
    let waits = observed
        .nodes
        .iter()
        .filter_map(|node| waiting_for(node, observed).map(|waiting| format!("{}: {waiting}", node.name)))
        .take(STATUS_LIST_LIMIT)
        .collect::<Vec<_>>()
        .join("; ");
    let all = observed.nodes.iter().filter_map(|node| node.answer.blindness()).map(|blindness| blindness.kind);
    let kinds: Vec<_> = all.collect();
    let reason = if kinds.len() == wanted && kinds.iter().all(|kind| *kind == BlindnessKind::Unauthorized) {
        Reason::Unauthorized
    } else if kinds.len() == wanted {
        Reason::Unreachable
    } else {
        Reason::NodesMissing
    };
    Some((reason, format!("{ready} of {wanted} nodes are ready; {waits}")))
}

/// What keeps a node from being ready; `None` when it is.
fn waiting_for(node: &NodeSight, observed: &Observed) -> Option<String> {
    let pod = observed.pods.get(&node.name);
    if let Some(pod) = pod
        && pod.deleting
    {
        return Some("its pod is being deleted".to_owned());
    }
    match &node.answer {
        Sight::Seen(answer) if answer.ready => None,
        Sight::Seen(answer) => Some(match (&answer.leader, &answer.members) {
            (None, Some(members)) if members.len() <= 1 => {
                "it sees no other node and no RAFT leader; it waits for the others to join".to_owned()
            }
            (None, _) => "it sees no RAFT leader".to_owned(),
            (Some(_), _) => "it answers but says it is not ready; it may be loading shards".to_owned(),
        }),
        Sight::Unseen(blindness) => Some(match (observed.stateful_set.is_some(), pod) {
            (true, None) => "its pod does not exist".to_owned(),
            (_, Some(pod)) => pod.trouble.clone().unwrap_or_else(|| blindness.message.clone()),
            (false, None) => blindness.message.clone(),
        }),
    }
}

fn verification(wanted: &[String], observed: &Observed) -> Result<String, (Reason, String)> {
    let answers: Vec<(&str, &NodeAnswer)> =
        observed.nodes.iter().filter_map(|node| answer(node).map(|answer| (node.name.as_str(), answer))).collect();
    if answers.len() < wanted.len() {
        return Err((Reason::NodesMissing, format!("{} of {} nodes answered", answers.len(), wanted.len())));
    }
    for (name, answer) in &answers {
        let Some(members) = &answer.members else {
            return Err((Reason::Unknown, format!("{name} could not say which members it sees")));
        };
        let unseen: Vec<&str> =
            wanted.iter().map(String::as_str).filter(|node| !members.iter().any(|member| member == node)).collect();
        if !unseen.is_empty() {
            return Err((Reason::MembersDiffer, format!("{name} does not see {}", unseen.join(", "))));
        }
    }
    let mut leaders: Vec<&str> = answers.iter().filter_map(|(_, answer)| answer.leader.as_deref()).collect();
    leaders.sort_unstable();
    leaders.dedup();
    match leaders.as_slice() {
        [] => Err((Reason::NoLeader, "no node knows a RAFT leader".to_owned())),
        [leader] if answers.iter().all(|(_, answer)| answer.leader.is_some()) => {
            Ok(format!("{} members see each other, leader {leader}", wanted.len()))
        }
        [_] => Err((Reason::NoLeader, "not every node knows the RAFT leader".to_owned())),
        several => Err((Reason::MembersDiffer, format!("the nodes name different leaders: {}", several.join(", ")))),
    }
}

fn outdated(observed: &Observed) -> Vec<String> {
    let Some(revision) = observed.stateful_set.as_ref().and_then(|set| set.update_revision.as_ref()) else {
        return Vec::new();
    };
    observed
        .pods
        .iter()
        .filter(|(_, pod)| pod.revision.as_ref().is_some_and(|pod| pod != revision))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The status that follows from a look and from what came of the writes after it.
pub fn status(
    cluster: &WeaviateCluster,
    spec: &ClusterSpec,
    observed: &Observed,
    outcome: &Outcome,
    now: Timestamp,
) -> WeaviateClusterStatus {
    let engine = engine::verdict(spec, observed, now);
    let standing = standing(spec, observed).beside(&engine, now);
    let before = cluster.status.clone().unwrap_or_default();
    // One that somebody else runs is not starting: it is there or it is not.
    let external = matches!(spec.kind, Kind::External(_));
    let was_ready = external || before.phase.is_some_and(|phase| phase != ClusterPhase::Starting);
    let secret_trouble = secret_trouble(spec, observed);
    let settling = is_settling(observed, outcome);
    let mut findings = after_writes(findings(&standing, was_ready, secret_trouble), outcome, settling);
    if is_paused(cluster) {
        let message = "elysia.dev/paused is true: nothing is changed";
        findings.retain(|finding| !finding.kind.present_only_while_true());
        findings.push(Finding::holds(ConditionType::Stalled, Reason::Paused, message));
    }
    let phase = match (&standing.trouble, standing.serves, was_ready) {
        (None, true, _) => ClusterPhase::Ready,
        (_, _, false) => ClusterPhase::Starting,
        (_, true, _) => ClusterPhase::Degraded,
        (_, false, _) => ClusterPhase::Unavailable,
    };
    let version = lowest_version(observed);
    WeaviateClusterStatus {
        observed_generation: cluster.metadata.generation,
        phase: Some(phase),
        version,
        nodes_ready: Some(format!("{}/{}", standing.ready, standing.wanted)),
        nodes: nodes(observed),
        raft_members: raft_members(observed, &before),
        endpoints: Some(Endpoints { rest: spec.rest(), grpc: spec.grpc() }),
        distribution: before.distribution.clone(),
        probe: before.probe.clone(),
        hung_engine: engine.hung,
        engine_restart: engine.restart,
        recommendations: before.recommendations.clone(),
        conditions: condition::merge(&before.conditions, &findings, cluster.metadata.generation, now),
    }
}

/// Whether nothing is to be changed, by the word of a person.
pub fn is_paused(cluster: &WeaviateCluster) -> bool {
    cluster.annotations().get(names::PAUSED_ANNOTATION).map(String::as_str) == Some("true")
}

/// What all who answered say together; while nodes are restarted they may not say the same. What was seen last stays
/// while nobody says anything.
fn raft_members(observed: &Observed, before: &WeaviateClusterStatus) -> Vec<String> {
    let nodes = observed.nodes.iter().filter_map(answer).flat_map(|answer| &answer.raft_addresses);
    let common = observed.members.seen().into_iter().flat_map(|seen| &seen.raft_addresses);
    let members: BTreeSet<&String> = nodes.chain(common).collect();
    if members.is_empty() {
        return before.raft_members.clone();
    }
    members.into_iter().take(STATUS_LIST_LIMIT).cloned().collect()
}

/// The status of a cluster whose spec cannot be honoured.
pub fn invalid(cluster: &WeaviateCluster, message: &str, now: Timestamp) -> WeaviateClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let [ready, stalled] = condition::of_invalid(cluster, message);
    let available = Finding::unknown(ConditionType::Available, Reason::InvalidSpec, "nothing was looked at");
    let findings = [ready, available, stalled];
    status.observed_generation = cluster.metadata.generation;
    status.conditions = condition::merge(&status.conditions, &findings, cluster.metadata.generation, now);
    status
}

fn secret_trouble(spec: &ClusterSpec, observed: &Observed) -> Option<String> {
    match (&observed.secret, &spec.kind) {
        (Sight::Unseen(blindness), _) => Some(blindness.message.clone()),
        // The operator makes this one itself.
        (Sight::Seen(false), Kind::Managed(managed)) if managed.auth.api_key_secret_ref.is_none() => None,
        (Sight::Seen(false), _) => Some("the Secret with the API key does not exist; create it".to_owned()),
        (Sight::Seen(true), _) => None,
    }
}

fn findings(standing: &Standing, was_ready: bool, secret_trouble: Option<String>) -> Vec<Finding> {
    let Standing { ready, wanted, serves, trouble, verified, outdated: _, stalls } = standing;
    let available = if *serves {
        Finding::holds(ConditionType::Available, Reason::AsDeclared, format!("{ready} of {wanted} nodes serve"))
    } else {
        let (reason, message) = trouble.clone().unwrap_or((Reason::Unknown, "nothing is known".to_owned()));
        Finding::fails(ConditionType::Available, reason, message)
    };
    let verified = match verified {
        Ok(message) => Finding::holds(ConditionType::ClusterVerified, Reason::AsDeclared, message),
        Err((Reason::Unknown, message)) => Finding::unknown(ConditionType::ClusterVerified, Reason::Unknown, message),
        Err((reason, message)) => Finding::fails(ConditionType::ClusterVerified, *reason, message),
    };
    let mut findings = vec![available, verified];
    if let Some(message) = secret_trouble {
        findings.push(Finding::holds(ConditionType::Stalled, Reason::SecretMissing, message.clone()));
        findings.insert(0, Finding::fails(ConditionType::Ready, Reason::SecretMissing, message));
        return findings;
    }
    let ready = match trouble {
        None => {
            Finding::holds(ConditionType::Ready, Reason::AsDeclared, format!("{ready} of {wanted} nodes are ready"))
        }
        Some((_, message)) if !was_ready => Finding::fails(ConditionType::Ready, Reason::Starting, message),
        Some((reason, message)) => Finding::fails(ConditionType::Ready, *reason, message),
    };
    match trouble {
        None => {}
        Some((reason, message)) if *stalls => {
            findings.push(Finding::holds(ConditionType::Stalled, *reason, message));
        }
        Some((_, message)) => findings.push(Finding::holds(ConditionType::Reconciling, ready.reason, message)),
    }
    findings.insert(0, ready);
    findings
}

/// The findings as the writes leave them. What was seen of the nodes stays; only whether the spec is fulfilled changes.
fn after_writes(mut findings: Vec<Finding>, outcome: &Outcome, settling: bool) -> Vec<Finding> {
    let looks_ready =
        findings.iter().any(|finding| finding.kind == ConditionType::Ready && finding.value == condition::Value::True);
    let (reason, message, stands_in) = match outcome {
        Outcome::Failed { message, for_good: true } => (Reason::InvalidSpec, message.as_str(), ConditionType::Stalled),
        Outcome::Failed { message, for_good: false } => (Reason::Unknown, message.as_str(), ConditionType::Reconciling),
        // What is not ready anyhow says why by itself.
        _ if looks_ready && settling => {
            (Reason::Creating, "changes were applied; looking again", ConditionType::Reconciling)
        }
        Outcome::Unchanged | Outcome::Applied => return findings,
    };
    findings.retain(|finding| matches!(finding.kind, ConditionType::Available | ConditionType::ClusterVerified));
    findings.insert(0, Finding::fails(ConditionType::Ready, reason, message));
    findings.push(Finding::holds(stands_in, reason, message));
    findings
}

fn lowest_version(observed: &Observed) -> Option<String> {
    let parts = |version: &String| version.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let of_nodes = observed.nodes.iter().filter_map(|node| answer(node)?.version.clone()).min_by_key(parts);
    of_nodes.or_else(|| observed.members.seen().and_then(|seen| seen.version.clone()))
}

fn nodes(observed: &Observed) -> Vec<NodeStatus> {
    let mut nodes: Vec<NodeStatus> = observed
        .nodes
        .iter()
        .map(|node| {
            let seen = answer(node);
            NodeStatus {
                name: node.name.clone(),
                ready: seen.is_some_and(|answer| answer.ready),
                version: seen.and_then(|answer| answer.version.clone()),
                raft: seen.and_then(|answer| answer.raft.clone()),
                shards: seen.and_then(|answer| answer.shards),
                waiting_for: waiting_for(node, observed),
            }
        })
        .collect();
    if nodes.is_empty()
        && let Some(seen) = observed.members.seen()
    {
        nodes.extend(seen.members.iter().map(|name| NodeStatus {
            name: name.clone(),
            ready: true,
            raft: (seen.leader.as_ref() == Some(name)).then(|| "Leader".to_owned()),
            ..NodeStatus::default()
        }));
    }
    nodes.sort_by_key(|node| node.ready);
    nodes.truncate(STATUS_LIST_LIMIT);
    nodes
}

/// Whether work on collections may rely on the cluster: every member is alive and all agree.
pub fn is_fit(status: Option<&WeaviateClusterStatus>) -> Result<(), String> {
    let Some(status) = status else {
        return Err("the cluster was not looked at yet".to_owned());
    };
    match condition::find(&status.conditions, ConditionType::ClusterVerified) {
        Some(verified) if verified.status == "True" => Ok(()),
        Some(verified) => Err(verified.message.clone()),
        None => Err("the cluster was not looked at yet".to_owned()),
    }
}

/// Names what work on collections relies on in a cluster. It stays while only measures move, as they do with every
/// collection that is made: shards of a node, their distribution, the last probe, advice.
pub fn relied_on(cluster: &WeaviateCluster) -> String {
    let mut status = cluster.status.clone().unwrap_or_default();
    status.distribution = None;
    status.probe = None;
    status.recommendations.clear();
    for node in &mut status.nodes {
        node.shards = None;
    }
    let metadata = &cluster.metadata;
    fingerprint::of(&(&metadata.uid, metadata.generation, &metadata.deletion_timestamp, &metadata.annotations, &status))
}

/// Name for messages: `namespace/name`.
pub fn display_name(cluster: &WeaviateCluster) -> String {
    format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
