//! `restore`: one collection of a run, put back from here.

pub(super) mod consent;
mod earlier;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use elysia_engine::backup::catalogue::LATEST;
use elysia_engine::backup::filter::Expression;
use elysia_engine::backup::layout;
use elysia_engine::backup::restore::{AliasState, Blocker, Computed, Conflict, Preflight, Progress, Receipt, State};
use elysia_engine::backup::transform::Select;
use elysia_engine::checkpoint::Digest;
use elysia_engine::retry::Stop as Halt;
use serde::Serialize;
use uuid::Uuid;

use self::consent::{Consent, consent};
use self::earlier::{is_first, is_still_there};
use self::refused::refused;
use super::bar::{self, Done};
use super::create::{expression, interrupted};
use super::place::{self, KeyArgs, PolicyArgs, StoreArgs, find_good, open};
use super::stopped;
use crate::cli::collection::migrate::read;
use crate::cli::printer::{BAD, GOOD, Printer, paint, plain};
use crate::cli::session::Stop;
use crate::cli::way::{self, Way, WayArgs};
use crate::cli::{Exit, Output, Target, encode};
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::work::{RestoreWork, StoreWork};
use crate::worker::backup::{
    Chosen, Failure, collection_exists, plan_restore_over, receipts as worker_receipts, restore_chosen,
};
use crate::worker::work::{Endpoints, PatienceWork};

/// Arguments of `restore`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The same command goes on where a restore was stopped or killed, and does nothing once it is done.\n\
    Exit codes: 0 done, 1 refused, 2 it may be done later, 64 wrong usage"
)]
pub(in crate::cli) struct RestoreArgs {
    /// The run; `latest` is the newest that is good, and holds everything
    run: String,
    /// The collection in it
    collection: String,
    /// The collection that it becomes; the same name when left out
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// What becomes of objects whose ids are taken
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    conflict: ConflictArg,
    /// Replicas of a collection that has to be made; as many as the backed up one had when left out
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100))]
    factor: Option<u64>,
    /// Shards of a collection that has to be made; likewise
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1000))]
    shards: Option<u64>,
    /// The collection must be there already: make no class
    #[arg(long, conflicts_with_all = ["factor", "shards"])]
    skip_schema: bool,
    /// What becomes of the aliases that led to the collection; when left out `restore` under the same name, else `skip`
    #[arg(long, value_enum, value_name = "WHAT")]
    aliases: Option<AliasArg>,
    /// Only objects with these ids
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    objects: Vec<Uuid>,
    /// Only these properties; a collection that is made has no others
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    properties: Vec<String>,
    /// Only objects of these tenants
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    tenants: Vec<String>,
    /// Only objects of which this is true
    #[arg(long, value_name = "EXPRESSION", value_parser = expression)]
    filter: Option<Expression>,
    /// File with what is made of the objects: a list of transformations, JSON or YAML, as in a `CollectionRestore`
    #[arg(long, value_name = "FILE")]
    transform: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
    /// Say what would be done and what stands in the way; change nothing
    #[arg(long)]
    plan: bool,
    /// Id of the receipt. One that is done is not restored again: for that, another id
    #[arg(long, value_name = "ID")]
    receipt: Option<String>,
    /// Where the receipt lies: `s3://BUCKET/PREFIX` and the like, or a directory. When left out beside the runs, or for the runs of
    /// another owner in `$XDG_STATE_HOME/kubectl-elysia`
    #[arg(long, value_name = "STORE")]
    receipts: Option<String>,
    /// Do not ask for the number of objects that may be written over
    #[arg(short, long)]
    yes: bool,
    /// Put objects into a protected collection that is there
    #[arg(long)]
    override_protection: bool,
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

/// What becomes of objects whose ids are taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum ConflictArg {
    /// There must be no objects
    #[default]
    Fail,
    /// What is there stays
    Skip,
    /// The backup's takes its place
    Overwrite,
    /// The backup's properties and vectors are written over it, and others stay
    Merge,
}

/// What becomes of the aliases of the backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum AliasArg {
    /// Those that are not there are made; one that leads elsewhere stays
    Restore,
    /// None is made
    Skip,
}

impl From<ConflictArg> for Conflict {
    fn from(conflict: ConflictArg) -> Self {
        match conflict {
            ConflictArg::Fail => Self::Fail,
            ConflictArg::Skip => Self::Skip,
            ConflictArg::Overwrite => Self::Overwrite,
            ConflictArg::Merge => Self::Merge,
        }
    }
}

impl RestoreArgs {
    fn chosen(&self) -> Result<Chosen, Stop> {
        let some = |names: &[String]| (!names.is_empty()).then(|| names.iter().cloned().collect());
        let select = Select {
            ids: (!self.objects.is_empty()).then(|| self.objects.iter().copied().collect()),
            properties: some(&self.properties),
            tenants: some(&self.tenants),
            filter: self.filter.clone(),
        };
        let transform = self.transform.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Chosen {
            select,
            transform,
            skip_schema: self.skip_schema,
            aliases: self.aliases.map(|policy| policy == AliasArg::Restore),
            key: self.key.key()?,
            ..Chosen::default()
        })
    }
}

/// Bytes of a receipt's own id that tell restores apart.
const ID_LETTERS: usize = 32;

/// The same run into the same collection of the same cluster in the same manner is the same restore.
pub(super) fn receipt_id(
    run: &str,
    collection: &str,
    into: &str,
    target: &str,
    conflict: Conflict,
    chosen: &Chosen,
) -> String {
    let Chosen { select, transform, skip_schema: _, aliases: _, key: _, approved: _, must_be_empty: _ } = chosen;
    let what = serde_json::json!([run, collection, into, target, conflict, select, transform]);
    let mut id = Digest::of(what.to_string().as_bytes()).to_string();
    id.retain(|letter| letter.is_ascii_alphanumeric());
    id.truncate(ID_LETTERS);
    id
}

pub(super) async fn run(args: &RestoreArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    if args.receipt.as_ref().is_some_and(|id| !layout::is_run_id(id)) {
        return Err(Stop::usage("a receipt's id has letters, digits, - and _ alone"));
    }
    let mut chosen = args.chosen()?;
    let store = args.store.open_there()?;
    let manifest = find_good(&store, &args.run, &args.store, printer).await?;
    let way = way::open(&args.way, target, printer).await?;
    way.reach().await?;
    let receipts = match &args.receipts {
        Some(place) => args.store.named(place)?,
        None => place::receipts(&store, &args.store, &args.policy, &way.identity).await?,
    };
    let work = work(args, &chosen, manifest.run, receipts.clone(), &way)?;
    let receipts = open(&receipts)?;
    if args.run == LATEST && args.receipt.is_none() {
        let found = worker_receipts(&receipts).await.map_err(|failure| stopped(&failure, ""))?;
        is_first(&work, found.into_iter().map(|(_, receipt)| receipt))?;
    }
    let explained = |failure: Failure| Failure { message: way.explain(&failure.message), ..failure };
    let next = format!("kubectl elysia backup verify {} {}", work.run, args.store.again());
    let plan = plan_restore_over(&work, &chosen, &way.ways(), &store, &receipts).await;
    let plan = plan.map_err(|failure| stopped(&explained(failure), &next))?;
    if args.plan {
        return show_plan(args, &work, &plan, printer);
    }
    if plan.receipt.state == State::Done {
        let is_there = collection_exists(&way.ways(), &work.into).await;
        is_still_there(&work, is_there.map_err(|failure| stopped(&explained(failure), ""))?)?;
        printer.note(&format!(
            "{} was restored into {} before, as receipt {} says; to restore it again: --receipt NEW-ID\n",
            work.collection, work.into, work.receipt
        ));
        // Programs are told the same as by the command that did it.
        if args.output != Output::Table {
            printer.data(&encode(&plan.receipt, args.output)?)?;
        }
        return Ok(Exit::Healthy);
    }
    if !plan.blockers.is_empty() {
        return Err(refused(&plan.blockers, &work, &args.store));
    }
    plan.computed.iter().for_each(|it| printer.note(&format!("{}\n", plain(&it.to_string()))));
    chosen.must_be_empty = consent(args, &work, &plan, &way, printer).await? == Consent::ToNothing;
    if work.receipts.as_ref() != Some(&work.store) {
        printer.note(&unseen(&work));
    }
    let receipt = carry_out(&work, &chosen, &way, [&store, &receipts], &plan, printer).await?;
    let text = match args.output {
        Output::Table => render(&receipt),
        output => encode(&receipt, output)?,
    };
    printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// What nobody hears of whose backups are made meanwhile.
fn unseen(work: &RestoreWork) -> String {
    format!(
        "The receipt does not lie beside the runs, so nobody is told of this restore: until it is done, a backup of {} takes\n\
         what is there of it, and retention may take run {} away. Pause the policies meanwhile (elysia.dev/paused).\n",
        plain(&work.into),
        plain(&work.run)
    )
}

async fn carry_out(
    work: &RestoreWork,
    chosen: &Chosen,
    way: &Way,
    [store, receipts]: [&AnyStore; 2],
    plan: &Preflight,
    printer: Printer,
) -> Result<Receipt, Stop> {
    let again = "run the same command again: it goes on where it stopped";
    let (halt, progress) = (Halt::default(), Progress::default());
    let all = plan.manifest.as_ref().and_then(|it| it.collection(&work.collection)).map(|it| it.contents.objects);
    let look = || Done { units: progress.objects.load(Ordering::Relaxed), bytes: None };
    let ways = way.ways();
    let ended = tokio::select! {
        ended = restore_chosen(work, chosen, &ways, store, receipts, &halt, &progress) => ended,
        never = bar::show("objects", all, look, printer) => match never {},
        () = interrupted(&halt, printer) => return Err(Stop::unknown("stopped at once", again)),
    };
    ended.map_err(|failure| stopped(&Failure { message: way.explain(&failure.message), ..failure }, again))
}

fn work(args: &RestoreArgs, chosen: &Chosen, run: String, receipts: StoreWork, way: &Way) -> Result<RestoreWork, Stop> {
    let into = args.into.clone().unwrap_or_else(|| args.collection.clone());
    let conflict = Conflict::from(args.conflict);
    let receipt = args.receipt.clone();
    let receipt = receipt.unwrap_or_else(|| receipt_id(&run, &args.collection, &into, &way.identity, conflict, chosen));
    Ok(RestoreWork {
        namespace: String::new(),
        name: String::new(),
        uid: String::new(),
        run,
        collection: args.collection.clone(),
        into,
        conflict,
        factor: args.factor,
        shards: args.shards,
        receipt,
        target: way.identity.clone(),
        // The ways are open already.
        endpoints: Endpoints { rest: String::new(), grpc: String::new(), nodes: Vec::new() },
        store: args.store.work()?,
        receipts: Some(receipts),
        patience: PatienceWork::default(),
    })
}

/// What would be done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned<'a> {
    pub(super) run: &'a str,
    pub(super) collection: &'a str,
    pub(super) into: &'a str,
    pub(super) conflict: Conflict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects: Option<u64>,
    pub(super) creates_collection: bool,
    pub(super) creates_tenants: usize,
    pub(super) receipt: &'a str,
    pub(super) state: &'static str,
    pub(super) aliases: &'a BTreeMap<String, AliasState>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) deferred: &'a BTreeSet<String>,
    pub(super) computed: &'a [Computed],
    pub(super) blockers: &'a [Blocker],
}

fn show_plan(args: &RestoreArgs, work: &RestoreWork, plan: &Preflight, printer: Printer) -> Result<Exit, Stop> {
    let note = plan.manifest.as_ref().and_then(|manifest| manifest.collection(&work.collection));
    let planned = Planned {
        run: &work.run,
        collection: &work.collection,
        into: &work.into,
        conflict: work.conflict,
        objects: note.map(|note| note.contents.objects),
        creates_collection: plan.class.is_some(),
        creates_tenants: plan.tenants.len(),
        receipt: &work.receipt,
        state: match plan.receipt.state {
            _ if plan.is_new => "new",
            State::Running => "goes on",
            State::Done => "done",
        },
        aliases: &plan.aliases,
        deferred: &plan.receipt.deferred,
        computed: &plan.computed,
        blockers: &plan.blockers,
    };
    let text = match args.output {
        Output::Table => render_plan(&planned),
        output => encode(&planned, output)?,
    };
    printer.data(&text)?;
    Ok(if plan.blockers.is_empty() { Exit::Healthy } else { Exit::Fault })
}

pub(super) fn render_plan(planned: &Planned<'_>) -> String {
    let Planned {
        run,
        collection,
        into,
        conflict,
        objects,
        creates_collection,
        creates_tenants,
        receipt,
        state,
        aliases,
        deferred,
        computed,
        blockers,
    } = planned;
    let objects = objects.map_or_else(|| "?".to_owned(), |objects| objects.to_string());
    let made = if *creates_collection { "is made" } else { "is there" };
    let tenants = if *creates_tenants > 0 { format!(", {creates_tenants} tenants are made") } else { String::new() };
    let mut text = format!(
        "run        {}\nfrom       {}, {objects} objects\ninto       {}, which {made}{tenants}\nconflict   {conflict:?}\nreceipt    {}, {state}\n",
        plain(run),
        plain(collection),
        plain(into),
        plain(receipt),
    );
    text.extend(aliases.iter().map(|(it, is)| format!("alias      {}: {}\n", plain(it), plain(&standing(is)))));
    for property in *deferred {
        let later = "is added behind the objects, once the collection that it leads to is there";
        // Writing to a String cannot fail.
        writeln!(text, "property   {}: {later}", plain(property)).ok();
    }
    text.extend(computed.iter().map(|it| format!("computed   {}\n", plain(&it.to_string()))));
    text.extend(blockers.is_empty().then(|| format!("{}: nothing stands in the way\n", paint(GOOD, "ok"))));
    text.extend(blockers.iter().map(|it| format!("{}: {}\n", paint(BAD, "blocked"), plain(&it.to_string()))));
    text
}

pub(super) fn render(receipt: &Receipt) -> String {
    let counts = receipt.counts;
    let mut text = format!(
        "{} of run {} restored into {}: {} objects written, {} merged, {} left as they were",
        plain(&receipt.collection),
        plain(&receipt.run),
        plain(&receipt.into),
        counts.written,
        counts.merged,
        counts.skipped + counts.unchanged
    );
    for (count, what) in [
        (counts.unselected, "not selected"),
        (counts.unconverted, "left out because a value could not be converted"),
        (counts.dropped, "properties left out because they could not be"),
    ] {
        if count > 0 {
            // Writing to a String cannot fail.
            write!(text, ", {count} {what}").ok();
        }
    }
    text.push('\n');
    for (alias, is) in &receipt.aliases {
        // Writing to a String cannot fail.
        writeln!(text, "alias {}: {}", plain(alias), plain(&standing(is))).ok();
    }
    text
}

/// How an alias stands.
fn standing(is: &AliasState) -> String {
    is.why_not().unwrap_or_else(|| match is {
        AliasState::Absent => "is made behind the last object".to_owned(),
        _ => "leads to it".to_owned(),
    })
}
