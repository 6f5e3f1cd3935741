//! What a feed comes to, by hand: one line after the other into a map, without windows, batches and crashes.

use std::collections::BTreeMap;
use std::ops::Range;

use elysia_engine::counts::Counts;
use elysia_engine::identity::document_id;
use elysia_engine::object::{Object, Vector};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) const COLLECTION: &str = "Articles";
pub(crate) const REPO: &str = "r:1";

/// A vector that the server would compute, and one that it would not.
pub(crate) const COMPUTED: &str = "text";
pub(crate) const GIVEN: &str = "own";

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
    let content =
        || proptest::option::of(proptest::sample::select(vec!["x".to_owned(), "y".to_owned(), "bad".to_owned()]));
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
    pub(crate) objects: BTreeMap<Uuid, Object>,
    pub(crate) counts: Counts,
    /// Whether lines that change nothing are told apart. Then nobody computes vectors.
    skips: bool,
}

impl Oracle {
    /// From a collection that holds what `before` made, with vectors, through these lines.
    pub(crate) fn replay(before: &[Line], lines: &[Line]) -> Self {
        let mut oracle = Self::default();
        for line in before {
            oracle.apply(line);
        }
        for object in oracle.objects.values_mut() {
            let vector = |name: &str| (name.to_owned(), Vector::Single(vec![1.0]));
            object.vectors = BTreeMap::from([vector(COMPUTED), vector(GIVEN)]);
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
    pub(crate) fn replay_skipping(before: &[Line], lines: &[Line]) -> Self {
        let before = Self { counts: Counts::default(), skips: true, ..Self::replay(before, &[]) };
        before.again(lines)
    }

    /// With so many more lines, all rejected.
    pub(crate) fn rejecting(mut self, refused: u64) -> Self {
        self.counts.lines += refused;
        self.counts.rejected += refused;
        self
    }

    fn apply(&mut self, line: &Line) {
        if *line == Line::Blank {
            return;
        }
        self.counts.lines += 1;
        let (before, counts) = (self.skips.then(|| self.objects.clone()), self.counts);
        self.apply_change(line);
        // What is renamed is somewhere else, and a delete of nothing is counted as deleted.
        let is_put = self.counts.added + self.counts.modified > counts.added + counts.modified;
        if is_put && before.is_some_and(|before| before == self.objects && self.names_a_document(line)) {
            self.counts = Counts { unchanged: counts.unchanged + 1, lines: counts.lines, ..counts };
        }
    }

    /// A modify that finds nothing and makes nothing is counted as modified.
    fn names_a_document(&self, line: &Line) -> bool {
        matches!(line, Line::Change { path, .. } if self.objects.contains_key(&id(path)))
    }

    fn apply_change(&mut self, line: &Line) {
        let slot = match line {
            Line::Change { op: "add", path, content: Some(content), metadata, .. } => {
                self.objects.remove(&id(path));
                self.merge(path, None, Some(content), metadata);
                &mut self.counts.added
            }
            Line::Change { op: "modify", path, content, metadata, .. } if content.is_some() || !metadata.is_empty() => {
                let base = self.objects.remove(&id(path));
                // Without content, an unknown document stays unknown.
                if base.is_some() || content.is_some() {
                    self.merge(path, base, content.as_ref(), metadata);
                }
                &mut self.counts.modified
            }
            Line::Change { op: "delete", path, .. } => {
                self.objects.remove(&id(path));
                &mut self.counts.deleted
            }
            Line::Change { op: "rename", path, new_path: Some(new_path), content, metadata }
                if path != new_path && self.objects.contains_key(&id(path)) =>
            {
                let base = self.objects.remove(&id(path));
                self.merge(new_path, base, content.as_ref(), metadata);
                &mut self.counts.renamed
            }
            Line::Change { .. } | Line::Malformed | Line::Blank => &mut self.counts.rejected,
        };
        *slot += 1;
    }

    fn merge(&mut self, path: &str, base: Option<Object>, content: Option<&String>, metadata: &Map<String, Value>) {
        let mut object =
            base.unwrap_or_else(|| Object { id: id(path), properties: Map::new(), vectors: BTreeMap::new() });
        object.id = id(path);
        object.properties.insert("repo".to_owned(), json!(REPO));
        object.properties.insert("path".to_owned(), json!(path));
        if let Some(content) = content {
            object.properties.insert("content".to_owned(), json!(content));
        }
        object.properties.extend(metadata.clone());
        object.properties.retain(|_, value| !value.is_null());
        if !self.skips && (content.is_some() || !metadata.is_empty()) {
            object.vectors.remove(COMPUTED);
        }
        self.objects.insert(object.id, object);
    }
}

fn id(path: &str) -> Uuid {
    document_id(COLLECTION, REPO, path)
}
