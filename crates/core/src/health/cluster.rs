//! How a `WeaviateCluster` and its nodes stand.

use elysia_api::WeaviateCluster;
use elysia_api::cluster::{ClusterPhase, NodeStatus};
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::{BackupReport, CollectionReport, FeedReport, Malformed, RestoreReport, Standing, Verdict, next};

/// One cluster with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// One word of the status for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// Version that the servers say they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Ready nodes of all nodes, e.g. `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes_ready: Option<String>,
    /// The nodes that the status lists, those in trouble first; absent when there is no status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeReport>>,
    /// Its collections; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<CollectionReport>>,
    /// Its feeds; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feeds: Option<Vec<FeedReport>>,
    /// Its backups; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<Vec<BackupReport>>,
    /// Its restores; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restores: Option<Vec<RestoreReport>>,
}

/// One node of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Whether it is well.
    pub verdict: Verdict,
    /// The node as the status has it.
    #[serde(flatten)]
    pub status: NodeStatus,
}

/// Judges one cluster by its conditions.
pub fn of_cluster(cluster: &WeaviateCluster) -> Standing {
    let status = cluster.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let mut standing = Standing::read(cluster, observed, conditions);
    let command = next::for_cluster(cluster, &standing);
    standing.advise(command);
    standing
}

impl ClusterReport {
    pub(super) fn of(listed: &Result<WeaviateCluster, Malformed>) -> Self {
        let cluster = match listed {
            Ok(cluster) => cluster,
            Err(malformed) => {
                let standing = Standing::malformed(malformed);
                return Self::bare(malformed.namespace.clone(), malformed.name.clone(), standing);
            }
        };
        let status = cluster.status.clone().unwrap_or_default();
        let mut nodes: Vec<_> = status.nodes.into_iter().map(NodeReport::of).collect();
        nodes.sort_by(|left, right| {
            (left.status.ready, &left.status.name).cmp(&(right.status.ready, &right.status.name))
        });
        Self {
            phase: status.phase,
            version: status.version,
            nodes_ready: status.nodes_ready,
            nodes: cluster.status.is_some().then_some(nodes),
            ..Self::bare(next::namespace(cluster), cluster.name_any(), of_cluster(cluster))
        }
    }

    /// Every node that is known.
    pub fn known_nodes(&self) -> impl Iterator<Item = &NodeReport> {
        self.nodes.iter().flatten()
    }

    /// The one cluster that was asked for is not there.
    pub(super) fn not_found(namespace: String, name: String) -> Self {
        let place = match namespace.as_str() {
            "" => "any namespace".to_owned(),
            namespace => format!("namespace {namespace:?}"),
        };
        let message = format!("there is no WeaviateCluster {name:?} in {place}");
        let mut standing = Standing::new(Verdict::Fault, "NotFound", &message);
        standing.next = Some("kubectl get wvc -A".to_owned());
        Self::bare(namespace, name, standing)
    }

    fn bare(namespace: String, name: String, standing: Standing) -> Self {
        Self {
            namespace,
            name,
            standing,
            phase: None,
            version: None,
            nodes_ready: None,
            nodes: None,
            collections: None,
            feeds: None,
            backups: None,
            restores: None,
        }
    }
}

impl NodeReport {
    fn of(status: NodeStatus) -> Self {
        let verdict = if status.ready { Verdict::Healthy } else { Verdict::Fault };
        Self { verdict, status }
    }

    /// The operator is silent: that the node was ready is hearsay now.
    pub(super) fn doubt_for_silence(&mut self) {
        if self.verdict == Verdict::Healthy {
            self.verdict = Verdict::Unknown;
        }
    }

    /// One word for people.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Healthy => "ready",
            Verdict::Unknown => "unknown",
            Verdict::Fault => "not ready",
        }
    }
}
