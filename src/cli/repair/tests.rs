//! What is shown of plans, and what a journal lets be rolled back.

use clap::Parser as _;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource};
use elysia_core::collection::{Cursor, Journal};
use elysia_testkit::kubernetes::KubernetesApi;
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::act::{Way, way};
use super::find::{Kind, Planned};
use super::show::{table, whole};
use super::*;
use crate::cli::client::REQUEST_TIMEOUT;

fn object(waiting: bool, approved: bool) -> ElysiaCollection {
    let mut annotations = Map::new();
    if approved {
        annotations.insert("elysia.dev/approve".to_owned(), json!("3f9ac21b0d11"));
    }
    serde_json::from_value(json!({
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
    .unwrap()
}

fn planned(waiting: bool, approved: bool) -> Planned {
    Planned::of(&object(waiting, approved).into()).unwrap()
}

#[derive(clap::Parser)]
struct Approve {
    #[command(flatten)]
    args: ApproveArgs,
}

/// Approves as a person who types this: what it ended with, and the hash and the name that stand on the object.
async fn approves(api: &KubernetesApi, line: &str, typed: Option<&str>) -> (String, Option<String>, Option<String>) {
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    let session = Session::answering(reader, "search", typed);
    let parsed = Approve::try_parse_from(["approve", "articles"].into_iter().chain(line.split_whitespace())).unwrap();
    let end = match act::approve(&parsed.args, &session).await {
        Ok(exit) => format!("{exit:?}"),
        Err(Stop::Said { exit, message, .. }) => format!("{exit:?}: {message}"),
        Err(Stop::Output(error)) => format!("{error}"),
    };
    let object: ElysiaCollection = api.object("search", "articles").unwrap();
    let annotation = |key: &str| object.annotations().get(key).cloned();
    (end, annotation("elysia.dev/approve"), annotation("elysia.dev/approved-by"))
}

#[tokio::test]
async fn only_who_types_the_hash_approves_and_with_his_own_name() {
    let plan = "3f9ac21b0d11";
    for (line, typed, end, done) in [
        ("", Some(plan), "Healthy", true),
        ("", Some("yes"), "Fault: that is not 3f9ac21b0d11; nothing was changed", false),
        ("", None, "Fault: nobody answered: type it, pass it on stdin, or use --yes; nothing was changed", false),
        ("--yes", None, "Healthy", true),
        ("--yes --hash 3f9ac21b0d11", None, "Healthy", true),
        (
            "--yes --hash 000000000000",
            None,
            "Fault: the plan of articles is 3f9ac21b0d11 by now, not 000000000000: look at it again",
            false,
        ),
    ] {
        let api = KubernetesApi::new();
        api.seed(&object(true, false));
        let (ended, hash, name) = approves(&api, line, typed).await;
        assert_eq!(ended, end, "{line} {typed:?}");
        assert_eq!(hash.as_deref(), done.then_some(plan), "{line} {typed:?}");
        assert_eq!(name.is_some(), done, "{line} {typed:?}");
    }
}

#[tokio::test]
async fn an_approval_that_is_refused_says_so_and_changes_nothing() {
    let api = KubernetesApi::new();
    api.seed(&object(true, false));
    api.fail_next("PATCH", "articles", 403);
    let (ended, hash, _) = approves(&api, "--yes", None).await;
    assert!(ended.starts_with("Fault: articles was not changed: "), "{ended}");
    assert_eq!(hash, None);
    // What waits for nothing needs nobody.
    let api = KubernetesApi::new();
    api.seed(&object(false, true));
    assert_eq!(approves(&api, "--yes", None).await.0, "Healthy");
    assert!(!api.transcript().contains("PATCH"), "{}", api.transcript());
}

#[tokio::test]
async fn a_feed_is_approved_by_its_kind_or_where_it_alone_waits() {
    let feed = |name: &str, waits: bool| -> IndexSource {
        serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
            "metadata": {"name": name, "namespace": "search"},
            "spec": {"clusterRef": {"name": "wiki"}, "collection": "Articles", "source": {"configMap": {"name": "l"}}},
            "status": {"plan": {
                "hash": "beefbeefbeef", "action": "Delete", "destructive": true, "totalSteps": 1, "steps": [],
                "waitingFor": waits.then_some("approval: elysia.dev/approve=beefbeefbeef"),
            }},
        }))
        .unwrap()
    };
    // Does a collection of the name wait, what is typed, and which of the two is approved.
    for (collection, asked, expected) in [
        (Some(true), "articles", Some(Kind::Collection)),
        (Some(true), "collection/articles", Some(Kind::Collection)),
        (Some(true), "feed/articles", Some(Kind::Feed)),
        (Some(false), "articles", Some(Kind::Feed)),
        (Some(false), "ecol/articles", None),
        (None, "articles", Some(Kind::Feed)),
        (None, "isrc/articles", Some(Kind::Feed)),
    ] {
        let api = KubernetesApi::new();
        if let Some(waits) = collection {
            api.seed(&object(waits, false));
        }
        api.seed(&feed("articles", true));
        let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
        let session = Session::answering(reader, "search", None);
        let parsed = Approve::try_parse_from(["approve", asked, "--yes"]).unwrap();
        act::approve(&parsed.args, &session).await.unwrap();
        let hash =
            |annotations: &std::collections::BTreeMap<String, String>| annotations.get("elysia.dev/approve").cloned();
        let on_collection =
            api.object::<ElysiaCollection>("search", "articles").and_then(|found| hash(found.annotations()));
        let on_feed = api.object::<IndexSource>("search", "articles").and_then(|found| hash(found.annotations()));
        let approved = match (on_collection.as_deref(), on_feed.as_deref()) {
            (Some("3f9ac21b0d11"), None) => Some(Kind::Collection),
            (None, Some("beefbeefbeef")) => Some(Kind::Feed),
            (None, None) => None,
            odd => panic!("{odd:?}"),
        };
        assert_eq!(approved, expected, "{collection:?} {asked}");
    }
    assert!(Approve::try_parse_from(["approve", "cluster/wiki"]).is_err());
    assert!(Approve::try_parse_from(["approve", "feed/"]).is_err());
}

fn waiting(action: &str) -> Value {
    json!({
        "hash": "beefbeefbeef", "action": action, "destructive": true, "totalSteps": 1, "steps": ["do it"],
        "waitingFor": "approval: elysia.dev/approve=beefbeefbeef", "since": "2026-11-21T11:55:00Z",
    })
}

fn suspect_backup() -> CollectionBackup {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": "nightly", "namespace": "search"},
        "spec": {"clusterRef": {"name": "wiki"}, "store": {"s3": {"bucket": "b"}}},
        "status": {"plan": waiting("Accept")},
    }))
    .unwrap()
}

fn waiting_restore(name: &str) -> CollectionRestore {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {"name": name, "namespace": "search"},
        "spec": {
            "clusterRef": {"name": "wiki"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": "Restored", "conflict": "Overwrite",
        },
        "status": {"phase": "NeedsApproval", "plan": waiting("Overwrite")},
    }))
    .unwrap()
}

#[tokio::test]
async fn backups_and_restores_are_approved_like_collections() {
    for (asked, on_backup, on_restore) in [
        ("nightly", true, false),
        ("backup/nightly", true, false),
        ("cbak/nightly", true, false),
        ("restore/nightly", false, true),
        ("crst/nightly", false, true),
        ("collectionrestore/nightly", false, true),
    ] {
        let api = KubernetesApi::new();
        api.seed(&suspect_backup());
        api.seed(&waiting_restore("nightly"));
        let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
        let session = Session::answering(reader, "search", Some("beefbeefbeef"));
        let parsed = Approve::try_parse_from(["approve", asked]).unwrap();
        act::approve(&parsed.args, &session).await.unwrap();
        let backup: CollectionBackup = api.object("search", "nightly").unwrap();
        let restore: CollectionRestore = api.object("search", "nightly").unwrap();
        let is_approved = |annotations: &std::collections::BTreeMap<String, String>| {
            annotations.get("elysia.dev/approve").is_some_and(|hash| hash == "beefbeefbeef")
                && annotations.contains_key("elysia.dev/approved-by")
        };
        let found = (is_approved(backup.annotations()), is_approved(restore.annotations()));
        assert_eq!(found, (on_backup, on_restore), "{asked}");
    }
}

#[test]
fn plans_of_backups_and_restores_are_shown() {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let backup = Planned::of(&suspect_backup().into()).unwrap();
    let restore = Planned::of(&waiting_restore("back").into()).unwrap();
    insta::assert_snapshot!(text(&whole(&backup, now)), @r"
    Accept of the Suspect run of backup search/nightly
    hash       beefbeefbeef
    nature     removes or overwrites something
    waits for  approval
    shown for  5m
       1. do it
    approve it: kubectl elysia repair approve backup/nightly -n search
    ");
    insta::assert_snapshot!(text(&whole(&restore, now)), @r"
    Overwrite of collection Restored by restore search/back
    hash       beefbeefbeef
    nature     removes or overwrites something
    waits for  approval
    shown for  5m
       1. do it
    approve it: kubectl elysia repair approve restore/back -n search
    ");
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
