//! Objects out of a part, a row group at a time.

use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use serde_json::{Value, json};

use super::super::columns::{Columns, Kind};
use super::super::exact;
use super::super::part::DecodeError;
use super::super::references;
use super::leaf::{Leaf, Values, date, number};
use super::schema::schema;
use super::write::leaves;
use crate::mapping::Properties;
use crate::object::{Object, Vector, Vectors};

/// The objects of a part, as many at once as a row group has.
pub(in super::super) fn read(
    bytes: Bytes,
    columns: Arc<Columns>,
) -> Result<impl Iterator<Item = Result<Vec<Object>, DecodeError>> + Send, DecodeError> {
    let file = SerializedFileReader::new(bytes)?;
    let wanted = schema(&columns)?;
    let found = file.metadata().file_metadata().schema_descr().columns();
    let wanted = parquet::schema::types::SchemaDescriptor::new(wanted);
    let is_same = found.len() == wanted.num_columns()
        && found
            .iter()
            .zip(wanted.columns())
            .all(|(found, wanted)| found.path() == wanted.path() && found.physical_type() == wanted.physical_type());
    if !is_same {
        return Err(DecodeError::Columns);
    }
    let groups = 0..file.num_row_groups();
    Ok(groups.map(move |at| group(&*file.get_row_group(at)?, &columns)))
}

fn group(group: &dyn RowGroupReader, columns: &Columns) -> Result<Vec<Object>, DecodeError> {
    let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| DecodeError::Columns)?;
    let mut cursors = Vec::new();
    for (at, leaf) in leaves(columns).into_iter().enumerate() {
        cursors.push(Cursor { leaf: fill(group.get_column_reader(at)?, leaf, rows)?, level: 0, value: 0 });
    }
    (0..rows).map(|_| row(&mut cursors, columns).ok_or(DecodeError::Columns)?).collect()
}

fn fill(reader: ColumnReader, mut leaf: Leaf, rows: usize) -> Result<Leaf, ParquetError> {
    let Leaf { definition, repetition, values } = &mut leaf;
    match (reader, values) {
        (ColumnReader::BoolColumnReader(reader), Values::Boolean(values)) => {
            drain(reader, rows, definition, repetition, values)?;
        }
        (ColumnReader::Int64ColumnReader(reader), Values::Int(values)) => {
            drain(reader, rows, definition, repetition, values)?;
        }
        (ColumnReader::FloatColumnReader(reader), Values::Float(values)) => {
            drain(reader, rows, definition, repetition, values)?;
        }
        (ColumnReader::DoubleColumnReader(reader), Values::Double(values)) => {
            drain(reader, rows, definition, repetition, values)?;
        }
        (ColumnReader::ByteArrayColumnReader(reader), Values::Text(values)) => {
            drain(reader, rows, definition, repetition, values)?;
        }
        _ => return Err(ParquetError::General("a column has another type than its schema".to_owned())),
    }
    Ok(leaf)
}

fn drain<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    definition: &mut Vec<i16>,
    repetition: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<(), ParquetError> {
    let mut left = rows;
    while left > 0 {
        let (records, ..) = reader.read_records(left, Some(definition), Some(repetition), values)?;
        if records == 0 {
            return Err(ParquetError::General("a column has too few rows".to_owned()));
        }
        left = left.saturating_sub(records);
    }
    Ok(())
}

/// Where reading stands in one leaf.
struct Cursor {
    leaf: Leaf,
    level: usize,
    value: usize,
}

impl Cursor {
    /// The row's definition: how much of its path is there.
    fn definition(&self) -> Option<i16> {
        self.leaf.definition.get(self.level).copied()
    }

    /// Values of the row that begins here, and whether it has any; goes on to the next one.
    fn take(&mut self, full: i16) -> Option<std::ops::Range<usize>> {
        let begin = self.value;
        loop {
            self.value += usize::from(self.definition()? == full);
            self.level += 1;
            if self.leaf.repetition.get(self.level).is_none_or(|repetition| *repetition == 0) {
                return Some(begin..self.value);
            }
        }
    }
}

/// One object; `None` where the columns end too early, `Err` where they hold what cannot be.
fn row(cursors: &mut [Cursor], columns: &Columns) -> Option<Result<Object, DecodeError>> {
    let mut cursors = cursors.iter_mut();
    let id = cursors.next()?;
    let Values::Text(ids) = &id.leaf.values else { return None };
    let text = std::str::from_utf8(ids.get(id.value)?.data()).ok();
    id.value += 1;
    let Some(id) = text.and_then(|text| text.parse().ok()) else { return Some(Err(DecodeError::Id)) };

    let mut properties = Properties::new();
    for column in &columns.properties {
        let value = match column.kind {
            Kind::Geo => geo(cursors.next()?, cursors.next()?)?,
            kind => property(cursors.next()?, kind)?,
        };
        properties.extend(value.0.map(|value| (column.property.clone(), value)));
    }
    let mut vectors = Vectors::new();
    for column in &columns.vectors {
        let vector = if column.multi { multi(cursors.next()?)? } else { single(cursors.next()?)? };
        vectors.extend(vector.0.map(|vector| (column.vector.clone(), vector)));
    }
    if let Some(rest) = property(cursors.next()?, Kind::Json)?.0 {
        let Value::Object(rest) = rest else { return Some(Err(DecodeError::Columns)) };
        properties.extend(rest);
    }
    Some(Ok(Object { id, properties, vectors }))
}

/// What a row has in a column, which may be nothing.
struct Cell<T>(Option<T>);

/// A property with one leaf; `None` where the column ends too early.
fn property(cursor: &mut Cursor, kind: Kind) -> Option<Cell<Value>> {
    let is_list = kind.is_list();
    let defined = cursor.definition()?;
    let range = if is_list {
        cursor.take(2)?
    } else {
        // Without repetition every level is a row.
        let begin = cursor.value;
        cursor.level += 1;
        cursor.value += usize::from(defined == 1);
        begin..cursor.value
    };
    if defined == 0 {
        return Some(Cell(None));
    }
    let is_date = matches!(kind, Kind::Date | Kind::Dates);
    let items: Vec<Value> = match &cursor.leaf.values {
        Values::Text(values) => {
            let text =
                |bytes: &parquet::data_type::ByteArray| std::str::from_utf8(bytes.data()).ok().map(str::to_owned);
            let value =
                |text: String| if kind == Kind::References { references::reference(&text) } else { text.into() };
            values.get(range)?.iter().map(|bytes| text(bytes).map(value)).collect::<Option<_>>()?
        }
        Values::Int(values) if is_date => values.get(range)?.iter().map(|at| date(*at)).collect::<Option<_>>()?,
        Values::Int(values) => values.get(range)?.iter().map(|value| Value::from(*value)).collect(),
        Values::Double(values) => values.get(range)?.iter().map(|value| number(*value)).collect(),
        Values::Boolean(values) => values.get(range)?.iter().map(|value| Value::Bool(*value)).collect(),
        Values::Float(_) => return None,
    };
    if is_list {
        return Some(Cell(Some(Value::Array(items))));
    }
    let value = items.into_iter().next()?;
    match (kind, &value) {
        (Kind::Json, Value::String(text)) => exact::value(text).ok().map(|value| Cell(Some(value))),
        _ => Some(Cell(Some(value))),
    }
}

fn geo(latitude: &mut Cursor, longitude: &mut Cursor) -> Option<Cell<Value>> {
    let (north, east) = (property(latitude, Kind::Number)?.0, property(longitude, Kind::Number)?.0);
    let both = north.zip(east);
    Some(Cell(both.map(|(north, east)| json!({"latitude": north, "longitude": east}))))
}

fn single(cursor: &mut Cursor) -> Option<Cell<Vector>> {
    let defined = cursor.definition()?;
    let range = cursor.take(2)?;
    let Values::Float(values) = &cursor.leaf.values else { return None };
    let vector = Vector::Single(values.get(range)?.to_vec());
    Some(Cell((defined > 0).then_some(vector)))
}

fn multi(cursor: &mut Cursor) -> Option<Cell<Vector>> {
    let defined = cursor.definition()?;
    let begin = cursor.level;
    let range = cursor.take(3)?;
    let Values::Float(values) = &cursor.leaf.values else { return None };
    let mut numbers = values.get(range)?.iter();
    let mut lists: Vec<Vec<f32>> = Vec::new();
    let definition = cursor.leaf.definition.get(begin..cursor.level)?;
    let repetition = cursor.leaf.repetition.get(begin..cursor.level)?;
    for (definition, repetition) in definition.iter().zip(repetition) {
        if *repetition < 2 && *definition >= 2 {
            lists.push(Vec::new());
        }
        if *definition == 3 {
            lists.last_mut()?.push(*numbers.next()?);
        }
    }
    Some(Cell((defined > 0).then_some(Vector::Multi(lists))))
}
