//! An object as the engine moves it: it knows ids, properties and vectors, and no server.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::mapping::Properties;

/// One vector of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector {
    /// One list of numbers.
    Single(Vec<f32>),
    /// A list of such lists (late interaction).
    Multi(Vec<Vec<f32>>),
}

/// An object's vectors by name; the one without a name has the empty name.
pub type Vectors = BTreeMap<String, Vector>;

/// One object of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its id, computed from its key.
    pub id: Uuid,
    /// Its properties; an absent one and `null` are the same.
    pub properties: Properties,
    /// Its vectors; those that are absent are the server's to compute, if it computes any.
    pub vectors: Vectors,
}

impl Object {
    /// About how many bytes it takes to send: text counts fully, numbers roughly.
    pub fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value_bytes(value)).sum::<usize>();
        let vectors = self.vectors.values().map(|vector| match vector {
            Vector::Single(numbers) => size_of_val(numbers.as_slice()),
            Vector::Multi(lists) => lists.iter().map(|numbers| size_of_val(numbers.as_slice())).sum(),
        });
        properties + vectors.sum::<usize>()
    }
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => size_of::<f64>(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + value_bytes(value)).sum(),
    }
}
