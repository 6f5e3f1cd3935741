//! Whether a line would leave a stored object exactly as it is. In doubt it would not: then it is written.
//!
//! | stored | wanted | |
//! |---|---|---|
//! | `3` | `3.0` | the same: Weaviate keeps both as one 64-bit float |
//! | no property, or `null` | the other one | the same |
//! | `[]` | no property | not: a filter tells them apart |
//! | a date, a uuid, a blob | the same text | the same; other texts are not, also where they mean the same |
//! | a property that the line does not have | | not, if the line is an `add`, which removes it |
//! | a vector, bit by bit the same | | the same |
//! | a vector that the server computes | none | the same, if all properties are: its text is |

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use crate::mapping::Properties;
use crate::object::{Object, Vector};

/// Below it every whole number is a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether putting `wanted` changes nothing of `stored`. `computed` are the vectors that the server makes from text.
pub(crate) fn is_same(stored: &Object, wanted: &Object, computed: &BTreeSet<String>) -> bool {
    stored.id == wanted.id && same_properties(&stored.properties, &wanted.properties) && {
        // Without one that it should have computed, it computes it by the put.
        let computed_is_there = |name: &String| wanted.vectors.contains_key(name) || stored.vectors.contains_key(name);
        let is_wanted = |name: &String, vector: &Vector| {
            wanted.vectors.get(name).map_or_else(|| computed.contains(name), |wanted| same_vector(vector, wanted))
        };
        computed.iter().all(computed_is_there)
            && wanted.vectors.keys().all(|name| stored.vectors.contains_key(name))
            && stored.vectors.iter().all(|(name, vector)| is_wanted(name, vector))
    }
}

fn same_properties(stored: &Properties, wanted: &Properties) -> bool {
    let in_wanted = |(name, value): (&String, &Value)| same_value(value, wanted.get(name).unwrap_or(&Value::Null));
    let is_new = |(name, value): (&String, &Value)| !stored.contains_key(name) && !value.is_null();
    stored.iter().all(in_wanted) && !wanted.iter().any(is_new)
}

fn same_value(stored: &Value, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Value::Number(stored), Value::Number(wanted)) => same_number(stored, wanted),
        (Value::Array(stored), Value::Array(wanted)) => {
            stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(stored, wanted)| same_value(stored, wanted))
        }
        (Value::Object(stored), Value::Object(wanted)) => same_properties(stored, wanted),
        (stored, wanted) => stored == wanted,
    }
}

fn same_number(stored: &Number, wanted: &Number) -> bool {
    if stored == wanted && !stored.is_f64() {
        return true;
    }
    let both_floats = stored.is_f64() && wanted.is_f64();
    match (stored.as_f64(), wanted.as_f64()) {
        // A zero has a sign, and a larger whole number has neighbours that are the same float.
        (Some(one), Some(other)) => one.to_bits() == other.to_bits() && (both_floats || one.abs() < EXACT),
        _ => false,
    }
}

/// Not `==`, for which 0 and -0 are one number.
fn same_vector(stored: &Vector, wanted: &Vector) -> bool {
    let same = |stored: &[f32], wanted: &[f32]| {
        stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(one, other)| one.to_bits() == other.to_bits())
    };
    match (stored, wanted) {
        (Vector::Single(stored), Vector::Single(wanted)) => same(stored, wanted),
        (Vector::Multi(stored), Vector::Multi(wanted)) => {
            stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(stored, wanted)| same(stored, wanted))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn object(properties: &Value, vectors: &[(&str, &[f32])]) -> Object {
        let vector = |(name, numbers): &(&str, &[f32])| ((*name).to_owned(), Vector::Single(numbers.to_vec()));
        Object {
            id: Uuid::nil(),
            properties: properties.as_object().unwrap().clone(),
            vectors: vectors.iter().map(vector).collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn properties_are_the_same_only_when_nothing_differs() {
        let cases = [
            (json!({}), json!({}), true),
            (json!({"a": "x"}), json!({"a": "x"}), true),
            (json!({"a": "x"}), json!({"a": "x "}), false),
            (json!({"a": "x"}), json!({}), false),
            (json!({}), json!({"a": "x"}), false),
            (json!({"a": null}), json!({}), true),
            (json!({}), json!({"a": null}), true),
            (json!({"a": []}), json!({}), false),
            (json!({"a": []}), json!({"a": []}), true),
            (json!({"a": ""}), json!({}), false),
            (json!({"a": 3}), json!({"a": 3.0}), true),
            (json!({"a": [1, 2.5]}), json!({"a": [1.0, 2.5]}), true),
            (json!({"a": [1, 2]}), json!({"a": [2, 1]}), false),
            (json!({"a": 0.1}), json!({"a": 0.100_000_001}), false),
            (json!({"a": 0.0}), json!({"a": -0.0}), false),
            (json!({"a": 9_007_199_254_740_993_u64}), json!({"a": 9_007_199_254_740_992.0}), false),
            (json!({"a": 1}), json!({"a": "1"}), false),
            (json!({"a": true}), json!({"a": 1}), false),
            (json!({"d": "2026-11-21T10:00:00Z"}), json!({"d": "2026-11-21T11:00:00+01:00"}), false),
            (json!({"o": {"x": 1, "y": null}}), json!({"o": {"x": 1.0}}), true),
            (json!({"o": {"x": 1}}), json!({"o": {"x": 1, "y": 2}}), false),
        ];
        for (stored, wanted, expected) in cases {
            let found = is_same(&object(&stored, &[]), &object(&wanted, &[]), &BTreeSet::new());
            assert_eq!(found, expected, "{stored} {wanted}");
        }
    }

    #[test]
    fn vectors_are_the_same_bit_by_bit_and_computed_ones_with_their_text() {
        let computed = BTreeSet::from(["text".to_owned()]);
        let one: (&str, &[f32]) = ("own", &[1.0, 0.0]);
        let text: (&str, &[f32]) = ("text", &[0.5]);
        let cases: [(&[_], &[_], bool); 9] = [
            (&[one, text], &[one], true),
            (&[one, text], &[one, text], true),
            (&[one, text], &[("own", &[1.0, -0.0])], false),
            (&[one, text], &[("own", &[1.0])], false),
            (&[one, text], &[], false),
            (&[text], &[one], false),
            (&[one], &[one], false),
            (&[one, text], &[one, ("text", &[0.6])], false),
            (&[one, text, ("other", &[1.0])], &[one], false),
        ];
        for (stored, wanted, expected) in cases {
            let (stored, wanted) = (object(&json!({}), stored), object(&json!({}), wanted));
            assert_eq!(is_same(&stored, &wanted, &computed), expected, "{stored:?} {wanted:?}");
        }
        let text = |text: &str| object(&json!({"content": text}), &[("text", &[0.5])]);
        let wanted = object(&json!({"content": "new"}), &[]);
        assert!(!is_same(&text("old"), &wanted, &computed));
        assert!(is_same(&text("new"), &wanted, &computed));
    }
}
