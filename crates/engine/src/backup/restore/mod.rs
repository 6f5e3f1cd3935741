//! Puts a collection of a run back: into the same cluster or another, under the same name or another.
//!
//! ```text
//! preflight ─▶ every blocker, or none      before the first write: each part that will be used has its hash
//! receipt   ─▶ running                     from here on the restore is resumed, not begun again
//! class, tenants ─▶ parts, one by one      each is hashed again in memory, and its objects are compared with their digest,
//!                                          before one of them is handed out ([`flow`])
//! receipt   ─▶ part done …                 references go with the objects, or behind all of them ([`links`])
//! aliases   ─▶ receipt: done               those of the backup that are not there
//! ```
//!
//! A part that was cut off is written again from its beginning, which changes nothing: every object carries its id.

mod aliases;
mod blocker;
mod checked;
mod class;
mod computed;
mod flow;
mod leading;
mod links;
mod objects;
mod preflight;
mod receipt;
mod sequence;
mod standing;
mod version;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use uuid::Uuid;

pub use aliases::AliasState;
pub use blocker::Blocker;
pub use class::class_for;
pub(crate) use class::needed;
pub use computed::Computed;
use flow::{Left, Manner};
use links::{Links, Pass};
pub(crate) use objects::batches;
pub(super) use objects::transformed;
pub(super) use preflight::is_chosen;
pub use preflight::{Preflight, preflight};
pub(super) use receipt::save;
pub use receipt::{Counts, Receipt, State};
pub(crate) use standing::unlike;
pub(crate) use version::unknown_to;
use whole::{Sameness, sameness};

use super::digest::Contents;
use super::manifest::{ByTenant, by_tenant};
use super::opened::part_name;
use super::part::DecodeError;
use super::patient::Patient;
use super::ports::{ObjectSource, Store, Stretch, Target};
use super::seal::Key;
use super::stages::StageTime;
use super::stored::StoredError;
use super::transform::{Select, Step, Transformation, Unconverted};
use super::verify::Fault;
use crate::category::Category;
use crate::ports::{Clock, PortError};
use crate::retry::{Retry, Stop, patiently};

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
    /// Whether aliases that led to the collection when it was backed up are made where there are none of their names.
    pub aliases: bool,
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
    /// Bytes of the parts that were fetched.
    pub read_bytes: AtomicU64,
    /// About the bytes of the objects that were written.
    pub written_bytes: AtomicU64,
    /// Time of waiting for the store.
    pub fetching: StageTime,
    /// Time of decoding and of transformations.
    pub decoding: StageTime,
    /// Time of waiting for the servers.
    pub writing: StageTime,
    /// What `objects` is in the end; 0: not known yet.
    pub total: AtomicU64,
    /// Bytes of parts of which every object was dealt with.
    pub bytes: AtomicU64,
    /// Bytes of all parts that are restored; 0: not known yet.
    pub total_bytes: AtomicU64,
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
    /// The servers refuse references of an object.
    #[error(
        "references of object {id} are refused: {reason}; what was written stays. Where they lead to a collection that is \
         still to be restored, restore that, and the same restore goes on; where they lead to what is gone, restore anew \
         without the property (transform: drop)"
    )]
    Unlinked {
        /// Which.
        id: Uuid,
        /// In the server's words.
        reason: String,
    },
    /// A deferred property leads to a class that is still not there.
    #[error(
        "all objects are written, and property `{property}` waits for collection {class}, to which it leads: restore that, \
         and the same restore goes on with the references"
    )]
    Waits {
        /// Which.
        property: String,
        /// Where it leads.
        class: String,
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
        let (found, source) = self.look().await?;
        let Preflight {
            class,
            tenants,
            mut receipt,
            is_new,
            is_changed,
            is_guarded,
            references,
            blockers,
            transformation,
            aliases,
            ..
        } = found;
        if receipt.state == State::Done {
            return Ok(receipt);
        }
        let (true, Some(source), Some(transformation)) = (blockers.is_empty(), source, transformation) else {
            return Err(RestoreError::Blocked(blockers));
        };
        let made = receipt.made.len();
        receipt.made.extend(tenants.iter().cloned());
        receipt.makes_class |= class.is_some();
        let is_told_anew = std::mem::replace(&mut receipt.aliases, aliases) != receipt.aliases;
        if receipt.go_on(self.order) || is_changed || is_told_anew || receipt.made.len() > made || class.is_some() {
            self.save(&receipt).await?;
        }
        if let Some(class) = &class {
            self.create(class, &receipt, &tenants).await?;
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
        let parts = source.indexes.iter().flat_map(|(_, index)| &index.parts);
        let chosen = parts.filter(|part| preflight::is_chosen(&self.order.select, part));
        let (objects, bytes) =
            chosen.fold((0, 0), |(objects, bytes), part| (objects + part.contents.objects, bytes + part.file.bytes));
        self.progress.total.store(objects, Ordering::Relaxed);
        self.progress.total_bytes.store(bytes, Ordering::Relaxed);
        let is_after = leading::is_after(transformation.class(), &receipt.deferred) && !references.is_empty();
        let links = Links { references, deferred: receipt.deferred.clone(), is_after, is_sure: is_new };
        let mut manner = Manner { pass: Pass::Objects, is_guarded, links: &links };
        let read = (&source, &roll, &transformation);
        self.parts(manner, read, &mut receipt).await?;
        if is_after {
            self.add_deferred(transformation.class(), &receipt).await?;
            manner.pass = Pass::References;
            self.parts(manner, read, &mut receipt).await?;
        }
        self.is_still_there(&receipt).await?;
        let tenants = source.indexes.first().and_then(|(_, own)| own.tenants.as_ref());
        let rested =
            tenants.into_iter().flatten().filter(|it| it.activity == "COLD" && receipt.made.contains(&it.name));
        let rested: Vec<String> = rested.map(|tenant| tenant.name.clone()).collect();
        if !rested.is_empty() {
            self.call(async || self.target.rest_tenants(&rested).await).await?;
        }
        let aliases = source.indexes.first().map(|(_, own)| own.aliases.as_slice()).unwrap_or_default();
        receipt.aliases = self.make_aliases(aliases).await?;
        receipt.state = State::Done;
        self.save(&receipt).await?;
        Ok(receipt)
    }

    /// One pass over all parts that it has not dealt with yet.
    async fn parts(
        &self,
        manner: Manner<'_>,
        (source, roll, transformation): (&preflight::Origin, &ByTenant<'_>, &Arc<Transformation>),
        receipt: &mut Receipt,
    ) -> Result<(), RestoreError> {
        let is_first = manner.pass == Pass::Objects;
        let before = if is_first { receipt.done.clone() } else { receipt.linked.clone() };
        let left = source.indexes.iter().flat_map(|(place, index)| {
            let (run, columns) = (&source.chain.runs()[*place], Arc::new(index.columns.clone()));
            let chosen = index.parts.iter().filter(|part| preflight::is_chosen(&self.order.select, part));
            chosen.map(move |part| {
                let name = part_name(*place, &run.manifest.run, &part.file.key);
                Left { place: *place, run, columns: columns.clone(), part, name }
            })
        });
        let left = left.filter(|left| {
            let is_done = before.contains(&left.name);
            if is_done && is_first {
                self.progress.objects.fetch_add(left.part.contents.objects, Ordering::Relaxed);
                self.progress.bytes.fetch_add(left.part.file.bytes, Ordering::Relaxed);
            }
            !is_done
        });
        self.flow(left, manner, (source, roll), transformation, receipt).await
    }

    /// Looks at everything; again where it changed while it was looked at, since nothing is written.
    async fn look(&self) -> Result<(Preflight, Option<preflight::Origin>), RestoreError> {
        let (store, receipts, target) =
            (&self.patient(self.store), &self.patient(self.receipts), &self.patient(self.target));
        let look = async || {
            let looked = preflight::look(store, receipts, target, self.order, self.clock.now()).await;
            if let Err(StoredError::Port(error)) = looked { Err(error) } else { Ok(looked) }
        };
        // Its calls were tried already.
        let retry = self.order.retry.of_strangers();
        Ok(patiently((retry, self.clock, self.stop), look).await??)
    }

    /// Whether the class is still the one that was written into. While parts were waited for somebody may have deleted it,
    /// and what they made of its name is not the whole of the backup: the same restore begins again.
    async fn is_still_there(&self, receipt: &Receipt) -> Result<(), RestoreError> {
        let class = self.call(async || self.target.class().await).await?;
        let what = if class.is_none() {
            "deleted"
        } else if self.call(async || sameness(self.target, receipt).await).await? == Sameness::Other {
            "made again"
        } else {
            return Ok(());
        };
        let message = format!("collection {} was {what} while it was restored", self.order.into);
        Err(PortError { category: Category::Weaviate, retryable: true, message }.into())
    }

    /// Makes the class. Where the servers refuse it, nothing is left of the restore: no receipt keeps the run from being
    /// retired, or the collection from being backed up.
    async fn create(&self, class: &Value, receipt: &Receipt, tenants: &[String]) -> Result<(), RestoreError> {
        let mut attempts = 0;
        let create = async || {
            attempts += 1;
            self.target.create(class).await
        };
        let Err(error) = self.call(create).await else {
            return if attempts > 1 { self.is_own(class, tenants).await } else { Ok(()) };
        };
        if !error.retryable && !receipt.has_written() && matches!(self.target.class().await, Ok(None)) {
            let receipt = [self.order.receipt.clone()];
            // A key that may write and not remove leaves it: it says that nothing was written.
            self.receipts.remove(&receipt).await.ok();
            let message = format!("nothing was written: the servers refuse the class: {}", error.message);
            return Err(PortError { message, ..error }.into());
        }
        Err(error.into())
    }

    /// Whether a class that was asked for more than once may be the one that was asked for: an attempt that seemed to fail
    /// made it, or somebody else did between two attempts, and writes into it.
    async fn is_own(&self, class: &Value, tenants: &[String]) -> Result<(), RestoreError> {
        let into = &self.order.into;
        let found = self.call(async || self.target.class().await).await?.unwrap_or_default();
        let unlike = unlike(&found, class, into);
        if !unlike.is_empty() {
            return Err(RestoreError::Blocked(unlike));
        }
        if self.order.conflict != Conflict::Fail && !self.order.must_be_empty {
            return Ok(());
        }
        let mut all = vec![None];
        if !tenants.is_empty() {
            let there = self.call(async || self.target.tenants().await).await?;
            let is_there = |name: &&String| there.iter().any(|tenant| tenant.name == **name);
            all = tenants.iter().filter(is_there).map(|name| Some(name.as_str())).collect();
        }
        for tenant in all {
            if self.call(async || self.target.has_objects(tenant).await).await? {
                let (into, tenant) = (into.clone(), tenant.map(str::to_owned));
                return Err(RestoreError::Blocked(vec![Blocker::NotEmpty { into, tenant }]));
            }
        }
        Ok(())
    }

    async fn save(&self, receipt: &Receipt) -> Result<(), RestoreError> {
        let now = self.clock.now();
        let receipt = Receipt { updated_at: now, ..receipt.clone() };
        Ok(self.call(async || receipt::save(self.receipts, &self.order.receipt, &receipt).await).await?)
    }

    async fn call<V>(&self, call: impl AsyncFnMut() -> Result<V, PortError>) -> Result<V, PortError> {
        patiently((self.order.retry, self.clock, self.stop), call).await
    }

    /// A port for what asks it several times: each of the calls is tried.
    fn patient<'a, P>(&'a self, port: &'a P) -> Patient<'a, P, C> {
        Patient::new(port, (self.order.retry, self.clock, self.stop))
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
