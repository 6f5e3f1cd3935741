//! Pictures of clusters and what follows from them.

use std::collections::BTreeMap;

use elysia_api::WeaviateCluster;
use elysia_api::cluster::ClusterPhase;
use elysia_testkit::conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;

use super::super::judge::Outcome;
use super::super::observed::{MemberSight, NodeSight, PodView, StatefulSetView};
use super::*;
use crate::sight::BlindnessKind;

fn cluster(replicas: i32) -> WeaviateCluster {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": "n", "generation": 1},
        "spec": {"managed": {"version": "1.38.2", "replicas": replicas, "storage": {"size": "1Gi"}}},
    }))
    .unwrap()
}

/// One letter a node: `r` ready, `a` alone, `j` joined but not ready, `.` silent. All started at 0.
fn seen(picture: &str, pods: i32) -> Observed {
    let names: Vec<String> = (0..picture.len()).map(|node| format!("w-{node}")).collect();
    let joined: Vec<String> = picture
        .chars()
        .zip(&names)
        .filter(|(letter, _)| matches!(letter, 'r' | 'j'))
        .map(|(_, name)| name.clone())
        .collect();
    let nodes = picture
        .chars()
        .zip(&names)
        .map(|(letter, name)| NodeSight {
            name: name.clone(),
            answer: match letter {
                '.' => Sight::unseen(BlindnessKind::Unreachable, "connection refused"),
                'a' => Sight::Seen(NodeAnswer {
                    members: Some(vec![name.clone()]),
                    raft_members: Some(Vec::new()),
                    ..NodeAnswer::default()
                }),
                letter => Sight::Seen(NodeAnswer {
                    ready: letter == 'r',
                    members: Some(joined.clone()),
                    leader: (letter == 'r').then(|| "w-0".to_owned()),
                    ..NodeAnswer::default()
                }),
            },
        })
        .collect();
    let started = Some(Timestamp::UNIX_EPOCH);
    let pod = |name: &String| {
        (
            name.clone(),
            PodView { uid: format!("{name}-uid"), revision: Some("1".into()), started, deleting: false, trouble: None },
        )
    };
    Observed {
        stateful_set: (pods > 0).then(|| StatefulSetView {
            replicas: pods,
            update_revision: Some("1".into()),
            pending: false,
        }),
        pods: names.iter().take(usize::try_from(pods).unwrap()).map(pod).collect::<BTreeMap<_, _>>(),
        nodes,
        members: Sight::Seen(MemberSight::default()),
        secret: Sight::Seen(true),
        elysia_exists: false,
        lived_before: false,
        unverified_since: Some(Timestamp::UNIX_EPOCH),
        engine: engine::Look::default(),
    }
}

#[test]
fn a_stateful_set_made_anew_never_starts_smaller_than_the_cluster_was() {
    let replicas_of = |observed: &Observed| replicas(3, observed);
    let mut orphaned = seen("...", 3);
    orphaned.stateful_set = None;
    assert_eq!(replicas_of(&orphaned), 3);
    let mut volumes = seen("...", 0);
    assert_eq!(replicas_of(&volumes), 1);
    volumes.lived_before = true;
    assert_eq!(replicas_of(&volumes), 3);
}

#[test]
fn a_node_that_was_cut_off_a_moment_ago_is_left_alone() {
    let spec = ClusterSpec::validate(&cluster(3)).unwrap();
    let mut observed = seen("rra", 3);
    let now = Timestamp::from_second(100_000).unwrap();
    observed.unverified_since = Some(Timestamp::from_second(99_990).unwrap());
    assert_eq!(alone(&spec, &observed, now), None);
    observed.unverified_since = Some(Timestamp::from_second(99_970).unwrap());
    assert!(alone(&spec, &observed, now).is_some());
    let Sight::Seen(answer) = &mut observed.nodes[2].answer else { panic!() };
    answer.raft_members = None;
    assert_eq!(alone(&spec, &observed, now), None);
}

fn check(picture: &str, pods: i32, second: i64, expected: &str) {
    let count = i32::try_from(picture.len()).unwrap();
    let spec = ClusterSpec::validate(&cluster(count)).unwrap();
    let observed = seen(picture, pods);
    let now = Timestamp::from_second(second).unwrap();
    let steps = plan(&spec, &observed, false, now).steps;
    let text = steps
        .iter()
        .map(|step| match step {
            Step::CreateSecret { name } => format!("secret {name}"),
            Step::Apply(objects) => {
                format!("apply {}", objects.stateful_set.spec.as_ref().unwrap().replicas.unwrap())
            }
            Step::ApplyElysia(_) => "elysia".to_owned(),
            Step::RestartAlone { pod, .. } => format!("restart {pod}"),
            Step::RestartHung(restart) => format!("restart {} {}", restart.node, restart.pod_uid),
        })
        .collect::<Vec<_>>()
        .join(", ");
    assert_eq!(text, expected, "{picture} with {pods} pods at {second} s");
}

#[test]
fn the_first_node_starts_before_the_others() {
    check("...", 0, 0, "apply 1");
    check("...", 1, 5, "apply 1");
    check("a..", 1, 5, "apply 3");
    check("a..", 3, 5, "apply 3");
}

#[test]
fn the_number_of_pods_never_goes_down() {
    check("...", 3, 100, "apply 3");
    check(".rr", 3, 100, "apply 3");
}

#[test]
fn nodes_that_started_alone_are_restarted_but_one() {
    check("aaa", 3, 10, "apply 3");
    check("aaa", 3, 21, "apply 3, restart w-1");
    check("ajj", 3, 21, "apply 3, restart w-0");
    check("rra", 3, 21, "apply 3, restart w-2");
    check(".a.", 3, 21, "apply 3");
    check("rrr", 3, 21, "apply 3");
}

#[test]
fn phases_and_conditions() {
    for (picture, was_ready, phase, ready) in [
        ("rrr", false, ClusterPhase::Ready, "True AsDeclared"),
        ("rr.", false, ClusterPhase::Starting, "False Starting"),
        ("rr.", true, ClusterPhase::Degraded, "False NodesMissing"),
        ("r..", true, ClusterPhase::Unavailable, "False NodesMissing"),
        ("...", true, ClusterPhase::Unavailable, "False Unreachable"),
    ] {
        let mut cluster = cluster(3);
        if was_ready {
            cluster.status.get_or_insert_default().phase = Some(ClusterPhase::Ready);
        }
        let spec = ClusterSpec::validate(&cluster).unwrap();
        let status = judge::status(&cluster, &spec, &seen(picture, 3), &Outcome::Unchanged, Timestamp::UNIX_EPOCH);
        conditions::record(&WeaviateCluster { status: Some(status.clone()), ..cluster });
        assert_eq!(status.phase, Some(phase), "{picture}");
        let condition = &status.conditions[0];
        assert_eq!(format!("{} {}", condition.status, condition.reason), ready, "{picture}: {}", condition.message);
    }
}

#[test]
fn a_paused_cluster_says_so_whatever_is_seen() {
    let mut paused = cluster(3);
    paused.metadata.annotations = Some(BTreeMap::from([("elysia.dev/paused".to_owned(), "true".to_owned())]));
    let spec = ClusterSpec::validate(&paused).unwrap();
    for (picture, ready) in [("rrr", "Ready=True AsDeclared"), ("rr.", "Ready=False Starting")] {
        let status = judge::status(&paused, &spec, &seen(picture, 3), &Outcome::Unchanged, Timestamp::UNIX_EPOCH);
        let told = |one: &Condition| format!("{}={} {}", one.type_, one.status, one.reason);
        assert_eq!(status.conditions.first().map(told).as_deref(), Some(ready), "{picture}");
        assert_eq!(status.conditions.last().map(told).as_deref(), Some("Stalled=True Paused"), "{picture}");
        conditions::record(&WeaviateCluster { status: Some(status), ..paused.clone() });
    }
}

#[test]
fn a_pod_with_an_older_template_is_named_and_left_alone() {
    let mut observed = seen("rrr", 3);
    observed.pods.get_mut("w-1").unwrap().revision = Some("0".into());
    let cluster = cluster(3);
    let spec = ClusterSpec::validate(&cluster).unwrap();
    let status = judge::status(&cluster, &spec, &observed, &Outcome::Unchanged, Timestamp::UNIX_EPOCH);
    assert!(status.conditions[0].message.contains("kubectl delete pod w-1"), "{}", status.conditions[0].message);
    conditions::record(&WeaviateCluster { status: Some(status), ..cluster });
    assert_eq!(plan(&spec, &observed, false, Timestamp::UNIX_EPOCH).steps.len(), 1);
}

#[test]
fn rules_are_checked_again_in_the_loop() {
    let mut two = cluster(2);
    assert!(ClusterSpec::validate(&two).unwrap_err().to_string().contains("quorum"));
    two.spec.managed = None;
    assert!(ClusterSpec::validate(&two).is_err());
    let mut reserved = cluster(3);
    reserved.spec.managed.as_mut().unwrap().env =
        serde_json::from_value(json!([{"name": "RAFT_JOIN", "value": "x"}])).unwrap();
    assert!(ClusterSpec::validate(&reserved).unwrap_err().to_string().contains("RAFT_JOIN"));
}
