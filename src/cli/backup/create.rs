//! `backup create`: one run, made from here.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use elysia_core::cluster::spec::matches_pattern;
use elysia_engine::backup::filter::{Expression, FilterError};
use elysia_engine::backup::layout;
use elysia_engine::backup::level::Level;
use elysia_engine::backup::manifest::{DataFormat, Manifest, Owner, RunMode};
use elysia_engine::backup::restore::{Receipt, State};
use elysia_engine::backup::write::{Progress, Woken};
use elysia_engine::retry::Stop as Halt;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::bar::{self, Done, size};
use super::base::base;
use super::place::{KeyArgs, PolicyArgs, StoreArgs, noted, open, own_receipts};
use super::stopped;
use crate::cli::printer::{DOUBTFUL, Printer, paint, plain};
use crate::cli::session::Stop;
use crate::cli::way::{self, Way, WayArgs};
use crate::cli::{Exit, Output, Target, encode};
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::work::{BackupHow, BackupWork, ColdWork, CompareWork, StoreWork};
use crate::worker::backup::{Choice, Failure, RunSummary, back_up_chosen, left_awake, receipts, rest_woken};
use crate::worker::work::{Endpoints, PatienceWork};

/// Arguments of `backup create`.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Collections; all of them when left out
    #[arg(value_name = "COLLECTION")]
    collections: Vec<String>,
    /// Of all collections, leave out those of this name or pattern, e.g. `Scratch*`; may be said more than once
    #[arg(long, value_name = "PATTERN", conflicts_with = "collections")]
    exclude: Vec<String>,
    /// How parts are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// How parts are compressed; Parquet is with zstd
    #[arg(long, value_enum, default_value_t, value_name = "CODEC")]
    compression: Compression,
    /// How hard parts are compressed: 1 to 19 of zstd, 1 to 9 of gzip, or `auto`, by size
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,
    /// Only objects of which this is true, e.g. `published > '2024-01-01' and lang = 'en'`
    #[arg(long, value_name = "EXPRESSION", value_parser = expression)]
    filter: Option<Expression>,
    /// Classes, tenants and aliases alone, and no objects
    #[arg(long, conflicts_with_all = ["filter", "base"])]
    schema_only: bool,
    /// Build on this run, and write what is not in it alone; `latest` is the newest
    #[arg(long, value_name = "RUN")]
    base: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// What becomes of tenants that are not active: an error, or they are woken for the run, or left out
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    cold: Cold,
    /// No other run of this owner is under way: put back to rest what one that was killed left awake
    #[arg(long)]
    rest_woken: bool,
    /// What is asked of the other replicas: everything, times of the last change, or nothing
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    compare: Compare,
    /// Stretches that are read at once
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=32))]
    parallelism: Option<u16>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// How parts are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Format {
    /// Columns, for pandas, `DuckDB` and others
    #[default]
    Parquet,
    /// One JSON object a line
    Jsonl,
}

/// How parts are compressed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Compression {
    #[default]
    Zstd,
    Gzip,
    /// The fastest, and nearly twice the size
    Lz4,
}

/// What becomes of tenants that are not active.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Cold {
    #[default]
    Refuse,
    Wake,
    Skip,
}

/// What is asked of the other replicas.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Compare {
    #[default]
    Contents,
    Stamps,
    None,
}

/// An expression that chooses objects.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    text.parse().map_err(|error: FilterError| error.to_string())
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "auto" => Ok(Level::Auto),
        number => number.parse().map(Level::At).map_err(|_| "write a number or `auto`".to_owned()),
    }
}

impl CreateArgs {
    pub(super) async fn choice(&self, store: &AnyStore) -> Result<Choice, Stop> {
        let base = match &self.base {
            Some(run) => Some(base(store, run, &self.store).await?),
            None => None,
        };
        Ok(Choice {
            mode: if self.schema_only { RunMode::SchemaOnly } else { RunMode::Full },
            filter: self.filter.clone(),
            base,
            level: self.level.unwrap_or_default(),
            key: self.key.key()?,
            is_all: false,
        })
    }

    fn how(&self) -> Result<BackupHow, Stop> {
        let data = match (self.format, self.compression) {
            (Format::Parquet, Compression::Zstd) => DataFormat::Parquet,
            (Format::Jsonl, Compression::Zstd) => DataFormat::JsonlZstd,
            (Format::Jsonl, Compression::Gzip) => DataFormat::JsonlGzip,
            (Format::Jsonl, Compression::Lz4) => DataFormat::JsonlLz4,
            (Format::Parquet, Compression::Gzip | Compression::Lz4) => {
                return Err(Stop::usage(
                    "Parquet is compressed with zstd: leave --compression out, or say --format jsonl",
                ));
            }
        };
        let cold = match self.cold {
            Cold::Refuse => ColdWork::Refuse,
            Cold::Wake => ColdWork::Wake,
            Cold::Skip => ColdWork::Skip,
        };
        let compare = match self.compare {
            Compare::Contents => CompareWork::Contents,
            Compare::Stamps => CompareWork::Stamps,
            Compare::None => CompareWork::None,
        };
        Ok(BackupHow { data, cold, compare, lanes: self.parallelism.map(usize::from) })
    }

    fn work(&self, way: &Way) -> Result<BackupWork, Stop> {
        // Two runs of one second are told apart.
        let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        Ok(BackupWork {
            namespace: String::new(),
            name: String::new(),
            uid: String::new(),
            run: layout::run_id(Timestamp::now(), u16::from_be_bytes([high, low])),
            owner: Owner { cluster: way.identity.clone(), policy: self.policy.policy.clone() },
            collections: (!self.collections.is_empty()).then(|| self.collections.clone()),
            exclude: self.exclude.clone(),
            // The ways are open already.
            endpoints: Endpoints { rest: String::new(), grpc: String::new(), nodes: Vec::new() },
            store: self.store.work()?,
            how: self.how()?,
            patience: PatienceWork::default(),
        })
    }
}

pub(super) async fn run(args: &CreateArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    args.how()?;
    let store = args.store.open()?;
    let choice = args.choice(&store).await?;
    let way = way::open(&args.way, target, printer).await?;
    way.reach().await?;
    let work = args.work(&way)?;
    guard_restores(args, &work).await?;
    let (halt, progress, begun) = (Halt::default(), Progress::default(), Timestamp::now());
    let ways = way.ways();
    guard_woken(args, &work, &store, (begun, &halt)).await?;
    let rested = rest_woken(&work.owner, &ways, &store, work.patience, &halt).await;
    rested.map_err(|failure| stopped(&Failure { message: way.explain(&failure.message), ..failure }, ""))?;
    let look = || Done {
        units: progress.objects.load(Ordering::Relaxed),
        bytes: Some(progress.bytes.load(Ordering::Relaxed)),
    };
    let ended = tokio::select! {
        ended = back_up_chosen(&work, &choice, &ways, &store, &halt, &progress) => ended,
        never = bar::show("objects", None, look, printer) => match never {},
        () = interrupted(&halt, printer) => {
            let message = "stopped at once; there is no run, unless it was over in this moment, and a tenant that it woke is awake";
            return Err(Stop::unknown(message, format!("kubectl elysia backup ls {}", args.store.again())));
        }
    };
    let manifest = ended.map_err(|failure| {
        let again = if failure.is_permanent { "" } else { "what was begun is no run; run the same command again" };
        stopped(&Failure { message: way.explain(&failure.message), ..failure }, again)
    })?;
    let seconds = Timestamp::now().duration_since(begun).as_secs_f64();
    let text = match args.output {
        Output::Table => render(&manifest, seconds, &args.store),
        output => encode(&Made { run: RunSummary::of(&manifest, None), seconds }, output)?,
    };
    printer.data(&text)?;
    printer.note(&doubts(&manifest));
    // Lists take longer without it, and nothing else.
    tokio::select! {
        () = noted(&store, &work.owner) => {}
        () = interrupted(&halt, printer) => {}
    }
    Ok(Exit::Healthy)
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    #[serde(flatten)]
    run: RunSummary,
    seconds: f64,
}

/// No backup of a collection while its restore is unfinished: half of it would be taken for all. Restores of runs of
/// another owner have their receipts in a folder of this person.
async fn guard_restores(args: &CreateArgs, work: &BackupWork) -> Result<(), Stop> {
    let is_excluded = |name: &str| work.exclude.iter().any(|pattern| matches_pattern(pattern, name));
    let is_named = |name: &str| work.collections.as_ref().is_none_or(|names| names.iter().any(|it| it == name));
    let is_meant = |name: &str| is_named(name) && !is_excluded(name);
    for place in [Some(work.store.clone()), own_receipts()].into_iter().flatten() {
        let found = receipts(&open(&place)?).await.map_err(|failure| stopped(&failure, ""))?;
        let unfinished = found.into_iter().find(|(_, receipt)| {
            receipt.state == State::Running && receipt.target == work.owner.cluster && is_meant(&receipt.into)
        });
        let Some((id, Receipt { run, collection, into, .. })) = unfinished else { continue };
        let (runs, receipts) = match &place {
            StoreWork::Folder(own) if place != work.store => ("--store STORE".to_owned(), format!("--store {own}")),
            _ => (args.store.again(), args.store.again()),
        };
        return Err(Stop::refused(
            format!("collection {into} is half restored from run {run}; there is no run"),
            format!(
                "kubectl elysia restore {run} {collection} --into {into} --receipt {id} {runs}; or give that up: kubectl elysia backup abandon {id} {receipts}"
            ),
        ));
    }
    Ok(())
}

/// How long one tenant may take to be read: a note that is older is that of a run that died.
const LONGEST_WAKE: SignedDuration = SignedDuration::from_hours(12);

/// A run of this owner that was killed leaves a tenant awake, and one that is under way has one awake: nobody but a person
/// knows which it is, until it takes too long.
async fn guard_woken(
    args: &CreateArgs,
    work: &BackupWork,
    store: &AnyStore,
    (now, halt): (Timestamp, &Halt),
) -> Result<(), Stop> {
    if args.rest_woken {
        return Ok(());
    }
    let found = left_awake(&work.owner, store, work.patience, halt).await.map_err(|failure| stopped(&failure, ""))?;
    let Some(fresh) = found.into_iter().find(|woken| now.duration_since(woken.at) < LONGEST_WAKE) else {
        return Ok(());
    };
    let Woken { run, collection, tenant, at, .. } = fresh;
    Err(Stop::unknown(
        format!(
            "run {run} woke tenant {tenant} of {collection} at {at} and did not put it back to rest; there is no run"
        ),
        "if that run is under way, wait for it; if it was killed: the same command with --rest-woken",
    ))
}

pub(super) fn render(manifest: &Manifest, seconds: f64, store: &StoreArgs) -> String {
    format!(
        "run {}: {} objects of {} collections, {}, in {seconds:.1}s\nverify it with: kubectl elysia backup verify {} {}\n",
        plain(&manifest.run),
        manifest.objects(),
        manifest.collections.len(),
        size(manifest.bytes()),
        manifest.run,
        store.again()
    )
}

/// What a person should know of a run that was made.
pub(super) fn doubts(manifest: &Manifest) -> String {
    let mut text = String::new();
    for (name, why) in &manifest.lacks {
        // Writing to a String cannot fail.
        writeln!(text, "{}: {} is left out: {}", paint(DOUBTFUL, "note"), plain(name), plain(why)).ok();
    }
    for note in &manifest.collections {
        let name = plain(&note.name);
        if note.replicas.differing > 0 {
            let differing = note.replicas.differing;
            // Writing to a String cannot fail.
            writeln!(text, "{}: {name}: replicas say different things of {differing} objects; the newest were taken; see: kubectl elysia backup show {}", paint(DOUBTFUL, "note"), manifest.run).ok();
        }
        if !note.replicas.compared {
            writeln!(
                text,
                "{}: {name}: not every replica was listed: what only another one has is missing",
                paint(DOUBTFUL, "note")
            )
            .ok();
        }
        if note.left_out > 0 {
            writeln!(text, "{}: {name}: {} tenants were left out", paint(DOUBTFUL, "note"), note.left_out).ok();
        }
    }
    text
}

/// The first Ctrl-C ends it in good order, so that woken tenants are put back to rest; returns at the second one, also where
/// the first one came while something else was done.
pub(in crate::cli) async fn interrupted(halt: &Halt, printer: Printer) {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        if !asks_again(halt, printer) {
            return;
        }
    }
}

/// What comes of one Ctrl-C: whether another one is asked for.
pub(super) fn asks_again(halt: &Halt, printer: Printer) -> bool {
    let is_first = !halt.is_set();
    if is_first {
        printer.note("stopping; press Ctrl-C again to stop at once\n");
        halt.set();
    }
    is_first
}
