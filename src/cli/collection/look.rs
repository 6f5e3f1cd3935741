//! The verbs that only look.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use elysia_api::ElysiaCollection;
use elysia_weaviate::{SchemaRead, ShardingState};
use futures::stream::{self, StreamExt as _};
use globset::Glob;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::catalogue::{self, Entry, Freshness};
use super::stats::{NodeStats, node_stats, stats_table};
use crate::cli::client::chain;
use crate::cli::columns::{self, or_unknown};
use crate::cli::forward::OpenedCluster;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// Collections that are counted at the same time.
pub(super) const COUNTS_AT_ONCE: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct LsArgs {
    /// Only collections whose name matches, e.g. `test_*`
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    filter: Option<Glob>,
    /// How to print; `wide` counts the objects of each collection now
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: ListOutput,
}

/// As [`Output`], and wide.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum ListOutput {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Name of the collection
    name: String,
    /// Also its definition on the servers
    #[arg(long)]
    schema: bool,
    /// Also objects and shards of each node
    #[arg(long)]
    stats: bool,
    /// Also each shard with the nodes that hold it
    #[arg(long)]
    shards: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

pub(super) fn glob(text: &str) -> Result<Glob, String> {
    Glob::new(text).map_err(|error| error.to_string())
}

pub(super) async fn ls(args: &LsArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let seen = catalogue::read(&session.reader, &opened, Freshness::Cached).await?;
    let mut entries = catalogue::join(&seen, &opened.spec);
    if let Some(glob) = &args.filter {
        let matcher = glob.compile_matcher();
        entries.retain(|entry| matcher.is_match(&entry.name));
    }
    if args.output == ListOutput::Wide {
        entries = count_each(&opened, entries).await;
    }
    let text = match args.output {
        ListOutput::Table => list(&entries, false),
        ListOutput::Wide => list(&entries, true),
        ListOutput::Json => encode(&entries, Output::Json)?,
        ListOutput::Yaml => encode(&entries, Output::Yaml)?,
    };
    session.printer.data(&text)?;
    for missing in &seen.missing {
        session.printer.complain(missing);
    }
    Ok(if seen.missing.is_empty() { Exit::Healthy } else { Exit::Unknown })
}

async fn count_each(opened: &OpenedCluster, entries: Vec<Entry>) -> Vec<Entry> {
    let counted = stream::iter(entries).map(async |mut entry| {
        if entry.live
            && !entry.multi_tenant
            && let Ok(Ok(count)) = opened.common.object_count(&entry.name).await
        {
            (entry.objects, entry.objects_source) = (i64::try_from(count).ok(), Some("aggregate"));
        }
        entry
    });
    counted.buffered(COUNTS_AT_ONCE).collect().await
}

pub(super) fn list(entries: &[Entry], wide: bool) -> String {
    let mut head = vec!["NAME", "FACTOR", "SHARDS", "LOWEST", "OBJECTS", "OBJECT", "MANAGED BY", "READY", "PROTECTED"];
    if wide {
        head.extend(["TENANTS", "COUNTED BY", "REASON"]);
    }
    let dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let row = |entry: &Entry| {
        // Of what is not on the servers nothing is unknown: there is nothing.
        let number = |value: Option<i64>| if entry.live { or_unknown(value) } else { "-".to_owned() };
        let ready = if entry.object.is_some() { or_unknown(entry.ready.as_ref()) } else { "-".to_owned() };
        let mut row = vec![
            entry.name.clone(),
            or_unknown(entry.factor),
            number(entry.shards),
            number(entry.lowest),
            number(entry.objects),
            dash(entry.object.as_deref()),
            dash(entry.managed_by.as_deref()),
            ready,
            dash(entry.protected.as_deref()),
        ];
        if wide {
            let tenants = if entry.multi_tenant { "yes" } else { "no" };
            let reason = entry.reason.as_deref().or((!entry.live).then_some("not on the servers"));
            row.extend([tenants.to_owned(), dash(entry.objects_source), dash(reason)]);
        }
        row
    };
    if entries.is_empty() {
        return "no collections\n".to_owned();
    }
    columns::render(&head, &entries.iter().map(row).collect::<Vec<_>>())
}

/// One collection, read by itself.
pub(super) struct One {
    pub(super) name: String,
    pub(super) class: Option<Value>,
    pub(super) object: Option<ElysiaCollection>,
}

/// Reads one collection; it is an error when there is neither a class nor an object of that name.
pub(super) async fn one(
    session: &Session,
    opened: &OpenedCluster,
    name: &str,
    freshness: Freshness,
) -> Result<One, Stop> {
    let (class, objects) = futures::join!(
        opened.common.class(name, SchemaRead::Leader),
        catalogue::declared(&session.reader, opened, freshness)
    );
    let class = class.map_err(|error| {
        Stop::unknown(format!("collection {name} cannot be read: {}", chain(&error)), health_of(opened))
    })?;
    let object = objects?.into_iter().find(|object| object.spec.collection == name);
    if class.is_none() && object.is_none() {
        return Err(Stop::refused(
            format!("cluster {} has no collection {name}, and none is declared", opened.spec.name),
            format!("kubectl elysia col ls -n {}", session.namespace),
        ));
    }
    Ok(One { name: name.to_owned(), class, object })
}

/// One collection that the servers have.
pub(super) async fn live(
    session: &Session,
    opened: &OpenedCluster,
    name: &str,
    freshness: Freshness,
) -> Result<One, Stop> {
    let one = one(session, opened, name, freshness).await?;
    if one.class.is_none() {
        let message = format!("collection {name} is declared, but cluster {} does not have it", opened.spec.name);
        let object = one.object.as_ref().map(kube::ResourceExt::name_any).unwrap_or_default();
        return Err(Stop::refused(
            message,
            format!("kubectl describe elysiacollection {object} -n {}", session.namespace),
        ));
    }
    Ok(one)
}

pub(super) fn health_of(opened: &OpenedCluster) -> String {
    format!("kubectl elysia health {} -n {}", opened.spec.name, opened.spec.namespace)
}

pub(super) async fn entry(opened: &OpenedCluster, one: &One) -> (Entry, Vec<String>) {
    let nodes = if one.class.is_some() { Some(opened.common.node_shards(Some(&one.name)).await) } else { None };
    let mut missing = Vec::new();
    let nodes = nodes
        .and_then(|nodes| nodes.inspect_err(|error| missing.push(format!("shards unknown: {}", chain(error)))).ok());
    let seen = catalogue::Seen {
        classes: one.class.iter().cloned().collect(),
        nodes,
        objects: one.object.iter().cloned().collect(),
        missing: Vec::new(),
    };
    let mut entry = catalogue::join(&seen, &opened.spec).into_iter().next().unwrap_or_default();
    if one.class.is_some()
        && !entry.multi_tenant
        && let Ok(Ok(count)) = opened.common.object_count(&one.name).await
    {
        (entry.objects, entry.objects_source) = (i64::try_from(count).ok(), Some("aggregate"));
    }
    (entry, missing)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<NodeStats>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<BTreeMap<String, Vec<String>>>,
}

pub(super) async fn show(args: &ShowArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let one = one(session, &opened, &args.name, Freshness::Cached).await?;
    let (entry, mut missing) = entry(&opened, &one).await;
    let all = args.output != Output::Table;
    let nodes = if args.stats && one.class.is_some() { Some(node_stats(&opened, &one).await?) } else { None };
    let mut placement = None;
    if args.shards && one.class.is_some() {
        match opened.common.sharding_state(&one.name).await {
            Ok(state) => placement = state.map(by_shard),
            Err(error) => missing.push(format!("shards unknown: {}", chain(&error))),
        }
    }
    let schema = if args.schema || all { one.class.clone() } else { None };
    let shown = Shown { entry, schema, nodes, placement };
    let text = match args.output {
        Output::Table => show_text(&shown, &one, &opened)?,
        output => encode(&shown, output)?,
    };
    session.printer.data(&text)?;
    for missing in &missing {
        session.printer.complain(missing);
    }
    Ok(if missing.is_empty() { Exit::Healthy } else { Exit::Unknown })
}

fn by_shard(state: ShardingState) -> BTreeMap<String, Vec<String>> {
    state.shards.into_iter().map(|shard| (shard.shard, shard.replicas)).collect()
}

fn show_text(shown: &Shown, one: &One, opened: &OpenedCluster) -> Result<String, Stop> {
    let entry = &shown.entry;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<12} {}", crate::cli::printer::plain(value)).ok();
    line("Collection", &entry.name);
    line("Cluster", &format!("{} (Weaviate {})", opened.spec.name, opened.version));
    line("On servers", if entry.live { "yes" } else { "no" });
    line("Factor", &or_unknown(entry.factor));
    line("Shards", &or_unknown(entry.shards));
    line("Lowest", &or_unknown(entry.lowest));
    line("Objects", &or_unknown(entry.objects));
    line("Tenants", if entry.multi_tenant { "yes" } else { "no" });
    line("Protected", entry.protected.as_deref().unwrap_or("no"));
    match &one.object {
        None => drop(line("Declared", "no")),
        Some(object) => {
            line("Declared", &format!("elysiacollection/{}", object.name_any()));
            line("Managed by", entry.managed_by.as_deref().unwrap_or("nobody else"));
            line("Deletion", &format!("{:?}", object.spec.deletion_policy));
            for condition in object.status.iter().flat_map(|status| &status.conditions) {
                line(&condition.type_, &format!("{} {}: {}", condition.status, condition.reason, condition.message));
            }
        }
    }
    if let Some(placement) = &shown.placement {
        let rows: Vec<_> = placement.iter().map(|(shard, nodes)| vec![shard.clone(), nodes.join(", ")]).collect();
        write!(text, "\n{}", columns::render(&["SHARD", "REPLICAS"], &rows)).ok();
    }
    if let Some(nodes) = &shown.nodes {
        write!(text, "\n{}", stats_table(nodes)).ok();
    }
    if let Some(schema) = &shown.schema {
        write!(text, "\n{}", encode(schema, Output::Yaml)?).ok();
    }
    Ok(text)
}
