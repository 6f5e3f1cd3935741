//! The verbs that only look.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use elysia_api::ElysiaCollection;
use elysia_core::health::Verdict;
use elysia_weaviate::{Page, SchemaRead, ShardStatus, ShardingState};
use futures::stream::{self, StreamExt as _};
use globset::Glob;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::catalogue::{self, Entry};
use crate::cli::client::chain;
use crate::cli::columns::{self, or_unknown};
use crate::cli::forward::OpenedCluster;
use crate::cli::printer::can_redraw;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// Collections that are counted at the same time.
const COUNTS_AT_ONCE: usize = 16;
/// Between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);
/// A node that takes longer for the id of one object is in trouble.
const SLOW: Duration = Duration::from_secs(1);
/// Vectors above which the memory of an index without compression is worth a word.
const MANY_VECTORS: i64 = 100_000;

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

#[derive(Debug, clap::Args)]
pub(super) struct StatsArgs {
    /// Name of the collection
    name: String,
    /// Look again every two seconds until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

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

#[derive(Debug, clap::Args)]
pub(super) struct OptimizeArgs {
    /// Name of the collection
    name: String,
    /// Also say what each advice was drawn from
    #[arg(long)]
    analyze: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

pub(super) fn glob(text: &str) -> Result<Glob, String> {
    Glob::new(text).map_err(|error| error.to_string())
}

pub(super) async fn ls(args: &LsArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let seen = catalogue::read(&session.reader, &opened).await?;
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
pub(super) async fn one(session: &Session, opened: &OpenedCluster, name: &str) -> Result<One, Stop> {
    let (class, objects) =
        futures::join!(opened.common.class(name, SchemaRead::Leader), catalogue::declared(&session.reader, opened));
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

pub(super) fn health_of(opened: &OpenedCluster) -> String {
    format!("kubectl elysia health {} -n {}", opened.spec.name, opened.spec.namespace)
}

async fn entry(opened: &OpenedCluster, one: &One) -> (Entry, Vec<String>) {
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
    let one = one(session, &opened, &args.name).await?;
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStats {
    name: String,
    shards: usize,
    /// In flushed segments: up to a minute late; absent when the node says nothing but zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<i64>,
    queue: i64,
    compressed: bool,
    read_only: usize,
    not_loaded: usize,
    /// Time for the id of one object; absent when the node could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<String>,
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
        let one = live(session, &opened, &args.name).await?;
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

/// One collection that the servers have.
pub(super) async fn live(session: &Session, opened: &OpenedCluster, name: &str) -> Result<One, Stop> {
    let one = one(session, opened, name).await?;
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
    let one = live(session, &opened, &args.name).await?;
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

/// One piece of advice.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    advice: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

pub(super) async fn optimize(args: &OptimizeArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let one = live(session, &opened, &args.name).await?;
    let (entry, _) = entry(&opened, &one).await;
    let status = one.object.as_ref().and_then(|object| object.status.as_ref());
    let mut advice: Vec<Advice> = status
        .iter()
        .flat_map(|status| &status.recommendations)
        .map(|text| Advice { advice: text.clone(), because: Some("the operator's status".to_owned()) })
        .collect();
    advice.extend(advise(&entry, one.class.as_ref().unwrap_or(&Value::Null), opened.spec.node_names().len()));
    if !args.analyze {
        for advice in &mut advice {
            advice.because = None;
        }
    }
    let text = match args.output {
        Output::Table if advice.is_empty() => format!("no advice for {}\n", one.name),
        Output::Table => advice.iter().fold(String::new(), |text, advice| {
            let because = advice.because.as_ref().map(|because| format!("\n    because {because}")).unwrap_or_default();
            format!("{text}- {}{because}\n", advice.advice)
        }),
        output => encode(&advice, output)?,
    };
    session.printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// What can be said from settings and size alone. Nothing of it is certain enough to be done by itself.
pub(super) fn advise(entry: &Entry, class: &Value, nodes: usize) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut say =
        |advice: &str, because: String| all.push(Advice { advice: advice.to_owned(), because: Some(because) });
    let factor = entry.factor.unwrap_or(1);
    if factor == 1 && nodes >= 3 {
        say(
            "raise the replication factor to 3: now the loss of any node loses objects",
            format!("the factor is 1 and there are {nodes} nodes"),
        );
    }
    if factor > 1 && factor % 2 == 0 {
        say(
            "use an odd replication factor: an even one survives no more nodes at QUORUM than the one below it",
            format!("the factor is {factor}"),
        );
    }
    if factor > 1 && class["replicationConfig"]["asyncEnabled"] == Value::Bool(false) {
        say(
            "switch replicationConfig.asyncEnabled on, so that replicas heal without being read",
            format!("it is off and the factor is {factor}"),
        );
    }
    let configs =
        class["vectorConfig"].as_object().map(|configs| configs.values().collect::<Vec<_>>()).unwrap_or_default();
    let configs = if configs.is_empty() { vec![class] } else { configs };
    let quantised = |config: &&Value| {
        ["pq", "bq", "sq", "rq"].iter().any(|kind| config["vectorIndexConfig"][kind]["enabled"] == Value::Bool(true))
    };
    let plain = configs.iter().any(|config| config["vectorIndexType"] == "hnsw" && !quantised(config));
    if let Some(objects) = entry.objects.filter(|objects| plain && *objects > MANY_VECTORS) {
        say(
            "consider a quantiser (rq or bq) for the hnsw index: it holds every vector in memory",
            format!("{objects} objects and no quantiser"),
        );
    }
    if entry.multi_tenant && configs.iter().any(|config| config["vectorIndexType"] == "hnsw") {
        say(
            "consider vectorIndexType dynamic or flat: most tenants are too small for hnsw",
            "the collection has tenants and an hnsw index".to_owned(),
        );
    }
    all
}
