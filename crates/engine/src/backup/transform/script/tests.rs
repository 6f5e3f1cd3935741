use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{Made, Select, Step, Transformation, Unconverted, identity};
use super::{ALL_SOURCES, LARGEST_SOURCE, check, told};
use crate::object::{Object, Vector};

fn class() -> Value {
    let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
    json!({"class": "A", "properties": [
        property("title", "text"), property("count", "int"), property("price", "number"), property("done", "boolean"),
        property("at", "date"), property("owner", "uuid"), property("picture", "blob"), property("where", "geoCoordinates"),
        property("phone", "phoneNumber"), property("tags", "text[]"), property("counts", "int[]"),
        property("prices", "number[]"), property("by", "Person"), property("odd", "teapot"),
        {"name": "nested", "dataType": ["object"], "nestedProperties": [
            property("a", "text"), property("n", "number"), property("deep", "text[]"),
        ]},
        {"name": "parts", "dataType": ["object[]"], "nestedProperties": [property("n", "number")]},
    ]})
}

/// One of each type, and in each the number that JSON writes otherwise than doubles are written.
fn everything() -> Value {
    json!({
        "title": "Zürich", "count": 3, "price": 3, "done": false, "at": "2024-01-01T00:00:00+01:00",
        "owner": "00000000-0000-0000-0000-000000000009", "picture": "AAEC", "where": {"latitude": 52, "longitude": 13.4},
        "phone": {"input": "030 1", "national": 301, "valid": true, "more": null}, "tags": ["b", "a"], "counts": [1, -2],
        "prices": [1, 0.1, 9_007_199_254_740_993_i64], "by": [{"beacon": "weaviate://localhost/Person/x"}], "odd": {"x": [1]},
        "nested": {"a": "x", "n": 3, "deep": ["y"]}, "parts": [{"n": 1}, {"n": 0.5}], "unknown": 7,
    })
}

fn steps(json: &Value) -> Vec<Step> {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn object(properties: &Value) -> Object {
    let properties = properties.as_object().unwrap().clone();
    Object { id: Uuid::from_u128(7), properties, vectors: [(String::new(), Vector::Single(vec![0.5]))].into() }
}

fn transformation(json: &Value) -> Result<Transformation, String> {
    Transformation::of(&class(), &Select::default(), &steps(json))
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn run(source: &str, properties: &Value) -> Result<Value, String> {
    let one = transformation(&json!([{"script": {"source": source}}]))?;
    match one.with_stack(|| one.apply(object(properties), Some("acme"))).map_err(|error| error.to_string())? {
        Made::Object { object: made, dropped: 0 } => {
            assert_eq!(made.vectors, object(properties).vectors);
            Ok(Value::Object(made.properties))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_script_does_not_touch_is_exactly_as_it_was() {
    let all = everything();
    for source in [
        "",
        "let all = object; object = #{}; object = all;",
        "object.title = object.title;",
        "object.title = object.title.to_upper().to_lower(); object.title = \"Zürich\";",
        "object.prices.push(1.5); object.prices.pop();",
        "object.nested.n += 1.0; object.nested.n -= 1.0;",
        "for part in object.parts { part.n = 9.0; }",
    ] {
        assert_eq!(run(source, &all).unwrap(), all, "{source}");
    }
    // Beside something that is changed as well.
    let mut wanted = all.clone();
    wanted["nested"]["a"] = json!("z");
    wanted["prices"][1] = json!(0.2);
    wanted["parts"][1]["n"] = json!(2);
    let source = "object.nested.a = \"z\"; object.prices[1] = 0.2; object.parts[1].n = 2.0;";
    assert_eq!(run(source, &all).unwrap(), wanted);
    assert_eq!(
        run("object.title = ();", &json!({"title": null, "count": null})).unwrap(),
        json!({"title": null, "count": null})
    );
}

#[test]
fn scripts_see_and_set_values_by_the_types_of_the_class() {
    for (source, before, after) in [
        ("object.title = object.title.to_upper();", json!({"title": "a"}), json!({"title": "A"})),
        ("object.title = object.title[0];", json!({"title": "über"}), json!({"title": "ü"})),
        ("if object.price == () { object.price = 0.0; }", json!({}), json!({"price": 0})),
        ("object.price = object.price / 2;", json!({"price": 3}), json!({"price": 1.5})),
        ("object.price = 3;", json!({}), json!({"price": 3})),
        ("object.count = object.count / 2;", json!({"count": 3}), json!({"count": 1})),
        ("object.count = object.title.parse_int();", json!({"title": "-12"}), json!({"title": "-12", "count": -12})),
        ("object.count = object.price.round().to_int();", json!({"price": 2.5}), json!({"price": 2.5, "count": 3})),
        ("object.title = ();", json!({"title": "a", "count": 1}), json!({"count": 1})),
        ("object.remove(\"title\");", json!({"title": "a", "count": 1}), json!({"count": 1})),
        ("object = #{count: 2};", json!({"title": "a", "by": [], "odd": 1}), json!({"count": 2, "by": [], "odd": 1})),
        ("object.title = id;", json!({}), json!({"title": "00000000-0000-0000-0000-000000000007"})),
        ("object.title = tenant;", json!({}), json!({"title": "acme"})),
        ("object.owner = id.to_upper();", json!({}), json!({"owner": "00000000-0000-0000-0000-000000000007"})),
        ("object.at = \"2024-01-01T00:00:00Z\";", json!({}), json!({"at": "2024-01-01T00:00:00Z"})),
        ("object.done = object.tags.len() > 1;", json!({"tags": ["a"]}), json!({"tags": ["a"], "done": false})),
        (
            "object.tags = object.tags.filter(|tag| tag != \"\"); object.tags.sort();",
            json!({"tags": ["b", "", "a"]}),
            json!({"tags": ["a", "b"]}),
        ),
        ("object.prices = [1, 2.5];", json!({}), json!({"prices": [1, 2.5]})),
        (
            "object.where = #{latitude: 1, longitude: 2.5};",
            json!({}),
            json!({"where": {"latitude": 1, "longitude": 2.5}}),
        ),
        ("object.nested = #{a: \"x\"};", json!({}), json!({"nested": {"a": "x"}})),
        ("object.title = object.nested.a ?? \"none\";", json!({"nested": {}}), json!({"nested": {}, "title": "none"})),
        ("object[\"title\"] = \"x\";", json!({}), json!({"title": "x"})),
        (
            "fn longest(texts) { let found = \"\"; for text in texts { if text.len() > found.len() { found = text; } } found }\n\
             object.title = longest(object.tags);",
            json!({"tags": ["a", "ccc", "bb"]}),
            json!({"tags": ["a", "ccc", "bb"], "title": "ccc"}),
        ),
        (
            "switch object.title { \"a\" => object.count = 1, _ => object.count = 2 }",
            json!({"title": "a"}),
            json!({"title": "a", "count": 1}),
        ),
    ] {
        assert_eq!(run(source, &before), Ok(after), "{source}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_before_anything_is_run() {
    for (source, wrong) in [
        ("object.title = ;", "line 1, column 16: "),
        ("let x = 1;\nobject.title = y;", "line 2, column 16: Undefined variable: y"),
        ("object.title = now();", "line 1, column 16: there is no function `now` in scripts"),
        ("object.titel = 1;", "line 1, column 8: the class has no property `titel` at this step"),
        ("object[\"titel\"] = 1;", "column 8: the class has no property `titel`"),
        ("object.by = [];", "`by` is Person, which scripts do not see: it stays as it is"),
        ("object.odd = 1;", "`odd` is teapot"),
        ("id = \"x\";", "line 1, column 1: `id` is there already and stays what it is"),
        ("tenant += \"x\";", "`tenant` is there already"),
        ("let object = 1;", "line 1, column 5: `object` is there already"),
        ("eval(\"1\");", "eval"),
        ("Fn(\"sleep\").call(1);", "Fn"),
        ("import \"x\" as x;", "import"),
        ("print(1);", "there is no function `print` in scripts"),
        ("sleep(1);", "there is no function `sleep`"),
        ("timestamp();", "timestamp"),
        ("object.price = 2.0 ** 0.5;", "**"),
        ("object.price = object.price.sin();", "there is no function `sin`"),
        ("object.tags.sort(|a, b| a < b);", "`sort` takes no function here"),
        (
            "fn f() { object.title }\nf();",
            "line 1, column 10: a function sees its arguments alone: give it `object` as one",
        ),
        ("object.tags = object.tags.filter(|tag| tag != object.title);", "give it `object` as one"),
        ("let most = 1; object.tags = object.tags.filter(|tag| tag.len() < most);", "Undefined variable: most"),
        ("[1].map(|x| frobnicate(x));", "there is no function `frobnicate`"),
    ] {
        let error = run(source, &everything()).unwrap_err();
        assert!(error.starts_with("transformation 1: the script cannot be run: "), "{source}: {error}");
        assert!(error.contains(wrong), "{source}: {error}");
    }
    // All of it, with what other steps have; and as the steps before leave the class.
    let error = transformation(&json!([
        {"rename": {"from": "title", "to": "name"}},
        {"script": {"source": "object.title = now();\nobject.count = later();"}},
        {"drop": {"property": "nothing"}},
        {"script": {"source": "object.name = \"x\";"}},
    ]));
    assert_eq!(
        error.unwrap_err(),
        "transformation 2: the script cannot be run: line 1, column 8: the class has no property `title` at this step; \
         line 1, column 16: there is no function `now` in scripts; line 2, column 16: there is no function `later` in scripts\n\
         transformation 3: the backup has no property `nothing`"
    );
    assert!(told(&check("object.anything = 1; x").unwrap_err()).contains("Undefined variable: x"));
    assert_eq!(check("object.anything = 1;"), Ok(()));
}

#[test]
fn what_a_script_leaves_is_of_the_types_of_the_class() {
    for (source, wrong) in [
        (
            "object.count = 1.5;",
            "`count`: the script left a number in it, and it is int, which is a whole number up to 2^53",
        ),
        ("object.count = 9007199254740993;", "`count`: the script left a whole number in it"),
        ("object.price = \"1\";", "`price`: the script left a text in it, and it is number"),
        ("object.price = 1.0 / 0.0;", "number, which is finite"),
        ("object.title = 1;", "`title`: the script left a whole number in it, and it is text"),
        ("object.done = \"true\";", "boolean"),
        ("object.at = \"yesterday\";", "`at`: the script left a text in it, and it is date, which is a text such as"),
        ("object.owner = \"x\";", "uuid"),
        ("object.tags = \"a\";", "`tags`: the script left a text in it, and it is a list of text"),
        ("object.tags[1] = 1;", "`tags`: `1`: the script left a whole number in it"),
        ("object.tags.push(());", "`tags`: `2`: the script left nothing in it"),
        ("object.nested.b = 1;", "`nested`: there is no `b` in it"),
        ("object.nested.n = \"x\";", "`nested`: `n`: the script left a text in it"),
        ("object.nested = 1;", "`nested`: the script left a whole number in it, and it is object, which is a map"),
        ("object += #{titel: 1};", "the class has no property `titel` at this step, and the script sets it"),
        ("object = 1;", "it made something else than a map of `object`"),
        ("object.title = |x| x;", "something that is no value"),
        ("false", "its last value is false, which leaves an object out: say `leavesOut: true` if that is meant"),
    ] {
        let error = run(source, &everything()).unwrap_err();
        let begin = "transformation 1: the script ended at object 00000000-0000-0000-0000-000000000007: ";
        assert!(error.starts_with(begin) && error.contains(wrong), "{source}: {error}");
        assert!(error.contains("`onError: SkipObject`"), "{error}");
    }
}

#[test]
fn what_goes_wrong_in_a_script_is_told_without_values() {
    let secret = json!({"title": "4111 1111", "count": 4111, "nested": {"a": "4111"}});
    for (source, wrong) in [
        ("\nobject.count = object.title.parse_int();", "line 2, column 29: Error parsing integer number"),
        ("object.count += 9223372036854775807;", "line 1, column 14: Addition overflow"),
        ("object.count /= 0;", "Division by zero"),
        ("object.nested.missing = object.nested.gone;", "gone"),
        ("object.title = object.title - 1;", "Function not found: - ("),
        ("throw \"no such thing\";", "line 1, column 1: it threw no such thing"),
        ("fn f(x) { x - \"a\" }\nobject.count = f(1);", "line 1, column 13: "),
        ("object.tags[5];", "line 1"),
    ] {
        let error = run(source, &secret).unwrap_err();
        assert!(error.contains(wrong), "{source}: {error}");
        assert!(!error.contains("4111"), "{error}");
    }
    assert!(run(&format!("throw \"{}\";", "x".repeat(5000)), &secret).unwrap_err().len() < 700);
}

#[test]
fn whatever_a_script_does_it_ends() {
    let nests = "let all = object.tags; loop { all = [all]; }";
    for (source, wrong) in [
        ("loop { }", "more than 1000000 steps"),
        ("let n = 0; while true { n += 1; }", "more than 1000000 steps"),
        ("try { loop { } } catch { }", "more than 1000000 steps"),
        // Functions that are given to others count as well, however they are nested.
        (
            "let all = []; all.pad(1000, 1); all.map(|x| { let more = []; more.pad(1000, x); more.map(|y| { y + 1 }) });",
            "more than",
        ),
        ("fn f(n) { f(n + 1) }\nf(1);", "functions call one another more than 32 deep"),
        ("let text = \"x\"; loop { text += text; }", "a value has more than 16777216 bytes of text"),
        ("object.title = \"x\"; object.title.pad(20000000, 'y');", ""),
        ("let all = []; loop { all.push(1); }", "or 10000 values in lists or maps"),
        ("let all = []; all.pad(20000, 1);", ""),
        (nests, "a value has more than"),
        ("let all = object.nested; loop { all = #{a: all}; }", "a value has more than"),
    ] {
        let error = run(source, &everything()).unwrap_err();
        assert!(error.contains(wrong), "{source}: {error}");
    }
    let deep = format!("object.count = {}1{};", "(1 + ".repeat(500), ")".repeat(500));
    assert!(run(&deep, &everything()).unwrap_err().contains("cannot be run"));
    let long = format!("object.count = 1;{}", " ".repeat(LARGEST_SOURCE));
    assert!(run(&long, &everything()).unwrap_err().contains("at most 16384 are taken"));
    let many =
        json!(vec![json!({"script": {"source": format!("//{}", "x".repeat(16_000))}}); ALL_SOURCES / 16_000 + 1]);
    assert!(transformation(&many).unwrap_err().contains("at most 49152 are taken"));
}

#[test]
fn objects_are_left_out_where_that_was_said() {
    let script = |source: &str, more: &Value| {
        let mut script = json!({"source": source});
        script.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        transformation(&json!([{"script": script}])).unwrap()
    };
    let (fails, skips, chooses) = (json!({}), json!({"onError": "SkipObject"}), json!({"leavesOut": true}));
    for (source, more, wanted) in [
        ("object.count > 2", &chooses, "kept"),
        ("object.count > 3", &chooses, "left out"),
        ("if object.count > 2 { return false; } object.title = \"x\";", &chooses, "left out"),
        ("object.title = \"x\";", &chooses, "kept"),
        ("object.count", &chooses, "its last value is neither true nor false"),
        ("object.count > 2", &fails, "kept"),
        ("object.count > 3", &fails, "its last value is false"),
        ("throw 1;", &fails, "it threw 1"),
        ("throw 1;", &skips, "skipped"),
        ("loop { }", &skips, "skipped"),
        ("object.count = \"x\";", &skips, "skipped"),
        ("false", &skips, "skipped"),
    ] {
        let found = match script(source, more).apply(object(&json!({"count": 3})), None) {
            Ok(Made::Object { .. }) => "kept".to_owned(),
            Ok(Made::Unselected) => "left out".to_owned(),
            Ok(Made::Skipped) => "skipped".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(wanted), "{source} {more}: {found}");
        assert_eq!(script(source, more).drops_objects(), more != &fails, "{source} {more}");
    }
    let error = script("throw 1;", &fails).apply(object(&json!({})), None).unwrap_err();
    assert!(matches!(error, Unconverted::Script { at: 1, .. }));
}

#[test]
fn the_same_object_gives_the_same_whoever_runs_it() {
    let source = "let words = #{}; for tag in object.tags { words[tag] = tag.len(); }\n\
                  object.title = words.keys().reduce(|sum, key| (sum ?? \"\") + key + words.len()) + words.to_json() + object.price;\n\
                  object.count = words.values().len();";
    let tags: Vec<String> = (0..200).map(|number| format!("tag {}", number * 7919 % 200)).collect();
    let properties = json!({"tags": tags, "price": 0.1});
    let source = source.replace(" + words.len()", "");
    let one = run(&source, &properties).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (source, properties) = (source.clone(), properties.clone());
            std::thread::spawn(move || run(&source, &properties).unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), one);
    }
    assert!(one["title"].as_str().unwrap().starts_with("tag 0tag 1tag 10tag 100"), "{one}");
    // Twice over what it made of it, where it is written so.
    let again = "if !object.title.starts_with(\"x\") { object.title = \"x\" + object.title; }";
    let repeated = run(again, &properties_with_title()).unwrap();
    assert_eq!(run(again, &repeated).unwrap(), repeated);
}

fn properties_with_title() -> Value {
    json!({"title": "a"})
}

#[test]
fn another_text_is_another_transformation() {
    let of = |json: Value| identity(&Select::default(), &steps(&json)).unwrap();
    let one = of(json!([{"script": {"source": "object.count = 1;"}}]));
    assert_eq!(one, of(json!([{"script": {"source": "object.count = 1;", "onError": "Fail", "leavesOut": false}}])));
    assert_ne!(one, of(json!([{"script": {"source": "object.count = 2;"}}])));
    assert_ne!(one, of(json!([{"script": {"source": "object.count = 1;", "onError": "SkipObject"}}])));
    assert_ne!(one, of(json!([{"script": {"source": "object.count = 1;", "leavesOut": true}}])));
}
