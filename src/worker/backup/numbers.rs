//! Numbers of REST, brought to the form in which gRPC answers them: pure.
//!
//! Servers keep every number as a double. gRPC sends that double, or makes an integer of it for `int` (`mapping.go` of
//! 1.38.2). REST writes its shortest digits, without a fraction up to 1e21 (`encoding/json` of Go): `1e18` is answered as
//! `1000000000000000000`, which reads as an integer, and the `int` 1234567890123456768 as `1234567890123456800`. Whoever
//! compares an object of REST with one that was backed up by gRPC needs the same form of both.

use elysia_engine::mapping::Properties;
use serde_json::{Number, Value};

/// From here on a double does not hold every integer (`2^53`), and REST writes digits that are not the number's own.
const WHOLE_NUMBERS: f64 = 9_007_199_254_740_992.0;

/// The first double that is no 64-bit integer any more (`2^63`).
const NO_INTEGER: f64 = 9_223_372_036_854_775_808.0;

/// Brings the numbers of an object of this class, Weaviate's own JSON, to the form of gRPC.
pub(super) fn settle(class: &Value, properties: &mut Properties) {
    members(&class["properties"], properties);
}

/// `of`: the properties of a class, or the nested ones of a property.
fn members(of: &Value, values: &mut Properties) {
    for property in of.as_array().into_iter().flatten() {
        let Some(value) = property["name"].as_str().and_then(|name| values.get_mut(name)) else { continue };
        match property["dataType"][0].as_str() {
            Some("number" | "number[]") => each(value, &number),
            Some("int" | "int[]") => each(value, &int),
            Some("object" | "object[]") => each(value, &|value| {
                if let Value::Object(values) = value {
                    members(&property["nestedProperties"], values);
                }
            }),
            Some(_) | None => {}
        }
    }
}

/// A value, or each of a list of them.
fn each(value: &mut Value, change: &dyn Fn(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(change),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => change(value),
    }
}

/// A double that may have been written like an integer.
fn large(value: &Value) -> Option<f64> {
    value.as_f64().filter(|double| double.abs() >= WHOLE_NUMBERS)
}

fn number(value: &mut Value) {
    if let Some(double) = large(value).and_then(Number::from_f64) {
        *value = Value::Number(double);
    }
}

/// What is no integer any more becomes the lowest one, as servers make of it on amd64, and so stands in the backup.
fn int(value: &mut Value) {
    if let Some(double) = large(value) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "beyond 2^53 there are no fractions, and the guard is the bound"
        )]
        let whole = if double >= NO_INTEGER { i64::MIN } else { double as i64 };
        *value = whole.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_rest_become_those_of_grpc() {
        let class = json!({"properties": [
            {"name": "n", "dataType": ["number"]}, {"name": "ns", "dataType": ["number[]"]},
            {"name": "i", "dataType": ["int"]}, {"name": "is", "dataType": ["int[]"]}, {"name": "t", "dataType": ["text"]},
            {"name": "o", "dataType": ["object"], "nestedProperties": [
                {"name": "n", "dataType": ["number"]},
                {"name": "os", "dataType": ["object[]"], "nestedProperties": [{"name": "i", "dataType": ["int"]}]},
            ]},
        ]});
        for (what, rest, grpc) in [
            ("the last digit", r#"{"n": 0.9007199254740993}"#, json!({"n": 0.900_719_925_474_099_3})),
            ("whole ones stay whole", r#"{"n": 3, "i": -3}"#, json!({"n": 3, "i": -3})),
            ("the last that is told apart", r#"{"n": 9007199254740991}"#, json!({"n": 9_007_199_254_740_991_i64})),
            ("the first that is not", r#"{"n": 9007199254740992}"#, json!({"n": 9_007_199_254_740_992.0})),
            ("a large number", r#"{"n": 1000000000000000000}"#, json!({"n": 1e18})),
            ("a larger one", r#"{"n": -100000000000000000000}"#, json!({"n": -1e20})),
            ("beyond 1e21", r#"{"n": 1e+21}"#, json!({"n": 1e21})),
            ("a list", r#"{"ns": [1, 1000000000000000000]}"#, json!({"ns": [1, 1e18]})),
            ("a large int", r#"{"i": 1234567890123456800}"#, json!({"i": 1_234_567_890_123_456_768_i64})),
            ("ints", r#"{"is": [1, -1234567890123456800]}"#, json!({"is": [1, -1_234_567_890_123_456_768_i64]})),
            ("the largest", r#"{"i": 9223372036854776000}"#, json!({"i": i64::MIN})),
            ("the lowest", r#"{"i": -9223372036854776000}"#, json!({"i": i64::MIN})),
            (
                "nested ones",
                r#"{"o": {"n": 1000000000000000000, "os": [{"i": 1234567890123456800}, {}]}}"#,
                json!({"o": {"n": 1e18, "os": [{"i": 1_234_567_890_123_456_768_i64}, {}]}}),
            ),
            ("nothing", r#"{"n": null, "is": [], "o": null}"#, json!({"n": null, "is": [], "o": null})),
            (
                "what the class does not know",
                r#"{"x": 1000000000000000000}"#,
                json!({"x": 1_000_000_000_000_000_000_i64}),
            ),
            ("a text", r#"{"t": "1000000000000000000"}"#, json!({"t": "1000000000000000000"})),
        ] {
            let mut found: Properties = serde_json::from_str(rest).unwrap();
            settle(&class, &mut found);
            assert_eq!(Value::Object(found), grpc, "{what}");
        }
    }
}
