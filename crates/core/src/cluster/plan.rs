//! What brings a cluster nearer to its spec.

use std::collections::BTreeMap;

use elysia_api::cluster::EngineRestart;
use elysia_api::names;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use super::desired::{self, Objects};
use super::engine;
use super::judge;
use super::observed::{NodeAnswer, Observed};
use super::spec::{ClusterSpec, Kind};
use crate::sight::Sight;

/// How soon to look again while nodes come up or are away.
pub const RECHECK: SignedDuration = SignedDuration::from_secs(2);

/// Time that a node gets to find the others before it is restarted: several rounds of gossip, and far more than the
/// 2-8 s that three nodes need (`weaviate-lab` §11).
pub const ALONE_PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// What to do with a cluster now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// When to look again.
    pub recheck: SignedDuration,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make the Secret with a new key, unless it is there.
    CreateSecret {
        /// Name of the Secret.
        name: String,
    },
    /// Apply what the cluster consists of, where the live objects differ.
    Apply(Box<Objects>),
    /// Apply the Elysia service, where the live objects differ.
    ApplyElysia(Box<(Deployment, Service)>),
    /// Restart a node that started alone and will not find the others by itself.
    RestartAlone {
        /// Name of the pod.
        pod: String,
        /// Its identity, so that a pod that was restarted meanwhile is left alone.
        uid: String,
    },
    /// Restart a node whose replication engine hangs; only if nothing else was changed in this round.
    RestartHung(EngineRestart),
}

/// The plan for this look. `auto_schema` is what the override file has to say now: the spec's word, unless a recreation
/// of a collection holds it off for its seconds.
pub fn plan(spec: &ClusterSpec, observed: &Observed, auto_schema_held_off: bool, now: Timestamp) -> Plan {
    let standing = judge::standing(spec, observed);
    let engine = engine::verdict(spec, observed, now);
    let recheck = match (&standing.trouble, engine.soon) {
        (None, false) => spec.interval,
        (None, true) if engine.restart == observed.engine.restart && engine.now.is_none() => {
            engine::RECHECK.min(spec.interval)
        }
        _ => RECHECK.min(spec.interval),
    };
    let Kind::Managed(managed) = &spec.kind else {
        return Plan { steps: Vec::new(), recheck };
    };
    let mut steps = Vec::new();
    if !managed.auth.anonymous && managed.auth.api_key_secret_ref.is_none() && observed.secret == Sight::Seen(false) {
        steps.push(Step::CreateSecret { name: names::auth_secret(&spec.name) });
    }
    let replicas = replicas(managed.replicas, observed);
    let auto_schema = managed.auto_schema && !auto_schema_held_off;
    steps.push(Step::Apply(Box::new(desired::objects(spec, managed, replicas, auto_schema))));
    let alone = alone(spec, observed, now);
    // One at a time.
    let hung = engine.now.filter(|_| alone.is_none()).map(Step::RestartHung);
    steps.extend(alone.or(hung));
    if let Some(elysia) = &spec.elysia
        && (standing.trouble.is_none() || observed.elysia_exists)
    {
        steps.push(Step::ApplyElysia(Box::new(desired::elysia(spec, elysia))));
    }
    Plan { steps, recheck }
}

/// Number of pods now: the first node alone until it answers, then all.
///
/// All at once, each looks the others up before DNS knows them and starts alone; a 1.35 stays alone for ever. Once
/// there are several the number never goes down again: that would be a scale-down.
fn replicas(wanted: i32, observed: &Observed) -> i32 {
    let now = observed.stateful_set.as_ref().map_or(0, |set| set.replicas);
    if now > 1 {
        return wanted.max(now);
    }
    // A StatefulSet that is made anew adopts the pods that are there: one for a single pod would delete the others.
    let several = observed.lived_before || observed.pods.len() > 1;
    let answers = observed.nodes.iter().any(|node| node.answer.seen().is_some());
    if several || answers { wanted } else { wanted.min(1) }
}

/// Nodes that have waited long enough for the others and will not find them by themselves.
///
/// Such a node serves nothing: it has no leader, and says so itself. The one that stays is the lowest of the largest
/// group, so that the others have somebody to join. One restart a round: a network that is cut looks the same, and there
/// a restart helps nobody.
fn alone(spec: &ClusterSpec, observed: &Observed, now: Timestamp) -> Option<Step> {
    let lonely = observed.unverified_since.is_some_and(|since| now.duration_since(since) > ALONE_PATIENCE);
    if !lonely {
        return None;
    }
    let answers: BTreeMap<&str, &NodeAnswer> = observed
        .nodes
        .iter()
        .filter_map(|node| node.answer.seen().map(|answer| (node.name.as_str(), answer)))
        .collect();
    let group = |answer: &NodeAnswer| answer.members.as_ref().map_or(0, Vec::len);
    let largest = answers.values().map(|answer| group(answer)).max()?;
    // In the order of the nodes, not of their names: NAME-10 stands before NAME-2 in the alphabet.
    let order = spec.node_names();
    let anchor = order.iter().find(|name| answers.get(name.as_str()).is_some_and(|answer| group(answer) == largest))?;
    let anchor_answer = answers.get(anchor.as_str())?;
    order
        .iter()
        .filter_map(|name| answers.get(name.as_str()).map(|answer| (name, answer)))
        .filter(|(name, answer)| {
            *name != anchor
                && !answer.ready
                // Without statistics the leader is not unknown to the node but to us.
                && answer.raft_members.is_some()
                && answer.leader.is_none()
                && answer.members.as_ref().is_some_and(|members| members.len() == 1)
                && !anchor_answer.members.iter().flatten().any(|member| member == *name)
        })
        .find_map(|(name, _)| {
            let pod = observed.pods.get(name)?;
            let patient = pod.started.is_some_and(|started| now.duration_since(started) > ALONE_PATIENCE);
            (patient && !pod.deleting).then(|| Step::RestartAlone { pod: name.clone(), uid: pod.uid.clone() })
        })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
