//! Backups and restores of real servers whose process is killed at random moments. Afterwards either there is a whole run,
//! which verifies, or there is none; and a restore that goes on comes to what the source holds, by the digest of all
//! objects and vectors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::Paths;
use elysia_e2e::servers::{Servers, ServersOptions};
use serde_json::{Value, json};

use super::engine::{self, Build};
use super::programs::{PLUG_IN, Programs, told};
use crate::bench::write_feed;

/// Kills, unless `ELYSIA_SOAK_KILLS` says otherwise.
const KILLS: usize = 200;
/// Kills of one restore: the next one goes on.
const KILLS_OF_ONE: usize = 3;
const COLLECTION: &str = "Bench";
/// Seconds of work: moments enough to be killed in, and several parts of a small page.
const OBJECTS: usize = 6_000;
const DIMENSIONS: usize = 64;
/// Runs that a store holds before it is emptied.
const RUNS: usize = 12;

pub(super) fn run() -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = number("ELYSIA_SOAK_KILLS").map_or(Ok(KILLS), usize::try_from)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = number("ELYSIA_SOAK_SEED").unwrap_or(now);
    println!("{wanted} kills, ELYSIA_SOAK_SEED={seed}");
    let soak = Soak::set()?;
    let mut random = Random(seed | 1);
    let mut told = Told::default();
    let started = Instant::now();

    let (run, length) = soak.whole_backup(&soak.store)?;
    let digest = soak.digest(&soak.store, &run, COLLECTION)?;
    let restore_length = soak.whole_restore(&run, &digest)?;
    println!("a backup takes {length:?}, a restore {restore_length:?}");
    while told.kills() < wanted {
        if random.below(2) == 0 {
            soak.killed_backup(&mut random, length, &mut told)?;
        } else {
            soak.killed_restore(&mut random, &run, &digest, restore_length, &mut told)?;
        }
        println!("{told:?}");
    }
    let figures = json!({
        "name": "backup", "seed": seed, "objects": OBJECTS, "dimensions": DIMENSIONS, "seconds": started.elapsed().as_secs(),
        "backups killed": told.backups, "of those a whole run all the same": told.whole, "no run": told.none,
        "restores killed": told.restores, "restores that went on to the end": told.ended, "differing": 0,
    });
    let folder = soak.paths.target.join("soak");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("backup.json"), figures.to_string()).context("failed to write the figures")?;
    // A thousand runs and restores with injected faults, by the engine over ports in memory: of the runs 99.9 %, of the
    // restores 95 % have to succeed, and everything that succeeds has to be what was there.
    engine::run("backup-simulated", "backup", Build::Checked)
}

/// What happened so far.
#[derive(Debug, Default)]
struct Told {
    backups: usize,
    whole: usize,
    none: usize,
    restores: usize,
    ended: usize,
}

impl Told {
    fn kills(&self) -> usize {
        self.backups + self.restores
    }
}

/// xorshift64*: the same numbers everywhere, and no dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end.max(1)
    }

    /// A moment of something that takes about so long, or right behind its end.
    fn moment(&mut self, length: Duration) -> Duration {
        let most = u64::try_from(length.as_millis()).unwrap_or(u64::MAX) * 11 / 10;
        Duration::from_millis(self.below(most))
    }
}

struct Soak {
    paths: Paths,
    programs: Programs,
    servers: Servers,
    folder: PathBuf,
    /// Where the run lies that is restored.
    store: PathBuf,
}

impl Drop for Soak {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Soak {
    fn set() -> Result<Self> {
        let paths = Paths::from_environment();
        let folder = paths.target.join("soak/backup");
        fs::create_dir_all(&folder)?;
        let store = folder.join("kept");
        fs::create_dir_all(&store)?;
        let programs = Programs::compile(&paths, &folder, &[PLUG_IN])?;
        let servers = Servers::start(ServersOptions::default())?;
        let soak = Self { paths, programs, servers, folder, store };
        let text = |name: &str| json!({"name": name, "dataType": ["text"]});
        let class = json!({
            "class": COLLECTION, "vectorizer": "none", "shardingConfig": {"desiredCount": 3},
            "replicationConfig": {"factor": 3},
            "properties": [text("repo"), text("path"), text("content"), text("language"), {"name": "lines", "dataType": ["int"]}],
        });
        soak.servers.create_class("w-0", &class)?;
        let feed = soak.folder.join("feed.jsonl");
        write_feed(&feed, OBJECTS, DIMENSIONS)?;
        let feed = feed.display().to_string();
        soak.told(&["index", "run", &feed, "--collection", COLLECTION, "--consistency", "all"])?;
        Ok(soak)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let is_of_the_store = matches!(arguments, ["backup", "ls" | "show" | "verify", ..]);
        self.programs.plug_in((!is_of_the_store).then_some(&self.servers), arguments)
    }

    fn told(&self, arguments: &[&str]) -> Result<Value> {
        told(self.command(arguments)?)
    }

    /// Starts a command and kills it at a moment; whether it had ended by then.
    fn killed(&self, arguments: &[&str], moment: Duration) -> Result<bool> {
        let mut child = self.command(arguments)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        sleep(moment);
        let ended = child.try_wait()?.is_some();
        child.kill()?;
        child.wait()?;
        Ok(ended)
    }

    fn whole_backup(&self, store: &Path) -> Result<(String, Duration)> {
        let started = Instant::now();
        let store = store.display().to_string();
        let made = self.told(&["backup", "create", COLLECTION, "--store", &store])?;
        Ok((made["id"].as_str().context("a run has an id")?.to_owned(), started.elapsed()))
    }

    fn whole_restore(&self, run: &str, digest: &Value) -> Result<Duration> {
        let started = Instant::now();
        let store = self.store.display().to_string();
        self.told(&["restore", run, COLLECTION, "--into", "Whole", "--store", &store])?;
        let length = started.elapsed();
        self.equals("Whole", digest)?;
        Ok(length)
    }

    /// What a run says of a collection: its objects and the digest of all that is in them.
    fn digest(&self, store: &Path, run: &str, collection: &str) -> Result<Value> {
        let store = store.display().to_string();
        let manifest = self.told(&["backup", "show", run, "--store", &store])?;
        let notes = manifest["collections"].as_array().context("a manifest names its collections")?;
        let note = notes.iter().find(|note| note["name"] == collection).context("it is not in the run")?;
        Ok(json!([note["objects"], note["digest"]]))
    }

    /// The collection holds what the run does; it is dropped then.
    fn equals(&self, collection: &str, digest: &Value) -> Result<()> {
        let store = self.folder.join("compared");
        fs::create_dir_all(&store)?;
        let text = store.display().to_string();
        let made = self.told(&["backup", "create", collection, "--store", &text])?;
        let run = made["id"].as_str().context("a run has an id")?;
        let found = self.digest(&store, run, collection)?;
        ensure!(found == *digest, "{collection} holds {found} instead of {digest}");
        fs::remove_dir_all(&store)?;
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let class = format!("{}/v1/schema/{collection}", self.servers.rest("w-0")?);
        agent.delete(class).call().map(drop).context("failed to drop a restored collection")
    }

    fn killed_backup(&self, random: &mut Random, length: Duration, told: &mut Told) -> Result<()> {
        let store = self.folder.join("killed");
        fs::create_dir_all(&store)?;
        let text = store.display().to_string();
        let before = self.runs(&text)?;
        self.killed(&["backup", "create", COLLECTION, "--store", &text], random.moment(length))?;
        told.backups += 1;
        let runs = self.runs(&text)?;
        let new = runs.iter().filter(|run| !before.contains(run)).collect::<Vec<_>>();
        ensure!(new.len() <= 1, "one backup, and {} runs", new.len());
        match new.first() {
            None => told.none += 1,
            Some(run) => {
                told.whole += 1;
                self.told(&["backup", "verify", run, "--store", &text])?;
            }
        }
        if fs::read_dir(store.join("runs")).map_or(0, Iterator::count) > RUNS {
            fs::remove_dir_all(&store)?;
        }
        Ok(())
    }

    fn runs(&self, store: &str) -> Result<Vec<String>> {
        let listed = self.told(&["backup", "ls", "--store", store])?;
        let runs = listed["runs"].as_array().context("a list has runs")?;
        let unreadable = runs.iter().find(|run| run["state"] != "Complete" && run["state"] != "Unfinished");
        ensure!(unreadable.is_none(), "what was cut off is neither a run nor the beginning of one: {listed}");
        let whole = runs.iter().filter(|run| run["state"] == "Complete");
        Ok(whole.filter_map(|run| run["id"].as_str().map(str::to_owned)).collect())
    }

    fn killed_restore(
        &self,
        random: &mut Random,
        run: &str,
        digest: &Value,
        length: Duration,
        told: &mut Told,
    ) -> Result<()> {
        let store = self.store.display().to_string();
        let into = format!("Restored{}", told.restores);
        let restore = ["restore", run, COLLECTION, "--into", &into, "--store", &store];
        for _ in 0..=random.below(KILLS_OF_ONE as u64) {
            told.restores += 1;
            if self.killed(&restore, random.moment(length))? {
                break;
            }
        }
        self.told(&restore)?;
        told.ended += 1;
        self.equals(&into, digest)
    }
}
