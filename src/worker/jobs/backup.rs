//! The Job of a policy: writes a run, compares it, reads it back, retires what is to be retired, and says so.

use std::sync::atomic::Ordering;
use std::time::Duration;

use elysia_api::names;
use elysia_core::backup::ledger::{Attempt, BackupLedger, Stage, TOLD_REASONS, TOLD_RUNS, Totals};
use elysia_engine::backup::catalogue;
use elysia_engine::backup::manifest::Manifest;
use elysia_engine::backup::patient::Patient;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::retire;
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::verify::Fault;
use elysia_engine::backup::write::Progress;
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::Stop;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::{info, warn};

use super::base::base;
use super::board::{Board, load, save};
use super::comparing::{compare, written_is_listed};
use super::drill;
use super::judged::{self, Shelf};
use super::rate::{Rate, pace};
use super::retiring::retired;
use super::room::enough_room;
use super::work::BackupJob;
use crate::worker::backup::drill::{Ground, WeaviateGround};
use crate::worker::backup::listing::{self, Reading};
use crate::worker::backup::native::{NativeBackup, Pace, back_up as back_up_natively};
use crate::worker::backup::ways::Ways;
use crate::worker::backup::work::{BackupWork, ColdWork};
use crate::worker::backup::{Choice, Failure, back_up_on, every_collection, rest_woken, retry, verify_written};
use crate::worker::clock::SystemClock;
use crate::worker::profile;
use crate::worker::work::PatienceWork;

/// How often the ledger says how far the work is: a person looks about so often, and an API server with a hundred
/// policies has ten small writes in a second.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What the Job works with.
pub(super) struct Hands<'a, S, B> {
    pub(super) store: &'a S,
    pub(super) ways: &'a Ways,
    pub(super) board: &'a B,
    pub(super) stop: &'a Stop,
    /// With what runs are encrypted.
    pub(super) key: Option<&'a Key>,
    /// How often the servers are asked how far a backup of their own is.
    pub(super) pace: Pace,
}

impl<S: Store, B> Hands<'_, S, B> {
    /// The store for what asks it many things: each of the calls is tried. Not for what is patient by itself.
    pub(super) fn patient(&self, patience: PatienceWork) -> Patient<'_, S, SystemClock> {
        Patient::new(self.store, (retry(patience), &SystemClock, self.stop))
    }

    /// The same for the first call: a store that never answered may be misconfigured.
    pub(super) fn patient_at_first(&self, patience: PatienceWork) -> Patient<'_, S, SystemClock> {
        Patient::new(self.store, (retry(patience).of_strangers(), &SystemClock, self.stop))
    }
}

/// Does the work. What is done already is found in the store and not done again.
pub(super) async fn run<S: Store, B: Board>(job: &BackupJob, hands: &Hands<'_, S, B>) -> Result<(), Failure> {
    run_on(job, hands, &WeaviateGround::new(hands.ways).await).await
}

/// The same, with the cluster in which drills are done.
pub(super) async fn run_on<S: Store, B: Board, G: Ground>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ground: &G,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    let mut ledger: BackupLedger = load(hands.board).await?.unwrap_or_default();
    drill::abandoned(&mut ledger, &job.order);
    ledger.attempt = Some(Attempt {
        order: job.order.clone(),
        run: None,
        stage: Stage::Writing,
        objects: 0,
        bytes: 0,
        pace: None,
        started_at: now,
        updated_at: now,
        message: None,
        is_permanent: false,
        is_strangers: false,
        lacks_room: false,
        retired: Vec::new(),
        trouble: None,
        profile: None,
    });
    save(hands.board, &ledger).await?;
    match work(job, hands, ground, &mut ledger).await {
        Ok(()) => {
            note(job, hands).await;
            Ok(())
        }
        Err(failure) => {
            if job.drill.is_some() {
                drill::undone(&mut ledger, &job.order, &failure.message);
            }
            tell(&mut ledger, |attempt| {
                attempt.stage = Stage::Failed;
                attempt.message = Some(failure.message.clone());
                attempt.is_permanent = failure.is_permanent;
            });
            if let Err(error) = save(hands.board, &ledger).await {
                warn!(%error, "the ledger does not say that the run failed");
            }
            Err(failure)
        }
    }
}

/// Notes what the runs say for whoever lists them. Where that fails, lists take longer.
async fn note<S: Store, B: Board>(job: &BackupJob, hands: &Hands<'_, S, B>) {
    if let Err(failure) = listing::note(hands.store, &job.backup.owner, Reading::All).await {
        warn!(%failure, "lists of runs will take longer");
    }
}

pub(super) fn tell(ledger: &mut BackupLedger, edit: impl FnOnce(&mut Attempt)) {
    if let Some(attempt) = &mut ledger.attempt {
        edit(attempt);
        attempt.updated_at = SystemClock.now();
    }
}

/// What kept the work from something that is not its own end.
pub(super) fn trouble(ledger: &mut BackupLedger, message: String) {
    tell(ledger, |attempt| {
        attempt.trouble = Some(match attempt.trouble.take() {
            Some(before) => format!("{before}; {message}"),
            None => message,
        });
    });
}

async fn work<S: Store, B: Board, G: Ground>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ground: &G,
    ledger: &mut BackupLedger,
) -> Result<(), Failure> {
    let owner = &job.backup.owner;
    // Before anything is read: a stranger's place needs a person, whatever else is wrong.
    let (patience, first) = (job.backup.patience, hands.patient_at_first(job.backup.patience));
    if let Some(other) = retire::owner(&first).await?.filter(|found| found != owner) {
        tell(ledger, |attempt| attempt.is_strangers = true);
        return Err(Failure::permanent(format!("the place belongs to {other}, not to {owner}")));
    }
    drill::sweep(job, hands, ground, ledger).await?;
    let store = &hands.patient(patience);
    let mut shelf = judged::shelf(store, owner).await?;
    compare(job, hands, &mut shelf).await?;
    if let Some(work) = &job.drill {
        drill::drill(job, work, hands, ground, ledger, &mut shelf).await?;
        summarize(ledger, &shelf);
        tell(ledger, |attempt| attempt.stage = Stage::Done);
        return save(hands.board, ledger).await;
    }
    if let Some(run) = &job.accept {
        judged::accept(store, &mut shelf, run).await?;
    } else {
        let run = written(job, hands, ledger, &shelf).await?;
        tell(ledger, |attempt| attempt.run = Some(run.clone()));
        shelf = judged::shelf(store, owner).await?;
        written_is_listed(&shelf, &run)?;
        compare(job, hands, &mut shelf).await?;
        if job.verify {
            read_back(job, hands, ledger, &mut shelf, &run).await?;
        }
    }
    tell(ledger, |attempt| attempt.stage = Stage::Retiring);
    let retired = retired(job, hands, ledger, &mut shelf).await;
    if let Err(failure) = retired {
        // The run is there; the next one retires.
        warn!(%failure, "failed to retire runs");
        trouble(ledger, format!("old runs were not retired: {failure}"));
    }
    summarize(ledger, &shelf);
    tell(ledger, |attempt| {
        attempt.stage = Stage::Done;
        // Reading back may have needed more.
        attempt.profile = attempt.profile.map(profile::with_memory);
    });
    save(hands.board, ledger).await
}

/// The run of this order: the one that is there, or else a new one.
async fn written<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ledger: &mut BackupLedger,
    shelf: &Shelf,
) -> Result<String, Failure> {
    if let Some(known) = shelf.runs.iter().find(|known| is_of_order(job, &known.manifest.run)) {
        info!(run = known.manifest.run, "an earlier worker wrote this run");
        let note = known.note();
        tell(ledger, |attempt| (attempt.objects, attempt.bytes) = (note.objects, note.bytes));
        return Ok(note.id);
    }
    if job.choice.is_encrypted && hands.key.is_none() {
        return Err(Failure::permanent("runs are to be encrypted, and there is no key: nothing was written"));
    }
    // One Job at a time: whoever noted a tenant is dead.
    rest_woken(&job.backup.owner, hands.ways, hands.store, job.backup.patience, hands.stop).await?;
    let run = run_id(SystemClock.now(), &job.order);
    let mut backup = job.backup.clone();
    backup.run.clone_from(&run);
    backup.collections = Some(collections(job, hands).await?);
    tell(ledger, |attempt| attempt.run = Some(run));
    let choice = Choice {
        mode: job.choice.mode,
        filter: job.choice.filter.clone(),
        base: base(shelf, &job.choice, hands.key),
        level: job.choice.level,
        key: hands.key.cloned(),
        is_all: job.backup.collections.is_none(),
    };
    enough_room(job, &choice, &backup, shelf, hands, ledger).await?;
    let mut manifest = watched(job, &backup, &choice, begun(job, shelf), hands, ledger).await;
    if let (Some(base), Ok(Err(refused))) = (&choice.base, &manifest) {
        // A base that is damaged or gone must not end every run from now on.
        warn!(base, refused, "the run stands for itself");
        let trouble = format!("run {base} cannot be built on, so this one stands for itself: {refused}");
        tell(ledger, |attempt| attempt.trouble = Some(trouble));
        let whole = Choice { base: None, ..choice };
        enough_room(job, &whole, &backup, shelf, hands, ledger).await?;
        manifest = watched(job, &backup, &whole, begun(job, shelf), hands, ledger).await;
    }
    let manifest = match manifest.and_then(|written| written.map_err(Failure::permanent)) {
        Ok(manifest) => manifest,
        Err(failure) => return Err(again_if_others(job, hands, backup.collections.as_deref(), failure).await),
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    tell(ledger, |attempt| (attempt.objects, attempt.bytes) = (number(manifest.objects()), number(manifest.bytes())));
    Ok(manifest.run)
}

/// Writes a run, and says now and then how far it is; or why what it was to build on is not fit for that.
async fn watched<S: Store, B: Board>(
    job: &BackupJob,
    backup: &BackupWork,
    choice: &Choice,
    begun: Vec<String>,
    hands: &Hands<'_, S, B>,
    ledger: &mut BackupLedger,
) -> Result<Result<Manifest, String>, Failure> {
    let (progress, mut rate) = (Progress::default(), Rate::default());
    let writing = async {
        match job.native {
            None => back_up_on(backup, choice, hands.ways, hands.store, hands.stop, &progress).await,
            Some(options) => {
                let work = NativeBackup {
                    run: backup.run.clone(),
                    begun,
                    owner: &backup.owner,
                    place: &backup.store,
                    collections: backup.collections.clone().unwrap_or_default(),
                    options,
                    skip: backup.how.cold == ColdWork::Skip,
                    hash: job.verify,
                    pace: hands.pace,
                };
                back_up_natively(&work, hands.ways, hands.store, hands.stop, &progress).await.map(Ok)
            }
        }
    };
    tokio::pin!(writing);
    let done = loop {
        tokio::select! {
            done = &mut writing => break done,
            () = tokio::time::sleep(TOLD_EVERY) => {
                let [objects, total, bytes] =
                    [&progress.objects, &progress.total, &progress.bytes].map(|count| count.load(Ordering::Relaxed));
                tell(ledger, |attempt| {
                    let pace = pace(&mut rate, (objects, total), (bytes, 0));
                    (attempt.objects, attempt.bytes, attempt.pace) = (pace.done, pace.bytes, Some(pace));
                    attempt.profile = job.native.is_none().then(|| profile::of_backup(&progress));
                });
                // What nobody hears is no reason to stop.
                if let Err(error) = save(hands.board, ledger).await {
                    warn!(%error, "the ledger does not say how far the run is");
                }
            }
        }
    };
    // What the servers write themselves does not come by here.
    tell(ledger, |attempt| attempt.profile = job.native.is_none().then(|| profile::of_backup(&progress)));
    done
}

/// What earlier workers of this order began and did not finish, the newest first.
fn begun(job: &BackupJob, shelf: &Shelf) -> Vec<String> {
    let mut begun: Vec<_> = shelf.unfinished.iter().filter(|(run, _)| is_of_order(job, run)).collect();
    begun.sort_by_key(|(run, since)| std::cmp::Reverse((*since, run.clone())));
    begun.into_iter().map(|(run, _)| run.clone()).collect()
}

/// One that is deleted between the look at all collections and its turn ends the run, and the next attempt knows better.
async fn again_if_others<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    asked: Option<&[String]>,
    failure: Failure,
) -> Failure {
    if failure.is_permanent
        && job.backup.collections.is_none()
        && collections(job, hands).await.is_ok_and(|now| Some(now.as_slice()) != asked)
    {
        return Failure { is_permanent: false, ..failure };
    }
    failure
}

pub(super) fn is_of_order(job: &BackupJob, run: &str) -> bool {
    run.split('-').nth(1) == Some(job.order.as_str())
}

/// An id in the order of time that carries the order, so that whoever comes later finds the run that was asked for.
fn run_id(now: Timestamp, order: &str) -> String {
    let at = TimeZone::UTC.to_datetime(now).strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{at}-{order}")
}

/// The collections that are declared, or all that there are, without those that are left out.
pub(super) async fn collections<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
) -> Result<Vec<String>, Failure> {
    let mut names = if let Some(declared) = &job.backup.collections {
        declared.clone()
    } else {
        // The cluster is asked for the first time.
        let retry = retry(job.backup.patience).of_strangers();
        every_collection(hands.ways, &job.backup.exclude, (retry, &SystemClock, hands.stop)).await?
    };
    let cluster = &job.backup.owner.cluster;
    let restored = catalogue::restored(&hands.patient(job.backup.patience), cluster, SystemClock.now()).await?;
    names.retain(|name| name != names::PROBE_COLLECTION);
    names.sort();
    let why = |name: &String| job.left_out.get(name).cloned().or_else(|| Some(restored.get(name)?.why()));
    let (left_out, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| why(name).is_some());
    if let (true, Some((first, why))) = (names.is_empty(), left_out.first().and_then(|name| Some((name, why(name)?)))) {
        // It would count as a run, and hold nothing.
        return Err(Failure::permanent(format!("there is nothing to back up; collection {first}: {why}")));
    }
    Ok(names)
}

/// Reads the run back, unless that was done. A store that could not be asked says nothing about the run.
async fn read_back<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    ledger: &mut BackupLedger,
    shelf: &mut Shelf,
    run: &str,
) -> Result<(), Failure> {
    let is_told = |known: &judged::Known| {
        known.manifest.run == run
            && (known.verified_at.is_some() || known.judged.as_ref().is_some_and(|judged| judged.is_damaged))
    };
    if shelf.runs.iter().any(is_told) {
        return Ok(());
    }
    tell(ledger, |attempt| attempt.stage = Stage::Verifying);
    save(hands.board, ledger).await?;
    let store = &hands.patient(job.backup.patience);
    let findings = verify_written(store, run, hands.key, &job.backup.owner).await;
    let now = SystemClock.now();
    match findings {
        Err(failure) => {
            warn!(%failure, "failed to read the run back");
            trouble(ledger, format!("run {run} could not be read back: {failure}"));
        }
        Ok(findings) if findings.is_sound() => {
            for known in shelf.runs.iter_mut().filter(|known| known.manifest.run == run) {
                known.verified_at = Some(now);
            }
        }
        // The run may be what was written: whoever has the key can tell.
        Ok(findings) if findings.faults.iter().all(Fault::is_of_key) => {
            let faults = findings.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tell(ledger, |attempt| attempt.trouble = Some(format!("run {run} could not be read back: {faults}")));
        }
        Ok(findings) => {
            let faults = findings.faults.iter().take(TOLD_REASONS).map(ToString::to_string).collect();
            judged::damaged(store, shelf, run, faults, now).await?;
        }
    }
    Ok(())
}

/// What the store holds, for the operator.
fn summarize(ledger: &mut BackupLedger, shelf: &Shelf) {
    let notes: Vec<_> = shelf.runs.iter().map(judged::Known::note).collect();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    ledger.totals = Totals {
        runs: number(notes.len()),
        bytes: notes.iter().fold(0, |sum: i64, note| sum.saturating_add(note.bytes)),
        verified: number(notes.iter().filter(|note| note.verified_at.is_some()).count()),
        suspect: number(notes.iter().filter(|note| note.is_suspect()).count()),
    };
    ledger.last_success = notes.iter().find(|note| !note.is_suspect()).map(|note| note.finished_at);
    drill::summarize(ledger, shelf);
    let drilled = ledger.last_drill.as_ref().filter(|drill| drill.has_passed()).map(|drill| drill.at);
    ledger.last_verified = notes.iter().filter_map(|note| note.verified_at).chain(drilled).max();
    ledger.runs = notes.into_iter().take(TOLD_RUNS).collect();
}

#[cfg(test)]
mod tests {
    use elysia_engine::backup::layout;

    use super::*;

    #[test]
    fn an_id_carries_its_time_and_its_order() {
        let run = run_id("2026-11-29T16:15:53.9Z".parse().unwrap(), "0123456789ab");
        assert_eq!(run, "20261129T161553Z-0123456789ab");
        assert!(layout::is_run_id(&format!("{run}-100")));
    }
}
