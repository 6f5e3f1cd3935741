//! How a live class differs from the declared settings, and what follows for each difference.
//!
//! Only what the spec says is compared: the server fills in many defaults, and those are its own. Which settings are
//! mutable is taken from Weaviate's `usecases/schema/class.go` and `parser.go` (1.35.2), retold in `weaviate.md` §6.

use elysia_api::collection::Verdict;
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest value that is shown of a setting, in characters.
const SHOWN_LIMIT: usize = 120;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where: names of settings, properties and vectors.
    pub path: Vec<String>,
    /// Value on the server; `None` when there is none.
    pub live: Option<Value>,
    /// Declared value.
    pub wanted: Value,
    /// What follows.
    pub verdict: Verdict,
}

impl Difference {
    /// The path as a person writes it.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// Whether the difference is a property that the class lacks.
    pub fn is_new_property(&self) -> bool {
        self.path.len() == 2 && self.path[0] == "properties" && self.live.is_none()
    }
}

/// The value as it is shown in a status.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_LIMIT {
        return text;
    }
    let mut short: String = text.chars().take(SHOWN_LIMIT - 1).collect();
    short.push('…');
    short
}

/// Every difference, the worst first.
pub fn differences(wanted: &Map<String, Value>, live: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for (key, wanted) in wanted {
        let live = live.get(key);
        match (key.as_str(), wanted) {
            ("properties", Value::Array(wanted)) => properties(&mut vec![key.clone()], wanted, live, &mut found),
            ("vectorConfig", Value::Object(wanted)) => vectors(wanted, live, &mut found),
            _ => compare(&mut vec![key.clone()], wanted, live, &mut found),
        }
    }
    found.sort_by(|one, other| (one.verdict, &one.path).cmp(&(other.verdict, &other.path)));
    found
}

fn properties(path: &mut Vec<String>, wanted: &[Value], live: Option<&Value>, found: &mut Vec<Difference>) {
    let live = live.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for wanted in wanted {
        let name = property_name(wanted);
        path.push(name.clone());
        match live.iter().find(|live| property_name(live) == name) {
            None => found.push(Difference {
                path: path.clone(),
                live: None,
                wanted: wanted.clone(),
                verdict: if path.len() == 2 { Verdict::Revert } else { Verdict::Recreate },
            }),
            Some(live) => property(path, wanted, live, found),
        }
        path.pop();
    }
}

fn property(path: &mut Vec<String>, wanted: &Value, live: &Value, found: &mut Vec<Difference>) {
    let Some(settings) = wanted.as_object() else {
        return;
    };
    for (key, wanted) in settings {
        if key == "name" {
            continue;
        }
        path.push(key.clone());
        match (key.as_str(), wanted) {
            ("nestedProperties", Value::Array(wanted)) => properties(path, wanted, live.get(key), found),
            _ => compare(path, wanted, live.get(key), found),
        }
        path.pop();
    }
}

/// Weaviate stores a property's name with its first letter in lower case (`LowercaseAllPropertyNames`).
fn property_name(property: &Value) -> String {
    let name = property.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn vectors(wanted: &Map<String, Value>, live: Option<&Value>, found: &mut Vec<Difference>) {
    let live = live.and_then(Value::as_object);
    for (name, wanted) in wanted {
        let mut path = vec!["vectorConfig".to_owned(), name.clone()];
        match live.and_then(|live| live.get(name)) {
            // A class with vectors of its own takes new ones; a class of the older form cannot be changed into one.
            None => found.push(Difference {
                path,
                live: None,
                wanted: wanted.clone(),
                verdict: if live.is_some_and(|live| !live.is_empty()) { Verdict::Revert } else { Verdict::Recreate },
            }),
            Some(live) => compare(&mut path, wanted, Some(live), found),
        }
    }
}

fn compare(path: &mut Vec<String>, wanted: &Value, live: Option<&Value>, found: &mut Vec<Difference>) {
    if let (Value::Object(wanted), Some(Value::Object(live))) = (wanted, live) {
        for (key, wanted) in wanted {
            path.push(key.clone());
            compare(path, wanted, live.get(key), found);
            path.pop();
        }
        return;
    }
    if !same(wanted, live) {
        found.push(Difference {
            path: path.clone(),
            live: live.cloned(),
            wanted: wanted.clone(),
            verdict: verdict(path),
        });
    }
}

/// Whether two values mean the same to the server. `1` and `1.0` do; nothing and an empty value do.
fn same(wanted: &Value, live: Option<&Value>) -> bool {
    let Some(live) = live else {
        return is_nothing(wanted);
    };
    match (wanted, live) {
        (Value::Number(wanted), Value::Number(live)) => match (wanted.as_f64(), live.as_f64()) {
            (Some(wanted), Some(live)) => (wanted - live).abs() <= f64::EPSILON * wanted.abs().max(live.abs()),
            _ => wanted == live,
        },
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| same(wanted, Some(live)))
        }
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(key, wanted)| same(wanted, live.get(key))),
        (wanted, Value::Null) => is_nothing(wanted),
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

/// Settings of a vector index that an existing class takes.
const MUTABLE_INDEX_SETTINGS: [&str; 7] = [
    "ef",
    "dynamicEfMin",
    "dynamicEfMax",
    "dynamicEfFactor",
    "flatSearchCutoff",
    "filterStrategy",
    "vectorCacheMaxObjects",
];

fn verdict(path: &[String]) -> Verdict {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["description" | "objectTtlConfig", ..]
        | ["properties", .., "description"]
        | ["invertedIndexConfig", "bm25" | "stopwords" | "cleanupIntervalSeconds", ..]
        | ["multiTenancyConfig", "autoTenantCreation" | "autoTenantActivation"] => Verdict::Revert,
        ["vectorIndexConfig", setting] | ["vectorConfig", _, "vectorIndexConfig", setting]
            if MUTABLE_INDEX_SETTINGS.contains(setting) =>
        {
            Verdict::Revert
        }
        ["moduleConfig", module, ..] if module.starts_with("generative-") || module.starts_with("reranker-") => {
            Verdict::Revert
        }
        // Counted by the server, whatever was declared.
        ["shardingConfig", "actualCount" | "actualVirtualCount"] => Verdict::Adopt,
        [
            "vectorizer"
            | "vectorIndexType"
            | "vectorIndexConfig"
            | "vectorConfig"
            | "moduleConfig"
            | "shardingConfig"
            | "multiTenancyConfig"
            | "invertedIndexConfig"
            | "properties",
            ..,
        ] => Verdict::Recreate,
        // A setting that this release does not know: whether it is mutable is unknown, so a person is told.
        _ => Verdict::Report,
    }
}

/// The live class with every mutable difference put back, and the factor and strategy given.
///
/// It starts from what the server said, because it takes an omitted block as the wish to change it (`weaviate.md` §6).
pub fn reverted(live: &Value, differences: &[Difference], replication: &Map<String, Value>) -> Value {
    let mut class = live.clone();
    for difference in differences {
        if difference.verdict == Verdict::Revert && !difference.is_new_property() {
            set(&mut class, &difference.path, difference.wanted.clone());
        }
    }
    if let Some(class) = class.as_object_mut() {
        let live = class.entry("replicationConfig").or_insert_with(|| Value::Object(Map::new()));
        if let Some(live) = live.as_object_mut() {
            live.extend(replication.clone());
        }
    }
    class
}

fn set(target: &mut Value, path: &[String], wanted: Value) {
    let Some((key, rest)) = path.split_first() else {
        *target = wanted;
        return;
    };
    match target {
        Value::Array(list) => {
            if let Some(entry) = list.iter_mut().find(|entry| property_name(entry) == *key) {
                set(entry, rest, wanted);
            }
        }
        Value::Object(map) => set(map.entry(key.clone()).or_insert(Value::Null), rest, wanted),
        other => {
            *other = Value::Object(Map::new());
            set(other, path, wanted);
        }
    }
}

/// The factor that a class declares; a class without the block has 1.
pub fn class_factor(class: &Value) -> i64 {
    class.pointer("/replicationConfig/factor").and_then(Value::as_i64).unwrap_or(1).max(1)
}

/// Whether the class keeps a shard for each tenant.
pub fn is_multi_tenant(class: &Value) -> bool {
    class.pointer("/multiTenancyConfig/enabled").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "class": "A", "description": "old", "vectorizer": "none", "vectorIndexType": "hnsw",
            "vectorIndexConfig": {"ef": -1, "efConstruction": 128, "distance": "cosine"},
            "invertedIndexConfig": {"bm25": {"b": 0.75, "k1": 1.2}, "indexTimestamps": false},
            "shardingConfig": {"desiredCount": 3, "actualCount": 3},
            "replicationConfig": {"factor": 1, "deletionStrategy": "NoAutomatedResolution"},
            "properties": [{"name": "title", "dataType": ["text"], "tokenization": "word", "indexFilterable": true}],
        })
    }

    fn check(wanted: &Value, expected: &str) {
        let text = differences(wanted.as_object().unwrap(), &live())
            .iter()
            .map(|difference| format!("{} {:?}", difference.dotted(), difference.verdict))
            .collect::<Vec<_>>()
            .join(", ");
        assert_eq!(text, expected, "{wanted}");
    }

    #[test]
    fn each_setting_has_its_verdict() {
        check(&json!({}), "");
        check(&json!({"description": "new"}), "description Revert");
        check(&json!({"properties": [{"name": "Title", "dataType": ["text"]}]}), "");
        check(&json!({"properties": [{"name": "title", "dataType": ["int"]}]}), "properties.title.dataType Recreate");
        check(&json!({"properties": [{"name": "body", "dataType": ["text"]}]}), "properties.body Revert");
        check(
            &json!({"vectorIndexConfig": {"ef": 64, "distance": "dot"}}),
            "vectorIndexConfig.distance Recreate, vectorIndexConfig.ef Revert",
        );
        check(
            &json!({"invertedIndexConfig": {"bm25": {"b": 0.75}, "indexTimestamps": true}}),
            "invertedIndexConfig.indexTimestamps Recreate",
        );
        check(&json!({"shardingConfig": {"desiredCount": 1}}), "shardingConfig.desiredCount Recreate");
        check(&json!({"shardingConfig": {"desiredCount": 3.0}}), "");
        check(&json!({"multiTenancyConfig": {"enabled": true}}), "multiTenancyConfig Recreate");
        check(&json!({"vectorConfig": {"a": {"vectorIndexType": "hnsw"}}}), "vectorConfig.a Recreate");
        check(&json!({"brandNew": {"setting": 1}}), "brandNew Report");
        check(&json!({"properties": [], "moduleConfig": {}}), "");
        check(&json!({"invertedIndexConfig": {"indexNullState": false}, "multiTenancyConfig": {"enabled": false}}), "");
    }

    #[test]
    fn only_mutable_differences_are_put_back_and_nothing_else_moves() {
        let wanted = json!({"description": "new", "vectorIndexConfig": {"ef": 64, "distance": "dot"}});
        let found = differences(wanted.as_object().unwrap(), &live());
        let replication = json!({"factor": 3});
        let class = reverted(&live(), &found, replication.as_object().unwrap());
        let mut expected = live();
        expected["description"] = json!("new");
        expected["vectorIndexConfig"]["ef"] = json!(64);
        expected["replicationConfig"]["factor"] = json!(3);
        assert_eq!(class, expected);
    }

    #[test]
    fn a_class_without_the_block_has_factor_one() {
        assert_eq!(class_factor(&json!({})), 1);
        assert_eq!(class_factor(&json!({"replicationConfig": {"factor": 0}})), 1);
        assert_eq!(class_factor(&live()), 1);
    }
}
