//! Pictures of placements: `shard:node,node`, and what is copied or removed.

use super::*;

fn placement(picture: &str) -> Vec<ShardReplicas> {
    picture
        .split(' ')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (shard, nodes) = part.split_once(':').unwrap();
            ShardReplicas {
                shard: shard.to_owned(),
                replicas: nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect(),
            }
        })
        .collect()
}

fn operations(picture: &str) -> Vec<Operation> {
    picture
        .split(' ')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let parts: Vec<&str> = part.split(':').collect();
            Operation {
                id: part.to_owned(),
                shard: parts[0].to_owned(),
                source: parts.get(3).unwrap_or(&"a").to_string(),
                target: parts[1].to_owned(),
                state: match parts[2] {
                    "active" => OperationState::Active,
                    "ready" => OperationState::Ready,
                    _ => OperationState::Cancelled,
                },
                error: None,
                ..Operation::default()
            }
        })
        .collect()
}

fn check(shards: &str, under_way: &str, members: &str, factor: i64, expected: &str) {
    let members: Vec<String> = members.split(',').map(str::to_owned).collect();
    picture(
        &Ground {
            placement: &placement(shards),
            operations: &operations(under_way),
            members: &members,
            gone: &[],
            full: &BTreeSet::new(),
            avoided: &BTreeSet::new(),
            factor,
        },
        expected,
    );
}

fn picture(ground: &Ground<'_>, expected: &str) {
    let text = missing(ground)
        .iter()
        .map(|copy| format!("{}:{}→{}", copy.shard, copy.source, copy.target))
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(text, expected, "{ground:?}");
}

#[test]
fn every_missing_replica_gets_one_copy() {
    check("s:a", "", "a,b,c", 3, "s:a→b s:a→c");
    check("s:a t:b u:c", "", "a,b,c", 2, "s:a→b t:b→a u:c→a");
    check("s:a,b,c", "", "a,b,c", 3, "");
}

#[test]
fn what_is_under_way_is_not_started_again() {
    check("s:a", "s:b:active", "a,b,c", 3, "s:a→c");
    check("s:a", "s:b:active s:c:active", "a,b,c", 3, "");
    check("s:a", "s:b:cancelled", "a,b,c", 2, "s:a→b");
}

#[test]
fn the_dead_neither_give_nor_take() {
    check("s:dead", "", "a,b,c", 3, "");
    check("s:dead,b", "", "a,b,c", 3, "s:b→a");
    check("s:a", "", "a", 3, "");
}

#[test]
fn the_worst_come_first() {
    let (total, worst) = behind(&placement("s:a,b t:a u:a,b,c"), 3);
    assert_eq!(total, 2);
    assert_eq!(worst[0].shard, "t");
    assert_eq!(lowest(&placement("s:a,b t:a")), Some(1));
    assert_eq!(lowest(&[]), None);
}

#[test]
fn the_gone_count_for_nothing_and_the_full_get_nothing() {
    let members = ["a", "b", "c"].map(str::to_owned);
    let (placement, gone) = (placement("s:a,z t:b,z"), vec!["z".to_owned()]);
    let full: BTreeSet<String> = ["c".to_owned()].into();
    let mut ground = Ground {
        placement: &placement,
        operations: &[],
        members: &members,
        gone: &gone,
        full: &BTreeSet::new(),
        avoided: &BTreeSet::new(),
        factor: 2,
    };
    picture(&ground, "s:a→c t:b→a");
    ground.full = &full;
    picture(&ground, "s:a→b t:b→a");
    ground.factor = 3;
    // One free node is left for each; there is no third.
    picture(&ground, "s:a→b t:b→a");
}

#[test]
fn sources_take_turns() {
    check("s:a,b t:a,b u:a,b v:a,b", "", "a,b,c", 3, "s:a→c t:b→c u:a→c v:b→c");
    check("s:a,b t:a,b", "s:d:active:a", "a,b,c,d", 3, "t:b→c");
}

#[test]
fn a_source_that_failed_is_left_for_another_if_there_is_one() {
    let members = ["a", "b", "c"].map(str::to_owned);
    let placement = placement("s:a,b t:a,b u:a");
    let avoided: BTreeSet<_> = ["s", "u"].map(|shard| (shard.to_owned(), "a".to_owned())).into();
    let nobody = BTreeSet::new();
    let mut ground = Ground {
        placement: &placement,
        operations: &[],
        members: &members,
        gone: &[],
        full: &nobody,
        avoided: &avoided,
        factor: 3,
    };
    picture(&ground, "s:b→c t:a→c u:a→b u:a→c");
    let none = BTreeSet::new();
    ground.avoided = &none;
    picture(&ground, "s:a→c t:b→c u:a→b u:a→c");
}

/// Copies that run, the two limits, and which shards are copied.
type Row = (&'static [(&'static str, usize)], usize, usize, &'static str);

#[test]
fn no_more_run_than_the_limits_allow() {
    let copy =
        |shard: &str, target: &str| Copy { shard: shard.to_owned(), source: "a".to_owned(), target: target.to_owned() };
    let copies = [copy("s", "b"), copy("t", "b"), copy("u", "c"), copy("v", "c")];
    let table: [Row; 6] = [
        (&[], 6, 3, "stuv"),
        (&[], 6, 1, "su"),
        (&[], 3, 3, "stu"),
        (&[("b", 1)], 6, 1, "u"),
        // Copies of other collections, to nodes that get none of ours.
        (&[("z", 5)], 6, 3, "s"),
        (&[("z", 6)], 6, 3, ""),
    ];
    for (running, cluster, node, expected) in table {
        let running = running.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect();
        let now = within(&copies, &running, Limits { cluster, node });
        assert_eq!(
            now.iter().map(|copy| copy.shard.as_str()).collect::<String>(),
            expected,
            "{running:?} {cluster} {node}"
        );
    }
}

#[test]
fn of_too_many_replicas_the_dead_go_first_then_the_most_loaded_then_by_name() {
    let table = [
        ("s:a,b,c", "a,b,c", 3, ""),
        ("s:a,b,z", "a,b,c", 2, "s:z"),
        ("s:a,b,z", "a,b,c", 1, "s:z s:b"),
        ("s:a,b t:b,c u:b", "a,b,c", 1, "s:b t:b"),
        ("s:a,b t:b,c", "a,b,c", 1, "s:b t:c"),
        ("s:a,b,c t:a", "a,b,c", 2, "s:a"),
        // Never the last one.
        ("s:a", "b", 0, ""),
    ];
    for (shards, members, factor, expected) in table {
        let members: Vec<String> = members.split(',').map(str::to_owned).collect();
        let victims = surplus(&placement(shards), &members, factor);
        let text: Vec<String> = victims.iter().map(|victim| format!("{}:{}", victim.shard, victim.node)).collect();
        assert_eq!(text.join(" "), expected, "{shards} {members:?} {factor}");
    }
}

#[test]
fn gone_is_who_is_named_but_neither_declared_nor_alive() {
    let names = |text: &str| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let table = [("a,z", "a", ""), ("a,b", "a,b", "z"), ("a,b,z", "a,b", ""), ("a,b", "a,b,z", ""), ("", "a", "")];
    for (declared, members, expected) in table {
        assert_eq!(
            gone(&placement("s:a,z"), &names(declared), &names(members)),
            names(expected),
            "{declared} {members}"
        );
    }
}
