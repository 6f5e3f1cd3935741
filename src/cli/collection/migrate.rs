//! `collection migrate`: a live copy of one collection into another, made from here.

mod shown;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::backup::stored;
use elysia_engine::backup::transform::Step;
use elysia_engine::checkpoint::Digest;
use elysia_engine::copy::state::{Comparison, Kind, State};
use elysia_engine::copy::{Blocker, Look, Order, Progress};
use elysia_engine::retry::Stop as Halt;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::backup::{bar, interrupted, open_store, own_receipts, stopped};
use crate::cli::printer::Printer;
use crate::cli::session::Stop;
use crate::cli::way::{self, ToArgs, Way, WayArgs};
use crate::cli::{Exit, Output, Target, encode};
use crate::worker::backup::Failure;
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::work::StoreWork;
use crate::worker::copy::{copy_over, plan_copy, state_key};

/// Between two looks at the numbers.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines where nothing can be drawn over.
const TOLD_EACH: Duration = Duration::from_secs(10);
/// Between two comparisons that wait for both sides to be the same: somebody writes in between.
const AGAIN: Duration = Duration::from_secs(5);

/// Arguments of `collection migrate`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Copies everything, then what was written meanwhile, until little is left to do. The same command goes on\n\
    where it was stopped or killed, and run again it catches up again. When nobody writes to the collection any more,\n\
    run it with --final: it catches up once more and compares every object of both sides.\n\
    Nothing is ever written to the collection that is copied, or removed from it.\n\
    Exit codes: 0 done, 1 refused or not the same, 2 it may be done later, 64 wrong usage"
)]
pub(super) struct MigrateArgs {
    /// The collection that is copied
    name: String,
    /// The collection that it becomes; the same name when left out, in another cluster
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// Replicas of the collection that is made; as many as the copied one has when left out
    #[arg(long, visible_alias = "factor", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100))]
    replication_factor: Option<u64>,
    /// Shards of the collection that is made; likewise
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1000))]
    shards: Option<u64>,
    /// File with the class that is made, as Weaviate's documentation writes it, JSON or YAML; that of the copied collection
    /// when left out
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// File with what is made of the objects: a list of transformations, JSON or YAML, as for `restore`
    #[arg(long, value_name = "FILE")]
    transform: Option<PathBuf>,
    /// Nobody writes to the collection any more: catch up once more, then compare every object of both sides
    #[arg(long = "final")]
    is_final: bool,
    /// As --final, again and again until both sides are the same: for when writers are about to stop
    #[arg(long, conflicts_with = "is_final")]
    follow_until_same: bool,
    /// Copy though both sides were found the same before: what was written to the copy since, and the copied collection does
    /// not have, is removed from it
    #[arg(long)]
    again: bool,
    /// Say what would be done and what stands in the way; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Directory in which is noted how far the copy is; `$XDG_STATE_HOME/kubectl-elysia` when left out
    #[arg(long, value_name = "DIRECTORY")]
    ledger: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    to: ToArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Bytes of a copy's own id that tell copies apart.
const ID_LETTERS: usize = 32;

/// The same collection of the same cluster into the same one with the same transformations is the same copy.
fn copy_id(source: &str, from: &str, target: &str, into: &str, transform: &[Step]) -> String {
    let what = serde_json::json!([source, from, target, into, transform]);
    let mut id = Digest::of(what.to_string().as_bytes()).to_string();
    id.retain(|letter| letter.is_ascii_alphanumeric());
    id.truncate(ID_LETTERS);
    id
}

/// Both sides, open.
struct Sides {
    source: Way,
    /// `None`: the same cluster.
    target: Option<Way>,
}

impl Sides {
    fn target(&self) -> &Way {
        self.target.as_ref().unwrap_or(&self.source)
    }

    fn explained(&self, failure: Failure) -> Failure {
        let Failure { message, is_permanent } = failure;
        let explained = self.source.explain(&message);
        let message = self.target.as_ref().map_or(explained.clone(), |target| target.explain(&explained));
        Failure { message, is_permanent }
    }
}

pub(super) async fn migrate(
    args: &MigrateArgs,
    cluster: Option<&str>,
    target: &Target,
    printer: Printer,
) -> Result<Exit, Stop> {
    let transform: Vec<Step> = args.transform.as_deref().map(read).transpose()?.unwrap_or_default();
    let class: Option<Value> = args.schema.as_deref().map(read).transpose()?;
    if class.as_ref().is_some_and(|class| !class.is_object()) {
        return Err(Stop::usage("the schema is no class: it has to be one object with `properties` and settings"));
    }
    let source = way::open(&args.way.or_cluster(cluster), target, printer).await?;
    let to = way::open_target(&args.to, target, printer).await?;
    let sides = Sides { source, target: to };
    let into = args.into.clone().unwrap_or_else(|| args.name.clone());
    if sides.target.is_none() && into == args.name {
        return Err(Stop::usage(
            "say where it goes: --into COLLECTION, or another cluster by --to-url or --to-cluster",
        ));
    }
    sides.source.reach().await?;
    sides.target().reach().await?;
    let copy = copy_id(&sides.source.identity, &args.name, &sides.target().identity, &into, &transform);
    let folder = folder(args)?;
    let states = open_store(&StoreWork::Folder(folder.to_string_lossy().into_owned()))?;
    let mut order = Order {
        source: sides.source.address.clone(),
        target: sides.target().address.clone(),
        is_within: sides.source.identity == sides.target().identity,
        class,
        factor: args.replication_factor,
        shards: args.shards,
        transform,
        is_final: args.is_final || args.follow_until_same,
        ..Order::new("", &args.name, &into, &state_key(&copy))
    };
    order.copy = copy;
    if let Some(pattern) = sides.target().protection(&into) {
        return Err(Stop::refused(
            format!("{into} is protected by {pattern}; nothing was changed"),
            "copy into another one: --into COLLECTION",
        ));
    }
    order.order = name_of(&states, &order, args.again).await?;
    let look = plan_copy(&order, &sides.source.ways(), &sides.target().ways(), &states).await;
    let look = look.map_err(|failure| stopped(&sides.explained(failure), ""))?;
    if args.dry_run {
        return shown::plan(args.output, &order, &look, printer);
    }
    refuse_blocked(&look, &order)?;
    let _alone = alone(&folder, &order.copy)?;
    let state = carry_out(args, &sides, &states, &mut order, printer).await?;
    printer.data(&match args.output {
        Output::Table => shown::render(&state),
        output => encode(&shown::Report::of(&state), output)?,
    })?;
    if !look.aliases.is_empty() && order.is_within {
        printer.note(&format!("aliases still lead to {}: {}\n", order.from, look.aliases.join(", ")));
    }
    Ok(verdict(&state, &order, printer))
}

/// What the process ends with.
fn verdict(state: &State, order: &Order, printer: Printer) -> Exit {
    if order.is_final {
        return if state.compared.as_ref().is_some_and(Comparison::is_same) { Exit::Healthy } else { Exit::Fault };
    }
    if state.behind.is_some_and(|behind| behind <= order.few) {
        printer.note("when nobody writes to it any more, run the same command with --final\n");
        return Exit::Healthy;
    }
    printer.note("more is written than is caught up with: run the same command again when less is\n");
    Exit::Unknown
}

/// A file of JSON or YAML.
pub(in crate::cli) fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, Stop> {
    let refuse = |problem: String| Stop::refused(format!("{}: {problem}", file.display()), "");
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    // Every JSON is YAML; but its own parser says better what is wrong with it.
    if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
        // By way of JSON: what is one of several kinds of thing is written as there, and not with a tag of YAML.
        let value: serde_json::Value = serde_yaml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        return serde_json::from_value(value).map_err(|error| refuse(error.to_string()));
    }
    serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))
}

fn folder(args: &MigrateArgs) -> Result<PathBuf, Stop> {
    if let Some(folder) = &args.ledger {
        return Ok(std::path::absolute(folder)?);
    }
    match own_receipts() {
        Some(StoreWork::Folder(folder)) => Ok(PathBuf::from(folder)),
        Some(StoreWork::S3(_) | StoreWork::Gcs(_) | StoreWork::Azure(_)) | None => Err(Stop::refused(
            "there is no folder in which could be noted how far the copy is",
            "say where it is to lie: --ledger DIRECTORY",
        )),
    }
}

/// Two copiers of one copy would write over one another what each has read before. Freed when it is dropped, and with the
/// process.
fn alone(folder: &Path, copy: &str) -> Result<File, Stop> {
    let path = folder.join("copies");
    std::fs::create_dir_all(&path)?;
    let path = path.join(format!("{copy}.lock"));
    let file = File::create(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Stop::unknown(
            "another process on this machine makes this very copy",
            format!("wait for it, or find it with: fuser {}", path.display()),
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The order that goes on, or else a new one. An order is named by its kind and when it was given.
/// After a comparison that found both sides the same, readers and writers may have been switched over.
async fn name_of(states: &AnyStore, order: &Order, is_again: bool) -> Result<String, Stop> {
    let kind = if order.is_final { "final" } else { "open" };
    let known = stored::read::<State, _>(states, &order.state).await;
    let known = known.map_err(|error| stopped(&Failure::from(error), ""))?;
    if let Some((state, _)) = known {
        if !state.order_is_done && state.order.starts_with(kind) {
            return Ok(state.order);
        }
        let was_same = state.order_is_done && state.compared.as_ref().is_some_and(Comparison::is_same);
        if was_same && !is_again {
            return Err(Stop::refused(
                format!(
                    "{} and {} were found the same; copying again would remove from {} what was written to it since",
                    order.from, order.into, order.into
                ),
                "add --again, if nobody writes to the target",
            ));
        }
    }
    Ok(format!("{kind}-{}", Timestamp::now()))
}

fn refuse_blocked(look: &Look, order: &Order) -> Result<(), Stop> {
    let Some(first) = look.blockers.first() else { return Ok(()) };
    let all = look.blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let next = match first {
        Blocker::Occupied { .. } | Blocker::NotProvedEmpty { .. } | Blocker::Itself { .. } => {
            "add --into COLLECTION, with a name that is not taken".to_owned()
        }
        Blocker::TooFewNodes { nodes, .. } => format!("add --replication-factor {nodes}"),
        Blocker::Module { .. } => {
            "enable the module there, or add --schema FILE with a class that does without".to_owned()
        }
        Blocker::Gone { into } | Blocker::MadeAnew { collection: into, .. } => {
            format!("see what became of {into}; then begin anew with --into COLLECTION, or another --ledger")
        }
        Blocker::InUse { collection, alias } => {
            format!(
                "let {alias} lead elsewhere, if nobody has written by it to {collection}; then run the same command again"
            )
        }
        Blocker::NoSource { .. } => "kubectl elysia collection ls".to_owned(),
        _ => format!("kubectl elysia collection show {}", order.from),
    };
    Err(Stop::refused(format!("{all}; nothing was changed"), next))
}

async fn carry_out(
    args: &MigrateArgs,
    sides: &Sides,
    states: &AnyStore,
    order: &mut Order,
    printer: Printer,
) -> Result<State, Stop> {
    let again = "run the same command again: it goes on where it stopped";
    let halt = Halt::default();
    let (source, target) = (sides.source.ways(), sides.target().ways());
    loop {
        let progress = Progress::default();
        let ended = tokio::select! {
            ended = copy_over(order, &source, &target, states, &halt, &progress) => ended,
            never = watch(&progress, printer) => match never {},
            () = interrupted(&halt, printer) => return Err(Stop::unknown("stopped at once", again)),
        };
        let state = ended.map_err(|failure| stopped(&sides.explained(failure), again))?;
        let is_same = state.compared.as_ref().is_some_and(Comparison::is_same);
        if !args.follow_until_same || is_same {
            return Ok(state);
        }
        let differing = state.compared.as_ref().map_or(0, |compared| compared.differing);
        printer.note(&format!("{differing} objects differ, since somebody writes; comparing again\n"));
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = interrupted(&halt, printer) => {}
        }
        if halt.is_set() {
            return Ok(state);
        }
        order.order = format!("final-{}", Timestamp::now());
    }
}

/// Shows how far it is until it is dropped.
async fn watch(progress: &Progress, printer: Printer) -> std::convert::Infallible {
    let mut shown = bar(None);
    let mut drawn_for = None;
    let mut told = tokio::time::Instant::now();
    loop {
        if let Some(state) = progress.state() {
            let pass = state.pass.as_ref().map(|pass| (state.passes, pass.kind, pass.total));
            if drawn_for != pass {
                shown.finish_and_clear();
                shown = bar(pass.map(|(_, _, total)| total));
                drawn_for = pass;
            }
            let text = words(&state);
            shown.set_position(state.now().read);
            if shown.is_hidden() && told.elapsed() >= TOLD_EACH {
                printer.note(&format!("{text}\n"));
                told = tokio::time::Instant::now();
            }
            shown.set_message(text);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far it is, in one line.
fn words(state: &State) -> String {
    let now = state.now();
    let kind = state.pass.as_ref().map(|pass| pass.kind);
    match kind {
        None => "looking".to_owned(),
        Some(Kind::First) => format!("copying: {} objects read, {} written", now.read, now.written),
        Some(Kind::Stamps | Kind::Contents) => format!(
            "catching up, pass {}: {} objects looked at, {} written, {} removed",
            state.passes, now.read, now.written, now.removed
        ),
        Some(Kind::Compare) => format!("comparing: {} objects, {} differ", now.read, now.differing),
    }
}

#[cfg(test)]
mod tests;
