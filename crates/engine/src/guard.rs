//! The guard over deletes: before a run's first write its files are read once for what they would delete.
//!
//! ```text
//! files ─▶ ids of delete lines ─▶ which of them are there ─▶ allowed? ─▶ the run, up to where was counted
//!          (and of what was renamed to them)                    │
//!                                                               └─▶ the run waits: a person approves number and content
//! ```
//!
//! What is counted are **documents that are there now and that a delete line takes away**, also those that are added
//! again further on, and those that reach the deleted path by renames. A document that the feed itself adds and deletes
//! is none: so a history may be read again. Only when the lines alone could be too many is the collection asked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::checkpoint::Digest;
use crate::compression::Decoded;
use crate::feed::{FeedError, unreadable};
use crate::identity::document_id;
use crate::line::{self, Action, Change};
use crate::ports::{FileEntry, Source};
use crate::reader::{Lines, RawLine};

/// How many documents are told apart: 16 bytes each and their node, some 50 MiB. Beyond it each line counts.
const DOCUMENTS: usize = 1_000_000;

/// How many deletes a run may begin with, without asking. Both hold where both are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// Of a hundred objects in the collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl Limits {
    /// Whether so many may be deleted from a collection with `objects`. How many there are is asked for only where it
    /// matters; not known, it allows nothing.
    pub fn allow(&self, deletes: u64, objects: Option<u64>) -> bool {
        let within = |percent: u8| {
            objects.is_some_and(|objects| u128::from(deletes) * 100 <= u128::from(objects) * u128::from(percent))
        };
        deletes == 0 || (self.objects.is_none_or(|most| deletes <= most) && self.percent.is_none_or(within))
    }
}

/// What a person approved: these files, and no more deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Of [`Guarded::content`].
    pub content: Digest,
    /// As many as were shown.
    pub deletes: u64,
}

/// A guard over a run's deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// What needs no approval.
    pub limits: Limits,
    /// What was approved.
    pub approval: Option<Approval>,
}

/// What was counted before a run's first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guarded {
    /// Names and text of all files that were counted.
    pub content: Digest,
    /// Documents that are there and that its lines delete. Where it need not be known exactly, at most as many.
    pub deletes: u64,
    /// Objects of the collection; absent when that was not asked, or could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// What it was compared with.
    pub limits: Limits,
    /// Whether an approval was used for it. It serves no more.
    #[serde(default)]
    pub approved: bool,
    /// When this number was found first.
    pub since: Timestamp,
}

impl Guarded {
    /// The same finding as an earlier one keeps its time: whoever looks at it sees the same plan.
    #[must_use]
    pub(crate) fn since_before(self, before: Option<&Self>) -> Self {
        let same = before.filter(|before| {
            (before.content, before.deletes, before.limits) == (self.content, self.deletes, self.limits)
        });
        Self { since: same.map_or(self.since, |before| before.since), ..self }
    }
}

/// The end of a file as it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of its text.
    pub bytes: u64,
    /// Their hash.
    pub sha256: Digest,
}

/// What a feed would delete.
#[derive(Debug)]
pub struct Counted {
    /// Names and text of all files.
    pub content: Digest,
    /// How far each file was read.
    pub extents: BTreeMap<String, Extent>,
    /// The documents.
    pub documents: BTreeSet<Uuid>,
    /// Lines that may delete others, beyond as many as are told apart.
    pub beyond: u64,
}

impl Counted {
    /// At most as many documents are deleted.
    pub fn most(&self) -> u64 {
        self.documents.len() as u64 + self.beyond
    }
}

/// Which documents lines delete, and from where they came.
#[derive(Default)]
struct Tracker {
    deleted: BTreeSet<Uuid>,
    /// For the target of renames the ids that its document, and what it replaced, had before.
    origins: BTreeMap<Uuid, BTreeSet<Uuid>>,
    held: usize,
    beyond: u64,
}

impl Tracker {
    fn apply(&mut self, collection: &str, change: &Change) {
        let Change { repo, path, action } = change;
        let id = document_id(collection, repo, path);
        match action {
            Action::Delete => {
                let origins = self.origins.remove(&id).unwrap_or_default();
                self.held -= origins.len();
                for id in origins.into_iter().chain([id]) {
                    self.delete(id);
                }
            }
            Action::Rename { new_path, .. } => self.rename(id, document_id(collection, repo, new_path)),
            Action::Add(_) | Action::Modify(_) => {}
        }
    }

    fn delete(&mut self, id: Uuid) {
        if self.is_full() && !self.deleted.contains(&id) {
            self.beyond += 1;
        } else if self.deleted.insert(id) {
            self.held += 1;
        }
    }

    /// Whether the rename will find its document is not known here; if it does, a delete of the new path deletes it.
    fn rename(&mut self, from: Uuid, to: Uuid) {
        let mut moved = self.origins.remove(&from).unwrap_or_default();
        self.held -= moved.len();
        moved.insert(from);
        // The target's own id counts only when a delete names it.
        moved.remove(&to);
        if self.is_full() {
            // What became of it cannot be followed any more: as if it were deleted.
            self.beyond += moved.len() as u64;
            return;
        }
        let origins = self.origins.entry(to).or_default();
        let before = origins.len();
        origins.extend(moved);
        self.held += origins.len() - before;
    }

    fn is_full(&self) -> bool {
        self.held >= DOCUMENTS
    }
}

/// Reads all files to their ends for what they delete.
pub async fn count<S: Source>(source: &S, collection: &str) -> Result<Counted, FeedError> {
    let mut tracker = Tracker::default();
    let mut extents = BTreeMap::new();
    let mut content = Sha256::new();
    for file in source.list().await? {
        let extent = read(source, &file, |line| {
            if may_delete(line)
                && let Ok(change) = line::read(line)
            {
                tracker.apply(collection, &change);
            }
        });
        let extent = extent.await?;
        // Each part has one length, so no two lists of files make one text.
        content.update(Sha256::digest(&file.name));
        content.update(extent.sha256.to_string());
        extents.insert(file.name, extent);
    }
    let Tracker { deleted, beyond, .. } = tracker;
    Ok(Counted { content: Digest::finish(content), extents, documents: deleted, beyond })
}

async fn read<S: Source>(source: &S, file: &FileEntry, mut each: impl FnMut(&RawLine)) -> Result<Extent, FeedError> {
    let reader = source.open(file).await?;
    let decoded = Decoded::open(reader, false).await.map_err(|error| unreadable(&file.name, &error))?;
    let mut lines = Lines::new(decoded);
    loop {
        match lines.next().await {
            Ok(Some(line)) => each(&line),
            Ok(None) => break,
            Err(error) => return Err(unreadable(&file.name, &lines.reader().explain(error))),
        }
    }
    Ok(Extent { bytes: lines.offset(), sha256: Digest::finish(lines.hasher().clone()) })
}

/// Whether a line can be a delete or a rename at all: the words stand in it to the letter, unless their letters are
/// escaped. Most lines are neither, and looking for three words costs a tenth of reading a line.
fn may_delete(line: &RawLine) -> bool {
    let Some(body) = &line.body else { return false };
    [b"delete".as_slice(), b"rename", b"\\u"].into_iter().any(|word| memmem::find(body, word).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySource;

    fn counted(text: &str) -> Counted {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(count(&MemorySource::of("feed.jsonl", text), "Articles")).unwrap()
    }

    fn ids(paths: &[&str]) -> BTreeSet<Uuid> {
        paths.iter().map(|path| document_id("Articles", "r", path)).collect()
    }

    fn line(op: &str, path: &str, rest: &str) -> String {
        format!("{{\"repo\":\"r\",\"op\":\"{op}\",\"path\":\"{path}\"{rest}}}\n")
    }

    fn rename(path: &str, new_path: &str) -> String {
        line("rename", path, &format!(",\"new_path\":\"{new_path}\""))
    }

    #[test]
    fn documents_that_lines_delete_are_counted_once_and_with_what_was_moved_to_them() {
        let add = |path| line("add", path, ",\"content\":\"delete and rename\"");
        let delete = |path| line("delete", path, "");
        let cases: [(&str, String, &[&str]); 8] = [
            ("no delete at all", add("a") + rename("a", "b").as_str(), &[]),
            ("one twice", delete("a") + delete("a").as_str(), &["a"]),
            ("also when it comes back", delete("a") + add("a").as_str(), &["a"]),
            ("by its old path", rename("a", "b") + delete("b").as_str(), &["a", "b"]),
            ("along a chain", rename("a", "b") + rename("b", "c").as_str() + delete("c").as_str(), &["a", "b", "c"]),
            ("in a circle", rename("a", "b") + rename("b", "a").as_str() + delete("a").as_str(), &["a", "b"]),
            ("another than was moved", rename("a", "b") + delete("a").as_str(), &["a"]),
            ("with escaped letters", line("d\\u0065lete", "a", "") + "{\"op\":\"delete\"}\n\n", &["a"]),
        ];
        for (case, text, expected) in cases {
            let found = counted(&text);
            assert_eq!(found.documents, ids(expected), "{case}");
            assert_eq!((found.beyond, found.most()), (0, expected.len() as u64), "{case}");
            let extent = Extent { bytes: text.len() as u64, sha256: Digest::of(text.as_bytes()) };
            assert_eq!(found.extents["feed.jsonl"], extent, "{case}");
        }
    }

    #[test]
    fn the_content_is_names_and_text() {
        let content = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
            let source = MemorySource { files, ..MemorySource::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(count(&source, "Articles")).unwrap().content
        };
        let one = content(&[("a", "1\n"), ("b", "2\n")]);
        assert_eq!(one, content(&[("a", "1\n"), ("b", "2\n")]));
        assert_ne!(one, content(&[("a", "2\n"), ("b", "1\n")]));
        assert_ne!(one, content(&[("a", "1\n2\n"), ("b", "")]));
        assert_ne!(one, content(&[("a", "1\n"), ("c", "2\n")]));
    }

    #[test]
    fn what_limits_allow() {
        let limits = |objects, percent| Limits { objects, percent };
        let cases = [
            ("nothing to delete", limits(Some(0), Some(0)), 0, None, true),
            ("as many", limits(Some(5), None), 5, None, true),
            ("one more", limits(Some(5), None), 6, Some(1_000), false),
            ("a tenth", limits(None, Some(10)), 10, Some(100), true),
            ("over a tenth", limits(None, Some(10)), 11, Some(109), false),
            ("of an unknown number", limits(None, Some(100)), 1, None, false),
            ("of none", limits(None, Some(99)), 1, Some(0), false),
            ("both", limits(Some(5), Some(1)), 5, Some(500), true),
            ("one of both", limits(Some(5), Some(1)), 5, Some(499), false),
            ("no overflow", limits(None, Some(100)), u64::MAX, Some(u64::MAX), true),
        ];
        for (case, limits, deletes, objects, expected) in cases {
            assert_eq!(limits.allow(deletes, objects), expected, "{case}");
        }
    }
}
