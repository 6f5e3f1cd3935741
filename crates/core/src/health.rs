//! Is it well? The judgement that `kubectl elysia health` prints, made of the statuses that the controllers write.
//!
//! ```text
//! Sightings (what could be read, and what could not) ─▶ judge ─▶ Report (verdicts, reasons, the next command)
//!                                                        ├─ of_operator    the Lease
//!                                                        ├─ of_cluster     ┐
//!                                                        ├─ of_collection  ├ the conditions of one object
//!                                                        ├─ of_feed        │
//!                                                        ├─ of_backup      │
//!                                                        └─ of_restore     ┘
//! ```
//!
//! The conditions of an object *are* its verdict: nothing is judged here that the status has not said. What is added
//! is doubt. An object that was not read, a status that speaks about an older spec, and every good word of an operator
//! that has fallen silent are [`Verdict::Unknown`], never healthy and never zero.
//!
//! The same sightings at the same time give the same report: lists are sorted, and nothing here looks at a clock.

mod backup;
pub mod checks;
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
mod why;

use std::collections::BTreeMap;

use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

pub use backup::{BackupReport, RestoreReport, of_backup, of_restore};
pub use cluster::{ClusterReport, NodeReport, of_cluster};
pub use collection::{CollectionReport, Replicas, of_collection};
pub use feed::{FeedReport, of_feed};
pub use operator::{LEASE_PATIENCE, OperatorReport, of_operator};
pub use report::{Finding, Report, Unattached, UnreadableKind};
pub use standing::Standing;
pub use verdict::Verdict;
pub use why::{Link, Why, why};

/// What was looked for, or why it could not be looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighted<T> {
    /// It was read.
    Seen(T),
    /// It could not be read, and this is why.
    Unreadable(Unread),
}

/// Reason of what could not be read.
pub const UNREADABLE: &str = "Unreadable";

/// Why something could not be read. Whoever tried to read it knows what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unread {
    /// What went wrong.
    pub message: String,
    /// The next command to run.
    pub next: String,
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
    /// The backup policies.
    pub backups: Listing<CollectionBackup>,
    /// The restores.
    pub restores: Listing<CollectionRestore>,
}

/// Namespace and name of a cluster.
type ClusterKey = (String, String);
type Clusters = BTreeMap<ClusterKey, ClusterReport>;

/// Judges everything that was read, as of `now`.
pub fn judge(sightings: &Sightings, now: Timestamp) -> Report {
    let operator = of_operator(&sightings.lease, &sightings.operator_namespace, now);
    let mut unreadable = Vec::new();
    let mut clusters = clusters(sightings, &mut unreadable);
    let mut unattached = Unattached::default();
    attach_collections(sightings, &mut clusters, &mut unattached, &mut unreadable);
    attach_feeds(sightings, &mut clusters, &mut unattached, &mut unreadable);
    attach_backups(sightings, &mut clusters, &mut unattached, &mut unreadable, now);
    attach_restores(sightings, &mut clusters, &mut unattached, &mut unreadable);
    Report::new(operator, clusters.map(|clusters| clusters.into_values().collect()), unattached, unreadable)
}

/// The clusters that were asked for; `None` when they could not be read.
fn clusters(sightings: &Sightings, unreadable: &mut Vec<UnreadableKind>) -> Option<Clusters> {
    let scope = &sightings.scope;
    let listed = readable("WeaviateCluster", &sightings.clusters, unreadable)?;
    let mut reports: Clusters = listed
        .iter()
        .map(ClusterReport::of)
        .filter(|report| scope.cluster.as_ref().is_none_or(|wanted| *wanted == report.name))
        .map(|report| (key(&report.namespace, &report.name), report))
        .collect();
    if let Some(wanted) = scope.cluster.as_ref().filter(|_| reports.is_empty()) {
        let report = ClusterReport::not_found(scope.namespace.clone().unwrap_or_default(), wanted.clone());
        reports.insert(key(&report.namespace, &report.name), report);
    }
    Some(reports)
}

fn attach_collections(
    sightings: &Sightings,
    clusters: &mut Option<Clusters>,
    unattached: &mut Unattached,
    unreadable: &mut Vec<UnreadableKind>,
) {
    let Some(listed) = readable("ElysiaCollection", &sightings.collections, unreadable) else {
        return;
    };
    let mut reports: Vec<_> = listed.iter().map(CollectionReport::of).collect();
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    clusters.iter_mut().flat_map(BTreeMap::values_mut).for_each(|cluster| cluster.collections = Some(Vec::new()));
    for mut report in reports {
        let home = clusters.as_mut().and_then(|all| all.get_mut(&key(&report.namespace, &report.cluster)));
        match home {
            Some(cluster) => cluster.collections.get_or_insert_default().push(report),
            None if sightings.scope.leaves_out(&report.cluster) => {}
            None => {
                if clusters.is_some() {
                    report.standing.doubt_for_missing_cluster(&report.cluster);
                }
                unattached.collections.push(report);
            }
        }
    }
}

fn attach_feeds(
    sightings: &Sightings,
    clusters: &mut Option<Clusters>,
    unattached: &mut Unattached,
    unreadable: &mut Vec<UnreadableKind>,
) {
    let Some(listed) = readable("IndexSource", &sightings.feeds, unreadable) else {
        return;
    };
    let mut reports: Vec<_> = listed.iter().map(FeedReport::of).collect();
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    clusters.iter_mut().flat_map(BTreeMap::values_mut).for_each(|cluster| cluster.feeds = Some(Vec::new()));
    for mut report in reports {
        let home = clusters.as_mut().and_then(|all| all.get_mut(&key(&report.namespace, &report.cluster)));
        match home {
            Some(cluster) => cluster.feeds.get_or_insert_default().push(report),
            None if sightings.scope.leaves_out(&report.cluster) => {}
            None => {
                if clusters.is_some() {
                    report.standing.doubt_for_missing_cluster(&report.cluster);
                }
                unattached.feeds.push(report);
            }
        }
    }
}

fn attach_backups(
    sightings: &Sightings,
    clusters: &mut Option<Clusters>,
    unattached: &mut Unattached,
    unreadable: &mut Vec<UnreadableKind>,
    now: Timestamp,
) {
    let Some(listed) = readable("CollectionBackup", &sightings.backups, unreadable) else {
        return;
    };
    let mut reports: Vec<_> = listed.iter().map(|backup| BackupReport::of(backup, now)).collect();
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    clusters.iter_mut().flat_map(BTreeMap::values_mut).for_each(|cluster| cluster.backups = Some(Vec::new()));
    for mut report in reports {
        let home = clusters.as_mut().and_then(|all| all.get_mut(&key(&report.namespace, &report.cluster)));
        match home {
            Some(cluster) => cluster.backups.get_or_insert_default().push(report),
            None if sightings.scope.leaves_out(&report.cluster) => {}
            None => {
                if clusters.is_some() {
                    report.standing.doubt_for_missing_cluster(&report.cluster);
                }
                unattached.backups.push(report);
            }
        }
    }
}

fn attach_restores(
    sightings: &Sightings,
    clusters: &mut Option<Clusters>,
    unattached: &mut Unattached,
    unreadable: &mut Vec<UnreadableKind>,
) {
    let Some(listed) = readable("CollectionRestore", &sightings.restores, unreadable) else {
        return;
    };
    let mut reports: Vec<_> = listed.iter().map(RestoreReport::of).collect();
    reports.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
    clusters.iter_mut().flat_map(BTreeMap::values_mut).for_each(|cluster| cluster.restores = Some(Vec::new()));
    for mut report in reports {
        let home = clusters.as_mut().and_then(|all| all.get_mut(&key(&report.namespace, &report.cluster)));
        match home {
            Some(cluster) => cluster.restores.get_or_insert_default().push(report),
            None if sightings.scope.leaves_out(&report.cluster) => {}
            None => {
                if clusters.is_some() {
                    report.standing.doubt_for_missing_cluster(&report.cluster);
                }
                unattached.restores.push(report);
            }
        }
    }
}

/// What was listed; where it could not be, that is written down.
fn readable<'a, K>(
    kind: &str,
    listing: &'a Listing<K>,
    unreadable: &mut Vec<UnreadableKind>,
) -> Option<&'a [Result<K, Malformed>]> {
    match listing {
        Sighted::Seen(listed) => Some(listed),
        Sighted::Unreadable(why) => {
            unreadable.push(UnreadableKind::new(kind, why));
            None
        }
    }
}

impl Scope {
    /// Whether this surely is another cluster than the one that was asked for. No name is no certainty.
    fn leaves_out(&self, cluster: &str) -> bool {
        self.cluster.as_ref().is_some_and(|wanted| !cluster.is_empty() && wanted != cluster)
    }
}

fn key(namespace: &str, name: &str) -> ClusterKey {
    (namespace.to_owned(), name.to_owned())
}
