//! Every combination of what may be seen: none hangs, and only the one safe combination deletes.

use super::*;
use crate::sight::BlindnessKind;

fn unseen<T>() -> Sight<T> {
    Sight::unseen(BlindnessKind::Unreachable, "no answer")
}

fn look() -> Look {
    Look {
        collection: "Articles".to_owned(),
        policy: DeletionPolicy::Delete,
        invalid: None,
        paused: false,
        cluster: ClusterFate::There,
        terminating: Sight::Seen(false),
        rival: None,
        protection: None,
        class: Sight::Seen(true),
        restore: Sight::Seen(None),
        journal: Sight::Seen(false),
        busy: Sight::Seen(None),
        nodes: BTreeMap::new(),
        waited: SignedDuration::ZERO,
    }
}

fn restoring(uid: Option<&str>) -> Sight<Option<Restoring>> {
    Sight::Seen(Some(Restoring { name: "r".to_owned(), uid: uid.map(str::to_owned) }))
}

fn text(decision: &Decision) -> String {
    match decision {
        Decision::Hold { message, .. } => format!("hold: {message}"),
        Decision::EndRestore { name, uid } => format!("end restore {name} {uid}"),
        Decision::Delete => "delete".to_owned(),
        Decision::Release(outcome) => format!("release: {}", outcome.message("Articles")),
    }
}

#[test]
fn each_thing_that_matters() {
    let minutes = SignedDuration::from_mins;
    let nodes = |entries: &[(&str, Option<bool>)]| -> BTreeMap<String, Option<bool>> {
        entries.iter().map(|(node, there)| ((*node).to_owned(), *there)).collect()
    };
    let kept = "release: collection Articles stays although deletionPolicy is Delete: ";
    for (look, expected) in [
        (look(), "delete".to_owned()),
        (
            Look { policy: DeletionPolicy::Retain, ..look() },
            "release: deletionPolicy is Retain: collection Articles stays".to_owned(),
        ),
        (Look { cluster: ClusterFate::Missing, ..look() }, format!("{kept}its WeaviateCluster does not exist")),
        (
            Look { cluster: ClusterFate::Deleting, class: unseen(), ..look() },
            format!("{kept}its WeaviateCluster is being deleted and keeps its volumes"),
        ),
        (Look { cluster: ClusterFate::Hibernated, ..look() }, format!("{kept}its WeaviateCluster hibernates")),
        (
            Look { terminating: Sight::Seen(true), ..look() },
            format!("{kept}the namespace is being deleted, and that deletes no data"),
        ),
        (
            Look { rival: Some("ElysiaCollection ai/b".to_owned()), ..look() },
            format!("{kept}ElysiaCollection ai/b claims it as well and has it from now on"),
        ),
        (
            Look { protection: Some("Bill*".to_owned()), ..look() },
            format!("{kept}Bill* of the WeaviateCluster protects it"),
        ),
        (Look { paused: true, ..look() }, format!("{kept}elysia.dev/paused was set when it was deleted")),
        (
            Look { class: unseen(), ..look() },
            "hold: the servers cannot be asked (no answer); if that stays so, the object goes 10 minutes after its deletion and the collection stays".to_owned(),
        ),
        (
            Look { class: unseen(), waited: minutes(10), ..look() },
            format!("{kept}the servers cannot be asked (no answer), for 10 minutes"),
        ),
        (
            Look { journal: Sight::Seen(true), waited: minutes(59), ..look() },
            "hold: its recreation is being brought to its end; the collection is deleted after that".to_owned(),
        ),
        (
            Look { busy: Sight::Seen(Some("a backup runs".to_owned())), ..look() },
            "hold: a backup runs; the collection is deleted after that".to_owned(),
        ),
        (
            Look { busy: Sight::Seen(Some("a backup runs".to_owned())), waited: minutes(60), ..look() },
            format!("{kept}a backup runs, for 60 minutes"),
        ),
        (Look { restore: restoring(Some("u")), ..look() }, "end restore r u".to_owned()),
        (Look { restore: restoring(Some("u")), class: Sight::Seen(false), ..look() }, "end restore r u".to_owned()),
        (
            Look { restore: restoring(None), class: Sight::Seen(false), ..look() },
            "hold: CollectionRestore r, which fills it, is being ended; the collection is deleted after that".to_owned(),
        ),
        (
            Look { restore: restoring(Some("u")), waited: minutes(60), ..look() },
            format!("{kept}CollectionRestore r, which fills it, is being ended, for 60 minutes"),
        ),
        (
            Look { restore: unseen(), waited: minutes(10), ..look() },
            format!("{kept}whether it is being restored is not known (no answer), for 10 minutes"),
        ),
        (
            Look { waited: minutes(60), ..look() },
            format!("{kept}it was still there after 60 minutes; the operator's log tells why"),
        ),
        (
            Look { class: Sight::Seen(false), nodes: nodes(&[("a", Some(false)), ("b", Some(true))]), ..look() },
            "hold: collection Articles is deleted; waiting until b has heard of it".to_owned(),
        ),
        (
            Look { class: Sight::Seen(false), nodes: nodes(&[("a", Some(false)), ("b", None)]), ..look() },
            "hold: collection Articles is deleted; waiting until b has heard of it".to_owned(),
        ),
        (
            Look { class: Sight::Seen(false), nodes: nodes(&[("a", None)]), waited: minutes(10), ..look() },
            "release: collection Articles was deleted and is gone at every node".to_owned(),
        ),
        (
            Look { class: Sight::Seen(false), ..look() },
            "release: collection Articles was deleted and is gone at every node".to_owned(),
        ),
    ] {
        assert_eq!(text(&decide(&look)), expected, "{look:?}");
    }
}

fn classes_and_restores() -> Vec<(Sight<bool>, Sight<Option<Restoring>>)> {
    let classes = [Sight::Seen(false), Sight::Seen(true), unseen()];
    let restores = [Sight::Seen(None), restoring(Some("u")), restoring(None), unseen()];
    classes.into_iter().flat_map(|class| restores.iter().map(move |restore| (class.clone(), restore.clone()))).collect()
}

/// Every look, by the number of its combination.
fn every(mut check: impl FnMut(Look)) -> usize {
    let some = |text: &str| [None, Some(text.to_owned())];
    let mut count = 0;
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
        for cluster in [ClusterFate::Missing, ClusterFate::Deleting, ClusterFate::Hibernated, ClusterFate::There] {
            for terminating in [Sight::Seen(false), Sight::Seen(true), unseen()] {
                for (rival, protection) in some("r").into_iter().flat_map(|r| some("p").map(|p| (r.clone(), p))) {
                    for (paused, invalid) in [(false, None), (true, None), (false, Some("x".to_owned()))] {
                        for (class, restore) in classes_and_restores() {
                            for journal in [Sight::Seen(false), Sight::Seen(true), unseen()] {
                                for busy in [Sight::Seen(None), Sight::Seen(Some("b".to_owned())), unseen()] {
                                    for node in [None, Some(None), Some(Some(true)), Some(Some(false))] {
                                        count += 1;
                                        check(Look {
                                            collection: "Articles".to_owned(),
                                            policy,
                                            invalid: invalid.clone(),
                                            paused,
                                            cluster,
                                            terminating: terminating.clone(),
                                            rival: rival.clone(),
                                            protection: protection.clone(),
                                            class: class.clone(),
                                            restore: restore.clone(),
                                            journal: journal.clone(),
                                            busy: busy.clone(),
                                            nodes: node.map(|there| ("w-0".to_owned(), there)).into_iter().collect(),
                                            waited: SignedDuration::ZERO,
                                        });
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    count
}

#[test]
fn no_combination_hangs_and_one_alone_deletes() {
    let mut deletes = 0;
    let count = every(|mut look| {
        if decide(&look) == Decision::Delete {
            deletes += 1;
            let safe = Look { nodes: look.nodes.clone(), ..self::look() };
            assert_eq!(look, safe, "deleted although something speaks against it");
        }
        // As it would go on if nothing ever changed: each look is followed by the next, until the object goes.
        let mut looks = 0;
        loop {
            looks += 1;
            assert!(looks < 5_000, "no end: {look:?}");
            let pause = match decide(&look) {
                Decision::Release(outcome) => {
                    assert!(
                        outcome != Outcome::Deleted || look.class == Sight::Seen(false),
                        "said to be deleted: {look:?}"
                    );
                    break;
                }
                Decision::Hold { recheck, .. } => recheck,
                // It does not go.
                Decision::EndRestore { .. } => RECHECK,
                // The servers refuse it each time.
                Decision::Delete => RECHECK_LATER,
            };
            assert!(pause.is_positive(), "{look:?}");
            look.waited += pause;
        }
        assert!(look.waited <= LONGEST + RECHECK_LATER, "{look:?}");
    });
    assert_eq!((count, deletes), (2 * 4 * 3 * 4 * 3 * 27 * 4 * 4, 4));
}

#[test]
fn the_finalizer_is_the_record_of_an_owner() {
    use DeletionPolicy::{Delete, Retain};
    for (policy, conflict, cluster, has_it, expected) in [
        (Retain, false, true, false, false),
        (Retain, false, true, true, false),
        (Delete, false, true, false, true),
        (Delete, true, true, false, false),
        (Delete, true, true, true, false),
        (Delete, false, false, false, false),
        (Delete, false, false, true, true),
    ] {
        let found = wants_finalizer(policy, conflict, cluster, has_it);
        assert_eq!(found, expected, "{policy:?} conflict {conflict} cluster {cluster} has it {has_it}");
    }
}
