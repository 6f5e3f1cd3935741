use super::*;
use crate::category::Category;
use crate::object::Vector;

fn reason(line: &str) -> String {
    parse(line.as_bytes()).unwrap_err().reason
}

fn body(content: Option<&str>) -> Body {
    Body { content: content.map(str::to_owned), ..Body::default() }
}

#[test]
fn the_four_operations() {
    let cases = [
        (r#"{"repo":"r","op":"add","path":"p","content":"x"}"#, Action::Add(body(Some("x")))),
        (r#"{"repo":"r","op":"add","path":"p","content":""}"#, Action::Add(body(Some("")))),
        (r#"{"repo":"r","op":"add","path":"p","content_base64":"Z3LDvMOfZQ=="}"#, Action::Add(body(Some("grüße")))),
        (r#"{"repo":"r","op":"modify","path":"p","content":"x"}"#, Action::Modify(body(Some("x")))),
        (r#"{"repo":"r","op":"delete","path":"p"}"#, Action::Delete),
        (r#"{"repo":"r","op":"delete","path":"p","metadata":{"author":"a"},"content":"old"}"#, Action::Delete),
        (
            r#"{"repo":"r","op":"rename","path":"p","new_path":"q"}"#,
            Action::Rename { new_path: "q".to_owned(), body: body(None) },
        ),
        (
            r#"{"repo":"r","op":"rename","path":"p","new_path":"q","content":"x"}"#,
            Action::Rename { new_path: "q".to_owned(), body: body(Some("x")) },
        ),
        (r#" {"v":1,"repo":"r","op":"delete","path":"p","new_path":null,"content":null} "#, Action::Delete),
    ];
    for (line, action) in cases {
        let expected = Change { repo: "r".to_owned(), path: "p".to_owned(), action };
        assert_eq!(parse(line.as_bytes()), Ok(expected), "{line}");
    }
}

#[test]
fn a_modify_of_metadata_alone_leaves_the_content_unmentioned() {
    let line = br#"{"repo":"r","op":"modify","path":"p","metadata":{"size":3,"gone":null}}"#;
    let Action::Modify(body) = parse(line).unwrap().action else { panic!("no modify") };
    assert_eq!(body.content, None);
    assert_eq!(body.metadata, BTreeMap::from([("gone".to_owned(), Value::Null), ("size".to_owned(), 3.into())]));
}

#[test]
fn every_fault_is_told_with_its_field() {
    let cases = [
        ("{", "column 1: EOF while parsing an object: the line was cut, or its text holds a line break unescaped"),
        (r#"{"repo":"r","op":"add","path":"p","content":"half"#, "EOF while parsing a string: the line was cut"),
        ("hello", "column 1: expected value: a line is one JSON object"),
        ("[]", "column 0: invalid type: sequence, expected an object with repo, op and path"),
        (r#"{"repo":"r","op":"delete","path":"p"} x"#, "column 39: trailing characters: one line holds one object"),
        ("{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"a\tb\"}", "control character (\\u0000-\\u001F) found"),
        ("{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"a\tb\"}", ": escape it, e.g. a tab as \\t"),
        (r#"{"op":"delete","path":"p"}"#, "field `repo` is missing"),
        (r#"{"repo":null,"op":"delete","path":"p"}"#, "field `repo` is missing"),
        (r#"{"repo":"","op":"delete","path":"p"}"#, "field `repo` is empty"),
        (r#"{"repo":"r","op":"delete"}"#, "field `path` is missing"),
        (r#"{"repo":"r","path":"p"}"#, "field `op` is missing"),
        (
            r#"{"repo":"r","op":"upsert","path":"p"}"#,
            "field `op`: `upsert` is not known: use add, modify, delete or rename",
        ),
        (
            r#"{"repo":7,"op":"delete","path":"p"}"#,
            "column 9: field `repo`: invalid type: integer `7`, expected a string: put it in quotes",
        ),
        (
            r#"{"repo":"r","op":"delete","path":"p","paht":"q"}"#,
            "field `paht` is not known: a line has v, repo, op, path, new_path, content, content_base64, metadata, vector \
             and vectors; more belongs into metadata",
        ),
        (r#"{"repo":"r","repo":"s","op":"delete","path":"p"}"#, "field `repo` is there twice"),
        (r#"{"repo":null,"repo":"s","op":"delete","path":"p"}"#, "field `repo` is there twice"),
        (
            r#"{"v":2,"repo":"r","op":"delete","path":"p"}"#,
            "field `v`: format version 2 is not known: this worker reads version 1",
        ),
        (
            r#"{"v":2,"repo":"r","op":"delete","path":"p","since":"version 2"}"#,
            "field `v`: format version 2 is not known",
        ),
        (r#"{"v":1.5,"repo":"r","op":"delete","path":"p"}"#, "field `v`: format version 1.5 is not known"),
        (r#"{"v":"1","repo":"r","op":"delete","path":"p"}"#, "field `v`: invalid type: string \"1\""),
        (
            r#"{"repo":"r","op":"add","path":"p"}"#,
            "add has neither `content` nor `content_base64`: give one, an empty text is allowed",
        ),
        (
            r#"{"repo":"r","op":"add","path":"p","content":"a","content_base64":"YQ=="}"#,
            "both `content` and `content_base64` are given: give one of them",
        ),
        (
            r#"{"repo":"r","op":"modify","path":"p","metadata":{}}"#,
            "modify changes nothing: give `content`, `content_base64`, `metadata`, `vector` or `vectors`",
        ),
        (r#"{"repo":"r","op":"rename","path":"p"}"#, "field `new_path` is missing"),
        (r#"{"repo":"r","op":"rename","path":"p","new_path":""}"#, "field `new_path` is empty"),
        (
            r#"{"repo":"r","op":"rename","path":"p","new_path":"p"}"#,
            "field `new_path` equals `path`: nothing to rename; use modify",
        ),
        (
            r#"{"repo":"r","op":"delete","path":"p","new_path":"q"}"#,
            "field `new_path` belongs to rename, not to delete",
        ),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":{"k":1,"k":2}}"#, "key `k` is there twice"),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":[1]}"#, "expected an object of metadata"),
        (
            r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":{"a":[{"k":1,"k":2}]}}"#,
            "column 78: field `metadata`: key `k` is there twice: keep one",
        ),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":{"n":1e999}}"#, "number out of range"),
        (
            r#"{"repo":"r","op":"modify","path":"p","vector":[]}"#,
            "field `vector`: a vector has no numbers: leave it out",
        ),
        (r#"{"repo":"r","op":"modify","path":"p","vector":["1"]}"#, "field `vector`: invalid type: string \"1\""),
        (r#"{"repo":"r","op":"modify","path":"p","vector":[null]}"#, "field `vector`: invalid type: null"),
        (
            r#"{"repo":"r","op":"modify","path":"p","vector":[1,1e39]}"#,
            "field `vector`: 1e39 is beyond what a 32-bit float holds",
        ),
        (r#"{"repo":"r","op":"modify","path":"p","vectors":{"":[1]}}"#, "a vector has an empty name: use `vector`"),
        (
            r#"{"repo":"r","op":"modify","path":"p","vectors":{"a":[1],"a":[1]}}"#,
            "field `vectors`: vector `a` is there twice: keep one",
        ),
        (
            r#"{"repo":"r","op":"modify","path":"p","vectors":{"a":[[1,2],[1]]}}"#,
            "vector `a`: list 1 has 1 numbers where the first has 2: all must have as many",
        ),
        (
            r#"{"repo":"r","op":"modify","path":"p","vectors":{"a":[1,[1]]}}"#,
            "field `vectors`: vector `a`: invalid type",
        ),
        (r#"{"repo":"r","op":"modify","path":"p","vectors":{"a":[[]]}}"#, "vector `a`: a vector has no numbers"),
        (r#"{"repo":"r","op":"modify","path":"p","vectors":{"a":7}}"#, "expected a list of numbers, or a list of such"),
    ];
    for (line, expected) in cases {
        let reason = reason(line);
        assert!(reason.contains(expected), "{line}\n  found    {reason}\n  expected {expected}");
    }
}

#[test]
fn a_line_may_bring_vectors() {
    let vectors = |line: &str| match parse(line.as_bytes()).unwrap().action {
        Action::Add(body) | Action::Modify(body) | Action::Rename { body, .. } => body.vectors,
        Action::Delete => panic!("a delete has none"),
    };
    let single = |name: &str, numbers: &[f32]| (name.to_owned(), Vector::Single(numbers.to_vec()));
    let many = ("m".to_owned(), Vector::Multi(vec![vec![1.0, 2.0], vec![3.0, 4.0]]));
    for (line, expected) in [
        (r#"{"repo":"r","op":"modify","path":"p","vector":[1,-2.5,1e-3]}"#, vec![single("", &[1.0, -2.5, 0.001])]),
        (
            r#"{"repo":"r","op":"add","path":"p","content":"","vectors":{"a":[1],"m":[[1,2],[3,4]]}}"#,
            vec![single("a", &[1.0]), many],
        ),
        (
            r#"{"repo":"r","op":"rename","path":"p","new_path":"q","vector":[0.1],"vectors":{"a":[-1]}}"#,
            vec![single("", &[0.1]), single("a", &[-1.0])],
        ),
        (r#"{"repo":"r","op":"add","path":"p","content":"","vector":null,"vectors":null}"#, vec![]),
        (r#"{"repo":"r","op":"add","path":"p","content":"","vectors":{}}"#, vec![]),
    ] {
        assert_eq!(vectors(line).into_iter().collect::<Vec<_>>(), expected, "{line}");
    }
    let long =
        |count: usize| format!(r#"{{"repo":"r","op":"modify","path":"p","vector":[0{}]}}"#, ",0".repeat(count - 1));
    assert!(parse(long(65_535).as_bytes()).is_ok());
    assert!(reason(&long(65_536)).contains("a vector has 65536 numbers, more than the 65535 it may have"));
}

#[test]
fn a_line_of_this_version_however_the_number_is_written() {
    for version in ["1", "1.0", "1e0", "null"] {
        let line = format!(r#"{{"v":{version},"repo":"r","op":"delete","path":"p"}}"#);
        assert!(parse(line.as_bytes()).is_ok(), "{version}");
    }
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth| {
        format!(
            r#"{{"repo":"r","op":"delete","path":"p","metadata":{{"a":{}{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(parse(nested(125).as_bytes()).is_ok());
    let reason = reason(&nested(100_000));
    assert!(
        reason.contains("recursion limit exceeded: a line may be nested 127 deep; flatten the metadata"),
        "{reason}"
    );
}

#[test]
fn a_line_that_the_files_end_cuts_says_so() {
    let line = |body: Option<&[u8]>, is_ended| RawLine {
        number: 1,
        offset: 0,
        length: 20_000_000,
        is_ended,
        body: body.map(<[u8]>::to_vec),
    };
    let whole = br#"{"repo":"r","op":"delete","path":"p"}"#;
    assert!(read(&line(Some(whole), false)).is_ok(), "a last line needs no line break");
    for cut in 1..whole.len() {
        let reason = read(&line(Some(&whole[..cut]), false)).unwrap_err().reason;
        assert!(reason.ends_with("without a line break: if it was still being written, run it again)"), "{reason}");
        let reason = read(&line(Some(&whole[..cut]), true)).unwrap_err().reason;
        assert!(!reason.contains("without a line break"), "{reason}");
    }
    let reason = read(&line(None, true)).unwrap_err().reason;
    assert_eq!(
        reason,
        "the line has 20000000 bytes, more than the 16777216 it may have: split the document, or leave it out"
    );
}

#[test]
fn bytes_that_are_no_text_are_of_category_encoding() {
    let latin = [&br#"{"repo":"r","op":"delete","path":""#[..], b"gr\xFC\xDF", br#""}"#].concat();
    let nul = b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"a\0b\"}".to_vec();
    let no_base64 = br#"{"repo":"r","op":"add","path":"p","content_base64":"%%%"}"#.to_vec();
    let no_utf8 = br#"{"repo":"r","op":"add","path":"p","content_base64":"//4="}"#.to_vec();
    let utf16 = br#"{"repo":"r","op":"add","path":"p","content_base64":"YQBiAA=="}"#.to_vec();
    let escaped = br#"{"repo":"r","op":"delete","path":"a\u0000b"}"#.to_vec();
    let half = br#"{"repo":"r","op":"delete","path":"\ud83d"}"#.to_vec();
    let wrong_half = br#"{"repo":"r","op":"delete","path":"\ude00"}"#.to_vec();
    let mark = "\u{FEFF}{}".as_bytes().to_vec();
    for (line, expected) in [
        (latin, "byte 36 of the line is not UTF-8"),
        (nul, "byte 35 of the line is NUL"),
        (no_base64, "field `content_base64` is not base64"),
        (no_utf8, "field `content_base64` holds no UTF-8 from its byte 0 on"),
        (utf16, "field `content_base64` holds a NUL at its byte 1: only text can be indexed; convert UTF-16 to UTF-8"),
        (escaped, "field `path` holds a NUL at its byte 1"),
        (half, "unexpected end of hex escape: write characters beyond U+FFFF as both halves of their pair"),
        (wrong_half, "lone leading surrogate in hex escape: write characters beyond U+FFFF"),
        (mark, "column 1: a byte order mark, which may stand only at the beginning of a file"),
    ] {
        let rejection = parse(&line).unwrap_err();
        assert_eq!(rejection.category, Category::Encoding, "{}", rejection.reason);
        assert!(rejection.reason.contains(expected), "{}", rejection.reason);
    }
}

#[test]
fn a_reason_is_bounded_and_one_line() {
    let line = format!(r#"{{"repo":"r","op":"{}\n\u0001","path":"p"}}"#, "é".repeat(10_000));
    let reason = reason(&line);
    assert!(reason.len() <= crate::rejection::REASON_BYTES, "{}", reason.len());
    assert!(!reason.contains(char::is_control));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = parse(&line);
    }

    #[test]
    fn no_damage_to_a_valid_line_makes_it_panic(at in 0_usize..60, byte in proptest::num::u8::ANY) {
        let mut line = br#"{"repo":"r","op":"rename","path":"p","new_path":"q","content":"\u00e9"}"#.to_vec();
        line[at] = byte;
        let _ = parse(&line);
    }

    #[test]
    fn whatever_text_goes_in_comes_out(repo in "[^\0]+", path in "[^\0]+", content in "[^\0]*") {
        let line = serde_json::json!({"repo": repo, "op": "add", "path": path, "content": content}).to_string();
        let change = parse(line.as_bytes()).unwrap();
        proptest::prop_assert_eq!(change, Change { repo, path, action: Action::Add(body(Some(&content))) });
    }
}
