//! `backup verify`: reads a run back.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::retire::owner;
use elysia_engine::backup::verify::{Depth, Fault, Findings};
use serde::Serialize;

use super::bar::{self, Done, size};
use super::drill::{self, DrillArgs};
use super::place::{KeyArgs, PolicyArgs, StoreArgs, find, noted};
use super::stopped;
use crate::cli::printer::{BAD, GOOD, Printer, paint, plain};
use crate::cli::session::Stop;
use crate::cli::way::WayArgs;
use crate::cli::{Exit, Output, Target, encode};
use crate::worker::backup::{Failure, verify_sealed};
use crate::worker::jobs::judged::{self, Judged};

/// Arguments of `backup verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the run is what was written, 1 it is not, 2 the store or the servers could not be asked, or its key is missing, 64 wrong usage"
)]
pub(super) struct VerifyArgs {
    /// The run; `latest` is the newest
    pub(super) run: String,
    /// Compare the files' hashes alone, and do not read the objects in them
    #[arg(long)]
    hashes_only: bool,
    #[command(flatten)]
    pub(super) drill: DrillArgs,
    #[command(flatten)]
    pub(super) key: KeyArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) way: WayArgs,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    run: &'a str,
    sound: bool,
    files: u64,
    bytes: u64,
    objects: u64,
    faults: &'a [Fault],
}

pub(super) async fn run(args: &VerifyArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    if args.drill.is_asked() {
        return drill::run(args, target, printer).await;
    }
    if !args.way.is_default() {
        return Err(Stop::usage("only a drill asks servers: add --drill"));
    }
    let key = args.key.key()?;
    let store = args.store.open_there()?;
    let next = format!("kubectl elysia backup ls {}", args.store.again());
    // A manifest that cannot be read is a finding, not an error: `latest` alone needs one to be found.
    let (run, bytes, native) = match find(&store, &args.run, &args.store).await {
        Ok(manifest) => (manifest.run.clone(), Some(manifest.bytes()), manifest.native),
        Err(stop @ Stop::Said { exit: Exit::Usage | Exit::Unknown, .. }) => return Err(stop),
        Err(stop) if args.run == catalogue::LATEST => return Err(stop),
        Err(_) => (args.run.clone(), None, None),
    };
    // Only its owner notes that it was verified.
    let owner = owner(&store).await.map_err(|error| stopped(&Failure::from(error), &next))?;
    let owner = owner.filter(|owner| owner.policy == args.policy.policy);
    let depth = if args.hashes_only { Depth::Hashes } else { Depth::Objects };
    let read = AtomicU64::new(0);
    let told = |part: &elysia_engine::backup::manifest::Part| {
        read.fetch_add(part.file.bytes, Ordering::Relaxed);
    };
    let look = || Done { units: read.load(Ordering::Relaxed), bytes: None };
    let findings = tokio::select! {
        findings = verify_sealed(&store, &run, key.as_ref(), depth, owner.as_ref(), &told) => findings,
        never = bar::show("bytes", bytes, look, printer) => match never {},
    };
    let findings = findings.map_err(|failure| stopped(&failure, &next))?;
    // Whoever removes a run takes its manifest first.
    if !findings.is_sound()
        && bytes.is_some()
        && matches!(catalogue::look(&store, &run).await, Ok(State::Unfinished(_)))
    {
        return Err(Stop::unknown(format!("run {run} was removed while it was read"), next));
    }
    if let Some(unread) = unread(&findings) {
        return Err(Stop::unknown(unread, "add --key-file FILE, with the key that it was written with"));
    }
    let text = match args.output {
        Output::Table => render(&run, &findings, depth),
        output => {
            let Findings { files, bytes, objects, faults } = &findings;
            let told =
                Told { run: &run, sound: findings.is_sound(), files: *files, bytes: *bytes, objects: *objects, faults };
            encode(&told, output)?
        }
    };
    printer.data(&text)?;
    if let Some(native) = native.filter(|_| findings.is_sound()) {
        printer.note(&told_of_native(native.hashed));
    }
    if findings.is_sound()
        && let Ok(Ok(Some(judged))) = judged::of_run(&store, &run).await
    {
        printer.note(&still_noted(&run, &judged, &args.store));
    }
    if let Some(owner) = &owner {
        noted(&store, owner).await;
    }
    Ok(if findings.is_sound() { Exit::Healthy } else { Exit::Fault })
}

/// Why nothing is known of a run: whoever lacks its key has read nothing of it.
pub(super) fn unread(findings: &Findings) -> Option<String> {
    let first = findings.faults.first()?;
    findings.faults.iter().all(Fault::is_of_key).then(|| format!("nothing is known of it: {first}"))
}

/// What is not taken back of a run that was found damaged before, and is sound now.
pub(super) fn still_noted(run: &str, judged: &Judged, store: &StoreArgs) -> String {
    if !judged.is_damaged {
        return String::new();
    }
    format!(
        "It was found damaged before, and stays noted so: it is no verified run, `latest` passes over it, nothing is built on it,\n\
         and retention stops at it until it is removed: kubectl elysia backup rm {} {}\n",
        plain(run),
        plain(&store.again())
    )
}

/// What such a verification does not say.
pub(super) fn told_of_native(hashed: bool) -> String {
    let what = if hashed { "has its hash" } else { "has its size, and no hashes are known" };
    format!("Weaviate wrote this run itself: every file is there and {what}; what is in them only a restore proves\n")
}

pub(super) fn render(run: &str, findings: &Findings, depth: Depth) -> String {
    let Findings { files, bytes, objects, faults } = findings;
    let read = match depth {
        Depth::Hashes => format!("{files} files, {}", size(*bytes)),
        Depth::Objects => format!("{files} files, {}, {objects} objects", size(*bytes)),
    };
    if faults.is_empty() {
        return format!("run {}: {}: {read}\n", plain(run), paint(GOOD, "sound"));
    }
    let mut text = format!("run {}: {}: {read}\n", plain(run), paint(BAD, "damaged"));
    for fault in faults {
        // Writing to a String cannot fail.
        writeln!(text, "  {}", plain(&fault.to_string())).ok();
    }
    text
}
