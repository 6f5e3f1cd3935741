//! Who is asked for a page.

use super::*;
use crate::runtime::patience::options;

fn client() -> Client {
    // Nobody is asked.
    Client::new(options("http://127.0.0.1:1".parse().unwrap())).unwrap()
}

fn source(nodes: &[&str], compare: CompareWork) -> WeaviateSource {
    let node = |name: &&str| Node { name: (*name).to_owned(), client: client() };
    WeaviateSource::new(Ways { common: client(), nodes: nodes.iter().map(node).collect() }, compare)
}

fn class(shards: &[(&str, &[&str])], live: &[&str]) -> Class {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Class {
        selection: Selection::all(),
        references: References::default(),
        shards: shards.iter().map(|(shard, holders)| ((*shard).to_owned(), names(holders))).collect(),
        live: names(live),
        pages: Paging::default(),
        witnessed: Mutex::default(),
    }
}

const ALL: [&str; 3] = ["w-0", "w-1", "w-2"];

/// Who is asked, whether that is every replica, and who must be the first one's neighbour.
fn told(source: &WeaviateSource, class: &Class, tenant: Option<&str>, turn: usize) -> (String, bool, String) {
    let Sides { nodes, is_every_replica, neighbours } = source.sides(class, tenant, turn);
    let asked: Vec<_> = nodes.into_iter().map(|(name, _)| name).collect();
    (asked.join(" "), is_every_replica, neighbours.into_iter().collect::<Vec<_>>().join(" "))
}

fn wanted(asked: &str, is_every_replica: bool, neighbours: &str) -> (String, bool, String) {
    (asked.to_owned(), is_every_replica, neighbours.to_owned())
}

#[test]
fn every_holder_is_asked_and_they_take_turns_to_be_read() {
    let class = class(&[("a", &ALL), ("b", &ALL)], &ALL);
    let contents = source(&ALL, CompareWork::Contents);
    assert_eq!(told(&contents, &class, None, 0), wanted("w-0 w-1 w-2", true, ""));
    assert_eq!(told(&contents, &class, None, 4), wanted("w-1 w-2 w-0", true, ""));
    assert_eq!(told(&source(&ALL, CompareWork::None), &class, None, 2), wanted("w-2", false, ""));
}

#[test]
fn a_shard_that_another_node_relays_needs_that_node_among_the_neighbours() {
    let one_each = class(&[("a", &["w-0"]), ("b", &["w-1"]), ("c", &["w-2"])], &ALL);
    let contents = source(&ALL, CompareWork::Contents);
    assert_eq!(told(&contents, &one_each, None, 1), wanted("w-1", true, "w-0 w-1 w-2"));
    assert_eq!(told(&contents, &one_each, Some("b"), 1), wanted("w-1", true, ""));
    let common = source(&[], CompareWork::Contents);
    assert_eq!(told(&common, &one_each, None, 1), wanted("the cluster", false, "w-0 w-1 w-2"));
    let three_each = class(&[("a", &ALL)], &ALL);
    assert_eq!(told(&common, &three_each, None, 0), wanted("the cluster", false, "w-0 w-1 w-2"));
}

#[test]
fn a_node_that_is_down_is_not_asked_and_that_is_told() {
    let class = class(&[("a", &ALL)], &ALL[..2]);
    assert_eq!(told(&source(&ALL, CompareWork::Contents), &class, None, 0), wanted("w-0 w-1", false, ""));
    let unknown = source(&ALL[..1], CompareWork::Contents);
    assert_eq!(told(&unknown, &class, None, 0), wanted("w-0", false, ""));
    assert_eq!(told(&unknown, &class, Some("new"), 0), wanted("the cluster", false, ""));
}

#[test]
fn a_final_order_waits_for_every_node_that_holds_a_replica() {
    let told = |shards: &[(&str, &[&str])], live: &[&str], needs_every_holder: bool| {
        let Class { shards, live, .. } = class(shards, live);
        unanswered("Articles", &shards, &live, needs_every_holder)
    };
    let all: &[(&str, &[&str])] = &[("a", &ALL[..2]), ("b", &ALL[1..])];
    for (what, live, needs_every_holder, expected) in [
        ("all live", &ALL[..], true, None),
        ("one is away, and others have its shards", &ALL[..2], false, None),
        ("the same, and it is final", &ALL[..2], true, Some("w-2 holds shard b of Articles and cannot be asked")),
        ("a shard has nobody", &ALL[..1], false, Some("no node that holds shard b of Articles can be asked: w-1, w-2")),
        ("a shard has nobody, and it is final", &ALL[..1], true, Some("no node that holds shard b")),
    ] {
        let why = told(all, live, needs_every_holder);
        match expected {
            None => assert_eq!(why, None, "{what}"),
            Some(words) => assert!(why.as_ref().is_some_and(|why| why.starts_with(words)), "{what}: {why:?}"),
        }
    }
}
