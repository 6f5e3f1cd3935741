//! How fast a feed gets into a collection: our worker, the official Python client at its best setting, and a program
//! that only sends what was encoded before, by turns on the same three nodes, factor 3, QUORUM. Then the first two into
//! a server that throws everything away: what is left is the client.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{DEFAULT_WEAVIATE, Paths};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::python::Python;
use super::stage::{COLLECTION, FACTOR, Stage, port};
use super::{Row, report};

const SCRIPT: &str = include_str!("index.py");
/// Characters of an object's text: a short source file.
const TEXT: usize = 1500;
/// How Python is tried: the default, what its documents recommend, more of both, and its own choice.
const PYTHON_MODES: [&str; 5] = ["dynamic", "fixed:100:2", "fixed:200:4", "fixed:500:4", "fixed:1000:4"];
/// The call that streams batches, which the server that throws away does not have.
const PYTHON_STREAM: &str = "stream:1";
/// How the replay is tried: objects of a batch, and batches in flight.
const REPLAY_MODES: [(usize, usize); 3] = [(200, 6), (500, 6), (1000, 4)];
/// Between two looks at a worker's memory.
pub(super) const GLANCE: Duration = Duration::from_millis(20);
/// `USER_HZ`: what `/proc` counts time of processors in.
pub(super) const TICKS: f64 = 100.0;

/// One size of vectors.
struct Case {
    dimensions: usize,
    objects: usize,
    swallowed: usize,
}

/// What is indexed, and where it goes.
struct Feed<'a> {
    file: &'a Path,
    objects: usize,
    /// Instead of the three nodes.
    sink: Option<&'a Swallow>,
}

/// Who indexes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Contender {
    Ours,
    Python(String),
    Replay(usize, usize),
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Ours => "elysia worker".to_owned(),
            Self::Python(mode) => format!("Python client {mode}"),
            Self::Replay(batch, in_flight) => format!("replay {batch} x {in_flight}"),
        }
    }
}

/// What one of them took.
pub(super) struct Figures {
    pub(super) seconds: f64,
    pub(super) processor: f64,
    pub(super) objects: usize,
    /// Largest resident memory in MiB, where it was watched.
    pub(super) memory: Option<f64>,
    /// Seconds without the start of the process, where those above have it in them.
    pub(super) started: Option<f64>,
}

impl Figures {
    /// Objects in a second.
    pub(super) fn rate(&self) -> f64 {
        self.count() / self.seconds
    }

    /// Objects in a second, once started.
    fn rate_once_started(&self) -> f64 {
        self.count() / self.started.unwrap_or(self.seconds)
    }

    /// Microseconds of processor for each object.
    pub(super) fn processor_of_each(&self) -> f64 {
        self.processor / self.count() * 1e6
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.objects).unwrap_or(u32::MAX))
    }
}

/// What one of them comes to.
struct Medians {
    rate: f64,
    rate_once_started: f64,
    processor: f64,
}

pub(super) fn run(quick: bool) -> Result<()> {
    let (rounds, cases) = if quick {
        (3, vec![Case { dimensions: 0, objects: 6_000, swallowed: 30_000 }])
    } else {
        let case = |dimensions, objects, swallowed| Case { dimensions, objects, swallowed };
        (7, vec![case(0, 15_000, 60_000), case(384, 8_000, 30_000), case(1536, 4_000, 10_000)])
    };
    let bench = Bench::set()?;
    let mut rows = Vec::new();
    let mut ratios = serde_json::Map::new();
    for case in &cases {
        bench.measure(case, rounds, &mut rows, &mut ratios)?;
    }
    let versions =
        json!({"weaviate": DEFAULT_WEAVIATE, "python": Python::version(), "operator": env!("CARGO_PKG_VERSION")});
    report(&bench.0.paths.target, "index", &versions, &rows, &Value::Object(ratios))
}

struct Bench(Stage);

impl Bench {
    fn set() -> Result<Self> {
        let programs = ["--bin", "elysia-operator", "--example", "replay", "--example", "swallow"];
        Stage::set("index", &programs, |_| BTreeMap::new()).map(Self)
    }

    fn measure(
        &self,
        case: &Case,
        rounds: usize,
        rows: &mut Vec<Row>,
        ratios: &mut serde_json::Map<String, Value>,
    ) -> Result<()> {
        let condition = match case.dimensions {
            0 => "no vectors".to_owned(),
            dimensions => format!("{dimensions} dimensions"),
        };
        let file = self.0.folder.join("feed.jsonl");
        write_feed(&file, case.objects, case.dimensions)?;
        let python = PYTHON_MODES.into_iter().chain([PYTHON_STREAM]).map(|mode| Contender::Python(mode.to_owned()));
        let python = python.collect::<Vec<_>>();
        let replay = REPLAY_MODES.map(|(batch, in_flight)| Contender::Replay(batch, in_flight));
        let feed = Feed { file: &file, objects: case.objects, sink: None };
        let python = self.fastest(&python, &feed)?;
        let replay = self.fastest(&replay, &feed)?;
        let contenders = [Contender::Ours, python.clone(), replay];
        let factor = format!("{condition}, {} objects, factor {FACTOR}", case.objects);
        let medians = self.by_turns(&contenders, &feed, rounds, &factor, rows)?;
        ratios.insert(format!("replay, {condition}"), json!(medians[0].rate / medians[2].rate));
        ratios.insert(format!("python_client, {condition}"), json!(medians[0].rate / medians[1].rate));
        ratios.insert(
            format!("processor of python_client, {condition}"),
            json!(medians[0].processor / medians[1].processor),
        );

        write_feed(&file, case.swallowed, case.dimensions)?;
        let sink = Swallow::start(&self.0.paths)?;
        let python = PYTHON_MODES.map(|mode| Contender::Python(mode.to_owned()));
        let feed = Feed { file: &file, objects: case.swallowed, sink: Some(&sink) };
        let python = self.fastest(&python, &feed)?;
        let thrown = format!("{condition}, {} objects, thrown away", case.swallowed);
        let contenders = [Contender::Ours, python];
        let medians = self.by_turns(&contenders, &feed, rounds, &thrown, rows)?;
        let [ours, python] = [&medians[0], &medians[1]];
        ratios.insert(format!("python_client, {condition}, thrown away"), json!(ours.rate / python.rate));
        // As Python is measured: its interpreter and its connection are there when its clock starts.
        let once_started = json!(ours.rate_once_started / python.rate);
        ratios.insert(format!("python_client, {condition}, thrown away, once started"), once_started);
        let processor = json!(ours.processor / python.processor);
        ratios.insert(format!("processor of python_client, {condition}, thrown away"), processor);
        Ok(())
    }

    /// The one that is fastest in one go each.
    fn fastest(&self, contenders: &[Contender], feed: &Feed<'_>) -> Result<Contender> {
        let mut best = None;
        for contender in contenders {
            let figures = self.index(contender, feed)?;
            println!("trial: {}: {:.0} objects/s", contender.name(), figures.rate());
            if best.as_ref().is_none_or(|(seconds, _)| figures.seconds < *seconds) {
                best = Some((figures.seconds, contender.clone()));
            }
        }
        best.map(|(_, contender)| contender).context("nobody to choose from")
    }

    /// Medians, in the order of the contenders.
    fn by_turns(
        &self,
        contenders: &[Contender],
        feed: &Feed<'_>,
        rounds: usize,
        condition: &str,
        rows: &mut Vec<Row>,
    ) -> Result<Vec<Medians>> {
        let mut figures: BTreeMap<&Contender, Vec<Figures>> = BTreeMap::new();
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                // Nobody always comes first.
                let contender = &contenders[(round + turn) % contenders.len()];
                let took = self.index(contender, feed)?;
                println!("round {round}: {}: {:.0} objects/s", contender.name(), took.rate());
                figures.entry(contender).or_default().push(took);
            }
        }
        let mut medians = Vec::new();
        for contender in contenders {
            let taken = figures.remove(contender).context("nobody was measured")?;
            let each = |value: fn(&Figures) -> f64| taken.iter().map(value).collect::<Vec<_>>();
            let (name, rates) = (contender.name(), each(Figures::rate));
            let rate = Row::of(&name, condition, "objects/s", &rates)?;
            let processor = each(Figures::processor_of_each);
            let processor = Row::of(&format!("{name}, processor"), condition, "us/object", &processor)?;
            let once_started = each(Figures::rate_once_started);
            let once_started = Row::of(&format!("{name}, once started"), condition, "objects/s", &once_started)?;
            medians.push(Medians {
                rate: rate.value,
                rate_once_started: once_started.value,
                processor: processor.value,
            });
            rows.extend([rate, processor]);
            if taken.iter().any(|took| took.started.is_some()) {
                rows.push(once_started);
            }
            let memory = taken.iter().filter_map(|took| took.memory).collect::<Vec<_>>();
            if !memory.is_empty() {
                rows.push(Row::of(&format!("{name}, memory"), condition, "MiB", &memory)?);
            }
        }
        Ok(medians)
    }

    /// From an empty collection to all objects in it.
    fn index(&self, contender: &Contender, feed: &Feed<'_>) -> Result<Figures> {
        let Feed { file, objects, sink } = *feed;
        self.0.delete()?;
        self.0.create()?;
        let grpc = match sink {
            Some(sink) => vec![format!("http://127.0.0.1:{}", sink.port)],
            None => self.0.grpc()?,
        };
        let figures = match contender {
            Contender::Ours => self.ours(file, &grpc)?,
            Contender::Replay(batch, in_flight) => {
                let file = file.display().to_string();
                let arguments = [&file, COLLECTION, &batch.to_string(), &in_flight.to_string()];
                self.0.example("replay", &arguments, &grpc)?
            }
            Contender::Python(mode) => {
                let file = file.display().to_string();
                let arguments = [&file, COLLECTION, mode, &port(&self.0.rest()?), &port(&grpc[0])];
                figures(&self.0.python.run(SCRIPT, &arguments, &[])?)?
            }
        };
        ensure!(figures.objects == objects, "{}: {} of {objects}", contender.name(), figures.objects);
        if sink.is_none() {
            self.0.counted(objects)?;
        }
        self.0.delete()?;
        Ok(figures)
    }

    fn ours(&self, file: &Path, grpc: &[String]) -> Result<Figures> {
        let ledger = self.0.folder.join("ledger.json");
        if ledger.exists() {
            fs::remove_file(&ledger)?;
        }
        let folder = file.parent().context("a feed lies in a folder")?;
        let name = file.file_name().context("a feed has a name")?.to_string_lossy();
        let nodes = self.0.servers.names();
        let rests = nodes.iter().map(|node| self.0.servers.rest(node)).collect::<Result<Vec<_>>>()?;
        let nodes = nodes.iter().zip(rests.iter().zip(grpc));
        let nodes = nodes.map(|(name, (rest, grpc))| json!({"name": name, "rest": rest, "grpc": grpc}));
        let work = json!({
            "namespace": "bench", "name": "bench", "uid": "bench", "run": "bench", "ledgerFile": ledger,
            "collection": COLLECTION,
            "endpoints": {"rest": rests[0], "grpc": grpc[0], "nodes": nodes.collect::<Vec<_>>()},
            "source": {"volume": {"mountPath": folder, "path": name, "pattern": "*"}},
        });
        let started = Instant::now();
        let before = children_ticks()?;
        let mut worker = Command::new(self.0.paths.target.join("release/elysia-operator"))
            .args(["worker", "index"])
            .env("ELYSIA_INDEX_WORK", work.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::from(File::create(self.0.folder.join("worker.log"))?))
            .spawn()
            .context("failed to start the worker")?;
        let mut memory = 0.0_f64;
        let status = loop {
            if let Some(peak) = peak_memory(worker.id()) {
                memory = memory.max(peak);
            }
            if let Some(status) = worker.try_wait()? {
                break status;
            }
            sleep(GLANCE);
        };
        let seconds = started.elapsed().as_secs_f64();
        ensure!(status.success(), "the worker ended with {status}; its log is {}/worker.log", self.0.folder.display());
        let ledger: Value = serde_json::from_slice(&fs::read(&ledger)?)?;
        let objects = usize::try_from(ledger["counts"]["added"].as_u64().context("the ledger counts nothing")?)?;
        let time = |name: &str| -> Result<Timestamp> { Ok(ledger[name].as_str().context("no time")?.parse()?) };
        let started = time("finishedAt")?.duration_since(time("startedAt")?).as_secs_f64();
        let processor = (children_ticks()? - before) / TICKS;
        Ok(Figures { seconds, processor, objects, memory: Some(memory), started: Some(started) })
    }
}

/// A feed of adds, always the same one.
pub(crate) fn write_feed(file: &Path, objects: usize, dimensions: usize) -> Result<()> {
    const WORDS: [&str; 24] = [
        "fn", "let", "self", "return", "match", "window", "object", "property", "vector", "replica", "shard", "node",
        "index", "batch", "commit", "error", "retry", "ledger", "source", "change", "rename", "delete", "if", "else",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    // xorshift64*: the same numbers everywhere, and no dependency.
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    };
    let mut out = BufWriter::new(File::create(file)?);
    for number in 0..objects {
        let mut content = String::with_capacity(TEXT + 16);
        while content.len() < TEXT {
            content.push_str(WORDS[usize::try_from(random())? % WORDS.len()]);
            content.push_str(if random() % 12 == 0 { ";\n    " } else { " " });
        }
        let mut line = json!({
            "repo": "bench/repo", "op": "add", "path": format!("src/folder-{}/file-{number}.rs", number % 97),
            "content": content, "metadata": {"language": "rust", "lines": random() % 500},
        });
        if dimensions > 0 {
            #[expect(clippy::cast_precision_loss, reason = "31 bits, of which 24 are wanted")]
            let vector = (0..dimensions).map(|_| random() as f32 / 1_073_741_824.0 - 1.0).collect::<Vec<f32>>();
            line["vector"] = json!(vector);
        }
        writeln!(out, "{line}")?;
    }
    out.flush().context("failed to write the feed")
}

pub(super) fn figures(value: &Value) -> Result<Figures> {
    let number = |name: &str| value[name].as_f64().with_context(|| format!("{value} lacks {name}"));
    Ok(Figures {
        seconds: number("seconds")?,
        processor: number("processor")?,
        objects: usize::try_from(value["objects"].as_u64().context("no count of objects")?)?,
        memory: None,
        started: None,
    })
}

/// Processor time of all children that ended and were waited for, in ticks: the 16th and 17th field.
pub(super) fn children_ticks() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    let ticks = |index: usize| fields.get(index).context("no such field").and_then(|field| Ok(field.parse::<f64>()?));
    Ok(ticks(13)? + ticks(14)?)
}

/// The most memory that a process ever had, in MiB; nothing once it ended.
pub(super) fn peak_memory(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
}

/// The server that throws away. It ends with its standard input, and so with this process.
struct Swallow {
    child: Child,
    port: u16,
    _output: BufReader<ChildStdout>,
}

impl Swallow {
    fn start(paths: &Paths) -> Result<Self> {
        let mut child = Command::new(paths.target.join("release/examples/swallow"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the server that throws away")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().context("the server that throws away told no port")?;
        Ok(Self { child, port, _output: output })
    }
}

impl Drop for Swallow {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
