//! One line: what `docs/format.md` says of it, done again slowly, must come to the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elysia_engine::line::{self, Action, Body, Change};
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::object::{Vector, Vectors};
use elysia_engine::reader::RawLine;
use elysia_engine::step::Step;
use serde_json::Value;
use uuid::Uuid;

use super::tree::Tree;

const COLLECTION: &str = "Articles";

/// All names that a line may have.
const NAMES: [&str; 10] =
    ["v", "repo", "op", "path", "new_path", "content", "content_base64", "metadata", "vector", "vectors"];

/// The most numbers of a vector.
const MOST_NUMBERS: usize = 65_535;

/// Reads the bytes as one line, both ways.
pub(super) fn check(bytes: &[u8]) {
    let raw = |is_ended| RawLine {
        number: 1,
        offset: 0,
        length: bytes.len() as u64 + u64::from(is_ended),
        is_ended,
        body: Some(bytes.to_vec()),
    };
    let read = line::read(&raw(true));
    let slow = change(bytes);
    match (&read, &slow) {
        (Ok(read), Some(slow)) => assert_eq!(read, slow),
        (Err(rejection), None) => assert!(!rejection.reason.is_empty()),
        (Ok(read), None) => panic!("accepted, and must not be: {read:?}"),
        (Err(rejection), Some(slow)) => panic!("rejected, and must not be: {}: {slow:?}", rejection.reason),
    }
    assert_eq!(line::read(&raw(false)).is_ok(), read.is_ok(), "a line needs no line break");
    let Ok(change) = read else { return };
    for unmapped in [Unmapped::Reject, Unmapped::Drop] {
        step(&change, unmapped);
    }
}

/// What the line does, as far as it can be told without reading the mapping.
fn step(change: &Change, unmapped: Unmapped) {
    let types = [
        ("n", "number"),
        ("i", "int"),
        ("b", "boolean"),
        ("d", "date"),
        ("u", "uuid"),
        ("x", "blob"),
        ("o", "object"),
        ("t", "text[]"),
    ];
    let texts = ["repo", "path", "content", "author"].map(|name| (name, "text"));
    let class = texts.into_iter().chain(types).map(|(name, word)| (name.to_owned(), DataType::parse(word)));
    let mapping = Mapping::new(class, unmapped).expect("a class that fits");
    let Ok(step) = Step::new(COLLECTION, &mapping, change.clone()) else { return };
    let old = id(&change.repo, &change.path);
    let (wanted, path, set) = match (&step, &change.action) {
        (Step::Add { object, .. }, Action::Add(_)) => (vec![object.id], &change.path, Some(&object.properties)),
        (Step::Modify { id, set }, Action::Modify(_)) => (vec![*id], &change.path, Some(&set.properties)),
        (Step::Delete { id }, Action::Delete) => (vec![*id], &change.path, None),
        (Step::Rename { from, to, set, .. }, Action::Rename { new_path, .. }) => {
            assert_eq!(*to, id(&change.repo, new_path));
            (vec![*from, *to], new_path, Some(&set.properties))
        }
        (step, action) => panic!("{action:?} became {step:?}"),
    };
    assert_eq!(wanted[0], old);
    assert_eq!(step.touched().collect::<Vec<_>>(), wanted);
    if let Some(properties) = set {
        assert_eq!(properties["repo"], Value::from(change.repo.as_str()));
        assert_eq!(properties["path"], Value::from(path.as_str()));
    }
}

/// As `docs/format.md` has it in Python.
fn id(repo: &str, path: &str) -> Uuid {
    let repo = repo.replace('%', "%25").replace(':', "%3A");
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{COLLECTION}{repo}:{path}").as_bytes())
}

/// The change, or nothing where the line must be rejected.
fn change(bytes: &[u8]) -> Option<Change> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    let Tree::Members(members) = serde_json::from_str(text).ok()? else { return None };
    let mut fields = BTreeMap::new();
    for (name, value) in &members {
        if !NAMES.contains(&name.as_str()) || fields.insert(name.as_str(), value).is_some() {
            return None;
        }
    }
    fields.retain(|_, value| !matches!(value, Tree::Leaf(Value::Null)));
    if let Some(version) = fields.get("v")
        && version.value().as_f64() != Some(1.0)
    {
        return None;
    }
    let text = |name: &str| match fields.get(name) {
        None => Some(None),
        Some(Tree::Leaf(Value::String(text))) => Some(Some(text.clone())),
        Some(_) => None,
    };
    let is_key = |text: &String| !text.is_empty() && !text.contains('\0');
    let (repo, path) = (text("repo")?.filter(is_key)?, text("path")?.filter(is_key)?);
    let op = text("op")??;
    let new_path = text("new_path")?;
    let body = Body {
        content: content(text("content")?, text("content_base64")?).ok()?,
        metadata: fields.get("metadata").map_or(Some(BTreeMap::new()), |tree| metadata(tree))?,
        vectors: vectors(fields.get("vector").copied(), fields.get("vectors").copied())?,
    };
    let is_empty = body.content.is_none() && body.metadata.is_empty() && body.vectors.is_empty();
    let action = match (op.as_str(), new_path) {
        ("rename", Some(new_path)) if is_key(&new_path) && new_path != path => Action::Rename { new_path, body },
        ("add", None) if body.content.is_some() => Action::Add(body),
        ("modify", None) if !is_empty => Action::Modify(body),
        ("delete", None) => Action::Delete,
        _ => return None,
    };
    Some(Change { repo, path, action })
}

/// The line must be rejected.
struct Rejected;

fn content(plain: Option<String>, encoded: Option<String>) -> Result<Option<String>, Rejected> {
    let text = match (plain, encoded) {
        (Some(_), Some(_)) => return Err(Rejected),
        (None, Some(encoded)) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| Rejected)?;
            Some(String::from_utf8(bytes).map_err(|_| Rejected)?)
        }
        (plain, None) => plain,
    };
    if text.as_ref().is_some_and(|text| text.contains('\0')) { Err(Rejected) } else { Ok(text) }
}

fn metadata(tree: &Tree) -> Option<BTreeMap<String, Value>> {
    let Tree::Members(members) = tree else { return None };
    if tree.repeats() {
        return None;
    }
    Some(members.iter().map(|(name, value)| (name.clone(), value.value())).collect())
}

fn vectors(one: Option<&Tree>, named: Option<&Tree>) -> Option<Vectors> {
    let mut vectors = Vectors::new();
    match named {
        None => {}
        Some(Tree::Members(members)) => {
            for (name, value) in members {
                let Tree::List(items) = value else { return None };
                let vector = match items.first()? {
                    Tree::List(first) => {
                        let lists = items.iter().map(numbers).collect::<Option<Vec<_>>>()?;
                        if lists.iter().any(|list| list.len() != first.len()) {
                            return None;
                        }
                        Vector::Multi(lists)
                    }
                    _ => Vector::Single(numbers(value)?),
                };
                if name.is_empty() || vectors.insert(name.clone(), vector).is_some() {
                    return None;
                }
            }
        }
        Some(_) => return None,
    }
    if let Some(one) = one {
        vectors.insert(String::new(), Vector::Single(numbers(one)?));
    }
    Some(vectors)
}

fn numbers(tree: &Tree) -> Option<Vec<f32>> {
    let Tree::List(items) = tree else { return None };
    let number = |item: &Tree| {
        let Tree::Leaf(Value::Number(number)) = item else { return None };
        #[expect(clippy::cast_possible_truncation, reason = "the server keeps 32 bits")]
        let short = number.as_f64()? as f32;
        short.is_finite().then_some(short)
    };
    let numbers = items.iter().map(number).collect::<Option<Vec<f32>>>()?;
    (1..=MOST_NUMBERS).contains(&numbers.len()).then_some(numbers)
}
