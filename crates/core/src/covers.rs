//! Whether a live object already says what is wanted, so that an object at rest is never written.

use serde_json::Value;

/// Whether `live` holds everything that `wanted` says.
///
/// The API server adds defaults and never removes what was sent, so maps may hold more; lists must agree in length and
/// order. `null` and an absent field are the same, and so is an empty `value`: of a variable of a container, the API
/// server drops it.
///
/// It cannot see a field that is wanted no more: who applies must remember what was applied last.
///
/// Quantities are compared by what they mean: the API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    within(live, wanted, false)
}

/// Maps whose values are quantities.
const QUANTITIES: [&str; 2] = ["requests", "limits"];

fn within(live: &Value, wanted: &Value, quantity: bool) -> bool {
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => within(live, wanted, quantity || QUANTITIES.contains(&key.as_str())),
            None => is_nothing(wanted) || (key == "value" && wanted == ""),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| within(live, wanted, false))
        }
        (Value::String(live), Value::String(wanted)) if quantity => match (amount(live), amount(wanted)) {
            (Some(live), Some(wanted)) => live == wanted,
            _ => live == wanted,
        },
        (live, wanted) => live == wanted,
    }
}

/// A quantity in thousandths; `None` when it is none, or has more digits than that.
fn amount(text: &str) -> Option<i128> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: i128 = match unit {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(factor)?;
    (scaled % scale == 0).then_some(scaled / scale)
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

    #[test]
    fn an_empty_variable_is_nothing() {
        let wanted = json!({"env": [{"name": "A", "value": ""}]});
        for (live, covered) in [
            (json!({"env": [{"name": "A"}]}), true),
            (json!({"env": [{"name": "A", "value": ""}]}), true),
            (json!({"env": [{"name": "A", "value": "x"}]}), false),
            (json!({"env": []}), false),
        ] {
            assert_eq!(covers(&live, &wanted), covered, "{live}");
        }
        // Elsewhere an empty text is a text: a class of no name is another thing than the default class.
        assert!(!covers(&json!({}), &json!({"storageClassName": ""})));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        let resources = |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        assert!(covers(&resources("500m", "1Gi"), &resources("0.5", "1024Mi")));
        assert!(!covers(&resources("500m", "1Gi"), &resources("0.6", "1Gi")));
        assert!(!covers(&resources("500m", "1G"), &resources("500m", "1Gi")));
        // Elsewhere a text is a text.
        assert!(!covers(&json!({"value": "1"}), &json!({"value": "1.0"})));
    }
}
