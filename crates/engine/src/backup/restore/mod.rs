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

mod class;
mod preflight;
mod receipt;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

pub use class::class_for;
pub use preflight::{Blocker, Preflight, preflight};
pub use receipt::{Counts, Receipt, State};

use super::manifest::Part;
use super::part::{DecodeError, Groups, open};
use super::ports::{ObjectSource, Store, Stretch, Target};
use super::stored::StoredError;
use super::verify::{self, Fault};
use super::write::beside;
use super::{digest::Contents, write::LANES};
use crate::object::Object;
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
    /// Where its receipt lies.
    pub receipt: String,
    /// Where it goes, for people who read the receipt.
    pub target: String,
    /// With what failed calls are met.
    pub retry: Retry,
}

/// Objects of one batch, and their bytes: within some percent of the fastest, with short calls.
const BATCH_OBJECTS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

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
        let Preflight { manifest, index, class, tenants, mut receipt, is_new, blockers } =
            preflight(self.store, self.receipts, self.target, self.order, self.clock.now()).await?;
        if receipt.state == State::Done {
            return Ok(receipt);
        }
        if !blockers.is_empty() {
            return Err(RestoreError::Blocked(blockers));
        }
        let (Some(manifest), Some(index)) = (manifest, index) else { return Err(RestoreError::Blocked(blockers)) };
        let made = receipt.made.len();
        receipt.made.extend(tenants.iter().cloned());
        if is_new || receipt.made.len() > made {
            self.save(&receipt).await?;
        }
        if let Some(class) = &class {
            self.call(async || self.target.create(class).await).await?;
        }
        if !tenants.is_empty() {
            self.call(async || self.target.create_tenants(&tenants).await).await?;
        }
        let columns = Arc::new(index.columns);
        for part in &index.parts {
            if receipt.done.contains(&part.file.key) {
                self.progress.objects.fetch_add(part.contents.objects, Ordering::Relaxed);
                continue;
            }
            let bytes = self.call(async || verify::file(self.store, &manifest.run, &part.file).await).await?;
            let bytes = bytes.map_err(RestoreError::Damaged)?;
            let undecodable = |source| RestoreError::Undecodable { key: part.file.key.clone(), source };
            let groups = open(bytes, manifest.data, &columns).map_err(undecodable)?;
            let counts = self.part(part, groups).await?;
            receipt.counts.join(counts);
            receipt.done.insert(part.file.key.clone());
            self.save(&receipt).await?;
        }
        let rested =
            index.tenants.iter().flatten().filter(|it| it.activity == "COLD" && receipt.made.contains(&it.name));
        let rested: Vec<String> = rested.map(|tenant| tenant.name.clone()).collect();
        if !rested.is_empty() {
            self.call(async || self.target.rest_tenants(&rested).await).await?;
        }
        receipt.state = State::Done;
        self.save(&receipt).await?;
        Ok(receipt)
    }

    /// One part, group by group: no more of it is decoded than is being written.
    async fn part(&self, part: &Part, mut groups: Groups) -> Result<Counts, RestoreError> {
        let mut counts = Counts::default();
        loop {
            let (rest, group) = beside(move || {
                let group = groups.next();
                (groups, group)
            })
            .await?;
            groups = rest;
            let Some(group) = group else { return Ok(counts) };
            let objects = group.map_err(|source| RestoreError::Undecodable { key: part.file.key.clone(), source })?;
            let batches = batches(&objects).map(|batch| self.batch(part.tenant.as_deref(), batch));
            let mut done = stream::iter(batches).buffer_unordered(LANES);
            while let Some(written) = done.try_next().await? {
                counts.join(written);
            }
        }
    }

    async fn batch(&self, tenant: Option<&str>, objects: &[Object]) -> Result<Counts, RestoreError> {
        if self.stop.is_set() {
            return Err(RestoreError::Stopped);
        }
        let mut counts = Counts::default();
        let mut changed: Vec<Object> = Vec::new();
        if matches!(self.order.conflict, Conflict::Skip | Conflict::Merge) {
            let ids: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
            let there = self.call(async || self.target.fetch(tenant, &ids).await).await?;
            let there: std::collections::BTreeMap<_, _> = there.into_iter().map(|it| (it.id, it)).collect();
            for object in objects {
                match there.get(&object.id) {
                    None => changed.push(object.clone()),
                    Some(_) if self.order.conflict == Conflict::Skip => counts.skipped += 1,
                    Some(was) => {
                        counts.merged += 1;
                        changed.push(merged(was, object));
                    }
                }
            }
        }
        let is_filtered = matches!(self.order.conflict, Conflict::Skip | Conflict::Merge);
        let objects: Vec<&Object> = if is_filtered { changed.iter().collect() } else { objects.iter().collect() };
        self.put(tenant, &objects).await?;
        counts.written = objects.len() as u64 - counts.merged;
        self.progress.objects.fetch_add(counts.all(), Ordering::Relaxed);
        Ok(counts)
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<(), RestoreError> {
        if objects.is_empty() {
            return Ok(());
        }
        let mut left: Vec<&Object> = objects.to_vec();
        let mut refused = None;
        let put = async || {
            let refusals = self.target.put(tenant, &left).await?;
            left.retain(|object| refusals.iter().any(|refusal| refusal.id == object.id));
            match refusals.into_iter().find(|refusal| !refusal.error.retryable) {
                Some(refusal) => refused = Some(refusal),
                None if left.is_empty() => {}
                None => {
                    let message = format!("{} objects were refused for now", left.len());
                    return Err(PortError { category: crate::category::Category::Weaviate, retryable: true, message });
                }
            }
            Ok(())
        };
        self.call(put).await?;
        match refused {
            Some(refusal) => Err(RestoreError::Refused { id: refusal.id, reason: refusal.error.message }),
            None => Ok(()),
        }
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

fn merged(was: &Object, object: &Object) -> Object {
    let mut out = was.clone();
    let properties = object.properties.iter().filter(|(_, value)| !value.is_null());
    out.properties.extend(properties.map(|(name, value)| (name.clone(), value.clone())));
    out.vectors.extend(object.vectors.iter().map(|(name, vector)| (name.clone(), vector.clone())));
    out
}

/// Cuts objects into batches, in their order.
fn batches(objects: &[Object]) -> impl Iterator<Item = &[Object]> {
    let mut rest = objects;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut length = 0;
        for object in rest.iter().take(BATCH_OBJECTS) {
            bytes += object.bytes();
            if length > 0 && bytes > BATCH_BYTES {
                break;
            }
            length += 1;
        }
        let (batch, behind) = rest.split_at(length);
        rest = behind;
        (length > 0).then_some(batch)
    })
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
