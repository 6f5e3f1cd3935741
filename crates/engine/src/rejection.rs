//! Why one line was not indexed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::category::Category;

/// The longest reason that is kept, in bytes: enough for a sentence and the offending value; twenty of them must fit
/// a ledger of 256 KiB many times over.
pub const REASON_BYTES: usize = 400;

/// Why one line was not indexed. The rest of the feed goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of fault.
    pub category: Category,
    /// What is wrong, with which field, and what to do. One line, at most [`REASON_BYTES`] long.
    pub reason: String,
    /// The documents that the line would change, where it could be read as a change.
    pub documents: Vec<Uuid>,
}

impl Rejection {
    /// A rejection with its reason cut to the bound and freed from control characters.
    pub fn new(category: Category, reason: impl AsRef<str>) -> Self {
        Self { category, reason: one_line(reason.as_ref(), REASON_BYTES), documents: Vec::new() }
    }

    /// The same, with the documents that the line would change.
    #[must_use]
    pub(crate) fn about(self, documents: impl IntoIterator<Item = Uuid>) -> Self {
        Self { documents: documents.into_iter().collect(), ..self }
    }

    /// The line breaks a rule of the format or of the collection.
    pub fn validation(reason: impl AsRef<str>) -> Self {
        Self::new(Category::Validation, reason)
    }

    /// The line's bytes cannot be read as text.
    pub fn encoding(reason: impl AsRef<str>) -> Self {
        Self::new(Category::Encoding, reason)
    }
}

/// One rejected line, as the ledger keeps it: enough to find the line again and to know why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The file's name in the source.
    pub file: String,
    /// The line's number in that file, as an editor counts: blank lines too, from 1.
    pub line: u64,
    /// Where the line begins, in bytes.
    pub offset: u64,
    /// How long the line is, in bytes, with its line break.
    pub length: u64,
    /// The kind of fault.
    pub category: Category,
    /// What is wrong and what to do.
    pub reason: String,
}

/// The text without control characters and no longer than `limit` bytes; `…` marks a cut.
pub fn one_line(text: &str, limit: usize) -> String {
    const ELLIPSIS: char = '…';
    let mut line = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let shown = if character.is_control() { ' ' } else { character };
        if line.len() + shown.len_utf8() > limit.saturating_sub(ELLIPSIS.len_utf8()) {
            line.push(ELLIPSIS);
            break;
        }
        line.push(shown);
    }
    line
}
