//! Which class is live, which one comes next, and what a new one is made of.

use elysia_api::ElysiaCollection;
use serde_json::json;

use super::*;

fn journal(phase: Phase) -> Journal {
    serde_json::from_value(json!({
        "hash": "h", "attempts": 1, "alias": "Live", "from": "A", "to": "A_2", "formerSchema": {}, "wantedSchema": {},
        "phase": phase, "since": "2026-11-30T00:00:00Z", "begun": "2026-11-30T00:00:00Z",
    }))
    .unwrap()
}

#[test]
fn the_alias_says_which_class_is_live_and_the_journal_only_where_there_is_none() {
    let alias = |class: Option<&str>| Sight::Seen(class.map(str::to_owned));
    let class = |name: &str| Live::Class(name.to_owned());
    let look = |alias, journal| Look { alias, journal: Sight::Seen(journal), ..Look::default() };
    for phase in [Phase::Copy, Phase::Switch, Phase::Kept] {
        // Whatever the journal says.
        assert_eq!(live("A", "Live", &look(alias(Some("A")), Some(journal(phase)))), class("A"));
        assert_eq!(live("A", "Live", &look(alias(Some("A_2")), Some(journal(phase)))), class("A_2"));
    }
    assert_eq!(live("A", "Live", &look(alias(None), Some(journal(Phase::Copy)))), class("A"));
    assert_eq!(live("A", "Live", &look(alias(None), Some(journal(Phase::Kept)))), class("A_2"));
    assert!(matches!(live("A", "Live", &look(alias(Some("B")), None)), Live::Unclear(_)));
    assert!(matches!(live("A", "Live", &look(alias(Some("A_02")), None)), Live::Unclear(_)));
    assert!(matches!(live("A", "Live", &Look { journal: Sight::Seen(None), ..Look::default() }), Live::Unseen(..)));
    assert!(matches!(live("A", "Live", &Look { alias: alias(Some("A")), ..Look::default() }), Live::Unseen(..)));
    let of = |classes: &[&str]| {
        let generations = Some(Sight::Seen(classes.iter().map(ToString::to_string).collect()));
        live("A", "Live", &Look { generations, ..look(alias(None), None) })
    };
    assert_eq!(of(&[]), class("A"));
    assert_eq!(of(&["A"]), class("A"));
    assert!(matches!(of(&["A", "A_2"]), Live::Unclear(_)));
    assert!(matches!(of(&["A_2"]), Live::Unclear(_)));
}

#[test]
fn whatever_the_alias_leads_to_meanwhile_the_class_that_is_read_only_is_thawed() {
    let of = |phase: Phase, alias: &str| {
        let alias = Sight::Seen(Some(alias.to_owned()));
        live_amid_switch("A", "Live", &Look { alias, journal: Sight::Seen(Some(journal(phase))), ..Look::default() })
    };
    for phase in [Phase::Freeze, Phase::Settle, Phase::Final, Phase::Switch, Phase::Thaw] {
        assert_eq!(of(phase, "B"), Live::Class("A".to_owned()), "{phase:?}");
        assert_eq!(of(phase, "A_2"), Live::Class("A_2".to_owned()), "{phase:?}");
    }
    for phase in [Phase::Copy, Phase::Verify, Phase::Kept] {
        assert!(matches!(of(phase, "B"), Live::Unclear(_)), "{phase:?}");
    }
}

#[test]
fn a_class_is_known_again_by_all_of_its_shards() {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    for (known, there, expected) in [
        (names(&["a", "b"]), names(&["b", "a"]), true),
        (names(&["a", "b"]), names(&["a"]), false),
        (names(&["a"]), names(&["a", "b"]), false),
        (names(&["a"]), names(&["b"]), false),
        (names(&["a"]), names(&[]), false),
        // Of which none are known.
        (names(&[]), names(&[]), false),
    ] {
        assert_eq!(are_the_same(&known, &there), expected, "{known:?} {there:?}");
    }
}

#[test]
fn what_each_phase_looks_at() {
    for (phase, is_rollback, read_only, other_shards) in [
        (Phase::Create, false, None, false),
        (Phase::Copy, false, None, false),
        (Phase::Freeze, false, Some("A"), false),
        (Phase::Settle, false, Some("A"), false),
        (Phase::Final, false, Some("A"), true),
        (Phase::Switch, false, Some("A"), true),
        (Phase::Kept, false, Some("A"), true),
        (Phase::Over, false, None, false),
        (Phase::Approve, true, Some("A_2"), true),
        (Phase::Create, true, Some("A_2"), true),
        (Phase::Copy, true, None, true),
    ] {
        let wants = wants(Some(&Journal { is_rollback, ..journal(phase) }));
        assert_eq!((wants.read_only.as_deref(), wants.other_shards), (read_only, other_shards), "{phase:?}");
    }
}

#[test]
fn the_class_beside_the_live_one() {
    for (live, journal, expected) in [
        ("A", None, "A_2"),
        ("A_4", None, "A_5"),
        ("A", Some(journal(Phase::Copy)), "A_2"),
        ("A_2", Some(journal(Phase::Kept)), "A"),
        ("A_2", Some(journal(Phase::Over)), "A_3"),
        ("A", Some(journal(Phase::Stopped)), "A_2"),
        // The alias was let lead there by hand.
        ("A", Some(journal(Phase::Kept)), "A_3"),
        ("A_2", Some(journal(Phase::Stopped)), "A_3"),
        ("A_5", Some(journal(Phase::Kept)), "A"),
        ("A_5", Some(journal(Phase::Over)), "A_6"),
    ] {
        assert_eq!(other("A", live, journal.as_ref(), true), expected, "{live} {journal:?}");
    }
    // Nothing goes back into a kept class with tenants.
    let tenanted = Journal { tenants: Some(Tenants::default()), ..journal(Phase::Kept) };
    assert_eq!(other("A", "A_2", Some(&tenanted), true), "A_3");
    assert_eq!(other("A", "A_2", Some(&tenanted), false), "A");
    assert_eq!(other("A", "A", Some(&tenanted), false), "A_3");
    let mut long = journal(Phase::Over);
    for number in 0..40 {
        long.history = long.with_itself();
        (long.from, long.to) = (format!("A_{}", number + 2), format!("A_{}", number + 3));
    }
    assert_eq!((long.history.len(), other("A", "A_42", Some(&long), true).as_str()), (HISTORY, "A_43"));
}

#[test]
fn windows_are_read_with_their_units() {
    for (text, hours) in
        [("72h", Some(72)), ("7d", Some(168)), ("0h", None), ("5m", None), ("", None), ("é", None), ("h", None)]
    {
        assert_eq!(window(text).map(|time| time.as_hours()), hours, "{text}");
    }
}

#[test]
fn a_new_class_has_the_declared_settings_and_every_property_of_the_old_one() {
    let object: ElysiaCollection = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection", "metadata": {"name": "a", "namespace": "n"},
        "spec": {
            "clusterRef": {"name": "w"}, "collection": "A", "replication": {"factor": 2},
            "schema": {"vectorizer": "none", "properties": [{"name": "Title", "dataType": ["text"]}]},
            "migration": {"alias": "Live"},
        },
    }))
    .unwrap();
    let spec = CollectionSpec::validate(&object).unwrap();
    let live = json!({"class": "A", "vectorizer": "x", "properties": [
        {"name": "title", "dataType": ["int"]}, {"name": "more", "dataType": ["text"]},
    ]});
    let class = target_class(&spec, &live, "A_2");
    assert_eq!(class["class"], "A_2");
    assert_eq!(class["vectorizer"], "none");
    assert_eq!(class["replicationConfig"]["factor"], 2);
    let names: Vec<&str> =
        class["properties"].as_array().unwrap().iter().filter_map(|of| of["name"].as_str()).collect();
    assert_eq!(names, ["Title", "more"]);
    assert_eq!(class["properties"][0]["dataType"][0], "text", "as declared");
}

#[test]
fn references_that_lead_to_the_collection_are_found() {
    let refers =
        |name: &str, to: &str| json!({"class": name, "properties": [{"name": "by", "dataType": ["Other", to]}]});
    for (to, own) in [("A", true), ("A_3", true), ("A_03", false), ("B", false), ("text", false)] {
        assert_eq!(leads_to_itself("A", &refers("A_2", to)).is_some(), own, "{to}");
    }
    let all = [refers("A_2", "A_2"), refers("B", "A_2"), refers("C", "A"), refers("D", "A_2"), json!({"class": "E"})];
    assert_eq!(leading_to("A_2", &all), ["B.by", "D.by"]);
    assert!(
        led_from("A_2", &leading_to("A_2", &all)).is_some_and(|why| why.contains("of B.by, D.by lead to class A_2"))
    );
    assert_eq!(led_from("A_2", &[]), None);
}

#[test]
fn a_class_leads_to_classes_that_are_there_and_that_it_may_lead_to() {
    let refers = |to: &Value| json!({"class": "A_2", "properties": [{"name": "by", "dataType": to}]});
    let tenanted = json!({"enabled": true});
    let all = [json!({"class": "B"}), json!({"class": "T", "multiTenancyConfig": tenanted})];
    for (to, nowhere) in [
        (json!(["text"]), None),
        (json!(["object[]"]), None),
        (json!(["B"]), None),
        (json!(["A_2"]), None),
        (json!(["B", "C"]), Some("references of property by lead to class C, and there is no class")),
        (json!(["T"]), Some("references of property by lead to class T, which has tenants")),
    ] {
        let why = leads_nowhere(&refers(&to), &all);
        assert_eq!(why.is_some(), nowhere.is_some(), "{to} {why:?}");
        assert!(why.as_deref().unwrap_or_default().contains(nowhere.unwrap_or_default()), "{to} {why:?}");
    }
    let made = json!({"multiTenancyConfig": tenanted, "properties": [{"name": "by", "dataType": ["T"]}]});
    assert_eq!((leads_nowhere(&made, &all), leads_nowhere(&json!({}), &all)), (None, None));
}

#[test]
fn writers_are_stopped_where_servers_say_that_they_wrote_what_they_refused() {
    let shard = |replicas: &[&str]| ShardReplicas {
        shard: "s".to_owned(),
        replicas: replicas.iter().map(ToString::to_string).collect(),
    };
    let (lone, two) = (shard(&["a"]), shard(&["a", "b"]));
    let version = |text: &str| ServerVersion::parse(text);
    for (version, placement, expected) in [
        (version("1.38.2"), vec![lone.clone()], true),
        (version("1.38.9"), vec![two.clone(), lone.clone()], true),
        (version("1.35.2"), vec![lone.clone()], true),
        (ServerVersion::minor(38).into(), vec![lone.clone()], true),
        (None, vec![lone.clone()], true),
        (version("1.38.10"), vec![lone.clone()], false),
        // The mend was not in it yet.
        (version("1.39.0"), vec![lone.clone()], true),
        (version("1.39.1"), vec![lone], false),
        (version("1.38.2"), vec![two.clone(), two.clone()], false),
        (None, vec![two], false),
        (version("1.38.2"), vec![], false),
    ] {
        let word = stop_writers("A", version, &Sight::Seen(placement.clone()));
        assert_eq!(word.is_some(), expected, "{version:?} {placement:?}");
    }
    let unseen = Sight::unseen(BlindnessKind::Failed, "no");
    assert!(stop_writers("A", version("1.38.2"), &unseen).is_some_and(|word| word.contains("while A is read-only")));
    assert_eq!(stop_writers("A", version("1.38.10"), &unseen), None);
}

#[test]
fn what_the_api_server_refuses_is_refused_in_the_loop_too() {
    for (collection, migration, refused) in [
        ("A", json!({"alias": "Live"}), None),
        ("A", json!({"alias": "Live", "approval": "Auto", "rollbackWindow": "72h", "schemaVersion": "2"}), None),
        ("A", json!({"alias": "A"}), Some("must not equal spec.collection")),
        (&"A".repeat(251), json!({"alias": "Live"}), Some("at most 250 characters")),
        ("A", json!({"alias": "Live", "rollbackWindow": "soon"}), Some("rollbackWindow")),
    ] {
        let object: ElysiaCollection = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection", "metadata": {"name": "a", "namespace": "n"},
            "spec": {"clusterRef": {"name": "w"}, "collection": collection, "migration": migration},
        }))
        .unwrap();
        match (CollectionSpec::validate(&object), refused) {
            (Ok(spec), None) => assert_eq!(spec.declared, collection),
            (Err(error), Some(words)) => assert!(error.contains(words), "{error}"),
            (found, _) => panic!("{collection} {migration}: {found:?}"),
        }
    }
}

#[test]
fn the_schema_version_stands_in_the_class_unless_it_has_a_description() {
    let spec = |schema: serde_json::Value| {
        let object: ElysiaCollection = serde_json::from_value(json!({
            "metadata": {"name": "a", "uid": "u"},
            "spec": {"clusterRef": {"name": "c"}, "collection": "A", "schema": schema,
                     "migration": {"alias": "Live", "schemaVersion": "7",
                                   "transform": [{"rename": {"from": "title", "to": "name"}}, {"drop": {"property": "body"}}]}},
        }))
        .unwrap();
        CollectionSpec::validate(&object).unwrap()
    };
    let property = |name: &str| json!({"name": name, "dataType": ["text"]});
    let live = json!({"class": "A", "properties": [property("title"), property("body"), property("mail")]});
    let made = target_class(&spec(json!({})), &live, "A_2");
    assert_eq!(made["description"], "schema version 7");
    assert_eq!(made["properties"], json!([property("name"), property("mail")]));
    let described = target_class(&spec(json!({"description": "mine"})), &live, "A_2");
    assert_eq!(described["description"], "mine");
}

#[test]
fn other_transformations_are_another_plan_and_another_copy() {
    let plain = journal(Phase::Copy);
    let step = |name: &str| serde_json::from_value(json!([{"drop": {"property": name}}])).unwrap();
    let one = Journal { transform: step("a"), ..plain.clone() };
    let two = Journal { transform: step("b"), ..plain.clone() };
    for (left, right) in [(&plain, &one), (&one, &two)] {
        assert_ne!(left.hash_of("u"), right.hash_of("u"));
        assert_ne!(left.copy("u"), right.copy("u"));
        assert_ne!(left.order("u"), right.order("u"));
    }
}
