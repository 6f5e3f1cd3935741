//! Whether a live object already says what is wanted, so that an object at rest is never written.

use serde_json::Value;

/// Whether `live` holds everything that `wanted` says.
///
/// The API server adds defaults and never removes what was sent, so maps may hold more; lists must agree in length and
/// order. `null` and an absent field are the same.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => covers(live, wanted),
            None => is_nothing(wanted),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_nothing),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let wanted = json!({"spec": {"replicas": 3, "ports": [{"port": 80}], "selector": null}});
        let live = json!({"spec": {"replicas": 3, "ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}});
        assert!(covers(&live, &wanted));
        assert!(!covers(&json!({"spec": {"replicas": 2, "ports": [{"port": 80}]}}), &wanted));
        assert!(!covers(&json!({"spec": {"replicas": 3, "ports": []}}), &wanted));
        assert!(covers(&json!({}), &json!({"emptyDir": {}})));
        assert!(!covers(&json!({}), &json!({"a": 1})));
    }
}
