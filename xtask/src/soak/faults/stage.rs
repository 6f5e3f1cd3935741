//! Runs the worker as its Jobs do, and looks at what lies in a place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::Paths;
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use elysia_e2e::servers::Servers;
use serde_json::{Value, json};

use super::board::Board;
use super::copy;
use crate::soak::programs::{OPERATOR, PLUG_IN, Programs};

/// The collection without tenants.
pub(in crate::soak) const ARTICLES: &str = "Articles";
/// The one with them.
pub(in crate::soak) const TENANTED: &str = "Tenanted";
/// What a restore makes.
const RESTORED: &str = "Restored";
/// Whose the runs are.
const POLICY: &str = "lab/nightly (u)";
/// Longer than anything takes that is not wrong.
const DEADLINE_SECONDS: u64 = 600;

/// A store: how a worker is told of it, and where its files are on this machine.
pub(in crate::soak) struct Place {
    /// For people.
    pub(in crate::soak) kind: &'static str,
    pub(in crate::soak) root: PathBuf,
    pub(in crate::soak) work: Value,
    /// The same for the plug-in.
    pub(in crate::soak) arguments: Vec<String>,
    /// What opens it: variables of the worker, and of the plug-in.
    pub(in crate::soak) environment: Vec<(&'static str, String)>,
}

impl Place {
    pub(in crate::soak) fn folder(root: &Path) -> Self {
        let path = root.display().to_string();
        Self {
            kind: "folder",
            root: root.to_owned(),
            work: json!({"folder": path}),
            arguments: vec!["--store".to_owned(), path],
            environment: Vec::new(),
        }
    }

    /// `endpoint`: the server, or a gate before it.
    pub(in crate::soak) fn bucket(server: &S3Server, bucket: &str, prefix: &str, endpoint: &str) -> Self {
        let store = format!("s3://{bucket}/{prefix}");
        let arguments = ["--store", &store, "--endpoint", endpoint];
        Self {
            kind: "bucket",
            root: server.folder().join(bucket).join(prefix),
            work: json!({"s3": {"bucket": bucket, "prefix": prefix, "endpoint": endpoint, "anonymous": false}}),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: s3_key(SECRET_ACCESS_KEY),
        }
    }

    /// Makes it what another one is.
    pub(in crate::soak) fn copy_of(&self, whole: &Self) -> Result<()> {
        copy(&whole.root, &self.root)
    }
}

/// What opens a bucket of S3, for the worker and for the plug-in.
pub(in crate::soak) fn s3_key(secret: &str) -> Vec<(&'static str, String)> {
    let [id, secret] = [ACCESS_KEY_ID, secret].map(str::to_owned);
    vec![
        ("ELYSIA_S3_ACCESS_KEY_ID", id.clone()),
        ("ELYSIA_S3_SECRET_ACCESS_KEY", secret.clone()),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ]
}

/// What became of a worker.
#[derive(Debug)]
pub(in crate::soak) struct Outcome {
    /// Its exit code.
    pub(in crate::soak) code: i32,
    /// What it wrote into its ledger.
    pub(in crate::soak) ledger: Value,
    /// The end of what it said.
    #[expect(dead_code, reason = "printed with the rest when something is wrong")]
    said: String,
}

/// What all of it needs.
pub(in crate::soak) struct Stage {
    pub(in crate::soak) paths: Paths,
    /// Everything that is made here; removed at the end.
    pub(in crate::soak) folder: PathBuf,
    programs: Programs,
    board: Board,
    endpoints: Value,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// `name`: that of the soak.
    pub(in crate::soak) fn set(paths: Paths, name: &str, servers: &Servers) -> Result<Self> {
        let folder = paths.target.join("soak").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let programs = Programs::compile(&paths, &folder, &[OPERATOR, PLUG_IN])?;
        let board = Board::open()?;
        board.write_config(&folder.join("kubeconfig"))?;
        let endpoints = json!({"rest": servers.rest("w-0")?, "grpc": servers.grpc("w-0")?, "nodes": []});
        Ok(Self { paths, folder, programs, board, endpoints })
    }

    /// A Job of a policy.
    pub(in crate::soak) fn backup(
        &self,
        place: &Place,
        cluster: &str,
        order: &str,
        retention: &Value,
    ) -> Result<Outcome> {
        let work = json!({
            "backup": {
                "namespace": "lab", "name": "nightly", "uid": "u", "run": "",
                "owner": {"cluster": cluster, "policy": POLICY},
                "endpoints": self.endpoints, "store": place.work, "how": {"data": "jsonlGzip"},
            },
            "order": order, "ledger": "nightly-backups", "maxShrink": 50, "verify": true, "retention": retention,
            "deadlineSeconds": DEADLINE_SECONDS,
        });
        self.board.clear();
        self.worker("backup", place, "ELYSIA_BACKUP_WORK", &work)
    }

    /// A Job of a restore, into a collection of its own.
    pub(in crate::soak) fn restore(
        &self,
        place: &Place,
        cluster: &str,
        run: &str,
        collection: &str,
    ) -> Result<Outcome> {
        let work = json!({
            "restore": {
                "namespace": "lab", "name": "back", "uid": "v", "run": run, "collection": collection, "into": RESTORED,
                "conflict": "Fail", "receipt": format!("{run}-{collection}"), "target": cluster,
                "endpoints": self.endpoints, "store": place.work,
            },
            "knownAs": "back", "order": "o", "ledger": "back-restored", "deadlineSeconds": DEADLINE_SECONDS,
            // As the operator says of a volume.
            "keepsReceipt": place.kind == "folder",
        });
        self.board.clear();
        self.worker("restore", place, "ELYSIA_RESTORE_WORK", &work)
    }

    fn worker(&self, command: &str, place: &Place, variable: &str, work: &Value) -> Result<Outcome> {
        let mut worker = self.programs.command(OPERATOR);
        worker.args(["worker", command]).env(variable, work.to_string());
        worker.env("KUBECONFIG", self.folder.join("kubeconfig"));
        worker.envs(place.environment.iter().cloned());
        let output = worker.output().context("failed to start the worker")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let said = said.chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect();
        let code = output.status.code().unwrap_or(-1);
        Ok(Outcome { code, ledger: self.board.read("ledger.json"), said })
    }

    /// What `backup verify` finds, as JSON.
    pub(in crate::soak) fn verify(&self, place: &Place, run: &str) -> Result<Value> {
        let mut command = self.plug_in(&["backup", "verify", run, "--output", "json"], place);
        let output = command.output().context("failed to start the plug-in")?;
        let problem = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| format!("backup verify: {}: {problem}", output.status))
    }

    /// Damages the oldest run; its id.
    pub(in crate::soak) fn damage(place: &Place, damage: &str) -> Result<String> {
        let mut python = Command::new("python3");
        python.arg("-c").arg(include_str!("damage.py")).arg(&place.root).arg(damage);
        let output = python.output().context("failed to start python3")?;
        ensure!(output.status.success(), "{damage}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes so many runs of one.
    pub(in crate::soak) fn multiply(place: &Place, count: u32) -> Result<()> {
        let mut python = Command::new("python3");
        python.arg("-c").arg(include_str!("many.py")).arg(&place.root).arg(count.to_string());
        let output = python.output().context("failed to start python3")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Its owner verifies a run, whatever comes of it, and notes for lists what all of them say.
    pub(in crate::soak) fn noted(&self, place: &Place) -> Result<()> {
        let mut command = self.plug_in(&["backup", "verify", "latest", "--policy", POLICY], place);
        command.output().map(drop).context("failed to start the plug-in")
    }

    /// Runs that `backup ls` tells of, and how long it takes.
    pub(in crate::soak) fn listed(&self, place: &Place) -> Result<(usize, Duration)> {
        let mut command = self.plug_in(&["backup", "ls", "--output", "json"], place);
        let started = Instant::now();
        let output = command.output().context("failed to start the plug-in")?;
        let took = started.elapsed();
        let listed: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("backup ls: {}", String::from_utf8_lossy(&output.stderr)))?;
        let runs = listed["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok((runs.iter().filter(|run| run["state"] == "Complete").count(), took))
    }

    /// The plug-in, told where runs lie.
    pub(in crate::soak) fn plug_in(&self, arguments: &[&str], place: &Place) -> Command {
        let mut command = self.programs.command(PLUG_IN);
        command.args(arguments).args(&place.arguments).envs(place.environment.iter().cloned());
        command
    }

    /// Folders of runs that have a manifest.
    pub(in crate::soak) fn manifests(place: &Place) -> Result<Vec<String>> {
        let runs = place.root.join("runs");
        if !runs.exists() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(runs)? {
            let entry = entry?;
            if entry.path().join("manifest.json").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    pub(in crate::soak) fn has_run(place: &Place) -> Result<bool> {
        Ok(!Self::manifests(place)?.is_empty())
    }

    /// Drops what a restore made, if it made anything.
    pub(in crate::soak) fn forget_restored(servers: &Servers) -> Result<()> {
        // One that is not there need not be dropped.
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let address = format!("{}/v1/schema/{RESTORED}", servers.rest("w-0")?);
        agent.delete(address).call().map(drop).context("failed to drop a restored collection")
    }
}

impl Outcome {
    /// Why it failed; these words have to be in it.
    pub(in crate::soak) fn failure(&self, words: &str) -> Result<String> {
        let message = match &self.ledger["attempt"] {
            Value::Null => &self.ledger["message"],
            attempt => &attempt["message"],
        };
        let message = message.as_str().with_context(|| format!("nothing failed: {self:?}"))?;
        ensure!(message.contains(words), "`{words}` is not in: {message}");
        ensure!(self.code != 0, "it failed and says that it did not: {self:?}");
        Ok(message.to_owned())
    }

    /// It went well.
    pub(in crate::soak) fn is_done(&self) -> Result<()> {
        ensure!(self.code == 0 && self.attempt()["stage"] == "Done", "{self:?}");
        Ok(())
    }

    /// What a backup's ledger says of it.
    pub(in crate::soak) fn attempt(&self) -> &Value {
        &self.ledger["attempt"]
    }
}

/// Nothing is told beside the outcome but that nobody knows how large a first run will be.
pub(in crate::soak) fn is_untroubled(outcome: &Outcome) -> bool {
    let trouble = &outcome.attempt()["trouble"];
    trouble.as_str().map_or(trouble.is_null(), |told| told.starts_with("nobody knows how large the run will be"))
}

/// A folder on which something is mounted as long as this lives.
pub(in crate::soak) struct Mounted(PathBuf);

impl Mounted {
    /// A small disk in memory.
    pub(in crate::soak) fn small(folder: &Path, size: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        mount(&["-t", "tmpfs", "-o", size, "tmpfs"], folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// An empty folder that can only be read.
    pub(in crate::soak) fn read_only(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        mount(&["-t", "tmpfs", "-o", "ro", "tmpfs"], folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// A copy of another folder that can only be read.
    pub(in crate::soak) fn read_only_copy(folder: &Path, of: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let source = of.display().to_string();
        mount(&["--bind", &source], folder)?;
        let mounted = Self(folder.to_owned());
        mount(&["-o", "remount,bind,ro"], folder)?;
        Ok(mounted)
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<()> {
    let status = Command::new("mount").args(arguments).arg(folder).status().context("failed to start mount")?;
    ensure!(status.success(), "failed to mount at {}; that needs root", folder.display());
    Ok(())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
