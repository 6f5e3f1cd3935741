//! The schema of a part, from its columns.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use super::super::columns::{Columns, ID, Kind};

/// The whole schema.
pub(super) fn schema(columns: &Columns) -> Result<TypePtr, ParquetError> {
    let mut fields = vec![primitive(ID, Kind::Text, Repetition::REQUIRED)?];
    for column in &columns.properties {
        fields.push(property(&column.property, column.kind)?);
    }
    for column in &columns.vectors {
        let numbers = |repetition| leaf("element", Physical::FLOAT, None, repetition);
        let field = if column.multi {
            list(&column.column, list_of("element", numbers(Repetition::REQUIRED)?, Repetition::REQUIRED)?)?
        } else {
            list(&column.column, numbers(Repetition::REQUIRED)?)?
        };
        fields.push(field);
    }
    fields.push(primitive(&columns.rest, Kind::Json, Repetition::OPTIONAL)?);
    Type::group_type_builder("schema").with_fields(fields).build().map(Arc::new)
}

fn property(name: &str, kind: Kind) -> Result<TypePtr, ParquetError> {
    match kind {
        Kind::Text | Kind::Int | Kind::Number | Kind::Boolean | Kind::Date | Kind::Json => {
            primitive(name, kind, Repetition::OPTIONAL)
        }
        Kind::Geo => {
            let number = |name| leaf(name, Physical::DOUBLE, None, Repetition::REQUIRED);
            let fields = vec![number("latitude")?, number("longitude")?];
            let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).with_fields(fields);
            group.build().map(Arc::new)
        }
        Kind::Texts | Kind::References => list(name, primitive("element", Kind::Text, Repetition::REQUIRED)?),
        Kind::Ints => list(name, primitive("element", Kind::Int, Repetition::REQUIRED)?),
        Kind::Numbers => list(name, primitive("element", Kind::Number, Repetition::REQUIRED)?),
        Kind::Booleans => list(name, primitive("element", Kind::Boolean, Repetition::REQUIRED)?),
        Kind::Dates => list(name, primitive("element", Kind::Date, Repetition::REQUIRED)?),
    }
}

fn primitive(name: &str, kind: Kind, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
    match kind {
        Kind::Int => leaf(name, Physical::INT64, None, repetition),
        Kind::Number => leaf(name, Physical::DOUBLE, None, repetition),
        Kind::Boolean => leaf(name, Physical::BOOLEAN, None, repetition),
        Kind::Date => leaf(name, Physical::INT64, Some(micros), repetition),
        Kind::Json => leaf(name, Physical::BYTE_ARRAY, Some(LogicalType::Json), repetition),
        Kind::Text
        | Kind::Geo
        | Kind::Texts
        | Kind::Ints
        | Kind::Numbers
        | Kind::Booleans
        | Kind::Dates
        | Kind::References => leaf(name, Physical::BYTE_ARRAY, Some(LogicalType::String), repetition),
    }
}

fn leaf(
    name: &str,
    physical: Physical,
    logical: Option<LogicalType>,
    repetition: Repetition,
) -> Result<TypePtr, ParquetError> {
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    builder.with_logical_type(logical).build().map(Arc::new)
}

/// `optional group NAME (LIST) { repeated group list { ELEMENT } }`, as the format's own documents ask for.
fn list(name: &str, element: TypePtr) -> Result<TypePtr, ParquetError> {
    list_of(name, element, Repetition::OPTIONAL)
}

fn list_of(name: &str, element: TypePtr, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let repeated = Type::group_type_builder("list").with_repetition(Repetition::REPEATED).with_fields(vec![element]);
    let list = Type::group_type_builder(name)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated.build()?)]);
    list.build().map(Arc::new)
}
