//! Parts as JSON Lines: one object a line, as Weaviate's own API writes it.
//!
//! ```json
//! {"id":"…","properties":{"title":"…"},"vector":[0.1],"vectors":{"title":[0.1],"many":[[0.1],[0.2]]}}
//! ```
//!
//! Numbers are written with as many digits as it takes to read the same number again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read as _, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::columns::Columns;
use super::exact;
use super::part::{DecodeError, EncodeError, PART_ROOM};
use crate::compression::ZSTD_WINDOW_LOG;
use crate::mapping::Properties;
use crate::object::{Object, Vector, Vectors};

/// Objects that are handed out at once.
const GROUP_ROWS: usize = 1_000;

/// Bytes of lines that are handed out at once.
const GROUP_BYTES: usize = 8 << 20;

/// The longest line that is read: an object of one message, 100 MB, whose vectors take three times as much as text.
const LINE_BYTES: u64 = 384 << 20;

#[derive(Serialize)]
struct LineOut<'a> {
    id: Uuid,
    properties: &'a Properties,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    vectors: Vec<(&'a str, Numbers<'a>)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Single(&'a [f32]),
    Multi(&'a [Vec<f32>]),
}

fn as_map<S: serde::Serializer>(pairs: &[(&str, Numbers<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, numbers)| (name, numbers)))
}

/// Values as they stand there: [`exact`] reads them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn<'a> {
    id: Uuid,
    #[serde(borrow)]
    properties: &'a RawValue,
    #[serde(borrow, default)]
    vector: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vectors: BTreeMap<String, &'a RawValue>,
}

enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
}

/// A part that is being written.
pub(super) struct Writer(Encoder);

impl Writer {
    pub(super) fn zstd(level: u8) -> Result<Self, EncodeError> {
        let encoder = zstd::stream::write::Encoder::new(room(), level.into()).map_err(EncodeError::Compress)?;
        Ok(Self(Encoder::Zstd(encoder)))
    }

    pub(super) fn gzip(level: u8) -> Self {
        Self(Encoder::Gzip(GzEncoder::new(room(), Compression::new(level.into()))))
    }

    pub(super) fn lz4() -> Self {
        Self(Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(room()))))
    }

    pub(super) fn push(&mut self, object: &Object) -> Result<(), EncodeError> {
        let mut out = LineOut { id: object.id, properties: &object.properties, vector: None, vectors: Vec::new() };
        for (name, vector) in &object.vectors {
            match vector {
                Vector::Single(numbers) if name.is_empty() => out.vector = Some(numbers),
                Vector::Single(numbers) => out.vectors.push((name, Numbers::Single(numbers))),
                Vector::Multi(lists) => out.vectors.push((name, Numbers::Multi(lists))),
            }
            if !is_finite(vector) {
                let problem = "has a number that JSON cannot hold (write Parquet instead)";
                return Err(EncodeError::Vector { vector: name.clone(), problem });
            }
        }
        let mut line = serde_json::to_vec(&out).map_err(EncodeError::Json)?;
        line.push(b'\n');
        let written = match &mut self.0 {
            Encoder::Zstd(encoder) => encoder.write_all(&line),
            Encoder::Gzip(encoder) => encoder.write_all(&line),
            Encoder::Lz4(encoder) => encoder.write_all(&line),
        };
        written.map_err(EncodeError::Compress)
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.0 {
            Encoder::Zstd(encoder) => encoder.get_ref().len(),
            Encoder::Gzip(encoder) => encoder.get_ref().len(),
            Encoder::Lz4(encoder) => encoder.get_ref().len(),
        }
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, EncodeError> {
        let finished = match self.0 {
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => encoder.finish().map_err(std::io::Error::other),
        };
        finished.map_err(EncodeError::Compress)
    }
}

fn room() -> Vec<u8> {
    Vec::with_capacity(PART_ROOM)
}

fn is_finite(vector: &Vector) -> bool {
    let finite = |numbers: &Vec<f32>| numbers.iter().all(|number| number.is_finite());
    match vector {
        Vector::Single(numbers) => finite(numbers),
        Vector::Multi(lists) => lists.iter().all(finite),
    }
}

type Group = Result<Vec<Object>, DecodeError>;

pub(super) fn zstd(bytes: Bytes, columns: &Columns) -> Result<impl Iterator<Item = Group> + Send + use<>, DecodeError> {
    let mut decoder = zstd::stream::read::Decoder::new(bytes.reader()).map_err(DecodeError::Decompress)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(DecodeError::Decompress)?;
    Ok(groups(BufReader::new(decoder), columns))
}

pub(super) fn gzip(bytes: Bytes, columns: &Columns) -> impl Iterator<Item = Group> + Send + use<> {
    groups(BufReader::new(MultiGzDecoder::new(bytes.reader())), columns)
}

pub(super) fn lz4(bytes: Bytes, columns: &Columns) -> impl Iterator<Item = Group> + Send + use<> {
    groups(BufReader::new(lz4_flex::frame::FrameDecoder::new(bytes.reader())), columns)
}

fn groups<R: BufRead + Send>(reader: R, columns: &Columns) -> impl Iterator<Item = Group> + Send + use<R> {
    let multi = columns.vectors.iter().filter(|column| column.multi).map(|column| column.vector.clone()).collect();
    let mut lines = Lines { reader, multi, line: 0, is_over: false };
    std::iter::from_fn(move || {
        let group = lines.group();
        // Behind an error there is nothing to be had.
        lines.is_over |= group.is_err();
        match group {
            Ok(objects) if objects.is_empty() => None,
            group => Some(group),
        }
    })
}

struct Lines<R> {
    reader: R,
    /// Vectors that are lists: a list without numbers does not say whether it is one.
    multi: BTreeSet<String>,
    line: u64,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    fn group(&mut self) -> Group {
        let (mut objects, mut size) = (Vec::new(), 0);
        let mut text = Vec::new();
        while !self.is_over && objects.len() < GROUP_ROWS && size < GROUP_BYTES {
            text.clear();
            let mut bounded = (&mut self.reader).take(LINE_BYTES);
            let read = bounded.read_until(b'\n', &mut text).map_err(DecodeError::Decompress)?;
            if read == 0 {
                self.is_over = true;
                break;
            }
            self.line += 1;
            if read as u64 == LINE_BYTES {
                return Err(DecodeError::LongLine(self.line));
            }
            let object = object(&text, &self.multi);
            objects.push(object.map_err(|source| DecodeError::Line { line: self.line, source })?);
            size += read;
        }
        Ok(objects)
    }
}

fn object(text: &[u8], multi: &BTreeSet<String>) -> Result<Object, serde_json::Error> {
    let LineIn { id, properties, vector, vectors } = serde_json::from_slice(text)?;
    let Value::Object(properties) = exact::value(properties.get())? else {
        return Err(serde_json::Error::custom("`properties` is no object"));
    };
    let all = vector.map(|text| (String::new(), text)).into_iter().chain(vectors);
    let all = all.map(|(name, text)| {
        let vector = exact::vector(text.get(), multi.contains(&name))?;
        Ok((name, vector))
    });
    Ok(Object { id, properties, vectors: all.collect::<Result<Vectors, serde_json::Error>>()? })
}
