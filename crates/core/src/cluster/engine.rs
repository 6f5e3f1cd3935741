//! A node whose replication engine hangs: how it is known, and whether its pod may be restarted.
//!
//! Seen on 1.38.2 after a node was killed in the middle of copies: another node no longer takes up copies nor deletes
//! them, and serves all the same. Its engine asks the leader for every operation, without a limit of time, and stands
//! still while one such call does not come back. Only a restart of that server heals it.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::cluster::{EngineRestart, HungEngine};
use elysia_api::condition::Reason;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::judge;
use super::observed::{Observed, PodView};
use super::spec::{ClusterSpec, Kind};
use crate::collection::repair::{ClassPlacement, HANGS};
use crate::collection::{Operation, OperationState, Stage};
use crate::condition::whole_seconds;
use crate::sight::Sight;

/// How soon to look again while an operation waits to be deleted: a healthy engine does it within seconds.
pub const RECHECK: SignedDuration = SignedDuration::from_secs(10);

/// Time between two such restarts in one cluster. Should a restart not help, or make another engine hang, the servers are
/// not worn out by it: it took 35 s until one had dealt with everything that was left.
pub const BETWEEN_RESTARTS: SignedDuration = SignedDuration::from_secs(600);

/// How long copies from the node are waited for, since it was first seen not to delete. They begin anew when it is
/// restarted; but of a 1.38.2 whose calls to the leader did not come back those stood still as well, without an error,
/// until it was.
pub const COPIES_END: SignedDuration = SignedDuration::from_secs(180);

/// How long a restart may be the reason why a node is away: 35 s when measured, more when it loads many shards.
pub const RESTART_TAKES: SignedDuration = SignedDuration::from_secs(300);

/// Collections that are named in a message.
const NAMED: usize = 3;

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Replication operations of every class.
    pub operations: Sight<Vec<Operation>>,
    /// When each operation that is to be deleted was first seen so. Known to this process only: forgetting it costs time.
    pub seen: BTreeMap<String, Timestamp>,
    /// Where the shards of every class are, if it was asked: only when a node might be restarted.
    pub placement: Option<Sight<Vec<ClassPlacement>>>,
    /// The node that hung at the last look.
    pub hung: Option<HungEngine>,
    /// The last restart, decided or done.
    pub restart: Option<EngineRestart>,
    /// Why nothing may be restarted now, whatever is seen.
    pub withheld: Option<String>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            operations: Sight::unseen(crate::sight::BlindnessKind::Failed, "not asked"),
            seen: BTreeMap::new(),
            placement: None,
            hung: None,
            restart: None,
            withheld: None,
        }
    }
}

/// What follows from a look.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// The node that hangs.
    pub hung: Option<HungEngine>,
    /// The last restart, decided or done.
    pub restart: Option<EngineRestart>,
    /// The restart that is carried out now: it was written down in a round before.
    pub now: Option<EngineRestart>,
    /// Whether to look again soon.
    pub soon: bool,
    /// Whether it has to be known where the shards of every class are: nothing else keeps the node from being restarted.
    pub asks: bool,
}

impl Verdict {
    /// What the cluster's conditions say of it.
    pub fn trouble(&self) -> Option<(Reason, String)> {
        let HungEngine { node, operation, waiting_for, .. } = self.hung.as_ref()?;
        let next = waiting_for.as_deref().unwrap_or("its pod is restarted");
        let message = format!(
            "the replication engine of {node} hangs: it has not deleted operation {operation} for more than {} s, and no replica is copied to it; {next}",
            HANGS.as_secs()
        );
        Some((Reason::CopyStuck, message))
    }

    /// Whether it is a person who has to restart the node.
    pub fn needs_person(&self) -> bool {
        self.hung.as_ref().is_some_and(|hung| hung.needs_person)
    }
}

/// What keeps the node from being restarted.
struct Obstacle {
    text: String,
    person: bool,
    asks: bool,
}

impl Obstacle {
    fn passing(text: impl Into<String>) -> Self {
        Self { text: format!("waiting: {}", text.into()), person: false, asks: false }
    }

    fn for_a_person(text: impl Into<String>) -> Self {
        Self { text: text.into(), person: true, asks: false }
    }
}

/// The operations that a living node was asked to delete, and has not.
fn pending<'a>(observed: &'a Observed, operations: &'a [Operation]) -> impl Iterator<Item = &'a Operation> {
    let ready = move |node: &str| {
        observed.nodes.iter().any(|seen| seen.name == node && seen.answer.seen().is_some_and(|answer| answer.ready))
    };
    // The record of an ended one is dropped without its target: it holds up nothing.
    operations.iter().filter(move |operation| {
        operation.dropping && operation.state == OperationState::Active && ready(&operation.target)
    })
}

/// Since when this operation's target has had to delete it: it has done nothing while it was not running.
fn since(observed: &Observed, operation: &Operation, now: Timestamp) -> Timestamp {
    let look = &observed.engine;
    let seen = look.seen.get(&operation.id).copied().unwrap_or(now);
    let before = look.hung.as_ref().filter(|hung| hung.operation == operation.id).map(|hung| hung.since.0);
    let started = observed.pods.get(&operation.target).and_then(|pod| pod.started);
    let seen = before.map_or(seen, |before| before.min(seen));
    started.map_or(seen, |started| started.max(seen))
}

/// The node that hangs and the operation that shows it: first the one that is being restarted, then in the nodes' order.
fn hung<'a>(
    spec: &ClusterSpec,
    observed: &'a Observed,
    operations: &'a [Operation],
    now: Timestamp,
) -> Option<(&'a Operation, Timestamp)> {
    let order = spec.node_names();
    let decided = observed.engine.restart.as_ref().filter(|restart| is_ahead(observed, restart));
    let rank = |node: &str| {
        let is_decided = decided.is_some_and(|restart| restart.node == node);
        (!is_decided, order.iter().position(|name| name == node).unwrap_or(usize::MAX))
    };
    pending(observed, operations)
        .map(|operation| (operation, since(observed, operation, now)))
        .filter(|(_, since)| now.duration_since(*since) > HANGS)
        .min_by_key(|(operation, since)| (rank(&operation.target), *since, &operation.id))
}

/// Whether the pod that was to be deleted is still there.
fn is_ahead(observed: &Observed, restart: &EngineRestart) -> bool {
    observed.pods.get(&restart.node).is_some_and(|pod| pod.uid == restart.pod_uid && !pod.deleting)
}

/// Whether a node hangs, and whether its pod is restarted.
///
/// A restart is decided in one round and carried out in the next, when the status says so: then an operator that dies in
/// between neither forgets it nor does it twice.
pub fn verdict(spec: &ClusterSpec, observed: &Observed, now: Timestamp) -> Verdict {
    let look = &observed.engine;
    // Whoever runs the servers restarts them: the collection's condition asks for it.
    let Kind::Managed(_) = &spec.kind else { return Verdict::default() };
    let operations = match &look.operations {
        Sight::Seen(operations) => operations,
        // Not known is not well.
        Sight::Unseen(_) => {
            let (hung, restart) = (look.hung.clone(), look.restart.clone());
            return Verdict { soon: hung.is_some(), hung, restart, ..Verdict::default() };
        }
    };
    let done = look.restart.clone().filter(|restart| !is_ahead(observed, restart));
    let soon = pending(observed, operations).next().is_some();
    let Some((operation, since)) = hung(spec, observed, operations, now) else {
        return Verdict { restart: done, soon, ..Verdict::default() };
    };
    let mut hung = HungEngine {
        node: operation.target.clone(),
        operation: operation.id.clone(),
        since: Time(whole_seconds(since)),
        waiting_for: None,
        needs_person: false,
    };
    let pod = match may_restart(spec, observed, operations, &hung, done.as_ref(), now) {
        Ok(pod) => pod,
        Err(Obstacle { text, person, asks }) => {
            hung.waiting_for = Some(text);
            hung.needs_person = person;
            // What waits for a person is looked at as often as anything else.
            return Verdict { hung: Some(hung), restart: look.restart.clone(), now: None, soon: !person, asks };
        }
    };
    let decided = look.restart.clone().filter(|restart| restart.node == hung.node && restart.pod_uid == pod.uid);
    let restart = decided.clone().unwrap_or_else(|| EngineRestart {
        node: hung.node.clone(),
        operation: hung.operation.clone(),
        pod_uid: pod.uid.clone(),
        at: Time(whole_seconds(now)),
    });
    Verdict { hung: Some(hung), restart: Some(restart), now: decided, soon: true, asks: false }
}

/// The pod that may be restarted now.
///
/// A restart is a step as any other: one node at a time, in a cluster that is well, and never one that takes the last
/// living replica of a shard down: that is a person's to decide (law 11).
fn may_restart<'a>(
    spec: &ClusterSpec,
    observed: &'a Observed,
    operations: &[Operation],
    hung: &HungEngine,
    done: Option<&EngineRestart>,
    now: Timestamp,
) -> Result<&'a PodView, Obstacle> {
    let HungEngine { node, operation, .. } = hung;
    let (namespace, look) = (&spec.namespace, &observed.engine);
    if let Some(done) = done.filter(|done| done.operation == *operation) {
        return Err(Obstacle::for_a_person(format!(
            "it was restarted for that at {} already, which did not help: look at its log (kubectl logs --namespace {namespace} {node})",
            done.at.0
        )));
    }
    if let Some(why) = &look.withheld {
        return Err(Obstacle::passing(why));
    }
    if let Some(done) = done.filter(|done| now.duration_since(done.at.0) < BETWEEN_RESTARTS) {
        return Err(Obstacle::passing(format!(
            "{} was restarted at {}, and there are {} minutes between two restarts",
            done.node,
            done.at.0,
            BETWEEN_RESTARTS.as_mins()
        )));
    }
    if let Some((reason, trouble)) = judge::standing(spec, observed).trouble {
        // The restarts that a person was asked for heal it as well.
        return Err(match reason {
            Reason::RestartRequired => Obstacle::for_a_person(trouble),
            _ => Obstacle::passing(trouble),
        });
    }
    if observed.stateful_set.as_ref().is_none_or(|set| set.pending) {
        return Err(Obstacle::passing("the StatefulSet has just been changed"));
    }
    let pod = observed.pods.get(node).filter(|pod| !pod.deleting);
    let Some(pod) = pod.filter(|_| observed.pods.values().all(|pod| !pod.deleting)) else {
        return Err(Obstacle::passing("a pod is being deleted"));
    };
    let nodes = spec.node_names().len();
    let by_hand = format!("when that is acceptable: kubectl delete pod --namespace {namespace} {node}");
    if nodes.saturating_sub(1) * 2 <= nodes {
        return Err(Obstacle::for_a_person(format!("without it there is no majority of the {nodes} nodes; {by_hand}")));
    }
    // The copies from it would begin anew.
    let from = operations.iter().filter(|operation| operation.source == *node && is_under_way(operation)).count();
    if from > 0 && now.duration_since(hung.since.0) < COPIES_END {
        return Err(Obstacle::passing("copies from it are under way"));
    }
    match &look.placement {
        None => Err(Obstacle { asks: true, ..Obstacle::passing("where the shards are is being looked at") }),
        Some(Sight::Unseen(blindness)) => Err(Obstacle::passing(&blindness.message)),
        Some(Sight::Seen(classes)) => match taken_down(node, classes, observed) {
            Some(lost) => Err(Obstacle::for_a_person(format!(
                "it holds the only living replica of a shard of {lost}, which would be away for half a minute; {by_hand}"
            ))),
            None => Ok(pod),
        },
    }
}

/// Whether a copy gets on, as far as can be told.
fn is_under_way(operation: &Operation) -> bool {
    operation.state == OperationState::Active
        && matches!(operation.stage, Stage::Copying | Stage::Finalizing)
        && !operation.dropping
        && operation.error.is_none()
}

/// The collections with a shard whose only living replica is at this node.
fn taken_down(node: &str, classes: &[ClassPlacement], observed: &Observed) -> Option<String> {
    let lives = |name: &String| {
        observed.nodes.iter().any(|seen| seen.name == *name && seen.answer.seen().is_some_and(|answer| answer.ready))
    };
    let needs = |class: &&ClassPlacement| {
        class.placement.iter().any(|shard| {
            shard.replicas.iter().any(|replica| replica == node)
                && !shard.replicas.iter().any(|replica| replica != node && lives(replica))
        })
    };
    let names: BTreeSet<&str> = classes.iter().filter(needs).map(|class| class.class.as_str()).collect();
    let shown: Vec<&str> = names.iter().copied().take(NAMED).collect();
    match names.len() {
        0 => None,
        all if all > NAMED => Some(format!("{} and {} other collections", shown.join(", "), all - NAMED)),
        _ => Some(shown.join(", ")),
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
