//! How long a list of many runs takes, the process included: of a folder and of a bucket, by what the owner of the place
//! noted for lists, and by the runs alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo};
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use serde_json::{Value, json};

use super::{Row, report};

/// Runs that are listed.
const RUNS: usize = 1000;
const BUCKET: &str = "catalogue";
/// Whose the place is.
const POLICY: &str = "by-hand";
/// Lists of each kind; the first of them brings the files into memory.
const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 3;

pub(super) fn run(quick: bool) -> Result<()> {
    let paths = Paths::from_environment();
    let mut command = cargo(&paths);
    command.args(["build", "--release", "--workspace", "--exclude", "elysia-e2e", "--exclude", "xtask"]);
    command.args(["--bin", "kubectl-elysia"]);
    ensure!(command.status().context("failed to start cargo")?.success(), "the plug-in does not compile");
    let mut rows = Vec::new();
    measure(&paths, quick, &mut rows)?;
    report(&paths.target, "catalogue", &json!({"operator": env!("CARGO_PKG_VERSION")}), &rows, &json!({}))
}

/// Measures with the plug-in that is compiled as a release is.
pub(super) fn measure(paths: &Paths, quick: bool, rows: &mut Vec<Row>) -> Result<()> {
    let folder = paths.target.join("bench/catalogue");
    let _ = fs::remove_dir_all(&folder);
    let bucket = S3Server::start("127.0.0.1", &[BUCKET])?;
    let endpoint = bucket.endpoint();
    let place = format!("s3://{BUCKET}/place");
    let named = folder.display().to_string();
    for (kind, root, store) in [
        ("a folder", folder.clone(), vec!["--store", &named]),
        ("an S3 server", bucket.folder().join(BUCKET).join("place"), vec!["--store", &place, "--endpoint", &endpoint]),
    ] {
        make(&root)?;
        let plugin = Plugin { paths, store };
        let reread = plugin.rounds(&["--reread"], quick)?;
        // One run more than is measured: its owner takes it away, and notes what the others say.
        plugin.said(&["backup", "rm", &id(RUNS), "--yes"])?;
        let noted = plugin.rounds(&[], quick)?;
        for (how, rounds) in [("noted by the owner", noted), ("each run read", reread)] {
            rows.push(Row::of(&format!("catalogue of {RUNS} runs in {kind}"), how, "ms", &rounds)?);
        }
    }
    fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))
}

struct Plugin<'a> {
    paths: &'a Paths,
    store: Vec<&'a str>,
}

impl Plugin<'_> {
    /// Milliseconds of each list.
    fn rounds(&self, more: &[&str], quick: bool) -> Result<Vec<f64>> {
        let count = if quick { QUICK_ROUNDS } else { ROUNDS };
        let mut rounds = Vec::new();
        for _ in 0..count {
            let started = Instant::now();
            let listed = self.said(&[&["backup", "ls", "--output", "json"], more].concat())?;
            rounds.push(started.elapsed().as_secs_f64() * 1000.0);
            let listed: Value = serde_json::from_slice(&listed).context("`backup ls` prints no JSON")?;
            let runs = listed["runs"].as_array().context("`backup ls` tells no runs")?;
            let count = runs.iter().filter(|run| run["state"] == "Complete").count();
            ensure!(count >= RUNS, "{count} of {RUNS} runs were listed");
        }
        Ok(rounds)
    }

    fn said(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(self.paths.target.join("release/kubectl-elysia"));
        command.args(arguments).args(&self.store).stdin(Stdio::null());
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        let output = command.output().context("failed to start the plug-in")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }
}

fn id(number: usize) -> String {
    format!("2026{:02}{:02}T{:02}0000Z-{number:04x}", number / 25 % 12 + 1, number % 25 + 1, number % 24)
}

/// A place with runs as a policy makes them, each of one collection with some parts.
fn make(root: &Path) -> Result<()> {
    let owner = json!({"cluster": "bench/search", "policy": POLICY});
    let since = "2026-01-01T00:00:00Z";
    let said = |more: Value| {
        let mut value = json!({"format": "elysia-backup", "version": 1});
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        value
    };
    write(&root.join("owner.json"), &said(json!({"owner": owner, "since": since})))?;
    for number in 0..=RUNS {
        let run = id(number);
        let folder = root.join("runs").join(&run);
        for part in 0..4 {
            write(&folder.join(format!("data/Articles/part-00-0000{part}.parquet")), &json!("a part"))?;
        }
        let digest = "0".repeat(64);
        let collection = json!({
            "name": "Articles", "objects": number, "digest": digest, "parts": 4, "bytes": 32,
            "replicas": {"compared": true, "differing": 0},
            "index": {"key": "index/Articles.json", "bytes": 1, "sha256": digest},
        });
        let manifest = json!({
            "run": run, "owner": owner, "startedAt": since, "finishedAt": since, "tool": "bench", "data": "parquet",
            "source": {"weaviate": "1.38.2", "nodes": 3}, "collections": [collection],
        });
        write(&folder.join("begun.json"), &said(json!({"owner": owner, "at": since})))?;
        write(&folder.join("index/Articles.json"), &json!("an index"))?;
        write(&folder.join("judged.json"), &said(json!({"at": since})))?;
        write(&folder.join("manifest.json"), &said(manifest))?;
        // Of another manifest, which takes as long to find out as of this one.
        write(&folder.join("verified.json"), &said(json!({"at": since, "manifest": digest})))?;
    }
    Ok(())
}

fn write(file: &Path, value: &Value) -> Result<()> {
    let folder = file.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::write(file, value.to_string()).with_context(|| format!("failed to write {}", file.display()))
}
