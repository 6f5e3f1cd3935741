//! A Weaviate collection as the engine's sink.

use std::collections::{BTreeMap, BTreeSet};

use elysia_engine::category::Category;
use elysia_engine::chunk;
use elysia_engine::object::{Object, Vector, Vectors};
use elysia_engine::ports::{PortError, Refusal, Sink};
use elysia_weaviate::{
    BatchEncoder, Client, Consistency, ErrorCategory, NewReference, ObjectError, ObjectRef, ReadFrom, VectorRef,
    WeaviateError,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tracing::warn;
use uuid::Uuid;

use super::chain;
use super::nodes::Nodes;

/// Reads under way at once: each is a call of a few milliseconds, and one worker is not alone.
const READS: usize = 16;

/// References that one call adds: some hundred milliseconds of work for the servers, which write each by itself.
const REFERENCES: usize = 1_000;

/// What Weaviate answers to a search or a delete by filter while the shards of a class have unequally many replicas
/// (in the midst of a repair). Writes and reads by id are not affected.
const UNEQUAL_REPLICAS: &str = "inconsistent consistency levels";

/// One collection.
pub(super) struct WeaviateSink {
    /// For what only searches can tell.
    client: Client,
    nodes: Nodes,
    class: String,
    consistency: Consistency,
}

impl WeaviateSink {
    /// `client` asks the cluster; `nodes` are its nodes' own addresses, if they are known.
    pub(super) fn new(client: Client, nodes: Vec<Client>, class: &str, consistency: Consistency) -> Self {
        let nodes = if nodes.is_empty() { vec![client.clone()] } else { nodes };
        Self { client, nodes: Nodes::new(nodes), class: class.to_owned(), consistency }
    }

    async fn read(&self, tenant: Option<&str>, id: Uuid, with_vectors: bool) -> Result<Option<Object>, PortError> {
        let from = ReadFrom::Replicas(self.consistency);
        let class = self.class.as_str();
        let found = self.nodes.call(|node| async move { node.object(class, tenant, id, from, with_vectors).await });
        let found = found.await?;
        found
            .map(|object| {
                let vectors = vectors(object.vector, object.vectors)?;
                Ok(Object { id, properties: object.properties, vectors })
            })
            .transpose()
    }

    async fn read_in(&self, tenant: Option<&str>, ids: &[Uuid], with_vectors: bool) -> Result<Vec<Object>, PortError> {
        let reads = stream::iter(ids.to_vec()).map(|id| self.read(tenant, id, with_vectors)).buffer_unordered(READS);
        reads.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// The objects of a tenant with these ids, as [`Sink::fetch`].
    pub(super) async fn fetch_in(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        // By id, not by search: a search asks one replica, which may lack what the majority has.
        let found = self.read_in(tenant, ids, true).await?;
        let known = found.iter().map(|object| object.id).collect::<BTreeSet<_>>();
        let absent = ids.iter().copied().filter(|id| !known.contains(id)).collect::<Vec<_>>();
        if !absent.is_empty() {
            self.prove_absent(tenant, &absent).await?;
        }
        Ok(found)
    }

    /// Writes objects of a tenant, as [`Sink::put`].
    pub(super) async fn put_in(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.put_at(tenant, objects, self.consistency).await
    }

    /// The same, confirmed by so many replicas.
    pub(super) async fn put_at(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        consistency: Consistency,
    ) -> Result<Vec<Refusal>, PortError> {
        let mut encoder = BatchEncoder::new();
        let mut sent = Vec::new();
        let mut refusals = Vec::new();
        for object in objects {
            match encoder.push_ref(&wire(&self.class, tenant, object)) {
                Ok(_) => sent.push(object.id),
                Err(error) => refusals.push(Refusal { id: object.id, error: port(&error) }),
            }
        }
        let batch = encoder.finish(consistency);
        let send_to = |node: Client| {
            let batch = batch.clone();
            async move { node.send_batch(batch).await }
        };
        let outcome = self.nodes.call(send_to).await?;
        let refused = |error: &ObjectError| sent.get(error.index).map(|id| Refusal { id: *id, error: refusal(error) });
        refusals.extend(outcome.errors.iter().filter_map(refused));
        Ok(refusals)
    }

    /// Adds references to objects of a tenant, in this order, confirmed by so many replicas, those of this sink by default;
    /// names those objects of which one was refused. After an error any of them may have been added.
    pub(super) async fn link_in(
        &self,
        tenant: Option<&str>,
        references: &[NewReference<'_>],
        consistency: Option<Consistency>,
    ) -> Result<Vec<Refusal>, PortError> {
        let (class, consistency) = (self.class.as_str(), consistency.unwrap_or(self.consistency));
        let mut refusals = Vec::new();
        for some in calls_of(references) {
            let add = |node: Client| async move { node.add_references(class, tenant, some, consistency).await };
            let refused = self.nodes.once(add).await?;
            let named =
                |error: &ObjectError| some.get(error.index).map(|it| Refusal { id: it.id, error: refusal(error) });
            refusals.extend(refused.iter().filter_map(named));
        }
        Ok(refusals)
    }

    /// Those of these ids of a tenant that the majority has, as [`Sink::present`].
    pub(super) async fn present_in(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        let found = self.read_in(tenant, ids, false).await?;
        let known = found.iter().map(|object| object.id).collect::<BTreeSet<_>>();
        let absent = ids.iter().copied().filter(|id| !known.contains(id)).collect::<Vec<_>>();
        if !absent.is_empty() {
            self.prove_absent(tenant, &absent).await?;
        }
        Ok(known.into_iter().collect())
    }

    /// Deletes objects of a tenant, as [`Sink::delete`].
    pub(super) async fn delete_in(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<(), PortError> {
        let class = self.class.as_str();
        let at = |consistency| {
            let delete =
                move |node: Client| async move { node.batch_delete_ids(class, tenant, ids, consistency).await };
            self.nodes.call(delete)
        };
        let (outcome, is_sure) = match at(self.consistency).await {
            Err(error) if error.message.contains(UNEQUAL_REPLICAS) => (at(Consistency::One).await, false),
            outcome => (outcome, true),
        };
        let outcome = outcome?;
        if outcome.failed > 0 {
            return Err(disagree(format!("{} of {} objects were not deleted", outcome.failed, outcome.matches)));
        }
        if is_sure && outcome.successful == ids.len() as u64 {
            return Ok(());
        }
        // A delete finds its objects by a search. What it did not find must be unknown to the majority as well.
        match self.read_in(tenant, ids, false).await?.first() {
            None => Ok(()),
            Some(object) => {
                Err(disagree(format!("object {} was not found by the delete and is still there", object.id)))
            }
        }
    }

    /// A node that has just lost its disk answers "not found" for everything until it has the schema again. A search
    /// fails there, and elsewhere finds what must not be taken for unknown.
    async fn prove_absent(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<(), PortError> {
        let found = self.client.fetch_by_ids(&self.class, tenant, ids, false, Consistency::One).await;
        match found.map_err(|error| PortError { retryable: true, ..port(&error) })?.first() {
            None => Ok(()),
            Some(object) => Err(disagree(format!("object {} is found by a search and not by its id", object.id))),
        }
    }
}

impl Sink for WeaviateSink {
    async fn fetch(&self, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.fetch_in(None, ids).await
    }

    async fn present(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        self.present_in(None, ids).await
    }

    async fn chunk_counts(&self, ids: &[Uuid], property: &str) -> Result<Vec<(Uuid, u64)>, PortError> {
        // One by one: what else is in the heads is not kept.
        let count = |id: Uuid| async move {
            let found = self.read(None, id, false).await?;
            Ok::<_, PortError>(found.map(|head| (id, chunk::count(head.properties.get(property)))))
        };
        let reads = stream::iter(ids.to_vec()).map(count).buffer_unordered(READS);
        let counts = reads.try_filter_map(async |found| Ok(found)).try_collect::<BTreeMap<_, _>>().await?;
        let absent = ids.iter().copied().filter(|id| !counts.contains_key(id)).collect::<Vec<_>>();
        if !absent.is_empty() {
            self.prove_absent(None, &absent).await?;
        }
        Ok(counts.into_iter().collect())
    }

    async fn count(&self, numbered: Option<&str>) -> Result<Option<u64>, PortError> {
        // It counts the shards that answered: too few make a share of them larger, and so allow less.
        let counted = match numbered {
            None => self.client.object_count(&self.class).await,
            Some(property) => self.client.object_count_where(&self.class, property, 0).await,
        };
        let counted = counted.map_err(|error| port(&error))?;
        Ok(counted.inspect_err(|reason| warn!(reason, "the objects could not be counted")).ok())
    }

    async fn put(&self, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.put_in(None, objects).await
    }

    async fn delete(&self, ids: &[Uuid]) -> Result<(), PortError> {
        self.delete_in(None, ids).await
    }
}

fn wire<'a>(class: &'a str, tenant: Option<&'a str>, object: &'a Object) -> ObjectRef<'a> {
    let mut wire =
        ObjectRef { id: object.id, class, tenant, properties: &object.properties, unnamed: None, named: Vec::new() };
    for (name, vector) in &object.vectors {
        match vector {
            Vector::Single(numbers) if name.is_empty() => wire.unnamed = Some(numbers),
            Vector::Single(numbers) => wire.named.push((name, VectorRef::Single(numbers))),
            Vector::Multi(lists) => wire.named.push((name, VectorRef::Multi(lists))),
        }
    }
    wire
}

fn vectors(unnamed: Option<Vec<f32>>, named: BTreeMap<String, Value>) -> Result<Vectors, PortError> {
    let mut vectors = Vectors::new();
    if let Some(numbers) = unnamed.filter(|numbers| !numbers.is_empty()) {
        vectors.insert(String::new(), Vector::Single(numbers));
    }
    for (name, value) in named {
        let is_multi = value.as_array().and_then(|items| items.first()).is_some_and(Value::is_array);
        let vector = if is_multi {
            serde_json::from_value(value).map(Vector::Multi)
        } else {
            serde_json::from_value(value).map(Vector::Single)
        };
        let vector = vector.map_err(|error| PortError {
            category: Category::Encoding,
            retryable: false,
            message: format!("vector {name} is no vector: {error}"),
        })?;
        vectors.insert(name, vector);
    }
    Ok(vectors)
}

fn disagree(message: String) -> PortError {
    PortError { category: Category::Weaviate, retryable: true, message }
}

pub(super) fn port(error: &WeaviateError) -> PortError {
    PortError { category: category(error.category()), retryable: error.retryable(), message: chain(error) }
}

/// References of one call each. Those of one object go together as far as they can: a replica that misses a call has all of them
/// or none, and what it lacks shows by the time of its last change.
fn calls_of<'a, 'b>(references: &'a [NewReference<'b>]) -> Vec<&'a [NewReference<'b>]> {
    let mut calls = Vec::new();
    let mut rest = references;
    while !rest.is_empty() {
        let most = REFERENCES.min(rest.len());
        let is_first_of_its_object =
            |at: &usize| rest.get(*at).is_none_or(|next| rest.get(at - 1).is_none_or(|before| before.id != next.id));
        let end = (1..=most).rev().find(is_first_of_its_object).unwrap_or(most);
        let (call, behind) = rest.split_at(end);
        calls.push(call);
        rest = behind;
    }
    calls
}

/// A shard that is frozen, for a proof or a backup, is thawed again: unlike a disk that is full, but that shows only
/// after a while.
fn refusal(error: &ObjectError) -> PortError {
    PortError {
        category: category(error.category()),
        retryable: error.retryable() || error.is_read_only(),
        message: error.message.clone(),
    }
}

fn category(category: ErrorCategory) -> Category {
    match category {
        ErrorCategory::Network => Category::Network,
        ErrorCategory::Weaviate => Category::Weaviate,
        ErrorCategory::FileSystem => Category::FileSystem,
        ErrorCategory::RateLimit => Category::RateLimit,
        ErrorCategory::Memory => Category::Memory,
        ErrorCategory::Encoding => Category::Encoding,
        ErrorCategory::Timeout => Category::Timeout,
        ErrorCategory::Validation => Category::Validation,
        ErrorCategory::Unknown => Category::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_one_object_go_together() {
        for (lists, wanted) in [
            (vec![], vec![]),
            (vec![3, 2], vec![5]),
            (vec![REFERENCES], vec![REFERENCES]),
            (vec![REFERENCES - 1, 2, 1], vec![REFERENCES - 1, 3]),
            // Longer than a call.
            (vec![1, REFERENCES + 5, 2], vec![1, REFERENCES, 7]),
        ] {
            let ids = lists.iter().enumerate().flat_map(|(at, count)| vec![Uuid::from_u128(at as u128); *count]);
            let all: Vec<_> = ids.map(|id| NewReference { id, property: "by", beacon: "" }).collect();
            let found: Vec<usize> = calls_of(&all).into_iter().map(<[_]>::len).collect();
            assert_eq!(found, wanted, "{lists:?}");
        }
    }
}
