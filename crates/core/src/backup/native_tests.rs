//! What stands in the way of the servers' own backups, as tables.

use serde_json::json;

use super::*;

fn servers(nodes: &[(&str, &str, Option<bool>)]) -> Servers {
    let node = |(name, version, module): &(&str, &str, Option<bool>)| {
        let seen = NodeSeen { is_healthy: true, version: (*version).to_owned(), has_module: *module };
        ((*name).to_owned(), seen)
    };
    Servers { nodes: nodes.iter().map(node).collect(), is_busy: false }
}

fn three(version: &str) -> Servers {
    servers(&[("w-0", version, Some(true)), ("w-1", version, Some(true)), ("w-2", version, Some(true))])
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

fn seen(holders: &[&str], cold: &[&str], frozen: &[&str]) -> CollectionSeen {
    CollectionSeen { holders: names(holders).into_iter().collect(), cold: names(cold), frozen: names(frozen) }
}

fn only(name: &str, seen: impl Into<Option<CollectionSeen>>) -> BTreeMap<String, Option<CollectionSeen>> {
    BTreeMap::from([(name.to_owned(), seen.into())])
}

#[test]
fn what_stands_in_the_way_of_a_backup_is_told_before_it() {
    let all = ["w-0", "w-1", "w-2"];
    let mut away = three("1.38.2");
    away.nodes.remove("w-2");
    let mut sick = three("1.38.2");
    sick.nodes.get_mut("w-1").unwrap().is_healthy = false;
    let busy = Servers { is_busy: true, ..three("1.38.2") };
    let half = servers(&[("w-0", "1.38.2", Some(true)), ("w-1", "1.38.2", Some(false)), ("w-2", "1.38.2", None)]);
    let mixed = servers(&[("w-0", "1.38.2", Some(true)), ("w-1", "1.36.4", Some(true))]);
    let unknown = servers(&[("w-0", "", Some(true))]);
    for (what, servers, collections, skip, expected, is_permanent) in [
        ("nothing", three("1.38.2"), only("A", seen(&all, &[], &[])), false, &[][..], true),
        ("a node without the module", half, only("A", seen(&all, &[], &[])), false, &["backup-s3: w-1;"], true),
        ("a node that is gone", away, only("A", seen(&all, &[], &[])), false, &["are away: w-2;"], false),
        ("a node that is unwell", sick, only("A", seen(&all, &[], &[])), false, &["are away: w-1;"], false),
        ("of which nothing is needed", three("1.38.2"), only("A", seen(&["w-0"], &[], &[])), false, &[], true),
        ("no such collection", three("1.38.2"), only("A", None::<CollectionSeen>), false, &["no collection A"], true),
        ("no collection at all", three("1.38.2"), BTreeMap::new(), false, &["no collection to"], true),
        ("another backup", busy, only("A", seen(&all, &[], &[])), false, &["at another backup"], false),
        (
            "at rest, which older servers leave out",
            three("1.36.9"),
            only("A", seen(&all, &["t"], &[])),
            false,
            &["1 tenants that servers of 1.36.9 silently leave out"],
            true,
        ),
        ("the same, knowingly", three("1.36.9"), only("A", seen(&all, &["t"], &[])), true, &[], true),
        ("at rest, which newer servers take", three("1.37.0"), only("A", seen(&all, &["t"], &[])), false, &[], true),
        (
            "at rest, and one server is older",
            mixed,
            only("A", seen(&["w-0"], &["t"], &[])),
            false,
            &["servers of 1.36.4"],
            true,
        ),
        (
            "at rest, and nobody knows",
            unknown,
            only("A", seen(&["w-0"], &["t"], &[])),
            false,
            &["servers of an unknown version"],
            true,
        ),
        ("offloaded", three("1.38.2"), only("A", seen(&all, &["c"], &["f", "g"])), false, &["2 tenants"], true),
    ] {
        let found = before_backup(&servers, &collections, skip);
        assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
        for (obstacle, words) in found.iter().zip(expected) {
            assert!(obstacle.to_string().contains(words), "{what}: {obstacle}");
            assert_eq!(obstacle.is_permanent(), is_permanent, "{what}");
        }
    }
}

#[test]
fn what_stands_in_the_way_of_putting_files_back_is_told_before_it() {
    let wanted = || Wanted {
        collection: "A".to_owned(),
        into: "A".to_owned(),
        held: Held { factor: 3, shards: Some(4), has_tenants: false },
        nodes: names(&["w-0", "w-1"]),
        version: "1.38.2".to_owned(),
        ..Wanted::default()
    };
    let tenants = Held { factor: 3, shards: None, has_tenants: true };
    let unknown = Held { factor: 3, shards: None, has_tenants: false };
    let one = servers(&[("w-0", "1.38.2", Some(true))]);
    for (what, servers, wanted, exists, expected) in [
        ("nothing", three("1.38.2"), wanted(), false, &[][..]),
        ("newer servers", three("1.40.0"), wanted(), false, &[]),
        ("another patch", three("1.38.0"), wanted(), false, &[]),
        ("older servers", three("1.37.9"), wanted(), false, &["node w-0 runs 1.37.9"]),
        ("other nodes", one, wanted(), false, &["of nodes w-1, and the cluster has w-0"]),
        ("it is there", three("1.38.2"), wanted(), true, &["A exists"]),
        ("another name", three("1.38.2"), Wanted { into: "B".to_owned(), ..wanted() }, false, &["into: "]),
        (
            "the numbers that it has",
            three("1.38.2"),
            Wanted { factor: Some(3), shards: Some(4), ..wanted() },
            false,
            &[],
        ),
        (
            "other numbers",
            three("1.38.2"),
            Wanted { factor: Some(2), shards: Some(5), ..wanted() },
            false,
            &["the backup has 3 replicas, and 2 are asked for", "the backup has 4 shards, and 5 are asked for"],
        ),
        (
            "shards of what has tenants",
            three("1.38.2"),
            Wanted { factor: Some(3), shards: Some(5), held: tenants, ..wanted() },
            false,
            &[],
        ),
        (
            "shards, and nobody knows of how many",
            three("1.38.2"),
            Wanted { shards: Some(5), held: unknown, ..wanted() },
            false,
            &["does not say how many it has"],
        ),
        (
            "everything at once",
            three("1.38.2"),
            Wanted { merges: true, factor: Some(1), shards: Some(1), ..wanted() },
            true,
            &["conflict: ", "replicationFactor: ", "shards: ", "A exists"],
        ),
    ] {
        let found = before_restore(&servers, &wanted, exists);
        assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
        for (obstacle, words) in found.iter().zip(expected) {
            assert!(obstacle.to_string().contains(words), "{what}: {obstacle}");
        }
    }
}

#[test]
fn a_class_says_how_many_replicas_and_shards_it_has() {
    for (class, factor, shards, has_tenants) in [
        (json!({"replicationConfig": {"factor": 3}, "shardingConfig": {"desiredCount": 4}}), 3, Some(4), false),
        (json!({}), 1, None, false),
        (json!({"shardingConfig": {"desiredCount": 0}, "multiTenancyConfig": {"enabled": true}}), 1, None, true),
    ] {
        assert_eq!(Held::of(&class), Held { factor, shards, has_tenants }, "{class}");
    }
}

#[test]
fn a_backup_is_complete_when_the_store_says_so_and_given_up_when_nobody_ends_it() {
    let late = QUIET;
    let soon = SignedDuration::from_mins(1);
    let failed = || Some(Word::Failed("disk full".to_owned()));
    for (what, word, is_whole, was_away, quiet, expected) in [
        ("it runs", Some(Word::Running), false, false, soon, "wait"),
        ("it runs, and writes one large file", Some(Word::Running), false, false, late, "wait"),
        ("done, and the file that says so is not there yet", Some(Word::Success), false, false, soon, "wait"),
        ("done", Some(Word::Success), true, false, soon, "complete"),
        ("done, and the node that knew has died", None, true, true, soon, "complete"),
        ("it does not answer for a moment", None, false, true, soon, "wait"),
        ("it died", None, false, true, late, "give up"),
        ("it came back, and says what the store says", Some(Word::Running), false, true, late, "give up"),
        ("it failed", failed(), false, false, soon, "over"),
        ("cancelled by somebody", Some(Word::Canceled), false, false, soon, "over"),
        ("it runs, whatever an older file says", Some(Word::Running), true, false, soon, "wait"),
    ] {
        let verdict = judge(&Watched { word, is_whole, was_away, quiet });
        let found = match verdict {
            Verdict::Wait => "wait",
            Verdict::Complete => "complete",
            Verdict::Over(_) => "over",
            Verdict::GiveUp(_) => "give up",
        };
        assert_eq!(found, expected, "{what}");
    }
}
