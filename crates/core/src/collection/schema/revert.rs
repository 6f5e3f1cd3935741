//! The body of the PUT that puts mutable settings back.

use elysia_api::collection::Verdict;
use serde_json::{Map, Value, json};

use super::Difference;
use super::compare::property_name;
use super::mutability::QUANTISERS;

/// Of modules of these kinds a class has one at a time; a PUT with two is refused (measured, 1.31 to 1.38).
pub(super) const ONE_AT_A_TIME: [&str; 2] = ["generative-", "reranker-"];

/// The live class with every mutable difference put back, and the factor and strategy given.
///
/// It starts from what the server said, because it takes an omitted block as the wish to change it (`weaviate.md` §6).
pub fn reverted(live: &Value, differences: &[Difference], replication: &Map<String, Value>) -> Value {
    let mut class = live.clone();
    for difference in differences {
        if difference.verdict == Verdict::Revert && !difference.is_new_property() {
            make_room(&mut class, &difference.path, &difference.wanted);
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

/// Takes out what the server does not want beside the new value.
fn make_room(class: &mut Value, path: &[String], wanted: &Value) {
    match path {
        [block, module, ..] if block == "moduleConfig" => {
            let Some(kind) = ONE_AT_A_TIME.iter().find(|kind| module.starts_with(**kind)) else {
                return;
            };
            if let Some(modules) = class.get_mut(block).and_then(Value::as_object_mut) {
                modules.retain(|name, _| name == module || !name.starts_with(*kind));
            }
        }
        // At most one quantiser is on.
        [above @ .., quantiser, enabled] if enabled == "enabled" && *wanted == json!(true) => {
            for other in QUANTISERS.iter().filter(|other| *other != quantiser) {
                let pointer = format!("/{}/{other}/enabled", above.join("/"));
                if let Some(enabled) = class.pointer_mut(&pointer).filter(|_| QUANTISERS.contains(&quantiser.as_str()))
                {
                    *enabled = json!(false);
                }
            }
        }
        _ => {}
    }
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
