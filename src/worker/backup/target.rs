//! A Weaviate collection that is restored into.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elysia_engine::backup::ports::{Health, Named, Target, TenantState};
use elysia_engine::backup::references::{References, Uncopied};
use elysia_engine::category::Category;
use elysia_engine::object::Object;
use elysia_engine::ports::{PortError, Refusal};
use elysia_weaviate::{
    ActivityStatus, Client, Consistency, ErrorCategory, NewReference, Page, SchemaRead, Tenant, WeaviateError,
    has_named_vectors,
};
use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::numbers;
use super::side::class_identity;
use super::source::{later, state};
use super::ways::Ways;
use crate::worker::sink::{WeaviateSink, port};

/// Tenants of one call: a hundred kilobytes of names.
const TENANTS: usize = 1000;

/// How long nodes may take to learn of a class or a tenant: measured at most half a second (`weaviate-lab` §6).
const LEARN: Duration = Duration::from_secs(30);
/// Between the first two looks at them; twice as long between the next, up to the longest.
const POLL: Duration = Duration::from_millis(10);
const LONGEST_POLL: Duration = Duration::from_millis(200);

/// How long a majority has to do after a replica did not confirm: the others wait for it each time that it is asked.
const MISSED: Duration = Duration::from_secs(60);

/// What a shard that cannot be written says of itself.
const READ_ONLY: &str = "READONLY";

/// One collection.
pub(crate) struct WeaviateTarget {
    ways: Ways,
    name: String,
    sink: WeaviateSink,
    /// Whether this process asked for the class: an answer may have been lost.
    has_asked: AtomicBool,
    /// Whether the class had references when it was looked at last.
    is_linked: Mutex<Option<bool>>,
    /// When a replica did not confirm what was asked of all of them.
    missed: Mutex<Option<Instant>>,
}

impl WeaviateTarget {
    /// Writes are confirmed by a majority of replicas.
    pub(crate) fn new(ways: Ways, name: &str) -> Self {
        let sink = WeaviateSink::new(ways.common.clone(), ways.clients(), name, Consistency::Quorum);
        let has_asked = AtomicBool::new(false);
        Self { ways, name: name.to_owned(), sink, has_asked, is_linked: Mutex::default(), missed: Mutex::default() }
    }

    pub(super) fn sink(&self) -> &WeaviateSink {
        &self.sink
    }

    /// The ways to the cluster, and the collection.
    pub(super) fn place(&self) -> (&Ways, &str) {
        (&self.ways, &self.name)
    }

    /// Each node at its own address, else whoever answers.
    pub(super) fn everyone(&self) -> Vec<&Client> {
        if self.ways.nodes.is_empty() {
            return vec![&self.ways.common];
        }
        self.ways.nodes.iter().map(|node| &node.client).collect()
    }

    /// Waits until every node acts by what was changed. One that cannot be asked is not waited for: it learns it with the
    /// rest when it comes back.
    async fn learned(&self, news: News<'_>) -> Result<(), PortError> {
        let begun = Instant::now();
        for client in self.everyone() {
            let mut pause = POLL;
            loop {
                match self.knows(client, news).await {
                    Ok(true) => break,
                    Err(error) if error.category() == ErrorCategory::Network => break,
                    Ok(false) | Err(_) if begun.elapsed() < LEARN => {
                        tokio::time::sleep(pause).await;
                        pause = LONGEST_POLL.min(pause * 2);
                    }
                    Ok(false) => {
                        let what = match news {
                            News::Class(_) => format!("collection {}", self.name),
                            News::Property(property) => format!("property {property} of {}", self.name),
                            News::Tenant(tenant) => format!("tenant {} of {}", tenant.name, self.name),
                        };
                        return Err(later(format!("{} does not know {what} after {LEARN:?}", client.address())));
                    }
                    Err(error) => return Err(port(&error)),
                }
            }
        }
        Ok(())
    }

    async fn knows(&self, client: &Client, news: News<'_>) -> Result<bool, WeaviateError> {
        match news {
            News::Class(wanted) => {
                let found = client.class(&self.name, SchemaRead::Local).await?;
                Ok(found.is_some_and(|found| has_named_vectors(&found, wanted)))
            }
            News::Property(wanted) => {
                let found = client.class(&self.name, SchemaRead::Local).await?;
                Ok(found.is_some_and(|found| has_property(&found, wanted)))
            }
            News::Tenant(wanted) => {
                let found = client.tenant(&self.name, &wanted.name, SchemaRead::Local).await?;
                Ok(found.is_some_and(|found| found.activity_status == wanted.activity_status))
            }
        }
    }

    /// Whether the class has references, as it was looked at last.
    async fn is_linked(&self) -> Result<bool, PortError> {
        let known = *lock(&self.is_linked);
        match known {
            Some(known) => Ok(known),
            None => Ok(self.class().await?.is_some_and(|class| is_linked(&class))),
        }
    }

    /// Whether every replica is asked to confirm: unless one of them did not a moment ago.
    fn asks_all(&self) -> bool {
        lock(&self.missed).is_none_or(|missed| missed.elapsed() >= MISSED)
    }

    fn misses(&self, error: &PortError) {
        warn!(error = error.message, "not every replica can be written to: a majority has to do");
        *lock(&self.missed) = Some(Instant::now());
    }

    async fn set(&self, tenants: &[String], activity_status: &ActivityStatus, is_new: bool) -> Result<(), PortError> {
        for names in tenants.chunks(TENANTS) {
            let states: Vec<Tenant> = names
                .iter()
                .map(|name| Tenant { name: name.clone(), activity_status: activity_status.clone() })
                .collect();
            let done = if is_new {
                self.ways.common.create_tenants(&self.name, &states).await
            } else {
                self.ways.common.update_tenants(&self.name, &states).await
            };
            done.map_err(|error| port(&error))?;
        }
        // The log has one order: who knows the last knows them all.
        let Some(last) = tenants.last() else { return Ok(()) };
        let last = Tenant { name: last.clone(), activity_status: activity_status.clone() };
        self.learned(News::Tenant(&last)).await
    }
}

/// What nodes have to learn.
#[derive(Clone, Copy)]
enum News<'a> {
    /// That the class is there, with the named vectors of this one.
    Class(&'a Value),
    /// That the class has a property of this name.
    Property(&'a str),
    /// That a tenant is there, and in this state.
    Tenant(&'a Tenant),
}

impl Target for WeaviateTarget {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        let class = self.ways.common.class(&self.name, SchemaRead::Leader).await.map_err(|error| port(&error))?;
        *lock(&self.is_linked) = class.as_ref().map(is_linked);
        Ok(class)
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        self.ways.common.nodes().await.map(|nodes| nodes.len()).map_err(|error| port(&error))
    }

    async fn health(&self) -> Result<Health, PortError> {
        let nodes = self.ways.common.nodes().await.map_err(|error| port(&error))?;
        let unhealthy = nodes.iter().filter(|node| !node.is_healthy()).map(|node| node.name.clone()).collect();
        Ok(Health { nodes: nodes.len(), unhealthy })
    }

    /// Of every node that can be asked at its own address.
    async fn modules(&self) -> Result<Option<Vec<String>>, PortError> {
        let mut all: Option<BTreeSet<String>> = None;
        for client in self.everyone() {
            let meta = client.meta().await.map_err(|error| port(&error))?;
            let found: BTreeSet<String> = meta.modules.into_keys().collect();
            all = Some(match all {
                Some(before) => before.intersection(&found).cloned().collect(),
                None => found,
            });
        }
        Ok(all.map(|all| all.into_iter().collect()))
    }

    /// One call for all nodes. A key that may not look at nodes sees none: then nothing is said, and a batch that is refused
    /// says it.
    async fn read_only(&self) -> Result<Vec<String>, PortError> {
        let nodes = match self.ways.common.node_shards(Some(&self.name)).await {
            Ok(nodes) => nodes,
            Err(error) if error.retryable() => return Err(port(&error)),
            Err(error) => {
                warn!(%error, collection = self.name, "it cannot be seen whether shards are read-only");
                return Ok(Vec::new());
            }
        };
        let shards = nodes.into_iter().flat_map(|node| node.shards);
        let frozen = shards.filter(|shard| shard.class == self.name && shard.vector_indexing_status == READ_ONLY);
        Ok(frozen.map(|shard| shard.name).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn own_alias(&self) -> Result<Option<String>, PortError> {
        match self.ways.common.class(&self.name, SchemaRead::Leader).await {
            Err(WeaviateError::IsAlias { target, .. }) => Ok(Some(target)),
            Err(error) => Err(port(&error)),
            Ok(Some(_)) => Ok(None),
            // An alias stays when its class is deleted. Whoever may not look at aliases is told by the servers.
            Ok(None) => match self.ways.common.alias(&self.name).await {
                Err(error) if error.retryable() => Err(port(&error)),
                found => Ok(found.ok().flatten()),
            },
        }
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        match self.ways.common.class(name, SchemaRead::Leader).await {
            Err(WeaviateError::IsAlias { target, .. }) => return Ok(Named::Alias(target)),
            Err(error) => return Err(port(&error)),
            Ok(Some(_)) => return Ok(Named::Collection),
            Ok(None) => {}
        }
        let found = self.ways.common.alias(name).await.map_err(|error| port(&error))?;
        Ok(found.map_or(Named::Nothing, Named::Alias))
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.ways.common.create_alias(alias, &self.name).await.map_err(|error| port(&error))
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        let tenants = self.ways.common.tenants(&self.name).await.map_err(|error| port(&error))?;
        Ok(tenants.iter().map(state).collect())
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        // At every node: a replica that lags may have none.
        for client in self.everyone() {
            let page = Page { class: &self.name, tenant, after: None, limit: 1 };
            if !client.list_ids(page).await.map_err(|error| port(&error))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn asks_every_node(&self) -> Result<bool, PortError> {
        let nodes = self.ways.common.nodes().await.map_err(|error| port(&error))?;
        // A cluster of one node has that node at its common address.
        let is_only = nodes.len() == 1 && self.ways.nodes.is_empty();
        Ok(is_only || nodes.iter().all(|node| self.ways.nodes.iter().any(|way| way.name == node.name)))
    }

    async fn identity(&self) -> Result<Option<String>, PortError> {
        match class_identity(&self.ways.common, &self.name).await {
            Ok(found) => Ok(found.flatten()),
            // A key that may write objects and not ask for the placement of shards: nothing is told then.
            Err(WeaviateError::Denied { .. }) => Ok(None),
            Err(error) => Err(port(&error)),
        }
    }

    async fn any_object(&self, tenant: Option<&str>) -> Result<Option<Object>, PortError> {
        for client in self.everyone() {
            let page = Page { class: &self.name, tenant, after: None, limit: 1 };
            let ids = client.list_ids(page).await.map_err(|error| port(&error))?;
            if !ids.is_empty() {
                return Ok(self.fetch(tenant, &ids).await?.into_iter().next());
            }
        }
        Ok(None)
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        let nodes = self.ways.common.nodes().await.map_err(|error| port(&error))?;
        let versions = nodes.into_iter().map(|node| node.version).filter(|version| !version.is_empty());
        // Numbers are compared, not letters: 1.9 is older than 1.10.
        let numbers = |version: &String| -> Vec<u64> {
            version.split(['.', '-']).map_while(|number| number.parse().ok()).collect()
        };
        Ok(versions.min_by_key(numbers))
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        let is_again = self.has_asked.swap(true, Ordering::Relaxed);
        match self.ways.common.create_class(class).await {
            Ok(()) => {}
            // The answer to the first attempt was lost, or it broke off between the two steps that some classes take.
            Err(WeaviateError::Invalid { .. }) if is_again && self.class().await?.is_some() => {
                self.ways.common.add_named_vectors(class).await.map_err(|error| port(&error))?;
            }
            Err(error) => return Err(port(&error)),
        }
        self.learned(News::Class(class)).await
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.set(tenants, &ActivityStatus::Hot, true).await
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.set(tenants, &ActivityStatus::Cold, false).await
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        let class = self.class().await?.unwrap_or_default();
        let references = References::of_class(&class);
        let mut found = self.sink.fetch_in(tenant, ids).await?;
        for object in &mut found {
            references.settle(object).map_err(|error| uncopied(&error))?;
            numbers::settle(&class, &mut object.properties);
        }
        Ok(found)
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        // References follow at once. A replica that a majority did not wait for may get them before their object: one was
        // seen without a reference half a minute later (1.38.2, journey `backup_references`).
        if self.is_linked().await? && self.asks_all() {
            match self.sink.put_at(tenant, objects, Consistency::All).await {
                Ok(refusals) if refusals.is_empty() => return Ok(refusals),
                Ok(_) => {}
                Err(error) => self.misses(&error),
            }
        }
        self.sink.put_in(tenant, objects).await
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        let all: Vec<NewReference<'_>> = (objects.iter().copied())
            .flat_map(|object| references.of(object).map(move |it| (object.id, it)))
            .map(|(id, (property, beacon))| NewReference { id, property, beacon })
            .collect();
        // Of references that one replica missed, and of later ones that it has, nobody could tell by the time of the last change.
        if self.asks_all() {
            // Whoever calls looks what is there before it adds any again, or writes the objects anew.
            return self
                .sink
                .link_in(tenant, &all, Some(Consistency::All))
                .await
                .inspect_err(|error| self.misses(error));
        }
        self.sink.link_in(tenant, &all, None).await
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        let name = property["name"].as_str().unwrap_or_default();
        let has = |class: Option<Value>| class.is_some_and(|class| has_property(&class, name));
        match self.ways.common.add_property(&self.name, property).await {
            Ok(()) => {}
            // The answer to an earlier attempt was lost.
            Err(WeaviateError::Invalid { .. }) if has(self.class().await?) => {}
            Err(error) => return Err(port(&error)),
        }
        // What is written into a property that a node does not know yet is written over what is there.
        self.learned(News::Property(name)).await
    }
}

fn is_linked(class: &Value) -> bool {
    !References::of_class(class).is_empty()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_property(class: &Value, name: &str) -> bool {
    class["properties"].as_array().into_iter().flatten().any(|property| property["name"] == name)
}

fn uncopied(error: &Uncopied) -> PortError {
    PortError { category: Category::Weaviate, retryable: false, message: error.to_string() }
}
