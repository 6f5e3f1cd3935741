//! Every collection of a cluster: the classes on the servers joined with the objects that declare them.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::ElysiaCollection;
use elysia_core::cluster::ClusterSpec;
use elysia_core::health::{Sighted, Unread};
use elysia_weaviate::NodeShards;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use crate::cli::client::{Reader, chain};
use crate::cli::forward::OpenedCluster;
use crate::cli::owner;

/// One collection. What is absent could not be had.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) name: String,
    /// Whether the servers have it.
    pub(super) live: bool,
    /// Replicas that each shard should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) factor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shards: Option<i64>,
    /// Replicas of the worst shard at nodes that are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lowest: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects: Option<i64>,
    /// `status`: counted by the operator. `statistics`: what the servers have flushed, up to a minute late.
    /// `aggregate`: counted now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects_source: Option<&'static str>,
    pub(super) multi_tenant: bool,
    /// The pattern that protects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protected: Option<String>,
    /// Name of the ElysiaCollection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    /// The tool that owns that object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) managed_by: Option<String>,
    /// Condition Ready of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// What was read for a catalogue.
pub(super) struct Seen {
    pub(super) classes: Vec<Value>,
    /// `None` when the nodes could not be asked.
    pub(super) nodes: Option<Vec<NodeShards>>,
    pub(super) objects: Vec<ElysiaCollection>,
    /// What could not be had.
    pub(super) missing: Vec<String>,
}

/// How new the list of the objects must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// A moment old, and several times as fast where there are a thousand: enough for who only looks.
    Cached,
    /// As it is now: whoever changes something must not take what was just declared for undeclared.
    Latest,
}

/// Two calls to the servers and one list, however many collections there are.
pub(super) async fn read(reader: &Reader, opened: &OpenedCluster, freshness: Freshness) -> Result<Seen, Unread> {
    let (classes, nodes, objects) =
        futures::join!(opened.common.classes(), opened.common.node_shards(None), declared(reader, opened, freshness));
    let classes = classes.map_err(|error| Unread {
        message: format!("the collections of cluster {} cannot be listed: {}", opened.spec.name, chain(&error)),
        next: format!("kubectl elysia health {} -n {}", opened.spec.name, opened.spec.namespace),
    })?;
    let mut missing = Vec::new();
    let nodes = nodes.inspect_err(|error| missing.push(format!("shards unknown: {}", chain(error)))).ok();
    let objects = objects.unwrap_or_else(|unread| {
        missing.push(format!("what is declared is unknown: {}; {}", unread.message, unread.next));
        Vec::new()
    });
    Ok(Seen { classes, nodes, objects, missing })
}

/// The objects that declare collections of this cluster.
pub(super) async fn declared(
    reader: &Reader,
    opened: &OpenedCluster,
    freshness: Freshness,
) -> Result<Vec<ElysiaCollection>, Unread> {
    let namespace = Some(opened.spec.namespace.as_str());
    let listed = match freshness {
        Freshness::Cached => reader.list_cached::<ElysiaCollection>(namespace).await,
        Freshness::Latest => reader.list::<ElysiaCollection>(namespace).await,
    };
    match listed {
        Sighted::Seen(objects) => {
            let mut objects: Vec<_> = objects
                .into_iter()
                .flatten()
                .filter(|object| object.spec.cluster_ref.name == opened.spec.name)
                .collect();
            // The oldest owns a collection that several claim.
            objects.sort_by_key(|object| {
                (object.metadata.creation_timestamp.as_ref().map(|time| time.0), object.name_any())
            });
            Ok(objects)
        }
        Sighted::Unreadable(unread) => Err(unread),
    }
}

/// Joins what was read, sorted by name.
pub(super) fn join(seen: &Seen, spec: &ClusterSpec) -> Vec<Entry> {
    let mut held: BTreeMap<&str, BTreeMap<&str, (i64, i64)>> = BTreeMap::new();
    for shard in seen.nodes.iter().flatten().flat_map(|node| &node.shards) {
        let (replicas, objects) = held.entry(&shard.class).or_default().entry(&shard.name).or_default();
        *replicas += 1;
        // Replicas that lag or are not loaded say less.
        *objects = shard.object_count.max(*objects);
    }
    let mut declared: BTreeMap<&str, &ElysiaCollection> = BTreeMap::new();
    for object in &seen.objects {
        declared.entry(&object.spec.collection).or_insert(object);
    }
    let classes: BTreeMap<&str, &Value> =
        seen.classes.iter().filter_map(|class| Some((class["class"].as_str()?, class))).collect();
    let names: BTreeSet<&str> = classes.keys().chain(declared.keys()).copied().collect();
    let entry = |name: &str| {
        let class = classes.get(name).copied();
        let none = BTreeMap::new();
        // Nobody was asked, or nobody holds any: not the same.
        let shards = seen.nodes.is_some().then(|| held.get(name).unwrap_or(&none));
        let mut entry = Entry { name: name.to_owned(), live: class.is_some(), ..Entry::default() };
        entry.protected = spec.protection(name).map(str::to_owned);
        if let Some(class) = class {
            entry.multi_tenant = class["multiTenancyConfig"]["enabled"] == Value::Bool(true);
            entry.factor = class["replicationConfig"]["factor"].as_i64();
            describe(&mut entry, class, shards);
        }
        if let Some(object) = declared.get(name) {
            overlay(&mut entry, object);
        }
        entry
    };
    names.into_iter().map(entry).collect()
}

fn describe(entry: &mut Entry, class: &Value, shards: Option<&BTreeMap<&str, (i64, i64)>>) {
    let Some(shards) = shards else { return };
    let count = i64::try_from(shards.len()).unwrap_or(i64::MAX);
    // A shard whose nodes are all gone is listed by nobody; only the class knows that there is one.
    let expected = (!entry.multi_tenant).then(|| class["shardingConfig"]["actualCount"].as_i64()).flatten();
    entry.shards = Some(expected.unwrap_or(count).max(count));
    entry.lowest = match (expected, shards.values().map(|(replicas, _)| *replicas).min()) {
        (Some(expected), _) if expected > count => Some(0),
        (_, lowest) => lowest,
    };
    let objects: i64 = shards.values().map(|(_, objects)| objects).sum();
    // Zero is also what new data looks like.
    if objects > 0 {
        (entry.objects, entry.objects_source) = (Some(objects), Some("statistics"));
    }
}

fn overlay(entry: &mut Entry, object: &ElysiaCollection) {
    entry.object = Some(object.name_any());
    entry.managed_by = owner::of(&object.metadata);
    entry.factor = Some(i64::from(object.spec.replication.factor));
    let Some(status) = &object.status else { return };
    if let Some(ready) = status.conditions.iter().find(|condition| condition.type_ == "Ready") {
        let current = status.observed_generation == object.metadata.generation;
        entry.ready = Some(if current { ready.status.clone() } else { "Unknown".to_owned() });
        entry.reason = Some(if current { ready.reason.clone() } else { "Outdated".to_owned() });
    }
    if let Some(objects) = &status.objects {
        (entry.objects, entry.objects_source) = (Some(objects.count), Some("status"));
    }
    if let Some(lowest) = status.replication.as_ref().and_then(|replication| replication.lowest) {
        entry.lowest = Some(entry.lowest.map_or(lowest, |live| live.min(lowest)));
    }
}
