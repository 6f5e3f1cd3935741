use serde_json::{Value, json};
use uuid::Uuid;

use super::{Made, Select, Step, TargetType, Transformation, convert, identity};
use crate::object::Object;

fn class() -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({
        "class": "A",
        "properties": [
            {"name": "title", "dataType": ["text"], "tokenization": "word", "indexSearchable": true, "indexFilterable": true},
            property("count", "int"), property("tags", "text[]"), property("secret", "text"), property("owner", "uuid"),
            {"name": "nested", "dataType": ["object"], "nestedProperties": [{"name": "a", "dataType": ["text"]}]},
            property("at", "date"), property("where", "geoCoordinates"),
        ],
        "vectorConfig": {
            "one": {"vectorizer": {"text2vec-x": {"properties": ["title", "secret"], "model": "m"}}},
            "many": {"vectorizer": {"multi2vec-x": {
                "textFields": ["title", "secret"], "imageFields": ["tags"],
                "weights": {"textFields": [0.7, 0.2], "imageFields": [0.1]},
            }}},
        },
        "vectorizer": "text2vec-y", "moduleConfig": {"text2vec-y": {"sourceProperties": ["secret"]}, "generative-z": {}},
        "objectTtlConfig": {"deleteOn": "at"},
    })
}

fn steps(json: &Value) -> Vec<Step> {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn made(select: &Value, json: &Value, properties: &Value) -> Result<Made, super::Unconverted> {
    let select: Select = serde_json::from_value(select.clone()).unwrap();
    let transformation = Transformation::of(&class(), &select, &steps(json)).unwrap_or_else(|all| panic!("{all:?}"));
    let properties = properties.as_object().unwrap().clone();
    transformation.apply(Object { id: Uuid::from_u128(7), properties, vectors: [].into() }, None)
}

fn properties(made: Made) -> Option<Value> {
    match made {
        Made::Object { object, .. } => Some(Value::Object(object.properties)),
        Made::Unselected | Made::Skipped => None,
    }
}

#[test]
fn objects_follow_the_steps() {
    let object =
        json!({"title": "12", "count": 3, "tags": ["a", "bcdefg"], "secret": "4111 1111", "nested": {"a": "x"}});
    for (json, wanted) in [
        (json!([]), Some(object.clone())),
        (
            json!([{"rename": {"from": "title", "to": "name"}}, {"drop": {"property": "tags"}}]),
            Some(json!({"name": "12", "count": 3, "secret": "4111 1111", "nested": {"a": "x"}})),
        ),
        // One after the other: names may be exchanged.
        (
            json!([{"rename": {"from": "title", "to": "x"}}, {"rename": {"from": "secret", "to": "title"}},
                {"rename": {"from": "x", "to": "secret"}}, {"drop": {"property": "nested"}}, {"drop": {"property": "tags"}}]),
            Some(json!({"title": "4111 1111", "count": 3, "secret": "12"})),
        ),
        (
            json!([{"convert": {"property": "title", "to": "int"}}, {"convert": {"property": "count", "to": "text[]"}},
                {"convert": {"property": "nested", "to": "text"}}]),
            Some(
                json!({"title": 12, "count": ["3"], "tags": ["a", "bcdefg"], "secret": "4111 1111", "nested": "{\"a\":\"x\"}"}),
            ),
        ),
        (
            json!([{"set": {"property": "secret", "value": "-"}}, {"set": {"property": "nested", "value": null}},
                {"set": {"property": "at", "value": "2024-01-01T00:00:00Z"}}, {"drop": {"property": "tags"}}]),
            Some(json!({"title": "12", "count": 3, "secret": "-", "at": "2024-01-01T00:00:00Z"})),
        ),
        (
            json!([{"mask": {"property": "secret", "how": {"keepLast": {"characters": 4}}}},
                {"mask": {"property": "tags", "how": {"keepLast": {"characters": 4}}}},
                {"mask": {"property": "title", "how": {"redact": {}}}}, {"drop": {"property": "nested"}}]),
            Some(json!({"title": "[redacted]", "count": 3, "tags": ["*", "**defg"], "secret": "*****1111"})),
        ),
        (json!([{"where": {"filter": "count > 3"}}]), None),
        (
            json!([{"set": {"property": "count", "value": 4}}, {"where": {"filter": "count > 3"}}, {"drop": {"property": "count"}},
                {"drop": {"property": "nested"}}, {"drop": {"property": "tags"}}, {"drop": {"property": "secret"}}]),
            Some(json!({"title": "12"})),
        ),
    ] {
        assert_eq!(properties(made(&json!({}), &json, &object).unwrap()), wanted, "{json}");
    }
}

#[test]
fn hashes_are_the_same_for_the_same_and_need_the_salt() {
    let hash = |salt: &str, value: &Value| {
        let json = json!([{"mask": {"property": "tags", "how": {"hash": {"salt": salt}}}}]);
        properties(made(&json!({}), &json, &json!({"tags": [value, "y"]})).unwrap()).unwrap()["tags"][0].clone()
    };
    let one = hash("s", &json!("x"));
    assert_eq!((one.as_str().unwrap().len(), &one), (64, &hash("s", &json!("x"))));
    assert_ne!(one, hash("t", &json!("x")));
    assert_ne!(hash("ab", &json!("c")), hash("a", &json!("bc")));
    let id = hash("s", &json!("00000000-0000-0000-0000-000000000009"));
    assert_eq!(id.as_str().unwrap().parse::<Uuid>().unwrap().get_version_num(), 8);
    // What is no text must not get through either.
    let json = json!([{"mask": {"property": "secret", "how": {"redact": {}}}}]);
    assert_eq!(properties(made(&json!({}), &json, &json!({"secret": 4111})).unwrap()).unwrap(), json!({}));
    let shown = format!("{:?}", steps(&json!([{"mask": {"property": "a", "how": {"hash": {"salt": "pepper"}}}}])));
    assert!(!shown.contains("pepper"), "{shown}");
}

#[test]
fn selections() {
    let object = json!({"title": "12", "count": 3});
    for (select, wanted) in [
        (json!({"properties": ["title"]}), Some(json!({"title": "12"}))),
        (json!({"ids": [Uuid::from_u128(7)]}), Some(object.clone())),
        (json!({"ids": [Uuid::from_u128(8)]}), None),
        (json!({"ids": []}), None),
        // A filter may ask for what is not selected.
        (json!({"properties": ["title"], "filter": "count = 3"}), Some(json!({"title": "12"}))),
        (json!({"filter": "count != 3"}), None),
    ] {
        assert_eq!(properties(made(&select, &json!([]), &object).unwrap()), wanted, "{select}");
    }
    let select: Select = serde_json::from_value(json!({"ids": [Uuid::from_u128(7)], "tenants": ["a"]})).unwrap();
    let takes = |first, last| select.takes_ids(Uuid::from_u128(first), Uuid::from_u128(last));
    assert_eq!((takes(1, 7), takes(7, 9), takes(8, 9), takes(1, 6)), (true, true, false, false));
    assert_eq!((select.takes_tenant("a"), select.takes_tenant("b")), (true, false));
    assert!(Select::default().takes_tenant("b") && Select::default().takes_ids(Uuid::nil(), Uuid::nil()));
}

#[test]
fn values_that_cannot_be_converted_end_as_was_asked() {
    let json = |on_error: &str| json!([{"convert": {"property": "title", "to": "int", "onError": on_error}}]);
    let object = json!({"title": "twelve", "count": 3});
    let error = made(&json!({}), &json!([{"convert": {"property": "title", "to": "int"}}]), &object).unwrap_err();
    let wanted =
        super::Unconverted::Value { at: 1, id: Uuid::from_u128(7), property: "title".to_owned(), to: "int".to_owned() };
    assert_eq!(error, wanted);
    assert_eq!(made(&json!({}), &json("SkipObject"), &object).unwrap(), Made::Skipped);
    let Made::Object { object, dropped } = made(&json!({}), &json("DropProperty"), &object).unwrap() else { panic!() };
    assert_eq!((Value::Object(object.properties), dropped), (json!({"count": 3}), 1));
}

#[test]
fn conversions() {
    use TargetType as T;
    for (value, to, wanted) in [
        (json!(1.5), T::Text, Some(json!("1.5"))),
        (json!(true), T::Text, Some(json!("true"))),
        (json!({"a": 1}), T::Text, Some(json!("{\"a\":1}"))),
        (json!(" 12 "), T::Int, Some(json!(12))),
        (json!("1.5"), T::Int, None),
        (json!(3.0), T::Int, Some(json!(3))),
        (json!(1.5), T::Int, None),
        (json!(1e300), T::Int, None),
        (json!(true), T::Int, Some(json!(1))),
        (json!("0.1"), T::Number, Some(json!(0.1))),
        (json!("3.0"), T::Number, Some(json!(3))),
        (json!("1e3"), T::Number, Some(json!(1000))),
        (json!(3.0), T::Number, Some(json!(3))),
        // What a double holds of it.
        (json!("9007199254740993"), T::Number, Some(json!(9_007_199_254_740_992.0))),
        (json!("nan"), T::Number, None),
        (json!("inf"), T::Number, None),
        (json!(2), T::Number, Some(json!(2))),
        (json!("TRUE"), T::Boolean, Some(json!(true))),
        (json!("0"), T::Boolean, Some(json!(false))),
        (json!("yes"), T::Boolean, None),
        (json!(1), T::Boolean, Some(json!(true))),
        (json!(2), T::Boolean, None),
        (json!("2024-01-01"), T::Date, Some(json!("2024-01-01T00:00:00Z"))),
        (json!("2024-01-01T00:00:00+01:00"), T::Date, Some(json!("2024-01-01T00:00:00+01:00"))),
        (json!("1.1.2024"), T::Date, None),
        (json!("00000000000000000000000000000009"), T::Uuid, Some(json!("00000000-0000-0000-0000-000000000009"))),
        (json!("x"), T::Uuid, None),
        (json!("a"), T::Texts, Some(json!(["a"]))),
        (json!(["1", 2]), T::Ints, Some(json!([1, 2]))),
        (json!(["1", "x"]), T::Ints, None),
        (json!([]), T::Dates, Some(json!([]))),
        (json!(null), T::Int, Some(json!(null))),
    ] {
        assert_eq!(convert::converted(&value, to), wanted, "{value} {to}");
    }
}

#[test]
fn the_class_follows() {
    let shape = |json: &Value| Transformation::of(&class(), &Select::default(), &steps(json)).unwrap().class().clone();
    let renamed =
        shape(&json!([{"rename": {"from": "title", "to": "name"}}, {"rename": {"from": "at", "to": "until"}}]));
    assert_eq!(renamed["properties"][0]["name"], "name");
    assert_eq!(renamed["vectorConfig"]["one"]["vectorizer"]["text2vec-x"]["properties"], json!(["name", "secret"]));
    assert_eq!(renamed["vectorConfig"]["many"]["vectorizer"]["multi2vec-x"]["textFields"], json!(["name", "secret"]));
    assert_eq!(renamed["objectTtlConfig"]["deleteOn"], "until");

    let dropped = shape(&json!([{"drop": {"property": "secret"}}, {"drop": {"property": "at"}}]));
    assert_eq!(super::property_type(&dropped, "secret"), None);
    assert_eq!(
        dropped["vectorConfig"]["one"]["vectorizer"],
        json!({"text2vec-x": {"properties": ["title"], "model": "m"}})
    );
    let many = &dropped["vectorConfig"]["many"]["vectorizer"]["multi2vec-x"];
    assert_eq!(
        *many,
        json!({"textFields": ["title"], "imageFields": ["tags"],
        "weights": {"textFields": [0.7], "imageFields": [0.1]}})
    );
    // The unnamed vector was made from it alone: from then on nobody makes it.
    assert_eq!((&dropped["vectorizer"], &dropped["moduleConfig"]), (&json!("none"), &json!({"generative-z": {}})));
    assert_eq!(dropped.get("objectTtlConfig"), None);

    let both = shape(&json!([{"drop": {"property": "secret"}}, {"drop": {"property": "title"}}]));
    assert_eq!(both["vectorConfig"]["one"]["vectorizer"], json!({"none": {}}));
    assert!(both["vectorConfig"]["many"]["vectorizer"]["multi2vec-x"].get("textFields").is_none());

    let converted = shape(
        &json!([{"convert": {"property": "title", "to": "int"}}, {"convert": {"property": "nested", "to": "text"}}]),
    );
    assert_eq!(converted["properties"][0], json!({"name": "title", "dataType": ["int"], "indexFilterable": true}));
    assert_eq!(converted["properties"][5], json!({"name": "nested", "dataType": ["text"]}));
    assert_eq!(converted["vectorConfig"]["one"]["vectorizer"]["text2vec-x"]["properties"], json!(["secret"]));

    let select: Select = serde_json::from_value(json!({"properties": ["title", "count"]})).unwrap();
    let selected = Transformation::of(&class(), &select, &[]).unwrap().class().clone();
    assert_eq!(selected["properties"].as_array().unwrap().len(), 2);
}

#[test]
fn every_problem_is_told_by_its_word() {
    for (select, json, wanted) in [
        (json!({"properties": ["title", "nothing"]}), json!([]), vec![("unknownProperty", 0)]),
        (json!({"filter": "nothing = 1"}), json!([]), vec![("filter", 0)]),
        (json!({"filter": "_creationTime > '2024-01-01'"}), json!([]), vec![("filter", 0)]),
        (json!({}), json!([{"drop": {"property": "nothing"}}]), vec![("unknownProperty", 1)]),
        (
            json!({}),
            json!([{"drop": {"property": "title"}}, {"rename": {"from": "title", "to": "name"}}]),
            vec![("gone", 2)],
        ),
        (
            json!({}),
            json!([{"rename": {"from": "title", "to": "name"}}, {"drop": {"property": "title"}}]),
            vec![("gone", 2)],
        ),
        (json!({"properties": ["title"]}), json!([{"drop": {"property": "count"}}]), vec![("gone", 1)]),
        (json!({}), json!([{"rename": {"from": "title", "to": "COUNT"}}]), vec![("taken", 1)]),
        (json!({}), json!([{"rename": {"from": "title", "to": "a b"}}]), vec![("name", 1)]),
        (json!({}), json!([{"rename": {"from": "title", "to": "id"}}]), vec![("name", 1)]),
        (json!({}), json!([{"convert": {"property": "count", "to": "date"}}]), vec![("conversion", 1)]),
        (json!({}), json!([{"convert": {"property": "tags", "to": "text"}}]), vec![("conversion", 1)]),
        (json!({}), json!([{"convert": {"property": "where", "to": "number"}}]), vec![("conversion", 1)]),
        (json!({}), json!([{"set": {"property": "count", "value": "3"}}]), vec![("value", 1)]),
        (json!({}), json!([{"set": {"property": "tags", "value": "a"}}]), vec![("value", 1)]),
        (json!({}), json!([{"mask": {"property": "count", "how": {"redact": {}}}}]), vec![("mask", 1)]),
        (json!({}), json!([{"mask": {"property": "owner", "how": {"redact": {}}}}]), vec![("mask", 1)]),
        (json!({}), json!([{"drop": {"property": "count"}}, {"where": {"filter": "count = 1"}}]), vec![("filter", 2)]),
        // All of them, not the first.
        (
            json!({"filter": "x = 1"}),
            json!([{"drop": {"property": "y"}}, {"drop": {"property": "z"}}]),
            vec![("filter", 0), ("unknownProperty", 1), ("unknownProperty", 2)],
        ),
    ] {
        let select: Select = serde_json::from_value(select).unwrap();
        let problems = Transformation::of(&class(), &select, &steps(&json)).unwrap_err();
        let words: Vec<_> = problems.iter().map(|problem| serde_json::to_value(problem).unwrap()).collect();
        let words: Vec<_> = words
            .iter()
            .map(|it| (it["problem"].as_str().unwrap(), usize::try_from(it["at"].as_u64().unwrap()).unwrap()))
            .collect();
        assert_eq!(words, wanted, "{json}");
    }
    let gone = steps(&json!([{"drop": {"property": "title"}}, {"drop": {"property": "title"}}]));
    let problems = Transformation::of(&class(), &Select::default(), &gone).unwrap_err();
    assert_eq!(problems[0].to_string(), "transformation 2: `title` was dropped by transformation 1");
}

#[test]
fn another_selection_is_another_restore() {
    let all = identity(&Select::default(), &[]);
    let select = |json: Value| serde_json::from_value::<Select>(json).unwrap();
    let one = identity(&select(json!({"tenants": ["a"]})), &[]);
    let other = identity(&select(json!({"tenants": ["b"]})), &[]);
    let salted = |salt: &str| {
        identity(&Select::default(), &steps(&json!([{"mask": {"property": "a", "how": {"hash": {"salt": salt}}}}])))
    };
    assert_eq!(all, None);
    assert_ne!(one, other);
    assert_ne!(salted("a"), salted("b"));
    // However it is written, the same filter is the same restore.
    let written = |filter: &str| identity(&select(json!({"filter": filter})), &[]);
    assert_eq!(written("a = 1 AND b=2"), written("(a == 1) and b = 2"));
    assert!(serde_json::from_value::<Select>(json!({"tenant": ["a"]})).is_err(), "a word that is not known is refused");
}
