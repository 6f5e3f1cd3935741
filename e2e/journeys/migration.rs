//! A collection is migrated to another number of shards while it is read and written by its alias: no read fails, no
//! acknowledged write is lost, whoever kills the operator; every reference comes along; and it goes back with everything that
//! was written since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::{Client, Consistency, NewReference, Object, Page, ReadFrom, SchemaRead};
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::operator_killed::kill_operator;
use crate::support::{Nodes, PATIENCE, Stage, collection};

const ALIAS: &str = "LiveArticles";

/// Longest time from the approval to the switch: 120 s for writes in flight, Jobs that start, and operators that are killed.
const SWITCH: Duration = Duration::from_secs(600);

/// To which objects of the collection lead.
const AUTHORS: &str = "Authors";

/// Objects that have references from the beginning, and those that get them while all are copied.
const LINKED: usize = 400;
const LINKED_LATER: usize = 50;

/// More than the collection has objects: one page is all of it.
const PAGE: usize = 10_000;

/// What is written and read of the new class, by the alias, before it is compared.
const BEHIND_THE_SWITCH: u64 = 50;

fn wanted(shards: i64) -> Value {
    json!({
        "vectorizer": "none",
        "shardingConfig": {"desiredCount": shards},
        "properties": [{"name": "title", "dataType": ["text"]}, {"name": "by", "dataType": [AUTHORS]}],
    })
}

fn declared(shards: i64) -> Value {
    let mut object = collection("articles", "Articles", &wanted(shards));
    object["spec"]["migration"] = json!({"alias": ALIAS, "schemaVersion": format!("{shards} shards")});
    object
}

/// Somebody who writes by the alias, one object after the other, and somebody who reads what was acknowledged.
struct Users {
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
    writer: JoinHandle<Vec<Uuid>>,
    reader: JoinHandle<()>,
}

impl Users {
    fn begin(client: &Client, first: u128, known: Uuid) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let [acknowledged, refused, failed, reads] = [(); 4].map(|()| Arc::new(AtomicU64::new(0)));
        let writer = {
            let (client, over) = (client.clone(), Arc::clone(&over));
            let (count, refused) = (Arc::clone(&acknowledged), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut number = first;
                while !over.load(Ordering::Relaxed) {
                    let id = Uuid::from_u128(number);
                    let object = Object {
                        id,
                        class: ALIAS.to_owned(),
                        tenant: None,
                        last_update_time: None,
                        properties: Map::from_iter([("title".to_owned(), json!(format!("written {number}")))]),
                        vector: None,
                        vectors: BTreeMap::new(),
                    };
                    match client.put_object(&object, Consistency::Quorum).await {
                        Ok(()) => {
                            acknowledged.push(id);
                            count.fetch_add(1, Ordering::Relaxed);
                            number += 1;
                        }
                        // The same once more: that is what a writer does.
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                acknowledged
            })
        };
        let reader = {
            let (client, over) = (client.clone(), Arc::clone(&over));
            let (failed, reads) = (Arc::clone(&failed), Arc::clone(&reads));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let read = client.object(ALIAS, None, known, ReadFrom::Replicas(Consistency::One), false).await;
                    reads.fetch_add(1, Ordering::Relaxed);
                    if !matches!(read, Ok(Some(_))) {
                        println!("   a read failed: {read:?}");
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        };
        Self { over, acknowledged, refused, failed, reads, writer, reader }
    }

    /// Waits until so many more writes were acknowledged and reads were answered.
    async fn go_on(&self, stage: &Stage, more: u64) {
        let counts = || [&self.acknowledged, &self.reads].map(|count| count.load(Ordering::Relaxed));
        let before = counts();
        let is_more = async || counts().iter().zip(before).all(|(now, before)| *now >= before + more).then_some(());
        stage.wait("readers and writers to go on", PATIENCE, is_more).await;
    }

    /// What was acknowledged.
    async fn end(self) -> Vec<Uuid> {
        self.over.store(true, Ordering::Relaxed);
        let acknowledged = self.writer.await.unwrap();
        self.reader.await.unwrap();
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        println!(
            "   {} reads, {} failed; {} writes acknowledged, {} refused",
            count(&self.reads),
            count(&self.failed),
            acknowledged.len(),
            count(&self.refused)
        );
        assert_eq!(count(&self.failed), 0, "reads failed");
        acknowledged
    }
}

async fn live(stage: &Stage) -> Option<String> {
    stage.api::<ElysiaCollection>().get("articles").await.unwrap().status?.live
}

/// Whether the attempt was stopped: its shards are being made writable again, or are so already.
async fn is_thawing(stage: &Stage) -> bool {
    let status = stage.api::<ElysiaCollection>().get("articles").await.unwrap().status;
    let migration = status.and_then(|status| status.migration);
    migration.is_some_and(|it| it.phase == "Thaw" || (it.phase == "Copy" && it.message.is_some()))
}

async fn pause(stage: &Stage, paused: bool) {
    let value = paused.then_some("true");
    let patch = json!({"metadata": {"annotations": {names::PAUSED_ANNOTATION: value}}});
    let api = stage.api::<ElysiaCollection>();
    api.patch("articles", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn assert_has(nodes: &Nodes, class: &str, ids: &[Uuid]) {
    for (node, listed) in nodes.ids(class).await {
        let lost: Vec<&Uuid> = ids.iter().filter(|id| !listed.contains(id)).collect();
        assert!(lost.is_empty(), "{} acknowledged writes are not in {class} at {node}: {lost:?}", lost.len());
    }
}

/// Where an object leads: to one author, and some to more, of which one stands twice and nobody ever made any.
fn beacons(number: usize) -> Vec<String> {
    let many: &[usize] = if number.is_multiple_of(3) { &[5, 2, 5] } else { &[1] };
    many.iter()
        .map(|it| format!("weaviate://localhost/{AUTHORS}/{}", Uuid::from_u128((number * it + 1) as u128)))
        .collect()
}

async fn link(nodes: &Nodes, ids: &[Uuid], numbers: std::ops::Range<usize>) {
    let all: Vec<(Uuid, String)> =
        numbers.flat_map(|number| beacons(number).into_iter().map(move |beacon| (ids[number], beacon))).collect();
    let new: Vec<_> = all.iter().map(|(id, beacon)| NewReference { id: *id, property: "by", beacon }).collect();
    let refused = nodes.first().add_references("Articles", None, &new, Consistency::All).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Waits until every node has these objects lead where they should, and no other one anywhere.
async fn every_node_keeps(stage: &Stage, nodes: &Nodes, class: &str, ids: &[Uuid]) {
    let numbers = 0..LINKED + LINKED_LATER;
    let wanted: BTreeMap<Uuid, Vec<String>> = numbers.map(|number| (ids[number], beacons(number))).collect();
    stage
        .wait(&format!("every node to keep the references of {class}"), PATIENCE, async || {
            for client in nodes.clients.values() {
                let page = Page { class, tenant: None, after: None, limit: PAGE };
                let found = client.page_references(page, &["by".to_owned()]).await.ok()?;
                let leads = found.into_iter().map(|(id, kept)| {
                    let all = kept.properties.get("by").and_then(Value::as_array).cloned().unwrap_or_default();
                    (id, all.iter().filter_map(|it| it["beacon"].as_str().map(str::to_owned)).collect::<Vec<_>>())
                });
                let leads: BTreeMap<_, _> = leads.filter(|(_, beacons)| !beacons.is_empty()).collect();
                if leads != wanted {
                    return None;
                }
            }
            Some(())
        })
        .await;
}

/// A class that leads to the collection by its name is in the way: an alias does not take it along.
async fn what_leads_there_is_in_the_way(stage: &Stage, nodes: &Nodes) {
    let books = json!({
        "class": "Books", "vectorizer": "none", "properties": [{"name": "of", "dataType": ["Articles"]}],
    });
    nodes.first().create_class(&books).await.unwrap();
    stage.apply::<ElysiaCollection>(declared(3)).await;
    stage.collection_says("articles", "Stalled", "True", "MigrationBlocked").await;
    nodes.first().delete_class("Books").await.unwrap();
}

/// The phases in their order. Some of them last for a round or two.
const PHASES: [&str; 9] = ["Approve", "Create", "Copy", "Freeze", "Settle", "Final", "Switch", "Verify", "Kept"];

/// Waits for this phase of a migration into this class, or, as it may be over before it is seen, for one behind it; then the
/// operator dies.
async fn kill_in(stage: &Stage, to: &str, wanted: &str) {
    let place = |phase: &str| PHASES.iter().position(|known| *known == phase);
    let look = async || {
        let migration = stage.api::<ElysiaCollection>().get("articles").await.unwrap().status?.migration?;
        let is_there = migration.to == to && place(&migration.phase)? >= place(wanted)?;
        is_there.then_some(migration.phase)
    };
    let seen = stage.wait(&format!("phase {wanted}"), SWITCH, look).await;
    if seen != wanted {
        println!("   {wanted} was over before it was seen; it is {seen}");
    }
    kill_operator(stage).await;
}

/// Approves what waits, and waits for the switch; `before` and `after` the approval: the phases in which the operator is
/// killed once each.
async fn switch(stage: &Stage, to: &str, before: &[&str], after: &[&str]) {
    for wanted in before {
        kill_in(stage, to, wanted).await;
    }
    stage.collection_says_within("articles", "Stalled", "True", "NeedsApproval", SWITCH).await;
    stage.approve_shown("articles").await;
    for wanted in after {
        kill_in(stage, to, wanted).await;
    }
    stage
        .wait(&format!("{to} to be live"), SWITCH, async || (live(stage).await.as_deref() == Some(to)).then_some(()))
        .await;
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
}

#[tokio::test]
async fn a_collection_is_migrated_under_readers_and_writers_and_back() {
    let stage = Stage::set("migration").await;
    let nodes = stage.cluster("search").await;
    nodes.create(AUTHORS, 1, 3).await;
    nodes.create("Articles", 1, 3).await;
    let ids = nodes.fill("Articles", 500).await;
    stage.apply::<ElysiaCollection>(declared(1)).await;
    stage.collection_says("articles", "Ready", "True", "AsDeclared").await;
    assert_eq!(nodes.first().alias(ALIAS).await.unwrap().as_deref(), Some("Articles"));

    link(&nodes, &ids, 0..LINKED).await;
    what_leads_there_is_in_the_way(&stage, &nodes).await;

    // There, and the operator dies in every phase.
    let users = Users::begin(nodes.first(), 1 << 80, ids[0]);
    stage.apply::<ElysiaCollection>(declared(3)).await;
    link(&nodes, &ids, LINKED..LINKED + LINKED_LATER).await;
    switch(&stage, "Articles_2", &["Create", "Copy"], &["Freeze", "Settle", "Final", "Switch", "Verify"]).await;
    users.go_on(&stage, BEHIND_THE_SWITCH).await;
    let mut acknowledged = users.end().await;
    acknowledged.extend(&ids);
    assert_has(&nodes, "Articles_2", &acknowledged).await;
    let class = nodes.first().class("Articles_2", SchemaRead::Leader).await.unwrap().unwrap();
    assert_eq!(class["shardingConfig"]["desiredCount"], 3);
    nodes.assert_replicated("Articles_2", 3).await;
    every_node_keeps(&stage, &nodes, "Articles_2", &ids).await;
    assert!(nodes.first().class("Articles", SchemaRead::Leader).await.unwrap().is_some(), "the old class is kept");

    // And back, with what was written meanwhile. The plug-in knows what was declared before.
    let users = Users::begin(nodes.first(), 2 << 80, ids[0]);
    let (code, said) = stage.plug_in(&["migrate", "rollback", "articles", "--yes"]).await;
    assert_eq!(code, 0, "{said}");
    // What is declared is the way back already; an attempt that is called off thaws, and the next one is asked for anew.
    stage.collection_says_within("articles", "Stalled", "True", "NeedsApproval", SWITCH).await;
    stage.approve_shown("articles").await;
    kill_in(&stage, "Articles", "Freeze").await;
    pause(&stage, true).await;
    stage.wait("the thaw", SWITCH, async || is_thawing(&stage).await.then_some(())).await;
    kill_operator(&stage).await;
    pause(&stage, false).await;
    switch(&stage, "Articles", &[], &["Copy", "Final", "Verify"]).await;
    acknowledged.extend(users.end().await);
    assert_has(&nodes, "Articles", &acknowledged).await;
    every_node_keeps(&stage, &nodes, "Articles", &ids).await;
    stage.strike().await;
}
