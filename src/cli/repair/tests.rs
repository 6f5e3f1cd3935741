//! What is shown of plans, and what a journal lets be rolled back.

use elysia_api::ElysiaCollection;
use elysia_core::collection::{Cursor, Journal};
use serde_json::{Map, Value, json};

use super::act::{Way, way};
use super::show::{Planned, table, whole};

fn planned(waiting: bool, approved: bool) -> Planned {
    let mut annotations = Map::new();
    if approved {
        annotations.insert("elysia.dev/approve".to_owned(), json!("3f9ac21b0d11"));
    }
    let object: ElysiaCollection = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": "search", "annotations": annotations},
        "spec": {"clusterRef": {"name": "wiki"}, "collection": "Articles"},
        "status": {"plan": {
            "hash": "3f9ac21b0d11", "action": "Recreate", "destructive": true, "totalSteps": 9,
            "steps": ["keep the live schema", "delete Articles\u{1b}[2J"],
            "waitingFor": waiting.then_some("approval: elysia.dev/approve=3f9ac21b0d11"),
            "since": "2026-11-21T11:55:00Z",
        }},
    }))
    .unwrap();
    Planned::of(&object).unwrap()
}

fn text(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn plans_are_shown_with_what_they_wait_for() {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let plans = [planned(true, false), planned(true, true), planned(false, true)];
    insta::assert_snapshot!(text(&table(&plans, now)), @r"
    NAMESPACE   NAME       ACTION     HASH           STEPS   DESTRUCTIVE   WAITS FOR                      AGE
    search      articles   Recreate   3f9ac21b0d11   9       yes           approval                       5m
    search      articles   Recreate   3f9ac21b0d11   9       yes           the operator, it is approved   5m
    search      articles   Recreate   3f9ac21b0d11   9       yes           nothing, it is under way       5m
    ");
    insta::assert_snapshot!(text(&whole(&plans[0], now)), @r"
    Recreate of collection Articles (search/articles)
    hash       3f9ac21b0d11
    nature     removes or overwrites something
    waits for  approval
    shown for  5m
       1. keep the live schema
       2. delete Articles [2J
          and 7 more like these
    approve it: kubectl elysia repair approve articles -n search
    ");
    assert_eq!(table(&[], now), "");
}

#[test]
fn what_can_be_rolled_back_depends_on_how_far_it_is() {
    let journal = |cursor| -> Journal {
        serde_json::from_value(json!({
            "hash": "h", "attempts": 1, "collection": "Articles", "cursor": cursor, "since": "2026-11-21T12:00:00Z",
            "liveSchema": {"class": "Articles", "vectorizer": "none", "replicationConfig": {"factor": 1}},
            "wantedSchema": {"class": "Articles"}, "placement": [],
        }))
        .unwrap()
    };
    assert!(matches!(way(None), Way::Nothing(_)));
    for cursor in [Cursor::AutoSchemaOff, Cursor::Freeze, Cursor::Settle, Cursor::Delete] {
        assert_eq!(way(Some(&journal(cursor))), Way::CallOff, "{cursor:?}");
    }
    for cursor in [Cursor::WaitGone, Cursor::Create, Cursor::Verify, Cursor::Thaw, Cursor::Stopped] {
        assert!(matches!(way(Some(&journal(cursor))), Way::Nothing(_)), "{cursor:?}");
    }
    let old = Map::from_iter([("vectorizer".to_owned(), Value::from("none"))]);
    assert_eq!(way(Some(&journal(Cursor::Done))), Way::DeclareOld(old));
}
