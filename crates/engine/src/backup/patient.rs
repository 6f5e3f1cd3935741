//! Ports of which every single call is tried again where it fails for now.
//!
//! What asks many things in a row, such as a preflight, a list of receipts or a page after a page, never comes to its end
//! when it is tried as a whole: of thirty calls of which every fifth fails, all succeed at once in a thousandth of cases.

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::manifest::SourceNote;
use super::ports::{Described, Got, Health, Mode, Named, ObjectSource, Page, Put, Store, Stretch, Target, TenantState};
use super::references::References;
use crate::checkpoint::Digest;
use crate::object::Object;
use crate::ports::{Clock, PortError, Refusal};
use crate::retry::{Retry, Stop, each};

/// A port with patience. Not for ports that are patient already: attempts would multiply.
pub struct Patient<'a, P, C> {
    port: &'a P,
    clock: &'a C,
    stop: &'a Stop,
    retry: Retry,
}

impl<P, C> Clone for Patient<'_, P, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, C> Copy for Patient<'_, P, C> {}

impl<'a, P, C: Clock> Patient<'a, P, C> {
    /// Each call of the port is tried like this.
    pub fn new(port: &'a P, (retry, clock, stop): (Retry, &'a C, &'a Stop)) -> Self {
        Self { port, clock, stop, retry }
    }

    async fn call<T, F>(&self, call: impl FnMut() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        each((self.retry, self.clock, self.stop), call).await
    }
}

impl<P: Store, C: Clock> Store for Patient<'_, P, C> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.call(|| self.port.put(key, bytes.clone(), mode)).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.call(|| self.port.get(key, most)).await
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        self.call(|| self.port.digest(key)).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.call(|| self.port.folders(folder)).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        self.call(|| self.port.files(folder, most)).await
    }

    async fn room(&self) -> Result<Option<u64>, PortError> {
        self.call(|| self.port.room()).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.call(|| self.port.remove(keys)).await
    }
}

impl<P: ObjectSource, C: Clock> ObjectSource for Patient<'_, P, C> {
    async fn about(&self) -> Result<SourceNote, PortError> {
        self.call(|| self.port.about()).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.call(|| self.port.describe(collection)).await
    }

    async fn tenant(&self, collection: &str, tenant: &str) -> Result<Option<TenantState>, PortError> {
        self.call(|| self.port.tenant(collection, tenant)).await
    }

    async fn slices(&self, collection: &str, tenant: Option<&str>) -> Result<usize, PortError> {
        self.call(|| self.port.slices(collection, tenant)).await
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        self.call(|| self.port.page(stretch)).await
    }

    fn tells_times(&self) -> bool {
        self.port.tells_times()
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        self.call(|| self.port.set_awake(collection, tenant, awake)).await
    }

    async fn rest(&self, collection: &str, tenant: &str) -> Result<(), PortError> {
        self.call(|| self.port.rest(collection, tenant)).await
    }
}

impl<P: Target, C: Clock> Target for Patient<'_, P, C> {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        self.call(|| self.port.class()).await
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        self.call(|| self.port.nodes()).await
    }

    async fn health(&self) -> Result<Health, PortError> {
        self.call(|| self.port.health()).await
    }

    async fn modules(&self) -> Result<Option<Vec<String>>, PortError> {
        self.call(|| self.port.modules()).await
    }

    async fn read_only(&self) -> Result<Vec<String>, PortError> {
        self.call(|| self.port.read_only()).await
    }

    async fn own_alias(&self) -> Result<Option<String>, PortError> {
        self.call(|| self.port.own_alias()).await
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.call(|| self.port.named(name)).await
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.call(|| self.port.make_alias(alias)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.call(|| self.port.tenants()).await
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.call(|| self.port.has_objects(tenant)).await
    }

    async fn asks_every_node(&self) -> Result<bool, PortError> {
        self.call(|| self.port.asks_every_node()).await
    }

    async fn identity(&self) -> Result<Option<String>, PortError> {
        self.call(|| self.port.identity()).await
    }

    async fn any_object(&self, tenant: Option<&str>) -> Result<Option<Object>, PortError> {
        self.call(|| self.port.any_object(tenant)).await
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        self.call(|| self.port.version()).await
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        self.call(|| self.port.create(class)).await
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.call(|| self.port.create_tenants(tenants)).await
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.call(|| self.port.rest_tenants(tenants)).await
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.call(|| self.port.fetch(tenant, ids)).await
    }

    /// A batch of which some objects are refused for now has succeeded as a call: whoever puts them tries those again.
    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.call(|| self.port.put(tenant, objects)).await
    }

    /// Not tried again here: what a failed call added would be there twice. Whoever adds looks first what is there.
    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        self.port.add_references(tenant, objects, references).await
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        self.call(|| self.port.add_property(property)).await
    }
}
