//! What a look at a cluster gave.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::sight::Sight;

/// Everything that one look at a cluster gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The StatefulSet; `None` when there is none, always for an external cluster.
    pub stateful_set: Option<StatefulSetView>,
    /// The pods by name.
    pub pods: BTreeMap<String, PodView>,
    /// What each node says at its own address, in the order of the spec's nodes.
    pub nodes: Vec<NodeSight>,
    /// What the cluster's common address says: names of the members. Only for external clusters without node addresses.
    pub members: Sight<MemberSight>,
    /// Whether the Secret with the API key is there; `Unseen` when it lacks the key. `Seen(false)`: no such Secret.
    pub secret: Sight<bool>,
    /// Whether the Elysia service was ever started.
    pub elysia_exists: bool,
    /// Whether there was a cluster before: it was Ready once, or volumes of further nodes exist.
    pub lived_before: bool,
    /// Since when the members are known not to see each other; `None` when they do, or when it was not looked at yet.
    pub unverified_since: Option<Timestamp>,
    /// What shows whether a node's replication engine hangs. Only of managed clusters.
    pub engine: super::engine::Look,
}

/// What matters of a StatefulSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StatefulSetView {
    /// Declared replicas.
    pub replicas: i32,
    /// Revision that a new pod would get.
    pub update_revision: Option<String>,
    /// Whether its controller has yet to see the newest spec: until then the revision is that of the spec before.
    pub pending: bool,
}

/// What matters of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodView {
    /// Identity of the pod.
    pub uid: String,
    /// Revision of the template that it was made from.
    pub revision: Option<String>,
    /// When its container was started last.
    pub started: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Why its container does not run: the runtime's reason and message.
    pub trouble: Option<String>,
}

/// One node and what it says at its own address.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSight {
    /// Name of the node.
    pub name: String,
    /// Its answer.
    pub answer: Sight<NodeAnswer>,
}

/// What a node says of itself and of the others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeAnswer {
    /// `/v1/.well-known/ready`.
    pub ready: bool,
    /// `/v1/meta`.
    pub version: Option<String>,
    /// Names in `/v1/nodes`: the members that gossip knows as alive; `None` when the node could not say.
    pub members: Option<Vec<String>>,
    /// RAFT state in `/v1/cluster/statistics`: Leader, Follower, …
    pub raft: Option<String>,
    /// Name of the leader that it follows.
    pub leader: Option<String>,
    /// Names in its RAFT configuration.
    pub raft_members: Option<Vec<String>>,
    /// The same members as `name@address`.
    pub raft_addresses: Vec<String>,
    /// Shards on it.
    pub shards: Option<i64>,
}

/// What the common address says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MemberSight {
    /// Version of whoever answered.
    pub version: Option<String>,
    /// Names of the members.
    pub members: Vec<String>,
    /// Name of the leader.
    pub leader: Option<String>,
    /// Members of the RAFT configuration as `name@address`.
    pub raft_addresses: Vec<String>,
}
