//! What the repair of replicas remembers from round to round. An operator that starts anew knows none of it and waits a
//! little longer; nothing here allows anything that the servers do not say themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use elysia_core::collection::plan::is_no_space;
use elysia_core::collection::{CollectionSpec, Operation, OperationState};
use jiff::{SignedDuration, Timestamp};

/// How long a node that had no room gets no further copies.
const FULL_FOR: SignedDuration = SignedDuration::from_secs(600);

/// How long another source is preferred to one from which a copy went wrong.
const AVOIDED_FOR: SignedDuration = SignedDuration::from_secs(600);

/// How often the numbers of a running repair are written into a status.
const TELLS: SignedDuration = SignedDuration::from_secs(10);

/// Things that are remembered of each kind. Beyond it all of that kind are forgotten: there are at most a few hundred
/// operations at a time.
const LIMIT: usize = 20_000;

/// The memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Things>);

#[derive(Debug, Default)]
struct Things {
    /// Since when an operation is where it is: object, operation, and its stage.
    operations: BTreeMap<(String, String), (String, Timestamp)>,
    /// Nodes that had no room: cluster and node.
    full: BTreeMap<(String, String), (Timestamp, String)>,
    /// Sources from which a copy went wrong: object, shard and node.
    avoided: BTreeMap<(String, String, String), Timestamp>,
    /// When numbers of an object were told last.
    told: BTreeMap<String, Timestamp>,
    /// When the factor of an object's class was raised last.
    raised: BTreeMap<String, Timestamp>,
    /// Nodes that are away, and when those that were came back: cluster and node.
    away: BTreeMap<(String, String), Option<Timestamp>>,
}

fn object(spec: &CollectionSpec) -> String {
    format!("{}/{}", spec.namespace, spec.name)
}

fn cluster(spec: &CollectionSpec) -> String {
    format!("{}/{}", spec.namespace, spec.cluster)
}

impl Memory {
    fn with<T: Default>(&self, use_it: impl FnOnce(&mut Things) -> T) -> T {
        self.0.lock().map(|mut things| use_it(&mut things)).unwrap_or_default()
    }

    /// Since when each of these operations of one object is where it is; those that are gone are forgotten. Its nodes'
    /// coming and going begins the time anew: nothing was done meanwhile, or could not be.
    pub(super) fn seen(
        &self,
        spec: &CollectionSpec,
        operations: &[Operation],
        members: &[String],
        now: Timestamp,
    ) -> BTreeMap<String, Timestamp> {
        let object = object(spec);
        self.with(|things| {
            let is_there = |id: &String| operations.iter().any(|operation| operation.id == *id);
            things.operations.retain(|(of, id), _| *of != object || is_there(id));
            if things.operations.len() > LIMIT {
                things.operations.clear();
            }
            let mut seen = BTreeMap::new();
            for operation in operations {
                let stage = format!(
                    "{:?} {:?} {} {} {} {}",
                    operation.state,
                    operation.stage,
                    operation.dropping,
                    operation.error.is_some(),
                    members.contains(&operation.source),
                    members.contains(&operation.target)
                );
                let key = (object.clone(), operation.id.clone());
                let entry = things.operations.entry(key).or_insert_with(|| (stage.clone(), now));
                if entry.0 != stage {
                    *entry = (stage, now);
                }
                seen.insert(operation.id.clone(), entry.1);
            }
            seen
        })
    }

    /// Nodes that had no room a while ago or, by these operations, have none now.
    pub(super) fn full(
        &self,
        spec: &CollectionSpec,
        operations: &[Operation],
        now: Timestamp,
    ) -> BTreeMap<String, String> {
        let cluster = cluster(spec);
        self.with(|things| {
            for operation in operations {
                if let Some(error) = operation.error.as_ref().filter(|error| is_no_space(error)) {
                    things.full.insert((cluster.clone(), operation.target.clone()), (now, error.clone()));
                }
            }
            things.full.retain(|_, (since, _)| now.duration_since(*since) < FULL_FOR);
            let own = things.full.iter().filter(|((of, _), _)| *of == cluster);
            own.map(|((_, node), (_, words))| (node.clone(), words.clone())).collect()
        })
    }

    /// Shards and sources with which a copy went wrong a while ago or, by these operations, does now.
    pub(super) fn avoided(
        &self,
        spec: &CollectionSpec,
        operations: &[Operation],
        now: Timestamp,
    ) -> BTreeSet<(String, String)> {
        let object = object(spec);
        // A target without room is no fault of the source.
        let went_wrong = |operation: &&Operation| {
            operation.state == OperationState::Active
                && (operation.dropping || operation.error.as_ref().is_some_and(|error| !is_no_space(error)))
        };
        self.with(|things| {
            things.avoided.retain(|_, since| now.duration_since(*since) < AVOIDED_FOR);
            if things.avoided.len() > LIMIT {
                things.avoided.clear();
            }
            for operation in operations.iter().filter(went_wrong) {
                let key = (object.clone(), operation.shard.clone(), operation.source.clone());
                things.avoided.insert(key, now);
            }
            let own = things.avoided.keys().filter(|(of, _, _)| *of == object);
            own.map(|(_, shard, source)| (shard.clone(), source.clone())).collect()
        })
    }

    /// Whether numbers of this object's repair may be told again; if so, they are told now.
    pub(super) fn tells(&self, spec: &CollectionSpec, now: Timestamp) -> bool {
        self.with(|things| {
            if things.told.len() > LIMIT {
                things.told.clear();
            }
            let last = things.told.get(&object(spec));
            let tells = last.is_none_or(|last| now.duration_since(*last) >= TELLS);
            if tells {
                things.told.insert(object(spec), now);
            }
            tells
        })
    }

    /// When the factor of the class was raised last.
    pub(super) fn raised(&self, spec: &CollectionSpec) -> Option<Timestamp> {
        self.with(|things| things.raised.get(&object(spec)).copied())
    }

    /// The factor of the class is being raised.
    pub(super) fn raises(&self, spec: &CollectionSpec, now: Timestamp) {
        self.with(|things| {
            things.raised.insert(object(spec), now);
        });
    }

    /// Of these nodes the one that came back last, and when; those that are away now are remembered.
    pub(super) fn came_back(
        &self,
        spec: &CollectionSpec,
        nodes: &[String],
        members: &[String],
        now: Timestamp,
    ) -> Option<(String, Timestamp)> {
        let cluster = cluster(spec);
        self.with(|things| {
            if things.away.len() > LIMIT {
                things.away.clear();
            }
            let mut last = None;
            for node in nodes {
                let key = (cluster.clone(), node.clone());
                if !members.contains(node) {
                    things.away.insert(key, None);
                } else if let Some(back) = things.away.get_mut(&key) {
                    let back = *back.get_or_insert(now);
                    if last.as_ref().is_none_or(|(_, time)| back > *time) {
                        last = Some((node.clone(), back));
                    }
                }
            }
            last
        })
    }
}
