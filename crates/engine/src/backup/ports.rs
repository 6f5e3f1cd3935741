//! What backups ask of the world: a store, a collection to read, a collection to write. The clock is the engine's own.

use std::future::Future;

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::filter::Times;
use super::manifest::{ReplicasNote, SourceNote};
use super::references::References;
use crate::checkpoint::Digest;
use crate::object::Object;
use crate::ports::{PortError, Refusal};

/// Whether a write may replace what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Only where there is nothing.
    Create,
    /// Whatever is there.
    Overwrite,
}

/// What a write found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Put {
    /// It was written.
    Written,
    /// There was something already, and `Create` was asked for: it is as it was.
    Exists,
}

/// What stands under a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Got {
    /// All of it.
    Bytes(Bytes),
    /// Nothing.
    Absent,
    /// More than was asked for at most: its size.
    TooLarge(u64),
}

/// Files under keys. A write is whole or not at all, and what was written is read from then on.
pub trait Store: Sync {
    /// Writes a file.
    fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> impl Future<Output = Result<Put, PortError>> + Send;

    /// Reads a file of at most this many bytes.
    fn get(&self, key: &str, most: u64) -> impl Future<Output = Result<Got, PortError>> + Send;

    /// Size and SHA-256 of a file of any size; `None` where there is none. Whoever can should not hold it whole.
    fn digest(&self, key: &str) -> impl Future<Output = Result<Option<(u64, Digest)>, PortError>> + Send {
        async move {
            match self.get(key, u64::MAX).await? {
                Got::Bytes(bytes) => Ok(Some((bytes.len() as u64, Digest::of(&bytes)))),
                Got::Absent | Got::TooLarge(_) => Ok(None),
            }
        }
    }

    /// The names right below this folder that are folders themselves, sorted.
    fn folders(&self, folder: &str) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// The keys of files below this folder, at any depth, sorted; at most this many of them.
    fn files(&self, folder: &str, most: usize) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// Bytes that can still be written; `None` where nobody can tell, as in a bucket.
    fn room(&self) -> impl Future<Output = Result<Option<u64>, PortError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Removes files; one that is not there is no error. `Ok` = none of them is there any more, `Err` says nothing about
    /// any of them.
    fn remove(&self, keys: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A tenant of a collection, as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TenantState {
    /// Its name.
    pub name: String,
    /// `HOT`, `COLD` or `FROZEN`.
    pub activity: String,
}

impl TenantState {
    /// Whether its objects can be read as it is.
    pub fn is_awake(&self) -> bool {
        self.activity == "HOT"
    }

    /// Whether it can be woken.
    pub fn is_cold(&self) -> bool {
        self.activity == "COLD"
    }
}

/// A collection as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The class, the server's own JSON.
    pub schema: Value,
    /// Aliases that lead to it.
    pub aliases: Vec<String>,
    /// Its tenants; `None` where it has no tenancy.
    pub tenants: Option<Vec<TenantState>>,
}

/// A stretch of ids of one collection and tenant.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// Which of several stretches; the source spreads them over nodes.
    pub slice: usize,
    /// The last id that was read, or the one before the first; `None` begins at the lowest id.
    pub after: Option<Uuid>,
    /// The first id that does not belong to it; `None` where it goes on to the highest.
    pub until: Option<Uuid>,
}

/// Objects of a stretch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Ascending by id. None: the stretch is over.
    pub objects: Vec<Object>,
    /// Their own times, in the same order, where [`ObjectSource::tells_times`] says so; else none.
    pub times: Vec<Times>,
    /// What the replicas said of one another.
    pub replicas: ReplicasNote,
    /// Ascending, those of which replicas hold different contents, also when they were asked a second time. What one lacks is
    /// not among them: that is late, and servers bring it.
    pub unlike: Vec<Uuid>,
    /// Whether the stretch is over with it, as far as the source knows: then it is not asked for one more.
    pub is_last: bool,
}

/// Collections that are read.
pub trait ObjectSource: Sync {
    /// Where it reads.
    fn about(&self) -> impl Future<Output = Result<SourceNote, PortError>> + Send;

    /// A collection; `None` when there is none of that name.
    fn describe(&self, collection: &str) -> impl Future<Output = Result<Option<Described>, PortError>> + Send;

    /// How a tenant is at this moment; `None` when there is none of that name.
    fn tenant(
        &self,
        collection: &str,
        tenant: &str,
    ) -> impl Future<Output = Result<Option<TenantState>, PortError>> + Send {
        async move {
            let described = self.describe(collection).await?;
            let mut tenants = described.and_then(|described| described.tenants).unwrap_or_default().into_iter();
            Ok(tenants.find(|found| found.name == tenant))
        }
    }

    /// Into how many stretches reading is worth to be cut.
    fn slices(&self, collection: &str, tenant: Option<&str>) -> impl Future<Output = Result<usize, PortError>> + Send;

    /// The next objects of a stretch: every one that was there before the call, and has not been deleted since.
    fn page(&self, stretch: Stretch<'_>) -> impl Future<Output = Result<Page, PortError>> + Send;

    /// Whether pages bring the objects' own times, by which a filter may choose.
    fn tells_times(&self) -> bool {
        false
    }

    /// Wakes a tenant, or puts it back to rest, and waits until it is so.
    fn set_awake(
        &self,
        collection: &str,
        tenant: &str,
        awake: bool,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Puts a tenant to rest that is awake. One that somebody has put to rest, offloaded or removed meanwhile stays as they
    /// left it: one that is offloaded would be loaded back.
    fn rest(&self, collection: &str, tenant: &str) -> impl Future<Output = Result<(), PortError>> + Send {
        async move {
            let is_awake = async || Ok(self.tenant(collection, tenant).await?.is_some_and(|found| found.is_awake()));
            if !is_awake().await? {
                return Ok(());
            }
            match self.set_awake(collection, tenant, false).await {
                // Done by somebody else between the two calls, it is done.
                Err(error) if is_awake().await? => Err(error),
                _ => Ok(()),
            }
        }
    }
}

/// What a name stands for in a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// A collection.
    Collection,
    /// An alias that leads to this collection, be it there or not.
    Alias(String),
}

/// What the nodes of a cluster say of themselves. One that died may be left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// How many are listed.
    pub nodes: usize,
    /// Those of them that do not call themselves healthy.
    pub unhealthy: Vec<String>,
}

/// A collection that is restored into.
pub trait Target: Sync {
    /// The class; `None` when there is none of that name.
    fn class(&self) -> impl Future<Output = Result<Option<Value>, PortError>> + Send;

    /// Nodes, as far as the cluster says.
    fn nodes(&self) -> impl Future<Output = Result<usize, PortError>> + Send;

    /// The same with those that are not well. Whoever cannot tell calls all of them healthy.
    fn health(&self) -> impl Future<Output = Result<Health, PortError>> + Send {
        async { Ok(Health { nodes: self.nodes().await?, unhealthy: Vec::new() }) }
    }

    /// Modules that every server of it has; `None` where they do not say.
    fn modules(&self) -> impl Future<Output = Result<Option<Vec<String>>, PortError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Shards of the collection that some replica does not let be written, sorted; of tenants their names. Whoever cannot
    /// tell names none.
    fn read_only(&self) -> impl Future<Output = Result<Vec<String>, PortError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Where an alias leads that has the collection's own name; `None` where there is no such alias, or it cannot be told.
    fn own_alias(&self) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        std::future::ready(Ok(None))
    }

    /// What this name stands for.
    fn named(&self, name: &str) -> impl Future<Output = Result<Named, PortError>> + Send;

    /// Makes an alias that leads to the collection. One that is there already is never changed.
    fn make_alias(&self, alias: &str) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Tenants that there are.
    fn tenants(&self) -> impl Future<Output = Result<Vec<TenantState>, PortError>> + Send;

    /// Whether there is any object of this tenant.
    fn has_objects(&self, tenant: Option<&str>) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Whether [`Self::has_objects`] asks every node at its own address: else that it found none proves nothing.
    fn asks_every_node(&self) -> impl Future<Output = Result<bool, PortError>> + Send {
        std::future::ready(Ok(true))
    }

    /// What tells the class from any other that had its name before, or has it after; `None` where nothing does.
    fn identity(&self) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Any object of this tenant, with its vectors: new ones must have as many dimensions. `None` when there is none, or it
    /// cannot be told.
    fn any_object(&self, tenant: Option<&str>) -> impl Future<Output = Result<Option<Object>, PortError>> + Send {
        let _ = tenant;
        std::future::ready(Ok(None))
    }

    /// The oldest version that a server of it has, such as `1.38.2`; `None` when it cannot be told.
    fn version(&self) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Makes the class.
    fn create(&self, class: &Value) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Makes tenants, awake.
    fn create_tenants(&self, tenants: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Puts tenants to rest.
    fn rest_tenants(&self, tenants: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// The objects with these ids, as a majority of replicas knows them.
    fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Object>, PortError>> + Send;

    /// Writes objects over whatever has their ids; names those that were refused. They have no references.
    fn put(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
    ) -> impl Future<Output = Result<Vec<Refusal>, PortError>> + Send;

    /// Adds the references of objects behind those that they have, each object's in their order; names the objects of which
    /// one was refused. After an error any of them may have been added.
    fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> impl Future<Output = Result<Vec<Refusal>, PortError>> + Send;

    /// Gives the class one more property, and waits until it can be written.
    fn add_property(&self, property: &Value) -> impl Future<Output = Result<(), PortError>> + Send;
}
