//! Tables: what was seen on the left, what is said about it on the right.

use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};

use super::{
    Listing, Malformed, Report, Scope, Sighted, Sightings, Standing, Unread, Verdict, judge, of_cluster, of_collection,
    of_feed, of_operator, why,
};

mod backups;

const NOW: &str = "2026-11-21T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Conditions from lines such as `Ready=False NodesMissing`.
fn conditions(lines: &[&str]) -> Value {
    let condition = |line: &&str| {
        let (condition, reason) = line.split_once(' ').unwrap_or((line, "AsDeclared"));
        let (kind, status) = condition.split_once('=').unwrap();
        json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW})
    };
    lines.iter().map(condition).collect()
}

fn cluster(name: &str, lines: &[&str]) -> WeaviateCluster {
    cluster_at(name, 1, Some(1), lines)
}

fn cluster_at(name: &str, generation: i64, observed: Option<i64>, lines: &[&str]) -> WeaviateCluster {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": name, "namespace": "search", "generation": generation},
        "spec": {"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "10Gi"}}},
        "status": {"observedGeneration": observed, "conditions": conditions(lines)},
    }))
    .unwrap()
}

fn collection(name: &str, cluster: &str, lines: &[&str], status: &Value) -> ElysiaCollection {
    let mut whole = json!({"observedGeneration": 1, "conditions": conditions(lines)});
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": name, "namespace": "search", "generation": 1},
        "spec": {"clusterRef": {"name": cluster}, "collection": "Articles", "replication": {"factor": 3}},
        "status": whole,
    }))
    .unwrap()
}

fn feed(name: &str, cluster: &str, lines: &[&str], status: &Value) -> IndexSource {
    let mut whole = json!({"observedGeneration": 1, "conditions": conditions(lines)});
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
        "metadata": {"name": name, "namespace": "search", "generation": 1},
        "spec": {
            "clusterRef": {"name": cluster}, "collection": "Articles",
            "source": {"configMap": {"name": "lines"}},
        },
        "status": whole,
    }))
    .unwrap()
}

fn lease(holder: &str, renewed: Option<&str>) -> Sighted<Option<Lease>> {
    let lease =
        json!({"metadata": {"name": "elysia-operator"}, "spec": {"holderIdentity": holder, "renewTime": renewed}});
    Sighted::Seen(Some(serde_json::from_value(lease).unwrap()))
}

fn fresh() -> Sighted<Option<Lease>> {
    lease("elysia-operator-0", Some("2026-11-21T11:59:58.000000Z"))
}

fn seen<K: Clone>(objects: &[K]) -> Listing<K> {
    Sighted::Seen(objects.iter().cloned().map(Ok).collect())
}

fn unreadable<K>() -> Listing<K> {
    Sighted::Unreadable(unread())
}

fn unread() -> Unread {
    Unread { message: "forbidden".to_owned(), next: "kubectl auth can-i".to_owned() }
}

fn sightings(clusters: &[WeaviateCluster], collections: &[ElysiaCollection], feeds: &[IndexSource]) -> Sightings {
    Sightings {
        scope: Scope { namespace: Some("search".to_owned()), cluster: None },
        operator_namespace: "elysia-system".to_owned(),
        lease: fresh(),
        clusters: seen(clusters),
        collections: seen(collections),
        feeds: seen(feeds),
        backups: seen::<CollectionBackup>(&[]),
        restores: seen::<CollectionRestore>(&[]),
    }
}

fn well() -> Sightings {
    let clusters = [cluster("wiki", &["Ready=True"])];
    let collections = [collection("articles", "wiki", &["Ready=True"], &json!({}))];
    sightings(&clusters, &collections, &[feed("handbook", "wiki", &["Ready=True", "CaughtUp=True"], &json!({}))])
}

fn said(standing: &Standing) -> String {
    format!("{} {} {}", standing.verdict, standing.word(), standing.reason)
}

#[test]
fn conditions_are_the_verdict() {
    let check = |lines: &[&str], wanted: &str| {
        assert_eq!(said(&of_cluster(&cluster("wiki", lines))), wanted, "{lines:?}");
    };
    check(&["Ready=True"], "healthy healthy AsDeclared");
    check(&["Ready=True Hibernated", "Available=False Hibernated"], "healthy healthy Hibernated");
    check(&["Ready=True Paused"], "healthy healthy Paused");
    check(&["Ready=False NodesMissing"], "fault fault NodesMissing");
    check(&["Ready=False NodesMissing", "Reconciling=True NodesMissing"], "fault fault NodesMissing");
    check(&["Ready=False Starting", "Reconciling=True Starting"], "fault working Starting");
    check(&["Ready=False SecretMissing", "Stalled=True SecretMissing"], "fault stalled SecretMissing");
    check(&["Ready=True", "Stalled=True Conflict"], "fault stalled Conflict");
    check(&["Ready=Unknown Unreachable"], "unknown unknown Unreachable");
    check(&["Ready=Unknown Unreachable", "Stalled=True SecretMissing"], "fault stalled Unreachable");
    check(&["Ready=True", "Stalled=True Paused"], "healthy healthy AsDeclared");
    check(&["Ready=False ReplicasBehind", "Stalled=True Paused"], "fault stalled ReplicasBehind");
    check(&["Ready=Perhaps Odd"], "unknown unknown Odd");
    check(&["Ready=False Paused"], "unknown unknown Paused");
    check(&["Available=True"], "unknown unknown NotObserved");
    check(&[], "unknown unknown NotObserved");
}

#[test]
fn a_status_about_another_spec_says_nothing() {
    let check = |generation, observed, wanted: &str| {
        assert_eq!(said(&of_cluster(&cluster_at("wiki", generation, observed, &["Ready=True"]))), wanted);
    };
    check(2, Some(2), "healthy healthy AsDeclared");
    check(2, Some(1), "unknown unknown Outdated");
    check(2, None, "unknown unknown NotObserved");
    check(2, Some(3), "healthy healthy AsDeclared");

    let mut no_status = cluster("wiki", &["Ready=True"]);
    no_status.status = None;
    assert_eq!(said(&of_cluster(&no_status)), "unknown unknown NotObserved");

    let mut stale_condition = cluster_at("wiki", 2, Some(2), &["Ready=True"]);
    stale_condition.status.as_mut().unwrap().conditions[0].observed_generation = Some(1);
    assert_eq!(said(&of_cluster(&stale_condition)), "unknown unknown Outdated");

    let mut deleting = cluster("wiki", &["Ready=True"]);
    deleting.metadata.deletion_timestamp = Some(serde_json::from_value(json!(NOW)).unwrap());
    assert_eq!(said(&of_cluster(&deleting)), "unknown unknown Deleting");
}

#[test]
fn the_lease_tells_whether_the_operator_works() {
    let check = |lease: &Sighted<Option<Lease>>, wanted: &str| {
        let report = of_operator(lease, "elysia-system", now());
        assert_eq!(format!("{} {}", report.verdict, report.reason), wanted);
        assert_eq!(report.next.is_none(), report.verdict == Verdict::Healthy, "{wanted}");
    };
    check(&fresh(), "healthy Leading");
    check(&lease("a", Some("2026-11-21T11:59:00.000000Z")), "healthy Leading");
    check(&lease("a", Some("2026-11-21T11:58:59.900000Z")), "unknown Silent");
    check(&lease("a", Some("2026-11-21T12:00:30.000000Z")), "healthy Leading");
    check(&lease("a", Some("2026-11-21T12:01:30.000000Z")), "unknown ClocksDiffer");
    check(&lease("", Some("2026-11-21T11:59:58.000000Z")), "unknown NobodyLeads");
    check(&lease("a", None), "unknown NeverRenewed");
    check(&Sighted::Seen(None), "unknown LeaseMissing");
    check(&Sighted::Unreadable(unread()), "unknown Unreadable");
}

#[test]
fn the_whole_is_as_bad_as_its_worst_part() {
    let check = |sightings: &Sightings, wanted: (Verdict, u8)| {
        let report = judge(sightings, now());
        assert_eq!((report.verdict, report.exit_code), wanted, "{report:#?}");
    };
    check(&well(), (Verdict::Healthy, 0));
    check(&sightings(&[], &[], &[]), (Verdict::Healthy, 0));
    check(&Sightings { lease: Sighted::Seen(None), ..well() }, (Verdict::Unknown, 2));

    check(&Sightings { collections: unreadable(), ..well() }, (Verdict::Unknown, 2));
    check(&Sightings { feeds: unreadable(), ..well() }, (Verdict::Unknown, 2));
    check(&Sightings { clusters: unreadable(), ..well() }, (Verdict::Unknown, 2));

    let behind = seen(&[collection("articles", "wiki", &["Ready=False ReplicasBehind"], &json!({}))]);
    check(&Sightings { collections: behind.clone(), ..well() }, (Verdict::Fault, 1));
    // A definite fault outweighs what is unknown, also when the one who reported it is silent now.
    let both = Sightings { collections: behind, lease: Sighted::Seen(None), feeds: unreadable(), ..well() };
    check(&both, (Verdict::Fault, 1));
}

#[test]
fn a_node_that_is_not_ready_is_named_and_counts() {
    let mut wiki = cluster("wiki", &["Ready=False NodesMissing"]);
    let nodes = json!([
        {"name": "wiki-0", "ready": true},
        {"name": "wiki-2", "ready": false, "waitingFor": "pod is not scheduled"},
        {"name": "wiki-1", "ready": true},
    ]);
    wiki.status.as_mut().unwrap().nodes = serde_json::from_value(nodes).unwrap();
    let report = judge(&sightings(&[wiki.clone()], &[], &[]), now());
    let names: Vec<_> =
        report.clusters.as_ref().unwrap()[0].known_nodes().map(|node| (node.word(), &*node.status.name)).collect();
    assert_eq!(names, [("not ready", "wiki-2"), ("ready", "wiki-0"), ("ready", "wiki-1")]);
    assert_eq!(report.findings()[0].next.as_deref(), Some("kubectl describe pod wiki-2 -n search"));

    wiki.status.as_mut().unwrap().conditions = serde_json::from_value(conditions(&["Ready=True"])).unwrap();
    assert_eq!(judge(&sightings(&[wiki], &[], &[]), now()).verdict, Verdict::Fault);
}

#[test]
fn what_was_not_counted_is_absent_and_never_zero() {
    let check = |status: Value, wanted: &str| {
        let articles = collection("articles", "wiki", &["Ready=True"], &status);
        let report = judge(&sightings(&[cluster("wiki", &["Ready=True"])], &[articles], &[]), now());
        let articles = report.collections().next().unwrap();
        let replicas = &articles.replicas;
        let said = format!("{:?}/{:?} {:?} {:?}", replicas.found, replicas.wanted, replicas.behind, articles.objects);
        assert_eq!(said.replace("Some(", "").replace(')', "").replace("None", "?"), wanted);
    };
    check(json!({}), "?/3 ? ?");
    check(json!({"replication": {"desired": 2}}), "?/2 ? ?");
    check(json!({"replication": {"desired": 3, "lowest": 3, "shards": 4}}), "3/3 0 ?");
    check(json!({"replication": {"desired": 3, "lowest": 1, "shards": 4, "behindTotal": 2}}), "1/3 2 ?");
    check(json!({"objects": {"count": 0, "at": NOW, "source": "ids"}}), "?/3 ? 0");
}

#[test]
fn what_could_not_be_read_is_no_empty_list() {
    let report = judge(&Sightings { feeds: unreadable(), ..well() }, now());
    let text = serde_json::to_value(&report).unwrap();
    assert!(text["clusters"][0].get("feeds").is_none(), "{text}");
    assert_eq!(text["unreadable"][0]["kind"], "IndexSource");
    let text = serde_json::to_value(judge(&Sightings { clusters: unreadable(), ..well() }, now())).unwrap();
    assert!(text.get("clusters").is_none(), "{text}");
    let text = serde_json::to_value(judge(&sightings(&[], &[], &[]), now())).unwrap();
    assert_eq!(text["clusters"], json!([]));
}

#[test]
fn every_fault_names_the_next_command() {
    let of_articles = |lines: &[&str], status: Value, wanted: Option<&str>| {
        assert_eq!(of_collection(&collection("articles", "wiki", lines, &status)).next.as_deref(), wanted, "{lines:?}");
    };
    let plan = |destructive| {
        json!({"plan": {
            "hash": "3f9a", "action": "Any", "destructive": destructive, "totalSteps": 2, "waitingFor": "approval",
        }})
    };
    let look = "kubectl elysia health wiki -n search -v";
    let approve = "kubectl elysia repair approve articles -n search";
    let show = "kubectl elysia repair plan articles -n search";
    of_articles(&["Ready=True"], json!({}), None);
    of_articles(&["Ready=False NeedsApproval"], plan(false), Some(approve));
    of_articles(&["Ready=False NeedsApproval"], plan(true), Some(show));
    of_articles(&["Ready=False Conflict"], plan(true), Some("kubectl describe ecol articles -n search"));
    of_articles(&["Ready=False ClusterMissing"], json!({}), Some("kubectl get wvc -n search"));
    of_articles(&["Ready=Unknown ClusterNotReady"], json!({}), Some(look));
    let unpause = "kubectl annotate ecol articles -n search elysia.dev/paused-";
    of_articles(&["Ready=False Paused"], json!({}), Some(unpause));
    of_articles(&["Ready=False ReplicasBehind", "Stalled=True Paused"], json!({}), Some(unpause));

    let of_handbook = |lines: &[&str], status: Value, wanted: Option<&str>| {
        assert_eq!(of_feed(&feed("handbook", "wiki", lines, &status)).next.as_deref(), wanted, "{lines:?}");
    };
    let run = json!({"run": {"id": "r", "state": "Failed", "job": "handbook-7c"}});
    of_handbook(&["Ready=False RunFailed"], run, Some("kubectl logs job/handbook-7c -n search"));
    of_handbook(&["Ready=False SourceMissing"], json!({}), Some("kubectl get configmap lines -n search"));
    of_handbook(&["Ready=False CollectionMissing"], json!({}), Some("kubectl get ecol -n search"));

    let mut advised = collection("articles", "wiki", &["Ready=False NeedsApproval"], &json!({}));
    "run `kubectl annotate …`".clone_into(&mut advised.status.as_mut().unwrap().conditions[0].message);
    assert_eq!(of_collection(&advised).next, None);
}

#[test]
fn rejected_lines_alone_are_a_warning() {
    let counts = json!({"counts": {
        "lines": 10, "added": 7, "modified": 0, "deleted": 0, "renamed": 0, "unchanged": 0, "rejected": 3,
    }});
    let standing = of_feed(&feed("handbook", "wiki", &["Ready=True CompleteWithRejects"], &counts));
    assert_eq!(
        (standing.verdict, standing.warnings),
        (Verdict::Healthy, vec!["3 of 10 lines were rejected".to_owned()])
    );
}

#[test]
fn a_silent_operator_makes_good_words_hearsay() {
    let report = judge(&Sightings { lease: lease("a", Some("2026-11-21T11:00:00Z")), ..well() }, now());
    for (subject, standing) in report.subjects() {
        assert_eq!((standing.verdict, &*standing.reason), (Verdict::Unknown, "OperatorSilent"), "{subject}");
    }
    let subjects: Vec<_> = report.findings().into_iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, ["operator"], "what follows from the silence is not said again for each object");
}

#[test]
fn what_belongs_to_no_known_cluster_is_listed() {
    let lost = collection("lost", "nowhere", &["Ready=True"], &json!({}));
    let report = judge(&sightings(&[cluster("wiki", &["Ready=True"])], std::slice::from_ref(&lost), &[]), now());
    assert_eq!(said(&report.unattached.collections[0].standing), "unknown unknown ClusterMissing");

    let unread = Sightings { clusters: unreadable(), ..sightings(&[], &[lost], &[]) };
    let report = judge(&unread, now());
    assert_eq!(said(&report.unattached.collections[0].standing), "healthy healthy AsDeclared");
}

#[test]
fn only_the_cluster_that_was_asked_for_is_judged() {
    let asked = |name: &str, mut sightings: Sightings| {
        sightings.scope.cluster = Some(name.to_owned());
        let report = judge(&sightings, now());
        let subjects = report.subjects().into_iter().map(|(subject, _)| subject).collect::<Vec<_>>().join(" ");
        (report.exit_code, subjects)
    };
    let two = || {
        let clusters = [cluster("wiki", &["Ready=True"]), cluster("shop", &["Ready=False NodesMissing"])];
        let collections = [
            collection("articles", "wiki", &["Ready=True"], &json!({})),
            collection("wares", "shop", &["Ready=False ReplicasBehind"], &json!({})),
        ];
        sightings(&clusters, &collections, &[])
    };
    assert_eq!(asked("wiki", two()), (0, "cluster search/wiki collection search/articles".to_owned()));
    assert_eq!(asked("shop", two()), (1, "cluster search/shop collection search/wares".to_owned()));
    assert_eq!(asked("nowhere", two()), (1, "cluster search/nowhere".to_owned()));

    let unread = Sightings { clusters: unreadable(), ..two() };
    assert_eq!(asked("wiki", unread), (2, "collection search/articles".to_owned()));
}

#[test]
fn an_object_of_an_unknown_shape_hides_no_other() {
    let odd = Malformed {
        namespace: "search".to_owned(),
        name: "odd".to_owned(),
        message: "unknown variant `Hibernated`".to_owned(),
    };
    let clusters = Sighted::Seen(vec![Err(odd.clone()), Ok(cluster("wiki", &["Ready=True"]))]);
    let report = judge(&Sightings { clusters, ..well() }, now());
    assert_eq!(said(&report.clusters.as_ref().unwrap()[0].standing), "unknown unknown Malformed");
    assert_eq!(said(&report.clusters.as_ref().unwrap()[1].standing), "healthy healthy AsDeclared");
    assert_eq!(report.exit_code, 2);

    let feeds = Sighted::Seen(vec![Err(odd)]);
    let mut asked = Sightings { feeds, ..well() };
    asked.scope.cluster = Some("wiki".to_owned());
    assert_eq!(judge(&asked, now()).unattached.feeds.len(), 1, "it may belong to the cluster that was asked for");
}

#[test]
fn the_same_objects_in_another_order_give_the_same_report() {
    let print = |report: &Report| serde_json::to_string_pretty(report).unwrap();
    let clusters = [cluster("a", &["Ready=True"]), cluster("b", &["Ready=True", "Available=True"])];
    let turned = [cluster("b", &["Available=True", "Ready=True"]), cluster("a", &["Ready=True"])];
    let collections = ["x", "y"].map(|name| collection(name, "b", &["Ready=True"], &json!({})));
    let mut reversed = collections.clone();
    reversed.reverse();
    let one = judge(&sightings(&clusters, &collections, &[]), now());
    let other = judge(&sightings(&turned, &reversed, &[]), now());
    assert_eq!(print(&one), print(&other));
}

#[test]
fn a_heartbeat_is_no_news() {
    let one = judge(&well(), now());
    let later = judge(&well(), now() + jiff::SignedDuration::from_secs(9));
    assert_ne!(one, later);
    assert!(one.says_the_same_as(&later));
    assert!(!one.says_the_same_as(&judge(&Sightings { lease: Sighted::Seen(None), ..well() }, now())));
}

#[test]
fn the_chain_leads_from_an_object_to_its_cause() {
    let chain = |report: &Report, name: &str| {
        let whys = why(report, None, name);
        let [why] = whys.as_slice() else { panic!("{} objects are called {name}", whys.len()) };
        let links: Vec<String> = why.chain.iter().map(|link| format!("{} {}", link.subject, link.reason)).collect();
        (links.join(" > "), why.cause.clone().unwrap_or_default())
    };
    let mut sick = cluster("wiki", &["Ready=False NodesMissing"]);
    sick.status.as_mut().unwrap().nodes = serde_json::from_value(json!([
        {"name": "wiki-0", "ready": true}, {"name": "wiki-2", "ready": false, "waitingFor": "pod is not scheduled"},
    ]))
    .unwrap();
    let waits = collection("articles", "wiki", &["Ready=False ClusterNotReady"], &json!({}));
    let behind = feed("handbook", "wiki", &["Ready=False CollectionMissing"], &json!({}));
    let report = judge(&sightings(&[sick], &[waits], &[behind]), now());
    let (links, cause) = chain(&report, "articles");
    assert_eq!(
        links,
        "collection search/articles ClusterNotReady > cluster search/wiki NodesMissing > node search/wiki-2 NotReady"
    );
    assert_eq!(cause, "node search/wiki-2");
    assert!(chain(&report, "handbook").0.starts_with("feed search/handbook CollectionMissing > "));
    assert_eq!(why(&report, Some("feed"), "articles"), []);

    let report = judge(&well(), now());
    let healthy = &why(&report, Some("cluster"), "wiki")[0];
    assert_eq!((healthy.verdict(), &healthy.cause, &healthy.next), (Verdict::Healthy, &None, &None));

    let silent = judge(&Sightings { lease: lease("a", Some("2026-11-21T11:00:00Z")), ..well() }, now());
    assert_eq!(chain(&silent, "articles").1, "operator");
}

#[test]
fn a_link_tells_what_belongs_to_it() {
    let status = json!({
        "drift": [{"path": "vectorizer", "live": "\"none\"", "wanted": "\"x\"", "verdict": "Recreate", "since": NOW}],
        "plan": {"hash": "3f9a", "action": "Recreate", "destructive": true, "totalSteps": 9, "waitingFor": "approval"},
    });
    let object = collection("articles", "wiki", &["Ready=False NeedsApproval"], &status);
    let report = judge(&sightings(&[], &[object], &[]), now());
    let whys = why(&report, Some("collection"), "articles");
    let link = &whys[0].chain[0];
    assert_eq!(link.next.as_deref(), Some("kubectl elysia repair plan articles -n search"));
    let details = link.details.join("\n");
    assert!(details.contains("vectorizer is \"none\", declared is \"x\""), "{details}");
    assert!(details.contains("plan Recreate 3f9a: 9 steps, destructive, waits for approval"), "{details}");
}
