//! The parts of a restore on their way, each step beside the others:
//!
//! ```text
//! fetch ─▶ part ─▶ decode, compare, transform ─▶ group ─▶ batches, some in flight ─▶ part done ─▶ receipt
//! ```
//!
//! A part is done when all of its objects are confirmed, whichever part the batches beside them are of. What is held is
//! bounded at each arrow.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::checked::{Unfit, checked};
use super::links::{Links, Pass};
use super::objects::batches;
use super::preflight::Origin;
use super::{Conflict, Counts, Receipt, RestoreError, Restorer};
use crate::backup::columns::Columns;
use crate::backup::manifest::{ByTenant, Part};
use crate::backup::opened::OpenRun;
use crate::backup::part::PART_ROOM;
use crate::backup::ports::{Store, Target};
use crate::backup::transform::Transformation;
use crate::backup::write::{LANES, beside};
use crate::object::Object;
use crate::ports::Clock;

/// Kibibytes of parts that are held: the one that is decoded, and the one behind it. A part of very large objects is held
/// alone.
const HELD_KIB: usize = 2 * (PART_ROOM >> 10);

/// Parts that wait for the one that is decoded.
const PARTS_AHEAD: usize = 1;

/// Groups, some megabytes each, that wait for a free batch: one more is being decoded.
const GROUPS_AHEAD: usize = 1;

/// A part that is to be restored.
#[derive(Clone)]
pub(super) struct Left<'a> {
    /// The place of its run in the chain.
    pub(super) place: usize,
    pub(super) run: &'a OpenRun,
    pub(super) columns: Arc<Columns>,
    pub(super) part: &'a Part,
    /// What the receipt calls it.
    pub(super) name: String,
}

/// A part's bytes, which are what they should be.
struct Fetched<'a> {
    left: Left<'a>,
    bytes: Bytes,
    room: OwnedSemaphorePermit,
}

/// What comes out of a part.
pub(super) enum Decoded<'a> {
    /// A part begins.
    Begin(Left<'a>),
    /// Objects of it as they are to be written, and what became of others.
    Group(Vec<Object>, Counts),
    /// That was all of it.
    End,
}

/// What is asked of objects that are there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beside {
    /// Nothing but what `conflict` asks.
    Unasked,
    /// Whether they are as they are to be written: then they stay untouched.
    Compared,
    /// The same: one that differs is somebody else's, and ends the restore.
    Guarded,
}

/// How parts are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    pub(super) pass: Pass,
    /// [`Beside::Guarded`].
    pub(super) is_guarded: bool,
    pub(super) links: &'a Links,
}

/// A part of which something is not confirmed yet.
struct Open<'a> {
    left: Left<'a>,
    beside: Beside,
    counts: Counts,
    /// Batches that are not confirmed.
    waiting: usize,
    is_decoded: bool,
}

/// Objects of a group that go in one call.
struct Batch {
    number: usize,
    objects: Arc<Vec<Object>>,
    range: Range<usize>,
}

impl<S: Store, R: Store, T: Target, C: Clock> Restorer<'_, S, R, T, C> {
    /// Writes these parts, and notes each in the receipt.
    pub(super) async fn flow<'p>(
        &self,
        left: impl Iterator<Item = Left<'p>>,
        manner: Manner<'_>,
        source: (&Origin, &ByTenant<'_>),
        transformation: &Arc<Transformation>,
        receipt: &mut Receipt,
    ) -> Result<(), RestoreError> {
        let room = Arc::new(Semaphore::new(HELD_KIB));
        let (fetched, to_decode) = mpsc::channel(PARTS_AHEAD);
        let (decoded, to_write) = mpsc::channel(GROUPS_AHEAD);
        // A name and a few numbers for each part that was written while the receipt was.
        let (written, to_note) = mpsc::unbounded_channel();
        let fetch = self.fetch_all(left, &room, fetched);
        let decode = self.decode_all(source, manner.pass, transformation, to_decode, decoded);
        let write = self.write_all(manner, to_write, written);
        let note = self.note_all(receipt, manner.pass, to_note);
        futures::try_join!(fetch, decode, write, note).map(drop)
    }

    async fn fetch_all<'p>(
        &self,
        left: impl Iterator<Item = Left<'p>>,
        room: &Arc<Semaphore>,
        fetched: mpsc::Sender<Fetched<'p>>,
    ) -> Result<(), RestoreError> {
        for left in left {
            // Whoever decodes or writes has failed, and says why.
            let Ok(place) = fetched.reserve().await else { return Ok(()) };
            let kib = usize::try_from(left.part.file.bytes >> 10).unwrap_or(HELD_KIB).clamp(1, HELD_KIB);
            let Ok(room) = room.clone().acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await else {
                return Ok(());
            };
            let bytes = self.call(async || left.run.file(self.store, &left.part.file).await);
            let bytes = self.progress.fetching.of(self.clock, bytes).await?;
            self.progress.read_bytes.fetch_add(left.part.file.bytes, Ordering::Relaxed);
            place.send(Fetched { bytes: bytes.map_err(RestoreError::Damaged)?, left, room });
        }
        Ok(())
    }

    async fn decode_all<'p>(
        &self,
        (origin, roll): (&Origin, &ByTenant<'_>),
        pass: Pass,
        transformation: &Arc<Transformation>,
        mut fetched: mpsc::Receiver<Fetched<'p>>,
        decoded: mpsc::Sender<Decoded<'p>>,
    ) -> Result<(), RestoreError> {
        while let Some(Fetched { left, bytes, room }) = fetched.recv().await {
            let Left { place, run, columns, part, name } = left.clone();
            let (data, also) = (run.manifest.data, part.clone());
            let groups = beside(move || checked(bytes, data, &columns, &also)).await?;
            let groups = groups.map_err(|unfit| match unfit {
                Unfit::Undecodable(source) => RestoreError::Undecodable { key: name.clone(), source },
                Unfit::Fault(fault) => RestoreError::Damaged(fault),
            })?;
            let begun = decoded.send(Decoded::Begin(left)).await.is_ok();
            let is_heard =
                begun && self.part((origin, roll, pass), place, part, groups, transformation, &decoded).await?;
            drop(room);
            if !is_heard || decoded.send(Decoded::End).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Batches of whatever was decoded, some at once.
    async fn write_all(
        &self,
        manner: Manner<'_>,
        mut decoded: mpsc::Receiver<Decoded<'_>>,
        written: mpsc::UnboundedSender<(String, Counts)>,
    ) -> Result<(), RestoreError> {
        let mut parts: BTreeMap<usize, Open<'_>> = BTreeMap::new();
        let mut last = 0;
        let mut ready: VecDeque<Batch> = VecDeque::new();
        let mut flying = FuturesUnordered::new();
        let mut occupied: Option<(Option<String>, Beside)> = None;
        let mut is_over = false;
        loop {
            while flying.len() < LANES
                && let Some(Batch { number, objects, range }) = ready.pop_front()
                && let Some(part) = parts.get(&number)
            {
                let (tenant, beside) = (part.left.part.tenant.as_deref().map(str::to_owned), part.beside);
                flying.push(async move {
                    let counts = self.batch(tenant.as_deref(), &objects[range], beside, manner);
                    let counts = self.progress.writing.of(self.clock, counts).await?;
                    Ok::<_, RestoreError>((number, counts))
                });
            }
            if is_over && flying.is_empty() {
                return Ok(());
            }
            let is_free = !is_over && ready.is_empty() && flying.len() < LANES;
            let (number, counts, confirmed) = tokio::select! {
                Some(done) = flying.next() => {
                    let (number, counts) = done?;
                    (number, counts, 1)
                }
                next = decoded.recv(), if is_free => match next {
                    None => {
                        is_over = true;
                        continue;
                    }
                    Some(Decoded::Begin(left)) => {
                        last += 1;
                        let tenant = left.part.tenant.as_deref();
                        let beside = match manner {
                            Manner { pass: Pass::References, .. } => Beside::Unasked,
                            Manner { is_guarded: true, .. } => Beside::Guarded,
                            Manner { .. } => self.beside(tenant, &mut occupied).await?,
                        };
                        let counts = Counts::default();
                        parts.insert(last, Open { left, beside, counts, waiting: 0, is_decoded: false });
                        continue;
                    }
                    Some(Decoded::Group(objects, counts)) => {
                        let objects = Arc::new(objects);
                        let mut begin = 0;
                        for batch in batches(&objects) {
                            let range = begin..begin + batch.len();
                            begin = range.end;
                            ready.push_back(Batch { number: last, objects: objects.clone(), range });
                        }
                        if let Some(part) = parts.get_mut(&last) {
                            part.waiting += ready.len();
                        }
                        (last, counts, 0)
                    }
                    Some(Decoded::End) => {
                        if let Some(part) = parts.get_mut(&last) {
                            part.is_decoded = true;
                        }
                        (last, Counts::default(), 0)
                    }
                },
            };
            let Some(part) = parts.get_mut(&number) else { continue };
            part.counts.join(counts);
            part.waiting -= confirmed;
            if part.is_decoded
                && part.waiting == 0
                && let Some(Open { left, counts, .. }) = parts.remove(&number)
            {
                if manner.pass == Pass::Objects {
                    self.progress.bytes.fetch_add(left.part.file.bytes, Ordering::Relaxed);
                }
                // Nobody hears it where the receipt could not be written, which ends the restore.
                let _ = written.send((left.name, counts));
            }
        }
    }

    /// Whether objects may be there already as they are to be written. Of a tenant that is empty nothing is asked twice.
    async fn beside(
        &self,
        tenant: Option<&str>,
        known: &mut Option<(Option<String>, Beside)>,
    ) -> Result<Beside, RestoreError> {
        if self.order.conflict != Conflict::Overwrite {
            return Ok(Beside::Unasked);
        }
        if let Some((_, beside)) = known.as_ref().filter(|(of, _)| of.as_deref() == tenant) {
            return Ok(*beside);
        }
        let has_objects = self.call(async || self.target.has_objects(tenant).await).await?;
        let beside = if has_objects { Beside::Compared } else { Beside::Unasked };
        *known = Some((tenant.map(str::to_owned), beside));
        Ok(beside)
    }

    /// Notes parts that are done: several at once where they were done while the receipt was written.
    async fn note_all(
        &self,
        receipt: &mut Receipt,
        pass: Pass,
        mut written: mpsc::UnboundedReceiver<(String, Counts)>,
    ) -> Result<(), RestoreError> {
        while let Some(first) = written.recv().await {
            let mut next = Some(first);
            while let Some((name, counts)) = next {
                match pass {
                    Pass::Objects => {
                        receipt.counts.join(counts);
                        receipt.done.insert(name);
                    }
                    Pass::References => drop(receipt.linked.insert(name)),
                }
                next = written.try_recv().ok();
            }
            self.save(receipt).await?;
        }
        Ok(())
    }
}
