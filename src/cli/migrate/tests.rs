//! What is shown of migrations, what would come of other settings, and what a journal lets be rolled back.

use elysia_api::ElysiaCollection;
use elysia_core::collection::migration::{Journal, Phase, Tenants};
use elysia_core::version::ServerVersion;
use elysia_testkit::kubernetes::KubernetesApi;
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::change::{Version, Way, back_words, patch, way};
use super::look::{Outlook, Standing};
use super::*;
use crate::cli::client::REQUEST_TIMEOUT;

pub(super) fn object(migration: Option<Value>, status: &Value) -> ElysiaCollection {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "articles", "namespace": "search", "uid": "0123456789"},
        "spec": {"clusterRef": {"name": "wiki"}, "collection": "Articles", "schema": {"vectorizer": "text2vec-openai"}},
        "status": status,
    });
    if let Some(migration) = migration {
        object["spec"]["migration"] = migration;
    }
    serde_json::from_value(object).unwrap()
}

pub(super) fn journal_in(phase: Phase) -> Journal {
    serde_json::from_value(json!({
        "hash": "3f9ac21b0d11", "attempts": 1, "alias": "Live", "from": "Articles", "to": "Articles_2",
        "formerSchema": {"class": "Articles", "vectorizer": "none", "replicationConfig": {"factor": 3}},
        "formerVersion": "1", "wantedSchema": {}, "phase": phase, "since": "2026-11-30T00:00:00Z",
        "begun": "2026-11-30T00:00:00Z",
        "history": [{"from": "Articles", "to": "Articles_2", "stopped": "they differ"}],
    }))
    .unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "as an object has it")]
pub(super) fn declared() -> Option<Value> {
    Some(json!({"alias": "Live", "schemaVersion": "2"}))
}

pub(super) fn bare(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn where_it_stands() {
    let status = json!({
        "live": "Articles",
        "migration": {"from": "Articles", "to": "Articles_2", "phase": "Copy", "objects": 900, "behind": 3, "schemaVersion": "2"},
        "plan": {"hash": "3f9ac21b0d11", "action": "Migrate", "destructive": false, "totalSteps": 7,
                 "waitingFor": "approval: elysia.dev/approve=3f9ac21b0d11"},
    });
    let standing = Standing::of(&object(declared(), &status), Some(journal_in(Phase::Copy))).unwrap();
    assert_snapshot!(bare(&standing.render()), @r"
    migration of articles
    alias      Live → Articles
    declared   version 2
    migration  Articles → Articles_2, version 2
    phase      Copy: objects are copied and caught up with; the old class is live
    copied     900 objects, 3 behind
    waits for  approval: elysia.dev/approve=3f9ac21b0d11
    before     Articles → Articles_2, stopped: they differ
    ");
    let none = Standing::of(&object(declared(), &json!({})), None).unwrap();
    assert_snapshot!(bare(&none.render()), @r"
    migration of articles
    alias      Live → not known yet
    declared   version 2
    migration  none so far
    ");
    assert!(Standing::of(&object(None, &json!({})), None).is_none());
}

#[test]
fn what_other_settings_would_change() {
    let class = json!({"class": "Articles", "vectorizer": "none", "description": "old"});
    let books = json!({"class": "Books", "properties": [{"name": "of", "dataType": ["Articles"]}]});
    let of = |migration: Option<Value>, settings: Value, version: u32, nodes: usize| {
        let all = if nodes == 0 { std::slice::from_ref(&books) } else { &[] };
        let settings: Map<String, Value> = settings.as_object().unwrap().clone();
        let version = Some(ServerVersion::minor(version));
        let outlook =
            Outlook::of(&object(migration, &json!({})), &settings, ("Articles", &class), (version, nodes), None, all);
        (bare(&outlook.render()), outlook.exit())
    };
    let (text, exit) = of(declared(), json!({"vectorizer": "text2vec-openai", "description": "new"}), 38, 3);
    assert_eq!(exit, Exit::Healthy);
    assert_snapshot!(text, @r#"
    against live class Articles
    only a new class has it vectorizer: "none" → "text2vec-openai"
    changed in place description: "old" → "new"
    its objects are migrated into a new class, if it holds any
    "#);
    let (text, exit) =
        of(None, json!({"vectorizer": "x", "properties": [{"name": "by", "dataType": ["Articles"]}]}), 31, 0);
    assert_eq!(exit, Exit::Fault);
    for what in [
        "spec.migration is not declared",
        "aliases need 1.32.0",
        "no node addresses",
        "references of property by lead to the collection itself",
        "references of Books.of lead to class Articles",
    ] {
        assert!(text.contains(what), "{what}\n{text}");
    }
    let by = |to: &str| json!({"vectorizer": "x", "properties": [{"name": "by", "dataType": [to]}]});
    let (text, exit) = of(declared(), by("Authors"), 38, 3);
    assert_eq!(exit, Exit::Fault);
    assert!(text.contains("references of property by lead to class Authors, and there is no class"), "{text}");
    assert!(of(None, json!({}), 38, 3).0.ends_with("nothing changes\n"));
    let script = |source: &str| {
        let migration = json!({"alias": "Live", "transform": [{"script": {"source": source}}]});
        of(Some(migration), json!({"vectorizer": "text2vec-openai"}), 38, 3)
    };
    assert_eq!(script("let x = id;").1, Exit::Healthy);
    let (text, exit) = script("let x = id;\nobject.titel = x;");
    assert_eq!(exit, Exit::Fault);
    let wrong =
        "transformation 1: the script cannot be run: line 2, column 8: the class has no property `titel` at this step";
    assert!(text.contains(wrong), "{text}");
}

#[test]
fn what_can_be_rolled_back() {
    let former = || {
        let schema = json!({"vectorizer": "none"}).as_object().unwrap().clone();
        Way::DeclareFormer(schema, Some("1".to_owned()))
    };
    for (phase, expected) in [
        (Phase::Approve, Some(Way::CallOff)),
        (Phase::Copy, Some(Way::CallOff)),
        (Phase::Final, Some(Way::CallOff)),
        (Phase::Switch, Some(Way::CallOff)),
        (Phase::Verify, None),
        (Phase::Kept, Some(former())),
        (Phase::Over, None),
        (Phase::Thaw, None),
        (Phase::Stopped, None),
    ] {
        let found = way(Some(&journal_in(phase)), None, None);
        match expected {
            Some(expected) => assert_eq!(found, expected, "{phase:?}"),
            None => assert!(matches!(found, Way::Nothing(_)), "{phase:?} {found:?}"),
        }
    }
    assert!(matches!(way(None, None, None), Way::Nothing(_)));
}

#[test]
fn what_a_rollback_says_of_a_collection_with_tenants_is_what_is_done() {
    let kept = journal_in(Phase::Kept);
    assert_snapshot!(back_words(&kept), @"the settings from before are declared again. Articles has them and is kept; what was written since is copied to it before the alias leads back, which needs an approval of its own");
    let tenanted = Journal { tenants: Some(Tenants::default()), ..kept };
    assert_snapshot!(back_words(&tenanted), @"the settings from before are declared again. Nothing is copied back into Articles, because the collection has tenants: a further class is made with these settings and filled from the live one, with what was written since, and is switched to when that is approved, as spec.migration.approval says. Articles stays until you delete it");
}

#[derive(clap::Parser)]
struct Rollback {
    #[command(flatten)]
    args: RollbackArgs,
}

async fn rolls_back(api: &KubernetesApi, line: &str) -> ElysiaCollection {
    use clap::Parser as _;
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    let session = Session::answering(reader, "search", None);
    let parsed = Rollback::try_parse_from(["rollback", "articles"].into_iter().chain(line.split_whitespace())).unwrap();
    change::rollback(&parsed.args, &session).await.unwrap();
    api.object("search", "articles").unwrap()
}

fn seeded(phase: Phase, owner: Option<&str>) -> KubernetesApi {
    let api = KubernetesApi::new();
    let mut articles = object(declared(), &json!({}));
    if let Some(owner) = owner {
        let labels = articles.metadata.labels.get_or_insert_default();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), owner.to_owned());
        let notes = articles.metadata.annotations.get_or_insert_default();
        notes.insert(
            "argocd.argoproj.io/tracking-id".to_owned(),
            "search:elysia.dev/ElysiaCollection:search/articles".to_owned(),
        );
    }
    api.seed(&articles);
    let uid = api.object::<ElysiaCollection>("search", "articles").unwrap().uid().unwrap();
    let text = serde_json::to_string(&journal_in(phase)).unwrap();
    api.seed::<ConfigMap>(
        &serde_json::from_value(json!({
            "metadata": {"name": names::migration_journal("articles", &uid), "namespace": "search"},
            "data": {"journal.json": text},
        }))
        .unwrap(),
    );
    api
}

#[tokio::test]
async fn a_rollback_declares_what_was_before_or_calls_off() {
    let api = seeded(Phase::Kept, None);
    let after = rolls_back(&api, "--yes").await;
    assert_eq!(after.spec.schema.settings.get("vectorizer"), Some(&json!("none")));
    assert_eq!(after.spec.migration.unwrap().schema_version.as_deref(), Some("1"));

    let api = seeded(Phase::Copy, None);
    let after = rolls_back(&api, "--yes").await;
    assert_eq!(after.annotations().get("elysia.dev/rollback").map(String::as_str), Some("3f9ac21b0d11"));
    assert_eq!(after.spec.schema.settings.get("vectorizer"), Some(&json!("text2vec-openai")));

    // Where Argo CD owns it, the patch is printed and nothing is changed.
    let api = seeded(Phase::Kept, Some("argocd"));
    let after = rolls_back(&api, "--yes").await;
    assert_eq!(after.spec.schema.settings.get("vectorizer"), Some(&json!("text2vec-openai")));
}

#[test]
fn a_patch_puts_the_whole_schema_and_names_its_object() {
    let schema = json!({"vectorizer": "none"}).as_object().unwrap().clone();
    assert_eq!(
        patch(&object(declared(), &json!({})), Some(&schema), Version::Named(Some("1"))),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "0123456789"},
            {"op": "add", "path": "/spec/schema", "value": {"vectorizer": "none"}},
            {"op": "add", "path": "/spec/migration/schemaVersion", "value": "1"},
        ])
    );
    let mut changed = object(declared(), &json!({}));
    changed.metadata.generation = Some(7);
    let seen = patch(&changed, None, Version::Kept);
    assert_eq!(seen[1], json!({"op": "test", "path": "/metadata/generation", "value": 7}));
    let nameless = patch(&object(declared(), &json!({})), None, Version::Named(None));
    assert_eq!(nameless[1], json!({"op": "remove", "path": "/spec/migration/schemaVersion"}));
    assert_eq!(patch(&object(None, &json!({})), None, Version::Named(None)).as_array().unwrap().len(), 1);
}

/// With three versions, of which the third was reached by a transformation.
pub(super) fn listed(target: &str, status: &Value) -> ElysiaCollection {
    let mut object = serde_json::to_value(object(Some(json!({"alias": "Live"})), status)).unwrap();
    object["spec"].as_object_mut().unwrap().remove("schema");
    object["spec"]["schemaVersion"] = json!(target);
    object["spec"]["migrations"] = json!([
        {"version": "1", "schema": {"vectorizer": "none"}},
        {"version": "2", "schema": {"vectorizer": "a"}},
        {"version": "3", "schema": {"vectorizer": "b"}},
        {"version": "4", "schema": {"vectorizer": "c"}, "transform": [{"drop": {"property": "body"}}]},
    ]);
    serde_json::from_value(object).unwrap()
}

pub(super) fn at(version: &str) -> Value {
    json!({"live": "Articles_2", "schemaVersion": version})
}

#[test]
fn which_versions_are_done_and_which_wait() {
    let of = |target: &str, version: &str, running: Option<&str>| {
        // From the class that is live.
        let journal = running.map(|running| Journal {
            schema_version: Some(running.to_owned()),
            from: "Articles_2".to_owned(),
            to: "Articles_3".to_owned(),
            ..journal_in(Phase::Copy)
        });
        let standing = Standing::of(&listed(target, &at(version)), journal).unwrap();
        let text = bare(&standing.render());
        let lines = text.lines().filter_map(|line| line.strip_prefix("version "));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("3", "1", Some("2")), ["1 live", "2 running: Copy", "3 waiting", "4 not asked for"]);
    assert_eq!(of("4", "3", None), ["1 done", "2 done", "3 live", "4 waiting"]);
    assert_eq!(of("4", "4", None), ["1 done", "2 done", "3 done", "4 live"]);
    // Back.
    assert_eq!(of("1", "3", None), ["1 waiting", "2 done", "3 live", "4 not asked for"]);
    assert_eq!(of("1", "3", Some("1")), ["1 running: Copy", "2 done", "3 live", "4 not asked for"]);
    let standing = Standing::of(&listed("4", &at("3")), None).unwrap();
    assert!(bare(&standing.render()).contains("declared   version 4\n"));
}

#[test]
fn up_to_a_version_asks_for_it_and_never_for_an_earlier_one() {
    let (patch, words) = versions::up(&listed("1", &at("1")), "3").unwrap();
    assert_eq!(
        patch,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "0123456789"},
            {"op": "add", "path": "/spec/schemaVersion", "value": "3"},
        ])
    );
    assert!(words.starts_with("from version 1 to 2, 3, one after the other"), "{words}");
    assert!(versions::up(&listed("3", &at("3")), "3").unwrap().1.contains("has version 3 already"));
    assert!(versions::up(&listed("3", &json!({})), "3").unwrap().1.contains("was not said yet"));
    let refused = |object: &ElysiaCollection, to: &str| match versions::up(object, to).unwrap_err() {
        versions::Refusal::No(why, next) => format!("{why} | {next}"),
        other => format!("{other:?}"),
    };
    assert_eq!(
        refused(&listed("4", &at("4")), "2"),
        "version 2 is before 4, which the collection has: to go back is another thing than to go up | kubectl elysia migrate rollback articles --steps 2"
    );
    assert!(refused(&listed("4", &at("4")), "9").contains("it has 1, 2, 3, 4"));
    assert_eq!(refused(&object(declared(), &json!({})), "2"), "NoList");
}

#[test]
fn some_versions_back_say_how_before_they_are_asked_for() {
    let kept = |former: &str| Journal { former_version: Some(former.to_owned()), ..journal_in(Phase::Kept) };
    let (patch, words) = versions::back(&listed("3", &at("3")), Some(&kept("2")), 1).unwrap();
    assert_eq!(patch[1]["value"], "2");
    assert!(words.contains("Articles has it and is kept"), "{words}");
    let (patch, words) = versions::back(&listed("3", &at("3")), Some(&kept("2")), 2).unwrap();
    assert_eq!(patch[1]["value"], "1");
    assert!(
        words.contains("2 back, in one step") && words.contains("has to go first, unless spec.migration.keep"),
        "{words}"
    );
    let refused = |object: &ElysiaCollection, journal: Option<&Journal>, steps: usize| match versions::back(
        object, journal, steps,
    )
    .unwrap_err()
    {
        versions::Refusal::No(why, _) | versions::Refusal::Unknown(why) => why,
        versions::Refusal::NoList => "no list".to_owned(),
    };
    assert!(refused(&listed("4", &at("4")), None, 2).contains("transformed on the way to version 4"));
    assert!(refused(&listed("3", &at("3")), None, 3).contains("has 2 before it, not 3"));
    assert!(refused(&listed("3", &at("3")), Some(&journal_in(Phase::Copy)), 2).contains("is called off before"));
    assert!(refused(&listed("3", &json!({})), None, 1).contains("is not known"));
    assert_eq!(refused(&object(declared(), &json!({})), Some(&journal_in(Phase::Kept)), 2), "no list");
}

#[derive(clap::Parser)]
struct Up {
    #[command(flatten)]
    args: UpArgs,
}

/// Another plan of the collection may wait by the time that somebody approves the switch.
#[tokio::test]
async fn who_approves_the_switch_approves_no_other_plan() {
    use clap::Parser as _;
    for (action, error) in [
        ("Migrate", None),
        ("Recreate", Some("the plan of articles that waits switches nothing: it is Recreate, 3f9ac21b0d11")),
    ] {
        let plan = json!({"hash": "3f9ac21b0d11", "action": action, "destructive": true, "totalSteps": 9,
                          "waitingFor": "approval: elysia.dev/approve=3f9ac21b0d11"});
        let api = KubernetesApi::new();
        api.seed(&object(declared(), &json!({"plan": plan})));
        let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
        let session = Session::answering(reader, "search", None);
        let args = Up::try_parse_from(["up", "articles", "--approve", "--yes"]).unwrap().args;
        let done = change::up(&args, &session).await;
        let said = done.err().and_then(|stop| match stop {
            Stop::Said { message, .. } => Some(message),
            Stop::Output(_) => None,
        });
        let after: ElysiaCollection = api.object("search", "articles").unwrap();
        let approved = after.annotations().get("elysia.dev/approve").map(String::as_str);
        match error {
            None => assert_eq!((approved, said), (Some("3f9ac21b0d11"), None)),
            Some(error) => assert_eq!((approved, said.as_deref()), (None, Some(error))),
        }
    }
}
