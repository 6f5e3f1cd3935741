//! The published format: its examples, its schema and the parser say the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use elysia_engine::line::parse;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::schema::Schema;

mod schema;

const ACCEPTED: &str = include_str!("../../../../docs/format/accepted.jsonl");
const REFUSED: &str = include_str!("../../../../docs/format/refused.jsonl");
const BEYOND_SCHEMA: &str = include_str!("../../../../docs/format/refused-beyond-schema.jsonl");
const SCHEMA: &str = include_str!("../../../../docs/format.schema.json");
const DOCUMENT: &str = include_str!("../../../../docs/format.md");

fn schema() -> Schema {
    Schema(serde_json::from_str(SCHEMA).unwrap())
}

/// What the two say of a line.
fn verdicts(schema: &Schema, line: &str) -> (bool, bool) {
    let by_schema = schema.is_valid(&serde_json::from_str(line).unwrap());
    (by_schema, parse(line.as_bytes()).is_ok())
}

#[test]
fn published_lines_are_judged_alike_by_schema_and_parser() {
    let schema = schema();
    for (lines, verdict) in [(ACCEPTED, (true, true)), (REFUSED, (false, false)), (BEYOND_SCHEMA, (true, false))] {
        for line in lines.lines() {
            assert_eq!(verdicts(&schema, line), verdict, "{line}\n{:?}", parse(line.as_bytes()));
        }
    }
}

#[test]
fn the_lines_in_the_document_are_valid() {
    let schema = schema();
    let lines = DOCUMENT.lines().filter(|line| line.starts_with("{\""));
    assert!(lines.clone().count() >= 4);
    for line in lines {
        assert_eq!(verdicts(&schema, line), (true, true), "{line}");
    }
}

#[test]
fn every_field_of_the_schema_is_in_the_document() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(DOCUMENT.contains(&format!("| `{field}` |")), "{field}");
    }
}

/// A field is absent, or one of these.
fn field(name: &'static str, values: &[Value]) -> impl Strategy<Value = Option<(&'static str, Value)>> + use<> {
    let some = values.iter().map(|value| Some((name, value.clone())));
    select([None, None].into_iter().chain(some).collect::<Vec<_>>())
}

fn any_line() -> impl Strategy<Value = String> {
    let fields = [
        field("v", &[json!(1), json!(1.0), json!(2), json!("1"), json!(null)]).boxed(),
        field("repo", &[json!("r"), json!("r"), json!("r"), json!("r"), json!(""), json!(null)]).boxed(),
        field("op", &[json!("add"), json!("modify"), json!("delete"), json!("rename"), json!("move")]).boxed(),
        field("path", &[json!("p"), json!("p"), json!("p"), json!("p"), json!("\0"), json!(1)]).boxed(),
        field("new_path", &[json!("q"), json!(null), json!("")]).boxed(),
        field("content", &[json!("x"), json!(""), json!(null), json!("\0"), json!({})]).boxed(),
        field("content_base64", &[json!("eA=="), json!(""), json!("eA"), json!(null), json!("eB==")]).boxed(),
        field("metadata", &[json!({"k": [1, {"l": null}]}), json!({}), json!(null), json!([])]).boxed(),
        field("vector", &[json!([1, 2.5]), json!([]), json!(null), json!([1e39]), json!([-3.4e38]), json!("1")])
            .boxed(),
        field("vectors", &[json!({"a": [1]}), json!({"a": [[1], [2]]}), json!({}), json!({"a": [[]]}), json!(null)])
            .boxed(),
        field("extra", &[json!(null)]).boxed(),
    ];
    let line = |fields: Vec<Option<(&str, Value)>>| {
        Value::Object(fields.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    fields.to_vec().prop_map(move |fields| line(fields).to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn whatever_the_fields_hold_schema_and_parser_agree(line in any_line()) {
        thread_local! {
            static SCHEMA: Schema = schema();
        }
        let (by_schema, by_parser) = SCHEMA.with(|schema| verdicts(schema, &line));
        prop_assert_eq!(by_schema, by_parser, "{} {:?}", line, parse(line.as_bytes()));
    }
}
