//! What of a source is still to be read, for those who wait for it.

use serde::{Deserialize, Serialize};

use crate::ports::FileEntry;

/// What of the listed files is not dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Left {
    /// Files that are not finished, the one that is being read among them.
    pub files: u64,
    /// Their bytes as they are stored, without what was read of them. What was read of an archive tells nothing about its
    /// stored bytes, so all of it counts until it is finished.
    pub bytes: u64,
}

/// Keeps the sums while files are finished one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remaining {
    /// Of each file that is not finished, the first one last.
    files: Vec<u64>,
    bytes: u64,
}

impl Remaining {
    /// Of these files; of each as much as was read of it before.
    pub(crate) fn new<'f>(files: impl DoubleEndedIterator<Item = (&'f FileEntry, u64)>) -> Self {
        let files = files.rev().map(|(file, read)| file.size.saturating_sub(read)).collect::<Vec<_>>();
        let bytes = files.iter().sum();
        Self { files, bytes }
    }

    /// The first file is finished.
    pub(crate) fn finish(&mut self) {
        self.bytes -= self.files.pop().unwrap_or_default();
    }

    /// What is left while the first file has this much left; `None`: it is as it was counted.
    pub(crate) fn left(&self, first: Option<u64>) -> Left {
        let counted = self.files.last().copied().unwrap_or_default();
        let files = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
        Left { files, bytes: self.bytes - counted + first.unwrap_or(counted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_shrinks_with_each_file_and_within_the_first() {
        let file = |size| FileEntry { name: String::new(), size, version: None, expected: None };
        let files = [file(10), file(20), file(5)];
        let mut remaining = Remaining::new(files.iter().zip([0, 15, 9]));
        assert_eq!(remaining.left(None), Left { files: 3, bytes: 15 });
        assert_eq!(remaining.left(Some(3)), Left { files: 3, bytes: 8 });
        remaining.finish();
        assert_eq!(remaining.left(None), Left { files: 2, bytes: 5 });
        remaining.finish();
        remaining.finish();
        remaining.finish();
        assert_eq!(remaining.left(None), Left::default());
    }
}
