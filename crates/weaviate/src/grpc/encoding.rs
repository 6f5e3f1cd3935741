//! An object of a batch, written onto the wire from where it lies: no message is built first.
//!
//! Almost all that a feed sends is text, numbers and vectors. Built as a message, every text is copied three times and
//! every name once for each of them; here each is copied once. What is rarer (lists, nested objects) still goes through
//! its message. Field numbers and order are those of [`super::messages`]; a test compares the bytes.

use bytes::{BufMut, BytesMut};
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use serde_json::{Map, Value};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::batch::{ObjectRef, VectorRef};
use super::messages::{Properties, VectorType};
use super::properties;
use super::vectors::MULTI_HEADER;
use crate::error::WeaviateError;

/// A key of a field that has a length: its number and wire type 2.
const fn delimited(field: u32) -> u64 {
    ((field << 3) | 2) as u64
}

/// `BatchObject` (batch.proto).
const UUID: u64 = delimited(1);
const PROPERTIES: u64 = delimited(3);
const COLLECTION: u64 = delimited(4);
const TENANT: u64 = delimited(5);
const VECTOR_BYTES: u64 = delimited(6);
const VECTORS: u64 = delimited(23);
/// `BatchObject.Properties.non_ref_properties`, and `Struct.fields` in it.
const PLAIN: u64 = delimited(1);
const FIELDS: u64 = delimited(1);
/// An entry of a map.
const KEY: u64 = delimited(1);
const VALUE: u64 = delimited(2);
/// `google.protobuf.Value`: a 64-bit number, a text, a boolean.
const NUMBER_VALUE: u64 = (2 << 3) | 1;
const STRING_VALUE: u64 = delimited(3);
const BOOL_VALUE: u64 = 4 << 3;
/// `Vectors` (base.proto).
const NAME: u64 = delimited(1);
const BYTES: u64 = delimited(3);
const TYPE: u64 = 4 << 3;
/// One object with the lengths that stand in front of its parts.
pub(super) struct Object<'a> {
    parts: &'a ObjectRef<'a>,
    plain: usize,
    rest: Properties,
    rest_length: usize,
    named: Vec<usize>,
}

impl<'a> Object<'a> {
    /// Measures it, or says what Weaviate has no type for.
    pub(super) fn new(object: &'a ObjectRef<'a>) -> Result<Self, WeaviateError> {
        let plain = plain(object.properties)?;
        let rest = properties::encode_lists_and_objects(object.properties)?;
        let rest_length = rest.encoded_len();
        let named = object.named.iter().map(|(name, vector)| {
            let refuse =
                || WeaviateError::Encode { property: (*name).to_owned(), reason: "vectors of a list differ in length" };
            vector_length(name, *vector).ok_or_else(refuse)
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { parts: object, plain, rest, rest_length, named })
    }

    /// Bytes of the message.
    pub(super) fn encoded_len(&self) -> usize {
        let ObjectRef { class, tenant, unnamed, .. } = self.parts;
        field(UUID, Hyphenated::LENGTH)
            + field(PROPERTIES, self.properties())
            + unless_empty(COLLECTION, class.len())
            + unless_empty(TENANT, tenant.map_or(0, str::len))
            + unless_empty(VECTOR_BYTES, unnamed.map_or(0, size_of_val))
            + self.named.iter().map(|length| field(VECTORS, *length)).sum::<usize>()
    }

    fn properties(&self) -> usize {
        unless_empty(PLAIN, self.plain) + self.rest_length
    }

    /// Writes the message.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        let ObjectRef { id, class, tenant, properties, unnamed, named } = self.parts;
        put(UUID, uuid_text(id, &mut [0; Hyphenated::LENGTH]).as_bytes(), out);
        head(PROPERTIES, self.properties(), out);
        if self.plain > 0 {
            head(PLAIN, self.plain, out);
            for (name, value) in *properties {
                entry(name, value, out);
            }
        }
        // A buffer that grows takes whatever is put into it.
        let _ = self.rest.encode(out);
        for (key, text) in [(COLLECTION, *class), (TENANT, tenant.unwrap_or_default())] {
            if !text.is_empty() {
                put(key, text.as_bytes(), out);
            }
        }
        if let Some(numbers) = unnamed.filter(|numbers| !numbers.is_empty()) {
            head(VECTOR_BYTES, size_of_val(numbers), out);
            floats(numbers, out);
        }
        for ((name, vector), length) in named.iter().zip(&self.named) {
            head(VECTORS, *length, out);
            encode_vector(name, *vector, out);
        }
    }
}

fn uuid_text<'b>(id: &Uuid, buffer: &'b mut [u8; Hyphenated::LENGTH]) -> &'b str {
    id.hyphenated().encode_lower(buffer)
}

/// Bytes of a field whose content has this many.
fn field(key: u64, length: usize) -> usize {
    encoded_len_varint(key) + encoded_len_varint(length as u64) + length
}

fn unless_empty(key: u64, length: usize) -> usize {
    if length == 0 { 0 } else { field(key, length) }
}

fn head(key: u64, length: usize, out: &mut BytesMut) {
    encode_varint(key, out);
    encode_varint(length as u64, out);
}

fn put(key: u64, content: &[u8], out: &mut BytesMut) {
    head(key, content.len(), out);
    out.put_slice(content);
}

/// Bytes of all plain properties.
fn plain(properties: &Map<String, Value>) -> Result<usize, WeaviateError> {
    let mut length = 0;
    for (name, value) in properties {
        if matches!(value, Value::Number(number) if number.as_f64().is_none()) {
            return Err(WeaviateError::Encode { property: name.clone(), reason: "not a number" });
        }
        if let Some(value) = plain_value(value) {
            length += field(FIELDS, unless_empty(KEY, name.len()) + field(VALUE, value));
        }
    }
    Ok(length)
}

/// Bytes of a plain value; nothing for what is left out or no plain value.
fn plain_value(value: &Value) -> Option<usize> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::Bool(_) => Some(2),
        Value::Number(_) => Some(1 + size_of::<f64>()),
        Value::String(text) => Some(field(STRING_VALUE, text.len())),
    }
}

fn entry(name: &str, value: &Value, out: &mut BytesMut) {
    let Some(length) = plain_value(value) else { return };
    head(FIELDS, unless_empty(KEY, name.len()) + field(VALUE, length), out);
    if !name.is_empty() {
        put(KEY, name.as_bytes(), out);
    }
    head(VALUE, length, out);
    match value {
        Value::Bool(boolean) => {
            encode_varint(BOOL_VALUE, out);
            out.put_u8(u8::from(*boolean));
        }
        Value::Number(number) => {
            encode_varint(NUMBER_VALUE, out);
            // It was seen to be one when it was measured.
            out.put_f64_le(number.as_f64().unwrap_or_default());
        }
        Value::String(text) => put(STRING_VALUE, text.as_bytes(), out),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}

/// Bytes of one named vector; `None` when the vectors of a list differ in length, or are too long for the header.
fn vector_length(name: &str, vector: VectorRef<'_>) -> Option<usize> {
    Some(unless_empty(NAME, name.len()) + unless_empty(BYTES, numbers_length(vector)?) + 2)
}

fn numbers_length(vector: VectorRef<'_>) -> Option<usize> {
    match vector {
        VectorRef::Single(numbers) => Some(size_of_val(numbers)),
        VectorRef::Multi(vectors) => {
            let dimension = vectors.first()?.len();
            let fits = u16::try_from(dimension).is_ok() && vectors.iter().all(|vector| vector.len() == dimension);
            fits.then_some(MULTI_HEADER + vectors.len() * dimension * size_of::<f32>())
        }
    }
}

fn encode_vector(name: &str, vector: VectorRef<'_>, out: &mut BytesMut) {
    if !name.is_empty() {
        put(NAME, name.as_bytes(), out);
    }
    let length = numbers_length(vector).unwrap_or_default();
    if length > 0 {
        head(BYTES, length, out);
    }
    let kind = match vector {
        VectorRef::Single(numbers) => {
            floats(numbers, out);
            VectorType::Single
        }
        VectorRef::Multi(vectors) => {
            let dimension = vectors.first().map_or(0, Vec::len);
            out.put_u16_le(u16::try_from(dimension).unwrap_or(u16::MAX));
            for numbers in vectors {
                floats(numbers, out);
            }
            VectorType::Multi
        }
    };
    encode_varint(TYPE, out);
    out.put_u8(kind as u8);
}

/// Little-endian, in one go: a vector is most of an object that has one.
fn floats(numbers: &[f32], out: &mut BytesMut) {
    let begin = out.len();
    out.resize(begin + size_of_val(numbers), 0);
    for (bytes, number) in out[begin..].chunks_exact_mut(size_of::<f32>()).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}
