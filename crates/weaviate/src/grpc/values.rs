//! What a search answers, as the JSON that REST would answer: whole numbers without a fraction, nulls left out.

use serde_json::{Map, Number, Value, json};

use super::results::{GeoCoordinate, ListKind, PackedValues, PhoneNumber, ResultKind, ResultProperties, ResultValue};

/// Above this an f64 no longer holds every integer (`2^53`).
const WHOLE_NUMBERS: f64 = 9_007_199_254_740_992.0;

/// The properties of one object. `None` when the message is not what the protocol says.
pub(super) fn decode(properties: ResultProperties) -> Option<Map<String, Value>> {
    let mut out = Map::new();
    for (name, value) in properties.fields {
        match decode_value(value)? {
            Value::Null => {}
            value => drop(out.insert(name, value)),
        }
    }
    Some(out)
}

fn decode_value(value: ResultValue) -> Option<Value> {
    Some(match value.kind {
        None | Some(ResultKind::Null(_)) => Value::Null,
        Some(ResultKind::Number(value)) => number(value),
        Some(ResultKind::Boolean(value)) => Value::Bool(value),
        Some(ResultKind::Int(value)) => Value::from(value),
        Some(ResultKind::Date(text) | ResultKind::Uuid(text) | ResultKind::Blob(text) | ResultKind::Text(text)) => {
            Value::String(text)
        }
        Some(ResultKind::Object(properties)) => Value::Object(decode(properties)?),
        Some(ResultKind::Geo(geo)) => coordinates(geo),
        Some(ResultKind::Phone(phone)) => phone_number(phone),
        Some(ResultKind::List(list)) => decode_list(list.kind)?,
    })
}

fn decode_list(kind: Option<ListKind>) -> Option<Value> {
    let items = match kind {
        None => vec![],
        Some(ListKind::Numbers(packed)) => eights(&packed)?.map(|bytes| number(f64::from_le_bytes(bytes))).collect(),
        Some(ListKind::Ints(packed)) => eights(&packed)?.map(|bytes| Value::from(i64::from_le_bytes(bytes))).collect(),
        Some(ListKind::Booleans(list)) => list.values.into_iter().map(Value::Bool).collect(),
        Some(ListKind::Dates(list) | ListKind::Uuids(list) | ListKind::Texts(list)) => {
            list.values.into_iter().map(Value::String).collect()
        }
        Some(ListKind::Objects(list)) => {
            list.values.into_iter().map(|item| decode(item).map(Value::Object)).collect::<Option<_>>()?
        }
    };
    Some(Value::Array(items))
}

fn eights(packed: &PackedValues) -> Option<impl Iterator<Item = [u8; 8]>> {
    let (numbers, rest) = packed.values.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().copied())
}

/// Go writes `3`, not `3.0`, into JSON; so does this, or the same object would look different over the two protocols.
#[allow(clippy::cast_possible_truncation)] // the guard is the bound
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < WHOLE_NUMBERS && !(value == 0.0 && value.is_sign_negative()) {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// An f32 as its own shortest text, as Go writes it, not as the f64 nearest to it.
fn short(value: f32) -> Value {
    value.to_string().parse().map_or(Value::Null, number)
}

fn coordinates(geo: GeoCoordinate) -> Value {
    json!({ "latitude": short(geo.latitude), "longitude": short(geo.longitude) })
}

fn phone_number(phone: PhoneNumber) -> Value {
    let mut out = Map::new();
    let mut text = |name: &str, value: String| {
        if !value.is_empty() {
            out.insert(name.to_owned(), Value::String(value));
        }
    };
    text("defaultCountry", phone.default_country);
    text("input", phone.input);
    text("internationalFormatted", phone.international_formatted);
    text("nationalFormatted", phone.national_formatted);
    for (name, value) in [("countryCode", phone.country_code), ("national", phone.national)] {
        if value != 0 {
            out.insert(name.to_owned(), value.into());
        }
    }
    if phone.valid {
        out.insert("valid".to_owned(), true.into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_go_writes_them() {
        assert_eq!(number(3.0).to_string(), "3");
        assert_eq!(number(0.1).to_string(), "0.1");
        assert_eq!(number(-0.0).to_string(), "-0.0");
        assert_eq!(number(f64::NAN), Value::Null);
        assert_eq!(short(52.52).to_string(), "52.52");
    }
}
