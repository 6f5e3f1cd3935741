//! The cluster that the demo plays in: kubectl, `kubectl elysia`, and waiting.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::{Ground, Paths, cargo, elapsed, wait_for_every};
use serde_json::Value;

use super::steps::tell;

/// Everything of the demo is in it.
pub(super) const NAMESPACE: &str = "demo";

/// Between two looks: each is a process that the two cores have to start.
const PAUSE: Duration = Duration::from_millis(400);

/// Kubernetes looks again at a namespace only after half the grace period of its slowest pod.
const GOING: Duration = Duration::from_secs(10 * 60);

pub(super) struct Stage {
    pub(super) paths: Paths,
    kubectl: PathBuf,
    place: Place,
}

enum Place {
    Ground,
    Context(String),
}

/// What `kubectl elysia health` said.
pub(super) struct Health {
    pub(super) code: i32,
    text: String,
}

impl Stage {
    pub(super) fn on_ground(ground: &Ground) -> Self {
        let kubectl = ground.kubectl().command().get_program().into();
        Self { paths: ground.paths().clone(), kubectl, place: Place::Ground }
    }

    pub(super) fn elsewhere(context: &str) -> Self {
        Self { paths: Paths::from_environment(), kubectl: "kubectl".into(), place: Place::Context(context.to_owned()) }
    }

    /// kubectl in the demo's namespace. Flags come last, because kubectl wants a plug-in's name before them.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).args(["--namespace", NAMESPACE]).stdin(Stdio::null());
        match &self.place {
            Place::Ground => command.env("KUBECONFIG", self.paths.kubeconfig()),
            Place::Context(context) => command.args(["--context", context]),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.paths.target.join("debug")].into_iter().chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        command
    }

    /// What kubectl printed; its error output is the error.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        finished(arguments, self.kubectl(arguments).output())
    }

    pub(super) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "--output=json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    pub(super) fn apply(&self, manifest: &str) -> Result<()> {
        tell(self.send(&["apply", "--filename=-"], manifest)?);
        Ok(())
    }

    /// Runs kubectl with a manifest on its standard input.
    pub(super) fn send(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let mut command = self.kubectl(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start kubectl")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(manifest.as_bytes()).context("kubectl read no manifest")?;
        }
        finished(arguments, child.wait_with_output())
    }

    pub(super) fn apply_example(&self, name: &str) -> Result<()> {
        let file = self.paths.checkout.join("examples").join(name);
        tell(self.run(&["apply", "--filename", &file.to_string_lossy()])?);
        Ok(())
    }

    pub(super) fn ensure_namespace(&self) -> Result<()> {
        let phase =
            || self.run(&["get", "namespace", NAMESPACE, "--ignore-not-found", "--output=jsonpath={.status.phase}"]);
        if phase()? == "Terminating" {
            tell(format!("the namespace {NAMESPACE} of an earlier demo is going: waiting for its end"));
            until(&format!("the namespace {NAMESPACE} to go"), GOING, || Ok(phase()?.is_empty().then_some(())))?;
        }
        if phase()?.is_empty() {
            tell(self.run(&["create", "namespace", NAMESPACE])?);
        }
        Ok(())
    }

    /// Compiles the plug-in, which is done already where the operator's image was made from the working tree.
    pub(super) fn ensure_plug_in(&self) -> Result<()> {
        let mut command = cargo(&self.paths);
        command.args(["build", "--quiet", "--package", "elysia-operator", "--bin", "kubectl-elysia"]);
        ensure!(command.status().context("failed to start cargo")?.success(), "the plug-in does not compile");
        Ok(())
    }

    /// Applies a feed. One that is there already has run, and nobody tells it that the files were written again: it is
    /// asked for one more run.
    pub(super) fn apply_feed(&self, name: &str, manifest: &str) -> Result<()> {
        let is_there = !self.run(&["get", "indexsource", name, "--ignore-not-found", "--output=name"])?.is_empty();
        self.apply(manifest)?;
        if !is_there {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let annotation = format!("elysia.dev/run-now={now}");
        tell(self.run(&["annotate", "indexsource", name, &annotation, "--overwrite"])?);
        until(&format!("the operator to see {annotation}"), Duration::from_secs(60), || {
            let feed = self.get(&["indexsource", name])?;
            Ok((feed["status"]["lastHandled"] == now).then_some(()))
        })
    }

    /// The pods of a Weaviate cluster; a node has its pod's name.
    pub(super) fn nodes(&self, cluster: &str) -> Result<Vec<String>> {
        let claim = format!("statefulset/{cluster}");
        let count = self.get(&[&claim])?["spec"]["replicas"].as_u64().context("the StatefulSet has no replicas")?;
        Ok((0..count).map(|ordinal| format!("{cluster}-{ordinal}")).collect())
    }

    pub(super) fn health(&self) -> Result<Health> {
        let color = if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { "always" } else { "never" };
        let output = self.kubectl(&["elysia", "health", "--color", color]).output();
        let output = output.context("failed to start kubectl")?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().with_context(|| format!("`kubectl elysia health` was killed: {complaints}"))?;
        ensure!((0..=2).contains(&code), "`kubectl elysia health` failed: {complaints}");
        Ok(Health { code, text: String::from_utf8_lossy(&output.stdout).into_owned() })
    }

    pub(super) fn show(&self, health: &Health) {
        let context = match &self.place {
            Place::Ground => String::new(),
            Place::Context(context) => format!(" --context {context}"),
        };
        tell(format!("\n$ kubectl elysia health --namespace {NAMESPACE}{context}\n{}", health.text.trim_end()));
        tell(format!("(exit code {})\n\n", health.code));
    }

    /// The command after which a shell has what it needs here.
    pub(super) fn preparation(&self) -> String {
        match &self.place {
            Place::Ground => format!("source {}", self.paths.environment_file().display()),
            Place::Context(context) => {
                let programs = self.paths.target.join("debug");
                format!("kubectl config use-context {context}; PATH={}:$PATH", programs.display())
            }
        }
    }

    pub(super) fn is_ground(&self) -> bool {
        matches!(self.place, Place::Ground)
    }

    /// Waits until a condition is True for the present spec, and tells what its object says meanwhile.
    pub(super) fn wait_for(&self, object: &str, condition: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        let mut told = String::new();
        let waited = until(&format!("{object} to be {condition}"), limit, || {
            let seen = self.get(&[object])?;
            let status = &seen["status"];
            if status["observedGeneration"] != seen["metadata"]["generation"] {
                return Ok(None);
            }
            if let Some(stalled) = of_type(status, "Stalled").filter(|stalled| stalled["status"] == "True") {
                bail!("{object} needs a person: {}", text(stalled, "message"));
            }
            let Some(found) = of_type(status, condition) else { return Ok(None) };
            let now = format!("{object}: {}", short(text(found, "message")));
            if now != told {
                tell(&now);
                told = now;
            }
            Ok((found["status"] == "True").then_some(()))
        });
        if waited.is_err() {
            self.show(&self.health()?);
        }
        waited?;
        tell(format!("{object} is {condition} after {}", elapsed(started)));
        Ok(())
    }
}

/// Asks again and again until the probe has an answer; an error of the probe ends the wait at once.
pub(super) fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_for_every(PAUSE, what, limit, probe)
}

/// Tries again and again until it succeeds; the last failure is the error.
pub(super) fn retry<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let waited = until("it to succeed", limit, || {
        Ok(match attempt() {
            Ok(done) => Some(done),
            Err(failure) => {
                last = Some(failure);
                None
            }
        })
    });
    waited.map_err(|timeout| last.unwrap_or(timeout))
}

fn of_type<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A message as it stands, if it fits a line; otherwise what it begins with.
fn short(message: &str) -> &str {
    if message.chars().count() <= 90 { message } else { message.split("; ").next().unwrap_or(message) }
}

fn finished(arguments: &[&str], output: std::io::Result<Output>) -> Result<String> {
    let output = output.context("failed to start kubectl")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {} failed: {}", arguments.join(" "), complaints.trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
