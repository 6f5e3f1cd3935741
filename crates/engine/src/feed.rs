//! The files of a source as one sequence of lines, with a mark behind each of them that a checkpoint can be made of.
//!
//! Offsets and hashes of marks are those of the text, not of the archive in which it may be stored: resuming reads an
//! archive again from its beginning. So does it with plain text, unless the source has versions and the file still has
//! the one that was read. What a file is expected to be is said of its stored bytes.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::checkpoint::{Checkpoint, Digest, Midstate, Position, chain_name};
use crate::compression::{Compression, Decoded, ReadError};
use crate::follow::{Look, Record, Waiting, is_whole};
use crate::guard::Extent;
use crate::ports::{FileEntry, Source};
use crate::progress::{Left, Remaining};
use crate::reader::{Lines, RawLine};

pub use error::FeedError;
pub(crate) use error::unreadable;

/// How much of a file is read at once to hash it.
const HASH_BYTES: usize = 256 << 10;

/// How far the reading is: what a checkpoint is made of, cheap to take behind every line.
#[derive(Clone, Debug)]
pub struct Mark {
    files: u64,
    /// Of the files that this reader finished.
    pub(crate) finished: usize,
    /// What is left to be read behind it.
    pub(crate) left: Left,
    names: Digest,
    current: Option<MarkInFile>,
}

#[derive(Clone, Debug)]
struct MarkInFile {
    file: Arc<str>,
    version: Option<Arc<str>>,
    is_plain: bool,
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
            version: mark.version.as_deref().map(str::to_owned),
            midstate: (mark.is_plain && mark.version.is_some()).then(|| Midstate::of(&mark.hasher)),
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
    version: Option<Arc<str>>,
    expected: Option<Digest>,
    lines: Lines<Decoded<R>>,
    /// Where the last line began, of a followed feed.
    before: Option<(u64, u64, Sha256)>,
    is_last_line_open: bool,
    /// Whether what comes last is not dealt with, because it may still be written.
    is_waiting: bool,
    /// Whether that is because the archive ends in its midst.
    is_cut: bool,
}

impl<R: AsyncRead + Unpin> OpenFile<R> {
    fn new(file: &FileEntry, lines: Lines<Decoded<R>>) -> Self {
        let version = file.version.as_deref().map(Arc::from);
        let name = file.name.as_str().into();
        Self {
            name,
            version,
            expected: file.expected,
            lines,
            before: None,
            is_last_line_open: false,
            is_waiting: false,
            is_cut: false,
        }
    }

    /// How much of it is dealt with: up to its end, or to a last line that waits.
    fn record(self, now: Timestamp) -> Record {
        let (offset, line, hasher) = match self.before {
            Some(before) if self.is_waiting => before,
            _ => (self.lines.offset(), self.lines.number(), self.lines.hasher().clone()),
        };
        Record {
            offset,
            line,
            sha256: Digest::finish(hasher),
            version: self.version.as_deref().map(str::to_owned),
            is_open: self.is_last_line_open,
            waiting: match (self.is_waiting, self.is_cut) {
                (false, _) => None,
                (true, false) => Some(Waiting::Line),
                (true, true) => Some(Waiting::Archive { since: now }),
            },
            ..Record::default()
        }
    }

    async fn next(&mut self) -> Result<Option<RawLine>, ReadError> {
        let line = self.lines.next().await;
        line.map_err(|error| self.lines.reader().explain(error))
    }

    async fn skip(&mut self, bytes: u64, line: u64) -> Result<u64, FeedError> {
        let skipped = self.lines.skip(bytes, line).await;
        skipped.map_err(|error| unreadable(&self.name, &self.lines.reader().explain(error)))
    }
}

/// Reads a source file by file, line by line.
pub struct Feed<'a, S: Source> {
    source: &'a S,
    files: Vec<FileEntry>,
    done: usize,
    remaining: Remaining,
    names: Digest,
    open: Option<OpenFile<S::Reader>>,
    /// Where reading ends, of files whose content was not fixed when the run was made.
    extents: Option<BTreeMap<String, Extent>>,
    followed: Option<Following>,
}

/// What only a followed feed needs: where reading begins, and what was read to its end.
#[derive(Debug)]
struct Following {
    starts: Vec<Option<Record>>,
    /// Files that were done before this look.
    before: u64,
    /// When the look was.
    now: Timestamp,
    finished: Vec<(String, Record)>,
}

impl<'a, S: Source> Feed<'a, S> {
    /// Lists the files, proves that they are what they must be, and stands where the checkpoint says.
    /// With `extents`, no file is read further than that, and each must be there what it was.
    pub async fn resume(
        source: &'a S,
        checkpoint: &Checkpoint,
        extents: Option<BTreeMap<String, Extent>>,
    ) -> Result<Self, FeedError> {
        let mut files = source.list().await?;
        no_name_twice(&files)?;
        if let Some(extents) = &extents {
            // What appeared since belongs to the next run; what went is missing.
            files.retain(|file| extents.contains_key(&file.name));
            let listed = files.iter().map(|file| &file.name).collect::<BTreeSet<_>>();
            if let Some(file) = extents.keys().find(|name| !listed.contains(name)) {
                return Err(FeedError::ChangedSinceCounted { file: file.clone() });
            }
        }
        for file in &files {
            verify_expected(source, file).await?;
        }
        let changed = || FeedError::FileListChanged { done: checkpoint.files };
        let done = usize::try_from(checkpoint.files).map_err(|_| changed())?;
        let names = files.get(..done).ok_or_else(changed)?.iter().fold(Digest::default(), chain_link);
        if names != checkpoint.names {
            return Err(changed());
        }
        let remaining = Remaining::new(files[done..].iter().map(|file| (file, 0)));
        let mut feed = Self { source, files, done, remaining, names, open: None, extents, followed: None };
        if let Some(position) = &checkpoint.current {
            feed.open_at(position).await?;
        }
        Ok(feed)
    }

    /// Reads what a look found.
    pub fn follow(source: &'a S, checkpoint: &Checkpoint, look: Look, now: Timestamp) -> Self {
        // Of an archive it is not known how many of its stored bytes were read: it has no state of a hash.
        let read = |start: &Record| start.midstate.as_ref().map_or(0, |_| start.offset);
        let remaining =
            Remaining::new(look.readings.iter().map(|reading| (&reading.file, reading.from.as_ref().map_or(0, read))));
        let (files, starts) = look.readings.into_iter().map(|reading| (reading.file, reading.from)).unzip();
        let followed = Some(Following { starts, before: checkpoint.files, now, finished: Vec::new() });
        Self { source, files, done: 0, remaining, names: checkpoint.names, open: None, extents: None, followed }
    }

    /// The files that were finished between two marks.
    pub(crate) fn finished(&self, from: usize, to: usize) -> Vec<(String, Record)> {
        let finished = self.followed.as_ref().and_then(|followed| followed.finished.get(from..to));
        finished.unwrap_or_default().to_vec()
    }

    /// The next line that is not blank, or `None` behind the last file.
    pub async fn next(&mut self) -> Result<Option<FeedLine>, FeedError> {
        loop {
            if self.open.is_none() && !self.open_next().await? {
                self.prove_unchanged().await?;
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            let is_followed = self.followed.is_some();
            if is_followed {
                open.before = Some((open.lines.offset(), open.lines.number(), open.lines.hasher().clone()));
            }
            let line = match open.next().await {
                // Somebody may still be copying it: what is whole of it was read. Without a version nobody could tell that it
                // grew.
                Err(ReadError::Cut { .. }) if is_followed && open.version.is_some() => {
                    (open.is_waiting, open.is_cut) = (true, true);
                    self.close()?;
                    continue;
                }
                line => line.map_err(|error| unreadable(&open.name, &error))?,
            };
            match line {
                // Somebody may be writing it: it waits for its end.
                Some(line) if is_followed && !line.is_ended && !line.is_blank() && !is_whole(line.body.as_deref()) => {
                    open.is_waiting = true;
                    self.close()?;
                }
                Some(line) if line.is_blank() => {}
                Some(line) => {
                    open.is_last_line_open = !line.is_ended;
                    return Ok(Some(FeedLine { file: open.name.clone(), line }));
                }
                None => self.close()?,
            }
        }
    }

    /// Where the reading stands.
    pub fn mark(&self) -> Mark {
        let current = self.open.as_ref().filter(|open| open.lines.offset() > 0).map(|open| MarkInFile {
            file: open.name.clone(),
            version: open.version.clone(),
            is_plain: open.lines.reader().compression() == Compression::Plain,
            offset: open.lines.offset(),
            line: open.lines.number(),
            hasher: open.lines.hasher().clone(),
        });
        let followed = self.followed.as_ref();
        let files = self.done as u64 + followed.map_or(0, |followed| followed.before);
        let finished = followed.map_or(0, |followed| followed.finished.len());
        Mark { files, finished, left: self.left(), names: self.names, current }
    }

    /// What is left to be read.
    pub fn left(&self) -> Left {
        let size = self.files.get(self.done).map_or(0, |file| file.size);
        let plain = self.open.as_ref().filter(|open| open.lines.reader().compression() == Compression::Plain);
        self.remaining.left(plain.map(|open| size.saturating_sub(open.lines.offset())))
    }

    async fn open_next(&mut self) -> Result<bool, FeedError> {
        let Some(file) = self.files.get(self.done) else { return Ok(false) };
        let start = self.followed.as_ref().and_then(|followed| followed.starts.get(self.done)?.as_ref());
        if let Some(position) = start.map(|start| start.position(&file.name)) {
            self.open_behind(&position).await?;
            return Ok(true);
        }
        self.open_from_beginning().await
    }

    async fn open_from_beginning(&mut self) -> Result<bool, FeedError> {
        let Some(file) = self.files.get(self.done) else { return Ok(false) };
        self.prove_counted(file).await?;
        let reader = self.source.open(file).await?;
        let decoded = Decoded::open(reader, file.expected.is_some()).await;
        let decoded = decoded.map_err(|error| unreadable(&file.name, &error))?;
        let mut lines = Lines::new(decoded);
        if let Some(extent) = self.extent(&file.name, file.expected) {
            lines.end_at(extent.bytes);
        }
        self.open = Some(OpenFile::new(file, lines));
        Ok(true)
    }

    /// What has versions may have been replaced behind the reading: then not all of what is there now was read.
    async fn prove_unchanged(&self) -> Result<(), FeedError> {
        // The next look of a followed feed finds out by itself.
        if self.followed.is_some() || self.files.iter().all(|file| file.version.is_none()) {
            return Ok(());
        }
        let now = self.source.list().await?;
        let now = now.iter().map(|file| (&file.name, &file.version)).collect::<BTreeMap<_, _>>();
        match self.files.iter().find(|file| now.get(&file.name).is_some_and(|version| **version != file.version)) {
            Some(file) => Err(FeedError::FileReplaced { file: file.name.clone() }),
            None => Ok(()),
        }
    }

    async fn open_at(&mut self, position: &Position) -> Result<(), FeedError> {
        let next = self.files.get(self.done);
        if next.is_none_or(|file| file.name != position.file) {
            return Err(FeedError::FileListChanged { done: self.done as u64 });
        }
        self.open_behind(position).await
    }

    /// Opens the next file behind what is indexed of it.
    async fn open_behind(&mut self, position: &Position) -> Result<(), FeedError> {
        let Some(file) = self.files.get(self.done) else { return Ok(()) };
        if let Some(mut lines) = reopen(self.source, file, position).await? {
            if let Some(extent) = self.extent(&file.name, file.expected) {
                lines.end_at(extent.bytes);
            }
            self.open = Some(OpenFile::new(file, lines));
            return Ok(());
        }
        self.open_from_beginning().await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let skipped = open.skip(position.offset, position.line).await?;
        if skipped != position.offset || Digest::finish(open.lines.hasher().clone()) != position.sha256 {
            return Err(FeedError::FileRewritten { file: position.file.clone(), offset: position.offset });
        }
        Ok(())
    }

    /// A file whose deletes were counted is what it was then: read once more before the first of its lines is carried
    /// out, because its end comes too late for what would be deleted.
    async fn prove_counted(&self, file: &FileEntry) -> Result<(), FeedError> {
        let Some(extent) = self.extent(&file.name, file.expected) else { return Ok(()) };
        let reader = self.source.open(file).await?;
        let decoded = Decoded::open(reader, false).await.map_err(|error| unreadable(&file.name, &error))?;
        let mut lines = Lines::new(decoded);
        let skipped = lines.skip(extent.bytes, 0).await;
        let skipped = skipped.map_err(|error| unreadable(&file.name, &lines.reader().explain(error)))?;
        if (skipped, Digest::finish(lines.hasher().clone())) != (extent.bytes, extent.sha256) {
            return Err(FeedError::ChangedSinceCounted { file: file.name.clone() });
        }
        Ok(())
    }

    /// How far this file was counted; `None` where it is read to its end, whatever that is, or is fixed by its hash.
    fn extent(&self, name: &str, expected: Option<Digest>) -> Option<Extent> {
        self.extents.as_ref().filter(|_| expected.is_none())?.get(name).copied()
    }

    /// The open file was read to its end.
    fn close(&mut self) -> Result<(), FeedError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let found = || (open.lines.offset(), Digest::finish(open.lines.hasher().clone()));
        if let Some(extent) = self.extent(&open.name, open.expected)
            && found() != (extent.bytes, extent.sha256)
        {
            return Err(FeedError::ChangedSinceCounted { file: open.name.to_string() });
        }
        // It was right when the run began; a mount may have been exchanged since.
        if let (Some(expected), Some(found)) = (open.expected, open.lines.reader().stored_digest()) {
            compare(&open.name, expected, found)?;
        }
        self.names = chain_name(self.names, &open.name, open.version.as_deref());
        self.done += 1;
        self.remaining.finish();
        if let Some(followed) = &mut self.followed {
            followed.finished.push((open.name.to_string(), open.record(followed.now)));
        }
        Ok(())
    }
}

fn chain_link(names: Digest, file: &FileEntry) -> Digest {
    chain_name(names, &file.name, file.version.as_deref())
}

/// The lines behind this position, without those before it being read again; `None` where it takes the bytes to prove
/// that they are the same.
pub(crate) async fn reopen<S: Source>(
    source: &S,
    file: &FileEntry,
    position: &Position,
) -> Result<Option<Lines<Decoded<S::Reader>>>, FeedError> {
    if file.version.is_none() || file.version != position.version {
        return Ok(None);
    }
    let hasher = position.midstate.as_ref().and_then(Midstate::hasher);
    let Some(hasher) = hasher.filter(|hasher| Digest::finish(hasher.clone()) == position.sha256) else {
        return Ok(None);
    };
    let Some(reader) = source.open_at(file, position.offset).await? else { return Ok(None) };
    Ok(Some(Lines::resumed(Decoded::plain(reader), position.offset, position.line, hasher)))
}

pub(crate) fn no_name_twice(files: &[FileEntry]) -> Result<(), FeedError> {
    let mut names = BTreeSet::new();
    match files.iter().find(|file| !names.insert(&file.name)) {
        Some(file) => Err(FeedError::TwoOfOneName(file.name.clone())),
        None => Ok(()),
    }
}

pub(crate) async fn verify_expected<S: Source>(source: &S, file: &FileEntry) -> Result<(), FeedError> {
    let Some(expected) = file.expected else { return Ok(()) };
    let mut reader = source.open(file).await?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_BYTES];
    loop {
        let read = reader.read(&mut chunk).await.map_err(ReadError::Failed);
        match read.map_err(|error| unreadable(&file.name, &error))? {
            0 => return compare(&file.name, expected, Digest::finish(hasher)),
            count => hasher.update(&chunk[..count]),
        }
    }
}

fn compare(file: &str, expected: Digest, found: Digest) -> Result<(), FeedError> {
    if expected == found {
        return Ok(());
    }
    Err(FeedError::ContentChanged { file: file.to_owned(), expected, found })
}
