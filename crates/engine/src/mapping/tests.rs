use serde_json::json;

use super::*;
use crate::object::Vector;

fn mapping(unmapped: Unmapped) -> Mapping {
    let properties = [
        ("repo", "text"),
        ("path", "text"),
        ("content", "text"),
        ("author", "text"),
        ("tags", "text[]"),
        ("size", "int"),
        ("sizes", "int[]"),
        ("score", "number"),
        ("binary", "boolean"),
        ("when", "date"),
        ("commit", "uuid"),
        ("data", "blob"),
        ("place", "geoCoordinates"),
        ("author_ref", "Person"),
    ];
    Mapping::new(properties.map(|(name, word)| (name.to_owned(), DataType::parse(word))), unmapped).unwrap()
}

fn map(mapping: &Mapping, metadata: Value) -> Result<Value, String> {
    let Value::Object(metadata) = metadata else { panic!("no object") };
    let body = Body { metadata: metadata.into_iter().collect(), ..Body::default() };
    mapping.map(body).map(|mapped| Value::Object(mapped.properties)).map_err(|rejection| rejection.reason)
}

#[test]
fn values_that_fit_their_property_pass() {
    let mapping = mapping(Unmapped::Reject);
    for metadata in [
        json!({"author": "a", "tags": ["x", "y"], "size": 3, "sizes": [1, -2], "score": 1.5, "binary": true}),
        json!({"when": "2026-11-21T10:00:00Z"}),
        json!({"when": "2026-11-21T10:00:00.123456789+01:30"}),
        json!({"commit": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "data": "aGk="}),
        json!({"place": {"latitude": 1.0, "longitude": 2.0}}),
        json!({"tags": [], "author": null}),
        json!({"size": 9_007_199_254_740_992_i64, "score": 3}),
    ] {
        assert_eq!(map(&mapping, metadata.clone()), Ok(metadata));
    }
    assert_eq!(map(&mapping, json!({"size": 3.0, "sizes": [1e3]})), Ok(json!({"size": 3, "sizes": [1000]})));
}

#[test]
fn the_first_letter_of_a_key_is_written_small_as_weaviate_does() {
    let mapping = mapping(Unmapped::Reject);
    assert_eq!(map(&mapping, json!({"Author": "a"})), Ok(json!({"author": "a"})));
    assert!(
        map(&mapping, json!({"Author": "a", "author": "b"})).unwrap_err().contains("as another key of the line is")
    );
}

#[test]
fn values_that_do_not_fit_are_told_apart() {
    let mapping = mapping(Unmapped::Reject);
    for (metadata, expected) in [
        (json!({"author": 7}), "metadata key `author`: a number found where the collection has text"),
        (json!({"author": ["x"]}), "metadata key `author`: a list found where the collection has text"),
        (json!({"tags": "x"}), "metadata key `tags`: a text found where the collection has a list"),
        (json!({"tags": ["x", 7]}), "metadata key `tags`: item 1: a number found where the collection has text"),
        (json!({"tags": ["x", null]}), "metadata key `tags`: item 1: null found where the collection has text"),
        (json!({"size": 1.5}), "1.5 is no whole number"),
        (json!({"size": 9_007_199_254_740_993_i64}), "9007199254740993 is beyond 2^53"),
        (json!({"size": u64::MAX}), "18446744073709551615 is no whole number up to 2^53"),
        (json!({"size": i64::MIN}), "is beyond 2^53"),
        (json!({"when": "yesterday"}), "`yesterday` is no date: write it as 2026-11-21T10:00:00Z"),
        (json!({"when": "2026-11-21"}), "is no date"),
        (json!({"when": "2026-13-21T10:00:00Z"}), "is no date"),
        (json!({"when": "2026-11-21T10:00:00"}), "is no date"),
        (json!({"when": "2026-11-21T10:00:60Z"}), "is no date"),
        (json!({"when": "2026-11-21 10:00:00Z"}), "is no date"),
        (json!({"when": "2026-11-21T10:00:00.Z"}), "is no date"),
        (json!({"when": "äöü-11-21T10:00:00Z"}), "is no date"),
        (json!({"commit": "abc"}), "`abc` is no uuid"),
        (json!({"data": "?"}), "must be base64"),
        (json!({"author_ref": "x"}), "a feed cannot fill a property of this type"),
        (json!({"path": "x"}), "metadata key `path` would overwrite the document's own `path`"),
        (json!({"Repo": "x"}), "metadata key `Repo` would overwrite the document's own `repo`"),
        (json!({"colour": "x"}), "metadata key `colour`: the collection has no such property"),
    ] {
        let reason = map(&mapping, metadata.clone()).unwrap_err();
        assert!(reason.contains(expected), "{metadata}\n  found    {reason}\n  expected {expected}");
    }
}

#[test]
fn unmapped_keys_are_left_out_only_when_asked() {
    let mapping = mapping(Unmapped::Drop);
    assert_eq!(map(&mapping, json!({"colour": "x", "author": "a"})), Ok(json!({"author": "a"})));
    assert!(map(&mapping, json!({"content": "x"})).is_err(), "the document's own are never overwritten");
}

#[test]
fn a_vector_that_the_class_lacks_is_refused() {
    let classes = |unnamed: bool, named: &[&str]| {
        let named = named.iter().map(|name| (*name).to_owned()).collect();
        mapping(Unmapped::Drop).with_vectors(ClassVectors { unnamed, named })
    };
    let map = |mapping: &Mapping, name: &str| {
        let vectors = Vectors::from([(name.to_owned(), Vector::Single(vec![1.0]))]);
        mapping.map(Body { vectors, ..Body::default() }).map(drop).map_err(|rejection| rejection.reason)
    };
    assert_eq!(map(&classes(true, &[]), ""), Ok(()));
    assert_eq!(map(&classes(false, &["a"]), "a"), Ok(()));
    assert_eq!(map(&classes(true, &["a"]), "a"), Ok(()));
    for (mapping, name, expected) in [
        (
            classes(true, &[]),
            "a",
            "field `vectors`: the collection has no vector `a`; use `vector`: it has one, without a name",
        ),
        (
            classes(false, &["a", "b"]),
            "",
            "field `vector`: the collection has no vector without a name; use `vectors`: it has `a`, `b`",
        ),
        (classes(false, &["a"]), "b", "field `vectors`: the collection has no vector `b`; use `vectors`: it has `a`"),
        (
            classes(true, &["a"]),
            "b",
            "field `vectors`: the collection has no vector `b`; it has one without a name, and `a`",
        ),
        (classes(false, &[]), "", "field `vector`: the collection has no vector without a name; it has none"),
    ] {
        assert_eq!(map(&mapping, name), Err(expected.to_owned()));
    }
}

#[test]
fn a_class_without_the_documents_own_properties_is_refused() {
    let text = |name: &str| (name.to_owned(), DataType::parse("text"));
    let missing = |properties: Vec<(String, DataType)>| match Mapping::new(properties, Unmapped::Drop) {
        Err(Unfit::NoProperty { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(vec![text("repo"), text("path")]), CONTENT);
    assert_eq!(missing(vec![("repo".to_owned(), DataType::parse("int")), text("path"), text("content")]), REPO);
    assert!(Mapping::new([text("Repo"), text("path"), text("content")], Unmapped::Drop).is_ok());
}

fn named(names: &[(&str, &str)]) -> Result<Mapping, String> {
    let words = [("body", "text"), ("repo", "text"), ("path", "text"), ("Writer", "text"), ("size", "int")];
    let names = names.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect();
    let properties = words.map(|(name, word)| (name.to_owned(), DataType::parse(word)));
    Mapping::with_names(properties, Unmapped::Reject, &names).map_err(|error| error.to_string())
}

#[test]
fn fields_and_keys_go_where_they_are_told_to() {
    let mapping = named(&[("content", "body"), ("author", "Writer"), ("Größe in Bytes", "size")]).unwrap();
    let metadata = json!({"author": "Ada", "Größe in Bytes": 3});
    let Value::Object(metadata) = metadata else { panic!("no object") };
    let body = Body { content: Some("x".to_owned()), metadata: metadata.into_iter().collect(), ..Body::default() };
    let mut properties = mapping.map(body).unwrap().properties;
    mapping.insert_key(&mut properties, "r".to_owned(), "p".to_owned());
    let expected = json!({"body": "x", "writer": "Ada", "size": 3, "repo": "r", "path": "p"});
    assert_eq!(Value::Object(properties), expected);
    for (metadata, expected) in [
        (json!({"author": "a", "writer": "b"}), "is property `writer`, as another key of the line is"),
        (json!({"body": "x"}), "metadata key `body` would overwrite the document's own `body`"),
        (json!({"content": "x"}), "metadata key `content`: the collection has no such property"),
        (json!({"Größe in Bytes": "x"}), "metadata key `Größe in Bytes`: a text found where the collection has int"),
    ] {
        let reason = map(&mapping, metadata.clone()).unwrap_err();
        assert!(reason.contains(expected), "{metadata}: {reason}");
    }
}

#[test]
fn names_that_do_not_fit_the_class_are_refused_before_the_first_line() {
    for (names, expected) in [
        (&[][..], "no property `content` of type text for the document's content"),
        (&[("content", "size")], "no property `size` of type text for the document's content"),
        (&[("content", "body"), ("repo", "origin")], "no property `origin` of type text for the document's repo"),
        (&[("content", "body"), ("author", "person")], "metadata key `author` shall be property `person`, which the"),
        (&[("content", "repo")], "`repo` and `content` shall both be property `repo`"),
        (&[("content", "body"), ("a", "writer"), ("b", "Writer")], "`a` and `b` shall both be property `writer`"),
        (&[("content", "body"), ("a", "path")], "`path` and `a` shall both be property `path`"),
    ] {
        let error = named(names).unwrap_err();
        assert!(error.contains(expected), "{names:?}: {error}");
    }
    // They change places.
    assert!(named(&[("content", "body"), ("repo", "path"), ("path", "repo")]).is_ok());
}

#[test]
fn a_feed_that_is_cut_needs_two_numbers_more() {
    let cut = |properties: &[(&str, &str)], names: &[(&str, &str)]| {
        let texts = [("repo", "text"), ("path", "text"), ("content", "text")];
        let properties = texts.iter().chain(properties).map(|(name, word)| ((*name).to_owned(), DataType::parse(word)));
        let names = names.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect();
        let chunking = Some(Chunking::new(100, 0));
        Mapping::with_chunking(properties, Unmapped::Reject, &names, chunking).map_err(|error| error.to_string())
    };
    let both = [("chunks", "int"), ("chunk", "int")];
    for (properties, names, expected) in [
        (&both[1..], &[][..], "no property `chunks` of type int for a document's number of chunks"),
        (&both[..1], &[], "no property `chunk` of type int for a chunk's number"),
        (&[("chunks", "int"), ("chunk", "number")], &[], "no property `chunk` of type int"),
        (&both, &[("chunk", "part")], "no property `part` of type int"),
        (&both, &[("chunk", "chunks")], "`chunks` and `chunk` shall both be property `chunks`"),
    ] {
        let error = cut(properties, names).unwrap_err();
        assert!(error.contains(expected), "{properties:?} {names:?}: {error}");
    }
    let mapping =
        cut(&[("parts", "int"), ("part", "int"), ("chunk", "text")], &[("chunks", "parts"), ("chunk", "part")]);
    let mapping = mapping.unwrap();
    let cutting = mapping.cutting().unwrap();
    assert_eq!((cutting.chunks.as_str(), cutting.chunk.as_str()), ("parts", "part"));
    let reason = map(&mapping, json!({"part": 1})).unwrap_err();
    assert!(reason.contains("metadata key `part` would overwrite the document's own `part`"), "{reason}");
    assert_eq!(map(&mapping, json!({"chunk": "x"})).unwrap(), json!({"chunk": "x"}), "a property as any other");
}
