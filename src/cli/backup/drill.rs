//! `backup verify --drill`: restores a run into scratch collections, compares, and deletes them.

mod shown;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use elysia_core::backup::ledger::{DrillNote, DrilledCollection};
use elysia_core::backup::{MINIMUM_OVERLAP, SAMPLE, SEARCHES};
use elysia_engine::backup::manifest::Manifest;
use elysia_engine::backup::restore::Progress;
use elysia_engine::backup::retire::owner;
use elysia_engine::retry::Stop as Halt;
use jiff::Timestamp;
use serde::Serialize;

use self::shown::{cut_off, render, so_far};
use super::bar::{self, Done};
use super::create::interrupted;
use super::place::{find, noted};
use super::stopped;
use super::verify::VerifyArgs;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::Stop;
use crate::cli::way::{self, Way};
use crate::cli::{Exit, Output, Target, encode};
use crate::worker::backup::drill::{
    Closeness, Ground, NAME_LETTERS, Rehearsal, Removed, Scratch, WeaviateGround, remove,
};
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::{Failure, drilled, retry};
use crate::worker::jobs::drill::verdict;
use crate::worker::work::PatienceWork;

/// A name that Weaviate keeps as it is. With a small first letter it makes another one of it, and nobody would find the
/// scratch collection again to delete it.
fn class_name(text: &str) -> Result<String, String> {
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(is_inner)
        && text.len() <= NAME_LETTERS
    {
        return Ok(text.to_owned());
    }
    Err(format!("a collection's name is a capital letter, then letters, digits and `_`, {NAME_LETTERS} at most"))
}

/// How a drill is done.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Restore drill")]
pub(super) struct DrillArgs {
    /// Restore the run into scratch collections, compare them with it, and delete them again
    #[arg(long, conflicts_with = "hashes_only")]
    drill: bool,
    /// Only these collections of the run
    #[arg(long, value_name = "COLLECTION,…", value_delimiter = ',', requires = "drill")]
    collections: Vec<String>,
    /// Name of the scratch collection, where there is one collection to drill; made of its name when left out
    #[arg(long, value_name = "COLLECTION", requires = "drill", value_parser = class_name)]
    into: Option<String>,
    /// Replicas of scratch collections; as many as the collections had when left out
    #[arg(long, value_name = "NUMBER", requires = "drill", value_parser = clap::value_parser!(u32).range(1..=100))]
    factor: Option<u32>,
    /// Objects of each collection that are compared one by one, about
    #[arg(long, value_name = "NUMBER", requires = "drill", default_value_t = SAMPLE, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: u32,
    /// Searches in each collection
    #[arg(long, value_name = "NUMBER", requires = "drill", default_value_t = SEARCHES, value_parser = clap::value_parser!(u32).range(0..=1000))]
    searches: u32,
    /// Of a hundred nearest objects, so many must be found
    #[arg(long, value_name = "PERCENT", requires = "drill", default_value_t = MINIMUM_OVERLAP, value_parser = clap::value_parser!(u8).range(0..=100))]
    minimum_overlap: u8,
}

impl DrillArgs {
    pub(super) fn is_asked(&self) -> bool {
        self.drill
    }

    fn closeness(&self) -> Closeness {
        Closeness {
            sample: u64::from(self.sample),
            searches: usize::try_from(self.searches).unwrap_or(usize::MAX),
            minimum_overlap: self.minimum_overlap,
        }
    }

    /// The collections to drill, each once: a name that is written twice is no second collection.
    fn chosen<'a>(&'a self, manifest: &'a Manifest) -> Result<BTreeSet<&'a str>, Stop> {
        let all = || manifest.collections.iter().map(|note| note.name.as_str());
        if let Some(unknown) = self.collections.iter().find(|name| manifest.collection(name).is_none()) {
            let has = all().collect::<Vec<_>>().join(", ");
            return Err(Stop::usage(format!("run {} has no collection {unknown}; it has {has}", manifest.run)));
        }
        let chosen: BTreeSet<&str> = if self.collections.is_empty() {
            all().collect()
        } else {
            self.collections.iter().map(String::as_str).collect()
        };
        if self.into.is_some() && chosen.len() != 1 {
            return Err(Stop::usage(format!(
                "--into names one collection, and {} are drilled: add --collections NAME",
                chosen.len()
            )));
        }
        Ok(chosen)
    }
}

/// What a drill found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    run: &'a str,
    passed: bool,
    collections: &'a [DrilledCollection],
}

pub(super) async fn run(args: &VerifyArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    let key = args.key.key()?;
    let store = args.store.open_there()?;
    let manifest = find(&store, &args.run, &args.store).await?;
    let chosen = args.drill.chosen(&manifest)?;
    let way = way::open(&args.way, target, printer).await?;
    way.reach().await?;
    if let Some((into, pattern)) = args.drill.into.as_ref().and_then(|into| Some((into, way.protection(into)?))) {
        return Err(Stop::refused(format!("{into} is protected by {pattern}; nothing was done"), "name it otherwise"));
    }
    let ground = WeaviateGround::new(&way.ways()).await;
    let (halt, progress) = (Halt::default(), Progress::default());
    let rehearsal = Rehearsal {
        store: &store,
        ground: &ground,
        manifest: &manifest,
        key: key.as_ref(),
        factor: args.drill.factor.map(u64::from),
        closeness: args.drill.closeness(),
        retry: retry(PatienceWork::default()),
        stop: &halt,
        progress: &progress,
    };
    // A word that no class bears yet: nothing is deleted that this very command did not make.
    let mut order = uuid::Uuid::new_v4().simple().to_string();
    order.truncate(12);
    let mut rows = Vec::new();
    for name in &chosen {
        let mut scratch = Scratch::new(name, &args.policy.policy, &order);
        scratch.name = args.drill.into.clone().unwrap_or(scratch.name);
        match one(&rehearsal, name, &scratch, &way, printer).await {
            Ok(row) => rows.push(row),
            Err(stop) => {
                // It may have taken hours to find out.
                if !rows.is_empty() {
                    printer.note(&so_far(&rows));
                }
                return Err(cut_off(stop, &rows));
            }
        }
    }
    let note = verdict(&order, &manifest.run, Timestamp::now(), rows.clone());
    let text = match args.output {
        Output::Table => render(&manifest.run, &note, &rows),
        output => encode(&Told { run: &manifest.run, passed: note.has_passed(), collections: &rows }, output)?,
    };
    // Before it is noted: the store may not answer any more.
    printer.data(&text)?;
    if chosen.len() == manifest.collections.len() {
        tokio::select! {
            recorded = record(args, &store, &manifest, &note, printer) => recorded.map_err(|stop| cut_off(stop, &rows))?,
            () = interrupted(&halt, printer) => {
                return Err(Stop::unknown("stopped at once; what was found may not be noted beside the run", ""));
            }
        }
    }
    Ok(if note.has_passed() { Exit::Healthy } else { Exit::Fault })
}

/// One collection. Its scratch collection goes whatever was found.
async fn one<G: Ground>(
    rehearsal: &Rehearsal<'_, AnyStore, G>,
    name: &str,
    scratch: &Scratch,
    way: &Way,
    printer: Printer,
) -> Result<DrilledCollection, Stop> {
    if rehearsal.stop.is_set() {
        return Err(Stop::unknown("stopped as asked", ""));
    }
    printer.note(&format!("{} is restored into {}\n", plain(name), plain(&scratch.name)));
    let all = rehearsal.manifest.collection(name).map(|note| note.contents.objects);
    let before = rehearsal.progress.objects.load(Ordering::Relaxed);
    let look = || Done { units: rehearsal.progress.objects.load(Ordering::Relaxed) - before, bytes: None };
    let found = tokio::select! {
        found = rehearsal.collection(name, scratch) => found,
        never = bar::show("objects", all, look, printer) => match never {},
        () = interrupted(rehearsal.stop, printer) => {
            return Err(Stop::unknown(format!("stopped at once; {} may be there", scratch.name), by_hand(&scratch.name)));
        }
    };
    let removed = tokio::select! {
        removed = remove(rehearsal.ground, scratch, rehearsal.retry) => removed,
        () = interrupted(rehearsal.stop, printer) => {
            return Err(Stop::unknown(format!("stopped at once; {} may be there", scratch.name), by_hand(&scratch.name)));
        }
    };
    if let Some(left) = left(&removed, &scratch.name, found.is_ok()) {
        printer.complain(&left);
    }
    found.map_err(|failure| {
        let message = format!("{name} could not be drilled: {}", way.explain(&failure.message));
        stopped(&Failure { message, ..failure }, "")
    })
}

fn by_hand(scratch: &str) -> String {
    format!("if it is there: kubectl elysia col rm {scratch}")
}

/// What is said of a scratch collection that may still be there. `is_drilled`: whether it was restored; where a stranger's was
/// in its place from the beginning, that has ended the drill and is told by it.
fn left(removed: &Result<Removed, Failure>, scratch: &str, is_drilled: bool) -> Option<String> {
    match removed {
        Ok(Removed::Nothing | Removed::Deleted) => None,
        Ok(Removed::Strange) => is_drilled.then(|| {
            format!(
                "{scratch} was not deleted: it is not marked as this drill's any more, so it is somebody else's; look at it, and {}",
                by_hand(scratch)
            )
        }),
        Err(failure) => Some(format!("{scratch} could not be deleted: {failure}; {}", by_hand(scratch))),
    }
}

/// Only the owner of the prefix notes what was found, for retention and for the policy's next run.
async fn record(
    args: &VerifyArgs,
    store: &AnyStore,
    manifest: &Manifest,
    note: &DrillNote,
    printer: Printer,
) -> Result<(), Stop> {
    let owner = owner(store).await.map_err(|error| stopped(&Failure::from(error), ""))?;
    match owner {
        Some(owner) if owner.policy == args.policy.policy => {
            drilled::record(store, manifest, note).await.map_err(|failure| stopped(&failure, ""))?;
            noted(store, &owner).await;
            Ok(())
        }
        Some(owner) => {
            printer.note(&format!(
                "not noted beside the run: {} belongs to {}; to act for its owner: --policy '{}'\n",
                plain(&args.store.store),
                plain(&owner.to_string()),
                plain(&owner.policy)
            ));
            Ok(())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::tests::manifest;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        /// That a drill goes without it is a rule of the drill's.
        #[arg(long)]
        hashes_only: bool,
        #[command(flatten)]
        drill: DrillArgs,
    }

    fn args(line: &str) -> Result<DrillArgs, clap::Error> {
        let line = Line::try_parse_from(["verify", "--drill"].into_iter().chain(line.split_whitespace()))?;
        assert!(!line.hashes_only);
        Ok(line.drill)
    }

    #[test]
    fn a_collection_that_is_named_twice_is_drilled_once_and_is_not_two() {
        let manifest = manifest();
        assert_eq!(manifest.collections.len(), 2, "or the table says nothing");
        for (line, expected) in [
            ("", vec!["Articles", "Notes"]),
            ("--collections Articles,Articles", vec!["Articles"]),
            ("--collections Articles --collections Articles", vec!["Articles"]),
            ("--collections Notes,Articles,Notes", vec!["Articles", "Notes"]),
            ("--collections Notes,Notes --into Scratch", vec!["Notes"]),
        ] {
            let args = args(line).unwrap();
            let chosen = args.chosen(&manifest).unwrap();
            assert_eq!(chosen.into_iter().collect::<Vec<_>>(), expected, "{line}");
        }
        for line in ["--into Scratch", "--collections Others"] {
            args(line).unwrap().chosen(&manifest).unwrap_err();
        }
    }

    #[test]
    fn a_scratch_collection_has_a_name_that_weaviate_keeps() {
        let longest = format!("S{}", "a".repeat(NAME_LETTERS - 1));
        for (name, is_one) in [
            ("Scratch", true),
            ("S", true),
            ("S_1a", true),
            (longest.as_str(), true),
            ("scratch", false),
            ("_Scratch", false),
            ("1Scratch", false),
            ("Scratch-1", false),
            ("Écrit", false),
            ("", false),
            (format!("{longest}a").as_str(), false),
        ] {
            assert_eq!(class_name(name).is_ok(), is_one, "{name}");
        }
        let refused = args("--into scratch").unwrap_err().to_string();
        assert!(refused.contains("a capital letter"), "{refused}");
    }

    #[test]
    fn what_is_left_is_told() {
        let failed = || Err(Failure { message: "no route".to_owned(), is_permanent: false });
        for (removed, is_drilled, words) in [
            (Ok(Removed::Nothing), true, None),
            (Ok(Removed::Deleted), true, None),
            (Ok(Removed::Strange), true, Some("somebody else's")),
            (Ok(Removed::Strange), false, None),
            (failed(), true, Some("could not be deleted: no route")),
            (failed(), false, Some("could not be deleted: no route")),
        ] {
            let told = left(&removed, "A_drill_1", is_drilled);
            assert_eq!(told.is_some(), words.is_some(), "{removed:?}");
            let names = |told: String| told.contains(words.unwrap_or_default()) && told.contains("col rm A_drill_1");
            assert!(told.is_none_or(names), "{removed:?}");
        }
    }
}
