//! A feed that would delete more than its guard allows: it waits for a person, through the operator's death, and an
//! approval is good for one content and no more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use elysia_api::collection::PlanStatus;
use elysia_api::{ElysiaCollection, IndexSource, IndexSourceStatus};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::feed::notes;
use crate::feed_s3::ids;
use crate::operator_killed::kill_operator;
use crate::support::{PATIENCE, Stage, is};

/// Documents that are there, all of which the second content deletes.
const DOCUMENTS: usize = 60;
/// Documents that may be deleted without a person's word.
const ALLOWED: usize = 10;

fn lines(op: &str, numbers: impl Iterator<Item = usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        let content = if op == "add" { format!(r#","content":"text {number}""#) } else { String::new() };
        writeln!(text, r#"{{"repo":"r","op":"{op}","path":"a{number}"{content}}}"#).unwrap();
    }
    text
}

async fn declare(stage: &Stage, text: String) {
    stage.config_map("lines", &BTreeMap::from([("changes.jsonl".to_owned(), text)])).await;
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": "lines"},
            "spec": {
                "clusterRef": {"name": "search"},
                "collection": "Notes",
                "source": {"configMap": {"name": "lines"}},
                "deleteGuard": {"objects": ALLOWED},
            },
        }))
        .await;
}

/// Waits until the feed asks a person, and answers the plan that it shows.
async fn waits_for_a_person(stage: &Stage, but_not: &str) -> PlanStatus {
    let api = stage.api::<IndexSource>();
    stage
        .wait("the feed to wait for a person", PATIENCE, async || {
            let status = api.get("lines").await.unwrap().status?;
            let asks = is(&status.conditions, "Stalled", "True") && is(&status.conditions, "Ready", "False");
            status.plan.filter(|plan| asks && plan.waiting_for.is_some() && plan.hash != but_not)
        })
        .await
}

/// Waits until so many deletes are counted in a run that is at its end.
async fn deleted(stage: &Stage, documents: usize) -> IndexSourceStatus {
    let api = stage.api::<IndexSource>();
    stage
        .wait(&format!("{documents} documents to be deleted"), PATIENCE, async || {
            let status = api.get("lines").await.unwrap().status?;
            let counted =
                status.counts.as_ref().is_some_and(|counts| counts.deleted == i64::try_from(documents).unwrap());
            (counted && is(&status.conditions, "CaughtUp", "True")).then_some(status)
        })
        .await
}

#[tokio::test]
async fn what_deletes_too_much_waits_for_a_person() {
    let stage = Stage::set("feed-guard").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    declare(&stage, lines("add", 0..DOCUMENTS)).await;
    stage.feed_ended("lines").await;
    let names = |numbers: std::ops::Range<usize>| ids(numbers.map(|number| format!("a{number}")));
    nodes.assert_all_hold("Notes", &names(0..DOCUMENTS)).await;

    // As many as the guard allows go by themselves.
    declare(&stage, lines("delete", 0..ALLOWED)).await;
    deleted(&stage, ALLOWED).await;
    nodes.assert_all_hold("Notes", &names(ALLOWED..DOCUMENTS)).await;

    // One more than that: the plan says how many, and nothing happens, whoever dies meanwhile.
    let many = ALLOWED..2 * ALLOWED + 1;
    declare(&stage, lines("delete", many.clone())).await;
    let plan = waits_for_a_person(&stage, "").await;
    assert!(plan.destructive && plan.steps[0].contains(&format!("delete {} documents", many.len())), "{plan:?}");
    kill_operator(&stage).await;
    let lost = json!({"status": null});
    let api = stage.api::<IndexSource>();
    api.patch_status("lines", &PatchParams::default(), &Patch::Merge(&lost)).await.unwrap();
    let again = waits_for_a_person(&stage, "").await;
    assert_eq!(again.hash, plan.hash, "the same finding has the same hash, also when the status was lost");
    nodes.assert_all_hold("Notes", &names(ALLOWED..DOCUMENTS)).await;

    // The content changes while the person thinks: what was approved is not what would be done.
    declare(&stage, lines("delete", ALLOWED..DOCUMENTS)).await;
    let other = waits_for_a_person(&stage, &plan.hash).await;
    let (code, said) = stage.plug_in(&["repair", "approve", "feed/lines", "--yes", "--hash", &plan.hash]).await;
    assert_ne!(code, 0, "{said}");
    nodes.assert_all_hold("Notes", &names(ALLOWED..DOCUMENTS)).await;

    let (code, said) = stage.plug_in(&["repair", "approve", "feed/lines", "--yes", "--hash", &other.hash]).await;
    assert_eq!(code, 0, "{said}");
    deleted(&stage, DOCUMENTS - ALLOWED).await;
    nodes.assert_all_hold("Notes", &[]).await;

    // It was used: the same annotation opens nothing again.
    declare(&stage, lines("add", 0..DOCUMENTS)).await;
    stage
        .wait("the documents to be there again", PATIENCE, async || {
            let status = api.get("lines").await.unwrap().status?;
            (is(&status.conditions, "CaughtUp", "True") && status.counts?.added > 0).then_some(())
        })
        .await;
    declare(&stage, lines("delete", ALLOWED..DOCUMENTS)).await;
    waits_for_a_person(&stage, &other.hash).await;
    nodes.assert_all_hold("Notes", &names(0..DOCUMENTS)).await;
    stage.strike().await;
}
