//! Runs that are Weaviate's own backups: the servers write, and what they wrote is catalogued beside it.
//!
//! ```text
//! claim ─▶ owner.json, begun.json        then the servers are asked, for a folder below the run
//! servers ─▶ native/ID/backup_config.json, native/ID/NODE/backup.json, native/ID/NODE/COLLECTION/chunk-…
//! catalogue ─▶ native.json, index/COLLECTION.json, manifest.json      once they say that it is done
//! ```
//!
//! The whole of it lies in the folder of the run, so whatever removes a run removes these files and no others. What is
//! in them only Weaviate can tell: a hash proves that a file is what was written, not that it can be restored.

mod catalogue;
mod descriptor;
mod receipt;
#[cfg(test)]
mod tests;
mod verify;

pub use catalogue::{Catalogue, Held, NativeError, NativeOrder, claim};
pub use descriptor::{Descriptor, describe};
pub use receipt::{begin_receipt, save_receipt};
pub use verify::{verify, verify_sizes};

use serde::{Deserialize, Serialize};

use super::manifest::{FORMAT, FORMAT_VERSION};
use crate::checkpoint::Digest;

/// Files of one backup, at most: so many fill [`super::manifest::DOCUMENT_BYTES`] by half. The servers pack hundreds of
/// MiB into each, so this is far beyond any of them.
pub const MOST_FILES: usize = 100_000;

/// `native.json`: the files that the servers wrote.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NativeFiles {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Each of them.
    pub files: Vec<NativeFile>,
}

impl NativeFiles {
    fn new(files: Vec<NativeFile>) -> Self {
        Self { format: FORMAT.to_owned(), version: FORMAT_VERSION, files }
    }
}

/// A file that the servers wrote.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NativeFile {
    /// Its key, below the run.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, where it was read for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

impl NativeFile {
    /// The collection that it belongs to; `None` for what belongs to all of them. The servers give each collection of a
    /// node a folder of its name.
    pub fn collection(&self) -> Option<&str> {
        // native/ID/NODE/COLLECTION/chunk-1
        self.key.split('/').nth(3).filter(|_| self.key.split('/').count() > 4)
    }
}
