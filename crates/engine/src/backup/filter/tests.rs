use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Expression, Times};
use crate::object::Object;

fn class() -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({"properties": [
        property("repo", "text"), property("created_date", "date"), property("draft", "boolean"), property("count", "int"),
        property("price", "number"), property("tags", "text[]"), property("key", "uuid"), property("where", "geoCoordinates"),
        property("not", "text"), property("file", "blob"), property("sizes", "int[]"),
    ]})
}

fn object(properties: &Value) -> Object {
    Object { id: Uuid::from_u128(7), properties: properties.as_object().unwrap().clone(), vectors: [].into() }
}

/// What a text is printed as, and whether it is true of an object.
fn told(text: &str, properties: &Value) -> (String, bool) {
    let times =
        Times { created: "2024-05-01T00:00:00Z".parse().unwrap(), updated: "2024-06-01T00:00:00Z".parse().unwrap() };
    let expression: Expression = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let filter = expression.check(&class(), true).unwrap_or_else(|error| panic!("{text}: {error}"));
    (expression.to_string(), filter.holds(&object(properties), Some(times)))
}

#[test]
fn what_is_meant_and_how_it_is_printed() {
    let whole = json!({
        "repo": "a'b", "created_date": "2024-03-01T12:00:00+02:00", "draft": false, "count": 3, "price": 2.5,
        "tags": ["x", "yy"], "key": "00000000-0000-0000-0000-000000000009", "where": {"latitude": 1, "longitude": 2},
        "sizes": [1, 5],
    });
    for (text, printed, is_true) in [
        ("created_date > '2024-01-01' and (repo = 'x' or not draft)", "", true),
        (
            "created_date>'2024-03-01T09:59:59Z'AND created_date<'2024-03-01T10:00:01Z'",
            "created_date > '2024-03-01T09:59:59Z' and created_date < '2024-03-01T10:00:01Z'",
            true,
        ),
        ("created_date = '2024-03-01T10:00:00Z'", "", true),
        ("created_date = '2024-03-01'", "", false),
        ("repo == \"a'b\"", "repo = 'a''b'", true),
        ("repo <> 'a''b'", "repo != 'a''b'", false),
        ("not not repo = 'x'", "repo = 'x'", false),
        ("not (repo = 'x')", "repo != 'x'", true),
        ("((repo = 'x' or draft))", "repo = 'x' or draft", false),
        ("(draft or count = 3) and price >= 2.5", "", true),
        ("draft or (count = 3 and price > 2.5)", "", false),
        ("draft or (count = 3 or price > 2.5)", "draft or count = 3 or price > 2.5", true),
        ("not (draft and count = 3)", "", true),
        ("count > 2.5", "", true),
        ("count < 3.0", "", false),
        ("count >= 3", "", true),
        ("price = 25e-1", "price = 2.5", true),
        ("price <= -1", "", false),
        ("draft = true", "", false),
        ("draft != true", "", true),
        ("tags = 'yy'", "", true),
        ("tags contains 'x'", "tags = 'x'", true),
        ("tags not contains 'x'", "tags != 'x'", false),
        ("tags like 'y?'", "", true),
        ("sizes > 4", "", true),
        ("sizes > 5", "", false),
        ("repo in ('x', 'a''b')", "", true),
        ("count not in (1, 3)", "", false),
        ("repo like 'a*'", "", true),
        ("repo not like '*b*c'", "", true),
        ("`not` is null", "", true),
        ("where is not null", "", true),
        ("file IS NULL", "file is null", true),
        ("key > '00000000-0000-0000-0000-000000000008'", "", true),
        ("id = '00000000-0000-0000-0000-000000000007'", "", true),
        ("id in ('00000000-0000-0000-0000-000000000008')", "", false),
        ("_creationTime >= '2024-05-01' and not _lastUpdateTime < '2024-06-01'", "", true),
    ] {
        let printed = if printed.is_empty() { text } else { printed };
        assert_eq!(told(text, &whole), (printed.to_owned(), is_true), "{text}");
    }
}

#[test]
fn what_is_absent_equals_nothing() {
    for (text, is_true) in [
        ("repo = 'x'", false),
        ("repo != 'x'", true),
        ("not repo = 'x'", true),
        ("count < 5", false),
        ("not count < 5", true),
        ("draft", false),
        ("not draft", true),
        ("tags in ('a')", false),
        ("repo is null", true),
    ] {
        assert_eq!(told(text, &json!({})).1, is_true, "{text}");
        assert_eq!(told(text, &json!({"repo": null, "count": null, "draft": null, "tags": null})).1, is_true, "{text}");
        // What is of another type than the class says is as good as absent.
        if text != "repo is null" {
            assert_eq!(told(text, &json!({"repo": 1, "count": "1", "draft": "x", "tags": 2})).1, is_true, "{text}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_column() {
    for (text, column, words) in [
        ("", 1, "a property, `not` or `(` should stand here, not the end"),
        ("repo =", 7, "a number, `true`, `false` or a text"),
        ("repo = x", 8, "not `x`"),
        ("repo = 'x", 8, "' is never closed"),
        ("repo = 'ü' draft", 12, "`and`, `or` or the end should stand here, not `draft`"),
        ("(repo = 'x'", 12, "`)` should stand here, not the end"),
        ("repo = 'x' and", 15, "should stand here"),
        ("and", 1, "not `and`"),
        ("repo not 'x'", 10, "`in`, `like` or `contains`"),
        ("repo is 'x'", 9, "`null` should stand here"),
        ("repo in ()", 10, "should stand here, not `)`"),
        ("count = 1x", 9, "1x is no number"),
        ("count = 1e999", 9, "1e999 is no number"),
        ("repo; drop", 5, "';' means nothing here"),
        ("repo ! 'x'", 6, "'!' means nothing here"),
        // What only the class can tell.
        ("nothing = 1", 1, "no property `nothing`"),
        ("draft and Repo = 'x'", 11, "no property `Repo`"),
        ("repo = 1", 8, "`repo` is text: a text"),
        ("count = '1'", 9, "`count` is int: a number"),
        ("draft = 'true'", 9, "`true` or `false`"),
        ("draft < true", 1, "never less or more"),
        ("repo", 1, "`repo` is text, not boolean"),
        ("created_date > 'yesterday'", 16, "a time such as"),
        ("created_date > '2024-1-1'", 16, "a time such as"),
        ("created_date > '2024-02-30'", 16, "a time such as"),
        ("key = 'x'", 7, "an id should stand here"),
        ("where = 'x'", 1, "only `is null`"),
        ("count like '1*'", 1, "only texts are like something"),
        ("tags in ('a', 1)", 15, "`tags` is text[]: a text"),
    ] {
        let error = text.parse().and_then(|parsed: Expression| parsed.check(&class(), true)).unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.problem.contains(words), "{text}: {error}");
    }
    let expression: Expression = "draft and _creationTime > '2024-01-01'".parse().unwrap();
    assert!(expression.check(&class(), true).unwrap().asks_for_times());
    assert_eq!(expression.check(&class(), false).unwrap_err().column, 11);
}

#[test]
fn no_text_is_a_danger_to_the_stack() {
    let deep = format!("{}draft{}", "(".repeat(1_000), ")".repeat(1_000));
    assert!(deep.parse::<Expression>().unwrap_err().problem.contains("deeper"));
    let deep = format!("{}draft", "not ".repeat(1_000));
    assert!(deep.parse::<Expression>().unwrap_err().problem.contains("deeper"));
    let long = format!("repo = '{}'", "x".repeat(100_000));
    assert!(long.parse::<Expression>().unwrap_err().problem.contains("longer"));
    let wide = vec!["draft"; 5_000].join(" or ");
    assert!(wide.parse::<Expression>().is_ok());
}

#[test]
fn stars_and_question_marks() {
    for (pattern, text, matches) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "abc", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcb", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*b*", "abc", true),
        ("*a*a*", "aa", true),
        ("*a*a*", "a", false),
        ("ab*ba", "aba", false),
        ("?*?", "ü", false),
        ("?*?", "üö", true),
        ("a**b", "ab", true),
        ("*ab*ab", "abxab", true),
        ("*ab*ab", "aab", false),
    ] {
        assert_eq!(super::like::Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
    }
}

fn expression() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "[ -~ü']{0,6}".prop_map(|text: String| format!("'{}'", text.replace('\'', "''"))),
        any::<bool>().prop_map(|truth| truth.to_string()),
    ];
    let name =
        prop_oneof!["[a-z]{1,3}", "[ -~]{1,4}".prop_map(|text: String| format!("`{}`", text.replace('`', "``")))];
    let operator = proptest::sample::select(vec!["=", "!=", "<", "<=", ">", ">=", "like", "not like", "contains"]);
    let test = prop_oneof![
        (name.clone(), operator, literal.clone())
            .prop_map(|(name, operator, with)| format!("{name} {operator} {with}")),
        (name.clone(), proptest::collection::vec(literal, 1..4))
            .prop_map(|(name, list)| format!("{name} not in ({})", list.join(","))),
        name.prop_map(|name| format!("{name} is not null")),
    ];
    test.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| format!("({})", all.join(" and "))),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| format!("({})", all.join(" or "))),
            inner.prop_map(|one| format!("not ({one})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_means_the_same_and_is_printed_the_same(text in expression()) {
        // A name may be one of the language's own words by chance.
        let Ok(expression) = text.parse::<Expression>() else { return Ok(()) };
        let printed = expression.to_string();
        let again: Expression = printed.parse().map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        prop_assert_eq!(&again, &expression, "{} {}", text, printed);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~ü(')`]{0,40}") {
        let _ = text.parse::<Expression>();
    }
}
