use super::*;
use crate::category::Category;

fn reason(line: &str) -> String {
    parse(line.as_bytes()).unwrap_err().reason
}

fn body(content: Option<&str>) -> Body {
    Body { content: content.map(str::to_owned), metadata: BTreeMap::new() }
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
        ("{", "column 1: EOF while parsing an object"),
        ("hello", "column 1: expected value"),
        ("[]", "column 0: invalid type: sequence, expected an object with repo, op and path"),
        (r#"{"repo":"r","op":"delete","path":"p"} x"#, "column 39: trailing characters"),
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
            "column 9: field `repo`: invalid type: integer `7`, expected a string",
        ),
        (
            r#"{"repo":"r","op":"delete","path":"p","paht":"q"}"#,
            "field `paht` is not known: a line has v, repo, op, path, new_path, content, content_base64 and metadata; \
             more belongs into metadata",
        ),
        (r#"{"repo":"r","repo":"s","op":"delete","path":"p"}"#, "field `repo` is there twice"),
        (r#"{"repo":null,"repo":"s","op":"delete","path":"p"}"#, "field `repo` is there twice"),
        (
            r#"{"v":2,"repo":"r","op":"delete","path":"p"}"#,
            "field `v`: format version 2 is not known: this worker reads version 1",
        ),
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
            "modify changes nothing: give `content`, `content_base64` or `metadata`",
        ),
        (r#"{"repo":"r","op":"rename","path":"p"}"#, "field `new_path` is missing"),
        (r#"{"repo":"r","op":"rename","path":"p","new_path":""}"#, "field `new_path` is empty"),
        (
            r#"{"repo":"r","op":"rename","path":"p","new_path":"p"}"#,
            "field `new_path` equals `path`: nothing to rename",
        ),
        (
            r#"{"repo":"r","op":"delete","path":"p","new_path":"q"}"#,
            "field `new_path` belongs to rename, not to delete",
        ),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":{"k":1,"k":2}}"#, "key `k` is there twice"),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":[1]}"#, "expected an object of metadata"),
        (r#"{"repo":"r","op":"add","path":"p","content":"a","metadata":{"n":1e999}}"#, "number out of range"),
    ];
    for (line, expected) in cases {
        let reason = reason(line);
        assert!(reason.contains(expected), "{line}\n  found    {reason}\n  expected {expected}");
    }
}

#[test]
fn bytes_that_are_no_text_are_of_category_encoding() {
    let latin = [&br#"{"repo":"r","op":"delete","path":""#[..], b"gr\xFC\xDF", br#""}"#].concat();
    let nul = b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"a\0b\"}".to_vec();
    let no_base64 = br#"{"repo":"r","op":"add","path":"p","content_base64":"%%%"}"#.to_vec();
    let no_utf8 = br#"{"repo":"r","op":"add","path":"p","content_base64":"//4="}"#.to_vec();
    for (line, expected) in [
        (latin, "byte 36 of the line is not UTF-8"),
        (nul, "byte 35 of the line is NUL"),
        (no_base64, "field `content_base64` is not base64"),
        (no_utf8, "field `content_base64` holds no UTF-8 from its byte 0 on"),
    ] {
        let rejection = parse(&line).unwrap_err();
        assert_eq!(rejection.category, Category::Encoding);
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
    fn whatever_text_goes_in_comes_out(repo in ".+", path in ".+", content in ".*") {
        let line = serde_json::json!({"repo": repo, "op": "add", "path": path, "content": content}).to_string();
        let change = parse(line.as_bytes()).unwrap();
        proptest::prop_assert_eq!(change, Change { repo, path, action: Action::Add(body(Some(&content))) });
    }
}
