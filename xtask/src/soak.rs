//! `soak`: the long tests. Figures go to `target/soak/`.

mod backup;
mod engine;
mod faults;
mod fuzz;
mod gitops;
mod programs;
mod shapes;
mod stores;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use elysia_e2e::ground::{DEFAULT_WEAVIATE, Ground, Kubectl, cargo};
use serde_json::{Value, json};

use engine::Build;

/// Cold starts that are measured.
const COLD_STARTS: usize = 20;
/// Time in which a cluster of three nodes has to be Ready.
const COLD_START_LIMIT: Duration = Duration::from_secs(90);
/// Time in which a namespace has to go.
const GONE_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(crate) struct SoakArguments {
    /// Which one: `backup`, `backup-scale`, `cold-start`, `collections`, `faults`, `feeds`, `fuzz`, `gitops`, `shapes`, `stores`
    name: String,
    /// With `fuzz`: only these of `archive`, `line`, `lines`, `resume`; all four beside each other when left out
    targets: Vec<String>,
    /// With `fuzz`: how long
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// With `fuzz`: put what was found worth keeping into `fuzz/corpus`, minimised
    #[arg(long)]
    keep: bool,
    /// Version of Weaviate; one that the ground has
    #[arg(long, default_value = DEFAULT_WEAVIATE)]
    weaviate: String,
}

pub(crate) fn run(arguments: &SoakArguments) -> Result<()> {
    ensure!(arguments.targets.is_empty() || arguments.name == "fuzz", "only `fuzz` has targets");
    match arguments.name.as_str() {
        "backup" => backup::run(),
        "backup-scale" => engine::run("backup-scale", "scale", Build::Release),
        "cold-start" => cold_starts(&arguments.weaviate),
        "collections" => on_the_ground("collections"),
        "faults" => faults::run(),
        "feeds" => feeds(),
        "fuzz" => fuzz::run(arguments.minutes, &arguments.targets, arguments.keep),
        "gitops" => gitops::run(&arguments.weaviate),
        "shapes" => shapes::run(),
        "stores" => stores::run(),
        other => {
            bail!(
                "there is no soak `{other}`; there are: backup, backup-scale, cold-start, collections, faults, feeds, fuzz, gitops, shapes, stores"
            )
        }
    }
}

/// Workers killed at random moments, and ledgers lost: a thousand simulated with the engine's own oracle, then on the
/// ground with real workers, operators and servers.
fn feeds() -> Result<()> {
    // Told before minutes have passed.
    Ground::running().context("run `cargo xtask up` and `cargo xtask deploy` first")?;
    engine::run("feeds-simulated", "replay", Build::Checked)?;
    on_the_ground("feeds")
}

/// Runs one of the long tests of `e2e/soaks`, which says what it does while it does it.
fn on_the_ground(name: &str) -> Result<()> {
    let ground = Ground::running().context("run `cargo xtask up` and `cargo xtask deploy` first")?;
    let folder = ground.paths().target.join("soak");
    fs::create_dir_all(&folder)?;
    let mut command = cargo(ground.paths());
    command.args(["test", "--workspace", "--test", "soaks", "--"]);
    command.args(["--ignored", "--nocapture", "--exact", &format!("{name}::{name}")]);
    command.env("KUBECONFIG", ground.paths().kubeconfig());
    command.env("ELYSIA_SOAK_FIGURES", folder.join(format!("{name}.json")));
    ensure!(command.status().context("failed to start cargo")?.success(), "the soak {name} failed");
    Ok(())
}

/// Twenty clusters of three nodes, each from nothing, one after another.
fn cold_starts(version: &str) -> Result<()> {
    let ground = Ground::running().context("run `cargo xtask up` and `cargo xtask deploy` first")?;
    let kubectl = ground.kubectl();
    let mut seconds = Vec::new();
    for round in 1..=COLD_STARTS {
        let namespace = format!("cold-start-{round}");
        let took = cold_start(&kubectl, &namespace, version)?;
        println!("{round}/{COLD_STARTS}: Ready after {took:.1} s");
        seconds.push(took);
        gone(&kubectl, &namespace)?;
        ground.recycle_volumes()?;
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let (least, median, most) = (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    println!("{COLD_STARTS} of {COLD_STARTS} Ready: least {least:.1} s, median {median:.1} s, most {most:.1} s");
    let folder = ground.paths().target.join("soak");
    fs::create_dir_all(&folder)?;
    let figures = json!({"name": "cold-start", "weaviate": version, "unit": "s", "values": seconds});
    fs::write(folder.join("cold-start.json"), figures.to_string()).context("failed to write the figures")
}

fn cold_start(kubectl: &Kubectl, namespace: &str, version: &str) -> Result<f64> {
    kubectl.run(&["create", "namespace", namespace])?;
    let cluster = json!({
        "apiVersion": "elysia.dev/v1alpha1",
        "kind": "WeaviateCluster",
        "metadata": {"name": "search", "namespace": namespace},
        "spec": {"managed": {"version": version, "replicas": 3, "storage": {"size": "1Gi"}}},
    });
    let started = Instant::now();
    kubectl.send(&["apply", "--filename", "-"], &cluster.to_string())?;
    loop {
        let seen = kubectl.get(&["weaviatecluster", "search", "--namespace", namespace])?;
        let ready = seen["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
        if ready {
            return Ok(started.elapsed().as_secs_f64());
        }
        ensure!(
            started.elapsed() < COLD_START_LIMIT,
            "not Ready after {} s: {}",
            COLD_START_LIMIT.as_secs(),
            seen["status"]
        );
        std::thread::sleep(POLL);
    }
}

fn gone(kubectl: &Kubectl, namespace: &str) -> Result<()> {
    // A namespace that is deleted with pods in it waits half of their grace period, whether they need it or not.
    kubectl.run(&["delete", "weaviateclusters", "--all", "--namespace", namespace])?;
    let started = Instant::now();
    loop {
        kubectl.run(&["delete", "statefulsets", "--all", "--namespace", namespace])?;
        kubectl.run(&["delete", "pods", "--all", "--namespace", namespace, "--grace-period=0", "--force"])?;
        let left = kubectl.get(&["statefulsets,pods", "--namespace", namespace])?;
        if left["items"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        ensure!(started.elapsed() < GONE_LIMIT, "the pods of {namespace} did not go");
    }
    kubectl.run(&["delete", "namespace", namespace, "--wait=false"])?;
    loop {
        let left = kubectl.get(&["namespaces"])?;
        let there = |item: &Value| item["metadata"]["name"] == namespace;
        if !left["items"].as_array().into_iter().flatten().any(there) {
            return Ok(());
        }
        ensure!(started.elapsed() < GONE_LIMIT, "namespace {namespace} did not go");
        std::thread::sleep(POLL);
    }
}
