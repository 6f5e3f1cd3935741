//! Why is this object as it is? The chain from its condition down to the cause, and what to do about it.
//!
//! ```text
//! feed ─▶ collection ─▶ cluster ─▶ node
//! restore ─▶ backup ──────▶┘ └───▶ operator (whose silence makes every good word a rumour)
//! ```
//!
//! The cause is the last link of the chain that is unwell: a feed that waits for its collection, which waits for its
//! cluster, which misses a node, is told to look after the node.

use elysia_api::collection::{PlanStatus, Verdict as DriftVerdict};
use elysia_api::condition::ConditionType;
use serde::Serialize;

use super::{
    BackupReport, ClusterReport, CollectionReport, FeedReport, NodeReport, Report, RestoreReport, Standing, Verdict,
};
use crate::condition::find;

/// One link of the chain.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What it is about, e.g. `collection search/articles`.
    pub subject: String,
    /// How it stands.
    pub verdict: Verdict,
    /// One word for why.
    pub reason: String,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What belongs to it: other conditions, drift, the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The next command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The whole answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// The object and, one after another, what it depends on.
    pub chain: Vec<Link>,
    /// The last link that is unwell; absent when all are well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Why {
    /// The worst of the chain.
    pub fn verdict(&self) -> Verdict {
        Verdict::worst(self.chain.iter().map(|link| link.verdict))
    }
}

/// The chains of every object of this name, by kind: `kind` is one of `cluster`, `collection`, `feed`,
/// `backup`, `restore`; any when `None`.
/// A collection is found by its name in Weaviate, too.
pub fn why(report: &Report, kind: Option<&str>, name: &str) -> Vec<Why> {
    let wanted = |of: &str| kind.is_none_or(|kind| kind == of);
    let feeds = report.feeds().filter(|it| wanted("feed") && it.name == name).map(|feed| of_feed(report, feed));
    let collections = report
        .collections()
        .filter(|it| wanted("collection") && (it.name == name || it.collection == name))
        .map(|collection| of_collection(report, collection));
    let clusters = report
        .known_clusters()
        .filter(|it| wanted("cluster") && it.name == name)
        .map(|cluster| of_cluster(report, cluster));
    let restores = report.restores().filter(|it| wanted("restore") && it.name == name);
    let restores = restores.map(|restore| of_restore(report, restore));
    let backups = report.backups().filter(|it| wanted("backup") && it.name == name);
    let backups = backups.map(|backup| of_backup(report, backup));
    feeds.chain(collections).chain(clusters).chain(restores).chain(backups).map(finished).collect()
}

fn finished(chain: Vec<Link>) -> Why {
    let cause = chain.iter().rev().find(|link| link.verdict != Verdict::Healthy);
    Why { cause: cause.map(|link| link.subject.clone()), next: cause.and_then(|link| link.next.clone()), chain }
}

fn of_feed(report: &Report, feed: &FeedReport) -> Vec<Link> {
    let mut chain = vec![link("feed", &feed.namespace, &feed.name, &feed.standing, feed_details(feed))];
    let target = report.collections().find(|collection| {
        (&collection.namespace, &collection.cluster, &collection.collection)
            == (&feed.namespace, &feed.cluster, &feed.collection)
    });
    match target {
        Some(collection) => chain.extend(of_collection(report, collection)),
        None => chain.extend(cluster_named(report, &feed.namespace, &feed.cluster)),
    }
    chain
}

fn of_collection(report: &Report, collection: &CollectionReport) -> Vec<Link> {
    let CollectionReport { namespace, name, standing, .. } = collection;
    let mut chain = vec![link("collection", namespace, name, standing, collection_details(collection))];
    chain.extend(cluster_named(report, namespace, &collection.cluster));
    chain
}

fn of_restore(report: &Report, restore: &RestoreReport) -> Vec<Link> {
    let RestoreReport { namespace, name, standing, .. } = restore;
    let mut details = other_conditions(standing);
    details.extend(restore.plan.iter().map(plan_detail));
    let mut chain = vec![link("restore", namespace, name, standing, details)];
    // The policy may be of another cluster, and what it says is about its own runs alone.
    let of = restore.from.as_ref().and_then(|from| {
        report.backups().find(|it| (it.namespace.as_str(), it.name.as_str()) == (namespace.as_str(), from.as_str()))
    });
    chain.extend(of.map(backup_link));
    chain.extend(cluster_named(report, namespace, &restore.cluster));
    chain
}

fn of_backup(report: &Report, backup: &BackupReport) -> Vec<Link> {
    let mut chain = vec![backup_link(backup)];
    chain.extend(cluster_named(report, &backup.namespace, &backup.cluster));
    chain
}

fn backup_link(backup: &BackupReport) -> Link {
    let mut details = other_conditions(&backup.standing);
    details.extend(backup.plan.iter().map(plan_detail));
    link("backup", &backup.namespace, &backup.name, &backup.standing, details)
}

fn cluster_named(report: &Report, namespace: &str, name: &str) -> Vec<Link> {
    let found = report.known_clusters().find(|it| (it.namespace.as_str(), it.name.as_str()) == (namespace, name));
    found.map_or_else(|| operator(report), |cluster| of_cluster(report, cluster))
}

fn of_cluster(report: &Report, cluster: &ClusterReport) -> Vec<Link> {
    let ClusterReport { namespace, name, standing, .. } = cluster;
    let mut chain = vec![link("cluster", namespace, name, standing, other_conditions(standing))];
    let unwell = cluster.known_nodes().filter(|node| node.verdict != Verdict::Healthy && !standing.only_doubted());
    chain.extend(unwell.map(|node| node_link(namespace, standing, node)));
    chain.extend(operator(report));
    chain
}

fn node_link(namespace: &str, cluster: &Standing, node: &NodeReport) -> Link {
    Link {
        subject: format!("node {namespace}/{}", node.status.name),
        verdict: node.verdict,
        reason: "NotReady".to_owned(),
        message: node.status.waiting_for.clone().unwrap_or_default(),
        details: Vec::new(),
        next: cluster.next.clone(),
    }
}

/// A silent operator is the last link of every chain; one that is heard is none.
fn operator(report: &Report) -> Vec<Link> {
    if report.operator.verdict == Verdict::Healthy {
        return Vec::new();
    }
    vec![Link {
        subject: "operator".to_owned(),
        verdict: report.operator.verdict,
        reason: report.operator.reason.clone(),
        message: report.operator.message.clone(),
        details: Vec::new(),
        next: report.operator.next.clone(),
    }]
}

fn link(kind: &str, namespace: &str, name: &str, standing: &Standing, details: Vec<String>) -> Link {
    Link {
        subject: format!("{kind} {namespace}/{name}"),
        verdict: standing.verdict,
        reason: standing.reason.clone(),
        message: standing.message.clone(),
        details: details.into_iter().chain(standing.warnings.clone()).collect(),
        next: standing.next.clone(),
    }
}

/// Conditions that are False, besides Ready and what says the same again.
fn other_conditions(standing: &Standing) -> Vec<String> {
    let ready = find(&standing.conditions, ConditionType::Ready);
    standing
        .conditions
        .iter()
        .filter(|condition| condition.status != "True" && condition.type_ != ConditionType::Ready.as_str())
        .filter(|condition| ready.is_none_or(|ready| ready.message != condition.message))
        .map(|condition| {
            let since = condition.last_transition_time.0;
            format!(
                "{}={} {} since {since}: {}",
                condition.type_, condition.status, condition.reason, condition.message
            )
        })
        .collect()
}

fn collection_details(collection: &CollectionReport) -> Vec<String> {
    let mut details = other_conditions(&collection.standing);
    for drift in &collection.drift {
        let nothing = || "nothing".to_owned();
        let (live, wanted) = (drift.live.clone().unwrap_or_else(nothing), drift.wanted.clone().unwrap_or_else(nothing));
        let follows = match drift.verdict {
            DriftVerdict::Recreate => "only recreating the collection would change it",
            DriftVerdict::Revert => "it is put back",
            DriftVerdict::Report => "nothing is done about it",
            DriftVerdict::Adopt => "the live value stays",
        };
        details.push(format!("{} is {live}, declared is {wanted}, since {}: {follows}", drift.path, drift.since.0));
    }
    for shard in &collection.replicas.worst {
        details.push(format!("shard {} is at {}", shard.shard, shard.replicas.join(", ")));
    }
    details.extend(collection.plan.iter().map(plan_detail));
    details
}

fn plan_detail(plan: &PlanStatus) -> String {
    let waits = plan.waiting_for.as_ref().map_or_else(String::new, |what| format!(", waits for {what}"));
    let nature = if plan.destructive { ", destructive" } else { "" };
    format!("plan {} {}: {} steps{nature}{waits}", plan.action, plan.hash, plan.total_steps)
}

fn feed_details(feed: &FeedReport) -> Vec<String> {
    let mut details = other_conditions(&feed.standing);
    details.extend(
        feed.dead_letter
            .iter()
            .take(DEAD_LETTERS)
            .map(|letter| format!("rejected: {} at byte {}: {}", letter.file, letter.offset, letter.reason)),
    );
    details
}

/// Rejected lines that are told; the whole is `kubectl elysia index errors`' business.
const DEAD_LETTERS: usize = 3;
