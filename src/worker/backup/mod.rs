//! Backups and restores: joins the engine with Weaviate, object stores and folders.
//!
//! ```text
//! ways ─▶ source ─▶ engine's write ─▶ store         back_up
//!         replicas: what nodes say of one another
//! store ─▶ engine's restore ─▶ target ─▶ ways        restore
//! servers ─▶ store, and the other way round          native: Weaviate's own backups
//! store ─▶ engine's catalogue, verify, retire        runs, verify, retire
//! runs ─▶ what is noted of them, and stamped         listing
//! ```
//!
//! What calls this, a Job's worker or a person's plug-in, keeps the ledger; here only runs and receipts are written.

mod awake;
pub(crate) mod drill;
pub(crate) mod drilled;
mod failure;
pub(crate) mod latest;
mod linked;
pub(crate) mod listing;
pub(crate) mod native;
mod numbers;
mod paging;
mod replicas;
mod retirement;
mod runs;
mod side;
mod source;
pub(crate) mod store;
mod target;
#[cfg(test)]
mod target_tests;
pub(crate) mod ways;
pub mod work;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use elysia_core::backup::ledger::TOLD_REASONS;
use elysia_core::cluster::spec::matches_pattern;
use elysia_core::restore::makes_aliases;
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::filter::Expression;
use elysia_engine::backup::level::Level;
use elysia_engine::backup::manifest::{Manifest, Owner, RunMode};
use elysia_engine::backup::patient::Patient;
use elysia_engine::backup::ports::{Store, Target as _};
use elysia_engine::backup::restore::{self, Preflight, Receipt, Restorer, preflight};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::transform::{Select, Step};
use elysia_engine::backup::verify::{self, Depth, Fault, Findings};
use elysia_engine::backup::write::{self, LANES, WriteError, Writer};
use elysia_engine::backup::{layout, manifest::Part};
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::{Retry, Stop, patiently};
use secrecy::SecretString;

pub(crate) use self::awake::{left_awake, rest_woken};
pub use self::failure::Failure;
pub use self::retirement::{Retired, Verdict, retire, retirement};
pub use self::runs::{RunState, RunSummary, runs, summary};
pub(crate) use self::source::WeaviateSource;
pub(crate) use self::target::WeaviateTarget;
use self::ways::Ways;
use self::work::{BackupWork, RestoreWork};
use super::clock::SystemClock;
use super::index;
use super::jobs::judged;
use super::work::PatienceWork;

/// Environment variable with a backup's work as JSON: [`work::BackupWork`].
pub const BACKUP_WORK_VARIABLE: &str = "ELYSIA_BACKUP_WORK";
/// Environment variable with a restore's work as JSON: [`work::RestoreWork`].
pub const RESTORE_WORK_VARIABLE: &str = "ELYSIA_RESTORE_WORK";

/// Attempts at one run, each under an id of its own: a Job is given up long before.
const MOST_ATTEMPTS: u32 = 100;

/// Writes a run, or finds that an earlier attempt did. Keys come from the environment.
pub async fn back_up(
    work: &BackupWork,
    api_key: Option<&SecretString>,
    stop: &Stop,
    progress: &write::Progress,
) -> Result<Manifest, Failure> {
    let ways = ways::ways(&work.endpoints, api_key)?;
    back_up_over(work, &ways, &store::open(&work.store)?, stop, progress).await
}

/// The same over ways that are open.
pub(crate) async fn back_up_over<S: Store>(
    work: &BackupWork,
    ways: &Ways,
    store: &S,
    stop: &Stop,
    progress: &write::Progress,
) -> Result<Manifest, Failure> {
    back_up_chosen(work, &Choice::default(), ways, store, stop, progress).await
}

/// What a run is to hold, beyond its work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Objects, or classes alone.
    pub(crate) mode: RunMode,
    /// Which objects.
    pub(crate) filter: Option<Expression>,
    /// The run to build on.
    pub(crate) base: Option<String>,
    /// How hard parts are compressed.
    pub(crate) level: Level,
    /// What it is encrypted with: a secret, so it stands in no work.
    pub(crate) key: Option<Key>,
    /// Whether the collections that the work names are all that there are: one that cannot be written is left out.
    pub(crate) is_all: bool,
}

/// The same of what is chosen.
pub(crate) async fn back_up_chosen<S: Store>(
    work: &BackupWork,
    choice: &Choice,
    ways: &Ways,
    store: &S,
    stop: &Stop,
    progress: &write::Progress,
) -> Result<Manifest, Failure> {
    back_up_on(work, choice, ways, store, stop, progress).await?.map_err(Failure::permanent)
}

/// The same, where the run that it was to build on is not fit for that: why, for whoever can do without it.
pub(crate) async fn back_up_on<S: Store>(
    work: &BackupWork,
    choice: &Choice,
    ways: &Ways,
    store: &S,
    stop: &Stop,
    progress: &write::Progress,
) -> Result<Result<Manifest, String>, Failure> {
    let patience = (retry(work.patience), &SystemClock, stop);
    let run = match attempt(&Patient::new(store, patience), &work.run, &work.owner).await? {
        Attempt::Done(manifest) => return Ok(Ok(*manifest)),
        Attempt::Next(run) => run,
    };
    let collections = match &work.collections {
        Some(names) => names.clone(),
        None => every_collection(ways, &work.exclude, patience).await?,
    };
    let order = write::Order {
        data: work.how.data,
        cold: work.how.cold.into(),
        lanes: work.how.lanes.unwrap_or(LANES),
        mode: choice.mode,
        filter: choice.filter.clone(),
        base: choice.base.clone(),
        level: choice.level,
        key: choice.key.clone(),
        is_all: choice.is_all || work.collections.is_none(),
        retry: patience.0,
        ..write::Order::new(run, work.owner.clone(), collections)
    };
    if choice.mode == RunMode::Full {
        progress.total.store(counted(ways, &order.collections).await.unwrap_or(0), Ordering::Relaxed);
    }
    let source = WeaviateSource::new(with_only_node(ways).await, work.how.compare);
    let writer = Writer { store, source: &source, clock: &SystemClock, stop, progress, order: &order };
    match writer.write().await {
        Ok(manifest) => Ok(Ok(manifest)),
        Err(error @ (WriteError::Base { .. } | WriteError::BaseRemoved(_))) => Ok(Err(super::chain(&error))),
        Err(error) => Err(error.into()),
    }
}

/// How many objects these collections have, for whoever waits; `None` where one of them could not be counted, as one with
/// tenants cannot.
async fn counted(ways: &Ways, collections: &[String]) -> Option<u64> {
    let mut all = 0;
    for name in collections {
        all += ways.common.object_count(name).await.ok()?.ok()?;
    }
    Some(all)
}

/// Under which id a run is written.
enum Attempt {
    /// It is there.
    Done(Box<Manifest>),
    /// Nothing of this id is there.
    Next(String),
}

/// An attempt that was cut off may have a worker that still writes, so nobody writes where it wrote.
async fn attempt<S: Store>(store: &S, run: &str, owner: &Owner) -> Result<Attempt, Failure> {
    for number in 1..=MOST_ATTEMPTS {
        let run = if number == 1 { run.to_owned() } else { format!("{run}-{number}") };
        if !layout::is_run_id(&run) {
            return Err(Failure::permanent(format!("`{run}` is no run's id")));
        }
        match catalogue::look(store, &run).await? {
            State::Run { manifest, .. } if manifest.owner == *owner => return Ok(Attempt::Done(manifest)),
            State::Run { manifest, .. } => {
                return Err(Failure::permanent(format!("run {run} is there, and is that of {}", manifest.owner)));
            }
            State::Unfinished(None) => return Ok(Attempt::Next(run)),
            State::Unfinished(Some(_)) => {}
            State::Unreadable(error) => return Err(error.into()),
        }
    }
    Err(Failure::permanent(format!("run {run} was begun {MOST_ATTEMPTS} times and never finished")))
}

/// Every collection that there is, without the scratch collections of drills and those that are excluded.
pub(super) async fn every_collection(
    ways: &Ways,
    exclude: &[String],
    patience: (Retry, &SystemClock, &Stop),
) -> Result<Vec<String>, Failure> {
    let ask = async || ways.common.classes().await.map_err(|error| super::sink::port(&error));
    let classes = patiently(patience, ask).await?;
    // What a drill restored is another collection's, and gone in a moment.
    let meant = classes.iter().filter(|class| !drill::is_scratch(class));
    let names = meant.filter_map(|class| class["class"].as_str());
    let is_meant = |name: &&str| !exclude.iter().any(|pattern| matches_pattern(pattern, name));
    Ok(names.filter(is_meant).map(str::to_owned).collect())
}

/// Restores, or goes on with it; one that is done does nothing. Keys come from the environment.
pub async fn restore(
    work: &RestoreWork,
    api_key: Option<&SecretString>,
    stop: &Stop,
    progress: &restore::Progress,
) -> Result<Receipt, Failure> {
    let ways = ways::ways(&work.endpoints, api_key)?;
    let store = store::open(&work.store)?;
    match &work.receipts {
        Some(receipts) => restore_over(work, &ways, &store, &store::open(receipts)?, stop, progress).await,
        None => restore_over(work, &ways, &store, &store, stop, progress).await,
    }
}

/// The same over ways that are open.
pub(crate) async fn restore_over<S: Store, R: Store>(
    work: &RestoreWork,
    ways: &Ways,
    store: &S,
    receipts: &R,
    stop: &Stop,
    progress: &restore::Progress,
) -> Result<Receipt, Failure> {
    restore_chosen(work, &Chosen::default(), ways, store, receipts, stop, progress).await
}

/// What is taken of a run and made of it, beyond the restore's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    /// What is taken.
    pub(crate) select: Select,
    /// What is made of it.
    pub(crate) transform: Vec<Step>,
    /// Whether the collection must be there already.
    pub(crate) skip_schema: bool,
    /// Whether aliases of the backup are made, if that is said.
    pub(crate) aliases: Option<bool>,
    /// What the run is encrypted with.
    pub(crate) key: Option<Key>,
    /// The hash of what a person approved.
    pub(crate) approved: Option<String>,
    /// Whether there must be no objects whatever becomes of those whose ids are taken: nobody approved that there are.
    pub(crate) must_be_empty: bool,
}

/// The same of a run that the servers wrote themselves: they put their files back.
pub(crate) async fn restore_native<S: Store, R: Store>(
    work: &RestoreWork,
    (manifest, receipt): (&Manifest, Option<Receipt>),
    ways: &Ways,
    store: &S,
    receipts: &R,
    stop: &Stop,
    pace: native::Pace,
) -> Result<Receipt, Failure> {
    let Some(native) = &manifest.native else {
        return Err(Failure::permanent(format!("run {} is not one that Weaviate wrote itself", manifest.run)));
    };
    let order = restore_order(work, &Chosen::default())?;
    let work = native::NativeRestore { manifest, native, place: &work.store, order: &order, receipt, pace };
    native::restore(&work, ways, store, receipts, stop).await
}

/// The same of what is chosen.
pub(crate) async fn restore_chosen<S: Store, R: Store>(
    work: &RestoreWork,
    chosen: &Chosen,
    ways: &Ways,
    store: &S,
    receipts: &R,
    stop: &Stop,
    progress: &restore::Progress,
) -> Result<Receipt, Failure> {
    let order = restore_order(work, chosen)?;
    let target = WeaviateTarget::new(ways.clone(), &work.into);
    let restorer = Restorer { store, receipts, target: &target, clock: &SystemClock, stop, progress, order: &order };
    Ok(restorer.restore().await?)
}

/// What stands in the way of a restore, and what it would make; nothing is written.
pub(crate) async fn plan_restore_over<S: Store, R: Store>(
    work: &RestoreWork,
    chosen: &Chosen,
    ways: &Ways,
    store: &S,
    receipts: &R,
) -> Result<Preflight, Failure> {
    let order = restore_order(work, chosen)?;
    let target = WeaviateTarget::new(ways.clone(), &work.into);
    Ok(preflight(store, receipts, &target, &order, SystemClock.now()).await?)
}

/// What stands in the way of a restore, and what it would make; nothing is written. Keys come from the environment.
pub async fn plan_restore(work: &RestoreWork, api_key: Option<&SecretString>) -> Result<Preflight, Failure> {
    let ways = ways::ways(&work.endpoints, api_key)?;
    let store = store::open(&work.store)?;
    match &work.receipts {
        Some(receipts) => plan_restore_over(work, &Chosen::default(), &ways, &store, &store::open(receipts)?).await,
        None => plan_restore_over(work, &Chosen::default(), &ways, &store, &store).await,
    }
}

/// Whether there is a collection of this name.
pub(crate) async fn collection_exists(ways: &Ways, name: &str) -> Result<bool, Failure> {
    let target = WeaviateTarget::new(ways.clone(), name);
    // An alias of that name has taken its place: the collection behind it is another.
    Ok(target.own_alias().await?.is_none() && target.class().await?.is_some())
}

/// Whether a collection holds objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Occupied {
    /// There is no such collection, or it is empty as far as it was asked.
    No,
    /// It does: in this tenant, where it has tenants.
    Yes(Option<String>),
}

/// Looks for the first tenant of these, or of all, that holds an object, or whether the collection does that has none. One
/// at rest counts as holding some, since it cannot be asked; and so does a collection of several nodes whose own addresses
/// are not known.
pub(crate) async fn occupied(ways: &Ways, name: &str, tenants: Option<&BTreeSet<String>>) -> Result<Occupied, Failure> {
    let ways = with_only_node(ways).await;
    let is_blind = ways.nodes.is_empty();
    let target = WeaviateTarget::new(ways, name);
    if target.own_alias().await?.is_some() {
        // The restore itself tells that nothing of this name can be made.
        return Ok(Occupied::No);
    }
    let Some(class) = target.class().await? else { return Ok(Occupied::No) };
    if is_blind {
        return Ok(Occupied::Yes(None));
    }
    if class["multiTenancyConfig"]["enabled"] != true {
        return Ok(if target.has_objects(None).await? { Occupied::Yes(None) } else { Occupied::No });
    }
    let is_meant = |name: &String| tenants.is_none_or(|tenants| tenants.contains(name));
    for tenant in target.tenants().await?.into_iter().filter(|tenant| is_meant(&tenant.name)) {
        if !tenant.is_awake() || target.has_objects(Some(&tenant.name)).await? {
            return Ok(Occupied::Yes(Some(tenant.name)));
        }
    }
    Ok(Occupied::No)
}

/// The receipts of restores below a prefix, with their ids. One that cannot be read is none.
pub(crate) async fn receipts<S: Store>(store: &S) -> Result<Vec<(String, Receipt)>, Failure> {
    let found = catalogue::receipts(store).await?;
    Ok(found.into_iter().filter_map(|(id, receipt)| Some((id, receipt.ok()?))).collect())
}

/// The runs that restores read which are not over yet. What cannot be read may name any of them.
pub(crate) async fn runs_in_use<S: Store>(store: &S) -> Result<BTreeSet<String>, Failure> {
    let mut runs = BTreeSet::new();
    for (id, receipt) in catalogue::receipts(store).await? {
        let receipt = receipt.map_err(|error| {
            let message = format!("restore {id} may need any of the runs: {}", super::chain(&error));
            Failure { message, ..error.into() }
        })?;
        if receipt.state == restore::State::Running {
            runs.insert(receipt.run);
        }
    }
    Ok(runs)
}

/// A cluster of one node has that node at its common address.
pub(crate) async fn with_only_node(ways: &Ways) -> Ways {
    if let (true, Ok([node])) = (ways.nodes.is_empty(), ways.common.nodes().await.as_deref()) {
        let node = ways::Node { name: node.name.clone(), client: ways.common.clone() };
        return Ways { common: ways.common.clone(), nodes: vec![node] };
    }
    ways.clone()
}

fn restore_order(work: &RestoreWork, chosen: &Chosen) -> Result<restore::Order, Failure> {
    for id in [&work.run, &work.receipt] {
        if !layout::is_run_id(id) {
            return Err(Failure::permanent(format!("`{id}` is no id of a run or a restore")));
        }
    }
    Ok(restore::Order {
        run: work.run.clone(),
        collection: work.collection.clone(),
        into: work.into.clone(),
        conflict: work.conflict,
        factor: work.factor,
        shards: work.shards,
        skip_schema: chosen.skip_schema,
        aliases: makes_aliases(chosen.aliases, &work.collection, &work.into, chosen.skip_schema),
        select: chosen.select.clone(),
        transform: chosen.transform.clone(),
        key: chosen.key.clone(),
        receipt: layout::receipt(&work.receipt),
        target: work.target.clone(),
        uid: work.uid.clone(),
        approved: chosen.approved.clone(),
        must_be_empty: chosen.must_be_empty,
        retry: retry(work.patience),
    })
}

/// Reads a run back. With an owner it is noted that a run is sound, as far as its objects were read, or that it is damaged:
/// retention and `latest` go by both. Of a stranger's prefix nothing is noted. `told` hears of each part.
pub async fn verify<S: Store>(
    store: &S,
    run: &str,
    depth: Depth,
    owner: Option<&Owner>,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, Failure> {
    verify_sealed(store, run, None, depth, owner, told).await
}

/// The same of a run that may be encrypted.
pub(crate) async fn verify_sealed<S: Store>(
    store: &S,
    run: &str,
    key: Option<&Key>,
    depth: Depth,
    owner: Option<&Owner>,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, Failure> {
    let findings = read_back(store, run, key, depth, owner, told).await?;
    // Whose key is not the run's knows nothing of the run.
    let damage = findings.faults.iter().find(|fault| !fault.is_of_key());
    if let (Some(owner), Some(damage)) = (owner, damage) {
        let faults = findings.faults.iter().take(TOLD_REASONS).map(Fault::to_string).collect();
        let noted = judged::found_damaged(store, run, owner, faults, SystemClock.now()).await;
        noted.map_err(|failure| {
            let message = format!("run {run} is damaged: {damage}; this could not be noted beside it: {failure}");
            Failure { message, ..failure }
        })?;
    }
    Ok(findings)
}

/// Reads a run back, and notes that of a sound one. What is damaged is for whoever calls this to note.
async fn read_back<S: Store>(
    store: &S,
    run: &str,
    key: Option<&Key>,
    depth: Depth,
    owner: Option<&Owner>,
    told: &(dyn Fn(&Part) + Sync),
) -> Result<Findings, Failure> {
    if !layout::is_run_id(run) {
        return Err(Failure::permanent(format!("`{run}` is no run's id")));
    }
    let findings = verify::verify_with(store, run, key, depth, told).await?;
    if let Some(owner) = owner.filter(|_| findings.is_sound() && depth == Depth::Objects) {
        verify::record(store, run, owner, &SystemClock).await?;
    }
    Ok(findings)
}

/// Reads a run back that was written a moment ago, and notes that of a sound one. Of one that the servers wrote themselves every file was
/// read for its hash just now: it is looked whether all are there.
pub(crate) async fn verify_written<S: Store>(
    store: &S,
    run: &str,
    key: Option<&Key>,
    owner: &Owner,
) -> Result<Findings, Failure> {
    let found = catalogue::look(store, run).await?;
    let State::Run { manifest, .. } = found else {
        return read_back(store, run, key, Depth::Objects, Some(owner), &|_| {}).await;
    };
    if manifest.native.as_ref().is_none_or(|native| !native.hashed) {
        return read_back(store, run, key, Depth::Objects, Some(owner), &|_| {}).await;
    }
    let findings = elysia_engine::backup::native::verify_sizes(store, run).await?;
    if findings.is_sound() {
        verify::record(store, run, owner, &SystemClock).await?;
    }
    Ok(findings)
}

pub(crate) fn retry(patience: PatienceWork) -> Retry {
    index::retry(patience)
}

#[cfg(test)]
mod tests;
