//! How the properties and vectors of a collection become columns, as somebody who opens a part with pandas or `DuckDB`
//! expects them.
//!
//! | Weaviate | column |
//! |---|---|
//! | `text`, `uuid`, `blob` | text |
//! | `int` | 64-bit integer |
//! | `number` | double |
//! | `boolean` | boolean |
//! | `date` | timestamp in microseconds, UTC |
//! | `geoCoordinates` | struct of two doubles |
//! | those with `[]`, but for `blob` and `geoCoordinates` | list |
//! | `object`, `object[]`, `phoneNumber`, and what is not known here | JSON text |
//! | a vector | list of floats; of a multi-vector a list of lists |
//!
//! A value that its column cannot give back exactly as it was (a date with an offset or with nanoseconds, a number where a
//! text was meant) stands beside it in one more column, as JSON: [`Columns::rest`]. Each value is checked when it is
//! written, so nothing is lost whatever it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vectorizers::has_unnamed;

/// What a column holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// A double.
    Number,
    /// True or false.
    Boolean,
    /// Microseconds since 1970.
    Date,
    /// Latitude and longitude.
    Geo,
    /// JSON as text.
    Json,
    /// Texts.
    Texts,
    /// Integers.
    Ints,
    /// Doubles.
    Numbers,
    /// Truths.
    Booleans,
    /// Microseconds since 1970.
    Dates,
}

impl Kind {
    /// Of a data type as Weaviate spells it.
    fn of(data_type: &str) -> Self {
        match data_type {
            "text" | "string" | "uuid" | "blob" => Self::Text,
            "int" => Self::Int,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "geoCoordinates" => Self::Geo,
            "text[]" | "string[]" | "uuid[]" => Self::Texts,
            "int[]" => Self::Ints,
            "number[]" => Self::Numbers,
            "boolean[]" => Self::Booleans,
            "date[]" => Self::Dates,
            _ => Self::Json,
        }
    }
}

/// One property's column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PropertyColumn {
    /// The property.
    pub property: String,
    /// What the column holds. Its name is the property's.
    pub kind: Kind,
}

/// One vector's column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VectorColumn {
    /// The vector; the one without a name has the empty name.
    pub vector: String,
    /// The column.
    pub column: String,
    /// Whether it is a list of vectors.
    pub multi: bool,
}

/// All columns of a collection's parts, after `id`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Columns {
    /// The properties, as the class orders them.
    pub properties: Vec<PropertyColumn>,
    /// The vectors, by name.
    pub vectors: Vec<VectorColumn>,
    /// The column for what the others cannot give back exactly.
    pub rest: String,
}

/// The column of ids. Weaviate reserves the name.
pub const ID: &str = "id";

/// Why a collection cannot be written as columns.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unwritable {
    /// A property leads to objects of another class, and no page of a listing says which.
    #[error(
        "property `{0}` is a cross-reference, which cannot be read page by page: leave the collection out, or keep the \
         other object's id in a uuid property"
    )]
    Reference(String),
}

impl Columns {
    /// Those of this class, Weaviate's own JSON.
    pub fn of_class(class: &Value) -> Result<Self, Unwritable> {
        let mut properties = Vec::new();
        for property in class["properties"].as_array().into_iter().flatten() {
            let Some(name) = property["name"].as_str() else { continue };
            let data_type = property["dataType"][0].as_str().unwrap_or_default();
            if data_type.starts_with(|first: char| first.is_ascii_uppercase()) {
                return Err(Unwritable::Reference(name.to_owned()));
            }
            properties.push(PropertyColumn { property: name.to_owned(), kind: Kind::of(data_type) });
        }
        // Readers such as DuckDB do not tell capitals from small letters.
        let lower = |property: &PropertyColumn| property.property.to_lowercase();
        let mut taken: BTreeSet<String> = properties.iter().map(lower).chain([ID.to_owned()]).collect();
        let mut free = |wanted: String| {
            let mut name = wanted;
            while !taken.insert(name.to_lowercase()) {
                name.insert(0, '_');
            }
            name
        };
        let vectors = vectors_of(class);
        let column = |name: &str| if name.is_empty() { "vector".to_owned() } else { format!("vector_{name}") };
        let vectors = vectors
            .into_iter()
            .map(|(vector, multi)| VectorColumn { column: free(column(&vector)), vector, multi })
            .collect();
        Ok(Self { properties, vectors, rest: free("_rest".to_owned()) })
    }
}

/// The named vectors and the one without a name, where there is one.
fn vectors_of(class: &Value) -> Vec<(String, bool)> {
    let is_multi = |config: &Value| config["multivector"]["enabled"] == true;
    let named = class["vectorConfig"].as_object().into_iter().flatten();
    let mut vectors: Vec<_> =
        named.map(|(name, config)| (name.clone(), is_multi(&config["vectorIndexConfig"]))).collect();
    if has_unnamed(class) {
        vectors.push((String::new(), is_multi(&class["vectorIndexConfig"])));
    }
    vectors.sort();
    vectors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_never_meet() {
        let property = |name: &str| json!({"name": name, "dataType": ["text"]});
        let class = json!({
            "properties": [property("Vector"), property("vector_a"), property("_rest"), property("title")],
            "vectorConfig": {"a": {"vectorIndexConfig": {"multivector": {"enabled": true}}}, "b": {}},
            "vectorIndexConfig": {},
        });
        let Columns { vectors, rest, .. } = Columns::of_class(&class).unwrap();
        let names: Vec<_> = vectors.iter().map(|it| (it.vector.as_str(), it.column.as_str(), it.multi)).collect();
        assert_eq!(names, [("", "_vector", false), ("a", "_vector_a", true), ("b", "vector_b", false)]);
        assert_eq!(rest, "__rest");
    }

    #[test]
    fn references_are_refused() {
        let class = json!({"properties": [{"name": "by", "dataType": ["Person"]}]});
        assert_eq!(Columns::of_class(&class), Err(Unwritable::Reference("by".to_owned())));
    }
}
