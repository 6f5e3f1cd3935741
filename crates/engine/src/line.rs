//! One line of a feed: JSON in, a [`Change`] or the reason why not. The format is published as `docs/format.md`.
//!
//! Strict on purpose: a misspelt field that is skipped is an object that silently lacks something. `null` counts as
//! absent; a name twice, an unknown field and a wrong type reject the line.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::object::Vectors;
use crate::reader::{MAX_LINE_BYTES, RawLine};
use crate::rejection::Rejection;

mod number;
mod strict;
mod vector;

use number::FormatVersion;
use strict::StrictObject;
use vector::{NamedVectors, OneVector};

/// The version of the format that this code reads; a line may state it in the field `v`.
pub const FORMAT_VERSION: u64 = 1;

/// The fields that a line may have, for the message about one that it may not.
const FIELDS: &str = "v, repo, op, path, new_path, content, content_base64, metadata, vector and vectors";

/// UTF-8's byte order mark as a character: at the beginning of a file the reader takes it away.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// What a line carries beside its key: text, metadata and vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The document's text, base64 already undone. Absent = not mentioned.
    pub content: Option<String>,
    /// Metadata as written, not yet compared with the collection.
    pub metadata: BTreeMap<String, Value>,
    /// Vectors as written, finite and not empty, the one without a name under the empty name.
    pub vectors: Vectors,
}

impl Body {
    fn is_empty(&self) -> bool {
        self.content.is_none() && self.metadata.is_empty() && self.vectors.is_empty()
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

/// Reads a line as it was found in a file.
pub fn read(line: &RawLine) -> Result<Change, Rejection> {
    let RawLine { length, is_ended, body, .. } = line;
    let Some(body) = body else {
        return Err(Rejection::validation(format!(
            "the line has {length} bytes, more than the {MAX_LINE_BYTES} it may have: split the document, or leave it out"
        )));
    };
    parse(body).map_err(|rejection| {
        if *is_ended {
            return rejection;
        }
        // A line that is valid needs no line break: half of one is never valid, because its closing brace is missing.
        let Rejection { category, reason, documents: _ } = rejection;
        Rejection::new(
            category,
            format!("{reason} (the file ends here without a line break: if it was still being written, run it again)"),
        )
    })
}

/// Reads one line, given without its line break.
pub fn parse(line: &[u8]) -> Result<Change, Rejection> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        Rejection::encoding(format!("byte {at} of the line is not UTF-8: write the file as UTF-8"))
    })?;
    if let Some(at) = memchr::memchr(0, line) {
        return Err(Rejection::encoding(format!(
            "byte {at} of the line is NUL: the file is damaged, or no UTF-8 text; write it anew"
        )));
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| reject(text, &error))?;
    fields.into_change()
}

/// Why a text is no line. The version goes first: a line of another version may have fields that this one lacks.
fn reject(text: &str, error: &serde_json::Error) -> Rejection {
    #[derive(Deserialize)]
    struct Version {
        v: Option<Value>,
    }
    if let Ok(Version { v: Some(version) }) = serde_json::from_str(text)
        && version.is_number()
        && version.as_f64() != Some(1.0)
    {
        return unknown_version(&version);
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        return Rejection::encoding(
            "column 1: a byte order mark, which may stand only at the beginning of a file: it was left there when files \
             were joined; take it away",
        );
    }
    let message = explain(error);
    match advice(&message) {
        Some((is_encoding, advice)) if is_encoding => Rejection::encoding(format!("{message}: {advice}")),
        Some((_, advice)) => Rejection::validation(format!("{message}: {advice}")),
        None => Rejection::validation(message),
    }
}

/// What to do about what the JSON parser says in its own words, and whether it is about the encoding of text. Words
/// that it does not use any more only lose the advice; the tests would tell.
fn advice(message: &str) -> Option<(bool, &'static str)> {
    const SURROGATE: &str = "write characters beyond U+FFFF as both halves of their pair, or as themselves";
    [
        ("EOF while parsing", false, "the line was cut, or its text holds a line break unescaped"),
        ("lone leading surrogate", true, SURROGATE),
        ("unexpected end of hex escape", true, SURROGATE),
        ("recursion limit exceeded", false, "a line may be nested 127 deep; flatten the metadata"),
        ("control character", false, "escape it, e.g. a tab as \\t"),
        ("number out of range", false, "no 64-bit float holds it; write it as text"),
        ("trailing characters", false, "one line holds one object"),
        ("expected ident", false, "a line is one JSON object"),
        ("expected value", false, "a line is one JSON object"),
        ("expected a string", false, "put it in quotes"),
    ]
    .into_iter()
    .find(|(words, ..)| message.contains(words))
    .map(|(_, is_encoding, advice)| (is_encoding, advice))
}

fn unknown_version(version: &dyn fmt::Display) -> Rejection {
    Rejection::validation(format!(
        "field `v`: format version {version} is not known: this worker reads version {FORMAT_VERSION}"
    ))
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
    v: Option<FormatVersion>,
    repo: Option<String>,
    op: Option<Operation>,
    path: Option<String>,
    new_path: Option<String>,
    content: Option<String>,
    content_base64: Option<String>,
    metadata: Option<StrictObject>,
    vector: Option<OneVector>,
    vectors: Option<NamedVectors>,
}

/// The word of `op`, not yet known to be one of the four.
enum Operation {
    Add,
    Modify,
    Delete,
    Rename,
    Unknown(String),
}

impl Fields {
    fn into_change(self) -> Result<Change, Rejection> {
        if let Some(version) = self.v.filter(|version| !version.is_known()) {
            return Err(unknown_version(&version));
        }
        let repo = key(self.repo, "repo")?;
        let path = key(self.path, "path")?;
        let op = self.op.ok_or_else(|| missing("op"))?;
        let new_path = self.new_path;
        let body = Body {
            content: content(self.content, self.content_base64)?,
            metadata: self.metadata.unwrap_or_default().0,
            vectors: vector::joined(self.vector, self.vectors),
        };
        let action = action(op, &path, new_path, body)?;
        Ok(Change { repo, path, action })
    }
}

fn action(op: Operation, path: &str, new_path: Option<String>, body: Body) -> Result<Action, Rejection> {
    let word = match &op {
        Operation::Add => "add",
        Operation::Modify => "modify",
        Operation::Delete => "delete",
        Operation::Rename => "rename",
        Operation::Unknown(word) => {
            return Err(Rejection::validation(format!(
                "field `op`: `{word}` is not known: use add, modify, delete or rename"
            )));
        }
    };
    match (op, new_path) {
        (Operation::Rename, new_path) => {
            let new_path = key(new_path, "new_path")?;
            if new_path == path {
                return Err(Rejection::validation("field `new_path` equals `path`: nothing to rename; use modify"));
            }
            Ok(Action::Rename { new_path, body })
        }
        (_, Some(_)) => Err(Rejection::validation(format!("field `new_path` belongs to rename, not to {word}"))),
        (Operation::Add, None) if body.content.is_none() => Err(Rejection::validation(
            "add has neither `content` nor `content_base64`: give one, an empty text is allowed",
        )),
        (Operation::Add, None) => Ok(Action::Add(body)),
        (Operation::Modify, None) if body.is_empty() => Err(Rejection::validation(
            "modify changes nothing: give `content`, `content_base64`, `metadata`, `vector` or `vectors`",
        )),
        (Operation::Modify, None) => Ok(Action::Modify(body)),
        (Operation::Delete | Operation::Unknown(_), None) => Ok(Action::Delete),
    }
}

fn missing(name: &str) -> Rejection {
    Rejection::validation(format!("field `{name}` is missing"))
}

/// A part of the document's key: never empty, and without NUL, which other tools end a text at.
fn key(value: Option<String>, name: &str) -> Result<String, Rejection> {
    let text = value.ok_or_else(|| missing(name))?;
    if text.is_empty() {
        return Err(Rejection::validation(format!("field `{name}` is empty")));
    }
    without_nul(text, name)
}

/// A text with NUL is a binary file, or UTF-16, whose every second byte is one.
fn without_nul(text: String, name: &str) -> Result<String, Rejection> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Ok(text),
        Some(at) => Err(Rejection::encoding(format!(
            "field `{name}` holds a NUL at its byte {at}: only text can be indexed; convert UTF-16 to UTF-8, leave binary \
             files out"
        ))),
    }
}

fn content(plain: Option<String>, encoded: Option<String>) -> Result<Option<String>, Rejection> {
    match (plain, encoded) {
        (Some(_), Some(_)) => {
            Err(Rejection::validation("both `content` and `content_base64` are given: give one of them"))
        }
        (plain, None) => plain.map(|text| without_nul(text, "content")).transpose(),
        (None, Some(encoded)) => {
            let bytes = STANDARD.decode(encoded).map_err(|error| {
                Rejection::encoding(format!(
                    "field `content_base64` is not base64: {error}; use the alphabet with + and /, with padding"
                ))
            })?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Rejection::encoding(format!(
                    "field `content_base64` holds no UTF-8 from its byte {at} on: only text can be indexed; convert it \
                     to UTF-8, leave binary files out"
                ))
            })?;
            without_nul(text, "content_base64").map(Some)
        }
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Operation;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Operation, E> {
                Ok(match word {
                    "add" => Operation::Add,
                    "modify" => Operation::Modify,
                    "delete" => Operation::Delete,
                    "rename" => Operation::Rename,
                    other => Operation::Unknown(other.to_owned()),
                })
            }
        }
        deserializer.deserialize_str(Word)
    }
}

/// A field's name.
enum Name {
    Known(&'static str),
    Unknown(String),
}

/// All names that a line may have, in the order of [`FIELDS`].
const NAMES: [&str; 10] =
    ["v", "repo", "op", "path", "new_path", "content", "content_base64", "metadata", "vector", "vectors"];

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Letters;
        impl Visitor<'_> for Letters {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a field")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                let known = NAMES.into_iter().find(|known| *known == name);
                Ok(known.map_or_else(|| Name::Unknown(name.to_owned()), Name::Known))
            }
        }
        deserializer.deserialize_identifier(Letters)
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
        let mut seen = [false; NAMES.len()];
        while let Some(name) = map.next_key::<Name>()? {
            let name = match name {
                Name::Known(name) => name,
                Name::Unknown(name) => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(de::Error::custom(format_args!(
                        "field `{name}` is not known: a line has {FIELDS}; more belongs into metadata"
                    )));
                }
            };
            for (known, seen) in NAMES.iter().zip(&mut seen) {
                if *known == name && std::mem::replace(seen, true) {
                    return Err(de::Error::custom(format_args!("field `{name}` is there twice: keep one")));
                }
            }
            match name {
                "v" => fill(&mut map, &mut fields.v, name)?,
                "repo" => fill(&mut map, &mut fields.repo, name)?,
                "op" => fill(&mut map, &mut fields.op, name)?,
                "path" => fill(&mut map, &mut fields.path, name)?,
                "new_path" => fill(&mut map, &mut fields.new_path, name)?,
                "content" => fill(&mut map, &mut fields.content, name)?,
                "content_base64" => fill(&mut map, &mut fields.content_base64, name)?,
                "metadata" => fill(&mut map, &mut fields.metadata, name)?,
                "vector" => fill(&mut map, &mut fields.vector, name)?,
                _ => fill(&mut map, &mut fields.vectors, name)?,
            }
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

#[cfg(test)]
mod tests;
