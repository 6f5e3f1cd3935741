use serde_json::{Value, json};

use super::*;
use crate::category::Category;
use crate::mapping::Properties;
use crate::object::Vector;
use crate::step::Set;

/// What is in a vector that was stored, and in one that a line brings along.
const STORED: f32 = 1.0;
const BROUGHT: f32 = 2.0;

/// `A` is an id; in a picture an object is `A=text+key`, and vectors follow as `^name`, or `^name!` where
/// a line brought it along.
fn id(name: &str) -> Uuid {
    Uuid::from_u128(u128::from(name.as_bytes()[0]))
}

fn name(id: Uuid) -> char {
    char::from(u8::try_from(id.as_u128()).unwrap())
}

fn properties(path: &str, pairs: &[&str]) -> Properties {
    let mut properties = Properties::from_iter([("path".to_owned(), json!(path)), ("repo".to_owned(), json!("r"))]);
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap();
        let value = if value == "null" { Value::Null } else { json!(value) };
        properties.insert(key.to_owned(), value);
    }
    properties
}

/// `k=1 ^v`: a property, and a vector that the line brings along.
fn set(path: &str, rest: &[&str]) -> Set {
    let (vectors, pairs): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.starts_with('^'));
    let vector = |word: &str| (word[1..].to_owned(), Vector::Single(vec![BROUGHT]));
    Set {
        properties: properties(path, &pairs),
        vectors: vectors.into_iter().map(vector).collect(),
        cut: None,
        has_content: pairs.iter().any(|pair| pair.starts_with("content=")),
        changes_text: !pairs.is_empty(),
    }
}

/// `add A k=1 l=2 ^v`, `modify A k=1`, `delete A`, `rename A B k=1`, `bad`.
fn entry(line: usize, text: &str) -> Entry {
    let words = text.split_whitespace().collect::<Vec<_>>();
    let step = match words.as_slice() {
        ["add", key, rest @ ..] => {
            let Set { properties, vectors, .. } = set(key, rest);
            Ok(Step::Add { object: Arc::new(Object { id: id(key), properties, vectors }), cut: None })
        }
        ["modify", key, rest @ ..] => Ok(Step::Modify { id: id(key), set: set(key, rest) }),
        ["delete", key] => Ok(Step::Delete { id: id(key) }),
        ["rename", from, to, rest @ ..] => {
            Ok(Step::Rename { from: id(from), to: id(to), old_path: (*from).to_owned(), set: set(to, rest) })
        }
        _ => Err(Rejection::validation("bad")),
    };
    let line = line as u64 + 1;
    Entry { place: Place { file: "f".into(), line, offset: line * 10, length: 10 }, step }
}

fn windows(script: &str, limits: &WindowLimits) -> Vec<Window> {
    let mut windows = vec![Window::default()];
    for (line, text) in script.split(';').enumerate() {
        let entry = entry(line, text);
        if !windows.last().unwrap().admits(&entry, limits) {
            windows.push(Window::default());
        }
        windows.last_mut().unwrap().push(entry);
    }
    windows
}

/// `A k=1 ^v` is an object at A with its property and a vector.
fn stored(text: &str) -> BTreeMap<Uuid, Object> {
    let object = |text: &str| {
        let words = text.split_whitespace().collect::<Vec<_>>();
        let (vectors, pairs): (Vec<_>, Vec<_>) = words[1..].iter().partition(|word| word.starts_with('^'));
        let vector = |word: &&str| (word[1..].to_owned(), Vector::Single(vec![STORED]));
        let object = Object {
            id: id(words[0]),
            properties: properties(words[0], &pairs),
            vectors: vectors.iter().map(vector).collect(),
        };
        (object.id, object)
    };
    text.split(';').filter(|text| !text.trim().is_empty()).map(object).collect()
}

fn picture(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for put in plan.puts.values() {
        let path = name(put.object.id).to_string();
        assert_eq!(put.object.properties["path"], json!(path), "an object knows its own path");
        let mut words = vec!["put".to_owned(), path];
        let own = put.object.properties.iter().filter(|(key, _)| !["path", "repo"].contains(&key.as_str()));
        words.extend(own.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())));
        let vector = |(name, vector): (&String, &Vector)| {
            let mark = if *vector == Vector::Single(vec![BROUGHT]) { "!" } else { "" };
            format!("^{name}{mark}")
        };
        words.extend(put.object.vectors.iter().map(vector));
        lines.push(words.join(" "));
    }
    lines.extend(plan.deletes.iter().map(|gone| format!("delete {}", name(gone.id))));
    lines.extend(plan.moved.iter().map(|gone| format!("moved {}", name(gone.id))));
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Added => 'a',
        Outcome::Modified => 'm',
        Outcome::Deleted => 'd',
        Outcome::Renamed => 'r',
        Outcome::Unchanged => 'u',
        Outcome::Rejected(_) => 'x',
    };
    lines.push(plan.outcomes.iter().map(letter).collect());
    lines.join(", ")
}

fn plan_of(script: &str, objects: &str, refused: &[usize]) -> String {
    let windows = windows(script, &WindowLimits::default());
    assert_eq!(windows.len(), 1, "one window");
    let refusal = |line: &usize| (*line, Rejection::new(Category::Validation, "refused"));
    let refused = refused.iter().map(refusal).collect();
    let reads = windows[0].reads(&refused);
    let read = stored(objects).into_iter().filter(|(id, _)| reads.contains(id)).collect();
    let base = Base { read, ..Base::default() };
    picture(&windows[0].plan(&base, &refused, &BTreeSet::from(["text".to_owned()])))
}

#[test]
fn lines_become_puts_and_deletes() {
    for (script, objects, expected) in [
        ("add A k=1", "", "put A k=1, a"),
        ("add A k=1", "A k=0 l=0", "put A k=1, a"),
        ("modify A k=1", "A k=0 l=0", "put A k=1 l=0, m"),
        ("modify A k=1", "", "m"),
        ("modify A content=1", "", "put A content=1, m"),
        ("modify A content=1; modify A k=1", "", "put A content=1 k=1, mm"),
        ("modify A k=1; add A k=2", "", "put A k=2, ma"),
        ("modify A k=1; rename B A", "B k=2", "put A k=2, moved B, mr"),
        ("modify A k=null", "A k=0 l=0", "put A l=0, m"),
        ("delete A", "A k=0", "delete A, d"),
        ("delete A", "", "delete A, d"),
        ("rename A B", "A k=0", "put B k=0, moved A, r"),
        ("rename A B k=1", "A k=0 l=0", "put B k=1 l=0, moved A, r"),
        ("rename A B", "A k=0; B l=1", "put B k=0, moved A, r"),
        ("rename A B", "B l=1", "x"),
        ("bad; add A k=1", "", "put A k=1, xa"),
        ("modify A k=1; rename A B", "A l=0", "put B k=1 l=0, moved A, mr"),
        ("modify A k=1; rename A B", "", "mx"),
        ("modify A k=1; rename A B", "B l=1", "mx"),
        ("modify A content=1; rename A B", "", "put B content=1, moved A, mr"),
        ("add A k=1; rename A B; delete B", "", "delete B, moved A, ard"),
        ("rename A B; rename B C", "A k=0", "put C k=0, moved A, moved B, rr"),
        ("rename A B; rename A C", "A k=0", "put B k=0, moved A, rx"),
        ("rename A B; delete A", "A k=0", "put B k=0, moved A, rd"),
        ("rename A B; modify B k=1", "A k=0 l=0", "put B k=1 l=0, moved A, rm"),
        ("add B l=1; rename A B", "A k=0", "put B k=0, moved A, ar"),
        ("delete A; rename A B", "A k=0", "moved A, dx"),
        ("delete A; modify A k=1", "A k=0 l=0", "delete A, dm"),
        ("delete A; modify A content=1", "A k=0 l=0", "put A content=1, dm"),
        ("delete A; modify A k=1; modify A content=1", "A k=0", "put A content=1, dmm"),
        ("add A k=1; delete A; add A k=2", "", "put A k=2, ada"),
    ] {
        assert_eq!(plan_of(script, objects, &[]), expected, "{script} on {objects}");
    }
}

#[test]
fn computed_vectors_stay_until_text_changes_and_others_always() {
    for (script, expected) in [
        ("rename A B", "put B k=0 ^own ^text, moved A, r"),
        ("rename A B k=1", "put B k=1 ^own, moved A, r"),
        ("modify A k=1", "put A k=1 ^own, m"),
        ("modify A k=1; rename A B", "put B k=1 ^own, moved A, mr"),
        ("add A k=1", "put A k=1, a"),
        ("add A k=1 ^own", "put A k=1 ^own!, a"),
        ("modify A ^own", "put A k=0 ^own! ^text, m"),
        ("modify A ^text", "put A k=0 ^own ^text!, m"),
        ("modify A k=1 ^text", "put A k=1 ^own ^text!, m"),
        ("modify A ^text; modify A k=1", "put A k=1 ^own, mm"),
        ("rename A B ^own", "put B k=0 ^own! ^text, moved A, r"),
    ] {
        assert_eq!(plan_of(script, "A k=0 ^own ^text", &[]), expected, "{script}");
    }
}

#[test]
fn a_refused_line_leaves_no_trace() {
    for (script, objects, refused, expected) in [
        ("rename A B", "A k=0", &[0][..], "x"),
        ("rename A B; rename A C", "A k=0", &[0], "put C k=0, moved A, xr"),
        ("add A k=1; rename A B", "A k=0", &[1], "put A k=1, ax"),
        ("add A k=1; modify A l=2", "A k=0", &[0], "put A k=0 l=2, xm"),
        ("modify A k=1; delete B", "A k=0", &[0], "delete B, xd"),
        ("modify A content=1; modify A l=2", "", &[0], "xm"),
    ] {
        assert_eq!(plan_of(script, objects, refused), expected, "{script}");
    }
}

#[test]
fn a_window_closes_before_it_would_overwrite_what_a_rename_read() {
    let sizes = |script| {
        let windows = windows(script, &WindowLimits::default());
        windows.iter().map(|window| window.entries().len()).collect::<Vec<_>>()
    };
    for (script, expected) in [
        ("modify A k=1; rename A B", vec![2]),
        ("rename A B; rename B C; rename C D", vec![3]),
        ("add A k=1; rename A B; delete B", vec![3]),
        ("rename A B; delete A", vec![2]),
        ("rename A B; bad; add A k=1", vec![2, 1]),
        ("rename A B; modify A k=1", vec![1, 1]),
        ("rename A B; rename C A", vec![1, 1]),
        ("rename A B; rename B A; rename A B", vec![1, 1, 1]),
    ] {
        assert_eq!(sizes(script), expected, "{script}");
    }
}

#[test]
fn a_window_closes_before_it_makes_what_a_line_found_missing() {
    let sizes = |script| {
        let windows = windows(script, &WindowLimits::default());
        windows.iter().map(|window| window.entries().len()).collect::<Vec<_>>()
    };
    for (script, expected) in [
        ("modify A k=1; modify A content=1", vec![1, 1]),
        ("modify A k=1; modify B content=1; modify A content=1", vec![2, 1]),
        ("rename B A; modify A k=1; modify A content=1", vec![2, 1]),
        ("modify A k=1; modify A k=2", vec![2]),
        ("modify A k=1; add A k=2; modify A content=1", vec![3]),
        ("modify A k=1; delete A; modify A content=1", vec![3]),
        ("modify A content=1; modify A k=1; modify A content=2", vec![3]),
        ("add A k=1; modify A k=2; modify A content=1", vec![3]),
    ] {
        assert_eq!(sizes(script), expected, "{script}");
    }
}

#[test]
fn a_window_keeps_its_bounds() {
    let sizes =
        |script: &str, limits| windows(script, &limits).iter().map(|window| window.entries().len()).collect::<Vec<_>>();
    let limits = WindowLimits { lines: 3, bytes: 1_000, reads: 2 };
    assert_eq!(sizes("delete A; delete A; delete A; delete A", limits), [3, 1]);
    assert_eq!(sizes("modify A k=1; modify B k=1; delete C", limits), [2, 1]);
    assert_eq!(sizes("modify A k=1; modify A k=1; modify A k=1", limits), [3]);
    let limits = WindowLimits { bytes: 25, ..WindowLimits::default() };
    assert_eq!(sizes("delete A; delete B; delete C", limits), [2, 1]);
    let limits = WindowLimits { bytes: 1, ..WindowLimits::default() };
    assert_eq!(sizes("delete A; delete B", limits), [1, 1], "a line beyond the bound is a window of its own");
}

#[test]
fn only_what_the_plan_depends_on_is_read() {
    let reads = |script: &str, refused: &[usize]| {
        let refused = refused.iter().map(|line| (*line, Rejection::validation("refused"))).collect();
        windows(script, &WindowLimits::default())[0].reads(&refused).into_iter().map(name).collect::<String>()
    };
    assert_eq!(reads("add A k=1; modify A k=2; rename A B; delete C; modify C k=1", &[]), "");
    assert_eq!(reads("modify A k=2; rename B C; modify C k=1; add A k=2", &[]), "ABC");
    assert_eq!(reads("add A k=1; modify A k=2", &[0]), "A", "what the refused line said is not known any more");
}
