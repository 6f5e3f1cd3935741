//! Transformations on the way: what begins one, what it takes to switch, and that nothing is copied back over.

use super::*;
use crate::collection::migration::transform::words;
use elysia_api::restore::TransformStep;

fn property(name: &str) -> Value {
    json!({"name": name, "dataType": ["text"]})
}

fn with_body(name: &str) -> Value {
    let mut class = class(1);
    class["class"] = json!(name);
    class["properties"] = json!([property("title"), property("body")]);
    class
}

fn spec(transform: &Value, approval: &str) -> Value {
    let class = class(1);
    json!({
        "schema": {"shardingConfig": class["shardingConfig"], "properties": [property("title")]},
        "replication": {"factor": 1},
        "migration": {"alias": "Live", "approval": approval, "transform": transform},
    })
}

fn steps(of: &Value) -> Vec<TransformStep> {
    serde_json::from_value(of.clone()).unwrap()
}

fn drop_body() -> Value {
    json!([{"drop": {"property": "body"}}])
}

fn some() -> Value {
    json!([{"drop": {"property": "body"}}, {"where": {"filter": "title != \"x\""}}])
}

/// The class that was made, without the property.
fn made() -> Value {
    let mut class = class(1);
    class["class"] = json!("A_2");
    class["properties"] = json!([property("title")]);
    class
}

fn journal_with(phase: Phase, transform: &Value) -> Journal {
    let journal =
        Journal { transform: steps(transform), former_schema: with_body("A"), wanted_schema: made(), ..journal(phase) };
    Journal { hash: journal.hash_of(UID), ..journal }
}

fn seen_of(journal: Option<Journal>) -> Observed {
    let has_switched = journal.as_ref().is_some_and(|journal| journal.phase.has_switched());
    let mut observed = looked(journal);
    observed.class = Sight::Seen(Some(if has_switched { made() } else { with_body("A") }));
    if let Some((name, Sight::Seen(Some(other)))) = &mut look(&mut observed).other {
        *other = if *name == "A" { with_body("A") } else { made() };
    }
    observed
}

#[test]
fn a_property_that_is_to_go_begins_a_migration_and_one_that_is_gone_none() {
    let plan = planned(&spec(&drop_body(), "Approve"), &seen_of(None), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Create]", "{:?}", plan.findings);
    let Step::Migration(act) = &plan.steps[0] else { panic!() };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!(written.transform, steps(&drop_body()));
    assert_eq!(written.wanted_schema["properties"], json!([property("title")]));
    assert_eq!(words(&written.transform[0]), "drop body");
    // Without the step the property is nobody's business.
    let plan = planned(&spec(&json!([]), "Approve"), &seen_of(None), &[]);
    assert_eq!(picture(&plan), "True AsDeclared []");
    let kept = Journal { switched_at: Some(at(NOW)), ..journal_with(Phase::Kept, &drop_body()) };
    let plan = planned(&spec(&drop_body(), "Approve"), &seen_of(Some(kept)), &[]);
    assert_eq!(picture(&plan), "True AsDeclared []", "{:?}", plan.findings);
}

#[test]
fn a_script_that_does_not_fit_is_told_before_anything_is_written() {
    let script = |source: &str| json!([{"drop": {"property": "body"}}, {"script": {"source": source}}]);
    let plan = planned(&spec(&script("object.title = id;"), "Auto"), &seen_of(None), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Create]", "{:?}", plan.findings);
    let mut observed = seen_of(None);
    let why =
        "transformation 2: the script cannot be run: line 1, column 8: the class has no property `titel` at this step";
    look(&mut observed).unfit = vec![why.to_owned()];
    let plan = planned(&spec(&script("object.titel = id;"), "Auto"), &observed, &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains(why), "{:?}", plan.findings[0]);
    // Another text is another migration: what is under way is called off, and nothing is gone on with.
    let under_way = seen_of(Some(journal_with(Phase::Copy, &script("object.title = id;"))));
    let plan = planned(&spec(&script("object.title = \"x\";"), "Auto"), &under_way, &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Stopped!]");
}

#[test]
fn what_cannot_be_copied_is_told_before_anything_is_written() {
    let mut observed = seen_of(None);
    let why = "its servers leave expired objects out of each page that they answer";
    look(&mut observed).uncopied = Some(why.to_owned());
    let plan = planned(&spec(&drop_body(), "Auto"), &observed, &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains(why), "{:?}", plan.findings[0]);
}

#[test]
fn what_was_done_is_not_done_again() {
    // Somebody writes the property again, and auto-schema takes it up.
    let over = journal_with(Phase::Over, &drop_body());
    let mut again = seen_of(Some(over));
    again.class = Sight::Seen(Some(with_body("A_2")));
    look(&mut again).other = Some(("A_3".to_owned(), Sight::Seen(None)));
    let plan = planned(&spec(&drop_body(), "Approve"), &again, &[]);
    assert_eq!(picture(&plan), "False MigrationBlocked []");
    assert!(plan.findings[0].message.contains("was done on the way to A_2 already"), "{:?}", plan.findings[0]);
    let plan = planned(&spec(&some(), "Approve"), &again, &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Create]");
}

#[test]
fn other_steps_call_off_what_is_under_way() {
    let under_way = |phase: Phase| seen_of(Some(journal_with(phase, &drop_body())));
    let plan = planned(&spec(&some(), "Approve"), &under_way(Phase::Copy), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Stopped!]");
    let plan = planned(&spec(&some(), "Approve"), &under_way(Phase::Switch), &[]);
    assert_eq!(picture(&plan), "False Migrating [journal Thaw!]");
    // What was copied otherwise is not gone on with.
    let stopped = seen_of(Some(journal_with(Phase::Stopped, &drop_body())));
    assert_eq!(picture(&planned(&spec(&drop_body(), "Approve"), &stopped, &[])), "False Migrating [journal Create]");
    assert_eq!(picture(&planned(&spec(&some(), "Approve"), &stopped, &[])), "False MigrationBlocked []");
}

#[test]
fn objects_are_left_out_only_when_a_person_says_so_who_saw_how_many() {
    let done = |transform: &Value, left_out: Option<i64>| {
        let journal = journal_with(Phase::Copy, transform);
        let mut observed = seen_of(Some(journal.clone()));
        let ledger = CopyLedger { left_out, ..says(&journal, CopyStage::Done) };
        look(&mut observed).ledger = Sight::Seen(Some(ledger));
        (journal, observed)
    };
    let (_, observed) = done(&drop_body(), Some(0));
    assert_eq!(picture(&planned(&spec(&drop_body(), "Auto"), &observed, &[])), "False Migrating [journal Freeze]");
    let (journal, observed) = done(&some(), Some(2));
    let plan = planned(&spec(&some(), "Auto"), &observed, &[]);
    assert_eq!(picture(&plan), "False NeedsApproval []");
    let shown = plan.shown.unwrap();
    assert!(shown.destructive && shown.waiting_for.is_some());
    let said =
        "leave 2 of the 9 objects of A out, as spec.migration.transform says; alias Live leads to the others in A_2";
    assert!(shown.steps.iter().any(|step| step == said), "{:?}", shown.steps);
    let approved = planned(&spec(&some(), "Auto"), &observed, &[("elysia.dev/approve", &journal.hash)]);
    assert_eq!(picture(&approved), "False Migrating [journal Freeze]");
    let (_, observed) = done(&some(), None);
    let plan = planned(&spec(&some(), "Auto"), &observed, &[]);
    assert!(plan.shown.unwrap().steps.iter().any(|step| step.ends_with("how many is not known")));
}

#[test]
fn the_old_class_has_those_that_were_left_out_as_well() {
    let journal = journal_with(Phase::Final, &some());
    let mut observed = seen_of(Some(journal.clone()));
    look(&mut observed).ledger =
        Sight::Seen(Some(CopyLedger { left_out: Some(2), compared: compared(0), ..says(&journal, CopyStage::Done) }));
    let plan = planned(&spec(&some(), "Approve"), &observed, &[]);
    let Step::Migration(act) = &plan.steps[0] else { panic!("{:?}", plan.findings) };
    let Act::Write(written) = act.as_ref() else { panic!() };
    assert_eq!((written.phase, written.compared), (Phase::Switch, Some(11)));
}

#[test]
fn nothing_is_copied_back_over_what_only_the_kept_class_still_has() {
    let kept = Journal {
        switched_at: Some(at(NOW)),
        shards: vec!["s".to_owned(), "t".to_owned()],
        ..journal_with(Phase::Kept, &drop_body())
    };
    // The former settings: another number of shards, and no step.
    let mut observed = seen_of(Some(kept));
    let mut live = made();
    live["shardingConfig"]["desiredCount"] = json!(7);
    observed.class = Sight::Seen(Some(live));
    let plan = planned(&spec(&json!([]), "Approve"), &observed, &[]);
    assert!(picture(&plan).starts_with("False MigrationBlocked"), "{}", picture(&plan));
    let message = &plan.findings[0].message;
    assert!(message.contains("transformed on the way (drop body)"), "{message}");
    assert!(message.contains("PUT /v1/aliases/Live"), "{message}");
}
