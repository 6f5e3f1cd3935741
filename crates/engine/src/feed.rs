//! The files of a source as one sequence of lines, with a mark behind each of them that a checkpoint can be made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::Sha256;
use tokio::io::BufReader;

use crate::category::Category;
use crate::checkpoint::{Checkpoint, Digest, Position, chain_name};
use crate::ports::{FileEntry, PortError, Source};
use crate::reader::{Lines, RawLine};

/// How much of a file is read at once: fewer calls to the kernel, little to hold.
const READ_BYTES: usize = 256 << 10;

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
    /// Two files have one name.
    #[error("the source lists {0} twice")]
    TwoOfOneName(String),
    /// A file could not be listed or read.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// How far the reading is: what a checkpoint is made of, cheap to take behind every line.
#[derive(Clone, Debug)]
pub struct Mark {
    files: u64,
    names: Digest,
    current: Option<MarkInFile>,
}

#[derive(Clone, Debug)]
struct MarkInFile {
    file: Arc<str>,
    offset: u64,
    line: u64,
    hasher: Sha256,
}

impl Mark {
    /// The checkpoint at this mark.
    pub fn checkpoint(&self) -> Checkpoint {
        let current = self.current.as_ref().map(|mark| Position {
            file: mark.file.to_string(),
            offset: mark.offset,
            line: mark.line,
            sha256: Digest::finish(mark.hasher.clone()),
        });
        Checkpoint { files: self.files, names: self.names, current }
    }
}

/// One line of one file.
#[derive(Debug)]
pub struct FeedLine {
    /// The file's name.
    pub file: Arc<str>,
    /// The line.
    pub line: RawLine,
}

struct OpenFile<R> {
    name: Arc<str>,
    expected: Option<Digest>,
    lines: Lines<BufReader<R>>,
}

/// Reads a source file by file, line by line.
pub struct Feed<'a, S: Source> {
    source: &'a S,
    files: Vec<FileEntry>,
    done: usize,
    names: Digest,
    open: Option<OpenFile<S::Reader>>,
}

impl<'a, S: Source> Feed<'a, S> {
    /// Lists the files, proves that they are what they must be, and stands where the checkpoint says.
    pub async fn resume(source: &'a S, checkpoint: &Checkpoint) -> Result<Self, FeedError> {
        let files = source.list().await?;
        no_name_twice(&files)?;
        for file in &files {
            verify_expected(source, file).await?;
        }
        let changed = || FeedError::FileListChanged { done: checkpoint.files };
        let done = usize::try_from(checkpoint.files).map_err(|_| changed())?;
        let names = files.get(..done).ok_or_else(changed)?.iter().fold(Digest::default(), chain_link);
        if names != checkpoint.names {
            return Err(changed());
        }
        let mut feed = Self { source, files, done, names, open: None };
        if let Some(position) = &checkpoint.current {
            feed.open_at(position).await?;
        }
        Ok(feed)
    }

    /// The next line that is not blank, or `None` behind the last file.
    pub async fn next(&mut self) -> Result<Option<FeedLine>, FeedError> {
        loop {
            if self.open.is_none() && !self.open_next().await? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match open.lines.next().await.map_err(|error| unreadable(&open.name, &error))? {
                Some(line) if line.is_blank() => {}
                Some(line) => return Ok(Some(FeedLine { file: open.name.clone(), line })),
                None => self.close()?,
            }
        }
    }

    /// Where the reading stands.
    pub fn mark(&self) -> Mark {
        let current = self.open.as_ref().filter(|open| open.lines.offset() > 0).map(|open| MarkInFile {
            file: open.name.clone(),
            offset: open.lines.offset(),
            line: open.lines.number(),
            hasher: open.lines.hasher().clone(),
        });
        Mark { files: self.done as u64, names: self.names, current }
    }

    async fn open_next(&mut self) -> Result<bool, FeedError> {
        let Some(file) = self.files.get(self.done) else { return Ok(false) };
        let reader = self.source.open(&file.name).await?;
        let lines = Lines::new(BufReader::with_capacity(READ_BYTES, reader));
        self.open = Some(OpenFile { name: file.name.as_str().into(), expected: file.expected, lines });
        Ok(true)
    }

    async fn open_at(&mut self, position: &Position) -> Result<(), FeedError> {
        let next = self.files.get(self.done).map(|file| file.name.as_str());
        if next != Some(position.file.as_str()) {
            return Err(FeedError::FileListChanged { done: self.done as u64 });
        }
        self.open_next().await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let skipped = open.lines.skip(position.offset, position.line).await;
        let skipped = skipped.map_err(|error| unreadable(&open.name, &error))?;
        if skipped != position.offset || Digest::finish(open.lines.hasher().clone()) != position.sha256 {
            return Err(FeedError::FileRewritten { file: position.file.clone(), offset: position.offset });
        }
        Ok(())
    }

    /// The open file was read to its end.
    fn close(&mut self) -> Result<(), FeedError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        // It was right when the run began; a mount may have been exchanged since.
        if let Some(expected) = open.expected {
            compare(&open.name, expected, Digest::finish(open.lines.hasher().clone()))?;
        }
        self.names = chain_name(self.names, &open.name);
        self.done += 1;
        Ok(())
    }
}

fn chain_link(names: Digest, file: &FileEntry) -> Digest {
    chain_name(names, &file.name)
}

fn no_name_twice(files: &[FileEntry]) -> Result<(), FeedError> {
    let mut names = BTreeSet::new();
    match files.iter().find(|file| !names.insert(&file.name)) {
        Some(file) => Err(FeedError::TwoOfOneName(file.name.clone())),
        None => Ok(()),
    }
}

async fn verify_expected<S: Source>(source: &S, file: &FileEntry) -> Result<(), FeedError> {
    let Some(expected) = file.expected else { return Ok(()) };
    let reader = source.open(&file.name).await?;
    let mut lines = Lines::new(BufReader::with_capacity(READ_BYTES, reader));
    lines.skip(u64::MAX, 0).await.map_err(|error| unreadable(&file.name, &error))?;
    compare(&file.name, expected, Digest::finish(lines.hasher().clone()))
}

fn compare(file: &str, expected: Digest, found: Digest) -> Result<(), FeedError> {
    if expected == found {
        return Ok(());
    }
    Err(FeedError::ContentChanged { file: file.to_owned(), expected, found })
}

fn unreadable(file: &str, error: &std::io::Error) -> PortError {
    PortError { category: Category::FileSystem, retryable: true, message: format!("failed to read {file}: {error}") }
}
