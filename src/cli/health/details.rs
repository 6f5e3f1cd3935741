//! What `-v` adds: conditions, shards that are behind, drift, plans, rejected lines.

use elysia_api::collection::PlanStatus;
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
    let collections = report.collections().filter_map(|collection| {
        let of = format!("collection {}", place(collection));
        Some(plan(&of, collection.plan.as_ref()?, collection.approve.clone()))
    });
    let waits = |of: &str, namespace: &str, name: &str, plan: Option<&PlanStatus>| {
        let approve = format!("kubectl elysia repair approve {of}/{name} -n {namespace}");
        let approve = plan?.waiting_for.as_ref().map(|_| approve);
        Some(self::plan(&format!("{of} {namespace}/{name}"), plan?, approve))
    };
    let backups = report.backups().filter_map(|it| waits("backup", &it.namespace, &it.name, it.plan.as_ref()));
    let restores = report.restores().filter_map(|it| waits("restore", &it.namespace, &it.name, it.plan.as_ref()));
    collections.chain(backups).chain(restores).collect()
}

fn plan(of: &str, plan: &PlanStatus, approve: Option<String>) -> String {
    let destructive = if plan.destructive { ", destructive" } else { "" };
    let waits = plan.waiting_for.as_ref().map_or(String::new(), |what| format!(", waits for {what}"));
    let title = format!("plan {} of {of}: {}{destructive}{waits}", plan.hash, plan.action);
    let steps = plan.steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {}", plain(step)));
    let shown = i64::try_from(plan.steps.len()).unwrap_or(i64::MAX);
    let more = (plan.total_steps > shown).then(|| format!("  … and {} more", plan.total_steps - shown));
    let approve = approve.map(|command| format!("  approve it: {}", plain(&command)));
    let lines = [plain(&title)].into_iter().chain(steps).chain(more).chain(approve);
    lines.map(|line| line + "\n").collect()
}

fn place(collection: &CollectionReport) -> String {
    format!("{}/{}", collection.namespace, collection.name)
}
