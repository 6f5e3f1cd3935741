//! Vectors: little-endian f32 on the wire (`usecases/byteops`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::messages::{VectorType, WireVector};

/// The vectors of one object. A class has either the unnamed one or named ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// The vector without a name.
    pub unnamed: Option<Vec<f32>>,
    /// Vectors by name.
    pub named: BTreeMap<String, NamedVector>,
}

/// One named vector.
#[derive(Clone, Debug, PartialEq)]
pub enum NamedVector {
    /// One vector.
    Single(Vec<f32>),
    /// A list of vectors of equal length, for late interaction (`ColBERT` and its kind).
    Multi(Vec<Vec<f32>>),
}

impl NamedVector {
    /// As REST writes it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Single(vector) => json!(vector),
            Self::Multi(vectors) => json!(vectors),
        }
    }
}

/// A multi vector begins with its dimension as u16 (`Fp32SliceOfSlicesFromBytes`).
pub(super) const MULTI_HEADER: usize = 2;

/// What a search answered: `None` when the bytes are no vectors.
pub(super) fn decode(unnamed: &[u8], named: &[WireVector]) -> Option<Vectors> {
    let mut vectors = Vectors { unnamed: None, named: BTreeMap::new() };
    if !unnamed.is_empty() {
        vectors.unnamed = Some(floats(unnamed)?);
    }
    for wire in named {
        let vector = match wire.vector_type() {
            VectorType::Multi => NamedVector::Multi(decode_multi(&wire.vector_bytes)?),
            VectorType::Single | VectorType::Unspecified => NamedVector::Single(floats(&wire.vector_bytes)?),
        };
        vectors.named.insert(wire.name.clone(), vector);
    }
    Some(vectors)
}

fn decode_multi(bytes: &[u8]) -> Option<Vec<Vec<f32>>> {
    let (header, rest) = bytes.split_first_chunk::<MULTI_HEADER>()?;
    let dimension = usize::from(u16::from_le_bytes(*header));
    let numbers = floats(rest)?;
    if dimension == 0 || numbers.len() % dimension != 0 {
        return None;
    }
    Some(numbers.chunks_exact(dimension).map(<[f32]>::to_vec).collect())
}

fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}
