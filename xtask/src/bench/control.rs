//! What the operator costs over the calls it makes: `ElysiaCollection`s created, changed and deleted, beside the same
//! calls made by the official Python client, by turns on the same three nodes. Then drift among a thousand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::{DEFAULT_WEAVIATE, DeployTarget, Ground, Kubectl, deploy};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Method, Request};

use super::python::Python;
use super::{Row, report};

const NAMESPACE: &str = "bench-control";
const CLUSTER: &str = "bench";
const SCRIPT: &str = include_str!("control.py");
/// Replicas of each collection that is created side by side.
const FACTOR: usize = 3;
/// Between two looks. Each is a process on the machine that is measured.
const POLL: Duration = Duration::from_millis(250);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// Time between two looks of the operator while drift is measured, in seconds.
const INTERVAL: u64 = 30;

/// The setting that drifts. It is reported and not put back: writing to the schema of a thousand classes would be what
/// is measured.
const DRIFTING: &str = "description";

/// How much is done.
struct Size {
    rounds: usize,
    collections: usize,
    thousand: usize,
    drifting: usize,
}

impl Size {
    fn of(quick: bool) -> Self {
        if quick {
            Self { rounds: 1, collections: 20, thousand: 100, drifting: 20 }
        } else {
            Self { rounds: 5, collections: 100, thousand: 1000, drifting: 200 }
        }
    }
}

/// Both parts.
pub(super) fn run(quick: bool) -> Result<()> {
    let size = Size::of(quick);
    let ground = deployed()?;
    let target = ground.paths().target.clone();
    let python = Python::prepare(&target)?;
    let bench = Bench::set(ground, &json!([]))?;
    let mut rows = bench.side_by_side(&python, &size)?;
    let ratios = ratios(&rows);
    let bench = Bench::of_many(bench.ground)?;
    rows.extend(bench.drift(&size)?);
    let versions =
        json!({"weaviate": DEFAULT_WEAVIATE, "python": Python::version(), "operator": env!("CARGO_PKG_VERSION")});
    report(&target, "control", &versions, &rows, &ratios)?;
    bench.strike()
}

/// Drift among a thousand alone.
pub(super) fn drift(quick: bool) -> Result<()> {
    let bench = Bench::of_many(deployed()?)?;
    let rows = bench.drift(&Size::of(quick))?;
    let versions = json!({"weaviate": DEFAULT_WEAVIATE, "operator": env!("CARGO_PKG_VERSION")});
    report(&bench.ground.paths().target, "drift", &versions, &rows, &json!({}))?;
    bench.strike()
}

fn deployed() -> Result<Ground> {
    let ground = Ground::running().context("run `cargo xtask up` first")?;
    deploy(&DeployTarget { optimised: true, ..DeployTarget::default() })?;
    Ok(ground)
}

fn ratios(rows: &[Row]) -> Value {
    let value = |what: &str, condition: &str| {
        rows.iter().find(|row| row.what == what && row.condition.starts_with(condition)).map(|row| row.value)
    };
    let mut ratios = serde_json::Map::new();
    let mut sums = [0.0, 0.0];
    for what in ["create", "change", "delete"] {
        if let (Some(ours), Some(theirs)) = (value(what, "elysia-operator"), value(what, "Python")) {
            ratios.insert(what.to_owned(), json!(ours / theirs));
            sums[0] += ours;
            sums[1] += theirs;
        }
    }
    ratios.insert("python_client".to_owned(), json!(sums[0] / sums[1]));
    Value::Object(ratios)
}

struct Bench {
    ground: Ground,
    kubectl: Kubectl,
    agent: Agent,
    host: String,
    key: String,
}

impl Bench {
    /// A cluster for a thousand collections. Servers build the whole GraphQL schema anew at each change of any class:
    /// with a thousand of them seconds of processor time for each, which would be all that is measured.
    fn of_many(ground: Ground) -> Result<Self> {
        Self::set(ground, &json!([{"name": "DISABLE_GRAPHQL", "value": "true"}]))
    }

    /// A cluster whose servers have this environment.
    fn set(ground: Ground, environment: &Value) -> Result<Self> {
        let kubectl = ground.kubectl();
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).http_status_as_error(false);
        let agent = config.proxy(None).build().into();
        let mut bench = Self { ground, kubectl, agent, host: String::new(), key: String::new() };
        bench.strike()?;
        bench.kubectl.run(&["create", "namespace", NAMESPACE])?;
        bench.apply(&json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
            "spec": {
                "managed": {
                    "version": DEFAULT_WEAVIATE, "replicas": 3, "storage": {"size": "1Gi"}, "env": environment,
                },
                "verify": {"interval": format!("{INTERVAL}s")},
            },
        }))?;
        until("the cluster", || {
            let cluster = bench.kubectl.get(&["weaviatecluster", CLUSTER, "--namespace", NAMESPACE])?;
            Ok(is_ready(&cluster))
        })?;
        let service = bench.kubectl.get(&["service", CLUSTER, "--namespace", NAMESPACE])?;
        service["spec"]["clusterIP"].as_str().context("the Service has no address")?.clone_into(&mut bench.host);
        let template = "--output=go-template={{.data.apiKey | base64decode}}";
        bench.key =
            bench.kubectl.run(&["get", "secret", &format!("{CLUSTER}-auth"), "--namespace", NAMESPACE, template])?;
        Ok(bench)
    }

    fn strike(&self) -> Result<()> {
        self.kubectl.run(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s"])?;
        self.ground.recycle_volumes()?;
        Ok(())
    }

    fn apply(&self, manifest: &Value) -> Result<()> {
        self.kubectl.send(&["apply", "--filename=-"], &manifest.to_string())
    }

    fn side_by_side(&self, python: &Python, size: &Size) -> Result<Vec<Row>> {
        let mut seconds: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        let condition = format!("{} collections, factor {FACTOR}", size.collections);
        let (ours, theirs) = (format!("elysia-operator, {condition}"), format!("Python client, {condition}"));
        for round in 0..size.rounds {
            // Whoever comes first in one round comes last in the next.
            for turn in 0..2 {
                let operator = (round + turn) % 2 == 0;
                for operation in ["create", "change", "delete"] {
                    let took = if operator {
                        self.operate(operation, &format!("o{round}-"), size.collections)?
                    } else {
                        let count = size.collections.to_string();
                        let arguments = [operation, &format!("P{round}x"), &count, &FACTOR.to_string()];
                        let environment =
                            [("WEAVIATE_HOST", self.host.as_str()), ("WEAVIATE_API_KEY", self.key.as_str())];
                        let answer = python.run(SCRIPT, &arguments, &environment)?;
                        answer["seconds"].as_f64().context("the Python side measured nothing")?
                    };
                    println!(
                        "round {round}: {operation} by {}: {took:.1} s",
                        if operator { "the operator" } else { "Python" }
                    );
                    seconds.entry((operation, if operator { &ours } else { &theirs })).or_default().push(took);
                }
            }
        }
        seconds.into_iter().map(|((what, condition), rounds)| Row::of(what, condition, "s", &rounds)).collect()
    }

    /// From `kubectl` to the last object being as declared, or gone with its collection.
    fn operate(&self, operation: &str, prefix: &str, count: usize) -> Result<f64> {
        let description = if operation == "create" { "made" } else { "changed" };
        let list = collections(prefix, count, FACTOR, description);
        // One process that watches: asking again and again would take from the servers' processors what is measured, and
        // `kubectl wait` asks for five objects a second.
        let started = Instant::now();
        if operation == "delete" {
            let watch = Watch::start(&self.kubectl, prefix)?;
            self.kubectl.send(&["delete", "--wait=false", "--filename=-"], &list.to_string())?;
            watch.until(count, |line| matches!(line, ["DELETED", ..]))?;
        } else {
            self.kubectl.send(&["apply", "--server-side", "--filename=-"], &list.to_string())?;
            Watch::start(&self.kubectl, prefix)?.until(count, stands)?;
        }
        let took = started.elapsed().as_secs_f64();
        // Outside the time: what was waited for is so, and what the statuses say is so at the server.
        let objects = self.objects()?;
        let ours: Vec<&Value> = objects.iter().filter(|object| name(object).starts_with(prefix)).collect();
        let left = if operation == "delete" { 0 } else { count };
        ensure!(ours.len() == left && ours.into_iter().all(is_ready), "{operation} {prefix}: not all are there");
        let classes = self.classes()?;
        for number in 0..count {
            let class = classes.get(&class_name(prefix, number));
            let found = class.and_then(|class| class["description"].as_str());
            ensure!(found == (operation != "delete").then_some(description), "{operation} {prefix}{number}: {found:?}");
        }
        Ok(took)
    }

    fn objects(&self) -> Result<Vec<Value>> {
        let mut list = self.kubectl.get(&["elysiacollections", "--namespace", NAMESPACE])?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("kubectl listed nothing"),
        }
    }

    fn classes(&self) -> Result<BTreeMap<String, Value>> {
        let schema = self.ask(Method::GET, "/v1/schema", None)?;
        let classes = schema["classes"].as_array().cloned().unwrap_or_default();
        Ok(classes.into_iter().map(|class| (class["class"].as_str().unwrap_or_default().to_owned(), class)).collect())
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}:8080{path}", self.host))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        let mut response = self.agent.run(request.body(body.map(Value::to_string).unwrap_or_default())?)?;
        let status = response.status();
        // A thousand classes with all their defaults.
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        ensure!(status.is_success(), "{what}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{what}: no JSON"))
    }

    /// A thousand collections at rest, some of them changed behind the operator's back.
    fn drift(&self, size: &Size) -> Result<Vec<Row>> {
        let prefix = "d";
        let list = collections(prefix, size.thousand, 1, "declared");
        let started = Instant::now();
        self.kubectl.send(&["create", "--filename=-"], &list.to_string())?;
        Watch::start(&self.kubectl, prefix)?.until(size.thousand, stands)?;
        println!("{} collections are as declared after {:.0} s", size.thousand, started.elapsed().as_secs_f64());
        let before = self.versions()?;
        let quiet = Instant::now();
        sleep(Duration::from_secs(2 * INTERVAL));
        let moved = self.versions()?.iter().filter(|(name, version)| before.get(*name) != Some(*version)).count();
        println!("at rest: {moved} of {} objects were written in {} s", size.thousand, quiet.elapsed().as_secs());

        let seen = Watch::start(&self.kubectl, prefix)?.note(size.drifting, |line| match line {
            [_, _, _, _, _, paths] => paths.contains(DRIFTING),
            _ => false,
        });
        let mut changed = BTreeMap::new();
        for number in (0..size.thousand).step_by(size.thousand / size.drifting) {
            let class = class_name(prefix, number);
            let mut body = self.ask(Method::GET, &format!("/v1/schema/{class}"), None)?;
            body[DRIFTING] = json!("drifted");
            self.ask(Method::PUT, &format!("/v1/schema/{class}"), Some(&body))?;
            changed.insert(format!("{prefix}{number}"), Instant::now());
            // Spread over an interval, so that they meet the operator at any moment of its own.
            sleep(Duration::from_secs(INTERVAL) / u32::try_from(size.drifting).unwrap_or(u32::MAX));
        }
        let seen = seen.join().map_err(|_| anyhow::anyhow!("nobody watches any more"))??;
        ensure!(seen.keys().eq(changed.keys()), "drift was seen where there is none, or the other way round");
        let mut seconds: Vec<f64> =
            changed.iter().map(|(name, at)| seen[name].saturating_duration_since(*at).as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        let p99 = seconds[(seconds.len() * 99).div_ceil(100) - 1];
        let condition = format!("{} of {} collections, interval {INTERVAL} s", size.drifting, size.thousand);
        let mut rows = vec![
            Row {
                what: "drift in the status, p99".into(),
                condition: condition.clone(),
                value: p99,
                unit: "s",
                spread: [seconds[0], seconds[seconds.len() - 1]],
                rounds: vec![p99],
            },
            Row::of("drift in the status", &condition, "s", &seconds)?,
            Row::of(
                "objects written at rest",
                &format!("{} s, {} collections", 2 * INTERVAL, size.thousand),
                "",
                &[f64::from(u32::try_from(moved)?)],
            )?,
        ];
        let condition = format!("{} collections", size.thousand);
        let show = class_name(prefix, 7);
        for (what, arguments) in [("col ls", vec!["col", "ls"]), ("col show", vec!["col", "show", &show])] {
            let mut rounds = Vec::new();
            for _ in 0..5 {
                let started = Instant::now();
                self.plug_in(&arguments)?;
                rounds.push(started.elapsed().as_secs_f64());
            }
            rows.push(Row::of(what, &condition, "s", &rounds)?);
        }
        Ok(rows)
    }

    fn versions(&self) -> Result<BTreeMap<String, Value>> {
        let objects = self.objects()?;
        Ok(objects
            .iter()
            .map(|object| (name(object).to_owned(), object["metadata"]["resourceVersion"].clone()))
            .collect())
    }

    fn plug_in(&self, arguments: &[&str]) -> Result<()> {
        let paths = self.ground.paths();
        let mut command = Command::new(paths.target.join("release/kubectl-elysia"));
        command.args(arguments).args(["--namespace", NAMESPACE]).env("KUBECONFIG", paths.kubeconfig());
        let output = command.output().context("failed to start the plug-in")?;
        ensure!(
            output.status.success(),
            "kubectl elysia {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

fn collections(prefix: &str, count: usize, factor: usize, description: &str) -> Value {
    let items: Vec<Value> = (0..count)
        .map(|number| {
            json!({
                "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
                "metadata": {
                    "name": format!("{prefix}{number}"), "namespace": NAMESPACE, "labels": {"bench": label(prefix)},
                },
                "spec": {
                    "clusterRef": {"name": CLUSTER},
                    "collection": class_name(prefix, number),
                    "deletionPolicy": "Delete",
                    "replication": {"factor": factor},
                    "driftPolicy": if factor == 1 { json!([{"path": DRIFTING, "action": "Report"}]) } else { json!([]) },
                    "schema": {
                        "description": description,
                        "shardingConfig": {"desiredCount": 1},
                        "properties": [
                            {"name": "title", "dataType": ["text"]},
                            {"name": "year", "dataType": ["int"]},
                        ],
                    },
                },
            })
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// What becomes of the objects of one round, as `kubectl get --watch` tells it.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(kubectl: &Kubectl, prefix: &str) -> Result<Self> {
        let columns = "custom-columns=EVENT:.type,NAME:.object.metadata.name,WANTED:.object.metadata.generation,SEEN:.object.status.observedGeneration,READY:.object.status.conditions[?(@.type==\"Ready\")].status,DRIFT:.object.status.drift[*].path";
        let mut command = kubectl.command();
        command.args(["get", "elysiacollections", "--namespace", NAMESPACE, "--watch", "--output-watch-events"]);
        // In chunks it would begin with the first five hundred alone.
        command.args([&format!("--selector=bench={}", label(prefix)), "--chunk-size=0"]);
        command.args(["--no-headers", "--output", columns]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start kubectl")?;
        let stdout = child.stdout.take().context("kubectl has no output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Notes when each of this many objects had such a line for the first time.
    fn note(
        mut self,
        count: usize,
        is_it: impl Fn(&[&str]) -> bool + Send + 'static,
    ) -> JoinHandle<Result<BTreeMap<String, Instant>>> {
        std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while seen.len() < count {
                let line = self.lines.next().context("the watch ended early")??;
                let words: Vec<&str> = line.split_whitespace().collect();
                if let (true, Some(name)) = (is_it(&words), words.get(1)) {
                    seen.entry((*name).to_owned()).or_insert_with(Instant::now);
                }
            }
            Ok(seen)
        })
    }

    /// Reads until this many objects had such a line: event, name, generation, the one that was looked at, Ready, paths
    /// of drift.
    fn until(mut self, count: usize, is_it: impl Fn(&[&str]) -> bool) -> Result<()> {
        let mut done = BTreeSet::new();
        while done.len() < count {
            let line = self.lines.next().context("the watch ended early")??;
            let words: Vec<&str> = line.split_whitespace().collect();
            if is_it(&words) {
                done.extend(words.get(1).map(|name| (*name).to_owned()));
            }
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It ends by itself otherwise, when the namespace goes: nothing more can be done here.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Whether a line of the watch is of an object that was looked at and is as declared.
fn stands(line: &[&str]) -> bool {
    matches!(line, [_, _, wanted, seen, "True", _] if wanted == seen)
}

/// The label of the objects of one round.
fn label(prefix: &str) -> &str {
    prefix.trim_end_matches('-')
}

/// The collection of an object: `o3-17` has `O3x17`.
fn class_name(prefix: &str, number: usize) -> String {
    format!("{}{number}", prefix.replace('-', "x").to_uppercase().replace('X', "x"))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_ready(object: &Value) -> bool {
    let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    let conditions = object["status"]["conditions"].as_array();
    current
        && conditions.is_some_and(|conditions| {
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        })
}

fn until(what: &str, look: impl FnMut() -> Result<bool>) -> Result<()> {
    let mut look = look;
    let started = Instant::now();
    while !look()? {
        ensure!(started.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(POLL);
    }
    Ok(())
}
