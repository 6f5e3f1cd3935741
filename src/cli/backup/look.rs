//! `backup ls` and `backup show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use elysia_core::backup::ledger::DrillNote;
use elysia_engine::backup::catalogue::{self, Entry, State};
use elysia_engine::backup::manifest::{Difference, Manifest};
use elysia_engine::backup::opened::OpenRun;
use elysia_engine::backup::seal::Key;
use elysia_engine::ports::PortError;
use jiff::Timestamp;
use serde::Serialize;

use super::bar::size;
use super::place::{self, KeyArgs, StoreArgs};
use super::stopped;
use crate::cli::columns::{self, UNKNOWN};
use crate::cli::health::duration::age;
use crate::cli::printer::{DOUBTFUL, HEADING, Printer, paint, plain};
use crate::cli::session::Stop;
use crate::cli::{Exit, Output, encode};
use crate::worker::backup::listing::{self, Row};
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::{RunState, RunSummary, drilled, summary};
use crate::worker::jobs::judged::{self, Judged};

/// Arguments of `backup ls`.
#[derive(Debug, clap::Args)]
pub(super) struct LsArgs {
    /// Only runs that have this collection
    #[arg(long, value_name = "COLLECTION")]
    collection: Option<String>,
    /// Only runs that were begun within this time, e.g. `7d`
    #[arg(long, value_name = "TIME", value_parser = super::cleanup::days)]
    since: Option<jiff::SignedDuration>,
    /// Read every run, and go by nothing that their owner noted for lists
    #[arg(long)]
    reread: bool,
    /// Only runs that were begun before this time, e.g. `1d`
    #[arg(long, value_name = "TIME", value_parser = super::cleanup::days)]
    until: Option<jiff::SignedDuration>,
    /// Only runs of this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<Asked>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    store: StoreArgs,
}

/// A state that is asked for. Verified and Suspect ones are complete as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Asked {
    Complete,
    Verified,
    Suspect,
    Unfinished,
    Unreadable,
}

impl Asked {
    /// Whether what was found of a run decides, beside it: that is in no note for lists.
    pub(super) fn is_judged(self) -> bool {
        match self {
            Self::Verified | Self::Suspect => true,
            Self::Complete | Self::Unfinished | Self::Unreadable => false,
        }
    }

    pub(super) fn is(self, run: &RunSummary) -> bool {
        let is_complete = run.state == RunState::Complete;
        let drilled = run.drilled.as_ref();
        let has_failed = drilled.is_some_and(DrillNote::has_failed);
        let is_suspect = run.problem.is_some() || has_failed || run.judged.as_ref().is_some_and(Judged::is_suspect);
        let is_verified = run.verified_at.is_some() || drilled.is_some_and(DrillNote::has_passed);
        match self {
            Self::Complete => is_complete,
            Self::Verified => is_complete && is_verified && !is_suspect,
            Self::Suspect => is_complete && is_suspect,
            Self::Unfinished => run.state == RunState::Unfinished,
            Self::Unreadable => run.state == RunState::Unreadable,
        }
    }
}

/// Arguments of `backup show`.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The run; `latest` is the newest
    run: String,
    #[command(flatten)]
    key: KeyArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Serialize)]
struct Listed {
    runs: Vec<Row>,
}

pub(super) async fn ls(args: &LsArgs, printer: Printer) -> Result<Exit, Stop> {
    let store = args.store.open_there()?;
    let found = if args.reread || args.state.is_some_and(Asked::is_judged) {
        listing::reread(&store).await
    } else {
        listing::list(&store).await
    };
    let mut found = found.map_err(|failure| stopped(&failure, ""))?;
    let now = Timestamp::now();
    if let Some(collection) = &args.collection {
        found.retain(|run| run.told().collections.contains_key(collection));
    }
    if let Some(since) = args.since {
        found.retain(|run| run.told().started_at.is_some_and(|begun| now.duration_since(begun) <= since));
    }
    if let Some(until) = args.until {
        found.retain(|run| run.told().started_at.is_some_and(|begun| now.duration_since(begun) >= until));
    }
    if let Some(state) = args.state {
        found.retain(|run| state.is(run.told()));
    }
    if args.output == Output::Table && found.is_empty() {
        printer.note(&format!("no runs in {}\n", args.store.store));
        return Ok(Exit::Healthy);
    }
    let text = match args.output {
        Output::Table => table(found.iter().map(Row::told), now),
        output => encode(&Listed { runs: found }, output)?,
    };
    printer.data(&text)?;
    Ok(Exit::Healthy)
}

pub(super) fn table<'a>(runs: impl IntoIterator<Item = &'a RunSummary>, now: Timestamp) -> String {
    let when = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| format!("{} ago", age(time, now)));
    let row = |run: &RunSummary| {
        let known = |text: String| if run.state == RunState::Complete { text } else { UNKNOWN.to_owned() };
        vec![
            run.id.clone(),
            format!("{:?}", run.state),
            known(run.collections.len().to_string()),
            known(run.objects.to_string()),
            known(size(run.bytes)),
            when(run.finished_at.or(run.started_at)),
            when(run.verified_at),
            run.owner.as_ref().map_or_else(|| UNKNOWN.to_owned(), ToString::to_string),
        ]
    };
    let head = ["RUN", "STATE", "COLLECTIONS", "OBJECTS", "SIZE", "AGE", "VERIFIED", "OWNER"];
    columns::render(&head, &runs.into_iter().map(row).collect::<Vec<_>>())
}

pub(super) async fn show(args: &ShowArgs, printer: Printer) -> Result<Exit, Stop> {
    let store = args.store.open_there()?;
    let manifest = place::find(&store, &args.run, &args.store).await?;
    let (seen, judged, found) = futures::join!(
        catalogue::look(&store, &manifest.run),
        judged::of_run(&store, &manifest.run),
        drilled::of_run(&store, &manifest.run)
    );
    let verified = match seen.map_err(|error| stopped(&error.into(), ""))? {
        State::Run { verified, .. } => verified.map(|verified| verified.at),
        State::Unfinished(_) | State::Unreadable(_) => None,
    };
    let judged = judged.map_err(|error| stopped(&error.into(), ""))?.map_err(|error| error.to_string());
    let verified = read_back(verified, &judged);
    let drilled = found.map_err(|error| stopped(&error.into(), ""))?.map_err(|error| error.to_string());
    let aliases = aliases(&store, &manifest, args.key.key()?.as_ref()).await?;
    let text = match args.output {
        Output::Table => whole(&manifest, &verified, &drilled, &aliases),
        output => encode(&Shown { manifest: &manifest, aliases: aliases.as_ref().ok() }, output)?,
    };
    printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// A run for programs.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    /// Absent where they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    aliases: Option<&'a BTreeMap<String, Vec<String>>>,
}

/// The aliases of each collection that has any, from its index; or why they cannot be read.
async fn aliases(
    store: &AnyStore,
    manifest: &Manifest,
    key: Option<&Key>,
) -> Result<Result<BTreeMap<String, Vec<String>>, String>, Stop> {
    let failed = |error: PortError| stopped(&error.into(), "");
    let run = match OpenRun::open(store, &manifest.run, key).await.map_err(failed)? {
        Ok(run) => run,
        Err(fault) => return Ok(Err(fault.to_string())),
    };
    let mut out = BTreeMap::new();
    for note in &manifest.collections {
        let index = match run.index(store, note).await.map_err(failed)? {
            Ok(index) => index,
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        if !index.aliases.is_empty() {
            out.insert(note.name.clone(), index.aliases);
        }
    }
    Ok(Ok(out))
}

/// When a run was read back; what was found since outweighs it.
pub(super) fn read_back(verified: Option<Timestamp>, judged: &Result<Option<Judged>, String>) -> String {
    match judged {
        Err(problem) => format!("nobody knows: {}", plain(problem)),
        Ok(Some(judged)) if judged.is_damaged => {
            let why = judged.suspect.first().map(|why| format!(": {}", plain(why))).unwrap_or_default();
            format!("no, it is damaged{why}")
        }
        Ok(_) => verified.map_or_else(|| "never".to_owned(), |at| at.to_string()),
    }
}

/// The last restore drill of a run.
fn drill(found: &Result<Option<DrillNote>, String>) -> String {
    match found {
        Ok(None) => "never".to_owned(),
        Err(problem) => format!("nobody knows: {}", plain(problem)),
        Ok(Some(note)) => {
            let why = note.message.as_ref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
            let word = if note.has_passed() { "good" } else { "bad" };
            let overlap = note.overlap.map(|overlap| format!(", {overlap} % of the nearest found")).unwrap_or_default();
            let distance = note.distance.as_ref().map(|far| format!(", vectors at most {far} off")).unwrap_or_default();
            format!("{}, {word}, {} objects{overlap}{distance}{why}", note.at, note.objects)
        }
    }
}

/// A run in detail.
pub(super) fn whole(
    manifest: &Manifest,
    verified: &str,
    drilled: &Result<Option<DrillNote>, String>,
    aliases: &Result<BTreeMap<String, Vec<String>>, String>,
) -> String {
    let seconds = manifest.finished_at.duration_since(manifest.started_at).as_secs();
    let nodes = match manifest.source.nodes {
        0 => "its common address".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let mut text = format!(
        "run        {}\nowner      {}\nmade       {}, in {seconds}s, by {}\nsource     Weaviate {}, read at {nodes}\nformat     {:?}, version {}\nobjects    {}\nsize       {}\nverified   {}\ndrilled    {}\n\n",
        paint(HEADING, &plain(&manifest.run)),
        plain(&manifest.owner.to_string()),
        manifest.finished_at,
        plain(&manifest.tool),
        plain(&manifest.source.weaviate),
        manifest.data,
        manifest.version,
        manifest.objects(),
        size(manifest.bytes()),
        verified,
        drill(drilled),
    );
    if let Some(native) = &manifest.native {
        // Above the empty line.
        text.truncate(text.trim_end().len());
        write!(
            text,
            "\nnative     Weaviate's own backup {}, of nodes {}; objects as the servers counted them when it began\n\n",
            plain(&native.id),
            plain(&native.nodes.join(", "))
        )
        .ok();
    }
    let rows: Vec<Vec<String>> = manifest
        .collections
        .iter()
        .map(|note| {
            let tenants = note.tenants.map_or_else(|| "-".to_owned(), |tenants| tenants.to_string());
            let differing = if note.replicas.compared || note.replicas.differing > 0 {
                note.replicas.differing.to_string()
            } else {
                UNKNOWN.to_owned()
            };
            vec![
                note.name.clone(),
                note.contents.objects.to_string(),
                size(note.bytes),
                note.parts.to_string(),
                tenants,
                note.left_out.to_string(),
                differing,
            ]
        })
        .collect();
    text += &columns::render(&["COLLECTION", "OBJECTS", "SIZE", "PARTS", "TENANTS", "LEFT OUT", "DIFFERING"], &rows);
    for (name, why) in &manifest.lacks {
        writeln!(text, "{}: {} is left out: {}", paint(DOUBTFUL, "note"), plain(name), plain(why)).ok();
    }
    match aliases {
        Ok(aliases) => {
            for (collection, aliases) in aliases {
                let aliases = aliases.iter().map(|alias| plain(alias)).collect::<Vec<_>>().join(", ");
                // Writing to a String cannot fail.
                writeln!(text, "{}: aliases {aliases}", plain(collection)).ok();
            }
        }
        Err(why) => {
            writeln!(text, "aliases cannot be read: {}", plain(why)).ok();
        }
    }
    for note in &manifest.collections {
        for difference in &note.replicas.first {
            let Difference { tenant, id, held, lacking, otherwise } = difference;
            let tenant = tenant.as_ref().map(|tenant| format!(" of tenant {}", plain(tenant))).unwrap_or_default();
            // Writing to a String cannot fail.
            write!(text, "{}: object {id}{tenant}: held by {}", plain(&note.name), plain(&held.join(", "))).ok();
            for (word, nodes) in [("lacking at", lacking), ("otherwise at", otherwise)] {
                if !nodes.is_empty() {
                    write!(text, ", {word} {}", plain(&nodes.join(", "))).ok();
                }
            }
            text.push('\n');
        }
    }
    text
}

/// One run as the catalogue has it, whatever it is.
pub(super) async fn one(store: &AnyStore, run: &str) -> RunSummary {
    let state = catalogue::look(store, run).await.unwrap_or_else(|error| State::Unreadable(error.into()));
    summary(Entry { run: run.to_owned(), state })
}
