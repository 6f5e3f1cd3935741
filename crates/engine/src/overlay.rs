//! A window's lines, applied in order to what was read: what each document is afterwards, in memory.
//!
//! A document is its head and what becomes of its other chunks: a text that a line brought, or those that are stored,
//! changed alike. What is stored of them is never here, however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::chunk::{Cut, Cutting};
use crate::object::Object;
use crate::rejection::Rejection;
use crate::same::is_same;
use crate::step::{Set, Step};
use crate::window::{Outcome, Put};

/// What a window builds upon.
#[derive(Debug, Default)]
pub(crate) struct Base {
    /// Stored heads, of the documents on which the plan depends.
    pub(crate) read: BTreeMap<Uuid, Object>,
    /// How many chunks documents have, of those that are stored. Empty for a feed that is not cut.
    pub(crate) counts: BTreeMap<Uuid, u64>,
    /// Whether they are those of every document that is touched.
    pub(crate) is_counted: bool,
    /// Answers to [`Question`]s.
    pub(crate) answers: BTreeMap<Question, bool>,
}

/// Whether the stored chunks of a document, beyond its head, hold the text of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    /// The document.
    pub(crate) document: Uuid,
    /// The line, by its place in the window.
    pub(crate) line: usize,
}

/// What becomes of a document's chunks beyond its head.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// There are none.
    None,
    /// They are made of this text.
    Text(Cut),
    /// They are those of a stored document, with this set.
    Stored {
        /// The document.
        from: Uuid,
        /// How many chunks it has.
        count: u64,
        /// What is set of each.
        set: Set,
    },
}

impl Tail {
    fn of(cut: &Cut) -> Self {
        if cut.count() > 1 { Self::Text(cut.clone()) } else { Self::None }
    }

    /// Chunks of the document, the head included.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::None => 1,
            Self::Text(cut) => cut.count(),
            Self::Stored { count, .. } => *count,
        }
    }

    /// As a line leaves it: a text takes the place of all, anything else changes all alike.
    fn changed(self, set: &Set) -> Self {
        match (&set.cut, self) {
            (Some(cut), _) => Self::of(cut),
            (None, Self::Stored { from, count, set: before }) => {
                Self::Stored { from, count, set: before.followed_by(set) }
            }
            (None, tail) => tail,
        }
    }
}

/// What is stored, as the lines so far left it.
pub(crate) struct Overlay<'a> {
    pub(crate) base: &'a Base,
    /// The vectors that the server makes from text.
    pub(crate) computed: &'a BTreeSet<String>,
    pub(crate) compares: bool,
    pub(crate) cutting: Option<&'a Cutting>,
    pub(crate) slots: BTreeMap<Uuid, Option<Put>>,
    pub(crate) questions: BTreeSet<Question>,
}

impl Overlay<'_> {
    pub(crate) fn apply(&mut self, writer: usize, step: &Step) -> Outcome {
        match step {
            Step::Add { object, cut } => {
                self.put(writer, object.clone(), cut.as_ref().map_or(Tail::None, Tail::of), Outcome::Added)
            }
            // Made of metadata alone it would be a document without text, and a rename would put it over another.
            Step::Modify { id, .. } if step.makes_nothing() && !self.has(*id) => Outcome::Modified,
            Step::Modify { id, set } => {
                let object = Arc::new(set.applied(*id, self.get(*id), self.computed));
                let tail = self.tail(*id).changed(set);
                self.put(writer, object, tail, Outcome::Modified)
            }
            Step::Delete { id } => {
                self.slots.insert(*id, None);
                Outcome::Deleted
            }
            Step::Rename { from, to, old_path, set } => {
                if !self.has(*from) {
                    return Outcome::Rejected(Rejection::validation(format!(
                        "rename: no document at `{old_path}`: add it under its new path instead"
                    )));
                }
                let object = Arc::new(set.applied(*to, self.get(*from), self.computed));
                let tail = self.tail(*from).changed(set);
                self.slots.insert(*from, None);
                self.insert(writer, self.closed(object, &tail), tail);
                Outcome::Renamed
            }
        }
    }

    /// The document is this, unless it is so already.
    fn put(&mut self, writer: usize, object: Arc<Object>, tail: Tail, outcome: Outcome) -> Outcome {
        let object = self.closed(object, &tail);
        if self.is_stored(writer, &object, &tail) {
            return Outcome::Unchanged;
        }
        self.insert(writer, object, tail);
        outcome
    }

    fn insert(&mut self, writer: usize, object: Arc<Object>, tail: Tail) {
        let before = self.base.counts.get(&object.id).copied().unwrap_or(1);
        self.slots.insert(object.id, Some(Put { object, writer, tail, before }));
    }

    fn closed(&self, mut head: Arc<Object>, tail: &Tail) -> Arc<Object> {
        if let Some(cutting) = self.cutting {
            cutting.close(Arc::make_mut(&mut head), tail.count());
        }
        head
    }

    fn has(&self, id: Uuid) -> bool {
        self.slots.get(&id).map_or_else(|| self.base.read.contains_key(&id), Option::is_some)
    }

    /// The head at this id, if there is one.
    fn get(&self, id: Uuid) -> Option<&Object> {
        match self.slots.get(&id) {
            Some(slot) => slot.as_ref().map(|put| &*put.object),
            None => self.base.read.get(&id),
        }
    }

    /// The chunks of the document at this id.
    fn tail(&self, id: Uuid) -> Tail {
        match self.slots.get(&id) {
            Some(slot) => slot.as_ref().map_or(Tail::None, |put| put.tail.clone()),
            None => match self.base.counts.get(&id).copied().unwrap_or(1) {
                ..=1 => Tail::None,
                count => Tail::Stored { from: id, count, set: Set::default() },
            },
        }
    }

    /// Whether the document is exactly so before the line: then the line writes nothing. A head that is the same and
    /// whole speaks for its chunks, but for their text.
    fn is_stored(&mut self, line: usize, object: &Object, tail: &Tail) -> bool {
        let is_head_same = self.get(object.id).is_some_and(|stored| is_same(stored, object, self.computed));
        if !self.compares || !is_head_same {
            return false;
        }
        match (self.tail(object.id), tail) {
            (Tail::Stored { from, .. }, Tail::Text(_)) => {
                let question = Question { document: from, line };
                self.base.answers.get(&question).copied().unwrap_or_else(|| {
                    self.questions.insert(question);
                    false
                })
            }
            (Tail::Text(before), Tail::Text(text)) => before == *text,
            _ => true,
        }
    }
}
