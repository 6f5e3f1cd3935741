//! Proofs that hold and proofs that do not; each step with and without its precondition.

use elysia_api::collection::ShardReplicas;
use serde_json::json;

use super::*;

fn nodes() -> Vec<String> {
    vec!["a".to_owned(), "b".to_owned()]
}

fn evidence() -> Evidence {
    Evidence {
        holders: nodes(),
        empty: [nodes(), nodes()],
        counted: BTreeMap::new(),
        frozen: [nodes(), nodes()],
        auto_schema_off: nodes(),
        tenant_creation_off: nodes(),
        tenants_unchanged: true,
        nodes: nodes(),
        operations: Some(0),
        placement_unchanged: true,
        backup_running: Some(false),
        restarted: Vec::new(),
        took: SignedDuration::from_secs(1),
    }
}

#[test]
fn a_whole_proof_holds() {
    assert_eq!(proof(&evidence(), &Purpose::Recreate), Ok(()));
}

#[test]
fn every_gap_breaks_the_proof() {
    type Break = fn(&mut Evidence);
    let breaks: [(&str, Break); 16] = [
        ("a restart", |evidence| evidence.restarted.push("a".to_owned())),
        ("a pause", |evidence| evidence.took = SignedDuration::from_secs(11)),
        ("first list not empty", |evidence| evidence.empty[0] = vec!["a".to_owned()]),
        ("second list not empty", |evidence| evidence.empty[1] = vec!["b".to_owned()]),
        ("writable before", |evidence| evidence.frozen[0].clear()),
        ("restarted in between", |evidence| evidence.frozen[1] = vec!["a".to_owned()]),
        ("auto-schema on", |evidence| evidence.auto_schema_off = vec!["a".to_owned()]),
        ("tenants made by writing", |evidence| evidence.tenant_creation_off = vec!["b".to_owned()]),
        ("other tenants", |evidence| evidence.tenants_unchanged = false),
        ("unknown operations", |evidence| evidence.operations = None),
        ("a running copy", |evidence| evidence.operations = Some(1)),
        ("a backup", |evidence| evidence.backup_running = Some(true)),
        ("unknown backup", |evidence| evidence.backup_running = None),
        ("moved", |evidence| evidence.placement_unchanged = false),
        ("a holder without address", |evidence| evidence.holders.push("dead".to_owned())),
        ("nobody to ask", |evidence| {
            evidence.nodes.clear();
            evidence.holders.clear();
        }),
    ];
    for (what, spoil) in breaks {
        let mut evidence = evidence();
        spoil(&mut evidence);
        assert!(proof(&evidence, &Purpose::Recreate).is_err(), "{what}");
    }
}

fn journal(cursor: Cursor) -> Journal {
    Journal {
        hash: "h".to_owned(),
        approved_by: None,
        attempts: 1,
        purpose: Purpose::Recreate,
        target: None,
        collection: "A".to_owned(),
        live_schema: json!({"class": "A", "vectorizer": "old"}),
        wanted_schema: json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 3}}),
        placement: vec![ShardReplicas { shard: "s".to_owned(), replicas: nodes() }],
        tenants: None,
        aliases: Vec::new(),
        read_only_before: Vec::new(),
        frozen_since: None,
        cursor,
        since: Timestamp::UNIX_EPOCH,
        stopped: None,
        cleared: Vec::new(),
        clear_refused: None,
    }
}

fn all<T: Clone>(value: T) -> BTreeMap<String, T> {
    nodes().into_iter().map(|node| (node, value.clone())).collect()
}

fn check(cursor: Cursor, class: Option<Value>, look: &Look, second: i64, expected: &str) {
    check_journal(&journal(cursor), class, look, second, expected);
}

fn check_journal(journal: &Journal, class: Option<Value>, look: &Look, second: i64, expected: &str) {
    let now = Timestamp::from_second(second).unwrap();
    let text = match next(journal, &Sight::Seen(class), &nodes(), look, now) {
        Act::Move { cursor, stopped: None } => format!("{cursor:?}"),
        Act::Move { cursor, stopped: Some(_) } => format!("{cursor:?} stopped"),
        Act::Write(journal) => format!("{:?}, read-only before: {:?}", journal.cursor, journal.read_only_before),
        Act::Wait(_) => "wait".to_owned(),
        Act::PutTenancy(class) => format!("put {}", class["multiTenancyConfig"]),
        Act::CreateTenants(tenants) => format!("tenants {:?}", tenants.iter().map(|it| &it.name).collect::<Vec<_>>()),
        act => format!("{act:?}!"),
    };
    assert_eq!(text, expected, "{:?} at {second} s", journal.cursor);
}

fn frozen(shards: &[&str]) -> BTreeMap<String, Option<Vec<String>>> {
    all(Some(shards.iter().map(|&shard| shard.to_owned()).collect()))
}

#[test]
fn each_step_waits_for_its_precondition() {
    let old = || Some(json!({"class": "A", "vectorizer": "old"}));
    let look = |auto: Option<bool>, read_only| Look { auto_schema: all(auto), read_only, ..Look::default() };
    check(Cursor::AutoSchemaOff, old(), &look(Some(true), frozen(&[])), 1, "wait");
    check(Cursor::AutoSchemaOff, old(), &look(None, frozen(&[])), 1, "wait");
    check(Cursor::AutoSchemaOff, old(), &look(None, frozen(&[])), 301, "Thaw stopped");
    check(Cursor::AutoSchemaOff, old(), &look(Some(false), all(None)), 1, "wait");
    check(Cursor::AutoSchemaOff, old(), &look(Some(false), all(None)), 301, "Thaw stopped");
    check(Cursor::AutoSchemaOff, old(), &look(Some(false), frozen(&[])), 1, "Freeze, read-only before: []");
    check(Cursor::Freeze, old(), &look(None, frozen(&[])), 1, "Freeze!");
    check(Cursor::Freeze, old(), &look(None, all(None)), 301, "Thaw stopped");
    check(Cursor::Freeze, old(), &look(None, frozen(&["s"])), 1, "Settle, read-only before: []");
    check(Cursor::Settle, old(), &look(None, frozen(&["s"])), 119, "wait");
    check(Cursor::Settle, old(), &look(None, frozen(&[])), 119, "Thaw stopped");
    check(Cursor::Settle, old(), &look(None, all(None)), 121, "Thaw stopped");
    check(Cursor::Settle, old(), &look(None, frozen(&["s"])), 120, "Delete");
    check(Cursor::Delete, old(), &Look::default(), 61, "ProveAndDelete!");
    check(Cursor::Thaw, old(), &look(None, frozen(&["s"])), 1, "Thaw!");
    check(Cursor::Thaw, old(), &look(None, all(None)), 1, "wait");
    check(Cursor::Thaw, old(), &look(None, frozen(&[])), 1, "Stopped");
}

#[test]
fn without_a_known_placement_nothing_is_frozen() {
    let blind = Journal { placement: Vec::new(), ..journal(Cursor::Freeze) };
    let look = Look { read_only: frozen(&[]), ..Look::default() };
    check_journal(&blind, Some(json!({"class": "A"})), &look, 1, "Thaw stopped");
}

#[test]
fn a_shard_that_a_person_made_read_only_stays_so() {
    let mut two = journal(Cursor::AutoSchemaOff);
    two.placement.push(ShardReplicas { shard: "t".to_owned(), replicas: nodes() });
    let class = || Some(json!({"class": "A"}));
    let look = |read_only| Look { auto_schema: all(Some(false)), read_only, ..Look::default() };
    check_journal(&two, class(), &look(frozen(&["t"])), 1, r#"Freeze, read-only before: ["t"]"#);
    // At one node only: that is a full disk, and the server sees to it.
    let mut one = frozen(&[]);
    one.insert("a".to_owned(), Some(vec!["t".to_owned()]));
    check_journal(&two, class(), &look(one), 1, "Freeze, read-only before: []");
    for (cursor, own) in
        [(Cursor::AutoSchemaOff, 0), (Cursor::TenantCreationOff, 0), (Cursor::Freeze, 2), (Cursor::Delete, 2)]
    {
        let called_off = Journal { cursor, ..two.clone() }.at(Cursor::Thaw, Timestamp::UNIX_EPOCH);
        assert_eq!(called_off.own_shards().len(), own, "{cursor:?}");
    }
    let thawing = Journal { read_only_before: vec!["t".to_owned()], cursor: Cursor::Thaw, ..two };
    assert_eq!(thawing.own_shards(), ["s"]);
    check_journal(&thawing, class(), &look(frozen(&["s", "t"])), 1, "Thaw!");
    check_journal(&thawing, class(), &look(frozen(&["t"])), 1, "Stopped");
}

/// A class with tenancy; whether writing makes tenants.
fn tenanted(makes: bool) -> Value {
    json!({"class": "A", "vectorizer": "old", "shardingConfig": {"desiredCount": 0}, "multiTenancyConfig": {
        "enabled": true, "autoTenantCreation": makes, "autoTenantActivation": makes,
    }})
}

fn tenant(name: &str, status: &str) -> TenantState {
    TenantState { name: name.to_owned(), status: status.to_owned() }
}

fn of_tenants(cursor: Cursor, live: Value) -> Journal {
    let tenants = vec![tenant("s", "HOT"), tenant("t", "HOT")];
    let placement = tenants.iter().map(|it| ShardReplicas { shard: it.name.clone(), replicas: nodes() }).collect();
    let wanted_schema = creatable(&live);
    Journal { live_schema: live, wanted_schema, tenants: Some(tenants), placement, ..journal(cursor) }
}

#[test]
fn tenants_are_not_made_by_writing_before_the_freeze_and_are_again_after_the_thaw() {
    let look = |local: Value| Look {
        auto_schema: all(Some(false)),
        local: all(Some(Some(local))),
        read_only: frozen(&[]),
        ..Look::default()
    };
    let at = |cursor| of_tenants(cursor, tenanted(true));
    let off = r#"put {"autoTenantActivation":false,"autoTenantCreation":false,"enabled":true}"#;
    let on = r#"put {"autoTenantActivation":true,"autoTenantCreation":true,"enabled":true}"#;
    let (makes, makes_not) = (|| look(tenanted(true)), || look(tenanted(false)));
    check_journal(&at(Cursor::AutoSchemaOff), Some(tenanted(true)), &makes(), 1, "TenantCreationOff");
    check_journal(&at(Cursor::TenantCreationOff), Some(tenanted(true)), &makes(), 1, off);
    check_journal(&at(Cursor::TenantCreationOff), Some(tenanted(false)), &makes(), 1, "wait");
    check_journal(&at(Cursor::TenantCreationOff), Some(tenanted(false)), &makes(), 301, "Thaw stopped");
    let next = "Freeze, read-only before: []";
    check_journal(&at(Cursor::TenantCreationOff), Some(tenanted(false)), &makes_not(), 1, next);
    check_journal(&at(Cursor::Thaw), Some(tenanted(false)), &makes_not(), 1, "TenantCreationBack");
    check_journal(&at(Cursor::Thaw), None, &makes_not(), 1, "Stopped");
    check_journal(&at(Cursor::TenantCreationBack), Some(tenanted(false)), &makes_not(), 1, on);
    check_journal(&at(Cursor::TenantCreationBack), Some(tenanted(true)), &makes_not(), 1, "Stopped");
    let never = of_tenants(Cursor::Thaw, tenanted(false));
    check_journal(&never, Some(tenanted(false)), &makes_not(), 1, "Stopped");
}

#[test]
fn a_class_without_tenants_has_nothing_to_freeze() {
    let none =
        Journal { tenants: Some(Vec::new()), placement: Vec::new(), ..of_tenants(Cursor::Freeze, tenanted(true)) };
    let look = |read_only| Look { read_only, ..Look::default() };
    check_journal(&none, Some(tenanted(false)), &look(all(None)), 1, "Freeze!");
    check_journal(&none, Some(tenanted(false)), &look(frozen(&[])), 1, "Settle, read-only before: []");
}

#[test]
fn tenants_are_created_again_and_aliases_looked_at() {
    let there = |names: &[&str]| Look {
        tenants: Some(Sight::Seen(names.iter().map(|name| tenant(name, "HOT")).collect())),
        ..Look::default()
    };
    let at = |cursor| of_tenants(cursor, tenanted(true));
    check_journal(&at(Cursor::Create), Some(tenanted(true)), &Look::default(), 1, "CreateTenants");
    check_journal(&at(Cursor::CreateTenants), Some(tenanted(true)), &Look::default(), 1, "wait");
    check_journal(&at(Cursor::CreateTenants), Some(tenanted(true)), &there(&["u"]), 1, r#"tenants ["s", "t"]"#);
    check_journal(&at(Cursor::CreateTenants), Some(tenanted(true)), &there(&["s", "t", "u"]), 1, "Verify");
    check_journal(&at(Cursor::CreateTenants), None, &there(&[]), 1, "Create");
    check_journal(&at(Cursor::Verify), None, &there(&[]), 1, "Create");
    let plain = Journal { wanted_schema: json!({"class": "A", "vectorizer": "old"}), ..at(Cursor::Create) };
    check_journal(&plain, Some(json!({"class": "A", "vectorizer": "old"})), &Look::default(), 1, "Verify");
    let aliased = Journal { aliases: vec!["B".to_owned()], ..at(Cursor::Verify) };
    let look = |target: Option<Option<&str>>| Look {
        local: all(Some(Some(tenanted(true)))),
        alias_targets: [("B".to_owned(), target.map(|target| target.map(str::to_owned)))].into(),
        ..Look::default()
    };
    check_journal(&aliased, Some(tenanted(true)), &look(None), 1, "wait");
    check_journal(&aliased, Some(tenanted(true)), &look(Some(Some("A"))), 1, "Done");
    check_journal(&aliased, Some(tenanted(true)), &look(Some(None)), 1, "Done");
}

#[test]
fn what_the_server_answers_it_does_not_always_take() {
    assert_eq!(creatable(&tenanted(true)).get("shardingConfig"), None);
    let plain = json!({"class": "A", "shardingConfig": {"desiredCount": 3}});
    assert_eq!(creatable(&plain), plain);
}

#[test]
fn tenants_that_are_asleep_or_too_many_prove_nothing() {
    let hot = |count: usize| (0..count).map(|at| tenant(&format!("t{at}"), "HOT")).collect::<Vec<_>>();
    assert_eq!(unprovable(&hot(MOST_TENANTS)), None);
    assert!(unprovable(&hot(MOST_TENANTS + 1)).unwrap().contains("501 tenants, more than the 500"));
    for status in ["COLD", "FROZEN", "FREEZING", ""] {
        let why = unprovable(&[tenant("a", "HOT"), tenant("b", status)]).unwrap();
        assert!(why.contains("1 of its 2 tenants") && why.contains("b ("), "{why}");
    }
}

#[test]
fn a_count_allows_as_many_as_were_named_and_no_more() {
    let purpose = |count| Purpose::Clear(ClearRequest { count, request: "r".to_owned() });
    let counted = |a: i64, b: Option<i64>| {
        let mut counted = BTreeMap::from([("a".to_owned(), a)]);
        counted.extend(b.map(|count| ("b".to_owned(), count)));
        Evidence { counted, empty: [Vec::new(), Vec::new()], ..evidence() }
    };
    assert_eq!(proof(&counted(5, Some(5)), &purpose(5)), Ok(()));
    assert_eq!(proof(&counted(0, Some(4)), &purpose(5)), Ok(()));
    let more = proof(&counted(5, Some(6)), &purpose(5)).unwrap_err();
    assert_eq!(more, "b lists 6 objects, more than the 5 that were to be removed");
    assert!(proof(&counted(5, None), &purpose(5)).is_err());
    assert!(proof(&Evidence { restarted: nodes(), ..counted(5, Some(5)) }, &purpose(5)).is_err());
    assert!(proof(&Evidence { took: SignedDuration::from_secs(121), ..counted(5, Some(5)) }, &purpose(5)).is_err());
    assert!(proof(&Evidence { frozen: [nodes(), Vec::new()], ..counted(5, Some(5)) }, &purpose(5)).is_err());
    // A count never stands for a proof of emptiness.
    assert!(proof(&counted(0, Some(0)), &Purpose::Recreate).is_err());
}

#[test]
fn a_request_to_clear_is_a_number_and_a_word() {
    let request = |count, request: &str| ClearRequest { count, request: request.to_owned() };
    assert_eq!(ClearRequest::parse("12/a-1"), Ok(request(12, "a-1")));
    assert_eq!(ClearRequest::parse("0/2026-11-21T15:00"), Ok(request(0, "2026-11-21T15:00")));
    let long = format!("1/{}", "x".repeat(64));
    for text in
        ["", "12", "/", "12/", "/a", "-1/a", "+1/a", "a/1", "1 /a", "1/a b", "1/a/b", "99999999999999999999/a", &long]
    {
        let why = ClearRequest::parse(text).unwrap_err();
        assert!(why.contains("COUNT/REQUEST"), "{text}: {why}");
    }
}

#[test]
fn a_journal_is_of_its_servers_only() {
    let target = |uid: &str, address: &str| Target {
        cluster: "search".to_owned(),
        uid: uid.to_owned(),
        addresses: vec![address.to_owned()],
    };
    let own = Journal { target: Some(target("1", "http://x")), ..journal(Cursor::Create) };
    assert_eq!(own.is_of(&target("1", "http://x"), "j"), Ok(()));
    let why = own.is_of(&target("1", "http://y"), "j").unwrap_err();
    assert!(why.contains("kubectl edit configmap j") && why.contains("http://x") && why.contains("http://y"), "{why}");
    assert!(own.is_of(&target("2", "http://x"), "j").is_err());
    assert_eq!(journal(Cursor::Create).is_of(&target("1", "http://x"), "j"), Ok(()), "of an older release");
}

/// As the first release wrote it.
const OLD_JOURNAL: &str = r#"{
    "hash": "859777be74c7", "attempts": 1, "collection": "Articles",
    "liveSchema": {"class": "Articles"}, "wantedSchema": {"class": "Articles"},
    "placement": [{"shard": "s", "replicas": ["a"]}], "cursor": "WaitGone", "since": "2026-11-20T10:00:00Z"
}"#;

#[test]
fn a_journal_of_an_older_release_is_read() {
    let journal: Journal = serde_json::from_str(OLD_JOURNAL).unwrap();
    assert_eq!((journal.cursor, &journal.purpose, &journal.target), (Cursor::WaitGone, &Purpose::Recreate, &None));
    assert_eq!(journal.own_shards(), ["s"]);
    let written = serde_json::to_string(&of_tenants(Cursor::Freeze, tenanted(true))).unwrap();
    assert_eq!(serde_json::from_str::<Journal>(&written).unwrap(), of_tenants(Cursor::Freeze, tenanted(true)));
}

/// The next act for a journal whose object is gone, `second` after its last word: members that live are `members`.
fn orphan(
    journal: &Journal,
    class: &Sight<Option<Value>>,
    read_only: &BTreeMap<String, Option<Vec<String>>>,
    tenants: &Sight<Vec<TenantState>>,
    (members, second): (&[&str], i64),
) -> String {
    let members = Sight::Seen(members.iter().map(|&node| node.to_owned()).collect());
    let look = OrphanLook { class, nodes: &nodes(), members: &members, read_only, tenants };
    match next_for_orphan(journal, &look, Timestamp::from_second(second).unwrap()) {
        OrphanAct::CreateOld => "old".to_owned(),
        OrphanAct::CreateTenants(tenants) => {
            format!("tenants {:?}", tenants.iter().map(|it| &it.name).collect::<Vec<_>>())
        }
        OrphanAct::Thaw { shards, marked: None } => format!("thaw {shards:?}"),
        OrphanAct::Thaw { shards, marked: Some(marked) } => {
            assert_eq!((marked.cursor, marked.stopped.as_deref()), (Cursor::Thaw, Some(ORPHANED)));
            assert_eq!(marked.since.as_second(), second);
            format!("thaw {shards:?} and mark")
        }
        OrphanAct::PutTenancy(class) => format!("put {}", class["multiTenancyConfig"]),
        OrphanAct::End { unseen } => format!("end {unseen:?}"),
        OrphanAct::Wait(_) => "wait".to_owned(),
    }
}

/// A journal of which the thaw was sent.
fn marked(journal: Journal) -> Journal {
    Journal { cursor: Cursor::Thaw, stopped: Some(ORPHANED.to_owned()), ..journal }
}

/// What the nodes say is read-only, `b` being away or silent.
fn only_a(shards: &[&str]) -> BTreeMap<String, Option<Vec<String>>> {
    let mut looks = frozen(shards);
    looks.insert("b".to_owned(), None);
    looks
}

const BOTH: &[&str] = &["a", "b"];

#[test]
fn an_object_that_is_gone_leaves_its_collection_there_and_writable() {
    let there = || Sight::Seen(Some(json!({"class": "A"})));
    let blind = Sight::unseen(crate::sight::BlindnessKind::Unreachable, "away");
    let none = Sight::Seen(Vec::new());
    let act = |cursor: Cursor, class: &Sight<Option<Value>>, read_only| {
        orphan(&journal(cursor), class, &read_only, &none, (BOTH, 1))
    };
    assert_eq!(act(Cursor::Settle, &Sight::Seen(None), all(None)), "old");
    assert_eq!(act(Cursor::Settle, &blind, frozen(&[])), "wait");
    // Also where nobody says that it is needed: of who is silent it is not known.
    for cursor in [Cursor::Freeze, Cursor::Settle, Cursor::Delete, Cursor::Thaw] {
        assert_eq!(act(cursor, &there(), frozen(&["s"])), r#"thaw ["s"] and mark"#);
        assert_eq!(act(cursor, &there(), all(None)), r#"thaw ["s"] and mark"#);
    }
    // Nothing was frozen yet: what is read-only is a person's.
    assert_eq!(act(Cursor::AutoSchemaOff, &there(), frozen(&["s"])), "end []");
    assert_eq!(act(Cursor::AutoSchemaOff, &there(), all(None)), "end []");
    assert_eq!(act(Cursor::Verify, &there(), frozen(&[])), "end []");
    assert_eq!(act(Cursor::WaitGone, &there(), frozen(&["s"])), r#"thaw ["s"] and mark"#);
    let act = |read_only| orphan(&marked(journal(Cursor::Settle)), &there(), &read_only, &none, (BOTH, 1));
    assert_eq!(act(frozen(&["s"])), r#"thaw ["s"]"#);
    assert_eq!(act(all(None)), "wait");
    assert_eq!(act(frozen(&[])), "end []");
    assert_eq!(act(frozen(&["somebody's"])), "end []");
}

#[test]
fn a_node_that_is_away_keeps_nobody_waiting_for_an_object_that_is_gone() {
    let there = Sight::Seen(Some(json!({"class": "A"})));
    let none = Sight::Seen(Vec::new());
    let plain = marked(journal(Cursor::Settle));
    let act = |read_only, seen| orphan(&plain, &there, &read_only, &none, seen);
    assert_eq!(act(only_a(&[]), (&["a"], 1)), r#"end ["b"]"#);
    assert_eq!(act(only_a(&["s"]), (&["a"], 1)), r#"thaw ["s"]"#);
    // Alive and silent: it has its time.
    assert_eq!(act(only_a(&[]), (BOTH, 300)), "wait");
    assert_eq!(act(only_a(&[]), (BOTH, 301)), r#"end ["b"]"#);
    // As one with a full disk, which makes its shards read-only again.
    assert_eq!(act(frozen(&["s"]), (BOTH, 300)), r#"thaw ["s"]"#);
    assert_eq!(act(frozen(&["s"]), (BOTH, 301)), r#"end ["a", "b"]"#);
    // Who lives is not known: then everybody may.
    let look = OrphanLook {
        class: &there,
        nodes: &nodes(),
        members: &Sight::unseen(crate::sight::BlindnessKind::Unreachable, "away"),
        read_only: &only_a(&[]),
        tenants: &none,
    };
    assert!(matches!(next_for_orphan(&plain, &look, Timestamp::from_second(1).unwrap()), OrphanAct::Wait(_)));
    // A shard that the one alone has is nobody's to make writable, and keeps the others from nothing.
    let mut two = journal(Cursor::Settle);
    two.placement.push(ShardReplicas { shard: "t".to_owned(), replicas: vec!["b".to_owned()] });
    let act = |journal: &Journal, seen| orphan(journal, &there, &only_a(&[]), &none, seen);
    assert_eq!(act(&two, (&["a"], 1)), r#"thaw ["s"] and mark"#);
    assert_eq!(act(&two, (BOTH, 1)), r#"thaw ["s", "t"] and mark"#);
    assert_eq!(act(&marked(two), (&["a"], 1)), r#"end ["b"]"#);
}

#[test]
fn an_object_that_is_gone_leaves_the_tenants_there() {
    let settled = of_tenants(Cursor::Settle, tenanted(true));
    let act = |journal: &Journal, class: Value, read_only, tenants: &Sight<Vec<TenantState>>, members| {
        orphan(journal, &Sight::Seen(Some(class)), &read_only, tenants, (members, 1))
    };
    let both = Sight::Seen(vec![tenant("s", "HOT"), tenant("t", "HOT")]);
    let one = Sight::Seen(vec![tenant("s", "HOT")]);
    let blind = Sight::unseen(crate::sight::BlindnessKind::Unreachable, "away");
    let on = r#"put {"autoTenantActivation":true,"autoTenantCreation":true,"enabled":true}"#;
    let settled_and_marked = marked(settled.clone());
    // With every node there, and with one away.
    for (read_only, members) in [(frozen(&[]), BOTH), (only_a(&[]), &["a"]), (only_a(&[]), BOTH)] {
        let act = |class, tenants| act(&settled_and_marked, class, read_only.clone(), tenants, members);
        assert_eq!(act(tenanted(true), &one), r#"tenants ["t"]"#, "{members:?}");
        assert_eq!(act(tenanted(true), &blind), "wait", "{members:?}");
        assert_eq!(act(tenanted(false), &both), on, "{members:?}");
    }
    assert_eq!(act(&settled_and_marked, tenanted(true), frozen(&[]), &both, BOTH), "end []");
    assert_eq!(act(&settled_and_marked, tenanted(true), only_a(&[]), &both, &["a"]), r#"end ["b"]"#);
    // A tenant that was put to rest is writable when it wakes, and is not woken for that.
    let rests = Sight::Seen(vec![tenant("s", "HOT"), tenant("t", "COLD")]);
    assert_eq!(act(&settled, tenanted(true), frozen(&["s", "t"]), &rests, BOTH), r#"thaw ["s"] and mark"#);
    assert_eq!(act(&settled, tenanted(true), frozen(&["s", "t"]), &blind, BOTH), r#"thaw ["s", "t"] and mark"#);
}

#[test]
fn after_the_delete_the_collection_is_made_again_whatever_happened() {
    let local = |class: Option<Value>| Look { local: all(Some(class)), ..Look::default() };
    let new = || Some(json!({"class": "A", "vectorizer": "none", "replicationConfig": {"factor": 1}}));
    let other = || Some(json!({"class": "A", "vectorizer": "other"}));
    check(Cursor::Delete, None, &Look::default(), 1, "WaitGone");
    check(Cursor::WaitGone, None, &Look::default(), 1, "wait");
    check(Cursor::WaitGone, None, &local(None), 1, "Create");
    check(Cursor::WaitGone, other(), &local(other()), 1, "Thaw stopped");
    check(Cursor::Create, None, &Look::default(), 1, "Create!");
    check(Cursor::Create, new(), &Look::default(), 1, "Verify");
    check(Cursor::Create, other(), &Look::default(), 1, "Thaw stopped");
    check(Cursor::Verify, new(), &local(None), 1, "wait");
    check(Cursor::Verify, new(), &local(new()), 1, "Done");
}
