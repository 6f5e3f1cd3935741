//! Every picture of a collection that begins with a backup.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::restore::{PassedOverRun, PassedOverRuns};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::observed::ClusterSight;
use super::super::{Plan, Step, judge, plan};
use super::*;
use crate::sight::BlindnessKind;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn object(restore_from: &Value) -> ElysiaCollection {
    let mut object: ElysiaCollection = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "a", "namespace": "n", "uid": "0123456789", "generation": 1},
        "spec": {
            "clusterRef": {"name": "w"}, "collection": "A", "replication": {"factor": 2},
            "schema": {"shardingConfig": {"desiredCount": 4}},
        },
    }))
    .unwrap();
    object.spec.restore_from = serde_json::from_value(restore_from.clone()).unwrap();
    object
}

fn from() -> Value {
    json!({"backupRef": {"name": "nightly"}, "run": "latest", "collection": "Old"})
}

fn class() -> Value {
    json!({"class": "A", "shardingConfig": {"desiredCount": 4}, "replicationConfig": {"factor": 2, "deletionStrategy": "TimeBasedResolution", "asyncEnabled": true}})
}

fn seen(is_there: bool, restore: Option<RestoreView>, ledger: Option<RestoreLedger>) -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        nodes: vec!["a".to_owned(), "b".to_owned()],
        members: Sight::Seen(vec!["a".to_owned(), "b".to_owned()]),
        class: Sight::Seen(is_there.then(class)),
        placement: Sight::Seen(Vec::new()),
        operations: Sight::Seen(Vec::new()),
        journal: Sight::Seen(None),
        bootstrap: Look {
            restore: Sight::Seen(restore),
            ledger: Sight::Seen(ledger),
            cluster_uid: Some("c".to_owned()),
        },
        ..Observed::unasked()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as it is observed")]
fn view(phase: RestorePhase, has_begun: bool) -> Option<RestoreView> {
    Some(RestoreView {
        phase: Some(phase),
        has_begun,
        is_stalled: phase == RestorePhase::Failed,
        run: Some("r1".to_owned()),
        message: "why".to_owned(),
        ..RestoreView::default()
    })
}

fn ledger(stage: Stage, has_begun: bool) -> Option<RestoreLedger> {
    let spec = CollectionSpec::validate(&object(&from())).unwrap();
    let receipt = RestoreSpec::validate(&restore(&spec).unwrap()).unwrap().known_as("c");
    serde_json::from_value(json!({
        "receipt": receipt, "order": "o", "run": "r1", "stage": stage, "total": 9, "done": 4, "hasBegun": has_begun,
        "startedAt": NOW, "updatedAt": NOW,
    }))
    .unwrap()
}

/// What the same restore was called into a cluster that was there before.
fn former() -> String {
    let spec = CollectionSpec::validate(&object(&from())).unwrap();
    RestoreSpec::validate(&restore(&spec).unwrap()).unwrap().known_as("b")
}

fn before(phase: Option<BootstrapPhase>) -> ElysiaCollectionStatus {
    let bootstrap =
        phase.map(|phase| BootstrapStatus { phase, restore: None, run: Some("r1".to_owned()), passed_over: None });
    ElysiaCollectionStatus { bootstrap, ..ElysiaCollectionStatus::default() }
}

fn planned(object: &ElysiaCollection, observed: &Observed, before: &ElysiaCollectionStatus) -> (Plan, String) {
    let spec = CollectionSpec::validate(object).unwrap();
    let plan = plan(&spec, observed, before, NOW);
    let object = ElysiaCollection { status: Some(before.clone()), ..object.clone() };
    let status = judge::status(&object, &spec, observed, &plan, None, NOW);
    elysia_testkit::conditions::record(&ElysiaCollection { status: Some(status.clone()), ..object });
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    let extra = [ConditionType::Reconciling, ConditionType::Stalled].into_iter();
    let extra = extra.filter(|kind| condition::is_true(&status.conditions, *kind)).map(ConditionType::as_str);
    let steps = plan.steps.iter().map(|step| match step {
        Step::CreateClass(_) => "create",
        Step::StartRestore(_) => "restore",
        _ => "other",
    });
    let phase = status.bootstrap.map_or_else(|| "-".to_owned(), |bootstrap| format!("{:?}", bootstrap.phase));
    let text = format!(
        "{} [{}] {} {phase}",
        ready.reason,
        steps.collect::<Vec<_>>().join(" "),
        extra.collect::<Vec<_>>().join(" "),
    );
    (plan, text)
}

#[test]
fn it_is_restored_once_and_never_created_empty_meanwhile() {
    use BootstrapPhase::{Done, Restoring, Skipped};
    use RestorePhase::{Failed, NeedsApproval, Pending, Running, Succeeded};
    for (is_there, restore, ledger, earlier, expected) in [
        // Nothing has begun.
        (false, None, None, None, "Restoring [restore] Reconciling Pending"),
        (true, None, None, None, "ReplicasInSync"),
        // It is under way, whatever is there of it.
        (false, view(Pending, false), None, None, "Restoring [] Reconciling Restoring"),
        (false, view(Running, false), None, None, "Restoring [] Reconciling Restoring"),
        (true, view(Running, true), None, Some(Restoring), "Restoring [] Reconciling Restoring"),
        // It needs a person.
        (false, view(Failed, false), None, Some(Restoring), "RestoreStalled [] Stalled Stalled"),
        (true, view(Failed, true), None, Some(Restoring), "RestoreStalled [] Stalled Stalled"),
        (true, view(NeedsApproval, false), None, Some(Restoring), "RestoreStalled [] Stalled Stalled"),
        // It is done: the collection is one like any other, and when it goes it is not brought back.
        (true, view(Succeeded, true), None, Some(Restoring), "ReplicasInSync Done"),
        (false, view(Succeeded, true), None, Some(Restoring), "CollectionGone [] Stalled Done"),
        (false, view(Succeeded, true), None, Some(Done), "CollectionGone [] Stalled Done"),
        (false, None, None, Some(Done), "CollectionGone [] Stalled Done"),
        (true, None, None, Some(Done), "ReplicasInSync Done"),
        (false, None, None, Some(Skipped), "CollectionGone [] Stalled Skipped"),
        // The CollectionRestore was deleted: what its worker wrote stays, and the status may be lost.
        (true, None, ledger(Stage::Writing, true), None, "Restoring [restore] Reconciling Restoring"),
        (true, None, ledger(Stage::Looking, false), None, "Restoring [restore] Reconciling Restoring"),
        (true, None, ledger(Stage::Failed, true), Some(Restoring), "Restoring [restore] Reconciling Restoring"),
        (false, None, ledger(Stage::Failed, false), Some(Restoring), "Restoring [restore] Reconciling Pending"),
        (false, None, ledger(Stage::Done, true), None, "CollectionGone [] Stalled Done"),
        (false, None, ledger(Stage::Gone, true), None, "CollectionGone [] Stalled Done"),
        (true, None, ledger(Stage::Done, true), None, "ReplicasInSync Done"),
        // The cluster was made anew since, and another one was filled then.
        (
            false,
            None,
            ledger(Stage::Done, true).map(|ledger| RestoreLedger { receipt: former(), ..ledger }),
            None,
            "Restoring [restore] Reconciling Pending",
        ),
        // That of another restore says nothing.
        (
            true,
            None,
            ledger(Stage::Writing, true).map(|ledger| RestoreLedger { receipt: "x".to_owned(), ..ledger }),
            None,
            "ReplicasInSync Skipped",
        ),
    ] {
        let (object, observed) = (object(&from()), seen(is_there, restore, ledger));
        let (plan, text) = planned(&object, &observed, &before(earlier));
        // A collection like any other: what follows then is not told here.
        let Some(phase) = expected.strip_prefix("ReplicasInSync") else {
            assert_eq!(text, expected, "{observed:?}");
            continue;
        };
        assert!(plan.compared, "{text} {observed:?}");
        assert!(text.ends_with(if phase.is_empty() { "Skipped" } else { phase }), "{text} {observed:?}");
    }
}

#[test]
fn what_cannot_be_seen_is_unknown_and_nothing_is_made() {
    fn unseen<T>() -> Sight<T> {
        Sight::unseen(BlindnessKind::Failed, "no answer")
    }
    for look in [Look { restore: unseen(), ..Look::default() }, Look { ledger: unseen(), ..Look::default() }] {
        for is_there in [false, true] {
            let observed = Observed { bootstrap: look.clone(), ..seen(is_there, None, None) };
            let (_, text) = planned(&object(&from()), &observed, &before(Some(BootstrapPhase::Restoring)));
            assert_eq!(text, "Unknown []  Restoring");
        }
    }
    // Without a class that was seen nothing is concluded of the bootstrap either.
    let observed = Observed { class: unseen(), ..seen(true, None, None) };
    assert_eq!(planned(&object(&from()), &observed, &before(None)).1, "Unknown []  -");
}

#[test]
fn the_cluster_is_waited_for_and_an_older_claim_goes_first() {
    let mut unfit = seen(false, None, None);
    unfit.cluster = ClusterSight::Unfit("b is away".to_owned());
    assert_eq!(planned(&object(&from()), &unfit, &before(None)).1, "ClusterNotReady [] Reconciling Pending");
    let mut few = seen(false, None, None);
    (few.members, few.nodes) = (Sight::Seen(vec!["a".to_owned()]), vec!["a".to_owned()]);
    assert_eq!(planned(&object(&from()), &few, &before(None)).1, "InvalidSpec [] Stalled Pending");
    let conflict = Observed { conflict: Some("ElysiaCollection n/b".to_owned()), ..seen(false, None, None) };
    assert_eq!(planned(&object(&from()), &conflict, &before(None)).1, "Conflict [] Stalled -");
}

#[test]
fn taken_out_of_the_spec_it_is_waited_for_as_long_as_it_may_write() {
    use RestorePhase::{Failed, Pending, Running, Succeeded};
    for (restore, expected) in [
        (None, "Creating [create] Reconciling -"),
        (view(Failed, false), "Creating [create] Reconciling -"),
        (view(Succeeded, true), "Creating [create] Reconciling -"),
        (view(Pending, false), "Restoring [] Reconciling Restoring"),
        (view(Running, true), "Restoring [] Reconciling Restoring"),
        (view(Failed, true), "RestoreStalled [] Stalled Stalled"),
    ] {
        let observed = seen(false, restore, None);
        assert_eq!(planned(&object(&Value::Null), &observed, &before(None)).1, expected, "{observed:?}");
    }
    let (plan, _) = planned(&object(&Value::Null), &seen(false, view(Running, true), None), &before(None));
    assert_eq!(
        plan.findings[0].message,
        "CollectionRestore a-bootstrap: why. restoreFrom is not in the spec any more; to give it up: kubectl delete collectionrestore a-bootstrap --namespace n"
    );
}

#[test]
fn the_restore_takes_factor_and_shards_of_the_spec() {
    let spec = CollectionSpec::validate(&object(&from())).unwrap();
    let made = restore(&spec).unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some("n"));
    assert_eq!(
        serde_json::to_value(&made.spec).unwrap(),
        json!({
            "clusterRef": {"name": "w"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Old", "into": "A", "conflict": "Fail", "replicationFactor": 2, "shards": 4,
        })
    );
    // It is valid as it stands.
    RestoreSpec::validate(&made).unwrap();
    // The same also when another class is live by now: what was begun is found again.
    let migrated = CollectionSpec { collection: "A_2".to_owned(), ..spec };
    assert_eq!(restore(&migrated).unwrap().spec, made.spec);
    let none = CollectionSpec::validate(&object(&Value::Null)).unwrap();
    assert!(restore(&none).is_none());
}

#[test]
fn its_name_is_short_and_of_its_own() {
    assert_eq!(restore_name("articles"), "articles-bootstrap");
    assert_eq!(restore_name(&"a".repeat(30)), format!("{}-bootstrap", "a".repeat(30)));
    let long = ["a".repeat(31), "a".repeat(253), format!("{}.{}", "a".repeat(16), "b".repeat(40))];
    let names: Vec<String> = long.iter().map(|name| restore_name(name)).collect();
    for name in &names {
        assert!(name.len() <= NAME_LIMIT && !name.contains(".-"), "{name}");
    }
    assert_ne!(names[0], names[1]);
}

#[test]
fn a_backup_leaves_out_what_has_not_begun_as_declared() {
    use BootstrapPhase::{Done, Pending, Restoring, Skipped, Stalled};
    let declared = |status| ElysiaCollection { status, ..object(&from()) };
    assert!(is_unfinished(&declared(None)), "just applied, or its status is lost");
    for (phase, expected) in [
        (None, true),
        (Some(Pending), true),
        (Some(Restoring), true),
        (Some(Stalled), true),
        (Some(Done), false),
        (Some(Skipped), false),
    ] {
        assert_eq!(is_unfinished(&declared(Some(before(phase)))), expected, "{phase:?}");
    }
    assert!(!is_unfinished(&object(&Value::Null)));
    let mut others = before(None);
    let conflict = crate::condition::Finding::fails(ConditionType::Ready, Reason::Conflict, "b is older");
    others.conditions = condition::merge(&[], &[conflict], None, NOW);
    assert!(!is_unfinished(&declared(Some(others))), "it is another's");
}

#[test]
fn only_a_restore_of_its_own_is_looked_at() {
    let made = |owner: &str| -> CollectionRestore {
        serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
            "metadata": {"name": "a-bootstrap", "ownerReferences": [{
                "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection", "name": "a", "uid": owner, "controller": true,
            }]},
            "spec": {"clusterRef": {"name": "w"}, "from": {"backupRef": {"name": "b"}, "run": "latest"}, "collection": "A"},
            "status": {
                "phase": "Failed", "startedAt": "2026-05-01T12:00:00Z", "run": "r1",
                "passedOver": {"total": 7, "runs": [{"run": "r2", "why": "it is Suspect"}]},
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "RunFailed", "message": "ready", "lastTransitionTime": "2026-05-01T12:00:00Z"},
                    {"type": "Stalled", "status": "True", "reason": "RunFailed", "message": "stalled", "lastTransitionTime": "2026-05-01T12:00:00Z"},
                ],
            },
        }))
        .unwrap()
    };
    let expected = RestoreView {
        phase: Some(RestorePhase::Failed),
        has_begun: true,
        is_stalled: true,
        is_going: false,
        run: Some("r1".to_owned()),
        passed_over: Some(passed_over()),
        message: "stalled".to_owned(),
    };
    assert_eq!(RestoreView::of(&made("0123456789"), "0123456789"), Some(expected));
    assert_eq!(RestoreView::of(&made("another"), "0123456789"), None);
}

fn passed_over() -> PassedOverRuns {
    let run = PassedOverRun { run: "r2".to_owned(), why: "it is Suspect".to_owned() };
    PassedOverRuns { total: 7, runs: vec![run] }
}

#[test]
fn runs_that_were_passed_over_are_told_by_the_collection_as_well() {
    let spec = CollectionSpec::validate(&object(&from())).unwrap();
    let told = |seen: &Observed| status(&spec, seen, &before(None)).unwrap().passed_over;
    let view = view(RestorePhase::Running, true);
    let view = view.map(|view| RestoreView { passed_over: Some(passed_over()), ..view });
    assert_eq!(told(&seen(false, view, None)), Some(passed_over()));
    // Its CollectionRestore is gone, and the ledger says it.
    let ledger = ledger(Stage::Done, true).map(|it| RestoreLedger { passed_over: Some(passed_over()), ..it });
    assert_eq!(told(&seen(true, None, ledger)), Some(passed_over()));
}

#[test]
fn key_and_aliases_are_those_of_the_restore() {
    let of = |restore_from: &Value| {
        let spec = CollectionSpec::validate(&object(restore_from)).unwrap();
        RestoreSpec::validate(&restore(&spec).unwrap()).unwrap()
    };
    let plain = of(&from());
    assert_eq!((plain.key, plain.aliases), (None, None));
    let mut sealed = from();
    sealed["encryption"] = json!({"keySecretRef": {"name": "backup-key", "key": "key"}});
    sealed["aliases"] = json!("Restore");
    let sealed = of(&sealed);
    let key = sealed.key.unwrap();
    assert_eq!((key.name.as_str(), key.key.as_str()), ("backup-key", "key"));
    assert_eq!(sealed.aliases, Some(elysia_api::restore::AliasPolicy::Restore));
}
