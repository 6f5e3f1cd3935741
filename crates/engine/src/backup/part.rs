//! One part, in whichever format.

use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use uuid::Uuid;

use super::columns::Columns;
use super::digest::{Contents, object_digest};
use super::level::Level;
use super::manifest::DataFormat;
use super::{lines, parquet as columnar};
use crate::object::Object;

/// A part is closed when it has so many bytes: some hundred parts for a million objects with vectors, and few enough bytes
/// to hold several of them in memory beside what is read and encoded: with twice as many a worker took 391 MiB.
pub const PART_BYTES: usize = 16 << 20;

/// What a part's buffer has room for from the beginning: one that grows is copied, and two copies of four parts would be
/// more memory than a worker should have. What is not written to takes none.
pub(super) const PART_ROOM: usize = PART_BYTES + (8 << 20);

/// The largest part that is read. The last object of a part may be as large as one message of the servers, 100 MB.
pub const MOST_PART_BYTES: u64 = 192 << 20;

/// An object that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Only the servers write their own files.
    #[error("only Weaviate writes files of its own")]
    Native,
    /// A vector that does not fit the class that was read.
    #[error("vector `{vector}` {problem}: was the class changed meanwhile?")]
    Vector {
        /// Which.
        vector: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A fault of ours.
    #[error("the columns do not fit the schema")]
    Columns,
    /// The library's words.
    #[error("failed to write Parquet")]
    Parquet(#[from] ParquetError),
    /// Compression failed.
    #[error("failed to compress")]
    Compress(#[source] std::io::Error),
    /// JSON could not be written.
    #[error("failed to write JSON")]
    Json(#[source] serde_json::Error),
}

/// A part whose bytes are what they should be, and hold no objects.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A run of the servers' own files has no parts.
    #[error("it is no part: Weaviate wrote this run itself")]
    Native,
    /// Not the columns that the index tells.
    #[error("its columns are not those of the index")]
    Columns,
    /// An id that is none.
    #[error("an object without an id")]
    Id,
    /// The library's words.
    #[error("it is no Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// Not compressed as its name says.
    #[error("it cannot be decompressed: {0}")]
    Decompress(#[source] std::io::Error),
    /// A line that is no object.
    #[error("line {line}: {source}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// A line without an end in sight.
    #[error("line {0} is longer than any object")]
    LongLine(u64),
}

enum Kind {
    Parquet(Box<columnar::Writer>),
    Lines(Box<lines::Writer>),
}

/// A part that is being written, in memory.
pub struct PartWriter {
    kind: Kind,
    contents: Contents,
    ids: Option<(Uuid, Uuid)>,
}

/// A part that is written.
pub struct Finished {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub contents: Contents,
    /// The lowest id.
    pub first: Uuid,
    /// The highest.
    pub last: Uuid,
}

impl PartWriter {
    /// An empty part of a collection with these columns.
    pub fn new(data: DataFormat, columns: &Arc<Columns>) -> Result<Self, EncodeError> {
        Self::at(data, columns, Level::default().of(data, 0))
    }

    /// The same, compressed at a level that the format has.
    pub(super) fn at(data: DataFormat, columns: &Arc<Columns>, level: u8) -> Result<Self, EncodeError> {
        let kind = match data {
            DataFormat::Parquet => Kind::Parquet(Box::new(columnar::Writer::new(columns.clone(), level)?)),
            DataFormat::JsonlZstd => Kind::Lines(Box::new(lines::Writer::zstd(level)?)),
            DataFormat::JsonlGzip => Kind::Lines(Box::new(lines::Writer::gzip(level))),
            DataFormat::JsonlLz4 => Kind::Lines(Box::new(lines::Writer::lz4())),
            DataFormat::Native => return Err(EncodeError::Native),
        };
        Ok(Self { kind, contents: Contents::default(), ids: None })
    }

    /// Appends an object, of a higher id than the one before.
    pub fn push(&mut self, object: Object) -> Result<(), EncodeError> {
        let digest = object_digest(&object);
        self.push_digested(object, &digest)
    }

    /// The same, where the digest is known.
    pub(super) fn push_digested(&mut self, object: Object, digest: &[u8; 32]) -> Result<(), EncodeError> {
        let id = object.id;
        match &mut self.kind {
            Kind::Parquet(writer) => writer.push(object)?,
            Kind::Lines(writer) => writer.push(&object)?,
        }
        self.contents.add_digest(digest);
        let first = self.ids.map_or(id, |(first, _)| first);
        self.ids = Some((first, id));
        Ok(())
    }

    /// Whether it is time for the next part.
    pub fn is_full(&self) -> bool {
        let bytes = match &self.kind {
            Kind::Parquet(writer) => writer.bytes(),
            Kind::Lines(writer) => writer.bytes(),
        };
        bytes >= PART_BYTES
    }

    /// The part; `None` when it has no object.
    pub fn finish(self) -> Result<Option<Finished>, EncodeError> {
        let Some((first, last)) = self.ids else { return Ok(None) };
        let bytes = match self.kind {
            Kind::Parquet(writer) => writer.finish()?,
            Kind::Lines(writer) => writer.finish()?,
        };
        Ok(Some(Finished { bytes, contents: self.contents, first, last }))
    }
}

/// Objects of a part, some at a time.
pub type Groups = Box<dyn Iterator<Item = Result<Vec<Object>, DecodeError>> + Send>;

/// Opens a part. Its bytes must have been compared with their hash: what they hold is believed from here on.
pub fn open(bytes: Bytes, data: DataFormat, columns: &Arc<Columns>) -> Result<Groups, DecodeError> {
    Ok(match data {
        DataFormat::Parquet => Box::new(columnar::read(bytes, columns.clone())?),
        DataFormat::JsonlZstd => Box::new(lines::zstd(bytes, columns)?),
        DataFormat::JsonlGzip => Box::new(lines::gzip(bytes, columns)),
        DataFormat::JsonlLz4 => Box::new(lines::lz4(bytes, columns)),
        DataFormat::Native => return Err(DecodeError::Native),
    })
}

#[cfg(test)]
mod tests;
