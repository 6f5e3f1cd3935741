//! What the benches of data share: three real servers with one collection of factor 3, the Python client, and a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo};
use elysia_e2e::servers::{Servers, ServersOptions};
use serde_json::{Value, json};
use ureq::Agent;

use super::index::{Figures, figures};
use super::python::Python;

/// The collection that is filled, read and restored.
pub(super) const COLLECTION: &str = "Bench";
/// Its replicas.
pub(super) const FACTOR: usize = 3;
/// Longest wait for a server to tell all objects that it confirmed.
const COUNTED: Duration = Duration::from_secs(60);
/// Between two looks at their number.
const POLL: Duration = Duration::from_millis(200);

/// Where a bench is measured.
pub(super) struct Stage {
    pub(super) paths: Paths,
    pub(super) python: Python,
    pub(super) agent: Agent,
    pub(super) folder: PathBuf,
    pub(super) servers: Servers,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// Compiles these programs as a release is, for what is measured must be what users run, and starts the servers with
    /// these variables. In one go over the whole workspace: a package by itself would have its dependencies compiled
    /// anew, with other features.
    pub(super) fn set(
        name: &str,
        programs: &[&str],
        environment: impl FnOnce(&std::path::Path) -> BTreeMap<String, String>,
    ) -> Result<Self> {
        let paths = Paths::from_environment();
        let mut command = cargo(&paths);
        command.args(["build", "--release", "--workspace", "--exclude", "elysia-e2e", "--exclude", "xtask"]);
        command.args(programs);
        ensure!(
            command.status().context("failed to start cargo")?.success(),
            "what is to be measured does not compile"
        );
        let python = Python::prepare(&paths.target)?;
        let folder = paths.target.join("bench").join(name);
        fs::create_dir_all(&folder)?;
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).proxy(None).build();
        let environment = environment(&folder);
        let servers = Servers::start(ServersOptions { environment, ..ServersOptions::default() })?;
        Ok(Self { paths, python, agent: config.into(), folder, servers })
    }

    pub(super) fn rest(&self) -> Result<String> {
        self.servers.rest("w-0")
    }

    pub(super) fn create(&self) -> Result<()> {
        let text = |name: &str| json!({"name": name, "dataType": ["text"]});
        let class = json!({
            "class": COLLECTION,
            "vectorizer": "none",
            "properties": [text("repo"), text("path"), text("content"), text("language"),
                {"name": "lines", "dataType": ["int"]}],
            "replicationConfig": {"factor": FACTOR},
            "shardingConfig": {"desiredCount": 3},
        });
        self.servers.create_class("w-0", &class)
    }

    pub(super) fn delete(&self) -> Result<()> {
        let address = format!("{}/v1/schema/{COLLECTION}", self.rest()?);
        self.agent.delete(address).call().map(drop).context("failed to delete a class")
    }

    /// What the servers say how many there are.
    pub(super) fn count(&self) -> Result<usize> {
        let query = json!({"query": format!("{{Aggregate{{{COLLECTION}{{meta{{count}}}}}}}}")});
        let mut answer = self.agent.post(format!("{}/v1/graphql", self.rest()?)).send_json(&query)?;
        let answer: Value = answer.body_mut().read_json()?;
        let count = answer["data"]["Aggregate"][COLLECTION][0]["meta"]["count"].as_u64();
        Ok(usize::try_from(count.with_context(|| format!("no count: {answer}"))?)?)
    }

    /// Waits until there are so many.
    pub(super) fn counted(&self, objects: usize) -> Result<()> {
        let started = Instant::now();
        loop {
            let count = self.count()?;
            if count == objects {
                return Ok(());
            }
            ensure!(started.elapsed() < COUNTED, "{objects} objects were confirmed, and the collection has {count}");
            sleep(POLL);
        }
    }

    /// Runs an example of the client and reads its figures.
    pub(super) fn example(&self, name: &str, arguments: &[&str], grpc: &[String]) -> Result<Figures> {
        let mut command = Command::new(self.paths.target.join("release/examples").join(name));
        command.args(arguments).args(grpc).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("failed to start {name}"))?;
        ensure!(output.status.success(), "{name} failed");
        figures(&serde_json::from_slice(&output.stdout).with_context(|| format!("{name} printed no JSON"))?)
    }

    /// Where each node speaks gRPC.
    pub(super) fn grpc(&self) -> Result<Vec<String>> {
        self.servers.names().iter().map(|node| self.servers.grpc(node)).collect()
    }
}

/// The port of an address, which is what Python is told.
pub(super) fn port(url: &str) -> String {
    url.rsplit(':').next().unwrap_or_default().to_owned()
}
