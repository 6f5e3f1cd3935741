//! How fast a collection gets into a backup and out of it: our plug-in, the official Python client by hand, Weaviate's own
//! backup, and programs that only read or only send what was encoded before, by turns on the same three nodes, factor 3.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::{DEFAULT_WEAVIATE, Paths};
use elysia_e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use serde_json::{Value, json};

use super::index::{Figures, GLANCE, TICKS, children_ticks, figures, peak_memory, write_feed};
use super::placement::Placement;
use super::python::Python;
use super::real::{self, RealFeed};
use super::stage::{COLLECTION, FACTOR, Stage, port};
use super::{Row, catalogue, report};

const SCRIPT: &str = include_str!("backup.py");
/// Stretches of ids that the limit reads at once: as many as ours.
const STRETCHES: &str = "4";
/// How the limit of a restore sends: what was the fastest in `bench index`.
const REPLAY: [&str; 2] = ["1000", "4"];
const BUCKET: &str = "native";
/// Longest wait for Weaviate's own backup, and between two looks at it: its answer is a word that changes.
const NATIVE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(25);
/// How often one is asked for that the servers refuse, and how long is waited in between.
const REFUSED: usize = 5;
const BETWEEN_REFUSALS: Duration = Duration::from_secs(2);

/// Rounds of what is measured by itself.
const COMPARED: usize = 3;

/// Objects whose vectors a real model computes.
const EMBEDDINGS: usize = 3_000;

/// What is backed up and restored.
struct Case {
    vectors: Vectors,
    objects: usize,
    /// Whether it is restored as well: servers import a thousand objects a second, so the largest cases are not.
    is_restored: bool,
    /// Where it is backed up.
    placements: &'static [Placement],
}

/// Where vectors come from.
#[derive(Clone, Copy)]
enum Vectors {
    /// So many random numbers each: the worst that compression can be given.
    Random(usize),
    /// A model of texts.
    Real,
}

impl Vectors {
    fn name(self) -> String {
        match self {
            Self::Random(dimensions) => format!("{dimensions} dimensions"),
            Self::Real => "384 dimensions of all-MiniLM-L6-v2".to_owned(),
        }
    }
}

/// Who does it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Contender {
    /// With a format of `backup create`.
    Ours(&'static str),
    Python,
    Native,
    Limit,
}

const CONTENDERS: [Contender; 5] =
    [Contender::Ours("parquet"), Contender::Ours("jsonl"), Contender::Python, Contender::Native, Contender::Limit];

impl Contender {
    fn name(self) -> String {
        match self {
            Self::Ours(format) => format!("kubectl elysia, {format}"),
            Self::Python => "Python client by hand".to_owned(),
            Self::Native => "Weaviate's own backup".to_owned(),
            Self::Limit => "the limit".to_owned(),
        }
    }
}

pub(super) fn run(quick: bool) -> Result<()> {
    let case = |vectors, objects| Case { vectors, objects, is_restored: true, placements: &[Placement::Together] };
    let random = |dimensions, objects| case(Vectors::Random(dimensions), objects);
    let real = case(Vectors::Real, EMBEDDINGS);
    let both = &[Placement::Together, Placement::Apart];
    let (rounds, cases) = if quick {
        (3, vec![random(384, 4_000), real])
    } else {
        let wide = Case { placements: both, ..random(1536, 5_000) };
        let large = Case { placements: both, is_restored: false, ..random(384, 20_000) };
        // Each of the contenders begins one round.
        (CONTENDERS.len(), vec![random(384, 1_000), random(384, 10_000), wide, real, large])
    };
    let bench = Bench::set()?;
    let mut rows = Vec::new();
    let mut ratios = serde_json::Map::new();
    for (number, case) in cases.iter().enumerate() {
        bench.case.set(number);
        bench.measure(case, rounds, &mut rows, &mut ratios)?;
    }
    catalogue::measure(&bench.stage.paths, quick, &mut rows)?;
    let versions = json!({
        "weaviate": DEFAULT_WEAVIATE,
        "python": Python::version(),
        "operator": env!("CARGO_PKG_VERSION"),
        "embeddings": bench.real.about,
        "opened": bench.opened.take(),
    });
    report(&bench.stage.paths.target, "backup", &versions, &rows, &Value::Object(ratios))
}

/// The stage, and the bucket of Weaviate's own backups: to a folder it backs up one node alone (422 from three).
struct Bench {
    stage: Stage,
    #[expect(dead_code, reason = "it serves as long as it is there")]
    bucket: S3Server,
    data: Python,
    real: RealFeed,
    /// Number of the case that is measured.
    case: Cell<usize>,
    /// What pandas and `DuckDB` said of each case.
    opened: RefCell<Vec<Value>>,
}

impl Bench {
    fn set() -> Result<Self> {
        let programs = ["--bin", "kubectl-elysia", "--example", "replay", "--example", "read_all"];
        let bucket = S3Server::start("127.0.0.1", &[BUCKET])?;
        let endpoint = bucket.endpoint();
        let environment = |_: &Path| {
            let pairs = [
                ("ENABLE_MODULES", "backup-s3"),
                ("BACKUP_S3_BUCKET", BUCKET),
                ("BACKUP_S3_ENDPOINT", endpoint.trim_start_matches("http://")),
                ("BACKUP_S3_USE_SSL", "false"),
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
                ("AWS_REGION", "us-east-1"),
            ];
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        // Before the servers are there: a computation of a minute and they would share the processors.
        let paths = Paths::from_environment();
        let data = Python::data(&paths.target)?;
        let real = RealFeed::prepare(&data, &paths.target, &paths.checkout.join("docs"), EMBEDDINGS)?;
        let stage = Stage::set("backup", &programs, environment)?;
        Ok(Self { stage, bucket, data, real, case: Cell::default(), opened: RefCell::default() })
    }

    fn measure(
        &self,
        case: &Case,
        rounds: usize,
        rows: &mut Vec<Row>,
        ratios: &mut serde_json::Map<String, Value>,
    ) -> Result<()> {
        let name = format!("{}, {} objects", case.vectors.name(), case.objects);
        let condition = format!("{name}, factor {FACTOR}");
        let feed = self.stage.folder.join("feed.jsonl");
        match case.vectors {
            Vectors::Random(dimensions) => write_feed(&feed, case.objects, dimensions)?,
            Vectors::Real => drop(fs::copy(&self.real.file, &feed)?),
        }
        self.stage.create()?;
        self.replay()?;
        self.stage.counted(case.objects)?;

        for (number, placement) in case.placements.iter().enumerate() {
            placement.take(&self.stage.servers)?;
            // Rounds go on, since no backup of Weaviate's own can have the id of another.
            let before = number * rounds;
            let taken = by_turns(rounds, case.objects, |contender, round| self.back_up(contender, before + round));
            Placement::Together.take(&self.stage.servers)?;
            let (name, condition) = (name.clone() + placement.words(), condition.clone() + placement.words());
            let medians = summed(&taken?, "backup", &condition, rows)?;
            let [ours, python, native, limit] = positions(&medians)?;
            ratios.insert(format!("backup / python_client, {name}"), json!(ours / python));
            ratios.insert(format!("backup / read limit, {name}"), json!(ours / limit));
            ratios.insert(format!("backup / native, {name}"), json!(ours / native));
        }

        let plain = compact_bytes(&feed)?;
        for format in ["parquet", "jsonl"] {
            let share = folder_bytes(&self.store(format).join("runs"))? / plain;
            rows.push(Row::of(&format!("{format} / compact JSON"), &condition, "of 1", &[share])?);
            ratios.insert(format!("{format} / compact JSON, {name}"), json!(share));
        }
        self.opened.borrow_mut().push(real::open(&self.data, &self.store("parquet").join("runs"), &feed)?);

        self.compared(case, rounds, &condition, rows)?;

        if !case.is_restored {
            return self.stage.delete();
        }
        let taken = by_turns(rounds, case.objects, |contender, round| self.restore(contender, round, rounds))?;
        let medians = summed(&taken, "restore", &condition, rows)?;
        let [ours, python, native, limit] = positions(&medians)?;
        ratios.insert(format!("restore / python_client, {name}"), json!(ours / python));
        ratios.insert(format!("restore / import limit, {name}"), json!(ours / limit));
        ratios.insert(format!("restore / native, {name}"), json!(ours / native));
        self.stage.delete()
    }

    /// What a backup does unless it is told otherwise: every replica is read, and they are compared. Nobody else does that,
    /// so it has no turns beside others.
    fn compared(&self, case: &Case, rounds: usize, condition: &str, rows: &mut Vec<Row>) -> Result<()> {
        let store = self.stage.folder.join("store-compared");
        let mut rates = Vec::new();
        for _ in 0..rounds.min(COMPARED) {
            let taken = self.plugin(&["backup", "create", COLLECTION], &store)?;
            ensure!(taken.objects == case.objects, "{} of {} objects", taken.objects, case.objects);
            rates.push(taken.rate());
            fs::remove_dir_all(&store)?;
        }
        rows.push(Row::of("backup: kubectl elysia, all replicas compared", condition, "objects/s", &rates)?);
        Ok(())
    }

    fn back_up(&self, contender: Contender, round: usize) -> Result<Figures> {
        match contender {
            Contender::Ours(format) => {
                let store = self.store(format);
                if store.exists() {
                    fs::remove_dir_all(&store)?;
                }
                fs::create_dir_all(&store)?;
                // Each object once, as all others read it.
                self.plugin(&["backup", "create", COLLECTION, "--format", format, "--compare", "none"], &store)
            }
            Contender::Python => self.python("read"),
            Contender::Native => {
                let id = native_id(self.case.get(), round);
                let body = json!({"id": id, "include": [COLLECTION]});
                self.native("/v1/backups/s3", &format!("/v1/backups/s3/{id}"), &body)
            }
            Contender::Limit => {
                let arguments = [COLLECTION, STRETCHES, &self.stage.rest()?];
                let grpc = self.stage.grpc()?;
                // As ours: from the start of the process to its end.
                let started = Instant::now();
                let read = self.stage.example("read_all", &arguments, &grpc)?;
                Ok(Figures { seconds: started.elapsed().as_secs_f64(), ..read })
            }
        }
    }

    fn restore(&self, contender: Contender, round: usize, rounds: usize) -> Result<Figures> {
        self.stage.delete()?;
        let took = match contender {
            Contender::Ours(format) => {
                // Each time another restore: one that is done is not done again.
                let receipt = format!("round-{round}");
                self.plugin(&["restore", "latest", COLLECTION, "--receipt", &receipt], &self.store(format))?
            }
            Contender::Python => self.fill_new(|| self.python("write"))?,
            Contender::Native => {
                let id = native_id(self.case.get(), rounds - 1);
                let path = format!("/v1/backups/s3/{id}/restore");
                self.native(&path, &path, &json!({"include": [COLLECTION]}))?
            }
            Contender::Limit => self.fill_new(|| self.replay())?,
        };
        self.stage.counted(took.objects)?;
        Ok(took)
    }

    /// Makes the collection and fills it. The first is part of a restore, and is in the time of the two others as well.
    fn fill_new(&self, fill: impl FnOnce() -> Result<Figures>) -> Result<Figures> {
        let started = Instant::now();
        self.stage.create()?;
        let creation = started.elapsed().as_secs_f64();
        let filled = fill()?;
        Ok(Figures { seconds: filled.seconds + creation, ..filled })
    }

    fn plugin(&self, arguments: &[&str], store: &Path) -> Result<Figures> {
        let (rest, grpc) = (self.stage.rest()?, self.stage.servers.grpc("w-0")?);
        let nodes = self.stage.servers.names().into_iter().map(|name| {
            let (rest, grpc) = (self.stage.servers.rest(&name)?, self.stage.servers.grpc(&name)?);
            Ok(["--node".to_owned(), format!("{name}={rest},{grpc}")])
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let (started, before) = (Instant::now(), children_ticks()?);
        let output = self.stage.folder.join("plugin.json");
        let mut child = Command::new(self.stage.paths.target.join("release/kubectl-elysia"))
            .args(arguments)
            .args(["--url", &rest, "--grpc", &grpc, "--output", "json", "--store"])
            .arg(store)
            .args(nodes.iter().flatten())
            .stdout(Stdio::from(File::create(&output)?))
            .stderr(Stdio::from(File::create(self.stage.folder.join("plugin.log"))?))
            .spawn()
            .context("failed to start the plug-in")?;
        let (process, over) = (child.id(), AtomicBool::new(false));
        // Whoever looks from time to time sees the end too late.
        let (status, seconds, memory) = thread::scope(|scope| {
            let watched = scope.spawn(|| {
                let mut memory = 0.0_f64;
                while !over.load(Ordering::Acquire) {
                    memory = peak_memory(process).map_or(memory, |peak| peak.max(memory));
                    sleep(GLANCE);
                }
                memory
            });
            let status = child.wait();
            let seconds = started.elapsed().as_secs_f64();
            over.store(true, Ordering::Release);
            (status, seconds, watched.join().unwrap_or_default())
        });
        let status = status?;
        let log = fs::read_to_string(self.stage.folder.join("plugin.log"))?;
        ensure!(status.success(), "the plug-in ended with {status}: {log}");
        let answer: Value = serde_json::from_slice(&fs::read(&output)?)?;
        let objects = answer["objects"].as_u64().or_else(|| answer["counts"]["written"].as_u64());
        let objects = objects.with_context(|| format!("the plug-in tells no objects: {answer}"))?;
        let processor = (children_ticks()? - before) / TICKS;
        Ok(Figures { seconds, processor, objects: usize::try_from(objects)?, memory: Some(memory), started: None })
    }

    fn python(&self, what: &str) -> Result<Figures> {
        let file = self.stage.folder.join("python.jsonl").display().to_string();
        let (rest, grpc) = (self.stage.rest()?, self.stage.servers.grpc("w-0")?);
        figures(&self.stage.python.run(SCRIPT, &[what, &file, COLLECTION, &port(&rest), &port(&grpc)], &[])?)
    }

    /// Asks the servers for a backup or a restore of their own, and waits for its end. Who works is the servers, so the
    /// processor is not told.
    fn native(&self, start: &str, look: &str, body: &Value) -> Result<Figures> {
        let rest = self.stage.rest()?;
        let started = self.begun(&format!("{rest}{start}"), body)?;
        loop {
            let answer: Value = self.stage.agent.get(format!("{rest}{look}")).call()?.body_mut().read_json()?;
            match answer["status"].as_str() {
                Some("SUCCESS") => break,
                Some("FAILED" | "CANCELED") | None => bail!("it failed: {answer}"),
                Some(_) if started.elapsed() > NATIVE => bail!("it does not end: {answer}"),
                Some(_) => sleep(LOOK),
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let objects = self.stage.count()?;
        Ok(Figures { seconds, processor: 0.0, objects, memory: None, started: None })
    }

    /// When the servers began it. Now and then they answer 500: each node writes and removes an object first, and the server
    /// of objects takes one of them for a folder ("Existing Object is a directory", versitygw 1.8.0). Nobody tells when it no
    /// longer does, so a moment is waited. How long it was refused does not count.
    fn begun(&self, url: &str, body: &Value) -> Result<Instant> {
        let mut refused = String::new();
        for _ in 0..REFUSED {
            let started = Instant::now();
            let mut answer = self.stage.agent.post(url).config().http_status_as_error(false).build().send_json(body)?;
            if answer.status().is_success() {
                return Ok(started);
            }
            refused = format!("{}: {}", answer.status(), answer.body_mut().read_to_string()?);
            println!("not begun: {refused}");
            sleep(BETWEEN_REFUSALS);
        }
        bail!("it was not begun: {refused}")
    }

    /// Fills the collection, and is the limit of every restore.
    fn replay(&self) -> Result<Figures> {
        let feed = self.stage.folder.join("feed.jsonl").display().to_string();
        self.stage.example("replay", &[&feed, COLLECTION, REPLAY[0], REPLAY[1]], &self.stage.grpc()?)
    }

    fn store(&self, format: &str) -> PathBuf {
        self.stage.folder.join(format!("store-{format}"))
    }
}

/// What each of them took, in each round. Nobody always comes first, and nobody always after the same one: servers collect
/// the garbage of whoever came before, and rest while they back up themselves.
fn by_turns(
    rounds: usize,
    objects: usize,
    go: impl Fn(Contender, usize) -> Result<Figures>,
) -> Result<BTreeMap<Contender, Vec<Figures>>> {
    let mut taken: BTreeMap<Contender, Vec<Figures>> = BTreeMap::new();
    for round in 0..rounds {
        for turn in 0..CONTENDERS.len() {
            let contender = CONTENDERS[place(round, turn)];
            let took = go(contender, round).with_context(|| contender.name())?;
            ensure!(took.objects == objects, "{}: {} of {objects} objects", contender.name(), took.objects);
            println!("round {round}: {}: {:.0} objects/s", contender.name(), took.rate());
            taken.entry(contender).or_default().push(took);
        }
    }
    Ok(taken)
}

/// Whose turn it is: rounds begin with another one each, and go through all of them in another stride. Their number is a prime.
fn place(round: usize, turn: usize) -> usize {
    let stride = round % (CONTENDERS.len() - 1) + 1;
    (round + turn * stride) % CONTENDERS.len()
}

/// An id of Weaviate's own backup: lower case, and never one that is there already (422), so one for each round of each case.
fn native_id(case: usize, round: usize) -> String {
    format!("case-{case}-round-{round}-{}", std::process::id())
}

/// Rows of all contenders, and their median rates.
fn summed(
    taken: &BTreeMap<Contender, Vec<Figures>>,
    what: &str,
    condition: &str,
    rows: &mut Vec<Row>,
) -> Result<BTreeMap<Contender, f64>> {
    let mut medians = BTreeMap::new();
    for contender in CONTENDERS {
        let taken = taken.get(&contender).context("nobody was measured")?;
        let name = format!("{what}: {}", contender.name());
        let rate = Row::of(&name, condition, "objects/s", &taken.iter().map(Figures::rate).collect::<Vec<_>>())?;
        medians.insert(contender, rate.value);
        rows.push(rate);
        // What a person waits for, the start of the process included.
        let seconds = taken.iter().map(|took| took.seconds).collect::<Vec<_>>();
        rows.push(Row::of(&format!("{name}, time"), condition, "s", &seconds)?);
        if contender != Contender::Native {
            let each = taken.iter().map(Figures::processor_of_each).collect::<Vec<_>>();
            rows.push(Row::of(&format!("{name}, processor"), condition, "us/object", &each)?);
        }
        let memory = taken.iter().filter_map(|took| took.memory).collect::<Vec<_>>();
        if !memory.is_empty() {
            rows.push(Row::of(&format!("{name}, memory"), condition, "MiB", &memory)?);
        }
    }
    Ok(medians)
}

/// Ours in Parquet, Python, Weaviate's own, the limit.
fn positions(medians: &BTreeMap<Contender, f64>) -> Result<[f64; 4]> {
    let of = |contender| medians.get(&contender).copied().context("nobody was measured");
    Ok([of(Contender::Ours("parquet"))?, of(Contender::Python)?, of(Contender::Native)?, of(Contender::Limit)?])
}

/// Bytes of the same objects as compact JSON with 9 significant digits, which tell every float32 apart.
fn compact_bytes(feed: &Path) -> Result<f64> {
    let mut bytes = 0;
    for line in BufReader::new(File::open(feed)?).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let mut properties = line["metadata"].clone();
        for name in ["repo", "path", "content"] {
            properties[name] = line[name].clone();
        }
        let object = json!({"id": uuid_length(), "properties": properties, "vector": []});
        bytes += object.to_string().len() + 1;
        let numbers = line["vector"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lengths = numbers.iter().filter_map(Value::as_f64).map(|number| nine_digits(number).len() + 1);
        bytes += lengths.sum::<usize>().saturating_sub(1);
    }
    Ok(f64::from(u32::try_from(bytes).context("a smaller case is enough")?))
}

/// Every id is as long as this one.
fn uuid_length() -> &'static str {
    "00000000-0000-0000-0000-000000000000"
}

/// The shortest decimal of nine significant digits.
fn nine_digits(number: f64) -> String {
    format!("{number:.8e}").parse::<f64>().unwrap_or(number).to_string()
}

fn folder_bytes(folder: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            f64::from(u32::try_from(entry.metadata()?.len())?)
        };
    }
    Ok(bytes)
}
