//! What is said of a copy, and what the command line understands.

use clap::Parser as _;
use elysia_engine::backup::manifest::{FORMAT, FORMAT_VERSION};
use elysia_engine::backup::ports::{Mode, Store as _};
use elysia_engine::backup::transform::Step;
use elysia_engine::copy::state::State;
use serde_json::{Value, json};

use super::super::super::{Cli, Color, Exit, exit_of_parser};
use super::{Order, Printer, StoreWork, alone, copy_id, name_of, open_store, shown, state_key, verdict, words};

fn state(edit: &Value) -> State {
    let mut state = json!({
        "format": "f", "version": 1, "copy": "c", "from": "Articles", "source": "http://old:8080", "into": "Articles_2",
        "target": "http://new:8080", "holding": "Own", "startedAt": "2026-11-30T05:00:00Z",
        "updatedAt": "2026-11-30T05:00:01Z", "order": "o", "passes": 3, "written": 1260, "removed": 12, "behind": 2,
        "caughtUpTo": "2026-11-30T05:09:00Z",
    });
    for (key, value) in edit.as_object().unwrap() {
        state[key] = value.clone();
    }
    serde_json::from_value(state).unwrap()
}

fn text(state: &State) -> String {
    anstream::adapter::strip_str(&shown::render(state)).to_string()
}

#[test]
fn the_ways_to_say_it_are_understood() {
    for line in [
        "kubectl-elysia col migrate A --into B",
        "kubectl-elysia col migrate A --target http://new:8080",
        "kubectl-elysia col migrate A --url http://old:8080 --to-url http://new:8080 --to-grpc http://new:50051",
        "kubectl-elysia col migrate A --to-url http://new:8080 --to-node w-0=http://a:8080,http://a:50051 --final",
        "kubectl-elysia col migrate A --cluster search --to-cluster other --to-namespace shop --replication-factor 3",
        "kubectl-elysia col --cluster search migrate A --into B --shards 3 --schema class.json --transform steps.json",
        "kubectl-elysia col migrate A --into B --follow-until-same --dry-run -n shop -o json",
        "kubectl-elysia col migrate A --into B --again --final",
    ] {
        Cli::try_parse_from(line.split(' ')).expect(line);
    }
    for line in [
        "kubectl-elysia col migrate",
        "kubectl-elysia col migrate A --to-grpc http://new:50051",
        "kubectl-elysia col migrate A --to-url http://new:8080 --to-cluster other",
        "kubectl-elysia col migrate A --into B --replication-factor 0",
        "kubectl-elysia col migrate A --into B --final --follow-until-same",
        "kubectl-elysia col migrate A --to-url http://new:8080 --to-node w-0",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(exit_of_parser(&error).code(), 64, "{line}");
    }
}

#[test]
fn transformations_are_read_from_json_and_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (name, text) in [
        ("steps.json", r#"[{"drop": {"property": "a"}}, {"script": {"source": "object.b = id;\nobject.c = 1;\n"}}]"#),
        ("steps.yaml", "- drop: {property: a}\n- script:\n    source: |\n      object.b = id;\n      object.c = 1;\n"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        all.push(super::read::<Vec<Step>>(&file).unwrap_or_else(|_| panic!("{name}")));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0].len(), 2);
}

#[test]
fn what_became_of_it_is_said() {
    let row = json!({"tenant": "acme", "source": 9, "target": 8, "differing": 1});
    let comparison = |differing: u64, tenants: &Value| json!({"source": 1250, "target": 1250, "differing": differing, "at": "2026-11-30T05:10:00Z", "tenants": tenants});
    let same = state(&json!({"compared": comparison(0, &json!([])), "orderIsDone": true}));
    let differs = state(&json!({"compared": comparison(1, &json!([row])), "left": 1, "holding": "Found"}));
    let open = "from       Articles at http://old:8080\n\
                into       Articles_2 at http://new:8080\n\
                objects    1260 written and 12 removed in 3 passes\n\
                caught up  to 2026-11-30T05:09:00Z; the last pass had 2 objects to do\n";
    assert_eq!(text(&state(&json!({}))), open);
    let compared = "compared   the same: 1250 objects there, 1250 in the copy, 0 differ\n";
    assert_eq!(text(&same), format!("{open}{compared}"));
    let compared = "left       1 objects are in Articles_2 alone, which was there before the copy\n\
                    compared   not the same: 1250 objects there, 1250 in the copy, 1 differ\n  \
                    tenant acme: 9 objects there, 8 in the copy, 1 differ\n";
    assert_eq!(text(&differs), format!("{open}{compared}"));
    let order = |is_final| Order { is_final, ..Order::new("o", "A", "B", "s") };
    let printer = Printer::new(Color::Never);
    assert_eq!(verdict(&same, &order(true), printer), Exit::Healthy);
    assert_eq!(verdict(&differs, &order(true), printer), Exit::Fault);
    assert_eq!(verdict(&state(&json!({})), &order(true), printer), Exit::Fault);
    assert_eq!(verdict(&state(&json!({})), &order(false), printer), Exit::Healthy);
    assert_eq!(verdict(&state(&json!({"behind": 1_000_000})), &order(false), printer), Exit::Unknown);
}

#[test]
fn how_far_it_is_fits_one_line() {
    let pass = |kind: &str| {
        let tally = json!({"read": 30, "written": 2, "removed": 1, "differing": 4});
        let at = json!([{"slice": 0, "tally": tally}]);
        words(&state(&json!({"pass": {"kind": kind, "beganAt": "2026-11-30T05:10:00Z", "slices": 1, "at": at}})))
    };
    assert_eq!(pass("First"), "copying: 30 objects read, 2 written");
    assert_eq!(pass("Stamps"), "catching up, pass 3: 30 objects looked at, 2 written, 1 removed");
    assert_eq!(pass("Compare"), "comparing: 30 objects, 4 differ");
}

#[test]
fn the_same_copy_has_the_same_id_and_is_made_by_one_process() {
    let id = |source, from, target, into| copy_id(source, from, target, into, &[]);
    let one = id("old", "A", "new", "A");
    assert_eq!(one, id("old", "A", "new", "A"));
    for other in [id("new", "A", "old", "A"), id("old", "B", "new", "A"), id("old", "A", "new", "B")] {
        assert_ne!(one, other);
    }
    let folder = tempfile::TempDir::new().unwrap();
    let held = alone(folder.path(), &one).unwrap();
    assert!(alone(folder.path(), &one).is_err());
    drop(held);
    assert!(alone(folder.path(), &one).is_ok());
}

#[tokio::test]
async fn what_was_found_the_same_is_not_copied_again_unless_that_is_said() {
    let comparison = |differing| json!({"source": 9, "target": 9, "differing": differing, "at": "2026-11-30T05:10:00Z", "tenants": []});
    let key = state_key("c");
    let order = |is_final| Order { is_final, ..Order::new("", "Articles", "Articles_2", &key) };
    for (what, noted, is_final, again, wanted) in [
        ("nothing is noted", None, true, false, Ok("final-")),
        ("killed in the middle", Some(json!({"order": "final-1"})), true, false, Ok("final-1")),
        ("caught up", Some(json!({"order": "open-1", "orderIsDone": true})), true, false, Ok("final-")),
        (
            "not the same",
            Some(json!({"order": "final-1", "orderIsDone": true, "compared": comparison(1)})),
            true,
            false,
            Ok("final-"),
        ),
        (
            "the same",
            Some(json!({"order": "final-1", "orderIsDone": true, "compared": comparison(0)})),
            true,
            false,
            Err(()),
        ),
        (
            "the same, and left open",
            Some(json!({"order": "final-1", "orderIsDone": true, "compared": comparison(0)})),
            false,
            false,
            Err(()),
        ),
        (
            "the same, again",
            Some(json!({"order": "final-1", "orderIsDone": true, "compared": comparison(0)})),
            true,
            true,
            Ok("final-"),
        ),
        (
            "the same, again, left open",
            Some(json!({"order": "final-1", "orderIsDone": true, "compared": comparison(0)})),
            false,
            true,
            Ok("open-"),
        ),
        // Nobody knows yet whether they are.
        (
            "killed after a comparison",
            Some(json!({"order": "final-1", "compared": comparison(0)})),
            true,
            false,
            Ok("final-1"),
        ),
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        let states = open_store(&StoreWork::Folder(folder.path().to_string_lossy().into_owned())).unwrap();
        if let Some(mut edit) = noted {
            (edit["format"], edit["version"]) = (json!(FORMAT), json!(FORMAT_VERSION));
            let text = serde_json::to_vec(&state(&edit)).unwrap();
            states.put(&key, text.into(), Mode::Overwrite).await.unwrap();
        }
        match (name_of(&states, &order(is_final), again).await, wanted) {
            (Ok(name), Ok(begin)) => assert!(name.starts_with(begin), "{what}: {name}"),
            (Err(stop), Err(())) => {
                let told = format!("{stop:?}");
                assert!(told.contains("would remove from Articles_2 what was written to it since"), "{what}: {told}");
                assert!(told.contains("--again"), "{what}: {told}");
            }
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
}
