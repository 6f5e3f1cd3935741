//! From metadata to properties, as the collection's class wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::chunk::{Chunking, Cut, Cutting};
use crate::line::Body;
use crate::object::Vectors;
use crate::rejection::Rejection;

/// Property that holds the repository, unless another name was given.
pub const REPO: &str = "repo";
/// Property that holds the path, unless another name was given.
pub const PATH: &str = "path";
/// Property that holds the text, unless another name was given.
pub const CONTENT: &str = "content";
/// Property of a feed that is cut that holds a document's number of chunks, unless another name was given.
pub const CHUNKS: &str = "chunks";
/// Property of a feed that is cut that holds a chunk's number, unless another name was given.
pub const CHUNK: &str = "chunk";

/// Weaviate keeps an int as a 64-bit float, which is exact up to 2^53; beyond that it would store another number.
const LARGEST_EXACT_INT: u64 = 1 << 53;

/// An object's properties by name.
pub type Properties = Map<String, Value>;

/// What becomes of a metadata key that the class lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmapped {
    /// The line is rejected.
    #[default]
    Reject,
    /// The key is left out, the line is indexed.
    Drop,
}

/// What a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `text`, also the old `string`.
    Text,
    /// `int`
    Int,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
    /// `date`
    Date,
    /// `uuid`
    Uuid,
    /// `blob`
    Blob,
    /// `object`, `geoCoordinates`, `phoneNumber`: JSON objects; what is in them is left to the server.
    Object,
}

/// A property's data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// One value.
    One(Scalar),
    /// A list of values.
    List(Scalar),
    /// A cross-reference or a type that this version does not know: a feed cannot fill it.
    Other,
}

impl DataType {
    /// From the word in Weaviate's schema, e.g. `text` or `int[]`.
    pub fn parse(word: &str) -> Self {
        let (name, list) = word.strip_suffix("[]").map_or((word, false), |name| (name, true));
        let scalar = match name {
            "text" | "string" => Scalar::Text,
            "int" => Scalar::Int,
            "number" => Scalar::Number,
            "boolean" => Scalar::Boolean,
            "date" => Scalar::Date,
            "uuid" => Scalar::Uuid,
            "blob" => Scalar::Blob,
            "object" | "geoCoordinates" | "phoneNumber" => Scalar::Object,
            _ => return Self::Other,
        };
        if list { Self::List(scalar) } else { Self::One(scalar) }
    }
}

/// The class and the names that a feed wants do not fit together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// The class lacks a property that every document has.
    #[error(
        "the collection has no property `{property}` of type text for the document's {field}: add it to its schema"
    )]
    NoProperty {
        /// `repo`, `path` or `content`.
        field: &'static str,
        /// Where it should go.
        property: String,
    },
    /// The class lacks a property that a feed needs which is cut into chunks.
    #[error(
        "the collection has no property `{property}` of type int for {what}, which a feed with chunking needs: add it to \
         its schema, or name another one by `{field}` in `mapping.properties`"
    )]
    NoChunkProperty {
        /// `chunks` or `chunk`.
        field: &'static str,
        /// Where it should go.
        property: String,
        /// What it should hold.
        what: &'static str,
    },
    /// A metadata key is to go where the class has nothing.
    #[error("metadata key `{key}` shall be property `{property}`, which the collection lacks: add it to its schema")]
    NoPropertyForKey {
        /// The key.
        key: String,
        /// Where it should go.
        property: String,
    },
    /// Two are to go to one property.
    #[error("`{first}` and `{second}` shall both be property `{property}`: give each one of its own")]
    Shared {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Where both should go.
        property: String,
    },
}

/// Which vectors the class has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassVectors {
    /// The one without a name.
    pub unnamed: bool,
    /// Those with names.
    pub named: BTreeSet<String>,
}

impl Default for ClassVectors {
    /// The one without a name, which a class has that declares none.
    fn default() -> Self {
        Self { unnamed: true, named: BTreeSet::new() }
    }
}

/// What a line sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapped {
    /// Properties, `null` for those that it clears.
    pub properties: Properties,
    /// Vectors, the one without a name under the empty name.
    pub vectors: Vectors,
}

/// How a line's body becomes properties and vectors.
#[derive(Clone, Debug)]
pub struct Mapping {
    properties: BTreeMap<String, DataType>,
    repo: String,
    path: String,
    content: String,
    /// Metadata keys that do not have their property's name.
    renamed: BTreeMap<String, String>,
    vectors: ClassVectors,
    unmapped: Unmapped,
    cutting: Option<Arc<Cutting>>,
}

impl Mapping {
    /// For a class with these properties, which must have `repo`, `path` and `content` among them, each a text.
    pub fn new(properties: impl IntoIterator<Item = (String, DataType)>, unmapped: Unmapped) -> Result<Self, Unfit> {
        Self::with_names(properties, unmapped, &BTreeMap::new())
    }

    /// As [`Mapping::new`], with other names: from `repo`, `path`, `content` or a metadata key, to a property.
    pub fn with_names(
        properties: impl IntoIterator<Item = (String, DataType)>,
        unmapped: Unmapped,
        names: &BTreeMap<String, String>,
    ) -> Result<Self, Unfit> {
        Self::with_chunking(properties, unmapped, names, None)
    }

    /// As [`Mapping::with_names`], for a feed whose texts are cut: then `chunks` and `chunk` must be there as well, each
    /// an int, and may have other names.
    pub fn with_chunking(
        properties: impl IntoIterator<Item = (String, DataType)>,
        unmapped: Unmapped,
        names: &BTreeMap<String, String>,
        chunking: Option<Chunking>,
    ) -> Result<Self, Unfit> {
        let properties =
            properties.into_iter().map(|(name, kind)| (property_name(&name), kind)).collect::<BTreeMap<_, _>>();
        let mut renamed =
            names.iter().map(|(key, name)| (key.clone(), property_name(name))).collect::<BTreeMap<_, _>>();
        let mut own = |field: &'static str, kind: Scalar| {
            let property = renamed.remove(field).unwrap_or_else(|| field.to_owned());
            let fits = properties.get(&property) == Some(&DataType::One(kind));
            if fits { Ok(property) } else { Err(property) }
        };
        let mut text = |field| own(field, Scalar::Text).map_err(|property| Unfit::NoProperty { field, property });
        let (repo, path, content) = (text(REPO)?, text(PATH)?, text(CONTENT)?);
        let mut number =
            |field, what| own(field, Scalar::Int).map_err(|property| Unfit::NoChunkProperty { field, property, what });
        let cutting = match chunking {
            None => None,
            Some(chunking) => Some(Arc::new(Cutting {
                chunking,
                content: content.clone(),
                chunks: number(CHUNKS, "a document's number of chunks")?,
                chunk: number(CHUNK, "a chunk's number")?,
            })),
        };
        let mut taken = BTreeMap::new();
        let numbers = cutting.iter().flat_map(|cutting| [(CHUNKS, &cutting.chunks), (CHUNK, &cutting.chunk)]);
        let owned = [(REPO, &repo), (PATH, &path), (CONTENT, &content)].into_iter().chain(numbers);
        let others = renamed.iter().map(|(key, property)| (key.as_str(), property));
        for (second, property) in owned.chain(others) {
            if let Some(first) = taken.insert(property, second) {
                let (first, second) = (first.to_owned(), second.to_owned());
                return Err(Unfit::Shared { first, second, property: property.clone() });
            }
        }
        if let Some((key, property)) = renamed.iter().find(|(_, property)| !properties.contains_key(*property)) {
            return Err(Unfit::NoPropertyForKey { key: key.clone(), property: property.clone() });
        }
        Ok(Self { properties, repo, path, content, renamed, vectors: ClassVectors::default(), unmapped, cutting })
    }

    /// For a class with these vectors.
    #[must_use]
    pub fn with_vectors(self, vectors: ClassVectors) -> Self {
        Self { vectors, ..self }
    }

    /// What a body sets.
    pub fn map(&self, body: Body) -> Result<Mapped, Rejection> {
        for name in body.vectors.keys() {
            self.check_vector(name)?;
        }
        let mut properties = Properties::new();
        for (key, value) in body.metadata {
            let name = self.renamed.get(&key).cloned().unwrap_or_else(|| property_name(&key));
            if self.is_own(&name) {
                return Err(Rejection::validation(format!(
                    "metadata key `{key}` would overwrite the document's own `{name}`: give it another name"
                )));
            }
            let Some(kind) = self.properties.get(&name) else {
                if self.unmapped == Unmapped::Drop {
                    continue;
                }
                return Err(Rejection::validation(format!(
                    "metadata key `{key}`: the collection has no such property: add it, name another in \
                     `mapping.properties`, or set `unmapped: Drop`"
                )));
            };
            let value = convert(*kind, value)
                .map_err(|problem| Rejection::validation(format!("metadata key `{key}`: {problem}")))?;
            if properties.contains_key(&name) {
                return Err(Rejection::validation(format!(
                    "metadata key `{key}` is property `{name}`, as another key of the line is: Weaviate writes a \
                     property's first letter small"
                )));
            }
            properties.insert(name, value);
        }
        if let Some(content) = body.content {
            properties.insert(self.content.clone(), Value::String(content));
        }
        Ok(Mapped { properties, vectors: body.vectors })
    }

    /// How texts are cut, if they are.
    pub fn cutting(&self) -> Option<&Arc<Cutting>> {
        self.cutting.as_ref()
    }

    /// Leaves the first chunk of the text among the properties, and answers the others; `None` when there is no text, or
    /// the feed is not cut.
    pub fn cut(&self, properties: &mut Properties) -> Result<Option<Cut>, Rejection> {
        let Some(cutting) = &self.cutting else { return Ok(None) };
        let Some(Value::String(text)) = properties.remove(&self.content) else { return Ok(None) };
        let (first, cut) = Cut::new(text, cutting.chunking)?;
        properties.insert(self.content.clone(), first.into());
        Ok(Some(cut))
    }

    fn is_own(&self, name: &String) -> bool {
        let is_number = |cutting: &Arc<Cutting>| [&cutting.chunks, &cutting.chunk].contains(&name);
        [&self.repo, &self.path, &self.content].contains(&name) || self.cutting.as_ref().is_some_and(is_number)
    }

    /// Adds the properties that hold the document's key.
    pub fn insert_key(&self, properties: &mut Properties, repo: String, path: String) {
        properties.insert(self.repo.clone(), repo.into());
        properties.insert(self.path.clone(), path.into());
    }

    fn check_vector(&self, name: &str) -> Result<(), Rejection> {
        let ClassVectors { unnamed, named } = &self.vectors;
        let problem = match (name.is_empty(), unnamed) {
            (true, true) => return Ok(()),
            (false, _) if named.contains(name) => return Ok(()),
            (true, false) => "field `vector`: the collection has no vector without a name".to_owned(),
            (false, _) => format!("field `vectors`: the collection has no vector `{name}`"),
        };
        let known = named.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let advice = match (unnamed, named.is_empty()) {
            (true, true) => "use `vector`: it has one, without a name".to_owned(),
            (true, false) => format!("it has one without a name, and {known}"),
            (false, false) => format!("use `vectors`: it has {known}"),
            (false, true) => "it has none".to_owned(),
        };
        Err(Rejection::validation(format!("{problem}; {advice}")))
    }
}

/// The name under which Weaviate keeps a property: it writes the first letter small.
pub fn property_name(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + characters.as_str())
}

/// The value as the property's type wants it, or what it should have been.
fn convert(kind: DataType, value: Value) -> Result<Value, String> {
    match (kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (DataType::Other, _) => Err("a feed cannot fill a property of this type".to_owned()),
        (DataType::One(scalar), value) => convert_scalar(scalar, value),
        (DataType::List(scalar), Value::Array(items)) => {
            let convert_item =
                |(index, item)| convert_scalar(scalar, item).map_err(|problem| format!("item {index}: {problem}"));
            items.into_iter().enumerate().map(convert_item).collect::<Result<_, _>>().map(Value::Array)
        }
        (DataType::List(_), other) => Err(format!("{} found where the collection has a list", kind_of(&other))),
    }
}

fn convert_scalar(scalar: Scalar, value: Value) -> Result<Value, String> {
    match (scalar, value) {
        (Scalar::Int, Value::Number(number)) => exact_int(&number),
        (Scalar::Date, Value::String(text)) if !is_rfc3339(&text) => {
            Err(format!("`{text}` is no date: write it as 2026-11-21T10:00:00Z"))
        }
        (Scalar::Uuid, Value::String(text)) if Uuid::parse_str(&text).is_err() => Err(format!("`{text}` is no uuid")),
        (Scalar::Blob, Value::String(text)) if STANDARD.decode(&text).is_err() => {
            Err("the text of a blob must be base64".to_owned())
        }
        (Scalar::Text | Scalar::Date | Scalar::Uuid | Scalar::Blob, value @ Value::String(_))
        | (Scalar::Number, value @ Value::Number(_))
        | (Scalar::Boolean, value @ Value::Bool(_))
        | (Scalar::Object, value @ Value::Object(_)) => Ok(value),
        (scalar, other) => {
            let wanted = format!("{scalar:?}").to_ascii_lowercase();
            Err(format!("{} found where the collection has {wanted}", kind_of(&other)))
        }
    }
}

/// An int that Weaviate keeps as it is; `3.0` is 3.
fn exact_int(number: &Number) -> Result<Value, String> {
    let whole = number.as_i64().or_else(|| number.as_f64().and_then(whole_float));
    match whole {
        Some(int) if int.unsigned_abs() <= LARGEST_EXACT_INT => Ok(Value::from(int)),
        Some(_) => Err(format!("{number} is beyond 2^53, up to which Weaviate keeps an int exactly: use text")),
        None => Err(format!("{number} is no whole number up to 2^53")),
    }
}

fn whole_float(float: f64) -> Option<i64> {
    /// 2^53 as a float, exactly.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    // Within the bound every whole float is an i64, so the conversion loses nothing.
    #[expect(clippy::cast_possible_truncation)]
    (float.fract() == 0.0 && float.abs() <= LARGEST).then_some(float as i64)
}

/// What Weaviate's Go code accepts as a date: RFC 3339, `T` and `Z` large, no leap second.
fn is_rfc3339(text: &str) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let (Some(head), Some(tail)) = (bytes.get(..SHAPE.len()), bytes.get(SHAPE.len()..)) else { return false };
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let zone = match tail.strip_prefix(b".") {
        None => tail,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
    };
    let zone_fits =
        zone == b"Z" || (zone.len() == 6 && matches!(zone[0], b'+' | b'-') && zone[1..].iter().zip(b"00:00").all(fits));
    head.iter().zip(SHAPE).all(fits) && zone_fits && &head[17..] != b"60" && text.parse::<jiff::Timestamp>().is_ok()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
