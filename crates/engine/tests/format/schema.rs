//! As much of JSON Schema as the published schema uses. A keyword beyond that is a panic, never passed over.

use regex::Regex;
use serde_json::{Map, Value};

/// A schema with its definitions.
pub(crate) struct Schema(pub(crate) Value);

/// What says nothing about a value, or is read by another keyword's arm.
const NO_RULES: [&str; 10] =
    ["$schema", "$id", "$defs", "title", "description", "contentEncoding", "then", "else", "format", "$comment"];

impl Schema {
    pub(crate) fn is_valid(&self, value: &Value) -> bool {
        self.holds(&self.0, value)
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let rules = schema.as_object().unwrap();
        rules
            .iter()
            .all(|(keyword, rule)| NO_RULES.contains(&keyword.as_str()) || self.rule(rules, keyword, rule, value))
    }

    /// A rule about one type of value holds for values of all others.
    fn rule(&self, rules: &Map<String, Value>, keyword: &str, rule: &Value, value: &Value) -> bool {
        let all = |rule: &Value| rule.as_array().unwrap().clone();
        match (keyword, value) {
            ("$ref", _) => {
                let definition = rule.as_str().unwrap().strip_prefix('#').unwrap();
                self.holds(self.0.pointer(definition).unwrap(), value)
            }
            ("type", _) => match rule {
                Value::String(word) => is_of(word, value),
                words => all(words).iter().any(|word| is_of(word.as_str().unwrap(), value)),
            },
            ("enum", _) => all(rule).iter().any(|one| is_same(one, value)),
            ("const", _) => is_same(rule, value),
            ("allOf", _) => all(rule).iter().all(|one| self.holds(one, value)),
            ("anyOf", _) => all(rule).iter().any(|one| self.holds(one, value)),
            ("not", _) => !self.holds(rule, value),
            ("if", _) => {
                let branch = if self.holds(rule, value) { "then" } else { "else" };
                rules.get(branch).is_none_or(|branch| self.holds(branch, value))
            }
            ("pattern", Value::String(text)) => Regex::new(rule.as_str().unwrap()).unwrap().is_match(text),
            ("minLength", Value::String(text)) => text.chars().count() as u64 >= rule.as_u64().unwrap(),
            ("exclusiveMinimum", Value::Number(number)) => number.as_f64() > rule.as_f64(),
            ("exclusiveMaximum", Value::Number(number)) => number.as_f64() < rule.as_f64(),
            ("minItems", Value::Array(items)) => items.len() as u64 >= rule.as_u64().unwrap(),
            ("maxItems", Value::Array(items)) => items.len() as u64 <= rule.as_u64().unwrap(),
            ("items", Value::Array(items)) => items.iter().all(|item| self.holds(rule, item)),
            ("required", Value::Object(members)) => {
                all(rule).iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }
            ("minProperties", Value::Object(members)) => members.len() as u64 >= rule.as_u64().unwrap(),
            ("propertyNames", Value::Object(members)) => {
                members.keys().all(|name| self.holds(rule, &Value::String(name.clone())))
            }
            ("properties", Value::Object(members)) => {
                let rules = rule.as_object().unwrap();
                members.iter().all(|(name, value)| rules.get(name).is_none_or(|rule| self.holds(rule, value)))
            }
            ("additionalProperties", Value::Object(members)) => {
                let known = rules.get("properties").and_then(Value::as_object);
                let others = members.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                let mut others = others.map(|(_, value)| value);
                match rule {
                    Value::Bool(allowed) => *allowed || others.next().is_none(),
                    rule => others.all(|value| self.holds(rule, value)),
                }
            }
            (
                "pattern"
                | "minLength"
                | "exclusiveMinimum"
                | "exclusiveMaximum"
                | "minItems"
                | "maxItems"
                | "items"
                | "required"
                | "minProperties"
                | "propertyNames"
                | "properties"
                | "additionalProperties",
                _,
            ) => true,
            (keyword, _) => panic!("the schema has the keyword {keyword}, of which this test knows nothing"),
        }
    }
}

fn is_of(word: &str, value: &Value) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the schema has the type {other}, of which this test knows nothing"),
    }
}

/// Numbers are the same when their value is, however they are written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}
