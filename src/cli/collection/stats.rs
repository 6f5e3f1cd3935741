//! `stats`: what each node holds of a collection and how fast it answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use elysia_weaviate::{Page, SchemaRead};
use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::Value;

use super::catalogue::Freshness;
use super::look::{COUNTS_AT_ONCE, One, health_of, live};
use crate::cli::client::chain;
use crate::cli::columns::{self, or_unknown};
use crate::cli::forward::OpenedCluster;
use crate::cli::printer::can_redraw;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// Between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct StatsArgs {
    /// Name of the collection
    pub(super) name: String,
    /// Look again every two seconds until Ctrl-C
    #[arg(short, long)]
    pub(super) watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStats {
    pub(super) name: String,
    pub(super) shards: usize,
    /// In flushed segments: up to a minute late; absent when the node says nothing but zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects: Option<i64>,
    pub(super) queue: i64,
    pub(super) compressed: bool,
    pub(super) read_only: usize,
    pub(super) not_loaded: usize,
    /// Time for the id of one object; absent when the node could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreachable: Option<String>,
}

pub(super) async fn node_stats(opened: &OpenedCluster, one: &One) -> Result<Vec<NodeStats>, Stop> {
    let tenancy = one.class.as_ref().is_some_and(|class| class["multiTenancyConfig"]["enabled"] == Value::Bool(true));
    let held = opened.common.node_shards(Some(&one.name)).await.map_err(|error| {
        Stop::unknown(format!("shards of {} unknown: {}", one.name, chain(&error)), health_of(opened))
    })?;
    let probes = stream::iter(&opened.nodes).map(async |(name, client)| {
        let begun = Instant::now();
        let page = Page { class: &one.name, tenant: None, after: None, limit: 1 };
        // With tenants there is no tenant that every collection has: the node's own copy of the schema is read instead.
        let asked = if tenancy {
            client.class(&one.name, SchemaRead::Local).await.map(drop)
        } else {
            client.list_ids(page).await.map(drop)
        };
        (name.clone(), asked.map(|()| begun.elapsed()).map_err(|error| opened.explain(name, &error)))
    });
    let mut probes: BTreeMap<_, _> = probes.buffer_unordered(COUNTS_AT_ONCE).collect().await;
    let mut names: Vec<String> = opened.spec.node_names();
    names.extend(held.iter().map(|node| node.name.clone()));
    names.sort();
    names.dedup();
    let stats = names.into_iter().map(|name| {
        let shards = held.iter().find(|node| node.name == name).map(|node| node.shards.as_slice()).unwrap_or_default();
        let objects = shards.iter().map(|shard| shard.object_count).sum();
        let probe = probes.remove(&name);
        let (latency_ms, unreachable) = match probe {
            Some(Ok(time)) => (Some((time.as_secs_f64() * 10_000.0).round() / 10.0), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, Some("no address".to_owned())),
        };
        NodeStats {
            name,
            shards: shards.len(),
            objects: (objects > 0).then_some(objects),
            queue: shards.iter().map(|shard| shard.vector_queue_length).sum(),
            compressed: !shards.is_empty() && shards.iter().all(|shard| shard.compressed),
            read_only: shards.iter().filter(|shard| shard.vector_indexing_status == "READONLY").count(),
            not_loaded: shards.iter().filter(|shard| shard.loaded == Some(false)).count(),
            latency_ms,
            unreachable,
        }
    });
    Ok(stats.collect())
}

pub(super) fn stats_table(nodes: &[NodeStats]) -> String {
    let row = |node: &NodeStats| {
        vec![
            node.name.clone(),
            node.shards.to_string(),
            or_unknown(node.objects),
            node.queue.to_string(),
            if node.compressed { "yes" } else { "no" }.to_owned(),
            node.read_only.to_string(),
            node.not_loaded.to_string(),
            node.latency_ms.map_or_else(|| columns::UNKNOWN.to_owned(), |time| format!("{time:.1}ms")),
        ]
    };
    let head = ["NODE", "SHARDS", "OBJECTS", "QUEUE", "COMPRESSED", "READ-ONLY", "NOT LOADED", "LATENCY"];
    columns::render(&head, &nodes.iter().map(row).collect::<Vec<_>>())
}

pub(super) async fn stats(args: &StatsArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let enough = tokio::signal::ctrl_c();
    tokio::pin!(enough);
    loop {
        let one = live(session, &opened, &args.name, Freshness::Cached).await?;
        let nodes = node_stats(&opened, &one).await?;
        let text = match args.output {
            Output::Table => stats_table(&nodes),
            output => encode(&nodes, output)?,
        };
        let is_read = if args.watch && args.output == Output::Table && can_redraw() {
            session.printer.redraw(&text)?
        } else {
            session.printer.block(&text)?
        };
        let unknown = nodes.iter().any(|node| node.latency_ms.is_none());
        let exit = if unknown { Exit::Unknown } else { Exit::Healthy };
        if !args.watch || !is_read {
            return Ok(exit);
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            _ = &mut enough => return Ok(exit),
        }
    }
}
