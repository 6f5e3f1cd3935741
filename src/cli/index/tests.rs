//! What is shown of feeds, and what starting a run does.

use clap::Parser as _;
use elysia_api::IndexSource;
use elysia_engine::category::Category;
use elysia_engine::ledger::Ledger;
use elysia_engine::rejection;
use elysia_engine::rejects::Reject;
use elysia_testkit::kubernetes::KubernetesApi;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;
use serde_json::{Value, json};

use super::super::client::{REQUEST_TIMEOUT, Reader};
use super::super::session::{Session, Stop};
use super::errors::{Errors, ErrorsArgs};
use super::start::{self, RunArgs};
use super::status::{Standing, table, whole};

fn feed(status: &Value) -> IndexSource {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
        "metadata": {"name": "docs", "namespace": "search", "generation": 2},
        "spec": {"clusterRef": {"name": "wiki"}, "collection": "Articles", "source": {"configMap": {"name": "lines"}}},
        "status": status,
    }))
    .unwrap()
}

fn condition(kind: &str, value: &str, reason: &str) -> Value {
    json!({"type": kind, "status": value, "reason": reason, "message": "5 lines\u{1b}[2J", "lastTransitionTime": "2026-11-21T11:00:00Z"})
}

fn indexed(state: &str, rejected: i64) -> Value {
    let letter = |line: i64| json!({"file": "a.jsonl", "line": line, "offset": 0, "length": 9, "category": "validation", "reason": "`op` is missing"});
    json!({
        "observedGeneration": 2,
        "counts": {"lines": 600, "added": 600 - rejected, "modified": 0, "deleted": 0, "renamed": 0, "unchanged": 0, "rejected": rejected},
        "errors": if rejected > 0 { json!({"validation": rejected, "network": 1}) } else { json!({}) },
        "checkpoint": {"file": "b.jsonl", "offset": 77, "filesDone": 1},
        "run": {"id": "0123456789ab", "state": state, "job": "docs-0123456789ab", "startedAt": "2026-11-21T11:59:00Z"},
        "deadLetter": (1..=rejected.min(3)).map(letter).collect::<Vec<_>>(),
        "lastHandled": "earlier",
        "conditions": [condition("Ready", "True", "Complete")],
    })
}

fn text(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn what_is_not_known_is_not_zero() {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let mut stale = indexed("Succeeded", 0);
    stale["observedGeneration"] = json!(1);
    let standings =
        [feed(&indexed("Running", 4)), feed(&json!({})), feed(&stale)].iter().map(Standing::of).collect::<Vec<_>>();
    insta::assert_snapshot!(text(&table(&standings, now)), @r"
    NAMESPACE   NAME   COLLECTION   RUN       LINES   REJECTED   LINES/S   READY           STARTED
    search      docs   Articles     Running   600     4          10        True/Complete   60s
    search      docs   Articles     -         ?       ?          ?         Unknown         -
    search      docs   Articles     -         ?       ?          ?         Unknown         -
    ");
    insta::assert_snapshot!(text(&whole(&standings[0], now)), @r"
    search/docs into Articles
    ready      True/Complete: 5 lines [2J
    run        0123456789ab, Running, Job docs-0123456789ab
    lines      600 = 596 added + 0 modified + 0 deleted + 0 renamed + 0 unchanged + 4 rejected
               why: kubectl elysia index errors docs -n search
    rate       10 lines in each second
    done       1 files, 77 bytes of b.jsonl
    started    60s ago
    ");
    insta::assert_snapshot!(text(&whole(&standings[1], now)), @r"
    search/docs into Articles
    ready      Unknown: the operator has not looked at it yet
    ");
}

#[derive(clap::Parser)]
struct AskErrors {
    #[command(flatten)]
    args: ErrorsArgs,
}

fn errors(status: &Value, line: &str) -> String {
    let parsed = AskErrors::try_parse_from(["errors", "docs"].into_iter().chain(line.split_whitespace())).unwrap();
    Errors::of(&feed(status), None, &parsed.args).map_or_else(|| "unknown".to_owned(), |errors| text(&errors.text()))
}

#[test]
fn what_was_rejected_is_told_by_category_and_by_line() {
    insta::assert_snapshot!(errors(&indexed("Running", 5), ""), @r"
    CATEGORY     COUNT
    validation   5
    network      1
    a.jsonl:1: validation: `op` is missing
    a.jsonl:2: validation: `op` is missing
    a.jsonl:3: validation: `op` is missing
    and 2 more
    ");
    insta::assert_snapshot!(errors(&indexed("Running", 5), "--recent 1"), @r"
    CATEGORY     COUNT
    validation   5
    network      1
    a.jsonl:3: validation: `op` is missing
    and 4 more
    ");
    insta::assert_snapshot!(errors(&indexed("Running", 5), "--summary"), @r"
    CATEGORY     COUNT
    validation   5
    network      1
    ");
    assert_eq!(errors(&indexed("Running", 0), ""), "");
    assert_eq!(errors(&json!({"observedGeneration": 2}), ""), "unknown");
}

fn counted(rejected: u64) -> Ledger {
    let mut ledger = Ledger::begin("run", "Articles", "2026-11-21T11:59:00Z".parse().unwrap());
    ledger.counts.lines = rejected;
    ledger.counts.rejected = rejected;
    for line in 1..=rejected {
        ledger.errors.count(Category::Validation);
        let letter = rejection::DeadLetter {
            file: "a.jsonl".to_owned(),
            line,
            offset: line,
            length: 9,
            category: Category::Validation,
            reason: "`op` is missing".to_owned(),
        };
        ledger.rejects.lines.push(Reject { number: line, letter, documents: Vec::new(), is_superseded: false });
    }
    ledger.rejects.seen = rejected;
    ledger
}

fn lines(feed: &IndexSource, ledger: &Ledger, line: &str) -> Vec<String> {
    let parsed = AskErrors::try_parse_from(["errors", "docs"].into_iter().chain(line.split_whitespace())).unwrap();
    let errors = Errors::of(feed, Some(ledger), &parsed.args).unwrap();
    text(&errors.text()).lines().map(str::to_owned).collect()
}

/// What `index errors --reset` ends with.
async fn resets(api: &KubernetesApi, line: &str) -> (String, IndexSource) {
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    let session = Session::answering(reader, "search", None);
    let parsed = AskErrors::try_parse_from(["errors", "docs"].into_iter().chain(line.split_whitespace())).unwrap();
    let end = match super::errors::run(&parsed.args, &session).await {
        Ok(exit) => format!("{exit:?}"),
        Err(Stop::Said { exit, message, .. }) => format!("{exit:?}: {message}"),
        Err(Stop::Output(error)) => format!("{error}"),
    };
    (end, api.object::<IndexSource>("search", "docs").unwrap())
}

#[tokio::test]
async fn what_was_seen_is_hidden_and_nothing_else_changes() {
    let api = KubernetesApi::new();
    let mut owned = feed(&indexed("Succeeded", 30));
    api.seed(&owned);
    assert_eq!(resets(&api, "--reset").await.0, "Unknown: no run of docs was counted yet");
    let keep = |ledger: &Ledger| {
        let data = json!({"ledger.json": serde_json::to_string(ledger).unwrap()});
        api.seed::<ConfigMap>(
            &serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "docs-ledger", "namespace": "search"},
                "data": data,
            }))
            .unwrap(),
        );
    };
    let before = counted(30);
    keep(&before);
    assert_eq!(resets(&api, "").await.0, "Fault");
    let (end, docs) = resets(&api, "--reset").await;
    assert_eq!(end, "Healthy");
    assert_eq!((&docs.spec, &docs.status), (&owned.spec, &owned.status));
    assert!(api.transcript().contains("POST events Normal ErrorsSeen"), "{}", api.transcript());
    assert_eq!(resets(&api, "").await.0, "Healthy");
    assert_eq!(lines(&docs, &before, ""), Vec::<String>::new());
    assert_eq!(lines(&docs, &counted(32), "").len(), 4, "a head, a category and the two that came since");
    assert_eq!(lines(&docs, &counted(32), "--all").len(), 34);
    assert_eq!(lines(&docs, &counted(32), "--summary")[1], "validation   2");
    // A ledger that began anew counts anew.
    let anew = Ledger { counting_since: Some("2026-11-21T12:00:00Z".parse().unwrap()), ..counted(31) };
    assert_eq!(lines(&docs, &anew, "--recent").len(), 2 + 5 + 1);
    assert_eq!(lines(&docs, &anew, "--recent").last().unwrap(), "and 26 more");
    assert!(lines(&docs, &anew, "--recent 1")[2].starts_with("a.jsonl:31: "));
    // What a tool owns it has to write.
    owned.metadata.labels = Some([("kustomize.toolkit.fluxcd.io/name".to_owned(), "apps".to_owned())].into());
    api.seed(&owned);
    let (end, docs) = resets(&api, "--reset").await;
    assert_eq!((end.as_str(), docs.annotations().len()), ("Fault", 0));
    assert_eq!(resets(&api, "--reset --force").await.0, "Healthy");
}

#[derive(clap::Parser)]
struct AskRun {
    #[command(flatten)]
    args: RunArgs,
}

/// What `index run` ends with, and the word that stands on the object.
async fn runs(api: &KubernetesApi, line: &str) -> (String, Option<String>) {
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    let session = Session::answering(reader, "search", None);
    let parsed = AskRun::try_parse_from(["run", "docs"].into_iter().chain(line.split_whitespace())).unwrap();
    let end = match start::run("docs", &parsed.args, &session).await {
        Ok(exit) => format!("{exit:?}"),
        Err(Stop::Said { exit, message, .. }) => format!("{exit:?}: {message}"),
        Err(Stop::Output(error)) => format!("{error}"),
    };
    let object = api.object::<IndexSource>("search", "docs");
    (end, object.and_then(|object| object.annotations().get("elysia.dev/run-now").cloned()))
}

#[test]
fn files_are_told_from_feeds_by_the_collection() {
    let task = |line: &str| {
        let parsed = match AskRun::try_parse_from(line.split_whitespace()) {
            Ok(parsed) => parsed,
            Err(error) => return format!("{:?}", error.kind()),
        };
        match parsed.args.task() {
            Ok(task) => format!("{task:?}"),
            Err(Stop::Said { message, .. }) => message,
            Err(Stop::Output(error)) => error.to_string(),
        }
    };
    for (line, wanted) in [
        ("run docs", r#"Feed("docs")"#),
        ("run a.jsonl - --collection Files", r#"Files { files: ["a.jsonl", "-"], collection: "Files" }"#),
        ("run", "MissingRequiredArgument"),
        ("run docs --wait --collection Files", "ArgumentConflict"),
        ("run docs --grpc http://here:1", "MissingRequiredArgument"),
        ("run docs --cluster a --url http://here:1 --collection Files", "ArgumentConflict"),
        ("run a.jsonl b.jsonl", "name one IndexSource; if a.jsonl, b.jsonl are files, say --collection as well"),
        (
            "run a.jsonl --ledger there",
            "how to index is said by the IndexSource a.jsonl itself; if a.jsonl is a file, say --collection as well",
        ),
        ("run a --collection Files --property =x", "ValueValidation"),
    ] {
        assert_eq!(task(line), wanted, "{line}");
    }
}

#[tokio::test]
async fn a_run_is_asked_for_and_waited_for() {
    let api = KubernetesApi::new();
    assert_eq!(runs(&api, "").await.0, "Fault: there is no IndexSource docs in namespace search");
    api.seed(&feed(&indexed("Succeeded", 0)));
    let (end, word) = runs(&api, "").await;
    assert_eq!(end, "Healthy");
    assert!(api.transcript().contains("POST events Normal RunAsked"), "{}", api.transcript());
    let word = word.unwrap();
    assert!(word.parse::<jiff::Timestamp>().is_ok(), "{word}");
    // The status speaks of the run before, so its end is not the end of this one.
    let (end, later) = runs(&api, "--wait --timeout 1s").await;
    assert_eq!(end, "Unknown: waited 1s in vain for the run to end");
    assert_ne!(later.unwrap(), word);
}

#[tokio::test]
async fn what_a_tool_owns_is_left_to_it() {
    let api = KubernetesApi::new();
    let mut owned = feed(&indexed("Succeeded", 0));
    owned.metadata.labels = Some([("kustomize.toolkit.fluxcd.io/name".to_owned(), "apps".to_owned())].into());
    api.seed(&owned);
    assert_eq!(runs(&api, "").await, ("Fault".to_owned(), None));
    let (end, word) = runs(&api, "--force").await;
    assert!(end == "Healthy" && word.is_some(), "{end}");
}
