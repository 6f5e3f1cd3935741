//! Is it well? The judgement that `kubectl elysia health` prints, made of the statuses that the controllers write.
//!
//! ```text
//! Sightings (what could be read, and what could not) ─▶ judge ─▶ Report (verdicts, reasons, the next command)
//!                                                        ├─ of_operator    the Lease
//!                                                        ├─ of_cluster     ┐
//!                                                        ├─ of_collection  ├ the conditions of one object
//!                                                        └─ of_feed        ┘
//! ```
//!
//! The conditions of an object *are* its verdict: nothing is judged here that the status has not said. What is added
//! is doubt. An object that was not read, a status that speaks about an older spec, and every good word of an operator
//! that has fallen silent are [`Verdict::Unknown`], never healthy and never zero.
//!
//! The same sightings at the same time give the same report: lists are sorted, and nothing here looks at a clock.

mod cluster;
mod collection;
mod feed;
mod next;
mod operator;
mod report;
mod standing;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

use elysia_api::{ElysiaCollection, IndexSource, WeaviateCluster};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

pub use cluster::{ClusterReport, NodeReport, of_cluster};
pub use collection::{CollectionReport, Replicas, of_collection};
pub use feed::{FeedReport, of_feed};
pub use operator::{LEASE_PATIENCE, OperatorReport, of_operator};
pub use report::{Finding, Report, Unattached, UnreadableKind};
pub use standing::Standing;
pub use verdict::Verdict;

/// What was looked for, or why it could not be looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighted<T> {
    /// It was read.
    Seen(T),
    /// It could not be read, and this is why.
    Unreadable(String),
}

/// An object that the API server listed and that does not have the shape we know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What does not fit.
    pub message: String,
}

/// All objects of one kind. One that cannot be understood does not hide the others.
pub type Listing<K> = Sighted<Vec<Result<K, Malformed>>>;

/// Which part of the cluster was looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope {
    /// The one namespace; all of them when absent.
    pub namespace: Option<String>,
    /// The one `WeaviateCluster`; all of them when absent.
    pub cluster: Option<String>,
}

/// Everything that was read for one judgement.
#[derive(Clone, Debug)]
pub struct Sightings {
    /// What was asked for.
    pub scope: Scope,
    /// Namespace in which the operator's Lease was looked for.
    pub operator_namespace: String,
    /// The operator's Lease, if there is one.
    pub lease: Sighted<Option<Lease>>,
    /// The clusters.
    pub clusters: Listing<WeaviateCluster>,
    /// The collections.
    pub collections: Listing<ElysiaCollection>,
    /// The feeds.
    pub feeds: Listing<IndexSource>,
}

/// Namespace and name of a cluster.
type ClusterKey = (String, String);

/// Judges everything that was read, as of `now`.
pub fn judge(sightings: &Sightings, now: Timestamp) -> Report {
    let operator = of_operator(&sightings.lease, &sightings.operator_namespace, now);
    let mut unreadable = Vec::new();
    let mut clusters = clusters(sightings, &mut unreadable);
    let mut unattached = Unattached::default();
    let clusters_were_read = matches!(sightings.clusters, Sighted::Seen(_));

    for mut collection in collections(sightings, &mut unreadable) {
        match clusters.get_mut(&key(&collection.namespace, &collection.cluster)) {
            Some(cluster) => cluster.collections.push(collection),
            None if collection.outside(&sightings.scope) => {}
            None => {
                if clusters_were_read {
                    collection.standing.doubt_for_missing_cluster(&collection.cluster);
                }
                unattached.collections.push(collection);
            }
        }
    }
    for mut feed in feeds(sightings, &mut unreadable) {
        match clusters.get_mut(&key(&feed.namespace, &feed.cluster)) {
            Some(cluster) => cluster.feeds.push(feed),
            None if feed.outside(&sightings.scope) => {}
            None => {
                if clusters_were_read {
                    feed.standing.doubt_for_missing_cluster(&feed.cluster);
                }
                unattached.feeds.push(feed);
            }
        }
    }

    Report::new(operator, clusters.into_values().collect(), unattached, unreadable)
}

fn clusters(sightings: &Sightings, unreadable: &mut Vec<UnreadableKind>) -> BTreeMap<ClusterKey, ClusterReport> {
    let scope = &sightings.scope;
    let mut reports = BTreeMap::new();
    match &sightings.clusters {
        Sighted::Unreadable(message) => unreadable.push(UnreadableKind::new("WeaviateCluster", message, scope)),
        Sighted::Seen(listed) => {
            for report in listed.iter().map(ClusterReport::of) {
                if scope.cluster.as_ref().is_none_or(|wanted| *wanted == report.name) {
                    reports.insert(key(&report.namespace, &report.name), report);
                }
            }
            if let Some(wanted) = scope.cluster.as_ref().filter(|_| reports.is_empty()) {
                let namespace = scope.namespace.clone().unwrap_or_default();
                let report = ClusterReport::not_found(namespace, wanted.clone());
                reports.insert(key(&report.namespace, &report.name), report);
            }
        }
    }
    reports
}

fn collections(sightings: &Sightings, unreadable: &mut Vec<UnreadableKind>) -> Vec<CollectionReport> {
    let mut reports: Vec<_> = match &sightings.collections {
        Sighted::Seen(listed) => listed.iter().map(CollectionReport::of).collect(),
        Sighted::Unreadable(message) => {
            unreadable.push(UnreadableKind::new("ElysiaCollection", message, &sightings.scope));
            Vec::new()
        }
    };
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    reports
}

fn feeds(sightings: &Sightings, unreadable: &mut Vec<UnreadableKind>) -> Vec<FeedReport> {
    let mut reports: Vec<_> = match &sightings.feeds {
        Sighted::Seen(listed) => listed.iter().map(FeedReport::of).collect(),
        Sighted::Unreadable(message) => {
            unreadable.push(UnreadableKind::new("IndexSource", message, &sightings.scope));
            Vec::new()
        }
    };
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    reports
}

fn key(namespace: &str, name: &str) -> ClusterKey {
    (namespace.to_owned(), name.to_owned())
}
