//! Which declared settings are not live.
//!
//! Servers write a class back otherwise than it was sent: defaults are filled in, empty values left out, names of
//! properties begin in lower case, retired settings are translated, lists are sorted and cleaned. None of that is a
//! difference. What is known of it comes from the answers in `fixtures/` and from Weaviate's `usecases/schema/class.go`.

use serde_json::{Map, Value, json};

/// A declared setting that is not live.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gap {
    /// Where.
    pub(super) path: Vec<String>,
    /// What is declared.
    pub(super) wanted: Value,
    /// What is live; `None`: the server has nothing there.
    pub(super) live: Option<Value>,
}

/// Every declared setting that is not live, in the order of the declaration.
pub(super) fn gaps(wanted: &Map<String, Value>, live: &Value) -> Vec<Gap> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new(), english: stopword_preset(live) == Some("en") };
    walk.object(wanted, Some(live));
    walk.found
}

/// Names of the properties in a list, or of the vectors in a map, as the server spells them.
pub(super) fn names(list: &Value) -> Vec<String> {
    match list {
        Value::Array(properties) => properties.iter().map(property_name).collect(),
        Value::Object(vectors) => vectors.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Weaviate stores a property's name with its first letter in lower case (`LowercaseAllPropertyNames`).
pub(in crate::collection) fn property_name(property: &Value) -> String {
    let name = property.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

struct Walk {
    path: Vec<String>,
    found: Vec<Gap>,
    /// Whether the class leaves out the English stop words.
    english: bool,
}

impl Walk {
    fn gap(&mut self, wanted: &Value, live: Option<&Value>) {
        self.found.push(Gap { path: self.path.clone(), wanted: wanted.clone(), live: live.cloned() });
    }

    fn object(&mut self, wanted: &Map<String, Value>, live: Option<&Value>) {
        for (key, wanted) in wanted {
            let (key, live) = member(live, key);
            self.path.push(key);
            self.value(wanted, live);
            self.path.pop();
        }
    }

    fn value(&mut self, wanted: &Value, live: Option<&Value>) {
        if is_undeclared(wanted, &self.path) {
            return;
        }
        let live = live.filter(|live| !live.is_null());
        match wanted {
            Value::Array(wanted) if self.holds_properties() => self.properties(wanted, live),
            // An absent one is added as a whole: a module, a vector.
            Value::Object(_) if live.is_none() && self.is_member() => self.gap(wanted, None),
            Value::Object(wanted) if live.is_none_or(Value::is_object) => self.object(wanted, live),
            _ if self.same(wanted, live) => {}
            _ => self.gap(wanted, live),
        }
    }

    fn properties(&mut self, wanted: &[Value], live: Option<&Value>) {
        let live = live.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for wanted in wanted {
            let name = property_name(wanted);
            let found = live.iter().find(|live| property_name(live) == name);
            self.path.push(name);
            match (found, wanted) {
                (None, _) => self.gap(wanted, None),
                (Some(live), Value::Object(wanted)) => self.object(&as_stored(wanted), Some(live)),
                (Some(_), _) => {}
            }
            self.path.pop();
        }
    }

    fn holds_properties(&self) -> bool {
        match self.path.as_slice() {
            [only] => only == "properties",
            [first, .., last] => first == "properties" && last == "nestedProperties",
            [] => false,
        }
    }

    /// Whether this is one of several that go by name, whose being there means something even when it is empty.
    fn is_member(&self) -> bool {
        let parts: Vec<&str> = self.path.iter().map(String::as_str).collect();
        matches!(
            parts.as_slice(),
            ["vectorConfig" | "moduleConfig", _]
                | ["vectorConfig", _, "vectorizer", _]
                | ["properties", .., "moduleConfig", _]
        )
    }

    /// Whether two values mean the same to the server. Nothing and an empty value do.
    fn same(&self, wanted: &Value, live: Option<&Value>) -> bool {
        let Some(live) = live else {
            return is_nothing(wanted) || self.cleaned(wanted).is_some_and(|rest| rest.is_empty());
        };
        match (wanted, live) {
            (Value::Number(wanted), Value::Number(live)) => same_number(wanted, live),
            (Value::Array(wanted_list), Value::Array(live_list)) => match (self.cleaned(wanted), self.cleaned(live)) {
                (Some(wanted), Some(live)) => wanted == live,
                _ => {
                    wanted_list.len() == live_list.len()
                        && wanted_list.iter().zip(live_list).all(|(wanted, live)| self.same(wanted, Some(live)))
                }
            },
            (Value::Object(wanted), Value::Object(live)) => {
                wanted.iter().all(|(key, wanted)| self.same(wanted, live.get(key)))
            }
            _ => wanted == live,
        }
    }

    /// A list in which order and repetition mean nothing, sorted; `None` when this is no such list.
    fn cleaned<'a>(&self, value: &'a Value) -> Option<Vec<&'a str>> {
        let last = self.path.last().map(String::as_str);
        let additions = last == Some("additions");
        let is_set = additions
            || matches!(last, Some("removals" | "dataType" | "asciiFoldIgnore"))
            || self.path.get(1).is_some_and(|block| block == "stopwordPresets");
        let mut texts: Vec<&str> = value.as_array().filter(|_| is_set)?.iter().filter_map(Value::as_str).collect();
        if additions && self.english {
            texts.retain(|word| !ENGLISH_STOPWORDS.contains(word));
        }
        texts.sort_unstable();
        texts.dedup();
        Some(texts)
    }
}

/// The member of a live object, and how the server spells its name: Go reads names of settings without regard to case.
fn member<'a>(live: Option<&'a Value>, key: &str) -> (String, Option<&'a Value>) {
    let Some(live) = live.and_then(Value::as_object) else {
        return (key.to_owned(), None);
    };
    match live.get(key) {
        Some(value) => (key.to_owned(), Some(value)),
        None => live
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map_or_else(|| (key.to_owned(), None), |(name, value)| (name.clone(), Some(value))),
    }
}

/// What Go reads as "not set": the server puts its default there. An empty description is a wish: the text is removed.
fn is_undeclared(wanted: &Value, path: &[String]) -> bool {
    let last = path.last().map_or("", String::as_str);
    match wanted {
        Value::Null => true,
        Value::String(text) => text.is_empty() && last != "description",
        Value::Number(number) => last == "cleanupIntervalSeconds" && number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Weaviate keeps settings such as `bm25.b` in single precision.
#[expect(clippy::cast_possible_truncation, reason = "the server truncates them in the same way")]
fn same_number(wanted: &serde_json::Number, live: &serde_json::Number) -> bool {
    match (wanted.as_i64(), live.as_i64(), wanted.as_f64(), live.as_f64()) {
        (Some(wanted), Some(live), ..) => wanted == live,
        (.., Some(wanted), Some(live)) => (wanted as f32 - live as f32).abs() <= f32::EPSILON * (wanted as f32).abs(),
        _ => wanted == live,
    }
}

/// What the server leaves out of its answer, because its language does not tell it from nothing (Go's `omitempty`).
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
    }
}

/// A property as servers store it: `string` became `text` in Weaviate 1.19, `indexInverted` two settings
/// (`migratePropertySettings`).
fn as_stored(wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut property = wanted.clone();
    property.remove("name");
    let kind = property.get("dataType").and_then(|types| types.get(0)).and_then(Value::as_str).unwrap_or_default();
    let (retired, text) = match kind {
        "string" => (Some("text"), true),
        "string[]" => (Some("text[]"), true),
        _ => (None, matches!(kind, "text" | "text[]")),
    };
    if let Some(kind) = retired {
        if property.get("tokenization").is_some_and(|tokenization| tokenization == "word") {
            property.insert("tokenization".to_owned(), json!("whitespace"));
        }
        property.insert("dataType".to_owned(), json!([kind]));
    }
    if let Some(inverted) = property.remove("indexInverted").filter(|inverted| !inverted.is_null()) {
        let newer = ["indexFilterable", "indexSearchable", "indexRangeFilters"];
        if newer.iter().all(|name| property.get(*name).is_none_or(Value::is_null)) {
            property.insert("indexFilterable".to_owned(), inverted.clone());
            property.insert("indexSearchable".to_owned(), if text { inverted } else { json!(false) });
        }
    }
    property
}

fn stopword_preset(class: &Value) -> Option<&str> {
    class.pointer("/invertedIndexConfig/stopwords/preset").and_then(Value::as_str)
}

/// Weaviate's preset `en`. Additions that are in it are dropped (`validateStopwordAdditionsRemovals`; measured on 1.31
/// to 1.38).
const ENGLISH_STOPWORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];
