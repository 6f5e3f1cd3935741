//! The heart: a window of lines is planned as one step from what is stored to what shall be stored.
//!
//! A window is gathered, what it builds upon is read, its lines are applied in order to an overlay in memory, and what
//! remains is a set of puts and a set of deletes. Pure: no port is known here.
//!
//! # Why a window may be replayed from its beginning
//! A crash leaves some objects as the window wants them, put or gone, and the rest as they were; what a rename moved
//! away is all still there, because the ledger holds those deletes as pending before the first of them. Then the same plan
//! must come out again. It does, because **no object that a rename moved away, or tried to, is put by the same window**
//! ([`Window::admits`]): what renames read is untouched by the crash, so they give the same again. All else an object
//! depends on is itself, by "is exactly this", "has these properties" and "is gone", and a sequence of those applied
//! twice gives what it gave once.
//!
//! One sequence is not of that kind: a modify without content makes nothing of an unknown document
//! ([`Step::makes_nothing`]), so what it does depends on whether the document is stored, and a later line of the window
//! that makes the document would change that. The window ends in front of such a line.
//!
//! Of a feed whose texts are cut, all of this is said of documents: [`crate::tail`] has what it adds for their chunks.
//!
//! Several windows may be in flight. The [`crate::flight`] lets a window begin only when none of those touches any of its
//! objects, so all of the above is true of each of them, whatever became of the others; and the checkpoint moves over
//! them in their order, so a replay begins with the first that is not counted and meets each one as a crash of it alone
//! would have left it.
//!
//! | lines | windows |
//! |---|---|
//! | modify A, rename A→B | one: puts B, deletes A |
//! | rename A→B, add A | two: A must not be overwritten before B is safe |
//! | rename A→B, rename C→A | two, for the same reason |
//! | rename A→B where A is unknown, add A | two: after a crash A would be known, and B would appear |
//! | rename A→B, rename B→C | one: puts C, deletes A and B |
//! | add A, rename A→B, delete B | one: deletes A and B |
//! | modify A without content, modify A with content | two: after a crash A would be known to the first |
//! | modify A without content, add A | one: A is what the add says, whatever the modify did |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::chunk::{Cut, Cutting};
use crate::object::Object;
use crate::overlay::{Base, Overlay, Question};
use crate::rejection::{DeadLetter, Rejection};
use crate::step::Step;

pub use crate::overlay::Tail;

/// How large a window may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Lines: what is repeated after a crash stays a matter of seconds.
    pub lines: usize,
    /// Bytes of lines: a worker holds a window a few times over. A longer line is a window of its own.
    pub bytes: u64,
    /// Objects that must be read, and moved away: their size is not ours to bound, so their number is. 250 files of
    /// 64 KiB are 16 MiB, and 250 pending deletes fit the ledger many times over. Of a document that is cut it is the
    /// head; its other chunks are never here.
    pub reads: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { lines: 1_000, bytes: 4 << 20, reads: 250 }
    }
}

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name in the source.
    pub file: Arc<str>,
    /// The line's number in it.
    pub line: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Place {
    /// The dead letter of a line at this place.
    pub fn dead_letter(&self, rejection: &Rejection) -> DeadLetter {
        DeadLetter {
            file: self.file.to_string(),
            line: self.line,
            offset: self.offset,
            length: self.length,
            category: rejection.category,
            reason: rejection.reason.clone(),
        }
    }
}

/// One line of a window: where it is, and what it does or why not.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// What it does, or why it does nothing.
    pub step: Result<Step, Rejection>,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object was put as a whole.
    Added,
    /// The object was changed, or made; or, without content, it was unknown and stays so.
    Modified,
    /// The object is gone, or never was.
    Deleted,
    /// The object is at another id.
    Renamed,
    /// The object was exactly so already, and was not written.
    Unchanged,
    /// Nothing came of it.
    Rejected(Rejection),
}

/// Lines that are indexed together.
#[derive(Debug, Default)]
pub struct Window {
    entries: Vec<Entry>,
    /// Whether lines that change nothing are looked for: then what an add replaces is read.
    compares: bool,
    /// How texts are cut, in a feed that is.
    cutting: Option<Arc<Cutting>>,
    bytes: u64,
    sources: BTreeSet<Uuid>,
    reads: BTreeSet<Uuid>,
    /// Objects that are there, or gone, by a line of the window alone.
    determined: BTreeSet<Uuid>,
    /// Objects for which a line depends on whether they are stored.
    depended: BTreeSet<Uuid>,
}

/// What a window comes to.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// What shall be stored, and which line wrote it last.
    pub puts: BTreeMap<Uuid, Put>,
    /// What shall be gone, and no rename of the window asked for it.
    pub deletes: Vec<Gone>,
    /// What shall be gone and was moved away, or would have been: not before the ledger knows.
    pub moved: Vec<Gone>,
    /// What becomes of each line.
    pub outcomes: Vec<Outcome>,
    /// What has to be known to tell lines that change nothing from others. Without an answer they are others.
    pub(crate) questions: BTreeSet<Question>,
}

/// One document to put.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Its object; of one that is cut, its head.
    pub object: Arc<Object>,
    /// The line, by its place in the window, that wrote it last.
    pub writer: usize,
    /// Its other chunks.
    pub tail: Tail,
    /// Chunks of what it replaces, the head included; 1 where nothing is known of any.
    pub before: u64,
}

/// One document that shall be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its id.
    pub id: Uuid,
    /// Its chunks, the head included; 1 where nothing is known of any.
    pub chunks: u64,
}

/// Lines that are out of the plan, by their place in the window: the server refused what they led to.
pub type Refused = BTreeMap<usize, Rejection>;

impl Window {
    /// An empty one. With `compares`, lines that change nothing are found, and write nothing.
    pub fn new(compares: bool) -> Self {
        Self { compares, ..Self::default() }
    }

    /// For a feed whose texts are cut, if they are.
    #[must_use]
    pub fn cutting(self, cutting: Option<Arc<Cutting>>) -> Self {
        Self { cutting, ..self }
    }

    /// Whether this line may join, or must begin the next window.
    pub fn admits(&self, entry: &Entry, limits: &WindowLimits) -> bool {
        if self.entries.is_empty() {
            return true;
        }
        let breaks_a_replay = |step: &Step| self.overwrites_a_source(step) || self.makes_what_was_depended_on(step);
        let fits = self.entries.len() < limits.lines
            && self.reads.len() < limits.reads
            && self.bytes + entry.place.length <= limits.bytes;
        fits && !entry.step.as_ref().is_ok_and(breaks_a_replay)
    }

    fn overwrites_a_source(&self, step: &Step) -> bool {
        step.target().is_some_and(|target| self.sources.contains(&target))
    }

    /// Only a modify builds upon what the line before it made of the object, or did not make: an add and a rename
    /// replace it.
    fn makes_what_was_depended_on(&self, step: &Step) -> bool {
        match step {
            Step::Modify { id, .. } => {
                !step.makes_nothing() && self.depended.contains(id) && !self.determined.contains(id)
            }
            Step::Add { .. } | Step::Delete { .. } | Step::Rename { .. } => false,
        }
    }

    /// Adds a line that was admitted.
    pub fn push(&mut self, entry: Entry) {
        if let Ok(step) = &entry.step {
            self.sources.extend(step.rename_source());
            match step {
                Step::Modify { id, .. } => {
                    self.reads.insert(*id);
                    if !step.makes_nothing() {
                        self.determined.insert(*id);
                    } else if !self.determined.contains(id) {
                        self.depended.insert(*id);
                    }
                }
                Step::Rename { from, .. } => {
                    self.reads.insert(*from);
                }
                Step::Add { object, .. } => {
                    self.determined.insert(object.id);
                    if self.compares {
                        self.reads.insert(object.id);
                    }
                }
                Step::Delete { id } => {
                    self.determined.insert(*id);
                }
            }
        }
        self.bytes += entry.place.length;
        self.entries.push(entry);
    }

    /// The lines, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of its lines.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many objects it may read, at most.
    pub fn read_count(&self) -> usize {
        self.reads.len()
    }

    /// Every object that it reads, puts or deletes.
    pub fn touched(&self) -> BTreeSet<Uuid> {
        self.entries.iter().filter_map(|entry| entry.step.as_ref().ok()).flat_map(Step::touched).collect()
    }

    /// The stored objects on which the plan depends, when these lines are out of it.
    pub fn reads(&self, refused: &Refused) -> BTreeSet<Uuid> {
        let mut known = BTreeSet::new();
        let mut reads = BTreeSet::new();
        let included = self.entries.iter().enumerate().filter(|(index, _)| !refused.contains_key(index));
        for step in included.filter_map(|(_, entry)| entry.step.as_ref().ok()) {
            match step {
                Step::Add { object, .. } => {
                    if known.insert(object.id) && self.compares {
                        reads.insert(object.id);
                    }
                }
                Step::Delete { id } => {
                    known.insert(*id);
                }
                Step::Modify { id, .. } if !known.contains(id) => {
                    reads.insert(*id);
                }
                Step::Modify { .. } => {}
                Step::Rename { from, .. } => {
                    if known.insert(*from) {
                        reads.insert(*from);
                    }
                }
            }
        }
        reads
    }

    /// The text that a line brings, of a feed that is cut.
    pub(crate) fn text(&self, line: usize) -> Option<&Cut> {
        match self.entries.get(line)?.step.as_ref().ok()? {
            Step::Add { cut, .. } => cut.as_ref(),
            Step::Modify { set, .. } | Step::Rename { set, .. } => set.cut.as_ref(),
            Step::Delete { .. } => None,
        }
    }

    /// Applies the lines in order to what was read. `computed` are the vectors that the server makes from text: they
    /// are left out where text changed.
    pub(crate) fn plan(&self, base: &Base, refused: &Refused, computed: &BTreeSet<String>) -> Plan {
        let (slots, questions) = (BTreeMap::new(), BTreeSet::new());
        let cutting = self.cutting.as_deref();
        let mut overlay = Overlay { base, computed, compares: self.compares, cutting, slots, questions };
        let mut outcomes = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            outcomes.push(match (&entry.step, refused.get(&index)) {
                (_, Some(rejection)) | (Err(rejection), None) => Outcome::Rejected(rejection.clone()),
                (Ok(step), None) => overlay.apply(index, step),
            });
        }
        let Overlay { slots, questions, .. } = overlay;
        let (puts, deletes, moved) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut plan = Plan { puts, deletes, moved, outcomes, questions };
        for (id, slot) in slots {
            let gone = Gone { id, chunks: base.counts.get(&id).copied().unwrap_or(1) };
            match slot {
                Some(put) => {
                    plan.puts.insert(id, put);
                }
                None if self.sources.contains(&id) => plan.moved.push(gone),
                None => plan.deletes.push(gone),
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests;
