//! Chunks beyond heads, piece by piece: however many a document has, few are in memory.
//!
//! # The order of writes
//! Whoever reads a head must learn of every chunk that may be there, and a head that is whole must speak for its chunks.
//! So of each document that has, or had, more than one:
//!
//! 1. its head is put, saying how many chunks there may be: as many as before or as now, whichever is more. It lacks its
//!    number: it is *open*,
//! 2. its other chunks are put,
//! 3. those that it has no more are deleted,
//! 4. its head is put again, with its number and its count.
//!
//! A document that goes loses its other chunks first, and its head last. One that was moved away is in the ledger with its
//! count before that. A crash therefore leaves no chunk that no head and no ledger knows of, and the next worker, which
//! reads heads, deletes no less than the first one would have.
//!
//! # Why a window may still be replayed
//! What [`crate::window`] says of an object holds of a document with its chunks. A text makes the same chunks again. Stored
//! chunks that are changed in place are each themselves again. Those that are moved are read where they were, and no window
//! that moves a document away puts any of it. What an `unchanged` is proved by is never an open head.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use futures::stream::{self, StreamExt as _};
use uuid::Uuid;

use crate::category::Category;
use crate::chunk::{Cut, Cutting, chunk_id};
use crate::commit::Committer;
use crate::object::{Object, Vectors};
use crate::overlay::{Base, Tail};
use crate::ports::{Clock, Refusal, Sink};
use crate::rejection::Rejection;
use crate::run::RunError;
use crate::same::is_same;
use crate::window::{Gone, Plan, Put, Refused};

/// Chunks that are read, or put, together.
const PIECE_OBJECTS: usize = 200;

/// Bytes of them, about. A worker holds a piece about four times over: as it was read, planned, encoded, and on its way.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces in memory at once, of all windows together: with the above a bound of some sixteen MiB.
pub(crate) const PIECES: usize = 4;

/// Ids that are deleted by one call.
const DELETED_AT_ONCE: usize = 500;

/// One chunk that is to be put.
struct Part<'a> {
    put: &'a Put,
    number: u64,
    content: Content<'a>,
    /// About how large it is.
    bytes: usize,
}

/// Where a chunk comes from.
enum Content<'a> {
    /// A piece of a text.
    Text(&'a str),
    /// A stored chunk of this document.
    Stored(Uuid),
}

/// Parts in groups that are carried out together.
struct Pieces<I: Iterator>(Peekable<I>);

impl<'a, I: Iterator<Item = Part<'a>>> Iterator for Pieces<I> {
    type Item = Vec<Part<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = vec![self.0.next()?];
        let mut bytes = piece[0].bytes;
        while let Some(part) = self.0.next_if(|part| piece.len() < PIECE_OBJECTS && bytes + part.bytes <= PIECE_BYTES) {
            bytes += part.bytes;
            piece.push(part);
        }
        Some(piece)
    }
}

/// All chunks of a document beyond its head. How large stored ones are is guessed by their head, which is the first of
/// them.
fn parts<'a>(put: &'a Put, base: &'a Base) -> Box<dyn Iterator<Item = Part<'a>> + Send + 'a> {
    match &put.tail {
        Tail::None => Box::new(std::iter::empty()),
        Tail::Text(cut) => {
            let shared = put.object.bytes();
            let part = move |(number, text): (u64, &'a str)| Part {
                put,
                number,
                content: Content::Text(text),
                bytes: shared + text.len(),
            };
            Box::new(cut.others().map(part))
        }
        Tail::Stored { from, count, .. } => {
            let bytes = base.read.get(from).map_or(PIECE_BYTES, Object::bytes);
            Box::new((1..*count).map(move |number| Part { put, number, content: Content::Stored(*from), bytes }))
        }
    }
}

impl<K: Sink, C: Clock> Committer<'_, K, C> {
    /// What is behind the heads of a window, which are put: chunks, and what shall be gone. Answers lines of which the
    /// server refused a chunk: their documents are without it, and what they moved stays.
    pub(crate) async fn put_tails(&self, plan: &mut Plan, base: &Base, cutting: &Cutting) -> Result<Refused, RunError> {
        let mut refused = Refused::new();
        let pieces = Pieces(plan.puts.values().flat_map(|put| parts(put, base)).peekable());
        let failed = RefCell::new(None);
        // Behind a failure no more are begun, and those that were are waited for.
        let pieces = pieces.take_while(|_| failed.borrow().is_none());
        let mut outcomes = stream::iter(pieces).map(|piece| self.put_piece(piece, cutting)).buffer_unordered(PIECES);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(refusals) => refused.extend(refusals),
                Err(error) => *failed.borrow_mut() = Some(error),
            }
        }
        drop(outcomes);
        if let Some(error) = failed.take() {
            return Err(error);
        }
        let surplus = |put: &Put| chunk_ids(put.object.id, put.tail.count(), put.before);
        self.delete_chunks(plan.puts.values().flat_map(surplus).chain(plan.deletes.iter().flat_map(others))).await?;
        let open = plan.puts.values().filter(|put| put.is_opened());
        for Refusal { id, error } in self.put_objects(open.map(|put| &*put.object).collect()).await? {
            if let Some(put) = plan.puts.get(&id) {
                refused.insert(put.writer, rejection(0, &error.message, error.category));
            }
        }
        let kept = plan.puts.values().filter(|put| refused.contains_key(&put.writer));
        let kept = kept.filter_map(|put| put.tail.source()).collect::<Vec<_>>();
        plan.moved.retain(|gone| !kept.contains(&gone.id));
        Ok(refused)
    }

    /// Deletes documents: their other chunks first, their heads last.
    pub(crate) async fn delete_documents(&self, gone: &[Gone]) -> Result<(), RunError> {
        self.delete_chunks(gone.iter().flat_map(others)).await?;
        self.delete(&gone.iter().map(|gone| gone.id).collect::<Vec<_>>()).await
    }

    async fn delete_chunks(&self, ids: impl Iterator<Item = Uuid>) -> Result<(), RunError> {
        let mut ids = ids.peekable();
        while ids.peek().is_some() {
            let some = ids.by_ref().take(DELETED_AT_ONCE).collect::<Vec<_>>();
            self.check_stop()?;
            self.delete(&some).await?;
        }
        Ok(())
    }

    async fn put_piece(&self, piece: Vec<Part<'_>>, cutting: &Cutting) -> Result<Refused, RunError> {
        let _room = self.pieces.acquire().await;
        self.check_stop()?;
        let stored = piece.iter().filter_map(Part::stored).collect::<Vec<_>>();
        let stored = self.fetch_chunks(&stored).await?;
        let mut objects = Vec::with_capacity(piece.len());
        let mut writers = BTreeMap::new();
        let mut gone = Vec::new();
        for part in &piece {
            let id = chunk_id(part.put.object.id, part.number);
            match part.object(&stored, cutting, self.computed_vectors) {
                Some(object) => objects.push(object),
                // Refused once, when it was put where it is moved from.
                None => gone.push(id),
            }
            writers.insert(id, (part.put.writer, part.number));
        }
        drop(stored);
        let mut refused = Refused::new();
        for Refusal { id, error } in self.put_objects(objects.iter().collect()).await? {
            if let Some((writer, number)) = writers.get(&id) {
                refused.insert(*writer, rejection(*number, &error.message, error.category));
            }
            gone.push(id);
        }
        // What was at their ids is a chunk of another text.
        self.delete(&gone).await?;
        Ok(refused)
    }

    async fn fetch_chunks(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Object>, RunError> {
        let fetched = if ids.is_empty() { Vec::new() } else { self.fetch(ids).await? };
        Ok(fetched.into_iter().map(|object| (object.id, object)).collect())
    }

    /// Whether the stored chunks of a document beyond its head hold this text, and have the vectors that the server makes
    /// of it.
    pub(crate) async fn holds(
        &self,
        document: Uuid,
        cut: &Cut,
        base: &Base,
        cutting: &Cutting,
    ) -> Result<bool, RunError> {
        let bytes = base.read.get(&document).map_or(PIECE_BYTES, Object::bytes).max(1);
        let most = (PIECE_BYTES / bytes).clamp(1, PIECE_OBJECTS);
        let mut others = cut.others().peekable();
        while others.peek().is_some() {
            let _room = self.pieces.acquire().await;
            self.check_stop()?;
            let some = others.by_ref().take(most).collect::<Vec<_>>();
            let ids = some.iter().map(|(number, _)| chunk_id(document, *number)).collect::<Vec<_>>();
            let mut stored = self.fetch_chunks(&ids).await?;
            for (id, (number, text)) in ids.iter().zip(some) {
                let Some(stored) = stored.remove(id) else { return Ok(false) };
                let mut wanted = Object { vectors: Vectors::new(), ..stored.clone() };
                wanted.properties.insert(cutting.content.clone(), text.into());
                wanted.properties.insert(cutting.chunk.clone(), number.into());
                if !is_same(&stored, &wanted, self.computed_vectors) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What a window has begun is finished, but for documents of very many chunks: a replay does the rest of them.
    fn check_stop(&self) -> Result<(), RunError> {
        if self.patience.stop.is_set() { Err(RunError::Stopped) } else { Ok(()) }
    }
}

impl Part<'_> {
    fn stored(&self) -> Option<Uuid> {
        match self.content {
            Content::Text(_) => None,
            Content::Stored(from) => Some(chunk_id(from, self.number)),
        }
    }

    /// What is put; `None` where nothing is stored.
    fn object(
        &self,
        stored: &BTreeMap<Uuid, Object>,
        cutting: &Cutting,
        computed: &BTreeSet<String>,
    ) -> Option<Object> {
        let Put { object: head, tail, .. } = self.put;
        match (&self.content, tail) {
            (Content::Text(text), _) => Some(cutting.chunk(head, self.number, text)),
            (Content::Stored(from), Tail::Stored { set, .. }) => {
                let chunk = stored.get(&chunk_id(*from, self.number))?;
                Some(set.applied(chunk_id(head.id, self.number), Some(chunk), computed))
            }
            (Content::Stored(_), Tail::None | Tail::Text(_)) => None,
        }
    }
}

impl Put {
    /// Whether it has, or had, more than its head: then that is put twice.
    pub(crate) fn is_opened(&self) -> bool {
        self.most() > 1
    }

    /// Chunks that may be there while it is being written.
    pub(crate) fn most(&self) -> u64 {
        self.tail.count().max(self.before)
    }
}

impl Tail {
    fn source(&self) -> Option<Uuid> {
        match self {
            Self::Stored { from, .. } => Some(*from),
            Self::None | Self::Text(_) => None,
        }
    }
}

fn others(gone: &Gone) -> impl Iterator<Item = Uuid> + use<> {
    chunk_ids(gone.id, 1, gone.chunks)
}

fn chunk_ids(document: Uuid, from: u64, to: u64) -> impl Iterator<Item = Uuid> + use<> {
    (from.max(1)..to).map(move |number| chunk_id(document, number))
}

fn rejection(number: u64, message: &str, category: Category) -> Rejection {
    let reason = format!("the server refused chunk {number}, without which the document is: {message}");
    Rejection::new(category, reason)
}
