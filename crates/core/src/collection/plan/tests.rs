//! Pictures of collections and what follows from them.

use std::collections::BTreeMap;

use elysia_api::ElysiaCollection;
use elysia_api::collection::ShardReplicas;
use serde_json::json;

use super::super::judge;
use super::super::observed::{Operation, ReplicaView, Stage};
use super::super::recreate::{Cursor, Look};
use super::*;

mod migrating;
mod recreating;
mod repairing;

fn object(spec: &Value) -> ElysiaCollection {
    let mut whole = json!({"clusterRef": {"name": "w"}, "collection": "A", "replication": {"factor": 3}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "a", "namespace": "n", "uid": "0123456789", "generation": 1},
        "spec": whole,
    }))
    .unwrap()
}

fn class(factor: i64) -> Value {
    json!({
        "class": "A",
        "shardingConfig": {"desiredCount": 2},
        "replicationConfig": {"factor": factor, "deletionStrategy": "TimeBasedResolution"},
    })
}

fn nodes() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

fn shard(name: &str, replicas: &str) -> ShardReplicas {
    ShardReplicas { shard: name.to_owned(), replicas: replicas.chars().map(String::from).collect() }
}

/// A fit cluster with this class and these two shards.
fn seen(class: Option<Value>, first: &str, second: &str) -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        nodes: nodes(),
        members: Sight::Seen(nodes()),
        class: Sight::Seen(class),
        placement: Sight::Seen(vec![shard("s", first), shard("t", second)]),
        operations: Sight::Seen(Vec::new()),
        journal: Sight::Seen(None),
        recreate: Look { aliases: Some(Sight::Seen(Vec::new())), ..Look::default() },
        repair: repair::Look { running: Some(BTreeMap::new()), ..repair::Look::default() },
        ..Observed::unasked()
    }
}

fn lists(counts: [i64; 3]) -> Sight<BTreeMap<String, ReplicaView>> {
    let view = |count: i64| ReplicaView { count, digest: format!("d{count}") };
    Sight::Seen(nodes().into_iter().zip(counts).map(|(node, count)| (node, view(count))).collect())
}

fn picture(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| match step {
        Step::CreateClass(class) => format!("create {}", schema::class_factor(class)),
        Step::StartRestore(restore) => format!("restore {}", restore.metadata.name.as_deref().unwrap_or_default()),
        Step::AddProperty(property) => format!("property {}", property["name"]),
        Step::UpdateClass { class, .. } => format!("put factor {}", schema::class_factor(class)),
        Step::Copy(copy) => format!("copy {}:{}→{}", copy.shard, copy.source, copy.target),
        Step::ForgetOperation(id) => format!("forget {id}"),
        Step::DropOperation(id) => format!("drop {id}"),
        Step::CoolTenants(tenants) => format!("cool {}", tenants.join(" ")),
        Step::RemoveReplica(removal) => format!("remove {}:{}", removal.victim.shard, removal.victim.node),
        Step::RemoveMember(node) => format!("raft -{node}"),
        Step::WriteRepair(journal) => {
            format!("repair {}/{}{}", journal.cursor, journal.victims.len(), if journal.over { " over" } else { "" })
        }
        Step::WriteJournal(journal) => format!("journal {:?}", journal.cursor),
        Step::SetReadOnly { read_only, .. } => format!("read-only {read_only}"),
        Step::CreateTenants(tenants) => format!("{} tenants", tenants.len()),
        Step::ProveAndDelete(_) => "prove and delete".to_owned(),
        Step::Migration(act) => migrating::act(act),
    });
    let ready = &plan.findings[0];
    let steps = steps.collect::<Vec<_>>().join(", ");
    format!("{} {} [{steps}]", ready.value.as_str(), ready.reason)
}

/// Lets the judges of GitOps see what follows: as it is, paused, and when its first step fails.
fn record(object: &ElysiaCollection, observed: &Observed, plan: &Plan) {
    let mut paused = object.clone();
    paused
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(elysia_api::names::PAUSED_ANNOTATION.to_owned(), "true".to_owned());
    let failure = |retryable| judge::Failure { message: "no".to_owned(), reason: Reason::CopyFailed, retryable };
    let (passing, final_) = (failure(true), failure(false));
    for (object, failure) in [(object, None), (&paused, None), (object, Some(&passing)), (object, Some(&final_))] {
        // A plan without steps cannot fail.
        if failure.is_some() && plan.steps.is_empty() {
            continue;
        }
        let spec = CollectionSpec::validate(object).unwrap();
        let status = judge::status(object, &spec, observed, plan, failure, Timestamp::UNIX_EPOCH);
        elysia_testkit::conditions::record(&ElysiaCollection { status: Some(status), ..object.clone() });
    }
}

fn check(spec: &Value, observed: &Observed, expected: &str) {
    let object = object(spec);
    let spec = CollectionSpec::validate(&object).unwrap();
    let plan = plan(&spec, observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    record(&object, observed, &plan);
    assert_eq!(picture(&plan), expected, "{:?}", plan.findings);
}

#[test]
fn a_missing_collection_is_created_with_the_declared_factor() {
    check(&json!({}), &seen(None, "", ""), "False Creating [create 3]");
    let mut unfit = seen(None, "", "");
    unfit.cluster = ClusterSight::Unfit("c is away".to_owned());
    check(&json!({}), &unfit, "False ClusterNotReady []");
    let mut small = seen(None, "", "");
    small.members = Sight::Seen(vec!["a".to_owned()]);
    small.nodes = vec!["a".to_owned()];
    check(&json!({}), &small, "False InvalidSpec []");
}

#[test]
fn missing_replicas_are_copied_then_the_factor_is_raised_then_it_is_proved() {
    check(
        &json!({}),
        &seen(Some(class(1)), "a", "b"),
        "False Copying [copy s:a→c, copy s:a→b, copy t:b→a, copy t:b→c]",
    );
    let mut running = seen(Some(class(1)), "abc", "abc");
    running.operations = Sight::Seen(vec![Operation {
        id: "1".to_owned(),
        shard: "s".to_owned(),
        target: "c".to_owned(),
        state: OperationState::Active,
        ..Operation::default()
    }]);
    check(&json!({}), &running, "False Copying []");
    check(&json!({}), &seen(Some(class(1)), "abc", "abc"), "False ReplicasBehind [put factor 3]");
    check(&json!({}), &seen(Some(class(3)), "abc", "abc"), "False Proving []");
    let mut proved = seen(Some(class(3)), "abc", "abc");
    proved.replicas = Some(lists([5, 5, 5]));
    check(&json!({}), &proved, "True AsDeclared []");
    proved.replicas = Some(lists([5, 4, 5]));
    check(&json!({}), &proved, "False ReplicasDiffer []");
    // Writers are at work: what one lists and another does not is there when it is asked for by id. It has to be known of all.
    for (gaps, expected) in [
        (vec![("a", 0), ("b", 0), ("c", 0)], "True AsDeclared []"),
        (vec![("a", 0), ("b", 1), ("c", 0)], "False ReplicasDiffer []"),
        (vec![("a", 0), ("b", 0)], "False ReplicasDiffer []"),
    ] {
        let gap = |(node, missing): (&str, i64)| (node.to_owned(), repair::Gap { missing });
        proved.repair.gaps = Some(Sight::Seen(gaps.into_iter().map(gap).collect()));
        check(&json!({}), &proved, expected);
    }
}

#[test]
fn records_of_ended_copies_go_before_the_shard_is_copied_again() {
    let mut ended = seen(Some(class(1)), "ab", "abc");
    ended.operations = Sight::Seen(vec![Operation {
        id: "7".to_owned(),
        shard: "s".to_owned(),
        target: "b".to_owned(),
        state: OperationState::Ready,
        ..Operation::default()
    }]);
    check(&json!({}), &ended, "False Copying [forget 7]");
}

#[test]
fn copies_wait_for_the_cluster_for_approval_or_for_ever() {
    let mut unfit = seen(Some(class(1)), "a", "b");
    unfit.cluster = ClusterSight::Unfit("c is away".to_owned());
    check(&json!({}), &unfit, "False ReplicasBehind []");
    check(&json!({"repair": {"copy": "Off"}}), &seen(Some(class(1)), "a", "b"), "False CopyOff []");
    check(&json!({"repair": {"copy": "Approve"}}), &seen(Some(class(1)), "a", "b"), "False NeedsApproval []");
}

#[test]
fn a_copy_of_somebody_else_starts_no_others() {
    let mut running = seen(Some(class(1)), "a", "b");
    running.operations = Sight::Seen(vec![Operation {
        id: "1".to_owned(),
        shard: "s".to_owned(),
        target: "c".to_owned(),
        state: OperationState::Active,
        ..Operation::default()
    }]);
    check(&json!({"repair": {"copy": "Off"}}), &running, "False CopyOff []");
    check(&json!({"repair": {"copy": "Approve"}}), &running, "False NeedsApproval []");
}

#[test]
fn a_factor_below_what_is_there_needs_approval_and_lowers_nothing() {
    let forgotten = json!({"replication": {}});
    check(&forgotten, &seen(Some(class(3)), "abc", "abc"), "False NeedsApproval []");
}

#[test]
fn a_shard_without_a_living_holder_does_not_serve() {
    let mut dead = seen(Some(class(1)), "a", "z");
    dead.cluster = ClusterSight::Unfit("z is away".to_owned());
    let object = object(&json!({"replication": {"factor": 1}}));
    let spec = CollectionSpec::validate(&object).unwrap();
    let plan = plan(&spec, &dead, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(
        (plan.findings[1].kind, plan.findings[1].value),
        (ConditionType::Available, crate::condition::Value::False)
    );
}

#[test]
fn a_node_that_is_away_changes_nothing_for_a_collection_in_sync() {
    let mut away = seen(Some(class(1)), "a", "b");
    away.cluster = ClusterSight::Unfit("c is away".to_owned());
    away.members = Sight::Seen(vec!["a".to_owned(), "b".to_owned()]);
    check(&json!({"replication": {"factor": 1}}), &away, "True AsDeclared []");
}

#[test]
fn what_cannot_be_seen_is_unknown_and_changes_nothing() {
    let mut blind = seen(None, "", "");
    blind.class = Sight::unseen(BlindnessKind::Unreachable, "connection refused");
    check(&json!({}), &blind, "Unknown Unreachable []");
    let mut no_movement = seen(Some(class(3)), "abc", "abc");
    no_movement.placement = Sight::unseen(BlindnessKind::Unsupported, "501");
    check(&json!({}), &no_movement, "False CopyUnsupported []");
    let mut no_journal = seen(None, "", "");
    no_journal.journal = Sight::unseen(BlindnessKind::Failed, "500");
    check(&json!({}), &no_journal, "Unknown Unknown []");
}

#[test]
fn two_objects_cannot_have_one_collection() {
    let mut observed = seen(None, "", "");
    observed.conflict = Some("n/older".to_owned());
    check(&json!({}), &observed, "False Conflict []");
}

#[test]
fn mutable_settings_are_put_back() {
    let wanted = json!({"schema": {"description": "new"}, "replication": {"factor": 1}});
    check(&wanted, &seen(Some(class(1)), "a", "b"), "False SchemaDrift [put factor 1]");
    let wanted = json!({"schema": {"properties": [{"name": "x", "dataType": ["text"]}]}, "replication": {"factor": 1}});
    check(&wanted, &seen(Some(class(1)), "a", "b"), r#"False SchemaDrift [property "x"]"#);
}

fn immutable() -> Value {
    json!({"schema": {"shardingConfig": {"desiredCount": 3}}, "replication": {"factor": 1}})
}

#[test]
fn an_immutable_setting_waits_for_approval_only_when_nothing_is_listed() {
    let mut observed = seen(Some(class(1)), "a", "b");
    check(&immutable(), &observed, "False SchemaDrift []");
    observed.holder = Some(Sight::Seen(Some("b".to_owned())));
    check(&immutable(), &observed, "False RefusedHasData []");
    observed.holder = Some(Sight::unseen(BlindnessKind::Unreachable, "b is away"));
    check(&immutable(), &observed, "False RefusedNotProvablyEmpty []");
    observed.holder = Some(Sight::Seen(None));
    check(&immutable(), &observed, "False NeedsApproval []");
    let listed = observed.operations.clone();
    observed.operations = Sight::unseen(BlindnessKind::Failed, "404");
    check(&immutable(), &observed, "False RefusedNotProvablyEmpty []");
    observed.operations = listed;
    observed.protection = Some("ELYSIA_*".to_owned());
    check(&immutable(), &observed, "False Protected []");
}

/// The plan of an empty collection with an immutable difference, approved with this hash.
fn approved(hash: Option<&str>, observed: &Observed) -> Plan {
    let mut object = object(&immutable());
    if let Some(hash) = hash {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert("elysia.dev/approve".to_owned(), hash.to_owned());
    }
    let spec = CollectionSpec::validate(&object).unwrap();
    let bare = plan(&spec, observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    // Once more with the status that the first look left, as it is in life.
    let before = judge::status(&object, &spec, observed, &bare, None, Timestamp::UNIX_EPOCH);
    plan(&spec, observed, &before, Timestamp::from_second(60).unwrap())
}

#[test]
fn the_hash_approves_this_plan_once_and_no_other() {
    let mut observed = seen(Some(class(1)), "a", "b");
    observed.holder = Some(Sight::Seen(None));
    let waiting = approved(None, &observed);
    let hash = waiting.shown.clone().unwrap().hash;
    assert_eq!(picture(&waiting), "False NeedsApproval []");
    let word = "stop the writers that send batches before you approve: while A is read-only";
    assert!(waiting.findings[0].message.contains(word), "{:?}", waiting.findings[0]);
    assert!(waiting.shown.as_ref().unwrap().steps[0].starts_with(word), "{:?}", waiting.shown);
    let new = Observed { version: Some(super::super::migration::REFUSES_EACH), ..observed.clone() };
    assert!(!approved(None, &new).shown.unwrap().steps[0].contains("writers"));
    assert_eq!(picture(&approved(Some("another"), &observed)), "False NeedsApproval []");
    assert_eq!(picture(&approved(Some(&hash), &observed)), "False Recreating [journal AutoSchemaOff]");

    let mut moved = observed.clone();
    moved.placement = Sight::Seen(vec![shard("s", "a"), shard("t", "c")]);
    assert_eq!(picture(&approved(Some(&hash), &moved)), "False NeedsApproval []");

    let Step::WriteJournal(journal) = &approved(Some(&hash), &observed).steps[0] else { panic!("no journal") };
    let mut consumed = observed.clone();
    let stopped =
        Journal { cursor: Cursor::Stopped, stopped: Some("b lists objects".to_owned()), ..(**journal).clone() };
    consumed.journal = Sight::Seen(Some(stopped));
    let plan = approved(Some(&hash), &consumed);
    assert_eq!(picture(&plan), "False NeedsApproval []");
    assert!(plan.findings[0].message.contains("b lists objects"), "{}", plan.findings[0].message);
}

/// A journal that stands at this cursor.
fn at(cursor: Cursor) -> Journal {
    serde_json::from_value(json!({
        "hash": "h", "attempts": 1, "collection": "A", "liveSchema": class(1), "wantedSchema": class(3),
        "placement": [], "cursor": cursor, "since": Timestamp::UNIX_EPOCH,
    }))
    .unwrap()
}

#[test]
fn a_journal_is_resumed_whatever_the_annotations_say() {
    let mut observed = seen(None, "", "");
    observed.journal = Sight::Seen(Some(at(Cursor::Create)));
    let expected = "False Recreating [create 3, journal Verify]";
    check(&immutable(), &observed, expected);
    observed.cluster = ClusterSight::Unfit("c is away".to_owned());
    check(&immutable(), &observed, expected);
}

#[test]
fn an_approved_plan_can_be_called_off_until_the_delete_and_not_after() {
    let mut observed = seen(Some(class(1)), "a", "b");
    observed.journal = Sight::Seen(Some(at(Cursor::Delete)));
    check(&immutable(), &observed, "False Recreating [prove and delete]");
    let mut off = immutable();
    off["repair"] = json!({"recreate": "Off"});
    check(&off, &observed, "False Recreating [journal Thaw]");
    observed.protection = Some("A*".to_owned());
    check(&immutable(), &observed, "False Recreating [journal Thaw]");
    let mut after = seen(None, "", "");
    after.protection = observed.protection;
    after.journal = Sight::Seen(Some(at(Cursor::Create)));
    check(&off, &after, "False Recreating [create 3, journal Verify]");
}

/// The delete was carried out, and the operator died before it wrote that down: calling it off would leave no collection.
#[test]
fn a_collection_that_is_gone_is_made_again_whatever_calls_it_off() {
    let annotated = |key: &str, value: &str| {
        let mut object = object(&immutable());
        object.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        object
    };
    let mut off = immutable();
    off["repair"] = json!({"recreate": "Off"});
    let objects = [
        (annotated("elysia.dev/rollback", "h"), None),
        (annotated("elysia.dev/paused", "true"), None),
        (object(&off), None),
        (object(&immutable()), Some("A*".to_owned())),
    ];
    for (object, protection) in objects {
        let spec = CollectionSpec::validate(&object).unwrap();
        for (class, expected) in [
            (Sight::Seen(Some(class(1))), "[journal Thaw]"),
            (Sight::Seen(None), "[journal WaitGone]"),
            (Sight::unseen(BlindnessKind::Unreachable, "connection refused"), "[]"),
        ] {
            let mut observed = seen(None, "a", "b");
            observed.class = class;
            observed.protection.clone_from(&protection);
            observed.journal = Sight::Seen(Some(at(Cursor::Delete)));
            let made = plan(&spec, &observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
            record(&object, &observed, &made);
            assert_eq!(picture(&made), format!("False Recreating {expected}"), "{:?}", object.metadata.annotations);
        }
    }
}

/// An object made anew with what was kept of the old one, whose journal is another's.
#[test]
fn a_request_to_clear_that_came_with_the_object_is_refused_and_remembered() {
    let created = "2026-01-02T03:04:05Z";
    let asked = |time: &str| {
        let mut object = object(&json!({}));
        object.metadata.annotations.get_or_insert_default().insert("elysia.dev/clear".to_owned(), "5/old".to_owned());
        let mut value = json!(object);
        value["metadata"]["creationTimestamp"] = created.into();
        value["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update", "time": time,
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:elysia.dev/clear": {}}}}}]);
        serde_json::from_value::<ElysiaCollection>(value).unwrap()
    };
    let observed = seen(Some(class(3)), "abc", "abc");
    let look = |object: &ElysiaCollection, observed: &Observed| {
        let spec = CollectionSpec::validate(object).unwrap();
        let before = object.status.clone().unwrap_or_default();
        let made = plan(&spec, observed, &before, Timestamp::UNIX_EPOCH);
        let status = judge::status(object, &spec, observed, &made, None, Timestamp::UNIX_EPOCH);
        (made, status)
    };
    let (born, later) = (asked(created), asked("2026-01-02T03:04:06Z"));
    assert_eq!(picture(&look(&later, &observed).0), "False Clearing [journal AutoSchemaOff]");
    let (made, status) = look(&born, &observed);
    assert_eq!(picture(&made), "False ClearRefused [journal Stopped]");
    let message = &made.findings[0].message;
    assert!(message.contains("5/old was not carried out") && message.contains("came with the object"), "{message}");
    // Written down at the first sight, be the collection seen or not: then a change of the object makes the annotation younger.
    assert_eq!(status.last_handled.as_ref().unwrap().clear.as_deref(), Some("old"));
    let mut blind = observed.clone();
    blind.class = Sight::unseen(BlindnessKind::Unreachable, "connection refused");
    let applied = ElysiaCollection { status: Some(look(&born, &blind).1), ..later.clone() };
    assert_eq!(picture(&look(&applied, &observed).0), "False Proving []");
    // In the journal it stays refused without a status, and is told.
    let Step::WriteJournal(journal) = &made.steps[0] else { panic!("no journal") };
    let mut remembered = observed.clone();
    remembered.journal = Sight::Seen(Some((**journal).clone()));
    remembered.replicas = Some(lists([5, 5, 5]));
    for object in [&born, &later] {
        assert_eq!(picture(&look(object, &remembered).0), "False ClearRefused []");
    }
}

#[test]
fn the_same_look_gives_the_same_plan() {
    let object = object(&json!({}));
    let spec = CollectionSpec::validate(&object).unwrap();
    let observed = seen(Some(class(1)), "a", "b");
    let before = ElysiaCollectionStatus::default();
    let one = plan(&spec, &observed, &before, Timestamp::UNIX_EPOCH);
    assert_eq!(one, plan(&spec, &observed, &before, Timestamp::UNIX_EPOCH));
}

#[test]
fn an_object_at_rest_has_the_same_status_at_every_look() {
    let object = object(&json!({}));
    let spec = CollectionSpec::validate(&object).unwrap();
    let mut observed = seen(Some(class(3)), "abc", "abc");
    observed.replicas = Some(lists([5, 5, 5]));
    let first = plan(&spec, &observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    let mut settled = object.clone();
    settled.status = Some(judge::status(&object, &spec, &observed, &first, None, Timestamp::UNIX_EPOCH));
    observed.replicas = None;
    observed.count = Some(Sight::Seen(5));
    let round = |object: &ElysiaCollection, second| {
        let before = object.status.clone().unwrap();
        let now = Timestamp::from_second(second).unwrap();
        let plan = plan(&spec, &observed, &before, now);
        judge::status(object, &spec, &observed, &plan, None, now)
    };
    assert!(!questions(&spec, &observed, settled.status.as_ref().unwrap()).replicas);
    let second = round(&settled, 60);
    settled.status = Some(second.clone());
    assert_eq!(second, round(&settled, 3600));
}

/// The status after one look.
fn status_of(object: &ElysiaCollection, observed: &Observed, second: i64) -> ElysiaCollectionStatus {
    let spec = CollectionSpec::validate(object).unwrap();
    let before = object.status.clone().unwrap_or_default();
    let now = Timestamp::from_second(second).unwrap();
    let plan = plan(&spec, observed, &before, now);
    judge::status(object, &spec, observed, &plan, None, now)
}

#[test]
fn a_status_stays_small_with_fifty_thousand_tenants() {
    let mut object = object(&json!({"schema": {"multiTenancyConfig": {"enabled": true}}}));
    let mut class = class(1);
    class["multiTenancyConfig"] = json!({"enabled": true});
    let mut observed = seen(Some(class), "", "");
    let name = |at: usize| format!("tenant-with-a-long-name-{at:0>40}");
    let tenants: Vec<String> = (0..50_000).map(name).collect();
    observed.placement = Sight::Seen(tenants.iter().map(|tenant| shard(tenant, "a")).collect());
    let activity = |at: usize| if at.is_multiple_of(2) { repair::Activity::Cold } else { repair::Activity::Hot };
    observed.repair.tenants =
        Some(Sight::Seen(tenants.iter().enumerate().map(|(at, tenant)| (tenant.clone(), activity(at))).collect()));
    // Cold ones first: they are remembered in one round and copied in the next.
    for second in [0, 1] {
        object.status = Some(status_of(&object, &observed, second));
        let size = serde_json::to_vec(&object.status).unwrap().len();
        assert!(size < 32 * 1024, "{size} bytes");
    }
    let replication = object.status.unwrap().replication.unwrap();
    assert_eq!((replication.cooling.len(), replication.behind.len(), replication.behind_total), (20, 20, 50_000));
    assert_eq!(replication.progress.unwrap().total, 100_000);
}

#[test]
fn numbers_of_a_running_repair_wait_until_they_may_be_told() {
    let mut object = object(&json!({}));
    let mut observed = seen(Some(class(1)), "a", "b");
    object.status = Some(status_of(&object, &observed, 0));
    observed.placement = Sight::Seen(vec![shard("s", "abc"), shard("t", "b")]);
    observed.repair.tells = false;
    let quiet = status_of(&object, &observed, 3);
    assert_eq!(object.status.as_ref(), Some(&quiet));
    observed.repair.tells = true;
    let told = status_of(&object, &observed, 10).replication.unwrap().progress.unwrap();
    assert_eq!((told.total, told.done, told.estimated_end.unwrap().0.as_second()), (4, 2, 20));
}
