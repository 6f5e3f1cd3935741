//! Feeds whose worker, operator, Weaviate nodes, ledger and status are taken away at random moments. At the end the
//! collection is what replaying the lines by hand comes to, at every node, and every line is counted once.
//!
//! A path is added before it is anything else, as a producer does: such a feed may be read again from its beginning, so
//! that a ledger that is lost costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use elysia_api::{ElysiaCollection, IndexSource, names};
use elysia_weaviate::{Consistency, ReadFrom};
use fastrand::Rng;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::json;
use uuid::Uuid;

use crate::support::{COLD_START, NODES, Nodes, Stage, collection, is};

/// Kills of worker, operator and nodes together, unless `ELYSIA_SOAK_KILLS` says otherwise.
const KILLS: usize = 60;
/// Kills of one feed: a Job waits longer and longer for its next worker.
const KILLS_OF_ONE: usize = 6;
/// Lines of one feed: some ten seconds of work, and less than a ConfigMap may hold.
const LINES: usize = 9_000;
/// Paths that a feed knows: few enough to meet often.
const PATHS: usize = 1_500;
/// Longest wait for a feed: the Job's last worker may start minutes after the last kill.
const PATIENCE: Duration = Duration::from_secs(900);
/// Objects that are read at the same time.
const READS: usize = 16;
/// Longest wait for a node to catch up with what was written while it was away.
const HEALED: Duration = Duration::from_secs(240);
const CLUSTER: &str = "search";

/// The lines, and the contents by path that they come to.
fn produce(random: &mut Rng, repo: &str) -> (String, BTreeMap<usize, String>) {
    let mut text = String::new();
    let mut there: BTreeMap<usize, String> = BTreeMap::new();
    let mut line = |value: serde_json::Value| writeln!(text, "{value}").unwrap();
    for number in 0..LINES {
        let fresh = random.usize(..PATHS);
        let content = format!("text {number} {}", "x".repeat(random.usize(..40)));
        let known = there.keys().nth(random.usize(..there.len().max(1))).copied();
        let name = |path: usize| format!("{path}.md");
        match (random.u8(..10), known) {
            (0 | 1, Some(path)) => {
                there.insert(path, content.clone());
                line(json!({"repo": repo, "op": "modify", "path": name(path), "content": content}));
            }
            (2 | 3, Some(path)) => {
                there.remove(&path);
                line(json!({"repo": repo, "op": "delete", "path": name(path)}));
            }
            (4, Some(path)) if path != fresh => {
                let moved = there.remove(&path).unwrap();
                there.insert(fresh, moved);
                line(json!({"repo": repo, "op": "rename", "path": name(path), "new_path": name(fresh)}));
            }
            _ => {
                there.insert(fresh, content.clone());
                line(json!({"repo": repo, "op": "add", "path": name(fresh), "content": content}));
            }
        }
    }
    (text, there)
}

fn id(repo: &str, path: usize) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notes{repo}:{path}.md").as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half an hour; run by `cargo xtask soak feeds`"]
async fn feeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = number("ELYSIA_SOAK_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(KILLS);
    let seed = number("ELYSIA_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{wanted} kills, ELYSIA_SOAK_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let stage = Stage::set("soak-feeds").await;
    stage.cluster(CLUSTER).await;
    let property = |name: &str| json!({"name": name, "dataType": ["text"]});
    let schema = json!({
        "vectorizer": "none",
        "shardingConfig": {"desiredCount": 3},
        "properties": [property("repo"), property("path"), property("content")],
    });
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &schema)).await;
    stage.collection_says("notes", "Ready", "True", "").await;

    let started = Instant::now();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut expected: BTreeMap<Uuid, String> = BTreeMap::new();
    let (mut round, mut kills) = (0, 0);
    while kills < wanted {
        let repo = format!("r{round}");
        let (text, there) = produce(&mut random, &repo);
        kills += one_feed(&stage, &mut random, &repo, text, &mut counts).await;
        expected.extend(there.into_iter().map(|(path, content)| (id(&repo, path), content)));
        check(&stage, &expected).await;
        round += 1;
        println!("{round} feeds, {kills} kills, {} objects as replayed by hand; {counts:?}", expected.len());
    }
    if let Ok(path) = std::env::var("ELYSIA_SOAK_FIGURES") {
        let figures = json!({
            "name": "feeds", "seed": seed, "feeds": round, "lines": round * LINES, "kills": kills, "what": counts,
            "objects": expected.len(), "differing": 0, "seconds": started.elapsed().as_secs(),
        });
        std::fs::write(path, figures.to_string()).unwrap();
    }
    stage.strike().await;
}

/// Indexes one feed and gets in its way; how many kills that were.
async fn one_feed(
    stage: &Stage,
    random: &mut Rng,
    name: &str,
    text: String,
    counts: &mut BTreeMap<&'static str, usize>,
) -> usize {
    stage.config_map(name, &BTreeMap::from([("changes.jsonl".to_owned(), text)])).await;
    stage
        .apply::<IndexSource>(json!({
            "metadata": {"name": name},
            "spec": {
                "clusterRef": {"name": CLUSTER}, "collection": "Notes", "source": {"configMap": {"name": name}},
                // Slow enough to be met in the middle.
                "parallelism": 1, "batch": {"objects": 20},
            },
        }))
        .await;
    let ledger = names::ledger(name);
    let (mut kills, mut is_lost) = (0, false);
    while kills < KILLS_OF_ONE && !has_ended(stage, name).await {
        tokio::time::sleep(Duration::from_millis(200 + random.u64(..3_000))).await;
        let at_once = DeleteParams::default().grace_period(0);
        let what = match random.u8(..10) {
            0..5 => {
                let selector = ListParams::default().labels(&format!("{}={name}", names::FEED_LABEL));
                let workers = stage.api::<Pod>().list(&selector).await.unwrap();
                let Some(worker) = workers
                    .iter()
                    .find(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"))
                else {
                    continue;
                };
                if stage.api::<Pod>().delete(&worker.name_any(), &at_once).await.is_err() {
                    continue;
                }
                "worker killed"
            }
            5 | 6 => {
                let operators: Api<Pod> = Api::namespaced(stage.client.clone(), "elysia-system");
                operators.delete_collection(&at_once, &ListParams::default()).await.unwrap();
                "operator killed"
            }
            7 | 8 => {
                let node = format!("{CLUSTER}-{}", random.usize(..NODES));
                node_killed(stage, &node).await;
                "Weaviate node killed"
            }
            // Once a feed, or it would never come to its end.
            _ if is_lost => continue,
            _ if random.bool() => {
                is_lost = true;
                if stage.api::<ConfigMap>().delete(&ledger, &DeleteParams::default()).await.is_err() {
                    continue;
                }
                *counts.entry("ledger deleted").or_default() += 1;
                continue;
            }
            _ => {
                is_lost = true;
                let nothing = Patch::Merge(json!({"status": null}));
                stage.api::<IndexSource>().patch_status(name, &PatchParams::default(), &nothing).await.unwrap();
                *counts.entry("status deleted").or_default() += 1;
                continue;
            }
        };
        kills += 1;
        *counts.entry(what).or_default() += 1;
    }
    let status = stage.feed_ended_within(name, PATIENCE).await.status.unwrap();
    assert!(is(&status.conditions, "Ready", "True"), "{name}: {:?}", status.conditions);
    let counted = status.counts.unwrap();
    let sum =
        counted.added + counted.modified + counted.deleted + counted.renamed + counted.unchanged + counted.rejected;
    assert_eq!(
        (counted.lines, sum, counted.rejected),
        (i64::try_from(LINES).unwrap(), counted.lines, 0),
        "{counted:?}"
    );
    kills
}

/// Whether the run ended; every status on the way is balanced.
async fn has_ended(stage: &Stage, name: &str) -> bool {
    let Ok(feed) = stage.api::<IndexSource>().get(name).await else { return false };
    let Some(status) = feed.status else { return false };
    if let Some(counts) = &status.counts {
        let sum = counts.added + counts.modified + counts.deleted + counts.renamed + counts.unchanged + counts.rejected;
        assert_eq!(counts.lines, sum, "{name}: {counts:?}");
    }
    is(&status.conditions, "CaughtUp", "True")
}

/// Kills a node and waits until it is back: two at once are another story.
async fn node_killed(stage: &Stage, node: &str) {
    let pods = stage.api::<Pod>();
    let before = pods.get(node).await.unwrap().uid();
    pods.delete(node, &DeleteParams::default().grace_period(0)).await.unwrap();
    stage
        .wait(&format!("{node} to be back"), 2 * COLD_START, async || {
            let pod = pods.get(node).await.ok().filter(|pod| pod.uid() != before)?;
            let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            conditions.iter().any(|seen| seen.type_ == "Ready" && seen.status == "True").then_some(())
        })
        .await;
}

/// Every node lists these ids and no others, and all replicas agree on the contents.
async fn check(stage: &Stage, expected: &BTreeMap<Uuid, String>) {
    let nodes: Nodes = stage.nodes(CLUSTER).await;
    stage.cluster_is_ready(CLUSTER).await;
    let wanted: BTreeSet<Uuid> = expected.keys().copied().collect();
    // What was written at QUORUM while a node was away comes to it by Weaviate's own asynchronous replication.
    let nodes_agree = async || {
        let found = nodes.ids("Notes").await;
        found.into_values().all(|ids| ids.into_iter().collect::<BTreeSet<_>>() == wanted).then_some(())
    };
    stage.wait("every node to list what was replayed by hand", HEALED, nodes_agree).await;
    let differing: Vec<String> = futures::stream::iter(expected)
        .map(async |(id, content)| {
            let from = ReadFrom::Replicas(Consistency::All);
            match nodes.first().object("Notes", None, *id, from, false).await {
                Ok(Some(object)) if object.properties.get("content") == Some(&json!(content)) => None,
                Ok(found) => Some(format!("{id}: {:?}, not {content}", found.map(|object| object.properties))),
                Err(error) => Some(format!("{id}: {error}")),
            }
        })
        .buffer_unordered(READS)
        .filter_map(async |differing| differing)
        .collect()
        .await;
    assert!(differing.is_empty(), "{} differ: {:?}", differing.len(), &differing[..differing.len().min(5)]);
}
