//! A recreation with a fault at each of its writes.

use elysia_testkit::kubernetes::Fate;

use super::super::super::super::fixture::{World, at_every_write};
use super::voided::{check_untouched, late_objects};
use super::{ROUNDS, approved, round_or_crash};

/// The end of every story with a crash: recreated exactly once, and nothing was deleted without a journal.
pub(super) fn check_recreated(world: &World, transcript: &str, what: &str) {
    let lines: Vec<&str> = transcript.lines().collect();
    let at = |part: &str| lines.iter().position(|line| line.contains(part));
    let deletes = lines.iter().filter(|line| line.starts_with("DELETE /v1/schema/Articles")).count();
    assert_eq!(deletes, 1, "{what}\n{transcript}");
    let journal = lines.iter().position(|line| line.starts_with("POST configmaps") && !line.contains("→ nothing"));
    assert!(
        journal < at("PUT /v1/schema/Articles/shards") && journal < at("DELETE /v1/schema"),
        "{what}\n{transcript}"
    );
    assert!(at("DELETE /v1/schema") < at("POST /v1/schema at"), "{what}\n{transcript}");
    assert_eq!(world.weaviate.class("Articles").unwrap()["vectorizer"], "text2vec-openai", "{what}");
    assert!(world.is_ready(), "{what}\n{}\n{transcript}", world.conditions());
}

/// Tells the story of an approved recreation with a fault at each write in it; `prepare` changes the world first, right
/// before the proof. Gives the writes.
pub(super) async fn recreated(fate: Fate, prepare: fn(&World), check: impl AsyncFn(&World, &str, &str)) -> Vec<String> {
    recreated_from(approved, fate, prepare, check).await
}

pub(super) async fn recreated_from(
    begin: impl AsyncFn() -> World,
    fate: Fate,
    prepare: fn(&World),
    check: impl AsyncFn(&World, &str, &str),
) -> Vec<String> {
    let play = async |world: &mut World, rounds: usize| {
        let (mut prepared, mut silent) = (false, false);
        for _ in 0..rounds {
            let before = world.fuse.writes();
            round_or_crash(world).await;
            // Nothing is written while writes in flight are waited out.
            silent = world.fuse.writes() == before && !world.is_at("Settle");
            if silent {
                break;
            }
            // When all shards are frozen and the writes in flight are over.
            if world.is_at("Delete") && !prepared {
                prepare(world);
                prepared = true;
            }
        }
        assert!(silent, "it does not come to rest in {rounds} rounds: {}", world.conditions());
    };
    at_every_write(fate, ROUNDS, begin, play, check).await
}

async fn recreated_whatever_breaks(fate: Fate) -> usize {
    let check = async |world: &World, transcript: &str, what: &str| check_recreated(world, transcript, what);
    recreated(fate, |_| {}, check).await.len()
}

#[tokio::test]
async fn a_crash_before_any_write_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::Hangs).await > 15);
}

#[tokio::test]
async fn a_crash_after_any_write_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::HangsAfter).await > 15);
}

#[tokio::test]
async fn any_write_that_fails_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::Fails(500)).await > 15);
}

#[tokio::test]
async fn any_write_whose_answer_is_lost_ends_in_one_recreation() {
    assert!(recreated_whatever_breaks(Fate::FailsAfter(500)).await > 15);
}

#[tokio::test]
async fn objects_that_appear_stop_it_also_when_the_operator_dies_at_any_write() {
    for fate in [Fate::Hangs, Fate::HangsAfter] {
        let blown = recreated(fate, late_objects, check_untouched).await;
        assert!(blown.len() > 15, "{blown:#?}");
    }
}

#[tokio::test]
async fn objects_that_appear_stop_it_also_when_any_write_fails() {
    let blown = recreated(Fate::Fails(500), late_objects, check_untouched).await;
    assert!(blown.len() > 15, "{blown:#?}");
}
