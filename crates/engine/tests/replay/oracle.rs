//! What a feed comes to, by hand: one line after the other into a map, without windows, batches and crashes.
//!
//! Texts are cut here as docs/format.md says, by a program of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use elysia_engine::counts::Counts;
use elysia_engine::identity::document_id;
use elysia_engine::object::{Object, Vector, Vectors};
use elysia_engine::window::WindowLimits;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) const COLLECTION: &str = "Articles";
pub(crate) const REPO: &str = "r:1";

/// A vector that the server would compute, and one that it would not.
pub(crate) const COMPUTED: &str = "text";
pub(crate) const GIVEN: &str = "own";

/// How a simulated feed is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) limits: WindowLimits,
    /// Size and overlap of chunks, of a feed that is cut.
    pub(crate) chunks: Option<(usize, usize)>,
}

impl Shape {
    pub(crate) fn whole(limits: WindowLimits) -> Self {
        Self { limits, chunks: None }
    }
}

/// Cuts a text as the format's document says.
fn cut(text: &str, size: usize, overlap: usize) -> Vec<String> {
    let text = text.chars().collect::<Vec<_>>();
    let (mut begin, mut chunks) = (0, Vec::new());
    while text.len() - begin > size {
        let rest = &text[begin..];
        let ends = overlap + (size - overlap) / 2 + 1..=size;
        let ends_with =
            |tail: &str| ends.clone().rev().find(|end| rest[..*end].iter().collect::<String>().ends_with(tail));
        let paragraph = ends_with("\n\n").max(ends_with("\n\r\n"));
        let space = || ends_with(" ").max(ends_with("\t"));
        let splits = rest[size - 1] == '\r' && rest[size] == '\n' && *ends.start() < size;
        let latest = if splits { size - 1 } else { size };
        let end = paragraph.or_else(|| ends_with("\n")).or_else(space).unwrap_or(latest);
        chunks.push(rest[..end].iter().collect());
        let is_blank = |at: usize| " \t\r\n".contains(rest[at]);
        let word = (end - overlap..end).find(|at| *at > 0 && is_blank(at - 1) && !is_blank(*at));
        begin += word.unwrap_or(end - overlap);
    }
    chunks.push(text[begin..].iter().collect());
    chunks
}

/// One line of a feed, or what stands for one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Change {
        op: &'static str,
        path: String,
        new_path: Option<String>,
        content: Option<String>,
        metadata: Map<String, Value>,
    },
    Malformed,
    Blank,
}

impl Line {
    fn change(op: &'static str, path: &str, content: Option<&str>) -> Self {
        let (path, content) = (path.to_owned(), content.map(str::to_owned));
        Self::Change { op, path, new_path: None, content, metadata: Map::new() }
    }

    pub(crate) fn add(path: &str, content: &str) -> Self {
        Self::change("add", path, Some(content))
    }

    pub(crate) fn modify(path: &str, content: &str) -> Self {
        Self::change("modify", path, Some(content))
    }

    /// A modify without content.
    pub(crate) fn describe(path: &str, k: &str) -> Self {
        let metadata = Map::from_iter([("k".to_owned(), json!(k))]);
        Self::Change { op: "modify", path: path.to_owned(), new_path: None, content: None, metadata }
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::change("delete", path, None)
    }

    pub(crate) fn rename(path: &str, new_path: &str) -> Self {
        let (path, new_path) = (path.to_owned(), Some(new_path.to_owned()));
        Self::Change { op: "rename", path, new_path, content: None, metadata: Map::new() }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Malformed => "{\"op\":".to_owned(),
            Self::Blank => " \r".to_owned(),
            Self::Change { op, path, new_path, content, metadata } => {
                let mut line = json!({"repo": REPO, "op": op, "path": path, "metadata": metadata});
                if let Some(new_path) = new_path {
                    line["new_path"] = json!(new_path);
                }
                if let Some(content) = content {
                    line["content"] = json!(content);
                }
                line.to_string()
            }
        }
    }
}

/// Few paths and values, so that lines meet often.
pub(crate) fn lines(length: Range<usize>) -> impl Strategy<Value = Vec<Line>> {
    proptest::collection::vec(line(), length)
}

fn line() -> impl Strategy<Value = Line> {
    let path = || proptest::sample::select(vec!["a", "b", "c", "d"]);
    let value = || prop_oneof![3 => proptest::sample::select(vec!["1", "2", "bad"]).prop_map(|text| json!(text)), 1 => Just(Value::Null)];
    let metadata = || {
        let key = proptest::sample::select(vec!["k".to_owned(), "l".to_owned()]);
        proptest::collection::btree_map(key, value(), 0..3).prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>())
    };
    let texts = ["x", "y", "bad", "one two\nthree", "a paragraph\n\nand one\r\nmore", "数字 größe"];
    let content = move || proptest::option::of(proptest::sample::select(texts.map(str::to_owned).to_vec()));
    let change = |op: &'static str| {
        (path(), content(), metadata()).prop_map(move |(path, content, metadata)| {
            // An add without content, and now and then a modify that changes nothing, are rejected by the engine: so here.
            Line::Change { op, path: path.to_owned(), new_path: None, content, metadata }
        })
    };
    let rename = (path(), path(), content(), metadata()).prop_map(|(path, new_path, content, metadata)| Line::Change {
        op: "rename",
        path: path.to_owned(),
        new_path: Some(new_path.to_owned()),
        content,
        metadata,
    });
    prop_oneof![
        4 => change("add"),
        4 => change("modify"),
        2 => change("delete"),
        5 => rename,
        1 => Just(Line::Malformed),
        1 => Just(Line::Blank),
    ]
}

/// The result of a replay by hand.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Documents, each with its whole text, or with the list of its chunks.
    documents: BTreeMap<Uuid, Object>,
    /// Vectors of chunks beyond the first: those of one document are alike.
    vectors: BTreeMap<Uuid, Vectors>,
    chunks: Option<(usize, usize)>,
    pub(crate) counts: Counts,
    /// Whether lines that change nothing are told apart. Then nobody computes vectors.
    skips: bool,
}

impl Oracle {
    /// From a collection that holds what `before` made, with vectors, through these lines.
    pub(crate) fn replay(shape: Shape, before: &[Line], lines: &[Line]) -> Self {
        let mut oracle = Self { chunks: shape.chunks, ..Self::default() };
        for line in before {
            oracle.apply(line);
        }
        for (id, document) in &mut oracle.documents {
            let vector = |name: &str| (name.to_owned(), Vector::Single(vec![1.0]));
            document.vectors = BTreeMap::from([vector(COMPUTED), vector(GIVEN)]);
            oracle.vectors.insert(*id, document.vectors.clone());
        }
        oracle.counts = Counts::default();
        for line in lines {
            oracle.apply(line);
        }
        oracle
    }

    /// From what these lines left through the lines of another run, which counts for itself.
    pub(crate) fn again(mut self, lines: &[Line]) -> Self {
        self.counts = Counts::default();
        for line in lines {
            self.apply(line);
        }
        self
    }

    /// As [`Oracle::replay`], telling lines that change nothing apart.
    pub(crate) fn replay_skipping(shape: Shape, before: &[Line], lines: &[Line]) -> Self {
        let before = Self { counts: Counts::default(), skips: true, ..Self::replay(shape, before, &[]) };
        before.again(lines)
    }

    /// With so many more lines, all rejected.
    pub(crate) fn rejecting(mut self, refused: u64) -> Self {
        self.counts.lines += refused;
        self.counts.rejected += refused;
        self
    }

    /// What the collection holds.
    pub(crate) fn objects(&self) -> BTreeMap<Uuid, Object> {
        let mut objects = BTreeMap::new();
        for (id, document) in &self.documents {
            let mut head = document.clone();
            if let Some(Value::Array(pieces)) = document.properties.get("content") {
                head.properties.insert("content".to_owned(), pieces[0].clone());
                head.properties.insert("chunks".to_owned(), json!(pieces.len()));
                head.properties.insert("chunk".to_owned(), json!(0));
                for (number, piece) in pieces.iter().enumerate().skip(1) {
                    let mut chunk = document.clone();
                    chunk.id = Uuid::new_v5(id, number.to_string().as_bytes());
                    chunk.properties.insert("content".to_owned(), piece.clone());
                    chunk.properties.insert("chunk".to_owned(), json!(number));
                    chunk.vectors = self.vectors.get(id).cloned().unwrap_or_default();
                    objects.insert(chunk.id, chunk);
                }
            }
            objects.insert(*id, head);
        }
        objects
    }

    fn apply(&mut self, line: &Line) {
        if *line == Line::Blank {
            return;
        }
        self.counts.lines += 1;
        let (before, counts) = (self.skips.then(|| self.objects()), self.counts);
        self.apply_change(line);
        // What is renamed is somewhere else, and a delete of nothing is counted as deleted.
        let is_put = self.counts.added + self.counts.modified > counts.added + counts.modified;
        if is_put && before.is_some_and(|before| before == self.objects() && self.names_a_document(line)) {
            self.counts = Counts { unchanged: counts.unchanged + 1, lines: counts.lines, ..counts };
        }
    }

    /// A modify that finds nothing and makes nothing is counted as modified.
    fn names_a_document(&self, line: &Line) -> bool {
        matches!(line, Line::Change { path, .. } if self.documents.contains_key(&id(path)))
    }

    fn apply_change(&mut self, line: &Line) {
        let slot = match line {
            Line::Change { op: "add", path, content: Some(content), metadata, .. } => {
                self.take(path);
                self.merge(path, None, Some(content), metadata);
                &mut self.counts.added
            }
            Line::Change { op: "modify", path, content, metadata, .. } if content.is_some() || !metadata.is_empty() => {
                let base = self.take(path);
                // Without content, an unknown document stays unknown.
                if base.is_some() || content.is_some() {
                    self.merge(path, base, content.as_ref(), metadata);
                }
                &mut self.counts.modified
            }
            Line::Change { op: "delete", path, .. } => {
                self.take(path);
                &mut self.counts.deleted
            }
            Line::Change { op: "rename", path, new_path: Some(new_path), content, metadata }
                if path != new_path && self.documents.contains_key(&id(path)) =>
            {
                let base = self.take(path);
                self.merge(new_path, base, content.as_ref(), metadata);
                &mut self.counts.renamed
            }
            Line::Change { .. } | Line::Malformed | Line::Blank => &mut self.counts.rejected,
        };
        *slot += 1;
    }

    /// The document at a path with its chunks' vectors, which is there no more.
    fn take(&mut self, path: &str) -> Option<(Object, Vectors)> {
        let document = self.documents.remove(&id(path))?;
        Some((document, self.vectors.remove(&id(path)).unwrap_or_default()))
    }

    fn merge(
        &mut self,
        path: &str,
        base: Option<(Object, Vectors)>,
        content: Option<&String>,
        metadata: &Map<String, Value>,
    ) {
        let nothing = || (Object { id: id(path), properties: Map::new(), vectors: BTreeMap::new() }, Vectors::new());
        let (mut object, mut vectors) = base.unwrap_or_else(nothing);
        object.id = id(path);
        object.properties.insert("repo".to_owned(), json!(REPO));
        object.properties.insert("path".to_owned(), json!(path));
        if let Some(content) = content {
            let content = match self.chunks {
                Some((size, overlap)) => json!(cut(content, size, overlap)),
                None => json!(content),
            };
            object.properties.insert("content".to_owned(), content);
            vectors.clear();
        }
        object.properties.extend(metadata.clone());
        object.properties.retain(|_, value| !value.is_null());
        if !self.skips && (content.is_some() || !metadata.is_empty()) {
            object.vectors.remove(COMPUTED);
            vectors.remove(COMPUTED);
        }
        self.vectors.insert(object.id, vectors);
        self.documents.insert(object.id, object);
    }
}

fn id(path: &str) -> Uuid {
    document_id(COLLECTION, REPO, path)
}
