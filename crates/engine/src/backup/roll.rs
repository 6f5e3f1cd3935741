//! The roll of a run that builds on others: every object that the run stands for, and whose parts hold it.
//!
//! ```text
//! record = id (16 bytes), digest (32 bytes, see digest), holder (1 byte)        ascending by id, nothing between them
//! ```
//!
//! The holder is 0 for the run itself, and n for the nth of its bases. With it no reader ever has to merge runs: a part
//! of any of them is read on its own, and what the roll says of its ids decides which of its objects still live. The
//! next run compares what it reads with the roll alone.

use std::collections::VecDeque;

use bytes::Bytes;
use uuid::Uuid;

use super::digest::Contents;
use super::manifest::Part;
use super::opened::OpenRun;
use super::part::Finished;
use super::ports::Store;
use super::verify::Fault;
use crate::ports::PortError;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 49;

/// A file of the roll is closed when it has so many bytes: 85,000 objects, and little enough to hold one of them beside
/// every part that is read.
pub const ROLL_BYTES: usize = 4 << 20;

/// What the roll says of one object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// The object.
    pub id: Uuid,
    /// What it is.
    pub digest: [u8; 32],
    /// Whose parts hold it.
    pub holder: u8,
}

/// A file of the roll that is being written.
#[derive(Default)]
pub(super) struct RollWriter {
    bytes: Vec<u8>,
    contents: Contents,
    ids: Option<(Uuid, Uuid)>,
}

impl RollWriter {
    pub(super) fn push(&mut self, record: &Record) {
        self.bytes.extend_from_slice(record.id.as_bytes());
        self.bytes.extend_from_slice(&record.digest);
        self.bytes.push(record.holder);
        self.contents.add_digest(&record.digest);
        let first = self.ids.map_or(record.id, |(first, _)| first);
        self.ids = Some((first, record.id));
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= ROLL_BYTES
    }

    pub(super) fn finish(self) -> Option<Finished> {
        let (first, last) = self.ids?;
        Some(Finished { bytes: self.bytes, contents: self.contents, first, last })
    }
}

/// The records of a file, unless it is cut within one.
pub(super) fn records(bytes: &Bytes) -> Option<Records> {
    (bytes.len().is_multiple_of(RECORD_BYTES)).then(|| Records { bytes: bytes.clone(), at: 0 })
}

/// Records of one file.
#[derive(Default)]
pub(super) struct Records {
    bytes: Bytes,
    at: usize,
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let (id, rest) = self.bytes.get(self.at..)?.split_first_chunk::<16>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let holder = *rest.first()?;
        self.at += RECORD_BYTES;
        Some(Record { id: Uuid::from_bytes(*id), digest: *digest, holder })
    }
}

/// Goes through the roll beside objects that ascend as well; holds one file of it at a time.
pub(super) struct RollCursor<'a, S> {
    store: &'a S,
    run: &'a OpenRun,
    files: VecDeque<Part>,
    records: Records,
    next: Option<Record>,
}

impl<'a, S: Store> RollCursor<'a, S> {
    /// Of these files, ascending; those that end before `first` are not read.
    pub(super) fn new<'b>(store: &'a S, run: &'a OpenRun, files: impl Iterator<Item = &'b Part>, first: Uuid) -> Self {
        let files = files.filter(|file| file.last >= first).cloned().collect();
        Self { store, run, files, records: Records::default(), next: None }
    }

    /// The next record, which stays the next, if it is at hand.
    pub(super) fn now(&mut self) -> Option<Record> {
        self.next = self.next.or_else(|| self.records.next());
        self.next
    }

    /// Reads on; whether there was more to read. After an error it may be tried again.
    pub(super) async fn fill(&mut self) -> Result<Result<bool, Fault>, PortError> {
        let Some(file) = self.files.front() else { return Ok(Ok(false)) };
        let loaded = load(self.store, self.run, file).await?;
        self.files.pop_front();
        Ok(loaded.map(|records| {
            self.records = records;
            true
        }))
    }

    /// Goes on behind the next record.
    pub(super) fn pass(&mut self) {
        self.next = None;
    }

    /// What the roll says of this id, and nothing lower from then on.
    pub(super) async fn find(&mut self, id: Uuid) -> Result<Result<Option<Record>, Fault>, PortError> {
        loop {
            match self.now() {
                Some(record) if record.id < id => self.pass(),
                Some(record) => return Ok(Ok((record.id == id).then_some(record))),
                None => match self.fill().await? {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ok(None)),
                    Err(fault) => return Ok(Err(fault)),
                },
            }
        }
    }
}

/// A file of the roll, compared with its hash.
pub(super) async fn load<S: Store>(store: &S, run: &OpenRun, file: &Part) -> Result<Result<Records, Fault>, PortError> {
    let undecodable =
        || Fault::Undecodable { key: file.file.key.clone(), reason: "it ends within a record".to_owned() };
    Ok(run.file(store, &file.file).await?.and_then(|bytes| records(&bytes).ok_or_else(undecodable)))
}

/// Ids that are gone, as they are written: each on a line of its own.
#[derive(Default)]
pub(super) struct GoneWriter {
    bytes: Vec<u8>,
    ids: u64,
}

impl GoneWriter {
    pub(super) fn push(&mut self, id: Uuid) {
        self.bytes.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        self.bytes.push(b'\n');
        self.ids += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= ROLL_BYTES
    }

    pub(super) fn finish(self) -> Option<(Vec<u8>, u64)> {
        (self.ids > 0).then_some((self.bytes, self.ids))
    }
}

/// How many ids such a text has; `None` when it is none, or they do not ascend.
pub(super) fn count_gone(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut last = None;
    let mut ids = 0;
    for line in text.lines() {
        let id: Uuid = line.parse().ok()?;
        if last.is_some_and(|last| id <= last) {
            return None;
        }
        last = Some(id);
        ids += 1;
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let all: Vec<_> = (1..=3_u8)
            .map(|number| Record { id: Uuid::from_u128(number.into()), digest: [number; 32], holder: number })
            .collect();
        let mut writer = RollWriter::default();
        for record in &all {
            writer.push(record);
        }
        let finished = writer.finish().unwrap();
        assert_eq!((finished.bytes.len(), finished.contents.objects), (3 * RECORD_BYTES, 3));
        assert_eq!((finished.first, finished.last), (all[0].id, all[2].id));
        let bytes = Bytes::from(finished.bytes);
        assert_eq!(records(&bytes).unwrap().collect::<Vec<_>>(), all);
        assert!(records(&bytes.slice(..=RECORD_BYTES)).is_none());
        assert!(RollWriter::default().finish().is_none());
    }

    #[test]
    fn ids_that_are_gone_are_counted_and_ascend() {
        let mut writer = GoneWriter::default();
        (1..=3).for_each(|number| writer.push(Uuid::from_u128(number)));
        let (bytes, ids) = writer.finish().unwrap();
        assert_eq!((ids, count_gone(&bytes)), (3, Some(3)));
        let twice = [bytes.clone(), bytes].concat();
        assert_eq!(count_gone(&twice), None);
        assert_eq!((count_gone(b""), count_gone(b"x\n"), count_gone(&[0xFF])), (Some(0), None, None));
    }
}
