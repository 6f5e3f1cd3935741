//! Objects into a part.

use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use super::super::columns::{Columns, ID, Kind, VectorColumn};
use super::super::level::ZSTD_USUAL;
use super::super::part::{EncodeError, PART_ROOM};
use super::super::references;
use super::leaf::{Leaf, Values, date, number};
use super::schema::schema;
use crate::object::{Object, Vector, Vectors};

/// Text and numbers of one row group, which is held in memory until it is written, and again when it is read: with four
/// parts under way 8 MiB, twice that with the levels, and as much once more where a column has just grown.
const GROUP_BYTES: usize = 2 << 20;

/// Rows of one row group: small objects take more memory than their text.
const GROUP_ROWS: usize = 10_000;

/// A part that is being written, in memory.
pub(in super::super) struct Writer {
    columns: Arc<Columns>,
    file: SerializedFileWriter<Vec<u8>>,
    leaves: Vec<Leaf>,
    /// Of each row. Vectors are most of what there is: they stay where they were read until they are encoded.
    vectors: Vec<Vectors>,
    level_runs: LevelRuns,
    raw: usize,
}

impl Writer {
    pub(in super::super) fn new(columns: Arc<Columns>, level: u8) -> Result<Self, EncodeError> {
        let file = SerializedFileWriter::new(
            Vec::with_capacity(PART_ROOM),
            schema(&columns)?,
            Arc::new(properties(&columns, level)?),
        )?;
        let leaves = leaves(&columns);
        Ok(Self { columns, file, leaves, vectors: Vec::new(), level_runs: LevelRuns::default(), raw: 0 })
    }

    pub(in super::super) fn push(&mut self, object: Object) -> Result<(), EncodeError> {
        let columns = self.columns.clone();
        fits(&columns, &object.vectors)?;
        self.raw += object.bytes();
        let Object { id, mut properties, vectors } = object;
        let mut leaves = self.leaves.iter_mut();
        let mut next = || leaves.next().ok_or(EncodeError::Columns);

        text(next()?, id.to_string());
        let mut rest = Map::new();
        let there = properties.values().filter(|value| !value.is_null()).count();
        let mut known = 0;
        for column in &columns.properties {
            let mut value = properties.get_mut(&column.property).filter(|value| !value.is_null());
            known += usize::from(value.is_some());
            let is_exact = match (column.kind, &mut value) {
                (Kind::Geo, value) => geo(next()?, next()?, value.as_deref()),
                // It is moved: texts are much of what there is.
                (Kind::Text, Some(Value::String(value))) => {
                    text(next()?, std::mem::take(value));
                    true
                }
                (kind, value) => property(next()?, kind, value.as_deref()),
            };
            if let Some(value) = value.filter(|_| !is_exact) {
                rest.insert(column.property.clone(), value.clone());
            }
        }
        if known < there {
            let is_new = |name: &String| !columns.properties.iter().any(|column| column.property == *name);
            rest.extend(properties.into_iter().filter(|(name, value)| is_new(name) && !value.is_null()));
        }
        for _ in &columns.vectors {
            next()?;
        }
        let rest = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
        match rest {
            Some(rest) => text(next()?, rest),
            None => next()?.null(),
        }

        self.vectors.push(vectors);
        if self.vectors.len() >= GROUP_ROWS || self.raw >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Bytes so far: what was written, and what waits.
    pub(in super::super) fn bytes(&self) -> usize {
        self.file.bytes_written() + self.raw
    }

    pub(in super::super) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        self.flush()?;
        Ok(self.file.into_inner()?)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let Self { columns, file, leaves, vectors, level_runs, raw } = self;
        if vectors.is_empty() {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        // Behind those of the properties; the last leaf is the rest.
        let first = leaves.len() - 1 - columns.vectors.len();
        for (at, leaf) in leaves.iter_mut().enumerate() {
            let Some(mut column) = group.next_column()? else { break };
            match at.checked_sub(first).and_then(|at| columns.vectors.get(at)) {
                Some(of) => write_vectors(column.untyped(), of, vectors, level_runs, leaf)?,
                None => write(column.untyped(), leaf)?,
            }
            column.close()?;
            leaf.clear();
        }
        group.close()?;
        vectors.clear();
        *raw = 0;
        Ok(())
    }
}

/// Levels of lists that are there and have numbers, of any length.
#[derive(Default)]
struct LevelRuns {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl LevelRuns {
    /// Those of a list of this length, which is not 0.
    fn of(&mut self, length: usize) -> (&[i16], &[i16]) {
        if self.definition.len() < length {
            self.definition.resize(length, 2);
            self.repetition.resize(length, 1);
            if let Some(first) = self.repetition.first_mut() {
                *first = 0;
            }
        }
        (&self.definition[..length], &self.repetition[..length])
    }
}

/// Whether the vectors of an object are those of the class.
fn fits(columns: &Columns, vectors: &Vectors) -> Result<(), EncodeError> {
    for (name, vector) in vectors {
        let column = columns.vectors.iter().find(|column| column.vector == *name);
        let problem = match (column.map(|column| column.multi), vector) {
            (Some(false), Vector::Single(_)) | (Some(true), Vector::Multi(_)) => continue,
            (Some(true), Vector::Single(_)) => "is one vector where the class has lists of them",
            (Some(false), Vector::Multi(_)) => "is a list of vectors where the class has one",
            (None, _) => "is not one of the class",
        };
        return Err(EncodeError::Vector { vector: name.clone(), problem });
    }
    Ok(())
}

/// One vector of all rows, row by row: parquet's encoder is the first that copies the numbers. `leaf` is empty, and is so
/// again afterwards.
fn write_vectors(
    column: &mut ColumnWriter<'_>,
    of: &VectorColumn,
    rows: &[Vectors],
    level_runs: &mut LevelRuns,
    leaf: &mut Leaf,
) -> Result<(), ParquetError> {
    let ColumnWriter::FloatColumnWriter(column) = column else { return Err(mismatch()) };
    for row in rows {
        match row.get(&of.vector) {
            None => column.write_batch(&[], Some(&[0]), Some(&[0]))?,
            Some(Vector::Single(numbers)) if numbers.is_empty() => column.write_batch(&[], Some(&[1]), Some(&[0]))?,
            Some(Vector::Single(numbers)) => {
                let (definition, repetition) = level_runs.of(numbers.len());
                column.write_batch(numbers, Some(definition), Some(repetition))?
            }
            Some(Vector::Multi(lists)) => {
                multi(leaf, lists);
                let Values::Float(values) = &leaf.values else { return Err(mismatch()) };
                let written = column.write_batch(values, Some(&leaf.definition), Some(&leaf.repetition))?;
                leaf.clear();
                written
            }
        };
    }
    Ok(())
}

/// The writer takes those levels that its column has.
fn write(column: &mut ColumnWriter<'_>, leaf: &Leaf) -> Result<(), ParquetError> {
    let descriptor = match &*column {
        ColumnWriter::BoolColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::Int64ColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::FloatColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::DoubleColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::Int32ColumnWriter(_)
        | ColumnWriter::Int96ColumnWriter(_)
        | ColumnWriter::FixedLenByteArrayColumnWriter(_) => return Err(mismatch()),
    };
    let definition = (descriptor.max_def_level() > 0).then_some(leaf.definition.as_slice());
    let repetition = (descriptor.max_rep_level() > 0).then_some(leaf.repetition.as_slice());
    match (column, &leaf.values) {
        (ColumnWriter::BoolColumnWriter(column), Values::Boolean(values)) => {
            column.write_batch(values, definition, repetition)
        }
        (ColumnWriter::Int64ColumnWriter(column), Values::Int(values)) => {
            column.write_batch(values, definition, repetition)
        }
        (ColumnWriter::FloatColumnWriter(column), Values::Float(values)) => {
            column.write_batch(values, definition, repetition)
        }
        (ColumnWriter::DoubleColumnWriter(column), Values::Double(values)) => {
            column.write_batch(values, definition, repetition)
        }
        (ColumnWriter::ByteArrayColumnWriter(column), Values::Text(values)) => {
            column.write_batch(values, definition, repetition)
        }
        _ => return Err(mismatch()),
    }?;
    Ok(())
}

fn mismatch() -> ParquetError {
    ParquetError::General("a column has another type than its schema".to_owned())
}

/// Of vectors a harder search saves nothing and takes its time: signs and exponents are alike, which the fastest level
/// finds as well, and the rest is as good as random. Whoever asks for more than is usual gets it.
fn of_vectors(level: u8) -> u8 {
    if level <= ZSTD_USUAL { 1 } else { level }
}

fn properties(columns: &Columns, level: u8) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("elysia-operator ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level.into())?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(ColumnPath::from(ID), false);
    for column in &columns.vectors {
        let mut path = vec![column.column.clone()];
        path.extend(["list", "element"].map(str::to_owned));
        if column.multi {
            path.extend(["list", "element"].map(str::to_owned));
        }
        let path = ColumnPath::new(path);
        let vectors = Compression::ZSTD(ZstdLevel::try_new(of_vectors(level).into())?);
        builder = builder
            .set_column_compression(path.clone(), vectors)
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(builder.build())
}

/// Empty leaves, in the order of the schema.
pub(super) fn leaves(columns: &Columns) -> Vec<Leaf> {
    let mut leaves = vec![Leaf::new(Values::Text(Vec::new()))];
    for column in &columns.properties {
        match column.kind {
            Kind::Text | Kind::Json | Kind::Texts | Kind::References => {
                leaves.push(Leaf::new(Values::Text(Vec::new())));
            }
            Kind::Int | Kind::Ints | Kind::Date | Kind::Dates => leaves.push(Leaf::new(Values::Int(Vec::new()))),
            Kind::Number | Kind::Numbers => leaves.push(Leaf::new(Values::Double(Vec::new()))),
            Kind::Boolean | Kind::Booleans => leaves.push(Leaf::new(Values::Boolean(Vec::new()))),
            Kind::Geo => leaves.extend([(); 2].map(|()| Leaf::new(Values::Double(Vec::new())))),
        }
    }
    leaves.extend(columns.vectors.iter().map(|_| Leaf::new(Values::Float(Vec::new()))));
    leaves.push(Leaf::new(Values::Text(Vec::new())));
    leaves
}

fn text(leaf: &mut Leaf, value: String) {
    if let Values::Text(values) = &mut leaf.values {
        values.push(ByteArray::from(value.into_bytes()));
    }
    leaf.level(1, 0, 1);
}

/// One property that has one leaf; whether the column can give it back exactly.
fn property(leaf: &mut Leaf, kind: Kind, value: Option<&Value>) -> bool {
    let Some(value) = value else {
        leaf.null();
        return true;
    };
    if kind == Kind::Json {
        text(leaf, value.to_string());
        return true;
    }
    let is_list = kind.is_list();
    let items: &[Value] = match value {
        Value::Array(items) if is_list => items.as_slice(),
        Value::Array(_) => &[],
        plain if !is_list => std::slice::from_ref(plain),
        _ => &[],
    };
    if items.is_empty() && !(is_list && value.is_array()) {
        leaf.null();
        return false;
    }
    let Some(is_exact) = append(&mut leaf.values, kind, items) else {
        leaf.null();
        return false;
    };
    if is_list {
        leaf.list(items.len());
    } else {
        leaf.level(1, 0, 1);
    }
    is_exact
}

/// Appends the values, all or none of them; `None` when one is of another type.
fn append(values: &mut Values, kind: Kind, items: &[Value]) -> Option<bool> {
    let is_date = matches!(kind, Kind::Date | Kind::Dates);
    match values {
        Values::Text(values) if kind == Kind::References => {
            let beacons: Option<Vec<_>> =
                items.iter().map(|item| references::only_beacon(item).map(ByteArray::from)).collect();
            values.append(&mut beacons?);
            Some(true)
        }
        Values::Text(values) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(ByteArray::from)).collect();
            values.append(&mut texts?);
            Some(true)
        }
        Values::Int(values) if is_date => {
            let at = |item: &Value| item.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
            let mut times = items.iter().map(at).collect::<Option<Vec<_>>>()?;
            let is_exact = times.iter().zip(items).all(|(at, item)| date(*at).as_ref() == Some(item));
            values.append(&mut times);
            Some(is_exact)
        }
        Values::Int(values) => {
            values.append(&mut items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>()?);
            Some(true)
        }
        Values::Double(values) => {
            let mut numbers = items.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?;
            let is_exact = numbers.iter().zip(items).all(|(value, item)| number(*value) == *item);
            values.append(&mut numbers);
            Some(is_exact)
        }
        Values::Boolean(values) => {
            values.append(&mut items.iter().map(Value::as_bool).collect::<Option<Vec<_>>>()?);
            Some(true)
        }
        Values::Float(_) => None,
    }
}

fn geo(latitude: &mut Leaf, longitude: &mut Leaf, value: Option<&Value>) -> bool {
    let part = |name: &str| value.and_then(|value| value[name].as_f64());
    let (Some(north), Some(east)) = (part("latitude"), part("longitude")) else {
        latitude.null();
        longitude.null();
        return value.is_none();
    };
    for (leaf, degrees) in [(latitude, north), (longitude, east)] {
        if let Values::Double(values) = &mut leaf.values {
            values.push(degrees);
        }
        leaf.level(1, 0, 1);
    }
    let back = serde_json::json!({"latitude": number(north), "longitude": number(east)});
    value == Some(&back)
}

/// One list of vectors.
fn multi(leaf: &mut Leaf, lists: &[Vec<f32>]) {
    let mut begins = 0;
    for numbers in lists {
        if let Values::Float(values) = &mut leaf.values {
            values.extend_from_slice(numbers);
        }
        match numbers.len() {
            0 => leaf.level(2, begins, 1),
            length => {
                leaf.level(3, begins, 1);
                leaf.level(3, 2, length - 1);
            }
        }
        begins = 1;
    }
    if lists.is_empty() {
        leaf.level(1, 0, 1);
    }
}
