//! JSON numbers, read as the numbers that were written.
//!
//! The parser's own way of reading may miss a double by its last bit, and that of being exact can only be chosen by whoever
//! builds the whole program, as this one does. Parts are read exactly however it is built, and floats are not rounded twice:
//! numbers are read here once more, from their text, and by the standard library, which is exact for both.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde_json::value::RawValue;
use serde_json::{Error, Number, Value};

use crate::object::Vector;

/// Any value.
pub(super) fn value(text: &str) -> Result<Value, Error> {
    // The parser bounds the depth; and most values have no fractions.
    let value: Value = serde_json::from_str(text)?;
    if has_fractions(&value) { again(text) } else { Ok(value) }
}

fn has_fractions(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fractions),
        Value::Object(members) => members.values().any(has_fractions),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A value that was parsed before: it is no deeper than the parser allows.
fn again(text: &str) -> Result<Value, Error> {
    match text.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            items.into_iter().map(|item| again(item.get())).collect::<Result<_, _>>().map(Value::Array)
        }
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            let members = members.into_iter().map(|(name, member)| Ok((name, again(member.get())?)));
            members.collect::<Result<_, _>>().map(Value::Object)
        }
        _ => match serde_json::from_str(text)? {
            Value::Number(number) if number.is_f64() => double(text).map(Value::Number),
            value => Ok(value),
        },
    }
}

fn double(text: &str) -> Result<Number, Error> {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.ok_or_else(|| Error::custom(format_args!("{text} is no double")))
}

/// A vector: a list of numbers, or a list of such lists. One without anything in it does not say which it is.
pub(super) fn vector(text: &str, is_multi: bool) -> Result<Vector, Error> {
    let inner = inner(text)?;
    if inner.starts_with('[') || (inner.is_empty() && is_multi) {
        let lists: Vec<&RawValue> = serde_json::from_str(text)?;
        return lists.into_iter().map(|list| floats(list.get())).collect::<Result<_, _>>().map(Vector::Multi);
    }
    floats(text).map(Vector::Single)
}

/// The text is JSON, so that whatever stands between two commas and is a finite float was written as a number.
fn floats(text: &str) -> Result<Vec<f32>, Error> {
    let inner = inner(text)?;
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let float = |text: &str| {
        let number = text.trim().parse().ok().filter(|number: &f32| number.is_finite());
        number.ok_or_else(|| Error::custom("a vector has something else than floats"))
    };
    inner.split(',').map(float).collect()
}

fn inner(text: &str) -> Result<&str, Error> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.map(str::trim).ok_or_else(|| Error::custom("a vector is no list"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_vector_is_refused() {
        for text in ["1", "{}", "null", "[null]", "[\"1\"]", "[1e39]", "[[1],2]", "[1,[2]]", "[true]"] {
            assert!(vector(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn vectors_are_read_as_their_kind() {
        for (text, is_multi, wanted) in [
            ("[]", false, Vector::Single(vec![])),
            ("[]", true, Vector::Multi(vec![])),
            ("[ 0.1 , -2e-3 ]", false, Vector::Single(vec![0.1, -0.002])),
            ("[ [ ] , [ 1 ] ]", false, Vector::Multi(vec![vec![], vec![1.0]])),
        ] {
            assert_eq!(vector(text, is_multi).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn other_values_are_what_the_parser_says() {
        for text in ["null", "[1,-1,18446744073709551615,\"0.1\",{\"a\":[true,{}]}]", "\"a\"", "0.5", "-0.0"] {
            assert_eq!(value(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        for text in ["", "[0.5", "1e999", "nan"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubles_come_back_to_the_last_bit(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            let text = format!("{{\"a\":[{}]}}", Value::from(number));
            let back = value(&text).unwrap()["a"][0].as_f64().unwrap();
            prop_assert_eq!(back.to_bits(), number.to_bits());
        }
    }
}
