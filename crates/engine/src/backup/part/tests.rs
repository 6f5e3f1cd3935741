//! What goes into a part comes out of it, whatever it is.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::columns::Columns;
use super::super::digest::object_digest;
use super::super::manifest::DataFormat;
use super::{EncodeError, PartWriter, open};
use crate::object::{Object, Vector};

const FORMATS: [DataFormat; 4] =
    [DataFormat::Parquet, DataFormat::JsonlZstd, DataFormat::JsonlGzip, DataFormat::JsonlLz4];

fn class() -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({
        "properties": [
            property("text", "text"), property("int", "int"), property("number", "number"), property("yes", "boolean"),
            property("date", "date"), property("geo", "geoCoordinates"), property("nested", "object"),
            property("texts", "text[]"), property("ints", "int[]"), property("numbers", "number[]"),
            property("truths", "boolean[]"), property("dates", "date[]"), property("uuid", "uuid"),
            property("blob", "blob"), property("phone", "phoneNumber"), property("many", "object[]"),
        ],
        "vectorConfig": {"one": {}, "multi": {"vectorIndexConfig": {"multivector": {"enabled": true}}}},
        "vectorIndexConfig": {},
    })
}

fn columns() -> Arc<Columns> {
    Arc::new(Columns::of_class(&class()).unwrap())
}

fn round(objects: &[Object], data: DataFormat) -> Result<Vec<Object>, EncodeError> {
    let mut writer = PartWriter::new(data, &columns())?;
    objects.iter().try_for_each(|object| writer.push(object.clone()))?;
    let bytes = writer.finish()?.unwrap().bytes;
    Ok(open(bytes.into(), data, &columns()).unwrap().flat_map(|group| group.unwrap()).collect())
}

fn object(number: usize, properties: &Value) -> Object {
    let properties = properties.as_object().unwrap().clone();
    Object { id: Uuid::from_u128(number as u128 + 1), properties, vectors: [].into() }
}

#[test]
fn every_type_comes_back() {
    let objects = [
        json!({}),
        json!({"text": "ü\u{0}\n", "int": -9_007_199_254_740_993_i64, "number": 0.1, "yes": false, "uuid": "x", "blob": "aGk="}),
        json!({"number": 3, "geo": {"latitude": 52.52, "longitude": -0.5}, "nested": {"a": [1.5, {"b": null}]}}),
        json!({"date": "2026-11-29T16:15:53Z", "dates": ["2026-11-29T16:15:53.123456Z", "1600-01-01T00:00:00Z"]}),
        json!({"texts": [], "ints": [], "numbers": [], "truths": [], "dates": [], "many": []}),
        json!({"texts": ["a", ""], "ints": [1, -2], "numbers": [1, 2.5], "truths": [true, false], "many": [{"a": 1}, {}]}),
        json!({"phone": {"input": "030", "valid": true}}),
        // What no column can give back.
        json!({"date": "2026-11-29T16:15:53.123456789Z", "dates": ["2026-11-29T16:15:53+01:00"]}),
        json!({"text": 1, "int": 1.5, "number": "x", "yes": "no", "date": 5, "geo": {"latitude": 1}, "texts": "a", "ints": ["1"]}),
        json!({"text": ["a"], "int": [1], "numbers": [1, "2"], "geo": {"latitude": 1, "longitude": 2, "height": 3}}),
        json!({"number": -0.0, "numbers": [3.0, 1e300], "unknown": {"to": "the class"}}),
    ];
    let objects: Vec<_> = objects.iter().enumerate().map(|(number, it)| object(number, it)).collect();
    for data in FORMATS {
        for (was, is) in objects.iter().zip(round(&objects, data).unwrap()) {
            assert_eq!(*was, is, "{data:?}");
        }
    }
}

#[test]
fn null_is_absent() {
    let objects = [object(0, &json!({"text": null, "unknown": null, "int": 1}))];
    assert_eq!(round(&objects, DataFormat::Parquet).unwrap(), [object(0, &json!({"int": 1}))]);
    // A line may have it; objects are the same all the same.
    for data in FORMATS {
        let back = round(&objects, data).unwrap();
        assert_eq!(object_digest(&back[0]), object_digest(&object(0, &json!({"int": 1}))), "{data:?}");
    }
}

#[test]
fn vectors_that_do_not_fit_the_class_are_refused() {
    for (name, vector, words) in [
        ("other", Vector::Single(vec![1.0]), "`other` is not one of the class"),
        ("one", Vector::Multi(vec![]), "`one` is a list of vectors"),
        ("multi", Vector::Single(vec![]), "`multi` is one vector"),
    ] {
        let object = Object { vectors: [(name.to_owned(), vector)].into(), ..object(0, &json!({})) };
        let error = PartWriter::new(DataFormat::Parquet, &columns()).unwrap().push(object).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Also what is no number: bits are compared, not values.
fn numbers() -> impl Strategy<Value = Vec<f32>> {
    vec(any::<u32>().prop_map(f32::from_bits), 0..5)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        (0_i64..2_000_000_000).prop_map(|second| jiff::Timestamp::from_second(second).unwrap().to_string().into()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-c]", inner, 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Object> {
    let names = columns().properties.iter().map(|column| column.property.clone()).collect::<Vec<_>>();
    let name = proptest::sample::select(names);
    let vectors =
        (proptest::option::of(numbers()), proptest::option::of(numbers()), proptest::option::of(vec(numbers(), 0..3)));
    (btree_map(name, json_value(), 0..6), vectors).prop_map(|(properties, (unnamed, one, multi))| {
        let mut vectors = crate::object::Vectors::new();
        vectors.extend(unnamed.map(|it| (String::new(), Vector::Single(it))));
        vectors.extend(one.map(|it| ("one".to_owned(), Vector::Single(it))));
        vectors.extend(multi.map(|it| ("multi".to_owned(), Vector::Multi(it))));
        Object { id: Uuid::nil(), properties: properties.into_iter().collect(), vectors }
    })
}

/// JSON has no word for what is no number.
fn has_words(object: &Object) -> bool {
    let finite = |numbers: &Vec<f32>| numbers.iter().all(|number| number.is_finite());
    object.vectors.values().all(|vector| match vector {
        Vector::Single(numbers) => finite(numbers),
        Vector::Multi(lists) => lists.iter().all(finite),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_it_is_it_comes_back(mut objects in vec(any_object(), 1..12)) {
        for (number, object) in objects.iter_mut().enumerate() {
            object.id = Uuid::from_u128(number as u128);
        }
        for data in FORMATS {
            let is_written = data == DataFormat::Parquet || objects.iter().all(has_words);
            let back = round(&objects, data);
            prop_assert_eq!(is_written, back.is_ok(), "{:?} {:?}", data, back.err());
            let Ok(back) = back else { continue };
            prop_assert_eq!(objects.len(), back.len());
            for (was, is) in objects.iter().zip(&back) {
                prop_assert_eq!(&was.properties, &is.properties);
                prop_assert_eq!(object_digest(was), object_digest(is), "{:?} {:?} {:?}", data, was, is);
            }
        }
    }
}
