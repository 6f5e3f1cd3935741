//! A list of versions as the plan sees it: what is said of a step, what holds it up, and what is kept meanwhile.

use super::*;
use crate::collection::migration::versions::Next;
use crate::collection::schema::Measure;

/// Settings that neither the live class nor the one that is kept has.
fn third(migration: &Value) -> Value {
    let mut spec = declared(migration);
    spec["schema"] = json!({"shardingConfig": {"desiredCount": 5}});
    spec
}

fn kept(switched: i64) -> Journal {
    let shards = vec!["s".to_owned(), "t".to_owned()];
    Journal { switched_at: Some(at(NOW - switched)), shards, ..journal(Phase::Kept) }
}

/// The class that is kept is passed over, with these classes there.
fn beyond(there: &[&str]) -> Observed {
    with(kept(60), |_, look| {
        look.other = Some(("A_3".to_owned(), Sight::Seen(None)));
        look.generations = Some(Sight::Seen(there.iter().map(ToString::to_string).collect()));
    })
}

fn written(plan: &Plan) -> Journal {
    let Some(Step::Migration(act)) = plan.steps.first() else { panic!("{:?}", plan.findings) };
    let Act::Write(journal) = act.as_ref() else { panic!("{act:?}") };
    (**journal).clone()
}

#[test]
fn with_room_for_more_a_migration_begins_beside_the_class_that_is_kept() {
    let more = third(&json!({"alias": "Live", "keep": 2}));
    let plan = planned(&more, &beyond(&["A", "A_2"]), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Create]", "{:?}", plan.findings);
    let begun = written(&plan);
    assert_eq!((begun.from.as_str(), begun.to.as_str(), begun.is_rollback), ("A_2", "A_3", false));
    assert_eq!((begun.kept_shards, begun.compared), (Vec::<String>::new(), None));
    assert_eq!((begun.history[0].from.as_str(), begun.history[0].to.as_str()), ("A", "A_2"));

    let blocked = planned(&more, &beyond(&["A", "A_2", "A_4"]), &[]);
    assert_eq!(picture(&blocked), "False MigrationBlocked []");
    assert!(blocked.findings[0].message.contains("A, A_4 are kept"), "{:?}", blocked.findings);
    let mut theirs = beyond(&["A", "A_2", "A_3"]);
    look(&mut theirs).other = Some(("A_3".to_owned(), Sight::Seen(Some(target()))));
    let blocked = planned(&more, &theirs, &[]);
    assert_eq!(picture(&blocked), "False MigrationBlocked []");
    assert!(blocked.findings[0].message.contains("there is a class A_3 already"), "{:?}", blocked.findings);
    let mut unseen = beyond(&[]);
    look(&mut unseen).generations = Some(Sight::unseen(BlindnessKind::Unreachable, "no"));
    assert_eq!(picture(&planned(&more, &unseen, &[])), "Unknown Unknown []");
}

#[test]
fn the_class_beside_the_live_one_is_a_further_one_only_with_room_and_where_nobody_goes_back() {
    let of = |spec: &Value, journal: &Journal| {
        let mut spec = CollectionSpec::validate(&object(spec)).unwrap();
        spec.collection = "A_2".to_owned();
        migrations::beyond(&spec, Some(journal), &class(1), &Measure::default())
    };
    let [one, two] = [json!({"alias": "Live"}), json!({"alias": "Live", "keep": 2})];
    assert_eq!(of(&third(&two), &kept(60)).as_deref(), Some("A_3"));
    assert_eq!(of(&third(&one), &kept(60)), None);
    assert_eq!(of(&third(&two), &journal(Phase::Over)), None);
    // What is kept has these settings.
    let mut back = third(&two);
    back["schema"] = json!({"shardingConfig": class(1)["shardingConfig"]});
    assert_eq!(of(&back, &kept(60)), None);
    // But not what the steps make of objects.
    back["migration"]["transform"] = json!([{"mask": {"property": "mail", "how": {"redact": {}}}}]);
    assert_eq!(of(&back, &kept(60)).as_deref(), Some("A_3"));
}

#[test]
fn a_window_that_is_over_lets_the_kept_class_go_also_while_another_migration_waits_for_that() {
    let waits = third(&json!({"alias": "Live", "rollbackWindow": "1h"}));
    let of = |switched: i64| picture(&planned(&waits, &looked(Some(kept(switched))), &[]));
    assert_eq!(of(60), "False MigrationBlocked []");
    assert_eq!(of(3600), "False MigrationBlocked [remove A]");
}

#[test]
fn a_kept_class_is_not_gone_back_to_past_the_steps_that_are_declared_by_now() {
    let back = |transform: Value| {
        let mut spec = declared(&json!({"alias": "Live", "transform": transform}));
        spec["schema"] = json!({"shardingConfig": class(1)["shardingConfig"]});
        picture(&planned(&spec, &looked(Some(kept(60))), &[]))
    };
    assert_eq!(back(json!([])), "False Migrating [journal Approve]");
    assert_eq!(back(json!([{"mask": {"property": "mail", "how": {"redact": {}}}}])), "False MigrationBlocked []");
}

#[test]
fn a_step_says_where_it_leads_and_what_follows() {
    let spec = declared(&json!({"alias": "Live", "schemaVersion": "2"}));
    let mut observed = looked(None);
    let version = |name: &str| Some(name.to_owned());
    look(&mut observed).versions =
        Some(Next { at: version("1"), version: version("2"), then: vec!["3".to_owned()], ..Next::default() });
    let plan = planned(&spec, &observed, &[]);
    let begun = written(&plan);
    assert_eq!((begun.former_version, begun.schema_version), (version("1"), version("2")));
    let steps = plan.shown.unwrap().steps;
    assert_eq!(steps[0], "bring the collection from 1 to schema version 2; then 3, each with a plan of its own");
    assert!(steps[1].starts_with("create A_2"));
}

#[test]
fn what_holds_the_list_up_is_told_and_the_rest_goes_on() {
    let mut spec = declared(&json!({"alias": "Live"}));
    spec["schema"] = json!({"shardingConfig": class(1)["shardingConfig"]});
    let mut observed = looked(None);
    look(&mut observed).versions = Some(Next { refused: Some("put it back".to_owned()), ..Next::default() });
    let plan = planned(&spec, &observed, &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    assert!(plan.findings.iter().any(|finding| finding.message == "put it back"), "{:?}", plan.findings);
    look(&mut observed).versions = None;
    assert_eq!(picture(&planned(&spec, &observed, &[])), "True AsDeclared []");
}
