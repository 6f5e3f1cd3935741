//! The Job of a restore: finds the run, asks for a person's word before it writes over anything, restores, and says so.
//!
//! It is started again after any crash and does nothing twice: the receipt, written before the first object, says what
//! is done. A receipt that is done ends the work, whatever became of the collection since.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use elysia_core::restore::ledger::{Guarded, RestoreLedger, Stage};
use elysia_engine::backup::catalogue::{self, LATEST};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Index, Manifest};
use elysia_engine::backup::opened::OpenRun;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::restore::{Conflict, Progress, Receipt, State};
use elysia_engine::backup::stored;
use elysia_engine::ports::Clock as _;
use tracing::{info, warn};

use super::backup::{Hands, TOLD_EVERY};
use super::board::{Board, ReceiptBoard, load, save};
use super::work::RestoreJob;
use crate::worker::backup::{Failure, Occupied, collection_exists, occupied, restore_over};
use crate::worker::clock::SystemClock;

/// Does the work, or as much of it as needs no person.
pub(super) async fn run<S: Store, B: Board>(job: &RestoreJob, hands: &Hands<'_, S, B>) -> Result<(), Failure> {
    if job.keeps_receipt {
        return told(job, hands, &ReceiptBoard(hands.board)).await;
    }
    told(job, hands, hands.store).await
}

/// The same with receipts where they are; a failure is in the ledger before the Job ends.
async fn told<S: Store, R: Store, B: Board>(
    job: &RestoreJob,
    hands: &Hands<'_, S, B>,
    receipts: &R,
) -> Result<(), Failure> {
    let former: Option<RestoreLedger> = load(hands.board).await?;
    let former = former.filter(|former| former.receipt == job.restore.receipt);
    let now = SystemClock.now();
    let mut ledger = RestoreLedger {
        receipt: job.restore.receipt.clone(),
        order: job.order.clone(),
        run_now: job.run_now.clone(),
        run: former.as_ref().and_then(|former| former.run.clone()),
        stage: Stage::Looking,
        total: 0,
        done: 0,
        written: 0,
        skipped: 0,
        merged: 0,
        has_begun: former.as_ref().is_some_and(|former| former.has_begun),
        started_at: former.as_ref().filter(|former| former.has_begun).map_or(now, |former| former.started_at),
        updated_at: now,
        finished_at: None,
        message: None,
        is_permanent: false,
        guarded: former.as_ref().and_then(|former| former.guarded.clone()),
        approved: former.and_then(|former| former.approved),
    };
    save(hands.board, &ledger).await?;
    let done = work(job, hands, receipts, &mut ledger).await;
    if let Err(failure) = &done {
        ledger.stage = Stage::Failed;
        ledger.message = Some(failure.message.clone());
        ledger.is_permanent = failure.is_permanent;
    }
    ledger.updated_at = SystemClock.now();
    match (done, save(hands.board, &ledger).await) {
        (Err(failure), saved) => {
            if let Err(error) = saved {
                warn!(%error, "the ledger does not say that the restore failed");
            }
            Err(failure)
        }
        (Ok(()), saved) => saved,
    }
}

async fn receipt<R: Store>(job: &RestoreJob, receipts: &R) -> Result<Option<Receipt>, Failure> {
    let key = layout::receipt(&job.restore.receipt);
    let found = stored::read::<Receipt, _>(receipts, &key).await?.map(|(receipt, _)| receipt);
    // A board has one receipt, whatever it is called: that of another restore under the same name is none of ours.
    let is_ours = |receipt: &Receipt| {
        receipt.into == job.restore.into
            && receipt.target == job.restore.target
            && (job.restore.run == LATEST || receipt.run == job.restore.run)
    };
    Ok(found.filter(|receipt| !job.keeps_receipt || is_ours(receipt)))
}

async fn work<S: Store, R: Store, B: Board>(
    job: &RestoreJob,
    hands: &Hands<'_, S, B>,
    receipts: &R,
    ledger: &mut RestoreLedger,
) -> Result<(), Failure> {
    let found = receipt(job, receipts).await?;
    ledger.has_begun |= found.is_some();
    if let Some(receipt) = found.as_ref().filter(|receipt| receipt.state == State::Done) {
        info!(run = receipt.run, "this restore was done before");
        count(ledger, receipt);
        let is_there = collection_exists(hands.ways, &job.restore.into).await?;
        ledger.stage = if is_there { Stage::Done } else { Stage::Gone };
        return Ok(());
    }
    let manifest = manifest(job, hands, found.as_ref()).await?;
    let mut restore = job.restore.clone();
    restore.run.clone_from(&manifest.run);
    ledger.run = Some(manifest.run.clone());
    let note = manifest.collection(&restore.collection);
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ledger.total = note.map_or(0, |note| number(note.contents.objects));
    if found.is_none()
        && let Some(note) = note
        && matches!(restore.conflict, Conflict::Overwrite | Conflict::Merge)
    {
        // What cannot be read is told by the restore itself, with every other blocker.
        if let Ok(open) = OpenRun::open(hands.store, &manifest.run, None).await?
            && let Ok(index) = open.index(hands.store, note).await?
            && !is_allowed(job, hands, ledger, &index, &manifest.run).await?
        {
            return Ok(());
        }
    }
    let progress = Progress::default();
    let restoring = restore_over(&restore, hands.ways, hands.store, receipts, hands.stop, &progress);
    tokio::pin!(restoring);
    let restored = loop {
        tokio::select! {
            done = &mut restoring => break done,
            () = tokio::time::sleep(TOLD_EVERY) => {
                ledger.done = number(progress.objects.load(Ordering::Relaxed));
                if ledger.done > 0 {
                    (ledger.stage, ledger.has_begun) = (Stage::Writing, true);
                }
                ledger.updated_at = SystemClock.now();
                if let Err(error) = save(hands.board, ledger).await {
                    warn!(%error, "the ledger does not say how far the restore is");
                }
            }
        }
    };
    match restored {
        Ok(done) => {
            count(ledger, &done);
            ledger.stage = Stage::Done;
            Ok(())
        }
        Err(failure) => {
            ledger.done = number(progress.objects.load(Ordering::Relaxed));
            // The receipt is written before the first object.
            if let Ok(found) = receipt(job, receipts).await {
                ledger.has_begun = found.is_some();
            }
            Err(failure)
        }
    }
}

fn count(ledger: &mut RestoreLedger, receipt: &Receipt) {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = receipt.counts;
    (ledger.written, ledger.skipped, ledger.merged) =
        (number(counts.written), number(counts.skipped), number(counts.merged));
    ledger.done = ledger.written.saturating_add(ledger.skipped).saturating_add(ledger.merged);
    ledger.total = ledger.total.max(ledger.done);
    ledger.run = Some(receipt.run.clone());
    ledger.has_begun = true;
    ledger.started_at = receipt.started_at;
    ledger.finished_at = Some(receipt.updated_at);
}

/// The run: the receipt's, the approved one, or the one that is asked for.
async fn manifest<S: Store, B: Board>(
    job: &RestoreJob,
    hands: &Hands<'_, S, B>,
    receipt: Option<&Receipt>,
) -> Result<Manifest, Failure> {
    let approved = job.approval.as_ref().map(|approval| approval.run.as_str());
    let run = receipt.map(|receipt| receipt.run.as_str()).or(approved).unwrap_or(&job.restore.run);
    let found = catalogue::find(hands.store, run).await?;
    found.ok_or_else(|| {
        let what = if run == LATEST { "no run".to_owned() } else { format!("no run {run}") };
        Failure::permanent(format!("the store has {what} that is complete; see: kubectl elysia backup ls"))
    })
}

/// Whether nothing is written over, or a person said that it may be. An approval serves this run and this finding.
async fn is_allowed<S: Store, B: Board>(
    job: &RestoreJob,
    hands: &Hands<'_, S, B>,
    ledger: &mut RestoreLedger,
    index: &Index,
    run: &str,
) -> Result<bool, Failure> {
    if let Some(approval) = job.approval.as_ref().filter(|approval| approval.run == run) {
        // Used up before the first write, so that no other restore goes by it.
        ledger.approved = Some(approval.hash.clone());
        (ledger.stage, ledger.has_begun, ledger.updated_at) = (Stage::Writing, true, SystemClock.now());
        save(hands.board, ledger).await?;
        return Ok(true);
    }
    let tenants: BTreeSet<String> = index.tenants.iter().flatten().map(|tenant| tenant.name.clone()).collect();
    let Occupied::Yes(tenant) = occupied(hands.ways, &job.restore.into, &tenants).await? else { return Ok(true) };
    let now = SystemClock.now();
    let since = ledger.guarded.as_ref().filter(|guarded| guarded.run == run).map_or(now, |guarded| guarded.since);
    ledger.guarded = Some(Guarded { run: run.to_owned(), tenant, since });
    ledger.stage = Stage::Waiting;
    Ok(false)
}
