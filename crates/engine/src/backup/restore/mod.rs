//! Puts a collection of a run back: into the same cluster or another, under the same name or another.
//!
//! ```text
//! preflight ─▶ every blocker, or none      before the first write: each part that will be used has its hash
//! receipt   ─▶ running                     from here on the restore is resumed, not begun again
//! class, tenants ─▶ parts, one by one      each is hashed again in memory before one of its objects is handed out
//! receipt   ─▶ part done … ─▶ done
//! ```
//!
//! A part that was cut off is written again from its beginning, which changes nothing: every object carries its id.

mod blocker;
mod class;
mod objects;
mod preflight;
mod receipt;
mod standing;
mod version;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

pub use blocker::Blocker;
pub use class::class_for;
pub(crate) use objects::batches;
pub(super) use objects::transformed;
pub(super) use preflight::is_chosen;
pub use preflight::{Preflight, preflight};
pub(super) use receipt::save;
pub use receipt::{Counts, Receipt, State};
pub(crate) use standing::unlike;
pub(crate) use version::unknown_to;

use super::digest::Contents;
use super::manifest::by_tenant;
use super::opened::part_name;
use super::part::{DecodeError, open};
use super::ports::{ObjectSource, Store, Stretch, Target};
use super::seal::Key;
use super::stored::StoredError;
use super::transform::{Select, Step, Unconverted};
use super::verify::Fault;
use crate::ports::{Clock, PortError};
use crate::retry::{Faults, Patience, Retry, Stop, with_retry};

/// What becomes of an object whose id is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Conflict {
    /// There must be none: the collection is absent or empty when the restore begins.
    Fail,
    /// What is there stays.
    Skip,
    /// The backup's takes its place, whole.
    Overwrite,
    /// The backup's properties and vectors are written over it; those that only it has stay.
    Merge,
}

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Order {
    /// The run.
    pub run: String,
    /// The collection in it.
    pub collection: String,
    /// The collection that it becomes.
    pub into: String,
    /// What becomes of objects whose ids are taken.
    pub conflict: Conflict,
    /// Replicas of a collection that has to be made; as many as the backed up one had, when absent.
    pub factor: Option<u64>,
    /// Shards of a collection that has to be made; likewise.
    pub shards: Option<u64>,
    /// Whether the collection must be there: no class is made.
    pub skip_schema: bool,
    /// What is taken of the collection.
    pub select: Select,
    /// What is made of it, in this order.
    pub transform: Vec<Step>,
    /// What the run is encrypted with; `None`: nothing.
    pub key: Option<Key>,
    /// Where its receipt lies.
    pub receipt: String,
    /// Where it goes, for people who read the receipt.
    pub target: String,
    /// Identity of the restore's object; empty without one.
    pub uid: String,
    /// The hash of what a person approved.
    pub approved: Option<String>,
    /// Whether there must be no objects whatever `conflict` says, since nobody approved that there are.
    pub must_be_empty: bool,
    /// With what failed calls are met.
    pub retry: Retry,
}

/// How far a restore is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Objects of parts that were read, whatever became of them.
    pub objects: AtomicU64,
}

/// Why a restore ends early.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing was written.
    #[error("nothing was written: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<Blocker>),
    /// A part is no longer what it was when the restore began.
    #[error("{0}; what was written before it stays, and the same restore goes on once the part is back")]
    Damaged(Fault),
    /// A part that has its hash and cannot be read.
    #[error("{key} cannot be read")]
    Undecodable {
        /// Which.
        key: String,
        /// Why.
        source: DecodeError,
    },
    /// A value that cannot be converted, and was not to be left out.
    #[error("{0}; what was written before it stays")]
    Unconverted(#[from] Unconverted),
    /// The servers refuse an object.
    #[error("object {id} is refused: {reason}")]
    Refused {
        /// Which.
        id: Uuid,
        /// In the server's words.
        reason: String,
    },
    /// A file of the store is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It was asked to stop.
    #[error("stopped as asked; the same restore goes on where it stopped")]
    Stopped,
}

/// What a restore is done with.
pub struct Restorer<'a, S, R, T, C> {
    /// Where from.
    pub store: &'a S,
    /// Where the receipt lies.
    pub receipts: &'a R,
    /// Where to.
    pub target: &'a T,
    /// The time.
    pub clock: &'a C,
    /// Ends it early.
    pub stop: &'a Stop,
    /// How far it is.
    pub progress: &'a Progress,
    /// What is to be restored.
    pub order: &'a Order,
}

impl<S: Store, R: Store, T: Target, C: Clock> Restorer<'_, S, R, T, C> {
    /// Restores, or goes on with it. One that is done does nothing, and answers its receipt.
    pub async fn restore(&self) -> Result<Receipt, RestoreError> {
        let (found, source) =
            preflight::look(self.store, self.receipts, self.target, self.order, self.clock.now()).await?;
        let Preflight { class, tenants, mut receipt, is_new, blockers, transformation, .. } = found;
        if receipt.state == State::Done {
            return Ok(receipt);
        }
        let (true, Some(source), Some(transformation)) = (blockers.is_empty(), source, transformation) else {
            return Err(RestoreError::Blocked(blockers));
        };
        let made = receipt.made.len();
        receipt.made.extend(tenants.iter().cloned());
        if receipt.go_on(self.order) || is_new || receipt.made.len() > made {
            self.save(&receipt).await?;
        }
        if let Some(class) = &class {
            self.call(async || self.target.create(class).await).await?;
        }
        if !tenants.is_empty() {
            self.call(async || self.target.create_tenants(&tenants).await).await?;
        }
        if !receipt.has_written() {
            // From here on what is there may be its own, as long as it is this very class.
            receipt.written_into = self.call(async || self.target.identity().await).await?;
            receipt.has_written = Some(true);
            self.save(&receipt).await?;
        }
        let transformation = Arc::new(transformation);
        let roll = source.indexes.first().map(|(_, own)| by_tenant(&own.roll)).unwrap_or_default();
        for (place, index) in &source.indexes {
            let run = &source.chain.runs()[*place];
            let columns = Arc::new(index.columns.clone());
            for part in index.parts.iter().filter(|part| preflight::is_chosen(&self.order.select, part)) {
                let name = part_name(*place, &run.manifest.run, &part.file.key);
                if receipt.done.contains(&name) {
                    self.progress.objects.fetch_add(part.contents.objects, Ordering::Relaxed);
                    continue;
                }
                let bytes = self.call(async || run.file(self.store, &part.file).await).await?;
                let bytes = bytes.map_err(RestoreError::Damaged)?;
                let undecodable = |source| RestoreError::Undecodable { key: name.clone(), source };
                let groups = open(bytes, run.manifest.data, &columns).map_err(undecodable)?;
                let counts = self.part((&source, &roll), *place, part, groups, &transformation).await?;
                receipt.counts.join(counts);
                receipt.done.insert(name);
                self.save(&receipt).await?;
            }
        }
        let tenants = source.indexes.first().and_then(|(_, own)| own.tenants.as_ref());
        let rested =
            tenants.into_iter().flatten().filter(|it| it.activity == "COLD" && receipt.made.contains(&it.name));
        let rested: Vec<String> = rested.map(|tenant| tenant.name.clone()).collect();
        if !rested.is_empty() {
            self.call(async || self.target.rest_tenants(&rested).await).await?;
        }
        receipt.state = State::Done;
        self.save(&receipt).await?;
        Ok(receipt)
    }

    async fn save(&self, receipt: &Receipt) -> Result<(), RestoreError> {
        let now = self.clock.now();
        let receipt = Receipt { updated_at: now, ..receipt.clone() };
        Ok(self.call(async || receipt::save(self.receipts, &self.order.receipt, &receipt).await).await?)
    }

    async fn call<V>(&self, call: impl AsyncFnMut() -> Result<V, PortError>) -> Result<V, PortError> {
        let faults = Faults::default();
        let patience =
            Patience { retry: self.order.retry, clock: self.clock, stop: self.stop, faults: &faults, breaker: None };
        with_retry(&patience, call).await
    }
}

/// What a collection or one tenant of it holds now, read as a backup would read it: equal to the backup's own
/// [`Contents`] when every object and vector is.
pub async fn contents<O: ObjectSource>(
    source: &O,
    collection: &str,
    tenant: Option<&str>,
) -> Result<Contents, PortError> {
    let mut contents = Contents::default();
    let mut after = None;
    loop {
        let page = source.page(Stretch { collection, tenant, slice: 0, after, until: None }).await?;
        let Some(last) = page.objects.last() else { return Ok(contents) };
        after = Some(last.id);
        page.objects.iter().for_each(|object| contents.add(object));
    }
}
