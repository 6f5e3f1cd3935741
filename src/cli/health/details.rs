//! What `-v` adds: conditions, shards that are behind, drift, plans, rejected lines.

use elysia_core::health::{CollectionReport, Report};

use super::super::printer::plain;
use super::duration::age;
use super::table::{Block, View};

/// The blocks that have something to say.
pub(super) fn blocks(report: &Report, view: &View) -> Vec<String> {
    let tables = [conditions(report, view), shards_behind(report), drift(report, view), rejected(report)];
    tables.into_iter().filter(|block| !block.is_empty()).map(Block::render).chain(plans(report)).collect()
}

fn conditions(report: &Report, view: &View) -> Block {
    let mut block = Block::new(&["CONDITION", "STATUS", "OF", "REASON", "AGE", "MESSAGE"]);
    for (subject, standing) in report.subjects() {
        for condition in &standing.conditions {
            block.row([
                condition.type_.clone(),
                condition.status.clone(),
                subject.clone(),
                condition.reason.clone(),
                age(condition.last_transition_time.0, view.now),
                condition.message.clone(),
            ]);
        }
    }
    block
}

fn shards_behind(report: &Report) -> Block {
    let mut block = Block::new(&["SHARD BEHIND", "COLLECTION", "REPLICAS ON"]);
    for collection in report.collections() {
        for shard in &collection.replicas.worst {
            let nodes = if shard.replicas.is_empty() { "no node".to_owned() } else { shard.replicas.join(", ") };
            block.row([shard.shard.clone(), place(collection), nodes]);
        }
    }
    block
}

fn drift(report: &Report, view: &View) -> Block {
    let mut block = Block::new(&["SETTING", "COLLECTION", "LIVE", "WANTED", "VERDICT", "AGE"]);
    for collection in report.collections() {
        for entry in &collection.drift {
            block.row([
                entry.path.clone(),
                place(collection),
                entry.live.clone().unwrap_or_default(),
                entry.wanted.clone().unwrap_or_default(),
                format!("{:?}", entry.verdict),
                age(entry.since.0, view.now),
            ]);
        }
    }
    block
}

fn rejected(report: &Report) -> Block {
    let mut block = Block::new(&["REJECTED LINE", "FEED", "CATEGORY", "REASON"]);
    for feed in report.feeds() {
        for letter in &feed.dead_letter {
            block.row([
                format!("{}:{}", letter.file, letter.line),
                format!("{}/{}", feed.namespace, feed.name),
                letter.category.clone(),
                letter.reason.clone(),
            ]);
        }
    }
    block
}

fn plans(report: &Report) -> Vec<String> {
    report.collections().filter_map(plan).collect()
}

fn plan(collection: &CollectionReport) -> Option<String> {
    let plan = collection.plan.as_ref()?;
    let destructive = if plan.destructive { ", destructive" } else { "" };
    let waits = plan.waiting_for.as_ref().map_or(String::new(), |what| format!(", waits for {what}"));
    let title = format!("plan {} of collection {}: {}{destructive}{waits}", plan.hash, place(collection), plan.action);
    let steps = plan.steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {}", plain(step)));
    let shown = i64::try_from(plan.steps.len()).unwrap_or(i64::MAX);
    let more = (plan.total_steps > shown).then(|| format!("  … and {} more", plan.total_steps - shown));
    let approve = collection.approve.as_ref().map(|command| format!("  approve it: {}", plain(command)));
    let lines = [plain(&title)].into_iter().chain(steps).chain(more).chain(approve);
    Some(lines.map(|line| line + "\n").collect())
}

fn place(collection: &CollectionReport) -> String {
    format!("{}/{}", collection.namespace, collection.name)
}
