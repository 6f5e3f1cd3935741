//! One line of a feed: JSON in, a [`Change`] or the reason why not.
//!
//! Strict on purpose: a misspelt field that is skipped is an object that silently lacks something. `null` counts as
//! absent; a field twice, an unknown field and a wrong type reject the line.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::rejection::Rejection;

/// The version of the format that this code reads; a line may state it in the field `v`.
pub const FORMAT_VERSION: u64 = 1;

/// The fields that a line may have, for the message about one that it may not.
const FIELDS: &str = "v, repo, op, path, new_path, content, content_base64 and metadata";

/// What a line carries beside its key: text and metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The document's text, base64 already undone. Absent = not mentioned.
    pub content: Option<String>,
    /// Metadata as written, not yet compared with the collection.
    pub metadata: BTreeMap<String, Value>,
}

impl Body {
    fn is_empty(&self) -> bool {
        self.content.is_none() && self.metadata.is_empty()
    }
}

/// What is to happen to the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The document is now exactly this.
    Add(Body),
    /// What is mentioned changes; the rest stays.
    Modify(Body),
    /// The document is gone.
    Delete,
    /// The document has another path from now on; what is mentioned changes with it.
    Rename {
        /// Its path from now on, never its path until now.
        new_path: String,
        /// What changes with the move.
        body: Body,
    },
}

/// One valid line.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The repository, or whatever groups paths. Never empty.
    pub repo: String,
    /// The document's path in it. Never empty.
    pub path: String,
    /// What is to happen.
    pub action: Action,
}

/// Reads one line, given without its line break.
pub fn parse(line: &[u8]) -> Result<Change, Rejection> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        Rejection::encoding(format!("byte {at} of the line is not UTF-8: write the file as UTF-8"))
    })?;
    if let Some(at) = line.iter().position(|byte| *byte == 0) {
        return Err(Rejection::encoding(format!("byte {at} of the line is NUL: the file is damaged or no text")));
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| Rejection::validation(explain(&error)))?;
    fields.into_change()
}

/// The parser's message with the column alone: its line number is always 1 and would mislead.
fn explain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&place) {
        Some(cause) => format!("column {}: {cause}", error.column()),
        None => message,
    }
}

/// The fields as found; `null` is absent.
#[derive(Default)]
struct Fields {
    v: Option<u64>,
    repo: Option<String>,
    op: Option<String>,
    path: Option<String>,
    new_path: Option<String>,
    content: Option<String>,
    content_base64: Option<String>,
    metadata: Option<Metadata>,
}

impl Fields {
    fn into_change(self) -> Result<Change, Rejection> {
        if let Some(version) = self.v.filter(|version| *version != FORMAT_VERSION) {
            return Err(Rejection::validation(format!(
                "field `v`: format version {version} is not known: this worker reads version {FORMAT_VERSION}"
            )));
        }
        let repo = required(self.repo, "repo")?;
        let path = required(self.path, "path")?;
        let op = required(self.op, "op")?;
        let new_path = self.new_path;
        let body = Body {
            content: content(self.content, self.content_base64)?,
            metadata: self.metadata.unwrap_or_default().0,
        };
        if new_path.is_some() && op != "rename" {
            return Err(Rejection::validation(format!("field `new_path` belongs to rename, not to {op}")));
        }
        let action = action(&op, &path, new_path, body)?;
        Ok(Change { repo, path, action })
    }
}

fn action(op: &str, path: &str, new_path: Option<String>, body: Body) -> Result<Action, Rejection> {
    match op {
        "add" if body.content.is_none() => Err(Rejection::validation(
            "add has neither `content` nor `content_base64`: give one, an empty text is allowed",
        )),
        "add" => Ok(Action::Add(body)),
        "modify" if body.is_empty() => {
            Err(Rejection::validation("modify changes nothing: give `content`, `content_base64` or `metadata`"))
        }
        "modify" => Ok(Action::Modify(body)),
        "delete" => Ok(Action::Delete),
        "rename" => {
            let new_path = required(new_path, "new_path")?;
            if new_path == path {
                return Err(Rejection::validation("field `new_path` equals `path`: nothing to rename"));
            }
            Ok(Action::Rename { new_path, body })
        }
        other => {
            Err(Rejection::validation(format!("field `op`: `{other}` is not known: use add, modify, delete or rename")))
        }
    }
}

fn required(value: Option<String>, name: &str) -> Result<String, Rejection> {
    match value {
        None => Err(Rejection::validation(format!("field `{name}` is missing"))),
        Some(text) if text.is_empty() => Err(Rejection::validation(format!("field `{name}` is empty"))),
        Some(text) => Ok(text),
    }
}

fn content(plain: Option<String>, encoded: Option<String>) -> Result<Option<String>, Rejection> {
    match (plain, encoded) {
        (Some(_), Some(_)) => {
            Err(Rejection::validation("both `content` and `content_base64` are given: give one of them"))
        }
        (plain, None) => Ok(plain),
        (None, Some(encoded)) => {
            let bytes = STANDARD
                .decode(encoded)
                .map_err(|error| Rejection::encoding(format!("field `content_base64` is not base64: {error}")))?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Rejection::encoding(format!(
                    "field `content_base64` holds no UTF-8 from its byte {at} on: only text can be indexed"
                ))
            })?;
            Ok(Some(text))
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with repo, op and path")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        // Not by what is filled: a field may be there twice with `null` first.
        let mut seen = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(de::Error::custom(format_args!("field `{name}` is there twice")));
            }
            match name.as_str() {
                "v" => fill(&mut map, &mut fields.v, "v")?,
                "repo" => fill(&mut map, &mut fields.repo, "repo")?,
                "op" => fill(&mut map, &mut fields.op, "op")?,
                "path" => fill(&mut map, &mut fields.path, "path")?,
                "new_path" => fill(&mut map, &mut fields.new_path, "new_path")?,
                "content" => fill(&mut map, &mut fields.content, "content")?,
                "content_base64" => fill(&mut map, &mut fields.content_base64, "content_base64")?,
                "metadata" => fill(&mut map, &mut fields.metadata, "metadata")?,
                other => {
                    return Err(de::Error::custom(format_args!(
                        "field `{other}` is not known: a line has {FIELDS}; more belongs into metadata"
                    )));
                }
            }
            seen.push(name);
        }
        Ok(fields)
    }
}

/// Reads one field's value and says in an error which field it was.
fn fill<'de, A, T>(map: &mut A, slot: &mut Option<T>, name: &str) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: DeserializeOwned,
{
    *slot = map.next_value().map_err(|error| de::Error::custom(format_args!("field `{name}`: {error}")))?;
    Ok(())
}

/// Metadata as written, each key once.
#[derive(Default)]
struct Metadata(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut metadata = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if metadata.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key `{key}` is there twice")));
            }
            metadata.insert(key, value);
        }
        Ok(Metadata(metadata))
    }
}

#[cfg(test)]
mod tests;
