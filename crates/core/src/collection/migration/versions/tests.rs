//! Which version a class has, and which single step is declared next.

use elysia_api::ElysiaCollection;
use serde_json::json;

use super::super::Phase;
use super::*;

/// Five versions: 2 needs a new class, 3 does not, 4 drops a property on the way, 5 needs a new class.
fn five() -> Value {
    let text = |name: &str| json!({"name": name, "dataType": ["text"]});
    json!([
        {"version": "1", "schema": {"vectorizer": "none", "properties": [text("title"), text("body")]}},
        {"version": "2", "schema": {"vectorizer": "a", "description": "press", "properties": [text("title"), text("body")]}},
        {"version": "3", "schema": {"vectorizer": "a", "properties": [text("title"), text("body"), text("by")]}},
        {"version": "4", "schema": {"vectorizer": "a", "properties": [text("title"), text("by")]},
         "transform": [{"drop": {"property": "body"}}]},
        {"version": "5", "schema": {"vectorizer": "b", "properties": [text("title"), text("by")]}},
    ])
}

fn object(migrations: &Value, target: Option<&str>) -> ElysiaCollection {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection", "metadata": {"name": "a", "namespace": "ai"},
        "spec": {"clusterRef": {"name": "search"}, "collection": "A", "migration": {"alias": "Live"},
                 "migrations": migrations},
    });
    if let Some(target) = target {
        object["spec"]["schemaVersion"] = json!(target);
    }
    serde_json::from_value(object).unwrap()
}

fn versions(migrations: &Value, target: Option<&str>) -> Versions {
    Versions::parse(&object(migrations, target).spec).unwrap().unwrap()
}

/// A class as this version makes it.
fn class_of(version: &str) -> Value {
    let versions = versions(&five(), None);
    let mut class = Value::from(versions.list()[versions.position(version).unwrap()].settings.clone());
    class["class"] = json!("A");
    class
}

fn unmarked(version: &str) -> Value {
    let mut class = class_of(version);
    class["description"] = json!("by hand");
    class
}

fn next_of(versions: &Versions, class: Option<&Value>, status: &Value, journal: Option<&Journal>) -> Next {
    let before: ElysiaCollectionStatus = serde_json::from_value(status.clone()).unwrap();
    versions.next(&Live { name: "A", class, journal, before: &before }, &Measure::default())
}

/// `AT→VERSION+TRANSFORMATIONS then REST`, and what stands in its way.
fn picture(next: &Next) -> String {
    let word = |of: &Option<String>| of.clone().unwrap_or_else(|| "?".to_owned());
    let steps = if next.transform.is_empty() { String::new() } else { format!("+{}", next.transform.len()) };
    let then = if next.then.is_empty() { String::new() } else { format!(" then {}", next.then.join(",")) };
    let refused = next.refused.as_ref().map_or("", |_| " refused");
    format!("{}→{}{steps}{then}{refused}", word(&next.at), word(&next.version))
}

#[test]
fn one_step_at_a_time_from_what_the_class_says_of_itself() {
    for (at, target, expected) in [
        // To the last one, when nothing is said.
        (Some("1"), None, "1→2 then 3,4,5"),
        (Some("2"), None, "2→3 then 4,5"),
        (Some("3"), None, "3→4+1 then 5"),
        (Some("4"), None, "4→5"),
        (Some("5"), None, "5→5"),
        (Some("1"), Some("2"), "1→2"),
        // What was transformed once is not transformed again.
        (Some("4"), Some("4"), "4→4"),
        (Some("2"), Some("2"), "2→2"),
        // Back in one step, and not over one that transformed.
        (Some("3"), Some("1"), "3→1"),
        (Some("5"), Some("4"), "5→4"),
        (Some("5"), Some("3"), "5→5 refused"),
        (Some("4"), Some("1"), "4→4 refused"),
        // Created as it is to be.
        (None, None, "?→5"),
        (None, Some("3"), "?→3"),
    ] {
        let class = at.map(class_of);
        let next = next_of(&versions(&five(), target), class.as_ref(), &json!({}), None);
        assert_eq!(picture(&next), expected, "{at:?} {target:?} {:?}", next.refused);
        let description = next.settings["description"].as_str().unwrap().to_owned();
        assert!(description.contains(&format!("schema version {}", next.version.unwrap())), "{description}");
    }
}

#[test]
fn a_description_holds_the_version_beside_what_is_declared() {
    for (declared, expected) in [
        (None, "schema version 2"),
        (Some(""), "schema version 2"),
        (Some("press"), "press (schema version 2)"),
        // One that looks like ours.
        (Some("schema version 7"), "schema version 7 (schema version 2)"),
        (Some("all (of it)"), "all (of it) (schema version 2)"),
    ] {
        let text = marked(declared, "2");
        assert_eq!(text, expected);
        assert_eq!(recorded(&json!({"description": text})), Some("2"));
    }
    for (text, expected) in [
        ("schema version 2024-11.a_b", Some("2024-11.a_b")),
        ("schema version ", None),
        ("schema version two words", None),
        ("press (schema version 2) and more", None),
        ("press", None),
        ("", None),
    ] {
        assert_eq!(recorded(&json!({"description": text})), expected, "{text}");
    }
    assert_eq!(recorded(&json!({"class": "A"})), None);
}

#[test]
fn an_existing_class_is_the_first_version_if_it_is_as_that() {
    let list = versions(&five(), Some("2"));
    let next = next_of(&list, Some(&unmarked("1")), &json!({}), None);
    assert_eq!(picture(&next), "?→1 then 2");
    let next = next_of(&list, Some(&unmarked("5")), &json!({}), None);
    assert_eq!(picture(&next), "?→? refused");
    assert!(next.settings.is_empty(), "nothing of it is put");
    assert!(next.refused.unwrap().contains("it is not as version 1, the first of spec.migrations"));
}

#[test]
fn a_description_that_somebody_changed_costs_no_step_and_repeats_none() {
    let list = versions(&five(), None);
    let status = |live: &str, version: &str| json!({"live": live, "schemaVersion": version});
    let journal = |phase: Phase, from: &str, to: &str| -> Journal {
        serde_json::from_value(json!({
            "hash": "h", "attempts": 1, "alias": "Live", "from": from, "to": to, "formerSchema": {}, "wantedSchema": {},
            "formerVersion": "2", "schemaVersion": "4", "phase": phase, "since": "2026-11-30T00:00:00Z",
            "begun": "2026-11-30T00:00:00Z",
        }))
        .unwrap()
    };
    for (class, status, journal, expected) in [
        ("4", status("A", "4"), None, "4→5"),
        // Of another class.
        ("4", status("A_2", "4"), None, "?→? refused"),
        ("4", json!({}), Some(journal(Phase::Kept, "A_0", "A")), "4→5"),
        ("2", json!({}), Some(journal(Phase::Copy, "A", "A_2")), "2→3 then 4,5"),
        ("4", json!({}), Some(journal(Phase::Copy, "A_0", "A")), "?→? refused"),
        // It is not as it was.
        ("1", status("A", "4"), None, "?→? refused"),
    ] {
        let next = next_of(&list, Some(&unmarked(class)), &status, journal.as_ref());
        assert_eq!(picture(&next), expected, "{class} {status} {:?}", next.refused);
    }
    // The class itself is believed before all else.
    let next = next_of(&list, Some(&class_of("3")), &status("A", "1"), Some(&journal(Phase::Kept, "A_0", "A")));
    assert_eq!(picture(&next), "3→4+1 then 5");
}

#[test]
fn a_version_that_is_not_in_the_list_is_not_guessed_at() {
    let mut list = five();
    list.as_array_mut().unwrap().remove(2);
    let next = next_of(&versions(&list, None), Some(&class_of("3")), &json!({}), None);
    assert_eq!(picture(&next), "?→? refused");
    assert!(next.refused.unwrap().contains("put that version back into the list"));
    // One that was passed may go.
    assert_eq!(picture(&next_of(&versions(&list, None), Some(&class_of("4")), &json!({}), None)), "4→5");
}

#[test]
fn a_transformation_is_never_left_out_for_want_of_a_new_class() {
    let of = |transform: Value, vectorizer: &str| {
        let title = json!({"name": "title", "dataType": ["text"]});
        let list = json!([
            {"version": "1", "schema": {"vectorizer": "none", "properties": [title]}},
            {"version": "2", "schema": {"vectorizer": vectorizer}, "transform": transform},
        ]);
        let class =
            json!({"class": "A", "vectorizer": "none", "description": "schema version 1", "properties": [title]});
        picture(&next_of(&versions(&list, None), Some(&class), &json!({}), None))
    };
    let mask = json!([{"mask": {"property": "title", "how": {"redact": {}}}}]);
    assert_eq!(of(mask.clone(), "none"), "1→1 then 2 refused");
    assert_eq!(of(mask, "a"), "1→2+1");
    assert_eq!(of(json!([{"where": {"filter": "title = \"x\""}}]), "none"), "1→1 then 2 refused");
    assert_eq!(of(json!([{"script": {"source": "object.title = \"x\";"}}]), "none"), "1→1 then 2 refused");
    assert_eq!(of(json!([{"script": {"source": "object.title = \"x\";"}}]), "a"), "1→2+1");
    // Not declared with its new type, it would begin nothing.
    assert_eq!(of(json!([{"convert": {"property": "title", "to": "int"}}]), "none"), "1→1 then 2 refused");
    assert_eq!(of(json!([{"drop": {"property": "title"}}]), "none"), "1→2+1");
    // Of what no object has there is nothing to do.
    assert_eq!(of(json!([{"drop": {"property": "body"}}]), "none"), "1→2+1");
    assert_eq!(of(json!([{"convert": {"property": "title", "to": "text"}}]), "none"), "1→2+1");
}

/// A change of the spec, and what is said of it.
type Wrong = (fn(&mut Value), &'static str);

#[test]
fn lists_that_are_wrong_are_refused_with_what_is_wrong() {
    let said = |change: fn(&mut Value)| {
        let mut object = serde_json::to_value(object(&five(), None)).unwrap();
        change(&mut object["spec"]);
        let object: ElysiaCollection = serde_json::from_value(object).unwrap();
        CollectionSpec::validate(&object).map(drop).unwrap_err()
    };
    let wrong: [Wrong; 10] = [
        (|spec| spec["schemaVersion"] = json!("6"), "must be the version of one"),
        (|spec| spec["migrations"][1]["version"] = json!("1"), "each version occurs once"),
        (|spec| spec["migrations"][0]["transform"] = json!([{"drop": {"property": "x"}}]), "no transform"),
        (|spec| spec["schema"] = json!({"vectorizer": "none"}), "write spec.schema as the first of them"),
        (|spec| spec["migration"]["schemaVersion"] = json!("1"), "are in that list"),
        (|spec| spec["migration"] = Value::Null, "needs spec.migration"),
        (|spec| spec["migrations"][1]["schema"]["class"] = json!("B"), "must equal spec.collection"),
        (|spec| spec["migrations"][1]["schema"]["replicationConfig"] = json!({}), "as spec.replication"),
        (|spec| spec["migrations"][3]["transform"][0]["drop"]["property"] = json!("by"), "version 4"),
        (|spec| spec["driftPolicy"] = json!([{"path": "description", "action": "Adopt"}]), "take that rule out"),
    ];
    for (change, expected) in wrong {
        let why = said(change);
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let spec = CollectionSpec::validate(&object(&five(), Some("3"))).unwrap();
    assert_eq!(spec.settings["description"], "schema version 3");
}

#[test]
fn without_a_list_nothing_is_declared_by_it() {
    let mut object = serde_json::to_value(object(&five(), None)).unwrap();
    object["spec"].as_object_mut().unwrap().remove("migrations");
    object["spec"]["schema"] = json!({"vectorizer": "none"});
    let mut spec = CollectionSpec::validate(&serde_json::from_value(object).unwrap()).unwrap();
    let before = spec.clone();
    let class = Sight::Seen(Some(class_of("3")));
    let next = declare(&mut spec, &class, &Look::default(), &ElysiaCollectionStatus::default(), None);
    assert_eq!((next, spec), (None, before));
}

#[test]
fn what_is_declared_for_now_is_an_ordinary_declaration() {
    let mut spec = CollectionSpec::validate(&object(&five(), None)).unwrap();
    let whole = spec.clone();
    let before = ElysiaCollectionStatus::default();
    let next = declare(&mut spec, &Sight::Seen(Some(class_of("3"))), &Look::default(), &before, None).unwrap();
    assert_eq!(picture(&next), "3→4+1 then 5");
    assert_eq!(spec.steps(), next.transform);
    assert_eq!(spec.settings["properties"].as_array().unwrap().len(), 2);
    assert_eq!(spec.migration.as_ref().unwrap().schema_version.as_deref(), Some("4"));
    // Looked at again, it does not build on what was declared before.
    declare(&mut spec, &Sight::Seen(Some(class_of("5"))), &Look::default(), &before, None).unwrap();
    assert_eq!(spec.steps(), []);
    // Of a class that cannot be seen nothing is said.
    let mut spec = whole.clone();
    let unseen = Sight::unseen(crate::sight::BlindnessKind::Unreachable, "away");
    assert_eq!(declare(&mut spec, &unseen, &Look::default(), &before, None), None);
    assert_eq!(spec, whole);
}
