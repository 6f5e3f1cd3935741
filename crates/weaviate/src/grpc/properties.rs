//! JSON properties as the typed fields of the batch message.
//!
//! | JSON | field |
//! |---|---|
//! | `null` | left out: an absent property is null |
//! | text, number, boolean | `non_ref_properties`; every number is an f64 there, as it is in the server |
//! | `[]` | `empty_list_props`: the server takes the type from the schema |
//! | `["a", …]` | `text_array_properties`: dates and uuids too |
//! | `[true, …]` | `boolean_array_properties` |
//! | `[1, …]`, integers within i64 | `int_array_properties`: for `number[]` too, the server converts |
//! | `[1.5, …]`, any other numbers | `number_array_properties` |
//! | `{…}` | `object_properties`: nested objects, coordinates and phone numbers |
//! | `[{…}, …]` | `object_array_properties` |
//! | mixed arrays, arrays of arrays, arrays with `null` | refused: Weaviate has no such type |

use bytes::{BufMut, BytesMut};
use prost_types::value::Kind;
use prost_types::{Struct, Value as PlainValue};
use serde_json::{Map, Value};

use super::messages::{
    BooleanArray, IntArray, NestedObject, NestedObjectArray, NestedValue, NumberArray, Properties, TextArray,
};
use crate::error::WeaviateError;

/// The fields of one object, top level or nested.
pub(super) fn encode(properties: &Map<String, Value>) -> Result<NestedValue, WeaviateError> {
    let mut out = NestedValue::default();
    let mut plain = Struct::default();
    for (name, value) in properties {
        let kind = match value {
            Value::Null => continue,
            Value::Bool(boolean) => Kind::BoolValue(*boolean),
            Value::Number(number) => Kind::NumberValue(number.as_f64().ok_or_else(|| refuse(name, "not a number"))?),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Object(members) => {
                let value = encode(members).map_err(|error| below(name, error))?;
                out.objects.push(NestedObject { value: Some(value), prop_name: name.clone() });
                continue;
            }
            Value::Array(items) => {
                array(&mut out, name, items)?;
                continue;
            }
        };
        plain.fields.insert(name.clone(), PlainValue { kind: Some(kind) });
    }
    out.plain = (!plain.fields.is_empty()).then_some(plain);
    Ok(out)
}

/// The lists and nested objects of one object, without what is plain.
pub(super) fn encode_lists_and_objects(properties: &Map<String, Value>) -> Result<Properties, WeaviateError> {
    let mut out = NestedValue::default();
    for (name, value) in properties {
        match value {
            Value::Object(members) => {
                let value = encode(members).map_err(|error| below(name, error))?;
                out.objects.push(NestedObject { value: Some(value), prop_name: name.clone() });
            }
            Value::Array(items) => array(&mut out, name, items)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(out.into())
}

fn array(out: &mut NestedValue, name: &str, items: &[Value]) -> Result<(), WeaviateError> {
    let prop_name = name.to_owned();
    let mixed = || refuse(name, "an array of more than one type");
    match items.first() {
        None => out.empty_lists.push(prop_name),
        Some(Value::String(_)) => {
            let values = collect(items, |item| item.as_str().map(str::to_owned)).ok_or_else(mixed)?;
            out.text_arrays.push(TextArray { values, prop_name });
        }
        Some(Value::Bool(_)) => {
            let values = collect(items, Value::as_bool).ok_or_else(mixed)?;
            out.boolean_arrays.push(BooleanArray { values, prop_name });
        }
        Some(Value::Number(_)) => match collect(items, Value::as_i64) {
            Some(values) => out.int_arrays.push(IntArray { values, prop_name }),
            None => out.number_arrays.push(numbers(items, prop_name).ok_or_else(mixed)?),
        },
        Some(Value::Object(_)) => {
            let members = collect(items, Value::as_object).ok_or_else(mixed)?;
            let values = members.into_iter().map(encode).collect::<Result<_, _>>();
            let values = values.map_err(|error| below(name, error))?;
            out.object_arrays.push(NestedObjectArray { values, prop_name });
        }
        Some(Value::Null) => return Err(refuse(name, "an array with null")),
        Some(Value::Array(_)) => return Err(refuse(name, "an array of arrays")),
    }
    Ok(())
}

fn collect<'a, T>(items: &'a [Value], take: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    items.iter().map(take).collect()
}

fn numbers(items: &[Value], prop_name: String) -> Option<NumberArray> {
    let mut bytes = BytesMut::with_capacity(items.len() * size_of::<f64>());
    for item in items {
        bytes.put_f64_le(item.as_f64()?);
    }
    Some(NumberArray { prop_name, values_bytes: bytes.freeze() })
}

fn refuse(property: &str, reason: &'static str) -> WeaviateError {
    WeaviateError::Encode { property: property.to_owned(), reason }
}

fn below(name: &str, error: WeaviateError) -> WeaviateError {
    match error {
        WeaviateError::Encode { property, reason } => {
            WeaviateError::Encode { property: format!("{name}.{property}"), reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(value: &Value) -> Result<NestedValue, WeaviateError> {
        encode(value.as_object().expect("an object"))
    }

    #[test]
    fn every_kind_has_its_field() {
        let value = json!({
            "null": null, "text": "a", "number": 1.5, "yes": true, "none": [], "texts": ["a"], "flags": [true],
            "wholes": [1, -2], "reals": [1, 2.5], "nested": { "a": [1] }, "list": [{ "a": "x" }, {}],
        });
        let out = encoded(&value).expect("it encodes");
        let plain = out.plain.expect("plain fields");
        assert_eq!(plain.fields.keys().collect::<Vec<_>>(), ["number", "text", "yes"]);
        assert_eq!(out.empty_lists, ["none"]);
        assert_eq!(out.text_arrays[0].values, ["a"]);
        assert_eq!(out.boolean_arrays[0].values, [true]);
        assert_eq!(out.int_arrays[0].values, [1, -2]);
        assert_eq!(out.number_arrays[0].values_bytes.len(), 16);
        assert_eq!(out.objects[0].value.as_ref().expect("a value").int_arrays[0].prop_name, "a");
        assert_eq!(out.object_arrays[0].values.len(), 2);
    }

    #[test]
    fn what_weaviate_has_no_type_for_is_refused_by_its_path() {
        for (value, path) in [
            (json!({ "a": [1, "x"] }), "a"),
            (json!({ "a": [[1]] }), "a"),
            (json!({ "a": [null] }), "a"),
            (json!({ "a": { "b": [true, 1] } }), "a.b"),
        ] {
            match encoded(&value) {
                Err(WeaviateError::Encode { property, .. }) => assert_eq!(property, path),
                other => panic!("{value}: {other:?}"),
            }
        }
    }
}
