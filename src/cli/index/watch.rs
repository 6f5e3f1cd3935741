//! `index watch FOLDER`: files of a folder on this machine, new ones and what is appended, until Ctrl-C.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::counts::Counts;
use elysia_engine::retry::Stop as Halt;
use elysia_engine::run::RunError;
use tokio::sync::watch;

use super::super::health::duration;
use super::super::printer::{Printer, plain};
use super::super::session::Stop;
use super::super::way;
use super::super::{Exit, Target};
use super::direct::{DirectArgs, guard, interrupted, refuse_another, run_id, sentence, work};
use crate::worker::index_here;
use crate::worker::work::{FollowWork, SourceWork, VolumeWork};

/// Arguments of `index watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A file that was rewritten is not read again: it ends the command with its name.\n\
    Files whose names begin with a dot are being written and are left alone")]
pub(super) struct WatchArgs {
    /// Folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Which files; `*` within a name, `**` across folders
    #[arg(long, value_name = "PATTERN", default_value = "*.jsonl", value_parser = NonEmptyStringValueParser::new())]
    pattern: String,
    /// Collection to index into
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    collection: String,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    interval: Duration,
    /// Look once and end, for who has a clock of his own
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    direct: Box<DirectArgs>,
}

pub(super) async fn run(args: &WatchArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    let folder = args.folder.canonicalize();
    let folder = folder.map_err(|error| Stop::refused(format!("{}: {error}", args.folder.display()), ""))?;
    if !folder.is_dir() {
        let next = "index a file with: kubectl elysia index run FILE --collection COLLECTION";
        return Err(Stop::refused(format!("{} is no folder", folder.display()), next));
    }
    let way = way::open(&args.direct.way, target, printer).await?;
    let name = folder.to_string_lossy().into_owned();
    let mut work = work(&[], &args.collection, &args.direct, &way.address)?;
    let files = [name.clone(), args.pattern.clone()];
    work.run = run_id("watch", &files, &args.collection, &args.direct, &way.address);
    if guard(&[], &args.collection, &args.direct, &way)?.is_some() {
        // What is appended is counted nowhere before it is read.
        return Err(Stop::refused(
            format!(
                "deletes of files that grow cannot be counted ahead: --max-deletes was said, or {} is protected",
                args.collection
            ),
            "index the files one by one: kubectl elysia index run FILE --collection COLLECTION",
        ));
    }
    let ledger = args.direct.ledger.clone().unwrap_or_else(|| ledger_of(&folder, &args.collection));
    refuse_another(&ledger, &work.run)?;
    work.ledger_file = Some(ledger.clone());
    work.source = SourceWork::Volume(VolumeWork {
        mount_path: name,
        path: String::new(),
        pattern: args.pattern.clone(),
        is_followed: true,
        processed: None,
    });
    work.follow = Some(FollowWork { basis: work.run.clone(), ..FollowWork::default() });
    printer.note(&format!("how far it is stands in {}\n", ledger.display()));
    let halt = Halt::default();
    let watching = async {
        let mut before: Option<Counts> = None;
        loop {
            let (told, _hears) = watch::channel(None);
            let found = index_here(work.clone(), way.common.clone(), way.nodes.clone(), &halt, &told).await?;
            if before != Some(found.counts) && found.counts.lines > 0 {
                printer.note(&format!("{}\n", sentence(&found.counts, "lines")));
                if let Some(letter) = found.dead_letters.last() {
                    let (file, reason) = (plain(&letter.file), plain(&letter.reason));
                    printer.note(&format!("rejected: {file}:{}: {reason}\n", letter.line));
                }
            }
            before = Some(found.counts);
            if args.once {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(args.interval) => {}
                () = halt.wait() => return Err(RunError::Stopped),
            }
        }
    };
    let ended = tokio::select! {
        ended = watching => ended,
        () = interrupted(&halt, true, printer) => Err(RunError::Stopped),
    };
    match ended {
        // Ctrl-C is how it ends.
        Ok(()) | Err(RunError::Stopped) => Ok(Exit::Healthy),
        Err(RunError::Failed { reason, message }) if reason.is_permanent() => {
            Err(Stop::refused(way.explain(&message), "mend it, then run the same command again"))
        }
        Err(RunError::Failed { message, .. }) => {
            Err(Stop::unknown(way.explain(&message), "run the same command again: it goes on where it stopped"))
        }
    }
}

/// A name that no pattern finds: it begins with a dot.
fn ledger_of(folder: &Path, collection: &str) -> PathBuf {
    folder.join(format!(".{collection}.ledger.json"))
}
