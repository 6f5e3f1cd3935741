//! How a patch changes an object: server-side apply and merge patch.

use serde_json::{Map, Value};

/// Merges what one manager wants. `owned` is what the same manager applied last: what of it is wanted no more goes,
/// what others added stays.
pub(super) fn apply(live: &mut Value, owned: &Value, wanted: &Value) {
    field("", live, owned, wanted);
}

fn field(name: &str, live: &mut Value, owned: &Value, wanted: &Value) {
    match (&mut *live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => map(live, owned, wanted),
        (Value::Array(live), Value::Array(wanted)) if is_keyed(name) => list(name, live, owned, wanted),
        (live, wanted) => *live = wanted.clone(),
    }
}

fn map(live: &mut Map<String, Value>, owned: &Value, wanted: &Map<String, Value>) {
    for (key, owned) in owned.as_object().into_iter().flatten().filter(|(key, _)| !wanted.contains_key(*key)) {
        if live.get_mut(key).is_some_and(|live| withdraw(live, owned)) {
            live.remove(key);
        }
    }
    for (key, wanted) in wanted.iter().filter(|(_, wanted)| !wanted.is_null()) {
        field(key, live.entry(key.clone()).or_insert(Value::Null), &owned[key], wanted);
    }
}

/// Takes back what was owned; whether nothing is left.
fn withdraw(live: &mut Value, owned: &Value) -> bool {
    let (Value::Object(live), Value::Object(owned)) = (live, owned) else {
        return true;
    };
    for (key, owned) in owned {
        if live.get_mut(key).is_some_and(|live| withdraw(live, owned)) {
            live.remove(key);
        }
    }
    live.is_empty()
}

/// Lists that the API server merges by key (`listType: map`), as far as operators of small clusters meet them. All
/// others, and every list of a custom resource without that mark, are replaced as a whole.
fn is_keyed(name: &str) -> bool {
    matches!(name, "ports" | "containers" | "env" | "volumes" | "volumeMounts" | "ownerReferences")
}

fn key(list: &str, entry: &Value) -> String {
    let text = |name: &str| entry.get(name).map(Value::to_string).unwrap_or_default();
    match list {
        "ports" => {
            let protocol = entry.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            format!("{}{} {protocol}", text("port"), text("containerPort"))
        }
        "volumeMounts" => text("mountPath"),
        "ownerReferences" => text("uid"),
        _ => text("name"),
    }
}

fn list(name: &str, live: &mut Vec<Value>, owned: &Value, wanted: &[Value]) {
    let owned = owned.as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |list: &[Value], entry: &Value| list.iter().any(|other| key(name, other) == key(name, entry));
    live.retain(|entry| has(wanted, entry) || !has(owned, entry));
    for wanted in wanted {
        let owned = owned.iter().find(|entry| key(name, entry) == key(name, wanted)).unwrap_or(&Value::Null);
        match live.iter_mut().find(|entry| key(name, entry) == key(name, wanted)) {
            Some(live) => field("", live, owned, wanted),
            None => live.push(wanted.clone()),
        }
    }
}

/// JSON merge patch: null removes, lists are replaced.
pub(super) fn merge(live: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *live = patch.clone();
        return;
    };
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Some(live) = live.as_object_mut() else { return };
    for (key, patch) in patch {
        if patch.is_null() {
            live.remove(key);
        } else {
            merge(live.entry(key.clone()).or_insert(Value::Null), patch);
        }
    }
}

/// JSON patch, as far as it is used: `test`, `add` and `remove` of members of objects. Whether all of it was possible.
pub(super) fn operate(live: &mut Value, operations: &[Value]) -> bool {
    operations.iter().all(|operation| {
        let path = operation["path"].as_str().unwrap_or_default();
        let (above, key) = path.rsplit_once('/').unwrap_or_default();
        let Some(above) = live.pointer_mut(above).and_then(Value::as_object_mut) else { return false };
        match operation["op"].as_str() {
            Some("test") => above.get(key) == Some(&operation["value"]),
            Some("add") => {
                above.insert(key.to_owned(), operation["value"].clone());
                true
            }
            Some("remove") => above.remove(key).is_some(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_stays_and_what_is_wanted_no_more_goes() {
        let mut live = json!({"spec": {"a": 1, "theirs": 2, "ports": [{"port": 1}, {"port": 2, "protocol": "TCP"}]}});
        let owned = json!({"spec": {"a": 1, "b": {"c": 1}, "ports": [{"port": 1}]}});
        apply(&mut live, &owned, &json!({"spec": {"d": 4, "ports": [{"port": 2, "name": "two"}]}}));
        let expected = json!({"spec": {"theirs": 2, "d": 4, "ports": [{"port": 2, "protocol": "TCP", "name": "two"}]}});
        assert_eq!(live, expected);
    }

    #[test]
    fn a_json_patch_is_carried_out_or_refused() {
        let mut live = json!({"a": {"b": 1}});
        let change = json!([{"op": "test", "path": "/a/b", "value": 1}, {"op": "add", "path": "/a/c", "value": 2}]);
        assert!(operate(&mut live, change.as_array().unwrap()));
        assert_eq!(live, json!({"a": {"b": 1, "c": 2}}));
        for refused in [
            json!([{"op": "test", "path": "/a/b", "value": 2}]),
            json!([{"op": "remove", "path": "/a/d"}]),
            json!([{"op": "add", "path": "/x/d", "value": 1}]),
        ] {
            assert!(!operate(&mut live, refused.as_array().unwrap()), "{refused}");
        }
    }

    #[test]
    fn null_removes() {
        let mut live = json!({"a": 1, "b": {"c": 1, "d": [1]}});
        merge(&mut live, &json!({"a": null, "b": {"d": [2]}}));
        assert_eq!(live, json!({"b": {"c": 1, "d": [2]}}));
    }
}
