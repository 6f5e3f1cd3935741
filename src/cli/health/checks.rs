//! `kubectl elysia health --cluster` and `--data`: the servers themselves are asked, with the user's own rights.
//!
//! Nothing here changes or repairs data. `--fix` asks the operator to look, and shows the plan that it proposes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use elysia_api::collection::{DataVerification, ShardReplicas};
use elysia_api::names::{PLUGIN_MANAGER, RUN_NOW_ANNOTATION};
use elysia_api::{ElysiaCollection, WeaviateCluster};
use elysia_core::collection::schema;
use elysia_core::health::checks::{self, Check, Checks, NodeView};
use elysia_core::health::{Sighted, Unread, Verdict};
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_core::verification::Placement;
use elysia_core::verification::look::{Look, Outcome, Request};
use elysia_core::version::ServerVersion;
use elysia_weaviate::{Client, SchemaRead};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::client::{Reader, chain, complaint};
use super::super::forward::{self, OpenedCluster};
use super::super::printer::{ADVICE, Printer, paint, plain};
use super::super::{Exit, Output, Target, encode};
use super::HealthArgs;
use super::table::{Block, mark};
use crate::runtime::patience::patience;
use crate::sampling;

/// Collections that are asked about at the same time.
const AT_ONCE: usize = 8;

/// How long one collection's objects may be read. What was not read by then is not part of the sample.
const READING: Duration = patience(Duration::from_secs(60));

/// Which closer looks are wanted.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(in crate::cli) struct CheckArgs {
    /// Ask the servers, each at its own address: members, leader, log, replicas, and what is known of the objects
    #[arg(long = "cluster")]
    pub(super) servers: bool,
    /// Read sampled objects from every replica and compare them; nothing is repaired by it
    #[arg(long)]
    pub(super) data: bool,
    /// Only this collection: name of its ElysiaCollection, or its name in Weaviate
    #[arg(long, value_name = "NAME")]
    pub(super) collection: Option<String>,
    /// With `--cluster`: leave out what is known of the objects
    #[arg(long, requires = "servers")]
    pub(super) quick: bool,
    /// With `--data`: objects of each collection that are compared, at most 1000
    #[arg(long, requires = "data", value_name = "NUMBER", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) sample_size: u16,
    /// With `--data`: have the operator look at what differs, and show the plan that it proposes; changes no data
    #[arg(long, requires = "data")]
    pub(super) fix: bool,
}

impl CheckArgs {
    /// Whether a closer look is wanted at all.
    pub(super) fn any(&self) -> bool {
        self.servers || self.data
    }
}

pub(super) async fn run(args: &HealthArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    match look(args, target, printer).await {
        Ok(checks) => {
            let text = match args.output {
                Output::Table => render(&checks),
                output => encode(&checks, output)?,
            };
            printer.data(&text)?;
            Ok(checks.verdict.into())
        }
        Err(unread) => {
            printer.complain(&format!("{}; next: {}", unread.message, unread.next));
            Ok(Exit::Unknown)
        }
    }
}

async fn look(args: &HealthArgs, target: &Target, printer: Printer) -> Result<Checks, Unread> {
    let reader = Reader::connect(target).await?;
    let namespace = target.namespace.clone().unwrap_or_else(|| reader.default_namespace.clone());
    let cluster = forward::choose(&reader, &namespace, args.cluster.as_deref()).await?;
    let objects = collections(&reader, &namespace, &cluster, args.checks.collection.as_deref()).await?;
    let compares = cluster.spec.verify.as_ref().is_some_and(|verify| verify.data.is_some());
    let opened = forward::open_object(&reader, cluster).await?;
    let mut found = Vec::new();
    let mut data = BTreeMap::new();
    if args.checks.servers {
        found.extend(members(&opened).await);
        found.extend(replicas(&opened, args.checks.collection.as_deref(), &objects).await);
        if !args.checks.quick && !args.checks.data {
            // Where nobody asks for comparisons, that there was none is nothing to be told.
            let is_asked = |object: &&ElysiaCollection| compares || last_comparison(object).is_some();
            found.extend(objects.iter().filter(is_asked).map(checks::of_data));
        }
    }
    if args.checks.data {
        let subjects = subjects(&opened, &namespace, args.checks.collection.as_deref(), &objects).await?;
        if let (Some(name), true) = (&args.checks.collection, subjects.is_empty()) {
            found.push(Check::new(format!("data {name}"), Verdict::Unknown, "there is no such collection"));
        }
        for subject in &subjects {
            let check = compare(&opened, &namespace, subject, args.checks.sample_size.into(), &mut data).await;
            let is_fault = check.verdict == Verdict::Fault;
            found.push(check);
            if is_fault && args.checks.fix {
                found.push(propose(&reader, subject, printer).await);
            }
        }
    }
    Ok(Checks::of(found, data))
}

fn last_comparison(object: &ElysiaCollection) -> Option<&DataVerification> {
    object.status.as_ref()?.verification.as_ref()
}

/// The collections of the cluster, or the one that was asked for.
async fn collections(
    reader: &Reader,
    namespace: &str,
    cluster: &WeaviateCluster,
    wanted: Option<&str>,
) -> Result<Vec<ElysiaCollection>, Unread> {
    let listed = match reader.list::<ElysiaCollection>(Some(namespace)).await {
        Sighted::Seen(listed) => listed,
        Sighted::Unreadable(unread) => return Err(unread),
    };
    let belongs = |object: &ElysiaCollection| {
        object.spec.cluster_ref.name == cluster.name_any()
            && wanted.is_none_or(|name| name == object.name_any() || name == object.spec.collection)
    };
    Ok(listed.into_iter().flatten().filter(belongs).collect())
}

/// A collection whose objects are compared.
struct Subject<'a> {
    /// What people call it: by its object, or as in Weaviate when there is none.
    name: String,
    /// As in Weaviate.
    collection: String,
    declared: Option<&'a ElysiaCollection>,
}

/// The declared collections, and those of the servers that nobody declares.
async fn subjects<'a>(
    opened: &OpenedCluster,
    namespace: &str,
    wanted: Option<&str>,
    declared: &'a [ElysiaCollection],
) -> Result<Vec<Subject<'a>>, Unread> {
    let named = declared.iter().map(|object| Subject {
        name: object.name_any(),
        collection: object.spec.collection.clone(),
        declared: Some(object),
    });
    let mut subjects: Vec<Subject<'a>> = named.collect();
    // An object of this name was meant.
    if wanted.is_some_and(|name| subjects.iter().any(|subject| subject.name == name)) {
        return Ok(subjects);
    }
    let classes = opened.common.classes().await.map_err(|error| Unread {
        message: format!("the collections of {} cannot be listed: {}", opened.spec.name, chain(&error)),
        next: format!("kubectl elysia health {} -n {namespace} --cluster", opened.spec.name),
    })?;
    for class in classes.iter().filter_map(|class| class["class"].as_str()) {
        let is_wanted = wanted.is_none_or(|name| name == class);
        if is_wanted && !declared.iter().any(|object| object.spec.collection == class) {
            subjects.push(Subject { name: class.to_owned(), collection: class.to_owned(), declared: None });
        }
    }
    Ok(subjects)
}

/// What each node says of the others, at its own address.
async fn members(opened: &OpenedCluster) -> Vec<Check> {
    let asked = opened.nodes.iter().map(|(name, client)| async move {
        let view = match futures::join!(client.nodes(), client.statistics()) {
            (Err(error), Err(_)) => Sight::unseen(BlindnessKind::Unreachable, opened.explain(name, &error)),
            (members, statistics) => {
                let own = statistics.ok().and_then(|all| all.nodes.into_iter().find(|node| node.name == *name));
                Sight::Seen(NodeView {
                    members: members.ok().map(|members| {
                        let healthy = members.into_iter().filter(elysia_weaviate::NodeStatus::is_healthy);
                        healthy.map(|member| member.name).collect()
                    }),
                    leader: own.as_ref().map(|own| own.leader_id.clone()).filter(|leader| !leader.is_empty()),
                    applied: own.and_then(|own| own.raft).and_then(|raft| raft.applied_index),
                })
            }
        };
        (name.clone(), view)
    });
    let views = futures::future::join_all(asked).await.into_iter().collect();
    checks::of_members(&opened.spec.node_names(), &views)
}

/// Whether the shards of each class are where its factor wants them.
async fn replicas(opened: &OpenedCluster, wanted: Option<&str>, objects: &[ElysiaCollection]) -> Vec<Check> {
    let (classes, members) = match futures::join!(opened.common.classes(), opened.common.nodes()) {
        (Ok(classes), Ok(members)) => (classes, members),
        (Err(error), _) | (_, Err(error)) => return vec![Check::new("replicas", Verdict::Unknown, chain(&error))],
    };
    let live: BTreeSet<String> =
        members.into_iter().filter(elysia_weaviate::NodeStatus::is_healthy).map(|member| member.name).collect();
    let named = |class: &str| {
        wanted.is_none_or(|name| name == class || objects.iter().any(|object| object.spec.collection == class))
    };
    let mut asked = Vec::new();
    for class in &classes {
        let name = class.get("class").and_then(Value::as_str).unwrap_or_default().to_owned();
        if named(&name) {
            asked.push(one(&opened.common, name, schema::class_factor(class), &live));
        }
    }
    let mut found: Vec<Check> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    if found.is_empty() {
        let verdict = if wanted.is_some() { Verdict::Unknown } else { Verdict::Healthy };
        found.push(Check::new("replicas", verdict, "there is no such collection"));
    }
    found
}

async fn one(client: &Client, class: String, factor: i64, live: &BTreeSet<String>) -> Check {
    checks::of_replicas(&class, factor, &placement(client, &class).await, live)
}

async fn placement(client: &Client, class: &str) -> Sight<Vec<ShardReplicas>> {
    match client.sharding_state(class).await {
        Ok(Some(state)) => Sight::Seen(
            state
                .shards
                .into_iter()
                .map(|shard| ShardReplicas { shard: shard.shard, replicas: shard.replicas })
                .collect(),
        ),
        Ok(None) => Sight::unseen(BlindnessKind::Failed, "the servers know no placement of it"),
        Err(error) => Sight::unseen(BlindnessKind::Failed, chain(&error)),
    }
}

/// Compares sampled objects of one collection now, as the operator does on its schedule.
async fn compare(
    opened: &OpenedCluster,
    namespace: &str,
    subject: &Subject<'_>,
    size: usize,
    data: &mut BTreeMap<String, DataVerification>,
) -> Check {
    match report(opened, &subject.collection, size).await {
        Ok(report) => {
            let check = checks::of_comparison(&subject.name, namespace, &report);
            data.insert(subject.name.clone(), report);
            check
        }
        Err(why) => Check::new(format!("data {}", subject.name), Verdict::Unknown, why),
    }
}

async fn report(opened: &OpenedCluster, collection: &str, size: usize) -> Result<DataVerification, String> {
    let class = opened.common.class(collection, SchemaRead::Leader).await.map_err(|error| chain(&error))?;
    let class = class.ok_or_else(|| format!("collection {collection} does not exist"))?;
    let shards = match placement(&opened.common, collection).await {
        Sight::Seen(shards) => shards,
        Sight::Unseen(why) => return Err(why.message),
    };
    let placement = Placement::new(&shards, ServerVersion::parse(&opened.version));
    let reader = sampling::Reader {
        collection,
        common: &opened.common,
        nodes: &opened.nodes,
        placement,
        multi_tenant: schema::is_multi_tenant(&class),
        until: Instant::now() + READING,
    };
    let (readings, asleep) = reader.first(Vec::new(), size).await.map_err(|error| chain(&error))?;
    let mut outcome = Look::begin(Request::default(), readings, asleep, placement, Timestamp::now());
    loop {
        match outcome {
            Outcome::Ended(ended) => return Ok(ended.report),
            Outcome::Again(look) => {
                // A writer may have been at work: only what stays different counts.
                let pause = look.next().duration_since(Timestamp::now());
                tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
                let again = sampling::Reader { until: Instant::now() + READING, ..reader };
                let readings = again.read(look.suspects().cloned().collect()).await;
                outcome = look.again(readings, placement, Timestamp::now());
            }
        }
    }
}

/// Has the operator look, and shows the plan that there is.
async fn propose(reader: &Reader, subject: &Subject<'_>, printer: Printer) -> Check {
    let what = format!("plan {}", subject.name);
    let Some(object) = subject.declared else {
        let message = format!(
            "nobody declares {name}, so no operator looks after it; an ElysiaCollection with `collection: {name}` takes it over with its objects",
            name = subject.name
        );
        return Check::new(what, Verdict::Unknown, message);
    };
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let show = format!("kubectl elysia repair plan {name} -n {namespace}");
    if let Some(plan) = object.status.as_ref().and_then(|status| status.plan.as_ref()) {
        let message = format!("{} {}: {} steps; look at it: {show}", plan.action, plan.hash, plan.total_steps);
        return Check::new(what, Verdict::Fault, message);
    }
    let api: Api<ElysiaCollection> = Api::namespaced(reader.client.clone(), &namespace);
    let parameters = PatchParams { field_manager: Some(PLUGIN_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"annotations": {RUN_NOW_ANNOTATION: Timestamp::now().as_second().to_string()}}});
    match reader.within(api.patch(&name, &parameters, &Patch::Merge(patch))).await {
        Ok(Ok(_)) => {
            printer.note(&format!("the operator was asked to compare {name}; what it proposes: {show}\n"));
            Check::new(what, Verdict::Unknown, format!("the operator looks at it now; then: {show}"))
        }
        Ok(Err(error)) => {
            Check::new(what, Verdict::Unknown, format!("the operator was not asked: {}", complaint(&error)))
        }
        Err(why) => Check::new(what, Verdict::Unknown, format!("the operator was not asked: {why}")),
    }
}

/// For people: a line for each check, then what to do.
pub(super) fn render(checks: &Checks) -> String {
    let mut block = Block::new(&["", "CHECK", "STATE", "WHAT WAS SEEN"]);
    for check in &checks.checks {
        block.row([
            mark(check.verdict).to_owned(),
            check.what.clone(),
            check.verdict.to_string(),
            check.message.clone(),
        ]);
    }
    let mut text = block.render();
    for check in checks.checks.iter().filter(|check| check.verdict != Verdict::Healthy) {
        for finding in checks.data.get(check.what.trim_start_matches("data ")).into_iter().flat_map(|it| &it.findings) {
            let tenant = finding.tenant.as_ref().map_or_else(String::new, |tenant| format!(" of tenant {tenant}"));
            let nodes = finding.nodes.join(", ");
            text.push_str(&plain(&format!("  {}{tenant}: {} at {nodes}", finding.id, finding.what)));
            text.push('\n');
        }
        if let Some(next) = &check.next {
            // Writing to a String cannot fail.
            writeln!(text, "{}: {}", paint(ADVICE, "hint"), plain(next)).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_told_with_what_to_do() {
        let report: DataVerification = serde_json::from_value(json!({
            "at": "2026-11-21T12:00:00Z", "sampled": 100, "replicas": 3, "missing": 1, "orphaned": 0, "different": 0,
            "unread": 0, "findings": [{"id": "00000000-0000-0000-0000-000000000007", "what": "missing", "nodes": ["w-2"]}],
        }))
        .unwrap();
        let object: ElysiaCollection = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
            "metadata": {"name": "articles", "namespace": "search"},
            "spec": {"clusterRef": {"name": "wiki"}, "collection": "Articles"},
            "status": {"verification": report},
        }))
        .unwrap();
        let found = vec![Check::new("leader", Verdict::Healthy, "w-0, for every node"), checks::of_data(&object)];
        let checks = Checks::of(found, BTreeMap::from([("articles".to_owned(), report)]));
        assert_eq!(checks.verdict, Verdict::Fault);
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(&checks)).to_string(), @r"
          CHECK           STATE     WHAT WAS SEEN
        ✓ leader          healthy   w-0, for every node
        ✗ data articles   fault     100 objects compared at 2026-11-21T12:00:00Z: 1 missing, 0 different, 0 left over, 0 unread
          00000000-0000-0000-0000-000000000007: missing at w-2
        hint: kubectl elysia health --data --collection articles -n search --fix
        ");
    }
}
