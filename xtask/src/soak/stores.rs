//! The stores that no folder of this machine is: Google Cloud Storage, Azure Blob Storage, and S3 behind a certificate of
//! a private authority. The worker binary backs up and restores as in its Jobs, the plug-in lists and verifies, against a
//! server of Google's XML API over fake-gcs-server, Azurite, and versitygw; then something is wrong.
//!
//! Azurite is a program of Node: this soak needs Node 20 and npm, which nothing else of the house does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo, server_certificate};
use elysia_e2e::s3::S3Server;
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use elysia_e2e::stores::{AZURE_ACCOUNT, AZURE_KEY, AzureServer, GCS_TOKEN, GcsServer};
use serde_json::{Value, json};

use super::faults::gate::{Gate, Opening};
use super::faults::stage::{ARTICLES, Place, Stage, is_untroubled, s3_key};
use super::programs::GIVEN;

/// Objects of the collection.
const OBJECTS: u32 = 500;
/// Where everything listens.
const HOST: &str = "127.0.0.1";
/// The bucket, and the container.
const BUCKET: &str = "backups";
/// One that nobody made.
const NO_BUCKET: &str = "nowhere";
/// The cluster that the policy was made for, and another one.
const CLUSTER: &str = "lab/search (uid-1)";
const OTHER: &str = "shop/search (uid-3)";
/// Who writes at once into an empty place; one of them may own it.
const RIVALS: usize = 6;
/// A key of an account, but of no account of ours.
const WRONG_KEY: &str = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc=";

pub(super) fn run() -> Result<()> {
    let soak = Soak::set()?;
    let mut list = List::default();
    for kind in [Kind::Gcs, Kind::Azure] {
        soak.promises(kind, &mut list)?;
        soak.whole(kind, &mut list)?;
        soak.keys(kind, &mut list)?;
        soak.places(kind, &mut list)?;
        soak.rivals(kind, &mut list)?;
        soak.truncated(kind, &mut list)?;
        soak.busy(kind, &mut list)?;
    }
    soak.signatures(&mut list)?;
    soak.authorities(&mut list)?;
    let rows = list.0.iter().map(|[fault, store, reason]| json!({"fault": fault, "store": store, "reason": reason}));
    let figures = json!({"name": "stores", "rows": rows.collect::<Vec<_>>()});
    fs::write(soak.stage.paths.target.join("soak/stores.json"), figures.to_string())
        .context("failed to write the figures")
}

/// What was done, to which store, and what came of it.
#[derive(Default)]
struct List(Vec<[String; 3]>);

impl List {
    fn note(&mut self, fault: &str, store: &str, reason: impl Into<String>) {
        let reason = reason.into().replace('\n', " ");
        println!("   {fault} on {store}: {reason}");
        self.0.push([fault.to_owned(), store.to_owned(), reason]);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gcs,
    Azure,
}

struct Soak {
    stage: Stage,
    servers: Servers,
    gcs: GcsServer,
    azure: AzureServer,
}

impl Soak {
    fn set() -> Result<Self> {
        let azure = AzureServer::start(HOST)?;
        let gcs = GcsServer::start(HOST, &[BUCKET], None)?;
        let servers = Servers::start(ServersOptions::default())?;
        let stage = Stage::set(Paths::from_environment(), "stores", &servers)?;
        let class = json!({
            "class": ARTICLES, "vectorizer": "none", "replicationConfig": {"factor": 3},
            "properties": [{"name": "title", "dataType": ["text"]}],
        });
        servers.create_class("w-0", &class)?;
        servers.put_objects("w-0", ARTICLES, 0..OBJECTS, Consistency::All)?;
        let soak = Self { stage, servers, gcs, azure };
        soak.behind(Kind::Azure, &["create", BUCKET])?;
        Ok(soak)
    }

    fn endpoint(&self, kind: Kind) -> &str {
        match kind {
            Kind::Gcs => self.gcs.endpoint(),
            Kind::Azure => self.azure.endpoint(),
        }
    }

    /// A place of this name, with the right key.
    fn place(&self, kind: Kind, name: &str) -> Result<Place> {
        let endpoint = self.endpoint(kind);
        match kind {
            Kind::Gcs => gcs(BUCKET, name, endpoint, &self.gcs.known()),
            Kind::Azure => Ok(azure(BUCKET, name, endpoint, account_key(AZURE_KEY))),
        }
    }

    /// Looks behind a store, past every rule; what it says.
    fn behind(&self, kind: Kind, arguments: &[&str]) -> Result<String> {
        let (name, secret) = match kind {
            Kind::Gcs => ("gcs", GCS_TOKEN.to_owned()),
            Kind::Azure => ("azure", format!("{AZURE_ACCOUNT}:{AZURE_KEY}")),
        };
        let mut python = Command::new("python3");
        python
            .arg("-c")
            .arg(include_str!("stores/behind.py"))
            .args([name, self.endpoint(kind), &secret])
            .args(arguments);
        let output = python.output().context("failed to start python3")?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What the engine asks of every store, asked of this one.
    fn promises(&self, kind: Kind, list: &mut List) -> Result<()> {
        let place = self.place(kind, "promises")?;
        if std::env::var_os(GIVEN).is_some() {
            list.note(
                "none",
                place.kind,
                "its promises were not asked for: nothing is compiled where programs are given",
            );
            return Ok(());
        }
        let mut test = cargo(&self.stage.paths);
        test.args(["test", "--workspace", "--lib", "--", "--ignored", "a_real_store_keeps_its_promises"]);
        test.env("ELYSIA_TEST_STORE", place.work.to_string()).envs(place.environment.iter().cloned());
        ensure!(test.status().context("failed to start cargo")?.success(), "{} does not keep its promises", place.kind);
        list.note("none", place.kind, "every promise of a store is kept; of sixteen that create one object one does");
        Ok(())
    }

    /// Runs that are written, listed, read back, restored and retired.
    fn whole(&self, kind: Kind, list: &mut List) -> Result<()> {
        self.cycle(&self.place(kind, "whole")?, list)
    }

    fn cycle(&self, place: &Place, list: &mut List) -> Result<()> {
        for order in ["first", "second", "third"] {
            let outcome = self.stage.backup(place, CLUSTER, order, &json!({"last": 2}))?;
            outcome.is_done()?;
            ensure!(is_untroubled(&outcome), "{outcome:?}");
        }
        let (runs, _) = self.stage.listed(place)?;
        ensure!(runs == 2, "{runs} runs are left of three, of which two are kept");
        let found = self.stage.verify(place, "latest")?;
        ensure!(found["faults"].as_array().is_none_or(Vec::is_empty), "read back, it says {found}");
        let outcome = self.stage.restore(place, CLUSTER, "latest", ARTICLES)?;
        ensure!(outcome.ledger["stage"] == "Done", "{outcome:?}");
        let objects = &outcome.ledger["written"];
        ensure!(*objects == json!(OBJECTS), "{objects} objects came back of {OBJECTS}");
        Stage::forget_restored(&self.servers)?;
        list.note(
            "none",
            place.kind,
            format!("3 runs written, 2 kept, listed and verified, one restored: {objects} objects"),
        );
        Ok(())
    }

    /// Keys that are not those of the store.
    fn keys(&self, kind: Kind, list: &mut List) -> Result<()> {
        let endpoint = self.endpoint(kind);
        let (place, words) = match kind {
            Kind::Gcs => (gcs(BUCKET, "whole", endpoint, &self.gcs.unknown())?, "the key is not accepted"),
            Kind::Azure => (azure(BUCKET, "whole", endpoint, account_key(WRONG_KEY)), "is not that of this account"),
        };
        self.refused("wrong key", &place, words, list)
    }

    /// A bucket that is not there, and a place that is another's.
    fn places(&self, kind: Kind, list: &mut List) -> Result<()> {
        let endpoint = self.endpoint(kind);
        let (place, words) = match kind {
            Kind::Gcs => (gcs(NO_BUCKET, "p", endpoint, &self.gcs.known())?, "there is no such bucket; create it"),
            Kind::Azure => {
                (azure(NO_BUCKET, "p", endpoint, account_key(AZURE_KEY)), "there is no such container; create it")
            }
        };
        self.refused("missing bucket", &place, words, list)?;
        let whole = self.place(kind, "whole")?;
        let before = self.stage.listed(&whole)?.0;
        let outcome = self.stage.backup(&whole, OTHER, "stranger", &json!({"last": 1}))?;
        ensure!(outcome.attempt()["isStrangers"] == true, "{outcome:?}");
        ensure!(self.stage.listed(&whole)?.0 == before, "a stranger wrote or deleted runs");
        list.note("two clusters on one prefix", whole.kind, outcome.failure("belongs to")?);
        Ok(())
    }

    /// A backup and the plug-in say the same of it, and neither says the key.
    fn refused(&self, fault: &str, place: &Place, words: &str, list: &mut List) -> Result<()> {
        let outcome = self.stage.backup(place, CLUSTER, "refused", &json!({}))?;
        let message = outcome.failure(words)?;
        ensure!(outcome.attempt()["isPermanent"] == true, "nobody mends that by waiting: {outcome:?}");
        let output = self.stage.plug_in(&["backup", "ls"], place).output().context("failed to start the plug-in")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(words), "backup ls: {}: {said}", output.status);
        for text in [&message, &said] {
            ensure!(!place.environment.iter().any(|(_, secret)| text.contains(secret.as_str())), "a key is in: {text}");
        }
        list.note(fault, place.kind, message);
        Ok(())
    }

    /// Several who find an empty place at one moment: one owns it, and the others write nothing.
    fn rivals(&self, kind: Kind, list: &mut List) -> Result<()> {
        let place = self.place(kind, "rivals")?;
        let commands = (0..RIVALS).map(|number| {
            let policy = format!("rival-{number}");
            let mut command = self.stage.plug_in(&["backup", "create", ARTICLES, "--policy", &policy], &place);
            command.args(["--url", &self.servers.rest("w-0")?, "--grpc", &self.servers.grpc("w-0")?]);
            Ok(command)
        });
        let commands = commands.collect::<Result<Vec<_>>>()?;
        let outputs: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> =
                commands.into_iter().map(|mut command| scope.spawn(move || command.output())).collect();
            started.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut winners = 0;
        for output in outputs {
            let output = output.ok().context("a thread panicked")?.context("failed to start the plug-in")?;
            let said = String::from_utf8_lossy(&output.stderr);
            winners += usize::from(output.status.success());
            ensure!(output.status.success() || said.contains("belongs to"), "{}: {said}", output.status);
        }
        ensure!(winners == 1, "{winners} own one place");
        ensure!(self.stage.listed(&place)?.0 == 1, "others than the owner wrote a run");
        list.note("six owners at one moment", place.kind, "one wrote its run, five were told whose the place is");
        Ok(())
    }

    /// A part that has lost its end.
    fn truncated(&self, kind: Kind, list: &mut List) -> Result<()> {
        let place = self.place(kind, "truncated")?;
        self.stage.backup(&place, CLUSTER, "whole", &json!({}))?.is_done()?;
        let run = self.behind(kind, &["truncate", BUCKET, "truncated"])?;
        let found = self.stage.verify(&place, &run)?;
        let faults = found["faults"].as_array().cloned().unwrap_or_default();
        ensure!(faults.iter().any(|found| found["fault"] == "size"), "read back, it says {found}");
        let outcome = self.stage.restore(&place, CLUSTER, &run, ARTICLES)?;
        let message = outcome.failure("cut off")?;
        ensure!(outcome.ledger["hasBegun"] == false, "it had begun: {outcome:?}");
        list.note("truncated part", place.kind, message);
        Stage::forget_restored(&self.servers)
    }

    /// A server that is busy for a while, and for ever.
    fn busy(&self, kind: Kind, list: &mut List) -> Result<()> {
        let at = |name: &str, gate: &Gate| match kind {
            Kind::Gcs => gcs(BUCKET, name, &gate.endpoint(), &self.gcs.known()),
            Kind::Azure => Ok(azure(BUCKET, name, &gate.endpoint(), account_key(AZURE_KEY))),
        };
        let gate = Gate::before(self.endpoint(kind), Opening::EveryThirdRefused)?;
        let place = at("sometimes-503", &gate)?;
        let outcome = self.stage.backup(&place, CLUSTER, "sometimes", &json!({}))?;
        outcome.is_done()?;
        let refused = gate.refused();
        ensure!(refused > 0 && is_untroubled(&outcome), "{refused} refused, {outcome:?}");
        list.note("503, every third request", place.kind, format!("a verified run, {refused} requests refused"));
        drop(gate);
        let gate = Gate::before(self.endpoint(kind), Opening::Shut)?;
        let place = at("always-503", &gate)?;
        let outcome = self.stage.backup(&place, CLUSTER, "always", &json!({}))?;
        // The gate speaks as S3 does, which Azure does not know.
        let message = outcome.failure(if kind == Kind::Gcs { "slow down" } else { "reduce your request rate" })?;
        ensure!(outcome.attempt()["isPermanent"] == false, "a server that is away comes back: {outcome:?}");
        list.note("503, for ever", place.kind, message);
        Ok(())
    }

    /// Shared access signatures: one that may all, and one that may only read.
    fn signatures(&self, list: &mut List) -> Result<()> {
        let signed = |permissions: &str| {
            let token = self.behind(Kind::Azure, &["sign", BUCKET, permissions])?;
            Ok::<_, anyhow::Error>(azure(BUCKET, "signed", self.azure.endpoint(), signature(&token)))
        };
        self.cycle(&signed("rcwdl")?, list)?;
        let reader = signed("rl")?;
        let found = self.stage.verify(&reader, "latest")?;
        ensure!(found["faults"].as_array().is_none_or(Vec::is_empty), "read back, it says {found}");
        let outcome = self.stage.backup(&reader, CLUSTER, "reader", &json!({}))?;
        let message = outcome.failure("access is denied")?;
        ensure!(!message.contains("sig="), "a signature is in: {message}");
        list.note("a signature that may only read", reader.kind, message);
        Ok(())
    }

    /// Servers whose certificate a private authority has signed.
    fn authorities(&self, list: &mut List) -> Result<()> {
        let folder = self.stage.folder.join("certificates");
        fs::create_dir_all(&folder)?;
        server_certificate(&folder, HOST)?;
        let s3 = S3Server::encrypted(HOST, &[BUCKET], &folder)?;
        let gcs_server = GcsServer::start(HOST, &[BUCKET], Some(&folder))?;
        let places = || {
            let s3_place = Place { kind: "s3 by TLS", ..Place::bucket(&s3, BUCKET, "whole", &s3.endpoint()) };
            let gcs_place = gcs(BUCKET, "whole", gcs_server.endpoint(), &gcs_server.known())?;
            Ok::<_, anyhow::Error>([s3_place, Place { kind: "gcs by TLS", ..gcs_place }])
        };
        for place in places()? {
            self.refused("an authority that is not named", &place, "signed by nobody who is trusted", list)?;
        }
        let authority = folder.join("ca.crt");
        let pem = fs::read_to_string(&authority)?;
        let trusting = |place: Place, secret: Option<&str>| {
            let mut environment = secret.map_or(place.environment, s3_key);
            environment.push(("ELYSIA_STORE_CA", pem.clone()));
            let named = ["--store-ca".to_owned(), authority.display().to_string()];
            Place { environment, arguments: [place.arguments, named.to_vec()].concat(), ..place }
        };
        for place in places()? {
            self.cycle(&trusting(place, None), list)?;
        }
        let [s3_place, _] = places()?;
        let wrong = trusting(s3_place, Some("not-the-secret-key"));
        self.refused("wrong key", &wrong, "the secret key does not belong to the access key", list)
    }
}

fn gcs(bucket: &str, prefix: &str, endpoint: &str, key: &Path) -> Result<Place> {
    let text = fs::read_to_string(key).with_context(|| format!("failed to read {}", key.display()))?;
    Ok(Place {
        kind: "gcs",
        root: PathBuf::new(),
        work: json!({"gcs": {"bucket": bucket, "prefix": prefix, "endpoint": endpoint}}),
        arguments: arguments(&format!("gs://{bucket}/{prefix}"), endpoint, &[]),
        environment: vec![
            ("ELYSIA_GCS_SERVICE_ACCOUNT_KEY", text),
            ("GOOGLE_APPLICATION_CREDENTIALS", key.display().to_string()),
        ],
    })
}

fn azure(container: &str, prefix: &str, endpoint: &str, environment: Vec<(&'static str, String)>) -> Place {
    let work: Value = json!({"account": AZURE_ACCOUNT, "container": container, "prefix": prefix, "endpoint": endpoint});
    Place {
        kind: "azure",
        root: PathBuf::new(),
        work: json!({"azure": work}),
        arguments: arguments(&format!("az://{container}/{prefix}"), endpoint, &["--account", AZURE_ACCOUNT]),
        environment,
    }
}

fn arguments(store: &str, endpoint: &str, more: &[&str]) -> Vec<String> {
    ["--store", store, "--endpoint", endpoint].iter().chain(more).map(|word| (*word).to_owned()).collect()
}

fn account_key(key: &str) -> Vec<(&'static str, String)> {
    ["ELYSIA_AZURE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"].map(|name| (name, key.to_owned())).to_vec()
}

fn signature(token: &str) -> Vec<(&'static str, String)> {
    ["ELYSIA_AZURE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN"].map(|name| (name, token.to_owned())).to_vec()
}
