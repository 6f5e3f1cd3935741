//! Planted faults on real stores, as one list. The worker binary backs up and restores as in its Jobs, against real
//! Weaviate servers, a folder and a real S3 server; then something is wrong with what lies there, or with the store. Each
//! fault has to be caught, with its own reason, and twenty good backups have to raise no alarm.
//!
//! Root is needed for a small disk and for a folder that is mounted for reading alone.

mod board;
pub(super) mod gate;
pub(super) mod stage;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::Paths;
use elysia_e2e::s3::S3Server;
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use serde_json::{Value, json};

use self::gate::{Gate, Opening};
use self::stage::{ARTICLES, Place, Stage, TENANTED, is_untroubled};

/// Objects of the collection without tenants.
const OBJECTS: u32 = 500;
/// Objects of each tenant.
const OF_TENANT: u32 = 40;
/// Backups that have to raise no alarm.
const GOOD: u32 = 20;
/// Runs that are listed, and how often.
const MANY: u32 = 1_000;
const LISTS: usize = 5;
/// The cluster that the policy was made for, as the operator names it.
const CLUSTER: &str = "lab/search (uid-1)";
/// The same cluster made anew: equal names, and another uid.
const REBUILT: &str = "lab/search (uid-2)";
/// Another cluster.
const OTHER: &str = "shop/search (uid-3)";
/// The bucket.
const BUCKET: &str = "backups";
/// A disk in memory with room for the notes of a run, and not for its parts.
const SMALL_DISK: &str = "size=16k";

/// What is done to a run, the word by which reading it back calls it, and what a restore says. Where there is nothing,
/// every hash was made right again: then reading it back tells, and a restore goes by the hashes.
const DAMAGES: [(&str, &str, Option<&str>); 6] = [
    ("truncated part", "size", Some("cut off")),
    ("missing part", "missing", Some("is missing")),
    ("flipped bit", "changed", Some("other bytes than were written")),
    ("swapped vectors", "objects", None),
    ("wrong manifest", "wrongManifest", Some("is that of run")),
    ("missing tenant", "totals", Some("the index lists")),
];

pub(super) fn run() -> Result<()> {
    let soak = Soak::set()?;
    let mut list = List::default();
    soak.good(&mut list)?;
    soak.damages(&mut list)?;
    soak.stores(&mut list)?;
    soak.strangers(&mut list)?;
    soak.losses(&mut list)?;
    soak.catalogue(&mut list)?;
    println!("\n{:<34} {:<8} {:<14} reason", "fault", "store", "caught by");
    for Row { fault, store, by, reason } in &list.0 {
        println!("{fault:<34} {store:<8} {by:<14} {reason}");
    }
    let rows =
        list.0.iter().map(|row| json!({"fault": row.fault, "store": row.store, "by": row.by, "reason": row.reason}));
    let figures = json!({"name": "faults", "rows": rows.collect::<Vec<_>>()});
    let folder = soak.stage.paths.target.join("soak");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("faults.json"), figures.to_string()).context("failed to write the figures")
}

/// A fault and who caught it.
struct Row {
    fault: String,
    store: &'static str,
    by: &'static str,
    reason: String,
}

#[derive(Default)]
struct List(Vec<Row>);

impl List {
    fn note(&mut self, fault: impl Into<String>, store: &'static str, by: &'static str, reason: impl Into<String>) {
        let row = Row { fault: fault.into(), store, by, reason: reason.into().replace('\n', " ") };
        println!("   {} on {}: {}: {}", row.fault, row.store, row.by, row.reason);
        self.0.push(row);
    }
}

struct Soak {
    stage: Stage,
    s3: S3Server,
    servers: Servers,
}

impl Soak {
    fn set() -> Result<Self> {
        let s3 = S3Server::start("127.0.0.1", &[BUCKET])?;
        let servers = Servers::start(ServersOptions::default())?;
        let text = json!([{"name": "title", "dataType": ["text"]}]);
        let class = |name: &str, tenants: bool| {
            json!({
                "class": name, "vectorizer": "none", "properties": text,
                "replicationConfig": {"factor": 3},
                "multiTenancyConfig": {"enabled": tenants, "autoTenantCreation": tenants},
            })
        };
        let stage = Stage::set(Paths::from_environment(), "faults", &servers)?;
        servers.create_class("w-0", &class(ARTICLES, false))?;
        servers.create_class("w-0", &class(TENANTED, true))?;
        servers.put_objects("w-0", ARTICLES, 0..OBJECTS, Consistency::All)?;
        for tenant in ["first", "second"] {
            servers.put_tenant_objects("w-0", TENANTED, tenant, 0..OF_TENANT, Consistency::All)?;
        }
        Ok(Self { stage, s3, servers })
    }

    /// The places in which everything is tried: a folder, and a prefix of the bucket, both of this name.
    fn places(&self, name: &str) -> [Place; 2] {
        let folder = self.stage.folder.join("store").join(name);
        [Place::folder(&folder), Place::bucket(&self.s3, BUCKET, name, &self.s3.endpoint())]
    }

    /// Runs that are as they should be.
    fn good(&self, list: &mut List) -> Result<()> {
        for place in self.places("good") {
            for number in 0..GOOD {
                let first = OBJECTS + number * 10;
                self.servers.put_objects("w-0", ARTICLES, first..first + 10, Consistency::All)?;
                let outcome = self.stage.backup(&place, CLUSTER, &format!("good{number}"), &json!({"last": GOOD}))?;
                outcome.is_done()?;
                ensure!(is_untroubled(&outcome), "{outcome:?}");
            }
            let again = self.stage.backup(&place, CLUSTER, &format!("good{}", GOOD - 1), &json!({"last": GOOD}))?;
            let sums = again.ledger["totals"].clone();
            let wanted = (json!(GOOD), json!(GOOD), json!(0));
            ensure!(
                (&sums["runs"], &sums["verified"], &sums["suspect"]) == (&wanted.0, &wanted.1, &wanted.2),
                "{sums}"
            );
            list.note(format!("none, {GOOD} good backups"), place.kind, "nobody", format!("no alarm: {sums}"));
        }
        Ok(())
    }

    /// Runs that are not what was written: reading them back says so, and a restore does before its first write.
    fn damages(&self, list: &mut List) -> Result<()> {
        for place in self.places("whole") {
            for order in ["first", "second"] {
                self.stage.backup(&place, CLUSTER, order, &json!({}))?.is_done()?;
            }
        }
        for (damage, fault, words) in DAMAGES {
            let copies = self.places(&damage.replace(' ', "-"));
            for (whole, place) in self.places("whole").iter().zip(copies) {
                place.copy_of(whole)?;
                let run = Stage::damage(&place, damage)?;
                let found = self.stage.verify(&place, &run)?;
                let faults = found["faults"].as_array().cloned().unwrap_or_default();
                let first = faults.iter().find(|found| found["fault"] == fault);
                let first = first.with_context(|| format!("{damage}: read back, it says {found}"))?;
                list.note(damage, place.kind, "backup verify", shown(first));
                let collection = if damage == "missing tenant" { TENANTED } else { ARTICLES };
                let outcome = self.stage.restore(&place, CLUSTER, &run, collection)?;
                let message = match words {
                    Some(words) => {
                        let message = outcome.failure(words);
                        let message = message.with_context(|| format!("a restore of a run with a {damage}"))?;
                        ensure!(outcome.ledger["hasBegun"] == false, "it had begun: {outcome:?}");
                        message
                    }
                    None => {
                        outcome.failure("").unwrap_or_else(|_| "goes by the hashes, which were made right".to_owned())
                    }
                };
                list.note(damage, place.kind, "restore", message);
                Stage::forget_restored(&self.servers)?;
            }
        }
        Ok(())
    }

    /// Stores that do not do what they should.
    fn stores(&self, list: &mut List) -> Result<()> {
        // Full.
        let full = self.stage.folder.join("full");
        let disk = stage::Mounted::small(&full, SMALL_DISK)?;
        let place = Place::folder(&full);
        let outcome = self.stage.backup(&place, CLUSTER, "full", &json!({}))?;
        list.note("full disk", place.kind, "backup", outcome.failure("No space left")?);
        ensure!(!Stage::has_run(&place)?, "a run on a full disk");
        drop(disk);
        // 503 at every third request: it is asked again, and nobody hears of it.
        let gate = Gate::before(&self.s3.endpoint(), Opening::EveryThirdRefused)?;
        let place = Place::bucket(&self.s3, BUCKET, "sometimes-503", &gate.endpoint());
        let outcome = self.stage.backup(&place, CLUSTER, "sometimes", &json!({}))?;
        outcome.is_done()?;
        let refused = gate.refused();
        ensure!(refused > 0 && is_untroubled(&outcome), "{refused} refused, {outcome:?}");
        list.note(
            "503, every third request",
            place.kind,
            "retries",
            format!("a verified run, {refused} requests refused"),
        );
        drop(gate);
        // 503 for ever.
        let gate = Gate::before(&self.s3.endpoint(), Opening::Shut)?;
        let place = Place::bucket(&self.s3, BUCKET, "always-503", &gate.endpoint());
        let outcome = self.stage.backup(&place, CLUSTER, "always", &json!({}))?;
        list.note("503, for ever", place.kind, "backup", outcome.failure("slow down")?);
        ensure!(outcome.attempt()["isPermanent"] == false, "a server that is away comes back: {outcome:?}");
        let whole = Place::bucket(&self.s3, BUCKET, "whole", &gate.endpoint());
        let outcome = self.stage.restore(&whole, CLUSTER, "latest", ARTICLES)?;
        list.note("503, for ever", whole.kind, "restore", outcome.failure("slow down")?);
        drop(gate);
        // For reading alone.
        let server = self.s3.beside(&["--readonly"])?;
        let place = Place::bucket(&self.s3, BUCKET, "read-only", &server.endpoint());
        let outcome = self.stage.backup(&place, CLUSTER, "readonly", &json!({}))?;
        list.note("read-only bucket", place.kind, "backup", outcome.failure("")?);
        ensure!(!Stage::has_run(&place)?, "a run in a read-only bucket");
        let folder = self.stage.folder.join("read-only");
        let mounted = stage::Mounted::read_only(&folder)?;
        let place = Place::folder(&folder);
        let outcome = self.stage.backup(&place, CLUSTER, "readonly", &json!({}))?;
        list.note("read-only folder", place.kind, "backup", outcome.failure("Read-only")?);
        drop(mounted);
        // What can be read can be restored: the receipt lies beside the ledger then.
        let mounted =
            stage::Mounted::read_only_copy(&self.stage.folder.join("read-only-runs"), &self.places("whole")[0].root)?;
        let place = Place::folder(&self.stage.folder.join("read-only-runs"));
        let outcome = self.stage.restore(&place, CLUSTER, "latest", ARTICLES)?;
        ensure!(outcome.ledger["stage"] == "Done", "{outcome:?}");
        list.note("read-only folder", place.kind, "restore", "done: a restore needs no right to write there");
        drop(mounted);
        Stage::forget_restored(&self.servers)
    }

    /// How long it takes to list many runs.
    fn catalogue(&self, list: &mut List) -> Result<()> {
        for (whole, place) in self.places("good").iter().zip(self.places("many")) {
            place.copy_of(whole)?;
            Stage::multiply(&place, MANY)?;
            self.stage.noted(&place)?;
            let mut times = Vec::new();
            for _ in 0..LISTS {
                let (runs, took) = self.stage.listed(&place)?;
                ensure!(runs >= usize::try_from(MANY)?, "only {runs} runs were listed");
                times.push(took);
            }
            times.sort();
            let (least, middle) = (times[0].as_millis(), times[times.len() / 2].as_millis());
            let words = format!("{LISTS} times: least {least} ms, median {middle} ms, the process included");
            list.note(format!("none, {MANY} runs listed"), place.kind, "nobody", words);
        }
        Ok(())
    }

    /// Whoever does not own a place.
    fn strangers(&self, list: &mut List) -> Result<()> {
        for (fault, cluster) in [("rebuilt empty, another uid", REBUILT), ("two clusters on one prefix", OTHER)] {
            for place in self.places("whole") {
                let before = Stage::manifests(&place)?;
                let outcome = self.stage.backup(&place, cluster, "stranger", &json!({"last": 1}))?;
                ensure!(outcome.attempt()["isStrangers"] == true, "{outcome:?}");
                list.note(fault, place.kind, "backup", outcome.failure("belongs to")?);
                ensure!(Stage::manifests(&place)? == before, "a stranger wrote or deleted runs");
            }
        }
        Ok(())
    }

    /// A cluster that lost what it had, under the policy that it had: the runs of before stay.
    fn losses(&self, list: &mut List) -> Result<()> {
        for (fault, words) in [("rebuilt empty, the same uid", "shrank"), ("missing collection", ARTICLES)] {
            let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
            let address = format!("{}/v1/schema/{ARTICLES}", self.servers.rest("w-0")?);
            agent.delete(&address).call().map(drop).context("failed to drop a collection")?;
            if words == "shrank" {
                let class = json!({
                    "class": ARTICLES, "vectorizer": "none", "replicationConfig": {"factor": 3},
                    "properties": [{"name": "title", "dataType": ["text"]}],
                });
                self.servers.create_class("w-0", &class)?;
            }
            for place in self.places("whole") {
                let before = Stage::manifests(&place)?;
                let order = format!("lost{}", before.len());
                let outcome = self.stage.backup(&place, CLUSTER, &order, &json!({"last": 1}))?;
                outcome.is_done()?;
                let newest = &outcome.ledger["runs"][0];
                let suspect: Vec<&str> =
                    newest["suspect"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let reason = suspect.iter().find(|reason| reason.contains(ARTICLES));
                let Some(reason) = reason else { bail!("{fault}: nobody suspects {newest}") };
                let after = Stage::manifests(&place)?;
                ensure!(before.iter().all(|run| after.contains(run)), "{fault}: {before:?} became {after:?}");
                list.note(fault, place.kind, "Suspect", format!("{reason}; {} older runs stay", before.len()));
            }
        }
        Ok(())
    }
}

/// A fault as the plug-in prints it, in a few words.
fn shown(fault: &Value) -> String {
    let Some(map) = fault.as_object() else { return fault.to_string() };
    let short =
        |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.chars().take(60).collect());
    map.iter().map(|(key, value)| format!("{key}={}", short(value))).collect::<Vec<_>>().join(" ")
}

/// Copies a folder with the attributes in which the S3 server keeps what it knows of an object.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let _ = fs::remove_dir_all(to);
    let status = std::process::Command::new("cp").arg("--archive").arg(from).arg(to).status();
    ensure!(status.context("failed to start cp")?.success(), "failed to copy {} to {}", from.display(), to.display());
    Ok(())
}
