//! Values of one type as values of another.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use uuid::Uuid;

use crate::backup::filter;
use crate::mapping::{DataType, Scalar};

/// What a property can be converted to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum TargetType {
    /// Text.
    #[serde(rename = "text")]
    Text,
    /// A whole number.
    #[serde(rename = "int")]
    Int,
    /// A number.
    #[serde(rename = "number")]
    Number,
    /// True or false.
    #[serde(rename = "boolean")]
    Boolean,
    /// A time.
    #[serde(rename = "date")]
    Date,
    /// An id.
    #[serde(rename = "uuid")]
    Uuid,
    /// Texts.
    #[serde(rename = "text[]")]
    Texts,
    /// Whole numbers.
    #[serde(rename = "int[]")]
    Ints,
    /// Numbers.
    #[serde(rename = "number[]")]
    Numbers,
    /// Truths.
    #[serde(rename = "boolean[]")]
    Booleans,
    /// Times.
    #[serde(rename = "date[]")]
    Dates,
    /// Ids.
    #[serde(rename = "uuid[]")]
    Uuids,
}

impl TargetType {
    fn scalar(self) -> Scalar {
        match self {
            Self::Text | Self::Texts => Scalar::Text,
            Self::Int | Self::Ints => Scalar::Int,
            Self::Number | Self::Numbers => Scalar::Number,
            Self::Boolean | Self::Booleans => Scalar::Boolean,
            Self::Date | Self::Dates => Scalar::Date,
            Self::Uuid | Self::Uuids => Scalar::Uuid,
        }
    }

    fn is_list(self) -> bool {
        match self {
            Self::Text | Self::Int | Self::Number | Self::Boolean | Self::Date | Self::Uuid => false,
            Self::Texts | Self::Ints | Self::Numbers | Self::Booleans | Self::Dates | Self::Uuids => true,
        }
    }
}

impl fmt::Display for TargetType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.scalar() {
            Scalar::Int => "int",
            Scalar::Number => "number",
            Scalar::Boolean => "boolean",
            Scalar::Date => "date",
            Scalar::Uuid => "uuid",
            Scalar::Text | Scalar::Blob | Scalar::Object => "text",
        };
        write!(formatter, "{word}{}", if self.is_list() { "[]" } else { "" })
    }
}

/// Above this a double no longer holds every integer (2^53).
const WHOLE_NUMBERS: f64 = 9_007_199_254_740_992.0;

/// Whether any value of this type can be one of that.
pub(super) fn can_be(from: &str, to: TargetType) -> bool {
    let (from, is_list) = match DataType::parse(from) {
        DataType::One(scalar) => (scalar, false),
        DataType::List(scalar) => (scalar, true),
        DataType::Other => return false,
    };
    // Which one of a list would it be?
    if is_list && !to.is_list() {
        return false;
    }
    match (from, to.scalar()) {
        // Everything has a text, a blob its base64, an object its JSON; and a text may say anything.
        (_, Scalar::Text)
        | (Scalar::Text, Scalar::Int | Scalar::Number | Scalar::Boolean | Scalar::Date | Scalar::Uuid)
        | (Scalar::Int | Scalar::Number | Scalar::Boolean, Scalar::Int | Scalar::Number | Scalar::Boolean)
        | (Scalar::Date, Scalar::Date)
        | (Scalar::Uuid, Scalar::Uuid) => true,
        // A number is no time: nobody says in which unit, and since when.
        _ => false,
    }
}

/// A value, converted; `None` when it cannot be. `null` stays.
pub(super) fn converted(value: &Value, to: TargetType) -> Option<Value> {
    match value {
        Value::Null => Some(Value::Null),
        Value::Array(items) if to.is_list() => {
            items.iter().map(|item| one(item, to.scalar())).collect::<Option<_>>().map(Value::Array)
        }
        plain if to.is_list() => one(plain, to.scalar()).map(|value| Value::Array(vec![value])),
        plain => one(plain, to.scalar()),
    }
}

fn one(value: &Value, to: Scalar) -> Option<Value> {
    match to {
        Scalar::Text => text(value).map(Value::String),
        Scalar::Int => int(value).map(Value::from),
        Scalar::Number => number(value).map(Value::Number),
        Scalar::Boolean => boolean(value).map(Value::Bool),
        Scalar::Date => filter::date(value.as_str()?.trim()).map(|_| day(value)),
        Scalar::Uuid => value.as_str()?.trim().parse::<Uuid>().ok().map(|id| Value::String(id.to_string())),
        Scalar::Blob | Scalar::Object => None,
    }
}

/// A time that was written with its offset stays as it is written; a day becomes its beginning in UTC.
fn day(value: &Value) -> Value {
    let text = value.as_str().unwrap_or_default().trim();
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Value::String(text.to_owned());
    }
    filter::date(text).map_or(Value::Null, |at| Value::String(at.to_string()))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < WHOLE_NUMBERS)?;
            #[expect(clippy::cast_possible_truncation, reason = "the filter is the bound")]
            Some(whole as i64)
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As servers answer it: whole ones without a fraction, or what is read back would not be what was written.
fn number(value: &Value) -> Option<Number> {
    let double = match value {
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let is_whole = double.fract() == 0.0 && double.abs() < WHOLE_NUMBERS;
    if is_whole && !(double == 0.0 && double.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "the guard is the bound")]
        return Some((double as i64).into());
    }
    Number::from_f64(double)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        Value::Number(_) => match int(value) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) | None => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value is one of this type, as a server takes it.
pub(super) fn fits(data_type: &str, value: &Value) -> bool {
    match (DataType::parse(data_type), value) {
        (DataType::One(scalar), value) => fits_one(scalar, value),
        (DataType::List(scalar), Value::Array(items)) => items.iter().all(|item| fits_one(scalar, item)),
        (DataType::List(_) | DataType::Other, _) => false,
    }
}

pub(super) fn fits_one(scalar: Scalar, value: &Value) -> bool {
    match scalar {
        Scalar::Text | Scalar::Blob => value.is_string(),
        Scalar::Int => value.is_i64(),
        Scalar::Number => value.is_number(),
        Scalar::Boolean => value.is_boolean(),
        Scalar::Date => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        Scalar::Uuid => value.as_str().is_some_and(|text| text.parse::<Uuid>().is_ok()),
        Scalar::Object => value.is_object(),
    }
}
