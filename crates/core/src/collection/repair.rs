//! Repairs that take replicas away: what they want to know, their journal, and what may leave RAFT.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::cluster::HungEngine;
use elysia_api::collection::ShardReplicas;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::copies::{Limits, Replica};
use super::recreate::Target;
use super::spec::CollectionSpec;
use crate::sight::Sight;

/// How long an operation may stay where nothing moves it before it is dealt with: a copy that its target has not taken
/// up, one whose source or target is away. Taking up took 0 to 21 s when measured (`weaviate-lab` §1).
pub const STUCK: SignedDuration = SignedDuration::from_secs(120);

/// How long a copy may stand in one state with errors before it is made anew, from another source if there is one. The
/// servers try again by themselves after 5 to 15 s, but some errors come back for ever: after a node was killed 1.38.2
/// stood at 23 times `open changelog … file exists` and at `no active change-capture log for that op-id`.
pub const TROUBLED: SignedDuration = SignedDuration::from_secs(60);

/// How long a living target may take to delete or cancel a copy before its replication engine hangs. It took 4 to 12 s
/// when measured (`weaviate-lab` §7); by 1.38's source a healthy engine needs 45 s at most: 5 s until it looks, 15 s
/// until it tries again after an error, 20 s for the cleaning. Hung, none was deleted in minutes, until that node was
/// restarted: then all within 35 s.
pub const HANGS: SignedDuration = SignedDuration::from_secs(60);

/// How long every member may take to say that a copied replica is there. It took 0.3 s at most when all were alive
/// (`weaviate-lab` §4).
pub const INTEGRATES: SignedDuration = SignedDuration::from_secs(30);

/// How long replicas may differ before they are made again. An empty replica was full again after 23 to 33 s by the
/// servers' own repair (`weaviate-lab` §3); large ones take longer.
pub const HEALS: SignedDuration = SignedDuration::from_secs(300);

/// How long a step of an approved plan may find its precondition unfulfilled before the plan is stopped.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(600);

/// Replicas that one plan takes away: its journal must fit into a ConfigMap of 1 MiB, and a tenant's name may have 64
/// letters. What is left over is the next plan's.
pub const VICTIMS: usize = 4000;

/// Tenants whose ids are compared after a repair; each costs a list at every node.
pub const COMPARED_TENANTS: usize = 200;

/// What a plan does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Action {
    /// Takes replicas away that are more than wanted.
    Remove,
    /// Takes a node that will never come back out of the collection and out of RAFT, after others have its replicas.
    Replace,
    /// Takes replicas away that lack objects, and copies them anew.
    Rebuild,
}

impl Action {
    /// The word of `status.plan.action`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "Remove",
            Self::Replace => "Replace",
            Self::Rebuild => "Rebuild",
        }
    }
}

/// An approved plan that takes replicas away: written down before its first step, so that its approval serves once.
///
/// Where it is follows from what the servers say; the cursor only keeps what they do not say.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Hash of the approved plan.
    pub hash: String,
    /// Number of such plans of this object, this one included. Part of the next plan's hash.
    pub attempts: i64,
    /// What it does.
    pub action: Action,
    /// The servers; `None` in a journal of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Name of the collection.
    pub collection: String,
    /// The factor to which it was made.
    pub factor: i64,
    /// Replicas that are taken away, in this order.
    pub victims: Vec<Replica>,
    /// Nodes that are taken out of RAFT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Victims that were dealt with.
    pub cursor: usize,
    /// Whether the victim at the cursor was taken away and is copied anew.
    #[serde(default)]
    pub removed: bool,
    /// Since when the cursor stands there.
    pub since: Timestamp,
    /// Whether it is over.
    pub over: bool,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Journal {
    /// The victim whose turn it is.
    pub fn victim(&self) -> Option<&Replica> {
        self.victims.get(self.cursor)
    }

    /// Whether another journal is of the same approval.
    pub fn is_of_the_same_plan(&self, other: &Self) -> bool {
        (&self.hash, self.attempts) == (&other.hash, other.attempts)
    }

    /// Why it was approved for something else than its object declares now, if so: then it is ended.
    pub fn contradicts(&self, spec: &CollectionSpec) -> Option<&'static str> {
        if self.collection != spec.collection {
            return Some("it speaks of another collection");
        }
        (self.factor != spec.factor).then_some("replication.factor was changed")
    }

    /// Why no replica may be taken away by it, by what its object says now.
    pub fn held_up(&self, spec: &CollectionSpec) -> Option<String> {
        let paused = spec.paused.then_some("elysia.dev/paused was set");
        paused.or_else(|| self.contradicts(spec)).map(str::to_owned)
    }

    /// The journal with the next victim.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Self {
        Self { cursor: self.cursor + 1, removed: false, since: now, ..self.clone() }
    }

    /// The journal at its end.
    #[must_use]
    pub fn ended(&self, stopped: Option<String>, now: Timestamp) -> Self {
        Self { over: true, stopped, since: now, ..self.clone() }
    }
}

/// One replica that is to be taken away, and what has to hold right before it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removal {
    /// The replica.
    pub victim: Replica,
    /// Living nodes that keep the shard. Each must list every object that the victim lists.
    pub keepers: Vec<String>,
    /// Whether the victim can be asked: one that is gone cannot.
    pub compared: bool,
    /// Whether the shard is a tenant.
    pub tenant: bool,
    /// Living replicas that must be left.
    pub needed: usize,
}

/// How awake a tenant is, as far as copies depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Activity {
    /// It can be asked and copied.
    Hot,
    /// It can be copied, and is hot afterwards (`weaviate-lab` §5).
    Cold,
    /// Offloaded or on its way: it can be neither.
    Away,
}

/// Objects that a node lacks although another one lists them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gap {
    /// Objects that were missing in the list, and still were when asked for by id. At least so many.
    pub missing: i64,
}

/// A class of the server and where its replicas are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClassPlacement {
    /// Its name.
    pub class: String,
    /// The factor that it declares.
    pub factor: i64,
    /// Its shards.
    pub placement: Vec<ShardReplicas>,
}

/// Who restarts a node whose replication engine hangs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Restarter {
    /// A person: somebody else runs the servers.
    #[default]
    Person,
    /// The operator, and what it says of the node that hangs.
    Operator(Option<HungEngine>),
}

/// What the repair of replicas wants to know; what costs is asked only when the first look makes it worth asking.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The journal of an approved plan that takes replicas away.
    pub journal: Sight<Option<Journal>>,
    /// How many copies may run.
    pub limits: Limits,
    /// Copies to each node that run now, those of all collections; `None` when it is not known.
    pub running: Option<BTreeMap<String, usize>>,
    /// When each operation was first seen where it is now. Known to this process only: forgetting it costs time.
    pub seen: BTreeMap<String, Timestamp>,
    /// Copies that get on, to each node, those of all collections.
    pub busy: BTreeMap<String, usize>,
    /// Shards and sources with which a copy went wrong a while ago. Known to this process only.
    pub avoided: BTreeSet<(String, String)>,
    /// Who restarts a node whose replication engine hangs.
    pub restarter: Restarter,
    /// Nodes that had no room, and the server's words. Known to this process only.
    pub full: BTreeMap<String, String>,
    /// How awake each tenant is.
    pub tenants: Option<Sight<BTreeMap<String, Activity>>>,
    /// Names in the RAFT configuration.
    pub raft: Option<Sight<Vec<String>>>,
    /// Why the gone nodes must not leave RAFT yet; `Seen(None)` when they may.
    pub blocked: Option<Sight<Option<String>>>,
    /// Nodes whose data port is known.
    pub data_ports: Vec<String>,
    /// What each node lacks, where the lists differed.
    pub gaps: Option<Sight<BTreeMap<String, Gap>>>,
    /// Tenants that were compared, when their lists were.
    pub compared: Option<usize>,
    /// When the factor was last asked to be raised at servers that copy by themselves for it. Known to this process only.
    pub raised: Option<Timestamp>,
    /// Why the proof of before says nothing any more.
    pub voided: Option<String>,
    /// Whether numbers of a running repair may be written into the status again.
    pub tells: bool,
    /// Where the servers cannot say where replicas are, but count them: replicas of each shard, and whether the
    /// collection could not be copied.
    pub counted: Option<Sight<BTreeMap<String, i64>>>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            journal: Sight::Seen(None),
            limits: Limits::default(),
            running: None,
            seen: BTreeMap::new(),
            busy: BTreeMap::new(),
            avoided: BTreeSet::new(),
            restarter: Restarter::default(),
            full: BTreeMap::new(),
            tenants: None,
            raft: None,
            blocked: None,
            data_ports: Vec::new(),
            gaps: None,
            compared: None,
            raised: None,
            voided: None,
            tells: true,
            counted: None,
        }
    }
}

/// What is to be asked for the repair.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// How awake the tenants are.
    pub tenants: bool,
    /// The RAFT configuration, and whether gone nodes may leave it.
    pub raft: bool,
}

/// Why this node must not leave RAFT; `None` when it may.
///
/// With the removal 1.38 drops the node from every shard of every class, and where that leaves no more replicas than the
/// class's factor it adds an **empty** one beside (`weaviate-lab` §0.5): of a shard that had its only data there nothing is
/// left. So each shard that names it needs as many living holders besides as its class declares.
pub fn stays_in_raft(node: &str, classes: &[ClassPlacement], members: &[String]) -> Option<String> {
    if members.iter().any(|member| member == node) {
        return Some(format!("{node} is alive"));
    }
    for class in classes {
        for shard in class.placement.iter().filter(|shard| shard.replicas.iter().any(|replica| replica == node)) {
            let living = shard.replicas.iter().filter(|replica| members.contains(replica)).count();
            let wanted = usize::try_from(class.factor).unwrap_or(usize::MAX).max(1);
            if living == 0 {
                return Some(format!(
                    "shard {} of {} has no living replica: {node} held the only data. Bring it back, or restore {} from a backup and delete the old one",
                    shard.shard, class.class, class.class
                ));
            }
            if living < wanted {
                return Some(format!(
                    "shard {} of {} has {living} living replicas of {wanted}: repair that collection first, or lower its factor",
                    shard.shard, class.class
                ));
            }
        }
    }
    None
}

/// The nodes that hold a shard and are alive, without one of them.
pub fn keepers(placement: &[ShardReplicas], victim: &Replica, members: &[String]) -> Vec<String> {
    let shard = placement.iter().find(|shard| shard.shard == victim.shard);
    let holders: BTreeSet<&String> = shard.into_iter().flat_map(|shard| &shard.replicas).collect();
    holders.into_iter().filter(|node| **node != victim.node && members.contains(node)).cloned().collect()
}

/// Nodes that lack objects, and whether every other node lacks none, so that they can be made anew from those.
///
/// The error says why nothing may be taken away.
pub fn incomplete(gaps: &BTreeMap<String, Gap>) -> Result<Vec<String>, String> {
    let (lacking, whole): (Vec<_>, Vec<_>) = gaps.iter().partition(|(_, gap)| gap.missing > 0);
    if whole.is_empty() && !lacking.is_empty() {
        let each: Vec<String> = lacking.iter().map(|(node, gap)| format!("{node} lacks {}", gap.missing)).collect();
        return Err(format!("every node lacks objects that another one has ({})", each.join(", ")));
    }
    Ok(lacking.into_iter().map(|(node, _)| node.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    fn class(name: &str, factor: i64, shards: &str) -> ClassPlacement {
        let placement = shards
            .split(' ')
            .enumerate()
            .map(|(at, nodes)| ShardReplicas { shard: format!("s{at}"), replicas: names(nodes) })
            .collect();
        ClassPlacement { class: name.to_owned(), factor, placement }
    }

    #[test]
    fn a_node_leaves_raft_only_when_no_class_needs_it() {
        let table = [
            (vec![class("A", 2, "abz bc")], "abc", ""),
            (vec![class("A", 2, "az bc")], "abc", "shard s0 of A has 1 living replicas of 2"),
            (vec![class("A", 1, "az")], "abc", ""),
            // Factor 1 and the only data: never.
            (vec![class("A", 2, "abz"), class("B", 1, "a z")], "abc", "shard s1 of B has no living replica"),
            // As many as there were nodes: the factor first.
            (vec![class("A", 4, "abcz")], "abc", "shard s0 of A has 3 living replicas of 4"),
            (vec![class("A", 3, "abcz")], "abc", ""),
            (vec![class("A", 1, "a")], "abz", "z is alive"),
            (vec![], "abc", ""),
        ];
        for (classes, members, expected) in table {
            let why = stays_in_raft("z", &classes, &names(members)).unwrap_or_default();
            assert!(if expected.is_empty() { why.is_empty() } else { why.starts_with(expected) }, "{classes:?}: {why}");
        }
    }

    #[test]
    fn whoever_lacks_objects_is_made_anew_from_those_who_lack_none() {
        let gaps = |text: &str| {
            let parts = text.split(' ').map(|part| part.split_once(':').unwrap());
            parts.map(|(node, missing)| (node.to_owned(), Gap { missing: missing.parse().unwrap() })).collect()
        };
        assert_eq!(incomplete(&gaps("a:0 b:0")), Ok(vec![]));
        assert_eq!(incomplete(&gaps("a:0 b:5 c:0")), Ok(vec!["b".to_owned()]));
        assert_eq!(
            incomplete(&gaps("a:1 b:5")).unwrap_err(),
            "every node lacks objects that another one has (a lacks 1, b lacks 5)"
        );
    }
}
