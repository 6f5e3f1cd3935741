//! Properties as a script sees them, and what it left of them as values of the class's types.

use std::collections::BTreeMap;

use rhai::{Dynamic, Map};
use serde_json::Value;

use super::super::convert;
use crate::backup::references::type_text;
use crate::mapping::{DataType, Properties, Scalar};

/// Weaviate keeps whole numbers as doubles, which are exact up to here (2^53).
const WHOLE_NUMBERS: u64 = 1 << 53;
/// The same as a double.
const WHOLE_DOUBLES: f64 = 9_007_199_254_740_992.0;
/// How deep a value may be whose members the class does not know; JSON is parsed to 128.
const DEEPEST: usize = 64;

/// What the members of a `geoCoordinates` are.
const COORDINATES: [(&str, &str); 2] = [("latitude", "number"), ("longitude", "number")];
/// Those of a `phoneNumber`.
const PHONE: [(&str, &str); 7] = [
    ("input", "text"),
    ("defaultCountry", "text"),
    ("countryCode", "int"),
    ("national", "int"),
    ("internationalFormatted", "text"),
    ("nationalFormatted", "text"),
    ("valid", "boolean"),
];

/// The type of a value.
#[derive(Clone, Debug)]
struct Type {
    scalar: Scalar,
    is_list: bool,
    /// Of an object; `None`: any.
    members: Option<BTreeMap<String, Type>>,
}

/// The types of the properties of a class.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    seen: BTreeMap<String, Type>,
    /// Properties that scripts do not see, with their types.
    hidden: BTreeMap<String, String>,
}

/// A value that is not what its property wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Misfit(String);

impl Misfit {
    fn within(self, name: &str) -> Self {
        Self(format!("`{name}`: {}", self.0))
    }

    pub(super) fn into_words(self) -> String {
        self.0
    }
}

impl Types {
    pub(super) fn of_class(class: &Value) -> Self {
        let mut out = Self::default();
        for property in class["properties"].as_array().into_iter().flatten() {
            let Some(name) = property["name"].as_str() else { continue };
            match Type::of(property) {
                Some(kind) => drop(out.seen.insert(name.to_owned(), kind)),
                None => drop(out.hidden.insert(name.to_owned(), type_text(property))),
            }
        }
        out
    }

    /// Why a script cannot name this property, if so.
    pub(super) fn why_not(&self, name: &str) -> Option<String> {
        if self.seen.contains_key(name) {
            return None;
        }
        Some(match self.hidden.get(name) {
            Some(kind) => format!("`{name}` is {kind}, which scripts do not see: it stays as it is"),
            None => format!("the class has no property `{name}` at this step"),
        })
    }

    /// The properties as a script sees them; those that are absent are `()`.
    pub(super) fn given(&self, properties: &Properties) -> Map {
        let one = |(name, kind): (&String, &Type)| {
            let value = properties.get(name).map_or(Dynamic::UNIT, |value| kind.given(value));
            (name.as_str().into(), value)
        };
        self.seen.iter().map(one).collect()
    }

    /// Takes over what a script left. What it did not change is exactly as it was, and what it did not see stays.
    pub(super) fn take(&self, left: &Map, properties: &mut Properties) -> Result<(), Misfit> {
        for (name, value) in left {
            if !self.seen.contains_key(name.as_str()) && !value.is_unit() {
                let why = self.why_not(name).unwrap_or_default();
                return Err(Misfit(format!("{why}, and the script sets it")));
            }
        }
        for (name, kind) in &self.seen {
            let was = properties.get(name);
            let value = left.get(name.as_str()).map_or(Ok(None), |left| kind.taken(left, was));
            match value.map_err(|misfit| misfit.within(name))? {
                Some(value) => drop(properties.insert(name.clone(), value)),
                None => drop(properties.remove(name)),
            }
        }
        Ok(())
    }
}

impl Type {
    /// That of a property, or of a member of one; `None` for references and types that this version does not know.
    fn of(property: &Value) -> Option<Self> {
        let word = property["dataType"].get(0).unwrap_or(&property["dataType"]).as_str()?;
        let (scalar, is_list) = match DataType::parse(word) {
            DataType::One(scalar) => (scalar, false),
            DataType::List(scalar) => (scalar, true),
            DataType::Other => return None,
        };
        let fixed = |members: &[(&str, &str)]| -> Option<BTreeMap<String, Self>> {
            let member = |(name, word): &(&str, &str)| {
                Some(((*name).to_owned(), Self::of(&serde_json::json!({"dataType": [word]}))?))
            };
            members.iter().map(member).collect()
        };
        let members = match word.trim_end_matches("[]") {
            "geoCoordinates" => fixed(&COORDINATES),
            "phoneNumber" => fixed(&PHONE),
            "object" => property["nestedProperties"].as_array().and_then(|members| {
                // With one that is not known it is any object.
                let member = |member: &Value| Some((member["name"].as_str()?.to_owned(), Self::of(member)?));
                members.iter().map(member).collect()
            }),
            _ => None,
        };
        Some(Self { scalar, is_list, members })
    }

    fn item(&self) -> Self {
        Self { is_list: false, ..self.clone() }
    }

    fn given(&self, value: &Value) -> Dynamic {
        match (self.is_list, value) {
            (_, Value::Null) => Dynamic::UNIT,
            (true, Value::Array(items)) => {
                let item = self.item();
                Dynamic::from_array(items.iter().map(|value| item.given(value)).collect())
            }
            (false, Value::Object(members)) => self.given_object(members),
            (_, Value::Number(number)) => match (self.scalar, number.as_i64()) {
                (Scalar::Number, _) | (_, None) => number.as_f64().map_or(Dynamic::UNIT, Dynamic::from_float),
                (_, Some(whole)) => Dynamic::from_int(whole),
            },
            _ => natural(value),
        }
    }

    fn given_object(&self, members: &Properties) -> Dynamic {
        let mut out = Map::new();
        for (name, kind) in self.members.iter().flatten() {
            let value = members.get(name).map_or(Dynamic::UNIT, |value| kind.given(value));
            out.insert(name.as_str().into(), value);
        }
        for (name, value) in members {
            if !out.contains_key(name.as_str()) {
                out.insert(name.as_str().into(), natural(value));
            }
        }
        Dynamic::from_map(out)
    }

    /// What a script left of a value; `None` when nothing.
    fn taken(&self, left: &Dynamic, was: Option<&Value>) -> Result<Option<Value>, Misfit> {
        if let Some(was) = was
            && is_same(left, &self.given(was), 0)
        {
            return Ok(Some(was.clone()));
        }
        if left.is_unit() {
            return Ok(None);
        }
        if !self.is_list {
            return self.taken_one(left, was).map(Some);
        }
        let Ok(items) = left.as_array_ref() else { return Err(self.misfit(left)) };
        let item = self.item();
        let mut out = Vec::with_capacity(items.len());
        for (at, left) in items.iter().enumerate() {
            let was = was.and_then(|was| was.get(at));
            let value = if left.is_unit() { Err(item.misfit(left)) } else { item.taken_one(left, was) };
            out.push(value.map_err(|misfit| misfit.within(&at.to_string()))?);
        }
        Ok(Some(Value::Array(out)))
    }

    fn taken_one(&self, left: &Dynamic, was: Option<&Value>) -> Result<Value, Misfit> {
        if let Some(was) = was
            && is_same(left, &self.given(was), 0)
        {
            return Ok(was.clone());
        }
        let text = || left.as_immutable_string_ref().ok().map(|text| text.as_str().to_owned());
        let value = match self.scalar {
            Scalar::Text => text().or_else(|| left.as_char().ok().map(String::from)).map(Value::String),
            Scalar::Blob | Scalar::Date => text().map(Value::String),
            Scalar::Uuid => text().and_then(|text| text.parse::<uuid::Uuid>().ok()).map(|id| id.to_string().into()),
            Scalar::Int => left.as_int().ok().filter(|whole| whole.unsigned_abs() <= WHOLE_NUMBERS).map(Value::from),
            Scalar::Number => number(left),
            Scalar::Boolean => left.as_bool().ok().map(Value::Bool),
            Scalar::Object => return self.taken_object(left, was),
        };
        let value = value.ok_or_else(|| self.misfit(left))?;
        if convert::fits_one(self.scalar, &value) { Ok(value) } else { Err(self.misfit(left)) }
    }

    fn taken_object(&self, left: &Dynamic, was: Option<&Value>) -> Result<Value, Misfit> {
        let Ok(members) = left.as_map_ref() else { return Err(self.misfit(left)) };
        let Some(types) = &self.members else { return unnatural(left, 0).ok_or_else(|| self.misfit(left)) };
        let mut out = Properties::new();
        for (name, left) in members.iter() {
            let was = was.and_then(|was| was.get(name.as_str()));
            let value = match types.get(name.as_str()) {
                Some(kind) => kind.taken(left, was).map_err(|misfit| misfit.within(name))?,
                None if left.is_unit() => None,
                None if was.is_some_and(|was| is_same(left, &natural(was), 0)) => was.cloned(),
                None => return Err(Misfit(format!("there is no `{name}` in it"))),
            };
            out.extend(value.map(|value| (name.to_string(), value)));
        }
        Ok(Value::Object(out))
    }

    fn misfit(&self, left: &Dynamic) -> Misfit {
        let wanted = match self.scalar {
            Scalar::Text => "text",
            Scalar::Int => "int, which is a whole number up to 2^53",
            Scalar::Number => "number, which is finite",
            Scalar::Boolean => "boolean",
            Scalar::Date => "date, which is a text such as 2024-01-01T00:00:00Z",
            Scalar::Uuid => "uuid, which is a text",
            Scalar::Blob => "blob, which is a text in base64",
            Scalar::Object => "object, which is a map",
        };
        let list = if self.is_list { "a list of " } else { "" };
        Misfit(format!("the script left {} in it, and it is {list}{wanted}", word(left)))
    }
}

/// What people call the type of a value.
fn word(value: &Dynamic) -> &'static str {
    match value.type_name() {
        "()" => "nothing",
        "i64" => "a whole number",
        "f64" => "a number",
        "bool" => "a boolean",
        "string" => "a text",
        "char" => "a letter",
        "array" => "a list",
        "map" => "a map",
        _ => "something that is no value",
    }
}

/// A number as servers answer it: whole ones without a fraction.
fn number(left: &Dynamic) -> Option<Value> {
    if let Ok(whole) = left.as_int() {
        return (whole.unsigned_abs() <= WHOLE_NUMBERS).then(|| Value::from(whole));
    }
    let number = left.as_float().ok()?;
    let is_whole = number.fract() == 0.0 && number.abs() < WHOLE_DOUBLES;
    if is_whole {
        #[expect(clippy::cast_possible_truncation, reason = "the line above is the bound")]
        return Some(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// A value of which no type is known.
fn natural(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(truth) => Dynamic::from_bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Dynamic::from_int(whole),
            None => number.as_f64().map_or(Dynamic::UNIT, Dynamic::from_float),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Dynamic::from_array(items.iter().map(natural).collect()),
        Value::Object(members) => {
            Dynamic::from_map(members.iter().map(|(name, value)| (name.as_str().into(), natural(value))).collect())
        }
    }
}

/// The same the other way round; `None` for what no JSON is.
fn unnatural(value: &Dynamic, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    if value.is_unit() {
        return Some(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(Value::from(text.as_str()));
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(|item| unnatural(item, depth + 1)).collect::<Option<_>>().map(Value::Array);
    }
    if let Ok(members) = value.as_map_ref() {
        let member =
            |(name, value): (&rhai::Identifier, &Dynamic)| Some((name.to_string(), unnatural(value, depth + 1)?));
        return members.iter().map(member).collect::<Option<_>>().map(Value::Object);
    }
    let letter = value.as_char().ok().map(|letter| Value::from(letter.to_string()));
    letter.or_else(|| value.as_bool().ok().map(Value::Bool)).or_else(|| number(value))
}

/// Whether a value is still the one that was given, to the last bit.
fn is_same(left: &Dynamic, given: &Dynamic, depth: usize) -> bool {
    // Nothing that was given is as deep.
    if depth > DEEPEST * 2 || left.type_id() != given.type_id() {
        return false;
    }
    if let (Ok(left), Ok(given)) = (left.as_array_ref(), given.as_array_ref()) {
        return left.len() == given.len()
            && left.iter().zip(given.iter()).all(|(left, given)| is_same(left, given, depth + 1));
    }
    if let (Ok(left), Ok(given)) = (left.as_map_ref(), given.as_map_ref()) {
        let mut pairs = left.iter().zip(given.iter());
        return left.len() == given.len()
            && pairs.all(|((one, left), (other, given))| one == other && is_same(left, given, depth + 1));
    }
    if let (Ok(left), Ok(given)) = (left.as_immutable_string_ref(), given.as_immutable_string_ref()) {
        return left.as_str() == given.as_str();
    }
    if let (Ok(left), Ok(given)) = (left.as_float(), given.as_float()) {
        return left.to_bits() == given.to_bits();
    }
    let is_same_int = left.as_int().is_ok_and(|left| given.as_int() == Ok(left));
    left.is_unit() || is_same_int || left.as_bool().is_ok_and(|left| given.as_bool() == Ok(left))
}
