//! Pictures: what people see, and what programs get.

use elysia_core::health::{Report, Scope, Sighted, Sightings, Unread, judge};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::table::{View, render};
use crate::cli::{Output, encode};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    let since = "2026-11-21T11:48:00Z";
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
}

fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "search", "generation": 1},
        "spec": spec, "status": status,
    })
}

fn cluster(nodes: &[Value], conditions: &[Value]) -> Value {
    let ready = nodes.iter().filter(|node| node["ready"] == true).count();
    let status = json!({
        "observedGeneration": 1, "phase": "Ready", "version": "1.38.2",
        "nodesReady": format!("{ready}/{}", nodes.len()), "nodes": nodes, "conditions": conditions,
    });
    let spec = json!({"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "10Gi"}}});
    object("WeaviateCluster", "wiki", &spec, &status)
}

fn node(ordinal: u32, raft: &str) -> Value {
    json!({"name": format!("wiki-{ordinal}"), "ready": true, "version": "1.38.2", "raft": raft, "shards": 12})
}

fn healthy_cluster() -> Value {
    let nodes = [node(0, "Leader"), node(1, "Follower"), node(2, "Follower")];
    cluster(&nodes, &[condition("Ready", "True", "AsDeclared", "3 of 3 nodes are ready")])
}

fn collection(name: &str, class: &str, mut status: Value) -> Value {
    status["observedGeneration"] = json!(1);
    let spec = json!({"clusterRef": {"name": "wiki"}, "collection": class, "replication": {"factor": 3}});
    object("ElysiaCollection", name, &spec, &status)
}

fn articles() -> Value {
    let status = json!({
        "replication": {"desired": 3, "lowest": 3, "shards": 3},
        "objects": {"count": 1250, "at": "2026-11-21T11:59:00Z", "source": "ids"},
        "conditions": [condition("Ready", "True", "AsDeclared", "3 shards have 3 replicas each")],
    });
    collection("articles", "Articles", status)
}

fn feed(rejected: i64) -> Value {
    let reason = if rejected == 0 { "Complete" } else { "CompleteWithRejects" };
    let mut status = json!({
        "observedGeneration": 1,
        "counts": {
            "lines": 2104, "added": 1400 - rejected, "modified": 500, "deleted": 100, "renamed": 104, "unchanged": 0,
            "rejected": rejected,
        },
        "conditions": [condition("Ready", "True", reason, ""), condition("CaughtUp", "True", reason, "")],
    });
    if rejected > 0 {
        status["deadLetter"] = json!([{
            "file": "changes.jsonl", "line": 17, "offset": 9120, "length": 88, "category": "validation",
            "reason": "`path` is missing; every line names the file that it is about",
        }]);
    }
    let spec = json!({
        "clusterRef": {"name": "wiki"}, "collection": "Articles", "source": {"configMap": {"name": "changes"}},
    });
    object("IndexSource", "handbook", &spec, &status)
}

fn lease(age: i64) -> Sighted<Option<Lease>> {
    let renewed = now() - SignedDuration::from_secs(age);
    let lease = json!({
        "metadata": {"name": "elysia-operator"},
        "spec": {"holderIdentity": "elysia-operator-6d5f7c9b44-kx2lq", "renewTime": format!("{renewed:.6}")},
    });
    Sighted::Seen(Some(serde_json::from_value(lease).unwrap()))
}

fn seen<K: DeserializeOwned, M>(objects: Vec<Value>) -> Sighted<Vec<Result<K, M>>> {
    Sighted::Seen(objects.into_iter().map(|object| Ok(serde_json::from_value(object).unwrap())).collect())
}

fn sightings(clusters: Vec<Value>, collections: Vec<Value>, feeds: Vec<Value>) -> Sightings {
    Sightings {
        scope: Scope { namespace: Some("search".to_owned()), cluster: None },
        operator_namespace: "elysia-system".to_owned(),
        lease: lease(2),
        clusters: seen(clusters),
        collections: seen(collections),
        feeds: seen(feeds),
        backups: seen(vec![]),
        restores: seen(vec![]),
    }
}

fn well() -> Sightings {
    sightings(vec![healthy_cluster()], vec![articles()], vec![feed(0)])
}

fn node_missing() -> Sightings {
    let message = "2 of 3 nodes are ready; wiki-2 is not: pod is being created";
    let missing = json!({"name": "wiki-2", "ready": false, "waitingFor": "pod is being created"});
    let nodes = [missing, node(0, "Leader"), node(1, "Follower")];
    let conditions = [
        condition("Ready", "False", "NodesMissing", message),
        condition("Available", "True", "AsDeclared", "2 of 3 nodes serve"),
        condition("Reconciling", "True", "NodesMissing", message),
    ];
    sightings(vec![cluster(&nodes, &conditions)], vec![articles()], vec![feed(0)])
}

fn replicas_behind() -> Sightings {
    let message = "2 of 3 shards have fewer than 3 replicas; 1 of 4 copies is done";
    let status = json!({
        "replication": {
            "desired": 3, "lowest": 1, "shards": 3, "behindTotal": 2,
            "behind": [
                {"shard": "k2Xc", "replicas": ["wiki-0", "wiki-1"]},
                {"shard": "a81f", "replicas": ["wiki-0"]},
            ],
        },
        "objects": {"count": 640, "at": "2026-11-21T11:59:00Z", "source": "ids"},
        "conditions": [
            condition("Ready", "False", "Copying", message),
            condition("ReplicasInSync", "False", "Copying", message),
            condition("Reconciling", "True", "Copying", message),
        ],
    });
    sightings(vec![healthy_cluster()], vec![articles(), collection("notes", "Notes", status)], vec![feed(0)])
}

fn plan_waiting() -> Sightings {
    let message = "vectorIndexType differs and cannot be changed; a plan waits for approval";
    let status = json!({
        "replication": {"desired": 3, "lowest": 3, "shards": 3},
        "objects": {"count": 0, "at": "2026-11-21T11:59:00Z", "source": "ids"},
        "drift": [{
            "path": "vectorIndexType", "live": "hnsw", "wanted": "flat", "verdict": "Recreate",
            "since": "2026-11-21T09:00:00Z",
        }],
        "plan": {
            "hash": "3f9ac21b", "action": "Recreate", "destructive": true, "totalSteps": 4, "waitingFor": "approval",
            "steps": ["freeze every shard on every replica", "prove that it is empty", "delete and create Notes"],
        },
        "conditions": [
            condition("Ready", "False", "NeedsApproval", message),
            condition("Stalled", "True", "NeedsApproval", message),
        ],
    });
    sightings(vec![healthy_cluster()], vec![collection("notes", "Notes", status)], vec![])
}

fn just_applied() -> Sightings {
    let mut fresh = healthy_cluster();
    let spec = json!({"clusterRef": {"name": "wiki"}, "collection": "Articles"});
    let mut unseen = object("ElysiaCollection", "articles", &spec, &Value::Null);
    fresh["status"] = json!({"observedGeneration": 1, "phase": "Starting", "nodesReady": "0/3", "conditions": [
        condition("Ready", "False", "Starting", "0 of 3 nodes are ready"),
        condition("Reconciling", "True", "Starting", "0 of 3 nodes are ready"),
    ]});
    unseen.as_object_mut().unwrap().remove("status");
    sightings(vec![fresh], vec![unseen], vec![])
}

fn dead_api_server() -> Sightings {
    let unread = || Unread {
        message: "the API server did not answer within 5s".to_owned(),
        next: "kubectl cluster-info".to_owned(),
    };
    Sightings {
        lease: Sighted::Unreadable(unread()),
        clusters: Sighted::Unreadable(unread()),
        collections: Sighted::Unreadable(unread()),
        feeds: Sighted::Unreadable(unread()),
        backups: Sighted::Unreadable(unread()),
        restores: Sighted::Unreadable(unread()),
        ..well()
    }
}

fn feeds_forbidden() -> Sightings {
    let unread = Unread {
        message: "forbidden: your account lacks the verb `list` on `indexsources.elysia.dev` in namespace search"
            .to_owned(),
        next: "kubectl auth can-i list indexsources.elysia.dev -n search".to_owned(),
    };
    Sightings { feeds: Sighted::Unreadable(unread), ..well() }
}

fn backups() -> Sightings {
    let backup = |name: &str, last: Option<&str>, conditions: &[Value], plan: Value| {
        let spec = json!({
            "clusterRef": {"name": "wiki"}, "store": {"s3": {"bucket": "backups"}},
            "schedule": {"cron": "0 3 * * *"}, "deadline": "6h",
        });
        let status = json!({
            "observedGeneration": 1, "lastSuccess": last, "nextRun": "2026-11-22T03:00:00Z", "plan": plan,
            "totals": {"runs": 12, "bytes": 1, "verified": 12, "suspect": i32::from(!plan.is_null())},
            "conditions": conditions,
        });
        object("CollectionBackup", name, &spec, &status)
    };
    let restore = |name: &str, status: Value| {
        let spec = json!({
            "clusterRef": {"name": "wiki"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": "ArticlesRestored",
        });
        object("CollectionRestore", name, &spec, &status)
    };
    let verified = condition("Verified", "True", "Verified", "run 20261121T030000Z-aaaa was read back");
    let unread = condition(
        "Verified",
        "False",
        "NotVerified",
        "run 20261120T030000Z-bbbb was not read back; see what keeps it: spec.verify.afterRun",
    );
    let lacks = "run 20261121T030000Z-cccc is Suspect: it lacks collection Notes";
    let plan = |action: &str, step: &str| {
        json!({
            "hash": "3f9ac21b0d11", "action": action, "destructive": true, "totalSteps": 1, "steps": [step],
            "waitingFor": "approval: elysia.dev/approve=3f9ac21b0d11",
        })
    };
    let scheduled = condition("Ready", "True", "Scheduled", "");
    Sightings {
        backups: seen(vec![
            backup("nightly", Some("2026-11-21T03:04:00Z"), &[scheduled.clone(), verified], Value::Null),
            backup("late", Some("2026-11-19T03:04:00Z"), &[scheduled, unread], Value::Null),
            backup(
                "suspect",
                Some("2026-11-20T03:04:00Z"),
                &[condition("Ready", "False", "Suspect", lacks), condition("Stalled", "True", "Suspect", lacks)],
                plan("Accept", "accept run 20261121T030000Z-cccc"),
            ),
        ]),
        restores: seen(vec![
            restore(
                "back",
                json!({
                    "observedGeneration": 1, "phase": "Succeeded", "run": "20261121T030000Z-aaaa",
                    "objects": {"total": 1250, "done": 1250}, "conditions": [condition("Ready", "True", "Restored", "")],
                }),
            ),
            restore(
                "over",
                json!({
                    "observedGeneration": 1, "phase": "NeedsApproval", "plan": plan("Overwrite", "put Articles in place"),
                    "conditions": [
                        condition("Ready", "False", "NeedsApproval", "ArticlesRestored holds objects"),
                        condition("Stalled", "True", "NeedsApproval", "ArticlesRestored holds objects"),
                    ],
                }),
            ),
        ]),
        ..sightings(vec![healthy_cluster()], vec![articles()], vec![])
    }
}

fn judged(sightings: &Sightings) -> Report {
    judge(sightings, now())
}

fn coloured(sightings: &Sightings, verbose: bool, all_namespaces: bool) -> String {
    render(&judged(sightings), &View { verbose, all_namespaces, now: now() })
}

/// What somebody without colours sees, and what the command ends with.
fn picture(sightings: &Sightings, verbose: bool, all_namespaces: bool) -> String {
    let text = anstream::adapter::strip_str(&coloured(sightings, verbose, all_namespaces)).to_string();
    format!("{text}\nexit code {}", judged(sightings).exit_code)
}

#[test]
fn tables() {
    insta::assert_snapshot!("table_healthy", picture(&well(), false, false));
    insta::assert_snapshot!("table_node_missing", picture(&node_missing(), false, false));
    insta::assert_snapshot!("table_replicas_behind", picture(&replicas_behind(), false, false));
    insta::assert_snapshot!("table_plan_waiting", picture(&plan_waiting(), false, false));
    insta::assert_snapshot!("table_just_applied", picture(&just_applied(), false, false));
    insta::assert_snapshot!("table_dead_api_server", picture(&dead_api_server(), false, false));
    insta::assert_snapshot!("table_feeds_forbidden", picture(&feeds_forbidden(), false, false));
    let rejects = sightings(vec![healthy_cluster()], vec![articles()], vec![feed(3)]);
    insta::assert_snapshot!("table_rejects", picture(&rejects, false, false));
    insta::assert_snapshot!("table_backups", picture(&backups(), false, false));
    let silent = Sightings { lease: lease(95), ..well() };
    insta::assert_snapshot!("table_operator_silent", picture(&silent, false, false));
    insta::assert_snapshot!("table_empty", picture(&sightings(vec![], vec![], vec![]), false, false));
}

#[test]
fn tables_that_say_more() {
    insta::assert_snapshot!("verbose_replicas_behind", picture(&replicas_behind(), true, true));
    insta::assert_snapshot!("verbose_plan_waiting", picture(&plan_waiting(), true, false));
    insta::assert_snapshot!("verbose_backups", picture(&backups(), true, true));
    let rejects = sightings(vec![healthy_cluster()], vec![], vec![feed(3)]);
    insta::assert_snapshot!("verbose_rejects", picture(&rejects, true, false));
}

#[test]
fn programs_get_everything() {
    let json = |sightings: &Sightings| encode(&judged(sightings), Output::Json).unwrap();
    insta::assert_snapshot!("json_node_missing", json(&node_missing()));
    insta::assert_snapshot!("json_plan_waiting", json(&plan_waiting()));
    insta::assert_snapshot!("json_feeds_forbidden", json(&feeds_forbidden()));
    insta::assert_snapshot!("json_backups", json(&backups()));
    insta::assert_snapshot!("yaml_healthy", encode(&judged(&well()), Output::Yaml).unwrap());
}

#[test]
fn colour_is_only_decoration() {
    let ink = coloured(&node_missing(), false, false);
    assert!(ink.contains("\u{1b}[1m\u{1b}[31m✗\u{1b}[0m"), "{ink:?}");
    let words = picture(&node_missing(), false, false);
    assert!(!words.contains('\u{1b}'));
    for word in ["fault", "healthy", "not ready", "hint: "] {
        assert!(words.contains(word), "{word}");
    }
}

#[test]
fn what_others_wrote_cannot_steer_the_terminal() {
    let message = "\u{1b}[2Jall is\nwell\u{7}";
    let sly = cluster(&[], &[condition("Ready", "False", "NodesMissing", message)]);
    let text = coloured(&sightings(vec![sly], vec![], vec![]), true, false);
    assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{7}') && !text.contains("is\nwell"), "{text:?}");
}
