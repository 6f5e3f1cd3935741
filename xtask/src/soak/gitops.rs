//! Twenty applies of the same manifests, one every ten seconds: no resourceVersion moves.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::gitops::{self, ROUNDS};
use elysia_e2e::ground::{Ground, Kubectl};
use serde_json::{Value, json};

use super::gone;

/// Between two applies. This pace is the workload itself, and nothing that is waited for.
const PACE: Duration = Duration::from_secs(10);
/// Time in which the objects come to rest after they are Ready.
const REST_LIMIT: Duration = Duration::from_secs(120);
/// Twice the interval of the cluster: what did not move in it is at rest.
const QUIET: Duration = Duration::from_secs(20);

const NAMESPACE: &str = "soak-gitops";

pub(super) fn run(version: &str) -> Result<()> {
    let ground = Ground::running().context("run `cargo xtask up` and `cargo xtask deploy` first")?;
    let kubectl = ground.kubectl();
    kubectl.run(&["create", "namespace", NAMESPACE])?;
    let manifests = manifests(version);
    gitops::apply(&kubectl, NAMESPACE, &manifests)?;
    let objects = ["weaviatecluster/search", "elysiacollection/articles"];
    gitops::wait_until_ready(&kubectl, NAMESPACE, &objects, "--timeout=180s")?;
    let before = at_rest(&kubectl)?;
    let mut took = Vec::new();
    for round in 1..=ROUNDS {
        let started = Instant::now();
        gitops::apply(&kubectl, NAMESPACE, &manifests)?;
        took.push(started.elapsed().as_secs_f64());
        std::thread::sleep(PACE.saturating_sub(started.elapsed()));
        let moved = gitops::moved(&before, &gitops::versions(&kubectl, NAMESPACE)?);
        ensure!(moved.is_empty(), "round {round} moved {}", moved.join(", "));
        println!("{round}/{ROUNDS}: {} objects, none moved", before.len());
    }
    let folder = ground.paths().target.join("soak");
    fs::create_dir_all(&folder)?;
    let figures = json!({
        "name": "gitops", "weaviate": version, "rounds": ROUNDS, "pace_seconds": PACE.as_secs(),
        "objects": before.len(), "moved": 0, "unit": "s", "values": took,
    });
    fs::write(folder.join("gitops.json"), figures.to_string()).context("failed to write the figures")?;
    gone(&kubectl, NAMESPACE)?;
    ground.recycle_volumes().map(drop)
}

fn manifests(version: &str) -> [Value; 2] {
    let cluster = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster", "metadata": {"name": "search"},
        "spec": {
            "managed": {"version": version, "replicas": 3, "storage": {"size": "1Gi"}},
            "verify": {"interval": "10s"},
        },
    });
    let collection = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection", "metadata": {"name": "articles"},
        "spec": {
            "clusterRef": {"name": "search"}, "collection": "Articles", "schema": {"vectorizer": "none"},
            "replication": {"factor": 3},
        },
    });
    [cluster, collection]
}

/// The versions once nothing moves: what is Ready has yet to count its objects, and Kubernetes to write its own statuses.
fn at_rest(kubectl: &Kubectl) -> Result<BTreeMap<String, String>> {
    let started = Instant::now();
    loop {
        let before = gitops::versions(kubectl, NAMESPACE)?;
        std::thread::sleep(QUIET);
        let moved = gitops::moved(&before, &gitops::versions(kubectl, NAMESPACE)?);
        if moved.is_empty() {
            return Ok(before);
        }
        ensure!(started.elapsed() < REST_LIMIT, "{} never came to rest", moved.join(", "));
    }
}
