//! `index run FILE` and `index sync --stdin`: a feed that is indexed from here, without an IndexSource.
//!
//! The same engine as in a Job, the same rules for lines and ids; what is different is where the ledger lies, and that
//! this process is the worker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use elysia_engine::checkpoint::Digest;
use elysia_engine::counts::Counts;
use elysia_engine::ledger::{Ledger, State};
use elysia_engine::retry::Stop as Halt;
use elysia_engine::run::RunError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::printer::{Printer, plain};
use super::super::session::Stop;
use super::super::way::{self, Way, WayArgs};
use super::super::{Exit, Output, Target, encode};
use crate::worker::index_here;
use crate::worker::work::{
    ChunkingWork, ConsistencyWork, DeleteGuardWork, Endpoints, IndexWork, PaceWork, PatienceWork, SourceWork,
    UnmappedWork,
};

/// Standard input, as a file's name.
const STDIN: &str = "-";
/// Rejected lines that are shown at the end; the counts have all of them.
const SHOWN: usize = 5;
/// Between two lines of progress where nothing can be drawn over, for logs.
const TOLD_EACH: Duration = Duration::from_secs(10);

/// How a feed is indexed from here.
#[derive(Debug, clap::Args)]
pub(super) struct DirectArgs {
    #[command(flatten)]
    pub(super) way: WayArgs,
    /// How many replicas must confirm a write
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    consistency: ConsistencyArg,
    /// Where to keep how far it is: with the same file an interrupted run goes on, and a finished one does nothing
    #[arg(long, value_name = "FILE")]
    pub(super) ledger: Option<PathBuf>,
    /// Rejected lines at which the run fails; any number when left out
    #[arg(long, value_name = "NUMBER")]
    max_rejected: Option<u64>,
    /// Documents that may be deleted; files that would delete more change nothing. Any number when left out, none in
    /// protected collections
    #[arg(long, value_name = "NUMBER")]
    max_deletes: Option<u64>,
    /// Find lines that change nothing, count them as unchanged, and do not write them
    #[arg(long)]
    skip_unchanged: bool,
    /// Leave metadata keys out that the collection has no property for, instead of rejecting the line
    #[arg(long)]
    drop_unmapped: bool,
    /// A field or metadata key that belongs into a property of another name; may be repeated
    #[arg(long = "property", value_name = "KEY=PROPERTY", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Cut texts into chunks of at most this many characters; the collection needs the int properties chunks and chunk
    #[arg(long, value_name = "CHARACTERS", value_parser = clap::value_parser!(u32).range(100..=16_777_216))]
    chunk_size: Option<u32>,
    /// Characters that a chunk has in common with the one before it, at most; not more than half of a chunk
    #[arg(long, requires = "chunk_size", value_name = "CHARACTERS")]
    chunk_overlap: Option<u32>,
    /// Batches under way at once, at most
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallelism: Option<u16>,
    /// Objects of one batch, at most
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_objects: Option<u16>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Output,
}

impl DirectArgs {
    /// Whether nothing is said that concerns only files.
    pub(super) fn is_default(&self) -> bool {
        let Self {
            way,
            consistency,
            ledger,
            max_rejected,
            max_deletes,
            skip_unchanged,
            drop_unmapped,
            properties,
            chunk_size,
            chunk_overlap,
            parallelism,
            batch_objects,
            output: _,
        } = self;
        way.is_default()
            && *consistency == ConsistencyArg::default()
            && ledger.is_none()
            && max_rejected.is_none()
            && max_deletes.is_none()
            && !skip_unchanged
            && !drop_unmapped
            && properties.is_empty()
            && chunk_size.is_none()
            && chunk_overlap.is_none()
            && parallelism.is_none()
            && batch_objects.is_none()
    }
}

impl DirectArgs {
    fn chunking(&self) -> Result<Option<ChunkingWork>, Stop> {
        let Some(size) = self.chunk_size else { return Ok(None) };
        if self.chunk_overlap.is_some_and(|overlap| overlap > size / 2) {
            return Err(Stop::usage(format!(
                "--chunk-overlap must be at most half of --chunk-size, here {}",
                size / 2
            )));
        }
        Ok(Some(ChunkingWork { size: size as usize, overlap: self.chunk_overlap.map(|overlap| overlap as usize) }))
    }
}

/// How many replicas must confirm.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum ConsistencyArg {
    One,
    #[default]
    Quorum,
    All,
}

impl From<ConsistencyArg> for ConsistencyWork {
    fn from(level: ConsistencyArg) -> Self {
        match level {
            ConsistencyArg::One => Self::One,
            ConsistencyArg::Quorum => Self::Quorum,
            ConsistencyArg::All => Self::All,
        }
    }
}

/// Arguments of `index sync`.
#[derive(Debug, clap::Args)]
pub(super) struct SyncArgs {
    /// Read the lines from standard input
    #[arg(long, required = true)]
    stdin: bool,
    /// Collection to index into
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    collection: String,
    #[command(flatten)]
    direct: Box<DirectArgs>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, property)) if !key.is_empty() && !property.is_empty() => Ok((key.to_owned(), property.to_owned())),
        _ => Err("write KEY=PROPERTY, e.g. content=body".to_owned()),
    }
}

pub(super) async fn sync(args: &SyncArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    run(&[STDIN.to_owned()], &args.collection, &args.direct, target, printer).await
}

/// What became of the lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a> {
    collection: &'a str,
    state: State,
    counts: &'a Counts,
    errors: &'a elysia_engine::category::Tally,
    seconds: f64,
    /// The first rejected lines.
    rejected_lines: &'a [elysia_engine::rejection::DeadLetter],
}

/// Indexes these files into a collection.
pub(super) async fn run(
    files: &[String],
    collection: &str,
    args: &DirectArgs,
    target: &Target,
    printer: Printer,
) -> Result<Exit, Stop> {
    let bytes = sizes(files)?;
    let way = way::open(&args.way, target, printer).await?;
    let mut work = work(files, collection, args, &way.address)?;
    work.delete_guard = guard(files, collection, args, &way)?;
    if let Some(ledger) = &args.ledger {
        refuse_another(ledger, &work.run)?;
    }
    if let Some(before) = finished_before(args.ledger.as_deref(), &work.run) {
        printer.note(&format!(
            "these files were indexed before, as {} says; delete it to index them again\n",
            before.display()
        ));
        return Ok(Exit::Healthy);
    }
    let halt = Halt::default();
    let (told, hears) = watch::channel(None);
    let begun = Timestamp::now();
    let work_done = index_here(work, way.common.clone(), way.nodes.clone(), &halt, &told);
    let ended = tokio::select! {
        ended = work_done => ended,
        () = show(hears, bytes, printer) => Err(RunError::Stopped),
        () = interrupted(&halt, args.ledger.is_some(), printer) => Err(RunError::Stopped),
    };
    let told = told.borrow().clone();
    let seconds = Timestamp::now().duration_since(begun).as_secs_f64();
    conclude(ended, told, seconds, files, collection, args, &way, printer)
}

/// How many documents may be deleted.
pub(super) fn guard(
    files: &[String],
    collection: &str,
    args: &DirectArgs,
    way: &Way,
) -> Result<Option<DeleteGuardWork>, Stop> {
    let (objects, why) = match (args.max_deletes, way.protection(collection)) {
        (Some(most), _) => (most, "--max-deletes was said".to_owned()),
        (None, Some(pattern)) => (0, format!("{collection} is protected by {pattern}")),
        (None, None) => return Ok(None),
    };
    if files.iter().any(|file| file == STDIN) {
        // Counting comes first, and it can be read only once.
        return Err(Stop::refused(
            format!("{why}, so deletes are counted before anything is written, which standard input does not allow"),
            "write the lines into a file, and index that",
        ));
    }
    Ok(Some(DeleteGuardWork { objects: Some(objects), percent: None, approval: None }))
}

/// Their sizes together where all are known.
fn sizes(files: &[String]) -> Result<Option<u64>, Stop> {
    let mut all = Some(0);
    for file in files {
        if file == STDIN {
            all = None;
            continue;
        }
        let found = std::fs::metadata(file).map_err(|error| {
            Stop::refused(format!("{file}: {error}; nothing was changed"), "kubectl elysia index validate FILE")
        })?;
        if !found.is_file() {
            return Err(Stop::refused(
                format!("{file} is no file; nothing was changed"),
                "name files, or index a folder with: kubectl elysia index watch FOLDER",
            ));
        }
        all = all.map(|all| all + found.len());
    }
    Ok(all)
}

pub(super) fn work(files: &[String], collection: &str, args: &DirectArgs, address: &str) -> Result<IndexWork, Stop> {
    let absolute = |file: &String| match file.as_str() {
        STDIN => Ok(file.clone()),
        file => {
            let path = std::path::absolute(file)?;
            Ok(path.to_string_lossy().into_owned())
        }
    };
    let files = files.iter().map(absolute).collect::<std::io::Result<Vec<_>>>()?;
    let run = run_id("run", &files, collection, args, address);
    Ok(IndexWork {
        namespace: String::new(),
        name: String::new(),
        uid: String::new(),
        run,
        ledger: String::new(),
        ledger_file: args.ledger.clone(),
        collection: collection.to_owned(),
        // The ways are open already.
        endpoints: Endpoints { rest: String::new(), grpc: String::new(), nodes: Vec::new() },
        source: SourceWork::Here(files),
        properties: args.properties.iter().cloned().collect(),
        unmapped: if args.drop_unmapped { UnmappedWork::Drop } else { UnmappedWork::Reject },
        chunking: args.chunking()?,
        max_rejected: args.max_rejected,
        delete_guard: None,
        skip_unchanged: args.skip_unchanged,
        partitions: None,
        partition: None,
        former_ledgers: Vec::new(),
        follow: None,
        replay: None,
        consistency: args.consistency.into(),
        pace: PaceWork {
            parallelism: args.parallelism.map(usize::from),
            batch_objects: args.batch_objects.map(usize::from),
            batch_bytes: None,
        },
        patience: PatienceWork::default(),
    })
}

/// The same files into the same collection of the same cluster in the same manner are the same run.
pub(super) fn run_id(manner: &str, files: &[String], collection: &str, args: &DirectArgs, address: &str) -> String {
    let mut what = serde_json::json!([manner, files, collection, address, args.properties, args.drop_unmapped]);
    if let (Some(what), Some(size)) = (what.as_array_mut(), args.chunk_size) {
        what.push(serde_json::json!([size, args.chunk_overlap]));
    }
    Digest::of(what.to_string().as_bytes()).to_string()
}

/// A ledger of another run is not written over: what it knows would be forgotten, and deletes that it still owes would
/// be carried out on another cluster.
pub(super) fn refuse_another(ledger: &Path, run: &str) -> Result<(), Stop> {
    let Ok(bytes) = std::fs::read(ledger) else { return Ok(()) };
    // What is no ledger the run itself complains about.
    let Ok(found) = serde_json::from_slice::<Ledger>(&bytes) else { return Ok(()) };
    if found.run == run {
        return Ok(());
    }
    let name = ledger.display();
    Err(Stop::refused(
        format!(
            "{name} is the ledger of another run, into {}: other files, cluster, collection or mapping; nothing was changed",
            found.collection
        ),
        format!("name another one with --ledger, or delete {name} to begin anew"),
    ))
}

/// The ledger of a run that is done.
fn finished_before<'a>(ledger: Option<&'a Path>, run: &str) -> Option<&'a Path> {
    let path = ledger?;
    let found: Ledger = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (found.run == run && found.state == State::Succeeded).then_some(path)
}

/// The first Ctrl-C lets what is in flight land; returns at the second one, which does not wait.
pub(super) async fn interrupted(halt: &Halt, is_kept: bool, printer: Printer) {
    if tokio::signal::ctrl_c().await.is_ok() {
        let after =
            if is_kept { "" } else { " (without --ledger it begins anew the next time; that changes no result)" };
        printer.note(&format!("\nstopping behind what is in flight{after}; Ctrl-C again ends at once\n"));
        halt.set();
        if tokio::signal::ctrl_c().await.is_ok() {
            return;
        }
    }
    // Without signals there is nothing to wait for.
    std::future::pending::<()>().await;
}

/// Draws how far it is, or tells it now and then where nothing can be drawn over. Never returns.
async fn show(mut hears: watch::Receiver<Option<Ledger>>, bytes: Option<u64>, printer: Printer) {
    let bar = bar(bytes);
    let begun = Timestamp::now();
    let mut told = Instant::now();
    // The ledger has no sizes of files that are done: what is known of them is the last offset that was seen.
    let (mut files, mut behind) = (0, 0);
    while hears.changed().await.is_ok() {
        let Some((done, offset, counts)) = hears.borrow_and_update().as_ref().map(|ledger| {
            let offset = ledger.checkpoint.current.as_ref().map_or(0, |position| position.offset);
            (ledger.checkpoint.files, offset, ledger.counts)
        }) else {
            continue;
        };
        if done > files {
            (files, behind) = (done, bar.position());
        }
        bar.set_position(behind + offset);
        let Counts { lines, rejected, .. } = counts;
        let text = format!("{lines} lines, {rejected} rejected, {:.0} lines/s", rate(lines, begun));
        if bar.is_hidden() && told.elapsed() >= TOLD_EACH {
            printer.note(&format!("{text}\n"));
            told = Instant::now();
        }
        bar.set_message(text);
    }
    std::future::pending::<()>().await;
}

fn rate(lines: u64, begun: Timestamp) -> f64 {
    let seconds = Timestamp::now().duration_since(begun).as_secs_f64();
    if seconds <= 0.0 { 0.0 } else { f64::from(u32::try_from(lines).unwrap_or(u32::MAX)) / seconds }
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes.filter(|bytes| *bytes > 0) {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {bytes}/{total_bytes} {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // A template that does not parse would only look plainer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[expect(clippy::too_many_arguments, reason = "the end of one function, cut off for its length")]
fn conclude(
    ended: Result<Ledger, RunError>,
    told: Option<Ledger>,
    seconds: f64,
    files: &[String],
    collection: &str,
    args: &DirectArgs,
    way: &way::Way,
    printer: Printer,
) -> Result<Exit, Stop> {
    let (ledger, error) = match ended {
        Ok(ledger) => (Some(ledger), None),
        Err(error) => (told, Some(error)),
    };
    if let Some(guarded) = ledger.as_ref().filter(|ledger| ledger.state == State::Waiting).and_then(|it| it.guarded) {
        let held = guarded.objects.map(|objects| format!(" of {objects} objects")).unwrap_or_default();
        return Err(Stop::refused(
            format!(
                "{} documents{held} in {collection} would be deleted, more than allowed; nothing was changed",
                guarded.deletes
            ),
            format!("if that is meant, the same command with --max-deletes {}", guarded.deletes),
        ));
    }
    if let Some(ledger) = &ledger {
        let Ledger { state, counts, errors, dead_letters, .. } = ledger;
        let shown = &dead_letters[..dead_letters.len().min(SHOWN)];
        let done = Done { collection, state: *state, counts, errors, seconds, rejected_lines: shown };
        let text = match args.output {
            Output::Table => render(&done, files),
            output => encode(&done, output)?,
        };
        printer.data(&text)?;
    }
    let again = match &args.ledger {
        Some(_) => "run the same command again: it goes on where it stopped",
        None => "run the same command again: it begins anew, which changes no result",
    };
    match error {
        None => Ok(Exit::Healthy),
        Some(RunError::Stopped) => Err(Stop::unknown("stopped as asked; what is counted is indexed", again)),
        Some(RunError::Failed { reason, message }) => {
            let message = way.explain(&message);
            if reason.is_permanent() {
                let next = format!("kubectl elysia index validate {}", files.join(" "));
                return Err(Stop::refused(message, next));
            }
            Err(Stop::unknown(message, again))
        }
    }
}

/// What became of how many lines, without a line's end.
pub(super) fn sentence(counts: &Counts, lines_of: &str) -> String {
    let Counts { lines, added, modified, deleted, renamed, unchanged, rejected } = counts;
    format!(
        "{lines} {lines_of} = {added} added + {modified} modified + {deleted} deleted + {renamed} renamed + \
         {unchanged} unchanged + {rejected} rejected"
    )
}

fn render(done: &Done<'_>, files: &[String]) -> String {
    let rejected = done.counts.rejected;
    let mut text =
        format!("{}, in {:.1}s\n", sentence(done.counts, &format!("lines into {}", done.collection)), done.seconds);
    for letter in done.rejected_lines {
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{}:{}: {}: {}",
            plain(&letter.file),
            letter.line,
            letter.category.as_str(),
            plain(&letter.reason)
        )
        .ok();
    }
    let shown = u64::try_from(done.rejected_lines.len()).unwrap_or(u64::MAX);
    if rejected > shown {
        let all = if files.iter().any(|file| file == STDIN) { "FILE".to_owned() } else { files.join(" ") };
        writeln!(text, "and {} more; see: kubectl elysia index validate {all}", rejected - shown).ok();
    }
    text
}

#[cfg(test)]
mod tests;
