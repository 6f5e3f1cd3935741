//! Repairs: what an approved one does step by step, and what servers and tenants are spared.

use super::*;

#[test]
fn a_cold_tenant_is_remembered_before_it_is_woken_and_put_back_after() {
    let mut object =
        object(&json!({"schema": {"multiTenancyConfig": {"enabled": true}}, "replication": {"factor": 2}}));
    let class = |factor| {
        let mut class = class(factor);
        class["multiTenancyConfig"] = json!({"enabled": true});
        class
    };
    let mut observed = seen(Some(class(1)), "a", "ab");
    let tenants = |first| {
        let hot = ("t".to_owned(), repair::Activity::Hot);
        Some(Sight::Seen(BTreeMap::from([("s".to_owned(), first), hot])))
    };
    let mut look = |observed: &Observed| {
        let spec = CollectionSpec::validate(&object).unwrap();
        let made = plan(&spec, observed, &object.status.clone().unwrap_or_default(), Timestamp::UNIX_EPOCH);
        object.status = Some(judge::status(&object, &spec, observed, &made, None, Timestamp::UNIX_EPOCH));
        picture(&made)
    };
    observed.repair.tenants = tenants(repair::Activity::Cold);
    assert_eq!(look(&observed), "False Copying []");
    assert_eq!(look(&observed), "False Copying [copy s:a→c]");
    // Meanwhile a node is away: it stays remembered.
    observed.cluster = ClusterSight::Unfit("c is away".to_owned());
    assert_eq!(look(&observed), "False ReplicasBehind []");
    observed.cluster = ClusterSight::Fit;
    observed.placement = Sight::Seen(vec![shard("s", "ab"), shard("t", "ab")]);
    observed.repair.tenants = tenants(repair::Activity::Hot);
    let record = |state| Operation { id: "1".to_owned(), shard: "s".to_owned(), state, ..Operation::default() };
    observed.operations = Sight::Seen(vec![record(OperationState::Ready)]);
    assert_eq!(look(&observed), "False Copying [forget 1]");
    observed.operations = Sight::Seen(Vec::new());
    assert_eq!(look(&observed), "False Copying [cool s]");
    observed.repair.tenants = tenants(repair::Activity::Cold);
    assert_eq!(look(&observed), "False ReplicasBehind [put factor 2]");
}

/// The plan of a look with a journal of a repair.
fn repairing(spec: &Value, observed: &Observed, action: repair::Action, cursor: usize, removed: bool) -> String {
    let mut observed = observed.clone();
    let victim = |shard: &str, node: &str| super::super::super::copies::Replica {
        shard: shard.to_owned(),
        node: node.to_owned(),
    };
    let (victims, gone) = match action {
        repair::Action::Replace => (vec![victim("s", "z")], vec!["z".to_owned()]),
        _ => (vec![victim("s", "a"), victim("t", "a")], Vec::new()),
    };
    let object = object(spec);
    let spec = CollectionSpec::validate(&object).unwrap();
    observed.repair.journal = Sight::Seen(Some(repair::Journal {
        hash: "h".to_owned(),
        attempts: 1,
        action,
        target: None,
        collection: "A".to_owned(),
        factor: spec.factor,
        victims,
        gone,
        cursor,
        removed,
        since: Timestamp::UNIX_EPOCH,
        over: false,
        stopped: None,
    }));
    picture(&plan(&spec, &observed, &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH))
}

#[test]
fn an_approved_removal_step_by_step() {
    let two = json!({"replication": {"factor": 2}});
    let step = |factor, first, second, cursor| {
        repairing(&two, &seen(Some(class(factor)), first, second), repair::Action::Remove, cursor, false)
    };
    assert_eq!(step(3, "abc", "abc", 0), "False Removing [put factor 2]");
    assert_eq!(step(2, "abc", "abc", 0), "False Removing [remove s:a, remove t:a]");
    assert_eq!(step(2, "bc", "abc", 0), "False Removing [repair 1/2, remove t:a]");
    assert_eq!(step(2, "bc", "bc", 0), "False Removing [repair 0/2 over]");
    // Too few would be left alive: it stops.
    assert_eq!(step(2, "ac", "abc", 0), "False Removing [repair 0/2 over]");
    assert_eq!(
        repairing(&json!({}), &seen(Some(class(3)), "abc", "abc"), repair::Action::Remove, 0, false),
        "False Removing [repair 0/2 over]"
    );
}

/// Without declared nodes nobody has said that one is gone, and one that is not alive cannot be asked what it holds.
#[test]
fn a_replica_of_a_node_that_is_not_alive_is_not_taken_away_uncompared() {
    let two = json!({"replication": {"factor": 2}});
    let dead = |first: &str, second: &str| Observed { nodes: Vec::new(), ..seen(Some(class(2)), first, second) };
    check(&two, &dead("abz", "ab"), "False TooManyReplicas []");
    let spec = CollectionSpec::validate(&object(&two)).unwrap();
    let made = plan(&spec, &dead("abz", "ab"), &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    let message = &made.findings[0].message;
    assert!(message.contains("z is not alive") && message.contains("spec.external.nodes"), "{message}");
    assert_eq!(made.shown, None);
    // Those that can be compared are offered, and only those.
    check(&two, &dead("abz", "abc"), "False NeedsApproval []");
    let made = plan(&spec, &dead("abz", "abc"), &ElysiaCollectionStatus::default(), Timestamp::UNIX_EPOCH);
    let steps = made.shown.unwrap().steps.join("\n");
    assert!(steps.contains("shard t at") && !steps.contains("at z"), "{steps}");
    // A plan of before, or a node that died since the approval.
    let mut died = dead("abc", "abc");
    died.members = Sight::Seen(["b", "c"].map(str::to_owned).to_vec());
    assert_eq!(repairing(&two, &died, repair::Action::Remove, 0, false), "False Removing [repair 0/2 over]");
}

#[test]
fn a_repair_of_other_servers_is_carried_out_nowhere_else() {
    let two = json!({"replication": {"factor": 2}});
    let target = |address: &str| recreate::Target {
        cluster: "w".to_owned(),
        uid: "u".to_owned(),
        addresses: vec![address.to_owned()],
    };
    let mut observed = seen(Some(class(2)), "abc", "abc");
    observed.target = Some(target("http://a"));
    let spec = CollectionSpec::validate(&object(&two)).unwrap();
    let status = ElysiaCollectionStatus::default();
    let hash = plan(&spec, &observed, &status, Timestamp::UNIX_EPOCH).shown.unwrap().hash;
    let spec = CollectionSpec { approved: Some(hash), ..spec };
    let begun = plan(&spec, &observed, &status, Timestamp::UNIX_EPOCH);
    let Step::WriteRepair(journal) = &begun.steps[0] else { panic!("no journal: {}", picture(&begun)) };
    let text = json!(journal);
    for (own, now, expected) in [
        (text["target"].clone(), "http://a", "False Removing [remove s:c, remove t:b]"),
        (text["target"].clone(), "http://b", "False JournalElsewhere []"),
        // Of an older release.
        (Value::Null, "http://b", "False Removing [remove s:c, remove t:b]"),
    ] {
        let mut text = text.clone();
        if own.is_null() {
            text.as_object_mut().unwrap().remove("target");
        }
        observed.repair.journal = Sight::Seen(Some(serde_json::from_value(text).unwrap()));
        observed.target = Some(target(now));
        assert_eq!(picture(&plan(&spec, &observed, &status, Timestamp::UNIX_EPOCH)), expected, "{own} {now}");
    }
}

#[test]
fn what_an_object_says_right_before_a_removal_holds_it_up() {
    let spec = CollectionSpec::validate(&object(&json!({"replication": {"factor": 2}}))).unwrap();
    let journal: repair::Journal = serde_json::from_value(json!({
        "hash": "h", "attempts": 1, "action": "Remove", "collection": "A", "factor": 2, "victims": [], "cursor": 0,
        "since": Timestamp::UNIX_EPOCH, "over": false,
    }))
    .unwrap();
    let now = |change: fn(&mut CollectionSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        journal.held_up(&spec)
    };
    assert_eq!(now(|_| {}), None);
    // The approval was used: it is in the journal, and the annotation may go.
    assert_eq!(now(|spec| spec.approved = None), None);
    assert_eq!(now(|spec| spec.paused = true).as_deref(), Some("elysia.dev/paused was set"));
    assert_eq!(now(|spec| spec.factor = 3).as_deref(), Some("replication.factor was changed"));
    assert_eq!(now(|spec| spec.collection = "B".to_owned()).as_deref(), Some("it speaks of another collection"));
    let another = |hash: &str, attempts| repair::Journal { hash: hash.to_owned(), attempts, ..journal.clone() };
    assert!(journal.is_of_the_same_plan(&journal.next(Timestamp::UNIX_EPOCH)));
    assert!(!journal.is_of_the_same_plan(&another("h", 2)) && !journal.is_of_the_same_plan(&another("i", 1)));
}

#[test]
fn an_approved_rebuild_step_by_step() {
    let step = |factor, first, cursor, removed| {
        repairing(&json!({}), &seen(Some(class(factor)), first, "abc"), repair::Action::Rebuild, cursor, removed)
    };
    assert_eq!(step(3, "abc", 0, false), "False Rebuilding [put factor 2]");
    assert_eq!(step(2, "abc", 0, false), "False Rebuilding [remove s:a, repair 0/2]");
    // Taken away, and the operator died before it wrote that down.
    assert_eq!(step(2, "bc", 0, false), "False Rebuilding [repair 0/2]");
    assert_eq!(step(2, "bc", 0, true), "False Rebuilding [copy s:b→a]");
    assert_eq!(step(2, "abc", 0, true), "False Rebuilding [repair 1/2]");
    assert_eq!(step(2, "abc", 2, false), "False ReplicasBehind [put factor 3]");
    assert_eq!(step(3, "abc", 2, false), "False Rebuilding [repair 2/2 over]");
}

#[test]
fn an_approved_replacement_step_by_step() {
    let two = json!({"replication": {"factor": 2}});
    let look = |observed: &Observed| repairing(&two, observed, repair::Action::Replace, 0, false);
    let mut observed = seen(Some(class(2)), "az", "ab");
    observed.repair.raft = Some(Sight::Seen(["a", "b", "c", "z"].map(str::to_owned).to_vec()));
    observed.repair.blocked = Some(Sight::Seen(Some("shard x of B needs it".to_owned())));
    observed.repair.data_ports = nodes();
    assert_eq!(look(&observed), "False NodeGone [copy s:a→c]");
    let running = |stage, state| Operation {
        id: "1".to_owned(),
        shard: "s".to_owned(),
        source: "a".to_owned(),
        target: "c".to_owned(),
        stage,
        state,
        ..Operation::default()
    };
    observed.operations = Sight::Seen(vec![running(Stage::Copying, OperationState::Active)]);
    assert_eq!(look(&observed), "False NodeGone []");
    // 1.38: the new replica serves, and the copy ends only when the dead node has left RAFT.
    observed.placement = Sight::Seen(vec![shard("s", "acz"), shard("t", "ab")]);
    observed.operations = Sight::Seen(vec![running(Stage::Integrating, OperationState::Active)]);
    assert_eq!(look(&observed), "False NodeGone []");
    observed.repair.blocked = Some(Sight::Seen(None));
    assert_eq!(look(&observed), "False NodeGone [raft -z]");
    // 1.35: it ends, its record goes, the dead replica goes, and then the node.
    observed.operations = Sight::Seen(vec![running(Stage::Copying, OperationState::Ready)]);
    assert_eq!(look(&observed), "False NodeGone [forget 1]");
    observed.operations = Sight::Seen(Vec::new());
    assert_eq!(look(&observed), "False NodeGone [remove s:z]");
    observed.placement = Sight::Seen(vec![shard("s", "ac"), shard("t", "ab")]);
    assert_eq!(look(&observed), "False NodeGone [raft -z]");
    observed.repair.data_ports.clear();
    assert_eq!(look(&observed), "False NodeGone []");
    observed.repair.raft = Some(Sight::Seen(nodes()));
    assert_eq!(look(&observed), "False NodeGone [repair 0/1 over]");
}

#[test]
fn servers_that_cannot_are_not_asked_to() {
    let version = |text: &str| crate::version::ServerVersion::parse(text);
    let mut old = seen(Some(class(1)), "a", "b");
    old.version = version("1.31.0");
    // They copy by themselves while the factor is raised.
    check(&json!({}), &old, "False Copying [put factor 3]");
    old.repair.raised = Some(Timestamp::UNIX_EPOCH);
    check(&json!({}), &old, "False Copying []");
    old.class = Sight::Seen(Some(class(3)));
    check(&json!({}), &old, "False CopyUnsupported []");
    old.holder = Some(Sight::Seen(None));
    check(&json!({}), &old, "False NeedsApproval []");
    // 1.32 would refuse the factor after copies, so it copies for the factor as well; what it has begun otherwise goes on.
    let mut between = seen(Some(class(1)), "a", "b");
    between.version = version("1.32.0");
    check(&json!({}), &between, "False Copying [put factor 3]");
    between.placement = Sight::Seen(vec![shard("s", "ab"), shard("t", "abc")]);
    check(&json!({}), &between, "False Copying [copy s:a→c]");
    let mut more = seen(Some(class(1)), "abc", "ab");
    more.version = version("1.32.0");
    check(&json!({"replication": {"factor": 1}}), &more, "False TooManyReplicas []");
    more.version = version("1.35.2");
    check(&json!({"replication": {"factor": 1}}), &more, "False NeedsApproval []");
    // Replica movement switched off: what the nodes count is all that is known.
    let mut blind = seen(Some(class(3)), "", "");
    blind.placement = Sight::unseen(BlindnessKind::Unsupported, "501");
    blind.repair.counted = Some(Sight::Seen(BTreeMap::from([("s".to_owned(), 3)])));
    check(&json!({}), &blind, "True AsDeclared []");
    blind.repair.counted = Some(Sight::Seen(BTreeMap::from([("s".to_owned(), 1)])));
    check(&json!({}), &blind, "False CopyUnsupported []");
}

#[test]
fn a_lost_disk_of_the_only_replica_is_told_until_somebody_deals_with_it() {
    let mut object = object(&json!({"replication": {"factor": 1}}));
    let mut observed = seen(Some(class(1)), "a", "b");
    observed.count = Some(Sight::Seen(600));
    object.status = Some(status_of(&object, &observed, 0));
    observed.count = Some(Sight::Seen(402));
    observed.repair.voided = Some("a was started since".to_owned());
    for second in [60, 120] {
        object.status = Some(status_of(&object, &observed, second));
        let status = object.status.as_ref().unwrap();
        assert_eq!((status.conditions[0].reason.as_str(), status.objects.as_ref().unwrap().count), ("SourceLost", 600));
        // What was seen by one operator is not forgotten by the next.
        observed.repair.voided = None;
    }
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert("elysia.dev/run-now".to_owned(), "1".to_owned());
    let status = status_of(&object, &observed, 180);
    assert_eq!((status.conditions[0].reason.as_str(), status.objects.unwrap().count), ("AsDeclared", 402));
}

#[test]
fn what_differs_is_healed_by_the_servers_then_made_anew() {
    let mut off = class(3);
    off["replicationConfig"]["asyncEnabled"] = json!(false);
    let mut object = object(&json!({}));
    let mut observed = seen(Some(off), "abc", "abc");
    observed.replicas = Some(lists([5, 0, 5]));
    let gap = |missing| repair::Gap { missing };
    let all = [("a", 0), ("b", 5), ("c", 0)].map(|(node, missing)| (node.to_owned(), gap(missing)));
    observed.repair.gaps = Some(Sight::Seen(BTreeMap::from(all)));
    // Servers that are told to heal nothing say for ever that it is off.
    for (second, expected) in [
        (0, "False ReplicasDiffer [put factor 3]"),
        (90, "False ReplicasDiffer []"),
        (299, "False ReplicasDiffer []"),
        (300, "False NeedsApproval []"),
    ] {
        let spec = CollectionSpec::validate(&object).unwrap();
        let now = Timestamp::from_second(second).unwrap();
        let made = plan(&spec, &observed, &object.status.clone().unwrap_or_default(), now);
        object.status = Some(judge::status(&object, &spec, &observed, &made, None, now));
        assert_eq!(picture(&made), expected, "{second}");
    }
    let shown = object.status.unwrap().plan.unwrap();
    assert_eq!(
        (shown.action.as_str(), shown.steps[1].as_str()),
        ("Rebuild", "take the replica of shard s at b away, if every other one has its objects, and copy it anew",)
    );
    // Each lacks something: there is nobody to make it anew from.
    let all = [("a", 1), ("b", 5)].map(|(node, missing)| (node.to_owned(), gap(missing)));
    observed.repair.gaps = Some(Sight::Seen(BTreeMap::from(all)));
    check(&json!({}), &observed, "False ReplicasDiffer [put factor 3]");
}
