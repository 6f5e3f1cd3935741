//! Why a feed cannot be read on.

use crate::category::Category;
use crate::checkpoint::Digest;
use crate::compression::ReadError;
use crate::follow::MAX_FILES;
use crate::ports::PortError;

/// Why a feed cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A file is not the one for which the run was made.
    #[error("{file}: the content is not the one this run was made for (sha256 {found}, expected {expected})")]
    ContentChanged {
        /// Which file.
        file: String,
        /// What it was.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// What was indexed of a file is no longer what it begins with.
    #[error("{file}: the first {offset} bytes, which are indexed, were rewritten: start a new run to read it again")]
    FileRewritten {
        /// Which file.
        file: String,
        /// How much of it was indexed.
        offset: u64,
    },
    /// A file appeared among those that are done, or went.
    #[error("the files are not those that were read so far ({done} were done): start a new run to read all again")]
    FileListChanged {
        /// How many were done.
        done: u64,
    },
    /// A file is not what it was when its deletes were counted.
    #[error("{file}: the content changed after its deletes were counted: start a new run, which counts them anew")]
    ChangedSinceCounted {
        /// Which file.
        file: String,
    },
    /// More files than a followed feed may have.
    #[error(
        "{files} files are more than the {MAX_FILES} of which a feed that goes on from run to run can keep records: have processed ones moved away, or make several feeds"
    )]
    TooManyFiles {
        /// How many there are.
        files: usize,
    },
    /// A file got another version while the run read the source.
    #[error("{file} was replaced while it was read: start a new run to read all again")]
    FileReplaced {
        /// Which file.
        file: String,
    },
    /// A file is an archive that is damaged, or of a kind that is not read.
    #[error("{file}: {problem}")]
    FileDamaged {
        /// Which file.
        file: String,
        /// What is wrong with it, where, and what to do.
        problem: String,
    },
    /// Two files have one name.
    #[error("the source lists {0} twice")]
    TwoOfOneName(String),
    /// A file could not be listed or read.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A file that cannot be read, or is not what it should be.
pub(crate) fn unreadable(file: &str, error: &ReadError) -> FeedError {
    match error {
        ReadError::Failed(_) => {
            let message = format!("{file}: {error}");
            PortError { category: Category::FileSystem, retryable: true, message }.into()
        }
        ReadError::Damaged { .. } | ReadError::Cut { .. } | ReadError::Unsupported(_) => {
            FeedError::FileDamaged { file: file.to_owned(), problem: error.to_string() }
        }
    }
}
