//! Pictures of operations and what becomes of the nodes that do not carry them out.

use elysia_api::WeaviateCluster;
use elysia_api::cluster::ClusterPhase;
use elysia_api::collection::ShardReplicas;
use elysia_testkit::conditions;
use serde_json::json;

use super::super::judge::Outcome;
use super::super::observed::{MemberSight, NodeAnswer, NodeSight, StatefulSetView};
use super::super::plan::{self, Step};
use super::*;
use crate::sight::BlindnessKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cluster(replicas: usize) -> WeaviateCluster {
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": "n", "generation": 1},
        "spec": {"managed": {"version": "1.38.2", "replicas": replicas, "storage": {"size": "1Gi"}}},
        "status": {"phase": "Ready"},
    }))
    .unwrap()
}

/// `id:source→target:stage`, with `!` behind the id when it was to be deleted and `?` when it has an error.
fn operations(picture: &str) -> Vec<Operation> {
    let parts = picture.split(' ').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let [id, nodes, stage] = part.split(':').collect::<Vec<_>>().try_into().unwrap();
            let (source, target) = nodes.split_once('→').unwrap();
            Operation {
                id: id.trim_end_matches(['!', '?']).to_owned(),
                shard: "s".to_owned(),
                source: format!("w-{source}"),
                target: format!("w-{target}"),
                state: if stage == "ready" { OperationState::Ready } else { OperationState::Active },
                stage: if stage == "registered" { Stage::Registered } else { Stage::Copying },
                moves: false,
                dropping: id.contains('!'),
                error: id.contains('?').then(|| "x".to_owned()),
            }
        })
        .collect()
}

/// One letter a node, `r` ready and `.` away; all operations were first seen at 1000, and every pod was started at 0.
fn seen(nodes: &str, picture: &str) -> Observed {
    let names: Vec<String> = (0..nodes.len()).map(|node| format!("w-{node}")).collect();
    let operations = operations(picture);
    let answer = NodeAnswer {
        ready: true,
        members: Some(names.clone()),
        leader: Some("w-0".to_owned()),
        ..NodeAnswer::default()
    };
    let pod = |name: &String| PodView {
        uid: format!("{name}-uid"),
        revision: Some("1".to_owned()),
        started: Some(at(0)),
        deleting: false,
        trouble: None,
    };
    Observed {
        stateful_set: Some(StatefulSetView {
            replicas: i32::try_from(names.len()).unwrap(),
            update_revision: Some("1".to_owned()),
            pending: false,
        }),
        pods: names.iter().map(|name| (name.clone(), pod(name))).collect(),
        nodes: nodes
            .chars()
            .zip(&names)
            .map(|(letter, name)| NodeSight {
                name: name.clone(),
                answer: match letter {
                    'r' => Sight::Seen(answer.clone()),
                    _ => Sight::unseen(BlindnessKind::Unreachable, "connection refused"),
                },
            })
            .collect(),
        members: Sight::Seen(MemberSight::default()),
        secret: Sight::Seen(true),
        elysia_exists: false,
        lived_before: true,
        unverified_since: None,
        engine: Look {
            seen: operations.iter().map(|operation| (operation.id.clone(), at(1000))).collect(),
            operations: Sight::Seen(operations),
            placement: Some(Sight::Seen(placed("A s=0,1 t=1,2"))),
            ..Look::default()
        },
    }
}

fn placed(picture: &str) -> Vec<ClassPlacement> {
    let classes = picture.split('/').map(|class| {
        let mut parts = class.trim().split(' ');
        let name = parts.next().unwrap().to_owned();
        let placement = parts.map(|part| {
            let (shard, nodes) = part.split_once('=').unwrap();
            let replicas = nodes.split(',').map(|node| format!("w-{node}")).collect();
            ShardReplicas { shard: shard.to_owned(), replicas }
        });
        ClassPlacement { class: name, factor: 2, placement: placement.collect() }
    });
    classes.collect()
}

fn restarted(node: usize, uid: &str, operation: &str, second: i64) -> EngineRestart {
    EngineRestart {
        node: format!("w-{node}"),
        operation: operation.to_owned(),
        pod_uid: uid.to_owned(),
        at: Time(at(second)),
    }
}

fn shown(verdict: &Verdict) -> String {
    let Some(hung) = &verdict.hung else { return if verdict.soon { "suspects" } else { "well" }.to_owned() };
    let word = match (&verdict.now, &hung.waiting_for) {
        (Some(now), _) => format!("restarts {}", now.pod_uid),
        (None, None) => "decides".to_owned(),
        (None, Some(why)) if hung.needs_person => format!("needs a person: {why}"),
        (None, Some(why)) => why.clone(),
    };
    format!("{} {word}", hung.node)
}

fn check(observed: &Observed, second: i64, expected: &str) {
    let cluster = cluster(observed.nodes.len());
    let spec = ClusterSpec::validate(&cluster).unwrap();
    let text = shown(&verdict(&spec, observed, at(second)));
    assert!(
        if expected.ends_with('…') { text.starts_with(expected.trim_end_matches('…')) } else { text == expected },
        "{text}\n{expected}"
    );
}

#[test]
fn a_node_hangs_when_it_does_not_delete_what_it_was_asked_to() {
    for (nodes, picture, second, expected) in [
        ("rrr", "", 9000, "well"),
        ("rrr", "a:0→1:registered b?:0→1:copying", 9000, "well"),
        ("rrr", "a!:0→1:copying", 1060, "suspects"),
        ("rrr", "a!:0→1:copying", 1061, "w-1 decides"),
        ("rrr", "a!:0→1:registered", 1061, "w-1 decides"),
        // The record of an ended copy is dropped without its target.
        ("rrr", "a!:0→1:ready", 9000, "well"),
        // Nobody is there to delete.
        ("r.r", "a!:0→1:copying", 9000, "well"),
        ("rrr", "a!:0→9:registered", 9000, "well"),
        // One at a time.
        ("rrr", "a!:0→2:copying b!:2→1:copying", 1061, "w-1 decides"),
        ("rr.", "a!:0→1:copying", 9000, "w-1 waiting: 2 of 3 nodes are ready…"),
        // Copies from it would begin anew; but not for ever.
        ("rrr", "a!:0→1:copying b:1→2:copying", 1061, "w-1 waiting: copies from it are under way"),
        ("rrr", "a!:0→1:copying b:1→2:copying", 1179, "w-1 waiting: copies from it are under way"),
        ("rrr", "a!:0→1:copying b:1→2:copying", 1180, "w-1 decides"),
        ("rrr", "a!:0→1:copying b?:1→2:copying c:1→2:registered", 1061, "w-1 decides"),
        ("r", "a!:9→0:copying", 1061, "w-0 needs a person: without it there is no majority of the 1 nodes…"),
    ] {
        check(&seen(nodes, picture), second, expected);
    }
}

#[test]
fn a_node_that_was_started_has_its_time() {
    let mut observed = seen("rrr", "a!:0→1:copying");
    observed.pods.get_mut("w-1").unwrap().started = Some(at(2000));
    check(&observed, 2060, "suspects");
    check(&observed, 2061, "w-1 decides");
    // An operator that starts anew has forgotten when it saw the operation first; its status has not.
    let mut observed = seen("rrr", "a!:0→1:copying");
    observed.engine.seen.clear();
    check(&observed, 9000, "suspects");
    observed.engine.hung = Some(HungEngine {
        node: "w-1".to_owned(),
        operation: "a".to_owned(),
        since: Time(at(1000)),
        waiting_for: None,
        needs_person: false,
    });
    check(&observed, 9000, "w-1 decides");
    // What cannot be seen stays as it was, and nothing is done about it.
    observed.engine.operations = Sight::unseen(BlindnessKind::Unreachable, "x");
    observed.engine.restart = Some(restarted(1, "w-1-uid", "a", 8000));
    let verdict = verdict(&ClusterSpec::validate(&cluster(3)).unwrap(), &observed, at(9000));
    assert_eq!((&verdict.hung, &verdict.restart), (&observed.engine.hung, &observed.engine.restart));
    assert_eq!(verdict.now, None);
}

#[test]
fn what_keeps_a_node_from_being_restarted() {
    type Change = fn(&mut Observed);
    let table: [(Change, &str); 12] = [
        (
            |observed| observed.engine.withheld = Some("a plan is under way".to_owned()),
            "w-1 waiting: a plan is under way",
        ),
        (|observed| observed.engine.placement = None, "w-1 waiting: where the shards are is being looked at"),
        (
            |observed| observed.engine.placement = Some(Sight::unseen(BlindnessKind::Failed, "no answer")),
            "w-1 waiting: no answer",
        ),
        (
            |observed| observed.engine.placement = Some(Sight::Seen(placed("A s=0,1/B s=1"))),
            "w-1 needs a person: it holds the only living replica of a shard of B, which would be away for half a minute; when that is acceptable: kubectl delete pod --namespace n w-1",
        ),
        (
            |observed| observed.engine.placement = Some(Sight::Seen(placed("A s=1/B s=1/C s=1,9/D s=1/E s=0"))),
            "w-1 needs a person: it holds the only living replica of a shard of A, B, C and 1 other collections…",
        ),
        (|observed| observed.engine.placement = Some(Sight::Seen(placed("A s=0,1/B s=0"))), "w-1 decides"),
        (
            |observed| observed.pods.get_mut("w-2").unwrap().revision = Some("0".to_owned()),
            "w-1 needs a person: w-2 run an older template…",
        ),
        (
            |observed| observed.stateful_set.as_mut().unwrap().pending = true,
            "w-1 waiting: the StatefulSet has just been changed",
        ),
        (|observed| observed.pods.get_mut("w-2").unwrap().deleting = true, "w-1 waiting: a pod is being deleted"),
        (|observed| drop(observed.pods.remove("w-1")), "w-1 waiting: a pod is being deleted"),
        (
            |observed| observed.engine.restart = Some(restarted(2, "old", "b", 900)),
            "w-1 waiting: w-2 was restarted at 1970-01-01T00:15:00Z, and there are 10 minutes between two restarts",
        ),
        (
            |observed| observed.engine.restart = Some(restarted(1, "old", "a", 1)),
            "w-1 needs a person: it was restarted for that at 1970-01-01T00:00:01Z already, which did not help: look at its log (kubectl logs --namespace n w-1)",
        ),
    ];
    for (change, expected) in table {
        let mut observed = seen("rrr", "a!:0→1:copying");
        change(&mut observed);
        check(&observed, 1100, expected);
    }
    let mut observed = seen("rrr", "a!:0→1:copying");
    observed.engine.restart = Some(restarted(2, "old", "b", 900));
    check(&observed, 1500, "w-1 decides");
}

#[test]
fn a_restart_is_written_down_carried_out_once_and_remembered() {
    let spec = ClusterSpec::validate(&cluster(3)).unwrap();
    let mut observed = seen("rrr", "a!:0→1:copying");
    let decided = verdict(&spec, &observed, at(1100));
    assert_eq!((&decided.now, &decided.restart), (&None, &Some(restarted(1, "w-1-uid", "a", 1100))));
    observed.engine.restart = decided.restart.clone();
    // As often as it takes, with the same time and the same uid.
    for second in [1101, 1200] {
        let verdict = verdict(&spec, &observed, at(second));
        assert_eq!((&verdict.now, &verdict.restart), (&decided.restart, &decided.restart));
    }
    // It would still be carried out of a node that comes later in the order.
    let mut two = seen("rrr", "a!:0→1:copying b!:1→0:copying");
    two.engine.restart = decided.restart.clone();
    check(&two, 1101, "w-1 restarts w-1-uid");
    // Something came in between.
    let mut away = seen("rr.", "a!:0→1:copying");
    away.engine.restart = decided.restart.clone();
    let waits = verdict(&spec, &away, at(1101));
    assert_eq!((&waits.now, &waits.restart), (&None, &decided.restart));
    // Healed by itself before it was carried out: then there was none.
    let mut healed = seen("rrr", "");
    healed.engine.restart = decided.restart.clone();
    assert_eq!(verdict(&spec, &healed, at(1101)).restart, None);
    // Carried out.
    let mut gone = seen("r.r", "a!:0→1:copying");
    gone.engine.restart = decided.restart.clone();
    gone.pods.get_mut("w-1").unwrap().deleting = true;
    let after = verdict(&spec, &gone, at(1102));
    assert_eq!((&after.hung, &after.now, &after.restart), (&None, &None, &decided.restart));
    let mut back = seen("rrr", "");
    back.pods.get_mut("w-1").unwrap().uid = "new".to_owned();
    back.engine.restart = decided.restart.clone();
    assert_eq!(verdict(&spec, &back, at(1140)).restart, decided.restart);
}

#[test]
fn somebody_elses_servers_are_not_restarted() {
    let external: WeaviateCluster = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
        "metadata": {"name": "w", "namespace": "n"},
        "spec": {"external": {"url": "http://w:8080"}},
    }))
    .unwrap();
    let spec = ClusterSpec::validate(&external).unwrap();
    assert_eq!(verdict(&spec, &seen("rrr", "a!:0→1:copying"), at(9000)), Verdict::default());
}

/// What the cluster's conditions say at each step.
#[test]
fn the_conditions_name_the_node_and_who_is_at_it() {
    let mut decided = seen("rrr", "a!:0→1:copying");
    let mut person = decided.clone();
    person.engine.placement = Some(Sight::Seen(placed("B s=1")));
    let mut away = seen("r.r", "a!:0→1:copying");
    away.pods.get_mut("w-1").unwrap().deleting = true;
    away.engine.restart = Some(restarted(1, "w-1-uid", "a", 1090));
    decided.engine.withheld = None;
    for (observed, expected) in [
        (
            &decided,
            "Ready=False CopyStuck: the replication engine of w-1 hangs: it has not deleted operation a for more than 60 s, and no replica is copied to it; its pod is restarted / Reconciling=True CopyStuck",
        ),
        (
            &person,
            "Ready=False CopyStuck: …; it holds the only living replica of a shard of B, which would be away for half a minute; when that is acceptable: kubectl delete pod --namespace n w-1 / Stalled=True CopyStuck",
        ),
        (
            &away,
            "Ready=False NodesMissing: 2 of 3 nodes are ready; w-1: its pod is being deleted; the operator restarted w-1, whose replication engine hung / Reconciling=True NodesMissing",
        ),
    ] {
        let cluster = cluster(3);
        let spec = ClusterSpec::validate(&cluster).unwrap();
        let status = judge::status(&cluster, &spec, observed, &Outcome::Unchanged, at(1100));
        let (ready, last) = (&status.conditions[0], status.conditions.last().unwrap());
        let told = format!(
            "Ready={} {}: {} / {}={} {}",
            ready.status, ready.reason, ready.message, last.type_, last.status, last.reason
        );
        let (start, end) = expected.split_once('…').unwrap_or((expected, ""));
        assert!(told.starts_with(start) && told.ends_with(end), "{told}");
        assert_eq!(status.phase, Some(ClusterPhase::Degraded));
        assert_eq!(status.conditions[1].status, "True", "it serves all the same");
        conditions::record(&WeaviateCluster { status: Some(status), ..cluster });
    }
    let spec = ClusterSpec::validate(&cluster(3)).unwrap();
    decided.engine.restart = Some(restarted(1, "w-1-uid", "a", 1090));
    let plan = plan::plan(&spec, &decided, false, at(1100));
    assert!(matches!(plan.steps.last(), Some(Step::RestartHung(restart)) if restart.node == "w-1"));
}
