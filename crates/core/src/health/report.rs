//! The whole judgement: what programs get as JSON and people as tables.

use serde::Serialize;

use super::{
    BackupReport, ClusterReport, CollectionReport, FeedReport, NodeReport, OperatorReport, RestoreReport, Standing,
    UNREADABLE, Unread, Verdict,
};

/// Everything that was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The worst of all below.
    pub verdict: Verdict,
    /// What the command ends with.
    pub exit_code: u8,
    /// The operator itself.
    pub operator: OperatorReport,
    /// The clusters with what belongs to them, by namespace and name; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<ClusterReport>>,
    /// What belongs to no cluster that was seen.
    #[serde(skip_serializing_if = "Unattached::is_empty")]
    pub unattached: Unattached,
    /// Kinds that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableKind>,
}

/// What belongs to a cluster whose object was not seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unattached {
    /// Collections, by namespace and name.
    pub collections: Vec<CollectionReport>,
    /// Feeds, by namespace and name.
    pub feeds: Vec<FeedReport>,
    /// Backups, by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupReport>,
    /// Restores, by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<RestoreReport>,
}

/// A kind of which nothing is known.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableKind {
    /// The kind.
    pub kind: String,
    /// Why it could not be read.
    pub message: String,
    /// The next command to run.
    pub next: String,
}

/// One thing that is not healthy, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What it is about, e.g. `collection search/articles`.
    pub subject: String,
    /// One word for why.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// The next command to run.
    pub next: Option<String>,
}

impl Report {
    pub(super) fn new(
        operator: OperatorReport,
        clusters: Option<Vec<ClusterReport>>,
        unattached: Unattached,
        unreadable: Vec<UnreadableKind>,
    ) -> Self {
        let mut report = Self { verdict: Verdict::Healthy, exit_code: 0, operator, clusters, unattached, unreadable };
        if report.operator.verdict != Verdict::Healthy {
            report.standings_mut().for_each(Standing::doubt_for_silence);
            let nodes = report.clusters.iter_mut().flatten().flat_map(|cluster| cluster.nodes.iter_mut().flatten());
            nodes.for_each(NodeReport::doubt_for_silence);
        }
        report.verdict = report.worst();
        report.exit_code = report.verdict.exit_code();
        report
    }

    fn worst(&self) -> Verdict {
        let nodes = self.known_clusters().flat_map(ClusterReport::known_nodes).map(|node| node.verdict);
        let objects = self.subjects().into_iter().map(|(_, standing)| standing.verdict);
        let unread = self.unreadable.iter().map(|_| Verdict::Unknown);
        Verdict::worst(nodes.chain(objects).chain(unread).chain([self.operator.verdict]))
    }

    /// Every cluster that is known.
    pub fn known_clusters(&self) -> impl Iterator<Item = &ClusterReport> {
        self.clusters.iter().flatten()
    }

    /// Every collection, those of no known cluster last.
    pub fn collections(&self) -> impl Iterator<Item = &CollectionReport> {
        let attached = self.known_clusters().flat_map(|cluster| cluster.collections.iter().flatten());
        attached.chain(&self.unattached.collections)
    }

    /// Every feed, those of no known cluster last.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedReport> {
        self.known_clusters().flat_map(|cluster| cluster.feeds.iter().flatten()).chain(&self.unattached.feeds)
    }

    /// Every backup, those of no known cluster last.
    pub fn backups(&self) -> impl Iterator<Item = &BackupReport> {
        self.known_clusters().flat_map(|cluster| cluster.backups.iter().flatten()).chain(&self.unattached.backups)
    }

    /// Every restore, those of no known cluster last.
    pub fn restores(&self) -> impl Iterator<Item = &RestoreReport> {
        self.known_clusters().flat_map(|cluster| cluster.restores.iter().flatten()).chain(&self.unattached.restores)
    }

    /// How every object stands, with the words that name it.
    pub fn subjects(&self) -> Vec<(String, &Standing)> {
        let clusters = self.known_clusters();
        let clusters = clusters.map(|it| (subject("cluster", &it.namespace, &it.name), &it.standing));
        let collections = self.collections();
        let collections = collections.map(|it| (subject("collection", &it.namespace, &it.name), &it.standing));
        let feeds = self.feeds().map(|it| (subject("feed", &it.namespace, &it.name), &it.standing));
        let backups = self.backups().map(|it| (subject("backup", &it.namespace, &it.name), &it.standing));
        let restores = self.restores().map(|it| (subject("restore", &it.namespace, &it.name), &it.standing));
        clusters.chain(collections).chain(feeds).chain(backups).chain(restores).collect()
    }

    fn standings_mut(&mut self) -> impl Iterator<Item = &mut Standing> {
        let clusters = self.clusters.iter_mut().flatten().flat_map(|cluster| {
            let collections = cluster.collections.iter_mut().flatten().map(|it| &mut it.standing);
            let feeds = cluster.feeds.iter_mut().flatten().map(|it| &mut it.standing);
            let backups = cluster.backups.iter_mut().flatten().map(|it| &mut it.standing);
            let restores = cluster.restores.iter_mut().flatten().map(|it| &mut it.standing);
            collections.chain(feeds).chain(backups).chain(restores).chain([&mut cluster.standing])
        });
        let collections = self.unattached.collections.iter_mut().map(|it| &mut it.standing);
        let feeds = self.unattached.feeds.iter_mut().map(|it| &mut it.standing);
        let backups = self.unattached.backups.iter_mut().map(|it| &mut it.standing);
        let restores = self.unattached.restores.iter_mut().map(|it| &mut it.standing);
        clusters.chain(collections).chain(feeds).chain(backups).chain(restores)
    }

    /// What is not healthy, worst first. What follows from another finding alone is left out.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.operator_finding();
        findings.extend(self.unreadable.iter().map(UnreadableKind::finding));
        let unwell = self.subjects().into_iter().filter(|(_, standing)| standing.verdict != Verdict::Healthy);
        findings.extend(unwell.filter(|(_, standing)| !standing.only_doubted()).map(|(subject, standing)| Finding {
            verdict: standing.verdict,
            subject,
            reason: standing.reason.clone(),
            message: standing.message.clone(),
            next: standing.next.clone(),
        }));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        findings
    }

    fn operator_finding(&self) -> Vec<Finding> {
        if self.operator.verdict == Verdict::Healthy {
            return Vec::new();
        }
        vec![Finding {
            verdict: self.operator.verdict,
            subject: "operator".to_owned(),
            reason: self.operator.reason.clone(),
            message: self.operator.message.clone(),
            next: self.operator.next.clone(),
        }]
    }

    /// Whether both say the same but for the operator's heartbeat, which moves all the time.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let quiet = |report: &Self| {
            let mut report = report.clone();
            report.operator.renewed_at = None;
            report.operator.renewed_seconds_ago = None;
            report
        };
        quiet(self) == quiet(other)
    }
}

impl Unattached {
    fn is_empty(&self) -> bool {
        let Self { collections, feeds, backups, restores } = self;
        collections.is_empty() && feeds.is_empty() && backups.is_empty() && restores.is_empty()
    }
}

impl UnreadableKind {
    pub(super) fn new(kind: &str, why: &Unread) -> Self {
        let Unread { message, next } = why.clone();
        Self { kind: kind.to_owned(), message, next }
    }

    fn finding(&self) -> Finding {
        Finding {
            verdict: Verdict::Unknown,
            subject: self.kind.clone(),
            reason: UNREADABLE.to_owned(),
            message: format!("could not be read: {}", self.message),
            next: Some(self.next.clone()),
        }
    }
}

fn subject(kind: &str, namespace: &str, name: &str) -> String {
    match namespace {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}
