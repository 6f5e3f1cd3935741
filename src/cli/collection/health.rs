//! `health`: whether one collection is as it should be, judged from what the servers say now.

use std::time::Duration;

use elysia_core::health::Verdict;
use elysia_weaviate::ShardStatus;
use futures::stream::{self, StreamExt as _};
use kube::ResourceExt as _;
use serde::Serialize;

use super::catalogue::Freshness;
use super::look::{COUNTS_AT_ONCE, One, live};
use super::stats::{NodeStats, node_stats};
use crate::cli::client::chain;
use crate::cli::columns;
use crate::cli::forward::OpenedCluster;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// A node that takes longer for the id of one object is in trouble.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Name of the collection
    name: String,
    /// Also what is well
    #[arg(long)]
    detailed: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    verdict: &'static str,
    message: String,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        let verdict = match verdict {
            Verdict::Healthy => "healthy",
            Verdict::Fault => "fault",
            Verdict::Unknown => "unknown",
        };
        Self { name, verdict, message: message.into() }
    }
}

pub(super) async fn health(args: &HealthArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let one = live(session, &opened, &args.name, Freshness::Cached).await?;
    let checks = vec![
        declared(&one),
        replication(&opened, &one).await,
        shards(&opened, &one).await,
        performance(&node_stats(&opened, &one).await?),
    ];
    let exit = verdict(&checks);
    let text = match args.output {
        Output::Table => {
            let shown = checks.iter().filter(|check| args.detailed || check.verdict != "healthy");
            let rows: Vec<_> = shown
                .map(|check| vec![check.name.to_owned(), check.verdict.to_owned(), check.message.clone()])
                .collect();
            if rows.is_empty() {
                format!("{} is healthy\n", one.name)
            } else {
                columns::render(&["CHECK", "STATE", "MESSAGE"], &rows)
            }
        }
        output => encode(&checks, output)?,
    };
    session.printer.data(&text)?;
    Ok(exit)
}

pub(super) fn verdict(checks: &[Check]) -> Exit {
    if checks.iter().any(|check| check.verdict == "fault") {
        return Exit::Fault;
    }
    if checks.iter().any(|check| check.verdict == "unknown") { Exit::Unknown } else { Exit::Healthy }
}

fn declared(one: &One) -> Check {
    let Some(object) = &one.object else {
        return Check::new("declared", Verdict::Healthy, "nothing is declared; only the servers were asked");
    };
    let name = object.name_any();
    let status = object.status.as_ref().filter(|status| status.observed_generation == object.metadata.generation);
    let ready = status.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready"));
    match ready {
        Some(ready) if ready.status == "True" => Check::new("declared", Verdict::Healthy, "as declared"),
        Some(ready) if ready.status == "False" => {
            Check::new("declared", Verdict::Fault, format!("{name}: {}: {}", ready.reason, ready.message))
        }
        _ => Check::new("declared", Verdict::Unknown, format!("{name}: the operator has not looked at it yet")),
    }
}

async fn replication(opened: &OpenedCluster, one: &One) -> Check {
    let factor = match (&one.object, &one.class) {
        (Some(object), _) => i64::from(object.spec.replication.factor),
        (None, Some(class)) => class["replicationConfig"]["factor"].as_i64().unwrap_or(1),
        (None, None) => 1,
    };
    let (state, nodes) = futures::join!(opened.common.sharding_state(&one.name), opened.common.nodes());
    let (state, nodes) = match (state, nodes) {
        (Ok(Some(state)), Ok(nodes)) => (state, nodes),
        (Ok(None), _) => return Check::new("replication", Verdict::Unknown, "the servers name no shards"),
        (Err(error), _) | (_, Err(error)) => return Check::new("replication", Verdict::Unknown, chain(&error)),
    };
    let is_up = |name: &String| nodes.iter().any(|node| node.name == *name && node.is_healthy());
    let mut behind = Vec::new();
    for shard in &state.shards {
        let up = shard.replicas.iter().filter(|name| is_up(name)).count();
        if i64::try_from(up).unwrap_or(i64::MAX) < factor {
            behind.push(format!("{} has {up} of {factor}", shard.shard));
        }
    }
    let total = state.shards.len();
    if behind.is_empty() {
        return Check::new(
            "replication",
            Verdict::Healthy,
            format!("{total} shards have {factor} replicas at nodes that are up"),
        );
    }
    let worst = behind.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let next = format!("kubectl elysia col show {} --shards -n {}", one.name, opened.spec.namespace);
    Check::new("replication", Verdict::Fault, format!("{} of {total} shards are behind: {worst}; {next}", behind.len()))
}

async fn shards(opened: &OpenedCluster, one: &One) -> Check {
    let asked = stream::iter(&opened.nodes)
        .map(async |(name, client)| (name, client.shard_statuses(&one.name).await))
        .buffered(COUNTS_AT_ONCE);
    let answers: Vec<_> = asked.collect().await;
    let mut bad = Vec::new();
    let mut blind = Vec::new();
    for (node, answer) in answers {
        match answer {
            Err(error) => blind.push(format!("{node}: {}", opened.explain(node, &error))),
            Ok(statuses) => bad.extend(
                statuses
                    .iter()
                    .filter(|shard| shard.status == ShardStatus::ReadOnly)
                    .map(|shard| format!("{} at {node}", shard.name)),
            ),
        }
    }
    if !bad.is_empty() {
        let message = format!("read-only, by hand or because a disk is full: {}", bad.join(", "));
        return Check::new("storage", Verdict::Fault, message);
    }
    if !blind.is_empty() {
        return Check::new("storage", Verdict::Unknown, blind.join("; "));
    }
    Check::new("storage", Verdict::Healthy, "no shard is read-only")
}

fn performance(nodes: &[NodeStats]) -> Check {
    if let Some(blind) = nodes.iter().find(|node| node.latency_ms.is_none()) {
        let why = blind.unreachable.as_deref().unwrap_or_default();
        return Check::new("queries", Verdict::Unknown, format!("{} could not be asked: {why}", blind.name));
    }
    let slowest = nodes
        .iter()
        .filter_map(|node| Some((node.latency_ms?, &node.name)))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match slowest {
        Some((time, name)) if time > SLOW.as_secs_f64() * 1000.0 => {
            Check::new("queries", Verdict::Fault, format!("{name} took {time:.1}ms for the id of one object"))
        }
        Some((time, name)) => Check::new("queries", Verdict::Healthy, format!("the slowest, {name}, took {time:.1}ms")),
        None => Check::new("queries", Verdict::Unknown, "no node has an address of its own; give spec.external.nodes"),
    }
}
