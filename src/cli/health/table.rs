//! The report for people: one block for each kind, then what is wrong and what to do about it.
//!
//! Intelligible without colour: every mark has a word beside it.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use elysia_core::health::{
    BackupReport, ClusterReport, CollectionReport, FeedReport, Finding, NodeReport, OperatorReport, Report,
    RestoreReport, UNREADABLE, Verdict,
};
use jiff::Timestamp;

use super::super::printer::{ADVICE, BAD, DOUBTFUL, GOOD, HEADING, paint, plain};
use super::details;
use super::duration::age;

/// What could not be had.
pub(super) const UNKNOWN: &str = "?";

/// Spaces between two columns, as kubectl has them.
const GAP: u16 = 3;

/// How much to show, and as of when.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Everything.
    pub(super) verbose: bool,
    /// More than one namespace may be in the report.
    pub(super) all_namespaces: bool,
    /// For ages.
    pub(super) now: Timestamp,
}

/// The whole report.
pub(super) fn render(report: &Report, view: &View) -> String {
    let mut blocks = vec![operator(&report.operator, view)];
    if report.known_clusters().next().is_some() {
        blocks.push(clusters(report, view));
    }
    if report.known_clusters().flat_map(ClusterReport::known_nodes).next().is_some() {
        blocks.push(nodes(report, view));
    }
    if report.collections().next().is_some() {
        blocks.push(collections(report.collections(), view));
    }
    if report.feeds().next().is_some() {
        blocks.push(feeds(report.feeds(), view));
    }
    if report.backups().next().is_some() {
        blocks.push(backups(report.backups(), view));
    }
    if report.restores().next().is_some() {
        blocks.push(restores(report.restores(), view));
    }
    if view.verbose {
        blocks.extend(details::blocks(report, view));
    }
    blocks.extend(findings(report, view));
    blocks.extend(warnings(report, view));
    if is_bare(report) {
        blocks.push(nothing_here(view));
    }
    blocks.join("\n")
}

fn operator(operator: &OperatorReport, view: &View) -> String {
    let mut block = Block::new(&["", "OPERATOR", "STATE", "LEADER", "RENEWED"]);
    block.row([
        mark(operator.verdict).to_owned(),
        operator.namespace.clone(),
        operator.verdict.to_string(),
        or_unknown(operator.holder.clone()),
        operator.renewed_at.map_or(UNKNOWN.to_owned(), |at| format!("{} ago", age(at, view.now))),
    ]);
    block.render()
}

fn clusters(report: &Report, view: &View) -> String {
    let mut block = Block::of_objects(view, &["CLUSTER", "STATE", "NODES", "VERSION", "REASON"]);
    for cluster in report.known_clusters() {
        let ClusterReport { namespace, name, standing, nodes_ready, version, .. } = cluster;
        let cells = [
            name.clone(),
            standing.word().to_owned(),
            or_unknown(nodes_ready.clone()),
            or_unknown(version.clone()),
            standing.reason.clone(),
        ];
        block.object(standing.verdict, namespace, cells);
    }
    block.render()
}

fn nodes(report: &Report, view: &View) -> String {
    let waits = |node: &NodeReport| node.status.waiting_for.is_some();
    let any_waits = report.known_clusters().flat_map(ClusterReport::known_nodes).any(waits);
    let mut headings = vec!["NODE", "STATE", "CLUSTER"];
    if view.verbose {
        headings.extend(["VERSION", "RAFT", "SHARDS"]);
    }
    if any_waits {
        headings.push("WAITING FOR");
    }
    let mut block = Block::of_objects(view, &headings);
    let known = report.known_clusters().flat_map(|cluster| cluster.known_nodes().map(move |node| (cluster, node)));
    for (cluster, node) in known {
        let status = &node.status;
        let mut cells = vec![status.name.clone(), node.word().to_owned(), cluster.name.clone()];
        if view.verbose {
            cells.extend([or_unknown(status.version.clone()), or_unknown(status.raft.clone()), number(status.shards)]);
        }
        if any_waits {
            cells.push(status.waiting_for.clone().unwrap_or_default());
        }
        block.object(node.verdict, &cluster.namespace, cells);
    }
    block.render()
}

fn collections<'a>(collections: impl Iterator<Item = &'a CollectionReport>, view: &View) -> String {
    let headings = ["COLLECTION", "STATE", "CLUSTER", "NAME", "REPLICAS", "SHARDS BEHIND", "OBJECTS", "REASON"];
    let mut block = Block::of_objects(view, &headings);
    for collection in collections {
        let CollectionReport { namespace, name, standing, replicas, .. } = collection;
        let cells = [
            name.clone(),
            standing.word().to_owned(),
            or_unknown(Some(collection.cluster.clone())),
            or_unknown(Some(collection.collection.clone())),
            format!("{}/{}", number(replicas.found), number(replicas.wanted)),
            format!("{}/{}", number(replicas.behind), number(replicas.shards)),
            number(collection.objects),
            standing.reason.clone(),
        ];
        block.object(standing.verdict, namespace, cells);
    }
    block.render()
}

fn feeds<'a>(feeds: impl Iterator<Item = &'a FeedReport>, view: &View) -> String {
    let headings = ["FEED", "STATE", "CLUSTER", "INTO", "LINES", "REJECTED", "CAUGHT UP", "REASON"];
    let mut block = Block::of_objects(view, &headings);
    for feed in feeds {
        let FeedReport { namespace, name, standing, counts, .. } = feed;
        let caught_up = feed.caught_up.map(|caught_up| if caught_up { "yes" } else { "no" });
        let cells = [
            name.clone(),
            standing.word().to_owned(),
            or_unknown(Some(feed.cluster.clone())),
            or_unknown(Some(feed.collection.clone())),
            number(counts.as_ref().map(|counts| counts.lines)),
            number(counts.as_ref().map(|counts| counts.rejected)),
            caught_up.unwrap_or(UNKNOWN).to_owned(),
            standing.reason.clone(),
        ];
        block.object(standing.verdict, namespace, cells);
    }
    block.render()
}

fn backups<'a>(backups: impl Iterator<Item = &'a BackupReport>, view: &View) -> String {
    let headings = ["BACKUP", "STATE", "CLUSTER", "LAST SUCCESS", "VERIFIED", "RUNS", "NEXT", "REASON"];
    let mut block = Block::of_objects(view, &headings);
    for backup in backups {
        let BackupReport { namespace, name, standing, .. } = backup;
        let last = backup.last_success.as_ref().map(|at| format!("{} ago", age(at.0, view.now)));
        let verified = backup.verified.map(|verified| if verified { "yes" } else { "no" });
        let next = backup.next_run.as_ref().map(|at| at.0.strftime("%Y-%m-%d %H:%MZ").to_string());
        let cells = [
            name.clone(),
            standing.word().to_owned(),
            or_unknown(Some(backup.cluster.clone())),
            last.unwrap_or_else(|| "none".to_owned()),
            verified.unwrap_or(UNKNOWN).to_owned(),
            number(backup.totals.as_ref().map(|totals| totals.runs)),
            next.unwrap_or_else(|| "-".to_owned()),
            standing.reason.clone(),
        ];
        block.object(standing.verdict, namespace, cells);
    }
    block.render()
}

fn restores<'a>(restores: impl Iterator<Item = &'a RestoreReport>, view: &View) -> String {
    let mut block = Block::of_objects(view, &["RESTORE", "STATE", "CLUSTER", "INTO", "RUN", "OBJECTS", "REASON"]);
    for restore in restores {
        let RestoreReport { namespace, name, standing, .. } = restore;
        let objects = restore.objects.as_ref().map(|objects| format!("{}/{}", objects.done, objects.total));
        let cells = [
            name.clone(),
            standing.word().to_owned(),
            or_unknown(Some(restore.cluster.clone())),
            or_unknown(Some(restore.into.clone())),
            or_unknown(restore.run.clone()),
            or_unknown(objects),
            standing.reason.clone(),
        ];
        block.object(standing.verdict, namespace, cells);
    }
    block.render()
}

/// What is wrong, each with its hint. Things that fail for one and the same cause are said once.
fn findings(report: &Report, view: &View) -> Option<String> {
    let mut grouped: Vec<(Vec<String>, Finding)> = Vec::new();
    for finding in report.findings() {
        let same = |(_, other): &&mut (Vec<String>, Finding)| {
            (other.verdict, &other.reason, &other.message) == (finding.verdict, &finding.reason, &finding.message)
                && other.reason == UNREADABLE
        };
        match grouped.iter_mut().find(same) {
            Some((subjects, _)) => subjects.push(finding.subject),
            None => grouped.push((vec![finding.subject.clone()], finding)),
        }
    }
    let lines: Vec<_> = grouped.iter().map(|(subjects, finding)| told(&subjects.join(", "), finding, view)).collect();
    (!lines.is_empty()).then(|| lines.concat())
}

fn told(subjects: &str, finding: &Finding, view: &View) -> String {
    let style = if finding.verdict == Verdict::Fault { BAD } else { DOUBTFUL };
    let reason = if finding.reason == UNREADABLE { "" } else { &finding.reason };
    let words: Vec<_> = [subjects, reason, &finding.message].into_iter().filter(|word| !word.is_empty()).collect();
    let mut text = format!("{}: {}\n", paint(style, finding.verdict.as_str()), plain(&words.join(": ")));
    // Not the command that was just run.
    if let Some(next) = finding.next.as_ref().filter(|next| !(view.verbose && next.ends_with(" -v"))) {
        text.push_str(&hint(next));
    }
    text
}

fn warnings(report: &Report, view: &View) -> Option<String> {
    let mut text = String::new();
    for (subject, standing) in report.subjects() {
        for warning in &standing.warnings {
            let line = format!("{}: {}: {}\n", paint(DOUBTFUL, "warning"), plain(&subject), plain(warning));
            text.push_str(&line);
        }
    }
    if !text.is_empty() && !view.verbose {
        text.push_str(&hint("-v says more"));
    }
    (!text.is_empty()).then_some(text)
}

/// Whether everything was read and there was nothing.
fn is_bare(report: &Report) -> bool {
    report.unreadable.is_empty() && report.subjects().is_empty()
}

fn nothing_here(view: &View) -> String {
    if view.all_namespaces {
        return "no WeaviateCluster anywhere\n".to_owned();
    }
    format!("no WeaviateCluster in this namespace\n{}", hint("kubectl elysia health -A"))
}

fn hint(text: &str) -> String {
    format!("{}: {}\n", paint(ADVICE, "hint"), plain(text))
}

/// The sign of a verdict; a word always stands beside it.
pub(in crate::cli) fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "✓",
        Verdict::Unknown => "?",
        Verdict::Fault => "✗",
    }
}

/// A number, or that it could not be had.
pub(super) fn number(number: Option<i64>) -> String {
    number.map_or(UNKNOWN.to_owned(), |number| number.to_string())
}

fn or_unknown(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// A table without lines.
pub(in crate::cli) struct Block {
    table: Table,
    /// Width of the space behind the first column; a mark stands close to what it marks.
    first_gap: u16,
    with_namespace: bool,
}

impl Block {
    /// A block with these headings.
    pub(in crate::cli) fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().copied());
        let first_gap = if headings.first().is_some_and(|heading| heading.is_empty()) { 1 } else { GAP };
        Self { table, first_gap, with_namespace: false }
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A block of objects: their marks first, and their namespaces where there may be several.
    fn of_objects(view: &View, headings: &[&str]) -> Self {
        let leading: &[&str] = if view.all_namespaces { &["", "NAMESPACE"] } else { &[""] };
        Self { with_namespace: view.all_namespaces, ..Self::new(&[leading, headings].concat()) }
    }

    /// One more row.
    pub(in crate::cli) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().map(|cell| plain(&cell)));
    }

    fn object(&mut self, verdict: Verdict, namespace: &str, cells: impl IntoIterator<Item = String>) {
        let namespace = self.with_namespace.then(|| namespace.to_owned());
        self.row([mark(verdict).to_owned()].into_iter().chain(namespace).chain(cells));
    }

    /// The block as text: headings bold, marks coloured.
    pub(in crate::cli) fn render(mut self) -> String {
        for (position, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if position == 0 { self.first_gap } else { GAP }));
        }
        let text = self.table.trim_fmt();
        let mut lines = text.lines();
        let heading = lines.next().map(|line| paint(HEADING, line));
        heading.into_iter().chain(lines.map(painted)).map(|line| line + "\n").collect()
    }
}

fn painted(line: &str) -> String {
    for (verdict, style) in [(Verdict::Healthy, GOOD), (Verdict::Unknown, DOUBTFUL), (Verdict::Fault, BAD)] {
        if let Some(rest) = line.strip_prefix(mark(verdict)).filter(|rest| rest.starts_with(' ')) {
            return paint(style, mark(verdict)) + rest;
        }
    }
    line.to_owned()
}
