//! What a copy asks of the world beyond what backups do: the source and the target are read alike, and the target is
//! cleared of what the source has no more.

use std::future::Future;

use jiff::Timestamp;
use uuid::Uuid;

use crate::backup::ports::{ObjectSource, Stretch, Target};
use crate::object::Object;
use crate::ports::PortError;

/// One side of a copy, as it is read.
pub trait Side: ObjectSource {
    /// The next ids of a stretch and when each was written last, as [`ObjectSource::page`] would bring the objects.
    fn stamps(&self, stretch: Stretch<'_>) -> impl Future<Output = Result<Vec<(Uuid, Timestamp)>, PortError>> + Send;

    /// The objects with these ids, with all properties and vectors, in no promised order: the newest that any replica has.
    /// Those that no replica has are left out.
    fn whole(
        &self,
        collection: &str,
        tenant: Option<&str>,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<Object>, PortError>> + Send;

    /// Those of these ids that a majority of replicas has. What is left out is proved absent.
    fn present(
        &self,
        collection: &str,
        tenant: Option<&str>,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<Uuid>, PortError>> + Send;

    /// Aliases that lead to it.
    fn aliases(&self, collection: &str) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// What tells this very collection from one that is made anew under its name; `None` where nothing does.
    fn identity(&self, collection: &str) -> impl Future<Output = Result<Option<String>, PortError>> + Send;

    /// How many objects there are, about; `None` where it cannot be had.
    fn count(&self, collection: &str) -> impl Future<Output = Result<Option<u64>, PortError>> + Send {
        let _ = collection;
        std::future::ready(Ok(None))
    }
}

/// The collection that is copied into, as it is written.
pub trait Mirror: Target {
    /// Removes objects; one that is not there is no error. `Ok`: none of them is there any more.
    fn remove(&self, tenant: Option<&str>, ids: &[Uuid]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Removes tenants with all their objects; one that is not there is no error.
    fn remove_tenants(&self, tenants: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Whether [`Target::has_objects`] asks every node: else that it found none says little.
    fn sees_every_node(&self) -> impl Future<Output = Result<bool, PortError>> + Send {
        std::future::ready(Ok(true))
    }
}
